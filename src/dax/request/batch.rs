//! BatchGetItem and BatchWriteItem.

use crate::dax::cbor::{Malformed, Reader};
use crate::dax::expression::Expressions;
use crate::dax::object::Object;
use crate::dax::shape::Form;
use crate::dax::{item, key};
use crate::model::ApiError;

use super::{Known, LISTED_MAX, Options, check_size, malformed, nullable, truth, write_expressions};

/// The most tables that are read of a batch: each has a read or a write, and DynamoDB takes 100 of them at most.
const TABLES_MAX: usize = 200;

/// The reads of a batch, table by table.
#[derive(Debug)]
pub(super) struct GetBatch<'a>(Vec<(&'a str, Gets<'a>)>);

/// The reads of one table.
#[derive(Debug)]
struct Gets<'a> {
    is_consistent: bool,
    projection: Option<&'a [u8]>,
    keys: Vec<&'a [u8]>,
}

/// The writes of a batch, table by table: a key, and the rest of the item if it is put and not deleted.
#[derive(Debug)]
pub(super) struct WriteBatch<'a>(Vec<(&'a str, Writes<'a>)>);

type Writes<'a> = Vec<(&'a [u8], Option<&'a [u8]>)>;

impl<'a> GetBatch<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, ApiError> {
        read_tables(reader, "BatchGetItem", |reader, left| {
            let mut elements = reader.array().map_err(malformed)?;
            let mut next = |reader: &mut Reader<'a>| match elements.next(reader).map_err(malformed)? {
                true => Ok(()),
                false => Err(malformed(Malformed::Invalid("a table's reads are cut short"))),
            };
            next(reader)?;
            let is_consistent = truth(reader).map_err(malformed)?;
            next(reader)?;
            let projection = nullable(reader, Reader::bytes).map_err(malformed)?;
            next(reader)?;
            let mut keys = Vec::new();
            let mut listed = reader.array().map_err(malformed)?;
            while listed.next(reader).map_err(malformed)? {
                count(left, "BatchGetItem")?;
                keys.push(reader.bytes().map_err(malformed)?);
            }
            if elements.next(reader).map_err(malformed)? {
                return Err(malformed(Malformed::Invalid("a table's reads are too many arguments")));
            }
            Ok(Gets { is_consistent, projection, keys })
        })
        .map(Self)
    }

    pub(super) fn tables(&self) -> Vec<&'a str> {
        self.0.iter().map(|(table, _)| *table).collect()
    }

    pub(super) fn write(
        &self,
        options: &Options<'a>,
        known: &Known<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Form, ApiError> {
        let mut parts = Vec::with_capacity(self.0.len());
        let mut request = Object::begin(out);
        let mut tables = request.object("RequestItems");
        for (table, gets) in &self.0 {
            let mut expressions = Expressions::new();
            let part = known.part(table, gets.projection, &mut expressions)?;
            let mut reads = tables.object(table);
            if gets.is_consistent {
                reads.member("ConsistentRead").extend_from_slice(b"true");
            }
            write_expressions(&expressions, &mut reads)?;
            write_list(&gets.keys, reads.member("Keys"), |key, out| {
                key::write_json(&part.schema.key, key, out)
            })?;
            reads.end();
            parts.push(((*table).into(), part));
        }
        tables.end();
        options.write(&mut request, known.client)?;
        request.end();
        Ok(Form::Batch(parts))
    }
}

impl<'a> WriteBatch<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, ApiError> {
        read_tables(reader, "BatchWriteItem", |reader, left| {
            let mut writes = Vec::new();
            let mut elements = reader.array().map_err(malformed)?;
            while elements.next(reader).map_err(malformed)? {
                count(left, "BatchWriteItem")?;
                let key = reader.bytes().map_err(malformed)?;
                if !elements.next(reader).map_err(malformed)? {
                    return Err(malformed(Malformed::Invalid("a key lacks what is written under it")));
                }
                writes.push((key, nullable(reader, Reader::bytes).map_err(malformed)?));
            }
            Ok(writes)
        })
        .map(Self)
    }

    pub(super) fn tables(&self) -> Vec<&'a str> {
        self.0.iter().map(|(table, _)| *table).collect()
    }

    pub(super) fn write(
        &self,
        options: &Options<'a>,
        known: &Known<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Form, ApiError> {
        let mut schemas = Vec::with_capacity(self.0.len());
        let mut request = Object::begin(out);
        let mut tables = request.object("RequestItems");
        for (table, writes) in &self.0 {
            let schema = known.schema(table)?;
            write_list(writes, tables.member(table), |(key, value), out| {
                let mut write = Object::begin(out);
                match value {
                    Some(value) => {
                        let mut put = write.object("PutRequest");
                        item::write_json(&schema.key, key, value, known.lists, put.member("Item"))?;
                        put.end();
                    }
                    None => {
                        let mut delete = write.object("DeleteRequest");
                        key::write_json(&schema.key, key, delete.member("Key"))?;
                        delete.end();
                    }
                }
                write.end();
                Ok(())
            })?;
            schemas.push(((*table).into(), schema));
        }
        tables.end();
        options.write(&mut request, known.client)?;
        request.end();
        Ok(Form::WrittenBatch(schemas))
    }
}

/// Reads a map of table names. `read` gets how many reads or writes more are taken.
fn read_tables<'a, T>(
    reader: &mut Reader<'a>,
    operation: &str,
    mut read: impl FnMut(&mut Reader<'a>, &mut usize) -> Result<T, ApiError>,
) -> Result<Vec<(&'a str, T)>, ApiError> {
    let mut left = LISTED_MAX;
    let mut tables: Vec<(&str, T)> = Vec::new();
    let mut members = reader.map().map_err(malformed)?;
    while members.next(reader).map_err(malformed)? {
        let table = reader.text().map_err(malformed)?;
        if tables.iter().any(|(other, _)| *other == table) {
            return Err(malformed(Malformed::Invalid("a table is named twice")));
        }
        if tables.len() == TABLES_MAX {
            return Err(too_many(operation));
        }
        tables.push((table, read(reader, &mut left)?));
    }
    Ok(tables)
}

fn count(left: &mut usize, operation: &str) -> Result<(), ApiError> {
    *left = left.checked_sub(1).ok_or_else(|| too_many(operation))?;
    Ok(())
}

fn too_many(operation: &str) -> ApiError {
    ApiError::validation(format!("Too many items requested for the {operation} call"))
}

/// Writes a JSON array.
fn write_list<T>(
    elements: &[T],
    out: &mut Vec<u8>,
    mut write: impl FnMut(&T, &mut Vec<u8>) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    out.push(b'[');
    for (place, element) in elements.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        write(element, out)?;
        check_size(out)?;
    }
    out.push(b']');
    Ok(())
}
