//! BatchExecuteStatement: statements that succeed or fail each for itself.

use std::sync::Arc;

use crate::model::arn::table_name;
use crate::model::capacity::{Charge, Consumed, UnitKind, Units};
use crate::model::partiql::{Select, Statement, exists_misplaced};
use crate::model::schema::TableSchema;
use crate::model::{ApiError, ErrorCode, Item};
use crate::wire::attribute::write_item;
use crate::wire::keys::{self, KeySource};
use crate::wire::{Json, json};

use crate::local::answer::ObjectWriter;
use crate::local::capacity::{CapacityReport, Consistency, write_consumed};
use crate::local::catalog::Table;
use crate::local::rows::{self, Row};
use crate::local::set_order::{hashed, hashed_text};
use crate::local::store::{Snapshot, Writes};
use crate::local::write::OnFailure;
use crate::local::{Charged, Local, LocalError, Reply};
use crate::wire::json::write_array;

use super::parameters::parameters;
use super::plan;
use super::read;
use super::statement_text;
use super::write::{StatementWrite, split};

/// A `SELECT` that does not name one item.
const KEY_DEMANDED: &str =
    "Select statements within BatchExecuteStatement must specify the primary key in the where clause.";

/// One statement of a batch.
struct Member {
    statement: Result<Statement, ApiError>,
    consistency: Consistency,
    on_failure: OnFailure,
}

/// What became of one.
#[derive(Default)]
struct Outcome {
    error: Option<ApiError>,
    table: Option<String>,
    item: Option<Vec<u8>>,
    consumed: Option<Consumed>,
    /// What it cost a write that its condition did not hold.
    failed: Option<Units>,
}

impl Local {
    /// Runs statements, reads or writes, each for itself.
    pub(crate) async fn batch_execute_statement(&self, body: &Json<'_>) -> Charged {
        let members: Vec<Member> = body
            .get("Statements")
            .and_then(Json::elements)
            .unwrap_or_default()
            .iter()
            .map(Member::read)
            .collect();
        let statements = || members.iter().filter_map(|member| member.statement.as_ref().ok());
        if statements().any(Statement::is_read) && statements().any(|statement| !statement.is_read()) {
            return Err(ApiError::validation(
                "Read and write requests together in the same batch is not supported.",
            )
            .into());
        }
        let tables: Vec<_> = statements().map(|statement| self.catalog.find(statement.table())).collect();
        refuse_duplicates(statements().zip(&tables).filter_map(|(statement, table)| {
            let schema = &table.as_ref()?.schema;
            Some((schema.name.clone(), item_of(statement, schema)?))
        }))?;
        let is_read = statements().any(Statement::is_read);
        let outcomes = match is_read {
            true => {
                let snapshot = self.snapshot()?;
                members.iter().map(|member| self.read_member(member, &snapshot)).collect::<Result<_, _>>()?
            }
            false => self.write_members(members).await?,
        };
        let kind = if is_read { UnitKind::Read } else { UnitKind::Write };
        let charges = charged_by_table(&outcomes).into_iter();
        let charges =
            charges.map(|(table, consumed)| Charge::exact(table_name(table), kind, consumed)).collect();
        Ok(Reply::new(answer(body, &outcomes), charges))
    }

    fn read_member(&self, member: &Member, snapshot: &Snapshot) -> Result<Outcome, LocalError> {
        let select = match &member.statement {
            Ok(Statement::Select(select)) => select,
            Ok(_) => return Ok(Outcome::of_error(exists_misplaced())),
            Err(error) => return Ok(Outcome::of_error(error.clone())),
        };
        match self.read_item(select, member.consistency, snapshot) {
            Ok(outcome) => Ok(outcome),
            Err(LocalError::Api(error)) => Ok(Outcome {
                // One that was refused for what it says did not run on any table.
                table: (error.message.as_deref() != Some(KEY_DEMANDED)).then(|| select.table.clone()),
                ..Outcome::of_error(error)
            }),
            Err(broken @ (LocalError::Charged(..) | LocalError::Store(_))) => Err(broken),
        }
    }

