//! Reads of pages, Query and Scan: hit, join, fill, or pass; and what consistent reads tell the cache.
//!
//! A page is cached as it comes, under canonical bytes of what its request means. A request that is not understood to the
//! last member goes upstream as it came, and so do those for indexes that are being made or removed. Errors are never kept.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::cache::{Address, Consistency, JoinOutcome, Lookup, Page, PageItem, PagePermit};
use crate::call::{Answer, Request};
use crate::wire::Json;
use crate::wire::json::with_member;
use crate::wire::page::{PageAnswer, PageKind, is_same_page};
use crate::wire::raw::RawObject;
use crate::wire::request::{ReturnConsumedCapacity, item_key_bytes};

use super::asked::{AskedPage, ExpectedItems};
use super::known::KnownTable;
use super::read::{answer_of, failure_of, image_of};
use super::recent::Understood;
use super::view::write_nothing_consumed_of;
use super::{BypassReason, Engine, Served, Source, failed, is_failure};

/// How often a read looks, joins or fills before it goes through by itself.
const TURNS_MAX: usize = 3;

/// A page that was read, and how.
struct FoundPage {
    page: Page,
    source: Source,
    age_seconds: Option<u64>,
    /// The upstream's `ConsumedCapacity` as JSON, when this read paid for it.
    consumed: Option<Vec<u8>>,
}

impl Engine {
    /// The answer of a Query or Scan that memory has; `None` for every other, which [`Engine::read_page`] then looks at
    /// again.
    pub(super) fn page_hit(&self, request: &Request) -> Option<Served> {
        let now = Instant::now();
        let (place, generation) = (self.recent.place(self.realm, request), self.tables.generation());
        let seen = self.recent.with(place, request, generation, |understood| {
            let Understood { table, spelling, asked, address_hash, .. } = understood;
            let address = table.cached.address_with_hash(&asked.fingerprint, *address_hash);
            self.look_up(table, spelling, asked, &address, now)
        });
        if let Some(served) = seen {
            return served;
        }
        let kind = PageKind::of(request.operation)?;
        let body = Json::parse(&request.body).ok()?;
        let spelling = body.get("TableName")?.text()?;
        self.tables.with(spelling, |table| {
            let asked = AskedPage::read(kind, &body, table).ok().filter(|asked| !asked.consistent)?;
            let address = table.cached.address(&asked.fingerprint);
            let served = self.look_up(table, spelling, &asked, &address, now)?;
            let (address_hash, spelling, table) = (address.hash(), spelling.into(), Arc::clone(table));
            let request = request.clone();
            self.recent.keep(place, Understood { generation, request, table, spelling, asked, address_hash });
            Some(served)
        })
    }

    fn look_up(
        &self,
        table: &KnownTable,
        spelling: &str,
        asked: &AskedPage,
        address: &Address<'_>,
        now: Instant,
    ) -> Option<Served> {
        asked.note(table, now);
        let hit = self.pages.lookup(address, now)?;
        if table.is_retired() {
            // The page may be of another table to which the same bytes mean something else.
            return None;
        }
        let age_seconds = Some(hit.age.as_secs());
        let found = FoundPage { page: hit.value, source: Source::Hit, age_seconds, consumed: None };
        Some(show(table, spelling, asked, found))
    }

    /// Query and Scan.
    pub(super) async fn read_page(self: &Arc<Self>, request: Request) -> Served {
        let bytes = request.body.clone();
        let (Some(kind), Ok(body)) = (PageKind::of(request.operation), Json::parse(&bytes)) else {
            return self.bypass(&request, BypassReason::NotUnderstood).await;
        };
        let spelling = body.get("TableName").and_then(Json::text).unwrap_or_default();
        let Some(mut table) = self.learn(spelling).await else {
            return self.bypass_unknown(&request, spelling).await;
        };
        let mut asked = AskedPage::read(kind, &body, &table);
        if matches!(asked, Err(BypassReason::IndexNotReady))
            && table.may_have_settled(Instant::now())
            && let Some(described) = self.refreshed(spelling).await
        {
            asked = AskedPage::read(kind, &body, &described);
            table = described;
        }
        let asked = match asked {
            Ok(asked) => asked,
            Err(reason) => return self.bypass_misfit(&request, reason, &table).await,
        };
        let outcome = if asked.consistent {
            self.read_page_past_cache(&request, &table, &asked, BypassReason::Consistent).await
        } else {
            self.find_page(&request, &body, &table, &asked).await
        };
        match outcome {
            // To another schema the same request may mean another page than memory or another reader gave.
            Ok(found) if found.source != Source::Miss && table.is_retired() => {
                self.bypass(&request, BypassReason::UnknownTable).await
            }
            Ok(found) => show(&table, spelling, &asked, found),
            Err((answer, source)) => {
                self.check_rejection(&answer, &table);
                Served { table: Some(Arc::clone(&table.name)), ..Served::plain(answer, source) }
            }
        }
    }

