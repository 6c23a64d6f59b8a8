//! The store against a model: a map of what was stored last under each hash. The store may have forgotten any of it, and nothing else.

use std::cell::Cell;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::cache::cached_item::CachedItem;
use crate::cache::entry::NEVER_MS;
use crate::cache::words::Version;

fn seed() -> u64 {
    std::env::var("NEARSIDE_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap())
}

/// The hash of a key: spread over all bits, as that of an address is.
fn hash_of(key: u64) -> u64 {
    let mixed = (key ^ 0x5851_f42d_4c95_7f2d).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (mixed >> 32)
}

fn facts(number: u64) -> Facts {
    Facts { version: Version { stripe: number, table: 0 }, table: 0, read_ms: 0, expires_ms: NEVER_MS }
}

/// An image of about that many bytes, of which no other number has the same.
fn image(number: u64, bytes: usize) -> CachedItem {
    let text: Vec<u8> = number.to_le_bytes().into_iter().cycle().take(bytes.max(8)).collect();
    CachedItem::present(&text, bytes)
}

fn insert(store: &BudgetedStore, key: u64, number: u64, bytes: usize) -> bool {
    let (key_bytes, image) = (key.to_le_bytes(), image(number, bytes));
    let entry = NewEntry::new(facts(number), &key_bytes, &image).expect("the key is short enough");
    store.insert(hash_of(key), &entry)
}

/// The size of an entry: mostly small, some of all sizes up to more than fits.
fn random_bytes(random: &mut fastrand::Rng) -> usize {
    match random.u32(0..20) {
        0 => random.usize(1..500_000),
        1 | 2 => random.usize(1..30_000),
        3..=8 => random.usize(1..4_000),
        _ => random.usize(1..400),
    }
}

/// What was stored last under a key: its number and size.
type Model = HashMap<u64, (u64, usize)>;

fn assert_gives_the_last(store: &BudgetedStore, model: &Model, key: u64, context: &str) {
    let Some(entry) = store.get(hash_of(key)) else { return };
    let Some((number, bytes)) = model.get(&key) else { panic!("{key} is not stored, {context}") };
    assert_eq!(entry.facts(), facts(*number), "{key}, {context}");
    assert!(entry.key() == key.to_le_bytes() && entry.holds(&image(*number, *bytes)), "{key}, {context}");
    assert_eq!(entry.into_image(), image(*number, *bytes), "{key}, {context}");
}

fn assert_adds_up(store: &BudgetedStore, context: &str) {
    for part in &store.parts {
        read(part).assert_adds_up();
    }
    let usage = store.usage();
    assert!(usage.bytes <= usage.bytes_max, "{usage:?}, {context}");
}

#[test]
fn what_a_store_gives_is_what_was_stored_last_whatever_is_asked_of_it() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    for bytes_max in [50_000, 200_000, 1 << 20, 3 << 20, 9 << 20] {
        let (store, mut model) = (BudgetedStore::new(bytes_max), Model::new());
        let keys = random.u64(10..20_000);
        // Readers that are slow keep what they were given.
        let mut held = Vec::new();
        for number in 0..12_000 {
            let context = format!("operation {number} in {bytes_max} bytes, NEARSIDE_SEED={seed}");
            let key = random.u64(0..keys);
            match random.u32(0..1000) {
                0 => {
                    let less = random.u64(0..bytes_max * 2);
                    store.set_bytes_max(less);
                    assert_adds_up(&store, &context);
                    store.set_bytes_max(bytes_max);
                }
                1..=5 => {
                    let residue = random.u64(0..4);
                    let before = store.usage().entries;
                    let reclaimed = store.reclaim(&|_, facts| facts.version.stripe % 4 == residue);
                    assert_eq!(store.usage().entries + reclaimed, before, "{context}");
                }
                6..=30 => {
                    store.evict(hash_of(key));
                    model.remove(&key);
                }
                31..=500 => assert_gives_the_last(&store, &model, key, &context),
                501..=510 => {
                    held.extend(store.get(hash_of(key)).map(|entry| (entry.facts(), entry.into_image())));
                    if held.len() > 20 {
                        held.clear();
                    }
                }
                _ => {
                    let bytes = random_bytes(&mut random);
                    let is_stored = insert(&store, key, number, bytes);
                    model.insert(key, (number, bytes));
                    assert!(is_stored || store.get(hash_of(key)).is_none(), "{context}");
                }
            }
            if number % 100 == 0 {
                assert_adds_up(&store, &context);
                for (facts, image_held) in &held {
                    assert!(
                        image_held.item_text().unwrap().starts_with(&facts.version.stripe.to_le_bytes()),
                        "{context}"
                    );
                }
            }
        }
        (0..keys)
            .for_each(|key| assert_gives_the_last(&store, &model, key, &format!("NEARSIDE_SEED={seed}")));
    }
}

/// Segments that are filled to their last byte are as good as others, which entries of random sizes hardly ever show.
#[test]
fn what_is_there_is_given_whatever_its_size() {
    let seed = seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let stored = |bytes| stored_bytes(NewEntry::new(facts(0), &[0; 8], &image(0, bytes)).unwrap().bytes());
    for record_bytes in [256, 2_048] {
        let bytes = (8..record_bytes).rfind(|bytes| stored(*bytes) == record_bytes).unwrap();
        let store = BudgetedStore::new(1 << 20);
        let keys = (1 << 20) as f64 / record_bytes as f64 * 1.25;
        for number in 0..100_000 {
            // Some more than fit, of which some are read much more often than others, and a few are replaced.
            let key = (random.f64() * random.f64() * keys) as u64;
            let is_there = store.contains(hash_of(key));
            let is_given = store.get(hash_of(key)).is_some();
            assert_eq!(is_given, is_there, "operation {number}, NEARSIDE_SEED={seed}");
            if !is_there || random.u32(0..10) == 0 {
                insert(&store, key, number, bytes);
            }
        }
        assert_adds_up(&store, &format!("NEARSIDE_SEED={seed}"));
    }
}

