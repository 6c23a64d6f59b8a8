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
    let mut finder = Finder { values: vec![None; paths.len()], found: Vec::new(), long: HashMap::new() };
    let mut scanner = Scanner::new(item);
    let mut goes_on = scanner.open(b'{', b'}')?;
    while goes_on {
        let ways = roots.get(&*scanner.name()?.text()?).ok_or(UNEXPLAINED)?;
        if !finder.explain(&mut scanner, ways, DEPTH_MAX)? {
            return Err(UNEXPLAINED);
        }
        goes_on = scanner.goes_on(b'}')?;
    }
    scanner.end()?;
    Ok(finder.values)
}

const UNEXPLAINED: Malformed =
    Malformed::Invalid("a projected item has other attributes than were asked for");

struct Finder<'j> {
    values: Vec<Option<&'j str>>,
    /// The places that have a value, in the order in which they got it.
    found: Vec<usize>,
    /// Behind long values, by where they begin: elements of lists may be read several times.
    long: HashMap<usize, Scanner<'j>>,
}

impl<'j> Finder<'j> {
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
        if let Some(behind) = self.long.get(&begin) {
            *scanner = behind.clone();
            return Ok(scanner.between(begin, scanner.position()));
        }
        let value = scanner.skip()?;
        if value.len() > LONG {
            self.long.insert(begin, scanner.clone());
        }
        Ok(value)
    }

    fn forget(&mut self, before: usize) {
        for place in self.found.drain(before..) {
            self.values[place] = None;
        }
    }
}
