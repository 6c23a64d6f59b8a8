//! What must be remembered of a request to answer it in the protocol's form.

use std::sync::Arc;

use crate::model::expr::Path;
use crate::model::{Operation, TableSchema};

/// How the answer to a request is to be written.
#[derive(Clone, Debug)]
pub struct Shape {
    pub(super) form: Form,
    /// Whether the client has asked for the consumed capacity: clients of Go hand through what comes unasked.
    pub(super) shows_capacity: bool,
    /// Whether the client has asked for the metrics of item collections.
    pub(super) shows_metrics: bool,
}

/// The form of an answer by its operation.
#[derive(Clone, Debug)]
pub(super) enum Form {
    /// GetItem.
    Item(Part),
    /// PutItem, UpdateItem, DeleteItem; with the attributes that the client asks for.
    Written(Operation, Arc<TableSchema>, Option<Attributes>),
    /// Query, Scan.
    Page { operation: Operation, part: Part, of_index: bool, rows: Rows },
    /// BatchGetItem: each table under the name that the client used.
    Batch(Vec<(Box<str>, Part)>),
    /// BatchWriteItem: likewise.
    WrittenBatch(Vec<(Box<str>, Arc<TableSchema>)>),
    /// TransactGetItems, in the request's order.
    Transaction(Vec<Part>),
    /// TransactWriteItems, in the request's order.
    WrittenTransaction(Vec<Arc<TableSchema>>),
}

/// The form of an answer that shows whole items, and nothing that differs from request to request.
#[derive(Clone, Debug)]
pub struct PlainForm {
    /// By which keys are told from other attributes.
    schema: Arc<TableSchema>,
    /// Of a page: whether it is one of an index, and what it shows.
    page: Option<(bool, Rows)>,
}

impl PlainForm {
    /// That of a GetItem of the whole item.
    pub fn of_item(schema: &Arc<TableSchema>) -> Self {
        Self { schema: Arc::clone(schema), page: None }
    }
}

impl PartialEq for PlainForm {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.schema, &other.schema) && self.page == other.page
    }
}

/// Which part of an item is shown.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) schema: Arc<TableSchema>,
    /// The paths in the order in which the client sent them; `None` for whole items.
    pub(super) projection: Option<Arc<[Path]>>,
}

/// The form of the attributes that a write returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attributes {
    /// The whole item, without its key.
    Whole,
    /// The attributes that an update has touched.
    Touched,
}

/// Whether a page shows what it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    Shown,
    /// `Select` is `COUNT`.
    Counted,
}

impl Shape {
    /// The plain form of a page, if it has one.
    pub fn plain_page(&self) -> Option<PlainForm> {
        match &self.form {
            Form::Page { part: Part { schema, projection: None }, of_index, rows, .. }
                if !self.shows_capacity =>
            {
                Some(PlainForm { schema: Arc::clone(schema), page: Some((*of_index, *rows)) })
            }
            _ => None,
        }
    }

    /// The operation that is answered.
    pub fn operation(&self) -> Operation {
        match &self.form {
            Form::Item(_) => Operation::GetItem,
            Form::Written(operation, ..) | Form::Page { operation, .. } => *operation,
            Form::Batch(_) => Operation::BatchGetItem,
            Form::WrittenBatch(_) => Operation::BatchWriteItem,
            Form::Transaction(_) => Operation::TransactGetItems,
            Form::WrittenTransaction(_) => Operation::TransactWriteItems,
        }
    }
}
