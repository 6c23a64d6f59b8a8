//! Reports on their way to the bus: queued in order, sent in batches, one batch at a time, and kept until the bus has them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::cache::{Changed, Report};

use super::bus::Position;
use super::entry::Writer;
use super::stats::Stats;

/// Beyond this many reports in wait, one report says that anything may have changed. They take 1 to 3 MiB.
const REPORTS_MAX: usize = 10_000;

/// Of how many entries it is remembered when they were queued, to measure how long they take.
const RETURNS_MAX: usize = 1_024;

/// The position at which the bus has a report, and the generation of the world in which it was published.
pub(super) type Published = (u64, Position);

/// Reports that the bus does not have yet.
pub(super) struct Outbox {
    origin: u64,
    stats: Arc<Stats>,
    queue: Mutex<Queue>,
    wake: Notify,
    /// Notified when nothing waits any more.
    emptied: Notify,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Queued>,
    /// How many reports are in `waiting`.
    reports: usize,
    in_flight: Option<Batch>,
    returns: VecDeque<(Position, Instant)>,
}

/// What one change reports.
struct Queued {
    reports: Vec<Report>,
    receipt: Option<oneshot::Sender<Published>>,
    since: Instant,
}

/// Reports that are sent together.
#[derive(Default)]
pub(super) struct Batch {
    changes: Vec<Queued>,
    bytes: Vec<u8>,
    /// This process has read it already.
    is_returned: bool,
}

impl Batch {
    /// The encoded reports.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Outbox {
    pub(super) fn new(stats: Arc<Stats>) -> Self {
        let (queue, wake, emptied) = (Mutex::default(), Notify::new(), Notify::new());
        Self { origin: fastrand::u64(..), stats, queue, wake, emptied }
    }

    /// The random number of this process, by which it knows its own entries.
    pub(super) fn origin(&self) -> u64 {
        self.origin
    }

    /// Queues reports. The receipt comes when the bus has them; a receiver that is dropped takes nothing back.
    pub(super) fn queue(&self, reports: Vec<Report>, now: Instant) -> oneshot::Receiver<Published> {
        let (sender, receiver) = oneshot::channel();
        let mut queue = self.lock();
        queue.reports += reports.len();
        queue.waiting.push_back(Queued { reports, receipt: Some(sender), since: now });
        if queue.reports > REPORTS_MAX {
            queue.collapse();
            self.stats.collapsed();
        }
        drop(queue);
        self.wake.notify_one();
        receiver
    }

    /// The next batch, which is in flight from now on: the one that was before, if it has not come to an end. Waits for one.
    pub(super) async fn next(&self) -> Arc<[u8]> {
        loop {
            if let Some(bytes) = self.take() {
                return bytes;
            }
            self.wake.notified().await;
        }
    }

    fn take(&self) -> Option<Arc<[u8]>> {
        let mut queue = self.lock();
        if queue.in_flight.is_none() {
            queue.in_flight = queue.batch(self.origin);
        }
        queue.in_flight.as_ref().map(|batch| Arc::from(batch.bytes()))
    }

    /// The bus has the batch in flight.
    pub(super) fn published(&self, published: Published) {
        let mut queue = self.lock();
        let Some(batch) = queue.in_flight.take() else { return };
        if let Some(first) = batch.changes.first().filter(|_| !batch.is_returned) {
            if queue.returns.len() == RETURNS_MAX {
                queue.returns.pop_front();
            }
            queue.returns.push_back((published.1, first.since));
        }
        self.end(queue, batch, published);
    }

    fn end(&self, queue: MutexGuard<'_, Queue>, batch: Batch, published: Published) {
        let is_empty = queue.in_flight.is_none() && queue.waiting.is_empty();
        drop(queue);
        for change in batch.changes {
            self.stats.published(&change.reports);
            if let Some(receipt) = change.receipt {
                // A writer that no longer waits was answered without it.
                receipt.send(published).ok();
            }
        }
        if is_empty {
            self.emptied.notify_waiters();
        }
    }

