//! Keys: the content of a key's byte string, and the compound keys of indexes.
//!
//! What a key is made of depends on the table's schema. A key of one attribute is its text or its bytes without a head, or one
//! CBOR number. With a sort key, the partition key is one CBOR item, and the sort key follows to the end: text or bytes without
//! a head, or a number as [`super::lex_decimal`] writes it. A compound key is a map of names and attribute values whose end is a
//! break; clients of Go want no other form.
//!
//! Equal keys may have different bytes, since numbers have several forms: compare keys by what they decode to. What is written
//! has one form. Sizes and empty values are for DynamoDB to reject.

use super::cbor::{Malformed, Reader, Writer};
use super::lex_decimal;
use super::number::{self, NumberFault};
use super::scanner::{PlainMember, Quoted, Scanner};
use super::value;
use crate::json::write_string;
use crate::model::key::write_sortable_bytes;
use crate::model::key_attribute::{KeyAttribute, KeyRole, ScalarType};
use crate::model::number::NumberError;
use crate::model::{ApiError, KeySchema, Number};

const NO_TABLE_KEY: Malformed = Malformed::Invalid("more attributes than a table's key has");
const NOT_OF_SCHEMA: Malformed = Malformed::Invalid("a key does not match the schema");

/// One value of a key, as it stands in a key's bytes.
enum KeyPart<'a> {
    S(&'a str),
    B(&'a [u8]),
    /// One that is beyond a limit is for DynamoDB to reject.
    N(Result<Number, NumberError>),
}

/// The one or two attributes of a table's key.
fn attributes_of(schema: &KeySchema) -> Result<(&KeyAttribute, Option<&KeyAttribute>), Malformed> {
    match (&*schema.partition, &*schema.sort) {
        ([partition], []) => Ok((partition, None)),
        ([partition], [sort]) => Ok((partition, Some(sort))),
        _ => Err(NO_TABLE_KEY),
    }
}

/// Takes a key apart.
fn parts<'a>(schema: &KeySchema, key: &'a [u8]) -> Result<(KeyPart<'a>, Option<KeyPart<'a>>), Malformed> {
    let (partition, sort) = attributes_of(schema)?;
    let Some(sort) = sort else {
        return Ok((last_part(partition.scalar_type, key, read_whole_number)?, None));
    };
    let mut reader = Reader::new(key);
    let partition = match partition.scalar_type {
        ScalarType::S => KeyPart::S(reader.text()?),
        ScalarType::B => KeyPart::B(reader.bytes()?),
        ScalarType::N => KeyPart::N(checked(number::read(&mut reader))?),
    };
    Ok((partition, Some(last_part(sort.scalar_type, reader.rest(), lex_decimal::read)?)))
}

/// The part that goes to the end.
fn last_part(
    scalar_type: ScalarType,
    bytes: &[u8],
    number: impl FnOnce(&[u8]) -> Result<Number, NumberFault>,
) -> Result<KeyPart<'_>, Malformed> {
    Ok(match scalar_type {
        ScalarType::S => KeyPart::S(str::from_utf8(bytes).map_err(|_| NOT_OF_SCHEMA)?),
        ScalarType::B => KeyPart::B(bytes),
        ScalarType::N => KeyPart::N(checked(number(bytes))?),
    })
}

fn read_whole_number(bytes: &[u8]) -> Result<Number, NumberFault> {
    let mut reader = Reader::new(bytes);
    let number = number::read(&mut reader);
    reader.end()?;
    number
}

fn checked(number: Result<Number, NumberFault>) -> Result<Result<Number, NumberError>, Malformed> {
    match number {
        Ok(number) => Ok(Ok(number)),
        Err(NumberFault::Limit(limit)) => Ok(Err(limit)),
        Err(NumberFault::Malformed(malformed)) => Err(malformed),
    }
}

/// What DynamoDB says of a key whose bytes are not of the schema, if it is told of it as JSON.
fn mismatch() -> ApiError {
    ApiError::validation("The provided key element does not match the schema")
}

