//! How an entry lies in memory: facts, key and body one after the other, counted to the byte.
//!
//! A million small items are mostly overhead unless one is careful: a reference-counted entry that points to a shared
//! buffer takes three allocations. Here a common entry is one allocation ([`Held`]), so a hit raises one counter, and the
//! body it sends is a slice of the entry itself. A long entry is cut into blocks, and its body copied at a hit.

use super::blocks::{HEAD_BYTES_MAX, Held};
use super::cached_item::{ABSENT, CachedItem};
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

/// Four numbers of 48 bits, then table, checksum and body length of 32 bits, then the key's length of 16 bits and the price of 8.
const FACTS_BYTES: usize = 4 * 6 + 3 * 4 + 2 + 1;

type Packed = [u8; FACTS_BYTES];

/// An entry of the store.
#[derive(Clone, Debug)]
pub(super) struct Entry(Held);

impl Entry {
    /// Packs an entry. `None` if the key is longer than any DynamoDB key.
    pub(super) fn pack(facts: Facts, key: &[u8], image: &CachedItem) -> Option<Self> {
        let key_bytes = u16::try_from(key.len()).ok()?;
        let body_bytes = u32::try_from(image.body().len()).ok()?;
        if FACTS_BYTES + key.len() > HEAD_BYTES_MAX {
            return None;
        }
        let mut packed = [0; FACTS_BYTES];
        let mut out = Writer(&mut packed);
        out.put(&facts.version.stripe.to_le_bytes()[..6]);
        out.put(&facts.version.table.to_le_bytes()[..6]);
        out.put(&facts.read_ms.to_le_bytes()[..6]);
        out.put(&facts.expires_ms.to_le_bytes()[..6]);
        out.put(&facts.table.to_le_bytes());
        out.put(&image.crc32().to_le_bytes());
        out.put(&body_bytes.to_le_bytes());
        out.put(&key_bytes.to_le_bytes());
        out.put(&[image.price_halves()]);
        Some(Self(Held::from_parts(&[&packed, key, image.body()])))
    }

    #[inline]
    pub(super) fn facts(&self) -> Facts {
        let packed = self.packed();
        Facts {
            version: Version { stripe: u48(packed, 0), table: u48(packed, 6) },
            read_ms: u48(packed, 12),
            expires_ms: u48(packed, 18),
            table: u32_at(packed, 24),
        }
    }

    /// The key, to tell the entry from that of another key with the same hash.
    #[inline]
    pub(super) fn key(&self) -> &[u8] {
        let (packed, rest) = self.split();
        &rest[..key_bytes(packed)]
    }

    /// The image. Of a common entry it is a slice, which keeps the entry alive as long as the slice does; of one that is
    /// cut it is a copy.
    pub(super) fn into_image(self) -> CachedItem {
        let packed = self.packed();
        let (crc32, body_bytes, price_halves) = (u32_at(packed, 28), u32_at(packed, 32) as usize, packed[38]);
        let start = FACTS_BYTES + key_bytes(packed);
        CachedItem::from_parts(self.0.into_bytes(start, start + body_bytes), crc32, price_halves)
    }

    /// True if it holds exactly this image.
    pub(super) fn holds(&self, image: &CachedItem) -> bool {
        let packed = self.packed();
        u32_at(packed, 28) == image.crc32() && self.has_body(packed, image.body())
    }

    /// The checksum of its body.
    pub(super) fn crc32(&self) -> u32 {
        u32_at(self.packed(), 28)
    }

    /// True if it is the fact that there is no item.
    pub(super) fn is_absence(&self) -> bool {
        self.has_body(self.packed(), ABSENT)
    }

    fn has_body(&self, packed: &Packed, body: &[u8]) -> bool {
        let start = FACTS_BYTES + key_bytes(packed);
        u32_at(packed, 32) as usize == body.len() && self.0.holds(start, body)
    }

    /// The bytes that it takes from the allocator.
    pub(super) fn allocated_bytes(&self) -> u64 {
        self.0.allocated_bytes()
    }

    /// Where its blocks begin.
    pub(super) fn addresses(&self) -> impl Iterator<Item = usize> {
        self.0.addresses()
    }

    /// Equal for clones of one entry, and different for any two that live at the same time.
    pub(super) fn identity(&self) -> usize {
        self.0.identity()
    }

    fn packed(&self) -> &Packed {
        self.split().0
    }

    /// The packed facts, and what follows them in the first block.
    #[inline]
    fn split(&self) -> (&Packed, &[u8]) {
        self.0.head().split_first_chunk().expect("an entry begins with its facts")
    }
}

fn key_bytes(packed: &Packed) -> usize {
    usize::from(u16::from_le_bytes([packed[36], packed[37]]))
}

fn u32_at(packed: &Packed, at: usize) -> u32 {
    u32::from_le_bytes(packed[at..at + 4].try_into().expect("four bytes are four bytes"))
}

/// Reads two bytes more than the number has, since no number of 48 bits is the last one.
fn u48(packed: &Packed, at: usize) -> u64 {
    let number = u64::from_le_bytes(packed[at..at + 8].try_into().expect("eight bytes are eight bytes"));
    number & NEVER_MS
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
            let image = CachedItem::present(&vec![b'x'; item_bytes], item_bytes);
            let key = vec![b'k'; 1 + item_bytes % 3_000];
            let entry = Entry::pack(FACTS, &key, &image).expect("the key is short enough");
            assert_eq!(entry.facts(), FACTS);
            assert!(entry.key() == key && entry.holds(&image));
            assert!(!entry.holds(&CachedItem::absent()));
            let given = entry.into_image();
            assert_eq!((&given, given.price()), (&image, image.price()));
        }
    }

    #[test]
    fn a_key_longer_than_any_key_is_not_packed() {
        assert!(Entry::pack(FACTS, &[0; 70_000], &CachedItem::absent()).is_none());
    }
}
