//! Capacity units, and what DynamoDB charges by the size of what is read or written.
//!
//! Source: "DynamoDB throughput capacity" in the developer guide. A read is charged by blocks of 4 KB, a write by blocks of 1 KB.

use super::IndexSchema;
use super::schema::IndexKind;

const READ_UNIT_BYTES: usize = 4096;
const WRITE_UNIT_BYTES: usize = 1024;

/// An amount of capacity: read or write units, counted in halves because an eventually consistent read costs half a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Units {
    halves: u64,
}

impl Units {
    /// What reading that many bytes costs eventually consistently. Nothing at all, such as a missing item, costs as much as one
    /// block of 4 KB.
    pub fn eventual_read(bytes: usize) -> Self {
        Self { halves: bytes.div_ceil(READ_UNIT_BYTES).max(1) as u64 }
    }

    /// What reading that many bytes costs strongly consistently: twice as much.
    pub fn strong_read(bytes: usize) -> Self {
        Self::eventual_read(bytes) * 2
    }

    /// What writing that many bytes costs; at least one unit.
    pub fn write(bytes: usize) -> Self {
        Self { halves: 2 * bytes.div_ceil(WRITE_UNIT_BYTES).max(1) as u64 }
    }

    /// An amount from its half units.
    pub fn from_halves(halves: u64) -> Self {
        Self { halves }
    }

    /// The amount in units.
    pub fn number(self) -> f64 {
        self.halves as f64 / 2.0
    }

    /// The amount in half units.
    pub fn halves(self) -> u64 {
        self.halves
    }
}

impl std::ops::Mul<u64> for Units {
    type Output = Self;

    fn mul(self, factor: u64) -> Self {
        Self { halves: self.halves.saturating_mul(factor) }
    }
}

impl std::ops::Add for Units {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { halves: self.halves.saturating_add(other.halves) }
    }
}

impl std::ops::AddAssign for Units {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// What an operation consumed of one table and its indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Consumed {
    table: Units,
    /// Only indexes that were touched, in the schema's order.
    indexes: Vec<(IndexKind, String, Units)>,
    failed: Units,
}

impl Consumed {
    /// Units of the table itself and nothing else.
    pub fn of_table(units: Units) -> Self {
        Self { table: units, ..Self::default() }
    }

    /// Counts units of the table itself.
    pub fn add_table(&mut self, units: Units) {
        self.table += units;
    }

    /// Counts units of writes that failed, which belong to the sum and to none of its parts.
    pub fn add_failure(&mut self, units: Units) {
        self.failed += units;
    }

    /// Counts units of an index.
    pub fn add_index(&mut self, index: &IndexSchema, units: Units) {
        self.add_named_index(index.kind, &index.name, units);
    }

    /// Counts units of an index of that kind and name.
    pub fn add_named_index(&mut self, kind: IndexKind, name: &str, units: Units) {
        let known =
            self.indexes.iter_mut().find(|(known, known_name, _)| *known == kind && *known_name == name);
        match known {
            Some((_, _, sum)) => *sum += units,
            None => self.indexes.push((kind, name.to_owned(), units)),
        }
    }

    /// Counts all that `other` counted.
    pub fn add(&mut self, other: Self) {
        self.table += other.table;
        self.failed += other.failed;
        for (kind, name, units) in other.indexes {
            self.add_named_index(kind, &name, units);
        }
    }

    /// The units of the table itself.
    pub fn table(&self) -> Units {
        self.table
    }

    /// The indexes that were touched, in the schema's order: their kinds, names and units.
    pub fn indexes(&self) -> impl Iterator<Item = (IndexKind, &str, Units)> {
        self.indexes.iter().map(|(kind, name, units)| (*kind, name.as_str(), *units))
    }

    /// Units of writes that failed.
    pub fn failed(&self) -> Units {
        self.failed
    }

    /// Table and indexes together.
    pub fn total(&self) -> Units {
        self.indexes.iter().fold(self.table + self.failed, |sum, (_, _, units)| sum + *units)
    }

