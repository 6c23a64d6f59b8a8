//! Shadow mode: the upstream answers every read, and what the cache would have answered is compared with that.

mod rules;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nearside::cache::{ShadowRead, ShadowResult};
use nearside::engine::{CacheMode, PolicyChange, TablePolicy};
use nearside::model::Operation::{BatchGetItem, GetItem, PutItem, Query, Scan};

use crate::harness::{Node, get, item, policy, put, strong};
use crate::scripted::description;

const QUERY: &str = r#"{"TableName":"Orders","KeyConditionExpression":"id = :id","ExpressionAttributeValues":{":id":{"S":"a"}}}"#;
const PAGE: &str = r#"{"Count":1,"Items":[{"id":{"S":"a"},"n":{"N":"1"}}],"ScannedCount":1}"#;
const OTHER_PAGE: &str = r#"{"Count":1,"Items":[{"id":{"S":"a"},"n":{"N":"2"}}],"ScannedCount":1}"#;

fn shadow() -> TablePolicy {
    TablePolicy { mode: CacheMode::Shadow, ..policy() }
}

/// A node in shadow mode that has known its table for so long that nothing counts as lately changed.
async fn start() -> Node {
    let node = Node::start_with(shadow).await;
    node.settle_writes().await;
    node
}

impl Node {
    fn shadowed(&self, result: ShadowResult) -> u64 {
        self.comparisons().shadow[result as usize]
    }

    /// Reads an item, whose answer the upstream must give, in the client's words.
    async fn read_in_shadow(&mut self, id: &str, n: u64) {
        let read = self.begin("GetItem", &get(id)).await;
        let call = self.upstream.next(GetItem).await;
        assert_eq!(call.body(), get(id));
        call.answer(&item(id, n));
        let reply = read.await;
        assert_eq!((reply.source.as_str(), reply.body), ("bypass", item(id, n)));
        self.settle().await;
    }

    async fn put_in_shadow(&mut self, id: &str, n: u64) {
        let write = self.begin("PutItem", &put(id, n)).await;
        self.upstream.next(PutItem).await.answer("{}");
        assert_eq!(write.await.status, 200);
    }

