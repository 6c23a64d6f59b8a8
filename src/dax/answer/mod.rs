//! DynamoDB's JSON answers to the protocol's.

use crate::call::Answer;
use crate::model::ErrorName;

use super::shape::Shape;

/// The whole answer to a request.
#[derive(Clone, Debug)]
pub struct Reply {
    /// What is to be sent, and nothing behind it.
    pub bytes: Vec<u8>,
    /// The error that it reports, for logs and metrics.
    pub error: Option<ErrorName>,
}

/// Writes an answer, success or error, in the form that the request asks for.
///
/// A success that cannot be shown in this form becomes an `InternalServerError`.
pub fn reply(answer: &Answer, shape: &Shape, request_id: Option<&str>) -> Reply {
    let _ = (shape, request_id);
    Reply { bytes: Vec::new(), error: answer.error.clone() }
}
