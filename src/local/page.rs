//! Reading one page of a table or an index: a stretch of keys, a filter, a projection, and where it must end.
//!
//! A page is read from one snapshot in short steps; between them other requests get their turn, so that a long scan does not
//! hold up short reads. Rows that need no filter and no projection go into the answer as they are stored.

use std::ops::ControlFlow;

use bytes::Bytes;

use crate::model::capacity::{Consumed, Units};
use crate::model::partiql::Columns;
use crate::model::{IndexSchema, Item};
use crate::wire::attribute::write_item;
use crate::wire::page::{Output, PageRequest, RowSource};

use super::LocalError;
use super::capacity::Consistency;
use super::catalog::Table;
use super::rows::{self, Row};
use super::store::{Direction, KeyRange, Snapshot, Space};

/// A page ends with the item that brings it to this many bytes.
pub(super) const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// Room for the items of a small page.
const ITEMS_BYTES: usize = 4096;
/// How much is read between two chances for others.
const STEP_ROWS: usize = 100;
const STEP_BYTES: usize = 64 * 1024;

/// What a page reads.
pub(super) struct PagePlan<'a> {
    pub(super) table: &'a Table,
    /// The index that is read instead of the table's items, and where its entries are.
    pub(super) index: Option<(&'a IndexSchema, Space)>,
    /// What is left of the request's range behind its starting key.
    pub(super) range: KeyRange,
    pub(super) request: PageRequest,
    /// The columns of a PartiQL statement, given in the place of the request's output.
    pub(super) columns: Option<Columns>,
}

impl PagePlan<'_> {
    fn consistency(&self) -> Consistency {
        if self.request.consistent { Consistency::Strong } else { Consistency::Eventual }
    }
}

/// A page that was read.
pub(super) struct Page {
    /// The items, as JSON with commas between.
    pub(super) items: Vec<u8>,
    pub(super) count: usize,
    pub(super) scanned: usize,
    /// The last row that was looked at, when the page ended before its range did, or may have.
    pub(super) last: Option<LastRow>,
    /// Bytes of all that was read.
    pub(super) bytes: usize,
    pub(super) consumed: Consumed,
}

/// The row that a page ended with.
pub(super) struct LastRow {
    /// Its key in the store.
    pub(super) position: Vec<u8>,
    pub(super) item: Item,
}

/// A page under way.
struct Reading<'a> {
    plan: &'a PagePlan<'a>,
    snapshot: &'a Snapshot,
    items: Vec<u8>,
    count: usize,
    scanned: usize,
    /// Bytes of all rows that were looked at, which the page costs.
    bytes: usize,
    /// What was read from the table to complete index entries, and what that costs.
    fetched_bytes: usize,
    fetched: Units,
    last: Option<(Vec<u8>, Bytes)>,
}

/// Reads a page.
///
/// # Errors
/// Only when the store broke.
pub(super) async fn read(plan: &PagePlan<'_>, snapshot: &Snapshot) -> Result<Page, LocalError> {
    let mut reading = Reading {
        plan,
        snapshot,
        items: Vec::with_capacity(if plan.request.output == Output::Count { 0 } else { ITEMS_BYTES }),
        count: 0,
        scanned: 0,
        bytes: 0,
        fetched_bytes: 0,
        fetched: Units::default(),
        last: None,
    };
    let mut range = plan.range.clone();
    while !reading.is_full() && reading.step(&range)? {
        range = reading.rest(range);
        tokio::task::yield_now().await;
    }
    reading.finish()
}

