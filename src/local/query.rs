//! Query and Scan: which page a request asks for, and its answer.
//!
//! The checks come in the service's order: what the request alone decides, then the table and index, the starting key, the
//! keys' conditions, and what the page may show.

use crate::model::expr::{Condition, Context, KeyCondition, KeyInterval, Paths, SortInterval};
use crate::model::schema::{IndexKind, Projection};
use crate::model::value::Item;
use crate::model::{ApiError, IndexSchema, Key, KeySchema, KeyValue};
use crate::wire::attribute::{item_from_json, write_item};
use crate::wire::{Json, legacy};

use super::answer::ObjectWriter;
use super::capacity::{CapacityReport, Consistency};
use super::catalog::Table;
use super::expressions::{Placeholders, refuse_mixture};
use super::items::table_name;
use super::keys::{self, KeySource};
use super::page::{self, Output, Page, PageRequest, RowSource};
use super::rows;
use super::store::{Direction, KeyRange, Space, successor};
use super::{Handled, Local};

/// How many bits of the hash place the segments of a parallel scan.
const SEGMENT_BITS: u32 = 12;
/// All bits of the hash: more segments than the few bits can part are placed by these, so that none begins where all end.
const HASH_BITS: u32 = rows::HASH_BYTES as u32 * 8;

/// The two operations, where their words differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Query,
    Scan,
}

/// What a request asks for, before its table is known.
struct Asked {
    filter: Option<Condition>,
    /// How the service names the filter in its errors.
    filter_name: &'static str,
    projection: Option<Paths>,
    start: Option<Item>,
    condition: Option<KeyCondition>,
    limit: Option<usize>,
    direction: Direction,
}

/// What a page reads: the table, or one of its indexes.
#[derive(Clone, Copy)]
struct Source<'a> {
    table: &'a Table,
    index: Option<(&'a IndexSchema, Space)>,
}

impl Local {
    /// Reads a page of one partition.
    pub(crate) async fn query(&self, body: &Json<'_>) -> Handled {
        let asked = read_query(body)?;
        let table = self.catalog.table(table_name(body)?)?;
        let source = Source::of(&table, body)?;
        let schema = source.key();
        if let Some(start) = &asked.start {
            source.check_start_shape(start, Kind::Query)?;
        }
        let condition = asked.condition.as_ref().ok_or_else(missing_condition)?;
        let interval = condition.resolve(schema)?;
        let mut range = interval_range(&interval);
        if let Some(start) = &asked.start {
            let key = source.start_key(start)?;
            check_start_within(&interval, schema, start, &range)?;
            range = page::behind(range, &key, asked.direction);
        }
        if let Some(projection) = &asked.projection {
            keys::check_nested_roots(&table.schema, projection.nested_roots())?;
        }
        if let Some(filter) = &asked.filter {
            refuse_key_filter(schema, filter, asked.filter_name)?;
            source.refuse_unprojected_filter(filter)?;
        }
        source.check_select(body, Kind::Query)?;
        let request = source.page(body, asked, range)?;
        self.answer_page(body, request).await
    }

    /// Reads a page of a whole table or index, or of one segment of it.
    pub(crate) async fn scan(&self, body: &Json<'_>) -> Handled {
        let asked = read_scan(body)?;
        let table = self.catalog.table(table_name(body)?)?;
        let source = Source::of(&table, body)?;
        if let Some(start) = &asked.start {
            source.check_start_shape(start, Kind::Scan)?;
        }
        source.check_select(body, Kind::Scan)?;
        let mut range = segment_range(body);
        if let Some(start) = &asked.start {
            let key = source.start_key(start)?;
            check_start_in_segment(body, &range, &key)?;
            range = page::behind(range, &key, Direction::Forward);
        }
        if let Some(projection) = &asked.projection {
            keys::check_nested_roots(&table.schema, projection.nested_roots())?;
        }
        let request = source.page(body, asked, range)?;
        self.answer_page(body, request).await
    }

