//! Hit ratios at equal memory: the item cache beside moka's TinyLFU and a plain LRU list, on Zipf traffic and on traffic with scans.

use std::collections::HashMap;
use std::sync::Arc;

use nearside::cache::{CacheLimits, CachedTable, ItemCache, Realm};

use super::{policy, store};

/// What an item has beside its key of eight bytes.
const ITEM_BYTES: usize = 272;
/// What an entry of each takes of resident memory, beyond key and item: ours as `sizes` measures it when the cache is full, moka's as
/// measured in the decision for the item store; for the list, what two links, a place in a table and an allocation need at least.
const MOKA_BYTES: u64 = 333;
const LIST_BYTES: u64 = 72;

const BUDGETS: [u64; 2] = [8 << 20, 32 << 20];
const KEYS: u64 = 200_000;
const WARM_UP: u64 = 1_000_000;
const MEASURED: u64 = 1_000_000;
const SEED: u64 = 20_261_130;

/// Prints a table: a line for each traffic and budget.
pub(crate) fn measure() {
    println!(
        "hit ratios, {KEYS} keys, items of {ITEM_BYTES} bytes, {MEASURED} reads after {WARM_UP}, seed {SEED}"
    );
    println!("{:<26} {:>7} {:>9} {:>9} {:>9}", "", "MiB", "Nearside", "moka", "LRU");
    for (name, exponent, scans) in [
        ("Zipf 0.8", 0.8, false),
        ("Zipf 1.0", 1.0, false),
        ("Zipf 1.2", 1.2, false),
        ("Zipf 1.0, scans", 1.0, true),
    ] {
        for budget in BUDGETS {
            let entry = (ITEM_BYTES + size_of::<u64>()) as u64;
            let trace = || Trace::new(exponent, scans);
            let ours = ratio(trace(), Ours::new(budget));
            let moka = ratio(trace(), Moka::new(budget / (entry + MOKA_BYTES)));
            let list = ratio(trace(), List::new(budget / (entry + LIST_BYTES)));
            println!("{name:<26} {:>7} {ours:>9.3} {moka:>9.3} {list:>9.3}", budget >> 20);
        }
    }
}

/// A cache under measurement.
trait Candidate {
    /// Reads a key, and stores it if it is not there. True for a hit.
    fn read(&mut self, key: u64) -> bool;
}

fn ratio(mut trace: Trace, mut cache: impl Candidate) -> f64 {
    for _ in 0..WARM_UP {
        cache.read(trace.next());
    }
    let hits = (0..MEASURED).filter(|_| cache.read(trace.next())).count();
    hits as f64 / MEASURED as f64
}

/// Which keys are read.
struct Trace {
    random: fastrand::Rng,
    /// The part of all reads that goes to this key or one before it.
    cumulative: Vec<f64>,
    has_scans: bool,
    /// How far a scan has come, among keys that nobody else reads.
    scanned: u64,
}

impl Trace {
    fn new(exponent: f64, has_scans: bool) -> Self {
        let mut sum = 0.0;
        let mut cumulative: Vec<f64> = (1..=KEYS)
            .map(|rank| {
                sum += (rank as f64).powf(-exponent);
                sum
            })
            .collect();
        cumulative.iter_mut().for_each(|part| *part /= sum);
        Self { random: fastrand::Rng::with_seed(SEED), cumulative, has_scans, scanned: 0 }
    }

    fn next(&mut self) -> u64 {
        // One read in four is a scan's.
        if self.has_scans && self.random.u8(..4) == 0 {
            self.scanned += 1;
            return KEYS + self.scanned;
        }
        let at = self.random.f64();
        self.cumulative.partition_point(|part| *part < at) as u64
    }
}

/// The item cache.
struct Ours {
    cache: Arc<ItemCache>,
    table: Arc<CachedTable>,
    item: Vec<u8>,
}

impl Ours {
    fn new(budget: u64) -> Self {
        let cache = ItemCache::new(CacheLimits::for_budget(budget));
        let table = cache.table(Realm::SOLE, "Bench", tokio::time::Instant::now());
        Self { cache, table, item: vec![b'x'; ITEM_BYTES] }
    }
}

impl Candidate for Ours {
    fn read(&mut self, key: u64) -> bool {
        let bytes = key.to_le_bytes();
        if self.cache.lookup(&self.table.address(&bytes), tokio::time::Instant::now()).is_some() {
            return true;
        }
        store(&self.cache, &self.table, &policy(usize::MAX), key, &self.item);
        false
    }
}

struct Moka(moka::sync::Cache<u64, ()>);

impl Moka {
    fn new(entries: u64) -> Self {
        Self(moka::sync::Cache::new(entries))
    }
}

impl Candidate for Moka {
    fn read(&mut self, key: u64) -> bool {
        let is_hit = self.0.get(&key).is_some();
        if !is_hit {
            self.0.insert(key, ());
        }
        is_hit
    }
}

/// The most recently used entries: each key with the time of its last use, and which key was used at each time.
struct List {
    entries: usize,
    clock: u64,
    used: HashMap<u64, u64>,
    order: std::collections::BTreeMap<u64, u64>,
}

impl List {
    fn new(entries: u64) -> Self {
        Self {
            entries: entries as usize,
            clock: 0,
            used: HashMap::new(),
            order: std::collections::BTreeMap::new(),
        }
    }
}

impl Candidate for List {
    fn read(&mut self, key: u64) -> bool {
        self.clock += 1;
        let before = self.used.insert(key, self.clock);
        if let Some(before) = before {
            self.order.remove(&before);
        }
        self.order.insert(self.clock, key);
        if self.order.len() > self.entries
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.used.remove(&oldest);
        }
        before.is_some()
    }
}
