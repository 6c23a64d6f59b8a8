//! The data file as redb sees it: it waits for the disk only when the durability says so, and swallows all writes once something
//! failed.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::super::trouble::Failure;
use super::Durability;

/// The data file as redb sees it. It waits for the disk only when the durability says so; and once something failed, it
/// swallows all writes.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) file: Box<dyn StorageBackend>,
    pub(super) state: Arc<FileState>,
    pub(super) durability: Durability,
}

/// What is known of the data file.
#[derive(Debug, Default)]
pub(super) struct FileState {
    pub(super) bytes: AtomicU64,
    /// Why nothing is written any more.
    pub(super) failure: OnceLock<Failure>,
    /// The file, for the syncs that no commit waits for.
    pub(super) late_sync: Option<File>,
}

impl FileState {
    pub(super) fn fail(&self, failure: Failure) {
        // The first failure is the one to be reported.
        let _ = self.failure.set(failure);
    }

    pub(super) fn check(&self) -> io::Result<()> {
        self.failure.get().map_or(Ok(()), |failure| Err(io::Error::other(failure.error.0.clone())))
    }
}

impl Backend {
    pub(super) fn new(file: File, durability: Durability) -> io::Result<Self> {
        let bytes = AtomicU64::new(file.metadata()?.len());
        let late_sync = match durability {
            Durability::Fsync => None,
            Durability::Process => Some(file.try_clone()?),
        };
        // redb's own constructor cannot fail on the systems that we build for.
        let file = FileBackend::new(file).map_err(|error| io::Error::other(error.to_string()))?;
        let state = Arc::new(FileState { bytes, failure: OnceLock::new(), late_sync });
        Ok(Self { file: Box::new(file), state, durability })
    }

    /// Does something to the file, unless something failed before.
    fn change(
        &self,
        change: impl FnOnce(&dyn StorageBackend) -> io::Result<()>,
        failure: impl FnOnce(&io::Error) -> Failure,
    ) {
        if self.state.failure.get().is_some() {
            return;
        }
        if let Err(error) = change(&*self.file) {
            self.state.fail(failure(&error));
        }
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let outcome = self.file.read(offset, out);
        if outcome.is_err() && self.state.failure.get().is_some() {
            // Only the commit that failed reads what was not written, and nothing comes of it any more; while an error would
            // make redb refuse the readers of older states.
            out.fill(0);
            return Ok(());
        }
        outcome
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let grow = |file: &dyn StorageBackend| {
            file.set_len(len)?;
            self.state.bytes.store(len, Ordering::Relaxed);
            Ok(())
        };
        self.change(grow, Failure::of_write);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.durability {
            Durability::Fsync => self.change(|file| file.sync_data(), |error| Failure::of(error)),
            Durability::Process => {}
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(|file| file.write(offset, data), Failure::of_write);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
