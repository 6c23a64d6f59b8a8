//! Attribute values between JSON and the model.
//!
//! Decoding speaks the service's own errors: a value that says two types, an empty set, a number out of range. The JSON
//! types themselves (`{"S": 5}`) are [`crate::wire::shape`]'s matter; here they only must not be misread. Encoding
//! is canonical: one value has one text.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use crate::model::number::NumberError;
use crate::model::{ApiError, AttributeValue, ErrorCode, Item, Number};
use crate::wire::Json;
use crate::wire::json::{write_array, write_map, write_string};

/// The deepest level that a value may stand on; an item's attribute stands on the first.
pub const LEVELS_MAX: usize = 32;

/// An item of so many attributes is made one by one. To make a larger one, they are sorted first, which costs a few of them more.
const INSERTED_MAX: usize = 11;

/// The most bytes of an attribute's name.
const NAME_BYTES_MAX: usize = 65535;

/// The types in the order in which the service looks at a value that claims several.
pub(crate) const TYPES: [&str; 10] = ["S", "B", "N", "BOOL", "BS", "NS", "SS", "L", "M", "NULL"];

/// Which of the service's readers takes a request. Both read good values alike, but they word faults differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// Of BatchWriteItem, transactions and PartiQL, and of every request that the newer one leaves to it.
    Older,
    /// Of GetItem, BatchGetItem, Query, Scan, PutItem, UpdateItem and DeleteItem.
    Newer,
}

/// Decodes `{"S":"…"}` as the older reader does.
///
/// # Errors
/// The service's own.
pub fn value_from_json(json: &Json<'_>) -> Result<AttributeValue, ApiError> {
    read_value(json, Reader::Older)
}

/// Decodes `{"id":{"S":"…"}, …}` as the older reader does.
///
/// # Errors
/// The service's own.
pub fn item_from_json(json: &Json<'_>) -> Result<Item, ApiError> {
    read_item(json, Reader::Older)
}

/// Decodes `{"S":"…"}`.
///
/// # Errors
/// The service's own, in that reader's words.
pub fn read_value(json: &Json<'_>, reader: Reader) -> Result<AttributeValue, ApiError> {
    decode_value(json, 1, reader)
}

/// Reads an item of an upstream's answer. `None` when any part of it is not plainly of a known type: what was left out of a
/// value would be missing from the copy that the cache keeps.
pub fn item_of_answer(json: &Json<'_>) -> Option<Item> {
    is_plain_item(json).then(|| item_from_json(json).ok()).flatten()
}

/// True when every value of the item has one member, at any depth.
fn is_plain_item(item: &Json<'_>) -> bool {
    item.members().is_some_and(|members| members.iter().all(|(_, value)| is_plain_value(value)))
}

fn is_plain_value(value: &Json<'_>) -> bool {
    match value.members() {
        Some([(name, content)]) => match name.as_ref() {
            "M" => is_plain_item(content),
            "L" => content.elements().is_some_and(|elements| elements.iter().all(is_plain_value)),
            _ => true,
        },
        _ => false,
    }
}

/// Decodes `{"S":"…"}` where one more level of nesting is let pass: a statement's parameter, a value of `ScanFilter`.
///
/// # Errors
/// The service's own, in that reader's words.
pub fn read_deeper_value(json: &Json<'_>, reader: Reader) -> Result<AttributeValue, ApiError> {
    decode_value(json, 0, reader)
}

/// Decodes `{"S":"…"}` for an expression. The older reader lets one more level of nesting pass: the value may be there only to
/// be compared, and an item that would hold it is refused later.
///
/// # Errors
/// The service's own, in that reader's words.
pub fn read_expression_value(json: &Json<'_>, reader: Reader) -> Result<AttributeValue, ApiError> {
    match reader {
        Reader::Older => read_deeper_value(json, reader),
        Reader::Newer => read_value(json, reader),
    }
}

/// Decodes `{"id":{"S":"…"}, …}`.
///
/// # Errors
/// The service's own, in that reader's words.
pub fn read_item(json: &Json<'_>, reader: Reader) -> Result<Item, ApiError> {
    let members = json.members().ok_or_else(wrong_type)?;
    check_names(members)?;
    // Too deep a value anywhere in an item is told before any other fault of its values.
    decode_members(members, 1, reader).map_err(|error| if is_too_deep(json, 0) { too_deep() } else { error })
}

