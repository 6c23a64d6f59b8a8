//! Which stretches of a table or index a `SELECT` reads.
//!
//! The service takes a `WHERE` apart into branches: an `OR` that names a key attribute is one for each part, and an `AND`
//! combines those of its parts. When every branch names the partition key in one way, each is a query of its own, or several
//! where it has an `IN`; otherwise the whole is a scan. Whatever is read, the whole `WHERE` filters it.

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
    if branches.is_cut || branch.has_other || !branch.filters.is_empty() {
        return None;
    }
    let named = key.attributes().map(|attribute| match branch.asks_of(&attribute.name)[..] {
        [asks] if asks.is_of_values() => match asks.values()[..] {
            [value] => Some((attribute.name.clone(), value.clone())),
            _ => None,
        },
        _ => None,
    });
    named.collect()
}

/// Plans a read of what has that key.
///
/// # Errors
/// The service's own, in this order: an order that the key does not have, values that no key can have, too many branches,
/// branches that overlap, an order of several partitions, and keys that are too long.
pub(super) fn plan(filter: Option<&Filter>, order: &[Order], key: &KeySchema) -> Result<ReadPlan, ApiError> {
    let Some(filter) = filter else {
        if !order.is_empty() {
            return Err(ApiError::validation(
                "Must have WHERE clause in the statement when using ORDER BY clause.",
            ));
        }
        return Ok(scan(None));
    };
    let order = order_terms(order, key)?;
    let branches = Branches::of(filter, key);
    branches.check_types()?;
    branches.check_count(filter)?;
    let queries = branches.queries();
    let reads = branches.reads(queries.as_deref())?;
    if branches.is_planned() {
        refuse_overlap(reads.as_deref().unwrap_or_default())?;
    }
    branches.check_order(&order, reads.as_deref())?;
    let (Some(queries), Some(reads)) = (queries, reads) else { return Ok(scan(Some(filter.condition()))) };
    branches.check_sizes(&queries, &reads)?;
    Ok(branches.ordered(reads, &order, filter))
}

/// What an `ORDER BY` names.
///
/// # Errors
/// The service's own for what is no attribute of the key.
fn order_terms(order: &[Order], key: &KeySchema) -> Result<Vec<OrderTerm>, ApiError> {
    let term = |order: &Order| {
        let attribute = order.attribute.as_ref().map_err(Clone::clone)?;
        if !key.contains(attribute) {
            return Err(ApiError::validation(format!(
                "Attribute {attribute} in ORDER BY clause must be part of the primary key"
            )));
        }
        let is_partition = key.partition.iter().any(|key| key.name == *attribute);
        Ok(OrderTerm { is_partition, is_descending: order.is_descending })
    };
    order.iter().map(term).collect()
}

/// A key attribute behind `ORDER BY`.
struct OrderTerm {
    is_partition: bool,
    is_descending: bool,
}

fn scan(filter: Option<Condition>) -> ReadPlan {
    ReadPlan {
        ranges: vec![KeyRange::all()],
        direction: Direction::Forward,
        filter,
        keyed_filters: Vec::new(),
    }
}

/// Refuses a `SELECT` that does not name one item: what batches and transactions demand. What no key can have is left to the
/// item's own operation.
pub(super) fn check_branches(filter: Option<&Filter>, key: &KeySchema) -> Result<(), ApiError> {
    let Some(filter) = filter else { return Ok(()) };
    let branches = Branches::of(filter, key);
    branches.check_count(filter)?;
    let queries = branches.queries();
    match branches.reads(queries.as_deref())? {
        Some(reads) if branches.is_planned() => refuse_overlap(&reads),
        _ => Ok(()),
    }
}

/// One way in which a row can pass.
#[derive(Clone, Debug, Default)]
struct Branch<'f> {
    /// What it asks of key attributes.
    tests: Vec<&'f AttributeTest>,
    filters: Vec<&'f Filter>,
    /// True when it asks a key attribute what no key can answer.
    has_other: bool,
}

impl<'f> Branch<'f> {
    /// What it asks of an attribute; the same asked again is asked once.
    fn asks_of(&self, name: &str) -> Vec<&'f Asks> {
        let mut asked: Vec<&'f Asks> = Vec::new();
        for test in self.tests.iter().filter(|test| test.name == name) {
            if !asked.iter().any(|earlier| earlier.is_same(&test.asks)) {
                asked.push(&test.asks);
            }
        }
        asked
    }

    /// True when it names the partition key, in one way only.
    fn names_partition(&self, key: &KeySchema) -> bool {
        matches!(key.partition.as_slice(), [attribute] if self.asks_of(&attribute.name).len() == 1)
    }

    /// True when it asks what one query can ask of that key, whatever else it filters by.
    fn is_key_read(&self, key: &KeySchema) -> bool {
        self.names_partition(key) && key.sort.iter().all(|attribute| self.asks_of(&attribute.name).len() <= 1)
    }
}

