//! Writes: through to the upstream, once, in a task of their own; the cache is right before the answer leaves.
//!
//! A plan says which items a request may change and what will be known of them afterwards. Keys that cannot be read widen
//! the plan to the whole table. Every verdict of the upstream bumps what the plan names: a rejection may be of the second attempt
//! of a write that has happened. An unknown outcome holds the keys, since the write may still land.

use std::collections::HashMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::call::{Answer, Request, UpstreamError};
use crate::insight::WriteTerms;
use crate::model::{ApiError, ErrorCode, Operation};
use crate::offload::{LARGE_BODY_BYTES, offload};
use crate::wire::Json;
use crate::wire::json::LISTED_MAX;
use crate::wire::named::TABLES_MAX;
use crate::wire::request::{item_key_bytes, key_bytes};

use super::changes::{Execution, Verdict, WrittenKey};
use super::known_table::KnownTable;
use super::permissions::{Addition, is_denied};
use super::scope::Scope;
use super::{Engine, Served, Source, failed, images, unwritten};

/// The future of a write.
trait Write: Future<Output = Served> + Send + 'static {}

impl<F: Future<Output = Served> + Send + 'static> Write for F {}

type BoxedWrite<W> = Pin<Box<W>>;

/// A write that is ready to be sent.
pub(super) struct WritePlan {
    request: Request,
    /// The keys that it may change.
    pub(super) keys: Vec<WrittenKey>,
    /// What it may change besides, because a key could not be read.
    pub(super) wide: Scope,
    /// What will be known of the item before and after, for a write of a single key.
    pub(super) images: images::Plan,
    /// What the client sent, if `request` asks for more.
    own: Option<Request>,
    /// By what a write of a single key is charged: the client's own request.
    terms: Option<WriteTerms>,
    /// The table, when it is exactly one.
    table: Option<Arc<KnownTable>>,
    /// The tables whose schema an item of the write does not fit, as far as it can be read.
    misfits: Vec<Arc<KnownTable>>,
}

impl WritePlan {
    /// A write of nothing that is known yet.
    pub(super) fn new(request: Request) -> Self {
        let (keys, wide) = (Vec::new(), Scope::Nothing);
        let images = images::Plan::nothing();
        Self { request, keys, wide, images, own: None, terms: None, table: None, misfits: Vec::new() }
    }

    /// Names the table of all keys, if it is one.
    pub(super) fn name_table(&mut self) {
        let mut tables = self.keys.iter().map(|written| &written.table);
        if let Some(first) = tables.next()
            && tables.all(|table| Arc::ptr_eq(&table.cached, &first.cached))
        {
            self.table = Some(Arc::clone(first));
        }
    }
}

impl Engine {
    /// Performs a write of items by key.
    pub(super) async fn write(self: &Arc<Self>, request: Request) -> Served {
        if self.gets_items {
            let body_bytes = request.body.len();
            let write = Box::pin(Arc::clone(self).plan_and_perform(request));
            return self.at_once_or_in_task(body_bytes, write).await;
        }
        // A tree takes several times its bytes, so none is kept while a remote upstream is waited for. And a client that leaves
        // while its table is still being described stops its write.
        match Box::pin(self.plan_alone(request)).await {
            Ok(plan) => self.carry_out(plan).await,
            Err(error) => Served::plain(error.into(), Source::Write),
        }
    }

    /// Carries out a write that is planned.
    pub(super) async fn carry_out(self: &Arc<Self>, plan: Box<WritePlan>) -> Served {
        self.in_task(plan.request.body.len(), Box::pin(Arc::clone(self).perform(plan, None))).await
    }

    /// Runs a write in a task of its own: a client that leaves must not stop it between upstream and cache. It comes boxed, because it
    /// is some kilobytes, which a task is moved by several times before it runs.
    async fn in_task(&self, body_bytes: usize, write: BoxedWrite<impl Write>) -> Served {
        self.spawn_write(body_bytes, write).await.unwrap_or_else(|_| ended_early())
    }

