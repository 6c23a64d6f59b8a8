//! How long what is cached may be served in a fleet, whose nodes write without each other.
//!
//! A *lease* says that everything was applied here that other nodes acknowledged until a moment that is not long ago: so far back as
//! the lease is long. While it lasts, the words alone decide. Without one, entries are of no use, except perhaps those that are
//! *young*: sent for after the lease had ended, hence read strongly, and less than the length of a lease ago.
//!
//! Without a fleet there is one lease, and it never ends.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::secret::FleetSecret;

/// A process that slept shows it by this much at least. Below, the two clocks were only not read together.
const SLEEP_MS_MIN: i64 = 100;

/// The most milliseconds between two looks at a clock that count as one moment.
const MOMENT_MS: u64 = 10;

/// How often the clocks are looked at, at most, until both were read in one moment.
const LOOKS_MAX: u32 = 100;

/// What the cache of a node in a fleet is made with.
pub struct FleetMemory {
    /// The same in all nodes, and different for each upstream.
    pub secret: FleetSecret,
    /// How long a lease lasts, less what clocks may differ by: a node without a lease serves nothing that was sent for longer ago.
    pub lease: Duration,
    /// What is read while there is no lease.
    pub lapsed: LapsedReads,
    /// The time since the machine was started, its sleep included. With it, the cache finds out that the process slept, for the time
    /// of the program stands still then. It is asked at each hit.
    pub boot_clock: Option<Box<dyn Fn() -> Duration + Send + Sync>>,
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
    sleep: Option<Sleep>,
    is_in_fleet: bool,
}

/// How a process knows that it slept.
struct Sleep {
    boot_clock: Box<dyn Fn() -> Duration + Send + Sync>,
    /// By how much the boot clock was ahead of the cache's time when somebody last looked.
    gap_ms: AtomicI64,
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
            sleep: None,
            is_in_fleet: false,
        }
    }

    /// Of a node in a fleet, without a lease at first. `now_ms` reads the cache's clock.
    pub(super) fn leased(
        lease: Duration,
        lapsed: LapsedReads,
        boot_clock: Option<Box<dyn Fn() -> Duration + Send + Sync>>,
        now_ms: impl Fn() -> u64,
    ) -> Self {
        let freshness = Self {
            until_ms: AtomicU64::new(0),
            young_ms: match lapsed {
                LapsedReads::Young => u64::try_from(lease.as_millis()).unwrap_or(u64::MAX),
                LapsedReads::Bypass => 0,
            },
            stores_without_lease: lapsed == LapsedReads::Young,
            sleep: boot_clock.map(|boot_clock| Sleep { boot_clock, gap_ms: AtomicI64::new(0) }),
            is_in_fleet: true,
            ..Self::forever()
        };
        freshness.note_boot_gap(now_ms);
        freshness
    }

    pub(super) fn is_in_fleet(&self) -> bool {
        self.is_in_fleet
    }

    /// The lease of a reader. It must be asked for before the words are loaded, and what says that a key was lately written.
    pub(super) fn lease(&self, now_ms: u64) -> Lease {
        if self.sleep.as_ref().is_some_and(|sleep| sleep.has_slept(now_ms)) {
            // The time that went by is in none of the cache's times: nothing is young either.
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

    /// Takes the two clocks as they are: everything from before a sleep is invalidated.
    pub(super) fn note_boot_gap(&self, now_ms: impl Fn() -> u64) {
        let Some(sleep) = &self.sleep else { return };
        // A gap that is taken too wide would hide a sleep.
        for _ in 0..LOOKS_MAX {
            let before_ms = now_ms();
            let gap_ms = sleep.gap_ms(now_ms());
            if now_ms().saturating_sub(before_ms) <= MOMENT_MS {
                return sleep.gap_ms.store(gap_ms, Ordering::Release);
            }
        }
    }
}

impl Sleep {
    fn gap_ms(&self, now_ms: u64) -> i64 {
        (self.boot_clock)().as_millis() as i64 - now_ms as i64
    }

    fn has_slept(&self, now_ms: u64) -> bool {
        self.gap_ms(now_ms) > self.gap_ms.load(Ordering::Acquire) + SLEEP_MS_MIN
    }
}
