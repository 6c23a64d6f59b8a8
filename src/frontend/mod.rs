//! HTTP for DynamoDB clients: one connection is one task, one exchange one call of the service behind.
//!
//! The front end knows the protocol's envelope (methods, headers, credentials, limits, sums) and nothing of what is
//! inside a body. Where it answers by itself it answers as DynamoDB does, in the same order of checks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::call::{Answer, Request, Source, Trace, Verdict};
use crate::dax::method::Method;
use crate::engine::{Engine, ItemAtOnce, Served, Understood, describe_table, schema_of_description};
use crate::model::{ApiError, ErrorName, KeySchema, Operation, TableSchema};

mod accept;
mod answer;
mod authenticator;
mod body;
mod connection;
mod connection_credential;
mod cors;
mod credentials;
mod dax;
mod encoding;
mod exchange;
mod fault;
mod handshake;
mod head;
mod key_ring;
mod large;
mod peer;
mod plain_call;
mod plain_request;
mod rare_wake;
mod recent_heads;
mod shortcut;
mod signed_callers;
mod signed_connections;
mod stall;
mod stream;
#[cfg(test)]
mod tests;
mod timer;

pub use accept::{DaxDoors, Doors, GivenUp, TlsDoor};
pub use answer::request_id;
pub use authenticator::{AnyCaller, Authenticator, AuthorizedConnection, Caller, Presented, Unverified};
pub use connection_credential::ConnectionCredential;
pub use credentials::{Credential, CredentialScope};
pub use dax::{DaxFleet, DaxSettings, introduction};
pub use key_ring::KeyRing;
pub use signed_callers::{SignedCallers, SignedRegions};

/// What answers requests: the engine, a choice of engines by caller, or a fake in tests.
pub trait Service: Send + Sync + 'static {
    /// Whether it matters who calls. If it does not, a caller may come [without a credential](Caller::unnamed).
    const MINDS_CALLERS: bool = true;

    /// What a look at a request has understood of it.
    type Understood: Default + Send;

    /// The answer to a request, if it is there without waiting: the very one that [`Service::execute`] would give to that caller, or
    /// without one to any caller.
    ///
    /// # Errors
    /// What is understood of a request that is not so answered. It has left no trace, and is for [`Service::execute_understood`] to
    /// answer.
    fn answer_at_once(
        &self,
        _caller: Option<&Caller<'_>>,
        _request: &Request,
    ) -> Result<Served, Self::Understood> {
        Err(Self::Understood::default())
    }

    /// Answers one request; errors of the API are answers too.
    ///
    /// # Errors
    /// When there is nobody to hand the request to; the front end answers in their stead.
    fn execute(
        self: &Arc<Self>,
        caller: Caller<'_>,
        request: Request,
    ) -> impl Future<Output = Result<Served, ApiError>> + Send;

    /// The same for a request at which [`Service::answer_at_once`] has looked, for the same caller.
    ///
    /// # Errors
    /// As [`Service::execute`].
    fn execute_understood(
        self: &Arc<Self>,
        caller: Caller<'_>,
        request: Request,
        _understood: Self::Understood,
    ) -> impl Future<Output = Result<Served, ApiError>> + Send {
        self.execute(caller, request)
    }

    /// The item that memory has under a key, for any caller: the very one that a GetItem of the whole item would give. `write_key`
    /// appends the key's canonical bytes, by the key schema of the table. A read that is not so answered has left no trace.
    fn item_at_once(
        &self,
        _table: &str,
        _write_key: impl FnOnce(&KeySchema, &mut Vec<u8>) -> Option<()>,
    ) -> Option<ItemAtOnce> {
        None
    }

    /// The schema of a table if it is known without waiting, and to any caller.
    fn table_schema_at_once(&self, _table: &str) -> Option<Arc<TableSchema>> {
        None
    }

    /// The schema of a table, by its name or ARN.
    ///
    /// # Errors
    /// The answer of an operation that needs it: that there is no such table, or that the caller has no business with it.
    fn table_schema(
        self: &Arc<Self>,
        caller: Caller<'_>,
        table: &str,
    ) -> impl Future<Output = Result<Arc<TableSchema>, Box<Answer>>> + Send {
        async move {
            match self.execute(caller, describe_table(table)).await {
                Ok(served) => schema_of_description(served.answer),
                Err(error) => Err(Box::new(error.into())),
            }
        }
    }
}

/// Whoever calls.
impl Service for Engine {
    const MINDS_CALLERS: bool = false;

    type Understood = Understood;

    fn answer_at_once(&self, _: Option<&Caller<'_>>, request: &Request) -> Result<Served, Understood> {
        Self::answer_at_once(self, request)
    }

