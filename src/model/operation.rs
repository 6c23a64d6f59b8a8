//! The one table of operations: name, service, and what the proxy may do with each.

/// What the proxy does with a request of an operation (DESIGN §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OperationClass {
    /// GetItem, BatchGetItem: the item cache.
    ItemRead,
    /// Query, Scan: whole pages.
    PageRead,
    /// TransactGetItems: always upstream, observed.
    StrongRead,
    /// Writes of items by key.
    ItemWrite,
    /// PartiQL: through; invalidates what it may have written.
    Statement,
    /// Anything that creates, changes or deletes tables.
    Ddl,
    /// Reads of something else than items: through, invalidates nothing.
    Other,
    /// Not in the table: through, and invalidates the table that it names.
    Unknown,
}

/// An operation of DynamoDB or of DynamoDB Streams, or one that the table does not know.
///
/// A variant's docs would only repeat its name: the API reference describes each.
#[expect(missing_docs, reason = "the variants are the service's own names")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    GetItem,
    BatchGetItem,
    Query,
    Scan,
    TransactGetItems,
    PutItem,
    UpdateItem,
    DeleteItem,
    BatchWriteItem,
    TransactWriteItems,
    ExecuteStatement,
    BatchExecuteStatement,
    ExecuteTransaction,
    CreateTable,
    DeleteTable,
    UpdateTable,
    RestoreTableFromBackup,
    RestoreTableToPointInTime,
    ImportTable,
    StartBulkPutItems,
    CreateGlobalTable,
    UpdateGlobalTable,
    UpdateTimeToLive,
    DescribeTable,
    ListTables,
    DescribeTimeToLive,
    DescribeEndpoints,
    DescribeLimits,
    TagResource,
    UntagResource,
    ListTagsOfResource,
    CreateBackup,
    DeleteBackup,
    DescribeBackup,
    ListBackups,
    DescribeContinuousBackups,
    UpdateContinuousBackups,
    DescribeContributorInsights,
    ListContributorInsights,
    UpdateContributorInsights,
    DescribeExport,
    ExportTableToPointInTime,
    ListExports,
    DescribeImport,
    ListImports,
    DescribeGlobalTable,
    DescribeGlobalTableSettings,
    ListGlobalTables,
    UpdateGlobalTableSettings,
    DescribeKinesisStreamingDestination,
    EnableKinesisStreamingDestination,
    DisableKinesisStreamingDestination,
    UpdateKinesisStreamingDestination,
    DescribeTableReplicaAutoScaling,
    UpdateTableReplicaAutoScaling,
    GetResourcePolicy,
    PutResourcePolicy,
    DeleteResourcePolicy,
    DescribeBulkOperation,
    ListBulkOperations,
    CancelBulkOperation,
    SearchVectors,
    ListStreams,
    DescribeStream,
    GetShardIterator,
    GetRecords,
    /// An operation that the table lacks.
    Unknown,
}

/// The services' names in `X-Amz-Target`.
const DYNAMODB: &str = "DynamoDB_20120810";
const STREAMS: &str = "DynamoDBStreams_20120810";

