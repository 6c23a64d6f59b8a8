//! Whether a request's JSON has the types of its shape: the first look, answered by `SerializationException`.
//!
//! Members that the shape does not name are ignored, and `null` is nothing, as in the service.

use crate::model::{ApiError, ErrorCode};
use crate::wire::Json;
use crate::wire::attribute::{base64_error, is_base64};

use super::kind::{Kind, List, Map, Member, Structure};

/// Before the name of each structure in messages.
const NAMESPACE: &str = "com.amazonaws.dynamodb.v20120810.";

/// What the service says of a scalar where a list or a map stands inside another one. It is a slip of its reader, and
/// part of what clients may see.
const NESTED_COLLECTION: &str = "class sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl cannot be cast to \
     class java.lang.Class (sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl and java.lang.Class are in \
     module java.base of loader 'bootstrap')";

/// Where a value stands: the words for some mismatches depend on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A member of a structure.
    Member,
    /// An element of a list or an entry of a map.
    Element,
}

/// Checks a whole body.
pub(super) fn check_body(structure: &Structure, body: &Json<'_>) -> Result<(), ApiError> {
    if matches!(body, Json::Null) {
        return Err(speechless());
    }
    check_structure(structure, body, Place::Element)
}

fn check(kind: &Kind, value: &Json<'_>, place: Place) -> Result<(), ApiError> {
    if matches!(value, Json::Null) {
        return Ok(());
    }
    match kind {
        Kind::Text(_) | Kind::TableName(_) => check_text(value),
        Kind::Boolean => check_boolean(value),
        Kind::Number(number) => check_number(number.type_name, value),
        Kind::Value => check_value(value, place),
        Kind::List(list) => check_list(list, value, place),
        Kind::Map(map) => check_map(map, value, place),
        Kind::Structure(structure) => check_structure(structure, value, place),
    }
}

fn check_structure(structure: &Structure, value: &Json<'_>, place: Place) -> Result<(), ApiError> {
    let members = members_of(value, place, || format!("class {NAMESPACE}{}", structure.name))?;
    for (name, value) in members {
        if let Some(member) = named(structure.members, name) {
            check(&member.kind, value, Place::Member)?;
        }
    }
    Ok(())
}

