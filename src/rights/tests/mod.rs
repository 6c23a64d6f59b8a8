//! Rights against an independent judge, the examples of the documentation, and requests that nobody can judge.

mod examples;
mod judge;
mod matrix;
mod pages;
mod unreadable;

use std::sync::Arc;

use super::{Asked, Denial, Place, Policy, Rights};
use crate::model::key_attribute::{KeyAttribute, ScalarType};
use crate::model::schema::{IndexKind, IndexSchema, KeySchema, Projection, TableSchema};
use crate::model::{ApiError, Operation};

const ACCOUNT: &str = "123456789012";
const PLACE: Place<'_> = Place { region: "us-east-1", account: Some(ACCOUNT) };

fn key(partition: &[(&str, ScalarType)], sort: &[(&str, ScalarType)]) -> KeySchema {
    let attributes = |attributes: &[(&str, ScalarType)]| {
        let attributes = attributes
            .iter()
            .map(|(name, scalar_type)| KeyAttribute { name: (*name).to_owned(), scalar_type: *scalar_type });
        attributes.collect()
    };
    KeySchema { partition: attributes(partition), sort: attributes(sort) }
}

/// `Orders` (by `tenant` and `id`, with the indexes `byStatus` and `byShop`) and `Users` (by a number).
fn schema(spelling: &str) -> Option<Arc<TableSchema>> {
    use ScalarType::{N, S};
    let name = spelling.rsplit('/').next().unwrap();
    let index = |name: &str, key| IndexSchema {
        name: name.to_owned(),
        kind: IndexKind::Global,
        key,
        projection: Projection::All,
    };
    let (key, indexes) = match name {
        "Orders" => (
            key(&[("tenant", S)], &[("id", S)]),
            vec![
                index("byStatus", key(&[("status", S)], &[])),
                index("byShop", key(&[("shop", S), ("city", S)], &[])),
            ],
        ),
        "Users" => (key(&[("number", N)], &[]), Vec::new()),
        _ => return None,
    };
    Some(Arc::new(TableSchema { name: name.to_owned(), id: String::new(), key, indexes }))
}

fn rights_of(document: &str) -> Rights {
    Rights::new("alice", [&Policy::parse(document).unwrap_or_else(|error| panic!("{error}\n{document}"))])
}

fn asked(operation: Operation, body: &str) -> Asked<'_> {
    Asked { operation, unknown_target: None, body: body.as_bytes(), place: PLACE }
}

fn judge(rights: &Rights, operation: Operation, body: &str) -> Result<(), Box<Denial>> {
    rights.judge(&asked(operation, body), &schema)
}

fn is_allowed(rights: &Rights, operation: Operation, body: &str) -> bool {
    judge(rights, operation, body).is_ok()
}

/// The words of a denial.
fn words(rights: &Rights, operation: Operation, body: &str) -> String {
    let denial = judge(rights, operation, body).unwrap_err();
    ApiError::from(&*denial).message.unwrap().into_owned()
}

