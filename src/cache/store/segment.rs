//! A segment: a buffer of fixed size that is filled from its start to its end, with one record after the other.
//!
//! What is read is handed out as a slice that shares the buffer's reference counter. For that, the buffer is *frozen* up to where
//! it is filled: the frozen part is a [`Bytes`], the rest stays a [`BytesMut`] to be filled further. Each freezing makes one more
//! *chunk*, so there are not more than [`CHUNKS_MAX`] of them before the segment is full; what was filled since is then copied
//! out.
//!
//! A record is `hash: 64 | kind: 8 | length: 16 | payload`, and begins at a multiple of [`UNIT`] bytes.

use bytes::{BufMut, Bytes, BytesMut};

/// Records begin at multiples of this.
pub(super) const UNIT: usize = 4;

/// The largest segment, in which a record's place fits in [`PLACE_BITS`].
pub(super) const SEGMENT_BYTES_MAX: usize = 64 << 10;

/// The bits of a record's place, in units.
pub(super) const PLACE_BITS: u32 = (SEGMENT_BYTES_MAX / UNIT).ilog2();

/// What a record has beside its payload.
pub(super) const HEADER_BYTES: usize = 8 + 1 + 2;

/// Chunks of a segment that is not full.
const CHUNKS_MAX: usize = 8;

/// What a segment takes beside its buffer: itself, its list of chunks, and the buffer's reference counter.
const BESIDE_BYTES: usize = 320;

/// Of so many bytes of a buffer one more is charged, for what the allocator keeps around it. Without it, resident memory passed
/// the budget by 4 % more where items of all sizes are stored.
const ALLOCATOR_PART: usize = 24;

/// What a segment with a buffer of that size is charged.
pub(super) fn charged_bytes(capacity: usize) -> u64 {
    (capacity + capacity / ALLOCATOR_PART + BESIDE_BYTES) as u64
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An entry of one piece.
    Whole,
    /// The first piece of an entry of so many.
    First(u8),
    /// A later piece of an entry.
    Later,
}

/// Pieces of an entry.
pub(super) const PIECES_MAX: usize = 254;

impl Kind {
    fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Whole,
            u8::MAX => Self::Later,
            pieces => Self::First(pieces),
        }
    }

    fn to_byte(self) -> u8 {
        match self {
            Self::Whole => 0,
            Self::First(pieces) => pieces,
            Self::Later => u8::MAX,
        }
    }
}

/// A record as it lies in its segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) hash: u64,
    pub(super) kind: Kind,
    pub(super) payload: &'a [u8],
    memory: Memory<'a>,
}

/// What a record lies in.
#[derive(Clone, Copy, Debug)]
enum Memory<'a> {
    Frozen(&'a Bytes),
    /// It can be frozen.
    Filling,
    /// There are as many chunks as there may be, and it is not in one of them.
    FillingLong,
}

/// What is asked for is not frozen yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct NotFrozen;

impl Record<'_> {
    /// The payload from `skipped` bytes on: a slice that keeps the segment's buffer alive, or a copy.
    #[inline]
    pub(super) fn to_bytes(self, skipped: usize) -> Result<Bytes, NotFrozen> {
        let payload = &self.payload[skipped..];
        match self.memory {
            Memory::Frozen(chunk) => Ok(chunk.slice_ref(payload)),
            Memory::Filling => Err(NotFrozen),
            Memory::FillingLong => Ok(Bytes::copy_from_slice(payload)),
        }
    }

    /// What it takes of its segment.
    pub(super) fn bytes(&self) -> usize {
        record_bytes(self.payload.len())
    }
}

/// What a record with such a payload takes of its segment.
pub(super) fn record_bytes(payload_bytes: usize) -> usize {
    (HEADER_BYTES + payload_bytes).next_multiple_of(UNIT)
}

/// The first-in, first-out queue that a segment stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// Of what has come lately.
    Small,
    /// Of what has proved itself.
    Main,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) queue: Queue,
    chunks: Vec<Chunk>,
    /// What was filled since the last freezing, with room for more. Without room once the segment is sealed.
    filling: BytesMut,
    /// Where that begins.
    filling_start: usize,
    capacity: usize,
    /// Bytes that were filled when the buffer was another segment's.
    touched_bytes: usize,
    /// Bytes of records that are still in use.
    live_bytes: usize,
    is_sealed: bool,
}

