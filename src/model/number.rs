//! DynamoDB numbers: decimals of up to 38 significant digits, in normal form.
//!
//! Two texts of one value (`1`, `1.0`, `1e0`, `+01`) parse to one [`Number`], compare equal, hash equal and print alike.

use std::cmp::Ordering;
use std::fmt;

/// The most significant digits a number may have.
pub const DIGITS_MAX: u32 = 38;
/// As many digits fit 64 bits whatever they are, and so do they with a zero behind them.
const SHORT_DIGITS_MAX: u32 = 18;
/// The largest exponent of the leading digit: magnitudes end below 10^126.
const MAGNITUDE_MAX: i32 = 125;
/// The smallest exponent of the leading digit: magnitudes begin at 10^-130.
const MAGNITUDE_MIN: i32 = -130;

/// A decimal number `± coefficient × 10^exponent`.
///
/// Invariant: the coefficient has at most 38 digits and no trailing zero; zero is `+0 × 10^0`; the leading digit's
/// exponent lies in -130 ..= 125.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Number {
    negative: bool,
    coefficient: u128,
    exponent: i16,
}

/// Why a text is not a DynamoDB number, or an arithmetic result cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberError {
    /// The text is not a decimal number at all.
    Malformed,
    /// More than 38 significant digits.
    TooPrecise,
    /// The magnitude is 10^126 or more; that of a zero is its last digit's place.
    Overflow,
    /// The magnitude is below 10^-130; that of a zero is its last digit's place.
    Underflow,
}

impl Number {
    /// Zero.
    pub const ZERO: Self = Self { negative: false, coefficient: 0, exponent: 0 };

