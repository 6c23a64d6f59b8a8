//! Document paths: where in an item a value stands.

use std::fmt;

use crate::model::{AttributeValue, Item};

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

impl Path {
    /// The path of a top-level attribute.
    pub fn attribute(name: impl Into<String>) -> Self {
        Self { root: name.into(), steps: Vec::new() }
    }

    /// What stands there in `item`.
    pub fn value_in<'i>(&self, item: &'i Item) -> Option<&'i AttributeValue> {
        let mut value = item.get(&self.root)?;
        for step in &self.steps {
            value = match (step, value) {
                (Step::Member(name), AttributeValue::M(map)) => map.get(name)?,
                (Step::Element(index), AttributeValue::L(list)) => list.get(*index)?,
                _ => return None,
            };
        }
        Some(value)
    }

    /// True when the path leads into the inside of its top-level attribute.
    pub fn is_nested(&self) -> bool {
        !self.steps.is_empty()
    }
}

/// As the service's error messages write a path: `[info, tags, [2]]`.
impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "[{}", self.root)?;
        for step in &self.steps {
            match step {
                Step::Member(name) => write!(formatter, ", {name}")?,
                Step::Element(index) => write!(formatter, ", [{index}]")?,
            }
        }
        formatter.write_str("]")
    }
}

/// Each name once, in name order.
pub(super) fn each_once<'n>(names: impl Iterator<Item = &'n str>) -> std::vec::IntoIter<&'n str> {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter()
}

/// How two paths stand in each other's way.
enum Clash {
    /// One is the other, or lies within it.
    Overlap,
    /// They disagree on whether one place is a map or a list.
    Conflict,
}

/// Refuses paths of which two cannot both be meant. The words are the service's; an overlap anywhere goes before a conflict.
///
/// # Errors
/// The words that follow `Invalid …Expression: `.
pub(super) fn refuse_clashes(paths: &[&Path]) -> Result<(), String> {
    let pairs = paths
        .iter()
        .enumerate()
        .flat_map(|(position, later)| paths[..position].iter().map(move |earlier| (*earlier, *later)));
    refuse_clashing_pairs(pairs)
}

/// The same as PartiQL does it: the later path is named first, and then the nearest before it.
pub(super) fn refuse_clashes_later_first(paths: &[&Path]) -> Result<(), String> {
    let pairs = paths
        .iter()
        .enumerate()
        .flat_map(|(position, later)| paths[..position].iter().rev().map(move |earlier| (*later, *earlier)));
    refuse_clashing_pairs(pairs)
}

fn refuse_clashing_pairs<'p>(pairs: impl Iterator<Item = (&'p Path, &'p Path)>) -> Result<(), String> {
    let mut conflict = None;
    for (one, two) in pairs {
        match clash(one, two) {
            Some(Clash::Overlap) => return Err(clash_words("overlap", one, two)),
            Some(Clash::Conflict) if conflict.is_none() => conflict = Some((one, two)),
            Some(Clash::Conflict) | None => {}
        }
    }
    conflict.map_or(Ok(()), |(one, two)| Err(clash_words("conflict", one, two)))
}

fn clash(a: &Path, b: &Path) -> Option<Clash> {
    if a.root != b.root {
        return None;
    }
    for (a, b) in a.steps.iter().zip(&b.steps) {
        match (a, b) {
            (Step::Member(a), Step::Member(b)) if a == b => {}
            (Step::Element(a), Step::Element(b)) if a == b => {}
            (Step::Member(_), Step::Member(_)) | (Step::Element(_), Step::Element(_)) => return None,
            (Step::Member(_), Step::Element(_)) | (Step::Element(_), Step::Member(_)) => {
                return Some(Clash::Conflict);
            }
        }
    }
    Some(Clash::Overlap)
}

fn clash_words(verb: &str, one: &Path, two: &Path) -> String {
    format!(
        "Two document paths {verb} with each other; must remove or rewrite one of these paths; \
         path one: {one}, path two: {two}"
    )
}