    fn read_item(
        &self,
        select: &Select,
        consistency: Consistency,
        snapshot: &Snapshot,
    ) -> Result<Outcome, LocalError> {
        let table = self.catalog.table(&select.table)?;
        read::check_index(&table, select, consistency)?;
        let columns = select.columns.clone();
        let key_schema = &table.schema.key;
        plan::check_branches(select.filter.as_ref(), key_schema)?;
        let item = plan::named_item(select.filter.as_ref(), key_schema).filter(|_| select.index.is_none());
        let item = item.ok_or_else(|| ApiError::validation(KEY_DEMANDED))?;
        item.iter().try_for_each(|(name, value)| plan::check_type(name, value, key_schema))?;
        let key = keys::key_from(key_schema, &item, KeySource::KeyMember)?;

        let row = snapshot.get(table.items, &rows::item_key(&key))?.map(Row::new).transpose()?;
        let mut consumed = Consumed::default();
        consumed.add_table(consistency.read(row.as_ref().map_or(0, Row::size_bytes)));
        let item = row.map(|row| row.item()).transpose()?.map(|item| {
            let mut out = Vec::new();
            write_item(&columns.of(item), &mut out);
            hashed(&out)
        });
        let table = Some(select.table.clone());
        Ok(Outcome { table, item, consumed: Some(consumed), ..Outcome::default() })
    }

    /// All in one job, so that they share a commit; each is judged against what those before it have left.
    async fn write_members(&self, members: Vec<Member>) -> Result<Vec<Outcome>, LocalError> {
        let catalog = Arc::clone(&self.catalog);
        self.write_judged(move |writes| {
            let write = |member: Member| match member.statement {
                Err(error) => Ok(Outcome::of_error(error)),
                Ok(Statement::Select(_) | Statement::Exists(_)) => Ok(Outcome::of_error(exists_misplaced())),
                Ok(statement) => {
                    let name = statement.table().to_owned();
                    match catalog.table(&name) {
                        Err(error) => Ok(Outcome { table: Some(name), ..Outcome::of_error(error) }),
                        Ok(table) => match StatementWrite::of(statement, &table, member.on_failure) {
                            Err(error) => Ok(Outcome::of_error(error)),
                            Ok(statement) => run(statement, name, &table, writes),
                        },
                    }
                }
            };
            members.into_iter().map(write).collect()
        })
        .await
    }
}

fn run(
    statement: StatementWrite,
    name: String,
    table: &Arc<Table>,
    writes: &mut dyn Writes,
) -> Result<Outcome, LocalError> {
    match statement.run(table, writes) {
        Ok((mut done, answers)) => {
            let item = answers.item(&mut done)?;
            let consumed = Some(done.consumed());
            Ok(Outcome { table: Some(name), item, consumed, ..Outcome::default() })
        }
        Err(LocalError::Charged(error, charges)) => {
            let failed =
                charges.iter().map(|charge| charge.consumed.total()).reduce(|sum, units| sum + units);
            Ok(Outcome { table: Some(name), failed, ..Outcome::of_error(error) })
        }
        Err(LocalError::Api(error)) => Ok(Outcome { table: Some(name), ..Outcome::of_error(error) }),
        Err(broken @ LocalError::Store(_)) => Err(broken),
    }
}

impl Member {
    fn read(request: &Json<'_>) -> Self {
        let statement =
            parameters(request).and_then(|parameters| Statement::parse(statement_text(request), &parameters));
        Self {
            statement,
            consistency: Consistency::requested(request),
            on_failure: OnFailure::requested(request),
        }
    }
}

impl Outcome {
    fn of_error(error: ApiError) -> Self {
        Self { error: Some(error), ..Self::default() }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut answer = ObjectWriter::with_capacity(64);
        if let Some(error) = &self.error {
            let mut written = ObjectWriter::with_capacity(64);
            json::write_string(batch_code(error.code), written.member("Code"));
            json::write_string(error.message.as_deref().unwrap_or_default(), written.member("Message"));
            written.append(error.members.as_deref().map(hashed_text).as_deref());
            answer.member("Error").extend_from_slice(&written.finish());
        }
        if let Some(table) = &self.table {
            json::write_string(table, answer.member("TableName"));
        }
        if let Some(item) = &self.item {
            answer.member("Item").extend_from_slice(item);
        }
        out.extend_from_slice(&answer.finish());
    }
}

