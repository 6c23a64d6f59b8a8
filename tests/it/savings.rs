//! What hits save and what the upstream charges, together, are what the same load costs without a cache: by the accounting of the
//! local backend, and by the formulas alone, for an upstream that reports nothing beside its answers.
//!
//! `NEARSIDE_OPERATIONS` sets how many operations are made (the figure of the project is for 100,000), `NEARSIDE_SEED` replays a run.

mod load;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use nearside::cache::{
    CacheLimits, FillMode, ItemCache, PageCache, PageLimits, PagePolicy, ReadPolicy, Realm, ScanAdmission,
};
use nearside::call::{Answer, CallFuture, Request, Source, Upstream};
use nearside::engine::{Engine, Memory, TablePolicy};
use nearside::insight::Insight;
use nearside::local::{Local, Settings};
use nearside::model::Operation;
use serde_json::{Value, json};

use load::{Load, Pages, TABLES};

const OPERATIONS: usize = 4_000;

/// The part of a sum by which another may differ from it.
const DIFFERENCE_MAX: f64 = 0.01;

/// Units of a table, or of an index of it, read and written.
type Units = BTreeMap<(String, String), [f64; 2]>;

#[tokio::test]
async fn what_is_saved_and_spent_is_what_the_load_costs_without_a_cache() {
    let (seed, operations) = given();
    let load = || Load::new(Rng::with_seed(seed), Pages::All);
    let cost = cost(load(), operations).await;
    let (insight, hits) = run(load(), operations, local()).await;
    assert!(hits > operations / 5, "the cache had no part in this: {hits} hits");
    let sums = sums(&insight);
    assert_eq!(sums.keys().collect::<Vec<_>>(), cost.keys().collect::<Vec<_>>());
    for (place, cost) in &cost {
        assert_near(place, "read", sums[place][0], cost[0]);
        assert_near(place, "write", sums[place][1], cost[1]);
    }
}

/// What a filtered query or a count has read cannot be known from its answer, so it is estimated. No sum of estimates is checked.
#[tokio::test]
async fn the_formulas_agree_with_an_upstream_that_reports_nothing() {
    let (seed, operations) = given();
    let load = || Load::new(Rng::with_seed(seed), Pages::Shown);
    let cost = cost(load(), operations).await;
    let (insight, hits) = run(load(), operations, Arc::new(Silent(local()))).await;
    assert!(hits > operations / 5, "the cache had no part in this: {hits} hits");
    let sums = sums(&insight);
    // A silent upstream says nothing of what writes cost in indexes.
    for (place, cost) in cost.iter().filter(|(_, cost)| cost[0] > 0.0) {
        let sum = sums.get(place).copied().unwrap_or_default()[0];
        assert_near(place, "read", sum, cost[0]);
    }
}

/// A table is full when the node first hears of it, and its first page is filtered: only its description has sizes.
#[tokio::test]
async fn a_filtered_page_of_a_table_that_is_new_to_the_node_is_estimated_by_its_description() {
    let upstream = local();
    let create = TABLES[1].to_owned();
    upstream.call(&Request::new(Operation::CreateTable, create)).await.unwrap();
    for number in 0..100 {
        let item = json!({"p": {"S": number.to_string()}, "d": {"S": "x".repeat(8_000)}});
        let put = json!({"TableName": "Users", "Item": item}).to_string();
        upstream.call(&Request::new(Operation::PutItem, put)).await.unwrap();
    }
    let (engine, insight) = start(Arc::new(Silent(upstream)));
    let filtered = json!({"TableName": "Users", "FilterExpression": "attribute_exists(nothing)"}).to_string();
    for is_hit in [false, true, true] {
        let (source, answer) = send(&engine, Operation::Scan, filtered.clone()).await;
        assert_eq!((matches!(source, Source::Hit), &answer["ScannedCount"]), (is_hit, &json!(100)));
    }
    // 100 items of 8,000 bytes are 195.3 blocks of 4 KB, each half a unit.
    let units = insight.tables()[0].units()[0].1;
    assert_eq!((units.read_spent.number(), units.estimated.number()), (98.0, 98.0));
    assert_eq!(units.read_saved.number(), 2.0 * 98.0);
}

/// Sizes are learned also where the client asks for the capacity, which then needs no formula, and from items that are put.
#[tokio::test]
async fn a_client_that_asks_for_the_capacity_makes_no_estimate_of_others_worse() {
    let (engine, insight) = start(Arc::new(Silent(local())));
    send(&engine, Operation::CreateTable, TABLES[1].to_owned()).await;
    let item = |number: usize| json!({"p": {"S": format!("{number:03}")}, "d": {"S": "x".repeat(5_995)}});
    for number in 0..50 {
        let put = json!({"TableName": "Users", "ReturnConsumedCapacity": "TOTAL", "Item": item(number)});
        send(&engine, Operation::PutItem, put.to_string()).await;
    }
    for number in 0..5 {
        let key = json!({"p": {"S": format!("{number:03}")}});
        let get = json!({"TableName": "Users", "ReturnConsumedCapacity": "TOTAL", "Key": key});
        send(&engine, Operation::GetItem, get.to_string()).await;
    }
    let spent = || insight.tables()[0].units()[0].1.read_spent.number();
    let before = spent();
    let filtered = json!({"TableName": "Users", "FilterExpression": "attribute_exists(nothing)"}).to_string();
    send(&engine, Operation::Scan, filtered).await;
    // 50 items of 6,000 bytes are 73.2 blocks of 4 KB, each half a unit.
    assert_eq!(spent() - before, 37.0);
}

