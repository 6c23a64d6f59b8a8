//! A node that caches answers as one that does not, whatever it is asked: random requests, sound ones and ones broken at random
//! places, go to twins over backends of their own.
//!
//! `NEARSIDE_CASES` sets how many requests are made, `NEARSIDE_SEED` replays a run.

mod breakage;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use nearside::cache::{CacheLimits, ItemCache, PageCache, PageLimits, PagePolicy, ScanAdmission};
use nearside::call::{CallFuture, Request, Source, Upstream};
use nearside::engine::{Engine, Served, TablePolicy};
use nearside::local::{Local, Settings};
use nearside::model::Operation;
use serde_json::{Value, json};

use crate::exactness::Reports;
use crate::exactness::requests::{PageAsked, Write};
use crate::exactness::schema::Schema;
use crate::harness;

/// Requests to one table before there is another one.
const REQUESTS_PER_TABLE: usize = 500;
/// How many of the latest sound reads are asked again or broken.
const REMEMBERED: usize = 30;
/// A table beside, which is read by batches.
const OTHER_TABLE: &str = r#"{"TableName":"Other","BillingMode":"PAY_PER_REQUEST",
    "AttributeDefinitions":[{"AttributeName":"p","AttributeType":"S"}],
    "KeySchema":[{"AttributeName":"p","KeyType":"HASH"}]}"#;
/// Longer than anything that was lately changed is remembered as such.
const CALM: Duration = Duration::from_secs(70);

