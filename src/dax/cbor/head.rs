//! The head of an item: its major type and its argument, in 1 to 9 bytes.

use super::Malformed;

pub(super) const UNSIGNED: u8 = 0;
pub(super) const NEGATIVE: u8 = 1;
pub(super) const BYTES: u8 = 2;
pub(super) const TEXT: u8 = 3;
pub(super) const ARRAY: u8 = 4;
pub(super) const MAP: u8 = 5;
pub(super) const TAG: u8 = 6;
pub(super) const SIMPLE: u8 = 7;

pub(super) const FALSE: u8 = 0xF4;
pub(super) const TRUE: u8 = 0xF5;
pub(super) const NULL: u8 = 0xF6;
pub(super) const FLOAT_32: u8 = 0xFA;
pub(super) const FLOAT_64: u8 = 0xFB;
pub(super) const BREAK: u8 = 0xFF;

/// The low five bits that stand for an indefinite length.
const INDEFINITE: u8 = 31;

/// A head that was read.
#[derive(Clone, Copy)]
pub(super) struct Head {
    /// The first byte.
    pub(super) first: u8,
    /// The number behind the major type; 0 if the length is indefinite.
    pub(super) argument: u64,
    /// The bytes that the head takes.
    pub(super) length: usize,
}

impl Head {
    /// Reads the head that the bytes begin with.
    #[inline]
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let &first = bytes.first().ok_or(Malformed::Truncated)?;
        match first & 0x1F {
            info @ 0..=23 => Ok(Self { first, argument: u64::from(info), length: 1 }),
            24 => Ok(Self { first, argument: u64::from(u8::from_be_bytes(argument(bytes)?)), length: 2 }),
            _ => Self::read_long(first, bytes),
        }
    }

    fn read_long(first: u8, bytes: &[u8]) -> Result<Self, Malformed> {
        let (argument, length) = match first & 0x1F {
            25 => (u64::from(u16::from_be_bytes(argument(bytes)?)), 3),
            26 => (u64::from(u32::from_be_bytes(argument(bytes)?)), 5),
            27 => (u64::from_be_bytes(argument(bytes)?), 9),
            INDEFINITE if matches!(first >> 5, ARRAY | MAP | SIMPLE) => (0, 1),
            INDEFINITE if matches!(first >> 5, BYTES | TEXT) => {
                return Err(Malformed::Invalid("a string of indefinite length"));
            }
            _ => return Err(Malformed::Invalid("a reserved head")),
        };
        Ok(Self { first, argument, length })
    }

    /// The major type.
    #[inline]
    pub(super) fn major(self) -> u8 {
        self.first >> 5
    }

    /// True of an array or map whose end is a break.
    #[inline]
    pub(super) fn is_indefinite(self) -> bool {
        self.first & 0x1F == INDEFINITE
    }
}

fn argument<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Malformed> {
    bytes[1..].first_chunk().copied().ok_or(Malformed::Truncated)
}

/// Appends the shortest head.
#[inline(always)]
pub(super) fn write(major: u8, argument: u64, out: &mut Vec<u8>) {
    let first = major << 5;
    match argument {
        0..=23 => out.push(first | argument as u8),
        24..=0xFF => out.extend_from_slice(&[first | 24, argument as u8]),
        _ => write_long(first, argument, out),
    }
}

fn write_long(first: u8, argument: u64, out: &mut Vec<u8>) {
    let wide = argument.to_be_bytes();
    let (info, width) = match argument {
        ..=0xFFFF => (25, 2),
        0x1_0000..=0xFFFF_FFFF => (26, 4),
        _ => (27, 8),
    };
    out.push(first | info);
    out.extend_from_slice(&wide[8 - width..]);
}

/// How many bytes the shortest head takes.
#[inline]
pub(super) fn shortest_length(argument: u64) -> usize {
    match argument {
        0..=23 => 1,
        24..=0xFF => 2,
        0x100..=0xFFFF => 3,
        0x1_0000..=0xFFFF_FFFF => 5,
        _ => 9,
    }
}
