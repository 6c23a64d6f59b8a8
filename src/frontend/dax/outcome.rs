//! What comes of a request of the API.

use std::sync::Arc;

use super::super::exchange::verdict_of;
use super::connection::error_reply;
use crate::call::{Answer, Source, Verdict};
use crate::dax::answer::Reply;
use crate::dax::error;
use crate::engine::Served;
use crate::model::{ApiError, ErrorCode, ErrorName, Operation};

/// An answer, and what is recorded of it.
pub(super) struct Outcome {
    pub(super) reply: Reply,
    pub(super) status: u16,
    pub(super) source: Option<Source>,
    pub(super) table: Option<Arc<str>>,
    /// The index that the request names, if that is of interest.
    pub(super) index: Option<String>,
    pub(super) verdict: Verdict,
}

impl Outcome {
    /// An answer of the service's.
    pub(super) fn of_served(served: Served, reply: Reply, index: Option<String>) -> Self {
        let Served { answer, source, table, .. } = served;
        let (status, source) = (answer.status, Some(source));
        Self { reply, status, source, table, index, verdict: Verdict::Allowed }
    }

    /// An answer of the front end's own.
    pub(super) fn of_error(error: &ApiError, operation: Option<Operation>, request_id: &str) -> Self {
        Self {
            reply: error::reply(error, operation, Some(request_id)),
            status: error.code.status(),
            source: None,
            table: None,
            index: None,
            verdict: verdict_of(error.code),
        }
    }

    /// An answer that says that a table is not there, or not to be known.
    pub(super) fn of_answer(answer: &Answer, operation: Operation, request_id: &str) -> Self {
        let code = answer.error.as_ref().and_then(ErrorName::code);
        Self {
            reply: error_reply(answer, Some(operation), request_id),
            status: answer.status,
            source: None,
            table: None,
            index: None,
            verdict: code.map_or(Verdict::Allowed, verdict_of),
        }
    }
}

/// The error for what nobody is to blame for but this program.
pub(super) fn internal() -> ApiError {
    ApiError::new(ErrorCode::InternalServerError, "Internal server error")
}