/// Appends a value as JSON, numbers in normal form.
pub fn write_value(value: &AttributeValue, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(value.type_name().as_bytes());
    out.extend_from_slice(b"\":");
    match value {
        AttributeValue::S(text) => write_string(text, out),
        AttributeValue::N(number) => write_number(*number, out),
        AttributeValue::B(bytes) => write_binary(bytes, out),
        AttributeValue::Bool(truth) => out.extend_from_slice(if *truth { b"true" } else { b"false" }),
        AttributeValue::Null => out.extend_from_slice(b"true"),
        AttributeValue::M(map) => write_item(map, out),
        AttributeValue::L(list) => write_array(list, out, write_value),
        AttributeValue::Ss(set) => write_array(set, out, |text, out| write_string(text, out)),
        AttributeValue::Ns(set) => write_array(set, out, |number, out| write_number(*number, out)),
        AttributeValue::Bs(set) => write_array(set, out, |bytes, out| write_binary(bytes, out)),
    }
    out.push(b'}');
}

/// Appends an item as JSON, attributes in name order, numbers in normal form.
pub fn write_item(item: &Item, out: &mut Vec<u8>) {
    write_map(item.iter().map(|(name, value)| (name.as_str(), value)), out, write_value);
}

fn write_number(number: Number, out: &mut Vec<u8>) {
    out.push(b'"');
    number.write_text(out);
    out.push(b'"');
}

fn write_binary(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    STANDARD.encode_slice(bytes, &mut out[start..]).expect("the room was measured");
    out.push(b'"');
}

/// The members of a JSON object.
type Members<'a> = [(Cow<'a, str>, Json<'a>)];

fn check_names(members: &Members<'_>) -> Result<(), ApiError> {
    members.iter().try_for_each(|(name, _)| check_name(name))
}

/// Checks the name of an attribute or of a map's member.
///
/// # Errors
/// The service's own for a name that is empty or too long.
pub fn check_name(name: &str) -> Result<(), ApiError> {
    match name.len() {
        0 => Err(ApiError::validation("Empty attribute name")),
        1..=NAME_BYTES_MAX => Ok(()),
        _ => Err(ApiError::validation("Attribute name is too large, must be less than 65536 bytes")),
    }
}

fn decode_members(members: &Members<'_>, level: usize, reader: Reader) -> Result<Item, ApiError> {
    let decode = |(name, value): &(Cow<'_, str>, Json<'_>)| -> Result<_, ApiError> {
        Ok((name.as_ref().to_owned(), decode_value(value, level, reader)?))
    };
    if members.len() > INSERTED_MAX {
        return members.iter().map(decode).collect();
    }
    let mut item = Item::new();
    for member in members {
        let (name, value) = decode(member)?;
        item.insert(name, value);
    }
    Ok(item)
}

/// What is said of a value that stands deeper than [`LEVELS_MAX`].
pub fn too_deep() -> ApiError {
    ApiError::validation(
        "Nesting Levels have exceeded supported limits: \
         Attributes in the item have nested levels beyond supported limit",
    )
}

/// True when a value stands too deep in the entries of a map or the elements of a list that stands on this level.
fn is_too_deep(collection: &Json<'_>, level: usize) -> bool {
    let is_value_too_deep = |value: &Json<'_>| {
        let inner = ["M", "L"].iter().filter_map(|name| value.get(name));
        level >= LEVELS_MAX || inner.into_iter().any(|inner| is_too_deep(inner, level + 1))
    };
    let entries = collection.members().unwrap_or_default().iter().map(|(_, value)| value);
    let mut values = entries.chain(collection.elements().unwrap_or_default());
    values.any(is_value_too_deep)
}

fn decode_value(json: &Json<'_>, level: usize, reader: Reader) -> Result<AttributeValue, ApiError> {
    if level > LEVELS_MAX {
        return Err(too_deep());
    }
    if let Json::Object(members) = json
        && let [(name, content)] = &**members
        && !matches!(content, Json::Null)
        && TYPES.contains(&name.as_ref())
    {
        return decode_content(name, content, level, reader);
    }
    decode_irregular(json, level, reader)
}

