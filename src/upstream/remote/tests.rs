//! The remote upstream against a scripted endpoint, over pipes in memory and with the clock stopped.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::SystemTime;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf};

use super::connection::{Connecting, Socket};
use super::*;

/// What the endpoint does with a request.
enum Reaction {
    /// Answers with these headers and body.
    Answer(u16, &'static [(&'static str, &'static str)], String),
    /// Writes these bytes and closes.
    Write(&'static str),
    /// Reads it, says nothing, and keeps the connection.
    Silence,
    /// Reads it and closes.
    Close,
}

/// A DynamoDB that does as it is told, and then answers `{}`.
#[derive(Default)]
struct Endpoint {
    reactions: Mutex<VecDeque<Reaction>>,
    /// What it does when it was told nothing; `{}` without one.
    always: Mutex<Option<fn() -> Reaction>>,
    /// The heads of all requests so far.
    heads: Mutex<Vec<String>>,
    connections: Mutex<usize>,
    /// Nobody listens.
    is_down: AtomicBool,
    /// Connections being set up, and the most of them at one time.
    setups: AtomicUsize,
    setups_max: AtomicUsize,
    /// Connections are never set up.
    is_hanging: AtomicBool,
    /// Connections break before they take another byte, and nothing tells so before.
    are_broken: Arc<AtomicBool>,
}

impl Endpoint {
    fn will(&self, reaction: Reaction) {
        self.reactions.lock().unwrap().push_back(reaction);
    }

    fn requests(&self) -> usize {
        self.heads.lock().unwrap().len()
    }

    fn head(&self, position: usize) -> String {
        self.heads.lock().unwrap()[position].clone()
    }

    async fn serve(self: Arc<Self>, mut stream: DuplexStream) -> io::Result<()> {
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                head.push(char::from(stream.read_u8().await?));
            }
            let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
            let mut body = vec![0; length.parse().unwrap()];
            stream.read_exact(&mut body).await?;
            self.heads.lock().unwrap().push(head);
            let told = self.reactions.lock().unwrap().pop_front();
            let always = *self.always.lock().unwrap();
            let reaction = told.or_else(|| always.map(|reaction| reaction()));
            match reaction.unwrap_or(Reaction::Answer(200, &[], "{}".to_owned())) {
                Reaction::Answer(status, headers, body) => {
                    let headers: String =
                        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
                    let answer = format!(
                        "HTTP/1.1 {status} x\r\n{headers}content-length: {}\r\n\r\n{body}",
                        body.len()
                    );
                    stream.write_all(answer.as_bytes()).await?;
                }
                Reaction::Write(bytes) => {
                    stream.write_all(bytes.as_bytes()).await?;
                    return Ok(());
                }
                Reaction::Silence => {}
                Reaction::Close => return Ok(()),
            }
        }
    }
}

/// Connects to the endpoint.
struct ToEndpoint(Arc<Endpoint>);

impl Connect for ToEndpoint {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async {
            if self.0.is_down.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            if self.0.is_hanging.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            *self.0.connections.lock().unwrap() += 1;
            let setups = self.0.setups.fetch_add(1, Ordering::Relaxed) + 1;
            self.0.setups_max.fetch_max(setups, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.0.setups.fetch_sub(1, Ordering::Relaxed);
            let (near, far) = tokio::io::duplex(64 * 1024);
            tokio::spawn(Arc::clone(&self.0).serve(far));
            Ok(Box::new(Brittle { stream: near, is_broken: Arc::clone(&self.0.are_broken) })
                as Box<dyn Socket>)
        })
    }
}

/// A socket that can break without a word.
struct Brittle {
    stream: DuplexStream,
    is_broken: Arc<AtomicBool>,
}

