//! One table as requests use it.

use std::sync::{Arc, PoisonError, RwLock};

use crate::call::Source;

/// Indexes of one table that are told apart. A table has at most 25 at a time; what is used beyond this is gathered under
/// [`OTHER_INDEX`].
const INDEXES_MAX: usize = 100;

/// The name under which further indexes are gathered.
const OTHER_INDEX: &str = "other";

/// How a read was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// From memory.
    Hit,
    /// By a fill that another reader had begun.
    Joined,
    /// By a fill of its own.
    Miss,
    /// By the upstream, past the cache: strong reads among others.
    Bypass,
    /// From memory past its time, because the upstream failed.
    Stale,
}

impl From<Source> for Outcome {
    fn from(source: Source) -> Self {
        match source {
            Source::Hit => Self::Hit,
            Source::Joined => Self::Joined,
            Source::Miss => Self::Miss,
            Source::Stale => Self::Stale,
            // No single read is answered by the last two.
            Source::Bypass(_) | Source::Write | Source::Batch { .. } => Self::Bypass,
        }
    }
}

/// A read of one item: a GetItem, or one key of a batch.
#[derive(Clone, Copy, Debug)]
pub struct ReadOfItem<'a> {
    /// The canonical bytes of its key.
    pub key: &'a [u8],
    /// The keyed hash of table and key by which the cache finds it.
    pub hash: u64,
    /// How it was answered.
    pub outcome: Outcome,
    /// How many bytes the cached form of the item has, key left out; 0 if it is not known.
    pub bytes: usize,
    /// How old the answer from memory was, in whole seconds.
    pub age_seconds: Option<u64>,
}

/// A read of one page: a Query or a Scan.
#[derive(Clone, Copy, Debug)]
pub struct ReadOfPage<'a> {
    /// The index that was read; `None` for the table itself.
    pub index: Option<&'a IndexUsage>,
    /// The canonical bytes of the partition that was read, of the table or of the index; `None` for a Scan.
    pub partition: Option<&'a [u8]>,
    /// The canonical bytes of what was asked for.
    pub fingerprint: &'a [u8],
    /// The keyed hash of table and fingerprint by which the cache finds it.
    pub hash: u64,
    /// How it was answered.
    pub outcome: Outcome,
    /// How many bytes the page has.
    pub bytes: usize,
    /// How old the answer from memory was, in whole seconds.
    pub age_seconds: Option<u64>,
}

/// A write that names an item by its whole key, as it is sent: it may still be rejected.
#[derive(Clone, Copy, Debug)]
pub struct WriteOfItem<'a> {
    /// The canonical bytes of its key.
    pub key: &'a [u8],
    /// Those of the partition values alone.
    pub partition: &'a [u8],
    /// The keyed hash of table and key by which the cache finds the item.
    pub hash: u64,
}

/// One table of one realm. It outlives descriptions of the table, and the table itself.
#[derive(Debug)]
pub struct TableUsage {
    name: Box<str>,
    indexes: RwLock<Vec<Arc<IndexUsage>>>,
}

/// One index of a table.
#[derive(Debug)]
pub struct IndexUsage {
    name: Box<str>,
}

impl TableUsage {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.into(), indexes: RwLock::default() }
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The index of that name: to be found once and kept.
    pub fn index(&self, name: &str) -> Arc<IndexUsage> {
        let find = |indexes: &[Arc<IndexUsage>], name: &str| {
            indexes.iter().find(|index| *index.name == *name).map(Arc::clone)
        };
        if let Some(known) = find(&self.indexes.read().unwrap_or_else(PoisonError::into_inner), name) {
            return known;
        }
        let mut indexes = self.indexes.write().unwrap_or_else(PoisonError::into_inner);
        let name = if indexes.len() < INDEXES_MAX { name } else { OTHER_INDEX };
        // Another thread may have added it meanwhile.
        find(&indexes, name).unwrap_or_else(|| {
            let added = Arc::new(IndexUsage { name: name.into() });
            indexes.push(Arc::clone(&added));
            added
        })
    }

    /// An item was read.
    pub fn item_read(&self, _read: &ReadOfItem<'_>) {}

    /// A page was read.
    pub fn page_read(&self, _read: &ReadOfPage<'_>) {}

    /// A write of an item is sent.
    pub fn item_written(&self, _write: &WriteOfItem<'_>) {}
}

impl IndexUsage {
    /// The index's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_the_same_each_time_and_further_ones_are_gathered() {
        let table = TableUsage::new("orders");
        let first = table.index("by-date");
        assert!(Arc::ptr_eq(&first, &table.index("by-date")));
        for number in 1..INDEXES_MAX {
            assert_eq!(table.index(&number.to_string()).name(), number.to_string());
        }
        assert_eq!(table.index("one").name(), OTHER_INDEX);
        assert!(Arc::ptr_eq(&table.index("two"), &table.index("three")));
        assert!(Arc::ptr_eq(&first, &table.index("by-date")));
    }
}
