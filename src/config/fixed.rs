//! What a running process keeps: where it listens, what stands behind it, and how it stores.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::address::ListenAddress;
use super::dax::Dax;
use super::fleet::Fleet;
use super::units::{ByteSize, Fraction};
use super::web::{HostPattern, OriginPattern};
use crate::endpoint::Endpoint;

/// What needs a restart to change.
#[derive(Clone, Debug, PartialEq)]
pub struct Fixed {
    /// Where DynamoDB clients connect.
    pub listen: ListenAddress,
    /// Where they connect with TLS; `None` without a certificate.
    pub tls_listen: Option<ListenAddress>,
    /// Names of this node that requests may use beside those of loopback.
    pub hosts: Vec<HostPattern>,
    /// Origins whose web pages may ask.
    pub cors_origins: Vec<OriginPattern>,
    /// Connections at one time; more wait in the kernel's queue.
    pub max_connections: usize,
    /// The largest request body, decompressed.
    pub request_bytes_max: ByteSize,
    /// Bytes of large request bodies in memory at one time, over all connections.
    pub bodies_bytes_max: ByteSize,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// How long requests under way may take after a signal to stop.
    pub drain_timeout: Duration,
    /// How DAX clients are served.
    pub dax: Dax,
    /// Where monitors connect.
    pub admin_listen: ListenAddress,
    /// Who may call.
    pub auth_mode: AuthMode,
    /// The number of the upstream's account, by which the ARNs in policies are compared; `None` compares no account.
    pub auth_account: Option<String>,
    /// Whether the operator accepts callers that nobody verifies, from beyond this machine.
    pub accepts_unauthenticated: bool,
    /// The region, when one is named; see [`Fixed::region`].
    pub region: Option<String>,
    /// What stands behind the cache.
    pub upstream: UpstreamKind,
    /// How a remote upstream is used.
    pub remote: RemoteLimits,
    /// Where the local backend keeps its tables.
    pub store: LocalStore,
    /// Whether all callers of the local backend see the same tables, whatever region and access key they name; otherwise
    /// each pair of these has tables of its own.
    pub share: bool,
    /// What the local backend waits for before it acknowledges a write.
    pub durability: Durability,
    /// How often the local backend looks for items whose time is over; zero never.
    pub ttl_sweep: Duration,
    /// How long the local backend tells that a table is on its way to a state; zero not at all.
    pub status_delay: Duration,
    /// How many shards a new stream of the local backend has.
    pub stream_shards: u32,
    /// How many records a shard takes before it splits.
    pub stream_shard_records_max: u64,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Where spans of requests are sent; `None` if none are recorded.
    pub otlp_endpoint: Option<Endpoint>,
    /// Which part of the requests that come without a trace are recorded as well.
    pub trace_sample: Fraction,
    /// How the node takes part in a fleet; `None` if it stands alone.
    pub fleet: Option<Fleet>,
}

/// The region of a node that was not told of one.
const REGION: &str = "us-east-1";

impl Fixed {
    /// The region in ARNs, in the health line and in signatures for the upstream.
    pub fn region(&self) -> &str {
        self.region.as_deref().unwrap_or(REGION)
    }
}

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMode {
    /// Everybody who reaches the listener. Signatures are not verified.
    None,
    /// Those with a key, whose signature of Version 4 is verified.
    SigV4,
}

/// What stands behind the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamKind {
    /// The bundled backend.
    Local,
    /// The service itself, in the region.
    Aws,
    /// Any endpoint that speaks DynamoDB.
    Endpoint(Endpoint),
}

/// How a remote upstream is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteLimits {
    /// How long making a connection may take, TLS included.
    pub connect_timeout: Duration,
    /// How long a read may take, its retry included.
    pub read_timeout: Duration,
    /// How long anything else may take.
    pub write_timeout: Duration,
    /// How long after its connection was given up a write may still take effect at the upstream. What it may change is not
    /// cached until then.
    pub unknown_write_window: Duration,
    /// Requests at one time.
    pub concurrency_max: usize,
    /// Whether the service's hosts with IPv6 addresses are used.
    pub dual_stack: bool,
    /// Whether the service's hosts with validated cryptography are used.
    pub fips: bool,
}

/// Where the local backend keeps its tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalStore {
    /// In this directory.
    Directory(PathBuf),
    /// In memory, until the process ends.
    Memory,
}

/// When a write of the local backend is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On disk: it survives a power cut.
    Fsync,
    /// With the kernel: it survives the end of the process.
    Process,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Fixed {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)).into(),
            tls_listen: None,
            hosts: Vec::new(),
            cors_origins: Vec::new(),
            max_connections: 10_000,
            request_bytes_max: ByteSize(16 << 20),
            bodies_bytes_max: ByteSize(256 << 20),
            idle_timeout: Duration::from_secs(120),
            drain_timeout: Duration::from_secs(25),
            dax: Dax::default(),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 8100)).into(),
            auth_mode: AuthMode::None,
            auth_account: None,
            accepts_unauthenticated: false,
            region: None,
            upstream: UpstreamKind::Local,
            remote: RemoteLimits {
                connect_timeout: Duration::from_secs(1),
                read_timeout: Duration::from_secs(5),
                write_timeout: Duration::from_secs(10),
                unknown_write_window: Duration::from_secs(30),
                concurrency_max: 1024,
                dual_stack: false,
                fips: false,
            },
            store: LocalStore::Directory(PathBuf::from("./nearside-data")),
            share: true,
            durability: Durability::Fsync,
            ttl_sweep: Duration::from_secs(1),
            status_delay: Duration::ZERO,
            stream_shards: 1,
            stream_shard_records_max: 100_000,
            log_format: LogFormat::Text,
            otlp_endpoint: None,
            trace_sample: Fraction::ZERO,
            fleet: None,
        }
    }
}
