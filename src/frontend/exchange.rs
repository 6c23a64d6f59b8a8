//! One exchange: a request's head and body in, an answer out, with the service's order of checks.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use hyper::body::Incoming;

use super::answer::{self, AnswerBody, Protocol};
use super::body::Received;
use super::credentials::Credential;
use super::encoding::Coding;
use super::fault::Fault;
use super::peer::Peer;
use super::{
    Authenticator, Caller, Entrance, Exchange, Frontend, Observer, Presented, RejectReason, Service,
    Unverified, cors, large,
};
use crate::access::{Admitted, Rejection};
use crate::call::{Attempt, DenialReason, Request, Source, Trace, Verdict};
use crate::engine::Served;
use crate::model::{ApiError, ErrorCode, ErrorName, Operation};
use crate::wire::{index_named, only_table};

const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// In which SDKs say which attempt this is: `attempt=2; max=3`.
const SDK_REQUEST: HeaderName = HeaderName::from_static("amz-sdk-request");

/// The trace of a request, as W3C's Trace Context has it, and what its parties tell each other.
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACE_STATE: HeaderName = HeaderName::from_static("tracestate");

/// What the service answers to anything that is not a call of its API, and its sum.
const UNKNOWN: &[u8] = b"<UnknownOperationException/>\n";
const UNKNOWN_CRC32: u32 = 3_552_371_480;

/// The largest head of a request: its method, target and headers.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// When a client may try again that was refused for want of memory.
const RETRY_AFTER: HeaderName = HeaderName::from_static("x-amz-retry-after");
const RETRY_AFTER_MILLISECONDS: &str = "1000";

impl<S: Service, O: Observer, A: Authenticator> Frontend<S, O, A> {
    /// Answers one request, whatever it is.
    pub(super) fn respond(
        self: &Arc<Self>,
        request: http::Request<Incoming>,
        peer: &Peer,
    ) -> impl Future<Output = Response<AnswerBody>> {
        // Not an `async fn`, whose future would have room for the request and for its parts.
        let begun = Instant::now();
        let (head, body) = request.into_parts();
        async move {
            let unanswered = Unanswered(self);
            // The body is taken in any case, or a client that still sends it would not read the answer.
            let body = if head_bytes(&head) > HEAD_BYTES_MAX {
                Box::pin(self.discard(body)).await;
                Err(Fault::HeadTooLarge)
            } else {
                self.receive(&head.headers, body).await
            };
            let access = if peer.is_over_tls { &self.settings.tls_access } else { &self.settings.access };
            let mut response = match (access.admit(&head), body) {
                (Err(rejection), _) => self.reject(&head, &rejection),
                (Ok(Admitted::Program), body) => self.route(&head, peer, body, begun).await,
                (Ok(Admitted::Page(allowed)), body) => {
                    let mut response = match cors::is_preflight(&head) {
                        true => cors::preflight(&head),
                        false => self.route(&head, peer, body, begun).await,
                    };
                    cors::open(response.headers_mut(), allowed);
                    response
                }
            };
            if self.is_draining.load(Ordering::Relaxed) {
                answer::mark_last(&mut response);
            }
            std::mem::forget(unanswered);
            response
        }
    }

    async fn route(
        self: &Arc<Self>,
        head: &Parts,
        peer: &Peer,
        body: Result<Received, Fault>,
        begun: Instant,
    ) -> Response<AnswerBody> {
        let body = match body {
            Ok(body) => body,
            Err(fault) => return self.refuse(head, peer, fault, begun),
        };
        let protocol = Protocol::of(&head.headers);
        match self.route_aside(head, &body, protocol) {
            Some(response) => response,
            None => self.call(head, peer, body, protocol.unwrap_or(Protocol::Json), begun).await,
        }
    }

    /// Answers what is no call of the API.
    fn route_aside(
        &self,
        head: &Parts,
        body: &Received,
        protocol: Option<Protocol>,
    ) -> Option<Response<AnswerBody>> {
        let mut response = if head.uri.path() != "/" {
            unknown()
        } else if head.method == Method::GET {
            answer::plain(StatusCode::OK, self.health.0.clone(), self.health.1)
        } else if head.method != Method::POST || (protocol.is_none() && !body.bytes.is_empty()) {
            unknown()
        } else {
            return None;
        };
        response.headers_mut().insert(answer::REQUEST_ID, answer::request_id());
        Some(response)
    }

