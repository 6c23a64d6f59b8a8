//! The config printed as a file that says the same, and compared by what is printed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Config;
use super::fixed::{Durability, Fixed, LocalStore, LogFormat, RemoteLimits, UpstreamKind};
use super::live::{CachePolicy, Fill, Images, IndexPolicy, Live, ScanPages};
use super::units::TimeToLive;

impl Config {
    /// The keys, as `section.key`, that need a restart to become what `other` says.
    pub fn needing_restart(&self, other: &Self) -> Vec<String> {
        let settings = |fixed: &Fixed| settings_of(&Self { fixed: fixed.clone(), live: self.live.clone() });
        let (ours, theirs) = (settings(&self.fixed), settings(&other.fixed));
        let differs = |key: &&String| ours.get(*key) != theirs.get(*key);
        let keys: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        keys.into_iter().filter(differs).cloned().collect()
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
        let Fixed { hosts, cors_origins, .. } = &self.fixed;
        let Live { cache_bytes_max, query_share, .. } = &self.live;
        let duration = |duration: Duration| TimeToLive::For(duration);
        writeln!(formatter, "[server]\nlisten = \"{listen}\"\nhosts = {}", quoted(hosts))?;
        writeln!(formatter, "cors_origins = {}\nmax_connections = {max_connections}", quoted(cors_origins))?;
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
            "share = {}\ndurability = \"{durability}\"\nttl_sweep = \"{}\"\nstatus_delay = \"{}\"",
            self.fixed.share,
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

/// A list of texts as a file has it.
fn quoted(values: &[impl ToString]) -> String {
    let texts: Vec<_> = values.iter().map(|value| format!("{:?}", value.to_string())).collect();
    format!("[{}]", texts.join(", "))
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
