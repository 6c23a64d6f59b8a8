//! The item cache: one surface over words, flights and store.

mod checks;
mod curve;
mod elsewhere;
mod lease;
mod rules;
mod tables;
mod times;
mod together;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use super::cached_item::CachedItem;
use super::entry::{Entry, Facts, NEVER_MS, NewEntry};
use super::flights::{Hit, Lookup};
use super::freshness::{Freshness, Lease};
use super::guard::{FillPermit, WriteGuard};
use super::last_shown::ShownBy;
use super::page::CompletedReads;

use super::secret::{Secret, Secrets};
use super::slots::{Shard, Slots};
use super::stats::{BumpReason, CacheCounters, CacheStats, NotStored, TableStats, raise};
use super::store::{BudgetedStore, Store};
use super::table::{Address, CachedTable, Realm};

use super::words::{Stripe, Version, Words};
use crate::insight::curve::Curve;
use crate::stopped_time::StoppedTime;

pub(super) use curve::InstalledBy;
use curve::{SIMULATED, install_event};
pub(super) use rules::Rule;
use tables::Tables;
pub(super) use times::{expiry_ms, whole_ms};
pub use together::UncountedHit;

/// How long a write of unknown outcome may still land, unless [`ItemCache::set_unknown_write_window`] says otherwise.
pub(super) const UNKNOWN_WRITE_WINDOW: Duration = Duration::from_secs(30);

/// The size of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheLimits {
    /// The budget of all entries, keys and overhead included. The words and what is in flight come on top: 10 bytes a
    /// stripe, and a few hundred bytes for each read on its way to the upstream.
    pub max_bytes: u64,
    /// How many epoch words there are; rounded up to a power of two. A write kills the other entries of its stripe, so
    /// there should be twice as many stripes as entries.
    pub stripes: usize,
}

impl CacheLimits {
    /// The limits for a budget, with stripes for entries of a common size.
    pub fn for_budget(max_bytes: u64) -> Self {
        let stripes = (max_bytes / 256).clamp(1 << 10, 1 << 22) as usize;
        Self { max_bytes, stripes: stripes.next_power_of_two() }
    }
}

/// How a table's items are read and kept. One request sees one policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadPolicy {
    /// How long an item may be served after it was read. `None`: until something invalidates it. Entries expire up to a tenth
    /// earlier, so that what was read together is not fetched again together.
    pub ttl: Option<Duration>,
    /// The same for the knowledge that there is no item.
    pub negative_ttl: Option<Duration>,
    /// How fetches that are to be cached are made.
    pub fill: FillMode,
    /// Bodies longer than this are served but not kept.
    pub item_bytes_max: usize,
    /// How long after its time an item may still be served to a reader whom the upstream failed. Zero: not at all.
    pub stale_if_error: Duration,
}

/// How fetches that are to be cached are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FillMode {
    /// Eventually consistent, unless this node changed or strongly saw the key within the time replicas may lag.
    Adaptive,
    /// Strongly consistent.
    Strong,
    /// Eventually consistent: half the price, and without the promise that a read sees the writes acknowledged before.
    Eventual,
}

/// How one fetch is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// With `ConsistentRead`.
    Strong,
    /// Without.
    Eventual,
}

/// A read on its way to the upstream, as the cache knew the key when it was sent.
#[derive(Clone, Copy, Debug)]
pub struct SentRead {
    pub(super) version: Version,
    pub(super) consistency: Consistency,
    /// How the table is filled: strongly, where writers elsewhere are reckoned with.
    pub(super) fill: FillMode,
}

/// A moment as lookups need it: by the clock of entries, and with the lease that was found then, before any word was looked at.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    now_ms: u64,
    lease: Lease,
}

/// The cache of items by key, for all tables of one upstream, or of several in realms of their own.
pub struct ItemCache {
    pub(super) words: Words,
    pub(super) slots: Slots,
    pub(super) store: Box<dyn Store>,
    pub(super) counters: CacheCounters,
    pub(super) reads: CompletedReads,
    pub(super) freshness: Freshness,
    /// What caches of other sizes would do.
    curve: Curve,
    tables: RwLock<Tables>,
    /// Milliseconds that a write of unknown outcome may still land; see [`ItemCache::set_unknown_write_window`].
    unknown_write_window_ms: AtomicU64,
    /// Milliseconds that expired entries are kept; see [`ItemCache::keep_expired`].
    expired_kept_ms: AtomicU64,
    /// Seconds since the cache was made, when something was invalidated by name, or everything. A table that is used for the
    /// first time may be the one.
    last_invalidation: AtomicU64,
    secrets: Secrets,
    /// When the cache was made: the zero of all its times.
    origin: Instant,
    /// How long the machine stood still since then. `None`: nobody knows, and it counts as never.
    stopped: Option<Arc<StoppedTime>>,
    #[cfg(test)]
    pub(super) rules: crate::cache::tests::schedules::Rules<Rule>,
}

