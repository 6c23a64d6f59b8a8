//! What stands behind the cache: the bundled backend or a remote upstream, and the little that a server must know of which.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{StartError, descriptors};
use crate::call::PrincipalRole;
use crate::config::{Durability, Fixed, LocalStore, UpstreamKind};
use crate::endpoint::{Endpoint, Scheme};
use crate::local::{self, Local, OpenError};
use crate::telemetry::CacheSample;
use crate::upstream::remote::{
    AwsHosts, Credentials, CredentialsSource, Hosts, Network, Outcome, Remote, RemoteStats, RoleOutcome,
    Settings,
};

/// What stands behind the cache.
#[derive(Clone)]
pub(super) enum Backend {
    Local(Arc<Local>),
    Remote(Arc<Remote>),
}

impl Backend {
    /// Opens the store, or prepares the remote upstream, which need not be there yet.
    ///
    /// # Errors
    /// [`StartError`] for a data directory that cannot be served, and for a remote upstream without credentials or a way there.
    pub(super) fn open(fixed: &Fixed, authority: &str) -> Result<Self, StartError> {
        let hosts = match &fixed.upstream {
            UpstreamKind::Local => return Ok(Self::Local(Arc::new(open_local(fixed, authority)?))),
            UpstreamKind::Aws => Hosts::Aws(aws_hosts(fixed)),
            UpstreamKind::Endpoint(endpoint) => Hosts::Single(endpoint.clone()),
        };
        let settings = Settings {
            credentials: credentials(&hosts)?,
            hosts,
            region: fixed.region().to_owned(),
            network: Network::from_variables(variable),
            connect_timeout: fixed.remote.connect_timeout,
            read_timeout: fixed.remote.read_timeout,
            write_timeout: fixed.remote.write_timeout,
            concurrency_max: descriptors::concurrency_max(fixed.remote.concurrency_max),
            address: authority.to_owned(),
        };
        Ok(Self::Remote(Arc::new(Remote::new(settings).map_err(StartError)?)))
    }

    /// Finds what a remote upstream's requests are signed with.
    ///
    /// # Errors
    /// [`StartError`] when there are none, and none can come without somebody's doing.
    pub(super) async fn load_credentials(&self) -> Result<(), StartError> {
        let Self::Remote(remote) = self else { return Ok(()) };
        let loaded = remote.load_credentials().await;
        loaded.map_err(|reason| {
            StartError(format!(
                "no credentials for the upstream; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, \
                 or give the machine a role ({reason})"
            ))
        })
    }

    /// Puts the roles of principals in force. The local backend knows none: a config that names some there is an error.
    pub(super) fn put_roles(&self, roles: impl IntoIterator<Item = Arc<PrincipalRole>>) {
        if let Self::Remote(remote) = self {
            remote.put_roles(roles);
        }
    }

    /// What it is, for the line that a person reads at the start.
    pub(super) fn describe(&self, fixed: &Fixed) -> String {
        match (&fixed.upstream, &fixed.store) {
            (UpstreamKind::Local, LocalStore::Directory(directory)) => {
                format!("local backend, data in {}", directory.display())
            }
            (UpstreamKind::Local, LocalStore::Memory) => "local backend, data in memory".to_owned(),
            (UpstreamKind::Aws, _) => format!("DynamoDB in {}", fixed.region()),
            (UpstreamKind::Endpoint(endpoint), _) => endpoint.to_string(),
        }
    }

    /// Why requests should not be sent to this process, if they should not.
    pub(super) fn failure(&self) -> Option<String> {
        match self {
            Self::Local(local) => local.failure(),
            Self::Remote(remote) => remote.unready(),
        }
    }

    /// Does what must be done beside requests, until `closing`.
    pub(super) async fn tend(self, closing: CancellationToken) {
        match self {
            Self::Local(local) => local.keep_house(closing).await,
            Self::Remote(remote) => remote.tend(closing).await,
        }
    }

    /// Ends it when nothing more comes.
    pub(super) async fn close(&self) {
        if let Self::Local(local) = self {
            local.close().await;
        }
    }

    /// What a remote upstream has counted.
    pub(super) fn stats(&self) -> Option<RemoteStats> {
        match self {
            Self::Local(_) => None,
            Self::Remote(remote) => Some(remote.stats()),
        }
    }

