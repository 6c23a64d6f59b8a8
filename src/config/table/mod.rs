//! Every key of the configuration, defined once. To add one: a field in [`Fixed`] or [`Live`](super::Live) with its
//! default, a line here, and a line in `config/nearside.toml`. Its environment variable, its place in the printed config, and what a
//! reload does with it follow from here.

mod auth;
mod dax;
mod prices;
mod tls;

use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use super::draft::KindName;
use super::fixed::{Durability, Fixed, LocalStore, LogFormat, UpstreamKind};
use super::fleet::{Ack, CutOff, Fleet, WhenStale, name, node_as_written};
use super::key::{Access, Key, Section};
use super::live::{Fill, Images, Mode, ScanPages};
use super::units::{ByteSize, TimeToLive};
use auth::{AUTH, AUTH_KEYS, AUTH_PRINCIPALS};
use dax::DAX;
use prices::PRICES;
use tls::TLS;

/// A shorter idle timeout would cut off clients in the middle of their work.
const IDLE_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// The most shards of a stream that are open at a time.
const STREAM_SHARDS_MAX: usize = 16;

/// Within these a lease is longer than a heartbeat takes, and shorter than anybody's patience.
const LEASE: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(10)];

/// The most reads a second that compare. More would be a load of their own.
const VERIFY_RATE_MAX: usize = 10_000;

/// How many entries of its log a bus may keep.
const REPLAY: [usize; 2] = [100, 1_000_000];

const ACK: &[(&str, Ack)] = &[("receipt", Ack::Receipt), ("all", Ack::All)];
const WHEN_STALE: &[(&str, WhenStale)] = &[("young", WhenStale::Young), ("bypass", WhenStale::Bypass)];
const CUT_OFF: &[(&str, CutOff)] =
    &[("degrade", CutOff::Degrade), ("refuse", CutOff::Refuse), ("accept", CutOff::Accept)];
const MODE: &[(&str, Mode)] = &[("on", Mode::On), ("shadow", Mode::Shadow), ("off", Mode::Off)];
const FILL: &[(&str, Fill)] =
    &[("adaptive", Fill::Adaptive), ("strong", Fill::Strong), ("eventual", Fill::Eventual)];
const SCAN_PAGES: &[(&str, ScanPages)] =
    &[("second", ScanPages::Second), ("first", ScanPages::First), ("never", ScanPages::Never)];
const IMAGES: &[(&str, Images)] = &[("ask", Images::Ask), ("never", Images::Never)];
const DURABILITY: &[(&str, Durability)] = &[("fsync", Durability::Fsync), ("process", Durability::Process)];
const LOG_FORMAT: &[(&str, LogFormat)] = &[("text", LogFormat::Text), ("json", LogFormat::Json)];
const LOG_LEVEL: &[(&str, &str)] = &[
    ("error", "error"),
    ("warn", "warn"),
    ("info", "info"),
    ("debug", "debug"),
    ("trace", "trace"),
    ("off", "off"),
];
const KIND: &[(&str, KindName)] =
    &[("local", KindName::Local), ("aws", KindName::Aws), ("endpoint", KindName::Endpoint)];

/// Every section in the order of the file; the one without a name has no place in it. The shorthand of a key stands before the key,
/// whose own variable beats it.
pub const SECTIONS: &[Section] = &[
    Section::once("server", SERVER),
    Section::once("server.tls", TLS),
    Section::once("dax", DAX),
    Section::once("admin", ADMIN),
    Section::once("auth", AUTH),
    Section::list("auth.keys", AUTH_KEYS),
    Section::list("auth.principals", AUTH_PRINCIPALS),
    Section::once("", COMMAND_LINE),
    Section::once("upstream", UPSTREAM),
    Section::once("local", LOCAL),
    Section::once("fleet", FLEET),
    Section::once("cache", CACHE),
    Section::once("prices", PRICES),
    Section::once("log", LOG),
    Section::once("tracing", TRACING),
];

