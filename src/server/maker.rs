//! How an engine is made: over which upstream, in which realm, with what all engines share.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::caches;
use crate::cache::Realm;
use crate::call::Upstream;
use crate::config::Live;
use crate::engine::{Engine, Memory};
use crate::local::Local;
use crate::telemetry::Metrics;
use crate::upstream::measurement::Measured;

/// Makes engines that share caches, policies and metrics.
pub(super) struct EngineMaker {
    pub(super) memory: Memory,
    pub(super) live: Arc<ArcSwap<Live>>,
    pub(super) metrics: Arc<Metrics>,
}

impl EngineMaker {
    /// An engine of a realm over any upstream.
    pub(super) fn engine(&self, realm: Realm, upstream: Arc<dyn Upstream>) -> Arc<Engine> {
        let upstream = Measured::new(upstream, Arc::clone(&self.metrics));
        let policies = Arc::clone(&self.live);
        let policy_of = move |table: &str| caches::policy(&policies.load(), table);
        Engine::in_realm(realm, Arc::new(upstream), &self.memory, Box::new(policy_of))
    }

    /// An engine of a realm over a backend of its own. Nothing that a former engine of the realm has left is used.
    pub(super) fn local_engine(&self, realm: Realm, local: &Arc<Local>) -> Arc<Engine> {
        // Another process may have had the store meanwhile.
        self.memory.items.invalidate_all(realm, Instant::now());
        self.engine(realm, Arc::clone(local) as _)
    }
}
