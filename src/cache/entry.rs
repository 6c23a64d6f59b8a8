//! How an entry is packed: facts, key and body, one after the other, counted to the byte.
//!
//! [`NewEntry`] is what is about to be stored, still in its parts. [`Entry`] is what a store gives out: a slice of the store's memory,
//! which keeps that memory alive, or several slices if the entry was cut. A hit on a whole entry raises one counter, and the body it
//! sends is a slice of the entry itself. The body of an entry that was cut is copied at a hit.

use bytes::{Buf, Bytes};

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

/// Four numbers of 48 bits, then table and checksum of 32 bits, then the key's length of 16 bits and the price of 8.
const FACTS_BYTES: usize = 4 * 6 + 2 * 4 + 2 + 1;

/// The longest facts and key together. No key of DynamoDB is longer.
const HEAD_BYTES_MAX: usize = 3584;

type Packed = [u8; FACTS_BYTES];

/// An entry that is about to be stored.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewEntry<'a> {
    packed: Packed,
    key: &'a [u8],
    image: &'a CachedItem,
}

impl<'a> NewEntry<'a> {
    /// `None` if the key is longer than any DynamoDB key.
    pub(super) fn new(facts: Facts, key: &'a [u8], image: &'a CachedItem) -> Option<Self> {
        if FACTS_BYTES + key.len() > HEAD_BYTES_MAX {
            return None;
        }
        let key_bytes = u16::try_from(key.len()).ok()?;
        let mut packed = [0; FACTS_BYTES];
        let mut out = Writer(&mut packed);
        out.put(&facts.version.stripe.to_le_bytes()[..6]);
        out.put(&facts.version.table.to_le_bytes()[..6]);
        out.put(&facts.read_ms.to_le_bytes()[..6]);
        out.put(&facts.expires_ms.to_le_bytes()[..6]);
        out.put(&facts.table.to_le_bytes());
        out.put(&image.crc32().to_le_bytes());
        out.put(&key_bytes.to_le_bytes());
        out.put(&[image.price_halves()]);
        Some(Self { packed, key, image })
    }

    /// What is to be kept, one part after the other.
    pub(super) fn parts(&self) -> [&[u8]; 3] {
        [&self.packed, self.key, self.image.body()]
    }

    /// What of the parts lies from `start` to `end`.
    pub(super) fn parts_between(&self, start: usize, end: usize) -> [&[u8]; 3] {
        let mut before = 0;
        self.parts().map(|part| {
            let (from, to) =
                (start.saturating_sub(before).min(part.len()), end.saturating_sub(before).min(part.len()));
            before += part.len();
            &part[from..to]
        })
    }

    /// The bytes of all parts.
    pub(super) fn bytes(&self) -> usize {
        self.head_bytes() + self.image.body().len()
    }

    /// The bytes at the beginning that must not be cut.
    pub(super) fn head_bytes(&self) -> usize {
        FACTS_BYTES + self.key.len()
    }

    /// The checksum of its body.
    pub(super) fn crc32(&self) -> u32 {
        self.image.crc32()
    }

    /// True if it is the fact that there is no item.
    pub(super) fn is_absence(&self) -> bool {
        self.image.is_absent()
    }

    /// A copy that stands on its own.
    #[cfg(test)]
    pub(super) fn to_entry(self) -> Entry {
        Entry::whole(self.parts().concat().into())
    }
}

/// The facts of an entry that begins with these bytes.
#[inline]
pub(super) fn facts_of(head: &[u8]) -> Facts {
    let (packed, _) = split(head);
    Facts {
        version: Version { stripe: u48(packed, 0), table: u48(packed, 6) },
        read_ms: u48(packed, 12),
        expires_ms: u48(packed, 18),
        table: u32_at(packed, 24),
    }
}

/// An entry that is stored, or was a moment ago.
#[derive(Clone, Debug)]
pub(super) struct Entry(Form);

#[derive(Clone, Debug)]
enum Form {
    Whole(Bytes),
    /// The first piece holds facts and key.
    Cut(Box<[Bytes]>),
}

