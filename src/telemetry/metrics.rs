//! The metrics, behind methods that speak of requests and not of metric types.
//!
//! Requests are counted in `requests`. What others count by themselves comes as plain `samples` when somebody asks for the text.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{Encoder, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use super::latencies::Latencies;
use super::logs;
use super::requests::{self, Family, RequestFigures, Requests};
use super::samples::{self, CacheSample};
use crate::call::{BypassReason, DenialReason, Source};
use crate::model::Operation;

/// Error codes with labels of their own, of all operations.
const CODES_MAX: usize = 100;

/// More than the protocol of DAX has methods.
const DAX_METHODS_MAX: usize = 16;

/// Calls of what stands behind the cache.
const UPSTREAM_FAMILY: Family =
    Family::histogram("nearside_upstream_request_duration_seconds", "Calls of the upstream.");

/// What a node in a fleet measures; shown once something was measured.
const FLEET_FAMILIES: [Family; 3] = [
    Family::histogram(
        "nearside_fleet_propagation_seconds",
        "From a write's verdict until this node reads its report.",
    ),
    Family::histogram("nearside_fleet_publish_duration_seconds", "Calls that publish reports."),
    Family::histogram(
        "nearside_fleet_strict_wait_seconds",
        "From a write's verdict until all members have applied it.",
    ),
];

/// All metrics of the process.
pub struct Metrics {
    registry: Registry,
    requests: Requests,
    errors: IntCounterVec,
    /// The codes among the labels of `errors`.
    codes: Mutex<BTreeSet<Box<str>>>,
    bypasses: IntCounterVec,
    /// Calls by operation; a histogram is made when it is first used.
    upstream: Box<[OnceLock<Latencies>]>,
    connections: IntGauge,
    connections_total: IntCounter,
    dax_connections: IntGauge,
    dax_requests: IntCounterVec,
    /// The counters of that, by the place of the method, for successes and errors: looked up once each.
    dax_counters: [[OnceLock<IntCounter>; 2]; DAX_METHODS_MAX],
    refusals: IntCounterVec,
    denials: IntCounterVec,
    admin_calls: IntCounterVec,
    reloads: IntCounterVec,
    last_reload: IntGauge,
    fleet: [Latencies; FLEET_FAMILIES.len()],
}

