//! One simulated cache: the store's own policy at a small scale, over the sampled addresses only (miniature simulation, Waldspurger
//! et al. 2017).
//!
//! One address of 2^n is simulated in a 2^n-th of the bytes. A simulation begins with all addresses and halves its sample whenever
//! it has more than its most entries, so it is exact for small caches and its memory is bounded for large ones.

use std::collections::HashMap;

use quick_cache::unsync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use super::{Event, TableCounts};
use crate::insight::sampled_hash::Sampling;
use crate::key_hasher::Hashed;

/// With fewer than this part of its most entries, more addresses are sampled.
const DENSER_BELOW: usize = 8;

/// How long a sampling is kept at least before it becomes denser.
const DENSER_AFTER_MS: u64 = 60_000;

/// As in the store: the size of a common entry, and how many hashes of evicted entries are remembered.
const ENTRY_BYTES_TYPICAL: u64 = 512;
const GHOSTS: f64 = 0.25;

/// Tables that are counted apart at a time.
pub(super) const TABLES_MAX: usize = 128;

/// A table of which less than this is left of every count makes room for another one.
const FADED: f64 = 0.5;

/// How often what has expired is reclaimed, as the sweep of the store does.
const RECLAIM_MS: u64 = 10_000;

/// The time in which what was counted loses half its weight.
const HALF_LIFE_MS: f64 = 600_000.0;

/// What is simulated of an entry.
#[derive(Clone, Copy, Debug)]
struct Simulated {
    version: u32,
    crc32: u32,
    bytes: u32,
    table: u32,
    filled_ms: u64,
    expires_ms: u64,
    is_scan: bool,
    was_hit: bool,
}

type Store = Cache<u64, Simulated, Bytes, Hashed, Departures>;

/// See the module.
pub(super) struct Simulation {
    /// The size of the cache that is simulated.
    bytes_max: u64,
    sampling: Sampling,
    /// Since when it is sampled so.
    sampled_ms: u64,
    /// Entries, at most.
    entries_max: usize,
    store: Store,
    departed: Departed,
    total: TableCounts,
    tables: HashMap<u32, TableCounts>,
    reclaimed_ms: u64,
}

impl Simulation {
    /// A cache of that size, of which all addresses are sampled as long as there are no more entries than this.
    pub(super) fn new(bytes_max: u64, entries_max: usize, now_ms: u64) -> Self {
        let sampling = Sampling(0);
        let options = OptionsBuilder::new()
            .shards(1)
            .weight_capacity(scaled(bytes_max, sampling))
            .estimated_items_capacity((scaled(bytes_max, sampling) / ENTRY_BYTES_TYPICAL) as usize)
            .ghost_allocation(GHOSTS)
            .build()
            .expect("capacity and estimate are both set");
        Self {
            bytes_max,
            sampling,
            sampled_ms: now_ms,
            entries_max,
            store: Cache::with_options(options, Bytes, Hashed, Departures),
            departed: Departed::default(),
            total: TableCounts::default(),
            tables: HashMap::new(),
            reclaimed_ms: now_ms,
        }
    }

    pub(super) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    pub(super) fn sampling(&self) -> Sampling {
        self.sampling
    }

    /// What was counted of all tables, and of each.
    pub(super) fn counts(&self) -> (&TableCounts, &HashMap<u32, TableCounts>) {
        (&self.total, &self.tables)
    }

    /// The part of the reads that would be hits; `None` if there are none. What was sampled is scaled by its misses, because a few
    /// hot addresses, sampled or not, make up many of the hits and few of the misses (SHARDS, Waldspurger et al. 2015).
    pub(super) fn hit_ratio(&self, counts: &TableCounts) -> Option<f64> {
        let misses = counts.misses / self.sampling.share();
        (counts.reads > 0.0).then(|| (1.0 - misses / counts.reads).clamp(0.0, 1.0))
    }

    /// Applies what happened in the real cache. `overhead_bytes` is what an entry costs beside its own bytes.
    pub(super) fn apply(&mut self, event: &Event, overhead_bytes: u32, now_ms: u64) {
        if !self.sampling.takes(event.hash) {
            return;
        }
        let is_valid = self.read(event, now_ms);
        if let Some(stored) = event.stored.filter(|_| !is_valid) {
            self.departed.inserted = event.hash;
            let entry = Simulated {
                version: event.version,
                crc32: stored.crc32,
                bytes: stored.bytes.saturating_add(overhead_bytes),
                table: event.table,
                filled_ms: stored.filled_ms,
                expires_ms: stored.expires_ms,
                is_scan: event.is_scan,
                was_hit: false,
            };
            self.count(event.table, |counts| counts.stored += 1.0);
            if event.is_scan {
                self.count(event.table, |counts| counts.scans_stored += 1.0);
            }
            self.store.insert_with_lifecycle(event.hash, entry, &mut self.departed);
            for unused in std::mem::take(&mut self.departed.unused) {
                self.count(unused.table, |counts| counts.evicted_unused += 1.0);
                if unused.is_scan {
                    self.count(unused.table, |counts| counts.scans_evicted_unused += 1.0);
                }
            }
            if self.store.len() > self.entries_max {
                self.resample(Sampling(self.sampling.0 + 1), now_ms);
            }
        }
    }

