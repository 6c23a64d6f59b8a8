//! The rules of the protocol, each of which a test can switch off.

use super::ItemCache;

/// The rules of the protocol that a test can switch off, to see that the model test misses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum Rule {
    /// A successful write bumps.
    BumpOnSuccess,
    /// A rejected write bumps all the same.
    BumpOnRejection,
    /// So does a change that the upstream reports.
    BumpOnReport,
    /// An unknown outcome is followed by a hold.
    HoldUnknown,
    /// An unknown outcome is noted at all.
    NoteUnknown,
    /// A reader joins a flight only if no word moved since it was sent.
    JoinOnEqualWords,
    /// What was lately written is read strongly.
    TouchOnWrite,
    /// Reads past the cache are compared with it.
    ObserveReads,
    /// A read does not contradict what was written since it was sent.
    DateReadsBySending,
    /// So are fetches that another one superseded.
    ObserveSuperseded,
    /// A fetch that contradicts what was seen is not stored.
    CheckWhatWasSeen,
    /// Those who joined after that look again.
    LateReadersLookAgain,
    /// A hit compares the word of its stripe.
    ValidateHits,
    /// A hit compares the word of its table.
    ValidateTable,
    /// What is invalidated is read strongly.
    TouchOnInvalidation,
    /// An entry is not served past its time.
    ExpireEntries,
    /// A write stores its image only if the word did not move since it began.
    WriteInstallsByCompareAndSwap,
    /// A read that completes while a write is in flight keeps the write from storing its image.
    ReadsKillWriteInstalls,
    /// What was read and cannot be stored invalidates an expired entry that it contradicts.
    UnstoredInvalidatesStale,
    /// A read that cannot be compared invalidates what is cached of its key.
    OpaqueReadsInvalidate,
    /// What another node reports bumps,
    BumpOnElsewhere,
    /// and is read strongly.
    TouchOnElsewhere,
    /// The bump is left out only if nothing holds the present word for the item.
    SpareOnlyWhatNothingHolds,
    /// What another node may yet change is held.
    HoldElsewhere,
    /// Without a lease, only what is young is served,
    LeaseGatesHits,
    /// or joined.
    JoinNeedsLease,
    /// Young is only what was read strongly because there was no lease.
    YoungMeansStrong,
    /// Without a lease, everything is read strongly.
    LapsedReadsStrongly,
    /// Where nothing is young, nothing is stored without a lease.
    LapsedBypassStoresNothing,
}

impl ItemCache {
    #[cfg(test)]
    pub(in crate::cache) fn obeys(&self, rule: Rule) -> bool {
        self.rules.obeyed(&rule)
    }

    #[cfg(not(test))]
    #[inline(always)]
    pub(in crate::cache) fn obeys(&self, _rule: Rule) -> bool {
        true
    }
}
