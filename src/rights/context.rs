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

    /// True for the values of a partition attribute.
    pub(super) fn is_of_partition(self) -> bool {
        PARTITION.contains(&self)
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

/// A set of keys: those that conditions ask for. Others are not read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Keys(u16);

impl Keys {
    pub(super) fn of(keys: impl Iterator<Item = ConditionKey>) -> Self {
        Self(keys.fold(0, |all, key| all | 1 << key as u16))
    }

    fn contains(self, key: ConditionKey) -> bool {
        self.0 >> key as u16 & 1 == 1
    }
}

/// The values of all keys that are asked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Context {
    asked: Keys,
    values: [Values; COUNT],
    /// The table whose key had to be known, as the request spells it.
    pub(super) unknown_table: Option<String>,
}

impl Context {
    /// Of a request whose keys are still to be put in.
    pub(super) fn of(asked: Keys) -> Self {
        Self { asked, ..Self::default() }
    }

    /// Of a request of which nothing can be told.
    pub(super) fn unknown() -> Self {
        let mut context = Self::default();
        context.values[..UserName as usize].fill(Values::Unknown);
        context
    }

    pub(super) fn get(&self, key: ConditionKey) -> &Values {
        &self.values[key as usize]
    }

    /// Reads the values of a key, if it is asked for.
    pub(super) fn put(&mut self, key: ConditionKey, read: impl FnOnce() -> Values) {
        if self.asked.contains(key) {
            self.set(key, read());
        }
    }

    pub(super) fn set(&mut self, key: ConditionKey, values: Values) {
        self.values[key as usize] = match values {
            Values::Known(values) if values.is_empty() => Values::Absent,
            values => values,
        };
    }

    /// True if that key is asked for.
    pub(super) fn asks_for(&self, key: ConditionKey) -> bool {
        self.asked.contains(key)
    }

    /// True if a partition attribute is asked for.
    pub(super) fn asks_for_partition(&self) -> bool {
        PARTITION.iter().any(|key| self.asked.contains(*key))
    }

    /// Reads the values of the partition attribute of that position, from 0.
    pub(super) fn put_partition(&mut self, position: usize, read: impl FnOnce() -> Values) {
        if let Some(key) = PARTITION.get(position) {
            self.put(*key, read);
        }
    }
}
