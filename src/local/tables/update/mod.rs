//! UpdateTable: what a request asks to change, whether it may, and the change.
//!
//! A request is judged in three steps, in the service's order: by itself ([`request`]), then (inside the job) against the table
//! ([`rules`]), then the table's next definition is made ([`plan`]). The answer shows most changes as in flight, with the values
//! of before.

mod plan;
mod request;
mod rules;

use std::ops::ControlFlow;

use crate::local::catalog::{Catalog, Table};
use crate::local::indexes::index_entry;
use crate::local::rows::{self, Row};
use crate::local::spaces::allocate_space;
use crate::local::store::{Direction, KeyRange, StoreError, Writes};
use crate::model::ApiError;

use super::Names;
use super::description::{Statuses, describe};
use plan::Plan;

pub(super) use request::Change;

/// How many rows a backfill reads before it writes their entries.
const BACKFILL_ROWS: usize = 1000;

impl Change {
    /// Judges the change against the table and makes it, all inside one job. Gives the description for the answer.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke; inside, the service's error when the change may not be made.
    pub(super) fn apply(
        self,
        catalog: &Catalog,
        writes: &mut dyn Writes,
        names: &Names,
        now: f64,
    ) -> Result<Result<Vec<u8>, ApiError>, StoreError> {
        let table = match catalog.table_to_change(&self.table_name) {
            Ok(table) => table,
            Err(error) => return Ok(Err(error)),
        };
        let mut plan = match Plan::make(self, &table.definition, now) {
            Ok(plan) => plan,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(position) = plan.created {
            let space = allocate_space(writes)?;
            plan.after.indexes[position].space = space;
        }
        if let Some(space) = plan.dropped {
            writes.clear(space)?;
        }
        let way = plan.way();
        let table = catalog.put(writes, plan.after)?;
        plan.shown.stream.clone_from(&table.definition.stream);
        if let Some(position) = plan.created {
            backfill(&table, position, writes)?;
        }
        let statuses = Statuses {
            table: plan.status,
            indexes: &plan.index_statuses,
            is_filling: false,
            encryption: plan.encryption_status,
        };
        let description = describe(&table, &plan.shown, statuses, &*writes, names)?;
        if let Some(way) = way {
            catalog.progress.begin(&table.schema.name, way);
        }
        Ok(Ok(description))
    }
}

/// Gives a new index the entries of all items that there are.
fn backfill(table: &Table, position: usize, writes: &mut dyn Writes) -> Result<(), StoreError> {
    let (index, space) = (&table.schema.indexes[position], table.index_spaces[position]);
    let mut range = KeyRange::all();
    let mut bytes = 0;
    loop {
        let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::with_capacity(BACKFILL_ROWS);
        writes.range(table.items, &range, Direction::Forward, &mut |key, row| {
            found.push((key.to_vec(), row.to_vec()));
            if found.len() < BACKFILL_ROWS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let is_last = found.len() < BACKFILL_ROWS;
        for (key, row) in found {
            let item = Row::new(row.into())?.item()?;
            if let Some((entry_key, entry)) = index_entry(&table.schema.key, index, &item) {
                bytes += i64::try_from(rows::size_bytes(&entry)).unwrap_or(0);
                writes.put(space, &entry_key, &entry)?;
            }
            // The next stretch begins behind this key: nothing lies between a key and itself with a zero byte.
            range.start = key;
            range.start.push(0);
        }
        if is_last {
            table.add_index_bytes(position, bytes);
            return Ok(());
        }
    }
}
