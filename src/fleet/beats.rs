//! The task that keeps the membership: it joins, reports that the node is alive, and leaves.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::bus::{Beat, Bus, BusError, Join, Joined, Link, Member, Ready};
use super::membership::{Asked, Due, Next};
use super::stats::LeftWorld;
use super::{Backoff, Fleet, Task};

/// How often a writer that waits for the members asks how far they are.
const STRICT_INTERVAL: Duration = Duration::from_millis(1);

/// How often a node asks again whether it may join a fleet that has other settings.
const OTHER_SETTINGS_INTERVAL: Duration = Duration::from_secs(5);

/// How long leaving may take.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why a connection is given up.
enum End {
    Failed(BusError),
    /// Another connection has shown another server.
    Suspected,
    /// The fleet has other settings, which are said once.
    OtherSettings,
    /// The node has left, or was never in.
    Left,
}

/// Whose settings kept the node out last, and when. Where the server is a new one, it lets those be the first.
#[derive(Default)]
struct Rejected {
    by: String,
    at: Option<Instant>,
}

impl From<BusError> for End {
    fn from(error: BusError) -> Self {
        Self::Failed(error)
    }
}

impl<B: Bus> Fleet<B> {
    /// Joins and stays a member until `closing`; then publishes what is left, and leaves.
    pub(super) async fn keep_membership(self: Arc<Self>, closing: CancellationToken, patience: Duration) {
        let (mut backoff, mut rejected) = (Backoff::new(), Rejected::default());
        let mut stopped_ms = (self.stopped_ms)();
        loop {
            let link = closing.run_until_cancelled(self.bus.connect()).await;
            let end = match link {
                None => self.end_unconnected(patience).await,
                Some(Err(error)) => End::Failed(error),
                Some(Ok(link)) => {
                    self.beat_over(link, &mut backoff, &mut stopped_ms, &mut rejected, (&closing, patience))
                        .await
                }
            };
            match end {
                End::Left => return,
                End::Suspected => {}
                End::Failed(error) => self.failed(Task::Beats, &error),
                End::OtherSettings => {
                    closing.run_until_cancelled(tokio::time::sleep(OTHER_SETTINGS_INTERVAL)).await;
                }
            }
            // What is due does not wait for the bus.
            self.lock().tick(Instant::now());
            closing.run_until_cancelled(backoff.wait()).await;
        }
    }

    async fn beat_over(
        &self,
        mut link: B::Link,
        backoff: &mut Backoff,
        stopped_ms: &mut u64,
        rejected: &mut Rejected,
        (closing, patience): (&CancellationToken, Duration),
    ) -> End {
        loop {
            self.notice_stop(stopped_ms);
            self.lock().tick(Instant::now());
            if closing.is_cancelled() {
                return self.leave(&mut link, patience).await;
            }
            let sent = Instant::now();
            let due = self.lock().due(link.run());
            let done = match due {
                Due::Join => self.join(&mut link, rejected).await,
                Due::Ready(member, resumed) => self.say_ready(&mut link, &member, resumed).await,
                Due::Beat => self.beat(&mut link).await,
            };
            match done {
                Ok(Next::GoOn) => {
                    if let Err(error) = self.introduce(&mut link).await {
                        return End::Failed(error);
                    }
                }
                Ok(Next::AtOnce) => continue,
                Err(End::Failed(BusError::OtherServer)) => {
                    // The log is of another run than this connection: it was emptied, or a replica has taken over.
                    self.lock().leave_world(LeftWorld::OtherServer, Instant::now());
                    self.stats.failed(&BusError::OtherServer);
                    if let Err(end) = self.join(&mut link, rejected).await {
                        return end;
                    }
                }
                Err(end) => return end,
            }
            self.succeeded(Task::Beats);
            backoff.reset();
            if self.pause(sent, closing).await {
                return End::Suspected;
            }
        }
    }

    async fn beat(&self, link: &mut B::Link) -> Result<Next, End> {
        let Some(question) = self.lock().beating(Instant::now()) else { return Ok(Next::AtOnce) };
        let beat =
            Beat { member: &question.member, last_time_ms: question.last_time_ms, applied: question.applied };
        let pulse = link.beat(&beat).await?;
        let next = self.lock().answered(&question, &pulse, Instant::now());
        self.changed();
        Ok(next)
    }

