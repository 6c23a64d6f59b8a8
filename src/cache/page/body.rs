//! A page as it is answered.

use bytes::Bytes;

/// What a Query or Scan returns, ready to be sent, and its CRC-32.
///
/// Two pages are equal when their bytes are, so the upstream's form must be kept, or one canonical form be made of it;
/// what differs from one answer to the next, such as consumed capacity, must be taken out before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    body: Bytes,
    crc32: u32,
}

impl Page {
    /// A page, from the body of the answer.
    pub fn new(body: Bytes) -> Self {
        let crc32 = crc32fast::hash(&body);
        Self { body, crc32 }
    }

    pub(super) fn from_parts(body: Bytes, crc32: u32) -> Self {
        Self { body, crc32 }
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