/// Appends the attributes of a table's key as members of a JSON object, without the brackets: `"pk":{"S":"a"},"sk":{"N":"1"}`.
///
/// # Errors
/// `ValidationException` when the bytes are no key of the schema; then nothing is appended.
pub fn write_members(schema: &KeySchema, key: &[u8], out: &mut Vec<u8>) -> Result<(), ApiError> {
    let (partition, sort) = parts(schema, key).map_err(|_| mismatch())?;
    for (position, (attribute, part)) in schema.attributes().zip([Some(partition), sort]).enumerate() {
        let Some(part) = part else { continue };
        if position > 0 {
            out.push(b',');
        }
        write_string(&attribute.name, out);
        part.write_json(out);
    }
    Ok(())
}

/// Appends a table's key as a JSON object, as the `Key` of a request has it.
///
/// # Errors
/// As [`write_members`].
pub fn write_json(schema: &KeySchema, key: &[u8], out: &mut Vec<u8>) -> Result<(), ApiError> {
    out.push(b'{');
    let written = write_members(schema, key, out);
    match &written {
        Ok(()) => out.push(b'}'),
        Err(_) => drop(out.pop()),
    }
    written
}

/// Appends [canonical bytes](crate::model::Key::canonical_bytes): equal for equal keys, however clients write them. `None`, with
/// nothing appended, for what is no valid key of the table.
pub fn write_canonical(schema: &KeySchema, key: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (partition, sort) = parts(schema, key).ok()?;
    let begin = out.len();
    let written = partition.write_canonical(KeyRole::Partition, out);
    let written =
        written.and_then(|()| sort.map_or(Some(()), |sort| sort.write_canonical(KeyRole::Sort, out)));
    if written.is_none() {
        out.truncate(begin);
    }
    written
}

impl KeyPart<'_> {
    /// Appends a colon and the value.
    fn write_json(&self, out: &mut Vec<u8>) {
        match self {
            Self::S(text) => {
                out.extend_from_slice(b":{\"S\":");
                write_string(text, out);
            }
            Self::B(bytes) => {
                out.extend_from_slice(b":{\"B\":");
                value::write_base64(bytes, out);
            }
            Self::N(number) => {
                out.extend_from_slice(b":{\"N\":\"");
                match number {
                    Ok(number) => number::append_text(*number, out),
                    Err(limit) => out.extend_from_slice(number::beyond(*limit).as_bytes()),
                }
                out.push(b'"');
            }
        }
        out.push(b'}');
    }

    fn write_canonical(&self, role: KeyRole, out: &mut Vec<u8>) -> Option<()> {
        let bytes = match self {
            Self::S(text) => text.as_bytes(),
            Self::B(bytes) => bytes,
            Self::N(number) => {
                number.ok()?.write_sortable(out);
                return Some(());
            }
        };
        if bytes.is_empty() || bytes.len() > role.bytes_max() {
            return None;
        }
        write_sortable_bytes(bytes, out);
        Some(())
    }
}

/// One value of a key in JSON: its content, and the type that it has by its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyText<'a> {
    scalar_type: ScalarType,
    content: Quoted<'a>,
}

impl<'a> KeyText<'a> {
    /// Reads the value of a key attribute, such as `{"S":"a"}`.
    #[inline]
    pub(super) fn scan(scanner: &mut Scanner<'a>, attribute: &KeyAttribute) -> Result<Self, Malformed> {
        let scalar_type = attribute.scalar_type;
        if scanner.value_type()? != scalar_type.name().as_bytes() {
            return Err(NOT_OF_SCHEMA);
        }
        let content = scanner.string()?;
        scanner.expect(b'}')?;
        Ok(Self { scalar_type, content })
    }

    /// The value in a member.
    #[inline]
    pub(super) fn of(member: &PlainMember<'a>, attribute: &KeyAttribute) -> Result<Self, Malformed> {
        let scalar_type = attribute.scalar_type;
        if scalar_type.name().as_bytes() != [member.letter] {
            return Err(NOT_OF_SCHEMA);
        }
        Ok(Self { scalar_type, content: member.content })
    }

    fn read(json: &'a str, attribute: &KeyAttribute) -> Result<Self, Malformed> {
        let mut scanner = Scanner::new(json);
        let text = Self::scan(&mut scanner, attribute)?;
        scanner.end().map(|()| text)
    }

    /// Appends it as an item.
    fn write(self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        match self.scalar_type {
            ScalarType::S => value::write_text(self.content, out),
            ScalarType::B => value::write_binary(self.content, out),
            ScalarType::N => value::write_number(self.content, out),
        }
    }

