//! Hits answered at the socket: a stream between the connection and hyper that answers a plain call by itself if memory has the
//! answer, and hands on everything else byte for byte.
//!
//! For a hit, most of the work is HTTP's: a head made into headers, a body passed through a channel, an answer's headers made
//! into bytes. Here the head is [looked at](super::plain_request) where it lies, the service is asked as ever, and the answer
//! is written as hyper would write it.
//!
//! Two rules keep both readers of HTTP in step. A message is answered here only if it came whole and alone in one read, while
//! hyper is at the beginning of a head and has no answer to send. And once the end of a message that hyper has is not certain,
//! or its client sends more before the answer is there, hyper has the connection for good.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::answer;
use super::credentials::Credential;
use super::head::{Head, Header};
use super::peer::Peer;
use super::plain_request::{Call, Message, Sight, look};
use super::timer::ConnectionTimer;
use super::{Authenticator, Caller, Entrance, Exchange, Frontend, Observer, Presented, Service};
use crate::call::{Source, Verdict};
use crate::engine::Served;
use crate::wire::request::is_plainly_strong;
use crate::wire::sigv4::sha256;

/// In how many pieces a head may come before hyper has the connection for good: every piece has all of it read again.
const PIECES_MAX: u8 = 8;

/// How many calls are answered before other tasks get their turn.
const ANSWERS_MAX: u8 = 16;

/// Bodies up to this size are copied behind their head, so that one piece is sent.
const COPIED_BYTES_MAX: usize = 4 * 1024;

thread_local! {
    /// Where answers are put together, so that a connection keeps no memory for it.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static DATE: RefCell<answer::Date> = const { RefCell::new(answer::Date::NEVER) };
}

/// The stream.
pub(super) struct Shortcut<'a, IO, S, O, A> {
    stream: IO,
    frontend: &'a Frontend<S, O, A>,
    peer: &'a Peer,
    timer: ConnectionTimer,
    turn: Turn,
    /// What the connection has not taken of an answer yet. Nothing is read meanwhile.
    unsent: Option<Box<Unsent>>,
    /// Why the last answer could not be sent.
    failure: Option<io::ErrorKind>,
}

/// Whose the next byte is.
enum Turn {
    /// It begins a message, and hyper has nothing to answer.
    Next,
    /// It belongs to a head of which hyper has this much, in so many pieces.
    Head { seen: Vec<u8>, pieces: u8 },
    /// It belongs to a message that hyper has, of which so much is still to come, or to the next one if hyper has answered.
    Message { owed: usize, is_answered: bool },
    /// It is hyper's, as all others.
    Given,
}

impl Turn {
    /// What follows when hyper gets these bytes of a message, of which they are the first.
    fn after_first(bytes: &[u8], sight: &Sight<'_>) -> Self {
        match sight {
            Sight::Partial => Self::Head { seen: bytes.to_vec(), pieces: 1 },
            Sight::Unsure => Self::Given,
            Sight::Message(message) => Self::within(message, bytes.len()),
        }
    }

    fn within(message: &Message<'_>, seen: usize) -> Self {
        match message.length.checked_sub(seen) {
            Some(owed) => Self::Message { owed, is_answered: false },
            None => Self::Given,
        }
    }

    /// What follows when hyper gets these bytes.
    fn after(self, bytes: &[u8]) -> Self {
        match self {
            Self::Next => Self::after_first(bytes, &look(bytes)),
            Self::Head { mut seen, pieces } if pieces < PIECES_MAX => {
                seen.extend_from_slice(bytes);
                match look(&seen) {
                    Sight::Partial => Self::Head { seen, pieces: pieces + 1 },
                    Sight::Unsure => Self::Given,
                    Sight::Message(message) => Self::within(&message, seen.len()),
                }
            }
            Self::Message { owed, is_answered: false } if (1..=owed).contains(&bytes.len()) => {
                Self::Message { owed: owed - bytes.len(), is_answered: false }
            }
            Self::Head { .. } | Self::Message { .. } | Self::Given => Self::Given,
        }
    }

