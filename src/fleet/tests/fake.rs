//! A bus in memory that can lose, delay, repeat, truncate and swap servers. It does what the scripts of the real one do, in their
//! order.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::fleet::bus::*;
use crate::fleet::rules::{Rule, Rules};

/// The server, whichever is there now.
pub(super) struct Server {
    pub(super) membership: Duration,
    pub(super) losses_kept: Duration,
    pub(super) rules: Rules,
    /// How fast its clock is.
    pub(super) rate: f64,
    began: Instant,
    run: RunId,
    runs: u32,
    /// Not even a connection is made.
    pub(super) is_down: bool,
    /// It answers nobody until then.
    pub(super) stopped_until: Instant,
    /// Told of each entry.
    appended: Arc<Notify>,
    data: Data,
}

/// What the server stores, and a restart may lose.
#[derive(Clone, Default)]
struct Data {
    run: Option<RunId>,
    since_ms: u64,
    settings: String,
    epoch: u64,
    /// `None` if the log's key is not there.
    log: Option<VecDeque<(Position, Entry)>>,
    last: u64,
    members: BTreeMap<Member, u64>,
    applied: BTreeMap<Member, u64>,
    lost: BTreeMap<Member, u64>,
    words: BTreeMap<Member, String>,
}

impl Server {
    pub(super) fn new(membership: Duration, losses_kept: Duration, rules: Rules) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            membership,
            losses_kept,
            rules,
            rate: 1.0,
            began: Instant::now(),
            run: RunId("run 0".into()),
            runs: 0,
            is_down: false,
            stopped_until: Instant::now(),
            appended: Arc::default(),
            data: Data::default(),
        }))
    }

    /// Another process, with what a replica has that lacks the last entries, or with nothing.
    pub(super) fn replace(&mut self, lost_entries: Option<usize>) {
        self.runs += 1;
        self.run = RunId(format!("run {}", self.runs).into());
        match (lost_entries, &mut self.data.log) {
            (Some(lost), Some(log)) => {
                let kept = log.len().saturating_sub(lost).max(1);
                log.truncate(kept);
                self.data.last = log.back().map_or(0, |(at, _)| at.number);
            }
            _ => self.data = Data::default(),
        }
    }

    pub(super) fn forget_everything(&mut self) {
        self.data = Data::default();
    }

    pub(super) fn delete_log(&mut self) {
        self.data.log = None;
    }

    /// Keeps this many entries.
    pub(super) fn trim(&mut self, kept: usize) {
        if let Some(log) = &mut self.data.log {
            log.drain(..log.len().saturating_sub(kept));
        }
    }

    fn time_ms(&self) -> u64 {
        1_000_000 + (self.began.elapsed().as_secs_f64() * 1000.0 * self.rate) as u64
    }

    fn begin_epoch(&mut self) {
        self.data.epoch = self.time_ms().max(self.data.epoch + 1);
        self.data.last = 0;
        let begin = (Position { epoch: self.data.epoch, number: 0 }, Entry::Begun);
        self.data.log = Some(VecDeque::from([begin]));
        self.data.applied = self.data.members.keys().map(|member| (member.clone(), 0)).collect();
    }

    fn check_epoch(&mut self) {
        if self.data.epoch == 0 || self.data.log.is_none() {
            self.begin_epoch();
        }
    }

    fn append(&mut self, entry: Entry) -> Position {
        self.check_epoch();
        self.data.last += 1;
        let position = self.end();
        self.data.log.as_mut().expect("there is a log").push_back((position, entry));
        self.appended.notify_waiters();
        position
    }

    fn end(&self) -> Position {
        Position { epoch: self.data.epoch, number: self.data.last }
    }

    fn reap(&mut self, now_ms: u64) {
        let over: Vec<_> = self
            .data
            .members
            .iter()
            .filter(|(_, end)| **end <= now_ms)
            .map(|(member, _)| member.clone())
            .collect();
        for member in &over {
            self.data.members.remove(member);
            self.data.applied.remove(member);
        }
        for member in over {
            if self.data.members.keys().any(|other| other.node == member.node) {
                self.append(Entry::Left(member));
            } else {
                self.append(Entry::Lost(member.clone()));
                self.data.lost.insert(member, now_ms);
            }
        }
    }

    fn check_run(&self, run: &RunId) -> Result<(), BusError> {
        match self.data.run.as_ref() == Some(run) {
            true => Ok(()),
            false => Err(BusError::OtherServer),
        }
    }

    fn beat(&mut self, run: &RunId, beat: &Beat<'_>) -> Result<Pulse, BusError> {
        self.check_run(run)?;
        let now_ms = self.time_ms();
        self.check_epoch();
        if self.rules.obeyed(Rule::HeartbeatReaps) {
            self.reap(now_ms);
        }
        let extended = beat.last_time_ms + self.membership.as_millis() as u64;
        let is_member = match self.data.members.get_mut(beat.member) {
            Some(end) => {
                *end = extended.max(*end);
                true
            }
            None => false,
        };
        if is_member && beat.applied.epoch == self.data.epoch {
            self.data.applied.insert(beat.member.clone(), beat.applied.number);
        }
        let others = self.data.applied.iter().filter(|(member, _)| *member != beat.member);
        let lowest = others.map(|(_, number)| Position { epoch: self.data.epoch, number: *number }).min();
        Ok(Pulse { end: self.end(), time_ms: now_ms, is_member, others_applied: lowest })
    }

    fn join(&mut self, run: &RunId, join: &Join<'_>) -> Joined {
        let now_ms = self.time_ms();
        if self.check_run(run).is_err() {
            if !join.may_found {
                return Joined::OtherSettings(String::new());
            }
            self.data.members.clear();
            self.data.lost.clear();
            self.begin_epoch();
            self.data.run = Some(run.clone());
            self.data.since_ms = now_ms;
            self.data.settings = join.settings.to_owned();
        } else {
            self.check_epoch();
            self.reap(now_ms);
            if self.data.settings != join.settings {
                if !self.data.members.is_empty() {
                    return Joined::OtherSettings(self.data.settings.clone());
                } else if !join.may_found {
                    return Joined::OtherSettings(String::new());
                }
                self.data.settings = join.settings.to_owned();
            }
        }
        let members = self.data.members.keys().cloned().collect();
        let kept_ms = self.losses_kept.as_millis() as u64;
        self.data.lost.retain(|_, at| *at + kept_ms >= now_ms);
        let lost = self.data.lost.iter().map(|(member, at)| (member.clone(), *at)).collect();
        self.data.lost.insert(join.member.clone(), now_ms);
        let end = self.append(Entry::Joined(join.member.clone()));
        self.data.members.insert(join.member.clone(), now_ms + self.membership.as_millis() as u64);
        let applied = join.applied.filter(|applied| applied.epoch == end.epoch).unwrap_or(end);
        self.data.applied.insert(join.member.clone(), applied.number);
        Joined::Welcome(Welcome { end, time_ms: now_ms, since_ms: self.data.since_ms, members, lost })
    }

    fn ready(&mut self, run: &RunId, ready: &Ready<'_>) -> Result<Option<Position>, BusError> {
        self.check_run(run)?;
        self.check_epoch();
        self.reap(self.time_ms());
        if !self.data.members.contains_key(ready.member) {
            return Ok(None);
        }
        if !ready.pending.is_empty() {
            self.append(Entry::Reports(Bytes::copy_from_slice(ready.pending)));
        }
        self.data.lost.retain(|lost, _| lost.node != ready.member.node);
        Ok(Some(self.append(Entry::Ready(ready.member.clone(), ready.resumed))))
    }

    fn introduce(
        &mut self,
        run: &RunId,
        member: &Member,
        words: &str,
    ) -> Result<Vec<(Member, String)>, BusError> {
        self.check_run(run)?;
        let now_ms = self.time_ms();
        let Data { members, words: said, .. } = &mut self.data;
        said.insert(member.clone(), words.to_owned());
        said.retain(|of, _| members.contains_key(of));
        let present = said.iter().filter(|(of, _)| members[*of] > now_ms);
        Ok(present.map(|(of, words)| (of.clone(), words.clone())).collect())
    }

    fn leave(&mut self, run: &RunId, member: &Member) -> Result<(), BusError> {
        self.check_run(run)?;
        if self.data.members.remove(member).is_some() {
            self.data.applied.remove(member);
            self.append(Entry::Left(member.clone()));
        }
        Ok(())
    }

    fn after(&self, position: Position) -> Vec<(Position, Entry)> {
        let Some(log) = &self.data.log else { return Vec::new() };
        let first = log.partition_point(|(at, _)| *at <= position);
        log.range(first..log.len().min(first + 64)).cloned().collect()
    }

    fn has_after(&self, position: Position) -> bool {
        self.data.log.as_ref().and_then(VecDeque::back).is_some_and(|(at, _)| *at > position)
    }
}

