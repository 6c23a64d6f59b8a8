//! Calls on one table: of an item by its key, and of a page.

use crate::dax::cbor::Reader;
use crate::dax::expression::{Expressions, Language};
use crate::dax::object::Object;
use crate::dax::shape::{Attributes, Form, Rows};
use crate::dax::{item, key};
use crate::model::{ApiError, Operation, TableSchema};

use super::{Known, Options, Parameter, malformed, nullable, table_name, write_expressions};

/// GetItem, PutItem, UpdateItem or DeleteItem.
#[derive(Debug)]
pub(super) struct ItemCall<'a> {
    pub(super) table: &'a str,
    pub(super) key: &'a [u8],
    /// The rest of the item that is put.
    value: Option<&'a [u8]>,
}

/// Query or Scan.
#[derive(Debug)]
pub(super) struct PageCall<'a> {
    pub(super) table: &'a str,
    /// Of a query; DynamoDB says that it is missing.
    key_condition: Option<&'a [u8]>,
}

impl<'a> ItemCall<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, ApiError> {
        Ok(Self { table: table_name(reader)?, key: reader.bytes().map_err(malformed)?, value: None })
    }

    pub(super) fn read_put(reader: &mut Reader<'a>) -> Result<Self, ApiError> {
        let call = Self::read(reader)?;
        Ok(Self { value: Some(reader.bytes().map_err(malformed)?), ..call })
    }

    pub(super) fn write(
        &self,
        operation: Operation,
        options: &Options<'a>,
        known: &Known<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Form, ApiError> {
        let mut expressions = Expressions::new();
        let part =
            known.part(self.table, options.bytes(Parameter::ProjectionExpression)?, &mut expressions)?;
        options.add_expressions(&mut expressions)?;
        let mut request = Object::begin(out);
        request.text("TableName", self.table);
        match self.value {
            Some(value) => {
                item::write_json(&part.schema.key, self.key, value, known.lists, request.member("Item"))?;
            }
            None => key::write_json(&part.schema.key, self.key, request.member("Key"))?,
        }
        write_expressions(&expressions, &mut request)?;
        options.write(&mut request, known.client)?;
        request.end();
        if operation == Operation::GetItem {
            return Ok(Form::Item(part));
        }
        let attributes = match options.return_values()? {
            Some(2 | 4) => Some(Attributes::Whole),
            Some(3 | 5) => Some(Attributes::Touched),
            _ => None,
        };
        Ok(Form::Written(operation, part.schema, attributes))
    }
}

impl<'a> PageCall<'a> {
    pub(super) fn read_query(reader: &mut Reader<'a>) -> Result<Self, ApiError> {
        let table = table_name(reader)?;
        Ok(Self { table, key_condition: nullable(reader, Reader::bytes).map_err(malformed)? })
    }

    pub(super) fn read_scan(reader: &mut Reader<'a>) -> Result<Self, ApiError> {
        Ok(Self { table: table_name(reader)?, key_condition: None })
    }

    pub(super) fn write(
        &self,
        operation: Operation,
        options: &Options<'a>,
        known: &Known<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Form, ApiError> {
        let mut expressions = Expressions::new();
        let part =
            known.part(self.table, options.bytes(Parameter::ProjectionExpression)?, &mut expressions)?;
        if let Some(code) = self.key_condition {
            expressions.add(Language::KeyCondition, code)?;
        }
        options.add_expressions(&mut expressions)?;
        let mut request = Object::begin(out);
        request.text("TableName", self.table);
        write_start_key(options, &part.schema, &mut request)?;
        write_expressions(&expressions, &mut request)?;
        options.write(&mut request, known.client)?;
        request.end();
        let rows = if options.counts()? { Rows::Counted } else { Rows::Shown };
        Ok(Form::Page { operation, part, of_index: options.index()?.is_some(), rows })
    }
}

/// The key behind which a page begins: the table's key, or the attributes of the index's and the table's key.
fn write_start_key(
    options: &Options<'_>,
    schema: &TableSchema,
    request: &mut Object<'_>,
) -> Result<(), ApiError> {
    let Some(start) = options.bytes(Parameter::ExclusiveStartKey)? else { return Ok(()) };
    let out = request.member("ExclusiveStartKey");
    match options.index()? {
        Some(_) => key::write_json_of_compound(start, out),
        None => key::write_json(&schema.key, start, out),
    }
}
