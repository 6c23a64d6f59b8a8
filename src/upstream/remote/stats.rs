//! What the remote upstream counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a request that was to be sent ended. One that is retried ends more than once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Answered, with an error of the caller's perhaps.
    Answered,
    /// Answered, but the upstream wants fewer requests.
    Throttled,
    /// Answered with a failure of the upstream's own.
    Failed,
    /// No byte left: no connection, no credentials.
    NotSent,
    /// The connection broke, or the answer cannot be read.
    Unknown,
    /// No answer in time.
    TimedOut,
    /// The circuit breaker was open.
    Refused,
}

impl Outcome {
    /// All of them, in order.
    pub const ALL: [Self; 7] = [
        Self::Answered,
        Self::Throttled,
        Self::Failed,
        Self::NotSent,
        Self::Unknown,
        Self::TimedOut,
        Self::Refused,
    ];

    /// The value of its label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Throttled => "throttled",
            Self::Failed => "failed",
            Self::NotSent => "not_sent",
            Self::Unknown => "unknown",
            Self::TimedOut => "timed_out",
            Self::Refused => "breaker_open",
        }
    }
}

/// What came of asking for the credentials of a principal's role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleOutcome {
    /// There are new ones.
    Assumed,
    /// The node may not assume the role.
    Denied,
    /// STS could not be asked, or failed.
    Unavailable,
}

impl RoleOutcome {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Assumed, Self::Denied, Self::Unavailable];

    /// The value of its label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Assumed => "assumed",
            Self::Denied => "denied",
            Self::Unavailable => "unavailable",
        }
    }
}

/// The counts of all roles together.
#[derive(Debug, Default)]
pub(super) struct RoleCounts([Count; RoleOutcome::ALL.len()]);

impl RoleCounts {
    #[cfg(feature = "aws-credentials")]
    pub(super) fn ended(&self, outcome: RoleOutcome) {
        self.0[outcome as usize].add_one();
    }

    pub(super) fn get(&self) -> [u64; RoleOutcome::ALL.len()] {
        RoleOutcome::ALL.map(|outcome| self.0[outcome as usize].get())
    }
}

/// A count that only grows.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

impl Count {
    pub(super) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts, as they grow.
#[derive(Debug, Default)]
pub(super) struct Counts {
    outcomes: [Count; Outcome::ALL.len()],
    pub(super) retries: Count,
    pub(super) retries_denied: Count,
    pub(super) resigned: Count,
    pub(super) queue_waits: Count,
    pub(super) queue_refusals: Count,
}

impl Counts {
    pub(super) fn ended(&self, outcome: Outcome) {
        self.outcomes[outcome as usize].add_one();
    }
}

/// The figures of a remote upstream at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteStats {
    /// Requests by how they ended, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; Outcome::ALL.len()],
    /// Reads sent once more.
    pub retries: u64,
    /// Reads that were not, because the budget was used up.
    pub retries_denied: u64,
    /// Connections that were set up.
    pub connections_opened: u64,
    /// Requests signed again because the clock was wrong.
    pub resigned: u64,
    /// Requests that waited for their turn.
    pub queue_waits: u64,
    /// Requests whose turn did not come in time.
    pub queue_refusals: u64,
    /// Requests in flight now.
    pub in_flight: u64,
    /// Requests that wait for their turn now.
    pub waiting: u64,
    /// Reads that may be under way now.
    pub reads_limit: u64,
    /// Other requests that may be under way now.
    pub writes_limit: u64,
    /// Endpoints whose circuit breaker is open now.
    pub open_breakers: u64,
    /// How often roles were to be assumed, in the order of [`RoleOutcome::ALL`].
    pub roles: [u64; RoleOutcome::ALL.len()],
}

/// The figures that others know; each is described at [`RemoteStats`].
pub(super) struct Gauges {
    pub(super) in_flight: u64,
    pub(super) waiting: u64,
    pub(super) reads_limit: u64,
    pub(super) writes_limit: u64,
    pub(super) connections_opened: u64,
    pub(super) open_breakers: u64,
    pub(super) roles: [u64; RoleOutcome::ALL.len()],
}

impl Counts {
    /// The figures now.
    pub(super) fn snapshot(&self, gauges: Gauges) -> RemoteStats {
        let Gauges {
            in_flight,
            waiting,
            reads_limit,
            writes_limit,
            connections_opened,
            open_breakers,
            roles,
        } = gauges;
        RemoteStats {
            outcomes: Outcome::ALL.map(|outcome| self.outcomes[outcome as usize].get()),
            retries: self.retries.get(),
            retries_denied: self.retries_denied.get(),
            resigned: self.resigned.get(),
            queue_waits: self.queue_waits.get(),
            queue_refusals: self.queue_refusals.get(),
            in_flight,
            waiting,
            reads_limit,
            writes_limit,
            connections_opened,
            open_breakers,
            roles,
        }
    }
}
