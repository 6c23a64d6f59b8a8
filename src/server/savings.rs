//! What the cache saves and the upstream charges, in units and in money.

use std::collections::BTreeMap;

use crate::insight::{Insight, SpentUnits};
use crate::telemetry::{CacheSample, Metrics};

/// The label of tables without one of their own.
const OTHER: &str = "other";

/// The units of each table and index, by their labels; those of a table itself under an empty name. Tables without a label of their
/// own share one, for their indexes too.
pub(super) fn units_by_table(insight: &Insight, metrics: &Metrics) -> BTreeMap<(String, String), SpentUnits> {
    let mut sums: BTreeMap<(String, String), SpentUnits> = BTreeMap::new();
    for table in insight.tables() {
        // Tables that are gathered in one have no name.
        let label = if table.name().is_empty() { Some(OTHER) } else { metrics.table_label(table.name()) };
        let Some(label) = label else { continue };
        let is_shared = label != table.name();
        for (index, units) in table.units() {
            let index = if is_shared { label } else { &*index };
            *sums.entry((label.to_owned(), index.to_owned())).or_default() += units;
        }
    }
    sums.retain(|(_, index), units| *units != SpentUnits::default() || index.is_empty());
    sums
}

/// The same under the names of the metrics.
pub(super) fn samples(insight: &Insight, metrics: &Metrics) -> Vec<CacheSample> {
    let by_table = units_by_table(insight, metrics).into_iter();
    let samples = by_table.flat_map(|((table, index), units)| {
        let figures = [
            ("nearside_read_units_saved_total", units.read_saved),
            ("nearside_read_units_spent_total", units.read_spent),
            ("nearside_write_units_spent_total", units.write_spent),
            ("nearside_units_estimated_total", units.estimated),
        ];
        figures.map(|(name, units)| {
            let labels = vec![("table", table.clone()), ("index", index.clone())];
            CacheSample { name, labels, value: units.halves() as f64 / 2.0 }
        })
    });
    samples.collect()
}
