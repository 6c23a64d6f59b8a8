//! The promise to tell the page cache how a write ended, and what a write voids.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use super::super::item::HOLD;
use super::super::stats::BumpReason;
use super::super::table::CachedTable;
use super::super::words::Stripe;
use super::cache::{PageCache, PageRule};
use super::scope::CachedIndex;
use super::stats::BumpedScope;

/// Where in the global indexes of its table a written item was and is.
#[derive(Clone, Debug)]
pub enum IndexTouch {
    /// Nobody knows: all pages of all global indexes of the table are voided.
    Unknown,
    /// For each index that is named, the canonical bytes of the partitions that the item was in before and is in now; none
    /// if it was and is in none. Indexes that are not named are voided whole.
    Known(Vec<(Arc<CachedIndex>, Vec<Vec<u8>>)>),
}

/// The duty to tell the verdict of a write, before the client hears of it. Dropped without one, the outcome counts as
/// unknown: that is the way of a panic and of a cancelled task.
///
/// It owns what it needs, so it can move into a task of its own.
#[must_use = "a write that is not judged counts as unknown"]
pub struct PageWriteGuard {
    cache: Arc<PageCache>,
    /// Empty once the verdict is told.
    keys: Vec<WrittenPartition>,
}

struct WrittenPartition {
    table: Arc<CachedTable>,
    stripe: Stripe,
}

impl PageWriteGuard {
    pub(super) fn begin(cache: Arc<PageCache>, keys: &[(&Arc<CachedTable>, &[u8])], now: Instant) -> Self {
        let seconds = cache.items.seconds(now);
        let keys: Vec<_> = keys
            .iter()
            .map(|(table, partition)| WrittenPartition {
                table: (*table).clone(),
                stripe: cache.words.stripe(table.hash(partition)),
            })
            .collect();
        if cache.obeys(PageRule::TouchOnWrite) {
            for key in &keys {
                cache.words.touch_partition(key.stripe, seconds);
                key.table.pages.touch(seconds);
            }
        }
        Self { cache, keys }
    }

    /// The write succeeded. `touches` are the keys' index positions, in the order in which the keys were given; those that
    /// are missing count as unknown.
    pub fn applied(mut self, touches: &[IndexTouch], now: Instant) {
        let does_bump = self.cache.obeys(PageRule::BumpOnSuccess);
        self.settle(BumpReason::Write, if does_bump { Some(touches) } else { None }, now);
    }

    /// The upstream refused the write with a definite answer, for all keys or some. Everything is voided all the same: a
    /// refusal may follow a first attempt that happened.
    pub fn refused(mut self, now: Instant) {
        let does_bump = self.cache.obeys(PageRule::BumpOnRefusal);
        self.settle(BumpReason::Refused, does_bump.then_some(&[]), now);
    }

    /// Nobody knows whether the write happened, or whether it will. Its scopes are voided now, and again when it can land
    /// no longer.
    pub fn unknown(mut self, now: Instant) {
        self.settle_unknown(now);
    }

    fn settle_unknown(&mut self, now: Instant) {
        let cache = self.cache.clone();
        if cache.obeys(PageRule::BumpLate) {
            cache.late_bumps.expect(&self.keys, now + HOLD);
        }
        let does_bump = cache.obeys(PageRule::BumpOnUnknown);
        self.settle(BumpReason::Unknown, does_bump.then_some(&[]), now);
    }

    fn settle(&mut self, reason: BumpReason, touches: Option<&[IndexTouch]>, now: Instant) {
        let keys = std::mem::take(&mut self.keys);
        let Some(touches) = touches else { return };
        for (number, key) in keys.iter().enumerate() {
            let touch = touches.get(number).unwrap_or(&IndexTouch::Unknown);
            self.cache.void_partition(key.stripe, reason, now);
            self.cache.void_scans(&key.table, reason, now);
            self.cache.void_indexes(&key.table, touch, reason, now);
        }
    }
}

impl Drop for PageWriteGuard {
    fn drop(&mut self) {
        if !self.keys.is_empty() {
            self.settle_unknown(Instant::now());
        }
    }
}

