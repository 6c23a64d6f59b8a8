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

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use redb::backends::FileBackend;
use redb::{
    BackendError, Database, DatabaseError, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, StorageBackend, StorageError, Table, TableDefinition, TableError,
    WriteTransaction,
};
use tokio::sync::oneshot;

use crate::model::Change;

use super::opening::{OpenError, create_private, lock, private};
use super::trouble::{self, Failure, Remedy, Trouble};
use super::untouched::fault_of_closed;
use super::{
    Committed, Direction, Job, KeyRange, Moment, Reads, Restore, Snapshot, Space, Store, StoreError, Visit,
    Watch, Writes, panic_text, panicked,
};

/// The file with all data.
pub(in crate::local) const DATA_FILE: &str = "nearside.redb";
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

/// How long readers may hold up the file's being opened again; after that it is tried later.
const READERS_WAIT_MAX: Duration = Duration::from_secs(1);

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
    let opened = catch_unwind(AssertUnwindSafe(|| {
        Database::builder().set_cache_size(cache_bytes_max).create_with_backend(backend)
    }));
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

    /// The writer's whole life.
    fn write_until_closed(&self) {
        let mut unsynced = false;
        let mut trouble = Trouble::new(self.opening.retry);
        while let Some(batch) = self.next_batch(&mut unsynced) {
            unsynced |= !batch.is_empty();
            match self.opened.load_full() {
                Some(opened) => self.commit(&opened, batch),
                None => answer(batch.into_iter().map(|submitted| submitted.done), &Err(StoreError::closed())),
            }
            if let Some(failure) = self.failure() {
                self.attend(&failure, &mut trouble);
            }
        }
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

    /// Reports a failure, and gets over it if that may be.
    fn attend(&self, failure: &Failure, trouble: &mut Trouble) {
        let path = self.directory.display();
        if trouble.is_report_due(Instant::now()) {
            let rejected = self.rejected.swap(0, Ordering::Relaxed);
            tracing::error!(error = %failure.error, %path, rejected, "The store takes no writes.");
        }
        if failure.remedy == Remedy::Room
            && trouble.is_retry_due(Instant::now())
            && trouble::has_room(&self.directory)
        {
            match self.reopen() {
                Ok(false) => {}
                Ok(true) if trouble.recovered(Instant::now()) => {
                    tracing::info!(%path, "There is room again; the store takes writes.");
                }
                Ok(true) => {}
                Err(error) => tracing::debug!(%error, "The store could not be opened again yet."),
            }
        }
    }

    /// Opens the file again as after a kill. Returns false when readers are in the way, which are shown what they were.
    fn reopen(&self) -> Result<bool, OpenError> {
        let _reopening = self.reopening.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = self.opened.swap(None) {
            // Pages that its readers look at would be written anew.
            let acknowledged = self.acknowledged.swap(None);
            let own = 1 + acknowledged.iter().count();
            let deadline = Instant::now() + READERS_WAIT_MAX;
            let is_read = || {
                let pins = acknowledged.as_ref().map_or(1, Arc::strong_count);
                pins > 1 || Arc::strong_count(&opened) > own
            };
            while is_read() && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            if is_read() {
                self.acknowledged.store(acknowledged);
                self.opened.store(Some(opened));
                return Ok(false);
            }
            close_file((acknowledged, opened));
        }
        let opened = Arc::new(self.opening.open(&self.directory)?);
        if let (Some(restore), Ok(transaction)) = (self.restore.get(), opened.database.begin_read()) {
            restore(&DiskSnapshot { transaction, _opened: None });
        }
        self.opened.store(Some(opened));
        Ok(true)
    }

    /// Waits for jobs and takes them; `None` when the store is closed and nothing waits any more. While it waits, the disk
    /// is given what commits did not wait for.
    fn next_batch(&self, unsynced: &mut bool) -> Option<Vec<Submitted>> {
        let mut queue = self.queue();
        loop {
            if !queue.jobs.is_empty() {
                let jobs = queue.jobs.len().min(BATCH_JOBS_MAX);
                return Some(queue.jobs.drain(..jobs).collect());
            }
            if queue.closed {
                drop(queue);
                self.sync_late(unsynced);
                return None;
            }
            let is_failing = self.failure().is_some();
            if is_failing || *unsynced {
                let pause = if is_failing { self.opening.retry } else { SYNC_INTERVAL };
                let (waited, timeout) =
                    self.arrived.wait_timeout(queue, pause).unwrap_or_else(PoisonError::into_inner);
                queue = waited;
                if timeout.timed_out() && queue.jobs.is_empty() {
                    drop(queue);
                    self.sync_late(unsynced);
                    if self.failure().is_some() {
                        return Some(Vec::new());
                    }
                    queue = self.queue();
                }
            } else {
                queue = self.arrived.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    fn sync_late(&self, unsynced: &mut bool) {
        if !std::mem::take(unsynced) {
            return;
        }
        if let Some(opened) = self.opened.load_full()
            && let Some(file) = &opened.file.late_sync
            && let Err(error) = file.sync_data()
        {
            self.pin(&opened);
            opened.file.fail(Failure::of(&error));
        }
    }

    /// Keeps the state of now for readers.
    fn pin(&self, opened: &Arc<Opened>) {
        let transaction = opened.database.begin_read().ok();
        let pinned = |transaction| {
            let _opened = Some(Arc::clone(opened));
            Arc::new(DiskSnapshot { transaction, _opened })
        };
        self.acknowledged.store(transaction.map(pinned));
    }

    /// Runs jobs in one transaction, commits it and tells each of them the outcome. When one breaks, those that ran with it
    /// have failed too, and those behind it go back to the head of the queue as if nothing had been.
    fn commit(&self, opened: &Arc<Opened>, mut batch: Vec<Submitted>) {
        let file = &opened.file;
        if batch.is_empty() {
            return;
        }
        if let Some(failure) = file.failure.get() {
            return answer(batch.into_iter().map(|submitted| submitted.done), &Err(failure.error.clone()));
        }
        self.pin(opened);
        let mut ran = Vec::with_capacity(batch.len());
        let mut waiting = batch.drain(..);
        let repair = if file.bytes.load(Ordering::Relaxed) < QUICK_REPAIR_FROM_BYTES {
            Repair::Walk
        } else {
            Repair::Quick
        };
        let mut changes = Vec::new();
        let outcome =
            catch_unwind(AssertUnwindSafe(|| self.run(opened, repair, &mut waiting, &mut ran, &mut changes)));
        let mut outcome = outcome.unwrap_or_else(|panic| Err(panicked(panic.as_ref())));
        // Whoever did not hear of the changes may go on to show what was before them, so nobody may count on them.
        let watched = catch_unwind(AssertUnwindSafe(|| self.report(Moment::After, &changes)));
        outcome = outcome.and(watched.map_err(|panic| panicked(panic.as_ref())));
        let behind: Vec<Submitted> = waiting.collect();
        if let Some(failure) = file.failure.get() {
            // redb does not know of it, or made something else of what it could not read back.
            outcome = Err(failure.error.clone());
        }
        if outcome.is_err() {
            self.roll_back();
            let mut queue = self.queue();
            behind.into_iter().rev().for_each(|submitted| queue.jobs.push_front(submitted));
        }
        if file.failure.get().is_none() {
            self.acknowledged.store(None);
        }
        answer(ran.into_iter(), &outcome);
    }

    fn roll_back(&self) {
        if let Some(restore) = self.restore.get()
            && let Some(acknowledged) = self.acknowledged.load_full()
        {
            restore(&*acknowledged);
        }
    }
}

/// What happens in a commit.
impl Shared {
    /// Runs the waiting jobs in one transaction. What has begun to run is in `ran` and what they have changed in `changes`,
    /// whatever happens.
    fn run(
        &self,
        opened: &Opened,
        repair: Repair,
        waiting: &mut dyn Iterator<Item = Submitted>,
        ran: &mut Vec<oneshot::Sender<Result<(), StoreError>>>,
        changes: &mut Vec<Change>,
    ) -> Result<(), StoreError> {
        let store_broke = |error: &dyn fmt::Display| {
            opened.file.fail(Failure::of(error));
            broken(error)
        };
        let mut transaction = opened.database.begin_write().map_err(|error| store_broke(&error))?;
        transaction.set_quick_repair(repair == Repair::Quick);
        let mut writes =
            DiskWrites { transaction: &transaction, tables: RefCell::default(), changes: Vec::new() };
        for submitted in waiting {
            ran.push(submitted.done);
            // A panic is caught here, not further out: redb takes a transaction that ends in one for damaged.
            let outcome = catch_unwind(AssertUnwindSafe(|| (submitted.job)(&mut writes)));
            if let Err(error) = outcome.unwrap_or_else(|panic| Err(panicked(panic.as_ref()))) {
                drop(writes);
                transaction.abort().map_err(|error| store_broke(&error))?;
                return Err(error);
            }
        }
        *changes = std::mem::take(&mut writes.changes);
        drop(writes);
        self.report(Moment::Before, changes);
        transaction.commit().map_err(|error| store_broke(&error))
    }

    fn report(&self, moment: Moment, changes: &[Change]) {
        if let Some(watch) = self.watch.get()
            && !changes.is_empty()
        {
            watch(moment, changes);
        }
    }
}

/// How a file is opened whose process was killed right after the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repair {
    /// By a walk over all of it.
    Walk,
    /// By what the commit has saved.
    Quick,
}

/// Closes a data file, and whatever else of it is given. After a failure redb trips over what it believes to have written;
/// the file is left for the next opening to repair.
fn close_file<T>(file: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(file)));
}

