//! Requests of the plainest form, as SDKs send them, found in the bytes of a connection.
//!
//! This is a second reader of HTTP beside hyper. It must never see anything else than hyper does, so it reads a small part of
//! the grammar and is unsure about all of the rest. It decides two things apart: where a message ends, and whether it is a call
//! that can be answered here. Every header whose name is in none of the lists below leaves the call to hyper.

use crate::call::{Attempt, Request};
use crate::model::Operation;

use super::credentials;
use super::head::Header;

/// The first line of every call.
const FIRST_LINE: &[u8] = b"POST / HTTP/1.1\r\n";

/// The last line of every head.
const EMPTY_LINE: &[u8] = b"\r\n";

/// The largest head that is read here; hyper and the front end take larger ones.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// The most headers of a head that is read here. hyper rejects a head that has more.
const HEADERS_MAX: usize = 100;

/// The largest body of a call that is answered at the socket: a batch of a hundred keys. With its head it fits what hyper reads at a
/// time once it has seen requests of that size.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// Headers that the front end does not look at, in any call: those of SDKs, and those that balancers add.
const IGNORED: [&[u8]; 12] = [
    b"accept",
    b"user-agent",
    b"x-amz-user-agent",
    b"x-amz-api-version",
    b"x-amz-security-token",
    b"x-amz-content-sha256",
    b"amz-sdk-invocation-id",
    b"x-amzn-trace-id",
    b"x-forwarded-for",
    b"x-forwarded-port",
    b"x-forwarded-proto",
    b"via",
];

/// What the beginning of a message shows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sight<'a> {
    /// The head has not ended yet.
    Partial,
    /// Only hyper knows where it ends.
    Unsure,
    /// A message.
    Message(Message<'a>),
}

/// A message whose end is certain.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message<'a> {
    /// Its length, of which not all need be there.
    pub(super) length: usize,
    /// The call, if it is a plain one and there is nothing but it.
    pub(super) call: Option<Call<'a>>,
}

/// A call that hyper and the front end would let pass to the service, if the host is admitted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call<'a> {
    pub(super) operation: Operation,
    pub(super) attempt: Attempt,
    pub(super) host: &'a str,
    /// The lines of the headers, each with its end.
    pub(super) lines: &'a [u8],
    pub(super) body: &'a [u8],
}

impl<'a> Call<'a> {
    /// The call whose head and body have these lengths, if `bytes` are nothing but it and its body is not too large.
    pub(super) fn alone(
        bytes: &'a [u8],
        head_bytes: usize,
        body_bytes: usize,
        operation: Operation,
        attempt: Attempt,
        host: &'a str,
    ) -> Option<Self> {
        let is_alone = bytes.len() == head_bytes + body_bytes;
        if !is_alone || !(1..=BODY_BYTES_MAX).contains(&body_bytes) {
            return None;
        }
        let lines = bytes.get(FIRST_LINE.len()..head_bytes - EMPTY_LINE.len())?;
        Some(Self { operation, attempt, host, lines, body: &bytes[head_bytes..] })
    }

    /// The request, as the front end makes it.
    pub(super) fn request(&self) -> Request {
        Request { attempt: self.attempt, ..Request::new(self.operation, self.body.to_vec()) }
    }
}

/// The headers of a call, in their order, from their [lines](Call::lines).
pub(super) fn headers_of(lines: &[u8]) -> Vec<Header<'_>> {
    // An SDK sends about ten.
    let mut headers = Vec::with_capacity(16);
    headers.extend(fields_of(lines));
    headers
}

/// The same, one after the other.
pub(super) fn fields_of(mut lines: &[u8]) -> impl Iterator<Item = Header<'_>> {
    std::iter::from_fn(move || {
        let end = memchr::memchr(b'\n', lines)?;
        // Before the line feed stands a carriage return.
        let header = header(&lines[..end - 1]);
        lines = &lines[end + 1..];
        header
    })
}

/// What the headers of a message say, as far as it matters here.
#[derive(Default)]
struct Headers<'a> {
    content_length: Option<usize>,
    host: Option<&'a str>,
    operation: Option<Operation>,
    attempt: Option<Attempt>,
    has_content_type: bool,
    has_authorization: bool,
    has_date: bool,
    /// Something was found that is not for here.
    is_unusual: bool,
}

