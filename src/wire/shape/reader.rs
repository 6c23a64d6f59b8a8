//! Which of the service's two readers takes a request.
//!
//! The newer one takes only what it understands plainly. A truth value that came as a word, a number that its type does
//! not hold, an attribute value that is not of exactly one type, or too deep a body makes it leave the whole request to the
//! older reader, in whose words every fault of a value is then told, wherever it stands. Good requests mean the same to both,
//! so this is asked about bad ones only.

use crate::wire::Json;
use crate::wire::attribute::TYPES;
use crate::wire::json::DEPTH_MAX;

use super::kind::{Kind, Member};

/// True when the newer reader takes a body of these members.
pub(super) fn is_plain_body(members: &'static [Member], body: &Json<'_>) -> bool {
    are_plain(members, body) && !is_cut(body, 1)
}

/// True when a number among these members is not held by its type, and is cut to it.
pub(super) fn cuts_numbers(members: &'static [Member], body: &Json<'_>) -> bool {
    members.iter().any(|member| match member.kind {
        Kind::Number(number) => body.get(member.name).is_some_and(|value| !number.holds(value)),
        _ => false,
    })
}

fn are_plain(members: &'static [Member], structure: &Json<'_>) -> bool {
    members.iter().all(|member| structure.get(member.name).is_none_or(|value| is_plain(&member.kind, value)))
}

fn is_plain(kind: &Kind, value: &Json<'_>) -> bool {
    match (kind, value) {
        (Kind::Boolean, value) => !matches!(value, Json::String(_)),
        (Kind::Value, value) => is_plain_value(value),
        (Kind::List(list), Json::Array(elements)) => {
            elements.iter().all(|element| is_plain(list.element, element))
        }
        (Kind::Map(map), Json::Object(entries)) => {
            entries.iter().all(|(_, entry)| is_plain(map.entry, entry))
        }
        (Kind::Structure(structure), value) => are_plain(structure.members, value),
        (Kind::Number(number), value) => number.holds(value),
        (Kind::Text(_) | Kind::TableName(_) | Kind::List(_) | Kind::Map(_), _) => true,
    }
}

fn is_plain_value(value: &Json<'_>) -> bool {
    let mut contents = TYPES.iter().filter_map(|name| Some((*name, value.get(name)?)));
    let (Some(only), None) = (contents.next(), contents.next()) else { return false };
    match only {
        ("BOOL" | "NULL", Json::String(_)) => false,
        ("L", Json::Array(elements)) => elements.iter().all(is_plain_value),
        ("M", Json::Object(entries)) => entries.iter().all(|(_, entry)| is_plain_value(entry)),
        _ => true,
    }
}

/// True for a tree that may have lost what was too deep, when this part of it stands that deep: see [`Json::parse_cut`].
fn is_cut(value: &Json<'_>, depth: usize) -> bool {
    let is_cut_below = |inner: &Json<'_>| match inner {
        Json::Null => depth == DEPTH_MAX,
        inner => is_cut(inner, depth + 1),
    };
    match value {
        Json::Array(elements) => elements.iter().any(is_cut_below),
        Json::Object(members) => members.iter().any(|(_, member)| is_cut_below(member)),
        _ => false,
    }
}