/// Refuses an empty set among the members of a value, which may claim several types.
///
/// # Errors
/// The service's own.
pub fn refuse_empty_sets(json: &Json<'_>) -> Result<(), ApiError> {
    let is_empty = |name: &&str| json.get(name).and_then(Json::elements).is_some_and(<[Json<'_>]>::is_empty);
    TYPES.iter().filter(|name| is_empty(name)).find_map(|name| empty_set(name)).map_or(Ok(()), Err)
}

/// Decodes what is not simply one type with its content: members that do not count, no type, several.
fn decode_irregular(json: &Json<'_>, level: usize, reader: Reader) -> Result<AttributeValue, ApiError> {
    let mut only = None;
    let mut several = false;
    // Empty sets come before faults inside of the contents, and those before the complaint that there are several.
    refuse_empty_sets(json)?;
    for name in TYPES {
        if let Some(content) = json.get(name) {
            several |= only.is_some();
            only = Some(decode_content(name, content, level, reader)?);
        }
    }
    match only {
        Some(value) if !several => Ok(value),
        Some(_) => Err(ApiError::validation(
            "Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes",
        )),
        None => Err(ApiError::validation(
            "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes",
        )),
    }
}

fn decode_content(
    name: &str,
    content: &Json<'_>,
    level: usize,
    reader: Reader,
) -> Result<AttributeValue, ApiError> {
    Ok(match name {
        "S" => AttributeValue::S(content.text().ok_or_else(wrong_type)?.to_owned()),
        "N" => AttributeValue::N(decode_number(content, reader)?),
        "B" => AttributeValue::B(decode_binary(content)?),
        "BOOL" => AttributeValue::Bool(content.boolean().ok_or_else(wrong_type)?),
        "NULL" => match content.boolean().ok_or_else(wrong_type)? {
            true => AttributeValue::Null,
            false => return Err(invalid_values("Null attribute value types must have the value of true")),
        },
        "M" => {
            let members = content.members().ok_or_else(wrong_type)?;
            check_names(members)?;
            AttributeValue::M(decode_members(members, level + 1, reader)?)
        }
        "L" => {
            let elements = content.elements().ok_or_else(wrong_type)?;
            AttributeValue::L(decode_each(elements, |element| decode_value(element, level + 1, reader))?)
        }
        "SS" => AttributeValue::Ss(decode_string_set(content, reader)?),
        "NS" => AttributeValue::Ns(decode_number_set(content, reader)?),
        _ => AttributeValue::Bs(decode_binary_set(content, reader)?),
    })
}

/// Decodes the elements of a list or a set, into a vector with no room to spare: one that grows is copied, and is there twice
/// meanwhile.
fn decode_each<'j, 'a, T>(
    elements: &'j [Json<'a>],
    decode: impl Fn(&'j Json<'a>) -> Result<T, ApiError>,
) -> Result<Vec<T>, ApiError> {
    let mut values = Vec::with_capacity(elements.len());
    for element in elements {
        values.push(decode(element)?);
    }
    Ok(values)
}

/// What is said of an empty set of this type; `None` when the type is no set.
fn empty_set(type_name: &str) -> Option<ApiError> {
    Some(invalid_values(match type_name {
        "SS" => "An string set  may not be empty",
        "NS" => "An number set  may not be empty",
        "BS" => "Binary sets should not be empty",
        _ => return None,
    }))
}

/// The elements of a set of this type.
fn elements_of_set<'j, 'a>(content: &'j Json<'a>, type_name: &str) -> Result<&'j [Json<'a>], ApiError> {
    let elements = content.elements().ok_or_else(wrong_type)?;
    match elements.is_empty().then(|| empty_set(type_name)).flatten() {
        Some(error) => Err(error),
        None => Ok(elements),
    }
}

fn decode_string_set(content: &Json<'_>, reader: Reader) -> Result<Vec<String>, ApiError> {
    let elements = elements_of_set(content, "SS")?;
    let mut set = decode_each(elements, |element| Ok(element.text().ok_or_else(wrong_type)?.to_owned()))?;
    if has_duplicates(&set) {
        let members = match reader {
            Reader::Older => set.join(", "),
            Reader::Newer => {
                let quoted =
                    |member: &String| serde_json::to_string(member).expect("a string is always JSON");
                in_order_of_search(set).iter().map(quoted).collect::<Vec<_>>().join(", ")
            }
        };
        return Err(invalid_values(&format!("Input collection [{members}] contains duplicates.")));
    }
    set.sort_unstable();
    Ok(set)
}

fn decode_number_set(content: &Json<'_>, reader: Reader) -> Result<Vec<Number>, ApiError> {
    let elements = elements_of_set(content, "NS")?;
    let mut set = decode_each(elements, |element| decode_number(element, reader))?;
    if has_duplicates(&set) {
        return Err(match reader {
            Reader::Older => ApiError::validation("Input collection contains duplicates"),
            Reader::Newer => invalid_values("Input collection contains duplicates."),
        });
    }
    set.sort_unstable();
    Ok(set)
}

fn decode_binary_set(content: &Json<'_>, reader: Reader) -> Result<Vec<Bytes>, ApiError> {
    let elements = elements_of_set(content, "BS")?;
    let mut set = decode_each(elements, decode_binary)?;
    if has_duplicates(&set) {
        let members = match reader {
            Reader::Older => elements.iter().filter_map(Json::text).collect::<Vec<_>>().join(", "),
            Reader::Newer => {
                let quoted = |member: &Bytes| format!("\"{}\"", STANDARD.encode(member));
                in_order_of_search(set).iter().map(quoted).collect::<Vec<_>>().join(",")
            }
        };
        return Err(invalid_values(&format!("Input collection [{members}]of type BS contains duplicates.")));
    }
    set.sort_unstable();
    Ok(set)
}

