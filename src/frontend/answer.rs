//! Answers: their bodies, headers and sums.

use std::convert::Infallible;
use std::ops::Range;
use std::pin::Pin;
use std::sync::LazyLock;
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use hyper::body::{Body, Frame, SizeHint};

use super::encoding::Coding;
use crate::call::Source;
use crate::engine::Served;
use crate::model::ApiError;

pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const CACHE: HeaderName = HeaderName::from_static("x-nearside-cache");
const CRC32: HeaderName = HeaderName::from_static("x-amz-crc32");

/// The service compresses no smaller bodies.
const COMPRESSED_MIN: usize = 4096;

/// Larger ones are compressed on a thread that may block.
const COMPRESSED_INLINE_MAX: usize = 32 * 1024;

/// The body of an answer: known as a whole, so that its length is sent before it.
#[derive(Debug)]
pub(super) struct AnswerBody {
    bytes: Option<Bytes>,
    /// Sent in chunks although there is nothing to send, as the service does with bodies that are too large.
    chunked: bool,
}

impl AnswerBody {
    fn whole(bytes: Bytes) -> Self {
        Self { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()), chunked: false }
    }

    fn empty_chunks() -> Self {
        Self { bytes: None, chunked: true }
    }

    /// The bytes that are sent.
    pub(super) fn into_bytes(self) -> Bytes {
        self.bytes.unwrap_or_default()
    }

    pub(super) fn length(&self) -> usize {
        self.bytes.as_ref().map_or(0, Bytes::len)
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.chunked = false;
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none() && !self.chunked
    }

    fn size_hint(&self) -> SizeHint {
        if self.chunked {
            return SizeHint::default();
        }
        SizeHint::with_exact(self.length() as u64)
    }
}

/// The two kinds of JSON that clients ask for; answers are of the kind that was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    AmzJson,
    Json,
}

impl Protocol {
    /// Reads a content type. `None` when it is neither.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(header::CONTENT_TYPE)?.as_bytes();
        let kind = value.split(|byte| *byte == b';').next()?.trim_ascii();
        match kind {
            b"application/x-amz-json-1.0" => Some(Self::AmzJson),
            b"application/json" => Some(Self::Json),
            _ => None,
        }
    }

    fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::AmzJson => "application/x-amz-json-1.0",
            Self::Json => "application/json",
        })
    }
}

/// The length of a request id.
const ID_BYTES: usize = 52;

/// A new request id: 52 characters that nobody has seen before.
pub fn request_id() -> HeaderValue {
    let mut id = [0; ID_BYTES];
    write_request_id(&mut id);
    HeaderValue::from_bytes(&id).expect("letters and digits make a header's value")
}

/// A new request id as text, without an allocation.
pub(super) struct RequestId([u8; ID_BYTES]);

impl RequestId {
    pub(super) fn new() -> Self {
        let mut id = [0; ID_BYTES];
        write_request_id(&mut id);
        Self(id)
    }

    pub(super) fn as_str(&self) -> &str {
        str::from_utf8(&self.0).expect("letters and digits are text")
    }
}

fn write_request_id(out: &mut [u8]) {
    // One of its own for most, because asking the thread for its generator each time takes longer than the letters. The rest is the
    // thread's, so that no two ids are the same where two such generators begin alike.
    let mut random = fastrand::Rng::new();
    let (parts, rest) = out.as_chunks_mut();
    for part in parts {
        *part = letters(random.u64(..));
    }
    rest.copy_from_slice(&letters(fastrand::u64(..))[..rest.len()]);
}

/// Eight of the characters `0` to `9` and `A` to `V`, each made in its byte of a word at random.
fn letters(random: u64) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const LETTERS_BEGIN: u64 = 10;
    let values = random & (EACH * 31);
    // The upper bit of a byte shows that its value is not a digit.
    let is_letter = ((values + EACH * (0x80 - LETTERS_BEGIN)) >> 7) & EACH;
    let to_letters = u64::from(b'A' - b'0') - LETTERS_BEGIN;
    (values + EACH * u64::from(b'0') + is_letter * to_letters).to_le_bytes()
}

/// The values that differ from answer to answer.
struct Stamps {
    request_id: HeaderValue,
    crc32: HeaderValue,
    age: Option<HeaderValue>,
}

impl Stamps {
    /// New values, all in one allocation.
    fn new(crc32: u32, age_seconds: Option<u64>) -> Self {
        let mut text = [0; ID_BYTES + 10 + 20];
        write_request_id(&mut text[..ID_BYTES]);
        let mut end = ID_BYTES;
        let mut put = |number: &str| {
            let start = end;
            end += number.len();
            text[start..end].copy_from_slice(number.as_bytes());
            start..end
        };
        let crc32 = put(itoa::Buffer::new().format(crc32));
        let age = age_seconds.map(|age| put(itoa::Buffer::new().format(age)));
        let text = Bytes::from_owner(text);
        let value = |range| {
            HeaderValue::from_maybe_shared(text.slice(range))
                .expect("letters and digits make a header's value")
        };
        Self { request_id: value(0..ID_BYTES), crc32: value(crc32), age: age.map(value) }
    }
}

