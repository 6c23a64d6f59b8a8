//! The sizes of tables and indexes after a start, counted beside the first requests.
//!
//! Nothing is stored of them per write, so a start must read every row once. The count runs over a snapshot of the state
//! before the first write and adds its sum at the end; writes add their differences meanwhile, so both together are right.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use super::catalog::Catalog;
use super::rows;
use super::store::{Direction, KeyRange, Snapshot, Space};

/// A count on its way, or done. Dropping it ends it.
#[derive(Debug, Default)]
pub(super) struct Counting {
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Counting {
    /// Begins to count. No write may have happened since the snapshot was taken.
    pub(super) fn begin(catalog: &Catalog, snapshot: Snapshot) -> Self {
        let tables = catalog.tables();
        let counters: Vec<(Space, Arc<AtomicI64>)> = tables
            .values()
            .flat_map(|table| table.counters())
            .map(|(space, counter)| (space, Arc::clone(counter)))
            .collect();
        let counting = Self::default();
        if counters.is_empty() {
            return counting;
        }
        let stop = Arc::clone(&counting.stop);
        let thread = std::thread::Builder::new()
            .name("nearside-count".to_owned())
            .spawn(move || count(&snapshot, &counters, &stop));
        // Without the thread sizes are told too small, and nothing else is wrong.
        *counting.lock() = thread.ok();
        counting
    }

    /// Ends the count and waits until its snapshot is given back; at most as long as it takes to read one row.
    pub(super) fn end(&self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.lock().take() {
            // A count that panicked has given its snapshot back too.
            let _ = thread.join();
        }
    }

    /// Waits until everything is counted.
    #[cfg(test)]
    pub(super) fn finish(&self) {
        self.lock().take().into_iter().for_each(|thread| thread.join().unwrap());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<JoinHandle<()>>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.end();
    }
}

fn count(snapshot: &Snapshot, counters: &[(Space, Arc<AtomicI64>)], stop: &AtomicBool) {
    for (space, counter) in counters {
        let mut bytes = 0;
        let counted = snapshot.range(*space, &KeyRange::all(), Direction::Forward, &mut |_, row| {
            bytes += i64::try_from(rows::size_bytes(row)).unwrap_or(0);
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        // A store that cannot be read will tell those who need it.
        if counted.is_err() || stop.load(Ordering::Relaxed) {
            return;
        }
        counter.fetch_add(bytes, Ordering::Relaxed);
    }
}
