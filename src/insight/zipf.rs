//! Skewed loads for tests: the key of rank n is drawn with a probability of 1/n^s.

pub(crate) struct Zipf(Vec<f64>);

impl Zipf {
    pub(crate) fn new(keys: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=keys).map(|rank| {
            sum += (rank as f64).powf(-exponent);
            sum
        });
        Self(sums.collect())
    }

    /// A rank from 0.
    pub(crate) fn rank(&self, random: &mut fastrand::Rng) -> usize {
        let drawn = random.f64() * self.0.last().expect("there is a key");
        self.0.partition_point(|sum| *sum <= drawn).min(self.0.len() - 1)
    }
}