/// The headers of an answer of the API that is of the cache's age or of none, with values to be replaced by [`Stamps`].
/// Cloning them costs less than inserting one after the other.
fn template(protocol: Protocol, has_age: bool) -> HeaderMap {
    static TEMPLATES: LazyLock<[HeaderMap; 4]> = LazyLock::new(|| {
        let make = |protocol: Protocol, has_age| {
            // Room for more than these: hyper reads the next request into what is left of an answer's headers.
            let mut headers = HeaderMap::with_capacity(12);
            headers.insert(header::SERVER, HeaderValue::from_static("Server"));
            headers.insert(header::CONTENT_TYPE, protocol.header());
            for name in [REQUEST_ID, CACHE, CRC32] {
                headers.insert(name, HeaderValue::from_static(""));
            }
            if has_age {
                headers.insert(header::AGE, HeaderValue::from_static(""));
            }
            headers
        };
        [
            make(Protocol::AmzJson, false),
            make(Protocol::AmzJson, true),
            make(Protocol::Json, false),
            make(Protocol::Json, true),
        ]
    });
    TEMPLATES[2 * usize::from(protocol == Protocol::Json) + usize::from(has_age)].clone()
}

/// An answer with headers that every answer has, and room for those of the fullest.
fn response(status: StatusCode, body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(12);
    headers.insert(header::SERVER, HeaderValue::from_static("Server"));
    response
}

/// A body that is not of the API's JSON, with its sum.
pub(super) fn plain(status: StatusCode, bytes: Bytes, crc32: u32) -> Response<AnswerBody> {
    let mut response = response(status, AnswerBody::whole(bytes));
    response.headers_mut().insert(CRC32, HeaderValue::from(crc32));
    response
}

/// No body at all.
pub(super) fn empty(status: StatusCode) -> Response<AnswerBody> {
    response(status, AnswerBody::whole(Bytes::new()))
}

/// The answer to a body that is too large.
pub(super) fn too_large() -> Response<AnswerBody> {
    response(StatusCode::PAYLOAD_TOO_LARGE, AnswerBody::empty_chunks())
}

/// How the answer to a request with these headers is to be compressed.
pub(super) fn coding(served: &Served, asked: &HeaderMap) -> Option<Coding> {
    if served.answer.body.len() < COMPRESSED_MIN { None } else { Coding::accepted(asked) }
}

/// An answer of the API.
pub(super) fn api(served: Served, protocol: Protocol) -> Response<AnswerBody> {
    let Served { answer, crc32, source, age_seconds, .. } = served;
    let crc32 = crc32.unwrap_or_else(|| crc32fast::hash(&answer.body));
    let stamps = Stamps::new(crc32, age_seconds);
    let mut headers = template(protocol, age_seconds.is_some());
    let (mut stamped, mut age) = ([Some(stamps.request_id), Some(stamps.crc32)], stamps.age);
    for (name, value) in &mut headers {
        let stamp = match name {
            name if name == REQUEST_ID => stamped[0].take(),
            name if name == CRC32 => stamped[1].take(),
            name if name == CACHE => Some(source_header(source)),
            name if name == header::AGE => age.take(),
            _ => None,
        };
        if let Some(stamp) = stamp {
            *value = stamp;
        }
    }
    for (name, value) in &answer.headers {
        forward(&mut headers, name, value);
    }
    let mut response = Response::new(AnswerBody::whole(answer.body));
    *response.status_mut() = status(answer.status);
    *response.headers_mut() = headers;
    response
}

/// The date as answers have it, made once a second.
pub(super) struct Date {
    /// Until when it holds.
    until: Option<Instant>,
    text: [u8; 29],
}

impl Date {
    /// One that does not hold any more.
    pub(super) const NEVER: Self = Self { until: None, text: [0; 29] };

    fn now(&mut self) -> &[u8] {
        let now = Instant::now();
        if self.until.is_none_or(|until| now >= until) {
            let wall = SystemTime::now();
            let part = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().subsec_nanos();
            self.until = Some(now + Duration::from_nanos(1_000_000_000 - u64::from(part)));
            let text = httpdate::fmt_http_date(wall);
            if let Ok(text) = text.as_bytes().try_into() {
                self.text = text;
            }
        }
        &self.text
    }
}

/// Says that the connection ends with this answer.
pub(super) fn mark_last(response: &mut Response<AnswerBody>) {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}

/// Writes the head of an answer as hyper writes it. The answer must not be in chunks.
pub(super) fn write_head(response: &Response<AnswerBody>, date: &mut Date, out: &mut Vec<u8>) {
    let status = response.status();
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or("<none>").as_bytes());
    out.extend_from_slice(b"\r\n");
    for (name, value) in response.headers() {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    write_end(response.body().length(), date, out);
}

