//! Where entries lie until they are used, replaced or pushed out. It only remembers: whether an entry may be used is
//! decided by the words, so a store may forget at any time.
//!
//! The store of the product is quick_cache, chosen over moka by measurement (`docs/adr/2026-11-21-item-store.md`). It is
//! cut into shards of our own, each a cache with one shard, so that reclaiming can go through it a slice at a time.
//!
//! **The budget.** An entry weighs what the allocator gives for it ([`Entry::allocated_bytes`]). The tables around the
//! entries are not part of that weight, because they keep their size when entries go: they are asked for it after every
//! few inserts, and what they occupy is taken off the weight that the shards may hold. So is what the entries keep of the
//! allocator's memory beyond their weight ([`Slices`]): where much is in pieces, less is held.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use super::entry::Entry;
use super::slices::Slices;
use crate::key_hasher::Hashed;

/// A shard smaller than this could not take the largest items, so small budgets have few shards.
const SHARD_BYTES_MIN: u64 = 4 << 20;

const SHARDS_MAX: u64 = 64;

/// The size of a common entry. It decides how many hashes of evicted entries are remembered, to tell what comes back.
const ENTRY_BYTES_TYPICAL: u64 = 512;

/// Evicted hashes remembered, as a part of the entries that fit. Each occupies as much of the tables as an entry does.
const GHOSTS: f64 = 0.25;

/// What one more entry adds to the tables at most: a place in the list, and a bucket when the hash table has just grown.
const TABLE_BYTES_PER_ENTRY_MAX: u64 = 160;

/// Remembers entries by the hash of their address. Two addresses of one hash push each other out.
pub(super) trait Store: Send + Sync {
    fn get(&self, hash: u64) -> Option<Entry>;
    /// True if there is an entry, dead or alive. To look for one does not count as a use of it.
    fn contains(&self, hash: u64) -> bool;
    /// Stores an entry in place of an older one. False if it is too large to be stored; then the older one is gone too.
    fn insert(&self, hash: u64, entry: Entry) -> bool;
    /// Forgets the entries of the next slice that are dead, and says how many they were.
    fn reclaim(&self, is_dead: &dyn Fn(u64, &Entry) -> bool) -> u64;
    /// Forgets an entry, as a store may at any time.
    #[cfg(test)]
    fn evict(&self, hash: u64);
    fn set_bytes_max(&self, bytes_max: u64);
    fn usage(&self) -> Usage;
}

/// How large the store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) bytes_max: u64,
    pub(super) evictions: u64,
    /// What the entries cost beside their own bytes: the tables around them, and memory in pieces.
    pub(super) overhead_bytes: u64,
}

type Part = Cache<u64, Entry, AllocatedBytes, Hashed, Departures>;

/// The store of the product.
pub(super) struct BudgetedStore {
    parts: Box<[Part]>,
    bytes_max: AtomicU64,
    /// What the parts may weigh together now, without their tables.
    weight_max: Mutex<u64>,
    /// Where the entries lie.
    slices: Arc<Slices>,
    /// The bytes of all inserts so far.
    inserted_bytes: AtomicU64,
    evictions: AtomicU64,
    /// The part that is reclaimed next.
    next_slice: AtomicU64,
}

impl BudgetedStore {
    pub(super) fn new(bytes_max: u64) -> Self {
        let parts = (bytes_max / SHARD_BYTES_MIN).clamp(1, SHARDS_MAX);
        // Rounded down, or a part would be smaller than the least that is useful.
        let parts = 1 << parts.ilog2();
        let slices = Arc::new(Slices::default());
        Self {
            parts: (0..parts).map(|_| Self::part(bytes_max / parts, &slices)).collect(),
            bytes_max: AtomicU64::new(bytes_max),
            weight_max: Mutex::new(bytes_max),
            slices,
            inserted_bytes: AtomicU64::new(0),
            evictions: AtomicU64::new(0),
            next_slice: AtomicU64::new(0),
        }
    }

    fn part(bytes_max: u64, slices: &Arc<Slices>) -> Part {
        let options = OptionsBuilder::new()
            .shards(1)
            .weight_capacity(bytes_max)
            .estimated_items_capacity((bytes_max / ENTRY_BYTES_TYPICAL) as usize)
            .ghost_allocation(GHOSTS)
            .build()
            .expect("capacity and estimate are both set");
        Cache::with_options(options, AllocatedBytes, Hashed, Departures(slices.clone()))
    }

    fn part_of(&self, hash: u64) -> &Part {
        // Stripes take the low bits and quick_cache the high ones.
        &self.parts[(hash >> 32) as usize & (self.parts.len() - 1)]
    }

    /// Tables grow by doubling, and leave behind blocks as large together as they are themselves, which the allocator
    /// finds little other use for. So they count twice.
    fn table_bytes(&self) -> u64 {
        2 * self.parts.iter().map(|part| part.memory_used().total() as u64).sum::<u64>()
    }

