//! A `WHERE`: its conditions, kept apart as far as a key's may have to be found among them.

use crate::model::AttributeValue;
use crate::model::expr::{Condition, KeyTest};

/// Conditions joined by `AND` and `OR`.
#[derive(Clone, Debug)]
pub enum Filter {
    /// All of them.
    All(Vec<Filter>),
    /// Any of them.
    Any(Vec<Filter>),
    /// One that is not taken apart.
    Test(Box<FilterTest>),
}

/// A condition that is not taken apart.
#[derive(Clone, Debug)]
pub struct FilterTest {
    /// The condition.
    pub condition: Condition,
    /// The attribute that it is about, when it is about one whole attribute and nothing else.
    pub attribute: Option<AttributeTest>,
}

/// What a condition asks of one attribute.
#[derive(Clone, Debug)]
pub struct AttributeTest {
    /// The attribute's name.
    pub name: String,
    /// What is asked.
    pub asks: Asks,
}

/// What is asked of an attribute, as far as a key might answer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asks {
    /// What one query can ask of a key.
    Key(KeyTest),
    /// `IN [a, b]`
    OneOf(Vec<AttributeValue>),
    /// Anything that no key can answer, negations among them.
    Other,
}

impl Asks {
    /// The values that it compares with.
    pub fn values(&self) -> Vec<&AttributeValue> {
        match self {
            Self::Key(test) => test.values(),
            Self::OneOf(values) => values.iter().collect(),
            Self::Other => Vec::new(),
        }
    }

    /// True for `=` and `IN`.
    pub fn is_of_values(&self) -> bool {
        matches!(self, Self::Key(KeyTest::Equal(_)) | Self::OneOf(_))
    }

    /// True when both ask the same, by `=` or by `IN`, whose values have no order.
    pub fn is_same(&self, other: &Self) -> bool {
        if !(self.is_of_values() && other.is_of_values()) {
            return self == other;
        }
        let (one, two) = (self.values(), other.values());
        one.iter().all(|value| two.contains(value)) && two.iter().all(|value| one.contains(value))
    }

    /// How many values an `IN` has; 1 for all else.
    pub fn alternatives(&self) -> usize {
        match self {
            Self::OneOf(values) => values.len(),
            _ => 1,
        }
    }

    /// What it asks of a key, an `IN` taken apart into what it asks for each value.
    pub fn each(&self) -> Vec<KeyTest> {
        match self {
            Self::Key(test) => vec![test.clone()],
            Self::OneOf(values) => values.iter().cloned().map(KeyTest::Equal).collect(),
            Self::Other => vec![KeyTest::NotIndexable],
        }
    }
}

impl Filter {
    /// A condition, and what it asks of one whole attribute.
    pub(super) fn test(condition: Condition, attribute: Option<AttributeTest>) -> Self {
        Self::Test(Box::new(FilterTest { condition, attribute }))
    }

    /// All of it as one condition.
    pub fn condition(&self) -> Condition {
        match self {
            Self::All(parts) => Condition::all(parts.iter().map(Self::condition).collect()),
            Self::Any(parts) => Condition::any(parts.iter().map(Self::condition).collect()),
            Self::Test(test) => test.condition.clone(),
        }
    }

    /// The parts that all must hold, `AND`s within `AND`s taken apart.
    pub fn conjuncts(&self) -> Vec<&Filter> {
        match self {
            Self::All(parts) => parts.iter().flat_map(Self::conjuncts).collect(),
            Self::Any(_) | Self::Test(_) => vec![self],
        }
    }

    /// What a part asks of one attribute.
    pub fn attribute(&self) -> Option<&AttributeTest> {
        match self {
            Self::Test(test) => test.attribute.as_ref(),
            Self::All(_) | Self::Any(_) => None,
        }
    }
}
