//! Key conditions: which partition a query reads, and which stretch of it.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use super::condition::{Operand, Test, ordering, parse_test};
use super::parser::Comparator;
use super::resolve::refusal;
use super::{Bindings, Path};
use crate::model::key::{KeyError, partition_bytes};
use crate::model::key_attribute::{KeyAttribute, KeyRole};
use crate::model::{ApiError, AttributeValue, KeySchema, KeyValue};

/// What a query asks of the key, not yet compared with a table's or index's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCondition {
    /// One test for each attribute, by its name, in name order whatever order they were written in.
    tests: Vec<(String, KeyTest)>,
}

/// A `KeyConditionExpression` that reads as a condition, though perhaps as one that no key could answer.
#[derive(Debug)]
pub struct UncheckedKeyCondition(Test);

/// What is asked of one key attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyTest {
    /// `= a`
    Equal(AttributeValue),
    /// `< a`
    Less(AttributeValue),
    /// `<= a`
    LessOrEqual(AttributeValue),
    /// `> a`
    Greater(AttributeValue),
    /// `>= a`
    GreaterOrEqual(AttributeValue),
    /// `BETWEEN a AND b`
    Between(AttributeValue, AttributeValue),
    /// `begins_with(…, a)`
    BeginsWith(AttributeValue),
    /// A legacy comparison that no key can answer, such as `NE`.
    NotIndexable,
}

/// What a query reads: one partition, and a stretch of its sort keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInterval {
    /// The partition values, in the schema's order.
    pub partition: Vec<KeyValue>,
    /// The leading sort values that are fixed; only keys with several sort attributes have any.
    pub sort_equal: Vec<KeyValue>,
    /// The stretch of the next sort attribute after those.
    pub sort: SortInterval,
}

impl KeyTest {
    /// The values that it compares with.
    pub fn values(&self) -> Vec<&AttributeValue> {
        match self {
            Self::Equal(value)
            | Self::Less(value)
            | Self::LessOrEqual(value)
            | Self::Greater(value)
            | Self::GreaterOrEqual(value)
            | Self::BeginsWith(value) => vec![value],
            Self::Between(low, high) => vec![low, high],
            Self::NotIndexable => Vec::new(),
        }
    }
}

impl KeyInterval {
    /// True when the interval reads its whole partition.
    pub fn is_whole_partition(&self) -> bool {
        self.sort == SortInterval::All && self.sort_equal.is_empty()
    }

    /// True when the interval reads keys with these sort values, were they in its partition.
    pub fn admits_sort(&self, sort: &[KeyValue]) -> bool {
        sort.starts_with(&self.sort_equal)
            && match sort.get(self.sort_equal.len()) {
                Some(value) => self.sort.admits(value),
                None => self.sort == SortInterval::All,
            }
    }

    /// Appends the canonical bytes of the partition, as [`partition_bytes`] gives them.
    pub fn write_partition(&self, out: &mut Vec<u8>) {
        partition_bytes(&self.partition, out);
    }
}

impl SortInterval {
    fn admits(&self, value: &KeyValue) -> bool {
        match self {
            Self::All => true,
            Self::Equal(bound) => value == bound,
            Self::Less(bound) => value < bound,
            Self::LessOrEqual(bound) => value <= bound,
            Self::Greater(bound) => value > bound,
            Self::GreaterOrEqual(bound) => value >= bound,
            Self::Between(low, high) => low <= value && value <= high,
            Self::BeginsWith(prefix) => match (value, prefix) {
                (KeyValue::S(text), KeyValue::S(prefix)) => text.starts_with(prefix.as_str()),
                (KeyValue::B(bytes), KeyValue::B(prefix)) => bytes.starts_with(prefix),
                _ => false,
            },
        }
    }
}

impl UncheckedKeyCondition {
    /// Takes the condition apart into one test for each attribute.
    ///
    /// # Errors
    /// A validation error in the service's words when no key could answer it.
    pub fn check(self) -> Result<KeyCondition, ApiError> {
        let mut tests = Vec::new();
        collect_key_tests(self.0, &mut tests)?;
        Ok(KeyCondition::from_tests(tests))
    }
}

/// A stretch of one sort attribute's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortInterval {
    /// All of them.
    All,
    /// `= a`
    Equal(KeyValue),
    /// `< a`
    Less(KeyValue),
    /// `<= a`
    LessOrEqual(KeyValue),
    /// `> a`
    Greater(KeyValue),
    /// `>= a`
    GreaterOrEqual(KeyValue),
    /// `BETWEEN a AND b`, both included; the second is not below the first.
    Between(KeyValue, KeyValue),
    /// `begins_with(…, a)`: a string or bytes.
    BeginsWith(KeyValue),
}

