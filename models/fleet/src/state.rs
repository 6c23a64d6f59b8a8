//! The state that is explored: two nodes, their bus, and their database. Versions stand for values, numbered as they were committed.

use crate::rules::Params;

/// What clocks begin at, so that "long ago" has a value.
const START: u8 = 10;

/// A read of the database, or of the second level, in flight.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Fill {
    pub(crate) word: u8,
    pub(crate) strong: bool,
    pub(crate) sent: u8,
    /// The node's position in the log when the fill was sent.
    pub(crate) position: u8,
    pub(crate) value: Option<u8>,
    /// What those who wait for it must at least be given.
    pub(crate) floor: u8,
    /// From the second level, with the token found there.
    pub(crate) token: Option<Option<u8>>,
}

/// How far a write has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Waiting for members to hold, after this position.
    Fencing(u8),
    Sent,
    Committed,
    /// The verdict is in, the invalidation is to be published.
    Publishing,
    /// Published at this position; the answer is on its way.
    Receipt(u8),
    /// Strict: published at this position, waiting for the members.
    Waiting(u8),
}

/// A write in flight.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Write {
    pub(crate) phase: Phase,
    pub(crate) version: u8,
}

/// How far a heartbeat has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Beat {
    Request,
    Answer { end: u8, time: u8, member: bool },
}

/// A heartbeat in flight: when it was sent, the server's time in the last answer, and how far the node has applied the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Heartbeat {
    pub(crate) stage: Beat,
    pub(crate) sent: u8,
    pub(crate) last_time: u8,
    pub(crate) position: u8,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) life: u8,
    pub(crate) clock: u8,
    pub(crate) drift_left: bool,
    pub(crate) word: u8,
    pub(crate) held: bool,
    /// The cached entry: its word, its version, and when its read was sent.
    pub(crate) entry: Option<(u8, u8, u8)>,
    pub(crate) fills: Vec<Fill>,
    pub(crate) touched_until: u8,
    pub(crate) position: u8,
    /// The server that the node knows.
    pub(crate) generation: u8,
    pub(crate) lease: u8,
    pub(crate) beat: Option<Heartbeat>,
    pub(crate) member: bool,
    /// Server time in the last answer; when that answer came; when its question was sent.
    pub(crate) last_time: u8,
    pub(crate) answered: u8,
    pub(crate) asked: u8,
    pub(crate) asked_before: u8,
    /// It has not joined this server yet.
    pub(crate) is_new: bool,
    pub(crate) distrust_until: u8,
    /// It has answered a write without a receipt.
    pub(crate) unpublished: bool,
    /// It has joined and not yet said that it knows; whether it was a member before in this log.
    pub(crate) unready: Option<bool>,
    /// That word on its way: of which life, and whether it carries what is unpublished.
    pub(crate) readiness: Option<(u8, bool)>,
    pub(crate) write: Option<Write>,
    pub(crate) writes_left: u8,
    /// The newest version of which this node has applied an invalidation.
    pub(crate) known: u8,
    pub(crate) last_invalidation: u8,
    pub(crate) floor_position: u8,
}

/// An entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Entry {
    Invalidation {
        by: u8,
        version: u8,
    },
    Hold {
        by: u8,
    },
    Lost {
        who: u8,
    },
    /// A member says that it knows of its membership, and has published all; whether it was one before in this log.
    Ready {
        who: u8,
        resumed: bool,
    },
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) time: u8,
    /// When each version was committed, and when it was acknowledged.
    pub(crate) commits: Vec<u8>,
    pub(crate) answered: Vec<Option<u8>>,
    /// The newest version that any reader was given.
    pub(crate) seen: u8,
    pub(crate) log: Vec<Entry>,
    pub(crate) trimmed: u8,
    pub(crate) generation: u8,
    pub(crate) generation_since: u8,
    /// The members: their lives, and when their memberships end.
    pub(crate) members: [Option<(u8, u8)>; 2],
    pub(crate) reported: [u8; 2],
    pub(crate) lost_at: [Option<u8>; 2],
    pub(crate) publications: Vec<Entry>,
    /// A heartbeat that is stuck: whose, of which life, and the server's time that it carries.
    pub(crate) late_heartbeat: Option<(u8, u8, u8)>,
    /// Tokens and versions.
    pub(crate) second_level: Vec<(u8, u8)>,
    pub(crate) nodes: [Node; 2],
    /// How often each fault may still happen.
    pub(crate) duplicates: u8,
    pub(crate) drops: u8,
    pub(crate) delays: u8,
    pub(crate) restarts: u8,
    pub(crate) failovers: u8,
    pub(crate) trims: u8,
    pub(crate) joins: u8,
    /// Set for good once a reader was given something older than promised.
    pub(crate) wrong: Option<&'static str>,
    pub(crate) unreceipted: bool,
}

impl State {
    /// Nobody has written, all clocks agree, and both nodes are members.
    pub(crate) fn initial(p: &Params) -> Self {
        Self {
            time: 0,
            commits: vec![0],
            answered: vec![None],
            seen: 0,
            log: vec![],
            trimmed: 0,
            generation: 0,
            generation_since: 0,
            members: [Some((0, p.member[0])), Some((0, p.member[1]))],
            reported: [0; 2],
            lost_at: [None; 2],
            publications: vec![],
            late_heartbeat: None,
            second_level: vec![],
            nodes: [Node::initial(p, 0), Node::initial(p, 1)],
            duplicates: p.duplicates,
            drops: p.drops,
            delays: p.delayed_heartbeats,
            restarts: p.restarts,
            failovers: p.failovers,
            trims: p.trims,
            joins: p.joins,
            wrong: None,
            unreceipted: false,
        }
    }
}

impl Node {
    fn initial(p: &Params, i: usize) -> Self {
        Self {
            life: 0,
            clock: START,
            drift_left: p.drift[i],
            word: 0,
            held: false,
            entry: None,
            fills: vec![],
            touched_until: 0,
            position: 0,
            generation: 0,
            lease: 0,
            beat: None,
            member: true,
            last_time: 0,
            answered: START,
            asked: START,
            asked_before: START,
            is_new: false,
            distrust_until: 0,
            unpublished: false,
            unready: None,
            readiness: None,
            write: None,
            writes_left: p.writes[i],
            known: 0,
            last_invalidation: 0,
            floor_position: 0,
        }
    }
}
