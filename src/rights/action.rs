//! The actions that IAM has for DynamoDB, and sets of them.
//!
//! Source: "Actions, resources, and condition keys for Amazon DynamoDB" in the service authorization reference (2026-11).

use super::pattern::Pattern;
use crate::config::nearest;

/// What a name in a policy begins with.
pub(super) const PREFIX: &str = "dynamodb:";

/// An action of IAM.
///
/// A variant's docs would only repeat its name: the service authorization reference describes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Action(u8);

/// Every action by name. Those at the beginning read and write items.
const NAMES: &[&str] = &[
    "GetItem",
    "BatchGetItem",
    "Query",
    "Scan",
    "ConditionCheckItem",
    "PartiQLSelect",
    "PutItem",
    "UpdateItem",
    "DeleteItem",
    "BatchWriteItem",
    "PartiQLInsert",
    "PartiQLUpdate",
    "PartiQLDelete",
    "SearchVectors",
    "DescribeStream",
    "GetShardIterator",
    "GetRecords",
    "ListStreams",
    "CreateTable",
    "DeleteTable",
    "UpdateTable",
    "DescribeTable",
    "ListTables",
    "DescribeLimits",
    "DescribeEndpoints",
    "UpdateTimeToLive",
    "DescribeTimeToLive",
    "TagResource",
    "UntagResource",
    "ListTagsOfResource",
    "CreateBackup",
    "DeleteBackup",
    "DescribeBackup",
    "ListBackups",
    "DescribeContinuousBackups",
    "UpdateContinuousBackups",
    "RestoreTableFromBackup",
    "RestoreTableToPointInTime",
    "ExportTableToPointInTime",
    "DescribeExport",
    "ListExports",
    "ImportTable",
    "DescribeImport",
    "ListImports",
    "StartBulkPutItems",
    "DescribeBulkOperation",
    "ListBulkOperations",
    "CancelBulkOperation",
    "DescribeContributorInsights",
    "ListContributorInsights",
    "UpdateContributorInsights",
    "CreateGlobalTable",
    "UpdateGlobalTable",
    "DescribeGlobalTable",
    "ListGlobalTables",
    "DescribeGlobalTableSettings",
    "UpdateGlobalTableSettings",
    "DescribeTableReplicaAutoScaling",
    "UpdateTableReplicaAutoScaling",
    "DescribeKinesisStreamingDestination",
    "EnableKinesisStreamingDestination",
    "DisableKinesisStreamingDestination",
    "UpdateKinesisStreamingDestination",
    "GetResourcePolicy",
    "PutResourcePolicy",
    "DeleteResourcePolicy",
    "AssociateTableReplica",
    "CreateTableReplica",
    "DeleteTableReplica",
    "CreateGlobalTableWitness",
    "DeleteGlobalTableWitness",
    "UpdateGlobalTableVersion",
    "ReadDataForReplication",
    "WriteDataForReplication",
    "ReplicateSettings",
    "RestoreTableFromAwsBackup",
    "StartAwsBackupJob",
    "InjectError",
    "GetAbacStatus",
    "UpdateAbacStatus",
    "DescribeReservedCapacity",
    "DescribeReservedCapacityOfferings",
    "PurchaseReservedCapacityOfferings",
];

/// Operations that are no actions: IAM asks for the actions of their parts. Policies name them nevertheless, without effect.
const OPERATIONS_ONLY: [&str; 5] = [
    "TransactGetItems",
    "TransactWriteItems",
    "ExecuteStatement",
    "BatchExecuteStatement",
    "ExecuteTransaction",
];

/// The actions whose keys and attributes a condition can judge.
const ITEM_ACTIONS: usize = 13;

