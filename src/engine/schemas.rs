//! The schemas of tables for those who must know keys to read a request at all.

use std::sync::Arc;

use super::Engine;
use crate::call::{Answer, Request};
use crate::model::{ApiError, ErrorCode, Operation, TableSchema};
use crate::rights::{Asked, Place, Rights};
use crate::upstream::schemas::read_description_schema;
use crate::wire::json::write_string;

impl Engine {
    /// The schema of a table as it is known, if it is. It may be about to be described again.
    pub fn table_schema_at_once(&self, spelling: &str) -> Option<Arc<TableSchema>> {
        self.tables.with(spelling, |table| (!table.is_retired()).then(|| Arc::clone(&table.schema)))
    }

    /// The schema of a table, by its name or ARN: as it is known, else as the upstream describes it.
    ///
    /// # Errors
    /// The upstream's answer to DescribeTable: that there is no such table, most often.
    pub async fn table_schema(self: &Arc<Self>, spelling: &str) -> Result<Arc<TableSchema>, Box<Answer>> {
        if let Some(known) = self.learn(spelling).await
            && !known.is_retired()
        {
            return Ok(Arc::clone(&known.schema));
        }
        // One that is not known is still being made, or is not there, or may not be described. The upstream says which.
        let served = Box::pin(self.execute(describe_table(spelling))).await;
        schema_of_description(served.answer)
    }

    /// The same for a caller with these rights, who hears nothing of a table with which it has no business.
    ///
    /// # Errors
    /// As [`Self::table_schema`], and `AccessDeniedException` for a caller that may do nothing with the table's items and may not
    /// have it described either.
    pub async fn table_schema_as(
        self: &Arc<Self>,
        rights: &Rights,
        place: Place<'_>,
        spelling: &str,
    ) -> Result<Arc<TableSchema>, Box<Answer>> {
        let described = self.table_schema(spelling).await;
        let indexes = described.iter().flat_map(|schema| &schema.indexes).map(|index| &*index.name);
        if rights.reach(&place, spelling, indexes) {
            return described;
        }
        let Request { operation, body, .. } = describe_table(spelling);
        let asked = Asked { operation, unknown_target: None, body: &body, place };
        match rights.judge(&asked, &**self) {
            Ok(()) => described,
            Err(denial) => Err(Box::new(ApiError::from(&*denial).into())),
        }
    }
}

/// The request for a table's description, by its name or ARN.
pub fn describe_table(spelling: &str) -> Request {
    let mut body = b"{\"TableName\":".to_vec();
    write_string(spelling, &mut body);
    body.push(b'}');
    Request::new(Operation::DescribeTable, body)
}

/// The schema in the answer to that.
///
/// # Errors
/// The answer, if it is none, or no description that can be read.
pub fn schema_of_description(answer: Answer) -> Result<Arc<TableSchema>, Box<Answer>> {
    if !answer.is_success() {
        return Err(Box::new(answer));
    }
    match read_description_schema(&answer.body) {
        Some(schema) => Ok(Arc::new(schema)),
        None => {
            let words = "The upstream's description of the table cannot be read";
            Err(Box::new(ApiError::new(ErrorCode::InternalServerError, words).into()))
        }
    }
}
