//! TransactGetItems and TransactWriteItems.

use crate::dax::cbor::{Malformed, Reader};
use crate::dax::expression::{Expressions, Language};
use crate::dax::object::Object;
use crate::dax::shape::Form;
use crate::dax::{item, key};
use crate::model::ApiError;

use super::{Known, LISTED_MAX, Options, check_size, malformed, nullable, table_name, write_expressions};

/// The reads of a transaction.
#[derive(Debug)]
pub(super) struct GetTransaction<'a>(Vec<Get<'a>>);

#[derive(Debug)]
struct Get<'a> {
    table: &'a str,
    key: &'a [u8],
    projection: Option<&'a [u8]>,
}

/// The writes of a transaction.
#[derive(Debug)]
pub(super) struct WriteTransaction<'a>(Vec<Action<'a>>);

#[derive(Debug)]
struct Action<'a> {
    kind: ActionKind,
    table: &'a str,
    key: &'a [u8],
    /// The rest of the item that is put.
    value: Option<&'a [u8]>,
    /// What a failed condition returns, by its number.
    on_failure: Option<i64>,
    condition: Option<&'a [u8]>,
    update: Option<&'a [u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ActionKind {
    Put,
    Update,
    Delete,
    ConditionCheck,
}

impl<'a> GetTransaction<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, ApiError> {
        let tables = read_list(reader, table_name)?;
        let keys = read_list(reader, bytes)?;
        let projections = read_list(reader, optional_bytes)?;
        let columns = Columns::new(tables.len());
        let (mut keys, mut projections) = (columns.needed(keys)?, columns.optional(projections)?);
        let gets = tables.into_iter().map(|table| Get {
            table,
            key: keys.next().unwrap_or_default(),
            projection: projections.next().flatten(),
        });
        Ok(Self(gets.collect()))
    }

    pub(super) fn tables(&self) -> Vec<&'a str> {
        self.0.iter().map(|get| get.table).collect()
    }

    pub(super) fn write(
        &self,
        options: &Options<'a>,
        known: &Known<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Form, ApiError> {
        let mut parts = Vec::with_capacity(self.0.len());
        write_transaction(options, known, out, &self.0, |get, action| {
            let mut expressions = Expressions::new();
            let part = known.part(get.table, get.projection, &mut expressions)?;
            let mut members = action.object("Get");
            members.text("TableName", get.table);
            key::write_json(&part.schema.key, get.key, members.member("Key"))?;
            write_expressions(&expressions, &mut members)?;
            members.end();
            parts.push(part);
            Ok(())
        })?;
        Ok(Form::Transaction(parts))
    }
}

impl<'a> WriteTransaction<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, ApiError> {
        let kinds = read_list(reader, ActionKind::read)?;
        let tables = read_list(reader, table_name)?;
        let keys = read_list(reader, bytes)?;
        let values = read_list(reader, optional_bytes)?;
        // What each action returns if it succeeds: nobody sends any.
        reader.null().map_err(malformed)?;
        let on_failures = read_list(reader, |reader| nullable(reader, Reader::int_64).map_err(malformed))?;
        let conditions = read_list(reader, optional_bytes)?;
        let updates = read_list(reader, optional_bytes)?;
        let columns = Columns::new(kinds.len());
        let (mut tables, mut keys) = (columns.needed(tables)?, columns.needed(keys)?);
        let (mut values, mut on_failures) = (columns.optional(values)?, columns.optional(on_failures)?);
        let (mut conditions, mut updates) = (columns.optional(conditions)?, columns.optional(updates)?);
        let actions = kinds.into_iter().map(|kind| Action {
            kind,
            table: tables.next().unwrap_or_default(),
            key: keys.next().unwrap_or_default(),
            value: values.next().flatten(),
            on_failure: on_failures.next().flatten(),
            condition: conditions.next().flatten(),
            update: updates.next().flatten(),
        });
        Ok(Self(actions.collect()))
    }

    pub(super) fn tables(&self) -> Vec<&'a str> {
        self.0.iter().map(|action| action.table).collect()
    }

    pub(super) fn write(
        &self,
        options: &Options<'a>,
        known: &Known<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Form, ApiError> {
        let mut schemas = Vec::with_capacity(self.0.len());
        write_transaction(options, known, out, &self.0, |action, out| {
            let schema = known.schema(action.table)?;
            let mut members = out.object(action.kind.name());
            members.text("TableName", action.table);
            match (action.kind, action.value) {
                (ActionKind::Put, Some(value)) => {
                    item::write_json(&schema.key, action.key, value, known.lists, members.member("Item"))?;
                }
                (ActionKind::Put, None) => {
                    return Err(malformed(Malformed::Invalid("an item to put is missing")));
                }
                (ActionKind::Update | ActionKind::Delete | ActionKind::ConditionCheck, _) => {
                    key::write_json(&schema.key, action.key, members.member("Key"))?;
                }
            }
            let mut expressions = Expressions::new();
            for (language, code) in
                [(Language::Update, action.update), (Language::Condition, action.condition)]
            {
                if let Some(code) = code {
                    expressions.add(language, code)?;
                }
            }
            write_expressions(&expressions, &mut members)?;
            write_on_failure(action.on_failure, &mut members);
            members.end();
            schemas.push(schema);
            Ok(())
        })?;
        Ok(Form::WrittenTransaction(schemas))
    }
}

