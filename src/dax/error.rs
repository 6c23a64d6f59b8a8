//! Errors: DynamoDB's names and statuses as the protocol's lists of codes.

use crate::model::{ApiError, Operation};

use super::answer::Reply;

/// The answer to a request that nothing can be done with.
///
/// `operation` is `None` for what concerns only the protocol; it decides whether clients may take an outcome for unknown.
pub fn reply(error: &ApiError, operation: Option<Operation>, request_id: Option<&str>) -> Reply {
    let _ = (operation, request_id);
    Reply { bytes: Vec::new(), error: Some(error.code.into()) }
}
