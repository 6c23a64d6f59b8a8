//! What has expired, served while the upstream fails, where the table allows that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nearside::engine::{PolicyChange, TablePolicy};
use nearside::model::Operation::{BatchGetItem, ExecuteStatement, GetItem, PutItem, Query, Scan};

use crate::harness::{Begun, Node, get, item, policy, put};

const QUERY: &str = r#"{"TableName":"Orders","KeyConditionExpression":"id = :id","ExpressionAttributeValues":{":id":{"S":"a"}}}"#;
const PAGE: &str = r#"{"Count":1,"Items":[{"id":{"S":"a"},"n":{"N":"1"}}],"ScannedCount":1}"#;

/// The usual policy, with ten minutes of grace.
fn forgiving() -> TablePolicy {
    let (mut policy, grace) = (policy(), Duration::from_secs(600));
    policy.items.iter_mut().for_each(|items| items.stale_if_error = grace);
    policy.pages.iter_mut().for_each(|pages| pages.stale_if_error = grace);
    policy
}

async fn expect_failure(read: Begun) {
    assert_eq!(read.await.status, 500);
}

#[tokio::test(start_paused = true)]
async fn an_expired_item_answers_for_an_upstream_that_fails_and_says_so() {
    let mut node = Node::start_with(forgiving).await;
    node.read_from_upstream("a", 1).await;
    node.wait(Duration::from_secs(400)).await;
    for _ in 0..2 {
        let read = node.begin("GetItem", &get("a")).await;
        node.upstream.next(GetItem).await.fail(503);
        let reply = read.await;
        assert_eq!(
            (reply.status, reply.source.as_str(), reply.body, reply.age.as_deref()),
            (200, "stale", item("a", 1), Some("400"))
        );
    }
    let read = node.begin("GetItem", &get("a")).await;
    node.upstream.next(GetItem).await.answer(&item("a", 2));
    assert_eq!(read.await.source, "miss");
    assert_eq!(node.call("GetItem", &get("a")).await.body, item("a", 2));
}

