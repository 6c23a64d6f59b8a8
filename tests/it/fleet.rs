//! Nodes of a fleet over one backend, on a bus without delay or loss: what one acknowledges, all others show.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use nearside::cache::{
    CacheLimits, FleetMemory, FleetSecret, ItemCache, LapsedReads, PageCache, PageLimits, PagePolicy, Report,
    ScanAdmission,
};
use nearside::call::{CallFuture, Request, Source, Upstream};
use nearside::engine::{Acknowledgement, Engine, Peers, Receipt, TablePolicy};
use nearside::fleet::Replica;
use nearside::local::{Local, Settings};
use nearside::model::Operation::{
    self, BatchExecuteStatement, BatchWriteItem, CreateTable, DeleteItem, DeleteTable, ExecuteStatement,
    ExecuteTransaction, GetItem, PutItem, Query, Scan, TransactWriteItems, UpdateItem,
};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::harness;

/// How long a node without a lease serves what it has just read.
const LEASE: Duration = Duration::from_secs(1);

/// The other nodes, as one of them sees them: each hears a report before the writer goes on.
struct Loop(Vec<Weak<Engine>>);

impl Peers for Loop {
    fn admit_write(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn report(&self, reports: Vec<Report>) -> Receipt {
        for engine in self.0.iter().filter_map(Weak::upgrade) {
            reports.iter().for_each(|report| Replica::apply(&*engine, report, Instant::now()));
        }
        Box::pin(std::future::ready(Acknowledgement::Given))
    }
}

/// Some nodes in front of one upstream, which all have leases.
pub(crate) fn nodes(
    count: usize,
    upstream: Arc<dyn Upstream>,
    policy: impl Fn() -> TablePolicy + Clone + Send + Sync + 'static,
) -> Vec<Arc<Engine>> {
    let engine = |_| {
        let memory = FleetMemory {
            secret: FleetSecret::new(7),
            lease: LEASE,
            lapsed: LapsedReads::Young,
            stopped: None,
        };
        let items = ItemCache::in_fleet(CacheLimits { max_bytes: 1 << 20, stripes: 1 << 12 }, memory);
        let limits =
            PageLimits { max_bytes: 16 << 20, partition_stripes: 1 << 12, index_partition_stripes: 1 << 12 };
        let pages = PageCache::new(limits, Arc::clone(&items));
        let policy = policy.clone();
        Engine::new(Arc::clone(&upstream), items, pages, Box::new(move |_| policy()))
    };
    let engines: Vec<_> = (0..count).map(engine).collect();
    for (number, engine) in engines.iter().enumerate() {
        let others = engines.iter().enumerate().filter(|(other, _)| *other != number);
        engine.set_peers(Arc::new(Loop(others.map(|(_, other)| Arc::downgrade(other)).collect())));
        engine.renew_lease(Instant::now() + Duration::from_secs(1_000_000));
    }
    engines
}

/// A backend that behaves as one elsewhere, and notes which reads come.
struct Noted(Local, Mutex<Vec<Request>>);

impl Upstream for Noted {
    fn call<'a>(&'a self, request: &'a Request) -> CallFuture<'a> {
        if request.operation.only_reads() {
            self.1.lock().unwrap().push(request.clone());
        }
        self.0.call(request)
    }
}

/// A shop's orders behind two nodes.
struct Shop {
    a: Arc<Engine>,
    b: Arc<Engine>,
    upstream: Arc<Noted>,
}

impl Shop {
    async fn open() -> Self {
        let upstream = Arc::new(Noted(Local::in_memory(Settings::default()), Mutex::default()));
        let nodes = nodes(2, Arc::clone(&upstream) as _, || {
            let policy = harness::policy();
            let pages = policy.pages.map(|pages| PagePolicy {
                scan_admission: ScanAdmission::First,
                gsi_quarantine: Duration::ZERO,
                ..pages
            });
            TablePolicy { pages, ..policy }
        });
        let [a, b] = <[_; 2]>::try_from(nodes).ok().unwrap();
        let shop = Self { a, b, upstream };
        let table = json!({"TableName": "Orders", "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [attribute("id"), attribute("status")],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "GlobalSecondaryIndexes": [{"IndexName": "byStatus", "Projection": {"ProjectionType": "ALL"},
                "KeySchema": [{"AttributeName": "status", "KeyType": "HASH"}]}]});
        shop.at_a(CreateTable, table).await;
        shop.put("a", "paid", 1).await;
        // Nothing counts as lately written any more.
        tokio::time::advance(Duration::from_secs(70)).await;
        shop
    }

    async fn at_a(&self, operation: Operation, body: Value) -> Value {
        ok(&self.a, operation, &body).await.0
    }

    async fn at_b(&self, operation: Operation, body: &Value) -> (Value, Source) {
        ok(&self.b, operation, body).await
    }

    /// Has B cache the answer to a read, whatever it is.
    async fn warm(&self, operation: Operation, body: &Value) {
        self.at_b(operation, body).await;
        assert_eq!(self.at_b(operation, body).await.1, Source::Hit, "{operation} {body}");
    }

    async fn put(&self, id: &str, status: &str, n: u32) {
        self.at_a(PutItem, json!({"TableName": "Orders", "Item": order(id, status, n)})).await;
    }
}

