//! What a page depends on, and the words that invalidate it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Semaphore;

use super::super::secret::Secret;
use super::super::table::CachedTable;
use super::super::words::LAG_SECONDS_MAX;
use super::stats::{ScopeCounters, ScopeStats};

/// How many fetches of pages of one table may be in flight. One client that pages through many partitions must not take
/// the upstream away from all others.
const FILLS_PER_TABLE_MAX: usize = 64;

/// A global secondary index as the cache sees it. Get it from [`CachedTable::index`], once, and keep it.
#[derive(Debug)]
pub struct CachedIndex {
    name: Box<str>,
    digest: u64,
    secret: Secret,
    /// Invalidates all pages of the index.
    pub(super) whole: IndexWord,
    /// Invalidates the scans of the index.
    pub(super) scan: IndexWord,
    pub(super) counters: ScopeCounters,
}

impl CachedIndex {
    /// The index's name, as it was asked for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What happened to the pages of this index so far.
    pub fn stats(&self) -> ScopeStats {
        self.counters.snapshot()
    }

    /// By what the nodes of a fleet call the index in their reports. Outside of a fleet it means nothing to others.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    pub(super) fn hash(&self, partition: &[u8]) -> u64 {
        self.secret.hash(partition)
    }
}

/// A word of an index, and when it was last bumped for a write.
#[derive(Debug, Default)]
pub(super) struct IndexWord {
    word: AtomicU64,
    /// Milliseconds since the cache was made, rounded up. It begins as 0: the process before this one may have
    /// acknowledged a write just before it ended.
    written_ms: AtomicU64,
}

impl IndexWord {
    pub(super) fn load(&self) -> u64 {
        self.word.load(Ordering::Acquire)
    }

    pub(super) fn bump(&self) {
        self.word.fetch_add(1, Ordering::AcqRel);
    }

    /// Notes when the index was written to, which begins a quarantine. Must come before the bump, or a page with the new
    /// word might miss it.
    pub(super) fn note_write(&self, now_ms: u64) {
        self.written_ms.fetch_max(now_ms + 1, Ordering::AcqRel);
    }

    pub(super) fn written_ms(&self) -> u64 {
        self.written_ms.load(Ordering::Acquire)
    }
}

/// What a table keeps for its pages.
#[derive(Debug)]
pub(in super::super) struct TablePages {
    /// Invalidates the scans of the table.
    scan: AtomicU64,
    /// Seconds since the cache was made, when any partition was last written.
    written_seconds: AtomicU64,
    /// Milliseconds since the cache was made, rounded up, when the table was last written: an index that is first used
    /// now may still lack that write.
    written_ms: AtomicU64,
    /// How many writes of single items are in flight, each counted once for every item.
    pub(super) writes: AtomicU64,
    /// How many removals by the upstream itself are in flight.
    pub(super) removals: AtomicU32,
    indexes: RwLock<HashMap<Box<str>, Arc<CachedIndex>>>,
    pub(super) fills: Arc<Semaphore>,
    pub(super) counters: ScopeCounters,
}

impl Default for TablePages {
    fn default() -> Self {
        Self {
            scan: AtomicU64::new(0),
            written_seconds: AtomicU64::new(0),
            written_ms: AtomicU64::new(0),
            writes: AtomicU64::new(0),
            removals: AtomicU32::new(0),
            indexes: RwLock::default(),
            fills: Arc::new(Semaphore::new(FILLS_PER_TABLE_MAX)),
            counters: ScopeCounters::default(),
        }
    }
}

impl TablePages {
    pub(super) fn scan_word(&self) -> u64 {
        self.scan.load(Ordering::Acquire)
    }

