//! Answers that are not wholly understood, or that are not of what was asked: they are passed on, and never cached.

use std::time::Duration;

use nearside::model::Operation::{BatchGetItem, GetItem, PutItem, Query, TransactGetItems, UpdateItem};

use crate::harness::{Node, get, item, put, strong};

/// Attributes that an upstream may know and we do not.
const STRANGE: [&str; 6] = [
    r#"{"V":"1,2,3"}"#,
    r#"{"N":"123456789012345678901234567890123456789"}"#,
    r#"{"SS":[]}"#,
    r#"{"NULL":false}"#,
    r#"{"Unit":"kg","N":"1"}"#,
    r#"{"L":[{"S":"a"},{"M":{"x":{"T":"now"}}}]}"#,
];

/// A GetItem's answer with such an attribute.
fn strange(id: &str, value: &str) -> String {
    format!(r#"{{"Item":{{"id":{{"S":"{id}"}},"n":{value}}}}}"#)
}

fn batch(keys: &str, more: &str) -> String {
    format!(r#"{{"RequestItems":{{"Orders":{{"Keys":[{keys}]{more}}}}}}}"#)
}

fn keys(ids: &[&str]) -> String {
    ids.iter().map(|id| format!(r#"{{"id":{{"S":"{id}"}}}}"#)).collect::<Vec<_>>().join(",")
}

#[tokio::test(start_paused = true)]
async fn an_item_that_is_not_understood_is_passed_on_word_for_word_and_read_anew_each_time() {
    for value in STRANGE.into_iter().chain([r#"{"S":"a","S":"b"}"#]) {
        let mut node = Node::start().await;
        for request in [get("a"), get("a"), strong("a")] {
            let read = node.begin("GetItem", &request).await;
            node.upstream.next(GetItem).await.answer(&strange("a", value));
            let reply = read.await;
            assert_eq!(
                (reply.status, reply.source.as_str(), reply.body),
                (200, "bypass", strange("a", value))
            );
        }
        node.upstream.assert_none();
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_cached_before_is_not_served_behind_an_answer_that_was_not_understood() {
    for request in [strong("a"), batch(&keys(&["a"]), r#","ConsistentRead":true"#)] {
        let mut node = Node::start().await;
        node.read_from_upstream("a", 1).await;
        let operation = if request.contains("RequestItems") { BatchGetItem } else { GetItem };
        let read = node.begin(operation.name(), &request).await;
        let answer = strange("a", STRANGE[0]);
        let in_batch = format!(r#"{{"Responses":{{"Orders":[{}]}}}}"#, &answer[8..answer.len() - 1]);
        node.upstream.next(operation).await.answer(if operation == GetItem { &answer } else { &in_batch });
        assert_eq!(read.await.status, 200);
        node.read_from_upstream("a", 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_had_joined_send_their_own_requests() {
    let mut node = Node::start().await;
    let part = get("a").replace(r#""Key""#, r#""ProjectionExpression":"n","Key""#);
    let leader = node.begin("GetItem", &get("a")).await;
    let joiner = node.begin("GetItem", &part).await;
    node.upstream.next(GetItem).await.answer(&strange("a", STRANGE[0]));
    assert_eq!(leader.await.body, strange("a", STRANGE[0]));
    let call = node.upstream.next(GetItem).await;
    // The item may have been written a moment ago, so a replica that lags must not answer.
    assert_eq!(call.body(), part.replace("}}}", r#"}},"ConsistentRead":true}"#));
    call.answer(r#"{"Item":{"n":{"V":"1"}}}"#);
    assert_eq!(joiner.await.body, r#"{"Item":{"n":{"V":"1"}}}"#);
}

#[tokio::test(start_paused = true)]
async fn a_part_of_an_item_that_is_not_understood_is_the_upstreams_to_show() {
    let mut node = Node::start().await;
    let part = get("a").replace(r#""Key""#, r#""ProjectionExpression":"n","Key""#);
    let read = node.begin("GetItem", &part).await;
    node.upstream.next(GetItem).await.answer(&strange("a", STRANGE[0]));
    let call = node.upstream.next(GetItem).await;
    assert!(call.body().contains(r#""ProjectionExpression":"n""#), "{}", call.body());
    call.answer(r#"{"Item":{"n":{"V":"1"}}}"#);
    let reply = read.await;
    assert_eq!((reply.body.as_str(), reply.source.as_str()), (r#"{"Item":{"n":{"V":"1"}}}"#, "bypass"));
}

#[tokio::test(start_paused = true)]
async fn a_batch_shows_it_as_it_came_and_keeps_the_other_items() {
    for value in STRANGE {
        let mut node = Node::start().await;
        let read = node.begin("BatchGetItem", &batch(&keys(&["a", "b"]), "")).await;
        let (odd, plain) = (strange("a", value), item("b", 1));
        let items = format!("{},{}", &odd[8..odd.len() - 1], &plain[8..plain.len() - 1]);
        node.upstream
            .next(BatchGetItem)
            .await
            .answer(&format!(r#"{{"Responses":{{"Orders":[{items}]}},"UnprocessedKeys":{{}}}}"#));
        let reply = read.await;
        assert_eq!(reply.body, format!(r#"{{"Responses":{{"Orders":[{items}]}},"UnprocessedKeys":{{}}}}"#));
        assert_eq!(node.call("GetItem", &get("b")).await.source, "hit");
        let read = node.begin("GetItem", &get("a")).await;
        node.upstream.next(GetItem).await.answer(&strange("a", value));
        assert_eq!(read.await.source, "bypass");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_wants_a_part_of_it_is_sent_as_the_client_wrote_it() {
    let mut node = Node::start().await;
    node.wait(Duration::from_secs(100)).await;
    let request = batch(&keys(&["a", "b"]), r#","ProjectionExpression":"n""#);
    let read = node.begin("BatchGetItem", &request).await;
    let odd = strange("a", STRANGE[0]);
    let first = node.upstream.next(BatchGetItem).await;
    assert!(!first.body().contains("Projection"));
    first.answer(&format!(r#"{{"Responses":{{"Orders":[{}]}}}}"#, &odd[8..odd.len() - 1]));
    let own = node.upstream.next(BatchGetItem).await;
    let expected = request.replace(r#""n"}}}"#, r#""n","ConsistentRead":true}}}"#);
    assert_eq!(own.body(), expected);
    let answer = r#"{"Responses":{"Orders":[{"n":{"V":"1"}}]},"UnprocessedKeys":{}}"#;
    own.answer(answer);
    assert_eq!(read.await.body, answer);
}

#[tokio::test(start_paused = true)]
async fn a_page_without_a_count_is_passed_on_and_not_kept() {
    let mut node = Node::start().await;
    let query = r#"{"TableName":"Orders","KeyConditionExpression":"id = :id","ExpressionAttributeValues":{":id":{"S":"a"}}}"#;
    let page = r#"{"Items":[{"id":{"S":"a"},"n":{"V":"1"}}]}"#;
    for _ in 0..2 {
        let read = node.begin("Query", query).await;
        node.upstream.next(Query).await.answer(page);
        let reply = read.await;
        assert_eq!((reply.status, reply.source.as_str(), reply.body.as_str()), (200, "bypass", page));
    }
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_is_not_understood_invalidates_what_it_read() {
    for answer in [
        r#"{"Responses":[{"Item":{"id":{"S":"a"},"n":{"V":"1"}}}]}"#,
        r#"{"Responses":[{"Item":{"id":{"S":"a"},"id":{"S":"a"}}}]}"#,
        r#"{"Responses":[{"Item":{"id":{"S":"b"},"n":{"N":"1"}}}]}"#,
    ] {
        let mut node = Node::start().await;
        node.read_from_upstream("a", 1).await;
        let get = get("a");
        let read = node.begin("TransactGetItems", &format!(r#"{{"TransactItems":[{{"Get":{get}}}]}}"#)).await;
        node.upstream.next(TransactGetItems).await.answer(answer);
        assert_eq!(read.await.body, answer);
        node.read_from_upstream("a", 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_transaction_that_spells_the_table_anew_is_seen_too() {
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    let arn = get("a").replace("Orders", "arn:aws:dynamodb:us-east-1:000000000000:table/Orders");
    let read = node.begin("TransactGetItems", &format!(r#"{{"TransactItems":[{{"Get":{arn}}}]}}"#)).await;
    let item = item("a", 2);
    node.upstream.next(TransactGetItems).await.answer(&format!(r#"{{"Responses":[{item}]}}"#));
    read.await;
    node.read_from_upstream("a", 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_attributes_are_not_understood_is_answered_and_leaves_no_image() {
    let update = r#"{"TableName":"Orders","Key":{"id":{"S":"a"}},"UpdateExpression":"SET n = :n","ExpressionAttributeValues":{":n":{"N":"1"}}}"#;
    let asked = update.replace(r#""Key""#, r#""ReturnValues":"ALL_NEW","Key""#);
    for value in STRANGE.into_iter().chain([r#"{"S":"a","S":"b"}"#]) {
        for (body, is_shown) in [(update, false), (&asked, true)] {
            let mut node = Node::start().await;
            let write = node.begin("UpdateItem", body).await;
            let answer = strange("a", value).replace("Item", "Attributes");
            node.upstream.next(UpdateItem).await.answer(&answer);
            let reply = write.await;
            assert_eq!((reply.status, reply.body.as_str()), (200, if is_shown { &*answer } else { "{}" }));
            node.read_from_upstream("a", 2).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_json_is_an_error_that_clients_retry() {
    let mut node = Node::start().await;
    let read = node.begin("GetItem", &get("a")).await;
    node.upstream.next(GetItem).await.answer("<html>moved</html>");
    assert_eq!(read.await.status, 500);
    let write = node.begin("UpdateItem", &get("a")).await;
    node.upstream.next(UpdateItem).await.answer("<html>moved</html>");
    assert_eq!(write.await.status, 500);
}

#[tokio::test(start_paused = true)]
async fn an_item_of_another_key_is_passed_on_counted_and_not_kept() {
    let mut node = Node::start().await;
    node.read_from_upstream("z", 1).await;
    node.wait(Duration::from_secs(6)).await;
    let described = node.script.described();
    let read = node.begin("GetItem", &get("a")).await;
    node.upstream.next(GetItem).await.answer(&item("b", 1));
    let reply = read.await;
    assert_eq!((reply.body, reply.source.as_str()), (item("b", 1), "bypass"));
    assert_eq!(node.foreign_keys(), 1);
    // The key schema may be another one by now, so the table is described anew.
    node.read_from_upstream("a", 2).await;
    assert_eq!(node.call("GetItem", &get("z")).await.source, "hit");
    assert_eq!(node.script.described(), described + 1);
    // Without a key it is no better.
    let read = node.begin("GetItem", &strong("a")).await;
    node.upstream.next(GetItem).await.answer(r#"{"Item":{"n":{"N":"1"}}}"#);
    assert_eq!(read.await.status, 200);
    assert_eq!(node.foreign_keys(), 2);
    node.read_from_upstream("a", 3).await;
}

#[tokio::test(start_paused = true)]
async fn a_batch_with_an_item_that_was_not_asked_for_is_sent_as_the_client_wrote_it() {
    let mut node = Node::start().await;
    let request = batch(&keys(&["a", "b"]), "");
    let read = node.begin("BatchGetItem", &request).await;
    let other = item("c", 1);
    let answer = format!(r#"{{"Responses":{{"Orders":[{}]}}}}"#, &other[8..other.len() - 1]);
    node.upstream.next(BatchGetItem).await.answer(&answer);
    node.upstream.next(BatchGetItem).await.answer(&answer);
    assert_eq!(read.await.body, answer);
    assert_eq!(node.foreign_keys(), 1);
    for id in ["a", "b", "c"] {
        node.read_from_upstream(id, 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn hits_of_a_batch_save_nothing_where_it_fails_or_is_sent_as_the_client_wrote_it() {
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    let request = batch(&keys(&["a", "b"]), "");
    let read = node.begin("BatchGetItem", &request).await;
    node.upstream.next(BatchGetItem).await.refuse("ProvisionedThroughputExceededException");
    assert_eq!(read.await.status, 400);
    let read = node.begin("BatchGetItem", &request).await;
    let other = item("c", 1);
    let answer = format!(r#"{{"Responses":{{"Orders":[{}]}}}}"#, &other[8..other.len() - 1]);
    node.upstream.next(BatchGetItem).await.answer(&answer);
    node.upstream.next(BatchGetItem).await.answer(&answer);
    read.await;
    assert!(node.saved().abs() < f64::EPSILON, "{}", node.saved());
    node.read_from_upstream("a", 1).await;
    let read = node.begin("BatchGetItem", &request).await;
    node.upstream.next(BatchGetItem).await.answer(r#"{"Responses":{"Orders":[]},"UnprocessedKeys":{}}"#);
    assert_eq!(read.await.source, "hit=1,miss=1");
    assert!((node.saved() - 0.5).abs() < f64::EPSILON, "{}", node.saved());
}

#[tokio::test(start_paused = true)]
async fn a_page_of_another_partition_or_with_items_without_a_key_is_passed_on_and_not_kept() {
    let query = r#"{"TableName":"Orders","KeyConditionExpression":"id = :id","ExpressionAttributeValues":{":id":{"S":"a"}}}"#;
    for page in [
        r#"{"Count":1,"Items":[{"id":{"S":"b"}}],"ScannedCount":1}"#,
        r#"{"Count":1,"Items":[{"n":{"S":"a"}}],"ScannedCount":1}"#,
        r#"{"Count":0,"Items":[],"LastEvaluatedKey":{"pk":{"S":"a"}},"ScannedCount":1}"#,
    ] {
        let mut node = Node::start().await;
        for number in 1..3 {
            let read = node.begin("Query", query).await;
            node.upstream.next(Query).await.answer(page);
            let reply = read.await;
            assert_eq!((reply.status, reply.source.as_str(), reply.body.as_str()), (200, "bypass", page));
            assert_eq!(node.foreign_keys(), number);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_tells_of_another_item_leaves_no_image() {
    let mut node = Node::start().await;
    let update = r#"{"TableName":"Orders","Key":{"id":{"S":"a"}},"UpdateExpression":"SET n = :n","ExpressionAttributeValues":{":n":{"N":"1"}}}"#;
    let write = node.begin("UpdateItem", update).await;
    let told = item("b", 1).replace("Item", "Attributes");
    node.upstream.next(UpdateItem).await.answer(&told);
    assert_eq!(write.await.status, 200);
    assert_eq!(node.foreign_keys(), 1);
    node.read_from_upstream("a", 2).await;
    let write = node.begin("PutItem", &put("a", 3)).await;
    node.upstream.next(PutItem).await.answer("{}");
    write.await;
    assert_eq!(node.call("GetItem", &get("a")).await.body, item("a", 3));
}
