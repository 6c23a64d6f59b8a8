//! A node under test: the engine over a scripted upstream, and requests that can be begun, awaited or left.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use nearside::cache::{
    CacheLimits, ComparisonStats, FillMode, FleetMemory, FleetSecret, ItemCache, LapsedReads, PageCache,
    PageLimits, PagePolicy, ReadPolicy, Realm, Report, ScanAdmission, TableDigest,
};
use nearside::call::{Attempt, PrincipalRole, Request, Source};
use nearside::engine::{Engine, Memory, Peers, PolicyChange, PolicyOf, Served, TablePolicy, Understood};
use nearside::insight::Insight;
use nearside::model::Operation;
use nearside::rights::{Place, Rights};
use tokio::task::JoinHandle;

use crate::scripted::{Calls, Scripted};

/// The size of the cache of items.
const ITEM_LIMITS: CacheLimits = CacheLimits { max_bytes: 1 << 20, stripes: 1 << 10 };

/// A node and its upstream.
pub(crate) struct Node {
    engine: Arc<Engine>,
    items: Arc<ItemCache>,
    pages: Arc<PageCache>,
    insight: Arc<Insight>,
    pub(crate) script: Arc<Scripted>,
    pub(crate) upstream: Calls,
}

/// What a client got.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: String,
    pub(crate) source: String,
    pub(crate) age: Option<String>,
}

/// A request under way; awaiting it gives the reply.
pub(crate) struct Begun(JoinHandle<Reply>);

/// How the tests cache tables, unless they say otherwise.
pub(crate) fn policy() -> TablePolicy {
    let ttl = Some(Duration::from_secs(300));
    let items = ReadPolicy {
        ttl,
        negative_ttl: Some(Duration::from_secs(60)),
        fill: FillMode::Adaptive,
        item_bytes_max: 100_000,
        stale_if_error: Duration::ZERO,
    };
    let pages = PagePolicy {
        ttl,
        fill: FillMode::Adaptive,
        gsi_quarantine: Duration::from_secs(5),
        page_bytes_max: 100_000,
        scan_admission: ScanAdmission::Second,
        stale_if_error: Duration::ZERO,
        fill_items: false,
    };
    TablePolicy { pages: Some(pages), ..TablePolicy::items_only(items) }
}

impl Node {
    pub(crate) async fn start() -> Self {
        Self::start_with(policy).await
    }

    /// A node that caches every table so.
    pub(crate) async fn start_with(policy: fn() -> TablePolicy) -> Self {
        Self::start_with_policies(Box::new(move |_| policy()), policy())
    }

    /// A node whose policy changes when the first request has just been told the one before.
    pub(crate) async fn start_with_change(before: fn() -> TablePolicy, after: fn() -> TablePolicy) -> Self {
        let engine = Arc::new(OnceLock::<Weak<Engine>>::new());
        let (running, was_asked) = (Arc::clone(&engine), AtomicBool::new(false));
        let policy_of = move |_: &str| {
            if was_asked.swap(true, Ordering::Relaxed) {
                return after();
            }
            running
                .get()
                .and_then(Weak::upgrade)
                .expect("requests come to a running engine")
                .renew_policies(PolicyChange::Invalidates);
            before()
        };
        let node = Self::start_with_policies(Box::new(policy_of), before());
        engine.set(Arc::downgrade(&node.engine)).unwrap();
        node
    }

    /// A node that asks for each table's policy; `first` says how long it keeps what has expired.
    pub(crate) fn start_with_policies(policy_of: PolicyOf, first: TablePolicy) -> Self {
        Self::start_over(ItemCache::seeded(ITEM_LIMITS, 0), policy_of, first)
    }

    /// A node beside others, with a lease until long after the test.
    pub(crate) fn start_among(peers: Arc<dyn Peers>) -> Self {
        let memory = FleetMemory {
            secret: FleetSecret::new(7),
            lease: Duration::from_secs(1),
            lapsed: LapsedReads::Young,
            stopped: None,
        };
        let node =
            Self::start_over(ItemCache::in_fleet(ITEM_LIMITS, memory), Box::new(|_| policy()), policy());
        node.engine.set_peers(peers);
        node.engine.renew_lease(tokio::time::Instant::now() + Duration::from_secs(1_000_000));
        node
    }

