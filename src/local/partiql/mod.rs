//! PartiQL: ExecuteStatement, BatchExecuteStatement and ExecuteTransaction.
//!
//! A statement becomes what the other operations are made of: a read of pages, or one write of one item.
//! [`crate::model::partiql`] says what it means; here it meets a table.

mod batch;
mod parameters;
mod plan;
mod read;
mod token;
mod transaction;
mod write;

use std::sync::Arc;

use crate::model::capacity::{Charge, UnitKind};
use crate::model::partiql::{Statement, exists_misplaced, read_index};
use crate::model::{ApiError, AttributeValue, ErrorCode};
use crate::wire::Json;

use super::answer::ObjectWriter;
use super::capacity::{CapacityReport, Consistency, write_consumed};
use super::set_order::hashed_text;
use super::write::OnFailure;
use super::{Charged, Local, LocalError, Reply};

use parameters::parameters;
use read::PageWish;
use token::Position;
use write::StatementWrite;

impl Local {
    /// Runs one statement.
    pub(crate) async fn execute_statement(&self, body: &Json<'_>) -> Charged {
        let text = statement_text(body);
        // Parameters are looked at before the statement is.
        let parameters = parameters(body)?;
        // An index that no statement can read goes before a statement's faults.
        let told = |fault: ApiError| self.index_refusal(text).unwrap_or(fault);
        match Statement::parse(text, &parameters).map_err(told)? {
            Statement::Select(select) => {
                let wish = page_wish(body, text, &parameters).map_err(told)?;
                self.select(&select, wish).await
            }
            Statement::Exists(_) => Err(exists_misplaced().into()),
            // No token goes on with a write.
            _ if body.get("NextToken").and_then(Json::text).is_some() => Err(token::no_match().into()),
            statement => self.execute_write(body, statement).await,
        }
    }

    /// The refusal of the index that a statement would read, if it is one that none can read.
    fn index_refusal(&self, text: &str) -> Option<ApiError> {
        let (table, index) = read_index(text)?;
        let table = self.catalog.find(&table)?;
        let index = table.schema.indexes.iter().find(|known| known.name == index)?;
        read::check_key(index).err()
    }

    async fn execute_write(&self, body: &Json<'_>, statement: Statement) -> Charged {
        let table_name = statement.table().to_owned();
        let (catalog, name) = (Arc::clone(&self.catalog), table_name.clone());
        let on_failure = OnFailure::requested(body);
        let (mut done, answers) = self
            .write_judged(move |writes| {
                let table = catalog.table(&name)?;
                StatementWrite::of(statement, &table, on_failure)?.run(&table, writes)
            })
            .await
            .map_err(told_of_item)?;
        let mut answer = ObjectWriter::with_capacity(256);
        let out = answer.member("Items");
        out.push(b'[');
        out.extend_from_slice(&answers.item(&mut done)?.unwrap_or_default());
        out.push(b']');
        let report = CapacityReport::requested(body);
        if report.is_wanted() {
            write_consumed(&done.consumed(), &table_name, report, answer.member("ConsumedCapacity"));
        }
        let charges = vec![Charge::exact(&done.table.schema.name, UnitKind::Write, done.consumed())];
        Ok(Reply::new(answer.finish(), charges))
    }
}

/// Words an error that brings the item with it as statements do.
fn told_of_item(error: LocalError) -> LocalError {
    match error {
        LocalError::Charged(
            ApiError { code: ErrorCode::ConditionalCheckFailed, message, members: Some(item) },
            charges,
        ) => {
            let members = Some(hashed_text(&item));
            let code = ErrorCode::StatementConditionFailed;
            LocalError::Charged(ApiError { code, message, members }, charges)
        }
        error => error,
    }
}

fn statement_text<'b>(body: &'b Json<'_>) -> &'b str {
    body.get("Statement").and_then(Json::text).unwrap_or_default()
}

fn page_wish(body: &Json<'_>, text: &str, parameters: &[AttributeValue]) -> Result<PageWish, ApiError> {
    let given = body.get("Parameters").and_then(Json::elements).unwrap_or_default();
    let digest = token::digest(text, parameters, given);
    let start = match body.get("NextToken").and_then(Json::text) {
        Some(token) if !token::can_go_on(parameters) => {
            Position::from_token(token, &digest)?;
            return Err(token::no_match());
        }
        Some(token) => Position::from_token(token, &digest)?,
        None => Position::default(),
    };
    let limit = body.get("Limit").and_then(Json::integer);
    Ok(PageWish {
        limit: limit.and_then(|limit| usize::try_from(limit).ok()),
        consistency: Consistency::requested(body),
        report: CapacityReport::requested(body),
        start,
        digest,
    })
}

#[cfg(test)]
mod tests;
