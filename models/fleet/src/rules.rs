//! What is checked: the settings of one run (bounds, faults) and the rules of the protocol, each of which can be switched off.

/// A rule of the protocol. A mutant is the protocol without one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// A fill keeps the word from before it was sent, not the one of when it landed.
    CaptureBeforeSend,
    /// A hit compares the words.
    ValidateHits,
    /// A reader joins a fill only on an equal word.
    JoinOnEqualWords,
    /// A reader joins a fill only where a hit as old as the fill would be allowed.
    JoinNeedsLease,
    /// Without a lease, only what was sent for after its end is served young: that was read strongly.
    YoungMeansStrong,
    /// What an invalidation names is read strongly for a while.
    TouchOnInvalidation,
    /// An invalidation bumps.
    BumpOnInvalidation,
    /// The writer's own verdict bumps before its answer.
    BumpOnVerdict,
    /// Invalidations are published after the verdict, not before the write is sent.
    PublishAfterVerdict,
    /// The answer of a write waits for the bus's receipt.
    AwaitReceipt,
    /// Hits need a lease, or an age below it.
    LeaseGatesHits,
    /// A lease counts from when the heartbeat was sent, not from when its answer came.
    LeaseFromSend,
    /// A heartbeat renews the lease only when everything up to the end that it reported is applied.
    LeaseNeedsEnd,
    /// The lease is shorter than the promise by what clocks may drift.
    DriftMargin,
    /// Without a lease, fills are strong.
    LapsedReadsStrongly,
    /// Another server (failover, restart) invalidates everything.
    NewServerVoids,
    /// Entries that were trimmed before they were read invalidate everything.
    GapVoids,
    /// A heartbeat first removes the members whose time is over, and says so in the log.
    HeartbeatReaps,
    /// A member that was lost is distrusted: only young entries are served.
    LostIsDistrusted,
    /// The end of distrust, when its time is over, invalidates everything.
    VoidAfterDistrust,
    /// A join first says of the former process, if its time is over, that it is lost.
    JoinReaps,
    /// Distrust ends when the node says that it knows of its membership, not when it joins.
    ReadyEndsDistrust,
    /// With that it publishes what it acknowledged without receipts.
    ReadyPublishes,
    /// If it is another process than the one that was lost, everything is invalidated.
    OtherProcessVoids,
    /// A node that the bus does not answer waits, before it answers writes, until the others know.
    CutOffWaits,
    /// A node that the bus does not answer stops answering writes before the others trust it again.
    CutOffStops,
    /// A heartbeat extends the membership from the time in the last answer, not from when it happens to arrive.
    ExtendFromLastAnswer,
    /// It counts from the question before the last, as the last one extended its membership only from the answer to that.
    StopFromQuestionBefore,
    /// Both waits allow for clocks that drift.
    CutOffMargins,
    /// A node that joins for the first time, or another server, forgets what it has read before, and reads strongly for a while.
    FirstJoinVoids,
    /// A node that joins learns which members were lost a short while ago, and distrusts them too.
    JoinLearnsLost,
    /// A node that joins a new server distrusts members that are not there yet.
    NewServerIsDistrusted,
    /// Strict: the writer waits for all members.
    AwaitMembers,
    /// Strict: a member acknowledges what it has applied, not what it has received.
    AckAfterApply,
    /// Strict: nobody holds a lease longer than its membership.
    LeaseWithinMembership,
    /// Strict: after a failover no write is confirmed until every lease of before has ended.
    QuarantineNewServer,
    /// Strict: without a lease there are no hits at all, young or not.
    StrictLapsedBypasses,
    /// Fenced: every member holds the key before the write is sent.
    FenceBeforeSend,
    /// Fenced: the writer's own node holds it too.
    FenceOwnNode,
    /// Fenced: nobody joins a fill while the key is held.
    NoJoinsWhileHeld,
    /// Second level: its entries carry the position from before the read was sent, not after.
    TokenBeforeSend,
    /// Second level: an entry older than the stripe's last invalidation is refused.
    TokenComparedWithLast,
    /// Second level: nothing is taken while a write of the node is in flight or unpublished.
    TokenHeedsOwnWrites,
    /// Second level: a token from before the node joined is refused.
    TokenAboveFloor,
    /// Second level: the word is compared when what came from it is stored.
    SecondLevelComparesWord,
    /// Second level: a write does not put its own image there with its own position.
    NoWriteThrough,
    /// Own entries in the log are not applied: not a safety rule, hits depend on it.
    SkipOwn,
}

/// The bounds of a configuration: what is promised, how long things last, and how often each fault may happen.
#[derive(Clone, Debug)]
pub(crate) struct Params {
    pub(crate) name: &'static str,
    /// The bound that is promised, in ticks; 0: never older than what was acknowledged.
    pub(crate) promise: u8,
    /// The lease, in ticks of the node's own clock.
    pub(crate) lease: u8,
    /// The membership, in ticks of the server's clock.
    pub(crate) member: [u8; 2],
    /// What the protocol allows for clocks that drift, in ticks.
    pub(crate) margin: u8,
    /// How often nodes may join again.
    pub(crate) joins: u8,
    /// How long distrust of a lost member lasts.
    pub(crate) grace: u8,
    /// How far a replica may lag.
    pub(crate) lag: u8,
    /// How long after a touch reads are strong.
    pub(crate) touched: u8,
    pub(crate) time_max: u8,
    pub(crate) writes: [u8; 2],
    pub(crate) reads: [bool; 2],
    pub(crate) heartbeats: [bool; 2],
    /// Whose clock may miss a tick, once.
    pub(crate) drift: [bool; 2],
    /// Fills that are not touched may be answered by a replica that lags.
    pub(crate) eventual: bool,
    /// Fills take a moment (sent, read, landed); else they happen at once.
    pub(crate) slow_fills: bool,
    /// How many fills of a node may be in flight.
    pub(crate) fills_max: usize,
    /// Publishing twice after a lost receipt.
    pub(crate) duplicates: u8,
    pub(crate) drops: u8,
    pub(crate) delayed_heartbeats: u8,
    /// A join may be carried out of which the node never hears.
    pub(crate) unheard_joins: bool,
    pub(crate) restarts: u8,
    /// It is the writer that restarts, and then writes no more; not the reader.
    pub(crate) writer_restarts: bool,
    pub(crate) failovers: u8,
    pub(crate) trims: u8,
    pub(crate) strict: bool,
    /// Reads must not go back behind reads that were answered before, on whatever node.
    pub(crate) monotone: bool,
    pub(crate) fenced: bool,
    /// A cut-off node answers writes without a receipt, after a while.
    pub(crate) unreceipted: bool,
    pub(crate) second_level: bool,
    /// Heartbeats and writes take no time but for what they wait for: fewer states where only waiting matters.
    pub(crate) quick: bool,
    /// The rule that is left out.
    pub(crate) off: Option<Rule>,
}

impl Params {
    pub(crate) fn obeys(&self, rule: Rule) -> bool {
        self.off != Some(rule)
    }
}