    fn start_over(items: Arc<ItemCache>, policy_of: PolicyOf, first: TablePolicy) -> Self {
        let (script, upstream) = Scripted::new();
        items.keep_expired(first.items.map_or(Duration::ZERO, |items| items.stale_if_error));
        let limits =
            PageLimits { max_bytes: 8 << 20, partition_stripes: 1 << 10, index_partition_stripes: 1 << 10 };
        let pages = PageCache::new(limits, Arc::clone(&items));
        let memory = Memory::new(Arc::clone(&items), Arc::clone(&pages));
        let engine = Engine::in_realm(Realm::SOLE, Arc::clone(&script) as _, &memory, policy_of);
        Self { engine, items, pages, insight: memory.insight, script, upstream }
    }

    /// The node itself, for what no client asks for.
    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Another node reports this.
    pub(crate) async fn hear(&self, report: &Report) {
        self.engine.apply_report(report, tokio::time::Instant::now());
        self.settle().await;
    }

    /// The read units that memory has saved, of all tables.
    pub(crate) fn saved(&self) -> f64 {
        let units = self.insight.tables().into_iter().flat_map(|table| table.units());
        units.map(|(_, units)| units.read_saved.number()).sum()
    }

    /// By what the nodes of a fleet call a table.
    pub(crate) fn digest(&self, table: &str) -> TableDigest {
        self.items.digest_of(table)
    }

    /// Has the node ask for its policies again.
    pub(crate) fn renew_policies(&self, change: PolicyChange) {
        self.engine.renew_policies(change);
    }

    /// Sends a request and lets it run until it waits for the upstream or has its reply.
    pub(crate) async fn begin(&self, operation: &str, body: &str) -> Begun {
        let begun = self.spawn(operation, body);
        self.settle().await;
        begun
    }

    /// Has a request sent when the test next waits for something.
    pub(crate) fn spawn(&self, operation: &str, body: &str) -> Begun {
        let target = format!("DynamoDB_20120810.{operation}");
        let operation = Operation::from_target(&target).unwrap();
        let mut request = Request::new(operation, body.to_owned());
        request.unknown_target = (operation == Operation::Unknown).then(|| target.into());
        self.execute(request)
    }

    /// As [`Node::spawn`], of a client that has tried before.
    pub(crate) fn spawn_again(&self, operation: Operation, body: &str) -> Begun {
        self.execute(Request { attempt: Attempt::Again, ..Request::new(operation, body.to_owned()) })
    }

    fn execute(&self, request: Request) -> Begun {
        let engine = Arc::clone(&self.engine);
        Begun(tokio::spawn(async move { Reply::from(engine.execute(request).await) }))
    }

    /// Sends a request on behalf of a role, or of nobody but the node, and lets it run until it waits for the upstream or has its
    /// reply.
    pub(crate) async fn begin_for(
        &self,
        role: Option<&Arc<PrincipalRole>>,
        operation: Operation,
        body: &str,
    ) -> Begun {
        let request = Request::new(operation, body.to_owned());
        let begun = self.execute(Request { on_behalf_of: role.cloned(), ..request });
        self.settle().await;
        begun
    }

    /// Sends a request of a caller with these rights, and lets it run until it waits for the upstream or has its reply. A request that
    /// is denied is answered by nobody: its source is empty.
    pub(crate) async fn begin_as(&self, rights: &Arc<Rights>, operation: Operation, body: &str) -> Begun {
        let (engine, rights) = (Arc::clone(&self.engine), Arc::clone(rights));
        let request = Request::new(operation, body.to_owned());
        let begun = Begun(tokio::spawn(async move {
            let place = Place { region: "us-east-1", account: Some("123456789012") };
            match engine.execute_as(&rights, place, request, Understood::default()).await {
                Ok(served) => Reply::from(served),
                Err(error) => {
                    let (status, body) = (error.code.status(), error.to_json());
                    Reply { status, body, source: String::new(), age: None }
                }
            }
        }));
        self.settle().await;
        begun
    }

    /// Sends a request that must be answered without the upstream's help.
    pub(crate) async fn call(&self, operation: &str, body: &str) -> Reply {
        self.begin(operation, body).await.ready().await.expect("answered without the upstream")
    }

