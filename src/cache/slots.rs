//! What is under way: reads that others may join, writers in flight, and holds after unknown outcomes.
//!
//! A key with nothing under way has no entry here, so the maps are as large as the traffic to the upstream is. Flights
//! and stripes live under one lock: a stripe belongs to one shard, so whoever holds the shard sees its reads, writes and
//! holds stand still. The lock is taken on misses and writes, never on hits, and never across an await.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::model::{ApiError, ErrorCode};

use super::image::Image;
use super::table::Address;
use super::words::{Stripe, Version};

const SHARDS: usize = 64;

/// How many may wait on one fetch. The next one fetches anew, and later ones wait on that.
const WAITERS_MAX: u32 = 10_000;

/// Why a fetch brought no image: an answer to give to everyone who waited on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The HTTP status.
    pub status: u16,
    /// The JSON body of the error.
    pub body: Bytes,
    /// Headers that belong to the answer, such as `x-amz-retry-after`.
    pub headers: Vec<(String, String)>,
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        Self { status: error.code.status(), body: error.to_json().into(), headers: Vec::new() }
    }
}

/// What came of waiting on another read's fetch.
#[derive(Clone, Debug)]
pub enum JoinOutcome {
    /// The image.
    Image(Image),
    /// The fetch failed, or was given up.
    Failed(Arc<Failure>),
    /// The image is older than what a strong read returned before this wait began: read again.
    LookAgain,
}

/// A place among those who wait on a fetch. Dropping it gives the place up; the fetch goes on.
#[derive(Debug)]
pub struct Joiner {
    flight: Arc<Flight>,
    /// A strong read had completed on the key when the wait began, and what it returned binds this reader.
    is_late: bool,
}

impl Joiner {
    pub(super) fn late(&self) -> bool {
        self.is_late
    }

    /// Waits until the fetch has come to an end, whatever end that is. The leader's time limit bounds the wait.
    pub async fn wait(self) -> JoinOutcome {
        loop {
            let arrival = self.flight.arrival.notified();
            // The future counts as waiting from its creation, so an outcome set after this look wakes it.
            if let Some(outcome) = self.flight.outcome.get() {
                return outcome.as_seen_by(&self);
            }
            arrival.await;
        }
    }
}

impl Drop for Joiner {
    fn drop(&mut self) {
        self.flight.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A read on its way to the upstream and back.
#[derive(Debug)]
pub(super) struct Flight {
    table: u32,
    key: Box<[u8]>,
    /// Captured before the read is sent.
    pub(super) version: Version,
    /// The image that a strong read of the key returned while this flight was the current one.
    seen: OnceLock<Image>,
    waiters: AtomicU32,
    outcome: OnceLock<Outcome>,
    arrival: Notify,
}

#[derive(Debug)]
pub(super) enum Outcome {
    Image { image: Image, contradicts_seen: bool },
    Failed(Arc<Failure>),
}

impl Outcome {
    fn as_seen_by(&self, joiner: &Joiner) -> JoinOutcome {
        match self {
            Self::Image { contradicts_seen: true, .. } if joiner.late() => JoinOutcome::LookAgain,
            Self::Image { image, .. } => JoinOutcome::Image(image.clone()),
            Self::Failed(failure) => JoinOutcome::Failed(failure.clone()),
        }
    }
}

impl Flight {
    fn is_for(&self, address: &Address<'_>) -> bool {
        self.table == address.table.id() && *self.key == *address.key
    }

    /// What a strong read saw while this flight was current, if it differs from this image.
    pub(super) fn is_contradicted_by_what_was_seen(&self, image: &Image) -> bool {
        self.seen.get().is_some_and(|seen| seen != image)
    }

    /// Notes what a strong read saw. False if an earlier one saw something else.
    pub(super) fn note_seen(&self, image: &Image) -> bool {
        self.seen.get_or_init(|| image.clone()) == image
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Wakes everyone who waits. Only the first outcome counts.
    pub(super) fn land(&self, outcome: Outcome) {
        // A second outcome would be the abandonment of a permit that was used up; it has nothing to add.
        let _ = self.outcome.set(outcome);
        self.arrival.notify_waiters();
    }
}

/// What waiters hear when a leader is gone without a word.
pub(super) fn abandoned() -> Failure {
    ApiError::new(
        ErrorCode::ServiceUnavailable,
        "The read that this request had joined was given up. Try again.",
    )
    .into()
}

/// All that is under way.
#[derive(Debug)]
pub(super) struct Slots {
    shards: Box<[Mutex<Shard>]>,
}

/// What is under way in a part of the stripes.
#[derive(Debug, Default)]
pub(super) struct Shard {
    flights: HashMap<u64, Arc<Flight>>,
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
    /// The flight that is the current one of its key, whatever its version.
    pub(super) fn flight(&self, address: &Address<'_>) -> Option<&Arc<Flight>> {
        self.flights.get(&address.hash).filter(|flight| flight.is_for(address))
    }

    /// Waits with the others, unless they are too many.
    pub(super) fn join(flight: &Arc<Flight>) -> Option<Joiner> {
        let waiters = flight.waiters.fetch_add(1, Ordering::Relaxed);
        let joiner = Joiner { flight: flight.clone(), is_late: flight.seen.get().is_some() };
        (waiters < WAITERS_MAX).then_some(joiner)
    }

    /// Begins a flight, which takes the place of an older one. Those who wait on the older one go on doing so.
    pub(super) fn take_off(&mut self, address: &Address<'_>, version: Version) -> Arc<Flight> {
        let flight = Arc::new(Flight {
            table: address.table.id(),
            key: address.key.into(),
            version,
            seen: OnceLock::new(),
            waiters: AtomicU32::new(0),
            outcome: OnceLock::new(),
            arrival: Notify::new(),
        });
        self.flights.insert(address.hash, flight.clone());
        flight
    }

    pub(super) fn is_current(&self, hash: u64, flight: &Arc<Flight>) -> bool {
        self.flights.get(&hash).is_some_and(|current| Arc::ptr_eq(current, flight))
    }

    /// Takes the flight out, unless a newer one has its place.
    pub(super) fn remove(&mut self, hash: u64, flight: &Arc<Flight>) {
        if self.is_current(hash, flight) {
            self.flights.remove(&hash);
        }
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
