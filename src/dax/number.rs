//! Numbers between CBOR and DynamoDB's: integers, bignums (tags 2 and 3), decimals (tag 4), and floats, which clients send and
//! servers must not.
//!
//! Every form of one value is read as the same [`Number`]. One form is written: an integer or bignum for what is whole and has at
//! most 38 digits, else a decimal without trailing zeros. A float counts as its shortest decimal text: `fb3fb999999999999a` is 0.1.

use std::io::Write;

use super::cbor::{Kind, Malformed, Reader, Writer};
use crate::model::Number;
use crate::model::number::{DIGITS_MAX, NumberError};

/// The tag of a bignum from 0 on.
const TAG_POSITIVE: u64 = 2;
/// The tag of a bignum below 0: its bytes are those of -1 - n.
const TAG_NEGATIVE: u64 = 3;
/// The tag of a decimal: an array of its exponent and its mantissa.
const TAG_DECIMAL: u64 = 4;

/// The longest bignum that is read: 154 digits, of which all but 38 must be trailing zeros to be a number of DynamoDB.
const BIGNUM_BYTES_MAX: usize = 64;

/// Why there is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberFault {
    /// The bytes are not of a number.
    Malformed(Malformed),
    /// The number is none of DynamoDB's.
    Limit(NumberError),
}

impl From<Malformed> for NumberFault {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<NumberError> for NumberFault {
    fn from(limit: NumberError) -> Self {
        Self::Limit(limit)
    }
}

/// Reads a number. At a [`NumberFault::Limit`] it is read over.
///
/// # Errors
/// [`NumberFault`].
pub fn read(reader: &mut Reader<'_>) -> Result<Number, NumberFault> {
    match reader.peek()? {
        Kind::Float => read_float(reader),
        Kind::Tag => {
            let mut inner = reader.clone();
            if inner.tag()? != TAG_DECIMAL {
                let mantissa = read_mantissa(reader)?;
                return mantissa.map_err(NumberFault::Limit)?.number(0);
            }
            let mut parts = inner.array()?;
            let mut expect = |inner: &mut Reader<'_>| match parts.next(inner)? {
                true => Ok(()),
                false => Err(Malformed::Invalid("a decimal has two parts")),
            };
            expect(&mut inner)?;
            let exponent = inner.int()?;
            expect(&mut inner)?;
            let mantissa = read_mantissa(&mut inner)?;
            if parts.next(&mut inner)? {
                return Err(Malformed::Invalid("a decimal has two parts").into());
            }
            *reader = inner;
            mantissa.map_err(NumberFault::Limit)?.number(exponent)
        }
        _ => read_mantissa(reader)?.map_err(NumberFault::Limit)?.number(0),
    }
}

/// A whole number: a coefficient, and how many zeros follow it.
struct Mantissa {
    negative: bool,
    coefficient: u128,
    zeros: u32,
}

impl Mantissa {
    fn number(self, exponent: i128) -> Result<Number, NumberFault> {
        let exponent = exponent.clamp(-1_000_000, 1_000_000) as i32 + self.zeros as i32;
        Ok(Number::from_parts(self.negative, self.coefficient, exponent)?)
    }
}

/// Reads an integer or a bignum.
fn read_mantissa(reader: &mut Reader<'_>) -> Result<Result<Mantissa, NumberError>, Malformed> {
    if reader.peek()? != Kind::Tag {
        let value = reader.int()?;
        return Ok(Ok(Mantissa { negative: value < 0, coefficient: value.unsigned_abs(), zeros: 0 }));
    }
    let mut inner = reader.clone();
    let negative = match inner.tag()? {
        TAG_POSITIVE => false,
        TAG_NEGATIVE => true,
        _ => return Err(Malformed::Invalid("a number was expected")),
    };
    let bytes = inner.bytes()?;
    *reader = inner;
    Ok(mantissa_of_bignum(bytes, negative))
}

fn mantissa_of_bignum(bytes: &[u8], negative: bool) -> Result<Mantissa, NumberError> {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let bytes = &bytes[first..];
    if bytes.len() > BIGNUM_BYTES_MAX {
        return Err(NumberError::TooPrecise);
    }
    // The least significant limb stands first, and one is left for the carry of the negative.
    let mut limbs = [0_u64; BIGNUM_BYTES_MAX / 8 + 1];
    for (limb, chunk) in limbs.iter_mut().zip(bytes.rchunks(8)) {
        *limb = chunk.iter().fold(0, |limb, byte| limb << 8 | u64::from(*byte));
    }
    if negative {
        for limb in &mut limbs {
            let (sum, carries) = limb.overflowing_add(1);
            *limb = sum;
            if !carries {
                break;
            }
        }
    }
    let mut zeros = 0;
    for (divisor, digits) in [(10_u64.pow(19), 19), (10, 1)] {
        while limbs[2..].iter().any(|limb| *limb != 0) {
            let Some(quotient) = divided(&limbs, divisor) else { break };
            limbs = quotient;
            zeros += digits;
        }
    }
    if limbs[2..].iter().any(|limb| *limb != 0) {
        return Err(NumberError::TooPrecise);
    }
    Ok(Mantissa { negative, coefficient: u128::from(limbs[1]) << 64 | u128::from(limbs[0]), zeros })
}

/// The quotient, if there is no remainder.
fn divided<const N: usize>(limbs: &[u64; N], divisor: u64) -> Option<[u64; N]> {
    let mut quotient = [0; N];
    let mut remainder = 0_u64;
    for (limb, quotient) in limbs.iter().zip(&mut quotient).rev() {
        let dividend = u128::from(remainder) << 64 | u128::from(*limb);
        *quotient = (dividend / u128::from(divisor)) as u64;
        remainder = (dividend % u128::from(divisor)) as u64;
    }
    (remainder == 0).then_some(quotient)
}