impl Action {
    pub(super) const GET_ITEM: Self = Self::of("GetItem");
    pub(super) const BATCH_GET_ITEM: Self = Self::of("BatchGetItem");
    pub(super) const QUERY: Self = Self::of("Query");
    pub(super) const SCAN: Self = Self::of("Scan");
    pub(super) const CONDITION_CHECK_ITEM: Self = Self::of("ConditionCheckItem");
    pub(super) const PUT_ITEM: Self = Self::of("PutItem");
    pub(super) const UPDATE_ITEM: Self = Self::of("UpdateItem");
    pub(super) const DELETE_ITEM: Self = Self::of("DeleteItem");
    pub(super) const BATCH_WRITE_ITEM: Self = Self::of("BatchWriteItem");
    pub(super) const PARTIQL_SELECT: Self = Self::of("PartiQLSelect");
    pub(super) const PARTIQL_INSERT: Self = Self::of("PartiQLInsert");
    pub(super) const PARTIQL_UPDATE: Self = Self::of("PartiQLUpdate");
    pub(super) const PARTIQL_DELETE: Self = Self::of("PartiQLDelete");
    pub(super) const CREATE_TABLE: Self = Self::of("CreateTable");
    pub(super) const TAG_RESOURCE: Self = Self::of("TagResource");
    pub(super) const PUT_RESOURCE_POLICY: Self = Self::of("PutResourcePolicy");
    pub(super) const ASSOCIATE_TABLE_REPLICA: Self = Self::of("AssociateTableReplica");
    pub(super) const CREATE_TABLE_REPLICA: Self = Self::of("CreateTableReplica");
    pub(super) const DELETE_TABLE_REPLICA: Self = Self::of("DeleteTableReplica");
    pub(super) const CREATE_WITNESS: Self = Self::of("CreateGlobalTableWitness");
    pub(super) const DELETE_WITNESS: Self = Self::of("DeleteGlobalTableWitness");

    /// The action of exactly that name. Evaluated when this is compiled, so that a name that is none does not compile.
    const fn of(name: &str) -> Self {
        let mut index = 0;
        while index < NAMES.len() {
            if is_same(NAMES[index].as_bytes(), name.as_bytes()) {
                return Self(index as u8);
            }
            index += 1;
        }
        panic!("no action has this name");
    }

    /// The action that has the name of an operation.
    pub(super) fn named(name: &str) -> Option<Self> {
        NAMES.iter().position(|known| *known == name).map(|index| Self(index as u8))
    }

    pub(super) fn name(self) -> &'static str {
        NAMES[usize::from(self.0)]
    }

    /// The actions on items.
    pub(super) fn of_items() -> impl Iterator<Item = Self> {
        (0..ITEM_ACTIONS).map(|index| Self(index as u8))
    }
}

const fn is_same(a: &[u8], b: &[u8]) -> bool {
    let mut index = 0;
    while index < a.len() && index < b.len() && a[index] == b[index] {
        index += 1;
    }
    index == a.len() && index == b.len()
}

/// A set of actions, those that this program has no name for included.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Actions {
    bits: u128,
    /// Patterns in lower case, without the prefix, that an action of another name may match.
    patterns: Vec<Pattern>,
    /// True for a set of all that the patterns do not match.
    is_complement: bool,
}

/// A name that is no action, and the nearest one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnknownAction(pub(super) String);

impl Actions {
    /// The item actions: those of single items, Query and Scan.
    pub(super) fn items() -> Self {
        Self { bits: (1 << ITEM_ACTIONS) - 1, ..Self::default() }
    }

    /// Adds what an element of `Action` names: an action or a pattern, with its prefix, in any case. Actions of other services
    /// are passed over.
    ///
    /// # Errors
    /// [`UnknownAction`] if DynamoDB has none of that name.
    pub(super) fn add(&mut self, written: &str) -> Result<(), UnknownAction> {
        let lower = written.to_ascii_lowercase();
        let name = match lower.split_once(':') {
            None if lower.bytes().all(|byte| byte == b'*') && !lower.is_empty() => "*",
            None => return Err(unknown(written)),
            Some((service, name)) if Pattern::glob(service).matches("dynamodb") => name,
            Some(_) => return Ok(()),
        };
        self.add_name(name).map_err(|()| unknown(written))
    }

    /// The same without a prefix and in lower case.
    pub(super) fn add_name(&mut self, name: &str) -> Result<(), ()> {
        let pattern = Pattern::glob(name);
        let matching = NAMES.iter().enumerate();
        let matching = matching.filter(|(_, known)| pattern.matches(&known.to_ascii_lowercase()));
        let bits = matching.fold(0, |bits, (index, _)| bits | 1 << index);
        let is_known = bits != 0
            || pattern.is_any()
            || OPERATIONS_ONLY.iter().any(|known| pattern.matches(&known.to_ascii_lowercase()));
        if !is_known {
            return Err(());
        }
        self.bits |= bits;
        if name.contains(['*', '?']) {
            self.patterns.push(pattern);
        }
        Ok(())
    }

    /// Every action that is not in this set: `NotAction`.
    pub(super) fn complement(self) -> Self {
        let all = (1 << NAMES.len()) - 1;
        Self { bits: all & !self.bits, patterns: self.patterns, is_complement: !self.is_complement }
    }