/// Few members are compared pair by pair; many by sorting, so that a hostile set costs no square.
fn has_duplicates<T: Ord>(set: &[T]) -> bool {
    if set.len() <= 8 {
        return set.iter().enumerate().any(|(position, member)| set[..position].contains(member));
    }
    let mut members: Vec<&T> = set.iter().collect();
    members.sort_unstable();
    members.windows(2).any(|pair| pair[0] == pair[1])
}

/// The members as the newer reader tells them: up to the first repeat in their order, then the repeat, then the rest as sent.
fn in_order_of_search<T: Ord>(set: Vec<T>) -> Vec<T> {
    let mut seen = std::collections::BTreeSet::new();
    let mut rest = set.into_iter();
    let repeat = rest.by_ref().find_map(|member| seen.replace(member));
    seen.into_iter().chain(repeat).chain(rest).collect()
}

fn decode_number(content: &Json<'_>, reader: Reader) -> Result<Number, ApiError> {
    let text = content.text().ok_or_else(wrong_type)?;
    Number::parse(text).map_err(|error| match reader {
        Reader::Older => number_error(text, older_error(text, error), reader),
        Reader::Newer => number_error(text, error, reader),
    })
}

/// The older reader counts digits and exponent in 32 bits: an exponent that does not fit is no number to it, and a magnitude
/// that does not fit becomes the smallest there is.
fn older_error(text: &str, error: NumberError) -> NumberError {
    let (NumberError::Overflow | NumberError::Underflow, Some((digits, exponent))) =
        (error, text.split_once(['e', 'E']))
    else {
        return error;
    };
    let Ok(exponent) = exponent.parse::<i32>() else { return NumberError::Malformed };
    let digits = digits.trim_start_matches(['+', '-', '0']);
    let whole = digits.split_once('.').map_or(digits, |(whole, _)| whole).len();
    let is_wrapped = i64::from(exponent) + whole as i64 > i64::from(i32::MAX);
    if is_wrapped { NumberError::Underflow } else { error }
}

fn number_error(text: &str, error: NumberError, reader: Reader) -> ApiError {
    match error {
        NumberError::Malformed if text.is_empty() && reader == Reader::Older => {
            ApiError::validation("The parameter cannot be converted to a numeric value")
        }
        NumberError::Malformed => {
            ApiError::validation(format!("The parameter cannot be converted to a numeric value: {text}"))
        }
        NumberError::TooPrecise => {
            ApiError::validation("Attempting to store more than 38 significant digits in a Number")
        }
        NumberError::Overflow => ApiError::validation(
            "Number overflow. Attempting to store a number with magnitude larger than supported range",
        ),
        NumberError::Underflow => ApiError::validation(
            "Number underflow. Attempting to store a number with magnitude smaller than supported range",
        ),
    }
}

fn decode_binary(content: &Json<'_>) -> Result<Bytes, ApiError> {
    let text = content.text().ok_or_else(wrong_type)?;
    match STANDARD.decode(text) {
        Ok(bytes) => Ok(Bytes::from(bytes)),
        Err(_) => Err(base64_error(text)),
    }
}

/// Says in the service's words why a text is not canonical base64.
pub(crate) fn base64_error(text: &str) -> ApiError {
    let length = text.encode_utf16().count();
    let words = match length % 4 {
        0 => "Invalid last non-pad Base64 character dectected".to_owned(),
        _ => format!("Base64 encoded length is expected a multiple of 4 bytes but found: {length}"),
    };
    ApiError::new(ErrorCode::Serialization, words)
}

/// True for canonical base64: whole groups of four, padded, no bit set that decoding would drop.
pub(crate) fn is_base64(text: &str) -> bool {
    let bytes = text.as_bytes();
    let content = bytes.strip_suffix(b"==").or_else(|| bytes.strip_suffix(b"=")).unwrap_or(bytes);
    let dropped_bits = match content.len() % 4 {
        0 => 0,
        2 => 0b1111,
        3 => 0b11,
        _ => return false,
    };
    bytes.len().is_multiple_of(4)
        && content.iter().all(|&byte| sextet(byte).is_some())
        && content.last().and_then(|&byte| sextet(byte)).unwrap_or(0) & dropped_bits == 0
}

/// The six bits that a base64 letter stands for.
fn sextet(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

fn invalid_values(words: &str) -> ApiError {
    ApiError::validation(format!("One or more parameter values were invalid: {words}"))
}

/// What [`crate::wire::shape::check`] says first, and better, wherever it has looked.
fn wrong_type() -> ApiError {
    ApiError::new(ErrorCode::Serialization, "Unexpected value type in payload")
}
