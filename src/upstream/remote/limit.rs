//! How many requests an upstream does well with at one time, learnt from how they end.
//!
//! The limit grows while calls end well and somebody wants more of them, and is cut when they take much longer than usual for
//! their operation, or many of them fail. A cut is a guess that fewer calls would fare better. Where half of the limit changes
//! nothing, the guess was wrong: the upstream has become slower, or fails, for reasons of its own, and turning clients away
//! would only add to that. The limit is then what it was, and what was seen is the new usual.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::Operation;

/// Where a limit begins: an upstream that was never met gets no flood.
const START: usize = 64;

/// No limit is lower; so many calls tell whether the upstream fares better again.
const FLOOR: usize = 4;

/// Calls are judged together: those of this time, and at least so many.
const WINDOW: Duration = Duration::from_millis(100);
const CALLS_MIN: u32 = 10;

/// Calls are slow that take this many times the usual time of their operation, and this much longer.
const SLOW_FACTOR: f64 = 3.0;
const SLOW_SLACK: Duration = Duration::from_millis(20);

/// The part of the calls that may fail without a cut.
const FAILING_SHARE: f64 = 0.1;

/// A cut has helped if calls fare better by a quarter.
const HELPED: f64 = 0.75;

/// By how much the usual time follows calls that take less, window by window. It follows those that take more only when a
/// trial has shown that load is not why: else it would learn from an overload that lasts.
const FOLLOWED: f64 = 1.0 / 8.0;

/// How a call ended, as far as the limit is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// With an answer.
    Well,
    /// With a failure of the upstream's, or without an answer.
    Badly,
    /// With nothing that tells of the upstream's load: it was never sent, or one table is throttled.
    Untold,
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
    opened: Instant,
    failures: u32,
    /// Calls that ended well, and the sum of their seconds.
    times: HashMap<Operation, (u32, f64)>,
    /// At some time at least half of the limit was in use.
    is_wanted: bool,
}

/// Cuts that have not proved themselves.
struct Trial {
    /// The limit before them.
    from: usize,
    /// How calls fared before them.
    strain: f64,
}

impl Limit {
    /// A limit that never exceeds `ceiling`.
    pub(super) fn new(ceiling: usize) -> Self {
        let (ceiling, now) = (ceiling.max(1), Instant::now());
        Self {
            value: START.min(ceiling),
            floor: FLOOR.min(ceiling),
            ceiling,
            usual: HashMap::new(),
            failing_share: FAILING_SHARE,
            window: Window::open(now),
            cut_at: now,
            trial: None,
        }
    }

    /// Calls that may be under way now.
    pub(super) fn value(&self) -> usize {
        self.value
    }

    /// Tells how many calls are under way or wait.
    pub(super) fn wanted(&mut self, calls: usize) {
        self.window.is_wanted |= calls * 2 >= self.value;
    }

    /// Tells how a call ended that began then.
    pub(super) fn ended(&mut self, operation: Operation, begun: Instant, ended: Ended, now: Instant) {
        if begun < self.cut_at || ended == Ended::Untold {
            return;
        }
        match ended {
            Ended::Badly => self.window.failures += 1,
            _ => {
                let (calls, seconds) = self.window.times.entry(operation).or_default();
                *calls += 1;
                *seconds += now.duration_since(begun).as_secs_f64();
            }
        }
        if now.duration_since(self.window.opened) >= WINDOW && self.window.calls() >= CALLS_MIN {
            let window = std::mem::replace(&mut self.window, Window::open(now));
            self.judge(&window, now);
        }
    }

    fn judge(&mut self, window: &Window, now: Instant) {
        let strain = self.strain(window);
        if strain <= 1.0 {
            self.trial = None;
            self.learn(window);
            if window.failing_share() < FAILING_SHARE / 2.0 {
                self.failing_share = FAILING_SHARE;
            }
            if window.is_wanted {
                self.value = (self.value + (self.value / 8).max(FLOOR)).min(self.ceiling);
            }
            return;
        }
        let value = self.value;
        let trial = self.trial.get_or_insert(Trial { from: value, strain });
        if value > (trial.from / 2).max(self.floor) {
            return self.cut(now);
        }
        let helped = strain <= HELPED * trial.strain;
        let from = trial.from;
        self.trial = None;
        if helped {
            return self.cut(now);
        }
        self.value = from;
        self.usual.extend(window.means().map(|(operation, _, mean)| (operation, mean)));
        self.failing_share = self.failing_share.max(1.5 * window.failing_share());
    }

