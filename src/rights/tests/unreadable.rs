//! Requests that cannot be read for certain: only who may do it everywhere may send them.

use super::{Asked, PLACE, is_allowed, judge, rights_of, schema};
use crate::model::Operation::{self, *};

const ALL_TABLES: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*",
    "Resource":["arn:aws:dynamodb:*:*:table/*","arn:aws:dynamodb::*:global-table/*"]}}"#;
/// May do everything but with one table, so that nothing is allowed unread.
const ALL_BUT_ONE: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
    {"Effect":"Deny","Action":"*","Resource":"arn:aws:dynamodb:*:*:table/Secret"}]}"#;

#[test]
fn nothing_is_allowed_that_two_readers_could_read_in_two_ways() {
    for document in [ALL_TABLES, ALL_BUT_ONE] {
        let rights = rights_of(document);
        for operation in Operation::all() {
            for body in [
                "",
                "[]",
                "null",
                r#"{"TableName":"a","TableName":"Secret"}"#,
                r#"{"TableName":"a"} {"TableName":"Secret"}"#,
                r#"{"TableName":"a",}"#,
            ] {
                let names_nothing = matches!(
                    operation,
                    ListTables
                        | ListStreams
                        | ListBackups
                        | ListExports
                        | ListImports
                        | ListGlobalTables
                        | ListContributorInsights
                        | DescribeLimits
                        | DescribeEndpoints
                );
                // A body that is JSON is read; these operations ask for the account whatever it holds.
                let is_json = body == "[]" || body == "null";
                let is_read = is_json && names_nothing && document == ALL_BUT_ONE;
                assert_eq!(is_allowed(&rights, operation, body), is_read, "{operation} {body}");
            }
        }
    }
}

