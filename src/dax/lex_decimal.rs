//! The code of number sort keys, whose byte order is the order of the numbers.
//!
//! |v| = 0.D × 10^x, where D are the digits. A head has the sign and x: one byte for -62 to 61, else five. The digits follow in
//! groups of three, each 10 bits, and a group that says how many digits of the last one count. Negative numbers are complements.
//!
//! One number has several codes, by the trailing zeros of D that a client wrote, so codes are compared by their numbers.
//! What is written has no zeros at the end, but for whole numbers of at most 38 digits: these have all their digits, so that
//! clients print them without an exponent.

use super::cbor::Malformed;
use super::number::{NumberFault, plain_parts};
use crate::model::Number;
use crate::model::number::{DIGITS_MAX, NumberError};

const ZERO: u8 = 0x80;
/// Reserved for a zero with a sign; no client writes it.
const NEGATIVE_ZERO: u8 = 0x7F;

/// The heads that have x in four bytes of their own.
const POSITIVE_LARGE: u8 = 0xFE;
const POSITIVE_SMALL: u8 = 0x81;
const NEGATIVE_LARGE: u8 = 0x01;
const NEGATIVE_SMALL: u8 = 0x7E;

/// The one-byte heads of x = 0.
const POSITIVE: i32 = 0xC0;
const NEGATIVE: i32 = 0x3F;

/// What a group of digits is above its digits; below are the codes that end the number.
const GROUP_BASE: u16 = 12;
const GROUP_DIGITS: usize = 3;
const GROUP_BITS: u32 = 10;
const GROUP_MASK: u16 = 0x3FF;

/// Appends the code of a number.
pub fn write(number: Number, out: &mut Vec<u8>) {
    if number.is_zero() {
        out.push(ZERO);
        return;
    }
    let (negative, coefficient, exponent) = plain_parts(number);
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(coefficient).as_bytes();
    write_digits(negative, digits, digits.len() as i32 + exponent, out);
}

/// Appends the code of the number that a text is if it is whole and has no needless zeros; says whether it is.
pub(super) fn write_whole(text: &[u8], out: &mut Vec<u8>) -> bool {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    let is_whole = matches!(digits, [b'1'..=b'9', ..])
        && digits.len() <= DIGITS_MAX as usize
        && digits.iter().all(u8::is_ascii_digit);
    if is_whole {
        write_digits(negative, digits, digits.len() as i32, out);
    }
    is_whole
}

fn write_digits(negative: bool, digits: &[u8], x: i32, out: &mut Vec<u8>) {
    write_head(negative, x, out);
    let flip = if negative { GROUP_MASK } else { 0 };
    let mut bits = BitWriter { out, pending: 0, count: 0 };
    for group in digits.chunks(GROUP_DIGITS) {
        let digit = |place: usize| group.get(place).map_or(0, |digit| u16::from(digit - b'0'));
        bits.push((digit(0) * 100 + digit(1) * 10 + digit(2) + GROUP_BASE) ^ flip);
    }
    bits.push(((digits.len() + 2) % GROUP_DIGITS) as u16 ^ flip);
    bits.finish();
}

fn write_head(negative: bool, x: i32, out: &mut Vec<u8>) {
    let long = match (negative, x) {
        (false, -62..=61) => return out.push((POSITIVE + x) as u8),
        (true, -62..=61) => return out.push((NEGATIVE - x) as u8),
        (false, 62..) => POSITIVE_LARGE,
        (false, ..-62) => POSITIVE_SMALL,
        (true, 62..) => NEGATIVE_LARGE,
        (true, ..-62) => NEGATIVE_SMALL,
    };
    out.push(long);
    out.extend_from_slice(&(x as u32 ^ long_mask(negative)).to_be_bytes());
}

/// What turns x into bytes that sort.
fn long_mask(negative: bool) -> u32 {
    if negative { 0x7FFF_FFFF } else { 0x8000_0000 }
}

struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: u32,
    count: u32,
}

impl BitWriter<'_> {
    fn push(&mut self, code: u16) {
        self.pending = self.pending << GROUP_BITS | u32::from(code);
        self.count += GROUP_BITS;
        while self.count >= 8 {
            self.count -= 8;
            self.out.push((self.pending >> self.count) as u8);
        }
    }

    fn finish(self) {
        if self.count > 0 {
            self.out.push((self.pending << (8 - self.count)) as u8);
        }
    }
}

