//! What clients did and saw, and whether it breaks a promise.
//!
//! Writes add one to a counter and return it, so the upstream itself numbers the versions of each key in the order of their commits.
//! Times are those of one clock, that of the test.

use std::collections::HashMap;
use std::time::Duration;

/// A write that was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Write {
    pub(crate) node: usize,
    pub(crate) key: u32,
    /// When its answer came.
    pub(crate) end: Duration,
    /// The version that it made, if it was acknowledged.
    pub(crate) acknowledged: Option<u64>,
}

/// A read that was answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Read {
    pub(crate) node: usize,
    pub(crate) key: u32,
    pub(crate) begin: Duration,
    pub(crate) end: Duration,
    /// 0: no item.
    pub(crate) version: u64,
}

/// A read that returned something too old.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Violation {
    pub(crate) read: Read,
    /// What it should at least have returned.
    pub(crate) floor: u64,
}

/// Everything that happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) writes: Vec<Write>,
    pub(crate) reads: Vec<Read>,
}

impl History {
    pub(crate) fn extend(&mut self, other: Self) {
        self.writes.extend(other.writes);
        self.reads.extend(other.reads);
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.writes.iter().filter(|write| write.acknowledged.is_some()).count()
    }

    /// Reads that are older than a write that was acknowledged before they began.
    pub(crate) fn older_than_acknowledged(&self) -> Vec<Violation> {
        self.older_than(Duration::ZERO)
    }

    /// Reads that are older than a write that was acknowledged more than `bound` before they began.
    pub(crate) fn older_than(&self, bound: Duration) -> Vec<Violation> {
        let floors = self.floors();
        let floor = |read: &Read| {
            let floors = floors.get(&read.key)?;
            let before = floors.partition_point(|(end, _)| *end + bound < read.begin);
            Some(floors[before.checked_sub(1)?].1)
        };
        let violations = self.reads.iter().filter_map(|read| {
            let floor = floor(read).filter(|floor| read.version < *floor)?;
            Some(Violation { read: *read, floor })
        });
        violations.collect()
    }

    /// Reads that are older than what the same node had returned before they began.
    pub(crate) fn monotone_per_node(&self) -> Vec<Violation> {
        let mut by_node: HashMap<usize, Self> = HashMap::new();
        for read in &self.reads {
            let own = by_node.entry(read.node).or_default();
            let Read { node, key, end, version, .. } = *read;
            own.writes.push(Write { node, key, end, acknowledged: Some(version) });
            own.reads.push(*read);
        }
        by_node.values().flat_map(Self::older_than_acknowledged).collect()
    }

    /// For each acknowledged write and each node that reads its key: how long after the acknowledgement a read began there that
    /// still returned something older.
    pub(crate) fn lags(&self) -> Vec<Duration> {
        // Per node and key: of each version the begin of the last read that returned it, the latest of these for all versions up
        // to it.
        let mut last: HashMap<(usize, u32), Vec<(u64, Duration)>> = HashMap::new();
        for read in &self.reads {
            last.entry((read.node, read.key)).or_default().push((read.version, read.begin));
        }
        for reads in last.values_mut() {
            reads.sort_unstable();
            let mut latest = Duration::ZERO;
            reads.iter_mut().for_each(|(_, begin)| {
                latest = latest.max(*begin);
                *begin = latest;
            });
        }
        let mut lags = Vec::new();
        let mut readers: Vec<usize> = self.reads.iter().map(|read| read.node).collect();
        readers.sort_unstable();
        readers.dedup();
        for write in &self.writes {
            let Some(version) = write.acknowledged else { continue };
            for node in readers.iter().filter(|node| **node != write.node) {
                let Some(reads) = last.get(&(*node, write.key)) else { continue };
                let older = reads.partition_point(|(read, _)| *read < version);
                let begin = older.checked_sub(1).map_or(Duration::ZERO, |index| reads[index].1);
                lags.push(begin.saturating_sub(write.end));
            }
        }
        lags.sort_unstable();
        lags
    }

    /// Of each key the ends of acknowledged writes, each with the newest version that was acknowledged up to then.
    fn floors(&self) -> HashMap<u32, Vec<(Duration, u64)>> {
        let mut floors: HashMap<u32, Vec<(Duration, u64)>> = HashMap::new();
        for write in &self.writes {
            if let Some(version) = write.acknowledged {
                floors.entry(write.key).or_default().push((write.end, version));
            }
        }
        for floors in floors.values_mut() {
            floors.sort_unstable();
            let mut newest = 0;
            floors.iter_mut().for_each(|(_, version)| {
                newest = newest.max(*version);
                *version = newest;
            });
        }
        floors
    }
}

