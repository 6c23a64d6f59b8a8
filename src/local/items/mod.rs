//! GetItem, PutItem, UpdateItem and DeleteItem: from a request's body to its answer's.
//!
//! What a request alone decides is checked and parsed before the job, in the service's order, so that the single writer
//! only does what needs the table and the item.

mod returned;

use std::sync::Arc;

use crate::call::ItemNow;
use crate::model::capacity::{Charge, Consumed, UnitKind};
use crate::model::{ApiError, Cause, Operation, TableSchema};
use crate::wire::attribute::{Reader, read_item};
use crate::wire::expressions::{refuse_mixture, refuse_mixture_in_write};
use crate::wire::keys::{self, KeySource};
use crate::wire::{Json, shape};

use super::answer::ObjectWriter;
use super::capacity::{CapacityReport, Consistency, write_consumed};
use super::change::{parse_condition, parse_update};
use super::collections::{has_collections, wants_collection_metrics, write_collection_metrics};
use super::image::NewItem;
use super::members::{required, table_name};
use super::rows::{self, Row};
use super::selection::Selection;
use super::write::{Action, ItemWrite, OnFailure};
use super::{Charged, Local, Reply};
use returned::Returned;

impl Local {
    /// Reads one item.
    pub(crate) fn get_item(&self, body: &Json<'_>) -> Charged {
        let (attributes, selection) = shape::judge(Operation::GetItem, body, |reader| {
            refuse_mixture(body, &["ProjectionExpression"], &["AttributesToGet"])?;
            Ok((read_item(required(body, "Key")?, reader)?, Selection::parse(body)?))
        })?;
        let table_name = table_name(body)?;
        let table = self.catalog.table(table_name)?;
        let key = keys::key_from(&table.schema.key, &attributes, KeySource::KeyMember)?;
        selection.check_against(&table)?;

        let row = self.snapshot()?.get(table.items, &rows::item_key(&key))?.map(Row::new).transpose()?;
        let mut answer =
            ObjectWriter::with_capacity(row.as_ref().map_or(0, |row| row.json_text().len()) + 128);
        if let Some(row) = &row {
            selection.write(row, answer.member("Item"))?;
        }
        let bytes = row.as_ref().map_or(0, Row::size_bytes);
        let consumed = Consumed::of_table(Consistency::requested(body).read(bytes));
        let report = CapacityReport::requested(body);
        if report.is_wanted() {
            write_consumed(&consumed, table_name, report, answer.member("ConsumedCapacity"));
        }
        let charges = vec![Charge::exact(&table.schema.name, UnitKind::Read, consumed)];
        let whole = row.as_ref().filter(|_| matches!(selection, Selection::Whole));
        let item = whole.map(|row| Box::new(row.clone().into_stored()));
        Ok(Reply { item, ..Reply::new(answer.finish(), charges) })
    }

    /// Reads one item whose key is there in canonical bytes of that schema. `None` if a request has to be answered, for there is
    /// something to be said but the item.
    pub(super) fn read_item_now(&self, schema: &TableSchema, key: &[u8]) -> Option<ItemNow> {
        let table = self.table_as_known(schema)?;
        let store_key = rows::item_key_of_bytes(&schema.key, key)?;
        let Some(row) = self.snapshot().ok()?.get(table.items, &store_key).ok()? else {
            return Some(ItemNow::Missing);
        };
        let row = Row::new(row).ok()?;
        Some(ItemNow::Item(row.into_stored()))
    }

    /// Puts an item in the place of whatever has its key.
    pub(crate) async fn put_item(&self, body: &Json<'_>) -> Charged {
        let (write, returned) = shape::judge(Operation::PutItem, body, |reader| {
            let (item, returned) = detected(reader, || {
                refuse_mixture_in_write(
                    body,
                    &["ConditionExpression"],
                    &["Expected", "ConditionalOperator"],
                )?;
                Ok((read_item(required(body, "Item")?, reader)?, Returned::of_replaced(body)?))
            })?;
            let action = Action::Put { item: NewItem::within_limit(item)?, source: KeySource::Item };
            let condition = detected(reader, || parse_condition(body, reader))?;
            Ok((ItemWrite { action, condition, on_failure: OnFailure::requested(body) }, returned))
        })?;
        self.write_item(body, write, returned).await
    }

    /// Removes an item.
    pub(crate) async fn delete_item(&self, body: &Json<'_>) -> Charged {
        let judge = |reader| {
            let returned = Returned::of_replaced(body)?;
            refuse_mixture_in_write(body, &["ConditionExpression"], &["Expected", "ConditionalOperator"])?;
            let action = Action::Delete { key: read_item(required(body, "Key")?, reader)? };
            let condition = parse_condition(body, reader)?;
            Ok((ItemWrite { action, condition, on_failure: OnFailure::requested(body) }, returned))
        };
        let judge = |reader| detected(reader, || judge(reader));
        let (write, returned) = shape::judge(Operation::DeleteItem, body, judge)?;
        self.write_item(body, write, returned).await
    }

    /// Changes an item, or makes it.
    pub(crate) async fn update_item(&self, body: &Json<'_>) -> Charged {
        let judge = |reader| {
            let expressions = ["UpdateExpression", "ConditionExpression"];
            let legacy = ["AttributeUpdates", "Expected", "ConditionalOperator"];
            refuse_mixture_in_write(body, &expressions, &legacy)?;
            let key = read_item(required(body, "Key")?, reader)?;
            let (change, condition) = parse_update(body, reader)?;
            let returned = Returned::of_updated(body, change.as_ref());
            let action = Action::Update { key, change };
            Ok((ItemWrite { action, condition, on_failure: OnFailure::requested(body) }, returned))
        };
        let judge = |reader| detected(reader, || judge(reader));
        let (write, returned) = shape::judge(Operation::UpdateItem, body, judge)?;
        self.write_item(body, write, returned).await
    }

    async fn write_item(&self, body: &Json<'_>, write: ItemWrite, returned: Returned) -> Charged {
        let table_name = table_name(body)?;
        let (catalog, name) = (Arc::clone(&self.catalog), table_name.to_owned());
        let mut done = self
            .write_judged(move |writes| {
                let judged = write.judge(&catalog.table(&name)?, &*writes)?;
                judged.carry_out(Cause::Keyed, writes)?;
                Ok(judged)
            })
            .await?;
        let mut answer = ObjectWriter::with_capacity(256);
        returned.write(&mut done, &mut answer)?;
        let report = CapacityReport::requested(body);
        let consumed = done.consumed();
        if report.is_wanted() {
            write_consumed(&consumed, table_name, report, answer.member("ConsumedCapacity"));
        }
        if wants_collection_metrics(body) && has_collections(&done.table) {
            write_collection_metrics(&done, answer.member("ItemCollectionMetrics"));
        }
        let charges = vec![Charge::exact(&done.table.schema.name, UnitKind::Write, consumed)];
        let item = done.new.take().map(|new| Box::new(new.into_stored()));
        Ok(Reply { item, ..Reply::new(answer.finish(), charges) })
    }
}

/// Judges the part of a write that needs no table. The service's newer reader of writes of single items reports what is wrong
/// there in the envelope of broken constraints, since June 2026; the older one answers the bare words.
fn detected<T>(reader: Reader, judge: impl FnOnce() -> Result<T, ApiError>) -> Result<T, ApiError> {
    judge().map_err(|error| if reader == Reader::Newer { error.detected() } else { error })
}

#[cfg(test)]
mod tests;
