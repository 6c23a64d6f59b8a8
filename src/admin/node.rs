//! The node behind the admin listener: what the routes ask of it, and how it says no.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::Bytes;
use hyper::StatusCode;
use serde_json::Value;

use crate::call::Answer;
use crate::model::Operation;

/// What is still to come, as an object-safe trait has it.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A node, as the admin listener asks it. What does not return a [`Pending`] is called for each request, and must not wait.
pub trait Node: Send + Sync {
    /// The text of the metrics, for Prometheus.
    fn metrics(&self) -> String;

    /// What keeps the process from serving well, if anything does.
    fn failure(&self) -> Option<String>;

    /// How the node stands in its fleet; `None` for a node that stands alone.
    fn fleet(&self) -> Option<FleetReport>;

    /// Everything that is counted, for a person. `unready` says why requests should go elsewhere, if they should.
    fn stats(&self, unready: Option<&str>) -> Value;

    /// The config in force, key by key, without secrets.
    fn config(&self) -> Value;

    /// Drops what is cached, and returns what that was, in a few words.
    ///
    /// # Errors
    /// [`Fault`] for a table that is not there, and a key that is none of its.
    fn flush(&self, flush: Flush) -> Pending<'_, Result<String, Fault>>;

    /// Reads the config again, and returns the keys that need a restart.
    ///
    /// # Errors
    /// Everything that is wrong with it; the one in force stays.
    fn reload(&self) -> Pending<'_, Result<Vec<String>, Fault>>;

    /// Begins to read a table into the cache, or goes on with it, and returns the job.
    ///
    /// # Errors
    /// [`Fault`] for a table that cannot be warmed.
    fn warm(&self, warm: Warm) -> Pending<'_, Result<Value, Fault>>;

    /// The jobs that [`Node::warm`] has begun.
    fn warm_ups(&self) -> Value;

    /// Stops the job of a table, and returns it.
    ///
    /// # Errors
    /// [`Fault`] if there is none.
    fn stop_warm_up(&self, table: &str) -> Result<Value, Fault>;

    /// Begins to drain, as at SIGTERM, and ends the process then.
    fn quit(&self);

    /// The heaviest keys. They are users' data.
    fn hot(&self, query: HotQuery) -> Value;

    /// What the hit ratio would be with caches of other sizes.
    fn curve(&self) -> Value;

    /// What to change in the config, in sentences.
    fn advice(&self) -> Value;

    /// Answers a call of the API as any client's, where the local backend is behind the cache.
    ///
    /// # Errors
    /// [`Fault`] where that is not so, or where the call does not say whose tables it means.
    fn call(&self, call: Call) -> Pending<'_, Result<Answer, Fault>>;
}

/// What is to be dropped of the cache.
#[derive(Clone, PartialEq, Eq)]
pub enum Flush {
    /// Everything.
    Everything,
    /// What is cached of a table.
    Table(String),
    /// What is cached of an item.
    Item {
        /// Its table.
        table: String,
        /// Its key, in DynamoDB's JSON.
        key: String,
    },
}

/// Without the key, which is users' data.
impl fmt::Debug for Flush {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => formatter.write_str("Everything"),
            Self::Table(table) => formatter.debug_tuple("Table").field(table).finish(),
            Self::Item { table, key: _ } => {
                formatter.debug_struct("Item").field("table", table).finish_non_exhaustive()
            }
        }
    }
}

/// How a table is to be read into the cache.
#[derive(Clone, Debug, PartialEq)]
pub struct Warm {
    /// The table.
    pub table: String,
    /// In how many segments at a time.
    pub segments: Option<u32>,
    /// The most read units a second that it may cost.
    pub rate: Option<f64>,
    /// From the beginning, also if a former job stopped half way.
    pub restart: bool,
}

/// Which of the heaviest keys are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HotQuery {
    /// The last minute or the last ten: 60 or 600.
    pub window_seconds: u32,
    /// What makes a key heavy.
    pub order: HotOrder,
    /// Items, and partitions, at most.
    pub limit: usize,
}

/// What makes a key heavy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HotOrder {
    /// Reads and writes together.
    Accesses,
    /// Reads.
    Reads,
    /// Reads that were answered from memory.
    Hits,
    /// Writes.
    Writes,
}

/// A call of DynamoDB's API that comes over the admin listener.
#[derive(Clone)]
pub struct Call {
    /// What is called.
    pub operation: Operation,
    /// Its JSON body.
    pub body: Bytes,
    /// Whose tables are meant, where regions and access keys are kept apart.
    pub region: Option<String>,
    /// See `region`.
    pub access_key: Option<String>,
    /// Where the client of the connection is, if that is over TCP.
    pub client: Option<SocketAddr>,
}

/// Without the body, which is users' data, and the access key.
impl fmt::Debug for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, body: _, region, access_key: _, client: _ } = self;
        formatter
            .debug_struct("Call")
            .field("operation", operation)
            .field("region", region)
            .finish_non_exhaustive()
    }
}

/// The state of the fleet, as the node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetReport {
    /// A JSON object with members, positions and leases. It has names of nodes, and no keys, values or secrets.
    pub json: String,
    /// Why the node serves less than it could from memory, in a few words: it has no lease or is no member.
    pub unready: Option<String>,
}

/// Why a request has no other answer: a status, and a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub(super) status: StatusCode,
    pub(super) sentence: String,
}

impl Fault {
    /// The request is not as it should be.
    pub fn invalid(sentence: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, sentence: sentence.into() }
    }

    /// The request does not go with what there is now.
    pub fn conflict(sentence: impl Into<String>) -> Self {
        Self { status: StatusCode::CONFLICT, sentence: sentence.into() }
    }

    /// Something that is needed does not answer now.
    pub fn unavailable(sentence: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, sentence: sentence.into() }
    }

    /// What the request names is not there.
    pub fn missing(sentence: impl Into<String>) -> Self {
        Self { status: StatusCode::NOT_FOUND, sentence: sentence.into() }
    }
}
