//! What the request alone says: members that agree with one another, and expressions.

use crate::model::expr::{Bindings, Condition, Context, KeyCondition, Paths};
use crate::model::key::Direction;
use crate::model::placement::Segment;
use crate::model::{ApiError, Item, Operation};
use crate::wire::attribute::{Reader, read_item};
use crate::wire::expressions::{Placeholders, refuse_mixture};
use crate::wire::{Json, legacy, shape};

/// The two operations that read pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageKind {
    /// Query.
    Query,
    /// Scan.
    Scan,
}

/// What a request asks for, before its table is known.
#[derive(Debug)]
pub struct PageQuestion<'b> {
    pub(super) kind: PageKind,
    pub(super) body: &'b Json<'b>,
    pub(super) filter: Option<Condition>,
    /// How the service names the filter in its errors.
    pub(super) filter_name: &'static str,
    pub(super) projection: Option<Paths>,
    pub(super) start: Option<Item>,
    /// A Query has one; a Scan has none.
    pub(super) condition: Option<KeyCondition>,
    pub(super) segment: Option<Segment>,
    pub(super) limit: Option<usize>,
    pub(super) direction: Direction,
}

impl<'b> PageQuestion<'b> {
    /// Reads a body whose shape has been checked. Members that the operation does not have are passed over.
    ///
    /// # Errors
    /// The service's own, for everything that it refuses before it looks for the table.
    pub fn read(kind: PageKind, body: &'b Json<'b>) -> Result<Self, ApiError> {
        shape::judge(kind.operation(), body, |reader| match kind {
            PageKind::Query => read_query(body, reader),
            PageKind::Scan => read_scan(body, reader),
        })
    }
}

fn read_query<'b>(body: &'b Json<'b>, reader: Reader) -> Result<PageQuestion<'b>, ApiError> {
    legacy::check_attributes_to_get(body)?;
    let expressions = ["ProjectionExpression", "FilterExpression", "KeyConditionExpression"];
    let outdated = ["AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions"];
    // Old key conditions may stand beside new expressions, so long as the key has one kind of condition only.
    let doubled = body.get("KeyConditionExpression").is_some();
    refuse_mixture(body, &expressions, &outdated[..if doubled { 4 } else { 3 }])?;
    legacy::check_query_operator(body)?;
    shape::check_later(Operation::Query, "Select", body)?;
    let legacy_filter = legacy::query_filter(body, reader)?;
    let legacy_projection = legacy::attributes_to_get(body)?;
    let start = read_start(PageKind::Query, body, reader)?;
    let expression = body.get("KeyConditionExpression").and_then(Json::text);
    if expression.is_none() && body.get("KeyConditions").is_none() {
        return Err(missing_condition());
    }
    let placeholders = Placeholders::parse(body, reader)?;
    let mut bindings = placeholders.bindings();
    let condition = expression.map(|text| KeyCondition::parse(text, &mut bindings)).transpose()?;
    let filter = parse_filter(body, Context::Filter, &mut bindings)?;
    let projection = parse_projection(body, &mut bindings)?;
    bindings.finish()?;
    check_select(PageKind::Query, body, reader)?;
    // Only now is it asked whether a key could answer the condition: what is wrong with another expression counts more.
    let condition = match condition {
        Some(condition) => Some(condition.check()?),
        None => legacy::key_conditions(body, reader)?,
    };
    let backward = body.get("ScanIndexForward").and_then(Json::boolean) == Some(false);
    Ok(PageQuestion {
        kind: PageKind::Query,
        body,
        filter_name: if legacy_filter.is_some() { "QueryFilter" } else { "Filter Expression" },
        filter: legacy_filter.or(filter),
        projection: legacy_projection.or(projection),
        start,
        condition,
        segment: None,
        limit: read_limit(body),
        direction: if backward { Direction::Backward } else { Direction::Forward },
    })
}

