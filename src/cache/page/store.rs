//! Where pages lie until they are used, replaced or pushed out. As with items, the store only remembers: it may forget at
//! any time, and nothing is ever invalidated in it for the sake of truth.
//!
//! The store of the product is moka, for what its admission does for few and large entries: a page is kept out if those it
//! would push out are asked for more often. moka evicts when it finds the time, so the hard budget is ours: each entry is
//! charged before it is inserted, and gives its charge back when it is dropped, wherever it was held until then.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use moka::notification::RemovalCause;
use moka::sync::Cache;

use super::budget::Budget;
use super::entry::PageEntry;
use super::stats::PageNotStored;

/// A part smaller than this could not take the largest pages, so small budgets have few parts.
const PART_BYTES_MIN: u64 = 16 << 20;

const PARTS_MAX: u64 = 16;

/// What moka may use of the budget: it goes a little above its bound before it evicts.
const MOKA_SHARE: (u64, u64) = (15, 16);

/// Remembers pages by the hash of their address. Two addresses of one hash push each other out.
pub(super) trait PageStore: Send + Sync {
    fn get(&self, hash: u64) -> Option<Arc<PageEntry>>;
    /// Stores a page in place of an older one, or says why it does not.
    fn insert(&self, hash: u64, entry: PageEntry) -> Result<(), PageNotStored>;
    /// Forgets the pages of the next part that are dead, and says how many they were.
    fn reclaim(&self, is_dead: &dyn Fn(&PageEntry) -> bool) -> u64;
    /// Forgets a page, as a store may at any time.
    #[cfg(test)]
    fn evict(&self, hash: u64);
    /// Changes the budget, and forgets all pages.
    fn set_bytes_max(&self, bytes_max: u64);
    fn usage(&self) -> PageUsage;
}

/// How large the store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PageUsage {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) bytes_max: u64,
    pub(super) evictions: u64,
}

type Part = Cache<u64, Arc<PageEntry>>;

/// The store of the product.
pub(super) struct BudgetedPageStore {
    parts: ArcSwap<Box<[Part]>>,
    budget: Arc<Budget>,
    evictions: Arc<AtomicU64>,
    /// The part that is reclaimed next.
    next_part: AtomicU64,
}

impl BudgetedPageStore {
    pub(super) fn new(bytes_max: u64) -> Self {
        let evictions = Arc::new(AtomicU64::new(0));
        Self {
            parts: ArcSwap::from_pointee(parts(bytes_max, &evictions)),
            budget: Arc::new(Budget::new(bytes_max)),
            evictions,
            next_part: AtomicU64::new(0),
        }
    }

    /// The largest entry that fits even when moka has filled all it may.
    fn entry_bytes_max(&self) -> u64 {
        let bytes_max = self.budget.bytes_max();
        bytes_max - bytes_max / MOKA_SHARE.1 * MOKA_SHARE.0
    }
}

fn parts(bytes_max: u64, evictions: &Arc<AtomicU64>) -> Box<[Part]> {
    let parts = (bytes_max / PART_BYTES_MIN).clamp(1, PARTS_MAX);
    // Rounded down, or a part would be smaller than the least that is useful.
    let parts: u64 = 1 << parts.ilog2();
    let part_bytes = bytes_max / parts / MOKA_SHARE.1 * MOKA_SHARE.0;
    (0..parts).map(|_| part(part_bytes, evictions.clone())).collect()
}

fn part(bytes_max: u64, evictions: Arc<AtomicU64>) -> Part {
    Cache::builder()
        .max_capacity(bytes_max)
        .weigher(|_, entry: &Arc<PageEntry>| u32::try_from(entry.allocated_bytes()).unwrap_or(u32::MAX))
        .eviction_listener(move |_, _, cause| {
            if cause == RemovalCause::Size {
                evictions.fetch_add(1, Ordering::Relaxed);
            }
        })
        .build()
}

fn part_of(parts: &[Part], hash: u64) -> &Part {
    &parts[(hash >> 32) as usize & (parts.len() - 1)]
}

impl PageStore for BudgetedPageStore {
    fn get(&self, hash: u64) -> Option<Arc<PageEntry>> {
        part_of(&self.parts.load(), hash).get(&hash)
    }

    fn insert(&self, hash: u64, entry: PageEntry) -> Result<(), PageNotStored> {
        let bytes = entry.allocated_bytes();
        if bytes > self.entry_bytes_max() {
            return Err(PageNotStored::Size);
        }
        let parts = self.parts.load();
        let charge = self.budget.charge(bytes).or_else(|| {
            // moka is behind with its evictions. When it has caught up there is room for any entry that may be stored.
            parts.iter().for_each(Cache::run_pending_tasks);
            self.budget.charge(bytes)
        });
        let entry = Arc::new(entry.charged(charge.ok_or(PageNotStored::Budget)?));
        part_of(&parts, hash).insert(hash, entry);
        Ok(())
    }

    fn reclaim(&self, is_dead: &dyn Fn(&PageEntry) -> bool) -> u64 {
        let parts = self.parts.load();
        let part = &parts[self.next_part.fetch_add(1, Ordering::Relaxed) as usize % parts.len()];
        let dead: Vec<_> = part.iter().filter(|(_, entry)| is_dead(entry)).map(|(hash, _)| *hash).collect();
        dead.iter().for_each(|hash| part.invalidate(hash));
        part.run_pending_tasks();
        dead.len() as u64
    }

    #[cfg(test)]
    fn evict(&self, hash: u64) {
        part_of(&self.parts.load(), hash).invalidate(&hash);
    }

    fn set_bytes_max(&self, bytes_max: u64) {
        if self.budget.set_bytes_max(bytes_max) != bytes_max {
            self.parts.store(Arc::new(parts(bytes_max, &self.evictions)));
        }
    }

    fn usage(&self) -> PageUsage {
        PageUsage {
            entries: self.parts.load().iter().map(Cache::entry_count).sum(),
            bytes: self.budget.bytes(),
            bytes_max: self.budget.bytes_max(),
            evictions: self.evictions.load(Ordering::Relaxed),
        }
    }
}
