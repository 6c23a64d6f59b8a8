//! One part of the store: a log of segments, an index of what lies in them, and the policy that says what leaves first.
//!
//! **Admission and eviction** are S3-FIFO (Yang et al. 2023), by whole segments. An entry begins in the small queue, a tenth of
//! the part. When its segment comes to the end of that queue, it goes on to the main queue if it was used meanwhile; else it is
//! evicted, and its hash remembered ([`Ghosts`]). An entry whose hash is remembered begins in the main queue. What was used since
//! it came to the end of the main queue goes round again. To go on or round is to be copied to the end of the log, or to stay
//! where it is if nearly all of its segment does the same.
//!
//! **Long entries** are cut where a segment ends. Each piece is a record of its own in the index, under a hash made of the entry's and
//! the piece's number. All pieces of an entry leave together.
//!
//! **The budget** is what segments, index and ghosts occupy. A segment counts in full from the moment it has a buffer until nobody
//! reads in it any more.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::Usage;
use super::ghosts::Ghosts;
use super::index::{Found, Index, Location, USES_MAX};
use super::segment::{
    HEADER_BYTES, Kind, NotFrozen, PIECES_MAX, PLACE_BITS, Queue, Record, SEGMENT_BYTES_MAX, Segment,
    charged_bytes, reclaimed, record_bytes,
};
use crate::cache::entry::{Entry, Facts, NewEntry, facts_of};

/// A part of a budget is cut into about so many segments.
const SEGMENTS: u64 = 48;

const SEGMENT_BYTES_MIN: u64 = 4 << 10;

/// Segments that are opened on purpose. Numbers begin at 1, and a few more than this are there for what is copied meanwhile.
const SEGMENTS_MAX: usize = (1 << (u32::BITS - PLACE_BITS)) - 64;

/// The small queue has one in so many bytes.
const SMALL_PART: usize = 10;

/// An entry of at most this part of a segment is never cut.
const UNCUT_PART: usize = 16;

/// An entry takes at most three quarters of the budget.
const ENTRY_PART: (u64, u64) = (3, 4);

/// A segment stays where it is if at most one in so many bytes would be lost.
const LOST_PART: usize = 8;

/// An index of more than this part of the budget is too large for any entries: the budget was larger before.
const INDEX_PART: u64 = 4;

/// Segments that are looked at for one insert before entries need one more use to stay.
const PATIENCE: u8 = 8;

/// What a later piece has before its bytes: the hash of its entry, and the entry's stamp.
const LATER_BYTES: usize = 8 + STAMP_BYTES;

/// What the first of several pieces has before its bytes: the stamp that all pieces of an entry share.
const STAMP_BYTES: usize = 4;

/// See the module.
#[derive(Debug)]
pub(super) struct Part {
    index: Index,
    /// By their number less one.
    segments: Vec<Option<Segment>>,
    unused_numbers: Vec<u32>,
    /// The numbers of segments, the oldest first. The newest is the one that is filled.
    small: VecDeque<u32>,
    main: VecDeque<u32>,
    /// Segments that were sparse when something of them was forgotten.
    sparse: Vec<u32>,
    /// Empty buffers, all of the size that is used now.
    buffers: Vec<BytesMut>,
    /// The beginnings of buffers in which somebody still reads.
    pinned: Vec<(Bytes, usize)>,
    ghosts: Ghosts,
    budget: u64,
    segment_bytes: usize,
    /// What all segments occupy.
    segments_bytes: u64,
    /// Buffers in which somebody still reads.
    pinned_bytes: u64,
    /// Records in use.
    live_bytes: u64,
    entries: usize,
    evictions: u64,
    next_stamp: u32,
}

/// What a part has under a hash.
pub(super) enum Lookup {
    Found(Entry),
    Absent,
    /// It lies where nothing is frozen yet: [`Part::freeze`], and ask again.
    NotFrozen,
}

