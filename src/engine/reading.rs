//! How a read is answered, be it of an item or of a page: from memory, from a fetch in flight, by a fetch of its own, or past the
//! cache.
//!
//! What is understood of a read is owned by it, made once, and handed from the look into memory to whatever follows.

use std::future::Future;
use std::sync::Arc;

use tokio::time::Instant;

use crate::cache::{FailedFetch, Hit, JoinOutcome, Joiner, Lookup};
use crate::call::{Answer, PrincipalRole};

use super::known_table::KnownTable;
use super::permissions::is_about_sender;
use super::{BypassReason, Engine, Served, Source, failed, is_failure};

/// How often a read looks, joins or fetches before it goes past the cache.
const LOOKUPS_MAX: usize = 3;

/// What a first look at a request brought, without waiting for anything.
pub(super) enum Looked<R> {
    /// The answer was in memory.
    Hit(Served),
    /// It was not; what was understood of the request.
    Miss(R),
    /// The request was not understood, or is of a table that is not known yet, or it is read once it is certain that it goes upstream.
    Unread,
}

impl<R> Looked<R> {
    /// The same with another form of what was understood.
    pub(super) fn map<T>(self, form: impl FnOnce(R) -> T) -> Looked<T> {
        match self {
            Self::Hit(served) => Looked::Hit(served),
            Self::Miss(read) => Looked::Miss(form(read)),
            Self::Unread => Looked::Unread,
        }
    }
}

/// A read that the cache may answer.
pub(super) trait Reading: Sync {
    /// What is read: an item or a page.
    type Value: Clone + PartialEq + Send + Sync + 'static;
    /// The duty to fetch it.
    type Permit: Send;

    fn table(&self) -> &Arc<KnownTable>;

    /// On whose behalf it is read.
    fn on_behalf_of(&self) -> Option<&PrincipalRole>;

    /// Looks into memory, and takes a place among those who wait, or the duty to fetch.
    fn look_up(&self, engine: &Engine, now: Instant) -> Lookup<Self::Value, Self::Permit>;

    /// What memory has, be it expired, for a reader whom the upstream failed.
    fn look_up_stale(&self, engine: &Engine, now: Instant) -> Option<Hit<Self::Value>>;

    /// Fetches, and gives what came to the cache and to everybody who waits for it.
    fn fill(
        &self,
        engine: Arc<Engine>,
        permit: Self::Permit,
    ) -> impl Future<Output = Result<Fetched<Self::Value>, Answer>> + Send + 'static;

    /// Reads from the upstream, strongly where that can be, and lets the cache compare.
    fn read_past_cache(
        &self,
        engine: &Arc<Engine>,
        reason: BypassReason,
    ) -> impl Future<Output = Result<Found<Self::Value>, Missed>> + Send;
}

/// What was read, and how.
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) source: Source,
    pub(super) age_seconds: Option<u64>,
    /// The upstream's `ConsumedCapacity` as JSON, when this read paid for it.
    pub(super) consumed: Option<Vec<u8>>,
}

impl<T> Found<T> {
    /// An answer from memory.
    pub(super) fn from_memory(hit: Hit<T>, source: Source) -> Self {
        Self { value: hit.value, source, age_seconds: Some(hit.age.as_secs()), consumed: None }
    }
}

/// Why a read brought nothing that can be shown.
pub(super) enum Missed {
    /// The upstream rejected it or failed.
    Failed(Box<Answer>, Source),
    /// The upstream's answer is not wholly understood, or is one to another question. It is there for the reader who asked, and
    /// not for those who had joined.
    Opaque(Option<Answer>),
}

/// What the upstream's answer to a read is.
pub(super) enum Fetched<T> {
    Read {
        value: T,
        consumed: Option<Vec<u8>>,
    },
    /// An answer that is not wholly understood, or of something else than what was asked for.
    Opaque(Answer),
}

impl<T> Fetched<T> {
    /// What it is to the reader who asked.
    pub(super) fn found(self, source: Source) -> Result<Found<T>, Missed> {
        match self {
            Self::Read { value, consumed } => Ok(Found { value, source, age_seconds: None, consumed }),
            Self::Opaque(answer) => Err(Missed::Opaque(Some(answer))),
        }
    }
}

impl Engine {
    /// Answers a read from memory, from a fetch in flight, or by leading a fetch. After a few turns against writers it reads past
    /// the cache. Where the table allows it, what has expired answers for an upstream that fails.
    ///
    /// # Errors
    /// [`Missed`]: the upstream's answer, when it is not a success, or when it is not understood.
    pub(super) async fn find<R: Reading>(self: &Arc<Self>, read: &R) -> Result<Found<R::Value>, Missed> {
        match self.find_fresh(read).await {
            Err(Missed::Failed(answer, source)) if is_failure(answer.status) => {
                let stale = read.look_up_stale(self, Instant::now());
                let found = stale.map(|hit| Found::from_memory(hit, Source::Stale));
                found.ok_or(Missed::Failed(answer, source))
            }
            outcome => outcome,
        }
    }

    async fn find_fresh<R: Reading>(self: &Arc<Self>, read: &R) -> Result<Found<R::Value>, Missed> {
        for _ in 0..LOOKUPS_MAX {
            match read.look_up(self, Instant::now()) {
                Lookup::Hit(hit) => return Ok(Found::from_memory(hit, Source::Hit)),
                Lookup::Join(joiner) => {
                    if let Some(joined) = join(joiner, read.on_behalf_of()).await {
                        return joined;
                    }
                }
                Lookup::Lead(permit) => {
                    self.check_current(read.table());
                    let fill = read.fill(Arc::clone(self), permit);
                    // A task of its own: readers that joined must not lose their answer with this client.
                    let filled = self.tasks.spawn(fill).await;
                    let filled = filled.unwrap_or_else(|_| Err(failed("The fill's task ended early.")));
                    return filled
                        .map_err(|answer| Missed::Failed(Box::new(answer), Source::Miss))?
                        .found(Source::Miss);
                }
            }
        }
        read.read_past_cache(self, BypassReason::Contended).await
    }
}

/// Waits for a fetch in flight; `None` if the reader must look again.
async fn join<T: Clone + PartialEq>(
    joiner: Joiner<T>,
    on_behalf_of: Option<&PrincipalRole>,
) -> Option<Result<Found<T>, Missed>> {
    let source = Source::Joined;
    match joiner.wait().await {
        JoinOutcome::Failed(failure) if is_about_another(&failure, on_behalf_of) => None,
        JoinOutcome::Landed(value) => Some(Ok(Found { value, source, age_seconds: None, consumed: None })),
        JoinOutcome::Failed(failure) => Some(Err(Missed::Failed(Box::new(failure.answer.clone()), source))),
        JoinOutcome::Opaque => Some(Err(Missed::Opaque(None))),
        JoinOutcome::LookAgain => None,
    }
}

/// True if the upstream has denied a fetch to the one on whose behalf it was sent, and may allow it to this reader.
pub(super) fn is_about_another(failure: &FailedFetch, on_behalf_of: Option<&PrincipalRole>) -> bool {
    failure.on_behalf_of.as_deref() != on_behalf_of && is_about_sender(&failure.answer)
}
