//! The bus as the protocol needs it: a log with consecutive positions, and a clock, on one server.
//!
//! Each call is one atomic step of the server. A call that fails may have been carried out. Dropping a call's future may lose its
//! answer, so links are used by one task each, which awaits every call to its end.

use std::time::Duration;

use bytes::Bytes;

/// A place in the log. Positions of one epoch are consecutive; another epoch is another log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Milliseconds since 1970 by the server's clock, when the log was begun.
    pub epoch: u64,
    /// The number of the entry in its epoch.
    pub number: u64,
}

/// A process of the server, by the `run_id` that it reports. Another run is another world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunId(pub Box<str>);

/// A node in one of its lives.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Member {
    /// The node's name.
    pub node: Box<str>,
    /// Random for each process at first, and one more each time it joins anew.
    pub life: u32,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Reports of one node, encoded.
    Reports(Bytes),
    /// The bus has let a node join, which may not know it yet.
    Joined(Member),
    /// A member knows of its membership: all that it acknowledged before stands before this entry. Says whether the node was in this
    /// log before it joined.
    Ready(Member, bool),
    /// A node has left of its own accord.
    Left(Member),
    /// A node's membership has ended because nothing was heard of it.
    Lost(Member),
    /// The log begins.
    Begun,
    /// Something that this version cannot read.
    Unreadable,
}

/// What a heartbeat says.
#[derive(Clone, Debug)]
pub struct Beat<'a> {
    /// The node that is alive.
    pub member: &'a Member,
    /// The server's time in the last answer that the node has received, in milliseconds.
    pub last_time_ms: u64,
    /// How far the node has applied the log.
    pub applied: Position,
}

/// The answer to a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// The last position of the log.
    pub end: Position,
    /// The server's time, in milliseconds.
    pub time_ms: u64,
    /// Whether the node is a member.
    pub is_member: bool,
    /// The lowest position that any other member has reported. `None` if there is no other member.
    pub others_applied: Option<Position>,
}

/// What a node says that wants to join.
#[derive(Clone, Debug)]
pub struct Join<'a> {
    /// The node that joins.
    pub member: &'a Member,
    /// The settings that all nodes must share, in words.
    pub settings: &'a str,
    /// How far it has applied the log; `None` if it forgets what it has read before.
    pub applied: Option<Position>,
    /// Whether it may be the first, whose settings the others must have.
    pub may_found: bool,
}

/// What a member says once it knows that it is one.
#[derive(Clone, Debug)]
pub struct Ready<'a> {
    /// The member.
    pub member: &'a Member,
    /// What it wrote without a receipt, encoded; empty if nothing.
    pub pending: &'a [u8],
    /// Whether it was in this log before it joined.
    pub resumed: bool,
}

/// The answer to a node that wants to join.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Joined {
    /// It is a member now.
    Welcome(Welcome),
    /// The fleet has these settings, and the node has others. Empty: there is nobody yet, and the node may not be the first.
    OtherSettings(String),
}

/// What a new member must know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Welcome {
    /// The last position of the log, its own entry included.
    pub end: Position,
    /// The server's time, in milliseconds.
    pub time_ms: u64,
    /// The server's time at which this run of the server had its first member.
    pub since_ms: u64,
    /// All members but the one that joins.
    pub members: Vec<Member>,
    /// The members that were lost within the time for which they are distrusted, and when, by the server's time. One that has joined
    /// and is not ready counts as lost at its join.
    pub lost: Vec<(Member, u64)>,
}

/// Why a call brought no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The connection cannot be made or is gone, or the answer took too long.
    #[error("the bus cannot be reached: {0}")]
    Unreachable(String),
    /// The server is another one than before, or has forgotten everything.
    #[error("the bus is another server than before")]
    OtherServer,
    /// The server rejects what the node asks for: it is read-only, full, or lacks a permission.
    #[error("the bus rejects: {0}")]
    Rejected(String),
}

impl BusError {
    /// True if the server knows neither the user nor the password.
    pub fn is_about_the_password(&self) -> bool {
        matches!(self, Self::Rejected(reason) if ["WRONGPASS", "NOAUTH"].iter().any(|code| reason.contains(code)))
    }
}

/// A server that carries the log of one shard.
pub trait Bus: Send + Sync + 'static {
    /// A connection.
    type Link: Link;

    /// Connects, and learns which run of the server it is.
    ///
    /// # Errors
    /// [`BusError`].
    fn connect(&self) -> impl Future<Output = Result<Self::Link, BusError>> + Send;
}

/// One connection to the bus. Calls that change something name the run of the server to which it was made, and fail with
/// [`BusError::OtherServer`] when the log is of another run, but for [`Link::join`], which begins a new log then.
pub trait Link: Send + 'static {
    /// The run of the server.
    fn run(&self) -> &RunId;

    /// The entries after a position, at most some thousand; waits for the first, for at most that long, and is empty then.
    ///
    /// # Errors
    /// [`BusError`].
    fn read(
        &mut self,
        after: Position,
        wait: Duration,
    ) -> impl Future<Output = Result<Vec<(Position, Entry)>, BusError>> + Send;

    /// Appends encoded reports.
    ///
    /// # Errors
    /// [`BusError`].
    fn publish(&mut self, reports: &[u8]) -> impl Future<Output = Result<Position, BusError>> + Send;

    /// Reports that a node is alive. First removes every member whose time is over and appends that it is lost; only then extends
    /// the membership of this one, from the time in the last answer that the node has received; and only then reads the end.
    ///
    /// # Errors
    /// [`BusError`].
    fn beat(&mut self, beat: &Beat<'_>) -> impl Future<Output = Result<Pulse, BusError>> + Send;

    /// Appends that the node has joined. A run that is new to the log begins a new epoch without members.
    ///
    /// # Errors
    /// [`BusError`].
    fn join(&mut self, join: &Join<'_>) -> impl Future<Output = Result<Joined, BusError>> + Send;

    /// Appends what is pending, and that the member is ready; `None` if its membership is over.
    ///
    /// # Errors
    /// [`BusError`].
    fn ready(&mut self, ready: &Ready<'_>)
    -> impl Future<Output = Result<Option<Position>, BusError>> + Send;

    /// Keeps what a member says of itself, a line of text without a line end, until it ends or says something else; and reads what all
    /// present members say. One that says nothing, as those of a version that cannot, is not among them.
    ///
    /// # Errors
    /// [`BusError`].
    fn introduce(
        &mut self,
        member: &Member,
        words: &str,
    ) -> impl Future<Output = Result<Vec<(Member, String)>, BusError>> + Send;

    /// Appends that the node leaves, and removes it.
    ///
    /// # Errors
    /// [`BusError`].
    fn leave(&mut self, member: &Member) -> impl Future<Output = Result<(), BusError>> + Send;
}