    /// Reads an item that must come from the upstream, and answers it.
    pub(crate) async fn read_from_upstream(&mut self, id: &str, n: u64) {
        let read = self.begin("GetItem", &get(id)).await;
        self.upstream.next(Operation::GetItem).await.answer(&item(id, n));
        assert_eq!(read.await.body, item(id, n));
    }

    /// How many items of answers had a key that was not asked for.
    pub(crate) fn foreign_keys(&self) -> u64 {
        self.items.stats().total.foreign_keys
    }

    /// How many strong reads contradicted the cache of items.
    pub(crate) fn stale_observed(&self) -> u64 {
        self.items.stats().total.stale_observed
    }

    /// What comparisons with the upstream showed, of all tables.
    pub(crate) fn comparisons(&self) -> ComparisonStats {
        let mut sum = ComparisonStats::default();
        self.pages.tables().iter().for_each(|(table, _)| sum += table.comparisons().snapshot());
        sum
    }

    /// The engine stops to wait for what only waits, as at the end of a process.
    pub(crate) async fn drain(&self) -> usize {
        self.engine.drain(tokio::time::Instant::now()).await
    }

    /// Lets everything run that can run.
    pub(crate) async fn settle(&self) {
        for _ in 0..32 {
            tokio::task::yield_now().await;
        }
    }

    /// How long a write of unknown outcome may still land.
    pub(crate) fn set_unknown_write_window(&self, window: Duration) {
        self.items.set_unknown_write_window(window);
    }

    /// Waits until no replica may lack what this node, or the process before it, has written: reads past the cache then go in
    /// the client's own words.
    pub(crate) async fn settle_writes(&self) {
        self.wait(Duration::from_secs(63)).await;
    }

    /// Moves the clock.
    pub(crate) async fn wait(&self, time: Duration) {
        tokio::time::advance(time).await;
        let now = tokio::time::Instant::now();
        self.items.sweep(now);
        self.pages.sweep(now);
        self.settle().await;
    }
}

impl Begun {
    /// True if the reply is there.
    pub(crate) fn is_answered(&self) -> bool {
        self.0.is_finished()
    }

    /// The reply, if it is there without more ado.
    pub(crate) async fn ready(self) -> Option<Reply> {
        if self.0.is_finished() { Some(self.await) } else { None }
    }

    /// The client goes away.
    pub(crate) async fn leave(self) {
        self.0.abort();
        self.0.await.ok();
    }
}

impl std::future::IntoFuture for Begun {
    type Output = Reply;
    type IntoFuture = std::pin::Pin<Box<dyn Future<Output = Reply> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async { self.0.await.unwrap() })
    }
}

impl From<Served> for Reply {
    fn from(served: Served) -> Self {
        let source = match served.source {
            Source::Hit => "hit".to_owned(),
            Source::Miss => "miss".to_owned(),
            Source::Joined => "joined".to_owned(),
            Source::Bypass(_) => "bypass".to_owned(),
            Source::Write => "write".to_owned(),
            Source::Stale => "stale".to_owned(),
            Source::Batch { hit, miss, stale: 0 } => format!("hit={hit},miss={miss}"),
            Source::Batch { hit, miss, stale } => format!("hit={hit},miss={miss},stale={stale}"),
        };
        Self {
            status: served.answer.status,
            body: String::from_utf8(served.answer.body.to_vec()).unwrap(),
            source,
            age: served.age_seconds.map(|age| age.to_string()),
        }
    }
}

pub(crate) fn get(id: &str) -> String {
    format!(r#"{{"TableName":"Orders","Key":{{"id":{{"S":"{id}"}}}}}}"#)
}

pub(crate) fn strong(id: &str) -> String {
    format!(r#"{{"TableName":"Orders","Key":{{"id":{{"S":"{id}"}}}},"ConsistentRead":true}}"#)
}

pub(crate) fn put(id: &str, n: u64) -> String {
    format!(r#"{{"TableName":"Orders","Item":{{"id":{{"S":"{id}"}},"n":{{"N":"{n}"}}}}}}"#)
}

/// A GetItem's answer.
pub(crate) fn item(id: &str, n: u64) -> String {
    format!(r#"{{"Item":{{"id":{{"S":"{id}"}},"n":{{"N":"{n}"}}}}}}"#)
}
