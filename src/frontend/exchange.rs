//! One request and its answer: the envelope checked, the service asked, the answer dressed in headers.

use std::future::poll_fn;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::Instant;

use crate::engine::{Served, Source};
use crate::model::{ApiError, ErrorCode, Operation};
use crate::upstream::{Answer, Request};
use crate::wire::Json;

use super::body::{Fault, Received};
use super::{Exchange, Frontend, Observer, Service, credentials};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const CRC32: HeaderName = HeaderName::from_static("x-amz-crc32");
const CACHE: HeaderName = HeaderName::from_static("x-nearside-cache");
const RETRY_AFTER: HeaderName = HeaderName::from_static("x-amz-retry-after");
const AMZ_JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.0");
const PLAIN_JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers smaller than this are not worth compressing.
const COMPRESSED_MIN: usize = 1024;
/// Answers larger than this are compressed off the connections' threads.
const COMPRESSED_INLINE_MAX: usize = 32 * 1024;

/// What the service says to whatever is no call of the API.
const NOT_AN_OPERATION: &[u8] = b"<UnknownOperationException/>\n";

/// A request's id, as the service forms it: 52 upper-case letters and digits.
struct RequestId([u8; 52]);

impl RequestId {
    fn new() -> Self {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";
        let mut id = [0; 52];
        for chunk in id.chunks_mut(12) {
            let mut random = fastrand::u64(..);
            for character in chunk {
                *character = ALPHABET[(random & 31) as usize];
                random >>= 5;
            }
        }
        Self(id)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("the alphabet is ASCII")
    }

    fn header(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.0).expect("the alphabet is allowed in headers")
    }
}

impl<S: Service, O: Observer> Frontend<S, O> {
    /// Answers one request; never fails.
    pub(super) async fn respond(&self, request: http::Request<Incoming>) -> Response<Full<Bytes>> {
        let started = Instant::now();
        let (head, body) = request.into_parts();
        let id = RequestId::new();
        let received = match self.receive(&head.headers, body).await {
            Ok(received) => received,
            Err(fault) => {
                self.observer.refused(fault.refusal());
                return refuse(fault, &id);
            }
        };
        let mut response = match self.envelope(&head, &received) {
            Envelope::Outside(response) => response,
            Envelope::Refused(error) => {
                let operation = operation_of(&head).unwrap_or(Operation::Unknown);
                let served = Outcome { operation, source: None, table: None };
                self.dress(&head, &received, &id, started, error.into(), None, served).await
            }
            Envelope::Call(operation) => self.call(&head, &received, &id, started, operation).await,
        };
        response.headers_mut().entry(REQUEST_ID).or_insert_with(|| id.header());
        if head.headers.contains_key(header::ORIGIN) {
            allow_origin(&head, response.headers_mut());
        }
        response
    }

    /// What the request is, by its head alone; and the service's order of checks.
    fn envelope(&self, head: &Parts, received: &Received) -> Envelope {
        if head.method == Method::OPTIONS && head.headers.contains_key(header::ORIGIN) {
            return Envelope::Outside(Response::new(Full::new(Bytes::new())));
        }
        if head.method == Method::GET || head.method == Method::HEAD {
            return Envelope::Outside(plain(StatusCode::OK, self.health.0.clone(), self.health.1));
        }
        let content_type = content_type(&head.headers);
        let known_type = matches!(content_type, "application/x-amz-json-1.0" | "application/json");
        if head.method != Method::POST || !(known_type || received.bytes.is_empty()) {
            let sum = crc32fast::hash(NOT_AN_OPERATION);
            return Envelope::Outside(plain(
                StatusCode::NOT_FOUND,
                Bytes::from_static(NOT_AN_OPERATION),
                sum,
            ));
        }
        let operation = operation_of(head);
        let credentials = credentials::check(&head.headers, head.uri.query());
        if let (Some(operation), Ok(())) = (operation, &credentials) {
            return match received.bytes.is_empty() {
                true => Envelope::Refused(bare(ErrorCode::Serialization)),
                false => Envelope::Call(operation),
            };
        }
        // A body that is no JSON is told before the rest; the service behind tells it to everyone else.
        if !received.bytes.is_empty() && Json::parse(&received.bytes).is_err() {
            return Envelope::Refused(bare(ErrorCode::Serialization));
        }
        match operation {
            None => Envelope::Refused(bare(ErrorCode::UnknownOperation)),
            Some(_) => {
                Envelope::Refused(credentials.err().unwrap_or_else(|| bare(ErrorCode::UnknownOperation)))
            }
        }
    }