    async fn execute(self: &Arc<Self>, _: Caller<'_>, request: Request) -> Result<Served, ApiError> {
        Ok(Self::execute(self, request).await)
    }

    async fn execute_understood(
        self: &Arc<Self>,
        _: Caller<'_>,
        request: Request,
        understood: Understood,
    ) -> Result<Served, ApiError> {
        Ok(Self::execute_understood(self, request, understood).await)
    }

    fn item_at_once(
        &self,
        table: &str,
        write_key: impl FnOnce(&KeySchema, &mut Vec<u8>) -> Option<()>,
    ) -> Option<ItemAtOnce> {
        Self::item_at_once(self, table, write_key)
    }

    fn table_schema_at_once(&self, table: &str) -> Option<Arc<TableSchema>> {
        Self::table_schema_at_once(self, table)
    }

    async fn table_schema(
        self: &Arc<Self>,
        _: Caller<'_>,
        table: &str,
    ) -> Result<Arc<TableSchema>, Box<Answer>> {
        Self::table_schema(self, table).await
    }
}

/// What the edge tells of its traffic.
pub trait Observer: Send + Sync + 'static {
    /// True if it wants to know who called, which index, and which table a denied request names; all cost a little.
    fn audits(&self) -> bool {
        false
    }
    /// True if [`Observer::answered`] reports all that it records of a request that came without a trace.
    fn records_plainly(&self) -> bool {
        !self.audits()
    }
    /// The trace of a request that came with that one, or with none: the same, unless it is recorded here.
    fn trace(&self, received: Option<Trace>) -> Option<Arc<Trace>> {
        received.map(Arc::new)
    }
    /// A call of the API has its answer.
    fn answered(&self, exchange: &Exchange<'_>);
    /// A connection begins.
    fn connection_opened(&self);
    /// A connection has ended, however it did.
    fn connection_closed(&self);
    /// One of these is of a DAX client.
    fn dax_connection_opened(&self) {}
    /// A connection of a DAX client has ended.
    fn dax_connection_closed(&self) {}
    /// A request of a DAX client has its answer. What it called of the API is [reported](Observer::answered) beside that.
    fn dax_answered(&self, _answered: &DaxAnswered<'_>) {}
    /// The edge rejected a connection or a request before it was read.
    fn rejected(&self, reason: RejectReason);
}

/// By which listener a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// One of those for clients.
    Service,
    /// One of those for DAX clients.
    Dax,
    /// The admin listener: a call of the console, or of another client with the admin token.
    Admin,
}

impl Entrance {
    /// Its word in the log.
    pub fn label(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Dax => "dax",
            Self::Admin => "admin",
        }
    }
}

/// One call of the API, as the observer sees it.
#[derive(Clone, Debug)]
pub struct Exchange<'a> {
    /// By which listener it came.
    pub entrance: Entrance,
    /// What was called; `Unknown` when the target names no known operation.
    pub operation: Operation,
    /// Where the answer came from; `None` when the front end gave it.
    pub source: Option<Source>,
    /// The one table that the request names, as it spells it.
    pub table: Option<&'a str>,
    /// The index that the request names beside it, as it spells it, if the observer [audits](Observer::audits).
    pub index: Option<&'a str>,
    /// Who called, if it is verified and the observer [audits](Observer::audits).
    pub principal: Option<&'a str>,
    /// Where the client of the connection is, if that is over TCP. It may be a balancer.
    pub client: Option<SocketAddr>,
    /// Whether the caller may do this.
    pub verdict: Verdict,
    /// The HTTP status.
    pub status: u16,
    /// The error that was answered.
    pub error: Option<&'a ErrorName>,
    /// From the request's head to the answer's.
    pub latency: Duration,
    /// Bytes of the request's body as sent.
    pub request_bytes: usize,
    /// Bytes of the answer's body as sent.
    pub answer_bytes: usize,
    /// The `x-amzn-requestid` of the answer.
    pub request_id: &'a str,
    /// The trace that the request is a part of.
    pub trace: Option<&'a Trace>,
}

/// A request of a DAX client, as the observer sees it.
#[derive(Clone, Copy, Debug)]
pub struct DaxAnswered<'a> {
    /// What it asked for.
    pub method: Method,
    /// The error that was answered.
    pub error: Option<&'a ErrorName>,
    /// From the request's first byte to the answer's.
    pub latency: Duration,
    /// Bytes of the request.
    pub request_bytes: usize,
    /// Bytes of the answer.
    pub answer_bytes: usize,
    /// The request id, which errors name.
    pub request_id: &'a str,
}

