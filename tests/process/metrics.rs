//! What monitors read of a program that has served something.

use crate::client::{Client, Nearside};

fn create(client: &mut Client, table: &str) {
    let body = format!(
        r#"{{"TableName":"{table}","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{{"AttributeName":"id","AttributeType":"S"}}],
            "KeySchema":[{{"AttributeName":"id","KeyType":"HASH"}}]}}"#
    );
    client.must("CreateTable", &body);
}

fn key(table: &str) -> String {
    format!(r#"{{"TableName":"{table}","Key":{{"id":{{"S":"a"}}}}}}"#)
}

#[test]
fn a_batch_counts_hits_and_misses_by_table() {
    let nearside = Nearside::start(&["--in-memory"]);
    let mut client = nearside.connect();
    ["Left", "Right"].iter().for_each(|table| create(&mut client, table));
    client.must("GetItem", &key("Right"));
    let keys = |ids: &[&str]| {
        ids.iter().map(|id| format!(r#"{{"id":{{"S":"{id}"}}}}"#)).collect::<Vec<_>>().join(",")
    };
    let batch = format!(
        r#"{{"RequestItems":{{"Left":{{"Keys":[{}]}},"Right":{{"Keys":[{}]}}}}}}"#,
        keys(&["a", "b"]),
        keys(&["a"])
    );
    client.must("BatchGetItem", &batch);
    client.must("BatchGetItem", &batch);
    let count = |name: &str, table: &str| {
        nearside.metric(&format!("nearside_item_{name}_total{{table=\"{table}\"}}"))
    };
    assert_eq!((count("misses", "Left"), count("hits", "Left")), (2, 2));
    assert_eq!((count("misses", "Right"), count("hits", "Right")), (1, 2));
}

#[test]
fn a_deleted_table_is_shown_no_more_and_one_that_never_was_is_not_shown_at_all() {
    let nearside = Nearside::start(&["--in-memory"]);
    let mut client = nearside.connect();
    create(&mut client, "Gone");
    client.must("GetItem", &key("Gone"));
    client.must("Scan", r#"{"TableName":"Gone"}"#);
    let (status, _) = client.call("GetItem", r#"{"TableName":"Gone","Key":{}}"#).unwrap();
    assert_eq!(status, 400);
    let errors = r#"nearside_table_errors_total{code="ValidationException",table="Gone"}"#;
    assert_eq!(nearside.metric(errors), 1);
    let latencies = r#"nearside_table_request_duration_seconds_count{source="miss",table="Gone"}"#;
    assert_eq!(nearside.metric(latencies), 2);
    client.must("DeleteTable", r#"{"TableName":"Gone"}"#);
    for operation in ["GetItem", "PutItem", "DeleteItem", "DescribeTable"] {
        client.call(
            operation,
            &key("Gone").replace("Key", if operation == "PutItem" { "Item" } else { "Key" }),
        );
        client.call(operation, &key("Never"));
    }
    let metrics = nearside.metrics();
    assert!(!metrics.contains("\"Gone\"") && !metrics.contains("\"Never\""), "{metrics}");
    create(&mut client, "Gone");
    client.must("GetItem", &key("Gone"));
    assert!(nearside.metrics().contains("\"Gone\""));
}

#[test]
fn every_page_metric_keeps_to_the_bound_of_tables() {
    let nearside = Nearside::start(&["--in-memory"]);
    let mut client = nearside.connect();
    for number in 0..110 {
        let table = format!("T{number}00");
        create(&mut client, &table);
        client.must("Scan", &format!(r#"{{"TableName":"{table}"}}"#));
    }
    let metrics = nearside.metrics();
    for name in ["nearside_page_misses_total{", "nearside_item_hits_total{"] {
        assert_eq!(metrics.lines().filter(|line| line.starts_with(name)).count(), 101, "{name}");
    }
    assert_eq!(nearside.metric(r#"nearside_page_misses_total{table="other",index="other"}"#), 10);
}

#[test]
fn units_are_counted_that_hits_save_and_the_backend_charges() {
    let nearside = Nearside::start(&["--in-memory"]);
    let mut client = nearside.connect();
    create(&mut client, "Saved");
    let item = format!(
        r#"{{"TableName":"Saved","Item":{{"id":{{"S":"a"}},"text":{{"S":"{}"}}}}}}"#,
        "x".repeat(4_500)
    );
    client.must("PutItem", &item);
    client.must("GetItem", &key("Saved").replace("\"Key\"", "\"ConsistentRead\":true,\"Key\""));
    (0..3).for_each(|_| drop(client.must("GetItem", &key("Saved"))));
    let units = |name: &str| nearside.metric(&format!("nearside_{name}_total{{table=\"Saved\",index=\"\"}}"));
    // Two blocks of 4 KB are one unit for an eventually consistent read, and two for a strong one.
    assert_eq!((units("read_units_saved"), units("read_units_spent")), (3, 2));
    assert_eq!((units("write_units_spent"), units("units_estimated")), (5, 0));
}