fn read_scan<'b>(body: &'b Json<'b>, reader: Reader) -> Result<PageQuestion<'b>, ApiError> {
    legacy::check_attributes_to_get(body)?;
    let expressions = ["ProjectionExpression", "FilterExpression"];
    refuse_mixture(body, &expressions, &["AttributesToGet", "ScanFilter", "ConditionalOperator"])?;
    let legacy_filter = legacy::scan_filter(body, reader)?;
    let legacy_projection = legacy::attributes_to_get(body)?;
    let start = read_start(PageKind::Scan, body, reader)?;
    let placeholders = Placeholders::parse(body, reader)?;
    let mut bindings = placeholders.bindings();
    let filter = parse_filter(body, Context::ScanFilter, &mut bindings)?;
    let projection = parse_projection(body, &mut bindings)?;
    bindings.finish()?;
    shape::check_later(Operation::Scan, "Select", body)?;
    check_select(PageKind::Scan, body, reader)?;
    let segment = read_segment(body)?;
    Ok(PageQuestion {
        kind: PageKind::Scan,
        body,
        filter_name: "Filter Expression",
        filter: legacy_filter.or(filter),
        projection: legacy_projection.or(projection),
        start,
        condition: None,
        segment,
        limit: read_limit(body),
        direction: Direction::Forward,
    })
}

pub(super) fn missing_condition() -> ApiError {
    ApiError::validation(
        "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
    )
}

fn parse_filter(
    body: &Json<'_>,
    context: Context,
    bindings: &mut Bindings<'_>,
) -> Result<Option<Condition>, ApiError> {
    let text = body.get("FilterExpression").and_then(Json::text);
    text.map(|text| Condition::parse(text, context, bindings)).transpose()
}

fn parse_projection(body: &Json<'_>, bindings: &mut Bindings<'_>) -> Result<Option<Paths>, ApiError> {
    let text = body.get("ProjectionExpression").and_then(Json::text);
    text.map(|text| Paths::parse_projection(text, bindings)).transpose()
}

fn read_limit(body: &Json<'_>) -> Option<usize> {
    body.get("Limit").and_then(Json::integer).and_then(|limit| usize::try_from(limit).ok())
}

/// Rejects a `Select` that does not agree with the request's other parameters. The newer reader counts that among the
/// violated constraints of a Query; of a Scan few regions do (4 of 33, 2026-10).
fn check_select(kind: PageKind, body: &Json<'_>, reader: Reader) -> Result<(), ApiError> {
    let Some(select) = body.get("Select").and_then(Json::text) else { return Ok(()) };
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
    let error = ApiError::validation(fault);
    Err(match (kind, reader) {
        (PageKind::Query, Reader::Newer) => error.detected(),
        (PageKind::Query, Reader::Older) | (PageKind::Scan, _) => error,
    })
}

/// Reads `ExclusiveStartKey`.
///
/// A fault of a value has the same words as in any other parameter. A fault of its type also names the starting key. A Scan, and
/// the older reader, name it for some empty values too.
fn read_start(kind: PageKind, body: &Json<'_>, reader: Reader) -> Result<Option<Item>, ApiError> {
    let Some(start) = body.get("ExclusiveStartKey") else { return Ok(None) };
    let of_start: &[&str] = match (kind, reader) {
        (PageKind::Query, Reader::Newer) => &["Supplied AttributeValue"],
        _ => &[
            "Supplied AttributeValue",
            "One or more parameter values were invalid: Null attribute value",
            "One or more parameter values were invalid: An string set ",
            "One or more parameter values were invalid: Binary sets should not be empty",
            "Nesting Levels",
        ],
    };
    read_item(start, reader).map(Some).map_err(|error| {
        let words = error.message.as_deref().unwrap_or_default();
        match of_start.iter().any(|beginning| words.starts_with(beginning)) {
            true => ApiError::validation(format!("The provided starting key is invalid: {words}")),
            false => error,
        }
    })
}

fn read_segment(body: &Json<'_>) -> Result<Option<Segment>, ApiError> {
    let number = |name: &str| {
        let number = body.get(name).and_then(Json::integer);
        // Shapes have been checked: both lie within 0 ..= 1,000,000.
        number.and_then(|number| u32::try_from(number).ok())
    };
    match (number("Segment"), number("TotalSegments")) {
        (None, None) => Ok(None),
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
        (Some(segment), Some(total)) => Ok(Some(Segment { segment, total })),
    }
}
