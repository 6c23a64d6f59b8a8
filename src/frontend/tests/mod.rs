//! Wire tests: bytes in, bytes out over an in-memory connection, with the clock stopped.

mod certificates;
mod changed_requests;
mod mutated;
mod recent_heads;
mod shortcut;
mod shortcut_engine;
mod shortcut_signed;
mod signed;
mod verified;

use std::io::{Read, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::access::{Addresses, Hosts, Origins};
use crate::call::Answer;

/// A service that answers with what it was asked, or misbehaves when the body says so.
#[derive(Default)]
struct Fake {
    calls: AtomicUsize,
    entered: Notify,
    released: Notify,
}

impl Service for Fake {
    type Understood = ();

    async fn execute(self: &Arc<Self>, caller: Caller<'_>, request: Request) -> Result<Served, ApiError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        assert_ne!(&request.body[..], b"panic");
        if &request.body[..] == b"wait" {
            self.entered.notify_one();
            self.released.notified().await;
        }
        let mut answer = Answer::ok(request.body);
        if &answer.body[..] == b"attempt" {
            answer.body = format!("{:?}", request.attempt).into();
        }
        if let Some(target) = request.unknown_target {
            answer.body = target.into_string().into();
        }
        let mut served = Served {
            answer,
            crc32: None,
            source: Source::Hit,
            age_seconds: Some(3),
            table: Some("t".into()),
        };
        if &served.answer.body[..] == b"batch" {
            served.source = Source::Batch { hit: 7, miss: 3, stale: 0 };
            served.answer.headers.push(("x-amzn-requestid".into(), "UPSTREAM".into()));
        }
        if let Some(address) = request.address {
            served.answer.body = address.into_string().into();
        }
        if &served.answer.body[..] == b"who" {
            let scope = caller.scope()?;
            served.answer.body = format!("{} in {}", scope.access_key, scope.region).into();
        }
        Ok(served)
    }
}

/// Keeps everything it is told as text.
#[derive(Default)]
struct Witness(Mutex<Vec<String>>);

impl Witness {
    fn tell(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }
}

impl Observer for Witness {
    fn answered(&self, exchange: &Exchange<'_>) {
        assert!(!exchange.request_id.is_empty());
        self.tell(format!(
            "{} {} {:?} {:?} {}→{}",
            exchange.operation,
            exchange.status,
            exchange.table,
            exchange.error.map(ErrorName::text),
            exchange.request_bytes,
            exchange.answer_bytes
        ));
    }
    fn connection_opened(&self) {
        self.tell("opened".into());
    }
    fn connection_closed(&self) {
        self.tell("closed".into());
    }
    fn rejected(&self, reason: RejectReason) {
        self.tell(format!("refused {}", reason.label()));
    }
}

/// What a front end on loopback that is called `h` serves, and pages of those origins.
fn access(origins: &[&str]) -> Access {
    let hosts = Hosts::Listed(Addresses::Loopback, vec!["h".parse().unwrap()]);
    Access::new(hosts, Origins::Listed(origins.iter().map(|origin| origin.parse().unwrap()).collect()))
}

/// A front end with one client connected to it.
struct Wire<A = AnyCaller> {
    frontend: Arc<Frontend<Fake, Witness, A>>,
    client: DuplexStream,
    connection: JoinHandle<()>,
    /// Read from the wire but part of a later answer.
    ahead: Vec<u8>,
}

impl Wire {
    fn new() -> Self {
        Self::admitting(&["https://app.example"])
    }

    /// One whose front end is on loopback, is called `h`, and admits pages of those origins.
    fn admitting(origins: &[&str]) -> Self {
        Self::asking(AnyCaller, origins)
    }
}

impl<A: Authenticator> Wire<A> {
    fn asking(authenticator: A, origins: &[&str]) -> Self {
        let settings =
            Settings { access: access(origins), request_bytes_max: 100_000, ..Settings::default() };
        let frontend =
            Frontend::new(Arc::new(Fake::default()), Arc::new(Witness::default()), authenticator, settings);
        let (client, server) = tokio::io::duplex(64 * 1024);
        let connection = tokio::spawn(Arc::clone(&frontend).serve_connection(server));
        Self { frontend, client, connection, ahead: Vec::new() }
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.client.write_all(bytes.as_ref()).await.unwrap();
    }

    async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Reply {
        self.send(bytes).await;
        self.reply().await
    }

    /// Reads one answer.
    async fn reply(&mut self) -> Reply {
        read_reply(&mut self.client, &mut self.ahead).await
    }

    /// Waits for the end of the connection and gives what still came.
    async fn rest(&mut self) -> String {
        let mut rest = std::mem::take(&mut self.ahead);
        // A reset ends a connection as well as a close.
        let _ = self.client.read_to_end(&mut rest).await;
        (&mut self.connection).await.unwrap();
        String::from_utf8(rest).unwrap()
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.frontend.observer.0.lock().unwrap())
    }

    fn calls(&self) -> usize {
        self.frontend.service.calls.load(Ordering::Relaxed)
    }
}