impl Part {
    pub(super) fn new(budget: u64) -> Self {
        Self {
            index: Index::new(),
            segments: Vec::new(),
            unused_numbers: Vec::new(),
            small: VecDeque::new(),
            main: VecDeque::new(),
            sparse: Vec::new(),
            buffers: Vec::new(),
            pinned: Vec::new(),
            ghosts: Ghosts::default(),
            budget,
            segment_bytes: segment_bytes(budget),
            segments_bytes: 0,
            pinned_bytes: 0,
            live_bytes: 0,
            entries: 0,
            evictions: 0,
            next_stamp: 0,
        }
    }

    /// Looks for an entry, and counts that as a use.
    pub(super) fn get(&self, hash: u64) -> Lookup {
        let Some((found, record)) = self.find(hash) else { return Lookup::Absent };
        self.index.used(found);
        let entry = match record.kind {
            Kind::First(pieces) => self.pieces(&record, pieces).map(|pieces| pieces.map(Entry::cut)),
            Kind::Whole | Kind::Later => record.to_bytes(0).map(|bytes| Some(Entry::whole(bytes))),
        };
        match entry {
            Ok(Some(entry)) => Lookup::Found(entry),
            Ok(None) => Lookup::Absent,
            Err(NotFrozen) => Lookup::NotFrozen,
        }
    }

    /// Makes all that is stored readable without a copy.
    pub(super) fn freeze(&mut self) {
        for number in [self.small.back(), self.main.back()].into_iter().flatten() {
            if let Some(segment) = &mut self.segments[*number as usize - 1] {
                segment.freeze();
            }
        }
    }

    pub(super) fn contains(&self, hash: u64) -> bool {
        self.find(hash).is_some()
    }

    /// Stores an entry in place of an older one. False if it does not fit; then the older one is gone too.
    pub(super) fn insert(&mut self, hash: u64, entry: &NewEntry<'_>) -> bool {
        let before = self.find(hash).map(|(found, _)| found);
        let (queue, uses) = match before {
            Some(found) => (self.segment(split(found.location).0).queue, found.uses),
            None if self.ghosts.remove(hash, self.entries) => (Queue::Main, 0),
            None => (Queue::Small, 0),
        };
        if before.is_some() {
            self.forget(hash);
        }
        let bytes = record_bytes(entry.bytes());
        let is_stored = match bytes <= self.segment_bytes / UNCUT_PART || bytes <= self.room(queue) {
            true => self.insert_whole(hash, entry, queue, uses),
            false => self.insert_cut(hash, entry, queue, uses),
        };
        self.entries += usize::from(is_stored);
        if self.bytes() > self.budget {
            // The index has grown.
            self.make_room(0);
        }
        is_stored
    }

    /// The hashes of the entries of a page of the index that are dead.
    pub(super) fn dead(&self, page: usize, is_dead: &dyn Fn(u64, &Facts) -> bool) -> Vec<u64> {
        let records = self.index.locations(page).map(|location| self.record(location));
        let dead = records.filter(|record| is_dead_entry(record, is_dead));
        dead.map(|record| record.hash).collect()
    }

    /// Forgets those of these entries that are still dead, and says how many they were.
    pub(super) fn reclaim(&mut self, hashes: &[u64], is_dead: &dyn Fn(u64, &Facts) -> bool) -> u64 {
        let before = self.entries;
        for hash in hashes {
            if self.find(*hash).is_some_and(|(_, record)| is_dead_entry(&record, is_dead)) {
                self.forget(*hash);
            }
        }
        (before - self.entries) as u64
    }

    /// How many pages there are to reclaim.
    pub(super) fn pages(&self) -> usize {
        self.index.pages()
    }

    /// Forgets an entry and all its pieces.
    pub(super) fn forget(&mut self, hash: u64) {
        let Some((_, record)) = self.find(hash) else { return };
        let count = match record.kind {
            Kind::First(count) => count,
            Kind::Whole | Kind::Later => 1,
        };
        self.remove_pieces(hash, count);
        self.entries -= 1;
    }