#[derive(Debug)]
struct Chunk {
    start: usize,
    bytes: Bytes,
}

impl Segment {
    /// An empty segment in a buffer, of which so many bytes were used before.
    pub(super) fn new(queue: Queue, buffer: BytesMut, touched_bytes: usize) -> Self {
        Self {
            queue,
            chunks: Vec::new(),
            capacity: buffer.capacity(),
            filling: buffer,
            filling_start: 0,
            touched_bytes,
            live_bytes: 0,
            is_sealed: false,
        }
    }

    /// How many bytes more fit.
    pub(super) fn room(&self) -> usize {
        if self.is_sealed { 0 } else { self.capacity - self.filled_bytes() }
    }

    /// Adds a record whose payload is these parts, one after the other, and that fits. Returns its place, in units.
    pub(super) fn append(&mut self, hash: u64, kind: Kind, parts: &[&[u8]]) -> u32 {
        let payload_bytes: usize = parts.iter().map(|part| part.len()).sum();
        let bytes = record_bytes(payload_bytes);
        debug_assert!(bytes <= self.room(), "the caller has looked for room");
        let place = self.filled_bytes() / UNIT;
        self.filling.put_u64_le(hash);
        self.filling.put_u8(kind.to_byte());
        self.filling.put_u16_le(u16::try_from(payload_bytes).expect("a record is smaller than a segment"));
        parts.iter().for_each(|part| self.filling.extend_from_slice(part));
        self.filling.put_bytes(0, bytes - HEADER_BYTES - payload_bytes);
        self.live_bytes += bytes;
        place as u32
    }

    /// The record at a place.
    #[inline]
    pub(super) fn record(&self, place: u32) -> Record<'_> {
        let start = place as usize * UNIT;
        match start.checked_sub(self.filling_start) {
            Some(start) if self.can_freeze() => record_at(&self.filling[start..], Memory::Filling),
            Some(start) => record_at(&self.filling[start..], Memory::FillingLong),
            None => {
                let chunk = self.chunk(start);
                record_at(&chunk.bytes[start - chunk.start..], Memory::Frozen(&chunk.bytes))
            }
        }
    }

    /// Makes what was filled readable without a copy.
    pub(super) fn freeze(&mut self) {
        if self.can_freeze() && !self.filling.is_empty() {
            self.freeze_rest();
        }
    }

    /// Nothing more is added.
    pub(super) fn seal(&mut self) {
        if !self.is_sealed {
            self.is_sealed = true;
            self.touched_bytes = self.touched_bytes.max(self.filled_bytes());
            self.freeze_rest();
            self.filling = BytesMut::new();
        }
    }

    #[cfg(test)]
    pub(super) fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// The places of all records, in use or not.
    pub(super) fn places(&self) -> impl Iterator<Item = u32> {
        let mut place = 0;
        std::iter::from_fn(move || {
            let here = place;
            (here as usize * UNIT < self.filled_bytes()).then(|| {
                place += (self.record(here).bytes() / UNIT) as u32;
                here
            })
        })
    }

    /// Bytes of records in use.
    pub(super) fn live_bytes(&self) -> usize {
        self.live_bytes
    }

    /// A record is not in use any more.
    pub(super) fn forget(&mut self, record_bytes: usize) {
        self.live_bytes -= record_bytes;
    }

    /// True if most of it is of no use, and nothing will be added.
    pub(super) fn is_sparse(&self) -> bool {
        self.is_sealed && self.live_bytes * 2 < self.capacity
    }

    /// What nothing was written to.
    pub(super) fn unfilled_bytes(&self) -> usize {
        self.capacity - self.filled_bytes()
    }

    /// The buffer's size.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// How much of the buffer is resident, as far as this is known.
    pub(super) fn touched_bytes(&self) -> usize {
        self.touched_bytes.max(self.filled_bytes())
    }

    /// Ends the segment. Returns its buffer, if nobody reads in it.
    pub(super) fn into_buffer(mut self) -> Result<BytesMut, Bytes> {
        self.seal();
        // The first chunk begins where the buffer does. All others must be gone before it is the only one.
        self.chunks.truncate(1);
        match self.chunks.pop() {
            Some(first) => reclaimed(first.bytes),
            None => Ok(BytesMut::new()),
        }
    }

    fn filled_bytes(&self) -> usize {
        self.filling_start + self.filling.len()
    }

    fn can_freeze(&self) -> bool {
        self.chunks.len() < CHUNKS_MAX
    }

    fn freeze_rest(&mut self) {
        let start = self.filling_start;
        self.filling_start = self.filled_bytes();
        let bytes = self.filling.split().freeze();
        self.chunks.push(Chunk { start, bytes });
    }

    #[inline]
    fn chunk(&self, start: usize) -> &Chunk {
        self.chunks
            .iter()
            .rev()
            .find(|chunk| chunk.start <= start)
            .expect("a place before the unfrozen is frozen")
    }
}