impl Metrics {
    /// A fresh set, all at zero. `refusals` are the labels of all reasons for which a request may be refused before it is read.
    ///
    /// What an alert watches by `increase` must be there at 0 before it counts, or the first event does not show.
    pub fn new(refusals: &[&str]) -> Arc<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let vector = IntCounterVec::new(Opts::new(name, help), labels).expect("a constant name is valid");
            registry.register(Box::new(vector.clone())).expect("each name is registered once");
            vector
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help).expect("a constant name is valid");
            registry.register(Box::new(gauge.clone())).expect("each name is registered once");
            gauge
        };
        // One whose only label has these values, all at zero.
        let counter_of = |name: &str, help: &str, label: &str, values: &[&str]| {
            let vector = counter(name, help, &[label]);
            for value in values {
                vector.with_label_values(&[value]);
            }
            vector
        };
        let errors = counter("nearside_errors_total", "Answers that are errors, by code.", &["op", "code"]);
        let reasons = BypassReason::ALL.map(BypassReason::label);
        let help = "Reads that went past the cache, by reason.";
        let bypasses = counter_of("nearside_bypass_total", help, "reason", &reasons);
        let help = "Requests refused before they were read, by reason.";
        let refused = counter_of("nearside_refused_total", help, "reason", refusals);
        let reasons = DenialReason::ALL.map(DenialReason::label);
        let help = "Requests denied to their callers, by reason.";
        let denials = counter_of("nearside_auth_denied_total", help, "reason", &reasons);
        let dax_requests = counter(
            "nearside_dax_requests_total",
            "Requests of DAX clients, by method and outcome.",
            &["method", "outcome"],
        );
        let admin_calls = counter(
            "nearside_admin_calls_total",
            "Requests answered that came over the admin listener, as those of the console.",
            &["op"],
        );
        let help = "Reloads of the config, by outcome.";
        let reloads = counter_of("nearside_config_reloads_total", help, "outcome", &["applied", "refused"]);
        let last_reload =
            gauge("nearside_config_last_reload_success", "0 when the last reload was refused, else 1.");
        last_reload.set(1);
        let connections = gauge("nearside_connections", "Open connections.");
        let connections_total = IntCounter::new("nearside_connections_total", "Accepted connections.")
            .expect("a constant name is valid");
        registry.register(Box::new(connections_total.clone())).expect("each name is registered once");
        let dax_connections = gauge("nearside_dax_connections", "Open connections of DAX clients.");
        registry.register(Box::new(build_info())).expect("each name is registered once");
        let process = prometheus::process_collector::ProcessCollector::for_self();
        registry.register(Box::new(process)).expect("each name is registered once");
        Arc::new(Self {
            registry,
            requests: Requests::new(),
            errors,
            codes: Mutex::default(),
            bypasses,
            upstream: (0..Operation::COUNT).map(|_| OnceLock::new()).collect(),
            connections,
            connections_total,
            dax_connections,
            dax_requests,
            dax_counters: Default::default(),
            refusals: refused,
            denials,
            admin_calls,
            reloads,
            last_reload,
            fleet: Default::default(),
        })
    }

    /// A request was answered, from `source` or by the front end itself. `table` is empty for a request that does not name
    /// exactly one.
    pub fn answered(&self, operation: Operation, table: &str, source: Option<Source>, latency: Duration) {
        self.requests.answered(operation, table, source, latency);
    }

    /// An answer was an error.
    pub fn failed(&self, operation: Operation, table: &str, code: &str) {
        self.requests.failed(table, code);
        let mut codes = self.codes.lock().unwrap_or_else(PoisonError::into_inner);
        let code = requests::code_label(code, |code| codes.contains(code) || codes.len() < CODES_MAX);
        if !codes.contains(code) {
            codes.insert(code.into());
        }
        drop(codes);
        self.errors.with_label_values(&[operation.name(), code]).inc();
    }

    /// The label under which figures of a table are shown: its own, `other` beyond the first hundred tables, and `None` for
    /// one that was deleted and has got no new label since.
    pub fn table_label<'a>(&self, table: &'a str) -> Option<&'a str> {
        self.requests.label(table)
    }

    /// True if figures of the table are shown under its own name.
    pub fn shows_table(&self, table: &str) -> bool {
        self.requests.has_label(table)
    }

    /// A table was deleted: figures are not shown under its name any more, until it is there again.
    pub fn table_deleted(&self, table: &str) {
        self.requests.deleted_table(table);
    }

    /// A read went past the cache.
    pub fn bypassed(&self, reason: BypassReason) {
        self.bypasses.with_label_values(&[reason.label()]).inc();
    }

    /// The upstream answered, or failed to.
    pub fn upstream_called(&self, operation: Operation, latency: Duration) {
        self.upstream[operation.index()].get_or_init(Latencies::default).observe(latency);
    }

    /// A report came back over the fleet's bus, so long after its write's verdict.
    pub fn fleet_propagated(&self, latency: Duration) {
        self.fleet[0].observe(latency);
    }

    /// The fleet's bus took reports.
    pub fn fleet_published(&self, latency: Duration) {
        self.fleet[1].observe(latency);
    }

    /// All members of the fleet have applied what a write has changed.
    pub fn fleet_confirmed(&self, latency: Duration) {
        self.fleet[2].observe(latency);
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

    /// One of the connections is of a DAX client.
    pub fn dax_connection_opened(&self) {
        self.dax_connections.inc();
    }

    /// A connection of a DAX client ended.
    pub fn dax_connection_closed(&self) {
        self.dax_connections.dec();
    }

    /// A request of a DAX client was answered. Each method has a place of its own, fewer than 16, and a name.
    pub fn dax_answered(&self, (place, method): (usize, &str), is_error: bool) {
        let outcome = if is_error { "error" } else { "ok" };
        let find = || self.dax_requests.with_label_values(&[method, outcome]);
        match self.dax_counters.get(place) {
            Some(counters) => counters[usize::from(is_error)].get_or_init(find).inc(),
            None => find().inc(),
        }
    }

    /// A request was refused before it was read.
    pub fn refused(&self, reason: &str) {
        self.refusals.with_label_values(&[reason]).inc();
    }

    /// A request was denied to its caller.
    pub fn denied(&self, reason: DenialReason) {
        self.denials.with_label_values(&[reason.label()]).inc();
    }

    /// A request was answered that came over the admin listener.
    pub fn admin_called(&self, operation: Operation) {
        self.admin_calls.with_label_values(&[operation.name()]).inc();
    }

    /// A config was read again, and applied or refused.
    pub fn reloaded(&self, is_applied: bool) {
        self.reloads.with_label_values(&[if is_applied { "applied" } else { "refused" }]).inc();
        self.last_reload.set(i64::from(is_applied));
    }

    /// What was counted of requests, for people and programs.
    pub fn request_figures(&self) -> RequestFigures {
        self.requests.figures()
    }

    /// How many answers were errors.
    pub fn errors_total(&self) -> u64 {
        let families = self.errors.collect();
        let counts = families.iter().flat_map(|family| family.get_metric());
        counts.map(|metric| metric.get_counter().get_value() as u64).sum()
    }

    /// The text for Prometheus, with the cache's own figures.
    pub fn render(&self, samples: &[CacheSample]) -> String {
        let mut text = Vec::with_capacity(16 * 1024);
        let mut families = self.registry.gather();
        families.extend(self.requests.families());
        families.push(self.upstream_family());
        let measured =
            FLEET_FAMILIES.iter().zip(&self.fleet).map(|(family, latencies)| (family, latencies.tally()));
        let measured = measured.filter(|(_, tally)| tally.count() > 0);
        families.extend(measured.map(|(family, tally)| family.of(vec![requests::histogram(&[], &tally)])));
        // The encoder takes an empty family for a mistake.
        families.retain(|family| !family.get_metric().is_empty());
        TextEncoder::new().encode(&families, &mut text).expect("writing to memory cannot fail");
        let mut text = String::from_utf8(text).expect("the text format is UTF-8");
        let dropped = CacheSample::plain("nearside_log_lines_dropped_total", logs::log_lines_dropped());
        samples::write(samples.iter().chain([&dropped]), &mut text);
        text
    }

    fn upstream_family(&self) -> prometheus::proto::MetricFamily {
        let used = self.upstream.iter().enumerate();
        let metrics = used.filter_map(|(operation, latencies)| {
            let labels = [("op", requests::operation_name(operation))];
            Some(requests::histogram(&labels, &latencies.get()?.tally()))
        });
        UPSTREAM_FAMILY.of(metrics.collect())
    }
}

