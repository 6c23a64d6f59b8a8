//! Nodes and their bus: heartbeats, memberships, the log, and what becomes of them when the server or a node is another one.

use crate::model::Fleet;
use crate::rules::Rule;
use crate::state::{Beat, Entry, Heartbeat, Phase, State};

impl Fleet {
    /// A node sends a heartbeat.
    pub(crate) fn send_beat(&self, s: &mut State, i: usize) {
        let n = &mut s.nodes[i];
        let position = if self.obeys(Rule::AckAfterApply) { n.position } else { s.log.len() as u8 };
        n.beat = Some(Heartbeat { stage: Beat::Request, sent: n.clock, last_time: n.last_time, position });
    }

    /// The server's part of a heartbeat.
    pub(crate) fn execute_beat(&self, s: &mut State, i: usize) {
        if self.obeys(Rule::HeartbeatReaps) {
            reap(s);
        }
        let beat = s.nodes[i].beat.clone().expect("a heartbeat");
        let life = s.nodes[i].life;
        let time = s.time;
        let member = match &mut s.members[i] {
            Some((of, end)) if *of == life => {
                let from = if self.obeys(Rule::ExtendFromLastAnswer) { beat.last_time } else { time };
                *end = (*end).max(from + self.0.member[i]);
                s.reported[i] = s.reported[i].max(beat.position);
                true
            }
            _ => false,
        };
        let end = s.log.len() as u8;
        s.nodes[i].beat = Some(Heartbeat { stage: Beat::Answer { end, time, member }, ..beat });
    }

    /// The answer to a heartbeat arrives: the lease is renewed, or the membership is gone.
    pub(crate) fn hear_beat(&self, s: &mut State, i: usize) -> Option<()> {
        let p = &self.0;
        let n = &mut s.nodes[i];
        let beat = n.beat.take().expect("a heartbeat");
        let Beat::Answer { time, member, .. } = beat.stage else { return None };
        if !member {
            n.member = false;
            n.lease = n.lease.min(n.clock);
            return Some(());
        }
        let from = if self.obeys(Rule::LeaseFromSend) { beat.sent } else { n.clock };
        let mut lease = from + self.lease_length();
        if p.strict && self.obeys(Rule::LeaseWithinMembership) {
            lease = lease.min(n.asked + p.member[i] - p.margin);
        }
        n.lease = n.lease.max(lease);
        n.last_time = time;
        n.answered = n.clock;
        n.asked_before = n.asked;
        n.asked = beat.sent;
        Some(())
    }

    /// A heartbeat is stuck in the network.
    pub(crate) fn delay_beat(&self, s: &mut State, i: usize) {
        let n = &mut s.nodes[i];
        let last_time = n.beat.take().map_or(n.last_time, |beat| beat.last_time);
        s.late_heartbeat = Some((i as u8, n.life, last_time));
        s.delays -= 1;
    }

    /// The heartbeat that was stuck arrives at the server.
    pub(crate) fn execute_late_beat(&self, s: &mut State) {
        let p = &self.0;
        let (i, life, last_time) = s.late_heartbeat.take().expect("one");
        let time = s.time;
        if let Some((of, end)) = &mut s.members[i as usize]
            && *of == life
            && *end > time
        {
            let from = if self.obeys(Rule::ExtendFromLastAnswer) { last_time } else { time };
            *end = (*end).max(from + p.member[i as usize]);
        }
    }

    /// A node joins, or joins again.
    pub(crate) fn join(&self, s: &mut State, i: usize) {
        let p = &self.0;
        let resumed = !s.nodes[i].is_new;
        let publishes = s.nodes[i].unpublished;
        self.admit(s, i, publishes);
        let time = s.time;
        let other = 1 - i;
        let was_lost = s.lost_at[other].is_some_and(|at| time < at + p.grace);
        let is_young = s.generation_since > 0
            && s.members[other].is_none()
            && time < s.generation_since + p.member[other] + p.grace;
        let n = &mut s.nodes[i];
        if p.unreceipted {
            if was_lost && self.obeys(Rule::JoinLearnsLost) {
                n.distrust_until = n.distrust_until.max(n.clock + p.grace);
            }
            if is_young && self.obeys(Rule::NewServerIsDistrusted) {
                n.distrust_until = n.distrust_until.max(n.clock + p.member[other] + p.grace);
            }
        }
        n.unready = p.unreceipted.then_some(resumed);
        n.member = true;
        n.last_time = time;
        n.answered = n.clock;
        n.asked = n.clock;
        n.asked_before = n.clock;
        if n.is_new && self.obeys(Rule::FirstJoinVoids) {
            self.void(n);
        }
        n.is_new = false;
        s.reported[i] = n.position;
    }

    /// The server's part of a join, which may have been sent before the last write. Until the member says that it knows, it counts as
    /// lost.
    pub(crate) fn admit(&self, s: &mut State, i: usize, publishes: bool) {
        let resumed = !s.nodes[i].is_new;
        s.joins -= 1;
        if self.obeys(Rule::JoinReaps) {
            reap(s);
        }
        s.nodes[i].life += 1;
        s.members[i] = Some((s.nodes[i].life, s.time + self.0.member[i]));
        s.lost_at[i] = Some(s.time);
        if !self.obeys(Rule::ReadyEndsDistrust) {
            self.say_ready(s, i, publishes, resumed);
        }
    }

    fn say_ready(&self, s: &mut State, i: usize, publishes: bool, resumed: bool) {
        if publishes && self.obeys(Rule::ReadyPublishes) {
            let version = s.commits.len() as u8 - 1;
            s.log.push(Entry::Invalidation { by: i as u8, version });
        }
        s.log.push(Entry::Ready { who: i as u8, resumed });
        s.lost_at[i] = None;
    }

