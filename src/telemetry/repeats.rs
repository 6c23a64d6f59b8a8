//! Lines that would repeat: the first of a kind is written at once, those that follow soon are counted and reported together.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Kinds that are counted at one time; what is of a further kind is only counted, all together.
const KINDS_MAX: usize = 1000;

/// Counts what happens, by kind, and says when it is to be reported.
pub struct Repeats<K> {
    interval: Duration,
    kinds: Mutex<HashMap<K, Counted>>,
    unplaced: AtomicU64,
}

struct Counted {
    /// When the last line was written.
    reported: Instant,
    /// How often it happened since.
    count: u64,
}

impl<K: Clone + Eq + Hash> Repeats<K> {
    /// At most one line of each kind in this time.
    pub fn new(interval: Duration) -> Self {
        Self { interval, kinds: Mutex::default(), unplaced: AtomicU64::new(0) }
    }

    /// It happened once more. If a line is to be written now, gives how often it happened since the last one.
    pub fn note(&self, kind: K, now: Instant) -> Option<u64> {
        let mut kinds = self.kinds();
        if !kinds.contains_key(&kind) {
            if kinds.len() >= KINDS_MAX {
                kinds.retain(|_, counted| {
                    counted.count > 0 || now.duration_since(counted.reported) < self.interval
                });
            }
            if kinds.len() < KINDS_MAX {
                kinds.insert(kind, Counted { reported: now, count: 0 });
                return Some(1);
            }
            self.unplaced.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let counted = kinds.get_mut(&kind)?;
        counted.count += 1;
        (now.duration_since(counted.reported) >= self.interval).then(|| counted.report(now))
    }

    /// What happened before and is to be reported by now, with how often.
    pub fn overdue(&self, now: Instant) -> Vec<(K, u64)> {
        let mut kinds = self.kinds();
        let overdue = kinds.iter_mut().filter(|(_, counted)| {
            counted.count > 0 && now.duration_since(counted.reported) >= self.interval
        });
        overdue.map(|(kind, counted)| (kind.clone(), counted.report(now))).collect()
    }

    /// How often it happened, since the last call, in a kind beyond those that are counted.
    pub fn take_unplaced(&self) -> u64 {
        self.unplaced.swap(0, Ordering::Relaxed)
    }

    fn kinds(&self) -> MutexGuard<'_, HashMap<K, Counted>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn report(&mut self, now: Instant) -> u64 {
        self.reported = now;
        std::mem::take(&mut self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn the_first_is_reported_at_once_and_those_that_follow_soon_together() {
        let repeats = Repeats::new(INTERVAL);
        assert_eq!(repeats.note("a", Instant::now()), Some(1));
        assert_eq!(repeats.note("b", Instant::now()), Some(1));
        (0..5).for_each(|_| assert_eq!(repeats.note("a", Instant::now()), None));
        tokio::time::advance(INTERVAL).await;
        assert_eq!(repeats.note("a", Instant::now()), Some(6));
        assert_eq!(repeats.note("a", Instant::now()), None);
        assert_eq!(repeats.overdue(Instant::now()), []);
        tokio::time::advance(INTERVAL).await;
        assert_eq!(repeats.overdue(Instant::now()), [("a", 1)]);
        assert_eq!(repeats.overdue(Instant::now()), []);
    }

    #[tokio::test(start_paused = true)]
    async fn kinds_do_not_grow_without_bound() {
        let repeats = Repeats::new(INTERVAL);
        (0..KINDS_MAX).for_each(|kind| assert_eq!(repeats.note(kind, Instant::now()), Some(1)));
        assert_eq!(repeats.note(KINDS_MAX, Instant::now()), None);
        assert_eq!((repeats.take_unplaced(), repeats.take_unplaced()), (1, 0));
        tokio::time::advance(INTERVAL).await;
        assert_eq!(repeats.note(KINDS_MAX, Instant::now()), Some(1));
    }
}
