//! What to do about a store that takes no writes: how often to report it, and when to try to get over it.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::StoreError;
use super::opening::private;

/// How soon it is tried to open a file again for which there was no room.
pub(super) const RETRY: Duration = Duration::from_secs(1);
/// How much later it may become when the room does not last.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// How often a failure that lasts is reported.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);
/// How much room there must be. A commit rarely writes more, and growing by less would soon fail again.
const ROOM_BYTES: usize = 4 << 20;
/// The file with which room is looked for.
const PROBE_FILE: &str = "nearside.room";

/// Why a store takes no writes.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// The answer to writers.
    pub(super) error: StoreError,
    /// What ends it.
    pub(super) remedy: Remedy,
}

/// What ends a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Room on the disk.
    Room,
    /// A new start of the process.
    Restart,
}

impl Failure {
    /// A failure that may have left anything behind.
    pub(super) fn of(error: &dyn fmt::Display) -> Self {
        let error = StoreError(format!("the store failed and takes no more writes: {error}"));
        Self { error, remedy: Remedy::Restart }
    }

    /// A write that failed before any sync was asked for.
    pub(super) fn of_write(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                let words = "there is no room for the store, which takes writes again when there is";
                Self { error: StoreError(format!("{words}: {error}")), remedy: Remedy::Room }
            }
            _ => Self::of(error),
        }
    }

    /// The file is being opened again after there was no room.
    pub(super) fn unopened() -> Self {
        let error = StoreError("the store is being opened again after there was no room for it".to_owned());
        Self { error, remedy: Remedy::Room }
    }
}

/// The course of a store's failures.
#[derive(Debug)]
pub(super) struct Trouble {
    retry: Duration,
    /// How long the next try waits.
    pause: Duration,
    tried: Option<Instant>,
    recovered: Option<Instant>,
    reported: Option<Instant>,
    /// The last line was of a failure.
    is_known: bool,
}

impl Trouble {
    pub(super) fn new(retry: Duration) -> Self {
        Self { retry, pause: retry, tried: None, recovered: None, reported: None, is_known: false }
    }

    /// Whether a failure is to be reported now: at once, and then each minute. Failures with short recoveries between
    /// them are one.
    pub(super) fn is_report_due(&mut self, now: Instant) -> bool {
        let is_due = self.reported.is_none_or(|reported| now - reported >= REPORT_INTERVAL);
        if is_due {
            self.reported = Some(now);
            self.is_known = true;
        }
        is_due
    }

    /// Whether it is time to look for room.
    pub(super) fn is_retry_due(&mut self, now: Instant) -> bool {
        if let Some(recovered) = self.recovered.take() {
            // The file must be read for each try, so room that does not last is looked for less often.
            let is_brief = now - recovered < REPORT_INTERVAL;
            self.pause = if is_brief { (self.pause * 2).min(RETRY_MAX.max(self.retry)) } else { self.retry };
            self.tried = Some(now);
        }
        let is_due = now - *self.tried.get_or_insert(now) >= self.pause;
        if is_due {
            self.tried = Some(now);
        }
        is_due
    }

    /// Notes that the store takes writes again. Returns whether that is news.
    pub(super) fn recovered(&mut self, now: Instant) -> bool {
        self.recovered = Some(now);
        std::mem::take(&mut self.is_known)
    }
}

/// Whether a directory has room for more. File systems count room in too many ways to be asked; so something is written.
pub(super) fn has_room(directory: &Path) -> bool {
    let path = directory.join(PROBE_FILE);
    let file = private().create(true).truncate(true).open(&path);
    let written = file.and_then(|mut file: File| {
        file.write_all(&vec![0; ROOM_BYTES])?;
        file.sync_data()
    });
    // Left behind, it would take the room itself.
    let removed = std::fs::remove_file(&path);
    written.is_ok() && removed.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn only_a_write_without_room_is_got_over() {
        let of = |kind| Failure::of_write(&io::Error::from(kind)).remedy;
        assert_eq!(of(io::ErrorKind::StorageFull), Remedy::Room);
        assert_eq!(of(io::ErrorKind::QuotaExceeded), Remedy::Room);
        assert_eq!(of(io::ErrorKind::Other), Remedy::Restart);
        // After a failed sync nobody knows what the kernel has kept, whatever the reason.
        assert_eq!(Failure::of(&io::Error::from(io::ErrorKind::StorageFull)).remedy, Remedy::Restart);
    }

    #[test]
    fn a_failure_is_reported_at_once_and_then_each_minute() {
        let (begun, mut trouble) = (Instant::now(), Trouble::new(SECOND));
        let due: Vec<u32> =
            (0..=180).filter(|second| trouble.is_report_due(begun + SECOND * *second)).collect();
        assert_eq!(due, [0, 60, 120, 180]);
    }

    #[test]
    fn failures_with_short_recoveries_between_them_are_reported_as_one() {
        let (begun, mut trouble) = (Instant::now(), Trouble::new(SECOND));
        assert!(trouble.is_report_due(begun));
        assert!(trouble.recovered(begun + SECOND));
        assert!(!trouble.is_report_due(begun + SECOND * 2));
        assert!(!trouble.recovered(begun + SECOND * 3), "the last word was that it is well");
        assert!(trouble.is_report_due(begun + SECOND * 63));
        assert!(trouble.recovered(begun + SECOND * 64));
    }

    #[test]
    fn room_that_does_not_last_is_looked_for_less_often() {
        let (mut now, mut trouble) = (Instant::now(), Trouble::new(SECOND));
        let mut pauses = Vec::new();
        for _ in 0..7 {
            let begun = now;
            while !trouble.is_retry_due(now) {
                now += SECOND;
            }
            pauses.push((now - begun).as_secs());
            trouble.recovered(now);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        now += REPORT_INTERVAL;
        assert!(!trouble.is_retry_due(now));
        assert!(trouble.is_retry_due(now + SECOND));
    }

    #[test]
    fn looking_for_room_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        assert!(has_room(directory.path()));
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
        assert!(!has_room(&directory.path().join("missing")));
    }
}