/// Always 1; what it says is in its labels.
fn build_info() -> IntGaugeVec {
    let options = Opts::new("nearside_build_info", "Always 1; the label is the version.");
    let build = IntGaugeVec::new(options, &["version"]).expect("a constant name is valid");
    build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
    build
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// The names of all metrics that begin with `nearside_`.
pub fn metric_names() -> Vec<&'static str> {
    let mut names = vec![
        UPSTREAM_FAMILY.name,
        "nearside_errors_total",
        "nearside_bypass_total",
        "nearside_refused_total",
        "nearside_auth_denied_total",
        "nearside_admin_calls_total",
        "nearside_config_reloads_total",
        "nearside_config_last_reload_success",
        "nearside_connections",
        "nearside_connections_total",
        "nearside_dax_connections",
        "nearside_dax_requests_total",
        "nearside_build_info",
    ];
    names.extend(requests::FAMILIES.iter().chain(&FLEET_FAMILIES).map(|family| family.name));
    names.extend(samples::names());
    names
}

#[cfg(test)]
mod tests {
    use super::requests::TABLES_MAX;
    use super::samples::FLEET_METRICS;
    use super::*;

    fn used() -> Arc<Metrics> {
        let metrics = Metrics::new(&["head"]);
        metrics.answered(Operation::GetItem, "Orders", Some(Source::Hit), Duration::from_micros(80));
        metrics.failed(Operation::GetItem, "Orders", "ValidationException");
        metrics.bypassed(BypassReason::Consistent);
        metrics.upstream_called(Operation::GetItem, Duration::from_micros(80));
        metrics.refused("head");
        metrics.admin_called(Operation::Scan);
        metrics.dax_answered((1, "endpoints"), false);
        metrics.fleet_propagated(Duration::from_millis(1));
        metrics.fleet_published(Duration::from_millis(1));
        metrics.fleet_confirmed(Duration::from_millis(1));
        metrics
    }

    /// One of each figure of a fleet.
    fn of_fleet() -> Vec<CacheSample> {
        FLEET_METRICS.iter().map(|(name, ..)| CacheSample::plain(name, 1)).collect()
    }

    fn hit(metrics: &Metrics, table: &str) {
        metrics.answered(Operation::GetItem, table, Some(Source::Hit), Duration::from_micros(80));
    }

    /// The value of a metric with its labels.
    fn value(metrics: &Metrics, name: &str) -> Option<String> {
        let text = metrics.render(&[]);
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map(str::to_owned)
    }

    #[test]
    fn the_listed_names_are_the_rendered_ones() {
        let text = used().render(&of_fleet());
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE nearside_"));
        let mut rendered: Vec<String> =
            types.map(|rest| rest.split(' ').next().unwrap().to_owned()).collect();
        let mut listed: Vec<String> =
            metric_names().iter().map(|name| name.strip_prefix("nearside_").unwrap().to_owned()).collect();
        rendered.sort();
        listed.sort();
        assert_eq!(rendered, listed);
    }

