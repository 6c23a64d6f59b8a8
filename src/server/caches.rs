//! The caches as configured: how large each is, how each table is cached, and what they count.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::{
    BumpReason, BumpedScope, CacheLimits, FillMode, FleetMemory, ItemCache, NotStored, PageCache, PageLimits,
    PageNotStored, PagePolicy, ReadPolicy, ScanAdmission, ScopeStats, TableStats,
};
use crate::config::{
    ByteSize, CachePolicy, Config, Fill, Images, IndexPolicy, Live, Mode, ScanPages, TimeToLive,
};
use crate::engine::{CacheMode, Memory, SampleRate, TablePolicy};
use crate::stopped_time::StoppedTime;
use crate::telemetry::{CacheSample, Metrics};

use super::{comparisons, savings};

/// Longer pages are served and not kept. A page is 1 MB of items at most, which may be several times as much JSON.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// Both caches.
#[derive(Clone)]
pub(super) struct Caches {
    pub(super) memory: Memory,
}

impl Caches {
    /// Empty caches of the configured sizes, in a fleet or not. Where no pages are kept at all, items have the whole budget.
    pub(super) fn new(config: &Config, fleet: Option<FleetMemory>, stopped: &Arc<StoppedTime>) -> Self {
        let (items, mut pages) = budgets(&config.live);
        if fleet.is_some() {
            pages = PageLimits::in_fleet(pages.max_bytes);
        }
        let items = match fleet {
            Some(fleet) => ItemCache::in_fleet(items, fleet),
            None => ItemCache::ageing(items, Arc::clone(stopped)),
        };
        items.keep_expired(longest_stale(&config.live));
        items.set_unknown_write_window(config.fixed.remote.unknown_write_window);
        let pages = PageCache::new(pages, Arc::clone(&items));
        let memory = Memory::new(items, pages);
        memory.set_check_rate(config.live.verify_rate_max);
        Self { memory }
    }

    /// Makes the budgets what they are in another config, where that says anything else: by evicting items, and by
    /// forgetting all pages.
    pub(super) fn fit(&self, before: &Live, after: &Live) {
        self.memory.items.keep_expired(longest_stale(after));
        self.memory.set_check_rate(after.verify_rate_max);
        let (old, new) = (budgets(before), budgets(after));
        if old.0.max_bytes != new.0.max_bytes {
            self.memory.items.set_max_bytes(new.0.max_bytes);
        }
        if old.1.max_bytes != new.1.max_bytes {
            self.memory.pages.set_max_bytes(new.1.max_bytes);
        }
    }

    /// Items reported as changed elsewhere that invalidated nothing here.
    pub(super) fn bumps_spared(&self) -> u64 {
        self.memory.items.stats().bumps_spared
    }

    /// Tidies both.
    // Not inlined: `benches/instructions/dump.py` knows it by its name.
    #[inline(never)]
    pub(super) fn sweep(&self, now: Instant) {
        self.memory.items.sweep(now);
        self.memory.pages.sweep(now);
        self.memory.insight.sweep(now);
    }

    /// What they counted by themselves, under the names of the metrics.
    pub(super) fn samples(&self, metrics: &Metrics) -> Vec<CacheSample> {
        let mut samples = item_samples(&self.memory.items);
        samples.extend(page_samples(&self.memory.pages));
        samples.extend(table_samples(&self.memory.pages, metrics));
        samples.extend(savings::samples(&self.memory.insight, metrics));
        samples.extend(comparisons::samples(&self.memory.pages, metrics));
        samples
    }
}

/// The budgets of items and of pages.
fn budgets(live: &Live) -> (CacheLimits, PageLimits) {
    let max_bytes = live.cache_bytes_max.0;
    let has_pages = live.cache.has_pages() || live.tables.values().any(CachePolicy::has_pages);
    let page_bytes = if has_pages { live.query_share.of(max_bytes) } else { 0 };
    // The engine keeps what it understood of requests beside the pages, in an eighth of their room at most.
    let pages = PageLimits::for_budget(page_bytes - page_bytes / 8);
    (CacheLimits::for_budget(max_bytes - page_bytes), pages)
}

