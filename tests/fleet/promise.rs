//! What a fleet promises, as its scenarios check it.

use std::time::Duration;

use crate::nodes::Fleet;
use crate::recorder::{History, Violation, histogram};

/// How long after its acknowledgement a write may stay unseen elsewhere: the config's `lease`.
pub(crate) const BOUND: Duration = Duration::from_secs(1);

/// How long a phase of load lasts: longer than the bound, or nothing could break it.
pub(crate) fn phase() -> Duration {
    crate::number("NEARSIDE_FLEET_SECONDS").map_or(Duration::from_millis(1_500), Duration::from_secs)
}

/// No read is older than a write that was acknowledged more than the bound before it began, and there were reads and writes.
pub(crate) fn assert_bounded(history: &History) {
    assert_none(history, &history.older_than(BOUND), "older than promised");
}

/// No read is older than a write that was acknowledged before it began.
pub(crate) fn assert_strict(history: &History) {
    assert_none(history, &history.older_than_acknowledged(), "older than acknowledged");
}

fn assert_none(history: &History, found: &[Violation], what: &str) {
    println!(
        "{} acknowledged of {} writes, {} reads, {} of them behind an earlier one at the same node; {}",
        history.acknowledged(),
        history.writes.len(),
        history.reads.len(),
        // Not promised: while a write is in flight, a read may return it and the next one not.
        history.monotone_per_node().len(),
        histogram(&history.lags())
    );
    assert!(
        history.acknowledged() > 10 && history.reads.len() > 100,
        "the load is too small to show anything"
    );
    let Some(first) = found.iter().min_by_key(|found| found.read.begin) else { return };
    let near = |at: Duration| at + 2 * BOUND > first.read.begin && at < first.read.end;
    let writes = history.writes.iter().filter(|write| write.key == first.read.key && near(write.end));
    panic!(
        "{} reads are {what}, first {first:?}; the writes before it: {:#?}",
        found.len(),
        writes.collect::<Vec<_>>()
    );
}

/// Some reads were answered from memory, or the fleet was never at risk.
pub(crate) fn assert_hits(fleet: &Fleet) {
    assert!(fleet.metric("nearside_cache_hits_total") > 20, "hardly anything was cached");
}
