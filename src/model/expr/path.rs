//! Document paths: where in an item a value stands.

/// A document path with every name resolved: `info.tags[2]`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    /// The top-level attribute.
    pub root: String,
    /// The way down from it; empty for the attribute itself.
    pub steps: Vec<Step>,
}

/// One step down a document path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// `.name`: into a map.
    Member(String),
    /// `[index]`: into a list.
    Element(usize),
}
