//! Conditions on an item: `ConditionExpression`, `FilterExpression`, and what their legacy twins become.
//!
//! A condition is a tree of tests. A test on an attribute that is not there, or on one of another type, is false, never an
//! error; only `<>` and `NOT` make something true of it.

mod evaluation;

#[cfg(test)]
mod tests;

use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::parser::{Comparator, RawCall, RawOperand, RawTest, SIZE_EXCEEDED, parse_condition};
use super::path::each_once;
use super::resolve::{
    Function, Resolver, check_choices, check_operand_count, check_words, not_distinct, path_required,
    refusal, wrong_operand_type,
};
use super::{Bindings, Path};
use crate::model::{ApiError, AttributeValue, Item};

pub(super) use evaluation::ordering;

/// Which parameter a condition was written in; errors begin with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// `ConditionExpression` of a write by itself.
    Condition,
    /// `ConditionExpression` of a part of a transaction, or of a write that is read like one.
    TransactionCondition,
    /// `FilterExpression` of a Query.
    Filter,
    /// `FilterExpression` of a Scan.
    ScanFilter,
}

/// A condition on an item, names and values resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    test: Test,
}

/// A part of a condition that is true or false of an item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// All of them; at least two when parsed, none for an empty legacy filter.
    And(Vec<Test>),
    /// Any of them.
    Or(Vec<Test>),
    Not(Box<Test>),
    Compare {
        operator: Comparator,
        left: Operand,
        right: Operand,
    },
    Between {
        value: Operand,
        low: Operand,
        high: Operand,
    },
    In {
        value: Operand,
        choices: Vec<Operand>,
    },
    Exists(Path),
    NotExists(Path),
    HasType {
        value: Operand,
        type_name: String,
    },
    BeginsWith {
        text: Operand,
        prefix: Operand,
    },
    Contains {
        container: Operand,
        element: Operand,
    },
}

/// What a test compares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    Path(Path),
    Value(AttributeValue),
    /// `size(…)`
    Size(Box<Operand>),
    /// Whether a test holds, as a truth value; only PartiQL compares that.
    Truth(Box<Test>),
}

impl Context {
    fn parameter(self) -> &'static str {
        match self {
            Self::Condition | Self::TransactionCondition => "ConditionExpression",
            Self::Filter | Self::ScanFilter => "FilterExpression",
        }
    }

    /// Whether the error of an expression that is too large says its size.
    fn tells_size(self) -> bool {
        matches!(self, Self::TransactionCondition | Self::ScanFilter)
    }
}

impl Condition {
    /// Parses an expression.
    ///
    /// # Errors
    /// A validation error in the service's words, which begin with the context.
    pub fn parse(text: &str, context: Context, bindings: &mut Bindings<'_>) -> Result<Self, ApiError> {
        let test = parse_test(text, bindings).map_err(|mut words| {
            if words == SIZE_EXCEEDED && context.tells_size() {
                words.push_str(&format!(" expression size: {}", text.len()));
            }
            refusal(context.parameter(), words)
        })?;
        Ok(Self { test })
    }

    pub(super) fn from_test(test: Test) -> Self {
        Self { test }
    }

    pub(super) fn test(&self) -> &Test {
        &self.test
    }

    pub(super) fn into_test(self) -> Test {
        self.test
    }

    /// True when the condition holds for `item`; `None` is an item that is not there, with no attribute at all.
    pub fn holds(&self, item: Option<&Item>) -> bool {
        const NOTHING: &Item = &Item::new();
        self.test.holds(item.unwrap_or(NOTHING))
    }

    /// The top-level attributes that the condition names, each once.
    pub fn roots(&self) -> impl Iterator<Item = &str> {
        each_once(self.paths().into_iter().map(|path| path.root.as_str()))
    }

    /// The top-level attribute of each path, in the order in which they are written.
    pub fn roots_as_written(&self) -> impl Iterator<Item = &str> {
        self.paths().into_iter().map(|path| path.root.as_str())
    }

