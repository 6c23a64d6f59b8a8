//! The store on disk, over redb: one file in a data directory, one redb table for each space, named by its number.
//!
//! One thread writes. It takes all jobs that wait into one redb transaction, so that they share the cost of its commit.
//! Readers never wait for it: they read on snapshots.
//!
//! redb writes a commit's pages with plain writes and then asks for a sync, and only the sync tells the two durabilities
//! apart. With [`Durability::Fsync`] it reaches the disk. With [`Durability::Process`] it returns at once: by then the
//! kernel has every byte of the commit, in redb's order, so the death of the process loses nothing; the disk follows
//! when nothing was written for [`SYNC_INTERVAL`], or as the kernel sees fit. A power cut may then lose the last moments,
//! or leave a file that can no longer be opened, since the kernel writes pages back in its own order. (redb's own weaker
//! durability would keep commits in the memory of the process, which is not what this word promises.)
//!
//! When its process was killed, redb walks the whole file at the next opening (measured: 68 ms for 100,000 items of 300
//! bytes, 0.7 s for a million), unless the last commit had saved the allocator's state, which makes the opening fast
//! whatever the size (26 and 46 ms) but every commit slower (from 0.10 to 0.20 ms, and to 0.95 ms) and syncs it twice. So
//! commits save it once the file has [`QUICK_REPAIR_FROM_BYTES`].
//!
//! After a write or a sync that fails, readers are shown the last acknowledged state and writers are rejected. No sync is tried
//! a second time, since the kernel may have dropped pages: such a failure ends with the process. A write for which there was
//! no room is another matter: no commit has begun to count, so the file is opened again when there is room, as after a kill.
//! redb itself would reject readers too, so it is not told: from the failure on, the file behind it quietly swallows what it
//! writes, and what it then takes for committed is shown to nobody.
//!
//! redb compares pages with their checksums when it repairs a file, and not when it reads. So a file that was closed is looked
//! at before it is opened, up to [`CHECKED_BYTES_MAX`]; a damaged one is not opened.

mod file;
mod transaction;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use redb::{Database, DatabaseError, ReadableDatabase, StorageError};
use tokio::sync::oneshot;

use super::opening::{DATA_FILE, OpenError, create_private, lock, private};
use super::trouble::{self, Failure};
use super::untouched::fault_of_closed;
use super::{Committed, Job, Restore, Snapshot, Store, StoreError, Watch, panic_text};
use crate::telemetry::catch_panic;
use file::{Backend, FileState};

pub(super) use transaction::{DiskSnapshot, broken, space_of};

/// The data file while it is made; it gets its name when it can be opened.
const UNFINISHED_FILE: &str = "nearside.redb.new";

/// The most bytes of the file that redb keeps in memory, unless told otherwise; taken as pages are read and written. The
/// kernel's page cache lies below it, so a miss here is rarely a read from the disk.
pub const CACHE_BYTES_MAX: usize = 64 << 20;
/// The most jobs that share a commit. More would let the first of them wait longer for no gain.
const BATCH_JOBS_MAX: usize = 1024;
/// The most jobs that wait. Each belongs to a request in flight, which the front end limits long before.
const QUEUE_JOBS_MAX: usize = 1 << 16;
/// How long nothing is written before the disk is given what commits did not wait for.
pub const SYNC_INTERVAL: Duration = Duration::from_secs(1);

/// The size of the data file from which on commits save what makes the opening after a kill fast.
pub const QUICK_REPAIR_FROM_BYTES: u64 = 256 << 20;

/// The size up to which a data file that was closed is read whole before it is opened, to see whether it is damaged.
pub const CHECKED_BYTES_MAX: u64 = QUICK_REPAIR_FROM_BYTES;

/// What an acknowledged write survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// A power cut: the disk has it.
    Fsync,
    /// The death of the process: the kernel has it.
    Process,
}

/// A store in a data directory.
pub struct DiskStore {
    shared: Arc<Shared>,
}

