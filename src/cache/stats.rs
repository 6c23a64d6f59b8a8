//! Plain counters of what the cache did; the edge turns them into metrics.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::spread::Spread;

/// Why an epoch word moved, and with it every entry of its stripe died.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BumpReason {
    /// A write succeeded.
    Write,
    /// A write was rejected; some rejections follow a first attempt that happened.
    Rejected,
    /// A write's outcome is unknown.
    Unknown,
    /// The hold after an unknown outcome ended.
    HoldEnd,
    /// A fill brought another image than a strong read had seen meanwhile.
    Conflict,
    /// A strong read, or a fill that had been superseded, contradicted the cache.
    Observed,
    /// A read completed while a write was in flight, so the write's image may be older than what the reader saw.
    ReadDuringWrite,
    /// A table was invalidated, or all tables were.
    TableInvalidated,
    /// The upstream reported that a statement changed an item, or that an item expired.
    Reported,
    /// Another node of the fleet reported a change.
    Elsewhere,
    /// The operator had it dropped.
    Flushed,
}

/// Why an image was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NotStored {
    /// The word moved since the read or the write was sent.
    Word,
    /// The stripe was held after an unknown outcome.
    Hold,
    /// A strong read had seen something else.
    Conflict,
    /// A write to the stripe was in flight when the read completed.
    WriteInFlight,
    /// Larger than the policy or the store takes.
    Size,
    /// Its time to live is zero.
    Policy,
    /// The node had no lease when it landed.
    Lease,
}

impl BumpReason {
    /// Every reason, for those who label counters with it.
    pub const ALL: [Self; 11] = [
        Self::Write,
        Self::Rejected,
        Self::Unknown,
        Self::HoldEnd,
        Self::Conflict,
        Self::Observed,
        Self::ReadDuringWrite,
        Self::TableInvalidated,
        Self::Reported,
        Self::Elsewhere,
        Self::Flushed,
    ];

    /// The value of the label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Rejected => "refused",
            Self::Unknown => "unknown",
            Self::HoldEnd => "hold_end",
            Self::Conflict => "conflict",
            Self::Observed => "observed",
            Self::ReadDuringWrite => "read_during_write",
            Self::TableInvalidated => "void",
            Self::Reported => "reported",
            Self::Elsewhere => "elsewhere",
            Self::Flushed => "flushed",
        }
    }
}

impl NotStored {
    /// Every reason, for those who label counters with it.
    pub const ALL: [Self; 7] =
        [Self::Word, Self::Hold, Self::Conflict, Self::WriteInFlight, Self::Size, Self::Policy, Self::Lease];

    /// The value of the label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Word => "word",
            Self::Hold => "hold",
            Self::Conflict => "conflict",
            Self::WriteInFlight => "write_in_flight",
            Self::Size => "size",
            Self::Policy => "policy",
            Self::Lease => "lease",
        }
    }
}

/// What happened in one table since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableStats {
    /// Lookups answered from memory, those of absent items included.
    pub hits: u64,
    /// Hits that said there is no item.
    pub negative_hits: u64,
    /// Reads that fetched.
    pub leads: u64,
    /// Reads that waited on another one's fetch.
    pub joins: u64,
    /// Images stored by reads.
    pub fills_installed: u64,
    /// Images stored by writes.
    pub writes_installed: u64,
    /// Images stored out of pages of Query and Scan.
    pub pages_installed: u64,
    /// Contradictions between the cache and a strong read that no write of this node explains. In a fleet it stays 0: a write
    /// elsewhere, whose report is on its way, explains any.
    pub stale_observed: u64,
    /// Items of answers whose key was not the one asked for.
    pub foreign_keys: u64,
}

