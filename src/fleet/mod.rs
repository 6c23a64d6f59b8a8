//! Coherence between nodes: what one node's write has changed is invalidated in all others, and a node that cannot know serves nothing
//! that may be old.
//!
//! In come the reports of this node's engine ([`Peers`]) and the log of a [`bus`]; out go reports for the [`Replica`], the lease until
//! which it may serve what it has cached, and receipts for writes. Three tasks share the work, each over a connection of its own: one
//! keeps the membership, one reads the log, one publishes. [`membership`] is the protocol, without I/O. `docs/fleet-protocol.md`
//! explains it, and `models/fleet` checks it.
//!
//! Values never cross the bus, and no order between keys is promised.

pub mod bus;
mod redis_bus;

mod beats;
mod introductions;
mod log;
mod membership;
mod outbox;
mod receipts;
mod rules;

mod entry;
mod probe;
mod replica;
mod settings;
mod stats;
mod status;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cache::Report;
use crate::engine::{Peers, Receipt};
use crate::telemetry::Metrics;

use bus::{Bus, BusError};
use introductions::Introductions;
use membership::Membership;
use outbox::Outbox;
use stats::Stats;

pub use entry::{CANON, VERSION};
pub use introductions::Introduced;
pub use probe::{Finding, Severity, look, probe};
pub use redis_bus::{Password, RedisBus, RedisSettings, ServerDescription};
pub use replica::Replica;
pub use settings::{Ack, CutOff, Settings};
pub use stats::Figure;
pub use status::{Distrusted, Status};

/// The first wait before a connection is made again, and the longest.
const RECONNECT_AFTER: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// A warning is not repeated within this time.
const REPEAT_AFTER: Duration = Duration::from_secs(60);

/// How many warnings are remembered. Beyond them, all may be repeated.
const SAID_MAX: usize = 32;

/// The tasks with connections of their own.
#[derive(Clone, Copy, Debug)]
enum Task {
    Beats,
    Reading,
    Publishing,
}

impl Task {
    const COUNT: usize = 3;
}

/// A node's part in a fleet.
pub struct Fleet<B> {
    bus: B,
    settings: Settings,
    membership: Mutex<Membership>,
    outbox: Outbox,
    stats: Arc<Stats>,
    /// A heartbeat is due at once: something was applied that writers elsewhere wait for, or a connection shows another server.
    beat_now: Notify,
    /// The connection of the heartbeats must be made anew, to see which server is there now.
    suspicion: Notify,
    /// Grows with everything that tasks and strict writers wait for.
    changes: watch::Sender<u64>,
    /// How many strict writers wait for the members.
    strict_waits: AtomicUsize,
    /// The last error of each task's connection, until it works again.
    trouble: Mutex<[Option<String>; Task::COUNT]>,
    /// When which warning was last logged.
    said: Mutex<HashMap<String, Instant>>,
    introductions: Introductions,
    replica: Arc<dyn Replica>,
    stopped_ms: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl<B: Bus> Fleet<B> {
    /// A node that has not joined yet. `stopped_ms` returns for how many milliseconds the machine stood still so far.
    pub fn new(
        bus: B,
        settings: Settings,
        replica: Arc<dyn Replica>,
        metrics: Arc<Metrics>,
        stopped_ms: Box<dyn Fn() -> u64 + Send + Sync>,
    ) -> Arc<Self> {
        let stats = Stats::new(metrics);
        let membership =
            Membership::new(settings.clone(), Arc::clone(&replica), Arc::clone(&stats), Instant::now());
        Arc::new(Self {
            bus,
            settings,
            membership: Mutex::new(membership),
            outbox: Outbox::new(Arc::clone(&stats)),
            stats,
            beat_now: Notify::new(),
            suspicion: Notify::new(),
            changes: watch::Sender::new(0),
            strict_waits: AtomicUsize::new(0),
            trouble: Mutex::default(),
            said: Mutex::default(),
            introductions: Introductions::new(),
            replica,
            stopped_ms,
        })
    }

    /// Takes part until `closing`, then leaves. What is still to be published is published before that, as far as it takes no longer
    /// than `patience`.
    pub async fn run(self: Arc<Self>, closing: CancellationToken, patience: Duration) {
        let ended = CancellationToken::new();
        let reader = tokio::spawn(ended.clone().run_until_cancelled_owned(Arc::clone(&self).follow_log()));
        let publisher = tokio::spawn(ended.clone().run_until_cancelled_owned(Arc::clone(&self).publish()));
        let beats = Arc::clone(&self).keep_membership(closing.clone(), patience);
        beats.await;
        ended.cancel();
        reader.await.ok();
        publisher.await.ok();
    }

    fn lock(&self) -> MutexGuard<'_, Membership> {
        // A panic under the lock would leave a lease too short or an invalidation too few; the words that were bumped stay bumped.
        self.membership.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// A call of the bus failed.
    fn failed(&self, task: Task, error: &BusError) {
        self.stats.failed(error);
        let text = error.to_string();
        self.say(&text, &format!("The fleet's bus fails; trying again: {text}."));
        self.failed_quietly(task, &text);
    }

    fn failed_quietly(&self, task: Task, text: &str) {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)[task as usize] = Some(text.to_owned());
    }

    /// A task's connection works.
    fn succeeded(&self, task: Task) {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)[task as usize] = None;
    }

    /// Logs a warning, unless it was logged a short while ago.
    fn say(&self, about: &str, words: &str) {
        let (mut said, now) = (self.said.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        if said.get(about).is_some_and(|at| now < *at + REPEAT_AFTER) {
            return;
        }
        if said.len() >= SAID_MAX {
            said.clear();
        }
        said.insert(about.to_owned(), now);
        drop(said);
        tracing::warn!("{words}");
    }
}

impl<B: Bus> Peers for Arc<Fleet<B>> {
    fn admit_write(&self) -> Result<(), &'static str> {
        match self.lock().admits_writes(Instant::now()) {
            true => Ok(()),
            false => {
                Err("The fleet's bus does not answer, so writes are rejected (fleet.cut_off = \"refuse\").")
            }
        }
    }

    fn report(&self, reports: Vec<Report>) -> Receipt {
        Self::clone(self).receipt(reports)
    }
}

/// How long to wait before the next attempt: a random part of a time that doubles.
struct Backoff(Duration);

impl Backoff {
    fn new() -> Self {
        Self(RECONNECT_AFTER.0)
    }

    fn reset(&mut self) {
        self.0 = RECONNECT_AFTER.0;
    }

    async fn wait(&mut self) {
        let wait = self.0.mul_f64(fastrand::f64());
        self.0 = (self.0 * 2).min(RECONNECT_AFTER.1);
        tokio::time::sleep(wait).await;
    }
}
