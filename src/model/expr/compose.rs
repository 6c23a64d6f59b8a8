//! Conditions and updates put together from parts, for a language that is not DynamoDB's expressions: PartiQL.
//!
//! The parts are checked against each other as an expression's are. Errors are the service's words without the parameter
//! that expressions name before them.

use super::condition::{Operand as ConditionOperand, Test, Wording};
use super::parser::Comparator;
use super::resolve::{Function, check_operand_count, not_distinct, path_required};
use super::update::{self, Action, Change, SetValue, check_operand_types};
use super::{Condition, OPERATORS_MAX, Path, Update};
use crate::model::AttributeValue;

/// The words of a refusal.
pub type Refusal = String;

/// How many operators and functions a condition or update may still have.
#[derive(Debug, Default)]
pub struct OperatorCount {
    operators: usize,
}

impl OperatorCount {
    /// Counts operators.
    ///
    /// # Errors
    /// More than an expression may have.
    pub fn add(&mut self, more: usize) -> Result<(), Refusal> {
        self.operators += more;
        if self.operators <= OPERATORS_MAX {
            return Ok(());
        }
        // The service stops counting at the first that is too many.
        Err(format!("The expression contains too many operators; operator count: {}", OPERATORS_MAX + 1))
    }
}

/// A function as conditions and updates call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    /// It stands for a condition.
    Condition,
    /// It stands for a value in a condition: `size`.
    Operand,
    /// It stands for a value in an update.
    Update,
}

impl FunctionKind {
    /// The kind of the function of that name, in lower case; `None` when there is none.
    pub fn of(name: &str) -> Option<Self> {
        Some(match Function::from_name(name)? {
            Function::Size => Self::Operand,
            Function::IfNotExists | Function::ListAppend => Self::Update,
            _ => Self::Condition,
        })
    }
}

/// What a condition compares.
#[derive(Clone, Debug)]
pub struct Term(ConditionOperand);

impl Term {
    /// What lies at a path.
    pub fn path(path: Path) -> Self {
        Self(ConditionOperand::Path(path))
    }

    /// A value.
    pub fn value(value: AttributeValue) -> Self {
        Self(ConditionOperand::Value(value))
    }

    /// Whether a condition holds.
    pub fn truth(condition: Condition) -> Self {
        Self(ConditionOperand::Truth(Box::new(condition.into_test())))
    }

    /// `size(…)`.
    ///
    /// # Errors
    /// The words for operands that it cannot have.
    pub fn size(name: &str, operands: Vec<Self>) -> Result<Self, Refusal> {
        ConditionOperand::size(name, unwrapped(operands)).map(Self)
    }
}

fn unwrapped(terms: Vec<Term>) -> Vec<ConditionOperand> {
    terms.into_iter().map(|term| term.0).collect()
}

/// Conditions of parts.
impl Condition {
    /// True when all parts are.
    pub fn all(parts: Vec<Self>) -> Self {
        Self::joined(parts, Test::And)
    }

    /// True when any part is.
    pub fn any(parts: Vec<Self>) -> Self {
        Self::joined(parts, Test::Or)
    }

    fn joined(mut parts: Vec<Self>, join: fn(Vec<Test>) -> Test) -> Self {
        match parts.len() {
            1 => parts.remove(0),
            _ => Self::from_test(join(parts.into_iter().map(Self::into_test).collect())),
        }
    }

    /// True when `self` is not.
    #[must_use]
    pub fn negated(self) -> Self {
        Self::from_test(Test::Not(Box::new(self.into_test())))
    }

    /// True when something lies at the path.
    pub fn exists(path: Path) -> Self {
        Self::from_test(Test::Exists(path))
    }

    /// True when nothing lies at the path.
    pub fn not_exists(path: Path) -> Self {
        Self::from_test(Test::NotExists(path))
    }

    /// True when what the term stands for is of that type.
    pub fn has_type(term: Term, type_name: &str) -> Self {
        Self::from_test(Test::HasType { value: term.0, type_name: type_name.to_owned() })
    }

    /// A comparison.
    ///
    /// # Errors
    /// The words for terms that cannot be compared so.
    pub fn compare(operator: Comparator, left: Term, right: Term) -> Result<Self, Refusal> {
        Test::comparison(operator, left.0, right.0).map(Self::from_test)
    }

    /// `… BETWEEN … AND …`.
    ///
    /// # Errors
    /// The words for terms that are no bounds.
    pub fn between(value: Term, low: Term, high: Term) -> Result<Self, Refusal> {
        Test::between(value.0, low.0, high.0, Wording::Statement).map(Self::from_test)
    }

