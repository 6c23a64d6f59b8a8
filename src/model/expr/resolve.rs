//! From what was written to what is meant: functions and attribute names are checked, placeholders replaced.
//!
//! The service looks at an expression twice. First at its words, from left to right: functions that do not exist or stand in
//! the wrong place, reserved words, list indexes out of range. Then at its operands, from the inside out: placeholders
//! without a meaning, numbers and types of operands.

use super::parser::{RawCall, RawOperand, RawPath, RawPiece, RawTest};
use super::reserved::is_reserved;
use super::{Bindings, OPERATORS_MAX, Path, Step};
use crate::model::{ApiError, AttributeValue};

/// How many attributes and elements a path may lead through, its own top-level attribute included.
const PATH_PIECES_MAX: usize = 32;
/// The longest `IN` list.
const CHOICES_MAX: usize = 100;

/// Puts the service's words under the parameter that they are about.
pub(super) fn refusal(parameter: &str, words: String) -> ApiError {
    ApiError::validation(format!("Invalid {parameter}: {words}"))
}

/// The functions of all languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    AttributeExists,
    AttributeNotExists,
    AttributeType,
    BeginsWith,
    Contains,
    Size,
    IfNotExists,
    ListAppend,
}

impl Function {
    /// Function names are told apart by case.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name {
            "attribute_exists" => Some(Self::AttributeExists),
            "attribute_not_exists" => Some(Self::AttributeNotExists),
            "attribute_type" => Some(Self::AttributeType),
            "begins_with" => Some(Self::BeginsWith),
            "contains" => Some(Self::Contains),
            "size" => Some(Self::Size),
            "if_not_exists" => Some(Self::IfNotExists),
            "list_append" => Some(Self::ListAppend),
            _ => None,
        }
    }

    fn operand_count(self) -> usize {
        match self {
            Self::AttributeExists | Self::AttributeNotExists | Self::Size => 1,
            Self::AttributeType
            | Self::BeginsWith
            | Self::Contains
            | Self::IfNotExists
            | Self::ListAppend => 2,
        }
    }

    fn is_for_updates(self) -> bool {
        matches!(self, Self::IfNotExists | Self::ListAppend)
    }
}

/// Where in an expression a node stands, for the rules on functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A condition, or a part of one.
    Condition,
    /// An operand within a condition.
    ConditionOperand,
    /// The right side of a `SET`.
    UpdateValue,
    /// An operand within such a right side.
    UpdateOperand,
}

/// Checks functions, reserved words and list indexes of a condition, in the order in which they are written.
///
/// # Errors
/// The words that follow `Invalid …Expression: `.
pub(super) fn check_words(test: &RawTest<'_>) -> Result<(), String> {
    let check_operand = |operand| check_operand_words(operand, Place::ConditionOperand);
    match test {
        RawTest::TooDeep => Ok(()),
        RawTest::Call(call) => check_call_words(call, Place::Condition),
        RawTest::Compare { left, right, .. } => [left, right].into_iter().try_for_each(check_operand),
        RawTest::Between { value, low, high } => [value, low, high].into_iter().try_for_each(check_operand),
        RawTest::In { value, choices } => std::iter::once(value).chain(choices).try_for_each(check_operand),
        RawTest::Not(inner) => check_words(inner),
        RawTest::And(parts) | RawTest::Or(parts) => parts.iter().try_for_each(check_words),
    }
}

/// The same of an operand that stands at that place.
///
/// # Errors
/// The words that follow `Invalid …Expression: `.
pub(super) fn check_operand_words(operand: &RawOperand<'_>, place: Place) -> Result<(), String> {
    match operand {
        RawOperand::Path(path) => check_path_words(path),
        RawOperand::Value(_) | RawOperand::TooDeep => Ok(()),
        RawOperand::Call(call) => check_call_words(call, place),
    }
}

fn check_call_words(call: &RawCall<'_>, place: Place) -> Result<(), String> {
    check_function(call.function, place)?;
    let within = match place {
        Place::Condition | Place::ConditionOperand => Place::ConditionOperand,
        Place::UpdateValue | Place::UpdateOperand => Place::UpdateOperand,
    };
    call.arguments.iter().try_for_each(|argument| check_operand_words(argument, within))
}

fn check_function(name: &str, place: Place) -> Result<(), String> {
    let Some(function) = Function::from_name(name) else {
        return Err(format!("Invalid function name; function: {name}"));
    };
    let in_update = matches!(place, Place::UpdateValue | Place::UpdateOperand);
    if function.is_for_updates() != in_update {
        let language = if in_update { "an update" } else { "a condition" };
        return Err(format!("The function is not allowed in {language} expression; function: {name}"));
    }
    let misplaced = match place {
        Place::Condition => function == Function::Size,
        Place::ConditionOperand => function != Function::Size,
        Place::UpdateValue => false,
        Place::UpdateOperand => function == Function::ListAppend,
    };
    if misplaced {
        return Err(format!(
            "The function is not allowed to be used this way in an expression; function: {name}"
        ));
    }
    Ok(())
}

