//! What clients feel of an upstream that falls silent, fails, or is asked for twice of what it can do.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::comparison::HOT_ITEMS;
use crate::config_file;
use crate::fake::{Fake, Mood};
use crate::load::Numbered;
use crate::paced::{Paced, Sample, p99_us, percentile_us};
use crate::process::Server;
use crate::requests;
use crate::sheet::median;

/// How often the upstream falls silent.
const SILENCES: usize = 3;

/// Hits beside everything else.
const HITS_PER_SECOND: f64 = 1000.0;

/// Misses while the upstream is silent or fails.
const MISSES_PER_SECOND: f64 = 500.0;

/// The read timeout in force, the default.
const DEADLINE: Duration = Duration::from_secs(5);

/// A failure that was not waited for.
const FAST: Duration = Duration::from_millis(50);

/// A Nearside in front of a fake upstream, with the hot items in memory.
struct Stand {
    upstream: Fake,
    server: Server,
    /// The number of the next item that was never asked for.
    fresh: usize,
}

/// Silences, failures, and then the upstream asked for too much, for that long.
pub(crate) async fn measure(overload: Duration) {
    let mut stand = Stand::set_up().await;
    stand.silences().await;
    stand.failures().await;
    stand.overload(overload).await;
}

impl Stand {
    async fn set_up() -> Self {
        let upstream = Fake::start();
        let config = config_file("faults", "[cache]\nitem_ttl = \"1h\"\nmax_bytes = \"1GiB\"\n");
        let url = format!("http://{}", upstream.address);
        let server = Server::nearside(&["--upstream", &url, "--config", &config]).await;
        requests::send_all(server.address, (0..HOT_ITEMS).map(|n| requests::get_item("Far", n, false))).await;
        Self { upstream, server, fresh: HOT_ITEMS }
    }

    /// Hits for some seconds.
    async fn hits(&self, seconds: f64) -> Vec<Sample> {
        let duration = Duration::from_secs_f64(seconds);
        let hits = Paced { connections: 16, per_second: HITS_PER_SECOND, duration };
        let hit: Numbered = Rc::new(|n| requests::get_item("Far", n % HOT_ITEMS, false));
        let samples = hits.run(self.server.address, &hit).await;
        assert!(samples.iter().all(|sample| sample.status == 200), "every hit succeeds");
        samples
    }

    /// Begins misses, which go on for some seconds.
    fn misses(&mut self, connections: usize, per_second: f64, seconds: f64) -> Misses {
        let duration = Duration::from_secs_f64(seconds);
        let first = self.fresh;
        self.fresh += (per_second * seconds * 1.5) as usize + connections;
        let paced = Paced { connections, per_second, duration };
        Misses(paced.spawn(self.server.address, move |n| requests::get_item("Far", first + n, false)))
    }

    /// The upstream takes calls and does not answer, for three times the time that a read waits.
    async fn silences(&mut self) {
        const BEFORE: f64 = 5.0;
        const AFTER: f64 = 4.0;
        let silence = 3.0 * DEADLINE.as_secs_f64();
        let mut rounds = Vec::new();
        for _ in 0..SILENCES {
            let misses = self.misses(100, MISSES_PER_SECOND, BEFORE + silence + AFTER);
            let before = p99_us(&self.hits(BEFORE).await);
            self.upstream.set(Mood::Silent);
            let silent = Instant::now();
            let during = p99_us(&self.hits(silence).await);
            self.upstream.set(Mood::Well);
            let healed = Instant::now();
            let silence = Silence::of(&misses.end(), silent, healed);
            println!("silent upstream: hits p99 {before:.0} µs before, {during:.0} µs during; {silence}");
            rounds.push((during / before, silence));
        }
        let figure = |read: fn(&Silence) -> f64| median(rounds.iter().map(|(_, silence)| read(silence)));
        println!(
            "silent upstream, medians of {SILENCES}: hits p99 × {:.2} (goal: at most 1.20); the slowest miss {:.2} s (deadline {:.0} s); \
             failures at once p99 {:.1} ms (goal: at most 5); back after {:.2} s (goal: at most 2)",
            median(rounds.iter().map(|(ratio, _)| *ratio)),
            figure(|silence| silence.slowest_s),
            DEADLINE.as_secs_f64(),
            figure(|silence| silence.fast_p99_us / 1000.0),
            figure(|silence| silence.recovery_s),
        );
    }

