//! Which entries were evicted lately: fingerprints of their hashes.
//!
//! An entry that comes back soon after it was evicted is one of those that are worth their place. About as many evicted entries
//! are remembered as there are entries. Fingerprints of 16 bits lie in buckets of eight, the newest first. A fingerprint stands
//! for another hash now and then, which does no harm: that entry is given a better place than it has earned.

/// Fingerprints in a bucket.
const WAYS: usize = 8;

/// The buckets. There are none before the first eviction.
#[derive(Debug, Default)]
pub(super) struct Ghosts {
    buckets: Box<[[u16; WAYS]]>,
}

impl Ghosts {
    /// Remembers that an entry was evicted from a part of that budget, in which so many entries are left.
    pub(super) fn insert(&mut self, hash: u64, budget: u64, entries: usize) {
        let buckets = (budget / super::ENTRY_BYTES_TYPICAL / WAYS as u64).max(1) as usize;
        if self.buckets.len() != buckets {
            self.buckets = vec![[0; WAYS]; buckets].into_boxed_slice();
        }
        let ways = self.ways(entries);
        let bucket = &mut self.bucket_of(hash)[..ways];
        bucket.copy_within(..ways - 1, 1);
        bucket[0] = fingerprint(hash);
    }

    /// True if the entry was evicted lately. It is forgotten.
    pub(super) fn remove(&mut self, hash: u64, entries: usize) -> bool {
        if self.buckets.is_empty() {
            return false;
        }
        let ways = self.ways(entries);
        let bucket = &mut self.bucket_of(hash)[..ways];
        let Some(place) = bucket.iter().position(|ghost| *ghost == fingerprint(hash)) else { return false };
        bucket.copy_within(place + 1.., place);
        bucket[ways - 1] = 0;
        true
    }

    /// What it occupies.
    pub(super) fn bytes(&self) -> u64 {
        size_of_val(&*self.buckets) as u64
    }

    /// How many fingerprints of a bucket count, so that not many more are remembered than there are entries.
    fn ways(&self, entries: usize) -> usize {
        entries.div_ceil(self.buckets.len()).clamp(1, WAYS)
    }

    fn bucket_of(&mut self, hash: u64) -> &mut [u16; WAYS] {
        let buckets = self.buckets.len() as u64;
        &mut self.buckets[(((hash & 0xffff_ffff) * buckets) >> 32) as usize]
    }
}

/// Never zero, which stands for none.
fn fingerprint(hash: u64) -> u16 {
    ((hash >> 48) as u16).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_evicted_lately_is_remembered_once_and_what_was_long_ago_is_not() {
        let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut ghosts = Ghosts::default();
        assert!(!ghosts.remove(spread(1), 1000));
        for n in 1..=10_000 {
            ghosts.insert(spread(n), 1 << 20, 1000);
        }
        let remembered =
            |ghosts: &mut Ghosts, from, to| (from..=to).filter(|n| ghosts.remove(spread(*n), 1000)).count();
        assert!(remembered(&mut ghosts, 9_700, 10_000) > 250);
        assert!(remembered(&mut ghosts, 9_700, 10_000) < 5);
        assert!(remembered(&mut ghosts, 1, 5_000) < 50);
    }
}
