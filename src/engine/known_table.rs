//! A table that the engine knows: its schema, its part of the cache, and how it and its indexes are cached.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::{CachedIndex, CachedTable, FillMode, PagePolicy, ReadPolicy};
use crate::insight::{IndexUsage, TableUsage};
use crate::model::TableSchema;
use crate::model::schema::IndexKind;
use crate::spread::Spread;
use crate::upstream::schemas::TableDescription;

/// While pages of global indexes were asked for within this time, writes are made to tell what they change.
const INDEX_INTEREST: Duration = Duration::from_secs(60);

/// How often other nodes hear that pages of global indexes are asked for here: before they forget it.
const INTEREST_REPORTED_SECONDS: u64 = 30;

/// How long an index that was being created or removed is taken to be that still.
const UNSETTLED: Duration = Duration::from_secs(5);

/// How old the description of a table may be when a miss or a write builds on it.
const DESCRIPTION_AGE_MAX: Duration = Duration::from_secs(60);

/// The longest time between two refreshes of a description that answers of the upstream contradict again and again.
const DOUBT_INTERVAL_MAX: Duration = Duration::from_secs(32);

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
    /// Whether what is cached answers reads.
    pub mode: CacheMode,
    /// Which hits are compared with the upstream afterwards.
    pub verify_sample: SampleRate,
}

/// Whether what is cached answers reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheMode {
    /// It does.
    On,
    /// It is kept by the same rules and answers nothing: it is compared with what the upstream answers.
    Shadow,
}

/// The part of hits that is chosen, each by chance: a number of 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleRate(u64);

impl SampleRate {
    /// None.
    pub const NONE: Self = Self(0);

    /// That part, from 0 to 1. Any part above 0 chooses something.
    pub fn of(part: f64) -> Self {
        Self((part.clamp(0.0, 1.0) * (1_u64 << 32) as f64).ceil() as u64)
    }

    /// True if this one is chosen.
    #[inline]
    pub(super) fn picks(self) -> bool {
        self.0 != 0 && u64::from(fastrand::u32(..)) < self.0
    }
}

impl TablePolicy {
    /// Caches items, and no pages.
    pub fn items_only(policy: ReadPolicy) -> Self {
        Self {
            items: Some(policy),
            pages: None,
            indexes: HashMap::new(),
            asks_images: true,
            mode: CacheMode::On,
            verify_sample: SampleRate::NONE,
        }
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
    Invalidates,
    /// It is as good under the new ones.
    Keeps,
}

/// Where a table is cached, and where it is learned what requests do to it.
pub(super) struct Place {
    pub(super) cached: Arc<CachedTable>,
    pub(super) usage: Arc<TableUsage>,
}

/// A table that the upstream has described.
pub(crate) struct KnownTable {
    /// The table's name, whatever spelling a request used.
    pub(crate) name: Arc<str>,
    /// The name or ARN that the upstream was asked with.
    pub(super) spelling: Box<str>,
    /// Its schema, as last described.
    pub(crate) schema: Arc<TableSchema>,
    /// Its ARN; empty if the upstream reports none.
    arn: Box<str>,
    /// The global indexes that were being created or removed.
    unsettled_indexes: Vec<String>,
    /// Its part of the item cache.
    pub(crate) cached: Arc<CachedTable>,
    /// What requests do to it.
    pub(crate) usage: Arc<TableUsage>,
    /// How its items are cached; `None` when they are not.
    pub(crate) policy: Option<ReadPolicy>,
    /// How pages of the table itself are cached; `None` when they are not.
    pub(crate) pages: Option<PagePolicy>,
    /// Its indexes, in the order of the schema.
    pub(crate) indexes: Vec<KnownIndex>,
    /// Whether writes may be made to tell the item before and after.
    pub(crate) asks_images: bool,
    /// Whether what is cached answers reads.
    mode: CacheMode,
    /// Which hits are compared with the upstream afterwards.
    pub(super) verify_sample: SampleRate,
    /// Whose number the policies had before its own was asked for.
    pub(super) policies: u64,
    /// When it was described first.
    learned: Instant,
    /// Milliseconds after that, when the upstream last reported the same.
    confirmed_ms: AtomicU64,
    /// How often answers contradicted the description, and when they last did, in milliseconds as above.
    doubts: AtomicU32,
    doubted_ms: AtomicU64,
    /// Values that differ by their policy share it.
    fate: Arc<Fate>,
    /// Whether descriptions grow old: not where nobody else can change a table.
    ages: bool,
    /// Whole seconds after that, from 1, when a page of a global index was last asked for; 0 never.
    index_pages_asked: AtomicU64,
    /// The same of when other nodes last heard that one is asked for here.
    interest_reported: AtomicU64,
    /// The name again, to be given out with every hit: each thread clones one of its own, whose count it alone changes.
    names: Spread<Arc<str>>,
}

/// What becomes of a schema.
#[derive(Default)]
struct Fate {
    /// Set when the table may have another schema, before everything that is cached of it is invalidated. Requests that still
    /// use this value then check it: see [`super::Engine::check_current`].
    is_retired: AtomicBool,
    /// Set when a write was planned by the schema whose items other nodes hear of.
    is_written: AtomicBool,
}

/// How far a description may be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// As it is.
    Fresh,
    /// As it is, and another one should be asked for in the background.
    Aging,
    /// Only if the upstream does not report another one.
    Old,
}

