//! What the node has learned of the load: its hot keys, what caches of other sizes would do, and what to change in the config.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::admin::{HotOrder, HotQuery};
use crate::cache::{ScopeStats, TableStats};
use crate::config::Live;
use crate::insight::TableUsage;
use crate::insight::advice::{Observed, ObservedTable, advise};
use crate::insight::curve::{CurveReport, Point, TableCurve};
use crate::insight::hot::{AGES_SECONDS, HitAges, HotKey, Order, Window};
use crate::telemetry::CacheSample;

use super::caches::{Caches, stats_by_table};
use super::running::RunningNode;

/// The heaviest keys. They are users' data.
pub(super) fn hot(caches: &Caches, query: HotQuery) -> Value {
    let window = if query.window_seconds > 60 { Window::TenMinutes } else { Window::Minute };
    let order = match query.order {
        HotOrder::Accesses => Order::Accesses,
        HotOrder::Reads => Order::Reads,
        HotOrder::Hits => Order::Hits,
        HotOrder::Writes => Order::Writes,
    };
    let heaviest = caches.memory.insight.hot().heaviest(window, order, query.limit, Instant::now());
    let counts = |key: &HotKey| json!({ "table": key.table, "key": key.key, "reads": key.reads, "hits": key.hits, "writes": key.writes });
    let partition = |key: &HotKey| {
        let mut shown = counts(key);
        shown["index"] = key.index.as_deref().unwrap_or_default().into();
        shown
    };
    json!({
        "window_seconds": query.window_seconds,
        "items": heaviest.items.iter().map(counts).collect::<Vec<_>>(),
        "partitions": heaviest.partitions.iter().map(partition).collect::<Vec<_>>(),
    })
}

/// Both curves, and the part of each table.
pub(super) fn curve(caches: &Caches) -> Value {
    let (items, pages) = (caches.memory.items.curve(), caches.memory.pages.curve());
    let whole = |report: &CurveReport| json!({ "bytes_max": report.bytes_max, "samples": report.samples, "points": points(&report.points) });
    let tables = by_name(caches, &items).into_iter().map(
        |(table, curve)| json!({ "table": table, "samples": curve.samples, "points": points(&curve.points) }),
    );
    let tables: Vec<_> = tables.collect();
    json!({ "items": whole(&items), "pages": whole(&pages), "tables": tables })
}

fn points(points: &[Point]) -> Vec<Value> {
    points.iter().map(|point| json!({ "bytes": point.bytes, "hit_ratio": point.hit_ratio })).collect()
}

/// What to change in the config.
pub(super) fn advice(node: &RunningNode) -> Value {
    let live = node.in_force().config.live;
    let (items, pages) = (node.caches.memory.items.curve(), node.caches.memory.pages.curve());
    let (of_items, of_pages) = (by_name(&node.caches, &items), by_name(&node.caches, &pages));
    let (item_stats, page_stats) = stats_by_table(&node.caches.memory.pages, &node.metrics);
    let written = written(&node.caches);
    // Tables that share a label are not told apart by the counters, and so not judged.
    let names = item_stats.keys().filter(|name| node.metrics.shows_table(name));
    let tables = names.map(|name| {
        let mut table = observed_table(name, &live, &item_stats[name], &page_stats);
        table.items = of_items.get(name);
        table.pages = of_pages.get(name);
        table.writes = written.get(name).copied().unwrap_or_default();
        table
    });
    let observed = Observed {
        max_bytes: live.cache_bytes_max.0,
        items: &items,
        pages: &pages,
        tables: tables.collect(),
    };
    let advice = advise(&observed)
        .into_iter()
        .map(|advice| json!({ "level": advice.level.label(), "table": advice.table, "text": advice.text }));
    json!({ "advice": advice.collect::<Vec<_>>() })
}

fn observed_table<'a>(
    name: &'a str,
    live: &'a Live,
    items: &TableStats,
    pages: &BTreeMap<(String, String), ScopeStats>,
) -> ObservedTable<'a> {
    let mut of_pages = ScopeStats::default();
    pages.iter().filter(|((table, _), _)| table == name).for_each(|(_, stats)| of_pages += *stats);
    ObservedTable {
        name,
        policy: live.policy(name),
        items: None,
        pages: None,
        item_reads: items.hits + items.leads,
        item_hits: items.hits,
        page_reads: of_pages.hits + of_pages.leads,
        page_hits: of_pages.hits,
        writes: 0,
    }
}

/// The curves of tables by their names. Of several tables of a name, in several realms, the one that is read most.
fn by_name(caches: &Caches, report: &CurveReport) -> BTreeMap<String, TableCurve> {
    let tables = caches.memory.pages.tables().into_iter();
    let names: HashMap<u32, String> =
        tables.map(|(table, _)| (table.number(), table.name().to_owned())).collect();
    let mut curves: BTreeMap<String, TableCurve> = BTreeMap::new();
    for (number, curve) in &report.tables {
        let Some(name) = names.get(number) else { continue };
        let known = curves.entry(name.clone()).or_default();
        if curve.counts.reads > known.counts.reads {
            *known = curve.clone();
        }
    }
    curves
}

/// Writes of items of each table.
fn written(caches: &Caches) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for table in caches.memory.insight.tables() {
        *sums.entry(table.name().to_owned()).or_default() += table.written();
    }
    sums
}

/// What is learned of each table besides, for `api/stats`: entries that were evicted before their first hit, estimated, and how old
/// the answers were that memory gave.
pub(super) struct LearnedTables {
    curves: BTreeMap<String, TableCurve>,
    usages: Vec<std::sync::Arc<TableUsage>>,
}

impl LearnedTables {
    pub(super) fn of(caches: &Caches) -> Self {
        let curves = by_name(caches, &caches.memory.items.curve());
        Self { curves, usages: caches.memory.insight.tables() }
    }

    pub(super) fn evicted_unused(&self, table: &str) -> u64 {
        self.curves.get(table).map_or(0, |curve| curve.counts.evicted_unused as u64)
    }

    pub(super) fn age_at_hit(&self, table: &str) -> Value {
        let mut all = HitAges::default();
        let named = self.usages.iter().filter(|usage| usage.name() == table);
        named.for_each(|usage| all += usage.ages());
        match all.count() {
            0 => Value::Null,
            count => json!({
                "bounds": AGES_SECONDS,
                "counts": all.cumulative(),
                "count": count,
                "sum_seconds": all.sum().as_secs(),
            }),
        }
    }
}

/// What learning costs, under the names of the metrics.
pub(super) fn samples(caches: &Caches) -> [CacheSample; 5] {
    let memory = &caches.memory;
    let ((items, item_bytes), (pages, page_bytes)) = (memory.items.curve_cost(), memory.pages.curve_cost());
    let hot = memory.insight.hot();
    let dropped = |of, count| CacheSample::labelled("nearside_insight_dropped_total", "by", of, count);
    let bytes = (item_bytes + page_bytes + hot.bytes()) as u64;
    [
        dropped("item_curve", items),
        dropped("page_curve", pages),
        dropped("hot_keys", hot.dropped()),
        dropped("hot_tables", hot.tables_rejected()),
        CacheSample::plain("nearside_insight_bytes", bytes),
    ]
}