/// The empty buffer that these bytes are the beginning of, unless somebody else has a part of it.
pub(super) fn reclaimed(first: Bytes) -> Result<BytesMut, Bytes> {
    let mut buffer = first.try_into_mut()?;
    buffer.clear();
    Ok(buffer)
}

/// The record that begins here.
#[inline]
fn record_at<'a>(bytes: &'a [u8], memory: Memory<'a>) -> Record<'a> {
    let (header, rest) = bytes.split_first_chunk::<HEADER_BYTES>().expect("a record begins with its header");
    let [h0, h1, h2, h3, h4, h5, h6, h7, kind, l0, l1] = *header;
    let hash = u64::from_le_bytes([h0, h1, h2, h3, h4, h5, h6, h7]);
    let payload_bytes = u16::from_le_bytes([l0, l1]);
    Record { hash, kind: Kind::from_byte(kind), payload: &rest[..usize::from(payload_bytes)], memory }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(records: usize) -> (Segment, Vec<u32>) {
        let mut segment = Segment::new(Queue::Small, BytesMut::with_capacity(4096), 0);
        let places = (0..records)
            .map(|n| segment.append(n as u64, Kind::Whole, &[b"record", &vec![n as u8; n]]))
            .collect();
        (segment, places)
    }

    #[test]
    fn records_are_read_back_frozen_or_not() {
        let (mut segment, mut places) = filled(20);
        for round in 20..40 {
            segment.freeze();
            places.push(segment.append(round, Kind::First(3), &[&[round as u8; 40]]));
        }
        assert_eq!(segment.places().collect::<Vec<_>>(), places);
        for (n, place) in places.iter().enumerate() {
            let record = segment.record(*place);
            assert_eq!(
                (record.hash, record.kind),
                (n as u64, if n < 20 { Kind::Whole } else { Kind::First(3) })
            );
            let read = record.to_bytes(2).expect("there are as many chunks as there may be");
            assert_eq!(read, record.payload[2..]);
        }
        segment.seal();
        assert_eq!(segment.room(), 0);
        assert_eq!(segment.places().collect::<Vec<_>>(), places);
    }

    #[test]
    fn a_record_that_was_just_added_is_read_once_it_is_frozen() {
        let (mut segment, places) = filled(3);
        assert!(segment.record(places[2]).to_bytes(0).is_err());
        segment.freeze();
        assert_eq!(
            segment.record(places[2]).to_bytes(0).expect("it is frozen"),
            b"record\x02\x02".as_slice()
        );
    }

    #[test]
    fn the_whole_buffer_comes_back_once_nobody_reads_in_it() {
        let (mut segment, places) = filled(10);
        segment.freeze();
        segment.append(99, Kind::Later, &[b"another"]);
        let read = segment.record(places[9]).to_bytes(0).expect("it is frozen");
        let address = segment.record(0).payload.as_ptr().addr() - HEADER_BYTES;
        let first = segment.into_buffer().expect_err("somebody reads");
        drop(read);
        let buffer = reclaimed(first).expect("nobody reads");
        assert_eq!((buffer.capacity(), buffer.as_ptr().addr()), (4096, address));
    }
}
