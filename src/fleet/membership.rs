//! The protocol of one node, without I/O: who is a member, what is applied, how long what is cached may be served, and when a write
//! may be acknowledged.
//!
//! **The lease** is the only proof of freshness. A question that was sent at *s* is answered with the end of the log; when
//! everything up to there is applied, what is cached may be served until *s* + lease. **Memberships** are kept by the bus: a member
//! of which nothing was heard is *lost*, which is an entry of the log, and no later lease is renewed without having applied it. **A
//! world** is one log of one run of the server, read without a gap. A node that enters another one forgets what is cached.
//!
//! **A node that the bus does not hear** still reaches the upstream. When it degrades, its peers invalidate everything at the loss
//! and serve only what they have just read, for as long as they distrust it; and the node acknowledges its writes only while that
//! is so. What it acknowledges later is not covered.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::{Changed, Report};

use super::bus::{Entry, Member, Position, Pulse, RunId, Welcome};
use super::replica::Replica;
use super::rules::{Rule, Rules};
use super::settings::{Ack, CutOff, Settings};
use super::stats::{Acknowledged, LeftWorld, Stats};

/// Answers that wait for the log to be applied up to their end. Later ones wait longer, so more would be of no use.
const PENDING_LEASES_MAX: usize = 64;

/// What a node knows of the fleet.
pub(super) struct Membership {
    settings: Settings,
    replica: Arc<dyn Replica>,
    stats: Arc<Stats>,
    pub(super) rules: Rules,
    me: Member,
    /// The first of this process's lives, which are numbered from there.
    first_life: u32,
    is_member: bool,
    /// It has joined and not yet said that it knows; whether it was in this log before.
    unready: Option<bool>,
    /// The run of the server in whose world the node is or was last.
    run: Option<RunId>,
    /// What was applied of the log, while the node is in a world.
    position: Option<Position>,
    /// Grows whenever a world is left.
    generation: u64,
    /// Leases that wait for the log to be applied.
    pending: VecDeque<PendingLease>,
    lease_until: Option<Instant>,
    /// Until when the cache may serve, as far as it knows.
    shown_until: Option<Instant>,
    answers: Option<Answers>,
    since_ms: u64,
    members: BTreeSet<Member>,
    /// Until when which node is distrusted; `None` for any that is not known.
    distrusted: BTreeMap<Option<Box<str>>, Instant>,
    /// When everything is to be invalidated once more because of the writes in flight of which lost node.
    late_invalidations: BTreeMap<Box<str>, Instant>,
    /// Up to where all other members have applied the log.
    confirmed: Option<Position>,
    began: Instant,
    standing: Standing,
    stale_since: Instant,
}

struct PendingLease {
    end: Position,
    until: Instant,
}

/// When the question was sent by which the node has joined.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) at: Instant,
    /// For how many milliseconds the machine had stood still by then.
    pub(super) stopped_ms: u64,
}

/// The answers of the bus that were received.
#[derive(Clone, Copy)]
struct Answers {
    /// The server's time in the last one.
    last_time_ms: u64,
    /// When the question to it was sent.
    asked: Instant,
    /// When the question before it was sent.
    asked_before: Instant,
    /// When the last one came.
    answered: Instant,
}

/// A heartbeat that was sent.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) member: Member,
    pub(super) last_time_ms: u64,
    pub(super) applied: Position,
    sent: Instant,
    /// When the question was sent on whose answer this one rests.
    basis: Instant,
}

/// What an answer of the bus calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// To go on.
    GoOn,
    /// To do what is due without a pause.
    AtOnce,
}

/// What a node says next to the bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// That it wants to join.
    Join,
    /// That it knows that it is a member, and whether it was in this log before it joined.
    Ready(Member, bool),
    /// That it is alive.
    Beat,
}

/// How a node stands, for the log and for the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has not joined yet, or has left a world.
    Outside,
    /// What is cached may be served.
    Fresh,
    /// It has no lease.
    Stale,
    /// It has one, and distrusts this many nodes.
    Distrusting(usize),
}

/// Whether a write may be acknowledged without a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// It may, or need not wait any longer.
    Acknowledge(Acknowledged),
    /// Not before then, if nothing happens.
    WaitUntil(Instant),
}

