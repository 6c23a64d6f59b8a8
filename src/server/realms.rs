//! Regions and access keys that are kept apart: each pair has an engine and a store of its own, opened by its first request. Where
//! callers are verified, a principal stands for all of its access keys.
//!
//! All engines share the caches and their one budget. Access keys are kept nowhere, neither in memory nor on the disk: a
//! hash names the realm. On disk, the store that was used the longest ago is closed when one more is needed than may be
//! open, and opened again by its next request; in memory that would be forgetting, so it happens to stores without tables only.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_lc_rs::digest;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::descriptors;
use super::gate::Judging;
use super::maker::EngineMaker;
use crate::cache::Realm;
use crate::call::{Answer, Request};
use crate::engine::{Engine, PolicyChange, Served, Understood};
use crate::frontend::{Caller, CredentialScope, Service};
use crate::local::{self, ArnRegions, DirectoryLock, Durability, Local, OpenError};
use crate::model::{ApiError, ErrorCode, TableSchema};
use crate::rights::{Place, Rights};
use crate::telemetry::CacheSample;

/// How many stores on disk are open at a time, if there are descriptors for so many. Each has a thread, and memory for pages of
/// its file.
const OPEN_ON_DISK_MAX: usize = 64;
/// How many there are in memory, where none is closed that has tables.
const OPEN_IN_MEMORY_MAX: usize = 1000;
/// What each of so many stores may keep of its file.
const STORE_CACHE_BYTES_MAX: usize = 4 << 20;
/// How long a request waits for its store to be opened; that goes on meanwhile, for the client's next try.
const OPENING_MAX: Duration = Duration::from_secs(10);
/// How long is waited for one of the open stores to be at rest, when none is.
const REST_MAX: Duration = Duration::from_secs(1);
/// How long the writes of clients that have left may keep a store from being closed for another one.
const CLOSING_MAX: Duration = Duration::from_secs(25);

/// Where realms keep their tables.
pub(super) enum Stores {
    /// In stores below a directory, which is this process's as long as the lock lives.
    OnDisk { directory: Box<Path>, durability: Durability, open_max: usize, _lock: DirectoryLock },
    /// In memory.
    InMemory,
}

/// Every realm that was asked for.
pub(super) struct Realms {
    maker: EngineMaker,
    stores: Stores,
    /// What their backends have in common.
    settings: local::Settings,
    open: RwLock<HashMap<RealmName, Arc<OpenRealm>>>,
    /// The number of each realm that ever was open. Locked while one is opened or closed, so that no store is opened before
    /// it is closed.
    numbers: tokio::sync::Mutex<HashMap<RealmName, Realm>>,
    /// Openings in flight.
    openings: TaskTracker,
    /// Told of each request's end.
    rested: Notify,
    /// Grows with every request.
    uses: AtomicU64,
    /// How many were closed to make room.
    closed: AtomicU64,
}

/// Whether one more realm may be open.
enum Room {
    /// It may.
    Free,
    /// It may when this one is closed, which is not in the map any more.
    Of(Arc<OpenRealm>),
    /// It may not.
    None,
}

/// A hash of a region and of who calls there: an access key, or a principal where callers are verified.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct RealmName(u128);

/// A realm that serves requests. Whoever serves one holds a reference meanwhile, beside the one of the map.
struct OpenRealm {
    engine: Arc<Engine>,
    local: Arc<Local>,
    housekeeping: CancellationToken,
    /// The housekeeping.
    keeper: TaskTracker,
    last_use: AtomicU64,
}

impl Service for Realms {
    type Understood = ();

    async fn execute(self: &Arc<Self>, caller: Caller<'_>, request: Request) -> Result<Served, ApiError> {
        let scope = caller.scope()?;
        let visit = self.visit(&scope.region, &scope.access_key).await?;
        Ok(visit.engine().execute(request).await)
    }

