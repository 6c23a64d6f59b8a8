//! How a request is sent: its deadline, its turn, its attempts, and the meaning of one that brings no answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use tokio::time::Instant;

use super::attempt_span::AttemptSpan;
use super::breaker::{Turned, Verdict};
use super::credentials::{Credentials, Keyring};
use super::gate::Turn;
use super::reply::Reply;
use super::sign::{CONTENT_TYPE, Signable};
use super::stats::Outcome;
use super::transport::{Fault, Outgoing};
use super::{CLOCK_ERRORS, Host, KEY_ERRORS, Remote};
use crate::call::{Request, UpstreamError};
use crate::model::Operation;

/// Before a read is sent again, it waits for a random time between these, in milliseconds.
const RETRY_PAUSE_MS: std::ops::RangeInclusive<u64> = 25..=100;

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const USER_AGENT: &str = concat!("nearside/", env!("CARGO_PKG_VERSION"));

/// A request being sent, once or more often.
pub(super) struct Call<'a> {
    request: &'a Request,
    /// What it is signed with.
    keyring: &'a Keyring,
    target: String,
    /// When it must have ended.
    deadline: Instant,
    /// How long its last exchange took, from a ready connection on.
    took_us: AtomicU64,
}

impl Call<'_> {
    pub(super) fn took(&self) -> Duration {
        Duration::from_micros(self.took_us.load(Ordering::Relaxed))
    }

    fn note_took(&self, took: Duration) {
        self.took_us.store(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

/// The breaker opened before a request had its turn.
pub(super) struct BreakerOpen;

/// Why an attempt brought no answer.
#[derive(Debug)]
pub(super) enum Failure {
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
    pub(super) fn into_error(self) -> UpstreamError {
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
    pub(super) fn prepare<'a>(
        &self,
        request: &'a Request,
        keyring: &'a Keyring,
        arrived: Instant,
    ) -> Call<'a> {
        let timeout = self.timeout_of(request.operation);
        let deadline = match request.operation.only_reads() {
            true => arrived + timeout,
            false => Instant::now() + timeout,
        };
        let target = match &request.unknown_target {
            Some(target) => target.to_string(),
            None => request.operation.target(),
        };
        Call { target, request, keyring, deadline, took_us: AtomicU64::new(0) }
    }

    /// How long an operation may take.
    pub(super) fn timeout_of(&self, operation: Operation) -> Duration {
        if operation.only_reads() { self.settings.read_timeout } else { self.settings.write_timeout }
    }

    /// Waits for a turn, or until the breaker opens: what waits behind calls that get no answer would only wait in vain.
    pub(super) async fn enter(&self, request: &Request) -> Result<Option<Turn<'_>>, BreakerOpen> {
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
    pub(super) async fn send_or_read(&self, call: &Call<'_>) -> Result<Reply, Failure> {
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

    /// Sends a request, and once more with a new signature if the first one was rejected for its time.
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
                call.keyring.refused();
                Ok(reply)
            }
            _ => Ok(reply),
        }
    }

    /// Sends a request once, if the breaker lets it through, and counts how it ended.
    async fn attempt(&self, host: &Host, call: &Call<'_>) -> Result<Reply, Failure> {
        // Before the breaker, which must not open because a key is missing here.
        let credentials = call.keyring.current().map_err(|missing| {
            self.counts.ended(Outcome::NotSent);
            Failure::Unsigned(call.keyring.words_for_clients(&missing))
        })?;
        let Some(admission) = host.breaker.admit(Instant::now()) else {
            self.counts.ended(Outcome::Refused);
            return Err(Failure::Refused);
        };
        let span = AttemptSpan::begin(call.request);
        let exchanging = self.exchange(host, call, &credentials, &span);
        let outcome = match tokio::time::timeout_at(call.deadline, exchanging).await {
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
        #[cfg(feature = "otlp")]
        span.end(call.request, ending(&outcome));
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
        span: &AttemptSpan,
    ) -> Result<Reply, Failure> {
        let outgoing = self.signed(host, call, credentials, span).map_err(Failure::Unsigned)?;
        let exchanged = host.transport.exchange(outgoing).await;
        call.note_took(exchanged.took);
        let response = exchanged.response.map_err(|fault| match fault {
            Fault::NotConnected(reason) => Failure::NotSent(reason),
            Fault::Broken(reason) => Failure::Broken(reason),
            Fault::Invalid(reason) => Failure::Invalid(reason),
        })?;
        Reply::read(call.request.operation, response).map_err(Failure::Invalid)
    }

    fn signed(
        &self,
        host: &Host,
        call: &Call<'_>,
        credentials: &Credentials,
        span: &AttemptSpan,
    ) -> Result<Outgoing, String> {
        let body = call.request.body.clone();
        let mut headers = HeaderMap::with_capacity(10);
        headers.insert(header::HOST, host.authority_header.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        // A compressed answer would have to be unpacked before it could be checked and cached.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let target = HeaderValue::from_str(&call.target).map_err(|_| "an invalid operation".to_owned())?;
        headers.insert(TARGET, target);
        span.insert_headers(call.request, &mut headers);
        let signable = Signable { host: &host.authority, target: &call.target, body: &body };
        self.signer.sign(&signable, credentials, self.clock.now(), &mut headers)?;
        Ok(Outgoing { headers, body })
    }
}

/// The status of an attempt, if it has an answer, and its error.
#[cfg(feature = "otlp")]
fn ending(outcome: &Result<Reply, Failure>) -> (Option<u16>, Option<String>) {
    match outcome {
        Ok(reply) => {
            (Some(reply.answer.status), reply.answer.error.as_ref().map(|error| error.text().to_owned()))
        }
        Err(failure) => (None, Some(failure.outcome().label().to_owned())),
    }
}
