//! Time that the monotonic clock has missed: the machine was suspended, or its sandbox frozen.
//!
//! `Instant` is the monotonic clock, which stands still with the machine. An *age* must count that time all the same: that of an
//! entry of the cache, of a lease, of the description of a table. Two clocks go on. The boot clock counts a suspension. The wall clock
//! counts it too, and after a pause of a virtual machine it is the only one that does, once it is set right.
//!
//! A wall clock that is set forward looks the same, and counts the same: that makes things older than they are, never younger.
//! One that is set back counts as nothing.
//!
//! Waits need none of this: see `docs/adr/2026-11-30-time-that-stood-still.md`.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;

/// Clocks that are ahead by less were only not read together, or were adjusted.
const STOP_MS_MIN: i64 = 100;

/// The most time between two looks at a clock that counts as one moment.
const MOMENT: Duration = Duration::from_millis(10);

/// How often the clocks are read, at most, until all were read in one moment.
const READINGS_MAX: u32 = 100;

/// The clocks that go on, as they were read.
#[derive(Clone, Copy, Debug)]
pub struct OtherClocks {
    /// Since the machine was started, its suspensions included.
    pub boot: Duration,
    /// Since 1970.
    pub wall: Duration,
}

impl OtherClocks {
    /// Those of this machine. No system call: both are read from a page that the kernel shares.
    pub fn now() -> Self {
        let boot = clock_gettime(ClockId::Boottime);
        let boot = Duration::new(boot.tv_sec.try_into().unwrap_or(0), boot.tv_nsec.try_into().unwrap_or(0));
        Self { boot, wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
    }
}

/// How far the other clocks are ahead of the monotonic one, in milliseconds. Only the changes mean anything.
#[derive(Clone, Copy, Debug)]
struct Lead {
    boot_ms: i64,
    wall_ms: i64,
}

/// Counts the time that the monotonic clock has missed.
pub struct StoppedTime {
    read: Box<dyn Fn() -> OtherClocks + Send + Sync>,
    /// The zero of the monotonic clock.
    origin: Instant,
    /// The lead of each clock when it was last accounted for.
    boot_ms: AtomicI64,
    wall_ms: AtomicI64,
    total_ms: AtomicU64,
    /// A change is accounted for once.
    accounting: Mutex<()>,
}

impl StoppedTime {
    /// Counts from now on, by the clocks that `read` reads.
    pub fn by(read: impl Fn() -> OtherClocks + Send + Sync + 'static) -> Self {
        let stopped = Self {
            read: Box::new(read),
            origin: Instant::now(),
            boot_ms: AtomicI64::new(0),
            wall_ms: AtomicI64::new(0),
            total_ms: AtomicU64::new(0),
            accounting: Mutex::new(()),
        };
        let lead = stopped.lead_now();
        stopped.boot_ms.store(lead.boot_ms, Ordering::Release);
        stopped.wall_ms.store(lead.wall_ms, Ordering::Release);
        stopped
    }

    /// Counts from now on, by the clocks of this machine.
    pub fn of_this_machine() -> Self {
        Self::by(OtherClocks::now)
    }

    /// How many milliseconds were missed so far, those included that had passed before this call. `now` may be a little older than the
    /// call. It takes two readings of clocks, and a lock only when one of them has jumped.
    #[inline]
    pub fn total_ms(&self, now: Instant) -> u64 {
        let lead = self.lead(now, (self.read)());
        // Before the total, which is stored before them.
        let boot_ms = self.boot_ms.load(Ordering::Acquire);
        let wall_ms = self.wall_ms.load(Ordering::Acquire);
        if lead.boot_ms > boot_ms + STOP_MS_MIN || (lead.wall_ms - wall_ms).abs() > STOP_MS_MIN {
            self.account();
        }
        self.total_ms.load(Ordering::Acquire)
    }

    /// The same without a look at the clocks: what was missed as of the last look of anybody.
    #[inline]
    pub fn known_ms(&self) -> u64 {
        self.total_ms.load(Ordering::Acquire)
    }

