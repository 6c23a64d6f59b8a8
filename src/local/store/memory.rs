//! The store in memory, over a persistent ordered map.
//!
//! A state is a tree that is never changed in place once it is published, so a snapshot is one reference count. A job runs
//! where it is submitted, under a short mutex, and is acknowledged at once: there is nothing to wait for and no thread to
//! wake. Nothing survives the process.

use std::fmt;
use std::future::ready;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use bytes::Bytes;
use imbl::OrdMap;

use crate::model::Change;

use super::{
    Committed, Direction, Job, KeyRange, Moment, Reads, Restore, Snapshot, Space, Store, StoreError, Visit,
    Watch, Writes, panicked,
};

/// All spaces at one moment.
#[derive(Clone, Default)]
struct State {
    spaces: OrdMap<Space, OrdMap<Arc<[u8]>, Bytes>>,
    /// What the job has noted; nothing once the state is published.
    changes: Vec<Change>,
}

/// A store that lives as long as the process.
#[derive(Default)]
pub struct MemoryStore {
    published: ArcSwap<State>,
    writer: Mutex<Writer>,
    restore: OnceLock<Restore>,
    watch: OnceLock<Watch>,
}

/// What only the one who runs a job may touch.
#[derive(Default)]
struct Writer {
    closed: bool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn commit(&self, job: Job) -> Result<(), StoreError> {
        let writer = self.lock();
        if writer.closed {
            return Err(StoreError::closed());
        }
        let mut state = State::clone(&self.published.load());
        let outcome = catch_unwind(AssertUnwindSafe(|| job(&mut state)));
        let failure = match outcome {
            Ok(Ok(())) => {
                self.publish(state);
                return Ok(());
            }
            Ok(Err(error)) => error,
            Err(panic) => panicked(panic.as_ref()),
        };
        if let Some(restore) = self.restore.get() {
            restore(&**self.published.load());
        }
        Err(failure)
    }

    fn publish(&self, mut state: State) {
        let changes = std::mem::take(&mut state.changes);
        let watch = self.watch.get().filter(|_| !changes.is_empty());
        if let Some(watch) = watch {
            watch(Moment::Before, &changes);
        }
        self.published.store(Arc::new(state));
        if let Some(watch) = watch {
            watch(Moment::After, &changes);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(self.published.load_full())
    }

    fn submit(&self, job: Job) -> Committed {
        Box::pin(ready(self.commit(job)))
    }

    fn failure(&self) -> Option<StoreError> {
        None
    }

    fn on_rollback(&self, restore: Restore) {
        // Set once, by the backend that owns the store; a second one would have no state of its own to restore.
        let _ = self.restore.set(restore);
    }

    fn on_commit(&self, watch: Watch) {
        // As above.
        let _ = self.watch.set(watch);
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.lock().closed = true;
        Box::pin(ready(()))
    }
}

impl Reads for State {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.spaces.get(&space).and_then(|entries| entries.get(key)).cloned())
    }

    fn range(
        &self,
        space: Space,
        range: &KeyRange,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let Some(entries) = self.spaces.get(&space) else { return Ok(()) };
        if range.is_empty() {
            return Ok(());
        }
        let end = range.end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut entries = entries.range::<_, [u8]>((Bound::Included(range.start.as_slice()), end));
        loop {
            let entry = match direction {
                Direction::Forward => entries.next(),
                Direction::Backward => entries.next_back(),
            };
            let Some((key, value)) = entry else { return Ok(()) };
            if visit(key, value).is_break() {
                return Ok(());
            }
        }
    }

    fn len(&self, space: Space) -> Result<u64, StoreError> {
        Ok(self.spaces.get(&space).map_or(0, |entries| entries.len() as u64))
    }
}

impl Writes for State {
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        let entries = self.spaces.entry(space).or_default();
        entries.insert(Arc::from(key), Bytes::copy_from_slice(value));
        Ok(())
    }

    fn remove(&mut self, space: Space, key: &[u8]) -> Result<(), StoreError> {
        if let Some(entries) = self.spaces.get_mut(&space) {
            entries.remove(key);
        }
        Ok(())
    }

    fn clear(&mut self, space: Space) -> Result<(), StoreError> {
        self.spaces.remove(&space);
        Ok(())
    }

    fn note(&mut self, change: Change) {
        self.changes.push(change);
    }
}
