//! What a caching DynamoDB does with a request: serve it from memory, fill, or pass it on; and keep the promise.
//!
//! *When in doubt, reads bypass and writes widen.* A request that is not fully understood goes upstream word for word and is
//! not cached; a write whose effect cannot be named invalidates more, never less. The engine returns facts ([`Served`]); the edge
//! records them.

mod batch;
mod bypass;
mod items;
mod pages;
mod write;

mod authorization;
mod changes;
mod checks;
mod definitions;
mod descriptions;
mod elsewhere;
mod fallback;
mod images;
mod known_table;
mod metering;
mod page_plan;
mod peers;
mod permissions;
mod questions;
mod reading;
mod recent_requests;
mod schemas;
mod scope;
mod statements;
mod tables;
mod transacted;
mod view;
mod warming;

use std::sync::{Arc, Mutex, OnceLock, Weak};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cache::{ItemCache, PageCache, Realm};
use crate::call::{Answer, BypassReason, ChangeListener, Request, Source, Upstream, UpstreamError};
use crate::insight::Insight;
use crate::model::arn::table_name;
use crate::model::operation::OperationClass;
use crate::model::{ApiError, ErrorCode, Operation};
use crate::wire::only_table;

pub use changes::FlushFailure;
pub use items::ItemAtOnce;
pub use known_table::{CacheMode, PolicyChange, SampleRate, TablePolicy};
pub use peers::{Acknowledgement, Peers, Receipt};
pub use schemas::{describe_table, schema_of_description};
pub use tables::PolicyOf;
pub use warming::{WarmFailure, WarmMark, WarmPage, WarmPlace, WarmRoom, WarmSurvey};

use batch::BatchRead;
use checks::CheckBudget;
use items::ItemRead;
use pages::PageRead;
use permissions::Permissions;
use reading::Looked;
use recent_requests::RecentRequests;
use tables::Tables;

/// An answer and what the edge needs to record of it.
#[derive(Clone, Debug)]
pub struct Served {
    /// What goes to the client.
    pub answer: Answer,
    /// The CRC-32 of the body, when it is known already.
    pub crc32: Option<u32>,
    /// Where it came from.
    pub source: Source,
    /// Whole seconds since a cached answer was read from the upstream.
    pub age_seconds: Option<u64>,
    /// The table, when the request names exactly one that exists.
    pub table: Option<Arc<str>>,
}

impl Served {
    fn plain(answer: Answer, source: Source) -> Self {
        Self { answer, crc32: None, source, age_seconds: None, table: None }
    }
}

/// What engines remember in, each in a realm of its own: one budget for all of them. Clones are the same memory.
#[derive(Clone)]
pub struct Memory {
    /// Items by key.
    pub items: Arc<ItemCache>,
    /// Pages of Query and Scan.
    pub pages: Arc<PageCache>,
    /// What requests do to tables.
    pub insight: Arc<Insight>,
    recent: Arc<RecentRequests>,
    checks: Arc<CheckBudget>,
}

impl Memory {
    /// Memory of a cache of items and the cache of pages beside it. What is understood of requests takes at most an eighth
    /// of the pages' budget on top.
    pub fn new(items: Arc<ItemCache>, pages: Arc<PageCache>) -> Self {
        let recent = Arc::new(RecentRequests::new(pages.stats().bytes_max));
        Self { items, pages, insight: Arc::default(), recent, checks: Arc::default() }
    }

    /// How many reads a second may compare what is cached with the upstream, for all engines together; 10 at first.
    pub fn set_check_rate(&self, reads_max: u32) {
        self.checks.set_rate(reads_max);
    }
}

/// What a first look has understood of a request that memory does not answer. It saves the second look, and is of use for no other
/// request.
#[derive(Default)]
pub struct Understood {
    read: Option<UnderstoodRead>,
    /// The caller's rights allow the request.
    is_allowed: bool,
}

enum UnderstoodRead {
    Item(Box<ItemRead>),
    Page(Box<PageRead>),
    Batch(Box<BatchRead<'static>>),
}

impl Understood {
    fn item(self) -> Option<ItemRead> {
        match self.read? {
            UnderstoodRead::Item(read) => Some(*read),
            _ => None,
        }
    }

