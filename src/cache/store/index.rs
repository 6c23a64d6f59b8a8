//! Where each record lies: a hash table with eight bytes for a record, grown a small piece at a time.
//!
//! The table is cut into *pages* of one size by the upper bits of the hash, as many for each page as it needs (extendible hashing,
//! Fagin et al. 1979). A page that is full is split in two, so no more than a few hundred slots move at once, and nothing is left
//! behind that the allocator could not use for the next page. Pages stay when records go, until the caller wants their memory:
//! given back one by one, they would leave holes that nothing else fits in. Within a page, probing is linear.
//!
//! A slot is `location: 32 | uses: 2 | tag: 30`. The tag is the upper part of the hash: it says where to look, and what is worth a
//! look at the record itself. Uses are counted under a shared lock: one that is lost does no harm.

use std::sync::atomic::{AtomicU64, Ordering};

/// Where a record lies: never 0. The caller decides what the bits mean.
pub(super) type Location = u32;

/// As many uses as are counted.
pub(super) const USES_MAX: u8 = 3;

const TAG_BITS: u32 = 30;
const TAG: u64 = (1 << TAG_BITS) - 1;
const ONE_USE: u64 = 1 << TAG_BITS;

/// Slots of a page.
const SLOTS: usize = 512;

/// A page with so many records is split.
const FULL: usize = SLOTS / 8 * 7;

/// Two pages with so many records together become one.
const SPARSE: usize = SLOTS / 2;

/// Pages are split until so many bits of the tag are the same. With more records of one tag than a page holds, none is added.
const DEPTH_MAX: u32 = 20;

/// What a page takes of the allocator: its slots, and a thirty-second that the allocator's own pages lose.
const PAGE_BYTES: usize = SLOTS * size_of::<AtomicU64>() / 32 * 33;

/// See the module.
#[derive(Debug)]
pub(super) struct Index {
    /// The page of each value of the upper `depth` bits of the tag.
    directory: Vec<u32>,
    depth: u32,
    pages: Vec<Page>,
    /// Pages without slots that are in no directory.
    unused: Vec<u32>,
    /// Pages with slots.
    allocated: usize,
}

#[derive(Debug, Default)]
struct Page {
    /// Either none or [`SLOTS`].
    slots: Box<[AtomicU64]>,
    used: usize,
    /// The upper bits of the tag that all its records have in common.
    depth: u32,
}