/// What happens between one node and the server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weather {
    /// Calls reach nobody, and connections are not made.
    pub(super) is_cut: bool,
    /// Only calls that publish or report reach nobody.
    pub(super) is_writing_cut: bool,
    /// Only reading reaches nobody.
    pub(super) is_reading_cut: bool,
    /// The longest delay of a question, and of its answer.
    pub(super) delay_ms_max: u64,
    /// One in this many answers is lost, if it is not 0.
    pub(super) loses_one_in: u32,
    /// One in this many publications is carried out twice, if it is not 0.
    pub(super) repeats_one_in: u32,
    /// Heartbeats are carried out so much later, and nobody hears of it.
    pub(super) holds_beats_ms: u64,
}

/// The way of one node to the server.
#[derive(Clone)]
pub(super) struct FakeBus {
    pub(super) server: Arc<Mutex<Server>>,
    pub(super) weather: Arc<Mutex<Weather>>,
}

pub(super) struct FakeLink {
    bus: FakeBus,
    run: RunId,
}

fn lost() -> BusError {
    BusError::Unreachable("lost".to_owned())
}

/// How long a call waits in vain.
const CALL_TIMEOUT: Duration = Duration::from_millis(600);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Reading,
    Writing,
}

impl FakeBus {
    fn now(&self) -> Weather {
        *self.weather.lock().unwrap()
    }

