//! Reads of pages: Query and Scan.
//!
//! A page is cached as it comes, under canonical bytes of what its request means. A request that is not understood to the
//! last member goes upstream as it came, and so do those for indexes that are being made or removed. Errors are never kept.

use std::borrow::Cow;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::cache::{
    Address, Consistency, FailedFetch, Hit, Lookup, Page, PageItem, PagePermit, Report, SentPage,
};
use crate::call::{Answer, CallFuture, PlainQuery, PrincipalRole, Request};
use crate::insight::{IndexUsage, Outcome, ReadOfPage};
use crate::model::TableSchema;
use crate::model::capacity::{ReadPrice, Units};
use crate::offload::LARGE_BODY_BYTES;
use crate::wire::Json;
use crate::wire::json::with_member;
use crate::wire::page::{PageAnswer, PageKind, is_same_page};
use crate::wire::raw::RawObject;
use crate::wire::request::is_plainly_strong;
use crate::wire::request::{ReturnConsumedCapacity, item_key_bytes};

use super::checks::Comparing;
use super::items::cached_item_of;
use super::known_table::KnownTable;
use super::page_plan::{ExpectedItems, PagePlan};
use super::reading::{Fetched, Found, Looked, Missed, Reading};
use super::view::write_nothing_consumed_of;
use super::{BypassReason, Engine, Served, Source, failed, unread};

/// A read of one page that is understood.
#[derive(Clone)]
pub(super) struct PageRead {
    /// The client's own request.
    pub(super) request: Request,
    pub(super) table: Arc<KnownTable>,
    /// The table's name or ARN as the client wrote it.
    pub(super) spelling: Box<str>,
    pub(super) plan: PagePlan,
    /// Of the fingerprint, as [`Address::hash`] gives it.
    pub(super) address_hash: u64,
}

/// What the upstream is asked for a page.
struct Asked<'a> {
    request: &'a Request,
    /// The tree of its body, if that is parsed.
    tree: Option<&'a Json<'a>>,
    /// What it means, if that is all.
    query: Option<PlainQuery<'a>>,
}

impl<'a> Asked<'a> {
    /// A request that nobody has parsed.
    fn in_bytes(request: &'a Request) -> Self {
        Self { request, tree: None, query: None }
    }
}

impl Engine {
    /// Looks into memory for the answer of a Query or Scan.
    pub(super) fn look_for_page(&self, request: &Request) -> Looked<Box<PageRead>> {
        let now = Instant::now();
        let (place, generation) = (self.recent.place(self.realm, request), self.tables.generation());
        let seen = self.recent.with(place, request, generation, |read| {
            match self.look_up_page(read, now) {
                Some(hit) => Looked::Hit(self.show_hit(read, request, hit)),
                // What was understood of an earlier request of the same bytes holds for this one.
                None => Looked::Miss(Box::new(PageRead { request: request.clone(), ..read.clone() })),
            }
        });
        if let Some(looked) = seen {
            return looked;
        }
        // It is read once, when it is certain that it goes to the upstream.
        if is_plainly_strong(&request.body) {
            return Looked::Unread;
        }
        let (Some(kind), Ok(body)) = (PageKind::of(request.operation), Json::parse(&request.body)) else {
            return Looked::Unread;
        };
        let Some(spelling) = body.get("TableName").and_then(Json::text) else { return Looked::Unread };
        let looked = self.tables.with(spelling, |table| {
            let plan = PagePlan::read(kind, &body, table).ok()?;
            let read = PageRead::new(request.clone(), table, spelling, plan);
            let hit = if read.plan.consistent { None } else { self.look_up_page(&read, now) };
            let Some(hit) = hit else { return Some(Looked::Miss(Box::new(read))) };
            let served = self.show_hit(&read, request, hit);
            self.recent.keep(place, generation, read);
            Some(Looked::Hit(served))
        });
        looked.unwrap_or(Looked::Unread)
    }