#[tokio::test(start_paused = true)]
async fn it_answers_those_who_had_joined_the_failing_fetch() {
    let mut node = Node::start_with(forgiving).await;
    node.read_from_upstream("a", 1).await;
    node.wait(Duration::from_secs(400)).await;
    let leader = node.begin("GetItem", &get("a")).await;
    let joiner = node.begin("GetItem", &get("a")).await;
    node.upstream.next(GetItem).await.lose();
    assert_eq!((leader.await.source, joiner.await.source), ("stale".to_owned(), "stale".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn nothing_stale_is_served_where_it_was_not_asked_for_or_when_its_grace_is_over() {
    for (policy, wait) in [(policy as fn() -> TablePolicy, 400), (forgiving, 901)] {
        let mut node = Node::start_with(policy).await;
        node.read_from_upstream("a", 1).await;
        node.wait(Duration::from_secs(wait)).await;
        let read = node.begin("GetItem", &get("a")).await;
        node.upstream.next(GetItem).await.fail(500);
        expect_failure(read).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_an_answer_and_passed_on() {
    let mut node = Node::start_with(forgiving).await;
    node.read_from_upstream("a", 1).await;
    node.wait(Duration::from_secs(400)).await;
    let read = node.begin("GetItem", &get("a")).await;
    node.upstream.next(GetItem).await.refuse("ProvisionedThroughputExceededException");
    assert_eq!(read.await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn a_strong_read_is_never_answered_out_of_memory() {
    let mut node = Node::start_with(forgiving).await;
    node.read_from_upstream("a", 1).await;
    node.wait(Duration::from_secs(400)).await;
    let strong = get("a").replace(r#"{"TableName""#, r#"{"ConsistentRead":true,"TableName""#);
    let read = node.begin("GetItem", &strong).await;
    node.upstream.next(GetItem).await.fail(500);
    expect_failure(read).await;
}

#[tokio::test(start_paused = true)]
async fn after_a_write_whatever_became_of_it_nothing_from_before_is_served() {
    for outcome in ["success", "refusal", "loss"] {
        let mut node = Node::start_with(forgiving).await;
        node.read_from_upstream("a", 1).await;
        node.wait(Duration::from_secs(400)).await;
        let write = node.begin("PutItem", &put("a", 2)).await;
        let call = node.upstream.next(PutItem).await;
        match outcome {
            "success" => call.answer("{}"),
            "refusal" => call.refuse("ConditionalCheckFailedException"),
            _ => call.lose(),
        }
        write.await;
        // What a successful write left behind may be served: it is what was written.
        node.wait(Duration::from_secs(310)).await;
        let read = node.begin("GetItem", &get("a")).await;
        node.upstream.next(GetItem).await.fail(500);
        let reply = read.await;
        assert!(reply.status == 500 || reply.body == item("a", 2), "{outcome}: {reply:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_answered_if_every_key_that_could_not_be_fetched_has_something_stale() {
    let mut node = Node::start_with(forgiving).await;
    node.read_from_upstream("a", 1).await;
    node.wait(Duration::from_secs(400)).await;
    node.read_from_upstream("b", 1).await;
    let batch = |second: &str| {
        format!(
            r#"{{"RequestItems":{{"Orders":{{"Keys":[{{"id":{{"S":"a"}}}},{{"id":{{"S":"{second}"}}}}]}}}}}}"#
        )
    };
    let read = node.begin("BatchGetItem", &batch("b")).await;
    node.upstream.next(BatchGetItem).await.fail(500);
    let reply = read.await;
    assert_eq!((reply.status, reply.source.as_str()), (200, "hit=1,miss=0,stale=1"));
    assert_eq!(reply.body.matches(r#""n":{"N":"1"}"#).count(), 2, "{}", reply.body);
    let read = node.begin("BatchGetItem", &batch("c")).await;
    node.upstream.next(BatchGetItem).await.fail(500);
    expect_failure(read).await;
}

#[tokio::test(start_paused = true)]
async fn an_expired_page_answers_for_an_upstream_that_fails_until_its_partition_is_written() {
    let mut node = Node::start_with(forgiving).await;
    let read = node.begin("Query", QUERY).await;
    node.upstream.next(Query).await.answer(PAGE);
    read.await;
    node.wait(Duration::from_secs(400)).await;
    let read = node.begin("Query", QUERY).await;
    node.upstream.next(Query).await.fail(500);
    let reply = read.await;
    assert_eq!(
        (reply.source.as_str(), reply.body.as_str(), reply.age.as_deref()),
        ("stale", PAGE, Some("400"))
    );
    let write = node.begin("PutItem", &put("a", 2)).await;
    node.upstream.next(PutItem).await.answer("{}");
    write.await;
    let read = node.begin("Query", QUERY).await;
    node.upstream.next(Query).await.fail(500);
    expect_failure(read).await;
}

#[tokio::test(start_paused = true)]
async fn who_has_read_a_page_that_is_not_kept_is_not_taken_back_behind_it() {
    let mut node = Node::start_with(forgiving).await;
    let read = node.begin("Query", QUERY).await;
    node.upstream.next(Query).await.answer(PAGE);
    read.await;
    node.wait(Duration::from_secs(400)).await;
    let long = PAGE.replace(r#""1"}}"#, &format!(r#""2"}},"s":{{"S":"{}"}}}}"#, "x".repeat(200_000)));
    let read = node.begin("Query", QUERY).await;
    node.upstream.next(Query).await.answer(&long);
    assert_eq!(read.await.body, long);
    let read = node.begin("Query", QUERY).await;
    node.upstream.next(Query).await.fail(500);
    expect_failure(read).await;
}

#[tokio::test(start_paused = true)]
async fn it_can_be_switched_on_while_the_upstream_is_down() {
    let is_on = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_on);
    let policy_of = move |_: &str| if asked.load(Ordering::Relaxed) { forgiving() } else { policy() };
    let mut node = Node::start_with_policies(Box::new(policy_of), forgiving());
    node.read_from_upstream("a", 1).await;
    node.wait(Duration::from_secs(100)).await;
    // From now on the upstream cannot even say what the table is.
    node.script.describe_as("Orders", "down".to_owned());
    is_on.store(true, Ordering::Relaxed);
    node.renew_policies(PolicyChange::Keeps);
    assert_eq!(node.call("GetItem", &get("a")).await.source, "hit");
    node.wait(Duration::from_secs(300)).await;
    let read = node.begin("GetItem", &get("a")).await;
    node.upstream.next(GetItem).await.fail(500);
    assert_eq!(read.await.source, "stale");
}

#[tokio::test(start_paused = true)]
async fn a_change_that_invalidates_leaves_nothing_stale_to_be_served() {
    let mut node = Node::start_with(forgiving).await;
    node.read_from_upstream("a", 1).await;
    node.renew_policies(PolicyChange::Invalidates);
    let read = node.begin("GetItem", &get("a")).await;
    node.upstream.next(GetItem).await.fail(500);
    expect_failure(read).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_page_may_have_shown_since_is_not_served_past_its_time() {
    let scan = r#"{"TableName":"Orders"}"#;
    let other = QUERY.replace(r#":{"S":"a"}"#, r#":{"S":"b"}"#);
    let backward = QUERY.replace(r#""TableName""#, r#""ScanIndexForward":false,"TableName""#);
    let select = r#"{"Statement":"SELECT * FROM Orders"}"#;
    let empty = r#"{"Count":0,"Items":[],"ScannedCount":0}"#;
    for (operation, body, item_source, page_source) in [
        (Query, QUERY, "", "stale"),
        (Query, &backward, "", ""),
        (Query, &other, "stale", "stale"),
        (Scan, scan, "", ""),
        (ExecuteStatement, select, "", ""),
    ] {
        let mut node = Node::start_with(forgiving).await;
        let read = node.begin("Query", QUERY).await;
        node.upstream.next(Query).await.answer(PAGE);
        read.await;
        node.wait(Duration::from_secs(1)).await;
        node.read_from_upstream("a", 1).await;
        // The item and the page expire, and somebody is shown a page that may have something newer.
        node.wait(Duration::from_secs(400)).await;
        let read = node.begin(operation.name(), body).await;
        node.upstream.next(operation).await.answer(empty);
        assert_eq!(read.await.status, 200);
        node.wait(Duration::from_secs(1)).await;
        let read = node.begin("GetItem", &get("a")).await;
        node.upstream.next(GetItem).await.fail(500);
        let source = read.await;
        assert_eq!(source.status == 200, item_source == "stale", "{body}: {source:?}");
        if body != QUERY {
            let read = node.begin("Query", QUERY).await;
            node.upstream.next(Query).await.fail(500);
            let source = read.await;
            assert_eq!(source.status == 200, page_source == "stale", "{body}: {source:?}");
        }
    }
}
