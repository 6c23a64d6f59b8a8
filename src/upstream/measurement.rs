//! An upstream whose calls are timed.

use std::sync::{Arc, Weak};

use tokio::time::Instant;

use crate::json::Json;
use crate::telemetry::Metrics;

use crate::call::{CallFuture, ChangeListener, ItemNow, PlainQuery, Request, Upstream};
use crate::model::{Operation, TableSchema};

/// Passes every call to another upstream and tells the metrics how long it took.
pub struct Measured {
    inner: Arc<dyn Upstream>,
    metrics: Arc<Metrics>,
}

impl Measured {
    /// Times the calls of `inner`.
    pub fn new(inner: Arc<dyn Upstream>, metrics: Arc<Metrics>) -> Self {
        Self { inner, metrics }
    }
}

impl Upstream for Measured {
    fn call<'a>(&'a self, request: &'a Request) -> CallFuture<'a> {
        Box::pin(async move {
            let sent = Instant::now();
            let outcome = self.inner.call(request).await;
            self.metrics.upstream_called(request.operation, sent.elapsed());
            outcome
        })
    }

    fn call_parsed<'a>(&'a self, request: &'a Request, body: &'a Json<'a>) -> CallFuture<'a> {
        Box::pin(async move {
            let sent = Instant::now();
            let outcome = self.inner.call_parsed(request, body).await;
            self.metrics.upstream_called(request.operation, sent.elapsed());
            outcome
        })
    }

    fn item_now(&self, schema: &TableSchema, key: &[u8]) -> Option<ItemNow> {
        let sent = Instant::now();
        let item = self.inner.item_now(schema, key)?;
        self.metrics.upstream_called(Operation::GetItem, sent.elapsed());
        Some(item)
    }

    fn query_strongly<'a>(&'a self, query: PlainQuery<'a>) -> Option<CallFuture<'a>> {
        let sent = Instant::now();
        let called = self.inner.query_strongly(query)?;
        Some(Box::pin(async move {
            let outcome = called.await;
            self.metrics.upstream_called(Operation::Query, sent.elapsed());
            outcome
        }))
    }

    fn hands_over_items(&self) -> bool {
        self.inner.hands_over_items()
    }

    fn never_lags(&self) -> bool {
        self.inner.never_lags()
    }

    fn report_changes(&self, listener: Weak<dyn ChangeListener>) -> bool {
        self.inner.report_changes(listener)
    }
}