    /// The answer for the client whose request is answered from memory.
    fn show_hit(&self, read: &PageRead, request: &Request, hit: Hit<Page>) -> Served {
        if read.table.verify_sample.picks() {
            self.verify(PageRead { request: request.clone(), ..read.clone() }, &hit);
        }
        read.answered_by(Found::from_memory(hit, Source::Hit))
    }

    fn look_up_page(&self, read: &PageRead, now: Instant) -> Option<Hit<Page>> {
        if read.table.is_in_shadow() {
            return None;
        }
        self.note_page(read, now);
        let hit = self.pages.lookup(&read.address(), now)?;
        // If the table is retired, the page may be of another one to which the same bytes mean something else.
        if read.table.is_retired() { None } else { Some(hit) }
    }

    /// Writers hear that pages of global indexes are asked for, so that they report which ones they change.
    fn note_page(&self, read: &PageRead, now: Instant) {
        if read.plan.note(&read.table, now) {
            self.report(|| vec![Report::IndexesRead(read.table.cached.digest())]).let_go();
        }
    }

    /// Query and Scan. `understood` is what a first look made of the request.
    pub(super) async fn read_page(
        self: &Arc<Self>,
        request: Request,
        understood: Option<PageRead>,
    ) -> Served {
        let bytes = request.body.clone();
        let mut tree = None;
        let read = match self.current_page_read(&request, &bytes, &mut tree, understood).await {
            Ok(read) => read,
            Err(served) => return served,
        };
        if read.table.is_in_shadow() && !read.plan.consistent {
            return Box::pin(self.read_in_shadow(&request, *read)).await;
        }
        let outcome = match read.plan.consistent {
            true => read.read_strongly(self, BypassReason::Consistent, tree.as_ref()).await,
            false => Box::pin(self.find(&*read)).await,
        };
        let outcome = match outcome {
            // The fetch that this reader joined brought an answer that is there for its leader only.
            Err(Missed::Opaque(None)) => {
                Box::pin(read.read_past_cache(self, BypassReason::OpaqueAnswer)).await
            }
            outcome => outcome,
        };
        let (answer, source) = match outcome {
            // To another schema the same request may mean another page than memory or another reader gave.
            Ok(found) if found.source != Source::Miss && read.table.is_retired() => {
                return Box::pin(self.bypass(&request, BypassReason::UnknownTable)).await;
            }
            Ok(found) => return read.answered_by(found),
            Err(Missed::Failed(answer, source)) => (*answer, source),
            Err(Missed::Opaque(answer)) => {
                let answer = answer.expect("a read past the cache has an answer");
                (answer, Source::Bypass(BypassReason::OpaqueAnswer))
            }
        };
        self.check_rejection(&answer, &read.table);
        Served { table: Some(Arc::clone(&read.table.name)), ..Served::plain(answer, source) }
    }

