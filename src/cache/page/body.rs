//! A page as it is answered.

use bytes::Bytes;

use crate::model::capacity::ReadPrice;

/// What a Query or Scan returns, ready to be sent, and its CRC-32.
///
/// Two pages are equal when their bytes are, so the upstream's form must be kept, or one canonical form be made of it;
/// what differs from one answer to the next, such as consumed capacity, must be taken out before.
#[derive(Clone, Debug)]
pub struct Page {
    body: Bytes,
    crc32: u32,
    price: ReadPrice,
}

impl PartialEq for Page {
    /// The price is no part of what a page shows: a filter hides what it was read for.
    fn eq(&self, other: &Self) -> bool {
        self.crc32 == other.crc32 && self.body == other.body
    }
}

impl Eq for Page {}

impl Page {
    /// A page, from the body of the answer.
    pub fn new(body: Bytes) -> Self {
        let crc32 = crc32fast::hash(&body);
        Self { body, crc32, price: ReadPrice::default() }
    }

    /// The same page with its price.
    #[must_use]
    pub fn priced(self, price: ReadPrice) -> Self {
        Self { price, ..self }
    }

    pub(super) fn from_parts(body: Bytes, crc32: u32, price: ReadPrice) -> Self {
        Self { body, crc32, price }
    }

    /// What an eventually consistent read of the page cost at the upstream when it was read last.
    pub fn price(&self) -> ReadPrice {
        self.price
    }

    /// The answer's body.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// The CRC-32 of the body.
    pub fn crc32(&self) -> u32 {
        self.crc32
    }
}
