//! Which part of the reads a cache of another size would answer: the miss-ratio curve, by simulating caches of other sizes.
//!
//! The stores are no LRU, so a model of one would mispredict them. Instead the policy of the item store itself runs at small scale
//! for nine sizes, from a sixteenth to the sixteenfold, over addresses sampled by their hashes. Time to live, writes and the sizes
//! of entries count as in the real cache, because each event brings them from there. Pages are simulated with the same policy,
//! although their store is another one (moka's): an approximation.
//!
//! In flow, from the cache, what happens to sampled addresses ([`Curve::takes`] is all that others pay). Events wait in a buffer of
//! their thread; [`Curve::drain`] simulates, off the way of requests, in the order in which they were noted: a hit that came before a
//! write would otherwise be a miss behind it. Events beyond the buffers are dropped and counted, and the sample becomes smaller. No
//! request waits for another thread: an event whose buffer is in use is dropped and counted too. There are no keys in here: addresses
//! are keyed hashes.

mod simulation;

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::insight::sampled_hash::Sampling;
use crate::locks::{lock, try_lock};
use crate::spread::Spread;

use simulation::Simulation;

/// The sizes, as powers of two of the real one.
const SIZES: std::ops::RangeInclusive<i32> = -4..=4;

/// Which of them is the real one.
const REAL: usize = 4;

/// Events that wait in the buffer of a thread.
const EVENTS_MAX: usize = 1024;

/// How often a thread tries to note an event when others that share its buffer are about to.
const TRIES: usize = 64;

/// How often the reads of all tables are summed up.
const READS_MS: u64 = 1000;

/// Events that are simulated in a second. If there are more, the sample becomes smaller.
const EVENTS_PER_SECOND: f64 = 4096.0;

/// After how long a time with few events more addresses may be sampled.
const QUIET_MS: u64 = 60_000;

/// The sparsest sampling.
const SAMPLING_MAX: u32 = 24;

/// Entries from which on the real cache says what one costs.
const ENTRIES_MEASURED_MIN: u64 = 1000;

/// The times to live, as multiples of the present one, for which is counted what they would spare.
pub(crate) const TTL_FACTORS: [f64; FACTORS] = [2.0, 4.0, 8.0, 16.0];

const FACTORS: usize = 4;

/// What happened to an address in the real cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    /// Of the address.
    pub(crate) hash: u64,
    /// A digest of the words by which an entry of the address would be valid now.
    pub(crate) version: u32,
    /// The number of the table in the cache.
    pub(crate) table: u32,
    /// True if it was asked for.
    pub(crate) is_read: bool,
    /// True for a page of a Scan.
    pub(crate) is_scan: bool,
    /// The entry that is now in the real cache, if there is one.
    pub(crate) stored: Option<Stored>,
}

/// An entry of the real cache.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    /// What it takes from the allocator.
    pub(crate) bytes: u32,
    /// Of its value.
    pub(crate) crc32: u32,
    /// True if its value is that there is no item.
    pub(crate) is_absence: bool,
    /// When it was read from the upstream, in milliseconds since the cache was made.
    pub(crate) filled_ms: u64,
    /// When it expires, likewise.
    pub(crate) expires_ms: u64,
}

/// The real cache, as far as the simulations need to know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RealCache {
    /// Entries now.
    pub(crate) entries: u64,
    /// What they cost beside their own bytes.
    pub(crate) overhead_bytes: u64,
}

/// What is simulated, and how finely.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Entries in a simulated cache, at most.
    pub(crate) entries_max: usize,
    /// What an entry costs beside its own bytes, until the cache says otherwise.
    pub(crate) overhead_bytes: u32,
}

/// See the module. After a panic under one of its locks, a sample is wrong at worst.
pub(crate) struct Curve {
    /// The densest sampling of any simulation.
    sampling: AtomicU32,
    buffers: Spread<Mutex<Vec<Numbered>>>,
    /// The number of the next event.
    next: AtomicU64,
    /// Events for which a buffer had no room.
    dropped: AtomicU64,
    /// Events that were dropped because their buffer was in use. They are few, and make the sample no smaller.
    in_use: AtomicU64,
    ladder: Mutex<Ladder>,
}

