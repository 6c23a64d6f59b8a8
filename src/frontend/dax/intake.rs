//! What arrives on a DAX connection: a preamble, and then one request behind the other, each whole before it is looked at.
//!
//! The protocol has no lengths. A request is a service, a method and as many CBOR items as the method takes, so where it ends is
//! known only when its last item has come. Bytes are counted before there is room for them: all that the items declare, and what has
//! come of them. An idle connection holds no memory for what it may read.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

use super::super::body::{Budget, Reservation, SMALL};
use crate::dax::cbor::{Malformed, Measure, Reader};
use crate::dax::method::{Method, SERVICE};

/// How much is read at a time.
const READ_BYTES: usize = 32 * 1024;

/// The room that a connection keeps between two requests.
const KEPT_BYTES: usize = 2 * 1024;

/// How much is allocated on the word of a head before that many bytes are there.
const TRUSTED_BYTES: usize = 256 * 1024;

/// The largest preamble: it has a map of headers, of which clients send one.
const PREAMBLE_BYTES_MAX: usize = 16 * 1024;

/// What a preamble begins with: a text of seven characters.
const MAGIC: &[u8] = b"\x67J7yne5G";

/// The items of a preamble: the magic text, a layering, a session id, headers and a mode.
const PREAMBLE_ITEMS: u64 = 5;

/// How deep the items of a request may be nested: a document of 32 levels with its tags, in a map of options.
const DEPTH_MAX: usize = 72;

/// How long a request may stay half read without a byte. Clients pause within one to ask for what they need to go on, over another
/// connection; the client for Go has cases in which it never goes on.
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// How long a request may take to arrive, from its first byte on.
const ARRIVAL_MAX: Duration = Duration::from_secs(60);

thread_local! {
    /// Where all connections of a thread are read, so that none keeps memory for it while it waits.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What has arrived of a connection and is not dealt with.
#[derive(Debug)]
pub(super) struct Intake {
    buffer: Vec<u8>,
    /// Where the next request begins.
    start: usize,
    /// What the buffer takes of the budget.
    reservation: Reservation,
    /// The most bytes of a request.
    maximum: usize,
}

/// What is at the start of the buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrived {
    /// What is asked for.
    pub(super) method: Method,
    /// Where its arguments stand.
    arguments: Range<usize>,
    /// When its first byte was there.
    pub(super) begun: Instant,
}

/// Why nothing more is read of a connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// The client closed it, between two requests or within one.
    #[error("the client closed it")]
    Closed,
    /// It broke.
    #[error("it broke: {0}")]
    Broken(io::Error),
    /// What came is not the protocol.
    #[error("what came is not the protocol: {0}")]
    Malformed(Malformed),
    /// A request with a method that is not known, of which nobody can say where it ends.
    #[error("a request has a method that is not known")]
    UnknownMethod,
    /// A request is larger than any may be.
    #[error("a request is too large")]
    TooLarge,
    /// There is no room for another large request.
    #[error("there is no room for another large request")]
    Overloaded,
    /// A request or a preamble did not go on, or took too long.
    #[error("what had begun did not end in time")]
    TimedOut,
}

/// The two steps in which a request arrives.
enum Step {
    /// Its service and method.
    Head(Measure),
    /// Its arguments, behind a head of so many bytes.
    Arguments(Method, Measure, usize),
}

