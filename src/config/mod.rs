//! The configuration: as written in a file, in variables and in flags; resolved into what the program runs with.
//!
//! A flag beats an environment variable, which beats the file, which beats the default. Every key is known here, with its
//! section; an unknown one is an error that names its line and the nearest known key. [`Fixed`] needs a restart to change;
//! [`Live`] may change while requests run, and one request sees one of it.

mod endpoint;
mod file;
mod units;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use endpoint::{Endpoint, Scheme};
pub use file::{ConfigError, KEYS};
pub use units::{ByteSize, Share, TimeToLive};

/// Everything that can be configured, resolved.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What a running process keeps.
    pub fixed: Fixed,
    /// What may change while it runs.
    pub live: Live,
}

/// What needs a restart to change.
#[derive(Clone, Debug, PartialEq)]
pub struct Fixed {
    /// Where DynamoDB clients connect.
    pub listen: SocketAddr,
    /// Connections at one time; more wait in the kernel's queue.
    pub max_connections: usize,
    /// The largest request body, decompressed.
    pub request_bytes_max: ByteSize,
    /// Bytes of large request bodies in memory at one time, over all connections.
    pub bodies_bytes_max: ByteSize,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// How long requests under way may take after a signal to stop.
    pub drain_timeout: Duration,
    /// Where monitors connect.
    pub admin_listen: SocketAddr,
    /// The region, when one is named; see [`Fixed::region`].
    pub region: Option<String>,
    /// What stands behind the cache.
    pub upstream: UpstreamKind,
    /// How a remote upstream is used.
    pub remote: RemoteLimits,
    /// Where the local backend keeps its tables.
    pub store: LocalStore,
    /// What the local backend waits for before it acknowledges a write.
    pub durability: Durability,
    /// How often the local backend looks for items whose time is over; zero never.
    pub ttl_sweep: Duration,
    /// How long the local backend tells that a table is on its way to a state; zero not at all.
    pub status_delay: Duration,
    /// How many shards a new stream of the local backend has.
    pub stream_shards: u32,
    /// How many records a shard takes before it splits.
    pub stream_shard_records_max: u64,
    /// How log lines are written.
    pub log_format: LogFormat,
}

/// The region of a node that was not told of one.
const REGION: &str = "us-east-1";

impl Fixed {
    /// The region in ARNs, in the health line and in signatures for the upstream.
    pub fn region(&self) -> &str {
        self.region.as_deref().unwrap_or(REGION)
    }
}

/// What stands behind the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamKind {
    /// The bundled backend.
    Local,
    /// The service itself, in the region.
    Aws,
    /// Any endpoint that speaks DynamoDB.
    Endpoint(Endpoint),
}

/// How a remote upstream is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteLimits {
    /// How long making a connection may take, TLS included.
    pub connect_timeout: Duration,
    /// How long a read may take, its retry included.
    pub read_timeout: Duration,
    /// How long anything else may take.
    pub write_timeout: Duration,
    /// Requests at one time.
    pub concurrency_max: usize,
    /// Whether the service's hosts with IPv6 addresses are used.
    pub dual_stack: bool,
    /// Whether the service's hosts with validated cryptography are used.
    pub fips: bool,
}

/// Where the local backend keeps its tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocalStore {
    /// In this directory.
    Directory(PathBuf),
    /// In memory, until the process ends.
    Memory,
}

/// When a write of the local backend is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// On disk: it survives a power cut.
    Fsync,
    /// With the kernel: it survives the end of the process.
    Process,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What may change while the program runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// The budget of the cache.
    pub cache_bytes_max: ByteSize,
    /// The part of that budget that pages may take; items have the rest.
    pub query_share: Share,
    /// The least severe log lines that are written: `error`, `warn`, `info`, `debug`, `trace`, `off`.
    pub log_level: String,
    /// How tables are cached that have no section of their own.
    pub cache: CachePolicy,
    /// The sections `[tables.NAME]`, each filled up from `[cache]`.
    pub tables: BTreeMap<String, CachePolicy>,
}

impl Live {
    /// How a table is cached.
    pub fn policy(&self, table: &str) -> &CachePolicy {
        self.tables.get(table).unwrap_or(&self.cache)
    }
}

