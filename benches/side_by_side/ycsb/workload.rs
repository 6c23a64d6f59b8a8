//! YCSB's core workloads: which operations, in which part, on which records.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::zipf::Zipf;

/// The longest of the short scans, as in YCSB.
const SCAN_MAX: usize = 100;

/// One operation on a record, by its number.
pub(crate) enum Operation {
    Read(usize),
    Update(usize),
    Insert(usize),
    Scan { from: usize, records: usize },
    ReadModifyWrite(usize),
}

/// One of the workloads A to F.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Workload {
    pub(crate) letter: char,
    pub(crate) title: &'static str,
    /// Percent of the operations that read or scan; the others are of the other kind.
    reads: u32,
}

pub(crate) const WORKLOADS: [Workload; 6] = [
    Workload { letter: 'A', title: "A: 50 % update", reads: 50 },
    Workload { letter: 'B', title: "B: 5 % update", reads: 95 },
    Workload { letter: 'C', title: "C: read only", reads: 100 },
    Workload { letter: 'D', title: "D: read latest, 5 % insert", reads: 95 },
    Workload { letter: 'E', title: "E: short scans, 5 % insert", reads: 95 },
    Workload { letter: 'F', title: "F: 50 % read-modify-write", reads: 50 },
];

impl Workload {
    /// The next operation.
    pub(crate) fn next(self, records: &Records, random: &mut fastrand::Rng) -> Operation {
        let is_read = random.u32(0..100) < self.reads;
        match (self.letter, is_read) {
            ('D' | 'E', false) => Operation::Insert(records.begin_insert()),
            ('D', true) => Operation::Read(records.latest(random)),
            ('E', true) => Operation::Scan { from: records.any(random), records: random.usize(1..=SCAN_MAX) },
            ('F', false) => Operation::ReadModifyWrite(records.any(random)),
            (_, true) => Operation::Read(records.any(random)),
            (_, false) => Operation::Update(records.any(random)),
        }
    }
}

/// The records of one database.
pub(crate) struct Records {
    zipf: Zipf,
    inserts: RefCell<Inserts>,
}

/// Which records there are: all below `stored`.
struct Inserts {
    next: usize,
    stored: usize,
    /// Those that were stored before one of a lower number.
    early: BTreeSet<usize>,
}

impl Records {
    /// A database of that many records.
    pub(crate) fn new(records: usize) -> Self {
        let inserts = Inserts { next: records, stored: records, early: BTreeSet::new() };
        Self { zipf: Zipf::new(records), inserts: RefCell::new(inserts) }
    }

    /// One of those that were there from the beginning; the frequent ones lie anywhere.
    fn any(&self, random: &mut fastrand::Rng) -> usize {
        self.zipf.scrambled(random)
    }

    /// One that was stored lately, the last one most often.
    fn latest(&self, random: &mut fastrand::Rng) -> usize {
        self.inserts.borrow().stored - 1 - self.zipf.rank(random)
    }

    fn begin_insert(&self) -> usize {
        let mut inserts = self.inserts.borrow_mut();
        inserts.next += 1;
        inserts.next - 1
    }

    /// A record may be read from now on.
    pub(crate) fn inserted(&self, record: usize) {
        let mut inserts = self.inserts.borrow_mut();
        inserts.early.insert(record);
        while inserts.early.first() == Some(&inserts.stored) {
            inserts.early.pop_first();
            inserts.stored += 1;
        }
    }
}
