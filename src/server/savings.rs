//! What the cache saves and the upstream charges, in units and in money.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::config::Prices;
use crate::insight::{Insight, SpentUnits};
use crate::telemetry::{CacheSample, Metrics};

/// The label of tables without one of their own.
const OTHER: &str = "other";

/// Units by the labels of table and index.
pub(super) type UnitsByTable = BTreeMap<(String, String), SpentUnits>;

/// The units of each table and index, by their labels; those of a table itself under an empty name. Tables without a label of their
/// own share one, for their indexes too.
pub(super) fn units_by_table(insight: &Insight, metrics: &Metrics) -> UnitsByTable {
    let mut sums = UnitsByTable::new();
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
    // A table shows that nothing was counted; an index, and what is gathered, is shown once something was.
    sums.retain(|(table, index), units| {
        *units != SpentUnits::default() || (index.is_empty() && table != OTHER)
    });
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
            CacheSample { name, labels, value: units.number() }
        })
    });
    samples.collect()
}

/// The member `savings` of `api/stats`: all tables together, with and without a label.
pub(super) fn savings(insight: &Insight, prices: &Prices) -> Value {
    let mut sum = SpentUnits::default();
    insight.tables().iter().flat_map(|table| table.units()).for_each(|(_, units)| sum += units);
    json!({
        "read_units_saved": sum.read_saved.number(),
        "read_units_spent": sum.read_spent.number(),
        "write_units_spent": sum.write_spent.number(),
        "money": {
            "saved": prices.of_reads(sum.read_saved),
            "spent": prices.of_reads(sum.read_spent) + prices.of_writes(sum.write_spent),
            "currency": prices.currency,
            "prices": prices.describe(),
        },
    })
}

/// The members of `units` of one table in `api/stats`.
pub(super) fn units_of(table: &str, units: &UnitsByTable) -> Vec<Value> {
    let of_table = units.iter().filter(|((known, _), _)| known == table);
    let rows = of_table.map(|((_, index), units)| {
        json!({
            "index": index,
            "read_saved": units.read_saved.number(),
            "read_spent": units.read_spent.number(),
            "write_spent": units.write_spent.number(),
        })
    });
    rows.collect()
}
