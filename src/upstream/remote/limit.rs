//! How many requests an upstream does well with at one time, learned from how they end.
//!
//! The limit starts at its ceiling: without evidence, the upstream takes whatever comes. It is cut when calls take much longer
//! than usual for their operation, or many of them fail. A cut is a guess that the upstream does as much with fewer calls at
//! one time. If it does less with half of them, or as many fail, the guess was wrong: the upstream has become slower, or
//! fails, for other reasons, and a lower limit would only add to that. The limit is then what it was, and what was seen is the
//! new usual. A limit that was cut grows again by a quarter in each window while calls end well and somebody wants more.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::Operation;

/// No limit is lower; so many calls tell whether the upstream fares better again.
const FLOOR: usize = 4;

/// A limit that was cut grows by this part of itself in each window.
const GROWTH: usize = 4;

/// Calls are judged together: those of this time, and at least so many.
const WINDOW: Duration = Duration::from_millis(100);
const CALLS_MIN: u32 = 10;

/// Calls are slow that take this many times the usual time of their operation, and this much longer.
const SLOW_FACTOR: f64 = 3.0;
const SLOW_SLACK: Duration = Duration::from_millis(20);

/// The part of the calls that may fail without a cut.
const FAILING_SHARE: f64 = 0.1;

/// A cut of slow calls has helped if so large a part of them still ends well in the same time.
const KEPT: f64 = 0.85;

/// A cut of failing calls has helped if no more than this part of the failing share is left.
const HELPED: f64 = 0.75;

/// A trial that showed that load is not why calls are slow makes the usual time so many times longer at most: it may have been
/// wrong, and another will follow.
const LEARNED_MAX: f64 = 2.0;

/// By how much the usual time follows calls that take less, window by window. It follows those that take more only when a
/// trial has shown that load is not why: else it would learn from an overload that lasts.
const FOLLOWED: f64 = 1.0 / 8.0;

/// How a call ended, as far as the limit is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With an answer.
    Well,
    /// With a client that stopped waiting for it. If that was after a long time, it is a slow call like any other.
    Abandoned,
    /// With a failure of the upstream's, or without an answer.
    Badly,
    /// With nothing that tells of the upstream's load: it was never sent, or one table is throttled.
    Untold,
}

/// One call that has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    /// When it had its turn.
    pub(super) begun: Instant,
    /// How long the upstream took, without the setup of a connection.
    pub(super) took: Duration,
    pub(super) ended: Ended,
}

/// A limit that adapts.
pub(super) struct Limit {
    value: usize,
    floor: usize,
    ceiling: usize,
    /// The usual seconds of each operation.
    usual: HashMap<Operation, f64>,
    failing_share: f64,
    window: Window,
    /// Calls that began earlier fared as under the limit before its last cut.
    cut_at: Instant,
    trial: Option<Trial>,
}

/// The calls since the last judgement.
struct Window {
    /// `None` until the first call ends that began after the last cut: those before it fared as under the limit before.
    opened: Option<Instant>,
    failures: u32,
    /// Calls that ended well, and those that their clients abandoned.
    good: u32,
    abandoned: u32,
    /// Calls that ended well or were abandoned, and the sum of their seconds.
    times: HashMap<Operation, (u32, f64)>,
    /// The most calls that were in flight or waited at one time.
    wanted: usize,
}

/// A cut that has not proved itself.
struct Trial {
    /// The limit before it.
    from: usize,
    /// How calls fared before it.
    before: Fared,
}

/// How the calls of a window fared.
#[derive(Clone, Copy)]
struct Fared {
    /// Their time against what is slow for their operations; above one they are slow.
    slowness: f64,
    failing_share: f64,
    /// How many ended well in a second.
    goodput: f64,
    /// The clients of most of them have stopped waiting: with fewer calls at one time, nothing is lost.
    are_abandoned: bool,
}

impl Fared {
    /// True if half of the calls at one time were no loss.
    fn is_better_than(&self, before: &Self) -> bool {
        match before.slowness > 1.0 {
            true => self.are_abandoned || self.goodput >= KEPT * before.goodput,
            false => self.failing_share <= HELPED * before.failing_share,
        }
    }
}

