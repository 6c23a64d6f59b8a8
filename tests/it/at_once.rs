//! Items that memory has, for who asks by a key and not by a request.

use std::sync::Arc;

use nearside::cache::{CacheLimits, ItemCache, PageCache, PageLimits};
use nearside::call::{Request, Source};
use nearside::engine::{CacheMode, Engine, ItemAtOnce, SampleRate, TablePolicy};
use nearside::json::Json;
use nearside::local::{Local, Settings};
use nearside::model::Operation;
use nearside::wire::request::key_bytes;

use crate::harness;

const TABLE: &str = r#"{"TableName":"Orders","BillingMode":"PAY_PER_REQUEST",
    "AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
    "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}"#;

/// An engine over a database, with a table.
async fn engine(policy: fn() -> TablePolicy) -> Arc<Engine> {
    let cache = ItemCache::seeded(CacheLimits { max_bytes: 1 << 20, stripes: 1 << 10 }, 0);
    let pages = PageCache::new(PageLimits::for_budget(1 << 20), Arc::clone(&cache));
    let local = Arc::new(Local::in_memory(Settings::default()));
    let engine = Engine::new(local, cache, pages, Box::new(move |_| policy()));
    call(&engine, Operation::CreateTable, TABLE).await;
    engine
}

async fn call(engine: &Arc<Engine>, operation: Operation, body: &str) -> (String, Source) {
    let served = engine.execute(Request::new(operation, body.to_owned())).await;
    let text = String::from_utf8(served.answer.body.to_vec()).unwrap();
    assert_eq!(served.answer.status, 200, "{operation}: {text}");
    (text, served.source)
}

async fn get(engine: &Arc<Engine>, id: &str) -> (String, Source) {
    let body = format!(r#"{{"TableName":"Orders","Key":{{"id":{{"S":"{id}"}}}}}}"#);
    call(engine, Operation::GetItem, &body).await
}

async fn put(engine: &Arc<Engine>, total: u32) {
    let body = format!(r#"{{"TableName":"Orders","Item":{{"id":{{"S":"1"}},"total":{{"N":"{total}"}}}}}}"#);
    call(engine, Operation::PutItem, &body).await;
}

fn at_once(engine: &Engine, table: &str, key: &str) -> Option<ItemAtOnce> {
    let key = Json::parse(key.as_bytes()).unwrap();
    engine.item_at_once(table, |schema, out| {
        out.extend(key_bytes(schema, &key)?);
        Some(())
    })
}

#[tokio::test(start_paused = true)]
async fn an_item_at_once_is_the_answer_of_a_get_and_never_older_than_a_write() {
    let engine = engine(harness::policy).await;
    assert!(at_once(&engine, "Orders", r#"{"id":{"S":"1"}}"#).is_none());
    for total in 1..5 {
        put(&engine, total).await;
        if let Some(found) = at_once(&engine, "Orders", r#"{"id":{"S":"1"}}"#) {
            assert_eq!(found.item.body(), get(&engine, "1").await.0.as_bytes());
        }
        let (body, _) = get(&engine, "1").await;
        assert!(body.contains(&format!(r#"{{"N":"{total}"}}"#)), "{body}");
        let found = at_once(&engine, "Orders", r#"{"id":{"S":"1"}}"#).expect("it was just read");
        assert_eq!((found.item.body().as_ref(), &*found.table), (body.as_bytes(), "Orders"));
        assert_eq!(found.schema.key.attributes().next().unwrap().name, "id");
    }
    assert_eq!(get(&engine, "gone").await.0, "{}");
    let absent = at_once(&engine, "Orders", r#"{"id":{"S":"gone"}}"#).expect("absence is remembered");
    assert!(absent.item.is_absent());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_at_once_of_a_wrong_key_an_unknown_table_or_where_reads_are_not_answered_from_memory() {
    let sampled = || TablePolicy { verify_sample: SampleRate::of(0.5), ..harness::policy() };
    let in_shadow = || TablePolicy { mode: CacheMode::Shadow, ..harness::policy() };
    let uncached = || TablePolicy { items: None, ..harness::policy() };
    let policies: [fn() -> TablePolicy; 4] = [harness::policy, sampled, in_shadow, uncached];
    for (position, policy) in policies.into_iter().enumerate() {
        let engine = engine(policy).await;
        put(&engine, 1).await;
        get(&engine, "1").await;
        get(&engine, "1").await;
        let found = at_once(&engine, "Orders", r#"{"id":{"S":"1"}}"#);
        assert_eq!(found.is_some(), position == 0, "policy {position}");
        assert!(at_once(&engine, "Orders", r#"{"id":{"N":"1"}}"#).is_none());
        assert!(at_once(&engine, "Orders", r#"{"id":{"S":"1"},"more":{"S":"1"}}"#).is_none());
        assert!(at_once(&engine, "Others", r#"{"id":{"S":"1"}}"#).is_none());
    }
}
