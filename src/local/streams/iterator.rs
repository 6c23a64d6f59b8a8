//! Shard iterators: a place in a shard and the time at which it was told, as a text for the client to bring back.
//!
//! As in the service, the text begins with the stream's ARN; what follows is nobody's business.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::local::change_log::SequenceNumber;
use crate::model::{ApiError, ErrorCode};

/// How long an iterator may be used.
const VALID_MS: u64 = 15 * 60 * 1000;
const PLACE_BYTES: usize = 8 + 16 + 8;

/// A place in a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShardIterator<'a> {
    /// The stream's ARN.
    pub(super) arn: &'a str,
    /// The space of the shard's records.
    pub(super) space: u64,
    /// The first record to be read has this number or a greater one; zero means the oldest that is kept.
    pub(super) from: SequenceNumber,
    /// When it was told.
    pub(super) issued_ms: u64,
}

impl<'a> ShardIterator<'a> {
    /// The text.
    pub(super) fn encode(&self) -> String {
        let mut place = Vec::with_capacity(PLACE_BYTES);
        place.extend_from_slice(&self.space.to_be_bytes());
        place.extend_from_slice(&self.from.key());
        place.extend_from_slice(&self.issued_ms.to_be_bytes());
        format!("{}|1|{}", self.arn, URL_SAFE_NO_PAD.encode(place))
    }

    /// Reads a text.
    ///
    /// # Errors
    /// `ValidationException` for one that was never told, `ExpiredIteratorException` for an old one.
    pub(super) fn decode(text: &'a str, now_ms: u64) -> Result<Self, ApiError> {
        let iterator = Self::read(text).ok_or_else(|| ApiError::validation("Invalid ShardIterator"))?;
        if now_ms > iterator.issued_ms.saturating_add(VALID_MS) {
            return Err(ApiError::new(ErrorCode::ExpiredIterator, "Shard iterator has expired"));
        }
        Ok(iterator)
    }

    fn read(text: &'a str) -> Option<Self> {
        let mut parts = text.rsplitn(3, '|');
        let (place, version, arn) = (parts.next()?, parts.next()?, parts.next()?);
        let place: [u8; PLACE_BYTES] = URL_SAFE_NO_PAD.decode(place).ok()?.try_into().ok()?;
        let (space, rest) = place.split_first_chunk()?;
        let (from, issued) = rest.split_first_chunk()?;
        (version == "1").then_some(Self {
            arn,
            space: u64::from_be_bytes(*space),
            from: SequenceNumber(u128::from_be_bytes(*from)),
            issued_ms: u64::from_be_bytes(issued.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iterator_is_read_as_it_was_told_and_only_for_15_minutes() {
        let from = SequenceNumber::default().following(7);
        let iterator = ShardIterator { arn: "arn:x|y", space: 17, from, issued_ms: 1000 };
        let text = iterator.encode();
        assert_eq!(ShardIterator::decode(&text, 1000 + VALID_MS).unwrap(), iterator);
        let error = ShardIterator::decode(&text, 1001 + VALID_MS).unwrap_err();
        assert_eq!(error.code, ErrorCode::ExpiredIterator);
        for wrong in ["", "x", "a|1|", "a|1|AAAA", &text[..text.len() - 1], &text.replace("|1|", "|2|")] {
            let error = ShardIterator::decode(wrong, 1000).unwrap_err();
            assert_eq!(error, ApiError::validation("Invalid ShardIterator"), "{wrong}");
        }
    }
}
