//! Calls answered at the socket: a stream between the connection and hyper that answers [plain calls](super::plain_call) by itself,
//! and hands on everything else byte for byte.
//!
//! For a small request, most of the work is HTTP's: a head made into headers, a body passed through a channel, an answer's headers
//! made into bytes. Here the head is [looked at](super::plain_request) where it lies, the service is asked as ever, and the answer
//! is written as hyper would write it. hyper waits for a head meanwhile, and its limit for that is
//! [held](super::timer::ConnectionTimer::hold).
//!
//! Two rules keep both readers of HTTP in step. A message is answered here only if it came whole and alone in one read, while
//! hyper is at the beginning of a head and has no answer to send. And once the end of a message that hyper has is not certain,
//! or its client sends more before the answer is there, hyper has the connection for good.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::peer::Peer;
use super::plain_call::{Reply, Written};
use super::plain_request::{Message, Sight, read};
use super::recent_heads::look;
use super::timer::ConnectionTimer;
use super::{Authenticator, Frontend, Observer, Service};

/// In how many pieces a head may come before hyper has the connection for good: every piece has all of it read again.
const PIECES_MAX: u8 = 8;

/// How many calls are answered before other tasks get their turn.
const ANSWERS_MAX: u8 = 16;

/// The longest host that a connection remembers: longer than any name of DNS with a port.
const HOST_KEPT_MAX: usize = 264;

/// The stream.
pub(super) struct Shortcut<'a, IO, S, O, A> {
    stream: IO,
    frontend: &'a Frontend<S, O, A>,
    peer: &'a Peer,
    timer: ConnectionTimer,
    turn: Turn,
    /// The host of an earlier call, which was admitted. Most clients never name another one.
    host: Option<Box<str>>,
    /// The call that is in flight. Nothing is read meanwhile.
    call: Option<Pin<Box<dyn Future<Output = Written> + Send + 'a>>>,
    /// A call was answered here, of which hyper does not know.
    has_answered: bool,
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
    /// Nobody's: an answer was given that was the last.
    Over,
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
            Self::Next => Self::after_first(bytes, &read(bytes)),
            Self::Head { mut seen, pieces } if pieces < PIECES_MAX => {
                seen.extend_from_slice(bytes);
                match read(&seen) {
                    Sight::Partial => Self::Head { seen, pieces: pieces + 1 },
                    Sight::Unsure => Self::Given,
                    Sight::Message(message) => Self::within(&message, seen.len()),
                }
            }
            Self::Message { owed, is_answered: false } if (1..=owed).contains(&bytes.len()) => {
                Self::Message { owed: owed - bytes.len(), is_answered: false }
            }
            Self::Head { .. } | Self::Message { .. } | Self::Given => Self::Given,
            Self::Over => Self::Over,
        }
    }

    /// What follows when hyper writes: an answer to the message that it has, or one of its own.
    fn after_write(&mut self) {
        match self {
            Self::Message { owed: 0, is_answered } => *is_answered = true,
            Self::Message { .. } | Self::Next | Self::Head { .. } => *self = Self::Given,
            Self::Given | Self::Over => {}
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
struct Unsent {
    answer: Written,
    /// How much of its head was sent.
    sent: usize,
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
        Self {
            stream,
            frontend,
            peer,
            host: None,
            timer,
            turn,
            call: None,
            has_answered: false,
            unsent: None,
            failure: None,
        }
    }

    /// True if nothing more is read. When the process ends, hyper closes a connection that has begun another request, and waits for
    /// one that has begun its first: it does not know of those that were answered here.
    fn is_over(&self) -> bool {
        match self.turn {
            Turn::Over => true,
            Turn::Head { .. } => self.has_answered && self.frontend.draining.is_cancelled(),
            Turn::Next | Turn::Message { .. } | Turn::Given => false,
        }
    }

    /// The idle time counts from when the client takes the last of an answer; there is another limit to how long it may take nothing.
    fn note_use(&self) {
        if self.unsent.is_some() {
            self.timer.put_off(Instant::now() + self.frontend.settings.idle_timeout);
        }
    }
}

impl<IO, S: Service, O: Observer, A: Authenticator> Shortcut<'_, IO, S, O, A> {
    /// Whether a call that names this host is admitted.
    fn admits(&mut self, host: &str) -> bool {
        if self.host.as_deref() == Some(host) {
            return true;
        }
        let is_admitted = self.frontend.admits(host, self.peer);
        if is_admitted && host.len() <= HOST_KEPT_MAX {
            self.host = Some(host.into());
        }
        is_admitted
    }
}

