//! The tables that the engine knows: schema, cache handle and policy of each, learned with the first request that names it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use crate::cache::{CachedIndex, CachedTable, FillMode, ItemCache, PagePolicy, ReadPolicy, Realm};
use crate::model::TableSchema;
use crate::model::schema::IndexKind;
use crate::telemetry::Spread;
use crate::upstream::Upstream;
use crate::upstream::schemas::{TableDescription, fetch_description};

use super::recent::RecentRequests;

/// How many spellings of table names are remembered. A table has two or three (its name, its ARN); beyond this many, all are
/// forgotten and learned again, so that a client cannot grow the map without bound.
const SPELLINGS_MAX: usize = 20_000;

/// While pages of global indexes were asked for within this time, writes are made to tell what they change.
const INDEX_INTEREST: Duration = Duration::from_secs(60);

/// How long an index that was being made or removed is taken to be that still.
const UNSETTLED: Duration = Duration::from_secs(5);

/// Gives the policy of a table.
pub type PolicyOf = Box<dyn Fn(&str) -> TablePolicy + Send + Sync>;

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

    /// The same for an upstream that never lags: what is adaptive need not adapt.
    fn for_upstream_without_lag(mut self) -> Self {
        let relax = |fill: &mut FillMode| {
            if *fill == FillMode::Adaptive {
                *fill = FillMode::Eventual;
            }
        };
        self.items.iter_mut().for_each(|items| relax(&mut items.fill));
        let pages = self.pages.iter_mut().chain(self.indexes.values_mut().flatten());
        pages.for_each(|pages| relax(&mut pages.fill));
        self
    }
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
    policies: u64,
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
    fn new(
        description: TableDescription,
        policy: TablePolicy,
        policies: u64,
        cached: Arc<CachedTable>,
    ) -> Self {
        let TableDescription { schema, unsettled_indexes } = description;
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

type KnownTables = HashMap<Box<str>, Arc<KnownTable>>;

/// All known tables, by every spelling that requests have used.
pub(crate) struct Tables {
    /// Read with every request and seldom changed, so that reading must take no lock and raise no shared count.
    known: ArcSwap<KnownTables>,
    /// Held to change `known`.
    changing: Mutex<()>,
    /// Grows whenever something is forgotten: a description asked for before that is not remembered after it.
    forgotten: AtomicU64,
    /// Grows behind that, when what was forgotten cannot be found any more.
    generation: AtomicU64,
    /// Grows when every table may have another policy.
    policies: AtomicU64,
    /// Where generations come from.
    recent: Arc<RecentRequests>,
    policy_of: PolicyOf,
}

/// A time during which no table was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(u64);

impl Tables {
    pub(crate) fn new(policy_of: PolicyOf, recent: Arc<RecentRequests>) -> Self {
        Self {
            known: ArcSwap::default(),
            changing: Mutex::default(),
            forgotten: AtomicU64::new(0),
            generation: AtomicU64::new(recent.new_generation()),
            policies: AtomicU64::new(0),
            recent,
            policy_of,
        }
    }

    /// The table that a spelling names, when it is known.
    pub(crate) fn get(&self, spelling: &str) -> Option<Arc<KnownTable>> {
        self.known.load().get(spelling).cloned()
    }

    /// Looks at the table that a spelling names. `None` when it is not known, too.
    pub(crate) fn with<T>(
        &self,
        spelling: &str,
        look: impl FnOnce(&Arc<KnownTable>) -> Option<T>,
    ) -> Option<T> {
        look(self.known.load().get(spelling)?)
    }

    /// The table that a spelling names, asking the upstream when it is not known. `None` when the upstream does not know it
    /// either, or cannot say.
    pub(crate) async fn learn(
        &self,
        spelling: &str,
        upstream: &dyn Upstream,
        cache: &ItemCache,
        realm: Realm,
    ) -> Option<Arc<KnownTable>> {
        if let Some(known) = self.get(spelling) {
            return Some(known);
        }
        let forgotten = self.forgotten.load(Ordering::Acquire);
        let description = fetch_description(upstream, spelling).await?;
        // Before the policy is asked for, or an old one could pass for a new one.
        let policies = self.policies.load(Ordering::Acquire);
        let policy = (self.policy_of)(&description.schema.name);
        let policy = if upstream.never_lags() { policy.for_upstream_without_lag() } else { policy };
        let cached = cache.table(realm, &description.schema.name);
        let table = Arc::new(KnownTable::new(description, policy, policies, cached));
        self.change(|known| {
            if self.forgotten.load(Ordering::Acquire) == forgotten {
                if known.len() >= SPELLINGS_MAX {
                    known.clear();
                }
                known.insert(spelling.into(), Arc::clone(&table));
            }
        });
        Some(table)
    }

    /// Forgets a table under every spelling, because it may have another schema now.
    pub(crate) fn forget(&self, name: &str) {
        self.change(|known| {
            self.forgotten.fetch_add(1, Ordering::AcqRel);
            known.retain(|_, table| &*table.name != name);
        });
        self.generation.fetch_max(self.recent.new_generation(), Ordering::AcqRel);
    }

    /// Forgets every table, because each may have another policy now.
    pub(crate) fn forget_all(&self) {
        // Before anything is forgotten, so that no table with an old number is remembered after it.
        self.policies.fetch_add(1, Ordering::AcqRel);
        self.change(|known| {
            self.forgotten.fetch_add(1, Ordering::AcqRel);
            known.clear();
        });
        self.generation.fetch_max(self.recent.new_generation(), Ordering::AcqRel);
    }

    /// True if the table may have another policy by now.
    pub(crate) fn has_old_policy(&self, table: &KnownTable) -> bool {
        table.policies != self.policies.load(Ordering::Acquire)
    }

    /// The generation now: whatever is looked up later, and as long as it lasts, belongs to it.
    pub(crate) fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Acquire))
    }

    fn change(&self, change: impl FnOnce(&mut KnownTables)) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = KnownTables::clone(&self.known.load());
        change(&mut known);
        self.known.store(Arc::new(known));
    }
}

/// The table's name in a name or an ARN, when the text has the form of either.
pub(crate) fn name_in(spelling: &str) -> &str {
    match spelling.strip_prefix("arn:").and_then(|arn| arn.split_once(":table/")) {
        Some((_, resource)) => resource.split('/').next().unwrap_or(resource),
        None => spelling,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_an_arn_name_the_same_table() {
        assert_eq!(name_in("Orders"), "Orders");
        assert_eq!(name_in("arn:aws:dynamodb:us-east-1:000000000000:table/Orders"), "Orders");
        assert_eq!(name_in("arn:aws:dynamodb:us-east-1:000000000000:table/Orders/index/byTime"), "Orders");
    }
}
