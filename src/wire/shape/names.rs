//! Attributes without a name, wherever a request speaks of one. No item has one, and the newer reader refuses it before it
//! looks at anything else but the members themselves.
//!
//! This is asked about bad requests only: whoever reads a good one has met every name.

use crate::wire::Json;

use super::kind::{Kind, Member};

const EMPTY_NAME: &str = "Empty attribute name";

/// What is said of a nameless attribute in a body of these members, if it has one.
pub(super) fn refusal(members: &'static [Member], body: &Json<'_>) -> Option<String> {
    let is_in = |member: &Member| {
        body.get(member.name).is_some_and(|value| has_empty_name(&member.kind, value, is_by_name(member)))
    };
    let mut own = members.iter().filter(|member| member.name != "ExpressionAttributeValues");
    if own.any(is_in) {
        return Some(EMPTY_NAME.to_owned());
    }
    let names = body.get("ExpressionAttributeNames").and_then(Json::members).unwrap_or_default();
    if let Some((placeholder, _)) = names.iter().find(|(_, name)| name.text() == Some("")) {
        return Some(format!(
            "ExpressionAttributeNames contains invalid value: {EMPTY_NAME} for key {placeholder}"
        ));
    }
    members.iter().any(is_in).then(|| EMPTY_NAME.to_owned())
}

/// True for members that have attributes by their names. Filters have, too; but there a nameless one is only never found.
fn is_by_name(member: &Member) -> bool {
    let by_name =
        ["Key", "Keys", "Item", "ExclusiveStartKey", "Expected", "AttributeUpdates", "AttributesToGet"];
    by_name.contains(&member.name)
}

fn has_empty_name(kind: &Kind, value: &Json<'_>, is_by_name: bool) -> bool {
    match (kind, value) {
        (Kind::Value, value) => value_has_empty_name(value),
        (Kind::Text(_), Json::String(text)) => is_by_name && text.is_empty(),
        (Kind::List(list), Json::Array(elements)) => {
            elements.iter().any(|element| has_empty_name(list.element, element, is_by_name))
        }
        (Kind::Map(map), Json::Object(entries)) => entries
            .iter()
            .any(|(name, entry)| (is_by_name && name.is_empty()) || has_empty_name(map.entry, entry, false)),
        (Kind::Structure(structure), value) => structure.members.iter().any(|member| {
            let inner = value.get(member.name);
            inner.is_some_and(|inner| has_empty_name(&member.kind, inner, self::is_by_name(member)))
        }),
        _ => false,
    }
}

fn value_has_empty_name(value: &Json<'_>) -> bool {
    let map = value.get("M").and_then(Json::members).unwrap_or_default();
    let list = value.get("L").and_then(Json::elements).unwrap_or_default();
    map.iter().any(|(name, inner)| name.is_empty() || value_has_empty_name(inner))
        || list.iter().any(value_has_empty_name)
}