    /// A call of the API.
    async fn call(
        self: &Arc<Self>,
        head: &Parts,
        peer: &Peer,
        mut body: Received,
        protocol: Protocol,
        begun: Instant,
    ) -> Response<AnswerBody> {
        let request_bytes = body.sent;
        let audits = self.observer.audits();
        let coding = Coding::of_body(&head.headers);
        let trace = self.observer.trace(trace(&head.headers));
        let of_head = || Known { trace: trace.as_deref(), ..Known::of_head(head, peer, request_bytes) };
        let (operation, caller) = match self.admit(head, peer, &body, coding) {
            Ok(admitted) => admitted,
            Err(Unadmitted { error, verdict }) => {
                let audited = Some(&*body.bytes).filter(|_| audits && verdict.denial().is_some());
                let (table, index) = (audited.and_then(only_table), audited.and_then(index_named));
                let (table, index) = (table.as_deref(), index.as_deref());
                let known = Known { verdict, table, index, ..of_head() };
                return self.answer_alone(error, protocol, known, begun);
            }
        };
        if coding != Ok(None) {
            // Boxed, so that the future of a request that is not compressed stays small.
            body = match Box::pin(self.decode(coding, body)).await {
                Ok(body) => body,
                Err(fault) => return self.refuse(head, peer, fault, begun),
            };
        }
        if let Some(error) = lack_of_body(operation, &body) {
            return self.answer_alone(error, protocol, Known::of_head(head, peer, request_bytes), begun);
        }
        let principal = caller.principal().filter(|_| audits).cloned();
        let principal = principal.as_ref().map(|principal| principal.name.as_str());
        let kept = audits.then(|| body.bytes.clone());
        let request = Request { trace: trace.clone(), ..request_of(head, operation) };
        let executed = if large::is_large(&body) {
            // Boxed, so that the future of a small request stays small.
            Box::pin(self.execute_large(caller, request, body)).await
        } else {
            let request = Request { body: std::mem::take(&mut body.bytes), ..request };
            self.execute(caller, request).await
        };
        let mut served = match executed {
            Ok(served) => served,
            Err(error) => {
                let verdict = verdict_of(error.code);
                let kept = kept.as_deref().filter(|_| verdict.denial().is_some());
                let (table, index) = (kept.and_then(only_table), kept.and_then(index_named));
                let (table, index) = (table.as_deref(), index.as_deref());
                let known = Known { verdict, principal, table, index, ..of_head() };
                return self.answer_alone(error, protocol, known, begun);
            }
        };
        let source = Some(served.source);
        let (table, index) = (served.table.take(), kept.as_deref().and_then(index_named));
        let error = served.answer.error.take();
        let mut response = match answer::coding(&served, &head.headers) {
            Some(coding) => Box::pin(answer::compressed_api(served, protocol, coding)).await,
            None => answer::api(served, protocol),
        };
        let known = Known {
            operation,
            source,
            table: table.as_deref(),
            index: index.as_deref(),
            principal,
            peer,
            verdict: Verdict::Allowed,
            error: error.as_ref(),
            request_bytes,
            trace: trace.as_deref(),
        };
        self.observe(&mut response, known, begun);
        response
    }

