//! What to change in the config, in sentences: from the curves of both caches and from what was counted of each table.
//!
//! Each sentence names the key and the value to set. There is no advice from few reads, and none for a small gain.

use std::time::Duration;

use crate::config::{ByteSize, CachePolicy, ScanPages, TimeToLive};

use super::curve::{CurveReport, Expired, Point, TTL_FACTORS, TableCounts, TableCurve};

/// Reads from which on a cache or a table is judged.
const READS_MIN: f64 = 20_000.0;

/// Sampled reads from which on.
const SAMPLES_MIN: u64 = 2_000;

/// More memory is advised for at least so many more hits, as a part of the reads.
const GAIN_MIN: f64 = 0.05;

/// Twice as much memory again is advised for at least so many more.
const GAIN_OF_DOUBLING_MIN: f64 = 0.02;

/// Less memory is advised after this time at least: a cache that has just begun is not full.
const OBSERVED_MS_MIN: u64 = 30 * 60 * 1000;

/// Less memory is advised if it costs at most so many hits.
const LOSS_MAX: f64 = 0.005;

/// A time to live is too short if at least so many of the reads miss for it alone.
const UNCHANGED_MIN: f64 = 0.05;

/// It does what it is for if at least this part of what expired had changed.
const CHANGED_MAX: f64 = 0.1;

/// A longer time to live must spare at least this part of those misses.
const SPARED_MIN: f64 = 0.6;

/// With fewer hits than this part of the reads, a table is not worth its memory.
const WORTH_MIN: f64 = 0.1;

/// Unless it would have at least so many in the largest cache that is simulated.
const WORTH_AT_MOST_MIN: f64 = 0.3;

/// From this part of all requests on, a table is one that is mostly written.
const WRITE_SHARE_HIGH: f64 = 0.5;

/// A scan floods the cache if at least this part of its pages is evicted before it is used.
const FLOOD_MIN: f64 = 0.5;

/// Pages of scans from which on.
const SCAN_PAGES_MIN: f64 = 500.0;

/// How urgent it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// Good to know.
    Info,
    /// A change would help.
    Advice,
    /// Something is at work that costs much.
    Warning,
}

impl Level {
    /// As in the answer of the admin API.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Advice => "advice",
            Self::Warning => "warning",
        }
    }
}

/// A piece of advice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advice {
    pub(crate) level: Level,
    /// The table that it is about; `None` for all.
    pub(crate) table: Option<String>,
    /// One or two sentences.
    pub(crate) text: String,
}

/// All that advice is made from.
pub(crate) struct Observed<'a> {
    /// `max_bytes` as it is configured.
    pub(crate) max_bytes: u64,
    pub(crate) items: &'a CurveReport,
    pub(crate) pages: &'a CurveReport,
    pub(crate) tables: Vec<ObservedTable<'a>>,
}

/// One table.
pub(crate) struct ObservedTable<'a> {
    pub(crate) name: &'a str,
    pub(crate) policy: &'a CachePolicy,
    /// Its part of the curves; `None` if nothing was read.
    pub(crate) items: Option<&'a TableCurve>,
    pub(crate) pages: Option<&'a TableCurve>,
    /// Reads of items, and how many of them hit, since the node began.
    pub(crate) item_reads: u64,
    pub(crate) item_hits: u64,
    /// The same of pages.
    pub(crate) page_reads: u64,
    pub(crate) page_hits: u64,
    /// Items that were written.
    pub(crate) writes: u64,
}

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cached {
    Items,
    Pages,
}

impl Cached {
    fn label(self) -> &'static str {
        match self {
            Self::Items => "items",
            Self::Pages => "pages",
        }
    }

    fn ttl_key(self) -> &'static str {
        match self {
            Self::Items => "item_ttl",
            Self::Pages => "query_ttl",
        }
    }
}

/// Everything that is worth saying: about the whole cache first, then table by table.
pub(crate) fn advise(observed: &Observed<'_>) -> Vec<Advice> {
    let mut advice = Vec::new();
    for (cached, curve) in [(Cached::Items, observed.items), (Cached::Pages, observed.pages)] {
        advice.extend(more_memory(observed.max_bytes, cached, curve));
    }
    if advice.is_empty() {
        advice.extend(less_memory(observed));
    }
    for table in &observed.tables {
        advice.extend(worthless(table, Cached::Items));
        advice.extend(worthless(table, Cached::Pages));
        advice.extend(short_ttl(table, Cached::Items));
        advice.extend(short_ttl(table, Cached::Pages));
        advice.extend(short_negative_ttl(table));
        advice.extend(flooding_scan(table));
    }
    advice
}