    async fn answer_page(&self, body: &Json<'_>, request: PageRequest<'_>) -> Handled {
        let snapshot = self.snapshot()?;
        let page = page::read(&request, &snapshot).await?;
        let Page { items, count, scanned, last, consumed } = page;
        let mut answer = ObjectWriter::with_capacity(items.len() + 256);
        if !matches!(request.output, Output::Count) {
            let out = answer.member("Items");
            out.push(b'[');
            out.extend_from_slice(&items);
            out.push(b']');
        }
        let number = |number: usize, out: &mut Vec<u8>| {
            out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        };
        number(count, answer.member("Count"));
        number(scanned, answer.member("ScannedCount"));
        if let Some(last) = last {
            let source = Source { table: request.table, index: request.index };
            write_item(&source.page_key(last), answer.member("LastEvaluatedKey"));
        }
        let report = CapacityReport::requested(body);
        if report.is_wanted() {
            consumed.write_json(table_name(body)?, report, answer.member("ConsumedCapacity"));
        }
        Ok(answer.finish())
    }
}

/// Reads what a Query asks for.
fn read_query(body: &Json<'_>) -> Result<Asked, ApiError> {
    let expressions = ["ProjectionExpression", "FilterExpression", "KeyConditionExpression"];
    let outdated = ["AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions"];
    // Old key conditions may stand beside new expressions, so long as the key has one kind of condition only.
    let doubled = body.get("KeyConditionExpression").is_some();
    refuse_mixture(body, &expressions, &outdated[..if doubled { 4 } else { 3 }])?;
    let legacy_filter = legacy::query_filter(body)?;
    let legacy_projection = legacy::attributes_to_get(body)?;
    let start = read_start(body)?;
    let expression = body.get("KeyConditionExpression").and_then(Json::text);
    if expression.is_none() && body.get("KeyConditions").is_none() {
        return Err(missing_condition());
    }
    let placeholders = Placeholders::parse(body)?;
    let mut bindings = placeholders.bindings();
    let condition = expression.map(|text| KeyCondition::parse(text, &mut bindings)).transpose()?;
    let filter = parse_filter(body, &mut bindings)?;
    let projection = parse_projection(body, &mut bindings)?;
    bindings.finish()?;
    let condition = match condition {
        Some(condition) => Some(condition),
        None => legacy::key_conditions(body)?,
    };
    let backward = body.get("ScanIndexForward").and_then(Json::boolean) == Some(false);
    Ok(Asked {
        filter_name: if legacy_filter.is_some() { "QueryFilter" } else { "Filter Expression" },
        filter: legacy_filter.or(filter),
        projection: legacy_projection.or(projection),
        start,
        condition,
        limit: read_limit(body),
        direction: if backward { Direction::Backward } else { Direction::Forward },
    })
}

/// Reads what a Scan asks for.
fn read_scan(body: &Json<'_>) -> Result<Asked, ApiError> {
    let expressions = ["ProjectionExpression", "FilterExpression"];
    refuse_mixture(body, &expressions, &["AttributesToGet", "ScanFilter", "ConditionalOperator"])?;
    let legacy_projection = legacy::attributes_to_get(body)?;
    let legacy_filter = legacy::scan_filter(body)?;
    let start = read_start(body)?;
    check_segments(body)?;
    let placeholders = Placeholders::parse(body)?;
    let mut bindings = placeholders.bindings();
    let filter = parse_filter(body, &mut bindings)?;
    let projection = parse_projection(body, &mut bindings)?;
    bindings.finish()?;
    Ok(Asked {
        filter: legacy_filter.or(filter),
        filter_name: "Filter Expression",
        projection: legacy_projection.or(projection),
        start,
        condition: None,
        limit: read_limit(body),
        direction: Direction::Forward,
    })
}

fn missing_condition() -> ApiError {
    ApiError::validation(
        "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
    )
}

fn parse_filter(
    body: &Json<'_>,
    bindings: &mut crate::model::expr::Bindings<'_>,
) -> Result<Option<Condition>, ApiError> {
    let text = body.get("FilterExpression").and_then(Json::text);
    text.map(|text| Condition::parse(text, Context::Filter, bindings)).transpose()
}

fn parse_projection(
    body: &Json<'_>,
    bindings: &mut crate::model::expr::Bindings<'_>,
) -> Result<Option<Paths>, ApiError> {
    let text = body.get("ProjectionExpression").and_then(Json::text);
    text.map(|text| Paths::parse_projection(text, bindings)).transpose()
}

fn read_limit(body: &Json<'_>) -> Option<usize> {
    body.get("Limit").and_then(Json::integer).and_then(|limit| usize::try_from(limit).ok())
}

