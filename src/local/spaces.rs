//! Whose each space of the store is: the fixed ones, the numbers of new ones, and the version of what is written into them.
//!
//! The catalog's space holds, beside tables and streams, `format`, the version of everything this backend writes (the rows of
//! items too), and `next_space`, the first number that no space ever had.

use super::store::{Reads, Space, StoreError, Writes};

/// The space of the catalog itself.
pub(super) const CATALOG: Space = Space(0);
/// The spaces of the tokens of transactions.
pub(super) const TRANSACTION_TOKENS: [Space; 2] = [Space(1), Space(2)];
/// The version of what this backend writes. A store with a higher one is not touched.
///
/// 1: items and indexes. 2: streams and the order in which items expire.
pub(super) const FORMAT: u64 = 2;

/// The numbers below are kept for what is not a table's.
const FIRST_TABLE_SPACE: u64 = 16;
/// The row that holds it.
const FORMAT_KEY: &[u8] = b"format";
const NEXT_SPACE_KEY: &[u8] = b"next_space";

/// Why a store's catalog cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// Written by a newer version.
    #[error("format {found} is newer than {FORMAT}")]
    Newer { found: u64 },
    /// A row that is not what it should be.
    #[error("{0}")]
    Unreadable(String),
    /// The store broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether a store was written by this version's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// It was, or it is empty.
    Current,
    /// By those of an older one.
    Older,
}

/// By which version's rules a store was written.
///
/// # Errors
/// [`LoadError`] when it was a newer one, or the row cannot be read.
pub(super) fn age(reads: &dyn Reads) -> Result<Age, LoadError> {
    match number(reads, FORMAT_KEY)? {
        Some(found) if found > FORMAT => Err(LoadError::Newer { found }),
        Some(found) if found < FORMAT => Ok(Age::Older),
        Some(_) | None => Ok(Age::Current),
    }
}

/// Notes that from here on the store is written by this version's rules.
///
/// # Errors
/// [`StoreError`] when the store broke.
pub(super) fn write_format(writes: &mut dyn Writes) -> Result<(), StoreError> {
    writes.put(CATALOG, FORMAT_KEY, FORMAT.to_string().as_bytes())
}

/// A number for a new space; no other space ever has it.
///
/// # Errors
/// [`StoreError`] when the store broke.
pub(super) fn allocate_space(writes: &mut dyn Writes) -> Result<u64, StoreError> {
    let stored = number(&*writes, NEXT_SPACE_KEY).map_err(|error| StoreError(error.to_string()))?;
    let space = stored.unwrap_or(FIRST_TABLE_SPACE);
    if stored.is_none() {
        // The store is a new one: from here on it has something to be read by the rules of a format.
        write_format(writes)?;
    }
    writes.put(CATALOG, NEXT_SPACE_KEY, (space + 1).to_string().as_bytes())?;
    Ok(space)
}

/// The first number that no space ever had.
///
/// # Errors
/// [`LoadError`] when it cannot be read.
pub(super) fn next_space(reads: &dyn Reads) -> Result<Space, LoadError> {
    Ok(Space(number(reads, NEXT_SPACE_KEY)?.unwrap_or(FIRST_TABLE_SPACE)))
}

/// A row that holds a number as text.
fn number(reads: &(impl Reads + ?Sized), key: &[u8]) -> Result<Option<u64>, LoadError> {
    let Some(value) = reads.get(CATALOG, key)? else { return Ok(None) };
    let parsed = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
    let unreadable = || {
        LoadError::Unreadable(format!("the row {} of the catalog is no number", String::from_utf8_lossy(key)))
    };
    parsed.map(Some).ok_or_else(unreadable)
}