/// How one table is cached.
#[derive(Clone, Debug, PartialEq)]
pub struct CachePolicy {
    /// How long an item is served; zero turns the item cache off.
    pub item_ttl: TimeToLive,
    /// How long a page is served; zero turns the query cache off.
    pub query_ttl: TimeToLive,
    /// How long it is remembered that there is no item.
    pub negative_ttl: TimeToLive,
    /// How reads that fill the cache are made.
    pub fill: Fill,
    /// How long pages of a global secondary index are not kept after a write to it.
    pub gsi_quarantine: Duration,
    /// Larger items are served and not kept.
    pub item_bytes_max: ByteSize,
    /// When pages of scans are kept.
    pub scan_pages: ScanPages,
    /// Whether writes are made to tell what the item was and has become.
    pub images: Images,
    /// Whether the items of a page that shows them whole may answer reads by key.
    pub fill_items_from_pages: bool,
    /// How long after its time what is cached may still be served when the upstream fails; zero not at all.
    pub stale_if_error: Duration,
    /// The sections `[tables.NAME.indexes.INDEX]`, each filled up from the table's.
    pub indexes: BTreeMap<String, IndexPolicy>,
}

impl CachePolicy {
    /// How pages of an index are cached.
    pub fn index(&self, index: &str) -> IndexPolicy {
        let of_table = IndexPolicy { query_ttl: self.query_ttl, gsi_quarantine: self.gsi_quarantine };
        self.indexes.get(index).copied().unwrap_or(of_table)
    }

    /// True if any pages of the table are cached.
    pub fn has_pages(&self) -> bool {
        let off = TimeToLive::For(Duration::ZERO);
        self.query_ttl != off || self.indexes.values().any(|index| index.query_ttl != off)
    }
}

/// How pages of one index are cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexPolicy {
    /// How long a page is served; zero turns the query cache off for the index.
    pub query_ttl: TimeToLive,
    /// How long pages of a global index are not kept after a write to it.
    pub gsi_quarantine: Duration,
}

/// When pages of scans are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanPages {
    /// When they are asked for the second time within their time to live: most scans are made once.
    Second,
    /// At once.
    First,
    /// Never.
    Never,
}

/// Whether writes are made to tell what the item was and has become, where their clients do not ask for it. What is told is
/// taken out of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Images {
    /// Where the cache has a use for it.
    Ask,
    /// Never: the request goes upstream as it came.
    Never,
}

/// How reads that fill the cache are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// Eventually consistent unless this node changed or strongly saw the key within a minute.
    Adaptive,
    /// Strongly consistent.
    Strong,
    /// Eventually consistent.
    Eventual,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            fixed: Fixed {
                listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
                max_connections: 10_000,
                request_bytes_max: ByteSize(25 << 20),
                bodies_bytes_max: ByteSize(256 << 20),
                idle_timeout: Duration::from_secs(120),
                drain_timeout: Duration::from_secs(25),
                admin_listen: SocketAddr::from(([127, 0, 0, 1], 9100)),
                region: None,
                upstream: UpstreamKind::Local,
                remote: RemoteLimits {
                    connect_timeout: Duration::from_secs(1),
                    read_timeout: Duration::from_secs(5),
                    write_timeout: Duration::from_secs(10),
                    concurrency_max: 512,
                    dual_stack: false,
                    fips: false,
                },
                store: LocalStore::Directory(PathBuf::from("./nearside-data")),
                durability: Durability::Fsync,
                ttl_sweep: Duration::from_secs(1),
                status_delay: Duration::ZERO,
                stream_shards: 1,
                stream_shard_records_max: 100_000,
                log_format: LogFormat::Text,
            },
            live: Live {
                cache_bytes_max: ByteSize(256 << 20),
                query_share: Share::default(),
                log_level: "info".to_owned(),
                cache: CachePolicy::default(),
                tables: BTreeMap::new(),
            },
        }
    }
}

impl Default for CachePolicy {
    fn default() -> Self {
        Self {
            item_ttl: TimeToLive::For(Duration::from_secs(300)),
            query_ttl: TimeToLive::For(Duration::from_secs(300)),
            negative_ttl: TimeToLive::For(Duration::from_secs(60)),
            fill: Fill::Adaptive,
            gsi_quarantine: Duration::from_secs(5),
            // An item of 400 KB may be larger as JSON.
            item_bytes_max: ByteSize(1 << 20),
            scan_pages: ScanPages::Second,
            images: Images::Ask,
            fill_items_from_pages: false,
            stale_if_error: Duration::ZERO,
            indexes: BTreeMap::new(),
        }
    }
}

