//! The budget of retries: a tenth of the reads, and a few a second besides, so that an upstream in trouble gets at most a
//! little more than what clients send.

use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

/// What a retry costs; a read earns a tenth of it.
const RETRY_COST: u64 = 10;
const READ_EARNS: u64 = 1;

/// Retries a second that need not be earned, so that a node with little to do may retry too.
const FREE_PER_SECOND: u64 = 5;

/// What can be saved up: ten seconds of the free ones.
const SAVED_MAX: u64 = 10 * FREE_PER_SECOND * RETRY_COST;

/// A bucket of retries.
pub(super) struct RetryBudget {
    bucket: Mutex<Bucket>,
}

struct Bucket {
    saved: u64,
    /// Up to when the free ones have been put in.
    filled: Instant,
}

impl RetryBudget {
    /// A budget with a second's worth of free retries.
    pub(super) fn new() -> Self {
        let bucket = Bucket { saved: FREE_PER_SECOND * RETRY_COST, filled: Instant::now() };
        Self { bucket: Mutex::new(bucket) }
    }

    /// A read comes in.
    pub(super) fn earn(&self) {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.saved = (bucket.saved + READ_EARNS).min(SAVED_MAX);
    }

    /// Takes one retry, if there is one.
    #[must_use]
    pub(super) fn spend(&self, now: Instant) -> bool {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let per_token = 1000 / (FREE_PER_SECOND * RETRY_COST);
        let waited = u64::try_from(now.duration_since(bucket.filled).as_millis()).unwrap_or(u64::MAX);
        let free = waited / per_token;
        bucket.filled += std::time::Duration::from_millis(free.saturating_mul(per_token));
        bucket.saved = bucket.saved.saturating_add(free).min(SAVED_MAX);
        let affordable = bucket.saved >= RETRY_COST;
        if affordable {
            bucket.saved -= RETRY_COST;
        }
        affordable
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn spend_all(budget: &RetryBudget) -> u64 {
        (0..).take_while(|_| budget.spend(Instant::now())).count() as u64
    }

    #[tokio::test(start_paused = true)]
    async fn ten_reads_earn_a_retry() {
        let budget = RetryBudget::new();
        spend_all(&budget);
        (0..9).for_each(|_| budget.earn());
        assert_eq!(spend_all(&budget), 0);
        budget.earn();
        assert_eq!(spend_all(&budget), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn five_a_second_are_free_and_ten_seconds_can_be_saved() {
        let budget = RetryBudget::new();
        assert_eq!(spend_all(&budget), FREE_PER_SECOND);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(spend_all(&budget), 2 * FREE_PER_SECOND);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(spend_all(&budget), 10 * FREE_PER_SECOND);
    }
}
