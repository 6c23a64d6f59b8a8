//! Counts of the last minute and of the last ten: sketches of ten seconds each, whose heaviest keys are kept when they are over.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::sketch::{Counted, Name, Sketch};

/// How long one sketch counts.
const STEP: Duration = Duration::from_secs(10);

/// Steps in a minute.
const STEPS: usize = 6;

/// Minutes that are kept.
const MINUTES: usize = 10;

/// Keys kept of what is over.
const KEPT: usize = 128;

/// The bytes of the names among them; names of lighter keys are dropped with their keys.
const KEPT_NAME_BYTES: usize = 16 << 10;

/// What is counted, each in sketches of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Item,
    Partition,
}

/// What happens to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
}

/// The window of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    /// The last minute: between 50 and 60 seconds.
    Minute,
    /// The last ten minutes: between nine and ten.
    TenMinutes,
}

/// What makes a key heavy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Reads and writes together.
    Accesses,
    /// Reads.
    Reads,
    /// Reads that were answered from memory.
    Hits,
    /// Writes.
    Writes,
}

/// A heavy key and what happened to it in a window.
#[derive(Clone)]
pub(super) struct Heavy {
    pub(super) name: Name,
    pub(super) reads: u64,
    pub(super) hits: u64,
    pub(super) writes: u64,
}

impl Heavy {
    fn rank(&self, order: Order) -> u64 {
        match order {
            Order::Accesses => self.reads + self.writes,
            Order::Reads => self.reads,
            Order::Hits => self.hits,
            Order::Writes => self.writes,
        }
    }
}

/// See the module.
pub(super) struct Windows {
    tracks: [Track; 4],
    /// When the current step began, and how many of the current minute are over.
    began: Instant,
    steps: usize,
}

/// One kind in one direction.
#[derive(Default)]
struct Track {
    now: Sketch,
    /// The steps before, the last minute's, the newest first.
    steps: VecDeque<Vec<Counted>>,
    /// The minutes before, the newest first.
    minutes: VecDeque<Vec<Counted>>,
}

impl Windows {
    pub(super) fn new(now: Instant) -> Self {
        Self { tracks: Default::default(), began: now, steps: 0 }
    }

    /// The sketch that counts now.
    pub(super) fn current(&mut self, kind: Kind, direction: Direction) -> &mut Sketch {
        &mut self.tracks[place(kind, direction)].now
    }

    /// Ends the steps that are over.
    pub(super) fn turn(&mut self, now: Instant) {
        if now.saturating_duration_since(self.began) >= STEP * (STEPS * (MINUTES + 1)) as u32 {
            *self = Self::new(now);
        }
        while now.saturating_duration_since(self.began) >= STEP {
            self.began += STEP;
            self.steps = (self.steps + 1) % STEPS;
            let is_minute_over = self.steps == 0;
            self.tracks.iter_mut().for_each(|track| track.end_step(is_minute_over));
        }
    }

    /// The heaviest keys of a window, the heaviest first.
    pub(super) fn heaviest(&self, kind: Kind, window: Window, order: Order, limit: usize) -> Vec<Heavy> {
        let mut found: HashMap<u64, Heavy> = HashMap::new();
        for direction in [Direction::Read, Direction::Write] {
            for counted in self.tracks[place(kind, direction)].counted(window, self.steps) {
                let Some(name) = &counted.name else { continue };
                let heavy = found.entry(counted.hash).or_insert_with(|| Heavy {
                    name: name.clone(),
                    reads: 0,
                    hits: 0,
                    writes: 0,
                });
                match direction {
                    Direction::Read => {
                        heavy.reads += counted.certain();
                        heavy.hits += counted.hits;
                    }
                    Direction::Write => heavy.writes += counted.certain(),
                }
            }
        }
        let mut heaviest: Vec<Heavy> = found.into_values().filter(|heavy| heavy.rank(order) > 0).collect();
        // Among equals the order is that of the names, so that a quiet list stands still.
        heaviest.sort_unstable_by(|one, other| {
            let names = || (one.name.table, &one.name.bytes).cmp(&(other.name.table, &other.name.bytes));
            other.rank(order).cmp(&one.rank(order)).then_with(names)
        });
        heaviest.truncate(limit);
        heaviest
    }

    /// What everything occupies.
    pub(super) fn bytes(&self) -> usize {
        self.tracks.iter().map(Track::bytes).sum()
    }
}

fn place(kind: Kind, direction: Direction) -> usize {
    2 * kind as usize + direction as usize
}

