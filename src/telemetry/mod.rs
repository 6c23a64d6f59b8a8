//! Metrics, logs and spans: the only place that knows prometheus, OpenTelemetry and the set-up of tracing.
//!
//! In come plain facts; out go a text for Prometheus and lines on the standard error. Nothing of users' items, keys or
//! credentials is among the facts.

mod latencies;
mod lines;
mod logs;
mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
mod repeats;
mod requests;
mod samples;
mod warnings;

pub use latencies::Histogram;
pub use logs::{
    LogLevel, LogSettings, announce, announce_failure, catch_panic, flush_logs, init_logs, use_format,
};
pub use metrics::{Metrics, metric_names};
#[cfg(feature = "otlp")]
pub use otlp::{SpanExport, Tracer};
pub use repeats::Repeats;
pub use requests::{OperationFigures, RequestFigures, TableFigures, source_label};
pub use samples::{
    CACHE_METRICS, CacheSample, FLEET_METRICS, PAGE_METRICS, REALM_METRICS, UNIT_METRICS, UPSTREAM_METRICS,
};
pub use warnings::{Warning, recent_warnings};
