//! Which stretches of a table or index a `SELECT` reads.
//!
//! The service takes a `WHERE` apart into branches: an `IN` on a key attribute is one branch for each value, an `OR` that
//! names a key attribute one for each part, and an `AND` combines those of its parts. When every branch fixes the partition
//! key, each is a query of its own; otherwise the whole is a scan. Whatever is read, the whole `WHERE` filters it.

use crate::model::expr::{Condition, KeyCondition, KeyTest};
use crate::model::key::Direction;
use crate::model::partiql::{Asks, AttributeTest, Filter, Order};
use crate::model::{ApiError, AttributeValue, Item, KeySchema};

use crate::local::query::interval_range;
use crate::local::store::KeyRange;

/// The most queries that the service makes of one statement.
const READS_MAX: usize = 50;
/// How many branches are looked at; beyond them, a statement is a scan or refused.
const BRANCHES_MAX: usize = 1000;

/// What a `SELECT` reads.
#[derive(Debug)]
pub(super) struct ReadPlan {
    /// The stretches, in the order in which they are read.
    pub(super) ranges: Vec<KeyRange>,
    /// Which way each is read.
    pub(super) direction: Direction,
    /// What must hold of each row; `None` when the stretches say it all.
    pub(super) filter: Option<Condition>,
    /// The attributes outside the key that the keyed branches filter by, if all branches are keyed: one list for each branch,
    /// in the order of the partition keys.
    pub(super) keyed_filters: Vec<Vec<String>>,
}

/// The one item that a `WHERE` names, if it names one and says nothing else: its key attributes.
pub(super) fn named_item(filter: Option<&Filter>, key: &KeySchema) -> Option<Item> {
    let branches = Branches::of(filter?, key);
    let [branch] = branches.list.as_slice() else { return None };
    if branches.is_cut || branches.has_other || !branch.filters.is_empty() {
        return None;
    }
    let mut item = Item::new();
    for (name, asks) in &branch.tests {
        let Asks::Equal(value) = asks else { return None };
        if item.insert((*name).to_owned(), value.clone()).is_some_and(|earlier| earlier != *value) {
            return None;
        }
    }
    key.attributes().all(|attribute| item.contains_key(&attribute.name)).then_some(item)
}

/// Plans a read of what has that key.
///
/// # Errors
/// The service's own for values that no key can have, branches that overlap, too many of them, and an order that the key
/// does not have.
pub(super) fn plan(filter: Option<&Filter>, order: &[Order], key: &KeySchema) -> Result<ReadPlan, ApiError> {
    let Some(filter) = filter else {
        if !order.is_empty() {
            return Err(ApiError::validation(
                "Must have WHERE clause in the statement when using ORDER BY clause.",
            ));
        }
        return Ok(scan(None));
    };
    let branches = Branches::of(filter, key);
    branches.check_types(key)?;
    branches.check_count(filter)?;
    branches.check_order(filter, order)?;
    let Some(reads) = branches.keyed()? else { return Ok(scan(Some(filter.condition()))) };
    if !branches.has_other {
        refuse_overlap(&reads)?;
    }
    branches.ordered(reads, order, filter)
}

fn scan(filter: Option<Condition>) -> ReadPlan {
    ReadPlan {
        ranges: vec![KeyRange::all()],
        direction: Direction::Forward,
        filter,
        keyed_filters: Vec::new(),
    }
}

/// Refuses a `SELECT` that does not name one item: what batches and transactions demand.
pub(super) fn check_branches(filter: Option<&Filter>, key: &KeySchema) -> Result<(), ApiError> {
    let Some(filter) = filter else { return Ok(()) };
    let branches = Branches::of(filter, key);
    branches.check_count(filter)?;
    match branches.has_type_fault(key) {
        // The item's own operation words it.
        true => Ok(()),
        false => match branches.keyed()? {
            Some(reads) if !branches.has_other => refuse_overlap(&reads),
            _ => Ok(()),
        },
    }
}

/// One way in which a row can pass.
#[derive(Clone, Debug, Default)]
struct Branch<'f> {
    /// What it asks of key attributes, an `IN` taken apart.
    tests: Vec<(&'f str, Asks)>,
    filters: Vec<&'f Filter>,
}

