//! Two nodes, one key, one bus, one database with replicas that lag.
//!
//! The bus is a log on a server that may be replaced (and then lacks its tail and its members). Nodes pull from it. All that is
//! in flight (publications, heartbeats, answers) may be lost, repeated, or arrive late and in any order. Clocks tick together,
//! but a node's may miss one tick. Values are numbers of versions, in the order of their commits.

use stateright::{Model, Property};

use crate::rules::{Params, Rule};
use crate::state::{Beat, Node, Phase, State};

/// What can happen next. The first number is the node's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// Time passes by one tick; by how much each clock is wrong in it.
    Tick([i8; 2]),
    /// A reader comes to a node.
    Read(u8),
    /// ... and the node looks into the second level, where it finds that entry.
    ReadSecondLevel(u8, u8),
    /// The database, or a replica that lags, answers a fill with that version.
    FillRead(u8, u8, u8),
    /// The answer arrives.
    FillLands(u8, u8),
    /// A writer comes to a node.
    WriteBegins(u8),
    /// The database takes the write.
    Commit(u8),
    /// The database's answer arrives at the node.
    Verdict(u8),
    /// The publication of that number arrives at the server.
    Publish(u8),
    /// It never arrives.
    LosePublication(u8),
    /// The node publishes, for the second time or after a loss.
    PublishAgain(u8),
    /// The server's receipt arrives at the node.
    ReceiptArrives(u8),
    /// The node learns that all members applied what its write waits for.
    MembersKnow(u8),
    /// The node answers a write without a receipt, because it is cut off.
    AnswerUnreceipted(u8),
    /// A heartbeat is sent.
    BeatSent(u8),
    /// It arrives at the server.
    BeatExecutes(u8),
    /// Its answer arrives at the node.
    BeatAnswers(u8),
    /// It, or its answer, is lost.
    BeatLost(u8),
    /// It is stuck in the network.
    BeatDelayed(u8),
    /// The one that was stuck arrives at the server.
    LateBeatExecutes,
    /// A node joins.
    Join(u8),
    /// The server lets a node join that never hears of it.
    JoinUnheard(u8),
    /// A node sends word that it knows of its membership.
    ReadinessSent(u8),
    /// It arrives at the server, and the answer at the node.
    ReadinessExecutes(u8),
    /// A node publishes what it has acknowledged without a receipt.
    PublishPending(u8),
    /// A node applies the next entry of the log.
    Apply(u8),
    /// A node trusts a lost member again.
    DistrustEnds(u8),
    /// The process of a node is killed and started again.
    Restart(u8),
    /// Another server takes over, without that many of the last entries.
    Failover(u8),
    /// A node finds that the server is another one.
    Reconnect(u8),
    /// The server drops everything from the log.
    Trim,
}

/// What must hold in every state.
pub(crate) const PROPERTIES: [&str; 2] = ["nothing older than promised", "nothing stale stored"];

/// What must hold in some state, or the model never did what it is about.
pub(crate) const LIVE: [&str; 2] = ["a hit", "a write is answered"];

/// The model of one configuration.
pub(crate) struct Fleet(pub(crate) Params);

impl Fleet {
    pub(crate) fn obeys(&self, rule: Rule) -> bool {
        self.0.obeys(rule)
    }

    /// What a read that begins now must at least return.
    pub(crate) fn floor(&self, s: &State) -> u8 {
        let due = |at: &Option<u8>| at.is_some_and(|at| self.0.promise == 0 || s.time - at > self.0.promise);
        let newest = s.answered.iter().rposition(due).unwrap_or(0) as u8;
        if self.0.monotone { newest.max(s.seen) } else { newest }
    }

    /// A reader gets that version.
    pub(crate) fn serve(&self, s: &mut State, version: u8, floor: u8, why: &'static str) {
        if version < floor && s.wrong.is_none() {
            s.wrong = Some(why);
        }
        if self.0.monotone {
            s.seen = s.seen.max(version);
        }
    }

    /// An entry that a reader may get shows every write of which the node has applied an invalidation.
    fn stores_nothing_stale(&self, n: &Node) -> bool {
        let Some((word, version, _)) = n.entry else { return true };
        word != n.word || !self.obeys(Rule::ValidateHits) || version >= n.known
    }

    /// Takes the steps that follow by themselves.
    fn hurry(&self, s: State, action: Action) -> State {
        let next = match action {
            Action::WriteBegins(i) => Action::Commit(i),
            Action::Commit(i) => Action::Verdict(i),
            Action::BeatSent(i) => Action::BeatExecutes(i),
            Action::BeatExecutes(i) if !self.0.reads[i as usize] => Action::BeatAnswers(i),
            _ => return s,
        };
        self.next_state(&s, next).unwrap_or(s)
    }

