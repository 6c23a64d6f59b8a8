//! `nearside local verify`: whether everything in a data directory agrees.
//!
//! Items are what is believed. Each must lie under its own key in its one stored form, with the size that it says; every index
//! must hold the entries of all items and no others, and so must the order of expiry; what a stream last told of an item
//! must be how the item is. Nothing is changed, and nothing but a data directory that no process uses is looked at.

mod streams;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use bytes::Bytes;

use crate::model::Item;

use super::catalog::{Catalog, Table};
use super::change_log::ShardRules;
use super::clock::Clock;
use super::expiry::Expiry;
use super::indexes::index_entry;
use super::rows::{self, Row};
use super::spaces::{self, Age, CATALOG, LoadError, TRANSACTION_TOKENS};
use super::store::{Direction, Inspection, KeyRange, OpenError, Reads, Space, StoreError};

/// How many findings are told one by one. A file that is damaged in more places is as damaged.
const FINDINGS_MAX: usize = 100;

/// What was looked at, and what does not agree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many tables there are.
    pub tables: u64,
    /// How many items they have.
    pub items: u64,
    /// How many entries their indexes and orders of expiry have.
    pub entries: u64,
    /// How many records their streams have.
    pub records: u64,
    /// What does not agree, a sentence each; the first hundred.
    pub findings: Vec<String>,
    /// How many more there are.
    pub more: u64,
}

impl Report {
    /// True when everything agrees.
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Notes something that does not agree.
    pub(super) fn find(&mut self, finding: impl Into<String>) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding.into());
        } else {
            self.more += 1;
        }
    }
}

/// One line for each finding, and one of what was looked at.
impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(formatter, "damaged: {finding}")?;
        }
        if self.more > 0 {
            writeln!(formatter, "damaged: and {} more", self.more)?;
        }
        let Self { tables, items, entries, records, .. } = self;
        let verdict = if self.is_clean() { "all agree" } else { "they do not agree" };
        write!(
            formatter,
            "{tables} tables, {items} items, {entries} entries of indexes and expiry, {records} stream records: {verdict}"
        )
    }
}

/// Looks at everything in a data directory.
///
/// # Errors
/// [`OpenError`] when it cannot be looked at: there is none, a process uses it, or a newer version wrote it. Its content is
/// the report's matter, unless it is no data file at all.
pub fn verify(directory: &Path) -> Result<Report, OpenError> {
    let mut inspection = Inspection::open(directory)?;
    let mut report = Report::default();
    if let Some(fault) = inspection.check_pages() {
        // What lies on such pages means nothing.
        report.find(format!("the data file: {fault}"));
        return Ok(report);
    }
    let looked_at = inspection.snapshot().and_then(|snapshot| Ok((snapshot, inspection.spaces()?)));
    let outcome = looked_at
        .map_err(LoadError::from)
        .and_then(|(snapshot, spaces)| inspect(&*snapshot, &spaces, &mut report));
    match outcome {
        Ok(()) => {}
        Err(LoadError::Newer { found }) => {
            return Err(OpenError::Newer { path: directory.to_owned(), found, known: spaces::FORMAT });
        }
        Err(error) => report.find(error.to_string()),
    }
    Ok(report)
}

