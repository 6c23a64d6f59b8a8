//! How items and index entries lie in the store.
//!
//! A key begins with a hash of its partition values, so that a space's order is the scan order, a partition is one
//! contiguous range, and a segment of a parallel scan is one too. Behind the hash come the key's canonical bytes; an index
//! entry's are followed by the item's own key, since index keys need not be unique. A value is the item's size in bytes
//! (`u32`, little endian) and then its JSON text, ready to be sent.

use bytes::{Buf, Bytes};

use crate::call::StoredItem;
use crate::model::placement::{HASH_BYTES, PlacementHash, placement_hash};
use crate::model::value::{Item, item_size_bytes};
use crate::model::{Key, KeySchema, KeyValue};
use crate::wire::Json;
use crate::wire::attribute::{item_from_json, write_item};

use super::store::StoreError;

const SIZE_BYTES: usize = 4;

/// The hash that orders index entries of equal keys: over the item's whole key, as the service was observed to do.
fn tie_hash(key: &Key) -> PlacementHash {
    placement_hash(key.partition().iter().chain(key.sort()))
}

/// The store key of an item.
pub fn item_key(key: &Key) -> Vec<u8> {
    let mut out = partition_prefix(key.partition());
    key.sort().iter().for_each(|value| value.write_sortable(&mut out));
    out
}

/// The store key of an item whose key is there in canonical bytes: they stand in it as they are. `None` if they are of no key of
/// that schema.
pub fn item_key_of_bytes(schema: &KeySchema, key: &[u8]) -> Option<Vec<u8>> {
    let mut rest = key;
    let mut partition = Vec::with_capacity(schema.partition.len());
    for attribute in &schema.partition {
        let (value, behind) = KeyValue::read_sortable(attribute.scalar_type, rest)?;
        partition.push(value);
        rest = behind;
    }
    let mut out = Vec::with_capacity(HASH_BYTES + key.len());
    out.extend_from_slice(&placement_hash(&partition));
    out.extend_from_slice(key);
    Some(out)
}

/// The store key of an index entry: the index's key, a hash that orders equal ones, then the item's own.
pub fn entry_key(index_key: &Key, table_key: &Key) -> Vec<u8> {
    let mut out = item_key(index_key);
    out.extend_from_slice(&tie_hash(table_key));
    out.extend_from_slice(&item_key(table_key));
    out
}

/// What every store key of a partition begins with, and no other.
pub fn partition_prefix(partition: &[KeyValue]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    out.extend_from_slice(&placement_hash(partition));
    partition.iter().for_each(|value| value.write_sortable(&mut out));
    out
}

/// The stored form of an item.
pub fn encode_row(item: &Item) -> Vec<u8> {
    let size = u32::try_from(item_size_bytes(item)).unwrap_or(u32::MAX);
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(&size.to_le_bytes());
    write_item(item, &mut out);
    out
}

/// The item's size in bytes, as the service counts it, that a stored value says.
pub fn size_bytes(row: &[u8]) -> usize {
    u32::from_le_bytes(row.first_chunk().copied().unwrap_or_default()) as usize
}

/// The item's JSON text in a stored value.
pub fn json_text(row: &[u8]) -> &[u8] {
    row.get(SIZE_BYTES..).unwrap_or_default()
}

/// The same, taken out of the value without a copy.
pub fn json_of_row(row: Vec<u8>) -> Bytes {
    let row = Bytes::from(row);
    row.slice(SIZE_BYTES.min(row.len())..)
}

/// A stored item, not yet parsed.
#[derive(Clone, Debug)]
pub struct Row {
    bytes: Bytes,
}

impl Row {
    /// Takes a stored value.
    ///
    /// # Errors
    /// [`StoreError`] when the value is too short to be one.
    pub fn new(bytes: Bytes) -> Result<Self, StoreError> {
        if bytes.len() < SIZE_BYTES {
            return Err(StoreError("a stored item is cut short".to_owned()));
        }
        Ok(Self { bytes })
    }

    /// The item's size in bytes, as the service counts it.
    pub fn size_bytes(&self) -> usize {
        size_bytes(&self.bytes)
    }

    /// The stored value.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives the item away, without a copy.
    pub fn into_stored(mut self) -> StoredItem {
        let size_bytes = self.size_bytes();
        self.bytes.advance(SIZE_BYTES);
        StoredItem { json: self.bytes, size_bytes, attributes: None }
    }

    /// The item's JSON text, borrowed.
    pub fn json_text(&self) -> &[u8] {
        json_text(&self.bytes)
    }

    /// The item itself.
    ///
    /// # Errors
    /// [`StoreError`] when the stored text is not an item.
    pub fn item(&self) -> Result<Item, StoreError> {
        let broken = || StoreError("a stored item is not readable".to_owned());
        let json = Json::parse(&self.bytes[SIZE_BYTES..]).map_err(|_| broken())?;
        item_from_json(&json).map_err(|_| broken())
    }
}
