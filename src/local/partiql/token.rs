//! `NextToken`: where a `SELECT` goes on, bound to its text and parameters.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

use crate::model::{ApiError, AttributeValue};
use crate::wire::Json;
use crate::wire::attribute::write_value;

/// The first byte of a token; another layout would have another.
const VERSION: u8 = 1;
const DIGEST_BYTES: usize = 16;
const HEAD_BYTES: usize = 1 + DIGEST_BYTES + 4;

/// What tells statements apart for their tokens.
pub(super) type StatementDigest = [u8; DIGEST_BYTES];

/// Where a read goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The stretch of the plan.
    pub(super) range: usize,
    /// The store key behind which it goes on there; empty for the stretch's beginning.
    pub(super) behind: Vec<u8>,
}

/// The digest of a statement and its parameters. A token of one statement is of no use to another.
///
/// `given` holds the parameters as the request spells them: `1.0` and `1` are one value, but not one parameter.
pub(super) fn digest(statement: &str, parameters: &[AttributeValue], given: &[Json<'_>]) -> StatementDigest {
    let mut text = Vec::from(statement.as_bytes());
    for (position, parameter) in parameters.iter().enumerate() {
        text.push(0);
        match given.get(position).and_then(|given| given.get("N")).and_then(Json::text) {
            Some(number) => text.extend_from_slice(decimal(number).as_bytes()),
            None => write_value(parameter, &mut text),
        }
    }
    Md5::digest(&text).into()
}

/// A number as its digits and its scale, however these are spelled.
fn decimal(number: &str) -> String {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let sign = if mantissa.starts_with('-') { "-" } else { "" };
    let mantissa = mantissa.trim_start_matches(['+', '-']);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let scale = fraction.len() as i64 - exponent.parse::<i64>().unwrap_or_default();
    let digits = format!("{whole}{fraction}");
    match digits.trim_start_matches('0') {
        "" => format!("0 {scale}"),
        digits => format!("{sign}{digits} {scale}"),
    }
}

/// True when a token goes on with these parameters: with a list or a map among them none does, not even its own.
pub(super) fn can_go_on(parameters: &[AttributeValue]) -> bool {
    !parameters.iter().any(|value| matches!(value, AttributeValue::L(_) | AttributeValue::M(_)))
}

impl Position {
    /// The token that says this.
    pub(super) fn to_token(&self, digest: &StatementDigest) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(digest);
        bytes.extend_from_slice(&u32::try_from(self.range).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend_from_slice(&self.behind);
        STANDARD.encode(bytes)
    }

    /// What a token says.
    ///
    /// # Errors
    /// The service's own for a text that is no token, and for a token of another statement.
    pub(super) fn from_token(token: &str, digest: &StatementDigest) -> Result<Self, ApiError> {
        let invalid = || ApiError::validation("Invalid NextToken");
        let bytes = STANDARD.decode(token).map_err(|_| invalid())?;
        let (head, behind) = bytes.split_at_checked(HEAD_BYTES).ok_or_else(invalid)?;
        let (start, range) = head.split_at(1 + DIGEST_BYTES);
        if start[0] != VERSION {
            return Err(invalid());
        }
        if start[1..] != digest[..] {
            return Err(no_match());
        }
        let range = range.first_chunk().copied().map_or(0, u32::from_be_bytes);
        Ok(Self { range: range as usize, behind: behind.to_vec() })
    }
}

/// What a token of another request gets.
pub(super) fn no_match() -> ApiError {
    ApiError::validation("NextToken does not match request")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_where_it_was_made_and_only_to_its_own_statement() {
        let position = Position { range: 3, behind: vec![0, 255, 7] };
        let one = digest("SELECT 1", &[], &[]);
        let token = position.to_token(&one);
        assert_eq!(Position::from_token(&token, &one), Ok(position));
        let words = |token: &str, statement: &str, parameters: &[AttributeValue]| {
            Position::from_token(token, &digest(statement, parameters, &[])).unwrap_err().message.unwrap()
        };
        assert_eq!(words(&token, "SELECT 1", &[AttributeValue::Null]), "NextToken does not match request");
        assert_eq!(words(&token, "SELECT 2", &[]), "NextToken does not match request");
        for text in ["abc", "", "AAAA", &token[..20]] {
            assert_eq!(words(text, "SELECT 1", &[]), "Invalid NextToken", "{text}");
        }
    }

    #[test]
    fn numbers_are_the_same_when_digits_and_scale_are() {
        for (one, same) in [("1e2", "1E+2"), ("-0", "0"), ("01", "+1"), ("1.5E1", "15"), ("10E-3", "0.010")] {
            assert_eq!(decimal(one), decimal(same), "{one} {same}");
        }
        for (one, other) in [("1.0", "1"), ("100", "1E2"), ("0E2", "0"), ("1", "-1"), ("1E-2", "0.010")] {
            assert_ne!(decimal(one), decimal(other), "{one} {other}");
        }
    }
}