/// A slot, as it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) location: Location,
    pub(super) uses: u8,
    page: u32,
    place: u32,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { directory: vec![0], depth: 0, pages: vec![Page::default()], unused: Vec::new(), allocated: 0 }
    }

    /// The record of that hash of which `look` says something, and what it says.
    #[inline]
    pub(super) fn find<T>(&self, hash: u64, look: impl Fn(Location) -> Option<T>) -> Option<(Found, T)> {
        let tag = tag_of(hash);
        let number = self.page_of(tag);
        let page = &self.pages[number as usize];
        let slots: &[AtomicU64; SLOTS] = page.slots.as_ref().try_into().ok()?;
        let mut place = home(tag, page.depth);
        // A page always has an empty slot.
        loop {
            let slot = slots[place].load(Ordering::Relaxed);
            if slot == 0 {
                return None;
            }
            if slot & TAG == tag
                && let Some(seen) = look(location(slot))
            {
                let place = place as u32;
                return Some((
                    Found { location: location(slot), uses: uses(slot), page: number, place },
                    seen,
                ));
            }
            place = next(place);
        }
    }

    /// Counts a use.
    #[inline]
    pub(super) fn used(&self, found: Found) {
        if found.uses < USES_MAX {
            let slot = &self.pages[found.page as usize].slots[found.place as usize];
            // Under a shared lock nothing else of a slot changes.
            let tag = slot.load(Ordering::Relaxed);
            slot.store(packed(found.location, found.uses + 1, tag), Ordering::Relaxed);
        }
    }

    /// Says where a record lies from now on, and how often it counts as used.
    pub(super) fn relocate(&mut self, found: Found, location: Location, uses: u8) {
        let slot = self.pages[found.page as usize].slots[found.place as usize].get_mut();
        *slot = packed(location, uses, *slot);
    }

    /// Adds a record of which there is none yet. False if there are too many of the same tag.
    #[must_use]
    pub(super) fn insert(&mut self, hash: u64, location: Location, uses: u8) -> bool {
        let tag = tag_of(hash);
        loop {
            let number = self.page_of(tag);
            let page = &mut self.pages[number as usize];
            if page.slots.is_empty() {
                page.slots = empty_slots();
                self.allocated += 1;
            }
            if page.used < FULL {
                page.put(packed(location, uses, tag));
                return true;
            }
            if page.depth == DEPTH_MAX {
                return false;
            }
            self.split(number, tag);
        }
    }

    /// Removes a record that was found.
    pub(super) fn remove(&mut self, found: Found) {
        self.pages[found.page as usize].take(found.place as usize);
    }

    /// Makes one page of two where there is little in both, and gives back those with nothing in them. False if there are none.
    pub(super) fn shrink(&mut self) -> bool {
        let before = self.allocated;
        for entry in 0..self.directory.len() {
            let number = self.directory[entry];
            let page = &mut self.pages[number as usize];
            if page.used == 0 && !page.slots.is_empty() {
                page.slots = Box::default();
                self.allocated -= 1;
            } else if page.used <= SPARSE && page.depth > 0 {
                self.merge(number, (entry as u64) << (TAG_BITS - self.depth));
            }
        }
        self.allocated < before
    }

    /// How many pages there are.
    pub(super) fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Where the records of a page lie. There are none if the page is gone.
    pub(super) fn locations(&self, page: usize) -> impl Iterator<Item = Location> {
        let slots = self.pages.get(page).into_iter().flat_map(|page| &page.slots);
        slots.map(|slot| slot.load(Ordering::Relaxed)).filter(|slot| *slot != 0).map(location)
    }

    /// What it occupies.
    pub(super) fn bytes(&self) -> u64 {
        let lists = self.directory.len() * size_of::<u32>() + self.pages.len() * size_of::<Page>();
        (self.allocated * PAGE_BYTES + lists) as u64
    }

    #[inline]
    fn page_of(&self, tag: u64) -> u32 {
        self.directory[(tag >> (TAG_BITS - self.depth)) as usize]
    }

    /// Moves the records of a page, of which one has that tag, whose next bit is set to a page of their own.
    fn split(&mut self, number: u32, tag: u64) {
        let depth = self.pages[number as usize].depth + 1;
        if depth > self.depth {
            self.directory = self.directory.iter().flat_map(|page| [*page, *page]).collect();
            self.depth = depth;
        }
        let upper = self.unused.pop().unwrap_or(self.pages.len() as u32);
        if upper as usize == self.pages.len() {
            self.pages.push(Page::default());
        }
        self.allocated += 1;
        self.pages[upper as usize] = Page { slots: empty_slots(), used: 0, depth };
        let prefix = tag >> (TAG_BITS - depth) | 1;
        self.direct(prefix, depth, upper);
        let slots = self.pages[number as usize].clear(depth);
        for slot in slots.into_iter().filter(|slot| *slot != 0) {
            let page = if (slot & TAG) >> (TAG_BITS - depth) == prefix { upper } else { number };
            self.pages[page as usize].put(slot);
        }
    }

    /// Makes one page of the page of that tag and its other half, if there is so little in both.
    fn merge(&mut self, number: u32, tag: u64) {
        let depth = self.pages[number as usize].depth;
        let prefix = tag >> (TAG_BITS - depth);
        let other = self.page_of((prefix ^ 1) << (TAG_BITS - depth));
        let half = &self.pages[other as usize];
        if half.depth != depth || half.used + self.pages[number as usize].used > SPARSE {
            return;
        }
        if half.slots.is_empty() || self.pages[number as usize].slots.is_empty() {
            return;
        }
        let moved = std::mem::take(&mut self.pages[other as usize]);
        self.allocated -= 1;
        self.unused.push(other);
        self.direct(prefix >> 1, depth - 1, number);
        let kept = self.pages[number as usize].clear(depth - 1);
        let moved_slots = moved.slots.iter().map(|slot| slot.load(Ordering::Relaxed));
        kept.into_iter()
            .chain(moved_slots)
            .filter(|slot| *slot != 0)
            .for_each(|slot| self.pages[number as usize].put(slot));
    }

    /// Has the directory name a page for all tags that begin with these bits.
    fn direct(&mut self, prefix: u64, depth: u32, page: u32) {
        let each = 1 << (self.depth - depth);
        self.directory[prefix as usize * each..][..each].fill(page);
    }
}

impl Page {
    /// Empties a page, and says what was in it. It is to have this depth.
    fn clear(&mut self, depth: u32) -> [u64; SLOTS] {
        let mut slots = [0; SLOTS];
        for (slot, before) in slots.iter_mut().zip(&mut self.slots) {
            *slot = std::mem::take(before.get_mut());
        }
        (self.used, self.depth) = (0, depth);
        slots
    }

    fn put(&mut self, slot: u64) {
        let mut place = home(slot & TAG, self.depth);
        while *self.slots[place].get_mut() != 0 {
            place = next(place);
        }
        *self.slots[place].get_mut() = slot;
        self.used += 1;
    }

