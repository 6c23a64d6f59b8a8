//! Key conditions: which partition a query reads, and which stretch of it.

use super::Bindings;
use crate::model::{ApiError, KeySchema, KeyValue};

/// What a query asks of the key, not yet compared with a table's or index's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCondition {}

/// What a query reads: one partition, and a stretch of its sort keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInterval {
    /// The partition values, in the schema's order.
    pub partition: Vec<KeyValue>,
    /// The leading sort values that are fixed; only keys with several sort attributes have any.
    pub sort_equal: Vec<KeyValue>,
    /// The stretch of the next sort attribute after those.
    pub sort: SortInterval,
}

/// A stretch of one sort attribute's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SortInterval {
    /// All of them.
    All,
    /// `= a`
    Equal(KeyValue),
    /// `< a`
    Less(KeyValue),
    /// `<= a`
    LessOrEqual(KeyValue),
    /// `> a`
    Greater(KeyValue),
    /// `>= a`
    GreaterOrEqual(KeyValue),
    /// `BETWEEN a AND b`, both included; the second is not below the first.
    Between(KeyValue, KeyValue),
    /// `begins_with(…, a)`: a string or bytes.
    BeginsWith(KeyValue),
}

impl KeyCondition {
    /// Parses a `KeyConditionExpression`.
    ///
    /// # Errors
    /// A validation error in the service's words.
    pub fn parse(text: &str, bindings: &mut Bindings<'_>) -> Result<Self, ApiError> {
        let _ = (text, bindings);
        Ok(Self {})
    }

    /// Refuses more conditions than any key could have: two, or with an index (which may have a key of several
    /// attributes) eight. Callers do so when every expression is read, before the table is looked up.
    ///
    /// # Errors
    /// `Conditions can be of length 1 or 2 only`.
    pub fn check_count(&self, index_name: Option<&str>) -> Result<(), ApiError> {
        let _ = index_name;
        Ok(())
    }

    /// What the condition reads in a table or index with that key.
    ///
    /// # Errors
    /// A validation error when the conditions are not the key's.
    pub fn resolve(&self, schema: &KeySchema) -> Result<KeyInterval, ApiError> {
        let _ = schema;
        Err(ApiError::validation("not implemented"))
    }
}