    /// Those of the known actions that are in both sets.
    pub(super) fn and(&self, other: &Self) -> Self {
        Self { bits: self.bits & other.bits, ..Self::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bits == 0 && self.patterns.is_empty() && !self.is_complement
    }

    /// True if it has none of the actions that have names here.
    pub(super) fn has_no_known(&self) -> bool {
        self.bits == 0
    }

    #[inline]
    pub(super) fn contains(&self, action: Action) -> bool {
        self.bits >> action.0 & 1 == 1
    }

    /// Whether it has an action that only the caller has a name for.
    pub(super) fn contains_name(&self, name: &str) -> bool {
        // A name in other letters is the same to an upstream that does not mind.
        if let Some(known) = NAMES.iter().position(|known| known.eq_ignore_ascii_case(name)) {
            return self.contains(Action(known as u8));
        }
        let lower = name.to_ascii_lowercase();
        self.patterns.iter().any(|pattern| pattern.matches(&lower)) != self.is_complement
    }

    /// True if it has every action there is and will be.
    pub(super) fn is_everything(&self) -> bool {
        match self.is_complement {
            true => self.patterns.is_empty() && self.bits == (1 << NAMES.len()) - 1,
            false => self.patterns.iter().any(Pattern::is_any),
        }
    }
}

/// The words for a name that is no action.
fn unknown(written: &str) -> UnknownAction {
    let bare = written.split_once(':').map_or(written, |(_, name)| name);
    let nearest = nearest::nearest(bare, NAMES.iter().copied());
    UnknownAction(match nearest {
        Some(nearest) => {
            format!("unknown action {written:?}; the nearest known one is \"{PREFIX}{nearest}\"")
        }
        None => format!("unknown action {written:?}; an action is written like \"{PREFIX}GetItem\""),
    })
}

/// The names of operations for which IAM asks for the actions of their parts.
pub(super) fn is_operation_only(name: &str) -> bool {
    OPERATIONS_ONLY.iter().any(|known| known.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Operation;
    use crate::model::operation::OperationClass;

    fn of(written: &[&str]) -> Actions {
        let mut actions = Actions::default();
        written.iter().for_each(|written| actions.add(written).unwrap());
        actions
    }

    #[test]
    fn every_operation_is_an_action_or_made_of_them() {
        for operation in Operation::all() {
            let is_action = Action::named(operation.name()).is_some();
            assert_ne!(is_action, is_operation_only(operation.name()), "{operation:?}");
            if is_operation_only(operation.name()) {
                assert!(
                    operation.class() == OperationClass::Statement
                        || operation.name().starts_with("Transact"),
                    "{operation:?}"
                );
            }
        }
        assert!(NAMES.len() < 128, "a set of actions is 128 bits");
        assert_eq!(Action::named("PartiQLDelete"), Some(Action((ITEM_ACTIONS - 1) as u8)));
    }

    #[test]
    fn names_and_patterns_are_of_any_case() {
        assert!(of(&["DynamoDB:getitem"]).contains(Action::GET_ITEM));
        assert!(of(&["dynamodb:*Item"]).contains(Action::GET_ITEM));
        assert!(!of(&["dynamodb:*Items"]).contains(Action::GET_ITEM));
        assert!(of(&["d*:Get???m"]).contains(Action::GET_ITEM));
        assert!(of(&["s3:GetObject", "dax:GetItem", "dynamodb:TransactGetItems"]).is_empty());
        for everything in ["*", "dynamodb:*", "*:*", "**"] {
            assert!(of(&[everything]).is_everything(), "{everything}");
        }
        assert!(!of(&["dynamodb:?*"]).is_everything());
    }

    #[test]
    fn a_complement_has_what_its_set_lacks() {
        let others = of(&["dynamodb:Get*", "dynamodb:DeleteTable"]).complement();
        assert!(!others.contains(Action::GET_ITEM) && others.contains(Action::SCAN));
        assert!(!others.contains_name("GetTimeTravel") && others.contains_name("SetTimeTravel"));
        assert!(Actions::default().complement().is_everything());
    }

    #[test]
    fn an_unknown_action_names_the_nearest_one() {
        let unknown = |written| Actions::default().add(written).unwrap_err().0;
        assert_eq!(
            unknown("dynamodb:GetItems"),
            "unknown action \"dynamodb:GetItems\"; the nearest known one is \"dynamodb:GetItem\""
        );
        assert_eq!(
            unknown("Zzzzzzzzzzz"),
            "unknown action \"Zzzzzzzzzzz\"; an action is written like \"dynamodb:GetItem\""
        );
    }
}
