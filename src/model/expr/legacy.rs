//! The parameters that expressions replaced: `Expected`, `AttributeUpdates`, `KeyConditions`, `QueryFilter`, `ScanFilter`,
//! `AttributesToGet`. They become the trees of the expressions.
//!
//! What arrives here is decoded already; the rules are those that hold between values: how many an operator takes, of which
//! types, and which members may stand together. The members of one parameter are looked at in the order in which they
//! arrive.

use super::condition::{Operand, Test};
use super::key_condition::{KeyTest, is_reversed};
use super::parser::Comparator;
use super::update::{Action, Change, Operand as UpdateOperand, SetValue};
use super::{Condition, KeyCondition, Path, Paths, Update};
use crate::model::{ApiError, AttributeValue};

/// The values of `ComparisonOperator`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComparisonOperator {
    /// Equal.
    Eq,
    /// Not equal.
    Ne,
    /// Less or equal.
    Le,
    /// Less.
    Lt,
    /// Greater or equal.
    Ge,
    /// Greater.
    Gt,
    /// The attribute exists.
    NotNull,
    /// The attribute does not exist.
    Null,
    /// A string has a part, or a set or list an element.
    Contains,
    /// The attribute exists and does not contain.
    NotContains,
    /// A string or bytes begin with.
    BeginsWith,
    /// Equal to one of.
    In,
    /// Within bounds, both included.
    Between,
}

impl ComparisonOperator {
    /// The operator of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "EQ" => Some(Self::Eq),
            "NE" => Some(Self::Ne),
            "LE" => Some(Self::Le),
            "LT" => Some(Self::Lt),
            "GE" => Some(Self::Ge),
            "GT" => Some(Self::Gt),
            "NOT_NULL" => Some(Self::NotNull),
            "NULL" => Some(Self::Null),
            "CONTAINS" => Some(Self::Contains),
            "NOT_CONTAINS" => Some(Self::NotContains),
            "BEGINS_WITH" => Some(Self::BeginsWith),
            "IN" => Some(Self::In),
            "BETWEEN" => Some(Self::Between),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Eq => "EQ",
            Self::Ne => "NE",
            Self::Le => "LE",
            Self::Lt => "LT",
            Self::Ge => "GE",
            Self::Gt => "GT",
            Self::NotNull => "NOT_NULL",
            Self::Null => "NULL",
            Self::Contains => "CONTAINS",
            Self::NotContains => "NOT_CONTAINS",
            Self::BeginsWith => "BEGINS_WITH",
            Self::In => "IN",
            Self::Between => "BETWEEN",
        }
    }

    fn takes(self, values: usize) -> bool {
        match self {
            Self::NotNull | Self::Null => values == 0,
            Self::In => values >= 1,
            Self::Between => values == 2,
            Self::Eq
            | Self::Ne
            | Self::Le
            | Self::Lt
            | Self::Ge
            | Self::Gt
            | Self::Contains
            | Self::NotContains
            | Self::BeginsWith => values == 1,
        }
    }

    fn admits(self, value: &AttributeValue) -> bool {
        let type_name = value.type_name();
        match self {
            Self::Eq | Self::Ne | Self::NotNull | Self::Null => true,
            Self::Le | Self::Lt | Self::Ge | Self::Gt | Self::In | Self::Between => {
                matches!(type_name, "S" | "N" | "B")
            }
            Self::Contains | Self::NotContains => {
                matches!(type_name, "S" | "N" | "B" | "BOOL" | "NULL")
            }
            Self::BeginsWith => matches!(type_name, "S" | "B"),
        }
    }
}

/// `ConditionalOperator`: how several comparisons make one condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionalOperator {
    /// All must hold.
    And,
    /// One must hold.
    Or,
}

impl ConditionalOperator {
    /// Reads the operator of a parameter that has so many conditions.
    ///
    /// # Errors
    /// A validation error when it has too little to put together, or is none; the service's own words for that are not its
    /// own values.
    pub fn read(name: &str, conditions: usize) -> Result<Self, ApiError> {
        Err(ApiError::validation(match (conditions, name) {
            (0, _) => "ConditionalOperator cannot be used without Filter or Expected",
            (1, _) => "ConditionalOperator can only be used when Filter or Expected has two or more elements",
            (_, "AND") => return Ok(Self::And),
            (_, "OR") => return Ok(Self::Or),
            (_, _) => "Failed to satisfy constraint: Member must satisfy enum value set: [ALL, OR]",
        }))
    }
}

/// A comparison of one attribute, as filters and key conditions spell it.
///
/// Invariant: the operator takes these values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    operator: ComparisonOperator,
    values: Vec<AttributeValue>,
}

