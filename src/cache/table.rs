//! A table as the cache sees it: a word that invalidates everything of it, and a secret to hash its keys with.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;

use super::comparisons::Comparisons;
use super::elsewhere::TableDigest;
use super::expiry::earliest_expiry;
use super::last_shown::Shown;
use super::page::TablePages;
use super::secret::Secrets;
use super::stats::{TableCounters, TableStats, raise};
use super::words::LAG_SECONDS_MAX;

/// Tables that have nothing to do with those of other realms, whatever they are called: those of one region and access key,
/// where these are kept apart. All realms share the cache's budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Realm(u32);

impl Realm {
    /// The realm where there is but one.
    pub const SOLE: Self = Self(0);

    /// A further one. Numbers are counted by who tells realms apart; 0 is [`Realm::SOLE`].
    pub fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    pub fn number(self) -> u32 {
        self.0
    }
}

/// What the service identifies a table by. A bare name means another table for each account and region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableIdentity<'a> {
    /// The table's name, without its account.
    pub name: &'a str,
    /// Its ARN as the upstream reports it; empty if the upstream reports none.
    pub arn: &'a str,
    /// Its `TableId`, which changes when the table is deleted and created again; empty if the upstream reports none.
    pub id: &'a str,
}

impl<'a> From<&'a str> for TableIdentity<'a> {
    /// The identity of a table of which the upstream reports nothing but its name.
    fn from(name: &'a str) -> Self {
        Self { name, arn: "", id: "" }
    }
}

/// One table's part of the cache. Get it from [`super::ItemCache::table`], once, and keep it.
#[derive(Debug)]
pub struct CachedTable {
    id: u32,
    name: Box<str>,
    /// Captured by every read and kept in every entry, like the word of a stripe. A bump invalidates the whole table.
    word: AtomicU64,
    /// Seconds since the cache was made, when the table was last invalidated: replicas may lag behind what invalidated it.
    invalidated: AtomicU64,
    /// Milliseconds since the cache was made, until when a write of unknown outcome may still change anything of the table.
    held_until_ms: AtomicU64,
    /// Changes in flight of which nobody can say which items they touch.
    wide_changes: AtomicUsize,
    digest: TableDigest,
    /// Of its own, so that one hash names table and key together.
    secrets: Secrets,
    pub(super) counters: TableCounters,
    pub(super) pages: TablePages,
    comparisons: Comparisons,
    /// The attribute by which the upstream removes expired items.
    time_to_live: ArcSwapOption<String>,
    pub(super) shown: Shown,
}

/// A key or a page in a table, hashed once.
#[derive(Clone, Copy, Debug)]
pub struct Address<'a> {
    pub(super) table: &'a Arc<CachedTable>,
    pub(super) key: &'a [u8],
    pub(super) hash: u64,
}

impl Address<'_> {
    /// The hash, for [`CachedTable::address_with_hash`].
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The canonical bytes that were hashed.
    pub fn key(&self) -> &[u8] {
        self.key
    }
}

impl CachedTable {
    /// A table that was first used as the one of that number. `secrets` are those of the cache.
    pub(super) fn new(id: u32, name: &str, secrets: Secrets, invalidated: u64) -> Self {
        Self {
            id,
            name: name.into(),
            digest: secrets.table_digest(name),
            secrets: secrets.of_table(id, name),
            word: AtomicU64::new(0),
            invalidated: AtomicU64::new(invalidated),
            held_until_ms: AtomicU64::new(0),
            wide_changes: AtomicUsize::new(0),
            counters: TableCounters::default(),
            pages: TablePages::default(),
            comparisons: Comparisons::default(),
            time_to_live: ArcSwapOption::empty(),
            shown: Shown::default(),
        }
    }

    /// The table's name, as it was asked for. Tables of other realms may have the same.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The address of a key, from its canonical bytes: equal keys must be equal bytes.
    pub fn address<'a>(self: &'a Arc<Self>, key_bytes: &'a [u8]) -> Address<'a> {
        Address { table: self, key: key_bytes, hash: self.hash(key_bytes) }
    }