    fn cut(&mut self, now: Instant) {
        self.value = (self.value * 7 / 10).max(self.floor);
        self.cut_at = now;
    }

    /// How calls fare: above one they are slow, or too many fail.
    fn strain(&self, window: &Window) -> f64 {
        let (calls, slowness) =
            window.means().fold((0.0, 0.0), |(calls, slowness), (operation, count, mean)| {
                let usual = self.usual.get(&operation).copied().unwrap_or(mean);
                let slow = SLOW_FACTOR * usual + SLOW_SLACK.as_secs_f64();
                (calls + f64::from(count), slowness + f64::from(count) * mean / slow)
            });
        let slowness = if calls > 0.0 { slowness / calls } else { 0.0 };
        slowness.max(window.failing_share() / self.failing_share)
    }

    fn learn(&mut self, window: &Window) {
        for (operation, _, mean) in window.means() {
            let usual = self.usual.entry(operation).or_insert(mean);
            *usual += (mean - *usual).min(0.0) * FOLLOWED;
        }
    }
}

impl Window {
    fn open(now: Instant) -> Self {
        Self { opened: now, failures: 0, times: HashMap::new(), is_wanted: false }
    }

    fn calls(&self) -> u32 {
        self.failures + self.times.values().map(|(calls, _)| calls).sum::<u32>()
    }

    fn failing_share(&self) -> f64 {
        f64::from(self.failures) / f64::from(self.calls().max(1))
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

    /// Runs calls for a time, as many at once as may be; each takes as long as `latency` says of the limit.
    async fn run(limit: &mut Limit, seconds: f64, latency: impl Fn(usize) -> f64, ended: Ended) {
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        while Instant::now() < end {
            let (begun, calls) = (Instant::now(), limit.value());
            tokio::time::advance(Duration::from_secs_f64(latency(calls))).await;
            limit.wanted(calls);
            for _ in 0..calls {
                limit.ended(Operation::GetItem, begun, ended, Instant::now());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_grows_to_its_ceiling_where_calls_are_as_quick_as_ever() {
        let mut limit = Limit::new(512);
        assert_eq!(limit.value(), 64);
        run(&mut limit, 5.0, |_| 0.005, Ended::Well).await;
        assert_eq!(limit.value(), 512);
        assert_eq!(Limit::new(2).value(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_grow_where_nobody_wants_more() {
        let mut limit = Limit::new(512);
        for _ in 0..1000 {
            let begun = Instant::now();
            tokio::time::advance(Duration::from_millis(5)).await;
            limit.wanted(1);
            limit.ended(Operation::GetItem, begun, Ended::Well, Instant::now());
        }
        assert_eq!(limit.value(), 64);
    }

    #[tokio::test(start_paused = true)]
    async fn it_stays_near_what_an_upstream_can_do_that_slows_down_with_every_call() {
        let mut limit = Limit::new(512);
        // A thousand calls a second, whatever is asked of it: the usual time is learnt with few of them.
        for _ in 0..40 {
            let begun = Instant::now();
            tokio::time::advance(Duration::from_millis(5)).await;
            limit.ended(Operation::GetItem, begun, Ended::Well, Instant::now());
        }
        run(&mut limit, 60.0, |calls| calls as f64 / 1000.0, Ended::Well).await;
        assert!((20..=80).contains(&limit.value()), "{}", limit.value());
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
        assert_eq!(limit.value(), 70);
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
                limit.ended(Operation::Scan, begun, Ended::Well, Instant::now());
            }
            assert_eq!(limit.value(), 128);
        }
    }
}
