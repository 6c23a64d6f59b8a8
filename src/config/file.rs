//! The config file: TOML, every key known by section, errors with their line.

mod entry;

use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeTable;

use super::Config;
use super::endpoint::Endpoint;
use super::error::ConfigError;
use super::fixed::{Durability, LocalStore, LogFormat, UpstreamKind};
use super::keys::{KEYS, SECTIONS, unknown};
use super::live::{CachePolicy, Fill, Images, IndexPolicy, ScanPages};

use entry::{Entry, Name};

/// A shorter idle timeout would cut off clients in the middle of their work.
const IDLE_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// The most shards of a stream that are open at a time.
const STREAM_SHARDS_MAX: u32 = 16;

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

impl Config {
    /// Reads a config file's text.
    ///
    /// # Errors
    /// [`ConfigError`] for the first thing wrong, with its line.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let root = DeTable::parse(text).map_err(|error| {
            let message = error.message().lines().next().unwrap_or("not TOML").to_owned();
            match error.span() {
                Some(span) => ConfigError::at(text, span.start, message),
                None => ConfigError::without_line(message),
            }
        })?;
        let mut reader = Reader { text, config: Self::default() };
        let (tables, others): (Vec<_>, Vec<_>) =
            root.get_ref().iter().partition(|(name, _)| name.get_ref() == "tables");
        for (name, value) in others {
            reader.section(name, Entry { text, key: name.get_ref(), value })?;
        }
        // Tables inherit from [cache], so they come last wherever they stand in the file.
        for (name, value) in tables {
            reader.tables(Entry { text, key: name.get_ref(), value })?;
        }
        Ok(reader.config)
    }
}