/// What is to be voided once more, and when. A scope that is to be voided several times is voided once, at the latest of
/// them: each write of unknown outcome has voided it by itself, so what landed late is never hidden for longer than [`HOLD`].
#[derive(Debug, Default)]
pub(super) struct LateBumps(Mutex<DueBumps>);

#[derive(Debug, Default)]
struct DueBumps {
    partitions: HashMap<Stripe, Instant>,
    /// The scans and indexes of tables, by the table's number.
    tables: HashMap<u32, (Arc<CachedTable>, Instant)>,
}

impl LateBumps {
    fn expect(&self, keys: &[WrittenPartition], due: Instant) {
        let mut bumps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            let partition = bumps.partitions.entry(key.stripe).or_insert(due);
            *partition = due.max(*partition);
            let (_, table) = bumps.tables.entry(key.table.id()).or_insert_with(|| (key.table.clone(), due));
            *table = due.max(*table);
        }
    }

    fn take_due(&self, now: Instant) -> (Vec<Stripe>, Vec<Arc<CachedTable>>) {
        let mut bumps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let partitions =
            bumps.partitions.extract_if(|_, due| *due <= now).map(|(stripe, _)| stripe).collect();
        let tables =
            bumps.tables.extract_if(|_, (_, due)| *due <= now).map(|(_, (table, _))| table).collect();
        (partitions, tables)
    }
}

/// What a write voids. Each notes the write before it bumps: a fetch with the new word then knows of it.
impl PageCache {
    pub(super) fn bump_late(&self, now: Instant) {
        let (partitions, tables) = self.late_bumps.take_due(now);
        for stripe in partitions {
            self.void_partition(stripe, BumpReason::HoldEnd, now);
        }
        for table in tables {
            self.void_scans(&table, BumpReason::HoldEnd, now);
            self.void_indexes(&table, &IndexTouch::Unknown, BumpReason::HoldEnd, now);
        }
    }

    fn void_partition(&self, stripe: Stripe, reason: BumpReason, now: Instant) {
        if self.obeys(PageRule::TouchOnWrite) {
            self.words.touch_partition(stripe, self.items.seconds(now));
        }
        self.words.bump_partition(stripe);
        self.counters.bumped(reason, BumpedScope::Partition);
    }

    fn void_scans(&self, table: &CachedTable, reason: BumpReason, now: Instant) {
        if self.obeys(PageRule::TouchOnWrite) {
            table.pages.touch(self.items.seconds(now));
        }
        if self.obeys(PageRule::BumpScans) {
            table.pages.bump_scan();
            self.counters.bumped(reason, BumpedScope::Table);
        }
    }

    fn void_indexes(&self, table: &CachedTable, touch: &IndexTouch, reason: BumpReason, now: Instant) {
        let now_ms = self.items.milliseconds(now);
        table.pages.note_write(now_ms);
        let known: &[_] = match touch {
            IndexTouch::Unknown => &[],
            IndexTouch::Known(known) => known,
        };
        for (index, partitions) in known {
            self.void_positions(index, partitions, reason, now_ms);
        }
        for index in table.pages.indexes() {
            let is_named = known.iter().any(|(named, _)| Arc::ptr_eq(named, &index));
            if !is_named && self.obeys(PageRule::BumpUnlisted) {
                index.whole.note_write(now_ms);
                index.whole.bump();
                self.counters.bumped(reason, BumpedScope::WholeIndex);
            }
        }
    }

    fn void_positions(&self, index: &CachedIndex, partitions: &[Vec<u8>], reason: BumpReason, now_ms: u64) {
        if self.obeys(PageRule::BumpPositions) {
            for partition in partitions {
                let word = self.words.index_partition(index.hash(partition));
                word.note_write(now_ms);
                word.bump();
                self.counters.bumped(reason, BumpedScope::IndexPartition);
            }
        }
        if !partitions.is_empty() && self.obeys(PageRule::BumpIndexScans) {
            index.scan.note_write(now_ms);
            index.scan.bump();
            self.counters.bumped(reason, BumpedScope::IndexScan);
        }
    }
}
