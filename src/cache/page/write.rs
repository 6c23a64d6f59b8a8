//! The promise to tell the page cache how a write ended, and what a write invalidates.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::super::elsewhere::{Changed, ChangedIndex, ChangedIndexes, ChangedItem, TableDigest};
use super::super::stats::BumpReason;
use super::super::table::{Address, CachedTable};
use super::super::words::Stripe;
use super::cache::PageCache;
use super::rules::PageRule;
use super::scope::CachedIndex;
use super::stats::BumpedScope;

const WRITER_SHARDS: usize = 64;

/// Where in the global indexes of its table a written item was and is.
#[derive(Clone, Debug)]
pub enum IndexTouch {
    /// Nobody knows: all pages of all global indexes of the table are invalidated.
    Unknown,
    /// For each index that is named, the canonical bytes of the partitions that the item was in before and is in now; none
    /// if it was and is in none. Indexes that are not named are invalidated whole.
    Known(Vec<(Arc<CachedIndex>, Vec<Vec<u8>>)>),
}

/// The duty to tell the verdict of a write, before the client hears of it. Dropped without one, the outcome counts as
/// unknown: that is the way of a panic and of a cancelled task.
///
/// It owns what it needs, so it can move into a task of its own.
#[must_use = "a write that is not judged counts as unknown"]
pub struct PageWriteGuard {
    cache: Arc<PageCache>,
    /// Empty once the verdict is reported.
    keys: Vec<GuardedKey>,
}

struct GuardedKey {
    table: Arc<CachedTable>,
    /// Of the whole key.
    hash: u64,
    /// Of its partition.
    partition: u64,
    stripe: Stripe,
}

impl GuardedKey {
    fn changed(&self, touch: &IndexTouch) -> ChangedItem {
        changed_item(&self.table, self.hash, self.partition, touch)
    }
}

/// An item that was written, as it is reported to other nodes.
fn changed_item(table: &CachedTable, item: u64, partition: u64, touch: &IndexTouch) -> ChangedItem {
    let indexes = match touch {
        IndexTouch::Unknown => ChangedIndexes::All,
        IndexTouch::Known(known) => {
            let changed = |(index, partitions): &(Arc<CachedIndex>, Vec<Vec<u8>>)| ChangedIndex {
                index: index.digest(),
                partitions: partitions.iter().map(|partition| index.hash(partition)).collect(),
            };
            ChangedIndexes::Known(known.iter().map(changed).collect())
        }
    };
    ChangedItem { table: table.digest(), item, partition, indexes }
}

