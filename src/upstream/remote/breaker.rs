//! The circuit breaker of one endpoint: when most calls of the last seconds failed, calls fail at once, but for one a second
//! that finds out whether the endpoint is back.
//!
//! Failures are faults of connections, timeouts and 5xx. A throttled call is a good one: the endpoint lives, and clients back
//! off by themselves.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// What is looked back at.
const WINDOW: Duration = Duration::from_secs(5);

/// The window moves in steps of a tenth.
const SLOTS: usize = 10;
const SLOT: Duration = Duration::from_millis(500);

/// Fewer calls than this in the window say nothing.
const CALLS_MIN: u32 = 20;

/// While open, one call in this time is let through.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// The breaker of an endpoint.
pub(super) struct Breaker {
    state: Mutex<State>,
    /// Notified when it opens.
    opened: Notify,
}

struct State {
    /// Calls and failures by time; each slot is of the window's last turn or of the one before.
    slots: [Slot; SLOTS],
    born: Instant,
    /// `None` while closed.
    open: Option<Open>,
}

#[derive(Clone, Copy, Default)]
struct Slot {
    /// Which half second since the start it counts.
    turn: u64,
    calls: u32,
    failures: u32,
}

struct Open {
    /// When the last probe was let through, or else the breaker opened.
    probed: Instant,
}

/// Leave to call. Dropped without a word, as when a reader goes away, it counts for nothing.
#[must_use]
pub(super) struct Admission<'a> {
    breaker: &'a Breaker,
    is_probe: bool,
}

/// How a call went, as a breaker sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The endpoint answered, with an error of the caller's perhaps.
    Good,
    /// It did not, or with a failure of its own.
    Failed,
}

/// What a verdict did to the breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turned {
    /// Nothing.
    No,
    /// It is open now.
    Opened,
    /// It is closed again.
    Closed,
}

impl Breaker {
    /// A closed one.
    pub(super) fn new() -> Self {
        let state = State { slots: [Slot::default(); SLOTS], born: Instant::now(), open: None };
        Self { state: Mutex::new(state), opened: Notify::new() }
    }

    /// Asks to call. `None` while the breaker is open and it is not time for a probe.
    pub(super) fn admit(&self, now: Instant) -> Option<Admission<'_>> {
        let mut state = self.state();
        let is_probe = match &mut state.open {
            None => false,
            Some(open) if now.duration_since(open.probed) >= PROBE_INTERVAL => {
                open.probed = now;
                true
            }
            Some(_) => return None,
        };
        Some(Admission { breaker: self, is_probe })
    }

    /// True when [`Breaker::admit`] would give `None`.
    pub(super) fn rejects(&self, now: Instant) -> bool {
        self.state().open.as_ref().is_some_and(|open| now.duration_since(open.probed) < PROBE_INTERVAL)
    }

    /// Waits until it opens, from when this is first polled on.
    pub(super) async fn opened(&self) {
        self.opened.notified().await;
    }

    /// True while calls fail at once.
    pub(super) fn is_open(&self) -> bool {
        self.state().open.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Admission<'_> {
    /// Tells how the call went.
    pub(super) fn settle(self, verdict: Verdict, now: Instant) -> Turned {
        let mut state = self.breaker.state();
        match (&mut state.open, self.is_probe) {
            (Some(_), true) if verdict == Verdict::Good => {
                state.open = None;
                // What failed before says nothing about the endpoint as it is now.
                state.slots = [Slot::default(); SLOTS];
                Turned::Closed
            }
            (Some(_), _) => Turned::No,
            (None, _) => {
                let turned = state.count(verdict, now);
                if turned == Turned::Opened {
                    self.breaker.opened.notify_waiters();
                }
                turned
            }
        }
    }
}

impl State {
    fn count(&mut self, verdict: Verdict, now: Instant) -> Turned {
        let turn = u64::try_from(now.duration_since(self.born).as_millis() / SLOT.as_millis()).unwrap_or(0);
        let slot = &mut self.slots[usize::try_from(turn).unwrap_or(0) % SLOTS];
        if slot.turn != turn {
            *slot = Slot { turn, ..Slot::default() };
        }
        slot.calls += 1;
        if verdict == Verdict::Good {
            return Turned::No;
        }
        slot.failures += 1;
        let recent = self.slots.iter().filter(|slot| slot.turn + SLOTS as u64 > turn);
        let (calls, failures) =
            recent.fold((0, 0), |sums, slot| (sums.0 + slot.calls, sums.1 + slot.failures));
        if calls < CALLS_MIN || failures * 2 < calls {
            return Turned::No;
        }
        self.open = Some(Open { probed: now });
        Turned::Opened
    }
}

const _: () = assert!(WINDOW.as_millis() == SLOT.as_millis() * SLOTS as u128);

#[cfg(test)]
mod tests {
    use super::*;

    /// Settles one call; false when it was not admitted.
    fn call(breaker: &Breaker, verdict: Verdict) -> bool {
        let now = Instant::now();
        breaker.admit(now).map(|admission| admission.settle(verdict, now)).is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_twenty_recent_calls_must_fail_to_open_it() {
        let breaker = Breaker::new();
        for _ in 0..10 {
            assert!(call(&breaker, Verdict::Good));
        }
        for _ in 0..9 {
            assert!(call(&breaker, Verdict::Failed));
        }
        assert!(!breaker.is_open());
        assert!(call(&breaker, Verdict::Failed));
        assert!(breaker.is_open());
        assert!(!call(&breaker, Verdict::Good));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_are_forgotten_after_five_seconds() {
        let breaker = Breaker::new();
        for _ in 0..19 {
            call(&breaker, Verdict::Failed);
        }
        tokio::time::advance(WINDOW).await;
        for _ in 0..19 {
            call(&breaker, Verdict::Failed);
        }
        assert!(!breaker.is_open());
        call(&breaker, Verdict::Failed);
        assert!(breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn an_open_one_lets_one_call_a_second_through_and_closes_with_a_good_one() {
        let breaker = Breaker::new();
        for _ in 0..CALLS_MIN {
            call(&breaker, Verdict::Failed);
        }
        tokio::time::advance(PROBE_INTERVAL - Duration::from_millis(1)).await;
        assert!(!call(&breaker, Verdict::Good));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(call(&breaker, Verdict::Failed));
        assert!(!call(&breaker, Verdict::Good));
        tokio::time::advance(PROBE_INTERVAL).await;
        assert!(call(&breaker, Verdict::Good));
        assert!(!breaker.is_open());
        // The failures from before do not open it again.
        assert!(call(&breaker, Verdict::Failed));
        assert!(!breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_from_before_it_opened_does_not_close_it() {
        let breaker = Breaker::new();
        let early = breaker.admit(Instant::now()).unwrap();
        for _ in 0..CALLS_MIN {
            call(&breaker, Verdict::Failed);
        }
        assert_eq!(early.settle(Verdict::Good, Instant::now()), Turned::No);
        assert!(breaker.is_open());
    }
}
