//! The two promises to tell the cache how something ended: a fetch's, and a write's. Forgetting to is safe.

use std::sync::Arc;

use tokio::time::Instant;

use super::cached_item::CachedItem;
use super::flights::{FailedFetch, Flight, Outcome, abandoned};
use super::item::Rule;
use super::item::{Consistency, InstalledBy, ItemCache, ReadPolicy, SentRead};
use super::stats::{BumpReason, NotStored, raise};
use super::table::{Address, CachedTable};
use super::words::{Stripe, Version};

/// The right and the duty to fetch a key's image. Dropped unused, it wakes those who wait with an error.
///
/// It owns what it needs, so it can move into a task of its own.
#[must_use = "readers wait on this fetch"]
pub struct FillPermit {
    cache: Arc<ItemCache>,
    table: Arc<CachedTable>,
    hash: u64,
    flight: Arc<Flight<Version, CachedItem>>,
    consistency: Consistency,
    policy: ReadPolicy,
    began: Instant,
    is_used: bool,
}

impl FillPermit {
    pub(super) fn new(
        cache: Arc<ItemCache>,
        address: &Address<'_>,
        flight: Arc<Flight<Version, CachedItem>>,
        consistency: Consistency,
        policy: ReadPolicy,
        began: Instant,
    ) -> Self {
        let (table, hash) = (address.table.clone(), address.hash);
        Self { cache, table, hash, flight, consistency, policy, began, is_used: false }
    }

    /// How the fetch must be made. A stronger one than asked for is welcome.
    pub fn consistency(&self) -> Consistency {
        self.consistency
    }

    /// The canonical bytes of the key to fetch.
    pub fn key_bytes(&self) -> &[u8] {
        self.flight.key()
    }

    /// The fetch brought this: stores it if that is still right, and wakes those who wait.
    pub fn complete(mut self, image: CachedItem, now: Instant) {
        self.is_used = true;
        let (cache, flight) = (&self.cache, &self.flight);
        let address = Address { table: &self.table, key: flight.key(), hash: self.hash };
        let stripe = cache.stripe(&address);
        let contradicts_seen = {
            let mut shard = cache.slots.lock(stripe);
            let is_current = shard.flights().is_current(self.hash, flight);
            shard.flights_mut().remove(self.hash, flight);
            let is_fresh = flight.version == cache.version(&self.table, stripe);
            let contradicts_seen =
                flight.is_contradicted_by_what_was_seen(&image) && cache.obeys(Rule::CheckWhatWasSeen);
            if !(is_current && is_fresh) && cache.obeys(Rule::ObserveSuperseded) {
                let sent = SentRead {
                    version: flight.version,
                    consistency: self.consistency,
                    fill: self.policy.fill,
                };
                cache.observe_locked(&mut shard, &address, &image, sent, now);
            }
            let during_write = cache.read_completed(&shard, &address);
            if contradicts_seen && is_current && is_fresh {
                cache.bump(stripe, BumpReason::Conflict);
            }
            let is_held = flight.version.is_held() || cache.is_held(&self.table, self.began, now);
            let objection = self.objection(is_held, is_current && is_fresh, contradicts_seen, during_write);
            let mut is_stored = false;
            match objection {
                None if !cache.may_store(now) => {
                    cache.counters.not_stored(NotStored::Lease);
                    // An entry from before is there when the lease is, and this reader has seen more.
                    cache.invalidate_contradicted(&address, &image);
                }
                Some(refusal) => cache.counters.not_stored(refusal),
                None if cache.install(
                    &address,
                    &image,
                    flight.version,
                    &self.policy,
                    flight.sent_ms,
                    InstalledBy::Fill,
                ) =>
                {
                    raise(&self.table.counters.fills_installed);
                    is_stored = true;
                }
                None => cache.invalidate_contradicted(&address, &image),
            }
            if !is_stored {
                cache.note_unstored(&address, flight.version);
            }
            contradicts_seen
        };
        let contradicts_seen = contradicts_seen && cache.obeys(Rule::LateReadersLookAgain);
        flight.land(Outcome::Landed { answer: image, contradicts_seen });
    }

