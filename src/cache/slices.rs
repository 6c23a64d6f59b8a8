//! How much of the allocator's memory the entries keep from going back, counted from their addresses.
//!
//! An allocator gives memory back in slices, and a slice goes back when nothing in it is in use. After entries of one size
//! were replaced by entries of another, what is left of the old ones may keep many more slices than would hold them. No safe
//! function asks the allocator how many; but an entry's blocks have addresses, so the slices they lie in can be counted.
//! That includes what else lies in these slices, and leaves out slices of others and those that wait to be given back.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::key_hasher::Hashed;

/// mimalloc's slice.
pub(super) const SLICE_BYTES: u64 = 64 << 10;

const SHARDS: usize = 16;

/// How many kept blocks begin in each slice.
type Blocks = HashMap<u64, u32, Hashed>;

/// The slices in use by what is stored. A slice without a stored block has no entry.
#[derive(Debug, Default)]
pub(super) struct Slices {
    shards: [Mutex<Blocks>; SHARDS],
    occupied: AtomicU64,
}

impl Slices {
    /// Blocks at these addresses are stored from now on.
    pub(super) fn enter(&self, addresses: impl Iterator<Item = usize>) {
        for address in addresses {
            let slice = slice_of(address);
            let mut blocks = self.lock(slice);
            let count = blocks.entry(slice).or_insert(0);
            *count += 1;
            if *count == 1 {
                self.occupied.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Blocks that entered are not stored any more.
    pub(super) fn leave(&self, addresses: impl Iterator<Item = usize>) {
        for address in addresses {
            let slice = slice_of(address);
            let mut blocks = self.lock(slice);
            let count = blocks.get_mut(&slice).expect("a block enters before it leaves");
            *count -= 1;
            if *count == 0 {
                blocks.remove(&slice);
                self.occupied.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    /// The bytes of all slices in use.
    pub(super) fn bytes(&self) -> u64 {
        self.occupied.load(Ordering::Relaxed) * SLICE_BYTES
    }

    fn lock(&self, slice: u64) -> MutexGuard<'_, Blocks> {
        self.shards[(slice >> 48) as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The slice's number, spread over 64 bits so that it is its own hash.
fn slice_of(address: usize) -> u64 {
    (address as u64 / SLICE_BYTES).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_counts_from_its_first_block_to_its_last() {
        let slices = Slices::default();
        slices.enter([0x10_0000, 0x10_0040, 0x11_0000].into_iter());
        assert_eq!(slices.bytes(), 2 * SLICE_BYTES);
        slices.leave([0x10_0000].into_iter());
        assert_eq!(slices.bytes(), 2 * SLICE_BYTES);
        slices.leave([0x10_0040, 0x11_0000].into_iter());
        assert_eq!(slices.bytes(), 0);
    }
}