    /// The operation and the caller of a call, or what the service finds wrong with its envelope. The body is as sent.
    fn admit<'h>(
        &self,
        head: &'h Parts,
        peer: &'h Peer,
        body: &Received,
        coding: Result<Option<Coding>, Fault>,
    ) -> Result<(Operation, Caller<'h>), Unadmitted> {
        match self.identify(head, peer, body.sha256) {
            // The service parses the body first of all. Here it is parsed once more only when that shows, and not at all if it would
            // have to be decompressed: strangers could have much done with few bytes.
            Err(Unadmitted { error, verdict })
                if coding == Ok(None) && !body.bytes.is_empty() && !is_json(&body.bytes) =>
            {
                let error = match error.code {
                    // A target that is not known is the least of it.
                    ErrorCode::UnknownOperation => malformed(),
                    _ => told(&format!(
                        "its body is not JSON. Its credentials are not as they should be, too: {error}"
                    )),
                };
                Err(Unadmitted { error, verdict })
            }
            admitted => admitted,
        }
    }

    async fn decode(&self, coding: Result<Option<Coding>, Fault>, body: Received) -> Result<Received, Fault> {
        match coding? {
            Some(coding) => self.decompress(coding, body).await,
            None => Ok(body),
        }
    }

    fn identify<'h>(
        &self,
        head: &'h Parts,
        peer: &'h Peer,
        body_sha256: Option<[u8; 32]>,
    ) -> Result<(Operation, Caller<'h>), Unadmitted> {
        let operation = target(head).and_then(Operation::from_target).ok_or_else(unknown_operation)?;
        let certificate = peer.certificate.as_ref();
        let of_certificate = certificate.filter(|_| Credential::is_missing(head));
        let caller = Credential::parse(head).map_err(Unverified::from).and_then(|credential| {
            self.authenticator.authenticate(&Presented { credential, certificate, body_sha256 })
        });
        let caller = caller.or_else(|missing| match of_certificate {
            Some(certificate) => self.authenticator.recognize(certificate)?.ok_or(missing),
            None => Err(missing),
        });
        match caller {
            Ok(caller) => Ok((operation, caller)),
            // The target is judged before the credentials, so a request without any is not worth passing on.
            Err(Unverified { reason, .. }) if operation == Operation::Unknown => {
                Err(Unadmitted { error: unknown_operation(), verdict: Verdict::Denied(reason) })
            }
            Err(Unverified { error, reason }) => Err(Unadmitted { error, verdict: Verdict::Denied(reason) }),
        }
    }

    /// Has the service answer. A panic of it is one request's misfortune, not the connection's.
    pub(super) async fn execute(&self, caller: Caller<'_>, request: Request) -> Result<Served, ApiError> {
        guarded(self.service.execute(caller, request)).await
    }

    /// The same for a request at which the service has looked.
    pub(super) async fn execute_understood(
        &self,
        caller: Caller<'_>,
        request: Request,
        understood: S::Understood,
    ) -> Result<Served, ApiError> {
        guarded(self.service.execute_understood(caller, request, understood)).await
    }
}

/// What comes of a request, or the error that is answered if its handler panics.
async fn guarded(execution: impl Future<Output = Result<Served, ApiError>>) -> Result<Served, ApiError> {
    let mut execution = pin!(execution);
    std::future::poll_fn(|context| {
        // What a panic may have left half done is behind the service's own locks, which it must mind anyway.
        let polled = std::panic::catch_unwind(AssertUnwindSafe(|| execution.as_mut().poll(context)));
        match polled {
            Ok(polled) => polled,
            Err(_) => {
                tracing::error!("A request's handler panicked.");
                let error = ApiError::new(ErrorCode::InternalServerError, "Internal server error");
                Poll::Ready(Err(error))
            }
        }
    })
    .await
}

/// What was called, in a request that is answered at the socket.
#[derive(Clone, Copy)]
pub(super) struct Called<'a> {
    pub(super) operation: Operation,
    pub(super) peer: &'a Peer,
    pub(super) request_bytes: usize,
}

impl<'a> Called<'a> {
    /// A request whose body is as sent.
    pub(super) fn plain(request: &Request, peer: &'a Peer) -> Self {
        Self { operation: request.operation, peer, request_bytes: request.body.len() }
    }
}

/// A request under way. Dropped, its client gets no answer, which is of interest when it was the drain's end that did it.
pub(super) struct Unanswered<'a, S, O, A>(pub(super) &'a Frontend<S, O, A>);

impl<S, O, A> Drop for Unanswered<'_, S, O, A> {
    fn drop(&mut self) {
        if self.0.aborting.is_cancelled() {
            self.0.cut_off.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A request that the service does not hear of.
struct Unadmitted {
    error: ApiError,
    verdict: Verdict,
}

/// What the service finds wrong before it asks who calls.
impl From<ApiError> for Unadmitted {
    fn from(error: ApiError) -> Self {
        Self { error, verdict: Verdict::Unjudged }
    }
}

/// What is known of an exchange apart from its answer's head.
struct Known<'a> {
    operation: Operation,
    source: Option<Source>,
    table: Option<&'a str>,
    index: Option<&'a str>,
    principal: Option<&'a str>,
    peer: &'a Peer,
    verdict: Verdict,
    error: Option<&'a ErrorName>,
    request_bytes: usize,
    trace: Option<&'a Trace>,
}

impl<'a> Known<'a> {
    /// What the head of a request says, of which nothing was decided.
    fn of_head(head: &Parts, peer: &'a Peer, request_bytes: usize) -> Self {
        let operation = target(head).and_then(Operation::from_target).unwrap_or(Operation::Unknown);
        Called { operation, peer, request_bytes }.into()
    }
}

impl<'a> From<Called<'a>> for Known<'a> {
    fn from(Called { operation, peer, request_bytes }: Called<'a>) -> Self {
        Self {
            operation,
            source: None,
            table: None,
            index: None,
            principal: None,
            peer,
            verdict: Verdict::Unjudged,
            error: None,
            request_bytes,
            trace: None,
        }
    }
}

