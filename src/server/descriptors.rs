//! How many connections a process can have: every one takes a file descriptor, and clients must not get the last of them.

/// Descriptors for the store, the listeners, and connections to the upstream, beside a fifth of all.
const RESERVED: usize = 64;

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
}
