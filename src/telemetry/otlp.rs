//! Spans on their way to a collector, by OpenTelemetry's protocol over HTTP (JSON). Only with the feature `otlp`.
//!
//! In come spans that have ended; out go batches of them, gathered for a second. Nobody waits for the collector: while it takes
//! nothing, spans are lost and counted, and requests go on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{Array, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::call::{Span, SpanFacts, SpanSide, SpanSink, Spans, Trace};

/// The most spans of one request to the collector.
const BATCH_MAX: usize = 512;

/// How long spans are gathered before they are sent.
const GATHER_TIME: Duration = Duration::from_secs(1);

/// How long what still waits may take at the end.
const LAST_EXPORT_TIMEOUT: Duration = Duration::from_secs(3);

/// At most one line of the log in this time while the collector fails.
const FAILING_INTERVAL: Duration = Duration::from_secs(60);

/// Which requests are recorded.
#[derive(Debug)]
pub struct Tracer {
    sink: SpanSink,
    sample: f64,
}

/// What is recorded, on its way out.
pub struct SpanExport {
    spans: Spans,
    exporter: SpanExporter,
    scope: InstrumentationScope,
    failing: Option<Instant>,
    /// Spans lost since the last line of the log.
    lost: u64,
}

impl Tracer {
    /// Records requests whose callers record them, and `sample` of those that come without a trace. What exports that sends it to the
    /// collector at `endpoint`, such as `http://127.0.0.1:4318`, which may take so long for a batch.
    ///
    /// # Errors
    /// A reason in words, if the endpoint cannot be one.
    pub fn to_collector(
        endpoint: &str,
        sample: f64,
        timeout: Duration,
        client: reqwest::Client,
    ) -> Result<(Self, SpanExport), String> {
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Collector { client, timeout })
            .with_protocol(Protocol::HttpJson)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(timeout)
            // A batch that is sent again would keep the next ones waiting.
            .with_retry_policy(RetryPolicy::disabled())
            .build()
            .map_err(|error| error.to_string())?;
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        exporter.set_resource(
            &Resource::builder_empty().with_service_name("nearside").with_attribute(version).build(),
        );
        let (sink, spans) = SpanSink::new();
        let scope = InstrumentationScope::builder("nearside").with_version(env!("CARGO_PKG_VERSION")).build();
        Ok((Self { sink, sample }, SpanExport { spans, exporter, scope, failing: None, lost: 0 }))
    }

    /// The trace of a request that came with that one, or with none; recorded, if it is to be.
    pub fn trace(&self, received: Option<Trace>) -> Option<Arc<Trace>> {
        let is_recorded = match &received {
            Some(trace) => trace.is_sampled(),
            None => fastrand::f64() < self.sample,
        };
        match is_recorded {
            true => Some(Arc::new(Trace::recorded(received, self.sink.clone()))),
            false => received.map(Arc::new),
        }
    }
}

impl SpanExport {
    /// Exports until `closing`, and then what still waits.
    pub async fn run(mut self, closing: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            let gathering = self.spans.waiting.recv_many(&mut batch, BATCH_MAX);
            if closing.run_until_cancelled(gathering).await.is_none() {
                break;
            }
            self.export(&mut batch).await;
            closing.run_until_cancelled(sleep(GATHER_TIME)).await;
        }
        while let Ok(span) = self.spans.waiting.try_recv() {
            batch.push(span);
        }
        tokio::time::timeout(LAST_EXPORT_TIMEOUT, self.export(&mut batch)).await.ok();
    }

    async fn export(&mut self, batch: &mut Vec<Span>) {
        while !batch.is_empty() {
            let spans: Vec<_> =
                batch.drain(..batch.len().min(BATCH_MAX)).map(|span| self.data(span)).collect();
            let count = spans.len() as u64;
            let outcome = self.exporter.export(spans).await.map_err(|error| error.to_string());
            self.note(outcome, count);
        }
    }

    /// Says in the log that spans are lost, and that they are not any more.
    fn note(&mut self, outcome: Result<(), String>, count: u64) {
        self.lost += self.spans.take_lost();
        match outcome {
            Ok(()) => {
                if self.failing.take().is_some() {
                    tracing::info!(lost = self.lost, "Spans are exported again.");
                    self.lost = 0;
                }
            }
            Err(error) => {
                self.lost += count;
                let is_due = |said: Instant| said.elapsed() >= FAILING_INTERVAL;
                if self.failing.is_none_or(is_due) {
                    tracing::warn!(error, lost = self.lost, "Spans cannot be exported.");
                    (self.failing, self.lost) = (Some(Instant::now()), 0);
                }
            }
        }
    }

    fn data(&self, span: Span) -> SpanData {
        let Span { trace, id, parent, side, state, begun, ended, facts } = span;
        let state: TraceState = state.and_then(|state| state.parse().ok()).unwrap_or_default();
        let (trace, id) = (TraceId::from(trace), SpanId::from(id));
        let is_error = match side {
            SpanSide::Server => facts.status.is_none_or(|status| status >= 500),
            SpanSide::Client => facts.status.is_none_or(|status| status >= 400),
        };
        SpanData {
            span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, state),
            parent_span_id: parent.map_or(SpanId::INVALID, SpanId::from),
            parent_span_is_remote: side == SpanSide::Server && parent.is_some(),
            span_kind: match side {
                SpanSide::Server => SpanKind::Server,
                SpanSide::Client => SpanKind::Client,
            },
            name: name(&facts).into(),
            start_time: begun,
            end_time: ended,
            attributes: attributes(facts),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: if is_error { Status::error("") } else { Status::Unset },
            instrumentation_scope: self.scope.clone(),
        }
    }
}

/// The operation and its table, as OpenTelemetry's conventions for databases have it.
fn name(facts: &SpanFacts) -> String {
    match &facts.table {
        Some(table) => format!("{} {table}", facts.operation.name()),
        None => facts.operation.name().to_owned(),
    }
}

/// By the same conventions, and where the answer came from.
fn attributes(facts: SpanFacts) -> Vec<KeyValue> {
    let mut attributes = vec![
        KeyValue::new("db.system.name", "aws.dynamodb"),
        KeyValue::new("db.operation.name", facts.operation.name()),
    ];
    if let Some(table) = facts.table {
        let tables = Value::Array(Array::String(vec![StringValue::from(table)]));
        attributes.push(KeyValue::new("aws.dynamodb.table_names", tables));
    }
    if let Some(status) = facts.status {
        attributes.push(KeyValue::new("http.response.status_code", i64::from(status)));
    }
    if let Some(source) = facts.source {
        attributes.push(KeyValue::new("nearside.cache", source.label()));
    }
    if let Some(error) = facts.error {
        attributes.push(KeyValue::new("error.type", error));
    }
    if let Some(request_id) = facts.request_id {
        attributes.push(KeyValue::new("aws.request_id", request_id));
    }
    attributes
}

/// A client of the collector, and how long an answer may take.
#[derive(Debug)]
struct Collector {
    client: reqwest::Client,
    timeout: Duration,
}

#[async_trait::async_trait]
impl HttpClient for Collector {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let mut request: reqwest::Request = request.try_into()?;
        *request.timeout_mut() = Some(self.timeout);
        let response = self.client.execute(request).await?;
        let mut whole = Response::builder().status(response.status());
        if let Some(headers) = whole.headers_mut() {
            headers.clone_from(response.headers());
        }
        Ok(whole.body(response.bytes().await?)?)
    }
}
