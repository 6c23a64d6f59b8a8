//! Conditions: a `WHERE` as written to the tests that it makes.

use super::{Binder, Bound, MISSING_COMPARED, refused, unrecognized, unsupported_token};
use crate::model::ApiError;
use crate::model::AttributeValue;
use crate::model::expr::compose::{FunctionKind, Term};
use crate::model::expr::{Comparator, Condition, KeyTest, Path};
use crate::model::partiql::filter::{Asks, AttributeTest, Filter};
use crate::model::partiql::literal::value_of;
use crate::model::partiql::paths::path_of;
use crate::model::partiql::syntax::*;

/// What one side of a comparison is.
enum Side {
    Path(Path),
    Value(AttributeValue),
    Other(Term),
}

impl Side {
    fn into_term(self) -> Term {
        match self {
            Self::Path(path) => Term::path(path),
            Self::Value(value) => Term::value(value),
            Self::Other(term) => term,
        }
    }

    /// The attribute that it is as a whole.
    fn attribute(&self) -> Option<&str> {
        match self {
            Self::Path(path) if !path.is_nested() => Some(&path.root),
            _ => None,
        }
    }

    fn value(&self) -> Option<&AttributeValue> {
        match self {
            Self::Value(value) => Some(value),
            _ => None,
        }
    }
}

/// What stands where a condition should.
enum Part {
    Condition(Filter),
    /// A call that gives a number.
    Number,
    /// A value, or what lies at a path.
    Value,
}

/// Where a condition stands, for the words when it is none.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Where,
    Joined(&'static str),
    Negated,
}

impl Place {
    fn refusal(self) -> ApiError {
        refused(match self {
            Self::Where => "WHERE clause must contain an expression that resolves to a boolean",
            Self::Joined(_) => "The arguments to AND/OR must be Expressions",
            Self::Negated => "The argument to NOT must be a Type or Expression",
        })
    }
}