    /// The top-level attributes into which the condition steps (`a.b`, `a[0]`), each once. A key attribute must not be
    /// among them.
    pub fn nested_roots(&self) -> impl Iterator<Item = &str> {
        let nested = self.paths().into_iter().filter(|path| path.is_nested());
        each_once(nested.map(|path| path.root.as_str()))
    }

    fn paths(&self) -> Vec<&Path> {
        let mut paths = Vec::new();
        self.test.collect_paths(&mut paths);
        paths
    }
}

/// Parses and resolves a condition of any kind, key conditions included.
///
/// # Errors
/// The words that follow `Invalid …Expression: `.
pub(super) fn parse_test(text: &str, bindings: &mut Bindings<'_>) -> Result<Test, String> {
    let test = parse_condition(text)?;
    check_words(&test)?;
    Resolver::new(bindings).test(&test)
}

impl Resolver<'_, '_> {
    fn test(&mut self, test: &RawTest<'_>) -> Result<Test, String> {
        match test {
            RawTest::And(parts) => Ok(Test::And(self.tests(parts)?)),
            RawTest::Or(parts) => Ok(Test::Or(self.tests(parts)?)),
            RawTest::Not(inner) => {
                let inner = self.test(inner)?;
                self.count_operators(1)?;
                Ok(Test::Not(Box::new(inner)))
            }
            RawTest::Compare { operator, left, right } => {
                let (left, right) = (self.operand(left)?, self.operand(right)?);
                self.count_operators(1)?;
                Test::comparison(*operator, left, right)
            }
            RawTest::Between { value, low, high } => {
                let (value, low, high) = (self.operand(value)?, self.operand(low)?, self.operand(high)?);
                self.count_operators(1)?;
                Test::between(value, low, high, Wording::Expression)
            }
            RawTest::In { value, choices } => {
                let value = self.operand(value)?;
                let choices = self.operands(choices)?;
                self.count_operators(1)?;
                Test::one_of(value, choices)
            }
            RawTest::Call(call) => self.function_test(call),
            RawTest::TooDeep => Err(self.too_many_operators()),
        }
    }