    fn page(self) -> Option<PageRead> {
        match self.read? {
            UnderstoodRead::Page(read) => Some(*read),
            _ => None,
        }
    }

    fn batch(self) -> Option<BatchRead<'static>> {
        match self.read? {
            UnderstoodRead::Batch(read) => Some(*read),
            _ => None,
        }
    }
}

/// A caching DynamoDB.
pub struct Engine {
    /// Whose tables these are.
    realm: Realm,
    upstream: Arc<dyn Upstream>,
    /// Whether the upstream reports every change, so that nothing more than that is invalidated for writes.
    hears_changes: bool,
    /// Whether the upstream hands over the items that it reads and writes.
    gets_items: bool,
    /// What the upstream is changing now, if no request names it.
    reported: Mutex<Option<changes::ReportedChanges>>,
    cache: Arc<ItemCache>,
    pages: Arc<PageCache>,
    recent: Arc<RecentRequests>,
    insight: Arc<Insight>,
    /// What comparisons with the upstream may cost.
    checks: Arc<CheckBudget>,
    tables: Tables,
    permissions: Permissions,
    /// The other nodes in front of the same tables, if there are any.
    peers: OnceLock<Arc<dyn Peers>>,
    /// What other nodes may still change.
    late: elsewhere::LateChanges,
    /// For tasks that are begun where only a reference is at hand.
    itself: Weak<Self>,
    /// Fills and writes in flight, and invalidations still due; each outlives the request that began it.
    tasks: TaskTracker,
    /// Ends what only waits for a time.
    closing: CancellationToken,
}

impl Engine {
    /// An engine over an upstream, a cache of items and the cache of pages beside it; `policy_of` says how each table is
    /// cached.
    pub fn new(
        upstream: Arc<dyn Upstream>,
        cache: Arc<ItemCache>,
        pages: Arc<PageCache>,
        policy_of: PolicyOf,
    ) -> Arc<Self> {
        Self::in_realm(Realm::SOLE, upstream, &Memory::new(cache, pages), policy_of)
    }

    /// An engine over an upstream of its own, beside engines of other realms in the same memory.
    ///
    /// What a former engine of the realm has left there must be true of the upstream, or be invalidated first:
    /// [`ItemCache::invalidate_all`].
    pub fn in_realm(
        realm: Realm,
        upstream: Arc<dyn Upstream>,
        memory: &Memory,
        policy_of: PolicyOf,
    ) -> Arc<Self> {
        let Memory { items, pages, insight, recent, checks } = memory.clone();
        Arc::new_cyclic(|engine: &Weak<Self>| Self {
            realm,
            hears_changes: upstream.report_changes(Weak::clone(engine) as Weak<dyn ChangeListener>),
            gets_items: upstream.hands_over_items(),
            reported: Mutex::default(),
            upstream,
            cache: items,
            pages,
            insight,
            tables: Tables::new(policy_of, Arc::clone(&recent)),
            recent,
            checks,
            permissions: Permissions::default(),
            peers: OnceLock::new(),
            late: elsewhere::LateChanges::default(),
            itself: Weak::clone(engine),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        })
    }

    /// Answers one request. Dropping the future stops a read's wait and nothing else: fills and writes run to their end.
    pub async fn execute(self: &Arc<Self>, request: Request) -> Served {
        match self.answer_at_once(&request) {
            Ok(served) => served,
            // Boxed, so that the future of a hit, which every connection keeps and moves, stays small.
            Err(understood) => Box::pin(self.execute_understood(request, understood)).await,
        }
    }

    /// The answer that memory has, as [`Engine::execute`] would give it.
    ///
    /// # Errors
    /// What is understood of a request that would have to wait. It is for [`Engine::execute_understood`] to answer, and nothing is
    /// counted of it yet.
    pub fn answer_at_once(&self, request: &Request) -> Result<Served, Understood> {
        let looked = match request.operation {
            Operation::GetItem => self.look_for_item(request).map(UnderstoodRead::Item),
            Operation::Query | Operation::Scan => self.look_for_page(request).map(UnderstoodRead::Page),
            Operation::BatchGetItem => self.look_for_batch(request).map(UnderstoodRead::Batch),
            _ => Looked::Unread,
        };
        match looked {
            Looked::Hit(served) => Ok(served),
            Looked::Miss(read) => Err(Understood { read: Some(read), ..Understood::default() }),
            Looked::Unread => Err(Understood::default()),
        }
    }

