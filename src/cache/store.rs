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
    fitted: Mutex<Fitted>,
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
            fitted: Mutex::new(Fitted { weight_max: bytes_max, slices_bytes: 0 }),
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

    /// What of the budget the entries may not weigh: the tables, and what is in pieces.
    fn overhead_bytes(&self, bytes_max: u64) -> u64 {
        let fitted = self.fitted.lock().unwrap_or_else(PoisonError::into_inner);
        bytes_max.saturating_sub(fitted.weight_max)
    }

    /// Gives the entries what the tables leave, and what the slices that they lie in allow.
    fn fit_budget(&self) {
        let mut fitted = self.fitted.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes_max = self.bytes_max.load(Ordering::Relaxed);
        let room = bytes_max.saturating_sub(self.table_bytes()).max(1);
        let before = *fitted;
        fitted.fit(room, self.weight(), self.slices.bytes());
        // Quick_cache rounds its memory of evicted hashes down at each change, so small changes are left out.
        if before.weight_max.abs_diff(fitted.weight_max) > bytes_max / 128 {
            let per_part = (fitted.weight_max / self.parts.len() as u64).max(1);
            for part in &self.parts {
                let before = part.len();
                part.set_capacity(per_part);
                self.evictions.fetch_add(before.saturating_sub(part.len()) as u64, Ordering::Relaxed);
            }
        } else {
            fitted.weight_max = before.weight_max;
        }
    }
}

/// How much the entries may weigh, so that the slices that they lie in fit.
///
/// A slice goes back when all in it is gone, so evicting makes holes first. Holes are filled by entries of the same size, and are
/// no loss then: taking them off the weight again and again would empty the cache. So only slices that came since the last time are
/// taken off. Entries of other sizes need slices of their own, and what they push out frees old ones in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fitted {
    weight_max: u64,
    /// The bytes of all slices, when the weight was last fitted.
    slices_bytes: u64,
}

impl Fitted {
    /// What slices may pass the room by before the excess itself is taken off, as a part of the room.
    const EXCESS_PART: u64 = 32;

    /// Fits the weight. `room` is what the tables leave of the budget, `weight` that of the entries.
    fn fit(&mut self, room: u64, weight: u64, slices_bytes: u64) {
        let grown = slices_bytes.saturating_sub(self.slices_bytes.max(room));
        let excess = slices_bytes.saturating_sub(room + room / Self::EXCESS_PART);
        self.slices_bytes = slices_bytes;
        self.weight_max = match slices_bytes <= room {
            true => weight.saturating_add(room - slices_bytes),
            false => self.weight_max.min(weight).saturating_sub(grown.max(excess / 8)),
        };
        // A budget of a few megabytes would vanish in slices that have only begun to fill.
        self.weight_max = self.weight_max.clamp(room.div_ceil(2), room);
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

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: u64 = 100 << 20;
    const STEP: u64 = 1 << 20;

    #[test]
    fn holes_that_entries_of_the_same_size_fill_are_taken_off_once() {
        // A page of 64 KiB loses 3 % to its end, and slices pass the room by a little when the entries' weight has reached it.
        let mut fitted = Fitted { weight_max: ROOM, slices_bytes: 0 };
        fitted.fit(ROOM, ROOM * 97 / 100, ROOM + STEP);
        let once = fitted.weight_max;
        assert_eq!(once, ROOM * 97 / 100 - STEP);
        // The holes that this made do not go away, and nothing grows.
        for _ in 0..1000 {
            fitted.fit(ROOM, once, ROOM + STEP);
        }
        assert_eq!(fitted.weight_max, once);
        // When slices go back, the weight comes back.
        fitted.fit(ROOM, once, ROOM - 3 * STEP);
        assert_eq!(fitted.weight_max, once + 3 * STEP);
    }

    #[test]
    fn slices_of_another_size_push_out_as_much_as_they_take() {
        let mut fitted = Fitted { weight_max: ROOM, slices_bytes: ROOM };
        for step in 1..=3 {
            fitted.fit(ROOM, fitted.weight_max, ROOM + step * STEP);
        }
        assert_eq!(fitted.weight_max, ROOM - 3 * STEP);
    }

    #[test]
    fn much_that_stays_in_pieces_is_taken_off_bit_by_bit_down_to_half() {
        let mut fitted = Fitted { weight_max: ROOM, slices_bytes: 0 };
        for _ in 0..1000 {
            fitted.fit(ROOM, fitted.weight_max, ROOM * 3 / 2);
        }
        assert_eq!(fitted.weight_max, ROOM / 2);
    }

    #[test]
    fn a_full_store_of_entries_of_one_size_holds_nearly_what_its_budget_allows() {
        use crate::cache::cached_item::CachedItem;
        use crate::cache::entry::{Facts, NEVER_MS};
        use crate::cache::words::Version;

        const BUDGET: u64 = 16 << 20;
        let store = BudgetedStore::new(BUDGET);
        let image = CachedItem::present(&[b'x'; 272], 272);
        let version = Version { stripe: 0, table: 0 };
        let facts = Facts { version, table: 0, read_ms: 0, expires_ms: NEVER_MS };
        let entry = |n: u64| Entry::pack(facts, &n.to_le_bytes(), &image).expect("the key is short enough");
        let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        for n in 0..200_000 {
            store.insert(spread(n), entry(n));
        }
        let usage = store.usage();
        let entries_bytes = usage.entries * entry(0).allocated_bytes();
        let room = BUDGET - store.table_bytes();
        assert!(entries_bytes > room * 9 / 10, "{usage:?}: {entries_bytes} of {room}");
        assert!(usage.bytes <= BUDGET * 102 / 100, "{usage:?}");
    }
}