    /// States that differ only in what can no longer matter become one state.
    fn simplify(&self, s: &mut State) {
        let p = &self.0;
        let time = s.time;
        for at in s.commits.iter_mut().skip(1).filter(|at| time - **at >= p.lag) {
            *at = 0;
        }
        for at in s.answered.iter_mut().flatten().filter(|at| p.promise == 0 || time - **at > p.promise) {
            *at = 0;
        }
        if !self.counts_members() {
            s.members = [Some((0, p.member[0])), Some((0, p.member[1]))];
            s.reported = [0; 2];
        }
        for i in 0..2 {
            if p.unreceipted && p.member[i] >= 100 {
                s.members[i] = s.members[i].map(|(life, _)| (life, 100));
            }
            if !p.unreceipted {
                s.lost_at[i] = None;
            }
            if !p.strict {
                s.reported[i] = 0;
            }
            self.simplify_membership(&mut s.nodes[i], i);
            self.simplify_cache(&mut s.nodes[i], i);
        }
    }

    fn counts_members(&self) -> bool {
        self.0.strict || self.0.unreceipted
    }

    fn simplify_membership(&self, n: &mut Node, i: usize) {
        let p = &self.0;
        if !self.counts_members() || (p.unreceipted && p.member[i] >= 100) {
            (n.last_time, n.answered, n.asked, n.asked_before) = (0, 0, 0, 0);
            if let Some(beat) = &mut n.beat {
                beat.last_time = 0;
                if let Beat::Answer { time, .. } = &mut beat.stage {
                    *time = 0;
                }
            }
        }
        if !p.unreceipted {
            n.asked_before = 0;
        } else if n.write.is_none() && n.writes_left == 0 {
            (n.answered, n.asked, n.asked_before) = (0, 0, 0);
        }
        if let Some(beat) = n.beat.as_mut().filter(|_| !p.strict) {
            beat.position = 0;
        }
    }

    fn simplify_cache(&self, n: &mut Node, i: usize) {
        let p = &self.0;
        let (clock, word, age_max) = (n.clock, n.word, self.lease_length());
        if !p.reads[i] {
            (n.lease, n.known, n.distrust_until) = (0, 0, 0);
        }
        for fill in &mut n.fills {
            fill.word = if fill.word == word { 0 } else { 255 };
            fill.sent = fill.sent.max(clock.saturating_sub(age_max));
            if !p.second_level {
                fill.position = 0;
            }
        }
        n.fills.sort_unstable();
        n.entry = n.entry.and_then(|(of, version, sent)| {
            let is_current = of == word;
            let sent = sent.max(clock.saturating_sub(age_max));
            let entry = (if is_current { 0 } else { 255 }, version, sent);
            (is_current || !self.obeys(Rule::ValidateHits)).then_some(entry)
        });
        n.word = 0;
        if n.lease + age_max <= clock {
            n.lease = 0;
        }
        if n.touched_until <= clock || !p.eventual {
            n.touched_until = 0;
        }
        if !p.second_level {
            (n.last_invalidation, n.floor_position) = (0, 0);
        }
    }

    /// What a node's readers and their fills can do next.
    fn read_actions(&self, s: &State, i: u8, out: &mut Vec<Action>) {
        let (p, n) = (&self.0, &s.nodes[i as usize]);
        if p.reads[i as usize] {
            out.push(Action::Read(i));
            if p.second_level && n.fills.len() < p.fills_max && self.hit(n).is_none() && self.is_fresh(n) {
                out.extend((0..s.second_level.len()).map(|k| Action::ReadSecondLevel(i, k as u8)));
            }
        }
        for (f, fill) in n.fills.iter().enumerate() {
            if fill.value.is_some() {
                out.push(Action::FillLands(i, f as u8));
                continue;
            }
            let last = s.commits.len() - 1;
            let is_seen = |version: &usize| {
                *version == last || (!fill.strong && s.time - s.commits[*version + 1] < p.lag)
            };
            out.extend((0..=last).filter(is_seen).map(|version| Action::FillRead(i, f as u8, version as u8)));
        }
    }

