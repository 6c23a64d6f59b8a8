//! What the end of a page would show: the key of an item, of any partition if the page is that of a scan.

use super::{is_allowed, rights_of};
use crate::model::Operation::*;
use crate::rights::{Grant, Rights};

fn granted(leading_keys: &[&str], attributes: &[&str]) -> Rights {
    let strings = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let grant = Grant {
        tables: strings(&["*"]),
        actions: strings(&["*"]),
        leading_keys: strings(leading_keys),
        attributes: strings(attributes),
        ..Grant::default()
    };
    Rights::new("alice", [&grant.policy().unwrap()])
}

fn statement(text: &str) -> String {
    serde_json::json!({ "Statement": text }).to_string()
}

#[test]
fn who_may_not_read_a_key_gets_no_page_that_could_end_with_it() {
    let whole = &["tenant", "id", "price"][..];
    let with_index = &["tenant", "id", "price", "status"][..];
    let query = |more: &str| {
        format!(
            r#"{{"TableName":"Orders","KeyConditionExpression":"tenant=:t","ExpressionAttributeValues":{{":t":{{"S":"a"}}}},"ProjectionExpression":"price"{more}}}"#
        )
    };
    let by_status = r#"{"TableName":"Orders","IndexName":"byStatus","ProjectionExpression":"price"}"#;
    for (operation, body, attributes, allowed) in [
        (Query, query(""), &["tenant", "price"][..], false),
        (Query, query(r#","Select":"SPECIFIC_ATTRIBUTES""#), whole, true),
        (Scan, r#"{"TableName":"Orders","ProjectionExpression":"price"}"#.to_owned(), &["price"], false),
        (Scan, r#"{"TableName":"Orders","Select":"COUNT"}"#.to_owned(), &["price"], false),
        (Scan, r#"{"TableName":"Orders","AttributesToGet":["price"]}"#.to_owned(), whole, true),
        (Scan, by_status.to_owned(), whole, false),
        (Scan, by_status.to_owned(), with_index, true),
        (Scan, by_status.to_owned(), &["price", "status"], false),
        (Scan, by_status.replace("byStatus", "none"), with_index, false),
        (Scan, r#"{"TableName":"Strange","Select":"COUNT"}"#.to_owned(), whole, false),
        (ExecuteStatement, statement("SELECT price FROM Orders WHERE tenant='a'"), &["tenant", "price"], false),
        (ExecuteStatement, statement("SELECT price FROM Orders WHERE tenant='a'"), whole, true),
        (ExecuteStatement, statement("SELECT price FROM Orders.byStatus WHERE status='a'"), whole, false),
        (ExecuteStatement, statement("SELECT price FROM Orders.byStatus WHERE status='a'"), with_index, true),
        // One item is no page, and its key stands in the request.
        (
            GetItem,
            r#"{"TableName":"Orders","Key":{"tenant":{"S":"a"},"id":{"S":"1"}},"ProjectionExpression":"price"}"#
                .to_owned(),
            whole,
            true,
        ),
    ] {
        assert_eq!(
            is_allowed(&granted(&[], attributes), operation, &body),
            allowed,
            "{operation} {body} {attributes:?}"
        );
    }
}

/// Each of these is, or may be, read by a scan: its pages would end with keys of others.
#[test]
fn a_statement_that_names_its_partition_in_two_ways_is_not_limited_to_it() {
    let rights = granted(&["alice", "5"], &[]);
    let no_scans = rights_of(
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"dynamodb:*","Resource":"*"},
            {"Effect":"Deny","Action":"dynamodb:PartiQLSelect","Resource":"*","Condition":{"Bool":{"dynamodb:FullTableScan":"true"}}}]}"#,
    );
    for (condition, allowed) in [
        ("tenant='alice'", true),
        ("tenant='alice' AND tenant='alice'", true),
        ("tenant='alice' OR tenant IN ['5','alice']", true),
        ("tenant='alice' AND id > 'a' AND id < 'b'", true),
        ("tenant='alice' AND (id='1' OR price=2)", true),
        ("(tenant='alice' OR tenant='5') AND (price=1 OR price=2)", true),
        ("tenant='alice' AND tenant='5'", false),
        ("tenant='alice' AND tenant IN ['alice','5']", false),
        ("tenant='alice' AND (tenant='alice' OR price=1)", false),
        ("tenant='alice' AND tenant<>'bob'", false),
        ("tenant='alice' AND size(tenant)>1", false),
        ("tenant='alice' OR price=1", false),
        ("tenant='alice' OR tenant>'a'", false),
        ("NOT tenant='alice'", false),
        ("tenant=5", false),
        ("tenant='alice' OR tenant=5", false),
        ("tenant='alice' AND id=5 AND id=6", false),
        ("tenant='alice' AND id IN [5]", false),
    ] {
        for from in ["SELECT * FROM Orders", "SELECT price FROM \"Orders\""] {
            let body = statement(&format!("{from} WHERE {condition}"));
            assert_eq!(is_allowed(&rights, ExecuteStatement, &body), allowed, "{body}");
            assert_eq!(is_allowed(&no_scans, ExecuteStatement, &body), allowed, "{body}");
        }
    }
    let foreign = statement("SELECT * FROM Orders WHERE tenant='alice' OR tenant='bob'");
    assert!(
        !is_allowed(&rights, ExecuteStatement, &foreign) && is_allowed(&no_scans, ExecuteStatement, &foreign)
    );
    let of_two = statement("SELECT * FROM Orders.byShop WHERE shop='alice' AND city='alice'");
    assert!(!is_allowed(&rights, ExecuteStatement, &of_two));
}
