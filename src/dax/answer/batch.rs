//! Answers to BatchGetItem and BatchWriteItem, and what they have left undone.

use std::borrow::Cow;
use std::io::Write as _;

use crate::dax::cbor::{Malformed, Writer};
use crate::dax::key;
use crate::dax::object::Object;
use crate::dax::shape::{Form, Part, Shape};
use crate::model::{KeySchema, Operation};

use super::capacity;
use super::json::{Members, number};
use super::output::Output;

/// Writes what comes behind the empty array.
pub(super) fn write(body: &Members<'_>, shape: &Shape, output: &mut Output<'_>) -> Result<(), Malformed> {
    match &shape.form {
        Form::Batch(parts) => {
            // An array of two, and behind it a further item.
            output.writer().array(2);
            write_responses(&body.object("Responses")?, parts, output)?;
            write_unprocessed_keys(&body.object("UnprocessedKeys")?, parts, output)?;
            write_capacities(body, shape, output)
        }
        Form::WrittenBatch(schemas) => {
            let unprocessed = body.object("UnprocessedItems")?;
            output.writer().map(unprocessed.len());
            for (table, writes) in unprocessed.iter() {
                let schema = schemas.iter().find(|(name, _)| **name == *table);
                let (_, schema) = schema.ok_or(OTHER_TABLE)?;
                output.writer().text(table);
                write_unprocessed_items(writes, &schema.key, output)?;
            }
            write_capacities(body, shape, output)?;
            write_metrics(body, shape, output)
        }
        _ => Ok(()),
    }
}

const OTHER_TABLE: Malformed = Malformed::Invalid("a batch has another table than was asked for");

/// Writes all tables that were asked for, those without any items, too.
fn write_responses(
    responses: &Members<'_>,
    parts: &[(Box<str>, Part)],
    output: &mut Output<'_>,
) -> Result<(), Malformed> {
    if !responses.iter().all(|(table, _)| parts.iter().any(|(name, _)| **name == *table)) {
        return Err(OTHER_TABLE);
    }
    output.writer().map(parts.len());
    for (table, part) in parts {
        let items = responses.list(table)?;
        output.writer().text(table);
        output.writer().array(items.len() * if part.projection.is_some() { 1 } else { 2 });
        items.into_iter().try_for_each(|item| output.row(item, part))?;
    }
    Ok(())
}

fn write_unprocessed_keys(
    unprocessed: &Members<'_>,
    parts: &[(Box<str>, Part)],
    output: &mut Output<'_>,
) -> Result<(), Malformed> {
    output.writer().map(unprocessed.len());
    for (table, reads) in unprocessed.iter() {
        let (_, part) = parts.iter().find(|(name, _)| **name == *table).ok_or(OTHER_TABLE)?;
        let keys = Members::read(reads)?.list("Keys")?;
        output.writer().text(table);
        output.writer().array(keys.len());
        keys.into_iter().try_for_each(|key| write_key(key, &part.schema.key, output))?;
    }
    Ok(())
}

/// Writes each key, and behind it the rest of the item if it was to be put.
fn write_unprocessed_items(
    writes: &str,
    schema: &KeySchema,
    output: &mut Output<'_>,
) -> Result<(), Malformed> {
    let writes = super::json::elements(writes)?;
    output.writer().array(writes.len() * 2);
    for write in writes {
        let write = Members::read(write)?;
        let put = write.object("PutRequest")?;
        if let Some(item) = put.get("Item") {
            write_key(item, schema, output)?;
            output.value(item, schema)?;
            continue;
        }
        let delete = write.object("DeleteRequest")?;
        let key = delete.get("Key").ok_or(Malformed::Invalid("a write that was left undone has no key"))?;
        write_key(key, schema, output)?;
        output.writer().null();
    }
    Ok(())
}

/// Writes the key among the attributes of an item.
fn write_key(attributes: &str, schema: &KeySchema, output: &mut Output<'_>) -> Result<(), Malformed> {
    Writer::new(output.buffer())
        .bytes_with(|writer| key::write_bytes_of_json(schema, attributes, writer.buffer()))
}

fn write_capacities(body: &Members<'_>, shape: &Shape, output: &mut Output<'_>) -> Result<(), Malformed> {
    let capacities = if shape.shows_capacity { body.list("ConsumedCapacity")? } else { Vec::new() };
    output.writer().array(capacities.len());
    capacities.into_iter().try_for_each(|capacity| capacity::write_plain(capacity, output.buffer()))
}

/// Writes the metrics of all tables.
pub(super) fn write_metrics(
    body: &Members<'_>,
    shape: &Shape,
    output: &mut Output<'_>,
) -> Result<(), Malformed> {
    let tables = if shape.shows_metrics { body.object("ItemCollectionMetrics")? } else { Members::default() };
    output.writer().map(tables.len());
    for (table, _) in tables.iter() {
        let collections = tables.list(table)?;
        output.writer().text(table);
        output.writer().array(collections.len());
        collections.into_iter().try_for_each(|metrics| capacity::write_metrics(metrics, output.buffer()))?;
    }
    Ok(())
}

