//! What every request changes, spread so that threads do not wait for each other's cache lines; and metrics made of it.
//!
//! prometheus' own counter is one number that all cores change in turn, and its histogram four of them. Here each thread
//! changes numbers of its own, and who asks for the text pays for adding them up.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use prometheus::core::{Describer, Metric, MetricVec, MetricVecBuilder};
use prometheus::{Opts, proto};

/// How many threads have numbers of their own; more than that many share them.
const SHARES: usize = 8;

/// Upper bounds of the buckets: 50 µs, and double the one before. A last bucket without a bound comes after them.
const BOUNDS: usize = 18;
const FIRST_BOUND_NANOSECONDS: u64 = 50_000;

/// A number below [`SHARES`] that is this thread's, and as few other threads' as may be.
fn share_of_thread() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARE: usize = THREADS.fetch_add(1, Ordering::Relaxed) % SHARES;
    }
    SHARE.with(|share| *share)
}

/// One value for each of a few threads, on cache lines of their own.
#[derive(Debug, Default)]
pub(crate) struct Spread<T>([Aligned<T>; SHARES]);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Aligned<T>(T);

impl<T> Spread<T> {
    /// Values that are made one by one.
    pub(crate) fn from_fn(mut make: impl FnMut() -> T) -> Self {
        Self(std::array::from_fn(|_| Aligned(make())))
    }

    /// This thread's value. A thread in many shares its value with others, so it is still one to be changed atomically.
    pub(crate) fn mine(&self) -> &T {
        &self.0[share_of_thread()].0
    }

    /// The sum of one number of each thread's value.
    pub(crate) fn sum(&self, read: impl Fn(&T) -> &AtomicU64) -> u64 {
        self.0.iter().map(|share| read(&share.0).load(Ordering::Relaxed)).sum()
    }
}

/// A metric with its labels, given out as clones that count together.
#[derive(Debug)]
pub(super) struct Labelled<T>(Arc<(Vec<proto::LabelPair>, Spread<T>)>);

/// A counter of events.
pub(super) type SpreadCounter = Labelled<AtomicU64>;

/// A histogram of durations.
pub(super) type SpreadHistogram = Labelled<Latencies>;

/// Durations counted by one thread.
#[derive(Debug, Default)]
pub(super) struct Latencies {
    buckets: [AtomicU64; BOUNDS + 1],
    /// In nanoseconds; it lasts for 584 years of answering.
    total: AtomicU64,
}

impl<T> Clone for Labelled<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl Labelled<AtomicU64> {
    /// Counts one event.
    pub(super) fn inc(&self) {
        self.0.1.mine().fetch_add(1, Ordering::Relaxed);
    }
}

impl Labelled<Latencies> {
    /// Counts one duration.
    pub(super) fn observe(&self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        let mine = self.0.1.mine();
        mine.buckets[bucket_of(nanoseconds)].fetch_add(1, Ordering::Relaxed);
        mine.total.fetch_add(nanoseconds, Ordering::Relaxed);
    }
}

/// The first bucket whose bound is not below the duration: each doubling of the duration goes one further.
fn bucket_of(nanoseconds: u64) -> usize {
    let firsts = nanoseconds.saturating_sub(1) / FIRST_BOUND_NANOSECONDS;
    ((u64::BITS - firsts.leading_zeros()) as usize).min(BOUNDS)
}

/// Seconds.
fn bound_of(bucket: usize) -> f64 {
    (FIRST_BOUND_NANOSECONDS << bucket) as f64 / 1e9
}

impl Metric for Labelled<AtomicU64> {
    fn metric(&self) -> proto::Metric {
        let mut counter = proto::Counter::default();
        counter.set_value(self.0.1.sum(|count| count) as f64);
        let mut metric = proto::Metric::from_label(self.0.0.clone());
        metric.set_counter(counter);
        metric
    }
}

