//! Plain counters of what the page cache did; the edge turns them into metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::spread::Spread;

use super::super::stats::BumpReason;

/// Which kind of word moved, and with it every page that depends on it died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BumpedScope {
    /// A partition of a table.
    Partition,
    /// The scans of a table.
    Table,
    /// A partition of a global index.
    IndexPartition,
    /// The scans of a global index.
    IndexScan,
    /// Everything of a global index.
    WholeIndex,
}

impl BumpedScope {
    /// Every kind, for those who label counters with it.
    pub const ALL: [Self; 5] =
        [Self::Partition, Self::Table, Self::IndexPartition, Self::IndexScan, Self::WholeIndex];

    /// The value of the label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::Table => "table",
            Self::IndexPartition => "index_partition",
            Self::IndexScan => "index_scan",
            Self::WholeIndex => "whole_index",
        }
    }
}

/// Why a page was answered and not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PageNotStored {
    /// A word moved since the page was sent for.
    Word,
    /// A strong read had seen something else.
    Conflict,
    /// A write of unknown outcome may still land anywhere in its table.
    Hold,
    /// Its global index was written to so lately that it may not show it yet.
    Quarantine,
    /// A scan that was not asked for twice, or whose pages are not to be stored.
    ScanAdmission,
    /// Larger than the policy or the store takes.
    Size,
    /// The budget was full, and nothing gave way in time.
    Budget,
    /// Its time to live is zero.
    Policy,
    /// The node had no lease when it was sent for, or when it landed.
    Lease,
}

impl PageNotStored {
    /// Every reason, for those who label counters with it.
    pub const ALL: [Self; 9] = [
        Self::Word,
        Self::Conflict,
        Self::Hold,
        Self::Quarantine,
        Self::ScanAdmission,
        Self::Size,
        Self::Budget,
        Self::Policy,
        Self::Lease,
    ];

    /// The value of the label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Word => "word",
            Self::Conflict => "conflict",
            Self::Hold => "hold",
            Self::Quarantine => "quarantine",
            Self::ScanAdmission => "scan_admission",
            Self::Size => "size",
            Self::Budget => "budget",
            Self::Policy => "policy",
            Self::Lease => "lease",
        }
    }
}

/// What happened to the pages of a table and its local indexes, or of one global index, since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScopeStats {
    /// Requests answered from memory.
    pub hits: u64,
    /// Requests that fetched.
    pub leads: u64,
    /// Requests that waited on another one's fetch.
    pub joins: u64,
    /// Pages stored.
    pub installs: u64,
    /// Contradictions between the cache and a strong read. In a fleet it stays 0: a write elsewhere, whose report is on its way,
    /// explains any.
    pub stale_observed: u64,
}

impl std::ops::AddAssign for ScopeStats {
    fn add_assign(&mut self, other: Self) {
        self.hits += other.hits;
        self.leads += other.leads;
        self.joins += other.joins;
        self.installs += other.installs;
        self.stale_observed += other.stale_observed;
    }
}

/// What happened in the whole page cache, and how large it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageStats {
    /// The sum over all tables and indexes.
    pub total: ScopeStats,
    /// Times a word moved: for each of [`BumpReason::ALL`], in the order of [`BumpedScope::ALL`]. Tables that were invalidated
    /// are counted with the items.
    pub bumps: [[u64; BumpedScope::ALL.len()]; BumpReason::ALL.len()],
    /// Pages not stored, in the order of [`PageNotStored::ALL`].
    pub not_stored: [u64; PageNotStored::ALL.len()],
    /// Requests that fetched although a fetch was in flight, because too many were waiting on it.
    pub waiters_turned_away: u64,
    /// Pages pushed out by others, or kept out because others are asked for more often.
    pub evictions: u64,
    /// Pages found dead or expired and reclaimed.
    pub expired: u64,
    /// Pages now, dead ones not yet reclaimed included.
    pub entries: u64,
    /// Bytes they occupy, fingerprints and overhead included.
    pub bytes: u64,
    /// The budget for those bytes.
    pub bytes_max: u64,
}

impl PageStats {
    /// Times a word of that kind moved for that reason.
    pub fn bumps(&self, reason: BumpReason, scope: BumpedScope) -> u64 {
        self.bumps[reason as usize][scope as usize]
    }

    /// Pages not stored for that reason.
    pub fn not_stored(&self, reason: PageNotStored) -> u64 {
        self.not_stored[reason as usize]
    }
}

#[derive(Debug, Default)]
pub(super) struct ScopeCounters {
    /// Raised with every hit.
    pub(super) hits: Spread<AtomicU64>,
    pub(super) leads: AtomicU64,
    pub(super) joins: AtomicU64,
    pub(super) installs: AtomicU64,
    pub(super) stale_observed: AtomicU64,
}

impl ScopeCounters {
    pub(super) fn snapshot(&self) -> ScopeStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ScopeStats {
            hits: self.hits.sum(|hits| hits),
            leads: read(&self.leads),
            joins: read(&self.joins),
            installs: read(&self.installs),
            stale_observed: read(&self.stale_observed),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct PageCounters {
    bumps: [[AtomicU64; BumpedScope::ALL.len()]; BumpReason::ALL.len()],
    not_stored: [AtomicU64; PageNotStored::ALL.len()],
    pub(super) waiters_turned_away: AtomicU64,
    pub(super) expired: AtomicU64,
}

impl PageCounters {
    pub(super) fn bumped(&self, reason: BumpReason, scope: BumpedScope) {
        self.bumps[reason as usize][scope as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn not_stored(&self, reason: PageNotStored) {
        self.not_stored[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn bumps(&self) -> [[u64; BumpedScope::ALL.len()]; BumpReason::ALL.len()] {
        std::array::from_fn(|reason| {
            std::array::from_fn(|scope| self.bumps[reason][scope].load(Ordering::Relaxed))
        })
    }

    pub(super) fn not_stored_counts(&self) -> [u64; PageNotStored::ALL.len()] {
        std::array::from_fn(|index| self.not_stored[index].load(Ordering::Relaxed))
    }
}