    /// Why the image must not be stored, if there is a reason.
    fn objection(
        &self,
        is_held: bool,
        is_current: bool,
        contradicts_seen: bool,
        during_write: bool,
    ) -> Option<NotStored> {
        if is_held {
            Some(NotStored::Hold)
        } else if !is_current {
            Some(NotStored::Word)
        } else if contradicts_seen {
            Some(NotStored::Conflict)
        } else if during_write {
            Some(NotStored::WriteInFlight)
        } else {
            None
        }
    }

    /// The fetch brought an answer that the cache does not understand. Nothing is stored, and what is cached of the key is
    /// invalidated: it may be older than this answer. Those who wait send their own requests.
    pub fn complete_opaque(mut self, now: Instant) {
        self.is_used = true;
        let (cache, flight) = (&self.cache, &self.flight);
        let address = Address { table: &self.table, key: flight.key(), hash: self.hash };
        {
            let mut shard = cache.slots.lock(cache.stripe(&address));
            shard.flights_mut().remove(self.hash, flight);
            cache.observe_opaque_locked(&shard, &address, now);
        }
        flight.land(Outcome::Opaque);
    }

    /// The fetch failed: tells those who wait.
    pub fn fail(mut self, failure: FailedFetch) {
        self.abandon(failure);
    }

    /// Nothing is bumped: a permit that is used up can neither store nor answer, so whatever the fetch may still bring
    /// reaches nobody, and what is cached of the key stays as good as it was.
    fn abandon(&mut self, failure: FailedFetch) {
        self.is_used = true;
        let stripe = self.cache.words.stripe(self.hash);
        self.cache.slots.lock(stripe).flights_mut().remove(self.hash, &self.flight);
        self.flight.land(Outcome::Failed(Arc::new(failure)));
    }
}

impl std::fmt::Debug for FillPermit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the key.
        formatter.debug_struct("FillPermit").field("consistency", &self.consistency).finish_non_exhaustive()
    }
}

impl Drop for FillPermit {
    fn drop(&mut self) {
        if !self.is_used {
            self.abandon(abandoned());
        }
    }
}

/// The duty to tell the verdict of a write, before the client hears of it. Dropped without one, the outcome counts as
/// unknown: that is the way of a panic and of a cancelled task.
///
/// It owns what it needs, so it can move into a task of its own.
#[must_use = "a write that is not judged counts as unknown"]
pub struct WriteGuard {
    cache: Arc<ItemCache>,
    /// Empty once the verdict is reported.
    keys: Vec<GuardedKey>,
    began: Instant,
    /// The same in the time of entries, which counts on while the machine stands still.
    sent_ms: u64,
}

/// A key that is being written.
struct GuardedKey {
    table: Arc<CachedTable>,
    hash: u64,
    stripe: Stripe,
    /// Captured before the write was sent.
    before: Version,
    /// Only of a write of a single key, which may store its image.
    key: Box<[u8]>,
}

enum Verdict<'a> {
    Applied(Option<(&'a CachedItem, &'a ReadPolicy)>),
    Rejected,
    Unknown,
    /// Nothing was changed, or all that was is invalidated already.
    NothingMore,
}

