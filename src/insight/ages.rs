//! How old states were: a histogram by upper bounds in seconds. Each kind of age has bounds of its own, always the same.

use std::ops::AddAssign;
use std::time::Duration;

/// How many ages are within each of `BOUNDS` bounds and not within the one before, and how many are beyond all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ages<const BOUNDS: usize> {
    within: [u64; BOUNDS],
    beyond: u64,
    sum: Duration,
}

impl<const BOUNDS: usize> Default for Ages<BOUNDS> {
    fn default() -> Self {
        Self { within: [0; BOUNDS], beyond: 0, sum: Duration::ZERO }
    }
}

impl<const BOUNDS: usize> Ages<BOUNDS> {
    /// Counts an age so many times. A bound belongs to what is within it.
    pub fn note(&mut self, bounds: &[impl Copy + Into<f64>; BOUNDS], age: Duration, count: u64) {
        let seconds = age.as_secs_f64();
        match bounds.iter().position(|bound| seconds <= (*bound).into()) {
            Some(place) => self.within[place] += count,
            None => self.beyond += count,
        }
        self.sum += age.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// How many are within each bound, those within smaller ones included.
    pub fn cumulative(&self) -> [u64; BOUNDS] {
        let mut sum = 0;
        self.within.map(|count| {
            sum += count;
            sum
        })
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.within.iter().sum::<u64>() + self.beyond
    }

    /// All ages together.
    pub fn sum(&self) -> Duration {
        self.sum
    }
}

impl<const BOUNDS: usize> AddAssign for Ages<BOUNDS> {
    fn add_assign(&mut self, other: Self) {
        self.within.iter_mut().zip(other.within).for_each(|(sum, count)| *sum += count);
        self.beyond += other.beyond;
        self.sum += other.sum;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_counted_in_the_first_bucket_whose_bound_is_not_below_it() {
        let mut ages = Ages::default();
        for (milliseconds, count) in [(100, 1), (101, 1), (10_000, 3), (10_001, 2)] {
            ages.note(&[0.1, 10.0], Duration::from_millis(milliseconds), count);
        }
        ages += ages;
        assert_eq!((ages.cumulative(), ages.count()), ([2, 10], 14));
        assert_eq!(ages.sum(), Duration::from_millis(2 * (100 + 101 + 30_000 + 20_002)));
    }
}
