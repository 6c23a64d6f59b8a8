//! Projections: which parts of an item an answer holds.

use std::collections::BTreeMap;

use super::parser::parse_paths;
use super::path::{each_once, refuse_clashes};
use super::resolve::{Resolver, check_path_words, refusal};
use super::{Bindings, Path, Step};
use crate::model::{ApiError, AttributeValue, Item};

/// Document paths, none of which lies within another when they come from a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths(Vec<Path>);

impl Paths {
    /// Parses a `ProjectionExpression`.
    ///
    /// # Errors
    /// A validation error in the service's words.
    pub fn parse_projection(text: &str, bindings: &mut Bindings<'_>) -> Result<Self, ApiError> {
        parse(text, bindings).map(Self).map_err(|words| refusal("ProjectionExpression", words))
    }

    /// The parts of `item` at the paths. Maps on the way hold only the members asked for; elements of one list keep their
    /// order and close up.
    pub fn project(&self, item: &Item) -> Item {
        let paths: Vec<(&Path, &[Step])> = self.0.iter().map(|path| (path, path.steps.as_slice())).collect();
        let mut groups: BTreeMap<&str, Vec<&[Step]>> = BTreeMap::new();
        for (path, steps) in paths {
            groups.entry(&path.root).or_default().push(steps);
        }
        let parts = groups.into_iter().filter_map(|(name, steps)| {
            let value = item.get(name)?;
            Some((name.to_owned(), part_of(value, &steps)?))
        });
        parts.collect()
    }

    /// The paths, as written.
    pub fn iter(&self) -> std::slice::Iter<'_, Path> {
        self.0.iter()
    }

    /// The top-level attributes, each once.
    pub fn roots(&self) -> impl Iterator<Item = &str> {
        each_once(self.0.iter().map(|path| path.root.as_str()))
    }

    /// The top-level attributes into which a path steps (`a.b`, `a[0]`), each once.
    pub fn nested_roots(&self) -> impl Iterator<Item = &str> {
        each_once(self.0.iter().filter(|path| path.is_nested()).map(|path| path.root.as_str()))
    }
}

impl FromIterator<Path> for Paths {
    fn from_iter<T: IntoIterator<Item = Path>>(paths: T) -> Self {
        Self(paths.into_iter().collect())
    }
}

fn parse(text: &str, bindings: &mut Bindings<'_>) -> Result<Vec<Path>, String> {
    let written = parse_paths(text)?;
    written.iter().try_for_each(check_path_words)?;
    let mut resolver = Resolver::new(bindings);
    let paths = written.iter().map(|path| resolver.path(path)).collect::<Result<Vec<_>, _>>()?;
    refuse_clashes(&paths.iter().collect::<Vec<_>>())?;
    Ok(paths)
}

/// The part of `value` that the ways down from it lead to; `None` when none of them leads anywhere.
fn part_of(value: &AttributeValue, ways: &[&[Step]]) -> Option<AttributeValue> {
    if ways.iter().any(|way| way.is_empty()) {
        return Some(value.clone());
    }
    match value {
        AttributeValue::M(map) => {
            let mut groups: BTreeMap<&str, Vec<&[Step]>> = BTreeMap::new();
            for way in ways {
                if let [Step::Member(name), rest @ ..] = way {
                    groups.entry(name).or_default().push(rest);
                }
            }
            let parts = groups
                .into_iter()
                .filter_map(|(name, ways)| Some((name.to_owned(), part_of(map.get(name)?, &ways)?)));
            let part: Item = parts.collect();
            (!part.is_empty()).then_some(AttributeValue::M(part))
        }
        AttributeValue::L(list) => {
            let mut groups: BTreeMap<usize, Vec<&[Step]>> = BTreeMap::new();
            for way in ways {
                if let [Step::Element(index), rest @ ..] = way {
                    groups.entry(*index).or_default().push(rest);
                }
            }
            let parts = groups.into_iter().filter_map(|(index, ways)| part_of(list.get(index)?, &ways));
            let part: Vec<AttributeValue> = parts.collect();
            (!part.is_empty()).then_some(AttributeValue::L(part))
        }
        _ => None,
    }
}