/// Whoever answers may look at the name alone, whatever partition, region and account a client writes before it.
#[test]
fn a_table_under_the_arn_of_another_place_is_judged_as_its_namesake_here_too() {
    let named = |place: &str, name: &str| format!(r#"{{"TableName":"arn:{place}:table/{name}","Key":{{}}}}"#);
    let foreign = [
        "aws:dynamodb:eu-west-1:123456789012",
        "aws:dynamodb:us-east-1:999999999999",
        "aws:dynamodb:us-east-1:000000000000",
        "aws-cn:dynamodb:us-east-1:123456789012",
        "xx:dynamodb:us-east-1:123456789012",
        "aws:dynamodb:us-east-1:",
        "aws:dynamodb::123456789012",
    ];
    let all_but_secret = rights_of(
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"dynamodb:*","Resource":"*"},
            {"Effect":"Deny","Action":"dynamodb:*","Resource":"arn:aws:dynamodb:us-east-1:123456789012:table/Secret*"}]}"#,
    );
    let only_elsewhere = rights_of(
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*",
            "Resource":["arn:aws:dynamodb:eu-west-1:123456789012:table/*","arn:aws:dynamodb:us-east-1:999999999999:table/*"]}}"#,
    );
    for place in foreign {
        for operation in [Operation::GetItem, Operation::DescribeTable, Operation::DeleteTable] {
            assert!(!is_allowed(&all_but_secret, operation, &named(place, "Secret")), "{place}");
            assert!(is_allowed(&all_but_secret, operation, &named(place, "Orders")), "{place}");
            assert!(!is_allowed(&only_elsewhere, operation, &named(place, "Secret")), "{place}");
        }
        let statement = format!(r#"{{"Statement":"SELECT * FROM \"arn:{place}:table/Secret\""}}"#);
        assert!(!is_allowed(&all_but_secret, Operation::ExecuteStatement, &statement), "{place}");
        let stream = format!(r#"{{"StreamArn":"arn:{place}:table/Secret/stream/2026-11-21T08:09:10.000"}}"#);
        assert!(!is_allowed(&all_but_secret, Operation::DescribeStream, &stream), "{place}");
    }
    // The account that the local backend writes into its ARNs is ours.
    let own = rights_of(
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*",
            "Resource":"arn:aws:dynamodb:us-east-1:123456789012:table/*"}}"#,
    );
    assert!(is_allowed(&own, Operation::GetItem, &named("aws:dynamodb:us-east-1:000000000000", "Orders")));
}

#[test]
fn a_name_of_an_action_in_other_letters_is_that_action() {
    let all_but_get = rights_of(
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"dynamodb:*","Resource":"*"},
            {"Effect":"Deny","Action":"DYNAMODB:getitem","Resource":"*"}]}"#,
    );
    for (target, allowed) in [
        ("getitem", false),
        ("GETITEM", false),
        ("gettem", true),
        // Operations that are no actions need those of all that they may hold.
        ("transactgetitems", false),
        ("TRANSACTWRITEITEMS", true),
    ] {
        let target = format!("DynamoDB_20120810.{target}");
        let body = br#"{"TableName":"Orders"}"#;
        let asked =
            Asked { operation: Operation::Unknown, unknown_target: Some(&target), body, place: PLACE };
        assert_eq!(all_but_get.judge(&asked, &schema).is_ok(), allowed, "{target}");
    }
}

#[test]
fn a_table_is_in_reach_of_who_may_do_anything_with_its_items() {
    let orders = schema("Orders").unwrap();
    let reach = |document: &str, table: &str| {
        let indexes = if table.ends_with("Orders") { &*orders.indexes } else { &[] };
        rights_of(document).reach(&PLACE, table, indexes.iter().map(|index| &*index.name))
    };
    let allowing = |actions: &str, resource: &str, more: &str| {
        format!(
            r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":{actions},"Resource":"arn:aws:dynamodb:*:*:{resource}"}}{more}]}}"#
        )
    };
    let own = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"dynamodb:GetItem","Resource":"*",
        "Condition":{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["alice"]}}}]}"#;
    assert!(reach(own, "Orders") && reach(own, "arn:aws:dynamodb:us-east-1:123456789012:table/Orders"));
    let index_only = allowing(r#""dynamodb:Query""#, "table/Orders/index/byShop", "");
    assert!(reach(&index_only, "Orders") && !reach(&index_only, "Users"));
    let admin = allowing(r#"["dynamodb:DescribeTable","dynamodb:UpdateTable"]"#, "table/*", "");
    assert!(!reach(&admin, "Orders"), "no item is in reach");
    let secret = r#",{"Effect":"Deny","Action":"dynamodb:*","Resource":"arn:aws:dynamodb:*:*:table/Users*"}"#;
    let all_but_secret = allowing(r#""dynamodb:*""#, "table/*", secret);
    assert!(reach(&all_but_secret, "Orders") && !reach(&all_but_secret, "Users"));
    assert!(reach(
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#,
        "any"
    ));
}
