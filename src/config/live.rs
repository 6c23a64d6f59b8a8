//! What may change while requests run: who may call, what is audited, the budget of the cache, how each table is cached, and how
//! much is logged.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::callers::Callers;
use super::prices::Prices;
use super::tls::TlsFiles;
use super::units::{ByteSize, Fraction, Share, TimeToLive};

/// What may change while the program runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Live {
    /// The budget of the cache.
    pub cache_bytes_max: ByteSize,
    /// The part of that budget that pages may take; items have the rest.
    pub query_share: Share,
    /// How many reads a second may compare what is cached with the upstream.
    pub verify_rate_max: u32,
    /// The least severe log lines that are written: `error`, `warn`, `info`, `debug`, `trace`, `off`.
    pub log_level: String,
    /// Requests that take as long as this or longer have a line in the log; zero for none.
    pub log_slow: Duration,
    /// Where the token of the admin listener is; without one, what needs a token is closed.
    pub admin_token_file: Option<PathBuf>,
    /// Which requests have a line in the audit log.
    pub audit: Audit,
    /// The files of the TLS listener, if there is one.
    pub tls: TlsFiles,
    /// Who may call, if callers are verified.
    pub callers: Callers,
    /// What capacity units cost.
    pub prices: Prices,
    /// How tables are cached that have no section of their own.
    pub cache: CachePolicy,
    /// The sections `[tables.NAME]`, each filled up from `[cache]`.
    pub tables: BTreeMap<String, CachePolicy>,
}

impl Live {
    /// Every file that is read with the config, and again when it changes.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let of_admin = self.admin_token_file.as_deref().into_iter();
        of_admin.chain(self.callers.files()).chain(self.tls.files())
    }

    /// How a table is cached.
    pub fn policy(&self, table: &str) -> &CachePolicy {
        self.tables.get(table).unwrap_or(&self.cache)
    }

    /// True if what is cached by these policies may as well have been cached by the others: they differ at most in what is
    /// served when the upstream fails, and in how much is compared with it.
    pub fn keeps_as(&self, other: &Self) -> bool {
        let tables: BTreeSet<&String> = self.tables.keys().chain(other.tables.keys()).collect();
        let policies = tables.into_iter().map(|table| (self.policy(table), other.policy(table)));
        policies.chain([(&self.cache, &other.cache)]).all(|(ours, theirs)| {
            let (stale_if_error, verify_sample) = (theirs.stale_if_error, theirs.verify_sample);
            CachePolicy { stale_if_error, verify_sample, ..ours.clone() } == *theirs
        })
    }
}

/// Which requests have a line in the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audit {
    /// None.
    Off,
    /// Those that were denied. Many of a kind share a line.
    Denied,
    /// Each.
    All,
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
    /// Whether what is cached answers reads.
    pub mode: Mode,
    /// The part of hits that is compared with the upstream afterwards.
    pub verify_sample: Fraction,
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
        let has_ttl = self.query_ttl != off || self.indexes.values().any(|index| index.query_ttl != off);
        has_ttl && self.mode != Mode::Off
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

/// Whether what is cached answers reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It does.
    On,
    /// It does not: it is compared with what the upstream answers.
    Shadow,
    /// Nothing is cached.
    Off,
}

impl Mode {
    /// As the config has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }
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

impl Default for Live {
    fn default() -> Self {
        Self {
            cache_bytes_max: ByteSize(256 << 20),
            query_share: Share::default(),
            verify_rate_max: 10,
            log_level: "info".to_owned(),
            log_slow: Duration::from_secs(1),
            admin_token_file: None,
            audit: Audit::Off,
            tls: TlsFiles::default(),
            callers: Callers::default(),
            prices: Prices::default(),
            cache: CachePolicy::default(),
            tables: BTreeMap::new(),
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
            mode: Mode::On,
            verify_sample: Fraction::ZERO,
            indexes: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    fn keeps(before: &str, after: &str) -> bool {
        let live = |text: &str| Config::parse(text).unwrap().live;
        live(before).keeps_as(&live(after))
    }

    #[test]
    fn only_what_is_served_while_the_upstream_fails_may_differ() {
        assert!(keeps("", "[cache]\nstale_if_error = \"5m\""));
        assert!(keeps("", "[tables.Orders]\nstale_if_error = \"5m\""));
        assert!(keeps("[tables.Orders]\nstale_if_error = \"5m\"", "[cache]\nstale_if_error = \"1m\""));
        assert!(keeps("", "[cache]\nverify_sample = 0.5"));
        assert!(!keeps("", "[cache]\nmode = \"shadow\""));
        assert!(!keeps("[tables.Orders]\nmode = \"shadow\"", ""));
        assert!(!keeps("", "[tables.Orders]\nitem_ttl = \"1m\"\nstale_if_error = \"5m\""));
        assert!(!keeps("[tables.Orders]\nitem_ttl = \"1m\"", ""));
        assert!(!keeps("", "[cache]\nfill = \"strong\""));
        assert!(!keeps("", "[tables.Orders.indexes.byDate]\nquery_ttl = \"1m\""));
    }
}
