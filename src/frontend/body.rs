//! Request bodies: read whole within limits of size, time and memory, and decompressed once their sender is known.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::encoding::Coding;
use super::fault::Fault;
use super::{Authenticator, Frontend, Observer, Service};
use crate::offload::{LARGE_BODY_BYTES, offload_call};
use crate::wire::sigv4::sha256;

/// How much is read at a time, so that a small body is one piece. hyper takes no head that is larger, though one read more
/// may pass, and no more than a hundred headers; the front end takes less than either.
pub(super) const READ_BYTES: usize = 32 * 1024;

/// Bodies up to this size are not counted: they fit the buffer that each connection may have anyway.
pub(super) const SMALL: usize = READ_BYTES;

/// How long a body may take to arrive.
const DEADLINE: Duration = Duration::from_secs(60);

/// How much of a body that is refused is read and dropped. Many clients read no answer before they have sent all, and
/// closing on them would lose the answer; past this much they are no clients.
const DISCARDED_MAX: u64 = 64 * 1024 * 1024;

/// How much is allocated on the word of a `Content-Length` before that many bytes are there.
const TRUSTED_CAPACITY: usize = 256 * 1024;

/// A body that arrived whole.
#[derive(Debug)]
pub(super) struct Received {
    /// The body: as sent until it is [decompressed](Frontend::decompress).
    pub(super) bytes: Bytes,
    /// How many bytes were sent for it.
    pub(super) sent: usize,
    /// The SHA-256 of those, where the authenticator asks for it.
    pub(super) sha256: Option<[u8; 32]>,
    /// Held as long as the body is.
    _reservation: Option<Reservation>,
}

impl Received {
    /// A body that was made of another one, and holds that part of the budget.
    pub(super) fn made(bytes: Bytes, sent: usize, reservation: Reservation) -> Self {
        Self { bytes, sent, sha256: None, _reservation: Some(reservation) }
    }
}

#[cfg(test)]
impl Received {
    /// A body that took no part of the budget.
    pub(super) fn plain(bytes: Bytes) -> Self {
        Self { sent: bytes.len(), sha256: None, bytes, _reservation: None }
    }
}

impl<S: Service, O: Observer, A: Authenticator> Frontend<S, O, A> {
    /// Reads a body whole, as it is sent. What it holds is for those who may ask: a stranger's is not decompressed.
    pub(super) async fn receive(&self, headers: &HeaderMap, mut body: Incoming) -> Result<Received, Fault> {
        if body.is_end_stream() {
            return Ok(Received {
                bytes: Bytes::new(),
                sent: 0,
                sha256: self.sha256(b""),
                _reservation: None,
            });
        }
        match arrived_already(&mut body).await {
            Some(bytes) if body.is_end_stream() => {
                let sha256 = self.sha256(&bytes);
                Ok(Received { sent: bytes.len(), sha256, bytes, _reservation: None })
            }
            // Boxed, so that the future of a request whose body is there already stays small.
            first => Box::pin(self.receive_slowly(headers, first, body)).await,
        }
    }

    /// The way of bodies that did not arrive in one piece together with their head.
    async fn receive_slowly(
        &self,
        headers: &HeaderMap,
        first: Option<Bytes>,
        mut body: Incoming,
    ) -> Result<Received, Fault> {
        let maximum = self.settings.request_bytes_max;
        let mut reservation = Reservation::of(&self.bodies);
        let refused = reservation.cover(body.size_hint().lower(), maximum).err();
        if let Some(fault) = refused
            && headers.contains_key(header::EXPECT)
        {
            // The client has sent nothing yet and need not.
            return Err(fault);
        }
        let deadline = tokio::time::Instant::now() + DEADLINE;
        let collected = match refused {
            Some(fault) => Err(fault),
            None => {
                let mut hash = A::HASHES_BODIES.then(|| digest::Context::new(&digest::SHA256));
                if let (Some(hash), Some(first)) = (&mut hash, &first) {
                    hash.update(first);
                }
                let arrival = Arrival { first, rest: BytesMut::new(), hash, reservation, maximum };
                let collected = tokio::time::timeout_at(deadline, arrival.collect(&mut body)).await;
                collected.unwrap_or(Err(Fault::TimedOut))
            }
        };
        if matches!(collected, Err(Fault::TooLarge | Fault::Overloaded)) {
            // Whoever is slower than this gets the answer now, and the connection closed behind it.
            tokio::time::timeout_at(deadline, discard(&mut body)).await.ok();
        }
        collected
    }

