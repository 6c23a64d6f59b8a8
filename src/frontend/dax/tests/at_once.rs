//! Items from memory, by a key and without a request in JSON: the same bytes as by the long way, and never older than a write.

use super::vectors::{engine, engine_and_pages};
use super::*;
use crate::engine::Engine;
use crate::model::Operation;

async fn put(engine: &Arc<Engine>, total: &str) {
    let body = format!(
        r#"{{"TableName":"tab_s","Item":{{"pk":{{"S":"k"}},"name":{{"S":"a\"b é"}},"total":{{"N":"{total}"}},
            "list":{{"L":[{{"NULL":true}},{{"BS":["YQ=="]}}]}}}}}}"#
    );
    let served = engine.execute(Request::new(Operation::PutItem, body)).await;
    assert!(served.answer.is_success(), "{:?}", served.answer);
}

fn get_with(key: &str, options: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    request(263_244_906, |writer| {
        writer.bytes(b"tab_s");
        writer.bytes(key.as_bytes());
        options(writer);
    })
}

async fn wire(engine: &Arc<Engine>) -> Wire<Engine> {
    let mut wire = Wire::asking(Arc::clone(engine), AnyCaller, Settings::default());
    wire.send(&[preamble(), authorization("AKID", "0", &text_to_sign(), None)].concat()).await;
    wire
}