impl ItemCache {
    /// An empty cache.
    pub fn new(limits: CacheLimits) -> Arc<Self> {
        let store = Box::new(BudgetedStore::new(limits.max_bytes));
        Arc::new(Self::with_store(limits, store, Secrets::Numbered(Secret::random())))
    }

    /// An empty cache whose entries grow older while the machine stands still, too. `stopped` is asked at each lookup, before
    /// anything is served.
    pub fn ageing(limits: CacheLimits, stopped: Arc<StoppedTime>) -> Arc<Self> {
        let store = Box::new(BudgetedStore::new(limits.max_bytes));
        let cache = Self::with_store(limits, store, Secrets::Numbered(Secret::random()));
        Arc::new(Self { stopped: Some(stopped), ..cache })
    }

    /// As [`ItemCache::new`], with every key in the same stripe whenever it is made: for tests, in which two keys must not share
    /// one now and then. Whoever knows the seed can aim writes at the stripe of another key.
    pub fn seeded(limits: CacheLimits, seed: u64) -> Arc<Self> {
        let store = Box::new(BudgetedStore::new(limits.max_bytes));
        Arc::new(Self::with_store(limits, store, Secrets::Numbered(Secret(seed, seed))))
    }

    pub(super) fn with_store(limits: CacheLimits, store: Box<dyn Store>, secrets: Secrets) -> Self {
        Self {
            words: Words::new(limits.stripes),
            slots: Slots::new(),
            store,
            counters: CacheCounters::default(),
            reads: CompletedReads::default(),
            freshness: Freshness::forever(),
            curve: Curve::new(limits.max_bytes, SIMULATED),
            tables: RwLock::default(),
            unknown_write_window_ms: AtomicU64::new(whole_ms(UNKNOWN_WRITE_WINDOW)),
            expired_kept_ms: AtomicU64::new(0),
            last_invalidation: AtomicU64::new(0),
            secrets,
            origin: Instant::now(),
            stopped: None,
            #[cfg(test)]
            rules: crate::cache::tests::schedules::Rules::default(),
        }
    }

    /// The answer for a key, if memory has one that may be used. This is the way of a hit: it waits for no lock of the cache, and
    /// allocates nothing, except the buffer of a thread's samples, once in a while.
    pub fn lookup(&self, address: &Address<'_>, now: Instant) -> Option<Hit<CachedItem>> {
        self.lookup_at(address, self.moment(now))
    }

    /// The moment for several lookups of one request, whose clocks are read once.
    pub fn moment(&self, now: Instant) -> Moment {
        let now_ms = self.elapsed_ms(now);
        Moment { now_ms, lease: self.lease() }
    }

    /// As [`ItemCache::lookup`], at a moment of the same request.
    pub fn lookup_at(&self, address: &Address<'_>, moment: Moment) -> Option<Hit<CachedItem>> {
        let found = self.find_at(address, moment)?;
        Some(self.count_hit(address, found, moment))
    }

    /// The answer for a key that may have expired, for a reader whom the upstream failed: as [`ItemCache::lookup`], but by
    /// the policy's `stale_if_error` later. It is no older than any write that was acknowledged and than what any reader
    /// was answered, because it is invalidated like every other entry when something happens to its key; nor older than a page that
    /// was shown of its partition ([`ItemCache::note_shown`]), which is given by its canonical bytes. There is none without a lease.
    pub fn lookup_stale(
        &self,
        address: &Address<'_>,
        partition: &[u8],
        policy: &ReadPolicy,
        now: Instant,
    ) -> Option<Hit<CachedItem>> {
        let now_ms = self.elapsed_ms(now);
        let lease = self.lease();
        let (entry, facts) = self.usable_entry(address)?;
        let partition = Some(address.table.hash(partition));
        let is_newer = facts.read_ms >= address.table.shown.last_ms(partition, ShownBy::Came);
        let has_lease = lease.covers(now_ms) || !self.obeys(Rule::LeaseGatesHits);
        let is_kept = is_newer
            && has_lease
            && now_ms < facts.expires_ms.saturating_add(whole_ms(policy.stale_if_error));
        let age = Duration::from_millis(now_ms.saturating_sub(facts.read_ms));
        is_kept.then(|| Hit { value: entry.into_image(), age })
    }

