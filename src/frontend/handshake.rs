//! Handshakes in flight: few at a time, none for long, and none in the way of others.
//!
//! A client that connects and says nothing costs a handshake until its time is over. Where there is no room for another client, the
//! oldest handshake gives way, unless it began just now: one that is made in earnest takes milliseconds.

use std::collections::BTreeMap;
use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How many are made at a time. More wait in the kernel's queue.
const RUNNING_MAX: usize = 512;

/// How long one may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How long none has to give way.
const GRACE: Duration = Duration::from_secs(1);

/// Every handshake in flight.
#[derive(Debug)]
pub(super) struct Handshakes {
    places: Arc<Semaphore>,
    /// By number, so the first is the oldest.
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    last: u64,
    by_number: BTreeMap<u64, Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    begun: Instant,
    /// Asks it to give way.
    gives_way: CancellationToken,
    /// Says that it has ended.
    ended: CancellationToken,
}

impl Default for Handshakes {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(RUNNING_MAX)), running: Mutex::default() }
    }
}

impl Handshakes {
    /// A place for one more.
    pub(super) async fn place(&self) -> OwnedSemaphorePermit {
        self.make_room_for(Arc::clone(&self.places).acquire_owned())
            .await
            .expect("the semaphore is never closed")
    }

    /// A place for one more, if one is free now.
    pub(super) fn free_place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).try_acquire_owned().ok()
    }

    /// Waits for what may need a handshake to end, and has the oldest one give way until it comes.
    pub(super) async fn make_room_for<T>(&self, wanted: impl Future<Output = T>) -> T {
        let mut wanted = pin!(wanted);
        loop {
            tokio::select! {
                biased;
                came = wanted.as_mut() => return came,
                () = self.end_oldest() => {}
            }
        }
    }

    /// Begins one. It has ended when what is returned is dropped.
    pub(super) fn begin(&self, place: OwnedSemaphorePermit) -> Handshake<'_> {
        let mut running = self.running();
        running.last += 1;
        let (number, entry) = (running.last, Entry::new());
        running.by_number.insert(number, entry.clone());
        Handshake { all: self, number, entry, place: Some(place) }
    }

    /// Ends the oldest when its grace is over, and waits until it has ended, so that no second one has to; waits for ever if there is
    /// none.
    async fn end_oldest(&self) {
        let oldest = self.running().by_number.first_key_value().map(|(_, entry)| entry.clone());
        let Some(Entry { begun, gives_way, ended }) = oldest else { return pending().await };
        tokio::select! {
            biased;
            () = ended.cancelled() => return,
            () = tokio::time::sleep_until(begun + GRACE) => {}
        }
        gives_way.cancel();
        ended.cancelled().await;
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn new() -> Self {
        let [gives_way, ended] = [(); 2].map(|()| CancellationToken::new());
        Self { begun: Instant::now(), gives_way, ended }
    }
}

/// One handshake in flight.
#[derive(Debug)]
pub(super) struct Handshake<'a> {
    all: &'a Handshakes,
    number: u64,
    entry: Entry,
    /// There until it has ended.
    place: Option<OwnedSemaphorePermit>,
}

impl Handshake<'_> {
    /// Waits until it has to give way.
    pub(super) async fn gives_way(&self) {
        self.entry.gives_way.cancelled().await;
    }
}

impl Drop for Handshake<'_> {
    fn drop(&mut self) {
        self.all.running().by_number.remove(&self.number);
        // First, so that who waits for the end finds it free.
        self.place = None;
        self.entry.ended.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_gives_way_when_its_grace_is_over_and_no_sooner() {
        let handshakes = Handshakes::default();
        let begun = Instant::now();
        let mut idle = Vec::new();
        for _ in 0..RUNNING_MAX {
            idle.push(handshakes.begin(handshakes.place().await));
        }
        assert_eq!(begun.elapsed(), Duration::ZERO, "there was room");
        let ending = async {
            idle[0].gives_way().await;
            drop(idle.remove(0));
        };
        let (place, ()) = tokio::join!(handshakes.place(), ending);
        assert!((GRACE..GRACE + Duration::from_millis(10)).contains(&begun.elapsed()));
        let _in_earnest = handshakes.begin(place);
        assert!(!idle.iter().any(|handshake| handshake.entry.gives_way.is_cancelled()));
        // The next one need not wait.
        drop(idle.remove(0));
        let now = Instant::now();
        drop(handshakes.place().await);
        assert_eq!(now.elapsed(), Duration::ZERO);
        drop(idle);
        assert_eq!(handshakes.running().by_number.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_handshake_nothing_gives_way_and_what_is_wanted_comes() {
        let handshakes = Handshakes::default();
        let wanted = tokio::time::sleep(Duration::from_secs(100));
        handshakes.make_room_for(wanted).await;
    }
}