    /// The upstream answers, with failures: how many calls it gets for each of the clients' requests.
    async fn failures(&mut self) {
        for (status, part) in [(500, 1.0), (503, 1.0), (503, 0.3)] {
            // Until the breaker has forgotten.
            tokio::time::sleep(Duration::from_secs(6)).await;
            self.misses(100, MISSES_PER_SECOND, 1.0).end();
            let calls = self.upstream.calls();
            self.upstream.set(Mood::Failing(status, part));
            let misses = self.misses(100, MISSES_PER_SECOND, 10.0).end();
            let calls = self.upstream.calls() - calls;
            self.upstream.set(Mood::Well);
            println!(
                "{:.0} % of answers are {status}: {calls} calls upstream for {} requests, {:.2} each (goal: at most 1.10; of retries a tenth and five a second)",
                part * 100.0,
                misses.len(),
                calls as f64 / misses.len() as f64
            );
        }
        tokio::time::sleep(Duration::from_secs(6)).await;
    }

    /// Twice as many misses as the upstream can answer.
    async fn overload(&mut self, duration: Duration) {
        const STEP: f64 = 4.0;
        self.upstream.set(Mood::Busy);
        let alone = p99_us(&self.hits(STEP).await);
        let (mut peak, mut beside_peak) = (0.0, 0.0);
        for offered in [800.0, 1200.0, 1500.0, 1800.0, 2100.0] {
            let misses = self.misses(400, offered, STEP);
            let hits = p99_us(&self.hits(STEP).await);
            let goodput = goodput(&misses.end(), STEP);
            println!("{offered:.0} misses a second offered: {goodput:.0} answered; hits p99 {hits:.0} µs");
            if goodput > peak {
                (peak, beside_peak) = (goodput, hits);
            }
        }
        let seconds = duration.as_secs_f64();
        let misses = self.misses(800, 2.0 * peak, seconds);
        let hits = p99_us(&self.hits(seconds).await);
        let misses = misses.end();
        let goodput = goodput(&misses, seconds);
        let refused = misses.iter().filter(|sample| sample.status != 200);
        println!(
            "twice the peak of {peak:.0}/s offered for {seconds:.0} s: {:.0}/s came, {goodput:.0}/s answered, {:.2} of the peak (goal: at least 0.90); \
             refusals p99 {:.0} ms; hits p99 {hits:.0} µs, × {:.2} of alone (goal: at most 2), × {:.2} of beside the peak",
            misses.len() as f64 / seconds,
            goodput / peak,
            percentile_us(refused, 0.99) / 1000.0,
            hits / alone,
            hits / beside_peak
        );
        self.upstream.set(Mood::Well);
    }
}

/// Misses under way in a thread of their own.
struct Misses(std::thread::JoinHandle<Vec<Sample>>);

impl Misses {
    fn end(self) -> Vec<Sample> {
        self.0.join().expect("the misses run to their end")
    }
}

/// Misses that were answered, a second.
fn goodput(misses: &[Sample], seconds: f64) -> f64 {
    misses.iter().filter(|sample| sample.status == 200).count() as f64 / seconds
}

/// What the misses felt of one silence.
struct Silence {
    /// The slowest that was sent in it.
    slowest_s: f64,
    /// From its start to the first failure at once that was followed by no slow one but probes.
    opened_s: f64,
    fast_p99_us: f64,
    /// From its end to the last failure.
    recovery_s: f64,
}

impl Silence {
    fn of(misses: &[Sample], silent: Instant, healed: Instant) -> Self {
        let since = |at: Instant, from: Instant| at.saturating_duration_since(from).as_secs_f64();
        let during: Vec<&Sample> =
            misses.iter().filter(|sample| sample.sent >= silent && sample.sent < healed).collect();
        let slowest = during.iter().map(|sample| sample.latency).max().unwrap_or_default();
        // Those that wait for a turn are told to come again; the breaker's own answer is a 503.
        let refused = |sample: &&&Sample| sample.status == 503 && sample.latency < FAST;
        let opened = during.iter().filter(refused).map(|sample| sample.sent).min().unwrap_or(healed);
        // One call a second goes through, to find out; it waits as long as any read may.
        let fast = during.iter().filter(|sample| sample.sent >= opened && sample.latency < DEADLINE / 2);
        let last_failure = misses
            .iter()
            .filter(|sample| sample.sent >= healed && sample.status != 200)
            .map(|sample| sample.sent);
        Self {
            slowest_s: slowest.as_secs_f64(),
            opened_s: since(opened, silent),
            fast_p99_us: p99_us(fast.copied()),
            recovery_s: last_failure.max().map_or(0.0, |at| since(at, healed)),
        }
    }
}

impl std::fmt::Display for Silence {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "misses: the slowest {:.2} s, at once after {:.2} s with p99 {:.1} ms, back after {:.2} s",
            self.slowest_s,
            self.opened_s,
            self.fast_p99_us / 1000.0,
            self.recovery_s
        )
    }
}
