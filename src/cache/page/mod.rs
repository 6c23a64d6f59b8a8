//! The page cache: answers of Query and Scan, one entry for each request that means something different.
//!
//! **What a page depends on** is its [`PageScope`]: a partition (Query of a table or of a local index), a partition of a
//! global index, all of a global index, or all of a table. Each scope has an epoch word. A fetch captures the words of its
//! scope before it is sent, the entry keeps them, and a hit compares: as with items, words decide and the store only
//! remembers. A write bumps the partition it writes to and the table's scans, and of each global index the partitions it
//! moves the item between, if the caller knows them, or else the whole index. That happens whatever came of the write, and
//! before its client hears of it. While another write of the same key is in flight, the place of the key is not known for
//! sure: that write may have moved the item from a third place, which it has not invalidated yet. Then, too, the whole index
//! is invalidated. Nothing is searched for, so a write costs the same however many pages there are.
//!
//! **An upstream that reports** its changes ([`PageCache::invalidate`]) leaves nothing to be guessed. It reports them in the order
//! in which it makes them, and each before its writer is answered, so a later move of an item never overtakes an earlier one.
//! Only the partitions that an item leaves and enters are invalidated, and rejected writes change nothing.
//!
//! **What lags.** Pages of tables and local indexes are fetched strongly if the partition (for a scan: the table) was
//! written within the time that replicas lag. Global indexes cannot be read strongly, so a page of one is kept only if it
//! was sent at least the *quarantine* after the last write to its scope; until then it is answered and forgotten. So a hit
//! on a page shows every write that was acknowledged before it, for global indexes as long as they lag less than that.
//!
//! **Unknown outcomes** hold nothing back here, for one lost write would switch off the pages of a whole index: what may
//! still land invalidates its scopes at once and once more when it can land no longer. A late landing is seen half a minute late
//! at worst, and it was not acknowledged.
//!
//! **Not promised** is that:
//! - a page of a global index shows, before its TTL ends, where a writer elsewhere has moved an item, even if this node has
//!   written the item since;
//! - two pages, or a page and an item, show the same moment;
//! - successive pages never go back behind a change that this node did not make. Only a client's own consistent Query
//!   binds what is answered after it ([`PageCache::observe`]).
//!
//! There is no I/O and no task in here, and time is passed in, except where a guard is dropped.

mod cache;
mod curve;
mod elsewhere;
mod items;
mod permit;
mod rules;
mod warming;
mod write;

mod scope;
mod words;

mod admission;
mod body;
mod budget;
mod entry;
mod stats;
mod store;

#[cfg(test)]
mod tests;

pub use body::Page;
pub use cache::{PageCache, PageLimits, PagePolicy, ScanAdmission, SentPage};
#[cfg(test)]
pub(super) use elsewhere::Half;
pub(super) use items::CompletedReads;
pub use items::PageItem;
pub use permit::{Completion, PagePermit};
#[cfg(test)]
pub(super) use rules::PageRule;
pub(super) use scope::TablePages;
pub use scope::{CachedIndex, PageScope};
pub use stats::{BumpedScope, PageNotStored, PageStats, ScopeStats};
pub use warming::{WarmItem, Warmed, Warming};
pub use write::{IndexTouch, PageChange, PageWriteGuard, RemovalGuard};
