//! A DynamoDB elsewhere: the service itself, or any compatible endpoint, over HTTP/1.1.
//!
//! A request is sent once. Only a read may be sent again, from a budget. A request that the upstream rejected for its time is
//! signed again with the upstream's clock: it was rejected before it was executed. Answers pass as they came, with the headers
//! that clients act on.
//!
//! A write was certainly not sent if there was no connection, or if it never left here: no turn, an open breaker, no
//! signature. After every other failure its outcome is unknown.

mod attempt_span;
mod attempts;
mod breaker;
mod budget;
mod clock;
mod credentials;
mod endpoints;
mod gate;
mod limit;
mod outage;
mod profile;
mod reply;
mod roles;
mod sign;
mod stats;
#[cfg(test)]
mod tests;
mod transport;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::endpoint::Endpoint;
use crate::model::arn::table_name;
use crate::model::{ApiError, ErrorCode, Operation};
use crate::telemetry::Repeats;
use crate::wire::only_table;

use crate::call::{Answer, CallFuture, PrincipalRole, Request, Upstream, UpstreamError};
use attempts::Failure;
use breaker::Breaker;
use budget::RetryBudget;
use clock::UpstreamClock;
use credentials::Keyring;
use endpoints::Endpoints;
use gate::Gate;
use limit::Ended;
use outage::Outage;
use roles::Roles;
use stats::{Counts, Gauges};
use transport::{ConnectLimits, Http, Transport};

pub use credentials::Credentials;
pub use endpoints::AwsHosts;
pub use profile::Profile;
pub use sign::{Signable, Signer};
pub use stats::{Outcome, RemoteStats, RoleOutcome};
pub use transport::Network;

/// A read that was turned away may come back after a random time between these, in milliseconds.
const RETURN_MS: std::ops::RangeInclusive<u64> = 100..=300;

/// How often old connections are retired, and lines are written that are due.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// How long to wait before asking once more whether the upstream is there.
const PROBE_PAUSE: Duration = Duration::from_secs(1);

/// The longest name of a table; a client may write anything.
const TABLE_NAME_MAX: usize = 255;

/// At most one line of the log in this time for each operation and table of which requests are turned away.
const TURNED_AWAY_INTERVAL: Duration = Duration::from_secs(10);

/// After so many probes in vain, about a minute, the log says once more that the upstream cannot be used.
const UNREACHED_PROBES: u64 = 60;

/// How long clients may use the answer of DescribeEndpoints.
const ENDPOINT_PERIOD_MINUTES: u32 = 1440;

/// Errors by which an upstream may say that the clock of a signature is wrong.
const CLOCK_ERRORS: [&str; 5] = [
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "RequestExpired",
    "RequestTimeTooSkewed",
    "RequestInTheFuture",
];

/// Errors by which an upstream says that it does not know the credentials, or not any more.
const KEY_ERRORS: [&str; 4] =
    ["UnrecognizedClientException", "ExpiredTokenException", "ExpiredToken", "InvalidClientTokenId"];

/// Which upstream, and how it is used.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where it is.
    pub hosts: Hosts,
    /// The region that requests are signed for.
    pub region: String,
    /// How requests are signed.
    pub credentials: CredentialsSource,
    /// Proxies and certificates on the way there.
    pub network: Network,
    /// How long making a connection may take, the proxy and TLS included.
    pub connect_timeout: Duration,
    /// How long a read may take, its retry included.
    pub read_timeout: Duration,
    /// How long anything else may take.
    pub write_timeout: Duration,
    /// Reads at one time, and other requests at one time, at most; fewer while the upstream does better with fewer.
    pub concurrency_max: usize,
    /// This node's own address, the answer to DescribeEndpoints of a client that does not say how it has reached this
    /// node: it must not be led past the cache.
    pub address: String,
}

/// Where an upstream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hosts {
    /// The service's own hosts in the region.
    Aws(AwsHosts),
    /// One endpoint for everything.
    Single(Endpoint),
}

