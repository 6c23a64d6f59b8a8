//! Where a partition stands in the order of a scan.
//!
//! The service scans in the order of a hash of the partition values, and parts that order into segments.

use md5::{Digest, Md5};

use super::key::KeyValue;

/// How many bytes of the hash we keep.
pub const HASH_BYTES: usize = 3;

/// The place of a partition in the scan order; byte order is scan order.
pub type PlacementHash = [u8; HASH_BYTES];

/// How many bits of the hash place the segments of a parallel scan.
const SEGMENT_BITS: u32 = 12;
/// All bits of the hash: more segments than the few bits can part are placed by these, so that none begins where all end.
const HASH_BITS: u32 = HASH_BYTES as u32 * 8;

/// The hash that places a partition in the scan order: MD5 over a constant and the plain bytes of the partition values, as the
/// service was observed to do (dynalite found and records it), so that scans and segments agree with it.
pub fn placement_hash<'a>(values: impl IntoIterator<Item = &'a KeyValue>) -> PlacementHash {
    let mut digest = Md5::new_with_prefix(b"Outliers");
    for value in values {
        match value {
            KeyValue::S(text) => digest.update(text.as_bytes()),
            KeyValue::B(bytes) => digest.update(bytes),
            KeyValue::N(number) => {
                let mut packed = Vec::with_capacity(24);
                number.write_packed(&mut packed);
                digest.update(&packed);
            }
        }
    }
    digest.finalize().first_chunk().copied().unwrap_or_default()
}

/// One segment of a parallel scan.
///
/// Invariant, held by the reader in [`crate::wire`]: the segment is below the total, and the total at most 1,000,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Which one, from 0.
    pub segment: u32,
    /// How many there are.
    pub total: u32,
}

impl Segment {
    /// The hashes of the segment's partitions: the first that belongs to it, and the first that does not any more (`None`: all
    /// that follow belong to it).
    pub fn hashes(self) -> (PlacementHash, Option<PlacementHash>) {
        let total = u64::from(self.total);
        let bits = if total <= 1 << SEGMENT_BITS { SEGMENT_BITS } else { HASH_BITS };
        let place = |segment: u32| (u64::from(segment) << bits).div_ceil(total) << (HASH_BITS - bits);
        let hash = |place: u64| {
            let [.., high, middle, low] = place.to_be_bytes();
            [high, middle, low]
        };
        let end = place(self.segment + 1);
        (hash(place(self.segment)), (end < 1 << HASH_BITS).then(|| hash(end)))
    }

    /// True when the partition of these values belongs to the segment.
    pub fn holds(self, partition: &[KeyValue]) -> bool {
        let (first, end) = self.hashes();
        let hash = placement_hash(partition);
        hash >= first && end.is_none_or(|end| hash < end)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_million_segments_lie_side_by_side_from_the_first_hash_to_the_last() {
        let hashes = |segment: u32| Segment { segment, total: 1_000_000 }.hashes();
        assert_eq!(hashes(0).0, [0; HASH_BYTES]);
        assert_eq!(hashes(999_999).1, None);
        for segment in [0, 1, 4095, 4096, 999_998] {
            let (first, end) = hashes(segment);
            assert!(end.is_some_and(|end| first < end));
            assert_eq!(end, Some(hashes(segment + 1).0));
        }
    }

    proptest! {
        #[test]
        fn every_partition_belongs_to_exactly_one_segment(total in prop_oneof![1u32..50, 4090u32..4110], name in "[a-z]{1,8}") {
            let partition = [KeyValue::S(name)];
            let holders = (0..total).filter(|segment| Segment { segment: *segment, total }.holds(&partition));
            prop_assert_eq!(holders.count(), 1);
        }
    }
}