impl Track {
    fn end_step(&mut self, is_minute_over: bool) {
        self.steps.push_front(heaviest_of(self.now.counted()));
        self.now.clear();
        if is_minute_over {
            let mut minute: HashMap<u64, Counted> = HashMap::new();
            for counted in self.steps.iter().take(STEPS).flatten() {
                match minute.entry(counted.hash) {
                    Entry::Occupied(entry) => add(entry.into_mut(), counted),
                    Entry::Vacant(entry) => {
                        entry.insert(counted.clone());
                    }
                }
            }
            self.minutes.push_front(heaviest_of(minute.values()));
            self.minutes.truncate(MINUTES - 1);
        }
        self.steps.truncate(STEPS);
    }

    /// The counts of a window, if so many steps of the current minute are over. A key may come several times.
    fn counted(&self, window: Window, steps: usize) -> impl Iterator<Item = &Counted> {
        let (steps, minutes) = match window {
            Window::Minute => (STEPS - 1, 0),
            Window::TenMinutes => (steps, MINUTES - 1),
        };
        let minutes = self.minutes.iter().take(minutes).flatten();
        self.now.counted().chain(self.steps.iter().take(steps).flatten()).chain(minutes)
    }

    fn bytes(&self) -> usize {
        let name_bytes = |counted: &Counted| counted.name.as_ref().map_or(0, |name| name.bytes.len());
        let kept = self.steps.iter().chain(&self.minutes);
        let kept = kept
            .map(|kept| kept.capacity() * size_of::<Counted>() + kept.iter().map(name_bytes).sum::<usize>());
        self.now.bytes() + kept.sum::<usize>()
    }
}

fn add(counted: &mut Counted, other: &Counted) {
    counted.count += other.count;
    counted.error += other.error;
    counted.hits += other.hits;
    if counted.name.is_none() {
        counted.name.clone_from(&other.name);
    }
}

/// The heaviest that have a name.
fn heaviest_of<'a>(counted: impl Iterator<Item = &'a Counted>) -> Vec<Counted> {
    let mut named: Vec<&Counted> = counted.filter(|counted| counted.name.is_some()).collect();
    named.sort_unstable_by_key(|counted| std::cmp::Reverse(counted.certain()));
    named.truncate(KEPT);
    let mut bytes = 0;
    let fits = |counted: &&&Counted| {
        bytes += counted.name.as_ref().map_or(0, |name| name.bytes.len());
        bytes <= KEPT_NAME_BYTES
    };
    named.iter().take_while(fits).map(|counted| (*counted).clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(windows: &mut Windows, hash: u64, weight: u64) {
        let name = || Name { table: 0, index: None, bytes: hash.to_le_bytes().into() };
        windows.current(Kind::Item, Direction::Read).count(hash, weight, 0, &name, 8);
    }

    fn reads(windows: &Windows, window: Window) -> Vec<(u64, u64)> {
        let heaviest = windows.heaviest(Kind::Item, window, Order::Reads, 10);
        let hash = |heavy: &Heavy| u64::from_le_bytes((*heavy.name.bytes).try_into().unwrap());
        heaviest.iter().map(|heavy| (hash(heavy), heavy.reads)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn each_window_forgets_what_is_older_than_it() {
        let began = Instant::now();
        let mut windows = Windows::new(began);
        for second in 0..1_300 {
            let now = began + Duration::from_secs(second);
            windows.turn(now);
            read(&mut windows, second / 100, 1);
            if second % 100 == 99 {
                // The last hundred seconds had a key of their own.
                let of_minute: u64 = reads(&windows, Window::Minute).iter().map(|(_, reads)| reads).sum();
                assert!((50..=60).contains(&of_minute), "{of_minute} at {second}");
                assert_eq!(reads(&windows, Window::Minute).len(), 1);
                let of_ten: u64 = reads(&windows, Window::TenMinutes).iter().map(|(_, reads)| reads).sum();
                let least = (second + 1).min(540);
                assert!((least..=least.max(600)).contains(&of_ten), "{of_ten} at {second}");
            }
        }
        windows.turn(began + Duration::from_secs(10_000));
        assert_eq!(reads(&windows, Window::TenMinutes), []);
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_is_written_is_found_among_many_that_are_read() {
        let mut windows = Windows::new(Instant::now());
        for hash in 0..5_000 {
            read(&mut windows, hash, 100);
        }
        let name = || Name { table: 0, index: None, bytes: b"written".as_slice().into() };
        windows.current(Kind::Item, Direction::Write).count(77_777, 3, 0, &name, 7);
        let written = windows.heaviest(Kind::Item, Window::Minute, Order::Writes, 20);
        assert_eq!(written.len(), 1);
        assert!(&*written[0].name.bytes == b"written" && written[0].writes == 3 && written[0].reads == 0);
        assert!(windows.heaviest(Kind::Partition, Window::Minute, Order::Accesses, 20).is_empty());
    }
}
