//! How the service prints a value inside the message that refuses it: as Java prints the object, or as JSON.

use std::fmt::Write;

use crate::wire::Json;
use crate::wire::json::write_string;

use super::kind::{Kind, Structure};

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
    out
}

/// The value as JSON.
pub(super) fn json(value: &Json<'_>) -> String {
    let mut out = Vec::new();
    write_json(value, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// A member's name as messages write it: with a small first letter, whatever follows it.
pub(super) fn write_lower_first(name: &str, out: &mut String) {
    let mut letters = name.chars();
    out.extend(letters.next().map(|first| first.to_ascii_lowercase()));
    out.push_str(letters.as_str());
}

fn write_java(kind: &Kind, value: &Json<'_>, out: &mut String) {
    match (kind, value) {
        (Kind::Structure(structure), Json::Object(_)) => write_structure(structure, value, out),
        (Kind::Value, Json::Object(_)) => write_value(value, out),
        (Kind::List(list), Json::Array(elements)) => write_list(list.element, elements, out),
        (Kind::Map(map), Json::Object(entries)) => {
            out.push('{');
            for (position, (name, entry)) in entries.iter().enumerate() {
                out.push_str(if position > 0 { ", " } else { "" });
                out.push_str(name);
                out.push('=');
                write_java(map.entry, entry, out);
            }
            out.push('}');
        }
        (Kind::Number(_), Json::Float(float)) => write_to(out, format_args!("{}", float.trunc())),
        _ => write_scalar(value, out),
    }
}

fn write_list(element_kind: &Kind, elements: &[Json<'_>], out: &mut String) {
    out.push('[');
    for (position, element) in elements.iter().enumerate() {
        out.push_str(if position > 0 { ", " } else { "" });
        write_java(element_kind, element, out);
    }
    out.push(']');
}

fn write_structure(structure: &Structure, value: &Json<'_>, out: &mut String) {
    out.push_str(structure.name);
    out.push('(');
    for (position, member) in structure.members.iter().enumerate() {
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
        match value.get(name) {
            Some(Json::Object(entries)) => {
                out.push('{');
                for (position, (name, entry)) in entries.iter().enumerate() {
                    out.push_str(if position > 0 { ", " } else { "" });
                    out.push_str(name);
                    out.push('=');
                    write_java(&Kind::Value, entry, out);
                }
                out.push('}');
            }
            Some(Json::Array(elements)) => write_list(&Kind::Value, elements, out),
            Some(scalar) => write_scalar(scalar, out),
            None => out.push_str("null"),
        }
    }
    out.push(')');
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

fn write_json(value: &Json<'_>, out: &mut Vec<u8>) {
    match value {
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
            out.push(b'{');
            for (position, (name, member)) in members.iter().enumerate() {
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