/// Why the edge rejected a connection or a request before it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectReason {
    /// As many connections are open as may be; the next one waits in the kernel's queue.
    ConnectionLimit,
    /// No file descriptor or no memory was left for a connection.
    Exhausted,
    /// What came is not HTTP, or its head is too large.
    Malformed,
    /// A connection was idle, or took too long with a head or a body.
    TimedOut,
    /// A body over the limit, before or after it was decompressed.
    BodyTooLarge,
    /// Too many bytes of large bodies are in flight.
    Overloaded,
    /// The request names a host that is not served here.
    ForeignHost,
    /// The request is of a web page whose origin may not ask.
    ForeignOrigin,
    /// A TLS handshake failed, took too long, or gave way to another client.
    TlsHandshake,
}

impl RejectReason {
    /// Every reason, in the order of their definition.
    pub const ALL: [Self; 9] = [
        Self::ConnectionLimit,
        Self::Exhausted,
        Self::Malformed,
        Self::TimedOut,
        Self::BodyTooLarge,
        Self::Overloaded,
        Self::ForeignHost,
        Self::ForeignOrigin,
        Self::TlsHandshake,
    ];

    /// Its label in metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::ConnectionLimit => "connection_limit",
            Self::Exhausted => "exhausted",
            Self::Malformed => "malformed",
            Self::TimedOut => "timed_out",
            Self::BodyTooLarge => "body_too_large",
            Self::Overloaded => "overloaded",
            Self::ForeignHost => "foreign_host",
            Self::ForeignOrigin => "foreign_origin",
            Self::TlsHandshake => "tls_handshake",
        }
    }
}

/// The front end's limits and the one fact that it tells clients.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The region that the health line names.
    pub region: String,
    /// Which hosts and origins requests may name.
    pub access: Access,
    /// The same for requests over TLS.
    pub tls_access: Access,
    /// Connections open at a time.
    pub max_connections: usize,
    /// The largest body, also after decompression.
    pub request_bytes_max: usize,
    /// Bytes of large request bodies in memory at a time, over all connections; never less than the largest body takes,
    /// compressed and not.
    pub bodies_bytes_max: usize,
    /// How long a connection may be idle, or take for a request's head.
    pub idle_timeout: Duration,
    /// How long requests in flight may take once the front end shuts down.
    pub drain_timeout: Duration,
    /// What DAX clients are told.
    pub dax: DaxSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            access: Access::default(),
            tls_access: Access::default(),
            max_connections: 10_000,
            request_bytes_max: 16 * 1024 * 1024,
            bodies_bytes_max: 256 * 1024 * 1024,
            idle_timeout: Duration::from_secs(120),
            drain_timeout: Duration::from_secs(25),
            dax: DaxSettings::default(),
        }
    }
}

/// The front end: shared by every connection.
#[derive(Debug)]
pub struct Frontend<S, O, A> {
    service: Arc<S>,
    observer: Arc<O>,
    authenticator: A,
    settings: Settings,
    handshakes: handshake::Handshakes,
    /// Where DAX clients are told to connect.
    discovery: dax::Discovery,
    /// Bytes of large request bodies in memory.
    bodies: Arc<body::Budget>,
    /// Bytes of what is made of them.
    trees: large::TreeBudget,
    /// The answer to `GET /`, and its sum.
    health: (Bytes, u32),
    /// From when the process is asked to end: every answer is its connection's last.
    is_draining: AtomicBool,
    /// Asks connections to end after the request that they are at, and at once if they are at none.
    draining: CancellationToken,
    /// Ends connections at once.
    aborting: CancellationToken,
    /// Requests whose clients were cut off without an answer by that.
    cut_off: AtomicUsize,
    /// Whether plain calls are answered at the socket. Tests do without, to compare.
    has_shortcut: bool,
}

impl<S: Service, O: Observer, A: Authenticator> Frontend<S, O, A> {
    /// A front end that hands requests to that service.
    pub fn new(service: Arc<S>, observer: Arc<O>, authenticator: A, settings: Settings) -> Arc<Self> {
        let health = Bytes::from(format!("healthy: dynamodb.{}.amazonaws.com ", settings.region));
        let sum = crc32fast::hash(&health);
        let largest = settings.request_bytes_max.saturating_mul(2);
        let bodies_bytes_max = settings.bodies_bytes_max.max(largest);
        let discovery = dax::Discovery::new(&settings.dax.advertise, settings.dax.fleet.clone());
        Arc::new(Self {
            discovery,
            service,
            observer,
            authenticator,
            settings,
            handshakes: handshake::Handshakes::default(),
            bodies: Arc::new(body::Budget::new(bodies_bytes_max)),
            trees: large::TreeBudget::beside(bodies_bytes_max),
            health: (health, sum),
            is_draining: AtomicBool::new(false),
            draining: CancellationToken::new(),
            aborting: CancellationToken::new(),
            cut_off: AtomicUsize::new(0),
            has_shortcut: true,
        })
    }
}
