//! Updates: what an `UpdateExpression`, or `AttributeUpdates`, does to an item.

use super::{Bindings, Path};
use crate::model::{ApiError, Item};

/// Changes to an item, names and values resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {}

impl Update {
    /// Parses an `UpdateExpression`.
    ///
    /// # Errors
    /// A validation error in the service's words.
    pub fn parse(text: &str, bindings: &mut Bindings<'_>) -> Result<Self, ApiError> {
        let _ = (text, bindings);
        Ok(Self {})
    }

    /// Changes `item`. Every operand is read from the item as it was before. After an error the item may be half changed.
    ///
    /// # Errors
    /// A validation error when the item does not have what the update needs.
    pub fn apply(&self, item: &mut Item) -> Result<(), ApiError> {
        let _ = item;
        Ok(())
    }

    /// The paths that the update changes, as written; `UPDATED_OLD` and `UPDATED_NEW` answer what stands there.
    pub fn paths(&self) -> Vec<&Path> {
        Vec::new()
    }

    /// True when there is nothing to change (`AttributeUpdates: {}`).
    pub fn is_empty(&self) -> bool {
        true
    }

    /// The top-level attributes that the update changes or steps into, each once.
    pub fn roots(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// The top-level attributes into which a changed path steps (`a.b`, `a[0]`), each once.
    pub fn nested_roots(&self) -> impl Iterator<Item = &str> + Clone {
        std::iter::empty()
    }

    /// The top-level attributes that get a value whose type the request itself tells, with that type's name (`S`). The
    /// type of a key attribute of an index is checked by it before the item is read.
    pub fn known_types(&self) -> impl Iterator<Item = (&str, &'static str)> {
        std::iter::empty()
    }
}