    /// What it counted by itself, under the names of the metrics.
    pub(super) fn samples(&self) -> Vec<CacheSample> {
        let Self::Remote(remote) = self else { return Vec::new() };
        let stats = remote.stats();
        let mut samples: Vec<CacheSample> = [
            ("nearside_upstream_retries_total", stats.retries),
            ("nearside_upstream_retries_denied_total", stats.retries_denied),
            ("nearside_upstream_connections_opened_total", stats.connections_opened),
            ("nearside_upstream_resigned_total", stats.resigned),
            ("nearside_upstream_queue_waits_total", stats.queue_waits),
            ("nearside_upstream_queue_refusals_total", stats.queue_refusals),
            ("nearside_upstream_in_flight", stats.in_flight),
            ("nearside_upstream_waiting", stats.waiting),
            ("nearside_upstream_breakers_open", stats.open_breakers),
        ]
        .into_iter()
        .map(|(name, value)| CacheSample::plain(name, value))
        .collect();
        samples.extend([("read", stats.reads_limit), ("write", stats.writes_limit)].map(|(kind, limit)| {
            CacheSample::labelled("nearside_upstream_concurrency_limit", "kind", kind, limit)
        }));
        samples.extend(Outcome::ALL.iter().zip(stats.outcomes).map(|(outcome, value)| {
            CacheSample::labelled("nearside_upstream_requests_total", "outcome", outcome.label(), value)
        }));
        samples.extend(RoleOutcome::ALL.iter().zip(stats.roles).map(|(outcome, value)| {
            CacheSample::labelled("nearside_upstream_role_requests_total", "outcome", outcome.label(), value)
        }));
        samples
    }
}

/// How the local backend is set up for all callers, reached at `authority`.
pub(super) fn local_settings(fixed: &Fixed, authority: &str) -> local::Settings {
    local::Settings {
        region: fixed.region().to_owned(),
        address: authority.to_owned(),
        expiry_sweep: fixed.ttl_sweep,
        status_delay: fixed.status_delay,
        shard_rules: local::ShardRules {
            initial: fixed.stream_shards,
            records_max: fixed.stream_shard_records_max,
        },
        ..local::Settings::default()
    }
}

/// What the local backend waits for before it acknowledges a write.
pub(super) fn durability(fixed: &Fixed) -> local::Durability {
    match fixed.durability {
        Durability::Fsync => local::Durability::Fsync,
        Durability::Process => local::Durability::Process,
    }
}

fn open_local(fixed: &Fixed, authority: &str) -> Result<Local, StartError> {
    let settings = local_settings(fixed, authority);
    match &fixed.store {
        LocalStore::Memory => Ok(Local::in_memory(settings)),
        LocalStore::Directory(directory) => {
            Local::open(directory, durability(fixed), settings).map_err(unopened)
        }
    }
}

/// Why a data directory cannot be served, and which flags help.
pub(super) fn unopened(error: OpenError) -> StartError {
    let remedy = match &error {
        OpenError::Unusable { .. } => "; choose another with --data-dir, or use --in-memory",
        OpenError::InUse { .. } => "; stop it, or give --data-dir or --in-memory",
        OpenError::Empty { .. } | OpenError::Newer { .. } | OpenError::Damaged { .. } => "",
    };
    StartError(format!("{error}{remedy}"))
}

fn aws_hosts(fixed: &Fixed) -> AwsHosts {
    let is_disabled = variable("AWS_ACCOUNT_ID_ENDPOINT_MODE").is_some_and(|mode| mode == "disabled");
    AwsHosts {
        dual_stack: fixed.remote.dual_stack,
        fips: fixed.remote.fips,
        account_id: variable("AWS_ACCOUNT_ID").filter(|_| !is_disabled),
    }
}

/// How requests to these hosts are signed: with the variables' access key, else as the build can.
fn credentials(hosts: &Hosts) -> Result<CredentialsSource, StartError> {
    if let Some(found) = Credentials::from_variables(variable) {
        return Ok(CredentialsSource::Given(found));
    }
    match hosts {
        // Emulators want a signature and do not look at it; nobody sends the service itself anything in the clear.
        Hosts::Single(Endpoint { scheme: Scheme::Http, .. }) => {
            tracing::warn!(
                "No AWS_ACCESS_KEY_ID is set; requests to the upstream are signed with a placeholder key."
            );
            Ok(CredentialsSource::Given(Credentials::placeholder()))
        }
        _ => chain(),
    }
}

#[cfg(feature = "aws-credentials")]
fn chain() -> Result<CredentialsSource, StartError> {
    // The library would pass over a profile that does not exist, and find the credentials of somebody else perhaps.
    crate::upstream::remote::Profile::selected(variable).map_err(StartError)?;
    Ok(CredentialsSource::Chain)
}

#[cfg(not(feature = "aws-credentials"))]
fn chain() -> Result<CredentialsSource, StartError> {
    Err(StartError(
        "no credentials for the upstream; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or build with \
         --features aws-credentials to take them from profiles, SSO, roles, containers or instance metadata"
            .to_owned(),
    ))
}

/// An environment variable that says something.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
