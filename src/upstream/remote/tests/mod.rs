//! The remote upstream against a scripted transport, with the clock stopped; `sockets` and `proxies` use real ones.

mod proxies;
#[cfg(feature = "aws-credentials")]
mod roles;
mod server;
mod sockets;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, Response};

use super::transport::{Exchanged, Exchanging, Fault, Outgoing};
use super::*;
use crate::call::Trace;

/// What the endpoint does with a request.
enum Reaction {
    /// Answers with these headers and body.
    Answer(u16, &'static [(&'static str, &'static str)], String),
    /// The exchange ends so.
    Fault(fn(String) -> Fault),
    /// Says nothing.
    Silence,
}

/// A DynamoDB that reacts as the script says, and then answers `{}`.
#[derive(Default)]
struct Endpoint {
    reactions: Mutex<VecDeque<Reaction>>,
    /// The reaction where the script says nothing; `{}` without one.
    always: Mutex<Option<fn() -> Reaction>>,
    /// The headers of all requests so far.
    heads: Mutex<Vec<HeaderMap>>,
    /// Nobody listens.
    is_down: AtomicBool,
    /// How often all connections were to be forgotten.
    forgotten: AtomicU64,
}

impl Endpoint {
    fn will(&self, reaction: Reaction) {
        self.reactions.lock().unwrap().push_back(reaction);
    }

    fn requests(&self) -> usize {
        self.heads.lock().unwrap().len()
    }

    async fn react(&self, request: Outgoing) -> Result<Response<Bytes>, Fault> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err(Fault::NotConnected("Connection refused".to_owned()));
        }
        self.heads.lock().unwrap().push(request.headers);
        let scripted = self.reactions.lock().unwrap().pop_front();
        let always = *self.always.lock().unwrap();
        let reaction = scripted.or_else(|| always.map(|reaction| reaction()));
        match reaction.unwrap_or(Reaction::Answer(200, &[], "{}".to_owned())) {
            Reaction::Answer(status, headers, body) => {
                let mut response = Response::builder().status(status);
                for (name, value) in headers {
                    response = response.header(*name, *value);
                }
                Ok(response.body(Bytes::from(body)).unwrap())
            }
            Reaction::Fault(fault) => Err(fault("it broke".to_owned())),
            Reaction::Silence => std::future::pending().await,
        }
    }
}

impl Transport for Arc<Endpoint> {
    fn exchange(&self, request: Outgoing) -> Exchanging<'_> {
        Box::pin(async move {
            let asked = Instant::now();
            Exchanged { response: self.react(request).await, took: asked.elapsed() }
        })
    }

    fn forget_connections(&self) {
        self.forgotten.fetch_add(1, Ordering::Relaxed);
    }

    fn renew_connections(&self, _: Instant) {}

    fn connections_opened(&self) -> u64 {
        0
    }
}

/// Settings for an endpoint, with a key whose token is `token`.
fn settings(url: &str, network: Network) -> Settings {
    Settings {
        hosts: Hosts::Single(url.parse().unwrap()),
        region: "us-east-1".to_owned(),
        credentials: CredentialsSource::Given(Credentials {
            session_token: Some("token".to_owned()),
            ..Credentials::placeholder()
        }),
        network,
        connect_timeout: Duration::from_secs(1),
        read_timeout: Duration::from_secs(5),
        write_timeout: Duration::from_secs(10),
        concurrency_max: 512,
        address: "127.0.0.1:8000".to_owned(),
    }
}

fn start_with(concurrency_max: usize) -> (Arc<Endpoint>, Arc<Remote>) {
    let endpoint = Arc::new(Endpoint::default());
    let url = "http://dynamodb.test";
    let settings = Settings { concurrency_max, ..settings(url, Network::default()) };
    let transports: Vec<Box<dyn Transport>> = vec![Box::new(Arc::clone(&endpoint))];
    let endpoints = Endpoints::single(url.parse().unwrap());
    let remote = Remote::with_transports(settings, endpoints, transports).unwrap();
    (endpoint, Arc::new(remote))
}

fn start() -> (Arc<Endpoint>, Arc<Remote>) {
    start_with(512)
}

async fn call(remote: &Remote, operation: Operation) -> Result<Answer, UpstreamError> {
    remote.call(&Request::new(operation, "{}")).await
}