    /// What is understood of a Query or Scan, by a description of its table that may be relied on. `bytes` are its body; `tree`
    /// becomes the tree of them, if an upstream may be given it.
    ///
    /// # Errors
    /// The answer, for a request that the cache has no part in.
    async fn current_page_read<'b>(
        self: &Arc<Self>,
        request: &Request,
        bytes: &'b [u8],
        tree: &mut Option<Json<'b>>,
        understood: Option<PageRead>,
    ) -> Result<Box<PageRead>, Served> {
        if let Some(read) = understood
            && let Some(table) = self.learn(&read.spelling).await
            && Arc::ptr_eq(&table, &read.table)
        {
            return Ok(Box::new(read));
        }
        if bytes.len() <= LARGE_BODY_BYTES {
            *tree = Json::parse_request(bytes).ok();
        }
        let parsed = tree
            .as_ref()
            .map_or_else(|| Json::parse(bytes).ok().map(Cow::Owned), |tree| Some(Cow::Borrowed(tree)));
        let (Some(kind), Some(body)) = (PageKind::of(request.operation), parsed) else {
            return Err(Box::pin(self.bypass(request, BypassReason::NotUnderstood)).await);
        };
        let spelling = body.get("TableName").and_then(Json::text).unwrap_or_default();
        let Some(mut table) = self.learn(spelling).await else {
            return Err(Box::pin(self.bypass_unknown(request, spelling)).await);
        };
        let mut plan = PagePlan::read(kind, &body, &table);
        if matches!(plan, Err(BypassReason::IndexNotReady))
            && table.may_have_settled(self.cache.aged(Instant::now()))
            && let Some(described) = Box::pin(self.refreshed(spelling)).await
        {
            plan = PagePlan::read(kind, &body, &described);
            table = described;
        }
        match plan {
            Ok(plan) => Ok(Box::new(PageRead::new(request.clone(), &table, spelling, plan))),
            Err(reason) => Err(Box::pin(self.bypass_misfit(request, reason, &table)).await),
        }
    }

    /// Sends a fill's read and gives what came to the cache and to everyone who waits for it. The items of the page are
    /// offered too, if they are whole items of the table.
    async fn fill_page(
        self: Arc<Self>,
        mut permit: PagePermit,
        request: Request,
        table: Arc<KnownTable>,
        expected: ExpectedItems,
    ) -> Result<Fetched<Page>, Answer> {
        permit.wait_for_room().await;
        let is_strong = permit.consistency() == Consistency::Strong;
        let asked = Asked::in_bytes(&request);
        let fetched = self.fetch_page(&asked, is_strong, &table, &expected).await;
        land(permit, &fetched, &request, (&table, &expected));
        fetched
    }

    /// Asks the upstream for a page, in the way that costs it least.
    fn call_for_page<'a>(&'a self, asked: &'a Asked<'a>) -> CallFuture<'a> {
        let begun = asked.query.and_then(|query| self.upstream.query_strongly(query));
        begun.unwrap_or_else(|| match asked.tree {
            Some(tree) => self.upstream.call_parsed(asked.request, tree),
            None => self.upstream.call(asked.request),
        })
    }

    /// Fetches a page.
    async fn fetch_page(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        is_strong: bool,
        table: &KnownTable,
        expected: &ExpectedItems,
    ) -> Result<Fetched<Page>, Answer> {
        let sent = Instant::now();
        let mut answer = self.call_for_page(asked).await.map_err(unread)?;
        let request = asked.request;
        let read_by = answer.read_by.take().filter(|_| self.gets_items && answer.is_success());
        if read_by.is_some_and(|read_by| expected.are_of_page_read_by(&read_by, &table.schema)) {
            debug_assert!(is_plain_page(&answer.body, expected, &table.schema), "{answer:?}");
            self.meter(request, &mut answer);
            self.cache.note_shown(&table.cached, expected.partition_of_table(), sent, Instant::now());
            return Ok(read_page((answer.body.clone(), None), &answer, is_strong));
        }
        // Pages may be long, so the members are read once, for the charge and for the cache.
        let body = answer.body.clone();
        let members = RawObject::parse(&body);
        self.meter_parsed(request, &mut answer, members.as_ref());
        self.read_members((answer, members.as_ref()), (is_strong, sent), table, expected)
    }

    /// What the answer to a request for a page is, which was sent then.
    fn read_answer(
        self: &Arc<Self>,
        answer: Answer,
        (is_strong, sent): (bool, Instant),
        table: &KnownTable,
        expected: &ExpectedItems,
    ) -> Result<Fetched<Page>, Answer> {
        let body = answer.body.clone();
        self.read_members((answer, RawObject::parse(&body).as_ref()), (is_strong, sent), table, expected)
    }

    /// The same of an answer whose members are read; `None` if it is no JSON object.
    fn read_members(
        self: &Arc<Self>,
        (answer, members): (Answer, Option<&RawObject<'_>>),
        (is_strong, sent): (bool, Instant),
        table: &KnownTable,
        expected: &ExpectedItems,
    ) -> Result<Fetched<Page>, Answer> {
        if !answer.is_success() {
            return Err(answer);
        }
        self.cache.note_shown(&table.cached, expected.partition_of_table(), sent, Instant::now());
        let Some(members) = members else {
            return Err(failed("The upstream's answer to a Query or Scan cannot be read."));
        };
        if !expected.fit(members, &table.schema) {
            self.note_foreign_key(table);
            return Ok(Fetched::Opaque(answer));
        }
        Ok(match PageAnswer::of(&answer.body, members) {
            Some(PageAnswer { body, consumed }) => read_page((body, consumed), &answer, is_strong),
            None => Fetched::Opaque(answer),
        })
    }
}

