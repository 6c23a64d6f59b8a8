//! Attribute values between CBOR and DynamoDB's JSON, text to text, without a tree.
//!
//! A value keeps its meaning and nothing is judged but the form: sets with a member twice, empty sets, names that are empty and
//! numbers that are too large are passed on for DynamoDB to reject. From clients all forms of numbers are taken (see
//! [`super::number`]), and lists and maps of indefinite length. To clients, lengths are definite and sets keep their order.
//!
//! Values may be nested a little deeper than DynamoDB allows, so that it rejects them in its own words, and no deeper: what
//! recurses here is bounded by [`LEVELS_MAX`].

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::cbor::{Kind, Malformed, Reader, Writer};
use super::number;
use super::scanner::{PlainMember, Quoted, Scanner};
use crate::json::write_string;

/// The deepest level that a value may stand on; an item's attribute stands on the first. DynamoDB allows 32.
pub const LEVELS_MAX: usize = 40;

/// The most bytes of JSON that a request may become: four times of what DynamoDB takes. A value of a byte can become 16.
pub const JSON_BYTES_MAX: usize = 64 << 20;

/// How deep the CBOR of one value may be nested: [`Reader::item`] takes over any value with this that can be read here.
pub const DEPTH_MAX: usize = LEVELS_MAX + 1;

const TAG_STRING_SET: u64 = 3321;
const TAG_NUMBER_SET: u64 = 3322;
const TAG_BINARY_SET: u64 = 3323;

const TOO_DEEP: Malformed = Malformed::Invalid("a value is nested too deeply");
const NO_VALUE: Malformed = Malformed::Invalid("an attribute value was expected");
const NO_NUMBER: Malformed = Malformed::Invalid("a number is not DynamoDB's");
const BAD_BASE64: Malformed = Malformed::Invalid("a binary value is not base64");

/// Reads an attribute value and appends its JSON, such as `{"S":"a"}`.
///
/// # Errors
/// [`Malformed`] when there is none, and [`Malformed::TooLarge`] soon after all that was appended to has more than
/// [`JSON_BYTES_MAX`] bytes. What was appended until then is to be taken away.
pub fn write_json(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    write_json_below(reader, LEVELS_MAX, out)
}

/// `levels` are left, the value's own among them.
fn write_json_below(reader: &mut Reader<'_>, levels: usize, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let levels = levels.checked_sub(1).ok_or(TOO_DEEP)?;
    match reader.peek()? {
        Kind::Text => {
            out.extend_from_slice(b"{\"S\":");
            write_text_json(reader.text()?, out)?;
            out.push(b'}');
        }
        Kind::Int | Kind::Float => write_json_number(reader, out)?,
        Kind::Bytes => {
            out.extend_from_slice(b"{\"B\":");
            write_base64(reader.bytes()?, out);
            out.push(b'}');
        }
        Kind::Bool => {
            let truth = reader.bool()?;
            out.extend_from_slice(if truth { b"{\"BOOL\":true}" } else { b"{\"BOOL\":false}" });
        }
        Kind::Null => {
            reader.null()?;
            out.extend_from_slice(b"{\"NULL\":true}");
        }
        Kind::Tag => return write_json_tagged(reader, out),
        Kind::Array => {
            out.extend_from_slice(b"{\"L\":");
            write_json_list(reader, out, |reader, out| write_json_below(reader, levels, out))?;
            out.push(b'}');
        }
        Kind::Map => {
            out.extend_from_slice(b"{\"M\":{");
            let mut members = reader.map()?;
            let begin = out.len();
            while members.next(reader)? {
                if out.len() > begin {
                    out.push(b',');
                }
                write_string(reader.text()?, out);
                out.push(b':');
                write_json_below(reader, levels, out)?;
                check_size(out)?;
            }
            out.extend_from_slice(b"}}");
        }
        Kind::Break | Kind::Other => return Err(NO_VALUE),
    }
    Ok(())
}

fn write_json_number(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    out.extend_from_slice(b"{\"N\":\"");
    number::write_text(reader, out)?;
    out.extend_from_slice(b"\"}");
    Ok(())
}