async fn get(remote: &Remote) -> Result<Answer, UpstreamError> {
    call(remote, Operation::GetItem).await
}

async fn put(remote: &Remote) -> Result<Answer, UpstreamError> {
    call(remote, Operation::PutItem).await
}

fn failing() -> Reaction {
    Reaction::Answer(503, &[], r#"{"__type":"x#ServiceUnavailable"}"#.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_write_that_finds_no_connection_is_not_sent() {
    let (endpoint, remote) = start();
    endpoint.is_down.store(true, Ordering::Relaxed);
    assert!(matches!(put(&remote).await, Err(UpstreamError::NotSent(_))));
    assert_eq!(endpoint.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_outcome_of_a_write_is_unknown_after_every_other_fault_and_it_is_sent_once() {
    let (endpoint, remote) = start();
    for (sent, fault) in [Fault::Broken, Fault::Invalid].into_iter().enumerate() {
        endpoint.will(Reaction::Fault(fault));
        assert!(matches!(put(&remote).await, Err(UpstreamError::OutcomeUnknown(_))));
        assert_eq!(endpoint.requests(), sent + 1);
    }
    // An answer that is not valid is none for a read either, and another would not be better.
    endpoint.will(Reaction::Fault(Fault::Invalid));
    assert!(matches!(get(&remote).await, Err(UpstreamError::OutcomeUnknown(_))));
    assert_eq!(endpoint.requests(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_read_is_sent_once_more_after_a_fault_and_a_write_is_not() {
    for fault in [failing, || Reaction::Fault(Fault::Broken), || Reaction::Fault(Fault::NotConnected)] {
        let (endpoint, remote) = start();
        endpoint.will(fault());
        let begun = Instant::now();
        assert_eq!(get(&remote).await.unwrap(), Answer::ok("{}"));
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_millis(25) && waited <= Duration::from_millis(101), "{waited:?}");
        assert_eq!((endpoint.requests(), remote.stats().retries), (2, 1));
        endpoint.will(fault());
        assert_ne!(put(&remote).await.ok().map(|answer| answer.status), Some(200));
        assert_eq!(endpoint.requests(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn the_trace_of_a_request_goes_with_each_attempt_and_is_not_signed() {
    let (endpoint, remote) = start();
    endpoint.will(failing());
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let trace = Trace::parse(parent, Some("congo=t61")).map(Arc::new);
    let request = Request { trace, ..Request::new(Operation::GetItem, "{}") };
    remote.call(&request).await.unwrap();
    get(&remote).await.unwrap();
    let heads = endpoint.heads.lock().unwrap();
    for head in &heads[..2] {
        assert_eq!(
            (&head["traceparent"], &head["tracestate"]),
            (&parent.parse().unwrap(), &"congo=t61".parse().unwrap())
        );
        assert!(!head["authorization"].to_str().unwrap().contains("trace"));
    }
    assert!(!heads[2].contains_key("traceparent") && !heads[2].contains_key("tracestate"));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_fails_twice_gets_the_upstreams_words() {
    let (endpoint, remote) = start();
    *endpoint.always.lock().unwrap() = Some(failing);
    assert_eq!(get(&remote).await.unwrap().status, 503);
    assert_eq!(endpoint.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn throttling_and_failures_of_the_service_pass_and_are_not_retried() {
    let (endpoint, remote) = start();
    for (status, code) in [(400, "ThrottlingException"), (500, "InternalServerError")] {
        let body = format!(r#"{{"__type":"com.amazon.coral.availability#{code}","message":"slow"}}"#);
        endpoint.will(Reaction::Answer(
            status,
            &[("x-amz-retry-after", "1500"), ("x-other", "1")],
            body.clone(),
        ));
        let answer = get(&remote).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (status, body.as_bytes()));
        assert_eq!(answer.headers, [("x-amz-retry-after".to_owned(), "1500".to_owned())]);
    }
    assert_eq!(endpoint.requests(), 2);
    assert_eq!(remote.stats().outcomes[Outcome::Throttled as usize], 1);
}

#[tokio::test(start_paused = true)]
async fn a_broken_endpoint_gets_a_tenth_more_requests_than_come_and_then_nearly_none() {
    let (endpoint, remote) = start();
    *endpoint.always.lock().unwrap() = Some(failing);
    let mut not_sent = 0;
    for _ in 0..1000 {
        let begun = Instant::now();
        if let Err(UpstreamError::NotSent(_)) = get(&remote).await {
            not_sent += 1;
            assert_eq!(begun.elapsed(), Duration::ZERO, "an open breaker answers at once");
        }
    }
    assert!(endpoint.requests() <= 21, "{} requests", endpoint.requests());
    assert!(not_sent >= 979);
    assert_eq!((remote.stats().open_breakers, endpoint.forgotten.load(Ordering::Relaxed)), (1, 1));
    *endpoint.always.lock().unwrap() = None;
    tokio::time::advance(Duration::from_secs(1)).await;
    for _ in 0..100 {
        assert_eq!(get(&remote).await.unwrap().status, 200);
    }
    assert_eq!(remote.stats().open_breakers, 0);
}

#[tokio::test(start_paused = true)]
async fn retries_keep_to_a_tenth_of_the_reads_where_the_breaker_stays_closed() {
    let (endpoint, remote) = start();
    // A third of the reads fails: too few to open the breaker.
    for read in 0..3000 {
        if read % 3 == 0 {
            endpoint.will(failing());
        }
        get(&remote).await.unwrap();
    }
    let (stats, requests) = (remote.stats(), endpoint.requests() as u64);
    assert_eq!(requests, 3000 + stats.retries);
    // The pauses before retries take time too, in which five a second are free.
    assert!(stats.retries <= 300 + 5 + 5 * 30, "{} retries", stats.retries);
    assert!(stats.retries_denied > 0);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_is_learnt_and_a_write_signed_again() {
    let (endpoint, remote) = start();
    let upstream_time = SystemTime::now() + Duration::from_secs(7200);
    let date: &'static str = Box::leak(httpdate::fmt_http_date(upstream_time).into_boxed_str());
    let headers: &'static [(&str, &str)] = Box::leak(Box::new([("date", date)]));
    let refusal =
        r#"{"__type":"com.amazon.coral.service#InvalidSignatureException","message":"Signature expired"}"#;
    endpoint.will(Reaction::Answer(400, headers, refusal.to_owned()));
    assert_eq!(put(&remote).await.unwrap().status, 200);
    let date_of = |position: usize| {
        let heads = endpoint.heads.lock().unwrap();
        heads[position]["x-amz-date"].to_str().unwrap()[..13].to_owned()
    };
    assert_ne!(date_of(0), date_of(1));
    put(&remote).await.unwrap();
    assert_eq!((date_of(1), endpoint.requests()), (date_of(2), 3));
    // With the right clock it is the key that is wrong, and no second signature helps.
    endpoint.will(Reaction::Answer(400, headers, refusal.to_owned()));
    assert_eq!(put(&remote).await.unwrap().body, refusal);
    assert_eq!((endpoint.requests(), remote.stats().resigned), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn a_silent_endpoint_is_given_up_in_time() {
    let (endpoint, remote) = start();
    *endpoint.always.lock().unwrap() = Some(|| Reaction::Silence);
    for (operation, seconds) in [(Operation::GetItem, 5), (Operation::PutItem, 10)] {
        let begun = Instant::now();
        assert!(matches!(call(&remote, operation).await, Err(UpstreamError::OutcomeUnknown(_))));
        assert!(begun.elapsed() <= Duration::from_millis(seconds * 1000 + 1));
    }
    assert_eq!(endpoint.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn more_than_the_allowed_requests_wait_for_half_of_their_timeout() {
    let (endpoint, remote) = start_with(1);
    endpoint.will(Reaction::Silence);
    let first = tokio::spawn({
        let remote = Arc::clone(&remote);
        async move { put(&remote).await }
    });
    tokio::task::yield_now().await;
    let begun = Instant::now();
    assert!(matches!(put(&remote).await, Err(UpstreamError::NotSent(_))));
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!((endpoint.requests(), remote.stats().in_flight), (1, 1));
    assert!(first.await.unwrap().is_err());
    put(&remote).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_read_waits_counts_against_its_timeout_and_what_a_write_waits_does_not() {
    for (operation, seconds) in [(Operation::GetItem, 5), (Operation::PutItem, 14)] {
        let (endpoint, remote) = start_with(1);
        *endpoint.always.lock().unwrap() = Some(|| Reaction::Silence);
        let first = tokio::spawn({
            let remote = Arc::clone(&remote);
            async move { call(&remote, operation).await }
        });
        tokio::time::sleep(Duration::from_secs(if seconds == 5 { 3 } else { 6 })).await;
        let begun = Instant::now();
        assert!(matches!(call(&remote, operation).await, Err(UpstreamError::OutcomeUnknown(_))));
        assert_eq!(begun.elapsed().as_secs(), seconds, "{operation}");
        assert!(first.await.unwrap().is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_turn_while_the_breaker_is_open() {
    let (endpoint, remote) = start_with(20);
    *endpoint.always.lock().unwrap() = Some(|| Reaction::Silence);
    let read_after = |wait_ms: u64| {
        let remote = Arc::clone(&remote);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            let begun = Instant::now();
            (get(&remote).await, begun.elapsed().as_millis())
        })
    };
    let stuck: Vec<_> = (0..20).map(|_| read_after(0)).collect();
    // It waits when the breaker opens, after five seconds.
    let waiting = read_after(4000);
    for read in stuck {
        assert!(matches!(read.await.unwrap().0, Err(UpstreamError::OutcomeUnknown(_))));
    }
    let (outcome, waited_ms) = waiting.await.unwrap();
    assert!(matches!(outcome, Err(UpstreamError::NotSent(_))), "{outcome:?}");
    assert!((900..1100).contains(&waited_ms), "{waited_ms} ms");
    let (outcome, waited_ms) = read_after(0).await.unwrap();
    assert!(matches!(outcome, Err(UpstreamError::NotSent(_))) && waited_ms < 2, "{waited_ms} ms");
}

#[tokio::test(start_paused = true)]
async fn a_read_without_a_turn_is_told_when_to_come_back() {
    let (endpoint, remote) = start_with(1);
    endpoint.will(Reaction::Silence);
    let first = tokio::spawn({
        let remote = Arc::clone(&remote);
        async move { get(&remote).await }
    });
    tokio::task::yield_now().await;
    let answer = get(&remote).await.unwrap();
    assert_eq!(answer.status, 400);
    assert!(String::from_utf8_lossy(&answer.body).contains("#ThrottlingException"));
    let pause = answer.headers.iter().find(|(name, _)| name == "x-amz-retry-after").unwrap();
    assert!(RETURN_MS.contains(&pause.1.parse().unwrap()));
    // The write's lane is free.
    put(&remote).await.unwrap();
    assert_eq!((endpoint.requests(), remote.stats().queue_refusals), (2, 1));
    assert!(first.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn it_is_ready_when_the_upstream_has_answered_and_knows_the_key() {
    let (endpoint, remote) = start();
    endpoint.is_down.store(true, Ordering::Relaxed);
    let closing = CancellationToken::new();
    let tending = tokio::spawn({
        let (remote, closing) = (Arc::clone(&remote), closing.clone());
        async move { remote.tend(closing).await }
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(remote.unready().unwrap().contains("cannot be reached"), "{:?}", remote.unready());
    endpoint.is_down.store(false, Ordering::Relaxed);
    let unknown = r#"{"__type":"com.amazon.coral.service#UnrecognizedClientException","message":"who?"}"#;
    endpoint.will(Reaction::Answer(400, &[], unknown.to_owned()));
    tokio::time::sleep(PROBE_PAUSE).await;
    assert!(remote.unready().unwrap().contains("UnrecognizedClientException"), "{:?}", remote.unready());
    // Not allowed to list tables, but known.
    endpoint.will(Reaction::Answer(400, &[], r#"{"__type":"x#AccessDeniedException"}"#.to_owned()));
    tokio::time::sleep(PROBE_PAUSE).await;
    assert_eq!(remote.unready(), None);
    closing.cancel();
    tending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn clients_are_told_that_the_endpoint_is_here() {
    let (endpoint, remote) = start();
    let answer = call(&remote, Operation::DescribeEndpoints).await.unwrap();
    assert!(String::from_utf8_lossy(&answer.body).contains(r#""Address":"127.0.0.1:8000""#));
    let mut request = Request::new(Operation::DescribeEndpoints, "{}");
    request.address = Some("cache.example:9000".into());
    let answer = remote.call(&request).await.unwrap();
    assert!(String::from_utf8_lossy(&answer.body).contains(r#""Address":"cache.example:9000""#));
    assert_eq!(endpoint.requests(), 0);
}