impl Reader<'_> {
    fn section(&mut self, name: &Name<'_>, section: Entry<'_, '_>) -> Result<(), ConfigError> {
        if !SECTIONS.contains(&section.key) {
            return Err(self.at(name, unknown("section", section.key, SECTIONS)));
        }
        for (key, entry) in section.entries()? {
            let nested = format!("{}.{}", section.key, entry.key);
            if KEYS.iter().any(|(name, _)| *name == nested) {
                let error = ConfigError::not_offered(&format!("[{nested}]"), "neither it nor its keys");
                return Err(self.at(key, error.message));
            }
            self.check_known(section.key, key)?;
            self.key(section.key, entry)?;
        }
        Ok(())
    }

    /// The sections `[tables.NAME]`.
    fn tables(&mut self, sections: Entry<'_, '_>) -> Result<(), ConfigError> {
        for (_, section) in sections.entries()? {
            let policy = self.table_policy(section)?;
            self.config.live.tables.insert(section.key.to_owned(), policy);
        }
        Ok(())
    }

    fn key(&mut self, section: &str, entry: Entry<'_, '_>) -> Result<(), ConfigError> {
        match (section, entry.key) {
            ("server", "listen") => self.config.fixed.listen = entry.address()?,
            ("server", "hosts") => self.config.fixed.hosts = entry.list()?,
            ("server", "cors_origins") => self.config.fixed.cors_origins = entry.list()?,
            ("server", "max_connections") => self.config.fixed.max_connections = entry.count()?,
            ("server", "request_bytes_max") => {
                self.config.fixed.request_bytes_max = entry.at_least("1KiB")?
            }
            ("server", "bodies_bytes_max") => self.config.fixed.bodies_bytes_max = entry.at_least("1KiB")?,
            ("server", "idle_timeout") => {
                let timeout = entry.duration()?;
                if timeout < IDLE_TIMEOUT_MIN {
                    return Err(entry.wrong("at least \"1s\""));
                }
                self.config.fixed.idle_timeout = timeout;
            }
            ("server", "drain_timeout") => self.config.fixed.drain_timeout = entry.duration()?,
            ("admin", "listen") => self.config.fixed.admin_listen = entry.address()?,
            ("auth", "mode") => entry.only("none")?,
            ("upstream", _) => self.upstream_key(entry)?,
            ("admin", _) => {
                let error =
                    ConfigError::not_offered(&format!("{section}.{}", entry.key), "the file without it");
                return Err(entry.at(error.message));
            }
            ("local", "data_dir") => {
                if self.config.fixed.store != LocalStore::Memory {
                    self.config.fixed.store = LocalStore::Directory(PathBuf::from(entry.string()?));
                }
            }
            ("local", "in_memory") => {
                if entry.boolean()? {
                    self.config.fixed.store = LocalStore::Memory;
                }
            }
            ("local", "share") => self.config.fixed.share = entry.boolean()?,
            ("local", "durability") => {
                let choices = [("fsync", Durability::Fsync), ("process", Durability::Process)];
                self.config.fixed.durability = entry.choice(&choices)?;
            }
            ("local", "ttl_sweep") => self.config.fixed.ttl_sweep = entry.duration()?,
            ("local", "status_delay") => self.config.fixed.status_delay = entry.duration()?,
            ("local", "stream_shards") => {
                let shards = u32::try_from(entry.count()?).ok();
                let shards = shards.filter(|shards| *shards <= STREAM_SHARDS_MAX);
                self.config.fixed.stream_shards =
                    shards.ok_or_else(|| entry.wrong("a whole number from 1 to 16"))?;
            }
            ("local", "stream_shard_records_max") => {
                self.config.fixed.stream_shard_records_max = entry.count()? as u64;
            }
            ("cache", "max_bytes") => self.config.live.cache_bytes_max = entry.at_least("1MiB")?,
            ("cache", "query_share") => self.config.live.query_share = entry.parsed()?,
            ("log", "level") => {
                let levels = ["error", "warn", "info", "debug", "trace", "off"].map(|level| (level, level));
                self.config.live.log_level = entry.choice(&levels)?.to_owned();
            }
            ("log", "format") => {
                let choices = [("text", LogFormat::Text), ("json", LogFormat::Json)];
                self.config.fixed.log_format = entry.choice(&choices)?;
            }
            _ => {
                set_policy(&mut self.config.live.cache, entry)?;
            }
        }
        Ok(())
    }

    fn upstream_key(&mut self, entry: Entry<'_, '_>) -> Result<(), ConfigError> {
        match entry.key {
            "kind" => {
                // An endpoint may have been read before, since keys come in the order of their names.
                let named = [("local", Kind::Local), ("aws", Kind::Aws), ("endpoint", Kind::Endpoint)];
                match (entry.choice(&named)?, &self.config.fixed.upstream) {
                    (Kind::Local, UpstreamKind::Local) => {}
                    (Kind::Aws, UpstreamKind::Local) => self.config.fixed.upstream = UpstreamKind::Aws,
                    (Kind::Endpoint, UpstreamKind::Endpoint(_)) => {}
                    (Kind::Endpoint, _) => {
                        return Err(Entry { key: "endpoint", ..entry }.wrong("http(s)://HOST:PORT"));
                    }
                    (Kind::Local | Kind::Aws, _) => {
                        return Err(entry.wrong("\"endpoint\" where there is an endpoint"));
                    }
                }
            }
            "endpoint" => {
                let endpoint: Endpoint = entry.parsed()?;
                self.config.fixed.upstream = UpstreamKind::Endpoint(endpoint);
            }
            "region" => self.config.fixed.region = Some(entry.string()?.to_owned()),
            "connect_timeout" => self.config.fixed.remote.connect_timeout = entry.timeout()?,
            "read_timeout" => self.config.fixed.remote.read_timeout = entry.timeout()?,
            "write_timeout" => self.config.fixed.remote.write_timeout = entry.timeout()?,
            "concurrency_max" => self.config.fixed.remote.concurrency_max = entry.count()?,
            "dual_stack" => self.config.fixed.remote.dual_stack = entry.boolean()?,
            _ => self.config.fixed.remote.fips = entry.boolean()?,
        }
        Ok(())
    }

    /// A section `[tables.NAME]` with the sections of its indexes.
    fn table_policy(&self, section: Entry<'_, '_>) -> Result<CachePolicy, ConfigError> {
        let mut policy = self.config.live.cache.clone();
        let mut indexes = None;
        for (key, entry) in section.entries()? {
            self.check_known("tables.", key)?;
            match entry.key {
                "indexes" => indexes = Some(entry),
                _ => set_policy(&mut policy, entry)?,
            }
        }
        // Indexes inherit from their table, so they come last wherever they stand in it.
        if let Some(indexes) = indexes {
            let key = format!("tables.{}.indexes", section.key);
            for (_, index) in (Entry { key: &key, ..indexes }).entries()? {
                let index_policy = self.index_policy(&policy, index)?;
                policy.indexes.insert(index.key.to_owned(), index_policy);
            }
        }
        Ok(policy)
    }

    /// A section `[tables.NAME.indexes.INDEX]`.
    fn index_policy(&self, table: &CachePolicy, section: Entry<'_, '_>) -> Result<IndexPolicy, ConfigError> {
        let mut policy = table.index(section.key);
        for (key, entry) in section.entries()? {
            self.check_known("indexes.", key)?;
            match entry.key {
                "query_ttl" => policy.query_ttl = entry.parsed()?,
                _ => policy.gsi_quarantine = entry.duration()?,
            }
        }
        Ok(policy)
    }

    fn check_known(&self, section: &str, key: &Name<'_>) -> Result<(), ConfigError> {
        let keys = KEYS.iter().find(|(name, _)| *name == section).map_or(&[][..], |(_, keys)| keys);
        match keys.contains(&key.get_ref().as_ref()) {
            true => Ok(()),
            false => Err(self.at(key, unknown("key", key.get_ref(), keys))),
        }
    }

    /// What is wrong with a name.
    fn at(&self, name: &Name<'_>, message: String) -> ConfigError {
        ConfigError::at(self.text, name.span().start, message)
    }
}

