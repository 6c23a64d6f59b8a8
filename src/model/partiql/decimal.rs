//! What PartiQL makes of a number's text before it is a number of DynamoDB: digits and a scale, each in 32 bits.

/// Why a text is no number for PartiQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecimalFault {
    /// It does not read as a number, or its exponent or scale do not fit.
    Unreadable,
    /// It reads, but where its first digit stands does not fit. The service takes it for too small, however large it is.
    Underflow,
}

/// Reads a number's text.
///
/// # Errors
/// [`DecimalFault`].
pub fn check_decimal(text: &str) -> Result<(), DecimalFault> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => {
            (mantissa, exponent.parse::<i32>().map_err(|_| DecimalFault::Unreadable)?)
        }
        None => (text, 0),
    };
    let digits = mantissa.strip_prefix(['+', '-']).unwrap_or(mantissa);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = !(whole.is_empty() && fraction.is_empty())
        && whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    if !is_number {
        return Err(DecimalFault::Unreadable);
    }
    let scale = fraction.len() as i64 - i64::from(exponent);
    let leading_zeros = whole.bytes().chain(fraction.bytes()).take_while(|byte| *byte == b'0').count();
    // Zero has one digit.
    let precision = (whole.len() + fraction.len() - leading_zeros).max(1) as i64;
    match i32::try_from(scale) {
        Err(_) => Err(DecimalFault::Unreadable),
        Ok(_) if precision - scale >= i64::from(i32::MAX) => Err(DecimalFault::Underflow),
        Ok(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_its_exponent_scale_and_first_digit_in_32_bits() {
        for (text, expected) in [
            ("1", Ok(())),
            ("-.5e10", Ok(())),
            ("1e2147483645", Ok(())),
            ("1e-2147483647", Ok(())),
            ("1e2147483646", Err(DecimalFault::Underflow)),
            ("-1.5e2147483647", Err(DecimalFault::Underflow)),
            ("0001e2147483647", Err(DecimalFault::Underflow)),
            ("0e2147483647", Err(DecimalFault::Underflow)),
            ("0e2147483646", Err(DecimalFault::Underflow)),
            ("1e2147483648", Err(DecimalFault::Unreadable)),
            ("0.1e-2147483647", Err(DecimalFault::Unreadable)),
            ("1e", Err(DecimalFault::Unreadable)),
            ("", Err(DecimalFault::Unreadable)),
            ("-.", Err(DecimalFault::Unreadable)),
            ("1x", Err(DecimalFault::Unreadable)),
        ] {
            assert_eq!(check_decimal(text), expected, "{text}");
        }
    }
}
