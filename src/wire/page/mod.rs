//! Query and Scan: which page a request asks for.
//!
//! A request is read in the service's order and refused in its words, in two steps: [`PageQuestion`] is what the request alone
//! says, [`PageQuestion::resolve`] holds that against a table's schema and gives a [`PageRequest`], in which nothing is left
//! of how the request was written. Whoever answers pages and whoever remembers them read requests here, and so understand the
//! same.

mod question;
mod source;

mod answer;
mod fingerprint;

#[cfg(test)]
pub(crate) mod tests;

pub use answer::{PageAnswer, is_same_page};
pub use question::{PageKind, PageQuestion};

use crate::model::expr::{Condition, KeyInterval, Paths};
use crate::model::key::Direction;
use crate::model::placement::Segment;
use crate::model::schema::{KeySchema, TableSchema};
use crate::model::{ApiError, IndexSchema, Item, Key, Operation};
use crate::wire::request::ReturnConsumedCapacity;
use crate::wire::{Json, shape};

/// What a Query or a Scan asks for, as far as request and schema tell.
#[derive(Clone, Debug, PartialEq)]
pub struct PageRequest {
    /// The position among the schema's indexes of the one that is read; `None` reads the table itself.
    pub index: Option<usize>,
    /// What is read of it.
    pub range: PageRange,
    /// Which of the rows that were read are given.
    pub filter: Option<Condition>,
    /// What is given of each.
    pub output: Output,
    /// Where the attributes of the rows come from.
    pub rows: RowSource,
    /// The most rows that are looked at, at least 1.
    pub limit: Option<usize>,
    /// Which way the range is read; a Scan goes forward.
    pub direction: Direction,
    /// Behind which row the page begins.
    pub start: Option<StartKey>,
    /// True for a strongly consistent read.
    pub consistent: bool,
    /// What the client wants to hear of consumed capacity.
    pub consumed: ReturnConsumedCapacity,
}

/// What a page is a part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PageRange {
    /// Query: a stretch of one partition.
    Query(KeyInterval),
    /// Scan: everything, or one segment of it.
    Scan(Option<Segment>),
}

/// What a page gives of each row that passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Nothing but the count.
    Count,
    /// The whole row.
    Rows,
    /// What lies at these paths.
    Paths(Paths),
}

/// Where the attributes of rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowSource {
    /// From what is read.
    Itself,
    /// From the table's items, which a local index lacks in part.
    Table,
}

/// The row behind which a page begins: `ExclusiveStartKey`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartKey {
    /// The item's key in the table.
    pub table: Key,
    /// Its key in the index that is read, if one is.
    pub index: Option<Key>,
}

impl StartKey {
    /// The key in what is read.
    fn source(&self) -> &Key {
        self.index.as_ref().unwrap_or(&self.table)
    }
}

/// Why a request is not understood whole.
#[derive(Debug, thiserror::Error)]
pub enum NotUnderstood {
    /// The service refuses it too.
    #[error(transparent)]
    Refused(#[from] ApiError),
    /// It has a member that we do not know, and that may mean anything.
    #[error("an unknown member")]
    UnknownMember,
}

impl PageRequest {
    /// Reads a whole request of a table with that schema, from the shape of its body on.
    ///
    /// # Errors
    /// [`NotUnderstood`]; nobody may conclude anything about the page then.
    pub fn read(kind: PageKind, body: &Json<'_>, schema: &TableSchema) -> Result<Self, NotUnderstood> {
        let operation = kind.operation();
        shape::check(operation, body)?;
        if !shape::knows_members(operation, body) {
            return Err(NotUnderstood::UnknownMember);
        }
        Ok(PageQuestion::read(kind, body)?.resolve(schema)?)
    }

    /// The part of a page's last row that a following request starts behind: `LastEvaluatedKey`.
    pub fn last_key(&self, schema: &TableSchema, row: Item) -> Item {
        let index = self.index.and_then(|position| schema.indexes.get(position));
        row.into_iter().filter(|(name, _)| is_start_name(schema, index, name)).collect()
    }
}

/// True for the attributes of a starting key: those of the table's key, and of the index's.
fn is_start_name(schema: &TableSchema, index: Option<&IndexSchema>, name: &str) -> bool {
    schema.key.contains(name) || index.is_some_and(|index| index.key.contains(name))
}

impl PageKind {
    /// The operation.
    pub fn operation(self) -> Operation {
        match self {
            Self::Query => Operation::Query,
            Self::Scan => Operation::Scan,
        }
    }

    /// The kind of an operation that reads pages.
    pub fn of(operation: Operation) -> Option<Self> {
        match operation {
            Operation::Query => Some(Self::Query),
            Operation::Scan => Some(Self::Scan),
            _ => None,
        }
    }
}

/// The key that decides the order of what is read.
fn source_key<'s>(schema: &'s TableSchema, index: Option<&'s IndexSchema>) -> &'s KeySchema {
    index.map_or(&schema.key, |index| &index.key)
}