/// All ways in which a row can pass.
struct Branches<'f> {
    key: &'f KeySchema,
    list: Vec<Branch<'f>>,
    /// True when there are too many to list.
    is_cut: bool,
}

/// A query that a branch asks for: each attribute's tests, without `IN`.
struct BranchQuery<'f> {
    tests: Vec<(&'f str, KeyTest)>,
    filters: Vec<&'f Filter>,
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
        let mut branches = Self { key, list: Vec::new(), is_cut: false };
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
            Filter::Any(_) => vec![Branch { filters: vec![filter], ..Branch::default() }],
            Filter::Test(_) => vec![self.branch_of_test(filter)],
        }
    }

    fn branch_of_test(&self, filter: &'f Filter) -> Branch<'f> {
        match filter.attribute().filter(|test| self.key.contains(&test.name)) {
            Some(test) if is_key_test(test, self.key) => Branch { tests: vec![test], ..Branch::default() },
            other => Branch { filters: vec![filter], has_other: other.is_some(), ..Branch::default() },
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
            has_other: left.has_other || right.has_other,
        });
        joined.collect()
    }

    /// True when the service makes queries of the branches. Of others it makes a scan; we query what they name all the same,
    /// which gives the same rows.
    fn is_planned(&self) -> bool {
        self.list.iter().all(|branch| branch.is_key_read(self.key) && !branch.has_other)
    }

    /// Looks at the branches as written, up to the first that no query can answer.
    fn check_types(&self) -> Result<(), ApiError> {
        let key_reads = self.list.iter().take_while(|branch| branch.is_key_read(self.key));
        for test in key_reads.flat_map(|branch| &branch.tests) {
            for value in test.asks.values() {
                check_type(&test.name, value, self.key)?;
            }
        }
        Ok(())
    }

    fn check_count(&self, filter: &Filter) -> Result<(), ApiError> {
        let queries_of = |branch: &Branch<'_>| {
            branch.tests.iter().map(|test| test.asks.alternatives()).fold(1, usize::saturating_mul)
        };
        let queries = self.list.iter().map(queries_of).fold(0, usize::saturating_add);
        if (self.is_cut || queries > READS_MAX) && fixes_partition(filter, self.key) {
            return Err(ApiError::validation("Too many decomposed read operations for a given query."));
        }
        Ok(())
    }

    fn check_order(&self, order: &[OrderTerm], reads: Option<&[Read]>) -> Result<(), ApiError> {
        if order.is_empty() {
            return Ok(());
        }
        if self.is_cut || !self.list.iter().all(|branch| branch.names_partition(self.key)) {
            return Err(ApiError::validation(
                "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.",
            ));
        }
        if reads.is_none_or(is_of_one_partition) || order.iter().any(|term| term.is_partition) {
            return Ok(());
        }
        Err(ApiError::validation(
            "Must have hash key in ORDER BY clause when more than one hash key condition specified in WHERE clause.",
        ))
    }

    /// A query for each value of each branch; `None` when some branch is none, or asks for what has another type than the key.
    fn queries(&self) -> Option<Vec<BranchQuery<'f>>> {
        let mut queries = Vec::new();
        for branch in &self.list {
            let values = branch.tests.iter().flat_map(|test| {
                test.asks.values().into_iter().map(|value| check_type(&test.name, value, self.key))
            });
            if self.is_cut || !branch.names_partition(self.key) || values.into_iter().any(|fit| fit.is_err())
            {
                return None;
            }
            let mut tests: Vec<Vec<(&'f str, KeyTest)>> = vec![Vec::new()];
            for attribute in self.key.attributes() {
                for asks in branch.asks_of(&attribute.name) {
                    let each = |tests: &Vec<(&'f str, KeyTest)>| {
                        let tests = tests.clone();
                        asks.each()
                            .into_iter()
                            .map(move |one| [tests.as_slice(), &[(attribute.name.as_str(), one)]].concat())
                    };
                    tests = tests.iter().flat_map(each).collect();
                    if tests.len() > BRANCHES_MAX {
                        return None;
                    }
                }
            }
            queries.extend(
                tests.into_iter().map(|tests| BranchQuery { tests, filters: branch.filters.clone() }),
            );
        }
        Some(queries)
    }

    fn reads(&self, queries: Option<&[BranchQuery<'f>]>) -> Result<Option<Vec<Read>>, ApiError> {
        queries.map(|queries| queries.iter().map(|query| self.read(query)).collect()).transpose()
    }

    fn read(&self, query: &BranchQuery<'f>) -> Result<Read, ApiError> {
        let mut conditions = self.conditions(query);
        let partition =
            conditions.next().expect("the query names the partition").resolve_any_size(self.key)?;
        let mut range = interval_range(&partition);
        for condition in conditions {
            range = intersection(range, interval_range(&condition.resolve_any_size(self.key)?));
        }
        let mut partition_bytes = Vec::new();
        partition.partition.iter().for_each(|value| value.write_sortable(&mut partition_bytes));
        let mut unprojected = Vec::new();
        for root in query.filters.iter().flat_map(|filter| roots(filter)) {
            if !unprojected.contains(&root) {
                unprojected.push(root);
            }
        }
        Ok(Read { partition: partition_bytes, range, unprojected })
    }

    /// The query's partition, and each thing that it asks of the sort key there.
    fn conditions<'q>(&self, query: &'q BranchQuery<'f>) -> impl Iterator<Item = KeyCondition> + 'q {
        let test = |(name, test): &(&str, KeyTest)| ((*name).to_owned(), test.clone());
        let (partition, sort) = query.tests.split_first().expect("the query names the partition");
        let partition = test(partition);
        let sort = sort.iter().map({
            let partition = partition.clone();
            move |part| KeyCondition::from_tests(vec![partition.clone(), test(part)])
        });
        std::iter::once(KeyCondition::from_tests(vec![partition])).chain(sort)
    }

    /// Refuses values that no key can have because of their size, as far as the service looks: at the sort key of one query,
    /// and at the partition of one or many.
    fn check_sizes(&self, queries: &[BranchQuery<'f>], reads: &[Read]) -> Result<(), ApiError> {
        let Some(query) = queries.first().filter(|_| is_of_one_partition(reads)) else { return Ok(()) };
        let conditions = if queries.len() == 1 { usize::MAX } else { 1 };
        self.conditions(query)
            .take(conditions)
            .try_for_each(|condition| condition.resolve(self.key).map(|_| ()))
    }

    /// The plan of these queries.
    fn ordered(&self, mut reads: Vec<Read>, order: &[OrderTerm], filter: &Filter) -> ReadPlan {
        let by_partition = order.iter().find(|order| order.is_partition);
        let by_sort = order.iter().find(|order| !order.is_partition);
        let is_planned = self.is_planned();
        // An order that names the partition key alone turns the items of a partition round, as was observed.
        let is_backward = by_sort.map_or(!order.is_empty(), |order| order.is_descending);
        reads.sort_by(|a, b| a.partition.cmp(&b.partition));
        let keyed_filters = match is_planned {
            true => reads.iter().map(|read| read.unprojected.clone()).collect(),
            false => Vec::new(),
        };
        let says_all = is_planned && self.list.iter().all(|branch| branch.filters.is_empty());
        let mut groups: Vec<(Vec<u8>, Vec<KeyRange>)> = Vec::new();
        for read in reads {
            match groups.last_mut() {
                Some((partition, ranges)) if *partition == read.partition => ranges.push(read.range),
                _ => groups.push((read.partition, vec![read.range])),
            }
        }
        if !is_planned {
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
        ReadPlan {
            ranges: ranges.filter(|range| !range.is_empty()).collect(),
            direction: if is_backward { Direction::Backward } else { Direction::Forward },
            filter: (!says_all).then(|| filter.condition()),
            keyed_filters,
        }
    }
}

fn is_of_one_partition(reads: &[Read]) -> bool {
    reads.windows(2).all(|pair| pair[0].partition == pair[1].partition)
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
            test.asks.is_of_values() && key.partition.iter().any(|attribute| attribute.name == test.name)
        }),
    }
}

