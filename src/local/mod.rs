//! The bundled backend: DynamoDB's semantics over a store of ordered bytes.
//!
//! A request comes as bytes and leaves as bytes, exactly as a remote upstream would take and give them; beside the bytes come the
//! tree of a write, if the caller has parsed it, and the item that the write has left. Reads run on snapshots; every write is one
//! job in a commit that it shares with the writes that wait beside it.

pub mod store;

mod arn_regions;
mod clock;
pub mod rows;
mod spaces;
mod table_record;

pub mod catalog;
mod change_log;
mod counting;
mod expiry;
mod progress;

mod streams;
mod sweep;
mod tables;

mod directory;
mod verify;

mod batch;
mod items;
mod page;
mod partiql;
mod query;
mod transact;

pub(crate) mod answer;
pub(crate) mod capacity;
mod change;
mod collections;
mod image;
pub(crate) mod indexes;
mod members;
mod refusal;
mod selection;
mod set_order;
pub(crate) mod write;

#[cfg(test)]
pub(crate) mod tests;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::call::{
    Answer, CallFuture, ChangeListener, ItemNow, PlainQuery, Request, StoredItem, Upstream, UpstreamError,
};
use crate::model::capacity::Charge;
use crate::model::{ApiError, Change, Operation, TableSchema};
use crate::offload::{LARGE_BODY_BYTES, offload};
use crate::telemetry::catch_panic;
use crate::wire::keys::KeyRefusal;
use crate::wire::page::PageKind;
use crate::wire::{Json, json::JsonError, shape};

use catalog::{Catalog, Table};
use change_log::all_streams;
use clock::Clock;
use counting::Counting;
use spaces::{Age, LoadError};
use store::{DATA_FILE, DiskStore, MemoryStore, Moment, Snapshot, Store, StoreError, Writes};

pub use arn_regions::ArnRegions;
pub use change_log::ShardRules;
pub use directory::{has_store, store_below, stores_below};
pub use expiry::Expiry;
pub use store::{DirectoryLock, Durability, OpenError};
pub use verify::{Report, verify};

/// How often streams are looked at for shards whose time is over. Both times are hours.
const TIDY_INTERVAL: Duration = Duration::from_secs(60);

/// The local backend. Clones are the same backend.
#[derive(Clone)]
pub struct Local {
    store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    settings: Arc<Settings>,
    clock: Clock,
    counting: Arc<Counting>,
    listener: Arc<Listener>,
}

/// Who hears of every change, while there is somebody.
#[derive(Default)]
struct Listener(Mutex<Option<Weak<dyn ChangeListener>>>);

/// How the backend names itself and its tables, and how it does what it does by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The region in ARNs, such as `us-east-1`.
    pub region: String,
    /// Which regions an ARN in a request may name.
    pub arn_regions: ArnRegions,
    /// `HOST:PORT` at which clients reach the process, for those that ask and do not say how they have reached it.
    pub address: String,
    /// How often items are looked for whose time is over; zero never.
    pub expiry_sweep: Duration,
    /// How streams are cut into shards.
    pub shard_rules: ShardRules,
    /// The most bytes of the data file that are kept in memory; the kernel's page cache lies below it.
    pub store_cache_bytes_max: usize,
    /// How long tables and indexes are told to be on their way (`CREATING`, `UPDATING`, `DELETING`); zero not at all.
    pub status_delay: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            arn_regions: ArnRegions::Any,
            address: "localhost:8000".to_owned(),
            expiry_sweep: Duration::from_secs(1),
            shard_rules: ShardRules::default(),
            store_cache_bytes_max: store::CACHE_BYTES_MAX,
            status_delay: Duration::ZERO,
        }
    }
}

/// Why a request has no success: the service's own error, or a broken store.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocalError {
    /// An error of the API, to be answered.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// An error of the API, to be answered, of a write that is charged although nothing was written.
    #[error("{0}")]
    Charged(ApiError, Vec<Charge>),
    /// The store broke; a write may have happened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<KeyRefusal> for LocalError {
    fn from(refusal: KeyRefusal) -> Self {
        Self::Api(refusal.into())
    }
}

/// What a handler gives back: the JSON body of a success, or the reason why not.
pub(crate) type Handled = Result<Vec<u8>, LocalError>;

/// What a handler of reads and writes of items gives back, or the reason why not.
pub(crate) type Charged = Result<Reply, LocalError>;

/// The JSON body of a success, and what the operation consumed of each table.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) body: Vec<u8>,
    pub(crate) charges: Vec<Charge>,
    /// The item that a write of one item has left, or that a GetItem of a whole item has read.
    pub(crate) item: Option<Box<StoredItem>>,
    /// The schema by which a Query or a Scan was read.
    pub(crate) read_by: Option<Arc<TableSchema>>,
}

