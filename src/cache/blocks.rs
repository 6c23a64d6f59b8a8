//! Bytes that are kept for long, in pieces that the allocator can use again for whatever is kept next.
//!
//! Up to [`WHOLE_BYTES_MAX`] the bytes are one block, and reading them costs a reference count. Longer ones are cut into
//! blocks of one size and put together at each read. The allocator keeps pages for each size class and each thread, of up
//! to 4 MiB each for large classes, and a page goes back only when all of it is free: with long blocks of all sizes,
//! resident memory was up to three times what was asked for. What is cut needs a single class, whatever its length.
//!
//! [`Held::allocated_bytes`] is what to charge: the blocks, what is beside them, and what the pages of the allocator lose.
//! Nothing in here knows what the bytes mean.

use std::sync::Arc;

use bytes::{Buf, Bytes};

/// The longest bytes that are one block.
pub(super) const WHOLE_BYTES_MAX: usize = 16 << 10;

/// What longer bytes are cut into: of the classes that are small enough for small pages, one that fills them.
const BLOCK_BYTES: usize = 3584;

/// The largest whole that is an array; larger ones point to a buffer.
const ARRAY_BYTES_MAX: usize = 4096 - ARRAY_OVERHEAD_BYTES;

/// What an array of bytes costs beyond its length: 8 for the reference counter that `Bytes` puts before it, and 8 because
/// mimalloc looks for room to align the counter even where blocks are aligned already. Measured as resident memory of
/// 200,000 blocks of each size: one of 384 bytes and alignment 8 takes 448, one of 376 bytes takes 384.
const ARRAY_OVERHEAD_BYTES: usize = 16;

/// The part of its pages that the allocator does not hand out: one in so many bytes.
const PAGE_LOSS: usize = 32;

/// What `Bytes` allocates for a counter and a vector's three words.
const VECTOR_OWNER_BYTES: usize = 32;

/// The counters, the length and the list of an [`Arc`] of [`Cut`].
const CUT_OWNER_BYTES: usize = 48;

/// Bytes in memory. Cloning raises a reference count.
#[derive(Clone, Debug)]
pub(super) struct Held(Form);

#[derive(Clone, Debug)]
enum Form {
    /// May end with bytes of no meaning, so that it fills its size class.
    Whole(Bytes),
    Cut(Arc<Cut>),
}

/// Every block is full but the last.
#[derive(Debug)]
struct Cut {
    blocks: Box<[Box<[u8; BLOCK_BYTES]>]>,
    bytes: usize,
}

impl Held {
    /// Keeps the parts, one after the other.
    pub(super) fn from_parts(parts: &[&[u8]]) -> Self {
        let bytes = parts.iter().map(|part| part.len()).sum();
        if bytes > WHOLE_BYTES_MAX {
            return Self(Form::Cut(Arc::new(Cut::from_parts(parts, bytes))));
        }
        Self(Form::Whole(allocate(bytes, &mut |mut out| {
            for part in parts {
                let (head, tail) = out.split_at_mut(part.len());
                head.copy_from_slice(part);
                out = tail;
            }
        })))
    }

    /// The bytes from `start` to `end`: a slice that keeps a whole alive, a copy of what is cut.
    pub(super) fn into_bytes(self, start: usize, end: usize) -> Bytes {
        match self.0 {
            Form::Whole(mut bytes) => {
                bytes.advance(start);
                bytes.truncate(end - start);
                bytes
            }
            Form::Cut(cut) => {
                let mut out = Vec::with_capacity(end - start);
                cut.slices(start, end).for_each(|slice| out.extend_from_slice(slice));
                out.into()
            }
        }
    }

    /// True if the bytes from `start` are these.
    pub(super) fn holds(&self, start: usize, expected: &[u8]) -> bool {
        let end = start + expected.len();
        match &self.0 {
            Form::Whole(bytes) => bytes.get(start..end) == Some(expected),
            Form::Cut(cut) if end > cut.bytes => false,
            Form::Cut(cut) => {
                let mut rest = expected;
                cut.slices(start, end).all(|slice| {
                    let (head, tail) = rest.split_at(slice.len());
                    rest = tail;
                    head == slice
                })
            }
        }
    }

    /// What it takes from the allocator.
    pub(super) fn allocated_bytes(&self) -> u64 {
        match &self.0 {
            Form::Whole(bytes) => whole_allocated_bytes(bytes.len()),
            Form::Cut(cut) => {
                let list = size_class(cut.blocks.len() * size_of::<usize>()) + CUT_OWNER_BYTES;
                with_page_loss(cut.blocks.len() * BLOCK_BYTES + list)
            }
        }
    }
}

impl Cut {
    fn from_parts(parts: &[&[u8]], bytes: usize) -> Self {
        let mut blocks = Vec::with_capacity(bytes.div_ceil(BLOCK_BYTES));
        let mut block = Vec::with_capacity(BLOCK_BYTES);
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() {
                if block.len() == BLOCK_BYTES {
                    blocks.push(full(std::mem::replace(&mut block, Vec::with_capacity(BLOCK_BYTES))));
                }
                let (head, tail) = rest.split_at(rest.len().min(BLOCK_BYTES - block.len()));
                block.extend_from_slice(head);
                rest = tail;
            }
        }
        block.resize(BLOCK_BYTES, 0);
        blocks.push(full(block));
        Self { blocks: blocks.into_boxed_slice(), bytes }
    }

    /// What lies from `start` to `end`, block by block.
    fn slices(&self, start: usize, end: usize) -> impl Iterator<Item = &[u8]> {
        let blocks = start / BLOCK_BYTES..end.div_ceil(BLOCK_BYTES);
        blocks.map(move |index| {
            let first = index * BLOCK_BYTES;
            &self.blocks[index][start.saturating_sub(first)..(end - first).min(BLOCK_BYTES)]
        })
    }
}

