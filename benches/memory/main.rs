//! Resident memory against `max_bytes` under sizes chosen to hurt: `cargo bench --bench memory [-- MEBIBYTES…]`. With `-- sizes`, what
//! an item of each of some sizes takes in a cache that holds nothing else. With `-- ratio`, hit ratios beside other caches of the same
//! memory.
//!
//! The item cache is filled in this process by four threads, phase after phase, so that each finds what the one before left
//! behind. Every phase stores three times the budget. What counts is resident memory less what the process had before its
//! first item, sampled every millisecond: at its worst, and when the phase ends. What the fetched answers themselves occupy
//! while they are stored is part of it, as it is in the server.

mod ratio;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nearside::cache::{CacheLimits, CachedItem, CachedTable, FillMode, ItemCache, Lookup, ReadPolicy, Realm};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const THREADS: u64 = 4;
/// How often a phase stores as much as the budget.
const TURNS: u64 = 3;
/// What storing one more item costs beside its bytes, for the length of a phase.
const OVERHEAD_BYTES: u64 = 120;
const ITEM_BYTES_MAX: usize = 400 * 1024;

/// Sizes whose items are measured alone, each in a cache of this budget that is half full.
const ITEM_SIZES: [usize; 6] = [50, 100, 272, 1000, 4000, 16_000];
const SIZES_BUDGET: u64 = 512 << 20;

/// Keep items of any length.
const ALL: usize = usize::MAX;

/// What one phase stores.
struct Phase {
    name: &'static str,
    /// Items longer than this are only fetched.
    kept_bytes_max: usize,
    /// How many different keys there are.
    keys: u64,
    /// The size of an item: from a random number, and how far the phase is, from 0 to 1.
    item_bytes: fn(&mut fastrand::Rng, f64) -> usize,
}

const PHASES: [Phase; 12] = [
    Phase { name: "nothing kept, log-uniform", kept_bytes_max: 0, keys: u64::MAX, item_bytes: log_uniform },
    Phase { name: "1 B", kept_bytes_max: ALL, keys: u64::MAX, item_bytes: |_, _| 1 },
    Phase { name: "400 KB", kept_bytes_max: ALL, keys: u64::MAX, item_bytes: |_, _| ITEM_BYTES_MAX },
    Phase { name: "1 B again", kept_bytes_max: ALL, keys: u64::MAX, item_bytes: |_, _| 1 },
    Phase {
        name: "uniform",
        kept_bytes_max: ALL,
        keys: u64::MAX,
        item_bytes: |random, _| random.usize(1..=ITEM_BYTES_MAX),
    },
    Phase { name: "log-uniform", kept_bytes_max: ALL, keys: u64::MAX, item_bytes: log_uniform },
    Phase { name: "2,000 keys, log-uniform", kept_bytes_max: ALL, keys: 2000, item_bytes: log_uniform },
    Phase { name: "2,000 keys, growing", kept_bytes_max: ALL, keys: 2000, item_bytes: |_, share| at(share) },
    Phase {
        name: "2,000 keys, shrinking",
        kept_bytes_max: ALL,
        keys: 2000,
        item_bytes: |_, share| at(1.0 - share),
    },
    Phase { name: "300 B", kept_bytes_max: ALL, keys: u64::MAX, item_bytes: |_, _| 300 },
    Phase { name: "just over classes", kept_bytes_max: ALL, keys: u64::MAX, item_bytes: over_classes },
    Phase {
        name: "64 B to 4 KB, drifting",
        kept_bytes_max: ALL,
        keys: 100_000,
        item_bytes: |_, share| 64 + (4000.0 * share) as usize,
    },
];

fn log_uniform(random: &mut fastrand::Rng, _share: f64) -> usize {
    at(random.f64())
}

/// From 1 byte to the largest item, in equal ratios.
fn at(share: f64) -> usize {
    (ITEM_BYTES_MAX as f64).powf(share) as usize
}

fn over_classes(random: &mut fastrand::Rng, _share: f64) -> usize {
    (64 << random.u32(0..12)) + random.usize(0..3)
}

fn main() {
    let sizes: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let size = std::env::args().find_map(|argument| argument.strip_prefix("size=")?.parse().ok());
    if let Some(item_bytes) = size {
        return measure_items(item_bytes);
    }
    if std::env::args().any(|argument| argument == "ratio") {
        return ratio::measure();
    }
    if std::env::args().any(|argument| argument == "sizes") {
        println!(
            "{:>9} {:>9} {:>12} {:>12} {:>19}",
            "item", "entries", "resident B", "beyond B", "counted / resident"
        );
        return ITEM_SIZES.into_iter().for_each(|item_bytes| run_again(&format!("size={item_bytes}")));
    }
    match sizes.as_slice() {
        [] => [64, 256].into_iter().for_each(measure_in_own_process),
        [mebibytes] => measure(mebibytes << 20),
        several => several.iter().copied().for_each(measure_in_own_process),
    }
}

/// What one budget leaves in the allocator must not count for the next.
fn measure_in_own_process(mebibytes: u64) {
    run_again(&mebibytes.to_string());
}

