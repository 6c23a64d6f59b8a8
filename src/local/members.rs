//! Members of a request's body that operations have in common.

use crate::model::ApiError;
use crate::wire::Json;

/// A member that the shape of the request demands.
pub(super) fn required<'a, 'b>(body: &'b Json<'a>, member: &str) -> Result<&'b Json<'a>, ApiError> {
    body.get(member).ok_or_else(|| {
        let (first, rest) = member.split_at(1);
        ApiError::validation(format!(
            "1 validation error detected: Value null at '{}{rest}' failed to satisfy constraint: \
             Member must not be null",
            first.to_ascii_lowercase()
        ))
    })
}

/// The table that a request names.
pub(super) fn table_name<'b>(body: &'b Json<'_>) -> Result<&'b str, ApiError> {
    Ok(required(body, "TableName")?.text().unwrap_or_default())
}

/// The text of a member; the shape has been checked, so that a missing one is an empty one.
pub(super) fn text<'a>(object: &'a Json<'_>, member: &str) -> &'a str {
    object.get(member).and_then(Json::text).unwrap_or_default()
}