const SERVER: &[Key] = &[
    Key::fixed(
        "listen",
        |draft, given| put(&mut draft.fixed.listen, given.parsed()),
        |fixed| quoted(&fixed.listen),
    )
    .with_flag("listen", "ADDRESS", "Where DynamoDB clients connect"),
    Key::fixed(
        "hosts",
        |draft, given| put(&mut draft.fixed.hosts, given.list("\"host.docker.internal\"")),
        |fixed| list(&fixed.hosts),
    ),
    Key::fixed(
        "cors_origins",
        |draft, given| put(&mut draft.fixed.cors_origins, given.list("\"https://app.example.com\"")),
        |fixed| list(&fixed.cors_origins),
    ),
    Key::fixed(
        "max_connections",
        |draft, given| put(&mut draft.fixed.max_connections, given.count()),
        |fixed| bare(fixed.max_connections),
    ),
    Key::fixed(
        "request_bytes_max",
        |draft, given| put(&mut draft.fixed.request_bytes_max, given.at_least(ByteSize(1 << 10))),
        |fixed| quoted(fixed.request_bytes_max),
    ),
    Key::fixed(
        "bodies_bytes_max",
        |draft, given| put(&mut draft.fixed.bodies_bytes_max, given.at_least(ByteSize(1 << 10))),
        |fixed| quoted(fixed.bodies_bytes_max),
    ),
    Key::fixed(
        "idle_timeout",
        |draft, given| put(&mut draft.fixed.idle_timeout, given.lasting(IDLE_TIMEOUT_MIN)),
        |fixed| duration(fixed.idle_timeout),
    ),
    Key::fixed(
        "drain_timeout",
        |draft, given| put(&mut draft.fixed.drain_timeout, given.duration()),
        |fixed| duration(fixed.drain_timeout),
    ),
];

const ADMIN: &[Key] = &[
    Key::fixed(
        "listen",
        |draft, given| put(&mut draft.fixed.admin_listen, given.parsed()),
        |fixed| quoted(&fixed.admin_listen),
    )
    .with_flag("admin-listen", "ADDRESS", "Where monitors connect"),
    Key::live(
        "token_file",
        |live, given| put(&mut live.admin_token_file, given.path().map(Some)),
        |live| live.admin_token_file.as_deref().and_then(path),
    ),
];

const UPSTREAM: &[Key] = &[
    Key::fixed(
        "kind",
        |draft, given| put(&mut draft.kind, given.choice(KIND).map(Some)),
        |fixed| match fixed.upstream {
            UpstreamKind::Local => quoted("local"),
            UpstreamKind::Aws => quoted("aws"),
            UpstreamKind::Endpoint(_) => quoted("endpoint"),
        },
    ),
    Key::fixed(
        "endpoint",
        |draft, given| put(&mut draft.endpoint, given.parsed().map(Some)),
        |fixed| match &fixed.upstream {
            UpstreamKind::Local | UpstreamKind::Aws => None,
            UpstreamKind::Endpoint(endpoint) => quoted(endpoint),
        },
    ),
    Key::fixed(
        "region",
        |draft, given| put(&mut draft.fixed.region, given.string().map(|region| Some(region.to_owned()))),
        |fixed| fixed.region.as_ref().and_then(quoted),
    )
    .with_flag(
        "region",
        "REGION",
        "Region in ARNs and of the upstream [default: AWS_REGION for a remote upstream, us-east-1 for the local one]",
    ),
    Key::fixed(
        "connect_timeout",
        |draft, given| put(&mut draft.fixed.remote.connect_timeout, given.timeout()),
        |fixed| duration(fixed.remote.connect_timeout),
    ),
    Key::fixed(
        "read_timeout",
        |draft, given| put(&mut draft.fixed.remote.read_timeout, given.timeout()),
        |fixed| duration(fixed.remote.read_timeout),
    ),
    Key::fixed(
        "write_timeout",
        |draft, given| put(&mut draft.fixed.remote.write_timeout, given.timeout()),
        |fixed| duration(fixed.remote.write_timeout),
    ),
    Key::fixed(
        "unknown_write_window",
        |draft, given| put(&mut draft.fixed.remote.unknown_write_window, given.timeout()),
        |fixed| duration(fixed.remote.unknown_write_window),
    ),
    Key::fixed(
        "concurrency_max",
        |draft, given| put(&mut draft.fixed.remote.concurrency_max, given.count()),
        |fixed| bare(fixed.remote.concurrency_max),
    ),
    Key::fixed(
        "dual_stack",
        |draft, given| put(&mut draft.fixed.remote.dual_stack, given.boolean()),
        |fixed| bare(fixed.remote.dual_stack),
    )
    .with_switch("dual-stack", "Use the service's hosts with IPv6 addresses")
    .with_aws_variable("AWS_USE_DUALSTACK_ENDPOINT"),
    Key::fixed(
        "fips",
        |draft, given| put(&mut draft.fixed.remote.fips, given.boolean()),
        |fixed| bare(fixed.remote.fips),
    )
    .with_switch("fips", "Use the service's hosts with validated cryptography")
    .with_aws_variable("AWS_USE_FIPS_ENDPOINT"),
];