impl AsyncRead for Brittle {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Brittle {
    fn poll_write(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // The next connection is a whole one.
        if self.is_broken.swap(false, Ordering::Relaxed) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        std::pin::Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        std::pin::Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn start_with(concurrency_max: usize) -> (Arc<Endpoint>, Arc<Remote>) {
    let endpoint = Arc::new(Endpoint::default());
    let url: crate::config::Endpoint = "http://dynamodb.test".parse().unwrap();
    let settings = Settings {
        hosts: Hosts::Single(url.clone()),
        region: "us-east-1".to_owned(),
        credentials: CredentialsSource::Given(Credentials {
            session_token: Some("token".to_owned()),
            ..Credentials::placeholder()
        }),
        connect_timeout: Duration::from_secs(1),
        read_timeout: Duration::from_secs(5),
        write_timeout: Duration::from_secs(10),
        concurrency_max,
        address: "127.0.0.1:8000".to_owned(),
    };
    let connectors: Vec<Box<dyn Connect>> = vec![Box::new(ToEndpoint(Arc::clone(&endpoint)))];
    let remote = Remote::with_connectors(settings, Endpoints::single(url), connectors).unwrap();
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
async fn a_request_is_signed_and_asks_for_no_compression() {
    let (endpoint, remote) = start();
    let mut request = Request::new(Operation::Unknown, r#"{"TableName":"Orders"}"#);
    request.unknown_target = Some("DynamoDB_20120810.FrobnicateItems".into());
    assert_eq!(remote.call(&request).await.unwrap(), Answer::ok("{}"));
    let head = endpoint.head(0);
    for line in [
        "POST / HTTP/1.1\r\n",
        "\r\nhost: dynamodb.test\r\n",
        "\r\nx-amz-target: DynamoDB_20120810.FrobnicateItems\r\n",
        "\r\ncontent-type: application/x-amz-json-1.0\r\n",
        "\r\naccept-encoding: identity\r\n",
        "\r\nx-amz-security-token: token\r\n",
        "\r\nauthorization: AWS4-HMAC-SHA256 Credential=nearside/",
    ] {
        assert!(head.contains(line), "{line:?} is not in {head}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_connection_serves_request_after_request_until_it_is_old_or_idle() {
    let (endpoint, remote) = start();
    let connections = || *endpoint.connections.lock().unwrap();
    for _ in 0..3 {
        get(&remote).await.unwrap();
    }
    assert_eq!(connections(), 1);
    tokio::time::advance(Duration::from_secs(21)).await;
    get(&remote).await.unwrap();
    assert_eq!(connections(), 2, "an idle connection is not trusted");
    for _ in 0..30 {
        tokio::time::advance(Duration::from_secs(10)).await;
        get(&remote).await.unwrap();
    }
    assert_eq!(connections(), 3, "a connection of five minutes is not used any more");
}

#[tokio::test(start_paused = true)]
async fn a_closed_idle_connection_is_replaced_without_a_word() {
    let (endpoint, remote) = start();
    endpoint.will(Reaction::Write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"));
    put(&remote).await.unwrap();
    tokio::task::yield_now().await;
    put(&remote).await.unwrap();
    assert_eq!(endpoint.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_write_moves_to_a_new_connection_only_if_the_old_one_took_no_byte() {
    let (endpoint, remote) = start();
    put(&remote).await.unwrap();
    endpoint.are_broken.store(true, Ordering::Relaxed);
    put(&remote).await.unwrap();
    assert_eq!((endpoint.requests(), remote.stats().reconnects), (2, 1));
    endpoint.will(Reaction::Close);
    assert!(matches!(put(&remote).await, Err(UpstreamError::OutcomeUnknown(_))));
    assert_eq!(endpoint.requests(), 3);
    // A fresh connection that breaks at once is no different.
    endpoint.are_broken.store(true, Ordering::Relaxed);
    put(&remote).await.unwrap();
    assert_eq!((endpoint.requests(), remote.stats().reconnects), (4, 2));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_no_connection_takes_a_byte_of_is_not_sent() {
    let (endpoint, remote) = start();
    endpoint.is_down.store(true, Ordering::Relaxed);
    assert!(matches!(put(&remote).await, Err(UpstreamError::NotSent(_))));
    assert_eq!(endpoint.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_read_is_sent_once_more_after_a_fault_and_a_write_is_not() {
    for fault in
        [failing, || Reaction::Close, || Reaction::Write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}")]
    {
        let (endpoint, remote) = start();
        endpoint.will(fault());
        let begun = Instant::now();
        assert_eq!(get(&remote).await.unwrap(), Answer::ok("{}"));
        let waited = begun.elapsed();
        assert!(waited >= Duration::from_millis(25) && waited <= Duration::from_millis(112), "{waited:?}");
        assert_eq!((endpoint.requests(), remote.stats().retries), (2, 1));
        endpoint.will(fault());
        assert_ne!(put(&remote).await.ok().map(|answer| answer.status), Some(200));
        assert_eq!(endpoint.requests(), 3);
    }
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
    assert_eq!(remote.stats().open_breakers, 1);
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
    let date_of = |position| {
        let head: String = endpoint.head(position);
        head.split("x-amz-date: ").nth(1).unwrap()[..13].to_owned()
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
async fn what_cannot_be_an_answer_is_a_clean_error() {
    for broken in [
        "HTTP/1.1 200 OK\r\ncontent-length: 26214401\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-encoding: gzip\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-amz-crc32: 7\r\n\r\n{}",
        "HTTP/1.1 301 Moved\r\nlocation: http://other/\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 500 Oops\r\ncontent-length: 6\r\n\r\n<html>",
        "SSH-2.0-OpenSSH\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
    ] {
        let (endpoint, remote) = start();
        endpoint.will(Reaction::Write(broken));
        assert!(matches!(put(&remote).await, Err(UpstreamError::OutcomeUnknown(_))), "{broken}");
        assert_eq!(endpoint.requests(), 1, "{broken}");
    }
    let (endpoint, remote) = start();
    endpoint
        .will(Reaction::Write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"));
    assert_eq!(put(&remote).await.unwrap(), Answer::ok("{}"));
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
async fn a_burst_sets_up_a_bounded_number_of_connections_at_a_time_and_uses_those_that_come_free() {
    let (endpoint, remote) = start_with(1024);
    let reads: Vec<_> = (0..1000)
        .map(|_| {
            let remote = Arc::clone(&remote);
            tokio::spawn(async move { get(&remote).await.unwrap().status })
        })
        .collect();
    for read in reads {
        assert_eq!(read.await.unwrap(), 200);
    }
    assert_eq!(endpoint.setups_max.load(Ordering::Relaxed), 128);
    let connections = *endpoint.connections.lock().unwrap();
    assert!(connections <= 512, "{connections} connections for a thousand reads that take no time");
    assert_eq!((remote.stats().queue_waits, remote.stats().reads_limit), (0, 1024));
}

#[tokio::test(start_paused = true)]
async fn a_write_without_a_connection_in_time_is_not_sent() {
    let (endpoint, remote) = start();
    endpoint.is_hanging.store(true, Ordering::Relaxed);
    let begun = Instant::now();
    assert!(matches!(put(&remote).await, Err(UpstreamError::NotSent(_))));
    assert_eq!(begun.elapsed().as_secs(), 10);
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