async fn ok(engine: &Arc<Engine>, operation: Operation, body: &Value) -> (Value, Source) {
    let served = engine.execute(Request::new(operation, body.to_string())).await;
    let answer: Value = serde_json::from_slice(&served.answer.body).unwrap();
    assert_eq!(served.answer.status, 200, "{operation} {body}: {answer}");
    (answer, served.source)
}

fn attribute(name: &str) -> Value {
    json!({"AttributeName": name, "AttributeType": "S"})
}

fn order(id: &str, status: &str, n: u32) -> Value {
    json!({"id": {"S": id}, "status": {"S": status}, "n": {"N": n.to_string()}})
}

fn get(id: &str) -> Value {
    json!({"TableName": "Orders", "Key": {"id": {"S": id}}})
}

fn of_id(id: &str) -> Value {
    json!({"TableName": "Orders", "KeyConditionExpression": "id = :id",
        "ExpressionAttributeValues": {":id": {"S": id}}})
}

fn of_status(status: &str) -> Value {
    json!({"TableName": "Orders", "IndexName": "byStatus", "KeyConditionExpression": "#s = :s",
        "ExpressionAttributeNames": {"#s": "status"}, "ExpressionAttributeValues": {":s": {"S": status}}})
}

fn scan() -> Value {
    json!({"TableName": "Orders"})
}

/// Every kind of write, each of which leaves another `n` in the item `a`.
fn writes() -> Vec<(Operation, Value, u32)> {
    let put = |n| json!({"TableName": "Orders", "Item": order("a", "paid", n)});
    let update = json!({"TableName": "Orders", "Key": {"id": {"S": "a"}}, "UpdateExpression": "SET n = :n",
        "ExpressionAttributeValues": {":n": {"N": "3"}}});
    let statement = |n| json!({"Statement": format!("UPDATE Orders SET n = {n} WHERE id = 'a'")});
    vec![
        (PutItem, put(2), 2),
        (UpdateItem, update, 3),
        (
            BatchWriteItem,
            json!({"RequestItems": {"Orders": [{"PutRequest": {"Item": order("a", "paid", 4)}}]}}),
            4,
        ),
        (TransactWriteItems, json!({"TransactItems": [{"Put": put(5)}]}), 5),
        (ExecuteStatement, statement(6), 6),
        (BatchExecuteStatement, json!({"Statements": [statement(7)]}), 7),
        (ExecuteTransaction, json!({"TransactStatements": [statement(8)]}), 8),
    ]
}

#[tokio::test(start_paused = true)]
async fn whatever_one_node_writes_the_other_shows() {
    let shop = Shop::open().await;
    let reads = [(GetItem, get("a")), (Query, of_id("a")), (Scan, scan()), (Query, of_status("paid"))];
    for (operation, body, n) in writes() {
        for (read, asked) in &reads {
            shop.warm(*read, asked).await;
        }
        shop.at_a(operation, body).await;
        for (read, asked) in &reads {
            let (answer, source) = shop.at_b(*read, asked).await;
            let item = if *read == GetItem { &answer["Item"] } else { &answer["Items"][0] };
            assert_eq!(*item, order("a", "paid", n), "{operation}, {read} {asked} as {source:?}");
        }
    }
    shop.warm(GetItem, &get("a")).await;
    shop.at_a(DeleteItem, get("a")).await;
    assert_eq!(shop.at_b(GetItem, &get("a")).await.0, json!({}));
}

#[tokio::test(start_paused = true)]
async fn an_item_that_moves_in_an_index_takes_its_pages_with_it_and_no_others() {
    let shop = Shop::open().await;
    shop.put("b", "paid", 1).await;
    for status in ["paid", "shipped", "lost"] {
        shop.warm(Query, &of_status(status)).await;
    }
    // A knows by now that B's readers ask for the index.
    shop.put("a", "shipped", 2).await;
    for (status, count) in [("paid", 1), ("shipped", 1)] {
        let (answer, source) = shop.at_b(Query, &of_status(status)).await;
        assert_eq!((&answer["Count"], source), (&json!(count), Source::Miss), "{status}");
    }
    assert_eq!(shop.at_b(Query, &of_status("lost")).await.1, Source::Hit);
}