/// The number of a code that takes all of the bytes.
///
/// # Errors
/// [`NumberFault`].
pub fn read(code: &[u8]) -> Result<Number, NumberFault> {
    let (&head, rest) = code.split_first().ok_or(Malformed::Truncated)?;
    let (negative, x, rest) = match head {
        ZERO | NEGATIVE_ZERO if rest.is_empty() => return Ok(Number::ZERO),
        POSITIVE_LARGE | POSITIVE_SMALL => read_long(false, rest)?,
        NEGATIVE_LARGE | NEGATIVE_SMALL => read_long(true, rest)?,
        0x82..=0xFD => (false, i32::from(head) - POSITIVE, rest),
        0x02..=0x7D => (true, NEGATIVE - i32::from(head), rest),
        _ => return Err(Malformed::Invalid("no code of a number").into()),
    };
    let digits = read_digits(if negative { GROUP_MASK } else { 0 }, rest)?;
    if digits.is_too_precise {
        return Err(NumberError::TooPrecise.into());
    }
    // What 32 bits do not hold is out of range either way.
    let exponent = x.saturating_sub(digits.count).saturating_add(digits.zeros);
    Ok(Number::from_parts(negative, digits.coefficient, exponent)?)
}

fn read_long(negative: bool, rest: &[u8]) -> Result<(bool, i32, &[u8]), Malformed> {
    let (x, rest) = rest.split_first_chunk().ok_or(Malformed::Truncated)?;
    Ok((negative, (u32::from_be_bytes(*x) ^ long_mask(negative)) as i32, rest))
}

/// The digits that were read: the coefficient and zeros behind it.
#[derive(Default)]
struct Digits {
    coefficient: u128,
    zeros: i32,
    /// All digits, those zeros among them.
    count: i32,
    /// There are more than 38 between the first and the last that are no zeros.
    is_too_precise: bool,
}

impl Digits {
    fn push(&mut self, digit: u16) {
        self.count += 1;
        if digit == 0 {
            self.zeros += 1;
            return;
        }
        let shifted = 10_u128.checked_pow(self.zeros.unsigned_abs() + 1);
        let sum = shifted.and_then(|factor| self.coefficient.checked_mul(factor));
        let sum = if self.coefficient == 0 { Some(0) } else { sum };
        match sum.and_then(|sum| sum.checked_add(digit.into())) {
            Some(sum) if sum < 10_u128.pow(DIGITS_MAX) => self.coefficient = sum,
            _ => self.is_too_precise = true,
        }
        self.zeros = 0;
    }
}

fn read_digits(flip: u16, bytes: &[u8]) -> Result<Digits, Malformed> {
    let mut digits = Digits::default();
    let mut last: Option<u16> = None;
    let mut bytes = bytes.iter();
    let (mut pending, mut count) = (0_u32, 0);
    loop {
        while count < GROUP_BITS {
            pending = pending << 8 | u32::from(*bytes.next().ok_or(Malformed::Truncated)?);
            count += 8;
        }
        count -= GROUP_BITS;
        let code = (pending >> count) as u16 & GROUP_MASK ^ flip;
        if let Some(group) = code.checked_sub(GROUP_BASE)
            && group < 1000
        {
            if let Some(group) = last.replace(group) {
                push_group(&mut digits, group, GROUP_DIGITS);
            }
            continue;
        }
        let counting = match code {
            0..=2 => usize::from(code) + 1,
            _ => return Err(Malformed::Invalid("no digits of a number")),
        };
        let group = last.ok_or(Malformed::Invalid("a number has no digits"))?;
        push_group(&mut digits, group, counting);
        return match bytes.next() {
            None => Ok(digits),
            Some(_) => Err(Malformed::Invalid("more than a number")),
        };
    }
}

fn push_group(digits: &mut Digits, group: u16, counting: usize) {
    [group / 100, group / 10 % 10, group % 10]
        .into_iter()
        .take(counting)
        .for_each(|digit| digits.push(digit));
}
