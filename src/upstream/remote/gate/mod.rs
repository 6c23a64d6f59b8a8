//! The gate before an upstream: how many requests are in flight at one time, and how long the others wait.
//!
//! Reads and everything else have a lane of their own, so that a burst of fills never keeps a write waiting. The upstream
//! would have taken a burst without an error, so the gate does not reject one: a request waits for half of its timeout. What
//! waits is bounded in bytes; over the bound, the request that would go last is rejected.

mod queue;
#[cfg(test)]
mod simulation;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::limit::{Call, Ended, Limit};
use super::stats::Counts;
use crate::call::Request;
use crate::model::Operation;
use crate::model::arn::table_name;
use crate::wire::only_table;
use queue::{Caller, Queue, Table};

/// What the requests that wait in one lane may take of memory.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// What a request takes while it waits, beside its body: its future and its part of the queue.
const WAITER_BYTES: usize = 4 << 10;

/// Of a larger body only so much counts here: the front end holds all of it against `bodies_bytes_max`.
const COUNTED_BODY_BYTES_MAX: usize = 64 << 10;

/// The gate before an upstream.
pub(super) struct Gate {
    reads: Lane,
    writes: Lane,
    hashing: RandomState,
}

impl Gate {
    /// A gate for at most that many reads, and as many other requests, at one time. Each waits for at most half of its
    /// timeout.
    pub(super) fn new(concurrency_max: usize, read_timeout: Duration, write_timeout: Duration) -> Self {
        let lane = |timeout: Duration| Lane::new(Limit::new(concurrency_max), timeout / 2);
        Self { reads: lane(read_timeout), writes: lane(write_timeout), hashing: RandomState::new() }
    }

    /// Waits for a turn; `None` when it does not come in time, or too many wait for theirs.
    pub(super) async fn enter(&self, request: &Request, counts: &Counts) -> Option<Turn<'_>> {
        let operation = request.operation;
        let (lane, table) = match operation.only_reads() {
            true => (&self.reads, self.table(&request.body)),
            false => (&self.writes, None),
        };
        let bytes = WAITER_BYTES + request.body.len().min(COUNTED_BODY_BYTES_MAX);
        lane.enter(operation, Caller { table, attempt: request.attempt, bytes }, counts).await
    }

    /// How many reads and how many others may be in flight at one time, as learned.
    pub(super) fn limits(&self) -> (usize, usize) {
        (self.reads.state().limit.value(), self.writes.state().limit.value())
    }

    /// How many are in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.reads.state().in_flight + self.writes.state().in_flight
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.reads.state().queue.len() + self.writes.state().queue.len()
    }

    /// The one table that a read is of; a batch over several belongs to none in particular.
    fn table(&self, body: &[u8]) -> Option<Table> {
        let name = only_table(body)?;
        Some(self.hashing.hash_one(table_name(&name)))
    }
}

/// Requests of one kind.
struct Lane {
    state: Mutex<State>,
    wait_max: Duration,
}

struct State {
    limit: Limit,
    in_flight: usize,
    /// Of those in flight, how many are of each table.
    of_table: HashMap<Table, usize>,
    /// Empty while the limit has room.
    queue: Queue,
}

impl Lane {
    fn new(limit: Limit, wait_max: Duration) -> Self {
        let queue = Queue::new(wait_max);
        let state = State { limit, in_flight: 0, of_table: HashMap::new(), queue };
        Self { state: Mutex::new(state), wait_max }
    }

    async fn enter(&self, operation: Operation, caller: Caller, counts: &Counts) -> Option<Turn<'_>> {
        let table = caller.table;
        let turn = |begun| Turn { lane: self, operation, table, begun, end: None };
        let mut place = {
            let (mut state, now) = (self.state(), Instant::now());
            let wanted = state.in_flight + state.queue.len() + 1;
            state.limit.wanted(wanted);
            if state.in_flight < state.limit.value() {
                state.admit(table);
                return Some(turn(now));
            }
            let (ticket, called) = state.queue(caller, now);
            Place { lane: self, caller, ticket, called, stage: Stage::Waits }
        };
        counts.queue_waits.add_one();
        place.stage = match tokio::time::timeout(self.wait_max, &mut place.called).await {
            Ok(Ok(())) => Stage::HasTurn,
            Ok(Err(_)) | Err(_) => Stage::Rejected,
        };
        if place.stage == Stage::HasTurn {
            return Some(turn(Instant::now()));
        }
        counts.queue_refusals.add_one();
        None
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn admit(&mut self, table: Option<Table>) {
        self.in_flight += 1;
        if let Some(table) = table {
            *self.of_table.entry(table).or_default() += 1;
        }
    }