impl PageWriteGuard {
    pub(super) fn begin(cache: Arc<PageCache>, keys: &[(Address<'_>, &[u8])], now: Instant) -> Self {
        let seconds = cache.items.seconds(now);
        let written = |(address, partition): &(Address<'_>, &[u8])| {
            let partition = address.table.hash(partition);
            GuardedKey {
                table: address.table.clone(),
                hash: address.hash,
                partition,
                stripe: cache.words.stripe(partition),
            }
        };
        let keys: Vec<_> = keys.iter().map(written).collect();
        for key in &keys {
            cache.writers.enter(key.hash);
            key.table.pages.writes.fetch_add(1, Ordering::AcqRel);
            if cache.obeys(PageRule::TouchOnWrite) {
                cache.words.touch_partition(key.stripe, seconds);
                key.table.pages.touch(seconds);
            }
        }
        Self { cache, keys }
    }

    /// The write succeeded. `touches` are the keys' index positions, in the order in which the keys were given; those that
    /// are missing count as unknown.
    ///
    /// Returns what must be reported to other nodes: in a fleet all keys, with what was
    /// invalidated of their indexes, and without one nothing.
    pub fn applied(mut self, touches: &[IndexTouch], now: Instant) -> Vec<ChangedItem> {
        let does_bump = self.cache.obeys(PageRule::BumpOnSuccess);
        self.settle(BumpReason::Write, if does_bump { Some(touches) } else { None }, now)
    }

    /// The upstream rejected the write with a definite answer, for all keys or some. Everything is invalidated all the same: a
    /// rejection may follow a first attempt that happened. Returns what must be reported to other nodes.
    pub fn rejected(mut self, now: Instant) -> Vec<ChangedItem> {
        let does_bump = self.cache.obeys(PageRule::BumpOnRejection);
        self.settle(BumpReason::Rejected, does_bump.then_some(&[]), now)
    }

    /// The write has ended, and whatever it changed was reported before ([`PageCache::invalidate`]).
    pub fn reported(mut self, now: Instant) {
        self.settle(BumpReason::Write, None, now);
    }

    /// Not a byte of the write was sent, so nothing has happened and nothing will: what is cached stays.
    pub fn not_sent(mut self, now: Instant) {
        self.settle(BumpReason::Write, None, now);
    }

    /// Nobody knows whether the write happened, or whether it will. Its scopes are invalidated now, and again when it can land
    /// no longer. Returns what must be reported to other nodes as changing until then.
    pub fn unknown(mut self, now: Instant) -> Vec<ChangedItem> {
        self.settle_unknown(now)
    }

    /// What must be reported to other nodes if the guard is dropped: as [`PageWriteGuard::unknown`] returns it. Empty without a fleet.
    pub fn may_change(&self) -> Vec<ChangedItem> {
        let keys: &[_] = if self.cache.items.is_in_fleet() { &self.keys } else { &[] };
        keys.iter().map(|key| key.changed(&IndexTouch::Unknown)).collect()
    }

    fn settle_unknown(&mut self, now: Instant) -> Vec<ChangedItem> {
        let cache = self.cache.clone();
        if cache.obeys(PageRule::BumpLate) {
            cache.late_bumps.expect(&self.keys, now + cache.items.unknown_write_window());
        }
        let does_bump = cache.obeys(PageRule::BumpOnUnknown);
        self.settle(BumpReason::Unknown, does_bump.then_some(&[]), now)
    }

    fn settle(
        &mut self,
        reason: BumpReason,
        touches: Option<&[IndexTouch]>,
        now: Instant,
    ) -> Vec<ChangedItem> {
        let keys = std::mem::take(&mut self.keys);
        let mut changed = Vec::new();
        for (number, key) in keys.iter().enumerate() {
            let Some(touches) = touches else { break };
            // What is too little here is too little elsewhere.
            let touch = touches.get(number).filter(|_| self.cache.is_alone(key, &keys, now));
            let touch = touch.unwrap_or(&IndexTouch::Unknown);
            self.cache.invalidate_partition(key.stripe, reason, now);
            self.cache.invalidate_scans(&key.table, reason, now);
            self.cache.invalidate_indexes(&key.table, touch, reason, now);
            if self.cache.items.is_in_fleet() {
                changed.push(key.changed(touch));
            }
        }
        // After the bumps: a reader that no longer finds this write must find what it invalidated.
        for key in &keys {
            self.cache.writers.leave(key.hash);
            key.table.pages.writes.fetch_sub(1, Ordering::AcqRel);
        }
        changed
    }
}

impl Drop for PageWriteGuard {
    fn drop(&mut self) {
        if !self.keys.is_empty() {
            self.settle_unknown(Instant::now());
        }
    }
}

/// The keys that are being written, by their hashes, and by how many.
#[derive(Debug)]
pub(super) struct Writers(Box<[Mutex<HashMap<u64, usize>>]>);

impl Default for Writers {
    fn default() -> Self {
        Self((0..WRITER_SHARDS).map(|_| Mutex::default()).collect())
    }
}

impl Writers {
    fn shard(&self, hash: u64) -> MutexGuard<'_, HashMap<u64, usize>> {
        self.0[hash as usize % WRITER_SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, hash: u64) {
        *self.shard(hash).entry(hash).or_default() += 1;
    }

    fn leave(&self, hash: u64) {
        if let Entry::Occupied(mut writers) = self.shard(hash).entry(hash) {
            *writers.get_mut() -= 1;
            if *writers.get() == 0 {
                writers.remove();
            }
        }
    }

    pub(super) fn count(&self, hash: u64) -> usize {
        self.shard(hash).get(&hash).copied().unwrap_or(0)
    }
}

/// What is to be invalidated once more, and when. A scope that is due several times is invalidated once, at the latest of
/// them: each write of unknown outcome has invalidated it by itself, so what landed late is never hidden for longer than the window.
#[derive(Debug, Default)]
pub(super) struct LateBumps(Mutex<DueBumps>);

#[derive(Debug, Default)]
struct DueBumps {
    partitions: HashMap<Stripe, Instant>,
    /// The scans and indexes of tables, by the table's number.
    tables: HashMap<u32, (Arc<CachedTable>, Instant)>,
    /// The same of what another node may change, in whatever tables have that digest then.
    digests: HashMap<TableDigest, Instant>,
    /// Everything of what another node may change: of the tables of that digest, or of all.
    whole: HashMap<Option<TableDigest>, Instant>,
}

/// The most tables that are due one by one. Beyond them all are.
const DUE_TABLES_MAX: usize = 10_000;

impl LateBumps {
    fn expect(&self, keys: &[GuardedKey], due: Instant) {
        let mut bumps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            let partition = bumps.partitions.entry(key.stripe).or_insert(due);
            *partition = due.max(*partition);
            let (_, table) = bumps.tables.entry(key.table.id()).or_insert_with(|| (key.table.clone(), due));
            *table = due.max(*table);
        }
    }

    /// An item of that partition and that table may be changed elsewhere until then.
    pub(super) fn expect_item(&self, stripe: Stripe, digest: TableDigest, due: Instant) {
        let mut bumps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let partition = bumps.partitions.entry(stripe).or_insert(due);
        *partition = due.max(*partition);
        if bumps.digests.len() < DUE_TABLES_MAX || bumps.digests.contains_key(&digest) {
            let table = bumps.digests.entry(digest).or_insert(due);
            *table = due.max(*table);
        } else {
            bumps.expect_tables(None, due);
        }
    }

    /// Anything of the tables of that digest, or of all tables, may be changed elsewhere until then.
    pub(super) fn expect_tables(&self, digest: Option<TableDigest>, due: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).expect_tables(digest, due);
    }

