//! Sampled verification: a strong read in the background compares what a hit served with what the upstream has.

use std::time::Duration;

use nearside::cache::VerifiedResult;
use nearside::engine::{SampleRate, TablePolicy};
use nearside::model::Operation::{BatchGetItem, GetItem, PutItem, Query};

use crate::harness::{Node, get, item, policy, put};
use crate::scripted::{Call, description};

const QUERY: &str = r#"{"TableName":"Orders","KeyConditionExpression":"id = :id","ExpressionAttributeValues":{":id":{"S":"a"}}}"#;
const PAGE: &str = r#"{"Count":1,"Items":[{"id":{"S":"a"},"n":{"N":"1"}}],"ScannedCount":1}"#;

/// The usual policy, with every hit verified.
fn verifying() -> TablePolicy {
    TablePolicy { verify_sample: SampleRate::of(1.0), ..policy() }
}

/// A node that has known its table for so long that nothing counts as lately changed.
async fn start() -> Node {
    let node = Node::start_with(verifying).await;
    node.settle_writes().await;
    node
}

impl Node {
    fn verified(&self, result: VerifiedResult) -> u64 {
        self.comparisons().verified[result as usize]
    }

    /// A hit, and the read that verifies it.
    async fn hit(&mut self, n: u64) -> Call {
        let reply = self.call("GetItem", &get("a")).await;
        assert_eq!((reply.source.as_str(), reply.body), ("hit", item("a", n)));
        let call = self.upstream.next(GetItem).await;
        assert_eq!(call.body(), get("a").replace("}}}", r#"}},"ConsistentRead":true}"#));
        call
    }
}

#[tokio::test(start_paused = true)]
async fn a_hit_is_answered_first_and_compared_then() {
    let mut node = start().await;
    node.read_from_upstream("a", 1).await;
    for count in 1..=2 {
        node.hit(1).await.answer(&item("a", 1));
        node.settle().await;
        assert_eq!(node.verified(VerifiedResult::Same), count);
    }
    assert_eq!(node.verified(VerifiedResult::Different), 0);
}

#[tokio::test(start_paused = true)]
async fn a_difference_is_counted_with_its_age_and_invalidates() {
    let mut node = start().await;
    node.read_from_upstream("a", 1).await;
    node.wait(Duration::from_secs(20)).await;
    let verifying = node.hit(1).await;
    // The state that was served is as old as it is when the difference is found.
    node.wait(Duration::from_secs(15)).await;
    verifying.answer(&item("a", 2));
    node.settle().await;
    assert_eq!((node.verified(VerifiedResult::Different), node.stale_observed()), (1, 1));
    let ages = node.comparisons().ages;
    let within = ages.cumulative();
    assert_eq!((within[4], within[5], ages.sum().as_secs()), (0, 1, 35), "within a minute");
    let read = node.begin("GetItem", &get("a")).await;
    let call = node.upstream.next(GetItem).await;
    assert!(call.body().contains("ConsistentRead"), "a replica that lags must not bring the old item back");
    call.answer(&item("a", 2));
    assert_eq!(read.await.source, "miss");
}

#[tokio::test(start_paused = true)]
async fn a_write_between_the_hit_and_the_read_explains_a_difference() {
    let mut node = start().await;
    node.read_from_upstream("a", 1).await;
    // In flight when the read is answered; then one that has ended.
    let verifying = node.hit(1).await;
    let write = node.begin("PutItem", &put("a", 2)).await;
    let written = node.upstream.next(PutItem).await;
    verifying.answer(&item("a", 2));
    node.settle().await;
    assert_eq!(node.verified(VerifiedResult::Explained), 1);
    written.answer("{}");
    write.await;
    let verifying = node.hit(2).await;
    let write = node.begin("PutItem", &put("a", 3)).await;
    node.upstream.next(PutItem).await.answer("{}");
    write.await;
    verifying.answer(&item("a", 3));
    node.settle().await;
    assert_eq!(node.verified(VerifiedResult::Explained), 2);
    assert_eq!((node.verified(VerifiedResult::Different), node.stale_observed()), (0, 0));
    node.hit(3).await;
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_fails_invalidates_nothing() {
    let mut node = start().await;
    node.read_from_upstream("a", 1).await;
    node.hit(1).await.fail(500);
    node.hit(1).await.refuse("ProvisionedThroughputExceededException");
    node.settle().await;
    assert_eq!(node.verified(VerifiedResult::Failed), 2);
    node.hit(1).await;
}

#[tokio::test(start_paused = true)]
async fn no_more_hits_are_verified_than_the_budget_allows() {
    let mut node = start().await;
    node.read_from_upstream("a", 1).await;
    for _ in 0..15 {
        assert_eq!(node.call("GetItem", &get("a")).await.source, "hit");
        if let Some(call) = node.upstream.try_next(GetItem) {
            call.answer(&item("a", 1));
            node.settle().await;
        }
    }
    assert_eq!((node.verified(VerifiedResult::Same), node.verified(VerifiedResult::OverBudget)), (10, 5));
    node.wait(Duration::from_secs(1)).await;
    node.hit(1).await;
}

#[tokio::test(start_paused = true)]
async fn few_hits_are_verified_at_a_time() {
    let mut node = start().await;
    node.read_from_upstream("a", 1).await;
    let mut calls = Vec::new();
    for _ in 0..20 {
        assert_eq!(node.call("GetItem", &get("a")).await.source, "hit");
        calls.extend(node.upstream.try_next(GetItem));
        // Ten a second would be allowed.
        node.wait(Duration::from_millis(200)).await;
    }
    assert_eq!((calls.len(), node.verified(VerifiedResult::OverBudget)), (16, 4));
    calls.pop().unwrap().answer(&item("a", 1));
    node.settle().await;
    node.hit(1).await.answer(&item("a", 1));
}

#[tokio::test(start_paused = true)]
async fn without_a_sample_nothing_is_verified() {
    let mut node = Node::start().await;
    node.settle_writes().await;
    node.read_from_upstream("a", 1).await;
    for _ in 0..100 {
        assert_eq!(node.call("GetItem", &get("a")).await.source, "hit");
    }
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn the_hits_of_a_batch_are_verified_one_by_one() {
    let mut node = start().await;
    node.read_from_upstream("a", 1).await;
    let batch = r#"{"RequestItems":{"Orders":{"Keys":[{"id":{"S":"a"}}],"ProjectionExpression":"n"}}}"#;
    assert_eq!(node.call("BatchGetItem", batch).await.source, "hit=1,miss=0");
    assert!(node.upstream.try_next(BatchGetItem).is_none());
    node.upstream.next(GetItem).await.answer(&item("a", 2));
    node.settle().await;
    assert_eq!(node.verified(VerifiedResult::Different), 1);
}

#[tokio::test(start_paused = true)]
async fn pages_are_verified_strongly_and_those_of_global_indexes_are_skipped() {
    let mut node = start().await;
    let read = node.begin("Query", QUERY).await;
    node.upstream.next(Query).await.answer(PAGE);
    assert_eq!(read.await.source, "miss");
    // The second hit is of a request that was understood before.
    for count in 1..=2 {
        assert_eq!(node.call("Query", QUERY).await.source, "hit");
        let call = node.upstream.next(Query).await;
        assert!(call.body().contains(r#""ConsistentRead":true"#), "{}", call.body());
        // The same page in other words.
        call.answer(r#"{"ScannedCount":1,"Count":1,"Items":[{"n":{"N":"1"},"id":{"S":"a"}}]}"#);
        node.settle().await;
        assert_eq!(node.verified(VerifiedResult::Same), count);
    }
    assert_eq!(node.call("Query", QUERY).await.source, "hit");
    node.upstream.next(Query).await.answer(&PAGE.replace(r#""N":"1""#, r#""N":"2""#));
    node.settle().await;
    assert_eq!(node.verified(VerifiedResult::Different), 1);
    let read = node.begin("Query", QUERY).await;
    node.upstream.next(Query).await.answer(PAGE);
    assert_eq!(read.await.source, "miss");

    let key = r#""KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]"#;
    let index = format!(
        r#""GlobalSecondaryIndexes":[{{"IndexName":"again",{key},"Projection":{{"ProjectionType":"ALL"}}}}],{key}"#
    );
    let described = description("Indexed", "", "2", &[("id", "S", "HASH")]).replacen(key, &index, 1);
    node.script.describe_as("Indexed", described);
    let body = QUERY.replace("Orders\"", "Indexed\",\"IndexName\":\"again\"");
    let read = node.begin("Query", &body).await;
    node.upstream.next(Query).await.answer(PAGE);
    read.await;
    assert_eq!(node.call("Query", &body).await.source, "hit");
    node.settle().await;
    assert_eq!(node.verified(VerifiedResult::Skipped), 1);
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn a_verification_does_not_hold_up_the_end_of_the_process() {
    let mut node = start().await;
    node.read_from_upstream("a", 1).await;
    let call = node.hit(1).await;
    node.drain().await;
    node.settle().await;
    assert_eq!(node.verified(VerifiedResult::Skipped), 1);
    drop(call);
}
