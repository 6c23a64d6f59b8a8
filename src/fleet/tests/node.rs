//! One node or two over a bus in memory, one sentence at a time. The simulation next door looks for what nobody thought of.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fake::{FakeBus, Server, Weather};
use crate::cache::{Changed, Report, TableDigest};
use crate::engine::{Acknowledgement, Peers};
use crate::fleet::bus::{Entry, Member, Position, RunId, Welcome};
use crate::fleet::membership::{Asked, Membership};
use crate::fleet::rules::Rules;
use crate::fleet::stats::{Acknowledged, Stats};
use crate::fleet::{Ack, CutOff, Fleet, Replica, Settings};
use crate::telemetry::Metrics;

const LEASE: Duration = Duration::from_secs(1);

/// What a fleet did to its node.
#[derive(Default)]
struct Applied {
    reports: Mutex<Vec<Report>>,
    lease: Mutex<Option<Instant>>,
    /// How often a lease was ended early.
    ends: AtomicU64,
}

impl Applied {
    fn voids(&self) -> usize {
        let everything = Report::Changed(Changed::Everything);
        self.reports.lock().unwrap().iter().filter(|report| **report == everything).count()
    }

    fn has(&self, report: &Report) -> bool {
        self.reports.lock().unwrap().contains(report)
    }

    fn is_fresh(&self) -> bool {
        self.lease.lock().unwrap().is_some_and(|until| Instant::now() < until)
    }
}

impl Replica for Applied {
    fn forget_stops(&self, _: u64) {}

    fn apply(&self, report: &Report, _now: Instant) {
        self.reports.lock().unwrap().push(report.clone());
    }

    fn renew_lease(&self, until: Instant) {
        *self.lease.lock().unwrap() = Some(until);
    }

    fn end_lease(&self, _now: Instant) {
        *self.lease.lock().unwrap() = None;
        self.ends.fetch_add(1, Ordering::Relaxed);
    }
}

struct Node {
    fleet: Arc<Fleet<FakeBus>>,
    applied: Arc<Applied>,
    weather: Arc<Mutex<Weather>>,
    /// For how many milliseconds the machine stood still.
    slept_ms: Arc<AtomicU64>,
    closing: CancellationToken,
    task: JoinHandle<()>,
}

fn settings(name: &str, cut_off: CutOff) -> Settings {
    Settings {
        node: name.into(),
        lease: LEASE,
        ack: Ack::Receipt,
        cut_off,
        silence_grace: Duration::from_secs(5),
        ack_timeout: Duration::from_secs(5),
        clock_step: Duration::from_millis(500),
        unknown_write_window: Duration::from_secs(10),
        common: "lease=1s".to_owned(),
    }
}

fn bus() -> Arc<Mutex<Server>> {
    Server::new(LEASE, Duration::from_secs(10), Rules::default())
}

impl Node {
    fn start(server: &Arc<Mutex<Server>>, settings: Settings) -> Self {
        let (applied, weather) = (Arc::<Applied>::default(), Arc::<Mutex<Weather>>::default());
        let slept_ms = Arc::new(AtomicU64::new(0));
        let slept = Arc::clone(&slept_ms);
        let stopped_ms = move || slept.load(Ordering::Relaxed);
        let bus = FakeBus { server: Arc::clone(server), weather: Arc::clone(&weather) };
        let replica = Arc::clone(&applied) as Arc<dyn Replica>;
        let fleet = Fleet::new(bus, settings, replica, Metrics::new(&[]), Box::new(stopped_ms));
        let closing = CancellationToken::new();
        let task = tokio::spawn(Arc::clone(&fleet).run(closing.clone(), Duration::from_secs(2)));
        Self { fleet, applied, weather, slept_ms, closing, task }
    }

    fn cut(&self, is_cut: bool) {
        self.weather.lock().unwrap().is_cut = is_cut;
    }

    /// How long a write waits, and what its acknowledgement is worth.
    async fn write(&self, number: u64) -> (Duration, Acknowledged) {
        let began = Instant::now();
        let acknowledged = Arc::clone(&self.fleet).acknowledged(vec![table(number)]).await.unwrap();
        (began.elapsed(), acknowledged)
    }
}

