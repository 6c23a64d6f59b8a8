//! Spans of requests, on their way to the collector that the config names. Only with the feature `otlp`.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Fixed;
use crate::telemetry::{SpanExport, Tracer};
use crate::upstream::remote::Network;

use super::StartError;
use super::backend::variable;
use super::edge::Edge;

/// How long the collector may take for a batch of spans.
const COLLECTOR_TIMEOUT: Duration = Duration::from_secs(5);

/// What records requests, and what exports that; `None` without a collector.
pub(super) fn tracer(fixed: &Fixed) -> Result<Option<(Tracer, SpanExport)>, StartError> {
    let Some(endpoint) = &fixed.otlp_endpoint else { return Ok(None) };
    let network = Network::from_variables(variable);
    let client = network.client_of(endpoint, COLLECTOR_TIMEOUT);
    let tracer = client.and_then(|client| {
        Tracer::to_collector(&endpoint.to_string(), fixed.trace_sample.value(), COLLECTOR_TIMEOUT, client)
    });
    tracer.map(Some).map_err(|reason| StartError(format!("tracing.otlp_endpoint: {reason}")))
}

/// Has the edge record requests from now on, and exports what it records until `closing`.
pub(super) fn begin(
    tracing: Option<(Tracer, SpanExport)>,
    edge: Edge,
    closing: &CancellationToken,
) -> (Edge, Option<JoinHandle<()>>) {
    match tracing {
        Some((tracer, export)) => (edge.with_tracer(tracer), Some(tokio::spawn(export.run(closing.clone())))),
        None => (edge, None),
    }
}
