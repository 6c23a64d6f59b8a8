//! Index entries: which an item has, what they hold, and what a write must change in them.
//!
//! An entry is a row like an item's, cut down to what the index projects, under the index's own order.

use crate::model::{IndexSchema, Item, KeySchema};

use super::rows;

/// The entry that an item has in an index: its store key and its row. `item_key` is the item's own store key.
///
/// `None` when the index leaves the item out: a key attribute of the index is missing, or is of another type, empty or too
/// long. Writes are refused in those last cases, but an index made later meets such items in its backfill and passes
/// them over.
pub(crate) fn index_entry(
    table_key: &KeySchema,
    index: &IndexSchema,
    item_key: &[u8],
    item: &Item,
) -> Option<(Vec<u8>, Vec<u8>)> {
    let index_key = index.key.key_of(item).ok()?;
    let projected = index.project(table_key, item)?;
    Some((rows::entry_key(&index_key, item_key), rows::encode_row(&projected)))
}