/// Sets a key that `[cache]` and `[tables.NAME]` share.
fn set_policy(policy: &mut CachePolicy, entry: Entry<'_, '_>) -> Result<(), ConfigError> {
    match entry.key {
        "item_ttl" => policy.item_ttl = entry.parsed()?,
        "query_ttl" => policy.query_ttl = entry.parsed()?,
        "negative_ttl" => policy.negative_ttl = entry.parsed()?,
        "gsi_quarantine" => policy.gsi_quarantine = entry.duration()?,
        "item_bytes_max" => policy.item_bytes_max = entry.parsed()?,
        "scan_pages" => {
            let choices =
                [("second", ScanPages::Second), ("first", ScanPages::First), ("never", ScanPages::Never)];
            policy.scan_pages = entry.choice(&choices)?;
        }
        "images" => policy.images = entry.choice(&[("ask", Images::Ask), ("never", Images::Never)])?,
        "stale_if_error" => policy.stale_if_error = entry.duration()?,
        "fill_items_from_pages" => policy.fill_items_from_pages = entry.boolean()?,
        _ => {
            let choices =
                [("adaptive", Fill::Adaptive), ("strong", Fill::Strong), ("eventual", Fill::Eventual)];
            policy.fill = entry.choice(&choices)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        Config::parse(text).unwrap_err().to_string()
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
            ("[server]\nhosts = \"a\"", "line 2: hosts takes a list of texts"),
            ("[server]\nhosts = [\"a\",\n5]", "line 2: hosts takes a list of texts"),
            ("[server]\nhosts = [\"a:1\"]", "line 2: hosts: \"a:1\" is not a host"),
            ("[server]\ncors_origins = [\"a\"]", "line 2: cors_origins: \"a\" is not an origin"),
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
