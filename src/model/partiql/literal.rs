//! Values that a statement writes out.

use super::decimal::{DecimalFault, check_decimal};
use super::syntax::{Node, NodeKind};
use crate::model::number::NumberError;
use crate::model::{ApiError, AttributeValue, Item, Number};

/// How many names and indexes may lead to a value within a literal.
const STEPS_MAX: usize = 31;

/// Where a value stands within its literal: `root.a[0]`.
struct Trail {
    text: String,
    steps: usize,
}

impl Trail {
    fn root() -> Self {
        Self { text: "root".to_owned(), steps: 0 }
    }

    fn member(&self, name: &str) -> Self {
        Self { text: format!("{}.{name}", self.text), steps: self.steps + 1 }
    }

    fn element(&self, index: usize) -> Self {
        Self { text: format!("{}[{index}]", self.text), steps: self.steps + 1 }
    }
}

/// The value of a literal.
///
/// # Errors
/// The service's own for what is no value or no number.
pub(super) fn value_of(node: &Node) -> Result<AttributeValue, ApiError> {
    value_at(node, &Trail::root())
}

fn value_at(node: &Node, trail: &Trail) -> Result<AttributeValue, ApiError> {
    if trail.steps > STEPS_MAX {
        return Err(ApiError::validation(format!(
            "Nesting Levels have exceeded supported limits under {}",
            trail.text
        )));
    }
    match &node.kind {
        NodeKind::Text(text) => Ok(AttributeValue::S(text.clone())),
        NodeKind::Number(text) => number(text, trail).map(AttributeValue::N),
        NodeKind::Bool(truth) => Ok(AttributeValue::Bool(*truth)),
        NodeKind::Null => Ok(AttributeValue::Null),
        NodeKind::List(elements) => {
            let values = elements.iter().enumerate();
            let values = values.map(|(index, element)| value_at(element, &trail.element(index)));
            values.collect::<Result<_, _>>().map(AttributeValue::L)
        }
        NodeKind::Struct(members) => {
            item_at(node, members, trail, |name, value| value_at(value, &trail.member(name)))
                .map(AttributeValue::M)
        }
        NodeKind::Bag(elements) => set(elements, trail),
        _ => Err(unsupported(node, trail, if trail.steps == 0 { node.words() } else { node.kind_name() })),
    }
}

/// The item that a `VALUE` writes out; `attribute` gives the value of each attribute.
///
/// # Errors
/// The service's own for names that are none or come twice, and those of `attribute`.
pub(super) fn item_of(
    node: &Node,
    members: &[(Node, Node)],
    mut attribute: impl FnMut(&Node) -> Result<AttributeValue, ApiError>,
) -> Result<Item, ApiError> {
    item_at(node, members, &Trail::root(), |_, value| attribute(value))
}

fn item_at(
    node: &Node,
    members: &[(Node, Node)],
    trail: &Trail,
    mut value_of: impl FnMut(&str, &Node) -> Result<AttributeValue, ApiError>,
) -> Result<Item, ApiError> {
    let mut item = Item::new();
    for (name, value) in members {
        let NodeKind::Text(text) = &name.kind else {
            return Err(ApiError::validation(format!(
                "Tuple keys must be of type String. Actual type: {} under {} at {}",
                key_type(name),
                trail.text,
                name.span
            )));
        };
        let text = super::paths::checked(text)?;
        let value = value_of(&text, value)?;
        if item.contains_key(&text) {
            return Err(ApiError::validation(format!(
                "Duplicate keys in tuple. Key: {text} under {} at {}",
                trail.text, node.span
            )));
        }
        item.insert(text, value);
    }
    Ok(item)
}

fn number(text: &str, trail: &Trail) -> Result<Number, ApiError> {
    let parsed = match check_decimal(text) {
        Ok(()) => Number::parse(text),
        Err(DecimalFault::Underflow) => Err(NumberError::Underflow),
        Err(DecimalFault::Unreadable) => Err(NumberError::Malformed),
    };
    parsed.map_err(|error| {
        let words = match error {
            NumberError::TooPrecise => "Attempting to store more than 38 significant digits in a Number",
            NumberError::Overflow => {
                "Number overflow. Attempting to store a number with magnitude larger than supported range"
            }
            NumberError::Underflow => {
                "Number underflow. Attempting to store a number with magnitude smaller than supported range"
            }
            NumberError::Malformed => "The parameter cannot be converted to a numeric value",
        };
        ApiError::validation(format!("{words} under {}", trail.text))
    })
}

