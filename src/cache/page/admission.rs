//! Which scans come back. A scan that is made once, as by a nightly job, would push out pages that are asked for all day.

use std::sync::atomic::{AtomicU64, Ordering};

/// Scans remembered. A later one takes the place of an earlier one with the same slot, which then begins anew.
const SLOTS: usize = 1 << 14;

/// The upper half of a slot, next to the hash: set when the scan was asked for again.
const ASKED_TWICE: u64 = 1 << 32;

/// A table of scans that were asked for lately. Nothing but admission depends on it, so it may lose any of them.
#[derive(Debug)]
pub(super) struct RecentScans {
    /// 31 bits of the hash, [`ASKED_TWICE`], and 32 bits of seconds.
    slots: Box<[AtomicU64]>,
}

impl RecentScans {
    pub(super) fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Notes that a scan was asked for.
    pub(super) fn note(&self, hash: u64, seconds: u64, ttl_seconds: u64) {
        let slot = self.slot(hash);
        let mark =
            if is_same(slot.load(Ordering::Relaxed), hash, seconds, ttl_seconds) { ASKED_TWICE } else { 0 };
        slot.store(tag(hash) | mark | (seconds + 1) & u64::from(u32::MAX), Ordering::Relaxed);
    }

    /// True if a scan was asked for twice within its time to live.
    pub(super) fn was_asked_twice(&self, hash: u64, seconds: u64, ttl_seconds: u64) -> bool {
        let slot = self.slot(hash).load(Ordering::Relaxed);
        slot & ASKED_TWICE != 0 && is_same(slot, hash, seconds, ttl_seconds)
    }

    fn slot(&self, hash: u64) -> &AtomicU64 {
        &self.slots[hash as usize % SLOTS]
    }
}

fn tag(hash: u64) -> u64 {
    hash & !(u64::MAX >> 31)
}

fn is_same(slot: u64, hash: u64, seconds: u64, ttl_seconds: u64) -> bool {
    let noted = slot & u64::from(u32::MAX);
    tag(slot) == tag(hash) && noted != 0 && (seconds + 1).saturating_sub(noted) <= ttl_seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCAN: u64 = 0xfeed_beef_0123_4567;

    #[test]
    fn a_scan_counts_as_repeated_only_within_its_time_to_live() {
        let scans = RecentScans::new();
        scans.note(SCAN, 0, 60);
        assert!(!scans.was_asked_twice(SCAN, 0, 60));
        scans.note(SCAN, 61, 60);
        assert!(!scans.was_asked_twice(SCAN, 61, 60));
        scans.note(SCAN, 121, 60);
        assert!(scans.was_asked_twice(SCAN, 121, 60) && !scans.was_asked_twice(SCAN, 200, 60));
    }

    #[test]
    fn a_scan_that_takes_the_slot_of_another_begins_anew() {
        let scans = RecentScans::new();
        let other = SCAN ^ 1 << 60;
        scans.note(SCAN, 5, 60);
        scans.note(other, 5, 60);
        assert!(!scans.was_asked_twice(other, 5, 60));
        scans.note(SCAN, 5, 60);
        assert!(!scans.was_asked_twice(SCAN, 5, 60));
    }
}