/// Looks at everything in one state of a store. `written` are the spaces that hold anything.
fn inspect(reads: &dyn Reads, written: &[Space], report: &mut Report) -> Result<(), LoadError> {
    let (catalog, age) = Catalog::load(reads, Clock::default(), ShardRules::default())?;
    let mut owners = Owners::default();
    owners.claim(CATALOG, "the catalog".to_owned(), report);
    for space in TRANSACTION_TOKENS {
        owners.claim(space, "tokens of transactions".to_owned(), report);
    }
    for table in catalog.tables().values() {
        report.tables += 1;
        owners.claim_table(table, report);
        inspect_table(table, reads, report)?;
    }
    let tables = catalog.tables();
    streams::audit(reads, &tables, age == Age::Current, report, &mut |space, owner, report| {
        owners.claim(space, owner, report);
    })?;
    let next = spaces::next_space(reads)?;
    for (space, owner) in &owners.names {
        if space.0 >= next.0 && *space > TRANSACTION_TOKENS[1] {
            report.find(format!("{owner}: its space {} could be given to something else", space.0));
        }
    }
    for space in written {
        if !owners.names.contains_key(space) && reads.len(*space)? > 0 {
            report.find(format!(
                "the space {} holds {} rows that belong to nothing",
                space.0,
                reads.len(*space)?
            ));
        }
    }
    Ok(())
}

/// Whose each space is.
#[derive(Default)]
struct Owners {
    names: BTreeMap<Space, String>,
}

impl Owners {
    fn claim(&mut self, space: Space, owner: String, report: &mut Report) {
        if let Some(other) = self.names.get(&space) {
            report.find(format!("the space {} belongs to {owner} and to {other}", space.0));
        } else {
            self.names.insert(space, owner);
        }
    }

    fn claim_table(&mut self, table: &Table, report: &mut Report) {
        let name = &table.schema.name;
        self.claim(table.items, format!("table {name}"), report);
        for (index, space) in table.schema.indexes.iter().zip(&table.index_spaces) {
            self.claim(*space, format!("index {} of table {name}", index.name), report);
        }
        if let Some(expiry) = &table.expiry {
            self.claim(expiry.space, format!("the order of expiry of table {name}"), report);
        }
    }
}

/// The row that an item has, by the item's store key.
type EntryOf<'a> = Box<dyn Fn(&[u8], &Item) -> Option<(Vec<u8>, Vec<u8>)> + 'a>;
/// The store key of the item that a row was made of.
type ItemKeyOf<'a> = Box<dyn Fn(&[u8], &[u8]) -> Option<Vec<u8>> + 'a>;

/// A space whose rows follow from the items: an index, or the order of expiry.
struct Derived<'a> {
    name: String,
    space: Space,
    entry: EntryOf<'a>,
    /// The store key of the item that a row was made of.
    item_key: ItemKeyOf<'a>,
}

impl<'a> Derived<'a> {
    fn of(table: &'a Table) -> Vec<Self> {
        let name = &table.schema.name;
        let key = &table.schema.key;
        let indexes = table.schema.indexes.iter().zip(&table.index_spaces).map(|(index, space)| Self {
            name: format!("index {} of table {name}", index.name),
            space: *space,
            entry: Box::new(move |_, item| index_entry(key, index, item)),
            item_key: Box::new(move |_, row| {
                let item = Row::new(Bytes::copy_from_slice(row)).ok()?.item().ok()?;
                Some(rows::item_key(&key.key_of(&item).ok()?))
            }),
        });
        let expiry = table.expiry.iter().map(|expiry| Self {
            name: format!("the order of expiry of table {name}"),
            space: expiry.space,
            entry: Box::new(move |store_key, item| Some((expiry.entry(store_key, item)?, Vec::new()))),
            item_key: Box::new(|entry, _| Some(Expiry::store_key(entry).to_vec())),
        });
        indexes.chain(expiry).collect()
    }

    /// Looks for the row of an item.
    fn inspect_item(
        &mut self,
        at: &Place<'_>,
        reads: &dyn Reads,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let Some((key, row)) = (self.entry)(at.store_key, at.item) else { return Ok(()) };
        match reads.get(self.space, &key)? {
            Some(found) if found == row => {}
            Some(_) => {
                report.find(format!("{}: the entry of item {at} is not what the item says", self.name))
            }
            None => report.find(format!("{}: item {at} has no entry", self.name)),
        }
        Ok(())
    }

