//! The page cache: one surface over words, flights and store.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::super::entry::NEVER_MS;
use super::super::flights::Flights;
use super::super::flights::{Hit, Lookup};
use super::super::freshness::Lease;
use super::super::item::{Consistency, FillMode, ItemCache, expiry_ms, whole_ms};
use super::super::last_shown::ShownBy;
use super::super::stats::{BumpReason, raise};
use super::super::table::{Address, CachedTable};
use super::admission::RecentScans;
use super::body::Page;
use super::entry::{PageEntry, PageFacts};
use super::permit::{PagePermit, Sending};
use super::rules::PageRule;
use super::scope::{CachedIndex, Extent, PageScope};
use super::stats::{BumpedScope, PageCounters, PageNotStored, PageStats, ScopeStats};
use super::store::{BudgetedPageStore, PageStore};
use super::words::{PageVersion, PageWords};
use super::write::{LateBumps, PageWriteGuard, Writers};
use crate::insight::curve::{Curve, Scale};

const SHARDS: usize = 64;

/// The size of the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimits {
    /// The budget of all pages, fingerprints and overhead included. The words come on top: 10 bytes for each stripe of
    /// partitions and 16 for each of index partitions; and what is in flight.
    pub max_bytes: u64,
    /// How many words there are for partitions of tables; rounded up to a power of two. A write kills the pages of all
    /// partitions of its stripe.
    pub partition_stripes: usize,
    /// The same for partitions of global indexes.
    pub index_partition_stripes: usize,
}

impl PageLimits {
    /// The limits for a budget, with stripes for all sizes.
    pub fn for_budget(max_bytes: u64) -> Self {
        Self { max_bytes, partition_stripes: 1 << 18, index_partition_stripes: 1 << 16 }
    }

    /// The same for a node in a fleet, whose words move with the writes of all nodes.
    pub fn in_fleet(max_bytes: u64) -> Self {
        Self { partition_stripes: 1 << 21, ..Self::for_budget(max_bytes) }
    }
}

/// How pages are read and kept. One request sees one policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PagePolicy {
    /// How long a page may be served after it was sent for. `None`: until something invalidates it. Zero: pages are not kept,
    /// but requests still wait for each other. Pages expire up to a tenth earlier.
    pub ttl: Option<Duration>,
    /// How fetches of pages of tables and local indexes are made. Global indexes are always read eventually consistently.
    pub fill: FillMode,
    /// How long after a write to a global index its pages are answered but not kept. It should be longer than the index
    /// lags. Zero: they are kept at once, old or not.
    pub gsi_quarantine: Duration,
    /// Longer bodies are served but not kept.
    pub page_bytes_max: usize,
    /// Which pages of scans are kept.
    pub scan_admission: ScanAdmission,
    /// How long after its time a page may still be served to a reader whom the upstream failed. Zero: not at all.
    pub stale_if_error: Duration,
    /// Items of pages are stored by their keys too, where that is right; see [`PagePermit::complete_with_items`].
    pub fill_items: bool,
}

/// Which pages of scans are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanAdmission {
    /// All.
    First,
    /// Those that are asked for a second time within their time to live.
    Second,
    /// None.
    Never,
}

/// A strong read of a page on its way to the upstream, as the cache knew the page's scope when it was sent.
#[derive(Clone, Copy, Debug)]
pub struct SentPage(PageVersion);

/// The cache of pages, for all tables of one upstream. It shares the tables of an [`ItemCache`]: invalidating a table there
/// invalidates its pages here.
///
/// A page is addressed by [`CachedTable::address`] of the canonical bytes of its request, its *fingerprint*. Two requests
/// may have the same fingerprint only if they mean the same page.
pub struct PageCache {
    pub(super) items: Arc<ItemCache>,
    pub(super) words: PageWords,
    pub(super) store: Box<dyn PageStore>,
    pub(super) counters: PageCounters,
    pub(super) writers: Writers,
    pub(super) late_bumps: LateBumps,
    pub(super) scans: RecentScans,
    /// What caches of other sizes would do.
    pub(super) curve: Curve,
    flights: Box<[Mutex<PageFlights>]>,
    #[cfg(test)]
    pub(super) rules: crate::cache::tests::schedules::Rules<PageRule>,
}