/// The member of that name.
pub(super) fn named(members: &'static [Member], name: &str) -> Option<&'static Member> {
    members.iter().find(|member| member.name == name)
}

fn check_map(map: &Map, value: &Json<'_>, place: Place) -> Result<(), ApiError> {
    if place == Place::Element && !matches!(value, Json::Object(_) | Json::Array(_)) {
        return Err(mismatch(NESTED_COLLECTION));
    }
    let java = || format!("java.util.Map<java.lang.String, {}>", java_name(map.entry));
    let entries = members_of(value, Place::Member, java)?;
    entries.iter().try_for_each(|(_, entry)| check(map.entry, entry, Place::Element))
}

fn check_list(list: &List, value: &Json<'_>, place: Place) -> Result<(), ApiError> {
    let elements = elements_of(value, place)?;
    elements.iter().try_for_each(|element| check(list.element, element, Place::Element))
}

/// Attribute values are not spelled out in the table: they are the hot part of every request and nest without end.
fn check_value(value: &Json<'_>, place: Place) -> Result<(), ApiError> {
    let members = members_of(value, place, || format!("class {NAMESPACE}AttributeValue"))?;
    for (name, content) in members {
        if matches!(content, Json::Null) {
            continue;
        }
        match name.as_ref() {
            "S" | "N" => check_text(content)?,
            "B" => check_binary(content)?,
            // Of a list the service has nothing to say here.
            "BOOL" | "NULL" if matches!(content, Json::Array(_)) => return Err(speechless()),
            "BOOL" | "NULL" => check_boolean(content)?,
            "SS" | "NS" => check_elements(content, check_text)?,
            "BS" => check_elements(content, check_binary)?,
            "L" => check_elements(content, |element| check_value(element, Place::Element))?,
            "M" => {
                let java = || format!("java.util.Map<java.lang.String, {NAMESPACE}AttributeValue>");
                for (_, entry) in members_of(content, Place::Member, java)? {
                    check(&Kind::Value, entry, Place::Element)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_elements(
    value: &Json<'_>,
    check: impl Fn(&Json<'_>) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    let elements = elements_of(value, Place::Member)?.iter();
    elements.filter(|element| !matches!(element, Json::Null)).try_for_each(check)
}

fn members_of<'v, 'a>(
    value: &'v Json<'a>,
    place: Place,
    java: impl Fn() -> String,
) -> Result<&'v [(std::borrow::Cow<'a, str>, Json<'a>)], ApiError> {
    match value {
        Json::Object(members) => Ok(members),
        Json::Array(_) => Err(mismatch(format!("Unrecognized collection type {}", java()))),
        _ if place == Place::Element => Err(mismatch("Unexpected value type in payload")),
        _ => Err(mismatch("Unexpected field type")),
    }
}

fn elements_of<'v, 'a>(value: &'v Json<'a>, place: Place) -> Result<&'v [Json<'a>], ApiError> {
    match value {
        Json::Array(elements) => Ok(elements),
        Json::Object(_) => Err(mismatch("Start of structure or map found where not expected")),
        _ if place == Place::Element => Err(mismatch(NESTED_COLLECTION)),
        _ => Err(mismatch("Unexpected field type")),
    }
}

fn check_text(value: &Json<'_>) -> Result<(), ApiError> {
    match value {
        Json::String(_) => Ok(()),
        _ => Err(scalar_mismatch(value, "String")),
    }
}

fn check_boolean(value: &Json<'_>) -> Result<(), ApiError> {
    match value {
        Json::Bool(_) => Ok(()),
        Json::String(_) if value.boolean().is_some() => Ok(()),
        Json::String(_) => Err(mismatch("Unexpected token received from parser")),
        _ => Err(scalar_mismatch(value, "Boolean")),
    }
}

fn check_number(type_name: &'static str, value: &Json<'_>) -> Result<(), ApiError> {
    match value {
        Json::Integer(_) | Json::Float(_) => Ok(()),
        _ => Err(scalar_mismatch(value, type_name)),
    }
}

fn check_binary(value: &Json<'_>) -> Result<(), ApiError> {
    match value {
        Json::String(text) if is_base64(text) => Ok(()),
        Json::String(text) => Err(base64_error(text)),
        Json::Array(_) => Err(mismatch("Unrecognized collection type class java.nio.ByteBuffer")),
        Json::Object(_) => Err(mismatch("Start of structure or map found where not expected")),
        _ => Err(mismatch("only base-64-encoded strings are convertible to bytes")),
    }
}

/// The words for a value of another type where a scalar should stand.
fn scalar_mismatch(value: &Json<'_>, type_name: &str) -> ApiError {
    let token = match value {
        Json::Array(_) => {
            return mismatch(format!("Unrecognized collection type class java.lang.{type_name}"));
        }
        Json::Object(_) => return mismatch("Start of structure or map found where not expected"),
        Json::Bool(true) => "TRUE_VALUE",
        Json::Bool(false) => "FALSE_VALUE",
        Json::Float(float) if float.fract() != 0.0 => "DECIMAL_VALUE",
        Json::Integer(_) | Json::Float(_) => "NUMBER_VALUE",
        Json::String(_) => "STRING_VALUE",
        Json::Null => "NULL_VALUE",
    };
    mismatch(format!("{token} cannot be converted to {type_name}"))
}

/// The type of a map's values as the service prints it.
fn java_name(kind: &Kind) -> String {
    match kind {
        Kind::Text(_) | Kind::TableName(_) => "java.lang.String".to_owned(),
        Kind::Boolean => "java.lang.Boolean".to_owned(),
        Kind::Number(number) => format!("java.lang.{}", number.type_name),
        Kind::Value => format!("{NAMESPACE}AttributeValue"),
        Kind::List(list) => format!("java.util.List<{}>", java_name(list.element)),
        Kind::Map(map) => format!("java.util.Map<java.lang.String, {}>", java_name(map.entry)),
        Kind::Structure(structure) => format!("{NAMESPACE}{}", structure.name),
    }
}

/// The error without words.
fn speechless() -> ApiError {
    ApiError { code: ErrorCode::Serialization, message: None, members: None }
}

fn mismatch(words: impl Into<std::borrow::Cow<'static, str>>) -> ApiError {
    ApiError::new(ErrorCode::Serialization, words)
}
