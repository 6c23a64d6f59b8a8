//! Reads past the cache: strongly consistent where this node has written within the last minute, else in the client's own words.

use std::time::Duration;

use nearside::cache::{FillMode, ReadPolicy};
use nearside::engine::TablePolicy;
use nearside::model::Operation::{self, BatchGetItem, ExecuteStatement, GetItem, PutItem, Query, Scan};

use crate::harness::{Node, get, put};

const QUERY: &str = r#"{"TableName":"Orders","KeyConditionExpression":"id = :id","ExpressionAttributeValues":{":id":{"S":"a"}}}"#;

/// A policy that caches nothing.
fn off() -> TablePolicy {
    let items = ReadPolicy {
        ttl: None,
        negative_ttl: None,
        fill: FillMode::Adaptive,
        item_bytes_max: 0,
        stale_if_error: Duration::ZERO,
    };
    TablePolicy { items: None, pages: None, ..TablePolicy::items_only(items) }
}

async fn write(node: &mut Node, table: &str) {
    let write = node.begin("PutItem", &put("a", 1).replace("Orders", table)).await;
    node.upstream.next(PutItem).await.answer("{}");
    write.await;
}

/// Sends a read and gives the body that went upstream.
async fn sent(node: &mut Node, operation: Operation, body: &str) -> String {
    let read = node.begin(&operation.to_string(), body).await;
    let call = node.upstream.next(operation).await;
    let sent = call.body();
    call.answer("{}");
    assert_eq!(read.await.source, "bypass");
    sent
}

fn is_strong(body: &str) -> bool {
    body.contains(r#""ConsistentRead":true"#)
}

#[tokio::test(start_paused = true)]
async fn reads_of_a_table_that_is_not_cached_are_strong_for_a_minute_after_a_write() {
    let mut node = Node::start_with(off).await;
    node.settle_writes().await;
    let statement = r#"{"Statement":"SELECT * FROM \"Orders\" WHERE id='a'"}"#;
    let reads = [
        (GetItem, get("a")),
        (Query, QUERY.to_owned()),
        (Scan, r#"{"TableName":"Orders"}"#.to_owned()),
        (ExecuteStatement, statement.to_owned()),
    ];
    for (operation, body) in &reads {
        assert_eq!(sent(&mut node, *operation, body).await, *body, "word for word before any write");
    }
    write(&mut node, "Orders").await;
    for (operation, body) in &reads {
        assert!(is_strong(&sent(&mut node, *operation, body).await), "{operation}");
    }
    let eventual = get("a").replace("}}}", r#"}},"ConsistentRead":false}"#);
    assert!(is_strong(&sent(&mut node, GetItem, &eventual).await), "nobody asks to go behind a write");
    node.settle_writes().await;
    for (operation, body) in &reads {
        assert_eq!(sent(&mut node, *operation, body).await, *body, "no replica lags so long");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_strongly_stays_as_it_is() {
    let mut node = Node::start_with(off).await;
    node.settle_writes().await;
    write(&mut node, "Orders").await;
    for (operation, body) in [
        (Query, QUERY.replace("{\"TableName\"", "{\"IndexName\":\"byTime\",\"TableName\"")),
        (Scan, r#"{"TableName":"Orders","IndexName":7}"#.to_owned()),
        (GetItem, get("a").replace("}}}", r#"}},"ConsistentRead":"yes"}"#)),
        (ExecuteStatement, r#"{"Statement":"SELECT * FROM \"Orders\".\"byTime\" WHERE at=7"}"#.to_owned()),
    ] {
        assert_eq!(sent(&mut node, operation, &body).await, body);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_reads_those_of_its_tables_strongly_that_were_written() {
    let mut node = Node::start_with(off).await;
    node.script.describe("Stock", &[("id", "S", "HASH")]);
    node.settle_writes().await;
    let part = r#"{"Keys":[{"id":{"S":"a"}}]}"#;
    let body = format!(r#"{{"RequestItems":{{"Orders":{part},"Stock":{part}}}}}"#);
    // Both become known.
    write(&mut node, "Stock").await;
    write(&mut node, "Orders").await;
    node.settle_writes().await;
    assert_eq!(sent(&mut node, BatchGetItem, &body).await, body);
    write(&mut node, "Stock").await;
    let strong = r#"{"Keys":[{"id":{"S":"a"}}],"ConsistentRead":true}"#;
    let expected = format!(r#"{{"RequestItems":{{"Orders":{part},"Stock":{strong}}}}}"#);
    assert_eq!(sent(&mut node, BatchGetItem, &body).await, expected);
}

#[tokio::test(start_paused = true)]
async fn reads_of_a_table_that_cannot_be_described_are_strong_after_a_write() {
    let mut node = Node::start().await;
    node.settle_writes().await;
    let read = get("a").replace("Orders", "Secrets");
    assert_eq!(sent(&mut node, GetItem, &read).await, read);
    write(&mut node, "Secrets").await;
    assert!(is_strong(&sent(&mut node, GetItem, &read).await));
}

#[tokio::test(start_paused = true)]
async fn a_client_hears_what_is_wrong_with_its_own_words() {
    let mut node = Node::start_with(off).await;
    let read = node.begin("GetItem", &get("a")).await;
    let first = node.upstream.next(GetItem).await;
    assert!(is_strong(&first.body()));
    first.refuse("ValidationException");
    node.settle().await;
    let second = node.upstream.next(GetItem).await;
    assert_eq!(second.body(), get("a"));
    second.refuse("ValidationException");
    assert_eq!(read.await.status, 400);
    // Throttling says nothing about the words.
    let read = node.begin("GetItem", &get("a")).await;
    node.upstream.next(GetItem).await.refuse("ThrottlingException");
    assert_eq!(read.await.status, 400);
    node.upstream.assert_none();
}
