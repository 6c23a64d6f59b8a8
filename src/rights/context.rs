//! What is known of one part of a request: the values of the condition keys.

/// A condition key. IAM takes its name in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConditionKey {
    /// `dynamodb:LeadingKeys`: the values of the first partition attribute.
    LeadingKeys,
    /// The values of the second to the fourth partition attribute, which some global indexes have.
    SecondPartitionKeyValues,
    ThirdPartitionKeyValues,
    FourthPartitionKeyValues,
    /// The top-level attributes that a request names.
    Attributes,
    Select,
    ReturnValues,
    ReturnConsumedCapacity,
    EnclosingOperation,
    FullTableScan,
    /// The name of whoever calls.
    UserName,
}

use ConditionKey::*;

/// The names of the keys; one has two.
const NAMES: [(&str, ConditionKey); 12] = [
    ("dynamodb:LeadingKeys", LeadingKeys),
    ("dynamodb:FirstPartitionKeyValues", LeadingKeys),
    ("dynamodb:SecondPartitionKeyValues", SecondPartitionKeyValues),
    ("dynamodb:ThirdPartitionKeyValues", ThirdPartitionKeyValues),
    ("dynamodb:FourthPartitionKeyValues", FourthPartitionKeyValues),
    ("dynamodb:Attributes", Attributes),
    ("dynamodb:Select", Select),
    ("dynamodb:ReturnValues", ReturnValues),
    ("dynamodb:ReturnConsumedCapacity", ReturnConsumedCapacity),
    ("dynamodb:EnclosingOperation", EnclosingOperation),
    ("dynamodb:FullTableScan", FullTableScan),
    ("aws:username", UserName),
];

/// The keys of the partition attributes, in their order.
const PARTITION: [ConditionKey; 4] =
    [LeadingKeys, SecondPartitionKeyValues, ThirdPartitionKeyValues, FourthPartitionKeyValues];

const COUNT: usize = UserName as usize + 1;

impl ConditionKey {
    /// The key of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, key)| *key)
    }

    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }
}

/// The values of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Values {
    /// The request has none.
    #[default]
    Absent,
    /// These, at least one.
    Known(Vec<String>),
    /// Some that cannot be told.
    Unknown,
}

impl Values {
    pub(super) fn one(value: impl Into<String>) -> Self {
        Self::Known(vec![value.into()])
    }
}

/// The values of all keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Context {
    values: [Values; COUNT],
    /// The table whose key had to be known, as the request spells it.
    pub(super) unknown_table: Option<String>,
}

impl Context {
    /// Of a request of which nothing can be told.
    pub(super) fn unknown() -> Self {
        let mut context = Self::default();
        context.values[..UserName as usize].fill(Values::Unknown);
        context
    }

    pub(super) fn get(&self, key: ConditionKey) -> &Values {
        &self.values[key as usize]
    }

    pub(super) fn set(&mut self, key: ConditionKey, values: Values) {
        self.values[key as usize] = match values {
            Values::Known(values) if values.is_empty() => Values::Absent,
            values => values,
        };
    }

    /// Sets the values of the partition attribute of that position, from 0.
    pub(super) fn set_partition(&mut self, position: usize, values: Values) {
        if let Some(key) = PARTITION.get(position) {
            self.set(*key, values);
        }
    }
}