#[tokio::test(start_paused = true)]
async fn what_was_not_written_stays_cached_at_the_other_node() {
    let shop = Shop::open().await;
    shop.put("b", "paid", 1).await;
    for (operation, body) in [(GetItem, get("b")), (Query, of_id("b"))] {
        shop.warm(operation, &body).await;
    }
    shop.put("a", "paid", 2).await;
    for (operation, body) in [(GetItem, get("b")), (Query, of_id("b"))] {
        assert_eq!(shop.at_b(operation, &body).await.1, Source::Hit, "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_one_node_creates_anew_with_another_key_is_read_by_that_key_at_the_other() {
    let shop = Shop::open().await;
    shop.warm(GetItem, &get("a")).await;
    shop.at_a(DeleteTable, json!({"TableName": "Orders"})).await;
    let table = json!({"TableName": "Orders", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [attribute("id"), attribute("sort")],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "sort", "KeyType": "RANGE"}]});
    shop.at_a(CreateTable, table).await;
    let item = |sort: &str, n: &str| json!({"id": {"S": "a"}, "sort": {"S": sort}, "n": {"N": n}});
    let key = |sort: &str| json!({"TableName": "Orders", "Key": {"id": {"S": "a"}, "sort": {"S": sort}}});
    for n in ["1", "2"] {
        for sort in ["x", "y"] {
            shop.at_a(PutItem, json!({"TableName": "Orders", "Item": item(sort, n)})).await;
        }
        for sort in ["x", "y"] {
            assert_eq!(shop.at_b(GetItem, &key(sort)).await.0["Item"], item(sort, n));
        }
        shop.warm(GetItem, &key("x")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_lease_a_node_reads_strongly_and_serves_what_it_has_just_read() {
    let shop = Shop::open().await;
    let reads = [(GetItem, get("a")), (Query, of_id("a")), (Scan, scan())];
    for (operation, body) in &reads {
        shop.warm(*operation, body).await;
    }
    Replica::end_lease(&*shop.b, Instant::now());
    tokio::time::advance(Duration::from_millis(5)).await;
    for (operation, body) in &reads {
        shop.upstream.1.lock().unwrap().clear();
        assert_eq!(
            shop.at_b(*operation, body).await.1,
            Source::Miss,
            "{operation}: read before the lease ended"
        );
        let sent = shop.upstream.1.lock().unwrap().pop().unwrap();
        let sent: Value = serde_json::from_slice(&sent.body).unwrap();
        assert_eq!(sent["ConsistentRead"], json!(true), "{operation}");
        // Whoever looks after the lease says so again and again.
        tokio::time::advance(Duration::from_millis(5)).await;
        Replica::end_lease(&*shop.b, Instant::now());
        assert_eq!(shop.at_b(*operation, body).await.1, Source::Hit, "{operation}: young");
    }
    // The bus brings nothing to B any more: no longer than a lease is it behind.
    shop.upstream
        .0
        .call(&Request::new(
            PutItem,
            json!({"TableName": "Orders", "Item": order("a", "paid", 9)}).to_string(),
        ))
        .await
        .unwrap();
    tokio::time::advance(LEASE).await;
    for (operation, body) in &reads {
        let (answer, source) = shop.at_b(*operation, body).await;
        let item = if *operation == GetItem { &answer["Item"] } else { &answer["Items"][0] };
        assert_eq!((item, source), (&order("a", "paid", 9), Source::Miss), "{operation}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_lease_pages_of_global_indexes_are_neither_served_nor_kept() {
    let shop = Shop::open().await;
    shop.warm(Query, &of_status("paid")).await;
    Replica::end_lease(&*shop.b, Instant::now());
    for status in ["paid", "lost", "lost"] {
        tokio::time::advance(Duration::from_millis(5)).await;
        assert_eq!(shop.at_b(Query, &of_status(status)).await.1, Source::Miss, "{status}");
    }
    Replica::renew_lease(&*shop.b, Instant::now() + Duration::from_secs(60));
    assert_eq!(shop.at_b(Query, &of_status("lost")).await.1, Source::Miss, "nothing was kept");
    assert_eq!(shop.at_b(Query, &of_status("paid")).await.1, Source::Hit, "the lease counts on it again");
}
