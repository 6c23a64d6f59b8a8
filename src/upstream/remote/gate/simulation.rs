//! Whole loads through the gate, with the clock stopped: bursts that an upstream takes, and more than it can take.
//!
//! A test that fails names its seed; `NEARSIDE_SEED=N cargo test simulation` replays it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Semaphore;

use super::*;
use crate::call::Attempt;

const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// A small upstream: two calls at one time, of 4 ms each, behind a node that may ask for a quarter of the default.
const WORKERS: usize = 2;
const SERVICE: Duration = Duration::from_millis(4);
const CONCURRENCY_MAX: usize = 256;

/// A node and its upstream, which does so many calls at one time.
struct World {
    gate: Gate,
    counts: Counts,
    workers: Arc<Semaphore>,
    service: Duration,
    answered: AtomicU64,
    rejected: AtomicU64,
    /// Clients that stopped waiting.
    given_up: AtomicU64,
    slowest_ms: AtomicU64,
}

impl World {
    fn new(concurrency_max: usize, workers: usize, service: Duration) -> Arc<Self> {
        Arc::new(Self {
            gate: Gate::new(concurrency_max, READ_TIMEOUT, 2 * READ_TIMEOUT),
            counts: Counts::default(),
            workers: Arc::new(Semaphore::new(workers)),
            service,
            answered: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            slowest_ms: AtomicU64::new(0),
        })
    }

    /// Reads without an answer.
    fn failed(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed) + self.given_up.load(Ordering::Relaxed)
    }

    /// One read of a client that waits for so long; true when it was answered in time.
    async fn read(&self, attempt: Attempt, patience: Duration) -> bool {
        let begun = Instant::now();
        let request = Request { attempt, ..Request::new(Operation::GetItem, r#"{"TableName":"a"}"#) };
        let reading = async {
            let turn = self.gate.enter(&request, &self.counts).await?;
            let sent = Instant::now();
            // In a task of its own: an upstream does what it was sent, whether or not anybody still waits for it.
            let workers = Arc::clone(&self.workers);
            // Up to a fifth more or less than usual.
            let service = self.service.mul_f64(0.8 + 0.4 * fastrand::f64());
            let serving = tokio::spawn(async move {
                let _worker = workers.acquire().await;
                tokio::time::sleep(service).await;
            });
            serving.await.unwrap();
            turn.end(Ended::Well, sent.elapsed());
            Some(())
        };
        let outcome = tokio::time::timeout(patience, reading).await;
        let count = match outcome {
            Ok(Some(())) => &self.answered,
            Ok(None) => &self.rejected,
            Err(_) => &self.given_up,
        };
        count.fetch_add(1, Ordering::Relaxed);
        let waited = u64::try_from(begun.elapsed().as_millis()).unwrap();
        self.slowest_ms.fetch_max(waited, Ordering::Relaxed);
        matches!(outcome, Ok(Some(())))
    }

    /// As an SDK does it: three attempts, with pauses.
    async fn read_with_retries(&self, patience: Duration) -> bool {
        for attempt in 0..3 {
            let says = if attempt == 0 { Attempt::First } else { Attempt::Again };
            if self.read(says, patience).await {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50 << attempt).mul_f64(fastrand::f64())).await;
        }
        false
    }

    /// Clients that read one after the other, each for as long as the load lasts.
    async fn closed_loop(self: &Arc<Self>, connections: usize, seconds: u64) {
        let end = Instant::now() + Duration::from_secs(seconds);
        let clients: Vec<_> = (0..connections)
            .map(|_| {
                let world = Arc::clone(self);
                tokio::spawn(async move {
                    while Instant::now() < end {
                        world.read(Attempt::First, Duration::from_secs(60)).await;
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.unwrap();
        }
    }

    /// Reads that come at their own pace, whatever becomes of those before. Gives how many of them succeeded.
    async fn open_loop(self: &Arc<Self>, per_second: u32, seconds: u32, patience: Duration) -> u64 {
        let succeeded = Arc::new(AtomicU64::new(0));
        let mut reads = Vec::new();
        for _ in 0..seconds * per_second {
            let (world, succeeded) = (Arc::clone(self), Arc::clone(&succeeded));
            reads.push(tokio::spawn(async move {
                if world.read_with_retries(patience).await {
                    succeeded.fetch_add(1, Ordering::Relaxed);
                }
            }));
            tokio::time::sleep(Duration::from_secs(1) / per_second).await;
        }
        let so_far = succeeded.load(Ordering::Relaxed);
        for read in reads {
            read.await.unwrap();
        }
        so_far
    }
}

/// Seeds the random choices: a new seed, or the one to replay.
fn seed() -> u64 {
    let given = std::env::var("NEARSIDE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    fastrand::seed(seed);
    seed
}

#[tokio::test(start_paused = true)]
async fn no_burst_that_the_upstream_takes_is_rejected() {
    let seed = seed();
    for (connections, service_ms) in [400, 1000, 3000]
        .into_iter()
        .flat_map(|connections| [(connections, 2), (connections, 8), (connections, 50)])
    {
        let world = World::new(1024, Semaphore::MAX_PERMITS, Duration::from_millis(service_ms));
        world.closed_loop(connections, 1).await;
        let rejected = world.rejected.load(Ordering::Relaxed);
        assert_eq!(rejected, 0, "seed {seed}: {connections} connections, {service_ms} ms");
        // At most three rounds are needed before the last of a burst has its turn.
        let slowest = world.slowest_ms.load(Ordering::Relaxed);
        assert!(slowest <= 4 * service_ms + 2, "seed {seed}: {slowest} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn more_connections_than_a_small_upstream_can_serve_at_once_wait_and_are_served() {
    let seed = seed();
    // Not quite five hundred calls a second: 250 connections wait for more than half a second each.
    let world = World::new(CONCURRENCY_MAX, WORKERS, SERVICE);
    world.closed_loop(WORKERS, 2).await;
    let alone = world.answered.load(Ordering::Relaxed);
    world.closed_loop(250, 10).await;
    let (answered, rejected) =
        (world.answered.load(Ordering::Relaxed), world.rejected.load(Ordering::Relaxed));
    assert_eq!(rejected, 0, "seed {seed}: of {answered}");
    assert!(answered - alone >= 5 * alone * 9 / 10, "seed {seed}: {answered} answered in 12 s");
    let (limit, _) = world.gate.limits();
    assert!(limit < 80, "seed {seed}: the limit is {limit} where calls grow slower with every one more");
}

#[tokio::test(start_paused = true)]
async fn twice_of_what_an_upstream_can_do_leaves_nine_tenths_of_it_to_clients_that_give_up_and_retry() {
    let seed = seed();
    for patience_ms in [300, 10_000] {
        let world = World::new(CONCURRENCY_MAX, WORKERS, SERVICE);
        world.closed_loop(WORKERS, 2).await;
        let capacity = world.answered.load(Ordering::Relaxed) as f64 / 2.0;
        let patience = Duration::from_millis(patience_ms);
        // In these seconds the limit adapts.
        world.open_loop(1000, 3, patience).await;
        let succeeded = world.open_loop(1000, 8, patience).await;
        let goodput = succeeded as f64 / 8.0 / capacity;
        assert!(goodput >= 0.9, "seed {seed}: {goodput:.2} of the capacity, patience {patience_ms} ms");
        // When the load is what the upstream can do, all is well soon.
        world.open_loop(250, 2, patience).await;
        let failed = world.failed();
        world.open_loop(250, 3, patience).await;
        assert_eq!(world.failed(), failed, "seed {seed}: patience {patience_ms} ms");
    }
}