/// An index of a known table.
pub(crate) struct KnownIndex {
    /// How its pages are cached; `None` when they are not.
    pub(crate) pages: Option<PagePolicy>,
    /// A global index's part of the cache; a local one shares its table's.
    pub(crate) global: Option<Arc<CachedIndex>>,
    /// What requests do to it.
    pub(crate) usage: Arc<IndexUsage>,
    /// False while it is being made or removed.
    pub(crate) is_settled: bool,
}

impl KnownTable {
    /// A table as it was described just now.
    pub(super) fn new(
        spelling: &str,
        description: TableDescription,
        policy: TablePolicy,
        policies: u64,
        Place { cached, usage }: Place,
        ages: bool,
    ) -> Self {
        let TableDescription { schema, arn, unsettled_indexes, time_to_live: _, sizes: _ } = description;
        let indexes = schema.indexes.iter().map(|index| KnownIndex {
            pages: policy.indexes.get(&index.name).copied().unwrap_or(policy.pages),
            global: (index.kind == IndexKind::Global).then(|| cached.index(&index.name)),
            usage: usage.index(&index.name),
            is_settled: !unsettled_indexes.contains(&index.name),
        });
        let indexes = indexes.collect();
        let schema = Arc::new(schema);
        usage.describe(&schema);
        Self {
            spelling: spelling.into(),
            arn: arn.into(),
            name: schema.name.as_str().into(),
            names: Spread::from_fn(|| schema.name.as_str().into()),
            schema,
            policy: policy.items,
            pages: policy.pages,
            indexes,
            asks_images: policy.asks_images,
            mode: policy.mode,
            verify_sample: policy.verify_sample,
            policies,
            learned: Instant::now(),
            confirmed_ms: AtomicU64::new(0),
            doubts: AtomicU32::new(0),
            doubted_ms: AtomicU64::new(0),
            fate: Arc::default(),
            ages,
            index_pages_asked: AtomicU64::new(0),
            interest_reported: AtomicU64::new(0),
            cached,
            usage,
            unsettled_indexes,
        }
    }

    /// Its ARN; empty if the upstream reports none.
    pub(super) fn arn(&self) -> &str {
        &self.arn
    }

    /// True unless the spelling is an ARN of another place. An upstream may pass over region and account, as the local backend
    /// does, and somebody who names them must not take one table for another.
    pub(super) fn is_spelled(&self, spelling: &str) -> bool {
        !spelling.starts_with("arn:") || self.arn.is_empty() || *spelling == *self.arn
    }

    /// True if nothing of the table is answered from memory, nor out of another read's fetch.
    pub(super) fn is_in_shadow(&self) -> bool {
        self.mode == CacheMode::Shadow
    }

    /// The same table as described anew, with the same keys and indexes: what is in flight remains valid.
    pub(super) fn succeeding(self, former: &Self) -> Self {
        Self { fate: Arc::clone(&former.fate), ..self }
    }

    /// The same table under another policy.
    pub(super) fn with_policy(&self, policy: TablePolicy, policies: u64) -> Self {
        let names = self.schema.indexes.iter().zip(&self.indexes);
        let indexes = names.map(|(index, known)| KnownIndex {
            pages: policy.indexes.get(&index.name).copied().unwrap_or(policy.pages),
            global: known.global.clone(),
            usage: Arc::clone(&known.usage),
            is_settled: known.is_settled,
        });
        Self {
            name: Arc::clone(&self.name),
            spelling: self.spelling.clone(),
            names: Spread::from_fn(|| (*self.name).into()),
            schema: Arc::clone(&self.schema),
            arn: self.arn.clone(),
            unsettled_indexes: self.unsettled_indexes.clone(),
            cached: Arc::clone(&self.cached),
            usage: Arc::clone(&self.usage),
            policy: policy.items,
            pages: policy.pages,
            indexes: indexes.collect(),
            asks_images: policy.asks_images,
            mode: policy.mode,
            verify_sample: policy.verify_sample,
            policies,
            learned: self.learned,
            confirmed_ms: AtomicU64::new(self.confirmed_ms.load(Ordering::Relaxed)),
            doubts: AtomicU32::new(self.doubts.load(Ordering::Relaxed)),
            doubted_ms: AtomicU64::new(self.doubted_ms.load(Ordering::Relaxed)),
            fate: Arc::clone(&self.fate),
            ages: self.ages,
            index_pages_asked: AtomicU64::new(self.index_pages_asked.load(Ordering::Relaxed)),
            interest_reported: AtomicU64::new(self.interest_reported.load(Ordering::Relaxed)),
        }
    }

