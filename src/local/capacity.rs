//! Consumed capacity: the service's formulas, and how an answer reports them.

use crate::model::IndexSchema;
use crate::model::schema::IndexKind;
use crate::wire::{Json, json};

const READ_UNIT_BYTES: usize = 4096;
const WRITE_UNIT_BYTES: usize = 1024;

/// An amount of capacity: read or write units, counted in halves because an eventually consistent read costs half a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Units {
    halves: u64,
}

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
}

impl Units {
    /// What reading that many bytes costs. Nothing at all, such as a missing item, costs as much as one block of 4 KB.
    pub(crate) fn read(bytes: usize, consistency: Consistency) -> Self {
        let blocks = bytes.div_ceil(READ_UNIT_BYTES).max(1) as u64;
        match consistency {
            Consistency::Strong => Self { halves: 2 * blocks },
            Consistency::Eventual => Self { halves: blocks },
        }
    }

    /// What writing that many bytes costs; at least one unit.
    pub(crate) fn write(bytes: usize) -> Self {
        Self { halves: 2 * bytes.div_ceil(WRITE_UNIT_BYTES).max(1) as u64 }
    }

    fn write_json(self, out: &mut Vec<u8>) {
        let fraction = if self.halves.is_multiple_of(2) { ".0" } else { ".5" };
        out.extend_from_slice(itoa::Buffer::new().format(self.halves / 2).as_bytes());
        out.extend_from_slice(fraction.as_bytes());
    }
}

impl std::ops::Mul<u64> for Units {
    type Output = Self;

    fn mul(self, factor: u64) -> Self {
        Self { halves: self.halves * factor }
    }
}

impl std::ops::Add for Units {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { halves: self.halves + other.halves }
    }
}

impl std::ops::AddAssign for Units {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// What an operation consumed of one table and its indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Consumed {
    table: Units,
    /// Only indexes that were touched, in the schema's order.
    indexes: Vec<(IndexKind, String, Units)>,
    failed: Units,
}

/// Which units a transaction consumed. It says so beside the sum; other operations leave it to their name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnitKind {
    /// `ReadCapacityUnits`.
    Read,
    /// `WriteCapacityUnits`.
    Write,
}