impl Entry {
    /// An entry whose parts lie one after the other.
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self(Form::Whole(bytes))
    }

    /// An entry that was cut into these pieces. The first one holds facts and key.
    pub(super) fn cut(pieces: Vec<Bytes>) -> Self {
        Self(Form::Cut(pieces.into_boxed_slice()))
    }

    #[inline]
    pub(super) fn facts(&self) -> Facts {
        facts_of(self.head())
    }

    /// The key, to tell the entry from that of another key with the same hash.
    #[inline]
    pub(super) fn key(&self) -> &[u8] {
        let (packed, rest) = split(self.head());
        &rest[..key_bytes(packed)]
    }

    /// The image. Of a whole entry it is a slice, which keeps the entry alive as long as the slice does; of one that was cut it is a
    /// copy.
    pub(super) fn into_image(self) -> CachedItem {
        let (packed, _) = split(self.head());
        let (crc32, price_halves) = (u32_at(packed, 28), packed[34]);
        let start = self.body_start();
        let body = match self.0 {
            Form::Whole(mut bytes) => {
                bytes.advance(start);
                bytes
            }
            Form::Cut(pieces) => {
                let bytes: usize = pieces.iter().map(Bytes::len).sum();
                let mut body = Vec::with_capacity(bytes - start);
                body.extend_from_slice(&pieces[0][start..]);
                pieces[1..].iter().for_each(|piece| body.extend_from_slice(piece));
                body.into()
            }
        };
        CachedItem::from_parts(body, crc32, price_halves)
    }

    /// True if it holds exactly this image.
    pub(super) fn holds(&self, image: &CachedItem) -> bool {
        self.crc32() == image.crc32() && self.has_body(image.body())
    }

    /// The checksum of its body.
    pub(super) fn crc32(&self) -> u32 {
        u32_at(split(self.head()).0, 28)
    }

    /// True if it is the fact that there is no item.
    pub(super) fn is_absence(&self) -> bool {
        self.has_body(ABSENT)
    }

    /// The bytes of facts, key and body.
    pub(super) fn bytes(&self) -> usize {
        match &self.0 {
            Form::Whole(bytes) => bytes.len(),
            Form::Cut(pieces) => pieces.iter().map(Bytes::len).sum(),
        }
    }

    fn has_body(&self, body: &[u8]) -> bool {
        let start = self.body_start();
        match &self.0 {
            Form::Whole(bytes) => &bytes[start..] == body,
            Form::Cut(pieces) => {
                let mut rest = body;
                let mut slices =
                    std::iter::once(&pieces[0][start..]).chain(pieces[1..].iter().map(|piece| &**piece));
                let is_equal = slices.all(|slice| {
                    let Some((head, tail)) = rest.split_at_checked(slice.len()) else { return false };
                    rest = tail;
                    head == slice
                });
                is_equal && rest.is_empty()
            }
        }
    }

    #[inline]
    fn head(&self) -> &[u8] {
        match &self.0 {
            Form::Whole(bytes) => bytes,
            Form::Cut(pieces) => &pieces[0],
        }
    }

    fn body_start(&self) -> usize {
        FACTS_BYTES + key_bytes(split(self.head()).0)
    }
}

/// The packed facts, and what follows them.
#[inline]
fn split(head: &[u8]) -> (&Packed, &[u8]) {
    head.split_first_chunk().expect("an entry begins with its facts")
}

fn key_bytes(packed: &Packed) -> usize {
    usize::from(u16::from_le_bytes([packed[32], packed[33]]))
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
    fn an_entry_gives_back_what_was_packed_at_every_size_whole_or_cut() {
        for item_bytes in (2..6_000).step_by(7).chain([100_000, 400 * 1024]) {
            let image = CachedItem::present(&vec![b'x'; item_bytes], item_bytes);
            let other = CachedItem::present(&vec![b'y'; item_bytes], item_bytes);
            let key = vec![b'k'; 1 + item_bytes % 3_000];
            let new = NewEntry::new(FACTS, &key, &image).expect("the key is short enough");
            let bytes = Bytes::from(new.parts().concat());
            assert_eq!(bytes.len(), new.bytes());
            let middle = (new.head_bytes() + bytes.len()) / 2;
            let cut = Entry::cut(vec![bytes.slice(..middle), bytes.slice(middle..)]);
            for entry in [Entry::whole(bytes), cut] {
                assert_eq!((entry.facts(), entry.bytes()), (FACTS, new.bytes()));
                assert!(entry.key() == key && entry.holds(&image));
                assert!(!entry.holds(&CachedItem::absent()) && !entry.has_body(other.body()));
                assert!(!entry.has_body(&image.body()[..image.body().len() - 1]));
                let given = entry.into_image();
                assert_eq!((&given, given.price()), (&image, image.price()));
            }
        }
    }

    #[test]
    fn a_key_longer_than_any_key_is_not_packed() {
        assert!(NewEntry::new(FACTS, &[0; 70_000], &CachedItem::absent()).is_none());
    }
}
