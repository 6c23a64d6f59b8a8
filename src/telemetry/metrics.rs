//! The metrics, behind methods that speak of requests and not of metric types.
//!
//! What counts each request is resolved once for each (operation, table, source) and then found by two array steps. What
//! the cache counts by itself is handed over as plain samples when somebody asks for the text.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus::{Encoder, IntCounter, IntCounterVec, IntGauge, Opts, Registry, TextEncoder};

use super::logs;
use super::spread::{self, SpreadCounter, SpreadCounterVec, SpreadHistogram, SpreadHistogramVec};
use crate::model::Operation;

/// Tables with labels of their own; those that come later share the label `other`.
const TABLES_MAX: usize = 100;
const OTHER: &str = "other";

/// The ways in which an answer comes about, as labels.
const SOURCES: [&str; 8] = ["hit", "miss", "joined", "bypass", "write", "stale", "batch", "refused"];

/// Name, kind and help of what the cache counts by itself.
pub const CACHE_METRICS: &[(&str, &str, &str)] = &[
    ("nearside_cache_hits_total", "counter", "Reads of items answered from memory, absent items included."),
    ("nearside_cache_negative_hits_total", "counter", "Hits that said that there is no item."),
    ("nearside_cache_misses_total", "counter", "Reads of items that fetched from the upstream."),
    ("nearside_cache_joins_total", "counter", "Reads of items that waited for another one's fetch."),
    ("nearside_cache_installs_total", "counter", "Items stored, by what brought them."),
    ("nearside_cache_installs_refused_total", "counter", "Items not stored, by reason."),
    ("nearside_cache_bumps_total", "counter", "Times that something voided what is cached, by reason."),
    ("nearside_cache_evictions_total", "counter", "Entries pushed out by newer ones."),
    (
        "nearside_cache_expired_total",
        "counter",
        "Entries reclaimed because they were dead or past their time.",
    ),
    (
        "nearside_cache_waiters_refused_total",
        "counter",
        "Reads that found too many others waiting for a fetch.",
    ),
    ("nearside_cache_entries", "gauge", "Entries now."),
    ("nearside_cache_bytes", "gauge", "Bytes that the entries take, keys and overhead included."),
    ("nearside_cache_bytes_max", "gauge", "The budget of those bytes."),
    (
        "nearside_cache_holds_active",
        "gauge",
        "Stripes kept out of the cache after writes of unknown outcome.",
    ),
    (
        "nearside_stale_observed_total",
        "counter",
        "Strong reads that contradicted the cache without a write of this node to explain it; 0 on a single writer.",
    ),
];

/// Name, kind and help of what the cache of pages counts by itself.
pub const PAGE_METRICS: &[(&str, &str, &str)] = &[
    ("nearside_page_hits_total", "counter", "Queries and scans answered from memory."),
    ("nearside_page_misses_total", "counter", "Queries and scans that fetched from the upstream."),
    ("nearside_page_joins_total", "counter", "Queries and scans that waited for another one's fetch."),
    ("nearside_page_installs_total", "counter", "Pages stored."),
    (
        "nearside_page_contradictions_total",
        "counter",
        "Consistent queries and scans that returned another page than the one cached; each voids it.",
    ),
    ("nearside_page_installs_refused_total", "counter", "Pages answered and not stored, by reason."),
    ("nearside_page_bumps_total", "counter", "Times that pages were voided, by what of and why."),
    ("nearside_page_evictions_total", "counter", "Pages pushed or kept out by others."),
    ("nearside_page_expired_total", "counter", "Pages reclaimed because they were dead or past their time."),
    (
        "nearside_page_waiters_refused_total",
        "counter",
        "Queries and scans that found too many others waiting for a fetch.",
    ),
    ("nearside_page_entries", "gauge", "Pages now."),
    ("nearside_page_bytes", "gauge", "Bytes that the pages take, fingerprints and overhead included."),
    ("nearside_page_bytes_max", "gauge", "The budget of those bytes."),
];

