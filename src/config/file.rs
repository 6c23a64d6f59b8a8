//! The config file: TOML, every key known by section, errors with their line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::units::parse_duration;
use super::{
    ByteSize, CachePolicy, Config, Durability, Endpoint, Fill, Images, IndexPolicy, LocalStore, LogFormat,
    ScanPages, UpstreamKind,
};

/// Every section and its keys.
pub const KEYS: &[(&str, &[&str])] = &[
    (
        "server",
        &[
            "listen",
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

/// A shorter idle timeout would cut off clients in the middle of their work.
const IDLE_TIMEOUT_MIN: std::time::Duration = std::time::Duration::from_secs(1);

/// The most shards of a stream that are open at a time.
const STREAM_SHARDS_MAX: u32 = 16;

/// The tables of a file's first level.
const SECTIONS: &[&str] = &["server", "admin", "auth", "upstream", "local", "cache", "tables", "log"];

/// What is wrong with a config, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The line of the file, from 1; `None` when it is not from a file.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl ConfigError {
    /// What is wrong with something that no file says.
    pub(super) fn without_line(message: String) -> Self {
        Self { line: None, message }
    }

    /// Something that the surface has and this version lacks.
    pub(super) fn not_offered(what: &str, instead: &str) -> Self {
        Self { line: None, message: format!("{what} is not offered by this version yet; use {instead}") }
    }
}

impl std::fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "line {line}: {}", self.message),
            None => formatter.write_str(&self.message),
        }
    }
}

impl std::error::Error for ConfigError {}

/// What `upstream.kind` says.
#[derive(Clone, Copy)]
enum Kind {
    Local,
    Aws,
    Endpoint,
}

/// A file being read.
struct Reader<'a> {
    text: &'a str,
    config: Config,
}

type Value<'a> = Spanned<DeValue<'a>>;

pub(super) fn parse(text: &str) -> Result<Config, ConfigError> {
    let root = DeTable::parse(text).map_err(|error| ConfigError {
        line: error.span().map(|span| line_of(text, span.start)),
        message: error.message().lines().next().unwrap_or("not TOML").to_owned(),
    })?;
    let mut reader = Reader { text, config: Config::default() };
    let sections =
        || root.get_ref().iter().map(|(name, value)| (name.get_ref().as_ref(), name.span().start, value));
    // Tables inherit from [cache], so they come last wherever they stand in the file.
    for (name, at, value) in sections().filter(|(name, ..)| *name != "tables") {
        if !SECTIONS.contains(&name) {
            return Err(reader.at(at, unknown("section", name, SECTIONS)));
        }
        reader.section(name, value)?;
    }
    for (_, _, tables) in sections().filter(|(name, ..)| *name == "tables") {
        for (name, value) in reader.table("tables", tables)? {
            let policy = reader.table_policy(name.get_ref(), value)?;
            reader.config.live.tables.insert(name.get_ref().to_string(), policy);
        }
    }
    Ok(reader.config)
}

