//! A DynamoDB elsewhere: the service itself, or any compatible endpoint, over HTTP/1.1.
//!
//! A request is sent once. Only a read may be sent again, from a budget. A request that the upstream rejected for its time is
//! signed again with the upstream's clock: it was rejected before it was executed. Answers pass as they came, with the headers
//! that clients act on.
//!
//! A write was certainly not sent if there was no connection, or if it never left here: no turn, an open breaker, no
//! signature. After every other failure its outcome is unknown.

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
mod sign;
mod stats;
#[cfg(test)]
mod tests;
mod transport;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::endpoint::Endpoint;
use crate::model::{ApiError, ErrorCode, Operation};
use crate::telemetry::Repeats;
use crate::wire::Json;

use crate::call::{Answer, CallFuture, Request, Upstream, UpstreamError};
use breaker::{Breaker, Turned, Verdict};
use budget::RetryBudget;
use clock::UpstreamClock;
use credentials::Keyring;
use endpoints::Endpoints;
use gate::{Gate, Turn};
use limit::Ended;
use outage::Outage;
use reply::Reply;
use sign::CONTENT_TYPE;
use stats::{Counts, Gauges};
use transport::{ConnectLimits, Fault, Http, Outgoing, Transport};

pub use credentials::Credentials;
pub use endpoints::AwsHosts;
pub use profile::Profile;
pub use sign::{Signable, Signer};
pub use stats::{Outcome, RemoteStats};
pub use transport::Network;

/// Before a read is sent again, it waits for a random time between these, in milliseconds.
const RETRY_PAUSE_MS: std::ops::RangeInclusive<u64> = 25..=100;

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

