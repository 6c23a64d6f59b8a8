//! Conditions on an item: `ConditionExpression`, `FilterExpression`, and what their legacy twins become.

use super::Bindings;
use crate::model::{ApiError, Item};

/// Which parameter a condition was written in; errors begin with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// `ConditionExpression`
    Condition,
    /// `FilterExpression`
    Filter,
}

/// A condition on an item, names and values resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {}

impl Condition {
    /// Parses an expression.
    ///
    /// # Errors
    /// A validation error in the service's words, which begin with the context.
    pub fn parse(text: &str, context: Context, bindings: &mut Bindings<'_>) -> Result<Self, ApiError> {
        let _ = (text, context, bindings);
        Ok(Self {})
    }

    /// True when the condition holds for `item`; `None` is an item that is not there, with no attribute at all.
    pub fn holds(&self, item: Option<&Item>) -> bool {
        let _ = item;
        true
    }

    /// The top-level attributes that the condition names, each once.
    pub fn roots(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// The top-level attributes into which the condition steps (`a.b`, `a[0]`), each once. A key attribute must not be
    /// among them.
    pub fn nested_roots(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }
}
