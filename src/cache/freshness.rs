//! How long what is cached may be served in a fleet, whose nodes write without each other.
//!
//! A *lease* says that everything was applied here that other nodes acknowledged until a moment that is not long ago: so far back as
//! the lease is long. While it lasts, the words alone decide. Without one, entries are of no use, except perhaps those that are
//! *young*: sent for after the lease had ended, hence read strongly, and less than the length of a lease ago.
//!
//! Without a fleet there is one lease, and it never ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::secret::FleetSecret;
use crate::stopped_time::StoppedTime;

/// What the cache of a node in a fleet is made with.
pub struct FleetMemory {
    /// The same in all nodes, and different for each upstream.
    pub secret: FleetSecret,
    /// How long a lease lasts, less what clocks may differ by: a node without a lease serves nothing that was sent for longer ago.
    pub lease: Duration,
    /// What is read while there is no lease.
    pub lapsed: LapsedReads,
    /// How long the machine stood still, asked at each lookup. Without it, the cache does not find that out.
    pub stopped: Option<Arc<StoppedTime>>,
}

/// What a node does with reads while it has no lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LapsedReads {
    /// They are answered with what was read strongly since the lease ended, less than the length of a lease ago.
    Young,
    /// They are answered by the upstream, each by its own read, and nothing is stored.
    Bypass,
}

/// The lease as a reader found it, before it looked at any word.
///
/// In that order, or a reader that is interrupted in between finds the old word, which a report has bumped since, and the new lease,
/// which counts on that report.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    until_ms: u64,
    /// What was sent for later was read strongly.
    ended_ms: u64,
}

impl Lease {
    /// True if there is a lease at that moment.
    pub(super) fn covers(self, now_ms: u64) -> bool {
        now_ms < self.until_ms
    }
}

/// The lease, and what is served without it. All times are milliseconds since the cache was made.
pub(super) struct Freshness {
    /// When the lease ends, rounded down; [`u64::MAX`] without a fleet.
    until_ms: AtomicU64,
    /// When a lease was last ended early: [`u64::MAX`] while that is going on. A read that found the lease before may have been sent
    /// eventually consistently until then.
    ended_early_ms: AtomicU64,
    /// Leases are ended one at a time.
    ending: Mutex<()>,
    /// What was sent for as long ago is no longer young; 0 if nothing ever is.
    young_ms: u64,
    stores_without_lease: bool,
    stopped: Option<Arc<StoppedTime>>,
    /// How much of it was over when everything was last invalidated. After a later stop nothing vouches for what is cached.
    noted_ms: AtomicU64,
    is_in_fleet: bool,
}

impl Freshness {
    /// Of a node that is alone.
    pub(super) fn forever() -> Self {
        Self {
            until_ms: AtomicU64::new(u64::MAX),
            ended_early_ms: AtomicU64::new(0),
            ending: Mutex::new(()),
            young_ms: 0,
            stores_without_lease: true,
            stopped: None,
            noted_ms: AtomicU64::new(0),
            is_in_fleet: false,
        }
    }

    /// Of a node in a fleet, without a lease at first.
    pub(super) fn leased(lease: Duration, lapsed: LapsedReads, stopped: Option<Arc<StoppedTime>>) -> Self {
        Self {
            until_ms: AtomicU64::new(0),
            young_ms: match lapsed {
                LapsedReads::Young => u64::try_from(lease.as_millis()).unwrap_or(u64::MAX),
                LapsedReads::Bypass => 0,
            },
            stores_without_lease: lapsed == LapsedReads::Young,
            noted_ms: AtomicU64::new(stopped.as_ref().map_or(0, |stopped| stopped.known_ms())),
            stopped,
            is_in_fleet: true,
            ..Self::forever()
        }
    }

    pub(super) fn is_in_fleet(&self) -> bool {
        self.is_in_fleet
    }

    /// The lease of a reader. It must be asked for after the cache has read its clock, and before the words are loaded, and what says
    /// that a key was lately written.
    pub(super) fn lease(&self) -> Lease {
        if self.has_stopped() {
            // A lease that was proved before may have been granted since: nothing is young either.
            return Lease { until_ms: 0, ended_ms: u64::MAX };
        }
        let until_ms = self.until_ms.load(Ordering::Acquire);
        Lease { until_ms, ended_ms: until_ms }
    }

    /// True of what was sent for when the lease had ended. Not in the very millisecond: a read sent then may have found the lease.
    pub(super) fn was_sent_without(&self, lease: Lease, sent_ms: u64) -> bool {
        sent_ms > lease.ended_ms && sent_ms > self.ended_early_ms.load(Ordering::Acquire)
    }

    /// True of what was sent for so lately that it may be served without a lease, if it was also sent without one.
    pub(super) fn is_young(&self, sent_ms: u64, now_ms: u64) -> bool {
        now_ms.saturating_sub(sent_ms) < self.young_ms
    }

    /// True if what lands without a lease is stored.
    pub(super) fn stores_without_lease(&self) -> bool {
        self.stores_without_lease
    }

    /// Everything is applied that a lease until then counts on.
    pub(super) fn renew(&self, until_ms: u64) {
        // What an earlier lease counts on stays true.
        self.until_ms.fetch_max(until_ms, Ordering::AcqRel);
    }

    /// Nothing vouches for what is cached any more, from that moment on. `now_ms` reads the cache's clock.
    pub(super) fn end(&self, from_ms: u64, now_ms: impl Fn() -> u64) {
        let _one_at_a_time = self.ending.lock().unwrap_or_else(PoisonError::into_inner);
        if self.until_ms.load(Ordering::Acquire) <= from_ms {
            // It has ended already. What was read strongly since then stays young.
            return;
        }
        self.ended_early_ms.store(u64::MAX, Ordering::Release);
        self.until_ms.fetch_min(from_ms, Ordering::AcqRel);
        // A reader that found the lease did so before this moment, whatever it does now.
        self.ended_early_ms.store(now_ms().max(from_ms), Ordering::Release);
    }

    /// Everything was invalidated when the machine had stood still for so long in all.
    pub(super) fn note_stops(&self, stopped_ms: u64) {
        self.noted_ms.fetch_max(stopped_ms, Ordering::AcqRel);
    }

    fn has_stopped(&self) -> bool {
        let Some(stopped) = &self.stopped else { return false };
        stopped.known_ms() > self.noted_ms.load(Ordering::Acquire)
    }
}