/// How long after its time anything may be served at all.
fn longest_stale(live: &Live) -> Duration {
    let policies = std::iter::once(&live.cache).chain(live.tables.values());
    policies.map(|policy| policy.stale_if_error).max().unwrap_or_default()
}

/// How a table is cached.
pub(super) fn policy(live: &Live, table: &str) -> TablePolicy {
    let policy = live.policy(table);
    let of_table = IndexPolicy { query_ttl: policy.query_ttl, gsi_quarantine: policy.gsi_quarantine };
    let indexes = policy.indexes.iter();
    TablePolicy {
        items: read_policy(policy),
        pages: page_policy(policy, of_table),
        indexes: indexes.map(|(name, index)| (name.clone(), page_policy(policy, *index))).collect(),
        asks_images: policy.images == Images::Ask,
        mode: match policy.mode {
            Mode::On | Mode::Off => CacheMode::On,
            Mode::Shadow => CacheMode::Shadow,
        },
        verify_sample: SampleRate::of(policy.verify_sample.value()),
    }
}

/// How a table's items are read; `None` when its item cache is off.
fn read_policy(policy: &CachePolicy) -> Option<ReadPolicy> {
    let ByteSize(bytes) = policy.item_bytes_max;
    is_on(policy, policy.item_ttl).then(|| ReadPolicy {
        ttl: duration(policy.item_ttl),
        negative_ttl: duration(policy.negative_ttl),
        fill: fill(policy.fill),
        item_bytes_max: usize::try_from(bytes).unwrap_or(usize::MAX),
        stale_if_error: policy.stale_if_error,
    })
}

/// How pages are read; `None` when they are not cached.
fn page_policy(policy: &CachePolicy, index: IndexPolicy) -> Option<PagePolicy> {
    is_on(policy, index.query_ttl).then(|| PagePolicy {
        ttl: duration(index.query_ttl),
        fill: fill(policy.fill),
        gsi_quarantine: index.gsi_quarantine,
        page_bytes_max: PAGE_BYTES_MAX,
        scan_admission: match policy.scan_pages {
            ScanPages::Second => ScanAdmission::Second,
            ScanPages::First => ScanAdmission::First,
            ScanPages::Never => ScanAdmission::Never,
        },
        stale_if_error: policy.stale_if_error,
        fill_items: policy.fill_items_from_pages,
    })
}

fn is_on(policy: &CachePolicy, ttl: TimeToLive) -> bool {
    policy.mode != Mode::Off && ttl != TimeToLive::For(Duration::ZERO)
}

fn duration(ttl: TimeToLive) -> Option<Duration> {
    match ttl {
        TimeToLive::Never => None,
        TimeToLive::For(duration) => Some(duration),
    }
}

fn fill(fill: Fill) -> FillMode {
    match fill {
        Fill::Adaptive => FillMode::Adaptive,
        Fill::Strong => FillMode::Strong,
        Fill::Eventual => FillMode::Eventual,
    }
}

fn item_samples(cache: &ItemCache) -> Vec<CacheSample> {
    let stats = cache.stats();
    let total = &stats.total;
    let mut samples: Vec<CacheSample> = [
        ("nearside_cache_hits_total", total.hits),
        ("nearside_cache_negative_hits_total", total.negative_hits),
        ("nearside_cache_misses_total", total.leads),
        ("nearside_cache_joins_total", total.joins),
        ("nearside_cache_evictions_total", stats.evictions),
        ("nearside_cache_expired_total", stats.expired),
        ("nearside_cache_waiters_refused_total", stats.waiters_turned_away),
        ("nearside_cache_entries", stats.entries),
        ("nearside_cache_bytes", stats.bytes),
        ("nearside_cache_bytes_max", stats.bytes_max),
        ("nearside_cache_holds_active", stats.holds_active),
        ("nearside_stale_observed_total", total.stale_observed),
        ("nearside_foreign_keys_total", total.foreign_keys),
    ]
    .into_iter()
    .map(|(name, value)| CacheSample::plain(name, value))
    .collect();
    let mut labelled = |name, label, value: &'static str, count| {
        samples.push(CacheSample::labelled(name, label, value, count));
    };
    labelled("nearside_cache_installs_total", "by", "fill", total.fills_installed);
    labelled("nearside_cache_installs_total", "by", "write", total.writes_installed);
    labelled("nearside_cache_installs_total", "by", "page", total.pages_installed);
    for reason in BumpReason::ALL {
        labelled("nearside_cache_bumps_total", "reason", reason.label(), stats.bumps(reason));
    }
    for reason in NotStored::ALL {
        labelled("nearside_cache_installs_refused_total", "reason", reason.label(), stats.not_stored(reason));
    }
    samples
}

