//! The gate before an upstream: how many requests are under way at one time, and who waits for how long.
//!
//! Reads and everything else have a lane of their own, so that a herd of fills never keeps a write waiting. Those who wait are
//! few, are served from the last, and wait for a moment only: under overload the last client is the one that still listens.
//! Those who say that they have tried before stand behind the others.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::{Attempt, Request};
use super::limit::{Ended, Limit};
use super::stats::Counts;
use crate::model::Operation;
use crate::wire::Json;

/// A request that has waited for this long is turned away: its client does better by trying again.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// The gate before an upstream.
pub(super) struct Gate {
    reads: Lane,
    writes: Lane,
    hashing: RandomState,
}

impl Gate {
    /// A gate for at most that many reads, and as many other requests, at one time.
    pub(super) fn new(concurrency_max: usize) -> Self {
        let lane = || Lane::new(Limit::new(concurrency_max));
        Self { reads: lane(), writes: lane(), hashing: RandomState::new() }
    }

    /// Waits for a turn; `None` when it does not come in time, or too many wait for theirs.
    pub(super) async fn enter(&self, request: &Request, counts: &Counts) -> Option<Turn<'_>> {
        let operation = request.operation;
        let (lane, table) = match operation.only_reads() {
            true => (&self.reads, self.table(&request.body)),
            false => (&self.writes, None),
        };
        lane.enter(operation, Caller { table, attempt: request.attempt }, counts).await
    }

    /// How many reads and how many others may be under way at one time, as it has been learnt.
    pub(super) fn limits(&self) -> (usize, usize) {
        (self.reads.state().limit.value(), self.writes.state().limit.value())
    }

    /// How many are under way.
    pub(super) fn in_flight(&self) -> usize {
        self.reads.state().in_flight + self.writes.state().in_flight
    }

    /// The one table that a read is of; a batch over several is nobody's in particular.
    fn table(&self, body: &[u8]) -> Option<Table> {
        let body = Json::parse(body).ok()?;
        let spelling = match body.get("TableName") {
            Some(name) => name.text()?,
            None => match body.get("RequestItems")?.members()? {
                [only] => &only.0,
                _ => return None,
            },
        };
        Some(self.hashing.hash_one(spelling.rsplit('/').next()))
    }
}

/// A table's name, hashed: two that share a hash only share their part of the lane.
type Table = u64;

/// Whose turn it is to be.
#[derive(Clone, Copy)]
struct Caller {
    table: Option<Table>,
    attempt: Attempt,
}

/// Requests of one kind.
struct Lane {
    state: Mutex<State>,
}

struct State {
    limit: Limit,
    in_flight: usize,
    /// Of those under way, how many are of each table.
    of_table: HashMap<Table, usize>,
    /// From the first to the last; nobody waits while the limit has room.
    waiting: Vec<Waiter>,
    next_ticket: u64,
}

struct Waiter {
    ticket: u64,
    caller: Caller,
    /// Told when the turn has come, and dropped when it never will.
    call: oneshot::Sender<()>,
}

impl Lane {
    fn new(limit: Limit) -> Self {
        let state =
            State { limit, in_flight: 0, of_table: HashMap::new(), waiting: Vec::new(), next_ticket: 0 };
        Self { state: Mutex::new(state) }
    }

    async fn enter(&self, operation: Operation, caller: Caller, counts: &Counts) -> Option<Turn<'_>> {
        let table = caller.table;
        let turn = |begun| Turn { lane: self, operation, table, begun, ended: Ended::Untold };
        let mut place = {
            let mut state = self.state();
            let wanted = state.in_flight + state.waiting.len() + 1;
            state.limit.wanted(wanted);
            if state.in_flight < state.limit.value() {
                state.admit(table);
                return Some(turn(Instant::now()));
            }
            let (ticket, called) = state.queue(caller);
            Place { lane: self, table, ticket, called, is_taken: false }
        };
        counts.queue_waits.add_one();
        place.is_taken = matches!(tokio::time::timeout(WAIT_MAX, &mut place.called).await, Ok(Ok(())));
        match place.is_taken {
            true => Some(turn(Instant::now())),
            false => {
                counts.queue_refusals.add_one();
                None
            }
        }
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

