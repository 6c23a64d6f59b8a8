//! One table as requests use it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use arc_swap::ArcSwapOption;

use crate::call::Source;
use crate::model::TableSchema;
use crate::model::capacity::{Basis, Charge, HiddenRows, MeanSizes, ReadPrice, UnitKind, Units};
use crate::model::schema::Projection;

use super::hot::{Access, HitAges, HotKeys, HotTable};
use super::units::{ItemSizes, SpentUnits, UnitCounts};

/// Indexes of one table that are told apart. A table has at most 25 at a time; what is used beyond this is gathered under
/// [`OTHER_INDEX`].
const INDEXES_MAX: usize = 100;

/// The name under which further indexes are gathered.
const OTHER_INDEX: &str = "other";

/// How a read was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// From memory.
    Hit,
    /// By a fill that another reader had begun.
    Joined,
    /// By a fill of its own.
    Miss,
    /// By the upstream, past the cache: strong reads among others.
    Bypass,
    /// From memory past its time, because the upstream failed.
    Stale,
}

impl Outcome {
    /// What a read with this outcome is to its key.
    fn access(self) -> Access {
        match self {
            Self::Hit | Self::Stale => Access::Hit,
            Self::Joined | Self::Miss | Self::Bypass => Access::Miss,
        }
    }

    /// True if the reader had its answer without a read of its own at the upstream, which would have charged for it.
    fn saves(self) -> bool {
        match self {
            Self::Hit | Self::Joined => true,
            // An upstream that fails charges nothing.
            Self::Miss | Self::Bypass | Self::Stale => false,
        }
    }
}

impl From<Source> for Outcome {
    fn from(source: Source) -> Self {
        match source {
            Source::Hit => Self::Hit,
            Source::Joined => Self::Joined,
            Source::Miss => Self::Miss,
            Source::Stale => Self::Stale,
            // No single read is answered by the last two.
            Source::Bypass(_) | Source::Write | Source::Batch { .. } => Self::Bypass,
        }
    }
}

/// A read of one item: a GetItem, or one key of a batch.
#[derive(Clone, Copy, Debug)]
pub struct ReadOfItem<'a> {
    /// The canonical bytes of its key.
    pub key: &'a [u8],
    /// The keyed hash of table and key by which the cache finds it.
    pub hash: u64,
    /// How it was answered.
    pub outcome: Outcome,
    /// What an eventually consistent read of it costs at the upstream.
    pub price: Units,
    /// How old the answer from memory was, in whole seconds.
    pub age_seconds: Option<u64>,
}

/// A read of one page: a Query or a Scan.
#[derive(Clone, Copy, Debug)]
pub struct ReadOfPage<'a> {
    /// The index that was read; `None` for the table itself.
    pub index: Option<&'a IndexUsage>,
    /// The canonical bytes of the partition that was read, of the table or of the index; `None` for a Scan.
    pub partition: Option<&'a [u8]>,
    /// How it was answered.
    pub outcome: Outcome,
    /// What an eventually consistent read of it costs at the upstream.
    pub price: ReadPrice,
    /// How old the answer from memory was, in whole seconds.
    pub age_seconds: Option<u64>,
}

/// A write that names an item by its whole key, as it is sent: it may still be rejected.
#[derive(Clone, Copy, Debug)]
pub struct WriteOfItem<'a> {
    /// The canonical bytes of its key.
    pub key: &'a [u8],
    /// Those of the partition values alone.
    pub partition: &'a [u8],
    /// The keyed hash of table and key by which the cache finds the item.
    pub hash: u64,
}

/// One table of one realm. It outlives descriptions of the table, and the table itself.
#[derive(Debug)]
pub struct TableUsage {
    name: Box<str>,
    /// Where its keys are counted; `None` if they are not.
    hot: Option<Noted>,
    /// Writes of items that were sent.
    written: AtomicU64,
    units: UnitCounts,
    pub(super) sizes: ItemSizes,
    indexes: RwLock<Vec<Arc<IndexUsage>>>,
    /// As last described; `None` before that, and of tables that are not distinguished by it.
    schema: ArcSwapOption<TableSchema>,
}

/// A place among the tables whose keys are counted. It is given back when this is dropped.
#[derive(Debug)]
struct Noted {
    keys: Arc<HotKeys>,
    table: HotTable,
}

impl Drop for Noted {
    fn drop(&mut self) {
        self.keys.forget(self.table);
    }
}

/// One index of a table.
#[derive(Debug)]
pub struct IndexUsage {
    name: Box<str>,
    /// What its partitions are counted under; `None` if they are not.
    hot_index: Option<u16>,
    units: UnitCounts,
    pub(super) sizes: ItemSizes,
    /// Its entries are as large as the items.
    has_whole_items: AtomicBool,
}