/// How long clients may keep what DescribeEndpoints told them.
const ENDPOINT_PERIOD_MINUTES: u32 = 1440;

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

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
    keyring: Keyring,
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
            keyring: Keyring::new(given),
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

    /// Does what must be done beside requests until `closing`: finds out whether the upstream is there, renews credentials,
    /// retires old connections.
    pub async fn tend(&self, closing: CancellationToken) {
        let chores = async { tokio::join!(self.probe_until_reached(), self.sweep()) };
        #[cfg(feature = "aws-credentials")]
        if let CredentialsSource::Chain = self.settings.credentials {
            let renewing = self.keyring.keep_from_chain(&self.settings.region);
            closing.run_until_cancelled(async { tokio::join!(chores, renewing) }).await;
            return;
        }
        closing.run_until_cancelled(chores).await;
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

    /// Asks for a table's name until an answer comes that is not a refusal of our credentials.
    async fn probe_until_reached(&self) {
        for probes in 1.. {
            let request = Request::new(Operation::ListTables, r#"{"Limit":1}"#);
            let outcome = self.send_or_read(&self.prepare(&request, Instant::now())).await;
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
            let call = self.prepare(request, arrived);
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
    let name = Json::parse(body).ok().and_then(|body| {
        let name = match body.get("TableName") {
            Some(name) => name.text()?,
            None => match body.get("RequestItems")?.members()? {
                [only] => &only.0,
                _ => return None,
            },
        };
        Some(name.rsplit('/').next().unwrap_or(name).chars().take(TABLE_NAME_MAX).collect())
    });
    name.unwrap_or_default()
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

/// A request being sent, once or more often.
struct Call<'a> {
    request: &'a Request,
    target: String,
    /// When it must have ended.
    deadline: Instant,
    /// How long its last exchange took, from a ready connection on.
    took_us: AtomicU64,
}

impl Call<'_> {
    fn took(&self) -> Duration {
        Duration::from_micros(self.took_us.load(Ordering::Relaxed))
    }

    fn note_took(&self, took: Duration) {
        self.took_us.store(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// The breaker opened before a request had its turn.
struct BreakerOpen;

/// Why an attempt brought no answer.
#[derive(Debug)]
enum Failure {
    /// The breaker is open.
    Refused,
    /// No byte left: the request cannot be signed.
    Unsigned(String),
    /// No byte left: there is no connection.
    NotSent(String),
    /// The connection broke; what the upstream received is not known.
    Broken(String),
    /// What came is no answer of the service.
    Invalid(String),
    /// Nothing came in time.
    TimedOut,
}

impl Failure {
    fn into_error(self) -> UpstreamError {
        match self {
            Self::Refused => {
                UpstreamError::NotSent("The upstream has been failing; try again soon".to_owned())
            }
            Self::Unsigned(reason) => {
                UpstreamError::NotSent(format!("Requests to the upstream cannot be signed: {reason}"))
            }
            Self::NotSent(reason) => {
                UpstreamError::NotSent(format!("The upstream cannot be reached: {reason}"))
            }
            Self::Broken(reason) => {
                UpstreamError::OutcomeUnknown(format!("The connection to the upstream broke: {reason}"))
            }
            Self::Invalid(reason) => {
                UpstreamError::OutcomeUnknown(format!("The upstream's answer is broken: {reason}"))
            }
            Self::TimedOut => UpstreamError::OutcomeUnknown("The upstream did not answer in time".to_owned()),
        }
    }

    /// What happened, for the log.
    fn words(&self) -> String {
        match self {
            Self::Refused => "the circuit breaker is open".to_owned(),
            Self::Unsigned(reason) | Self::NotSent(reason) => reason.clone(),
            Self::Broken(reason) | Self::Invalid(reason) => reason.clone(),
            Self::TimedOut => "no answer in time".to_owned(),
        }
    }

    fn outcome(&self) -> Outcome {
        match self {
            Self::Refused => Outcome::Refused,
            Self::Unsigned(_) | Self::NotSent(_) => Outcome::NotSent,
            Self::Broken(_) | Self::Invalid(_) => Outcome::Unknown,
            Self::TimedOut => Outcome::TimedOut,
        }
    }
}

impl Remote {
    /// A call of a request that arrived then. What a read waited counts against its timeout. A write has all of its timeout
    /// from now on: once it is sent, giving it up early would leave its outcome unknown.
    fn prepare<'a>(&self, request: &'a Request, arrived: Instant) -> Call<'a> {
        let deadline = match request.operation.only_reads() {
            true => arrived + self.settings.read_timeout,
            false => Instant::now() + self.settings.write_timeout,
        };
        let target = match &request.unknown_target {
            Some(target) => target.to_string(),
            None => request.operation.target(),
        };
        Call { target, request, deadline, took_us: AtomicU64::new(0) }
    }

    /// Waits for a turn, or until the breaker opens: what waits behind calls that get no answer would only wait in vain.
    async fn enter(&self, request: &Request) -> Result<Option<Turn<'_>>, BreakerOpen> {
        let breaker = &self.host_of(request).breaker;
        if breaker.rejects(Instant::now()) {
            return Err(BreakerOpen);
        }
        tokio::select! {
            biased;
            turn = self.gate.enter(request, &self.counts) => Ok(turn),
            () = breaker.opened() => Err(BreakerOpen),
        }
    }

    fn host_of(&self, request: &Request) -> &Host {
        &self.hosts[self.endpoints.serving(request.operation, request.unknown_target.as_deref())]
    }

    /// Sends a request the way that it may be sent.
    async fn send_or_read(&self, call: &Call<'_>) -> Result<Reply, Failure> {
        let request = call.request;
        let host = self.host_of(request);
        if request.operation.only_reads() { self.read(host, call).await } else { self.send(host, call).await }
    }

    /// Sends a read, and once more if it met a fault that may be gone with the next try.
    async fn read(&self, host: &Host, call: &Call<'_>) -> Result<Reply, Failure> {
        self.budget.earn();
        let outcome = self.send(host, call).await;
        let is_worth_another = match &outcome {
            Ok(reply) => matches!(reply.answer.status, 502..=504),
            Err(Failure::NotSent(_) | Failure::Broken(_)) => true,
            Err(Failure::Refused | Failure::Unsigned(_) | Failure::Invalid(_) | Failure::TimedOut) => false,
        };
        if !is_worth_another {
            return outcome;
        }
        if !self.budget.spend(Instant::now()) {
            self.counts.retries_denied.add_one();
            return outcome;
        }
        let pause = Duration::from_millis(fastrand::u64(RETRY_PAUSE_MS));
        if Instant::now() + pause >= call.deadline {
            return outcome;
        }
        tokio::time::sleep(pause).await;
        self.counts.retries.add_one();
        match self.send(host, call).await {
            // What the upstream said is worth more than that the breaker has opened meanwhile.
            Err(Failure::Refused) => outcome,
            second => second,
        }
    }

    /// Sends a request, with a new signature if the first was refused for its time.
    async fn send(&self, host: &Host, call: &Call<'_>) -> Result<Reply, Failure> {
        let reply = self.attempt(host, call).await?;
        let error_type = reply.error_type();
        match error_type {
            Some(name)
                if CLOCK_ERRORS.contains(&name) && reply.date.is_some_and(|date| self.clock.learn(date)) =>
            {
                self.counts.resigned.add_one();
                self.attempt(host, call).await
            }
            Some(name) if KEY_ERRORS.contains(&name) => {
                self.keyring.refused();
                Ok(reply)
            }
            _ => Ok(reply),
        }
    }

    /// Sends a request once, minds the breaker and counts.
    async fn attempt(&self, host: &Host, call: &Call<'_>) -> Result<Reply, Failure> {
        // Before the breaker, which must not open because a key is missing here.
        let credentials = self.keyring.current().map_err(|reason| {
            self.counts.ended(Outcome::NotSent);
            Failure::Unsigned(reason)
        })?;
        let Some(admission) = host.breaker.admit(Instant::now()) else {
            self.counts.ended(Outcome::Refused);
            return Err(Failure::Refused);
        };
        let outcome =
            match tokio::time::timeout_at(call.deadline, self.exchange(host, call, &credentials)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Failure::TimedOut),
            };
        let (ended, verdict) = match &outcome {
            Ok(reply) if reply.answer.status >= 500 => (Outcome::Failed, Verdict::Failed),
            Ok(reply) if reply.is_throttled() => (Outcome::Throttled, Verdict::Good),
            Ok(_) => (Outcome::Answered, Verdict::Good),
            Err(failure) => (failure.outcome(), Verdict::Failed),
        };
        self.counts.ended(ended);
        self.watch(host, &outcome);
        let url = &host.endpoint;
        match admission.settle(verdict, Instant::now()) {
            Turned::No => {}
            Turned::Opened => {
                host.transport.forget_connections();
                tracing::warn!(endpoint = %url, "Half of the last calls failed; one call a second goes through from now on.");
            }
            Turned::Closed => tracing::info!(endpoint = %url, "Calls go through again."),
        }
        outcome
    }

    /// Notes for the log whether the upstream fails. Until it has been reached for the first time, the probe has its own lines.
    fn watch(&self, host: &Host, outcome: &Result<Reply, Failure>) {
        let error = match outcome {
            Ok(reply) if reply.answer.status >= 500 => format!("status {}", reply.answer.status),
            Ok(_) => return host.outage.answered(),
            Err(failure) => failure.words(),
        };
        if self.unready().is_none()
            && let Some(line) = host.outage.failed(Instant::now())
        {
            line.log(&host.endpoint, &error);
        }
    }

    async fn exchange(
        &self,
        host: &Host,
        call: &Call<'_>,
        credentials: &Credentials,
    ) -> Result<Reply, Failure> {
        let outgoing = self.signed(host, call, credentials).map_err(Failure::Unsigned)?;
        let exchanged = host.transport.exchange(outgoing).await;
        call.note_took(exchanged.took);
        let response = exchanged.response.map_err(|fault| match fault {
            Fault::NotConnected(reason) => Failure::NotSent(reason),
            Fault::Broken(reason) => Failure::Broken(reason),
            Fault::Invalid(reason) => Failure::Invalid(reason),
        })?;
        Reply::read(call.request.operation, response).map_err(Failure::Invalid)
    }

    fn signed(&self, host: &Host, call: &Call<'_>, credentials: &Credentials) -> Result<Outgoing, String> {
        let body = call.request.body.clone();
        let mut headers = HeaderMap::with_capacity(10);
        headers.insert(header::HOST, host.authority_header.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        // A compressed answer would have to be unpacked before it could be checked and cached.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let target = HeaderValue::from_str(&call.target).map_err(|_| "an invalid operation".to_owned())?;
        headers.insert(TARGET, target);
        let signable = Signable { host: &host.authority, target: &call.target, body: &body };
        self.signer.sign(&signable, credentials, self.clock.now(), &mut headers)?;
        Ok(Outgoing { headers, body })
    }
}

const USER_AGENT: &str = concat!("nearside/", env!("CARGO_PKG_VERSION"));