impl PageRead {
    fn new(request: Request, table: &Arc<KnownTable>, spelling: &str, plan: PagePlan) -> Self {
        let address_hash = table.cached.address(&plan.fingerprint).hash();
        Self { request, table: Arc::clone(table), spelling: spelling.into(), plan, address_hash }
    }

    /// The answer for the client. Takes note of the read, too.
    fn answered_by(&self, found: Found<Page>) -> Served {
        let Found { value, source, age_seconds, .. } = &found;
        self.note((*source).into(), value.price(), *age_seconds);
        show(self, found)
    }

    fn note(&self, outcome: Outcome, price: ReadPrice, age_seconds: Option<u64>) {
        self.table.usage.page_read(&ReadOfPage {
            index: self.index_usage(),
            partition: self.plan.partition(),
            outcome,
            price,
            age_seconds,
        });
    }

    fn index_usage(&self) -> Option<&IndexUsage> {
        self.plan.index.map(|index| &*self.table.indexes[index].usage)
    }

    /// Where the page is cached.
    fn address(&self) -> Address<'_> {
        self.table.cached.address_with_hash(&self.plan.fingerprint, self.address_hash)
    }

    /// The request that fetches the page.
    fn request(&self, consistency: Consistency) -> Request {
        if consistency == Consistency::Eventual || self.plan.consistent {
            return self.request.clone();
        }
        let body = Json::parse(&self.request.body).expect("the request was read when the plan was made");
        self.request.with_body(with_member(&body, "ConsistentRead", Json::Bool(true)))
    }

    /// Reads from the upstream, strongly where that can be, and lets the cache compare. A page of a global index cannot be read
    /// strongly, so the cache does not compare it. `tree` is that of the client's request, if it is the one that is sent.
    async fn read_strongly(
        &self,
        engine: &Arc<Engine>,
        reason: BypassReason,
        tree: Option<&Json<'_>>,
    ) -> Result<Found<Page>, Missed> {
        let (source, address, scope) = (Source::Bypass(reason), self.address(), &self.plan.scope);
        let is_global = self.plan.is_of_global_index();
        let consistency = if is_global { Consistency::Eventual } else { Consistency::Strong };
        let sent = engine.pages.sending(&address, scope);
        let is_strong = consistency == Consistency::Strong;
        let request = self.request(consistency);
        // An ARN is for the upstream to read: some mean no table to it.
        let is_by_name = engine.gets_items && *self.spelling == *self.table.name;
        let query = self.plan.plain_query(&self.table.schema).filter(|_| is_by_name);
        let asked = Asked { request: &request, tree, query };
        let fetched = engine.fetch_page(&asked, is_strong, &self.table, &self.plan.expected()).await;
        let now = Instant::now();
        let fetched = fetched.map_err(|answer| Missed::Failed(Box::new(answer), source))?;
        match &fetched {
            Fetched::Read { value: page, .. } if !is_global => {
                // The cache compares bytes, and an upstream may write one page in several ways.
                let cached = engine.pages.peek(&address).filter(|cached| cached != page);
                let seen = cached.filter(|cached| is_same_page(cached.body(), page.body()));
                engine.pages.observe(&address, scope, seen.as_ref().unwrap_or(page), sent, now);
            }
            Fetched::Read { .. } => {}
            Fetched::Opaque(_) => engine.pages.observe_opaque(&address, scope, now),
        }
        fetched.found(source)
    }
}

impl Reading for PageRead {
    type Value = Page;
    type Permit = PagePermit;

