//! What a caching DynamoDB does with a request: serve it from memory, fill, or pass it on; and keep the promise.

use std::sync::Arc;

use crate::upstream::Answer;

/// Where an answer came from: the value of `x-nearside-cache`, and a label of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// From the cache.
    Hit,
    /// From the upstream, and offered to the cache.
    Miss,
    /// From a fill that another request had begun.
    Joined,
    /// From the upstream, past the cache.
    Bypass(BypassReason),
    /// A write, or anything else that may change state.
    Write,
    /// From the cache past its TTL, because the upstream failed.
    Stale,
    /// A BatchGetItem: how many keys came from memory and how many from the upstream.
    Batch {
        /// Keys served from memory.
        hit: u32,
        /// Keys fetched.
        miss: u32,
    },
}

/// Why a read went past the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BypassReason {
    /// `ConsistentRead` or a transaction asked for it.
    Consistent,
    /// Caching is off for the table.
    Disabled,
    /// The operation is not one that is cached.
    Operation,
    /// The request is not fully understood; the upstream will say what is wrong with it.
    NotUnderstood,
    /// The table's schema is not known.
    UnknownTable,
}

/// An answer and what the edge needs to record of it.
#[derive(Clone, Debug)]
pub struct Served {
    /// What goes to the client.
    pub answer: Answer,
    /// The CRC-32 of the body, when it is known already.
    pub crc32: Option<u32>,
    /// Where it came from.
    pub source: Source,
    /// Whole seconds since a cached answer was read from the upstream.
    pub age_seconds: Option<u64>,
    /// The table, when the request names exactly one that exists.
    pub table: Option<Arc<str>>,
}