    /// What a node's write can do next.
    fn write_actions(&self, s: &State, i: u8, out: &mut Vec<Action>) {
        let (p, n) = (&self.0, &s.nodes[i as usize]);
        let is_connected = n.generation == s.generation;
        let Some(write) = &n.write else {
            if n.writes_left > 0 && (!p.fenced || (is_connected && n.member)) {
                out.push(Action::WriteBegins(i));
            }
            return;
        };
        match write.phase {
            Phase::Fencing(position) | Phase::Waiting(position) => {
                if is_connected && self.members_have(s, i as usize, position) {
                    out.push(Action::MembersKnow(i));
                }
            }
            Phase::Sent => out.push(Action::Commit(i)),
            Phase::Committed => out.push(Action::Verdict(i)),
            Phase::Publishing => {
                if !p.unreceipted && (s.duplicates > 0 || (s.publications.is_empty() && is_connected)) {
                    out.push(Action::PublishAgain(i));
                }
                if self.may_answer_unreceipted(n, i as usize) {
                    out.push(Action::AnswerUnreceipted(i));
                }
            }
            Phase::Receipt(_) => out.push(Action::ReceiptArrives(i)),
        }
    }

    /// What a node's heartbeat can do next.
    fn beat_actions(&self, s: &State, i: u8, out: &mut Vec<Action>) {
        let (p, n) = (&self.0, &s.nodes[i as usize]);
        let Some(beat) = &n.beat else {
            if n.member && self.needs_beat(s, i as usize) {
                out.push(Action::BeatSent(i));
                if p.quick && s.delays > 0 && !p.reads[i as usize] {
                    out.push(Action::BeatDelayed(i));
                }
            }
            if !n.member && s.joins > 0 {
                out.push(Action::Join(i));
                if p.unheard_joins && !p.reads[i as usize] {
                    out.push(Action::JoinUnheard(i));
                }
            }
            return;
        };
        match beat.stage {
            Beat::Request => out.push(Action::BeatExecutes(i)),
            Beat::Answer { end, .. } if n.position >= end || !self.obeys(Rule::LeaseNeedsEnd) => {
                out.push(Action::BeatAnswers(i));
            }
            Beat::Answer { .. } => {}
        }
        if s.drops > 0 {
            out.push(Action::BeatLost(i));
        }
        if s.delays > 0 && beat.stage == Beat::Request && !p.quick {
            out.push(Action::BeatDelayed(i));
        }
    }

    /// What a node that has joined can do next, before it is as a member that was never lost.
    fn readiness_actions(s: &State, i: u8, out: &mut Vec<Action>) {
        let n = &s.nodes[i as usize];
        match n.readiness {
            Some(_) => out.push(Action::ReadinessExecutes(i)),
            None if n.member && n.unready.is_some() => out.push(Action::ReadinessSent(i)),
            None if n.member && n.unpublished => out.push(Action::PublishPending(i)),
            None => {}
        }
    }

    /// True if a heartbeat would change anything now.
    fn needs_beat(&self, s: &State, i: usize) -> bool {
        let (p, n) = (&self.0, &s.nodes[i]);
        let reports = p.strict && n.position > s.reported[i];
        let matters = p.reads[i] || (p.unreceipted && n.last_time < s.time);
        reports || (n.lease < n.clock + self.lease_length() && matters)
    }

    /// What can happen to a node and its log next.
    fn log_actions(&self, s: &State, i: u8, out: &mut Vec<Action>) {
        let (p, n) = (&self.0, &s.nodes[i as usize]);
        let is_connected = n.generation == s.generation;
        if is_connected && (n.position as usize) < s.log.len() {
            out.push(Action::Apply(i));
        }
        if n.distrust_until != 0 && n.clock >= n.distrust_until {
            out.push(Action::DistrustEnds(i));
        }
        if s.restarts > 0 && p.reads[i as usize] != p.writer_restarts {
            out.push(Action::Restart(i));
        }
        if !is_connected {
            out.push(Action::Reconnect(i));
        }
    }

    /// What can happen to the server and in the network next.
    fn server_actions(s: &State, out: &mut Vec<Action>) {
        for k in 0..s.publications.len() as u8 {
            out.push(Action::Publish(k));
            if s.drops > 0 {
                out.push(Action::LosePublication(k));
            }
        }
        if s.late_heartbeat.is_some() {
            out.push(Action::LateBeatExecutes);
        }
        if s.failovers > 0 {
            out.push(Action::Failover(0));
            if !s.log.is_empty() {
                out.push(Action::Failover(1));
            }
        }
        if s.trims > 0 && (s.trimmed as usize) < s.log.len() {
            out.push(Action::Trim);
        }
    }

