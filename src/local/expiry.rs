//! How items expire: the order of a table's items by their expiry.
//!
//! While a table has a time-to-live attribute, a space of its own holds an entry for each item that will expire: the second
//! of its expiry and the item's store key. Writes keep it in their own commits, so [`super::sweep`] reads what is due from
//! its beginning and nothing else, and a table without the attribute pays nothing.

use std::ops::ControlFlow;

use crate::model::{AttributeValue, Item};

use super::rows::Row;
use super::spaces;
use super::store::{Direction, KeyRange, Reads, Space, StoreError, Writes};
use super::table_record::Definition;

/// Items that expired longer ago are left alone, as by the service: so old a time is a mistake.
const AGE_SECONDS_MAX: u64 = 5 * 365 * 24 * 60 * 60;
/// How many rows are read at a time when the order is made.
const BUILD_ROWS: usize = 1000;
const SECOND_BYTES: usize = 8;

/// How a table's items expire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// The attribute with the second since 1970 after which an item is over.
    pub(super) attribute: String,
    /// Where the order of expiry is.
    pub(super) space: Space,
}

/// What a write changes in the order of expiry.
#[derive(Debug, Default)]
pub(super) struct ExpiryChange {
    removed: Option<Vec<u8>>,
    written: Option<Vec<u8>>,
}

impl Expiry {
    /// How the items of a table expire, when they do.
    pub(super) fn of(definition: &Definition) -> Option<Self> {
        let attribute = definition.time_to_live_attribute.clone()?;
        Some(Self { attribute, space: Space(definition.expiry_space?) })
    }

    /// What must change when an item becomes another, comes or goes.
    pub(super) fn change(&self, store_key: &[u8], old: Option<&Item>, new: Option<&Item>) -> ExpiryChange {
        let entry = |item: Option<&Item>| self.entry(store_key, item?);
        let (removed, written) = (entry(old), entry(new));
        if removed == written { ExpiryChange::default() } else { ExpiryChange { removed, written } }
    }

    /// Carries a change out.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke.
    pub(super) fn apply(&self, change: &ExpiryChange, writes: &mut dyn Writes) -> Result<(), StoreError> {
        if let Some(entry) = &change.removed {
            writes.remove(self.space, entry)?;
        }
        if let Some(entry) = &change.written {
            writes.put(self.space, entry, &[])?;
        }
        Ok(())
    }

    /// The entry of an item in the order of expiry, when it has one.
    pub(super) fn entry(&self, store_key: &[u8], item: &Item) -> Option<Vec<u8>> {
        let second = self.second(item)?;
        let mut entry = Vec::with_capacity(SECOND_BYTES + store_key.len());
        entry.extend_from_slice(&second.to_be_bytes());
        entry.extend_from_slice(store_key);
        Some(entry)
    }

    /// The store key of the item that an entry is of; no item's for what is no entry.
    pub(super) fn store_key(entry: &[u8]) -> &[u8] {
        entry.get(SECOND_BYTES..).unwrap_or_default()
    }

    /// The second of an item's expiry; `None` when it has no number that is one.
    fn second(&self, item: &Item) -> Option<u64> {
        let Some(AttributeValue::N(number)) = item.get(&self.attribute) else { return None };
        let second = number.to_i64().or_else(|| {
            // A fraction of a second does not count; what is too large for this is never over.
            let text = number.to_string();
            text.split_once('.').and_then(|(whole, _)| whole.parse().ok())
        });
        u64::try_from(second?).ok()
    }

    /// The entries that are due, the earliest first, at most so many.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke.
    pub(super) fn due(
        &self,
        reads: &(impl Reads + ?Sized),
        now_ms: u64,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        let now = now_ms / 1000;
        let range = KeyRange {
            start: now.saturating_sub(AGE_SECONDS_MAX).to_be_bytes().to_vec(),
            end: Some((now + 1).to_be_bytes().to_vec()),
        };
        let mut due = Vec::new();
        reads.range(self.space, &range, Direction::Forward, &mut |entry, _| {
            due.push(entry.to_vec());
            if due.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        Ok(due)
    }
}

/// Makes or drops the order of expiry of a table whose attribute is another than before. The definition must be on its way
/// into the catalog.
///
/// # Errors
/// [`StoreError`] when the store broke.
pub(super) fn follow(
    writes: &mut dyn Writes,
    definition: &mut Definition,
    former: Option<&Expiry>,
) -> Result<(), StoreError> {
    if former.map(|expiry| &expiry.attribute) == definition.time_to_live_attribute.as_ref() {
        return Ok(());
    }
    if let Some(former) = former {
        writes.clear(former.space)?;
    }
    definition.expiry_space = match &definition.time_to_live_attribute {
        Some(_) => Some(spaces::allocate_space(writes)?),
        None => None,
    };
    match Expiry::of(definition) {
        Some(expiry) => build(&expiry, Space(definition.items_space), writes),
        None => Ok(()),
    }
}

/// Gives all items that there are their places in the order.
fn build(expiry: &Expiry, items: Space, writes: &mut dyn Writes) -> Result<(), StoreError> {
    let mut range = KeyRange::all();
    loop {
        let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::with_capacity(BUILD_ROWS);
        writes.range(items, &range, Direction::Forward, &mut |key, row| {
            found.push((key.to_vec(), row.to_vec()));
            if found.len() < BUILD_ROWS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let is_last = found.len() < BUILD_ROWS;
        for (key, row) in found {
            let item = Row::new(row.into())?.item()?;
            expiry.apply(&expiry.change(&key, None, Some(&item)), writes)?;
            // The next stretch begins behind this key: nothing lies between a key and itself with a zero byte.
            range.start = key;
            range.start.push(0);
        }
        if is_last {
            return Ok(());
        }
    }
}