    #[cold]
    fn account(&self) {
        let _one_at_a_time = self.accounting.lock().unwrap_or_else(PoisonError::into_inner);
        let lead = self.lead_now();
        let boot_ms = lead.boot_ms - self.boot_ms.load(Ordering::Acquire);
        let wall_ms = lead.wall_ms - self.wall_ms.load(Ordering::Acquire);
        let missed_ms = boot_ms.max(wall_ms);
        if missed_ms > STOP_MS_MIN {
            // Before the leads: who finds those finds this.
            self.total_ms.fetch_add(missed_ms.unsigned_abs(), Ordering::AcqRel);
            self.boot_ms.fetch_max(lead.boot_ms, Ordering::AcqRel);
            self.wall_ms.store(lead.wall_ms, Ordering::Release);
        } else if wall_ms < -STOP_MS_MIN {
            self.wall_ms.store(lead.wall_ms, Ordering::Release);
        }
    }

    /// The leads of one moment. Where the clocks cannot be read together, they are found too wide: that counts too much, never too
    /// little.
    fn lead_now(&self) -> Lead {
        let mut readings = 0;
        loop {
            let now = Instant::now();
            let lead = self.lead(now, (self.read)());
            readings += 1;
            if now.elapsed() <= MOMENT || readings == READINGS_MAX {
                return lead;
            }
        }
    }

    fn lead(&self, now: Instant, clocks: OtherClocks) -> Lead {
        let running_ms = now.saturating_duration_since(self.origin).as_millis() as i64;
        Lead {
            boot_ms: clocks.boot.as_millis() as i64 - running_ms,
            wall_ms: clocks.wall.as_millis() as i64 - running_ms,
        }
    }
}

impl std::fmt::Debug for StoppedTime {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("StoppedTime").field("total_ms", &self.total_ms).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// Clocks that run with tokio's, and are moved by hand.
    struct Clocks(Arc<(AtomicI64, AtomicI64)>, StoppedTime);

    impl Clocks {
        fn new() -> Self {
            let (origin, moved) = (Instant::now(), Arc::new((AtomicI64::new(0), AtomicI64::new(0))));
            let by = Arc::clone(&moved);
            let stopped = StoppedTime::by(move || {
                let at = |moved: &AtomicI64| {
                    let ms = (DAY + origin.elapsed()).as_millis() as i64 + moved.load(Ordering::Relaxed);
                    Duration::from_millis(ms.unsigned_abs())
                };
                OtherClocks { boot: at(&by.0), wall: at(&by.1) }
            });
            Self(moved, stopped)
        }

        fn moves(&self, boot_ms: i64, wall_ms: i64) -> u64 {
            self.0.0.fetch_add(boot_ms, Ordering::Relaxed);
            self.0.1.fetch_add(wall_ms, Ordering::Relaxed);
            self.1.total_ms(Instant::now())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_suspension_counts_once_and_by_either_clock() {
        let clocks = Clocks::new();
        assert_eq!(clocks.moves(0, 0), 0);
        tokio::time::advance(DAY).await;
        assert_eq!(clocks.moves(0, 0), 0, "the process has only run");
        assert_eq!(clocks.moves(60_000, 60_000), 60_000);
        assert_eq!(clocks.moves(0, 0), 60_000);
        assert_eq!(
            clocks.moves(0, 5_000),
            65_000,
            "a paused virtual machine, whose wall clock was set right"
        );
        assert_eq!(clocks.moves(7_000, 0), 72_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_is_set_back_counts_as_nothing_and_hides_nothing() {
        let clocks = Clocks::new();
        assert_eq!(clocks.moves(0, -3_600_000), 0);
        assert_eq!(clocks.moves(0, 2_000), 2_000, "it has missed two seconds from there");
        assert_eq!(clocks.moves(4_000, -3_600_000), 6_000, "suspended while the wall clock was set back");
    }

    #[tokio::test(start_paused = true)]
    async fn many_short_stops_count_as_soon_as_they_are_a_tenth_of_a_second_together() {
        let clocks = Clocks::new();
        let totals: Vec<_> = (0..6).map(|_| clocks.moves(40, 40)).collect();
        assert_eq!(totals, [0, 0, 120, 120, 120, 240]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_moment_that_was_read_long_before_the_clocks_is_no_stop() {
        let clocks = Clocks::new();
        let before = Instant::now();
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clocks.1.total_ms(before), 0);
        assert_eq!(clocks.moves(1_000, 1_000), 1_000);
    }

    #[test]
    fn the_clocks_of_this_machine_agree_while_it_runs() {
        let stopped = StoppedTime::of_this_machine();
        for _ in 0..1_000 {
            assert_eq!(stopped.total_ms(Instant::now()), 0);
        }
    }
}