fn run_again(argument: &str) {
    let program = std::env::current_exe().expect("a process knows its file");
    let status = std::process::Command::new(program).arg(argument).status();
    assert!(status.expect("the program can be started").success());
}

/// Fills half of a large budget with items of one size.
fn measure_items(item_bytes: usize) {
    let cache = ItemCache::new(CacheLimits::for_budget(SIZES_BUDGET));
    let table = cache.table(Realm::SOLE, "Bench", tokio::time::Instant::now());
    let policy = policy(ALL);
    let item = vec![b'x'; item_bytes];
    let idle_bytes = resident_bytes();
    let mut key = 0;
    while cache.stats().bytes < SIZES_BUDGET / 2 {
        for _ in 0..1000 {
            store(&cache, &table, &policy, key, &item);
            key += 1;
        }
    }
    let (stats, resident) = (cache.stats(), resident_bytes() - idle_bytes);
    let per_entry = resident as f64 / stats.entries as f64;
    println!(
        "{item_bytes:>9} {:>9} {per_entry:>12.1} {:>12.1} {:>19.3}",
        stats.entries,
        per_entry - (item_bytes + size_of::<u64>()) as f64,
        stats.bytes as f64 / resident as f64
    );
}

fn measure(max_bytes: u64) {
    let cache = ItemCache::new(CacheLimits::for_budget(max_bytes));
    let table = cache.table(Realm::SOLE, "Bench", tokio::time::Instant::now());
    let idle_bytes = resident_bytes();
    println!("max_bytes {} MiB; resident before {} MiB", max_bytes >> 20, idle_bytes >> 20);
    println!("{:<26} {:>7} {:>7} {:>8} {:>9} {:>10}", "", "worst", "end", "counted", "entries", "stores/s");
    for phase in &PHASES {
        let began = Instant::now();
        let (stores, worst_bytes) = run(&cache, &table, phase, max_bytes);
        let share = |bytes: u64| bytes as f64 / max_bytes as f64;
        println!(
            "{:<26} {:>7.3} {:>7.3} {:>8.3} {:>9} {:>10.0}",
            phase.name,
            share(worst_bytes.saturating_sub(idle_bytes)),
            share(resident_bytes().saturating_sub(idle_bytes)),
            share(cache.stats().bytes),
            cache.stats().entries,
            stores as f64 / began.elapsed().as_secs_f64()
        );
    }
}

/// Runs a phase. Returns how many items were stored, and the most that was resident meanwhile.
fn run(cache: &Arc<ItemCache>, table: &Arc<CachedTable>, phase: &Phase, max_bytes: u64) -> (u64, u64) {
    let target = max_bytes * TURNS;
    let policy = policy(phase.kept_bytes_max);
    let (stored_bytes, stores) = (AtomicU64::new(0), AtomicU64::new(0));
    let over = AtomicBool::new(false);
    let item = vec![b'x'; ITEM_BYTES_MAX];
    std::thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut worst_bytes = 0;
            while !over.load(Ordering::Relaxed) {
                worst_bytes = worst_bytes.max(resident_bytes());
                std::thread::sleep(Duration::from_millis(1));
            }
            worst_bytes
        });
        let worker = |thread: u64| {
            let mut random = fastrand::Rng::with_seed(thread);
            loop {
                let before = stored_bytes.load(Ordering::Relaxed);
                if before >= target {
                    return;
                }
                let item_bytes = (phase.item_bytes)(&mut random, before as f64 / target as f64);
                stored_bytes.fetch_add(item_bytes as u64 + OVERHEAD_BYTES, Ordering::Relaxed);
                stores.fetch_add(1, Ordering::Relaxed);
                store(
                    cache,
                    table,
                    &policy,
                    random.u64(0..phase.keys),
                    &item[..item_bytes.clamp(1, ITEM_BYTES_MAX)],
                );
            }
        };
        let workers: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || worker(thread))).collect();
        workers.into_iter().for_each(|worker| worker.join().expect("a worker ends"));
        over.store(true, Ordering::Relaxed);
        (stores.load(Ordering::Relaxed), sampler.join().expect("the sampler ends"))
    })
}

/// Keeps items up to that size for ever.
fn policy(item_bytes_max: usize) -> ReadPolicy {
    ReadPolicy {
        ttl: None,
        negative_ttl: None,
        fill: FillMode::Strong,
        item_bytes_max,
        stale_if_error: Duration::ZERO,
    }
}

/// As a fetch does it if the key is not cached, and as a write does it otherwise.
fn store(cache: &Arc<ItemCache>, table: &Arc<CachedTable>, policy: &ReadPolicy, key: u64, item: &[u8]) {
    let key = key.to_le_bytes();
    let address = table.address(&key);
    let now = tokio::time::Instant::now();
    match cache.read(&address, policy, now) {
        Lookup::Lead(permit) => permit.complete(CachedItem::present(item, item.len()), now),
        Lookup::Hit(_) | Lookup::Join(_) => {
            let item = CachedItem::present(item, item.len());
            cache.begin_write(&[address], now).applied(Some((&item, policy)), now);
        }
    }
}

fn resident_bytes() -> u64 {
    let sizes = std::fs::read_to_string("/proc/self/statm").expect("Linux says what a process occupies");
    sizes.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
}
