//! The composition root: builds everything from a config, runs it, and takes it down in order.

mod backend;
mod caches;
mod descriptors;
mod engines;
mod maker;
mod realms;
mod reload;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::{TcpListener, TcpSocket};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, Hosts, Origins};
use crate::admin::Admin;
use crate::config::{Config, Fixed, UpstreamKind};
use crate::engine::{BypassReason, Source};
use crate::frontend::{self, Exchange, Observer};
use crate::model::Operation;
use crate::telemetry::{self, Metrics};

use caches::Caches;
use engines::Engines;
use maker::EngineMaker;
pub use reload::Reloader;

/// How many connections may wait to be accepted, as far as the kernel grants it. The usual 128 are full as soon as a fleet of
/// clients connects at once, and those beyond it try again only after a second.
const BACKLOG: u32 = 4096;

/// How much of an answer the kernel takes for a client who does not read it, as it counts: twice this. Left to itself it takes
/// megabytes for each such client, and when all of what it has for connections is taken, every connection suffers.
const SEND_BUFFER_BYTES: u32 = 128 * 1024;

/// How often the cache is tidied: holds that are over, entries past their time.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);

/// Why the program cannot start, in one line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

/// A server that is bound and built, and not yet serving.
pub struct Server {
    config: Config,
    live: Arc<ArcSwap<crate::config::Live>>,
    caches: Caches,
    engines: Engines,
    metrics: Arc<Metrics>,
    listener: TcpListener,
    admin_listener: TcpListener,
}

impl Server {
    /// Binds the listeners and opens what stands behind the cache. Nothing on disk is touched when a listener cannot be
    /// bound, and a remote upstream need not be there yet.
    ///
    /// # Errors
    /// [`StartError`] for an address in use, for a data directory that cannot be served, and for a remote upstream without
    /// credentials.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        descriptors::raise();
        let listener = bind(config.fixed.listen)?;
        let admin_listener = bind(config.fixed.admin_listen)?;
        let metrics = Metrics::new();
        let caches = Caches::new(&config);
        let live = Arc::new(ArcSwap::from_pointee(config.live.clone()));
        let maker = EngineMaker {
            memory: caches.memory.clone(),
            live: Arc::clone(&live),
            metrics: Arc::clone(&metrics),
        };
        let address = listener.local_addr().unwrap_or(config.fixed.listen);
        let engines = Engines::open(&config.fixed, address, maker)?;
        Ok(Self { config, live, caches, engines, metrics, listener, admin_listener })
    }

    /// Where DynamoDB clients connect: the configured address, with the port that was free when it was 0.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.config.fixed.listen)
    }

    /// What changes the config of this server while it runs.
    pub fn reloader(&self) -> Reloader {
        let (live, engines) = (Arc::clone(&self.live), self.engines.clone());
        Reloader::new(self.config.clone(), live, self.caches.clone(), engines, Arc::clone(&self.metrics))
    }

    /// Says where the server listens, and what stands behind it: the first line of the log.
    pub fn announce(&self) {
        let admin = self.admin_listener.local_addr().unwrap_or(self.config.fixed.admin_listen);
        let address = self.address();
        let upstream = self.engines.describe(&self.config.fixed);
        let words = format!(
            "nearside {} listens on http://{address}; upstream: {upstream}; metrics on http://{admin}/metrics; \
             try: aws dynamodb list-tables --endpoint-url http://{address} --region {}",
            env!("CARGO_PKG_VERSION"),
            self.config.fixed.region()
        );
        let fields = [
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("listen", format!("http://{address}")),
            ("admin", format!("http://{admin}")),
            ("upstream", upstream),
            ("region", self.config.fixed.region().to_owned()),
        ];
        telemetry::announce(&words, &fields);
    }

    /// Serves until `shutdown`, then drains: no new connections, requests under way to their end, every write and fill to its
    /// end, both within the configured time, the store closed.
    pub async fn run(self, shutdown: CancellationToken) {
        let (metrics, caches) = (Arc::clone(&self.metrics), self.caches.clone());
        let admin_address = self.admin_listener.local_addr().unwrap_or(self.config.fixed.admin_listen);
        let (counting, failing) = (self.engines.clone(), self.engines.clone());
        let admin_hosts = Hosts::of_listener(&[admin_address.ip()], &self.config.fixed.hosts);
        let admin = Admin::new(
            Access::new(admin_hosts, Origins::Own),
            Box::new(move || {
                let mut samples = caches.samples(&metrics);
                samples.extend(counting.samples());
                metrics.render(&samples)
            }),
            Box::new(move || failing.failure()),
        );
        let settings = frontend_settings(&self.config.fixed, self.address());
        let closing = CancellationToken::new();
        let admin_task = tokio::spawn(Arc::clone(&admin).serve(self.admin_listener, closing.clone()));
        let sweeper = tokio::spawn(sweep(self.caches.clone(), closing.clone()));
        let housekeeping = CancellationToken::new();
        let keeper = tokio::spawn(self.engines.clone().tend(housekeeping.clone()));
        let edge = Arc::new(Edge { metrics: Arc::clone(&self.metrics) });
        let (engines, stop_accepting) = (self.engines.clone(), CancellationToken::new());
        let serving = tokio::spawn(engines.serve(edge, settings, self.listener, stop_accepting.clone()));
        admin.set_ready(true);
        shutdown.cancelled().await;
        let begun = Instant::now();
        let drain_timeout = self.config.fixed.drain_timeout;
        tracing::info!(
            ?drain_timeout,
            "Shutdown begun: no new connections; requests in flight run to their end."
        );
        // Red before the listener closes, so that a balancer can look elsewhere.
        admin.set_ready(false);
        stop_accepting.cancel();
        let deadline = begun + drain_timeout;
        let given_up = serving.await.unwrap_or_default();
        // Writes whose clients are gone, and fills that nobody waits for any more, have a right to the same time.
        tell(given_up, self.engines.drain(deadline).await);
        housekeeping.cancel();
        keeper.await.ok();
        self.engines.close().await;
        closing.cancel();
        admin_task.await.ok();
        sweeper.await.ok();
        tracing::info!(took = ?begun.elapsed(), "Shutdown ended.");
    }
}

