//! When a write may be acknowledged: with the bus's receipt, when every member has applied it, or when it is known what that is worth.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::cache::Report;
use crate::engine::{Acknowledgement, Receipt};

use super::Fleet;
use super::bus::Bus;
use super::membership::Decision;
use super::outbox::Published;
use super::settings::Ack;
use super::stats::Acknowledged;

/// The fleet has not confirmed in time.
#[derive(Debug)]
pub(super) struct TimedOut;

/// The world was left in which a write was published: it must be published again.
struct OtherWorld;

impl<B: Bus> Fleet<B> {
    /// Queues reports, and waits for what their write must wait for.
    pub(super) fn receipt(self: Arc<Self>, reports: Vec<Report>) -> Receipt {
        let acknowledged = self.acknowledged(reports);
        Box::pin(async move {
            match acknowledged.await {
                Ok(_) => Acknowledgement::Given,
                Err(TimedOut) => Acknowledgement::TimedOut,
            }
        })
    }

    /// As [`Fleet::receipt`], and says what the acknowledgement is worth. The reports are queued at the call.
    pub(super) fn acknowledged(
        self: Arc<Self>,
        reports: Vec<Report>,
    ) -> impl Future<Output = Result<Acknowledged, TimedOut>> + Send {
        let since = Instant::now();
        let again = (self.settings.ack == Ack::All).then(|| reports.clone());
        let published = self.outbox.queue(reports, since);
        async move {
            let outcome = self.await_acknowledgement(published, again, since).await;
            match &outcome {
                Ok(acknowledged) => self.stats.acknowledged(*acknowledged, since.elapsed()),
                Err(TimedOut) => self.stats.timed_out(),
            }
            outcome
        }
    }

    async fn await_acknowledgement(
        &self,
        mut published: oneshot::Receiver<Published>,
        again: Option<Vec<Report>>,
        since: Instant,
    ) -> Result<Acknowledged, TimedOut> {
        let deadline = since + self.settings.ack_timeout;
        loop {
            let receipt = match self.await_receipt(&mut published, since, deadline).await? {
                Ok(receipt) => receipt,
                Err(acknowledged) => return Ok(acknowledged),
            };
            let Some(again) = &again else { return Ok(Acknowledged::Heard) };
            match tokio::time::timeout_at(deadline, self.await_members(receipt)).await {
                Err(_) => return Err(TimedOut),
                Ok(Ok(())) => {
                    self.stats.metrics.fleet_confirmed(since.elapsed());
                    return Ok(Acknowledged::Heard);
                }
                Ok(Err(OtherWorld)) => published = self.outbox.queue(again.clone(), Instant::now()),
            }
        }
    }

    /// The bus's receipt, or why none is needed.
    async fn await_receipt(
        &self,
        published: &mut oneshot::Receiver<Published>,
        since: Instant,
        deadline: Instant,
    ) -> Result<Result<Published, Acknowledged>, TimedOut> {
        loop {
            let until = match self.lock().decide(since, Instant::now()) {
                Decision::Acknowledge(acknowledged) => return Ok(Err(acknowledged)),
                Decision::WaitUntil(until) => until.min(deadline),
            };
            tokio::select! {
                biased;
                receipt = &mut *published => match receipt {
                    Ok(receipt) => return Ok(Ok(receipt)),
                    // The outbox keeps every receipt until the bus has its reports.
                    Err(_) => return Err(TimedOut),
                },
                () = tokio::time::sleep_until(until) => {
                    if Instant::now() >= deadline {
                        return Err(TimedOut);
                    }
                }
            }
        }
    }

    /// Waits until every other member has applied a position.
    async fn await_members(&self, (generation, position): Published) -> Result<(), OtherWorld> {
        let mut changes = self.changes.subscribe();
        let _waiting = StrictWait::begin(&self.strict_waits);
        self.beat_now.notify_one();
        loop {
            {
                let membership = self.lock();
                let confirmed = membership.confirmed();
                if membership.generation() != generation {
                    return Err(OtherWorld);
                }
                if confirmed
                    .is_some_and(|confirmed| confirmed.epoch == position.epoch && confirmed >= position)
                {
                    return Ok(());
                }
            }
            if changes.changed().await.is_err() {
                return Err(OtherWorld);
            }
        }
    }
}

/// A strict writer waits as long as this lives.
struct StrictWait<'a>(&'a AtomicUsize);

impl<'a> StrictWait<'a> {
    fn begin(waits: &'a AtomicUsize) -> Self {
        waits.fetch_add(1, Ordering::AcqRel);
        Self(waits)
    }
}

impl Drop for StrictWait<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