    /// Takes one step. `None` if it is none after all.
    fn step(&self, s: &mut State, action: Action) -> Option<()> {
        match action {
            Action::Tick(drifts) => tick(s, drifts),
            Action::Read(i) => self.read(s, i as usize)?,
            Action::ReadSecondLevel(i, k) => self.read_second_level(s, i as usize, k as usize)?,
            Action::FillRead(i, f, version) => s.nodes[i as usize].fills[f as usize].value = Some(version),
            Action::FillLands(i, f) => self.land(s, i as usize, f as usize),
            Action::WriteBegins(i) => self.begin_write(s, i as usize),
            Action::Commit(i) => self.commit(s, i as usize),
            Action::Verdict(i) => self.hear_verdict(s, i as usize),
            Action::Publish(k) => self.publish(s, k as usize),
            Action::LosePublication(k) => {
                s.publications.remove(k as usize);
                s.drops -= 1;
            }
            Action::PublishAgain(i) => self.publish_again(s, i as usize),
            Action::ReceiptArrives(i) => self.hear_receipt(s, i as usize)?,
            Action::MembersKnow(i) => self.members_know(s, i as usize),
            Action::AnswerUnreceipted(i) => self.answer_unreceipted(s, i as usize),
            Action::BeatSent(i) => self.send_beat(s, i as usize),
            Action::BeatExecutes(i) => self.execute_beat(s, i as usize),
            Action::BeatAnswers(i) => self.hear_beat(s, i as usize)?,
            Action::BeatLost(i) => {
                s.nodes[i as usize].beat = None;
                s.drops -= 1;
            }
            Action::BeatDelayed(i) => self.delay_beat(s, i as usize),
            Action::LateBeatExecutes => self.execute_late_beat(s),
            Action::Join(i) => self.join(s, i as usize),
            Action::JoinUnheard(i) => self.admit(s, i as usize, false),
            Action::ReadinessSent(i) => Self::send_readiness(s, i as usize),
            Action::ReadinessExecutes(i) => self.execute_readiness(s, i as usize),
            Action::PublishPending(i) => self.publish_pending(s, i as usize),
            Action::Apply(i) => self.apply(s, i as usize),
            Action::DistrustEnds(i) => self.end_distrust(s, i as usize),
            Action::Restart(i) => self.restart(s, i as usize),
            Action::Failover(lost) => self.fail_over(s, lost),
            Action::Reconnect(i) => self.reconnect(s, i as usize),
            Action::Trim => {
                s.trims -= 1;
                s.trimmed = s.log.len() as u8;
            }
        }
        Some(())
    }
}

/// Time passes: both clocks tick, once each unless they are wrong.
fn tick(s: &mut State, drifts: [i8; 2]) {
    s.time += 1;
    for (n, drift) in s.nodes.iter_mut().zip(drifts) {
        n.clock = n.clock.saturating_add_signed(1 + drift);
        if drift != 0 {
            n.drift_left = false;
        }
    }
}

impl Model for Fleet {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::initial(&self.0)]
    }

    fn actions(&self, s: &State, out: &mut Vec<Action>) {
        if s.wrong.is_some() {
            return;
        }
        if s.time < self.0.time_max {
            let [a, b] = s.nodes.each_ref().map(|n| if n.drift_left { &[0, -1][..] } else { &[0][..] });
            out.extend(a.iter().flat_map(|a| b.iter().map(|b| Action::Tick([*a, *b]))));
        }
        for i in 0..2u8 {
            self.read_actions(s, i, out);
            self.write_actions(s, i, out);
            if self.0.heartbeats[i as usize] && s.nodes[i as usize].generation == s.generation {
                self.beat_actions(s, i, out);
                Self::readiness_actions(s, i, out);
            }
            self.log_actions(s, i, out);
        }
        Self::server_actions(s, out);
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut s = before.clone();
        self.step(&mut s, action)?;
        if self.0.quick {
            s = self.hurry(s, action);
        }
        self.simplify(&mut s);
        (s != *before).then_some(s)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(PROPERTIES[0], |_: &Fleet, s: &State| s.wrong.is_none()),
            Property::always(PROPERTIES[1], |m: &Fleet, s: &State| {
                s.nodes.iter().all(|n| m.stores_nothing_stale(n))
            }),
            Property::sometimes(LIVE[0], |m: &Fleet, s: &State| {
                s.nodes.iter().any(|n| m.is_fresh(n) && m.hit(n).is_some_and(|version| version > 0))
            }),
            Property::sometimes(LIVE[1], |_: &Fleet, s: &State| s.answered.iter().any(Option::is_some)),
        ]
    }
}