impl TableUsage {
    pub(super) fn new(name: &str, hot: &Arc<HotKeys>) -> Self {
        let hot = hot.table().map(|table| Noted { keys: Arc::clone(hot), table });
        Self { name: name.into(), hot, ..Self::unnamed() }
    }

    /// What is gathered of tables that are not told apart. Of these no keys are counted.
    pub(super) fn unnamed() -> Self {
        Self {
            name: Box::default(),
            hot: None,
            written: AtomicU64::new(0),
            units: UnitCounts::default(),
            sizes: ItemSizes::default(),
            indexes: RwLock::default(),
            schema: ArcSwapOption::empty(),
        }
    }

    /// What the table is, now.
    pub(crate) fn describe(&self, schema: &Arc<TableSchema>) {
        if let Some(hot) = &self.hot {
            hot.keys.describe(hot.table, schema);
        }
        if self.name.is_empty() {
            return;
        }
        for index in &schema.indexes {
            let is_whole = index.projection == Projection::All;
            self.index(&index.name).has_whole_items.store(is_whole, Ordering::Relaxed);
        }
        self.schema.store(Some(Arc::clone(schema)));
    }

    /// How large its items and index entries are, as the upstream says.
    pub(crate) fn describe_sizes(&self, sizes: &MeanSizes) {
        if self.name.is_empty() {
            return;
        }
        self.sizes.describe(sizes.item.unwrap_or(0));
        sizes.entries.iter().for_each(|(name, bytes)| self.index(name).sizes.describe(*bytes));
    }

    /// The schema, as last described.
    pub(super) fn schema(&self) -> Option<Arc<TableSchema>> {
        self.schema.load_full()
    }

    /// The usual size of an item, or of an entry of the index; 0 while nothing is known of it.
    pub(super) fn usual_bytes(&self, index: Option<&IndexUsage>) -> usize {
        let of_table = || self.sizes.usual();
        let usual = match index {
            None => of_table(),
            Some(index) => {
                let is_whole = index.has_whole_items.load(Ordering::Relaxed);
                index.sizes.usual().or_else(|| of_table().filter(|_| is_whole))
            }
        };
        usual.unwrap_or(0)
    }

    /// What a page costs by all that is known now. Where its answer hides sizes, these may be known better than when it was read.
    pub(crate) fn price_now(&self, index: Option<&IndexUsage>, price: ReadPrice) -> ReadPrice {
        let hidden = price.hidden();
        if hidden == HiddenRows::default() {
            return price;
        }
        let read = Units::eventual_read(self.usual_bytes(index).saturating_mul(hidden.read as usize));
        let fetched = Units::eventual_read(self.usual_bytes(None)) * hidden.fetched.into();
        let (of_table, of_index) = match index {
            None => (read, Units::default()),
            Some(_) => (fetched, read),
        };
        ReadPrice::new(price.table().max(of_table), price.index().max(of_index))
    }

    /// Writes of items that were sent.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// How old the answers were that memory gave for its items.
    pub(crate) fn ages(&self) -> HitAges {
        self.hot.as_ref().map_or_else(HitAges::default, |hot| hot.keys.ages(hot.table))
    }

    /// The table's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The index of that name: to be found once and kept.
    pub fn index(&self, name: &str) -> Arc<IndexUsage> {
        let find = |indexes: &[Arc<IndexUsage>], name: &str| {
            indexes.iter().find(|index| *index.name == *name).map(Arc::clone)
        };
        if let Some(known) = find(&self.indexes.read().unwrap_or_else(PoisonError::into_inner), name) {
            return known;
        }
        let mut indexes = self.indexes.write().unwrap_or_else(PoisonError::into_inner);
        let name = if indexes.len() < INDEXES_MAX { name } else { OTHER_INDEX };
        // Another thread may have added it meanwhile.
        find(&indexes, name).unwrap_or_else(|| {
            let hot_index = self.hot.as_ref().and_then(|hot| hot.keys.index(hot.table, name));
            let added = Arc::new(IndexUsage {
                name: name.into(),
                hot_index,
                units: UnitCounts::default(),
                sizes: ItemSizes::default(),
                has_whole_items: AtomicBool::new(false),
            });
            indexes.push(Arc::clone(&added));
            added
        })
    }

    /// An item was read.
    pub fn item_read(&self, read: &ReadOfItem<'_>) {
        self.save(self.item_of_many_read(read));
    }

