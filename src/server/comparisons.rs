//! What comparisons of the cache with the upstream showed, under the names of the metrics.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::cache::{
    AGE_BOUNDS_SECONDS, ComparisonStats, DifferenceAges, PageCache, ShadowRead, ShadowResult, VerifiedResult,
};
use crate::telemetry::{CacheSample, Metrics};

/// The figures of each table that has some, and the ages of all. Tables without a label of their own share one.
///
/// All results of a table are shown as soon as one was counted, so that `increase` sees the first event of the others.
pub(super) fn samples(cache: &PageCache, metrics: &Metrics) -> Vec<CacheSample> {
    let (tables, all) = by_table(cache, metrics);
    let mut samples: Vec<_> = tables.iter().flat_map(|(table, stats)| of_table(table, stats)).collect();
    samples.extend(of_ages(&all.ages));
    samples
}

/// The members `shadow` and `verification` of `api/stats`: each table that has figures, under its label; nothing where none has.
pub(super) fn stats(cache: &PageCache, metrics: &Metrics) -> (Option<Value>, Option<Value>) {
    let (tables, all) = by_table(cache, metrics);
    let shadow = tables.iter().filter(|(_, stats)| stats.is_shadowed()).map(|(table, stats)| {
        let hits = ShadowResult::ALL.iter().zip(stats.shadow).filter(|(result, _)| result.is_hit());
        json!({
            "table": table,
            "reads": stats.shadow.iter().sum::<u64>(),
            "hits": hits.map(|(_, count)| count).sum::<u64>(),
            "results": named(&ShadowResult::ALL.map(ShadowResult::label), &stats.shadow),
            "read_units_saved": stats.shadow_saved.number(),
            "upstream_reads": named(&ShadowRead::ALL.map(ShadowRead::label), &stats.shadow_reads),
            "fills_dropped": stats.shadow_fills_dropped,
        })
    });
    let verified = tables.iter().filter(|(_, stats)| stats.is_verified()).map(|(table, stats)| {
        json!({
            "table": table,
            "results": named(&VerifiedResult::ALL.map(VerifiedResult::label), &stats.verified),
        })
    });
    let (shadow, verified): (Vec<_>, Vec<_>) = (shadow.collect(), verified.collect());
    let ages = json!({
        "bounds": AGE_BOUNDS_SECONDS,
        "counts": all.ages.cumulative(),
        "count": all.ages.count(),
        "sum_seconds": all.ages.sum().as_secs_f64(),
    });
    (
        (!shadow.is_empty()).then(|| json!({ "tables": shadow })),
        (!verified.is_empty()).then(|| json!({ "tables": verified, "difference_age": ages })),
    )
}

fn named(labels: &[&str], counts: &[u64]) -> Value {
    let named = labels.iter().zip(counts).map(|(label, count)| ((*label).to_owned(), (*count).into()));
    Value::Object(named.collect())
}

/// The figures by the labels of tables, and those of all tables.
fn by_table(cache: &PageCache, metrics: &Metrics) -> (BTreeMap<String, ComparisonStats>, ComparisonStats) {
    let (mut tables, mut all): (BTreeMap<String, ComparisonStats>, _) = Default::default();
    for (table, _) in cache.tables() {
        let stats = table.comparisons().snapshot();
        all += stats.clone();
        if let Some(label) = metrics.table_label(table.name()) {
            *tables.entry(label.to_owned()).or_default() += stats;
        }
    }
    (tables, all)
}

fn of_table(table: &str, stats: &ComparisonStats) -> Vec<CacheSample> {
    let mut samples = Vec::new();
    let mut labelled = |name, label, label_value: &str, value: u64| {
        let labels = vec![("table", table.to_owned()), (label, label_value.to_owned())];
        samples.push(CacheSample { name, labels, value: value as f64 });
    };
    if stats.is_shadowed() {
        for (result, count) in ShadowResult::ALL.iter().zip(stats.shadow) {
            labelled("nearside_shadow_reads_total", "result", result.label(), count);
        }
        for (purpose, count) in ShadowRead::ALL.iter().zip(stats.shadow_reads) {
            labelled("nearside_shadow_upstream_reads_total", "purpose", purpose.label(), count);
        }
    }
    if stats.is_verified() {
        for (result, count) in VerifiedResult::ALL.iter().zip(stats.verified) {
            labelled("nearside_verified_total", "result", result.label(), count);
        }
    }
    if stats.is_shadowed() {
        let labels = vec![("table", table.to_owned())];
        let value = stats.shadow_saved.number();
        samples.push(CacheSample { name: "nearside_shadow_read_units_saved_total", labels, value });
    }
    if stats.shadow_fills_dropped > 0 {
        let dropped = stats.shadow_fills_dropped;
        samples.push(CacheSample::labelled("nearside_shadow_fills_dropped_total", "table", table, dropped));
    }
    samples
}

fn of_ages(ages: &DifferenceAges) -> Vec<CacheSample> {
    let bounds = AGE_BOUNDS_SECONDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
    let counts = ages.cumulative().into_iter().chain([ages.count()]);
    let buckets = bounds.zip(counts).map(|(bound, count)| {
        CacheSample::labelled("nearside_verified_difference_age_seconds_bucket", "le", &bound, count)
    });
    let mut samples: Vec<_> = buckets.collect();
    samples.push(CacheSample::seconds("nearside_verified_difference_age_seconds_sum", ages.sum()));
    samples.push(CacheSample::plain("nearside_verified_difference_age_seconds_count", ages.count()));
    samples
}
