//! The writer's thread: it takes the jobs that wait into one commit, and opens the file again after there was no room.

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use redb::ReadableDatabase;
use tokio::sync::oneshot;

use crate::model::Change;

use super::super::trouble::{self, Failure, Remedy, Trouble};
use super::super::{Moment, OpenError, StoreError, panicked};
use super::transaction::{DiskSnapshot, DiskWrites, broken};
use super::{BATCH_JOBS_MAX, Opened, QUICK_REPAIR_FROM_BYTES, SYNC_INTERVAL, Shared, Submitted, close_file};

/// How long readers may hold up the file's being opened again; after that it is tried later.
const READERS_WAIT_MAX: Duration = Duration::from_secs(1);

impl Shared {
    /// The writer's whole life.
    pub(super) fn write_until_closed(&self) {
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
    pub(super) fn reopen(&self) -> Result<bool, OpenError> {
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

fn answer(
    waiting: impl Iterator<Item = oneshot::Sender<Result<(), StoreError>>>,
    outcome: &Result<(), StoreError>,
) {
    for done in waiting {
        // Whoever stopped waiting does not want to know.
        let _ = done.send(outcome.clone());
    }
}