impl Comparison {
    /// Puts operator and values together.
    ///
    /// # Errors
    /// A validation error for too many or too few values, or values of a type that the operator cannot take.
    pub fn new(operator: ComparisonOperator, values: Vec<AttributeValue>) -> Result<Self, ApiError> {
        if !operator.takes(values.len()) {
            return Err(invalid(format!(
                "Invalid number of argument(s) for the {} ComparisonOperator",
                operator.name()
            )));
        }
        let is_mixed = values.windows(2).any(|pair| pair[0].type_name() != pair[1].type_name());
        // `IN` names a type that it does not take before types that differ, the others the other way round.
        if is_mixed && operator != ComparisonOperator::In {
            return Err(mixed());
        }
        if let Some(value) = values.iter().find(|value| !operator.admits(value)) {
            return Err(invalid(format!(
                "ComparisonOperator {} is not valid for {} AttributeValue type",
                operator.name(),
                value.type_name()
            )));
        }
        if is_mixed {
            return Err(mixed());
        }
        if let (ComparisonOperator::Between, [low, high]) = (operator, values.as_slice())
            && is_reversed(low, high)
        {
            return Err(ApiError::validation(
                "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound",
            ));
        }
        Ok(Self { operator, values })
    }

    fn into_test(self, name: &str) -> Test {
        let path = || Path::attribute(name);
        let attribute = || Operand::Path(path());
        let mut values = self.values.into_iter().map(Operand::Value);
        let mut value = || values.next().expect("a comparison has as many values as its operator takes");
        let mut compare = |operator| Test::Compare { operator, left: attribute(), right: value() };
        match self.operator {
            ComparisonOperator::Eq => compare(Comparator::Equal),
            ComparisonOperator::Ne => compare(Comparator::NotEqual),
            ComparisonOperator::Le => compare(Comparator::LessOrEqual),
            ComparisonOperator::Lt => compare(Comparator::Less),
            ComparisonOperator::Ge => compare(Comparator::GreaterOrEqual),
            ComparisonOperator::Gt => compare(Comparator::Greater),
            ComparisonOperator::NotNull => Test::Exists(path()),
            ComparisonOperator::Null => Test::NotExists(path()),
            ComparisonOperator::Contains => Test::Contains { container: attribute(), element: value() },
            ComparisonOperator::NotContains => {
                let contains = Test::Contains { container: attribute(), element: value() };
                Test::And(vec![Test::Exists(path()), Test::Not(Box::new(contains))])
            }
            ComparisonOperator::BeginsWith => Test::BeginsWith { text: attribute(), prefix: value() },
            ComparisonOperator::Between => Test::Between { value: attribute(), low: value(), high: value() },
            ComparisonOperator::In => Test::In { value: attribute(), choices: values.collect() },
        }
    }

    fn into_key_test(self) -> KeyTest {
        let mut values = self.values.into_iter();
        let mut value = || values.next().expect("a comparison has as many values as its operator takes");
        match self.operator {
            ComparisonOperator::Eq => KeyTest::Equal(value()),
            ComparisonOperator::Le => KeyTest::LessOrEqual(value()),
            ComparisonOperator::Lt => KeyTest::Less(value()),
            ComparisonOperator::Ge => KeyTest::GreaterOrEqual(value()),
            ComparisonOperator::Gt => KeyTest::Greater(value()),
            ComparisonOperator::BeginsWith => KeyTest::BeginsWith(value()),
            ComparisonOperator::Between => KeyTest::Between(value(), value()),
            ComparisonOperator::Ne
            | ComparisonOperator::NotNull
            | ComparisonOperator::Null
            | ComparisonOperator::Contains
            | ComparisonOperator::NotContains
            | ComparisonOperator::In => KeyTest::NotIndexable,
        }
    }
}

/// One member of `Expected`, as sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expectation {
    /// `Exists`
    pub exists: Option<bool>,
    /// `Value`
    pub value: Option<AttributeValue>,
    /// `ComparisonOperator`
    pub operator: Option<ComparisonOperator>,
    /// `AttributeValueList`
    pub values: Option<Vec<AttributeValue>>,
}

impl Expectation {
    /// The comparison that is meant: the members allow two ways to say it.
    fn into_comparison(self, name: &str) -> Result<Comparison, ApiError> {
        if self.values.is_some() && self.value.is_some() {
            return Err(invalid(format!(
                "Value and AttributeValueList cannot be used together for Attribute: {name}"
            )));
        }
        let Some(operator) = self.operator else { return self.into_existence(name) };
        if self.exists.is_some() {
            return Err(invalid(format!(
                "Exists and ComparisonOperator cannot be used together for Attribute: {name}"
            )));
        }
        let has_values = self.value.is_some() || self.values.is_some();
        if !has_values && !operator.takes(0) {
            return Err(invalid(format!(
                "Value or AttributeValueList must be used with ComparisonOperator: {} for Attribute: {name}",
                operator.name()
            )));
        }
        Comparison::new(operator, self.values.unwrap_or_else(|| self.value.into_iter().collect()))
    }