impl Intake {
    /// Nothing yet, for requests of at most so many bytes.
    pub(super) fn new(budget: &Arc<Budget>, maximum: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, reservation: Reservation::of(budget), maximum }
    }

    /// Reads the preamble, and gives what the client calls itself.
    pub(super) async fn preamble<IO: AsyncRead + Unpin>(
        &mut self,
        stream: &mut IO,
    ) -> Result<Box<str>, Ended> {
        let mut measure = Measure::new(PREAMBLE_ITEMS, DEPTH_MAX);
        loop {
            let known = self.buffer.len().min(MAGIC.len());
            if self.buffer[..known] != MAGIC[..known] {
                return Err(Ended::Malformed(Malformed::Invalid("no preamble")));
            }
            let whole = measure.advance(&self.buffer).map_err(Ended::Malformed)?;
            if let Some(length) = whole.filter(|length| *length <= PREAMBLE_BYTES_MAX) {
                self.start = length;
                return read_user_agent(&self.buffer[..length]).map_err(Ended::Malformed);
            }
            if whole.is_some() || measure.bytes_min() > PREAMBLE_BYTES_MAX as u64 {
                return Err(Ended::TooLarge);
            }
            self.read(stream).await?;
        }
    }

    /// Waits until there is a byte of the next request; between requests a client may be silent for as long as it likes.
    pub(super) async fn first_byte<IO: AsyncRead + Unpin>(&mut self, stream: &mut IO) -> Result<(), Ended> {
        self.tidy();
        if self.start == self.buffer.len() { self.read(stream).await } else { Ok(()) }
    }

    /// Reads the request whose first byte is there.
    pub(super) async fn request<IO: AsyncRead + Unpin>(&mut self, stream: &mut IO) -> Result<Arrived, Ended> {
        let begun = Instant::now();
        if let Some(arrived) = self.whole(begun) {
            return Ok(arrived);
        }
        let mut step = Step::Head(Measure::new(2, 1));
        loop {
            let least = match &mut step {
                Step::Head(measure) => match self.measured(measure, 0)? {
                    Some(length) => {
                        let method = read_method(&self.buffer[self.start..self.start + length])?;
                        step = Step::Arguments(method, Measure::new(method.arguments(), DEPTH_MAX), length);
                        continue;
                    }
                    None => 0,
                },
                Step::Arguments(method, measure, head) => match self.measured(measure, *head)? {
                    Some(length) if *head + length > self.maximum => return Err(Ended::TooLarge),
                    Some(length) => {
                        let from = self.start + *head;
                        return Ok(Arrived { method: *method, arguments: from..from + length, begun });
                    }
                    None => usize::try_from(measure.bytes_min()).unwrap_or(usize::MAX).saturating_add(*head),
                },
            };
            self.make_room(least)?;
            let deadline = (begun + ARRIVAL_MAX).min(Instant::now() + PAUSE_MAX);
            let read = tokio::time::timeout_at(deadline, self.read(stream)).await;
            read.map_err(|_| Ended::TimedOut)??;
        }
    }

    /// The request that stands whole in the buffer, as most do when their first byte is there; `None` for one that is to be measured.
    fn whole(&self, begun: Instant) -> Option<Arrived> {
        let bytes = &self.buffer[self.start..];
        let mut reader = Reader::new(bytes);
        let (service, id) = (reader.int_64().ok()?, reader.int_64().ok()?);
        let method = Method::of_id(id).filter(|_| service == SERVICE)?;
        let from = self.start + bytes.len() - reader.rest().len();
        for _ in 0..method.arguments() {
            reader.skip(DEPTH_MAX).ok()?;
        }
        let end = self.start + bytes.len() - reader.rest().len();
        (end - self.start <= self.maximum).then_some(Arrived { method, arguments: from..end, begun })
    }

    /// The arguments of a request that has arrived.
    pub(super) fn arguments(&self, arrived: &Arrived) -> &[u8] {
        &self.buffer[arrived.arguments.clone()]
    }

    /// How many bytes it has.
    pub(super) fn length(&self, arrived: &Arrived) -> usize {
        arrived.arguments.end - self.start
    }

    /// Goes on behind a request that is dealt with.
    pub(super) fn pass(&mut self, arrived: &Arrived) {
        self.start = arrived.arguments.end;
    }

    /// Hands over the arguments of a large request, and what they take of the budget.
    pub(super) fn take(&mut self, arrived: &Arrived) -> (Vec<u8>, Reservation) {
        let mut taken = std::mem::take(&mut self.buffer);
        self.buffer.extend_from_slice(&taken[arrived.arguments.end..]);
        taken.truncate(arrived.arguments.end);
        taken.drain(..arrived.arguments.start);
        self.start = 0;
        let rest = self.reservation.empty();
        (taken, std::mem::replace(&mut self.reservation, rest))
    }

    /// How many bytes the items take that begin so far behind the start; `None` while more must come.
    fn measured(&self, measure: &mut Measure, behind: usize) -> Result<Option<usize>, Ended> {
        measure.advance(&self.buffer[self.start + behind..]).map_err(Ended::Malformed)
    }

    /// Makes room for a request that has so many bytes at the least, and reserves it first.
    fn make_room(&mut self, least: usize) -> Result<(), Ended> {
        let length = self.buffer.len() - self.start;
        let wanted = least.max(length);
        if wanted > self.maximum {
            return Err(Ended::TooLarge);
        }
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        if wanted > SMALL {
            // What is read next may be more than what is declared.
            self.reservation.grow_to(wanted + READ_BYTES).map_err(|_| Ended::Overloaded)?;
        }
        let trusted = wanted.min(length.max(TRUSTED_BYTES).saturating_mul(2));
        self.buffer.reserve_exact(trusted.saturating_sub(length));
        Ok(())
    }

    /// Gives back what the last request took and the next one need not have.
    fn tidy(&mut self) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
            if self.buffer.capacity() > KEPT_BYTES {
                self.buffer = Vec::new();
            }
            if self.reservation.is_something() {
                self.reservation = self.reservation.empty();
            }
        }
    }

    /// Reads what is there, at least a byte.
    async fn read<IO: AsyncRead + Unpin>(&mut self, stream: &mut IO) -> Result<(), Ended> {
        match poll_fn(|context| poll_read(stream, context, &mut self.buffer)).await {
            Ok(0) => Err(Ended::Closed),
            Ok(_) => Ok(()),
            Err(error) => Err(Ended::Broken(error)),
        }
    }
}

