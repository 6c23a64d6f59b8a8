//! Where the local backend keeps its bytes: named spaces of ordered keys, snapshots for readers, one commit at a time for writers.
//!
//! Two stores stand behind the trait: [`disk`] (redb, in a data directory) and [`memory`].

pub mod disk;
pub mod inspection;
pub mod memory;
mod opening;
mod trouble;
mod untouched;

pub use disk::{CACHE_BYTES_MAX, DiskStore, Durability};
pub use inspection::Inspection;
pub use memory::MemoryStore;
pub(in crate::local) use opening::DATA_FILE;
pub use opening::{DirectoryLock, OpenError};

use std::any::Any;
use std::fmt;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use crate::model::Change;
pub use crate::model::key::Direction;

/// One ordered space of keys: the catalog, a table's items, or an index's entries. Numbers are never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Space(pub u64);

/// A stretch of keys: from `start` (included) to `end` (excluded; `None` is the space's end).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRange {
    /// The first key that belongs to the range.
    pub start: Vec<u8>,
    /// The first key that does not any more.
    pub end: Option<Vec<u8>>,
}

/// The store broke: a disk error, a full disk, a closed store. The operation did not happen, or (from a commit) may have.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct StoreError(pub String);

impl StoreError {
    fn closed() -> Self {
        Self("the store is closed".to_owned())
    }
}

/// What is shown the keys and values of a range, one after the other.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'a;

/// Reads of one consistent state. A space that was never written reads as empty.
pub trait Reads {
    /// The value under a key.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke.
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Shows `visit` each key and value of the range in order, until it breaks off or the range ends.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke.
    fn range(
        &self,
        space: Space,
        range: &KeyRange,
        direction: Direction,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError>;

    /// How many keys the space has; constant time.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke.
    fn len(&self, space: Space) -> Result<u64, StoreError>;
}

/// Writes inside a commit; reads see the writes made before them in the same commit, by earlier jobs too.
pub trait Writes: Reads {
    /// Puts a value under a key.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke; the whole commit then fails.
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) -> Result<(), StoreError>;

    /// Removes a key; a missing one is no error.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke; the whole commit then fails.
    fn remove(&mut self, space: Space, key: &[u8]) -> Result<(), StoreError>;

    /// Removes a whole space.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke; the whole commit then fails.
    fn clear(&mut self, space: Space) -> Result<(), StoreError>;

    /// Notes what the job changes, for those who watch the store's commits.
    fn note(&mut self, change: Change);
}

/// A state of the store that later commits do not change. Cheap to take; may be sent to another thread.
pub type Snapshot = Arc<dyn Reads + Send + Sync>;

/// A piece of work inside a commit. It must decide before it writes: a job that reads, judges and refuses has written
/// nothing, so the other jobs of its commit are not touched by it. An `Err` fails the whole commit.
pub type Job = Box<dyn FnOnce(&mut dyn Writes) -> Result<(), StoreError> + Send>;

/// Resolves when the commit that held the job is acknowledged at the store's durability.
pub type Committed = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// Brings whatever is kept in memory beside the store back in line with a state of the store.
pub type Restore = Box<dyn Fn(&dyn Reads) + Send + Sync>;

/// Watches commits: called with the changes that the jobs of a commit have noted, once right before readers may see them, and
/// once right after, before any of the jobs is acknowledged; the second time also if the commit has failed. Commits without
/// changes are passed over.
pub type Watch = Box<dyn Fn(Moment, &[Change]) + Send + Sync>;

/// A moment of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// Right before the first reader may see it.
    Before,
    /// Right after every reader sees it, or when it has failed.
    After,
}

/// A store. Jobs are run one after the other, in the order of submission; those that wait at the same time share a commit.
pub trait Store: Send + Sync + fmt::Debug + 'static {
    /// The last acknowledged state, or a later one.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke.
    fn snapshot(&self) -> Result<Snapshot, StoreError>;

    /// Runs a job in a commit. The job runs even when the future is dropped.
    fn submit(&self, job: Job) -> Committed;

    /// Why the store takes no writes, as long as it does not.
    fn failure(&self) -> Option<StoreError>;

    /// Has `restore` called after every commit that failed, before the next job runs: jobs of that commit may have changed
    /// what is kept in memory beside the store. It is called as well when the store has got over a failure. May be set once.
    fn on_rollback(&self, restore: Restore);

    /// Has `watch` called at every commit. May be set once.
    fn on_commit(&self, watch: Watch);

    /// Waits for every submitted job and closes the store. Later calls fail.
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

impl KeyRange {
    /// Every key that begins with `prefix`.
    pub fn with_prefix(prefix: &[u8]) -> Self {
        Self { start: prefix.to_vec(), end: successor(prefix) }
    }

    /// Every key.
    pub fn all() -> Self {
        Self { start: Vec::new(), end: None }
    }

    /// True when no key can be in it.
    pub fn is_empty(&self) -> bool {
        self.end.as_ref().is_some_and(|end| *end <= self.start)
    }
}

/// The first byte string after all those that begin with `prefix`; `None` when there is none.
pub fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte != 0xFF)?;
    let mut end = prefix[..=kept].to_vec();
    end[kept] += 1;
    Some(end)
}

/// What a panic said, as far as it said it in words.
fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}

/// The failure of a commit whose job panicked.
fn panicked(panic: &(dyn Any + Send)) -> StoreError {
    StoreError(format!("a write panicked: {}", panic_text(panic)))
}

#[cfg(test)]
mod tests;