    fn into_existence(self, name: &str) -> Result<Comparison, ApiError> {
        if self.values.is_some() {
            return Err(invalid(format!(
                "AttributeValueList can only be used with a ComparisonOperator for Attribute: {name}"
            )));
        }
        match (self.exists, self.value) {
            (Some(false), None) => Comparison::new(ComparisonOperator::Null, Vec::new()),
            (Some(false), Some(_)) => {
                Err(invalid(format!("Value cannot be used when Exists is false for Attribute: {name}")))
            }
            (None | Some(true), Some(value)) => Comparison::new(ComparisonOperator::Eq, vec![value]),
            (exists, None) => {
                let exists = exists.map_or_else(|| "null".to_owned(), |exists| exists.to_string());
                Err(invalid(format!("Value must be provided when Exists is {exists} for Attribute: {name}")))
            }
        }
    }
}

/// `Action` of a member of `AttributeUpdates`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateAction {
    /// Sets the attribute; what is meant when nothing is said.
    Put,
    /// Adds to a number, a set or a list.
    Add,
    /// Removes the attribute, or members of its set.
    Delete,
}

impl UpdateAction {
    /// The action of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "PUT" => Some(Self::Put),
            "ADD" => Some(Self::Add),
            "DELETE" => Some(Self::Delete),
            _ => None,
        }
    }
}

/// The paths of `AttributesToGet`. A name is a whole attribute's, dots and brackets included.
///
/// # Errors
/// A validation error for an attribute named twice.
pub fn attributes_to_get(names: &[&str]) -> Result<Paths, ApiError> {
    let mut seen = std::collections::BTreeSet::new();
    if let Some(name) = names.iter().find(|name| !seen.insert(**name)) {
        return Err(invalid(format!("Duplicate value in attribute name: {name}")));
    }
    Ok(names.iter().map(|name| Path::attribute(*name)).collect())
}

/// The condition of `Expected`; `None` when it has no member.
///
/// # Errors
/// A validation error in the service's words.
pub fn expected(
    expectations: Vec<(String, Expectation)>,
    operator: Option<ConditionalOperator>,
) -> Result<Option<Condition>, ApiError> {
    let comparisons = expectations.into_iter().map(|(name, expectation)| {
        let comparison = expectation.into_comparison(&name)?;
        Ok((name, comparison))
    });
    Ok(filter(comparisons.collect::<Result<_, ApiError>>()?, operator))
}

/// The condition of `QueryFilter` or `ScanFilter`; `None` when it has no member.
pub fn filter(
    comparisons: Vec<(String, Comparison)>,
    operator: Option<ConditionalOperator>,
) -> Option<Condition> {
    let mut tests: Vec<Test> =
        comparisons.into_iter().map(|(name, comparison)| comparison.into_test(&name)).collect();
    let test = match (tests.len(), operator) {
        (0, _) => return None,
        (1, _) => tests.remove(0),
        (_, Some(ConditionalOperator::Or)) => Test::Or(tests),
        (_, Some(ConditionalOperator::And) | None) => Test::And(tests),
    };
    Some(Condition::from_test(test))
}

/// The key condition of `KeyConditions`.
///
/// # Errors
/// A validation error when it has no member.
pub fn key_conditions(comparisons: Vec<(String, Comparison)>) -> Result<KeyCondition, ApiError> {
    if comparisons.is_empty() {
        return Err(ApiError::validation("Conditions can be of length 1 or 2 only"));
    }
    let tests = comparisons.into_iter().map(|(name, comparison)| (name, comparison.into_key_test()));
    Ok(KeyCondition::from_tests(tests.collect()))
}

/// The update of `AttributeUpdates`.
///
/// # Errors
/// A validation error in the service's words.
pub fn attribute_updates(
    updates: Vec<(String, UpdateAction, Option<AttributeValue>)>,
) -> Result<Update, ApiError> {
    let actions = updates.into_iter().map(|(name, action, value)| {
        Ok(Action { path: Path::attribute(name), change: legacy_change(action, value)? })
    });
    Ok(Update::from_legacy(actions.collect::<Result<_, ApiError>>()?))
}

fn legacy_change(action: UpdateAction, value: Option<AttributeValue>) -> Result<Change, ApiError> {
    match (action, value) {
        (UpdateAction::Delete, None) => Ok(Change::Remove),
        (UpdateAction::Put | UpdateAction::Add, None) => {
            Err(invalid("Only DELETE action is allowed when no attribute value is specified".to_owned()))
        }
        (UpdateAction::Put, Some(value)) => Ok(Change::Set(SetValue::Plain(UpdateOperand::Value(value)))),
        (UpdateAction::Delete, Some(value)) => match value.type_name() {
            "SS" | "NS" | "BS" => Ok(Change::Delete(value)),
            other => Err(invalid(format!("DELETE action with value is not supported for the type {other}"))),
        },
        (UpdateAction::Add, Some(value)) => match value.type_name() {
            "N" | "SS" | "NS" | "BS" | "L" => Ok(Change::Add(value)),
            other => Err(invalid(format!("ADD action is not supported for the type {other}"))),
        },
    }
}

fn mixed() -> ApiError {
    invalid("AttributeValues inside AttributeValueList must be of same type".to_owned())
}

fn invalid(words: String) -> ApiError {
    ApiError::validation(format!("One or more parameter values were invalid: {words}"))
}
