//! The bundled backend reports what it changes: a write takes out of the cache what it changed, and nothing else.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use fastrand::Rng;
use nearside::cache::{CacheLimits, ItemCache, PageCache, PageLimits, PagePolicy, Realm, ScanAdmission};
use nearside::call::{CallFuture, ChangeListener, Request, Source, Upstream};
use nearside::engine::{Engine, TablePolicy};
use nearside::local::{Durability, Local, Settings};
use nearside::model::Operation::{
    self, BatchExecuteStatement, BatchWriteItem, CreateTable, DeleteItem, ExecuteStatement,
    ExecuteTransaction, GetItem, PutItem, Query, Scan, TransactWriteItems, UpdateItem,
};
use nearside::model::{Cause, Change};
use serde_json::{Value, json};

use crate::exactness::Elsewhere;
use crate::harness;

const STATUSES: [&str; 6] = ["pending", "paid", "shipped", "delivered", "returned", "cancelled"];

/// A shop's orders, with an index by their status, as a new process caches them by default.
struct Shop {
    engine: Arc<Engine>,
    cache: Arc<ItemCache>,
}

impl Shop {
    async fn open(upstream: Arc<dyn Upstream>, asks_images: bool) -> Self {
        let cache = ItemCache::seeded(CacheLimits { max_bytes: 1 << 20, stripes: 1 << 12 }, 0);
        let pages = PageCache::new(PageLimits::for_budget(8 << 20), Arc::clone(&cache));
        let policy = move || {
            let policy = harness::policy();
            let pages =
                policy.pages.map(|pages| PagePolicy { scan_admission: ScanAdmission::First, ..pages });
            TablePolicy { pages, asks_images, ..policy }
        };
        let engine = Engine::new(upstream, Arc::clone(&cache), pages, Box::new(move |_| policy()));
        let shop = Self { engine, cache };
        let attribute = |name: &str| json!({"AttributeName": name, "AttributeType": "S"});
        let table = json!({"TableName": "Orders", "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [attribute("id"), attribute("status")],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "GlobalSecondaryIndexes": [{"IndexName": "byStatus", "Projection": {"ProjectionType": "ALL"},
                "KeySchema": [{"AttributeName": "status", "KeyType": "HASH"}]}]});
        shop.ok(CreateTable, table).await;
        shop
    }

    async fn in_memory() -> Self {
        Self::open(Arc::new(Local::in_memory(Settings::default())), true).await
    }

    /// The same over a backend that reports nothing.
    async fn elsewhere() -> Self {
        Self::open(Arc::new(Elsewhere(Arc::new(Local::in_memory(Settings::default())))), true).await
    }

    async fn call(&self, operation: Operation, body: Value) -> (u16, Value, Source) {
        let served = self.engine.execute(Request::new(operation, body.to_string())).await;
        (served.answer.status, serde_json::from_slice(&served.answer.body).unwrap(), served.source)
    }

    async fn ok(&self, operation: Operation, body: Value) -> (Value, Source) {
        let (status, answer, source) = self.call(operation, body.clone()).await;
        assert_eq!(status, 200, "{operation} {body}: {answer}");
        (answer, source)
    }

    async fn put(&self, id: &str, status: &str) {
        let item = json!({"id": {"S": id}, "status": {"S": status}, "n": {"N": "0"}});
        self.ok(PutItem, json!({"TableName": "Orders", "Item": item})).await;
    }

    /// The orders of a status, and where the answer came from.
    async fn of_status(&self, status: &str) -> (Vec<String>, Source) {
        let (answer, source) = self.ok(Query, by_status(status)).await;
        let ids = answer["Items"].as_array().unwrap().iter();
        (ids.map(|item| item["id"]["S"].as_str().unwrap().to_owned()).collect(), source)
    }

    /// Reads everything, so that it is cached.
    async fn warm(&self) {
        for status in STATUSES {
            self.of_status(status).await;
        }
        self.ok(Scan, json!({"TableName": "Orders"})).await;
        for id in ["a", "b"] {
            self.ok(GetItem, json!({"TableName": "Orders", "Key": {"id": {"S": id}}})).await;
        }
    }

    /// Where reads come from now: the statuses whose index partition is a hit, and whether the scan, `a` and `b` are.
    async fn hits(&self) -> (Vec<&'static str>, [bool; 3]) {
        let mut hits = Vec::new();
        for status in STATUSES {
            hits.extend((self.of_status(status).await.1 == Source::Hit).then_some(status));
        }
        let scan = self.ok(Scan, json!({"TableName": "Orders"})).await.1 == Source::Hit;
        let mut items = [scan; 3];
        for (place, id) in ["a", "b"].into_iter().enumerate() {
            let got = self.ok(GetItem, json!({"TableName": "Orders", "Key": {"id": {"S": id}}})).await;
            items[place + 1] = got.1 == Source::Hit;
        }
        (hits, items)
    }
}