impl Membership {
    pub(super) fn new(
        settings: Settings,
        replica: Arc<dyn Replica>,
        stats: Arc<Stats>,
        now: Instant,
    ) -> Self {
        let me = Member { node: settings.node.clone(), life: fastrand::u32(..) };
        Self {
            settings,
            replica,
            stats,
            rules: Rules::default(),
            first_life: me.life,
            me,
            is_member: false,
            unready: None,
            run: None,
            position: None,
            generation: 0,
            pending: VecDeque::new(),
            lease_until: None,
            shown_until: None,
            answers: None,
            since_ms: 0,
            members: BTreeSet::new(),
            distrusted: BTreeMap::new(),
            late_invalidations: BTreeMap::new(),
            confirmed: None,
            began: now,
            standing: Standing::Outside,
            stale_since: now,
        }
    }

    /// What is due over a connection to that run of the server.
    pub(super) fn due(&self, run: &RunId) -> Due {
        let is_in = self.is_member && self.is_of(run) && self.position.is_some();
        match self.unready {
            _ if !is_in => Due::Join,
            Some(resumed) => Due::Ready(self.me.clone(), resumed),
            None => Due::Beat,
        }
    }

    /// True if the node is, or was last, in a world of that run.
    pub(super) fn is_of(&self, run: &RunId) -> bool {
        self.run.as_ref() == Some(run)
    }

    /// The generation of the world, and what is applied of it, to read on over a connection to that run.
    pub(super) fn reading(&self, run: &RunId) -> Option<(u64, Position)> {
        let position = self.position.filter(|_| self.is_of(run))?;
        Some((self.generation, position))
    }

    /// The generation of the world that the node is in.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// The node has missed something, or the server is another one: nothing vouches for what is cached until it has joined again.
    pub(super) fn leave_world(&mut self, reason: LeftWorld, now: Instant) {
        if self.position.is_none() {
            return;
        }
        self.stats.left_world(reason);
        self.position = None;
        self.generation += 1;
        self.confirmed = None;
        self.drop_membership(now);
    }

    fn drop_membership(&mut self, now: Instant) {
        self.is_member = false;
        self.unready = None;
        self.pending.clear();
        self.lease_until = self.lease_until.map(|until| until.min(now));
        self.show(now);
    }

    /// A new life for a node that is about to join, and what it has applied of the world that it is in.
    pub(super) fn joining(&mut self, run: &RunId, now: Instant) -> (Member, Option<Position>) {
        if self.run.as_ref().is_some_and(|known| known != run) {
            self.leave_world(LeftWorld::OtherServer, now);
        }
        self.me.life = self.me.life.wrapping_add(1);
        (self.me.clone(), self.position)
    }

    /// The node has joined by a question that was sent then.
    pub(super) fn joined(&mut self, run: &RunId, welcome: Welcome, asked: Asked, now: Instant) {
        let is_first = self.position.is_none();
        let had_world = self.run.replace(run.clone()).is_some();
        if is_first {
            self.position = Some(welcome.end);
            let forgets = match had_world {
                true => self.rules.obeyed(Rule::NewServerVoids),
                false => self.rules.obeyed(Rule::FirstJoinVoids),
            };
            if forgets {
                self.invalidate_everything(now);
                self.replica.forget_stops(asked.stopped_ms);
            }
        }
        self.since_ms = welcome.since_ms;
        self.is_member = true;
        self.unready = Some(!is_first);
        let Asked { at, .. } = asked;
        self.answers =
            Some(Answers { last_time_ms: welcome.time_ms, asked: at, asked_before: at, answered: now });
        // In a world that the node has never left, the log says all this, and the node may have read on already.
        if is_first {
            if self.settings.cut_off == CutOff::Degrade {
                self.distrust_at_join(&welcome, had_world, now);
            }
            let others = welcome.members.into_iter().filter(|member| member.node != self.me.node);
            self.members = others.collect();
        }
        self.members.retain(|member| member.node != self.me.node);
        self.members.insert(self.me.clone());
        self.show(now);
    }

    /// The bus knows, or not, that the node knows of its membership. It does not if the membership is over.
    pub(super) fn is_ready(&mut self, is_known: bool, now: Instant) {
        match is_known {
            true => self.unready = None,
            false => self.drop_membership(now),
        }
    }

