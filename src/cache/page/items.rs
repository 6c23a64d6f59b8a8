//! Items out of pages: what a Query or Scan brought, stored for those who will ask for it by key.
//!
//! A page of a table with all attributes shows of each item what a GetItem sent at the same moment would have returned, so
//! it may be stored under the item's key, if what is promised of items still holds. The argument, under the lock of the
//! item's stripe, so that its reads, writes and holds stand still:
//!
//! - *It is not older than an acknowledged write.* Every write of the item bumps the partition (and the table's scans)
//!   before it is acknowledged, and is counted as a writer until it has. So if first there is no writer and then the
//!   words are those that the page captured, then no write was acknowledged since it was sent. The same order holds for late
//!   writes: first none is expected, and then the words are compared. Writes acknowledged before
//!   are in it if it was read strongly; and if not, they are unless the item was touched within the time that replicas
//!   lag before it was sent. Where an outcome is unknown, the item's stripe is held, or the bump that ends the wait is
//!   still to come.
//! - *It is not older than what an earlier read of the item returned.* Reads that completed before the page was sent saw
//!   nothing newer than a strong page. A read that completed since may have: it leaves its number in [`CompletedReads`], and
//!   then the item is not stored. Hits since then are of an entry that was stored before the page was sent, or by such
//!   a read. Storing an item out of another page counts as a read of it.
//! - *What is read later does not undo it.* A flight of the item that is in flight might have been read before the page,
//!   and would store its image over it; then the item is not stored. Reads past the cache are compared with what was stored,
//!   as always.
//!
//! Absence is not stored: a page does not name what it lacks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

use super::super::cached_item::CachedItem;
use super::super::item::{Consistency, InstalledBy, ReadPolicy};
use super::super::stats::raise;
use super::super::table::CachedTable;
use super::body::Page;
use super::cache::PageCache;
use super::permit::{Completion, PagePermit, Sending};
use super::rules::PageRule;
use super::scope::Extent;

/// Two items of one slot keep each other out now and then. Tests make many caches, with few items.
const SLOTS: usize = if cfg!(test) { 1 << 6 } else { 1 << 16 };

/// When reads of items have completed, in numbers that only grow. Kept from when a page first asks for it.
#[derive(Debug, Default)]
pub(in super::super) struct CompletedReads {
    count: AtomicU64,
    /// By the item's hash, the number of the last read of an item of that slot.
    last: OnceLock<Box<[AtomicU64]>>,
}

impl CompletedReads {
    /// Must be called with the lock of the item's stripe, before anybody hears what was read.
    pub(in super::super) fn note(&self, hash: u64) {
        if let Some(last) = self.last.get() {
            let number = self.count.fetch_add(1, Ordering::AcqRel) + 1;
            last[hash as usize % SLOTS].fetch_max(number, Ordering::AcqRel);
        }
    }

    /// How many reads have completed. Must be called before the page is sent for.
    pub(super) fn count(&self) -> u64 {
        self.last.get_or_init(|| (0..SLOTS).map(|_| AtomicU64::new(0)).collect());
        self.count.load(Ordering::Acquire)
    }

    fn has_completed_since(&self, count: u64, hash: u64) -> bool {
        self.last.get().is_none_or(|last| last[hash as usize % SLOTS].load(Ordering::Acquire) > count)
    }
}

/// An item of a page: the canonical bytes of its key, and what a GetItem of it returns.
#[derive(Clone, Debug)]
pub struct PageItem {
    /// As for [`super::super::CachedTable::address`].
    pub key: Vec<u8>,
    /// Of the whole item.
    pub image: CachedItem,
}

/// What became of an item of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StoredItem {
    /// It is stored.
    Stored,
    /// What is cached of it may be used, and stays.
    There,
    /// It may not be stored, or there is no room for it.
    KeptOut,
}

