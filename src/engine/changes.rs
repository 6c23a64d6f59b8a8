//! Changes that the upstream reports by itself: what they take out of the cache, and nothing more.
//!
//! An upstream that reports knows each change exactly, and says so before anybody hears that it was made. So nothing has to be
//! guessed: what a write did not change stays cached, be it rejected, a statement, or one of several of the same item. Items that
//! a request names by their keys are left to the guard of that request, which stores what it has written.

use std::sync::{Arc, PoisonError};

use tokio::time::Instant;

use crate::cache::{BumpReason, CachedTable, PageChange, RemovalGuard, WriteGuard};
use crate::call::ChangeListener;
use crate::model::{Cause, Change};

use super::Engine;

impl ChangeListener for Engine {
    /// Nobody is told that an item has expired, but some reader is the first to miss it. So nothing shows it from the moment
    /// before that, and nothing that does is stored until every reader misses it.
    fn changing(&self, changes: &[Change]) {
        let expired: Vec<_> = changes.iter().filter(|change| change.cause == Cause::Expiry).collect();
        if expired.is_empty() {
            return;
        }
        let now = Instant::now();
        let places: Vec<_> = expired.iter().flat_map(|change| Place::all(change, self)).collect();
        let addresses: Vec<_> = places.iter().map(|(_, place)| place.table.address(&place.key)).collect();
        // While the write is in flight, no image that is read is stored.
        let guard = self.cache.begin_write(&addresses, now);
        let remove = |(change, place): &(&Change, Place)| self.pages.begin_removal(&place.pages(change), now);
        let pages = places.iter().map(remove).collect();
        addresses.iter().for_each(|address| self.cache.invalidate(address, now));
        *self.removing.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Removal { items: guard, _pages: pages });
    }

    fn changed(&self, changes: &[Change]) {
        let now = Instant::now();
        for (change, place) in changes.iter().flat_map(|change| Place::all(change, self)) {
            let pages = place.pages(change);
            let reason = if change.cause == Cause::Keyed { BumpReason::Write } else { BumpReason::Reported };
            // Pages first: an item out of a page is stored only while the page is good.
            self.pages.invalidate(&pages, reason, now);
            if change.cause != Cause::Keyed {
                self.cache.invalidate(&place.table.address(&place.key), now);
            }
        }
        if let Some(removal) = self.removing.lock().unwrap_or_else(PoisonError::into_inner).take() {
            removal.items.spare(now);
        }
    }
}

/// Items that the upstream is removing by itself, from before the first reader misses them until every reader does.
pub(super) struct Removal {
    items: WriteGuard,
    _pages: Vec<RemovalGuard>,
}

/// Where in the cache a changed item is.
struct Place {
    table: Arc<CachedTable>,
    /// The canonical bytes of its key.
    key: Vec<u8>,
    /// Those of the partition values, with which the key begins.
    partition_bytes: usize,
}

impl Place {
    /// The places of a change: one in each table of the name, and none if none was used yet.
    fn all<'a>(change: &'a Change, engine: &Engine) -> Vec<(&'a Change, Self)> {
        let tables = engine.cache.tables_named(engine.realm, &change.table.name);
        tables.into_iter().map(|table| (change, Self::of(change, table))).collect()
    }

    fn of(change: &Change, table: Arc<CachedTable>) -> Self {
        let mut partition = Vec::with_capacity(64);
        change.key.write_partition(&mut partition);
        Self { table, key: change.key.canonical_bytes(), partition_bytes: partition.len() }
    }

    fn pages<'a>(&'a self, change: &'a Change) -> PageChange<'a> {
        let moves = change.moves.iter().filter_map(|moved| {
            let index = self.table.used_index(&change.table.indexes[moved.index].name)?;
            Some((index, moved.partitions.as_slice()))
        });
        PageChange {
            table: &self.table,
            partition: &self.key[..self.partition_bytes],
            moves: moves.collect(),
        }
    }
}
