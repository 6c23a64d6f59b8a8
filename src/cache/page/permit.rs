//! The promise to tell the cache how the fetch of a page ended. Forgetting to is safe.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::super::flights::{FailedFetch, Flight, Outcome, abandoned};
use super::super::item::Consistency;
use super::super::stats::{BumpReason, raise};
use super::super::table::{Address, CachedTable};
use super::body::Page;
use super::cache::{PageCache, PagePolicy};
use super::rules::PageRule;
use super::scope::PageScope;
use super::stats::PageNotStored;
use super::words::PageVersion;

/// The right and the duty to fetch a page. Dropped unused, it wakes those who wait with an error.
///
/// It owns what it needs, so it can move into a task of its own.
#[must_use = "readers wait on this fetch"]
pub struct PagePermit {
    cache: Arc<PageCache>,
    table: Arc<CachedTable>,
    scope: PageScope,
    hash: u64,
    flight: Arc<Flight<PageVersion, Page>>,
    sending: Sending,
    policy: PagePolicy,
    /// How many reads of items had completed before; kept only if the policy stores the page's items.
    reads_before: Option<u64>,
    /// One of the few fetches of the table that may be in flight.
    room: Option<OwnedSemaphorePermit>,
    is_used: bool,
}

/// How a page is sent for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    pub(super) consistency: Consistency,
    pub(super) had_lease: bool,
    pub(super) began: Instant,
    /// The same in the time of entries, which counts on while the machine stands still.
    pub(super) sent_ms: u64,
}

/// What became of a page that was fetched. Those who asked for it are answered either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// It is stored.
    Stored,
    /// It is not, for that reason.
    NotStored(PageNotStored),
}

impl PagePermit {
    pub(super) fn new(
        cache: Arc<PageCache>,
        address: &Address<'_>,
        scope: &PageScope,
        flight: Arc<Flight<PageVersion, Page>>,
        sending: Sending,
        policy: PagePolicy,
    ) -> Self {
        let (table, scope, hash) = (address.table.clone(), scope.clone(), address.hash);
        let stores_items = policy.fill_items && scope.global_index().is_none();
        let reads_before = stores_items.then(|| cache.items.reads.count());
        Self { cache, table, scope, hash, flight, sending, policy, reads_before, room: None, is_used: false }
    }

    pub(super) fn cache(&self) -> &Arc<PageCache> {
        &self.cache
    }

    pub(super) fn table(&self) -> &Arc<CachedTable> {
        &self.table
    }

    pub(super) fn scope(&self) -> &PageScope {
        &self.scope
    }

    /// When it was given out: before the page was sent for.
    pub fn began(&self) -> Instant {
        self.sending.began
    }

    pub(super) fn sending(&self) -> Sending {
        self.sending
    }

    pub(super) fn reads_before(&self) -> Option<u64> {
        self.reads_before
    }