    /// Adds a request to the queue; a full queue loses the one that would go last.
    fn queue(&mut self, caller: Caller, now: Instant) -> (u64, oneshot::Receiver<()>) {
        let Self { limit, of_table, queue, .. } = self;
        let place = queue.push(caller, now);
        while queue.bytes() > WAITING_BYTES_MAX {
            queue.drop_last(now, |table| has_its_share(table, of_table, limit));
        }
        place
    }

    fn leave(&mut self, table: Option<Table>, now: Instant) {
        self.in_flight -= 1;
        if let Some(table) = table
            && let Some(in_flight) = self.of_table.get_mut(&table)
        {
            *in_flight -= 1;
            if *in_flight == 0 {
                self.of_table.remove(&table);
            }
        }
        self.call_waiting(now);
    }

    fn call_waiting(&mut self, now: Instant) {
        while self.in_flight < self.limit.value() && self.queue.len() > 0 {
            let Self { limit, of_table, queue, .. } = self;
            let Some((table, call)) = queue.pop_first(now, |table| has_its_share(table, of_table, limit))
            else {
                return;
            };
            // Whoever stopped waiting has left the queue under this lock, so somebody listens.
            if call.send(()).is_ok() {
                self.admit(table);
            }
        }
    }
}

/// True for a table that has half of the limit in flight: others go first.
fn has_its_share(table: Option<Table>, of_table: &HashMap<Table, usize>, limit: &Limit) -> bool {
    let in_flight = table.and_then(|table| of_table.get(&table)).copied().unwrap_or(0);
    in_flight * 2 >= limit.value()
}

/// A place in the queue, given up however the waiting ends.
struct Place<'a> {
    lane: &'a Lane,
    caller: Caller,
    ticket: u64,
    called: oneshot::Receiver<()>,
    stage: Stage,
}

/// How far a request in the queue has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waits,
    HasTurn,
    Rejected,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.stage == Stage::HasTurn {
            return;
        }
        let (mut state, now) = (self.lane.state(), Instant::now());
        let was_queued = state.queue.remove(self.caller, self.ticket);
        if was_queued && self.stage == Stage::Waits {
            state.queue.note_impatience(now);
        }
        // Called while it went away.
        if !was_queued && self.called.try_recv().is_ok() {
            state.leave(self.caller.table, now);
        }
    }
}

/// Leave to send a request, given back when dropped.
#[must_use]
pub(super) struct Turn<'a> {
    lane: &'a Lane,
    operation: Operation,
    table: Option<Table>,
    begun: Instant,
    end: Option<(Ended, Duration)>,
}