    fn appended(&self) -> Arc<Notify> {
        Arc::clone(&self.server.lock().unwrap().appended)
    }

    async fn travel(&self) {
        let delay = Duration::from_micros(fastrand::u64(50..=200 + 1000 * self.now().delay_ms_max));
        tokio::time::sleep(delay).await;
    }

    fn is_cut(&self, way: Way) -> bool {
        let weather = self.now();
        weather.is_cut
            || (way == Way::Reading && weather.is_reading_cut)
            || (way == Way::Writing && weather.is_writing_cut)
    }

    /// Waits until the server answers anybody.
    async fn wake(&self) {
        let until = self.server.lock().unwrap().stopped_until;
        tokio::time::sleep_until(until).await;
    }
}

impl FakeLink {
    /// Carries a call there, has it carried out, and brings the answer back, as the weather allows.
    async fn call<T>(&self, way: Way, carry_out: impl FnOnce(&mut Server) -> T) -> Result<T, BusError> {
        self.bus.travel().await;
        if self.bus.is_cut(way) {
            tokio::time::sleep(CALL_TIMEOUT).await;
            return Err(lost());
        }
        if tokio::time::timeout(CALL_TIMEOUT, self.bus.wake()).await.is_err() {
            // The server finds it when it is woken.
            self.bus.wake().await;
            self.on_server(carry_out).ok();
            // The node gave up long ago, and comes again when its pause is over.
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..2_000))).await;
            return Err(lost());
        }
        let answer = self.on_server(carry_out)?;
        self.bus.travel().await;
        let loses = self.bus.now().loses_one_in;
        if self.bus.is_cut(way) || (loses > 0 && fastrand::u32(0..loses) == 0) {
            tokio::time::sleep(CALL_TIMEOUT).await;
            return Err(lost());
        }
        Ok(answer)
    }

    fn on_server<T>(&self, carry_out: impl FnOnce(&mut Server) -> T) -> Result<T, BusError> {
        let mut server = self.bus.server.lock().unwrap();
        match server.run == self.run && !server.is_down {
            true => Ok(carry_out(&mut server)),
            false => Err(lost()),
        }
    }
}