const LOCAL: &[Key] = &[
    Key::fixed(
        "data_dir",
        |draft, given| put(&mut draft.data_dir, given.path().map(Some)),
        |fixed| match &fixed.store {
            LocalStore::Directory(directory) => path(directory),
            LocalStore::Memory => None,
        },
    )
    .with_flag("data-dir", "DIRECTORY", "Where the local backend keeps its tables"),
    Key::fixed(
        "in_memory",
        |draft, given| put(&mut draft.in_memory, given.boolean()),
        |fixed| bare(fixed.store == LocalStore::Memory),
    )
    .with_switch("in-memory", "Keep the local backend's tables in memory and forget them at the end"),
    Key::fixed(
        "share",
        |draft, given| put(&mut draft.fixed.share, given.boolean()),
        |fixed| bare(fixed.share),
    )
    .with_flag(
        "share",
        "BOOL",
        "false: each region and access key has tables of its own in the local backend",
    ),
    Key::fixed(
        "durability",
        |draft, given| put(&mut draft.fixed.durability, given.choice(DURABILITY)),
        |fixed| word(DURABILITY, &fixed.durability),
    ),
    Key::fixed(
        "ttl_sweep",
        |draft, given| put(&mut draft.fixed.ttl_sweep, given.duration()),
        |fixed| duration(fixed.ttl_sweep),
    ),
    Key::fixed(
        "status_delay",
        |draft, given| put(&mut draft.fixed.status_delay, given.duration()),
        |fixed| duration(fixed.status_delay),
    ),
    Key::fixed(
        "stream_shards",
        |draft, given| {
            let shards = given.count_between(1, STREAM_SHARDS_MAX);
            put(
                &mut draft.fixed.stream_shards,
                shards.map(|shards| u32::try_from(shards).unwrap_or(u32::MAX)),
            )
        },
        |fixed| bare(fixed.stream_shards),
    ),
    Key::fixed(
        "stream_shard_records_max",
        |draft, given| {
            put(&mut draft.fixed.stream_shard_records_max, given.count().map(|records| records as u64))
        },
        |fixed| bare(fixed.stream_shard_records_max),
    ),
];

const FLEET: &[Key] = &[
    Key::fixed(
        "url",
        |draft, given| put(&mut draft.fleet.url, given.parsed().map(Some)),
        |fixed| of_fleet(fixed, |fleet| quoted(&fleet.url)),
    ),
    Key::fixed(
        "password_file",
        |draft, given| put(&mut draft.fleet.password_file, given.path().map(Some)),
        |fixed| of_fleet(fixed, |fleet| fleet.password_file.as_deref().and_then(path)),
    ),
    Key::fixed(
        "name",
        |draft, given| put(&mut draft.fleet.name, given.string().and_then(name)),
        |fixed| of_fleet(fixed, |fleet| quoted(&fleet.name)),
    ),
    Key::fixed(
        "node",
        |draft, given| put(&mut draft.fleet.node, given.string().and_then(node_as_written).map(Some)),
        |fixed| of_fleet(fixed, |fleet| quoted(&fleet.node)),
    ),
    Key::fixed(
        "secret_file",
        |draft, given| put(&mut draft.fleet.secret_file, given.path().map(Some)),
        |fixed| of_fleet(fixed, |fleet| path(&fleet.secret_file)),
    ),
    Key::fixed(
        "ack",
        |draft, given| put(&mut draft.fleet.ack, given.choice(ACK)),
        |fixed| of_fleet(fixed, |fleet| word(ACK, &fleet.ack)),
    ),
    Key::fixed(
        "lease",
        |draft, given| put(&mut draft.fleet.lease, given.lasting_between(LEASE[0], LEASE[1])),
        |fixed| of_fleet(fixed, |fleet| duration(fleet.lease)),
    ),
    Key::fixed(
        "when_stale",
        |draft, given| put(&mut draft.fleet.when_stale, given.choice(WHEN_STALE).map(Some)),
        |fixed| of_fleet(fixed, |fleet| word(WHEN_STALE, &fleet.when_stale)),
    ),
    Key::fixed(
        "cut_off",
        |draft, given| put(&mut draft.fleet.cut_off, given.choice(CUT_OFF).map(Some)),
        |fixed| of_fleet(fixed, |fleet| word(CUT_OFF, &fleet.cut_off)),
    ),
    Key::fixed(
        "silence_grace",
        |draft, given| put(&mut draft.fleet.silence_grace, given.timeout()),
        |fixed| of_fleet(fixed, |fleet| duration(fleet.silence_grace)),
    ),
    Key::fixed(
        "ack_timeout",
        |draft, given| put(&mut draft.fleet.ack_timeout, given.timeout()),
        |fixed| of_fleet(fixed, |fleet| duration(fleet.ack_timeout)),
    ),
    Key::fixed(
        "replay",
        |draft, given| {
            let entries = given.count_between(REPLAY[0], REPLAY[1]);
            put(&mut draft.fleet.replay, entries.map(|entries| u32::try_from(entries).unwrap_or(u32::MAX)))
        },
        |fixed| of_fleet(fixed, |fleet| bare(fleet.replay)),
    ),
    Key::fixed(
        "clock_step",
        |draft, given| put(&mut draft.fleet.clock_step, given.duration()),
        |fixed| of_fleet(fixed, |fleet| duration(fleet.clock_step)),
    ),
    Key::fixed(
        "shards",
        |_, given| match given.count()? {
            1 => Ok(()),
            _ => Err(format!("{given} is not offered by this version yet; write 1")),
        },
        |fixed| of_fleet(fixed, |_| bare(1)),
    ),
    Key::not_offered("fence"),
];

