//! How many connections a process can have: every one takes a file descriptor, and clients must not get the last of them.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::admin;

/// Descriptors for the store, the listeners, and connections to the upstream, beside a fifth of all.
const RESERVED: usize = 64;

/// Descriptors for the listeners, the runtime and the connections of monitors.
const LISTENERS: usize = 16 + admin::CONNECTIONS_MAX;

/// Descriptors of a store: its lock, its data, and its data once more for late syncs.
const STORE: usize = 3;

/// What the process asks for where it may have so many: enough for all clients and upstream connections by default. The second
/// is for systems that grant no more, whatever they say.
const WANTED: [u64; 2] = [65_536, 10_240];

/// Raises the soft limit of open files towards the hard one. The soft one is often 1,024, for programs that use `select`.
pub(super) fn raise() {
    let now = getrlimit(Resource::Nofile);
    let wanted = WANTED.map(|wanted| now.maximum.map_or(wanted, |maximum| wanted.min(maximum)));
    for wanted in wanted {
        let is_more = now.current.is_some_and(|current| current < wanted);
        let limit = Rlimit { current: Some(wanted), maximum: now.maximum };
        // A process that may not have more goes on with what it has.
        if !is_more || setrlimit(Resource::Nofile, limit).is_ok() {
            return;
        }
    }
}

/// The connections that clients may have: as configured, or fewer where the process may not open so many files.
pub(super) fn connections_max(configured: usize) -> usize {
    let Some(descriptors) = descriptors_max() else { return configured };
    let possible = for_clients(descriptors);
    if possible < configured {
        tracing::warn!(
            max_connections = configured,
            possible,
            descriptors,
            "Clients may have fewer connections than configured, because the process may open few files (ulimit -n)."
        );
    }
    configured.min(possible)
}

/// The reads, and as many writes, that may be in flight to a remote upstream: as configured, or fewer where clients leave too
/// few descriptors. Others wait.
pub(super) fn concurrency_max(configured: usize) -> usize {
    let Some(descriptors) = descriptors_max() else { return configured };
    let possible = for_each_lane(descriptors);
    if possible < configured {
        tracing::warn!(
            concurrency_max = configured,
            possible,
            descriptors,
            "Fewer requests than configured may be in flight to the upstream, because the process may open few files (ulimit -n)."
        );
    }
    configured.min(possible)
}

/// The stores that may be open at a time: as many as wanted, or fewer where what clients leave does not suffice.
pub(super) fn stores_max(wanted: usize) -> usize {
    descriptors_max().map_or(wanted, |descriptors| for_stores(descriptors).clamp(1, wanted))
}

/// The limit in force; `None` where there is none.
fn descriptors_max() -> Option<usize> {
    getrlimit(Resource::Nofile).current.map(|descriptors| usize::try_from(descriptors).unwrap_or(usize::MAX))
}

/// How many stores fit beside all the clients and the listeners.
fn for_stores(descriptors: usize) -> usize {
    left_by_clients(descriptors) / STORE
}

/// How many connections to a remote upstream fit beside them for reads, and as many for writes.
fn for_each_lane(descriptors: usize) -> usize {
    (left_by_clients(descriptors) / 2).max(1)
}

fn left_by_clients(descriptors: usize) -> usize {
    descriptors.saturating_sub(for_clients(descriptors) + LISTENERS)
}

/// What clients may have of all descriptors.
fn for_clients(descriptors: usize) -> usize {
    (descriptors / 5 * 4).saturating_sub(RESERVED).max(descriptors / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_descriptors_for_everything_else() {
        assert_eq!([64, 256, 1024, 20_000].map(for_clients), [32, 140, 752, 15_936]);
    }

    #[test]
    fn stores_take_what_clients_leave() {
        assert_eq!([16, 64, 256, 1024, 20_000].map(for_stores), [0, 0, 28, 80, 1344]);
    }

    #[test]
    fn so_do_connections_to_a_remote_upstream() {
        assert_eq!([16, 64, 256, 1024, 20_000].map(for_each_lane), [1, 1, 42, 120, 2016]);
    }
}
