//! The promise: no read goes behind a write that was acknowledged before it began. Rows of the catalogue of wrong answers.

use std::time::Duration;

use nearside::model::Operation::{DeleteItem, GetItem, PutItem, Query, UpdateItem};

use crate::harness::{Node, get, item, put, strong};

#[tokio::test(start_paused = true)]
async fn a_write_is_sent_once_and_its_image_is_the_next_hit() {
    let mut node = Node::start().await;
    let write =
        node.begin("PutItem", r#"{"TableName":"Orders","Item":{"n":{"N":"1.50"},"id":{"S":"a"}}}"#).await;
    node.upstream.next(PutItem).await.answer("{}");
    assert_eq!(write.await.source, "write");
    let read = node.call("GetItem", &get("a")).await;
    assert_eq!(read.source, "hit");
    assert_eq!(read.body, r#"{"Item":{"id":{"S":"a"},"n":{"N":"1.5"}}}"#, "numbers as a read gives them");
    let write = node.begin("DeleteItem", &get("a")).await;
    node.upstream.next(DeleteItem).await.answer("{}");
    write.await;
    let read = node.call("GetItem", &get("a")).await;
    assert_eq!((read.source.as_str(), read.body.as_str()), ("hit", "{}"));
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn an_update_asks_for_the_new_item_and_hides_it_from_a_client_that_did_not() {
    let mut node = Node::start().await;
    let update = r#"{"TableName":"Orders","Key":{"id":{"S":"a"}},"UpdateExpression":"SET n = :n","ExpressionAttributeValues":{":n":{"N":"2"}}}"#;
    let write = node.begin("UpdateItem", update).await;
    let call = node.upstream.next(UpdateItem).await;
    assert!(call.body().contains(r#""ReturnValues":"ALL_NEW""#), "{}", call.body());
    call.answer(r#"{"Attributes":{"id":{"S":"a"},"n":{"N":"2"}}}"#);
    assert_eq!(write.await.body, "{}");
    let read = node.call("GetItem", &get("a")).await;
    assert_eq!((read.source.as_str(), read.body), ("hit", item("a", 2)));
}

#[tokio::test(start_paused = true)]
async fn an_update_whose_client_asks_for_less_than_the_new_item_only_invalidates() {
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    let update = r#"{"TableName":"Orders","Key":{"id":{"S":"a"}},"UpdateExpression":"SET n = :n","ExpressionAttributeValues":{":n":{"N":"2"}},"ReturnValues":"UPDATED_NEW"}"#;
    let write = node.begin("UpdateItem", update).await;
    let call = node.upstream.next(UpdateItem).await;
    assert!(call.body().contains(r#""ReturnValues":"UPDATED_NEW""#), "{}", call.body());
    call.answer(r#"{"Attributes":{"n":{"N":"2"}}}"#);
    assert_eq!(write.await.body, r#"{"Attributes":{"n":{"N":"2"}}}"#);
    node.read_from_upstream("a", 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_fill_that_began_before_a_write_is_not_stored() {
    let mut node = Node::start().await;
    let read = node.begin("GetItem", &get("a")).await;
    let fill = node.upstream.next(GetItem).await;
    let write = node.begin("PutItem", &put("a", 2)).await;
    node.upstream.next(PutItem).await.answer("{}");
    write.await;
    fill.answer(&item("a", 1));
    assert_eq!(read.await.body, item("a", 1), "the read began before the write was acknowledged");
    let after = node.begin("GetItem", &get("a")).await;
    match after.ready().await {
        Some(hit) => assert_eq!(hit.body, item("a", 2)),
        None => {
            node.upstream.next(GetItem).await.answer(&item("a", 2));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_comes_after_a_write_does_not_join_an_older_fill() {
    let mut node = Node::start().await;
    let old = node.begin("GetItem", &get("a")).await;
    let fill = node.upstream.next(GetItem).await;
    let write = node.begin("PutItem", &put("a", 2)).await;
    node.upstream.next(PutItem).await.refuse("ConditionalCheckFailedException");
    write.await;
    let new = node.begin("GetItem", &get("a")).await;
    node.upstream.next(GetItem).await.answer(&item("a", 2));
    fill.answer(&item("a", 1));
    assert_eq!(new.await.body, item("a", 2));
    assert_eq!(old.await.body, item("a", 1));
}

#[tokio::test(start_paused = true)]
async fn a_failed_condition_invalidates_all_the_same() {
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    let write = node.begin("PutItem", &put("a", 2)).await;
    node.upstream.next(PutItem).await.refuse("ConditionalCheckFailedException");
    assert_eq!(write.await.status, 400);
    node.read_from_upstream("a", 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_does_not_stop_its_write() {
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    let write = node.begin("PutItem", &put("a", 2)).await;
    let call = node.upstream.next(PutItem).await;
    write.leave().await;
    call.answer("{}");
    node.settle().await;
    let read = node.call("GetItem", &get("a")).await;
    assert_eq!(read.body, item("a", 2));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_keeps_the_key_out_of_the_cache_until_it_can_no_more_land() {
    for unknown in ["lost", "500", "undecodable"] {
        let mut node = Node::start().await;
        node.read_from_upstream("a", 1).await;
        let update =
            r#"{"TableName":"Orders","Key":{"id":{"S":"a"}},"AttributeUpdates":{"n":{"Value":{"N":"2"}}}}"#;
        let write = node.begin("UpdateItem", update).await;
        let call = node.upstream.next(UpdateItem).await;
        match unknown {
            "lost" => call.lose(),
            "500" => call.fail(500),
            _ => call.answer("{\"Attributes\":"),
        }
        assert_eq!(write.await.status, 500, "{unknown}");
        // Twice: what is read while the write may still land is served, and not stored.
        node.read_from_upstream("a", 1).await;
        node.read_from_upstream("a", 1).await;
        node.wait(Duration::from_secs(31)).await;
        node.read_from_upstream("a", 2).await;
        assert_eq!(node.call("GetItem", &get("a")).await.source, "hit", "{unknown}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_consistent_read_passes_and_makes_the_cache_fresher() {
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    let read = node.begin("GetItem", &strong("a")).await;
    let call = node.upstream.next(GetItem).await;
    assert!(call.body().contains(r#""ConsistentRead":true"#));
    call.answer(&item("a", 2));
    let read = read.await;
    assert_eq!((read.source.as_str(), read.body), ("bypass", item("a", 2)));
    node.read_from_upstream("a", 2).await;
}

#[tokio::test(start_paused = true)]
async fn every_spelling_of_a_key_and_of_a_table_is_one() {
    let mut node = Node::start().await;
    node.script.describe("Numbers", &[("id", "N", "HASH")]);
    let read = node.begin("GetItem", r#"{"TableName":"Numbers","Key":{"id":{"N":"1"}}}"#).await;
    node.upstream.next(GetItem).await.answer(r#"{"Item":{"id":{"N":"1"}}}"#);
    read.await;
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/Numbers";
    for spelling in ["1.0", "1e0", "+1"] {
        let read = node
            .call("GetItem", &format!(r#"{{"TableName":"{arn}","Key":{{"id":{{"N":"{spelling}"}}}}}}"#))
            .await;
        assert_eq!(read.source, "hit", "{spelling}");
    }
    let write = node
        .begin(
            "PutItem",
            &format!(r#"{{"TableName":"{arn}","Item":{{"id":{{"N":"10e-1"}},"n":{{"N":"2"}}}}}}"#),
        )
        .await;
    node.upstream.next(PutItem).await.answer("{}");
    write.await;
    let read = node.call("GetItem", r#"{"TableName":"Numbers","Key":{"id":{"N":"1"}}}"#).await;
    assert_eq!(read.body, r#"{"Item":{"id":{"N":"1"},"n":{"N":"2"}}}"#);
}

#[tokio::test(start_paused = true)]
async fn two_writes_that_overlap_leave_nothing_to_hit() {
    let mut node = Node::start().await;
    let first = node.begin("PutItem", &put("a", 1)).await;
    let first_call = node.upstream.next(PutItem).await;
    let second = node.begin("PutItem", &put("a", 2)).await;
    let second_call = node.upstream.next(PutItem).await;
    second_call.answer("{}");
    second.await;
    first_call.answer("{}");
    first.await;
    // The upstream may have taken them in either order.
    node.read_from_upstream("a", 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_not_sent_leaves_what_is_cached() {
    let query = r#"{"TableName":"Orders","KeyConditionExpression":"id = :id","ExpressionAttributeValues":{":id":{"S":"a"}}}"#;
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    let page = node.begin("Query", query).await;
    node.upstream.next(Query).await.answer(r#"{"Count":0,"Items":[],"ScannedCount":0}"#);
    page.await;
    let write = node.begin("PutItem", &put("a", 2)).await;
    node.upstream.next(PutItem).await.hold_back();
    assert_eq!(write.await.status, 503);
    assert_eq!(node.call("GetItem", &get("a")).await.body, item("a", 1));
    assert_eq!(node.call("Query", query).await.source, "hit");
}