impl ActionKind {
    fn read(reader: &mut Reader<'_>) -> Result<Self, ApiError> {
        match reader.int_64().map_err(malformed)? {
            2 => Ok(Self::Put),
            7 => Ok(Self::Delete),
            9 => Ok(Self::Update),
            12 => Ok(Self::ConditionCheck),
            _ => Err(malformed(Malformed::Invalid("an action of a transaction is not known"))),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Put => "Put",
            Self::Update => "Update",
            Self::Delete => "Delete",
            Self::ConditionCheck => "ConditionCheck",
        }
    }
}

/// A number that stands for nothing is written as such, for DynamoDB to reject.
fn write_on_failure(choice: Option<i64>, action: &mut Object<'_>) {
    const MEMBER: &str = "ReturnValuesOnConditionCheckFailure";
    match choice {
        None | Some(1) => {}
        Some(2) => action.text(MEMBER, "ALL_OLD"),
        Some(other) => action.text(MEMBER, itoa::Buffer::new().format(other)),
    }
}

/// Writes a whole request: each of its actions, and the options.
fn write_transaction<'a, T>(
    options: &Options<'a>,
    known: &Known<'_>,
    out: &mut Vec<u8>,
    actions: &[T],
    mut write: impl FnMut(&T, &mut Object<'_>) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    let mut request = Object::begin(out);
    let list = request.member("TransactItems");
    list.push(b'[');
    for (place, action) in actions.iter().enumerate() {
        if place > 0 {
            list.push(b',');
        }
        let mut object = Object::begin(list);
        write(action, &mut object)?;
        object.end();
        check_size(list)?;
    }
    list.push(b']');
    options.write(&mut request, known.client)?;
    request.end();
    Ok(())
}

fn bytes<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], ApiError> {
    reader.bytes().map_err(malformed)
}

fn optional_bytes<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, ApiError> {
    nullable(reader, Reader::bytes).map_err(malformed)
}

/// An array with an element for each action; `null` counts as none at all.
fn read_list<'a, T>(
    reader: &mut Reader<'a>,
    read: impl Fn(&mut Reader<'a>) -> Result<T, ApiError>,
) -> Result<Vec<T>, ApiError> {
    let mut list = Vec::new();
    if reader.take_null().map_err(malformed)? {
        return Ok(list);
    }
    let mut elements = reader.array().map_err(malformed)?;
    while elements.next(reader).map_err(malformed)? {
        if list.len() == LISTED_MAX {
            return Err(ApiError::validation(
                "1 validation error detected: Value at 'transactItems' failed to satisfy constraint: \
                 Member must have length less than or equal to 100",
            ));
        }
        list.push(read(reader)?);
    }
    Ok(list)
}

/// The arrays of a transaction, which have one element for each action.
#[derive(Clone, Copy)]
struct Columns {
    length: usize,
}

impl Columns {
    fn new(length: usize) -> Self {
        Self { length }
    }

    fn needed<T>(self, column: Vec<T>) -> Result<std::vec::IntoIter<T>, ApiError> {
        if column.len() == self.length {
            return Ok(column.into_iter());
        }
        Err(malformed(Malformed::Invalid("the arrays of a transaction are not of one length")))
    }

    /// An array that may be missing.
    fn optional<T>(self, column: Vec<T>) -> Result<std::vec::IntoIter<T>, ApiError> {
        if column.is_empty() { Ok(column.into_iter()) } else { self.needed(column) }
    }
}