    /// Takes note that a page of a global index is asked for here. True if other nodes should hear of it now.
    pub(crate) fn note_index_page(&self, now: Instant) -> bool {
        let seconds = self.seconds(now);
        // Every hit comes here, so what is there already is not written again.
        if self.index_pages_asked.load(Ordering::Relaxed) == seconds {
            return false;
        }
        self.index_pages_asked.store(seconds, Ordering::Relaxed);
        let reported = self.interest_reported.load(Ordering::Relaxed);
        let is_due = reported == 0 || seconds >= reported + INTEREST_REPORTED_SECONDS;
        // Of several requests that find it due, one reports.
        is_due
            && self
                .interest_reported
                .compare_exchange(reported, seconds, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Takes note that a page of a global index is asked for at another node.
    pub(super) fn note_index_page_elsewhere(&self, now: Instant) {
        self.index_pages_asked.store(self.seconds(now), Ordering::Relaxed);
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
    pub(crate) fn may_have_settled(&self, now: Instant) -> bool {
        self.age(now) >= UNSETTLED
    }

    /// How far the description may be trusted.
    pub(super) fn freshness(&self, now: Instant) -> Freshness {
        match self.age(now) {
            age if !self.ages || age < DESCRIPTION_AGE_MAX / 2 => Freshness::Fresh,
            age if age < DESCRIPTION_AGE_MAX => Freshness::Aging,
            _ => Freshness::Old,
        }
    }

    fn age(&self, now: Instant) -> Duration {
        let confirmed = Duration::from_millis(self.confirmed_ms.load(Ordering::Relaxed));
        now.saturating_duration_since(self.learned + confirmed)
    }

    /// True if the upstream reported just this.
    pub(super) fn is_described_by(&self, description: &TableDescription) -> bool {
        self.has_schema_of(description)
            && *self.arn == *description.arn
            && self.unsettled_indexes == description.unsettled_indexes
    }

    /// True if the keys and indexes are those that the upstream reported.
    pub(super) fn has_schema_of(&self, description: &TableDescription) -> bool {
        *self.schema == description.schema
    }

    /// True if both are retired together.
    pub(super) fn shares_fate_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.fate, &other.fate)
    }

    /// Takes note that the upstream reported the same again.
    pub(super) fn confirm(&self, now: Instant) {
        self.confirmed_ms.fetch_max(self.milliseconds(now), Ordering::Relaxed);
    }

    /// Takes note that an answer contradicts the description. True if the upstream should be asked for another one: at once
    /// for the first such answer, and at growing intervals while the description stays the same.
    pub(super) fn doubt(&self, now: Instant) -> bool {
        let (now_ms, last_ms) = (self.milliseconds(now), self.doubted_ms.load(Ordering::Relaxed));
        let doubts = self.doubts.load(Ordering::Relaxed);
        let interval = Duration::from_secs(1 << doubts.min(16)).min(DOUBT_INTERVAL_MAX);
        if !self.ages || doubts > 0 && now_ms < last_ms + interval.as_millis() as u64 {
            return false;
        }
        self.doubted_ms.store(now_ms, Ordering::Relaxed);
        // Of several requests that find it due, one asks.
        self.doubts.compare_exchange(doubts, doubts + 1, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The table may have another schema from now on. Must come before its part of the cache is invalidated.
    pub(super) fn retire(&self) {
        self.fate.is_retired.store(true, Ordering::SeqCst);
    }

    /// True if the table may have another schema by now. If it is read as false after a word of the table's was captured, the
    /// invalidation that follows is still to come.
    pub(crate) fn is_retired(&self) -> bool {
        self.fate.is_retired.load(Ordering::Acquire)
    }

    /// Takes note that a write is planned by this schema, before it is sent.
    pub(super) fn note_written(&self) {
        // Most tables are written again and again.
        if !self.fate.is_written.load(Ordering::SeqCst) {
            self.fate.is_written.store(true, Ordering::SeqCst);
        }
    }

    /// True once, if writes were planned by this schema. To be asked when it is retired: a write that ends later finds that out
    /// by itself.
    pub(super) fn take_written(&self) -> bool {
        self.fate.is_written.swap(false, Ordering::SeqCst)
    }

    fn milliseconds(&self, now: Instant) -> u64 {
        // 2^64 milliseconds are 585 million years.
        now.saturating_duration_since(self.learned).as_millis() as u64
    }

    /// The name, for an answer.
    pub(crate) fn name_for_answer(&self) -> Arc<str> {
        Arc::clone(self.names.mine())
    }
}