/// Reads bytes with which a message begins.
pub(super) fn read(bytes: &[u8]) -> Sight<'_> {
    let head = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let Some(lines) = head.strip_prefix(FIRST_LINE) else {
        return if FIRST_LINE.starts_with(head) { Sight::Partial } else { Sight::Unsure };
    };
    let (mut headers, mut rest, mut count) = (Headers::default(), lines, 0);
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let Some(line) = rest[..end].strip_suffix(b"\r") else { return Sight::Unsure };
        rest = &rest[end + 1..];
        if line.is_empty() {
            let head_bytes = head.len() - rest.len();
            return headers.message(bytes, head_bytes).map_or(Sight::Unsure, Sight::Message);
        }
        count += 1;
        if count > HEADERS_MAX || headers.add(line).is_none() {
            return Sight::Unsure;
        }
    }
    if bytes.len() < HEAD_BYTES_MAX { Sight::Partial } else { Sight::Unsure }
}

/// The header of a line; `None` if there is no colon in it. The name and the value may be anything.
#[inline]
fn header(line: &[u8]) -> Option<Header<'_>> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    Some((name, value.strip_prefix(b" ").unwrap_or(value)))
}

impl<'a> Headers<'a> {
    /// Takes note of a header. `None` if the framing is not certain any more.
    fn add(&mut self, line: &'a [u8]) -> Option<()> {
        let (name, value) = header(line)?;
        let value = text(value)?;
        let is = |expected: &[u8]| name.eq_ignore_ascii_case(expected);
        match name.len() {
            4 if is(b"host") => self.is_unusual |= self.host.replace(value).is_some(),
            4 if is(b"date") => self.has_date = true,
            10 if is(b"x-amz-date") => self.has_date = true,
            10 if is(b"connection") => value.eq_ignore_ascii_case("keep-alive").then_some(())?,
            12 if is(b"x-amz-target") => {
                self.is_unusual |= self.operation.is_some();
                self.operation = operation(value);
                self.is_unusual |= self.operation.is_none();
            }
            12 if is(b"content-type") => {
                self.is_unusual |= self.has_content_type || value != "application/x-amz-json-1.0";
                self.has_content_type = true;
            }
            13 if is(b"authorization") => {
                self.is_unusual |= self.has_authorization || !credentials::is_whole(value.as_bytes());
                self.has_authorization = true;
            }
            14 if is(b"content-length") => {
                let is_first = self.content_length.replace(body_length(value)?).is_none();
                is_first.then_some(())?;
            }
            15 if is(b"amz-sdk-request") => {
                self.is_unusual |= self.attempt.replace(Attempt::of_words(value)).is_some();
            }
            15 if is(b"accept-encoding") => self.is_unusual |= value != "identity",
            6 if is(b"expect") => return None,
            7 if is(b"upgrade") => return None,
            17 if is(b"transfer-encoding") => return None,
            _ if IGNORED.iter().any(|ignored| is(ignored)) => {}
            _ => {
                let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
                (!name.is_empty() && name.iter().all(is_name)).then_some(())?;
                self.is_unusual = true;
            }
        }
        Some(())
    }