/// How a value becomes a key's.
type ReadValue = fn(&AttributeValue, &KeyAttribute, KeyRole) -> Result<KeyValue, KeyError>;

const PARAMETER: &str = "KeyConditionExpression";

impl KeyCondition {
    /// Parses a `KeyConditionExpression`. Whether a key could answer it is asked apart, because the service reads a request's
    /// other expressions in between.
    ///
    /// # Errors
    /// A validation error in the service's words.
    pub fn parse(text: &str, bindings: &mut Bindings<'_>) -> Result<UncheckedKeyCondition, ApiError> {
        let test = parse_test(text, bindings).map_err(|words| refusal(PARAMETER, words))?;
        Ok(UncheckedKeyCondition(test))
    }

    /// Takes one test for each attribute.
    pub fn from_tests(mut tests: Vec<(String, KeyTest)>) -> Self {
        tests.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Self { tests }
    }

    /// The value that the attribute must be equal to, if the condition asks for that.
    pub fn equal_to(&self, name: &str) -> Option<&AttributeValue> {
        match self.test_of(name)? {
            KeyTest::Equal(value) => Some(value),
            _ => None,
        }
    }

    fn test_of(&self, name: &str) -> Option<&KeyTest> {
        self.tests.iter().find(|(tested, _)| tested == name).map(|(_, test)| test)
    }

    /// What the condition reads in a table or index with that key.
    ///
    /// # Errors
    /// A validation error when the conditions are not the key's.
    pub fn resolve(&self, schema: &KeySchema) -> Result<KeyInterval, ApiError> {
        self.resolve_by(schema, KeyValue::from_attribute)
    }

    /// As [`KeyCondition::resolve`], but values may be compared with that no key can have because of their size.
    ///
    /// # Errors
    /// A validation error when the conditions are not the key's.
    pub fn resolve_any_size(&self, schema: &KeySchema) -> Result<KeyInterval, ApiError> {
        self.resolve_by(schema, |value, attribute, _| KeyValue::of_any_size(value, attribute))
    }

    fn resolve_by(&self, schema: &KeySchema, read: ReadValue) -> Result<KeyInterval, ApiError> {
        let attributes = schema.attributes().count();
        if self.tests.len() > attributes {
            return Err(ApiError::validation(format!(
                "The number of query conditions ({}) exceeds the number of key attributes defined in the schema ({attributes})",
                self.tests.len()
            )));
        }
        self.refuse_open_partition(schema)?;
        let partition = schema.partition.iter().map(|attribute| self.partition_value(attribute, read));
        let partition = partition.collect::<Result<Vec<_>, _>>()?;
        self.refuse_strangers(schema)?;
        let mut sort_equal = Vec::new();
        let mut sort = SortInterval::All;
        for attribute in &schema.sort {
            let Some(test) = self.test_of(&attribute.name) else { continue };
            self.refuse_gaps(schema, attribute)?;
            if let SortInterval::Equal(value) =
                std::mem::replace(&mut sort, sort_interval(test, attribute, read)?)
            {
                sort_equal.push(value);
            }
        }
        Ok(KeyInterval { partition, sort_equal, sort })
    }

    /// Refuses a condition that leaves a partition open, where a key has several attributes of one role. Keys of one of each
    /// have words of their own.
    fn refuse_open_partition(&self, schema: &KeySchema) -> Result<(), ApiError> {
        if schema.partition.len() == 1 && schema.sort.len() <= 1 {
            return Ok(());
        }
        let open: Vec<&str> = self.without_value(&schema.partition).collect();
        if open.is_empty() {
            return Ok(());
        }
        Err(ApiError::validation(format!(
            "HASH key attributes {} must have equality conditions specified in the query",
            open.join(", ")
        )))
    }