    pub(super) fn budget(&self) -> u64 {
        self.budget
    }

    /// Changes the budget. A smaller one is kept at once, by evicting.
    pub(super) fn set_budget(&mut self, budget: u64) {
        self.budget = budget;
        self.segment_bytes = segment_bytes(budget);
        self.buffers.retain(|buffer| buffer.capacity() == self.segment_bytes);
        self.make_room(0);
    }

    /// Gives memory back that is of no use now.
    pub(super) fn tidy(&mut self) {
        while self.compact() {}
        self.unpin();
        self.buffers.clear();
    }

    pub(super) fn usage(&self) -> Usage {
        let untouched: usize = [&self.small, &self.main]
            .into_iter()
            .filter_map(|queue| queue.back())
            .map(|number| self.segment(*number))
            .map(|segment| segment.capacity() - segment.touched_bytes())
            .sum();
        let bytes = self.bytes().saturating_sub(untouched as u64);
        Usage {
            entries: self.entries as u64,
            bytes,
            bytes_max: self.budget,
            evictions: self.evictions,
            overhead_bytes: bytes.saturating_sub(self.live_bytes),
        }
    }
}

/// How entries are found and written.
impl Part {
    #[inline]
    fn find(&self, hash: u64) -> Option<(Found, Record<'_>)> {
        self.index.find(hash, |location| {
            let record = self.record(location);
            (record.hash == hash && record.kind != Kind::Later).then_some(record)
        })
    }

    /// A later piece of an entry.
    fn find_later(&self, hash: u64, number: u8) -> Option<(Found, Record<'_>)> {
        let later_hash = later_hash(hash, number);
        self.index.find(later_hash, |location| {
            let record = self.record(location);
            let is_it =
                record.hash == later_hash && record.kind == Kind::Later && entry_hash(&record) == hash;
            is_it.then_some(record)
        })
    }

    /// All pieces of an entry, of which the first one was found; `None` if they do not belong together.
    fn pieces(&self, first: &Record<'_>, count: u8) -> Result<Option<Vec<Bytes>>, NotFrozen> {
        let stamp = &first.payload[..STAMP_BYTES];
        let mut pieces = Vec::with_capacity(count.into());
        pieces.push(first.to_bytes(STAMP_BYTES)?);
        for number in 1..count {
            let Some((found, later)) = self.find_later(first.hash, number) else { return Ok(None) };
            if later.payload[LATER_BYTES - STAMP_BYTES..LATER_BYTES] != *stamp {
                return Ok(None);
            }
            self.index.used(found);
            pieces.push(later.to_bytes(LATER_BYTES)?);
        }
        Ok(Some(pieces))
    }

    /// Stores an entry in one piece. False if there is no room.
    fn insert_whole(&mut self, hash: u64, entry: &NewEntry<'_>, queue: Queue, uses: u8) -> bool {
        if self.room(queue) < record_bytes(entry.bytes()) && !self.make_room(1) {
            return false;
        }
        self.add(queue, hash, Kind::Whole, &entry.parts(), uses)
    }

