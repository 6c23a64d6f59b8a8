//! What requests are counted by: how long each took, for each operation, table and source.
//!
//! A request changes one histogram. Every family that is shown is a sum of these: requests, latencies by operation, latencies
//! by table. A hundred tables have labels of their own; what the others do is counted under `other`. A table that is deleted
//! gives its label up, and its part of the sums over all tables stays.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::proto::{self, MetricFamily, MetricType};

use super::latencies::{Histogram, Latencies, Tally};
use crate::call::Source;
use crate::model::Operation;

/// Tables with labels of their own.
pub(super) const TABLES_MAX: usize = 100;

/// The label of all other tables, and of error codes beyond their bound.
const OTHER: &str = "other";

/// The label of requests that do not name exactly one table that exists.
const UNNAMED: &str = "";

/// Error codes with labels of their own. The service has some 60; what an upstream invents must not grow without bound.
const CODES_MAX: usize = 100;

/// Names of deleted tables that are remembered, so that their figures are not shown again.
const DELETED_MAX: usize = 10_000;

/// The label of answers that the front end gave by itself.
const BY_THE_EDGE: &str = "refused";

/// The ways in which an answer comes about: from a source, or by the front end itself.
const SOURCES: usize = Source::LABELS.len() + 1;

/// What was counted so far, for people and programs.
#[derive(Clone, Debug, Default)]
pub struct RequestFigures {
    /// By operation and source, over all tables.
    pub by_operation: Vec<OperationFigures>,
    /// By table: those that have a label of their own, and the others together.
    pub tables: Vec<TableFigures>,
}

/// What was counted of an operation that was answered from one source.
#[derive(Clone, Debug)]
pub struct OperationFigures {
    /// The name of the operation.
    pub operation: &'static str,
    /// The label of the source.
    pub source: &'static str,
    /// How long the requests took.
    pub latency: Histogram,
}

/// What was counted of a table.
#[derive(Clone, Debug)]
pub struct TableFigures {
    /// Its name, or the label that tables without a label of their own share.
    pub table: String,
    /// How long requests took, by the label of their source.
    pub by_source: Vec<(&'static str, Histogram)>,
    /// How often each error was answered.
    pub errors: Vec<(String, u64)>,
}

/// How requests ended, by operation, table and source.
pub(super) struct Requests {
    /// Read with every request and changed seldom, so that reading must not touch a shared count.
    tables: ArcSwap<HashMap<Box<str>, Arc<Figures>>>,
    unnamed: Figures,
    other: Figures,
    /// What deleted tables counted.
    retired: Figures,
    /// Held while the tables change, and while their figures are added up, which are moved with that.
    deleted: Mutex<HashSet<Box<str>>>,
}

/// The figures of a table. A histogram is made when it is first used.
struct Figures {
    latencies: Box<[OnceLock<Box<Latencies>>]>,
    errors: Mutex<BTreeMap<Box<str>, u64>>,
}

impl Figures {
    fn new() -> Self {
        let latencies = (0..Operation::COUNT * SOURCES).map(|_| OnceLock::new()).collect();
        Self { latencies, errors: Mutex::default() }
    }

    fn latencies(&self, place: usize) -> &Latencies {
        self.latencies[place].get_or_init(Box::default)
    }

    /// Everything that was counted, by place.
    fn tallies(&self) -> impl Iterator<Item = (usize, Tally)> {
        let used = self.latencies.iter().enumerate();
        used.filter_map(|(place, latencies)| Some((place, latencies.get()?.tally())))
    }

    fn errors(&self) -> MutexGuard<'_, BTreeMap<Box<str>, u64>> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Requests {
    pub(super) fn new() -> Self {
        Self {
            tables: ArcSwap::default(),
            unnamed: Figures::new(),
            other: Figures::new(),
            retired: Figures::new(),
            deleted: Mutex::default(),
        }
    }

    /// A request was answered; see [`super::Metrics::answered`].
    pub(super) fn answered(
        &self,
        operation: Operation,
        table: &str,
        source: Option<Source>,
        latency: Duration,
    ) {
        let place = operation.index() * SOURCES + source.map_or(SOURCES - 1, Source::index);
        self.with_table(table, |figures| figures.latencies(place).observe(latency));
    }