impl Metric for Labelled<Latencies> {
    fn metric(&self) -> proto::Metric {
        let (mut count, mut buckets) = (0, Vec::with_capacity(BOUNDS));
        for position in 0..=BOUNDS {
            count += self.0.1.sum(|latencies| &latencies.buckets[position]);
            if position < BOUNDS {
                let mut bucket = proto::Bucket::default();
                bucket.set_upper_bound(bound_of(position));
                bucket.set_cumulative_count(count);
                buckets.push(bucket);
            }
        }
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        // The sum of the buckets, so that count and buckets agree whatever is counted meanwhile.
        histogram.set_sample_count(count);
        let total = self.0.1.sum(|latencies| &latencies.total);
        histogram.set_sample_sum(Duration::from_nanos(total).as_secs_f64());
        let mut metric = proto::Metric::from_label(self.0.0.clone());
        metric.set_histogram(histogram);
        metric
    }
}

/// Makes the children of a vector.
#[derive(Debug)]
pub(super) struct Children<T>(std::marker::PhantomData<fn() -> T>);

impl<T> Clone for Children<T> {
    fn clone(&self) -> Self {
        Self(std::marker::PhantomData)
    }
}

impl<T: Default + Send + Sync> MetricVecBuilder for Children<T>
where
    Labelled<T>: Metric,
{
    type M = Labelled<T>;
    type P = Opts;

    fn build<V: AsRef<str>>(&self, options: &Opts, values: &[V]) -> prometheus::Result<Self::M> {
        let names = options.describe()?.variable_labels;
        let mut labels: Vec<_> =
            names.into_iter().zip(values).map(|(name, value)| label(name, value)).collect();
        labels.sort();
        Ok(Labelled(Arc::new((labels, Spread::default()))))
    }
}

fn label(name: String, value: &impl AsRef<str>) -> proto::LabelPair {
    let mut label = proto::LabelPair::default();
    label.set_name(name);
    label.set_value(value.as_ref().to_owned());
    label
}

/// A family of counters.
pub(super) type SpreadCounterVec = MetricVec<Children<AtomicU64>>;

/// A family of histograms.
pub(super) type SpreadHistogramVec = MetricVec<Children<Latencies>>;

/// A family of counters with these labels.
pub(super) fn counters(name: &str, help: &str, labels: &[&str]) -> SpreadCounterVec {
    family(proto::MetricType::COUNTER, name, help, labels)
}

/// A family of histograms with these labels.
pub(super) fn histograms(name: &str, help: &str, labels: &[&str]) -> SpreadHistogramVec {
    family(proto::MetricType::HISTOGRAM, name, help, labels)
}

fn family<T: Default + Send + Sync>(
    kind: proto::MetricType,
    name: &str,
    help: &str,
    labels: &[&str],
) -> MetricVec<Children<T>>
where
    Labelled<T>: Metric,
{
    let labels = labels.iter().map(|label| (*label).to_owned()).collect();
    let options = Opts::new(name, help).variable_labels(labels);
    MetricVec::create(kind, Children(std::marker::PhantomData), options).expect("a constant name is valid")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_whose_bound_is_not_below_it() {
        for bucket in 0..BOUNDS {
            let bound = FIRST_BOUND_NANOSECONDS << bucket;
            assert_eq!((bucket_of(bound), bucket_of(bound + 1)), (bucket, bucket + 1), "{bound}");
        }
        assert_eq!((bucket_of(0), bucket_of(u64::MAX)), (0, BOUNDS));
    }

    #[test]
    fn what_many_threads_counted_is_added_up() {
        let latencies = histograms("waits", "Waits.", &["op"]).with_label_values(&["get"]);
        std::thread::scope(|scope| {
            for _ in 0..2 * SHARES {
                scope.spawn(|| (0..100).for_each(|_| latencies.observe(Duration::from_micros(75))));
            }
        });
        let metric = latencies.metric();
        let histogram = metric.get_histogram();
        assert_eq!(histogram.get_sample_count(), 200 * SHARES as u64);
        let counts: Vec<u64> = histogram.get_bucket().iter().map(proto::Bucket::cumulative_count).collect();
        assert_eq!(counts[..2], [0, 200 * SHARES as u64]);
        assert!((histogram.get_sample_sum() - 0.015 * SHARES as f64).abs() < 1e-9);
    }
}
