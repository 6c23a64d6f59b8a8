//! Lookups that are counted later: for a request that is answered from memory only if all of its keys are there.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{ItemCache, Moment, Rule};
use crate::cache::cached_item::CachedItem;
use crate::cache::entry::{Entry, Facts};
use crate::cache::flights::Hit;
use crate::cache::table::{Address, CachedTable};

/// A hit of which nothing is counted yet.
#[derive(Debug)]
pub struct UncountedHit {
    entry: Entry,
    facts: Facts,
}

impl ItemCache {
    /// The answer for a key, if memory has one that may be used: [`ItemCache::lookup_at`] without its counts. Only the store has
    /// taken note of it, as a use of the entry, which matters when it must choose what to evict.
    pub fn find_at(&self, address: &Address<'_>, moment: Moment) -> Option<UncountedHit> {
        let Moment { now_ms, lease } = moment;
        let (entry, facts) = self.usable_entry(address)?;
        if now_ms >= facts.expires_ms && self.obeys(Rule::ExpireEntries) {
            return None;
        }
        if !self.may_serve(lease, facts.read_ms, now_ms) && self.obeys(Rule::LeaseGatesHits) {
            return None;
        }
        Some(UncountedHit { entry, facts })
    }

    /// Counts a hit that was found for this address at that moment, and gives its answer.
    pub fn count_hit(&self, address: &Address<'_>, found: UncountedHit, moment: Moment) -> Hit<CachedItem> {
        let hit = self.take_hit(address, found, moment);
        self.count_hits(address.table, 1, u64::from(hit.value.is_absent()));
        hit
    }

    /// The answer that was found for this address at that moment. It is to be counted by [`ItemCache::count_hits`].
    pub fn take_hit(&self, address: &Address<'_>, found: UncountedHit, moment: Moment) -> Hit<CachedItem> {
        let UncountedHit { entry, facts } = found;
        if self.curve.takes(address.hash) {
            self.note_hit(address, &entry, &facts);
        }
        let age = Duration::from_millis(moment.now_ms.saturating_sub(facts.read_ms));
        Hit { value: entry.into_image(), age }
    }

    /// Counts hits of a table, so many of which say that there is no item.
    pub fn count_hits(&self, table: &CachedTable, hits: u64, negative_hits: u64) {
        table.counters.hits.mine().fetch_add(hits, Ordering::Relaxed);
        if negative_hits > 0 {
            table.counters.negative_hits.fetch_add(negative_hits, Ordering::Relaxed);
        }
    }
}