impl<'a, IO: AsyncWrite + Unpin, S, O, A> Shortcut<'a, IO, S, O, A> {
    /// Gives the answer to a call that came at `begun`, or waits for it.
    fn poll_reply(
        &mut self,
        context: &mut Context<'_>,
        reply: Reply<'a>,
        begun: Instant,
    ) -> Poll<io::Result<()>> {
        match reply {
            Reply::Now(answer) => {
                self.timer.put_off(begun + self.frontend.settings.idle_timeout);
                self.send(context, answer)
            }
            Reply::Later(call) => {
                self.timer.hold();
                self.call = Some(call);
                self.poll_call(context)
            }
        }
    }

    /// Waits for the call that is in flight, and answers it.
    fn poll_call(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(call) = &mut self.call else { return Poll::Ready(Ok(())) };
        let answer = ready!(call.as_mut().poll(context));
        self.call = None;
        self.timer.put_off(Instant::now() + self.frontend.settings.idle_timeout);
        self.send(context, answer)
    }

    /// Sends an answer, or as much of it as the connection takes.
    fn send(&mut self, context: &mut Context<'_>, answer: Written) -> Poll<io::Result<()>> {
        if answer.is_last {
            self.turn = Turn::Over;
        }
        self.has_answered = true;
        let mut unsent = Unsent { answer, sent: 0 };
        let sent = self.poll_write_of(context, &mut unsent);
        match sent {
            Poll::Pending => self.unsent = Some(Box::new(unsent)),
            Poll::Ready(_) => unsent.answer.recycle(),
        }
        sent
    }

    /// Sends what is left of the last answer.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(kind) = self.failure {
            return Poll::Ready(Err(kind.into()));
        }
        let Some(mut unsent) = self.unsent.take() else { return Poll::Ready(Ok(())) };
        let sent = self.poll_write_of(context, &mut unsent);
        if sent.is_pending() {
            self.unsent = Some(unsent);
        }
        sent
    }

    fn poll_write_of(&mut self, context: &mut Context<'_>, unsent: &mut Unsent) -> Poll<io::Result<()>> {
        let sent = write_all(Pin::new(&mut self.stream), context, unsent);
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
    unsent: &mut Unsent,
) -> Poll<io::Result<()>> {
    let Unsent { answer, sent } = unsent;
    while *sent < answer.head.len() || !answer.body.is_empty() {
        let head = &answer.head[*sent..];
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
        *sent += of_head;
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
            ready!(this.poll_call(context))?;
            if this.is_over() {
                return Poll::Ready(Ok(()));
            }
            ready!(Pin::new(&mut this.stream).poll_read(context, buffer))?;
            let bytes = &buffer.filled()[start..];
            match &this.turn {
                Turn::Next => {
                    let sight = look(bytes);
                    let begun = Instant::now();
                    let reply = match &sight {
                        Sight::Message(Message { call: Some(call), .. }) if this.admits(call.host) => {
                            this.frontend.reply(call, this.peer, begun)
                        }
                        _ => None,
                    };
                    if let Some(reply) = reply {
                        buffer.set_filled(start);
                        ready!(this.poll_reply(context, reply, begun))?;
                        continue;
                    }
                    this.turn = Turn::after_first(bytes, &sight);
                }
                Turn::Given | Turn::Over => {}
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