    /// Puts a request at the end of the queue; a full one loses the first, who has waited in vain for longest, of those who
    /// stand last.
    fn queue(&mut self, caller: Caller) -> (u64, oneshot::Receiver<()>) {
        let (call, called) = oneshot::channel();
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.push(Waiter { ticket, caller, call });
        if self.waiting.len() > self.limit.value() {
            let places = self.waiting.iter().enumerate();
            let loser =
                places.max_by_key(|(position, waiter)| (self.standing(waiter.caller), Reverse(*position)));
            let loser = loser.map_or(0, |(position, _)| position);
            self.waiting.remove(loser);
        }
        (ticket, called)
    }

    /// How a caller stands; lower goes first. A table that has its share stands behind the others, and within either those
    /// who come again do.
    fn standing(&self, caller: Caller) -> (bool, Attempt) {
        (self.has_its_share(caller.table), caller.attempt)
    }

    /// True for a table of which half of the limit is under way: others go first.
    fn has_its_share(&self, table: Option<Table>) -> bool {
        let under_way = table.and_then(|table| self.of_table.get(&table)).copied().unwrap_or(0);
        under_way * 2 >= self.limit.value()
    }

    fn leave(&mut self, table: Option<Table>) {
        self.in_flight -= 1;
        if let Some(table) = table
            && let Some(under_way) = self.of_table.get_mut(&table)
        {
            *under_way -= 1;
            if *under_way == 0 {
                self.of_table.remove(&table);
            }
        }
        self.call_waiting();
    }

    fn call_waiting(&mut self) {
        while self.in_flight < self.limit.value() {
            let places = self.waiting.iter().enumerate();
            let next =
                places.min_by_key(|(position, waiter)| (self.standing(waiter.caller), Reverse(*position)));
            let Some((next, _)) = next else { return };
            let waiter = self.waiting.remove(next);
            // Whoever went away has left the queue under this lock, so somebody listens.
            if waiter.call.send(()).is_ok() {
                self.admit(waiter.caller.table);
            }
        }
    }
}

/// A place in the queue, given up however the waiting ends.
struct Place<'a> {
    lane: &'a Lane,
    table: Option<Table>,
    ticket: u64,
    called: oneshot::Receiver<()>,
    /// The turn came and was taken.
    is_taken: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.is_taken {
            return;
        }
        let mut state = self.lane.state();
        match state.waiting.iter().position(|waiter| waiter.ticket == self.ticket) {
            Some(position) => {
                state.waiting.remove(position);
            }
            // Called while it went away.
            None if self.called.try_recv().is_ok() => state.leave(self.table),
            None => {}
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
    ended: Ended,
}