    /// Takes note that a page is shown which was sent for then and is here now: of one partition of the table, given by its
    /// canonical bytes, or of any. It must be called before the reader hears the answer.
    pub fn note_shown(&self, table: &CachedTable, partition: Option<&[u8]>, sent: Instant, now: Instant) {
        if self.expired_kept_ms.load(Ordering::Relaxed) > 0 {
            let partition = partition.map(|partition| table.hash(partition));
            // Times in entries are rounded down.
            table.shown.note(partition, self.elapsed_ms(sent), self.elapsed_ms(now) + 1);
        }
    }

    /// The same of a read that may show items of any table of a realm.
    pub fn note_all_shown(&self, realm: Realm, sent: Instant, now: Instant) {
        if self.expired_kept_ms.load(Ordering::Relaxed) > 0 {
            self.tables_of(realm).iter().for_each(|table| self.note_shown(table, None, sent, now));
        }
    }

    /// Keeps expired entries for this long, so that `lookup_stale` finds them: the longest `stale_if_error` of all policies.
    pub fn keep_expired(&self, longest: Duration) {
        self.expired_kept_ms.store(whole_ms(longest), Ordering::Relaxed);
    }

    /// How long after its connection was given up a write may still land. Until then what it may change is not cached.
    pub fn set_unknown_write_window(&self, window: Duration) {
        self.unknown_write_window_ms.store(whole_ms(window), Ordering::Relaxed);
    }

    /// The time that [`ItemCache::set_unknown_write_window`] has set; 30 seconds at first.
    pub fn unknown_write_window(&self) -> Duration {
        Duration::from_millis(self.unknown_write_window_ms.load(Ordering::Relaxed))
    }

    /// The moment, in milliseconds since the cache was made, until when what expired is of no use to anybody any more.
    pub(super) fn useless_ms(&self, now: Instant) -> u64 {
        self.elapsed_ms(now).saturating_sub(self.expired_kept_ms.load(Ordering::Relaxed))
    }

    /// A reader's turn: an answer, a place among those who wait for one, or the order to fetch.
    ///
    /// A reader takes at most three turns; after that it reads through, strongly or not as its client wishes, and hands
    /// what it got to [`ItemCache::observe`].
    pub fn read(
        self: &Arc<Self>,
        address: &Address<'_>,
        policy: &ReadPolicy,
        now: Instant,
    ) -> Lookup<CachedItem, FillPermit> {
        if let Some(hit) = self.lookup(address, now) {
            return Lookup::Hit(hit);
        }
        let (stripe, now_ms) = (self.stripe(address), self.elapsed_ms(now));
        let mut shard = self.slots.lock(stripe);
        self.release_if_over(&mut shard, stripe, now);
        // A fetch may have ended between the first look and the lock.
        if let Some(hit) = self.lookup(address, now) {
            return Lookup::Hit(hit);
        }
        let lease = self.lease();
        let version = self.version(address.table, stripe);
        if let Some(flight) = shard.flights().current(address)
            && self.may_join(flight.version, version)
            && (self.may_serve(lease, flight.sent_ms, now_ms) || !self.obeys(Rule::JoinNeedsLease))
        {
            if let Some(joiner) = flight.join() {
                raise(&address.table.counters.joins);
                return Lookup::Join(joiner);
            }
            raise(&self.counters.waiters_turned_away);
        }
        raise(&address.table.counters.leads);
        let is_changing = self.is_changing(&shard, address, version, now);
        let consistency = self.consistency(policy.fill, lease, is_changing, now);
        let flight = shard.flights_mut().take_off(address, version, now_ms);
        Lookup::Lead(FillPermit::new(self.clone(), address, flight, consistency, *policy, now))
    }

    /// What the cache knows of a key when a strong read past it is about to be sent, for [`ItemCache::observe`].
    pub fn sending(&self, address: &Address<'_>, fill: FillMode) -> SentRead {
        SentRead {
            version: self.version(address.table, self.stripe(address)),
            consistency: Consistency::Strong,
            fill,
        }
    }