/// A page on its way, whose items may be stored.
pub(super) struct SentItems<'a> {
    pub(super) cache: &'a PageCache,
    pub(super) table: &'a Arc<CachedTable>,
    pub(super) sending: Sending,
    /// How many reads of items had completed before.
    pub(super) reads_before: u64,
}

impl PagePermit {
    /// As [`PagePermit::complete`], and stores those items of the page for which that is right. The page must be of the table
    /// itself and its items have all their attributes; nothing is stored if the policy does not ask for it, or if the page
    /// is of a global index.
    pub fn complete_with_items(
        self,
        page: Page,
        items: &[PageItem],
        policy: &ReadPolicy,
        now: Instant,
    ) -> Completion {
        if let Some(reads_before) = self.reads_before() {
            let (cache, table, sending) = (&**self.cache(), self.table(), self.sending());
            let sent = SentItems { cache, table, sending, reads_before };
            for item in items {
                sent.store(item, policy, now, || self.may_land_late(), || self.is_fresh());
            }
        }
        self.complete(page, now)
    }

    fn may_land_late(&self) -> bool {
        match &self.scope().0 {
            Extent::Partition(hash) => self.cache().may_land_late_in(*hash),
            Extent::Table => self.cache().late_bumps.is_expected_of_table(self.table()),
            Extent::IndexPartition(..) | Extent::Index(_) => true,
        }
    }
}

impl SentItems<'_> {
    /// Stores an item, if that is right. `may_land_late` returns whether a write of unknown outcome may yet change the item.
    /// `is_fresh` is called after it, and returns whether the words for the item are unchanged since the page was sent for.
    pub(super) fn store(
        &self,
        item: &PageItem,
        policy: &ReadPolicy,
        now: Instant,
        may_land_late: impl FnOnce() -> bool,
        is_fresh: impl FnOnce() -> bool,
    ) -> StoredItem {
        let Self { cache: pages, table, sending, reads_before } = *self;
        let (items, began) = (&pages.items, sending.began);
        let address = table.address(&item.key);
        let stripe = items.stripe(&address);
        let shard = items.slots.lock(stripe);
        let version = items.version(table, stripe);
        let has_writers = shard.has_writers(stripe) || pages.writers.count(address.hash) > 0;
        let may_have_missed_a_write = sending.consistency == Consistency::Eventual
            && (items.is_changing(&shard, &address, version, now)
                || items.is_changing(&shard, &address, version, began));
        let is_refused = version.is_held()
            || !items.may_store(now)
            || items.is_held(table, began, now)
            || (has_writers && pages.obeys(PageRule::ItemsCheckWriters))
            || (may_land_late() && pages.obeys(PageRule::ItemsCheckLateWrites))
            // Last: a writer and a late write are counted until they have bumped the words.
            || (!is_fresh() && pages.obeys(PageRule::ItemsCheckWords))
            || (may_have_missed_a_write && pages.obeys(PageRule::ItemsCheckTouches))
            || (items.reads.has_completed_since(reads_before, address.hash)
                && pages.obeys(PageRule::ItemsCheckReads))
            || (shard.flights().current(&address).is_some() && pages.obeys(PageRule::ItemsCheckFlights));
        // What may be used is as good: storing it again would only cost time.
        let is_there =
            items.usable_entry(&address).is_some_and(|(_, facts)| items.elapsed_ms(now) < facts.expires_ms);
        match (is_refused, is_there) {
            (_, true) => StoredItem::There,
            (false, false)
                if items.install(
                    &address,
                    &item.image,
                    version,
                    policy,
                    sending.sent_ms,
                    InstalledBy::Other,
                ) =>
            {
                raise(&table.counters.pages_installed);
                // Those who hit it have seen it, also when it is gone: an older page must not bring back what was before.
                items.reads.note(address.hash);
                StoredItem::Stored
            }
            (_, false) => StoredItem::KeptOut,
        }
    }
}

impl PageCache {
    pub(super) fn may_land_late_in(&self, partition_hash: u64) -> bool {
        self.late_bumps.is_expected(self.words.stripe(partition_hash))
    }
}
