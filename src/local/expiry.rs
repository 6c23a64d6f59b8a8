//! How items expire: the order of a table's items by their expiry, and the sweep that removes those whose time is over.
//!
//! While a table has a time-to-live attribute, a space of its own holds an entry for each item that will expire: the second
//! of its expiry and the item's store key. Writes keep it in their own commits, so a sweep reads what is due from its
//! beginning and nothing else, and a table without the attribute pays nothing. An item is removed as a client would remove
//! it, but in the service's name, which its stream tells.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::model::{AttributeValue, Item, Key, TableSchema};

use super::catalog::{self, Catalog, Definition, Table};
use super::clock::Clock;
use super::rows::Row;
use super::store::{Direction, KeyRange, Reads, Space, StoreError, Writes};
use super::streams::Actor;
use super::write::{Action, ItemWrite, OnFailure};
use super::{Local, LocalError};

/// Items that expired longer ago are left alone, as by the service: so old a time is a mistake.
const AGE_SECONDS_MAX: u64 = 5 * 365 * 24 * 60 * 60;
/// How many items a commit removes at most, so that writes of clients never wait long behind a sweep.
const SWEEP_ITEMS_MAX: usize = 256;
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

/// Told of the items that a sweep has removed from a table, after their commit.
pub type OnExpired = Box<dyn Fn(&TableSchema, &[Key]) + Send + Sync>;

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
    fn due(
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
    former: Option<&Table>,
) -> Result<(), StoreError> {
    let former = former.and_then(|table| table.expiry.as_ref());
    if former.map(|expiry| &expiry.attribute) == definition.time_to_live_attribute.as_ref() {
        return Ok(());
    }
    if let Some(former) = former {
        writes.clear(former.space)?;
    }
    definition.expiry_space = match &definition.time_to_live_attribute {
        Some(_) => Some(catalog::allocate_space(writes)?),
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

impl Local {
    /// Removes every item whose time is over, a few in each commit. Gives how many there were.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke.
    pub(super) async fn sweep_expired(&self) -> Result<usize, StoreError> {
        let mut removed = 0;
        let tables = self.catalog.tables();
        for table in tables.values().filter(|table| table.expiry.is_some()) {
            while self.is_anything_due(table)? {
                let keys = self.remove_due(&table.schema.name).await?;
                removed += keys.len();
                // A store in memory answers at once, and other tasks want this thread too.
                tokio::task::yield_now().await;
            }
        }
        Ok(removed)
    }

    fn is_anything_due(&self, table: &Table) -> Result<bool, StoreError> {
        // A table that changed meanwhile waits for the next sweep.
        let Some(expiry) = &table.expiry else { return Ok(false) };
        Ok(!expiry.due(&*self.snapshot()?, self.clock.now_ms(), 1)?.is_empty())
    }

    async fn remove_due(&self, table: &str) -> Result<Vec<Key>, StoreError> {
        let (catalog, clock, name) = (Arc::clone(&self.catalog), self.clock.clone(), table.to_owned());
        let outcome = Arc::new(std::sync::Mutex::new(Vec::new()));
        let slot = Arc::clone(&outcome);
        let job = move |writes: &mut dyn Writes| {
            let removed = remove_due(&name, &catalog, &clock, writes)?;
            *slot.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = removed;
            Ok(())
        };
        self.store.submit(Box::new(job)).await?;
        let keys = std::mem::take(&mut *outcome.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        if let (Some(on_expired), Some(table)) = (self.on_expired.get(), self.catalog.find(table))
            && !keys.is_empty()
        {
            on_expired(&table.schema, &keys);
        }
        Ok(keys)
    }
}

/// Removes some items of a table whose time is over, judged by what is in the store now.
fn remove_due(
    name: &str,
    catalog: &Catalog,
    clock: &Clock,
    writes: &mut dyn Writes,
) -> Result<Vec<Key>, StoreError> {
    let Some(table) = catalog.find(name) else { return Ok(Vec::new()) };
    let Some(expiry) = &table.expiry else { return Ok(Vec::new()) };
    let mut removed = Vec::new();
    for entry in expiry.due(&*writes, clock.now_ms(), SWEEP_ITEMS_MAX)? {
        let store_key = entry.get(SECOND_BYTES..).unwrap_or_default();
        let row = writes.get(table.items, store_key)?.map(Row::new).transpose()?;
        let item = row.map(|row| row.item()).transpose()?;
        let Some(item) = item.filter(|item| expiry.entry(store_key, item).as_ref() == Some(&entry)) else {
            // Writes keep the entries of all items, so this one has none; it must not come up again and again.
            writes.remove(expiry.space, &entry)?;
            continue;
        };
        let key = table.schema.key.attributes().filter_map(|attribute| item.get_key_value(&attribute.name));
        let key: Item = key.map(|(name, value)| (name.clone(), value.clone())).collect();
        let write =
            ItemWrite { action: Action::Delete { key }, condition: None, on_failure: OnFailure::Nothing };
        let judged = match write.judge(&table, &*writes).map_err(LocalError::from) {
            Ok(judged) => judged,
            Err(LocalError::Store(error)) => return Err(error),
            Err(LocalError::Api(_)) => {
                // Without a condition nothing refuses a removal; if something did, it would refuse it for ever.
                writes.remove(expiry.space, &entry)?;
                continue;
            }
        };
        judged.carry_out_for(Actor::Expiry, writes)?;
        removed.push(judged.key);
    }
    Ok(removed)
}

#[cfg(test)]
mod tests;
