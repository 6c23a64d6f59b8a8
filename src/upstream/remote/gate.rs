//! How many requests are under way at one time, and how many wait for how long.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::stats::Counts;

/// A request that has waited for this long is turned away: its client does better by trying again.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// The gate before an upstream.
pub(super) struct Gate {
    turns: Semaphore,
    /// As many again may wait.
    turns_max: usize,
    waiting: AtomicUsize,
}

impl Gate {
    /// A gate for that many requests at one time.
    pub(super) fn new(concurrency_max: usize) -> Self {
        let turns_max = concurrency_max.clamp(1, Semaphore::MAX_PERMITS);
        Self { turns: Semaphore::new(turns_max), turns_max, waiting: AtomicUsize::new(0) }
    }

    /// Waits for a turn; `None` when it does not come in time, or too many wait for theirs.
    pub(super) async fn enter(&self, counts: &Counts) -> Option<SemaphorePermit<'_>> {
        if let Ok(turn) = self.turns.try_acquire() {
            return Some(turn);
        }
        counts.queue_waits.add_one();
        let place = Place::take(&self.waiting);
        let turn = match place.ahead < self.turns_max {
            true => tokio::time::timeout(WAIT_MAX, self.turns.acquire()).await.ok().and_then(Result::ok),
            false => None,
        };
        if turn.is_none() {
            counts.queue_refusals.add_one();
        }
        turn
    }

    /// How many are under way.
    pub(super) fn in_flight(&self) -> usize {
        self.turns_max - self.turns.available_permits()
    }
}

/// A place among those who wait, given up however the waiting ends.
struct Place<'a> {
    waiting: &'a AtomicUsize,
    ahead: usize,
}

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Self {
        Self { waiting, ahead: waiting.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn as_many_wait_as_are_under_way_and_none_for_long() {
        let (gate, counts) = (Gate::new(1), Counts::default());
        let turn = gate.enter(&counts).await.unwrap();
        let begun = tokio::time::Instant::now();
        let (first, second) = tokio::join!(gate.enter(&counts), async {
            tokio::task::yield_now().await;
            let refused = gate.enter(&counts).await.is_none();
            (refused, begun.elapsed())
        });
        assert_eq!(second, (true, Duration::ZERO));
        assert!(first.is_none() && begun.elapsed() >= WAIT_MAX);
        drop(turn);
        assert!(gate.enter(&counts).await.is_some());
    }
}
