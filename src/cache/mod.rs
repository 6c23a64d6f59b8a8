//! The cache: what is remembered of the upstream, and when it must not be used any more.
//!
//! The promise: a cached read never returns a state older than a write this node acknowledged before the read began.
//! DynamoDB gives items no version, so order comes from *when a read was sent* relative to the writes this node knows of.
//! Every key belongs to a *stripe* with an epoch word. A read captures the word before it is sent, the entry it leaves
//! keeps it, and a hit compares the two: whatever could make an entry old bumps the word, and the entry is dead without
//! being searched for. Correctness rests on the words and on the flights beside them, never on the store of entries.
//!
//! In a fleet other nodes write too. What they report bumps the words here ([`PageCache::apply`]), and a lease says whether everything
//! was reported ([`ItemCache::renew_lease`]): see [`freshness`] for what is served without one.
//!
//! In flow addresses of keys (a table and canonical key bytes), images (what a GetItem would answer) and the verdicts of
//! writes; out flow hits, or the order to fetch. There is no I/O and no task in here, and time is passed in, except where
//! a guard is dropped and nobody is left to say what time it is.
//!
//! [`ItemCache`] is the surface. [`words`], [`flights`] and [`slots`] decide correctness, [`store`] only remembers.

mod item;

mod flights;
mod freshness;
mod guard;
mod slots;
mod words;

mod blocks;
mod entry;
mod expiry;
mod secret;
mod store;

mod page;

mod elsewhere;

mod cached_item;
mod comparisons;
mod last_shown;
mod stats;
mod table;

#[cfg(test)]
pub(crate) mod tests;

pub use cached_item::CachedItem;
pub use comparisons::{
    AGE_BOUNDS_SECONDS, ComparisonStats, Comparisons, DifferenceAges, ShadowRead, ShadowResult,
    VerifiedResult,
};
pub use elsewhere::{Changed, ChangedIndex, ChangedIndexes, ChangedItem, Report, TableDigest};
pub use flights::{FailedFetch, Hit, JoinOutcome, Joiner, Lookup};
pub use freshness::{FleetMemory, LapsedReads};
pub use guard::{FillPermit, WriteGuard};
pub use item::{CacheLimits, Consistency, FillMode, ItemCache, Moment, ReadPolicy, SentRead, UncountedHit};
pub use page::{
    BumpedScope, CachedIndex, Completion, IndexTouch, Page, PageCache, PageChange, PageItem, PageLimits,
    PageNotStored, PagePermit, PagePolicy, PageScope, PageStats, PageWriteGuard, RemovalGuard, ScanAdmission,
    ScopeStats, SentPage, WarmItem, Warmed, Warming,
};
pub use secret::FleetSecret;
pub use stats::{BumpReason, CacheStats, NotStored, TableStats};
pub use table::{Address, CachedTable, Realm, TableIdentity};