    async fn table_schema(
        self: &Arc<Self>,
        caller: Caller<'_>,
        table: &str,
    ) -> Result<Arc<TableSchema>, Box<Answer>> {
        let answer = |error: ApiError| Box::new(Answer::from(error));
        let scope = caller.scope().map_err(answer)?;
        let visit = self.visit(&scope.region, &scope.access_key).await.map_err(answer)?;
        visit.engine().table_schema(table).await
    }
}

impl Judging for Realms {
    async fn execute_as(
        self: &Arc<Self>,
        caller: &Caller<'_>,
        rights: &Rights,
        place: Place<'_>,
        request: Request,
        understood: Understood,
    ) -> Result<Served, ApiError> {
        let scope = caller.scope()?;
        let visit = self.visit(&scope.region, owner(caller, &scope)).await?;
        let place = Place { region: &scope.region, ..place };
        visit.engine().execute_as(rights, place, request, understood).await
    }

    fn answer_at_once_as(
        &self,
        caller: &Caller<'_>,
        rights: &Rights,
        place: Place<'_>,
        request: &Request,
    ) -> Result<Served, Understood> {
        let Ok(scope) = caller.scope() else { return Err(Understood::default()) };
        let Some(realm) = self.find(RealmName::of(&scope.region, owner(caller, &scope))) else {
            return Err(Understood::default());
        };
        let visit = Visit { realm: Some(realm), rested: &self.rested };
        visit.engine().answer_at_once_as(rights, Place { region: &scope.region, ..place }, request)
    }

    async fn table_schema_as(
        self: &Arc<Self>,
        caller: &Caller<'_>,
        rights: &Rights,
        place: Place<'_>,
        table: &str,
    ) -> Result<Arc<TableSchema>, Box<Answer>> {
        let answer = |error: ApiError| Box::new(Answer::from(error));
        let scope = caller.scope().map_err(answer)?;
        let visit = self.visit(&scope.region, owner(caller, &scope)).await.map_err(answer)?;
        visit.engine().table_schema_as(rights, Place { region: &scope.region, ..place }, table).await
    }
}

/// Whose realm it is, among those of a region: a principal may have several keys, and finds its tables with each.
fn owner<'a>(caller: &'a Caller<'_>, scope: &'a CredentialScope<'_>) -> &'a str {
    caller.principal().map_or(&scope.access_key, |principal| &principal.name)
}

/// A request's stay in a realm.
struct Visit<'a> {
    realm: Option<Arc<OpenRealm>>,
    rested: &'a Notify,
}

impl Visit<'_> {
    fn engine(&self) -> &Arc<Engine> {
        &self.realm.as_ref().expect("a visit has its realm until it ends").engine
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        // Drop the reference before the wake-up: the task that is woken must find the realm unused.
        self.realm = None;
        self.rested.notify_one();
    }
}

impl Stores {
    /// Takes a data directory for this process.
    ///
    /// # Errors
    /// [`OpenError`] when it cannot be used, or another process does.
    pub(super) fn below(directory: &Path, durability: Durability) -> Result<Self, OpenError> {
        let lock = DirectoryLock::take(directory)?;
        let open_max = descriptors::stores_max(OPEN_ON_DISK_MAX);
        Ok(Self::OnDisk { directory: directory.into(), durability, open_max, _lock: lock })
    }

    fn open_max(&self) -> usize {
        match self {
            Self::OnDisk { open_max, .. } => *open_max,
            Self::InMemory => OPEN_IN_MEMORY_MAX,
        }
    }

    /// True if the realm comes back as it is after it was closed.
    fn keeps(&self, realm: &OpenRealm) -> bool {
        match self {
            Self::OnDisk { .. } => true,
            Self::InMemory => realm.local.is_blank(),
        }
    }

    /// True if waiting may help where no realm can be closed.
    fn may_rest(&self) -> bool {
        matches!(self, Self::OnDisk { .. })
    }

    /// Why there is no room for one more realm.
    fn refusal(&self) -> ApiError {
        match self {
            // All are at work right now, so it is worth trying again.
            Self::OnDisk { open_max, .. } => ApiError::new(
                ErrorCode::Throttling,
                format!("Requests of {open_max} other regions and access keys are under way"),
            ),
            Self::InMemory => ApiError::new(
                ErrorCode::LimitExceeded,
                format!(
                    "There are tables of {OPEN_IN_MEMORY_MAX} regions and access keys in memory, and no more are kept apart"
                ),
            ),
        }
    }
}