    async fn call(
        &self,
        head: &Parts,
        received: &Received,
        id: &RequestId,
        started: Instant,
        operation: Operation,
    ) -> Response<Full<Bytes>> {
        let mut request = Request::new(operation, received.bytes.clone());
        if operation == Operation::Unknown {
            request.unknown_target = target_of(head).map(Into::into);
        }
        let served = self.execute(request).await;
        let Served { answer, crc32, source, age_seconds, table } = served;
        let outcome = Outcome { operation, source: Some(source), table: table.as_deref() };
        let mut response = self.dress(head, received, id, started, answer, crc32, outcome).await;
        let headers = response.headers_mut();
        headers.insert(CACHE, cache_header(source));
        if let Some(age) = age_seconds {
            headers.insert(header::AGE, HeaderValue::from(age));
        }
        response
    }

    /// Asks the service; a panic in it is an error of this one request.
    async fn execute(&self, request: Request) -> Served {
        let mut answering = pin!(self.service.execute(request));
        let answered = poll_fn(|context| {
            let polled = catch_unwind(AssertUnwindSafe(|| answering.as_mut().poll(context)));
            match polled {
                Ok(poll) => poll.map(Some),
                Err(_) => std::task::Poll::Ready(None),
            }
        });
        answered.await.unwrap_or_else(|| {
            tracing::error!("A request's handler panicked.");
            let error = ApiError::new(ErrorCode::InternalServerError, "The request could not be processed.");
            Served {
                answer: error.into(),
                crc32: None,
                source: Source::Write,
                age_seconds: None,
                table: None,
            }
        })
    }

    /// Puts an answer of the API into its headers, and tells the observer.
    #[expect(clippy::too_many_arguments, reason = "an exchange has two sides and a few facts")]
    async fn dress(
        &self,
        head: &Parts,
        received: &Received,
        id: &RequestId,
        started: Instant,
        answer: Answer,
        crc32: Option<u32>,
        outcome: Outcome<'_>,
    ) -> Response<Full<Bytes>> {
        let compressed = answer.body.len() > COMPRESSED_MIN && accepts_gzip(&head.headers);
        let (body, crc32) = match compressed {
            true => (compress(answer.body.clone()).await, None),
            false => (answer.body.clone(), crc32),
        };
        let crc32 = crc32.unwrap_or_else(|| crc32fast::hash(&body));
        self.observer.answered(&Exchange {
            operation: outcome.operation,
            source: outcome.source,
            table: outcome.table,
            status: answer.status,
            error_type: if answer.status >= 400 { error_type(&answer.body) } else { None },
            latency: started.elapsed(),
            request_bytes: received.sent,
            answer_bytes: body.len(),
            request_id: id.as_str(),
        });
        let mut response = Response::new(Full::new(body));
        *response.status_mut() =
            StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.reserve(8);
        headers.insert(header::SERVER, HeaderValue::from_static("Server"));
        let amz = content_type(&head.headers) == "application/x-amz-json-1.0";
        headers.insert(header::CONTENT_TYPE, if amz { AMZ_JSON } else { PLAIN_JSON });
        headers.insert(CRC32, HeaderValue::from(crc32));
        if compressed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        for (name, value) in &answer.headers {
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                headers.insert(name, value);
            }
        }
        response
    }
}

/// What a request is.
enum Envelope {
    /// No call of the API; this is its answer.
    Outside(Response<Full<Bytes>>),
    /// A call that goes no further.
    Refused(ApiError),
    /// A call for the service behind.
    Call(Operation),
}

