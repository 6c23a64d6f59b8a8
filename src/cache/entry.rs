//! How an entry lies in memory: facts, key and body in one allocation, counted to the byte.
//!
//! A million small items are mostly overhead unless one is careful: a reference-counted entry that points to a shared
//! buffer takes three allocations. Here an entry is one [`Bytes`] whose owner is a plain array, so a hit raises one
//! counter, and the body it sends is a slice of the entry itself.

use bytes::{Buf, Bytes};

use super::image::Image;
use super::words::Version;

/// What is kept beside key and body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// As captured before the read was sent. Neither word is held: such reads are not stored.
    pub(super) version: Version,
    pub(super) table: u32,
    /// Milliseconds since the cache was made.
    pub(super) read_ms: u64,
    /// Milliseconds since the cache was made; [`NEVER_MS`] if it does not expire.
    pub(super) expires_ms: u64,
}

/// The end of time: 8,900 years, and the largest number that fits.
pub(super) const NEVER_MS: u64 = (1 << 48) - 1;

/// Four numbers of 48 bits, then table, checksum and body length of 32 bits, then the key's length of 16 bits.
const FACTS_BYTES: usize = 4 * 6 + 3 * 4 + 2;

/// The largest entry that is an array; larger ones point to a buffer.
const ARRAY_BYTES_MAX: usize = 4096 - ARRAY_OVERHEAD_BYTES;

/// What an array of bytes costs beyond its length: 8 for the reference counter that `Bytes` puts before it, and 8 because
/// mimalloc looks for room to align the counter even where blocks are aligned already. Measured as resident memory of
/// 200,000 blocks of each size: one of 384 bytes and alignment 8 takes 448, one of 376 bytes takes 384.
const ARRAY_OVERHEAD_BYTES: usize = 16;

/// The part of its pages that the allocator does not hand out: one in so many bytes.
const PAGE_LOSS: usize = 32;

/// What `Bytes` allocates for a counter and a vector's three words.
const VECTOR_OWNER_BYTES: usize = 32;

/// An entry of the store.
#[derive(Clone, Debug)]
pub(super) struct Entry(Bytes);

impl Entry {
    /// Packs an entry. `None` if the key is longer than any DynamoDB key.
    pub(super) fn pack(facts: Facts, key: &[u8], image: &Image) -> Option<Self> {
        let key_bytes = u16::try_from(key.len()).ok()?;
        let body_bytes = u32::try_from(image.body().len()).ok()?;
        let mut fill = |out: &mut [u8]| {
            let mut out = Writer(out);
            out.put(&facts.version.stripe.to_le_bytes()[..6]);
            out.put(&facts.version.table.to_le_bytes()[..6]);
            out.put(&facts.read_ms.to_le_bytes()[..6]);
            out.put(&facts.expires_ms.to_le_bytes()[..6]);
            out.put(&facts.table.to_le_bytes());
            out.put(&image.crc32().to_le_bytes());
            out.put(&body_bytes.to_le_bytes());
            out.put(&key_bytes.to_le_bytes());
            out.put(key);
            out.put(image.body());
        };
        Some(Self(allocate(FACTS_BYTES + key.len() + image.body().len(), &mut fill)))
    }

    pub(super) fn facts(&self) -> Facts {
        Facts {
            version: Version { stripe: self.u48(0), table: self.u48(6) },
            read_ms: self.u48(12),
            expires_ms: self.u48(18),
            table: self.u32(24),
        }
    }

    /// The key, to tell the entry from that of another key with the same hash.
    pub(super) fn key(&self) -> &[u8] {
        &self.0[FACTS_BYTES..FACTS_BYTES + self.key_bytes()]
    }

    /// The image: a slice of the entry, which lives as long as the slice does.
    pub(super) fn into_image(self) -> Image {
        let (crc32, body_bytes) = (self.u32(28), self.u32(32) as usize);
        let start = FACTS_BYTES + self.key_bytes();
        let mut body = self.0;
        body.advance(start);
        body.truncate(body_bytes);
        Image::from_parts(body, crc32)
    }

    /// True if it holds exactly this image.
    pub(super) fn holds(&self, image: &Image) -> bool {
        let start = FACTS_BYTES + self.key_bytes();
        self.u32(28) == image.crc32() && self.0[start..start + self.u32(32) as usize] == **image.body()
    }

    /// The bytes that it takes from the allocator.
    pub(super) fn allocated_bytes(&self) -> u64 {
        allocated_bytes(self.0.len())
    }

    /// Equal for clones of one entry, and different for any two that live at the same time.
    pub(super) fn identity(&self) -> usize {
        self.0.as_ptr().addr()
    }

