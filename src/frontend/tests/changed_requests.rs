//! Requests that SDKs might send, and ways to change them into such as nobody should.

use fastrand::Rng;

/// One request, in parts that can be changed.
#[derive(Clone, Debug)]
pub(super) struct Message {
    lines: Vec<Vec<u8>>,
    body: Vec<u8>,
}

impl Message {
    /// The message of this first line, these headers in any order, and this body.
    pub(super) fn new(first: &str, mut headers: Vec<String>, body: &[u8], random: &mut Rng) -> Self {
        headers.push(format!("content-length: {}", body.len()));
        random.shuffle(&mut headers);
        let lines = std::iter::once(first.to_owned()).chain(headers).map(String::into_bytes);
        Self { lines: lines.collect(), body: body.to_vec() }
    }

    /// The name of an operation, of which most have hits.
    pub(super) fn operation_at_random(random: &mut Rng) -> &'static str {
        let operations = ["GetItem", "BatchGetItem", "Query", "Scan", "GetItem", "BatchGetItem", "PutItem"];
        operations[random.usize(..operations.len())]
    }

    /// A body, most often that of a hit.
    pub(super) fn body_at_random(random: &mut Rng) -> String {
        let hit = format!("{{\"hit\":{}}}", [5, 6, 300, 4095, 4097, 9000][random.usize(..6)]);
        // A batch names up to a hundred keys.
        let padding = [0, 0, 0, 0, 0, 0, 0, 5_000, 12_000, 17_000][random.usize(..10)];
        let hit = format!("{hit}{}", " ".repeat(padding));
        match random.u8(..100) {
            0 => ["\"panic\"", "\"panic at once\""][random.usize(..2)].to_owned(),
            20..22 => "{\"hit\":150000}".to_owned(),
            1..10 => "\"slow\"".to_owned(),
            10..20 => "{}".to_owned(),
            30..45 => OTHERS[random.usize(..OTHERS.len())].to_owned(),
            _ => hit,
        }
    }

    /// Headers that SDKs and balancers send now and then.
    pub(super) fn more_at_random(random: &mut Rng) -> Vec<String> {
        let attempt = ["amz-sdk-request: attempt=1; max=3", "amz-sdk-request: attempt=2; max=3"];
        let all = [
            "user-agent: aws-sdk/1 lang/rust",
            "accept-encoding: identity",
            attempt[random.usize(..2)],
            "connection: keep-alive",
            "x-forwarded-for: 10.0.0.1",
        ];
        all.into_iter().filter(|_| random.u8(..5) == 0).map(str::to_owned).collect()
    }

    pub(super) fn at_random(random: &mut Rng) -> Self {
        let operation = Self::operation_at_random(random);
        let mut headers = vec![
            "host: h".to_owned(),
            format!("x-amz-target: DynamoDB_20120810.{operation}"),
            "content-type: application/x-amz-json-1.0".to_owned(),
            "authorization: AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c".to_owned(),
            "x-amz-date: d".to_owned(),
        ];
        headers.extend(Self::more_at_random(random));
        let body = Self::body_at_random(random);
        Self::new("POST / HTTP/1.1", headers, body.as_bytes(), random)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.lines.join(&b"\r\n"[..]);
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// A header's line.
    pub(super) fn line(&mut self, random: &mut Rng) -> &mut Vec<u8> {
        let place = random.usize(1..self.lines.len());
        &mut self.lines[place]
    }

    /// The line of that header, which is added if there is none.
    pub(super) fn find(&mut self, name: &str) -> &mut Vec<u8> {
        let found = self.lines.iter().position(|line| line.starts_with(name.as_bytes()));
        let place = found.unwrap_or(self.lines.len());
        if found.is_none() {
            self.lines.push(name.as_bytes().to_vec());
        }
        &mut self.lines[place]
    }

    pub(super) fn put(&mut self, line: &str, random: &mut Rng) {
        let place = random.usize(1..=self.lines.len());
        self.lines.insert(place, line.into());
    }
}