/// What the observer is told of a call besides its answer.
struct Outcome<'a> {
    operation: Operation,
    source: Option<Source>,
    table: Option<&'a str>,
}

/// An error of which the service says no more than its type.
fn bare(code: ErrorCode) -> ApiError {
    ApiError { code, message: None, members: None }
}

fn target_of(head: &Parts) -> Option<&str> {
    head.headers.get("x-amz-target")?.to_str().ok()
}

fn operation_of(head: &Parts) -> Option<Operation> {
    Operation::from_target(target_of(head)?)
}

/// The content type without its parameters.
fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

fn cache_header(source: Source) -> HeaderValue {
    HeaderValue::from_static(match source {
        Source::Hit => "hit",
        Source::Miss => "miss",
        Source::Joined => "joined",
        Source::Bypass(_) => "bypass",
        Source::Write => "write",
        Source::Stale => "stale",
        Source::Batch { hit, miss } => {
            let text = format!("hit={hit},miss={miss}");
            return HeaderValue::try_from(text).expect("digits are allowed in headers");
        }
    })
}

/// The name of an error, from its body: what stands between the `#` and the next quote.
fn error_type(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body.get(..body.len().min(200))?).ok()?;
    text.split_once("\"__type\":\"")?.1.split('"').next()?.rsplit('#').next()
}

fn plain(status: StatusCode, body: Bytes, crc32: u32) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CRC32, HeaderValue::from(crc32));
    response
}

/// The answer to a body that could not be had.
fn refuse(fault: Fault, id: &RequestId) -> Response<Full<Bytes>> {
    let (error, status) = match fault {
        Fault::TooLarge => (bare(ErrorCode::RequestEntityTooLarge), StatusCode::PAYLOAD_TOO_LARGE),
        Fault::Overloaded => {
            let words = "Too many large requests are under way. Try again.";
            (ApiError::new(ErrorCode::ServiceUnavailable, words), StatusCode::SERVICE_UNAVAILABLE)
        }
        Fault::TimedOut => (bare(ErrorCode::Serialization), StatusCode::REQUEST_TIMEOUT),
        Fault::Broken => (bare(ErrorCode::Serialization), StatusCode::BAD_REQUEST),
    };
    let body = Bytes::from(error.to_json());
    let sum = crc32fast::hash(&body);
    let mut response = plain(status, body, sum);
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id.header());
    headers.insert(header::CONTENT_TYPE, AMZ_JSON);
    match fault {
        Fault::Overloaded => headers.insert(RETRY_AFTER, HeaderValue::from_static("200")),
        // Something of the body may still come, and would be read as the next request.
        _ => headers.insert(header::CONNECTION, HeaderValue::from_static("close")),
    };
    response
}

/// What a browser must hear to let a page read the answer.
fn allow_origin(head: &Parts, headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if head.method != Method::OPTIONS {
        return;
    }
    let asked = [
        (header::ACCESS_CONTROL_REQUEST_HEADERS, header::ACCESS_CONTROL_ALLOW_HEADERS),
        (header::ACCESS_CONTROL_REQUEST_METHOD, header::ACCESS_CONTROL_ALLOW_METHODS),
    ];
    for (question, answer) in asked {
        if let Some(value) = head.headers.get(question) {
            headers.insert(answer, value.clone());
        }
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("172800"));
}

/// True when the client says by name that it takes gzip: `*` is not enough, since some clients send it and break.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let value =
        headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split(',').any(|encoding| {
        let (name, parameters) = encoding.split_once(';').unwrap_or((encoding, ""));
        let refused = matches!(parameters.trim().strip_prefix("q="), Some("0" | "0.0" | "0.00" | "0.000"));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

async fn compress(body: Bytes) -> Bytes {
    fn squeeze(body: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 3), Compression::fast());
        encoder.write_all(body).expect("writing to memory cannot fail");
        encoder.finish().expect("writing to memory cannot fail").into()
    }
    if body.len() <= COMPRESSED_INLINE_MAX {
        return squeeze(&body);
    }
    tokio::task::spawn_blocking(move || squeeze(&body)).await.expect("compressing does not panic")
}