/// Name, kind and help of what a remote upstream counts by itself.
pub const UPSTREAM_METRICS: &[(&str, &str, &str)] = &[
    (
        "nearside_upstream_requests_total",
        "counter",
        "Requests to the remote upstream, retries included, by how they ended.",
    ),
    ("nearside_upstream_retries_total", "counter", "Reads sent to the remote upstream once more."),
    ("nearside_upstream_retries_denied_total", "counter", "Reads not sent once more for want of budget."),
    (
        "nearside_upstream_reconnects_total",
        "counter",
        "Requests moved to a new connection because a pooled one was closed before it took a byte.",
    ),
    ("nearside_upstream_resigned_total", "counter", "Requests signed again with the upstream's clock."),
    ("nearside_upstream_queue_waits_total", "counter", "Requests that waited for their turn."),
    ("nearside_upstream_queue_refusals_total", "counter", "Requests whose turn did not come in time."),
    (
        "nearside_upstream_concurrency_limit",
        "gauge",
        "Requests that may be under way to the remote upstream at one time, by kind.",
    ),
    ("nearside_upstream_in_flight", "gauge", "Requests to the remote upstream under way."),
    ("nearside_upstream_connections_idle", "gauge", "Idle connections to the remote upstream."),
    ("nearside_upstream_breakers_open", "gauge", "Endpoints whose circuit breaker is open."),
];

/// Of the local backend where regions and access keys are kept apart: name, kind, help.
pub const REALM_METRICS: &[(&str, &str, &str)] = &[
    ("nearside_realms_open", "gauge", "Pairs of a region and an access key whose tables are open."),
    (
        "nearside_realms_closed_total",
        "counter",
        "Pairs whose tables were closed to make room for another one's.",
    ),
];

/// Of the log: name, kind, help.
const LOG_METRICS: &[(&str, &str, &str)] = &[(
    "nearside_log_lines_dropped_total",
    "counter",
    "Log lines that the standard error did not take, or not in time.",
)];

/// One figure of the cache, of a remote upstream or of realms at the moment of a scrape.
#[derive(Clone, Debug)]
pub struct CacheSample {
    /// A name of [`CACHE_METRICS`], [`PAGE_METRICS`] or [`UPSTREAM_METRICS`].
    pub name: &'static str,
    /// Labels and their values, which have nothing in them that must be escaped.
    pub labels: Vec<(&'static str, String)>,
    /// The figure.
    pub value: u64,
}

impl CacheSample {
    /// A figure without labels.
    pub fn plain(name: &'static str, value: u64) -> Self {
        Self { name, labels: Vec::new(), value }
    }

    /// A figure with one label.
    pub fn labelled(name: &'static str, label: &'static str, label_value: &str, value: u64) -> Self {
        Self { name, labels: vec![(label, label_value.to_owned())], value }
    }
}

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    requests: SpreadCounterVec,
    latencies: SpreadHistogramVec,
    errors: IntCounterVec,
    bypasses: IntCounterVec,
    upstream: SpreadHistogramVec,
    connections: IntGauge,
    connections_total: IntCounter,
    refusals: IntCounterVec,
    reloads: IntCounterVec,
    last_reload: IntGauge,
    /// Read with every request and changed a hundred times at most, so that reading must not touch a shared count.
    tables: ArcSwap<HashMap<Box<str>, Arc<TableChildren>>>,
    /// Of the tables beyond the bound.
    other: TableChildren,
    latency_children: Children<SpreadHistogram>,
    upstream_children: Box<[OnceLock<SpreadHistogram>]>,
}

/// One metric for each (operation, source), made when it is first used.
struct Children<T>(Box<[OnceLock<T>]>);

type TableChildren = Children<SpreadCounter>;

impl<T> Children<T> {
    fn new() -> Self {
        Self((0..Operation::COUNT * SOURCES.len()).map(|_| OnceLock::new()).collect())
    }

    fn get(&self, operation: Operation, source: usize, make: impl FnOnce() -> T) -> &T {
        self.0[operation.index() * SOURCES.len() + source].get_or_init(make)
    }
}