const CACHE: &[Key] = &[
    Key::live(
        "max_bytes",
        |live, given| put(&mut live.cache_bytes_max, given.at_least(ByteSize(1 << 20))),
        |live| quoted(live.cache_bytes_max),
    )
    .with_flag("max-bytes", "SIZE", "The budget of the cache, keys and overhead included"),
    Key::live(
        "query_share",
        |live, given| put(&mut live.query_share, given.parsed()),
        |live| quoted(live.query_share),
    ),
    Key::live(
        "verify_rate_max",
        |live, given| {
            let rate = given.count_between(1, VERIFY_RATE_MAX);
            put(&mut live.verify_rate_max, rate.map(|rate| u32::try_from(rate).unwrap_or(u32::MAX)))
        },
        |live| bare(live.verify_rate_max),
    ),
    Key::policy(
        "mode",
        |policy, given| put(&mut policy.mode, given.choice(MODE)),
        |policy| word(MODE, &policy.mode),
    ),
    Key::policy(
        "verify_sample",
        |policy, given| put(&mut policy.verify_sample, given.fraction()),
        |policy| bare(policy.verify_sample),
    ),
    Key::policy(
        "item_ttl",
        |policy, given| put(&mut policy.item_ttl, given.parsed()),
        |policy| quoted(policy.item_ttl),
    ),
    Key::new(
        "query_ttl",
        Access::IndexPolicy {
            read: |policy, given| put(&mut policy.query_ttl, given.parsed()),
            print: |policy| quoted(policy.query_ttl),
            read_index: |index, given| put(&mut index.query_ttl, given.parsed()),
            print_index: |index| quoted(index.query_ttl),
        },
    ),
    Key::policy(
        "negative_ttl",
        |policy, given| put(&mut policy.negative_ttl, given.parsed()),
        |policy| quoted(policy.negative_ttl),
    ),
    Key::policy(
        "fill",
        |policy, given| put(&mut policy.fill, given.choice(FILL)),
        |policy| word(FILL, &policy.fill),
    ),
    Key::new(
        "gsi_quarantine",
        Access::IndexPolicy {
            read: |policy, given| put(&mut policy.gsi_quarantine, given.duration()),
            print: |policy| duration(policy.gsi_quarantine),
            read_index: |index, given| put(&mut index.gsi_quarantine, given.duration()),
            print_index: |index| duration(index.gsi_quarantine),
        },
    ),
    Key::policy(
        "item_bytes_max",
        |policy, given| put(&mut policy.item_bytes_max, given.parsed()),
        |policy| quoted(policy.item_bytes_max),
    ),
    Key::policy(
        "scan_pages",
        |policy, given| put(&mut policy.scan_pages, given.choice(SCAN_PAGES)),
        |policy| word(SCAN_PAGES, &policy.scan_pages),
    ),
    Key::policy(
        "images",
        |policy, given| put(&mut policy.images, given.choice(IMAGES)),
        |policy| word(IMAGES, &policy.images),
    ),
    Key::policy(
        "fill_items_from_pages",
        |policy, given| put(&mut policy.fill_items_from_pages, given.boolean()),
        |policy| bare(policy.fill_items_from_pages),
    ),
    Key::policy(
        "stale_if_error",
        |policy, given| put(&mut policy.stale_if_error, given.duration()),
        |policy| duration(policy.stale_if_error),
    ),
];

