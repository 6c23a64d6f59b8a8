//! The rules of the protocol of pages, each of which a test can switch off.

/// The rules of the protocol that a test can switch off, to see that the model test misses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cache) enum PageRule {
    /// A successful write bumps.
    BumpOnSuccess,
    /// A rejected write bumps all the same.
    BumpOnRejection,
    /// A write of unknown outcome bumps at once.
    BumpOnUnknown,
    /// And once more when it can land no longer.
    BumpLate,
    /// A write bumps the scans of its table.
    BumpScans,
    /// A write of known images bumps the partitions of the index that the item leaves and enters.
    BumpPositions,
    /// And the scans of that index.
    BumpIndexScans,
    /// A write bumps each index that is not named whole.
    BumpUnlisted,
    /// Positions in an index do not count as known while another write of the key is in flight,
    CheckOverlaps,
    /// or may land late,
    CheckLateWrites,
    /// or while writes that are not known by their keys may be in flight.
    CheckWideChanges,
    /// A change that the upstream reports bumps.
    BumpOnReport,
    /// A removal by the upstream itself bumps before it can be seen,
    BumpBeforeRemovals,
    /// and until it is seen by everybody no page of its table is stored.
    CheckRemovals,
    /// What was lately written is read strongly.
    TouchOnWrite,
    /// A reader joins a flight only if no word moved since it was sent.
    JoinOnEqualWords,
    /// A hit compares the word of its scope.
    ValidateScope,
    /// A hit compares the word of its table.
    ValidateTable,
    /// A hit compares the word of its whole index.
    ValidateIndex,
    /// A page of an index that was lately written to is not stored.
    Quarantine,
    /// Nor is one of a table that was lately invalidated.
    QuarantineInvalidations,
    /// Strong reads past the cache are compared with it.
    ObserveReads,
    /// A write since a strong read was sent explains what differs.
    DateReadsBySending,
    /// An answer that is not understood invalidates the page that is cached.
    OpaqueReadsInvalidate,
    /// A fetch that contradicts what was seen is not stored.
    CheckWhatWasSeen,
    /// Those who joined after that look again.
    LateReadersLookAgain,
    /// A page is not served past its time.
    ExpireEntries,
    /// An item of a page is not stored if a word moved since the page was sent for,
    ItemsCheckWords,
    /// while it is being written,
    ItemsCheckWriters,
    /// while a write of it may land late,
    ItemsCheckLateWrites,
    /// if a replica that lags may have read it,
    ItemsCheckTouches,
    /// if a read of it completed since the page was sent for,
    ItemsCheckReads,
    /// or while a read of it is in flight.
    ItemsCheckFlights,
    /// What another node reports bumps,
    BumpOnElsewhere,
    /// and is read strongly;
    TouchOnElsewhere,
    /// in pages before it does so in items.
    PagesFirst,
    /// What another node may yet change bumps once more when it can change no longer.
    HoldElsewhere,
    /// Without a lease, only what is young is served,
    LeaseGatesHits,
    /// or joined.
    JoinNeedsLease,
    /// Young is only what was read strongly because there was no lease.
    YoungMeansStrong,
    /// Without a lease, everything is read strongly that can be.
    LapsedReadsStrongly,
    /// Without a lease, no page of a global index is served, joined or stored.
    LeaseGatesIndexPages,
}
