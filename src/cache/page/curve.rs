//! What the simulations of other sizes hear of the page cache, and what they say.

use tokio::time::Instant;

use super::super::table::Address;
use super::cache::PageCache;
use super::entry::PageEntry;
use super::scope::PageScope;
use super::words::PageVersion;
use crate::insight::curve::{CurveReport, Event, RealCache, Stored};

impl PageCache {
    /// What the hit ratio of pages would be at other sizes.
    pub(crate) fn curve(&self) -> CurveReport {
        self.curve.report()
    }

    /// Events that the simulations missed, and the bytes that they occupy.
    pub(crate) fn curve_cost(&self) -> (u64, usize) {
        (self.curve.dropped(), self.curve.bytes())
    }

    /// A hit of an address that the simulations take.
    #[cold]
    pub(super) fn note_hit(&self, address: &Address<'_>, entry: &PageEntry) {
        self.curve.note(stored_event(address, entry));
    }

    /// What is to be noted when the page is stored; `None` if the simulations do not take it.
    pub(super) fn install_event(&self, address: &Address<'_>, entry: &PageEntry) -> Option<Event> {
        self.curve.takes(address.hash).then(|| stored_event(address, entry))
    }

    /// A miss has brought what is not stored.
    pub(super) fn note_unstored(&self, address: &Address<'_>, scope: &PageScope, version: PageVersion) {
        if self.curve.takes(address.hash) {
            self.curve.note(event(address, scope, version, None));
        }
    }

    /// Simulates what was noted.
    pub(super) fn simulate(&self, now: Instant) {
        // What a page costs beside its own bytes is part of its weight.
        let real = RealCache { entries: 0, overhead_bytes: 0 };
        self.curve.drain(self.items.elapsed_ms(now), &real, || {
            let reads = self.tables().into_iter().map(|(table, indexes)| {
                let indexes = indexes.iter().map(|index| index.stats());
                let reads = indexes.chain([table.page_stats()]).map(|stats| stats.hits + stats.leads);
                (table.id(), reads.sum())
            });
            reads.filter(|(_, reads)| *reads > 0).collect()
        });
    }
}

/// What is to be noted of a page that is stored, when it was asked for.
fn stored_event(address: &Address<'_>, entry: &PageEntry) -> Event {
    let facts = &entry.facts;
    let stored = Stored {
        bytes: u32::try_from(entry.allocated_bytes()).unwrap_or(u32::MAX),
        crc32: entry.crc32(),
        is_absence: false,
        filled_ms: facts.sent_ms,
        expires_ms: facts.expires_ms,
    };
    event(address, &facts.scope, facts.version, Some(stored))
}

fn event(address: &Address<'_>, scope: &PageScope, version: PageVersion, stored: Option<Stored>) -> Event {
    let (hash, table, version) = (address.hash, address.table.id(), version.digest());
    Event { hash, version, table, is_read: true, is_scan: scope.is_scan(), stored }
}
