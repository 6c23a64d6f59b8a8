//! Many clients at once over the bundled backend: no read is older than a write that was acknowledged before it began, and no
//! client sees a key go back in time. Real threads; `NEARSIDE_SEED` replays the choices, though not the schedule.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fastrand::Rng;
use nearside::cache::{
    CacheLimits, FillMode, ItemCache, PageCache, PageLimits, PagePolicy, ReadPolicy, ScanAdmission,
};
use nearside::call::{Request, Source};
use nearside::engine::{Engine, Served, TablePolicy};
use nearside::local::{Local, Settings};
use nearside::model::Operation;

const KEYS: usize = 6;
const READERS: usize = 12;
const READS: usize = 5000;

struct World {
    engine: Arc<Engine>,
    /// For each key the last counter whose write was acknowledged. Each key has one writer.
    acknowledged: Vec<AtomicU64>,
    hits: AtomicU64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_read_is_older_than_an_acknowledged_write() {
    let seed = std::env::var("NEARSIDE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("replay the choices with NEARSIDE_SEED={seed}");
    let world = Arc::new(World::new().await);
    let done = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..KEYS)
        .map(|key| {
            let (world, done) = (Arc::clone(&world), Arc::clone(&done));
            tokio::spawn(
                async move { world.write_until(key, &done, Rng::with_seed(seed ^ key as u64)).await },
            )
        })
        .collect();
    let readers: Vec<_> = (0..READERS)
        .map(|reader| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.read(Rng::with_seed(seed.rotate_left(7) ^ reader as u64)).await })
        })
        .collect();
    for reader in readers {
        reader.await.unwrap();
    }
    done.store(1, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(world.hits.load(Ordering::Relaxed) > 100, "the cache had no part in this");
}

impl World {
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
        let pages = PageCache::new(PageLimits::for_budget(4 << 20), Arc::clone(&cache));
        let of_pages = PagePolicy {
            ttl: None,
            fill: FillMode::Adaptive,
            // The local backend's indexes never lag.
            gsi_quarantine: Duration::ZERO,
            page_bytes_max: 100_000,
            scan_admission: ScanAdmission::First,
            stale_if_error: Duration::ZERO,
            fill_items: true,
        };
        let policy = move || TablePolicy { pages: Some(of_pages), ..TablePolicy::items_only(policy) };
        let engine = Engine::new(Arc::new(local), cache, pages, Box::new(move |_| policy()));
        let world = Self {
            engine,
            acknowledged: (0..KEYS).map(|_| AtomicU64::new(0)).collect(),
            hits: AtomicU64::new(0),
        };
        let table = r#"{"TableName":"Orders","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
            "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
            "GlobalSecondaryIndexes":[{"IndexName":"again","KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}]}"#;
        assert_eq!(world.call(Operation::CreateTable, table.to_owned()).await.answer.status, 200);
        world
    }

    async fn call(&self, operation: Operation, body: String) -> Served {
        self.engine.execute(Request::new(operation, body)).await
    }

    /// Writes one counter after the other in every way there is.
    async fn write_until(&self, key: usize, done: &AtomicU64, mut random: Rng) {
        let mut counter = 0;
        while done.load(Ordering::Relaxed) == 0 {
            counter += 1;
            let item = format!(r#"{{"id":{{"S":"{key}"}},"n":{{"N":"{counter}"}}}}"#);
            let (operation, body) = match random.u8(0..5) {
                0 => (Operation::PutItem, format!(r#"{{"TableName":"Orders","Item":{item}}}"#)),
                1 => (
                    Operation::UpdateItem,
                    format!(
                        r#"{{"TableName":"Orders","Key":{{"id":{{"S":"{key}"}}}},"UpdateExpression":"SET n = :n","ExpressionAttributeValues":{{":n":{{"N":"{counter}"}}}}}}"#
                    ),
                ),
                2 => (
                    Operation::BatchWriteItem,
                    format!(r#"{{"RequestItems":{{"Orders":[{{"PutRequest":{{"Item":{item}}}}}]}}}}"#),
                ),
                3 => (
                    Operation::TransactWriteItems,
                    format!(
                        r#"{{"TransactItems":[{{"Put":{{"TableName":"Orders","Item":{item}}}}},{{"Put":{{"TableName":"Orders","Item":{{"id":{{"S":"beside {key}"}}}}}}}}]}}"#
                    ),
                ),
                _ => (
                    Operation::PutItem,
                    format!(
                        r#"{{"TableName":"Orders","Item":{item},"ReturnValues":"ALL_OLD","ConditionExpression":"attribute_not_exists(never)"}}"#
                    ),
                ),
            };
            let served = self.call(operation, body).await;
            assert_eq!(served.answer.status, 200, "{:?}", served.answer);
            self.acknowledged[key].store(counter, Ordering::Release);
            if random.bool() {
                tokio::task::yield_now().await;
            }
        }
    }

    async fn read(&self, mut random: Rng) {
        let mut seen = [0; KEYS];
        for _ in 0..READS {
            let key = random.usize(0..KEYS);
            let acknowledged = self.acknowledged[key].load(Ordering::Acquire);
            let strong = random.u8(0..8) == 0;
            let key_json = format!(r#"{{"id":{{"S":"{key}"}}}}"#);
            let values = format!(r#""ExpressionAttributeValues":{{":id":{{"S":"{key}"}}}}"#);
            let (operation, body) = match random.u8(0..12) {
                8 | 9 => (
                    Operation::Query,
                    format!(r#"{{"TableName":"Orders","KeyConditionExpression":"id = :id",{values}}}"#),
                ),
                10 => (
                    Operation::Query,
                    format!(
                        r#"{{"TableName":"Orders","IndexName":"again","KeyConditionExpression":"id = :id",{values}}}"#
                    ),
                ),
                11 => (
                    Operation::Scan,
                    format!(r#"{{"TableName":"Orders","FilterExpression":"id = :id",{values}}}"#),
                ),
                0 => (
                    Operation::TransactGetItems,
                    format!(r#"{{"TransactItems":[{{"Get":{{"TableName":"Orders","Key":{key_json}}}}}]}}"#),
                ),
                1..=3 => (
                    Operation::GetItem,
                    format!(r#"{{"TableName":"Orders","Key":{key_json},"ConsistentRead":{strong}}}"#),
                ),
                _ => (
                    Operation::BatchGetItem,
                    format!(
                        r#"{{"RequestItems":{{"Orders":{{"Keys":[{key_json}],"ConsistentRead":{strong}}}}}}}"#
                    ),
                ),
            };
            let served = self.call(operation, body).await;
            let text = String::from_utf8(served.answer.body.to_vec()).unwrap();
            let found = text
                .split(r#""n":{"N":""#)
                .nth(1)
                .map_or(0, |rest| rest.split('"').next().unwrap().parse().unwrap());
            // Pages need not agree with what other reads have seen of a write that is not acknowledged yet.
            let is_page = matches!(operation, Operation::Query | Operation::Scan);
            let least = if is_page { acknowledged } else { acknowledged.max(seen[key]) };
            assert!(found >= least, "key {key}: {found} after {least} ({:?}): {text}", served.source);
            if !is_page {
                seen[key] = found;
            }
            if matches!(served.source, Source::Hit | Source::Batch { hit: 1, .. }) {
                self.hits.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