/// Bodies with answers of their own.
const OTHERS: [&str; 8] = [
    "\"rejected\"",
    "\"throttled\"",
    "\"failed\"",
    "\"unheard of\"",
    "\"identified\"",
    "\"void\"",
    "\"long\"",
    "\"unavailable\"",
];

/// A way to change a request.
pub(super) type Mutation = (&'static str, fn(&mut Message, &mut Rng));

/// Headers that mean something to one reader or the other.
const MORE: [&str; 38] = [
    "host: h",
    "host: evil.example",
    "x-amz-target: DynamoDB_20120810.Query",
    "content-type: application/json",
    "content-type: text/plain",
    "authorization: Basic a",
    "x-amz-date: e",
    "date: f",
    "content-length: 2",
    "content-length: 0",
    "content-length: 18446744073709551616",
    "transfer-encoding: chunked",
    "transfer-encoding: identity",
    "te: trailers",
    "expect: 100-continue",
    "upgrade: h2c",
    "connection: close",
    "connection: upgrade",
    "connection: keep-alive, x",
    "connection: x-amz-date",
    "keep-alive: timeout=1",
    "proxy-connection: close",
    "trailer: x",
    "origin: https://app.example",
    "origin: null",
    "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    "accept-encoding: gzip",
    "accept-encoding: deflate, identity",
    "accept-encoding: *",
    "content-encoding: gzip",
    "content-encoding: identity",
    "amz-sdk-request: attempt=5",
    "x-other: 1",
    "x_other: 1",
    "x.other: 1",
    "x other: 1",
    "cookie: a=b",
    "via: 1.1 balancer",
];

pub(super) const MUTATIONS: &[Mutation] = &[
    ("none", |_, _| {}),
    ("case of a name", |message, random| {
        let line = message.line(random);
        let end = line.iter().position(|byte| *byte == b':').unwrap_or(0);
        line[..end].make_ascii_uppercase();
    }),
    ("case of a value", |message, random| message.line(random).make_ascii_uppercase()),
    ("another header", |message, random| {
        let line = MORE[random.usize(..MORE.len())];
        message.put(line, random);
    }),
    ("another header", |message, random| {
        let line = MORE[random.usize(..MORE.len())];
        message.put(line, random);
    }),
    ("a doubled line", |message, random| {
        let line = message.line(random).clone();
        message.lines.push(line);
    }),
    ("a dropped line", |message, random| {
        let place = random.usize(..message.lines.len());
        message.lines.remove(place);
    }),
    ("space around a value", |message, random| {
        let space = [" ", "\t", "  "][random.usize(..3)];
        let line = message.line(random);
        match (random.u8(..4), line.iter().position(|byte| *byte == b':')) {
            (0, Some(colon)) => drop(line.splice(colon..colon, space.bytes())),
            (1, Some(colon)) => drop(line.splice(colon + 1..colon + 1, space.bytes())),
            (2, Some(colon)) => drop(line.splice(colon + 1..=colon + 1, [])),
            _ => line.extend(space.bytes()),
        }
    }),
    ("a folded line", |message, random| {
        let fold = ["\r\n folded", "\r\n\tfolded", "\n folded", "\r folded"][random.usize(..4)];
        message.line(random).extend(fold.bytes());
    }),
    ("a bare end of line", |message, random| {
        let end = ["\n", "\r", "\n\r", "\r\r\n", "\0"][random.usize(..5)];
        let more = format!("{end}a: b");
        message.line(random).extend(more.bytes());
    }),
    ("an early end of the head", |message, random| {
        let end = ["\r\n\r\n", "\n\n", "\r\n\n", "\n\r\n"][random.usize(..4)];
        let more = format!("{end}a: b");
        message.line(random).extend(more.bytes());
    }),
    ("a wrong length", |message, random| {
        let length = message.body.len().wrapping_add_signed([-3, -1, 1, 2, 500][random.usize(..5)]);
        *message.find("content-length") = format!("content-length: {length}").into();
    }),
    ("a length in other words", |message, random| {
        let length = message.body.len();
        let words = [
            format!("0{length}"),
            format!("+{length}"),
            format!("-{length}"),
            format!("{length},{length}"),
            format!("{length}, 7"),
            format!("{length}.0"),
            format!("0x{length:x}"),
            format!("{length};"),
            String::new(),
        ];
        *message.find("content-length") = format!("content-length: {}", words[random.usize(..9)]).into();
    }),
    ("chunks", |message, _| {
        let chunk =
            format!("{:x}\r\n{}\r\n0\r\n\r\n", message.body.len(), String::from_utf8_lossy(&message.body));
        message.body = chunk.into();
        *message.find("content-length") = b"transfer-encoding: chunked".to_vec();
    }),
    ("a large head", |message, random| {
        // Of one between 32 and 64 KiB it depends on the pieces in which it is read which of the readers rejects it.
        let lengths = [3_000, 7_700, 8_200, 17_000, 70_000];
        let line = format!("user-agent: {}", "u".repeat(lengths[random.usize(..5)]));
        message.put(&line, random);
    }),
    ("many headers", |message, random| {
        let (count, is_plain) = ([20, 90, 99, 100, 101, 120][random.usize(..6)], random.bool());
        for number in message.lines.len()..=count {
            let line = if is_plain { "via: 1.1 b".to_owned() } else { format!("x-{number}: 1") };
            message.lines.push(line.into());
        }
    }),
    ("a large body", |message, random| {
        message.body = vec![b' '; [7_000, 8_000, 9_000, 33_000, 120_000][random.usize(..5)]];
        *message.find("content-length") = format!("content-length: {}", message.body.len()).into();
    }),
    ("no body", |message, _| {
        message.body.clear();
        *message.find("content-length") = b"content-length: 0".to_vec();
    }),
    ("another first line", |message, random| {
        let lines = [
            "GET / HTTP/1.1",
            "POST / HTTP/1.0",
            "POST / HTTP/1.2",
            "POST / HTTP/2.0",
            "POST /x HTTP/1.1",
            "POST /?X-Amz-Algorithm=AWS4-HMAC-SHA256 HTTP/1.1",
            "POST http://h/ HTTP/1.1",
            "POST http://evil.example/ HTTP/1.1",
            "post / HTTP/1.1",
            "POST  / HTTP/1.1",
            "POST / HTTP/1.1 ",
            " POST / HTTP/1.1",
            "POST /",
            "HEAD / HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "PRI * HTTP/2.0",
            "\r\nPOST / HTTP/1.1",
            "\nPOST / HTTP/1.1",
        ];
        message.lines[0] = lines[random.usize(..lines.len())].into();
    }),
    ("another authorization", |message, random| {
        let values = [
            "",
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b",
            "AWS4-HMAC-SHA256 Credential=, SignedHeaders=b, Signature=c",
            "AWS4-HMAC-SHA256 Credential=a,SignedHeaders=b,Signature=c",
            "AWS4-X Signature=c Credential=a SignedHeaders=b",
            "AWS4-HMAC-SHA256Credential=a, SignedHeaders=b, Signature=c",
            "Bearer x",
        ];
        *message.find("authorization") = format!("authorization: {}", values[random.usize(..8)]).into();
    }),
    ("a changed byte", |message, random| {
        let line = message.line(random);
        let place = random.usize(..line.len().max(1));
        if let Some(byte) = line.get_mut(place) {
            *byte = random.u8(..);
        }
    }),
    ("a changed byte of the body", |message, random| {
        let place = random.usize(..message.body.len().max(1));
        if let Some(byte) = message.body.get_mut(place) {
            *byte = random.u8(..);
        }
    }),
    ("bytes behind", |message, random| {
        let more: [&[u8]; 4] = [b"\r\n", b"\n", b"x", b"POST / HT"];
        message.body.extend_from_slice(more[random.usize(..4)]);
    }),
];