impl Reply {
    /// A success that hands over no item and no schema.
    pub(crate) fn new(body: Vec<u8>, charges: Vec<Charge>) -> Self {
        Self { body, charges, item: None, read_by: None }
    }
}

impl Local {
    /// A backend that lives as long as the process.
    pub fn in_memory(settings: Settings) -> Self {
        let clock = Clock::default();
        let catalog =
            Catalog::new(clock.clone(), settings.shard_rules).with_status_delay(settings.status_delay);
        let catalog = catalog.with_arn_regions(settings.arn_regions.clone());
        Self::over(Arc::new(MemoryStore::new()), Arc::new(catalog), clock, settings, Counting::default())
    }

    /// The backend whose tables lie in `directory`, which is made when it is missing. A directory of an older format is brought
    /// to this one.
    ///
    /// # Errors
    /// [`OpenError`]; the directory is as it was.
    pub fn open(directory: &Path, durability: Durability, settings: Settings) -> Result<Self, OpenError> {
        let store: Arc<dyn Store> =
            Arc::new(DiskStore::open_with_cache(directory, durability, settings.store_cache_bytes_max)?);
        let damaged = |reason| OpenError::Damaged { path: directory.join(DATA_FILE), reason };
        let snapshot = store.snapshot().map_err(|error| damaged(error.to_string()))?;
        let clock = Clock::default();
        // redb may trip over a damaged page, which is the file's fault and no panic to be reported.
        let loaded = catch_panic(|| Catalog::load(&*snapshot, clock.clone(), settings.shard_rules));
        let loaded = loaded.map_err(|_| damaged("reading it breaks the checks".to_owned()))?;
        let (catalog, age) = loaded.map_err(|error| match error {
            LoadError::Newer { found } => {
                OpenError::Newer { path: directory.to_owned(), found, known: spaces::FORMAT }
            }
            LoadError::Unreadable(reason) => damaged(reason),
            LoadError::Store(error) => damaged(error.to_string()),
        })?;
        let catalog = catalog.with_status_delay(settings.status_delay);
        let catalog = Arc::new(catalog.with_arn_regions(settings.arn_regions.clone()));
        if age == Age::Older {
            renew(&store, &catalog).map_err(|error| damaged(error.to_string()))?;
        }
        let counting = Counting::begin(&catalog, snapshot);
        Ok(Self::over(store, catalog, clock, settings, counting))
    }

    fn over(
        store: Arc<dyn Store>,
        catalog: Arc<Catalog>,
        clock: Clock,
        settings: Settings,
        counting: Counting,
    ) -> Self {
        let restored = Arc::clone(&catalog);
        store.on_rollback(Box::new(move |reads| restored.restore(reads)));
        let listener = Arc::new(Listener::default());
        let watching = Arc::clone(&listener);
        store.on_commit(Box::new(move |moment, changes| watching.hears(moment, changes)));
        let (settings, counting) = (Arc::new(settings), Arc::new(counting));
        Self { store, catalog, settings, clock, counting, listener }
    }

    /// Does what has to be done without a request, until `closing`: removes items whose time is over, closes shards of
    /// streams and drops old ones. What fails is tried again at the next turn.
    pub async fn keep_house(&self, closing: CancellationToken) {
        let is_sweeping = !self.settings.expiry_sweep.is_zero();
        let ticks = |interval: Duration| {
            let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            ticks
        };
        let (mut sweeps, mut tidyings) = (ticks(self.settings.expiry_sweep), ticks(TIDY_INTERVAL));
        loop {
            let work = async {
                tokio::select! {
                    biased;
                    _ = tidyings.tick() => self.tidy_streams().await,
                    _ = sweeps.tick(), if is_sweeping => self.sweep_expired().await.map(drop),
                }
            };
            // Work may be left anywhere: what was submitted is done, and the rest is due again after the next start.
            let outcome = tokio::select! {
                biased;
                () = closing.cancelled() => return,
                outcome = work => outcome,
            };
            match outcome {
                Ok(()) => {}
                // The store reports it by itself, and may get over it.
                Err(_) if self.store.failure().is_some() => {}
                Err(error) => tracing::warn!(%error, "Housekeeping failed; it is tried again."),
            }
        }
    }

    /// Why the backend takes no writes: the disk is full, which ends when there is room, or has failed, which ends with a new
    /// start of the process.
    pub fn failure(&self) -> Option<String> {
        self.store.failure().map(|failure| failure.to_string())
    }