    /// Parses decimal text: an optional sign, digits with at most one point, an optional exponent. No white space.
    ///
    /// # Errors
    /// [`NumberError`], by which of the service's limits is broken.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        let bytes = text.as_bytes();
        let (negative, bytes) = match bytes.first() {
            Some(b'-') => (true, &bytes[1..]),
            Some(b'+') => (false, &bytes[1..]),
            _ => (false, bytes),
        };
        match short_integer(bytes) {
            Some(magnitude) => Ok(Self::of_short(negative, magnitude)),
            None => Self::parse_any(negative, bytes),
        }
    }

    /// Parses what stands behind the sign, in any form.
    fn parse_any(negative: bool, bytes: &[u8]) -> Result<Self, NumberError> {
        let mut digits = DigitReader::default();
        let mut seen_digit = false;
        let mut seen_point = false;
        let mut position = 0;
        while let Some(&byte) = bytes.get(position) {
            match byte {
                b'0'..=b'9' => {
                    seen_digit = true;
                    digits.push(byte - b'0', seen_point);
                }
                b'.' if !seen_point => seen_point = true,
                b'e' | b'E' => break,
                _ => return Err(NumberError::Malformed),
            }
            position += 1;
        }
        if !seen_digit {
            return Err(NumberError::Malformed);
        }
        let written_exponent = match bytes.get(position) {
            None => 0,
            Some(_) => parse_exponent(&bytes[position + 1..])?,
        };
        digits.finish(negative, written_exponent)
    }

    /// The number `± coefficient × 10^exponent`.
    ///
    /// # Errors
    /// [`NumberError`], by which of the service's limits is broken.
    pub fn from_parts(negative: bool, coefficient: u128, exponent: i32) -> Result<Self, NumberError> {
        // What is cut off is out of range whatever the coefficient.
        Self::normal(negative, coefficient, exponent.clamp(-1_000_000, 1_000_000))
    }

    /// The sign (true for a negative number), the coefficient and the exponent of the normal form.
    pub fn parts(self) -> (bool, u128, i32) {
        (self.negative, self.coefficient, i32::from(self.exponent))
    }

    /// The sum, rounded to nothing: a sum that needs more than 38 digits is an error, as it is in an `ADD` or `SET a = a + b`.
    ///
    /// # Errors
    /// [`NumberError::TooPrecise`] and [`NumberError::Overflow`].
    pub fn checked_add(self, other: Self) -> Result<Self, NumberError> {
        if self.coefficient == 0 {
            return Ok(other);
        }
        if other.coefficient == 0 {
            return Ok(self);
        }
        let (high, low) = if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        let shift = u32::from((high.exponent - low.exponent).unsigned_abs());
        // 38 digits times 10^shift fits 256 bits only for small shifts; beyond 38 the sum has more than 38 digits anyway.
        if shift > DIGITS_MAX {
            return Err(NumberError::TooPrecise);
        }
        let scaled = 10u128
            .checked_pow(shift)
            .and_then(|factor| high.coefficient.checked_mul(factor))
            .ok_or(NumberError::TooPrecise)?;
        let (negative, coefficient) = if high.negative == low.negative {
            (high.negative, scaled.checked_add(low.coefficient).ok_or(NumberError::TooPrecise)?)
        } else if scaled >= low.coefficient {
            (high.negative, scaled - low.coefficient)
        } else {
            (low.negative, low.coefficient - scaled)
        };
        Self::normal(negative, coefficient, i32::from(low.exponent))
    }

    /// The difference, under the rules of [`Number::checked_add`].
    ///
    /// # Errors
    /// As [`Number::checked_add`].
    pub fn checked_sub(self, other: Self) -> Result<Self, NumberError> {
        self.checked_add(other.negated())
    }

    /// The number with its sign turned; zero stays zero.
    #[must_use]
    pub fn negated(self) -> Self {
        Self { negative: !self.negative && self.coefficient != 0, ..self }
    }

    /// The bytes that the service counts for this number: one for two digits of either side of the point, one more, and
    /// one for a sign.
    pub fn size_bytes(self) -> usize {
        if self.coefficient == 0 {
            return 1;
        }
        // Digits are stored in pairs around the decimal point, so an odd exponent splits a pair more.
        let digits = self.digit_count() as i32;
        let low = i32::from(self.exponent).div_euclid(2);
        let high = (i32::from(self.exponent) + digits - 1).div_euclid(2);
        (high - low + 1) as usize + 1 + usize::from(self.negative)
    }

    /// Appends a form whose byte order is the number order, and which no other number's form begins with.
    pub fn write_sortable(self, out: &mut Vec<u8>) {
        if self.coefficient == 0 {
            out.push(0x80);
            return;
        }
        // Sign, then the leading digit's exponent, then two digits a byte from the leading one; a closing byte below every
        // pair ends it. Negative numbers are the complement.
        let flip = if self.negative { 0xFF } else { 0x00 };
        let digits = self.digit_count();
        let magnitude = i32::from(self.exponent) + digits as i32 - 1;
        let [high, low] = ((magnitude + 0x4000) as u16).to_be_bytes();
        out.extend_from_slice(&[if self.negative { 0x7F } else { 0x81 }, high ^ flip, low ^ flip]);
        match digits {
            ..=SHORT_DIGITS_MAX => write_short_pairs(self.coefficient as u64, digits, flip, out),
            _ => write_pairs(self.coefficient, digits, flip, out),
        }
        out.push(flip);
    }

    /// The number of a form that [`Number::write_sortable`] has written, and what follows it.
    pub fn read_sortable(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (sign, rest) = bytes.split_first()?;
        let flip = match sign {
            0x80 => return Some((Self::ZERO, rest)),
            0x81 => 0x00,
            0x7F => 0xFF,
            _ => return None,
        };
        let ([high, low], rest) = rest.split_first_chunk()?;
        let magnitude = i32::from(u16::from_be_bytes([high ^ flip, low ^ flip])) - 0x4000;
        let pairs = rest.iter().position(|byte| *byte == flip)?;
        if pairs > DIGITS_MAX as usize / 2 {
            return None;
        }
        let coefficient = rest[..pairs].iter().try_fold(0u128, |sum, byte| {
            Some(sum * 100 + u128::from((byte ^ flip).checked_sub(1).filter(|pair| *pair < 100)?))
        })?;
        let exponent = magnitude + 1 - 2 * pairs as i32;
        let number = Self::normal(flip != 0, coefficient, exponent).ok()?;
        Some((number, &rest[pairs + 1..]))
    }

    /// Appends the packed form over which the service hashes partition keys: an exponent byte, then two digits a byte around
    /// the decimal point; negative numbers as complements, with a closing byte. (dynalite found and records it.)
    pub fn write_packed(self, out: &mut Vec<u8>) {
        if self.coefficient == 0 {
            out.push(0x80);
            return;
        }
        let digits = self.coefficient.to_string();
        let point = i32::from(self.exponent) + digits.len() as i32;
        let lead = if point.rem_euclid(2) == 1 { "0" } else { "" };
        let exponent = ((point + point.rem_euclid(2)) / 2 - 64) as u8;
        out.push(if self.negative { !exponent } else { exponent });
        let padded = format!("{lead}{digits}");
        let pairs = padded.as_bytes().chunks(2);
        let length = pairs.len();
        for pair in pairs {
            let (tens, ones) = (pair[0] - b'0', pair.get(1).map_or(0, |digit| digit - b'0'));
            let value = tens * 10 + ones;
            out.push(if self.negative { 101 - value } else { value + 1 });
        }
        if self.negative && length < 20 {
            out.push(102);
        }
    }

    /// The hash that Java's `BigDecimal` gives the number's normal form; the service orders members of sets by it in places.
    pub fn java_hash(self) -> i32 {
        let words = [96, 64, 32, 0].map(|shift| (self.coefficient >> shift) as u32);
        let hash = words.into_iter().fold(0u32, |hash, word| hash.wrapping_mul(31).wrapping_add(word));
        let signed = if self.negative { hash.wrapping_neg() } else { hash } as i32;
        signed.wrapping_mul(31).wrapping_sub(i32::from(self.exponent))
    }

    /// True for zero.
    pub fn is_zero(self) -> bool {
        self.coefficient == 0
    }

    /// The value as an `i64`, when it is one exactly.
    pub fn to_i64(self) -> Option<i64> {
        let factor = 10i128.checked_pow(u32::try_from(self.exponent).ok()?)?;
        let magnitude = i128::try_from(self.coefficient).ok()?.checked_mul(factor)?;
        i64::try_from(if self.negative { -magnitude } else { magnitude }).ok()
    }

    /// Appends the number's text, as `Display` gives it.
    pub fn write_text(self, out: &mut Vec<u8>) {
        if self.negative {
            out.push(b'-');
        }
        let (mut buffer, exponent) = (itoa::Buffer::new(), i32::from(self.exponent));
        let digits = match u64::try_from(self.coefficient) {
            Ok(coefficient) => buffer.format(coefficient),
            Err(_) => buffer.format(self.coefficient),
        };
        let (digits, point) = (digits.as_bytes(), digits.len() as i32 + exponent);
        if exponent >= 0 {
            out.extend_from_slice(digits);
            out.resize(out.len() + exponent as usize, b'0');
        } else if point > 0 {
            let (whole, fraction) = digits.split_at(point as usize);
            out.extend_from_slice(whole);
            out.push(b'.');
            out.extend_from_slice(fraction);
        } else {
            out.extend_from_slice(b"0.");
            out.resize(out.len() + point.unsigned_abs() as usize, b'0');
            out.extend_from_slice(digits);
        }
    }

    fn digit_count(self) -> u32 {
        let log = match u64::try_from(self.coefficient) {
            Ok(coefficient) => coefficient.checked_ilog10(),
            Err(_) => self.coefficient.checked_ilog10(),
        };
        log.map_or(1, |log| log + 1)
    }

    /// The integer of that magnitude, below 10^[`SHORT_DIGITS_MAX`].
    fn of_short(negative: bool, magnitude: u64) -> Self {
        if magnitude == 0 {
            return Self::ZERO;
        }
        let (coefficient, zeros) = without_short_zeros(magnitude);
        Self { negative, coefficient: u128::from(coefficient), exponent: zeros as i16 }
    }

    /// Brings a result to normal form, or says which limit it breaks.
    fn normal(negative: bool, coefficient: u128, exponent: i32) -> Result<Self, NumberError> {
        if coefficient == 0 {
            return Ok(Self::ZERO);
        }
        let (coefficient, zeros) = without_zeros(coefficient);
        let exponent = exponent + zeros;
        let digits = coefficient.ilog10() + 1;
        if digits > DIGITS_MAX {
            return Err(NumberError::TooPrecise);
        }
        let magnitude = exponent + digits as i32 - 1;
        if magnitude > MAGNITUDE_MAX {
            return Err(NumberError::Overflow);
        }
        if magnitude < MAGNITUDE_MIN {
            return Err(NumberError::Underflow);
        }
        let exponent = i16::try_from(exponent).map_err(|_| NumberError::Overflow)?;
        Ok(Self { negative, coefficient, exponent })
    }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self::normal(value < 0, u128::from(value.unsigned_abs()), 0)
            .expect("19 digits are within every limit")
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.sign(), other.sign()) {
            (a, b) if a != b => a.cmp(&b),
            (0, _) => Ordering::Equal,
            (sign, _) => {
                let order = self.cmp_magnitude(other);
                if sign < 0 { order.reverse() } else { order }
            }
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Number {
    fn sign(&self) -> i8 {
        match (self.coefficient, self.negative) {
            (0, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        }
    }

    fn cmp_magnitude(&self, other: &Self) -> Ordering {
        let (digits, other_digits) = (self.digit_count(), other.digit_count());
        let magnitude = i32::from(self.exponent) + digits as i32;
        let other_magnitude = i32::from(other.exponent) + other_digits as i32;
        magnitude.cmp(&other_magnitude).then_with(|| {
            let width = digits.max(other_digits);
            let left = self.coefficient * 10u128.pow(width - digits);
            let right = other.coefficient * 10u128.pow(width - other_digits);
            left.cmp(&right)
        })
    }
}

/// A coefficient other than 0 without its trailing zeros, and how many they were.
fn without_zeros(coefficient: u128) -> (u128, i32) {
    let (mut coefficient, mut zeros) = (coefficient, 0);
    while u64::try_from(coefficient).is_err() {
        if coefficient % 10 != 0 {
            return (coefficient, zeros);
        }
        coefficient /= 10;
        zeros += 1;
    }
    let (coefficient, more) = without_short_zeros(coefficient as u64);
    (u128::from(coefficient), zeros + more)
}

/// As [`without_zeros`], in arithmetic of 64 bits.
fn without_short_zeros(coefficient: u64) -> (u64, i32) {
    let (mut coefficient, mut zeros) = (coefficient, 0);
    while coefficient % 10 == 0 {
        coefficient /= 10;
        zeros += 1;
    }
    (coefficient, zeros)
}

/// Appends the digits of a coefficient that has so many, two a byte from the leading one.
fn write_pairs(coefficient: u128, digits: u32, flip: u8, out: &mut Vec<u8>) {
    let mut aligned = coefficient;
    for _ in digits..DIGITS_MAX {
        aligned *= 10;
    }
    let mut divisor = 10u128.pow(DIGITS_MAX - 2);
    while aligned != 0 {
        let pair = (aligned / divisor) as u8;
        out.push((pair + 1) ^ flip);
        aligned %= divisor;
        divisor /= 100;
    }
}

/// As [`write_pairs`], of at most [`SHORT_DIGITS_MAX`] digits.
fn write_short_pairs(coefficient: u64, digits: u32, flip: u8, out: &mut Vec<u8>) {
    let mut rest = if digits.is_multiple_of(2) { coefficient } else { coefficient * 10 };
    let mut pairs = [0; SHORT_DIGITS_MAX as usize / 2];
    let pairs = &mut pairs[..digits.div_ceil(2) as usize];
    for pair in pairs.iter_mut().rev() {
        *pair = ((rest % 100) as u8 + 1) ^ flip;
        rest /= 100;
    }
    out.extend_from_slice(pairs);
}

/// The value of a text of a few digits and nothing else; `None` of any other text.
fn short_integer(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || bytes.len() > SHORT_DIGITS_MAX as usize {
        return None;
    }
    bytes.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u64::from(byte - b'0')))
}