impl Bus for FakeBus {
    type Link = FakeLink;

    async fn connect(&self) -> Result<FakeLink, BusError> {
        self.travel().await;
        let is_cut = self.now().is_cut;
        if is_cut || tokio::time::timeout(CALL_TIMEOUT, self.wake()).await.is_err() {
            tokio::time::sleep(CALL_TIMEOUT).await;
            return Err(lost());
        }
        let server = self.server.lock().unwrap();
        match server.is_down {
            true => Err(lost()),
            false => Ok(FakeLink { bus: self.clone(), run: server.run.clone() }),
        }
    }
}

impl Link for FakeLink {
    fn run(&self) -> &RunId {
        &self.run
    }

    async fn read(&mut self, after: Position, wait: Duration) -> Result<Vec<(Position, Entry)>, BusError> {
        let deadline = Instant::now() + wait;
        loop {
            let appended = self.bus.appended();
            let mut appended = std::pin::pin!(appended.notified());
            appended.as_mut().enable();
            let found = self.on_server(|server| server.has_after(after))?;
            if found || tokio::time::timeout_at(deadline, appended).await.is_err() {
                return self.call(Way::Reading, |server| server.after(after)).await;
            }
        }
    }

    async fn publish(&mut self, reports: &[u8]) -> Result<Position, BusError> {
        let repeats = self.bus.now().repeats_one_in;
        let times = if repeats > 0 && fastrand::u32(0..repeats) == 0 { 2 } else { 1 };
        let publish = |server: &mut Server| {
            server.check_run(&self.run)?;
            let positions =
                (0..times).map(|_| server.append(Entry::Reports(Bytes::copy_from_slice(reports))));
            Ok(positions.last().expect("it is at least once"))
        };
        self.call(Way::Writing, publish).await?
    }

    async fn beat(&mut self, beat: &Beat<'_>) -> Result<Pulse, BusError> {
        let held_ms = self.bus.now().holds_beats_ms;
        if held_ms > 0 {
            let (bus, run, member) = (self.bus.clone(), self.run.clone(), beat.member.clone());
            let (last_time_ms, applied) = (beat.last_time_ms, beat.applied);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(held_ms)).await;
                let beat = Beat { member: &member, last_time_ms, applied };
                let mut server = bus.server.lock().unwrap();
                if server.run == run {
                    server.beat(&run, &beat).ok();
                }
            });
            tokio::time::sleep(CALL_TIMEOUT).await;
            return Err(lost());
        }
        self.call(Way::Writing, |server| server.beat(&self.run, beat)).await?
    }

    async fn join(&mut self, join: &Join<'_>) -> Result<Joined, BusError> {
        self.call(Way::Writing, |server| server.join(&self.run, join)).await
    }

    async fn ready(&mut self, ready: &Ready<'_>) -> Result<Option<Position>, BusError> {
        self.call(Way::Writing, |server| server.ready(&self.run, ready)).await?
    }

    async fn introduce(&mut self, member: &Member, words: &str) -> Result<Vec<(Member, String)>, BusError> {
        self.call(Way::Writing, |server| server.introduce(&self.run, member, words)).await?
    }

    async fn leave(&mut self, member: &Member) -> Result<(), BusError> {
        self.call(Way::Writing, |server| server.leave(&self.run, member)).await?
    }
}