    /// Everything that the bus does not have, for a node that has joined. The batch in flight is part of it, and stays in flight: the
    /// bus may get it twice.
    pub(super) fn take_everything(&self) -> Batch {
        let mut queue = self.lock();
        if queue.waiting.is_empty() && queue.in_flight.is_none() {
            return Batch::default();
        }
        let mut changes: Vec<_> = std::mem::take(&mut queue.waiting).into();
        queue.reports = 0;
        let in_flight = queue.in_flight.iter().flat_map(|batch| &batch.changes);
        let mut writer = Writer::new(self.origin);
        let all = in_flight.chain(&changes).flat_map(|change| &change.reports);
        let fits = all.into_iter().all(|report| writer.add(report));
        if !fits {
            writer = Writer::new(self.origin);
            writer.add(&Report::Changed(Changed::Everything));
        }
        if !fits && let Some(first) = changes.first_mut() {
            first.reports = vec![Report::Changed(Changed::Everything)];
        }
        Batch { changes, bytes: writer.finish(), is_returned: false }
    }

    /// The bus has what [`Outbox::take_everything`] gave.
    pub(super) fn everything_published(&self, batch: Batch, published: Published) {
        let queue = self.lock();
        self.end(queue, batch, published);
    }

    /// It does not have it: it waits again.
    pub(super) fn give_back(&self, batch: Batch) {
        let mut queue = self.lock();
        for change in batch.changes.into_iter().rev() {
            queue.reports += change.reports.len();
            queue.waiting.push_front(change);
        }
        if queue.reports > REPORTS_MAX {
            queue.collapse();
            self.stats.collapsed();
        }
        drop(queue);
        self.wake.notify_one();
    }

    /// This process has read its own entry: how long that took since the first of its reports was queued.
    pub(super) fn returned(&self, position: Position, now: Instant) {
        let mut queue = self.lock();
        while let Some((at, since)) = queue.returns.pop_front_if(|(at, _)| *at <= position) {
            if at == position {
                return self.stats.metrics.fleet_propagated(now.saturating_duration_since(since));
            }
        }
        // The entry may overtake the receipt.
        if let Some(batch) = queue.in_flight.as_mut().filter(|batch| !batch.is_returned)
            && let Some(first) = batch.changes.first()
        {
            self.stats.metrics.fleet_propagated(now.saturating_duration_since(first.since));
            batch.is_returned = true;
        }
    }

    /// How many reports are in wait.
    pub(super) fn len(&self) -> usize {
        let queue = self.lock();
        let in_flight =
            queue.in_flight.iter().flat_map(|batch| &batch.changes).map(|change| change.reports.len());
        queue.reports + in_flight.sum::<usize>()
    }

    /// Waits until the bus has everything. Nothing is lost if the wait is cancelled.
    pub(super) async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.len() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// A panic under the lock leaves at worst a batch that is sent again.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// As many changes as one entry holds. A change that fits into none becomes one report of everything.
    fn batch(&mut self, origin: u64) -> Option<Batch> {
        let (mut changes, mut writer) = (Vec::new(), Writer::new(origin));
        while let Some(change) = self.waiting.front_mut() {
            let before = writer.len();
            if !change.reports.iter().all(|report| writer.add(report)) {
                writer.truncate(before);
                if !changes.is_empty() {
                    break;
                }
                self.reports -= change.reports.len() - 1;
                change.reports = vec![Report::Changed(Changed::Everything)];
                continue;
            }
            self.reports -= change.reports.len();
            changes.extend(self.waiting.pop_front());
        }
        (!changes.is_empty()).then(|| Batch { changes, bytes: writer.finish(), is_returned: false })
    }

