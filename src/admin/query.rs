//! The query of a request's target: `window=60&limit=20`.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::node::Fault;

/// Names and values, decoded, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the part of a target behind its question mark.
    pub(super) fn parse(text: Option<&str>) -> Self {
        let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        Self(pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(decoded_pair).collect())
    }

    /// The value of a name, the first one if there are several; empty for a name without a value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// True if the name is there, with a value or without.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A number within bounds; the default if the name is not there.
    ///
    /// # Errors
    /// [`Fault`] with the bounds, for anything else.
    pub(super) fn number<T: FromStr + PartialOrd + Display>(
        &self,
        name: &str,
        bounds: RangeInclusive<T>,
        default: T,
    ) -> Result<T, Fault> {
        let Some(text) = self.get(name) else { return Ok(default) };
        text.parse().ok().filter(|number| bounds.contains(number)).ok_or_else(|| {
            let (least, most) = bounds.into_inner();
            Fault::invalid(format!(
                "{name} must be a number from {least} to {most}, such as {name}={default}."
            ))
        })
    }
}

fn decoded_pair((name, value): (&str, &str)) -> (String, String) {
    (decoded(name), decoded(value))
}

/// A text without its `%XX` and with spaces for its `+`. What is no such escape stays as it is.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut decoded, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let escaped = bytes.get(at + 1..at + 3).filter(|_| *byte == b'%').and_then(hexadecimal);
        decoded.push(match (escaped, byte) {
            (Some(escaped), _) => escaped,
            (None, b'+') => b' ',
            (None, byte) => *byte,
        });
        at += if escaped.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*digits.first()?)? * 16 + digit(*digits.get(1)?)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_decoded() {
        let query = Query::parse(Some("operation=Query&region=eu%2Dwest+1&fleet&x=%zz%4&operation=Scan&=v"));
        assert_eq!(query.get("operation"), Some("Query"));
        assert_eq!(query.get("region"), Some("eu-west 1"));
        assert_eq!((query.has("fleet"), query.has("fleets")), (true, false));
        assert_eq!(query.get("x"), Some("%zz%4"));
        assert_eq!(Query::parse(None), Query::default());
    }

    #[test]
    fn a_number_out_of_bounds_is_answered_with_the_bounds() {
        let query = Query::parse(Some("limit=7&window=x&many=1001"));
        assert_eq!(query.number("limit", 1..=1000, 20), Ok(7));
        assert_eq!(query.number("other", 1..=1000, 20), Ok(20));
        for name in ["window", "many"] {
            let sentence = format!("{name} must be a number from 1 to 1000, such as {name}=20.");
            assert_eq!(query.number(name, 1..=1000, 20), Err(Fault::invalid(sentence)));
        }
    }
}