/// Reads into the thread's scratch, and copies what came.
fn poll_read<IO: AsyncRead + Unpin>(
    stream: &mut IO,
    context: &mut Context<'_>,
    buffer: &mut Vec<u8>,
) -> Poll<io::Result<usize>> {
    let mut scratch = SCRATCH.take();
    scratch.resize(READ_BYTES, 0);
    let mut read = ReadBuf::new(&mut scratch);
    let polled = Pin::new(stream).poll_read(context, &mut read);
    let polled = polled.map_ok(|()| read.filled().len());
    buffer.extend_from_slice(read.filled());
    SCRATCH.set(scratch);
    polled
}

fn read_method(head: &[u8]) -> Result<Method, Ended> {
    let mut reader = Reader::new(head);
    let service = reader.int_64().map_err(Ended::Malformed)?;
    let method = reader.int_64().map_err(Ended::Malformed)?;
    Method::of_id(method).filter(|_| service == SERVICE).ok_or(Ended::UnknownMethod)
}

/// What a client calls itself in its preamble, if it does.
fn read_user_agent(preamble: &[u8]) -> Result<Box<str>, Malformed> {
    let mut reader = Reader::new(preamble);
    for _ in 0..3 {
        reader.skip(DEPTH_MAX)?;
    }
    let mut user_agent = "";
    let mut headers = reader.map()?;
    while headers.next(&mut reader)? {
        match reader.text()? {
            "UserAgent" => user_agent = reader.text()?,
            _ => reader.skip(DEPTH_MAX)?,
        }
    }
    Ok(user_agent.into())
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    const PREAMBLE: &[u8] = b"\x67J7yne5G\x00\x41x\xa1\x69UserAgent\x64Test\x00";
    const DEFINE_KEY_SCHEMA: &[u8] = &[0x01, 0x3a, 0x2c, 0x43, 0xe2, 0x7e, 0x43, b't', b'a', b'b'];
    const ENDPOINTS: &[u8] = &[0x01, 0x1a, 0x1b, 0x2b, 0xcf, 0x02];

    fn intake(maximum: usize) -> Intake {
        Intake::new(&Arc::new(Budget::new(1 << 20)), maximum)
    }

    /// What is made of bytes that arrive in pieces of that length, and then no more.
    async fn read_all(bytes: &[u8], piece: usize, maximum: usize) -> (Vec<(Method, Vec<u8>)>, Ended) {
        let (mut client, mut server) = tokio::io::duplex(64 * 1024);
        let bytes = bytes.to_vec();
        let sending = tokio::spawn(async move {
            for piece in bytes.chunks(piece) {
                client.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        let mut intake = intake(maximum);
        assert_eq!(&*intake.preamble(&mut server).await.unwrap(), "Test");
        let mut arrived = Vec::new();
        let ended = loop {
            if let Err(ended) = intake.first_byte(&mut server).await {
                break ended;
            }
            match intake.request(&mut server).await {
                Ok(request) => {
                    arrived.push((request.method, intake.arguments(&request).to_vec()));
                    intake.pass(&request);
                }
                Err(ended) => break ended,
            }
        };
        sending.await.unwrap();
        (arrived, ended)
    }

    #[tokio::test(start_paused = true)]
    async fn requests_arrive_in_any_pieces() {
        let bytes = [PREAMBLE, DEFINE_KEY_SCHEMA, ENDPOINTS, DEFINE_KEY_SCHEMA].concat();
        let table = (Method::DefineKeySchema, DEFINE_KEY_SCHEMA[6..].to_vec());
        let expected = [table.clone(), (Method::Endpoints, Vec::new()), table];
        for piece in 1..=bytes.len() {
            let (arrived, ended) = read_all(&bytes, piece, 1000).await;
            assert_eq!(arrived, expected, "in pieces of {piece}");
            assert!(matches!(ended, Ended::Closed), "{ended:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_declares_more_than_it_may_is_rejected_before_there_is_room_for_it() {
        let declared = [PREAMBLE, &DEFINE_KEY_SCHEMA[..6], &[0x5a, 0x7f, 0xff, 0xff, 0xff]].concat();
        let (arrived, ended) = read_all(&declared, 100, 1 << 20).await;
        assert!(arrived.is_empty() && matches!(ended, Ended::TooLarge), "{ended:?}");
        // Within the largest request, but more than the budget has.
        let declared = [PREAMBLE, &DEFINE_KEY_SCHEMA[..6], &[0x5a, 0x00, 0x20, 0x00, 0x00]].concat();
        let (_, ended) = read_all(&declared, 100, 16 << 20).await;
        assert!(matches!(ended, Ended::Overloaded), "{ended:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_method_that_nobody_knows_and_what_is_no_item_end_the_connection() {
        for (bytes, is_expected) in [
            (&[0x01, 0x07][..], (|ended| matches!(ended, Ended::UnknownMethod)) as fn(&Ended) -> bool),
            (&[0x02, 0x1a, 0x1b, 0x2b, 0xcf, 0x02], |ended| matches!(ended, Ended::UnknownMethod)),
            (&[0x01, 0xff], |ended| matches!(ended, Ended::Malformed(_))),
            (&[0x61, 0x61, 0x01], |ended| matches!(ended, Ended::Malformed(_))),
        ] {
            let (_, ended) = read_all(&[PREAMBLE, bytes].concat(), 100, 1000).await;
            assert!(is_expected(&ended), "{bytes:x?}: {ended:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_than_a_wrong_byte_is_read_of_another_protocol() {
        let (mut client, mut server) = tokio::io::duplex(1024);
        client.write_all(b"P").await.unwrap();
        let ended = intake(1000).preamble(&mut server).await.unwrap_err();
        assert!(matches!(ended, Ended::Malformed(_)));
        let long = [&PREAMBLE[..12], &[0x5a, 0x7f, 0xff, 0xff, 0xff]].concat();
        client.write_all(&long).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_does_not_go_on_ends_in_time() {
        let (mut client, mut server) = tokio::io::duplex(1024);
        let mut intake = intake(1000);
        client.write_all(&[PREAMBLE, &DEFINE_KEY_SCHEMA[..3]].concat()).await.unwrap();
        intake.preamble(&mut server).await.unwrap();
        let begun = Instant::now();
        intake.first_byte(&mut server).await.unwrap();
        assert!(matches!(intake.request(&mut server).await.unwrap_err(), Ended::TimedOut));
        assert_eq!(begun.elapsed(), PAUSE_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_given_back_between_requests() {
        let (mut client, mut server) = tokio::io::duplex(1 << 20);
        let budget = Arc::new(Budget::new(1 << 20));
        let mut intake = Intake::new(&budget, 1 << 20);
        let large = [&DEFINE_KEY_SCHEMA[..6], &[0x5a, 0x00, 0x04, 0x00, 0x00], &[b'x'; 0x40000][..]].concat();
        client.write_all(&[PREAMBLE, &large, ENDPOINTS].concat()).await.unwrap();
        intake.preamble(&mut server).await.unwrap();
        intake.first_byte(&mut server).await.unwrap();
        let arrived = intake.request(&mut server).await.unwrap();
        assert_eq!(intake.length(&arrived), large.len());
        let (taken, reservation) = intake.take(&arrived);
        assert_eq!(taken, large[6..]);
        assert!(reservation.is_something() && !intake.reservation.is_something());
        intake.first_byte(&mut server).await.unwrap();
        let arrived = intake.request(&mut server).await.unwrap();
        assert_eq!(arrived.method, Method::Endpoints);
        intake.pass(&arrived);
        intake.tidy();
        assert!(intake.buffer.capacity() <= KEPT_BYTES);
    }
}