    /// Appends it without a head; a number is left to `write_number`.
    fn write_last(
        self,
        out: &mut Vec<u8>,
        write_number: impl FnOnce(Quoted<'_>, &mut Vec<u8>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        match self.scalar_type {
            ScalarType::S => self.content.append_to(out),
            ScalarType::B => value::append_decoded(&self.content.text()?, out),
            ScalarType::N => write_number(self.content, out),
        }
    }
}

fn write_lex_decimal(text: Quoted<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    if !text.plain().is_some_and(|plain| lex_decimal::write_whole(plain, out)) {
        lex_decimal::write(Number::parse(&text.text()?).map_err(|_| NOT_OF_SCHEMA)?, out);
    }
    Ok(())
}

/// Appends the bytes of a key of one or two values.
pub(super) fn write_texts(
    partition: KeyText<'_>,
    sort: Option<KeyText<'_>>,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    match sort {
        None => partition.write_last(out, value::write_number),
        Some(sort) => {
            partition.write(out)?;
            sort.write_last(out, write_lex_decimal)
        }
    }
}

/// Appends the bytes of a table's key, from the values of its partition key and its sort key in JSON: `{"S":"a"}`.
///
/// # Errors
/// [`Malformed`] when the values are not of the schema. What was appended until then is to be taken away.
pub fn write_bytes(
    schema: &KeySchema,
    partition: &str,
    sort: Option<&str>,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let (partition_attribute, sort_attribute) = attributes_of(schema)?;
    let sort = match (sort_attribute, sort) {
        (None, None) => None,
        (Some(attribute), Some(sort)) => Some(KeyText::read(sort, attribute)?),
        _ => return Err(NOT_OF_SCHEMA),
    };
    write_texts(KeyText::read(partition, partition_attribute)?, sort, out)
}

/// Appends the bytes of a table's key, from a JSON object that has the key's attributes. Others are passed over.
///
/// # Errors
/// As [`write_bytes`].
pub fn write_bytes_of_json(schema: &KeySchema, attributes: &str, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let (partition, sort) = attributes_of(schema)?;
    let (mut partition_text, mut sort_text) = (None, None);
    let mut scanner = Scanner::new(attributes);
    let mut goes_on = scanner.open(b'{', b'}')?;
    while goes_on {
        let name = scanner.name()?.text()?;
        if *name == *partition.name {
            partition_text = Some(KeyText::scan(&mut scanner, partition)?);
        } else if let Some(sort) = sort.filter(|sort| *name == *sort.name) {
            sort_text = Some(KeyText::scan(&mut scanner, sort)?);
        } else {
            scanner.skip()?;
        }
        goes_on = scanner.goes_on(b'}')?;
    }
    scanner.end()?;
    if sort.is_some() != sort_text.is_some() {
        return Err(NOT_OF_SCHEMA);
    }
    write_texts(partition_text.ok_or(NOT_OF_SCHEMA)?, sort_text, out)
}

/// Appends a compound key as a JSON object, from its bytes.
///
/// # Errors
/// `ValidationException` when the bytes are no compound key; then nothing is appended. Which attributes it must have is for
/// DynamoDB to judge.
pub fn write_json_of_compound(key: &[u8], out: &mut Vec<u8>) -> Result<(), ApiError> {
    let begin = out.len();
    let mut reader = Reader::new(key);
    let written = write_attributes(&mut reader, out).and_then(|()| reader.end());
    written.map_err(|_| {
        out.truncate(begin);
        ApiError::validation("The provided starting key is invalid")
    })
}

fn write_attributes(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    out.push(b'{');
    let begin = out.len();
    let mut members = reader.map()?;
    while members.next(reader)? {
        if out.len() > begin {
            out.push(b',');
        }
        write_string(reader.text()?, out);
        out.push(b':');
        value::write_json(reader, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// Appends the bytes of a compound key: all attributes of a JSON object, in its order.
///
/// # Errors
/// [`Malformed`] when it is no object of attribute values. What was appended until then is to be taken away.
pub fn write_compound(attributes: &str, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut scanner = Scanner::new(attributes);
    Writer::new(out).open_map();
    let mut goes_on = scanner.open(b'{', b'}')?;
    while goes_on {
        Writer::new(out).text(&scanner.name()?.text()?);
        value::scan_value(&mut scanner, out)?;
        goes_on = scanner.goes_on(b'}')?;
    }
    scanner.end()?;
    Writer::new(out).end();
    Ok(())
}
