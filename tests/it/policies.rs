//! A policy that changes under a request: what the request brings is not kept by the old one.

use std::time::Duration;

use nearside::engine::TablePolicy;
use nearside::model::Operation;

use crate::harness::{Node, get, item, policy, put};

const QUERY: &str = r#"{"TableName":"Orders","KeyConditionExpression":"id = :id","ExpressionAttributeValues":{":id":{"S":"a"}}}"#;
const PAGE: &str = r#"{"Count":0,"Items":[],"ScannedCount":0}"#;

/// As [`policy`], for a short time.
fn brief() -> TablePolicy {
    let mut brief = policy();
    let ttl = Some(Duration::from_secs(10));
    brief.items.as_mut().unwrap().ttl = ttl;
    brief.pages.as_mut().unwrap().ttl = ttl;
    brief
}

/// A node of which the first request ends by [`policy`] and every other one by [`brief`].
async fn start() -> Node {
    Node::start_with_change(policy, brief).await
}

/// The node keeps the item as long as the new policy says.
async fn assert_kept_briefly(node: &mut Node) {
    node.read_from_upstream("a", 2).await;
    assert_eq!(node.call("GetItem", &get("a")).await.source, "hit");
    node.wait(Duration::from_secs(11)).await;
    node.read_from_upstream("a", 3).await;
}

#[tokio::test(start_paused = true)]
async fn an_item_that_was_read_by_the_old_policy_is_not_kept() {
    let mut node = start().await;
    node.read_from_upstream("a", 1).await;
    assert_kept_briefly(&mut node).await;
}

#[tokio::test(start_paused = true)]
async fn an_item_of_a_batch_that_was_read_by_the_old_policy_is_not_kept() {
    let mut node = start().await;
    let batch =
        node.begin("BatchGetItem", r#"{"RequestItems":{"Orders":{"Keys":[{"id":{"S":"a"}}]}}}"#).await;
    let answer = r#"{"Responses":{"Orders":[{"id":{"S":"a"},"n":{"N":"1"}}]},"UnprocessedKeys":{}}"#;
    node.upstream.next(Operation::BatchGetItem).await.answer(answer);
    assert_eq!(batch.await.status, 200);
    assert_kept_briefly(&mut node).await;
}

#[tokio::test(start_paused = true)]
async fn an_item_that_was_written_by_the_old_policy_is_not_kept() {
    let mut node = start().await;
    let write = node.begin("PutItem", &put("a", 1)).await;
    node.upstream.next(Operation::PutItem).await.answer("{}");
    assert_eq!(write.await.status, 200);
    assert_kept_briefly(&mut node).await;
}

#[tokio::test(start_paused = true)]
async fn a_page_that_was_read_by_the_old_policy_is_not_kept() {
    let mut node = start().await;
    for source in ["miss", "miss", "hit"] {
        let query = node.begin("Query", QUERY).await;
        if source == "miss" {
            node.upstream.next(Operation::Query).await.answer(PAGE);
        }
        assert_eq!(query.await.source, source);
    }
    node.wait(Duration::from_secs(11)).await;
    let query = node.begin("Query", QUERY).await;
    node.upstream.next(Operation::Query).await.answer(PAGE);
    assert_eq!(query.await.source, "miss");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_policies_empties_the_cache_once() {
    let mut node = start().await;
    node.read_from_upstream("b", 1).await;
    node.read_from_upstream("a", 1).await;
    node.read_from_upstream("b", 2).await;
    for id in ["a", "b"] {
        assert_eq!(node.call("GetItem", &get(id)).await.source, "hit");
    }
    assert_eq!(node.call("GetItem", &get("b")).await.body, item("b", 2));
}