impl Metrics {
    /// A fresh set, all at zero.
    pub fn new() -> Arc<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let vector = IntCounterVec::new(Opts::new(name, help), labels).expect("a constant name is valid");
            registry.register(Box::new(vector.clone())).expect("each name is registered once");
            vector
        };
        let histogram = |name: &str, help: &str, labels: &[&str]| {
            let vector = spread::histograms(name, help, labels);
            registry.register(Box::new(vector.clone())).expect("each name is registered once");
            vector
        };
        let requests =
            spread::counters("nearside_requests_total", "Requests answered.", &["op", "table", "source"]);
        registry.register(Box::new(requests.clone())).expect("each name is registered once");
        let latencies = histogram(
            "nearside_request_duration_seconds",
            "From the end of a request's head to its answer.",
            &["op", "source"],
        );
        let errors = counter("nearside_errors_total", "Answers that are errors, by code.", &["op", "code"]);
        let bypasses =
            counter("nearside_bypass_total", "Reads that went past the cache, by reason.", &["reason"]);
        let upstream =
            histogram("nearside_upstream_request_duration_seconds", "Calls of the upstream.", &["op"]);
        let refusals = counter(
            "nearside_refused_total",
            "Requests refused before they were read, by reason.",
            &["reason"],
        );
        let reloads =
            counter("nearside_config_reloads_total", "Reloads of the config, by outcome.", &["outcome"]);
        for outcome in ["applied", "refused"] {
            reloads.with_label_values(&[outcome]);
        }
        let last_reload = IntGauge::new(
            "nearside_config_last_reload_success",
            "0 when the last reload was refused, else 1.",
        )
        .expect("a constant name is valid");
        last_reload.set(1);
        registry.register(Box::new(last_reload.clone())).expect("each name is registered once");
        let connections =
            IntGauge::new("nearside_connections", "Open connections.").expect("a constant name is valid");
        registry.register(Box::new(connections.clone())).expect("each name is registered once");
        let connections_total = IntCounter::new("nearside_connections_total", "Accepted connections.")
            .expect("a constant name is valid");
        registry.register(Box::new(connections_total.clone())).expect("each name is registered once");
        let build = counter("nearside_build_info", "Always 1; the label is the version.", &["version"]);
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).inc();
        let process = prometheus::process_collector::ProcessCollector::for_self();
        registry.register(Box::new(process)).expect("each name is registered once");
        Arc::new(Self {
            registry,
            requests,
            latencies,
            errors,
            bypasses,
            upstream,
            connections,
            connections_total,
            refusals,
            reloads,
            last_reload,
            tables: ArcSwap::default(),
            other: Children::new(),
            latency_children: Children::new(),
            upstream_children: (0..Operation::COUNT).map(|_| OnceLock::new()).collect(),
        })
    }

    /// A request was answered. `source` is one of `hit`, `miss`, `joined`, `bypass`, `write`, `stale`, `batch` and
    /// `refused`; `table` is empty for a request that names none.
    pub fn answered(&self, operation: Operation, table: &str, source: &str, latency: Duration) {
        let source = SOURCES.iter().position(|known| *known == source).unwrap_or(SOURCES.len() - 1);
        let labels = [operation.name(), SOURCES[source]];
        self.with_table(table, |children, table| {
            let counter = || self.requests.with_label_values(&[labels[0], table, labels[1]]);
            children.get(operation, source, counter).inc();
        });
        let histogram =
            self.latency_children.get(operation, source, || self.latencies.with_label_values(&labels));
        histogram.observe(latency);
    }

    /// An answer was an error.
    pub fn failed(&self, operation: Operation, code: &str) {
        self.errors.with_label_values(&[operation.name(), code]).inc();
    }

    /// A read went past the cache.
    pub fn bypassed(&self, reason: &str) {
        self.bypasses.with_label_values(&[reason]).inc();
    }

    /// The upstream answered, or failed to.
    pub fn upstream_called(&self, operation: Operation, latency: Duration) {
        let child = &self.upstream_children[operation.index()];
        child.get_or_init(|| self.upstream.with_label_values(&[operation.name()])).observe(latency);
    }

    /// A connection was accepted.
    pub fn connection_opened(&self) {
        self.connections.inc();
        self.connections_total.inc();
    }

    /// A connection ended.
    pub fn connection_closed(&self) {
        self.connections.dec();
    }

    /// A request was refused before it was read.
    pub fn refused(&self, reason: &str) {
        self.refusals.with_label_values(&[reason]).inc();
    }

    /// A config was read again, and applied or refused.
    pub fn reloaded(&self, is_applied: bool) {
        self.reloads.with_label_values(&[if is_applied { "applied" } else { "refused" }]).inc();
        self.last_reload.set(i64::from(is_applied));
    }

    /// The text for Prometheus, with the cache's own figures.
    pub fn render(&self, samples: &[CacheSample]) -> String {
        let mut text = Vec::with_capacity(16 * 1024);
        TextEncoder::new().encode(&self.registry.gather(), &mut text).expect("writing to memory cannot fail");
        let mut text = String::from_utf8(text).expect("the text format is UTF-8");
        let dropped = CacheSample::plain("nearside_log_lines_dropped_total", logs::log_lines_dropped());
        for (name, kind, help) in sampled() {
            write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n")
                .expect("writing to memory cannot fail");
            for sample in samples.iter().chain([&dropped]).filter(|sample| sample.name == *name) {
                let labels: Vec<_> =
                    sample.labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
                let written = match labels.is_empty() {
                    true => writeln!(text, "{name} {}", sample.value),
                    false => writeln!(text, "{name}{{{}}} {}", labels.join(","), sample.value),
                };
                written.expect("writing to memory cannot fail");
            }
        }
        text
    }

    /// Gives the children of a table and the value of its label.
    fn with_table(&self, table: &str, count: impl FnOnce(&TableChildren, &str)) {
        let tables = self.tables.load();
        match tables.get(table) {
            Some(children) => count(children, table),
            None if tables.len() >= TABLES_MAX => count(&self.other, OTHER),
            None => {
                self.add_table(table);
                self.with_table(table, count);
            }
        }
    }

    fn add_table(&self, table: &str) {
        self.tables.rcu(|known| {
            let mut grown = HashMap::clone(known);
            // Others may have filled it meanwhile.
            if grown.len() < TABLES_MAX {
                grown.entry(table.into()).or_insert_with(|| Arc::new(Children::new()));
            }
            grown
        });
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// The names of all metrics that begin with `nearside_`.
pub fn metric_names() -> Vec<&'static str> {
    let mut names = vec![
        "nearside_requests_total",
        "nearside_request_duration_seconds",
        "nearside_errors_total",
        "nearside_bypass_total",
        "nearside_upstream_request_duration_seconds",
        "nearside_refused_total",
        "nearside_config_reloads_total",
        "nearside_config_last_reload_success",
        "nearside_connections",
        "nearside_connections_total",
        "nearside_build_info",
    ];
    names.extend(sampled().map(|(name, ..)| *name));
    names
}