    /// Stores an entry in pieces that fill the segments. False if there is no room.
    fn insert_cut(&mut self, hash: u64, entry: &NewEntry<'_>, queue: Queue, uses: u8) -> bool {
        let later_bytes = self.segment_bytes - HEADER_BYTES - LATER_BYTES;
        let segments = entry.bytes().div_ceil(later_bytes) + 1;
        let first_bytes_min =
            record_bytes(STAMP_BYTES + entry.head_bytes()).max(self.segment_bytes / UNCUT_PART);
        let fits = segments <= PIECES_MAX
            && first_bytes_min <= self.segment_bytes
            && (entry.bytes() as u64) <= self.budget / ENTRY_PART.1 * ENTRY_PART.0;
        if !fits || !self.make_room(segments) {
            return false;
        }
        let room = self.room(queue);
        if room < first_bytes_min && record_bytes(entry.bytes()) <= self.segment_bytes {
            return self.insert_whole(hash, entry, queue, uses);
        }
        let first_bytes = if room < first_bytes_min { self.segment_bytes } else { room };
        let first_bytes = (first_bytes - HEADER_BYTES - STAMP_BYTES).min(entry.bytes());
        let later_pieces = (entry.bytes() - first_bytes).div_ceil(later_bytes);
        let count = u8::try_from(1 + later_pieces).expect("there are at most as many pieces as there may be");
        self.next_stamp = self.next_stamp.wrapping_add(1);
        let (owner, stamp) = (hash.to_le_bytes(), self.next_stamp.to_le_bytes());
        let [facts, key, body] = entry.parts_between(0, first_bytes);
        let mut is_stored = self.add(queue, hash, Kind::First(count), &[&stamp, facts, key, body], uses);
        let mut start = first_bytes;
        for number in 1..count {
            let end = (start + later_bytes).min(entry.bytes());
            let [facts, key, body] = entry.parts_between(start, end);
            let parts = [owner.as_slice(), &stamp, facts, key, body];
            is_stored = is_stored && self.add(queue, later_hash(hash, number), Kind::Later, &parts, uses);
            start = end;
        }
        if !is_stored {
            self.remove_pieces(hash, count);
        }
        is_stored
    }

    /// Adds a record of which there is none yet. False if there is no place for it in the index.
    fn add(&mut self, queue: Queue, hash: u64, kind: Kind, parts: &[&[u8]], uses: u8) -> bool {
        let location = self.append(queue, hash, kind, parts);
        let is_added = self.index.insert(hash, location, uses);
        if !is_added {
            self.leave(location);
        }
        is_added
    }

    /// Adds a record at the end of a queue, in a new segment if that is needed. Nothing is evicted for it.
    fn append(&mut self, queue: Queue, hash: u64, kind: Kind, parts: &[&[u8]]) -> Location {
        let bytes = record_bytes(parts.iter().map(|part| part.len()).sum());
        self.live_bytes += bytes as u64;
        let newest = self.queue(queue).back().copied();
        let room = self.room(queue);
        let number = newest.filter(|_| bytes <= room).unwrap_or_else(|| self.open(queue));
        let place = self.segment_mut(number).append(hash, kind, parts);
        if let Some(before) = newest.filter(|before| *before != number) {
            // The one with more room is filled further.
            let is_fuller = self.segment(number).room() < room;
            if is_fuller {
                let queue = self.queue_mut(queue);
                let last = queue.len() - 1;
                queue.swap(last - 1, last);
            }
            self.seal(if is_fuller { number } else { before });
        }
        if self.segment(number).room() == 0 {
            // Only the last segment of a queue may have unfrozen records, and eviction may place another one behind this.
            self.seal(number);
        }
        location(number, place)
    }

    /// Forgets as many of the first pieces of an entry as there are.
    fn remove_pieces(&mut self, hash: u64, count: u8) {
        let first = self.find(hash).map(|(found, _)| found);
        first.into_iter().for_each(|found| self.remove(found));
        for number in 1..count {
            let later = self.find_later(hash, number).map(|(found, _)| found);
            later.into_iter().for_each(|found| self.remove(found));
        }
    }

    /// Forgets a record that was found.
    fn remove(&mut self, found: Found) {
        self.index.remove(found);
        self.leave(found.location);
    }

    /// A record is not used any more where it lies.
    fn leave(&mut self, location: Location) {
        let (number, _) = split(location);
        let bytes = self.record(location).bytes();
        let segment = self.segment_mut(number);
        let was_sparse = segment.is_sparse();
        segment.forget(bytes);
        let is_sparse = segment.is_sparse() && !was_sparse;
        self.live_bytes -= bytes as u64;
        if is_sparse {
            self.sparse.push(number);
        }
    }

