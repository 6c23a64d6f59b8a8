//! The names and values that a request's expressions share.

use std::collections::BTreeMap;

use crate::model::{ApiError, AttributeValue};

/// The most bytes a placeholder may have.
const PLACEHOLDER_BYTES_MAX: usize = 255;
/// An attribute name has fewer bytes than this.
const NAME_BYTES_END: usize = 65_536;

/// `ExpressionAttributeNames`: `#name` to attribute names.
pub type Names<'a> = BTreeMap<&'a str, &'a str>;
/// `ExpressionAttributeValues`: `:value` to values.
pub type Values<'a> = BTreeMap<&'a str, AttributeValue>;

/// The names and values of a request, and which of them have been used.
#[derive(Clone, Debug, Default)]
pub struct Bindings<'a> {
    names: Option<&'a Names<'a>>,
    values: Option<&'a Values<'a>>,
    /// As often as they were used.
    used: Vec<&'a str>,
}

impl<'a> Bindings<'a> {
    /// Takes `ExpressionAttributeNames` and `ExpressionAttributeValues`.
    pub fn new(names: Option<&'a Names<'a>>, values: Option<&'a Values<'a>>) -> Self {
        Self { names, values, used: Vec::new() }
    }

    /// What `#name` stands for; it counts as used from now on.
    pub(super) fn name(&mut self, placeholder: &str) -> Option<&'a str> {
        let (key, name) = self.names?.get_key_value(placeholder)?;
        self.used.push(key);
        Some(name)
    }

    /// What `:value` stands for; it counts as used from now on.
    pub(super) fn value(&mut self, placeholder: &str) -> Option<&'a AttributeValue> {
        let (key, value) = self.values?.get_key_value(placeholder)?;
        self.used.push(key);
        Some(value)
    }

    /// Ends the reading of expressions: every name and value must have been used by one of them.
    ///
    /// # Errors
    /// A validation error that lists what is unused, names before values.
    pub fn finish(mut self) -> Result<(), ApiError> {
        self.used.sort_unstable();
        let unused = |key: &&str| self.used.binary_search(key).is_err();
        let names: Vec<&str> =
            self.names.into_iter().flat_map(BTreeMap::keys).copied().filter(unused).collect();
        let values: Vec<&str> =
            self.values.into_iter().flat_map(BTreeMap::keys).copied().filter(unused).collect();
        for (member, unused) in [("ExpressionAttributeNames", names), ("ExpressionAttributeValues", values)] {
            if !unused.is_empty() {
                return Err(ApiError::validation(format!(
                    "Value provided in {member} unused in expressions: keys: {{{}}}",
                    unused.join(", ")
                )));
            }
        }
        Ok(())
    }
}

/// Checks the placeholders themselves: `#name` and `:value`, and no empty map of them.
///
/// # Errors
/// A validation error in the service's words.
pub fn check_placeholders(names: Option<&Names<'_>>, values: Option<&Values<'_>>) -> Result<(), ApiError> {
    if let Some(names) = names {
        check_keys("ExpressionAttributeNames", '#', names.keys())?;
        names.iter().try_for_each(|(key, name)| check_name(key, name))?;
    }
    values.map_or(Ok(()), |values| check_keys("ExpressionAttributeValues", ':', values.keys()))
}

fn check_keys<'k>(
    member: &str,
    first: char,
    keys: impl ExactSizeIterator<Item = &'k &'k str>,
) -> Result<(), ApiError> {
    if keys.len() == 0 {
        return Err(ApiError::validation(format!("{member} must not be empty")));
    }
    for key in keys {
        let word = key.strip_prefix(first).unwrap_or_default();
        let fault =
            if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                format!("Syntax error; key: \"{key}\"")
            } else if key.len() > PLACEHOLDER_BYTES_MAX {
                format!(
                    "The expression attribute map contains a key that is too long; size of key: {}",
                    key.len()
                )
            } else {
                continue;
            };
        return Err(ApiError::validation(format!("{member} contains invalid key: {fault}")));
    }
    Ok(())
}

fn check_name(key: &str, name: &str) -> Result<(), ApiError> {
    let fault = match name.len() {
        0 => "Empty attribute name",
        NAME_BYTES_END.. => "Attribute name is too large, must be less than 65536 bytes",
        _ => return Ok(()),
    };
    Err(ApiError::validation(format!(
        "ExpressionAttributeNames contains invalid value: {fault} for key {key}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names<'a>(pairs: &[(&'a str, &'a str)]) -> Names<'a> {
        pairs.iter().copied().collect()
    }

    fn values<'a>(keys: &[&'a str]) -> Values<'a> {
        keys.iter().map(|key| (*key, AttributeValue::Null)).collect()
    }

    fn words(result: Result<(), ApiError>) -> String {
        result.err().and_then(|error| error.message).unwrap_or_default().into_owned()
    }

    #[test]
    fn placeholders_are_a_sign_and_a_word() {
        for key in ["a", "#", "#a-b", "#é", ":a", ""] {
            assert_eq!(
                words(check_placeholders(Some(&names(&[(key, "x")])), None)),
                format!("ExpressionAttributeNames contains invalid key: Syntax error; key: \"{key}\"")
            );
        }
        for key in ["a", ":", "#a", ":a.b"] {
            assert_eq!(
                words(check_placeholders(None, Some(&values(&[key])))),
                format!("ExpressionAttributeValues contains invalid key: Syntax error; key: \"{key}\"")
            );
        }
        assert_eq!(words(check_placeholders(Some(&names(&[("#0_a", "x")])), Some(&values(&[":_"])))), "");
    }

    #[test]
    fn empty_maps_of_placeholders_and_empty_names_are_refused() {
        let cases = [
            (names(&[]), "ExpressionAttributeNames must not be empty"),
            (
                names(&[("#a", "")]),
                "ExpressionAttributeNames contains invalid value: Empty attribute name for key #a",
            ),
        ];
        for (names, expected) in cases {
            assert_eq!(words(check_placeholders(Some(&names), None)), expected);
        }
        assert_eq!(
            words(check_placeholders(None, Some(&values(&[])))),
            "ExpressionAttributeValues must not be empty"
        );
    }

    #[test]
    fn what_no_expression_used_is_listed_names_first() {
        let (names, values) = (names(&[("#a", "a"), ("#b", "b"), ("#c", "c")]), values(&[":a", ":b"]));
        let mut bindings = Bindings::new(Some(&names), Some(&values));
        assert_eq!(bindings.name("#b"), Some("b"));
        assert_eq!(bindings.value(":a"), Some(&AttributeValue::Null));
        assert_eq!(bindings.value(":z"), None);
        assert_eq!(
            words(bindings.clone().finish()),
            "Value provided in ExpressionAttributeNames unused in expressions: keys: {#a, #c}"
        );
        bindings.name("#a");
        bindings.name("#c");
        assert_eq!(
            words(bindings.finish()),
            "Value provided in ExpressionAttributeValues unused in expressions: keys: {:b}"
        );
    }
}
