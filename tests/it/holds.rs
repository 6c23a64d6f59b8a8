//! Writes of unknown outcome whose items nobody can name: nothing that they may change is kept while they may still land.

use std::time::Duration;

use nearside::model::Operation::{self, DeleteTable, ExecuteStatement, GetItem, PutItem, Query};

use crate::harness::{Node, get, item, put};

/// The default of `unknown_write_window`, and a little more.
const WINDOW: Duration = Duration::from_millis(30_100);

/// Begins a change and loses its answer.
async fn lose(node: &mut Node, operation: Operation, body: &str) {
    let change = node.begin(&operation.to_string(), body).await;
    node.upstream.next(operation).await.lose();
    assert_eq!(change.await.status, 500);
}

/// Reads an item twice, and finds it in memory the second time or not.
async fn assert_kept(node: &mut Node, body: &str, is_kept: bool) {
    let id = body.split(r#"{"S":""#).nth(1).unwrap().split('"').next().unwrap();
    for is_second in [false, true] {
        let read = node.begin("GetItem", body).await;
        let is_hit = is_second && is_kept;
        if !is_hit {
            node.upstream.next(GetItem).await.answer(&item(id, 1));
        }
        assert_eq!(read.await.source, if is_hit { "hit" } else { "miss" });
    }
}

#[tokio::test(start_paused = true)]
async fn a_scope_of_unknown_outcome_is_not_kept_until_the_window_is_over() {
    for (operation, body) in [
        (ExecuteStatement, r#"{"Statement":"DELETE FROM \"Orders\" WHERE id = 'a' AND size(n) = 1"}"#),
        (ExecuteStatement, r#"{"Statement":"MERGE INTO something"}"#),
        (PutItem, r#"{"TableName":"Orders","Item":{"id":{"N":"1"}}}"#),
        (DeleteTable, r#"{"TableName":"Orders"}"#),
    ] {
        let mut node = Node::start().await;
        node.read_from_upstream("a", 1).await;
        lose(&mut node, operation, body).await;
        assert_kept(&mut node, &get("a"), false).await;
        node.wait(WINDOW / 2).await;
        assert_kept(&mut node, &get("a"), false).await;
        node.wait(WINDOW / 2).await;
        assert_kept(&mut node, &get("a"), true).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_lands_within_the_window_is_seen_after_it() {
    let mut node = Node::start().await;
    lose(&mut node, ExecuteStatement, r#"{"Statement":"MERGE INTO something"}"#).await;
    node.wait(WINDOW / 2).await;
    let read = node.begin("GetItem", &get("a")).await;
    let before = node.upstream.next(GetItem).await;
    node.wait(WINDOW / 2).await;
    // It was sent before the write landed, and answers when nothing can land any more.
    before.answer(&item("a", 1));
    read.await;
    node.read_from_upstream("a", 2).await;
    assert_eq!(node.call("GetItem", &get("a")).await.body, item("a", 2));
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_used_for_the_first_time_within_the_window_is_not_kept_either() {
    let mut node = Node::start().await;
    node.script.describe("Stock", &[("id", "S", "HASH")]);
    lose(&mut node, ExecuteStatement, r#"{"Statement":"UPDATE \"Orders\" SET n = 1"}"#).await;
    assert_kept(&mut node, &get("a").replace("Orders", "Stock"), true).await;
    assert_kept(&mut node, &get("a"), false).await;
}

#[tokio::test(start_paused = true)]
async fn a_write_of_one_item_is_not_kept_in_a_held_table() {
    let mut node = Node::start().await;
    lose(&mut node, ExecuteStatement, r#"{"Statement":"UPDATE \"Orders\" SET n = 1"}"#).await;
    let write = node.begin("PutItem", &put("a", 1)).await;
    node.upstream.next(PutItem).await.answer("{}");
    write.await;
    assert_kept(&mut node, &get("a"), false).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_that_was_not_sent_holds_nothing() {
    let mut node = Node::start().await;
    let change = node.begin("ExecuteStatement", r#"{"Statement":"MERGE INTO something"}"#).await;
    node.upstream.next(ExecuteStatement).await.hold_back();
    assert_eq!(change.await.status, 503);
    assert_kept(&mut node, &get("a"), true).await;
}

#[tokio::test(start_paused = true)]
async fn the_window_is_as_long_as_it_is_set() {
    let mut node = Node::start().await;
    node.set_unknown_write_window(Duration::from_secs(5));
    lose(&mut node, ExecuteStatement, r#"{"Statement":"MERGE INTO something"}"#).await;
    lose(&mut node, PutItem, &put("b", 1)).await;
    assert_kept(&mut node, &get("a"), false).await;
    node.wait(Duration::from_millis(5_100)).await;
    assert_kept(&mut node, &get("a"), true).await;
    assert_kept(&mut node, &get("b"), true).await;
}

const BY_COLOUR: &str = r#"{"Table":{"TableName":"Orders","TableId":"1","AttributeDefinitions":[
    {"AttributeName":"id","AttributeType":"S"},{"AttributeName":"c","AttributeType":"S"}],
    "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],"GlobalSecondaryIndexes":[{"IndexName":"byColour",
    "KeySchema":[{"AttributeName":"c","KeyType":"HASH"}],"Projection":{"ProjectionType":"KEYS_ONLY"}}]}}"#;

fn query_colour(colour: &str) -> String {
    format!(
        r#"{{"TableName":"Orders","IndexName":"byColour","KeyConditionExpression":"c = :c",
        "ExpressionAttributeValues":{{":c":{{"S":"{colour}"}}}}}}"#
    )
}

/// Has the page of a partition of the index cached.
async fn cache_colour(node: &mut Node, colour: &str) {
    let read = node.begin("Query", &query_colour(colour)).await;
    node.upstream.next(Query).await.answer(r#"{"Count":0,"Items":[],"ScannedCount":0}"#);
    read.await;
    assert_eq!(node.call("Query", &query_colour(colour)).await.source, "hit");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_a_client_has_tried_before_says_nothing_of_where_the_item_was() {
    let body = r#"{"TableName":"Orders","Item":{"id":{"S":"a"},"c":{"S":"red"}},"ReturnValues":"ALL_OLD"}"#;
    for (is_again, source) in [(false, "hit"), (true, "miss")] {
        let mut node = Node::start().await;
        node.script.describe_as("Orders", BY_COLOUR.to_owned());
        let first = node.begin("Query", &query_colour("blue")).await;
        node.upstream.next(Query).await.answer(r#"{"Count":0,"Items":[],"ScannedCount":0}"#);
        first.await;
        node.settle_writes().await;
        cache_colour(&mut node, "blue").await;
        let write = match is_again {
            true => node.spawn_again(PutItem, body),
            false => node.spawn("PutItem", body),
        };
        node.settle().await;
        // What the attempt before has left: the item was blue before that.
        let before = r#"{"Attributes":{"id":{"S":"a"},"c":{"S":"red"}}}"#;
        node.upstream.next(PutItem).await.answer(before);
        write.await;
        let read = node.begin("Query", &query_colour("blue")).await;
        if let Some(call) = node.upstream.try_next(Query) {
            call.answer(r#"{"Count":0,"Items":[],"ScannedCount":0}"#);
        }
        assert_eq!(read.await.source, source);
    }
}
