//! Locks whose data stays of use after a panic under them. Each place that locks says why a half-done change does no harm.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// Locks, also after a panic under the lock.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same, if nobody holds the lock now.
pub(crate) fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => {
            std::hint::spin_loop();
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_behind_a_lock_outlives_a_panic_under_it() {
        let mutex = Mutex::new(1);
        std::thread::scope(|scope| {
            let panicking = scope.spawn(|| {
                let mut number = mutex.lock().unwrap();
                *number = 2;
                panic!("under the lock");
            });
            assert!(panicking.join().is_err() && mutex.is_poisoned());
        });
        assert_eq!(*lock(&mutex), 2);
        assert_eq!(try_lock(&mutex).map(|number| *number), Some(2));
        let held = lock(&mutex);
        assert!(try_lock(&mutex).is_none());
        drop(held);
    }
}