    /// The message that begins with that head; `None` if its end is not certain.
    fn message(self, bytes: &'a [u8], head_bytes: usize) -> Option<Message<'a>> {
        let body_bytes = self.content_length?;
        let length = head_bytes + body_bytes;
        Some(Message { length, call: self.call(bytes, head_bytes, body_bytes) })
    }

    fn call(self, bytes: &'a [u8], head_bytes: usize, body_bytes: usize) -> Option<Call<'a>> {
        let is_call = self.has_content_type && self.has_authorization && self.has_date && !self.is_unusual;
        if !is_call {
            return None;
        }
        let attempt = self.attempt.unwrap_or_default();
        Call::alone(bytes, head_bytes, body_bytes, self.operation?, attempt, self.host?)
    }
}

/// A header's value that means the same to every reader: of visible characters and spaces, and of those none at its ends.
fn text(value: &[u8]) -> Option<&str> {
    // Not `all`, which would stop at the first and so look at one byte at a time.
    let is_other = |byte: u8| byte.wrapping_sub(b' ') > b'~' - b' ';
    let has_other = value.iter().fold(false, |found, byte| found | is_other(*byte));
    if has_other || matches!(value, [] | [b' ', ..] | [.., b' ']) {
        return None;
    }
    str::from_utf8(value).ok()
}

/// A `Content-Length` of up to seven digits, of which the first is no zero unless it is the only one.
pub(super) fn body_length(value: &str) -> Option<usize> {
    let is_plain = value.len() <= 7 && value.bytes().all(|byte| byte.is_ascii_digit());
    (is_plain && (value == "0" || !value.starts_with('0'))).then(|| value.parse().ok())?
}

/// The operation of a target that may be answered at the socket: a known one, whose answer depends on nothing else in the head.
fn operation(target: &str) -> Option<Operation> {
    let operation = Operation::from_target(target)?;
    (!matches!(operation, Operation::Unknown | Operation::DescribeEndpoints)).then_some(operation)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "Host: h\r\nX-Amz-Target: DynamoDB_20120810.GetItem\r\nContent-Type: application/x-amz-json-1.0\r\n\
        Authorization: AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c\r\nX-Amz-Date: d\r\n";

    fn request(more: &str) -> Vec<u8> {
        format!("POST / HTTP/1.1\r\n{LINES}{more}\r\n{{}}").into_bytes()
    }

    fn sight(more: &str) -> String {
        match read(&request(more)) {
            Sight::Partial => "partial".into(),
            Sight::Unsure => "unsure".into(),
            Sight::Message(Message { call: None, .. }) => "message".into(),
            Sight::Message(Message { call: Some(call), .. }) => format!("{:?}", call.attempt),
        }
    }

    #[test]
    fn a_call_has_headers_of_sdks_and_balancers_and_no_others() {
        for (more, expected) in [
            ("Content-Length: 2\r\n", "First"),
            ("content-length:2\r\nAMZ-SDK-Request: attempt=2; max=3\r\nConnection: Keep-Alive\r\n", "Again"),
            ("Content-Length: 2\r\nX-Forwarded-For: 10.0.0.1\r\nAccept-Encoding: identity\r\n", "First"),
            ("Content-Length: 2\r\nX-Other: 1\r\n", "message"),
            ("Content-Length: 2\r\nOrigin: null\r\n", "message"),
            ("Content-Length: 2\r\nTraceparent: x\r\n", "message"),
            ("Content-Length: 2\r\nAccept-Encoding: gzip\r\n", "message"),
            ("Content-Length: 2\r\nContent-Encoding: gzip\r\n", "message"),
            ("Content-Length: 2\r\nHost: h\r\n", "message"),
            ("Content-Length: 2\r\nAuthorization: AWS4-\r\n", "message"),
            ("Content-Length: 1\r\n", "message"),
            ("Content-Length: 3\r\n", "message"),
            ("Content-Length: 0\r\n", "message"),
            ("", "unsure"),
            ("Content-Length: 2\r\nContent-Length: 2\r\n", "unsure"),
            ("Content-Length: 02\r\n", "unsure"),
            ("Content-Length: +2\r\n", "unsure"),
            ("Content-Length: 2,2\r\n", "unsure"),
            ("Content-Length: \r\n", "unsure"),
            ("Content-Length:  2\r\n", "unsure"),
            ("Content-Length: 2 \r\n", "unsure"),
            ("Content-Length : 2\r\n", "unsure"),
            ("Content-Length: 2\n", "unsure"),
            ("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "unsure"),
            ("Content-Length: 2\r\nConnection: close\r\n", "unsure"),
            ("Content-Length: 2\r\nExpect: 100-continue\r\n", "unsure"),
            ("Content-Length: 2\r\nUpgrade: h2c\r\n", "unsure"),
            ("Content-Length: 2\r\n folded\r\n", "unsure"),
            ("Content-Length: 2\r\nX-Tab: a\tb\r\n", "unsure"),
            ("Content-Length: 2\r\nUser-Agent: \u{e9}\r\n", "unsure"),
            ("Content-Length: 2\r\n: 1\r\n", "unsure"),
        ] {
            assert_eq!(sight(more), expected, "{more}");
        }
        for (line, other) in [
            ("GetItem", "PutItems"),
            ("GetItem", "DescribeEndpoints"),
            ("json-1.0", "json-1.0;a"),
            ("AWS4", "AWS"),
            ("X-Amz-Date", "X-Date"),
            ("Host", "Hose"),
        ] {
            let request =
                String::from_utf8(request("Content-Length: 2\r\n")).unwrap().replacen(line, other, 1);
            let Sight::Message(message) = read(request.as_bytes()) else { panic!("{request}") };
            assert_eq!((message.length, message.call), (request.len(), None), "{request}");
        }
    }

    #[test]
    fn every_beginning_of_a_head_is_partial_and_every_one_of_a_body_is_a_message() {
        let whole = request("Content-Length: 2\r\n");
        for end in 0..whole.len() {
            let sight = read(&whole[..end]);
            match end < whole.len() - 2 {
                true => assert_eq!(sight, Sight::Partial, "{end}"),
                false => {
                    assert_eq!(sight, Sight::Message(Message { length: whole.len(), call: None }), "{end}");
                }
            }
        }
        let endless = [FIRST_LINE, &b"a: b\r\n".repeat(HEAD_BYTES_MAX / 6 + 1)].concat();
        assert_eq!(read(&endless), Sight::Unsure);
        for other in
            ["\r\nPOST / HTTP/1.1\r\n", "post / HTTP/1.1\r\n", "POST /?a HTTP/1.1\r\n", "POST / HTTP/1.0\r\n"]
        {
            assert_eq!(read(other.as_bytes()), Sight::Unsure, "{other}");
        }
    }
}
