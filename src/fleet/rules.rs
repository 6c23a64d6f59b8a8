//! The rules of the protocol, each of which a test can switch off.

/// The rules that a test can switch off, to see that the simulation misses them. Those of the server are rules of its scripts, which
/// the bus of the tests obeys or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// The answer of a write waits for the bus's receipt.
    AwaitReceipt,
    /// A lease counts from when the question was sent, not from when its answer came.
    LeaseFromSend,
    /// A lease is renewed only when everything is applied up to the end that the answer names.
    LeaseNeedsEnd,
    /// Another server invalidates everything.
    NewServerVoids,
    /// So does an entry that was trimmed before it was read.
    GapVoids,
    /// A node that joins for the first time forgets what it has read before.
    FirstJoinVoids,
    /// A node that joins learns which members were lost a short while ago, and distrusts them too.
    JoinLearnsLost,
    /// A node that joins a new server distrusts members of the former that are not there yet.
    NewServerIsDistrusted,
    /// A lost member is distrusted.
    LostIsDistrusted,
    /// Everything is invalidated when distrust ends because its time is over.
    VoidAfterDistrust,
    /// A node that the bus does not answer does not count on the others' distrust any more before they trust it again.
    CutOffStops,
    /// Strict: the writer waits for all members.
    AwaitMembers,
    /// Strict: a member reports what it has applied, not what it has received.
    AckAfterApply,
    /// Strict: no lease is longer than the membership.
    LeaseWithinMembership,
    /// Strict: after a failover no write is confirmed until every lease of before has ended.
    QuarantineNewServer,
    #[cfg(test)]
    /// Of the server: a heartbeat first removes the members whose time is over, and says so in the log.
    HeartbeatReaps,
}

/// Which rules are obeyed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    #[cfg(test)]
    pub(super) broken: Option<Rule>,
}

impl Rules {
    #[cfg(test)]
    pub(super) fn obeyed(self, rule: Rule) -> bool {
        self.broken != Some(rule)
    }

    #[cfg(not(test))]
    #[inline(always)]
    pub(super) fn obeyed(self, _rule: Rule) -> bool {
        true
    }
}
