//! The shapes of requests: which members an operation takes, of which types, within which constraints.
//!
//! [`check`] is the first look at a body, before any operation reads it. It answers what the service's own front
//! answers: `SerializationException` for JSON of the wrong type (`types`), then `ValidationException` for broken
//! constraints (`constraints` finds them; `front` and `report` say which are told, in which order and words). What it does
//! not judge is the meaning of attribute values, expressions and combinations of members.
//!
//! The shapes are data (`table`, in the terms of `kind`), and so are the orders of answers. The service has two readers of
//! requests, which word faults differently; [`reader_of`] says which of them takes a request, and [`judge`] lets an
//! operation speak in the words of the right one.

mod kind;

mod table;

mod types;

mod echo;
mod names;
mod reader;
mod report;

mod constraints;
mod front;

use crate::model::{ApiError, ErrorCode, Operation};
use crate::wire::Json;
use crate::wire::attribute::Reader;
use crate::wire::json::with_plain_numbers;

use kind::Structure;
use report::Left;

/// Checks a body against its operation's shape. Of an operation whose shape is not known, only that the body is an object.
///
/// A body that passes has the types of the shape wherever it has the members, `null` counting as a missing one. Numbers
/// may still have fractions, and truth values be words such as `"true"`, for the service takes those too.
///
/// # Errors
/// `SerializationException` for a wrong type, `ValidationException` for broken constraints.
pub fn check(operation: Operation, body: &Json<'_>) -> Result<(), ApiError> {
    let members = table::members(operation);
    // Input types are named after their operations, which only a body that is no object ever shows.
    types::check_body(
        &Structure {
            name: operation.name(),
            members: members.unwrap_or_default(),
            printed: None,
            alternatives: None,
        },
        body,
    )?;
    let findings = members.map(|members| constraints::find_in_body(members, body)).unwrap_or_default();
    front::front(operation).judge(findings, || left_to_older(operation, body))
}

/// Checks a body as [`check`] does, and names a number that stands where none belongs by how it is written in the bytes `sent`.
///
/// # Errors
/// As [`check`].
pub fn check_sent(operation: Operation, body: &Json<'_>, sent: &[u8]) -> Result<(), ApiError> {
    check(operation, body).map_err(|error| {
        let is_of_number = error.code == ErrorCode::Serialization
            && error.message.as_ref().is_some_and(|words| words.starts_with("NUMBER_VALUE"));
        if !is_of_number {
            return error;
        }
        let plain = str::from_utf8(sent).map(with_plain_numbers).unwrap_or_default();
        let again = Json::parse_short(plain.as_bytes()).ok().and_then(|body| check(operation, &body).err());
        again.unwrap_or(error)
    })
}

/// Which reader takes a body whose types have been checked.
pub fn reader_of(operation: Operation, body: &Json<'_>) -> Reader {
    match (operation, table::members(operation)) {
        (
            Operation::GetItem
            | Operation::BatchGetItem
            | Operation::Query
            | Operation::Scan
            | Operation::PutItem
            | Operation::UpdateItem
            | Operation::DeleteItem,
            Some(members),
        ) if reader::is_plain_body(members, body) => Reader::Newer,
        _ => Reader::Older,
    }
}

/// What of a bad body the newer front leaves to the older one.
fn left_to_older(operation: Operation, body: &Json<'_>) -> Left {
    let has_such_numbers =
        table::members(operation).is_some_and(|members| reader::cuts_numbers(members, body));
    match reader_of(operation, body) {
        Reader::Newer => Left::Nothing,
        Reader::Older if has_such_numbers => Left::All,
        Reader::Older => Left::Choices,
    }
}

/// Judges a request as the newer reader does, and once more as the older one when it is bad and that one takes it.
///
/// # Errors
/// What `judge` says, in the words of the request's reader; but an attribute without a name comes first.
pub fn judge<T>(
    operation: Operation,
    body: &Json<'_>,
    judge: impl Fn(Reader) -> Result<T, ApiError>,
) -> Result<T, ApiError> {
    judge(Reader::Newer).or_else(|error| match reader_of(operation, body) {
        Reader::Newer => Err(nameless_attribute(operation, body).unwrap_or(error)),
        Reader::Older => judge(Reader::Older),
    })
}

/// The error for an attribute without a name: it goes before whatever else is wrong.
fn nameless_attribute(operation: Operation, body: &Json<'_>) -> Option<ApiError> {
    let error = ApiError::validation(names::refusal(table::members(operation)?, body)?);
    let is_write = matches!(operation, Operation::PutItem | Operation::UpdateItem | Operation::DeleteItem);
    Some(if is_write { error.detected() } else { error })
}

/// Checks one member of a body that has passed, as far as its operation tells of it later than of others.
///
/// # Errors
/// `ValidationException` for broken constraints.
pub fn check_later(operation: Operation, member: &str, body: &Json<'_>) -> Result<(), ApiError> {
    let members = table::members(operation).unwrap_or_default();
    let position = members.iter().position(|known| known.name == member);
    let member = position.map(|position| &members[position..=position]);
    let findings = member.map(|member| constraints::find_in_body(member, body)).unwrap_or_default();
    front::TOGETHER.judge(findings, || Left::Nothing)
}

/// True when every member of the body is one that the operation's shape has. The service passes over others; who wants to
/// know the whole meaning of a request must not.
pub fn knows_members(operation: Operation, body: &Json<'_>) -> bool {
    let known = table::members(operation).unwrap_or_default();
    let mut members = body.members().unwrap_or_default().iter();
    members.all(|(name, _)| known.iter().any(|member| member.name == name))
}

#[cfg(test)]
mod tests;