impl Turn<'_> {
    /// Gives the turn back and reports how the request ended, and how long the upstream took for it.
    pub(super) fn end(mut self, ended: Ended, took: Duration) {
        self.end = Some((ended, took));
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let (mut state, now) = (self.lane.state(), Instant::now());
        let (ended, took) = self.end.unwrap_or((Ended::Abandoned, now.duration_since(self.begun)));
        state.limit.ended(self.operation, Call { begun: self.begun, took, ended }, now);
        state.leave(self.table, now);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::Poll;

    use super::*;
    use crate::call::Attempt;

    const WAIT_MAX: Duration = Duration::from_secs(2);

    /// Polls a future once.
    async fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        // Without a budget, which a loop over thousands of futures would use up.
        let mut future = tokio::task::unconstrained(future);
        std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut future).poll(context))).await
    }

    fn gate(concurrency_max: usize) -> Gate {
        Gate::new(concurrency_max, 2 * WAIT_MAX, 2 * WAIT_MAX)
    }

    fn get(table: &str) -> Request {
        Request::new(Operation::GetItem, format!(r#"{{"TableName":"{table}"}}"#))
    }

    fn put() -> Request {
        Request::new(Operation::PutItem, r#"{"TableName":"a"}"#)
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_waits_for_half_of_its_timeout_and_then_leaves_no_trace() {
        let (gate, counts, request) = (gate(1), Counts::default(), get("a"));
        let turn = gate.enter(&request, &counts).await.unwrap();
        let begun = Instant::now();
        assert!(gate.enter(&request, &counts).await.is_none());
        assert_eq!(begun.elapsed().as_millis(), WAIT_MAX.as_millis());
        assert_eq!(gate.waiting(), 0);
        drop(turn);
        assert!(gate.enter(&request, &counts).await.is_some());
        assert_eq!(gate.in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn thousands_wait_and_are_served_in_order() {
        let (gate, counts, request) = (gate(1), Counts::default(), get("a"));
        let mut turn = gate.enter(&request, &counts).await;
        let mut waiting: Vec<_> = (0..5000).map(|_| Box::pin(gate.enter(&request, &counts))).collect();
        for place in &mut waiting {
            assert!(poll(place).await.is_pending());
        }
        for place in &mut waiting {
            drop(turn);
            let Poll::Ready(Some(next)) = poll(place).await else { panic!("its turn has come") };
            turn = Some(next);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_bounded_in_bytes_and_the_last_is_rejected() {
        let (gate, counts) = (gate(1), Counts::default());
        let table = format!(r#"{{"TableName":"a","x":"{}"}}"#, "y".repeat(1 << 20));
        let large = Request::new(Operation::GetItem, table);
        let _turn = gate.enter(&large, &counts).await.unwrap();
        let fit = WAITING_BYTES_MAX / (WAITER_BYTES + COUNTED_BODY_BYTES_MAX);
        let mut waiting: Vec<_> = (0..=fit).map(|_| Box::pin(gate.enter(&large, &counts))).collect();
        for place in &mut waiting[..fit] {
            assert!(poll(place).await.is_pending());
        }
        assert!(matches!(poll(&mut waiting[fit]).await, Poll::Ready(None)));
        assert_eq!(gate.waiting(), fit);
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_goes_first_when_the_oldest_has_waited_for_long() {
        let (gate, counts, request) = (gate(1), Counts::default(), get("a"));
        let turn = gate.enter(&request, &counts).await;
        let mut old = Box::pin(gate.enter(&request, &counts));
        assert!(poll(&mut old).await.is_pending());
        tokio::time::advance(WAIT_MAX / 2).await;
        let mut new = Box::pin(gate.enter(&request, &counts));
        assert!(poll(&mut new).await.is_pending());
        drop(turn);
        assert!(poll(&mut old).await.is_pending());
        assert!(matches!(poll(&mut new).await, Poll::Ready(Some(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn the_newest_goes_first_while_clients_stop_waiting() {
        let (gate, counts, request) = (gate(1), Counts::default(), get("a"));
        let turn = gate.enter(&request, &counts).await;
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(gate.enter(&request, &counts))).collect();
        for place in &mut waiting {
            assert!(poll(place).await.is_pending());
        }
        drop(waiting.remove(0));
        drop(turn);
        assert!(poll(&mut waiting[0]).await.is_pending());
        assert!(matches!(poll(&mut waiting[1]).await, Poll::Ready(Some(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_comes_to_someone_who_went_away_goes_to_the_next() {
        let (gate, counts, request) = (gate(2), Counts::default(), get("a"));
        let mut turns = vec![gate.enter(&request, &counts).await, gate.enter(&request, &counts).await];
        let mut hasty = Box::pin(gate.enter(&request, &counts));
        let mut patient = Box::pin(gate.enter(&request, &counts));
        assert!(poll(&mut hasty).await.is_pending() && poll(&mut patient).await.is_pending());
        turns.pop();
        drop(hasty);
        assert!(matches!(poll(&mut patient).await, Poll::Ready(Some(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn writes_do_not_wait_behind_reads() {
        let (gate, counts) = (gate(1), Counts::default());
        let _read = gate.enter(&get("a"), &counts).await.unwrap();
        let _write = gate.enter(&put(), &counts).await.unwrap();
        assert_eq!(gate.in_flight(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_table_has_all_of_the_lane_until_others_wait_and_then_half() {
        let (gate, counts) = (gate(4), Counts::default());
        let (loud, quiet) = (get("loud"), get("arn:aws:dynamodb:us-east-1:1:table/quiet"));
        let mut turns = Vec::new();
        for _ in 0..4 {
            turns.push(gate.enter(&loud, &counts).await.unwrap());
        }
        let mut asked: Vec<_> = [&loud, &loud, &quiet, &quiet]
            .into_iter()
            .map(|request| Box::pin(gate.enter(request, &counts)))
            .collect();
        for place in &mut asked {
            assert!(poll(place).await.is_pending());
        }
        drop(turns.pop());
        drop(turns.pop());
        for (position, goes) in [(0, false), (1, false), (2, true), (3, true)] {
            let polled = poll(&mut asked[position]).await;
            assert_eq!(polled.is_ready(), goes, "{position}");
            std::mem::forget(polled);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn retries_are_called_last() {
        let (gate, counts) = (gate(1), Counts::default());
        let (first, again) = (get("a"), Request { attempt: Attempt::Again, ..get("a") });
        let turn = gate.enter(&first, &counts).await;
        let mut retry = Box::pin(gate.enter(&again, &counts));
        let mut early = Box::pin(gate.enter(&first, &counts));
        assert!(poll(&mut retry).await.is_pending() && poll(&mut early).await.is_pending());
        drop(turn);
        assert!(poll(&mut retry).await.is_pending());
        let Poll::Ready(Some(turn)) = poll(&mut early).await else { panic!("its turn has come") };
        drop(turn);
        assert!(matches!(poll(&mut retry).await, Poll::Ready(Some(_))));
    }
}