    /// The second look, which must be strong.
    async fn answer_second_look(&mut self, answer: &str) {
        let call = self.upstream.next(GetItem).await;
        assert!(call.body().contains(r#""ConsistentRead":true"#), "{}", call.body());
        call.answer(answer);
        self.settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_goes_upstream_word_for_word_and_its_answer_comes_back_so() {
    let mut node = start().await;
    let body = r#"{ "Key":{"id":{"S":"a"}},"TableName":"Orders", "ReturnConsumedCapacity":"TOTAL", "ProjectionExpression":"n"}"#;
    let answer =
        r#"{"Item": {"n":{"N":"1"}}, "ConsumedCapacity":{"TableName":"Orders","CapacityUnits":0.5}}"#;
    for _ in 0..2 {
        let read = node.begin("GetItem", body).await;
        let call = node.upstream.next(GetItem).await;
        assert_eq!(call.body(), body);
        call.answer(answer);
        let reply = read.await;
        assert_eq!((reply.status, reply.source.as_str(), reply.body.as_str()), (200, "bypass", answer));
        assert_eq!(reply.age, None);
        node.settle().await;
        // What the cache needs is more than the client asked for, so it is fetched beside.
        if let Some(fill) = node.upstream.try_next(GetItem) {
            assert_eq!(fill.body(), get("a").replace("}}}", r#"}},"ReturnConsumedCapacity":"TOTAL"}"#));
            fill.answer(&item("a", 1));
        }
        node.settle().await;
    }
    assert_eq!((node.shadowed(ShadowResult::Miss), node.shadowed(ShadowResult::Equal)), (1, 1));
    assert_eq!(node.comparisons().shadow_reads[ShadowRead::Fill as usize], 1);
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn no_read_waits_for_the_fetch_of_another() {
    let mut node = start().await;
    let (first, second) = (node.begin("GetItem", &get("a")).await, node.begin("GetItem", &get("a")).await);
    let (one, other) = (node.upstream.next(GetItem).await, node.upstream.next(GetItem).await);
    other.answer(&item("a", 2));
    assert_eq!(second.await.body, item("a", 2));
    one.answer(&item("a", 1));
    assert_eq!(first.await.body, item("a", 1));
    assert_eq!((node.shadowed(ShadowResult::Miss), node.shadowed(ShadowResult::Join)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_answered_for_an_upstream_that_fails() {
    fn forgiving() -> TablePolicy {
        let mut policy = shadow();
        policy.items.iter_mut().for_each(|items| items.stale_if_error = Duration::from_secs(600));
        policy
    }
    let mut node = Node::start_with(forgiving).await;
    node.settle_writes().await;
    node.read_in_shadow("a", 1).await;
    for wait in [0, 400] {
        node.wait(Duration::from_secs(wait)).await;
        let read = node.begin("GetItem", &get("a")).await;
        node.upstream.next(GetItem).await.fail(500);
        assert_eq!(read.await.status, 500);
    }
    assert_eq!(node.shadowed(ShadowResult::NotCompared), 1, "the second one had expired");
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_lags_is_told_from_a_stale_cache() {
    let mut node = start().await;
    node.put_in_shadow("a", 2).await;
    // The write has left its item in the cache, and a replica does not have it yet.
    node.read_in_shadow("a", 1).await;
    node.answer_second_look(&item("a", 2)).await;
    assert_eq!((node.shadowed(ShadowResult::UpstreamStale), node.shadowed(ShadowResult::CacheStale)), (1, 0));
    // Now somebody else has written.
    for count in 1..=2 {
        node.read_in_shadow("a", 3).await;
        node.answer_second_look(&item("a", 3)).await;
        assert_eq!(
            node.shadowed(ShadowResult::CacheStale),
            count,
            "it would be served again, and is counted again"
        );
    }
    assert_eq!(node.comparisons().shadow_reads[ShadowRead::Check as usize], 3);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_overlaps_explains_a_difference() {
    let mut node = start().await;
    for is_settled in [false, true] {
        node.read_in_shadow("a", 1).await;
        let equal = node.shadowed(ShadowResult::Equal);
        let read = node.begin("GetItem", &get("a")).await;
        let call = node.upstream.next(GetItem).await;
        let write = node.begin("PutItem", &put("a", 2)).await;
        let written = node.upstream.next(PutItem).await;
        let mut written = Some(written);
        if is_settled {
            written.take().unwrap().refuse("ConditionalCheckFailedException");
            node.settle().await;
        }
        call.answer(&item("a", 2));
        assert_eq!(read.await.body, item("a", 2));
        node.settle().await;
        assert_eq!(node.shadowed(ShadowResult::ChangedDuring), 1 + u64::from(is_settled));
        assert_eq!(node.shadowed(ShadowResult::Equal), equal);
        node.upstream.assert_none();
        if let Some(written) = written {
            written.refuse("ConditionalCheckFailedException");
        }
        write.await;
        // What was cached is invalid: the next round fills it again.
        node.settle_writes().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_during_the_second_look_explains_a_difference() {
    let mut node = start().await;
    node.read_in_shadow("a", 1).await;
    node.read_in_shadow("a", 2).await;
    let second = node.upstream.next(GetItem).await;
    node.put_in_shadow("a", 3).await;
    second.answer(&item("a", 3));
    node.settle().await;
    assert_eq!((node.shadowed(ShadowResult::ChangedDuring), node.shadowed(ShadowResult::CacheStale)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_cache_is_filled_as_strongly_as_its_own_rules_say_and_the_client_is_not() {
    let mut node = start().await;
    node.put_in_shadow("a", 2).await;
    node.wait(Duration::from_secs(1)).await;
    // A strong read contradicts what is cached, and a replica that lags may not fill it again.
    let read = node.begin("GetItem", &strong("a")).await;
    node.upstream.next(GetItem).await.answer(&item("a", 3));
    assert_eq!(read.await.source, "bypass");
    node.read_in_shadow("a", 2).await;
    node.answer_second_look(&item("a", 3)).await;
    assert_eq!(node.comparisons().shadow_reads[ShadowRead::Fill as usize], 1);
    node.read_in_shadow("a", 3).await;
    assert_eq!((node.shadowed(ShadowResult::Miss), node.shadowed(ShadowResult::Equal)), (1, 1));
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_fails_is_not_asked_twice() {
    let mut node = start().await;
    let read = node.begin("GetItem", &get("a").replace("}}}", r#"}},"ProjectionExpression":"n"}"#)).await;
    node.upstream.next(GetItem).await.refuse("ProvisionedThroughputExceededException");
    assert_eq!(read.await.status, 400);
    node.settle().await;
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn a_role_that_may_read_parts_only_is_denied_whole_items_once() {
    let mut node = start().await;
    let body = get("a").replace("}}}", r#"}},"ProjectionExpression":"n"}"#);
    for number in 0..3 {
        let read = node.begin("GetItem", &body).await;
        let call = node.upstream.next(GetItem).await;
        assert_eq!(call.body(), body);
        call.answer(r#"{"Item":{"n":{"N":"1"}}}"#);
        assert_eq!(read.await.status, 200);
        node.settle().await;
        if number == 0 {
            let fill = node.upstream.next(GetItem).await;
            assert!(!fill.body().contains("ProjectionExpression"), "{}", fill.body());
            fill.refuse("AccessDeniedException");
        }
        node.settle().await;
        node.upstream.assert_none();
    }
    assert_eq!(node.shadowed(ShadowResult::Miss), 3);
    assert_eq!(node.comparisons().shadow_reads[ShadowRead::Fill as usize], 1);
    // A policy may change.
    node.wait(Duration::from_secs(601)).await;
    let read = node.begin("GetItem", &body).await;
    node.upstream.next(GetItem).await.answer(r#"{"Item":{"n":{"N":"1"}}}"#);
    assert_eq!(read.await.status, 200);
    node.upstream.next(GetItem).await.answer(&item("a", 1));
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_a_role_that_may_read_parts_only_is_denied_whole_items_once() {
    let mut node = start().await;
    let body = batch(r#""Orders":{"Keys":[{"id":{"S":"a"}}],"ProjectionExpression":"id, n"}"#);
    for number in 0..3 {
        let read = node.begin("BatchGetItem", &body).await;
        let call = node.upstream.next(BatchGetItem).await;
        assert_eq!(call.body(), body);
        call.answer(r#"{"Responses":{"Orders":[{"id":{"S":"a"},"n":{"N":"1"}}]},"UnprocessedKeys":{}}"#);
        assert_eq!(read.await.status, 200);
        node.settle().await;
        if number == 0 {
            let fill = node.upstream.next(BatchGetItem).await;
            assert!(!fill.body().contains("ProjectionExpression"), "{}", fill.body());
            fill.refuse("AccessDeniedException");
        }
        node.settle().await;
        node.upstream.assert_none();
    }
    assert_eq!(node.shadowed(ShadowResult::Miss), 3);
}

#[tokio::test(start_paused = true)]
async fn too_many_second_looks_a_second_are_left_out_and_counted() {
    let mut node = start().await;
    node.read_in_shadow("a", 1).await;
    for _ in 0..12 {
        node.read_in_shadow("a", 2).await;
        if let Some(call) = node.upstream.try_next(GetItem) {
            call.answer(&item("a", 2));
        }
        node.settle().await;
    }
    assert_eq!((node.shadowed(ShadowResult::CacheStale), node.shadowed(ShadowResult::OverBudget)), (10, 2));
    assert_eq!(node.shadowed(ShadowResult::Differs), 0);
    assert_eq!(node.comparisons().shadow_reads[ShadowRead::Check as usize], 10);
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn too_many_second_looks_at_a_time_are_left_out_and_counted() {
    let mut node = start().await;
    let mut looks = Vec::new();
    // Each second has ten looks, and none of them is answered yet.
    for first in [0, 10] {
        let ids = first..first + 10;
        let keys: Vec<_> = ids.clone().map(|id| format!(r#"{{"id":{{"S":"{id}"}}}}"#)).collect();
        let body = batch(&format!(r#""Orders":{{"Keys":[{}]}}"#, keys.join(",")));
        for n in [1, 2] {
            let items = ids.clone().map(|id| format!(r#"{{"id":{{"S":"{id}"}},"n":{{"N":"{n}"}}}}"#));
            let items: Vec<_> = items.collect();
            let answer =
                format!(r#"{{"Responses":{{"Orders":[{}]}},"UnprocessedKeys":{{}}}}"#, items.join(","));
            let read = node.begin("BatchGetItem", &body).await;
            node.upstream.next(BatchGetItem).await.answer(&answer);
            assert_eq!(read.await.body, answer);
            node.settle().await;
        }
        while let Some(look) = node.upstream.try_next(GetItem) {
            looks.push(look);
        }
        node.wait(Duration::from_secs(1)).await;
    }
    assert_eq!((looks.len(), node.shadowed(ShadowResult::OverBudget)), (16, 4));
    looks.into_iter().for_each(|look| look.fail(500));
    node.settle().await;
    assert_eq!((node.shadowed(ShadowResult::Differs), node.shadowed(ShadowResult::OverBudget)), (16, 4));
}

#[tokio::test(start_paused = true)]
async fn a_second_look_that_fails_says_nothing() {
    let mut node = start().await;
    node.read_in_shadow("a", 1).await;
    node.read_in_shadow("a", 2).await;
    node.upstream.next(GetItem).await.fail(500);
    node.settle().await;
    assert_eq!((node.shadowed(ShadowResult::CacheStale), node.shadowed(ShadowResult::Differs)), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_not_understood_stays_as_the_client_sent_it_after_a_write_too() {
    let mut node = start().await;
    node.put_in_shadow("a", 2).await;
    let body = r#"{"TableName":"Orders","Key":{"id":{"S":"a"}},"Unheard":1}"#;
    let read = node.begin("GetItem", body).await;
    let call = node.upstream.next(GetItem).await;
    assert_eq!(call.body(), body);
    call.answer(&item("a", 1));
    assert_eq!(read.await.body, item("a", 1));
}

#[tokio::test(start_paused = true)]
async fn pages_are_compared_as_items_are() {
    let mut node = start().await;
    for (operation, body) in [(Query, QUERY), (Scan, r#"{"TableName":"Orders"}"#)] {
        let reads = if operation == Scan { 4 } else { 3 };
        for number in 1..=reads {
            let read = node.begin(operation.name(), body).await;
            let call = node.upstream.next(operation).await;
            assert_eq!(call.body(), body);
            // A page of a scan is stored when it is asked for the second time.
            let page = if number == reads { OTHER_PAGE } else { PAGE };
            call.answer(page);
            let reply = read.await;
            assert_eq!((reply.source.as_str(), reply.body.as_str()), ("bypass", page));
        }
        let second = node.upstream.next(operation).await;
        assert!(second.body().contains(r#""ConsistentRead":true"#), "{}", second.body());
        second.answer(OTHER_PAGE);
        node.settle().await;
        node.upstream.assert_none();
    }
    let counts = node.comparisons().shadow;
    let counted = |result| counts[result as usize];
    assert_eq!((counted(ShadowResult::Miss), counted(ShadowResult::Equal)), (3, 2));
    assert_eq!(counted(ShadowResult::CacheStale), 2);
}

#[tokio::test(start_paused = true)]
async fn a_page_of_a_global_index_is_not_asked_for_again() {
    let mut node = start().await;
    let key = r#""KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]"#;
    let index = format!(
        r#""GlobalSecondaryIndexes":[{{"IndexName":"again",{key},"Projection":{{"ProjectionType":"ALL"}}}}],{key}"#
    );
    node.script.describe_as(
        "Indexed",
        description("Indexed", "", "2", &[("id", "S", "HASH")]).replacen(key, &index, 1),
    );
    let body = QUERY.replace("Orders\"", "Indexed\",\"IndexName\":\"again\"");
    for (number, page) in [PAGE, PAGE, OTHER_PAGE].into_iter().enumerate() {
        let read = node.begin("Query", &body).await;
        node.upstream.next(Query).await.answer(page);
        assert_eq!(read.await.body, page, "{number}");
        node.wait(Duration::from_secs(6)).await;
    }
    assert_eq!((node.shadowed(ShadowResult::Equal), node.shadowed(ShadowResult::Differs)), (1, 1));
    node.upstream.assert_none();
}

fn batch(parts: &str) -> String {
    format!(r#"{{"RequestItems":{{{parts}}}}}"#)
}

const KEYS: &str = r#""Keys":[{"id":{"S":"a"}},{"id":{"S":"b"}},{"id":{"S":"c"}}]"#;

#[tokio::test(start_paused = true)]
async fn each_key_of_a_batch_is_compared() {
    let mut node = start().await;
    let body = batch(&format!(r#""Orders":{{{KEYS}}}"#));
    let answer = r#"{"UnprocessedKeys":{"Orders":{"Keys":[{"id":{"S":"c"}}]}},"Responses":{"Orders":[{"n":{"N":"1"},"id":{"S":"a"}}]}}"#;
    let counts = [(3, 0, 0), (4, 2, 0)];
    for (miss, equal, not_compared) in counts {
        let read = node.begin("BatchGetItem", &body).await;
        let call = node.upstream.next(BatchGetItem).await;
        assert_eq!(call.body(), body);
        call.answer(answer);
        let reply = read.await;
        assert_eq!((reply.source.as_str(), reply.body.as_str()), ("bypass", answer));
        node.settle().await;
        let shadowed = [ShadowResult::Miss, ShadowResult::Equal, ShadowResult::NotCompared];
        assert_eq!(shadowed.map(|result| node.shadowed(result)), [miss, equal, not_compared]);
    }
    let read = node.begin("BatchGetItem", &body).await;
    node.upstream
        .next(BatchGetItem)
        .await
        .answer(r#"{"Responses":{"Orders":[{"id":{"S":"a"},"n":{"N":"7"}}]},"UnprocessedKeys":{}}"#);
    assert_eq!(read.await.status, 200);
    node.answer_second_look(&item("a", 7)).await;
    assert_eq!((node.shadowed(ShadowResult::CacheStale), node.shadowed(ShadowResult::Equal)), (1, 3));
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_wants_parts_of_items_has_them_filled_whole_beside() {
    let mut node = start().await;
    let body = batch(&format!(r#""Orders":{{{KEYS},"ProjectionExpression":"id, n"}}"#));
    let answer = r#"{"Responses":{"Orders":[{"id":{"S":"a"},"n":{"N":"1"}}]},"UnprocessedKeys":{}}"#;
    for round in 0..2 {
        let read = node.begin("BatchGetItem", &body).await;
        node.upstream.next(BatchGetItem).await.answer(answer);
        assert_eq!(read.await.body, answer);
        node.settle().await;
        if round == 0 {
            let fill = node.upstream.next(BatchGetItem).await;
            assert_eq!(fill.body(), batch(&format!(r#""Orders":{{{KEYS}}}"#)));
            fill.answer(r#"{"Responses":{"Orders":[{"id":{"S":"a"},"n":{"N":"1"},"x":{"S":"y"}}]},"UnprocessedKeys":{}}"#);
            node.settle().await;
        }
    }
    assert_eq!((node.shadowed(ShadowResult::Miss), node.shadowed(ShadowResult::Equal)), (3, 3));
    node.upstream.assert_none();
}

/// A node of which only the table `Orders` is in shadow mode.
async fn start_mixed() -> Node {
    let policy_of = |table: &str| if table == "Orders" { shadow() } else { policy() };
    let node = Node::start_with_policies(Box::new(policy_of), policy());
    node.script.describe("Users", &[("id", "S", "HASH")]);
    node.settle_writes().await;
    node
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_tables_of_both_modes_is_answered_by_the_upstream_and_takes_nobody_back() {
    let mut node = start_mixed().await;
    let user = |body: String| body.replace("Orders", "Users");
    let write = node.begin("PutItem", &user(put("a", 2))).await;
    node.upstream.next(PutItem).await.answer("{}");
    write.await;
    assert_eq!(node.call("GetItem", &user(get("a"))).await.source, "hit");
    node.put_in_shadow("a", 2).await;
    let key = r#"{"Keys":[{"id":{"S":"a"}}]}"#;
    let read = node.begin("BatchGetItem", &batch(&format!(r#""Orders":{key},"Users":{key}"#))).await;
    let call = node.upstream.next(BatchGetItem).await;
    // The table that is on was written lately; the other one is read as the client says.
    let strongly = r#"{"Keys":[{"id":{"S":"a"}}],"ConsistentRead":true}"#;
    assert_eq!(call.body(), batch(&format!(r#""Orders":{key},"Users":{strongly}"#)));
    call.answer(
        r#"{"Responses":{"Orders":[],"Users":[{"id":{"S":"a"},"n":{"N":"3"}}]},"UnprocessedKeys":{}}"#,
    );
    assert_eq!(read.await.source, "bypass");
    // The key in shadow is compared, and a second look asks who is right.
    node.answer_second_look(&item("a", 2)).await;
    assert_eq!(node.shadowed(ShadowResult::UpstreamStale), 1);
    // Whoever saw the 3 must not see the 2 again.
    let read = node.begin("GetItem", &user(get("a"))).await;
    node.upstream.next(GetItem).await.answer(&item("a", 3));
    assert_eq!(read.await.source, "miss");
    // The cache in shadow has not heard of it.
    node.read_in_shadow("a", 2).await;
    assert_eq!(node.shadowed(ShadowResult::Equal), 1);
}

#[tokio::test(start_paused = true)]
async fn keys_in_shadow_are_compared_in_a_batch_beside_tables_of_any_other_mode() {
    let off = || TablePolicy { items: None, pages: None, ..policy() };
    for (other, is_off) in [(policy as fn() -> TablePolicy, false), (off, true)] {
        let policy_of = move |table: &str| if table == "Orders" { shadow() } else { other() };
        let mut node = Node::start_with_policies(Box::new(policy_of), policy());
        node.script.describe("Users", &[("id", "S", "HASH")]);
        node.settle_writes().await;
        // The other table was written lately, so it is read strongly.
        let write = node.begin("PutItem", &put("a", 2).replace("Orders", "Users")).await;
        node.upstream.next(PutItem).await.answer("{}");
        assert_eq!(write.await.status, 200);
        let key = r#"{"Keys":[{"id":{"S":"a"}}]}"#;
        // The other table before and behind the one in shadow.
        let bodies = [format!(r#""Users":{key},"Orders":{key}"#), format!(r#""Orders":{key},"Users":{key}"#)];
        for body in bodies.map(|parts| batch(&parts)) {
            let read = node.begin("BatchGetItem", &body).await;
            let call = node.upstream.next(BatchGetItem).await;
            let fresh = body.replace(
                &format!(r#""Users":{key}"#),
                r#""Users":{"Keys":[{"id":{"S":"a"}}],"ConsistentRead":true}"#,
            );
            assert_eq!(call.body(), fresh, "off: {is_off}");
            let answer = r#"{"Responses":{"Orders":[{"id":{"S":"a"},"n":{"N":"1"}}],"Users":[]},"UnprocessedKeys":{}}"#;
            call.answer(answer);
            let reply = read.await;
            assert_eq!((reply.source.as_str(), reply.body.as_str()), ("bypass", answer));
            node.settle().await;
        }
        let results = [ShadowResult::Miss, ShadowResult::Equal].map(|result| node.shadowed(result));
        assert_eq!((results, node.comparisons().shadow.iter().sum()), ([1, 1], 2_u64), "off: {is_off}");
        node.upstream.assert_none();
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_cached_in_one_mode_is_not_served_in_the_other() {
    let is_on = Arc::new(AtomicBool::new(false));
    let mode = Arc::clone(&is_on);
    let policy_of = move |_: &str| if mode.load(Ordering::Relaxed) { policy() } else { shadow() };
    let mut node = Node::start_with_policies(Box::new(policy_of), policy());
    node.settle_writes().await;
    node.read_in_shadow("a", 1).await;
    // This client has seen more than the cache has: were it served now, the client would go back.
    node.read_in_shadow("a", 2).await;
    node.upstream.next(GetItem).await.fail(500);
    is_on.store(true, Ordering::Relaxed);
    node.renew_policies(PolicyChange::Invalidates);
    node.read_from_upstream("a", 2).await;
    assert_eq!(node.call("GetItem", &get("a")).await.source, "hit");
    is_on.store(false, Ordering::Relaxed);
    node.renew_policies(PolicyChange::Invalidates);
    node.read_in_shadow("a", 2).await;
    assert_eq!(node.shadowed(ShadowResult::Equal), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stale_upstream_and_a_stale_cache_are_found_within_a_minute_at_100_reads_a_second() {
    const ITEMS: u64 = 1_000;
    for fault in [ShadowResult::UpstreamStale, ShadowResult::CacheStale] {
        let mut node = start().await;
        let mut random = fastrand::Rng::with_seed(7);
        for number in 0..ITEMS {
            node.put_in_shadow(&number.to_string(), 1).await;
        }
        let mut found = None;
        for tick in 0..6_000 {
            let number = random.u64(..ITEMS);
            let id = number.to_string();
            // One item in a hundred: replicas have not got the write, or somebody else has written once more.
            let (shown, stored) = match (number % 100, fault) {
                (0, ShadowResult::UpstreamStale) => (0, 1),
                (0, _) => (2, 2),
                _ => (1, 1),
            };
            node.read_in_shadow(&id, shown).await;
            if let Some(second) = node.upstream.try_next(GetItem) {
                second.answer(&item(&id, stored));
            }
            node.wait(Duration::from_millis(10)).await;
            if node.shadowed(fault) > 0 {
                found = Some(tick / 100);
                break;
            }
        }
        assert!(found.is_some_and(|seconds| seconds < 60), "{fault:?}: {found:?}");
        assert_eq!(node.shadowed(ShadowResult::Differs), 0);
    }
}
