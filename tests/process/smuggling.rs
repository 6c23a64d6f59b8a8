//! Hostile HTTP: whatever comes is one request or is refused, so that no byte of it is taken for a request of its own.
//!
//! Each shape hides a DescribeLimits where a careless server would find a second request. It must never be served.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::callers::{EVERYTHING, Files, SECRET, Signer, key};
use crate::client::{Nearside, PATIENCE, request};

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

/// What must come of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    /// One answer of 200.
    Served,
    /// No answer, or one that is an error, and the end of the connection.
    Refused,
    /// As [`Expected::Refused`]. It is not whole, so its connection may stay open as long as more may come.
    CutOff,
    /// One of 200, and for the bytes behind its end one error at most.
    ServedThenRefused,
    /// An error, and for the bytes behind its end another one at most.
    RefusedTwice,
    /// Two answers of 200: it is two requests.
    Both,
}

use Expected::{Both, CutOff, Refused, RefusedTwice, Served, ServedThenRefused};

/// Statuses of the answers on a connection.
fn statuses(answers: &[u8]) -> Vec<u16> {
    let (mut statuses, mut rest) = (Vec::new(), answers);
    while !rest.is_empty() {
        let end =
            rest.windows(4).position(|four| four == b"\r\n\r\n").expect("an answer has a whole head") + 4;
        let head = std::str::from_utf8(&rest[..end]).unwrap().to_ascii_lowercase();
        let status = head.strip_prefix("http/1.").and_then(|head| head.split(' ').nth(1));
        let status: u16 = status.unwrap_or_else(|| panic!("no answer begins with {head:?}")).parse().unwrap();
        let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let is_chunked = head.contains("transfer-encoding: chunked");
        let body = if is_chunked { 5 } else { length.map_or(0, |length| length.parse().unwrap()) };
        rest = rest.get(end + body..).expect("an answer is whole");
        if status != 100 {
            statuses.push(status);
        }
    }
    statuses
}

/// Whether the client says that it sends no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Closed,
    Open,
}

/// The statuses of what comes of bytes on a connection of their own until the node ends it.
fn outcome(address: SocketAddr, bytes: &[u8], end: End) -> Vec<u16> {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // A node that refuses may close before it has read everything.
    stream.write_all(bytes).ok();
    if end == End::Closed {
        stream.shutdown(Shutdown::Write).ok();
    }
    let mut answers = Vec::new();
    match stream.read_to_end(&mut answers) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => {}
        Err(error) => panic!("the node neither answers nor ends the connection: {error}"),
    }
    statuses(&answers)
}

fn is_as(expected: Expected, statuses: &[u16]) -> bool {
    let is_error = |status: &u16| (400..600).contains(status);
    match expected {
        Served => statuses == [200],
        Refused | CutOff => statuses.len() <= 1 && statuses.iter().all(is_error),
        ServedThenRefused => statuses.len() <= 2 && statuses[0] == 200 && statuses[1..].iter().all(is_error),
        RefusedTwice => (1..=2).contains(&statuses.len()) && statuses.iter().all(is_error),
        Both => statuses == [200, 200],
    }
}