/// Where credentials come from.
#[derive(Clone, Debug)]
pub enum CredentialsSource {
    /// These, for good.
    Given(Credentials),
    /// The standard chain: profiles, SSO, web identity, containers, instance metadata; renewed ahead of their end.
    #[cfg(feature = "aws-credentials")]
    Chain,
}

/// A remote upstream.
pub struct Remote {
    endpoints: Endpoints,
    /// In the order of the endpoints.
    hosts: Vec<Host>,
    signer: Signer,
    /// The node's own credentials.
    keyring: Arc<Keyring>,
    /// Those of the roles on whose behalf requests come.
    roles: Roles,
    gate: Gate,
    budget: RetryBudget,
    counts: Counts,
    clock: UpstreamClock,
    unreached: Mutex<Option<String>>,
    /// Requests turned away, by operation and table.
    turned_away: Repeats<(Operation, String)>,
    settings: Settings,
}

/// One endpoint in use.
struct Host {
    endpoint: Endpoint,
    /// The `Host` header.
    authority: String,
    authority_header: HeaderValue,
    transport: Box<dyn Transport>,
    breaker: Breaker,
    outage: Outage,
}

impl Remote {
    /// Prepares an upstream; nothing is sent yet.
    ///
    /// # Errors
    /// A reason in words, if no certificates are trusted on this machine, `AWS_CA_BUNDLE` cannot be used, or the endpoint's
    /// host cannot be one.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let endpoints = match &settings.hosts {
            Hosts::Aws(hosts) => Endpoints::aws(&settings.region, hosts),
            Hosts::Single(endpoint) => Endpoints::single(endpoint.clone()),
        };
        let limits =
            ConnectLimits { timeout: settings.connect_timeout, concurrency_max: settings.concurrency_max };
        let transports = Http::to_endpoints(&endpoints.hosts, &settings.network, limits)?;
        let transports = transports.into_iter().map(|http| Box::new(http) as _).collect();
        Self::with_transports(settings, endpoints, transports)
    }

    /// An upstream over transports of the caller's, one for each endpoint.
    fn with_transports(
        settings: Settings,
        endpoints: Endpoints,
        transports: Vec<Box<dyn Transport>>,
    ) -> Result<Self, String> {
        let hosts = endpoints.hosts.iter().zip(transports).map(|(endpoint, transport)| {
            let authority = endpoint.authority();
            let authority_header =
                HeaderValue::from_str(&authority).map_err(|_| format!("{authority:?} is not a host"))?;
            let endpoint = endpoint.clone();
            Ok(Host {
                endpoint,
                authority,
                authority_header,
                transport,
                breaker: Breaker::new(),
                outage: Outage::default(),
            })
        });
        let given = match &settings.credentials {
            CredentialsSource::Given(credentials) => Some(credentials.clone()),
            #[cfg(feature = "aws-credentials")]
            CredentialsSource::Chain => None,
        };
        Ok(Self {
            hosts: hosts.collect::<Result<_, String>>()?,
            endpoints,
            signer: Signer::new(&settings.region),
            keyring: Arc::new(Keyring::new(given)),
            roles: Roles::default(),
            gate: Gate::new(settings.concurrency_max, settings.read_timeout, settings.write_timeout),
            budget: RetryBudget::new(),
            counts: Counts::default(),
            clock: UpstreamClock::new(),
            unreached: Mutex::new(Some("the upstream has not answered yet".to_owned())),
            turned_away: Repeats::new(TURNED_AWAY_INTERVAL),
            settings,
        })
    }

    /// Finds the credentials that requests are signed with.
    ///
    /// # Errors
    /// Words, when there are none.
    pub async fn load_credentials(&self) -> Result<(), String> {
        match &self.settings.credentials {
            CredentialsSource::Given(_) => Ok(()),
            #[cfg(feature = "aws-credentials")]
            CredentialsSource::Chain => self.keyring.load_from_chain(&self.settings.region).await,
        }
    }

    /// Puts these roles of principals in force and no others. Each is assumed at once, as long as the upstream is
    /// [tended](Self::tend); requests on behalf of another are not sent.
    pub fn put_roles(&self, roles: impl IntoIterator<Item = Arc<PrincipalRole>>) {
        self.roles.put(roles);
    }

    /// Does what must be done beside requests until `closing`: finds out whether the upstream is there, renews credentials,
    /// assumes roles, retires old connections.
    pub async fn tend(&self, closing: CancellationToken) {
        let chores = async { tokio::join!(self.probe_until_reached(), self.sweep()) };
        #[cfg(feature = "aws-credentials")]
        let chores = async { tokio::join!(chores, self.renew_credentials()) };
        closing.run_until_cancelled(chores).await;
    }

    /// Renews the node's own credentials and those of roles, without end.
    #[cfg(feature = "aws-credentials")]
    async fn renew_credentials(&self) {
        let region = &self.settings.region;
        let own = async {
            if let CredentialsSource::Chain = self.settings.credentials {
                self.keyring.keep_from_chain(region).await;
            }
        };
        let sts = roles::Sts::new(&self.keyring, region);
        tokio::join!(own, self.roles.keep(|role| sts.source(role)));
    }

    /// The credentials for a request that arrived then. Waits for those of a role that is being assumed for the first time, no longer
    /// than the request may take.
    ///
    /// # Errors
    /// The answer, where the role that the request is on behalf of has none.
    async fn keyring_for(
        &self,
        request: &Request,
        arrived: Instant,
    ) -> Result<Arc<Keyring>, Result<Answer, UpstreamError>> {
        let Some(role) = &request.on_behalf_of else { return Ok(Arc::clone(&self.keyring)) };
        let keyring = self.roles.keyring(role).map_err(Err)?;
        tokio::time::timeout_at(arrived + self.timeout_of(request.operation), keyring.asked()).await.ok();
        match keyring.current() {
            Ok(_) => Ok(keyring),
            Err(missing) => Err(roles::unsigned(role, &missing)),
        }
    }

    /// Why requests should not be sent here yet: the upstream has not been reached since the start, or refuses our key.
    pub fn unready(&self) -> Option<String> {
        self.unreached.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The figures now.
    pub fn stats(&self) -> RemoteStats {
        let connections_opened = self.hosts.iter().map(|host| host.transport.connections_opened()).sum();
        let open = self.hosts.iter().filter(|host| host.breaker.is_open()).count();
        let (reads_limit, writes_limit) = self.gate.limits();
        self.counts.snapshot(Gauges {
            in_flight: self.gate.in_flight() as u64,
            waiting: self.gate.waiting() as u64,
            reads_limit: reads_limit as u64,
            writes_limit: writes_limit as u64,
            connections_opened,
            open_breakers: open as u64,
            roles: self.roles.outcomes(),
        })
    }

    async fn sweep(&self) {
        loop {
            tokio::time::sleep(SWEEP_INTERVAL).await;
            for host in &self.hosts {
                host.transport.renew_connections(Instant::now());
                if let Some(line) = host.outage.due(Instant::now()) {
                    line.log(&host.endpoint, "");
                }
            }
            for ((operation, table), count) in self.turned_away.overdue(Instant::now()) {
                log_turned_away(operation, &table, count);
            }
        }
    }

    /// Asks for a table's name until the upstream answers without rejecting our credentials.
    async fn probe_until_reached(&self) {
        for probes in 1.. {
            let request = Request::new(Operation::ListTables, r#"{"Limit":1}"#);
            let call = self.prepare(&request, &self.keyring, Instant::now());
            let outcome = self.send_or_read(&call).await;
            let reason = match outcome {
                Ok(reply) if reply.answer.status < 500 => {
                    match reply
                        .error_type()
                        .filter(|name| KEY_ERRORS.contains(name) || CLOCK_ERRORS.contains(name))
                    {
                        None => break,
                        Some(name) => format!("the upstream refuses the credentials: {name}"),
                    }
                }
                Ok(reply) => format!("the upstream answers {}", reply.answer.status),
                Err(failure) => failure.into_error().to_string(),
            };
            self.note_unreached(reason, probes);
            tokio::time::sleep(PROBE_PAUSE).await;
        }
        *self.unreached.lock().unwrap_or_else(PoisonError::into_inner) = None;
        tracing::info!("The upstream answers.");
    }

    /// Notes why the upstream cannot be used, and says so when that is new, and each minute. `probes` is how often it was
    /// asked so far.
    fn note_unreached(&self, reason: String, probes: u64) {
        let mut unreached = self.unreached.lock().unwrap_or_else(PoisonError::into_inner);
        if unreached.as_ref() != Some(&reason) || probes.is_multiple_of(UNREACHED_PROBES) {
            tracing::warn!(error = reason, probes, "The upstream cannot be used yet.");
            *unreached = Some(reason);
        }
    }

    /// The answer to DescribeEndpoints: here, `asked` as the client calls it.
    fn describe_endpoints(&self, asked: Option<&str>) -> Answer {
        let address = asked.unwrap_or(&self.settings.address);
        let endpoint =
            serde_json::json!({"Address": address, "CachePeriodInMinutes": ENDPOINT_PERIOD_MINUTES});
        Answer::ok(serde_json::json!({"Endpoints": [endpoint]}).to_string())
    }
}

impl Upstream for Remote {
    fn call<'a>(&'a self, request: &'a Request) -> CallFuture<'a> {
        Box::pin(async move {
            if request.operation == Operation::DescribeEndpoints {
                return Ok(self.describe_endpoints(request.address.as_deref()));
            }
            let arrived = Instant::now();
            let keyring = match self.keyring_for(request, arrived).await {
                Ok(keyring) => keyring,
                Err(answer) => {
                    self.counts.ended(Outcome::NotSent);
                    return answer;
                }
            };
            let Ok(turn) = self.enter(request).await else {
                self.counts.ended(Outcome::Refused);
                return Err(Failure::Refused.into_error());
            };
            let Some(turn) = turn else {
                let kind = (request.operation, table_of(&request.body));
                if let Some(count) = self.turned_away.note(kind.clone(), Instant::now()) {
                    log_turned_away(kind.0, &kind.1, count);
                }
                return turned_away(request.operation);
            };
            let call = self.prepare(request, &keyring, arrived);
            let outcome = self.send_or_read(&call).await;
            let ended = match &outcome {
                Ok(reply) if reply.answer.status >= 500 || reply.is_throttled_as_a_whole() => Ended::Badly,
                Ok(reply) if reply.is_throttled() => Ended::Untold,
                Err(Failure::Refused | Failure::Unsigned(_)) => Ended::Untold,
                Ok(_) => Ended::Well,
                Err(_) => Ended::Badly,
            };
            turn.end(ended, call.took());
            outcome.map(|reply| reply.answer).map_err(Failure::into_error)
        })
    }
}

fn log_turned_away(operation: Operation, table: &str, count: u64) {
    tracing::warn!(
        op = operation.name(),
        table,
        count,
        "Turned away: too many requests wait for the upstream."
    );
}

/// The one table that a request names, for the log; empty when it is not one.
fn table_of(body: &[u8]) -> String {
    let name = only_table(body).unwrap_or_default();
    table_name(&name).chars().take(TABLE_NAME_MAX).collect()
}

/// What a request hears for which there is no turn. A reader may hear it as the service's own word for it; for a write it
/// matters first that it did not happen.
fn turned_away(operation: Operation) -> Result<Answer, UpstreamError> {
    const WORDS: &str = "Too many requests wait for the upstream; try again soon";
    if !operation.only_reads() {
        return Err(UpstreamError::NotSent(WORDS.to_owned()));
    }
    let mut answer = Answer::from(ApiError::new(ErrorCode::Throttling, WORDS));
    let pause = fastrand::u64(RETURN_MS).to_string();
    answer.headers.push(("x-amz-retry-after".to_owned(), pause));
    Ok(answer)
}