impl Limit {
    /// A limit that starts at `ceiling` and never exceeds it.
    pub(super) fn new(ceiling: usize) -> Self {
        let (ceiling, now) = (ceiling.max(1), Instant::now());
        Self {
            value: ceiling,
            floor: FLOOR.min(ceiling),
            ceiling,
            usual: HashMap::new(),
            failing_share: FAILING_SHARE,
            window: Window::open(Some(now)),
            cut_at: now,
            trial: None,
        }
    }

    /// Calls that may be in flight now.
    pub(super) fn value(&self) -> usize {
        self.value
    }

    /// Notes how many calls are in flight or wait.
    pub(super) fn wanted(&mut self, calls: usize) {
        self.window.wanted = self.window.wanted.max(calls);
    }

    /// Learns from a call that has ended.
    pub(super) fn ended(&mut self, operation: Operation, call: Call, now: Instant) {
        if call.begun < self.cut_at {
            return;
        }
        let seconds = call.took.as_secs_f64();
        match call.ended {
            Ended::Untold => return,
            Ended::Abandoned if seconds < self.slow_seconds(operation, seconds) => return,
            Ended::Badly => self.window.failures += 1,
            Ended::Well => {
                self.window.good += 1;
                self.window.count(operation, seconds);
            }
            Ended::Abandoned => {
                self.window.abandoned += 1;
                self.window.count(operation, seconds);
            }
        }
        let opened = *self.window.opened.get_or_insert(now);
        if now.duration_since(opened) >= WINDOW && self.window.calls() >= CALLS_MIN {
            let window = std::mem::replace(&mut self.window, Window::open(Some(now)));
            self.judge(&window, now);
        }
    }

    fn judge(&mut self, window: &Window, now: Instant) {
        let fared = self.fared(window, now);
        if fared.slowness <= 1.0 && fared.failing_share <= self.failing_share {
            self.trial = None;
            self.learn(window);
            if fared.failing_share < FAILING_SHARE / 2.0 {
                self.failing_share = FAILING_SHARE;
            }
            if window.wanted * 2 >= self.value {
                self.value = (self.value + (self.value / GROWTH).max(FLOOR)).min(self.ceiling);
            }
            return;
        }
        let (from, used) = (self.value, self.value.min(window.wanted.max(self.floor)));
        match self.trial.take() {
            None => self.trial = Some(Trial { from, before: fared }),
            Some(trial) if !fared.is_better_than(&trial.before) => {
                self.value = trial.from;
                for (operation, _, mean) in window.means() {
                    let usual = self.usual.entry(operation).or_insert(mean);
                    *usual = mean.min(*usual * LEARNED_MAX);
                }
                self.failing_share = self.failing_share.max(1.5 * fared.failing_share);
                return;
            }
            Some(_) => {}
        }
        self.value = (used / 2).max(self.floor);
        self.cut_at = now;
        self.window = Window::open(None);
    }

    fn fared(&self, window: &Window, now: Instant) -> Fared {
        let (calls, slowness) =
            window.means().fold((0.0, 0.0), |(calls, slowness), (operation, count, mean)| {
                let slow = self.slow_seconds(operation, mean);
                (calls + f64::from(count), slowness + f64::from(count) * mean / slow)
            });
        let seconds = window.opened.map_or(0.0, |opened| now.duration_since(opened).as_secs_f64());
        Fared {
            slowness: if calls > 0.0 { slowness / calls } else { 0.0 },
            failing_share: f64::from(window.failures) / f64::from(window.calls().max(1)),
            goodput: f64::from(window.good) / seconds.max(WINDOW.as_secs_f64()),
            are_abandoned: window.abandoned * 2 > window.calls(),
        }
    }

    /// From how many seconds on a call of the operation is slow, when nothing is known yet by what was seen now.
    fn slow_seconds(&self, operation: Operation, seen: f64) -> f64 {
        SLOW_FACTOR * self.usual.get(&operation).copied().unwrap_or(seen) + SLOW_SLACK.as_secs_f64()
    }

    fn learn(&mut self, window: &Window) {
        for (operation, _, mean) in window.means() {
            let usual = self.usual.entry(operation).or_insert(mean);
            *usual += (mean - *usual).min(0.0) * FOLLOWED;
        }
    }
}

impl Window {
    fn open(opened: Option<Instant>) -> Self {
        Self { opened, failures: 0, good: 0, abandoned: 0, times: HashMap::new(), wanted: 0 }
    }