    fn tests(&mut self, parts: &[RawTest<'_>]) -> Result<Vec<Test>, String> {
        let tests = parts.iter().map(|part| self.test(part)).collect::<Result<_, _>>()?;
        self.count_operators(parts.len() - 1)?;
        Ok(tests)
    }

    fn operand(&mut self, operand: &RawOperand<'_>) -> Result<Operand, String> {
        match operand {
            RawOperand::Path(path) => Ok(Operand::Path(self.path(path)?)),
            RawOperand::Value(placeholder) => Ok(Operand::Value(self.value(placeholder)?)),
            RawOperand::Call(call) => self.size(call),
            RawOperand::TooDeep => Err(self.too_many_operators()),
        }
    }

    fn operands(&mut self, operands: &[RawOperand<'_>]) -> Result<Vec<Operand>, String> {
        operands.iter().map(|operand| self.operand(operand)).collect()
    }

    /// A call that stands for a condition.
    fn function_test(&mut self, call: &RawCall<'_>) -> Result<Test, String> {
        let function = Function::from_name(call.function).expect("functions have been checked");
        let operands = self.operands(&call.arguments)?;
        self.count_operators(1)?;
        Test::call(function, call.function, operands, Wording::Expression)
    }

    /// A call that stands for a value.
    fn size(&mut self, call: &RawCall<'_>) -> Result<Operand, String> {
        let operands = self.operands(&call.arguments)?;
        self.count_operators(1)?;
        Operand::size(call.function, operands)
    }
}

/// Tests of operands, checked against each other. The errors are the words that follow `Invalid …Expression: `.
impl Test {
    pub(super) fn comparison(operator: Comparator, left: Operand, right: Operand) -> Result<Self, String> {
        if !matches!(operator, Comparator::Equal | Comparator::NotEqual) {
            check_types(operator.symbol(), &[&left, &right], is_ordered)?;
        }
        check_distinct(operator.symbol(), &left, &[&right])?;
        Ok(Self::Compare { operator, left, right })
    }

    pub(super) fn between(
        value: Operand,
        low: Operand,
        high: Operand,
        wording: Wording,
    ) -> Result<Self, String> {
        check_types("BETWEEN", &[&value, &low, &high], is_ordered)?;
        check_distinct("BETWEEN", &value, &[&low, &high])?;
        if let (Operand::Value(low), Operand::Value(high)) = (&low, &high) {
            check_bounds(low, high, wording)?;
        }
        Ok(Self::Between { value, low, high })
    }

    pub(super) fn one_of(value: Operand, choices: Vec<Operand>) -> Result<Self, String> {
        check_distinct("IN", &value, &choices.iter().collect::<Vec<_>>())?;
        check_choices(choices.len())?;
        Ok(Self::In { value, choices })
    }

    /// A call of a function that stands for a condition, by the name that it was called.
    pub(super) fn call(
        function: Function,
        name: &str,
        mut operands: Vec<Operand>,
        wording: Wording,
    ) -> Result<Self, String> {
        check_operand_count(function, name, operands.len())?;
        let last = operands.pop().expect("every function has an operand");
        let Some(first) = operands.pop() else {
            let Operand::Path(path) = last else { return Err(path_required(name)) };
            return Ok(match function {
                Function::AttributeExists => Self::Exists(path),
                _ => Self::NotExists(path),
            });
        };
        check_distinct(name, &first, &[&last])?;
        match function {
            Function::AttributeType => {
                Ok(Self::HasType { value: first, type_name: checked_type_name(name, last, wording)? })
            }
            Function::BeginsWith => {
                check_types(name, &[&first, &last], |type_name| matches!(type_name, "S" | "B"))?;
                Ok(Self::BeginsWith { text: first, prefix: last })
            }
            _ => Ok(Self::Contains { container: first, element: last }),
        }
    }
}

/// Refuses the first operand whose type is known and is not among those allowed.
fn check_types(operator: &str, operands: &[&Operand], allowed: fn(&str) -> bool) -> Result<(), String> {
    let known = operands.iter().filter_map(|operand| operand.known_type());
    match known.into_iter().find(|type_name| !allowed(type_name)) {
        Some(type_name) => Err(wrong_operand_type(operator, type_name)),
        None => Ok(()),
    }
}

fn is_ordered(type_name: &str) -> bool {
    matches!(type_name, "S" | "N" | "B")
}

fn check_distinct(operator: &str, first: &Operand, others: &[&Operand]) -> Result<(), String> {
    let Operand::Path(path) = first else { return Ok(()) };
    if others.iter().any(|other| matches!(other, Operand::Path(other) if other == path)) {
        return Err(not_distinct(operator, path));
    }
    Ok(())
}

fn check_bounds(low: &AttributeValue, high: &AttributeValue, wording: Wording) -> Result<(), String> {
    let rule = match ordering(low, high) {
        None => "same data type for lower and upper bounds",
        Some(Ordering::Greater) => "upper bound to be greater than or equal to lower bound",
        Some(Ordering::Less | Ordering::Equal) => return Ok(()),
    };
    Err(format!(
        "The BETWEEN operator requires {rule}; lower bound operand: AttributeValue: {{{}}}, \
         upper bound operand: AttributeValue: {{{}}}",
        wording.scalar(low),
        wording.scalar(high)
    ))
}

/// How the service writes values and lists types, which depends on who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wording {
    /// An expression.
    Expression,
    /// A PartiQL statement.
    Statement,
}

impl Wording {
    /// A scalar: `N:5`.
    fn scalar(self, value: &AttributeValue) -> String {
        match (value, self) {
            (AttributeValue::S(text), _) => format!("S:{text}"),
            (AttributeValue::N(number), _) => format!("N:{number}"),
            (AttributeValue::B(bytes), Self::Expression) => {
                format!("B:java.nio.HeapByteBuffer[pos=0 lim={length} cap={length}]", length = bytes.len())
            }
            (AttributeValue::B(bytes), Self::Statement) => format!("B:[{}]", STANDARD.encode(bytes)),
            (other, _) => other.type_name().to_owned(),
        }
    }

