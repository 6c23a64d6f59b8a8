//! The store in memory, over a persistent ordered map.
//!
//! A state that a snapshot holds is never changed in place, so a snapshot is one reference count. A job runs where it is
//! submitted, under a short mutex, and is acknowledged at once: there is nothing to wait for and no thread to
//! wake. Nothing survives the process.
//!
//! A job writes into a [`Draft`]. Its commit changes the published state where it lies, unless a snapshot holds it: then the nodes on
//! the ways to the changed keys are copied, and these are hundreds of entries.

use std::cell::OnceCell;
use std::fmt;
use std::future::ready;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use bytes::Bytes;
use imbl::OrdMap;

use crate::model::Change;

use super::{
    Committed, Direction, Job, KeyRange, Moment, Reads, Restore, Snapshot, Space, Store, StoreError, Visit,
    Watch, Writes, panicked,
};

/// A job that writes more keys than this has them in a state of its own: each of its reads looks through the list.
const WRITTEN_MAX: usize = 64;

/// All spaces at one moment.
#[derive(Clone, Default)]
struct State {
    spaces: OrdMap<Space, OrdMap<Arc<[u8]>, Bytes>>,
}

/// A key that a job has written, and its value; `None` if it was removed.
#[derive(Clone)]
struct Written {
    space: Space,
    key: Arc<[u8]>,
    value: Option<Bytes>,
}

/// What a job sees and writes.
struct Draft {
    /// The published state.
    base: Arc<State>,
    /// What the job has written, in its order. Nothing once there is a whole state.
    written: Vec<Written>,
    /// The state with all that the job has written, once it has asked for more than the values of keys.
    whole: OnceCell<State>,
    /// What the job has noted.
    changes: Vec<Change>,
}

/// A store that lives as long as the process.
#[derive(Default)]
pub struct MemoryStore {
    published: RwLock<Arc<State>>,
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
        let mut draft = Draft::of(self.state());
        let outcome = catch_unwind(AssertUnwindSafe(|| job(&mut draft)));
        let failure = match outcome {
            Ok(Ok(())) => {
                self.publish(draft);
                return Ok(());
            }
            Ok(Err(error)) => error,
            Err(panic) => panicked(panic.as_ref()),
        };
        if let Some(restore) = self.restore.get() {
            restore(&*self.state());
        }
        Err(failure)
    }

    fn publish(&self, mut draft: Draft) {
        let changes = std::mem::take(&mut draft.changes);
        let watch = self.watch.get().filter(|_| !changes.is_empty());
        if let Some(watch) = watch {
            watch(Moment::Before, &changes);
        }
        let Draft { base, written, whole, .. } = draft;
        // Or the state would be held by the one who changes it.
        drop(base);
        // Whatever was there before is dropped when the lock is free again.
        let mut former = whole.into_inner().map(Arc::new);
        {
            let mut published = self.published.write().unwrap_or_else(PoisonError::into_inner);
            match &mut former {
                Some(whole) => std::mem::swap(&mut *published, whole),
                None if written.is_empty() => {}
                None => {
                    let state = Arc::make_mut(&mut published);
                    written.into_iter().for_each(|written| state.apply(written));
                }
            }
        }
        if let Some(watch) = watch {
            watch(Moment::After, &changes);
        }
    }

    fn state(&self) -> Arc<State> {
        Arc::clone(&self.published.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn apply(&mut self, Written { space, key, value }: Written) {
        match value {
            Some(value) => drop(self.spaces.entry(space).or_default().insert(key, value)),
            None => {
                if let Some(entries) = self.spaces.get_mut(&space) {
                    entries.remove(&key);
                }
            }
        }
    }
}

impl Draft {
    fn of(base: Arc<State>) -> Self {
        Self { base, written: Vec::new(), whole: OnceCell::new(), changes: Vec::new() }
    }

    /// The state with all that is written.
    fn state(&self) -> &State {
        if self.written.is_empty() && self.whole.get().is_none() {
            return &self.base;
        }
        self.whole.get_or_init(|| {
            let mut state = State::clone(&self.base);
            self.written.iter().for_each(|written| state.apply(written.clone()));
            state
        })
    }

    /// The same, to be changed.
    fn state_mut(&mut self) -> &mut State {
        let written = std::mem::take(&mut self.written);
        if self.whole.get().is_none() {
            let mut state = State::clone(&self.base);
            written.into_iter().for_each(|written| state.apply(written));
            self.whole = OnceCell::from(state);
        }
        self.whole.get_mut().expect("it was just made")
    }

    fn write(&mut self, written: Written) {
        match self.whole.get_mut() {
            Some(state) => state.apply(written),
            None => self.written.push(written),
        }
        if self.written.len() > WRITTEN_MAX {
            self.state_mut();
        }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(self.state())
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

impl Reads for Draft {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        if let Some(state) = self.whole.get() {
            return state.get(space, key);
        }
        let mut written = self.written.iter().rev();
        match written.find(|written| written.space == space && *written.key == *key) {
            Some(written) => Ok(written.value.clone()),
            None => self.base.get(space, key),
        }
    }

    fn range(
        &self,
        space: Space,
        range: &KeyRange,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.state().range(space, range, direction, visit)
    }

    fn len(&self, space: Space) -> Result<u64, StoreError> {
        self.state().len(space)
    }
}

impl Writes for Draft {
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.write(Written { space, key: Arc::from(key), value: Some(Bytes::copy_from_slice(value)) });
        Ok(())
    }

    fn remove(&mut self, space: Space, key: &[u8]) -> Result<(), StoreError> {
        self.write(Written { space, key: Arc::from(key), value: None });
        Ok(())
    }

    fn clear(&mut self, space: Space) -> Result<(), StoreError> {
        self.state_mut().spaces.remove(&space);
        Ok(())
    }

    fn note(&mut self, change: Change) {
        self.changes.push(change);
    }
}
