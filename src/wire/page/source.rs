//! A question held against the schema of its table: which index it means, and whether that has what is asked.
//!
//! Query and Scan are checked in orders of their own, as the service does it.

use crate::model::expr::{Condition, KeyInterval, Paths};
use crate::model::key_attribute::KeyAttribute;
use crate::model::placement::Segment;
use crate::model::schema::{IndexKind, KeySchema, Projection, TableSchema};
use crate::model::{ApiError, IndexSchema, Item, Key};
use crate::wire::Json;
use crate::wire::keys::{self, KeySource};
use crate::wire::request::ReturnConsumedCapacity;

use super::question::missing_condition;
use super::{Output, PageKind, PageQuestion, PageRange, PageRequest, RowSource, StartKey, source_key};

const INVALID_START: &str = "The provided starting key is invalid";

/// What a page reads: the table, or one of its indexes.
#[derive(Clone, Copy)]
struct Source<'s> {
    schema: &'s TableSchema,
    index: Option<(usize, &'s IndexSchema)>,
}

impl PageQuestion<'_> {
    /// Holds the question against the schema of its table.
    ///
    /// # Errors
    /// The service's own, for everything that it refuses once it knows the table.
    pub fn resolve(self, schema: &TableSchema) -> Result<PageRequest, ApiError> {
        let source = Source::of(schema, self.body)?;
        if self.kind == PageKind::Scan {
            source.check_select(self.body)?;
        }
        if let Some(start) = &self.start {
            source.check_start_shape(start, self.kind)?;
        }
        let (range, start) = match self.kind {
            PageKind::Query => self.resolve_query(source)?,
            PageKind::Scan => self.resolve_scan(source)?,
        };
        if let Some(filter) = &self.filter {
            keys::check_nested_roots(schema, filter.nested_roots())?;
        }
        let select = self.body.get("Select").and_then(Json::text);
        let rows = source.rows(select, self.projection.as_ref())?;
        let output = match (select, self.projection) {
            (Some("COUNT"), _) => Output::Count,
            (_, Some(paths)) => Output::Paths(paths),
            (_, None) => Output::Rows,
        };
        let consumed = self.body.get("ReturnConsumedCapacity").and_then(Json::text);
        Ok(PageRequest {
            index: source.index.map(|(position, _)| position),
            range,
            filter: self.filter,
            output,
            rows,
            limit: self.limit,
            direction: self.direction,
            start,
            consistent: is_consistent(self.body),
            consumed: consumed.and_then(ReturnConsumedCapacity::from_name).unwrap_or_default(),
        })
    }

    fn resolve_query(&self, source: Source<'_>) -> Result<(PageRange, Option<StartKey>), ApiError> {
        let condition = self.condition.as_ref().ok_or_else(missing_condition)?;
        let interval = condition.resolve(source.key())?;
        let start = self.start.as_ref().map(|start| source.start_key(start)).transpose()?;
        if let Some(start) = &start {
            source.check_start_within(&interval, start.source())?;
        }
        self.check_projected_paths(source.schema)?;
        if let Some(filter) = &self.filter {
            refuse_key_filter(source.key(), filter, self.filter_name)?;
            source.refuse_unprojected_filter(filter)?;
        }
        source.check_select(self.body)?;
        Ok((PageRange::Query(interval), start))
    }

    fn resolve_scan(&self, source: Source<'_>) -> Result<(PageRange, Option<StartKey>), ApiError> {
        let start = self.start.as_ref().map(|start| source.start_key(start)).transpose()?;
        if let (Some(start), Some(segment)) = (&start, self.segment) {
            check_start_in_segment(segment, start.source())?;
        }
        self.check_projected_paths(source.schema)?;
        Ok((PageRange::Scan(self.segment), start))
    }

    fn check_projected_paths(&self, schema: &TableSchema) -> Result<(), ApiError> {
        self.projection
            .as_ref()
            .map_or(Ok(()), |projection| keys::check_nested_roots(schema, projection.nested_roots()))
    }
}

fn is_consistent(body: &Json<'_>) -> bool {
    body.get("ConsistentRead").and_then(Json::boolean) == Some(true)
}

impl<'s> Source<'s> {
    fn of(schema: &'s TableSchema, body: &Json<'_>) -> Result<Self, ApiError> {
        let Some(name) = body.get("IndexName").and_then(Json::text) else {
            return Ok(Self { schema, index: None });
        };
        let mut named = schema.indexes.iter().enumerate().filter(|(_, index)| index.name == name);
        let (position, index) = named.next().ok_or_else(|| {
            ApiError::validation(format!("The table does not have the specified index: {name}"))
        })?;
        if index.kind == IndexKind::Global && is_consistent(body) {
            return Err(ApiError::validation(
                "Consistent reads are not supported on global secondary indexes",
            ));
        }
        Ok(Self { schema, index: Some((position, index)) })
    }

