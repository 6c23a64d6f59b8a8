//! What a node of a fleet counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::cache::{Changed, Report};
use crate::telemetry::Metrics;

use super::bus::BusError;

/// Why a node left a world: nothing vouched for what was cached, and everything was invalidated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeftWorld {
    /// The server is another process than before.
    OtherServer,
    /// The log is another one: it was deleted or emptied.
    OtherLog,
    /// Entries were trimmed before they were read.
    Gap,
    /// The machine stood still.
    ClockJump,
}

impl LeftWorld {
    const ALL: [Self; 4] = [Self::OtherServer, Self::OtherLog, Self::Gap, Self::ClockJump];

    fn label(self) -> &'static str {
        match self {
            Self::OtherServer => "other_server",
            Self::OtherLog => "other_log",
            Self::Gap => "gap",
            Self::ClockJump => "clock_jump",
        }
    }
}

/// Why a write may be acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Acknowledged {
    /// The bus has what it changed, or every member has applied it.
    Heard,
    /// Nobody has, and the others serve nothing that is older.
    Covered,
    /// Nobody has, and others may serve what is older.
    Unheard,
}

/// Kinds of reports, in the order in which they are counted.
const KINDS: [&str; 6] = ["item", "table", "definition", "everything", "hold", "indexes_read"];

fn kind_of(report: &Report) -> usize {
    match report {
        Report::Changed(Changed::Item(_)) => 0,
        Report::Changed(Changed::Table(_)) => 1,
        Report::Changed(Changed::Definition(_)) => 2,
        Report::Changed(Changed::Everything) => 3,
        Report::MayChange(..) => 4,
        Report::IndexesRead(_) => 5,
    }
}

const ERRORS: [&str; 3] = ["unreachable", "other_server", "rejected"];

/// A label and its value.
type Label = Option<(&'static str, &'static str)>;

/// A figure under the name of its metric.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Figure {
    /// A count, with its label if it has one.
    Count(&'static str, Label, u64),
    /// A time.
    Time(&'static str, Duration),
}

/// What a node of a fleet counts.
pub(super) struct Stats {
    pub(super) metrics: Arc<Metrics>,
    applied: [AtomicU64; KINDS.len()],
    published: [AtomicU64; KINDS.len()],
    left_worlds: [AtomicU64; LeftWorld::ALL.len()],
    errors: [AtomicU64; ERRORS.len()],
    invalidations: AtomicU64,
    unreadable: AtomicU64,
    covered: AtomicU64,
    unheard: AtomicU64,
    timed_out: AtomicU64,
    stale_ms: AtomicU64,
    held_ms: AtomicU64,
    collapsed: AtomicU64,
}

impl Stats {
    pub(super) fn new(metrics: Arc<Metrics>) -> Arc<Self> {
        let zero = AtomicU64::default;
        Arc::new(Self {
            metrics,
            applied: std::array::from_fn(|_| zero()),
            published: std::array::from_fn(|_| zero()),
            left_worlds: std::array::from_fn(|_| zero()),
            errors: std::array::from_fn(|_| zero()),
            invalidations: zero(),
            unreadable: zero(),
            covered: zero(),
            unheard: zero(),
            timed_out: zero(),
            stale_ms: zero(),
            held_ms: zero(),
            collapsed: zero(),
        })
    }

    pub(super) fn applied(&self, report: &Report) {
        raise(&self.applied[kind_of(report)], 1);
    }

    pub(super) fn published(&self, reports: &[Report]) {
        reports.iter().for_each(|report| raise(&self.published[kind_of(report)], 1));
    }

    pub(super) fn left_world(&self, reason: LeftWorld) {
        raise(&self.left_worlds[reason as usize], 1);
    }

    #[cfg(test)]
    pub(super) fn worlds_left(&self) -> u64 {
        self.left_worlds.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    pub(super) fn failed(&self, error: &BusError) {
        let kind = match error {
            BusError::Unreachable(_) => 0,
            BusError::OtherServer => 1,
            BusError::Rejected(_) => 2,
        };
        raise(&self.errors[kind], 1);
    }

    pub(super) fn invalidated_everything(&self) {
        raise(&self.invalidations, 1);
    }

    pub(super) fn unreadable(&self) {
        raise(&self.unreadable, 1);
    }

    /// Reports became one that says that anything may have changed, because the bus was away for long.
    pub(super) fn collapsed(&self) {
        raise(&self.collapsed, 1);
    }

    pub(super) fn acknowledged(&self, acknowledged: Acknowledged, waited: Duration) {
        match acknowledged {
            Acknowledged::Heard => return,
            Acknowledged::Covered => raise(&self.covered, 1),
            Acknowledged::Unheard => raise(&self.unheard, 1),
        }
        raise(&self.held_ms, waited.as_millis() as u64);
    }

    pub(super) fn timed_out(&self) {
        raise(&self.timed_out, 1);
    }

    pub(super) fn was_stale(&self, duration: Duration) {
        raise(&self.stale_ms, duration.as_millis() as u64);
    }

    /// Every figure that is counted.
    pub(super) fn figures(&self) -> Vec<Figure> {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let time = |counter: &AtomicU64| Duration::from_millis(load(counter));
        let mut figures = vec![
            Figure::Count("nearside_fleet_voids_total", None, load(&self.invalidations)),
            Figure::Count("nearside_fleet_unreadable_total", None, load(&self.unreadable)),
            Figure::Count("nearside_fleet_covered_writes_total", None, load(&self.covered)),
            Figure::Count("nearside_fleet_unheard_writes_total", None, load(&self.unheard)),
            Figure::Count("nearside_fleet_timed_out_writes_total", None, load(&self.timed_out)),
            Figure::Count("nearside_fleet_reports_collapsed_total", None, load(&self.collapsed)),
            Figure::Time("nearside_fleet_stale_seconds_total", time(&self.stale_ms)),
            Figure::Time("nearside_fleet_writes_held_seconds_total", time(&self.held_ms)),
        ];
        let labels = KINDS.map(|kind| Some(("kind", kind)));
        for (name, counters) in [
            ("nearside_fleet_applied_total", &self.applied),
            ("nearside_fleet_published_total", &self.published),
        ] {
            let counted = labels.into_iter().zip(counters);
            figures.extend(counted.map(|(label, counter)| Figure::Count(name, label, load(counter))));
        }
        for (reason, counter) in LeftWorld::ALL.into_iter().zip(&self.left_worlds) {
            let label = Some(("reason", reason.label()));
            figures.push(Figure::Count("nearside_fleet_rejoins_total", label, load(counter)));
        }
        for (kind, counter) in ERRORS.into_iter().zip(&self.errors) {
            figures.push(Figure::Count(
                "nearside_fleet_bus_errors_total",
                Some(("kind", kind)),
                load(counter),
            ));
        }
        figures
    }

    /// How many writes were acknowledged that no other node has heard of.
    pub(super) fn unheard(&self) -> u64 {
        self.unheard.load(Ordering::Relaxed)
    }
}

fn raise(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
