//! DynamoDB's JSON answers to the protocol's.

mod batch;
mod capacity;
mod json;
mod output;
mod projection;

use crate::call::Answer;
use crate::model::{ApiError, ErrorCode, ErrorName, KeySchema};

use super::attribute_lists::AttributeLists;
use super::cbor::{Malformed, Writer};
use super::error::{self, Failure};
use super::item::{ItemFault, ItemWriter};
use super::key;
use super::scanner::Scanner;
use super::shape::{Attributes, Form, Part, Rows, Shape};
use super::value;

use json::{Members, number};
use output::Output;

pub use super::reply::Reply;
pub use batch::{joined, unprocessed};

/// Lists of attribute names that must be defined before an answer can be written, because it has items of these names.
///
/// They are defined with [`AttributeLists::define_all`], which blocks; then the answer is written anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlisted(pub Vec<Vec<String>>);

/// Writes an answer, success or error, in the form that the request asks for.
///
/// A success that cannot be shown in this form becomes an `InternalServerError`: one that is no JSON, or has other items than the
/// request asks for.
///
/// # Errors
/// [`Unlisted`] when lists must be defined first.
pub fn reply(
    answer: &Answer,
    shape: &Shape,
    request_id: Option<&str>,
    lists: &AttributeLists,
    items: &mut ItemWriter,
) -> Result<Reply, Unlisted> {
    let mut output = Output::new(lists, items);
    if !answer.is_success() {
        let reply = failure(answer, shape, request_id, &mut output);
        return output.finish().map(|_| reply);
    }
    match success(answer, shape, &mut output) {
        Ok(()) => output.finish().map(|bytes| Reply { bytes, error: None }),
        Err(_) => {
            let error = ApiError::new(
                ErrorCode::InternalServerError,
                "The answer of DynamoDB cannot be shown to a client of DAX",
            );
            Ok(error::reply(&error, Some(shape.operation()), request_id))
        }
    }
}

/// Writes the answer to a [GetItem of the whole item](super::request::DataCall::whole_item). `item` is its JSON, if there is one.
///
/// # Errors
/// [`ItemFault`]: its list of names is to be defined first, or it is no item.
pub fn whole_item(
    item: Option<&str>,
    schema: &KeySchema,
    lists: &AttributeLists,
    items: &mut ItemWriter,
) -> Result<Reply, ItemFault> {
    // Most items are shorter so than as JSON, and the heads are a few bytes.
    let mut bytes = Vec::with_capacity(item.map_or(0, str::len) + 16);
    let mut writer = Writer::new(&mut bytes);
    writer.array(0);
    match item {
        None => writer.null(),
        Some(item) => {
            writer.map(1);
            writer.unsigned(0);
            items.write_value(item, schema, lists, &mut bytes)?;
        }
    }
    Ok(Reply { bytes, error: None })
}

fn failure(answer: &Answer, shape: &Shape, request_id: Option<&str>, output: &mut Output<'_>) -> Reply {
    let body = str::from_utf8(&answer.body).ok().and_then(|body| Members::read(body).ok());
    let text = |name| body.as_ref().and_then(|body| body.text(name).ok().flatten());
    let name =
        answer.error.clone().unwrap_or_else(|| ErrorName::of_type(&text("__type").unwrap_or_default()));
    let reasons = match (&body, name.code()) {
        (Some(body), Some(ErrorCode::TransactionCanceled)) => output.reasons(body, shape),
        _ => None,
    };
    let bytes = Failure {
        name: &name,
        status: answer.status,
        message: &text("message").or_else(|| text("Message")).unwrap_or_default(),
        operation: Some(shape.operation()),
        request_id,
        reasons: reasons.as_deref(),
    }
    .to_bytes();
    Reply { bytes, error: Some(name) }
}