#[test]
fn parts_that_are_not_of_a_known_form_are_not_allowed() {
    let rights = rights_of(ALL_BUT_ONE);
    for (operation, body) in [
        (GetItem, r#"{"TableName":"Secret"}"#),
        (GetItem, r#"{"TableName":"arn:aws:dynamodb:us-east-1:1:table/Secret"}"#),
        (GetItem, r#"{"TableName":"arn:x:table/Secret"}"#),
        (GetItem, r#"{"TableName":"\u0053ecret"}"#),
        (Query, r#"{"TableName":"a","IndexName":7}"#),
        (BatchGetItem, r#"{"RequestItems":[]}"#),
        (BatchGetItem, r#"{"RequestItems":{}}"#),
        (TransactWriteItems, r#"{"TransactItems":[]}"#),
        (BatchExecuteStatement, r#"{"Statements":[]}"#),
        (BatchGetItem, r#"{"RequestItems":{"a":{},"Secret":{}}}"#),
        (
            TransactWriteItems,
            r#"{"TransactItems":[{"Put":{"TableName":"a"},"Delete":{"TableName":"Secret"}}]}"#,
        ),
        (
            TransactWriteItems,
            r#"{"TransactItems":[{"Put":{"TableName":"a"}},{"Delete":{"TableName":"Secret"}}]}"#,
        ),
        (TransactWriteItems, r#"{"TransactItems":[{"Sing":{"TableName":"a"}}]}"#),
        (TransactGetItems, r#"{"TransactItems":[{"Put":{"TableName":"a"}}]}"#),
        (ExecuteStatement, r#"{"Statement":"SELECT"}"#),
        (ExecuteStatement, r#"{"Statement":"SELECT * FROM a, Secret"}"#),
        (ExecuteStatement, r#"{"Statement":"SELECT * FROM Secret WHERE x=?"}"#),
        (ExecuteStatement, r#"{"Statement":["SELECT * FROM a"]}"#),
        (
            ExecuteTransaction,
            r#"{"TransactStatements":[{"Statement":"EXISTS(SELECT * FROM Secret WHERE id='1')"}]}"#,
        ),
        (
            BatchExecuteStatement,
            r#"{"Statements":[{"Statement":"SELECT * FROM a WHERE id=1"},{"Statement":"DROP TABLE Secret"}]}"#,
        ),
        (GetRecords, r#"{"ShardIterator":"opaque"}"#),
        (TagResource, r#"{"ResourceArn":"Secret"}"#),
        (RestoreTableToPointInTime, r#"{"SourceTableName":"Secret","TargetTableName":"a"}"#),
        (RestoreTableToPointInTime, r#"{"SourceTableName":"a","TargetTableName":"Secret"}"#),
        (CreateGlobalTable, r#"{"GlobalTableName":"Secret"}"#),
        (ImportTable, r#"{"TableCreationParameters":{"TableName":"Secret"}}"#),
        (StartBulkPutItems, r#"{"x":[{"TableArn":"arn:aws:dynamodb:us-east-1:1:table/Secret"}]}"#),
    ] {
        assert!(!is_allowed(&rights, operation, body), "{operation} {body}");
    }
    for (operation, body) in [
        (GetItem, r#"{"TableName":"a"}"#),
        (ExecuteStatement, r#"{"Statement":"SELECT * FROM abc WHERE x=?"}"#),
        (BatchGetItem, r#"{"RequestItems":{"a":{},"b":{}}}"#),
        (TransactWriteItems, r#"{"TransactItems":[{"Put":{"TableName":"a"},"Delete":null}]}"#),
        (CreateGlobalTable, r#"{"GlobalTableName":"a"}"#),
        (StartBulkPutItems, r#"{"TableName":"a"}"#),
        (UpdateTable, r#"{"TableName":"a","ReplicaUpdates":[{"Create":{"RegionName":"eu-west-1"}}]}"#),
    ] {
        assert!(is_allowed(&rights, operation, body), "{operation} {body}");
    }
}

#[test]
fn an_operation_without_a_name_here_needs_a_pattern_and_every_table_that_it_names() {
    let asked = |body: &'static str| Asked {
        operation: Unknown,
        unknown_target: Some("DynamoDB_20120810.GetTimeTravel"),
        body: body.as_bytes(),
        place: PLACE,
    };
    let allowed = |document: &str, body| rights_of(document).judge(&asked(body), &schema).is_ok();
    let reads = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:Get*","Resource":"arn:aws:dynamodb:*:*:table/*"}}"#;
    let gets = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:GetItem","Resource":"*"}}"#;
    assert!(allowed(reads, r#"{"a":{"TableName":"b"}}"#));
    assert!(!allowed(reads, r#"{"a":"b"}"#));
    assert!(!allowed(gets, r#"{"TableName":"b"}"#));
    assert!(!allowed(
        ALL_BUT_ONE,
        r#"{"TableName":"b","x":[{"Source":"arn:aws:dynamodb:us-east-1:1:table/Secret"}]}"#
    ));
    let denial = rights_of(gets).judge(&asked(r#"{"TableName":"b"}"#), &schema).unwrap_err();
    assert_eq!(denial.action(), "dynamodb:GetTimeTravel");
}

#[test]
fn a_table_whose_key_is_not_known_is_named_so_that_it_can_be_learned() {
    let rights = rights_of(
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*","Resource":"*",
            "Condition":{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":"a"}}}}"#,
    );
    let body = r#"{"TableName":"New","Key":{"id":{"S":"a"}}}"#;
    let denial = judge(&rights, GetItem, body).unwrap_err();
    assert_eq!(denial.unknown_table(), Some("New"));
    let denial = judge(&rights, GetItem, r#"{"TableName":"Orders","Key":{"tenant":{"S":"b"}}}"#).unwrap_err();
    assert_eq!(denial.unknown_table(), None);
    let no_scan = rights_of(
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*","Resource":"*",
            "Condition":{"Bool":{"dynamodb:FullTableScan":"false"}}}}"#,
    );
    let body = r#"{"Statement":"SELECT * FROM Stranger WHERE id='a'"}"#;
    assert_eq!(judge(&no_scan, ExecuteStatement, body).unwrap_err().unknown_table(), Some("Stranger"));
}
