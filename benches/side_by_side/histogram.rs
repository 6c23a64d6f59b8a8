//! Latencies, counted: any number of them in 60 KB, each figure within half a percent.

use std::time::Duration;

/// Each power of two is cut into this many equal parts, so a bucket is at most 1/128 of its value wide.
const PARTS_LOG2: u32 = 7;

/// Counts of nanoseconds by bucket.
#[derive(Clone, Default)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
}

impl Histogram {
    pub(crate) fn record(&mut self, latency: Duration) {
        let bucket = bucket(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
    }

    /// How many latencies were recorded.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }

    /// The latency that so large a part does not exceed, in microseconds: the middle of its bucket. NaN without any latency.
    pub(crate) fn percentile_us(&self, part: f64) -> f64 {
        let wanted = ((self.total as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return middle(bucket) / 1000.0;
            }
        }
        f64::NAN
    }
}

/// Values below 256 have a bucket each; above, each power of two has 128.
fn bucket(value: u64) -> usize {
    let shift = (64 - value.leading_zeros()).saturating_sub(PARTS_LOG2 + 1);
    ((u64::from(shift) << PARTS_LOG2) + (value >> shift)) as usize
}

/// The middle of a bucket, in nanoseconds.
fn middle(bucket: usize) -> f64 {
    let bucket = bucket as u64;
    let shift = (bucket >> PARTS_LOG2).saturating_sub(1);
    let low = (bucket - (shift << PARTS_LOG2)) << shift;
    low as f64 + ((1_u64 << shift) - 1) as f64 / 2.0
}