/// Says what did not end in time, if anything.
fn tell(given_up: frontend::GivenUp, tasks: usize) {
    if (given_up, tasks) == (frontend::GivenUp::default(), 0) {
        return;
    }
    tracing::warn!(
        requests = given_up.requests,
        connections = given_up.connections,
        tasks,
        "Gave up what was in flight when the time to drain was over: requests without an answer, connections with them, writes and fills."
    );
}

fn bind(address: SocketAddr) -> Result<TcpListener, StartError> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // As the library's own listeners do, so that a restart need not wait for the last connections to be forgotten.
        socket.set_reuseaddr(true)?;
        // Every accepted connection inherits it.
        socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bound().map_err(|error: std::io::Error| StartError(format!("cannot listen on {address}: {error}")))
}

fn frontend_settings(fixed: &Fixed, address: SocketAddr) -> frontend::Settings {
    // Behind a remote upstream are the credentials of this process; behind the local backend, what a developer put there.
    let origins = match &fixed.upstream {
        UpstreamKind::Local => Origins::ListedAndLoopback(fixed.cors_origins.clone()),
        UpstreamKind::Aws | UpstreamKind::Endpoint(_) => Origins::Listed(fixed.cors_origins.clone()),
    };
    frontend::Settings {
        region: fixed.region().to_owned(),
        access: Access::new(Hosts::of_listener(&[address.ip()], &fixed.hosts), origins),
        max_connections: descriptors::connections_max(fixed.max_connections),
        request_bytes_max: usize::try_from(fixed.request_bytes_max.0).unwrap_or(usize::MAX),
        bodies_bytes_max: usize::try_from(fixed.bodies_bytes_max.0).unwrap_or(usize::MAX),
        idle_timeout: fixed.idle_timeout,
        drain_timeout: fixed.drain_timeout,
    }
}

async fn sweep(caches: Caches, closing: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = closing.cancelled() => return,
            now = ticks.tick() => caches.sweep(now),
        }
    }
}

/// Records each exchange of the front end: one metric, one line.
struct Edge {
    metrics: Arc<Metrics>,
}

impl Edge {
    /// The table that figures are counted for: one that is not there gets no label of its own.
    fn table_of<'a>(&self, exchange: &Exchange<'a>) -> &'a str {
        let table = exchange.table.unwrap_or_default();
        let is_missing = exchange.error_type == Some("ResourceNotFoundException");
        if is_missing && !self.metrics.shows_table(table) { "" } else { table }
    }
}

impl Observer for Edge {
    fn answered(&self, exchange: &Exchange<'_>) {
        let source = match exchange.source {
            None => "refused",
            Some(Source::Hit) => "hit",
            Some(Source::Miss) => "miss",
            Some(Source::Joined) => "joined",
            Some(Source::Bypass(reason)) => {
                self.metrics.bypassed(bypass_label(reason));
                "bypass"
            }
            Some(Source::Write) => "write",
            Some(Source::Stale) => "stale",
            Some(Source::Batch { .. }) => "batch",
        };
        let table = self.table_of(exchange);
        self.metrics.answered(exchange.operation, table, source, exchange.latency);
        if exchange.status >= 400 {
            self.metrics.failed(exchange.operation, table, exchange.error_type.unwrap_or("Unknown"));
        } else if exchange.operation == Operation::DeleteTable {
            self.metrics.table_deleted(table);
        }
        tracing::debug!(
            op = exchange.operation.name(),
            table,
            source,
            code = exchange.error_type.unwrap_or_default(),
            status = exchange.status,
            latency_us = u64::try_from(exchange.latency.as_micros()).unwrap_or(u64::MAX),
            bytes = exchange.answer_bytes,
            request_id = exchange.request_id,
            "Answered."
        );
    }

    fn connection_opened(&self) {
        self.metrics.connection_opened();
    }

    fn connection_closed(&self) {
        self.metrics.connection_closed();
    }

    fn refused(&self, reason: frontend::Refusal) {
        self.metrics.refused(reason.name());
    }
}

fn bypass_label(reason: BypassReason) -> &'static str {
    match reason {
        BypassReason::Consistent => "consistent",
        BypassReason::Disabled => "disabled",
        BypassReason::Operation => "operation",
        BypassReason::NotUnderstood => "not_understood",
        BypassReason::UnknownTable => "unknown_table",
        BypassReason::IndexNotReady => "index_not_ready",
        BypassReason::Contended => "contended",
    }
}
