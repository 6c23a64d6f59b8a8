//! `SELECT`: a page of rows, or the one item that a batch or transaction asks for.

use crate::model::arn::table_name;
use crate::model::capacity::{Charge, Consumed, UnitKind};
use crate::model::java_order::{Buckets, sort_as_java};
use crate::model::partiql::{Columns, Select};
use crate::model::schema::IndexKind;
use crate::model::{ApiError, IndexSchema, Item, KeySchema};
use crate::wire::attribute::write_item;
use crate::wire::keys;
use crate::wire::page::{Output, PageRange, PageRequest, RowSource};
use crate::wire::request::ReturnConsumedCapacity;

use crate::local::answer::ObjectWriter;
use crate::local::capacity::{CapacityReport, Consistency, write_consumed};
use crate::local::catalog::Table;
use crate::local::page::{self, PAGE_BYTES_MAX, Page, PagePlan};
use crate::local::set_order::write_hashed;
use crate::local::store::{KeyRange, Snapshot};
use crate::local::{Charged, Local, LocalError, Reply};

use super::plan::{self, ReadPlan};
use super::token::{Position, StatementDigest};

/// What a request asks of a `SELECT`, apart from the statement.
pub(super) struct PageWish {
    pub(super) limit: Option<usize>,
    pub(super) consistency: Consistency,
    pub(super) report: CapacityReport,
    pub(super) start: Position,
    /// Binds the token of the next page to this statement.
    pub(super) digest: StatementDigest,
}

/// What is read: the table, or one of its indexes.
#[derive(Clone, Copy)]
struct Source<'t> {
    table: &'t Table,
    index: Option<usize>,
}

/// A page of several stretches.
#[derive(Default)]
struct Rows {
    items: Vec<u8>,
    count: usize,
    scanned: usize,
    bytes: usize,
    consumed: Consumed,
    next: Option<Position>,
    last: Option<Item>,
}

impl Local {
    /// Reads a page of what a `SELECT` selects.
    pub(super) async fn select(&self, select: &Select, wish: PageWish) -> Charged {
        let table = self.catalog.table(&select.table)?;
        let source = Source::of(&table, select, wish.consistency)?;
        if let Some(index) = &select.index {
            self.catalog.progress.refuse_read(&table.schema.name, index)?;
        }
        let columns = select.columns.clone();
        let plan = plan::plan(select.filter.as_ref(), &select.order, source.key())?;
        let rows_from = source.check(&plan, &columns)?;
        let snapshot = self.snapshot()?;
        let rows = read(source, &plan, columns, rows_from, &wish, &snapshot).await?;

        let mut answer = ObjectWriter::with_capacity(rows.items.len() + 256);
        let out = answer.member("Items");
        out.push(b'[');
        write_hashed(&rows.items, out);
        out.push(b']');
        if let Some(next) = &rows.next {
            crate::wire::json::write_string(&next.to_token(&wish.digest), answer.member("NextToken"));
        }
        if let Some(last) = &rows.last {
            write_item(last, answer.member("LastEvaluatedKey"));
        }
        if wish.report.is_wanted() {
            write_consumed(&rows.consumed, &select.table, wish.report, answer.member("ConsumedCapacity"));
        }
        let charges = vec![Charge::exact(table_name(&select.table), UnitKind::Read, rows.consumed)];
        Ok(Reply::new(answer.finish(), charges))
    }
}

/// Reads the stretches one after the other until the page is full.
async fn read(
    source: Source<'_>,
    plan: &ReadPlan,
    columns: Columns,
    rows_from: RowSource,
    wish: &PageWish,
    snapshot: &Snapshot,
) -> Result<Rows, LocalError> {
    let mut rows = Rows::default();
    let index = source.index.map(|position| (source.schema(position), source.table.index_spaces[position]));
    let columns = Some(columns).filter(|columns| *columns != Columns::All);
    for (position, range) in plan.ranges.iter().enumerate().skip(wish.start.range) {
        let request = page_request(source, plan, rows_from, wish, rows.scanned);
        let range = match position == wish.start.range && !wish.start.behind.is_empty() {
            true => page::behind(range.clone(), &wish.start.behind, plan.direction),
            false => range.clone(),
        };
        let plan_of_page = PagePlan { table: source.table, index, range, request, columns: columns.clone() };
        let page = page::read(&plan_of_page, snapshot).await?;
        let is_last = position + 1 == plan.ranges.len();
        if rows.add(page, position, is_last, source) {
            break;
        }
    }
    if plan.ranges.is_empty() || wish.start.range >= plan.ranges.len() {
        // Nothing can match, but asking costs what a miss costs.
        let request = page_request(source, plan, rows_from, wish, 0);
        let nothing = KeyRange { start: Vec::new(), end: Some(Vec::new()) };
        let empty = PagePlan { table: source.table, index, range: nothing, request, columns: None };
        let page = page::read(&empty, snapshot).await?;
        rows.consumed.add(page.consumed);
    }
    Ok(rows)
}