/// Reads `ExclusiveStartKey`; some of the decoder's errors go without the prefix that the others get.
fn read_start(body: &Json<'_>) -> Result<Option<Item>, ApiError> {
    let Some(start) = body.get("ExclusiveStartKey") else { return Ok(None) };
    item_from_json(start).map(Some).map_err(|error| {
        let words = error.message.clone().unwrap_or_default();
        let bare =
            ["contains duplicates", "number set", "numeric value", "significant digits", "with magnitude"];
        match bare.iter().any(|part| words.contains(part)) {
            true => error,
            false => ApiError::validation(format!("The provided starting key is invalid: {words}")),
        }
    })
}

fn check_segments(body: &Json<'_>) -> Result<(), ApiError> {
    let number = |name: &str| body.get(name).and_then(Json::integer);
    match (number("Segment"), number("TotalSegments")) {
        (Some(_), None) => Err(ApiError::validation(
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is present",
        )),
        (None, Some(_)) => Err(ApiError::validation(
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is present",
        )),
        (Some(segment), Some(total)) if segment >= total => Err(ApiError::validation(format!(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: \
             Segment: {segment} is not less than TotalSegments: {total}"
        ))),
        _ => Ok(()),
    }
}

impl<'a> Source<'a> {
    fn of(table: &'a Table, body: &Json<'_>) -> Result<Self, ApiError> {
        let Some(name) = body.get("IndexName").and_then(Json::text) else {
            return Ok(Self { table, index: None });
        };
        let indexes = table.schema.indexes.iter().zip(&table.index_spaces);
        let mut named = indexes.filter(|(index, _)| index.name == name);
        let (index, space) = named.next().ok_or_else(|| {
            ApiError::validation(format!("The table does not have the specified index: {name}"))
        })?;
        if index.kind == IndexKind::Global && Consistency::requested(body) == Consistency::Strong {
            return Err(ApiError::validation(
                "Consistent reads are not supported on global secondary indexes",
            ));
        }
        Ok(Self { table, index: Some((index, *space)) })
    }

