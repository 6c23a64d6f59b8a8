//! Where entries lie until they are used, replaced or pushed out. It only remembers: whether an entry may be used is
//! decided by the words, so a store may forget at any time.
//!
//! The store of the product is a log (`docs/adr/2026-12-01-item-log.md`). It is cut into parts by the hash, each under a lock of its
//! own and with its share of the budget: see [`part`]. A hit takes that lock shared, and allocates nothing; only the first hit on what
//! was stored a moment ago takes it alone.

mod ghosts;
mod index;
mod part;
mod segment;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::part::{Lookup, Part};
use super::entry::{Entry, Facts, NewEntry};

/// A part smaller than this could not take the largest items, so small budgets have few parts.
const PART_BYTES_MIN: u64 = 4 << 20;

const PARTS_MAX: u64 = 64;

/// The size of a common entry. It decides how finely a part's index is cut, and how many evicted entries are remembered.
const ENTRY_BYTES_TYPICAL: u64 = 384;

/// Remembers entries by the hash of their address. Two addresses of one hash push each other out.
pub(super) trait Store: Send + Sync {
    fn get(&self, hash: u64) -> Option<Entry>;
    /// True if there is an entry, dead or alive. To look for one does not count as a use of it.
    fn contains(&self, hash: u64) -> bool;
    /// Stores an entry in place of an older one. False if it is too large to be stored; then the older one is gone too.
    fn insert(&self, hash: u64, entry: &NewEntry<'_>) -> bool;
    /// Forgets the entries of the next slice that are dead, and says how many they were.
    fn reclaim(&self, is_dead: &dyn Fn(u64, &Facts) -> bool) -> u64;
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
    /// What the entries cost beside their own bytes: the tables around them, and what lies unused between them.
    pub(super) overhead_bytes: u64,
}

/// The store of the product.
pub(super) struct BudgetedStore {
    parts: Box<[RwLock<Part>]>,
    bytes_max: AtomicU64,
    /// The part that is reclaimed next.
    next_slice: AtomicU64,
}

impl BudgetedStore {
    pub(super) fn new(bytes_max: u64) -> Self {
        let parts = (bytes_max / PART_BYTES_MIN).clamp(1, PARTS_MAX);
        // Rounded down, or a part would be smaller than the least that is useful.
        let parts = 1 << parts.ilog2();
        Self {
            parts: (0..parts).map(|_| RwLock::new(Part::new(bytes_max / parts))).collect(),
            bytes_max: AtomicU64::new(bytes_max),
            next_slice: AtomicU64::new(0),
        }
    }

    fn part_of(&self, hash: u64) -> &RwLock<Part> {
        // Stripes and the pages of an index take the low bits, and the slots of a page the high ones.
        &self.parts[(hash >> 32) as usize & (self.parts.len() - 1)]
    }
}

impl Store for BudgetedStore {
    fn get(&self, hash: u64) -> Option<Entry> {
        let part = self.part_of(hash);
        let lookup = read(part).get(hash);
        match lookup {
            Lookup::Found(entry) => Some(entry),
            Lookup::Absent => None,
            Lookup::NotFrozen => {
                let mut part = write(part);
                part.freeze();
                match part.get(hash) {
                    Lookup::Found(entry) => Some(entry),
                    Lookup::Absent | Lookup::NotFrozen => None,
                }
            }
        }
    }

    fn contains(&self, hash: u64) -> bool {
        read(self.part_of(hash)).contains(hash)
    }

    fn insert(&self, hash: u64, entry: &NewEntry<'_>) -> bool {
        write(self.part_of(hash)).insert(hash, entry)
    }

    fn reclaim(&self, is_dead: &dyn Fn(u64, &Facts) -> bool) -> u64 {
        let slice = self.next_slice.fetch_add(1, Ordering::Relaxed) as usize % self.parts.len();
        let part = &self.parts[slice];
        let pages = read(part).pages();
        // A page is read under the shared lock, so hits do not wait. Writers wait for one page at most.
        let reclaim = |page| {
            let dead = read(part).dead(page, is_dead);
            if dead.is_empty() { 0 } else { write(part).reclaim(&dead, is_dead) }
        };
        let reclaimed = (0..pages).map(reclaim).sum();
        if reclaimed > 0 {
            write(part).tidy();
        }
        reclaimed
    }

    #[cfg(test)]
    fn evict(&self, hash: u64) {
        write(self.part_of(hash)).forget(hash);
    }

    fn set_bytes_max(&self, bytes_max: u64) {
        self.bytes_max.store(bytes_max, Ordering::Relaxed);
        for part in &self.parts {
            write(part).set_budget(bytes_max / self.parts.len() as u64);
        }
    }

    fn usage(&self) -> Usage {
        let mut total = Usage { bytes_max: self.bytes_max.load(Ordering::Relaxed), ..Usage::default() };
        for part in &self.parts {
            let usage = read(part).usage();
            total.entries += usage.entries;
            total.bytes += usage.bytes;
            total.evictions += usage.evictions;
            total.overhead_bytes += usage.overhead_bytes;
        }
        total
    }
}

/// What an entry of that many bytes takes of the log, if it lies there in one piece.
pub(super) fn stored_bytes(entry_bytes: usize) -> usize {
    segment::record_bytes(entry_bytes)
}

fn read(part: &RwLock<Part>) -> RwLockReadGuard<'_, Part> {
    if part.is_poisoned() {
        drop(write(part));
    }
    part.read().unwrap_or_else(PoisonError::into_inner)
}

/// A part in which something panicked is emptied: it may be incomplete, and a store may forget at any time.
fn write(part: &RwLock<Part>) -> RwLockWriteGuard<'_, Part> {
    part.write().unwrap_or_else(|poisoned| {
        let mut guard = poisoned.into_inner();
        *guard = Part::new(guard.budget());
        part.clear_poison();
        guard
    })
}