    /// Counts an insert, and says whether the budget is to be fitted: what entries and tables can have grown by since it
    /// last was stays within 1 % of it.
    fn is_time_to_fit(&self, entry: &Entry) -> bool {
        let step = (self.bytes_max.load(Ordering::Relaxed) / 100).max(1);
        let inserted = entry.allocated_bytes() + TABLE_BYTES_PER_ENTRY_MAX;
        let before = self.inserted_bytes.fetch_add(inserted, Ordering::Relaxed);
        before / step != (before + inserted) / step
    }

    fn weight(&self) -> u64 {
        self.parts.iter().map(Cache::weight).sum()
    }

    /// What the entries cost beside their own bytes: the tables, and what is in pieces.
    fn overhead_bytes(&self, bytes_max: u64) -> u64 {
        let tables = self.table_bytes();
        let in_pieces = self.slices.bytes().saturating_sub(self.weight());
        // A budget of a few megabytes would vanish in slices that have only begun to fill.
        tables + in_pieces.min(bytes_max.saturating_sub(tables).div_ceil(2))
    }

    /// Gives the entries what the tables leave.
    fn fit_budget(&self) {
        let mut weight_max = self.weight_max.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes_max = self.bytes_max.load(Ordering::Relaxed);
        let fitting = bytes_max.saturating_sub(self.overhead_bytes(bytes_max)).max(1);
        // Quick_cache rounds its memory of evicted hashes down at each change, so small changes are left out.
        if weight_max.abs_diff(fitting) > bytes_max / 128 {
            *weight_max = fitting;
            let per_part = (fitting / self.parts.len() as u64).max(1);
            for part in &self.parts {
                let before = part.len();
                part.set_capacity(per_part);
                self.evictions.fetch_add(before.saturating_sub(part.len()) as u64, Ordering::Relaxed);
            }
        }
    }
}

impl Store for BudgetedStore {
    fn get(&self, hash: u64) -> Option<Entry> {
        self.part_of(hash).get(&hash)
    }

    fn contains(&self, hash: u64) -> bool {
        self.part_of(hash).contains_key(&hash)
    }

    fn insert(&self, hash: u64, entry: Entry) -> bool {
        if self.is_time_to_fit(&entry) {
            self.fit_budget();
        }
        self.slices.enter(entry.addresses());
        let mut outcome = Insertion { hash, inserted: entry.identity(), ..Insertion::default() };
        self.part_of(hash).insert_with_lifecycle(hash, entry, &mut outcome);
        self.evictions.fetch_add(outcome.evicted, Ordering::Relaxed);
        !outcome.is_refused
    }

    fn reclaim(&self, is_dead: &dyn Fn(u64, &Entry) -> bool) -> u64 {
        let slice = self.next_slice.fetch_add(1, Ordering::Relaxed) as usize % self.parts.len();
        let before = self.parts[slice].len();
        self.parts[slice].retain(|hash, entry| {
            let is_dead = is_dead(*hash, entry);
            if is_dead {
                self.slices.leave(entry.addresses());
            }
            !is_dead
        });
        before.saturating_sub(self.parts[slice].len()) as u64
    }

    #[cfg(test)]
    fn evict(&self, hash: u64) {
        if let Some((_, entry)) = self.part_of(hash).remove(&hash) {
            self.slices.leave(entry.addresses());
        }
    }

    fn set_bytes_max(&self, bytes_max: u64) {
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
        self.fit_budget();
    }

    fn usage(&self) -> Usage {
        let bytes_max = self.bytes_max.load(Ordering::Relaxed);
        Usage {
            entries: self.parts.iter().map(|part| part.len() as u64).sum(),
            bytes: self.weight() + self.table_bytes(),
            bytes_max,
            overhead_bytes: self.overhead_bytes(bytes_max),
            evictions: self.evictions.load(Ordering::Relaxed),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct AllocatedBytes;

impl Weighter<u64, Entry> for AllocatedBytes {
    fn weight(&self, _hash: &u64, entry: &Entry) -> u64 {
        entry.allocated_bytes()
    }
}

/// Tells evictions from the replacement and the refusal of what is being inserted, and keeps what went until the lock is
/// released.
#[derive(Clone, Debug)]
struct Departures(Arc<Slices>);

/// What one insertion did.
#[derive(Debug, Default)]
struct Insertion {
    hash: u64,
    inserted: usize,
    evicted: u64,
    is_refused: bool,
    gone: Vec<Entry>,
}

impl Lifecycle<u64, Entry> for Departures {
    type RequestState = Insertion;

    fn on_evict(&self, insertion: &mut Insertion, hash: u64, entry: Entry) {
        self.0.leave(entry.addresses());
        insertion.is_refused |= entry.identity() == insertion.inserted;
        insertion.evicted += u64::from(hash != insertion.hash);
        insertion.gone.push(entry);
    }
}
