//! Attribute values between JSON and the model.

use crate::model::{ApiError, AttributeValue, Item};
use crate::wire::Json;

/// Decodes `{"S":"…"}`.
///
/// # Errors
/// The service's own.
pub fn value_from_json(json: &Json<'_>) -> Result<AttributeValue, ApiError> {
    let _ = json;
    Err(ApiError::validation("stub"))
}

/// Decodes `{"id":{"S":"…"}, …}`.
///
/// # Errors
/// The service's own.
pub fn item_from_json(json: &Json<'_>) -> Result<Item, ApiError> {
    let _ = json;
    Err(ApiError::validation("stub"))
}

/// Appends a value as JSON, numbers in normal form.
pub fn write_value(value: &AttributeValue, out: &mut Vec<u8>) {
    let _ = (value, out);
}

/// Appends an item as JSON, attributes in name order, numbers in normal form.
pub fn write_item(item: &Item, out: &mut Vec<u8>) {
    let _ = (item, out);
}
