//! What came of comparing cached values with those of the upstream, counted by table.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::stats::raise;
use crate::insight::Ages;
use crate::locks::lock;
use crate::model::capacity::Units;

/// Upper bounds of the buckets for ages, in seconds: from the lag of a replica to the longest usual TTLs.
pub const AGE_BOUNDS_SECONDS: [f64; 10] = [0.1, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 86400.0];

/// How old states were that verification found different.
pub type DifferenceAges = Ages<{ AGE_BOUNDS_SECONDS.len() }>;

/// What one read in shadow mode showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShadowResult {
    /// The cache would have fetched it.
    Miss,
    /// The cache would have let it wait for another read's fetch.
    Join,
    /// A hit: the cache had what the upstream returned.
    Equal,
    /// A hit: the upstream returned something else, and what the cache had when it was asked once more strongly.
    UpstreamStale,
    /// A hit: the strong answer of the upstream differs from what the cache had.
    CacheStale,
    /// A hit: the values differ, and something changed between the lookup and the answer.
    ChangedDuring,
    /// A hit: the values differ, and no strong answer of the upstream says which is newer.
    Differs,
    /// A hit: the values differ, and the upstream was not asked strongly, because as many reads were made as the budget allows.
    OverBudget,
    /// A hit: the upstream failed, or its answer cannot be compared.
    NotCompared,
}

impl ShadowResult {
    /// Every result, in the order of their definition.
    pub const ALL: [Self; 9] = [
        Self::Miss,
        Self::Join,
        Self::Equal,
        Self::UpstreamStale,
        Self::CacheStale,
        Self::ChangedDuring,
        Self::Differs,
        Self::OverBudget,
        Self::NotCompared,
    ];

    /// The value of the label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Miss => "miss",
            Self::Join => "join",
            Self::Equal => "equal",
            Self::UpstreamStale => "upstream_stale",
            Self::CacheStale => "cache_stale",
            Self::ChangedDuring => "changed_during",
            Self::Differs => "differs",
            Self::OverBudget => "over_budget",
            Self::NotCompared => "not_compared",
        }
    }

    /// True if the cache would have answered the read.
    pub fn is_hit(self) -> bool {
        !matches!(self, Self::Miss | Self::Join)
    }
}

/// What the verification of one hit showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VerifiedResult {
    /// The upstream has what was served.
    Same,
    /// It has something else, and nothing that this node knows of explains it.
    Different,
    /// Something changed between the hit and the read.
    Explained,
    /// The upstream failed, or its answer cannot be compared.
    Failed,
    /// A page of a global index, which cannot be read strongly; or the node is closing.
    Skipped,
    /// As many reads were made as the budget allows.
    OverBudget,
}

impl VerifiedResult {
    /// Every result, in the order of their definition.
    pub const ALL: [Self; 6] =
        [Self::Same, Self::Different, Self::Explained, Self::Failed, Self::Skipped, Self::OverBudget];

    /// The value of the label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Different => "different",
            Self::Explained => "explained",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::OverBudget => "over_budget",
        }
    }
}

/// A read that the cache makes only because it runs in shadow mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShadowRead {
    /// It fills the cache, where the client's own read cannot.
    Fill,
    /// It tells a stale cache from a replica that lags.
    Check,
}

impl ShadowRead {
    /// Every kind, in the order of their definition.
    pub const ALL: [Self; 2] = [Self::Fill, Self::Check];

    /// The value of the label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Fill => "fill",
            Self::Check => "check",
        }
    }
}

/// The comparisons of one table.
#[derive(Debug, Default)]
pub struct Comparisons {
    shadow: [AtomicU64; ShadowResult::ALL.len()],
    /// In half units.
    shadow_saved: AtomicU64,
    shadow_reads: [AtomicU64; ShadowRead::ALL.len()],
    shadow_fills_dropped: AtomicU64,
    verified: [AtomicU64; VerifiedResult::ALL.len()],
    ages: Mutex<DifferenceAges>,
}