pub(super) type PageFlights = Flights<PageVersion, Page>;

impl PageCache {
    /// An empty cache beside that of the items.
    pub fn new(limits: PageLimits, items: Arc<ItemCache>) -> Arc<Self> {
        Arc::new(Self::with_store(limits, items, Box::new(BudgetedPageStore::new(limits.max_bytes))))
    }

    pub(super) fn with_store(limits: PageLimits, items: Arc<ItemCache>, store: Box<dyn PageStore>) -> Self {
        Self {
            items,
            words: PageWords::new(limits.partition_stripes, limits.index_partition_stripes),
            store,
            counters: PageCounters::default(),
            writers: Writers::default(),
            late_bumps: LateBumps::default(),
            scans: RecentScans::new(),
            curve: Curve::new(limits.max_bytes, Scale { entries_max: 1024, overhead_bytes: 0 }),
            flights: (0..SHARDS).map(|_| Mutex::default()).collect(),
            #[cfg(test)]
            rules: crate::cache::tests::schedules::Rules::default(),
        }
    }

    /// The answer for a fingerprint, if memory has one that may be used. This is the way of a hit: no lock of the cache is
    /// taken, and nothing is allocated, but for pages of more than 16 KiB, which are put together.
    pub fn lookup(&self, address: &Address<'_>, now: Instant) -> Option<Hit<Page>> {
        let now_ms = self.items.elapsed_ms(now);
        let lease = self.items.lease();
        let entry = self.usable_entry(address)?;
        let facts = &entry.facts;
        if now_ms >= facts.expires_ms && self.obeys(PageRule::ExpireEntries) {
            return None;
        }
        if !self.may_serve(lease, &facts.scope, facts.sent_ms, now_ms) && self.obeys(PageRule::LeaseGatesHits)
        {
            return None;
        }
        if self.curve.takes(address.hash) {
            self.note_hit(address, &entry);
        }
        raise(facts.scope.counters(&facts.table).hits.mine());
        Some(Hit { value: entry.page(), age: Duration::from_millis(now_ms.saturating_sub(facts.sent_ms)) })
    }

    /// The page of a fingerprint that may have expired, for a reader whom the upstream failed: as [`PageCache::lookup`],
    /// but by the policy's `stale_if_error` later. Writes invalidate it like every other page, and so does a later page that may show
    /// one of its items ([`ItemCache::note_shown`]). There is none without a lease.
    pub fn lookup_stale(
        &self,
        address: &Address<'_>,
        policy: &PagePolicy,
        now: Instant,
    ) -> Option<Hit<Page>> {
        let now_ms = self.items.elapsed_ms(now);
        let lease = self.items.lease();
        let entry = self.usable_entry(address)?;
        let facts = &entry.facts;
        let partition = match facts.scope.0 {
            Extent::Partition(hash) => Some(hash),
            Extent::Table | Extent::IndexPartition(..) | Extent::Index(_) => None,
        };
        let is_newer = facts.sent_ms >= address.table.shown.last_ms(partition, ShownBy::Sent);
        let has_lease = lease.covers(now_ms) || !self.obeys(PageRule::LeaseGatesHits);
        let is_kept = is_newer
            && has_lease
            && now_ms < facts.expires_ms.saturating_add(whole_ms(policy.stale_if_error));
        let age = Duration::from_millis(now_ms.saturating_sub(facts.sent_ms));
        is_kept.then(|| Hit { value: entry.page(), age })
    }

    /// The page that memory has, be it past its time, for who only wants to compare: it does not count as a hit.
    pub fn peek(&self, address: &Address<'_>) -> Option<Page> {
        self.usable_entry(address).map(|entry| entry.page())
    }

