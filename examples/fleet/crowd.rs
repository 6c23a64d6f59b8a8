//! Many nodes on one bus, without caches: each joins, follows the log and sends heartbeats as a node does, and some publish. It shows how
//! long entries take to arrive, and how long answers to heartbeats do, which a lease of one second does not survive for long.
//!
//! `cargo run --release --example fleet_crowd -- [NODES [BATCHES_PER_SECOND [SECONDS]]]` (500, 200 and 20 without them). All nodes share
//! this process, and this machine with the server, so the figures are upper bounds.

#![expect(clippy::unwrap_used, reason = "an example ends with the panic that says why")]

#[path = "../../tests/fleet/bus.rs"]
#[allow(dead_code, reason = "only the tests of a fleet break anything")]
mod bus;
#[path = "../../tests/process/client.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod client;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nearside::fleet::bus::{Beat, Bus as _, Entry, Join, Joined, Link, Member, Position};
use nearside::fleet::{RedisBus, RedisSettings};
use tokio::sync::watch;
use tokio::time::Instant;

/// How often a node sends a heartbeat, and how long a membership lasts.
const BEAT_INTERVAL: Duration = Duration::from_millis(200);
const MEMBERSHIP: Duration = Duration::from_secs(1);

/// A batch of reports: about fifteen items.
const BATCH_BYTES: usize = 300;

/// Counts of durations, in buckets that grow by a twelfth of a doubling each.
struct Histogram([AtomicU64; 400]);

impl Histogram {
    fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }

    fn add(&self, duration: Duration) {
        let bucket = (duration.as_micros().max(1) as f64).log2() * 12.0;
        self.0[(bucket as usize).min(399)].fetch_add(1, Ordering::Relaxed);
    }

    fn describe(&self) -> String {
        let counts: Vec<u64> = self.0.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        let at = |part: f64| {
            let mut left = (total as f64 * part).ceil() as u64;
            let bucket = counts.iter().position(|count| {
                left = left.saturating_sub(*count);
                left == 0
            });
            Duration::from_micros(((bucket.unwrap_or(0) + 1) as f64 / 12.0).exp2() as u64)
        };
        format!(
            "{total}: p50 {:.1?}, p99 {:.1?}, p99.9 {:.1?}, max {:.1?}",
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        )
    }
}

/// What all nodes share.
struct Crowd {
    bus: RedisBus,
    started: Instant,
    arrivals: Histogram,
    beats: Histogram,
    lapses: AtomicU64,
}

/// One node: it joins, and follows the log and beats until the process ends.
async fn node(crowd: Arc<Crowd>, number: usize) -> Infallible {
    let member = Member { node: format!("node-{number}").into(), life: 1 };
    let mut link = crowd.bus.connect().await.unwrap();
    let join = Join { member: &member, settings: "crowd", applied: None, may_found: true };
    let Joined::Welcome(welcome) = link.join(&join).await.unwrap() else { panic!("other settings") };
    let (applied, following) = watch::channel(welcome.end);
    tokio::select! {
        never = follow(&crowd, applied) => never,
        never = beat(&crowd, number, &member, welcome.time_ms, link, following) => never,
    }
}

/// Sends heartbeats, each with what the reader has applied.
async fn beat(
    crowd: &Crowd,
    number: usize,
    member: &Member,
    mut last_time_ms: u64,
    mut link: impl Link,
    mut following: watch::Receiver<Position>,
) -> Infallible {
    let mut next = Instant::now();
    loop {
        next += BEAT_INTERVAL.mul_f64(0.9 + 0.2 * fastrand::f64());
        tokio::time::sleep_until(next).await;
        let sent = Instant::now();
        let beat = Beat { member, last_time_ms, applied: *following.borrow() };
        let pulse = link.beat(&beat).await.unwrap();
        assert!(pulse.is_member, "node {number} was lost: the bus cannot carry so many");
        last_time_ms = pulse.time_ms;
        following.wait_for(|applied| *applied >= pulse.end).await.unwrap();
        crowd.beats.add(sent.elapsed());
        crowd.lapses.fetch_add(u64::from(sent.elapsed() + BEAT_INTERVAL > MEMBERSHIP), Ordering::Relaxed);
    }
}

/// Reads the log on a connection of its own.
async fn follow(crowd: &Crowd, applied: watch::Sender<Position>) -> Infallible {
    let mut link = crowd.bus.connect().await.unwrap();
    let mut position = *applied.borrow();
    loop {
        for (at, entry) in link.read(position, BEAT_INTERVAL).await.unwrap() {
            position = at;
            if let Entry::Reports(bytes) = entry {
                let sent = Duration::from_micros(u64::from_le_bytes(bytes[..8].try_into().unwrap()));
                crowd.arrivals.add(crowd.started.elapsed().saturating_sub(sent));
            }
        }
        applied.send_replace(position);
    }
}

/// Publishes so many batches in a second, one after another.
async fn publish(crowd: Arc<Crowd>, per_second: u32) -> Infallible {
    let mut link = crowd.bus.connect().await.unwrap();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second);
    loop {
        ticks.tick().await;
        let mut batch = [0; BATCH_BYTES];
        batch[..8].copy_from_slice(&(crowd.started.elapsed().as_micros() as u64).to_le_bytes());
        link.publish(&batch).await.unwrap();
    }
}

#[tokio::main]
async fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u32>().expect("a number"));
    let mut next = |otherwise| numbers.next().unwrap_or(otherwise);
    let (nodes, batches, seconds) = (next(500), next(200), next(20));
    let server = bus::Bus::start();
    let settings = RedisSettings {
        url: format!("redis://{}", server.address),
        password: None,
        name: "crowd".to_owned(),
        replay: 10_000,
        membership: MEMBERSHIP,
        losses_kept: Duration::from_secs(20),
    };
    let crowd = Arc::new(Crowd {
        bus: RedisBus::new(settings).unwrap(),
        started: Instant::now(),
        arrivals: Histogram::new(),
        beats: Histogram::new(),
        lapses: AtomicU64::new(0),
    });
    let mut running = Vec::new();
    for number in 0..nodes as usize {
        running.push(tokio::spawn(node(Arc::clone(&crowd), number)));
        // They do not all start in one moment.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let publishers = batches.div_ceil(100);
    running.extend((0..publishers).map(|_| tokio::spawn(publish(Arc::clone(&crowd), batches / publishers))));
    tokio::time::sleep(Duration::from_secs(seconds.into())).await;
    assert!(!running.iter().any(tokio::task::JoinHandle::is_finished), "a node has given up");
    // Before the server goes.
    for task in running {
        task.abort();
        task.await.ok();
    }
    println!("{nodes} nodes, {batches} batches of {BATCH_BYTES} bytes a second, {seconds} s");
    println!("batches that arrived: {}", crowd.arrivals.describe());
    println!("heartbeats until everything up to their answer was applied: {}", crowd.beats.describe());
    println!("heartbeats that came too late for a lease: {}", crowd.lapses.load(Ordering::Relaxed));
}