/// What the callers and the writer's thread share.
struct Shared {
    directory: Box<Path>,
    opening: Opening,
    /// Empty once the store is closed, and while the file is opened again.
    opened: ArcSwapOption<Opened>,
    /// Locked while the file is opened again.
    reopening: Mutex<()>,
    queue: Mutex<Queue>,
    arrived: Condvar,
    restore: OnceLock<Restore>,
    watch: OnceLock<Watch>,
    /// The state before the commit in flight; the last acknowledged one once the store has failed.
    acknowledged: ArcSwapOption<DiskSnapshot>,
    /// Writes that were rejected because the store had failed.
    rejected: AtomicU64,
    /// Locked while the store is open; the lock goes with the file.
    lock: Mutex<Option<File>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// A data file that is open.
struct Opened {
    database: Database,
    /// What the file behind redb has seen.
    file: Arc<FileState>,
}

/// How the data file is opened, the first time and again.
struct Opening {
    backend: Box<dyn Fn() -> io::Result<Backend> + Send + Sync>,
    cache_bytes_max: usize,
    /// How soon it is tried again after there was no room.
    retry: Duration,
}

/// The jobs that wait for the writer.
#[derive(Default)]
struct Queue {
    jobs: VecDeque<Submitted>,
    closed: bool,
}

struct Submitted {
    job: Job,
    done: oneshot::Sender<Result<(), StoreError>>,
}

impl DiskStore {
    /// Opens the store in `directory`, which is made when it is missing.
    ///
    /// # Errors
    /// [`OpenError`], each a line that a person can act on.
    pub fn open(directory: &Path, durability: Durability) -> Result<Self, OpenError> {
        Self::open_with_cache(directory, durability, CACHE_BYTES_MAX)
    }

    /// The same, with another bound on the bytes of the file that are kept in memory.
    ///
    /// # Errors
    /// As [`DiskStore::open`].
    pub fn open_with_cache(
        directory: &Path,
        durability: Durability,
        cache_bytes_max: usize,
    ) -> Result<Self, OpenError> {
        let unusable = |source| OpenError::Unusable { path: directory.to_owned(), source };
        create_private(directory).map_err(unusable)?;
        let lock = lock(directory)?;
        let path = directory.join(DATA_FILE);
        if !path.try_exists().map_err(unusable)? {
            create(directory, &path)?;
        }
        check_pages(&path)?;
        let backend =
            move || Backend::new(OpenOptions::new().read(true).write(true).open(&path)?, durability);
        let opening = Opening { backend: Box::new(backend), cache_bytes_max, retry: trouble::RETRY };
        Self::start(directory, lock, opening)
    }

    fn start(directory: &Path, lock: File, opening: Opening) -> Result<Self, OpenError> {
        let unusable = |source| OpenError::Unusable { path: directory.to_owned(), source };
        let opened = opening.open(directory)?;
        let shared = Arc::new(Shared {
            directory: directory.into(),
            opening,
            opened: ArcSwapOption::from_pointee(opened),
            reopening: Mutex::default(),
            queue: Mutex::default(),
            arrived: Condvar::new(),
            restore: OnceLock::new(),
            watch: OnceLock::new(),
            acknowledged: ArcSwapOption::empty(),
            rejected: AtomicU64::new(0),
            lock: Mutex::new(Some(lock)),
            writer: Mutex::default(),
        });
        let worker = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("nearside-writer".to_owned())
            .spawn(move || worker.write_until_closed())
            .map_err(unusable)?;
        *shared.writer.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
        Ok(Self { shared })
    }
}

impl fmt::Debug for DiskStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DiskStore").finish_non_exhaustive()
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Store for DiskStore {
    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        // Once more, if the file was just being opened again.
        self.shared.snapshot().or_else(|| self.shared.snapshot()).ok_or_else(|| self.shared.unavailable())
    }

    fn submit(&self, job: Job) -> Committed {
        let (done, committed) = oneshot::channel();
        let refused = {
            let mut queue = self.shared.queue();
            if queue.closed {
                Some(StoreError::closed())
            } else if let Some(failure) = self.shared.failure() {
                self.shared.rejected.fetch_add(1, Ordering::Relaxed);
                Some(failure.error)
            } else if queue.jobs.len() >= QUEUE_JOBS_MAX {
                Some(StoreError("too many writes are waiting".to_owned()))
            } else {
                queue.jobs.push_back(Submitted { job, done });
                None
            }
        };
        if let Some(refused) = refused {
            return Box::pin(std::future::ready(Err(refused)));
        }
        self.shared.arrived.notify_one();
        Box::pin(async move { committed.await.unwrap_or_else(|_| Err(StoreError::closed())) })
    }

    fn failure(&self) -> Option<StoreError> {
        self.shared.failure().map(|failure| failure.error)
    }

    fn on_rollback(&self, restore: Restore) {
        // Set once, by the backend that owns the store; a second one would have no state of its own to restore.
        let _ = self.shared.restore.set(restore);
    }

    fn on_commit(&self, watch: Watch) {
        // As above.
        let _ = self.shared.watch.set(watch);
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async {
            // A closing that panicked has been reported, and there is nothing to be done about it.
            let _ = tokio::task::spawn_blocking(move || shared.close()).await;
        })
    }
}