/// Checks the reserved words and list indexes of a path.
///
/// # Errors
/// The words that follow `Invalid …Expression: `.
pub(super) fn check_path_words(path: &RawPath<'_>) -> Result<(), String> {
    for piece in &path.pieces {
        match piece {
            RawPiece::Name(name) if is_reserved(name) => {
                return Err(format!("Attribute name is a reserved keyword; reserved keyword: {name}"));
            }
            RawPiece::Index(digits) if digits.parse::<i32>().is_err() => {
                return Err(format!("List index is not within the allowable range; index: [{digits}]"));
            }
            RawPiece::Name(_) | RawPiece::Placeholder(_) | RawPiece::Index(_) => {}
        }
    }
    Ok(())
}

/// The second look: placeholders, and the number of operators.
pub(super) struct Resolver<'r, 'a> {
    bindings: &'r mut Bindings<'a>,
    operators: usize,
}

impl<'r, 'a> Resolver<'r, 'a> {
    /// Begins an expression.
    pub(super) fn new(bindings: &'r mut Bindings<'a>) -> Self {
        Self { bindings, operators: 0 }
    }

    /// The path that is meant.
    ///
    /// # Errors
    /// A name without a meaning, or too deep a path.
    pub(super) fn path(&mut self, path: &RawPath<'_>) -> Result<Path, String> {
        let mut pieces = path.pieces.iter();
        let Some(Step::Member(root)) = pieces.next().map(|piece| self.step(piece)).transpose()? else {
            unreachable!("a path begins with a name")
        };
        let steps = pieces.map(|piece| self.step(piece)).collect::<Result<Vec<_>, _>>()?;
        check_depth(path.pieces.len())?;
        Ok(Path { root, steps })
    }

    fn step(&mut self, piece: &RawPiece<'_>) -> Result<Step, String> {
        Ok(match piece {
            RawPiece::Name(name) => Step::Member((*name).to_owned()),
            RawPiece::Placeholder(placeholder) => Step::Member(self.name(placeholder)?),
            RawPiece::Index(digits) => Step::Element(digits.parse().expect("list indexes have been checked")),
        })
    }

    fn name(&mut self, placeholder: &str) -> Result<String, String> {
        self.bindings.name(placeholder).map(str::to_owned).ok_or_else(|| {
            format!(
                "An expression attribute name used in the document path is not defined; \
                 attribute name: {placeholder}"
            )
        })
    }

    /// The value that is meant.
    ///
    /// # Errors
    /// A placeholder without a meaning.
    pub(super) fn value(&mut self, placeholder: &str) -> Result<AttributeValue, String> {
        self.bindings.value(placeholder).cloned().ok_or_else(|| {
            format!(
                "An expression attribute value used in expression is not defined; \
                 attribute value: {placeholder}"
            )
        })
    }

    /// Counts operators and functions.
    ///
    /// # Errors
    /// More than an expression may have.
    pub(super) fn count_operators(&mut self, more: usize) -> Result<(), String> {
        self.operators += more;
        if self.operators > OPERATORS_MAX { Err(self.too_many_operators()) } else { Ok(()) }
    }

    /// The words for more operators than are allowed. The service stops counting at the first that is too many.
    pub(super) fn too_many_operators(&self) -> String {
        format!("The expression contains too many operators; operator count: {}", OPERATORS_MAX + 1)
    }
}

/// Checks through how many attributes and elements a path leads.
///
/// # Errors
/// The words that follow `Invalid …Expression: `.
pub(super) fn check_depth(pieces: usize) -> Result<(), String> {
    if pieces <= PATH_PIECES_MAX {
        return Ok(());
    }
    Err(format!("The document path has too many nesting levels; nesting levels: {pieces}"))
}

/// Checks how many operands a function has.
///
/// # Errors
/// The words that follow `Invalid …Expression: `.
pub(super) fn check_operand_count(function: Function, name: &str, operands: usize) -> Result<(), String> {
    if operands == function.operand_count() {
        return Ok(());
    }
    Err(format!(
        "Incorrect number of operands for operator or function; operator or function: {name}, \
         number of operands: {operands}"
    ))
}

/// Checks the length of an `IN` list.
///
/// # Errors
/// The words that follow `Invalid …Expression: `.
pub(super) fn check_choices(choices: usize) -> Result<(), String> {
    if choices <= CHOICES_MAX {
        return Ok(());
    }
    Err(format!("The IN operator is provided with too many operands; number of operands: {choices}"))
}

/// The words for an operand of a type that the operator or function cannot take.
pub(super) fn wrong_operand_type(operator: &str, type_name: &str) -> String {
    format!(
        "Incorrect operand type for operator or function; operator or function: {operator}, \
         operand type: {type_name}"
    )
}

/// The words for an operand that is no path where only a path has a meaning.
pub(super) fn path_required(function: &str) -> String {
    format!("Operator or function requires a document path; operator or function: {function}")
}

/// The words for a comparison of a path with itself.
pub(super) fn not_distinct(operator: &str, first: &Path) -> String {
    format!(
        "The first operand must be distinct from the remaining operands for this operator or function; \
         operator: {operator}, first operand: {first}"
    )
}