    fn count(&mut self, operation: Operation, seconds: f64) {
        let (calls, sum) = self.times.entry(operation).or_default();
        *calls += 1;
        *sum += seconds;
    }

    fn calls(&self) -> u32 {
        self.failures + self.times.values().map(|(calls, _)| calls).sum::<u32>()
    }

    /// Operations with their calls and those calls' mean seconds.
    fn means(&self) -> impl Iterator<Item = (Operation, u32, f64)> {
        self.times
            .iter()
            .map(|(operation, (calls, seconds))| (*operation, *calls, seconds / f64::from(*calls)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(begun: Instant, ended: Ended) -> Call {
        Call { begun, took: begun.elapsed(), ended }
    }

    /// Runs calls for a time, as many at once as may be; each takes as long as `latency` says of the limit.
    async fn run(limit: &mut Limit, seconds: f64, latency: impl Fn(usize) -> f64, ended: Ended) {
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        while Instant::now() < end {
            let (begun, calls) = (Instant::now(), limit.value());
            tokio::time::advance(Duration::from_secs_f64(latency(calls))).await;
            limit.wanted(calls);
            for _ in 0..calls {
                limit.ended(Operation::GetItem, call(begun, ended), Instant::now());
            }
        }
    }

    /// A thousand calls a second, whatever is asked of it.
    fn saturated(calls: usize) -> f64 {
        calls as f64 / 1000.0
    }

    /// Learns that a call takes 5 ms where few are in flight.
    async fn learn(limit: &mut Limit) {
        for _ in 0..40 {
            let begun = Instant::now();
            tokio::time::advance(Duration::from_millis(5)).await;
            limit.ended(Operation::GetItem, call(begun, Ended::Well), Instant::now());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_starts_at_its_ceiling_and_stays_there_while_calls_are_as_quick_as_ever() {
        let mut limit = Limit::new(1024);
        assert_eq!(limit.value(), 1024);
        run(&mut limit, 5.0, |_| 0.005, Ended::Well).await;
        assert_eq!(limit.value(), 1024);
        assert_eq!(Limit::new(2).value(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn it_stays_near_what_an_upstream_can_do_that_slows_down_with_every_call() {
        let mut limit = Limit::new(1024);
        learn(&mut limit).await;
        run(&mut limit, 60.0, saturated, Ended::Well).await;
        assert!((20..=80).contains(&limit.value()), "{}", limit.value());
    }

    #[tokio::test(start_paused = true)]
    async fn it_recovers_within_two_seconds_where_somebody_wants_more() {
        let mut limit = Limit::new(1024);
        learn(&mut limit).await;
        run(&mut limit, 60.0, saturated, Ended::Well).await;
        learn(&mut limit).await;
        let cut = limit.value();
        learn(&mut limit).await;
        assert_eq!(limit.value(), cut, "nobody wants more");
        run(&mut limit, 2.0, |_| 0.005, Ended::Well).await;
        assert_eq!(limit.value(), 1024);
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_as_before_when_fewer_calls_are_no_quicker() {
        let mut limit = Limit::new(128);
        run(&mut limit, 5.0, |_| 0.002, Ended::Well).await;
        run(&mut limit, 5.0, |_| 0.080, Ended::Well).await;
        assert_eq!(limit.value(), 128);
    }

    #[tokio::test(start_paused = true)]
    async fn failures_cut_it_only_while_that_helps() {
        let mut limit = Limit::new(100);
        run(&mut limit, 2.0, |_| 0.01, Ended::Well).await;
        run(&mut limit, 0.11, |_| 0.01, Ended::Badly).await;
        assert_eq!(limit.value(), 50);
        run(&mut limit, 2.0, |_| 0.01, Ended::Badly).await;
        assert_eq!(limit.value(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_operation_among_quick_ones_is_no_strain() {
        let mut limit = Limit::new(128);
        run(&mut limit, 3.0, |_| 0.002, Ended::Well).await;
        for _ in 0..30 {
            let begun = Instant::now();
            tokio::time::advance(Duration::from_millis(400)).await;
            for _ in 0..20 {
                limit.ended(Operation::Scan, call(begun, Ended::Well), Instant::now());
            }
            assert_eq!(limit.value(), 128);
        }
    }
}