    fn address(&self) -> Address<'_> {
        Address { table: &self.table, key: self.flight.key(), hash: self.hash }
    }

    /// True if no word moved since the page was sent for.
    pub(super) fn is_fresh(&self) -> bool {
        self.flight.version == self.cache.words.version(&self.table, &self.scope)
    }

    /// How the fetch must be made. A stronger one than asked for is welcome.
    pub fn consistency(&self) -> Consistency {
        self.sending.consistency
    }

    /// Waits, first come, first served, until not too many pages of the table are being fetched. To be called before the
    /// fetch is sent; what was captured stays as it was. The room is given back when the permit is used up or dropped, and
    /// a wait that is cancelled takes none.
    pub async fn wait_for_room(&mut self) {
        if self.room.is_none() {
            // The semaphore is never closed; if it were, fetching without a limit would be the lesser evil.
            self.room = self.table.pages.fills.clone().acquire_owned().await.ok();
        }
    }

    /// The fetch brought this: stores it if that is still right, and wakes those who wait.
    pub fn complete(mut self, page: Page, now: Instant) -> Completion {
        self.is_used = true;
        let (cache, flight) = (&self.cache, &self.flight);
        let contradicts_seen =
            flight.is_contradicted_by_what_was_seen(&page) && cache.obeys(PageRule::CheckWhatWasSeen);
        let refusal = {
            let mut flights = cache.flights(self.hash);
            let is_current = flights.is_current(self.hash, flight);
            flights.remove(self.hash, flight);
            let refusal = self.store(&page, is_current, contradicts_seen, now).err();
            if refusal.is_some() {
                cache.invalidate_contradicted(&self.address(), &self.scope, &page, &self.policy, now);
                cache.note_unstored(&self.address(), &self.scope, flight.version);
            }
            refusal
        };
        let late_readers_look_again = contradicts_seen && cache.obeys(PageRule::LateReadersLookAgain);
        flight.land(Outcome::Landed { answer: page, contradicts_seen: late_readers_look_again });
        match refusal {
            Some(refusal) => {
                cache.counters.not_stored(refusal);
                Completion::NotStored(refusal)
            }
            None => {
                raise(&self.scope.counters(&self.table).installs);
                Completion::Stored
            }
        }
    }

    /// Must be called with the lock of the flights, so that what is seen strongly is seen before or after.
    fn store(
        &self,
        page: &Page,
        is_current: bool,
        contradicts_seen: bool,
        now: Instant,
    ) -> Result<(), PageNotStored> {
        let (cache, version) = (&self.cache, self.flight.version);
        // A page of an older version would never be a hit; it is not worth its place.
        if !(is_current && self.is_fresh()) {
            return Err(PageNotStored::Word);
        }
        if self.table.pages.removals.load(Ordering::Acquire) > 0 && cache.obeys(PageRule::CheckRemovals) {
            return Err(PageNotStored::Word);
        }
        if contradicts_seen {
            cache.bump(&self.table, &self.scope, BumpReason::Conflict);
            return Err(PageNotStored::Conflict);
        }
        if self.policy.ttl.is_some_and(|ttl| ttl.is_zero()) {
            return Err(PageNotStored::Policy);
        }
        if cache.items.is_held(&self.table, self.began(), now) {
            return Err(PageNotStored::Hold);
        }
        if !cache.may_store(&self.scope, &self.sending, now) {
            return Err(PageNotStored::Lease);
        }
        if cache.is_quarantined(&self.table, &self.scope, &self.policy, self.began()) {
            return Err(PageNotStored::Quarantine);
        }
        if !cache.is_admitted(self.hash, &self.scope, &self.policy, now) {
            return Err(PageNotStored::ScanAdmission);
        }
        cache.install(&self.address(), &self.scope, version, page, &self.policy, self.sending.sent_ms)
    }

    /// The fetch brought an answer that the cache does not understand, or must not keep. The page cached before may be older
    /// than this answer, so it is invalidated. Those who wait send their own requests.
    pub fn complete_opaque(mut self, now: Instant) {
        self.is_used = true;
        {
            let mut flights = self.cache.flights(self.hash);
            flights.remove(self.hash, &self.flight);
            self.cache.observe_opaque_locked(&flights, &self.address(), &self.scope, now);
        }
        self.flight.land(Outcome::Opaque);
    }

    /// The fetch failed: tells those who wait.
    pub fn fail(mut self, failure: FailedFetch) {
        self.abandon(failure);
    }

    /// Nothing is bumped: a permit that is used up cannot store, and a failed fetch says nothing about other pages.
    fn abandon(&mut self, failure: FailedFetch) {
        self.is_used = true;
        self.cache.flights(self.hash).remove(self.hash, &self.flight);
        self.flight.land(Outcome::Failed(Arc::new(failure)));
    }
}

impl std::fmt::Debug for PagePermit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the fingerprint, which holds keys.
        formatter.debug_struct("PagePermit").field("consistency", &self.consistency()).finish_non_exhaustive()
    }
}

impl Drop for PagePermit {
    fn drop(&mut self) {
        if !self.is_used {
            self.abandon(abandoned());
        }
    }
}
