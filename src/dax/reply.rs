//! The whole answer to a request.

use crate::model::ErrorName;

/// The whole answer to a request.
#[derive(Clone, Debug)]
pub struct Reply {
    /// What is to be sent, and nothing behind it.
    pub bytes: Vec<u8>,
    /// The error that it reports, for logs and metrics.
    pub error: Option<ErrorName>,
}
