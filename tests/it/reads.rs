//! Single reads: hit, miss, join, projection, time to live.

use std::time::Duration;

use nearside::model::Operation::{GetItem, PutItem};

use crate::harness::{Node, get, item, put};

#[tokio::test(start_paused = true)]
async fn a_second_read_is_a_hit_with_the_same_bytes() {
    let mut node = Node::start().await;
    let first = node.begin("GetItem", &get("a")).await;
    node.upstream.next(GetItem).await.answer(&item("a", 1));
    let first = first.await;
    assert_eq!(first.source, "miss");
    node.wait(Duration::from_secs(2)).await;
    let second = node.call("GetItem", &get("a")).await;
    assert_eq!(
        (second.source.as_str(), &second.body, second.age.as_deref()),
        ("hit", &first.body, Some("2"))
    );
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn absence_is_remembered_for_its_own_time() {
    let mut node = Node::start().await;
    let first = node.begin("GetItem", &get("a")).await;
    node.upstream.next(GetItem).await.answer("{}");
    assert_eq!(first.await.body, "{}");
    assert_eq!(node.call("GetItem", &get("a")).await.source, "hit");
    node.wait(Duration::from_secs(61)).await;
    let third = node.begin("GetItem", &get("a")).await;
    node.upstream.next(GetItem).await.answer(&item("a", 1));
    assert_eq!(third.await.source, "miss");
}

#[tokio::test(start_paused = true)]
async fn an_item_expires_with_its_time_to_live() {
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    node.wait(Duration::from_secs(240)).await;
    assert_eq!(node.call("GetItem", &get("a")).await.source, "hit");
    node.wait(Duration::from_secs(61)).await;
    let late = node.begin("GetItem", &get("a")).await;
    node.upstream.next(GetItem).await.answer(&item("a", 2));
    assert_eq!(late.await.source, "miss");
}

#[tokio::test(start_paused = true)]
async fn any_projection_is_served_from_the_whole_item() {
    let mut node = Node::start().await;
    let projected = r##"{"TableName":"Orders","Key":{"id":{"S":"a"}},"ProjectionExpression":"#n, nothing","ExpressionAttributeNames":{"#n":"n"}}"##;
    let first = node.begin("GetItem", projected).await;
    let call = node.upstream.next(GetItem).await;
    assert!(!call.body().contains("Projection"), "the whole item is asked for: {}", call.body());
    call.answer(&item("a", 1));
    assert_eq!(first.await.body, r#"{"Item":{"n":{"N":"1"}}}"#);
    let second = node.call("GetItem", projected).await;
    assert_eq!((second.source.as_str(), second.body.as_str()), ("hit", r#"{"Item":{"n":{"N":"1"}}}"#));
    let legacy = r#"{"TableName":"Orders","Key":{"id":{"S":"a"}},"AttributesToGet":["id"]}"#;
    assert_eq!(node.call("GetItem", legacy).await.body, r#"{"Item":{"id":{"S":"a"}}}"#);
    assert_eq!(node.call("GetItem", &get("a")).await.body, item("a", 1));
}

#[tokio::test(start_paused = true)]
async fn a_projection_into_a_key_is_left_to_the_upstream_though_the_item_is_cached() {
    let mut node = Node::start().await;
    node.settle_writes().await;
    node.read_from_upstream("a", 1).await;
    let into_key = r#"{"TableName":"Orders","Key":{"id":{"S":"a"}},"ProjectionExpression":"n, id.n"}"#;
    let refused = node.begin("GetItem", into_key).await;
    let call = node.upstream.next(GetItem).await;
    assert_eq!(call.body(), into_key);
    call.answer("{}");
    assert_eq!(refused.await.source, "bypass");
}

#[tokio::test(start_paused = true)]
async fn a_hit_consumes_no_capacity() {
    let mut node = Node::start().await;
    let asked = r#"{"TableName":"Orders","Key":{"id":{"S":"a"}},"ReturnConsumedCapacity":"INDEXES"}"#;
    let first = node.begin("GetItem", asked).await;
    let call = node.upstream.next(GetItem).await;
    call.answer(r#"{"Item":{"id":{"S":"a"}},"ConsumedCapacity":{"TableName":"Orders","CapacityUnits":1.0,"Table":{"CapacityUnits":1.0}}}"#);
    assert!(first.await.body.contains(r#""CapacityUnits":1.0"#));
    let second = node.call("GetItem", asked).await;
    assert_eq!(
        second.body,
        r#"{"ConsumedCapacity":{"CapacityUnits":0.0,"Table":{"CapacityUnits":0.0},"TableName":"Orders"},"Item":{"id":{"S":"a"}}}"#
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_hit_has_consumed_names_the_table_as_the_request_does() {
    const ARN: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/Orders";
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    for table in ["Orders", ARN] {
        let get = format!(
            r#"{{"TableName":"{table}","Key":{{"id":{{"S":"a"}}}},"ReturnConsumedCapacity":"TOTAL"}}"#
        );
        let batch = format!(
            r#"{{"RequestItems":{{"{table}":{{"Keys":[{{"id":{{"S":"a"}}}}]}}}},"ReturnConsumedCapacity":"TOTAL"}}"#
        );
        for (operation, body) in [("GetItem", &get), ("BatchGetItem", &batch)] {
            let reply = node.call(operation, body).await;
            let consumed = format!(r#"{{"CapacityUnits":0.0,"TableName":"{table}"}}"#);
            assert!(reply.body.contains(&consumed), "{operation}: {}", reply.body);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn readers_of_one_key_share_one_upstream_read() {
    let mut node = Node::start().await;
    let leader = node.begin("GetItem", &get("a")).await;
    let call = node.upstream.next(GetItem).await;
    let joined = [node.begin("GetItem", &get("a")).await, node.begin("GetItem", &get("a")).await];
    call.answer(&item("a", 1));
    assert_eq!(leader.await.source, "miss");
    for reader in joined {
        let reply = reader.await;
        assert_eq!((reply.source.as_str(), reply.body), ("joined", item("a", 1)));
    }
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn joined_readers_keep_their_answer_when_the_leader_leaves() {
    let mut node = Node::start().await;
    let leader = node.begin("GetItem", &get("a")).await;
    let call = node.upstream.next(GetItem).await;
    let joined = node.begin("GetItem", &get("a")).await;
    leader.leave().await;
    call.answer(&item("a", 1));
    assert_eq!(joined.await.body, item("a", 1));
    assert_eq!(node.call("GetItem", &get("a")).await.source, "hit");
}

#[tokio::test(start_paused = true)]
async fn a_failed_fill_fails_its_readers_and_is_not_remembered() {
    let mut node = Node::start().await;
    let leader = node.begin("GetItem", &get("a")).await;
    let call = node.upstream.next(GetItem).await;
    let joined = node.begin("GetItem", &get("a")).await;
    call.refuse("ProvisionedThroughputExceededException");
    for reply in [leader.await, joined.await] {
        assert_eq!(reply.status, 400);
        assert!(reply.body.contains("ProvisionedThroughputExceededException"), "{}", reply.body);
    }
    node.read_from_upstream("a", 1).await;
}

#[tokio::test(start_paused = true)]
async fn fills_are_strong_in_the_first_minute_and_after_a_write_and_eventual_later() {
    let mut node = Node::start().await;
    let first = node.begin("GetItem", &get("a")).await;
    let call = node.upstream.next(GetItem).await;
    assert!(
        call.body().contains(r#""ConsistentRead":true"#),
        "a process before this one may have written: {}",
        call.body()
    );
    call.answer("{}");
    first.await;
    node.wait(Duration::from_secs(90)).await;
    let later = node.begin("GetItem", &get("b")).await;
    let call = node.upstream.next(GetItem).await;
    assert!(!call.body().contains("ConsistentRead"), "{}", call.body());
    call.answer("{}");
    later.await;
    let write = node.begin("PutItem", &put("c", 1)).await;
    node.upstream.next(PutItem).await.refuse("ProvisionedThroughputExceededException");
    write.await;
    let touched = node.begin("GetItem", &get("c")).await;
    let call = node.upstream.next(GetItem).await;
    assert!(call.body().contains(r#""ConsistentRead":true"#), "{}", call.body());
    call.answer("{}");
    touched.await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_cannot_be_read_is_an_error_and_not_an_item() {
    let mut node = Node::start().await;
    for broken in ["{\"Item\":{\"id\":", "[]", "null", ""] {
        let read = node.begin("GetItem", &get("a")).await;
        node.upstream.next(GetItem).await.answer(broken);
        assert_eq!(read.await.status, 500, "{broken:?}");
    }
    node.read_from_upstream("a", 1).await;
}
