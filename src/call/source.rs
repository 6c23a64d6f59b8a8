//! Where an answer came from, and why a read went past the cache; with the one spelling of each.

/// Where an answer came from: the value of `x-nearside-cache`, and a label of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// From the cache.
    Hit,
    /// From the upstream, and offered to the cache.
    Miss,
    /// From a fill that another request had begun.
    Joined,
    /// From the upstream, past the cache.
    Bypass(BypassReason),
    /// A write, or anything else that may change state.
    Write,
    /// From the cache past its TTL, because the upstream failed.
    Stale,
    /// A BatchGetItem: where how many keys came from.
    Batch {
        /// Keys served from memory.
        hit: u32,
        /// Keys fetched.
        miss: u32,
        /// Keys served from memory past their time, because the upstream failed.
        stale: u32,
    },
}

impl Source {
    /// Every label, in the order of [`Source::index`].
    pub const LABELS: [&str; 7] = ["hit", "miss", "joined", "bypass", "write", "stale", "batch"];

    /// A number of its own, below the count of [`Source::LABELS`].
    pub fn index(self) -> usize {
        match self {
            Self::Hit => 0,
            Self::Miss => 1,
            Self::Joined => 2,
            Self::Bypass(_) => 3,
            Self::Write => 4,
            Self::Stale => 5,
            Self::Batch { .. } => 6,
        }
    }

    /// Its label in headers, metrics and logs.
    pub fn label(self) -> &'static str {
        Self::LABELS[self.index()]
    }
}

/// Why a read went past the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BypassReason {
    /// `ConsistentRead` or a transaction asked for it.
    Consistent,
    /// Caching is off for the table.
    Disabled,
    /// The operation is not one that is cached.
    Operation,
    /// The request is not fully understood; the upstream will say what is wrong with it.
    NotUnderstood,
    /// The table's schema is not known.
    UnknownTable,
    /// The index is not known, or is being made or removed.
    IndexNotReady,
    /// What was read changed again and again meanwhile; the read went through by itself.
    Contended,
    /// The role may not read whole items, and the client wants a part of one.
    NotPermitted,
    /// The upstream's answer is not wholly understood, or has another key than the one asked for.
    OpaqueAnswer,
    /// The table's cache is in shadow mode, and answers nothing.
    Shadow,
}

impl BypassReason {
    /// Every reason, in the order of their definition.
    pub const ALL: [Self; 10] = [
        Self::Consistent,
        Self::Disabled,
        Self::Operation,
        Self::NotUnderstood,
        Self::UnknownTable,
        Self::IndexNotReady,
        Self::Contended,
        Self::NotPermitted,
        Self::OpaqueAnswer,
        Self::Shadow,
    ];

    /// Its label in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Consistent => "consistent",
            Self::Disabled => "disabled",
            Self::Operation => "operation",
            Self::NotUnderstood => "not_understood",
            Self::UnknownTable => "unknown_table",
            Self::IndexNotReady => "index_not_ready",
            Self::Contended => "contended",
            Self::NotPermitted => "not_permitted",
            Self::OpaqueAnswer => "opaque_answer",
            Self::Shadow => "shadow",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_a_bypass_is_listed() {
        for (number, reason) in BypassReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number, "{reason:?}");
        }
    }

    #[test]
    fn each_source_has_its_own_label() {
        let sources = [
            (Source::Hit, "hit"),
            (Source::Miss, "miss"),
            (Source::Joined, "joined"),
            (Source::Bypass(BypassReason::Disabled), "bypass"),
            (Source::Write, "write"),
            (Source::Stale, "stale"),
            (Source::Batch { hit: 1, miss: 2, stale: 3 }, "batch"),
        ];
        assert_eq!(sources.len(), Source::LABELS.len());
        for (source, label) in sources {
            assert_eq!(source.label(), label);
        }
    }
}