    /// A reader's turn: an answer, a place among those who wait for one, or the order to fetch. `scope` is what the page
    /// of this fingerprint depends on, always the same.
    ///
    /// A reader takes at most three turns; after that it reads through.
    pub fn read(
        self: &Arc<Self>,
        address: &Address<'_>,
        scope: &PageScope,
        policy: &PagePolicy,
        now: Instant,
    ) -> Lookup<Page, PagePermit> {
        if let Some(hit) = self.lookup(address, now) {
            return Lookup::Hit(hit);
        }
        self.note_scan(address, scope, policy, now);
        let counters = scope.counters(address.table);
        let mut flights = self.flights(address.hash);
        // A fetch may have ended between the first look and the lock.
        if let Some(hit) = self.lookup(address, now) {
            return Lookup::Hit(hit);
        }
        let now_ms = self.items.elapsed_ms(now);
        let lease = self.items.lease();
        let version = self.words.version(address.table, scope);
        if let Some(flight) = flights.current(address)
            && (flight.version == version || !self.obeys(PageRule::JoinOnEqualWords))
            && (self.may_serve(lease, scope, flight.sent_ms, now_ms) || !self.obeys(PageRule::JoinNeedsLease))
        {
            if let Some(joiner) = flight.join() {
                raise(&counters.joins);
                return Lookup::Join(joiner);
            }
            raise(&self.counters.waiters_turned_away);
        }
        raise(&counters.leads);
        // After the version was captured: a write notes itself before it bumps.
        let consistency = self.consistency(address.table, scope, policy, lease, now);
        let flight = flights.take_off(address, version, now_ms);
        let sending = Sending { consistency, had_lease: lease.covers(now_ms), began: now, sent_ms: now_ms };
        Lookup::Lead(PagePermit::new(self.clone(), address, scope, flight, sending, *policy))
    }

    /// What the cache knows of a page when a strong read of it is about to be sent, for [`PageCache::observe`].
    pub fn sending(&self, address: &Address<'_>, scope: &PageScope) -> SentPage {
        SentPage(self.words.version(address.table, scope))
    }

    /// As [`ItemCache::may_have_changed`], of a page.
    pub fn may_have_changed(
        &self,
        address: &Address<'_>,
        scope: &PageScope,
        sent: SentPage,
        now: Instant,
    ) -> bool {
        sent.0 != self.words.version(address.table, scope)
            || self.may_be_written(address.table, scope)
            || address.table.has_wide_changes(self.items.running_ms(now))
    }

    /// Takes note of what a client's own consistent Query or Scan returned. It must be called before the client hears the
    /// answer; no page of this fingerprint that is answered after it is older than this one.
    pub fn observe(
        &self,
        address: &Address<'_>,
        scope: &PageScope,
        page: &Page,
        sent: SentPage,
        now: Instant,
    ) {
        if !self.obeys(PageRule::ObserveReads) {
            return;
        }
        let flights = self.flights(address.hash);
        self.words.touch(address.table, scope, self.items.seconds(now));
        let stale = self.usable_entry(address).filter(|entry| !entry.holds(page));
        let version = self.words.version(address.table, scope);
        let agrees = match flights.current(address) {
            Some(flight) if flight.version == version => flight.note_seen(page),
            _ => true,
        };
        if stale.is_some() || !agrees {
            self.bump(address.table, scope, BumpReason::Observed);
        }
        let was_overtaken = sent.0 != version && self.obeys(PageRule::DateReadsBySending);
        // In a fleet it may be a write whose report is on its way.
        let is_explained =
            was_overtaken || self.may_be_changing(address.table, scope, now) || self.items.is_in_fleet();
        if stale.is_some_and(|entry| self.items.elapsed_ms(now) < entry.facts.expires_ms) && !is_explained {
            raise(&scope.counters(address.table).stale_observed);
        }
    }

