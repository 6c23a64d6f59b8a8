//! The partitions to which the `WHERE` of a statement limits it.
//!
//! A statement that is not limited for certain may be a scan, and the place where a page of a scan ends is the key of any item. So
//! every way in which a row can pass must fix the partition key, by `=` or `IN`, in one way only, with values of the key's types.

use super::partitions;
use crate::model::partiql::{Asks, Filter};
use crate::model::{AttributeValue, KeySchema};

/// What a filter asks of an attribute.
enum Limit<'f> {
    /// Nothing.
    Free,
    /// To be one of these.
    Values(Vec<&'f AttributeValue>),
    /// Something else, or in more than one way.
    Unclear,
}

/// The values of the partition key to which a filter limits a statement, each once; `None` if it is not limited for certain. Of a
/// key with several partition attributes that is not known.
pub(super) fn partition_values(filter: &Filter, key: &KeySchema) -> Option<Vec<String>> {
    let [attribute] = key.partition.as_slice() else { return None };
    if has_value_of_another_type(filter, key) {
        return None;
    }
    match limit(filter, &attribute.name) {
        Limit::Values(values) if !values.is_empty() => values.into_iter().map(partitions::text_of).collect(),
        Limit::Values(_) | Limit::Free | Limit::Unclear => None,
    }
}

fn limit<'f>(filter: &'f Filter, name: &str) -> Limit<'f> {
    match filter {
        Filter::All(parts) => parts.iter().map(|part| limit(part, name)).fold(Limit::Free, Limit::and),
        Filter::Any(parts) => {
            let each = parts.iter().map(|part| limit(part, name));
            each.reduce(Limit::or).unwrap_or(Limit::Free)
        }
        Filter::Test(test) => match &test.attribute {
            Some(about) if about.name == name && about.asks.is_of_values() => {
                Limit::Values(about.asks.values())
            }
            _ if test.condition.roots().any(|root| root == name) => Limit::Unclear,
            _ => Limit::Free,
        },
    }
}

impl Limit<'_> {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Free, other) | (other, Self::Free) => other,
            (Self::Values(one), Self::Values(two)) if is_same_set(&one, &two) => Self::Values(one),
            // Of two limits, either may be the one that is read by, or neither.
            (Self::Values(_) | Self::Unclear, Self::Values(_) | Self::Unclear) => Self::Unclear,
        }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Free, Self::Free) => Self::Free,
            (Self::Values(mut one), Self::Values(two)) => {
                let more: Vec<_> = two.into_iter().filter(|value| !one.contains(value)).collect();
                one.extend(more);
                Self::Values(one)
            }
            _ => Self::Unclear,
        }
    }
}

fn is_same_set(one: &[&AttributeValue], two: &[&AttributeValue]) -> bool {
    one.iter().all(|value| two.contains(value)) && two.iter().all(|value| one.contains(value))
}

/// True if a filter compares an attribute of the key with a value that no key has. Then no partition is read by it.
fn has_value_of_another_type(filter: &Filter, key: &KeySchema) -> bool {
    match filter {
        Filter::All(parts) | Filter::Any(parts) => {
            parts.iter().any(|part| has_value_of_another_type(part, key))
        }
        Filter::Test(test) => test.attribute.as_ref().is_some_and(|about| {
            let attribute = key.attributes().find(|attribute| attribute.name == about.name);
            let values: Vec<&AttributeValue> = match &about.asks {
                Asks::Key(_) | Asks::OneOf(_) => about.asks.values(),
                Asks::Other => Vec::new(),
            };
            attribute
                .is_some_and(|attribute| !values.into_iter().all(|value| attribute.scalar_type.admits(value)))
        }),
    }
}