    /// Takes note of what a strong read past the cache returned: a client's own, a transaction's, or one after three turns.
    /// It must be called before the reader hears the answer, and can only make the cache fresher.
    pub fn observe(&self, address: &Address<'_>, image: &CachedItem, sent: SentRead, now: Instant) {
        let stripe = self.stripe(address);
        let mut shard = self.slots.lock(stripe);
        if self.obeys(Rule::ObserveReads) {
            self.observe_locked(&mut shard, address, image, sent, now);
        }
        self.read_completed(&shard, address);
    }

    /// Takes note that a reader was shown an answer that the cache cannot compare: it is not understood, or shows only a part
    /// of the item. What is cached of the key may be older, so it is invalidated. Must be called before the reader hears the
    /// answer.
    pub fn observe_opaque(&self, address: &Address<'_>, now: Instant) {
        let shard = self.slots.lock(self.stripe(address));
        self.observe_opaque_locked(&shard, address, now);
    }

    /// How a fetch of the key would have to be made now.
    pub fn consistency_now(&self, address: &Address<'_>, fill: FillMode, now: Instant) -> Consistency {
        let stripe = self.stripe(address);
        let shard = self.slots.lock(stripe);
        let Moment { lease, .. } = self.moment(now);
        let version = self.version(address.table, stripe);
        self.consistency(fill, lease, self.is_changing(&shard, address, version, now), now)
    }

    /// Begins a write of these keys, of one table or several. It must be called before the first byte of the write is
    /// sent, and the guard be told the verdict before the client is.
    pub fn begin_write(self: &Arc<Self>, keys: &[Address<'_>], now: Instant) -> WriteGuard {
        WriteGuard::begin(self.clone(), keys, now)
    }

    /// Makes what is cached of a key unusable: the upstream has changed the item without a write that was begun here. For pages the
    /// same must have been said before ([`super::PageCache::invalidate`]), or an item of an older page could be stored after it.
    pub fn invalidate(&self, address: &Address<'_>, now: Instant) {
        self.invalidate_because(address, BumpReason::Reported, now);
    }

    pub(super) fn invalidate_because(&self, address: &Address<'_>, reason: BumpReason, now: Instant) {
        let stripe = self.stripe(address);
        let _shard = self.slots.lock(stripe);
        if self.obeys(Rule::TouchOnWrite) {
            self.words.touch(stripe, self.seconds(now));
        }
        if self.obeys(Rule::BumpOnReport) {
            self.bump(stripe, reason);
        }
    }

    /// Ends the holds that are over, and reclaims a slice of what is dead or expired. To be called a few times a
    /// second; nothing depends on it but memory, and how soon held keys are cached again.
    pub fn sweep(&self, now: Instant) {
        for mut shard in self.slots.each() {
            for stripe in shard.holds_over(now) {
                self.release_if_over(&mut shard, stripe, now);
            }
        }
        let useless_ms = self.useless_ms(now);
        let words = self.known_tables().into_iter().map(|table| (table.id(), table.word()));
        let words: HashMap<u32, u64> = words.collect();
        let reclaimed = self.store.reclaim(&|hash, facts| {
            facts.expires_ms <= useless_ms
                || facts.version.stripe != self.words.load(self.words.stripe(hash))
                // Words grow, so an entry of a later word was stored after these were looked up.
                || words.get(&facts.table).is_some_and(|word| facts.version.table < *word)
        });
        self.counters.expired.fetch_add(reclaimed, Ordering::Relaxed);
        self.simulate(now);
    }

    /// Changes the budget. A smaller one is kept at once, by evicting.
    pub fn set_max_bytes(&self, max_bytes: u64) {
        self.store.set_bytes_max(max_bytes);
        self.curve.set_bytes_max(max_bytes, self.elapsed_ms(Instant::now()));
    }

    /// What happened so far, and how large the cache is.
    pub fn stats(&self) -> CacheStats {
        let mut total = TableStats::default();
        for table in self.known_tables() {
            total += table.stats();
        }
        let usage = self.store.usage();
        CacheStats {
            total,
            bumps: self.counters.bumps(),
            not_stored: self.counters.not_stored_counts(),
            bumps_spared: self.counters.bumps_spared.load(Ordering::Relaxed),
            holds_active: u64::try_from(self.counters.holds_active.load(Ordering::Relaxed)).unwrap_or(0),
            waiters_turned_away: self.counters.waiters_turned_away.load(Ordering::Relaxed),
            evictions: usage.evictions,
            expired: self.counters.expired.load(Ordering::Relaxed),
            entries: usage.entries,
            bytes: usage.bytes,
            bytes_max: usage.bytes_max,
        }
    }
}

/// What the two kinds of guard build on. Everything that takes a shard must be called with the lock of its stripe.
impl ItemCache {
    pub(super) fn stripe(&self, address: &Address<'_>) -> Stripe {
        self.words.stripe(address.hash)
    }