fn page_samples(cache: &PageCache) -> Vec<CacheSample> {
    let stats = cache.stats();
    let mut samples: Vec<CacheSample> = [
        ("nearside_page_evictions_total", stats.evictions),
        ("nearside_page_expired_total", stats.expired),
        ("nearside_page_waiters_refused_total", stats.waiters_turned_away),
        ("nearside_page_entries", stats.entries),
        ("nearside_page_bytes", stats.bytes),
        ("nearside_page_bytes_max", stats.bytes_max),
    ]
    .into_iter()
    .map(|(name, value)| CacheSample::plain(name, value))
    .collect();
    samples.extend(PageNotStored::ALL.map(|reason| {
        let count = stats.not_stored(reason);
        CacheSample::labelled("nearside_page_installs_refused_total", "reason", reason.label(), count)
    }));
    for reason in BumpReason::ALL {
        for scope in BumpedScope::ALL {
            let labels = vec![("scope", scope.label().to_owned()), ("reason", reason.label().to_owned())];
            // Most reasons concern few kinds of scope.
            if stats.bumps(reason, scope) > 0 {
                let value = stats.bumps(reason, scope);
                samples.push(CacheSample { name: "nearside_page_bumps_total", labels, value: value as f64 });
            }
        }
    }
    samples
}

/// What was counted of each table: of its items by the table's label; of its pages, with those of its local indexes, and of
/// the pages of each global index by that and the name of the index. Tables without a label of their own share one, for their indexes
/// too.
pub(super) fn stats_by_table(
    cache: &PageCache,
    metrics: &Metrics,
) -> (BTreeMap<String, TableStats>, BTreeMap<(String, String), ScopeStats>) {
    let mut items: BTreeMap<String, TableStats> = BTreeMap::new();
    let mut pages: BTreeMap<(String, String), ScopeStats> = BTreeMap::new();
    for (table, indexes) in cache.tables() {
        let Some(label) = metrics.table_label(table.name()) else { continue };
        let is_shared = label != table.name();
        *items.entry(label.to_owned()).or_default() += table.stats();
        let of_indexes = indexes.iter().map(|index| (index.name(), index.stats()));
        for (index, stats) in of_indexes.chain([("", table.page_stats())]) {
            let index = if is_shared { label } else { index };
            *pages.entry((label.to_owned(), index.to_owned())).or_default() += stats;
        }
    }
    (items, pages)
}

/// The same under the names of the metrics.
fn table_samples(cache: &PageCache, metrics: &Metrics) -> Vec<CacheSample> {
    let (items, pages) = stats_by_table(cache, metrics);
    let of_items = items.into_iter().flat_map(|(table, stats)| {
        let figures = [
            ("nearside_item_hits_total", stats.hits),
            ("nearside_item_misses_total", stats.leads),
            ("nearside_item_joins_total", stats.joins),
        ];
        figures.map(|(name, value)| CacheSample::labelled(name, "table", &table, value))
    });
    let of_pages = pages.into_iter().flat_map(|((table, index), stats)| {
        let figures = [
            ("nearside_page_hits_total", stats.hits),
            ("nearside_page_misses_total", stats.leads),
            ("nearside_page_joins_total", stats.joins),
            ("nearside_page_installs_total", stats.installs),
            ("nearside_page_contradictions_total", stats.stale_observed),
        ];
        figures.map(|(name, value)| {
            let labels = vec![("table", table.clone()), ("index", index.clone())];
            CacheSample { name, labels, value: value as f64 }
        })
    });
    of_items.chain(of_pages).collect()
}
