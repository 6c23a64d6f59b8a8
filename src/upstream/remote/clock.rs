//! The upstream's clock, as far as this machine knows it: signatures must be of the upstream's time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

/// A clock that is off by less than this is not what a refused signature is about.
const SKEW_MIN: Duration = Duration::from_secs(60);

/// This machine's clock, put right by what the upstream said.
pub(super) struct UpstreamClock {
    /// Seconds to add.
    skew_seconds: AtomicI64,
}

impl UpstreamClock {
    /// A clock that trusts this machine's.
    pub(super) fn new() -> Self {
        Self { skew_seconds: AtomicI64::new(0) }
    }

    /// The time for a signature.
    pub(super) fn now(&self) -> SystemTime {
        let skew = self.skew_seconds.load(Ordering::Relaxed);
        let (now, distance) = (SystemTime::now(), Duration::from_secs(skew.unsigned_abs()));
        let shifted = if skew >= 0 { now.checked_add(distance) } else { now.checked_sub(distance) };
        shifted.unwrap_or(now)
    }

    /// Goes by the upstream's time from now on; false when that is known, so that a new signature would not help.
    pub(super) fn learn(&self, date: SystemTime) -> bool {
        if seconds_between(self.now(), date).unsigned_abs() < SKEW_MIN.as_secs() {
            return false;
        }
        let skew_seconds = seconds_between(SystemTime::now(), date);
        self.skew_seconds.store(skew_seconds, Ordering::Relaxed);
        tracing::warn!(skew_seconds, "This machine's clock is wrong, so the upstream's is used to sign.");
        true
    }
}

/// How far `to` lies after `from`; negative when it lies before.
fn seconds_between(from: SystemTime, to: SystemTime) -> i64 {
    let seconds = |distance: Duration| i64::try_from(distance.as_secs()).unwrap_or(i64::MAX);
    match to.duration_since(from) {
        Ok(distance) => seconds(distance),
        Err(before) => -seconds(before.duration()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_an_hour_off_is_put_right_once() {
        for shift in [-3600, 3600] {
            let clock = UpstreamClock::new();
            let distance = Duration::from_secs(3600);
            let date = if shift > 0 { SystemTime::now() + distance } else { SystemTime::now() - distance };
            assert!(clock.learn(date));
            assert!(seconds_between(clock.now(), date).abs() <= 2);
            assert!(!clock.learn(date));
        }
        assert!(!UpstreamClock::new().learn(SystemTime::now() + SKEW_MIN / 2));
    }
}
