//! The configurations: bounds, faults, and the rules without which the promise must be refuted in them.

use crate::rules::{Params, Rule};

/// Bounds and faults, and the rules that are necessary in them.
pub(crate) struct Configuration {
    pub(crate) params: Params,
    /// Without each of these, the configuration must be refuted.
    pub(crate) mutants: Vec<Rule>,
    /// What becomes of it with all rules.
    pub(crate) expected: Expected,
    pub(crate) ci: Ci,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Holds,
    /// The promise is known to be too strong.
    Refuted,
}

/// How much of a configuration is explored on each change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ci {
    Whole,
    /// So many generated states of it.
    First(usize),
    Never,
}

/// Every configuration, in the order of its number.
pub(crate) fn configurations() -> Vec<Configuration> {
    [leased(), cut_off_writers(), strict_ones(), second_level_ones()].into_iter().flatten().collect()
}

/// A lease bounds how old a read may be.
fn leased() -> Vec<Configuration> {
    vec![
        Configuration {
            params: Params { name: "F1 lease, lagging replicas, drift", ..base() },
            mutants: vec![
                Rule::CaptureBeforeSend,
                Rule::ValidateHits,
                Rule::JoinOnEqualWords,
                Rule::JoinNeedsLease,
                Rule::YoungMeansStrong,
                Rule::TouchOnInvalidation,
                Rule::BumpOnInvalidation,
                Rule::PublishAfterVerdict,
                Rule::AwaitReceipt,
                Rule::LeaseGatesHits,
                Rule::LeaseFromSend,
                Rule::LeaseNeedsEnd,
                Rule::DriftMargin,
                Rule::LapsedReadsStrongly,
            ],
            expected: Expected::Holds,
            ci: Ci::Whole,
        },
        Configuration {
            params: Params {
                name: "F1 loss and repeats",
                duplicates: 1,
                drops: 1,
                slow_fills: false,
                time_max: 4,
                promise: 1,
                lease: 1,
                ..strong()
            },
            mutants: vec![Rule::AwaitReceipt, Rule::LeaseNeedsEnd],
            expected: Expected::Holds,
            ci: Ci::Whole,
        },
        Configuration {
            params: Params {
                name: "F1 two writers, one of them reads",
                writes: [1, 1],
                time_max: 3,
                promise: 1,
                lease: 1,
                drift: [false; 2],
                ..strong()
            },
            mutants: vec![Rule::BumpOnVerdict, Rule::BumpOnInvalidation],
            expected: Expected::Holds,
            ci: Ci::Whole,
        },
        Configuration {
            params: Params {
                name: "F1 server replaced, log trimmed",
                failovers: 1,
                trims: 1,
                time_max: 4,
                promise: 1,
                lease: 1,
                slow_fills: false,
                drift: [false; 2],
                ..strong()
            },
            mutants: vec![Rule::NewServerVoids, Rule::GapVoids],
            expected: Expected::Holds,
            ci: Ci::Whole,
        },
    ]
}

/// A node that the bus does not hear, and that writes.
fn cut_off() -> Params {
    Params {
        member: [3, 100],
        margin: 0,
        grace: 3,
        time_max: 8,
        promise: 1,
        lease: 1,
        joins: 1,
        heartbeats: [true, true],
        drift: [false; 2],
        slow_fills: false,
        unreceipted: true,
        quick: true,
        ..strong()
    }
}

/// Writes of a node that is cut off from the bus.
fn cut_off_writers() -> Vec<Configuration> {
    vec![
        Configuration {
            params: Params { name: "F1 cut off: writes without receipts", ..cut_off() },
            mutants: vec![
                Rule::HeartbeatReaps,
                Rule::LostIsDistrusted,
                Rule::VoidAfterDistrust,
                Rule::CutOffWaits,
                Rule::CutOffStops,
                Rule::StopFromQuestionBefore,
            ],
            expected: Expected::Holds,
            ci: Ci::Whole,
        },
        Configuration {
            params: Params {
                name: "F1 cut off: a heartbeat arrives late",
                member: [5, 100],
                time_max: 9,
                delayed_heartbeats: 1,
                joins: 0,
                ..cut_off()
            },
            mutants: vec![Rule::ExtendFromLastAnswer],
            expected: Expected::Holds,
            ci: Ci::Whole,
        },
        Configuration {
            params: Params {
                name: "F1 cut off: a join that is not heard of",
                member: [2, 100],
                time_max: 6,
                joins: 2,
                unheard_joins: true,
                ..cut_off()
            },
            mutants: vec![Rule::ReadyEndsDistrust, Rule::ReadyPublishes],
            expected: Expected::Holds,
            ci: Ci::Whole,
        },
        Configuration {
            params: Params {
                name: "F1 cut off: the writer restarts",
                member: [2, 100],
                time_max: 6,
                restarts: 1,
                writer_restarts: true,
                ..cut_off()
            },
            mutants: vec![Rule::OtherProcessVoids, Rule::JoinReaps],
            expected: Expected::Holds,
            ci: Ci::Whole,
        },
        Configuration {
            params: Params {
                name: "F1 cut off: peer restarts",
                member: [2, 100],
                time_max: 7,
                restarts: 1,
                joins: 2,
                ..cut_off()
            },
            mutants: vec![Rule::FirstJoinVoids, Rule::JoinLearnsLost],
            expected: Expected::Holds,
            // 57 million states take ten minutes.
            ci: Ci::First(10_000_000),
        },
        Configuration {
            params: Params {
                name: "F1 cut off: server replaced",
                member: [2, 100],
                time_max: 7,
                failovers: 1,
                ..cut_off()
            },
            mutants: vec![Rule::NewServerIsDistrusted, Rule::NewServerVoids],
            expected: Expected::Holds,
            ci: Ci::Whole,
        },
        Configuration {
            params: Params {
                name: "F1 cut off: clocks drift",
                margin: 1,
                grace: 6,
                time_max: 11,
                joins: 0,
                drift: [true, false],
                ..cut_off()
            },
            mutants: vec![Rule::CutOffMargins],
            expected: Expected::Holds,
            ci: Ci::Whole,
        },
    ]
}