    /// True while there is nothing to be lost with the backend: no table, and no stream that can still be read.
    pub fn is_blank(&self) -> bool {
        let has_streams = |snapshot: Snapshot| all_streams(&*snapshot, None).map(|all| !all.is_empty());
        let holds_nothing = || self.snapshot().and_then(has_streams).is_ok_and(|has_streams| !has_streams);
        self.catalog.tables().is_empty() && holds_nothing()
    }

    /// Waits for every write that was asked for and closes the store. Later requests fail.
    pub async fn close(&self) {
        self.counting.end();
        self.store.close().await;
    }

    /// Answers one request.
    async fn handle(&self, request: &Request) -> Charged {
        if request.operation == Operation::Unknown && request.body.is_empty() {
            return Err(unsupported(request.operation).into());
        }
        let body = Json::parse_request(&request.body)
            .or_else(|_| Json::parse_short(&request.body))
            .map_err(malformed)?;
        self.handle_parsed(request, &body).await
    }

    /// Answers one request whose body is `body`.
    async fn handle_parsed(&self, request: &Request, body: &Json<'_>) -> Charged {
        if request.operation != Operation::Unknown {
            shape::check_sent(request.operation, body, &request.body)?;
            self.settings.arn_regions.check(body)?;
        }
        let handled = match request.operation {
            Operation::GetItem => return self.get_item(body),
            Operation::PutItem => return self.put_item(body).await,
            Operation::UpdateItem => return self.update_item(body).await,
            Operation::DeleteItem => return self.delete_item(body).await,
            Operation::BatchGetItem => return self.batch_get_item(body),
            Operation::BatchWriteItem => return self.batch_write_item(body).await,
            Operation::TransactGetItems => return self.transact_get_items(body),
            Operation::TransactWriteItems => {
                return self.transact_write_items(body, request.body.len()).await;
            }
            Operation::Query => return self.read_page(PageKind::Query, body).await,
            Operation::Scan => return self.read_page(PageKind::Scan, body).await,
            Operation::ExecuteStatement => return self.execute_statement(body).await,
            Operation::ExecuteTransaction => return self.execute_transaction(body).await,
            Operation::BatchExecuteStatement => return self.batch_execute_statement(body).await,
            Operation::CreateTable => self.create_table(body).await,
            Operation::DeleteTable => self.delete_table(body).await,
            Operation::UpdateTable => self.update_table(body).await,
            Operation::DescribeTable => self.describe_table(body),
            Operation::ListTables => self.list_tables(body),
            Operation::UpdateTimeToLive => self.update_time_to_live(body).await,
            Operation::DescribeTimeToLive => self.describe_time_to_live(body),
            Operation::TagResource => self.tag_resource(body).await,
            Operation::UntagResource => self.untag_resource(body).await,
            Operation::ListTagsOfResource => self.list_tags_of_resource(body),
            Operation::DescribeContinuousBackups => self.describe_continuous_backups(body),
            Operation::UpdateContinuousBackups => self.update_continuous_backups(body).await,
            Operation::DescribeContributorInsights
            | Operation::DescribeKinesisStreamingDestination
            | Operation::DescribeTableReplicaAutoScaling => self.describe_nothing(request.operation, body),
            Operation::GetResourcePolicy => self.get_resource_policy(body),
            Operation::PutResourcePolicy => self.put_resource_policy(body).await,
            Operation::DeleteResourcePolicy => self.delete_resource_policy(body).await,
            Operation::DescribeLimits => self.describe_limits(),
            Operation::DescribeEndpoints => self.describe_endpoints(request.address.as_deref()),
            Operation::ListStreams => self.list_streams(body),
            Operation::DescribeStream => self.describe_stream(body),
            Operation::GetShardIterator => self.get_shard_iterator(body),
            Operation::GetRecords => self.get_records(body),
            operation => tables::empty_list(operation).ok_or_else(|| unsupported(operation).into()),
        };
        handled.map(|body| Reply::new(body, Vec::new()))
    }

    /// The table that a caller knows by this schema, if its keys are the same.
    fn table_as_known(&self, schema: &TableSchema) -> Option<Arc<Table>> {
        self.catalog.table(&schema.name).ok().filter(|table| table.schema.key == schema.key)
    }

