//! Every key that a config file may have, and the nearest known one to any other.

/// Every section and its keys.
pub const KEYS: &[(&str, &[&str])] = &[
    (
        "server",
        &[
            "listen",
            "hosts",
            "cors_origins",
            "max_connections",
            "request_bytes_max",
            "bodies_bytes_max",
            "idle_timeout",
            "drain_timeout",
        ],
    ),
    ("server.tls", &["cert", "key"]),
    ("admin", &["listen", "token_file"]),
    ("auth", &["mode"]),
    ("auth.keys", &["access_key_id", "secret_file", "tables", "actions", "leading_keys"]),
    (
        "upstream",
        &[
            "kind",
            "endpoint",
            "region",
            "connect_timeout",
            "read_timeout",
            "write_timeout",
            "concurrency_max",
            "dual_stack",
            "fips",
        ],
    ),
    (
        "local",
        &[
            "data_dir",
            "in_memory",
            "share",
            "durability",
            "ttl_sweep",
            "status_delay",
            "stream_shards",
            "stream_shard_records_max",
        ],
    ),
    (
        "cache",
        &[
            "max_bytes",
            "query_share",
            "item_ttl",
            "query_ttl",
            "negative_ttl",
            "fill",
            "gsi_quarantine",
            "item_bytes_max",
            "scan_pages",
            "images",
            "fill_items_from_pages",
            "stale_if_error",
        ],
    ),
    (
        "tables.",
        &[
            "item_ttl",
            "query_ttl",
            "negative_ttl",
            "fill",
            "gsi_quarantine",
            "item_bytes_max",
            "scan_pages",
            "images",
            "fill_items_from_pages",
            "stale_if_error",
            "indexes",
        ],
    ),
    ("indexes.", &["query_ttl", "gsi_quarantine"]),
    ("log", &["level", "format"]),
];

/// The tables of a file's first level.
pub(super) const SECTIONS: &[&str] =
    &["server", "admin", "auth", "upstream", "local", "cache", "tables", "log"];

/// The words for a name that is not known.
pub(super) fn unknown(kind: &str, name: &str, known: &[&str]) -> String {
    let nearest = known.iter().min_by_key(|candidate| distance(name, candidate)).copied().unwrap_or_default();
    format!("unknown {kind} {name:?}; the nearest known one is {nearest:?}")
}

/// How many characters must change to turn one word into another.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