    /// What `promtool check metrics` finds fault with: names that do not fit the type, and missing or sloppy help.
    #[test]
    fn names_types_and_help_follow_the_rules_of_prometheus() {
        let text = used().render(&of_fleet());
        let described = |kind: &str| -> Vec<(String, String)> {
            let lines = text.lines().filter_map(|line| line.strip_prefix(&format!("# {kind} nearside_")));
            lines
                .map(|rest| rest.split_once(' ').unwrap())
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
                .collect()
        };
        for (name, kind) in described("TYPE") {
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
            assert!(kind != "histogram" || name.ends_with("_seconds"), "{name} is a {kind}");
        }
        let help = described("HELP");
        assert_eq!(help.len(), metric_names().len());
        for (name, help) in help {
            assert!(help.len() > 5 && help.ends_with('.'), "{name}: {help}");
        }
    }

    #[test]
    fn reasons_are_counted_from_zero() {
        let metrics = Metrics::new(&["head", "foreign_host"]);
        for (name, reasons) in [
            ("nearside_refused_total", vec!["head", "foreign_host"]),
            ("nearside_bypass_total", BypassReason::ALL.map(BypassReason::label).to_vec()),
            ("nearside_auth_denied_total", DenialReason::ALL.map(DenialReason::label).to_vec()),
        ] {
            for reason in reasons {
                let series = format!("{name}{{reason=\"{reason}\"}}");
                assert_eq!(value(&metrics, &series).as_deref(), Some("0"), "{series}");
            }
        }
    }

    #[test]
    fn the_build_is_a_gauge_of_one() {
        let text = Metrics::new(&["head"]).render(&[]);
        assert!(text.contains("# TYPE nearside_build_info gauge\nnearside_build_info{version="), "{text}");
    }

    #[test]
    fn requests_and_latencies_are_counted_by_operation_table_and_source() {
        let metrics = Metrics::new(&["head"]);
        (0..3).for_each(|_| hit(&metrics, "Orders"));
        hit(&metrics, "Users");
        metrics.answered(Operation::Query, "Orders", Some(Source::Hit), Duration::from_micros(4));
        for (name, expected) in [
            (r#"nearside_requests_total{op="GetItem",source="hit",table="Orders"}"#, "3"),
            (r#"nearside_requests_total{op="GetItem",source="hit",table="Users"}"#, "1"),
            (r#"nearside_request_duration_seconds_count{op="GetItem",source="hit"}"#, "4"),
            (r#"nearside_table_request_duration_seconds_count{source="hit",table="Orders"}"#, "4"),
            (
                r#"nearside_table_request_duration_seconds_bucket{source="hit",table="Orders",le="0.000005"}"#,
                "1",
            ),
        ] {
            assert_eq!(value(&metrics, name).as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn tables_beyond_the_bound_share_a_label() {
        let metrics = Metrics::new(&["head"]);
        (0..TABLES_MAX + 50).for_each(|number| hit(&metrics, &format!("T{number}")));
        let others = r#"nearside_requests_total{op="GetItem",source="hit",table="other"}"#;
        assert_eq!(value(&metrics, others).as_deref(), Some("50"));
        assert_eq!((metrics.table_label("T0"), metrics.table_label("New")), (Some("T0"), Some("other")));
    }

    #[test]
    fn a_deleted_table_gives_its_label_up_and_no_sum_goes_back() {
        let metrics = Metrics::new(&["head"]);
        (0..TABLES_MAX).for_each(|number| hit(&metrics, &format!("T{number}")));
        metrics.failed(Operation::GetItem, "T7", "ValidationException");
        metrics.table_deleted("T7");
        assert!(!metrics.render(&[]).contains("\"T7\""));
        assert_eq!(metrics.table_label("T7"), None);
        let all = r#"nearside_request_duration_seconds_count{op="GetItem",source="hit"}"#;
        assert_eq!(value(&metrics, all), Some(TABLES_MAX.to_string()));
        hit(&metrics, "T7");
        assert_eq!(
            value(&metrics, r#"nearside_requests_total{op="GetItem",source="hit",table="T7"}"#).unwrap(),
            "1"
        );
        assert_eq!(metrics.table_label("T7"), Some("T7"));
        assert_eq!(value(&metrics, all), Some((TABLES_MAX + 1).to_string()));
    }

    #[test]
    fn codes_that_an_upstream_invents_do_not_grow_the_labels_without_bound() {
        let metrics = Metrics::new(&["head"]);
        for number in 0..1000 {
            metrics.failed(Operation::GetItem, "Orders", &format!("Fault{number}"));
        }
        metrics.failed(Operation::GetItem, "Orders", "no \"code\"");
        let text = metrics.render(&[]);
        let series = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
        assert_eq!(series("nearside_errors_total{"), CODES_MAX + 1);
        assert_eq!(series("nearside_table_errors_total{"), CODES_MAX + 1);
        assert!(text.contains(r#"nearside_errors_total{code="other",op="GetItem"} 901"#), "{text}");
    }
}
