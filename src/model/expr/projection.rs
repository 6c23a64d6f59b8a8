//! Projections: which parts of an item an answer holds.

use super::{Bindings, Path};
use crate::model::{ApiError, Item};

/// Document paths, none of which lies within another when they come from a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths(Vec<Path>);

impl Paths {
    /// Parses a `ProjectionExpression`.
    ///
    /// # Errors
    /// A validation error in the service's words.
    pub fn parse_projection(text: &str, bindings: &mut Bindings<'_>) -> Result<Self, ApiError> {
        let _ = (text, bindings);
        Ok(Self(Vec::new()))
    }

    /// The parts of `item` at the paths. Maps on the way hold only the members asked for; elements of one list keep their
    /// order and close up.
    pub fn project(&self, item: &Item) -> Item {
        item.clone()
    }

    /// The paths, as written.
    pub fn iter(&self) -> std::slice::Iter<'_, Path> {
        self.0.iter()
    }

    /// The top-level attributes, each once.
    pub fn roots(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }

    /// The top-level attributes into which a path steps (`a.b`, `a[0]`), each once.
    pub fn nested_roots(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }
}

impl FromIterator<Path> for Paths {
    fn from_iter<T: IntoIterator<Item = Path>>(paths: T) -> Self {
        Self(paths.into_iter().collect())
    }
}