    /// Looks for an entry, and counts that if it is a read. True if there is one that is as good as what happened in the real cache.
    fn read(&mut self, event: &Event, now_ms: u64) -> bool {
        if !event.is_read {
            // As the real store, which does not look before it inserts.
            return false;
        }
        let found = self.store.get(&event.hash).copied();
        let is_equal = found.is_some_and(|found| found.version == event.version);
        let is_valid = is_equal && found.is_some_and(|found| now_ms < found.expires_ms);
        self.count(event.table, |counts| counts.samples += 1.0);
        if is_valid {
            if let Some(mut entry) = self.store.peek_mut(&event.hash) {
                entry.was_hit = true;
            }
            return true;
        }
        self.count(event.table, |counts| counts.misses += 1.0);
        if let (Some(found), true) = (found, is_equal) {
            self.expired(event, found, now_ms);
        }
        false
    }

    /// An entry was asked for when it had expired. Whether it had changed meanwhile is known when it is filled again.
    fn expired(&mut self, event: &Event, found: Simulated, now_ms: u64) {
        let Some(stored) = event.stored else { return };
        let ttl_ms = found.expires_ms.saturating_sub(found.filled_ms).max(1);
        let needed = now_ms.saturating_sub(found.filled_ms) as f64 / ttl_ms as f64;
        self.count(event.table, |counts| {
            let expired = if stored.is_absence { &mut counts.absences_expired } else { &mut counts.expired };
            if stored.crc32 != found.crc32 {
                expired.changed += 1.0;
                return;
            }
            expired.unchanged += 1.0;
            let within = expired.unchanged_within.iter_mut().zip(super::TTL_FACTORS);
            within.filter(|(_, factor)| needed <= *factor).for_each(|(count, _)| *count += 1.0);
        });
    }

    /// Counts the reads of the real cache, sampled or not; lets what was counted fade; and fits the sampling, which is never denser
    /// than `densest`.
    pub(super) fn tick(&mut self, reads: &[(u32, u64)], elapsed_ms: u64, densest: Sampling, now_ms: u64) {
        let fading = 0.5_f64.powf(elapsed_ms as f64 / HALF_LIFE_MS);
        self.total.fade(fading);
        self.tables.retain(|_, counts| {
            counts.fade(fading);
            [counts.reads, counts.samples, counts.stored].iter().any(|count| *count >= FADED)
        });
        for (table, reads) in reads {
            self.count(*table, |counts| counts.reads += *reads as f64);
        }
        if now_ms.saturating_sub(self.reclaimed_ms) >= RECLAIM_MS {
            self.reclaimed_ms = now_ms;
            self.store.retain(|_, entry| now_ms < entry.expires_ms.saturating_add(RECLAIM_MS));
        }
        let may_be_denser = self.sampling > densest
            && self.store.len() < self.entries_max / DENSER_BELOW
            && now_ms.saturating_sub(self.sampled_ms) >= DENSER_AFTER_MS;
        if self.sampling < densest {
            self.resample(densest, now_ms);
        } else if may_be_denser {
            self.resample(Sampling(self.sampling.0 - 1), now_ms);
        }
    }

    /// Sets all counts to zero.
    pub(super) fn forget_counts(&mut self) {
        self.total = TableCounts::default();
        self.tables.clear();
    }

    /// What it occupies.
    pub(super) fn bytes(&self) -> usize {
        self.store.memory_used().total() + self.tables.capacity() * size_of::<(u32, TableCounts)>()
    }

    /// Samples otherwise. What was counted is scaled, so that a sample of a growing cache goes on from where it was.
    fn resample(&mut self, sampling: Sampling, now_ms: u64) {
        let scale = sampling.share() / self.sampling.share();
        self.sampling = sampling;
        self.sampled_ms = now_ms;
        if scale < 1.0 {
            self.store.retain(|hash, _| sampling.takes(*hash));
        }
        self.store.set_capacity(scaled(self.bytes_max, sampling));
        self.total.scale_samples(scale);
        self.tables.values_mut().for_each(|counts| counts.scale_samples(scale));
    }

    fn count(&mut self, table: u32, change: impl Fn(&mut TableCounts)) {
        change(&mut self.total);
        if self.tables.len() < TABLES_MAX || self.tables.contains_key(&table) {
            change(self.tables.entry(table).or_default());
        }
    }
}

/// The bytes in which a sample of a cache is simulated.
fn scaled(bytes_max: u64, sampling: Sampling) -> u64 {
    ((bytes_max as f64 * sampling.share()) as u64).max(1)
}

#[derive(Clone, Copy, Debug)]
struct Bytes;

impl Weighter<u64, Simulated> for Bytes {
    fn weight(&self, _hash: &u64, entry: &Simulated) -> u64 {
        u64::from(entry.bytes)
    }
}

/// Notes which entries are evicted before their first hit.
#[derive(Clone, Copy, Debug)]
struct Departures;

/// What one insertion evicts.
#[derive(Debug, Default)]
struct Departed {
    inserted: u64,
    unused: Vec<Simulated>,
}

impl Lifecycle<u64, Simulated> for Departures {
    type RequestState = Departed;

    fn on_evict(&self, departed: &mut Departed, hash: u64, entry: Simulated) {
        if !entry.was_hit && hash != departed.inserted {
            departed.unused.push(entry);
        }
    }
}
