//! What an operator does with the cache: tables are read into it before anybody asks, and what is doubted is dropped.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use nearside::cache::FillMode;
use nearside::engine::{
    FlushFailure, PolicyChange, TablePolicy, WarmFailure, WarmPage, WarmPlace, WarmSurvey,
};
use nearside::model::Operation::{GetItem, PutItem, Scan, UpdateItem};
use tokio::task::JoinHandle;

use crate::harness::{Node, get, item, policy, put};
use crate::scripted::Call;

const PLACE: WarmPlace = WarmPlace { segment: 1, segments: 4, after: None };

/// A node that has known its table for so long that nothing counts as lately changed.
async fn start() -> Node {
    let mut node = Node::start().await;
    node.read_from_upstream("known", 0).await;
    node.settle_writes().await;
    node
}

/// A page of these items, and the key behind which the next one begins.
fn page(items: &[(&str, u64)], next: Option<&str>) -> String {
    let count = items.len();
    let items: Vec<_> =
        items.iter().map(|(id, n)| format!(r#"{{"id":{{"S":"{id}"}},"n":{{"N":"{n}"}}}}"#)).collect();
    let next = next.map(|id| format!(r#""LastEvaluatedKey":{{"id":{{"S":"{id}"}}}},"#)).unwrap_or_default();
    format!(
        r#"{{"ConsumedCapacity":{{"CapacityUnits":1.5,"TableName":"Orders"}},"Count":{count},"Items":[{}],{next}"ScannedCount":{count}}}"#,
        items.join(",")
    )
}

type Warming = JoinHandle<Result<WarmPage, WarmFailure>>;

/// Begins to read a page, until it waits for the upstream.
async fn begin(node: &mut Node, place: WarmPlace) -> (Warming, Call) {
    let engine = Arc::clone(node.engine());
    let warming = tokio::spawn(async move { engine.warm_page("Orders", &place, 25).await });
    node.settle().await;
    let scan = node.upstream.next(Scan).await;
    (warming, scan)
}

#[tokio::test(start_paused = true)]
async fn a_warmed_table_answers_hits() {
    let mut node = start().await;
    let (warming, scan) = begin(&mut node, PLACE).await;
    assert_eq!(scan.body(), r#"{"TableName":"Orders","Segment":1,"TotalSegments":4,"Limit":25}"#);
    scan.answer(&page(&[("a", 1), ("b", 2)], Some("b")));
    let next = Bytes::from(r#"{"id":{"S":"b"}}"#);
    let mark = node.engine().warm_mark("Orders").await.unwrap();
    let expected = WarmPage { items: 2, installed: 2, read_units: 1.5, next: Some(next.clone()), mark };
    assert!(warming.await.unwrap() == Ok(expected));
    for (id, n) in [("a", 1), ("b", 2)] {
        let reply = node.call("GetItem", &get(id)).await;
        assert_eq!((reply.source.as_str(), reply.body), ("hit", item(id, n)));
    }
    // It goes on behind the last key, and what is there already counts as installed.
    let (warming, scan) = begin(&mut node, WarmPlace { after: Some(next), ..PLACE }).await;
    assert!(scan.body().ends_with(r#","ExclusiveStartKey":{"id":{"S":"b"}}}"#), "{}", scan.body());
    // An upstream that reports no units charges by the size of what it read.
    scan.answer(r#"{"Count":1,"Items":[{"id":{"S":"b"},"n":{"N":"2"}}],"ScannedCount":1}"#);
    let last = WarmPage { items: 1, installed: 1, read_units: 0.5, next: None, mark };
    assert!(warming.await.unwrap() == Ok(last));
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn a_write_during_warming_is_never_hidden_by_an_older_image() {
    let mut node = start().await;
    // Another item of the page is stored all the same, where the table is being written.
    let earlier = node.begin("PutItem", &put("z", 1)).await;
    node.upstream.next(PutItem).await.answer("{}");
    assert_eq!(earlier.await.status, 200);
    // Acknowledged while the page is on its way. An UpdateItem that returns nothing leaves nothing in the cache.
    let update = r#"{"TableName":"Orders","Key":{"id":{"S":"a"}}}"#;
    let (warming, scan) = begin(&mut node, PLACE).await;
    let written = node.begin("UpdateItem", update).await;
    node.upstream.next(UpdateItem).await.answer("{}");
    assert_eq!(written.await.status, 200);
    scan.answer(&page(&[("a", 1), ("b", 1)], None));
    let warmed = warming.await.unwrap().ok().unwrap();
    assert_eq!((warmed.items, warmed.installed), (2, 1));
    assert_eq!(node.call("GetItem", &get("b")).await.source, "hit");
    let read = node.begin("GetItem", &get("a")).await;
    node.upstream.next(GetItem).await.answer(&item("a", 2));
    assert_eq!(read.await.body, item("a", 2));
    // Begun while the page is on its way, and acknowledged after it has come.
    let (warming, scan) = begin(&mut node, PLACE).await;
    let written = node.begin("PutItem", &put("c", 2)).await;
    let upstream = node.upstream.next(PutItem).await;
    scan.answer(&page(&[("c", 1)], None));
    assert_eq!(warming.await.unwrap().ok().unwrap().installed, 0);
    upstream.answer("{}");
    assert_eq!(written.await.status, 200);
    assert_eq!(node.call("GetItem", &get("c")).await.body, item("c", 2));
    // Of unknown outcome: nobody knows what the item is.
    let (warming, scan) = begin(&mut node, PLACE).await;
    let written = node.begin("PutItem", &put("d", 2)).await;
    node.upstream.next(PutItem).await.lose();
    assert_eq!(written.await.status, 500);
    scan.answer(&page(&[("d", 1)], None));
    assert_eq!(warming.await.unwrap().ok().unwrap().installed, 0);
    let read = node.begin("GetItem", &get("d")).await;
    node.upstream.next(GetItem).await.answer(&item("d", 2));
    assert_eq!(read.await.body, item("d", 2));
}

/// A strong read does not lag behind what was written before it. So only the words show that the page is older than a
/// write that was acknowledged while it was on its way.
#[tokio::test(start_paused = true)]
async fn the_words_alone_keep_an_item_out_that_was_written_while_a_strong_page_was_on_its_way() {
    fn strong() -> TablePolicy {
        let mut policy = policy();
        policy.items.iter_mut().for_each(|items| items.fill = FillMode::Strong);
        policy
    }
    let update = r#"{"TableName":"Orders","Key":{"id":{"S":"a"}}}"#;
    // Whether the table was written lately decides which words are compared: those of each partition, or the one of all.
    for is_written in [false, true] {
        let mut node = Node::start_with(strong).await;
        node.read_from_upstream("known", 0).await;
        node.settle_writes().await;
        if is_written {
            let earlier = node.begin("UpdateItem", &update.replace(r#""S":"a""#, r#""S":"z""#)).await;
            node.upstream.next(UpdateItem).await.answer("{}");
            assert_eq!(earlier.await.status, 200);
        }
        let (warming, scan) = begin(&mut node, PLACE).await;
        assert!(scan.body().contains(r#""ConsistentRead":true"#), "{}", scan.body());
        let written = node.begin("UpdateItem", update).await;
        node.upstream.next(UpdateItem).await.answer("{}");
        assert_eq!(written.await.status, 200);
        scan.answer(&page(&[("a", 1), ("b", 1)], None));
        let warmed = warming.await.unwrap().ok().unwrap();
        assert_eq!((warmed.items, warmed.installed), (2, u64::from(is_written)));
        let read = node.begin("GetItem", &get("a")).await;
        node.upstream.next(GetItem).await.answer(&item("a", 2));
        assert_eq!(read.await.body, item("a", 2), "written lately: {is_written}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_that_was_written_lately_is_not_stored_out_of_a_page_that_may_lag() {
    let mut node = start().await;
    let written = node.begin("UpdateItem", r#"{"TableName":"Orders","Key":{"id":{"S":"a"}}}"#).await;
    node.upstream.next(UpdateItem).await.refuse("ThrottlingException");
    assert_eq!(written.await.status, 400);
    let (warming, scan) = begin(&mut node, PLACE).await;
    assert!(!scan.body().contains("ConsistentRead"));
    scan.answer(&page(&[("a", 1), ("b", 1)], None));
    assert_eq!(warming.await.unwrap().ok().unwrap().installed, 1);
    node.settle_writes().await;
    let (warming, scan) = begin(&mut node, PLACE).await;
    scan.answer(&page(&[("a", 1)], None));
    assert_eq!(warming.await.unwrap().ok().unwrap().installed, 1);
}

#[tokio::test(start_paused = true)]
async fn soon_after_the_start_tables_are_warmed_by_strong_reads() {
    let mut node = Node::start().await;
    let (warming, scan) = begin(&mut node, PLACE).await;
    assert!(scan.body().contains(r#","ConsistentRead":true"#), "{}", scan.body());
    scan.answer(&page(&[("a", 1)], None));
    assert_eq!(warming.await.unwrap().ok().unwrap().installed, 1);
    assert_eq!(node.call("GetItem", &get("a")).await.source, "hit");
}

#[tokio::test(start_paused = true)]
async fn why_a_table_cannot_be_warmed_is_told_apart() {
    let mut node = start().await;
    let mark = node.engine().warm_mark("Orders").await.unwrap();
    let survey =
        WarmSurvey { table: "Orders".to_owned(), arn: String::new(), items: None, bytes: None, mark };
    assert_eq!(node.engine().survey("Orders").await, Ok(survey));
    assert_eq!(node.engine().survey("Nowhere").await, Err(WarmFailure::Missing));
    for (code, expected) in [
        (
            "ProvisionedThroughputExceededException",
            WarmFailure::Transient("ProvisionedThroughputExceededException".to_owned()),
        ),
        ("AccessDeniedException", WarmFailure::Permanent("AccessDeniedException".to_owned())),
        ("ResourceNotFoundException", WarmFailure::Missing),
    ] {
        let (warming, scan) = begin(&mut node, PLACE).await;
        scan.refuse(code);
        assert!(warming.await.unwrap() == Err(expected), "{code}");
    }
    let (warming, scan) = begin(&mut node, PLACE).await;
    scan.answer(r#"{"Items":[{"other":{"S":"a"}}],"Count":1,"ScannedCount":1}"#);
    assert!(matches!(warming.await.unwrap(), Err(WarmFailure::Permanent(_))));
    let off = || TablePolicy { items: None, ..policy() };
    let node = Node::start_with(off).await;
    assert_eq!(node.engine().survey("Orders").await, Err(WarmFailure::Off));
}

#[tokio::test(start_paused = true)]
async fn the_mark_of_a_table_moves_when_what_is_cached_of_it_is_dropped() {
    let node = start().await;
    let engine = node.engine();
    let mut marks = vec![engine.warm_mark("Orders").await.unwrap()];
    engine.flush_item("Orders", r#"{"id":{"S":"a"}}"#).await.unwrap();
    engine.renew_policies(PolicyChange::Keeps);
    assert_eq!(engine.warm_mark("Orders").await, Ok(marks[0]));
    engine.flush_table("Orders").await.unwrap();
    marks.push(engine.warm_mark("Orders").await.unwrap());
    engine.flush();
    marks.push(engine.warm_mark("Orders").await.unwrap());
    engine.renew_policies(PolicyChange::Invalidates);
    marks.push(engine.warm_mark("Orders").await.unwrap());
    assert!(marks.windows(2).all(|pair| pair[0] != pair[1]), "{marks:?}");
}

#[tokio::test(start_paused = true)]
async fn a_warm_up_has_no_more_room_once_something_was_evicted() {
    let mut node = start().await;
    let room = node.engine().begin_warm_up();
    let big = "x".repeat(9_000);
    let mut pages = 0;
    while node.engine().has_room_to_warm(room) {
        let (warming, scan) = begin(&mut node, PLACE).await;
        let items: Vec<_> = (0..10)
            .map(|number| format!(r#"{{"id":{{"S":"{pages}-{number}"}},"n":{{"S":"{big}"}}}}"#))
            .collect();
        scan.answer(&format!(r#"{{"Count":10,"Items":[{}],"ScannedCount":10}}"#, items.join(",")));
        assert_eq!(warming.await.unwrap().ok().unwrap().items, 10);
        pages += 1;
        assert!(pages < 100, "a cache of 1 MiB took 9 MB");
    }
    assert!(pages > 3, "{pages}");
}

#[tokio::test(start_paused = true)]
async fn after_a_flush_the_next_read_is_a_miss() {
    let mut node = start().await;
    let engine = Arc::clone(node.engine());
    for id in ["a", "b"] {
        node.read_from_upstream(id, 1).await;
    }
    let source = async |node: &Node, id: &str| node.call("GetItem", &get(id)).await.source;
    assert_eq!((source(&node, "a").await, source(&node, "b").await), ("hit".into(), "hit".into()));
    engine.flush_item("Orders", r#"{"id":{"S":"a"}}"#).await.unwrap();
    assert_eq!(source(&node, "b").await, "hit");
    node.read_from_upstream("a", 2).await;
    engine.flush_table("Orders").await.unwrap();
    for id in ["a", "b"] {
        node.read_from_upstream(id, 3).await;
    }
    engine.flush();
    for id in ["a", "b"] {
        node.read_from_upstream(id, 4).await;
        assert_eq!(source(&node, id).await, "hit");
    }
    // A fill that is on its way brings what may be old.
    engine.flush_item("Orders", r#"{"id":{"S":"a"}}"#).await.unwrap();
    let read = node.begin("GetItem", &get("a")).await;
    let fill = node.upstream.next(GetItem).await;
    engine.flush_item("Orders", r#"{"id":{"S":"a"}}"#).await.unwrap();
    fill.answer(&item("a", 4));
    assert_eq!(read.await.body, item("a", 4));
    node.read_from_upstream("a", 5).await;
}

#[tokio::test(start_paused = true)]
async fn a_flush_of_what_is_not_there_or_is_no_key_says_so() {
    let node = start().await;
    let engine = node.engine();
    assert_eq!(engine.flush_table("Nowhere").await, Err(FlushFailure::Missing));
    assert_eq!(engine.flush_item("Nowhere", "{}").await, Err(FlushFailure::Missing));
    for key in [
        "",
        "[]",
        "{}",
        r#"{"id":"a"}"#,
        r#"{"id":{"N":"1"}}"#,
        r#"{"id":{"S":""}}"#,
        r#"{"id":{"S":"a"},"n":{"N":"1"}}"#,
    ] {
        assert_eq!(
            engine.flush_item("Orders", key).await,
            Err(FlushFailure::Key("id (S)".to_owned())),
            "{key}"
        );
    }
    node.wait(Duration::from_secs(1)).await;
}