    /// An item was read by a request for several. Returns what that saved, for [`TableUsage::save`].
    pub fn item_of_many_read(&self, read: &ReadOfItem<'_>) -> Units {
        if let Some(hot) = &self.hot {
            let age_seconds = read.age_seconds.unwrap_or_default();
            hot.keys.item(read.outcome.access(), hot.table, read.hash, read.key, age_seconds);
        }
        if read.outcome.saves() { read.price } else { Units::default() }
    }

    /// Counts what reads saved that were answered without a charge.
    pub fn save(&self, saved: Units) {
        if saved != Units::default() {
            self.units.save(saved);
        }
    }

    /// The upstream has answered a GetItem with a whole item of this size, or that there is none.
    pub(crate) fn item_fetched(&self, size_bytes: Option<usize>, is_strong: bool) {
        if let Some(bytes) = size_bytes {
            self.sizes.note(&[bytes]);
        }
        let read = if is_strong { Units::strong_read } else { Units::eventual_read };
        self.units.spend(UnitKind::Read, read(size_bytes.unwrap_or(0)), Basis::Exact);
    }

    /// The upstream charges this for a read of items of the table.
    pub(crate) fn charged_for_read(&self, units: Units) {
        self.units.spend(UnitKind::Read, units, Basis::Exact);
    }

    /// A page was read.
    pub fn page_read(&self, read: &ReadOfPage<'_>) {
        self.note_partition(read);
        if !read.outcome.saves() {
            return;
        }
        let price = self.price_now(read.index, read.price);
        match read.index {
            Some(index) => {
                index.units.save(price.index());
                // Most indexes have all that is asked of them.
                if price.table() != Units::default() {
                    self.units.save(price.table());
                }
            }
            None => self.units.save(price.table()),
        }
    }

    /// A write of an item is sent.
    pub fn item_written(&self, write: &WriteOfItem<'_>) {
        self.written.fetch_add(1, Ordering::Relaxed);
        if let Some(hot) = &self.hot {
            hot.keys.item(Access::Write, hot.table, write.hash, write.key, 0);
        }
    }

    /// The upstream has charged something of this table.
    pub fn charged(&self, charge: &Charge) {
        self.units.spend(charge.kind, charge.consumed.table() + charge.consumed.failed(), charge.basis);
        for (_, name, units) in charge.consumed.indexes() {
            self.index(name).units.spend(charge.kind, units, charge.basis);
        }
    }

    /// What was saved and spent so far: of the table itself under an empty name, and of each index.
    pub fn units(&self) -> Vec<(Box<str>, SpentUnits)> {
        let indexes = self.indexes.read().unwrap_or_else(PoisonError::into_inner);
        let of_indexes = indexes.iter().map(|index| (index.name.clone(), index.units.sum()));
        std::iter::once((Box::default(), self.units.sum())).chain(of_indexes).collect()
    }

    /// Counts the partition that a Query reads.
    fn note_partition(&self, read: &ReadOfPage<'_>) {
        let (Some(hot), Some(partition)) = (&self.hot, read.partition) else { return };
        let access = read.outcome.access();
        match read.index {
            None => hot.keys.query(access, hot.table, None, partition),
            Some(IndexUsage { hot_index: None, .. }) => {}
            Some(IndexUsage { hot_index, .. }) => hot.keys.query(access, hot.table, *hot_index, partition),
        }
    }

    /// Takes over what another table has counted that makes room.
    pub(super) fn inherit(&self, other: &Self) {
        self.units.add(other.units.sum());
        for index in other.indexes.read().unwrap_or_else(PoisonError::into_inner).iter() {
            self.index(&index.name).units.add(index.units.sum());
        }
    }
}

impl IndexUsage {
    /// The index's name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_is_gone_gives_its_place_among_the_hot_ones_back() {
        let hot = Arc::new(HotKeys::new(tokio::time::Instant::now()));
        for _ in 0..10_000 {
            assert!(TableUsage::new("orders", &hot).hot.is_some());
        }
        assert_eq!(hot.tables_rejected(), 0);
    }

    #[test]
    fn an_index_is_the_same_each_time_and_further_ones_are_gathered() {
        let table = TableUsage::new("orders", &Arc::new(HotKeys::new(tokio::time::Instant::now())));
        let first = table.index("by-date");
        assert!(Arc::ptr_eq(&first, &table.index("by-date")));
        for number in 1..INDEXES_MAX {
            assert_eq!(table.index(&number.to_string()).name(), number.to_string());
        }
        assert_eq!(table.index("one").name(), OTHER_INDEX);
        assert!(Arc::ptr_eq(&table.index("two"), &table.index("three")));
        assert!(Arc::ptr_eq(&first, &table.index("by-date")));
    }
}