impl WriteGuard {
    pub(super) fn begin(cache: Arc<ItemCache>, keys: &[Address<'_>], began: Instant) -> Self {
        let is_single = keys.len() == 1;
        let keys = keys.iter().map(|address| {
            let stripe = cache.stripe(address);
            let mut shard = cache.slots.lock(stripe);
            shard.writer_enters(stripe);
            if cache.obeys(Rule::TouchOnWrite) {
                cache.words.touch(stripe, cache.seconds(began));
            }
            GuardedKey {
                table: address.table.clone(),
                hash: address.hash,
                stripe,
                before: cache.version(address.table, stripe),
                key: if is_single { address.key.into() } else { Box::default() },
            }
        });
        let keys = keys.collect();
        let sent_ms = cache.elapsed_ms(began);
        Self { cache, keys, began, sent_ms }
    }

    /// The write succeeded. `kept` is what a read of the key returns now, if that is known to the byte, and how it is to be kept.
    /// It is only looked at if the write has a single key, and stored only if nothing else happened on its stripe meanwhile.
    pub fn applied(mut self, kept: Option<(&CachedItem, &ReadPolicy)>, now: Instant) {
        let kept = kept.filter(|_| self.keys.len() == 1);
        self.settle(&Verdict::Applied(kept), now);
    }

    /// The upstream rejected the write with a definite answer, for all keys or some. Everything is invalidated all the same:
    /// a rejection may follow a first attempt that happened.
    pub fn rejected(mut self, now: Instant) {
        self.settle(&Verdict::Rejected, now);
    }

    /// Nobody knows whether the write happened, or whether it will. Its keys are not cached while it may still land.
    pub fn unknown(mut self, now: Instant) {
        self.settle(&Verdict::Unknown, now);
    }

    /// Not a byte of the write was sent, so nothing has happened and nothing will: what is cached of its keys stays.
    pub fn not_sent(mut self, now: Instant) {
        self.settle(&Verdict::NothingMore, now);
    }

    /// The write has ended, and whatever it changed was invalidated before ([`ItemCache::invalidate`]).
    pub fn reported(mut self, now: Instant) {
        self.settle(&Verdict::NothingMore, now);
    }

    fn settle(&mut self, verdict: &Verdict<'_>, now: Instant) {
        for key in std::mem::take(&mut self.keys) {
            self.settle_key(&key, verdict, now);
        }
    }

    fn settle_key(&self, written: &GuardedKey, verdict: &Verdict<'_>, now: Instant) {
        let (cache, stripe) = (&self.cache, written.stripe);
        let mut shard = cache.slots.lock(stripe);
        if cache.obeys(Rule::TouchOnWrite) {
            // Before the bump, or a fill with the new word might still be read from a replica that lags.
            cache.words.touch(stripe, cache.seconds(now));
        }
        match verdict {
            Verdict::Applied(Some((image, policy))) => self.bump_and_install(written, image, policy, now),
            Verdict::Applied(None) if cache.obeys(Rule::BumpOnSuccess) => {
                cache.bump(stripe, BumpReason::Write)
            }
            Verdict::Rejected if cache.obeys(Rule::BumpOnRejection) => {
                cache.bump(stripe, BumpReason::Rejected)
            }
            Verdict::Unknown if !cache.obeys(Rule::NoteUnknown) => {}
            Verdict::Unknown if !cache.obeys(Rule::HoldUnknown) => cache.bump(stripe, BumpReason::Unknown),
            Verdict::Unknown => {
                let until = now + cache.unknown_write_window();
                cache.hold(&mut shard, stripe, until, BumpReason::Unknown);
            }
            Verdict::Applied(None) | Verdict::Rejected | Verdict::NothingMore => {}
        }
        shard.writer_leaves(stripe);
    }

    /// Stores the after-image if the word stood still since the write began. Reads that completed meanwhile and other
    /// writes have moved it, so then nobody has seen anything that the image could contradict.
    fn bump_and_install(&self, written: &GuardedKey, image: &CachedItem, policy: &ReadPolicy, now: Instant) {
        let cache = &self.cache;
        let undisturbed = cache.words.bump_from(written.stripe, written.before.stripe)
            || !cache.obeys(Rule::WriteInstallsByCompareAndSwap);
        cache.counters.bumped(BumpReason::Write);
        if written.before.is_held() || cache.is_held(&written.table, self.began, now) {
            return cache.counters.not_stored(NotStored::Hold);
        }
        if !undisturbed {
            return cache.counters.not_stored(NotStored::Word);
        }
        if !cache.may_store(now) {
            return cache.counters.not_stored(NotStored::Lease);
        }
        let address = Address { table: &written.table, key: &written.key, hash: written.hash };
        let version = if cache.obeys(Rule::WriteInstallsByCompareAndSwap) {
            Version { stripe: written.before.stripe + 1, table: written.before.table }
        } else {
            cache.version(&written.table, written.stripe)
        };
        if cache.install(&address, image, version, policy, self.sent_ms, InstalledBy::Other) {
            raise(&written.table.counters.writes_installed);
        }
    }
}

impl Drop for WriteGuard {
    fn drop(&mut self) {
        if !self.keys.is_empty() {
            self.settle(&Verdict::Unknown, Instant::now());
        }
    }
}
