//! An item before and after a write, each with its stored form.

use crate::call::StoredItem;
use crate::model::{ApiError, Item};

use super::catalog::Table;
use super::rows::{self, Row};
use super::store::{Reads, StoreError};

/// The most bytes that an item may have.
pub(super) const ITEM_BYTES_MAX: usize = 400 * 1024;
/// The words for an update that exceeds it.
pub(super) const UPDATE_TOO_LARGE: &str = "Item size to update has exceeded the maximum allowed size";

/// An item that is to be stored, with its stored form.
#[derive(Debug)]
pub(crate) struct NewItem {
    item: Item,
    row: Vec<u8>,
}

/// An item that is there, read as far as it was needed.
#[derive(Debug)]
pub(crate) struct Existing {
    /// Its stored form.
    pub(crate) row: Row,
    item: Option<Item>,
}

impl NewItem {
    /// An item to be put.
    ///
    /// # Errors
    /// The service's own when the item is too large.
    pub(crate) fn within_limit(item: Item) -> Result<Self, ApiError> {
        Self::encoded(item, "Item size has exceeded the maximum allowed size")
    }

    /// An item with its stored form, or these words when it is too large.
    pub(super) fn encoded(item: Item, refusal: &'static str) -> Result<Self, ApiError> {
        let row = rows::encode_row(&item);
        if rows::size_bytes(&row) > ITEM_BYTES_MAX {
            return Err(ApiError::validation(refusal));
        }
        Ok(Self { item, row })
    }

    /// The item.
    pub(crate) fn item(&self) -> &Item {
        &self.item
    }

    /// Its stored form.
    pub(super) fn row(&self) -> &[u8] {
        &self.row
    }

    /// The item's JSON.
    pub(crate) fn json_text(&self) -> &[u8] {
        rows::json_text(&self.row)
    }

    /// Its size in bytes, as the service counts it.
    pub(crate) fn size_bytes(&self) -> usize {
        rows::size_bytes(&self.row)
    }

    /// Gives the item away, without a copy.
    pub(crate) fn into_stored(self) -> StoredItem {
        let size_bytes = self.size_bytes();
        StoredItem { json: rows::json_of_row(self.row), size_bytes, attributes: Some(self.item) }
    }

    /// True when nothing has to be written to have this item where that one is.
    pub(super) fn is_stored_as(&self, existing: &Existing) -> bool {
        self.json_text() == existing.row.json_text()
    }
}

impl Existing {
    /// Reads the item at a store key, if there is one.
    pub(super) fn read(
        table: &Table,
        store_key: &[u8],
        reads: &dyn Reads,
    ) -> Result<Option<Self>, StoreError> {
        let Some(bytes) = reads.get(table.items, store_key)? else { return Ok(None) };
        Ok(Some(Self { row: Row::new(bytes)?, item: None }))
    }

    /// The item itself, parsed once.
    pub(crate) fn item(&mut self) -> Result<&Item, StoreError> {
        if self.item.is_none() {
            self.item = Some(self.row.item()?);
        }
        Ok(self.item.as_ref().expect("it was just parsed"))
    }

    /// The item itself, to be changed. Who asks for it again has it parsed again.
    pub(super) fn take_item(&mut self) -> Result<Item, StoreError> {
        self.item.take().map_or_else(|| self.row.item(), Ok)
    }
}
