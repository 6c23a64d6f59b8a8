//! A table that the engine knows: its schema, its part of the cache, and how it and its indexes are cached.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::{CachedIndex, CachedTable, FillMode, PagePolicy, ReadPolicy};
use crate::model::TableSchema;
use crate::model::schema::IndexKind;
use crate::telemetry::Spread;
use crate::upstream::schemas::TableDescription;

/// While pages of global indexes were asked for within this time, writes are made to tell what they change.
const INDEX_INTEREST: Duration = Duration::from_secs(60);

/// How long an index that was being made or removed is taken to be that still.
const UNSETTLED: Duration = Duration::from_secs(5);

/// How one table is cached.
pub struct TablePolicy {
    /// How its items are; `None` when they are not.
    pub items: Option<ReadPolicy>,
    /// How its pages are, those of its indexes included; `None` when they are not.
    pub pages: Option<PagePolicy>,
    /// What holds for single indexes instead.
    pub indexes: HashMap<String, Option<PagePolicy>>,
    /// Whether writes may be made to tell the item before and after, where their clients do not ask for it.
    pub asks_images: bool,
}

impl TablePolicy {
    /// Caches items, and no pages.
    pub fn items_only(policy: ReadPolicy) -> Self {
        Self { items: Some(policy), pages: None, indexes: HashMap::new(), asks_images: true }
    }

    /// The same for an upstream that never lags: what is adaptive need not adapt, and pages of global indexes need not wait.
    pub(super) fn for_upstream_without_lag(mut self) -> Self {
        let relax = |fill: &mut FillMode| {
            if *fill == FillMode::Adaptive {
                *fill = FillMode::Eventual;
            }
        };
        self.items.iter_mut().for_each(|items| relax(&mut items.fill));
        let pages = self.pages.iter_mut().chain(self.indexes.values_mut().flatten());
        pages.for_each(|pages| {
            relax(&mut pages.fill);
            pages.gsi_quarantine = Duration::ZERO;
        });
        self
    }
}

/// What a change of policies means for what is stored under the old ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyChange {
    /// It must not be served any more.
    Voids,
    /// It is as good under the new ones.
    Keeps,
}

/// A table that the upstream has described.
pub(crate) struct KnownTable {
    /// The table's name, whatever spelling a request used.
    pub(crate) name: Arc<str>,
    /// Its schema, as last described.
    pub(crate) schema: Arc<TableSchema>,
    /// Its part of the item cache.
    pub(crate) cached: Arc<CachedTable>,
    /// How its items are cached; `None` when they are not.
    pub(crate) policy: Option<ReadPolicy>,
    /// How pages of the table itself are cached; `None` when they are not.
    pub(crate) pages: Option<PagePolicy>,
    /// Its indexes, in the order of the schema.
    pub(crate) indexes: Vec<KnownIndex>,
    /// Whether writes may be made to tell the item before and after.
    pub(crate) asks_images: bool,
    /// Whose number the policies had before its own was asked for.
    pub(super) policies: u64,
    /// When it was described.
    learned: Instant,
    /// Whole seconds after that, from 1, when a page of a global index was last asked for; 0 never.
    index_pages_asked: AtomicU64,
    /// The name again, to be given out with every hit: each thread clones one of its own, whose count it alone changes.
    names: Spread<Arc<str>>,
}

/// An index of a known table.
pub(crate) struct KnownIndex {
    /// How its pages are cached; `None` when they are not.
    pub(crate) pages: Option<PagePolicy>,
    /// A global index's part of the cache; a local one shares its table's.
    pub(crate) global: Option<Arc<CachedIndex>>,
    /// False while it is being made or removed.
    pub(crate) is_settled: bool,
}

impl KnownTable {
    /// A table as it was described just now.
    pub(super) fn new(
        description: TableDescription,
        policy: TablePolicy,
        policies: u64,
        cached: Arc<CachedTable>,
    ) -> Self {
        let TableDescription { schema, arn: _, unsettled_indexes } = description;
        let indexes = schema.indexes.iter().map(|index| KnownIndex {
            pages: policy.indexes.get(&index.name).copied().unwrap_or(policy.pages),
            global: (index.kind == IndexKind::Global).then(|| cached.index(&index.name)),
            is_settled: !unsettled_indexes.contains(&index.name),
        });
        Self {
            name: schema.name.as_str().into(),
            names: Spread::from_fn(|| schema.name.as_str().into()),
            policy: policy.items,
            pages: policy.pages,
            indexes: indexes.collect(),
            asks_images: policy.asks_images,
            policies,
            learned: Instant::now(),
            index_pages_asked: AtomicU64::new(0),
            cached,
            schema: Arc::new(schema),
        }
    }

    /// The same table under another policy.
    pub(super) fn with_policy(&self, policy: TablePolicy, policies: u64) -> Self {
        let names = self.schema.indexes.iter().zip(&self.indexes);
        let indexes = names.map(|(index, known)| KnownIndex {
            pages: policy.indexes.get(&index.name).copied().unwrap_or(policy.pages),
            global: known.global.clone(),
            is_settled: known.is_settled,
        });
        Self {
            name: Arc::clone(&self.name),
            names: Spread::from_fn(|| (*self.name).into()),
            schema: Arc::clone(&self.schema),
            cached: Arc::clone(&self.cached),
            policy: policy.items,
            pages: policy.pages,
            indexes: indexes.collect(),
            asks_images: policy.asks_images,
            policies,
            learned: self.learned,
            index_pages_asked: AtomicU64::new(self.index_pages_asked.load(Ordering::Relaxed)),
        }
    }

    /// Takes note that a page of a global index is asked for.
    pub(crate) fn note_index_page(&self, now: Instant) {
        let seconds = self.seconds(now);
        // Every hit comes here, so what is there already is not written again.
        if self.index_pages_asked.load(Ordering::Relaxed) != seconds {
            self.index_pages_asked.store(seconds, Ordering::Relaxed);
        }
    }

    /// True while there is use in knowing which partitions of global indexes a write touches.
    pub(crate) fn has_readers_of_indexes(&self, now: Instant) -> bool {
        match self.index_pages_asked.load(Ordering::Relaxed) {
            0 => false,
            asked => self.seconds(now) <= asked + INDEX_INTEREST.as_secs(),
        }
    }

    fn seconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.learned).as_secs() + 1
    }

    /// True if what was described may have settled meanwhile.
    pub(crate) fn is_outdated(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.learned) >= UNSETTLED
    }

    /// The name, for an answer.
    pub(crate) fn name_for_answer(&self) -> Arc<str> {
        Arc::clone(self.names.mine())
    }
}