#[tokio::test(start_paused = true)]
async fn a_node_that_caches_answers_as_one_that_does_not() {
    let cases = std::env::var("NEARSIDE_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(4_000);
    let seed = std::env::var("NEARSIDE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("{cases} requests; replay with NEARSIDE_SEED={seed} NEARSIDE_CASES={cases}");
    let mut random = Rng::with_seed(seed);
    let (mut hits, mut refusals, mut done) = (0, 0, 0);
    while done < cases {
        let mut twins = Twins::new(random.fork()).await;
        for _ in 0..REQUESTS_PER_TABLE.min(cases - done) {
            let served = twins.step().await;
            hits += usize::from(served.source == Source::Hit);
            refusals += usize::from(served.answer.status == 400);
            done += 1;
        }
    }
    println!("{hits} hits, {refusals} refusals");
    assert!(hits > cases / 10 && refusals > cases / 10, "the cache or the faults had no part in this");
}

/// Two nodes that hear the same, and what they were asked.
struct Twins {
    caching: Arc<Engine>,
    plain: Arc<Engine>,
    schema: Schema,
    reads: Vec<(Operation, Value)>,
    random: Rng,
}

impl Twins {
    async fn new(mut random: Rng) -> Self {
        let schema = Schema::random(&mut random);
        // What the backend reports, one elsewhere leaves to be found out.
        let reports = if random.bool() { Reports::Changes } else { Reports::Nothing };
        let caching = node(reports, || {
            let policy = harness::policy();
            let pages = policy.pages.map(|pages| PagePolicy {
                scan_admission: ScanAdmission::First,
                gsi_quarantine: Duration::ZERO,
                ..pages
            });
            TablePolicy { pages, ..policy }
        });
        let plain = node(Reports::Nothing, || TablePolicy { items: None, pages: None, ..harness::policy() });
        let mut twins = Self { caching, plain, schema, reads: Vec::new(), random };
        twins.create().await;
        twins
    }

    async fn create(&mut self) {
        for (engine, body) in [&self.caching, &self.plain].into_iter().flat_map(|engine| {
            [self.schema.create_table(), OTHER_TABLE.to_owned()].map(|body| (engine, body))
        }) {
            let created = engine.execute(Request::new(Operation::CreateTable, body)).await;
            assert_eq!(created.answer.status, 200, "{:?}", created.answer);
        }
        tokio::time::advance(CALM).await;
        for _ in 0..12 {
            let write = Write::put(&self.schema, &mut self.random);
            self.ask(write.operation, &serde_json::from_str(&write.body).unwrap()).await;
        }
    }

    /// Asks both of something, and gives what the one that caches answered.
    async fn step(&mut self) -> Served {
        let (operation, body) = match self.random.u8(..20) {
            0 => self.write(),
            1 => {
                let (operation, body) = self.write();
                (operation, breakage::broken(body, &mut self.random))
            }
            2..6 => {
                let read = self.read();
                self.reads.truncate(REMEMBERED - 1);
                self.reads.insert(0, read.clone());
                read
            }
            6..12 => self.remembered(),
            _ => {
                let (operation, body) = self.remembered();
                (operation, breakage::broken(body, &mut self.random))
            }
        };
        self.ask(operation, &body).await
    }

    fn write(&mut self) -> (Operation, Value) {
        let write = Write::random(&self.schema, &mut self.random);
        let body = serde_json::from_str(&write.body).unwrap();
        match write.operation {
            Operation::ExecuteStatement => match self.random.u8(..3) {
                0 => (Operation::ExecuteStatement, body),
                1 => (Operation::BatchExecuteStatement, json!({"Statements": [body]})),
                _ => (Operation::ExecuteTransaction, json!({"TransactStatements": [body]})),
            },
            operation => (operation, body),
        }
    }

    fn remembered(&mut self) -> (Operation, Value) {
        match self.random.choice(&self.reads) {
            Some(read) => read.clone(),
            None => self.read(),
        }
    }

    fn read(&mut self) -> (Operation, Value) {
        let random = &mut self.random;
        let key = |random: &mut Rng| -> Value {
            serde_json::from_str(&format!("{{{}}}", self.schema.item_key(random))).unwrap()
        };
        match random.u8(..4) {
            0 => (Operation::GetItem, json!({"TableName": "Tab", "Key": key(random)})),
            1 => {
                let mut keys: Vec<Value> = Vec::new();
                for _ in 0..random.usize(1..4) {
                    let key = key(random);
                    keys.extend(Some(key).filter(|key| !keys.contains(key)));
                }
                let mut tables = json!({"Tab": {"Keys": keys}});
                if random.bool() {
                    tables["Tab"]["ProjectionExpression"] = json!("x");
                }
                if random.bool() {
                    tables["Other"] = json!({"Keys": [{"p": {"S": "a"}}]});
                }
                (Operation::BatchGetItem, json!({"RequestItems": tables}))
            }
            _ => {
                let asked = PageAsked::random(&self.schema, random);
                (asked.operation, serde_json::from_str(&asked.body).unwrap())
            }
        }
    }

    async fn ask(&self, operation: Operation, body: &Value) -> Served {
        let request = Request::new(operation, body.to_string());
        let cached = self.caching.execute(request.clone()).await;
        let plain = self.plain.execute(request).await;
        assert_eq!(
            told(&cached),
            told(&plain),
            "{operation} {body}: one that caches ({:?}), and one that does not",
            cached.source
        );
        cached
    }
}

/// What a client is told: the status, and the body as a value.
fn told(served: &Served) -> (u16, Value) {
    (served.answer.status, serde_json::from_slice(&served.answer.body).unwrap())
}

/// A backend that reports no change. It does not lag, so reads past the cache are sent as they came: some errors repeat the
/// request, `ConsistentRead` included.
struct Silent(Arc<Local>);

impl Upstream for Silent {
    fn call<'a>(&'a self, request: &'a Request) -> CallFuture<'a> {
        self.0.call(request)
    }

    fn never_lags(&self) -> bool {
        true
    }
}

fn node(reports: Reports, policy: fn() -> TablePolicy) -> Arc<Engine> {
    let local = Arc::new(Local::in_memory(Settings::default()));
    let upstream: Arc<dyn Upstream> = match reports {
        Reports::Changes => local,
        Reports::Nothing => Arc::new(Silent(local)),
    };
    let items = ItemCache::seeded(CacheLimits { max_bytes: 1 << 20, stripes: 1 << 10 }, 0);
    let pages = PageCache::new(PageLimits::for_budget(8 << 20), Arc::clone(&items));
    Engine::new(upstream, items, pages, Box::new(move |_| policy()))
}