impl UnitKind {
    fn member(self) -> &'static str {
        match self {
            Self::Read => "ReadCapacityUnits",
            Self::Write => "WriteCapacityUnits",
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

impl Consumed {
    /// Units of the table itself and nothing else.
    pub(crate) fn of_table(units: Units) -> Self {
        Self { table: units, ..Self::default() }
    }

    /// Counts units of the table itself.
    pub(crate) fn add_table(&mut self, units: Units) {
        self.table += units;
    }

    /// Counts units of writes that failed, which belong to the sum and to none of its parts.
    pub(crate) fn add_failure(&mut self, units: Units) {
        self.failed += units;
    }

    /// Counts units of an index.
    pub(crate) fn add_index(&mut self, index: &IndexSchema, units: Units) {
        let known =
            self.indexes.iter_mut().find(|(kind, name, _)| *kind == index.kind && *name == index.name);
        match known {
            Some((_, _, sum)) => *sum += units,
            None => self.indexes.push((index.kind, index.name.clone(), units)),
        }
    }

    /// Counts all that `other` counted.
    pub(crate) fn add(&mut self, other: Self) {
        self.table += other.table;
        self.failed += other.failed;
        for (kind, name, units) in other.indexes {
            match self.indexes.iter_mut().find(|(known, known_name, _)| *known == kind && *known_name == name)
            {
                Some((_, _, sum)) => *sum += units,
                None => self.indexes.push((kind, name, units)),
            }
        }
    }

    /// Table and indexes together.
    pub(crate) fn total(&self) -> Units {
        self.indexes.iter().fold(self.table + self.failed, |sum, (_, _, units)| sum + *units)
    }

    /// The same as part of a transaction: the table's part costs twice as much there, and an index no more than elsewhere.
    pub(crate) fn in_transaction(mut self) -> Self {
        self.table = self.table * 2;
        self
    }

    /// Appends a `ConsumedCapacity` object. `table` is the name or ARN that the request used, which the service echoes.
    pub(crate) fn write_json(&self, table: &str, report: CapacityReport, out: &mut Vec<u8>) {
        self.write_of_kind(table, report, None, out);
    }

    /// Appends the `ConsumedCapacity` object of a transaction.
    pub(crate) fn write_transaction_json(
        &self,
        table: &str,
        report: CapacityReport,
        kind: UnitKind,
        out: &mut Vec<u8>,
    ) {
        self.write_of_kind(table, report, Some(kind), out);
    }

    fn write_of_kind(&self, table: &str, report: CapacityReport, kind: Option<UnitKind>, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"TableName\":");
        json::write_string(table, out);
        out.push(b',');
        write_units(self.total(), kind, out);
        if report == CapacityReport::Indexes {
            out.extend_from_slice(b",\"Table\":{");
            write_units(self.table, kind, out);
            out.push(b'}');
            self.write_indexes("LocalSecondaryIndexes", IndexKind::Local, kind, out);
            self.write_indexes("GlobalSecondaryIndexes", IndexKind::Global, kind, out);
        }
        out.push(b'}');
    }

    fn write_indexes(&self, member: &str, wanted: IndexKind, kind: Option<UnitKind>, out: &mut Vec<u8>) {
        let mut before = format!(",\"{member}\":{{");
        let mut any = false;
        for (_, name, units) in self.indexes.iter().filter(|(known, _, _)| *known == wanted) {
            out.extend_from_slice(before.as_bytes());
            json::write_string(name, out);
            out.extend_from_slice(b":{");
            write_units(*units, kind, out);
            out.push(b'}');
            before = ",".to_owned();
            any = true;
        }
        if any {
            out.push(b'}');
        }
    }
}

/// Appends the members that say an amount.
fn write_units(units: Units, kind: Option<UnitKind>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"CapacityUnits\":");
    units.write_json(out);
    if let Some(kind) = kind {
        out.extend_from_slice(b",\"");
        out.extend_from_slice(kind.member().as_bytes());
        out.extend_from_slice(b"\":");
        units.write_json(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::KeySchema;
    use crate::model::schema::Projection;

    fn index(name: &str, kind: IndexKind) -> IndexSchema {
        let key = KeySchema { partition: Vec::new(), sort: Vec::new() };
        IndexSchema { name: name.to_owned(), kind, key, projection: Projection::All }
    }

    fn json(consumed: &Consumed, report: CapacityReport) -> String {
        let mut out = Vec::new();
        consumed.write_json("orders", report, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn reads_cost_by_blocks_of_four_kilobytes_and_half_when_eventual() {
        assert_eq!(Units::read(0, Consistency::Eventual), Units { halves: 1 });
        assert_eq!(Units::read(4096, Consistency::Strong), Units { halves: 2 });
        assert_eq!(Units::read(4097, Consistency::Eventual), Units { halves: 2 });
    }

    #[test]
    fn writes_cost_by_kilobytes_and_at_least_one() {
        assert_eq!(Units::write(0), Units { halves: 2 });
        assert_eq!(Units::write(1024), Units { halves: 2 });
        assert_eq!(Units::write(1025), Units { halves: 4 });
    }

    #[test]
    fn a_transaction_doubles_what_the_table_costs_and_not_its_indexes() {
        let mut consumed = Consumed::default();
        consumed.add_table(Units::write(1025));
        consumed.add_index(&index("by-date", IndexKind::Global), Units::write(1025));
        let mut expected = Consumed::default();
        expected.add_table(Units::write(4096));
        expected.add_index(&index("by-date", IndexKind::Global), Units::write(1025));
        assert_eq!(consumed.in_transaction(), expected);
    }

    #[test]
    fn a_report_has_the_sum_and_on_demand_its_parts() {
        let mut consumed = Consumed::default();
        consumed.add_table(Units::read(1, Consistency::Eventual));
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
