//! Query and Scan: from the page that a request asks for to a stretch of the store, and its answer.
//!
//! What the request means, and what the service refuses of it, [`crate::wire::page`] reads.

use std::sync::Arc;

use crate::call::PlainQuery;
use crate::model::KeyValue;
use crate::model::capacity::{Charge, UnitKind};
use crate::model::expr::{KeyInterval, SortInterval};
use crate::model::placement::Segment;
use crate::wire::Json;
use crate::wire::attribute::write_item;
use crate::wire::page::{Output, PageKind, PageQuestion, PageRange, PageRequest, RowSource, StartKey};
use crate::wire::request::ReturnConsumedCapacity;

use super::answer::ObjectWriter;
use super::capacity::{CapacityReport, write_consumed};
use super::catalog::Table;
use super::members::table_name;
use super::page::{self, Page, PagePlan};
use super::rows;
use super::set_order::write_hashed;
use super::store::{KeyRange, successor};
use super::{Charged, Local, Reply};

impl Local {
    /// Reads a page of one partition, or of a whole table or index.
    pub(crate) async fn read_page(&self, kind: PageKind, body: &Json<'_>) -> Charged {
        let question = PageQuestion::read(kind, body)?;
        let table = self.catalog.table(table_name(body)?)?;
        let request = question.resolve(&table.schema)?;
        let plan = plan(&table, request);
        if let Some((index, _)) = plan.index {
            self.catalog.progress.refuse_read(&table.schema.name, &index.name)?;
        }
        let snapshot = self.snapshot()?;
        let page = page::read(&plan, &snapshot).await?;
        answer(table_name(body)?, CapacityReport::requested(body), &plan, page)
    }

    /// Reads a page of whole items of one partition, strongly.
    pub(super) async fn read_plain(&self, table: &Table, query: PlainQuery<'_>) -> Charged {
        let PlainQuery { schema: _, interval, start, limit, direction } = query;
        let request = PageRequest {
            index: None,
            range: PageRange::Query(interval.clone()),
            filter: None,
            output: Output::Rows,
            rows: RowSource::Itself,
            limit,
            direction,
            start: start.map(|start| StartKey { table: start.clone(), index: None }),
            consistent: true,
            consumed: ReturnConsumedCapacity::None,
        };
        let plan = plan(table, request);
        let snapshot = self.snapshot()?;
        let page = page::read(&plan, &snapshot).await?;
        answer(&table.schema.name, CapacityReport::None, &plan, page)
    }
}

/// Where in the store the page lies.
fn plan(table: &Table, request: PageRequest) -> PagePlan<'_> {
    let index = request.index.map(|position| (&table.schema.indexes[position], table.index_spaces[position]));
    let mut range = match &request.range {
        PageRange::Query(interval) => interval_range(interval),
        PageRange::Scan(Some(segment)) => segment_range(*segment),
        PageRange::Scan(None) => KeyRange::all(),
    };
    if let Some(start) = &request.start {
        range = page::behind(range, &row_key(start), request.direction);
    }
    PagePlan { table, index, range, request, columns: None }
}

/// The answer. `table_name` is the table's name as the client wrote it.
fn answer(table_name: &str, report: CapacityReport, plan: &PagePlan<'_>, page: Page) -> Charged {
    let Page { items, count, scanned, last, bytes: _, consumed } = page;
    let mut answer = ObjectWriter::with_capacity(items.len() + 256);
    if !matches!(plan.request.output, Output::Count) {
        let out = answer.member("Items");
        out.push(b'[');
        match plan.request.range {
            PageRange::Query(_) => out.extend_from_slice(&items),
            PageRange::Scan(_) => write_hashed(&items, out),
        }
        out.push(b']');
    }
    let number = |number: usize, out: &mut Vec<u8>| {
        out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    };
    number(count, answer.member("Count"));
    number(scanned, answer.member("ScannedCount"));
    if let Some(last) = last {
        let key = plan.request.last_key(&plan.table.schema, last.item);
        write_item(&key, answer.member("LastEvaluatedKey"));
    }
    if report.is_wanted() {
        write_consumed(&consumed, table_name, report, answer.member("ConsumedCapacity"));
    }
    let charges = vec![Charge::exact(&plan.table.schema.name, UnitKind::Read, consumed)];
    let read_by = Some(Arc::clone(&plan.table.schema));
    Ok(Reply { read_by, ..Reply::new(answer.finish(), charges) })
}

/// Where in the store a starting key lies.
fn row_key(start: &StartKey) -> Vec<u8> {
    match &start.index {
        Some(index) => rows::entry_key(index, &start.table),
        None => rows::item_key(&start.table),
    }
}

/// The stretch of store keys that a key condition reads.
pub(super) fn interval_range(interval: &KeyInterval) -> KeyRange {
    let mut base = rows::partition_prefix(&interval.partition);
    interval.sort_equal.iter().for_each(|value| value.write_sortable(&mut base));
    let with = |value: &KeyValue| {
        let mut key = base.clone();
        value.write_sortable(&mut key);
        key
    };
    let end = || successor(&base);
    match &interval.sort {
        SortInterval::All => KeyRange::with_prefix(&base),
        SortInterval::Equal(value) => KeyRange::with_prefix(&with(value)),
        SortInterval::Less(value) => KeyRange { start: base.clone(), end: Some(with(value)) },
        SortInterval::LessOrEqual(value) => KeyRange { start: base.clone(), end: successor(&with(value)) },
        SortInterval::Greater(value) => {
            KeyRange { start: successor(&with(value)).unwrap_or_else(|| with(value)), end: end() }
        }
        SortInterval::GreaterOrEqual(value) => KeyRange { start: with(value), end: end() },
        SortInterval::Between(low, high) => KeyRange { start: with(low), end: successor(&with(high)) },
        SortInterval::BeginsWith(value) => {
            // Without the mark of its end, a value's form begins the forms of all values that it begins.
            let least = with(value);
            let all = successor(&least[..least.len() - 2]);
            KeyRange { start: least, end: all }
        }
    }
}

/// The stretch of the scan order that belongs to a segment.
fn segment_range(segment: Segment) -> KeyRange {
    let (first, end) = segment.hashes();
    KeyRange { start: first.to_vec(), end: end.map(|hash| hash.to_vec()) }
}

#[cfg(test)]
mod tests;
