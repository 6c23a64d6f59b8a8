//! Consumed capacity: the service's formulas, and how an answer reports them.

use crate::model::capacity::{Consumed, UnitKind, Units};
use crate::model::schema::IndexKind;
use crate::wire::{Json, json};

/// How fresh a read is, which decides its price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consistency {
    /// `ConsistentRead`: full price.
    Strong,
    /// The default: half price.
    Eventual,
}

impl Consistency {
    /// What the `ConsistentRead` member of `body` asks for.
    pub(crate) fn requested(body: &Json<'_>) -> Self {
        match body.get("ConsistentRead").and_then(Json::boolean) {
            Some(true) => Self::Strong,
            Some(false) | None => Self::Eventual,
        }
    }

    /// What a read of that many bytes costs.
    pub(crate) fn read(self, bytes: usize) -> Units {
        match self {
            Self::Strong => Units::strong_read(bytes),
            Self::Eventual => Units::eventual_read(bytes),
        }
    }
}

/// How much of it the client wants to hear: `ReturnConsumedCapacity`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CapacityReport {
    /// Nothing.
    None,
    /// One sum.
    Total,
    /// The sum, the table's part and each index's.
    Indexes,
}

impl CapacityReport {
    /// What `body` asks for.
    pub(crate) fn requested(body: &Json<'_>) -> Self {
        match body.get("ReturnConsumedCapacity").and_then(Json::text) {
            Some("TOTAL") => Self::Total,
            Some("INDEXES") => Self::Indexes,
            Some(_) | None => Self::None,
        }
    }

    /// True when an answer carries a report.
    pub(crate) fn is_wanted(self) -> bool {
        self != Self::None
    }
}

/// Appends a `ConsumedCapacity` object. `table` is the name or ARN that the request used, which the service echoes.
pub(crate) fn write_consumed(consumed: &Consumed, table: &str, report: CapacityReport, out: &mut Vec<u8>) {
    write_of_kind(consumed, table, report, None, out);
}

/// Appends the `ConsumedCapacity` object of a transaction, which says which units they are beside the sum. Other operations leave
/// it to their name.
pub(crate) fn write_transaction_consumed(
    consumed: &Consumed,
    table: &str,
    report: CapacityReport,
    kind: UnitKind,
    out: &mut Vec<u8>,
) {
    write_of_kind(consumed, table, report, Some(kind), out);
}

fn write_of_kind(
    consumed: &Consumed,
    table: &str,
    report: CapacityReport,
    kind: Option<UnitKind>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"{\"TableName\":");
    json::write_string(table, out);
    out.push(b',');
    write_units(consumed.total(), kind, out);
    if report == CapacityReport::Indexes {
        out.extend_from_slice(b",\"Table\":{");
        write_units(consumed.table(), kind, out);
        out.push(b'}');
        write_indexes("LocalSecondaryIndexes", consumed, IndexKind::Local, kind, out);
        write_indexes("GlobalSecondaryIndexes", consumed, IndexKind::Global, kind, out);
    }
    out.push(b'}');
}

fn write_indexes(
    member: &str,
    consumed: &Consumed,
    wanted: IndexKind,
    kind: Option<UnitKind>,
    out: &mut Vec<u8>,
) {
    let mut before = format!(",\"{member}\":{{");
    let mut any = false;
    for (_, name, units) in consumed.indexes().filter(|(known, _, _)| *known == wanted) {
        out.extend_from_slice(before.as_bytes());
        json::write_string(name, out);
        out.extend_from_slice(b":{");
        write_units(units, kind, out);
        out.push(b'}');
        before = ",".to_owned();
        any = true;
    }
    if any {
        out.push(b'}');
    }
}

/// Appends the members that say an amount.
fn write_units(units: Units, kind: Option<UnitKind>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"CapacityUnits\":");
    write_amount(units, out);
    if let Some(kind) = kind {
        let member = match kind {
            UnitKind::Read => "ReadCapacityUnits",
            UnitKind::Write => "WriteCapacityUnits",
        };
        out.extend_from_slice(b",\"");
        out.extend_from_slice(member.as_bytes());
        out.extend_from_slice(b"\":");
        write_amount(units, out);
    }
}

fn write_amount(units: Units, out: &mut Vec<u8>) {
    let fraction = if units.halves().is_multiple_of(2) { ".0" } else { ".5" };
    out.extend_from_slice(itoa::Buffer::new().format(units.halves() / 2).as_bytes());
    out.extend_from_slice(fraction.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::schema::Projection;
    use crate::model::{IndexSchema, KeySchema};

    fn index(name: &str, kind: IndexKind) -> IndexSchema {
        let key = KeySchema { partition: Vec::new(), sort: Vec::new() };
        IndexSchema { name: name.to_owned(), kind, key, projection: Projection::All }
    }

    fn json(consumed: &Consumed, report: CapacityReport) -> String {
        let mut out = Vec::new();
        write_consumed(consumed, "orders", report, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_report_has_the_sum_and_on_demand_its_parts() {
        let mut consumed = Consumed::default();
        consumed.add_table(Units::eventual_read(1));
        consumed.add_index(&index("by-date", IndexKind::Global), Units::write(1));
        consumed.add_index(&index("by-date", IndexKind::Global), Units::write(1));
        consumed.add_index(&index("by-size", IndexKind::Local), Units::write(1));
        assert_eq!(json(&consumed, CapacityReport::Total), r#"{"TableName":"orders","CapacityUnits":3.5}"#);
        assert_eq!(
            json(&consumed, CapacityReport::Indexes),
            concat!(
                r#"{"TableName":"orders","CapacityUnits":3.5,"Table":{"CapacityUnits":0.5},"#,
                r#""LocalSecondaryIndexes":{"by-size":{"CapacityUnits":1.0}},"#,
                r#""GlobalSecondaryIndexes":{"by-date":{"CapacityUnits":2.0}}}"#
            )
        );
    }
}
