//! Short ways to spell values, items and bindings in tests.

use crate::model::expr::{Bindings, Names, Values};
use crate::model::{ApiError, AttributeValue, Item, Number};

pub(in crate::model::expr) fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub(in crate::model::expr) fn n(text: &str) -> AttributeValue {
    AttributeValue::N(Number::parse(text).unwrap())
}

pub(in crate::model::expr) fn b(bytes: &'static [u8]) -> AttributeValue {
    AttributeValue::B(bytes::Bytes::from_static(bytes))
}

pub(in crate::model::expr) fn ss(members: &[&str]) -> AttributeValue {
    AttributeValue::Ss(members.iter().map(|member| (*member).to_owned()).collect())
}

pub(in crate::model::expr) fn ns(members: &[&str]) -> AttributeValue {
    AttributeValue::Ns(members.iter().map(|member| Number::parse(member).unwrap()).collect())
}

pub(in crate::model::expr) fn list<const N: usize>(elements: [AttributeValue; N]) -> AttributeValue {
    AttributeValue::L(elements.into())
}

pub(in crate::model::expr) fn map<const N: usize>(members: [(&str, AttributeValue); N]) -> AttributeValue {
    AttributeValue::M(item(members))
}

pub(in crate::model::expr) fn item<const N: usize>(members: [(&str, AttributeValue); N]) -> Item {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The names that every test expression may use: `#a`, `#b` and `#name` stand for what follows the sign.
pub(in crate::model::expr) fn names() -> Names<'static> {
    Names::from([("#a", "a"), ("#b", "b"), ("#name", "name")])
}

/// The values that every test expression may use.
pub(in crate::model::expr) fn values() -> Values<'static> {
    Values::from([
        (":s", s("x")),
        (":h", s("he")),
        (":empty", s("")),
        (":S", s("S")),
        (":1", n("1")),
        (":3", n("3")),
        (":5", n("5")),
        (":b", b(&[1, 2])),
        (":l", list([s("z")])),
        (":m", map([("k", s("v"))])),
        (":ss", ss(&["x"])),
        (":ns", ns(&["7"])),
        (":true", AttributeValue::Bool(true)),
        (":null", AttributeValue::Null),
    ])
}

/// Runs a parser with those names and values, whether it uses them or not.
pub(in crate::model::expr) fn with_bindings<T>(parse: impl FnOnce(&mut Bindings<'_>) -> T) -> T {
    let (names, values) = (names(), values());
    parse(&mut Bindings::new(Some(&names), Some(&values)))
}

/// The words of a refusal; empty when there was none.
pub(in crate::model::expr) fn words<T>(result: Result<T, ApiError>) -> String {
    result.err().and_then(|error| error.message).unwrap_or_default().into_owned()
}