fn given() -> (u64, usize) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("NEARSIDE_SEED").unwrap_or_else(|| fastrand::u64(..));
    let operations = number("NEARSIDE_OPERATIONS").map_or(OPERATIONS, |count| count as usize);
    println!("replay with NEARSIDE_SEED={seed} NEARSIDE_OPERATIONS={operations}");
    (seed, operations)
}

fn assert_near((table, index): &(String, String), kind: &str, sum: f64, cost: f64) {
    println!("{table}/{index}: {sum} {kind} units saved and spent, {cost} without a cache");
    let difference = (sum - cost).abs();
    assert!(difference <= cost * DIFFERENCE_MAX, "{table}/{index}: {sum} {kind} units, not {cost}");
}

fn local() -> Arc<Local> {
    Arc::new(Local::in_memory(Settings::default()))
}

/// A backend that says no more of what it charges than its answers do, and does not report its changes.
struct Silent(Arc<Local>);

impl Upstream for Silent {
    fn call<'a>(&'a self, request: &'a Request) -> CallFuture<'a> {
        let call = self.0.call(request);
        Box::pin(async move { call.await.map(|answer| Answer { charges: Box::default(), ..answer }) })
    }

    /// Or reads past the cache would be sent strongly after writes, which costs more than the load alone.
    fn never_lags(&self) -> bool {
        true
    }
}

/// Carries out the load with a cache; what was learned of it, and how many answers were hits.
async fn run(mut load: Load, operations: usize, upstream: Arc<dyn Upstream>) -> (Arc<Insight>, usize) {
    let (engine, insight) = start(upstream);
    let mut hits = 0;
    for (operation, body) in TABLES.map(|body| (Operation::CreateTable, body.to_owned())) {
        send(&engine, operation, body).await;
    }
    for _ in 0..operations {
        let (operation, body) = load.next();
        let (source, _) = send(&engine, operation, body.to_string()).await;
        hits += usize::from(matches!(source, Source::Hit));
    }
    (insight, hits)
}

/// A node that caches everything, and what it learns.
fn start(upstream: Arc<dyn Upstream>) -> (Arc<Engine>, Arc<Insight>) {
    let items = ItemCache::seeded(CacheLimits { max_bytes: 256 << 20, stripes: 1 << 16 }, 0);
    let pages = PageCache::new(PageLimits::for_budget(64 << 20), Arc::clone(&items));
    let memory = Memory::new(items, pages);
    let engine = Engine::in_realm(Realm::SOLE, upstream, &memory, Box::new(|_| policy()));
    (engine, memory.insight)
}

/// The same load without a cache: the sum of what the backend reports to its client.
async fn cost(mut load: Load, operations: usize) -> Units {
    let items = ItemCache::seeded(CacheLimits { max_bytes: 1 << 20, stripes: 1 << 10 }, 0);
    let pages = PageCache::new(PageLimits::for_budget(1 << 20), Arc::clone(&items));
    let off = || TablePolicy { items: None, pages: None, ..policy() };
    let engine = Engine::new(local(), items, pages, Box::new(move |_| off()));
    for body in TABLES {
        send(&engine, Operation::CreateTable, body.to_owned()).await;
    }
    let mut cost = Units::new();
    for _ in 0..operations {
        let (operation, mut body) = load.next();
        body["ReturnConsumedCapacity"] = json!("INDEXES");
        let is_write = Load::writes(operation, &body);
        let (_, answer) = send(&engine, operation, body.to_string()).await;
        let told = &answer["ConsumedCapacity"];
        let tables = told.as_array().cloned().unwrap_or_else(|| vec![told.clone()]);
        for table in tables {
            let name = table["TableName"].as_str().unwrap();
            let mut add = |index: &str, units: &Value| {
                let place = (name.to_owned(), index.to_owned());
                cost.entry(place).or_default()[usize::from(is_write)] +=
                    units["CapacityUnits"].as_f64().unwrap();
            };
            add("", &table["Table"]);
            for member in ["LocalSecondaryIndexes", "GlobalSecondaryIndexes"] {
                let indexes = table[member].as_object().into_iter().flatten();
                indexes.for_each(|(index, units)| add(index, units));
            }
        }
    }
    cost
}

async fn send(engine: &Arc<Engine>, operation: Operation, body: String) -> (Source, Value) {
    let served = engine.execute(Request::new(operation, body.clone())).await;
    let answer: Value = serde_json::from_slice(&served.answer.body).unwrap();
    assert_eq!(served.answer.status, 200, "{operation} {body}: {answer}");
    (served.source, answer)
}

fn policy() -> TablePolicy {
    let fill = FillMode::Eventual;
    let items = ReadPolicy {
        ttl: None,
        negative_ttl: None,
        fill,
        item_bytes_max: 1 << 20,
        stale_if_error: Duration::ZERO,
    };
    let pages = PagePolicy {
        ttl: None,
        fill,
        gsi_quarantine: Duration::ZERO,
        page_bytes_max: 8 << 20,
        scan_admission: ScanAdmission::First,
        stale_if_error: Duration::ZERO,
        fill_items: false,
    };
    TablePolicy { pages: Some(pages), ..TablePolicy::items_only(items) }
}

/// What was saved and spent together.
fn sums(insight: &Insight) -> Units {
    let mut sums = Units::new();
    for table in insight.tables() {
        for (index, units) in table.units() {
            let sum = [(units.read_saved + units.read_spent).number(), units.write_spent.number()];
            if sum != [0.0; 2] {
                sums.insert((table.name().to_owned(), index.into()), sum);
            }
        }
    }
    sums
}