/// Prints the normal form, as the service returns it: plain digits, never an exponent, no needless zero.
impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(48);
        self.write_text(&mut text);
        formatter.write_str(str::from_utf8(&text).expect("digits are text"))
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// Collects digits into a coefficient, holding zeros back until a digit follows them, so that trailing zeros cost nothing.
#[derive(Default)]
struct DigitReader {
    coefficient: u128,
    digits: u32,
    held_zeros: u32,
    /// How many digits stand behind the point, zeros held back among them.
    fraction: i64,
    too_precise: bool,
}

impl DigitReader {
    fn push(&mut self, digit: u8, after_point: bool) {
        self.fraction += i64::from(after_point);
        if digit == 0 {
            if self.digits > 0 {
                self.held_zeros += 1;
            }
            return;
        }
        self.digits += self.held_zeros + 1;
        if self.digits > DIGITS_MAX {
            self.too_precise = true;
            self.digits = DIGITS_MAX + 1;
            return;
        }
        self.coefficient = self.coefficient * 10u128.pow(self.held_zeros + 1) + u128::from(digit);
        self.held_zeros = 0;
    }

    fn finish(self, negative: bool, written_exponent: i64) -> Result<Number, NumberError> {
        if self.too_precise {
            return Err(NumberError::TooPrecise);
        }
        if self.coefficient == 0 {
            // The service measures a zero by its last digit, as if that were a 1.
            return match written_exponent - self.fraction {
                exponent if exponent > i64::from(MAGNITUDE_MAX) => Err(NumberError::Overflow),
                exponent if exponent < i64::from(MAGNITUDE_MIN) => Err(NumberError::Underflow),
                _ => Ok(Number::ZERO),
            };
        }
        let exponent = written_exponent - self.fraction + i64::from(self.held_zeros);
        let exponent = i32::try_from(exponent.clamp(-1_000_000, 1_000_000)).expect("clamped to fit");
        Number::normal(negative, self.coefficient, exponent)
    }
}

