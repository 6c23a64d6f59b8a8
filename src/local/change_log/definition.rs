//! What is stored of a stream beside its records: whose it is, what it shows, and the lineage of its shards.
//!
//! A stream is one row of the catalog's space, the JSON text of its definition under `stream/TABLE/LABEL`. It is written
//! when a shard opens, closes or goes, and outlives its table by the time that records are kept. Each shard has a space of
//! its own with one row for each record, under the sixteen bytes of its sequence number, so that a shard whose time is over
//! is dropped as a whole.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use crate::local::spaces::CATALOG;
use crate::local::store::{Direction, KeyRange, Reads, Space, StoreError, Writes};
use crate::local::table_record::KeyElement;
use crate::model::placement::HASH_BYTES;

/// How long records are kept, and closed shards and streams after their closing.
pub(crate) const KEPT_MS: u64 = 24 * 60 * 60 * 1000;
/// The first hash that no key has.
pub(in crate::local) const HASH_END: u32 = 1 << (8 * HASH_BYTES as u32);

const STREAM_PREFIX: &str = "stream/";

/// The place of a record in its stream: later changes of an item have greater ones. It begins with the time of the change in
/// milliseconds, so that the place of a time is known without a search; twelve digits tell changes of one moment apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SequenceNumber(pub(in crate::local) u128);

/// How many sequence numbers a millisecond has.
const MOMENT: u128 = 1_000_000_000_000;

/// What a stream's records show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum ViewType {
    KeysOnly,
    NewImage,
    OldImage,
    NewAndOldImages,
}

/// A stream as it is stored. Members are named as DescribeStream names them, where it has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct StreamDefinition {
    pub(in crate::local) table_name: String,
    pub(in crate::local) stream_label: String,
    pub(in crate::local) stream_view_type: ViewType,
    pub(in crate::local) key_schema: Vec<KeyElement>,
    /// Seconds since 1970.
    pub(in crate::local) creation_request_date_time: f64,
    /// When it was switched off, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::local) disabled_ms: Option<u64>,
    /// In the order in which they were opened.
    pub(in crate::local) shards: Vec<ShardDefinition>,
}

/// A shard as it is stored: the changes of the items whose keys have hashes in a range, during a stretch of time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ShardDefinition {
    pub(in crate::local) shard_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::local) parent_shard_id: Option<String>,
    pub(in crate::local) space: u64,
    pub(in crate::local) first_hash: u32,
    /// The first hash that does not belong to it any more.
    pub(in crate::local) end_hash: u32,
    pub(in crate::local) opened_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::local) closed_ms: Option<u64>,
    pub(in crate::local) starting_sequence_number: SequenceNumber,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::local) ending_sequence_number: Option<SequenceNumber>,
}

impl SequenceNumber {
    /// The first one of a moment.
    pub(in crate::local) fn at(ms: u64) -> Self {
        Self(u128::from(ms) * MOMENT)
    }

    /// The next one after `self`, at a moment.
    pub(in crate::local) fn following(self, ms: u64) -> Self {
        Self(self.0 + 1).max(Self::at(ms))
    }

    /// The moment of the change, in milliseconds since 1970.
    pub(in crate::local) fn ms(self) -> u64 {
        u64::try_from(self.0 / MOMENT).unwrap_or(u64::MAX)
    }

    /// The key of its record.
    pub(in crate::local) fn key(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The one whose record has that key.
    pub(in crate::local) fn from_key(key: &[u8]) -> Result<Self, StoreError> {
        let bytes =
            key.try_into().map_err(|_| StoreError("a record of a stream has no number".to_owned()))?;
        Ok(Self(u128::from_be_bytes(bytes)))
    }

    /// The one that its digits spell, perhaps with a plus before them; `None` for anything else, and for what is too large.
    pub(in crate::local) fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

/// The service's have 21 digits at least.
impl std::fmt::Display for SequenceNumber {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:021}", self.0)
    }
}

impl Serialize for SequenceNumber {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SequenceNumber {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("a sequence number is no number"))
    }
}

impl ViewType {
    /// The one of that name, which the shape of requests has checked.
    pub(in crate::local) fn from_name(name: &str) -> Self {
        match name {
            "NEW_IMAGE" => Self::NewImage,
            "OLD_IMAGE" => Self::OldImage,
            "NEW_AND_OLD_IMAGES" => Self::NewAndOldImages,
            _ => Self::KeysOnly,
        }
    }

    /// As the service writes it.
    pub(in crate::local) fn name(self) -> &'static str {
        match self {
            Self::KeysOnly => "KEYS_ONLY",
            Self::NewImage => "NEW_IMAGE",
            Self::OldImage => "OLD_IMAGE",
            Self::NewAndOldImages => "NEW_AND_OLD_IMAGES",
        }
    }

    /// True when records hold the item as it became.
    pub(in crate::local) fn has_new(self) -> bool {
        matches!(self, Self::NewImage | Self::NewAndOldImages)
    }

    /// True when records hold the item as it was.
    pub(in crate::local) fn has_old(self) -> bool {
        matches!(self, Self::OldImage | Self::NewAndOldImages)
    }
}

