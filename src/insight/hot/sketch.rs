//! The heaviest of many keys, counted in a fixed number of counters (SpaceSaving, Metwally et al. 2005).
//!
//! A key that has no counter takes the smallest one over and inherits its count as its error. So every key with more than
//! 1/[`COUNTERS`] of all accesses has a counter, and while there are no more keys than counters every count is exact.
//! Keys are told apart by their hashes. The names of a sketch have a budget of bytes: a key that finds it used up is counted
//! without its name, and gets one with a later access if there is room again.

use std::collections::HashMap;

use crate::key_hasher::Hashed;

/// Keys that are counted at the same time.
pub(super) const COUNTERS: usize = 1024;

/// What all names of a sketch may occupy.
const NAME_BYTES_MAX: usize = 192 << 10;

/// What is left to keys that come again: those that come once must not take all of it.
const NAME_BYTES_OF_NEW_MAX: usize = NAME_BYTES_MAX / 4 * 3;

/// What a key is called: its table, its index, and its canonical bytes.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) table: u32,
    /// The position of the index in the table's schema.
    pub(super) index: Option<u16>,
    pub(super) bytes: Box<[u8]>,
}

/// A key with its count.
#[derive(Clone)]
pub(super) struct Counted {
    pub(super) hash: u64,
    pub(super) name: Option<Name>,
    /// At most as many as there were, and at least [`Counted::error`] less.
    pub(super) count: u64,
    pub(super) error: u64,
    /// How many of them were hits.
    pub(super) hits: u64,
}

impl Counted {
    /// The accesses that there certainly were.
    pub(super) fn certain(&self) -> u64 {
        self.count - self.error
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Sketch {
    counters: Vec<Counted>,
    /// Numbers of counters, as a heap with the smallest count first.
    heap: Vec<u16>,
    /// Where each counter is in the heap.
    positions: Vec<u16>,
    by_hash: HashMap<u64, u16, Hashed>,
    name_bytes: usize,
}

impl Sketch {
    /// Counts `weight` accesses, of which `hits` were hits.
    pub(super) fn count(&mut self, hash: u64, weight: u64, hits: u64, name: &dyn Fn() -> Name, bytes: usize) {
        let (number, names_max) = match self.by_hash.get(&hash) {
            Some(number) => (*number, NAME_BYTES_MAX),
            None => (self.counter_for(hash), NAME_BYTES_OF_NEW_MAX),
        };
        let counter = &mut self.counters[usize::from(number)];
        counter.count += weight;
        counter.hits += hits;
        if counter.name.is_none() && self.name_bytes + bytes <= names_max {
            self.name_bytes += bytes;
            counter.name = Some(name());
        }
        self.sift_down(usize::from(self.positions[usize::from(number)]));
    }

    /// All keys with a counter.
    pub(super) fn counted(&self) -> impl Iterator<Item = &Counted> {
        self.counters.iter()
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.counters.clear();
        self.heap.clear();
        self.positions.clear();
        self.by_hash.clear();
        self.name_bytes = 0;
    }

    /// What it occupies.
    pub(super) fn bytes(&self) -> usize {
        self.counters.capacity() * size_of::<Counted>()
            + (self.heap.capacity() + self.positions.capacity()) * size_of::<u16>()
            + self.by_hash.capacity() * 8 / 7 * (size_of::<(u64, u16)>() + 1)
            + self.name_bytes
    }

    /// A counter for a key that has none: a new one, or the smallest.
    fn counter_for(&mut self, hash: u64) -> u16 {
        if self.counters.len() < COUNTERS {
            let number = self.counters.len() as u16;
            self.counters.push(Counted { hash, name: None, count: 0, error: 0, hits: 0 });
            self.heap.push(number);
            self.positions.push(number);
            self.sift_up(usize::from(number));
            self.by_hash.insert(hash, number);
            return number;
        }
        let number = self.heap[0];
        let counter = &mut self.counters[usize::from(number)];
        self.by_hash.remove(&counter.hash);
        self.name_bytes -= counter.name.take().map_or(0, |name| name.bytes.len());
        *counter = Counted { hash, name: None, count: counter.count, error: counter.count, hits: 0 };
        self.by_hash.insert(hash, number);
        number
    }

    fn sift_up(&mut self, mut at: usize) {
        while at > 0 && self.count_at(at) < self.count_at((at - 1) / 2) {
            self.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let children = 2 * at + 1..(2 * at + 3).min(self.heap.len());
            let Some(least) = children.min_by_key(|child| self.count_at(*child)) else { return };
            if self.count_at(at) <= self.count_at(least) {
                return;
            }
            self.swap(at, least);
            at = least;
        }
    }

    fn count_at(&self, at: usize) -> u64 {
        self.counters[usize::from(self.heap[at])].count
    }

    fn swap(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        self.positions[usize::from(self.heap[one])] = one as u16;
        self.positions[usize::from(self.heap[other])] = other as u16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(hash: u64, bytes: usize) -> Name {
        Name { table: hash as u32, index: None, bytes: vec![0; bytes].into() }
    }

    fn count(sketch: &mut Sketch, hash: u64, weight: u64, bytes: usize) {
        sketch.count(hash, weight, 0, &|| name(hash, bytes), bytes);
    }

    #[test]
    fn counts_are_exact_while_every_key_has_a_counter() {
        let mut sketch = Sketch::default();
        for round in 0..5 {
            for hash in 0..COUNTERS as u64 {
                count(&mut sketch, hash, 1 + hash % (round + 1), 8);
            }
        }
        assert_eq!(sketch.counted().count(), COUNTERS);
        for counted in sketch.counted() {
            let expected: u64 = (0..5).map(|round| 1 + counted.hash % (round + 1)).sum();
            assert_eq!((counted.count, counted.error), (expected, 0));
        }
    }

    #[test]
    fn a_heavy_key_keeps_its_counter_among_any_number_of_others() {
        let mut sketch = Sketch::default();
        for other in 0..200_000 {
            count(&mut sketch, 1_000 + other, 1, 8);
            if other % 100 == 0 {
                count(&mut sketch, 7, 1, 8);
            }
        }
        let heavy = sketch.counted().find(|counted| counted.hash == 7).expect("one in a hundred is much");
        assert!(heavy.count >= 2_000 && heavy.certain() <= 2_000, "{} {}", heavy.count, heavy.error);
        assert_eq!(sketch.counted().count(), COUNTERS);
    }

    #[test]
    fn names_stay_within_their_budget_and_heavy_keys_get_theirs_later() {
        let mut sketch = Sketch::default();
        for hash in 0..COUNTERS as u64 {
            count(&mut sketch, hash, 1, 3_000);
        }
        assert!(sketch.name_bytes <= NAME_BYTES_MAX);
        let named = |sketch: &Sketch, hash| {
            sketch.counted().any(|counted| counted.hash == hash && counted.name.is_some())
        };
        assert!(!named(&sketch, 999));
        count(&mut sketch, 999, 1_000_000, 3_000);
        // Others take over the counters of those that have names, and give the names back.
        for hash in 5_000..20_000 {
            count(&mut sketch, hash, 1, 3_000);
            count(&mut sketch, 999, 1, 3_000);
        }
        assert!(named(&sketch, 999) && sketch.name_bytes <= NAME_BYTES_MAX);
    }
}
