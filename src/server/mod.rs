//! The composition root: builds everything from a config, runs it, and takes it down in order.

mod audit;
mod backend;
mod caches;
mod comparisons;
mod dax_fleet;
mod dax_lists;
mod descriptors;
mod edge;
mod engines;
mod figures;
mod files;
mod fleet;
mod gate;
mod learned;
mod maker;
mod node;
mod realms;
mod reload;
mod running;
mod savings;
#[cfg(feature = "otlp")]
mod spans;
mod warming;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, Hosts, Origins};
use crate::admin::{Admin, AdminToken, ItemsAreFor};
use crate::config::{self, AuthMode, Config, Fixed, ListenAddress, ListenHost, Resolved, UpstreamKind};
use crate::dax::attribute_lists::AttributeLists;
use crate::frontend::{self, DaxDoors, DaxSettings, Doors, KeyRing, RejectReason, SignedCallers, TlsDoor};
use crate::listen::Listeners;
use crate::stopped_time::StoppedTime;
use crate::telemetry::{self, Metrics};
use crate::tls::TlsServer;

use audit::AuditLevel;
use caches::Caches;
use edge::{Edge, SlowFrom};
use engines::{Engines, VerifiedCallers};
pub use files::LoadedFiles;
pub use fleet::probe_fleet;
use fleet::{FleetPart, FleetPlan};
use maker::EngineMaker;
use reload::ReloadAsks;
pub use reload::{ReloadAsk, Reloaded, Reloader};
use running::{RunningNode, Started};
use warming::WarmUps;

/// How often the cache is tidied (holds that are over, entries past their time), and lines are written that are due.
const SWEEP_INTERVAL: Duration = Duration::from_millis(250);

/// How long a node that leaves its fleet waits for the bus to take its last reports.
const LEAVE_PATIENCE: Duration = Duration::from_secs(2);

/// Why the program cannot start, in one line.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(String);

/// A server that is bound and built, and not yet serving.
pub struct Server {
    config: Config,
    /// The same with what a reload changes, and where it was written.
    in_force: Arc<Mutex<Resolved>>,
    live: Arc<ArcSwap<crate::config::Live>>,
    keys: Arc<ArcSwap<KeyRing>>,
    caches: Caches,
    engines: Engines,
    fleet: Option<FleetPart>,
    metrics: Arc<Metrics>,
    slow: Arc<SlowFrom>,
    audit: Arc<AuditLevel>,
    admin_token: Arc<AdminToken>,
    reload_asks: ReloadAsks,
    warm_ups: WarmUps,
    doors: Doors,
    dax_lists: Arc<AttributeLists>,
    admin_listeners: Listeners,
    #[cfg(feature = "otlp")]
    tracing: Option<(telemetry::Tracer, telemetry::SpanExport)>,
}

impl Server {
    /// Binds the listeners and opens what stands behind the cache. `files` are those that the config names. No data on disk is
    /// touched when a listener cannot be bound, and a remote upstream need not be there yet.
    ///
    /// # Errors
    /// [`StartError`] for an address in use, for a data directory that cannot be served, and for a remote upstream without
    /// credentials.
    pub async fn start(resolved: Resolved, files: LoadedFiles) -> Result<Self, StartError> {
        descriptors::raise();
        let config = resolved.config.clone();
        let LoadedFiles { keys, admin_token, tls, .. } = files;
        let plain = Listeners::bind(&config.fixed.listen, "--listen").await.map_err(StartError)?;
        let tls = match config.fixed.tls_listen.as_ref().zip(tls) {
            Some((address, loaded)) => {
                let listeners = Listeners::bind(address, "--tls-listen").await.map_err(StartError)?;
                Some(TlsDoor { listeners, server: TlsServer::new(loaded) })
            }
            None => None,
        };
        let dax = bind_dax(&config.fixed.dax, tls.as_ref()).await?;
        let doors = Doors { plain, tls, dax };
        let admin_listeners =
            Listeners::bind(&config.fixed.admin_listen, "--admin-listen").await.map_err(StartError)?;
        #[cfg(feature = "otlp")]
        let tracing = spans::tracer(&config.fixed)?;
        let metrics = Metrics::new(&RejectReason::ALL.map(RejectReason::label));
        let plan = FleetPlan::of(&config)?;
        if let Some(plan) = &plan {
            plan.log_in().await?;
        }
        let stopped = Arc::new(StoppedTime::of_this_machine());
        let caches = Caches::new(&config, plan.as_ref().map(|plan| plan.memory(&stopped)), &stopped);
        let live = Arc::new(ArcSwap::from_pointee(config.live.clone()));
        let maker = EngineMaker {
            memory: caches.memory.clone(),
            live: Arc::clone(&live),
            metrics: Arc::clone(&metrics),
        };
        let authority = authority(&config.fixed.listen, &doors.plain.addresses());
        let engines = Engines::open(&config.fixed, &authority, maker).await?;
        let dax_lists = dax_lists::open(&config.fixed).await?;
        let fleet = plan.zip(engines.sole()).map(|(plan, engine)| plan.begin(engine, &metrics, stopped));
        engines.put_roles(keys.roles());
        let slow = SlowFrom::new(config.live.log_slow);
        let audit = AuditLevel::new(config.live.audit);
        let keys = Arc::new(ArcSwap::from_pointee(keys));
        let admin_token = AdminToken::new(admin_token, items_are_for(&config.fixed));
        Ok(Self {
            config,
            in_force: Arc::new(Mutex::new(resolved)),
            live,
            keys,
            caches,
            engines,
            fleet,
            metrics,
            slow,
            audit,
            admin_token,
            reload_asks: ReloadAsks::default(),
            warm_ups: WarmUps::default(),
            doors,
            dax_lists,
            admin_listeners,
            #[cfg(feature = "otlp")]
            tracing,
        })
    }