    pub(super) fn version(&self, table: &CachedTable, stripe: Stripe) -> Version {
        Version { stripe: self.words.load(stripe), table: table.word() }
    }

    /// The entry of the key, if nothing happened that could have made it old. It may have expired.
    pub(super) fn usable_entry(&self, address: &Address<'_>) -> Option<(Entry, Facts)> {
        let entry = self.store.get(address.hash)?;
        let facts = entry.facts();
        let version = self.version(address.table, self.stripe(address));
        let is_usable = (facts.version.stripe == version.stripe || !self.obeys(Rule::ValidateHits))
            && (facts.version.table == version.table || !self.obeys(Rule::ValidateTable))
            && facts.table == address.table.id()
            && entry.key() == address.key;
        is_usable.then_some((entry, facts))
    }

    fn may_join(&self, flight: Version, reader: Version) -> bool {
        flight == reader || !self.obeys(Rule::JoinOnEqualWords)
    }

    /// True if a replica that lags might not have what this node has written, or has strongly seen.
    pub(super) fn is_changing(
        &self,
        shard: &Shard,
        address: &Address<'_>,
        version: Version,
        now: Instant,
    ) -> bool {
        let (stripe, seconds) = (self.stripe(address), self.seconds(now));
        shard.has_writers(stripe)
            || version.is_held()
            || self.words.is_touched(stripe, seconds)
            || address.table.is_touched(seconds)
    }

    /// Compares what somebody has read with what the cache would answer, now or when the current flight lands.
    pub(super) fn observe_locked(
        &self,
        shard: &mut Shard,
        address: &Address<'_>,
        image: &CachedItem,
        sent: SentRead,
        now: Instant,
    ) {
        let (stripe, seconds) = (self.stripe(address), self.seconds(now));
        self.words.touch(stripe, seconds);
        let version = self.version(address.table, stripe);
        // A write in flight may have happened already, and one that nobody knows by its key has invalidated the table.
        let may_be_newer =
            shard.has_writers(stripe) || version.is_held() || address.table.is_touched(seconds);
        let was_overtaken = sent.version != version && self.obeys(Rule::DateReadsBySending);
        // Something was written since the read was sent, and what is cached now is from after that. Nobody but this node
        // writes, as far as the policy must know, so the cache is the newer one.
        let is_only_writer = sent.fill == FillMode::Adaptive && !self.is_in_fleet();
        if was_overtaken && !may_be_newer && is_only_writer {
            return;
        }
        // Expired entries count: another thread's clock reading may be a little older.
        let stale = self.usable_entry(address).filter(|(entry, _)| !entry.holds(image));
        let agrees = match shard.flights().current(address) {
            Some(flight) if flight.version == version => flight.note_seen(image),
            _ => true,
        };
        if stale.is_some() || !agrees {
            self.bump(stripe, BumpReason::Observed);
        }
        // In a fleet it may be a write whose report is on its way.
        let is_explained =
            was_overtaken || may_be_newer || sent.consistency == Consistency::Eventual || self.is_in_fleet();
        if stale.is_some_and(|(_, facts)| self.elapsed_ms(now) < facts.expires_ms) && !is_explained {
            raise(&address.table.counters.stale_observed);
        }
    }

    /// As [`ItemCache::observe_locked`], of an answer that cannot be compared.
    pub(super) fn observe_opaque_locked(&self, shard: &Shard, address: &Address<'_>, now: Instant) {
        let stripe = self.stripe(address);
        // Before the bump, or a fill with the new word might still be read from a replica that lags.
        self.words.touch(stripe, self.seconds(now));
        let version = self.version(address.table, stripe);
        let is_flying = shard.flights().current(address).is_some_and(|flight| flight.version == version);
        if (is_flying || self.usable_entry(address).is_some()) && self.obeys(Rule::OpaqueReadsInvalidate) {
            self.bump(stripe, BumpReason::Observed);
        }
        self.read_completed(shard, address);
    }