    /// What follows when hyper writes: an answer to the message that it has, or one of its own.
    fn after_write(&mut self) {
        match self {
            Self::Message { owed: 0, is_answered } => *is_answered = true,
            Self::Message { .. } | Self::Next | Self::Head { .. } => *self = Self::Given,
            Self::Given => {}
        }
    }

    /// What follows when all that hyper has written is sent. It puts an answer together with its body before it sends any of it.
    fn after_flush(&mut self) {
        if let Self::Message { owed: 0, is_answered: true } = self {
            *self = Self::Next;
        }
    }
}

/// What is left of an answer.
#[derive(Default)]
struct Unsent {
    head: Vec<u8>,
    sent: usize,
    body: Bytes,
}

impl<'a, IO, S: Service, O: Observer, A: Authenticator> Shortcut<'a, IO, S, O, A> {
    /// The stream over a client's connection, whose idle time `timer` measures.
    pub(super) fn new(
        stream: IO,
        frontend: &'a Frontend<S, O, A>,
        peer: &'a Peer,
        timer: ConnectionTimer,
    ) -> Self {
        let turn = if frontend.has_shortcut { Turn::Next } else { Turn::Given };
        Self { stream, frontend, peer, timer, turn, unsent: None, failure: None }
    }

    /// The answer to a call, if it is there at once and to be had in this way.
    fn answer(&self, call: &Call<'_>) -> Option<Unsent> {
        let begun = Instant::now();
        let Frontend { service, observer, settings, is_draining, .. } = self.frontend;
        let access = if self.peer.is_over_tls { &settings.tls_access } else { &settings.access };
        // While the front end drains, an answer says that it is its connection's last, and hyper has to hear of that.
        let is_draining = is_draining.load(Ordering::Relaxed);
        if is_draining || !observer.records_plainly() || !access.admits_program_of(call.host) {
            return None;
        }
        // Nobody is verified here for what is not to be answered from memory.
        if !A::TAKES_ANYONE && is_plainly_strong(call.body) {
            return None;
        }
        let headers = if A::TAKES_ANYONE { Vec::new() } else { call.headers() };
        let caller = match A::TAKES_ANYONE {
            true => None,
            false => Some(self.caller(call, &headers)?),
        };
        let request = call.request();
        // One that panics does so again behind hyper, where the client gets an answer.
        let look = || service.answer_at_once(caller.as_ref(), &request);
        let looked = std::panic::catch_unwind(AssertUnwindSafe(look));
        let served = looked.ok()??;
        if !is_hit(served.source) || served.answer.status != 200 || !served.answer.headers.is_empty() {
            return None;
        }
        self.timer.put_off(begun + settings.idle_timeout);
        Some(self.record(served, &request, begun))
    }

    /// Who sends a call with these headers, by the same verification as behind hyper. One that fails is repeated there, and answered.
    fn caller<'c>(&'c self, call: &Call<'_>, headers: &'c [Header<'c>]) -> Option<Caller<'c>> {
        let credential = Credential::parse(Head::of_call(headers)).ok()?;
        let certificate = self.peer.certificate.as_ref();
        let body_sha256 = A::HASHES_BODIES.then(|| sha256(call.body));
        self.frontend.authenticator.authenticate(&Presented { credential, certificate, body_sha256 }).ok()
    }

    /// Tells the observer of an answer and puts it together.
    fn record(&self, served: Served, request: &crate::call::Request, begun: Instant) -> Unsent {
        let mut head = SCRATCH.take();
        head.clear();
        let id = DATE.with_borrow_mut(|date| answer::write_hit_head(&served, date, &mut head));
        self.frontend.observer.answered(&Exchange {
            entrance: Entrance::Service,
            operation: request.operation,
            source: Some(served.source),
            table: served.table.as_deref(),
            index: None,
            // The observer audits nothing, or the call would not be answered here.
            principal: None,
            client: self.peer.address,
            verdict: Verdict::Allowed,
            status: served.answer.status,
            error: served.answer.error.as_ref(),
            latency: begun.elapsed(),
            request_bytes: request.body.len(),
            answer_bytes: served.answer.body.len(),
            request_id: str::from_utf8(&head[id]).unwrap_or_default(),
            trace: None,
        });
        let body = served.answer.body;
        if body.len() > COPIED_BYTES_MAX {
            return Unsent { head, body, ..Unsent::default() };
        }
        head.extend_from_slice(&body);
        Unsent { head, ..Unsent::default() }
    }

    /// The idle time counts from when the client takes the last of an answer; there is another limit to how long it may take nothing.
    fn note_use(&self) {
        if self.unsent.is_some() {
            self.timer.put_off(Instant::now() + self.frontend.settings.idle_timeout);
        }
    }
}

/// True if nothing but memory had a part in an answer.
fn is_hit(source: Source) -> bool {
    matches!(source, Source::Hit | Source::Batch { miss: 0, stale: 0, .. })
}

impl<IO: AsyncWrite + Unpin, S, O, A> Shortcut<'_, IO, S, O, A> {
    /// Sends an answer, or as much of it as the connection takes.
    fn send(&mut self, context: &mut Context<'_>, mut answer: Unsent) -> Poll<io::Result<()>> {
        let sent = self.poll_write_of(context, &mut answer);
        match sent {
            Poll::Pending => self.unsent = Some(Box::new(answer)),
            Poll::Ready(_) => SCRATCH.set(answer.head),
        }
        sent
    }

