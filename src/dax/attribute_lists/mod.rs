//! Lists of attribute names under ids: items travel as values alone, with the id of the list that names them.
//!
//! Clients keep what they have learnt of ids for as long as they live, and nothing makes them forget it. So an id, once given,
//! means the same list for ever. It is written to a [file](mod@file) before it is answered, and no list is ever evicted: a table
//! that is full rejects new lists of clients. Those that answers need are [lent](mod@lent) then.
//!
//! An id is made from the names alone: the first 64 bits of SHA-256 over the names, each after its length in 4 bytes (big-endian),
//! and over the number of the attempt in 4 bytes, brought to 2^32 .. 2^53. The first attempt, 0, is taken unless its id has another
//! list. So a lost file heals as soon as somebody defines the list again, and nodes agree without talking, but for lists that
//! collide: by chance 1 in 10^6 of tables of 10^5 lists. SHA-256 is chosen because it will be there in every later version;
//! that 53 bits can be searched for a collision changes nothing, since a collision is only another attempt. From 2^32 on, every
//! id is 9 bytes of CBOR, and no client can send ids from 2^53 on.
//!
//! Clients define lists in their own order and these are kept as they come. The server's own lists are sorted (see
//! [`super::item`]), as those of clients are: so a client already knows the ids of the items that it has written.
//!
//! Reads take no lock. Definitions take one, which is held while the file is written.

mod file;
mod lent;
mod list;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use aws_lc_rs::digest;
use imbl::OrdMap;

pub use file::OpenError;
use file::{Content, ListFile};
use lent::Lent;
pub use list::AttributeList;
pub(super) use list::is_same;

use crate::locks::lock;
use crate::model::{ApiError, ErrorCode};

/// The id of the list without names, which clients know by themselves.
pub const EMPTY_LIST_ID: u64 = 1;

/// Ids begin here, but for that of the empty list.
const ID_MIN: u64 = 1 << 32;
/// Ids end before this: beyond it, JavaScript's numbers are not exact.
const ID_END: u64 = 1 << 53;

/// The most bytes that the names of a list may take, each with one for its value: those of an item.
const ITEM_BYTES_MAX: usize = 400 * 1024;
/// The most bytes of a name.
const NAME_BYTES_MAX: usize = 65535;

/// How much a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most lists.
    pub lists: usize,
    /// The most bytes of memory for all of them.
    pub bytes: usize,
}

impl Default for Limits {
    /// 100,000 lists, 64 MiB.
    fn default() -> Self {
        Self { lists: 100_000, bytes: 64 << 20 }
    }
}

