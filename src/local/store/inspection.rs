//! A look at a data directory that leaves it as it is.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use redb::TableHandle;

use super::disk::{DiskSnapshot, broken, space_of};
use super::opening::{DATA_FILE, OpenError, lock_existing};
use super::untouched::Untouched;
use super::{Snapshot, Space, StoreError};

/// A data directory that is looked at. No other process may open it as long as this lives.
#[derive(Debug)]
pub struct Inspection {
    file: Untouched,
    _lock: Option<File>,
}

impl Inspection {
    /// Opens the directory. It must hold a data file, and no process may use it.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is made or changed in any case.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let unusable = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound if directory.is_dir() => OpenError::Empty { path: directory.to_owned() },
            _ => OpenError::Unusable { path: directory.to_owned(), source },
        };
        let lock = lock_existing(directory)?;
        let path = directory.join(DATA_FILE);
        let file = File::open(&path).and_then(Untouched::open).map_err(unusable)?;
        let file = file.map_err(|reason| OpenError::Damaged { path, reason })?;
        Ok(Self { file, _lock: lock })
    }

    /// Reads every page of the file and compares it with its checksum. Returns what is wrong.
    pub fn check_pages(&mut self) -> Option<String> {
        self.file.check_pages()
    }

    /// The state of the last commit.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(Arc::new(DiskSnapshot::new(self.file.begin_read()?)))
    }

    /// Every space that something was ever written to and that was not cleared.
    ///
    /// # Errors
    /// [`StoreError`] when the file has a table that is no space.
    pub fn spaces(&self) -> Result<Vec<Space>, StoreError> {
        let transaction = self.file.begin_read()?;
        let tables = transaction.list_tables().map_err(broken)?;
        let spaces = tables.map(|table| {
            let name = table.name();
            space_of(name)
                .ok_or_else(|| StoreError(format!("the data file has a table {name} that is no space")))
        });
        spaces.collect()
    }
}