    pub(super) fn is_expected_of_table(&self, table: &CachedTable) -> bool {
        let bumps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bumps.tables.contains_key(&table.id())
            || bumps.digests.contains_key(&table.digest())
            || bumps.whole.contains_key(&None)
            || bumps.whole.contains_key(&Some(table.digest()))
    }

    pub(super) fn is_expected(&self, stripe: Stripe) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).partitions.contains_key(&stripe)
    }
}

impl DueBumps {
    fn expect_tables(&mut self, digest: Option<TableDigest>, due: Instant) {
        let digest = digest.filter(|_| self.whole.len() < DUE_TABLES_MAX);
        let whole = self.whole.entry(digest).or_insert(due);
        *whole = due.max(*whole);
    }
}

/// A change that the upstream itself has reported, with all that it changes for readers of pages.
#[derive(Clone, Debug)]
pub struct PageChange<'a> {
    /// The table.
    pub table: &'a Arc<CachedTable>,
    /// The canonical bytes of the item's partition.
    pub partition: &'a [u8],
    /// For each global index that shows the item otherwise than before, the canonical bytes of the partitions that it was in
    /// and is in. All other indexes show what they showed.
    pub moves: Vec<(Arc<CachedIndex>, &'a [Vec<u8>])>,
}

/// Changes that the upstream reports: in the order in which it makes them, and each before anybody hears that it was made. So
/// where an item was before is always exactly known, however many writes of it are in flight.
impl PageCache {
    /// An item that was written, as it is reported to other nodes: the address of its key, the canonical bytes of its partition, and
    /// where in the global indexes it was and is. For what was written without a guard; a [`PageWriteGuard`] gives its own.
    pub fn changed_item(address: &Address<'_>, partition: &[u8], touch: &IndexTouch) -> ChangedItem {
        changed_item(address.table, address.hash, address.table.hash(partition), touch)
    }