impl<S: Service, O: Observer, A: Authenticator> Frontend<S, O, A> {
    /// Gives an answer of the front end's own to a call of the API.
    fn answer_alone(
        &self,
        error: ApiError,
        protocol: Protocol,
        known: Known<'_>,
        begun: Instant,
    ) -> Response<AnswerBody> {
        let name = ErrorName::from(error.code);
        let mut response = answer::local(error, protocol);
        let known = Known { error: Some(&name), ..known };
        self.observe(&mut response, known, begun);
        response
    }

    /// Makes the response to a plain call, and reports it to the observer.
    pub(super) fn conclude(
        &self,
        executed: Result<Served, ApiError>,
        called: Called<'_>,
        begun: Instant,
    ) -> Response<AnswerBody> {
        let known = Known::from(called);
        let mut served = match executed {
            Ok(served) => served,
            Err(error) => {
                let known = Known { verdict: verdict_of(error.code), ..known };
                return self.answer_alone(error, Protocol::AmzJson, known, begun);
            }
        };
        let (source, table, error) = (Some(served.source), served.table.take(), served.answer.error.take());
        let mut response = answer::api(served, Protocol::AmzJson);
        let verdict = Verdict::Allowed;
        let known = Known { source, table: table.as_deref(), error: error.as_ref(), verdict, ..known };
        self.observe(&mut response, known, begun);
        response
    }

    /// Sees to the answer's id and tells the observer.
    fn observe(&self, response: &mut Response<AnswerBody>, known: Known<'_>, begun: Instant) {
        let status = response.status().as_u16();
        let answer_bytes = response.body().length();
        let id = response.headers_mut().entry(answer::REQUEST_ID).or_insert_with(answer::request_id);
        self.observer.answered(&Exchange {
            entrance: Entrance::Service,
            operation: known.operation,
            source: known.source,
            table: known.table,
            index: known.index,
            principal: known.principal,
            client: known.peer.address,
            verdict: known.verdict,
            status,
            error: known.error,
            latency: begun.elapsed(),
            request_bytes: known.request_bytes,
            answer_bytes,
            request_id: id.to_str().unwrap_or(""),
            trace: known.trace,
        });
    }

    /// Answers a request of a host or an origin that is not served here. Neither the service nor the cache hears of it.
    fn reject(&self, head: &Parts, rejection: &Rejection) -> Response<AnswerBody> {
        let (reason, code) = match rejection {
            Rejection::HostCount => (RejectReason::Malformed, ErrorCode::Validation),
            Rejection::Host(_) => (RejectReason::ForeignHost, ErrorCode::Forbidden),
            Rejection::Origin(_) | Rejection::OtherOrigin(_) => {
                (RejectReason::ForeignOrigin, ErrorCode::Forbidden)
            }
        };
        self.observer.rejected(reason);
        let protocol = Protocol::of(&head.headers).unwrap_or(Protocol::Json);
        let mut response = answer::local(ApiError::new(code, rejection.to_string()), protocol);
        response.headers_mut().insert(answer::REQUEST_ID, answer::request_id());
        response
    }

    /// Answers a request whose body cannot be had.
    fn refuse(&self, head: &Parts, peer: &Peer, fault: Fault, begun: Instant) -> Response<AnswerBody> {
        let reason = match fault {
            Fault::TooLarge => RejectReason::BodyTooLarge,
            Fault::Overloaded => RejectReason::Overloaded,
            Fault::TimedOut => RejectReason::TimedOut,
            Fault::Broken | Fault::Undecodable | Fault::HeadTooLarge => RejectReason::Malformed,
        };
        self.observer.rejected(reason);
        let protocol = Protocol::of(&head.headers).unwrap_or(Protocol::Json);
        let known = Known::of_head(head, peer, 0);
        match fault {
            Fault::TooLarge => answer::too_large(),
            Fault::TimedOut => answer::empty(StatusCode::REQUEST_TIMEOUT),
            Fault::HeadTooLarge => {
                let mut response = answer::empty(StatusCode::BAD_REQUEST);
                answer::mark_last(&mut response);
                response
            }
            Fault::Broken => self.answer_alone(malformed(), protocol, known, begun),
            Fault::Undecodable => self.answer_alone(undecodable(head), protocol, known, begun),
            Fault::Overloaded => {
                let error =
                    ApiError::new(ErrorCode::ServiceUnavailable, "Too many large requests are in flight");
                let mut response = self.answer_alone(error, protocol, known, begun);
                response
                    .headers_mut()
                    .insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_MILLISECONDS));
                response
            }
        }
    }
}

