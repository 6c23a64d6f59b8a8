//! The proof of exact invalidation: over random small tables with indexes, after random writes of every kind, no page is
//! served whose query would now give another answer; and a count of those that were invalidated although it would not.
//!
//! `NEARSIDE_CASES` sets how many writes are made, `NEARSIDE_SEED` replays a run. The tally is printed (`--nocapture`).

pub(crate) mod requests;
pub(crate) mod schema;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use nearside::cache::{
    CacheLimits, FillMode, ItemCache, PageCache, PageLimits, PagePolicy, ReadPolicy, ScanAdmission,
};
use nearside::call::{CallFuture, Request, Source, Upstream};
use nearside::engine::{CacheMode, Engine, ItemAtOnce, SampleRate, Served, TablePolicy};
use nearside::json::Json;
use nearside::local::{Local, Settings};
use nearside::model::Operation;
use nearside::wire::request::key_bytes;

use crate::fleet;
use requests::{PageAsked, Write, WriteKind};
use schema::Schema;

/// Pages that are cached at a time.
const PAGES: usize = 14;
/// Writes to one table before there is another one.
const WRITES_PER_TABLE: usize = 400;
/// How much room there is for them.
const PAGE_LIMITS: PageLimits =
    PageLimits { max_bytes: 16 << 20, partition_stripes: 1 << 12, index_partition_stripes: 1 << 12 };
/// Longer than anything that was lately changed is remembered as such.
const CALM: Duration = Duration::from_secs(70);

#[tokio::test(start_paused = true)]
async fn no_page_is_served_that_a_write_has_changed() {
    prove("quarantine off", Node::Alone(Reports::Nothing), Duration::ZERO, cases(1_000)).await;
}

#[tokio::test(start_paused = true)]
async fn nor_at_another_node_than_the_one_that_wrote() {
    prove("three nodes", Node::OfThree, Duration::ZERO, cases(400)).await;
}

#[tokio::test(start_paused = true)]
async fn nor_is_one_invalidated_needlessly_by_changes_that_the_upstream_reports() {
    let tally =
        prove("changes reported", Node::Alone(Reports::Changes), Duration::from_secs(5), cases(1_000)).await;
    let needless = tally.needlessly_invalidated_of_global_indexes();
    // A write of one partition also invalidates the pages that end or begin elsewhere in it, and scans of the index.
    assert!(needless < 0.2, "{needless}");
}

#[tokio::test(start_paused = true)]
async fn nor_with_the_quarantine_of_global_indexes() {
    prove("quarantine of 5 s", Node::Alone(Reports::Nothing), Duration::from_secs(5), cases(300)).await;
}