    async fn join(&self, link: &mut B::Link, rejected: &mut Rejected) -> Result<Next, End> {
        let (member, applied) = self.lock().joining(link.run(), Instant::now());
        // In this order: a stop after it is noticed after the node has joined.
        let asked = Asked { stopped_ms: (self.stopped_ms)(), at: Instant::now() };
        let may_found = rejected.at.is_none_or(|at| at.elapsed() > self.settings.modesty());
        let join = Join { member: &member, settings: &self.settings.common, applied, may_found };
        let welcome = match link.join(&join).await? {
            Joined::Welcome(welcome) => welcome,
            Joined::OtherSettings(common) => {
                if !common.is_empty() {
                    rejected.at = Some(Instant::now());
                    if rejected.by != common {
                        tracing::error!(
                            fleet = common,
                            node = self.settings.common,
                            "The fleet has other settings than this node, which therefore does not join."
                        );
                        rejected.by = common;
                    }
                }
                self.failed_quietly(Task::Beats, "the fleet has other settings than this node");
                return Err(End::OtherSettings);
            }
        };
        *rejected = Rejected::default();
        self.lock().joined(link.run(), welcome, asked, Instant::now());
        self.introductions.begin_anew();
        self.changed();
        Ok(Next::AtOnce)
    }

    /// Says that the node knows of its membership, and publishes with it all that the bus does not have yet.
    async fn say_ready(&self, link: &mut B::Link, member: &Member, resumed: bool) -> Result<Next, End> {
        let generation = self.lock().generation();
        let batch = self.outbox.take_everything();
        let outcome = link.ready(&Ready { member, pending: batch.bytes(), resumed }).await;
        match outcome {
            Ok(Some(end)) => self.outbox.everything_published(batch, (generation, end)),
            Ok(None) | Err(_) => self.outbox.give_back(batch),
        }
        self.lock().is_ready(outcome?.is_some(), Instant::now());
        Ok(Next::AtOnce)
    }

    /// Waits until the next heartbeat is due. True if the connection must be made anew.
    async fn pause(&self, sent: Instant, closing: &CancellationToken) -> bool {
        let is_awaited = self.strict_waits.load(Ordering::Acquire) > 0;
        let interval = match is_awaited {
            true => STRICT_INTERVAL,
            false => self.settings.beat_interval().mul_f64(0.9 + 0.2 * fastrand::f64()),
        };
        tokio::select! {
            () = tokio::time::sleep_until(sent + interval) => false,
            () = self.beat_now.notified() => false,
            () = closing.cancelled() => false,
            () = self.suspicion.notified() => true,
        }
    }

    async fn leave(&self, link: &mut B::Link, patience: Duration) -> End {
        // The publisher is still at work.
        if tokio::time::timeout(patience, self.outbox.empty()).await.is_err() {
            self.say_what_is_left();
            // Not to leave is to be lost, and then they invalidate everything.
            return End::Left;
        }
        let member = self.lock().leaving();
        if let Some(member) = member {
            // A node that cannot say so is lost a second later.
            tokio::time::timeout(LEAVE_TIMEOUT, link.leave(&member)).await.ok();
        }
        End::Left
    }

    /// The node ends while there is no connection: the publisher may yet find one.
    async fn end_unconnected(&self, patience: Duration) -> End {
        if tokio::time::timeout(patience, self.outbox.empty()).await.is_err() {
            self.say_what_is_left();
        }
        End::Left
    }

    fn say_what_is_left(&self) {
        tracing::warn!(
            reports = self.outbox.len(),
            "Left the fleet with reports that the bus did not take in time; the others notice the loss of this node."
        );
    }

    /// If the machine stood still, the node may have missed anything.
    fn notice_stop(&self, known_ms: &mut u64) {
        let stopped_ms = (self.stopped_ms)();
        if stopped_ms > *known_ms {
            self.lock().leave_world(LeftWorld::ClockJump, Instant::now());
        }
        *known_ms = stopped_ms;
    }
}
