//! BatchGetItem and the writes of many items.

use nearside::model::Operation::{BatchGetItem, BatchWriteItem, GetItem, TransactWriteItems};

use crate::harness::{Node, get, item};

fn batch(ids: &[&str]) -> String {
    let keys: Vec<_> = ids.iter().map(|id| format!(r#"{{"id":{{"S":"{id}"}}}}"#)).collect();
    format!(r#"{{"RequestItems":{{"Orders":{{"Keys":[{}]}}}}}}"#, keys.join(","))
}

#[tokio::test(start_paused = true)]
async fn hits_are_taken_out_and_the_rest_is_fetched_in_one_call() {
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    let read = node.begin("BatchGetItem", &batch(&["a", "b", "c"])).await;
    let call = node.upstream.next(BatchGetItem).await;
    assert!(!call.body().contains(r#""S":"a""#), "{}", call.body());
    call.answer(r#"{"Responses":{"Orders":[{"n":{"N":"2"},"id":{"S":"c"}}]},"UnprocessedKeys":{}}"#);
    let read = read.await;
    assert_eq!(read.source, "hit=1,miss=2");
    assert_eq!(
        read.body,
        r#"{"Responses":{"Orders":[{"id":{"S":"a"},"n":{"N":"1"}},{"id":{"S":"c"},"n":{"N":"2"}}]},"UnprocessedKeys":{}}"#
    );
    assert_eq!(node.call("GetItem", &get("c")).await.body, item("c", 2));
    assert_eq!(node.call("GetItem", &get("b")).await.body, "{}", "what was not found is known to be absent");
    assert_eq!(node.call("BatchGetItem", &batch(&["c", "b", "a"])).await.source, "hit=3,miss=0");
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn an_unprocessed_key_is_no_answer() {
    let mut node = Node::start().await;
    let read = node.begin("BatchGetItem", &batch(&["a", "b"])).await;
    node.upstream.next(BatchGetItem).await.answer(
        r#"{"Responses":{"Orders":[{"id":{"S":"a"}}]},"UnprocessedKeys":{"Orders":{"Keys":[{"id":{"S":"b"}}]}}}"#,
    );
    let read = read.await;
    assert!(
        read.body.ends_with(r#""UnprocessedKeys":{"Orders":{"Keys":[{"id":{"S":"b"}}]}}}"#),
        "{}",
        read.body
    );
    node.read_from_upstream("b", 1).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_ends_at_16_mb_as_the_upstream_counts_them() {
    let mut node = Node::start().await;
    let ids: Vec<String> = (10..51).map(|number| format!("k{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    // 40 of these are 15,999,840 bytes, and more as JSON.
    let long = "x".repeat(399_990);
    let items: Vec<_> =
        ids.iter().map(|id| format!(r#"{{"id":{{"S":"{id}"}},"v":{{"S":"{long}"}}}}"#)).collect();
    let answer = |items: &[String]| {
        format!(r#"{{"Responses":{{"Orders":[{}]}},"UnprocessedKeys":{{}}}}"#, items.join(","))
    };
    let read = node.begin("BatchGetItem", &batch(&ids)).await;
    node.upstream.next(BatchGetItem).await.answer(&answer(&items));
    let told = read.await.body;
    assert_eq!(told.matches(&long).count(), 40);
    assert!(told.ends_with(r#""UnprocessedKeys":{"Orders":{"Keys":[{"id":{"S":"k50"}}]}}}"#));
    let read = node.begin("BatchGetItem", &batch(&ids[..40])).await;
    node.upstream.next(BatchGetItem).await.answer(&answer(&items[..40]));
    assert!(read.await.body.ends_with(r#""UnprocessedKeys":{}}"#));
}

#[tokio::test(start_paused = true)]
async fn a_batch_joins_a_read_that_is_under_way() {
    let mut node = Node::start().await;
    let single = node.begin("GetItem", &get("a")).await;
    let fill = node.upstream.next(GetItem).await;
    let read = node.begin("BatchGetItem", &batch(&["a", "b"])).await;
    let call = node.upstream.next(BatchGetItem).await;
    assert!(!call.body().contains(r#""S":"a""#), "{}", call.body());
    call.answer(r#"{"Responses":{"Orders":[]},"UnprocessedKeys":{}}"#);
    fill.answer(&item("a", 1));
    single.await;
    assert!(read.await.body.contains(r#"{"id":{"S":"a"},"n":{"N":"1"}}"#));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_mixes_two_kinds_of_projection_over_its_tables_is_the_upstreams_to_refuse() {
    let mut node = Node::start().await;
    node.settle_writes().await;
    node.read_from_upstream("a", 1).await;
    let part = |table: &str, wish: &str| format!(r#""{table}":{{"Keys":[{{"id":{{"S":"a"}}}}],{wish}}}"#);
    let orders = part("Orders", r#""ProjectionExpression":"n""#);
    let body = format!(r#"{{"RequestItems":{{{orders},{}}}}}"#, part("Stock", r#""AttributesToGet":["n"]"#));
    let read = node.begin("BatchGetItem", &body).await;
    let call = node.upstream.next(BatchGetItem).await;
    assert_eq!(call.body(), body, "word for word");
    call.refuse("ValidationException");
    assert_eq!(read.await.source, "bypass");
}

#[tokio::test(start_paused = true)]
async fn a_batch_with_a_key_twice_is_the_upstreams_to_refuse() {
    let mut node = Node::start().await;
    node.settle_writes().await;
    node.read_from_upstream("a", 1).await;
    let read = node.begin("BatchGetItem", &batch(&["a", "a"])).await;
    let call = node.upstream.next(BatchGetItem).await;
    assert_eq!(call.body(), batch(&["a", "a"]), "word for word");
    call.refuse("ValidationException");
    let read = read.await;
    assert_eq!((read.status, read.source.as_str()), (400, "bypass"));
}

#[tokio::test(start_paused = true)]
async fn a_batch_write_invalidates_every_key_processed_or_not() {
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    node.read_from_upstream("b", 1).await;
    let write = r#"{"RequestItems":{"Orders":[{"PutRequest":{"Item":{"id":{"S":"a"}}}},{"DeleteRequest":{"Key":{"id":{"S":"b"}}}}]}}"#;
    let written = node.begin("BatchWriteItem", write).await;
    let call = node.upstream.next(BatchWriteItem).await;
    call.answer(r#"{"UnprocessedItems":{"Orders":[{"DeleteRequest":{"Key":{"id":{"S":"b"}}}}]}}"#);
    assert!(written.await.body.contains("UnprocessedItems"));
    node.read_from_upstream("a", 2).await;
    node.read_from_upstream("b", 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_transaction_invalidates_its_keys() {
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    let write = r#"{"TransactItems":[{"Update":{"TableName":"Orders","Key":{"id":{"S":"a"}},"UpdateExpression":"SET n = n"}}]}"#;
    let written = node.begin("TransactWriteItems", write).await;
    node.upstream.next(TransactWriteItems).await.refuse("TransactionCanceledException");
    written.await;
    node.read_from_upstream("a", 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_write_whose_key_cannot_be_read_invalidates_the_table() {
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    let write = r#"{"RequestItems":{"Orders":[{"PutRequest":{"Item":{"id":{"S":"b"}}}},{"Strange":{}}]}}"#;
    let written = node.begin("BatchWriteItem", write).await;
    node.upstream.next(BatchWriteItem).await.answer("{}");
    written.await;
    node.read_from_upstream("a", 2).await;
}
