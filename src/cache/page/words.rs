//! The words of all scopes: what a fetch captures, what a write bumps, and what lags behind.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::super::table::CachedTable;
use super::super::words::{Stripe, Words, digest_of};
use super::scope::{CachedIndex, Extent, IndexWord, PageScope};

/// A copy of the words is shared by the pages that begin within this time.
const COPY_AGE_MAX: Duration = Duration::from_secs(1);

/// The most copies of the words in memory, for all warm-ups together. While there are so many, the newest is shared for longer.
pub(super) const COPIES_MAX: usize = 4;

/// What a fetch of a page captures before it is sent. Equal versions mean that nothing happened between them that could
/// have changed the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PageVersion {
    pub(super) table: u64,
    pub(super) scope: u64,
    /// The word of the whole index; 0 for pages of tables.
    pub(super) index: u64,
}

impl PageVersion {
    /// A digest, to distinguish versions where a collision does no harm.
    pub(super) fn digest(self) -> u32 {
        digest_of([self.scope, self.table, self.index])
    }
}

#[derive(Debug)]
pub(super) struct PageWords {
    partitions: Words,
    /// When copies of them were made that are still in use. The newest is the last.
    copies: Mutex<Vec<(Instant, Weak<[u64]>)>>,
    index_partitions: Box<[IndexWord]>,
}

impl PageWords {
    pub(super) fn new(partition_stripes: usize, index_partition_stripes: usize) -> Self {
        let index_stripes = index_partition_stripes.next_power_of_two();
        Self {
            partitions: Words::new(partition_stripes),
            copies: Mutex::default(),
            index_partitions: (0..index_stripes).map(|_| IndexWord::default()).collect(),
        }
    }

    /// Must be called before the page is asked of the upstream.
    pub(super) fn version(&self, table: &CachedTable, scope: &PageScope) -> PageVersion {
        let (scope, index) = match &scope.0 {
            Extent::Partition(hash) => (self.partitions.load(self.partitions.stripe(*hash)), 0),
            Extent::Table => (table.pages.scan_word(), 0),
            Extent::IndexPartition(index, hash) => (self.index_partition(*hash).load(), index.whole.load()),
            Extent::Index(index) => (index.scan.load(), index.whole.load()),
        };
        PageVersion { table: table.word(), scope, index }
    }

    /// A copy of the words of all partitions, by their stripes, as they are now or were before. Must be called before whatever they
    /// are to vouch for is asked of the upstream. An older copy is only stricter.
    pub(super) fn share_partitions(&self, now: Instant) -> Arc<[u64]> {
        // Copied under the lock, so that pages that begin together make one copy.
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        copies.retain(|(_, copy)| copy.strong_count() > 0);
        let newest = copies.last().and_then(|(made, copy)| Some((*made, copy.upgrade()?)));
        if let Some((made, copy)) = newest {
            let is_young = now.saturating_duration_since(made) < COPY_AGE_MAX;
            if is_young || copies.len() >= COPIES_MAX {
                return copy;
            }
        }
        let copy = self.partitions.load_all();
        copies.push((now, Arc::downgrade(&copy)));
        copy
    }

    /// How many copies of the words are in memory.
    #[cfg(test)]
    pub(super) fn copies(&self) -> usize {
        let copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        copies.iter().filter(|(_, copy)| copy.strong_count() > 0).count()
    }

    pub(super) fn partition(&self, stripe: Stripe) -> u64 {
        self.partitions.load(stripe)
    }

    pub(super) fn stripe(&self, partition_hash: u64) -> Stripe {
        self.partitions.stripe(partition_hash)
    }

    pub(super) fn index_partition(&self, hash: u64) -> &IndexWord {
        &self.index_partitions[hash as usize & (self.index_partitions.len() - 1)]
    }

    /// Invalidates the pages of a scope and no others: something was seen that contradicts them.
    pub(super) fn bump(&self, table: &CachedTable, scope: &PageScope) {
        match &scope.0 {
            Extent::Partition(hash) => self.partitions.bump(self.partitions.stripe(*hash)),
            Extent::Table => table.pages.bump_scan(),
            Extent::IndexPartition(_, hash) => self.index_partition(*hash).bump(),
            Extent::Index(index) => index.scan.bump(),
        }
    }

    pub(super) fn bump_partition(&self, stripe: Stripe) {
        self.partitions.bump(stripe);
    }

    pub(super) fn touch_partition(&self, stripe: Stripe, seconds: u64) {
        self.partitions.touch(stripe, seconds);
    }

    /// Notes that a page of a table was strongly seen: a replica that lags might not have it yet.
    pub(super) fn touch(&self, table: &CachedTable, scope: &PageScope, seconds: u64) {
        match &scope.0 {
            Extent::Partition(hash) => self.partitions.touch(self.stripe(*hash), seconds),
            Extent::Table => table.pages.touch(seconds),
            Extent::IndexPartition(..) | Extent::Index(_) => {}
        }
    }

    /// True if an eventually consistent read of a table, sent now, might miss what this node wrote or saw.
    pub(super) fn is_touched(&self, table: &CachedTable, scope: &PageScope, seconds: u64) -> bool {
        let is_scope_touched = match &scope.0 {
            Extent::Partition(hash) => self.partitions.is_touched(self.stripe(*hash), seconds),
            Extent::Table => table.pages.is_touched(seconds),
            Extent::IndexPartition(..) | Extent::Index(_) => false,
        };
        is_scope_touched || table.is_touched(seconds)
    }

    /// When a global index was last written to, as far as a page of that scope may show it: milliseconds since the cache
    /// was made, rounded up.
    pub(super) fn written_ms(&self, index: &CachedIndex, scope: &PageScope) -> u64 {
        let scope_written_ms = match &scope.0 {
            Extent::IndexPartition(_, hash) => self.index_partition(*hash).written_ms(),
            Extent::Index(index) => index.scan.written_ms(),
            Extent::Partition(_) | Extent::Table => 0,
        };
        scope_written_ms.max(index.whole.written_ms())
    }
}