    /// The key that decides the order of what is read.
    fn key(&self) -> &'a KeySchema {
        self.index.map_or(&self.table.schema.key, |(index, _)| &index.key)
    }

    /// The names that a starting key must have: the table's key, and the index's.
    fn start_names(&self) -> Vec<&'a str> {
        let mut names: Vec<&str> = Vec::new();
        for attribute in self.table.schema.key.attributes().chain(self.key().attributes()) {
            if !names.contains(&attribute.name.as_str()) {
                names.push(&attribute.name);
            }
        }
        names
    }

    fn check_start_shape(&self, start: &Item, kind: Kind) -> Result<(), ApiError> {
        let invalid = || ApiError::validation("The provided starting key is invalid");
        let mismatch = "The provided key element does not match the schema";
        let with_reason =
            || ApiError::validation(format!("The provided starting key is invalid: {mismatch}"));
        let whole = start.len() == self.start_names().len();
        if kind == Kind::Scan && self.index.is_none() {
            return if whole { Ok(()) } else { Err(with_reason()) };
        }
        if !whole || self.key().attributes().any(|attribute| !start.contains_key(&attribute.name)) {
            return Err(invalid());
        }
        let fits = |attribute: &&crate::model::schema::KeyAttribute| {
            start.get(&attribute.name).is_some_and(|value| attribute.scalar_type.admits(value))
        };
        match self.key().attributes().all(|attribute| fits(&attribute)) {
            true => Ok(()),
            false => Err(ApiError::validation(mismatch)),
        }
    }

    /// Where in the store a starting key lies.
    fn start_key(&self, start: &Item) -> Result<Vec<u8>, ApiError> {
        let own = self.table.schema.key.attributes();
        let own: Item = own
            .filter_map(|attribute| Some((attribute.name.clone(), start.get(&attribute.name)?.clone())))
            .collect();
        let key_in = |schema: &KeySchema, attributes: &Item| -> Result<Key, ApiError> {
            keys::key_from(schema, attributes, KeySource::KeyMember).map_err(|error| {
                let words = error.message.unwrap_or_default();
                ApiError::validation(format!("The provided starting key is invalid: {words}"))
            })
        };
        let table_key = key_in(&self.table.schema.key, &own)?;
        let Some((index, _)) = self.index else { return Ok(rows::item_key(&table_key)) };
        let attributes = index.key.attributes();
        let attributes: Item = attributes
            .filter_map(|attribute| Some((attribute.name.clone(), start.get(&attribute.name)?.clone())))
            .collect();
        Ok(rows::entry_key(&key_in(&index.key, &attributes)?, &table_key))
    }

    /// The part of the last row that a following request starts from.
    fn page_key(&self, row: Item) -> Item {
        let names = self.start_names();
        row.into_iter().filter(|(name, _)| names.contains(&name.as_str())).collect()
    }

    /// Refuses a `Select` that the source or the projection cannot give.
    fn check_select(&self, body: &Json<'_>, kind: Kind) -> Result<(), ApiError> {
        let Some(select) = body.get("Select").and_then(Json::text) else { return Ok(()) };
        check_select_alone(body, select, kind)?;
        match self.index {
            Some((index, _))
                if select == "ALL_ATTRIBUTES"
                    && index.kind == IndexKind::Global
                    && index.projection != Projection::All =>
            {
                Err(ApiError::validation(format!(
                    "One or more parameter values were invalid: Select type ALL_ATTRIBUTES is not supported for \
                     global secondary index {} because its projection type is not ALL",
                    index.name
                )))
            }
            _ => Ok(()),
        }
    }

    /// The page that the request asks for.
    fn page(self, body: &Json<'_>, asked: Asked, range: KeyRange) -> Result<PageRequest<'a>, ApiError> {
        if let Some(filter) = &asked.filter {
            keys::check_nested_roots(&self.table.schema, filter.nested_roots())?;
        }
        let select = body.get("Select").and_then(Json::text);
        let source = self.row_source(select, asked.projection.as_ref())?;
        let output = match (select, asked.projection) {
            (Some("COUNT"), _) => Output::Count,
            (_, Some(paths)) => Output::Paths(paths),
            (_, None) => Output::Rows,
        };
        Ok(PageRequest {
            table: self.table,
            index: self.index,
            range,
            direction: asked.direction,
            limit: asked.limit,
            filter: asked.filter,
            output,
            source,
            consistency: Consistency::requested(body),
        })
    }

    /// A query filters what the index holds, and nothing else.
    fn refuse_unprojected_filter(&self, filter: &Condition) -> Result<(), ApiError> {
        let Some((index, _)) = self.index else { return Ok(()) };
        let mut missing: Vec<&str> =
            filter.roots().filter(|root| !index.projects(&self.table.schema.key, root)).collect();
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() {
            return Ok(());
        }
        Err(ApiError::validation(format!(
            "One or more parameter values were invalid: Secondary index {} does not project one or more filter attributes: [{}]",
            index.name,
            missing.join(", ")
        )))
    }

    /// Whether the index has all that is asked for. A local index fetches the rest from the table, a global one cannot.
    fn row_source(&self, select: Option<&str>, projection: Option<&Paths>) -> Result<RowSource, ApiError> {
        let Some((index, _)) = self.index else { return Ok(RowSource::Itself) };
        let lacks = |name: &&str| !index.projects(&self.table.schema.key, name);
        let mut missing: Vec<&str> =
            projection.map(|paths| paths.roots().filter(lacks).collect()).unwrap_or_default();
        missing.sort_unstable();
        match index.kind {
            IndexKind::Global if missing.is_empty() => Ok(RowSource::Itself),
            IndexKind::Global => Err(ApiError::validation(format!(
                "One or more parameter values were invalid: Global secondary index {} does not project [{}]",
                index.name,
                missing.join(", ")
            ))),
            IndexKind::Local => {
                let whole = select == Some("ALL_ATTRIBUTES") && index.projection != Projection::All;
                Ok(if whole || !missing.is_empty() { RowSource::Table } else { RowSource::Itself })
            }
        }
    }
}