fn success(answer: &Answer, shape: &Shape, output: &mut Output<'_>) -> Result<(), Malformed> {
    let body = str::from_utf8(&answer.body).map_err(|_| Malformed::Invalid("an answer is not UTF-8"))?;
    // No error: an empty array.
    output.writer().array(0);
    if let Form::Page { part, of_index, rows, .. } = &shape.form {
        return write_page(body, (part, *of_index, *rows), shape.shows_capacity, output);
    }
    let body = Members::read(body)?;
    match &shape.form {
        Form::Item(part) => {
            let item = body.get("Item");
            let capacity = body.get("ConsumedCapacity").filter(|_| shape.shows_capacity);
            write_head(&[item, capacity], output);
            if let Some(item) = item {
                output.writer().unsigned(0);
                output.item(item, part)?;
            }
            write_capacity(capacity, output)
        }
        Form::Written(_, schema, attributes) => {
            let shown = attributes.and_then(|form| Some((form, body.get("Attributes")?)));
            let capacity = body.get("ConsumedCapacity").filter(|_| shape.shows_capacity);
            let metrics = body.get("ItemCollectionMetrics").filter(|_| shape.shows_metrics);
            write_head(&[shown.map(|(_, attributes)| attributes), capacity, metrics], output);
            write_capacity(capacity, output)?;
            if let Some((form, attributes)) = shown {
                output.writer().unsigned(2);
                match form {
                    Attributes::Whole => output.value(attributes, &schema.key)?,
                    Attributes::Touched => output.touched(attributes)?,
                }
            }
            if let Some(metrics) = metrics {
                output.writer().unsigned(3);
                capacity::write_metrics(metrics, output.buffer())?;
            }
            Ok(())
        }
        // It was written above.
        Form::Page { .. } => Ok(()),
        Form::Batch(_) | Form::WrittenBatch(_) => batch::write(&body, shape, output),
        Form::Transaction(parts) => {
            let responses = body.list("Responses")?;
            if responses.len() != parts.len() {
                return Err(Malformed::Invalid("a transaction has other items than were asked for"));
            }
            output.writer().array(2);
            output.writer().array(parts.len());
            for (response, part) in responses.into_iter().zip(parts) {
                match Members::read(response)?.get("Item") {
                    Some(item) => output.item(item, part)?,
                    None => output.writer().null(),
                }
            }
            write_extended_capacities(&body, shape, output)
        }
        Form::WrittenTransaction(_) => {
            output.writer().array(3);
            output.writer().array(0);
            write_extended_capacities(&body, shape, output)?;
            batch::write_metrics(&body, shape, output)
        }
    }
}

/// Writes the head of a map with those members that are there; `null` if none is.
fn write_head(members: &[Option<&str>], output: &mut Output<'_>) {
    match members.iter().flatten().count() {
        0 => output.writer().null(),
        count => output.writer().map(count),
    }
}

/// Writes the member of a map that is the consumed capacity, if there is one.
fn write_capacity(capacity: Option<&str>, output: &mut Output<'_>) -> Result<(), Malformed> {
    let Some(capacity) = capacity else { return Ok(()) };
    output.writer().unsigned(1);
    capacity::write_plain(capacity, output.buffer())
}

fn write_extended_capacities(
    body: &Members<'_>,
    shape: &Shape,
    output: &mut Output<'_>,
) -> Result<(), Malformed> {
    let capacities = if shape.shows_capacity { body.list("ConsumedCapacity")? } else { Vec::new() };
    output.writer().array(capacities.len());
    capacities.into_iter().try_for_each(|capacity| capacity::write_extended(capacity, output.buffer()))
}

/// Writes a page. Its items are the most of it, and are read once.
fn write_page(
    body: &str,
    (part, of_index, rows): (&Part, bool, Rows),
    shows_capacity: bool,
    output: &mut Output<'_>,
) -> Result<(), Malformed> {
    let head = value::reserve_head(output.buffer());
    let (mut items, mut others) = (None, Members::default());
    let mut scanner = Scanner::new(body);
    let mut goes_on = scanner.open(b'{', b'}')?;
    while goes_on {
        let name = scanner.name()?;
        match name.plain() {
            // `null` counts as no member.
            Some(b"Items") if items.is_none() && scanner.peek() != b'n' => {
                items = Some(match rows {
                    Rows::Shown => {
                        output.writer().unsigned(7);
                        output.rows(&mut scanner, part)?
                    }
                    Rows::Counted => json::elements(scanner.skip()?)?.len(),
                });
            }
            _ => others.push(name.text()?, scanner.skip()?),
        }
        goes_on = scanner.goes_on(b'}')?;
    }
    scanner.end()?;
    if items.is_none() && rows == Rows::Shown {
        output.writer().unsigned(7);
        output.writer().array(0);
    }
    let count = others.get("Count").map_or(Ok(items.unwrap_or(0) as u64), number)?;
    let scanned = others.get("ScannedCount").map_or(Ok(count), number)?;
    output.writer().unsigned(8);
    output.writer().unsigned(count);
    output.writer().unsigned(10);
    output.writer().unsigned(scanned);
    let last = others.get("LastEvaluatedKey");
    if let Some(last) = last {
        output.writer().unsigned(9);
        Writer::new(output.buffer()).bytes_with(|writer| match of_index {
            true => key::write_compound(last, writer.buffer()),
            false => key::write_bytes_of_json(&part.schema.key, last, writer.buffer()),
        })?;
    }
    let capacity = others.get("ConsumedCapacity").filter(|_| shows_capacity);
    write_capacity(capacity, output)?;
    let shown = usize::from(rows == Rows::Shown);
    let members = 2 + shown + usize::from(last.is_some()) + usize::from(capacity.is_some());
    value::put_head(head, output.buffer(), |writer| writer.map(members));
    Ok(())
}
