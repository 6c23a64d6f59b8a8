//! What a fleet does to the node it runs in: it applies reports of others, and says how long what is cached may be served.

use tokio::time::Instant;

use crate::cache::Report;
use crate::engine::Engine;

/// What a node caches, as the fleet sees it.
pub trait Replica: Send + Sync + 'static {
    /// Invalidates what another node has reported. When it returns, no reader can be given anything older.
    fn apply(&self, report: &Report, now: Instant);

    /// What was applied before this call vouches for everything cached until then.
    fn renew_lease(&self, until: Instant);

    /// Nothing vouches for what is cached any more, from now on.
    fn end_lease(&self, now: Instant);

    /// Everything was invalidated when the machine had stood still for so many milliseconds in all.
    fn forget_stops(&self, stopped_ms: u64);
}

impl Replica for Engine {
    fn apply(&self, report: &Report, now: Instant) {
        self.apply_report(report, now);
    }

    fn renew_lease(&self, until: Instant) {
        self.renew_lease(until);
    }

    fn end_lease(&self, now: Instant) {
        self.end_lease(now);
    }

    fn forget_stops(&self, stopped_ms: u64) {
        self.forget_stops(stopped_ms);
    }
}