/// What an error of the service's says of the right to a request.
pub(super) fn verdict_of(code: ErrorCode) -> Verdict {
    match code {
        ErrorCode::AccessDenied => Verdict::Denied(DenialReason::Rights),
        // Of a credential that is looked at only where tables are apart.
        ErrorCode::IncompleteSignature | ErrorCode::InvalidSignature => Verdict::Denied(DenialReason::Scope),
        _ => Verdict::Allowed,
    }
}

/// What is wrong with a call of a known operation that has no body.
fn lack_of_body(operation: Operation, body: &Received) -> Option<ApiError> {
    let is_lacking = body.bytes.is_empty() && operation != Operation::Unknown;
    is_lacking.then(|| told("it has no body; the least that an operation takes is {}."))
}

/// The request of a call, without its body.
fn request_of(head: &Parts, operation: Operation) -> Request {
    let unknown_target = match operation {
        Operation::Unknown => target(head).map(Box::from),
        _ => None,
    };
    let address = match operation {
        Operation::DescribeEndpoints => address(head),
        _ => None,
    };
    Request { unknown_target, attempt: attempt(head), address, ..Request::new(operation, Bytes::new()) }
}

/// The service says nothing here, and who has made a mistake in signing a request by hand looks for it in vain.
fn told(what: &str) -> ApiError {
    ApiError::new(ErrorCode::Serialization, format!("The request cannot be read: {what}"))
}

fn target(head: &Parts) -> Option<&str> {
    head.headers.get(TARGET)?.to_str().ok()
}

/// What the client says of its attempts; one that says nothing comes for the first time.
fn attempt(head: &Parts) -> Attempt {
    let said = head.headers.get(SDK_REQUEST).and_then(|value| value.to_str().ok());
    said.map_or(Attempt::First, Attempt::of_words)
}

/// The trace that the client says its request is a part of, if it says so once and in the form that is agreed on.
fn trace(headers: &HeaderMap) -> Option<Trace> {
    let mut parents = headers.get_all(TRACE_PARENT).iter();
    let (parent, None) = (parents.next()?, parents.next()) else { return None };
    let states: Result<Vec<_>, _> = headers.get_all(TRACE_STATE).iter().map(HeaderValue::to_str).collect();
    let state = states.ok().map(|states| states.join(","));
    Trace::parse(parent.to_str().ok()?, state.as_deref())
}

/// Where the client believes that it is: what it asked for, else its `Host`.
fn address(head: &Parts) -> Option<Box<str>> {
    let said = || head.headers.get(header::HOST)?.to_str().ok()?.parse().ok();
    let authority: Authority = head.uri.authority().cloned().or_else(said)?;
    Some(authority.as_str().into()).filter(|_| !authority.as_str().contains('@'))
}

fn is_json(body: &[u8]) -> bool {
    serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok()
}

fn unknown_operation() -> ApiError {
    ApiError { code: ErrorCode::UnknownOperation, message: None, members: None }
}

fn malformed() -> ApiError {
    ApiError { code: ErrorCode::Serialization, message: None, members: None }
}

/// The service answers an unknown coding, and a body that belies a known one, with a 500, so that its clients try again (recorded in
/// 2025 by ScyllaDB, in `test/alternator/test_compressed_request.py`). The words are ours.
fn undecodable(head: &Parts) -> ApiError {
    let values = head.headers.get_all(header::CONTENT_ENCODING).into_iter();
    let codings: Vec<_> = values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
    ApiError::new(
        ErrorCode::InternalServerError,
        format!(
            "The request's body could not be decoded as its Content-Encoding says: {}",
            codings.join(", ")
        ),
    )
}

/// The length of a request's head as it was sent, give or take a space.
fn head_bytes(head: &Parts) -> usize {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let line = head.method.as_str().len() + target + "  HTTP/1.1\r\n".len();
    let headers = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len());
    line + headers.sum::<usize>() + "\r\n".len()
}

fn unknown() -> Response<AnswerBody> {
    answer::plain(StatusCode::NOT_FOUND, Bytes::from_static(UNKNOWN), UNKNOWN_CRC32)
}