    /// The names of those attributes for which the condition does not fix a value.
    fn without_value<'k>(&self, attributes: &'k [KeyAttribute]) -> impl Iterator<Item = &'k str> {
        let names = attributes.iter().map(|attribute| attribute.name.as_str());
        names.filter(|name| !matches!(self.test_of(name), Some(KeyTest::Equal(_))))
    }

    /// The one value that the condition gives a partition attribute.
    fn partition_value(&self, attribute: &KeyAttribute, read: ReadValue) -> Result<KeyValue, ApiError> {
        let Some(test) = self.test_of(&attribute.name) else { return Err(missed(&attribute.name)) };
        check_key_test(test, attribute)?;
        match test {
            KeyTest::Equal(value) => key_value(value, attribute, KeyRole::Partition, read),
            KeyTest::Less(_)
            | KeyTest::LessOrEqual(_)
            | KeyTest::Greater(_)
            | KeyTest::GreaterOrEqual(_)
            | KeyTest::Between(..)
            | KeyTest::BeginsWith(_)
            | KeyTest::NotIndexable => Err(ApiError::validation("Query key condition not supported")),
        }
    }

    /// Refuses a condition on an attribute that is not of the key; what is missed is the first sort attribute without one.
    fn refuse_strangers(&self, schema: &KeySchema) -> Result<(), ApiError> {
        if self.tests.iter().all(|(name, _)| schema.contains(name)) {
            return Ok(());
        }
        let untested = schema.sort.iter().find(|attribute| self.test_of(&attribute.name).is_none());
        match untested {
            Some(attribute) => Err(missed(&attribute.name)),
            None => Err(ApiError::validation("Query key condition not supported")),
        }
    }

    /// Refuses a condition on a sort attribute before which another one has no fixed value.
    fn refuse_gaps(&self, schema: &KeySchema, attribute: &KeyAttribute) -> Result<(), ApiError> {
        let before = schema.sort.iter().take_while(|earlier| earlier.name != attribute.name).count();
        let open: Vec<&str> = self.without_value(&schema.sort[..before]).collect();
        if open.is_empty() {
            return Ok(());
        }
        Err(ApiError::validation(format!(
            "RANGE key attributes {} must have equality conditions specified in the query because a condition \
             is present on key attribute {}",
            open.join(", "),
            attribute.name
        )))
    }
}

fn missed(name: &str) -> ApiError {
    ApiError::validation(format!("Query condition missed key schema element: {name}"))
}

fn sort_interval(
    test: &KeyTest,
    attribute: &KeyAttribute,
    read: ReadValue,
) -> Result<SortInterval, ApiError> {
    check_key_test(test, attribute)?;
    let value = |value| key_value(value, attribute, KeyRole::Sort, read);
    Ok(match test {
        KeyTest::Equal(bound) => SortInterval::Equal(value(bound)?),
        KeyTest::Less(bound) => SortInterval::Less(value(bound)?),
        KeyTest::LessOrEqual(bound) => SortInterval::LessOrEqual(value(bound)?),
        KeyTest::Greater(bound) => SortInterval::Greater(value(bound)?),
        KeyTest::GreaterOrEqual(bound) => SortInterval::GreaterOrEqual(value(bound)?),
        KeyTest::Between(low, high) => SortInterval::Between(value(low)?, value(high)?),
        KeyTest::BeginsWith(prefix) => SortInterval::BeginsWith(value(prefix)?),
        KeyTest::NotIndexable => return Err(not_indexable()),
    })
}

fn not_indexable() -> ApiError {
    ApiError::validation("Attempted conditional constraint is not an indexable operation")
}

/// Checks that a key could be asked this, and that every value has the attribute's type.
fn check_key_test(test: &KeyTest, attribute: &KeyAttribute) -> Result<(), ApiError> {
    if *test == KeyTest::NotIndexable {
        return Err(not_indexable());
    }
    if test.values().into_iter().all(|value| attribute.scalar_type.admits(value)) {
        return Ok(());
    }
    Err(ApiError::validation(
        "One or more parameter values were invalid: Condition parameter type does not match schema type",
    ))
}

fn key_value(
    value: &AttributeValue,
    attribute: &KeyAttribute,
    role: KeyRole,
    read: ReadValue,
) -> Result<KeyValue, ApiError> {
    read(value, attribute, role).map_err(|error| {
        ApiError::validation(match error {
            KeyError::Empty { name } => {
                let kind = if matches!(value, AttributeValue::B(_)) { "binary" } else { "string" };
                format!(
                    "One or more parameter values are not valid. The AttributeValue for a key attribute \
                     cannot contain an empty {kind} value. Key: {name}"
                )
            }
            KeyError::TooLong { role: KeyRole::Partition, .. } => {
                // The service leaves out the space.
                "One or more parameter values were invalid: \
                 Size of hashkey has exceeded the maximum size limit of2048 bytes"
                    .to_owned()
            }
            KeyError::TooLong { role: KeyRole::Sort, .. } => "One or more parameter values were invalid: \
                 Aggregated size of all range keys has exceeded the size limit of 1024 bytes"
                .to_owned(),
            KeyError::Missing { .. } | KeyError::WrongType { .. } | KeyError::Foreign => {
                "One or more parameter values were invalid: \
                 Condition parameter type does not match schema type"
                    .to_owned()
            }
        })
    })
}