/// The comparisons of one table, or of several, at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ComparisonStats {
    /// Reads in shadow mode, in the order of [`ShadowResult::ALL`].
    pub shadow: [u64; ShadowResult::ALL.len()],
    /// What the hits in shadow mode would have saved.
    pub shadow_saved: Units,
    /// Reads made because of shadow mode, in the order of [`ShadowRead::ALL`].
    pub shadow_reads: [u64; ShadowRead::ALL.len()],
    /// Fills in shadow mode that were left out, because too many were in flight.
    pub shadow_fills_dropped: u64,
    /// Hits that were chosen for verification, in the order of [`VerifiedResult::ALL`].
    pub verified: [u64; VerifiedResult::ALL.len()],
    /// How old the state was that verification found different.
    pub ages: DifferenceAges,
}

impl Comparisons {
    /// Counts a read in shadow mode.
    pub fn shadowed(&self, result: ShadowResult) {
        raise(&self.shadow[result as usize]);
    }

    /// Counts what a hit in shadow mode would have saved.
    pub fn would_save(&self, price: Units) {
        self.shadow_saved.fetch_add(price.halves(), Ordering::Relaxed);
    }

    /// Counts a read that is made because of shadow mode.
    pub fn read_for_shadow(&self, kind: ShadowRead) {
        raise(&self.shadow_reads[kind as usize]);
    }

    /// Counts a fill in shadow mode that is left out.
    pub fn shadow_fill_dropped(&self) {
        raise(&self.shadow_fills_dropped);
    }

    /// Counts a hit that was chosen for verification.
    pub fn verified(&self, result: VerifiedResult) {
        raise(&self.verified[result as usize]);
    }

    /// Notes how long ago the state was read from the upstream that verification found different.
    pub fn found_different(&self, age: Duration) {
        lock(&self.ages).note(&AGE_BOUNDS_SECONDS, age, 1);
    }

    /// What was counted so far.
    pub fn snapshot(&self) -> ComparisonStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ComparisonStats {
            shadow: self.shadow.each_ref().map(read),
            shadow_saved: Units::from_halves(read(&self.shadow_saved)),
            shadow_reads: self.shadow_reads.each_ref().map(read),
            shadow_fills_dropped: read(&self.shadow_fills_dropped),
            verified: self.verified.each_ref().map(read),
            ages: *lock(&self.ages),
        }
    }
}

impl ComparisonStats {
    /// True if anything was read in shadow mode.
    pub fn is_shadowed(&self) -> bool {
        self.shadow.iter().any(|count| *count > 0)
    }

    /// True if any hit was chosen for verification.
    pub fn is_verified(&self) -> bool {
        self.verified.iter().any(|count| *count > 0)
    }
}

impl std::ops::AddAssign for ComparisonStats {
    fn add_assign(&mut self, other: Self) {
        let add = |sums: &mut [u64], counts: &[u64]| {
            sums.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        };
        add(&mut self.shadow, &other.shadow);
        self.shadow_saved = self.shadow_saved + other.shadow_saved;
        add(&mut self.shadow_reads, &other.shadow_reads);
        self.shadow_fills_dropped += other.shadow_fills_dropped;
        add(&mut self.verified, &other.verified);
        self.ages += other.ages;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_listed_in_their_order_and_have_labels_of_their_own() {
        let shadow = ShadowResult::ALL.map(|result| (result as usize, result.label()));
        let verified = VerifiedResult::ALL.map(|result| (result as usize, result.label()));
        for results in [&shadow[..], &verified[..]] {
            assert!(results.iter().enumerate().all(|(number, result)| result.0 == number));
            let labels: std::collections::BTreeSet<_> = results.iter().map(|result| result.1).collect();
            assert_eq!(labels.len(), results.len());
        }
        let no_hits = ShadowResult::ALL.into_iter().filter(|result| !result.is_hit());
        assert_eq!(no_hits.collect::<Vec<_>>(), [ShadowResult::Miss, ShadowResult::Join]);
    }

    #[test]
    fn the_ages_of_differences_are_counted_by_bounds_from_a_tenth_of_a_second_to_a_day() {
        let comparisons = Comparisons::default();
        for milliseconds in [100, 101, 86_400_000, 86_400_001] {
            comparisons.found_different(Duration::from_millis(milliseconds));
        }
        let mut sum = comparisons.snapshot();
        sum += comparisons.snapshot();
        assert_eq!(sum.ages.cumulative(), [2, 4, 4, 4, 4, 4, 4, 4, 4, 6]);
        assert_eq!(sum.ages.count(), 8);
        assert_eq!(sum.ages.sum(), Duration::from_millis(2 * (100 + 101 + 86_400_000 + 86_400_001)));
    }
}