/// The most digits of an exponent that surely fit 64 bits.
const EXPONENT_DIGITS_SAFE: usize = 18;

/// Reads a signed exponent. One that does not fit 64 bits is none; of those that do, large ones saturate, which is out of
/// every range all the same.
fn parse_exponent(bytes: &[u8]) -> Result<i64, NumberError> {
    let (negative, bytes) = match bytes.first() {
        Some(b'-') => (true, &bytes[1..]),
        Some(b'+') => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    if bytes.is_empty() {
        return Err(NumberError::Malformed);
    }
    let mut value: i64 = 0;
    for byte in bytes {
        if !byte.is_ascii_digit() {
            return Err(NumberError::Malformed);
        }
        value = (value * 10 + i64::from(byte - b'0')).min(1_000_000_000);
    }
    if bytes.len() > EXPONENT_DIGITS_SAFE && !fits_64_bits(negative, bytes) {
        return Err(NumberError::Malformed);
    }
    Ok(if negative { -value } else { value })
}

fn fits_64_bits(negative: bool, digits: &[u8]) -> bool {
    let most = if negative { i64::MIN.unsigned_abs() } else { i64::MAX.unsigned_abs() };
    let digits = str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u64>().ok());
    digits.is_some_and(|digits| digits <= most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    #[test]
    fn the_packed_form_has_an_exponent_and_pairs_of_digits() {
        let packed = |text: &str| {
            let mut out = Vec::new();
            Number::parse(text).unwrap().write_packed(&mut out);
            out
        };
        assert_eq!(packed("0"), [128]);
        assert_eq!(packed("1"), [193, 2]);
        assert_eq!(packed("10"), [193, 11]);
        assert_eq!(packed("100"), [194, 2]);
        assert_eq!(packed("123.4"), [194, 2, 24, 41]);
        assert_eq!(packed("0.1"), [192, 11]);
        assert_eq!(packed("0.001"), [191, 11]);
        assert_eq!(packed("-1"), [62, 100, 102]);
        assert_eq!(packed("-0.01"), [63, 100, 102]);
        assert_eq!(packed("1e-130"), [128, 2]);
        assert_eq!(packed("-5e-129"), [127, 51, 102]);
        assert_eq!(packed(&format!("{}e88", "9".repeat(38))), [&[255][..], &[100; 19]].concat());
    }

    #[test]
    fn every_text_of_a_value_has_one_normal_form() {
        for (text, normal) in [
            ("1", "1"),
            ("1.0", "1"),
            ("1e0", "1"),
            ("+01", "1"),
            ("-0", "0"),
            ("0.00e9", "0"),
            ("0e125", "0"),
            ("0.0e-129", "0"),
            (".5", "0.5"),
            ("5.", "5"),
            ("1.50", "1.5"),
            ("120e-1", "12"),
            ("1e3", "1000"),
            ("-1.2e-3", "-0.0012"),
            ("100000000000000000000000000000000000000000", "100000000000000000000000000000000000000000"),
            (
                "0.000000000000000000000000000000000000000000000012",
                "0.000000000000000000000000000000000000000000000012",
            ),
        ] {
            assert_eq!(number(text).to_string(), normal, "{text}");
        }
    }

    #[test]
    fn the_limits_are_the_services() {
        assert_eq!(Number::parse(&"1".repeat(38)).map(|n| n.to_string()), Ok("1".repeat(38)));
        assert_eq!(Number::parse(&"1".repeat(39)), Err(NumberError::TooPrecise));
        assert_eq!(
            Number::parse("9.9999999999999999999999999999999999999e125").map(|n| n.is_zero()),
            Ok(false)
        );
        assert_eq!(Number::parse("1e126"), Err(NumberError::Overflow));
        assert_eq!(Number::parse("-1e126"), Err(NumberError::Overflow));
        assert_eq!(Number::parse("0e126"), Err(NumberError::Overflow));
        assert_eq!(Number::parse("0.0e-130"), Err(NumberError::Underflow));
        assert_eq!(Number::parse("1e9223372036854775807"), Err(NumberError::Overflow));
        assert_eq!(Number::parse("1e-9223372036854775808"), Err(NumberError::Underflow));
        assert_eq!(Number::parse("1e9223372036854775808"), Err(NumberError::Malformed));
        assert_eq!(Number::parse("1e-9223372036854775809"), Err(NumberError::Malformed));
        assert!(Number::parse("1e-130").is_ok());
        assert_eq!(Number::parse("1e-131"), Err(NumberError::Underflow));
        for text in ["", "-", ".", "e1", "1e", "1 ", " 1", "1..2", "0x1", "NaN", "Infinity", "1e1.5", "１"] {
            assert_eq!(Number::parse(text), Err(NumberError::Malformed), "{text:?}");
        }
    }

    #[test]
    fn a_sum_that_needs_more_than_38_digits_is_refused() {
        assert_eq!(number("1e38").checked_add(number("0.1")), Err(NumberError::TooPrecise));
        assert_eq!(number("0.1").checked_add(number("0.2")).unwrap().to_string(), "0.3");
        assert_eq!(number("1").checked_sub(number("1")).unwrap(), Number::ZERO);
        assert_eq!(number("5e125").checked_add(number("5e125")), Err(NumberError::Overflow));
    }

    fn any_number() -> impl Strategy<Value = Number> {
        (any::<bool>(), 0u128..10u128.pow(38), -120i32..80)
            .prop_filter_map("in range", |(negative, coefficient, exponent)| {
                Number::normal(negative, coefficient, exponent).ok()
            })
    }

    proptest! {
        #[test]
        fn short_integers_are_parsed_as_any_text_is(text in "[+-]?[0-9]{0,20}", zeros in 0usize..20) {
            let text = format!("{text}{}", "0".repeat(zeros));
            let digits = text.trim_start_matches(['+', '-']).as_bytes();
            let is_signed = digits.len() < text.len();
            prop_assert_eq!(Number::parse(&text), Number::parse_any(is_signed && text.starts_with('-'), digits));
            prop_assert_eq!(short_integer(digits).is_some(), (1..=SHORT_DIGITS_MAX as usize).contains(&digits.len()));
        }

        #[test]
        fn few_digits_are_written_as_many_are(coefficient in 1u64..10u64.pow(SHORT_DIGITS_MAX), shift in 0u32..SHORT_DIGITS_MAX, flip in 0u8..2) {
            let (coefficient, _) = without_short_zeros(coefficient / 10u64.pow(shift) + 1);
            let (digits, flip) = (coefficient.ilog10() + 1, 0xFF * flip);
            let (mut short, mut wide) = (Vec::new(), Vec::new());
            write_short_pairs(coefficient, digits, flip, &mut short);
            write_pairs(coefficient.into(), digits, flip, &mut wide);
            prop_assert_eq!(short, wide);
        }

        #[test]
        fn printing_and_parsing_agree(number in any_number()) {
            prop_assert_eq!(Number::parse(&number.to_string()), Ok(number));
        }

        #[test]
        fn sortable_bytes_sort_as_the_numbers_do(a in any_number(), b in any_number(), scale in -3i32..3) {
            let near = Number::normal(a.negative, a.coefficient, i32::from(a.exponent) + scale).unwrap_or(b);
            for other in [b, near, a.negated(), Number::ZERO] {
                let (mut left, mut right) = (Vec::new(), Vec::new());
                a.write_sortable(&mut left);
                other.write_sortable(&mut right);
                prop_assert_eq!(left.cmp(&right), a.cmp(&other));
            }
        }

        #[test]
        fn adding_and_taking_away_gives_the_number_back(a in -1_000_000_000_000i64..1_000_000_000_000, b in -1_000_000_000i64..1_000_000_000) {
            let (a, b) = (Number::from(a), Number::from(b));
            prop_assert_eq!(a.checked_add(b).unwrap().checked_sub(b).unwrap(), a);
        }
    }
}