    /// Looks for rows of items that are not there, or are other ones now.
    fn inspect_rows(&self, table: &Table, reads: &dyn Reads, report: &mut Report) -> Result<(), StoreError> {
        let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        let rows = count(reads, self.space, &self.name, report, &mut |key, row| {
            let item_key = (self.item_key)(key, row);
            found.push((key.to_vec(), item_key.unwrap_or_default()));
        })?;
        report.entries += rows;
        for (key, item_key) in found {
            let item = match reads.get(table.items, &item_key)? {
                Some(row) => Row::new(row)?.item().ok(),
                None => None,
            };
            let entry = item.and_then(|item| (self.entry)(&item_key, &item));
            if entry.is_none_or(|(entry_key, _)| entry_key != key) {
                report.find(format!("{}: an entry is of no item", self.name));
            }
        }
        Ok(())
    }
}

/// Where an item was found.
struct Place<'a> {
    store_key: &'a [u8],
    table: &'a Table,
    item: &'a Item,
}

/// The item's key attributes, as JSON.
impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_key = |name: &str| self.table.schema.key.attributes().any(|attribute| attribute.name == name);
        let key = self
            .item
            .iter()
            .filter(|(name, _)| is_key(name))
            .map(|(name, value)| (name.clone(), value.clone()));
        let mut text = Vec::new();
        crate::wire::attribute::write_item(&key.collect(), &mut text);
        formatter.write_str(&String::from_utf8_lossy(&text))
    }
}

fn inspect_table(table: &Table, reads: &dyn Reads, report: &mut Report) -> Result<(), StoreError> {
    let name = format!("table {}", table.schema.name);
    let mut derived = Derived::of(table);
    let mut outcome = Ok(());
    let mut findings = Report::default();
    report.items += count(reads, table.items, &name, report, &mut |key, row| {
        if outcome.is_ok() {
            outcome = inspect_item(table, key, row, &mut derived, reads, &mut findings);
        }
    })?;
    outcome?;
    findings.findings.into_iter().for_each(|finding| report.find(finding));
    report.more += findings.more;
    derived.iter().try_for_each(|derived| derived.inspect_rows(table, reads, report))
}

fn inspect_item(
    table: &Table,
    store_key: &[u8],
    row: &[u8],
    derived: &mut [Derived<'_>],
    reads: &dyn Reads,
    report: &mut Report,
) -> Result<(), StoreError> {
    let name = &table.schema.name;
    let Ok(item) = Row::new(Bytes::copy_from_slice(row)).and_then(|row| row.item()) else {
        report.find(format!("table {name}: an item is unreadable"));
        return Ok(());
    };
    let at = Place { store_key, table, item: &item };
    if table.schema.key.key_of(&item).ok().is_none_or(|key| rows::item_key(&key) != store_key) {
        report.find(format!("table {name}: item {at} lies under another key"));
    }
    let encoded = rows::encode_row(&item);
    if rows::size_bytes(&encoded) != rows::size_bytes(row) {
        report.find(format!(
            "table {name}: item {at} has {} bytes and says {}",
            rows::size_bytes(&encoded),
            rows::size_bytes(row)
        ));
    } else if encoded != row {
        report.find(format!("table {name}: item {at} is not in its normal form"));
    }
    derived.iter_mut().try_for_each(|derived| derived.inspect_item(&at, reads, report))
}

/// Shows every row of a space and counts them, and notes when the store counts others.
fn count(
    reads: &dyn Reads,
    space: Space,
    name: &str,
    report: &mut Report,
    visit: &mut dyn FnMut(&[u8], &[u8]),
) -> Result<u64, StoreError> {
    let mut rows = 0;
    reads.range(space, &KeyRange::all(), Direction::Forward, &mut |key, row| {
        rows += 1;
        visit(key, row);
        ControlFlow::Continue(())
    })?;
    let counted = reads.len(space)?;
    if counted != rows {
        report.find(format!("{name} has {rows} rows, and the store counts {counted}"));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests;
