//! Items of the bundled backend that expire, under the cache: once a sweep is over, no read finds them.

use std::sync::Arc;
use std::time::Duration;

use nearside::cache::{CacheLimits, FillMode, ItemCache, PageCache, PageLimits, ReadPolicy};
use nearside::call::{Request, Source, Upstream};
use nearside::engine::{Engine, TablePolicy};
use nearside::local::{Local, Settings};
use nearside::model::Operation;
use tokio_util::sync::CancellationToken;

use crate::exactness::Elsewhere;
use crate::harness;

const GET: &str = r#"{"TableName":"Sessions","Key":{"id":{"S":"1"}}}"#;

async fn call(engine: &Arc<Engine>, operation: Operation, body: &str) -> (String, Source) {
    let served = engine.execute(Request::new(operation, body.to_owned())).await;
    let text = String::from_utf8(served.answer.body.to_vec()).unwrap();
    assert_eq!(served.answer.status, 200, "{operation}: {text}");
    (text, served.source)
}

#[tokio::test(start_paused = true)]
async fn a_cached_page_is_gone_with_the_sweep_that_removes_its_item() {
    let settings = Settings { expiry_sweep: Duration::from_secs(10), ..Settings::default() };
    let local = Arc::new(Local::in_memory(settings));
    let cache = ItemCache::seeded(CacheLimits { max_bytes: 1 << 20, stripes: 1 << 10 }, 0);
    let policy = ReadPolicy {
        ttl: Some(Duration::from_secs(300)),
        negative_ttl: Some(Duration::from_secs(60)),
        fill: FillMode::Adaptive,
        item_bytes_max: 100_000,
        stale_if_error: Duration::ZERO,
    };
    let pages = PageCache::new(PageLimits::for_budget(1 << 20), Arc::clone(&cache));
    let engine = Engine::new(
        Arc::clone(&local) as _,
        cache,
        pages,
        Box::new(move |_| TablePolicy { items: Some(policy), ..harness::policy() }),
    );
    let table = r#"{"TableName":"Sessions","BillingMode":"PAY_PER_REQUEST",
        "AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
        "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}"#;
    call(&engine, Operation::CreateTable, table).await;
    let setting =
        r#"{"TableName":"Sessions","TimeToLiveSpecification":{"Enabled":true,"AttributeName":"until"}}"#;
    call(&engine, Operation::UpdateTimeToLive, setting).await;
    let closing = CancellationToken::new();
    let (keeper, closed) = (Arc::clone(&local), closing.clone());
    let house = tokio::spawn(async move { keeper.keep_house(closed).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let yesterday =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() - 86_400;
    let item =
        format!(r#"{{"TableName":"Sessions","Item":{{"id":{{"S":"1"}},"until":{{"N":"{yesterday}"}}}}}}"#);
    call(&engine, Operation::PutItem, &item).await;
    // A page that does not show when its item expires is kept.
    let page = r#"{"TableName":"Sessions","KeyConditionExpression":"id = :id","ProjectionExpression":"id","ExpressionAttributeValues":{":id":{"S":"1"}}}"#;
    for expected in [Source::Miss, Source::Hit] {
        let (found, source) = call(&engine, Operation::Query, page).await;
        assert!(found.contains(r#""Count":1"#) && source == expected, "{source:?} {found}");
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (found, source) = call(&engine, Operation::Query, page).await;
    assert!(found.contains(r#""Count":0"#) && source == Source::Miss, "{source:?} {found}");
    let (found, source) = call(&engine, Operation::GetItem, GET).await;
    assert_eq!((found.as_str(), source), ("{}", Source::Miss));
    closing.cancel();
    house.await.unwrap();
}

const EXPIRE: &str =
    r#"{"TableName":"Sessions","TimeToLiveSpecification":{"Enabled":true,"AttributeName":"until"}}"#;

/// A node with an empty table whose items do not expire yet: over the local backend, or over one that is elsewhere.
async fn sessions(elsewhere: bool) -> Arc<Engine> {
    let local = Arc::new(Local::in_memory(Settings::default()));
    let upstream: Arc<dyn Upstream> =
        if elsewhere { Arc::new(Elsewhere(Arc::clone(&local))) } else { Arc::clone(&local) as _ };
    let cache = ItemCache::seeded(CacheLimits { max_bytes: 1 << 20, stripes: 1 << 10 }, 0);
    let pages = PageCache::new(PageLimits::for_budget(1 << 20), Arc::clone(&cache));
    let engine = Engine::new(upstream, cache, pages, Box::new(|_| harness::policy()));
    let table = r#"{"TableName":"Sessions","BillingMode":"PAY_PER_REQUEST",
        "AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
        "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}"#;
    call(&engine, Operation::CreateTable, table).await;
    engine
}

#[tokio::test(start_paused = true)]
async fn a_time_to_live_that_is_switched_on_while_the_table_is_in_use_ends_what_is_cached() {
    let until = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 60;
    for elsewhere in [false, true] {
        let engine = sessions(elsewhere).await;
        let put =
            format!(r#"{{"TableName":"Sessions","Item":{{"id":{{"S":"1"}},"until":{{"N":"{until}"}}}}}}"#);
        call(&engine, Operation::PutItem, &put).await;
        let off = EXPIRE.replace("true", "false");
        let rejected = engine.execute(Request::new(Operation::UpdateTimeToLive, off)).await;
        assert_eq!(rejected.answer.status, 400);
        assert_eq!(call(&engine, Operation::GetItem, GET).await.1, Source::Hit, "a rejected change is none");
        let changed = engine.execute(Request::new(Operation::UpdateTimeToLive, EXPIRE)).await;
        assert_eq!((changed.answer.status, changed.table.as_deref()), (200, Some("Sessions")));
        for expected in [Source::Miss, Source::Hit] {
            assert_eq!(call(&engine, Operation::GetItem, GET).await.1, expected);
        }
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(call(&engine, Operation::GetItem, GET).await.1, Source::Miss, "elsewhere: {elsewhere}");
    }
}

/// DynamoDB removes expired items by and by. Until it has, it shows them; the cache does not once they have expired.
#[tokio::test(start_paused = true)]
async fn what_is_cached_ends_when_its_first_item_expires_by_the_upstreams_time_to_live() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    for elsewhere in [false, true] {
        let engine = sessions(elsewhere).await;
        call(&engine, Operation::UpdateTimeToLive, EXPIRE).await;
        let query = r#"{"TableName":"Sessions","KeyConditionExpression":"id = :id","ExpressionAttributeValues":{":id":{"S":"1"}}}"#;
        let put = |until: u64| {
            format!(r#"{{"TableName":"Sessions","Item":{{"id":{{"S":"1"}},"until":{{"N":"{until}"}}}}}}"#)
        };
        call(&engine, Operation::PutItem, &put(now + 60)).await;
        call(&engine, Operation::Query, query).await;
        for seconds in [30, 31] {
            let expected = if seconds == 30 { Source::Hit } else { Source::Miss };
            assert_eq!(call(&engine, Operation::GetItem, GET).await.1, Source::Hit);
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert_eq!(call(&engine, Operation::GetItem, GET).await.1, expected, "a written image");
            assert_eq!(call(&engine, Operation::Query, query).await.1, expected);
        }
        // Read by now, it ends again; and what has expired is not kept at all.
        call(&engine, Operation::PutItem, &put(now - 60)).await;
        for _ in 0..2 {
            assert_eq!(call(&engine, Operation::GetItem, GET).await.1, Source::Miss);
            assert_eq!(call(&engine, Operation::Query, query).await.1, Source::Miss);
        }
    }
}