    /// An answer was an error.
    pub(super) fn failed(&self, table: &str, code: &str) {
        self.with_table(table, |figures| {
            let mut errors = figures.errors();
            let code = code_label(code, |code| errors.contains_key(code) || errors.len() < CODES_MAX);
            *errors.entry(code.into()).or_default() += 1;
        });
    }

    /// True if the table has a label of its own.
    pub(super) fn has_label(&self, table: &str) -> bool {
        self.tables.load().contains_key(table)
    }

    /// The label of a table's figures, its own where there is room for it; `None` for one that was
    /// deleted and has got no new label since.
    pub(super) fn label<'a>(&self, table: &'a str) -> Option<&'a str> {
        if self.has_label(table) {
            return Some(table);
        }
        if self.deleted().contains(table) {
            return None;
        }
        self.add_table(table);
        Some(if self.has_label(table) { table } else { OTHER })
    }

    /// The table is no more: its label goes, and what it counted stays in the sums over all tables.
    pub(super) fn deleted_table(&self, table: &str) {
        let mut deleted = self.deleted();
        if deleted.len() >= DELETED_MAX {
            deleted.clear();
        }
        deleted.insert(table.into());
        let mut tables = HashMap::clone(&self.tables.load());
        if let Some(figures) = tables.remove(table) {
            self.tables.store(Arc::new(tables));
            figures.tallies().for_each(|(place, tally)| self.retired.latencies(place).add(&tally));
        }
    }

    /// The families that are made of the figures.
    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let _unmoved = self.deleted();
        let tables = self.tables.load();
        let mut labelled: Vec<(&str, &Figures)> = vec![(UNNAMED, &self.unnamed), (OTHER, &self.other)];
        labelled.extend(tables.iter().map(|(table, figures)| (&**table, &**figures)));
        labelled.sort_unstable_by_key(|(table, _)| *table);
        let mut requests = Vec::new();
        let mut by_operation: BTreeMap<usize, Tally> = self.retired.tallies().collect();
        let mut by_table = Vec::new();
        let mut errors = Vec::new();
        for (table, figures) in labelled {
            let mut by_source: BTreeMap<usize, Tally> = BTreeMap::new();
            for (place, tally) in figures.tallies() {
                let (op, source) = labels_of(place);
                requests.push(counter(&[("op", op), ("source", source), ("table", table)], tally.count()));
                *by_operation.entry(place).or_default() += &tally;
                *by_source.entry(place % SOURCES).or_default() += &tally;
            }
            by_table.extend(
                by_source.iter().map(|(source, tally)| {
                    histogram(&[("source", label_at(*source)), ("table", table)], tally)
                }),
            );
            let codes = figures.errors();
            errors.extend(
                codes.iter().map(|(code, count)| counter(&[("code", code), ("table", table)], *count)),
            );
        }
        let by_operation = by_operation.iter().map(|(place, tally)| {
            let (op, source) = labels_of(*place);
            histogram(&[("op", op), ("source", source)], tally)
        });
        let described = FAMILIES.iter().zip([requests, by_operation.collect(), by_table, errors]);
        described.map(|(family, metrics)| family.of(metrics)).collect()
    }

    /// The same figures, for people and programs.
    pub(super) fn figures(&self) -> RequestFigures {
        let _unmoved = self.deleted();
        let tables = self.tables.load();
        let mut by_operation: BTreeMap<usize, Tally> = self.retired.tallies().collect();
        let own = tables.iter().map(|(table, figures)| (&**table, &**figures));
        let labelled: BTreeMap<_, _> = own.chain([(UNNAMED, &self.unnamed), (OTHER, &self.other)]).collect();
        let mut by_table = Vec::new();
        for (table, figures) in labelled {
            let mut by_source: BTreeMap<usize, Tally> = BTreeMap::new();
            for (place, tally) in figures.tallies() {
                *by_operation.entry(place).or_default() += &tally;
                *by_source.entry(place % SOURCES).or_default() += &tally;
            }
            let errors: Vec<_> =
                figures.errors().iter().map(|(code, count)| (code.to_string(), *count)).collect();
            if table != UNNAMED && !(by_source.is_empty() && errors.is_empty()) {
                let by_source = by_source.iter().map(|(source, tally)| (label_at(*source), tally.figures()));
                by_table.push(TableFigures {
                    table: table.to_owned(),
                    by_source: by_source.collect(),
                    errors,
                });
            }
        }
        let by_operation = by_operation.iter().map(|(place, tally)| {
            let (operation, source) = labels_of(*place);
            OperationFigures { operation, source, latency: tally.figures() }
        });
        RequestFigures { by_operation: by_operation.collect(), tables: by_table }
    }

    /// Finds a table's figures, or those that it shares.
    fn with_table<T>(&self, table: &str, count: impl FnOnce(&Figures) -> T) -> T {
        if table == UNNAMED {
            return count(&self.unnamed);
        }
        let tables = self.tables.load();
        match tables.get(table) {
            Some(figures) => count(figures),
            None if tables.len() >= TABLES_MAX => count(&self.other),
            None => {
                self.add_table(table);
                let tables = self.tables.load();
                count(tables.get(table).map_or(&self.other, |figures| figures))
            }
        }
    }

    fn add_table(&self, table: &str) {
        let mut deleted = self.deleted();
        let known = self.tables.load();
        // Others may have filled it meanwhile.
        if known.len() < TABLES_MAX && !known.contains_key(table) {
            let mut grown = HashMap::clone(&known);
            grown.insert(table.into(), Arc::new(Figures::new()));
            self.tables.store(Arc::new(grown));
        }
        deleted.remove(table);
    }

    fn deleted(&self) -> MutexGuard<'_, HashSet<Box<str>>> {
        self.deleted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A code as a label: one that looks like a code, if there is room for it.