    /// Where it listens for clients: the first address of several.
    ///
    /// # Errors
    /// Words, where it listens on a Unix socket.
    pub fn address(&self) -> Result<SocketAddr, String> {
        address_of(&self.doors.plain)
    }

    /// Where it listens for DAX clients without TLS.
    ///
    /// # Errors
    /// Words, where it does not.
    pub fn dax_address(&self) -> Result<SocketAddr, String> {
        self.doors.dax.plain.as_ref().map_or_else(|| Err("there is no DAX listener".to_owned()), address_of)
    }

    /// Where its admin listener is.
    ///
    /// # Errors
    /// Words, where it listens on a Unix socket.
    pub fn admin_address(&self) -> Result<SocketAddr, String> {
        address_of(&self.admin_listeners)
    }

    /// What changes the config of this server while it runs.
    pub fn reloader(&self) -> Reloader {
        Reloader {
            config: Arc::clone(&self.in_force),
            live: Arc::clone(&self.live),
            keys: Arc::clone(&self.keys),
            tls: self.tls(),
            caches: self.caches.clone(),
            engines: self.engines.clone(),
            metrics: Arc::clone(&self.metrics),
            slow: Arc::clone(&self.slow),
            audit: Arc::clone(&self.audit),
            admin_token: Arc::clone(&self.admin_token),
            asked: self.reload_asks.listen(),
        }
    }

    fn tls(&self) -> Option<Arc<TlsServer>> {
        self.doors.tls.as_ref().map(|door| Arc::clone(&door.server))
    }

    /// Says where the server listens, and what stands behind it: the first line of the log.
    pub fn announce(&self) {
        let fixed = &self.config.fixed;
        let admin = url("http", &fixed.admin_listen, &self.admin_listeners, authority_of);
        let metrics = match fixed.admin_listen.host() {
            ListenHost::Unix(_) => format!("/metrics on {admin}"),
            _ => format!("console on {admin}/; metrics on {admin}/metrics"),
        };
        let listens = url("http", &fixed.listen, &self.doors.plain, bound);
        let tls = fixed.tls_listen.as_ref().zip(self.doors.tls.as_ref());
        let tls = tls.map(|(listen, door)| url("https", listen, &door.listeners, bound));
        let with_tls = tls.as_ref().map_or_else(String::new, |tls| format!("; with TLS on {tls}"));
        let dax = self.dax_urls();
        let with_dax = if dax.is_empty() { String::new() } else { format!("; DAX on {}", dax.join(" and ")) };
        let mut upstream = self.engines.describe(&self.config.fixed);
        if let Some(fleet) = &self.config.fixed.fleet {
            upstream.push_str(&format!("; fleet: {} over {} as {}", fleet.name, fleet.url, fleet.node));
        }
        let words = format!(
            "nearside {} listens on {listens}{with_tls}{with_dax}; upstream: {upstream}; {metrics}; try: {}",
            env!("CARGO_PKG_VERSION"),
            self.first_call()
        );
        let mut fields = vec![
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("listen", listens),
            ("admin", admin),
            ("upstream", upstream),
            ("region", self.config.fixed.region().to_owned()),
        ];
        fields.extend(tls.map(|tls| ("tls_listen", tls)));
        if !dax.is_empty() {
            fields.push(("dax", dax.join(", ")));
        }
        telemetry::announce(&words, &fields);
    }