/// Makes an empty data file, and gives it its name only when it is whole: a process that is killed on the way leaves nothing
/// that looks like a damaged one.
fn create(directory: &Path, path: &Path) -> Result<(), OpenError> {
    let unusable = |source| OpenError::Unusable { path: directory.to_owned(), source };
    let unfinished = directory.join(UNFINISHED_FILE);
    let file = private().create(true).truncate(true).open(&unfinished);
    let backend = file.and_then(|file| Backend::new(file, Durability::Fsync)).map_err(unusable)?;
    let state = Arc::clone(&backend.state);
    drop(open_database(directory, &unfinished, backend, CACHE_BYTES_MAX)?);
    state.check().map_err(unusable)?;
    std::fs::rename(&unfinished, path).map_err(unusable)?;
    // The new name must be on the disk before anything under it is promised to be.
    File::open(directory).and_then(|directory| directory.sync_all()).map_err(unusable)
}

/// Looks at the pages of a data file that was closed, unless it is large.
fn check_pages(path: &Path) -> Result<(), OpenError> {
    let unusable = |source| OpenError::Unusable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unusable)?;
    if file.metadata().map_err(unusable)?.len() > CHECKED_BYTES_MAX {
        return Ok(());
    }
    match fault_of_closed(file).map_err(unusable)? {
        None => Ok(()),
        Some(reason) => Err(OpenError::Damaged { path: path.to_owned(), reason }),
    }
}

impl Opening {
    fn open(&self, directory: &Path) -> Result<Opened, OpenError> {
        let unusable = |source| OpenError::Unusable { path: directory.to_owned(), source };
        let backend = (self.backend)().map_err(unusable)?;
        let file = Arc::clone(&backend.state);
        let path = directory.join(DATA_FILE);
        Ok(Opened { database: open_database(directory, &path, backend, self.cache_bytes_max)?, file })
    }
}

fn open_database(
    directory: &Path,
    path: &Path,
    backend: Backend,
    cache_bytes_max: usize,
) -> Result<Database, OpenError> {
    let damaged = |reason: String| OpenError::Damaged { path: path.to_owned(), reason };
    let unusable = |source| OpenError::Unusable { path: directory.to_owned(), source };
    let state = Arc::clone(&backend.state);
    // redb checks what it reads, but a damaged file may still break one of its own assumptions.
    let opened =
        catch_panic(|| Database::builder().set_cache_size(cache_bytes_max).create_with_backend(backend));
    match opened {
        Ok(Ok(database)) => state.check().map(|()| database).map_err(unusable),
        Ok(Err(DatabaseError::DatabaseAlreadyOpen)) => Err(OpenError::InUse { path: directory.to_owned() }),
        Ok(Err(DatabaseError::Storage(StorageError::Io(source)))) if !is_about_content(&source) => {
            Err(unusable(source))
        }
        Ok(Err(error)) => Err(damaged(error.to_string())),
        Err(panic) => Err(damaged(panic_text(panic.as_ref()).to_owned())),
    }
}

/// True for errors about what the file holds, not about reaching it.
fn is_about_content(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the writer finish what waits, and closes the file. Blocks until then.
    fn close(&self) {
        self.queue().closed = true;
        self.arrived.notify_one();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(writer) = writer {
            // A writer that panicked has nothing left to finish.
            let _ = writer.join();
        }
        let pinned = self.acknowledged.swap(None);
        let opened = self.opened.swap(None);
        close_file((pinned, opened));
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Why nothing is written, if so.
    fn failure(&self) -> Option<Failure> {
        match &*self.opened.load() {
            Some(opened) => opened.file.failure.get().cloned(),
            // It is being opened again, or could not be.
            None => Some(Failure::unopened()),
        }
    }

    /// The open file; `None` once the store is closed. Waits while it is opened again.
    fn opened(&self) -> Option<Arc<Opened>> {
        self.opened.load_full().or_else(|| {
            let _reopened = self.reopening.lock().unwrap_or_else(PoisonError::into_inner);
            self.opened.load_full()
        })
    }

    /// The last acknowledged state, or a later one; `None` when the file is closed, or is just being opened again.
    fn snapshot(&self) -> Option<Snapshot> {
        let opened = self.opened()?;
        let transaction = opened.database.begin_read().ok()?;
        // Looked at after the transaction began: redb shows a commit only when its writes are over, well or badly.
        if opened.file.failure.get().is_some() {
            return self.acknowledged.load_full().map(|snapshot| -> Snapshot { snapshot });
        }
        Some(Arc::new(DiskSnapshot { transaction, _opened: Some(opened) }))
    }

    /// Why there is no state to be read.
    fn unavailable(&self) -> StoreError {
        match self.queue().closed {
            true => StoreError::closed(),
            false => self.failure().map_or_else(StoreError::closed, |failure| failure.error),
        }
    }
}

/// Closes a data file, and whatever else of it is given. After a failure redb trips over what it believes to have written;
/// the file is left for the next opening to repair.
fn close_file<T>(file: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(file)));
}