    /// Everything in wait becomes one report. Those who wait go on waiting.
    fn collapse(&mut self) {
        for change in &mut self.waiting {
            change.reports = Vec::new();
        }
        // Who was answered meanwhile waits for nothing.
        self.waiting.retain(|change| change.receipt.as_ref().is_some_and(|receipt| !receipt.is_closed()));
        let since = self.waiting.front().map_or_else(Instant::now, |change| change.since);
        let reports = vec![Report::Changed(Changed::Everything)];
        self.waiting.push_front(Queued { reports, receipt: None, since });
        self.reports = 1;
    }
}

#[cfg(test)]
mod tests {
    use crate::cache::TableDigest;
    use crate::telemetry::Metrics;

    use super::super::entry;
    use super::*;

    fn outbox() -> Outbox {
        Outbox::new(Stats::new(Metrics::new(&[])))
    }

    fn table(number: u64) -> Vec<Report> {
        vec![Report::Changed(Changed::Table(TableDigest(number)))]
    }

    fn at(number: u64) -> Published {
        (0, Position { epoch: 1, number })
    }

    #[tokio::test]
    async fn what_is_queued_while_a_batch_is_in_flight_goes_into_the_next() {
        let (outbox, now) = (outbox(), Instant::now());
        let mut first = outbox.queue(table(1), now);
        assert_eq!(entry::read(&outbox.next().await).unwrap(), table(1));
        let mut second = outbox.queue(table(2), now);
        outbox.queue(table(3), now);
        assert_eq!(
            entry::read(&outbox.next().await).unwrap(),
            table(1),
            "it is sent again until it has ended"
        );
        outbox.published(at(1));
        assert_eq!((first.try_recv().ok(), second.try_recv().ok()), (Some(at(1)), None));
        assert_eq!(entry::read(&outbox.next().await).unwrap(), [table(2), table(3)].concat());
        outbox.published(at(2));
        assert_eq!((second.try_recv().ok(), outbox.len()), (Some(at(2)), 0));
    }

    #[tokio::test]
    async fn a_node_that_has_joined_takes_everything_along_and_gives_it_back_if_it_fails() {
        let (outbox, now) = (outbox(), Instant::now());
        let mut first = outbox.queue(table(1), now);
        outbox.next().await;
        let mut second = outbox.queue(table(2), now);
        let batch = outbox.take_everything();
        assert_eq!(entry::read(batch.bytes()).unwrap(), [table(1), table(2)].concat());
        outbox.give_back(batch);
        let batch = outbox.take_everything();
        outbox.everything_published(batch, at(7));
        assert_eq!((first.try_recv().ok(), second.try_recv().ok()), (None, Some(at(7))));
        assert_eq!(outbox.len(), 1, "the batch in flight has its own end");
        outbox.published(at(8));
        assert_eq!(first.try_recv().ok(), Some(at(8)));
        assert!(outbox.take_everything().bytes().is_empty());
    }

    #[tokio::test]
    async fn ten_minutes_without_the_bus_become_one_report() {
        let (outbox, now) = (outbox(), Instant::now());
        let mut first = outbox.queue(table(0), now);
        for number in 1..1_200_000 {
            outbox.queue(table(number), now);
        }
        assert!(outbox.len() <= REPORTS_MAX);
        let reports = entry::read(&outbox.next().await).unwrap();
        assert_eq!(reports[0], Report::Changed(Changed::Everything));
        outbox.published(at(1));
        assert_eq!(first.try_recv().ok(), Some(at(1)));
    }

    #[tokio::test]
    async fn a_change_too_large_for_any_entry_is_reported_as_everything() {
        let (outbox, now) = (outbox(), Instant::now());
        let mut receipt = outbox.queue((0..9_000).flat_map(table).collect(), now);
        assert_eq!(entry::read(&outbox.next().await).unwrap(), [Report::Changed(Changed::Everything)]);
        outbox.published(at(1));
        assert_eq!((receipt.try_recv().ok(), outbox.len()), (Some(at(1)), 0));
    }
}
