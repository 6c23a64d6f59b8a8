//! Hashes of addresses in memory, sampled by their value.

/// The sampling of addresses by their hashes: one of 2^n is sampled, always the same, and all of them if n is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sampling(pub(super) u32);

impl Sampling {
    /// True if an address of this hash is among the sampled ones. What is sampled by a sparser sampling is so by a denser one.
    pub(super) fn takes(self, hash: u64) -> bool {
        // Stripes, parts and hash tables take the bits as they are. A product's upper bits depend on all of them.
        hash.wrapping_mul(0x9e37_79b9_7f4a_7c15).leading_zeros() >= self.0
    }

    /// The part of all addresses that is sampled.
    pub(super) fn share(self) -> f64 {
        0.5_f64.powi(self.0 as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_samples_half_of_what_the_former_did() {
        let mut hashes = fastrand::Rng::with_seed(1);
        let hashes: Vec<u64> = (0..100_000).map(|_| hashes.u64(..)).collect();
        let mut former = hashes.len();
        for step in 1..6 {
            let taken: Vec<_> = hashes.iter().filter(|hash| Sampling(step).takes(**hash)).collect();
            assert!(taken.iter().all(|hash| Sampling(step - 1).takes(**hash)));
            let ratio = taken.len() as f64 / former as f64;
            assert!((0.45..0.55).contains(&ratio), "{ratio}");
            former = taken.len();
        }
    }
}
