//! The tables that there are: their schemas, settings and spaces, in memory and in the store.

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::{ApiError, ErrorCode, TableSchema};

use super::store::Space;

/// All tables.
#[derive(Debug, Default)]
pub struct Catalog {
    tables: arc_swap::ArcSwap<HashMap<String, Arc<Table>>>,
}

/// One table as it is now; another value replaces it when the table is changed.
#[derive(Debug)]
pub struct Table {
    /// Key and indexes.
    pub schema: Arc<TableSchema>,
    /// Where the items are.
    pub items: Space,
    /// Where each index of the schema has its entries, in the schema's order.
    pub index_spaces: Vec<Space>,
}

impl Catalog {
    /// The table of that name or ARN.
    ///
    /// # Errors
    /// `ResourceNotFoundException`, as item operations word it.
    pub fn table(&self, name: &str) -> Result<Arc<Table>, ApiError> {
        self.tables
            .load()
            .get(name)
            .cloned()
            .ok_or_else(|| ApiError::new(ErrorCode::ResourceNotFound, "Requested resource not found"))
    }
}
