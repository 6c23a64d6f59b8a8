//! Rules of shadow mode that only show where they are broken one at a time.

use nearside::cache::{ShadowRead, ShadowResult};
use nearside::model::Operation::{BatchGetItem, GetItem, PutItem, Query};

use super::{OTHER_PAGE, PAGE, QUERY, batch, start};
use crate::harness::{Node, get, item, put, strong};
use crate::scripted::Call;

/// A read of a part of an item, which is answered; the fill of the whole item that is sent beside it, if one is.
async fn read_part(node: &mut Node, id: &str) -> Option<Call> {
    let read = node.begin("GetItem", &get(id).replace("}}}", r#"}},"ProjectionExpression":"n"}"#)).await;
    node.upstream.next(GetItem).await.answer(r#"{"Item":{"n":{"N":"1"}}}"#);
    assert_eq!(read.await.status, 200);
    node.settle().await;
    node.upstream.try_next(GetItem)
}

/// Has a strong read of a client contradict what is cached, so that nothing but a strong read may fill it again.
async fn contradict(node: &mut Node, id: &str, n: u64) {
    let read = node.begin("GetItem", &strong(id)).await;
    node.upstream.next(GetItem).await.answer(&item(id, n));
    assert_eq!(read.await.source, "bypass");
}

async fn query(node: &mut Node, body: &str, page: &str) {
    let read = node.begin("Query", body).await;
    node.upstream.next(Query).await.answer(page);
    assert_eq!(read.await.body, page);
    node.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_hit_that_was_not_compared_would_have_saved_nothing() {
    let mut node = start().await;
    node.read_in_shadow("a", 1).await;
    let read = node.begin("GetItem", &get("a")).await;
    node.upstream.next(GetItem).await.fail(500);
    assert_eq!(read.await.status, 500);
    assert_eq!(node.shadowed(ShadowResult::NotCompared), 1);
    assert_eq!(node.comparisons().shadow_saved.number(), 0.0);
    node.read_in_shadow("a", 1).await;
    assert_eq!(node.comparisons().shadow_saved.number(), 0.5);
}

#[tokio::test(start_paused = true)]
async fn an_upstream_that_never_lags_is_not_asked_twice() {
    let mut node = start().await;
    node.script.never_lag();
    node.read_in_shadow("a", 1).await;
    node.read_in_shadow("a", 2).await;
    node.upstream.assert_none();
    assert_eq!((node.shadowed(ShadowResult::CacheStale), node.shadowed(ShadowResult::Differs)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_denied_fill_of_no_more_than_the_client_asked_for_says_nothing_of_whole_items() {
    let mut node = start().await;
    node.read_in_shadow("a", 1).await;
    contradict(&mut node, "a", 2).await;
    node.read_in_shadow("a", 2).await;
    node.upstream.next(GetItem).await.refuse("AccessDeniedException");
    node.settle().await;
    let fill =
        read_part(&mut node, "b").await.expect("a role that may not read strongly may read whole items");
    fill.answer(&item("b", 1));
}

#[tokio::test(start_paused = true)]
async fn few_fills_are_in_flight_at_a_time_and_those_left_out_are_counted() {
    let mut node = start().await;
    let mut fills = Vec::new();
    for number in 0..64 {
        fills.push(read_part(&mut node, &number.to_string()).await.expect("a fill beside"));
    }
    assert!(read_part(&mut node, "64").await.is_none());
    assert_eq!(node.comparisons().shadow_fills_dropped, 1);
    assert_eq!(node.comparisons().shadow_reads[ShadowRead::Fill as usize], 64);
    fills.pop().unwrap().answer(&item("63", 1));
    node.settle().await;
    assert!(read_part(&mut node, "65").await.is_some());
    assert_eq!(node.comparisons().shadow_fills_dropped, 1);
}

#[tokio::test(start_paused = true)]
async fn a_table_whose_reads_are_rejected_is_described_again() {
    let mut node = start().await;
    node.read_in_shadow("a", 1).await;
    let described = node.script.described();
    let read = node.begin("GetItem", &get("a")).await;
    node.upstream.next(GetItem).await.refuse("ValidationException");
    assert_eq!(read.await.status, 400);
    node.settle().await;
    assert_eq!(node.script.described(), described + 1);
}

#[tokio::test(start_paused = true)]
async fn strong_keys_of_a_batch_are_not_counted_and_correct_the_cache() {
    let whole = r#"{"Responses":{"Orders":[{"id":{"S":"a"},"n":{"N":"2"}}]},"UnprocessedKeys":{}}"#;
    for projection in ["", r#","ProjectionExpression":"id, n""#] {
        let mut node = start().await;
        node.read_in_shadow("a", 1).await;
        let strongly =
            format!(r#""Orders":{{"Keys":[{{"id":{{"S":"a"}}}}],"ConsistentRead":true{projection}}}"#);
        let read = node.begin("BatchGetItem", &batch(&strongly)).await;
        node.upstream.next(BatchGetItem).await.answer(whole);
        assert_eq!(read.await.body, whole);
        node.settle().await;
        assert_eq!(node.comparisons().shadow.iter().sum::<u64>(), 1, "the first read alone");
        // It is gone from the cache, which fills it by a strong read.
        node.read_in_shadow("a", 2).await;
        node.answer_second_look(&item("a", 2)).await;
        assert_eq!(node.shadowed(ShadowResult::Miss), 2, "{projection}");
        assert_eq!(node.comparisons().shadow_reads[ShadowRead::Fill as usize], 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_filled_as_strongly_as_the_caches_rules_say() {
    let mut node = start().await;
    node.read_in_shadow("a", 1).await;
    contradict(&mut node, "a", 3).await;
    let answer = |n: u64| {
        format!(
            r#"{{"Responses":{{"Orders":[{{"id":{{"S":"a"}},"n":{{"N":"{n}"}}}}]}},"UnprocessedKeys":{{}}}}"#
        )
    };
    // The client reads eventually, from a replica that lags.
    let read = node.begin("BatchGetItem", &batch(r#""Orders":{"Keys":[{"id":{"S":"a"}}]}"#)).await;
    node.upstream.next(BatchGetItem).await.answer(&answer(1));
    assert_eq!(read.await.body, answer(1));
    let fill = node.upstream.next(BatchGetItem).await;
    assert!(fill.body().contains(r#""ConsistentRead":true"#), "{}", fill.body());
    fill.answer(&answer(3));
    node.settle().await;
    node.read_in_shadow("a", 3).await;
    assert_eq!((node.shadowed(ShadowResult::Miss), node.shadowed(ShadowResult::Equal)), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_write_that_overlaps_explains_a_difference_of_pages_too() {
    for is_settled in [false, true] {
        let mut node = start().await;
        query(&mut node, QUERY, PAGE).await;
        let read = node.begin("Query", QUERY).await;
        let call = node.upstream.next(Query).await;
        let write = node.begin("PutItem", &put("a", 2)).await;
        let mut written = Some(node.upstream.next(PutItem).await);
        if is_settled {
            written.take().unwrap().answer("{}");
            node.settle().await;
        }
        call.answer(OTHER_PAGE);
        assert_eq!(read.await.body, OTHER_PAGE);
        node.settle().await;
        assert_eq!(node.shadowed(ShadowResult::ChangedDuring), 1, "settled: {is_settled}");
        node.upstream.assert_none();
        written.into_iter().for_each(|written| written.answer("{}"));
        write.await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_is_filled_as_strongly_as_the_caches_rules_say() {
    let mut node = start().await;
    query(&mut node, QUERY, PAGE).await;
    query(&mut node, &QUERY.replacen('{', r#"{"ConsistentRead":true,"#, 1), OTHER_PAGE).await;
    query(&mut node, QUERY, PAGE).await;
    let fill = node.upstream.next(Query).await;
    assert!(fill.body().contains(r#""ConsistentRead":true"#), "{}", fill.body());
    fill.answer(OTHER_PAGE);
    node.settle().await;
    query(&mut node, QUERY, OTHER_PAGE).await;
    assert_eq!((node.shadowed(ShadowResult::Miss), node.shadowed(ShadowResult::Equal)), (2, 1));
}
