//! Keys that are hashes already, and need not be hashed again to be put into a hash table.

use std::hash::{BuildHasher, Hasher};

/// Hashes keys to themselves.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Hashed;

/// See [`Hashed`].
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HashedKey(u64);

impl BuildHasher for Hashed {
    type Hasher = HashedKey;

    fn build_hasher(&self) -> HashedKey {
        HashedKey::default()
    }
}

impl Hasher for HashedKey {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