/// Why a list has no id.
#[derive(Debug, thiserror::Error)]
pub enum DefineError {
    /// No item has these names.
    #[error("One or more parameter values were invalid: {0}")]
    Invalid(&'static str),
    /// The table is full.
    #[error("The cache knows too many different sets of attribute names")]
    Full,
    /// The list cannot be written to the file. The next definition tries again.
    #[error("The list of attribute names cannot be stored")]
    NotStored(#[source] io::Error),
}

impl From<DefineError> for ApiError {
    fn from(error: DefineError) -> Self {
        let code = match error {
            DefineError::Invalid(_) => ErrorCode::Validation,
            DefineError::Full => ErrorCode::LimitExceeded,
            DefineError::NotStored(_) => ErrorCode::InternalServerError,
        };
        Self::new(code, error.to_string())
    }
}

/// The table of lists.
#[derive(Debug)]
pub struct AttributeLists {
    tables: ArcSwap<Tables>,
    limits: Limits,
    /// Of lookups by names. Its secret is the process's own, so nobody can choose names that collide.
    hashing: RandomState,
    /// Held by who defines lists. `None` without a file.
    file: Mutex<Option<ListFile>>,
    lent: Mutex<Lent>,
    lost_bytes: u64,
    damaged_bytes: u64,
}

/// All lists, by both roads. Invariant: whoever has an id here had it in the file before.
#[derive(Clone, Debug)]
struct Tables {
    by_id: OrdMap<u64, Arc<AttributeList>>,
    /// By the hash of the names, or the first free number behind it.
    by_names: OrdMap<u64, Arc<AttributeList>>,
    bytes: usize,
}

impl AttributeLists {
    /// A table that is kept in memory alone: its ids are the same in the next process, once they are defined again.
    pub fn in_memory(limits: Limits) -> Self {
        let tables = Tables { by_id: OrdMap::new(), by_names: OrdMap::new(), bytes: 0 };
        let lists = Self {
            tables: ArcSwap::from_pointee(tables),
            limits,
            hashing: RandomState::new(),
            file: Mutex::new(None),
            lent: Mutex::default(),
            lost_bytes: 0,
            damaged_bytes: 0,
        };
        lists.publish([Arc::new(AttributeList::new(EMPTY_LIST_ID, &[""; 0]))]);
        lists
    }

    /// The table that is kept in a file, which is created if it is missing. One process may have it open. Blocks.
    ///
    /// All lists of the file are taken, even if they are beyond the limits: clients may know them.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(path: &Path, limits: Limits) -> Result<Self, OpenError> {
        let (file, Content { records, damaged_bytes, lost_bytes }) = ListFile::open(path)?;
        let file = Mutex::new(Some(file));
        let lists = Self { file, lost_bytes, damaged_bytes, ..Self::in_memory(limits) };
        lists.publish(records.into_iter().map(|(id, names)| Arc::new(AttributeList::new(id, &names))));
        Ok(lists)
    }

    /// How many bytes at the end of the file were no whole records, and are dropped: after a crash, those of a list whose id no
    /// client has got.
    pub fn lost_bytes(&self) -> u64 {
        self.lost_bytes
    }

    /// How many bytes between whole records are damaged: clients may know the lists that were there. Each is back when somebody
    /// defines it again.
    pub fn damaged_bytes(&self) -> u64 {
        self.damaged_bytes
    }

    /// How many lists there are, the empty one among them.
    pub fn count(&self) -> usize {
        self.tables.load().by_id.len()
    }

    /// How many bytes of memory they take, about.
    pub fn bytes(&self) -> usize {
        self.tables.load().bytes
    }

    /// The list of an id.
    pub fn list(&self, id: u64) -> Option<Arc<AttributeList>> {
        let kept = self.tables.load().by_id.get(&id).map(Arc::clone);
        kept.or_else(|| lock(&self.lent).list(id))
    }

    /// The list of exactly these names in this order, whether it is kept or only lent.
    pub fn find<'n>(&self, names: impl Iterator<Item = &'n str> + Clone) -> Option<Arc<AttributeList>> {
        self.find_kept(names.clone()).or_else(|| lock(&self.lent).find(names))
    }

    /// The same among those that are kept.
    pub fn find_kept<'n>(&self, names: impl Iterator<Item = &'n str> + Clone) -> Option<Arc<AttributeList>> {
        let hash = self.hash(names.clone());
        self.tables.load().find(hash, names).ok().map(Arc::clone)
    }

    /// Gives ids to all of these lists, which cannot be kept, for answers that are to be written now.
    ///
    /// # Errors
    /// [`DefineError::Invalid`].
    pub fn lend<L: AsRef<[N]>, N: AsRef<str>>(&self, lists: &[L]) -> Result<(), DefineError> {
        for names in lists {
            let names = names.as_ref();
            check(names)?;
            if self.find(names.iter().map(AsRef::as_ref)).is_none() {
                let id = self.tables.load().free_id(names);
                lock(&self.lent).add(Arc::new(AttributeList::new(id, names)));
            }
        }
        Ok(())
    }

    /// The id of exactly these names in this order, which is a new one if they are new. Blocks while it is written to the file.
    ///
    /// # Errors
    /// [`DefineError`].
    pub fn define<N: AsRef<str>>(&self, names: &[N]) -> Result<u64, DefineError> {
        if let Some(known) = self.find_kept(names.iter().map(AsRef::as_ref)) {
            return Ok(known.id());
        }
        self.define_all(&[names])?;
        let defined = self.find_kept(names.iter().map(AsRef::as_ref));
        Ok(defined.expect("what is defined is never taken away").id())
    }

    /// Gives ids to all of these lists, with one wait for the file. Blocks meanwhile.
    ///
    /// # Errors
    /// [`DefineError`]. Then some of the lists may be defined.
    pub fn define_all<L: AsRef<[N]>, N: AsRef<str>>(&self, lists: &[L]) -> Result<(), DefineError> {
        // After a panic under the lock, the file repairs itself and the tables are whole: they are swapped at the end.
        let mut file = lock(&self.file);
        let mut tables = Tables::clone(&self.tables.load());
        let mut new = Vec::new();
        for names in lists {
            let names = names.as_ref();
            let hash = self.hash(names.iter().map(AsRef::as_ref));
            if tables.find(hash, names.iter().map(AsRef::as_ref)).is_ok() {
                continue;
            }
            check(names)?;
            let id = tables.free_id(names);
            let list = Arc::new(AttributeList::new(id, names));
            tables.insert(hash, Arc::clone(&list));
            if tables.by_id.len() > self.limits.lists || tables.bytes > self.limits.bytes {
                return Err(DefineError::Full);
            }
            new.push(list);
        }
        if let Some(file) = &mut *file {
            file.append(&new).map_err(DefineError::NotStored)?;
        }
        self.tables.store(Arc::new(tables));
        Ok(())
    }

    /// True if some lists are lent, whose ids may become unknown.
    pub fn lends(&self) -> bool {
        !lock(&self.lent).is_empty()
    }

    /// A table in memory with lists that have their ids already.
    #[cfg(test)]
    pub(crate) fn with_ids(ids: impl IntoIterator<Item = (u64, Vec<String>)>) -> Self {
        let lists = Self::in_memory(Limits::default());
        lists.publish(ids.into_iter().map(|(id, names)| Arc::new(AttributeList::new(id, &names))));
        lists
    }

    /// Puts lists in that have their ids already.
    fn publish(&self, lists: impl IntoIterator<Item = Arc<AttributeList>>) {
        let mut tables = Tables::clone(&self.tables.load());
        for list in lists {
            let hash = self.hash(list.names());
            tables.insert(hash, list);
        }
        self.tables.store(Arc::new(tables));
    }

    fn hash<'n>(&self, names: impl Iterator<Item = &'n str>) -> u64 {
        let mut hasher = self.hashing.build_hasher();
        for name in names {
            hasher.write_usize(name.len());
            hasher.write(name.as_bytes());
        }
        hasher.finish()
    }
}