fn more_memory(max_bytes: u64, cached: Cached, curve: &CurveReport) -> Option<Advice> {
    let (points, now) = judged(curve)?;
    let mut best = now;
    for (at, point) in points.iter().enumerate().skip(now + 1) {
        let doublings = (at - best) as f64;
        if point.hit_ratio - points[best].hit_ratio >= GAIN_OF_DOUBLING_MIN * doublings {
            best = at;
        }
    }
    let gain = points[best].hit_ratio - points[now].hit_ratio;
    (gain >= GAIN_MIN).then(|| Advice {
        level: Level::Advice,
        table: None,
        text: format!(
            "With max_bytes = \"{}\" in [cache] the hit ratio of {} would be {}; with \"{}\" it is {}.",
            of_size(max_bytes, points[best], points[now]),
            cached.label(),
            percent(points[best].hit_ratio),
            ByteSize(max_bytes),
            percent(points[now].hit_ratio),
        ),
    })
}

/// Less memory, if that is enough for both caches.
fn less_memory(observed: &Observed<'_>) -> Option<Advice> {
    let curves = [observed.items, observed.pages];
    let used: Vec<_> = curves.into_iter().filter(|curve| curve.counts.reads > 0.0).collect();
    let mut factor: f64 = 0.0;
    for curve in &used {
        let (points, now) = judged(curve).filter(|_| curve.observed_ms >= OBSERVED_MS_MIN)?;
        let enough = |point: &&Point| points[now].hit_ratio - point.hit_ratio <= LOSS_MAX;
        let least = points[..=now].iter().rev().take_while(enough).last()?;
        factor = factor.max(least.bytes as f64 / points[now].bytes as f64);
    }
    let curve = used.first()?;
    let (points, now) = judged(curve)?;
    let bytes = (observed.max_bytes as f64 * factor) as u64;
    (factor <= 0.5).then(|| Advice {
        level: Level::Info,
        table: None,
        text: format!(
            "The cache is larger than this load needs: with max_bytes = \"{}\" in [cache] the hit ratio would also be {}.",
            rounded(bytes),
            percent(points[now].hit_ratio),
        ),
    })
}

/// A table whose reads hardly ever hit, and would not with much more memory.
fn worthless(table: &ObservedTable<'_>, cached: Cached) -> Option<Advice> {
    let (curve, reads, hits, ttl) = match cached {
        Cached::Items => (table.items?, table.item_reads, table.item_hits, table.policy.item_ttl),
        Cached::Pages => (table.pages?, table.page_reads, table.page_hits, table.policy.query_ttl),
    };
    if ttl == TimeToLive::For(Duration::ZERO) || (reads as f64) < READS_MIN || curve.samples < SAMPLES_MIN {
        return None;
    }
    let hit_ratio = hits as f64 / reads as f64;
    let at_most = curve.points.last()?.hit_ratio;
    let write_share = table.writes as f64 / (table.writes + reads) as f64;
    let reason = match write_share >= WRITE_SHARE_HIGH {
        true => format!("{} of the requests for it are writes", percent(write_share)),
        false => format!("a cache sixteen times as large would answer {}", percent(at_most)),
    };
    let is_worthless = hit_ratio < WORTH_MIN && at_most < WORTH_AT_MOST_MIN;
    is_worthless.then(|| Advice {
        level: Level::Advice,
        table: Some(table.name.to_owned()),
        text: format!(
            "Caching {} of this table is of little use: {} of the reads hit, and {reason}. \
             With {} = \"0s\" in {} the memory serves other tables.",
            cached.label(),
            percent(hit_ratio),
            cached.ttl_key(),
            section(table.name),
        ),
    })
}

fn short_ttl(table: &ObservedTable<'_>, cached: Cached) -> Option<Advice> {
    let (curve, ttl) = match cached {
        Cached::Items => (table.items?, table.policy.item_ttl),
        Cached::Pages => (table.pages?, table.policy.query_ttl),
    };
    let longer = longer_ttl(curve, &curve.counts.expired, ttl)?;
    Some(Advice {
        level: Level::Advice,
        table: Some(table.name.to_owned()),
        text: format!(
            "{} of the reads of {} of this table miss because the entry has expired, and {} of those entries have not changed. \
             With {} = \"{}\" in {} the hit ratio would be about {}, now it is {}; \
             writes made past this node may then stay unseen for that long.",
            percent(longer.expired),
            cached.label(),
            percent(longer.unchanged),
            cached.ttl_key(),
            longer.ttl,
            section(table.name),
            percent(longer.hit_ratio),
            percent(longer.hit_ratio_now),
        ),
    })
}

