//! The epoch words: the small state, never evicted, that decides whether an entry may be used.
//!
//! A word is `holds: 16 | epoch: 48`. The epoch only grows; at a million bumps a second on one stripe it lasts 8.9 years.
//! Holds are 0 or 1: several unknown outcomes on a stripe share one hold with the latest deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use zerocopy::FromZeros;

const ONE_HOLD: u64 = 1 << 48;

/// How long an eventually consistent read of DynamoDB may lag behind, with seconds of ours rounded against us.
pub(super) const LAG_SECONDS_MAX: u16 = 62;

/// Which stripe a key belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stripe(pub(super) u32);

/// What a read captures before it is sent: the word of the key's stripe and the word of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) stripe: u64,
    pub(super) table: u64,
}

impl Version {
    /// A digest, to distinguish versions where a collision does no harm.
    pub(super) fn digest(self) -> u32 {
        digest_of([self.stripe, self.table, 0])
    }

    /// True while a write of unknown outcome may still land in the stripe.
    pub(super) fn is_held(self) -> bool {
        self.stripe >= ONE_HOLD
    }
}

/// The words of all stripes, and when each was last changed.
#[derive(Debug)]
pub(super) struct Words {
    words: Box<[AtomicU64]>,
    /// Seconds since the cache was made, modulo 2^16, when the stripe was last written or strongly seen. It begins as
    /// 0, so for the first minute everything counts as touched: the process before this one may have acknowledged a
    /// write. A wrap makes a stripe look touched for a minute every 18 hours, which costs half a unit a miss.
    touched: Box<[AtomicU16]>,
}

impl Words {
    /// Words for that many stripes, rounded up to a power of two.
    pub(super) fn new(stripes: usize) -> Self {
        let stripes = stripes.next_power_of_two();
        Self { words: zeroed(stripes), touched: zeroed(stripes) }
    }

    pub(super) fn stripe(&self, hash: u64) -> Stripe {
        Stripe((hash as usize & (self.words.len() - 1)) as u32)
    }

    /// Must be called before whatever the word is to vouch for is asked of the upstream.
    pub(super) fn load(&self, stripe: Stripe) -> u64 {
        self.words[stripe.0 as usize].load(Ordering::Acquire)
    }

    /// The words of all stripes, each as [`Words::load`] gives it.
    pub(super) fn load_all(&self) -> Arc<[u64]> {
        self.words.iter().map(|word| word.load(Ordering::Acquire)).collect()
    }

    pub(super) fn bump(&self, stripe: Stripe) {
        self.words[stripe.0 as usize].fetch_add(1, Ordering::AcqRel);
    }

    /// Bumps, and says whether nothing had moved the word since it was `before`.
    pub(super) fn bump_from(&self, stripe: Stripe, before: u64) -> bool {
        let word = &self.words[stripe.0 as usize];
        let undisturbed =
            word.compare_exchange(before, before + 1, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !undisturbed {
            word.fetch_add(1, Ordering::AcqRel);
        }
        undisturbed
    }

    /// Bumps and holds in one step. The caller sees to it that a stripe is held once.
    pub(super) fn hold(&self, stripe: Stripe) {
        self.words[stripe.0 as usize].fetch_add(ONE_HOLD + 1, Ordering::AcqRel);
    }

    /// Ends the hold and bumps in one step, so that nothing read during the hold survives it.
    pub(super) fn release(&self, stripe: Stripe) {
        self.words[stripe.0 as usize].fetch_sub(ONE_HOLD - 1, Ordering::AcqRel);
    }

    pub(super) fn touch(&self, stripe: Stripe, seconds: u64) {
        self.touched[stripe.0 as usize].store(seconds as u16, Ordering::Release);
    }

    /// True when an eventually consistent read sent now might miss what this node wrote or saw.
    pub(super) fn is_touched(&self, stripe: Stripe, seconds: u64) -> bool {
        let age = (seconds as u16).wrapping_sub(self.touched[stripe.0 as usize].load(Ordering::Acquire));
        // A caller whose clock reading is a little older than the touch sees an age just below zero.
        age <= LAG_SECONDS_MAX || age >= u16::MAX - LAG_SECONDS_MAX
    }
}

/// Zeros that the system allocates at the first access. 10 MiB of them would otherwise be resident in an idle process.
fn zeroed<Counter: FromZeros>(count: usize) -> Box<[Counter]> {
    <[Counter]>::new_box_zeroed_with_elems(count)
        .expect("memory for the words, without which there is no cache")
}

/// See [`Version::digest`].
pub(super) fn digest_of(words: [u64; 3]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |mixed: u64, word: u64| (mixed ^ word).wrapping_mul(FACTOR).rotate_left(29);
    (words.into_iter().fold(FACTOR, mix) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRIPE: Stripe = Stripe(3);

    #[test]
    fn a_hold_is_not_equal_to_anything_before_during_or_after_it() {
        let words = Words::new(8);
        let before = words.load(STRIPE);
        words.hold(STRIPE);
        let during = Version { stripe: words.load(STRIPE), table: 0 };
        words.release(STRIPE);
        let after = Version { stripe: words.load(STRIPE), table: 0 };
        assert!(during.is_held() && !after.is_held());
        assert_eq!((before, after.stripe), (0, 2));
    }

    #[test]
    fn bumping_from_a_word_that_moved_still_bumps() {
        let words = Words::new(8);
        let before = words.load(STRIPE);
        assert!(words.bump_from(STRIPE, before));
        assert!(!words.bump_from(STRIPE, before));
        assert_eq!(words.load(STRIPE), 2);
    }

    #[test]
    fn everything_counts_as_touched_in_the_first_minute() {
        let words = Words::new(8);
        assert!(words.is_touched(STRIPE, 0) && words.is_touched(STRIPE, 60));
        assert!(!words.is_touched(STRIPE, 70));
    }

    #[test]
    fn a_touch_lasts_longer_than_the_lag_of_a_replica_and_survives_a_wrap() {
        let words = Words::new(8);
        for seconds in [1_000_u64, 65_500, 65_535, 1_000_000] {
            words.touch(STRIPE, seconds);
            assert!(words.is_touched(STRIPE, seconds - 1), "a reader with a slightly older clock reading");
            assert!(words.is_touched(STRIPE, seconds + 61));
            assert!(!words.is_touched(STRIPE, seconds + 63));
        }
    }
}