    /// Copies a record that was found to the end of a queue.
    fn copy(&mut self, found: Found, queue: Queue, uses: u8) {
        let record = self.record(found.location);
        if record.bytes() > self.segment_bytes {
            // The budget has become so small that segments are smaller.
            return self.evict_entry(found, queue);
        }
        let (hash, kind) = (record.hash, record.kind);
        let payload = record.to_bytes(0).expect("only what lies in sealed segments is copied");
        let location = self.append(queue, hash, kind, &[&payload]);
        self.leave(found.location);
        self.index.relocate(found, location, uses);
    }
}

/// What leaves.
impl Part {
    /// Makes room for so many segments. False if they do not fit in the budget.
    fn make_room(&mut self, segments: usize) -> bool {
        self.unpin();
        let mut evicted = 0_u8;
        loop {
            let missing = segments.saturating_sub(self.buffers.len());
            let numbers = (self.unused_numbers.len() + SEGMENTS_MAX).saturating_sub(self.segments.len());
            let is_within = self.bytes() + missing as u64 * charged_bytes(self.segment_bytes) <= self.budget;
            if is_within && numbers >= segments {
                return true;
            }
            let is_index_large = self.index.bytes() > self.budget / INDEX_PART;
            if self.buffers.len() > segments {
                self.buffers.pop();
                continue;
            }
            if (is_index_large && self.index.shrink()) || self.compact() {
                continue;
            }
            if !self.evict(1 + (evicted / PATIENCE).min(USES_MAX)) {
                return false;
            }
            evicted = evicted.saturating_add(1);
        }
    }

    /// What is charged to the budget. Readers who keep old segments alive cannot take more than half of it.
    fn bytes(&self) -> u64 {
        let buffers = (self.buffers.len() * self.segment_bytes) as u64;
        let pinned = self.pinned_bytes.min(self.budget / 2);
        self.segments_bytes + buffers + pinned + self.index.bytes() + self.ghosts.bytes()
    }

    /// Copies what is in use of a sparse segment, and ends the segment. False if there is none.
    fn compact(&mut self) -> bool {
        while let Some(number) = self.sparse.pop() {
            let Some(segment) = &self.segments[number as usize - 1] else { continue };
            if !segment.is_sparse() {
                continue;
            }
            let queue = segment.queue;
            let numbers = self.queue_mut(queue);
            let position =
                numbers.iter().position(|other| *other == number).expect("a segment stands in its queue");
            numbers.remove(position);
            for location in self.locations_in(number) {
                if let Some(found) = self.in_use(location) {
                    self.copy(found, queue, found.uses);
                }
            }
            self.close(number);
            return true;
        }
        false
    }

    /// Ends the oldest segment of the queue whose turn it is. Of the main queue, what was used that often goes round again. False if
    /// there are no segments.
    fn evict(&mut self, uses_min: u8) -> bool {
        let small_max = ((self.small.len() + self.main.len()) / SMALL_PART).max(1);
        let is_small = self.small.len() > small_max || self.main.is_empty();
        let (queue, uses_min) = if is_small { (Queue::Small, 1) } else { (Queue::Main, uses_min) };
        let Some(number) = self.queue_mut(queue).pop_front() else { return false };
        self.seal(number);
        let locations = self.locations_in(number);
        let stays = self.stays(number, &locations, uses_min);
        let segment = self.segment_mut(number);
        if stays {
            segment.queue = Queue::Main;
            // Behind all others but the one that is filled.
            let place = self.main.len() - usize::from(self.room(Queue::Main) > 0);
            self.main.insert(place, number);
        }
        for location in locations {
            let Some(found) = self.in_use(location) else { continue };
            let uses = if is_small { 0 } else { found.uses.saturating_sub(1) };
            if found.uses < uses_min {
                self.evict_entry(found, queue);
            } else if stays {
                self.index.relocate(found, location, uses);
            } else {
                self.copy(found, Queue::Main, uses);
            }
        }
        if !stays {
            self.close(number);
        }
        true
    }