/// One row for each operation, in the order of the variants.
const TABLE: &[(Operation, &str, &str, OperationClass)] = {
    use Operation::*;
    use OperationClass::{Ddl, ItemRead, ItemWrite, Other, PageRead, Statement, StrongRead};
    &[
        (GetItem, "GetItem", DYNAMODB, ItemRead),
        (BatchGetItem, "BatchGetItem", DYNAMODB, ItemRead),
        (Query, "Query", DYNAMODB, PageRead),
        (Scan, "Scan", DYNAMODB, PageRead),
        (TransactGetItems, "TransactGetItems", DYNAMODB, StrongRead),
        (PutItem, "PutItem", DYNAMODB, ItemWrite),
        (UpdateItem, "UpdateItem", DYNAMODB, ItemWrite),
        (DeleteItem, "DeleteItem", DYNAMODB, ItemWrite),
        (BatchWriteItem, "BatchWriteItem", DYNAMODB, ItemWrite),
        (TransactWriteItems, "TransactWriteItems", DYNAMODB, ItemWrite),
        (ExecuteStatement, "ExecuteStatement", DYNAMODB, Statement),
        (BatchExecuteStatement, "BatchExecuteStatement", DYNAMODB, Statement),
        (ExecuteTransaction, "ExecuteTransaction", DYNAMODB, Statement),
        (CreateTable, "CreateTable", DYNAMODB, Ddl),
        (DeleteTable, "DeleteTable", DYNAMODB, Ddl),
        (UpdateTable, "UpdateTable", DYNAMODB, Ddl),
        (RestoreTableFromBackup, "RestoreTableFromBackup", DYNAMODB, Ddl),
        (RestoreTableToPointInTime, "RestoreTableToPointInTime", DYNAMODB, Ddl),
        (ImportTable, "ImportTable", DYNAMODB, Ddl),
        (StartBulkPutItems, "StartBulkPutItems", DYNAMODB, Ddl),
        (CreateGlobalTable, "CreateGlobalTable", DYNAMODB, Ddl),
        (UpdateGlobalTable, "UpdateGlobalTable", DYNAMODB, Ddl),
        (UpdateTimeToLive, "UpdateTimeToLive", DYNAMODB, Other),
        (DescribeTable, "DescribeTable", DYNAMODB, Other),
        (ListTables, "ListTables", DYNAMODB, Other),
        (DescribeTimeToLive, "DescribeTimeToLive", DYNAMODB, Other),
        (DescribeEndpoints, "DescribeEndpoints", DYNAMODB, Other),
        (DescribeLimits, "DescribeLimits", DYNAMODB, Other),
        (TagResource, "TagResource", DYNAMODB, Other),
        (UntagResource, "UntagResource", DYNAMODB, Other),
        (ListTagsOfResource, "ListTagsOfResource", DYNAMODB, Other),
        (CreateBackup, "CreateBackup", DYNAMODB, Other),
        (DeleteBackup, "DeleteBackup", DYNAMODB, Other),
        (DescribeBackup, "DescribeBackup", DYNAMODB, Other),
        (ListBackups, "ListBackups", DYNAMODB, Other),
        (DescribeContinuousBackups, "DescribeContinuousBackups", DYNAMODB, Other),
        (UpdateContinuousBackups, "UpdateContinuousBackups", DYNAMODB, Other),
        (DescribeContributorInsights, "DescribeContributorInsights", DYNAMODB, Other),
        (ListContributorInsights, "ListContributorInsights", DYNAMODB, Other),
        (UpdateContributorInsights, "UpdateContributorInsights", DYNAMODB, Other),
        (DescribeExport, "DescribeExport", DYNAMODB, Other),
        (ExportTableToPointInTime, "ExportTableToPointInTime", DYNAMODB, Other),
        (ListExports, "ListExports", DYNAMODB, Other),
        (DescribeImport, "DescribeImport", DYNAMODB, Other),
        (ListImports, "ListImports", DYNAMODB, Other),
        (DescribeGlobalTable, "DescribeGlobalTable", DYNAMODB, Other),
        (DescribeGlobalTableSettings, "DescribeGlobalTableSettings", DYNAMODB, Other),
        (ListGlobalTables, "ListGlobalTables", DYNAMODB, Other),
        (UpdateGlobalTableSettings, "UpdateGlobalTableSettings", DYNAMODB, Other),
        (DescribeKinesisStreamingDestination, "DescribeKinesisStreamingDestination", DYNAMODB, Other),
        (EnableKinesisStreamingDestination, "EnableKinesisStreamingDestination", DYNAMODB, Other),
        (DisableKinesisStreamingDestination, "DisableKinesisStreamingDestination", DYNAMODB, Other),
        (UpdateKinesisStreamingDestination, "UpdateKinesisStreamingDestination", DYNAMODB, Other),
        (DescribeTableReplicaAutoScaling, "DescribeTableReplicaAutoScaling", DYNAMODB, Other),
        (UpdateTableReplicaAutoScaling, "UpdateTableReplicaAutoScaling", DYNAMODB, Other),
        (GetResourcePolicy, "GetResourcePolicy", DYNAMODB, Other),
        (PutResourcePolicy, "PutResourcePolicy", DYNAMODB, Other),
        (DeleteResourcePolicy, "DeleteResourcePolicy", DYNAMODB, Other),
        (DescribeBulkOperation, "DescribeBulkOperation", DYNAMODB, Other),
        (ListBulkOperations, "ListBulkOperations", DYNAMODB, Other),
        (CancelBulkOperation, "CancelBulkOperation", DYNAMODB, Other),
        (SearchVectors, "SearchVectors", DYNAMODB, Other),
        (ListStreams, "ListStreams", STREAMS, Other),
        (DescribeStream, "DescribeStream", STREAMS, Other),
        (GetShardIterator, "GetShardIterator", STREAMS, Other),
        (GetRecords, "GetRecords", STREAMS, Other),
    ]
};