/// Sends every shape, with and without the word that no more comes, and checks that the node lives on.
fn send_all(nearside: &Nearside, shapes: &[(&str, Vec<u8>, Expected)], lives: impl Fn() -> bool + Sync) {
    let mut wrong = Vec::new();
    // Each connection that stays open costs the idle timeout, so several are open at a time.
    for some in shapes.chunks(16) {
        let lives = &lives;
        std::thread::scope(|scope| {
            let sending = some.iter().flat_map(|shape| [(shape, End::Closed), (shape, End::Open)]);
            let sending = sending.filter(|((.., expected), end)| *expected != CutOff || *end == End::Closed);
            let sent: Vec<_> = sending
                .map(|((name, bytes, expected), end)| {
                    let send = move || (outcome(nearside.address, bytes, end), lives());
                    (name, expected, end, scope.spawn(send))
                })
                .collect();
            for (name, expected, end, sent) in sent {
                let (statuses, lives) = sent.join().unwrap_or_else(|_| panic!("{name}, {end:?}"));
                if !is_as(*expected, &statuses) || !lives {
                    wrong.push(format!("{name}, {end:?}: {statuses:?} is not {expected:?}; lives: {lives}"));
                }
            }
        });
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let metrics = nearside.metrics();
    // One that was refused has an answer, which was counted above.
    let is_hidden = |line: &&str| {
        line.starts_with("nearside_requests_total{op=\"DescribeLimits\"")
            && !line.contains("source=\"refused\"")
    };
    let hidden = metrics.lines().find(is_hidden);
    assert_eq!(hidden, None);
    assert!(!metrics.contains("nearside_errors_total{code=\"InternalServerError\""), "{metrics}");
}

/// The head of a ListTables without the headers of its body and the empty line, for that start of it.
fn head(start: &str) -> String {
    let whole = String::from_utf8(request("ListTables", "{}")).unwrap();
    let headers = whole.split_once("\r\n").unwrap().1;
    let kept = headers.split_inclusive("\r\n").take_while(|line| !line.starts_with("Content-Length"));
    start.to_owned() + &kept.collect::<String>()
}

/// A ListTables with these headers and what follows them.
fn post(headers: &str, body: &str) -> Vec<u8> {
    (head("POST / HTTP/1.1\r\n") + headers + "\r\n" + body).into_bytes()
}

/// The request that must not be found.
fn hidden() -> String {
    String::from_utf8(request("DescribeLimits", "{}")).unwrap()
}

/// A request that may be found, because it is one of its own.
fn second() -> String {
    String::from_utf8(request("DescribeEndpoints", "{}")).unwrap()
}

/// The same with one place changed, of bytes.
fn changed(bytes: Vec<u8>, from: &str, to: &[u8]) -> Vec<u8> {
    let start = bytes.windows(from.len()).position(|part| part == from.as_bytes()).expect(from);
    [&bytes[..start], to, &bytes[start + from.len()..]].concat()
}

type Shape = (&'static str, Vec<u8>, Expected);

/// Bodies whose length is said in more ways than one, or in none that counts.
fn lengths() -> Vec<Shape> {
    let length = |value: &str| post(&format!("Content-Length: {value}\r\n"), "{}");
    let hidden = hidden();
    let both = 2 + hidden.len();
    vec![
        ("a length", length("2"), Served),
        (
            "two lengths, the shorter first",
            post(&format!("Content-Length: 2\r\nContent-Length: {both}\r\n"), &format!("{{}}{hidden}")),
            Refused,
        ),
        (
            "two lengths, the longer first",
            post(&format!("Content-Length: {both}\r\nContent-Length: 2\r\n"), &format!("{{}}{hidden}")),
            Refused,
        ),
        ("the same length twice", post("Content-Length: 2\r\nContent-Length: 2\r\n", "{}"), Served),
        ("a list of equal lengths", length("2, 2"), Refused),
        (
            "a list of lengths",
            post(&format!("Content-Length: 2, {both}\r\n"), &format!("{{}}{hidden}")),
            Refused,
        ),
        ("a negative length", length("-2"), Refused),
        ("a length with a plus", length("+2"), Refused),
        ("a length in hexadecimal", length("0x2"), Refused),
        ("a length with a parameter", length("2;"), Refused),
        ("a length with a space in it", length("2 0"), Refused),
        ("a length with a fraction", length("2.0"), Refused),
        ("a length in quotes", length("\"2\""), Refused),
        ("a length in letters", length("two"), Refused),
        ("a length without digits", length(""), Refused),
        ("a length of more than 64 bits", length("99999999999999999999"), Refused),
        ("a length of 64 bits", length("18446744073709551615"), Refused),
        ("a length that wraps around to 2", length("18446744073709551618"), Refused),
        ("a length with zeros before it", length("0000000002"), Served),
        (
            "a length with an underscore in its name",
            post("Content_Length: 2\r\n", "{}\r\n\r\n"),
            RefusedTwice,
        ),
        ("no length", post("", "{}\r\n\r\n"), RefusedTwice),
        ("a body longer than its length", post("Content-Length: 2\r\n", "{}{}\r\n\r\n"), ServedThenRefused),
        ("a body shorter than its length", post("Content-Length: 200\r\n", "{}"), CutOff),
        (
            "garbage behind a body",
            post("Content-Length: 2\r\n", "{}\x01\x02\x03 / HTTP/1.1\r\n\r\n"),
            ServedThenRefused,
        ),
    ]
}

/// Requests within and behind others.
fn sequences() -> Vec<Shape> {
    let (hidden, second) = (hidden(), second());
    vec![
        ("a request within a body", post(&format!("Content-Length: {}\r\n", hidden.len()), &hidden), Refused),
        (
            "a request in the body of a GET",
            format!("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{hidden}", hidden.len())
                .into_bytes(),
            Served,
        ),
        (
            "a length that belongs to the connection",
            post("Connection: Content-Length\r\nContent-Length: 2\r\n", "{}"),
            Served,
        ),
        ("two requests", [post("Content-Length: 2\r\n", "{}"), second.into_bytes()].concat(), Both),
        (
            "a request behind the last one",
            post("Connection: close\r\nContent-Length: 2\r\n", &format!("{{}}{hidden}")),
            Served,
        ),
    ]
}

/// Bodies in chunks, or said to be.
fn codings() -> Vec<Shape> {
    let (hidden, second) = (hidden(), second());
    let ends_early = format!("2\r\n{{}}\r\n0\r\n\r\n{hidden}");
    let whole = ends_early.len();
    let coded = |value: &str| post(&format!("Content-Length: 2\r\nTransfer-Encoding:{value}\r\n"), "{}");
    vec![
        (
            "a length before chunks",
            post(&format!("Content-Length: {whole}\r\n{CHUNKED}"), &ends_early),
            Served,
        ),
        (
            "chunks before a length",
            post(&format!("{CHUNKED}Content-Length: {whole}\r\n"), &ends_early),
            Served,
        ),
        (
            "chunks, and a length of less",
            post(&format!("Content-Length: 4\r\n{CHUNKED}"), &ends_early),
            Served,
        ),
        (
            "chunks, and a length that is none",
            post(&format!("{CHUNKED}Content-Length: x\r\n"), &ends_early),
            Served,
        ),
        (
            "a length that is none, and chunks",
            post(&format!("Content-Length: x\r\n{CHUNKED}"), &ends_early),
            Refused,
        ),
        ("chunks in capitals", post("Transfer-Encoding: CHUNKED\r\n", "2\r\n{}\r\n0\r\n\r\n"), Served),
        ("chunks behind a tab", post("Transfer-Encoding:\tchunked\r\n", "2\r\n{}\r\n0\r\n\r\n"), Served),
        ("chunks twice", post(&format!("{CHUNKED}{CHUNKED}"), "2\r\n{}\r\n0\r\n\r\n"), Served),
        (
            "chunks with an underscore in the name",
            post("Content-Length: 2\r\nTransfer_Encoding: chunked\r\n", "{}"),
            Served,
        ),
        ("an unknown coding", coded(" xchunked"), Refused),
        ("identity behind chunks", coded(" chunked, identity"), Refused),
        ("identity in a header behind chunks", coded(" chunked\r\nTransfer-Encoding: identity"), Refused),
        ("identity", coded(" identity"), Refused),
        ("an empty coding", coded(""), Refused),
        ("chunks in quotes", coded(" \"chunked\""), Refused),
        ("chunks with a parameter", coded(" chunked;q=1"), Refused),
        ("chunks behind a vertical tab", coded(" \x0bchunked"), Refused),
        (
            "chunks behind a name with a space",
            changed(coded(" chunked"), "Encoding:", b"Encoding :"),
            Refused,
        ),
        ("chunks in a folded line", changed(coded(" chunked"), "Transfer-", b" Transfer-"), Refused),
        ("chunks in HTTP/1.0", changed(post(CHUNKED, &ends_early), "HTTP/1.1", b"HTTP/1.0"), Refused),
        ("a request behind chunks", post(CHUNKED, &format!("2\r\n{{}}\r\n0\r\n\r\n{second}")), Both),
    ]
}

/// Faults within chunks.
fn chunks() -> Vec<Shape> {
    let chunked = |body: &str| post(CHUNKED, body);
    let (hidden, second) = (hidden(), second());
    vec![
        ("a chunk with an extension", chunked("2;a=b\r\n{}\r\n0\r\n\r\n"), Served),
        ("a chunk with an extension in quotes", chunked("2;a=\"b\"\r\n{}\r\n0\r\n\r\n"), Served),
        ("an extension with a line feed", chunked(&format!("2;a\n{{}}\r\n0\r\n\r\n{hidden}")), Refused),
        (
            "an extension without an end",
            chunked(&format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "a".repeat(1 << 16))),
            Refused,
        ),
        ("a size in letters", chunked("zz\r\n{}\r\n0\r\n\r\n"), Refused),
        ("a size with a prefix", chunked("0x2\r\n{}\r\n0\r\n\r\n"), Refused),
        ("a negative size", chunked("-2\r\n{}\r\n0\r\n\r\n"), Refused),
        ("a size with a plus", chunked("+2\r\n{}\r\n0\r\n\r\n"), Refused),
        ("a size with an underscore", chunked("0_2\r\n{}\r\n0\r\n\r\n"), Refused),
        ("a size of more than 64 bits", chunked("10000000000000002\r\n{}\r\n0\r\n\r\n"), Refused),
        ("an empty size", chunked("\r\n{}\r\n0\r\n\r\n"), Refused),
        ("a chunk without a line end", chunked("2\r\n{}0\r\n\r\n"), Refused),
        ("a chunk that is longer than its size", chunked("2\r\n{}{}\r\n0\r\n\r\n"), Refused),
        ("lines of chunks that end with a line feed", chunked("2\n{}\n0\n\n"), Refused),
        ("lines of chunks that end with a carriage return", chunked("2\r{}\r0\r\r"), Refused),
        ("chunks without the last", chunked("2\r\n{}\r\n"), CutOff),
        (
            "a target in the trailers",
            chunked("2\r\n{}\r\n0\r\nX-Amz-Target: DynamoDB_20120810.DescribeLimits\r\n\r\n"),
            Served,
        ),
        (
            "a length in the trailers",
            chunked(&format!("2\r\n{{}}\r\n0\r\nContent-Length: {}\r\n\r\n{second}", second.len())),
            Both,
        ),
        (
            "trailers without an end",
            chunked(&format!("2\r\n{{}}\r\n0\r\nX: {}\r\n\r\n", "a".repeat(1 << 16))),
            Refused,
        ),
    ]
}

/// First lines that are not as they should be, or not usual.
fn first_lines() -> Vec<Shape> {
    let plain = || post("Content-Length: 2\r\n", "{}");
    let line = |line: &str| changed(plain(), "POST / HTTP/1.1", line.as_bytes());
    vec![
        ("a whole target", line("POST http://localhost/ HTTP/1.1"), Served),
        ("a whole target elsewhere", line("POST http://evil.example/ HTTP/1.1"), Refused),
        ("a whole target of another scheme", line("POST file:///etc/passwd HTTP/1.1"), Refused),
        ("a target that is an authority", line("POST localhost:8000 HTTP/1.1"), Refused),
        ("a tunnel", line("CONNECT localhost:8000 HTTP/1.1"), Refused),
        ("a target that is a star", line("OPTIONS * HTTP/1.1"), Refused),
        ("an unknown method", line("SMUGGLE / HTTP/1.1"), Refused),
        ("a method with a bracket", line("PO(ST / HTTP/1.1"), Refused),
        ("a tab in the first line", line("POST\t/\tHTTP/1.1"), Refused),
        ("a space behind the version", line("POST / HTTP/1.1 "), Refused),
        ("a space before the method", line(" POST / HTTP/1.1"), Refused),
        ("empty lines before the first", line("\r\n\r\nPOST / HTTP/1.1"), Served),
        (
            "HTTP/1.0",
            changed(post("Content-Length: 2\r\n", &format!("{{}}{}", hidden())), "HTTP/1.1", b"HTTP/1.0"),
            Served,
        ),
        (
            "HTTP/1.0 that stays",
            changed(post("Connection: keep-alive\r\nContent-Length: 2\r\n", "{}"), "HTTP/1.1", b"HTTP/1.0"),
            Served,
        ),
        ("HTTP/0.9", b"GET /\r\n".to_vec(), Refused),
        ("HTTP/1.2", line("POST / HTTP/1.2"), Refused),
        ("HTTP/2.0", line("POST / HTTP/2.0"), Refused),
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(), Refused),
        ("a version in small letters", line("POST / http/1.1"), Refused),
        ("the first bytes of TLS", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n".to_vec(), Refused),
        ("a long target", line(&format!("POST /{} HTTP/1.1", "a".repeat(1 << 17))), Refused),
    ]
}

/// Headers that are not as they should be, or not usual.
fn headers() -> Vec<Shape> {
    let plain = || post("Content-Length: 2\r\n", "{}");
    let line = |line: &str| changed(plain(), "POST / HTTP/1.1", line.as_bytes());
    let host = |host: &str| changed(plain(), "Host: localhost\r\n", host.as_bytes());
    let header =
        |header: &[u8]| changed(plain(), "Content-Length", &[header, b"\r\nContent-Length"].concat());
    let many: String = (0..200).map(|nth| format!("X-{nth}: a\r\n")).collect();
    vec![
        (
            "lines that end with a line feed",
            String::from_utf8(plain()).unwrap().replace("\r\n", "\n").into_bytes(),
            Served,
        ),
        (
            "lines that end with a carriage return",
            String::from_utf8(plain()).unwrap().replace("\r\n", "\r").into_bytes(),
            Refused,
        ),
        ("a carriage return in a value", header(b"X: a\rb"), Refused),
        (
            "a request behind a carriage return in a value",
            header(&[b"X: a\r\r\n\r\n", hidden().as_bytes()].concat()),
            Refused,
        ),
        ("a folded value", header(b"X: a\r\n b"), Refused),
        ("a folded first line", line("POST / HTTP/1.1\r\n X: a"), Refused),
        ("a space before a colon", header(b"X : a"), Refused),
        ("a header without a colon", header(b"X"), Refused),
        ("a header without a name", header(b": a"), Refused),
        ("a zero in a value", header(b"X: a\0b"), Refused),
        ("a zero in a name", header(b"X\0: a"), Refused),
        ("a byte above ASCII in a name", header(b"X\xff: a"), Refused),
        ("a bracket in a name", header(b"X(a): a"), Refused),
        ("a space in a name", header(b"X a: a"), Refused),
        ("a byte above ASCII in a value", header(b"X: \xff"), Served),
        ("the same host twice", host("Host: localhost\r\nHost: localhost\r\n"), Refused),
        ("two hosts", host("Host: localhost\r\nHost: evil.example\r\n"), Refused),
        ("a list of hosts", host("Host: localhost, evil.example\r\n"), Refused),
        ("a host with a user", host("Host: localhost@evil.example\r\n"), Refused),
        ("an empty host", host("Host:\r\n"), Refused),
        ("no host", host(""), Refused),
        ("a body that waits for leave", header(b"Expect: 100-continue"), Served),
        ("an unknown expectation", header(b"Expect: 200-ok"), Served),
        (
            "an upgrade to HTTP/2",
            header(
                b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
            ),
            Served,
        ),
        (
            "an upgrade to a web socket",
            header(b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZQ=="),
            Served,
        ),
        ("a long header", header(&[b"X: ".as_slice(), &[b'a'; 1 << 17]].concat()), Refused),
        (
            "a header that is a little too long",
            header(&[b"X: ".as_slice(), &[b'a'; 1 << 14]].concat()),
            Refused,
        ),
        ("many headers", header(many.trim_end().as_bytes()), Refused),
        ("a head without an end", head("POST / HTTP/1.1\r\n").into_bytes(), CutOff),
    ]
}

#[test]
fn hostile_http_is_one_request_or_refused() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("nearside.toml");
    std::fs::write(&config, "[server]\nidle_timeout = \"1s\"\n").unwrap();
    let nearside = Nearside::start(&["--in-memory", "--config", config.to_str().unwrap()]);
    let shapes = [lengths(), sequences(), codings(), chunks(), first_lines(), headers()].concat();
    assert!(shapes.len() >= 60, "{}", shapes.len());
    let lives = || nearside.connect().call("ListTables", "{}").is_some_and(|(status, _)| status == 200);
    send_all(&nearside, &shapes, lives);
}

/// The admin listener reads no bodies, and its connections stay open for a minute.
#[test]
fn hostile_http_is_one_request_or_refused_at_the_admin_listener() {
    let nearside = Nearside::start(&["--in-memory"]);
    for (name, bytes, expected) in
        [lengths(), sequences(), codings(), chunks(), first_lines(), headers()].concat()
    {
        let statuses = outcome(nearside.admin, &bytes, End::Closed);
        let most = if matches!(expected, Both | ServedThenRefused | RefusedTwice) { 2 } else { 1 };
        let is_page = name == "a request in the body of a GET";
        assert!(statuses.len() <= most, "{name}: {statuses:?}");
        assert!(statuses.iter().all(|status| (*status >= 400) != is_page), "{name}: {statuses:?}");
    }
    assert!(nearside.is_ready());
}

/// The same bytes in chunks, and others.
fn signed_chunks(caller: &Signer) -> Vec<Shape> {
    let hidden = caller.request("DescribeLimits", "{}");
    let length = "content-length: 2\r\n";
    let in_chunks = |more: &str, body: &str| {
        let with = changed(caller.request("ListTables", "{}"), length, format!("{more}{CHUNKED}").as_bytes());
        changed(with, "\r\n\r\n{}", format!("\r\n\r\n{body}").as_bytes())
    };
    let target = "x-amz-target: DynamoDB_20120810.ListTables\r\n";
    let other = "x-amz-target: DynamoDB_20120810.DescribeLimits\r\n";
    vec![
        ("in chunks", in_chunks("", "1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"), Served),
        ("in chunks of other bytes", in_chunks("", "3\r\n{ }\r\n0\r\n\r\n"), Refused),
        ("in chunks with a length", in_chunks(length, "2\r\n{}\r\n0\r\n\r\n"), Served),
        (
            "in chunks with a length, before another",
            [in_chunks(length, "2\r\n{}\r\n0\r\n\r\n"), hidden.clone()].concat(),
            Served,
        ),
        (
            "in chunks, with its target in the trailers",
            changed(
                in_chunks("", "2\r\n{}\r\n0\r\nx-amz-target: DynamoDB_20120810.ListTables\r\n\r\n"),
                target,
                b"",
            ),
            Refused,
        ),
        (
            "with another target in the trailers",
            in_chunks("", &format!("2\r\n{{}}\r\n0\r\n{other}\r\n")),
            Served,
        ),
    ]
}

/// What could change the meaning of a request that somebody else has signed, and what does not.
fn signed_shapes(caller: &Signer) -> Vec<Shape> {
    let plain = || caller.request("ListTables", "{}");
    let hidden = caller.request("DescribeLimits", "{}");
    let of = |from: &str, to: &[u8]| changed(plain(), from, to);
    let length = "content-length: 2\r\n";
    let target = "x-amz-target: DynamoDB_20120810.ListTables\r\n";
    let other = "x-amz-target: DynamoDB_20120810.DescribeLimits\r\n";
    vec![
        ("as it was signed", plain(), Served),
        ("with another target behind its own", of(target, format!("{target}{other}").as_bytes()), Refused),
        ("with another target before its own", of(target, format!("{other}{target}").as_bytes()), Refused),
        ("with its target twice", of(target, format!("{target}{target}").as_bytes()), Refused),
        ("with another target", of(target, other.as_bytes()), Refused),
        (
            "with a folded target",
            of(target, b"x-amz-target: DynamoDB_20120810.ListTables\r\n a\r\n"),
            Refused,
        ),
        (
            "with spaces around its target",
            of(target, b"x-amz-target:   DynamoDB_20120810.ListTables \t\r\n"),
            Served,
        ),
        ("with its target in capitals", of("x-amz-target", b"X-AMZ-TARGET"), Served),
        ("with its host twice", of("host: localhost", b"host: localhost\r\nhost: localhost"), Refused),
        ("with another host", of("host: localhost", b"host: 127.0.0.1"), Refused),
        ("with another port", of("host: localhost", b"host: localhost:81"), Refused),
        ("with a whole target of another host", of("POST /", b"POST http://127.0.0.1/"), Served),
        ("with a whole target elsewhere", of("POST /", b"POST http://evil.example/"), Refused),
        ("with another path", of("POST /", b"POST //"), Refused),
        ("with a query", of("POST /", b"POST /?a=b"), Refused),
        ("with another method", of("POST /", b"PUT /"), Refused),
        (
            "with a longer body",
            changed(of(length, b"content-length: 3\r\n"), "\r\n\r\n{}", b"\r\n\r\n{ }"),
            Refused,
        ),
        ("with two lengths", of(length, b"content-length: 2\r\ncontent-length: 3\r\n"), Refused),
        (
            "with an encoding of its body",
            of(length, b"content-length: 2\r\ncontent-encoding: identity\r\n"),
            Served,
        ),
        ("with its signature twice", of("authorization: ", b"authorization: a\r\nauthorization: "), Refused),
        (
            "with lines that end with a line feed",
            String::from_utf8(plain()).unwrap().replace("\r\n", "\n").into_bytes(),
            Served,
        ),
        ("as HTTP/1.0", changed([plain(), hidden.clone()].concat(), "HTTP/1.1", b"HTTP/1.0"), Served),
    ]
}

#[test]
fn hostile_http_does_not_change_what_was_signed() {
    let files = Files::new();
    let secret = files.put("secret", SECRET);
    let config = files.config(&key("AKIDALL", &secret, EVERYTHING));
    let text = std::fs::read_to_string(&config).unwrap();
    files.put("nearside.toml", &format!("[server]\nidle_timeout = \"1s\"\n{text}"));
    let nearside = Nearside::start(&["--in-memory", "--config", config.to_str().unwrap()]);
    let caller = Signer::new("AKIDALL", SECRET);
    let lives = || caller.ask(&nearside, "ListTables", "{}").0 == 200;
    let mut shapes = [signed_shapes(&caller), signed_chunks(&caller)].concat();
    // Without a signature nothing of the others is served, wherever it ends.
    shapes.extend(
        [lengths(), sequences(), codings(), chunks(), first_lines(), headers()]
            .concat()
            .into_iter()
            .filter_map(|(name, bytes, expected)| {
                let unsigned = match expected {
                    Refused | CutOff => expected,
                    Served if name.contains("GET") => return None,
                    Served => Refused,
                    ServedThenRefused | RefusedTwice => RefusedTwice,
                    Both => return None,
                };
                Some((name, bytes, unsigned))
            }),
    );
    send_all(&nearside, &shapes, lives);
}
