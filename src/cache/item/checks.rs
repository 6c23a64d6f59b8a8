//! What a comparison of a cached item with the upstream asks of the cache.

use tokio::time::Instant;

use super::{ItemCache, SentRead};
use crate::cache::cached_item::CachedItem;
use crate::cache::table::Address;

impl ItemCache {
    /// True if something that this node knows of may have changed the item since a read of it was sent, or may be changing it: then a
    /// difference between what was cached and what was read is explained. To be asked when the answer is there.
    pub fn may_have_changed(&self, address: &Address<'_>, sent: SentRead, now: Instant) -> bool {
        let stripe = self.stripe(address);
        let shard = self.slots.lock(stripe);
        let version = self.version(address.table, stripe);
        sent.version != version
            || version.is_held()
            || shard.has_writers(stripe)
            || address.table.has_wide_changes(self.running_ms(now))
    }

    /// True if the cache has just this of the key, and nothing has invalidated it. It does not count as a hit.
    pub fn still_has(&self, address: &Address<'_>, image: &CachedItem) -> bool {
        self.usable_entry(address).is_some_and(|(entry, _)| entry.holds(image))
    }
}