fn table(number: u64) -> Report {
    Report::Changed(Changed::Table(TableDigest(number)))
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn a_report_is_applied_elsewhere_and_not_by_its_own_node() {
    let server = bus();
    let (a, b) = (
        Node::start(&server, settings("a", CutOff::Refuse)),
        Node::start(&server, settings("b", CutOff::Refuse)),
    );
    pass(1).await;
    assert!(a.applied.is_fresh() && b.applied.is_fresh());
    assert_eq!(
        (a.applied.voids(), b.applied.voids()),
        (1, 1),
        "a node that joins forgets what it has read before"
    );
    let (waited, acknowledged) = a.write(7).await;
    assert!(waited < Duration::from_millis(50) && acknowledged == Acknowledged::Heard, "{waited:?}");
    pass(1).await;
    assert!(b.applied.has(&table(7)) && !a.applied.has(&table(7)));
}

#[tokio::test(start_paused = true)]
async fn a_short_cut_ends_the_lease_and_invalidates_nothing() {
    let server = bus();
    let node = Node::start(&server, settings("a", CutOff::Refuse));
    pass(1).await;
    node.cut(true);
    pass(3).await;
    assert!(!node.applied.is_fresh() && node.fleet.admit_write().is_err());
    node.cut(false);
    pass(2).await;
    assert!(node.applied.is_fresh() && node.fleet.admit_write().is_ok());
    assert_eq!((node.applied.voids(), node.applied.ends.load(Ordering::Relaxed)), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn another_server_and_an_emptied_one_and_a_trimmed_log_invalidate_everything() {
    let server = bus();
    let (a, b) = (
        Node::start(&server, settings("a", CutOff::Refuse)),
        Node::start(&server, settings("b", CutOff::Refuse)),
    );
    pass(1).await;
    let faults: [fn(&mut Server); 4] = [
        |server| server.replace(None),
        |server| server.replace(Some(1)),
        Server::forget_everything,
        Server::delete_log,
    ];
    for (number, fault) in faults.into_iter().enumerate() {
        fault(&mut server.lock().unwrap());
        pass(5).await;
        assert!(a.applied.is_fresh() && b.applied.is_fresh(), "fault {number}");
        assert_eq!((a.applied.voids(), b.applied.voids()), (number + 2, number + 2), "fault {number}");
    }
    b.weather.lock().unwrap().is_reading_cut = true;
    for number in 0..10 {
        a.write(number).await;
    }
    server.lock().unwrap().trim(2);
    b.weather.lock().unwrap().is_reading_cut = false;
    pass(5).await;
    assert!(b.applied.is_fresh());
    assert_eq!((a.applied.voids(), b.applied.voids()), (5, 6));
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_slept_forgets_everything() {
    let server = bus();
    let node = Node::start(&server, settings("a", CutOff::Refuse));
    pass(1).await;
    node.slept_ms.store(60_000, Ordering::Relaxed);
    pass(1).await;
    assert!(node.applied.is_fresh());
    assert_eq!(node.applied.voids(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_is_distrusted_and_acknowledges_when_the_others_know() {
    let server = bus();
    let (a, b) = (
        Node::start(&server, settings("a", CutOff::Degrade)),
        Node::start(&server, settings("b", CutOff::Degrade)),
    );
    pass(10).await;
    assert!(b.applied.is_fresh());
    a.cut(true);
    let began = Instant::now();
    let (waited, acknowledged) = a.write(1).await;
    assert_eq!(acknowledged, Acknowledged::Covered);
    assert!(waited > Duration::from_secs(2) && waited < Duration::from_millis(2_600), "{waited:?}");
    assert!(!b.applied.is_fresh() && b.fleet.status().standing == "distrusting");
    let (waited, acknowledged) = a.write(2).await;
    assert_eq!((waited, acknowledged), (Duration::ZERO, Acknowledged::Covered), "once for each silence");
    tokio::time::sleep_until(began + Duration::from_secs(9)).await;
    assert!(b.applied.is_fresh(), "distrust ends");
    assert_eq!(b.applied.ends.load(Ordering::Relaxed), 1, "what was just read stays young");
    assert_eq!(a.write(3).await, (Duration::ZERO, Acknowledged::Unheard));
    a.cut(false);
    pass(3).await;
    assert!(a.applied.is_fresh() && b.applied.is_fresh());
    assert!((1..=3).all(|number| b.applied.has(&table(number))), "what was kept is published");
}

#[tokio::test(start_paused = true)]
async fn what_the_log_of_a_former_server_says_ends_no_distrust_at_the_new_one() {
    let (replica, stats) = (Arc::<Applied>::default(), Stats::new(Metrics::new(&[])));
    let mut membership = Membership::new(settings("a", CutOff::Degrade), replica, stats, Instant::now());
    let b = Member { node: "b".into(), life: 7 };
    let mut join = |run: &str, members: Vec<Member>| {
        let (run, now) = (RunId(run.into()), Instant::now());
        membership.joining(&run, now);
        let end = Position { epoch: 1, number: 1 };
        membership.joined(
            &run,
            Welcome { end, time_ms: 100, since_ms: 100, members, lost: Vec::new() },
            Asked { at: now, stopped_ms: 0 },
            now,
        );
        membership.generation()
    };
    let former = join("one", vec![b.clone()]);
    let present = join("two", Vec::new());
    let distrusts_b = |membership: &Membership| membership.distrusted().any(|(node, _)| node == Some("b"));
    membership.heard(former, &Entry::Ready(b.clone(), false), Instant::now());
    assert!(distrusts_b(&membership));
    // It may not know yet that it is a member, and count on being distrusted.
    membership.heard(present, &Entry::Joined(b.clone()), Instant::now());
    assert!(distrusts_b(&membership));
    membership.heard(present, &Entry::Ready(b, false), Instant::now());
    assert!(!distrusts_b(&membership));
}

#[tokio::test(start_paused = true)]
async fn a_bus_that_stands_still_and_goes_on_invalidates_nothing() {
    let server = bus();
    let nodes = ["a", "b", "c"].map(|name| Node::start(&server, settings(name, CutOff::Degrade)));
    pass(15).await;
    for (round, seconds) in [1, 4, 60].into_iter().enumerate() {
        let voids = nodes.each_ref().map(|node| node.applied.voids());
        let continued = Instant::now() + Duration::from_secs(seconds);
        server.lock().unwrap().stopped_until = continued;
        pass(2).await;
        let written = 100 + round as u64;
        nodes[0].write(written).await;
        tokio::time::sleep_until(continued).await;
        // A connection that was being made may be given up just then.
        pass(5).await;
        assert!(
            nodes.iter().all(|node| node.applied.is_fresh()),
            "{seconds} s: {:?}",
            nodes[1].fleet.status()
        );
        assert_eq!(nodes.each_ref().map(|node| node.applied.voids()), voids, "{seconds} s");
        assert!(nodes[1..].iter().all(|node| node.applied.has(&table(written))), "{seconds} s");
    }
}

#[tokio::test(start_paused = true)]
async fn another_process_of_a_lost_node_invalidates_everything() {
    let server = bus();
    let (a, b) = (
        Node::start(&server, settings("a", CutOff::Degrade)),
        Node::start(&server, settings("b", CutOff::Degrade)),
    );
    pass(10).await;
    let voids = b.applied.voids();
    a.cut(true);
    assert_eq!(a.write(1).await.1, Acknowledged::Covered);
    a.task.abort();
    let _again = Node::start(&server, settings("a", CutOff::Degrade));
    pass(3).await;
    assert!(b.applied.is_fresh() && b.applied.voids() > voids && !b.applied.has(&table(1)));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_publishes_what_is_left_and_is_not_distrusted() {
    let server = bus();
    let (a, b) = (
        Node::start(&server, settings("a", CutOff::Degrade)),
        Node::start(&server, settings("b", CutOff::Degrade)),
    );
    pass(10).await;
    let voids = b.applied.voids();
    drop(a.fleet.report(vec![table(5)]));
    a.closing.cancel();
    a.task.await.unwrap();
    pass(3).await;
    assert!(b.applied.has(&table(5)) && b.applied.is_fresh());
    assert_eq!((b.applied.voids(), b.fleet.status().members.len()), (voids, 1));
}

#[tokio::test(start_paused = true)]
async fn a_node_with_other_settings_does_not_join() {
    let server = bus();
    let a = Node::start(&server, settings("a", CutOff::Refuse));
    pass(1).await;
    let other = Settings { common: "lease=2s".to_owned(), ..settings("b", CutOff::Refuse) };
    let b = Node::start(&server, other);
    pass(10).await;
    assert!(a.applied.is_fresh() && !b.applied.is_fresh());
    assert_eq!((b.fleet.status().standing, a.fleet.status().members.len()), ("outside", 1));
    assert!(b.fleet.admit_write().is_err());
    a.closing.cancel();
    pass(15).await;
    assert!(b.applied.is_fresh(), "who is alone decides");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_accepts_waits_no_longer_than_its_lease() {
    let server = bus();
    let node = Node::start(&server, settings("a", CutOff::Accept));
    pass(1).await;
    node.cut(true);
    let (waited, acknowledged) = node.write(1).await;
    assert!(waited <= LEASE && acknowledged == Acknowledged::Unheard, "{waited:?}");
    assert_eq!(node.write(2).await, (Duration::ZERO, Acknowledged::Unheard));
}

#[tokio::test(start_paused = true)]
async fn a_strict_write_waits_for_a_member_that_does_not_read_and_fails_in_time() {
    let server = bus();
    let strict = |name| Settings { ack: Ack::All, ..settings(name, CutOff::Refuse) };
    let (a, b) = (Node::start(&server, strict("a")), Node::start(&server, strict("b")));
    pass(3).await;
    let (waited, acknowledged) = a.write(1).await;
    assert!(waited < Duration::from_millis(50) && acknowledged == Acknowledged::Heard, "{waited:?}");
    assert!(b.applied.has(&table(1)));
    b.weather.lock().unwrap().is_reading_cut = true;
    let began = Instant::now();
    assert_eq!(a.fleet.report(vec![table(2)]).await, Acknowledgement::TimedOut);
    assert_eq!(began.elapsed(), Duration::from_secs(5));
    b.cut(true);
    let (waited, acknowledged) = a.write(3).await;
    assert!(
        waited < Duration::from_millis(1_500) && acknowledged == Acknowledged::Heard,
        "its membership ends: {waited:?}"
    );
    assert!(!b.applied.is_fresh());
}

#[tokio::test(start_paused = true)]
async fn members_hear_what_the_others_say_of_themselves_while_they_are_there() {
    let server = bus();
    let names = ["a", "b", "c"];
    let [a, mut b, c] = names.map(|name| Node::start(&server, settings(name, CutOff::Degrade)));
    let heard = a.fleet.introduce_as("dax=10.0.0.1:8111");
    b.fleet.introduce_as("dax=10.0.0.2:8111");
    let said = || -> Vec<String> {
        heard.borrow().iter().map(|said| format!("{} {}", said.node, said.words)).collect()
    };
    let all = ["a dax=10.0.0.1:8111", "b dax=10.0.0.2:8111"];
    pass(3).await;
    assert_eq!(said(), all, "who has nothing to say is not there");
    assert_eq!(a.fleet.status().members.len(), 3);
    assert!(c.fleet.introduced().is_empty(), "nor does it ask");
    b.closing.cancel();
    (&mut b.task).await.unwrap();
    pass(2).await;
    assert_eq!(said(), all[..1], "it has left");
    let b = Node::start(&server, settings("b", CutOff::Degrade));
    b.fleet.introduce_as("dax=10.0.0.2:8111");
    pass(3).await;
    assert_eq!(said(), all);
    b.cut(true);
    pass(3).await;
    assert_eq!(said(), all[..1], "it is lost");
    a.cut(true);
    b.cut(false);
    pass(3).await;
    assert_eq!(said(), all[..1], "who is cut off knows what it heard last");
    a.cut(false);
    // Another server, on which all of them join and say it anew.
    server.lock().unwrap().replace(None);
    pass(3).await;
    assert_eq!(said(), all);
}