impl Operation {
    /// How many operations there are, `Unknown` included: the length of an array with a place for each [`Operation::index`].
    pub const COUNT: usize = TABLE.len() + 1;

    /// Every known operation, in the table's order.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.0)
    }

    /// The operation that a whole `X-Amz-Target` names, such as `DynamoDB_20120810.GetItem`.
    /// `None` when the target is not of DynamoDB at all.
    pub fn from_target(target: &str) -> Option<Self> {
        let (service, name) = target.split_once('.')?;
        if service != DYNAMODB && service != STREAMS {
            return None;
        }
        let row = TABLE.iter().find(|row| row.1 == name && row.2 == service);
        Some(row.map_or(Self::Unknown, |row| row.0))
    }

    /// The whole `X-Amz-Target` of a known operation.
    pub fn target(self) -> String {
        let service = TABLE.get(self.index()).map_or(DYNAMODB, |row| row.2);
        format!("{service}.{}", self.name())
    }

    /// A small number, different for each operation.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The name in `X-Amz-Target` and in metrics; `Unknown` for one that the table lacks.
    pub fn name(self) -> &'static str {
        TABLE.get(self.index()).map_or("Unknown", |row| row.1)
    }

    /// True when it changes nothing, whatever its parameters are, so that sending it twice is as good as once.
    pub fn only_reads(self) -> bool {
        match self.class() {
            OperationClass::ItemRead | OperationClass::PageRead | OperationClass::StrongRead => true,
            OperationClass::Other => {
                ["Describe", "List", "Get", "Search"].iter().any(|verb| self.name().starts_with(verb))
            }
            OperationClass::ItemWrite
            | OperationClass::Statement
            | OperationClass::Ddl
            | OperationClass::Unknown => false,
        }
    }

    /// True when a success may come without a body: the API's model gives it no output, or is not known to us.
    pub fn may_answer_nothing(self) -> bool {
        matches!(self, Self::TagResource | Self::UntagResource | Self::Unknown)
    }

    /// What the proxy does with it.
    pub fn class(self) -> OperationClass {
        TABLE.get(self.index()).map_or(OperationClass::Unknown, |row| row.3)
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_names_its_operation_exactly() {
        assert_eq!(Operation::from_target("DynamoDB_20120810.GetItem"), Some(Operation::GetItem));
        assert_eq!(
            Operation::from_target("DynamoDBStreams_20120810.GetRecords"),
            Some(Operation::GetRecords)
        );
        assert_eq!(Operation::from_target("DynamoDB_20120810.getitem"), Some(Operation::Unknown));
        assert_eq!(Operation::from_target("DynamoDB_20111205.GetItem"), None);
        assert_eq!(Operation::from_target("GetItem"), None);
    }

    #[test]
    fn only_what_reads_may_be_sent_twice() {
        let reads = Operation::all().filter(|operation| operation.only_reads());
        let changes = [
            "Put", "Update", "Delete", "Create", "Tag", "Untag", "Enable", "Disable", "Restore", "Import",
            "Export",
        ];
        for operation in reads {
            assert!(!changes.iter().any(|verb| operation.name().starts_with(verb)), "{operation}");
        }
        assert!(Operation::TransactGetItems.only_reads() && Operation::GetRecords.only_reads());
        for operation in [Operation::ExecuteStatement, Operation::CancelBulkOperation, Operation::Unknown] {
            assert!(!operation.only_reads(), "{operation}");
        }
    }

    #[test]
    fn names_and_targets_agree() {
        for (position, operation) in Operation::all().enumerate() {
            assert_eq!(operation.index(), position, "{operation} stands elsewhere in the table");
            let found = [DYNAMODB, STREAMS]
                .iter()
                .any(|service| Operation::from_target(&format!("{service}.{operation}")) == Some(operation));
            assert!(found, "{operation}");
        }
    }
}