    /// The same as part of a transaction: the table's part costs twice as much there, and an index no more than elsewhere.
    pub fn in_transaction(mut self) -> Self {
        self.table = self.table * 2;
        self
    }
}

/// Which units an operation consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitKind {
    /// Read units.
    Read,
    /// Write units.
    Write,
}

/// How an amount is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// The upstream has reported it, or it follows from sizes that are known.
    Exact,
    /// It is a guess by what is known of other items of the table.
    Estimated,
}

/// What an operation consumed of one table and its indexes, as DynamoDB charges it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The table's name.
    pub table: Box<str>,
    /// Of which units.
    pub kind: UnitKind,
    /// How much.
    pub consumed: Consumed,
    /// How that is known.
    pub basis: Basis,
    /// What a page costs to read again, if `consumed` does not say it: the sizes that its answer hides may be known better later.
    pub price: Option<ReadPrice>,
}

impl Charge {
    /// An amount that is known for sure.
    pub fn exact(table: &str, kind: UnitKind, consumed: Consumed) -> Self {
        Self { table: table.into(), kind, consumed, basis: Basis::Exact, price: None }
    }
}

/// The mean sizes in bytes of a table's items and of the entries of its indexes, as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeanSizes {
    /// Of an item.
    pub item: Option<usize>,
    /// Of an entry of the index of that name.
    pub entries: Vec<(String, usize)>,
}

/// What an eventually consistent read costs: of the table itself, and of the index that it reads. It is kept with everything
/// that is cached, so it is small.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadPrice {
    table_halves: u32,
    index_halves: u32,
    hidden: HiddenRows,
}

/// The rows that a page was read for, where its answer hides their sizes: what they cost is estimated when it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HiddenRows {
    /// Of the table, or of the index that was read.
    pub read: u32,
    /// Of the table, each fetched by itself to complete an entry of a local index.
    pub fetched: u32,
}

impl ReadPrice {
    /// The price of a page, by what its read is charged: half of that if it was read strongly.
    pub fn of_page(charged: &Consumed, is_strong: bool) -> Self {
        let indexes = charged.indexes().fold(Units::default(), |sum, (_, _, units)| sum + units);
        let once = |units: Units| if is_strong { units.halves().div_ceil(2) } else { units.halves() };
        Self::new(Units::from_halves(once(charged.table())), Units::from_halves(once(indexes)))
    }

    /// A price that is known.
    pub fn new(table: Units, index: Units) -> Self {
        let halves = |units: Units| u32::try_from(units.halves()).unwrap_or(u32::MAX);
        Self { table_halves: halves(table), index_halves: halves(index), hidden: HiddenRows::default() }
    }

    /// The price of a page whose answer hides these rows; the price so far is what it costs at least.
    #[must_use]
    pub fn hiding(self, hidden: HiddenRows) -> Self {
        Self { hidden, ..self }
    }

    /// The rows whose sizes are not known. Without any, the price is.
    pub fn hidden(self) -> HiddenRows {
        self.hidden
    }

    /// The part of the table itself.
    pub fn table(self) -> Units {
        Units::from_halves(self.table_halves.into())
    }

    /// The part of the index.
    pub fn index(self) -> Units {
        Units::from_halves(self.index_halves.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::KeySchema;
    use crate::model::schema::Projection;

    #[test]
    fn reads_cost_by_blocks_of_four_kilobytes_and_half_when_eventual() {
        assert_eq!(Units::eventual_read(0), Units { halves: 1 });
        assert_eq!(Units::strong_read(4096), Units { halves: 2 });
        assert_eq!(Units::eventual_read(4097), Units { halves: 2 });
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
        consumed.add_index(&index("by-date"), Units::write(1025));
        let mut expected = Consumed::default();
        expected.add_table(Units::write(4096));
        expected.add_index(&index("by-date"), Units::write(1025));
        assert_eq!(consumed.in_transaction(), expected);
    }

    fn index(name: &str) -> IndexSchema {
        let key = KeySchema { partition: Vec::new(), sort: Vec::new() };
        IndexSchema { name: name.to_owned(), kind: IndexKind::Global, key, projection: Projection::All }
    }
}
