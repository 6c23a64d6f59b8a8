//! When pages of a table were last shown to somebody, out of the upstream. What is served past its time must be from after that, or
//! a reader could be taken back behind a page.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Partitions of one slot count for each other.
const SLOTS: usize = 1 << 12;

/// Times are milliseconds since the cache was made. It takes memory from when the first page is noted.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// Of pages that may show any item of the table.
    anywhere: Times,
    /// Of pages of single partitions, by their hashes.
    partitions: OnceLock<Box<[Times]>>,
}

#[derive(Debug, Default)]
struct Times {
    /// The latest time at which such a page was sent for.
    sent_ms: AtomicU64,
    /// The first time after which such a page had come: what was read from then on is newer.
    came_ms: AtomicU64,
}

/// Which times of pages count.
#[derive(Clone, Copy, Debug)]
pub(super) enum ShownBy {
    /// When they were sent for.
    Sent,
    /// When they came: an item that was read while a page was on its way may be older than the page.
    Came,
}

impl Shown {
    /// Must be called before anybody hears what the page shows.
    pub(super) fn note(&self, partition: Option<u64>, sent_ms: u64, came_ms: u64) {
        let times = match partition {
            None => &self.anywhere,
            Some(hash) => {
                let slots = self.partitions.get_or_init(|| (0..SLOTS).map(|_| Times::default()).collect());
                &slots[hash as usize % SLOTS]
            }
        };
        times.sent_ms.fetch_max(sent_ms, Ordering::AcqRel);
        times.came_ms.fetch_max(came_ms, Ordering::AcqRel);
    }

    /// When a page that may show something of the partition was last shown; of any partition, if there is none. 0 if never.
    pub(super) fn last_ms(&self, partition: Option<u64>, by: ShownBy) -> u64 {
        let anywhere = self.anywhere.by(by);
        let Some(slots) = self.partitions.get() else { return anywhere };
        let among = match partition {
            Some(hash) => slots[hash as usize % SLOTS].by(by),
            None => slots.iter().map(|times| times.by(by)).max().unwrap_or(0),
        };
        anywhere.max(among)
    }
}

impl Times {
    fn by(&self, by: ShownBy) -> u64 {
        match by {
            ShownBy::Sent => self.sent_ms.load(Ordering::Acquire),
            ShownBy::Came => self.came_ms.load(Ordering::Acquire),
        }
    }
}