fn page_request(
    source: Source<'_>,
    plan: &ReadPlan,
    rows_from: RowSource,
    wish: &PageWish,
    scanned: usize,
) -> PageRequest {
    PageRequest {
        index: source.index,
        // The stretch is the plan's own.
        range: PageRange::Scan(None),
        filter: plan.filter.clone(),
        output: Output::Rows,
        rows: rows_from,
        limit: wish.limit.map(|limit| limit - scanned),
        direction: plan.direction,
        start: None,
        consistent: wish.consistency == Consistency::Strong,
        consumed: ReturnConsumedCapacity::None,
    }
}

impl Rows {
    /// Adds a page that was read; true when no more may be.
    fn add(&mut self, page: Page, position: usize, is_last: bool, source: Source<'_>) -> bool {
        if page.count > 0 && self.count > 0 {
            self.items.push(b',');
        }
        self.items.extend_from_slice(&page.items);
        self.count += page.count;
        self.scanned += page.scanned;
        self.bytes += page.bytes;
        self.consumed.add(page.consumed);
        if let Some(last) = page.last {
            self.next = Some(Position { range: position, behind: last.position });
            self.last = Some(source.last_key(last.item));
            return true;
        }
        if self.bytes >= PAGE_BYTES_MAX && !is_last {
            self.next = Some(Position { range: position + 1, behind: Vec::new() });
            return true;
        }
        false
    }
}

impl<'t> Source<'t> {
    fn of(table: &'t Table, select: &Select, consistency: Consistency) -> Result<Self, ApiError> {
        let Some(name) = &select.index else { return Ok(Self { table, index: None }) };
        let position = table.schema.indexes.iter().position(|index| index.name == *name);
        let position =
            position.ok_or_else(|| ApiError::validation("The table does not have the specified index"))?;
        let source = Self { table, index: Some(position) };
        let index = source.schema(position);
        check_key(index)?;
        if index.kind == IndexKind::Global && consistency == Consistency::Strong {
            return Err(ApiError::validation(
                "Strongly consistent read is not supported on Global Secondary Indexes",
            ));
        }
        Ok(source)
    }

    fn schema(&self, position: usize) -> &'t IndexSchema {
        &self.table.schema.indexes[position]
    }

    fn key(&self) -> &'t KeySchema {
        self.index.map_or(&self.table.schema.key, |position| &self.schema(position).key)
    }

    /// The part of a page's last row that tells where it is.
    fn last_key(&self, row: Item) -> Item {
        let is_key = |name: &str| self.table.schema.key.contains(name) || self.key().contains(name);
        row.into_iter().filter(|(name, _)| is_key(name)).collect()
    }

    /// Refuses what the source cannot give, and says where the rows come from.
    fn check(&self, plan: &ReadPlan, columns: &Columns) -> Result<RowSource, ApiError> {
        let schema = &self.table.schema;
        if let Some(filter) = &plan.filter {
            keys::check_nested_roots(schema, filter.nested_roots())?;
        }
        keys::check_nested_roots(schema, columns.nested_roots())?;
        let Some(position) = self.index else { return Ok(RowSource::Itself) };
        let index = self.schema(position);
        let lacks = |name: &str| !index.projects(&schema.key, name);
        refuse_unprojected(index, plan, lacks)?;
        let missing: Vec<&str> =
            columns.paths().map(|path| path.root.as_str()).filter(|name| lacks(name)).collect();
        match (index.kind, missing.is_empty()) {
            (_, true) => Ok(RowSource::Itself),
            (IndexKind::Local, false) => Ok(RowSource::Table),
            (IndexKind::Global, false) => Err(ApiError::validation(format!(
                "One or more parameter values were invalid: Global secondary index {} does not project [{}]",
                index.name,
                missing.join(", ")
            ))),
        }
    }
}

/// Refuses queries whose every branch filters by what the index does not have. The service tells of the last branch.
fn refuse_unprojected(
    index: &IndexSchema,
    plan: &ReadPlan,
    lacks: impl Fn(&str) -> bool,
) -> Result<(), ApiError> {
    let missing_of =
        |names: &Vec<String>| -> Vec<String> { names.iter().filter(|name| lacks(name)).cloned().collect() };
    let missing: Vec<Vec<String>> = plan.keyed_filters.iter().map(missing_of).collect();
    match missing.last() {
        Some(last) if missing.iter().all(|names| !names.is_empty()) => {
            let mut names = last.clone();
            sort_as_java(&mut names, Buckets::Sixteen, |name| name);
            Err(ApiError::validation(format!(
                "One or more parameter values were invalid: \
                 Secondary index {} does not project one or more filter attributes: [{}]",
                index.name,
                names.join(", ")
            )))
        }
        _ => Ok(()),
    }
}

/// Refuses an index whose key has more attributes than statements can speak of.
///
/// # Errors
/// The service's own.
pub(super) fn check_key(index: &IndexSchema) -> Result<(), ApiError> {
    if index.key.partition.len() <= 1 && index.key.sort.len() <= 1 {
        return Ok(());
    }
    Err(ApiError::validation(
        "PartiQL statements cannot be executed on tables with multi-attribute HASH keys \
         or multi-attribute RANGE keys.",
    ))
}

/// Refuses an index that a statement cannot read.
///
/// # Errors
/// The service's own.
pub(super) fn check_index(table: &Table, select: &Select, consistency: Consistency) -> Result<(), ApiError> {
    Source::of(table, select, consistency).map(|_| ())
}