    /// The hash of a whole body, if the authenticator asks for it.
    fn sha256(&self, body: &[u8]) -> Option<[u8; 32]> {
        A::HASHES_BODIES.then(|| sha256(body))
    }

    /// Reads a body that is not wanted, for as long as any may take to arrive.
    pub(super) async fn discard(&self, mut body: Incoming) {
        tokio::time::timeout(DEADLINE, discard(&mut body)).await.ok();
    }

    /// Decompresses a body.
    pub(super) async fn decompress(&self, coding: Coding, received: Received) -> Result<Received, Fault> {
        let maximum = self.settings.request_bytes_max;
        // Most bodies are small, and need not wait behind heavy ones.
        if received.sent <= SMALL
            && let Some(plain) = inflate_small(coding, &received.bytes, maximum)?
        {
            return Ok(Received { bytes: plain.into(), ..received });
        }
        let reservation = Reservation::of(&self.bodies);
        // Off the connections' threads: a few kilobytes may become many megabytes.
        offload_call(move || inflate(coding, &received, maximum, reservation)).await
    }
}

/// The first piece of a small body that came together with its head: most often all of it, and then there is nothing
/// to wait for and nothing to copy.
async fn arrived_already(body: &mut Incoming) -> Option<Bytes> {
    if body.size_hint().exact().is_none_or(|length| length > SMALL as u64) {
        return None;
    }
    // Polled just once: the caller goes on to wait with a deadline.
    let polled = std::future::poll_fn(|context: &mut Context<'_>| {
        Poll::Ready(Pin::new(&mut *body).poll_frame(context))
    });
    match polled.await {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().ok(),
        _ => None,
    }
}

/// A body that comes in several pieces.
struct Arrival {
    /// What the body consists of as long as one piece is all there is.
    first: Option<Bytes>,
    /// Everything so far, once there was a second piece.
    rest: BytesMut,
    /// The hash of everything so far, piece by piece: one of megabytes would keep the connection's thread.
    hash: Option<digest::Context>,
    reservation: Reservation,
    maximum: usize,
}

impl Arrival {
    async fn collect(mut self, body: &mut Incoming) -> Result<Received, Fault> {
        let declared = body.size_hint().lower();
        while let Some(frame) = body.frame().await {
            // A frame that is no data is the trailers of a chunked body, which say nothing of interest.
            if let Ok(piece) = frame.map_err(|_| Fault::Broken)?.into_data() {
                if let Some(hash) = &mut self.hash {
                    hash.update(&piece);
                }
                self.add(piece, declared as usize)?;
            }
        }
        let bytes = self.first.unwrap_or_else(|| self.rest.freeze());
        let sha256 = self.hash.map(|hash| bytes_of(&hash.finish()));
        Ok(Received { sent: bytes.len(), sha256, bytes, _reservation: Some(self.reservation) })
    }

    fn add(&mut self, piece: Bytes, declared: usize) -> Result<(), Fault> {
        let before = self.first.as_ref().map_or(self.rest.len(), Bytes::len);
        let length = before + piece.len();
        if length > self.maximum {
            return Err(Fault::TooLarge);
        }
        if length > SMALL {
            self.reservation.grow_to(length)?;
        }
        if length == piece.len() {
            self.first = Some(piece);
            return Ok(());
        }
        if let Some(first) = self.first.take() {
            self.rest.reserve(declared.min(TRUSTED_CAPACITY).max(length));
            self.rest.extend_from_slice(&first);
        }
        if length > self.rest.capacity() {
            // A client that has sent this much sends the rest too. To grow by and by would copy megabytes on this thread.
            self.rest.reserve(declared.saturating_sub(before).max(piece.len()));
        }
        self.rest.extend_from_slice(&piece);
        Ok(())
    }
}

fn bytes_of(hash: &digest::Digest) -> [u8; 32] {
    hash.as_ref().try_into().expect("a SHA-256 has 32 bytes")
}

