//! Items of pages that nobody has asked for: a table is read from end to end, so that its items are there before their readers.
//!
//! The page itself is not stored. For each of its items the rules are those of [`super::items`]; only the words differ. Any
//! write to the table would count against the word of a scan, so where the table is being written, the words of all partitions
//! are captured before the page is sent for, and each item is compared with that of its own.
//!
//! A copy of all words takes megabytes, so pages share copies. A copy that is older than the page is only stricter: it also
//! rejects items that were written between the copy and the page.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::super::item::{Consistency, FillMode, ReadPolicy};
use super::super::table::CachedTable;
use super::cache::PageCache;
use super::items::{PageItem, SentItems, StoredItem};
use super::permit::Sending;
use super::scope::PageScope;
use super::words::PageVersion;

/// An item of a page that was read to warm the cache.
#[derive(Clone, Debug)]
pub struct WarmItem {
    /// The item.
    pub item: PageItem,
    /// The canonical bytes of its partition.
    pub partition: Vec<u8>,
}

/// What became of the items of a page that was read to warm the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Warmed {
    /// Items that were stored.
    pub stored: u64,
    /// Items that were there already.
    pub there: u64,
    /// Items that were not stored: they were written meanwhile, say, or are too large.
    pub kept_out: u64,
}

/// What the cache knew of a table when a page of it was about to be sent for.
#[must_use = "what is captured vouches for the page that follows"]
pub struct Warming {
    cache: Arc<PageCache>,
    table: Arc<CachedTable>,
    scan: PageVersion,
    /// The words of all partitions, where the table is being written.
    partitions: Option<Arc<[u64]>>,
    sending: Sending,
    reads_before: u64,
}

impl PageCache {
    /// Captures what [`Warming::store`] compares. Must be called before the page is sent for.
    pub fn begin_warming(
        self: &Arc<Self>,
        table: &Arc<CachedTable>,
        fill: FillMode,
        now: Instant,
    ) -> Warming {
        // Before the words are loaded, as the lease demands.
        let had_lease = self.items.has_lease(now);
        let reads_before = self.items.reads.count();
        let scan = self.words.version(table, &PageScope::table());
        let seconds = self.items.seconds(now);
        let is_written = table.pages.writes.load(Ordering::Acquire) > 0 || table.pages.is_touched(seconds);
        let partitions = is_written.then(|| self.words.share_partitions(now));
        // After the words: a write notes itself before it bumps. Of single items that were written lately, those that an eventually
        // consistent read may have missed are kept out one by one.
        let must_be_strong = fill == FillMode::Strong || !had_lease || table.is_touched(seconds);
        let consistency = if must_be_strong { Consistency::Strong } else { Consistency::Eventual };
        let sent_ms = self.items.elapsed_ms(now);
        let sending = Sending { consistency, had_lease, began: now, sent_ms };
        Warming { cache: Arc::clone(self), table: Arc::clone(table), scan, partitions, sending, reads_before }
    }
}

impl Warming {
    /// How the page must be read.
    pub fn consistency(&self) -> Consistency {
        self.sending.consistency
    }

    /// Stores those items of the page for which that is right. They must have all their attributes.
    pub fn store(self, items: &[WarmItem], policy: &ReadPolicy, now: Instant) -> Warmed {
        let sent = SentItems {
            cache: &self.cache,
            table: &self.table,
            sending: self.sending,
            reads_before: self.reads_before,
        };
        let mut warmed = Warmed::default();
        for WarmItem { item, partition } in items {
            let partition = self.table.hash(partition);
            let stored = sent.store(
                item,
                policy,
                now,
                || self.cache.may_land_late_in(partition),
                || self.is_fresh(partition),
            );
            match stored {
                StoredItem::Stored => warmed.stored += 1,
                StoredItem::There => warmed.there += 1,
                StoredItem::KeptOut => warmed.kept_out += 1,
            }
        }
        warmed
    }

    /// True if nothing was written to the partition since the page was sent for.
    fn is_fresh(&self, partition: u64) -> bool {
        let words = &self.cache.words;
        match &self.partitions {
            None => self.scan == words.version(&self.table, &PageScope::table()),
            Some(captured) => {
                let stripe = words.stripe(partition);
                self.scan.table == self.table.word()
                    && captured.get(stripe.0 as usize) == Some(&words.partition(stripe))
            }
        }
    }
}