impl RealmName {
    fn of(region: &str, owner: &str) -> Self {
        // No region has a zero byte, so no two pairs are the same text.
        let text = [region.as_bytes(), b"\0", owner.as_bytes()].concat();
        let hash = digest::digest(&digest::SHA256, &text);
        let head = hash.as_ref().first_chunk().expect("the hash has 32 bytes");
        Self(u128::from_be_bytes(*head))
    }
}

impl Realms {
    /// Answers a request that comes past the front end, in the realm of an owner in a region.
    ///
    /// # Errors
    /// Why the realm is not open.
    pub(super) async fn execute_of(
        self: &Arc<Self>,
        region: &str,
        owner: &str,
        request: Request,
    ) -> Result<Served, ApiError> {
        let visit = self.visit(region, owner).await?;
        Ok(visit.engine().execute(request).await)
    }

    async fn visit(self: &Arc<Self>, region: &str, owner: &str) -> Result<Visit<'_>, ApiError> {
        Ok(Visit { realm: Some(self.realm(region, owner).await?), rested: &self.rested })
    }

    /// No realm yet. `settings` are of all their backends, but for the region.
    pub(super) fn new(maker: EngineMaker, stores: Stores, settings: local::Settings) -> Arc<Self> {
        let settings = local::Settings { store_cache_bytes_max: STORE_CACHE_BYTES_MAX, ..settings };
        Arc::new(Self {
            maker,
            stores,
            settings,
            open: RwLock::default(),
            numbers: tokio::sync::Mutex::default(),
            openings: TaskTracker::new(),
            rested: Notify::new(),
            uses: AtomicU64::new(0),
            closed: AtomicU64::new(0),
        })
    }

    /// The realm of an owner in a region, opened if it is not.
    async fn realm(self: &Arc<Self>, region: &str, owner: &str) -> Result<Arc<OpenRealm>, ApiError> {
        let name = RealmName::of(region, owner);
        if let Some(realm) = self.find(name) {
            return Ok(realm);
        }
        let (realms, region) = (Arc::clone(self), region.to_owned());
        // A task of its own: a client that leaves must not leave a store half open.
        let opening = self.openings.spawn(async move { realms.open(name, region).await });
        match tokio::time::timeout(OPENING_MAX, opening).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(_)) => Err(ApiError::new(ErrorCode::InternalServerError, "Internal server error")),
            Err(_) => Err(ApiError::new(
                ErrorCode::Throttling,
                "The tables of this region and access key are being opened",
            )),
        }
    }

    fn find(&self, name: RealmName) -> Option<Arc<OpenRealm>> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let realm = open.get(&name)?;
        realm.last_use.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        Some(Arc::clone(realm))
    }

    async fn open(&self, name: RealmName, region: String) -> Result<Arc<OpenRealm>, ApiError> {
        let mut numbers = self.numbers.lock().await;
        if let Some(realm) = self.find(name) {
            return Ok(realm);
        }
        self.make_room().await?;
        let local = Arc::new(self.open_local(name, region).await?);
        let next = u32::try_from(numbers.len() + 1).expect("there are fewer than 2^32 realms");
        let number = *numbers.entry(name).or_insert(Realm::new(next));
        let realm = Arc::new(OpenRealm {
            engine: self.maker.local_engine(number, &local),
            local: Arc::clone(&local),
            housekeeping: CancellationToken::new(),
            keeper: TaskTracker::new(),
            last_use: AtomicU64::new(self.uses.fetch_add(1, Ordering::Relaxed)),
        });
        let closing = realm.housekeeping.clone();
        realm.keeper.spawn(async move { local.keep_house(closing).await });
        realm.keeper.close();
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        open.insert(name, Arc::clone(&realm));
        Ok(realm)
    }

    async fn open_local(&self, name: RealmName, region: String) -> Result<Local, ApiError> {
        let arn_regions = ArnRegions::Only(region.clone());
        let settings = local::Settings { region: region.clone(), arn_regions, ..self.settings.clone() };
        let Stores::OnDisk { directory, durability, .. } = &self.stores else {
            return Ok(Local::in_memory(settings));
        };
        let directory = local::store_below(directory, &region, name.0);
        let durability = *durability;
        let opening = tokio::task::spawn_blocking(move || Local::open(&directory, durability, settings));
        let opened = opening.await.map_err(|panic| panic.to_string());
        opened.and_then(|opened| opened.map_err(|error| error.to_string())).map_err(|error| {
            tracing::error!(error, "The store of a region and an access key cannot be opened.");
            let words = "The tables of this region and access key cannot be opened; see the log of this node";
            ApiError::new(ErrorCode::InternalServerError, words)
        })
    }

    /// Closes the realm that was used the longest ago of those at rest, if one more would be too many.
    async fn make_room(&self) -> Result<(), ApiError> {
        let deadline = Instant::now() + REST_MAX;
        let resting = loop {
            match self.take_resting() {
                Room::Free => return Ok(()),
                Room::Of(resting) => break resting,
                Room::None if self.stores.may_rest() => {
                    let rested = tokio::time::timeout_at(deadline, self.rested.notified()).await;
                    rested.map_err(|_| self.stores.refusal())?;
                }
                Room::None => return Err(self.stores.refusal()),
            }
        };
        self.closed.fetch_add(1, Ordering::Relaxed);
        resting.engine.drain(Instant::now() + CLOSING_MAX).await;
        resting.close().await;
        Ok(())
    }

    fn take_resting(&self) -> Room {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        if open.len() < self.stores.open_max() {
            return Room::Free;
        }
        // References are taken under this lock, so where there is but the map's, there is no request.
        let resting = open.iter().filter(|(_, realm)| Arc::strong_count(realm) == 1);
        let closable = resting.filter(|(_, realm)| self.stores.keeps(realm));
        let oldest = closable.min_by_key(|(_, realm)| realm.last_use.load(Ordering::Relaxed));
        let oldest = oldest.map(|(name, _)| *name);
        oldest.and_then(|name| open.remove(&name)).map_or(Room::None, Room::Of)
    }

    /// The engines of all realms that are open. Of a realm that is closed nothing is cached that is used again.
    pub(super) fn engines(&self) -> Vec<Arc<Engine>> {
        self.all_open().iter().map(|realm| Arc::clone(&realm.engine)).collect()
    }

    fn all_open(&self) -> Vec<Arc<OpenRealm>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Has every realm ask for its policies again. One that is closed asks when it is opened.
    pub(super) fn renew_policies(&self, change: PolicyChange) {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.values().for_each(|realm| realm.engine.renew_policies(change));
    }

    /// Why requests should not be sent to this process: what has broken of any realm.
    pub(super) fn failure(&self) -> Option<String> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        open.values().find_map(|realm| realm.local.failure())
    }

    /// How many realms there are, under the names of the metrics.
    pub(super) fn samples(&self) -> Vec<CacheSample> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner).len() as u64;
        let closed = self.closed.load(Ordering::Relaxed);
        vec![
            CacheSample::plain("nearside_realms_open", open),
            CacheSample::plain("nearside_realms_closed_total", closed),
        ]
    }

    /// Waits for every write and fill, until `deadline`, and gives the number of those that have not ended by then.
    pub(super) async fn drain(&self, deadline: Instant) -> usize {
        self.openings.close();
        tokio::time::timeout_at(deadline, self.openings.wait()).await.ok();
        let mut given_up = 0;
        for realm in self.all_open() {
            given_up += realm.engine.drain(deadline).await;
        }
        given_up
    }

    /// Closes every store.
    pub(super) async fn close(&self) {
        for realm in self.all_open() {
            realm.close().await;
        }
    }
}

impl OpenRealm {
    async fn close(&self) {
        self.housekeeping.cancel();
        self.keeper.wait().await;
        self.local.close().await;
    }
}