    /// As [`Engine::in_task`], of a write that an upstream in this process may answer without a wait. Nothing stops a future within
    /// one poll, so a write that is done after its first one needs no task.
    async fn at_once_or_in_task(&self, body_bytes: usize, mut write: BoxedWrite<impl Write>) -> Served {
        if body_bytes > LARGE_BODY_BYTES {
            return self.in_task(body_bytes, write).await;
        }
        // For who waits until no task is left, it is one from here on.
        let token = self.tasks.token();
        // A panic drops what the write owns, its guards with it, as the panic of a task does.
        let mut poll =
            |context: &mut Context<'_>| catch_unwind(AssertUnwindSafe(|| write.as_mut().poll(context)));
        match poll_fn(|context| Poll::Ready(poll(context))).await {
            Ok(Poll::Ready(served)) => served,
            Ok(Poll::Pending) => {
                let task = self.spawn_write(body_bytes, write);
                drop(token);
                task.await.unwrap_or_else(|_| ended_early())
            }
            Err(_) => ended_early(),
        }
    }

    fn spawn_write(&self, body_bytes: usize, write: BoxedWrite<impl Write>) -> JoinHandle<Served> {
        match body_bytes {
            ..=LARGE_BODY_BYTES => self.tasks.spawn(write),
            _ => self.tasks.spawn(offload(write)),
        }
    }

    /// Plans a write for an upstream that reads bytes.
    async fn plan_alone(self: &Arc<Self>, request: Request) -> Result<Box<WritePlan>, ApiError> {
        let bytes = request.body.clone();
        let (body, is_whole) = read(&bytes)?;
        Ok(self.plan(request, &body, is_whole).await)
    }

    /// Parses the body once, for an upstream that takes the tree.
    async fn plan_and_perform(self: Arc<Self>, request: Request) -> Served {
        let bytes = request.body.clone();
        let (body, is_whole) = match read(&bytes) {
            Ok(read) => read,
            Err(error) => return Served::plain(error.into(), Source::Write),
        };
        let plan = self.plan(request, &body, is_whole).await;
        self.perform(plan, Some(&body)).await
    }

    /// Plans a write. The plan comes boxed, and the rarer future too: what every write keeps and moves stays small.
    async fn plan(self: &Arc<Self>, request: Request, body: &Json<'_>, is_whole: bool) -> Box<WritePlan> {
        match request.operation {
            Operation::PutItem | Operation::UpdateItem | Operation::DeleteItem => {
                let name = body.get("TableName").and_then(Json::text);
                let table = self.learn(name.unwrap_or_default()).await;
                Box::new(self.plan_single(request, (name, table), body, is_whole))
            }
            _ => Box::new(Box::pin(self.plan_many(request, body)).await),
        }
    }

    /// PutItem, UpdateItem and DeleteItem. A body that is not whole is not sent in another form.
    fn plan_single(
        &self,
        request: Request,
        (name, table): (Option<&str>, Option<Arc<KnownTable>>),
        body: &Json<'_>,
        is_whole: bool,
    ) -> WritePlan {
        let Some(table) = table else {
            let wide = name.map_or(Scope::Nothing, Scope::named);
            return WritePlan { wide, ..WritePlan::new(request) };
        };
        let attributes = match request.operation {
            Operation::PutItem => body.get("Item").map(|item| (item, IsKey::Within)),
            _ => body.get("Key").map(|key| (key, IsKey::Exactly)),
        };
        let Some(written) = (Touched { table_name: &table.name, attributes }).written_key(&table) else {
            let (wide, misfits) = (Scope::named(&table.name), vec![Arc::clone(&table)]);
            return WritePlan { wide, table: Some(table), misfits, ..WritePlan::new(request) };
        };
        let now = Instant::now();
        let is_denied = |addition| self.permissions.is_denied(&table.name, addition, &request, now);
        let wants = images::Wants {
            // Nobody is shown an item that the role may not read.
            image: table.policy.is_some() && !is_denied(Addition::WholeItems),
            positions: !self.hears_changes && table.asks_images && table.has_readers_of_indexes(now),
            may_ask: table.asks_images && is_whole && !is_denied(Addition::ReturnValues),
            is_handed_over: self.gets_items,
        };
        let (asking, images) = images::Plan::of(&request, body, wants, &table.schema);
        let (request, own) = match asking {
            Some(asking) => (asking, Some(request)),
            None => (request, None),
        };
        // A backend that reports its changes reports what it charges, too.
        let terms = (!self.hears_changes).then(|| WriteTerms::of(body));
        WritePlan { keys: vec![written], images, own, terms, table: Some(table), ..WritePlan::new(request) }
    }