#[tokio::test(start_paused = true)]
async fn an_item_from_memory_is_what_a_strong_read_gives_and_absence_is_told() {
    let engine = engine().await;
    let mut wire = wire(&engine).await;
    for total in ["1", "2.5", "-1E+30"] {
        put(&engine, total).await;
        let strong = get_with("k", |writer| {
            writer.map(1);
            writer.unsigned(2);
            writer.bool(true);
        });
        let strong = wire.ask(&strong).await;
        assert!(strong.codes.is_empty());
        for _ in 0..3 {
            assert_eq!(wire.ask(&get_item("tab_s", "k")).await, strong, "after {total}");
        }
        let plain = get_with("k", |writer| {
            writer.map(2);
            writer.unsigned(2);
            writer.bool(false);
            writer.unsigned(3);
            writer.unsigned(0);
        });
        assert_eq!(wire.ask(&plain).await, strong);
    }
    for _ in 0..3 {
        assert_eq!(wire.ask(&get_item("tab_s", "gone")).await.rest, [0xf6]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_that_asks_for_more_takes_the_long_way() {
    let engine = engine().await;
    let mut wire = wire(&engine).await;
    put(&engine, "1").await;
    let plain = wire.ask(&get_item("tab_s", "k")).await;
    let with_capacity = get_with("k", |writer| {
        writer.map(1);
        writer.unsigned(3);
        writer.unsigned(1);
    });
    let with_capacity = wire.ask(&with_capacity).await;
    // A map of two: the item and the capacity.
    assert_eq!((plain.rest[0], with_capacity.rest[0]), (0xa1, 0xa2));
    let unknown = get_with("k", |writer| {
        writer.map(1);
        writer.unsigned(12);
        writer.unsigned(0);
    });
    assert_eq!(wire.ask(&unknown).await.error(), "ValidationException");
    assert_eq!(wire.ask(&get_item("tab_x", "k")).await.error(), "ResourceNotFoundException");
}

#[tokio::test(start_paused = true)]
async fn a_hit_counts_once_also_if_the_list_of_its_names_is_new() {
    let (engine, pages) = engine_and_pages().await;
    let hits = |table: &str| {
        let tables = pages.tables();
        let (table, _) = tables.into_iter().find(|(of, _)| of.name() == table).unwrap();
        (table.stats().hits, table.page_stats().hits)
    };
    let mut wire = wire(&engine).await;
    let body = r#"{"TableName":"tab_s","Item":{"pk":{"S":"k"},"a shape":{"S":"that no other"},"test has":{"N":"1"}}}"#;
    assert!(engine.execute(Request::new(Operation::PutItem, body)).await.answer.is_success());
    for count in 1..4 {
        let reply = wire.ask(&get_item("tab_s", "k")).await;
        assert_eq!((reply.codes.is_empty(), reply.rest[0]), (true, 0xa1));
        assert_eq!(hits("tab_s"), (count, 0));
    }
    let body = r#"{"TableName":"tab_ss","Item":{"pk":{"S":"k"},"sk":{"S":"1"},"another shape":{"S":"that no other"},"test has":{"N":"1"}}}"#;
    assert!(engine.execute(Request::new(Operation::PutItem, body)).await.answer.is_success());
    let body = r##"{"TableName":"tab_ss","KeyConditionExpression":"#0=:0","ExpressionAttributeNames":{"#0":"pk"},
        "ExpressionAttributeValues":{":0":{"S":"k"}}}"##;
    for _ in 0..2 {
        assert!(engine.execute(Request::new(Operation::Query, body)).await.answer.is_success());
    }
    let (_, before) = hits("tab_ss");
    assert!(before > 0, "the page is in memory");
    let query = query(false);
    for count in 1..4 {
        assert!(wire.ask(&query).await.codes.is_empty());
        assert_eq!(hits("tab_ss").1, before + count);
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_is_shown_whose_list_of_names_cannot_be_kept_and_a_list_of_a_client_is_rejected() {
    let engine = engine().await;
    put(&engine, "1").await;
    let lists = Arc::new(AttributeLists::in_memory(Limits { lists: 1, ..Limits::default() }));
    let settings = Settings { dax: DaxSettings { lists, ..DaxSettings::default() }, ..Settings::default() };
    let mut wire = Wire::asking(Arc::clone(&engine), AnyCaller, settings);
    wire.send(&[preamble(), authorization("AKID", "0", &text_to_sign(), None)].concat()).await;
    let item = wire.ask(&get_item("tab_s", "k")).await;
    assert_eq!((item.codes.as_slice(), item.rest[0]), (&NO_ERROR[..], 0xa1));
    let strong = get_with("k", |writer| {
        writer.map(1);
        writer.unsigned(2);
        writer.bool(true);
    });
    assert_eq!(wire.ask(&strong).await, item);
    let define = |names: &[&str]| {
        request(DEFINE_LIST_ID, |writer| {
            writer.array(names.len());
            names.iter().for_each(|name| writer.text(name));
        })
    };
    assert_eq!(wire.ask(&define(&["list", "name", "total"])).await.error(), "LimitExceededException");
    let empty = wire.ask(&define(&[])).await;
    assert_eq!((empty.codes.as_slice(), empty.rest), (&NO_ERROR[..], vec![1]));
}

/// A Query of the items of `k` in `tab_ss`.
fn query(is_strong: bool) -> Vec<u8> {
    request(-931_250_863, |writer| {
        writer.bytes(b"tab_ss");
        writer.bytes(&[0x83, 1, 0x83, 0, 0x82, 0x12, 0x62, b'p', b'k', 0x82, 0x11, 0, 0x81, 0x61, b'k']);
        if is_strong {
            writer.map(1);
            writer.unsigned(2);
            writer.bool(true);
        } else {
            writer.null();
        }
    })
}

#[tokio::test(start_paused = true)]
async fn a_hot_page_is_what_a_strong_read_gives_after_each_write() {
    let (engine, pages) = engine_and_pages().await;
    let mut wire = wire(&engine).await;
    let mut before = None;
    for turn in 0..5 {
        let body = format!(
            r#"{{"TableName":"tab_ss","Item":{{"pk":{{"S":"k"}},"sk":{{"S":"{}"}},"turn":{{"N":"{turn}"}}}}}}"#,
            turn % 3
        );
        assert!(engine.execute(Request::new(Operation::PutItem, body)).await.answer.is_success());
        let strong = wire.ask(&query(true)).await;
        assert!(strong.codes.is_empty() && before.as_ref() != Some(&strong));
        for _ in 0..6 {
            assert_eq!(wire.ask(&query(false)).await, strong, "in turn {turn}");
        }
        before = Some(strong);
    }
    let hits: u64 = pages.tables().iter().map(|(table, _)| table.page_stats().hits).sum();
    assert!(hits > 10, "{hits} hits");
}