fn short_negative_ttl(table: &ObservedTable<'_>) -> Option<Advice> {
    let curve = table.items?;
    let longer = longer_ttl(curve, &curve.counts.absences_expired, table.policy.negative_ttl)?;
    Some(Advice {
        level: Level::Advice,
        table: Some(table.name.to_owned()),
        text: format!(
            "{} of the reads of items of this table ask again for an item that was not there, and {} of those are still not there. \
             With negative_ttl = \"{}\" in {} the hit ratio would be about {}, now it is {}.",
            percent(longer.expired),
            percent(longer.unchanged),
            longer.ttl,
            section(table.name),
            percent(longer.hit_ratio),
            percent(longer.hit_ratio_now),
        ),
    })
}

/// A longer time to live, and what speaks for it.
struct LongerTtl {
    ttl: TimeToLive,
    /// The part of the reads that miss for the present one.
    expired: f64,
    /// The part of those whose value had not changed.
    unchanged: f64,
    hit_ratio: f64,
    hit_ratio_now: f64,
}

fn longer_ttl(curve: &TableCurve, expired: &Expired, ttl: TimeToLive) -> Option<LongerTtl> {
    let TimeToLive::For(present) = ttl else { return None };
    let TableCounts { reads, misses, .. } = curve.counts;
    let all = expired.unchanged + expired.changed;
    let is_short = reads >= READS_MIN
        && curve.samples >= SAMPLES_MIN
        && !present.is_zero()
        && expired.unchanged >= UNCHANGED_MIN * reads
        && expired.changed <= CHANGED_MAX * all;
    if !is_short {
        return None;
    }
    let within = expired.unchanged_within.iter().zip(TTL_FACTORS);
    let (spared, factor) =
        within.into_iter().find(|(spared, _)| **spared >= SPARED_MIN * expired.unchanged)?;
    let hit_ratio_now = (1.0 - misses / reads).clamp(0.0, 1.0);
    Some(LongerTtl {
        ttl: TimeToLive::For(present.mul_f64(factor)),
        expired: all / reads,
        unchanged: expired.unchanged / all,
        hit_ratio: (hit_ratio_now + spared / reads).clamp(0.0, 1.0),
        hit_ratio_now,
    })
}

fn flooding_scan(table: &ObservedTable<'_>) -> Option<Advice> {
    let counts = &table.pages?.counts;
    let evicted = counts.scans_evicted_unused / counts.scans_stored.max(1.0);
    let instead = match table.policy.scan_pages {
        ScanPages::First => "second",
        ScanPages::Second => "never",
        ScanPages::Never => return None,
    };
    (counts.scans_stored >= SCAN_PAGES_MIN && evicted >= FLOOD_MIN).then(|| Advice {
        level: Level::Warning,
        table: Some(table.name.to_owned()),
        text: format!(
            "Scans of this table flood the cache of pages: {} of the pages that they store are evicted before anybody reads them. \
             With scan_pages = \"{instead}\" in {} they no longer push out others.",
            percent(evicted),
            section(table.name),
        ),
    })
}

/// The points of a curve that are enough to judge by, and which one is of the present size.
fn judged(curve: &CurveReport) -> Option<(&[Point], usize)> {
    let now = curve.points.iter().position(|point| point.bytes == curve.bytes_max)?;
    let is_enough = curve.counts.reads >= READS_MIN && curve.samples >= SAMPLES_MIN;
    is_enough.then_some((&curve.points, now))
}

/// `max_bytes` in the proportion of two points.
fn of_size(max_bytes: u64, point: Point, now: Point) -> ByteSize {
    rounded((max_bytes as f64 * (point.bytes as f64 / now.bytes as f64)) as u64)
}

/// Whole mebibytes, from one.
fn rounded(bytes: u64) -> ByteSize {
    ByteSize(bytes.next_multiple_of(1 << 20).max(1 << 20))
}

fn percent(part: f64) -> String {
    format!("{:.0} %", 100.0 * part)
}

