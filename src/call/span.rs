//! What a node records of a trace: how long a request took, and each of its calls of the upstream. Only with the feature `otlp`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::source::Source;
use crate::model::Operation;

/// Spans that wait to be exported; more are lost.
const WAITING_MAX: usize = 4096;

/// A part of a trace that has ended.
#[derive(Debug)]
pub struct Span {
    /// The id of the trace, not zero.
    pub trace: u128,
    /// Its own id, not zero.
    pub id: u64,
    /// The span that it is a part of.
    pub parent: Option<u64>,
    /// On which side of a call it was recorded.
    pub side: SpanSide,
    /// The trace's `tracestate`.
    pub state: Option<Box<str>>,
    /// When it began.
    pub begun: SystemTime,
    /// When it ended.
    pub ended: SystemTime,
    /// What was called, and what came of it.
    pub facts: SpanFacts,
}

/// On which side of a call a span was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanSide {
    /// By who was called: a request of a client.
    Server,
    /// By the caller: a call of the upstream.
    Client,
}

/// What a span says of a call. There is nothing of keys and values in it.
#[derive(Debug)]
pub struct SpanFacts {
    /// The operation.
    pub operation: Operation,
    /// The one table that it names.
    pub table: Option<String>,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The error: a code of the service, or why there was no answer.
    pub error: Option<String>,
    /// Where the answer came from, of a client's request.
    pub source: Option<Source>,
    /// The answer's `x-amzn-requestid`, of a client's request.
    pub request_id: Option<String>,
}

/// Where spans go that have ended. Nobody waits for it: what finds no room is counted and lost.
#[derive(Clone, Debug)]
pub struct SpanSink {
    spans: Sender<Span>,
    lost: Arc<AtomicU64>,
}

/// The other end: what is to be exported.
#[derive(Debug)]
pub struct Spans {
    /// Those that wait.
    pub waiting: Receiver<Span>,
    lost: Arc<AtomicU64>,
}

impl SpanSink {
    /// A sink, and its other end.
    pub fn new() -> (Self, Spans) {
        let ((spans, waiting), lost) = (channel(WAITING_MAX), Arc::new(AtomicU64::new(0)));
        (Self { spans, lost: Arc::clone(&lost) }, Spans { waiting, lost })
    }

    pub(super) fn put(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Spans {
    /// How many were lost since this was asked last.
    pub fn take_lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}

/// What a trace needs to be recorded here.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) sink: SpanSink,
    /// The span of who sent the request.
    pub(super) parent: Option<u64>,
}

/// A call of the upstream that is being recorded.
#[derive(Debug)]
pub struct CallSpan {
    pub(super) id: u64,
    pub(super) begun: SystemTime,
}

impl CallSpan {
    pub(super) fn begin() -> Self {
        Self { id: random_id(), begun: SystemTime::now() }
    }
}

/// An id that no other span of the trace has.
pub(super) fn random_id() -> u64 {
    fastrand::u64(1..)
}

/// When something began that took so long and has just ended.
pub(super) fn since(took: Duration) -> (SystemTime, SystemTime) {
    let ended = SystemTime::now();
    (ended.checked_sub(took).unwrap_or(ended), ended)
}