    /// Finds one page: in the cache, in a fill under way, or by leading a fill. After a few turns against writers it reads
    /// through. Where the table allows it, what has expired answers for an upstream that fails.
    async fn find_page(
        self: &Arc<Self>,
        request: &Request,
        body: &Json<'_>,
        table: &Arc<KnownTable>,
        asked: &AskedPage,
    ) -> Result<FoundPage, (Answer, Source)> {
        let failure = match self.find_fresh_page(request, body, table, asked).await {
            Err((answer, source)) if is_failure(answer.status) => (answer, source),
            outcome => return outcome,
        };
        let address = table.cached.address(&asked.fingerprint);
        let hit = self.pages.lookup_stale(&address, &asked.policy, Instant::now()).ok_or(failure)?;
        let age_seconds = Some(hit.age.as_secs());
        Ok(FoundPage { page: hit.value, source: Source::Stale, age_seconds, consumed: None })
    }

    async fn find_fresh_page(
        self: &Arc<Self>,
        request: &Request,
        body: &Json<'_>,
        table: &Arc<KnownTable>,
        asked: &AskedPage,
    ) -> Result<FoundPage, (Answer, Source)> {
        asked.note(table, Instant::now());
        let mut reason = BypassReason::Contended;
        for _ in 0..TURNS_MAX {
            let address = table.cached.address(&asked.fingerprint);
            match self.pages.read(&address, &asked.scope, &asked.policy, Instant::now()) {
                Lookup::Hit(hit) => {
                    let age_seconds = Some(hit.age.as_secs());
                    return Ok(FoundPage {
                        page: hit.value,
                        source: Source::Hit,
                        age_seconds,
                        consumed: None,
                    });
                }
                Lookup::Join(joiner) => match joiner.wait().await {
                    JoinOutcome::Landed(page) => {
                        let source = Source::Joined;
                        return Ok(FoundPage { page, source, age_seconds: None, consumed: None });
                    }
                    JoinOutcome::Failed(failure) => return Err((answer_of(&failure), Source::Joined)),
                    JoinOutcome::Opaque => {
                        reason = BypassReason::OpaqueAnswer;
                        break;
                    }
                    JoinOutcome::LookAgain => {}
                },
                Lookup::Lead(permit) => {
                    self.check_current(table);
                    let request = match permit.consistency() {
                        Consistency::Strong => strongly(request, body),
                        Consistency::Eventual => request.clone(),
                    };
                    let fill =
                        Arc::clone(self).fill_page(permit, request, Arc::clone(table), asked.expected());
                    // A task of its own: readers that joined must not lose their answer with this client.
                    let filled = self.tasks.spawn(fill).await;
                    let filled = filled.unwrap_or_else(|_| Err(failed("The fill's task ended early.")));
                    return filled.map_err(|answer| (answer, Source::Miss))?.found(Source::Miss);
                }
            }
        }
        // A global index cannot be read strongly.
        let is_global = asked.index.is_some_and(|index| table.indexes[index].global.is_some());
        let request = if is_global { request.clone() } else { strongly(request, body) };
        self.read_page_past_cache(&request, table, asked, reason).await
    }