const LOG: &[Key] = &[
    Key::live(
        "level",
        |live, given| put(&mut live.log_level, given.choice(LOG_LEVEL).map(str::to_owned)),
        |live| quoted(&live.log_level),
    )
    .with_flag(
        "log-level",
        "LEVEL",
        "The least severe log lines: error, warn, info, debug, trace or off",
    ),
    Key::live(
        "slow",
        |live, given| put(&mut live.log_slow, given.duration()),
        |live| duration(live.log_slow),
    ),
    Key::fixed(
        "format",
        |draft, given| put(&mut draft.fixed.log_format, given.choice(LOG_FORMAT)),
        |fixed| word(LOG_FORMAT, &fixed.log_format),
    )
    .with_flag("log-format", "FORMAT", "How log lines are written: text or json"),
];

const TRACING: &[Key] = &[
    Key::fixed(
        "otlp_endpoint",
        |draft, given| put(&mut draft.fixed.otlp_endpoint, given.parsed().map(Some)),
        |fixed| fixed.otlp_endpoint.as_ref().and_then(quoted),
    ),
    Key::fixed(
        "sample",
        |draft, given| put(&mut draft.fixed.trace_sample, given.fraction()),
        |fixed| bare(fixed.trace_sample),
    ),
];

const COMMAND_LINE: &[Key] = &[
    Key::new("upstream", Access::Shorthand(upstream_key)).with_flag(
        "upstream",
        "UPSTREAM",
        "What stands behind the cache: local, aws, or http(s)://HOST:PORT [default: local]",
    ),
    Key::fixed(
        "i_accept_unauthenticated",
        |draft, given| put(&mut draft.fixed.accepts_unauthenticated, given.boolean()),
        |_| None,
    )
    .with_switch(
        "i-accept-unauthenticated",
        "Allow addresses off loopback, where anybody who reaches them can read and write",
    ),
];

/// The key that the value of `--upstream` belongs to.
fn upstream_key(text: &str) -> Result<(&'static str, &'static str), String> {
    match text {
        "local" | "aws" => Ok(("upstream", "kind")),
        endpoint if endpoint.contains("://") => Ok(("upstream", "endpoint")),
        other => Err(format!(
            "{other:?} is not an upstream; write local, aws, or http(s)://HOST:PORT, such as http://127.0.0.1:8001"
        )),
    }
}

/// Takes a value that was read well.
fn put<T>(place: &mut T, read: Result<T, String>) -> Result<(), String> {
    *place = read?;
    Ok(())
}

/// What the file says of a fleet, if there is one.
fn of_fleet(fixed: &Fixed, print: fn(&Fleet) -> Option<String>) -> Option<String> {
    fixed.fleet.as_ref().and_then(print)
}

/// A value that the file has in quotes.
fn quoted(value: impl Display) -> Option<String> {
    Some(toml::Value::from(value.to_string()).to_string())
}

/// A value that the file has without quotes.
fn bare(value: impl Display) -> Option<String> {
    Some(value.to_string())
}

fn list(values: &[impl Display]) -> Option<String> {
    let texts: Vec<_> = values.iter().filter_map(quoted).collect();
    Some(format!("[{}]", texts.join(", ")))
}

fn duration(duration: Duration) -> Option<String> {
    quoted(TimeToLive::For(duration))
}

fn path(path: &Path) -> Option<String> {
    quoted(path.display())
}

/// The word for a choice.
fn word<T: PartialEq>(words: &[(&str, T)], value: &T) -> Option<String> {
    words.iter().find(|(_, choice)| choice == value).and_then(|(word, _)| quoted(word))
}

/// A key by its section and name.
pub(super) fn find(section: &str, name: &str) -> Option<(&'static Section, &'static Key)> {
    let section = SECTIONS.iter().find(|candidate| candidate.name == section)?;
    Some((section, section.keys.iter().find(|key| key.name == name)?))
}

/// Every key with its section.
pub(super) fn keys() -> impl Iterator<Item = (&'static Section, &'static Key)> {
    SECTIONS.iter().flat_map(|section| section.keys.iter().map(move |key| (section, key)))
}