    fn distrust_at_join(&mut self, welcome: &Welcome, had_world: bool, now: Instant) {
        let left = |from_ms: u64, length: Duration| {
            Duration::from_millis(from_ms.saturating_sub(welcome.time_ms)) + length
                - length.min(Duration::from_millis(welcome.time_ms.saturating_sub(from_ms)))
        };
        if self.rules.obeyed(Rule::JoinLearnsLost) {
            for (member, lost_ms) in &welcome.lost {
                let until = now + left(*lost_ms, self.settings.distrust());
                if member.node != self.me.node && until > now {
                    self.distrust(Some(member.node.clone()), until);
                }
            }
        }
        let newness = left(welcome.since_ms, self.settings.newness());
        if !newness.is_zero() && self.rules.obeyed(Rule::NewServerIsDistrusted) {
            let until = now + newness;
            match had_world {
                false => self.distrust(None, until),
                true => {
                    let former: Vec<_> = self.members.iter().map(|member| member.node.clone()).collect();
                    let missing = former.into_iter().filter(|node| {
                        *node != self.me.node && !welcome.members.iter().any(|member| member.node == *node)
                    });
                    missing.collect::<Vec<_>>().into_iter().for_each(|node| self.distrust(Some(node), until));
                }
            }
        }
    }

    fn distrust(&mut self, node: Option<Box<str>>, until: Instant) {
        let place = self.distrusted.entry(node).or_insert(until);
        *place = until.max(*place);
    }

    /// The next heartbeat. The node must have joined.
    pub(super) fn beating(&mut self, now: Instant) -> Option<Question> {
        let (answers, applied) = (self.answers?, self.position?);
        let applied = match self.rules.obeyed(Rule::AckAfterApply) {
            true => applied,
            false => self.pending.back().map_or(applied, |lease| lease.end.max(applied)),
        };
        let (member, last_time_ms) = (self.me.clone(), answers.last_time_ms);
        Some(Question { member, last_time_ms, applied, sent: now, basis: answers.asked })
    }

    /// The answer to a heartbeat has come.
    pub(super) fn answered(&mut self, question: &Question, pulse: &Pulse, now: Instant) -> Next {
        let Some(position) = self.position else { return Next::AtOnce };
        // Behind what was applied when the question was sent: the reader may have gone on since.
        if pulse.end.epoch != position.epoch || pulse.end < question.applied {
            self.leave_world(LeftWorld::OtherLog, now);
            return Next::AtOnce;
        }
        if !pulse.is_member {
            self.drop_membership(now);
            return Next::AtOnce;
        }
        let from = if self.rules.obeyed(Rule::LeaseFromSend) { question.sent } else { now };
        let mut until = from + self.settings.lease_length();
        if self.settings.ack == Ack::All && self.rules.obeyed(Rule::LeaseWithinMembership) {
            until = until.min(question.basis + self.settings.membership_least());
        }
        if self.pending.len() == PENDING_LEASES_MAX {
            self.pending.pop_back();
        }
        self.pending.push_back(PendingLease { end: pulse.end, until });
        let asked_before = self.answers.map_or(question.sent, |answers| answers.asked);
        self.answers =
            Some(Answers { last_time_ms: pulse.time_ms, asked: question.sent, asked_before, answered: now });
        self.note_confirmed(pulse);
        self.grant(now);
        Next::GoOn
    }

    fn note_confirmed(&mut self, pulse: &Pulse) {
        let former_leases_ms = self.settings.former_leases().as_millis() as u64;
        let is_settled = pulse.time_ms >= self.since_ms.saturating_add(former_leases_ms)
            || !self.rules.obeyed(Rule::QuarantineNewServer);
        if is_settled {
            let applied = pulse.others_applied.unwrap_or(pulse.end);
            self.confirmed = Some(self.confirmed.map_or(applied, |confirmed| confirmed.max(applied)));
        }
    }

    /// Everything up to a position is applied, in the world of that generation. False if the node has left it meanwhile.
    pub(super) fn applied(&mut self, generation: u64, position: Position, now: Instant) -> bool {
        if self.generation != generation || self.position.is_none() {
            return false;
        }
        self.position = Some(position);
        self.grant(now);
        true
    }

    fn grant(&mut self, now: Instant) {
        let Some(position) = self.position else { return };
        let needs_end = self.rules.obeyed(Rule::LeaseNeedsEnd);
        while let Some(lease) = self.pending.pop_front_if(|lease| lease.end <= position || !needs_end) {
            self.lease_until = self.lease_until.max(Some(lease.until));
        }
        self.show(now);
    }