/// What is no element of a set, unless it says so itself.
const NO_ELEMENT: &str =
    "Unsupported data type in Bag. DynamoDB only supports either numbers or strings in bags";

/// A set of strings or of numbers, as its first element decides; the language has no way to write bytes.
fn set(elements: &[Node], trail: &Trail) -> Result<AttributeValue, ApiError> {
    match elements.first().map(|first| &first.kind) {
        Some(NodeKind::Text(_)) => string_set(elements, trail),
        Some(NodeKind::Number(_)) => number_set(elements, trail),
        Some(_) => Err(no_element(&elements[0])),
        None => Err(ApiError::validation("Empty bags are not supported")),
    }
}

fn string_set(elements: &[Node], trail: &Trail) -> Result<AttributeValue, ApiError> {
    let text = |element: &Node| match &element.kind {
        NodeKind::Text(text) => Ok(text.clone()),
        _ if element.is_literal() => Err(no_element(element)),
        _ => Err(unsupported(element, trail, element.kind_name())),
    };
    let mut texts = elements.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    if has_duplicates(&texts) {
        return Err(invalid(&format!("Input collection [{}] contains duplicates.", texts.join(", "))));
    }
    texts.sort_unstable();
    Ok(AttributeValue::Ss(texts))
}

fn number_set(elements: &[Node], trail: &Trail) -> Result<AttributeValue, ApiError> {
    let text = |element: &Node| match &element.kind {
        NodeKind::Number(text) => Ok(text.clone()),
        NodeKind::Null => Err(invalid(&format!("Numeric sets may not contain null under {}", trail.text))),
        _ if element.is_literal() => Err(ApiError::validation(NO_ELEMENT)),
        _ => Err(unsupported(element, trail, element.kind_name())),
    };
    let texts = elements.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let numbers = texts.iter().map(|text| number(text, trail));
    let mut numbers = numbers.collect::<Result<Vec<_>, _>>()?;
    if has_duplicates(&numbers) {
        let words =
            format!("Input collection [{}] contains duplicates! under {}", texts.join(", "), trail.text);
        return Err(invalid(&words));
    }
    numbers.sort_unstable();
    Ok(AttributeValue::Ns(numbers))
}

fn no_element(element: &Node) -> ApiError {
    ApiError::validation(format!("{NO_ELEMENT} at {}", element.span))
}

fn has_duplicates<T: Ord>(members: &[T]) -> bool {
    let mut sorted: Vec<&T> = members.iter().collect();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

fn invalid(words: &str) -> ApiError {
    ApiError::validation(format!("One or more parameter values were invalid: {words}"))
}

/// What stands where only a value may; `words` are what the service calls it there.
fn unsupported(node: &Node, trail: &Trail, words: &str) -> ApiError {
    let refusal = match &node.kind {
        NodeKind::Ion(text) => format!("Ion Literals are not supported: {}", ion_type(text)),
        _ => format!("Unsupported data type: {words}"),
    };
    ApiError::validation(format!("{refusal} under key {} at {}", trail.text, node.span))
}

/// What the service calls something that stands where a name should.
fn key_type(node: &Node) -> &'static str {
    match &node.kind {
        NodeKind::Number(text) if text.contains(['.', 'e', 'E']) => "DECIMAL",
        NodeKind::Number(_) => "INT",
        NodeKind::Bool(_) => "BOOL",
        NodeKind::Null => "NULL",
        _ => node.kind_name(),
    }
}

/// The type of an Ion literal, as far as its first characters tell.
fn ion_type(text: &str) -> &'static str {
    let text = text.trim();
    let first = text.chars().next();
    let is_number = text.starts_with(|first: char| first.is_ascii_digit() || first == '-');
    match first {
        Some('"') => "STRING",
        Some('[') => "LIST",
        Some('(') => "SEXP",
        Some('{') if text.starts_with("{{\"") => "CLOB",
        Some('{') if text.starts_with("{{") => "BLOB",
        Some('{') => "STRUCT",
        _ if text == "true" || text == "false" => "BOOL",
        _ if text == "null" || text.starts_with("null.") => "NULL",
        _ if is_number && (text.contains('T') || text[1..].contains('-') && !text.contains(['e', 'd'])) => {
            "TIMESTAMP"
        }
        _ if is_number && text.contains('e') => "FLOAT",
        _ if is_number && text.contains(['.', 'd']) => "DECIMAL",
        _ if is_number => "INT",
        _ => "SYMBOL",
    }
}