    /// Empties a slot, and moves those behind it that would not be found any more.
    fn take(&mut self, place: usize) {
        let (mut hole, mut place) = (place, place);
        loop {
            place = next(place);
            let slot = *self.slots[place].get_mut();
            if slot == 0 {
                break;
            }
            // How far the slot is from its home, and from the hole.
            let distance = |from: usize| (place + SLOTS - from) % SLOTS;
            if distance(home(slot & TAG, self.depth)) >= distance(hole) {
                *self.slots[hole].get_mut() = slot;
                hole = place;
            }
        }
        *self.slots[hole].get_mut() = 0;
        self.used -= 1;
    }
}

fn empty_slots() -> Box<[AtomicU64]> {
    (0..SLOTS).map(|_| AtomicU64::new(0)).collect()
}

#[inline]
fn tag_of(hash: u64) -> u64 {
    hash >> (u64::BITS - TAG_BITS)
}

/// Where to begin to look for a tag in a page of that depth.
#[inline]
fn home(tag: u64, depth: u32) -> usize {
    ((tag << depth & TAG) >> (TAG_BITS - SLOTS.ilog2())) as usize
}

#[inline]
fn next(place: usize) -> usize {
    (place + 1) % SLOTS
}

#[inline]
fn location(slot: u64) -> Location {
    (slot >> 32) as Location
}

#[inline]
fn uses(slot: u64) -> u8 {
    (slot / ONE_USE) as u8 & USES_MAX
}

/// A slot with the tag of `tag`, whatever its other bits are.
#[inline]
fn packed(location: Location, uses: u8, tag: u64) -> u64 {
    (u64::from(location) << 32) | (u64::from(uses) * ONE_USE) | (tag & TAG)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Hashes whose tags are close together, so that probing is long.
    fn hash_of(location: Location) -> u64 {
        let location = u64::from(location);
        let lower = location.wrapping_mul(0x9e37_79b9) & 0xffff_ffff;
        ((location % 97) << 58) ^ ((location % 7) << 45) ^ lower
    }

    fn find(index: &Index, hash: u64, location: Location) -> Option<Found> {
        index.find(hash, |other| (other == location).then_some(())).map(|(found, ())| found)
    }

    #[test]
    fn an_index_holds_what_a_map_holds_while_it_grows_and_shrinks() {
        let seed =
            std::env::var("NEARSIDE_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut index, mut map) = (Index::new(), HashMap::new());
        for round in 0..200_000_u32 {
            let key = random.u32(1..if round / 50_000 % 2 == 0 { 5_000 } else { 200 });
            match map.remove(&key) {
                Some(uses) => {
                    let found = find(&index, hash_of(key), key).unwrap();
                    assert_eq!(found.uses, uses, "NEARSIDE_SEED={seed}");
                    index.remove(found);
                }
                None => {
                    let uses = random.u8(..=USES_MAX);
                    assert!(index.insert(hash_of(key), key, uses));
                    map.insert(key, uses);
                }
            }
            assert!(find(&index, hash_of(key), key).is_some() == map.contains_key(&key));
        }
        let mut locations: Vec<_> = (0..index.pages()).flat_map(|page| index.locations(page)).collect();
        let mut expected: Vec<_> = map.keys().copied().collect();
        locations.sort_unstable();
        expected.sort_unstable();
        assert_eq!(locations, expected, "NEARSIDE_SEED={seed}");
        index.shrink();
        let allocated = index.pages.iter().filter(|page| !page.slots.is_empty()).count();
        assert_eq!(index.allocated, allocated);
        assert!(allocated <= 8 + 8 * map.len() / SLOTS, "{allocated} pages, NEARSIDE_SEED={seed}");
    }

    #[test]
    fn uses_are_counted_up_to_three_and_stay_when_a_record_moves() {
        let mut index = Index::new();
        assert!(index.insert(7, 1, 0));
        for expected in [0, 1, 2, 3, 3] {
            let found = find(&index, 7, 1).unwrap();
            assert_eq!(found.uses, expected);
            index.used(found);
        }
        let found = find(&index, 7, 1).unwrap();
        index.relocate(found, 9, 2);
        let found = find(&index, 7, 9).unwrap();
        assert_eq!((found.location, found.uses), (9, 2));
    }

    #[test]
    fn as_many_of_one_tag_as_a_page_holds_are_added_and_no_more() {
        let mut index = Index::new();
        let added = (1..1000).filter(|location| index.insert(u64::from(*location), *location, 0)).count();
        assert_eq!(added, FULL);
        assert!(find(&index, 1, 1).is_some() && find(&index, 999, 999).is_none());
    }
}