    /// Takes note of an entry about members. What stands before it in the log must be applied, and what follows not yet. An entry of a
    /// world that was left meanwhile says nothing about this one: there, a node that is missing here may have joined.
    pub(super) fn heard(&mut self, generation: u64, entry: &Entry, now: Instant) {
        if self.generation != generation {
            return;
        }
        match entry {
            Entry::Joined(member) => self.member_joined(member),
            Entry::Ready(member, resumed) => self.member_ready(member, *resumed, now),
            Entry::Left(member) => {
                self.members.remove(member);
                if !self.members.iter().any(|other| other.node == member.node) {
                    self.trust_again(&Some(member.node.clone()), now);
                }
            }
            Entry::Lost(member) => self.member_lost(member, now),
            Entry::Reports(_) | Entry::Begun | Entry::Unreadable => {}
        }
        self.show(now);
    }

    fn member_joined(&mut self, member: &Member) {
        if member.node == self.me.node && !self.is_own_life(member.life) {
            tracing::error!(
                node = &*member.node,
                "Another process has joined the fleet under the name of this node; give each node a name of its own (fleet.node)."
            );
        }
        self.members.retain(|other| other.node != member.node);
        self.members.insert(member.clone());
    }

    /// A node knows that it is a member. All that it acknowledged until then is applied here, unless it was another process.
    fn member_ready(&mut self, member: &Member, resumed: bool, now: Instant) {
        if resumed {
            self.distrusted.remove(&Some(member.node.clone()));
            self.late_invalidations.remove(&member.node);
        } else {
            self.trust_again(&Some(member.node.clone()), now);
        }
    }

    fn member_lost(&mut self, member: &Member, now: Instant) {
        self.members.remove(member);
        if member.node == self.me.node || self.settings.cut_off != CutOff::Degrade {
            return;
        }
        // Its writes in flight are of unknown outcome.
        self.late_invalidations.insert(member.node.clone(), now + self.settings.unknown_write_window);
        if self.rules.obeyed(Rule::LostIsDistrusted) {
            self.distrust(Some(member.node.clone()), now + self.settings.distrust());
        }
    }

    fn is_own_life(&self, life: u32) -> bool {
        life.wrapping_sub(self.first_life) <= self.me.life.wrapping_sub(self.first_life)
    }

    fn trust_again(&mut self, node: &Option<Box<str>>, now: Instant) {
        if self.distrusted.remove(node).is_some() && self.rules.obeyed(Rule::VoidAfterDistrust) {
            self.invalidate_everything(now);
        }
    }

    /// Does what is due. To be called a few times a second.
    pub(super) fn tick(&mut self, now: Instant) {
        let over: Vec<_> = self
            .distrusted
            .iter()
            .filter(|(_, until)| **until <= now)
            .map(|(node, _)| node.clone())
            .collect();
        over.iter().for_each(|node| self.trust_again(node, now));
        let waiting = self.late_invalidations.len();
        self.late_invalidations.retain(|_, due| *due > now);
        if self.late_invalidations.len() < waiting {
            self.invalidate_everything(now);
        }
        self.show(now);
    }

    fn invalidate_everything(&self, now: Instant) {
        self.replica.apply(&Report::Changed(Changed::Everything), now);
        self.stats.invalidated_everything();
    }

    pub(super) fn has_lease(&self, now: Instant) -> bool {
        self.is_member && self.lease_until.is_some_and(|until| now < until)
    }

    /// Lets the cache know how long it may serve, and the log how the node stands.
    fn show(&mut self, now: Instant) {
        let standing = match (self.has_lease(now), self.distrusted.len()) {
            (true, 0) => Standing::Fresh,
            (true, nodes) => Standing::Distrusting(nodes),
            (false, _) if self.position.is_none() => Standing::Outside,
            (false, _) => Standing::Stale,
        };
        match (&standing, self.lease_until) {
            (Standing::Fresh, Some(until)) => {
                self.replica.renew_lease(until);
                self.shown_until = Some(until);
            }
            // Once, and not at all if it has ended by itself: what was read since then is young.
            _ => {
                if self.shown_until.take().is_some_and(|until| now < until) {
                    self.replica.end_lease(now);
                }
            }
        }
        if self.standing != standing {
            let (was_fresh, is_fresh) = (self.standing == Standing::Fresh, standing == Standing::Fresh);
            if was_fresh {
                self.stale_since = now;
            } else if is_fresh {
                self.stats.was_stale(now.saturating_duration_since(self.stale_since));
            }
            self.log_standing(&standing, now);
            self.standing = standing;
        }
    }