    /// BatchWriteItem and TransactWriteItems.
    async fn plan_many(self: &Arc<Self>, request: Request, body: &Json<'_>) -> WritePlan {
        let mut plan = WritePlan::new(request);
        let Some(all_touched) = touched_items(body) else {
            plan.wide = Scope::Everything;
            return plan;
        };
        let mut tables: HashMap<&str, Option<Arc<KnownTable>>> = HashMap::new();
        for touched in all_touched {
            let name = touched.table_name;
            if !tables.contains_key(name) {
                if tables.len() == TABLES_MAX {
                    plan.wide = Scope::Everything;
                    break;
                }
                // Once for each name: a table that nobody knows is not remembered.
                tables.insert(name, self.learn(name).await);
            }
            let Some(table) = tables.get(name).and_then(Option::as_ref) else {
                plan.wide.widen(Scope::named(name));
                continue;
            };
            match touched.written_key(table) {
                Some(written) => plan.keys.push(written),
                None => {
                    plan.wide.widen(Scope::named(&table.name));
                    if !plan.misfits.iter().any(|misfit| Arc::ptr_eq(misfit, table)) {
                        plan.misfits.push(Arc::clone(table));
                    }
                }
            }
        }
        plan.name_table();
        plan
    }

    /// Sends the write once and makes the cache right, whatever comes back. `body` is the tree of the client's bytes, if they are
    /// parsed.
    async fn perform(self: Arc<Self>, mut plan: Box<WritePlan>, body: Option<&Json<'_>>) -> Served {
        if let Err(answer) = self.admit_write() {
            return Served::plain(answer, Source::Write);
        }
        let (keys, wide) =
            (std::mem::take(&mut plan.keys), std::mem::replace(&mut plan.wide, Scope::Nothing));
        let change = self.begin_change(&plan.request, keys, wide);
        let (settled, answer) = match self.send(&mut plan, body).await {
            Ok(answer) if answer.is_success() => {
                plan.misfits.iter().for_each(|table| self.doubt(table));
                match plan.images.finish(answer) {
                    Ok((answer, outcome)) => {
                        let outcome = self.of_written_item(change.keys(), outcome);
                        (change.settle(&Verdict::Applied(&outcome)), answer)
                    }
                    Err(images::Undecodable) => {
                        let answer = failed("The upstream's answer to a write cannot be read.");
                        (change.settle(&Verdict::Unknown), answer)
                    }
                }
            }
            Ok(answer) if answer.status < 500 => {
                if let Some(table) = &plan.table {
                    self.check_rejection(&answer, table);
                }
                (change.settle(&Verdict::Rejected(execution(&answer))), answer)
            }
            Ok(answer) => (change.settle(&Verdict::Unknown), answer),
            Err(error) => {
                let settled = change.settle(match &error {
                    UpstreamError::NotSent(_) => &Verdict::NotSent,
                    UpstreamError::OutcomeUnknown(_) => &Verdict::Unknown,
                });
                (settled, unwritten(error))
            }
        };
        let answer = settled.acknowledge(answer).await;
        let table = plan.table.map(|table| Arc::clone(&table.name));
        Served { table, ..Served::plain(answer, Source::Write) }
    }