    fn key_bytes(&self) -> usize {
        usize::from(u16::from_le_bytes([self.0[36], self.0[37]]))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().expect("four bytes are four bytes"))
    }

    fn u48(&self, at: usize) -> u64 {
        let mut bytes = [0; 8];
        bytes[..6].copy_from_slice(&self.0[at..at + 6]);
        u64::from_le_bytes(bytes)
    }
}

/// A slice that is written from its start to its end.
struct Writer<'a>(&'a mut [u8]);

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let (head, tail) = std::mem::take(&mut self.0).split_at_mut(bytes.len());
        head.copy_from_slice(bytes);
        self.0 = tail;
    }
}

/// The allocator's size classes: four to each doubling. What an array leaves free of its class is lost either way.
fn size_class(bytes: usize) -> usize {
    let step = (bytes.next_power_of_two() / 8).max(16);
    bytes.next_multiple_of(step)
}

fn allocated_bytes(entry_bytes: usize) -> u64 {
    let allocated = if entry_bytes <= ARRAY_BYTES_MAX {
        size_class(entry_bytes + ARRAY_OVERHEAD_BYTES)
    } else {
        size_class(entry_bytes) + VECTOR_OWNER_BYTES
    };
    (allocated + allocated / PAGE_LOSS) as u64
}

/// Allocates at least that many bytes and lets them be filled.
fn allocate(bytes: usize, fill: &mut dyn FnMut(&mut [u8])) -> Bytes {
    match size_class(bytes + ARRAY_OVERHEAD_BYTES) {
        0..=64 => array::<48>(fill),
        65..=80 => array::<64>(fill),
        81..=96 => array::<80>(fill),
        97..=112 => array::<96>(fill),
        113..=128 => array::<112>(fill),
        129..=160 => array::<144>(fill),
        161..=192 => array::<176>(fill),
        193..=224 => array::<208>(fill),
        225..=256 => array::<240>(fill),
        257..=320 => array::<304>(fill),
        321..=384 => array::<368>(fill),
        385..=448 => array::<432>(fill),
        449..=512 => array::<496>(fill),
        513..=640 => array::<624>(fill),
        641..=768 => array::<752>(fill),
        769..=896 => array::<880>(fill),
        897..=1024 => array::<1008>(fill),
        1025..=1280 => array::<1264>(fill),
        1281..=1536 => array::<1520>(fill),
        1537..=1792 => array::<1776>(fill),
        1793..=2048 => array::<2032>(fill),
        2049..=2560 => array::<2544>(fill),
        2561..=3072 => array::<3056>(fill),
        3073..=3584 => array::<3568>(fill),
        3585..=4096 => array::<4080>(fill),
        _ => {
            let mut buffer = vec![0; bytes];
            fill(&mut buffer);
            Bytes::from_owner(buffer)
        }
    }
}

fn array<const N: usize>(fill: &mut dyn FnMut(&mut [u8])) -> Bytes {
    let mut bytes = [0; N];
    fill(&mut bytes);
    Bytes::from_owner(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FACTS: Facts = Facts {
        version: Version { stripe: 0x0000_1234_5678_9abc, table: 77 },
        table: 0xdead_beef,
        read_ms: 123_456_789,
        expires_ms: NEVER_MS,
    };

    #[test]
    fn an_entry_gives_back_what_was_packed_at_every_size() {
        for item_bytes in (2..6_000).step_by(7).chain([100_000, 400 * 1024]) {
            let image = Image::present(&vec![b'x'; item_bytes]);
            let key = vec![b'k'; 1 + item_bytes % 3_000];
            let entry = Entry::pack(FACTS, &key, &image).expect("the key is short enough");
            assert_eq!(entry.facts(), FACTS);
            assert!(entry.key() == key && entry.holds(&image));
            assert!(!entry.holds(&Image::absent()));
            assert_eq!(entry.into_image(), image);
        }
    }

    #[test]
    fn a_class_is_never_smaller_than_its_bytes_nor_a_quarter_larger() {
        for bytes in 64..500_000 {
            let class = size_class(bytes);
            assert!(class >= bytes && class - bytes <= bytes / 4, "{bytes} bytes in a class of {class}");
        }
    }

    #[test]
    fn an_array_fills_its_class_with_nothing_to_spare() {
        for bytes in 1..ARRAY_BYTES_MAX {
            let length = allocate(bytes, &mut |_| ()).len();
            assert!(length >= bytes);
            assert_eq!(length + ARRAY_OVERHEAD_BYTES, size_class(bytes + ARRAY_OVERHEAD_BYTES).max(64));
            assert!(allocated_bytes(length) >= (length + ARRAY_OVERHEAD_BYTES) as u64);
        }
    }

    #[test]
    fn a_key_longer_than_any_key_is_not_packed() {
        assert!(Entry::pack(FACTS, &[0; 70_000], &Image::absent()).is_none());
    }
}