    /// Where DAX clients connect, as they write it.
    fn dax_urls(&self) -> Vec<String> {
        let (dax, doors) = (&self.config.fixed.dax, &self.doors.dax);
        let plain = dax.listen.as_ref().zip(doors.plain.as_ref());
        let tls = dax.tls_listen.as_ref().zip(doors.tls.as_ref());
        let plain = plain.map(|(listen, listeners)| url("dax", listen, listeners, bound));
        let tls = tls.map(|(listen, door)| url("daxs", listen, &door.listeners, bound));
        plain.into_iter().chain(tls).collect()
    }

    /// A command that shows that the server answers.
    fn first_call(&self) -> String {
        let fixed = &self.config.fixed;
        match fixed.listen.host() {
            ListenHost::Unix(path) => format!("curl --unix-socket {} http://localhost/", path.display()),
            ListenHost::Every | ListenHost::Localhost | ListenHost::Address(_) | ListenHost::Name(_) => {
                let endpoint = url("http", &fixed.listen, &self.doors.plain, authority_of);
                format!("aws dynamodb list-tables --endpoint-url {endpoint} --region {}", fixed.region())
            }
        }
    }

    /// What the admin listener shows.
    fn admin(&self, edge: &Arc<Edge>, shutdown: &CancellationToken) -> Arc<Admin> {
        let fixed = &self.config.fixed;
        let node = RunningNode {
            started: Started::now(),
            listen: url("http", &fixed.listen, &self.doors.plain, bound),
            dax: self.dax_urls(),
            dax_lists: fixed.dax.is_on().then(|| Arc::clone(&self.dax_lists)),
            tls_listen: fixed
                .tls_listen
                .as_ref()
                .zip(self.doors.tls.as_ref())
                .map(|(listen, door)| url("https", listen, &door.listeners, bound)),
            upstream: self.engines.describe(fixed),
            fixed: fixed.clone(),
            in_force: Arc::clone(&self.in_force),
            caches: self.caches.clone(),
            engines: self.engines.clone(),
            fleet: self.fleet.clone(),
            metrics: Arc::clone(&self.metrics),
            admin_token: Arc::clone(&self.admin_token),
            tls: self.tls(),
            reload_asks: self.reload_asks.clone(),
            warm_ups: self.warm_ups.clone(),
            edge: Arc::clone(edge),
            shutdown: shutdown.clone(),
        };
        let hosts = hosts(&self.admin_listeners, &fixed.admin_listen, fixed);
        Admin::new(
            Access::new(hosts, Origins::Own),
            Arc::clone(&self.admin_token),
            Arc::new(node),
            authority_of(&fixed.listen, &self.doors.plain),
        )
    }

    /// What DAX clients are told. Introduces the node to its fleet.
    fn dax_settings(&self) -> DaxSettings {
        let fixed = &self.config.fixed;
        DaxSettings {
            advertise: fixed.dax.advertise.clone(),
            lists: Arc::clone(&self.dax_lists),
            fleet: dax_fleet::join(fixed, &self.doors.dax, self.fleet.as_ref()),
        }
    }

    /// Creates the observer of calls, and begins to export their spans where that is asked for.
    fn begin_recording(&mut self, closing: &CancellationToken) -> (Arc<Edge>, Option<JoinHandle<()>>) {
        let edge = Edge::new(Arc::clone(&self.metrics), Arc::clone(&self.slow), Arc::clone(&self.audit));
        #[cfg(feature = "otlp")]
        let (edge, exporting) = spans::begin(self.tracing.take(), edge, closing);
        #[cfg(not(feature = "otlp"))]
        let (exporting, _) = (None, closing);
        (Arc::new(edge), exporting)
    }