/// The section of a table in the config file.
fn section(table: &str) -> String {
    let is_bare = table.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if is_bare { format!("[tables.{table}]") } else { format!("[tables.\"{table}\"]") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(bytes_max: u64, hit_ratios: [f64; 9], reads: f64) -> CurveReport {
        let points = hit_ratios.iter().zip(-4..);
        let point = |(hit_ratio, power): (&f64, i32)| Point {
            bytes: (bytes_max as f64 * 2_f64.powi(power)) as u64,
            hit_ratio: *hit_ratio,
        };
        let counts = TableCounts { reads, misses: reads * (1.0 - hit_ratios[4]), ..TableCounts::default() };
        let points = points.map(point).collect();
        let (observed_ms, samples) = (OBSERVED_MS_MIN, reads as u64 / 8);
        CurveReport { bytes_max, observed_ms, samples, points, counts, tables: Vec::new() }
    }

    fn of_table(curve: &CurveReport, change: impl FnOnce(&mut TableCounts)) -> TableCurve {
        let mut counts = curve.counts;
        change(&mut counts);
        TableCurve { samples: curve.samples, points: curve.points.clone(), counts }
    }

    fn observed<'a>(items: &'a CurveReport, pages: &'a CurveReport) -> Observed<'a> {
        Observed { max_bytes: 512 << 20, items, pages, tables: Vec::new() }
    }

    fn table<'a>(name: &'a str, policy: &'a CachePolicy) -> ObservedTable<'a> {
        ObservedTable {
            name,
            policy,
            items: None,
            pages: None,
            item_reads: 100_000,
            item_hits: 70_000,
            page_reads: 100_000,
            page_hits: 70_000,
            writes: 1_000,
        }
    }

    /// The advice about one table.
    fn about(table: ObservedTable<'_>) -> Vec<(Level, String)> {
        let none = CurveReport::default();
        let observed = Observed { tables: vec![table], ..observed(&none, &none) };
        advise(&observed).into_iter().map(|advice| (advice.level, advice.text)).collect()
    }

    fn texts(items: &CurveReport, pages: &CurveReport) -> Vec<(Level, String)> {
        advise(&observed(items, pages)).into_iter().map(|advice| (advice.level, advice.text)).collect()
    }

    const GROWING: [f64; 9] = [0.2, 0.35, 0.5, 0.62, 0.71, 0.84, 0.93, 0.935, 0.94];
    const FLAT: [f64; 9] = [0.5, 0.7, 0.9, 0.912, 0.914, 0.915, 0.915, 0.915, 0.915];

    #[test]
    fn more_memory_is_advised_as_far_as_each_doubling_brings_hits() {
        let (growing, none) = (curve(384 << 20, GROWING, 1e6), CurveReport::default());
        let text = "With max_bytes = \"2GiB\" in [cache] the hit ratio of items would be 93 %; with \"512MiB\" it is 71 %.";
        assert_eq!(texts(&growing, &none), [(Level::Advice, text.to_owned())]);
        let of_pages = texts(&none, &growing);
        assert_eq!(of_pages[0].1, text.replace("items", "pages"));
    }

    #[test]
    fn less_memory_is_advised_only_if_no_cache_would_miss_it() {
        let (flat, growing) = (curve(384 << 20, FLAT, 1e6), curve(128 << 20, GROWING, 1e6));
        let text = "The cache is larger than this load needs: with max_bytes = \"256MiB\" in [cache] the hit ratio would also be 91 %.";
        assert_eq!(texts(&flat, &CurveReport::default()), [(Level::Info, text.to_owned())]);
        let young = CurveReport { observed_ms: OBSERVED_MS_MIN - 1, ..flat.clone() };
        assert_eq!(texts(&young, &CurveReport::default()), []);
        assert_eq!(texts(&flat, &growing).len(), 1, "pages want more");
        assert!(texts(&flat, &growing)[0].1.contains("pages"));
    }

    #[test]
    fn there_is_no_advice_from_few_reads_or_for_a_small_gain() {
        let none = CurveReport::default();
        assert_eq!(texts(&none, &none), []);
        assert_eq!(texts(&curve(384 << 20, GROWING, READS_MIN - 1.0), &none), []);
        let mut few_samples = curve(384 << 20, GROWING, 1e6);
        few_samples.samples = SAMPLES_MIN - 1;
        assert_eq!(texts(&few_samples, &none), []);
        let small = [0.1, 0.3, 0.5, 0.7, 0.8, 0.82, 0.84, 0.845, 0.85];
        assert_eq!(texts(&curve(384 << 20, small, 1e6), &none), []);
    }

    #[test]
    fn a_time_to_live_is_too_short_if_what_expired_is_still_the_same() {
        let policy = CachePolicy::default();
        let growing = curve(384 << 20, GROWING, 1e6);
        let expired = Expired {
            unchanged: 190_000.0,
            unchanged_within: [50_000.0, 120_000.0, 150_000.0, 190_000.0],
            changed: 10_000.0,
        };
        let items = of_table(&growing, |counts| counts.expired = expired);
        let text = "20 % of the reads of items of this table miss because the entry has expired, and 95 % of those entries have not changed. \
                    With item_ttl = \"20m\" in [tables.users] the hit ratio would be about 83 %, now it is 71 %; \
                    writes made past this node may then stay unseen for that long.";
        let found = about(ObservedTable { items: Some(&items), ..table("users", &policy) });
        assert_eq!(found, [(Level::Advice, text.to_owned())]);
        let found = about(ObservedTable { pages: Some(&items), ..table("a.b", &policy) });
        let of_pages = text.replace("items", "pages").replace("item_ttl", "query_ttl");
        assert_eq!(found[0].1, of_pages.replace("users", "\"a.b\""));

        let often_changed = Expired { changed: 100_000.0, ..expired };
        let changed = of_table(&growing, |counts| counts.expired = often_changed);
        assert_eq!(about(ObservedTable { items: Some(&changed), ..table("users", &policy) }), []);
        let never = CachePolicy { item_ttl: TimeToLive::Never, ..CachePolicy::default() };
        assert_eq!(about(ObservedTable { items: Some(&items), ..table("users", &never) }), []);
    }

    #[test]
    fn absences_have_a_time_to_live_of_their_own() {
        let policy = CachePolicy::default();
        let growing = curve(384 << 20, GROWING, 1e6);
        let expired =
            Expired { unchanged: 100_000.0, unchanged_within: [90_000.0, 95_000.0, 1e5, 1e5], changed: 0.0 };
        let items = of_table(&growing, |counts| counts.absences_expired = expired);
        let text = "10 % of the reads of items of this table ask again for an item that was not there, \
                    and 100 % of those are still not there. \
                    With negative_ttl = \"2m\" in [tables.users] the hit ratio would be about 80 %, now it is 71 %.";
        let found = about(ObservedTable { items: Some(&items), ..table("users", &policy) });
        assert_eq!(found, [(Level::Advice, text.to_owned())]);
    }

    #[test]
    fn a_table_whose_reads_hardly_hit_is_not_worth_caching() {
        let policy = CachePolicy::default();
        let cold = curve(384 << 20, [0.01, 0.01, 0.01, 0.02, 0.02, 0.03, 0.05, 0.08, 0.12], 1e6);
        let items = of_table(&cold, |_| {});
        let cold_table =
            |writes| ObservedTable { items: Some(&items), item_hits: 2_000, writes, ..table("log", &policy) };
        let text = "Caching items of this table is of little use: 2 % of the reads hit, and 75 % of the requests for it are writes. \
                    With item_ttl = \"0s\" in [tables.log] the memory serves other tables.";
        assert_eq!(about(cold_table(300_000)), [(Level::Advice, text.to_owned())]);
        let larger = "a cache sixteen times as large would answer 12 %";
        assert!(about(cold_table(0))[0].1.contains(larger));
        assert_eq!(about(ObservedTable { item_reads: 19_999, ..cold_table(0) }), []);
        assert_eq!(about(ObservedTable { item_hits: 30_000, ..cold_table(0) }), []);
        let off = CachePolicy { item_ttl: TimeToLive::For(Duration::ZERO), ..CachePolicy::default() };
        assert_eq!(about(ObservedTable { policy: &off, ..cold_table(0) }), []);
    }

    #[test]
    fn a_scan_whose_pages_nobody_reads_floods_the_cache() {
        let growing = curve(384 << 20, GROWING, 1e6);
        let pages = of_table(&growing, |counts| {
            (counts.scans_stored, counts.scans_evicted_unused) = (1_000.0, 800.0);
        });
        let with = |scan_pages| {
            let policy = CachePolicy { scan_pages, ..CachePolicy::default() };
            about(ObservedTable { pages: Some(&pages), ..table("users", &policy) })
        };
        let text = "Scans of this table flood the cache of pages: 80 % of the pages that they store are evicted before anybody \
                    reads them. With scan_pages = \"second\" in [tables.users] they no longer push out others.";
        assert_eq!(with(ScanPages::First), [(Level::Warning, text.to_owned())]);
        assert!(with(ScanPages::Second)[0].1.contains("scan_pages = \"never\""));
        assert_eq!(with(ScanPages::Never), []);
    }
}