/// An event, and how many were noted before it.
type Numbered = (u64, Event);

/// All simulations.
struct Ladder {
    bytes_max: u64,
    simulations: Vec<Simulation>,
    /// No simulation samples denser than that, because there were too many events.
    densest: Sampling,
    /// Since when there are so few events that there could be four times as many.
    quiet_since_ms: u64,
    drained_ms: u64,
    /// Since when this size is observed.
    began_ms: u64,
    /// By table, how many reads there had been when they were last summed up, and when that was.
    reads: HashMap<u32, u64>,
    reads_ms: u64,
    /// With the present cost of an entry.
    scale: Scale,
    /// Empty, with room for the next events.
    spare: Vec<Numbered>,
    dropped: u64,
}

/// What was counted in one simulation. Samples fade with time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct TableCounts {
    /// Reads of the real cache, sampled or not.
    pub(crate) reads: f64,
    /// Sampled reads.
    pub(crate) samples: f64,
    /// Sampled reads that miss.
    pub(crate) misses: f64,
    /// Misses because an entry had expired.
    pub(crate) expired: Expired,
    /// The same of the knowledge that there is no item.
    pub(crate) absences_expired: Expired,
    /// Entries that were stored.
    pub(crate) stored: f64,
    /// Entries that were evicted before their first hit.
    pub(crate) evicted_unused: f64,
    /// The same two of pages of scans alone.
    pub(crate) scans_stored: f64,
    pub(crate) scans_evicted_unused: f64,
}

/// Misses because an entry had expired.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Expired {
    /// Whose value was the same when it was read again.
    pub(crate) unchanged: f64,
    /// How many of them a time to live of each of [`TTL_FACTORS`] would have spared.
    pub(crate) unchanged_within: [f64; FACTORS],
    /// Whose value had changed.
    pub(crate) changed: f64,
}

/// A point of the curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    /// The size of the cache.
    pub(crate) bytes: u64,
    /// The part of the reads that it answers.
    pub(crate) hit_ratio: f64,
}

/// The curve of the cache, and what of it belongs to each table.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct CurveReport {
    /// The size that is configured.
    pub(crate) bytes_max: u64,
    /// For how long this size has been observed.
    pub(crate) observed_ms: u64,
    /// Sampled reads, in the simulation that has the fewest.
    pub(crate) samples: u64,
    /// From the smallest to the largest size; empty if there were no reads.
    pub(crate) points: Vec<Point>,
    /// What was counted at the configured size, as of all addresses.
    pub(crate) counts: TableCounts,
    /// Each table by its number in the cache.
    pub(crate) tables: Vec<(u32, TableCurve)>,
}

/// A table's part of the curve: the sizes are those of the whole cache.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TableCurve {
    /// Sampled reads, in the simulation that has the fewest.
    pub(crate) samples: u64,
    /// From the smallest to the largest size.
    pub(crate) points: Vec<Point>,
    /// What was counted at the configured size, as of all addresses.
    pub(crate) counts: TableCounts,
}

impl Curve {
    /// For a cache of that size.
    pub(crate) fn new(bytes_max: u64, scale: Scale) -> Self {
        Self {
            sampling: AtomicU32::new(0),
            buffers: Spread::default(),
            next: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            in_use: AtomicU64::new(0),
            ladder: Mutex::new(Ladder::new(bytes_max, scale, 0)),
        }
    }

    /// True if what happens to this address is of interest.
    pub(crate) fn takes(&self, hash: u64) -> bool {
        Sampling(self.sampling.load(Ordering::Relaxed)).takes(hash)
    }

