//! What is in flight: reads that others may join, writers in flight, and holds after unknown outcomes.
//!
//! A key with nothing in flight has no entry here, so the maps are as large as the traffic to the upstream is. Flights
//! and stripes live under one lock: a stripe belongs to one shard, so whoever holds the shard sees its reads, writes and
//! holds stand still. The lock is taken on misses and writes, never on hits, and never across an await.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::cached_item::CachedItem;
use super::flights::Flights;
use super::words::{Stripe, Version};

const SHARDS: usize = 64;

/// All that is in flight.
#[derive(Debug)]
pub(super) struct Slots {
    shards: Box<[Mutex<Shard>]>,
}

/// What is in flight in a part of the stripes.
#[derive(Debug, Default)]
pub(super) struct Shard {
    flights: Flights<Version, CachedItem>,
    stripes: HashMap<Stripe, Activity>,
}

/// Writes of one stripe. A stripe without any has no entry.
#[derive(Debug, Default)]
struct Activity {
    writers: u32,
    held_until: Option<Instant>,
}

impl Slots {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// A panic under the lock leaves at worst a flight or a writer too many, which costs hits and never truth.
    pub(super) fn lock(&self, stripe: Stripe) -> MutexGuard<'_, Shard> {
        self.shards[stripe.0 as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every shard, locked one after the other.
    pub(super) fn each(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shard {
    pub(super) fn flights(&self) -> &Flights<Version, CachedItem> {
        &self.flights
    }

    pub(super) fn flights_mut(&mut self) -> &mut Flights<Version, CachedItem> {
        &mut self.flights
    }

    pub(super) fn writer_enters(&mut self, stripe: Stripe) {
        self.stripes.entry(stripe).or_default().writers += 1;
    }

    pub(super) fn writer_leaves(&mut self, stripe: Stripe) {
        if let Some(activity) = self.stripes.get_mut(&stripe) {
            activity.writers = activity.writers.saturating_sub(1);
        }
        self.forget_if_idle(stripe);
    }

    pub(super) fn has_writers(&self, stripe: Stripe) -> bool {
        self.stripes.get(&stripe).is_some_and(|activity| activity.writers > 0)
    }

    /// True if the stripe has writers or is held.
    pub(super) fn is_active(&self, stripe: Stripe) -> bool {
        self.stripes.contains_key(&stripe)
    }

    /// Notes a hold, or makes the one there is longer. True if it is new.
    pub(super) fn hold_until(&mut self, stripe: Stripe, deadline: Instant) -> bool {
        let held_until = &mut self.stripes.entry(stripe).or_default().held_until;
        let is_new = held_until.is_none();
        *held_until = (*held_until).max(Some(deadline));
        is_new
    }

    pub(super) fn is_hold_over(&self, stripe: Stripe, now: Instant) -> bool {
        self.stripes.get(&stripe).and_then(|activity| activity.held_until).is_some_and(|until| until <= now)
    }

    pub(super) fn holds_over(&self, now: Instant) -> Vec<Stripe> {
        self.stripes.keys().copied().filter(|stripe| self.is_hold_over(*stripe, now)).collect()
    }

    pub(super) fn end_hold(&mut self, stripe: Stripe) {
        if let Some(activity) = self.stripes.get_mut(&stripe) {
            activity.held_until = None;
        }
        self.forget_if_idle(stripe);
    }

    fn forget_if_idle(&mut self, stripe: Stripe) {
        if self
            .stripes
            .get(&stripe)
            .is_some_and(|activity| activity.writers == 0 && activity.held_until.is_none())
        {
            self.stripes.remove(&stripe);
        }
    }
}
