//! The values at the paths of a projection, in what DynamoDB shows of an item.
//!
//! DynamoDB shows the way to each value and nothing else. In lists the elements that are not asked for are missing, and those that
//! are there have closed up. So which index an element had is not said: `l[1].a, l[3].a` may show one element. Clients are told the
//! values by the places of their paths, and put the item together again by the same rules. Any assignment of elements to indexes that
//! explains every value gives the same item, and the first index that fits always leaves the most choice to the elements behind.

use std::collections::{BTreeMap, HashMap};

use crate::dax::cbor::Malformed;
use crate::dax::scanner::Scanner;
use crate::model::expr::{Path, Step};

/// The deepest nesting of values that is followed: DynamoDB's paths have 32 segments at most.
const DEPTH_MAX: usize = 64;

/// Values of more bytes than this are not read over twice.
const LONG: usize = 64;

/// The ways down from a value, each with the place of its path.
type Ways<'p> = Vec<(usize, &'p [Step])>;

/// The texts of the values at the paths, by the places of these; `None` where there is nothing.
///
/// # Errors
/// [`Malformed`] for what is no item, or has values that no path leads to.
pub(super) fn values<'j>(item: &'j str, paths: &[Path]) -> Result<Vec<Option<&'j str>>, Malformed> {
    let mut roots: HashMap<&str, Ways<'_>> = HashMap::new();
    for (place, path) in paths.iter().enumerate() {
        roots.entry(&path.root).or_default().push((place, &path.steps));
    }
    Finder::new(paths.len(), Empty::Asked).find(item, &roots).or_else(|fault| match fault {
        UNEXPLAINED => Finder::new(paths.len(), Empty::Any).find(item, &roots),
        malformed => Err(malformed),
    })
}

const UNEXPLAINED: Malformed =
    Malformed::Invalid("a projected item has other attributes than were asked for");

/// Which empty lists and maps may be there. DynamoDB leaves out those that no path ends at; others may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Empty {
    Asked,
    Any,
}

struct Finder<'j> {
    empty: Empty,
    values: Vec<Option<&'j str>>,
    /// The places that have a value, in the order in which they got it.
    found: Vec<usize>,
    /// Long values and what is behind them, by where they begin: elements of lists may be read several times.
    long: HashMap<usize, (&'j str, Scanner<'j>)>,
}

impl<'j> Finder<'j> {
    fn new(paths: usize, empty: Empty) -> Self {
        Self { empty, values: vec![None; paths], found: Vec::new(), long: HashMap::new() }
    }