/// Reads one answer. `ahead` is what was read and is part of a later one.
async fn read_reply(client: &mut DuplexStream, ahead: &mut Vec<u8>) -> Reply {
    let end = loop {
        if let Some(end) = ahead.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        assert_ne!(client.read_buf(ahead).await.unwrap(), 0, "closed before an answer");
    };
    let head = String::from_utf8(ahead.drain(..end).collect()).unwrap();
    let mut reply = Reply { head, body: Vec::new() };
    let length = reply.header("content-length").map_or(0, |length| length.parse().unwrap());
    while ahead.len() < length {
        assert_ne!(client.read_buf(ahead).await.unwrap(), 0, "closed within an answer");
    }
    reply.body = ahead.drain(..length).collect();
    reply
}

#[derive(Debug)]
struct Reply {
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn status(&self) -> u16 {
        self.head[9..12].parse().unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Asserts that the sum is of the body as sent, and gives the body.
    fn summed(&self) -> &str {
        assert_eq!(self.header("x-amz-crc32"), Some(&*crc32fast::hash(&self.body).to_string()));
        self.text()
    }
}

const SIGNED: &str =
    "authorization: AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c\r\nx-amz-date: d\r\n";

/// The head of a signed GetItem, to which more headers are added, without the empty line.
fn head(more: &str) -> String {
    format!(
        "POST / HTTP/1.1\r\nhost: h\r\nx-amz-target: DynamoDB_20120810.GetItem\r\n\
         content-type: application/x-amz-json-1.0\r\n{SIGNED}{more}"
    )
}

fn request(body: &str) -> String {
    format!("{}content-length: {}\r\n\r\n{body}", head(""), body.len())
}

fn request_without(line: &str, body: &str) -> String {
    let whole = request(body);
    whole.split("\r\n").filter(|found| !found.starts_with(line)).collect::<Vec<_>>().join("\r\n")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_answer_has_its_body_its_sum_and_where_it_came_from() {
    let mut wire = Wire::new();
    let reply = wire.ask(request("{\"a\":1}")).await;
    assert_eq!((reply.status(), reply.summed()), (200, "{\"a\":1}"));
    assert_eq!(reply.header("content-type"), Some("application/x-amz-json-1.0"));
    assert_eq!(reply.header("x-nearside-cache"), Some("hit"));
    assert_eq!(reply.header("age"), Some("3"));
    assert_eq!(reply.header("server"), Some("Server"));
    assert_eq!(reply.header("x-amzn-requestid").unwrap().len(), 52);
    assert!(reply.header("date").is_some());
    assert_eq!(wire.told(), ["opened", "GetItem 200 Some(\"t\") None 7→7"]);
}

#[tokio::test(start_paused = true)]
async fn a_service_learns_who_calls_and_may_refuse() {
    let mut wire = Wire::new();
    let whole =
        request("who").replace("Credential=a,", "Credential=key/20260101/eu-west-1/dynamodb/aws4_request,");
    assert_eq!(wire.ask(whole).await.text(), "key in eu-west-1");
    let reply = wire.ask(request("who")).await;
    assert_eq!(reply.status(), 400);
    assert!(reply.summed().contains("#IncompleteSignatureException\""), "{}", reply.text());
    assert!(wire.told()[2].contains("400 None Some(\"IncompleteSignatureException\")"));
}

#[tokio::test(start_paused = true)]
async fn an_upstream_s_id_is_kept_and_a_batch_counts_its_keys() {
    let mut wire = Wire::new();
    let reply = wire.ask(request("batch")).await;
    assert_eq!(reply.header("x-amzn-requestid"), Some("UPSTREAM"));
    assert_eq!(reply.head.matches("requestid").count(), 1);
    assert_eq!(reply.header("x-nearside-cache"), Some("hit=7,miss=3"));
}

#[tokio::test(start_paused = true)]
async fn the_health_line_is_the_service_s() {
    let mut wire = Wire::new();
    let reply = wire.ask("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!((reply.status(), reply.summed()), (200, "healthy: dynamodb.us-east-1.amazonaws.com "));
    assert_eq!(reply.header("x-amz-crc32"), Some("3128867991"));
    assert_eq!(wire.told(), ["opened"]);
}

#[tokio::test(start_paused = true)]
async fn other_methods_paths_and_content_types_are_not_found() {
    let mut wire = Wire::new();
    for unknown in [
        "PUT / HTTP/1.1\r\nhost: h\r\n\r\n",
        "OPTIONS / HTTP/1.1\r\nhost: h\r\n\r\n",
        "GET /health HTTP/1.1\r\nhost: h\r\n\r\n",
        "POST /x HTTP/1.1\r\nhost: h\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{}",
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-type: text/json\r\ncontent-length: 2\r\n\r\n{}",
    ] {
        let reply = wire.ask(unknown).await;
        assert_eq!((reply.status(), reply.summed()), (404, "<UnknownOperationException/>\n"), "{unknown}");
        assert!(reply.header("x-amzn-requestid").is_some());
    }
    assert_eq!(wire.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn checks_come_in_the_service_s_order() {
    let mut wire = Wire::new();
    let malformed = "{\"__type\":\"com.amazon.coral.service#SerializationException\"}";
    let unknown = "{\"__type\":\"com.amazon.coral.service#UnknownOperationException\"}";
    let unsigned = "{\"__type\":\"com.amazon.coral.service#MissingAuthenticationTokenException\",\
        \"message\":\"Request is missing Authentication Token\"}";
    let no_body = "{\"__type\":\"com.amazon.coral.service#SerializationException\",\
        \"Message\":\"The request cannot be read: it has no body; the least that an operation takes is {}.\"}";
    let unsigned_nonsense = "{\"__type\":\"com.amazon.coral.service#SerializationException\",\
        \"Message\":\"The request cannot be read: its body is not JSON. Its credentials are not as they should be, too: \
        MissingAuthenticationTokenException: Request is missing Authentication Token\"}";
    for (case, answer) in [
        (request_without("authorization", "{"), unsigned_nonsense),
        (request_without("authorization", "{}"), unsigned),
        (request_without("authorization", ""), unsigned),
        (request_without("x-amz-target", "{}"), unknown),
        (request_without("x-amz-target", "{"), malformed),
        (request("{}").replace("DynamoDB_2012", "Kinesis_2013"), unknown),
        (request_without("authorization", "{}").replace("GetItem", "Nothing"), unknown),
        (request_without("authorization", "{").replace("GetItem", "Nothing"), malformed),
        (request(""), no_body),
    ] {
        let reply = wire.ask(&case).await;
        assert_eq!((reply.status(), reply.summed()), (400, answer), "{case}");
        assert_eq!(reply.header("x-nearside-cache"), None);
    }
    let told = wire.told();
    assert_eq!(
        told[2],
        format!("GetItem 400 None Some(\"MissingAuthenticationTokenException\") 2→{}", unsigned.len())
    );
    assert_eq!(wire.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_operation_that_the_table_lacks_reaches_the_service_with_its_target() {
    let mut wire = Wire::new();
    let reply = wire.ask(request("{}").replace("GetItem", "Nothing")).await;
    assert_eq!(reply.text(), "DynamoDB_20120810.Nothing");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_tried_before_says_so() {
    let mut wire = Wire::new();
    for (said, understood) in [
        ("", "First"),
        ("amz-sdk-request: attempt=1\r\n", "First"),
        ("amz-sdk-request: attempt=2; max=3\r\n", "Again"),
        ("amz-sdk-request: ttl=20260101T000000Z; attempt=3; max=5\r\n", "Again"),
        ("amz-sdk-request: attempt=many\r\n", "First"),
    ] {
        let request = format!("{}content-length: 7\r\n\r\nattempt", head(said));
        assert_eq!(wire.ask(request).await.text(), understood, "{said:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn plain_json_is_answered_as_plain_json() {
    let mut wire = Wire::new();
    let reply = wire.ask(request("{}").replace("x-amz-json-1.0", "json; charset=utf-8")).await;
    assert_eq!(reply.header("content-type"), Some("application/json"));
}

/// A browser's question whether a page of that origin may send a call of the API.
fn preflight(origin: &str) -> String {
    format!(
        "OPTIONS / HTTP/1.1\r\nhost: h\r\norigin: {origin}\r\naccess-control-request-method: POST\r\n\
         access-control-request-headers: x-amz-target, b\r\naccess-control-request-private-network: true\r\n\r\n"
    )
}

#[tokio::test(start_paused = true)]
async fn a_browser_s_questions_are_answered_for_origins_that_are_listed() {
    let mut wire = Wire::new();
    let reply = wire.ask(preflight("https://app.example")).await;
    assert_eq!((reply.status(), reply.text()), (200, ""));
    assert_eq!(reply.header("content-length"), Some("0"));
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example"));
    assert_eq!(reply.header("vary"), Some("origin"));
    assert_eq!(reply.header("access-control-allow-headers"), Some("x-amz-target, b"));
    assert_eq!(reply.header("access-control-allow-methods"), Some("GET, POST"));
    assert_eq!(reply.header("access-control-allow-private-network"), Some("true"));
    assert_eq!(reply.header("access-control-max-age"), Some("172800"));
}

#[tokio::test(start_paused = true)]
async fn a_page_of_a_listed_origin_may_read_answers_and_their_headers() {
    for (listed, allowed) in [("https://app.example", "https://app.example"), ("*", "*")] {
        let mut wire = Wire::admitting(&[listed]);
        let from_page =
            |body: &str| request(body).replace("host: h", "host: h\r\norigin: https://app.example");
        let reply = wire.ask(from_page("{}")).await;
        assert_eq!((reply.status(), reply.summed()), (200, "{}"));
        assert_eq!(reply.header("access-control-allow-origin"), Some(allowed));
        assert_eq!(reply.header("vary"), Some("origin"));
        let exposed = reply.header("access-control-expose-headers").unwrap();
        for name in ["x-amzn-requestid", "x-amz-crc32", "x-amzn-errortype", "x-nearside-cache", "age"] {
            assert!(exposed.split(", ").any(|exposed| exposed == name), "{name} is not in {exposed}");
        }
        // A fault that the front end answers by itself can be read as well.
        let reply = wire.ask(from_page("{}").replace("GetItem", "Nothing").replace(SIGNED, "")).await;
        assert_eq!((reply.status(), reply.header("access-control-allow-origin")), (400, Some(allowed)));
        // Of a compressed answer a page sees the bytes before, which the sum is not of.
        let gzipped = from_page(&format!("\"{}\"", "x".repeat(50_000)));
        let reply = wire.ask(gzipped.replace("host: h", "host: h\r\naccept-encoding: gzip")).await;
        assert_eq!(reply.header("content-encoding"), Some("gzip"));
        assert!(!reply.header("access-control-expose-headers").unwrap().contains("crc32"));
    }
}

#[tokio::test(start_paused = true)]
async fn pages_of_other_origins_get_nothing_but_a_refusal() {
    for origin in
        ["https://evil.example", "null", "http://localhost:3000", "https://app.example.evil.example"]
    {
        let mut wire = Wire::new();
        let page = format!("host: h\r\norigin: {origin}");
        let health = "GET / HTTP/1.1\r\nhost: h\r\n\r\n".replace("host: h", &page);
        for bytes in [preflight(origin), request("{}").replace("host: h", &page), health] {
            let reply = wire.ask(bytes).await;
            assert_eq!(reply.status(), 403, "{origin}");
            assert!(!reply.head.contains("access-control"), "{}", reply.head);
            let body = reply.summed();
            assert!(body.contains("#AccessDeniedException") && body.contains("cors_origins"), "{body}");
            assert!(reply.header("x-amzn-requestid").is_some());
        }
        assert_eq!(wire.calls(), 0);
        assert_eq!(wire.told(), [&["opened"][..], &["refused foreign_origin"; 3]].concat());
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_whose_name_was_made_to_point_here_gets_nothing() {
    let mut wire = Wire::new();
    for rebound in ["host: evil.example:8000", "host: evil.example\r\norigin: https://app.example"] {
        let reply = wire.ask(request("{}").replace("host: h", rebound)).await;
        assert_eq!(reply.status(), 403);
        let body = reply.summed();
        assert!(body.contains("evil.example") && body.contains("hosts of [server]"), "{body}");
    }
    let whole = request("{}").replace("POST / ", "POST http://evil.example/ ");
    assert_eq!(wire.ask(whole).await.status(), 403);
    assert_eq!(wire.calls(), 0);
    assert_eq!(wire.told(), [&["opened"][..], &["refused foreign_host"; 3]].concat());
}

#[tokio::test(start_paused = true)]
async fn a_request_without_one_host_is_refused() {
    let mut wire = Wire::new();
    for hosts in ["", "host: h\r\nhost: h\r\n"] {
        let reply = wire.ask(request("{}").replace("host: h\r\n", hosts)).await;
        assert_eq!(reply.status(), 400);
        assert!(reply.summed().contains("exactly one Host header"));
    }
    assert_eq!(
        (wire.calls(), wire.told()),
        (0, ["opened", "refused malformed", "refused malformed"].map(str::to_owned).to_vec())
    );
}

#[tokio::test(start_paused = true)]
async fn a_large_body_of_a_stranger_does_not_keep_the_refusal_from_being_read() {
    let mut wire = Wire::new();
    let body = "x".repeat(99_000);
    let reply = wire.ask(request(&body).replace("host: h", "host: evil.example")).await;
    assert_eq!(reply.status(), 403);
    assert_eq!(wire.ask(request("{}")).await.status(), 200, "the connection goes on");
}

#[tokio::test(start_paused = true)]
async fn clients_that_ask_for_endpoints_are_named_the_address_that_they_used() {
    let mut wire = Wire::new();
    let asked = request("{}").replace("GetItem", "DescribeEndpoints");
    for (host, address) in [("h:9000", "h:9000"), ("localhost", "localhost"), ("[::1]:8000", "[::1]:8000")] {
        assert_eq!(wire.ask(asked.replace("host: h", &format!("host: {host}"))).await.text(), address);
    }
    let whole = asked.replace("POST / ", "POST http://h:7000/ ");
    assert_eq!(wire.ask(whole).await.text(), "h:7000");
    assert_eq!(wire.ask(request("{}")).await.text(), "{}", "other operations do not need it");
}

#[tokio::test(start_paused = true)]
async fn a_head_that_is_too_large_is_refused() {
    let target = |length: usize| head("").replace("POST /", &format!("POST /?{}", "x".repeat(length)));
    for large in [
        head(&format!("x: {}\r\n", "x".repeat(128 * 1024))),
        head(&"x: y\r\n".repeat(100)),
        head(&format!("x: {}\r\n", "x".repeat(16 * 1024))),
        target(16 * 1024),
        target(70 * 1024),
    ] {
        let mut wire = Wire::new();
        // The rest of the head finds the connection closed.
        let _ = wire.client.write_all((large + "content-length: 2\r\n\r\n{}").as_bytes()).await;
        let rest = wire.rest().await;
        assert!(rest.starts_with("HTTP/1.1 400"), "{rest}");
        assert!(rest.contains("connection: close\r\n") && rest.ends_with("\r\n\r\n"), "{rest}");
        assert_eq!(wire.told(), ["opened", "refused malformed", "closed"]);
        assert_eq!(wire.calls(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_of_16_kib_is_taken_and_not_a_byte_more() {
    let mut wire = Wire::new();
    let of_length = |length: usize| {
        let bare = request("{}").replacen("\r\n\r\n", "\r\nx: \r\n\r\n", 1);
        let missing = length - (bare.len() - "{}".len());
        bare.replacen("\r\nx: ", &format!("\r\nx: {}", "x".repeat(missing)), 1)
    };
    assert_eq!(wire.ask(of_length(16 * 1024)).await.text(), "{}");
    assert_eq!(wire.ask(of_length(16 * 1024 + 1)).await.status(), 400);
    assert_eq!(wire.rest().await, "");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_is_refused_once_it_was_sent() {
    let body = "x".repeat(200_000);
    let declared = format!("{}content-length: 200000\r\n\r\n{body}", head(""));
    let chunked = format!("{}transfer-encoding: chunked\r\n\r\n30d40\r\n{body}\r\n0\r\n\r\n", head(""));
    for large in [declared, chunked] {
        let mut wire = Wire::new();
        let reply = wire.ask(large).await;
        assert_eq!((reply.status(), reply.header("transfer-encoding")), (413, Some("chunked")));
        assert_eq!(
            (wire.calls(), wire.told().last().map(String::as_str)),
            (0, Some("refused body_too_large"))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_body_in_pieces_arrives_whole() {
    let body: String = (0..9000).map(|number| format!("{number},")).collect();
    assert!(body.len() > body::READ_BYTES);
    let mut wire = Wire::new();
    let (first, second) = body.split_at(20_001);
    wire.send(format!("{}content-length: {}\r\n\r\n{first}", head(""), body.len())).await;
    tokio::task::yield_now().await;
    let reply = wire.ask(second).await;
    assert_eq!(reply.summed(), body);
    let (first, second) = ("{\"a\"", ":1}");
    wire.send(format!("{}content-length: 7\r\n\r\n{first}", head(""))).await;
    tokio::task::yield_now().await;
    assert_eq!(wire.ask(second).await.text(), "{\"a\":1}");
}

#[tokio::test(start_paused = true)]
async fn a_chunked_body_arrives_whole() {
    let mut wire = Wire::new();
    let chunked =
        head("transfer-encoding: chunked\r\n") + "\r\n3\r\n{\"a\r\n4;x=y\r\n\":1}\r\n0\r\nt: u\r\n\r\n";
    assert_eq!(wire.ask(chunked).await.summed(), "{\"a\":1}");
    let empty = head("transfer-encoding: chunked\r\n") + "\r\n0\r\n\r\n";
    assert_eq!(wire.ask(empty).await.status(), 400);
    let one = head("transfer-encoding: chunked\r\n") + "\r\n2\r\n{}\r\n0\r\n\r\n";
    assert_eq!(wire.ask(one).await.text(), "{}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_expects_a_word_before_it_sends_gets_it() {
    let mut wire = Wire::new();
    let reply = wire.ask(head("expect: 100-continue\r\ncontent-length: 2\r\n\r\n")).await;
    assert_eq!(reply.status(), 100);
    assert_eq!(wire.ask("{}").await.text(), "{}");
    let reply = wire.ask(head("expect: 100-continue\r\ncontent-length: 200000\r\n\r\n")).await;
    assert_eq!(reply.status(), 413);
}

#[tokio::test(start_paused = true)]
async fn requests_sent_together_are_answered_in_order() {
    let mut wire = Wire::new();
    assert_eq!(wire.ask(request("{\"a\":1}") + &request("{\"b\":2}")).await.text(), "{\"a\":1}");
    assert_eq!(wire.reply().await.text(), "{\"b\":2}");
}

/// The head of a request with a body that is compressed in that way.
fn compressed_head(coding: &str, body: &[u8]) -> String {
    format!("{}content-encoding: {coding}\r\ncontent-length: {}\r\n\r\n", head(""), body.len())
}

#[tokio::test(start_paused = true)]
async fn a_compressed_request_is_served_decompressed() {
    let mut wire = Wire::new();
    for (coding, body) in [
        ("gzip", gzip(b"{\"a\":1}")),
        ("GZip", gzip(b"{\"a\":1}")),
        ("deflate", zlib(b"{\"a\":1}")),
        ("identity", b"{\"a\":1}".to_vec()),
        ("", b"{\"a\":1}".to_vec()),
    ] {
        wire.send(compressed_head(coding, &body)).await;
        assert_eq!(wire.ask(&body).await.summed(), "{\"a\":1}");
        let told = wire.told();
        assert_eq!(told.last().unwrap(), &format!("GetItem 200 Some(\"t\") None {}→7", body.len()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_compressed_request_over_the_limit_is_refused() {
    for (coding, body) in [("gzip", gzip(&vec![b'x'; 100_001])), ("deflate", zlib(&vec![b'x'; 100_001]))] {
        let mut wire = Wire::new();
        wire.send(compressed_head(coding, &body)).await;
        assert_eq!(wire.ask(&body).await.status(), 413);
        assert_eq!(wire.rest_of_empty_chunks().await, "0\r\n\r\n");
        assert_eq!(wire.calls(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_decoded_fails_and_nothing_is_done() {
    let mut wire = Wire::new();
    let (zipped, deflated) = (gzip(b"{\"a\":1}"), zlib(b"{\"a\":1}"));
    let cases: [(&str, &[u8]); 10] = [
        ("br", b"{}"),
        ("zstd", b"{}"),
        ("gzip, gzip", &zipped),
        ("gzip\r\ncontent-encoding: gzip", &zipped),
        ("gzip", b"{}"),
        ("gzip", &zipped[..zipped.len() / 2]),
        ("gzip", &deflated),
        ("deflate", b"{}"),
        ("deflate", &deflated[..deflated.len() - 1]),
        ("deflate", &zipped),
    ];
    for (coding, body) in cases {
        wire.send(compressed_head(coding, body)).await;
        let reply = wire.ask(body).await;
        assert_eq!(reply.status(), 500, "{coding}");
        assert!(reply.summed().contains("#InternalServerError\""), "{}", reply.text());
        assert!(reply.text().contains("Content-Encoding says: "), "{}", reply.text());
    }
    assert_eq!(wire.calls(), 0);
    assert_eq!(wire.ask(request("{}")).await.text(), "{}");
}

impl Wire {
    /// Reads the body of an answer in chunks that has none.
    async fn rest_of_empty_chunks(&mut self) -> String {
        while self.ahead.len() < 5 {
            assert_ne!(self.client.read_buf(&mut self.ahead).await.unwrap(), 0);
        }
        String::from_utf8(self.ahead.drain(..5).collect()).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_answer_is_compressed_for_those_who_ask() {
    let mut wire = Wire::new();
    for (size, coding) in [(4096, "gzip"), (50_000, "gzip"), (4096, "deflate"), (50_000, "deflate")] {
        let body = "x".repeat(size);
        let asked = head(&format!("accept-encoding: {coding}\r\naccept-encoding: br\r\n"));
        let reply = wire.ask(format!("{asked}content-length: {size}\r\n\r\n{body}")).await;
        assert_eq!(reply.header("content-encoding"), Some(coding));
        assert_eq!(reply.header("x-amz-crc32"), Some(&*crc32fast::hash(&reply.body).to_string()));
        let mut plain = String::new();
        match coding {
            "gzip" => flate2::read::GzDecoder::new(&reply.body[..]).read_to_string(&mut plain).unwrap(),
            _ => flate2::read::ZlibDecoder::new(&reply.body[..]).read_to_string(&mut plain).unwrap(),
        };
        assert_eq!(plain, body);
    }
    for (size, accepted) in [(4095, "gzip"), (5000, "br")] {
        let asked = head(&format!("accept-encoding: {accepted}\r\n"));
        let reply = wire.ask(format!("{asked}content-length: {size}\r\n\r\n{}", "x".repeat(size))).await;
        assert_eq!((reply.header("content-encoding"), reply.body.len()), (None, size));
    }
}

#[tokio::test(start_paused = true)]
async fn connections_that_idle_are_closed_and_those_in_use_are_not() {
    for begun in ["", "POST / HTTP/1.1\r\nhost"] {
        let mut wire = Wire::new();
        assert_eq!(wire.ask(request("{}")).await.status(), 200);
        tokio::time::advance(Duration::from_secs(119)).await;
        assert_eq!(wire.ask(request("{}")).await.status(), 200);
        wire.send(begun).await;
        let since = tokio::time::Instant::now();
        wire.rest().await;
        assert_eq!(since.elapsed().as_secs(), 120);
        assert_eq!(wire.told().last().map(String::as_str), Some("closed"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_sends_is_closed() {
    let mut wire = Wire::new();
    let since = tokio::time::Instant::now();
    wire.rest().await;
    assert_eq!(since.elapsed().as_secs(), 120);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_waited_for_a_minute() {
    let mut wire = Wire::new();
    let since = tokio::time::Instant::now();
    let reply = wire.ask(head("content-length: 9\r\n\r\n{")).await;
    assert_eq!((reply.status(), since.elapsed().as_secs()), (408, 60));
    wire.rest().await;
    assert_eq!(wire.told(), ["opened", "refused timed_out", "closed"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_take_its_answer_is_cut_off() {
    let mut wire = Wire::new();
    for _ in 0..3 {
        wire.send(request(&"x".repeat(50_000))).await;
    }
    let since = tokio::time::Instant::now();
    (&mut wire.connection).await.unwrap();
    assert_eq!(since.elapsed().as_secs(), 60);
    assert_eq!(wire.told()[2..].last_chunk().unwrap(), &["refused timed_out", "closed"]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_takes_long_is_not_taken_for_an_idle_connection() {
    let mut wire = Wire::new();
    wire.send(request("wait")).await;
    wire.frontend.service.entered.notified().await;
    tokio::time::advance(Duration::from_secs(1000)).await;
    wire.frontend.service.released.notify_one();
    assert_eq!(wire.reply().await.text(), "wait");
}

#[tokio::test(start_paused = true)]
async fn large_bodies_beyond_the_budget_are_refused_with_a_time_to_come_back() {
    let mut wire = Wire::new();
    let mut other = body::Reservation::of(&wire.frontend.bodies);
    other.grow_to(Settings::default().bodies_bytes_max).unwrap();
    assert_eq!(wire.ask(request("{}")).await.status(), 200);
    let reply = wire.ask(request(&"x".repeat(90_000))).await;
    assert_eq!((reply.status(), reply.header("x-amz-retry-after")), (503, Some("1000")));
    assert!(reply.summed().contains("#ServiceUnavailableException"));
    drop(other);
    assert_eq!(wire.ask(request(&"x".repeat(90_000))).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_has_its_memory_before_it_is_read() {
    let mut wire = Wire::new();
    let budget = Settings::default().bodies_bytes_max;
    let whole = request(&"x".repeat(90_000));
    let (announced, rest) = whole.split_at(whole.len() - 89_000);
    wire.send(announced).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let mut other = body::Reservation::of(&wire.frontend.bodies);
    assert!(other.grow_to(budget - 90_000 + 1).is_err());
    other.grow_to(budget - 90_000).unwrap();
    wire.send(rest).await;
    assert_eq!(wire.reply().await.status(), 200);
    // Now there is room for half of one; whoever asks before sending is told so.
    other.grow_to(budget - 45_000).unwrap();
    let asking = announced.replacen("\r\n", "\r\nExpect: 100-continue\r\n", 1);
    let head = asking.split_inclusive("\r\n\r\n").next().unwrap();
    assert_eq!(wire.ask(head).await.status(), 503);
}

#[tokio::test(start_paused = true)]
async fn a_panic_costs_one_answer_and_not_the_connection() {
    let mut wire = Wire::new();
    let reply = wire.ask(request("panic")).await;
    assert_eq!(reply.status(), 500);
    assert!(reply.summed().contains("#InternalServerError\""), "{}", reply.text());
    assert_eq!(wire.ask(request("{}")).await.status(), 200);
    assert!(wire.told()[1].contains("500 None Some(\"InternalServerError\")"));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_http_is_answered_and_closed() {
    for nonsense in [
        "\x16\x03\x01\x02\x01\x01",
        "hello\r\n\r\n",
        "POST / HTTP/9\r\n\r\n",
        "GET / HTTP/1.1\r\nx y: z\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n{}",
        "POST / HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\n{",
    ] {
        let mut wire = Wire::new();
        wire.send(nonsense).await;
        wire.client.shutdown().await.unwrap();
        let rest = wire.rest().await;
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 4"), "{nonsense:?}: {rest}");
        assert_eq!((wire.calls(), wire.told().last().map(String::as_str)), (0, Some("closed")));
    }
}

#[tokio::test(start_paused = true)]
async fn requests_with_any_bytes_changed_are_survived() {
    let mut random = fastrand::Rng::with_seed(1);
    let chunked = head("transfer-encoding: chunked\r\n") + "\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n";
    let compressed = head("content-encoding: gzip\r\ncontent-length: 30\r\n\r\n") + &"x".repeat(30);
    let whole = [request("{\"a\":1}"), chunked, compressed];
    for _ in 0..2000 {
        let mut bytes = random.choice(&whole).unwrap().clone().into_bytes();
        for _ in 0..random.usize(1..5) {
            let place = random.usize(..bytes.len());
            match random.u8(..3) {
                0 => bytes[place] = random.u8(..),
                1 => bytes.truncate(place.max(1)),
                _ => bytes.insert(place, *random.choice(b"\r\n :;,=0\0\xff").unwrap()),
            }
        }
        let mut wire = Wire::new();
        wire.send(&bytes).await;
        wire.client.shutdown().await.unwrap();
        // Fails when the connection's task panicked.
        let mut rest = Vec::new();
        let _ = wire.client.read_to_end(&mut rest).await;
        wire.connection.await.unwrap();
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1."), "{bytes:?}");
    }
}

/// A front end that listens, with the task that serves and what ends it.
async fn listening(
    settings: Settings,
) -> (Arc<Frontend<Fake, Witness, AnyCaller>>, std::net::SocketAddr, JoinHandle<GivenUp>, CancellationToken) {
    let frontend =
        Frontend::new(Arc::new(Fake::default()), Arc::new(Witness::default()), AnyCaller, settings);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(Arc::clone(&frontend).serve(listener.into(), shutdown.clone()));
    (frontend, address, serving, shutdown)
}

#[tokio::test]
async fn draining_refuses_connections_ends_idle_ones_and_lets_requests_finish() {
    let (frontend, address, serving, shutdown) =
        listening(Settings { access: access(&[]), ..Settings::default() }).await;
    let mut idle = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut busy = tokio::net::TcpStream::connect(address).await.unwrap();
    busy.write_all(request("wait").as_bytes()).await.unwrap();
    frontend.service.entered.notified().await;
    shutdown.cancel();
    let mut rest = String::new();
    idle.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "");
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    assert!(!serving.is_finished());
    frontend.service.released.notify_one();
    busy.read_to_string(&mut rest).await.unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 OK") && rest.ends_with("wait"), "{rest}");
    assert!(rest.contains("connection: close"), "{rest}");
    assert_eq!(serving.await.unwrap(), GivenUp::default());
}

#[tokio::test]
async fn draining_ends_in_time_whatever_requests_do() {
    let settings =
        Settings { drain_timeout: Duration::from_millis(20), access: access(&[]), ..Settings::default() };
    let (frontend, address, serving, shutdown) = listening(settings).await;
    let mut busy = tokio::net::TcpStream::connect(address).await.unwrap();
    busy.write_all(request("wait").as_bytes()).await.unwrap();
    frontend.service.entered.notified().await;
    shutdown.cancel();
    assert_eq!(serving.await.unwrap(), GivenUp { requests: 1, connections: 1 });
    let mut rest = String::new();
    let _ = busy.read_to_string(&mut rest).await;
    assert_eq!(rest, "");
    assert_eq!(frontend.observer.0.lock().unwrap().last().map(String::as_str), Some("closed"));
}

#[tokio::test]
async fn a_connection_over_the_limit_waits_for_a_place() {
    let settings = Settings { max_connections: 1, access: access(&[]), ..Settings::default() };
    let (frontend, address, serving, shutdown) = listening(settings).await;
    let mut first = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut second = tokio::net::TcpStream::connect(address).await.unwrap();
    first.write_all(request("wait").as_bytes()).await.unwrap();
    frontend.service.entered.notified().await;
    let closing = request("{}").replace("host: h", "host: h\r\nconnection: close");
    second.write_all(closing.as_bytes()).await.unwrap();
    frontend.service.released.notify_one();
    let mut answer = [0; 15];
    first.read_exact(&mut answer).await.unwrap();
    assert_eq!(frontend.service.calls.load(Ordering::Relaxed), 1);
    drop(first);
    let mut rest = String::new();
    second.read_to_string(&mut rest).await.unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 OK"), "{rest}");
    assert!(frontend.observer.0.lock().unwrap().contains(&"refused connection_limit".to_owned()));
    shutdown.cancel();
    serving.await.unwrap();
}

#[test]
fn every_reason_of_a_rejection_is_listed() {
    for (number, reason) in RejectReason::ALL.into_iter().enumerate() {
        assert_eq!(reason as usize, number, "{reason:?}");
    }
}
