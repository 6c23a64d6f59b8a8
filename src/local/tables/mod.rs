//! Operations on tables themselves: create, delete, describe, list, update, tag.
//!
//! What takes the service minutes is done here before the answer leaves. The answer still tells the state on the way
//! (`CREATING`, `UPDATING`, `DELETING`), as clients expect; the next description tells the state that was reached, unless a
//! delay was asked for.

mod bookkeeping;
mod definition;
mod description;
mod limits;
mod policies;
mod tag_rules;
mod tags;
mod time_to_live;
mod unsupported;
mod update;
mod warmth;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::model::{ApiError, ErrorCode};
use crate::wire::Json;
use crate::wire::json::write_string;

use super::arn_regions::ArnRegions;
use super::catalog::unknown_table;
use super::members::text;
use super::progress::Way;
use super::spaces::allocate_space;
use super::table_record::{TableClass, WarmThroughput};
use super::{Handled, Local, LocalError, Settings};

use description::{Statuses, describe, describe_deleted};
use update::Change;

pub(in crate::local) use bookkeeping::empty_list;

/// The account in every ARN.
const ACCOUNT: &str = "000000000000";
/// The key with which the service encrypts for an account that names none.
const DEFAULT_KMS_KEY: &str = "4e6f6e65-7369-6465-8000-000000000000";
/// How many names ListTables gives when it is not told.
const LIST_LIMIT: usize = 100;

impl Local {
    /// CreateTable.
    pub(super) async fn create_table(&self, body: &Json<'_>) -> Handled {
        let names = Names::new(&self.settings);
        let mut definition = definition::read_table(body, &names, self.clock.now_seconds())?;
        let catalog = Arc::clone(&self.catalog);
        let name = definition.table_name.clone();
        let answer = self
            .write(move |writes| {
                if catalog.progress.deleted(&definition.table_name).is_some() {
                    return Ok(catalog.progress.refuse_change(&definition.table_name).map(|()| Vec::new()));
                }
                if catalog.find(&definition.table_name).is_some() {
                    let words = format!("Table already exists: {}", definition.table_name);
                    return Ok(Err(ApiError::new(ErrorCode::ResourceInUse, words)));
                }
                definition.items_space = allocate_space(writes)?;
                for index in &mut definition.indexes {
                    index.space = allocate_space(writes)?;
                }
                let table = catalog.put(writes, definition)?;
                let fresh: Vec<_> =
                    table.schema.indexes.iter().map(|index| (index.name.clone(), "CREATING")).collect();
                let statuses = Statuses { table: "CREATING", indexes: &fresh, ..Statuses::ACTIVE };
                let description = describe(&table, &table.definition, statuses, &*writes, &names)?;
                catalog.progress.begin(&table.schema.name, Way::Creating);
                Ok(Ok(member("TableDescription", &description)))
            })
            .await;
        self.undo_progress(&name, &answer);
        answer
    }

    /// Ends the state that a table was to be in after a write that failed: the table is as it was.
    fn undo_progress<T>(&self, table: &str, outcome: &Result<T, LocalError>) {
        if matches!(outcome, Err(LocalError::Store(_))) {
            self.catalog.progress.end(table);
        }
    }

    /// DeleteTable.
    pub(super) async fn delete_table(&self, body: &Json<'_>) -> Handled {
        let names = Names::new(&self.settings);
        let name = names.table_name(body).to_owned();
        let catalog = Arc::clone(&self.catalog);
        let table_name = name.clone();
        let answer = self.write(move |writes| {
            let table = match catalog.table_to_change(&name) {
                Ok(table) if table.definition.deletion_protection_enabled => {
                    return Ok(Err(ApiError::validation(
                        "Resource cannot be deleted as it is currently protected against deletion. Disable \
                         deletion protection first.",
                    )));
                }
                Ok(table) => table,
                Err(error) => return Ok(Err(error)),
            };
            let description = describe_deleted(&table, &*writes, &names)?;
            catalog.remove(writes, &table)?;
            catalog.progress.begin(&table.schema.name, Way::Deleting(description.as_slice().into()));
            Ok(Ok(member("TableDescription", &description)))
        })
        .await;
        self.undo_progress(&table_name, &answer);
        answer
    }

    /// UpdateTable.
    pub(super) async fn update_table(&self, body: &Json<'_>) -> Handled {
        let names = Names::new(&self.settings);
        let change = Change::read(body, &names)?;
        let (catalog, clock) = (Arc::clone(&self.catalog), self.clock.clone());
        let name = names.table_name(body).to_owned();
        let answer = self
            .write(move |writes| {
                let description = change.apply(&catalog, writes, &names, clock.now_seconds())?;
                Ok(description.map(|description| member("TableDescription", &description)))
            })
            .await;
        self.undo_progress(&name, &answer);
        answer
    }

