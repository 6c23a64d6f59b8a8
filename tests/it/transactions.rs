//! Transactions of a whole node over the bundled backend: they are whole for every reader, and the cache follows them. Real
//! threads; `NEARSIDE_SEED` replays the choices, though not the schedule.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use nearside::cache::{CacheLimits, FillMode, ItemCache, PageCache, PageLimits, ReadPolicy};
use nearside::call::{Request, Source};
use nearside::engine::{Engine, TablePolicy};
use nearside::local::{Local, Settings};
use nearside::model::Operation;

const WRITERS: u64 = 3;
const READERS: u64 = 6;
const READS: usize = 2000;

struct Node {
    engine: Arc<Engine>,
}

impl Node {
    async fn new() -> Self {
        let local = Local::in_memory(Settings::default());
        let cache = ItemCache::seeded(CacheLimits { max_bytes: 1 << 20, stripes: 1 << 10 }, 0);
        let policy = ReadPolicy {
            ttl: Some(Duration::from_secs(300)),
            negative_ttl: Some(Duration::from_secs(60)),
            fill: FillMode::Adaptive,
            item_bytes_max: 100_000,
            stale_if_error: Duration::ZERO,
        };
        let pages = PageCache::new(PageLimits::for_budget(1 << 20), Arc::clone(&cache));
        let node = Self {
            engine: Engine::new(
                Arc::new(local),
                cache,
                pages,
                Box::new(move |_| TablePolicy::items_only(policy)),
            ),
        };
        for table in ["Left", "Right"] {
            let table = format!(
                r#"{{"TableName":"{table}","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{{"AttributeName":"id","AttributeType":"N"}}],
                    "KeySchema":[{{"AttributeName":"id","KeyType":"HASH"}}]}}"#
            );
            node.must(Operation::CreateTable, table).await;
        }
        node
    }

    async fn call(&self, operation: Operation, body: String) -> (u16, String, Source) {
        let served = self.engine.execute(Request::new(operation, body)).await;
        let text = String::from_utf8(served.answer.body.to_vec()).unwrap();
        (served.answer.status, text, served.source)
    }

    async fn must(&self, operation: Operation, body: String) -> (String, Source) {
        let (status, text, source) = self.call(operation, body).await;
        assert_eq!(status, 200, "{operation}: {text}");
        (text, source)
    }

    /// The counter of an item as a GetItem gives it; 0 when there is none.
    async fn counter(&self, table: &str) -> (u64, Source) {
        let body = format!(r#"{{"TableName":"{table}","Key":{{"id":{{"N":"1"}}}}}}"#);
        let (text, source) = self.must(Operation::GetItem, body).await;
        (numbers(&text).first().copied().unwrap_or(0), source)
    }
}

/// Adds one to the item of both tables, whose names stand in either order; the key is spelled in several ways.
fn increment(random: &mut Rng) -> String {
    let mut tables = ["Left", "Right"];
    random.shuffle(&mut tables);
    let spelling = ["1", "1.0", "10e-1"][random.usize(0..3)];
    let update = |table: &str| {
        format!(
            r#"{{"Update":{{"TableName":"{table}","Key":{{"id":{{"N":"{spelling}"}}}},"UpdateExpression":"ADD n :n","ExpressionAttributeValues":{{":n":{{"N":"1"}}}}}}}}"#
        )
    };
    format!(r#"{{"TransactItems":[{},{}]}}"#, update(tables[0]), update(tables[1]))
}

/// Every `n` in an answer.
fn numbers(text: &str) -> Vec<u64> {
    let rests = text.split(r#""n":{"N":""#).skip(1);
    rests.map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_see_whole_transactions_and_nothing_older_than_an_acknowledged_one() {
    let seed = std::env::var("NEARSIDE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("replay the choices with NEARSIDE_SEED={seed}");
    let node = Arc::new(Node::new().await);
    let acknowledged = Arc::new(AtomicU64::new(0));
    let done = Arc::new(AtomicU64::new(0));
    let writers = (0..WRITERS).map(|writer| {
        let (node, acknowledged, done) = (Arc::clone(&node), Arc::clone(&acknowledged), Arc::clone(&done));
        let mut random = Rng::with_seed(seed ^ writer);
        tokio::spawn(async move {
            while done.load(Ordering::Relaxed) == 0 {
                node.must(Operation::TransactWriteItems, increment(&mut random)).await;
                acknowledged.fetch_add(1, Ordering::Release);
                tokio::task::yield_now().await;
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    let readers = (0..READERS).map(|reader| {
        let (node, acknowledged) = (Arc::clone(&node), Arc::clone(&acknowledged));
        let mut random = Rng::with_seed(seed.rotate_left(9) ^ reader);
        tokio::spawn(async move {
            for _ in 0..READS {
                let least = acknowledged.load(Ordering::Acquire);
                if random.u8(0..4) == 0 {
                    let get =
                        |table| format!(r#"{{"Get":{{"TableName":"{table}","Key":{{"id":{{"N":"1"}}}}}}}}"#);
                    let body = format!(r#"{{"TransactItems":[{},{}]}}"#, get("Right"), get("Left"));
                    let (text, _) = node.must(Operation::TransactGetItems, body).await;
                    let both = numbers(&text);
                    assert_eq!(both.first(), both.last(), "half a transaction: {text}");
                    assert!(both.first().copied().unwrap_or(0) >= least, "{text} after {least}");
                } else {
                    let (found, source) = node.counter(["Left", "Right"][random.usize(0..2)]).await;
                    assert!(found >= least, "{found} after {least} ({source:?})");
                }
            }
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.unwrap();
    }
    done.store(1, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    let total = acknowledged.load(Ordering::Acquire);
    assert_eq!((node.counter("Left").await.0, node.counter("Right").await.0), (total, total));
}

#[tokio::test]
async fn cached_items_follow_transactions_that_happen_and_stay_after_those_that_do_not() {
    let node = Node::new().await;
    let mut random = Rng::with_seed(1);
    node.must(Operation::TransactWriteItems, increment(&mut random)).await;
    for table in ["Left", "Right"] {
        assert_eq!(node.counter(table).await.0, 1);
        assert_eq!(node.counter(table).await, (1, Source::Hit));
    }
    let cancelled = r#"{"TransactItems":[
        {"Delete":{"TableName":"Left","Key":{"id":{"N":"1"}}}},
        {"ConditionCheck":{"TableName":"Right","Key":{"id":{"N":"1"}},"ConditionExpression":"n = :n","ExpressionAttributeValues":{":n":{"N":"7"}}}}]}"#;
    let (status, text, _) = node.call(Operation::TransactWriteItems, cancelled.to_owned()).await;
    assert_eq!(status, 400);
    assert!(text.contains("[None, ConditionalCheckFailed]"), "{text}");
    assert_eq!(node.counter("Left").await.0, 1);
    let once = increment(&mut random)
        .replace("{\"TransactItems\"", "{\"ClientRequestToken\":\"t\",\"TransactItems\"");
    for _ in 0..2 {
        node.must(Operation::TransactWriteItems, once.clone()).await;
        assert_eq!((node.counter("Left").await.0, node.counter("Right").await.0), (2, 2));
    }
    let gone = r#"{"TransactItems":[{"Delete":{"TableName":"Left","Key":{"id":{"N":"1e0"}}}}]}"#;
    node.must(Operation::TransactWriteItems, gone.to_owned()).await;
    assert_eq!(node.counter("Left").await.0, 0);
}