    /// Sends a write. If the role may not ask for what the cache wants to know, the client's own request is sent. That is
    /// still a write sent once: DynamoDB authorizes a request before it executes any of it, and this one was denied for what
    /// it says, so no attempt of it was executed.
    async fn send(&self, plan: &mut WritePlan, body: Option<&Json<'_>>) -> Result<Answer, UpstreamError> {
        let asking = |terms: WriteTerms| plan.images.asked().map_or(terms, |asked| terms.asking(asked));
        let sent = plan.terms.map(asking);
        let known = plan.table.as_deref().zip(sent.as_ref());
        // The tree is that of the client's own request.
        let sent_body = body.filter(|_| plan.own.is_none());
        let answer = self.call_write(&plan.request, sent_body, known).await?;
        let Some(own) = plan.own.take().filter(|_| is_denied(&answer)) else { return Ok(answer) };
        plan.images.forgo_answer();
        let known = plan.table.as_deref().zip(plan.terms.as_ref());
        let answer = Box::pin(self.call_write(&own, body, known)).await?;
        if let Some(table) = plan.table.as_deref().filter(|_| !is_denied(&answer)) {
            self.permissions.note_denied(&table.name, Addition::ReturnValues, &own, Instant::now());
        }
        Ok(answer)
    }

    /// What a write told, if that is of the item that was written.
    fn of_written_item(self: &Arc<Self>, keys: &[WrittenKey], outcome: images::Outcome) -> images::Outcome {
        match keys {
            [written] if !outcome.is_of(&written.table.schema.key, &written.key) => {
                self.note_foreign_key(&written.table);
                images::Outcome::unknown()
            }
            _ => outcome,
        }
    }
}

/// What a client hears whose write has panicked: its outcome is unknown.
fn ended_early() -> Served {
    Served::plain(failed("The write's task ended early."), Source::Write)
}

/// The tree of a write's body, and whether it is whole. Both sides must read a write alike, so one that cannot be read strictly goes
/// no further. Of one that is too deep for any item, or too long, only the upstream can say so in its own words.
fn read(body: &[u8]) -> Result<(Json<'_>, bool), ApiError> {
    let whole = Json::parse_request(body);
    let is_whole = whole.is_ok();
    let body = whole.or_else(|_| Json::parse_short(body)).map_err(|_| unreadable())?;
    Ok((body, is_whole))
}

/// What is said of a body that is no JSON, or that two parsers could read in two ways; the service says no more either.
pub(super) fn unreadable() -> ApiError {
    ApiError { code: ErrorCode::Serialization, message: None, members: None }
}

/// Whether a write that was rejected may have been executed.
fn execution(answer: &Answer) -> Execution {
    match answer.rejection() {
        Some(ErrorCode::Validation | ErrorCode::Serialization) => Execution::Never,
        _ => Execution::MayBeEarlier,
    }
}

/// One item that a batch or a transaction touches.
struct Touched<'a> {
    table_name: &'a str,
    /// An `Item` that holds its key, or a `Key` that is one.
    attributes: Option<(&'a Json<'a>, IsKey)>,
}

#[derive(Clone, Copy)]
enum IsKey {
    Exactly,
    Within,
}

impl Touched<'_> {
    /// The key, if it can be read.
    fn written_key(&self, table: &Arc<KnownTable>) -> Option<WrittenKey> {
        let (attributes, is_key) = self.attributes?;
        let key = match is_key {
            IsKey::Exactly => key_bytes(&table.schema.key, attributes)?,
            IsKey::Within => item_key_bytes(&table.schema.key, attributes)?,
        };
        WrittenKey::new(table, key)
    }
}

/// Every item that a BatchWriteItem or TransactWriteItems names; one that is not of the known form has no attributes. `None`
/// when a list was too long to be read whole.
fn touched_items<'a>(body: &'a Json<'a>) -> Option<Vec<Touched<'a>>> {
    let mut touched = Vec::new();
    for (table_name, requests) in body.get("RequestItems").and_then(Json::members).unwrap_or_default() {
        for request in read_whole(requests.elements().unwrap_or_default())? {
            let item =
                request.get("PutRequest").and_then(|put| put.get("Item")).map(|item| (item, IsKey::Within));
            let key = request
                .get("DeleteRequest")
                .and_then(|delete| delete.get("Key"))
                .map(|key| (key, IsKey::Exactly));
            touched.push(Touched { table_name, attributes: item.xor(key) });
        }
    }
    for action in read_whole(body.get("TransactItems").and_then(Json::elements).unwrap_or_default())? {
        for (kind, request) in action.members().unwrap_or_default() {
            let Some(table_name) = request.get("TableName").and_then(Json::text) else { continue };
            let attributes = match &**kind {
                "Put" => request.get("Item").map(|item| (item, IsKey::Within)),
                _ => request.get("Key").map(|key| (key, IsKey::Exactly)),
            };
            touched.push(Touched { table_name, attributes });
        }
    }
    Some(touched)
}