/// All ways in which a row can pass.
struct Branches<'f> {
    key: &'f KeySchema,
    list: Vec<Branch<'f>>,
    /// Every test of a key attribute that a key can answer, as written.
    key_tests: Vec<&'f AttributeTest>,
    /// True when a key attribute is asked what no key can answer. The service then plans no queries; we query what the
    /// branches name all the same, which gives the same rows.
    has_other: bool,
    /// True when there are too many to list.
    is_cut: bool,
}

/// One query of a plan.
#[derive(Debug)]
struct Read {
    /// The partition's place among partitions by value.
    partition: Vec<u8>,
    range: KeyRange,
    unprojected: Vec<String>,
}

impl<'f> Branches<'f> {
    fn of(filter: &'f Filter, key: &'f KeySchema) -> Self {
        let mut branches =
            Self { key, list: Vec::new(), key_tests: Vec::new(), has_other: false, is_cut: false };
        branches.list = branches.spread(filter);
        branches
    }

    fn spread(&mut self, filter: &'f Filter) -> Vec<Branch<'f>> {
        match filter {
            Filter::All(parts) => {
                let mut spread = vec![Branch::default()];
                for part in parts {
                    let more = self.spread(part);
                    spread = self.combined(spread, more);
                }
                spread
            }
            Filter::Any(parts) if names_key(filter, self.key) => {
                let mut spread = Vec::new();
                for part in parts {
                    spread.extend(self.spread(part));
                }
                self.is_cut |= spread.len() > BRANCHES_MAX;
                spread
            }
            Filter::Any(_) => vec![Branch { tests: Vec::new(), filters: vec![filter] }],
            Filter::Test(_) => self.spread_test(filter),
        }
    }

    fn spread_test(&mut self, filter: &'f Filter) -> Vec<Branch<'f>> {
        let test = filter.attribute().filter(|test| self.key.contains(&test.name));
        self.has_other |= test.is_some_and(|test| !is_key_test(test, self.key));
        let Some(test) = test.filter(|test| is_key_test(test, self.key)) else {
            return vec![Branch { tests: Vec::new(), filters: vec![filter] }];
        };
        self.key_tests.push(test);
        let branch = |asks: Asks| Branch { tests: vec![(test.name.as_str(), asks)], filters: Vec::new() };
        match &test.asks {
            Asks::OneOf(values) => values.iter().map(|value| branch(Asks::Equal(value.clone()))).collect(),
            asks => vec![branch(asks.clone())],
        }
    }

    fn combined(&mut self, left: Vec<Branch<'f>>, right: Vec<Branch<'f>>) -> Vec<Branch<'f>> {
        if left.len() * right.len() > BRANCHES_MAX {
            self.is_cut = true;
            return left;
        }
        let pairs = left.iter().flat_map(|left| right.iter().map(move |right| (left, right)));
        let joined = pairs.map(|(left, right)| Branch {
            tests: [left.tests.as_slice(), &right.tests].concat(),
            filters: [left.filters.as_slice(), &right.filters].concat(),
        });
        joined.collect()
    }

    fn check_types(&self, key: &KeySchema) -> Result<(), ApiError> {
        for test in &self.key_tests {
            for value in test.asks.values() {
                check_type(&test.name, value, key)?;
            }
        }
        Ok(())
    }

    fn has_type_fault(&self, key: &KeySchema) -> bool {
        self.check_types(key).is_err()
    }

    fn check_count(&self, filter: &Filter) -> Result<(), ApiError> {
        let is_over = self.is_cut || self.list.len() > READS_MAX;
        if is_over && fixes_partition(filter, self.key) {
            return Err(ApiError::validation("Too many decomposed read operations for a given query."));
        }
        Ok(())
    }

    fn check_order(&self, filter: &Filter, order: &[Order]) -> Result<(), ApiError> {
        let Some(first) = order.first() else { return Ok(()) };
        if let Some(stranger) = order.iter().find(|order| !self.key.contains(&order.attribute)) {
            return Err(ApiError::validation(format!(
                "Attribute {} in ORDER BY clause must be part of the primary key",
                stranger.attribute
            )));
        }
        if !fixes_partition(filter, self.key) {
            return Err(ApiError::validation(
                "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.",
            ));
        }
        let is_partition = |order: &Order| self.key.partition.iter().any(|key| key.name == order.attribute);
        let mut partitions = self.list.iter().filter_map(|branch| self.partition(branch));
        let one = partitions.next();
        let is_one = partitions.all(|partition| Some(partition) == one);
        if is_one || is_partition(first) || order.iter().any(is_partition) {
            return Ok(());
        }
        Err(ApiError::validation(
            "Must have hash key in ORDER BY clause when more than one hash key condition specified in WHERE clause.",
        ))
    }

    /// The one value that a branch gives the partition key.
    fn partition<'b>(&self, branch: &'b Branch<'f>) -> Option<&'b AttributeValue> {
        let [attribute] = self.key.partition.as_slice() else { return None };
        let mut values = branch.tests.iter().filter_map(|(name, asks)| match asks {
            Asks::Equal(value) if *name == attribute.name => Some(value),
            _ => None,
        });
        let first = values.next()?;
        values.all(|value| value == first).then_some(first)
    }

    /// A query for each branch, if every branch is one.
    fn keyed(&self) -> Result<Option<Vec<Read>>, ApiError> {
        if self.is_cut || self.list.iter().any(|branch| self.partition(branch).is_none()) {
            return Ok(None);
        }
        self.list.iter().map(|branch| self.read(branch)).collect::<Result<_, _>>().map(Some)
    }

    fn read(&self, branch: &Branch<'f>) -> Result<Read, ApiError> {
        let [attribute] = self.key.partition.as_slice() else { unreachable!("such indexes are refused") };
        let value = self.partition(branch).expect("the branch fixes the partition");
        let partition_test = || (attribute.name.clone(), KeyTest::Equal(value.clone()));
        let whole = KeyCondition::from_tests(vec![partition_test()]).resolve(self.key)?;
        let mut range = interval_range(&whole);
        for (name, asks) in branch.tests.iter().filter(|(name, _)| *name != attribute.name) {
            let tests = vec![partition_test(), ((*name).to_owned(), key_test(asks))];
            let part = interval_range(&KeyCondition::from_tests(tests).resolve(self.key)?);
            range = intersection(range, part);
        }
        let mut partition = Vec::new();
        whole.partition.iter().for_each(|value| value.write_sortable(&mut partition));
        let roots = branch.filters.iter().flat_map(|filter| roots(filter));
        let mut unprojected = Vec::new();
        for root in roots {
            if !unprojected.contains(&root) {
                unprojected.push(root);
            }
        }
        Ok(Read { partition, range, unprojected })
    }

    /// The plan of these queries.
    fn ordered(&self, mut reads: Vec<Read>, order: &[Order], filter: &Filter) -> Result<ReadPlan, ApiError> {
        let is_partition = |order: &&Order| self.key.partition.iter().any(|key| key.name == order.attribute);
        let by_partition = order.iter().find(is_partition);
        let by_sort = order.iter().find(|order| !is_partition(order));
        // An order that names the partition key alone turns the items of a partition round, as was observed.
        let is_backward = by_sort.map_or(!order.is_empty(), |order| order.is_descending);
        reads.sort_by(|a, b| a.partition.cmp(&b.partition));
        let keyed_filters = match self.has_other {
            true => Vec::new(),
            false => reads.iter().map(|read| read.unprojected.clone()).collect(),
        };
        let says_all = !self.has_other && self.list.iter().all(|branch| branch.filters.is_empty());
        let mut groups: Vec<(Vec<u8>, Vec<KeyRange>)> = Vec::new();
        for read in reads {
            match groups.last_mut() {
                Some((partition, ranges)) if *partition == read.partition => ranges.push(read.range),
                _ => groups.push((read.partition, vec![read.range])),
            }
        }
        if self.has_other {
            // Such branches may overlap, so what several of them read of a partition is read as one.
            groups.iter_mut().for_each(|(_, ranges)| merge(ranges));
        }
        match by_partition {
            Some(order) if order.is_descending => groups.reverse(),
            Some(_) => {}
            // As a scan would meet them.
            None => groups.sort_by(|(_, a), (_, b)| a[0].start.cmp(&b[0].start)),
        }
        let ranges = groups.into_iter().flat_map(|(_, mut ranges)| {
            ranges.sort_by(|a, b| a.start.cmp(&b.start));
            if is_backward {
                ranges.reverse();
            }
            ranges
        });
        Ok(ReadPlan {
            ranges: ranges.filter(|range| !range.is_empty()).collect(),
            direction: if is_backward { Direction::Backward } else { Direction::Forward },
            filter: (!says_all).then(|| filter.condition()),
            keyed_filters,
        })
    }
}

/// One stretch around all of them.
fn merge(ranges: &mut Vec<KeyRange>) {
    let start = ranges.iter().map(|range| range.start.clone()).min().unwrap_or_default();
    let is_open = ranges.iter().any(|range| range.end.is_none());
    let end = ranges.iter().filter_map(|range| range.end.clone()).max().filter(|_| !is_open);
    *ranges = vec![KeyRange { start, end }];
}

fn intersection(a: KeyRange, b: KeyRange) -> KeyRange {
    let end = match (a.end, b.end) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    KeyRange { start: a.start.max(b.start), end }
}

fn refuse_overlap(reads: &[Read]) -> Result<(), ApiError> {
    let mut ranges: Vec<&KeyRange> =
        reads.iter().map(|read| &read.range).filter(|range| !range.is_empty()).collect();
    ranges.sort_by(|a, b| a.start.cmp(&b.start));
    let overlaps = |pair: &[&KeyRange]| pair[0].end.as_ref().is_none_or(|end| *end > pair[1].start);
    match ranges.windows(2).any(overlaps) {
        true => Err(ApiError::validation(
            "Overlapping conditions with range keys are not supported in where clause",
        )),
        false => Ok(()),
    }
}

/// The top-level attributes that a filter names, in the order in which they are written.
fn roots(filter: &Filter) -> Vec<String> {
    match filter {
        Filter::All(parts) | Filter::Any(parts) => parts.iter().flat_map(roots).collect(),
        Filter::Test(test) => test.condition.roots_as_written().map(str::to_owned).collect(),
    }
}

/// True when some test in it is one that a key can answer.
fn names_key(filter: &Filter, key: &KeySchema) -> bool {
    match filter {
        Filter::All(parts) | Filter::Any(parts) => parts.iter().any(|part| names_key(part, key)),
        Filter::Test(test) => test.attribute.as_ref().is_some_and(|test| is_key_test(test, key)),
    }
}

/// True when nothing passes that does not fix the partition key.
fn fixes_partition(filter: &Filter, key: &KeySchema) -> bool {
    match filter {
        Filter::All(parts) => parts.iter().any(|part| fixes_partition(part, key)),
        Filter::Any(parts) => parts.iter().all(|part| fixes_partition(part, key)),
        Filter::Test(test) => test.attribute.as_ref().is_some_and(|test| {
            matches!(test.asks, Asks::Equal(_) | Asks::OneOf(_))
                && key.partition.iter().any(|attribute| attribute.name == test.name)
        }),
    }
}

/// True for what a query can ask of that attribute of the key.
fn is_key_test(test: &AttributeTest, key: &KeySchema) -> bool {
    let is_partition = key.partition.iter().any(|attribute| attribute.name == test.name);
    match test.asks {
        Asks::Equal(_) | Asks::OneOf(_) => key.contains(&test.name),
        Asks::Other => false,
        Asks::Less(_)
        | Asks::LessOrEqual(_)
        | Asks::Greater(_)
        | Asks::GreaterOrEqual(_)
        | Asks::Between(..)
        | Asks::BeginsWith(_) => !is_partition && key.contains(&test.name),
    }
}

fn key_test(asks: &Asks) -> KeyTest {
    match asks.clone() {
        Asks::Equal(value) => KeyTest::Equal(value),
        Asks::Less(value) => KeyTest::Less(value),
        Asks::LessOrEqual(value) => KeyTest::LessOrEqual(value),
        Asks::Greater(value) => KeyTest::Greater(value),
        Asks::GreaterOrEqual(value) => KeyTest::GreaterOrEqual(value),
        Asks::Between(low, high) => KeyTest::Between(low, high),
        Asks::BeginsWith(prefix) => KeyTest::BeginsWith(prefix),
        Asks::OneOf(_) | Asks::Other => unreachable!("branches have neither"),
    }
}

/// Refuses a value that the key attribute of that name cannot have.
///
/// # Errors
/// The service's own.
pub(super) fn check_type(name: &str, value: &AttributeValue, key: &KeySchema) -> Result<(), ApiError> {
    let Some(attribute) = key.attributes().find(|attribute| attribute.name == name) else { return Ok(()) };
    if attribute.scalar_type.admits(value) {
        return Ok(());
    }
    Err(ApiError::validation(match value {
        AttributeValue::S(_) | AttributeValue::N(_) | AttributeValue::B(_) => {
            format!("Key attribute's data type should match its data type in table's schema: Key {name}")
        }
        other => {
            format!("Key value must be of type S, N, or B. Key name: {name}, Key type: {}", other.type_name())
        }
    }))
}
