//! Plain calls: answered as behind hyper, by the same service and with the same bytes, from where the request lies.
//!
//! For a call that is answered at the socket, HTTP is only a head that was [looked at](super::plain_request), and one that is
//! written here as hyper writes it. An answer that memory has is there at once. For all others the look hands on what it has
//! understood, so a request is verified, judged and parsed once.

use std::cell::{Cell, RefCell};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::Response;
use tokio::time::Instant;

use super::answer::{self, AnswerBody};
use super::credentials::Credential;
use super::exchange::{Called, Unanswered};
use super::head::{Head, Header};
use super::peer::Peer;
use super::plain_request::{Call, headers_of};
use super::{Authenticator, Caller, Entrance, Exchange, Frontend, Observer, Presented, Service, Settings};
use crate::call::{Request, Verdict};
use crate::engine::Served;
use crate::model::ApiError;
use crate::rights::Principal;
use crate::wire::sigv4::sha256;

/// Bodies up to this size are copied behind their head, so that one piece is sent.
const COPIED_BYTES_MAX: usize = 4 * 1024;

thread_local! {
    /// Where answers are put together, so that a connection keeps no memory for it.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static DATE: RefCell<answer::Date> = const { RefCell::new(answer::Date::NEVER) };
}

/// An answer, ready to be sent.
#[derive(Default)]
pub(super) struct Written {
    /// The head, and the body if that is small.
    pub(super) head: Vec<u8>,
    pub(super) body: Bytes,
    /// The answer says that the connection ends with it.
    pub(super) is_last: bool,
}

impl Written {
    /// Keeps the room of an answer that is sent for the next one of the thread.
    pub(super) fn recycle(self) {
        SCRATCH.set(self.head);
    }
}

/// How a call is answered.
pub(super) enum Reply<'a> {
    Now(Written),
    /// The service has to wait for something. Dropping the future drops the client's interest, as for [`Service::execute`].
    Later(Pin<Box<dyn Future<Output = Written> + Send + 'a>>),
}

impl<S: Service, O: Observer, A: Authenticator> Frontend<S, O, A> {
    /// Whether a program may name this host to this peer's listener.
    pub(super) fn admits(&self, host: &str, peer: &Peer) -> bool {
        let Settings { access, tls_access, .. } = &self.settings;
        (if peer.is_over_tls { tls_access } else { access }).admits_program_of(host)
    }