/// No read is older than what was acknowledged before it began.
fn strict_ones() -> Vec<Configuration> {
    vec![
        Configuration {
            params: Params { name: "F2 strict: delay, drift", member: [100, 3], time_max: 5, ..strict() },
            mutants: vec![
                Rule::AwaitMembers,
                Rule::AckAfterApply,
                Rule::LeaseWithinMembership,
                Rule::StrictLapsedBypasses,
                Rule::BumpOnInvalidation,
                Rule::CaptureBeforeSend,
            ],
            expected: Expected::Holds,
            ci: Ci::First(4_000_000),
        },
        Configuration {
            params: Params {
                name: "F2 strict: restart, failover, replicas",
                member: [100, 2],
                margin: 0,
                lease: 1,
                lag: 2,
                touched: 3,
                time_max: 4,
                restarts: 1,
                failovers: 1,
                drift: [false; 2],
                eventual: true,
                slow_fills: false,
                ..strict()
            },
            mutants: vec![Rule::QuarantineNewServer, Rule::FirstJoinVoids, Rule::NewServerVoids],
            expected: Expected::Holds,
            ci: Ci::Never,
        },
        Configuration {
            params: Params { name: "F2 strict: monotone over both nodes?", monotone: true, ..timeless() },
            mutants: vec![],
            expected: Expected::Refuted,
            ci: Ci::Whole,
        },
        Configuration {
            params: Params {
                name: "F2 fenced: monotone over both nodes",
                monotone: true,
                fenced: true,
                ..timeless()
            },
            mutants: vec![Rule::FenceBeforeSend, Rule::FenceOwnNode, Rule::NoJoinsWhileHeld],
            expected: Expected::Holds,
            ci: Ci::Whole,
        },
    ]
}

/// A second level behind the caches of the nodes.
fn second_level_ones() -> Vec<Configuration> {
    vec![
        Configuration {
            params: Params {
                name: "F4 second level that forgets nothing",
                second_level: true,
                restarts: 1,
                ..timeless()
            },
            mutants: vec![
                Rule::TokenBeforeSend,
                Rule::TokenComparedWithLast,
                Rule::TokenHeedsOwnWrites,
                Rule::TokenAboveFloor,
            ],
            expected: Expected::Holds,
            ci: Ci::Never,
        },
        Configuration {
            params: Params {
                name: "F4 second level, two writers",
                second_level: true,
                writes: [1, 1],
                reads: [false, true],
                ..timeless()
            },
            mutants: vec![Rule::NoWriteThrough, Rule::TokenHeedsOwnWrites],
            expected: Expected::Holds,
            ci: Ci::Never,
        },
    ]
}

/// Replicas do not lag.
fn strong() -> Params {
    Params { eventual: false, ..base() }
}

fn strict() -> Params {
    Params { promise: 0, strict: true, ..strong() }
}

/// Nothing depends on the time that passes.
fn timeless() -> Params {
    Params { time_max: 0, drift: [false; 2], heartbeats: [true; 2], reads: [true; 2], ..strict() }
}

fn base() -> Params {
    Params {
        name: "",
        promise: 2,
        lease: 2,
        member: [100; 2],
        margin: 1,
        joins: 2,
        grace: 0,
        lag: 3,
        touched: 5,
        time_max: 5,
        writes: [1, 0],
        reads: [false, true],
        heartbeats: [false, true],
        drift: [false, true],
        eventual: true,
        slow_fills: true,
        fills_max: 1,
        duplicates: 0,
        drops: 0,
        delayed_heartbeats: 0,
        unheard_joins: false,
        restarts: 0,
        writer_restarts: false,
        failovers: 0,
        trims: 0,
        strict: false,
        monotone: false,
        fenced: false,
        unreceipted: false,
        second_level: false,
        quick: false,
        off: None,
    }
}
