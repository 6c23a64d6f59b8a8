//! How the model tests of both caches play, search and replay their schedules.
//!
//! A schedule is a number: it seeds every choice of a [`World`], the next step among those that are possible first of all. A
//! failure prints it with what happened, and `NEARSIDE_SEED=<number>` plays that schedule alone.

use std::fmt::{Arguments, Debug, Write as _};
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::item::UNKNOWN_WRITE_WINDOW;

/// Which rules of a protocol are obeyed: all of them, unless a test switches one off.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules<R> {
    broken: Option<R>,
}

impl<R> Default for Rules<R> {
    fn default() -> Self {
        Self { broken: None }
    }
}

impl<R: PartialEq> Rules<R> {
    pub(crate) fn without(broken: Option<R>) -> Self {
        Self { broken }
    }

    pub(crate) fn obeyed(&self, rule: &R) -> bool {
        self.broken.as_ref() != Some(rule)
    }
}

/// A few clients around a real cache, in front of a store that remembers every version.
pub(crate) trait World: Sized {
    /// What a schedule is made of.
    type Setup: Copy + Debug;
    /// Something that may happen next.
    type Step: Copy;

    /// The world at its beginning. Every choice comes from this seed.
    fn new(setup: Self::Setup, seed: u64) -> Self;

    /// What was noted, and what went wrong.
    fn journal(&mut self) -> &mut Journal;

    /// Every step that may come next; steps that are to be likelier appear more often. None: everything has ended.
    fn steps(&mut self) -> Vec<Self::Step>;

    /// How long the world stands still before this step.
    fn pause_before(&mut self, step: Self::Step) -> Option<Duration>;

    /// Lets a step happen.
    fn take(&mut self, step: Self::Step);

    /// Everything has ended long ago: checks what is cached now.
    fn check_at_rest(&mut self);
}

/// What happened in a schedule.
pub(crate) struct Journal {
    pub(crate) random: fastrand::Rng,
    began: Instant,
    trace: String,
    violation: Option<String>,
}

impl Journal {
    pub(crate) fn new(seed: u64) -> Self {
        // What the code under test draws by itself must be the same whenever a schedule is played.
        fastrand::seed(seed);
        Self {
            random: fastrand::Rng::with_seed(seed),
            began: Instant::now(),
            trace: String::new(),
            violation: None,
        }
    }

    pub(crate) fn note(&mut self, what: Arguments<'_>) {
        let at = self.began.elapsed().as_millis();
        writeln!(self.trace, "{at:>7} ms  {what}").expect("a string takes everything");
    }

    /// Something is wrong. Only the first such thing counts.
    pub(crate) fn violated(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }
}

/// Plays one schedule and says what went wrong, if anything did.
async fn play<W: World>(setup: W::Setup, seed: u64) -> Result<(), String> {
    let mut world = W::new(setup, seed);
    if world.journal().random.u32(0..4) != 0 {
        tokio::time::advance(Duration::from_secs(100)).await;
    }
    while world.journal().violation.is_none() {
        let steps = world.steps();
        let Some(step) = world.journal().random.choice(steps) else { break };
        if let Some(pause) = world.pause_before(step) {
            tokio::time::advance(pause).await;
        }
        world.take(step);
    }
    if world.journal().violation.is_none() {
        tokio::time::advance(UNKNOWN_WRITE_WINDOW + Duration::from_secs(2)).await;
        world.check_at_rest();
    }
    let journal = world.journal();
    match journal.violation.take() {
        None => Ok(()),
        Some(violation) => Err(format!("{violation}\n\nwith {setup:?}:\n{}", journal.trace)),
    }
}

/// Plays schedules until one goes wrong, and gives it with what happened. They begin with `first` and go round; or
/// `NEARSIDE_SEED` is played alone.
fn explore<W: World>(setup: W::Setup, first: u64, schedules: u64) -> Result<(), (u64, String)> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let alone: Option<u64> = std::env::var("NEARSIDE_SEED").ok().map(|seed| seed.parse().unwrap());
    let seeds = alone.map_or(0..schedules, |seed| seed..seed + 1);
    runtime.block_on(async {
        for seed in seeds {
            let seed = if alone.is_some() { seed } else { (seed + first) % schedules };
            play::<W>(setup, seed).await.map_err(|violation| (seed, violation))?;
        }
        Ok(())
    })
}

/// Nothing goes wrong in that many schedules.
pub(crate) fn assert_sound<W: World>(setup: W::Setup, schedules: u64) {
    if let Err((seed, violation)) = explore::<W>(setup, 0, schedules) {
        panic!("schedule {seed}: {violation}\nReplay with NEARSIDE_SEED={seed}.");
    }
}

/// Something goes wrong without each of these rules: every one is there for a reason. With each come the setup in which it
/// is switched off, and the schedule near which a violation was found before, to find it soon.
pub(crate) fn assert_needed<W: World>(
    rules: impl IntoIterator<Item = (String, W::Setup, u64)>,
    schedules: u64,
) {
    if std::env::var("NEARSIDE_SEED").is_ok() {
        return;
    }
    for (rule, setup, first) in rules {
        match explore::<W>(setup, first, schedules) {
            Err((seed, _)) => eprintln!("{rule}: schedule {seed}"),
            Ok(()) => panic!("nothing goes wrong without {rule}"),
        }
    }
}