    /// As [`PageCache::observe`], of an answer that the cache does not understand.
    pub fn observe_opaque(&self, address: &Address<'_>, scope: &PageScope, now: Instant) {
        self.observe_opaque_locked(&self.flights(address.hash), address, scope, now);
    }

    /// Begins a write of keys, each named by the address of its item and the canonical bytes of its partition key. It must
    /// be called before the first byte of the write is sent, and the guard be told the verdict before the client is.
    pub fn begin_write(self: &Arc<Self>, keys: &[(Address<'_>, &[u8])], now: Instant) -> PageWriteGuard {
        PageWriteGuard::begin(self.clone(), keys, now)
    }

    /// Invalidates once more what writes of unknown outcome may have changed late, and reclaims a part of what is dead or
    /// expired. To be called a few times a second.
    pub fn sweep(&self, now: Instant) {
        self.bump_late(now);
        let useless_ms = self.items.useless_ms(now);
        let reclaimed = self.store.reclaim(&|entry| {
            let facts = &entry.facts;
            facts.expires_ms <= useless_ms || facts.version != self.words.version(&facts.table, &facts.scope)
        });
        self.counters.expired.fetch_add(reclaimed, Ordering::Relaxed);
        self.simulate(now);
    }

    /// True if an eventually consistent read of the table sent now might miss a write that this node knows of, or ought to: without a
    /// lease it may not know.
    pub fn is_written_lately(&self, table: &CachedTable, now: Instant) -> bool {
        let seconds = self.items.seconds(now);
        let has_lease = self.items.has_lease(now) || !self.obeys(PageRule::LapsedReadsStrongly);
        !has_lease || table.pages.is_touched(seconds) || table.is_touched(seconds)
    }

    /// Changes the budget. All pages are forgotten if it is another one.
    pub fn set_max_bytes(&self, max_bytes: u64) {
        self.store.set_bytes_max(max_bytes);
        self.curve.set_bytes_max(max_bytes, self.items.elapsed_ms(Instant::now()));
    }

    /// All tables and the global indexes of each, for those who want to count by them.
    pub fn tables(&self) -> Vec<(Arc<CachedTable>, Vec<Arc<CachedIndex>>)> {
        let tables = self.items.known_tables().into_iter();
        tables.map(|table| (table.clone(), table.pages.indexes())).collect()
    }

    /// What happened so far, and how large the cache is.
    pub fn stats(&self) -> PageStats {
        let mut total = ScopeStats::default();
        for table in self.items.known_tables() {
            total += table.page_stats();
            table.pages.indexes().iter().for_each(|index| total += index.stats());
        }
        let usage = self.store.usage();
        PageStats {
            total,
            bumps: self.counters.bumps(),
            not_stored: self.counters.not_stored_counts(),
            waiters_turned_away: self.counters.waiters_turned_away.load(Ordering::Relaxed),
            evictions: usage.evictions,
            expired: self.counters.expired.load(Ordering::Relaxed),
            entries: usage.entries,
            bytes: usage.bytes,
            bytes_max: usage.bytes_max,
        }
    }
}

/// What permits and guards build on.
impl PageCache {
    /// A panic under the lock leaves at worst a flight too many, which costs a fetch and never truth.
    pub(super) fn flights(&self, hash: u64) -> MutexGuard<'_, PageFlights> {
        self.flights[hash as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entry of the address, if nothing happened that could have made it old. It may have expired.
    fn usable_entry(&self, address: &Address<'_>) -> Option<Arc<PageEntry>> {
        let entry = self.store.get(address.hash)?;
        let (kept, version) = (entry.facts.version, self.words.version(address.table, &entry.facts.scope));
        let is_usable = (kept.scope == version.scope || !self.obeys(PageRule::ValidateScope))
            && (kept.table == version.table || !self.obeys(PageRule::ValidateTable))
            && (kept.index == version.index || !self.obeys(PageRule::ValidateIndex))
            && entry.is_for(address);
        is_usable.then_some(entry)
    }

    /// True if a write of the table is in flight or may take effect late, or if the table was changed lately without the keys being
    /// known.
    fn may_be_changing(&self, table: &CachedTable, scope: &PageScope, now: Instant) -> bool {
        self.may_be_written(table, scope) || table.is_touched(self.items.seconds(now))
    }

    /// The same of writes whose keys are known.
    fn may_be_written(&self, table: &CachedTable, scope: &PageScope) -> bool {
        let may_land_late = match &scope.0 {
            Extent::Partition(hash) => self.late_bumps.is_expected(self.words.stripe(*hash)),
            _ => self.late_bumps.is_expected_of_table(table),
        };
        may_land_late
            || table.pages.writes.load(Ordering::Acquire) > 0
            || table.pages.removals.load(Ordering::Acquire) > 0
    }

    /// Must be called with the lock of the flights.
    pub(super) fn observe_opaque_locked(
        &self,
        flights: &PageFlights,
        address: &Address<'_>,
        scope: &PageScope,
        now: Instant,
    ) {
        self.words.touch(address.table, scope, self.items.seconds(now));
        let version = self.words.version(address.table, scope);
        let is_flying = flights.current(address).is_some_and(|flight| flight.version == version);
        let may_contradict = is_flying || self.usable_entry(address).is_some();
        if may_contradict && self.obeys(PageRule::OpaqueReadsInvalidate) {
            self.bump(address.table, scope, BumpReason::Observed);
        }
    }

    /// What was read is not stored, so a page from before is still there. It is past its time, but somebody whom the
    /// upstream fails may yet ask for it, and would go back behind this reader. So would a reader under the next lease.
    pub(super) fn invalidate_contradicted(
        &self,
        address: &Address<'_>,
        scope: &PageScope,
        page: &Page,
        policy: &PagePolicy,
        now: Instant,
    ) {
        let serves_later = !policy.stale_if_error.is_zero() || !self.items.has_lease(now);
        if serves_later && self.usable_entry(address).is_some_and(|entry| !entry.holds(page)) {
            self.bump(address.table, scope, BumpReason::Observed);
        }
    }

    /// True if a page that was sent for then may be given to a reader, as far as the lease matters. Pages of global indexes are never
    /// read strongly, so none of them is of any use without one.
    fn may_serve(&self, lease: Lease, scope: &PageScope, sent_ms: u64, now_ms: u64) -> bool {
        let is_weak = scope.global_index().is_some() && self.obeys(PageRule::LeaseGatesIndexPages);
        let freshness = &self.items.freshness;
        let is_strong =
            || freshness.was_sent_without(lease, sent_ms) || !self.obeys(PageRule::YoungMeansStrong);
        lease.covers(now_ms) || (!is_weak && freshness.is_young(sent_ms, now_ms) && is_strong())
    }

    /// True if a page that lands now may be stored, as far as the lease matters.
    pub(super) fn may_store(&self, scope: &PageScope, sending: &Sending, now: Instant) -> bool {
        let is_weak = scope.global_index().is_some() && self.obeys(PageRule::LeaseGatesIndexPages);
        let has_lease = self.items.has_lease(now);
        self.items.may_store(now) && (!is_weak || (has_lease && sending.had_lease))
    }

    fn consistency(
        &self,
        table: &CachedTable,
        scope: &PageScope,
        policy: &PagePolicy,
        lease: Lease,
        now: Instant,
    ) -> Consistency {
        if scope.global_index().is_some() {
            return Consistency::Eventual;
        }
        let has_lease =
            lease.covers(self.items.elapsed_ms(now)) || !self.obeys(PageRule::LapsedReadsStrongly);
        match policy.fill {
            _ if !has_lease => Consistency::Strong,
            FillMode::Strong => Consistency::Strong,
            FillMode::Adaptive if self.words.is_touched(table, scope, self.items.seconds(now)) => {
                Consistency::Strong
            }
            FillMode::Adaptive | FillMode::Eventual => Consistency::Eventual,
        }
    }

    fn note_scan(&self, address: &Address<'_>, scope: &PageScope, policy: &PagePolicy, now: Instant) {
        if scope.is_scan() && policy.scan_admission == ScanAdmission::Second {
            self.scans.note(address.hash, self.items.seconds(now), ttl_seconds(policy));
        }
    }

    /// True if the page is one that the policy keeps.
    pub(super) fn is_admitted(
        &self,
        hash: u64,
        scope: &PageScope,
        policy: &PagePolicy,
        now: Instant,
    ) -> bool {
        !scope.is_scan()
            || match policy.scan_admission {
                ScanAdmission::First => true,
                ScanAdmission::Second => {
                    self.scans.was_asked_twice(hash, self.items.seconds(now), ttl_seconds(policy))
                }
                ScanAdmission::Never => false,
            }
    }

    /// True if a global index may not have shown, when a page of it was sent for, what was written to it before.
    pub(super) fn is_quarantined(
        &self,
        table: &CachedTable,
        scope: &PageScope,
        policy: &PagePolicy,
        sent: Instant,
    ) -> bool {
        let Some(index) = scope.global_index() else { return false };
        if policy.gsi_quarantine.is_zero() || !self.obeys(PageRule::Quarantine) {
            return false;
        }
        let mut written_ms = self.words.written_ms(index, scope);
        if self.obeys(PageRule::QuarantineInvalidations) {
            written_ms = written_ms.max(table.invalidated_ms());
        }
        let quarantine_ms = u64::try_from(policy.gsi_quarantine.as_millis()).unwrap_or(u64::MAX);
        self.items.running_ms(sent) < written_ms.saturating_add(quarantine_ms)
    }

    /// Stores a page. The caller has made sure that `version` vouches for it.
    pub(super) fn install(
        &self,
        address: &Address<'_>,
        scope: &PageScope,
        version: PageVersion,
        page: &Page,
        policy: &PagePolicy,
        sent_ms: u64,
    ) -> Result<(), PageNotStored> {
        if page.body().len() > policy.page_bytes_max {
            return Err(PageNotStored::Size);
        }
        let own_end_ms = self.items.own_end_ms(address.table, page.body());
        if own_end_ms == Some(0) {
            return Err(PageNotStored::Policy);
        }
        let facts = PageFacts {
            table: address.table.clone(),
            scope: scope.clone(),
            version,
            sent_ms,
            expires_ms: expiry_ms(sent_ms, policy.ttl).min(own_end_ms.unwrap_or(NEVER_MS)),
        };
        let entry = PageEntry::new(facts, address.key, page);
        let event = self.install_event(address, &entry);
        self.store.insert(address.hash, entry)?;
        event.into_iter().for_each(|event| self.curve.note(event));
        Ok(())
    }

    pub(super) fn bump(&self, table: &CachedTable, scope: &PageScope, reason: BumpReason) {
        self.words.bump(table, scope);
        let kind = match scope.0 {
            Extent::Partition(_) => BumpedScope::Partition,
            Extent::Table => BumpedScope::Table,
            Extent::IndexPartition(..) => BumpedScope::IndexPartition,
            Extent::Index(_) => BumpedScope::IndexScan,
        };
        self.counters.bumped(reason, kind);
    }
}

fn ttl_seconds(policy: &PagePolicy) -> u64 {
    policy.ttl.map_or(u64::MAX, |ttl| ttl.as_secs())
}

impl PageCache {
    #[cfg(test)]
    pub(super) fn obeys(&self, rule: PageRule) -> bool {
        self.rules.obeyed(&rule)
    }

    #[cfg(not(test))]
    #[inline(always)]
    pub(super) fn obeys(&self, _rule: PageRule) -> bool {
        true
    }
}