fn read_float(reader: &mut Reader<'_>) -> Result<Number, NumberFault> {
    let is_single = reader.rest().first() == Some(&0xFA);
    let value = reader.float()?;
    if !value.is_finite() {
        return Err(NumberError::Malformed.into());
    }
    // Widening keeps the value, so narrowing gives the float that was sent, with its own shortest text.
    let text = if is_single { format!("{:e}", value as f32) } else { format!("{value:e}") };
    Ok(Number::parse(&text)?)
}

/// Reads a number and appends its decimal text: with an exponent, if it would have many zeros without.
///
/// For a number that is none of DynamoDB's, it appends one to which DynamoDB has the same objection.
///
/// # Errors
/// [`Malformed`] when there is no number.
pub fn write_text(reader: &mut Reader<'_>, out: &mut Vec<u8>) -> Result<(), Malformed> {
    if reader.peek()? == Kind::Int {
        let value = reader.int()?;
        match i64::try_from(value) {
            Ok(value) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
            Err(_) => out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes()),
        }
        return Ok(());
    }
    match read(reader) {
        Ok(number) => append_text(number, out),
        Err(NumberFault::Limit(limit)) => out.extend_from_slice(beyond(limit).as_bytes()),
        Err(NumberFault::Malformed(malformed)) => return Err(malformed),
    }
    Ok(())
}

/// The lowest exponent of a number that is written with all its digits.
const PLAIN_EXPONENT_MIN: i32 = -40;

/// Appends a number's decimal text. Few bytes of CBOR do not become many: 1E125 has an exponent here, too.
pub(super) fn append_text(number: Number, out: &mut Vec<u8>) {
    if let Some(whole) = number.to_i64() {
        return out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes());
    }
    let (negative, coefficient, exponent) = plain_parts(number);
    let written = if (PLAIN_EXPONENT_MIN..=0).contains(&exponent) {
        write!(out, "{number}")
    } else {
        let sign = if negative { "-" } else { "" };
        write!(out, "{sign}{coefficient}E{exponent}")
    };
    written.expect("writing to memory cannot fail");
}

/// A text that is beyond the limit.
pub(super) fn beyond(limit: NumberError) -> &'static str {
    match limit {
        NumberError::Malformed => "NaN",
        NumberError::TooPrecise => "111111111111111111111111111111111111111",
        NumberError::Overflow => "1E126",
        NumberError::Underflow => "1E-131",
    }
}

/// Writes the number that a decimal text is.
///
/// # Errors
/// [`NumberError`] when it is none of DynamoDB's.
pub fn write(text: &str, writer: &mut Writer<'_>) -> Result<(), NumberError> {
    if !write_short(text.as_bytes(), writer) {
        write_number(Number::parse(text)?, writer);
    }
    Ok(())
}

/// The most digits that surely fit 64 bits.
const SHORT_DIGITS_MAX: usize = 18;

/// Writes the number that a text is if it has few digits, no exponent, and no zero at the end of a fraction; says whether it
/// has.
#[inline]
pub(super) fn write_short(text: &[u8], writer: &mut Writer<'_>) -> bool {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if !(1..=SHORT_DIGITS_MAX + 1).contains(&digits.len()) {
        return false;
    }
    let (mut value, mut point) = (0_i64, None);
    for (position, byte) in digits.iter().enumerate() {
        match byte {
            // One digit too many may wrap around; then there is no point, and the value is of no use.
            b'0'..=b'9' => value = value.wrapping_mul(10).wrapping_add(i64::from(byte - b'0')),
            b'.' if point.is_none() && position > 0 => point = Some(position),
            _ => return false,
        }
    }
    let value = if negative { value.wrapping_neg() } else { value };
    match point {
        None if digits.len() <= SHORT_DIGITS_MAX => writer.int(value),
        // A zero is one without a fraction, too.
        Some(point) if !matches!(digits[digits.len() - 1], b'0' | b'.') => {
            writer.tag(TAG_DECIMAL);
            writer.array(2);
            writer.int(point as i64 + 1 - digits.len() as i64);
            writer.int(value);
        }
        None | Some(_) => return false,
    }
    true
}

/// Writes a number.
pub fn write_number(number: Number, writer: &mut Writer<'_>) {
    let (negative, coefficient, exponent) = plain_parts(number);
    if exponent != 0 {
        writer.tag(TAG_DECIMAL);
        writer.array(2);
        writer.int(exponent.into());
    }
    let complement = if negative { coefficient - 1 } else { coefficient };
    match (u64::try_from(complement), negative) {
        (Ok(value), false) => writer.unsigned(value),
        (Ok(complement), true) => writer.negative(complement),
        (Err(_), _) => {
            writer.tag(if negative { TAG_NEGATIVE } else { TAG_POSITIVE });
            let bytes = complement.to_be_bytes();
            writer.bytes(&bytes[complement.leading_zeros() as usize / 8..]);
        }
    }
}

/// Sign, coefficient and exponent, in which a whole number of at most 38 digits has all of them in the coefficient: so clients
/// print it without an exponent.
pub(super) fn plain_parts(number: Number) -> (bool, u128, i32) {
    let (negative, coefficient, exponent) = number.parts();
    let zeros = u32::try_from(exponent).unwrap_or(0);
    let digits = coefficient.checked_ilog10().unwrap_or(0) + 1;
    if zeros == 0 || digits + zeros > DIGITS_MAX {
        return (negative, coefficient, exponent);
    }
    (negative, coefficient * 10_u128.pow(zeros), 0)
}
