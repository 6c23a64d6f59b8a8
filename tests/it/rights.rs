//! Callers with rights of their own: what they may not do reaches neither the cache nor the upstream, and a hit is judged as a miss.

use std::sync::Arc;

use nearside::model::Operation::{self, GetItem, PutItem, Query, Scan};
use nearside::rights::{Grant, Rights};

use crate::harness::{Node, Reply, get, item, put};

fn rights(tables: &str, leading_keys: &[&str]) -> Arc<Rights> {
    let grant = Grant {
        tables: vec![tables.to_owned()],
        actions: vec!["read-write".to_owned()],
        leading_keys: leading_keys.iter().map(|key| (*key).to_owned()).collect(),
        ..Grant::default()
    };
    Arc::new(Rights::new("alice", [&grant.policy().unwrap()]))
}

#[track_caller]
fn assert_denied(reply: &Reply, operation: Operation) {
    assert_eq!((reply.status, reply.source.as_str()), (400, ""), "{}", reply.body);
    let action = format!(
        "User: arn:aws:iam::123456789012:user/alice is not authorized to perform: dynamodb:{operation} on resource: "
    );
    assert!(reply.body.contains("AccessDeniedException") && reply.body.contains(&action), "{}", reply.body);
}

#[tokio::test(start_paused = true)]
async fn a_hit_is_denied_as_a_miss_is() {
    let mut node = Node::start().await;
    let (mine, others) = (rights("Orders", &["a"]), rights("Orders", &["b*"]));
    // The table's key is learned for the first judgement.
    let read = node.begin_as(&mine, GetItem, &get("a")).await;
    node.upstream.next(GetItem).await.answer(&item("a", 1));
    assert_eq!(read.await.source, "miss");
    assert_eq!(node.begin_as(&mine, GetItem, &get("a")).await.await.source, "hit");
    for key in ["a", "c"] {
        let reply = node.begin_as(&others, GetItem, &get(key)).await.await;
        assert_denied(&reply, GetItem);
        assert!(!reply.body.contains(&format!("\"{key}\"")), "no key is told: {}", reply.body);
    }
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn what_is_denied_changes_nothing() {
    let mut node = Node::start().await;
    let (mine, nobody) = (rights("Orders", &["a"]), Arc::new(Rights::new("alice", [])));
    let read = node.begin_as(&mine, GetItem, &get("a")).await;
    node.upstream.next(GetItem).await.answer(&item("a", 1));
    read.await;
    assert_denied(&node.begin_as(&mine, PutItem, &put("b", 2)).await.await, PutItem);
    assert_denied(&node.begin_as(&nobody, PutItem, &put("a", 2)).await.await, PutItem);
    assert_denied(&node.begin_as(&nobody, Operation::Unknown, "{}").await.await, Operation::Unknown);
    node.upstream.assert_none();
    assert_eq!(node.begin_as(&mine, GetItem, &get("a")).await.await.source, "hit", "no write came between");
}

#[tokio::test(start_paused = true)]
async fn a_cached_page_is_denied_to_who_may_not_ask_for_it() {
    let mut node = Node::start().await;
    let (mine, others) = (rights("Orders", &["a"]), rights("Orders", &["b"]));
    let query = r#"{"TableName":"Orders","KeyConditionExpression":"id=:i","ExpressionAttributeValues":{":i":{"S":"a"}}}"#;
    let read = node.begin_as(&mine, Query, query).await;
    node.upstream.next(Query).await.answer(r#"{"Count":0,"Items":[],"ScannedCount":0}"#);
    assert_eq!(read.await.status, 200);
    assert_eq!(node.begin_as(&mine, Query, query).await.await.source, "hit");
    assert_denied(&node.begin_as(&others, Query, query).await.await, Query);
    assert_denied(&node.begin_as(&mine, Scan, r#"{"TableName":"Orders"}"#).await.await, Scan);
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn a_table_that_nobody_may_describe_cannot_be_judged_by_its_keys() {
    let mut node = Node::start().await;
    let body = get("a").replace("Orders", "Strange");
    let by_key = node.begin_as(&rights("*", &["a"]), GetItem, &body).await;
    assert_denied(&by_key.await, GetItem);
    node.upstream.assert_none();
    // Without a condition nothing need be known of it.
    let read = node.begin_as(&rights("Strange", &[]), GetItem, &body).await;
    node.upstream.next(GetItem).await.answer(&item("a", 1));
    assert_eq!(read.await.status, 200);
}