fn by_status(status: &str) -> Value {
    json!({"TableName": "Orders", "IndexName": "byStatus", "KeyConditionExpression": "#s = :s",
        "ExpressionAttributeNames": {"#s": "status"}, "ExpressionAttributeValues": {":s": {"S": status}}})
}

fn set_status(id: &str, status: &str) -> Value {
    json!({"TableName": "Orders", "Key": {"id": {"S": id}},
        "UpdateExpression": "SET #s = :s ADD n :one", "ExpressionAttributeNames": {"#s": "status"},
        "ExpressionAttributeValues": {":s": {"S": status}, ":one": {"N": "1"}}})
}

fn statement(id: &str, status: &str) -> Value {
    json!({"Statement": format!("UPDATE Orders SET status = '{status}' SET n = n + 1 WHERE id = '{id}'")})
}

/// The backend hands over the item that it has written, so no `ReturnValues` is needed to know it, and no setting forbids it.
#[tokio::test(start_paused = true)]
async fn an_item_that_is_written_is_the_next_hit_whatever_the_client_asks_the_write_for() {
    for asks_images in [true, false] {
        let shop = Shop::open(Arc::new(Local::in_memory(Settings::default())), asks_images).await;
        let (mut expected, get) = (0, json!({"TableName": "Orders", "Key": {"id": {"S": "a"}}}));
        for asked in ["NONE", "ALL_OLD", "ALL_NEW", "UPDATED_OLD", "UPDATED_NEW"] {
            let mut update = set_status("a", "paid");
            update["ReturnValues"] = asked.into();
            let (answer, _) = shop.ok(UpdateItem, update).await;
            let shows = asked.contains("NEW") || (asked.contains("OLD") && expected > 0);
            assert_eq!(answer.get("Attributes").is_some(), shows, "{asked}: {answer}");
            expected += 1;
            let item = json!({"id": {"S": "a"}, "status": {"S": "paid"}, "n": {"N": expected.to_string()}});
            assert_eq!(shop.ok(GetItem, get.clone()).await, (json!({"Item": item}), Source::Hit), "{asked}");
        }
        let item = json!({"id": {"S": "a"}, "n": {"N": "01.50"}, "s": {"SS": ["b", "a"]}});
        shop.ok(PutItem, json!({"TableName": "Orders", "Item": item})).await;
        let item = json!({"id": {"S": "a"}, "n": {"N": "1.5"}, "s": {"SS": ["a", "b"]}});
        assert_eq!(shop.ok(GetItem, get.clone()).await, (json!({"Item": item}), Source::Hit));
        shop.ok(DeleteItem, get.clone()).await;
        assert_eq!(shop.ok(GetItem, get).await, (json!({}), Source::Hit));
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_invalidates_the_partitions_that_it_moves_an_item_between_and_no_other() {
    let shop = Shop::in_memory().await;
    for (number, id) in ["a", "b"].into_iter().enumerate() {
        shop.put(id, STATUSES[number]).await;
    }
    let update = set_status("a", "shipped");
    let moves = [
        (UpdateItem, set_status("a", "paid")),
        (TransactWriteItems, json!({"TransactItems": [{"Update": update}]})),
        (ExecuteStatement, statement("a", "delivered")),
        (BatchExecuteStatement, json!({"Statements": [statement("a", "returned")]})),
        (ExecuteTransaction, json!({"TransactStatements": [statement("a", "cancelled")]})),
        (
            BatchWriteItem,
            json!({"RequestItems": {"Orders": [{"PutRequest": {"Item":
            {"id": {"S": "a"}, "status": {"S": "pending"}}}}]}}),
        ),
        (DeleteItem, json!({"TableName": "Orders", "Key": {"id": {"S": "a"}}})),
    ];
    let mut place = "pending";
    for (operation, body) in moves {
        shop.warm().await;
        shop.ok(operation, body).await;
        let now = {
            let (found, _) =
                shop.ok(GetItem, json!({"TableName": "Orders", "Key": {"id": {"S": "a"}}})).await;
            found["Item"]["status"]["S"].as_str().unwrap_or_default().to_owned()
        };
        let (hits, [scan, _, other]) = shop.hits().await;
        let kept: Vec<_> = STATUSES.into_iter().filter(|status| *status != place && *status != now).collect();
        assert_eq!(hits, kept, "{operation} moved it from {place} to {now}");
        assert!(!scan && other, "{operation}");
        for status in STATUSES {
            let is_there = shop.of_status(status).await.0.contains(&"a".to_owned());
            assert_eq!(is_there, status == now, "{operation}: {status}");
        }
        place = STATUSES.into_iter().find(|status| *status == now).unwrap_or_default();
    }
}

#[tokio::test(start_paused = true)]
async fn what_changes_nothing_invalidates_nothing() {
    let shop = Shop::in_memory().await;
    shop.put("a", "pending").await;
    shop.put("b", "paid").await;
    shop.warm().await;
    let conditional = json!({"TableName": "Orders", "Key": {"id": {"S": "a"}},
        "ConditionExpression": "attribute_not_exists(id)"});
    let missing = json!({"Statement": "UPDATE Orders SET status = 'paid' WHERE id = 'none'"});
    for (operation, body) in [
        (DeleteItem, conditional.clone()),
        (
            TransactWriteItems,
            json!({"TransactItems": [{"Delete": conditional}, {"Update": set_status("b", "shipped")}]}),
        ),
        (ExecuteStatement, missing.clone()),
        (ExecuteStatement, json!({"Statement": "MERGE INTO Orders"})),
        (ExecuteTransaction, json!({"TransactStatements": [statement("b", "shipped"), missing]})),
        (UpdateItem, json!({"TableName": "Orders", "Key": {"id": {"S": ""}}})),
        (PutItem, json!({"TableName": "Orders", "Item": {"status": {"S": "paid"}}})),
    ] {
        let (status, answer, _) = shop.call(operation, body).await;
        assert_eq!(status, 400, "{operation}: {answer}");
        assert_eq!(shop.hits().await, (STATUSES.to_vec(), [true; 3]), "{operation}: {answer}");
    }
}

/// How many of 2,030 queries are hits, 100 a second, while every fifth is preceded by an order's change of its status.
async fn busy_hours(shop: &Shop, kinds: &[Operation]) -> usize {
    let mut random = Rng::with_seed(7);
    for id in 0..200 {
        shop.put(&id.to_string(), "pending").await;
    }
    tokio::time::advance(Duration::from_secs(70)).await;
    let mut hits = 0;
    for _ in 0..2030 {
        tokio::time::advance(Duration::from_millis(10)).await;
        if random.u8(..5) == 0 {
            let (id, status) = (random.u8(..200).to_string(), STATUSES[random.usize(1..3)]);
            let update = set_status(&id, status);
            match random.choice(kinds).unwrap() {
                UpdateItem => shop.ok(UpdateItem, update).await,
                TransactWriteItems => {
                    shop.ok(TransactWriteItems, json!({"TransactItems": [{"Update": update}]})).await
                }
                _ => shop.ok(ExecuteStatement, statement(&id, status)).await,
            };
        }
        let (_, source) = shop.of_status(STATUSES[random.usize(..STATUSES.len())]).await;
        hits += usize::from(source == Source::Hit);
    }
    println!("{hits} hits of 2030 queries");
    hits
}

#[tokio::test(start_paused = true)]
async fn an_index_of_a_busy_shop_is_read_from_memory() {
    let kinds = [UpdateItem, TransactWriteItems, ExecuteStatement];
    assert!(busy_hours(&Shop::in_memory().await, &kinds).await > 1_400);
    // Elsewhere the two statuses that orders move between are in quarantine all the time, and the other four are not.
    assert!(busy_hours(&Shop::elsewhere().await, &[UpdateItem]).await > 800);
    let upstream = Arc::new(Elsewhere(Arc::new(Local::in_memory(Settings::default()))));
    let hits = busy_hours(&Shop::open(upstream, false).await, &[UpdateItem]).await;
    assert_eq!(hits, 0, "without the old item, each write invalidates the index whole");
}

/// Several writers of the same few items, by every kind of write, beside readers of the index: positions that overlap.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_reader_of_an_index_sees_an_item_behind_an_acknowledged_write() {
    let seed = std::env::var("NEARSIDE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("replay the choices with NEARSIDE_SEED={seed}");
    let directory = tempfile::tempdir().unwrap();
    let local = Local::open(directory.path(), Durability::Process, Settings::default()).unwrap();
    let shop = Arc::new(Shop::open(Arc::new(local), true).await);
    let ids = ["0", "1", "2"];
    for id in ids {
        shop.put(id, "pending").await;
    }
    let acknowledged: Arc<HashMap<&str, AtomicU64>> =
        Arc::new(ids.into_iter().map(|id| (id, AtomicU64::new(0))).collect());
    let tasks: Vec<_> = (0..4)
        .map(|number| {
            let (shop, acknowledged) = (Arc::clone(&shop), Arc::clone(&acknowledged));
            let mut random = Rng::with_seed(seed ^ number);
            tokio::spawn(async move {
                for _ in 0..400 {
                    let (id, status) = (random.choice(ids).unwrap(), random.choice(STATUSES).unwrap());
                    let n = match random.u8(..2) {
                        0 => {
                            let mut update = set_status(id, status);
                            update["ReturnValues"] = "ALL_NEW".into();
                            shop.ok(UpdateItem, update).await.0["Attributes"]["n"].clone()
                        }
                        _ => {
                            let text = statement(id, status)["Statement"].as_str().unwrap().to_owned();
                            let body = json!({"Statement": text + " RETURNING ALL NEW *"});
                            shop.ok(ExecuteStatement, body).await.0["Items"][0]["n"].clone()
                        }
                    };
                    let n = n["N"].as_str().unwrap().parse().unwrap();
                    acknowledged[id].fetch_max(n, Ordering::AcqRel);
                }
            })
        })
        .collect();
    let mut random = Rng::with_seed(!seed);
    let (mut hits, mut reads) = (0, 0);
    while reads < 2_000 || tasks.iter().any(|task| !task.is_finished()) {
        let floors: HashMap<_, _> = ids.map(|id| (id, acknowledged[id].load(Ordering::Acquire))).into();
        let (answer, source) = shop.ok(Query, by_status(random.choice(STATUSES).unwrap())).await;
        for item in answer["Items"].as_array().unwrap() {
            let (id, n) = (item["id"]["S"].as_str().unwrap(), item["n"]["N"].as_str().unwrap());
            let n: u64 = n.parse().unwrap();
            assert!(n >= floors[id], "order {id} is shown at {n}, and {} was acknowledged", floors[id]);
        }
        hits += usize::from(source == Source::Hit);
        reads += 1;
    }
    for task in tasks {
        task.await.unwrap();
    }
    println!("{hits} hits of {reads}");
    assert!(hits > 50, "the cache had no part in this: {hits} of {reads}");
}

/// A statement names its item like any other write, also to an upstream that reports nothing.
#[tokio::test(start_paused = true)]
async fn elsewhere_too_an_update_of_an_indexs_key_invalidates_two_partitions_and_a_statement_one_item() {
    let shop = Shop::elsewhere().await;
    shop.put("a", "pending").await;
    shop.put("b", "delivered").await;
    // In the first minute a write of a process before this one may still move an item; then the quarantine.
    tokio::time::advance(Duration::from_secs(70)).await;
    shop.warm().await;
    shop.ok(UpdateItem, set_status("a", "paid")).await;
    assert_eq!(shop.hits().await.0, ["shipped", "delivered", "returned", "cancelled"]);
    assert_eq!(shop.of_status("pending").await.0, [""; 0]);
    assert_eq!(shop.of_status("paid").await.0, ["a"]);
    for (operation, body) in [
        (ExecuteStatement, statement("a", "shipped")),
        (BatchExecuteStatement, json!({"Statements": [statement("a", "returned")]})),
        (ExecuteTransaction, json!({"TransactStatements": [statement("a", "cancelled")]})),
        (
            ExecuteStatement,
            json!({"Statement": "DELETE FROM Orders WHERE id = ?", "Parameters": [{"S": "a"}]}),
        ),
        (ExecuteStatement, json!({"Statement": "INSERT INTO Orders VALUE {'id': 'a', 'n': 0}"})),
    ] {
        tokio::time::advance(Duration::from_secs(6)).await;
        shop.warm().await;
        shop.ok(operation, body.clone()).await;
        let (hits, [scan, written, other]) = shop.hits().await;
        assert!(!scan && !written && other, "{body}: the other item is untouched");
        let is_insert = body.to_string().contains("INSERT");
        let kept = if is_insert { STATUSES.to_vec() } else { Vec::new() };
        assert_eq!(hits, kept, "{body}: nobody knows where the item was, unless there was none");
        // Nor does it make the next writes widen: their positions are known as ever.
        tokio::time::advance(Duration::from_secs(6)).await;
        shop.warm().await;
        shop.ok(UpdateItem, set_status("b", "delivered")).await;
        assert_eq!(shop.hits().await.0, ["pending", "paid", "shipped", "returned", "cancelled"], "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn elsewhere_a_statement_that_names_no_single_item_invalidates_its_table() {
    let shop = Shop::elsewhere().await;
    shop.put("a", "pending").await;
    shop.put("b", "paid").await;
    tokio::time::advance(Duration::from_secs(70)).await;
    for text in [
        "DELETE FROM Orders WHERE id = 'x' AND id = 'y'",
        "DELETE FROM Orders WHERE id = 'x' OR id = 'y'",
        "UPDATE Orders SET n = 1 WHERE n = 5",
        "UPDATE Orders SET n = 1 WHERE id = 7",
    ] {
        shop.warm().await;
        shop.call(BatchExecuteStatement, json!({"Statements": [{"Statement": text}]})).await;
        assert_eq!(shop.hits().await.1, [false; 3], "{text}");
    }
}

/// Known, and stated in README: where somebody else has moved an item from, the old item does not say. Its page is right again
/// when it expires. A table whose writes do not ask for the old item has the whole promise.
#[tokio::test(start_paused = true)]
async fn a_page_of_an_index_may_show_an_item_where_another_writer_found_it_unless_images_are_never_asked_for()
{
    for asks_images in [true, false] {
        let local = Arc::new(Local::in_memory(Settings::default()));
        let shop = Shop::open(Arc::new(Elsewhere(Arc::clone(&local))), asks_images).await;
        for id in ["moved", "deleted"] {
            shop.put(id, "pending").await;
        }
        tokio::time::advance(Duration::from_secs(70)).await;
        shop.warm().await;
        let elsewhere = [
            (UpdateItem, set_status("moved", "paid")),
            (DeleteItem, json!({"TableName": "Orders", "Key": {"id": {"S": "deleted"}}})),
        ];
        for (operation, body) in elsewhere {
            let answer = local.call(&Request::new(operation, body.to_string())).await.unwrap();
            assert_eq!(answer.status, 200);
        }
        for id in ["moved", "deleted"] {
            shop.ok(UpdateItem, set_status(id, "shipped")).await;
        }
        let (found, source) = shop.of_status("pending").await;
        let is_old = source == Source::Hit && found.len() == 2;
        assert_eq!(is_old, asks_images, "{found:?} from {source:?}");
        tokio::time::advance(Duration::from_secs(300)).await;
        assert_eq!(shop.of_status("pending").await.0, [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn in_front_of_the_local_backend_no_writer_is_elsewhere() {
    let local = Arc::new(Local::in_memory(Settings::default()));
    let shop = Shop::open(Arc::clone(&local) as _, true).await;
    shop.put("a", "pending").await;
    shop.warm().await;
    local.call(&Request::new(UpdateItem, set_status("a", "paid").to_string())).await.unwrap();
    let (hits, [scan, _, other]) = shop.hits().await;
    assert_eq!(hits, ["shipped", "delivered", "returned", "cancelled"], "it is reported all the same");
    assert!(!scan && other);
}

/// The local backend, with a strong reader between the moment when a statement's change is visible and its report.
struct ReadBetween {
    local: Arc<Local>,
    reader: Arc<Reader>,
}

#[derive(Default)]
struct Reader {
    listener: OnceLock<Weak<dyn ChangeListener>>,
    engine: OnceLock<Arc<Engine>>,
    /// What it read.
    seen: Mutex<Vec<Value>>,
}

impl ChangeListener for Reader {
    fn changing(&self, changes: &[Change]) {
        self.listener.get().unwrap().upgrade().unwrap().changing(changes);
    }

    fn changed(&self, changes: &[Change]) {
        if changes.iter().any(|change| change.cause == Cause::Statement) {
            for (operation, body) in [(GetItem, get_a(true)), (Query, query_a(true))] {
                let request = Request::new(operation, body.to_string());
                let reading = self.engine.get().unwrap().execute(request);
                // The backend in memory answers reads at once.
                let Poll::Ready(served) = pin!(reading).poll(&mut Context::from_waker(Waker::noop())) else {
                    panic!("the read waits");
                };
                self.seen.lock().unwrap().push(serde_json::from_slice(&served.answer.body).unwrap());
            }
        }
        self.listener.get().unwrap().upgrade().unwrap().changed(changes);
    }
}

impl Upstream for ReadBetween {
    fn call<'a>(&'a self, request: &'a Request) -> CallFuture<'a> {
        self.local.call(request)
    }

    fn never_lags(&self) -> bool {
        true
    }

    fn report_changes(&self, listener: Weak<dyn ChangeListener>) -> bool {
        let reader: Weak<Reader> = Arc::downgrade(&self.reader);
        self.reader.listener.set(listener).is_ok() && self.local.report_changes(reader)
    }
}

fn get_a(strong: bool) -> Value {
    json!({"TableName": "Orders", "Key": {"id": {"S": "a"}}, "ConsistentRead": strong})
}

fn query_a(strong: bool) -> Value {
    json!({"TableName": "Orders", "KeyConditionExpression": "id = :id", "ConsistentRead": strong,
        "ExpressionAttributeValues": {":id": {"S": "a"}}})
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_is_visible_and_not_yet_reported_raises_no_alarm() {
    let reader = Arc::new(Reader::default());
    let local = Arc::new(Local::in_memory(Settings::default()));
    let shop = Shop::open(Arc::new(ReadBetween { local, reader: Arc::clone(&reader) }), true).await;
    assert!(reader.engine.set(Arc::clone(&shop.engine)).is_ok());
    shop.put("a", "pending").await;
    // Whatever differs in the first minute after a change is no alarm.
    tokio::time::advance(Duration::from_secs(100)).await;
    shop.ok(Query, query_a(false)).await;
    assert_eq!(shop.ok(Query, query_a(false)).await.1, Source::Hit);
    assert_eq!(shop.ok(GetItem, get_a(false)).await.1, Source::Hit);
    shop.ok(ExecuteStatement, statement("a", "paid")).await;
    let seen = std::mem::take(&mut *reader.seen.lock().unwrap());
    assert_eq!(seen[0]["Item"]["status"]["S"], "paid");
    assert_eq!(seen[1]["Items"][0]["status"]["S"], "paid");
    let table = &shop.cache.tables_named(Realm::SOLE, "Orders")[0];
    assert_eq!((table.stats().stale_observed, table.page_stats().stale_observed), (0, 0));
    assert_eq!(shop.ok(GetItem, get_a(false)).await.0["Item"]["status"]["S"], "paid");
}
