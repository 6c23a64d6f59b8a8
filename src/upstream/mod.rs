//! Whatever stands behind the cache: one trait, and what a cache must know of a failed call.

pub mod measured;
pub mod remote;
pub mod request;
pub mod schemas;

use std::future::Future;
use std::pin::Pin;

pub use request::{Answer, Attempt, Request};

/// A future of an upstream's answer.
pub type CallFuture<'a> = Pin<Box<dyn Future<Output = Result<Answer, UpstreamError>> + Send + 'a>>;

/// A DynamoDB: the bundled local backend, a remote endpoint, or a script in a test.
pub trait Upstream: Send + Sync + 'static {
    /// Sends one request, once, and waits for its answer. An error of the API (a 4xx, a throttling) is an answer.
    ///
    /// Dropping the future may or may not stop the request: a dropped write has an unknown outcome.
    ///
    /// # Errors
    /// [`UpstreamError`], which says whether a write could have happened.
    fn call<'a>(&'a self, request: &'a Request) -> CallFuture<'a>;

    /// True if every read, with `ConsistentRead` or without, of a table or of an index, shows all writes that were
    /// acknowledged before it was sent. A cache then need not ask for strong reads, which cost more.
    fn never_lags(&self) -> bool {
        false
    }
}

/// Why there is no answer, as far as a cache must know.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UpstreamError {
    /// No byte of the request left: it cannot have happened.
    #[error("the request was not sent: {0}")]
    NotSent(String),
    /// It may have happened, or may happen still.
    #[error("the outcome is unknown: {0}")]
    OutcomeUnknown(String),
}