fn answer(
    waiting: impl Iterator<Item = oneshot::Sender<Result<(), StoreError>>>,
    outcome: &Result<(), StoreError>,
) {
    for done in waiting {
        // Whoever stopped waiting does not want to know.
        let _ = done.send(outcome.clone());
    }
}

pub(super) fn broken(error: impl fmt::Display) -> StoreError {
    StoreError(error.to_string())
}

/// A space's redb table.
type Entries<'a> = Table<'a, &'static [u8], &'static [u8]>;
type SnapshotEntries = ReadOnlyTable<&'static [u8], &'static [u8]>;

fn table_name(space: Space) -> String {
    space.0.to_string()
}

/// The space whose redb table has that name.
pub(super) fn space_of(table_name: &str) -> Option<Space> {
    table_name.parse().ok().map(Space)
}

fn definition(name: &str) -> TableDefinition<'_, &'static [u8], &'static [u8]> {
    TableDefinition::new(name)
}

/// A redb transaction that reads one state.
pub(super) struct DiskSnapshot {
    transaction: ReadTransaction,
    /// Keeps the file open, and says that it is read.
    _opened: Option<Arc<Opened>>,
}

impl DiskSnapshot {
    /// The state that a transaction reads.
    pub(super) fn new(transaction: ReadTransaction) -> Self {
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
struct DiskWrites<'a> {
    transaction: &'a WriteTransaction,
    tables: RefCell<HashMap<Space, Rc<RefCell<Entries<'a>>>>>,
    changes: Vec<Change>,
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

/// The data file as redb sees it. It waits for the disk only when the durability says so; and once something failed, it
/// swallows all writes.
#[derive(Debug)]
struct Backend {
    file: Box<dyn StorageBackend>,
    state: Arc<FileState>,
    durability: Durability,
}

/// What is known of the data file.
#[derive(Debug, Default)]
struct FileState {
    bytes: AtomicU64,
    /// Why nothing is written any more.
    failure: OnceLock<Failure>,
    /// The file, for the syncs that no commit waits for.
    late_sync: Option<File>,
}

impl FileState {
    fn fail(&self, failure: Failure) {
        // The first failure is the one to be reported.
        let _ = self.failure.set(failure);
    }

    fn check(&self) -> io::Result<()> {
        self.failure.get().map_or(Ok(()), |failure| Err(io::Error::other(failure.error.0.clone())))
    }
}

impl Backend {
    fn new(file: File, durability: Durability) -> io::Result<Self> {
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    /// A file whose writes or syncs fail as long as it is told so.
    #[derive(Debug)]
    struct FailingFile {
        file: FileBackend,
        faults: Arc<Faults>,
    }

    #[derive(Debug, Default)]
    struct Faults {
        syncs: AtomicBool,
        writes: AtomicBool,
    }

    fn check(fails: &AtomicBool) -> io::Result<()> {
        if fails.load(Ordering::Relaxed) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    impl StorageBackend for FailingFile {
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.file.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.file.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            check(&self.faults.syncs)?;
            self.file.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            check(&self.faults.writes)?;
            self.file.write(offset, data)
        }
    }

    /// A store on a file with faults to be turned on.
    fn failing(directory: &Path) -> (DiskStore, Arc<Faults>) {
        drop(DiskStore::open(directory, Durability::Fsync).unwrap());
        let (faults, path) = (Arc::<Faults>::default(), directory.join(DATA_FILE));
        let given = Arc::clone(&faults);
        let backend = move || {
            let file = FileBackend::new(OpenOptions::new().read(true).write(true).open(&path)?).unwrap();
            let file = FailingFile { file, faults: Arc::clone(&given) };
            Ok(Backend { file: Box::new(file), state: Arc::default(), durability: Durability::Fsync })
        };
        let retry = Duration::from_millis(1);
        let opening = Opening { backend: Box::new(backend), cache_bytes_max: CACHE_BYTES_MAX, retry };
        let store = DiskStore::start(directory, lock(directory).unwrap(), opening).unwrap();
        (store, faults)
    }

    fn has(store: &DiskStore, key: &[u8]) -> bool {
        store.snapshot().unwrap().get(Space(7), key).unwrap().is_some()
    }

    fn put(key: &'static [u8]) -> Job {
        Box::new(move |writes| writes.put(Space(7), key, b"value"))
    }

    fn wait<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    #[test]
    fn after_a_failed_sync_nothing_is_written_and_what_was_acknowledged_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (store, faults) = failing(directory.path());
        wait(store.submit(put(b"acknowledged"))).unwrap();
        assert!(store.failure().is_none());
        faults.syncs.store(true, Ordering::Relaxed);
        assert!(wait(store.submit(put(b"lost"))).is_err());
        faults.syncs.store(false, Ordering::Relaxed);
        assert!(wait(store.submit(put(b"later"))).is_err());
        assert!(store.failure().is_some());
        assert!(has(&store, b"acknowledged") && !has(&store, b"lost"));
        drop(store);
        let store = DiskStore::open(directory.path(), Durability::Fsync).unwrap();
        assert!(has(&store, b"acknowledged") && !has(&store, b"later"));
        wait(store.submit(put(b"again"))).unwrap();
    }

    #[test]
    fn after_a_write_without_room_the_store_goes_on_by_itself_when_there_is_some() {
        let directory = tempfile::tempdir().unwrap();
        let (store, faults) = failing(directory.path());
        wait(store.submit(put(b"acknowledged"))).unwrap();
        let (restores, seen) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(true)));
        let (counted, all) = (Arc::clone(&restores), Arc::clone(&seen));
        store.on_rollback(Box::new(move |reads| {
            counted.fetch_add(1, Ordering::Relaxed);
            all.fetch_and(reads.get(Space(7), b"acknowledged").unwrap().is_some(), Ordering::Relaxed);
        }));
        faults.writes.store(true, Ordering::Relaxed);
        let error = wait(store.submit(put(b"lost"))).unwrap_err();
        assert!(error.0.contains("there is no room"), "{error}");
        // As long as there is none, it is tried again and again, and readers are shown what was acknowledged.
        let before = store.snapshot().unwrap();
        for _ in 0..20 {
            assert!(wait(store.submit(put(b"lost"))).is_err());
            assert!(has(&store, b"acknowledged") && !has(&store, b"lost"));
        }
        drop(before);
        faults.writes.store(false, Ordering::Relaxed);
        let begun = Instant::now();
        while wait(store.submit(put(b"later"))).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "it takes no writes: {:?}", store.failure());
            std::thread::yield_now();
        }
        assert!(store.failure().is_none());
        assert!(has(&store, b"acknowledged") && has(&store, b"later") && !has(&store, b"lost"));
        assert!(restores.load(Ordering::Relaxed) >= 2 && seen.load(Ordering::Relaxed));
        drop(store);
        let store = DiskStore::open(directory.path(), Durability::Fsync).unwrap();
        assert!(has(&store, b"acknowledged") && has(&store, b"later") && !has(&store, b"lost"));
    }

    #[test]
    fn a_reader_keeps_its_state_while_the_store_would_open_its_file_again() {
        let directory = tempfile::tempdir().unwrap();
        let (store, faults) = failing(directory.path());
        wait(store.submit(put(b"acknowledged"))).unwrap();
        let (old, opened) = (store.snapshot().unwrap(), store.shared.opened.load_full());
        faults.writes.store(true, Ordering::Relaxed);
        assert!(wait(store.submit(put(b"lost"))).is_err());
        let pinned = store.snapshot().unwrap();
        faults.writes.store(false, Ordering::Relaxed);
        // The writer's thread, which tries the same, stands behind this.
        assert!(!store.shared.reopen().unwrap());
        assert!(Arc::ptr_eq(&opened.unwrap(), &store.shared.opened.load_full().unwrap()));
        assert!(pinned.get(Space(7), b"acknowledged").unwrap().is_some());
        assert!(old.get(Space(7), b"acknowledged").unwrap().is_some());
    }

    #[test]
    fn what_is_made_is_for_its_user_alone() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("new/data");
        let _store = DiskStore::open(&directory, Durability::Process).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(&root.path().join("new")), mode(&directory)], [0o700, 0o700]);
        for entry in directory.read_dir().unwrap() {
            assert_eq!(mode(&entry.unwrap().path()), 0o600);
        }
    }

    #[test]
    fn an_empty_or_a_damaged_file_is_not_opened_and_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(DATA_FILE);
        let store = DiskStore::open(directory.path(), Durability::Process).unwrap();
        for key in 0..2000_u32 {
            let job: Job = Box::new(move |writes| writes.put(Space(7), &key.to_be_bytes(), &[7; 100]));
            wait(store.submit(job)).unwrap();
        }
        wait(store.close());
        drop(store);
        let whole = std::fs::read(&path).unwrap();
        // A run of values can only be in a page of them.
        let at = whole.windows(90).rposition(|window| window == [7; 90]).unwrap();
        let flipped: Vec<u8> =
            whole.iter().enumerate().map(|(i, b)| if i == at { b ^ 1 } else { *b }).collect();
        for damaged in [Vec::new(), flipped, whole[..whole.len() / 2].to_vec()] {
            std::fs::write(&path, &damaged).unwrap();
            let error = DiskStore::open(directory.path(), Durability::Process).unwrap_err();
            assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
            assert!(std::fs::read(&path).unwrap() == damaged, "the file was changed");
        }
        std::fs::write(&path, &whole).unwrap();
        let store = DiskStore::open(directory.path(), Durability::Process).unwrap();
        assert!(has(&store, &1999_u32.to_be_bytes()));
    }
}