    /// DescribeTable.
    pub(super) fn describe_table(&self, body: &Json<'_>) -> Handled {
        let names = Names::new(&self.settings);
        let name = names.table_name(body);
        if let Some(description) = self.catalog.progress.deleted(name) {
            return Ok(member("Table", &description));
        }
        let table = self.catalog.table_itself(name)?;
        let snapshot = self.snapshot()?;
        let told = self.catalog.progress.told(&table.schema.name);
        let mut shown = std::borrow::Cow::Borrowed(&table.definition);
        let mut indexes = Vec::new();
        if told.table == Some("CREATING") {
            indexes.extend(shown.indexes.iter().map(|index| (index.index_name.clone(), "CREATING")));
        }
        indexes.extend(told.creating.as_ref().map(|(index, _)| (index.clone(), "CREATING")));
        if let Some(index) = told.deleting {
            indexes.push((index.index_name.clone(), "DELETING"));
            shown.to_mut().indexes.push(index);
        }
        let statuses = Statuses {
            table: told.table.unwrap_or("ACTIVE"),
            indexes: &indexes,
            is_filling: told.creating.is_some_and(|(_, is_filling)| is_filling),
            encryption: "ENABLED",
        };
        let description = describe(&table, &shown, statuses, &*snapshot, &names)?;
        Ok(member("Table", &description))
    }

    /// ListTables.
    pub(super) fn list_tables(&self, body: &Json<'_>) -> Handled {
        let limit = body.get("Limit").and_then(Json::integer);
        let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(LIST_LIMIT);
        let start = body.get("ExclusiveStartTableName").and_then(Json::text).unwrap_or_default();
        let tables = self.catalog.tables();
        let deleted = self.catalog.progress.all_deleted();
        let all: BTreeSet<&String> = tables.keys().chain(&deleted).collect();
        let mut names = all.into_iter().filter(|name| name.as_str() > start);
        let page: Vec<&String> = names.by_ref().take(limit).collect();
        let mut out = b"{\"TableNames\":".to_vec();
        out.extend(serde_json::to_vec(&page).expect("names are always JSON"));
        if let (Some(_), Some(last)) = (names.next(), page.last()) {
            out.extend_from_slice(b",\"LastEvaluatedTableName\":");
            write_string(last, &mut out);
        }
        out.push(b'}');
        Ok(out)
    }
}

impl Local {
    /// DescribeLimits: what a fresh account may provision. Nothing here holds anybody to it.
    pub(super) fn describe_limits(&self) -> Handled {
        let limits = serde_json::json!({
            "AccountMaxReadCapacityUnits": 80_000,
            "AccountMaxWriteCapacityUnits": 80_000,
            "TableMaxReadCapacityUnits": 40_000,
            "TableMaxWriteCapacityUnits": 40_000,
        });
        Ok(serde_json::to_vec(&limits).expect("limits are always JSON"))
    }

    /// DescribeEndpoints: clients that ask for an endpoint are sent back to where they are, `asked` as they call it.
    pub(super) fn describe_endpoints(&self, asked: Option<&str>) -> Handled {
        let endpoints = serde_json::json!({
            "Endpoints": [{"Address": asked.unwrap_or(&self.settings.address), "CachePeriodInMinutes": 1440}],
        });
        Ok(serde_json::to_vec(&endpoints).expect("endpoints are always JSON"))
    }
}

/// What the backend calls things.
#[derive(Clone, Debug)]
pub(super) struct Names {
    region: String,
    arn_regions: ArnRegions,
}

impl Names {
    fn new(settings: &Settings) -> Self {
        Self { region: settings.region.clone(), arn_regions: settings.arn_regions.clone() }
    }

    /// The name of the table that a request is about.
    fn table_name<'a>(&self, body: &'a Json<'_>) -> &'a str {
        self.arn_regions.name_of(text(body, "TableName"))
    }

    fn table_arn(&self, table: &str) -> String {
        table_arn(&self.region, table)
    }

    /// The ARN of a key, given as one, as an id, or not at all.
    fn kms_key_arn(&self, key: Option<&str>) -> String {
        match key {
            Some(arn) if arn.starts_with("arn:") => arn.to_owned(),
            Some(alias) if alias.starts_with("alias/") => {
                format!("arn:aws:kms:{}:{ACCOUNT}:{alias}", self.region)
            }
            id => format!("arn:aws:kms:{}:{ACCOUNT}:key/{}", self.region, id.unwrap_or(DEFAULT_KMS_KEY)),
        }
    }

    /// A random UUID, of version 4.
    fn new_table_id() -> String {
        let bits = (fastrand::u128(..) & !(0xF << 76) & !(0x3 << 62)) | (0x4 << 76) | (0x2 << 62);
        let digits = format!("{bits:032x}");
        let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
        parts.join("-")
    }
}

/// The ARN of a table.
pub(super) fn table_arn(region: &str, table: &str) -> String {
    format!("arn:aws:dynamodb:{region}:{ACCOUNT}:table/{table}")
}

/// A parameter that is invalid by a rule over several members.
fn invalid(words: impl std::fmt::Display) -> ApiError {
    ApiError::validation(format!("One or more parameter values were invalid: {words}"))
}

/// An object with one member whose value is JSON text already.
fn member(name: &str, json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() + name.len() + 5);
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    out.extend_from_slice(json);
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests;