/// A set, or a number with a tag.
fn write_json_tagged(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut inner = reader.clone();
    let tag = inner.tag()?;
    let mut write_set = |name: &[u8], write: fn(&mut Reader<'_>, &mut Vec<u8>) -> Result<(), Malformed>| {
        out.extend_from_slice(name);
        write_json_list(&mut inner, out, write)?;
        out.push(b'}');
        *reader = inner.clone();
        Ok(())
    };
    match tag {
        TAG_STRING_SET => write_set(b"{\"SS\":", |reader, out| write_text_json(reader.text()?, out)),
        TAG_NUMBER_SET => write_set(b"{\"NS\":", |reader, out| {
            out.push(b'"');
            number::write_text(reader, out)?;
            out.push(b'"');
            Ok(())
        }),
        TAG_BINARY_SET => write_set(b"{\"BS\":", |reader, out| {
            write_base64(reader.bytes()?, out);
            Ok(())
        }),
        _ => write_json_number(reader, out),
    }
}

fn write_json_list(
    reader: &mut Reader<'_>,
    out: &mut Vec<u8>,
    write: impl Fn(&mut Reader<'_>, &mut Vec<u8>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    out.push(b'[');
    let begin = out.len();
    let mut elements = reader.array()?;
    while elements.next(reader)? {
        if out.len() > begin {
            out.push(b',');
        }
        write(reader, out)?;
        check_size(out)?;
    }
    out.push(b']');
    Ok(())
}

fn check_size(out: &[u8]) -> Result<(), Malformed> {
    if out.len() <= JSON_BYTES_MAX { Ok(()) } else { Err(Malformed::TooLarge) }
}

/// Appends a text as a JSON string. Of a long one is first looked how much its escapes take: six bytes for one.
fn write_text_json(text: &str, out: &mut Vec<u8>) -> Result<(), Malformed> {
    const LONG: usize = 1 << 20;
    if text.len() > LONG {
        let escaped = text.bytes().filter(|byte| byte.is_ascii_control() || matches!(byte, b'"' | b'\\'));
        if out.len() + text.len() + 5 * escaped.count() > JSON_BYTES_MAX {
            return Err(Malformed::TooLarge);
        }
    }
    write_string(text, out);
    Ok(())
}

/// Appends bytes as a JSON string in base64.
pub(super) fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let begin = out.len();
    out.resize(begin + bytes.len().div_ceil(3) * 4, 0);
    STANDARD.encode_slice(bytes, &mut out[begin..]).expect("the room was measured");
    out.push(b'"');
}

/// Appends the CBOR of an attribute value in JSON, such as `{"S":"a"}`.
///
/// # Errors
/// [`Malformed::Invalid`] for a text that is not exactly one value as DynamoDB writes it. What was appended until then is to be
/// taken away.
pub fn write_cbor(json: &str, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut scanner = Scanner::new(json);
    scan_value(&mut scanner, out)?;
    scanner.end()
}

/// Reads a value in JSON and appends its CBOR.
#[inline]
pub(super) fn scan_value(scanner: &mut Scanner<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    scan_value_below(scanner, LEVELS_MAX, out)
}

fn scan_value_below(scanner: &mut Scanner<'_>, levels: usize, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let levels = levels.checked_sub(1).ok_or(TOO_DEEP)?;
    match scanner.value_type()? {
        b"S" => write_text(scanner.string()?, out)?,
        b"N" => scan_number(scanner, out)?,
        b"B" => write_binary(scanner.string()?, out)?,
        b"BOOL" => {
            let truth = scanner.peek() == b't';
            scanner.word(if truth { "true" } else { "false" })?;
            Writer::new(out).bool(truth);
        }
        b"NULL" => {
            scanner.word("true")?;
            Writer::new(out).null();
        }
        b"M" => scan_map(scanner, levels, out)?,
        b"L" => scan_list(scanner, out, |scanner, out| scan_value_below(scanner, levels, out))?,
        b"SS" => {
            Writer::new(out).tag(TAG_STRING_SET);
            scan_list(scanner, out, |scanner, out| write_text(scanner.string()?, out))?;
        }
        b"NS" => {
            Writer::new(out).tag(TAG_NUMBER_SET);
            scan_list(scanner, out, scan_number)?;
        }
        b"BS" => {
            Writer::new(out).tag(TAG_BINARY_SET);
            scan_list(scanner, out, |scanner, out| write_binary(scanner.string()?, out))?;
        }
        _ => return Err(NO_VALUE),
    }
    scanner.expect(b'}')
}

/// Appends the CBOR of the value of a member.
#[inline]
pub(super) fn write_plain(member: &PlainMember<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    match member.letter {
        b'S' => write_text(member.content, out),
        b'N' => write_number(member.content, out),
        _ => write_binary(member.content, out),
    }
}

fn scan_number(scanner: &mut Scanner<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    write_number(scanner.string()?, out)
}

pub(super) fn write_number(text: Quoted<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let mut writer = Writer::new(out);
    if text.plain().is_some_and(|plain| number::write_short(plain, &mut writer)) {
        return Ok(());
    }
    number::write(&text.text()?, &mut writer).map_err(|_| NO_NUMBER)
}

fn scan_map(scanner: &mut Scanner<'_>, levels: usize, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let begin = reserve_head(out);
    let mut pairs = 0;
    let mut goes_on = scanner.open(b'{', b'}')?;
    while goes_on {
        write_text(scanner.name()?, out)?;
        scan_value_below(scanner, levels, out)?;
        pairs += 1;
        goes_on = scanner.goes_on(b'}')?;
    }
    put_head(begin, out, |writer| writer.map(pairs));
    Ok(())
}

fn scan_list<'a>(
    scanner: &mut Scanner<'a>,
    out: &mut Vec<u8>,
    scan: impl Fn(&mut Scanner<'a>, &mut Vec<u8>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let begin = reserve_head(out);
    let mut elements = 0;
    let mut goes_on = scanner.open(b'[', b']')?;
    while goes_on {
        scan(scanner, out)?;
        elements += 1;
        goes_on = scanner.goes_on(b']')?;
    }
    put_head(begin, out, |writer| writer.array(elements));
    Ok(())
}

/// Leaves room for a head of one byte, and says where.
pub(super) fn reserve_head(out: &mut Vec<u8>) -> usize {
    out.push(0);
    out.len() - 1
}

/// Puts the head that `write` writes, which depends on what follows it, where room was left for it.
pub(super) fn put_head(begin: usize, out: &mut Vec<u8>, write: impl FnOnce(&mut Writer<'_>)) {
    let end = out.len();
    write(&mut Writer::new(out));
    out[begin] = out[end];
    out.remove(end);
    // Few heads are longer than the room.
    let more = out.len() - end;
    if more > 0 {
        out[begin + 1..].rotate_right(more);
    }
}

#[inline]
pub(super) fn write_text(text: Quoted<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    match text.plain() {
        Some(plain) => {
            Writer::new(out).text_head(plain.len());
            out.extend_from_slice(plain);
        }
        None => Writer::new(out).text(&text.text()?),
    }
    Ok(())
}

pub(super) fn write_binary(base64: Quoted<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let base64 = base64.text()?;
    Writer::new(out).bytes_head(decoded_length(&base64)?);
    append_decoded(&base64, out)
}

/// How many bytes a text in base64 stands for, if it is one.
fn decoded_length(base64: &str) -> Result<usize, Malformed> {
    let padding = base64.bytes().rev().take_while(|byte| *byte == b'=').count();
    (base64.len() / 4 * 3).checked_sub(padding).ok_or(BAD_BASE64)
}

/// Appends the bytes that a text in base64 stands for.
pub(super) fn append_decoded(base64: &str, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let length = decoded_length(base64)?;
    let begin = out.len();
    out.resize(begin + base64.len() / 4 * 3, 0);
    match STANDARD.decode_slice(base64, &mut out[begin..]) {
        Ok(decoded) if decoded == length => {
            out.truncate(begin + length);
            Ok(())
        }
        _ => Err(BAD_BASE64),
    }
}