    /// Invalidates the pages that a change concerns, and no others.
    pub fn invalidate(&self, change: &PageChange<'_>, reason: BumpReason, now: Instant) {
        if !self.obeys(PageRule::BumpOnReport) {
            return;
        }
        let PageChange { table, partition, moves } = change;
        self.invalidate_partition(self.words.stripe(table.hash(partition)), reason, now);
        self.invalidate_scans(table, reason, now);
        for (index, partitions) in moves {
            let partitions = partitions.iter().map(|partition| index.hash(partition));
            self.invalidate_positions(index, partitions, reason, self.items.running_ms(now));
        }
    }

    /// Invalidates an item, and every page of its table or its indexes that may show it. An operator may ask for it although nothing
    /// has changed.
    pub fn flush_item(&self, address: &Address<'_>, partition: &[u8], now: Instant) {
        let (table, reason) = (address.table, BumpReason::Flushed);
        // Pages first: an item out of a page is stored only while the page is good.
        self.invalidate_partition(self.words.stripe(table.hash(partition)), reason, now);
        self.invalidate_scans(table, reason, now);
        self.invalidate_indexes(table, &IndexTouch::Unknown, reason, now);
        self.items.invalidate_because(address, reason, now);
    }

    /// The upstream is about to remove an item by itself. Invalidates its pages; and until the guard is dropped no page of the table
    /// is stored, so that no hit shows an item that another reader may have found gone. When every reader finds it gone, its
    /// pages must be invalidated once more, and the guard be dropped after that.
    pub fn begin_removal(&self, change: &PageChange<'_>, now: Instant) -> RemovalGuard {
        change.table.pages.removals.fetch_add(1, Ordering::AcqRel);
        let guard = RemovalGuard(Arc::clone(change.table));
        if self.obeys(PageRule::BumpBeforeRemovals) {
            self.invalidate(change, BumpReason::Reported, now);
        }
        guard
    }
}

/// A removal by the upstream itself that not all readers may see yet.
#[derive(Debug)]
#[must_use = "pages are stored again when it is dropped"]
pub struct RemovalGuard(Arc<CachedTable>);