pub(super) fn code_label(code: &str, has_room: impl FnOnce(&str) -> bool) -> &str {
    let is_code = (1..=64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_code && has_room(code) { code } else { OTHER }
}

fn labels_of(place: usize) -> (&'static str, &'static str) {
    (operation_name(place / SOURCES), label_at(place % SOURCES))
}

fn label_at(source: usize) -> &'static str {
    Source::LABELS.get(source).copied().unwrap_or(BY_THE_EDGE)
}

/// The label of an answer's source; `None` stands for the front end.
pub fn source_label(source: Option<Source>) -> &'static str {
    source.map_or(BY_THE_EDGE, Source::label)
}

/// The name of the operation with that index.
pub(super) fn operation_name(index: usize) -> &'static str {
    Operation::all().nth(index).unwrap_or(Operation::Unknown).name()
}

/// Name, type and help of a family.
pub(super) struct Family {
    pub(super) name: &'static str,
    kind: MetricType,
    help: &'static str,
}

/// What [`Requests::families`] makes, in that order.
pub(super) const FAMILIES: [Family; 4] = [
    Family { name: "nearside_requests_total", kind: MetricType::COUNTER, help: "Requests answered." },
    Family {
        name: "nearside_request_duration_seconds",
        kind: MetricType::HISTOGRAM,
        help: "From the end of a request's head to its answer.",
    },
    Family {
        name: "nearside_table_request_duration_seconds",
        kind: MetricType::HISTOGRAM,
        help: "From the end of a request's head to its answer, by table.",
    },
    Family {
        name: "nearside_table_errors_total",
        kind: MetricType::COUNTER,
        help: "Answers that are errors, by table and code.",
    },
];

impl Family {
    pub(super) const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, kind: MetricType::HISTOGRAM, help }
    }

    /// The family with these metrics.
    pub(super) fn of(&self, metrics: Vec<proto::Metric>) -> MetricFamily {
        let mut family = MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(self.kind);
        family.set_metric(metrics);
        family
    }
}

fn counter(labels: &[(&str, &str)], value: u64) -> proto::Metric {
    let mut counter = proto::Counter::default();
    counter.set_value(value as f64);
    let mut metric = proto::Metric::from_label(pairs(labels));
    metric.set_counter(counter);
    metric
}

/// A histogram with these labels, which must be in the order of their names.
pub(super) fn histogram(labels: &[(&str, &str)], tally: &Tally) -> proto::Metric {
    let mut metric = proto::Metric::from_label(pairs(labels));
    metric.set_histogram(tally.histogram());
    metric
}

fn pairs(labels: &[(&str, &str)]) -> Vec<proto::LabelPair> {
    let pair = |(name, value): &(&str, &str)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    };
    labels.iter().map(pair).collect()
}