impl Reader<'_> {
    fn section(&mut self, section: &str, value: &Value<'_>) -> Result<(), ConfigError> {
        for (key, value) in self.table(section, value)? {
            let nested = format!("{section}.{}", key.get_ref());
            if KEYS.iter().any(|(name, _)| *name == nested) {
                let error = ConfigError::not_offered(&format!("[{nested}]"), "neither it nor its keys");
                return Err(self.at(key.span().start, error.message));
            }
            self.known(section, key)?;
            self.key(section, key.get_ref(), value)?;
        }
        Ok(())
    }

    fn key(&mut self, section: &str, key: &str, value: &Value<'_>) -> Result<(), ConfigError> {
        match (section, key) {
            ("server", "listen") => self.config.fixed.listen = self.address(key, value)?,
            ("server", "max_connections") => self.config.fixed.max_connections = self.count(key, value)?,
            ("server", "request_bytes_max") => {
                self.config.fixed.request_bytes_max = self.at_least(key, value, "1KiB")?
            }
            ("server", "bodies_bytes_max") => {
                self.config.fixed.bodies_bytes_max = self.at_least(key, value, "1KiB")?
            }
            ("server", "idle_timeout") => {
                let timeout = self.duration(key, value)?;
                if timeout < IDLE_TIMEOUT_MIN {
                    return Err(self.wrong(key, value, "at least \"1s\""));
                }
                self.config.fixed.idle_timeout = timeout;
            }
            ("server", "drain_timeout") => self.config.fixed.drain_timeout = self.duration(key, value)?,
            ("admin", "listen") => self.config.fixed.admin_listen = self.address(key, value)?,
            ("auth", "mode") => self.only(key, value, "none")?,
            ("upstream", _) => self.upstream_key(key, value)?,
            ("admin", _) => {
                let error = ConfigError::not_offered(&format!("{section}.{key}"), "the file without it");
                return Err(self.at(value.span().start, error.message));
            }
            ("local", "data_dir") => {
                if self.config.fixed.store != LocalStore::Memory {
                    self.config.fixed.store = LocalStore::Directory(PathBuf::from(self.string(key, value)?));
                }
            }
            ("local", "in_memory") => {
                if self.boolean(key, value)? {
                    self.config.fixed.store = LocalStore::Memory;
                }
            }
            ("local", "durability") => {
                let choices = [("fsync", Durability::Fsync), ("process", Durability::Process)];
                self.config.fixed.durability = self.choice(key, value, &choices)?;
            }
            ("local", "ttl_sweep") => self.config.fixed.ttl_sweep = self.duration(key, value)?,
            ("local", "status_delay") => self.config.fixed.status_delay = self.duration(key, value)?,
            ("local", "stream_shards") => {
                let shards = u32::try_from(self.count(key, value)?).ok();
                let shards = shards.filter(|shards| *shards <= STREAM_SHARDS_MAX);
                self.config.fixed.stream_shards =
                    shards.ok_or_else(|| self.wrong(key, value, "a whole number from 1 to 16"))?;
            }
            ("local", "stream_shard_records_max") => {
                self.config.fixed.stream_shard_records_max = self.count(key, value)? as u64;
            }
            ("cache", "max_bytes") => self.config.live.cache_bytes_max = self.at_least(key, value, "1MiB")?,
            ("cache", "query_share") => self.config.live.query_share = self.parsed(key, value)?,
            ("log", "level") => {
                let levels = ["error", "warn", "info", "debug", "trace", "off"].map(|level| (level, level));
                self.config.live.log_level = self.choice(key, value, &levels)?.to_owned();
            }
            ("log", "format") => {
                let choices = [("text", LogFormat::Text), ("json", LogFormat::Json)];
                self.config.fixed.log_format = self.choice(key, value, &choices)?;
            }
            _ => {
                let mut policy = self.config.live.cache.clone();
                self.policy_key(&mut policy, key, value)?;
                self.config.live.cache = policy;
            }
        }
        Ok(())
    }

    fn upstream_key(&mut self, key: &str, value: &Value<'_>) -> Result<(), ConfigError> {
        match key {
            "kind" => {
                // An endpoint may have been read before, since keys come in the order of their names.
                let named = [("local", Kind::Local), ("aws", Kind::Aws), ("endpoint", Kind::Endpoint)];
                match (self.choice(key, value, &named)?, &self.config.fixed.upstream) {
                    (Kind::Local, UpstreamKind::Local) => {}
                    (Kind::Aws, UpstreamKind::Local) => self.config.fixed.upstream = UpstreamKind::Aws,
                    (Kind::Endpoint, UpstreamKind::Endpoint(_)) => {}
                    (Kind::Endpoint, _) => return Err(self.wrong("endpoint", value, "http(s)://HOST:PORT")),
                    (Kind::Local | Kind::Aws, _) => {
                        return Err(self.wrong(key, value, "\"endpoint\" where there is an endpoint"));
                    }
                }
            }
            "endpoint" => {
                let endpoint: Endpoint = self.parsed(key, value)?;
                self.config.fixed.upstream = UpstreamKind::Endpoint(endpoint);
            }
            "region" => self.config.fixed.region = Some(self.string(key, value)?.to_owned()),
            "connect_timeout" => self.config.fixed.remote.connect_timeout = self.timeout(key, value)?,
            "read_timeout" => self.config.fixed.remote.read_timeout = self.timeout(key, value)?,
            "write_timeout" => self.config.fixed.remote.write_timeout = self.timeout(key, value)?,
            "concurrency_max" => self.config.fixed.remote.concurrency_max = self.count(key, value)?,
            "dual_stack" => self.config.fixed.remote.dual_stack = self.boolean(key, value)?,
            _ => self.config.fixed.remote.fips = self.boolean(key, value)?,
        }
        Ok(())
    }

    /// A section `[tables.NAME]` with the sections of its indexes.
    fn table_policy(&self, name: &str, value: &Value<'_>) -> Result<CachePolicy, ConfigError> {
        let mut policy = self.config.live.cache.clone();
        let mut sections_of_indexes = None;
        for (key, value) in self.table(name, value)? {
            self.known("tables.", key)?;
            match key.get_ref().as_ref() {
                "indexes" => sections_of_indexes = Some(value),
                key => self.policy_key(&mut policy, key, value)?,
            }
        }
        // Indexes inherit from their table, so they come last wherever they stand in it.
        if let Some(sections) = sections_of_indexes {
            for (index, value) in self.table(&format!("tables.{name}.indexes"), sections)? {
                let index_policy = self.index_policy(&policy, index.get_ref(), value)?;
                policy.indexes.insert(index.get_ref().to_string(), index_policy);
            }
        }
        Ok(policy)
    }

    /// A section `[tables.NAME.indexes.INDEX]`.
    fn index_policy(
        &self,
        table: &CachePolicy,
        name: &str,
        value: &Value<'_>,
    ) -> Result<IndexPolicy, ConfigError> {
        let mut policy = table.index(name);
        for (key, value) in self.table(name, value)? {
            self.known("indexes.", key)?;
            match key.get_ref().as_ref() {
                "query_ttl" => policy.query_ttl = self.parsed("query_ttl", value)?,
                _ => policy.gsi_quarantine = self.duration("gsi_quarantine", value)?,
            }
        }
        Ok(policy)
    }

    /// A key that `[cache]` and `[tables.NAME]` share.
    fn policy_key(&self, policy: &mut CachePolicy, key: &str, value: &Value<'_>) -> Result<(), ConfigError> {
        match key {
            "item_ttl" => policy.item_ttl = self.parsed(key, value)?,
            "query_ttl" => policy.query_ttl = self.parsed(key, value)?,
            "negative_ttl" => policy.negative_ttl = self.parsed(key, value)?,
            "gsi_quarantine" => policy.gsi_quarantine = self.duration(key, value)?,
            "item_bytes_max" => policy.item_bytes_max = self.parsed(key, value)?,
            "scan_pages" => {
                let choices =
                    [("second", ScanPages::Second), ("first", ScanPages::First), ("never", ScanPages::Never)];
                policy.scan_pages = self.choice(key, value, &choices)?;
            }
            "images" => {
                policy.images = self.choice(key, value, &[("ask", Images::Ask), ("never", Images::Never)])?
            }
            "stale_if_error" => policy.stale_if_error = self.duration(key, value)?,
            "fill_items_from_pages" => policy.fill_items_from_pages = self.boolean(key, value)?,
            _ => {
                let choices =
                    [("adaptive", Fill::Adaptive), ("strong", Fill::Strong), ("eventual", Fill::Eventual)];
                policy.fill = self.choice(key, value, &choices)?;
            }
        }
        Ok(())
    }

    fn known(&self, section: &str, key: &Spanned<std::borrow::Cow<'_, str>>) -> Result<(), ConfigError> {
        let keys = KEYS.iter().find(|(name, _)| *name == section).map_or(&[][..], |(_, keys)| keys);
        match keys.contains(&key.get_ref().as_ref()) {
            true => Ok(()),
            false => Err(self.at(key.span().start, unknown("key", key.get_ref(), keys))),
        }
    }

    fn table<'v, 't>(&self, name: &str, value: &'v Value<'t>) -> Result<&'v DeTable<'t>, ConfigError> {
        match value.get_ref() {
            DeValue::Table(table) => Ok(table),
            _ => Err(self.at(value.span().start, format!("{name} is a section: write [{name}]"))),
        }
    }

    fn string<'v>(&self, key: &str, value: &'v Value<'_>) -> Result<&'v str, ConfigError> {
        match value.get_ref() {
            DeValue::String(text) if !text.is_empty() => Ok(text),
            _ => Err(self.wrong(key, value, "text in quotes")),
        }
    }

    fn parsed<T: FromStr<Err = String>>(&self, key: &str, value: &Value<'_>) -> Result<T, ConfigError> {
        self.string(key, value)?
            .parse()
            .map_err(|error| self.at(value.span().start, format!("{key}: {error}")))
    }

    /// A size that makes sense from some size on.
    fn at_least(&self, key: &str, value: &Value<'_>, least: &str) -> Result<ByteSize, ConfigError> {
        let size: ByteSize = self.parsed(key, value)?;
        match least.parse() {
            Ok(least) if size < least => Err(self.wrong(key, value, &format!("at least \"{least}\""))),
            _ => Ok(size),
        }
    }

    fn duration(&self, key: &str, value: &Value<'_>) -> Result<std::time::Duration, ConfigError> {
        parse_duration(self.string(key, value)?)
            .map_err(|error| self.at(value.span().start, format!("{key}: {error}")))
    }

    /// A time without which nothing would ever be done.
    fn timeout(&self, key: &str, value: &Value<'_>) -> Result<std::time::Duration, ConfigError> {
        match self.duration(key, value)? {
            timeout if timeout.is_zero() => Err(self.wrong(key, value, "at least \"1ms\"")),
            timeout => Ok(timeout),
        }
    }

    fn boolean(&self, key: &str, value: &Value<'_>) -> Result<bool, ConfigError> {
        match value.get_ref() {
            DeValue::Boolean(boolean) => Ok(*boolean),
            _ => Err(self.wrong(key, value, "true or false")),
        }
    }

    fn address(&self, key: &str, value: &Value<'_>) -> Result<SocketAddr, ConfigError> {
        let wrong = |_| self.wrong(key, value, "an address and a port, such as \"127.0.0.1:8000\"");
        self.string(key, value)?.parse().map_err(wrong)
    }

    fn count(&self, key: &str, value: &Value<'_>) -> Result<usize, ConfigError> {
        let count = match value.get_ref() {
            DeValue::Integer(integer) => usize::from_str_radix(integer.as_str(), integer.radix()).ok(),
            _ => None,
        };
        count.filter(|count| *count > 0).ok_or_else(|| self.wrong(key, value, "a whole number above zero"))
    }

    fn choice<T: Copy>(&self, key: &str, value: &Value<'_>, choices: &[(&str, T)]) -> Result<T, ConfigError> {
        let text = self.string(key, value)?;
        let chosen = choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
        let names: Vec<_> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
        chosen.ok_or_else(|| self.wrong(key, value, &format!("one of {}", names.join(", "))))
    }

    /// A key of which this version offers one value.
    fn only(&self, key: &str, value: &Value<'_>, offered: &str) -> Result<(), ConfigError> {
        let text = self.string(key, value)?;
        if text == offered {
            return Ok(());
        }
        let error = ConfigError::not_offered(&format!("{key} = {text:?}"), &format!("{offered:?}"));
        Err(self.at(value.span().start, error.message))
    }

    fn wrong(&self, key: &str, value: &Value<'_>, expected: &str) -> ConfigError {
        self.at(value.span().start, format!("{key} takes {expected}"))
    }

    fn at(&self, position: usize, message: String) -> ConfigError {
        ConfigError { line: Some(line_of(self.text, position)), message }
    }
}

