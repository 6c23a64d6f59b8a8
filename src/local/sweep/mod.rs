//! The sweep that removes the items whose time is over.
//!
//! An item is removed as a client would remove it, but in the service's name, which its stream tells.

use std::sync::{Arc, Mutex, PoisonError};

use crate::model::{Cause, Item};

use super::catalog::{Catalog, Table};
use super::clock::Clock;
use super::expiry::Expiry;
use super::rows::Row;
use super::store::{StoreError, Writes};
use super::write::{Action, ItemWrite, OnFailure};
use super::{Local, LocalError};

/// How many items a commit removes at most, so that writes of clients never wait long behind a sweep.
const SWEEP_ITEMS_MAX: usize = 256;

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
                removed += self.remove_due(&table.schema.name).await?;
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

    async fn remove_due(&self, table: &str) -> Result<usize, StoreError> {
        let (catalog, clock, name) = (Arc::clone(&self.catalog), self.clock.clone(), table.to_owned());
        let outcome = Arc::new(Mutex::new(0));
        let slot = Arc::clone(&outcome);
        let job = move |writes: &mut dyn Writes| {
            let removed = remove_due(&name, &catalog, &clock, writes)?;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = removed;
            Ok(())
        };
        self.store.submit(Box::new(job)).await?;
        let removed = *outcome.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(removed)
    }
}

/// Removes some items of a table that have expired, judged by what is in the store now. Returns how many.
fn remove_due(
    name: &str,
    catalog: &Catalog,
    clock: &Clock,
    writes: &mut dyn Writes,
) -> Result<usize, StoreError> {
    let Some(table) = catalog.find(name) else { return Ok(0) };
    let Some(expiry) = &table.expiry else { return Ok(0) };
    let mut removed = 0;
    for entry in expiry.due(&*writes, clock.now_ms(), SWEEP_ITEMS_MAX)? {
        let store_key = Expiry::store_key(&entry);
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
            Err(LocalError::Api(_) | LocalError::Charged(..)) => {
                // Without a condition nothing refuses a removal; if something did, it would refuse it for ever.
                writes.remove(expiry.space, &entry)?;
                continue;
            }
        };
        judged.carry_out(Cause::Expiry, writes)?;
        removed += 1;
    }
    Ok(removed)
}

#[cfg(test)]
mod tests;
