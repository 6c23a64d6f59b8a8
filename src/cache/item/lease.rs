//! The lease of a node in a fleet, and what it allows: see [`crate::cache::freshness`].

use std::sync::Arc;

use tokio::time::Instant;

use super::{CacheLimits, Consistency, FillMode, ItemCache, Rule};
use crate::cache::freshness::{FleetMemory, Freshness, Lease};
use crate::cache::secret::Secrets;
use crate::cache::store::BudgetedStore;

impl ItemCache {
    /// An empty cache of a node in a fleet. It serves nothing and reads everything strongly until [`ItemCache::renew_lease`] is
    /// called.
    pub fn in_fleet(limits: CacheLimits, memory: FleetMemory) -> Arc<Self> {
        let store = Box::new(BudgetedStore::new(limits.max_bytes));
        Arc::new(Self::with_store(limits, store, Secrets::of_fleet(memory.secret)).leased(memory))
    }

    pub(in crate::cache) fn leased(self, memory: FleetMemory) -> Self {
        let FleetMemory { secret: _, lease, lapsed, stopped } = memory;
        let freshness = Freshness::leased(lease, lapsed, stopped.clone());
        Self { freshness, stopped, ..self }
    }

    /// Lets what is cached be served until then. To be called when everything is applied ([`super::super::PageCache::apply`])
    /// that other nodes had acknowledged the length of a lease before that moment. A lease is never made shorter.
    pub fn renew_lease(&self, until: Instant) {
        self.freshness.renew(self.elapsed_ms(until));
    }

    /// Ends the lease: from now on, nothing that was sent for before is served.
    pub fn end_lease(&self, now: Instant) {
        self.freshness.end(self.elapsed_ms(now), || self.elapsed_ms(Instant::now()));
    }

    /// True if there is a lease; always without a fleet.
    pub fn has_lease(&self, now: Instant) -> bool {
        let now_ms = self.elapsed_ms(now);
        self.lease().covers(now_ms)
    }

    /// Takes note that everything was invalidated when the machine had stood still for so long in all: until then there is no lease.
    pub fn note_stops(&self, stopped_ms: u64) {
        self.freshness.note_stops(stopped_ms);
    }

    /// True if other nodes write too.
    #[inline]
    pub(in crate::cache) fn is_in_fleet(&self) -> bool {
        self.freshness.is_in_fleet()
    }

    /// Must be called after [`ItemCache::elapsed_ms`], and before words are loaded.
    #[inline]
    pub(in crate::cache) fn lease(&self) -> Lease {
        self.freshness.lease()
    }

    /// True if what was sent for then may be given to a reader, as far as the lease matters.
    #[inline]
    pub(super) fn may_serve(&self, lease: Lease, sent_ms: u64, now_ms: u64) -> bool {
        let is_strong =
            || self.freshness.was_sent_without(lease, sent_ms) || !self.obeys(Rule::YoungMeansStrong);
        lease.covers(now_ms) || (self.freshness.is_young(sent_ms, now_ms) && is_strong())
    }

    /// True if what lands now may be stored, as far as the lease matters.
    pub(in crate::cache) fn may_store(&self, now: Instant) -> bool {
        self.freshness.stores_without_lease()
            || self.has_lease(now)
            || !self.obeys(Rule::LapsedBypassStoresNothing)
    }

    pub(super) fn consistency(
        &self,
        fill: FillMode,
        lease: Lease,
        is_changing: bool,
        now: Instant,
    ) -> Consistency {
        let is_lapsed = !lease.covers(self.elapsed_ms(now)) && self.obeys(Rule::LapsedReadsStrongly);
        match fill {
            _ if is_lapsed => Consistency::Strong,
            FillMode::Strong => Consistency::Strong,
            FillMode::Adaptive if is_changing => Consistency::Strong,
            FillMode::Adaptive | FillMode::Eventual => Consistency::Eventual,
        }
    }
}
