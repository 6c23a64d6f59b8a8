//! Document paths: where in an item a value stands.

use std::collections::BTreeSet;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    let Some((position, clash)) = first_clash(paths) else { return Ok(()) };
    let later = paths[position];
    let mut earlier = paths[..position].iter();
    earlier
        .find(|earlier| clash_of(earlier, later) == Some(clash))
        .map_or(Ok(()), |earlier| Err(clash.words(earlier, later)))
}

/// The same as PartiQL does it: the later path is named first, and then the nearest before it.
pub(super) fn refuse_clashes_later_first(paths: &[&Path]) -> Result<(), String> {
    let Some((position, clash)) = first_clash(paths) else { return Ok(()) };
    let later = paths[position];
    let mut earlier = paths[..position].iter().rev();
    earlier
        .find(|earlier| clash_of(earlier, later) == Some(clash))
        .map_or(Ok(()), |earlier| Err(clash.words(later, earlier)))
}

/// The first path that overlaps with one before it, or if none does, that conflicts with one.
///
/// Each path is compared with its two neighbours in an ordered set only, so that a thousand paths are not compared pair by pair.
/// This is enough while no two earlier paths clash in the same way: in that order the paths within a path follow it at once, and
/// the members of one place do not mix with its elements.
fn first_clash(paths: &[&Path]) -> Option<(usize, Clash)> {
    let mut conflict = None;
    let mut earlier: BTreeSet<&Path> = BTreeSet::new();
    for (position, &later) in paths.iter().enumerate() {
        let before = earlier.range::<&Path, _>(..=later).next_back();
        let neighbours = [before, earlier.range::<&Path, _>(later..).next()];
        for clash in neighbours.into_iter().flatten().filter_map(|earlier| clash_of(earlier, later)) {
            match clash {
                Clash::Overlap => return Some((position, clash)),
                Clash::Conflict => {
                    conflict.get_or_insert((position, clash));
                }
            }
        }
        earlier.insert(later);
    }
    conflict
}

fn clash_of(a: &Path, b: &Path) -> Option<Clash> {
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

impl Clash {
    fn words(self, one: &Path, two: &Path) -> String {
        let verb = match self {
            Self::Overlap => "overlap",
            Self::Conflict => "conflict",
        };
        format!(
            "Two document paths {verb} with each other; must remove or rewrite one of these paths; \
             path one: {one}, path two: {two}"
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The clash that a look at every pair finds: each path with all before it, nearest first.
    fn found_in_pairs(paths: &[Path]) -> Option<(Clash, &Path, &Path)> {
        let pairs = || {
            let positions = 0..paths.len();
            positions.flat_map(|later| (0..later).rev().map(move |earlier| (&paths[later], &paths[earlier])))
        };
        let of_kind = |kind| {
            let mut pairs = pairs();
            pairs.find(|(later, earlier)| clash_of(earlier, later) == Some(kind))
        };
        [Clash::Overlap, Clash::Conflict]
            .into_iter()
            .find_map(|kind| of_kind(kind).map(|(later, earlier)| (kind, later, earlier)))
    }

    fn any_path() -> impl Strategy<Value = Path> {
        let step = prop_oneof!["[ab]".prop_map(Step::Member), (0..2usize).prop_map(Step::Element)];
        ("[ab]", proptest::collection::vec(step, 0..4)).prop_map(|(root, steps)| Path { root, steps })
    }

    proptest! {
        #[test]
        fn the_clash_that_is_told_is_the_one_that_a_look_at_every_pair_finds(
            paths in proptest::collection::vec(any_path(), 0..8)
        ) {
            let told = refuse_clashes_later_first(&paths.iter().collect::<Vec<_>>());
            let found = found_in_pairs(&paths).map(|(clash, later, earlier)| clash.words(later, earlier));
            prop_assert_eq!(told.err(), found);
        }
    }
}
