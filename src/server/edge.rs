//! What is recorded of each exchange of the front end: metrics always, a line of the log where it is of interest.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::call::{Answer, Source, Verdict};
#[cfg(feature = "otlp")]
use crate::call::{SpanFacts, Trace};
use crate::engine::Served;
use crate::frontend::{DaxAnswered, Entrance, Exchange, Observer, RejectReason, request_id};
#[cfg(feature = "otlp")]
use crate::model::arn::table_name;
use crate::model::{ApiError, ErrorCode, ErrorName, Operation};
#[cfg(feature = "otlp")]
use crate::telemetry::Tracer;
use crate::telemetry::{Metrics, Repeats, source_label};
use crate::wire::index_named;

use super::audit::{AuditLevel, AuditLog};

/// At most one line in this time for each reason and table of what is rejected.
const REJECTED_INTERVAL: Duration = Duration::from_secs(10);

/// At most one line in this time for each operation and table of what is slow.
const SLOW_INTERVAL: Duration = Duration::from_secs(1);

/// Records each exchange.
pub(super) struct Edge {
    metrics: Arc<Metrics>,
    slow: Arc<SlowFrom>,
    slow_lines: Repeats<(Operation, Box<str>)>,
    rejected_lines: Repeats<Rejected>,
    audit: AuditLog,
    /// What records requests, if anything does.
    #[cfg(feature = "otlp")]
    tracer: Option<Tracer>,
}

/// From which duration on a request is slow. It may change while requests run.
#[derive(Debug)]
pub(super) struct SlowFrom(AtomicU64);

impl SlowFrom {
    /// `log.slow`; zero for never.
    pub(super) fn new(slow: Duration) -> Arc<Self> {
        let slow_from = Self(AtomicU64::new(0));
        slow_from.set(slow);
        Arc::new(slow_from)
    }

    pub(super) fn set(&self, slow: Duration) {
        let nanoseconds = match slow {
            Duration::ZERO => u64::MAX,
            slow => u64::try_from(slow.as_nanos()).unwrap_or(u64::MAX),
        };
        self.0.store(nanoseconds, Ordering::Relaxed);
    }

    fn is_slow(&self, latency: Duration) -> bool {
        latency.as_nanos() >= u128::from(self.0.load(Ordering::Relaxed))
    }
}

/// A call that came over the admin listener.
pub(super) struct AdminCall {
    pub(super) operation: Operation,
    pub(super) body: Bytes,
    pub(super) client: Option<SocketAddr>,
    pub(super) begun: Instant,
}

/// A kind of request that this node does not serve.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Rejected {
    /// Before it was read.
    Unread(RejectReason),
    /// In the service's stead, with this error.
    Answered(Operation, ErrorCode),
}

impl Edge {
    pub(super) fn new(metrics: Arc<Metrics>, slow: Arc<SlowFrom>, audit: Arc<AuditLevel>) -> Self {
        let (slow_lines, rejected_lines) = (Repeats::new(SLOW_INTERVAL), Repeats::new(REJECTED_INTERVAL));
        Self {
            metrics,
            slow,
            slow_lines,
            rejected_lines,
            audit: AuditLog::new(audit),
            #[cfg(feature = "otlp")]
            tracer: None,
        }
    }

    /// The same, which also records requests.
    #[cfg(feature = "otlp")]
    pub(super) fn with_tracer(self, tracer: Tracer) -> Self {
        Self { tracer: Some(tracer), ..self }
    }

