//! The requests that wait for a turn, and their order.
//!
//! A table that has its share of the lane stands behind the others, and within either group retries stand behind first
//! attempts. Among equals the oldest goes first, so that a burst is served in order. The newest goes first when the oldest
//! has waited for half of the time that it may wait, or when a client has just stopped waiting: then not all can be served in
//! time, and the newest is the most likely to have a client that still listens.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::call::Attempt;

/// After a client has stopped waiting, the newest request goes first for this long.
const IMPATIENT_FOR: Duration = Duration::from_secs(1);

/// A table's name, hashed: two that share a hash only share their part of the lane.
pub(super) type Table = u64;

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// The one table that it reads; `None` where it reads several, or fairness does not apply.
    pub(super) table: Option<Table>,
    pub(super) attempt: Attempt,
    /// The memory that it takes while it waits.
    pub(super) bytes: usize,
}

/// The requests that wait.
pub(super) struct Queue {
    /// By table and attempt, each from the oldest to the newest; no entry is empty.
    classes: HashMap<(Option<Table>, Attempt), VecDeque<Waiter>>,
    count: usize,
    bytes: usize,
    next_ticket: u64,
    wait_max: Duration,
    impatient_until: Option<Instant>,
}

struct Waiter {
    ticket: u64,
    since: Instant,
    bytes: usize,
    /// Sends when the turn has come; dropped when it never will.
    call: oneshot::Sender<()>,
}

/// Which of two equal requests goes first.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    OldestFirst,
    NewestFirst,
}

/// The place of a request in the order; the lowest goes first.
type Place = (bool, Attempt, u64);

impl Queue {
    /// An empty queue, in which a request waits no longer than `wait_max`.
    pub(super) fn new(wait_max: Duration) -> Self {
        Self { classes: HashMap::new(), count: 0, bytes: 0, next_ticket: 0, wait_max, impatient_until: None }
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The memory that those who wait take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a request.
    pub(super) fn push(&mut self, caller: Caller, now: Instant) -> (u64, oneshot::Receiver<()>) {
        let (call, called) = oneshot::channel();
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.count += 1;
        self.bytes += caller.bytes;
        let waiter = Waiter { ticket, since: now, bytes: caller.bytes, call };
        self.classes.entry((caller.table, caller.attempt)).or_default().push_back(waiter);
        (ticket, called)
    }

    /// Removes a request whose client has stopped waiting or whose time has passed; false if it was not there any more.
    pub(super) fn remove(&mut self, caller: Caller, ticket: u64) -> bool {
        let class = (caller.table, caller.attempt);
        let position = self
            .classes
            .get(&class)
            .and_then(|waiters| waiters.binary_search_by_key(&ticket, |waiter| waiter.ticket).ok());
        position.is_some_and(|position| self.take(class, position).is_some())
    }

    /// Notes that a client has stopped waiting before its time had passed.
    pub(super) fn note_impatience(&mut self, now: Instant) {
        self.impatient_until = Some(now + IMPATIENT_FOR);
    }

    /// Removes the request that goes first, and gives its table and its call.
    pub(super) fn pop_first(
        &mut self,
        now: Instant,
        has_its_share: impl Fn(Option<Table>) -> bool,
    ) -> Option<(Option<Table>, oneshot::Sender<()>)> {
        let order = self.order(now);
        let places = self.classes.iter().filter_map(|(class, waiters)| {
            let position = if order == Order::OldestFirst { 0 } else { waiters.len() - 1 };
            let waiter = waiters.get(position)?;
            Some((place(*class, waiter, order, &has_its_share), *class, position))
        });
        let (_, class, position) = places.min_by_key(|(place, ..)| *place)?;
        self.take(class, position).map(|waiter| (class.0, waiter.call))
    }

    /// Removes the request that would go last.
    pub(super) fn drop_last(&mut self, now: Instant, has_its_share: impl Fn(Option<Table>) -> bool) {
        let order = self.order(now);
        let places = self.classes.iter().filter_map(|(class, waiters)| {
            let position = if order == Order::OldestFirst { waiters.len() - 1 } else { 0 };
            let waiter = waiters.get(position)?;
            Some((place(*class, waiter, order, &has_its_share), *class, position))
        });
        if let Some((_, class, position)) = places.max_by_key(|(place, ..)| *place) {
            self.take(class, position);
        }
    }

    fn take(&mut self, class: (Option<Table>, Attempt), position: usize) -> Option<Waiter> {
        let waiters = self.classes.get_mut(&class)?;
        let waiter = waiters.remove(position)?;
        if waiters.is_empty() {
            self.classes.remove(&class);
        }
        self.count -= 1;
        self.bytes -= waiter.bytes;
        Some(waiter)
    }

    fn order(&self, now: Instant) -> Order {
        let is_impatient = self.impatient_until.is_some_and(|until| now < until);
        let oldest =
            self.classes.values().filter_map(|waiters| waiters.front()).map(|first| first.since).min();
        match oldest {
            Some(oldest) if now.duration_since(oldest) >= self.wait_max / 2 => Order::NewestFirst,
            Some(_) if is_impatient => Order::NewestFirst,
            _ => Order::OldestFirst,
        }
    }
}

fn place(
    (table, attempt): (Option<Table>, Attempt),
    waiter: &Waiter,
    order: Order,
    has_its_share: &impl Fn(Option<Table>) -> bool,
) -> Place {
    let age = if order == Order::OldestFirst { waiter.ticket } else { u64::MAX - waiter.ticket };
    (has_its_share(table), attempt, age)
}