/// True for what a query can ask of that attribute of the key.
fn is_key_test(test: &AttributeTest, key: &KeySchema) -> bool {
    let is_partition = key.partition.iter().any(|attribute| attribute.name == test.name);
    match &test.asks {
        Asks::Key(KeyTest::Equal(_)) | Asks::OneOf(_) => key.contains(&test.name),
        Asks::Key(KeyTest::NotIndexable) | Asks::Other => false,
        Asks::Key(_) => !is_partition && key.contains(&test.name),
    }
}

/// Rejects a value that the key attribute of that name cannot have.
///
/// # Errors
/// The service's own.
pub(super) fn check_type(name: &str, value: &AttributeValue, key: &KeySchema) -> Result<(), ApiError> {
    let Some(attribute) = key.attributes().find(|attribute| attribute.name == name) else { return Ok(()) };
    if attribute.scalar_type.admits(value) {
        return Ok(());
    }
    Err(match value {
        AttributeValue::S(_) | AttributeValue::N(_) | AttributeValue::B(_) => key_type_mismatch(name),
        other => ApiError::validation(format!(
            "Key value must be of type S, N, or B. Key name: {name}, Key type: {}",
            other.type_name()
        )),
    })
}

/// The words for a value that has another type than the key attribute of that name.
pub(super) fn key_type_mismatch(name: &str) -> ApiError {
    ApiError::validation(format!(
        "Key attribute's data type should match its data type in table's schema: Key {name}"
    ))
}