fn write_end(body_bytes: usize, date: &mut Date, out: &mut Vec<u8>) {
    out.extend_from_slice(b"content-length: ");
    out.extend_from_slice(itoa::Buffer::new().format(body_bytes).as_bytes());
    out.extend_from_slice(b"\r\ndate: ");
    out.extend_from_slice(date.now());
    out.extend_from_slice(b"\r\n\r\n");
}

/// Writes the head of an answer that [`api`] makes of a success without headers, for the protocol that SDKs speak, as hyper writes
/// it. Gives the place of the request id in `out`.
pub(super) fn write_success_head(served: &Served, date: &mut Date, out: &mut Vec<u8>) -> Range<usize> {
    let body = &served.answer.body;
    let crc32 = served.crc32.unwrap_or_else(|| crc32fast::hash(body));
    let mut number = itoa::Buffer::new();
    out.extend_from_slice(
        b"HTTP/1.1 200 OK\r\nserver: Server\r\ncontent-type: application/x-amz-json-1.0\r\nx-amzn-requestid: ",
    );
    let mut id = [0; ID_BYTES];
    write_request_id(&mut id);
    let id_start = out.len();
    out.extend_from_slice(&id);
    out.extend_from_slice(b"\r\nx-nearside-cache: ");
    write_source(served.source, out);
    out.extend_from_slice(b"\r\nx-amz-crc32: ");
    out.extend_from_slice(number.format(crc32).as_bytes());
    if let Some(age) = served.age_seconds {
        out.extend_from_slice(b"\r\nage: ");
        out.extend_from_slice(number.format(age).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    write_end(body.len(), date, out);
    id_start..id_start + ID_BYTES
}

/// A compressed answer of the API.
pub(super) async fn compressed_api(
    mut served: Served,
    protocol: Protocol,
    coding: Coding,
) -> Response<AnswerBody> {
    served.answer.body = compress(served.answer.body, coding).await;
    served.crc32 = None;
    let mut response = api(served, protocol);
    response.headers_mut().insert(header::CONTENT_ENCODING, coding.header());
    response
}

/// An error that the front end answers by itself: no cache had a part in it.
pub(super) fn local(error: ApiError, protocol: Protocol) -> Response<AnswerBody> {
    let status = status(error.code.status());
    let bytes = Bytes::from(error.to_json());
    let crc32 = crc32fast::hash(&bytes);
    let mut response = plain(status, bytes, crc32);
    response.headers_mut().insert(header::CONTENT_TYPE, protocol.header());
    response
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// Passes on a header of the upstream, unless it speaks of bytes or of a connection that are not ours.
fn forward(headers: &mut HeaderMap, name: &str, value: &str) {
    let ours = matches!(
        name,
        "connection"
            | "content-encoding"
            | "content-length"
            | "date"
            | "server"
            | "transfer-encoding"
            | "x-amz-crc32"
    );
    if ours {
        return;
    }
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        headers.insert(name, value);
    }
}

fn source_header(source: Source) -> HeaderValue {
    if !matches!(source, Source::Batch { .. }) {
        return HeaderValue::from_static(source.label());
    }
    let mut text = Vec::with_capacity(32);
    write_source(source, &mut text);
    HeaderValue::from_maybe_shared(Bytes::from(text)).expect("letters and digits make a header's value")
}

/// Writes where an answer comes from, as a header says it.
fn write_source(source: Source, out: &mut Vec<u8>) {
    let Source::Batch { hit, miss, stale } = source else {
        return out.extend_from_slice(source.label().as_bytes());
    };
    for (name, count) in [("hit=", hit), (",miss=", miss), (",stale=", stale)] {
        // What is stale is said only where there is something.
        if count > 0 || name != ",stale=" {
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
        }
    }
}

async fn compress(bytes: Bytes, coding: Coding) -> Bytes {
    if bytes.len() <= COMPRESSED_INLINE_MAX {
        return coding.compress(&bytes);
    }
    tokio::task::spawn_blocking(move || coding.compress(&bytes)).await.expect("compressing does not panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_are_52_letters_and_digits_and_differ() {
        let (one, other) = (request_id(), request_id());
        assert_eq!(one.len(), 52);
        assert!(one.as_bytes().iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase()));
        assert_ne!(one, other);
    }

    #[test]
    fn every_letter_of_an_id_comes_and_no_other() {
        let each: Vec<u8> = (0..32).map(|value| letters(value)[0]).collect();
        assert_eq!(each, b"0123456789ABCDEFGHIJKLMNOPQRSTUV");
        assert_eq!(letters(u64::MAX), *b"VVVVVVVV");
        assert_eq!(letters(0x0a09_1f00_e0ea_e9ff), *b"V9A00V9A");
    }

    #[test]
    fn headers_of_framing_are_not_passed_on() {
        let mut headers = HeaderMap::new();
        forward(&mut headers, "content-length", "5");
        forward(&mut headers, "bad name", "5");
        forward(&mut headers, "x-amz-retry-after", "5");
        assert_eq!(headers.len(), 1);
    }
}
