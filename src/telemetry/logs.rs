//! Log lines on the standard error, as text or as JSON.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::lines;
use super::warnings::KeepWarnings;

/// How long the end of the process waits for a standard error that takes no lines.
const FLUSH_PATIENCE: Duration = Duration::from_secs(1);

/// How to log.
#[derive(Clone, Debug)]
pub struct LogSettings<'a> {
    /// A level or a filter of `tracing`.
    pub level: &'a str,
    /// One JSON object a line instead of text.
    pub json: bool,
}

/// Changes the level of the log lines that are written.
pub struct LogLevel(Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>);

impl LogLevel {
    /// Writes log lines of this level from now on.
    ///
    /// # Errors
    /// Words that say what is wrong with the level.
    pub fn set(&self, level: &str) -> Result<(), String> {
        (self.0)(filter(level)?)
    }
}

/// Sends log lines to the standard error from now on, for the whole process; panics are log lines, too. Nobody who logs waits
/// for the standard error: what it does not take is dropped and counted.
///
/// # Errors
/// Words that say what is wrong with the level, or that logging was set up before.
pub fn init_logs(settings: &LogSettings<'_>) -> Result<LogLevel, String> {
    use_format(settings.json);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(settings.level)?)
        .with_writer(|| QueuedLine)
        .with_target(false)
        .with_ansi(is_read_by_a_person())
        // It would tell of a closed standard error on the standard error, and panic because that is closed.
        .log_internal_errors(false);
    std::panic::set_hook(Box::new(log_panic));
    if settings.json {
        let builder = builder.json().with_filter_reloading();
        let handle = builder.reload_handle();
        builder.finish().with(KeepWarnings).try_init().map_err(|error| error.to_string())?;
        return Ok(LogLevel(Box::new(move |filter| {
            handle.reload(filter).map_err(|error| error.to_string())
        })));
    }
    let builder = builder.with_filter_reloading();
    let handle = builder.reload_handle();
    builder.finish().with(KeepWarnings).try_init().map_err(|error| error.to_string())?;
    Ok(LogLevel(Box::new(move |filter| handle.reload(filter).map_err(|error| error.to_string()))))
}

/// Does work that may panic for a reason that its caller reports, such as a damaged file. The log does not report the panic,
/// too. `work` must leave nothing behind that the caller uses after a panic.
///
/// # Errors
/// The panic.
pub fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, Box<dyn Any + Send>> {
    let before = IS_CAUGHT.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    IS_CAUGHT.set(before);
    outcome
}

/// Writes the line that says where the process listens, whatever the level of the log is. `fields` are in a JSON line only:
/// the words say the same.
pub fn announce(words: &str, fields: &[(&str, String)]) {
    match is_json() {
        true => write_line(&json_line("INFO", words, fields)),
        false => write_line(words),
    }
}

/// Writes the line that says why the process cannot start or go on, whatever the level of the log is.
pub fn announce_failure(words: &str) {
    match is_json() {
        true => write_line(&json_line("ERROR", words, &[])),
        false => write_line(&format!("nearside: {words}")),
    }
}

/// Writes lines as JSON from now on, or as text. Only the first call has an effect, so that a process has one format.
pub fn use_format(json: bool) {
    JSON.set(json).ok();
}

/// Waits until every line is written, for a second at most: a standard error that takes nothing does not stop the end.
pub fn flush_logs() {
    queue().flush(FLUSH_PATIENCE);
}

/// Log lines that the standard error did not take.
pub(super) fn log_lines_dropped() -> u64 {
    queue().dropped()
}

thread_local! {
    /// True while this thread is within [`catch_panic`].
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// Whether lines are JSON; text until the config says so.
static JSON: OnceLock<bool> = OnceLock::new();

fn is_json() -> bool {
    JSON.get().copied().unwrap_or(false)
}

fn queue() -> &'static lines::Lines {
    lines::standard_error(|dropped| {
        let words = "Log lines were dropped: the standard error did not take them.";
        let line = match is_json() {
            true => json_line("WARN", words, &[("dropped", dropped.to_string())]),
            false => format!("{} WARN {words} dropped={dropped}", now()),
        };
        format!("{line}\n")
    })
}

fn write_line(line: &str) {
    queue().push(format!("{line}\n").as_bytes());
}

/// A line of the form that `tracing` writes.
fn json_line(level: &str, words: &str, fields: &[(&str, String)]) -> String {
    let mut all = Map::from_iter([("message".to_owned(), Value::from(words))]);
    all.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str()))));
    json!({ "timestamp": now(), "level": level, "fields": all }).to_string()
}

fn now() -> String {
    let mut text = String::new();
    SystemTime.format_time(&mut Writer::new(&mut text)).ok();
    text
}

/// One event on its way into the queue.
struct QueuedLine;

impl Write for QueuedLine {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        queue().push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Instead of the standard library's words on the standard error, for which a thread could wait without end.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    if IS_CAUGHT.get() {
        return;
    }
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let words = panic_words(panic.payload());
    let backtrace = Backtrace::capture();
    match backtrace.status() {
        BacktraceStatus::Captured => {
            tracing::error!(location, error = words, %backtrace, "A thread panicked.")
        }
        _ => tracing::error!(location, error = words, "A thread panicked."),
    }
}

/// The words of a panic that the program's text has. Others were made of values, which may be a request's: that of a slice of
/// text, for one, quotes the text. The location tells what they would say.
fn panic_words(payload: &dyn Any) -> &'static str {
    payload.downcast_ref::<&'static str>().copied().unwrap_or("its words are not shown: they may quote data")
}

/// True on a terminal, unless colours are not wanted there.
fn is_read_by_a_person() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// A level is that of this program's own lines. What libraries write beside them is of no use to who runs it, and that of the
/// SDK shows requests to the sources of credentials. The audit log has a switch of its own.
fn filter(level: &str) -> Result<EnvFilter, String> {
    let own = level.parse::<LevelFilter>().map(|level| format!("off,nearside={level},nearside::audit=info"));
    EnvFilter::try_new(own.as_deref().unwrap_or(level)).map_err(|error| format!("log.level: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the log says of the panic of a request with that text.
    fn logged(request: &str, work: fn(&str)) -> &'static str {
        let payload = catch_panic(|| work(request)).unwrap_err();
        let quoted = payload.downcast_ref::<String>().is_some_and(|words| words.contains("canary"));
        let is_literal = payload.downcast_ref::<&str>().is_some();
        assert!(quoted || is_literal, "the test has a panic that says nothing of the request");
        panic_words(&*payload)
    }

    #[test]
    fn a_panic_shows_nothing_of_the_request_that_it_comes_from() {
        let quoting: [fn(&str); 5] = [
            |request| drop(request[..8].to_owned()),
            |request| panic!("the key {request} is not there"),
            |request| assert_eq!(request, ""),
            |request| {
                let _: u8 = serde_json::from_str(&format!("{request:?}")).expect("a number");
            },
            |request| std::panic::panic_any(request.to_owned()),
        ];
        for work in quoting {
            assert!(!logged("canary-é", work).contains("canary"));
        }
        assert_eq!(logged("canary", |_| panic!("a guard is gone")), "a guard is gone");
    }
}