    /// True if nearly all of a segment was used that often.
    fn stays(&self, number: u32, locations: &[Location], uses_min: u8) -> bool {
        let segment = self.segment(number);
        let mut lost_bytes = segment.unfilled_bytes();
        locations.iter().all(|location| {
            if self.in_use(*location).is_none_or(|found| found.uses < uses_min) {
                lost_bytes += self.record(*location).bytes();
            }
            lost_bytes <= segment.capacity() / LOST_PART
        })
    }

    /// Evicts the entry of which a record was found.
    fn evict_entry(&mut self, found: Found, queue: Queue) {
        let record = self.record(found.location);
        let hash = match record.kind {
            Kind::Whole | Kind::First(_) => record.hash,
            Kind::Later => entry_hash(&record),
        };
        if record.kind == Kind::Whole {
            self.remove(found);
            self.entries -= 1;
        } else {
            self.forget(hash);
        }
        self.evictions += 1;
        if queue == Queue::Small {
            self.ghosts.insert(hash, self.budget, self.entries);
        }
    }

    /// Takes the buffers in which nobody reads any more.
    fn unpin(&mut self) {
        for (first, capacity) in std::mem::take(&mut self.pinned) {
            self.pinned_bytes -= capacity as u64;
            self.keep_buffer(reclaimed(first), capacity);
        }
    }

    fn keep_buffer(&mut self, buffer: Result<BytesMut, Bytes>, capacity: usize) {
        match buffer {
            Ok(buffer) if capacity == self.segment_bytes => self.buffers.push(buffer),
            Ok(_) => {}
            Err(first) => {
                self.pinned_bytes += capacity as u64;
                self.pinned.push((first, capacity));
            }
        }
    }
}

/// Segments by their numbers.
impl Part {
    /// Begins a segment at the end of a queue.
    fn open(&mut self, queue: Queue) -> u32 {
        let (buffer, touched_bytes) = match self.buffers.pop() {
            Some(buffer) => (buffer, self.segment_bytes),
            None => (BytesMut::with_capacity(self.segment_bytes), 0),
        };
        let segment = Segment::new(queue, buffer, touched_bytes);
        self.segments_bytes += charged_bytes(segment.capacity());
        let number = match self.unused_numbers.pop() {
            Some(number) => number,
            None => {
                self.segments.push(None);
                u32::try_from(self.segments.len()).expect("segments are numbered in 32 bits")
            }
        };
        self.segments[number as usize - 1] = Some(segment);
        self.queue_mut(queue).push_back(number);
        number
    }

    /// Nothing more is added to a segment.
    fn seal(&mut self, number: u32) {
        let segment = self.segment_mut(number);
        segment.seal();
        if segment.is_sparse() {
            self.sparse.push(number);
        }
    }

    /// Ends a segment of which nothing is in use, and that stands in no queue.
    fn close(&mut self, number: u32) {
        let segment = self.segments[number as usize - 1].take().expect(SEGMENT_EXISTS);
        debug_assert_eq!(segment.live_bytes(), 0);
        self.unused_numbers.push(number);
        let capacity = segment.capacity();
        self.segments_bytes -= charged_bytes(capacity);
        self.keep_buffer(segment.into_buffer(), capacity);
    }

    #[inline]
    fn segment(&self, number: u32) -> &Segment {
        self.segments[number as usize - 1].as_ref().expect(SEGMENT_EXISTS)
    }

    fn segment_mut(&mut self, number: u32) -> &mut Segment {
        self.segments[number as usize - 1].as_mut().expect(SEGMENT_EXISTS)
    }

