//! How the service prints a value inside the message that refuses it: as Java prints the object, or as JSON.

use std::fmt::Write;

use crate::wire::Json;
use crate::wire::json::write_string;

use crate::model::java_order::{Buckets, sort_as_java};

use super::kind::{Kind, Member, Structure};

/// A value is shown up to here, in bytes; what follows is cut, for a small value has a long print. Ours: nobody has seen
/// where the service stops, if it does.
const SHOWN_MAX: usize = 1 << 20;

/// The fields of an attribute value in the service's own type. Those that no request can set print as `null` too.
const VALUE_FIELDS: [&str; 16] = [
    "S",
    "N",
    "B",
    "INT",
    "DECIMAL",
    "DOUBLE",
    "SS",
    "NS",
    "BS",
    "INTSET",
    "DECIMALSET",
    "DOUBLESET",
    "M",
    "L",
    "NULL",
    "BOOL",
];

/// The value as Java prints it: `[a, b]`, `{k=v}`, `Name(field=value, other=null)`.
pub(super) fn java(kind: &Kind, value: &Json<'_>) -> String {
    let mut out = String::new();
    write_java(kind, value, &mut out);
    within_limit(out)
}

/// The value as JSON.
pub(super) fn json(value: &Json<'_>) -> String {
    let mut out = Vec::new();
    write_json(value, &mut out);
    within_limit(String::from_utf8_lossy(&out).into_owned())
}

fn within_limit(mut shown: String) -> String {
    if shown.len() > SHOWN_MAX {
        shown.truncate(beginning(&shown, SHOWN_MAX).len());
        shown.push_str("...");
    }
    shown
}

/// Whole characters from the beginning of a text, at most so many bytes.
pub(super) fn beginning(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// A member's name as messages write it: with a small first letter, whatever follows it.
pub(super) fn write_lower_first(name: &str, out: &mut String) {
    let mut letters = name.chars();
    out.extend(letters.next().map(|first| first.to_ascii_lowercase()));
    out.push_str(letters.as_str());
}

fn write_java(kind: &Kind, value: &Json<'_>, out: &mut String) {
    match (kind, value) {
        _ if out.len() > SHOWN_MAX => {}
        (Kind::Structure(structure), Json::Object(_)) => write_structure(structure, value, out),
        (Kind::Value, Json::Object(_)) => write_value(value, out),
        (Kind::List(list), Json::Array(elements)) => {
            write_list(elements, out, |element, out| write_java(list.element, element, out));
        }
        (Kind::Map(map), Json::Object(entries)) => write_map(map.entry, entries, out),
        (Kind::Number(rule), number) => match rule.cut(number) {
            Some(given) => write_to(out, format_args!("{given}")),
            None => write_scalar(number, out),
        },
        _ => write_scalar(value, out),
    }
}

fn write_list(elements: &[Json<'_>], out: &mut String, write: impl Fn(&Json<'_>, &mut String)) {
    out.push('[');
    for (position, element) in elements.iter().enumerate() {
        if out.len() > SHOWN_MAX {
            return;
        }
        out.push_str(if position > 0 { ", " } else { "" });
        write(element, out);
    }
    out.push(']');
}

fn write_map(entry_kind: &Kind, entries: &[(std::borrow::Cow<'_, str>, Json<'_>)], out: &mut String) {
    let mut entries: Vec<_> = entries.iter().collect();
    sort_as_java(&mut entries, Buckets::ForCount, |(name, _)| name);
    out.push('{');
    for (position, (name, entry)) in entries.into_iter().enumerate() {
        if out.len() > SHOWN_MAX {
            return;
        }
        out.push_str(if position > 0 { ", " } else { "" });
        out.push_str(name);
        out.push('=');
        write_java(entry_kind, entry, out);
    }
    out.push('}');
}

fn write_structure(structure: &Structure, value: &Json<'_>, out: &mut String) {
    out.push_str(structure.name);
    out.push('(');
    let place = |member: &Member| match structure.printed {
        Some(printed) => printed.iter().position(|name| *name == member.name),
        None => None,
    };
    let mut members: Vec<&Member> = structure.members.iter().collect();
    members.sort_by_key(|member| place(member));
    for (position, member) in members.into_iter().enumerate() {
        out.push_str(if position > 0 { ", " } else { "" });
        write_lower_first(member.name, out);
        out.push('=');
        write_java(&member.kind, value.get(member.name).unwrap_or(&Json::Null), out);
    }
    out.push(')');
}

fn write_value(value: &Json<'_>, out: &mut String) {
    out.push_str("AttributeValue(");
    for (position, name) in VALUE_FIELDS.iter().enumerate() {
        out.push_str(if position > 0 { ", " } else { "" });
        write_lower_first(name, out);
        out.push('=');
        match (*name, value.get(name)) {
            (_, Some(Json::Object(entries))) => write_map(&Kind::Value, entries, out),
            ("B", Some(bytes)) => write_bytes(bytes, out),
            ("BS", Some(Json::Array(elements))) => write_list(elements, out, write_bytes),
            (_, Some(Json::Array(elements))) => {
                write_list(elements, out, |element, out| write_java(&Kind::Value, element, out));
            }
            (_, Some(scalar)) => write_scalar(scalar, out),
            (_, None) => out.push_str("null"),
        }
    }
    out.push(')');
}

/// Bytes print as the buffer that holds them: all that is told of them is how many there are.
fn write_bytes(bytes: &Json<'_>, out: &mut String) {
    let text = bytes.text().unwrap_or_default();
    let count = text.trim_end_matches('=').len() * 3 / 4;
    write_to(out, format_args!("java.nio.HeapByteBuffer[pos=0 lim={count} cap={count}]"));
}

fn write_scalar(value: &Json<'_>, out: &mut String) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(truth) => write_to(out, format_args!("{truth}")),
        Json::Integer(whole) => write_to(out, format_args!("{whole}")),
        Json::Float(float) => write_to(out, format_args!("{float}")),
        Json::String(text) => out.push_str(text),
        Json::Array(_) | Json::Object(_) => out.push_str(&json(value)),
    }
}

/// Writes JSON with the members of every object by name.
fn write_json(value: &Json<'_>, out: &mut Vec<u8>) {
    match value {
        _ if out.len() > SHOWN_MAX => {}
        Json::String(text) => write_string(text, out),
        Json::Array(elements) => {
            out.push(b'[');
            for (position, element) in elements.iter().enumerate() {
                out.extend_from_slice(if position > 0 { b"," } else { b"" });
                write_json(element, out);
            }
            out.push(b']');
        }
        Json::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by(|(left, _), (right, _)| left.cmp(right));
            out.push(b'{');
            for (position, (name, member)) in members.into_iter().enumerate() {
                out.extend_from_slice(if position > 0 { b"," } else { b"" });
                write_string(name, out);
                out.push(b':');
                write_json(member, out);
            }
            out.push(b'}');
        }
        Json::Null | Json::Bool(_) | Json::Integer(_) | Json::Float(_) => {
            let mut text = String::new();
            write_scalar(value, &mut text);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

fn write_to(out: &mut String, words: std::fmt::Arguments<'_>) {
    out.write_fmt(words).expect("writing to a string cannot fail");
}
