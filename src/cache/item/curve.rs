//! What the simulations of other sizes hear of the item cache, and what they say.

use tokio::time::Instant;

use super::ItemCache;
use crate::cache::entry::{Entry, Facts, NewEntry};
use crate::cache::store::stored_bytes;
use crate::cache::table::Address;
use crate::cache::words::Version;
use crate::insight::curve::{CurveReport, Event, RealCache, Scale, Stored};

/// How finely other sizes are simulated.
pub(super) const SIMULATED: Scale = Scale { entries_max: 2560, overhead_bytes: 128 };

/// Who has brought an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum InstalledBy {
    /// The read of a miss.
    Fill,
    /// A write, or a page that shows the item.
    Other,
}

impl ItemCache {
    /// What the hit ratio would be at other sizes. Tables have the numbers of [`ItemCache::known_tables`].
    pub(crate) fn curve(&self) -> CurveReport {
        self.curve.report()
    }

    /// Events that the simulations missed, and the bytes that they occupy.
    pub(crate) fn curve_cost(&self) -> (u64, usize) {
        (self.curve.dropped(), self.curve.bytes())
    }

    /// A hit of an address that the simulations take.
    #[cold]
    pub(super) fn note_hit(&self, address: &Address<'_>, entry: &Entry, facts: &Facts) {
        let stored = stored(entry.bytes(), entry.crc32(), entry.is_absence(), facts);
        self.curve.note(event(address, facts.version, true, Some(stored)));
    }

    /// A miss has brought what is not stored.
    pub(in crate::cache) fn note_unstored(&self, address: &Address<'_>, version: Version) {
        if self.curve.takes(address.hash) {
            self.curve.note(event(address, version, true, None));
        }
    }

    /// Simulates what was noted.
    pub(super) fn simulate(&self, now: Instant) {
        let usage = self.store.usage();
        let real = RealCache { entries: usage.entries, overhead_bytes: usage.overhead_bytes };
        self.curve.drain(self.elapsed_ms(now), &real, || {
            let tables = self.known_tables();
            let reads = tables.iter().map(|table| (table.id(), table.counters.reads()));
            reads.filter(|(_, reads)| *reads > 0).collect()
        });
    }
}

/// What is to be noted when the entry is stored.
pub(super) fn install_event(
    address: &Address<'_>,
    entry: &NewEntry<'_>,
    facts: &Facts,
    by: InstalledBy,
) -> Event {
    let stored = stored(entry.bytes(), entry.crc32(), entry.is_absence(), facts);
    event(address, facts.version, by == InstalledBy::Fill, Some(stored))
}

fn event(address: &Address<'_>, version: Version, is_read: bool, stored: Option<Stored>) -> Event {
    let (hash, table) = (address.hash, address.table.id());
    Event { hash, version: version.digest(), table, is_read, is_scan: false, stored }
}

fn stored(bytes: usize, crc32: u32, is_absence: bool, facts: &Facts) -> Stored {
    Stored {
        bytes: u32::try_from(stored_bytes(bytes)).unwrap_or(u32::MAX),
        crc32,
        is_absence,
        filled_ms: facts.read_ms,
        expires_ms: facts.expires_ms,
    }
}