    fn log_standing(&self, standing: &Standing, now: Instant) {
        let (node, members) = (&*self.me.node, self.members.len());
        match standing {
            Standing::Fresh => {
                let stale_ms = now.saturating_duration_since(self.stale_since).as_millis() as u64;
                tracing::info!(
                    node,
                    members,
                    stale_ms,
                    "The fleet's lease is valid: what is cached is served."
                );
            }
            Standing::Stale if self.standing == Standing::Outside => {
                tracing::info!(node, members, "Joined the fleet.");
            }
            Standing::Stale => tracing::warn!(
                node,
                "The fleet's lease has ended: the bus has not answered in time. Reads are strongly consistent until it does."
            ),
            Standing::Outside => tracing::warn!(
                node,
                "The node has left the fleet's log, and joins again. Everything cached is invalidated then."
            ),
            Standing::Distrusting(1) if self.distrusted.contains_key(&None) => tracing::info!(
                node,
                "The bus is new, and nodes of a former one may still write: only what was just read is served for a while."
            ),
            Standing::Distrusting(nodes) => tracing::warn!(
                node,
                nodes,
                "Nodes are missing that may still write: only what was just read is served until they are back."
            ),
        }
    }

    /// Whether a write may be sent now.
    pub(super) fn admits_writes(&self, now: Instant) -> bool {
        self.settings.cut_off != CutOff::Refuse || self.has_lease(now)
    }

    /// Whether a write that began to wait then, and has no receipt, may be acknowledged all the same.
    pub(super) fn decide(&self, waiting_since: Instant, now: Instant) -> Decision {
        if !self.rules.obeyed(Rule::AwaitReceipt) {
            return Decision::Acknowledge(Acknowledged::Heard);
        }
        match self.settings.cut_off {
            CutOff::Refuse => Decision::WaitUntil(waiting_since + self.settings.ack_timeout),
            CutOff::Accept => match self.lease_until.filter(|until| self.is_member && now < *until) {
                Some(until) => Decision::WaitUntil(until),
                None => Decision::Acknowledge(Acknowledged::Unheard),
            },
            CutOff::Degrade => self.decide_cut_off(now),
        }
    }

    fn decide_cut_off(&self, now: Instant) -> Decision {
        let silent_since = self.answers.map_or(self.began, |answers| answers.answered);
        let known = silent_since + self.settings.silence_known();
        if now < known {
            return Decision::WaitUntil(known);
        }
        // The last question that was answered extended the membership only from the answer to the one before.
        let is_covered =
            self.answers.is_some_and(|answers| now < answers.asked_before + self.settings.distrusted_least());
        match is_covered || !self.rules.obeyed(Rule::CutOffStops) {
            true => Decision::Acknowledge(Acknowledged::Covered),
            false => Decision::Acknowledge(Acknowledged::Unheard),
        }
    }

    /// Up to where all other members have applied the log, as far as this node knows.
    pub(super) fn confirmed(&self) -> Option<Position> {
        match self.rules.obeyed(Rule::AwaitMembers) {
            true => self.confirmed,
            false => self.position.map(|position| Position { number: u64::MAX, ..position }),
        }
    }

    pub(super) fn standing(&self) -> &Standing {
        &self.standing
    }

    pub(super) fn members(&self) -> &BTreeSet<Member> {
        &self.members
    }

    pub(super) fn me(&self) -> &Member {
        &self.me
    }

    /// The member, if the node is one.
    pub(super) fn leaving(&self) -> Option<Member> {
        self.is_member.then(|| self.me.clone())
    }

    pub(super) fn distrusted(&self) -> impl Iterator<Item = (Option<&str>, Instant)> {
        self.distrusted.iter().map(|(node, until)| (node.as_deref(), *until))
    }

    pub(super) fn position(&self) -> Option<Position> {
        self.position
    }

    pub(super) fn lease_left(&self, now: Instant) -> Duration {
        let until = self.lease_until.filter(|_| self.is_member);
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }
}