    /// Sends what is left of the last answer.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(kind) = self.failure {
            return Poll::Ready(Err(kind.into()));
        }
        let Some(mut answer) = self.unsent.take() else { return Poll::Ready(Ok(())) };
        let sent = self.poll_write_of(context, &mut answer);
        if sent.is_pending() {
            self.unsent = Some(answer);
        }
        sent
    }

    fn poll_write_of(&mut self, context: &mut Context<'_>, answer: &mut Unsent) -> Poll<io::Result<()>> {
        let sent = write_all(Pin::new(&mut self.stream), context, answer);
        if let Poll::Ready(Err(error)) = &sent {
            // hyper asks for a head meanwhile, and takes an error there for the end of the connection. It hears of this one when it
            // flushes.
            self.failure = Some(error.kind());
        }
        sent
    }
}

fn write_all<IO: AsyncWrite>(
    mut stream: Pin<&mut IO>,
    context: &mut Context<'_>,
    answer: &mut Unsent,
) -> Poll<io::Result<()>> {
    while answer.sent < answer.head.len() || !answer.body.is_empty() {
        let head = &answer.head[answer.sent..];
        let written = ready!(match (head.is_empty(), answer.body.is_empty()) {
            (true, _) => stream.as_mut().poll_write(context, &answer.body),
            (_, true) => stream.as_mut().poll_write(context, head),
            (false, false) => {
                let slices = [IoSlice::new(head), IoSlice::new(&answer.body)];
                stream.as_mut().poll_write_vectored(context, &slices)
            }
        })?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        let of_head = written.min(head.len());
        answer.sent += of_head;
        answer.body.advance(written - of_head);
    }
    stream.poll_flush(context)
}

impl<IO, S, O, A> AsyncRead for Shortcut<'_, IO, S, O, A>
where
    IO: AsyncRead + AsyncWrite + Unpin,
    S: Service,
    O: Observer,
    A: Authenticator,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let start = buffer.filled().len();
        this.note_use();
        for _ in 0..ANSWERS_MAX {
            ready!(this.poll_send(context))?;
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            let bytes = &buffer.filled()[start..];
            match &this.turn {
                Turn::Next => {
                    let sight = look(bytes);
                    if let Sight::Message(Message { call: Some(call), .. }) = &sight
                        && let Some(answer) = this.answer(call)
                    {
                        buffer.set_filled(start);
                        ready!(this.send(context, answer))?;
                        continue;
                    }
                    this.turn = Turn::after_first(bytes, &sight);
                }
                Turn::Given => {}
                Turn::Head { .. } | Turn::Message { .. } => {
                    this.turn = std::mem::replace(&mut this.turn, Turn::Given).after(bytes);
                }
            }
            return Poll::Ready(Ok(()));
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<IO: AsyncWrite + Unpin, S, O, A> AsyncWrite for Shortcut<'_, IO, S, O, A> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(context))?;
        self.turn.after_write();
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(context))?;
        self.turn.after_write();
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(context));
        if flushed.is_ok() {
            self.turn.after_flush();
        }
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
