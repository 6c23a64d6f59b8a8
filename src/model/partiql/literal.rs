//! Values that a statement writes out.

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
        NodeKind::Ion(text) => Err(ApiError::validation(format!(
            "Ion Literals are not supported: {} under key {} at {}",
            ion_type(text),
            trail.text,
            node.span
        ))),
        _ => Err(unsupported(node, trail)),
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
    Number::parse(text).map_err(|error| {
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

/// A set of strings or of numbers; the language has no way to write bytes.
fn set(elements: &[Node], trail: &Trail) -> Result<AttributeValue, ApiError> {
    const MIXED: &str =
        "Unsupported data type in Bag. DynamoDB only supports either numbers or strings in bags";
    let mut texts = Vec::new();
    let mut numbers = Vec::new();
    for element in elements {
        match &element.kind {
            NodeKind::Text(text) => texts.push(text.clone()),
            NodeKind::Number(text) => numbers.push((text.as_str(), number(text, trail)?)),
            _ => return Err(ApiError::validation(format!("{MIXED} at {}", element.span))),
        }
    }
    match (texts.is_empty(), numbers.is_empty()) {
        (true, true) => Err(ApiError::validation("Empty bags are not supported")),
        (false, false) => Err(ApiError::validation(MIXED)),
        (false, true) => {
            if has_duplicates(&texts) {
                let words = format!("Input collection [{}] contains duplicates.", texts.join(", "));
                return Err(invalid(&words));
            }
            texts.sort_unstable();
            Ok(AttributeValue::Ss(texts))
        }
        (true, false) => {
            let (texts, mut numbers): (Vec<&str>, Vec<Number>) = numbers.into_iter().unzip();
            if has_duplicates(&numbers) {
                let words = format!(
                    "Input collection [{}] contains duplicates! under {}",
                    texts.join(", "),
                    trail.text
                );
                return Err(invalid(&words));
            }
            numbers.sort_unstable();
            Ok(AttributeValue::Ns(numbers))
        }
    }
}

fn has_duplicates<T: Ord>(members: &[T]) -> bool {
    let mut sorted: Vec<&T> = members.iter().collect();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

fn invalid(words: &str) -> ApiError {
    ApiError::validation(format!("One or more parameter values were invalid: {words}"))
}

fn unsupported(node: &Node, trail: &Trail) -> ApiError {
    let kind = match &node.kind {
        NodeKind::Name(name) => name.as_str(),
        NodeKind::Call { function, .. } => function.as_str(),
        NodeKind::Infix { symbol, .. } | NodeKind::Sign(symbol) => symbol,
        NodeKind::Missing => "MISSING",
        _ => node.kind_name(),
    };
    ApiError::validation(format!("Unsupported data type: {kind} under key {} at {}", trail.text, node.span))
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