fn full(block: Vec<u8>) -> Box<[u8; BLOCK_BYTES]> {
    block.into_boxed_slice().try_into().expect("a block is filled before it is kept")
}

/// The allocator's size classes: four to each doubling. What a block leaves free of its class is lost either way.
fn size_class(bytes: usize) -> usize {
    let step = (bytes.next_power_of_two() / 8).max(16);
    bytes.next_multiple_of(step)
}

fn whole_allocated_bytes(bytes: usize) -> u64 {
    with_page_loss(if bytes <= ARRAY_BYTES_MAX {
        size_class(bytes + ARRAY_OVERHEAD_BYTES)
    } else {
        size_class(bytes) + VECTOR_OWNER_BYTES
    })
}

fn with_page_loss(allocated: usize) -> u64 {
    (allocated + allocated / PAGE_LOSS) as u64
}

/// Allocates at least that many bytes and lets them be filled.
fn allocate(bytes: usize, fill: &mut dyn FnMut(&mut [u8])) -> Bytes {
    match size_class(bytes + ARRAY_OVERHEAD_BYTES) {
        0..=64 => array::<48>(fill),
        65..=80 => array::<64>(fill),
        81..=96 => array::<80>(fill),
        97..=112 => array::<96>(fill),
        113..=128 => array::<112>(fill),
        129..=160 => array::<144>(fill),
        161..=192 => array::<176>(fill),
        193..=224 => array::<208>(fill),
        225..=256 => array::<240>(fill),
        257..=320 => array::<304>(fill),
        321..=384 => array::<368>(fill),
        385..=448 => array::<432>(fill),
        449..=512 => array::<496>(fill),
        513..=640 => array::<624>(fill),
        641..=768 => array::<752>(fill),
        769..=896 => array::<880>(fill),
        897..=1024 => array::<1008>(fill),
        1025..=1280 => array::<1264>(fill),
        1281..=1536 => array::<1520>(fill),
        1537..=1792 => array::<1776>(fill),
        1793..=2048 => array::<2032>(fill),
        2049..=2560 => array::<2544>(fill),
        2561..=3072 => array::<3056>(fill),
        3073..=3584 => array::<3568>(fill),
        3585..=4096 => array::<4080>(fill),
        _ => {
            let mut buffer = vec![0; bytes];
            fill(&mut buffer);
            Bytes::from_owner(buffer)
        }
    }
}

fn array<const N: usize>(fill: &mut dyn FnMut(&mut [u8])) -> Bytes {
    let mut bytes = [0; N];
    fill(&mut bytes);
    Bytes::from_owner(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_in_parts_is_read_back_whole_and_in_any_part() {
        let text: Vec<u8> = (0..450_000_u32).map(|n| (n % 251) as u8).collect();
        for bytes in
            [0, 1, 48, 49, 4_080, 4_081, 16_384, 16_385, 17_920, 17_921, 10_751, 10_752, 10_753, 409_600]
        {
            let (first, second) = text[..bytes].split_at(bytes / 3);
            let held = Held::from_parts(&[first, &[], second]);
            assert!(held.holds(0, &text[..bytes]));
            for (start, end) in [(0, bytes), (bytes / 2, bytes), (bytes / 5, bytes / 2), (bytes, bytes)] {
                assert_eq!(
                    held.clone().into_bytes(start, end),
                    text[start..end],
                    "{start} to {end} of {bytes}"
                );
                assert!(held.holds(start, &text[start..end]));
            }
        }
    }

    #[test]
    fn bytes_that_differ_or_are_longer_are_told_apart() {
        for bytes in [100, 20_000] {
            let (text, mut other) = (vec![b'x'; bytes], vec![b'x'; bytes]);
            other[bytes - 1] = b'y';
            let held = Held::from_parts(&[&text]);
            assert!(!held.holds(0, &other));
            assert!(!held.holds(bytes, &text));
        }
    }

    #[test]
    fn what_is_cut_is_charged_at_least_its_blocks() {
        for bytes in [WHOLE_BYTES_MAX + 1, 100_000, 409_600] {
            let charged = Held::from_parts(&[&vec![0; bytes]]).allocated_bytes() as usize;
            assert!(charged >= bytes && charged < bytes * 21 / 20 + 2 * BLOCK_BYTES);
        }
    }

    #[test]
    fn a_class_is_never_smaller_than_its_bytes_nor_a_quarter_larger() {
        for bytes in 64..500_000 {
            let class = size_class(bytes);
            assert!(class >= bytes && class - bytes <= bytes / 4, "{bytes} bytes in a class of {class}");
        }
    }

    #[test]
    fn an_array_fills_its_class_with_nothing_to_spare() {
        for bytes in 1..ARRAY_BYTES_MAX {
            let length = allocate(bytes, &mut |_| ()).len();
            assert!(length >= bytes);
            assert_eq!(length + ARRAY_OVERHEAD_BYTES, size_class(bytes + ARRAY_OVERHEAD_BYTES).max(64));
            assert!(whole_allocated_bytes(length) >= (length + ARRAY_OVERHEAD_BYTES) as u64);
        }
    }
}
