//! The node as the admin listener asks it: what is counted, the config in force, and calls past the front end.

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::admin::{Call, Fault, FleetReport, Flush, HotQuery, Node, Pending, Warm};
use crate::call::Answer;
use crate::telemetry::CacheSample;

use super::edge::AdminCall;
use super::figures;
use super::learned;
use super::running::RunningNode;

impl Node for RunningNode {
    fn metrics(&self) -> String {
        let mut samples = self.caches.samples(&self.metrics);
        samples.extend(learned::samples(&self.caches));
        samples.extend(self.engines.samples());
        samples.extend(self.fleet.iter().flat_map(|fleet| fleet.samples(&self.caches)));
        samples.extend(self.tls.iter().map(|tls| {
            let not_after = tls.not_after().unix_seconds();
            CacheSample::plain("nearside_tls_certificate_not_after_timestamp_seconds", not_after)
        }));
        samples.extend(
            self.dax_lists
                .iter()
                .map(|lists| CacheSample::plain("nearside_dax_attribute_lists", lists.count() as u64)),
        );
        self.metrics.render(&samples)
    }

    fn failure(&self) -> Option<String> {
        self.engines.failure()
    }

    fn fleet(&self) -> Option<FleetReport> {
        let fleet = self.fleet.as_ref()?;
        Some(FleetReport { json: fleet.json(), unready: fleet.unready() })
    }

    fn stats(&self, unready: Option<&str>) -> Value {
        figures::stats(self, unready)
    }

    fn config(&self) -> Value {
        json!({ "keys": self.in_force().keys_in_force() })
    }

    fn flush(&self, flush: Flush) -> Pending<'_, Result<String, Fault>> {
        Box::pin(async move {
            let flushed = match &flush {
                Flush::Everything => "everything".to_owned(),
                Flush::Table(table) => format!("table {table}"),
                Flush::Item { table, .. } => format!("one item of {table}"),
            };
            self.engines.flush(flush).await?;
            tracing::info!(flushed, "Flushed what is cached.");
            Ok(flushed)
        })
    }

    fn reload(&self) -> Pending<'_, Result<Vec<String>, Fault>> {
        Box::pin(async {
            match self.reload_asks.ask().await {
                Some(Ok(keys)) => Ok(keys),
                Some(Err(faults)) => {
                    let faults = faults.trim_end().replace('\n', "; ");
                    Err(Fault::invalid(format!("The config was not reloaded, the old one stays: {faults}")))
                }
                None => Err(Fault::unavailable("This process does not watch its config: start it again.")),
            }
        })
    }

    fn warm(&self, warm: Warm) -> Pending<'_, Result<Value, Fault>> {
        Box::pin(async move {
            match self.engines.sole() {
                Some(engine) => self.warm_ups.start(engine, warm).await,
                None => Err(Fault::invalid(
                    "Warm-ups need share = true under [local]: with share = false each region and access key has tables of its own, \
                     and a warm-up does not say whose it means.",
                )),
            }
        })
    }

    fn warm_ups(&self) -> Value {
        self.warm_ups.to_json()
    }

    fn stop_warm_up(&self, table: &str) -> Result<Value, Fault> {
        self.warm_ups.stop(table)
    }

    fn quit(&self) {
        tracing::info!("The admin listener was asked to end this node.");
        self.shutdown.cancel();
    }

    fn hot(&self, query: HotQuery) -> Value {
        learned::hot(&self.caches, query)
    }

    fn curve(&self) -> Value {
        learned::curve(&self.caches)
    }

    fn advice(&self) -> Value {
        learned::advice(self)
    }

    fn call(&self, call: Call) -> Pending<'_, Result<Answer, Fault>> {
        Box::pin(async move {
            let (operation, body, client) = (call.operation, call.body.clone(), call.client);
            let called = AdminCall { operation, body, client, begun: Instant::now() };
            self.engines.call(call).await.map(|served| self.edge.answer_admin(&called, served))
        })
    }
}
