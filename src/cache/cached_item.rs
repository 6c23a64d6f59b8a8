//! What a read of a key returns: ready to be sent, with its checksum.

use std::sync::OnceLock;

use bytes::{Bytes, BytesMut};

use crate::model::capacity::Units;

const OPENING: &[u8] = b"{\"Item\":";
const CLOSING: &[u8] = b"}";
pub(super) const ABSENT: &[u8] = b"{}";

/// The answer body of a GetItem of the whole item: `{"Item":{…}}`, or `{}` when there is none; and its CRC-32.
///
/// Two images are equal when their bytes are, so the item must be in canonical form: attributes in order, numbers in
/// normal form, no white space.
#[derive(Clone, Debug)]
pub struct CachedItem {
    body: Bytes,
    crc32: u32,
    /// What reading it eventually consistently costs, in half units: at most 100, for an item of 400 KB.
    price_halves: u8,
}

impl PartialEq for CachedItem {
    fn eq(&self, other: &Self) -> bool {
        self.crc32 == other.crc32 && self.body == other.body
    }
}

impl Eq for CachedItem {}

impl CachedItem {
    /// The image of an item, from its canonical JSON object and its size as DynamoDB counts it.
    pub fn present(item_json: &[u8], size_bytes: usize) -> Self {
        let mut body = BytesMut::with_capacity(OPENING.len() + item_json.len() + CLOSING.len());
        body.extend_from_slice(OPENING);
        body.extend_from_slice(item_json);
        body.extend_from_slice(CLOSING);
        let crc32 = crc32fast::hash(&body);
        Self { body: body.freeze(), crc32, price_halves: halves(Units::eventual_read(size_bytes)) }
    }

    /// The image of a key that has no item.
    pub fn absent() -> Self {
        static CHECKSUM: OnceLock<u32> = OnceLock::new();
        Self {
            body: Bytes::from_static(ABSENT),
            crc32: *CHECKSUM.get_or_init(|| crc32fast::hash(ABSENT)),
            price_halves: halves(Units::eventual_read(0)),
        }
    }

    pub(super) fn from_parts(body: Bytes, crc32: u32, price_halves: u8) -> Self {
        Self { body, crc32, price_halves }
    }

    /// What an eventually consistent read of the key costs at the upstream.
    pub fn price(&self) -> Units {
        Units::from_halves(self.price_halves.into())
    }

    pub(super) fn price_halves(&self) -> u8 {
        self.price_halves
    }

    /// The answer's body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The item's JSON object: a slice of the body, not a copy. `None` when there is no item.
    pub fn item_json(&self) -> Option<Bytes> {
        self.item_text().map(|text| self.body.slice_ref(text))
    }

    /// The item's JSON object, borrowed. `None` when there is no item.
    pub fn item_text(&self) -> Option<&[u8]> {
        if self.is_absent() { None } else { Some(&self.body[OPENING.len()..self.body.len() - CLOSING.len()]) }
    }

    /// The CRC-32 of the body.
    pub fn crc32(&self) -> u32 {
        self.crc32
    }

    /// True when there is no item.
    pub fn is_absent(&self) -> bool {
        self.body.len() == ABSENT.len()
    }
}

fn halves(units: Units) -> u8 {
    u8::try_from(units.halves()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_the_answer_of_a_get_and_its_item_is_a_slice_of_it() {
        let image = CachedItem::present(br#"{"id":{"S":"a"}}"#, 4097);
        assert_eq!(image.body().as_ref(), br#"{"Item":{"id":{"S":"a"}}}"#);
        assert_eq!(image.item_json().as_deref(), Some(br#"{"id":{"S":"a"}}"#.as_slice()));
        assert_eq!(image.item_json().as_deref(), image.item_text());
        assert_eq!(image.crc32(), crc32fast::hash(image.body()));
        assert_eq!(image.price(), Units::eventual_read(4097));
    }

    #[test]
    fn an_absent_image_has_a_body_and_no_item() {
        let image = CachedItem::absent();
        assert_eq!(image.body().as_ref(), b"{}");
        assert_eq!((image.item_json(), image.item_text()), (None, None));
        assert_eq!(image.crc32(), crc32fast::hash(b"{}"));
    }
}