    fn table(&self) -> &Arc<KnownTable> {
        &self.table
    }

    fn on_behalf_of(&self) -> Option<&PrincipalRole> {
        self.request.on_behalf_of.as_deref()
    }

    fn look_up(&self, engine: &Engine, now: Instant) -> Lookup<Page, PagePermit> {
        engine.note_page(self, now);
        engine.pages.read(&self.address(), &self.plan.scope, &self.plan.policy, now)
    }

    fn look_up_stale(&self, engine: &Engine, now: Instant) -> Option<Hit<Page>> {
        engine.pages.lookup_stale(&self.address(), &self.plan.policy, now)
    }

    fn fill(
        &self,
        engine: Arc<Engine>,
        permit: PagePermit,
    ) -> impl Future<Output = Result<Fetched<Page>, Answer>> + Send + 'static {
        let request = self.request(permit.consistency());
        engine.fill_page(permit, request, Arc::clone(&self.table), self.plan.expected())
    }

    async fn read_past_cache(
        &self,
        engine: &Arc<Engine>,
        reason: BypassReason,
    ) -> Result<Found<Page>, Missed> {
        self.read_strongly(engine, reason, None).await
    }
}

impl Comparing for PageRead {
    const KIND: &'static str = "page";

    type Sent = SentPage;

    fn sending(&self, engine: &Engine) -> SentPage {
        engine.pages.sending(&self.address(), &self.plan.scope)
    }

    fn may_have_changed(&self, engine: &Engine, sent: SentPage, now: Instant) -> bool {
        engine.pages.may_have_changed(&self.address(), &self.plan.scope, sent, now)
    }

    fn is_cached(&self, engine: &Engine, value: &Page) -> bool {
        engine.pages.peek(&self.address()).as_ref() == Some(value)
    }

    fn can_be_strong(&self) -> bool {
        !self.plan.is_of_global_index()
    }

    async fn fetch_strongly(&self, engine: &Arc<Engine>) -> Option<Page> {
        let request = self.request(Consistency::Strong);
        let asked = Asked::in_bytes(&request);
        match engine.fetch_page(&asked, true, &self.table, &self.plan.expected()).await {
            Ok(Fetched::Read { value, .. }) => Some(value),
            Ok(Fetched::Opaque(_)) | Err(_) => None,
        }
    }

    fn observe(&self, engine: &Engine, value: &Page, sent: SentPage, now: Instant) {
        engine.pages.observe(&self.address(), &self.plan.scope, value, sent, now);
    }

    fn note_read(&self) {
        self.note(Outcome::Bypass, ReadPrice::default(), None);
    }

    /// A page is fetched in the client's own words.
    fn wants_part(&self) -> bool {
        false
    }

    fn price(&self, value: &Page) -> Units {
        let price = self.table.usage.price_now(self.index_usage(), value.price());
        price.table() + price.index()
    }

    fn is_same(left: &Page, right: &Page) -> bool {
        left == right || is_same_page(left.body(), right.body())
    }

    fn is_shown_by(&self, cached: &Page, answer: &Answer) -> Option<bool> {
        let page = PageAnswer::read(&answer.body).filter(|_| answer.is_success())?;
        Some(Self::is_same(cached, &Page::new(page.body)))
    }

    fn complete(&self, engine: &Arc<Engine>, permit: PagePermit, answer: &Answer) -> Option<PagePermit> {
        if permit.consistency() == Consistency::Strong {
            return Some(permit);
        }
        let expected = self.plan.expected();
        let fetched = engine.read_answer(answer.clone(), (false, permit.began()), &self.table, &expected);
        land(permit, &fetched, &self.request, (&self.table, &expected));
        None
    }
}

/// True if the body of an answer is nothing but a page of what was asked for.
fn is_plain_page(body: &Bytes, expected: &ExpectedItems, schema: &TableSchema) -> bool {
    let members = RawObject::parse(body).filter(|members| expected.fit(members, schema));
    let page = members.and_then(|members| PageAnswer::of(body, &members));
    page.is_some_and(|page| page.body == *body && page.consumed.is_none())
}

