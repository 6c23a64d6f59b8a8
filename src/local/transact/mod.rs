//! TransactWriteItems and TransactGetItems: all of a request, or nothing of it.
//!
//! A transaction that writes is one job, so it shares a commit with other jobs and is never half there, neither for a reader
//! nor after a crash. A transaction that reads has one snapshot, which holds whole commits. Since jobs run one after the
//! other, two transactions never meet on an item: nobody is told of a conflict here, and whoever comes second is judged by
//! what the first has left.
//!
//! What a request alone can say against itself makes it invalid as a whole. What only a table or an item can say cancels the
//! transaction, and each of its parts is given a reason.

pub(super) mod read;
pub(super) mod tokens;
pub(super) mod write;

use std::collections::HashSet;
use std::sync::Arc;

use crate::model::arn::table_name;
use crate::model::capacity::{Charge, Consumed, UnitKind};
use crate::model::{ApiError, ErrorCode, Key};
use crate::wire::json::write_string;
use crate::wire::keys::KeyRefusal;

use super::capacity::{CapacityReport, write_transaction_consumed};
use super::catalog::{Catalog, Table};
use super::rows;
use super::set_order::write_hashed;
use super::store::Space;
use crate::wire::json::write_array;

/// The most bytes of items in a transaction.
pub(super) const BYTES_MAX: usize = 4 << 20;

/// What one part of a transaction is about, once its table is known.
#[derive(Debug)]
struct Target {
    table: Arc<Table>,
    key: Result<Key, ApiError>,
}

/// What an empty string or binary as a key attribute does to a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EmptyKey {
    /// It makes the request invalid: TransactWriteItems.
    RefusesRequest,
    /// It cancels the transaction like a key that does not fit: TransactGetItems, and all statements.
    Cancels,
}

/// Finds the table and the key of every part: `table_name` says which table one names, and `key` its key there.
///
/// # Errors
/// The service's own for a table that is not there, an item that two parts name, or an empty key where it refuses the
/// request. A key that does not fit its table is no error yet.
fn find_targets<T>(
    parts: &[T],
    catalog: &Catalog,
    empty_key: EmptyKey,
    table_name: impl Fn(&T) -> &str,
    key: impl Fn(&T, &Table) -> Result<Key, KeyRefusal>,
) -> Result<Vec<Target>, ApiError> {
    let tables = parts.iter().map(|part| catalog.table(table_name(part)));
    let tables = tables.collect::<Result<Vec<Arc<Table>>, ApiError>>()?;
    let mut seen = HashSet::with_capacity(parts.len());
    let mut is_repeated = false;
    let mut targets = Vec::with_capacity(parts.len());
    for (part, table) in parts.iter().zip(tables) {
        let key = match key(part, &table) {
            Ok(key) => {
                is_repeated |= !seen.insert((table.items, rows::item_key(&key)));
                Ok(key)
            }
            Err(KeyRefusal::Empty(error)) if empty_key == EmptyKey::RefusesRequest => return Err(error),
            Err(KeyRefusal::Empty(error) | KeyRefusal::Unfit(error)) => Err(error),
        };
        targets.push(Target { table, key });
    }
    if is_repeated {
        return Err(ApiError::validation(
            "Transaction request cannot include multiple operations on one item",
        ));
    }
    Ok(targets)
}

/// The error of a transaction that is too large.
pub(super) fn too_large(bytes: usize) -> ApiError {
    ApiError::validation(format!("Transaction payload size cannot exceed 4MB. Payload Size: {bytes}"))
}

/// The error of a cancelled transaction; `reasons` has what stood against each of its parts, in order.
pub(super) fn cancelled(reasons: &[Option<ApiError>]) -> ApiError {
    let codes: Vec<&str> = reasons.iter().map(|reason| reason.as_ref().map_or("None", reason_code)).collect();
    let message = format!(
        "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
        codes.join(", ")
    );
    let mut members = b"\"CancellationReasons\":".to_vec();
    write_array(reasons.iter().zip(&codes), &mut members, |(reason, code), out| {
        out.extend_from_slice(format!("{{\"Code\":\"{code}\"").as_bytes());
        if let Some(reason) = reason {
            write_reason(reason, out);
        }
        out.push(b'}');
    });
    ApiError {
        code: ErrorCode::TransactionCanceled,
        message: Some(message.into()),
        members: Some(String::from_utf8(members).expect("every part was text")),
    }
}

fn reason_code(reason: &ApiError) -> &'static str {
    match reason.code {
        ErrorCode::ConditionalCheckFailed => "ConditionalCheckFailed",
        ErrorCode::ItemCollectionSizeLimitExceeded => "ItemCollectionSizeLimitExceeded",
        // Only statements hear of these as reasons.
        ErrorCode::DuplicateItem => "DuplicateItem",
        ErrorCode::ResourceNotFound => "ResourceNotFound",
        _ => "ValidationError",
    }
}

fn write_reason(reason: &ApiError, out: &mut Vec<u8>) {
    if let Some(message) = &reason.message {
        out.extend_from_slice(b",\"Message\":");
        write_string(message, out);
    }
    if let Some(members) = &reason.members {
        out.push(b',');
        write_hashed(members.as_bytes(), out);
    }
}

/// What a transaction consumed of each table, in the order in which it names them first.
#[derive(Debug, Default)]
struct ConsumedTables {
    tables: Vec<(Space, String, Consumed)>,
}

impl ConsumedTables {
    /// Counts what one part consumed outside of a transaction. `table_name` is the request's word for the table.
    fn add(&mut self, table: &Table, table_name: &str, consumed: Consumed) {
        let consumed = consumed.in_transaction();
        // A table may be named by its name and by its ARN; its space tells.
        match self.tables.iter_mut().find(|(space, ..)| *space == table.items) {
            Some((_, _, sum)) => sum.add(consumed),
            None => self.tables.push((table.items, table_name.to_owned(), consumed)),
        }
    }

    fn charges(self, kind: UnitKind) -> Vec<Charge> {
        let charges = self.tables.into_iter();
        charges.map(|(_, name, consumed)| Charge::exact(table_name(&name), kind, consumed)).collect()
    }

    fn write_json(&self, report: CapacityReport, kind: UnitKind, out: &mut Vec<u8>) {
        write_array(&self.tables, out, |(_, name, consumed), out| {
            write_transaction_consumed(consumed, name, report, kind, out);
        });
    }
}

#[cfg(test)]
mod tests;