    /// Records a call that came over the admin listener, and gives its answer the id by which the audit log names it.
    pub(super) fn answer_admin(&self, called: &AdminCall, served: Result<Served, ApiError>) -> Answer {
        let (mut answer, source, table) = match served {
            Ok(Served { answer, source, table, .. }) => (answer, Some(source), table),
            Err(error) => (Answer::from(error), None, None),
        };
        let id = request_id();
        let id = id.to_str().unwrap_or_default();
        answer.headers.push(("x-amzn-requestid".to_owned(), id.to_owned()));
        let index = self.audits().then(|| index_named(&called.body)).flatten();
        self.answered(&Exchange {
            entrance: Entrance::Admin,
            operation: called.operation,
            source,
            table: table.as_deref(),
            index: index.as_deref(),
            principal: None,
            client: called.client,
            // By the token, or because nobody is verified here.
            verdict: Verdict::Allowed,
            status: answer.status,
            error: answer.error.as_ref(),
            latency: called.begun.elapsed(),
            request_bytes: called.body.len(),
            answer_bytes: answer.body.len(),
            request_id: id,
            trace: None,
        });
        answer
    }

    /// Writes the lines of what was counted and is not reported yet.
    pub(super) fn report_overdue(&self, now: Instant) {
        for (rejected, count) in self.rejected_lines.overdue(now) {
            rejected.log(count);
        }
        for ((operation, table), count) in self.slow_lines.overdue(now) {
            tracing::warn!(op = operation.name(), table = &*table, count, "More slow requests.");
        }
        self.audit.report_overdue(now);
    }

    /// Writes the lines of the audit that are not written yet, before the end.
    pub(super) fn report_rest(&self, now: Instant) {
        self.audit.report_rest(now);
    }

    /// The table that figures are counted for: one that is not there gets no label of its own.
    fn table_of<'a>(&self, exchange: &Exchange<'a>) -> &'a str {
        let table = named_table(exchange);
        let is_missing = exchange.error.and_then(ErrorName::code) == Some(ErrorCode::ResourceNotFound);
        if is_missing && !self.metrics.shows_table(table) { "" } else { table }
    }

    fn log_slow(&self, exchange: &Exchange<'_>) {
        let table = named_table(exchange);
        let Some(count) = self.slow_lines.note((exchange.operation, table.into()), Instant::now()) else {
            return;
        };
        tracing::warn!(
            op = exchange.operation.name(),
            table,
            source = source_label(exchange.source),
            code = exchange.error.map(ErrorName::text).unwrap_or_default(),
            latency_us = microseconds(exchange.latency),
            request_id = exchange.request_id,
            trace_id = exchange.trace.map(|trace| display(trace.id())),
            count,
            "Slow request."
        );
    }

    fn log_rejected(&self, rejected: Rejected) {
        if let Some(count) = self.rejected_lines.note(rejected.clone(), Instant::now()) {
            rejected.log(count);
        }
    }
}

impl Rejected {
    fn log(&self, count: u64) {
        match self {
            Self::Unread(reason) => {
                tracing::warn!(reason = reason.label(), count, "Rejected before reading.");
            }
            Self::Answered(operation, code) => {
                tracing::warn!(
                    op = operation.name(),
                    code = code.short_name(),
                    count,
                    "Rejected by this node."
                );
            }
        }
    }
}

impl Observer for Edge {
    fn audits(&self) -> bool {
        self.audit.is_on()
    }

    #[cfg(feature = "otlp")]
    fn records_plainly(&self) -> bool {
        !self.audits() && self.tracer.is_none()
    }

    #[cfg(feature = "otlp")]
    fn trace(&self, received: Option<Trace>) -> Option<Arc<Trace>> {
        match &self.tracer {
            Some(tracer) => tracer.trace(received),
            None => received.map(Arc::new),
        }
    }

