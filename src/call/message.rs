//! A request on its way to an upstream, and the answer on its way back: bytes with the few facts that matter.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::capacity::Charge;
use crate::model::{ApiError, ErrorCode, ErrorName, Item, Operation, TableSchema};

use super::role::PrincipalRole;
use super::trace::Trace;

/// A request of the API: which operation, and its body's bytes as they came or as the engine rewrote them.
#[derive(Clone, Debug)]
pub struct Request {
    /// The operation.
    pub operation: Operation,
    /// The whole `X-Amz-Target` of an operation that the table lacks, needed to forward it.
    pub unknown_target: Option<Box<str>>,
    /// The JSON body, not compressed.
    pub body: Bytes,
    /// Whether the client has tried before.
    pub attempt: Attempt,
    /// The address under which the client reaches this node, `HOST` or `HOST:PORT`, where the operation's answer has it.
    pub address: Option<Box<str>>,
    /// On whose behalf it is sent: a remote upstream's credentials for it are those of this role. `None` for the node's own. What
    /// reads or writes data for a client has that client's; what the node asks for itself has none.
    pub on_behalf_of: Option<Arc<PrincipalRole>>,
    /// The trace that the client's request is a part of. What the node asks for itself has none.
    pub trace: Option<Arc<Trace>>,
}

/// How often a client has sent a request. Where not all can be served, those who come again wait behind the others: what
/// keeps an overload alive when its cause is gone is that everyone comes again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attempt {
    /// Once, as far as it says.
    #[default]
    First,
    /// Before, without success.
    Again,
}

impl Attempt {
    /// The attempt that an SDK names in such words: `attempt=2; max=3`.
    pub fn of_words(said: &str) -> Self {
        let number = said.split(';').find_map(|part| part.trim().strip_prefix("attempt="));
        match number.and_then(|number| number.parse::<u32>().ok()) {
            Some(2..) => Self::Again,
            _ => Self::First,
        }
    }
}

impl Request {
    /// A request of a known operation, sent for the first time, on the node's own behalf.
    pub fn new(operation: Operation, body: impl Into<Bytes>) -> Self {
        Self {
            operation,
            unknown_target: None,
            body: body.into(),
            attempt: Attempt::First,
            address: None,
            on_behalf_of: None,
            trace: None,
        }
    }

    /// The same request with another body, on the same behalf.
    #[must_use]
    pub fn with_body(&self, body: impl Into<Bytes>) -> Self {
        Self { body: body.into(), ..self.clone() }
    }
}

/// An answer of the API: status and body, the error if it is one, and the id when the upstream gave one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body.
    pub body: Bytes,
    /// The error that the body reports. It is set by the maker of the answer, and nobody else looks for it in the body.
    pub error: Option<ErrorName>,
    /// Headers that must reach the client as they are, such as `x-amzn-requestid` and `x-amz-retry-after`; names in
    /// lower case.
    pub headers: Vec<(String, String)>,
    /// What the operation consumed of each table, where that is known beside the body. It is not part of what clients get.
    pub charges: Box<[Charge]>,
    /// The item that a PutItem or an UpdateItem has written, or that a GetItem of a whole item shows, if the upstream hands it
    /// over ([`super::Upstream::hands_over_items`]) and there is one. It is not part of what clients get.
    pub item: Option<Box<StoredItem>>,
    /// The schema by which a Query or a Scan was read, if the upstream hands over what it reads: every row of the page has a key of
    /// this schema, and lies in the partition that was asked for. It is not part of what clients get.
    pub read_by: Option<Arc<TableSchema>>,
}

/// An item as the upstream has stored it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredItem {
    /// Its JSON, in the one form that the local backend stores and the cache shows.
    pub json: Bytes,
    /// Its size as DynamoDB counts it.
    pub size_bytes: usize,
    /// Its attributes, if the upstream has them at hand: after a write.
    pub attributes: Option<Item>,
}

impl StoredItem {
    /// The length of an answer that has nothing but the item: `{"Item":…}`.
    pub fn answer_bytes(&self) -> usize {
        self.json.len() + br#"{"Item":}"#.len()
    }
}

impl Answer {
    /// A success with that body.
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Self {
            status: 200,
            body: body.into(),
            error: None,
            headers: Vec::new(),
            charges: Box::default(),
            item: None,
            read_by: None,
        }
    }

    /// True for a 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Why the request was rejected, if a 400 says so with one of the known codes.
    pub fn rejection(&self) -> Option<ErrorCode> {
        self.error.as_ref().filter(|_| self.status == 400)?.code()
    }
}

impl From<ApiError> for Answer {
    fn from(error: ApiError) -> Self {
        let (status, name) = (error.code.status(), error.code.into());
        Self { status, error: Some(name), ..Self::ok(error.to_json()) }
    }
}
