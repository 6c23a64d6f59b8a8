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

    pub(super) fn as_slice(&self) -> &[Path] {
        &self.0
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::expr::tests::values::*;

    fn parse(text: &str) -> Result<Paths, ApiError> {
        with_bindings(|bindings| Paths::parse_projection(text, bindings))
    }

    fn project(text: &str) -> Item {
        parse(text).unwrap().project(&item([
            ("a", s("1")),
            ("l", list([list([s("0"), s("1")]), s("b"), s("c")])),
            (
                "m",
                map([
                    ("k", s("v")),
                    ("e", map([])),
                    ("l", list([map([("x", s("y")), ("z", s("w"))]), s("q")])),
                ]),
            ),
        ]))
    }

    #[test]
    fn a_projection_keeps_the_way_to_what_it_asks_for() {
        for (text, expected) in [
            ("#a, zz", item([("a", s("1"))])),
            ("m.k, m.zz", item([("m", map([("k", s("v"))]))])),
            ("m.e", item([("m", map([("e", map([]))]))])),
            ("m.l[1], m.l[0].x", item([("m", map([("l", list([map([("x", s("y"))]), s("q")]))]))])),
        ] {
            assert_eq!(project(text), expected, "{text}");
        }
    }

    #[test]
    fn elements_of_a_list_keep_their_order_and_close_up() {
        assert_eq!(project("l[2], l[0][1]"), item([("l", list([list([s("1")]), s("c")]))]));
    }

    #[test]
    fn ways_that_lead_nowhere_leave_nothing() {
        for text in ["zz", "l[9]", "l[0][5]", "m.e.x", "m[0]", "l.a", "a.b", "m.l[0].nope"] {
            assert_eq!(project(text), item([]), "{text}");
        }
    }

    #[test]
    fn paths_must_not_stand_in_each_other_s_way() {
        for (text, expected) in [
            (
                "a, a",
                "overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a]",
            ),
            (
                "a.b, #a",
                "overlap with each other; must remove or rewrite one of these paths; path one: [a, b], path two: [a]",
            ),
            (
                "a, b.c, a[0]",
                "overlap with each other; must remove or rewrite one of these paths; path one: [a], path two: [a, [0]]",
            ),
            (
                "a[0], a.b",
                "conflict with each other; must remove or rewrite one of these paths; path one: [a, [0]], path two: [a, b]",
            ),
            (
                "a[0], a.b, c, c",
                "overlap with each other; must remove or rewrite one of these paths; path one: [c], path two: [c]",
            ),
        ] {
            let expected = format!("Invalid ProjectionExpression: Two document paths {expected}");
            assert_eq!(words(parse(text)), expected, "{text}");
        }
        assert_eq!(words(parse("a.b, a.c[0], a.c[1].d, a.c[1].e, b")), "");
    }

    #[test]
    fn faults_are_told_in_the_service_s_order() {
        for (text, expected) in [
            ("", "The expression can not be empty;"),
            ("a b", "Syntax error; token: \"b\", near: \"a b\""),
            ("size(a)", "Syntax error; token: \"(\", near: \"size(a\""),
            ("#zz, name", "Attribute name is a reserved keyword; reserved keyword: name"),
            (
                "a, a, #zz",
                "An expression attribute name used in the document path is not defined; attribute name: #zz",
            ),
            ("a[2147483648]", "List index is not within the allowable range; index: [2147483648]"),
        ] {
            assert_eq!(words(parse(text)), format!("Invalid ProjectionExpression: {expected}"), "{text}");
        }
    }
}