    #[inline]
    fn record(&self, location: Location) -> Record<'_> {
        let (number, place) = split(location);
        self.segment(number).record(place)
    }

    /// Where the records of a segment lie, in use or not.
    fn locations_in(&self, number: u32) -> Vec<Location> {
        self.segment(number).places().map(|place| location(number, place)).collect()
    }

    /// The record that lies there, if it is in use.
    fn in_use(&self, location: Location) -> Option<Found> {
        let found = self.index.find(self.record(location).hash, |other| (other == location).then_some(()));
        found.map(|(found, ())| found)
    }

    fn queue(&self, queue: Queue) -> &VecDeque<u32> {
        match queue {
            Queue::Small => &self.small,
            Queue::Main => &self.main,
        }
    }

    fn queue_mut(&mut self, queue: Queue) -> &mut VecDeque<u32> {
        match queue {
            Queue::Small => &mut self.small,
            Queue::Main => &mut self.main,
        }
    }

    /// What fits in the segment of a queue that is filled.
    fn room(&self, queue: Queue) -> usize {
        self.queue(queue).back().map_or(0, |number| self.segment(*number).room())
    }
}

#[cfg(test)]
impl Part {
    /// Panics unless what is counted is what there is.
    pub(super) fn assert_adds_up(&self) {
        let locations: Vec<Location> =
            (0..self.index.pages()).flat_map(|page| self.index.locations(page)).collect();
        let mut live = vec![0; self.segments.len()];
        for location in &locations {
            live[split(*location).0 as usize - 1] += self.record(*location).bytes();
        }
        let entries = locations.iter().filter(|location| self.record(**location).kind != Kind::Later).count();
        assert_eq!(entries, self.entries);
        assert_eq!(live.iter().sum::<usize>() as u64, self.live_bytes);
        for (segment, live) in self.segments.iter().zip(live) {
            assert_eq!(segment.as_ref().map_or(0, Segment::live_bytes), live);
        }
        let bytes = |segment: &Segment| charged_bytes(segment.capacity());
        assert_eq!(self.segments.iter().flatten().map(bytes).sum::<u64>(), self.segments_bytes);
        assert_eq!(self.segments.iter().flatten().count(), self.small.len() + self.main.len());
        assert_eq!(self.pinned.iter().map(|(_, capacity)| *capacity as u64).sum::<u64>(), self.pinned_bytes);
        for (queue, numbers) in [(Queue::Small, &self.small), (Queue::Main, &self.main)] {
            assert!(numbers.iter().all(|number| self.segment(*number).queue == queue));
            assert!(numbers.iter().rev().skip(1).all(|number| self.segment(*number).is_sealed()));
        }
    }
}

const SEGMENT_EXISTS: &str = "what is in the index or in a queue lies in a segment";

/// The size of new segments under a budget.
fn segment_bytes(budget: u64) -> usize {
    let bytes = (budget / SEGMENTS).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX as u64);
    1 << bytes.ilog2()
}

/// True if a record begins an entry that is dead.
fn is_dead_entry(record: &Record<'_>, is_dead: &dyn Fn(u64, &Facts) -> bool) -> bool {
    let skipped = match record.kind {
        Kind::Whole => 0,
        Kind::First(_) => STAMP_BYTES,
        Kind::Later => return false,
    };
    is_dead(record.hash, &facts_of(&record.payload[skipped..]))
}

fn location(number: u32, place: u32) -> Location {
    number << PLACE_BITS | place
}

#[inline]
fn split(location: Location) -> (u32, u32) {
    (location >> PLACE_BITS, location & ((1 << PLACE_BITS) - 1))
}

/// The hash under which a later piece stands in the index.
fn later_hash(hash: u64, number: u8) -> u64 {
    hash.wrapping_add(u64::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The hash of the entry that a later piece belongs to.
fn entry_hash(later: &Record<'_>) -> u64 {
    u64::from_le_bytes(*later.payload.first_chunk().expect("a later piece begins with the hash of its entry"))
}
