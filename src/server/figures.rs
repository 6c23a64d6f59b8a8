//! Everything that a node counts, in one JSON document for people: `api/stats`. Each part of it is one function.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::cache::{ScopeStats, TableStats};
use crate::config::{AuthMode, CachePolicy, Live, Mode, TimeToLive, UpstreamKind};
use crate::telemetry::{OperationFigures, RequestFigures, TableFigures};
use crate::upstream::remote::{Outcome, RemoteStats};

use super::caches::stats_by_table;
use super::comparisons;
use super::learned::LearnedTables;
use super::running::RunningNode;
use super::savings;

/// All parts. `unready` says why requests should go elsewhere, if they should.
pub(super) fn stats(node: &RunningNode, unready: Option<&str>) -> Value {
    let live = node.in_force().config.live;
    let figures = node.metrics.request_figures();
    let (shadow, verification) = comparisons::stats(&node.caches.memory.pages, &node.metrics);
    json!({
        "node": about_node(node, &live, unready),
        "requests": requests(&figures, node.metrics.errors_total()),
        "cache": cache(node),
        "tables": tables(node, &live, &figures),
        "savings": savings::savings(&node.caches.memory.insight, &live.prices),
        "shadow": shadow,
        "verification": verification,
        "upstream": node.engines.remote_stats().map(|stats| upstream(&stats)),
        "fleet": node.fleet.as_ref().and_then(|fleet| serde_json::from_str::<Value>(&fleet.json()).ok()),
    })
}

fn about_node(node: &RunningNode, live: &Live, unready: Option<&str>) -> Value {
    let fixed = &node.fixed;
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "started_at": node.started.unix_seconds(),
        "uptime_seconds": node.started.instant.elapsed().as_secs_f64(),
        "listen": node.listen,
        "tls_listen": node.tls_listen,
        "dax": node.dax,
        "upstream": node.upstream,
        "upstream_kind": match &fixed.upstream {
            UpstreamKind::Local => "local",
            UpstreamKind::Aws => "aws",
            UpstreamKind::Endpoint(_) => "endpoint",
        },
        "region": fixed.region(),
        "ready": unready.is_none(),
        "unready_reason": unready,
        "auth_mode": match fixed.auth_mode {
            AuthMode::None => "none",
            AuthMode::SigV4 => "sigv4",
        },
        "share": fixed.share,
        "has_token": node.admin_token.is_set(),
        "cache_mode": live.cache.mode.name(),
    })
}

fn requests(figures: &RequestFigures, errors: u64) -> Value {
    let mut by_source: BTreeMap<&str, u64> = BTreeMap::new();
    for of in &figures.by_operation {
        *by_source.entry(of.source).or_default() += of.latency.count;
    }
    let by_operation = figures.by_operation.iter().map(|OperationFigures { operation, source, latency }| {
        json!({ "op": operation, "source": source, "latency": latency })
    });
    json!({
        "total": by_source.values().sum::<u64>(),
        "errors": errors,
        "by_source": by_source,
        "by_operation": by_operation.collect::<Vec<_>>(),
    })
}

fn cache(node: &RunningNode) -> Value {
    let (items, pages) = (node.caches.memory.items.stats(), node.caches.memory.pages.stats());
    json!({
        "items": {
            "entries": items.entries,
            "bytes": items.bytes,
            "bytes_max": items.bytes_max,
            "hits": items.total.hits,
            "negative_hits": items.total.negative_hits,
            "misses": items.total.leads,
            "joins": items.total.joins,
            "evictions": items.evictions,
            "expired": items.expired,
            "stale_observed": items.total.stale_observed,
        },
        "pages": {
            "entries": pages.entries,
            "bytes": pages.bytes,
            "bytes_max": pages.bytes_max,
            "hits": pages.total.hits,
            "misses": pages.total.leads,
            "joins": pages.total.joins,
            "evictions": pages.evictions,
            "expired": pages.expired,
        },
    })
}

/// Every table that was asked for or is cached, under its label.
fn tables(node: &RunningNode, live: &Live, figures: &RequestFigures) -> Vec<Value> {
    let (items, pages) = stats_by_table(&node.caches.memory.pages, &node.metrics);
    let mut names: Vec<&str> = items.keys().map(String::as_str).collect();
    names.extend(figures.tables.iter().map(|of| of.table.as_str()));
    let units = savings::units_by_table(&node.caches.memory.insight, &node.metrics);
    names.extend(units.keys().map(|(table, _)| table.as_str()));
    names.sort_unstable();
    names.dedup();
    let learned = LearnedTables::of(&node.caches);
    let of_table = |name: &str| {
        let requested = figures.tables.iter().find(|of| of.table == name);
        let pages: Vec<_> = pages.iter().filter(|((table, _), _)| table == name).collect();
        let units = savings::units_of(name, &units);
        let mut table = table(name, requested, items.get(name), &pages, units, live);
        table["evicted_unused"] = learned.evicted_unused(name).into();
        table["age_at_hit"] = learned.age_at_hit(name);
        table
    };
    names.into_iter().map(of_table).collect()
}

fn table(
    name: &str,
    requested: Option<&TableFigures>,
    items: Option<&TableStats>,
    pages: &[(&(String, String), &ScopeStats)],
    units: Vec<Value>,
    live: &Live,
) -> Value {
    let by_source = requested.map(|of| of.by_source.as_slice()).unwrap_or_default();
    let counts = by_source.iter().map(|(source, latency)| ((*source).to_owned(), latency.count.into()));
    let latency = by_source.iter().map(|(source, latency)| ((*source).to_owned(), json!(latency)));
    let errors = requested.map(|of| of.errors.as_slice()).unwrap_or_default();
    let errors = errors.iter().map(|(code, count)| (code.clone(), (*count).into()));
    let items = items.copied().unwrap_or_default();
    let pages = pages.iter().map(|((_, index), stats)| {
        json!({ "index": index, "hits": stats.hits, "misses": stats.leads, "joins": stats.joins })
    });
    json!({
        "table": name,
        "requests": counts.collect::<Map<_, _>>(),
        "errors": errors.collect::<Map<_, _>>(),
        "latency": latency.collect::<Map<_, _>>(),
        "items": { "hits": items.hits, "misses": items.leads, "joins": items.joins },
        "pages": pages.collect::<Vec<_>>(),
        "units": units,
        "policy": policy(live.policy(name)),
    })
}

/// How a table is cached: the keys of its policy, and what they come to.
fn policy(policy: &CachePolicy) -> Value {
    let off = TimeToLive::For(std::time::Duration::ZERO);
    let mode = if policy.item_ttl == off && !policy.has_pages() { Mode::Off } else { policy.mode };
    let mut keys = policy.in_force();
    keys.insert("mode".to_owned(), mode.name().into());
    keys.into()
}

fn upstream(stats: &RemoteStats) -> Value {
    let requests: u64 = stats.outcomes.iter().sum();
    let answered =
        Outcome::ALL.iter().zip(stats.outcomes).filter(|(outcome, _)| **outcome == Outcome::Answered);
    let answered: u64 = answered.map(|(_, count)| count).sum();
    json!({
        "breaker": if stats.open_breakers > 0 { "open" } else { "closed" },
        "in_flight": stats.in_flight,
        "queued": stats.waiting,
        "requests": requests,
        "failures": requests - answered,
        "retries": stats.retries,
    })
}