impl StreamDefinition {
    /// The stream of that table and label.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke or the row is unreadable.
    pub(in crate::local) fn load(
        reads: &(impl Reads + ?Sized),
        table: &str,
        label: &str,
    ) -> Result<Option<Self>, StoreError> {
        let Some(text) = reads.get(CATALOG, row_key(table, label).as_bytes())? else { return Ok(None) };
        let definition = serde_json::from_slice(&text);
        definition.map(Some).map_err(|error| StoreError(format!("a stored stream is unreadable: {error}")))
    }

    /// Stores it.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke.
    pub(in crate::local) fn store(&self, writes: &mut dyn Writes) -> Result<(), StoreError> {
        let text = serde_json::to_vec(self).expect("a definition is always JSON");
        writes.put(CATALOG, row_key(&self.table_name, &self.stream_label).as_bytes(), &text)
    }

    /// Removes it; its shards must be gone.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke.
    pub(in crate::local) fn remove(&self, writes: &mut dyn Writes) -> Result<(), StoreError> {
        writes.remove(CATALOG, row_key(&self.table_name, &self.stream_label).as_bytes())
    }

    /// True when clients may still see it at that time.
    pub(in crate::local) fn is_kept(&self, now_ms: u64) -> bool {
        self.disabled_ms.is_none_or(|disabled| now_ms < disabled + KEPT_MS)
    }

    /// The shards that clients may still see at that time.
    pub(in crate::local) fn kept_shards(&self, now_ms: u64) -> impl Iterator<Item = &ShardDefinition> {
        self.shards.iter().filter(move |shard| shard.is_kept(now_ms))
    }
}

impl ShardDefinition {
    /// True while records are written to it.
    pub(in crate::local) fn is_open(&self) -> bool {
        self.closed_ms.is_none()
    }

    /// True when a record of it may still be read at that time.
    pub(in crate::local) fn is_kept(&self, now_ms: u64) -> bool {
        self.closed_ms.is_none_or(|closed| now_ms < closed + KEPT_MS)
    }

    /// Where its records are.
    pub(in crate::local) fn records(&self) -> Space {
        Space(self.space)
    }

    /// The number of its last record.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke.
    pub(in crate::local) fn last_record(
        &self,
        reads: &(impl Reads + ?Sized),
    ) -> Result<Option<SequenceNumber>, StoreError> {
        let mut last = None;
        reads.range(self.records(), &KeyRange::all(), Direction::Backward, &mut |key, _| {
            last = Some(key.to_vec());
            ControlFlow::Break(())
        })?;
        last.map(|key| SequenceNumber::from_key(&key)).transpose()
    }
}

/// Table and label of every stream, by the tables' names, the latest of a table first.
///
/// # Errors
/// [`StoreError`] when the store broke.
pub(in crate::local) fn all_streams(
    reads: &(impl Reads + ?Sized),
    table: Option<&str>,
) -> Result<Vec<(String, String)>, StoreError> {
    let prefix = table.map_or_else(|| STREAM_PREFIX.to_owned(), |table| format!("{STREAM_PREFIX}{table}/"));
    let mut found = Vec::new();
    reads.range(CATALOG, &KeyRange::with_prefix(prefix.as_bytes()), Direction::Forward, &mut |key, _| {
        let name = std::str::from_utf8(key).ok().and_then(|key| key.strip_prefix(STREAM_PREFIX));
        if let Some((table, label)) = name.and_then(|name| name.split_once('/')) {
            found.push((table.to_owned(), label.to_owned()));
        }
        ControlFlow::Continue(())
    })?;
    found.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| b.1.cmp(&a.1)));
    Ok(found)
}

fn row_key(table: &str, label: &str) -> String {
    format!("{STREAM_PREFIX}{table}/{label}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_rise_with_time_and_have_21_digits_or_more() {
        let first = SequenceNumber::default().following(1_700_000_000_000);
        let second = first.following(1_700_000_000_000);
        assert_eq!(first.to_string(), "1700000000000000000000000");
        assert_eq!(second.to_string(), "1700000000000000000000001");
        // A clock that goes back takes no number back.
        assert_eq!(second.following(1), SequenceNumber(second.0 + 1));
        assert_eq!(SequenceNumber::parse(&second.to_string()), Some(second));
        assert_eq!(SequenceNumber::from_key(&second.key()).unwrap(), second);
        assert_eq!(second.ms(), 1_700_000_000_000);
        assert_eq!(SequenceNumber(7).to_string().len(), 21);
        assert_eq!(SequenceNumber::parse("12x"), None);
    }
}
