//! The latest lines of the log that are warnings or errors, for who looks at the console and not at the log.

use std::collections::VecDeque;
use std::fmt::{Debug, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// How many lines are kept.
const LINES_MAX: usize = 100;

/// A message or a field is cut off here.
const TEXT_BYTES_MAX: usize = 1000;

/// Fields that differ between lines that are otherwise one and the same.
const VARYING: [&str; 3] = ["count", "latency_us", "request_id"];

/// A warning or an error of the log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Warning {
    /// When it was last written, in seconds since 1970.
    pub time: f64,
    /// `warn` or `error`.
    pub level: &'static str,
    /// The words.
    pub message: String,
    /// The fields of the latest such line.
    pub fields: Map<String, Value>,
    /// How often it happened.
    pub count: u64,
}

static RECENT: Ring = Ring(Mutex::new(VecDeque::new()));

/// The latest warnings and errors, the newest first. Lines that say the same are one.
pub fn recent_warnings() -> Vec<Warning> {
    RECENT.lines()
}

struct Ring(Mutex<VecDeque<Warning>>);

impl Ring {
    fn lines(&self) -> Vec<Warning> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }

    fn add(&self, mut line: Warning) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = lines.iter().position(|known| says_the_same(known, &line))
            && let Some(known) = lines.remove(place)
        {
            line.count += known.count;
        }
        if lines.len() >= LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

fn says_the_same(one: &Warning, other: &Warning) -> bool {
    let lasting = |line: &Warning| {
        let mut fields = line.fields.clone();
        VARYING.iter().for_each(|name| drop(fields.remove(*name)));
        fields
    };
    (one.level, &one.message) == (other.level, &other.message) && lasting(one) == lasting(other)
}

/// Keeps what is written to the log as a warning or an error.
pub(super) struct KeepWarnings;

impl<S: Subscriber> Layer<S> for KeepWarnings {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            _ => return,
        };
        let mut read = Read::default();
        event.record(&mut read);
        let Read { message, fields } = read;
        let count = fields.get("count").and_then(Value::as_u64).unwrap_or(1);
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        RECENT.add(Warning { time, level, message, fields, count });
    }
}

/// The words and fields of an event.
#[derive(Default)]
struct Read {
    message: String,
    fields: Map<String, Value>,
}

impl Read {
    fn keep(&mut self, field: &Field, value: Value) {
        self.fields.insert(field.name().to_owned(), value);
    }
}

impl Visit for Read {
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.keep(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.keep(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.keep(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        write!(text, "{value:?}").ok();
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
        match field.name() {
            "message" => self.message = text,
            _ => self.keep(field, text.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &str, table: &str, latency_us: u64, count: u64) -> Warning {
        let fields = [("table", Value::from(table)), ("latency_us", latency_us.into())];
        let fields = fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
        Warning { time: latency_us as f64, level: "warn", message: message.to_owned(), fields, count }
    }

    #[test]
    fn lines_that_say_the_same_are_one_with_the_latest_fields() {
        let ring = Ring(Mutex::default());
        for line in [line("Slow.", "a", 1, 1), line("Slow.", "b", 2, 1), line("Slow.", "a", 3, 5)] {
            ring.add(line);
        }
        assert_eq!(ring.lines(), [line("Slow.", "a", 3, 6), line("Slow.", "b", 2, 1)]);
    }

    #[test]
    fn the_oldest_line_makes_room() {
        let ring = Ring(Mutex::default());
        (0..=LINES_MAX).for_each(|number| ring.add(line(&number.to_string(), "a", 1, 1)));
        let lines = ring.lines();
        assert_eq!(
            (lines.len(), &*lines[0].message, &*lines[LINES_MAX - 1].message),
            (LINES_MAX, "100", "1")
        );
    }
}
