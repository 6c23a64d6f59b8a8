//! Transactions of redb as the store's reads and writes: each space is a redb table, named by its number.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, Table, TableDefinition, TableError,
    WriteTransaction,
};

use crate::model::Change;

use super::super::{Direction, KeyRange, Reads, Space, StoreError, Visit, Writes, panic_text};
use super::Opened;

pub(in super::super) fn broken(error: impl fmt::Display) -> StoreError {
    StoreError(error.to_string())
}

/// A space's redb table.
type Entries<'a> = Table<'a, &'static [u8], &'static [u8]>;
type SnapshotEntries = ReadOnlyTable<&'static [u8], &'static [u8]>;

fn table_name(space: Space) -> String {
    space.0.to_string()
}

/// The space whose redb table has that name.
pub(in super::super) fn space_of(table_name: &str) -> Option<Space> {
    table_name.parse().ok().map(Space)
}

fn definition(name: &str) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    TableDefinition::new(name)
}

/// A redb transaction that reads one state.
pub(in super::super) struct DiskSnapshot {
    pub(super) transaction: ReadTransaction,
    /// Keeps the file open, and says that it is read.
    pub(super) _opened: Option<Arc<Opened>>,
}

impl DiskSnapshot {
    /// The state that a transaction reads.
    pub(in super::super) fn new(transaction: ReadTransaction) -> Self {
        Self { transaction, _opened: None }
    }

    /// The space's table; `None` when nothing was ever written to it.
    fn entries(&self, space: Space) -> Result<Option<SnapshotEntries>, StoreError> {
        match self.transaction.open_table(definition(&table_name(space))) {
            Ok(table) => Ok(Some(table)),
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(broken(error)),
        }
    }
}

impl Reads for DiskSnapshot {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        unpanicked(|| self.entries(space)?.map_or(Ok(None), |entries| get(&entries, key)))
    }

    fn range(
        &self,
        space: Space,
        range: &KeyRange,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        unpanicked(|| {
            self.entries(space)?.map_or(Ok(()), |entries| visit_range(&entries, range, direction, visit))
        })
    }

    fn len(&self, space: Space) -> Result<u64, StoreError> {
        unpanicked(|| self.entries(space)?.map_or(Ok(0), |entries| entries.len().map_err(broken)))
    }
}

/// Reads; where redb trips over a damaged page, that is an error of this read and of nothing else.
fn unpanicked<T>(read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        Err(StoreError(format!("the data file cannot be read: {}", panic_text(panic.as_ref()))))
    })
}

/// A redb transaction that writes, with the tables that were used in it: opening one costs as much as a read.
pub(super) struct DiskWrites<'a> {
    pub(super) transaction: &'a WriteTransaction,
    pub(super) tables: RefCell<HashMap<Space, Rc<RefCell<Entries<'a>>>>>,
    pub(super) changes: Vec<Change>,
}

impl<'a> DiskWrites<'a> {
    /// The space's table. It leaves the map's lock behind, so that one may read while one reads.
    fn entries(&self, space: Space) -> Result<Rc<RefCell<Entries<'a>>>, StoreError> {
        if let Some(entries) = self.tables.borrow().get(&space) {
            return Ok(Rc::clone(entries));
        }
        let entries = self.transaction.open_table(definition(&table_name(space))).map_err(broken)?;
        let entries = Rc::new(RefCell::new(entries));
        self.tables.borrow_mut().insert(space, Rc::clone(&entries));
        Ok(entries)
    }
}

impl Reads for DiskWrites<'_> {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        get(&*self.entries(space)?.borrow(), key)
    }

    fn range(
        &self,
        space: Space,
        range: &KeyRange,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        visit_range(&*self.entries(space)?.borrow(), range, direction, visit)
    }

    fn len(&self, space: Space) -> Result<u64, StoreError> {
        self.entries(space)?.borrow().len().map_err(broken)
    }
}

impl Writes for DiskWrites<'_> {
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.entries(space)?.borrow_mut().insert(key, value).map_err(broken)?;
        Ok(())
    }

    fn remove(&mut self, space: Space, key: &[u8]) -> Result<(), StoreError> {
        self.entries(space)?.borrow_mut().remove(key).map_err(broken)?;
        Ok(())
    }

    fn clear(&mut self, space: Space) -> Result<(), StoreError> {
        self.tables.borrow_mut().remove(&space);
        self.transaction.delete_table(definition(&table_name(space))).map_err(broken)?;
        Ok(())
    }

    fn note(&mut self, change: Change) {
        self.changes.push(change);
    }
}

fn get(
    entries: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
) -> Result<Option<Bytes>, StoreError> {
    let value = entries.get(key).map_err(broken)?;
    Ok(value.map(|value| Bytes::copy_from_slice(value.value())))
}

fn visit_range(
    entries: &impl ReadableTable<&'static [u8], &'static [u8]>,
    range: &KeyRange,
    direction: Direction,
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    if range.is_empty() {
        return Ok(());
    }
    let end = range.end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
    let mut found = entries.range::<&[u8]>((Bound::Included(range.start.as_slice()), end)).map_err(broken)?;
    loop {
        let entry = match direction {
            Direction::Forward => found.next(),
            Direction::Backward => found.next_back(),
        };
        let Some(entry) = entry else { return Ok(()) };
        let (key, value) = entry.map_err(broken)?;
        if visit(key.value(), value.value()).is_break() {
            return Ok(());
        }
    }
}
