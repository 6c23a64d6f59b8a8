//! A call of the API, as it passes through the program: the request, the answer, and the trait of every upstream.

mod denial;
mod message;
mod role;
mod source;
#[cfg(feature = "otlp")]
mod span;
mod trace;

use std::future::Future;
use std::pin::Pin;
use std::sync::Weak;

use crate::json::Json;
use crate::model::expr::KeyInterval;
use crate::model::key::Direction;
use crate::model::{Change, Key, TableSchema};

pub use denial::{DenialReason, Verdict};
pub use message::{Answer, Attempt, Request, StoredItem};
pub use role::PrincipalRole;
pub use source::{BypassReason, Source};
#[cfg(feature = "otlp")]
pub use span::{CallSpan, Span, SpanFacts, SpanSide, SpanSink, Spans};
pub use trace::{Trace, TraceId};

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

    /// As [`Upstream::call`], for a caller that has parsed the request's body. `body` must be the tree of exactly these bytes, as
    /// [`Json::parse_request`] reads them, or else [`Json::parse_short`]. An upstream that sends bytes ignores it. A large body
    /// is read on the caller's thread.
    ///
    /// # Errors
    /// As [`Upstream::call`].
    fn call_parsed<'a>(&'a self, request: &'a Request, _body: &'a Json<'a>) -> CallFuture<'a> {
        self.call(request)
    }

    /// Reads the item under a key as a strongly consistent GetItem of the whole item does, at once and without a request. `key` are
    /// the canonical bytes of a key of `schema`, which is what the caller knows of the table.
    ///
    /// `None` if the caller must ask by [`Upstream::call`]: the upstream cannot do this, or has no such table, or the answer would be
    /// an error.
    fn item_now(&self, _schema: &TableSchema, _key: &[u8]) -> Option<ItemNow> {
        None
    }

    /// Begins a strongly consistent Query that is understood, without a request. The answer is that of a request which asks for this
    /// page and no more.
    ///
    /// `None` if the caller must ask by [`Upstream::call`], as of [`Upstream::item_now`].
    fn query_strongly<'a>(&'a self, _query: PlainQuery<'a>) -> Option<CallFuture<'a>> {
        None
    }

    /// True if the answer to each successful PutItem and UpdateItem has the item that it wrote ([`Answer::item`]), whatever
    /// `ReturnValues` the client asks for. Such an upstream hands over the whole items of reads, too, and says by which schema it has
    /// read a page ([`Answer::read_by`]).
    fn hands_over_items(&self) -> bool {
        false
    }

    /// True if every read, with `ConsistentRead` or without, of a table or of an index, shows all writes that were
    /// acknowledged before it was sent. A cache then need not ask for strong reads, which cost more.
    fn never_lags(&self) -> bool {
        false
    }

    /// Reports every change of an item to `listener`: the changes of all writers, in their order, with exactly known index
    /// partitions before and after, and each before its writer is answered. False if the upstream cannot do so, or
    /// reports to somebody else already; then it reports nothing to this one.
    fn report_changes(&self, _listener: Weak<dyn ChangeListener>) -> bool {
        false
    }
}

/// A Query for whole items of a table itself, as it was understood: nothing is left of how it was written.
#[derive(Clone, Copy, Debug)]
pub struct PlainQuery<'a> {
    /// The table, as the one who has understood the request knows it.
    pub schema: &'a TableSchema,
    /// What is read of it.
    pub interval: &'a KeyInterval,
    /// Behind which item the page begins.
    pub start: Option<&'a Key>,
    /// The most items of the page, at least 1.
    pub limit: Option<usize>,
    /// Which way the items are read.
    pub direction: Direction,
}

/// What is under a key now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemNow {
    /// This item.
    Item(StoredItem),
    /// Nothing.
    Missing,
}

/// Hears of the changes that an upstream makes. It is called on the upstream's way to every acknowledgement, so it must be quick,
/// and must not call the upstream.
pub trait ChangeListener: Send + Sync {
    /// Readers of the upstream may see these changes from now on. [`ChangeListener::changed`] follows in any case.
    fn changing(&self, changes: &[Change]);

    /// Readers of the upstream see these changes, or never will: the upstream failed to make them.
    fn changed(&self, changes: &[Change]);
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
