//! What the log says of an upstream that fails: a line with the first failure, one each minute with counts, and one when it is
//! back.
//!
//! Failures are faults of connections, timeouts and 5xx, as the breaker counts them. The upstream is back when it has answered,
//! and has not failed for some seconds, so that one that fails now and then does not fill the log.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::endpoint::Endpoint;

/// While it lasts, a line in this time.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// It is back when it has not failed for so long.
const QUIET_MIN: Duration = Duration::from_secs(10);

/// Whether the upstream fails.
#[derive(Debug, Default)]
pub(super) struct Outage {
    /// Read with every answer, so that an upstream that does not fail costs no lock.
    is_on: AtomicBool,
    failing: Mutex<Option<Failing>>,
}

#[derive(Debug)]
struct Failing {
    since: Instant,
    reported: Instant,
    last_failure: Instant,
    has_answered: bool,
    /// Since the last line.
    counts: Counts,
    failures_in_all: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    failures: u64,
    answers: u64,
}

/// A line that is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// It has failed for the first time.
    Begins,
    /// It still fails; so many calls of the last minute did, and so many were answered.
    Lasts { failures: u64, answers: u64, lasted: Duration },
    /// It is back; so many calls failed in all.
    Ends { failures: u64, lasted: Duration },
}

impl Line {
    /// Writes it. `error` says what the first failure was.
    pub(super) fn log(&self, endpoint: &Endpoint, error: &str) {
        match self {
            Self::Begins => tracing::warn!(%endpoint, error, "The upstream fails."),
            Self::Lasts { failures, answers, lasted } => {
                let lasted_s = lasted.as_secs();
                tracing::warn!(%endpoint, failures, answers, lasted_s, "The upstream still fails.");
            }
            Self::Ends { failures, lasted } => {
                tracing::info!(%endpoint, failures, lasted_s = lasted.as_secs(), "The upstream is back.");
            }
        }
    }
}

impl Outage {
    /// A call was answered.
    pub(super) fn answered(&self) {
        if self.is_on.load(Ordering::Relaxed)
            && let Some(failing) = &mut *self.failing()
        {
            failing.counts.answers += 1;
            failing.has_answered = true;
        }
    }

    /// A call failed. Gives the first line, if this is the first.
    pub(super) fn failed(&self, now: Instant) -> Option<Line> {
        let mut failing = self.failing();
        if let Some(failing) = &mut *failing {
            failing.counts.failures += 1;
            failing.failures_in_all += 1;
            failing.last_failure = now;
            failing.has_answered = false;
            return None;
        }
        let counts = Counts { failures: 1, answers: 0 };
        *failing = Some(Failing {
            since: now,
            reported: now,
            last_failure: now,
            has_answered: false,
            counts,
            failures_in_all: 1,
        });
        self.is_on.store(true, Ordering::Relaxed);
        Some(Line::Begins)
    }

    /// The line that is due by now, if one is. To be asked for every few seconds.
    pub(super) fn due(&self, now: Instant) -> Option<Line> {
        let mut state = self.failing();
        let failing = state.as_mut()?;
        let lasted = now.duration_since(failing.since);
        if failing.has_answered && now.duration_since(failing.last_failure) >= QUIET_MIN {
            let failures = failing.failures_in_all;
            *state = None;
            self.is_on.store(false, Ordering::Relaxed);
            return Some(Line::Ends { failures, lasted });
        }
        // Nobody may have asked for anything.
        if failing.counts == Counts::default() || now.duration_since(failing.reported) < REPORT_INTERVAL {
            return None;
        }
        failing.reported = now;
        let Counts { failures, answers } = std::mem::take(&mut failing.counts);
        Some(Line::Lasts { failures, answers, lasted })
    }

    fn failing(&self) -> MutexGuard<'_, Option<Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Asks for a line each second, as the upstream's chores do; the lines with their seconds.
    async fn wait(outage: &Outage, begun: Instant, seconds: u32) -> Vec<(u64, Line)> {
        let mut lines = Vec::new();
        for _ in 0..seconds {
            tokio::time::advance(SECOND).await;
            let now = Instant::now();
            lines.extend(outage.due(now).map(|line| (now.duration_since(begun).as_secs(), line)));
        }
        lines
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_reported_when_it_begins_each_minute_and_when_it_ends() {
        let (outage, begun) = (Outage::default(), Instant::now());
        outage.answered();
        assert_eq!(outage.failed(Instant::now()), Some(Line::Begins));
        assert_eq!(outage.failed(Instant::now()), None);
        outage.answered();
        outage.failed(Instant::now());
        let lasts = |failures, answers, seconds| {
            (seconds, Line::Lasts { failures, answers, lasted: Duration::from_secs(seconds) })
        };
        assert_eq!(wait(&outage, begun, 90).await, [lasts(3, 1, 60)]);
        // Nothing was asked for since, so there is nothing to say.
        assert_eq!(wait(&outage, begun, 90).await, []);
        outage.failed(Instant::now());
        assert_eq!(wait(&outage, begun, 5).await, [lasts(1, 0, 181)]);
        outage.answered();
        let ends = Line::Ends { failures: 4, lasted: Duration::from_secs(190) };
        assert_eq!(wait(&outage, begun, 60).await, [(190, ends)]);
        assert_eq!(outage.failed(Instant::now()), Some(Line::Begins));
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_that_fails_now_and_then_is_one_outage() {
        let (outage, begun) = (Outage::default(), Instant::now());
        assert_eq!(outage.failed(Instant::now()), Some(Line::Begins));
        let mut lines = Vec::new();
        for _ in 0..24 {
            outage.answered();
            lines.extend(wait(&outage, begun, 5).await);
            assert_eq!(outage.failed(Instant::now()), None);
        }
        assert_eq!(lines.len(), 2, "{lines:?}");
    }
}