/// Refuses a `Select` that does not agree with the request's other parameters. Query counts that among the violated
/// constraints, Scan speaks of it plainly.
fn check_select_alone(body: &Json<'_>, select: &str, kind: Kind) -> Result<(), ApiError> {
    let mut projections = ["ProjectionExpression", "AttributesToGet"].into_iter();
    let fault = match (projections.find(|name| body.get(name).is_some()), select) {
        (Some(_), "SPECIFIC_ATTRIBUTES") => return Ok(()),
        (Some(member), "COUNT") => format!("Cannot specify the {member} when choosing to get only the Count"),
        (Some(member), _) => format!("Cannot specify the {member} when choosing to get {select}"),
        (None, "SPECIFIC_ATTRIBUTES") => {
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES"
                .to_owned()
        }
        (None, "ALL_PROJECTED_ATTRIBUTES") if body.get("IndexName").is_none() => {
            "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName".to_owned()
        }
        (None, _) => return Ok(()),
    };
    Err(ApiError::validation(match kind {
        Kind::Query => format!("1 validation error detected: {fault}"),
        Kind::Scan => fault,
    }))
}

fn refuse_key_filter(schema: &KeySchema, filter: &Condition, name: &str) -> Result<(), ApiError> {
    let filtered = schema.attributes().find(|attribute| filter.roots().any(|root| root == attribute.name));
    match filtered {
        Some(attribute) => Err(ApiError::validation(format!(
            "{name} can only contain non-primary key attributes: Primary key attribute: {}",
            attribute.name
        ))),
        None => Ok(()),
    }
}

/// The stretch of store keys that a key condition reads.
fn interval_range(interval: &KeyInterval) -> KeyRange {
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
            let mut prefix = with(value);
            prefix.truncate(prefix.len() - 2);
            KeyRange::with_prefix(&prefix)
        }
    }
}

/// Refuses a starting key that the query could not have stopped at.
fn check_start_within(
    interval: &KeyInterval,
    schema: &KeySchema,
    start: &Item,
    range: &KeyRange,
) -> Result<(), ApiError> {
    let key =
        schema.key_of(start).map_err(|_| ApiError::validation("The provided starting key is invalid"))?;
    let same_partition = key.partition() == interval.partition;
    if interval.sort == SortInterval::All && interval.sort_equal.is_empty() {
        return match same_partition {
            true => Ok(()),
            false => Err(ApiError::validation(
                "The provided starting key is outside query boundaries based on provided conditions",
            )),
        };
    }
    // The sort values alone, as if the partition were the query's.
    let mut position = rows::partition_prefix(&interval.partition);
    key.sort().iter().for_each(|value| value.write_sortable(&mut position));
    let within = position >= range.start && range.end.as_ref().is_none_or(|end| position < *end);
    match (within, same_partition) {
        (false, _) => {
            Err(ApiError::validation("The provided starting key does not match the range key predicate"))
        }
        (true, false) => {
            Err(ApiError::validation("The query can return at most one row and cannot be restarted"))
        }
        (true, true) => Ok(()),
    }
}

/// The stretch of the scan order that belongs to the request's segment.
fn segment_range(body: &Json<'_>) -> KeyRange {
    let number =
        |name: &str| body.get(name).and_then(Json::integer).and_then(|number| u64::try_from(number).ok());
    let (Some(segment), Some(total)) = (number("Segment"), number("TotalSegments")) else {
        return KeyRange { start: Vec::new(), end: None };
    };
    let bits = if total <= 1 << SEGMENT_BITS { SEGMENT_BITS } else { HASH_BITS };
    let hash = |segment: u64| (segment << bits).div_ceil(total) << (HASH_BITS - bits);
    let key = |hash: u64| hash.to_be_bytes()[size_of::<u64>() - rows::HASH_BYTES..].to_vec();
    let end = hash(segment + 1);
    KeyRange { start: key(hash(segment)), end: (end < 1 << HASH_BITS).then(|| key(end)) }
}

fn check_start_in_segment(body: &Json<'_>, range: &KeyRange, key: &[u8]) -> Result<(), ApiError> {
    let within = key >= range.start.as_slice() && range.end.as_ref().is_none_or(|end| key < end.as_slice());
    if within {
        return Ok(());
    }
    let number = |name: &str| body.get(name).and_then(Json::integer).unwrap_or_default();
    Err(ApiError::validation(format!(
        "The provided starting key is invalid: Invalid ExclusiveStartKey. \
         Please use ExclusiveStartKey with correct Segment. TotalSegments: {} Segment: {}",
        number("TotalSegments"),
        number("Segment")
    )))
}

#[cfg(test)]
mod tests;