#[test]
fn what_fits_is_never_forgotten() {
    let store = BudgetedStore::new(8 << 20);
    let sizes = [1, 100, 1_000, 4_000, 5_000, 16_000, 60_000, 100_000, 400_000];
    for (key, bytes) in sizes.into_iter().enumerate() {
        assert!(insert(&store, key as u64, key as u64, bytes));
    }
    for (key, bytes) in sizes.into_iter().enumerate() {
        let entry = store.get(hash_of(key as u64)).expect("it was stored");
        assert!(entry.holds(&image(key as u64, bytes)), "{bytes} bytes");
        assert_eq!(entry.into_image(), image(key as u64, bytes));
    }
    assert_eq!((store.usage().entries, store.usage().evictions), (sizes.len() as u64, 0));
}

#[test]
fn a_full_store_of_entries_of_one_size_holds_nearly_what_its_budget_allows() {
    const BUDGET: u64 = 16 << 20;
    for bytes in [50, 272, 1_000, 4_000, 16_000] {
        let store = BudgetedStore::new(BUDGET);
        (0..80_000_000 / (bytes as u64 + 500)).for_each(|n| assert!(insert(&store, n, n, bytes)));
        let usage = store.usage();
        assert!(usage.entries * (bytes as u64 + 80) > BUDGET * 85 / 100, "{bytes} bytes: {usage:?}");
        assert!(usage.bytes <= BUDGET && usage.overhead_bytes < BUDGET / 5, "{bytes} bytes: {usage:?}");
    }
}

#[test]
fn what_is_used_stays_when_a_scan_passes() {
    let store = BudgetedStore::new(4 << 20);
    let mut kept = 0;
    for n in 0..100_000 {
        insert(&store, 1_000_000 + n, n, 300);
        if store.get(hash_of(n % 2_000)).is_none() {
            insert(&store, n % 2_000, n, 300);
        } else {
            kept += 1;
        }
    }
    assert!(kept > 90_000, "{kept} hits");
}

#[test]
fn the_memory_of_what_is_dead_is_given_back() {
    let store = BudgetedStore::new(4 << 20);
    (0..20_000).for_each(|n| assert!(insert(&store, n, n, 200)));
    let before = store.usage();
    let survivors = store.usage().entries - store.reclaim(&|_, facts| facts.version.stripe % 10 != 0);
    let after = store.usage();
    assert_eq!(after.entries, survivors);
    assert!(after.bytes < before.bytes / 4, "{before:?}, then {after:?}");
}

#[test]
fn slow_readers_are_charged_and_cannot_take_more_than_half_of_the_budget() {
    let store = BudgetedStore::new(4 << 20);
    let mut held = Vec::new();
    for n in 0..100_000 {
        insert(&store, n, n, 300);
        if n % 100 == 0 {
            held.extend(store.get(hash_of(n)));
        }
    }
    let usage = store.usage();
    assert!(held.len() == 1_000 && usage.bytes <= usage.bytes_max);
    assert!((2_000..6_000).contains(&usage.entries), "{usage:?}");
    drop(held);
    (0..100_000).for_each(|n| assert!(insert(&store, n, n, 300)));
    assert!(store.usage().entries > 9_000, "{:?}", store.usage());
}

#[test]
fn threads_that_store_and_read_at_once_are_given_what_was_stored_last_or_nothing() {
    const KEYS: u64 = 64;
    let store = BudgetedStore::new(300_000);
    // The number that was stored last under each key, by its only writer.
    let last: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let given = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let (store, last, given) = (&store, &last, &given);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                for round in 1..=4_000_u64 {
                    let own = random.u64(0..KEYS / 4) * 4 + thread;
                    let bytes = random_bytes(&mut random).min(60_000);
                    insert(store, own, round, bytes);
                    last[own as usize].store(round, Ordering::SeqCst);
                    let other = random.u64(0..KEYS);
                    let floor = last[other as usize].load(Ordering::SeqCst);
                    if let Some(entry) = store.get(hash_of(other)) {
                        given.fetch_add(1, Ordering::Relaxed);
                        let number = entry.facts().version.stripe;
                        assert!(
                            entry.key() == other.to_le_bytes() && number >= floor,
                            "{number} after {floor}"
                        );
                        assert!(entry.into_image().item_text().unwrap().starts_with(&number.to_le_bytes()));
                    }
                }
            });
        }
    });
    assert!(given.load(Ordering::Relaxed) > 1_000);
    assert_adds_up(&store, "after all threads");
}

#[test]
fn a_part_in_which_something_panicked_begins_anew() {
    let store = BudgetedStore::new(1 << 20);
    assert!(insert(&store, 1, 1, 100));
    let panics_at = |look: u32| {
        let looks = Cell::new(0);
        let is_dead = |_, _: &Facts| {
            looks.set(looks.get() + 1);
            assert!(looks.get() < look, "as a test wants it");
            true
        };
        assert!(std::panic::catch_unwind(AssertUnwindSafe(|| store.reclaim(&is_dead))).is_err());
    };
    panics_at(1);
    assert!(store.get(hash_of(1)).is_some(), "nothing was changed yet");
    panics_at(2);
    assert!(store.get(hash_of(1)).is_none());
    assert!(insert(&store, 1, 2, 100));
    assert_eq!((store.usage().entries, store.usage().bytes_max), (1, 1 << 20));
}
