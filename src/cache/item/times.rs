//! The two times of the cache: one for waits, and one for ages, which counts on while the machine stands still.

use std::time::Duration;

use tokio::time::Instant;

use super::super::entry::NEVER_MS;
use super::ItemCache;

impl ItemCache {
    /// For how many milliseconds the machine has stood still, as far as the cache knows.
    pub fn stopped_ms(&self, now: Instant) -> u64 {
        self.stopped.as_ref().map_or(0, |stopped| stopped.total_ms(now))
    }

    /// That moment on a clock that does not stand still with the machine: for ages of what is known beside the cache.
    pub fn aged(&self, now: Instant) -> Instant {
        now + Duration::from_millis(self.stopped_ms(now))
    }

    /// The time for waits: how long replicas may lag, a hold lasts, pages of an index are in quarantine. It stands still while the
    /// machine does, as do bytes that the machine has still to send.
    pub(in crate::cache) fn running_ms(&self, now: Instant) -> u64 {
        // 2^64 milliseconds are 585 million years.
        now.saturating_duration_since(self.origin).as_millis() as u64
    }

    /// [`ItemCache::running_ms`] in seconds.
    pub(in crate::cache) fn seconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_secs()
    }

    /// The time for ages: when an entry was read and expires, and how long a lease lasts. It counts on while the machine stands still.
    /// A moment must be put into this time when it comes, not later: the machine may stand still in between.
    pub(in crate::cache) fn elapsed_ms(&self, now: Instant) -> u64 {
        self.running_ms(now) + self.stopped_ms(now)
    }
}

/// When something read then expires; [`NEVER_MS`] if it does not.
pub(in crate::cache) fn expiry_ms(read_ms: u64, ttl: Option<Duration>) -> u64 {
    ttl.map_or(NEVER_MS, |ttl| (read_ms + jittered_ms(ttl)).min(NEVER_MS))
}

/// Whole milliseconds, 8,900 years at most.
pub(in crate::cache) fn whole_ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(NEVER_MS).min(NEVER_MS)
}

/// Up to a tenth less, never more: the promise names the TTL as the latest moment.
fn jittered_ms(ttl: Duration) -> u64 {
    let ttl_ms = whole_ms(ttl);
    ttl_ms - fastrand::u64(0..=ttl_ms / 10)
}