fn cases(default: usize) -> usize {
    std::env::var("NEARSIDE_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

async fn prove(name: &str, node: Node, quarantine: Duration, cases: usize) -> Tally {
    let seed = std::env::var("NEARSIDE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("{name}: {cases} writes; replay with NEARSIDE_SEED={seed} NEARSIDE_CASES={cases}");
    let mut random = Rng::with_seed(seed);
    let mut tally = Tally::default();
    let mut done = 0;
    while done < cases {
        let mut world = World::new(random.fork(), node, quarantine).await;
        for _ in 0..WRITES_PER_TABLE.min(cases - done) {
            world.step(&mut tally).await;
            done += 1;
        }
    }
    println!("{tally}");
    assert!(tally.kept() > cases, "the cache had no part in this");
    tally
}

/// Who caches.
#[derive(Clone, Copy, Debug)]
enum Node {
    Alone(Reports),
    /// Each request goes to any of three nodes, which hear of each other's changes at once.
    OfThree,
}

/// What the upstream says of changes by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reports {
    /// All of them.
    Changes,
    /// Nothing, as one elsewhere.
    Nothing,
}

/// A backend that behaves as one elsewhere: it reports no change, and promises nothing of what it reads.
pub(crate) struct Elsewhere(pub(crate) Arc<Local>);

impl Upstream for Elsewhere {
    fn call<'a>(&'a self, request: &'a Request) -> CallFuture<'a> {
        self.0.call(request)
    }
}

/// One table behind the cache, and the pages of it that are cached.
struct World {
    local: Arc<Local>,
    engines: Vec<Arc<Engine>>,
    schema: Schema,
    pages: Vec<CachedPage>,
    random: Rng,
    node: Node,
    quarantine: Duration,
    /// What happened last, for the report of a failure.
    last: String,
}

/// A page that was asked for, and what came.
struct CachedPage {
    asked: PageAsked,
    /// The upstream's own answer when it was last fetched.
    fetched: Bytes,
    /// What the cache made of it.
    served: Bytes,
}

fn policy(items_on: bool, quarantine: Duration) -> TablePolicy {
    TablePolicy {
        items: items_on.then_some(ReadPolicy {
            ttl: None,
            negative_ttl: None,
            fill: FillMode::Adaptive,
            item_bytes_max: 100_000,
            stale_if_error: Duration::ZERO,
        }),
        pages: Some(PagePolicy {
            ttl: None,
            fill: FillMode::Adaptive,
            gsi_quarantine: quarantine,
            page_bytes_max: 100_000,
            scan_admission: ScanAdmission::First,
            stale_if_error: Duration::ZERO,
            fill_items: items_on,
        }),
        indexes: Default::default(),
        asks_images: true,
        mode: CacheMode::On,
        verify_sample: SampleRate::NONE,
    }
}

fn alone(
    upstream: Arc<dyn Upstream>,
    policy: impl Fn() -> TablePolicy + Send + Sync + 'static,
) -> Arc<Engine> {
    let cache = ItemCache::seeded(CacheLimits { max_bytes: 1 << 20, stripes: 1 << 10 }, 0);
    let pages = PageCache::new(PAGE_LIMITS, Arc::clone(&cache));
    Engine::new(upstream, cache, pages, Box::new(move |_| policy()))
}

impl World {
    async fn new(mut random: Rng, node: Node, quarantine: Duration) -> Self {
        let local = Arc::new(Local::in_memory(Settings::default()));
        let items_on = random.bool();
        let policy = move || policy(items_on, quarantine);
        let engines = match node {
            Node::Alone(Reports::Changes) => vec![alone(Arc::clone(&local) as _, policy)],
            Node::Alone(Reports::Nothing) => vec![alone(Arc::new(Elsewhere(Arc::clone(&local))), policy)],
            Node::OfThree => {
                let upstream = Arc::new(Elsewhere(Arc::clone(&local)));
                fleet::nodes(3, upstream, policy)
            }
        };
        let schema = Schema::random(&mut random);
        let last = schema.create_table();
        let mut world = Self { local, engines, schema, pages: Vec::new(), random, node, quarantine, last };
        let created = world.call(Operation::CreateTable, world.last.clone()).await;
        assert_eq!(created.answer.status, 200, "{:?}", created.answer);
        tokio::time::advance(CALM).await;
        for _ in 0..12 {
            let write = Write::put(&world.schema, &mut world.random);
            world.call(write.operation, write.body).await;
        }
        while world.pages.len() < PAGES {
            world.add_page().await;
        }
        world
    }

    async fn call(&mut self, operation: Operation, body: String) -> Served {
        self.any_engine().execute(Request::new(operation, body)).await
    }

    fn any_engine(&mut self) -> Arc<Engine> {
        Arc::clone(self.random.choice(&self.engines).expect("there is a node"))
    }

    /// Asks for another page, and keeps it if the service has no fault to find with it.
    async fn add_page(&mut self) {
        let earlier = self.random.choice(&self.pages).filter(|_| self.random.u8(..4) == 0);
        let follow = earlier.and_then(|page| page.asked.following(&page.fetched));
        let asked = follow.unwrap_or_else(|| PageAsked::random(&self.schema, &mut self.random));
        let served = self.call(asked.operation, asked.body.clone()).await;
        if served.answer.status == 200 {
            assert!(!matches!(served.source, Source::Bypass(_)), "{} is not understood", asked.body);
            let fetched = self.fetch(&asked).await;
            self.pages.push(CachedPage { asked, fetched, served: served.answer.body });
        }
    }

    /// The upstream's own answer, past the cache.
    async fn fetch(&self, asked: &PageAsked) -> Bytes {
        let answer = self.local.call(&Request::new(asked.operation, asked.body.clone())).await.unwrap();
        assert_eq!(answer.status, 200, "{} after {}: {:?}", asked.body, self.last, answer);
        answer.body
    }

    /// Makes one write, or a few at once, and looks at every page.
    async fn step(&mut self, tally: &mut Tally) {
        let write = Write::random(&self.schema, &mut self.random);
        let is_alone = self.random.u8(..10) > 0;
        let kind = if is_alone { write.kind } else { WriteKind::Overlapping };
        self.last.clone_from(&write.body);
        if is_alone {
            self.call(write.operation, write.body).await;
        } else {
            let others = [(); 2].map(|()| Write::random(&self.schema, &mut self.random));
            let calls = others.into_iter().chain([write]).map(|write| {
                self.last.push_str(&write.body);
                let engine = self.any_engine();
                tokio::spawn(async move { engine.execute(Request::new(write.operation, write.body)).await })
            });
            for call in calls.collect::<Vec<_>>() {
                call.await.unwrap();
            }
        }
        for position in 0..self.pages.len() {
            self.look(position, kind, tally).await;
        }
        self.look_at_an_item().await;
        if matches!(self.node, Node::Alone(Reports::Changes)) {
            return self.change_pages().await;
        }
        if !self.quarantine.is_zero() && self.random.u8(..3) == 0 {
            tokio::time::advance(self.quarantine + Duration::from_millis(1)).await;
        }
        self.change_pages().await;
    }

    /// Asks for another page in place of one, now and then.
    async fn change_pages(&mut self) {
        if self.random.u8(..4) == 0 {
            self.pages.swap_remove(self.random.usize(..self.pages.len()));
            while self.pages.len() < PAGES {
                self.add_page().await;
            }
        }
    }

    /// Reads by key may be answered out of pages, and must agree as well.
    async fn look_at_an_item(&mut self) {
        let body = format!(r#"{{"TableName":"Tab","Key":{{{}}}}}"#, self.schema.item_key(&mut self.random));
        let now = self.local.call(&Request::new(Operation::GetItem, body.clone())).await.unwrap();
        for _ in 0..2 {
            let at_once = item_at_once(&self.any_engine(), &body);
            let at_once_is_now =
                at_once.as_ref().is_none_or(|found| is_same_page(found.item.body(), &now.body));
            assert!(at_once_is_now, "stale at once: {body} after {}", self.last);
            let served = self.call(Operation::GetItem, body.clone()).await;
            assert!(is_same_page(&served.answer.body, &now.body), "stale: {body} after {}", self.last);
        }
    }

    async fn look(&mut self, position: usize, kind: WriteKind, tally: &mut Tally) {
        let asked = self.pages[position].asked.clone();
        let served = self.call(asked.operation, asked.body.clone()).await;
        let now = self.fetch(&asked).await;
        let page = &mut self.pages[position];
        let is_changed = now != page.fetched;
        let is_hit = served.source == Source::Hit;
        // If another spelling of the same page has been looked at since the write, this one may be a hit and new.
        let is_new_hit = is_hit && (is_changed || served.answer.body != page.served);
        assert!(
            !is_new_hit || is_same_page(&served.answer.body, &now),
            "stale: {} after {}\nserved {:?}\nshould be {now:?}",
            asked.body,
            self.last,
            served.answer.body
        );
        if !is_new_hit {
            tally.count(kind, asked.is_of_global_index, is_changed, is_hit);
        }
        page.fetched = now;
        page.served = served.answer.body;
    }
}

/// What memory has under the key of a GetItem.
fn item_at_once(engine: &Engine, body: &str) -> Option<ItemAtOnce> {
    let body = Json::parse(body.as_bytes()).unwrap();
    engine.item_at_once("Tab", |schema, out| {
        out.extend(key_bytes(schema, body.get("Key")?)?);
        Some(())
    })
}

fn is_same_page(left: &[u8], right: &[u8]) -> bool {
    let parse = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap();
    parse(left) == parse(right)
}

/// What became of pages, by the kind of write and whether they are of a global index.
#[derive(Default)]
struct Tally(BTreeMap<(WriteKind, bool), Counts>);

#[derive(Default)]
struct Counts {
    changed: usize,
    kept: usize,
    needlessly_invalidated: usize,
}

impl Tally {
    fn count(&mut self, kind: WriteKind, is_of_global_index: bool, is_changed: bool, is_hit: bool) {
        let counts = self.0.entry((kind, is_of_global_index)).or_default();
        match (is_changed, is_hit) {
            (true, _) => counts.changed += 1,
            (false, true) => counts.kept += 1,
            (false, false) => counts.needlessly_invalidated += 1,
        }
    }

    /// The share of those that no write had changed.
    fn needlessly_invalidated_of_global_indexes(&self) -> f64 {
        let of_global = self.0.iter().filter(|((_, is_of_global_index), _)| *is_of_global_index);
        let (needless, kept) = of_global.fold((0, 0), |(needless, kept), (_, counts)| {
            (needless + counts.needlessly_invalidated, kept + counts.kept)
        });
        needless as f64 / (needless + kept).max(1) as f64
    }

    fn kept(&self) -> usize {
        self.0.values().map(|counts| counts.kept).sum()
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(
            formatter,
            "{:<28}{:<8}{:>12}{:>12}{:>12}{:>10}",
            "write", "pages", "changed", "kept", "needless", "share"
        )?;
        for ((kind, is_of_global_index), counts) in &self.0 {
            let unchanged = (counts.kept + counts.needlessly_invalidated).max(1);
            let share = 100.0 * counts.needlessly_invalidated as f64 / unchanged as f64;
            let of = if *is_of_global_index { "global" } else { "table" };
            writeln!(
                formatter,
                "{:<28}{:<8}{:>12}{:>12}{:>12}{share:>9.1}%",
                format!("{kind:?}"),
                of,
                counts.changed,
                counts.kept,
                counts.needlessly_invalidated
            )?;
        }
        Ok(())
    }
}