fn line_of(text: &str, position: usize) -> usize {
    text.as_bytes()[..position.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

fn unknown(kind: &str, name: &str, known: &[&str]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text).unwrap_err().to_string()
    }

    #[test]
    fn an_unknown_key_names_its_line_and_the_nearest_known_one() {
        assert_eq!(
            error("[cache]\nmax_bytes = \"1MiB\"\nitem_tll = \"5m\""),
            "line 3: unknown key \"item_tll\"; the nearest known one is \"item_ttl\""
        );
        assert_eq!(error("[cach]"), "line 1: unknown section \"cach\"; the nearest known one is \"cache\"");
        assert_eq!(
            error("[tables.Orders]\n\nmax_bytes = \"1MiB\""),
            "line 3: unknown key \"max_bytes\"; the nearest known one is \"scan_pages\""
        );
    }

    #[test]
    fn a_wrong_value_names_its_line_and_key() {
        for (text, start) in [
            ("[server]\nlisten = 8000", "line 2: listen takes"),
            ("[server]\nlisten = \"localhost\"", "line 2: listen takes an address"),
            ("[server]\nmax_connections = 0", "line 2: max_connections takes"),
            ("[cache]\nitem_ttl = \"5\"", "line 2: item_ttl: \"5\" is not a duration"),
            ("[cache]\nmax_bytes = \"many\"", "line 2: max_bytes: \"many\" is not a size"),
            ("[cache]\nfill = \"fast\"", "line 2: fill takes one of"),
            ("[cache]\nquery_share = \"100%\"", "line 2: query_share: \"100%\" is not a share"),
            ("[cache]\nscan_pages = \"third\"", "line 2: scan_pages takes one of"),
            ("[tables.a.indexes]\nb = 1", "line 2: b is a section"),
            ("[tables.a.indexes.b]\nitem_ttl = \"1s\"", "line 2: unknown key \"item_ttl\""),
            ("[cache]\nindexes = 1", "line 2: unknown key \"indexes\""),
            ("[local]\nin_memory = \"yes\"", "line 2: in_memory takes true or false"),
            ("cache = 5", "line 1: cache is a section"),
            ("[cache", "line 1: "),
            ("[cache]\nmax_bytes = \"1B\"", "line 2: max_bytes takes at least \"1MiB\""),
            ("[server]\nidle_timeout = \"0s\"", "line 2: idle_timeout takes at least"),
            ("[log]\nlevel = \"infoo\"", "line 2: level takes one of"),
            ("[upstream]\nkind = \"remote\"", "line 2: kind takes one of"),
            ("[upstream]\nkind = \"endpoint\"", "line 2: endpoint takes http(s)://HOST:PORT"),
            ("[upstream]\nendpoint = \"here\"", "line 2: endpoint: \"here\" is not an endpoint"),
            ("[upstream]\nendpoint = \"http://a\"\nkind = \"aws\"", "line 3: kind takes \"endpoint\""),
            ("[upstream]\nread_timeout = \"0s\"", "line 2: read_timeout takes at least"),
        ] {
            assert!(error(text).starts_with(start), "{text:?}: {}", error(text));
        }
    }

    #[test]
    fn what_this_version_lacks_is_said_and_not_ignored() {
        for text in [
            "[auth]\nmode = \"sigv4\"",
            "[server.tls]\ncert = \"a\"",
            "[[auth.keys]]\naccess_key_id = \"a\"",
            "[admin]\ntoken_file = \"a\"",
        ] {
            assert!(error(text).contains("not offered by this version yet"), "{text:?}: {}", error(text));
        }
    }
}
