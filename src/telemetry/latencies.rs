//! Durations counted by their length, and the histograms that are made of them.

use std::ops::AddAssign;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::proto;
use serde::Serialize;

use crate::spread::Spread;

/// Upper bounds of the first buckets. A hit takes a few microseconds.
const FINE_BOUNDS_NANOSECONDS: [u64; 3] = [5_000, 10_000, 25_000];

/// The bound of the bucket behind those; each further bound is double the one before.
const DOUBLED_BOUND_NANOSECONDS: u64 = 50_000;

/// How many buckets have a bound: up to 6.5 seconds. A last bucket without a bound comes after them.
const BOUNDS: usize = FINE_BOUNDS_NANOSECONDS.len() + 18;

/// Durations of one kind, as threads count them.
#[derive(Debug, Default)]
pub(super) struct Latencies(Spread<Counts>);

#[derive(Debug)]
struct Counts {
    buckets: [AtomicU64; BOUNDS + 1],
    /// In nanoseconds; it lasts for 584 years of answering.
    total: AtomicU64,
}

impl Default for Counts {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| AtomicU64::new(0)), total: AtomicU64::new(0) }
    }
}

/// The sum of what was counted, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    buckets: [u64; BOUNDS + 1],
    /// In nanoseconds.
    total: u64,
}

/// A histogram as people and programs read it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Histogram {
    /// Upper bounds in seconds.
    pub bounds: Vec<f64>,
    /// For each bound, how many durations were not above it.
    pub counts: Vec<u64>,
    /// How many durations there were, those above every bound included.
    pub count: u64,
    /// All of them together.
    pub sum_seconds: f64,
}

impl Latencies {
    /// Counts one duration.
    pub(super) fn observe(&self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        let mine = self.0.mine();
        mine.buckets[bucket_of(nanoseconds)].fetch_add(1, Ordering::Relaxed);
        mine.total.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Counts everything that is in the tally.
    pub(super) fn add(&self, tally: &Tally) {
        let mine = self.0.mine();
        for (bucket, count) in mine.buckets.iter().zip(tally.buckets) {
            bucket.fetch_add(count, Ordering::Relaxed);
        }
        mine.total.fetch_add(tally.total, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub(super) fn tally(&self) -> Tally {
        Tally {
            buckets: std::array::from_fn(|bucket| self.0.sum(|counts| &counts.buckets[bucket])),
            total: self.0.sum(|counts| &counts.total),
        }
    }
}

impl Tally {
    /// How many durations.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// As people and programs read it.
    pub(super) fn figures(&self) -> Histogram {
        let counts = self.buckets[..BOUNDS].iter().scan(0, |count, in_bucket| {
            *count += in_bucket;
            Some(*count)
        });
        Histogram {
            bounds: (0..BOUNDS).map(|bucket| bound_of(bucket) as f64 / 1e9).collect(),
            counts: counts.collect(),
            count: self.count(),
            sum_seconds: Duration::from_nanos(self.total).as_secs_f64(),
        }
    }

    /// As Prometheus has it.
    pub(super) fn histogram(&self) -> proto::Histogram {
        let mut histogram = proto::Histogram::default();
        let mut count = 0;
        let buckets = self.buckets[..BOUNDS].iter().enumerate().map(|(position, in_bucket)| {
            count += in_bucket;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(bound_of(position) as f64 / 1e9);
            bucket.set_cumulative_count(count);
            bucket
        });
        histogram.set_bucket(buckets.collect());
        // The sum of the buckets, so that count and buckets agree whatever is counted meanwhile.
        histogram.set_sample_count(self.count());
        histogram.set_sample_sum(Duration::from_nanos(self.total).as_secs_f64());
        histogram
    }
}

impl AddAssign<&Self> for Tally {
    fn add_assign(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(other.buckets).for_each(|(sum, count)| *sum += count);
        self.total += other.total;
    }
}

/// The first bucket whose bound is not below the duration.
fn bucket_of(nanoseconds: u64) -> usize {
    let fine = FINE_BOUNDS_NANOSECONDS;
    match fine.iter().position(|bound| nanoseconds <= *bound) {
        Some(bucket) => bucket,
        // Each doubling of the duration goes one further.
        None => {
            let firsts = nanoseconds.saturating_sub(1) / DOUBLED_BOUND_NANOSECONDS;
            (fine.len() + (u64::BITS - firsts.leading_zeros()) as usize).min(BOUNDS)
        }
    }
}

/// In nanoseconds.
fn bound_of(bucket: usize) -> u64 {
    let fine = FINE_BOUNDS_NANOSECONDS;
    fine.get(bucket).copied().unwrap_or_else(|| DOUBLED_BOUND_NANOSECONDS << (bucket - fine.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_whose_bound_is_not_below_it() {
        for bucket in 0..BOUNDS {
            let bound = bound_of(bucket);
            assert_eq!((bucket_of(bound), bucket_of(bound + 1)), (bucket, bucket + 1), "{bound}");
        }
        assert_eq!((bucket_of(0), bucket_of(u64::MAX)), (0, BOUNDS));
    }

    #[test]
    fn bounds_begin_at_five_microseconds_and_keep_those_that_dashboards_know() {
        let bounds: Vec<u64> = (0..5).map(|bucket| bound_of(bucket) / 1000).collect();
        assert_eq!(bounds, [5, 10, 25, 50, 100]);
        assert_eq!(bound_of(BOUNDS - 1), 6_553_600_000);
    }

    #[test]
    fn a_histogram_counts_what_was_observed_and_added() {
        let (first, sum) = (Latencies::default(), Latencies::default());
        first.observe(Duration::from_micros(75));
        sum.observe(Duration::from_micros(7));
        sum.add(&first.tally());
        let histogram = sum.tally().histogram();
        let counts: Vec<u64> = histogram.get_bucket().iter().map(proto::Bucket::cumulative_count).collect();
        assert_eq!((histogram.get_sample_count(), &counts[..6]), (2, &[0, 1, 1, 1, 2, 2][..]));
        assert!((histogram.get_sample_sum() - 82e-6).abs() < 1e-12);
        let figures = sum.tally().figures();
        assert_eq!((figures.count, &figures.counts), (2, &counts));
        assert_eq!((figures.bounds[0], figures.sum_seconds), (5e-6, 82e-6));
    }
}