    /// Serves until `shutdown`, then drains: no new connections, requests in flight to their end, every write and fill to its
    /// end, both within the configured time, the store closed.
    pub async fn run(mut self, shutdown: CancellationToken) {
        let closing = CancellationToken::new();
        let (edge, exporting) = self.begin_recording(&closing);
        let admin = self.admin(&edge, &shutdown);
        let settings = frontend_settings(&self.config.fixed, &self.doors, self.dax_settings());
        let callers = match self.config.fixed.auth_mode {
            AuthMode::None => None,
            AuthMode::SigV4 => {
                let regions = self.engines.signed_regions(&self.config.fixed);
                let fixed = &self.config.fixed;
                Some(VerifiedCallers {
                    callers: SignedCallers::new(Arc::clone(&self.keys), regions, fixed.region()),
                    region: fixed.region().into(),
                    account: fixed.auth_account.as_deref().map(Into::into),
                })
            }
        };
        let tls = self.tls();
        let admin_task = tokio::spawn(Arc::clone(&admin).serve(self.admin_listeners, closing.clone()));
        let sweeper = tokio::spawn(sweep(self.caches.clone(), Arc::clone(&edge), tls, closing.clone()));
        let housekeeping = CancellationToken::new();
        let keeper = tokio::spawn(self.engines.clone().tend(housekeeping.clone()));
        let leaving = CancellationToken::new();
        let in_fleet = self.fleet.map(|fleet| tokio::spawn(fleet.run(leaving.clone(), LEAVE_PATIENCE)));
        let (engines, stop_accepting) = (self.engines.clone(), CancellationToken::new());
        let serving =
            tokio::spawn(engines.serve(edge, settings, callers, self.doors, stop_accepting.clone()));
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
        self.warm_ups.close().await;
        let deadline = begun + drain_timeout;
        let given_up = serving.await.unwrap_or_default();
        // Writes whose clients are gone, and fills that nobody waits for any more, have a right to the same time.
        tell(given_up, self.engines.drain(deadline).await);
        // After the last write, which waits for the fleet.
        leaving.cancel();
        if let Some(in_fleet) = in_fleet {
            in_fleet.await.ok();
        }
        housekeeping.cancel();
        keeper.await.ok();
        self.engines.close().await;
        closing.cancel();
        admin_task.await.ok();
        sweeper.await.ok();
        if let Some(exporting) = exporting {
            exporting.await.ok();
        }
        tracing::info!(took = ?begun.elapsed(), "Shutdown ended.");
    }
}

/// Binds the listeners for DAX clients, those with TLS under the certificate of the other TLS listener.
async fn bind_dax(dax: &config::Dax, tls: Option<&TlsDoor>) -> Result<DaxDoors, StartError> {
    let plain = match &dax.listen {
        Some(address) => Some(Listeners::bind(address, "--dax-listen").await.map_err(StartError)?),
        None => None,
    };
    let tls = match dax.tls_listen.as_ref().zip(tls) {
        Some((address, door)) => {
            let listeners = Listeners::bind(address, "--dax-tls-listen").await.map_err(StartError)?;
            Some(TlsDoor { listeners, server: Arc::clone(&door.server) })
        }
        None => None,
    };
    Ok(DaxDoors { plain, tls })
}

