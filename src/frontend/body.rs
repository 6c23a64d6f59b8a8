//! Request bodies: read whole within limits of size, time and memory, and decompressed.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::HEAD_BYTES_MAX;
use super::{Frontend, Observer, Refusal, Service};

/// Bytes of large bodies that may be in memory at a time, over all connections.
const IN_FLIGHT_MAX: usize = 256 * 1024 * 1024;

/// Bodies up to this size are not counted: they fit the buffer that each connection may have anyway.
const SMALL: usize = HEAD_BYTES_MAX;

/// How long a body may take to arrive, and a refused one to be thrown away.
const DEADLINE: Duration = Duration::from_secs(60);
const DISCARD_DEADLINE: Duration = Duration::from_secs(5);

/// How much of a refused body is read and dropped. Many clients read no answer before they have sent all, and closing on
/// them would lose the answer; past this much they are no clients.
const DISCARDED_MAX: usize = 64 * 1024 * 1024;

/// Why a body cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Over the limit, before or after it was decompressed.
    TooLarge,
    /// Too many bytes of other bodies are in memory.
    Overloaded,
    /// It took too long.
    TimedOut,
    /// Cut off, or not encoded as its headers say.
    Broken,
}

impl Fault {
    pub(super) fn refusal(self) -> Refusal {
        match self {
            Self::TooLarge => Refusal::BodyTooLarge,
            Self::Overloaded => Refusal::Overloaded,
            Self::TimedOut => Refusal::TimedOut,
            Self::Broken => Refusal::Malformed,
        }
    }
}

/// A body that arrived whole.
#[derive(Debug)]
pub(super) struct Received {
    /// The body, decompressed.
    pub(super) bytes: Bytes,
    /// How many bytes were sent for it.
    pub(super) sent: usize,
    /// Its place in the budget, held as long as the body is.
    _reservation: Option<OwnedSemaphorePermit>,
}

/// The bytes of large bodies that may be in memory, in KiB.
pub(super) fn budget() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(IN_FLIGHT_MAX / 1024))
}

impl<S: Service, O: Observer> Frontend<S, O> {
    /// Reads a body whole.
    pub(super) async fn receive(&self, headers: &HeaderMap, mut body: Incoming) -> Result<Received, Fault> {
        let limit = self.settings.request_bytes_max;
        let collected = match usize::try_from(body.size_hint().lower()) {
            Ok(declared) if declared <= limit => {
                let collecting = self.collect(&mut body, declared, limit);
                tokio::time::timeout(DEADLINE, collecting).await.unwrap_or(Err(Fault::TimedOut))
            }
            _ => Err(Fault::TooLarge),
        };
        // A client that waits for `100 Continue` has sent nothing, and need not.
        if matches!(collected, Err(Fault::TooLarge | Fault::Overloaded))
            && !headers.contains_key(header::EXPECT)
        {
            discard(body).await;
        }
        let received = collected?;
        match headers.get(header::CONTENT_ENCODING) {
            Some(encoding) if encoding.as_bytes().eq_ignore_ascii_case(b"gzip") => {
                // Off the connections' threads: a few kilobytes may become many megabytes.
                let reservation = self.reserve(limit)?;
                let inflating = tokio::task::spawn_blocking(move || inflate(&received, limit, reservation));
                inflating.await.unwrap_or(Err(Fault::Broken))
            }
            _ => Ok(received),
        }
    }

    async fn collect(&self, body: &mut Incoming, declared: usize, limit: usize) -> Result<Received, Fault> {
        let mut reservation = if declared > SMALL { Some(self.reserve(declared)?) } else { None };
        let mut whole = Bytes::new();
        let mut buffer = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Fault::Broken)?.into_data() else { continue };
            if buffer.is_empty() && whole.is_empty() {
                // A small body comes in one piece and is taken as it is.
                whole = data;
                continue;
            }
            if buffer.is_empty() {
                buffer.reserve(declared.max(whole.len() + data.len()));
                buffer.extend_from_slice(&whole);
            }
            if buffer.len() + data.len() > limit {
                return Err(Fault::TooLarge);
            }
            // A body of no declared length is counted as it grows.
            if reservation.is_none() && buffer.len() + data.len() > SMALL {
                reservation = Some(self.reserve(limit)?);
            }
            buffer.extend_from_slice(&data);
        }
        let bytes = if buffer.is_empty() { whole } else { buffer.freeze() };
        if bytes.len() > limit {
            return Err(Fault::TooLarge);
        }
        Ok(Received { sent: bytes.len(), bytes, _reservation: reservation })
    }

    fn reserve(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Fault> {
        let kibibytes = u32::try_from(bytes.min(IN_FLIGHT_MAX).div_ceil(1024)).unwrap_or(u32::MAX);
        Arc::clone(&self.bodies).try_acquire_many_owned(kibibytes).map_err(|_| Fault::Overloaded)
    }
}

/// Reads what a refused client still sends, up to a limit, so that it gets to read its answer.
async fn discard(mut body: Incoming) {
    let reading = async {
        let mut discarded = 0;
        while let Some(Ok(frame)) = body.frame().await {
            discarded += frame.data_ref().map_or(0, Bytes::len);
            if discarded > DISCARDED_MAX {
                return;
            }
        }
    };
    // Whoever is slower than this gets the answer now, and the connection closed behind it.
    tokio::time::timeout(DISCARD_DEADLINE, reading).await.ok();
}

/// Decompresses a body, up to a limit.
fn inflate(received: &Received, limit: usize, reservation: OwnedSemaphorePermit) -> Result<Received, Fault> {
    let mut inflated = Vec::new();
    let mut decoder = MultiGzDecoder::new(&*received.bytes).take(limit as u64 + 1);
    decoder.read_to_end(&mut inflated).map_err(|_| Fault::Broken)?;
    if inflated.len() > limit {
        return Err(Fault::TooLarge);
    }
    Ok(Received { bytes: inflated.into(), sent: received.sent, _reservation: Some(reservation) })
}
