//! What every request changes, spread so that threads do not wait for each other's cache lines.
//!
//! Each thread changes numbers of its own, and whoever asks for the sum pays for adding them up.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How many threads have numbers of their own; more than that many share them.
const SHARES: usize = 8;

/// A number below [`SHARES`] that is this thread's, and as few other threads' as may be.
#[inline]
fn share_of_thread() -> usize {
    thread_local! {
        /// [`SHARES`] until the thread has one. It is a constant at first, so that to read it is to read memory.
        static SHARE: Cell<usize> = const { Cell::new(SHARES) };
    }
    match SHARE.get() {
        SHARES => {
            let share = next_share();
            SHARE.set(share);
            share
        }
        share => share,
    }
}

#[cold]
fn next_share() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    THREADS.fetch_add(1, Ordering::Relaxed) % SHARES
}

/// One value for each of a few threads, on cache lines of their own.
#[derive(Debug, Default)]
pub(crate) struct Spread<T>([Aligned<T>; SHARES]);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Aligned<T>(T);

impl<T> Spread<T> {
    /// Values that are made one by one.
    pub(crate) fn from_fn(mut make: impl FnMut() -> T) -> Self {
        Self(std::array::from_fn(|_| Aligned(make())))
    }

    /// This thread's value. A thread in many shares its value with others, so it is still one to be changed atomically.
    #[inline]
    pub(crate) fn mine(&self) -> &T {
        &self.0[share_of_thread()].0
    }

    /// The values of all threads.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|share| &share.0)
    }

    /// The sum of one number of each thread's value.
    pub(crate) fn sum(&self, read: impl Fn(&T) -> &AtomicU64) -> u64 {
        self.0.iter().map(|share| read(&share.0).load(Ordering::Relaxed)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_threads_counted_is_added_up() {
        let counts = Spread::<AtomicU64>::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * SHARES {
                scope.spawn(|| {
                    for _ in 0..100 {
                        counts.mine().fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(counts.sum(|count| count), 200 * SHARES as u64);
    }
}
