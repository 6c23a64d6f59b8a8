//! Units that were saved and spent, counted by each thread for itself.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::capacity::{Basis, UnitKind, Units};
use crate::spread::Spread;

/// What was saved and spent since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpentUnits {
    /// Read units that the upstream would have charged for what was answered from memory, or by the fill of another reader.
    pub read_saved: Units,
    /// Read units that the upstream has charged.
    pub read_spent: Units,
    /// Write units that the upstream has charged.
    pub write_spent: Units,
    /// The part of what was spent that is an estimate, because the upstream did not report it and its answer hides sizes.
    pub estimated: Units,
}

impl std::ops::AddAssign for SpentUnits {
    fn add_assign(&mut self, other: Self) {
        self.read_saved += other.read_saved;
        self.read_spent += other.read_spent;
        self.write_spent += other.write_spent;
        self.estimated += other.estimated;
    }
}

/// Half units of one table or index.
#[derive(Debug, Default)]
pub(super) struct UnitCounts(Spread<Counts>);

#[derive(Debug, Default)]
struct Counts {
    read_saved: AtomicU64,
    read_spent: AtomicU64,
    write_spent: AtomicU64,
    estimated: AtomicU64,
}

impl UnitCounts {
    /// A read was answered that costs so much at the upstream.
    pub(super) fn save(&self, price: Units) {
        self.0.mine().read_saved.fetch_add(price.halves(), Ordering::Relaxed);
    }

    /// The upstream has charged so much.
    pub(super) fn spend(&self, kind: UnitKind, units: Units, basis: Basis) {
        let counts = self.0.mine();
        let spent = match kind {
            UnitKind::Read => &counts.read_spent,
            UnitKind::Write => &counts.write_spent,
        };
        spent.fetch_add(units.halves(), Ordering::Relaxed);
        if basis == Basis::Estimated {
            counts.estimated.fetch_add(units.halves(), Ordering::Relaxed);
        }
    }

    /// Counts what was counted elsewhere.
    pub(super) fn add(&self, units: SpentUnits) {
        let counts = self.0.mine();
        counts.read_saved.fetch_add(units.read_saved.halves(), Ordering::Relaxed);
        counts.read_spent.fetch_add(units.read_spent.halves(), Ordering::Relaxed);
        counts.write_spent.fetch_add(units.write_spent.halves(), Ordering::Relaxed);
        counts.estimated.fetch_add(units.estimated.halves(), Ordering::Relaxed);
    }

    pub(super) fn sum(&self) -> SpentUnits {
        let sum = |read: fn(&Counts) -> &AtomicU64| Units::from_halves(self.0.sum(read));
        SpentUnits {
            read_saved: sum(|counts| &counts.read_saved),
            read_spent: sum(|counts| &counts.read_spent),
            write_spent: sum(|counts| &counts.write_spent),
            estimated: sum(|counts| &counts.estimated),
        }
    }
}

/// As many items as this must be seen until their mean counts as much as the one of the upstream's description: few are no sample.
const DESCRIBED_ITEMS: u64 = 32;

/// The usual size of the items of a table or of the entries of an index, learned from answers that show them whole. Until there are
/// some, it is the mean size by the upstream's description.
#[derive(Debug, Default)]
pub(super) struct ItemSizes {
    bytes: AtomicU64,
    items: AtomicU64,
    /// 0 if it is not known.
    described: AtomicU64,
}

impl ItemSizes {
    pub(super) fn note(&self, sizes: &[usize]) {
        self.bytes.fetch_add(sizes.iter().map(|size| *size as u64).sum(), Ordering::Relaxed);
        self.items.fetch_add(sizes.len() as u64, Ordering::Relaxed);
    }

    /// Takes over the mean size by the upstream's description.
    pub(super) fn describe(&self, mean: usize) {
        self.described.store(mean as u64, Ordering::Relaxed);
    }

    /// The usual size; `None` while nothing is known of it.
    pub(super) fn usual(&self) -> Option<usize> {
        let (bytes, items) = (self.bytes.load(Ordering::Relaxed), self.items.load(Ordering::Relaxed));
        let described = self.described.load(Ordering::Relaxed);
        let weight = if described > 0 { DESCRIBED_ITEMS } else { 0 };
        (bytes + described * weight).checked_div(items + weight).map(|mean| mean as usize)
    }
}