    fn answered(&self, exchange: &Exchange<'_>) {
        if let Some(Source::Bypass(reason)) = exchange.source {
            self.metrics.bypassed(reason);
        }
        if exchange.entrance == Entrance::Admin {
            self.metrics.admin_called(exchange.operation);
        }
        let table = self.table_of(exchange);
        self.metrics.answered(exchange.operation, table, exchange.source, exchange.latency);
        if exchange.status >= 400 {
            self.metrics.failed(exchange.operation, table, exchange.error.map_or("Unknown", ErrorName::text));
        } else if exchange.operation == Operation::DeleteTable {
            self.metrics.table_deleted(table);
        }
        if let Some(reason) = exchange.verdict.denial() {
            self.metrics.denied(reason);
        }
        self.audit.record(exchange);
        #[cfg(feature = "otlp")]
        if let Some(trace) = exchange.trace {
            trace.end(exchange.latency, span_facts(exchange));
        }
        if self.slow.is_slow(exchange.latency) {
            self.log_slow(exchange);
        }
        if let (None, Some(code)) = (exchange.source, exchange.error.and_then(ErrorName::code))
            && is_for_want_of_room(code)
        {
            self.log_rejected(Rejected::Answered(exchange.operation, code));
        }
        tracing::debug!(
            op = exchange.operation.name(),
            table,
            source = source_label(exchange.source),
            code = exchange.error.map(ErrorName::text).unwrap_or_default(),
            status = exchange.status,
            latency_us = microseconds(exchange.latency),
            bytes = exchange.answer_bytes,
            request_id = exchange.request_id,
            trace_id = exchange.trace.map(|trace| display(trace.id())),
            "Answered."
        );
    }

    fn connection_opened(&self) {
        self.metrics.connection_opened();
    }

    fn dax_connection_opened(&self) {
        self.metrics.dax_connection_opened();
    }

    fn dax_connection_closed(&self) {
        self.metrics.dax_connection_closed();
    }

    fn dax_answered(&self, answered: &DaxAnswered<'_>) {
        let method = (answered.method as usize, answered.method.name());
        self.metrics.dax_answered(method, answered.error.is_some());
        if answered.method.operation().is_some() {
            // It has a line of its own, as a request of the API.
            return;
        }
        tracing::debug!(
            op = answered.method.name(),
            code = answered.error.map(ErrorName::text).unwrap_or_default(),
            latency_us = microseconds(answered.latency),
            bytes = answered.answer_bytes,
            request_id = answered.request_id,
            "Answered to a DAX client."
        );
    }

    fn connection_closed(&self) {
        self.metrics.connection_closed();
    }

    fn rejected(&self, reason: RejectReason) {
        self.metrics.refused(reason.label());
        // Clients that break off or are idle are no event, and a want of descriptors has a line of its own.
        let is_of_interest = match reason {
            RejectReason::Malformed
            | RejectReason::TimedOut
            | RejectReason::Exhausted
            | RejectReason::TlsHandshake => false,
            RejectReason::ConnectionLimit
            | RejectReason::BodyTooLarge
            | RejectReason::Overloaded
            | RejectReason::ForeignHost
            | RejectReason::ForeignOrigin => true,
        };
        if is_of_interest {
            self.log_rejected(Rejected::Unread(reason));
        }
    }
}

/// The table that a request names, which may be anything if it was denied.
fn named_table<'a>(exchange: &Exchange<'a>) -> &'a str {
    exchange.table.filter(|_| exchange.verdict == Verdict::Allowed).unwrap_or_default()
}

/// What a span says of a request.
#[cfg(feature = "otlp")]
fn span_facts(exchange: &Exchange<'_>) -> SpanFacts {
    let table = table_name(named_table(exchange));
    SpanFacts {
        operation: exchange.operation,
        table: (!table.is_empty()).then(|| table.to_owned()),
        status: Some(exchange.status),
        error: exchange.error.map(|error| error.text().to_owned()),
        source: exchange.source,
        request_id: Some(exchange.request_id.to_owned()),
    }
}

/// True for an error by which this node says that it cannot take the request now, or has no room for what it asks.
fn is_for_want_of_room(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::Throttling | ErrorCode::LimitExceeded | ErrorCode::ServiceUnavailable)
}

fn microseconds(latency: Duration) -> u64 {
    u64::try_from(latency.as_micros()).unwrap_or(u64::MAX)
}