    fn index(&self) -> Option<&'s IndexSchema> {
        self.index.map(|(_, index)| index)
    }

    fn key(&self) -> &'s KeySchema {
        source_key(self.schema, self.index())
    }

    /// Rejects a starting key that has not exactly the attributes that it must have, each of its type.
    ///
    /// DynamoDB looks at the names first, then at the types of what is read. What is wrong with the rest of the key is
    /// reported later, as of a key. A Scan of a table itself counts the names only (recorded of 29 of 33 regions, 2026-10).
    fn check_start_shape(&self, start: &Item, kind: PageKind) -> Result<(), ApiError> {
        let has_all = start.len() == self.start_names();
        if kind == PageKind::Scan && self.index.is_none() {
            return if has_all { Ok(()) } else { Err(invalid_start(&schema_mismatch())) };
        }
        let is_named = |attribute: &KeyAttribute| start.contains_key(&attribute.name);
        if !has_all || !self.key().attributes().all(is_named) {
            return Err(ApiError::validation(INVALID_START));
        }
        let fits = |attribute: &KeyAttribute| {
            start.get(&attribute.name).is_some_and(|value| attribute.scalar_type.admits(value))
        };
        if self.key().attributes().all(fits) { Ok(()) } else { Err(schema_mismatch()) }
    }

    /// How many attributes a starting key must have.
    fn start_names(&self) -> usize {
        let table = &self.schema.key;
        let own = self.index().into_iter().flat_map(|index| index.key.attributes());
        table.attributes().count() + own.filter(|attribute| !table.contains(&attribute.name)).count()
    }

    fn start_key(&self, start: &Item) -> Result<StartKey, ApiError> {
        let key_in = |schema: &KeySchema| -> Result<Key, ApiError> {
            let attributes = schema.attributes();
            let own: Item = attributes
                .filter_map(|attribute| Some((attribute.name.clone(), start.get(&attribute.name)?.clone())))
                .collect();
            keys::key_from(schema, &own, KeySource::KeyMember)
                .map_err(|refusal| invalid_start(&ApiError::from(refusal)))
        };
        let table = key_in(&self.schema.key)?;
        let index = self.index().map(|index| key_in(&index.key)).transpose()?;
        Ok(StartKey { table, index })
    }

    /// Refuses a starting key that the query could not have stopped at. The parts of the condition are looked at in the order
    /// of the key, but for the last partition attribute, which comes behind the sort attributes.
    fn check_start_within(&self, interval: &KeyInterval, start: &Key) -> Result<(), ApiError> {
        let leading = interval.partition.len().saturating_sub(1);
        let same_partition = start.partition() == interval.partition;
        let at_most_one = "The query can return at most one row and cannot be restarted";
        let words = if start.partition()[..leading] != interval.partition[..leading] {
            at_most_one
        } else if !interval.admits_sort(start.sort()) {
            "The provided starting key does not match the range key predicate"
        } else if same_partition {
            return Ok(());
        } else if !interval.is_whole_partition() {
            at_most_one
        } else {
            "The provided starting key is outside query boundaries based on provided conditions"
        };
        Err(ApiError::validation(words))
    }

    /// Refuses a `Select` that the source cannot give.
    fn check_select(&self, body: &Json<'_>) -> Result<(), ApiError> {
        let select = body.get("Select").and_then(Json::text);
        match self.index() {
            Some(index)
                if select == Some("ALL_ATTRIBUTES")
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

    /// A query filters what the index holds, and nothing else.
    fn refuse_unprojected_filter(&self, filter: &Condition) -> Result<(), ApiError> {
        let Some(index) = self.index() else { return Ok(()) };
        let mut missing: Vec<&str> =
            filter.roots().filter(|root| !index.projects(&self.schema.key, root)).collect();
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
    fn rows(&self, select: Option<&str>, projection: Option<&Paths>) -> Result<RowSource, ApiError> {
        let Some(index) = self.index() else { return Ok(RowSource::Itself) };
        let lacks = |name: &&str| !index.projects(&self.schema.key, name);
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

/// The error of a starting key whose attributes are not of the key's types, or are others.
fn schema_mismatch() -> ApiError {
    ApiError::validation("The provided key element does not match the schema")
}

/// The error of a key, as the starting key's.
fn invalid_start(error: &ApiError) -> ApiError {
    ApiError::validation(format!("{INVALID_START}: {}", error.message.as_deref().unwrap_or_default()))
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

fn check_start_in_segment(segment: Segment, start: &Key) -> Result<(), ApiError> {
    if segment.holds(start.partition()) {
        return Ok(());
    }
    Err(ApiError::validation(format!(
        "The provided starting key is invalid: Invalid ExclusiveStartKey. \
         Please use ExclusiveStartKey with correct Segment. TotalSegments: {} Segment: {}",
        segment.total, segment.segment
    )))
}
