//! How many connections a process can have: every one takes a file descriptor, and clients must not get the last of them.

/// Descriptors for the store, the listeners, and connections to the upstream, beside a fifth of all.
const RESERVED: usize = 64;

/// Descriptors for the listeners and the runtime.
const LISTENERS: usize = 16;

/// Descriptors of a store: its lock, its data, and its data once more for late syncs.
const STORE: usize = 3;

/// The connections that clients may have: as configured, or fewer where the process may not open so many files.
pub(super) fn connections_max(configured: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let Some(descriptors) = descriptors_max(&limits) else { return configured };
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

/// The stores that may be open at a time: as many as wanted, or fewer where what clients leave does not suffice.
pub(super) fn stores_max(wanted: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    descriptors_max(&limits).map_or(wanted, |descriptors| for_stores(descriptors).clamp(1, wanted))
}

/// How many stores fit beside all the clients and the listeners.
fn for_stores(descriptors: usize) -> usize {
    descriptors.saturating_sub(for_clients(descriptors) + LISTENERS) / STORE
}

/// What clients may have of all descriptors.
fn for_clients(descriptors: usize) -> usize {
    (descriptors / 5 * 4).saturating_sub(RESERVED).max(descriptors / 2)
}

/// The limit in force; `None` where there is none, or the system does not tell.
fn descriptors_max(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_leave_descriptors_for_everything_else() {
        let limits = "Limit   Soft Limit   Hard Limit   Units\nMax processes  1  2  processes\nMax open files            1024                 524288               files\n";
        assert_eq!(descriptors_max(limits), Some(1024));
        assert_eq!(descriptors_max("Max open files   unlimited   unlimited   files"), None);
        assert_eq!(descriptors_max(""), None);
        assert_eq!([64, 256, 1024, 20_000].map(for_clients), [32, 140, 752, 15_936]);
    }

    #[test]
    fn stores_take_what_clients_leave() {
        assert_eq!([16, 64, 256, 1024, 20_000].map(for_stores), [0, 5, 33, 85, 1349]);
    }
}