    /// `… IN …`.
    ///
    /// # Errors
    /// The words for too many choices.
    pub fn one_of(value: Term, choices: Vec<Term>) -> Result<Self, Refusal> {
        Test::one_of(value.0, unwrapped(choices)).map(Self::from_test)
    }

    /// A call of a function of [`FunctionKind::Condition`].
    ///
    /// # Errors
    /// The words for operands that it cannot have.
    pub fn call(name: &str, operands: Vec<Term>) -> Result<Self, Refusal> {
        let function = Function::from_name(name).expect("callers know the function's kind");
        Test::call(function, name, unwrapped(operands), Wording::Statement).map(Self::from_test)
    }
}

/// What an update sets a path to.
#[derive(Clone, Debug)]
pub struct NewValue(update::Operand);

impl NewValue {
    /// What lies at a path.
    pub fn path(path: Path) -> Self {
        Self(update::Operand::Path(path))
    }

    /// A value.
    pub fn value(value: AttributeValue) -> Self {
        Self(update::Operand::Value(value))
    }

    /// The sum of two numbers.
    ///
    /// # Errors
    /// The words for a value that is no number.
    pub fn sum(left: Self, right: Self) -> Result<Self, Refusal> {
        check_operand_types("+", &[&left.0, &right.0], "N")?;
        Ok(Self(update::Operand::Sum(Box::new(left.0), Box::new(right.0))))
    }

    /// The difference of two numbers.
    ///
    /// # Errors
    /// The words for a value that is no number.
    pub fn difference(left: Self, right: Self) -> Result<Self, Refusal> {
        check_operand_types("-", &[&left.0, &right.0], "N")?;
        Ok(Self(update::Operand::Difference(Box::new(left.0), Box::new(right.0))))
    }

    /// A call of a function of [`FunctionKind::Update`].
    ///
    /// # Errors
    /// The words for operands that it cannot have.
    pub fn call(name: &str, operands: Vec<Self>) -> Result<Self, Refusal> {
        let function = Function::from_name(name).expect("callers know the function's kind");
        check_operand_count(function, name, operands.len())?;
        let mut operands = operands.into_iter().map(|operand| operand.0);
        let (Some(first), Some(second)) = (operands.next(), operands.next()) else {
            unreachable!("functions of updates have two operands");
        };
        if function == Function::ListAppend {
            check_operand_types(name, &[&first, &second], "L")?;
            return Ok(Self(update::Operand::ListAppend(Box::new(first), Box::new(second))));
        }
        match (first, second) {
            (update::Operand::Path(path), update::Operand::Path(other)) if path == other => {
                Err(not_distinct(name, &path))
            }
            (update::Operand::Path(path), second) => {
                Ok(Self(update::Operand::IfNotExists(path, Box::new(second))))
            }
            _ => Err(path_required(name)),
        }
    }
}

/// What happens at one path of an item.
#[derive(Clone, Debug)]
pub enum PathChange {
    /// It is set.
    Set(NewValue),
    /// It is removed.
    Remove,
    /// These members are added to its set, which is made when it is missing.
    AddMembers(AttributeValue),
    /// These members are taken out of its set, which is removed with its last one.
    RemoveMembers(AttributeValue),
}

impl Update {
    /// An update of parts.
    ///
    /// # Errors
    /// The words for two paths of which one lies within the other.
    pub fn of_changes(changes: Vec<(Path, PathChange)>) -> Result<Self, Refusal> {
        let actions = changes.into_iter().map(|(path, change)| {
            let change = match change {
                PathChange::Set(value) => Change::Set(SetValue::Plain(value.0)),
                PathChange::Remove => Change::Remove,
                PathChange::AddMembers(set) => Change::Add(set),
                PathChange::RemoveMembers(set) => Change::Delete(set),
            };
            Action { path, change }
        });
        Self::of_actions(actions.collect())
    }
}

/// Refuses paths of which one lies within another, or that disagree on a place.
///
/// # Errors
/// The service's words.
pub fn refuse_clashing(paths: &[&Path]) -> Result<(), Refusal> {
    super::path::refuse_clashes_later_first(paths)
}

/// Refuses a path that leads too deep.
///
/// # Errors
/// The service's words.
pub fn check_path_depth(path: &Path) -> Result<(), Refusal> {
    super::resolve::check_depth(1 + path.steps.len())
}
