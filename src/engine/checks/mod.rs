//! Comparisons of what is cached with what the upstream has: after a sampled hit, and for each read in shadow mode.
//!
//! A comparison never changes or delays what a client is answered. Its reads run in tasks of the engine, a few at a time and so many
//! a second; further ones are left out and counted. They are made on behalf of the principal of the client's read.

mod shadow;
mod verification;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::call::Answer;
use crate::model::capacity::Units;
use crate::telemetry::Repeats;

use super::Engine;
use super::reading::Reading;

/// How many comparing reads may be in flight.
const CHECKS_MAX: usize = 16;

/// How many fills may be in flight that are sent beside a client's read in shadow mode.
const SHADOW_FILLS_MAX: usize = 64;

/// At most one line about differences in this time, for each table and kind of value.
const LINES_INTERVAL: Duration = Duration::from_secs(10);

/// How many comparing reads a second there may be, unless [`CheckBudget::set_rate`] says otherwise.
const RATE: u32 = 10;

/// A read whose cached value can be compared with what the upstream has.
pub(super) trait Comparing: Reading + Send + 'static {
    /// What the value is, in log lines.
    const KIND: &'static str;

    /// What the cache knew when a read was sent.
    type Sent: Copy + Send + Sync + 'static;

    /// What the cache knows now. To be asked before the cache is looked into, or right after it.
    fn sending(&self, engine: &Engine) -> Self::Sent;

    /// True if something that this node knows of may have changed the value since then.
    fn may_have_changed(&self, engine: &Engine, sent: Self::Sent, now: Instant) -> bool;

    /// True if the cache still has just this value.
    fn is_cached(&self, engine: &Engine, value: &Self::Value) -> bool;

    /// True if the upstream can be asked strongly.
    fn can_be_strong(&self) -> bool;

    /// Asks the upstream strongly for the whole value. The cache does not hear of it. `None` if the upstream failed, or what it
    /// returned is not understood.
    fn fetch_strongly(&self, engine: &Arc<Engine>) -> impl Future<Output = Option<Self::Value>> + Send;

    /// Has the cache compare itself with what was strongly read.
    fn observe(&self, engine: &Engine, value: &Self::Value, sent: Self::Sent, now: Instant);

    /// Takes note that a client reads it, and that the upstream answers.
    fn note_read(&self);

    /// True if the client wants a part of what a fill asks for.
    fn wants_part(&self) -> bool;

    /// What an eventual read of it costs.
    fn price(&self, value: &Self::Value) -> Units;

    /// True if both are the same to a client.
    fn is_same(left: &Self::Value, right: &Self::Value) -> bool;

    /// True if the answer to the client's own request shows what the client would have seen of the cached value. `None` if that cannot
    /// be said.
    fn is_shown_by(&self, cached: &Self::Value, answer: &Answer) -> Option<bool>;

    /// Gives the answer to the client's own request to a permit. Returns the permit if the answer is none to what must be fetched.
    fn complete(&self, engine: &Arc<Engine>, permit: Self::Permit, answer: &Answer) -> Option<Self::Permit>;
}

/// What comparisons may cost.
pub(super) struct CheckBudget {
    /// Reads a second.
    rate: AtomicU32,
    /// The second that is being counted, and the reads in it: 32 bits each.
    taken: AtomicU64,
    began: Instant,
    in_flight: Arc<Semaphore>,
    fills: Arc<Semaphore>,
    /// Differences by table and kind of value.
    lines: Repeats<(Arc<str>, &'static str)>,
}

impl Default for CheckBudget {
    fn default() -> Self {
        Self {
            rate: AtomicU32::new(RATE),
            taken: AtomicU64::new(0),
            began: Instant::now(),
            in_flight: Arc::new(Semaphore::new(CHECKS_MAX)),
            fills: Arc::new(Semaphore::new(SHADOW_FILLS_MAX)),
            lines: Repeats::new(LINES_INTERVAL),
        }
    }
}

impl CheckBudget {
    /// Allows so many comparing reads a second.
    pub(super) fn set_rate(&self, reads_max: u32) {
        self.rate.store(reads_max, Ordering::Relaxed);
    }

    /// The right to one comparing read; `None` if there were enough in this second, or too many are in flight.
    fn check(&self, now: Instant) -> Option<OwnedSemaphorePermit> {
        let room = Arc::clone(&self.in_flight).try_acquire_owned().ok()?;
        let second = now.saturating_duration_since(self.began).as_secs() & u64::from(u32::MAX);
        let rate = u64::from(self.rate.load(Ordering::Relaxed));
        let take = |taken: u64| match (taken >> 32, taken & u64::from(u32::MAX)) {
            (counted, reads) if counted == second => (reads < rate).then_some(taken + 1),
            _ => (rate > 0).then_some(second << 32 | 1),
        };
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok().map(|_| room)
    }

    /// The right to a fill beside a client's read.
    fn fill(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.fills).try_acquire_owned().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_has_as_many_checks_as_the_rate_says() {
        let budget = CheckBudget::default();
        for rate in [RATE, 3, 0] {
            budget.set_rate(rate);
            tokio::time::advance(Duration::from_secs(1)).await;
            let taken = (0..100).filter(|_| budget.check(Instant::now()).is_some()).count();
            assert_eq!(taken, rate as usize);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn few_checks_are_in_flight_at_a_time() {
        let budget = CheckBudget::default();
        budget.set_rate(1000);
        let mut held: Vec<_> = std::iter::from_fn(|| budget.check(Instant::now())).collect();
        assert_eq!(held.len(), CHECKS_MAX);
        held.pop();
        assert!(budget.check(Instant::now()).is_some());
    }
}