    /// A node that has joined sends word that it knows, with what it has not published.
    pub(crate) fn send_readiness(s: &mut State, i: usize) {
        let n = &mut s.nodes[i];
        n.readiness = Some((n.life, n.unpublished));
    }

    /// The server's part of it, and the answer.
    pub(crate) fn execute_readiness(&self, s: &mut State, i: usize) {
        let (life, publishes) = s.nodes[i].readiness.take().expect("sent");
        reap(s);
        if s.members[i].is_none_or(|(of, _)| of != life) {
            if s.nodes[i].life == life {
                s.nodes[i].member = false;
            }
            return;
        }
        let Some(resumed) = s.nodes[i].unready.take() else { return };
        self.say_ready(s, i, publishes, resumed);
        s.nodes[i].unpublished &= !publishes;
    }

    /// A member publishes what it has acknowledged without a receipt.
    pub(crate) fn publish_pending(&self, s: &mut State, i: usize) {
        let version = s.commits.len() as u8 - 1;
        s.log.push(Entry::Invalidation { by: i as u8, version });
        s.nodes[i].unpublished = false;
    }

    pub(crate) fn apply(&self, s: &mut State, i: usize) {
        let n = &mut s.nodes[i];
        if n.position < s.trimmed {
            if self.obeys(Rule::GapVoids) {
                self.void(n);
                n.last_invalidation = 0;
                n.floor_position = s.log.len() as u8;
            }
            n.position = s.log.len() as u8;
            return;
        }
        let entry = s.log[n.position as usize];
        n.position += 1;
        match entry {
            Entry::Invalidation { by, version } if by as usize != i || !self.obeys(Rule::SkipOwn) => {
                if self.obeys(Rule::TouchOnInvalidation) {
                    self.touch(n);
                }
                if self.obeys(Rule::BumpOnInvalidation) {
                    n.word += 1;
                }
                n.held = n.held && n.write.is_some();
                n.known = n.known.max(version);
                n.last_invalidation = n.position;
            }
            Entry::Hold { by } if by as usize != i => {
                self.void(n);
                n.held = true;
            }
            Entry::Lost { who } if who as usize != i => {
                if self.obeys(Rule::LostIsDistrusted) {
                    n.distrust_until = n.clock + self.0.grace;
                }
            }
            Entry::Ready { who, resumed } if who as usize != i && n.distrust_until != 0 => {
                if !resumed && self.obeys(Rule::OtherProcessVoids) {
                    self.void(n);
                }
                n.distrust_until = 0;
            }
            _ => {}
        }
    }

    /// The time is over for which a lost member is distrusted.
    pub(crate) fn end_distrust(&self, s: &mut State, i: usize) {
        let n = &mut s.nodes[i];
        if self.obeys(Rule::VoidAfterDistrust) {
            self.void(n);
        }
        n.distrust_until = 0;
    }

    /// The process of a node is killed and started again.
    pub(crate) fn restart(&self, s: &mut State, i: usize) {
        s.restarts -= 1;
        let end = s.log.len() as u8;
        let generation = s.generation;
        let n = &mut s.nodes[i];
        n.life += 1;
        n.word += 1;
        n.entry = None;
        n.fills.clear();
        n.held = false;
        n.touched_until = 0; // strong without a lease in any case; joining touches
        n.position = end;
        n.generation = generation;
        n.lease = 0;
        n.beat = None;
        n.member = false;
        n.is_new = true;
        n.distrust_until = 0;
        (n.unpublished, n.unready, n.readiness) = (false, None, None);
        n.write = None;
        n.writes_left = 0;
        n.known = 0;
        n.last_invalidation = 0; // unknown: the floor stands for it
        n.floor_position = end;
    }

    /// Another server takes over, without the members and without the last entries.
    pub(crate) fn fail_over(&self, s: &mut State, lost: u8) {
        s.failovers -= 1;
        s.generation += 1;
        s.generation_since = s.time.max(1);
        s.log.truncate(s.log.len() - lost as usize);
        s.trimmed = s.trimmed.min(s.log.len() as u8);
        s.members = [None; 2];
        s.lost_at = [None; 2];
        s.reported = [0; 2];
        s.publications.clear();
        s.late_heartbeat = None;
        for n in &mut s.nodes {
            (n.beat, n.readiness) = (None, None);
            if let Some(write) = &mut n.write
                && matches!(write.phase, Phase::Receipt(_) | Phase::Waiting(_))
            {
                write.phase = Phase::Publishing;
            }
        }
    }

    /// A node finds that the server is another one.
    pub(crate) fn reconnect(&self, s: &mut State, i: usize) {
        let p = &self.0;
        let end = s.log.len() as u8;
        let generation = s.generation;
        let n = &mut s.nodes[i];
        n.generation = generation;
        n.member = false;
        n.is_new = true;
        if self.obeys(Rule::NewServerVoids) {
            self.void(n);
            n.lease = n.lease.min(n.clock);
            n.last_invalidation = 0;
            n.floor_position = end;
        } else {
            n.member = true; // goes on as if nothing had happened
        }
        n.position = if self.obeys(Rule::NewServerVoids) { end } else { n.position.min(end) };
        if n.member {
            s.members[i] = Some((n.life, s.time + p.member[i]));
            n.last_time = s.time;
        }
    }
}

/// Removes every member whose time is over, and says so in the log.
fn reap(s: &mut State) {
    for who in 0..2 {
        if s.members[who].is_some_and(|(_, end)| end <= s.time) {
            s.members[who] = None;
            s.lost_at[who] = Some(s.time);
            s.log.push(Entry::Lost { who: who as u8 });
        }
    }
}