    fn find(
        mut self,
        item: &'j str,
        roots: &HashMap<&str, Ways<'_>>,
    ) -> Result<Vec<Option<&'j str>>, Malformed> {
        let mut scanner = Scanner::new(item);
        let mut goes_on = scanner.open(b'{', b'}')?;
        while goes_on {
            let ways = roots.get(&*scanner.name()?.text()?).ok_or(UNEXPLAINED)?;
            if !self.explain(&mut scanner, ways, DEPTH_MAX)? {
                return Err(UNEXPLAINED);
            }
            goes_on = scanner.goes_on(b'}')?;
        }
        scanner.end()?;
        Ok(self.values)
    }

    /// Reads over a value if all of it lies at the ends of the ways. If not, nothing is found, and the scanner stands anywhere.
    fn explain(
        &mut self,
        scanner: &mut Scanner<'j>,
        ways: &[(usize, &[Step])],
        depth: usize,
    ) -> Result<bool, Malformed> {
        let depth = depth.checked_sub(1).ok_or(Malformed::Invalid("an item is nested too deeply"))?;
        if let Some((place, _)) = ways.iter().find(|(_, steps)| steps.is_empty()) {
            self.values[*place] = Some(self.skip(scanner)?);
            self.found.push(*place);
            return Ok(true);
        }
        let before = self.found.len();
        let is_explained = match scanner.value_type()? {
            b"M" => self.explain_map(scanner, ways, depth)?,
            b"L" => self.explain_list(scanner, ways, depth)?,
            _ => false,
        };
        if is_explained {
            scanner.expect(b'}')?;
        } else {
            self.forget(before);
        }
        Ok(is_explained)
    }

    fn explain_map(
        &mut self,
        scanner: &mut Scanner<'j>,
        ways: &[(usize, &[Step])],
        depth: usize,
    ) -> Result<bool, Malformed> {
        let mut members: BTreeMap<&str, Ways<'_>> = BTreeMap::new();
        for (place, steps) in ways {
            if let [Step::Member(name), rest @ ..] = steps {
                members.entry(name).or_default().push((*place, rest));
            }
        }
        let mut goes_on = scanner.open(b'{', b'}')?;
        if !goes_on {
            return Ok(self.empty == Empty::Any);
        }
        while goes_on {
            let Some(ways) = members.get(&*scanner.name()?.text()?) else { return Ok(false) };
            if !self.explain(scanner, ways, depth)? {
                return Ok(false);
            }
            goes_on = scanner.goes_on(b'}')?;
        }
        Ok(true)
    }

    fn explain_list(
        &mut self,
        scanner: &mut Scanner<'j>,
        ways: &[(usize, &[Step])],
        depth: usize,
    ) -> Result<bool, Malformed> {
        let mut elements: BTreeMap<usize, Ways<'_>> = BTreeMap::new();
        for (place, steps) in ways {
            if let [Step::Element(index), rest @ ..] = steps {
                elements.entry(*index).or_default().push((*place, rest));
            }
        }
        let mut indexes = elements.values();
        let mut goes_on = scanner.open(b'[', b']')?;
        if !goes_on {
            return Ok(self.empty == Empty::Any);
        }
        while goes_on {
            let begin = scanner.clone();
            loop {
                let Some(ways) = indexes.next() else { return Ok(false) };
                *scanner = begin.clone();
                if self.explain(scanner, ways, depth)? {
                    break;
                }
            }
            goes_on = scanner.goes_on(b']')?;
        }
        Ok(true)
    }

    fn skip(&mut self, scanner: &mut Scanner<'j>) -> Result<&'j str, Malformed> {
        scanner.peek();
        let begin = scanner.position();
        if let Some((value, behind)) = self.long.get(&begin) {
            *scanner = behind.clone();
            return Ok(value);
        }
        let value = scanner.skip()?;
        if value.len() > LONG {
            self.long.insert(begin, (value, scanner.clone()));
        }
        Ok(value)
    }

    fn forget(&mut self, before: usize) {
        for place in self.found.drain(before..) {
            self.values[place] = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::model::expr::Paths;
    use crate::model::expr::compose::refuse_clashing;
    use crate::model::{AttributeValue, Item};
    use crate::wire::attribute::{write_item, write_value};

    fn path(text: &str) -> Path {
        let mut segments = text.split('.');
        let mut path = Path::attribute(segments.next().unwrap());
        path.steps.extend(segments.map(|segment| match segment.parse() {
            Ok(index) => Step::Element(index),
            Err(_) => Step::Member(segment.to_owned()),
        }));
        path
    }

    fn found<'j>(item: &'j str, paths: &str) -> Result<Vec<Option<&'j str>>, Malformed> {
        values(item, &paths.split(' ').map(path).collect::<Vec<_>>())
    }

    #[test]
    fn the_values_lie_at_the_ends_of_the_paths() {
        let item = r#"{"l" : {"L": [{"S":"x"},{"M":{"k":{"S":"v"}}}]}, "m":{"M":{"n":{"M":{"z":{"N":"9"}}}}},"s":{"S":"}"}}"#;
        let expected =
            [Some(r#"{"S":"}"}"#), Some(r#"{"N":"9"}"#), Some(r#"{"S":"v"}"#), Some(r#"{"S":"x"}"#), None];
        assert_eq!(found(item, "s m.n.z l.2.k l.0 missing").unwrap(), expected);
    }

    #[test]
    fn an_element_is_the_first_that_it_can_be() {
        let element = r#"{"l":{"L":[{"M":{"a":{"S":"x"}}}]}}"#;
        let (x, y) = (Some(r#"{"S":"x"}"#), Some(r#"{"S":"y"}"#));
        assert_eq!(found(element, "l.3.a l.1.a l.2.a").unwrap(), [None, x, None]);
        assert_eq!(found(element, "l.1.b l.2.a").unwrap(), [None, x]);
        assert_eq!(found(element, "l.1.a.b l.1.a.c l.2.a").unwrap(), [None, None, x]);
        let two = r#"{"l":{"L":[{"M":{"a":{"S":"x"},"b":{"S":"y"}}},{"S":"x"}]}}"#;
        assert_eq!(found(two, "l.1.a l.2.a l.2.b l.5").unwrap(), [None, x, y, x]);
        let empty = r#"{"l":{"L":[{"L":[]},{"S":"x"}]}}"#;
        assert_eq!(found(empty, "l.0.a l.1 l.2").unwrap(), [None, Some(r#"{"L":[]}"#), x]);
        // DynamoDB would not show the first element here.
        assert_eq!(found(empty, "l.0.a l.1").unwrap(), [None, x]);
        let nested = r#"{"l":{"L":[{"L":[{"S":"x"}]},{"L":[{"S":"y"}]}]}}"#;
        assert_eq!(found(nested, "l.0.0 l.0.1 l.1.7").unwrap(), [x, None, y]);
    }

    #[test]
    fn what_no_path_leads_to_cannot_be_shown() {
        for (item, paths) in [
            (r#"{"a":{"S":"x"}}"#, "b"),
            (r#"{"a":{"S":"x"}}"#, "a.b"),
            (r#"{"a":{"M":{"c":{"S":"x"}}}}"#, "a.b"),
            (r#"{"a":{"L":[{"S":"x"},{"S":"y"}]}}"#, "a.0"),
            (r#"{"a":{"M":{"b":{"S":"x"}}}"#, "a.b"),
            ("[]", "a"),
            ("", "a"),
        ] {
            assert!(found(item, paths).is_err(), "{item}");
        }
        let deep = format!("{}{{\"S\":\"x\"}}{}", "{\"L\":[".repeat(100), "]}".repeat(100));
        assert!(found(&format!("{{\"a\":{deep}}}"), &format!("a{}", ".0".repeat(100))).is_err());
    }

    #[test]
    fn an_element_that_fits_none_of_many_indexes_is_not_read_over_again_each_time() {
        let long = format!("{{\"L\":[{}]}}", vec!["{\"N\":\"1\"}"; 40_000].join(","));
        let item = format!("{{\"l\":{{\"L\":[{{\"M\":{{\"a\":{long},\"z\":{{\"S\":\"x\"}}}}}}]}}}}");
        let paths: Vec<Path> = (0..1300)
            .flat_map(|index| {
                let last = if index == 1299 { "z" } else { "b" };
                [path(&format!("l.{index}.a")), path(&format!("l.{index}.{last}"))]
            })
            .collect();
        // Reading 400 KB for each index would be half a gigabyte.
        let values = values(&item, &paths).unwrap();
        assert_eq!(values[2598..], [Some(&*long), Some(r#"{"S":"x"}"#)]);
        assert_eq!(values.iter().flatten().count(), 2);
    }

    /// What clients make of values by the places of their paths: elements of lists in the order of their indexes.
    #[derive(Debug)]
    enum Built {
        Value(String),
        Map(BTreeMap<String, Built>),
        List(BTreeMap<usize, Built>),
    }

    impl Built {
        fn put(&mut self, steps: &[Step], value: &str) {
            let below = match steps {
                [] => return *self = Self::Value(value.to_owned()),
                [_, rest @ ..] => match rest {
                    [Step::Element(_), ..] => Self::List(BTreeMap::new()),
                    _ => Self::Map(BTreeMap::new()),
                },
            };
            match (self, &steps[0]) {
                (Self::Map(map), Step::Member(name)) => {
                    map.entry(name.clone()).or_insert(below).put(&steps[1..], value);
                }
                (Self::List(list), Step::Element(index)) => {
                    list.entry(*index).or_insert(below).put(&steps[1..], value);
                }
                (built, step) => panic!("{built:?} {step:?}"),
            }
        }

        fn write(&self) -> String {
            match self {
                Self::Value(value) => value.clone(),
                Self::Map(map) => {
                    let members = map.iter().map(|(name, built)| format!("\"{name}\":{}", built.write()));
                    format!("{{\"M\":{{{}}}}}", members.collect::<Vec<_>>().join(","))
                }
                Self::List(list) => {
                    let elements: Vec<String> = list.values().map(Self::write).collect();
                    format!("{{\"L\":[{}]}}", elements.join(","))
                }
            }
        }
    }

    fn any_value() -> impl Strategy<Value = AttributeValue> {
        let leaf = prop_oneof![
            "[xy]".prop_map(AttributeValue::S),
            Just(AttributeValue::Null),
            Just(AttributeValue::L(Vec::new())),
        ];
        leaf.prop_recursive(4, 60, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(AttributeValue::L),
                prop::collection::btree_map("[abc]", inner, 0..3).prop_map(AttributeValue::M),
            ]
        })
    }

    fn any_paths() -> impl Strategy<Value = Vec<Path>> {
        let step = prop_oneof!["[abc]".prop_map(Step::Member), (0..5_usize).prop_map(Step::Element)];
        let path =
            ("[abc]", prop::collection::vec(step, 0..4)).prop_map(|(root, steps)| Path { root, steps });
        prop::collection::vec(path, 1..12).prop_map(|paths| {
            let mut kept: Vec<Path> = Vec::new();
            for path in paths {
                let all: Vec<&Path> = kept.iter().chain([&path]).collect();
                if refuse_clashing(&all).is_ok() {
                    kept.push(path);
                }
            }
            kept
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn clients_put_together_what_dynamodb_has_shown(
            item in prop::collection::btree_map("[abc]", any_value(), 1..4),
            paths in any_paths(),
        ) {
            let item: Item = item;
            let shown = paths.iter().cloned().collect::<Paths>().project(&item);
            let mut json = Vec::new();
            write_item(&shown, &mut json);
            let json = String::from_utf8(json).unwrap();
            let mut built = Built::Map(BTreeMap::new());
            for (path, value) in paths.iter().zip(values(&json, &paths).unwrap()) {
                if let Some(value) = value {
                    let root = Step::Member(path.root.clone());
                    built.put(&[&[root], &path.steps[..]].concat(), value);
                }
            }
            let mut expected = Vec::new();
            write_value(&AttributeValue::M(shown), &mut expected);
            prop_assert_eq!(built.write(), String::from_utf8(expected).unwrap());
        }
    }
}
