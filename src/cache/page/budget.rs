//! The hard budget of pages: what each entry is charged, and gives back when nobody holds it any more.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// The bytes of all entries alive.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: AtomicU64,
    bytes_max: AtomicU64,
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Weak<Budget>,
    bytes: u64,
}

impl Budget {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { bytes: AtomicU64::new(0), bytes_max: AtomicU64::new(bytes_max) }
    }

    /// What is charged now.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// What may be charged in all.
    pub(super) fn bytes_max(&self) -> u64 {
        self.bytes_max.load(Ordering::Relaxed)
    }

    /// Changes what may be charged, and gives what it was. What is charged already stays so.
    pub(super) fn set_bytes_max(&self, bytes_max: u64) -> u64 {
        self.bytes_max.swap(bytes_max, Ordering::Relaxed)
    }

    /// Takes a part, if there is as much left.
    pub(super) fn charge(self: &Arc<Self>, bytes: u64) -> Option<Charge> {
        let bytes_max = self.bytes_max.load(Ordering::Relaxed);
        let fits = |used: u64| used.checked_add(bytes).filter(|sum| *sum <= bytes_max);
        self.bytes.fetch_update(Ordering::AcqRel, Ordering::Relaxed, fits).ok()?;
        Some(Charge { budget: Arc::downgrade(self), bytes })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if let Some(budget) = self.budget.upgrade() {
            budget.bytes.fetch_sub(self.bytes, Ordering::AcqRel);
        }
    }
}