    /// Answers a request at which [`Engine::answer_at_once`] has looked, as [`Engine::execute`] does. Dropping the future stops the
    /// same.
    pub async fn execute_understood(self: &Arc<Self>, request: Request, understood: Understood) -> Served {
        let (operation, body) = (request.operation, request.body.clone());
        let served = self.execute_by_class(request, understood).await;
        match served.table {
            Some(_) => served,
            None => Served { table: self.table_named(operation, &body, &served.answer), ..served },
        }
    }

    /// The one table that a request names, if it exists.
    fn table_named(&self, operation: Operation, body: &[u8], answer: &Answer) -> Option<Arc<str>> {
        let name = only_table(body)?;
        match self.tables.get(&name) {
            Some(table) => Some(Arc::clone(&table.name)),
            // What is known of a table is forgotten when it changes, and the upstream has just confirmed that it was there.
            None if answer.is_success() => match operation.class() {
                OperationClass::Ddl | OperationClass::Other => Some(table_name(&name).into()),
                _ => None,
            },
            None => None,
        }
    }

    /// The futures of rarer classes are boxed, so that those of single items and of pages stay small.
    async fn execute_by_class(self: &Arc<Self>, request: Request, understood: Understood) -> Served {
        match request.operation.class() {
            OperationClass::ItemRead if request.operation == Operation::BatchGetItem => {
                Box::pin(self.batch_get_item(request, understood.batch())).await
            }
            OperationClass::ItemRead => self.get_item(request, understood.item()).await,
            OperationClass::PageRead => self.read_page(request, understood.page()).await,
            OperationClass::StrongRead => Box::pin(self.read_through(request)).await,
            OperationClass::ItemWrite => self.write(request).await,
            OperationClass::Statement => Box::pin(self.statement(request)).await,
            OperationClass::Ddl | OperationClass::Unknown => Box::pin(self.change_table(request)).await,
            OperationClass::Other if request.operation == Operation::UpdateTimeToLive => {
                Box::pin(self.change_time_to_live(request)).await
            }
            OperationClass::Other => {
                let answer = self.forward(&request).await;
                Served::plain(answer, Source::Bypass(BypassReason::Operation))
            }
        }
    }

    /// Waits until every fill and write has ended, at most until then; how many had not. Those go on as long as the runtime
    /// does. Requests that come later are still answered.
    pub async fn drain(&self, deadline: Instant) -> usize {
        self.closing.cancel();
        self.tasks.close();
        match tokio::time::timeout_at(deadline, self.tasks.wait()).await {
            Ok(()) => 0,
            Err(_) => self.tasks.len(),
        }
    }

    /// Sends a request as it is and answers what comes.
    async fn forward(&self, request: &Request) -> Answer {
        match self.call(request).await {
            Ok(answer) => answer,
            // Statements that may change something do not come here.
            Err(error)
                if request.operation.only_reads()
                    || request.operation.class() == OperationClass::Statement =>
            {
                unread(error)
            }
            Err(error) => unwritten(error),
        }
    }
}

/// True for an answer that says nothing but that the upstream, or the way to it, is out of order. A refusal, throttling among
/// them, is an answer.
fn is_failure(status: u16) -> bool {
    status >= 500
}

/// What a client hears whose read the upstream did not answer. Whether it was sent makes no difference to a read.
fn unread(error: UpstreamError) -> Answer {
    let (UpstreamError::NotSent(reason) | UpstreamError::OutcomeUnknown(reason)) = error;
    ApiError::new(ErrorCode::ServiceUnavailable, reason).into()
}

/// What a client hears when the upstream did not answer what may change something: that it did not happen, or that nobody
/// knows.
fn unwritten(error: UpstreamError) -> Answer {
    match error {
        UpstreamError::NotSent(reason) => ApiError::new(ErrorCode::ServiceUnavailable, reason).into(),
        UpstreamError::OutcomeUnknown(reason) => failed(reason),
    }
}

/// An `InternalServerError`, which clients retry by their own rules.
fn failed(reason: impl Into<std::borrow::Cow<'static, str>>) -> Answer {
    ApiError::new(ErrorCode::InternalServerError, reason).into()
}
