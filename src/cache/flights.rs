//! Fetches on their way to the upstream and back, and those who wait on them.
//!
//! Items and pages share this: `T` is what a fetch brings, and `V` the words that its reader captured. Who may join which
//! flight, and whether what it brought is stored, is decided where the words are; here readers only find each other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::Notify;

use crate::call::{Answer, PrincipalRole, Request};
use crate::model::{ApiError, ErrorCode};

use super::cached_item::CachedItem;
use super::table::Address;

/// How many may wait on one fetch. The next one fetches anew, and later ones wait on that.
const WAITERS_MAX: u32 = 10_000;

/// What came of waiting on another read's fetch.
#[derive(Clone, Debug)]
pub enum JoinOutcome<T = CachedItem> {
    /// What the fetch brought.
    Landed(T),
    /// The fetch failed, or was given up: the answer for everyone who waited on it, unless it is about who had it sent.
    Failed(Arc<FailedFetch>),
    /// What it brought is older than what a strong read returned before this wait began: read again.
    LookAgain,
    /// It brought an answer that the cache does not understand: send the client's own request, past the cache.
    Opaque,
}

/// A fetch that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedFetch {
    /// What came instead.
    pub answer: Answer,
    /// On whose behalf it was sent: an upstream may deny one what it allows another.
    pub on_behalf_of: Option<Arc<PrincipalRole>>,
}

impl FailedFetch {
    /// The answer to a request that was to fetch something.
    pub fn of(answer: &Answer, request: &Request) -> Self {
        Self { answer: answer.clone(), on_behalf_of: request.on_behalf_of.clone() }
    }
}

/// An answer from memory: an item or a page.
#[derive(Clone, Debug)]
pub struct Hit<T> {
    /// What to send.
    pub value: T,
    /// How long ago the read that brought it was sent.
    pub age: Duration,
}

/// The result of a lookup: what the reader must do. `T` is the value that it reads, and `P` the permit to fetch it.
#[derive(Debug)]
pub enum Lookup<T, P> {
    /// Answer with this.
    Hit(Hit<T>),
    /// Wait for a fetch that is in flight.
    Join(Joiner<T>),
    /// Fetch, and report to the permit what came of it.
    Lead(P),
}

/// A place among those who wait on a fetch. Dropping it gives the place up; the fetch goes on.
#[derive(Debug)]
pub struct Joiner<T = CachedItem> {
    landing: Arc<Landing<T>>,
    /// A strong read had completed when the wait began, and what it returned binds this reader.
    is_late: bool,
}

impl<T: Clone + PartialEq> Joiner<T> {
    /// Waits until the fetch has come to an end, whatever end that is. The leader's time limit bounds the wait.
    pub async fn wait(self) -> JoinOutcome<T> {
        loop {
            let arrival = self.landing.arrival.notified();
            // The future counts as waiting from its creation, so an outcome set after this look wakes it.
            if let Some(outcome) = self.landing.outcome.get() {
                return outcome.as_seen_by(&self);
            }
            arrival.await;
        }
    }
}