/// What the command line and the environment say over the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--admin-listen`
    pub admin_listen: Option<SocketAddr>,
    /// `--upstream`
    pub upstream: Option<String>,
    /// `--region`
    pub region: Option<String>,
    /// `AWS_REGION`, which every SDK reads: the region of a remote upstream, when nothing above names another.
    pub aws_region: Option<String>,
    /// `--dual-stack`
    pub dual_stack: bool,
    /// `--fips`
    pub fips: bool,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--in-memory`
    pub in_memory: bool,
}

impl Config {
    /// Reads a config file's text.
    ///
    /// # Errors
    /// [`ConfigError`] for the first thing wrong, with its line.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        file::parse(text)
    }

    /// The keys, as `section.key`, that need a restart to become what `other` says.
    pub fn needing_restart(&self, other: &Self) -> Vec<String> {
        let settings = |fixed: &Fixed| settings_of(&Self { fixed: fixed.clone(), live: self.live.clone() });
        let (ours, theirs) = (settings(&self.fixed), settings(&other.fixed));
        let differs = |key: &&String| ours.get(*key) != theirs.get(*key);
        let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        keys.into_iter().filter(differs).cloned().collect()
    }

    /// Puts the command line and the environment over the file.
    ///
    /// # Errors
    /// [`ConfigError`] for an upstream that is none, that lacks its region, or that is this node itself.
    pub fn override_with(mut self, overrides: Overrides) -> Result<Self, ConfigError> {
        let fixed = &mut self.fixed;
        if let Some(upstream) = overrides.upstream {
            fixed.upstream = upstream.parse().map_err(ConfigError::without_line)?;
        }
        fixed.remote.dual_stack |= overrides.dual_stack;
        fixed.remote.fips |= overrides.fips;
        fixed.listen = overrides.listen.unwrap_or(fixed.listen);
        fixed.admin_listen = overrides.admin_listen.unwrap_or(fixed.admin_listen);
        fixed.region = overrides.region.or_else(|| fixed.region.take());
        match &fixed.upstream {
            UpstreamKind::Local => {}
            UpstreamKind::Aws => {
                fixed.region = fixed.region.take().or(overrides.aws_region);
                if fixed.region.is_none() {
                    let message =
                        "the upstream \"aws\" needs a region; give --region or AWS_REGION".to_owned();
                    return Err(ConfigError::without_line(message));
                }
            }
            UpstreamKind::Endpoint(endpoint) => {
                fixed.region = fixed.region.take().or(overrides.aws_region);
                if endpoint.is_loopback() && fixed.listen.port() == endpoint.port {
                    let message =
                        format!("the upstream {endpoint} is this node itself; listen on another port");
                    return Err(ConfigError::without_line(message));
                }
            }
        }
        if let Some(directory) = overrides.data_dir {
            fixed.store = LocalStore::Directory(directory);
        }
        if overrides.in_memory {
            fixed.store = LocalStore::Memory;
        }
        Ok(self)
    }
}

impl std::str::FromStr for UpstreamKind {
    type Err = String;

    /// # Errors
    /// Words that say what an upstream can be.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "local" => Ok(Self::Local),
            "aws" => Ok(Self::Aws),
            endpoint => endpoint
                .parse()
                .map(Self::Endpoint)
                .map_err(|_| format!("{text:?} is no upstream; give local, aws, or http(s)://HOST:PORT")),
        }
    }
}

/// Every key that the printed config has, with its value.
fn settings_of(config: &Config) -> BTreeMap<String, String> {
    let (text, mut section, mut settings) = (config.to_string(), "", BTreeMap::new());
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if let Some((key, value)) = line.split_once(" = ") {
            settings.insert(format!("{section}.{key}"), value.to_owned());
        }
    }
    settings
}

/// Prints the config as a file that says the same.
impl std::fmt::Display for Config {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Fixed { listen, max_connections, request_bytes_max, bodies_bytes_max, admin_listen, .. } =
            &self.fixed;
        let Live { cache_bytes_max, query_share, .. } = &self.live;
        let duration = |duration: Duration| TimeToLive::For(duration);
        writeln!(formatter, "[server]\nlisten = \"{listen}\"\nmax_connections = {max_connections}")?;
        writeln!(formatter, "request_bytes_max = \"{request_bytes_max}\"")?;
        writeln!(formatter, "bodies_bytes_max = \"{bodies_bytes_max}\"")?;
        writeln!(formatter, "idle_timeout = \"{}\"", duration(self.fixed.idle_timeout))?;
        writeln!(formatter, "drain_timeout = \"{}\"\n", duration(self.fixed.drain_timeout))?;
        writeln!(formatter, "[admin]\nlisten = \"{admin_listen}\"\n\n[auth]\nmode = \"none\"\n")?;
        self.fixed.write_upstream(formatter)?;
        writeln!(formatter, "\n[local]")?;
        match &self.fixed.store {
            LocalStore::Directory(directory) => {
                writeln!(formatter, "data_dir = {:?}\nin_memory = false", directory)?
            }
            LocalStore::Memory => writeln!(formatter, "in_memory = true")?,
        }
        let durability = match self.fixed.durability {
            Durability::Fsync => "fsync",
            Durability::Process => "process",
        };
        writeln!(
            formatter,
            "durability = \"{durability}\"\nttl_sweep = \"{}\"\nstatus_delay = \"{}\"",
            duration(self.fixed.ttl_sweep),
            duration(self.fixed.status_delay)
        )?;
        writeln!(formatter, "stream_shards = {}", self.fixed.stream_shards)?;
        writeln!(formatter, "stream_shard_records_max = {}", self.fixed.stream_shard_records_max)?;
        writeln!(formatter, "\n[cache]\nmax_bytes = \"{cache_bytes_max}\"\nquery_share = \"{query_share}\"")?;
        write!(formatter, "{}", self.live.cache)?;
        for (name, policy) in &self.live.tables {
            write!(formatter, "\n[tables.{name:?}]\n{policy}")?;
            for (index, IndexPolicy { query_ttl, gsi_quarantine }) in &policy.indexes {
                let gsi_quarantine = duration(*gsi_quarantine);
                writeln!(formatter, "\n[tables.{name:?}.indexes.{index:?}]\nquery_ttl = \"{query_ttl}\"")?;
                writeln!(formatter, "gsi_quarantine = \"{gsi_quarantine}\"")?;
            }
        }
        let format = match self.fixed.log_format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        writeln!(formatter, "\n[log]\nlevel = {:?}\nformat = \"{format}\"", self.live.log_level)
    }
}

impl Fixed {
    fn write_upstream(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.upstream {
            UpstreamKind::Local => "kind = \"local\"".to_owned(),
            UpstreamKind::Aws => "kind = \"aws\"".to_owned(),
            UpstreamKind::Endpoint(endpoint) => format!("kind = \"endpoint\"\nendpoint = \"{endpoint}\""),
        };
        writeln!(formatter, "[upstream]\n{kind}")?;
        if let Some(region) = &self.region {
            writeln!(formatter, "region = {region:?}")?;
        }
        let RemoteLimits { connect_timeout, read_timeout, write_timeout, concurrency_max, dual_stack, fips } =
            &self.remote;
        for (key, timeout) in [("connect", connect_timeout), ("read", read_timeout), ("write", write_timeout)]
        {
            writeln!(formatter, "{key}_timeout = \"{}\"", TimeToLive::For(*timeout))?;
        }
        writeln!(formatter, "concurrency_max = {concurrency_max}\ndual_stack = {dual_stack}\nfips = {fips}")
    }
}

impl std::fmt::Display for CachePolicy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fill = match self.fill {
            Fill::Adaptive => "adaptive",
            Fill::Strong => "strong",
            Fill::Eventual => "eventual",
        };
        writeln!(formatter, "item_ttl = \"{}\"\nquery_ttl = \"{}\"", self.item_ttl, self.query_ttl)?;
        writeln!(formatter, "negative_ttl = \"{}\"\nfill = \"{fill}\"", self.negative_ttl)?;
        writeln!(formatter, "gsi_quarantine = \"{}\"", TimeToLive::For(self.gsi_quarantine))?;
        let scan_pages = match self.scan_pages {
            ScanPages::Second => "second",
            ScanPages::First => "first",
            ScanPages::Never => "never",
        };
        let images = match self.images {
            Images::Ask => "ask",
            Images::Never => "never",
        };
        writeln!(formatter, "item_bytes_max = \"{}\"\nscan_pages = \"{scan_pages}\"", self.item_bytes_max)?;
        let fill_items = self.fill_items_from_pages;
        writeln!(formatter, "images = \"{images}\"\nfill_items_from_pages = {fill_items}")?;
        writeln!(formatter, "stale_if_error = \"{}\"", TimeToLive::For(self.stale_if_error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = include_str!("../../config/nearside.toml");

    #[test]
    fn the_sample_file_is_the_default_and_lists_every_key() {
        assert_eq!(Config::parse(SAMPLE).unwrap(), Config::default());
        for (section, keys) in KEYS {
            let is_there = ["[", "."].iter().any(|before| SAMPLE.contains(&format!("{before}{section}")));
            assert!(is_there, "[{section}] is not in the sample");
            for key in keys.iter().filter(|key| **key != "indexes") {
                assert!(SAMPLE.contains(&format!("{key} =")), "{section}.{key} is not in the sample");
            }
        }
    }

    #[test]
    fn what_is_printed_reads_back_the_same() {
        let text = "[cache]\nitem_ttl = \"never\"\n[tables.Orders]\nnegative_ttl = \"1500ms\"\nfill = \"strong\"\n[local]\nin_memory = true\nttl_sweep = \"0s\"\nstatus_delay = \"2s\"\nstream_shards = 4\nstream_shard_records_max = 10";
        let config = Config::parse(text).unwrap();
        assert_eq!(Config::parse(&config.to_string()).unwrap(), config);
        assert_eq!(Config::parse(&Config::default().to_string()).unwrap(), Config::default());
    }

    #[test]
    fn a_table_inherits_what_it_does_not_say() {
        let config = Config::parse("[tables.Orders]\nitem_ttl = \"1s\"\n[cache]\nfill = \"strong\"").unwrap();
        let policy = config.live.policy("Orders");
        assert_eq!((policy.item_ttl, policy.fill), (TimeToLive::For(Duration::from_secs(1)), Fill::Strong));
        assert_eq!(config.live.policy("Others"), &config.live.cache);
    }

    #[test]
    fn a_remote_upstream_is_printed_as_it_is_read() {
        for upstream in
            ["kind = \"aws\"\nregion = \"cn-north-1\"\nfips = true", "endpoint = \"https://[::1]:8443\""]
        {
            let text = format!("[upstream]\nread_timeout = \"1500ms\"\nconcurrency_max = 7\n{upstream}");
            let config = Config::parse(&text).unwrap();
            assert_ne!(config.fixed.upstream, UpstreamKind::Local);
            assert_eq!(Config::parse(&config.to_string()).unwrap(), config);
        }
    }

    #[test]
    fn a_remote_upstream_has_a_region_and_is_not_the_node_itself() {
        let with = |upstream: &str, aws_region: Option<&str>| {
            let upstream = Some(upstream.to_owned());
            let aws_region = aws_region.map(str::to_owned);
            Config::default().override_with(Overrides { upstream, aws_region, ..Overrides::default() })
        };
        let message = |outcome: Result<Config, ConfigError>| outcome.unwrap_err().message;
        assert!(message(with("aws", None)).contains("AWS_REGION"));
        assert_eq!(with("aws", Some("eu-west-1")).unwrap().fixed.region(), "eu-west-1");
        assert_eq!(with("local", Some("eu-west-1")).unwrap().fixed.region(), "us-east-1");
        assert!(message(with("http://localhost:8000", None)).contains("this node itself"));
        assert!(message(with("dynamodb.local", None)).contains("give local, aws, or http(s)://HOST:PORT"));
        assert!(with("http://127.0.0.1:8001", None).is_ok());
    }

    #[test]
    fn an_index_inherits_from_its_table() {
        let text = "[tables.Orders.indexes.byDate]\nquery_ttl = \"0s\"\n[tables.Orders]\ngsi_quarantine = \"1s\"\nimages = \"never\"\nscan_pages = \"first\"\nfill_items_from_pages = true\n[cache]\nquery_share = \"40%\"";
        let config = Config::parse(text).unwrap();
        let policy = config.live.policy("Orders");
        let seconds = |seconds| TimeToLive::For(Duration::from_secs(seconds));
        let gsi_quarantine = Duration::from_secs(1);
        assert_eq!(policy.index("byDate"), IndexPolicy { query_ttl: seconds(0), gsi_quarantine });
        assert_eq!(policy.index("byName"), IndexPolicy { query_ttl: seconds(300), gsi_quarantine });
        assert_eq!(config.live.query_share.of(1000), 400);
        assert_eq!(Config::parse(&config.to_string()).unwrap(), config);
    }

    #[test]
    fn a_flag_beats_the_file() {
        let config = Config::parse("[server]\nlisten = \"127.0.0.1:1\"").unwrap();
        let listen = "127.0.0.1:2".parse().unwrap();
        let overridden =
            config.override_with(Overrides { listen: Some(listen), ..Overrides::default() }).unwrap();
        assert_eq!(overridden.fixed.listen, listen);
    }
}