/// What can be read off sorted lags.
pub(crate) fn histogram(lags: &[Duration]) -> String {
    let Some(max) = lags.last() else { return "no lags".to_owned() };
    let at = |part: f64| lags[((lags.len() - 1) as f64 * part) as usize];
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(at);
    format!("{} lags: p50 {p50:.1?}, p99 {p99:.1?}, p99.9 {p999:.1?}, max {max:.1?}", lags.len())
}

const MS: fn(u64) -> Duration = Duration::from_millis;

fn wrote(node: usize, version: u64, end: u64) -> Write {
    Write { node, key: 1, end: MS(end), acknowledged: Some(version) }
}

fn read(node: usize, version: u64, begin: u64, end: u64) -> Read {
    Read { node, key: 1, begin: MS(begin), end: MS(end), version }
}

#[test]
fn a_read_older_than_an_acknowledged_write_is_found() {
    let writes = vec![wrote(0, 1, 10), wrote(0, 2, 30)];
    let history = History { writes, reads: vec![read(1, 2, 25, 28), read(1, 1, 31, 40)] };
    let found = history.older_than_acknowledged();
    assert_eq!(found.iter().map(|found| (found.read.version, found.floor)).collect::<Vec<_>>(), [(1, 2)]);
    assert!(history.older_than(MS(1)).is_empty(), "the read began one millisecond after the acknowledgement");
}

#[test]
fn what_is_allowed_is_not_found() {
    let mut history = History { writes: vec![wrote(0, 1, 10), wrote(1, 2, 30)], reads: vec![] };
    // Before the acknowledgement, old and new are right. A read that began before it may end after it.
    history.reads.extend([read(1, 1, 21, 22), read(0, 2, 23, 24), read(1, 1, 29, 90), read(1, 2, 31, 32)]);
    // Nobody knows whether this one happened.
    history.writes.push(Write { acknowledged: None, ..wrote(0, 0, 50) });
    history.reads.extend([read(1, 2, 60, 61), read(1, 3, 62, 63)]);
    // Another key.
    history.reads.push(Read { key: 2, ..read(1, 0, 70, 71) });
    assert!(history.older_than_acknowledged().is_empty());
}

#[test]
fn acknowledgements_out_of_order_count_with_the_newest() {
    let history = History { writes: vec![wrote(0, 2, 10), wrote(1, 1, 20)], reads: vec![read(1, 1, 30, 31)] };
    assert_eq!(history.older_than_acknowledged().len(), 1);
}

#[test]
fn a_step_back_is_found_at_one_node_and_allowed_between_two() {
    let reads = vec![read(0, 2, 0, 10), read(1, 1, 11, 20), read(0, 1, 5, 30)];
    let mut history = History { writes: vec![], reads };
    assert!(history.monotone_per_node().is_empty(), "the last read began before the first had ended");
    history.reads.push(read(0, 1, 11, 12));
    assert_eq!(history.monotone_per_node().len(), 1);
}

#[test]
fn violations_planted_in_random_histories_are_found() {
    let seed = crate::seed();
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..200 {
        // One clock, one step after another: a write is seen at once by whoever reads.
        let (mut now, mut versions, mut history) = (0, [0; 4], History::default());
        for _ in 0..random.u32(20..200) {
            let key = random.u32(0..4);
            let (node, begin) = (random.usize(0..3), now);
            now += random.u64(1..50);
            match random.bool() {
                true => {
                    versions[key as usize] += 1;
                    history.writes.push(Write { key, ..wrote(node, versions[key as usize], now) });
                }
                false => history.reads.push(Read { key, ..read(node, versions[key as usize], begin, now) }),
            }
            now += 1;
        }
        assert!(history.older_than_acknowledged().is_empty());
        assert!(history.monotone_per_node().is_empty());
        assert!(history.lags().last().is_none_or(Duration::is_zero));
        let Some(write) = random.choice(history.writes.clone()) else { continue };
        let version = write.acknowledged.unwrap();
        let late = now + random.u64(1..5_000);
        let stale =
            Read { key: write.key, ..read(random.usize(0..3), random.u64(0..version), late, late + 1) };
        history.reads.push(stale);
        let found = history.older_than(MS(late) - write.end - MS(1));
        assert!(found.iter().any(|found| found.read.begin == stale.begin), "{history:?}");
        if stale.node != write.node {
            assert!(*history.lags().last().unwrap() >= stale.begin - write.end);
        }
    }
}
