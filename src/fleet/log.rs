//! The tasks that read the log and that publish to it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::{Changed, Report};

use super::bus::{Bus, BusError, Entry, Link, Position, RunId};
use super::settings::Ack;
use super::stats::LeftWorld;
use super::{Backoff, Fleet, Task, entry};

/// How long the bus waits for an entry before it answers that there is none.
const READ_WAIT: Duration = Duration::from_millis(250);

/// The node is in another world by now.
struct OtherWorld;

impl<B: Bus> Fleet<B> {
    /// Reads the log and applies it, without end.
    pub(super) async fn follow_log(self: Arc<Self>) {
        let mut backoff = Backoff::new();
        loop {
            match self.bus.connect().await {
                Ok(link) => {
                    let error = self.follow_over(link, &mut backoff).await;
                    self.failed(Task::Reading, &error);
                }
                Err(error) => self.failed(Task::Reading, &error),
            }
            backoff.wait().await;
        }
    }

    async fn follow_over(&self, mut link: B::Link, backoff: &mut Backoff) -> BusError {
        loop {
            if let Err(error) = self.in_world(link.run().clone()).await {
                return error;
            }
            let Some((generation, position)) = self.lock().reading(link.run()) else { continue };
            match link.read(position, READ_WAIT).await {
                Ok(entries) => {
                    backoff.reset();
                    self.succeeded(Task::Reading);
                    // In another world it begins again from there.
                    self.apply(generation, position, entries).ok();
                }
                Err(error) => return error,
            }
        }
    }

    /// Waits until the node is in the world to which a connection leads.
    async fn in_world(&self, run: RunId) -> Result<(), BusError> {
        let mut changes = self.changes.subscribe();
        loop {
            let (is_in, is_elsewhere) = {
                let membership = self.lock();
                let is_in = membership.reading(&run).is_some();
                (is_in, membership.position().is_some() && !membership.is_of(&run))
            };
            if is_in {
                return Ok(());
            }
            if is_elsewhere {
                // One of the two connections leads to a server that is not the bus any more.
                self.suspicion.notify_one();
                return Err(BusError::OtherServer);
            }
            if changes.changed().await.is_err() {
                return Err(BusError::Unreachable("the fleet has ended".to_owned()));
            }
        }
    }

    fn apply(
        &self,
        generation: u64,
        after: Position,
        entries: Vec<(Position, Entry)>,
    ) -> Result<(), OtherWorld> {
        let (mut position, mut is_foreign) = (after, false);
        for (at, entry) in entries {
            if at.epoch != position.epoch || at.number != position.number + 1 {
                let reason = if at.epoch == position.epoch { LeftWorld::Gap } else { LeftWorld::OtherLog };
                return self.lose_world(generation, reason, position, at);
            }
            is_foreign |= self.apply_entry(generation, &entry, at);
            position = at;
        }
        if position == after {
            return Ok(());
        }
        let is_current = self.lock().applied(generation, position, Instant::now());
        if is_foreign && self.settings.ack == Ack::All {
            self.beat_now.notify_one();
        }
        self.changed();
        if is_current { Ok(()) } else { Err(OtherWorld) }
    }

    /// Applies one entry. True if another node wrote it, and may wait for its being applied.
    fn apply_entry(&self, generation: u64, entry: &Entry, at: Position) -> bool {
        let now = Instant::now();
        let bytes = match entry {
            Entry::Reports(bytes) => bytes,
            Entry::Unreadable => {
                self.cannot_read(now);
                return true;
            }
            Entry::Begun | Entry::Joined(_) | Entry::Ready(..) | Entry::Left(_) | Entry::Lost(_) => {
                self.lock().heard(generation, entry, now);
                return false;
            }
        };
        if entry::origin(bytes) == Some(self.outbox.origin()) {
            // What it reports is invalidated here already, and the written item may be cached since.
            self.outbox.returned(at, now);
            return false;
        }
        match entry::read(bytes) {
            Ok(reports) => {
                for report in &reports {
                    self.replica.apply(report, now);
                    self.stats.applied(report);
                }
            }
            Err(entry::Unreadable) => self.cannot_read(now),
        }
        true
    }

    /// Nobody knows what an entry reports.
    fn cannot_read(&self, now: Instant) {
        self.stats.unreadable();
        self.say(
            "unreadable",
            "The fleet's log has an entry that this node cannot read; everything cached is invalidated.",
        );
        self.replica.apply(&Report::Changed(Changed::Everything), now);
    }

    fn lose_world(
        &self,
        generation: u64,
        reason: LeftWorld,
        position: Position,
        at: Position,
    ) -> Result<(), OtherWorld> {
        let mut membership = self.lock();
        if reason == LeftWorld::Gap && !membership.rules.obeyed(super::rules::Rule::GapVoids) {
            membership.applied(generation, Position { number: at.number - 1, ..at }, Instant::now());
            return Err(OtherWorld);
        }
        if membership.generation() == generation {
            tracing::warn!(
                reason = ?reason,
                applied = position.number,
                found = at.number,
                "The fleet's log does not go on where this node has read it; everything cached is invalidated."
            );
            membership.leave_world(reason, Instant::now());
        }
        drop(membership);
        self.beat_now.notify_one();
        Err(OtherWorld)
    }

    /// Publishes what is queued, without end.
    pub(super) async fn publish(self: Arc<Self>) {
        let mut backoff = Backoff::new();
        loop {
            match self.bus.connect().await {
                Ok(link) => {
                    let error = self.publish_over(link, &mut backoff).await;
                    self.failed(Task::Publishing, &error);
                }
                Err(error) => self.failed(Task::Publishing, &error),
            }
            backoff.wait().await;
        }
    }

    async fn publish_over(&self, mut link: B::Link, backoff: &mut Backoff) -> BusError {
        loop {
            let bytes = self.outbox.next().await;
            if let Err(error) = self.in_world(link.run().clone()).await {
                return error;
            }
            let generation = self.lock().generation();
            let sent = Instant::now();
            match link.publish(&bytes).await {
                Ok(position) => {
                    backoff.reset();
                    self.succeeded(Task::Publishing);
                    self.stats.metrics.fleet_published(sent.elapsed());
                    self.outbox.published((generation, position));
                }
                Err(error) => return error,
            }
        }
    }
}
