//! Whether a condition holds for an item.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::{Operand, Test};
use crate::model::expr::parser::Comparator;
use crate::model::{AttributeValue, Item, Number};

impl Test {
    /// True when the test holds for `item`.
    pub(super) fn holds(&self, item: &Item) -> bool {
        match self {
            Self::And(tests) => tests.iter().all(|test| test.holds(item)),
            Self::Or(tests) => tests.iter().any(|test| test.holds(item)),
            Self::Not(test) => !test.holds(item),
            Self::Compare { operator, left, right } => {
                compare(*operator, left.value_in(item).as_deref(), right.value_in(item).as_deref())
            }
            Self::Between { value, low, high } => {
                value.value_in(item).is_some_and(|value| is_between(&value, low, high, item))
            }
            Self::In { value, choices } => value.value_in(item).is_some_and(|value| {
                choices.iter().any(|choice| choice.value_in(item).is_some_and(|choice| choice == value))
            }),
            Self::Exists(path) => path.value_in(item).is_some(),
            Self::NotExists(path) => path.value_in(item).is_none(),
            Self::HasType { value, type_name } => {
                value.value_in(item).is_some_and(|value| value.type_name() == type_name)
            }
            Self::BeginsWith { text, prefix } => both(text, prefix, item, begins_with),
            Self::Contains { container, element } => both(container, element, item, contains),
        }
    }
}

impl Operand {
    /// The operand's value for `item`, if it has one.
    fn value_in<'v>(&'v self, item: &'v Item) -> Option<Cow<'v, AttributeValue>> {
        match self {
            Self::Path(path) => path.value_in(item).map(Cow::Borrowed),
            Self::Value(value) => Some(Cow::Borrowed(value)),
            Self::Size(operand) => {
                let size = i64::try_from(size(&*operand.value_in(item)?)?).ok()?;
                Some(Cow::Owned(AttributeValue::N(Number::from(size))))
            }
            Self::Truth(test) => Some(Cow::Owned(AttributeValue::Bool(test.holds(item)))),
        }
    }
}

/// How two values of one ordered type stand to each other; `None` for all else.
pub(in super::super) fn ordering(left: &AttributeValue, right: &AttributeValue) -> Option<Ordering> {
    match (left, right) {
        (AttributeValue::S(left), AttributeValue::S(right)) => Some(left.cmp(right)),
        (AttributeValue::N(left), AttributeValue::N(right)) => Some(left.cmp(right)),
        (AttributeValue::B(left), AttributeValue::B(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

/// What is missing is different from everything, and even from what is missing too.
fn compare(operator: Comparator, left: Option<&AttributeValue>, right: Option<&AttributeValue>) -> bool {
    let (Some(left), Some(right)) = (left, right) else { return operator == Comparator::NotEqual };
    match operator {
        Comparator::Equal => left == right,
        Comparator::NotEqual => left != right,
        Comparator::Less => ordering(left, right).is_some_and(Ordering::is_lt),
        Comparator::LessOrEqual => ordering(left, right).is_some_and(Ordering::is_le),
        Comparator::Greater => ordering(left, right).is_some_and(Ordering::is_gt),
        Comparator::GreaterOrEqual => ordering(left, right).is_some_and(Ordering::is_ge),
    }
}

fn is_between(value: &AttributeValue, low: &Operand, high: &Operand, item: &Item) -> bool {
    compare(Comparator::GreaterOrEqual, Some(value), low.value_in(item).as_deref())
        && compare(Comparator::LessOrEqual, Some(value), high.value_in(item).as_deref())
}

fn both(
    first: &Operand,
    second: &Operand,
    item: &Item,
    test: fn(&AttributeValue, &AttributeValue) -> bool,
) -> bool {
    match (first.value_in(item), second.value_in(item)) {
        (Some(first), Some(second)) => test(&first, &second),
        _ => false,
    }
}

fn begins_with(text: &AttributeValue, prefix: &AttributeValue) -> bool {
    match (text, prefix) {
        (AttributeValue::S(text), AttributeValue::S(prefix)) => text.starts_with(prefix),
        (AttributeValue::B(bytes), AttributeValue::B(prefix)) => bytes.starts_with(prefix),
        _ => false,
    }
}

fn contains(container: &AttributeValue, element: &AttributeValue) -> bool {
    match (container, element) {
        (AttributeValue::S(text), AttributeValue::S(part)) => text.contains(part.as_str()),
        (AttributeValue::B(bytes), AttributeValue::B(part)) => contains_bytes(bytes, part),
        (AttributeValue::Ss(set), AttributeValue::S(text)) => set.contains(text),
        (AttributeValue::Ns(set), AttributeValue::N(number)) => set.contains(number),
        (AttributeValue::Bs(set), AttributeValue::B(bytes)) => set.contains(bytes),
        (AttributeValue::L(list), element) => list.contains(element),
        _ => false,
    }
}

fn contains_bytes(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}

/// What `size` says of a value, if its type has a size. Strings count in UTF-16 code units, as the service's do.
fn size(value: &AttributeValue) -> Option<usize> {
    match value {
        AttributeValue::S(text) => Some(text.encode_utf16().count()),
        AttributeValue::B(bytes) => Some(bytes.len()),
        AttributeValue::M(map) => Some(map.len()),
        AttributeValue::L(list) => Some(list.len()),
        AttributeValue::Ss(set) => Some(set.len()),
        AttributeValue::Ns(set) => Some(set.len()),
        AttributeValue::Bs(set) => Some(set.len()),
        AttributeValue::N(_) | AttributeValue::Bool(_) | AttributeValue::Null => None,
    }
}
