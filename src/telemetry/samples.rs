//! Figures that others count by themselves and hand over when somebody asks: their names, kinds and help, and how they are written.

use std::fmt::Write as _;
use std::time::Duration;

/// What the names of the samples of a histogram end with.
const PARTS: [&str; 3] = ["_bucket", "_sum", "_count"];

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
    ("nearside_item_hits_total", "counter", "Reads of items answered from memory, by table."),
    ("nearside_item_misses_total", "counter", "Reads of items that fetched from the upstream, by table."),
    ("nearside_item_joins_total", "counter", "Reads of items that waited for another one's fetch, by table."),
    (
        "nearside_insight_dropped_total",
        "counter",
        "Samples of keys that were dropped because a buffer was full, by what they were for.",
    ),
    ("nearside_insight_bytes", "gauge", "Bytes of the sketches and simulations behind hot keys and advice."),
    ("nearside_cache_entries", "gauge", "Entries now."),
    ("nearside_cache_bytes", "gauge", "Bytes that the entries take, keys and overhead included."),
    ("nearside_cache_bytes_max", "gauge", "The budget of those bytes."),
    (
        "nearside_cache_holds_active",
        "gauge",
        "Stripes kept out of the cache after writes of unknown outcome.",
    ),
    (
        "nearside_foreign_keys_total",
        "counter",
        "Items in upstream answers whose key was not the one asked for; they are passed on and not cached.",
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
        "Consistent queries and scans that returned another page than the one cached, unexplained by writes of this node.",
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

/// Name, kind and help of the capacity units that the cache saves and the upstream charges.
pub const UNIT_METRICS: &[(&str, &str, &str)] = &[
    (
        "nearside_read_units_saved_total",
        "counter",
        "Read units that the upstream would have charged for what was answered without it.",
    ),
    ("nearside_read_units_spent_total", "counter", "Read units that the upstream has charged."),
    ("nearside_write_units_spent_total", "counter", "Write units that the upstream has charged."),
    (
        "nearside_units_estimated_total",
        "counter",
        "Units among those charged that are estimates, because answers hide sizes.",
    ),
];

/// Name, kind and help of what comparisons of the cache with the upstream showed.
const COMPARISON_METRICS: &[(&str, &str, &str)] = &[
    (
        "nearside_shadow_reads_total",
        "counter",
        "Reads in shadow mode, by what the cache would have done or what the comparison showed.",
    ),
    (
        "nearside_shadow_read_units_saved_total",
        "counter",
        "Read units that the cache would have saved by hits in shadow mode.",
    ),
    (
        "nearside_shadow_upstream_reads_total",
        "counter",
        "Reads sent to the upstream only because of shadow mode, by purpose.",
    ),
    (
        "nearside_shadow_fills_dropped_total",
        "counter",
        "Fills in shadow mode that were left out because too many were in flight.",
    ),
    ("nearside_verified_total", "counter", "Hits that were chosen for verification, by its result."),
    (
        "nearside_verified_difference_age_seconds",
        "histogram",
        "For hits that verification found different: the time since the upstream was read.",
    ),
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
        "nearside_upstream_connections_opened_total",
        "counter",
        "Connections to the remote upstream that were set up.",
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
    ("nearside_upstream_waiting", "gauge", "Requests to the remote upstream that wait for their turn."),
    ("nearside_upstream_breakers_open", "gauge", "Endpoints whose circuit breaker is open."),
    (
        "nearside_upstream_role_requests_total",
        "counter",
        "Credentials of principals' roles that were asked for, by what came of it.",
    ),
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

/// Of a node in a fleet: name, kind, help. They are shown only with a fleet.
pub const FLEET_METRICS: &[(&str, &str, &str)] = &[
    ("nearside_fleet_fresh", "gauge", "1 while what is cached may be served, else 0."),
    ("nearside_fleet_lease_remaining_seconds", "gauge", "How long what is cached may still be served."),
    (
        "nearside_fleet_stale_seconds_total",
        "counter",
        "Time without a lease, or with nodes distrusted, that has ended.",
    ),
    ("nearside_fleet_members", "gauge", "Members of the fleet, this node included."),
    ("nearside_fleet_distrusted", "gauge", "Nodes that are missing and may still write."),
    ("nearside_fleet_log_position", "gauge", "The number of the last entry that was applied."),
    ("nearside_fleet_reports_waiting", "gauge", "Reports that wait for the bus."),
    (
        "nearside_fleet_reports_collapsed_total",
        "counter",
        "Times that too many reports waited and became one of everything.",
    ),
    ("nearside_fleet_applied_total", "counter", "Reports of other nodes that were applied, by kind."),
    (
        "nearside_fleet_bumps_spared_total",
        "counter",
        "Items reported as changed that invalidated nothing here.",
    ),
    ("nearside_fleet_published_total", "counter", "Reports that the bus has taken, by kind."),
    ("nearside_fleet_voids_total", "counter", "Times that everything was invalidated."),
    (
        "nearside_fleet_rejoins_total",
        "counter",
        "Times that the log did not go on where it was read, by reason.",
    ),
    ("nearside_fleet_unreadable_total", "counter", "Entries that could not be read."),
    ("nearside_fleet_bus_errors_total", "counter", "Calls of the bus that failed, by kind."),
    ("nearside_fleet_bus_unfenced", "gauge", "1 if the bus has replicas and would go on without them."),
    (
        "nearside_fleet_covered_writes_total",
        "counter",
        "Writes acknowledged without the bus, whose peers knew of the silence.",
    ),
    (
        "nearside_fleet_unheard_writes_total",
        "counter",
        "Writes acknowledged of which no other node has heard.",
    ),
    (
        "nearside_fleet_timed_out_writes_total",
        "counter",
        "Writes carried out that the fleet did not confirm in time.",
    ),
    (
        "nearside_fleet_writes_held_seconds_total",
        "counter",
        "Time for which writes without the bus were held back.",
    ),
];

/// Of the log: name, kind, help.
const LOG_METRICS: &[(&str, &str, &str)] = &[(
    "nearside_log_lines_dropped_total",
    "counter",
    "Log lines that the standard error did not take, or not in time.",
)];

/// What a TLS listener says of itself.
const TLS_METRICS: &[(&str, &str, &str)] = &[(
    "nearside_tls_certificate_not_after_timestamp_seconds",
    "gauge",
    "When the certificate of the TLS listener expires, in seconds since 1970.",
)];

/// What DAX clients have left.
const DAX_METRICS: &[(&str, &str, &str)] = &[(
    "nearside_dax_attribute_lists",
    "gauge",
    "Lists of attribute names that DAX clients know by a number.",
)];

/// One figure of the cache, of a remote upstream or of realms at the moment of a scrape.
#[derive(Clone, Debug)]
pub struct CacheSample {
    /// A name of [`CACHE_METRICS`], [`PAGE_METRICS`], [`UNIT_METRICS`], [`COMPARISON_METRICS`] or [`UPSTREAM_METRICS`]; of a
    /// histogram, with `_bucket`, `_sum` or `_count` behind it.
    pub name: &'static str,
    /// Labels and their values.
    pub labels: Vec<(&'static str, String)>,
    /// The figure.
    pub value: f64,
}

impl CacheSample {
    /// A figure without labels.
    pub fn plain(name: &'static str, value: u64) -> Self {
        Self { name, labels: Vec::new(), value: value as f64 }
    }

    /// A duration in seconds, without labels.
    pub fn seconds(name: &'static str, duration: Duration) -> Self {
        Self { name, labels: Vec::new(), value: duration.as_secs_f64() }
    }

    /// A figure with one label.
    pub fn labelled(name: &'static str, label: &'static str, label_value: &str, value: u64) -> Self {
        Self { name, labels: vec![(label, label_value.to_owned())], value: value as f64 }
    }
}

/// Writes figures in the text format, each family with its help. Those of a fleet are left out where there are none.
pub(super) fn write<'a>(samples: impl Iterator<Item = &'a CacheSample> + Clone, text: &mut String) {
    let is_shown = |name: &str| {
        !name.starts_with("nearside_fleet_") || samples.clone().any(|sample| sample.name == name)
    };
    for (name, kind, help) in sampled().filter(|(name, ..)| is_shown(name)) {
        write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n").expect("writing to memory cannot fail");
        let is_of = |sample: &&CacheSample| {
            let part = sample.name.strip_prefix(name);
            part == Some("") || (*kind == "histogram" && part.is_some_and(|part| PARTS.contains(&part)))
        };
        for sample in samples.clone().filter(is_of) {
            let name = sample.name;
            let labels: Vec<_> = sample
                .labels
                .iter()
                .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
                .collect();
            let written = match labels.is_empty() {
                true => writeln!(text, "{name} {}", sample.value),
                false => writeln!(text, "{name}{{{}}} {}", labels.join(","), sample.value),
            };
            written.expect("writing to memory cannot fail");
        }
    }
}

/// The names of all of them.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    sampled().map(|(name, ..)| *name)
}

/// Name, kind and help of everything that is handed over as samples.
fn sampled() -> impl Iterator<Item = &'static (&'static str, &'static str, &'static str)> {
    let groups = [
        CACHE_METRICS,
        PAGE_METRICS,
        UNIT_METRICS,
        COMPARISON_METRICS,
        UPSTREAM_METRICS,
        REALM_METRICS,
        FLEET_METRICS,
        LOG_METRICS,
        TLS_METRICS,
        DAX_METRICS,
    ];
    groups.into_iter().flatten()
}

/// A label's value as the text format has it.
fn escaped(value: &str) -> String {
    value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_labels_are_escaped() {
        let sample = CacheSample::labelled("nearside_cache_bumps_total", "reason", "a\"b\\c\nd", 1);
        let mut text = String::new();
        write([&sample].into_iter(), &mut text);
        assert!(text.contains("nearside_cache_bumps_total{reason=\"a\\\"b\\\\c\\nd\"} 1\n"), "{text}");
    }
}