impl Tables {
    /// The list of these names, or the number under which there is room for it.
    fn find<'n>(
        &self,
        hash: u64,
        names: impl Iterator<Item = &'n str> + Clone,
    ) -> Result<&Arc<AttributeList>, u64> {
        let mut number = hash;
        while let Some(list) = self.by_names.get(&number) {
            if list.names().eq(names.clone()) {
                return Ok(list);
            }
            number = number.wrapping_add(1);
        }
        Err(number)
    }

    fn insert(&mut self, hash: u64, list: Arc<AttributeList>) {
        // If a file has the list under two ids, both are understood, and the first is answered.
        if let Err(number) = self.find(hash, list.names()) {
            self.by_names.insert(number, Arc::clone(&list));
        }
        // An id never changes its meaning, whatever a file says.
        if !self.by_id.contains_key(&list.id()) {
            self.bytes += list.bytes();
            self.by_id.insert(list.id(), list);
        }
    }

    fn free_id<N: AsRef<str>>(&self, names: &[N]) -> u64 {
        let mut ids = (0..).map(|attempt| id_of(names, attempt));
        ids.find(|id| !self.by_id.contains_key(id)).expect("there are more ids than lists")
    }
}

/// The id of names, if none of the attempts before was free.
fn id_of<N: AsRef<str>>(names: &[N], attempt: u32) -> u64 {
    let mut hash = digest::Context::new(&digest::SHA256);
    for name in names {
        let name = name.as_ref().as_bytes();
        hash.update(&(name.len() as u32).to_be_bytes());
        hash.update(name);
    }
    hash.update(&attempt.to_be_bytes());
    let hash = hash.finish();
    let first = hash.as_ref().first_chunk().expect("a hash of SHA-256 has 32 bytes");
    ID_MIN + u64::from_be_bytes(*first) % (ID_END - ID_MIN)
}

fn check<N: AsRef<str>>(names: &[N]) -> Result<(), DefineError> {
    let mut bytes = 0;
    let mut seen = HashSet::with_capacity(names.len());
    for name in names.iter().map(AsRef::as_ref) {
        bytes += name.len() + 1;
        match name.len() {
            0 => return Err(DefineError::Invalid("Empty attribute name")),
            1..=NAME_BYTES_MAX => {}
            _ => return Err(DefineError::Invalid("Attribute name is too large")),
        }
        if bytes > ITEM_BYTES_MAX {
            return Err(DefineError::Invalid("No item has as many attributes"));
        }
        if !seen.insert(name) {
            return Err(DefineError::Invalid("Duplicate attribute name"));
        }
    }
    Ok(())
}
