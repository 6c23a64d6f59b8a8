//! TransactGetItems: many items of one state.

use crate::local::answer::ObjectWriter;
use crate::local::capacity::CapacityReport;
use crate::local::members::{required, table_name};
use crate::local::rows::{self, Row};
use crate::local::selection::Selection;
use crate::local::set_order::write_hashed;
use crate::local::{Charged, Local, LocalError, Reply};
use crate::model::capacity::{Charge, Consumed, UnitKind, Units};
use crate::model::{ApiError, Item};
use crate::wire::Json;
use crate::wire::attribute::item_from_json;
use crate::wire::expressions::refuse_mixture;
use crate::wire::json::write_array;
use crate::wire::keys::{self, KeySource};

use super::{BYTES_MAX, ConsumedTables, EmptyKey, Target, cancelled, find_targets, too_large};

/// One item that a transaction reads, as far as the request alone can say it.
#[derive(Debug)]
pub(crate) struct ItemRead {
    /// The request's word for the table: its name or ARN.
    pub(crate) table_name: String,
    /// The `Key` member.
    pub(crate) key: Item,
    /// Which part of the item to give.
    pub(in crate::local) selection: Selection,
}

/// What a transaction has read.
#[derive(Debug)]
pub(crate) struct ItemsRead {
    /// What was asked for of each item, as JSON, in the order of the reads; `None` where there is no item.
    pub(crate) items: Vec<Option<Vec<u8>>>,
    consumed: ConsumedTables,
}

impl Local {
    /// Reads items that all belong to one state.
    pub(in crate::local) fn transact_get_items(&self, body: &Json<'_>) -> Charged {
        let parts = required(body, "TransactItems")?.elements().unwrap_or_default();
        let reads = parts.iter().map(parse_read).collect::<Result<Vec<ItemRead>, ApiError>>()?;
        let done = self.transact_read(&reads)?;
        let mut answer = ObjectWriter::with_capacity(1024);
        done.write_members(body, &mut answer);
        Ok(Reply::new(answer.finish(), done.into_charges()))
    }

    /// Reads items whose projections were read already, from one snapshot.
    ///
    /// # Errors
    /// `ResourceNotFoundException`; `ValidationException` for an item that two reads name, or items of more than 4 MB together;
    /// `TransactionCanceledException` with a reason for each read.
    pub(crate) fn transact_read(&self, reads: &[ItemRead]) -> Result<ItemsRead, LocalError> {
        let targets = find_targets(
            reads,
            &self.catalog,
            EmptyKey::Cancels,
            |read| &read.table_name,
            |read, table| keys::key_from(&table.schema.key, &read.key, KeySource::KeyMember),
        )?;
        let store_keys = judge(reads, &targets)?;
        let snapshot = self.snapshot()?;
        let mut consumed = ConsumedTables::default();
        let mut bytes = 0;
        let mut items = Vec::with_capacity(reads.len());
        for ((read, target), store_key) in reads.iter().zip(&targets).zip(&store_keys) {
            let row = snapshot.get(target.table.items, store_key)?.map(Row::new).transpose()?;
            let row_bytes = row.as_ref().map_or(0, Row::size_bytes);
            bytes += row_bytes;
            if bytes > BYTES_MAX {
                return Err(too_large(bytes).into());
            }
            let mut units = Consumed::default();
            units.add_table(Units::strong_read(row_bytes));
            consumed.add(&target.table, &read.table_name, units);
            let item = row.map(|row| {
                let mut item = Vec::with_capacity(row_bytes);
                read.selection.write(&row, &mut item).map(|()| item)
            });
            items.push(item.transpose()?);
        }
        Ok(ItemsRead { items, consumed })
    }
}

impl ItemsRead {
    /// What was consumed of each table.
    pub(crate) fn into_charges(self) -> Vec<Charge> {
        self.consumed.charges(UnitKind::Read)
    }

    /// Adds the responses, and the consumed capacity if `body` asks for it, to the answer.
    pub(crate) fn write_members(&self, body: &Json<'_>, answer: &mut ObjectWriter) {
        write_array(&self.items, answer.member("Responses"), |item, out| {
            let mut response = ObjectWriter::with_capacity(64);
            // A part of the item in which nothing is left is not told, like an item that is not there.
            if let Some(item) = item.as_ref().filter(|item| *item != b"{}") {
                write_hashed(item, response.member("Item"));
            }
            out.extend_from_slice(&response.finish());
        });
        let report = CapacityReport::requested(body);
        if report.is_wanted() {
            self.consumed.write_json(report, UnitKind::Read, answer.member("ConsumedCapacity"));
        }
    }
}

fn parse_read(part: &Json<'_>) -> Result<ItemRead, ApiError> {
    let get = required(part, "Get")?;
    refuse_mixture(get, &["ProjectionExpression"], &[])?;
    let key = item_from_json(required(get, "Key")?)?;
    let selection = Selection::of_expression(get)?;
    Ok(ItemRead { table_name: table_name(get)?.to_owned(), key, selection })
}

/// The store keys of all items.
///
/// # Errors
/// The cancellation, when a read does not fit its table.
fn judge(reads: &[ItemRead], targets: &[Target]) -> Result<Vec<Vec<u8>>, ApiError> {
    let mut store_keys = Vec::with_capacity(reads.len());
    let mut reasons = Vec::with_capacity(reads.len());
    for (read, target) in reads.iter().zip(targets) {
        let judged = match &target.key {
            Ok(key) => read.selection.check_against(&target.table).map(|()| rows::item_key(key)),
            Err(error) => Err(error.clone()),
        };
        match judged {
            Ok(store_key) => {
                store_keys.push(store_key);
                reasons.push(None);
            }
            Err(error) => reasons.push(Some(error)),
        }
    }
    if reasons.iter().any(Option::is_some) { Err(cancelled(&reasons)) } else { Ok(store_keys) }
}
