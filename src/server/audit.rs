//! The audit log: a line for each request that was denied, or for each at all, where the config asks for it.
//!
//! A line names the principal, the listener, its client's address, the action, the table and index, the verdict and the
//! request id. It never has keys, values, tokens, signatures or policies, and no access key: one that nobody has verified may
//! be a secret in the wrong place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::call::{DenialReason, Verdict};
use crate::config::Audit;
use crate::frontend::Exchange;
use crate::model::arn::table_name;
use crate::model::{ErrorName, Operation};
use crate::telemetry::Repeats;

/// At most one line in this time for each kind of denied request, unless all requests have one.
const DENIED_INTERVAL: Duration = Duration::from_secs(10);

/// The most characters of the name of a table or an index.
const NAME_CHARS_MAX: usize = 255;

/// Stands for a fact that there is not.
const NONE: &str = "-";

/// Which requests have a line. It may change while requests run.
#[derive(Debug)]
pub(super) struct AuditLevel(AtomicU8);

impl AuditLevel {
    pub(super) fn new(audit: Audit) -> Arc<Self> {
        let level = Self(AtomicU8::new(0));
        level.set(audit);
        Arc::new(level)
    }

    pub(super) fn set(&self, audit: Audit) {
        let number = match audit {
            Audit::Off => 0,
            Audit::Denied => 1,
            Audit::All => 2,
        };
        self.0.store(number, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Audit {
        match self.0.load(Ordering::Relaxed) {
            0 => Audit::Off,
            1 => Audit::Denied,
            _ => Audit::All,
        }
    }
}

/// Writes the lines.
pub(super) struct AuditLog {
    level: Arc<AuditLevel>,
    denied: Repeats<Denied>,
}

/// A kind of denied request. Callers cannot make many: what they write has no part in it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Denied {
    principal: Option<Box<str>>,
    operation: Operation,
    reason: DenialReason,
}

impl AuditLog {
    pub(super) fn new(level: Arc<AuditLevel>) -> Self {
        Self { level, denied: Repeats::new(DENIED_INTERVAL) }
    }

    /// True if any request has a line.
    pub(super) fn is_on(&self) -> bool {
        self.level.get() != Audit::Off
    }

    /// Writes the line of a request, if it has one.
    pub(super) fn record(&self, exchange: &Exchange<'_>) {
        match (self.level.get(), exchange.verdict) {
            (Audit::Off, _) | (Audit::Denied, Verdict::Allowed | Verdict::Unjudged) => {}
            (Audit::All, _) => log(exchange, 1),
            (Audit::Denied, Verdict::Denied(reason)) => {
                let principal = exchange.principal.map(Box::from);
                let kind = Denied { principal, operation: exchange.operation, reason };
                if let Some(count) = self.denied.note(kind, Instant::now()) {
                    log(exchange, count);
                }
            }
        }
    }

    /// Writes the lines of what was counted and is not reported yet.
    pub(super) fn report_overdue(&self, now: Instant) {
        for (Denied { principal, operation, reason }, count) in self.denied.overdue(now) {
            tracing::info!(
                target: "nearside::audit",
                principal = principal.as_deref().unwrap_or(NONE),
                action = format_args!("dynamodb:{operation}"),
                verdict = "denied",
                reason = reason.label(),
                count,
                "Audit: more of a kind."
            );
        }
        let count = self.denied.take_unplaced();
        if count > 0 {
            tracing::info!(target: "nearside::audit", verdict = "denied", count, "Audit: more of other kinds.");
        }
    }

    /// The same before the end, however short ago the last lines were written.
    pub(super) fn report_rest(&self, now: Instant) {
        self.report_overdue(now + DENIED_INTERVAL);
    }
}

/// The line of a request. A line of denied requests stands for so many of its kind, and shows the last.
fn log(exchange: &Exchange<'_>, count: u64) {
    tracing::info!(
        target: "nearside::audit",
        principal = exchange.principal.unwrap_or(NONE),
        via = exchange.entrance.label(),
        client = %exchange.client.map_or_else(|| NONE.to_owned(), |client| client.to_string()),
        action = format_args!("dynamodb:{}", exchange.operation),
        table = exchange.table.map_or(NONE, shown_table),
        index = exchange.index.map_or(NONE, shown_name),
        verdict = exchange.verdict.label(),
        reason = exchange.verdict.denial().map_or(NONE, DenialReason::label),
        code = exchange.error.map_or(NONE, ErrorName::text),
        request_id = exchange.request_id,
        trace_id = exchange.trace.map(|trace| display(trace.id())),
        count,
        "Audit."
    );
}

/// The table's name in what a request says, if it can be one.
fn shown_table(said: &str) -> &str {
    shown_name(table_name(said))
}

/// A name, if it can be one of a table or an index: anything else may be a secret in the wrong place.
fn shown_name(name: &str) -> &str {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(is_name) {
        true => name,
        false => NONE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_a_table_or_an_index_is_shown() {
        for (said, shown) in [
            ("Orders", "Orders"),
            ("arn:aws:dynamodb:us-east-1:000000000000:table/Orders/index/byTime", "Orders"),
            ("a b", NONE),
            ("", NONE),
            ("two\nlines", NONE),
            ("wJalrXUtnFEMI/K7MDENG", NONE),
        ] {
            assert_eq!(shown_table(said), shown, "{said}");
        }
        assert_eq!(shown_table(&"x".repeat(256)), NONE);
        for (said, shown) in
            [("by-Time_2.0", "by-Time_2.0"), ("index/byTime", NONE), ("a=b", NONE), ("", NONE)]
        {
            assert_eq!(shown_name(said), shown, "{said}");
        }
    }

    #[test]
    fn the_level_may_change() {
        let level = AuditLevel::new(Audit::Denied);
        for audit in [Audit::Denied, Audit::All, Audit::Off, Audit::Denied] {
            level.set(audit);
            assert_eq!(level.get(), audit);
        }
    }
}
