//! What other nodes report, applied to this one: descriptions are forgotten first, then everything cached is invalidated.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::{Changed, Report, TableDigest};

use super::Engine;
use super::tables::misnamed;

/// How much longer than its sender says a change of unknown outcome is expected: clocks differ in rate.
const LATE_MARGIN: Duration = Duration::from_secs(1);

/// The most different changes that are expected late. Beyond them, anything is.
const LATE_MAX: usize = 1_000;

/// Tables whose descriptions other nodes may still change, and until when.
#[derive(Debug, Default)]
pub(super) struct LateChanges(Mutex<HashMap<Changed, Instant>>);

impl LateChanges {
    /// Expects a change until then. Returns it, or anything if too much is expected, if that was not expected before: then somebody
    /// must wait for it.
    fn expect(&self, changed: &Changed, due: Instant) -> Option<Changed> {
        let mut late = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = late.len() >= LATE_MAX && !late.contains_key(changed);
        let expected = if is_full { &Changed::Everything } else { changed };
        match late.entry(expected.clone()) {
            Entry::Occupied(mut expected) => {
                *expected.get_mut() = due.max(*expected.get());
                None
            }
            Entry::Vacant(place) => {
                place.insert(due);
                Some(expected.clone())
            }
        }
    }

    /// When a change that is expected will be over; `None` if it is, and then it is expected no longer.
    fn due(&self, changed: &Changed, now: Instant) -> Option<Instant> {
        let mut late = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = late.get(changed).copied().filter(|due| *due > now);
        if due.is_none() {
            late.remove(changed);
        }
        due
    }
}

impl Engine {
    /// Applies what another node has reported. When it returns, no reader is given anything that the report says is old.
    pub fn apply_report(&self, report: &Report, now: Instant) {
        let is_named = |table: TableDigest| move |name: &str| self.cache.digest_of(name) == table;
        let forgotten = match report {
            Report::IndexesRead(table) => return self.tables.note_index_pages_elsewhere(*table, now),
            Report::Changed(changed) | Report::MayChange(changed, _) => match changed {
                Changed::Item(_) | Changed::Table(_) => Vec::new(),
                Changed::Definition(table) => self.tables.forget_all(is_named(*table)),
                Changed::Everything => self.tables.forget_all(|_| true),
            },
        };
        // After the descriptions: what is understood by one of them from here on finds it retired.
        self.pages.apply(report, now);
        self.report(|| misnamed(&forgotten)).let_go();
        // The caches see to what is cached by themselves.
        if let Report::MayChange(changed @ (Changed::Definition(_) | Changed::Everything), left) = report {
            self.expect_late(changed, now + *left + LATE_MARGIN);
        }
    }

    /// Forgets descriptions once more when the change can land no longer.
    fn expect_late(&self, changed: &Changed, due: Instant) {
        let (Some(changed), Some(engine)) = (self.late.expect(changed, due), self.itself.upgrade()) else {
            return;
        };
        let closing = self.closing.clone();
        self.tasks.spawn(async move {
            while let Some(due) = engine.late.due(&changed, Instant::now()) {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = closing.cancelled() => return,
                }
            }
            engine.apply_report(&Report::Changed(changed), Instant::now());
        });
    }

    /// Lets what is cached be served until then. To be called when everything is applied that this counts on.
    pub fn renew_lease(&self, until: Instant) {
        self.cache.renew_lease(until);
    }

    /// Takes note that everything was invalidated when the machine had stood still for so many milliseconds in all.
    pub fn forget_stops(&self, stopped_ms: u64) {
        self.cache.note_stops(stopped_ms);
    }

    /// Lets nothing be served any more that was sent for before now.
    pub fn end_lease(&self, now: Instant) {
        self.cache.end_lease(now);
    }
}