/// A list of a request, unless [`Json::parse_short`] has cut it.
fn read_whole<'a, 'b>(list: &'b [Json<'a>]) -> Option<&'b [Json<'a>]> {
    Some(list).filter(|list| list.len() <= LISTED_MAX)
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::watch;

    use super::*;
    use crate::cache::{CacheLimits, FillMode, ItemCache, PageCache, PageLimits, ReadPolicy};
    use crate::call::{CallFuture, Upstream};
    use crate::engine::TablePolicy;
    use crate::local::{Local, Settings};

    /// What the upstream does with a PutItem before and after it is carried out.
    #[derive(Clone, Copy, PartialEq)]
    enum Manner {
        AtOnce,
        Waits,
        Panics,
    }

    /// The local backend, with a PutItem that may wait or panic when the item is stored.
    struct Slow {
        local: Local,
        manner: Mutex<Manner>,
        /// True when what waits may go on.
        gate: watch::Sender<bool>,
        gets: AtomicUsize,
    }

    impl Upstream for Slow {
        fn call<'a>(&'a self, request: &'a Request) -> CallFuture<'a> {
            Box::pin(async move {
                self.gets.fetch_add(usize::from(request.operation == Operation::GetItem), Ordering::Relaxed);
                let answer = self.local.call(request).await;
                if request.operation == Operation::PutItem {
                    let manner = *self.manner.lock().unwrap();
                    match manner {
                        Manner::AtOnce => {}
                        Manner::Waits => {
                            if self.gate.subscribe().wait_for(|is_open| *is_open).await.is_err() {
                                pending().await
                            }
                        }
                        Manner::Panics => panic!("on purpose"),
                    }
                }
                answer
            })
        }

        fn hands_over_items(&self) -> bool {
            true
        }

        fn never_lags(&self) -> bool {
            true
        }
    }

    async fn slow() -> (Arc<Slow>, Arc<Engine>) {
        let items = ItemCache::seeded(CacheLimits { max_bytes: 1 << 20, stripes: 1 << 10 }, 0);
        let pages = PageCache::new(PageLimits::for_budget(1 << 20), Arc::clone(&items));
        let policy = ReadPolicy {
            ttl: None,
            negative_ttl: None,
            fill: FillMode::Adaptive,
            item_bytes_max: 100_000,
            stale_if_error: std::time::Duration::ZERO,
        };
        let upstream = Arc::new(Slow {
            local: Local::in_memory(Settings::default()),
            manner: Mutex::new(Manner::AtOnce),
            gate: watch::Sender::new(false),
            gets: AtomicUsize::new(0),
        });
        let policy_of = Box::new(move |_: &str| TablePolicy::items_only(policy));
        let engine = Engine::new(Arc::clone(&upstream) as _, items, pages, policy_of);
        let table = r#"{"TableName":"tab","BillingMode":"PAY_PER_REQUEST","KeySchema":[{"AttributeName":"p","KeyType":"HASH"}],
            "AttributeDefinitions":[{"AttributeName":"p","AttributeType":"S"}]}"#;
        assert_eq!(engine.execute(Request::new(Operation::CreateTable, table)).await.answer.status, 200);
        // The table is known from here on.
        assert_eq!(get(&engine).await, "{}");
        (upstream, engine)
    }

    fn put(value: u8) -> Request {
        let body = format!(r#"{{"TableName":"tab","Item":{{"p":{{"S":"a"}},"v":{{"N":"{value}"}}}}}}"#);
        Request::new(Operation::PutItem, body)
    }

    async fn get(engine: &Arc<Engine>) -> String {
        let request = Request::new(Operation::GetItem, r#"{"TableName":"tab","Key":{"p":{"S":"a"}}}"#);
        String::from_utf8(engine.execute(request).await.answer.body.to_vec()).unwrap()
    }

    fn item(value: u8) -> String {
        format!(r#"{{"Item":{{"p":{{"S":"a"}},"v":{{"N":"{value}"}}}}}}"#)
    }

    /// What one poll of a write gives.
    async fn polled_once(engine: &Arc<Engine>, request: Request) -> Poll<Served> {
        let mut write = Box::pin(engine.execute(request));
        poll_fn(|context| Poll::Ready(write.as_mut().poll(context))).await
    }

    #[tokio::test]
    async fn a_write_that_is_answered_at_once_is_done_after_one_poll() {
        let (_, engine) = slow().await;
        let Poll::Ready(served) = polled_once(&engine, put(1)).await else { panic!("it waits for a task") };
        assert_eq!((served.answer.status, served.source), (200, Source::Write));
        assert_eq!(get(&engine).await, item(1));
        assert!(engine.tasks.is_empty());
    }

    #[tokio::test]
    async fn a_write_that_waits_goes_on_when_its_client_has_left() {
        let (upstream, engine) = slow().await;
        *upstream.manner.lock().unwrap() = Manner::Waits;
        assert!(polled_once(&engine, put(1)).await.is_pending());
        assert_eq!(engine.tasks.len(), 1, "the write is a task, and the client has left");
        upstream.gate.send_replace(true);
        while !engine.tasks.is_empty() {
            tokio::task::yield_now().await;
        }
        let gets = upstream.gets.load(Ordering::Relaxed);
        assert_eq!(get(&engine).await, item(1));
        assert_eq!(upstream.gets.load(Ordering::Relaxed), gets, "the write has left its item in the cache");
    }

    #[tokio::test]
    async fn a_write_that_panics_in_its_first_poll_is_of_unknown_outcome() {
        let (upstream, engine) = slow().await;
        assert_eq!(engine.execute(put(1)).await.answer.status, 200);
        *upstream.manner.lock().unwrap() = Manner::Panics;
        let served = engine.execute(put(2)).await;
        assert_eq!((served.answer.status, served.source), (500, Source::Write));
        assert!(String::from_utf8_lossy(&served.answer.body).contains("The write's task ended early."));
        assert!(engine.tasks.is_empty());
        // Nothing of the key is kept while the write may still land.
        let before = upstream.gets.load(Ordering::Relaxed);
        for _ in 0..2 {
            assert_eq!(get(&engine).await, item(2));
        }
        assert_eq!(upstream.gets.load(Ordering::Relaxed), before + 2);
    }

    #[test]
    fn a_batch_that_is_not_read_to_its_end_touches_everything() {
        for (body, ends) in [(r#"{"RequestItems":{"t":["#, "]}}"), (r#"{"TransactItems":["#, "]}")] {
            let of = |length: usize| format!("{body}{}{ends}", vec!["{}"; length].join(","));
            let (fits, long) = (of(LISTED_MAX), of(LISTED_MAX + 100));
            assert!(touched_items(&Json::parse_short(fits.as_bytes()).unwrap()).is_some());
            assert!(touched_items(&Json::parse_short(long.as_bytes()).unwrap()).is_none());
        }
    }

    #[test]
    fn every_item_of_a_batch_and_of_a_transaction_is_touched() {
        let text = r#"{"RequestItems":{"t":[{"PutRequest":{"Item":{"id":{"S":"a"}}}},{"DeleteRequest":{"Key":{"id":{"S":"b"}}}},{"x":1}]},
            "TransactItems":[{"Put":{"TableName":"u","Item":{}}},{"ConditionCheck":{"TableName":"v","Key":{}}}]}"#;
        let body = Json::parse(text.as_bytes()).unwrap();
        let touched = touched_items(&body).unwrap();
        let names: Vec<_> = touched.iter().map(|item| item.table_name).collect();
        assert_eq!(names, ["t", "t", "t", "u", "v"]);
        let readable: Vec<_> = touched.iter().map(|item| item.attributes.is_some()).collect();
        assert_eq!(readable, [true, true, false, true, true]);
    }
}
