//! A change of an item, as far as a cache must know of it.

use std::sync::Arc;

use super::{Key, TableSchema};

/// An item that was put, changed or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The table.
    pub table: Arc<TableSchema>,
    /// The item's key.
    pub key: Key,
    /// The global indexes that show the item otherwise than before. The others show what they showed.
    pub moves: Vec<IndexMove>,
    /// What has changed the item.
    pub cause: Cause,
}

/// What a change of an item has changed in one global index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexMove {
    /// The index, by its position in the table's schema.
    pub index: usize,
    /// The canonical bytes of the partition that the item was in and of the one that it is in; once if they are the same.
    pub partitions: Vec<Vec<u8>>,
}

/// What has changed an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A request that names the item by its key. Whoever sent it knows the key too.
    Keyed,
    /// A PartiQL statement, whose sender need not know which item it changes.
    Statement,
    /// The item's time to live.
    Expiry,
}
