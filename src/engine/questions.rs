//! What the upstream is asked about tables: once for all who want to know, and not again at once after a failure.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::OnceCell;
use tokio::time::Instant;
use tracing::warn;

use crate::locks::lock;
use crate::model::arn::table_name;
use crate::upstream::schemas::DescribeFailure;

use super::known_table::KnownTable;

/// How many spellings are remembered that the upstream could not describe. Beyond them, all are forgotten.
const FAILURES_MAX: usize = 10_000;

/// A question about one spelling of a table's name, which everybody who has it shares.
#[derive(Default)]
pub(super) struct Question {
    answer: OnceCell<Option<Arc<KnownTable>>>,
    /// Grows when the table may have changed: a description that was asked for before that is worth nothing.
    changes: AtomicU64,
}

impl Question {
    /// To be compared with a later count.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// The answer. The first who waits asks; if its client leaves, the next one does.
    pub(super) async fn answer(
        &self,
        ask: impl Future<Output = Option<Arc<KnownTable>>>,
    ) -> Option<Arc<KnownTable>> {
        self.answer.get_or_init(|| ask).await.clone()
    }
}

/// All questions in flight, and the latest failures. A panic under a lock leaves at worst a question too many.
#[derive(Default)]
pub(super) struct Questions {
    open: Mutex<HashMap<Box<str>, Arc<Question>>>,
    failures: Mutex<HashMap<Box<str>, Failed>>,
}

/// A question that brought no description.
struct Failed {
    reason: DescribeFailure,
    /// How long the question is not put again, from when it failed.
    delay: Duration,
    until: Instant,
}

impl Questions {
    /// The question about a spelling: the one in flight, or a new one. `None` while it must not be put again.
    pub(super) fn open(&self, spelling: &str, now: Instant) -> Option<Arc<Question>> {
        let mut open = lock(&self.open);
        if let Some(question) = open.get(spelling) {
            return Some(Arc::clone(question));
        }
        if self.has_failed_lately(spelling, now) {
            return None;
        }
        Some(Arc::clone(open.entry(spelling.into()).or_default()))
    }

    /// True while the question about a spelling is in flight.
    pub(super) fn is_open(&self, spelling: &str) -> bool {
        lock(&self.open).contains_key(spelling)
    }

    /// True while the question about a spelling must not be put again.
    pub(super) fn has_failed_lately(&self, spelling: &str, now: Instant) -> bool {
        lock(&self.failures).get(spelling).is_some_and(|failed| now < failed.until)
    }

    /// Takes a question out that has its answer.
    pub(super) fn close(&self, spelling: &str, question: &Arc<Question>) {
        let mut open = lock(&self.open);
        if open.get(spelling).is_some_and(|current| Arc::ptr_eq(current, question)) {
            open.remove(spelling);
        }
    }

    /// The tables of those names may have changed: descriptions on their way are worth nothing, and failures are forgotten.
    pub(super) fn tables_changed(&self, is_named: impl Fn(&str) -> bool) {
        let open = lock(&self.open);
        let named = open.iter().filter(|(spelling, _)| is_named(table_name(spelling)));
        named.for_each(|(_, question)| {
            question.changes.fetch_add(1, Ordering::AcqRel);
        });
        lock(&self.failures).retain(|spelling, _| !is_named(table_name(spelling)));
    }

    /// The upstream described the table.
    pub(super) fn succeeded(&self, spelling: &str) {
        lock(&self.failures).remove(spelling);
    }

    /// A read of the table succeeded: it exists, whatever DescribeTable said before.
    pub(super) fn table_exists(&self, spelling: &str) {
        let mut failures = lock(&self.failures);
        let reason = failures.get(spelling).map(|failed| failed.reason);
        if matches!(reason, Some(DescribeFailure::Missing | DescribeFailure::NotReady)) {
            failures.remove(spelling);
        }
    }

    /// The upstream did not describe the table: it is not asked again for a while, which doubles with each failure.
    pub(super) fn failed(&self, spelling: &str, reason: DescribeFailure, now: Instant) {
        let mut failures = lock(&self.failures);
        if failures.len() >= FAILURES_MAX {
            failures.clear();
        }
        let former = failures.get(spelling).filter(|failed| failed.reason == reason);
        let (first, longest) = delays(reason);
        let delay = former.map_or(first, |failed| (failed.delay * 2).min(longest));
        if former.is_none() {
            log(spelling, reason);
        }
        failures.insert(spelling.into(), Failed { reason, delay, until: now + delay });
    }
}

/// How long a failed question is not put again: at first, and at most.
fn delays(reason: DescribeFailure) -> (Duration, Duration) {
    let (first_ms, longest_ms) = match reason {
        DescribeFailure::NotReady => (100, 1_000),
        DescribeFailure::Missing => (250, 5_000),
        DescribeFailure::Unavailable => (250, 5_000),
        DescribeFailure::Denied | DescribeFailure::Unreadable => (1_000, 60_000),
    };
    (Duration::from_millis(first_ms), Duration::from_millis(longest_ms))
}

/// Reports what an operator can mend, once for each table.
fn log(spelling: &str, reason: DescribeFailure) {
    let table = table_name(spelling);
    match reason {
        DescribeFailure::Denied => warn!(
            table,
            code = "AccessDeniedException",
            "The table is not cached: Nearside's credentials lack the permission dynamodb:DescribeTable for it."
        ),
        DescribeFailure::Unreadable => {
            warn!(table, "The table is not cached: the upstream's answer to DescribeTable cannot be read.");
        }
        DescribeFailure::Missing | DescribeFailure::NotReady | DescribeFailure::Unavailable => {}
    }
}
