//! The node as the admin listener asks it: what is counted, the config in force, and calls past the front end.

use serde_json::{Value, json};

use crate::admin::{Call, Fault, FleetReport, HotQuery, Node, Pending};
use crate::call::Answer;
use crate::telemetry::CacheSample;

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
        Box::pin(self.engines.call(call))
    }
}
