//! The table: which members each operation takes, of which kinds, within which limits.
//!
//! Members stand in the order in which the service judges them, where that is known, and fixed sets in the order in which
//! it prints them. What the service judges later and in other words (tags, backup ARNs, the presence of a
//! statement's table) has no limits here.

use crate::model::Operation;

use super::kind::Member;

mod parts;

mod control;
mod data;

use control::*;
use data::*;

pub(super) use parts::NAME_PATTERN;

/// The members of an operation's input; `None` for one whose input is not known here.
pub(super) fn members(operation: Operation) -> Option<&'static [Member]> {
    Some(match operation {
        Operation::GetItem => GET_ITEM,
        Operation::BatchGetItem => BATCH_GET_ITEM,
        Operation::Query => QUERY,
        Operation::Scan => SCAN,
        Operation::TransactGetItems => TRANSACT_GET_ITEMS,
        Operation::PutItem => PUT_ITEM,
        Operation::UpdateItem => UPDATE_ITEM,
        Operation::DeleteItem => DELETE_ITEM,
        Operation::BatchWriteItem => BATCH_WRITE_ITEM,
        Operation::TransactWriteItems => TRANSACT_WRITE_ITEMS,
        Operation::ExecuteStatement => EXECUTE_STATEMENT,
        Operation::BatchExecuteStatement => BATCH_EXECUTE_STATEMENT,
        Operation::ExecuteTransaction => EXECUTE_TRANSACTION,
        Operation::CreateTable => CREATE_TABLE,
        Operation::UpdateTable => UPDATE_TABLE,
        Operation::DeleteTable | Operation::DescribeTable | Operation::DescribeTimeToLive => NAMED_TABLE,
        Operation::ListTables => LIST_TABLES,
        Operation::UpdateTimeToLive => UPDATE_TIME_TO_LIVE,
        Operation::DescribeEndpoints | Operation::DescribeLimits => &[],
        Operation::TagResource => TAG_RESOURCE,
        Operation::UntagResource => UNTAG_RESOURCE,
        Operation::ListTagsOfResource => LIST_TAGS_OF_RESOURCE,
        Operation::CreateBackup => CREATE_BACKUP,
        Operation::DeleteBackup | Operation::DescribeBackup => NAMED_BACKUP,
        Operation::ListBackups => LIST_BACKUPS,
        Operation::RestoreTableFromBackup => RESTORE_TABLE_FROM_BACKUP,
        Operation::RestoreTableToPointInTime => RESTORE_TABLE_TO_POINT_IN_TIME,
        Operation::DescribeContinuousBackups => REQUIRED_TABLE,
        Operation::DescribeKinesisStreamingDestination => REQUIRED_TABLE,
        Operation::DescribeTableReplicaAutoScaling => REQUIRED_TABLE,
        Operation::UpdateContinuousBackups => UPDATE_CONTINUOUS_BACKUPS,
        Operation::DescribeContributorInsights => DESCRIBE_CONTRIBUTOR_INSIGHTS,
        Operation::ListContributorInsights => LIST_CONTRIBUTOR_INSIGHTS,
        Operation::UpdateContributorInsights => UPDATE_CONTRIBUTOR_INSIGHTS,
        Operation::ExportTableToPointInTime => EXPORT_TABLE_TO_POINT_IN_TIME,
        Operation::DescribeExport => DESCRIBE_EXPORT,
        Operation::ListExports => LIST_EXPORTS,
        Operation::ImportTable => IMPORT_TABLE,
        Operation::DescribeImport => DESCRIBE_IMPORT,
        Operation::ListImports => LIST_IMPORTS,
        Operation::EnableKinesisStreamingDestination => KINESIS_STREAMING_DESTINATION,
        Operation::DisableKinesisStreamingDestination => KINESIS_STREAMING_DESTINATION,
        Operation::UpdateKinesisStreamingDestination => UPDATE_KINESIS_STREAMING_DESTINATION,
        Operation::GetResourcePolicy => GET_RESOURCE_POLICY,
        Operation::PutResourcePolicy => PUT_RESOURCE_POLICY,
        Operation::DeleteResourcePolicy => DELETE_RESOURCE_POLICY,
        Operation::DescribeGlobalTable | Operation::DescribeGlobalTableSettings => NAMED_GLOBAL_TABLE,
        Operation::ListStreams => LIST_STREAMS,
        Operation::DescribeStream => DESCRIBE_STREAM,
        Operation::GetShardIterator => GET_SHARD_ITERATOR,
        Operation::GetRecords => GET_RECORDS,
        Operation::StartBulkPutItems
        | Operation::CreateGlobalTable
        | Operation::UpdateGlobalTable
        | Operation::ListGlobalTables
        | Operation::UpdateGlobalTableSettings
        | Operation::UpdateTableReplicaAutoScaling
        | Operation::DescribeBulkOperation
        | Operation::ListBulkOperations
        | Operation::CancelBulkOperation
        | Operation::SearchVectors
        | Operation::Unknown => return None,
    })
}