    /// Sends a fill's read and gives what came to the cache and to everyone who waits for it. The items of the page are
    /// offered too, if they are whole items of the table.
    async fn fill_page(
        self: Arc<Self>,
        mut permit: PagePermit,
        request: Request,
        table: Arc<KnownTable>,
        expected: ExpectedItems,
    ) -> Result<Fetched, Answer> {
        permit.wait_for_room().await;
        let fetched = self.fetch_page(&request, &table, &expected).await;
        let now = Instant::now();
        match &fetched {
            Ok(Fetched::Page { page, .. }) => {
                let offered = table.policy.filter(|_| expected.are_offered);
                let items = offered.and_then(|policy| Some((items_of(page, &table)?, policy)));
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
            Err(answer) => permit.fail(failure_of(answer)),
        }
        fetched
    }

    /// Reads a page from the upstream and, if it was read strongly, lets the cache compare.
    async fn read_page_past_cache(
        self: &Arc<Self>,
        request: &Request,
        table: &KnownTable,
        asked: &AskedPage,
        reason: BypassReason,
    ) -> Result<FoundPage, (Answer, Source)> {
        let source = Source::Bypass(reason);
        let address = table.cached.address(&asked.fingerprint);
        let sent = self.pages.sending(&address, &asked.scope);
        let fetched = self.fetch_page(request, table, &asked.expected()).await;
        let now = Instant::now();
        let is_global = asked.index.is_some_and(|index| table.indexes[index].global.is_some());
        match &fetched {
            Ok(Fetched::Page { page, .. }) if !is_global => {
                // The cache compares bytes, and an upstream may write one page in several ways.
                let cached = self.pages.peek(&address).filter(|cached| cached != page);
                let seen = cached.filter(|cached| is_same_page(cached.body(), page.body()));
                self.pages.observe(&address, &asked.scope, seen.as_ref().unwrap_or(page), sent, now);
            }
            Ok(Fetched::Opaque(_)) => self.pages.observe_opaque(&address, &asked.scope, now),
            Ok(Fetched::Page { .. }) | Err(_) => {}
        }
        fetched.map_err(|answer| (answer, source))?.found(source)
    }

    async fn fetch_page(
        self: &Arc<Self>,
        request: &Request,
        table: &KnownTable,
        expected: &ExpectedItems,
    ) -> Result<Fetched, Answer> {
        let sent = Instant::now();
        let answer = self.forward(request).await;
        if !answer.is_success() {
            return Err(answer);
        }
        self.cache.note_shown(&table.cached, expected.partition_of_table(), sent, Instant::now());
        let Some(object) = RawObject::parse(&answer.body) else {
            return Err(failed("The upstream's answer to a Query or Scan cannot be read."));
        };
        if !expected.fit(&object, &table.schema) {
            self.note_foreign_key(table);
            return Ok(Fetched::Opaque(answer));
        }
        Ok(match PageAnswer::read(&answer.body) {
            Some(PageAnswer { body, consumed }) => Fetched::Page { page: Page::new(body), consumed },
            None => Fetched::Opaque(answer),
        })
    }
}

/// What a Query or Scan brought.
enum Fetched {
    Page {
        page: Page,
        consumed: Option<Vec<u8>>,
    },
    /// An answer that is not understood, or of other items than those asked for.
    Opaque(Answer),
}

impl Fetched {
    /// The page, or the answer as it goes to the client.
    fn found(self, source: Source) -> Result<FoundPage, (Answer, Source)> {
        match self {
            Self::Page { page, consumed } => Ok(FoundPage { page, source, age_seconds: None, consumed }),
            Self::Opaque(answer) => Err((answer, Source::Bypass(BypassReason::OpaqueAnswer))),
        }
    }
}

/// The same request with `ConsistentRead`.
fn strongly(request: &Request, body: &Json<'_>) -> Request {
    request.with_body(with_member(body, "ConsistentRead", Json::Bool(true)))
}

/// The items of a page of a table; `None` when one of them cannot be read.
fn items_of(page: &Page, table: &KnownTable) -> Option<Vec<PageItem>> {
    let body = Json::parse(page.body()).ok()?;
    let items = body.get("Items")?.elements()?.iter();
    let read =
        |item| Some(PageItem { key: item_key_bytes(&table.schema.key, item)?, image: image_of(Some(item))? });
    items.map(read).collect()
}

/// The answer for a client: the page, and what it cost if the client wants to hear that.
fn show(table: &KnownTable, spelling: &str, asked: &AskedPage, found: FoundPage) -> Served {
    let (body, crc32) = match asked.consumed {
        ReturnConsumedCapacity::None => (found.page.body().clone(), Some(found.page.crc32())),
        kind => {
            let mut body = Vec::with_capacity(found.page.body().len() + 128);
            body.extend_from_slice(b"{\"ConsumedCapacity\":");
            match &found.consumed {
                Some(consumed) => body.extend_from_slice(consumed),
                None => {
                    let index = asked.index.map(|index| &table.schema.indexes[index]);
                    write_nothing_consumed_of(spelling, index, kind, &mut body);
                }
            }
            // Every page has a member: its count.
            body.push(b',');
            body.extend_from_slice(&found.page.body()[1..]);
            (Bytes::from(body), None)
        }
    };
    Served {
        answer: Answer::ok(body),
        crc32,
        source: found.source,
        age_seconds: found.age_seconds,
        table: Some(table.name_for_answer()),
    }
}