/// What happened in the whole cache, and how large it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheStats {
    /// The sum over all tables.
    pub total: TableStats,
    /// Times a word moved, in the order of [`BumpReason::ALL`].
    pub bumps: [u64; BumpReason::ALL.len()],
    /// Images not stored, in the order of [`NotStored::ALL`].
    pub not_stored: [u64; NotStored::ALL.len()],
    /// Changes that other nodes reported of items of which nothing was known here, so that nothing was invalidated.
    pub bumps_spared: u64,
    /// Stripes now held after unknown outcomes.
    pub holds_active: u64,
    /// Reads that fetched although a fetch was in flight, because too many were waiting on it.
    pub waiters_turned_away: u64,
    /// Entries pushed out by newer ones.
    pub evictions: u64,
    /// Entries found dead or expired and reclaimed.
    pub expired: u64,
    /// Entries now, dead ones not yet reclaimed included.
    pub entries: u64,
    /// Bytes they occupy, keys and overhead included.
    pub bytes: u64,
    /// The budget for those bytes.
    pub bytes_max: u64,
}

impl CacheStats {
    /// Times a word moved for that reason.
    pub fn bumps(&self, reason: BumpReason) -> u64 {
        self.bumps[reason as usize]
    }

    /// Images not stored for that reason.
    pub fn not_stored(&self, reason: NotStored) -> u64 {
        self.not_stored[reason as usize]
    }
}

#[derive(Debug, Default)]
pub(super) struct TableCounters {
    /// Raised with every hit.
    pub(super) hits: Spread<AtomicU64>,
    pub(super) negative_hits: AtomicU64,
    pub(super) leads: AtomicU64,
    pub(super) joins: AtomicU64,
    pub(super) fills_installed: AtomicU64,
    pub(super) writes_installed: AtomicU64,
    pub(super) pages_installed: AtomicU64,
    pub(super) stale_observed: AtomicU64,
    pub(super) foreign_keys: AtomicU64,
}

impl TableCounters {
    /// Reads that hit or fetched.
    pub(super) fn reads(&self) -> u64 {
        self.hits.sum(|hits| hits) + self.leads.load(Ordering::Relaxed)
    }

    pub(super) fn snapshot(&self) -> TableStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TableStats {
            hits: self.hits.sum(|hits| hits),
            negative_hits: read(&self.negative_hits),
            leads: read(&self.leads),
            joins: read(&self.joins),
            fills_installed: read(&self.fills_installed),
            writes_installed: read(&self.writes_installed),
            pages_installed: read(&self.pages_installed),
            stale_observed: read(&self.stale_observed),
            foreign_keys: read(&self.foreign_keys),
        }
    }
}

impl std::ops::AddAssign for TableStats {
    fn add_assign(&mut self, other: Self) {
        self.hits += other.hits;
        self.negative_hits += other.negative_hits;
        self.leads += other.leads;
        self.joins += other.joins;
        self.fills_installed += other.fills_installed;
        self.writes_installed += other.writes_installed;
        self.pages_installed += other.pages_installed;
        self.stale_observed += other.stale_observed;
        self.foreign_keys += other.foreign_keys;
    }
}

#[derive(Debug, Default)]
pub(super) struct CacheCounters {
    bumps: [AtomicU64; BumpReason::ALL.len()],
    not_stored: [AtomicU64; NotStored::ALL.len()],
    pub(super) bumps_spared: AtomicU64,
    pub(super) holds_active: AtomicI64,
    pub(super) waiters_turned_away: AtomicU64,
    pub(super) expired: AtomicU64,
}

impl CacheCounters {
    pub(super) fn bumped(&self, reason: BumpReason) {
        self.bumps[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn not_stored(&self, reason: NotStored) {
        self.not_stored[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn bumps(&self) -> [u64; BumpReason::ALL.len()] {
        std::array::from_fn(|index| self.bumps[index].load(Ordering::Relaxed))
    }

    pub(super) fn not_stored_counts(&self) -> [u64; NotStored::ALL.len()] {
        std::array::from_fn(|index| self.not_stored[index].load(Ordering::Relaxed))
    }
}

/// Adds one.
pub(super) fn raise(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