impl Drop for RemovalGuard {
    fn drop(&mut self) {
        self.0.pages.removals.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What a write invalidates. Each notes the write before it bumps: a fetch with the new word then knows of it.
impl PageCache {
    pub(super) fn bump_late(&self, now: Instant) {
        // Under the lock: a write that finds no bump to come also finds what the bump invalidated.
        let mut bumps = self.late_bumps.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, (table, _)) in bumps.tables.extract_if(|_, (_, due)| *due <= now) {
            self.invalidate_scans(&table, BumpReason::HoldEnd, now);
            self.invalidate_indexes(&table, &IndexTouch::Unknown, BumpReason::HoldEnd, now);
        }
        for (digest, _) in bumps.digests.extract_if(|_, due| *due <= now) {
            for table in self.items.tables_by_digest(digest) {
                self.invalidate_scans(&table, BumpReason::HoldEnd, now);
                self.invalidate_indexes(&table, &IndexTouch::Unknown, BumpReason::HoldEnd, now);
            }
        }
        for (digest, _) in bumps.whole.extract_if(|_, due| *due <= now) {
            self.items.apply(&digest.map_or(Changed::Everything, Changed::Table), None, now);
        }
        for (stripe, _) in bumps.partitions.extract_if(|_, due| *due <= now) {
            self.invalidate_partition(stripe, BumpReason::HoldEnd, now);
        }
    }

    /// True if no other write may have moved the key in an index without having invalidated yet where it was before. The page
    /// that still shows it there is older than this write too, and only invalidating the whole index is sure to invalidate it.
    fn is_alone(&self, key: &GuardedKey, keys: &[GuardedKey], now: Instant) -> bool {
        let own = keys.iter().filter(|other| other.hash == key.hash).count();
        let is_overlapping = self.writers.count(key.hash) > own && self.obeys(PageRule::CheckOverlaps);
        let may_land_late = self.late_bumps.is_expected(key.stripe) && self.obeys(PageRule::CheckLateWrites);
        let is_invalidated =
            key.table.is_touched(self.items.seconds(now)) && self.obeys(PageRule::CheckWideChanges);
        // For as long as it is in flight, whatever the clock says.
        let may_be_moved = key.table.has_wide_changes(self.items.running_ms(now));
        !(is_overlapping || may_land_late || is_invalidated || may_be_moved)
    }

    /// True if replicas may lag behind what is invalidated for that reason.
    fn does_touch(&self, reason: BumpReason) -> bool {
        self.obeys(match reason {
            BumpReason::Elsewhere => PageRule::TouchOnElsewhere,
            _ => PageRule::TouchOnWrite,
        })
    }

    pub(super) fn invalidate_partition(&self, stripe: Stripe, reason: BumpReason, now: Instant) {
        if self.does_touch(reason) {
            self.words.touch_partition(stripe, self.items.seconds(now));
        }
        self.words.bump_partition(stripe);
        self.counters.bumped(reason, BumpedScope::Partition);
    }

    pub(super) fn invalidate_scans(&self, table: &CachedTable, reason: BumpReason, now: Instant) {
        if self.does_touch(reason) {
            table.pages.touch(self.items.seconds(now));
        }
        if self.obeys(PageRule::BumpScans) {
            table.pages.bump_scan();
            self.counters.bumped(reason, BumpedScope::Table);
        }
    }

    fn invalidate_indexes(&self, table: &CachedTable, touch: &IndexTouch, reason: BumpReason, now: Instant) {
        let now_ms = self.items.running_ms(now);
        table.pages.note_write(now_ms);
        let known: &[_] = match touch {
            IndexTouch::Unknown => &[],
            IndexTouch::Known(known) => known,
        };
        for (index, partitions) in known {
            let partitions = partitions.iter().map(|partition| index.hash(partition));
            self.invalidate_positions(index, partitions, reason, now_ms);
        }
        for index in table.pages.indexes() {
            if !known.iter().any(|(named, _)| Arc::ptr_eq(named, &index)) {
                self.invalidate_index(&index, reason, now_ms);
            }
        }
    }

    pub(super) fn invalidate_index(&self, index: &CachedIndex, reason: BumpReason, now_ms: u64) {
        if self.obeys(PageRule::BumpUnlisted) {
            index.whole.note_write(now_ms);
            index.whole.bump();
            self.counters.bumped(reason, BumpedScope::WholeIndex);
        }
    }

    /// The partitions of an index that an item was in or is in, by their hashes.
    pub(super) fn invalidate_positions(
        &self,
        index: &CachedIndex,
        partitions: impl ExactSizeIterator<Item = u64>,
        reason: BumpReason,
        now_ms: u64,
    ) {
        let is_shown = partitions.len() > 0;
        if self.obeys(PageRule::BumpPositions) {
            for partition in partitions {
                let word = self.words.index_partition(partition);
                word.note_write(now_ms);
                word.bump();
                self.counters.bumped(reason, BumpedScope::IndexPartition);
            }
        }
        if is_shown && self.obeys(PageRule::BumpIndexScans) {
            index.scan.note_write(now_ms);
            index.scan.bump();
            self.counters.bumped(reason, BumpedScope::IndexScan);
        }
    }
}