impl Reading<'_> {
    /// True when no further row may be looked at.
    fn is_full(&self) -> bool {
        self.all_bytes() >= PAGE_BYTES_MAX
            || self.plan.request.limit.is_some_and(|limit| self.scanned >= limit)
    }

    /// Fetched items count too: a page of small index entries must not become an answer of any size.
    fn all_bytes(&self) -> usize {
        self.bytes + self.fetched_bytes
    }

    /// Looks at some rows; false when the range has no more.
    fn step(&mut self, range: &KeyRange) -> Result<bool, LocalError> {
        let space = self.plan.index.map_or(self.plan.table.items, |(_, space)| space);
        let (snapshot, direction) = (self.snapshot, self.plan.request.direction);
        let (rows_before, bytes_before) = (self.scanned, self.all_bytes());
        let mut more = false;
        let mut failure = None;
        let mut visit = |key: &[u8], value: &[u8]| {
            if let Err(error) = self.look_at(value) {
                failure = Some(error);
                return ControlFlow::Break(());
            }
            let stepped =
                self.scanned - rows_before >= STEP_ROWS || self.all_bytes() - bytes_before >= STEP_BYTES;
            if stepped || self.is_full() {
                self.last = Some((key.to_vec(), Bytes::copy_from_slice(value)));
                more = true;
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        };
        snapshot.range(space, range, direction, &mut visit)?;
        failure.map_or(Ok(more), Err)
    }

    fn look_at(&mut self, value: &[u8]) -> Result<(), LocalError> {
        self.scanned += 1;
        self.bytes += rows::size_bytes(value);
        let request = &self.plan.request;
        let is_whole = request.rows == RowSource::Itself && self.plan.columns.is_none();
        if let (None, true, Output::Rows) = (&request.filter, is_whole, &request.output) {
            self.begin_item();
            self.items.extend_from_slice(rows::json_text(value));
            return Ok(());
        }
        if let (None, Output::Count) = (&request.filter, &request.output) {
            self.count += 1;
            return Ok(());
        }
        let mut item = Row::new(Bytes::copy_from_slice(value))?.item()?;
        if request.rows == RowSource::Table {
            item = self.fetch(item)?;
        }
        if request.filter.as_ref().is_some_and(|filter| !filter.holds(Some(&item))) {
            return Ok(());
        }
        match &request.output {
            _ if let Some(columns) = &self.plan.columns => {
                self.begin_item();
                write_item(&columns.of(item), &mut self.items);
            }
            Output::Count => self.count += 1,
            Output::Rows => {
                self.begin_item();
                write_item(&item, &mut self.items);
            }
            Output::Paths(paths) => {
                self.begin_item();
                write_item(&paths.project(&item), &mut self.items);
            }
        }
        Ok(())
    }

    /// The table's whole item behind an index entry.
    fn fetch(&mut self, entry: Item) -> Result<Item, LocalError> {
        let table = self.plan.table;
        let Ok(key) = table.schema.key.key_of(&entry) else { return Ok(entry) };
        let Some(row) = self.snapshot.get(table.items, &rows::item_key(&key))? else { return Ok(entry) };
        let row = Row::new(row)?;
        self.fetched_bytes += row.size_bytes();
        self.fetched += self.plan.consistency().read(row.size_bytes());
        Ok(row.item()?)
    }

    fn begin_item(&mut self) {
        if self.count > 0 {
            self.items.push(b',');
        }
        self.count += 1;
    }

    /// What is left of the range behind the last row.
    fn rest(&self, range: KeyRange) -> KeyRange {
        let Some((last, _)) = &self.last else { return range };
        behind(range, last, self.plan.request.direction)
    }

    fn finish(self) -> Result<Page, LocalError> {
        let bytes = self.all_bytes();
        let last = match self.last.as_ref().filter(|_| self.is_full()) {
            Some((position, value)) => {
                Some(LastRow { position: position.clone(), item: Row::new(value.clone())?.item()? })
            }
            None => None,
        };
        let plan = self.plan;
        let mut consumed = Consumed::default();
        let read = plan.consistency().read(self.bytes);
        match plan.index {
            None => consumed.add_table(read),
            Some((index, _)) => {
                consumed.add_index(index, read);
                // Fetched items are single reads: each is rounded up for itself.
                consumed.add_table(self.fetched);
            }
        }
        Ok(Page { items: self.items, count: self.count, scanned: self.scanned, last, bytes, consumed })
    }
}

/// The part of a range that lies behind a key, in the direction of reading.
pub(super) fn behind(range: KeyRange, key: &[u8], direction: Direction) -> KeyRange {
    match direction {
        Direction::Forward => {
            let mut start = key.to_vec();
            start.push(0);
            KeyRange { start: start.max(range.start), end: range.end }
        }
        Direction::Backward => {
            let end = range.end.map_or(key.to_vec(), |end| end.min(key.to_vec()));
            KeyRange { start: range.start, end: Some(end) }
        }
    }
}