    /// The state of the last acknowledged commit, or a later one.
    pub(crate) fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.store.snapshot()
    }

    /// Runs a piece of work inside a commit and waits until the commit is acknowledged. The work must judge before it
    /// writes: with `Ok(Err(_))` it has written nothing.
    pub(crate) async fn write<T: Send + 'static, E: Into<LocalError> + Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Writes) -> Result<Result<T, E>, StoreError> + Send + 'static,
    ) -> Result<T, LocalError> {
        let outcome = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&outcome);
        let job = Box::new(move |writes: &mut dyn Writes| {
            let result = work(writes)?;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
            Ok(())
        });
        self.store.submit(job).await?;
        let result = outcome.lock().unwrap_or_else(PoisonError::into_inner).take();
        let result =
            result.ok_or_else(|| StoreError("an acknowledged commit did not run its job".to_owned()))?;
        result.map_err(Into::into)
    }

    /// Runs judging work inside a job: its refusal is the request's answer, a broken store fails the commit.
    async fn write_judged<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut dyn Writes) -> Result<T, LocalError> + Send + 'static,
    ) -> Result<T, LocalError> {
        self.write(move |writes| match work(writes) {
            Ok(done) => Ok(Ok(done)),
            Err(LocalError::Store(broken)) => Err(broken),
            Err(refusal @ (LocalError::Api(_) | LocalError::Charged(..))) => Ok(Err(refusal)),
        })
        .await
    }
}

impl std::fmt::Debug for Local {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Local").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Brings a store to this version's format, in one commit, and waits for it.
fn renew(store: &Arc<dyn Store>, catalog: &Arc<Catalog>) -> Result<(), StoreError> {
    let catalog = Arc::clone(catalog);
    let committed = store.submit(Box::new(move |writes| catalog.renew(writes)));
    // A thread of its own, since the caller's may not be blocked on a future.
    let waiting = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.map_err(|error| StoreError(error.to_string()))?.block_on(committed)
    });
    waiting.join().unwrap_or_else(|_| Err(StoreError("the store could not be renewed".to_owned())))
}

impl Listener {
    /// True if there was nobody, or nobody any more.
    fn takes_place(&self, listener: Weak<dyn ChangeListener>) -> bool {
        let mut place = self.lock();
        let is_free = place.as_ref().is_none_or(|listener| listener.strong_count() == 0);
        if is_free {
            *place = Some(listener);
        }
        is_free
    }

    fn hears(&self, moment: Moment, changes: &[Change]) {
        let listener = self.lock().as_ref().and_then(Weak::upgrade);
        match (listener, moment) {
            (Some(listener), Moment::Before) => listener.changing(changes),
            (Some(listener), Moment::After) => listener.changed(changes),
            (None, _) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Weak<dyn ChangeListener>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Upstream for Local {
    fn call<'a>(&'a self, request: &'a Request) -> CallFuture<'a> {
        Box::pin(async move {
            // Boxed, so that the future of a small request stays small.
            let handled = match request.body.len() {
                ..=LARGE_BODY_BYTES => self.handle(request).await,
                _ => {
                    let (local, request) = (self.clone(), request.clone());
                    offload(async move { local.handle(&request).await }).await
                }
            };
            answered(handled)
        })
    }

    fn call_parsed<'a>(&'a self, request: &'a Request, body: &'a Json<'a>) -> CallFuture<'a> {
        Box::pin(async move { answered(self.handle_parsed(request, body).await) })
    }

    fn item_now(&self, schema: &TableSchema, key: &[u8]) -> Option<ItemNow> {
        self.read_item_now(schema, key)
    }

    fn query_strongly<'a>(&'a self, query: PlainQuery<'a>) -> Option<CallFuture<'a>> {
        let table = self.table_as_known(query.schema)?;
        Some(Box::pin(async move { answered(self.read_plain(&table, query).await) }))
    }

    fn hands_over_items(&self) -> bool {
        true
    }

    /// Every read looks at the newest commit, and a commit changes the indexes with the items.
    fn never_lags(&self) -> bool {
        true
    }

    /// Every change is part of a commit, and commits are made one after the other.
    fn report_changes(&self, listener: Weak<dyn ChangeListener>) -> bool {
        self.listener.takes_place(listener)
    }
}

fn answered(handled: Charged) -> Result<Answer, UpstreamError> {
    match handled {
        Ok(Reply { body, charges, item, read_by }) => {
            Ok(Answer { charges: charges.into(), item, read_by, ..Answer::ok(body) })
        }
        Err(LocalError::Api(error)) => Ok(error.into()),
        Err(LocalError::Charged(error, charges)) => Ok(Answer { charges: charges.into(), ..error.into() }),
        Err(LocalError::Store(error)) => Err(UpstreamError::OutcomeUnknown(error.to_string())),
    }
}

/// The service says no more of a body that is not JSON.
fn malformed(_: JsonError) -> ApiError {
    ApiError { code: crate::model::ErrorCode::Serialization, message: None, members: None }
}

/// An operation that this backend does not offer.
fn unsupported(operation: Operation) -> ApiError {
    if operation == Operation::Unknown {
        // Nor does the service; it says no more than this.
        return ApiError { code: crate::model::ErrorCode::UnknownOperation, message: None, members: None };
    }
    ApiError::new(
        crate::model::ErrorCode::UnknownOperation,
        format!("The local backend does not support {operation}; use an upstream that does."),
    )
}