impl Turn<'_> {
    /// Gives the turn back and tells how the request ended.
    pub(super) fn end(mut self, ended: Ended) {
        self.ended = ended;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut state = self.lane.state();
        state.limit.ended(self.operation, self.begun, self.ended, Instant::now());
        state.leave(self.table);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::Poll;

    use super::*;

    /// Polls a future once.
    async fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        std::future::poll_fn(|context| Poll::Ready(Pin::new(&mut *future).poll(context))).await
    }

    fn get(table: &str) -> Request {
        Request::new(Operation::GetItem, format!(r#"{{"TableName":"{table}"}}"#))
    }

    fn put() -> Request {
        Request::new(Operation::PutItem, r#"{"TableName":"a"}"#)
    }

    #[tokio::test(start_paused = true)]
    async fn as_many_wait_as_are_under_way_and_none_for_long() {
        let (gate, counts, request) = (Gate::new(1), Counts::default(), get("a"));
        let turn = gate.enter(&request, &counts).await.unwrap();
        let begun = Instant::now();
        let mut first = Box::pin(gate.enter(&request, &counts));
        assert!(poll(&mut first).await.is_pending());
        // The second takes the first one's place.
        let mut second = Box::pin(gate.enter(&request, &counts));
        assert!(poll(&mut second).await.is_pending());
        assert!(matches!(poll(&mut first).await, Poll::Ready(None)));
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(second.await.is_none() && begun.elapsed() >= WAIT_MAX);
        drop(turn);
        assert!(gate.enter(&request, &counts).await.is_some());
        assert_eq!(gate.in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_to_come_is_the_first_to_go() {
        let (gate, counts, request) = (Gate::new(2), Counts::default(), get("a"));
        let mut turns = vec![gate.enter(&request, &counts).await, gate.enter(&request, &counts).await];
        let mut waiting: Vec<_> = (0..2).map(|_| Box::pin(gate.enter(&request, &counts))).collect();
        for place in &mut waiting {
            assert!(poll(place).await.is_pending());
        }
        drop(turns.pop());
        assert!(poll(&mut waiting[0]).await.is_pending());
        assert!(matches!(poll(&mut waiting[1]).await, Poll::Ready(Some(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_comes_to_someone_who_went_away_goes_to_the_next() {
        let (gate, counts, request) = (Gate::new(2), Counts::default(), get("a"));
        let mut turns = vec![gate.enter(&request, &counts).await, gate.enter(&request, &counts).await];
        let mut patient = Box::pin(gate.enter(&request, &counts));
        let mut hasty = Box::pin(gate.enter(&request, &counts));
        assert!(poll(&mut patient).await.is_pending() && poll(&mut hasty).await.is_pending());
        turns.pop();
        drop(hasty);
        assert!(matches!(poll(&mut patient).await, Poll::Ready(Some(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn writes_do_not_wait_behind_reads() {
        let (gate, counts) = (Gate::new(1), Counts::default());
        let _read = gate.enter(&get("a"), &counts).await.unwrap();
        let _write = gate.enter(&put(), &counts).await.unwrap();
        assert_eq!(gate.in_flight(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_table_has_all_of_the_lane_until_others_wait_and_then_half() {
        let (gate, counts) = (Gate::new(4), Counts::default());
        let (loud, quiet) = (get("loud"), get("arn:aws:dynamodb:us-east-1:1:table/quiet"));
        let mut turns = Vec::new();
        for _ in 0..4 {
            turns.push(gate.enter(&loud, &counts).await.unwrap());
        }
        let mut asked: Vec<_> = [&quiet, &quiet, &loud, &loud, &loud]
            .into_iter()
            .map(|request| Box::pin(gate.enter(request, &counts)))
            .collect();
        let mut verdicts = Vec::new();
        for place in &mut asked {
            verdicts.push(poll(place).await);
        }
        // One was too many, and it was not one of the quiet table.
        assert!(matches!(poll(&mut asked[2]).await, Poll::Ready(None)));
        drop(turns.pop());
        drop(turns.pop());
        for (position, goes) in [(0, true), (1, true), (3, false), (4, false)] {
            let polled = poll(&mut asked[position]).await;
            assert_eq!(polled.is_ready(), goes, "{position}");
            std::mem::forget(polled);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_come_again_are_turned_away_first_and_called_last() {
        let (gate, counts) = (Gate::new(2), Counts::default());
        let (first, again) = (get("a"), Request { attempt: Attempt::Again, ..get("a") });
        let mut turns = vec![gate.enter(&first, &counts).await, gate.enter(&first, &counts).await];
        let mut retry = Box::pin(gate.enter(&again, &counts));
        let mut early = Box::pin(gate.enter(&first, &counts));
        let mut late = Box::pin(gate.enter(&again, &counts));
        assert!(poll(&mut retry).await.is_pending() && poll(&mut early).await.is_pending());
        // The queue was full: the first of those who come again goes, though another of them came last.
        assert!(poll(&mut late).await.is_pending());
        assert!(matches!(poll(&mut retry).await, Poll::Ready(None)));
        turns.pop();
        assert!(poll(&mut late).await.is_pending());
        let Poll::Ready(Some(turn)) = poll(&mut early).await else { panic!("its turn has come") };
        let mut third = Box::pin(gate.enter(&first, &counts));
        assert!(poll(&mut third).await.is_pending());
        let mut retry = Box::pin(gate.enter(&again, &counts));
        assert!(poll(&mut retry).await.is_pending());
        assert!(matches!(poll(&mut late).await, Poll::Ready(None)));
        drop(turn);
        assert!(matches!(poll(&mut third).await, Poll::Ready(Some(_))));
    }
}