fn address_of(listeners: &Listeners) -> Result<SocketAddr, String> {
    listeners.addresses().first().copied().ok_or_else(|| "a Unix socket has no address".to_owned())
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

/// Who may have items over the admin listener. Without verified callers everybody on this machine has them; off loopback only the
/// operator's consent says the same of whoever comes.
fn items_are_for(fixed: &Fixed) -> ItemsAreFor {
    let is_near = fixed.admin_listen.is_loopback() || fixed.accepts_unauthenticated;
    match fixed.auth_mode {
        AuthMode::None if is_near => ItemsAreFor::Everybody,
        AuthMode::None | AuthMode::SigV4 => ItemsAreFor::TheToken,
    }
}

/// The host and port by which a client on this machine reaches a listener.
fn authority(listen: &ListenAddress, addresses: &[SocketAddr]) -> String {
    let port = addresses.first().map_or(listen.port(), SocketAddr::port);
    match (listen.host(), addresses.first()) {
        (ListenHost::Address(_), Some(address)) if !address.ip().is_unspecified() => address.to_string(),
        (ListenHost::Name(name), _) => format!("{name}:{port}"),
        // Whatever has found the socket needs a name for it all the same.
        (ListenHost::Unix(_), _) => "localhost".to_owned(),
        (ListenHost::Every | ListenHost::Localhost | ListenHost::Address(_), _) => {
            format!("localhost:{port}")
        }
    }
}

fn authority_of(listen: &ListenAddress, listeners: &Listeners) -> String {
    authority(listen, &listeners.addresses())
}

/// A listener as a person writes it: a URL with what `place` says, or the path of a Unix socket.
fn url(
    scheme: &str,
    listen: &ListenAddress,
    listeners: &Listeners,
    place: fn(&ListenAddress, &Listeners) -> String,
) -> String {
    match listen.host() {
        ListenHost::Unix(_) => listen.to_string(),
        ListenHost::Every | ListenHost::Localhost | ListenHost::Address(_) | ListenHost::Name(_) => {
            format!("{scheme}://{}", place(listen, listeners))
        }
    }
}

/// What a listener listens on: as [`authority`], but every interface is said to be just that.
fn bound(listen: &ListenAddress, listeners: &Listeners) -> String {
    let addresses = listeners.addresses();
    match addresses.first() {
        Some(address) if address.ip().is_unspecified() => address.to_string(),
        _ => authority(listen, &addresses),
    }
}

/// The hosts that requests to a listener may name.
fn hosts(listeners: &Listeners, listen: &ListenAddress, fixed: &Fixed) -> Hosts {
    let addresses: Vec<_> = listeners.addresses().iter().map(SocketAddr::ip).collect();
    let hosts = Hosts::of_listener(&addresses, &fixed.hosts);
    match listen.host() {
        // What was configured as its address is a name of it.
        ListenHost::Name(name) => name.parse().map_or(hosts.clone(), |name| hosts.with(name)),
        // A Unix socket has no address, and what has none is on loopback.
        ListenHost::Every | ListenHost::Localhost | ListenHost::Address(_) | ListenHost::Unix(_) => hosts,
    }
}

fn frontend_settings(fixed: &Fixed, doors: &Doors, dax: DaxSettings) -> frontend::Settings {
    // Behind a remote upstream are the credentials of this process; behind the local backend, what a developer put there.
    let origins = match &fixed.upstream {
        UpstreamKind::Local => Origins::ListedAndLoopback(fixed.cors_origins.clone()),
        UpstreamKind::Aws | UpstreamKind::Endpoint(_) => Origins::Listed(fixed.cors_origins.clone()),
    };
    // Each listener for itself: one off loopback must not open the other.
    let access = Access::new(hosts(&doors.plain, &fixed.listen, fixed), origins.clone());
    let tls_access = match (&fixed.tls_listen, &doors.tls) {
        (Some(listen), Some(door)) => Access::new(hosts(&door.listeners, listen, fixed), origins),
        (None, _) | (_, None) => access.clone(),
    };
    frontend::Settings {
        region: fixed.region().to_owned(),
        access,
        tls_access,
        max_connections: descriptors::connections_max(fixed.max_connections),
        request_bytes_max: usize::try_from(fixed.request_bytes_max.0).unwrap_or(usize::MAX),
        bodies_bytes_max: usize::try_from(fixed.bodies_bytes_max.0).unwrap_or(usize::MAX),
        idle_timeout: fixed.idle_timeout,
        drain_timeout: fixed.drain_timeout,
        dax,
    }
}

async fn sweep(caches: Caches, edge: Arc<Edge>, tls: Option<Arc<TlsServer>>, closing: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = closing.cancelled() => {
                edge.report_rest(Instant::now());
                return;
            }
            now = ticks.tick() => {
                // A pass over a part of a large cache takes milliseconds, in which a worker would answer nobody.
                // Not by `offload`: its threads have a low priority, and this one takes locks that hits need.
                let swept = caches.clone();
                let done = tokio::task::spawn_blocking(move || swept.sweep(now)).await;
                if let Some(panic) = done.err().and_then(|error| error.try_into_panic().ok()) {
                    std::panic::resume_unwind(panic);
                }
                edge.report_overdue(now);
                if let Some(reminder) = tls.as_ref().and_then(|tls| tls.reminder(now)) {
                    tracing::warn!("{reminder}");
                }
                give_memory_back();
            }
        }
    }
}

/// Has the allocator give back what has been free for its purge delay, a second. It looks for that only when a block goes back
/// that has a span of its own; without one, an idle process keeps what a large request left for as long as it is idle.
fn give_memory_back() {
    const SPAN_BYTES: usize = 1 << 20;
    drop(std::hint::black_box(Vec::<u8>::with_capacity(SPAN_BYTES)));
}