    pub(super) fn bump_scan(&self) {
        self.scan.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn touch(&self, seconds: u64) {
        self.written_seconds.fetch_max(seconds, Ordering::AcqRel);
    }

    /// True if an eventually consistent scan sent now might miss what this node wrote.
    pub(super) fn is_touched(&self, seconds: u64) -> bool {
        seconds <= self.written_seconds.load(Ordering::Acquire) + u64::from(LAG_SECONDS_MAX)
    }

    /// Notes a write for indexes that are not known yet. Must come before [`TablePages::indexes`] is asked.
    pub(super) fn note_write(&self, now_ms: u64) {
        self.written_ms.fetch_max(now_ms + 1, Ordering::AcqRel);
    }

    pub(super) fn indexes(&self) -> Vec<Arc<CachedIndex>> {
        self.indexes.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

impl CachedTable {
    /// The global secondary index of that name, made on first use. Names must be known to exist: an index is never
    /// forgotten.
    pub fn index(&self, name: &str) -> Arc<CachedIndex> {
        let indexes = &self.pages.indexes;
        let known = indexes.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        known.unwrap_or_else(|| {
            let mut indexes = indexes.write().unwrap_or_else(PoisonError::into_inner);
            let number = indexes.len() as u64 + 1;
            let new_index = || {
                let whole = IndexWord::default();
                // Under the lock: a write that does not find this index in the map had left its note before.
                whole.written_ms.store(self.pages.written_ms.load(Ordering::Acquire), Ordering::Release);
                Arc::new(CachedIndex {
                    name: name.into(),
                    digest: self.secrets().index_digest(name),
                    secret: self.secrets().of_index(number, name).secret(),
                    whole,
                    scan: IndexWord::default(),
                    counters: ScopeCounters::default(),
                })
            };
            indexes.entry(name.into()).or_insert_with(new_index).clone()
        })
    }

    /// The global secondary index of that name, if it was used before. Of any other there is nothing to invalidate.
    pub fn used_index(&self, name: &str) -> Option<Arc<CachedIndex>> {
        self.pages.indexes.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// What happened to the pages of this table and of its local indexes so far; global indexes count their own.
    pub fn page_stats(&self) -> ScopeStats {
        self.pages.counters.snapshot()
    }
}

/// What a page depends on. It is made once a request, or kept with one that is repeated.
#[derive(Clone, Debug)]
pub struct PageScope(pub(super) Extent);

#[derive(Clone, Debug)]
pub(super) enum Extent {
    /// The hash of a partition of the table.
    Partition(u64),
    Table,
    /// The index, and the hash of a partition of it.
    IndexPartition(Arc<CachedIndex>, u64),
    Index(Arc<CachedIndex>),
}

impl PageScope {
    /// Of a Query of a table or a local index: the items of one partition, named by the canonical bytes of its key.
    pub fn partition(table: &CachedTable, partition: &[u8]) -> Self {
        Self(Extent::Partition(table.hash(partition)))
    }

    /// Of a Scan of a table or a local index.
    pub fn table() -> Self {
        Self(Extent::Table)
    }

    /// Of a Query of a global index: the items of one partition of the index, named by the canonical bytes of its key.
    pub fn index_partition(index: &Arc<CachedIndex>, partition: &[u8]) -> Self {
        Self(Extent::IndexPartition(index.clone(), index.hash(partition)))
    }

    /// Of a Scan of a global index.
    pub fn index(index: &Arc<CachedIndex>) -> Self {
        Self(Extent::Index(index.clone()))
    }

    pub(super) fn global_index(&self) -> Option<&Arc<CachedIndex>> {
        match &self.0 {
            Extent::IndexPartition(index, _) | Extent::Index(index) => Some(index),
            Extent::Partition(_) | Extent::Table => None,
        }
    }

    pub(super) fn is_scan(&self) -> bool {
        matches!(self.0, Extent::Table | Extent::Index(_))
    }

    pub(super) fn counters<'a>(&'a self, table: &'a CachedTable) -> &'a ScopeCounters {
        self.global_index().map_or(&table.pages.counters, |index| &index.counters)
    }
}
