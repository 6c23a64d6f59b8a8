//! PartiQL as the service runs it: a statement's text and parameters to what is to be done.
//!
//! Text flows through `lexer` and `parser`, which know grammar only and give the tree of `syntax`. `bind` then gives that
//! tree its meaning with the parameters in place: the same conditions, updates and items that the other operations make.
//! What needs a table (which conditions are the key's, which attributes an index has) is left to who runs the statement;
//! [`Filter`] keeps a `WHERE` apart as far as that needs.
//!
//! The service's errors are recorded facts; those with a place (`at 1:8:5`) count lines and characters from 1.

mod decimal;
mod keywords;
mod lexer;
mod parser;
mod syntax;

mod bind;
mod filter;
mod literal;
mod paths;

use crate::model::expr::{KeyTest, Path, Update};
use crate::model::{ApiError, AttributeValue, Item, Key, KeySchema};

pub use decimal::{DecimalFault, check_decimal};
pub use filter::{Asks, AttributeTest, Filter, FilterTest};
pub use syntax::Returning;

use syntax::NodeKind;

/// A statement, with its parameters in place.
#[derive(Clone, Debug)]
pub enum Statement {
    /// `SELECT …`
    Select(Select),
    /// `EXISTS(SELECT …)`: a check within a transaction.
    Exists(Select),
    /// `INSERT …`
    Insert(Insert),
    /// `UPDATE …`
    Update(UpdateItem),
    /// `DELETE …`
    Delete(Delete),
}

/// A read.
#[derive(Clone, Debug)]
pub struct Select {
    /// The table's name or ARN, as written.
    pub table: String,
    /// The index's name, as written.
    pub index: Option<String>,
    /// What is read of each item.
    pub columns: Columns,
    /// Which items.
    pub filter: Option<Filter>,
    /// In which order; empty when that does not matter.
    pub order: Vec<Order>,
}

/// What a read gives of each item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Columns {
    /// `*`
    All,
    /// What lies at these paths, under names of their own.
    Named(Vec<Column>),
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The last name of its path, with the list indexes behind it: `k[0]`.
    pub name: String,
    /// Where it lies.
    pub path: Path,
}

/// One attribute of `ORDER BY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The attribute's name, or the words for what is none. The service looks at it only when it knows the table.
    pub attribute: Result<String, ApiError>,
    /// From the greatest to the least.
    pub is_descending: bool,
}

/// A new item.
#[derive(Clone, Debug)]
pub struct Insert {
    /// The table's name or ARN, as written.
    pub table: String,
    /// The item.
    pub item: Item,
}

/// A change of one item.
#[derive(Clone, Debug)]
pub struct UpdateItem {
    /// The table's name or ARN, as written.
    pub table: String,
    /// The change.
    pub update: Update,
    /// Which item, and what must hold of it. The service misses it only when it knows the table.
    pub filter: Option<Filter>,
    /// What it answers.
    pub returning: Option<Returning>,
}

/// A removal of one item.
#[derive(Clone, Debug)]
pub struct Delete {
    /// The table's name or ARN, as written.
    pub table: String,
    /// Which item, and what must hold of it. The service misses it only when it knows the table.
    pub filter: Option<Filter>,
    /// True when it answers the item.
    pub returns_old: bool,
}

/// What a statement can do to tables, by its text alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It only reads.
    None,
    /// It writes an item of the table of that name or ARN.
    Writes(String),
}

impl Statement {
    /// Reads a statement.
    ///
    /// # Errors
    /// A validation error in the service's words.
    pub fn parse(text: &str, parameters: &[AttributeValue]) -> Result<Self, ApiError> {
        bind::statement(parser::parse(text)?, parameters)
    }

    /// The name or ARN of its table, as written.
    pub fn table(&self) -> &str {
        match self {
            Self::Select(select) | Self::Exists(select) => &select.table,
            Self::Insert(insert) => &insert.table,
            Self::Update(update) => &update.table,
            Self::Delete(delete) => &delete.table,
        }
    }

    /// The key of the one item that it can write in a table of that schema; `None` for reads, and if it names no item or more
    /// than one.
    pub fn written_key(&self, schema: &KeySchema) -> Option<Key> {
        let filter = match self {
            Self::Select(_) | Self::Exists(_) => return None,
            Self::Insert(insert) => return schema.key_of(&insert.item).ok(),
            Self::Update(update) => update.filter.as_ref()?,
            Self::Delete(delete) => delete.filter.as_ref()?,
        };
        let mut key = Item::new();
        for test in filter.conjuncts().into_iter().filter_map(Filter::attribute) {
            let Asks::Key(KeyTest::Equal(value)) = &test.asks else { continue };
            if schema.contains(&test.name)
                && key.insert(test.name.clone(), value.clone()).is_some_and(|earlier| earlier != *value)
            {
                return None;
            }
        }
        schema.key_exactly(&key).ok()
    }

    /// True for what changes nothing and is asked on its own; a check belongs to the writes.
    pub fn is_read(&self) -> bool {
        matches!(self, Self::Select(_))
    }
}

impl Columns {
    /// The part of `item` that is read.
    pub fn of(&self, item: Item) -> Item {
        match self {
            Self::All => item,
            Self::Named(columns) => {
                let parts = columns
                    .iter()
                    .filter_map(|column| Some((column.name.clone(), column.path.value_in(&item)?.clone())));
                parts.collect()
            }
        }
    }

    /// The top-level attributes into which a column steps. A key attribute must not be among them.
    pub fn nested_roots(&self) -> impl Iterator<Item = &str> {
        self.paths().filter(|path| path.is_nested()).map(|path| path.root.as_str())
    }

    /// The columns' paths; none for all of an item.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let columns = match self {
            Self::All => &[],
            Self::Named(columns) => columns.as_slice(),
        };
        columns.iter().map(|column| &column.path)
    }
}

/// The words for `EXISTS` where it has no meaning, which the service has for other operations too.
pub fn exists_misplaced() -> ApiError {
    ApiError::validation("EXISTS can only be used in ExecuteTransaction write requests.")
}

/// The table and index that a `SELECT` reads, whatever is wrong with the rest of it; `None` for what reads no index.
pub fn read_index(text: &str) -> Option<(String, String)> {
    let (table, index) = read_source(text)?;
    Some((table, index?))
}

/// The table that a `SELECT` reads, and the index if it reads one, whatever is wrong with the rest of it; `None` for other
/// statements.
pub fn read_source(text: &str) -> Option<(String, Option<String>)> {
    match parser::parse(text).ok()?.node.kind {
        NodeKind::Select(select) => bind::source(&select.source).ok(),
        _ => None,
    }
}

impl Effect {
    /// What the statement can do; `None` for a text that is not wholly understood.
    pub fn of(text: &str) -> Option<Self> {
        match parser::parse(text).ok()?.node.kind {
            NodeKind::Select(_) => Some(Self::None),
            NodeKind::Change(change) if change.names_one_table() => {
                bind::table_name(&change.target.node).map(Self::Writes)
            }
            // A check reads; anything else is refused, but it is not for us to know that of every upstream.
            NodeKind::Call { function, arguments } if function == "exists" => match arguments.as_slice() {
                [argument] if matches!(argument.kind, NodeKind::Select(_)) => Some(Self::None),
                _ => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