    /// The names that `attribute_type` knows, in the order in which the service lists them.
    fn type_names(self) -> [&'static str; 10] {
        match self {
            Self::Expression => ["B", "NULL", "SS", "BOOL", "L", "BS", "N", "NS", "S", "M"],
            Self::Statement => ["N", "BS", "L", "B", "NULL", "M", "S", "SS", "NS", "BOOL"],
        }
    }

    /// The types that an attribute may have, as they are listed for one that stands where a type's name should.
    fn types_of_attributes(self) -> &'static str {
        match self {
            Self::Expression => "{NS,SS,L,BS,N,M,B,BOOL,NULL,S}",
            Self::Statement => {
                "{S,HDS,N,FS,BS,NULL,DOUBLE,NS,DECIMAL,SS,DECIMALSET,BOOL,HD,DICT,INTSET,M,L,B,FLOAT,INT,DOUBLESET}"
            }
        }
    }
}

fn checked_type_name(function: &str, operand: Operand, wording: Wording) -> Result<String, String> {
    let type_name = match operand {
        Operand::Value(AttributeValue::S(type_name)) => type_name,
        Operand::Path(_) => return Err(wrong_operand_type(function, wording.types_of_attributes())),
        Operand::Value(value) => return Err(wrong_operand_type(function, value.type_name())),
        Operand::Size(_) => return Err(wrong_operand_type(function, "N")),
        Operand::Truth(_) => return Err(wrong_operand_type(function, "BOOL")),
    };
    let type_names = wording.type_names();
    if type_names.contains(&type_name.as_str()) {
        return Ok(type_name);
    }
    Err(format!(
        "Invalid attribute type name found; type: {type_name}, valid types: {{{}}}",
        type_names.join(",")
    ))
}

impl Test {
    fn collect_paths<'t>(&'t self, paths: &mut Vec<&'t Path>) {
        match self {
            Self::And(tests) | Self::Or(tests) => tests.iter().for_each(|test| test.collect_paths(paths)),
            Self::Not(test) => test.collect_paths(paths),
            Self::Compare { left, right, .. } => {
                left.collect_paths(paths);
                right.collect_paths(paths);
            }
            Self::Between { value, low, high } => {
                [value, low, high].into_iter().for_each(|operand| operand.collect_paths(paths));
            }
            Self::In { value, choices } => {
                value.collect_paths(paths);
                choices.iter().for_each(|choice| choice.collect_paths(paths));
            }
            Self::Exists(path) | Self::NotExists(path) => paths.push(path),
            Self::HasType { value, .. } => value.collect_paths(paths),
            Self::BeginsWith { text: first, prefix: second }
            | Self::Contains { container: first, element: second } => {
                first.collect_paths(paths);
                second.collect_paths(paths);
            }
        }
    }
}

impl Operand {
    /// `size(…)`.
    ///
    /// # Errors
    /// The words that follow `Invalid …Expression: `.
    pub(super) fn size(name: &str, mut operands: Vec<Self>) -> Result<Self, String> {
        check_operand_count(Function::Size, name, operands.len())?;
        let operand = operands.pop().expect("size has one operand");
        check_types(name, &[&operand], |type_name| !matches!(type_name, "N" | "BOOL" | "NULL"))?;
        Ok(Self::Size(Box::new(operand)))
    }

    /// The name of the type that the operand has for every item.
    fn known_type(&self) -> Option<&'static str> {
        match self {
            Self::Path(_) => None,
            Self::Value(value) => Some(value.type_name()),
            Self::Size(_) => Some("N"),
            Self::Truth(_) => Some("BOOL"),
        }
    }

    fn collect_paths<'o>(&'o self, paths: &mut Vec<&'o Path>) {
        match self {
            Self::Path(path) => paths.push(path),
            Self::Value(_) => {}
            Self::Size(operand) => operand.collect_paths(paths),
            Self::Truth(test) => test.collect_paths(paths),
        }
    }
}