/// Takes a condition apart into one test for each attribute, in the order in which the service finds fault.
fn collect_key_tests(test: Test, tests: &mut Vec<(String, KeyTest)>) -> Result<(), ApiError> {
    let (name, key_test) = match test {
        Test::And(parts) => {
            return parts.into_iter().try_for_each(|part| collect_key_tests(part, tests));
        }
        Test::Or(_) => return Err(invalid_operator("OR")),
        Test::Not(_) => return Err(invalid_operator("NOT")),
        Test::In { .. } => return Err(invalid_operator("IN")),
        Test::Exists(_) => return Err(invalid_operator("attribute_exists")),
        Test::NotExists(_) => return Err(invalid_operator("attribute_not_exists")),
        Test::HasType { .. } => return Err(invalid_operator("attribute_type")),
        Test::Contains { .. } => return Err(invalid_operator("contains")),
        Test::Compare { operator, left, right } => comparison(operator, left, right)?,
        Test::Between { value, low, high } => {
            let (name, mut bounds) = key_operands("BETWEEN", [value, low, high])?;
            let high = bounds.pop().expect("a range has two bounds");
            let low = bounds.pop().expect("a range has two bounds");
            (name, KeyTest::Between(low, high))
        }
        Test::BeginsWith { text, prefix } => {
            let (name, mut prefixes) = key_operands("begins_with", [text, prefix])?;
            (name, KeyTest::BeginsWith(prefixes.pop().expect("begins_with has a prefix")))
        }
    };
    if tests.iter().any(|(tested, _)| *tested == name) {
        return Err(refusal(
            PARAMETER,
            "KeyConditionExpressions must only contain one condition per key".to_owned(),
        ));
    }
    tests.push((name, key_test));
    Ok(())
}

fn comparison(operator: Comparator, left: Operand, right: Operand) -> Result<(String, KeyTest), ApiError> {
    if operator == Comparator::NotEqual {
        return Err(invalid_operator(operator.symbol()));
    }
    let attribute_first = matches!(left, Operand::Path(_));
    let (name, mut values) = key_attribute([left, right])?;
    let value = values.pop().expect("a comparison has two operands");
    let key_test = match if attribute_first { operator } else { operator.turned() } {
        Comparator::Equal | Comparator::NotEqual => KeyTest::Equal(value),
        Comparator::Less => KeyTest::Less(value),
        Comparator::LessOrEqual => KeyTest::LessOrEqual(value),
        Comparator::Greater => KeyTest::Greater(value),
        Comparator::GreaterOrEqual => KeyTest::GreaterOrEqual(value),
    };
    Ok((name, key_test))
}

/// The attribute and the values of an operator whose first operand must be the attribute.
fn key_operands<const N: usize>(
    operator: &str,
    operands: [Operand; N],
) -> Result<(String, Vec<AttributeValue>), ApiError> {
    if matches!(operands.first(), Some(Operand::Value(_))) {
        return Err(invalid_condition(&format!(
            "{operator} operator must have the key attribute as its first operand"
        )));
    }
    key_attribute(operands)
}

/// The one attribute among the operands, and the values in their order.
fn key_attribute<const N: usize>(operands: [Operand; N]) -> Result<(String, Vec<AttributeValue>), ApiError> {
    let mut attribute: Option<Path> = None;
    let mut values = Vec::with_capacity(N);
    for operand in operands {
        match operand {
            Operand::Path(_) if attribute.is_some() => {
                return Err(invalid_condition("Multiple attribute names used in one condition"));
            }
            Operand::Path(path) if path.is_nested() => {
                return Err(ApiError::validation(
                    "KeyConditionExpressions cannot have conditions on nested attributes",
                ));
            }
            Operand::Path(path) => attribute = Some(path),
            Operand::Value(value) => values.push(value),
            Operand::Size(_) | Operand::Truth(_) => {
                return Err(ApiError::validation("KeyConditionExpressions cannot contain nested operations"));
            }
        }
    }
    match attribute {
        Some(path) => Ok((path.root, values)),
        None => Err(invalid_condition("No key attribute specified")),
    }
}

fn invalid_operator(operator: &str) -> ApiError {
    ApiError::validation(format!("Invalid operator used in {PARAMETER}: {operator}"))
}

fn invalid_condition(words: &str) -> ApiError {
    ApiError::validation(format!("Invalid condition in {PARAMETER}: {words}"))
}

/// True when the first bound of a range is above the second.
pub(super) fn is_reversed(low: &AttributeValue, high: &AttributeValue) -> bool {
    ordering(low, high) == Some(Ordering::Greater)
}