    /// Takes note of what happened to an address that [`Curve::takes`].
    pub(crate) fn note(&self, event: Event) {
        // Held by another thread for the time of a push, or of a swap.
        let Some(mut buffer) = (0..TRIES).find_map(|_| try_lock(self.buffers.mine())) else {
            self.in_use.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if buffer.len() < EVENTS_MAX {
            let free = EVENTS_MAX - buffer.len();
            buffer.reserve_exact(free);
            buffer.push((self.next.fetch_add(1, Ordering::Relaxed), event));
        } else {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Simulates what was noted. To be called a few times a second. Once a second it asks for `reads`: by the number of the table, how
    /// many there have been that hit or fetched, sampled or not; tables without any may be left out.
    pub(crate) fn drain(&self, now_ms: u64, real: &RealCache, reads: impl FnOnce() -> Vec<(u32, u64)>) {
        let mut ladder = lock(&self.ladder);
        ladder.measure(real);
        let mut noted = std::mem::take(&mut ladder.spare);
        self.buffers.iter().for_each(|buffer| noted.append(&mut lock(buffer)));
        noted.sort_unstable_by_key(|(number, _)| *number);
        let events = noted.len();
        ladder.simulate(&noted, now_ms);
        noted.clear();
        // Many threads were busy at once: that much room is not kept.
        noted.shrink_to(EVENTS_MAX);
        ladder.spare = noted;
        ladder.tick(reads, events, self.dropped.load(Ordering::Relaxed), now_ms);
        let densest = ladder.simulations.iter().map(|simulation| simulation.sampling().0).min();
        self.sampling.store(densest.unwrap_or_default(), Ordering::Relaxed);
    }

    /// The cache has another size from now on. Drops everything that was counted at the former one.
    pub(crate) fn set_bytes_max(&self, bytes_max: u64, now_ms: u64) {
        let mut ladder = lock(&self.ladder);
        if ladder.bytes_max != bytes_max {
            let new = Ladder::new(bytes_max, ladder.scale, now_ms);
            let former = std::mem::replace(&mut *ladder, new);
            ladder.reads = former.reads;
            ladder.reads_ms = former.reads_ms;
            ladder.dropped = former.dropped;
            self.sampling.store(0, Ordering::Relaxed);
        }
    }

    /// Events that were dropped, because a buffer was full or in use.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed) + self.in_use.load(Ordering::Relaxed)
    }

    /// What was found out.
    pub(crate) fn report(&self) -> CurveReport {
        lock(&self.ladder).report()
    }

    /// What everything occupies.
    pub(crate) fn bytes(&self) -> usize {
        let buffers: usize =
            self.buffers.iter().map(|buffer| lock(buffer).capacity() * size_of::<Numbered>()).sum();
        let ladder = lock(&self.ladder);
        let simulations: usize = ladder.simulations.iter().map(Simulation::bytes).sum();
        buffers + simulations + ladder.spare.capacity() * size_of::<Numbered>()
    }
}

impl Ladder {
    fn new(bytes_max: u64, scale: Scale, now_ms: u64) -> Self {
        let sizes = SIZES.map(|power| (bytes_max as f64 * 2_f64.powi(power)) as u64);
        Self {
            bytes_max,
            simulations: sizes.map(|bytes| Simulation::new(bytes, scale.entries_max, now_ms)).collect(),
            densest: Sampling(0),
            quiet_since_ms: now_ms,
            drained_ms: now_ms,
            began_ms: now_ms,
            reads: HashMap::new(),
            reads_ms: now_ms,
            scale,
            spare: Vec::new(),
            dropped: 0,
        }
    }

    fn measure(&mut self, real: &RealCache) {
        if real.entries >= ENTRIES_MEASURED_MIN {
            let each = real.overhead_bytes / real.entries;
            self.scale.overhead_bytes = u32::try_from(each).unwrap_or(u32::MAX);
        }
    }

    fn simulate(&mut self, events: &[Numbered], now_ms: u64) {
        for simulation in &mut self.simulations {
            for (_, event) in events {
                simulation.apply(event, self.scale.overhead_bytes, now_ms);
            }
        }
    }

    /// The reads of each table since this was last asked, of those that had some.
    fn new_reads(&mut self, reads: Vec<(u32, u64)>) -> Vec<(u32, u64)> {
        let reads: HashMap<u32, u64> = reads.into_iter().collect();
        let before = std::mem::replace(&mut self.reads, reads);
        let new = self.reads.iter().map(|(table, reads)| {
            (*table, reads.saturating_sub(before.get(table).copied().unwrap_or_default()))
        });
        new.filter(|(_, reads)| *reads > 0).collect()
    }

    fn tick(&mut self, reads: impl FnOnce() -> Vec<(u32, u64)>, events: usize, dropped: u64, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(std::mem::replace(&mut self.drained_ms, now_ms));
        let were_dropped = dropped > std::mem::replace(&mut self.dropped, dropped);
        // Reads from before the counts are forgotten must not count after it.
        let reads = if were_dropped || now_ms.saturating_sub(self.reads_ms) >= READS_MS {
            self.reads_ms = now_ms;
            self.new_reads(reads())
        } else {
            Vec::new()
        };
        let rate = events as f64 * 1000.0 / elapsed_ms.max(100) as f64;
        let sparser = (rate / EVENTS_PER_SECOND).max(1.0).log2().ceil() as u32;
        if rate * 4.0 > EVENTS_PER_SECOND || were_dropped {
            self.quiet_since_ms = now_ms;
        } else if now_ms.saturating_sub(self.quiet_since_ms) >= QUIET_MS {
            self.quiet_since_ms = now_ms;
            self.densest = Sampling(self.densest.0.saturating_sub(1));
        }
        if sparser > 0 || were_dropped {
            let sampled = self.simulations.iter().map(|simulation| simulation.sampling().0).min();
            let densest = sampled.unwrap_or_default() + sparser.max(1);
            self.densest = Sampling(densest.min(SAMPLING_MAX));
        }
        for simulation in &mut self.simulations {
            simulation.tick(&reads, elapsed_ms, self.densest, now_ms);
            if were_dropped {
                // What was dropped would count as hits.
                simulation.forget_counts();
            }
        }
    }

    fn report(&self) -> CurveReport {
        let points = |counts: &dyn Fn(&Simulation) -> Option<TableCounts>| -> (u64, Vec<Point>) {
            let of_each = self.simulations.iter().filter_map(|simulation| {
                let counts = counts(simulation)?;
                let hit_ratio = simulation.hit_ratio(&counts)?;
                Some((counts.samples as u64, Point { bytes: simulation.bytes_max(), hit_ratio }))
            });
            let (samples, points): (Vec<_>, Vec<_>) = of_each.unzip();
            (samples.into_iter().min().unwrap_or_default(), points)
        };
        let real = &self.simulations[REAL];
        let (total, tables) = real.counts();
        let share = real.sampling().share();
        let tables = tables.iter().map(|(table, counts)| {
            let (samples, points) = points(&|simulation| simulation.counts().1.get(table).copied());
            (*table, TableCurve { samples, points, counts: counts.of_all(share) })
        });
        let (samples, points) = points(&|simulation| Some(*simulation.counts().0));
        CurveReport {
            bytes_max: self.bytes_max,
            observed_ms: self.drained_ms - self.began_ms,
            samples,
            points,
            counts: total.of_all(share),
            tables: tables.collect(),
        }
    }
}

impl TableCounts {
    fn fade(&mut self, factor: f64) {
        self.reads *= factor;
        self.scale_samples(factor);
    }

    /// Scales all that comes from samples.
    fn scale_samples(&mut self, factor: f64) {
        self.expired.scale(factor);
        self.absences_expired.scale(factor);
        let Self { samples, misses, stored, evicted_unused, scans_stored, scans_evicted_unused, .. } = self;
        for count in [samples, misses, stored, evicted_unused, scans_stored, scans_evicted_unused] {
            *count *= factor;
        }
    }

    /// As of all addresses, if this part of them was sampled. Samples stay as many as they are.
    fn of_all(mut self, share: f64) -> Self {
        let samples = self.samples;
        self.scale_samples(1.0 / share);
        Self { samples, ..self }
    }
}

impl Expired {
    fn scale(&mut self, factor: f64) {
        self.unchanged *= factor;
        self.unchanged_within.iter_mut().for_each(|count| *count *= factor);
        self.changed *= factor;
    }
}

impl std::fmt::Debug for Curve {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Curve").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALE: Scale = Scale { entries_max: 100, overhead_bytes: 0 };
    const REAL_CACHE: RealCache = RealCache { entries: 0, overhead_bytes: 0 };

    fn event(table: u32) -> Event {
        let stored =
            Stored { bytes: 1, crc32: 0, is_absence: false, filled_ms: 0, expires_ms: u64::from(u32::MAX) };
        Event { hash: table.into(), version: 0, table, is_read: true, is_scan: false, stored: Some(stored) }
    }

    #[test]
    fn what_many_threads_note_is_simulated_in_its_order() {
        let curve = Curve::new(1 << 20, Scale { entries_max: 64, overhead_bytes: 0 });
        let stored = Stored { bytes: 100, crc32: 0, is_absence: false, filled_ms: 0, expires_ms: 1 << 40 };
        let note = |version, is_read| {
            let event = Event { hash: 0, version, table: 1, is_read, is_scan: false, stored: Some(stored) };
            // A thread of its own has a buffer of its own.
            std::thread::scope(|scope| scope.spawn(|| curve.note(event)).join()).unwrap();
        };
        for version in 0..100 {
            note(version, false);
            note(version, true);
        }
        curve.drain(1, &REAL_CACHE, || vec![(1, 100)]);
        assert_eq!(curve.report().counts.misses, 0.0);
        assert!(curve.report().counts.samples > 99.0, "no more than a little has faded");
    }

    #[test]
    fn an_event_whose_buffer_is_in_use_is_dropped_and_counted_and_nobody_waits() {
        let curve = Curve::new(1 << 20, SCALE);
        let buffer = lock(curve.buffers.mine());
        curve.note(event(1));
        drop(buffer);
        assert_eq!(curve.dropped(), 1);
        curve.note(event(1));
        curve.drain(READS_MS, &REAL_CACHE, || vec![(1, 2)]);
        assert!(curve.report().counts.samples > 0.99, "what came before is not forgotten");
    }

    #[test]
    fn tables_are_summed_once_a_second() {
        let curve = Curve::new(1 << 20, SCALE);
        let mut sums = 0;
        for quarter in 1..=8 {
            curve.drain(quarter * READS_MS / 4, &REAL_CACHE, || {
                sums += 1;
                vec![(1, quarter)]
            });
        }
        assert_eq!(sums, 2);
        assert!((curve.report().counts.reads - 8.0).abs() < 0.1);
    }

    #[test]
    fn tables_that_nobody_reads_any_more_give_their_places_to_others() {
        let curve = Curve::new(1 << 20, SCALE);
        let has_curve = |table| curve.report().tables.iter().any(|(known, _)| *known == table);
        let others = 1..=simulation::TABLES_MAX as u32;
        let newcomer = simulation::TABLES_MAX as u32 + 1;
        others.clone().for_each(|table| curve.note(event(table)));
        curve.drain(READS_MS, &REAL_CACHE, || others.map(|table| (table, 100)).collect());
        assert!(has_curve(1) && !has_curve(newcomer));
        // Nine half-lives later nothing is left of a hundred reads.
        curve.drain(6_000_000, &REAL_CACHE, Vec::new);
        assert!(!has_curve(1));
        curve.note(event(newcomer));
        curve.drain(6_001_000, &REAL_CACHE, || vec![(newcomer, 1)]);
        assert!(has_curve(newcomer));
        assert_eq!(lock(&curve.ladder).reads.len(), 1);
    }
}
