//! What a DAX connection is told that cannot go on.

use super::intake::Ended;
use crate::frontend::RejectReason;
use crate::model::{ApiError, ErrorCode};

/// The last words to a client, and how its end is counted.
pub(super) struct Refusal {
    /// What it is answered; `None` for a client that is gone, or speaks another protocol.
    pub(super) error: Option<ApiError>,
    /// `None` for an end that is no news.
    pub(super) reason: Option<RejectReason>,
}

impl Refusal {
    /// Of a connection that ends so within a request.
    pub(super) fn of_request(ended: &Ended) -> Self {
        let (error, reason) = match ended {
            Ended::Closed | Ended::Broken(_) => (None, None),
            Ended::Malformed(_) => {
                (Some(ApiError::validation("The request cannot be read")), Some(RejectReason::Malformed))
            }
            Ended::UnknownMethod => {
                let words = "The request's method is not known to this node";
                (Some(ApiError::new(ErrorCode::UnknownOperation, words)), Some(RejectReason::Malformed))
            }
            Ended::TooLarge => {
                (Some(ApiError::validation("The request is too large")), Some(RejectReason::BodyTooLarge))
            }
            Ended::Overloaded => {
                let words = "Too many large requests are in flight";
                (Some(ApiError::new(ErrorCode::ServiceUnavailable, words)), Some(RejectReason::Overloaded))
            }
            // The client for Go has requests that it never ends, for a table whose key it was told does not exist.
            Ended::TimedOut => {
                let words = "The request did not end in time";
                (Some(ApiError::new(ErrorCode::ResourceNotFound, words)), Some(RejectReason::TimedOut))
            }
        };
        Self { error, reason }
    }

    /// Of a connection that ends so within its preamble: nothing that came is of this protocol, so nothing is answered.
    pub(super) fn of_preamble(ended: &Ended) -> Self {
        Self { error: None, ..Self::of_request(ended) }
    }
}