/// Conditions.
impl Binder<'_> {
    pub(super) fn condition(&mut self, node: &Node, place: Place) -> Bound<Filter> {
        let part = self.part(node)?;
        self.condition_of(part, place)
    }

    fn part(&mut self, node: &Node) -> Bound<Part> {
        let filter = match &node.kind {
            NodeKind::And(parts) => Filter::All(self.joined(parts, "AND")?),
            NodeKind::Or(parts) => Filter::Any(self.joined(parts, "OR")?),
            NodeKind::Not { times, inner } => self.negation(*times, inner)?,
            NodeKind::Compare { operator, left, right } => self.comparison(*operator, left, right)?,
            NodeKind::Between { value, low, high } => self.between(value, low, high)?,
            NodeKind::In { value, choices } => self.one_of(value, choices)?,
            NodeKind::Is { value, type_name } => self.is_type(value, type_name)?,
            NodeKind::Call { function, arguments } => return self.call(node, function, arguments),
            NodeKind::Infix { symbol, .. } | NodeKind::Sign(symbol) => {
                return Err(unsupported_operator(symbol));
            }
            NodeKind::Case { .. } => return Err(unsupported_token("CASE", node)),
            NodeKind::Select(_) | NodeKind::Change(_) | NodeKind::ChangeOfNothing => {
                return Err(unsupported_token("SELECT", node));
            }
            NodeKind::Missing => return Err(refused(MISSING_COMPARED)),
            NodeKind::Name(_)
            | NodeKind::Path { .. }
            | NodeKind::Parameter(_)
            | NodeKind::Text(_)
            | NodeKind::Number(_)
            | NodeKind::Bool(_)
            | NodeKind::Null
            | NodeKind::Ion(_)
            | NodeKind::List(_)
            | NodeKind::Bag(_)
            | NodeKind::Struct(_) => {
                self.side(node)?;
                return Ok(Part::Value);
            }
        };
        Ok(Part::Condition(filter))
    }

    fn condition_of(&mut self, part: Part, place: Place) -> Bound<Filter> {
        let operator = match (part, place) {
            (Part::Condition(filter), _) => return Ok(filter),
            (Part::Number, Place::Joined(word)) => word,
            (Part::Number, Place::Negated) => "NOT",
            (Part::Number | Part::Value, _) => return Err(place.refusal()),
        };
        let unfit = Err(format!(
            "Incorrect operand type for operator or function; operator or function: {operator}, operand type: N"
        ));
        Ok(Filter::test(self.fit_condition(unfit), None))
    }

    /// Parts in a row. The service joins two at a time, so the first two are read before either is asked what it is.
    fn joined(&mut self, parts: &[Node], word: &'static str) -> Bound<Vec<Filter>> {
        let mut filters = Vec::with_capacity(parts.len());
        let mut read = Vec::with_capacity(2);
        for (position, node) in parts.iter().enumerate() {
            read.push(self.part(node)?);
            if position == 0 {
                continue;
            }
            for part in read.drain(..) {
                filters.push(self.condition_of(part, Place::Joined(word))?);
            }
            self.count(1);
        }
        Ok(filters)
    }

    fn negation(&mut self, times: usize, inner: &Node) -> Bound<Filter> {
        let inner = self.condition(inner, Place::Negated)?;
        self.count(times);
        let attribute =
            inner.attribute().map(|test| AttributeTest { name: test.name.clone(), asks: Asks::Other });
        let condition = inner.condition();
        Ok(Filter::test(if times % 2 == 1 { condition.negated() } else { condition }, attribute))
    }

    fn side(&mut self, node: &Node) -> Bound<Side> {
        Ok(match &node.kind {
            NodeKind::Name(_) | NodeKind::Path { .. } => Side::Path(path_of(node)?),
            NodeKind::Parameter(index) => Side::Value(self.parameters[*index].clone()),
            NodeKind::Text(_)
            | NodeKind::Number(_)
            | NodeKind::Bool(_)
            | NodeKind::Null
            | NodeKind::Ion(_)
            | NodeKind::List(_)
            | NodeKind::Bag(_)
            | NodeKind::Struct(_) => Side::Value(value_of(node)?),
            NodeKind::Missing => return Err(refused(MISSING_COMPARED)),
            NodeKind::Call { function, arguments }
                if FunctionKind::of(function) == Some(FunctionKind::Operand) =>
            {
                let operands = self.terms(arguments)?;
                self.count(1);
                Side::Other(self.fit(Term::size(function, operands), Term::value(AttributeValue::Null)))
            }
            _ => Side::Other(Term::truth(self.condition(node, Place::Where)?.condition())),
        })
    }

    fn terms(&mut self, nodes: &[Node]) -> Bound<Vec<Term>> {
        nodes.iter().map(|node| self.side(node).map(Side::into_term)).collect()
    }

    fn comparison(&mut self, operator: Comparator, left: &Node, right: &Node) -> Bound<Filter> {
        let (left, right) = (self.side(left)?, self.side(right)?);
        self.count(1);
        let attribute = match (left.attribute(), right.value(), right.attribute(), left.value()) {
            (Some(name), Some(value), ..) => Some(asked(name, operator, value)),
            (.., Some(name), Some(value)) => Some(asked(name, operator.turned(), value)),
            (Some(name), ..) | (.., Some(name), _) => {
                Some(AttributeTest { name: name.to_owned(), asks: Asks::Other })
            }
            _ => None,
        };
        let condition = Condition::compare(operator, left.into_term(), right.into_term());
        let condition = self.fit_condition(condition);
        Ok(Filter::test(condition, attribute))
    }

    fn between(&mut self, value: &Node, low: &Node, high: &Node) -> Bound<Filter> {
        let (value, low, high) = (self.side(value)?, self.side(low)?, self.side(high)?);
        self.count(1);
        let attribute = value.attribute().map(|name| AttributeTest {
            name: name.to_owned(),
            asks: match (low.value(), high.value()) {
                (Some(low), Some(high)) => Asks::Key(KeyTest::Between(low.clone(), high.clone())),
                _ => Asks::Other,
            },
        });
        let condition = Condition::between(value.into_term(), low.into_term(), high.into_term());
        let condition = self.fit_condition(condition);
        Ok(Filter::test(condition, attribute))
    }

    fn one_of(&mut self, value: &Node, choices: &Node) -> Bound<Filter> {
        let elements = match &choices.kind {
            NodeKind::List(elements) | NodeKind::Bag(elements) if !elements.is_empty() => elements,
            _ => {
                return Err(refused(
                    "IN operator must have a left hand argument of type Variable Reference \
                     and right hand argument of type Seq with at least one member",
                ));
            }
        };
        let value = self.side(value)?;
        let choices = elements.iter().map(|element| self.side(element)).collect::<Bound<Vec<_>>>()?;
        self.count(1);
        let values: Option<Vec<AttributeValue>> =
            choices.iter().map(|choice| choice.value().cloned()).collect();
        let attribute = value.attribute().map(|name| AttributeTest {
            name: name.to_owned(),
            asks: values.map_or(Asks::Other, Asks::OneOf),
        });
        let choices = choices.into_iter().map(Side::into_term).collect();
        let condition = self.fit_condition(Condition::one_of(value.into_term(), choices));
        Ok(Filter::test(condition, attribute))
    }

    fn is_type(&mut self, value: &Node, type_name: &str) -> Bound<Filter> {
        let side = match &value.kind {
            NodeKind::Missing | NodeKind::Parameter(_) => None,
            _ => Some(self.side(value)?),
        };
        let side = side.filter(|side| !matches!(side, Side::Other(_))).ok_or_else(|| {
            refused("The left hand side argument to IS must be a Variable Reference, Literal, or Path")
        })?;
        self.count(1);
        let attribute =
            side.attribute().map(|name| AttributeTest { name: name.to_owned(), asks: Asks::Other });
        let held_type = match type_name {
            "MISSING" => "",
            "NULL" => "NULL",
            "BOOLEAN" => "BOOL",
            "BLOB" => "B",
            "STRING" => "S",
            "NUMERIC" => "N",
            "STRUCT" | "TUPLE" => "M",
            "LIST" => "L",
            other => {
                return Err(refused(format!(
                    "Unsupported data type for IS operator: {}. Supported data types are \
                     [MISSING, NULL, BOOLEAN, BLOB, STRING, NUMERIC, STRUCT, TUPLE, LIST] at {}",
                    syntax_type(other),
                    value.span
                )));
            }
        };
        let condition = match (type_name, side) {
            ("MISSING", Side::Path(path)) => Condition::not_exists(path),
            // A value is of no such type as this.
            (_, side) => Condition::has_type(side.into_term(), held_type),
        };
        Ok(Filter::test(condition, attribute))
    }

    fn call(&mut self, node: &Node, function: &str, arguments: &[Node]) -> Bound<Part> {
        let sides = arguments.iter().map(|argument| self.side(argument)).collect::<Bound<Vec<_>>>()?;
        match FunctionKind::of(function) {
            None => return Err(unrecognized(function, node)),
            Some(FunctionKind::Update) => {
                return Err(refused(format!(
                    "The function is not allowed in a condition expression; function: {function}"
                )));
            }
            Some(FunctionKind::Operand) => return Ok(Part::Number),
            Some(FunctionKind::Condition) => {}
        }
        self.count(1);
        let attribute = sides.first().and_then(Side::attribute).map(|name| AttributeTest {
            name: name.to_owned(),
            asks: match (function, sides.get(1).and_then(Side::value)) {
                ("begins_with", Some(prefix)) => Asks::Key(KeyTest::BeginsWith(prefix.clone())),
                _ => Asks::Other,
            },
        });
        let operands = sides.into_iter().map(Side::into_term).collect();
        let condition = self.fit_condition(Condition::call(function, operands));
        Ok(Part::Condition(Filter::test(condition, attribute)))
    }
}

fn asked(name: &str, operator: Comparator, value: &AttributeValue) -> AttributeTest {
    let value = value.clone();
    let asks = match operator {
        Comparator::Equal => Asks::Key(KeyTest::Equal(value)),
        Comparator::NotEqual => Asks::Other,
        Comparator::Less => Asks::Key(KeyTest::Less(value)),
        Comparator::LessOrEqual => Asks::Key(KeyTest::LessOrEqual(value)),
        Comparator::Greater => Asks::Key(KeyTest::Greater(value)),
        Comparator::GreaterOrEqual => Asks::Key(KeyTest::GreaterOrEqual(value)),
    };
    AttributeTest { name: name.to_owned(), asks }
}

/// What the service's parser calls a type: `CharacterVaryingType` for `CHARACTER_VARYING`.
fn syntax_type(type_name: &str) -> String {
    let words = type_name.split('_').map(|word| {
        let (first, rest) = word.split_at(word.len().min(1));
        format!("{first}{}", rest.to_ascii_lowercase())
    });
    format!("{}Type", words.collect::<String>())
}

fn unsupported_operator(symbol: &str) -> ApiError {
    refused(format!("Unsupported operator in Condition Expression. Operator: {symbol}"))
}