    /// Answers a plain call of an [admitted](Self::admits) host, whose last byte came at `begun`. `None` for a call that is answered
    /// behind hyper: its caller is not verified, or the front end has more to do for it.
    pub(super) fn reply<'a>(&'a self, call: &Call<'_>, peer: &'a Peer, begun: Instant) -> Option<Reply<'a>> {
        let Self { service, observer, is_draining, .. } = self;
        // While the front end drains, an answer says that it is its connection's last, and hyper has to hear of that.
        let is_draining = is_draining.load(Ordering::Relaxed);
        if is_draining || !observer.records_plainly() {
            return None;
        }
        let headers = if A::TAKES_ANYONE { Vec::new() } else { headers_of(call.lines) };
        let caller = match A::TAKES_ANYONE {
            true => None,
            false => Some(self.caller(call, &headers, peer)?),
        };
        let request = call.request();
        // One that panics does so again behind hyper, where the client gets an answer.
        let look = || service.answer_at_once(caller.as_ref(), &request);
        match std::panic::catch_unwind(AssertUnwindSafe(look)).ok()? {
            Ok(served) => Some(Reply::Now(self.write(Ok(served), Called::plain(&request, peer), begun))),
            Err(understood) => {
                let principal = caller.and_then(|caller| caller.principal().cloned());
                let lines = if Self::HEARS_NO_NAMES { Vec::new() } else { call.lines.to_vec() };
                Some(Reply::Later(Box::pin(
                    self.execute_plain(lines, principal, peer, request, understood, begun),
                )))
            }
        }
    }

    /// Whether nobody looks at the credential of a caller, beyond that it is whole.
    pub(super) const HEARS_NO_NAMES: bool = A::TAKES_ANYONE && !S::MINDS_CALLERS;

    /// Who sends a call with these headers, by the same verification as behind hyper. One that fails is repeated there, and answered.
    fn caller<'c>(
        &'c self,
        call: &Call<'_>,
        headers: &'c [Header<'c>],
        peer: &'c Peer,
    ) -> Option<Caller<'c>> {
        let credential = Credential::parse(Head::of_call(headers)).ok()?;
        let certificate = peer.certificate.as_ref();
        let body_sha256 = A::HASHES_BODIES.then(|| sha256(call.body));
        self.authenticator.authenticate(&Presented { credential, certificate, body_sha256 }).ok()
    }

    /// Has the service answer a call with these [lines](Call::lines), of that principal if callers are verified. The lines are not
    /// looked at if nobody [needs](Self::HEARS_NO_NAMES) them.
    async fn execute_plain(
        &self,
        lines: Vec<u8>,
        principal: Option<Arc<Principal>>,
        peer: &Peer,
        request: Request,
        understood: S::Understood,
        begun: Instant,
    ) -> Written {
        let unanswered = Unanswered(self);
        let called = Called::plain(&request, peer);
        let headers = headers_of(&lines);
        let caller = match Self::HEARS_NO_NAMES {
            true => Ok(Caller::unnamed()),
            false => Credential::parse(Head::of_call(&headers))
                .map(|credential| Caller::found(credential, principal)),
        };
        let executed = match caller {
            Ok(caller) => self.execute_understood(caller, request, understood).await,
            Err(error) => Err(error),
        };
        let written = self.write(executed, called, begun);
        std::mem::forget(unanswered);
        written
    }

    /// Tells the observer of an answer and puts it together.
    fn write(&self, executed: Result<Served, ApiError>, called: Called<'_>, begun: Instant) -> Written {
        let is_last = self.is_draining.load(Ordering::Relaxed);
        match executed {
            Ok(served) if served.answer.status == 200 && served.answer.headers.is_empty() && !is_last => {
                self.write_success(served, called, begun)
            }
            executed => {
                let mut response = self.conclude(executed, called, begun.into_std());
                if is_last {
                    answer::mark_last(&mut response);
                }
                write_response(response, is_last)
            }
        }
    }

    /// The same of a success without headers of its own, without making headers first.
    fn write_success(&self, served: Served, called: Called<'_>, begun: Instant) -> Written {
        let mut head = SCRATCH.take();
        head.clear();
        let id = DATE.with_borrow_mut(|date| answer::write_success_head(&served, date, &mut head));
        self.observer.answered(&Exchange {
            entrance: Entrance::Service,
            operation: called.operation,
            source: Some(served.source),
            table: served.table.as_deref(),
            index: None,
            // The observer audits nothing, or the call would not be answered here.
            principal: None,
            client: called.peer.address,
            verdict: Verdict::Allowed,
            status: served.answer.status,
            error: served.answer.error.as_ref(),
            latency: begun.elapsed(),
            request_bytes: called.request_bytes,
            answer_bytes: served.answer.body.len(),
            request_id: str::from_utf8(&head[id]).unwrap_or_default(),
            trace: None,
        });
        together(head, served.answer.body, false)
    }
}

/// Writes an answer as hyper does.
fn write_response(response: Response<AnswerBody>, is_last: bool) -> Written {
    let mut head = SCRATCH.take();
    head.clear();
    DATE.with_borrow_mut(|date| answer::write_head(&response, date, &mut head));
    together(head, response.into_body().into_bytes(), is_last)
}

fn together(mut head: Vec<u8>, body: Bytes, is_last: bool) -> Written {
    if body.len() > COPIED_BYTES_MAX {
        return Written { head, body, is_last };
    }
    head.extend_from_slice(&body);
    Written { head, body: Bytes::new(), is_last }
}