/// The member of an answer that has what a batch has left undone.
fn unprocessed_member(operation: Operation) -> Option<&'static str> {
    match operation {
        Operation::BatchGetItem => Some("UnprocessedKeys"),
        Operation::BatchWriteItem => Some("UnprocessedItems"),
        _ => None,
    }
}

/// The request for what an answer to `request` says that it has left undone; `None` if all is done, or it is no batch.
///
/// Batches should be finished before a client is answered: clients spoil the writes that they are told to repeat. [`joined`] puts the
/// answers together then.
pub fn unprocessed(operation: Operation, request: &[u8], answer: &[u8]) -> Option<Vec<u8>> {
    let members = |body| str::from_utf8(body).ok().and_then(|body| Members::read(body).ok());
    let answer = members(answer)?;
    let rest = answer.get(unprocessed_member(operation)?)?;
    if Members::read(rest).ok()?.len() == 0 {
        return None;
    }
    let mut out = Vec::with_capacity(request.len());
    let mut body = Object::begin(&mut out);
    for (name, value) in members(request)?.iter() {
        let value = if name == "RequestItems" { rest } else { value };
        body.member(name).extend_from_slice(value.as_bytes());
    }
    body.end();
    Some(out)
}

/// One answer in the place of two: of a batch, and of the request for what it had left undone. `None` if they are no such answers.
pub fn joined(operation: Operation, earlier: &[u8], later: &[u8]) -> Option<Vec<u8>> {
    let members = |body| str::from_utf8(body).ok().and_then(|body| Members::read(body).ok());
    let (earlier, later) = (members(earlier)?, members(later)?);
    let unprocessed = unprocessed_member(operation)?;
    let mut out = Vec::new();
    let mut body = Object::begin(&mut out);
    for name in ["Responses", "ItemCollectionMetrics"] {
        if earlier.get(name).or(later.get(name)).is_some() {
            let tables = (earlier.object(name).ok()?, later.object(name).ok()?);
            let mut joined = body.object(name);
            let is_new = |table: &str| tables.0.get(table).is_none();
            let names = tables.0.iter().chain(tables.1.iter().filter(|(table, _)| is_new(table)));
            for (table, _) in names {
                write_joined(&tables.0, &tables.1, table, joined.member(table)).ok()?;
            }
            joined.end();
        }
    }
    if earlier.get("ConsumedCapacity").or(later.get("ConsumedCapacity")).is_some() {
        let (earlier, later) = (earlier.list("ConsumedCapacity").ok()?, later.list("ConsumedCapacity").ok()?);
        write_consumed(earlier, later, body.member("ConsumedCapacity")).ok()?;
    }
    body.member(unprocessed).extend_from_slice(later.get(unprocessed).unwrap_or("{}").as_bytes());
    body.end();
    Some(out)
}

/// Writes the elements that a list has in one object and then in another.
fn write_joined(
    earlier: &Members<'_>,
    later: &Members<'_>,
    name: &str,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let elements = [earlier.list(name)?, later.list(name)?].concat();
    out.push(b'[');
    out.extend_from_slice(elements.join(",").as_bytes());
    out.push(b']');
    Ok(())
}

/// Writes what two answers say was consumed: one element for each table, with the units of both.
fn write_consumed(earlier: Vec<&str>, later: Vec<&str>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let table_of = |element| Members::read(element)?.text("TableName").map(|name| name.map(Cow::into_owned));
    let mut tables: Vec<(Option<String>, Vec<u8>)> = Vec::with_capacity(earlier.len());
    for element in earlier.into_iter().chain(later) {
        let table = table_of(element)?;
        match tables.iter_mut().find(|(known, _)| *known == table) {
            Some((_, sum)) => {
                let known = std::mem::take(sum);
                let known = str::from_utf8(&known).map_err(|_| Malformed::Invalid("not UTF-8"))?;
                write_sum(known, element, sum)?;
            }
            None => tables.push((table, element.as_bytes().to_vec())),
        }
    }
    out.push(b'[');
    let elements: Vec<_> = tables.into_iter().map(|(_, element)| element).collect();
    out.extend_from_slice(&elements.join(&b","[..]));
    out.push(b']');
    Ok(())
}

/// Writes two values as one: numbers are added, objects have the members of both, and of anything else the first stays.
fn write_sum(one: &str, other: &str, out: &mut Vec<u8>) -> Result<(), Malformed> {
    if one.starts_with('{') && other.starts_with('{') {
        let (one, other) = (Members::read(one)?, Members::read(other)?);
        let mut sum = Object::begin(out);
        for (name, value) in one.iter() {
            match other.get(name) {
                Some(more) => write_sum(value, more, sum.member(name))?,
                None => sum.member(name).extend_from_slice(value.as_bytes()),
            }
        }
        for (name, value) in other.iter().filter(|(name, _)| one.get(name).is_none()) {
            sum.member(name).extend_from_slice(value.as_bytes());
        }
        sum.end();
        return Ok(());
    }
    match (number::<f64>(one), number::<f64>(other)) {
        (Ok(one), Ok(other)) => write!(out, "{}", one + other).expect("memory can be written"),
        _ => out.extend_from_slice(one.as_bytes()),
    }
    Ok(())
}
