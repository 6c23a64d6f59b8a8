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

    /// Everything was invalidated after the machine may have been suspended: from now on its clocks are as they should be.
    fn forget_sleep(&self);
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

    fn forget_sleep(&self) {
        self.forget_sleep();
    }
}