/// The item that a statement names, if it names one.
fn item_of(statement: &Statement, schema: &TableSchema) -> Option<Item> {
    match statement {
        Statement::Select(select) if select.index.is_none() => {
            plan::named_item(select.filter.as_ref(), &schema.key)
        }
        Statement::Select(_) | Statement::Exists(_) => None,
        Statement::Insert(insert) => {
            let key = schema
                .key
                .attributes()
                .map(|attribute| Some((attribute.name.clone(), insert.item.get(&attribute.name)?.clone())));
            key.collect()
        }
        Statement::Update(update) => split(update.filter.as_ref(), &schema.key).ok().map(|(item, _)| item),
        Statement::Delete(delete) => split(delete.filter.as_ref(), &schema.key).ok().map(|(item, _)| item),
    }
}

fn refuse_duplicates(targets: impl Iterator<Item = (String, Item)>) -> Result<(), ApiError> {
    let mut seen: Vec<(String, Item)> = Vec::new();
    for target in targets {
        if seen.contains(&target) {
            return Err(ApiError::validation("Provided list of item keys contains duplicates"));
        }
        seen.push(target);
    }
    Ok(())
}

fn answer(body: &Json<'_>, outcomes: &[Outcome]) -> Vec<u8> {
    let mut answer = ObjectWriter::with_capacity(256);
    write_array(outcomes, answer.member("Responses"), Outcome::write);
    let report = CapacityReport::requested(body);
    let consumed = by_table(outcomes);
    if report.is_wanted() && !consumed.is_empty() {
        write_array(&consumed, answer.member("ConsumedCapacity"), |(table, consumed), out| {
            write_consumed(consumed, table, report, out);
        });
    }
    answer.finish()
}

/// What the statements that succeeded consumed of each table, in the order in which the tables were first met.
fn by_table(outcomes: &[Outcome]) -> Vec<(&str, Consumed)> {
    let mut tables: Vec<(&str, Consumed)> = Vec::new();
    for outcome in outcomes {
        let (Some(table), Some(consumed)) = (&outcome.table, &outcome.consumed) else { continue };
        match tables.iter_mut().find(|(known, _)| *known == table.as_str()) {
            Some((_, sum)) => sum.add(consumed.clone()),
            None => tables.push((table, consumed.clone())),
        }
    }
    // Failures show in a table's sum, and only where something else succeeded.
    for outcome in outcomes {
        let (Some(table), Some(units)) = (&outcome.table, outcome.failed) else { continue };
        if let Some((_, sum)) = tables.iter_mut().find(|(known, _)| *known == table.as_str()) {
            sum.add_failure(units);
        }
    }
    tables
}

/// What all statements are charged for each table: failures count wherever they are.
fn charged_by_table(outcomes: &[Outcome]) -> Vec<(&str, Consumed)> {
    let mut tables = by_table(outcomes);
    for outcome in outcomes {
        let (Some(table), Some(units)) = (&outcome.table, outcome.failed) else { continue };
        // Where something succeeded it is in the sum already.
        if !outcomes.iter().any(|other| other.consumed.is_some() && other.table.as_ref() == Some(table)) {
            let mut failed = Consumed::default();
            failed.add_failure(units);
            match tables.iter_mut().find(|(known, _)| *known == table.as_str()) {
                Some((_, sum)) => sum.add(failed),
                None => tables.push((table, failed)),
            }
        }
    }
    tables
}

/// The names that errors have within a batch.
fn batch_code(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::Validation | ErrorCode::Serialization => "ValidationError",
        ErrorCode::ConditionalCheckFailed => "ConditionalCheckFailed",
        ErrorCode::DuplicateItem => "DuplicateItem",
        ErrorCode::ResourceNotFound => "ResourceNotFound",
        ErrorCode::ItemCollectionSizeLimitExceeded => "ItemCollectionSizeLimitExceeded",
        ErrorCode::ProvisionedThroughputExceeded => "ProvisionedThroughputExceeded",
        ErrorCode::TransactionConflict => "TransactionConflict",
        ErrorCode::Throttling => "ThrottlingError",
        ErrorCode::AccessDenied => "AccessDenied",
        _ => "InternalServerError",
    }
}