impl<T> Drop for Joiner<T> {
    fn drop(&mut self) {
        self.landing.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A read on its way to the upstream and back.
#[derive(Debug)]
pub(super) struct Flight<V, T> {
    table: u32,
    key: Box<[u8]>,
    /// Captured before the read is sent.
    pub(super) version: V,
    /// When the read was sent, in milliseconds since the cache was made.
    pub(super) sent_ms: u64,
    landing: Arc<Landing<T>>,
}

/// Where a flight and those who wait on it meet.
#[derive(Debug)]
struct Landing<T> {
    /// What a strong read returned while the flight was the current one.
    seen: OnceLock<T>,
    waiters: AtomicU32,
    outcome: OnceLock<Outcome<T>>,
    arrival: Notify,
}

#[derive(Debug)]
pub(super) enum Outcome<T> {
    Landed { answer: T, contradicts_seen: bool },
    Failed(Arc<FailedFetch>),
    Opaque,
}

impl<T: Clone> Outcome<T> {
    fn as_seen_by(&self, joiner: &Joiner<T>) -> JoinOutcome<T> {
        match self {
            Self::Landed { contradicts_seen: true, .. } if joiner.is_late => JoinOutcome::LookAgain,
            Self::Landed { answer, .. } => JoinOutcome::Landed(answer.clone()),
            Self::Failed(failure) => JoinOutcome::Failed(failure.clone()),
            Self::Opaque => JoinOutcome::Opaque,
        }
    }
}

impl<V, T: Clone + PartialEq> Flight<V, T> {
    fn is_for(&self, address: &Address<'_>) -> bool {
        self.table == address.table.id() && *self.key == *address.key
    }

    /// What a strong read saw while this flight was current, if it differs from this answer.
    pub(super) fn is_contradicted_by_what_was_seen(&self, answer: &T) -> bool {
        self.landing.seen.get().is_some_and(|seen| seen != answer)
    }

    /// Notes what a strong read saw. False if an earlier one saw something else.
    pub(super) fn note_seen(&self, answer: &T) -> bool {
        self.landing.seen.get_or_init(|| answer.clone()) == answer
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// A place among those who wait, unless they are too many.
    pub(super) fn join(&self) -> Option<Joiner<T>> {
        let waiters = self.landing.waiters.fetch_add(1, Ordering::Relaxed);
        let is_late = self.landing.seen.get().is_some();
        let joiner = Joiner { landing: self.landing.clone(), is_late };
        (waiters < WAITERS_MAX).then_some(joiner)
    }

    /// Wakes everyone who waits. Only the first outcome counts.
    pub(super) fn land(&self, outcome: Outcome<T>) {
        // A second outcome would be the abandonment of a permit that was used up; it has nothing to add.
        let _ = self.landing.outcome.set(outcome);
        self.landing.arrival.notify_waiters();
    }
}

/// What waiters hear when a leader is gone without a word.
pub(super) fn abandoned() -> FailedFetch {
    let words = "The read that this request had joined was given up. Try again.";
    FailedFetch { answer: ApiError::new(ErrorCode::ServiceUnavailable, words).into(), on_behalf_of: None }
}

/// The current flight of each address that has one.
#[derive(Debug)]
pub(super) struct Flights<V, T> {
    by_hash: HashMap<u64, Arc<Flight<V, T>>>,
}

impl<V, T> Default for Flights<V, T> {
    fn default() -> Self {
        Self { by_hash: HashMap::new() }
    }
}

impl<V, T: Clone + PartialEq> Flights<V, T> {
    /// The flight that is the current one of its address, whatever its version.
    pub(super) fn current(&self, address: &Address<'_>) -> Option<&Arc<Flight<V, T>>> {
        self.by_hash.get(&address.hash).filter(|flight| flight.is_for(address))
    }

    /// True if any address of that hash has a flight.
    pub(super) fn has(&self, hash: u64) -> bool {
        self.by_hash.contains_key(&hash)
    }

    /// Begins a flight, which takes the place of an older one. Those who wait on the older one go on doing so.
    pub(super) fn take_off(&mut self, address: &Address<'_>, version: V, sent_ms: u64) -> Arc<Flight<V, T>> {
        let landing = Landing {
            seen: OnceLock::new(),
            waiters: AtomicU32::new(0),
            outcome: OnceLock::new(),
            arrival: Notify::new(),
        };
        let flight = Arc::new(Flight {
            table: address.table.id(),
            key: address.key.into(),
            version,
            sent_ms,
            landing: Arc::new(landing),
        });
        self.by_hash.insert(address.hash, flight.clone());
        flight
    }

    pub(super) fn is_current(&self, hash: u64, flight: &Arc<Flight<V, T>>) -> bool {
        self.by_hash.get(&hash).is_some_and(|current| Arc::ptr_eq(current, flight))
    }

    /// Takes the flight out, unless a newer one has its place.
    pub(super) fn remove(&mut self, hash: u64, flight: &Arc<Flight<V, T>>) {
        if self.is_current(hash, flight) {
            self.by_hash.remove(&hash);
        }
    }
}
