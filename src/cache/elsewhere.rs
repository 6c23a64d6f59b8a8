//! Changes made elsewhere: what the nodes of a fleet report to each other.
//!
//! A report has no keys and no values, only digests: hashes that all nodes of a fleet compute alike, from their common secret and
//! the names of tables and indexes. They are the very hashes that choose a stripe and an entry, so nothing is hashed twice.

use std::time::Duration;

/// A table, by the digest of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableDigest(pub u64);

/// What one node reports to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// This has changed, or may have. What is reported again has changed at most once: invalidating twice is harmless.
    Changed(Changed),
    /// The outcome of a write is unknown: this may still change, for as long as the duration says.
    MayChange(Changed, Duration),
    /// Pages of global indexes of the table are asked for here, so writers should report which partitions they change.
    IndexesRead(TableDigest),
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Changed {
    /// One item.
    Item(ChangedItem),
    /// Items of the table that nobody can name.
    Table(TableDigest),
    /// The same, and perhaps the table's keys and indexes: descriptions of it are worthless.
    Definition(TableDigest),
    /// Anything.
    Everything,
}

/// An item that was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChangedItem {
    /// The item's table.
    pub table: TableDigest,
    /// The digest of the whole key.
    pub item: u64,
    /// The digest of the partition key.
    pub partition: u64,
    /// Where in the global indexes of the table the item was and is.
    pub indexes: ChangedIndexes,
}

/// Where in the global indexes of its table a written item was and is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ChangedIndexes {
    /// Nobody knows.
    All,
    /// In these partitions. An index that is not named counts as changed anywhere.
    Known(Vec<ChangedIndex>),
}

/// The partitions of one global index that a write has changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChangedIndex {
    /// The digest of the index's name and its table's.
    pub index: u64,
    /// The digests of the partitions in which the item was before and is now; none if it was and is in none.
    pub partitions: Vec<u64>,
}