/// A page of an answer, and the `ConsumedCapacity` that it says.
fn read_page((body, consumed): (Bytes, Option<Vec<u8>>), answer: &Answer, is_strong: bool) -> Fetched<Page> {
    let price = answer
        .charges
        .first()
        .map(|charge| charge.price.unwrap_or_else(|| ReadPrice::of_page(&charge.consumed, is_strong)));
    Fetched::Read { value: Page::new(body).priced(price.unwrap_or_default()), consumed }
}

/// Gives what came of a fill's read to the cache.
fn land(
    permit: PagePermit,
    fetched: &Result<Fetched<Page>, Answer>,
    request: &Request,
    (table, expected): (&KnownTable, &ExpectedItems),
) {
    let now = Instant::now();
    match fetched {
        Ok(Fetched::Read { value: page, .. }) => {
            let offered = table.policy.filter(|_| expected.are_offered);
            let items = offered.and_then(|policy| Some((items_of(page, table)?, policy)));
            match items {
                Some((items, policy)) => {
                    permit.complete_with_items(page.clone(), &items, &policy, now);
                }
                None => {
                    permit.complete(page.clone(), now);
                }
            }
        }
        Ok(Fetched::Opaque(_)) => permit.complete_opaque(now),
        Err(answer) => permit.fail(FailedFetch::of(answer, request)),
    }
}

/// The items of a page of a table; `None` when one of them cannot be read.
fn items_of(page: &Page, table: &KnownTable) -> Option<Vec<PageItem>> {
    let body = Json::parse(page.body()).ok()?;
    let items = body.get("Items")?.elements()?.iter();
    let read = |item| {
        Some(PageItem { key: item_key_bytes(&table.schema.key, item)?, image: cached_item_of(Some(item))? })
    };
    items.map(read).collect()
}

/// The answer for a client: the page, and what it cost if the client wants to hear that.
fn show(read: &PageRead, found: Found<Page>) -> Served {
    let (body, crc32) = match read.plan.consumed {
        ReturnConsumedCapacity::None => (found.value.body().clone(), Some(found.value.crc32())),
        kind => {
            let mut body = Vec::with_capacity(found.value.body().len() + 128);
            body.extend_from_slice(b"{\"ConsumedCapacity\":");
            match &found.consumed {
                Some(consumed) => body.extend_from_slice(consumed),
                None => {
                    let index = read.plan.index.map(|index| &read.table.schema.indexes[index]);
                    write_nothing_consumed_of(&read.spelling, index, kind, &mut body);
                }
            }
            // Every page has a member: its count.
            body.push(b',');
            body.extend_from_slice(&found.value.body()[1..]);
            (Bytes::from(body), None)
        }
    };
    Served {
        answer: Answer::ok(body),
        crc32,
        source: found.source,
        age_seconds: found.age_seconds,
        table: Some(read.table.name_for_answer()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_consistent_read_is_seen_in_its_bytes_if_it_is_written_as_usual() {
        for (body, is_seen) in [
            (r#"{"TableName":"t","ConsistentRead":true}"#, true),
            (r#"{"ConsistentRead": true,"TableName":"t"}"#, true),
            (r#"{"ConsistentRead":false}"#, false),
            (r#"{"ConsistentRead":"true"}"#, false),
            (r#"{"ConsistentRead" :true}"#, false),
            (r#"{"Consistent\u0052ead":true}"#, false),
            (r#"{"FilterExpression":"\"ConsistentRead\":true"}"#, false),
            (r#"{"ConsistentRead":"#, false),
            ("", false),
        ] {
            assert_eq!(is_plainly_strong(body.as_bytes()), is_seen, "{body}");
            if let Ok(tree) = Json::parse(body.as_bytes()) {
                let is_strong = tree.get("ConsistentRead").and_then(Json::boolean) == Some(true);
                assert!(!is_seen || is_strong, "{body}");
            }
        }
    }
}