/// Name, kind and help of everything that is handed over as samples.
fn sampled() -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
    let groups = [CACHE_METRICS, PAGE_METRICS, UPSTREAM_METRICS, REALM_METRICS, LOG_METRICS];
    groups.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listed_names_are_the_rendered_ones() {
        let metrics = Metrics::new();
        metrics.answered(Operation::GetItem, "Orders", "hit", Duration::from_micros(80));
        metrics.failed(Operation::GetItem, "ValidationException");
        metrics.bypassed("consistent");
        metrics.upstream_called(Operation::GetItem, Duration::from_micros(80));
        metrics.refused("head");
        let text = metrics.render(&[]);
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE nearside_"));
        let mut rendered: Vec<String> =
            types.map(|rest| rest.split(' ').next().unwrap().to_owned()).collect();
        let mut listed: Vec<String> =
            metric_names().iter().map(|name| name.strip_prefix("nearside_").unwrap().to_owned()).collect();
        rendered.sort();
        listed.sort();
        assert_eq!(rendered, listed);
    }

    #[test]
    fn requests_are_counted_by_operation_table_and_source() {
        let metrics = Metrics::new();
        for _ in 0..3 {
            metrics.answered(Operation::GetItem, "Orders", "hit", Duration::from_micros(80));
        }
        let text = metrics.render(&[]);
        assert!(
            text.contains(r#"nearside_requests_total{op="GetItem",source="hit",table="Orders"} 3"#),
            "{text}"
        );
        assert!(
            text.contains(r#"nearside_request_duration_seconds_count{op="GetItem",source="hit"} 3"#),
            "{text}"
        );
    }

    #[test]
    fn tables_beyond_the_bound_share_a_label() {
        let metrics = Metrics::new();
        for number in 0..TABLES_MAX + 50 {
            metrics.answered(Operation::GetItem, &format!("T{number}"), "hit", Duration::ZERO);
        }
        let text = metrics.render(&[]);
        assert!(text.contains(r#"source="hit",table="other"} 50"#), "{text}");
    }
}