/// Reads what is left of a body that is refused, as far as that is sensible.
async fn discard(body: &mut Incoming) {
    let mut discarded = 0;
    while discarded < DISCARDED_MAX
        && let Some(Ok(frame)) = body.frame().await
    {
        discarded += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
}

/// Decompresses a body that stays small; `None` if it does not.
fn inflate_small(coding: Coding, sent: &[u8], maximum: usize) -> Result<Option<Vec<u8>>, Fault> {
    let room = LARGE_BODY_BYTES.min(maximum);
    let (mut plain, mut fits) = (Vec::new(), true);
    let inflated = coding.decompress(sent, &mut |piece| {
        fits = plain.len() + piece.len() <= room;
        if !fits {
            return Err(Fault::TooLarge);
        }
        plain.extend_from_slice(piece);
        Ok(())
    });
    match inflated {
        Ok(()) => Ok(Some(plain)),
        Err(_) if !fits => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// Decompresses a body, counting every piece before it is kept: a small body may hold gigabytes.
fn inflate(
    coding: Coding,
    received: &Received,
    maximum: usize,
    mut reservation: Reservation,
) -> Result<Received, Fault> {
    let mut plain = Vec::new();
    coding.decompress(&received.bytes, &mut |piece| {
        if plain.len() + piece.len() > maximum {
            return Err(Fault::TooLarge);
        }
        plain.extend_from_slice(piece);
        if plain.len() > SMALL { reservation.grow_to(plain.len()) } else { Ok(()) }
    })?;
    let (bytes, &Received { sent, sha256, .. }) = (plain.into(), received);
    Ok(Received { bytes, sent, sha256, _reservation: Some(reservation) })
}

/// How many bytes of large bodies are in memory.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicUsize,
    maximum: usize,
}

impl Budget {
    pub(super) fn new(maximum: usize) -> Self {
        Self { used: AtomicUsize::new(0), maximum }
    }
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Reservation {
    /// A reservation of nothing yet.
    pub(super) fn of(budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), bytes: 0 }
    }

    /// Another one of the same budget, of nothing yet.
    pub(super) fn empty(&self) -> Self {
        Self::of(&self.budget)
    }

    /// True if it holds anything.
    pub(super) fn is_something(&self) -> bool {
        self.bytes > 0
    }

    /// Reserves all of a body that is announced to be that long, before any of it is read: bodies that grow side by side
    /// until none can be finished would all have been read for nothing.
    fn cover(&mut self, announced: u64, maximum: usize) -> Result<(), Fault> {
        match usize::try_from(announced) {
            Ok(length) if length <= SMALL => Ok(()),
            Ok(length) if length <= maximum => self.grow_to(length),
            _ => Err(Fault::TooLarge),
        }
    }

    /// Reserves up to that many bytes in all.
    pub(super) fn grow_to(&mut self, bytes: usize) -> Result<(), Fault> {
        let more = bytes.saturating_sub(self.bytes);
        let add = |used: usize| used.checked_add(more).filter(|used| *used <= self.budget.maximum);
        // Relaxed: the count guards no other memory.
        let added = self.budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        added.map_err(|_| Fault::Overloaded)?;
        self.bytes += more;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_small_body_is_decompressed_at_once_unless_it_grows_large() {
        let pressed = |plain: &[u8]| {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        };
        let (fits, grows) = (vec![b' '; LARGE_BODY_BYTES], vec![b' '; LARGE_BODY_BYTES + 1]);
        let small = |plain: &[u8], maximum: usize| inflate_small(Coding::Gzip, &pressed(plain), maximum);
        assert_eq!(small(&fits, usize::MAX), Ok(Some(fits.clone())));
        assert_eq!(small(&grows, usize::MAX), Ok(None));
        // Whoever reads it whole finds it too large.
        assert_eq!(small(&fits, LARGE_BODY_BYTES - 1), Ok(None));
        assert!(inflate_small(Coding::Gzip, b"no gzip", usize::MAX).is_err());
    }

    #[test]
    fn a_reservation_over_the_budget_fails_and_leaves_nothing_behind() {
        let budget = Arc::new(Budget::new(100));
        let mut one = Reservation::of(&budget);
        one.grow_to(60).unwrap();
        assert_eq!(Reservation::of(&budget).grow_to(50), Err(Fault::Overloaded));
        one.grow_to(100).unwrap();
        one.grow_to(70).unwrap();
        assert_eq!(budget.used.load(Ordering::Relaxed), 100);
        drop(one);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
