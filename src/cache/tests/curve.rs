//! The curve against the real item store: caches of four sizes serve one load, and the curve of one of them predicts the others.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::{CacheLimits, CachedItem, CachedTable, FillMode, ItemCache, Lookup, ReadPolicy, Realm};
use crate::insight::zipf::Zipf;

/// The cache whose curve is asked.
const BASE_BYTES: u64 = 8 << 20;

/// The sizes that it predicts, as powers of two of its own.
const OTHERS: [i32; 3] = [-2, -1, 1];

/// How far a prediction may be off.
const ERROR_MAX: f64 = 0.03;

/// Requests between two sweeps, which come four times a second.
const REQUESTS_PER_SWEEP: usize = 1000;

const POLICY: ReadPolicy = ReadPolicy {
    ttl: Some(Duration::from_secs(3600)),
    negative_ttl: None,
    fill: FillMode::Adaptive,
    item_bytes_max: 400 << 10,
    stale_if_error: Duration::ZERO,
};

/// A cache with a table, and an upstream that has every item.
struct Node {
    cache: Arc<ItemCache>,
    table: Arc<CachedTable>,
}

impl Node {
    fn new(bytes_max: u64, now: Instant) -> Self {
        let cache = ItemCache::new(CacheLimits::for_budget(bytes_max));
        let table = cache.table(Realm::SOLE, "t", now);
        Self { cache, table }
    }

    fn read(&self, key: u64, policy: &ReadPolicy, now: Instant) {
        let bytes = key.to_le_bytes();
        if let Lookup::Lead(permit) = self.cache.read(&self.table.address(&bytes), policy, now) {
            permit.complete(image(key), now);
        }
    }

    fn write(&self, key: u64, now: Instant) {
        let bytes = key.to_le_bytes();
        let guard = self.cache.begin_write(&[self.table.address(&bytes)], now);
        // Every other write tells what the item is now.
        let after = image(key);
        guard.applied(key.is_multiple_of(2).then_some((&after, &POLICY)), now);
    }

    fn hit_ratio(&self) -> f64 {
        let stats = self.table.stats();
        stats.hits as f64 / (stats.hits + stats.leads) as f64
    }
}

/// Items of 100 bytes to 2,000, most of them short.
fn image(key: u64) -> CachedItem {
    let length = 100 + (key.wrapping_mul(0x9e37_79b9) >> 8) % 400 * (1 + key % 5);
    CachedItem::present(&vec![b'x'; length as usize], length as usize)
}

/// What a load does next.
enum Step {
    Read(u64),
    Write(u64),
}

/// Runs a load on caches of all sizes. Says how far the predictions were off.
fn check(load: &str, requests: usize, policy: &ReadPolicy, mut next: impl FnMut() -> Step) -> f64 {
    let began = Instant::now();
    let base = Node::new(BASE_BYTES, began);
    let size = |power: i32| (BASE_BYTES as f64 * 2_f64.powi(power)) as u64;
    let others = OTHERS.map(|power| (size(power), Node::new(size(power), began)));
    for request in 0..requests {
        let now = began + Duration::from_micros(250 * request as u64);
        let step = next();
        for node in others.iter().map(|(_, node)| node).chain([&base]) {
            match step {
                Step::Read(key) => node.read(key, policy, now),
                Step::Write(key) => node.write(key, now),
            }
            if request % REQUESTS_PER_SWEEP == REQUESTS_PER_SWEEP - 1 {
                node.cache.sweep(now);
            }
        }
    }
    // Reads are summed up once a second, so the last ones may still be missing.
    base.cache.sweep(began + Duration::from_micros(250 * requests as u64) + Duration::from_secs(1));
    let curve = base.cache.curve();
    let (dropped, bytes) = base.cache.curve_cost();
    println!("{load}: {} samples, {bytes} bytes, {dropped} dropped", curve.samples);
    assert!(bytes < 3 << 20, "the simulations take {bytes} bytes");
    assert_eq!(curve.points.len(), 9);
    let of =
        |bytes| curve.points.iter().find(|point| point.bytes == bytes).expect("the size is on it").hit_ratio;
    println!("  {BASE_BYTES}: measured {:.4}, simulated {:.4}", base.hit_ratio(), of(BASE_BYTES));
    let errors = others.iter().map(|(bytes, node)| {
        println!("  {bytes}: measured {:.4}, predicted {:.4}", node.hit_ratio(), of(*bytes));
        (node.hit_ratio() - of(*bytes)).abs()
    });
    errors.fold(0.0, f64::max)
}

/// To replay one: `NEARSIDE_SEED=seed cargo test the_curve -- --nocapture`.
fn seed() -> u64 {
    let seed = std::env::var("NEARSIDE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("NEARSIDE_SEED={seed}");
    seed
}

const KEYS: usize = 60_000;
const REQUESTS: usize = 100_000;

fn skewed(exponent: f64) {
    let mut random = fastrand::Rng::with_seed(seed());
    let zipf = Zipf::new(KEYS, exponent);
    let error =
        check(&format!("Zipf {exponent}"), REQUESTS, &POLICY, || Step::Read(zipf.rank(&mut random) as u64));
    assert!(error <= ERROR_MAX, "a prediction is {error:.4} off");
}

#[test]
fn the_curve_predicts_other_sizes_of_a_slightly_skewed_load() {
    skewed(0.8);
}

#[test]
fn the_curve_predicts_other_sizes_of_a_skewed_load() {
    skewed(1.0);
}

#[test]
fn the_curve_predicts_other_sizes_of_a_very_skewed_load() {
    skewed(1.2);
}

/// A skewed load, and scans of 10,000 items that begin where `start` says.
fn scanned(start: impl Fn(u64, &mut fastrand::Rng) -> u64) -> f64 {
    let mut random = fastrand::Rng::with_seed(seed());
    let zipf = Zipf::new(KEYS / 2, 1.0);
    let (mut scanned, mut left) = (KEYS as u64, 0);
    check("scans", REQUESTS, &POLICY, || {
        if left == 0 && random.u32(0..20_000) == 0 {
            (scanned, left) = (start(scanned, &mut random), 10_000);
        }
        if left > 0 && random.bool() {
            (scanned, left) = (scanned + 1, left - 1);
            return Step::Read(scanned);
        }
        Step::Read(zipf.rank(&mut random) as u64)
    })
}

#[test]
fn the_curve_predicts_other_sizes_where_scans_pass_through() {
    let error = scanned(|last, _| last);
    assert!(error <= ERROR_MAX, "a prediction is {error:.4} off");
}

/// Whether a large cache still has what a scan reads again is nearly all or nothing, and few samples decide it. Mostly it is within
/// 0.03, but 0.083 was seen.
#[test]
fn the_curve_is_less_exact_where_scans_read_the_same_again() {
    let error = scanned(|_, random| KEYS as u64 + random.u64(0..20_000));
    assert!(error <= 0.15, "a prediction is {error:.4} off");
}

#[test]
fn the_curve_predicts_other_sizes_where_items_are_written_and_expire() {
    let mut random = fastrand::Rng::with_seed(seed());
    let zipf = Zipf::new(KEYS, 1.0);
    let policy = ReadPolicy { ttl: Some(Duration::from_secs(20)), ..POLICY };
    let error = check("writes and expiry", REQUESTS, &policy, || {
        let key = zipf.rank(&mut random) as u64;
        if random.u32(0..10) == 0 { Step::Write(key) } else { Step::Read(key) }
    });
    assert!(error <= ERROR_MAX, "a prediction is {error:.4} off");
}