    /// As [`CachedTable::address`], with the hash of an earlier address of the same bytes. A hash of other bytes finds
    /// nothing, and harms no more than that.
    pub fn address_with_hash<'a>(self: &'a Arc<Self>, key_bytes: &'a [u8], hash: u64) -> Address<'a> {
        Address { table: self, key: key_bytes, hash }
    }

    /// Has what is stored from now on end when the first of its items expires, by the second since 1970 in that attribute. What
    /// was stored by another attribute is invalidated.
    pub fn set_time_to_live(&self, attribute: Option<&str>) {
        let former = self.time_to_live.swap(attribute.map(|name| Arc::new(name.to_owned())));
        if former.as_ref().map(|name| name.as_str()) != attribute {
            // After the change: whatever was stored by the former attribute has the former word.
            self.bump();
        }
    }

    /// The milliseconds from now until the first item in the body of an answer expires: zero if one has expired, `None` if none
    /// will, or if the table's items do not expire.
    pub(super) fn ms_until_expiry(&self, body: &[u8]) -> Option<u64> {
        let attribute = self.time_to_live.load_full()?;
        let first = earliest_expiry(body, &attribute)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(first.saturating_mul(1000).saturating_sub(now.as_millis() as u64))
    }

    /// What happened in this table so far.
    pub fn stats(&self) -> TableStats {
        self.counters.snapshot()
    }

    /// What came of comparing its cached values with those of the upstream.
    pub fn comparisons(&self) -> &Comparisons {
        &self.comparisons
    }

    /// Counts an item of an answer whose key was not the one asked for.
    pub fn note_foreign_key(&self) {
        raise(&self.counters.foreign_keys);
    }

    /// By what the nodes of a fleet call the table in their reports. Outside of a fleet it means nothing to others.
    pub fn digest(&self) -> TableDigest {
        self.digest
    }

    pub(super) fn hash(&self, bytes: &[u8]) -> u64 {
        self.secrets.secret().hash(bytes)
    }

    pub(super) fn secrets(&self) -> Secrets {
        self.secrets
    }

    /// Its number in the cache.
    pub(crate) fn number(&self) -> u32 {
        self.id
    }

    /// A number that grows whenever everything that is cached of the table is invalidated.
    pub(crate) fn invalidations(&self) -> u64 {
        self.word()
    }

    pub(super) fn id(&self) -> u32 {
        self.id
    }

    pub(super) fn word(&self) -> u64 {
        self.word.load(Ordering::Acquire)
    }

    pub(super) fn bump(&self) {
        self.word.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn touch(&self, seconds: u64) {
        self.invalidated.fetch_max(seconds, Ordering::AcqRel);
    }

    pub(super) fn hold_until(&self, until_ms: u64) {
        self.held_until_ms.fetch_max(until_ms, Ordering::AcqRel);
    }

    /// True while nothing of the table may be stored, because a write of unknown outcome may still land anywhere in it.
    pub(super) fn is_held(&self, now_ms: u64) -> bool {
        now_ms < self.held_until_ms.load(Ordering::Acquire)
    }

    /// A change begins of which nobody can say which items it touches. Must be followed by [`CachedTable::end_wide_change`], when
    /// everything it may have changed is invalidated.
    pub fn begin_wide_change(&self) {
        self.wide_changes.fetch_add(1, Ordering::AcqRel);
    }

    /// See [`CachedTable::begin_wide_change`].
    pub fn end_wide_change(&self) {
        self.wide_changes.fetch_sub(1, Ordering::AcqRel);
    }

    /// True while a change may be moving items in indexes that nobody can name.
    pub(super) fn has_wide_changes(&self, now_ms: u64) -> bool {
        self.wide_changes.load(Ordering::Acquire) > 0 || self.is_held(now_ms)
    }

    /// When the table was last invalidated: milliseconds since the cache was made, rounded up.
    pub(super) fn invalidated_ms(&self) -> u64 {
        (self.invalidated.load(Ordering::Acquire) + 1) * 1000
    }

    /// True if an eventually consistent read sent now might miss what invalidated the table.
    pub(super) fn is_touched(&self, seconds: u64) -> bool {
        let invalidated = self.invalidated.load(Ordering::Acquire);
        seconds <= invalidated + u64::from(LAG_SECONDS_MAX)
    }
}