    /// Every read that completes goes through here. True if a write of its stripe is in flight: what was read may be newer
    /// than the image that write wants to store, so neither is stored.
    pub(super) fn read_completed(&self, shard: &Shard, address: &Address<'_>) -> bool {
        self.reads.note(address.hash);
        let stripe = self.stripe(address);
        let during_write = shard.has_writers(stripe) && self.obeys(Rule::ReadsKillWriteInstalls);
        if during_write {
            self.bump(stripe, BumpReason::ReadDuringWrite);
        }
        during_write
    }

    /// Stores an image. The caller has made sure that `version` vouches for it.
    pub(super) fn install(
        &self,
        address: &Address<'_>,
        image: &CachedItem,
        version: Version,
        policy: &ReadPolicy,
        read_ms: u64,
        by: InstalledBy,
    ) -> bool {
        let ttl = if image.is_absent() { policy.negative_ttl } else { policy.ttl };
        if ttl == Some(Duration::ZERO) {
            self.counters.not_stored(NotStored::Policy);
            return false;
        }
        let own_end_ms = self.own_end_ms(address.table, image.body());
        if own_end_ms == Some(0) {
            self.counters.not_stored(NotStored::Policy);
            return false;
        }
        let expires_ms = expiry_ms(read_ms, ttl).min(own_end_ms.unwrap_or(NEVER_MS));
        let facts = Facts { version, table: address.table.id(), read_ms, expires_ms };
        let is_stored = image.body().len() <= policy.item_bytes_max
            && NewEntry::new(facts, address.key, image).is_some_and(|entry| {
                let event =
                    self.curve.takes(address.hash).then(|| install_event(address, &entry, &facts, by));
                let is_stored = self.store.insert(address.hash, &entry);
                event.filter(|_| is_stored).into_iter().for_each(|event| self.curve.note(event));
                is_stored
            });
        if !is_stored {
            self.counters.not_stored(NotStored::Size);
        }
        is_stored
    }

    /// When the first item of an answer expires by the upstream's own time to live, in milliseconds since the cache was made: 0 if
    /// one has, `None` if none will.
    pub(super) fn own_end_ms(&self, table: &CachedTable, body: &[u8]) -> Option<u64> {
        match table.ms_until_expiry(body)? {
            0 => Some(0),
            left_ms => Some(self.elapsed_ms(Instant::now()).saturating_add(left_ms).min(NEVER_MS)),
        }
    }

    /// What was read could not be stored, so an entry from before is still there. It is past its time, but somebody whom
    /// the upstream fails may yet ask for it, and would go back behind this reader.
    pub(super) fn invalidate_contradicted(&self, address: &Address<'_>, image: &CachedItem) {
        let is_contradicted = self.usable_entry(address).is_some_and(|(entry, _)| !entry.holds(image));
        if is_contradicted && self.obeys(Rule::UnstoredInvalidatesStale) {
            self.bump(self.stripe(address), BumpReason::Observed);
        }
    }

    pub(super) fn bump(&self, stripe: Stripe, reason: BumpReason) {
        self.words.bump(stripe);
        self.counters.bumped(reason);
    }

    /// Nothing of the stripe is cached until then.
    pub(super) fn hold(&self, shard: &mut Shard, stripe: Stripe, until: Instant, reason: BumpReason) {
        if shard.hold_until(stripe, until) {
            self.words.hold(stripe);
            self.counters.bumped(reason);
            self.counters.holds_active.fetch_add(1, Ordering::Relaxed);
        } else {
            self.bump(stripe, reason);
        }
    }

    /// True if nothing may be stored that was sent for at `began` and has come now: a write of unknown outcome may still land anywhere
    /// in its table, or might have when it was sent. Here the table is invalidated when a hold ends; elsewhere, some time after.
    pub(super) fn is_held(&self, table: &CachedTable, began: Instant, now: Instant) -> bool {
        table.is_held(self.running_ms(if self.is_in_fleet() { began } else { now }))
    }

    fn release_if_over(&self, shard: &mut Shard, stripe: Stripe, now: Instant) {
        if shard.is_hold_over(stripe, now) {
            shard.end_hold(stripe);
            // What this node may have written as late as now is a write like any other.
            self.words.touch(stripe, self.seconds(now));
            self.words.release(stripe);
            self.counters.bumped(BumpReason::HoldEnd);
            self.counters.holds_active.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
