//! What other nodes have changed, applied to items and to whole tables.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::{ItemCache, Rule};
use crate::cache::elsewhere::{Changed, ChangedItem, TableDigest};
use crate::cache::slots::Shard;
use crate::cache::stats::{BumpReason, raise};
use crate::cache::table::CachedTable;
use crate::cache::words::Stripe;

impl ItemCache {
    /// Invalidates what another node has changed, and holds it if it may still change until then. Must be applied to pages first,
    /// or an item of an older page could be stored after it.
    pub(in crate::cache) fn apply(&self, changed: &Changed, held_until: Option<Instant>, now: Instant) {
        let held_until = held_until.filter(|_| self.obeys(Rule::HoldElsewhere));
        match changed {
            Changed::Item(item) => self.apply_item(item, held_until, now),
            Changed::Table(digest) | Changed::Definition(digest) => {
                self.apply_to_tables(Some(*digest), held_until, now);
            }
            Changed::Everything => self.apply_to_tables(None, held_until, now),
        }
    }

    fn apply_item(&self, item: &ChangedItem, held_until: Option<Instant>, now: Instant) {
        let stripe = self.words.stripe(item.item);
        let mut shard = self.slots.lock(stripe);
        if self.obeys(Rule::TouchOnElsewhere) {
            // Before the bump, or a fill with the new word might still be read from a replica that lags.
            self.words.touch(stripe, self.seconds(now));
        }
        match held_until {
            _ if !self.obeys(Rule::BumpOnElsewhere) => {}
            Some(until) => self.hold(&mut shard, stripe, until, BumpReason::Elsewhere),
            None if self.is_unknown(item.item, &shard, stripe) => raise(&self.counters.bumps_spared),
            None => self.bump(stripe, BumpReason::Elsewhere),
        }
    }

    /// True if nothing vouches for the item by the present word of its stripe: what captures it from now on is sent after the item was
    /// touched. A bump would only invalidate the other items of the stripe, and in a fleet that writes much more than this node
    /// reads, hardly any of them would live to be read.
    fn is_unknown(&self, hash: u64, shard: &Shard, stripe: Stripe) -> bool {
        let is_idle = !shard.flights().has(hash) && !shard.is_active(stripe);
        (is_idle || !self.obeys(Rule::SpareOnlyWhatNothingHolds)) && !self.store.contains(hash)
    }

    /// `None` means all tables.
    fn apply_to_tables(&self, digest: Option<TableDigest>, held_until: Option<Instant>, now: Instant) {
        self.note_invalidation(now);
        if let Some(until) = held_until {
            // Held before the word moves, or a fill with the new word might still be stored.
            self.hold_digest(digest, until, now);
        }
        let tables = digest.map_or_else(|| self.known_tables(), |digest| self.tables_by_digest(digest));
        if self.obeys(Rule::BumpOnElsewhere) {
            tables.iter().for_each(|table| self.invalidate_for(table, BumpReason::Elsewhere, now));
        }
    }

    /// The tables that another node means. If none is in use, what is read of one first will be read strongly.
    pub(in crate::cache) fn tables_reported(
        &self,
        digest: TableDigest,
        now: Instant,
    ) -> Vec<Arc<CachedTable>> {
        let tables = self.tables_by_digest(digest);
        if !tables.is_empty() {
            return tables;
        }
        self.note_invalidation(now);
        // One that was first used meanwhile may not have found the note.
        self.tables_by_digest(digest)
    }

    fn note_invalidation(&self, now: Instant) {
        self.last_invalidation.fetch_max(self.seconds(now), Ordering::AcqRel);
    }
}
