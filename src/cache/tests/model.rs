//! A random-interleaving test of the protocol, and of the need for each of its rules.
//!
//! A few clients read and write a few keys through the real cache. Behind it stands a store that keeps every version, so
//! that an eventually consistent read can return any version a lagging replica might still have; writes time out and land
//! late or never, fetches are given up, entries vanish. A small scheduler picks what happens next. Every returned image
//! is then checked against the history:
//!
//! - it is not older than a write acknowledged before the read began;
//! - it is not older than what an earlier read of the key returned;
//! - when everything has come to rest, what is cached is what the store has;
//! - a change made elsewhere is seen when the TTL ends.
//!
//! In some setups a node elsewhere writes too, and reports what it changes. Reports are applied some time after the write was
//! acknowledged, and a lease comes and goes that vouches for them. Then no read is older than what was applied before it began, nor
//! than what was acknowledged elsewhere the length of a lease before.
//!
//! Some setups also query the partition of all keys, and store the items of the pages; see `src/cache/page/items.rs`.
//!
//! A schedule is a number. A failure prints it with what happened; `NEARSIDE_SEED=<number> cargo test --lib
//! cache::tests::model -- --nocapture` plays that schedule alone.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::schedules::{self, Journal, Rules, assert_needed, assert_sound};
use crate::cache::entry::{Entry, Facts, NewEntry};
use crate::cache::item::Rule;
use crate::cache::item::UNKNOWN_WRITE_WINDOW;
use crate::cache::page::{Half, PageRule};
use crate::cache::secret::{Secret, Secrets};
use crate::cache::store::{Store, Usage};
use crate::cache::*;

/// A store without a budget, whose evictions the test decides on. It keeps every entry it was ever given; the last of a
/// hash is the one there is.
struct PlainStore {
    entries: Mutex<HashMap<u64, Vec<Entry>>>,
    /// An eviction brings an older entry back, as no store should.
    resurrects: bool,
}

impl Store for PlainStore {
    fn get(&self, hash: u64) -> Option<Entry> {
        self.entries.lock().unwrap().get(&hash)?.last().cloned()
    }

    fn contains(&self, hash: u64) -> bool {
        self.get(hash).is_some()
    }

    fn insert(&self, hash: u64, entry: &NewEntry<'_>) -> bool {
        self.entries.lock().unwrap().entry(hash).or_default().push(entry.to_entry());
        true
    }

    fn reclaim(&self, is_dead: &dyn Fn(u64, &Facts) -> bool) -> u64 {
        let mut entries = self.entries.lock().unwrap();
        let before = entries.len();
        entries.retain(|hash, versions| !versions.last().is_none_or(|entry| is_dead(*hash, &entry.facts())));
        (before - entries.len()) as u64
    }

    fn evict(&self, hash: u64) {
        let mut entries = self.entries.lock().unwrap();
        let versions = entries.entry(hash).or_default();
        if self.resurrects {
            let newest = versions.pop();
            versions.splice(0..0, newest);
        } else {
            versions.clear();
        }
    }

    fn set_bytes_max(&self, _bytes_max: u64) {}

    fn usage(&self) -> Usage {
        Usage::default()
    }
}

/// What a schedule is made of.
#[derive(Clone, Copy, Debug)]
struct Setup {
    fill: FillMode,
    /// Changes made past this node.
    foreign_writes: u32,
    ttl: Option<Duration>,
    /// Readers whom the upstream fails are answered out of what has expired, and some items are too long to be kept.
    serves_stale: bool,
    /// Most writes get no answer and land late, with little else going on.
    loses_writes: bool,
    /// Some items are not understood.
    has_opaque: bool,
    /// The store brings old entries back. Then no read is promised to be as new as another read.
    store_resurrects: bool,
    broken: Option<Rule>,
    /// Pages are read too, and their items stored.
    has_pages: bool,
    page_fill: FillMode,
    broken_page_rule: Option<PageRule>,
    /// Statements change items that no guard is of; the upstream reports what they change.
    reports: bool,
    /// The node is in a fleet, and changes are made by another node of it.
    fleet: Option<LapsedReads>,
}

const LOCAL: Setup = Setup {
    fill: FillMode::Adaptive,
    foreign_writes: 0,
    ttl: None,
    serves_stale: false,
    loses_writes: false,
    has_opaque: false,
    store_resurrects: false,
    broken: None,
    has_pages: false,
    page_fill: FillMode::Adaptive,
    broken_page_rule: None,
    reports: false,
    fleet: None,
};
/// What reports does not lag, so every fill reads the latest version.
const REPORTED: Setup =
    Setup { fill: FillMode::Strong, page_fill: FillMode::Strong, has_pages: true, reports: true, ..LOCAL };
const PAGED: Setup = Setup { has_pages: true, ..LOCAL };
const PAGED_LATE: Setup = Setup { loses_writes: true, ..PAGED };
const PAGED_EVENTUAL: Setup = Setup { page_fill: FillMode::Eventual, ..PAGED };
const PAGED_FOREIGN: Setup = Setup { has_pages: true, page_fill: FillMode::Strong, ..FOREIGN_STRONG };
const FOREIGN_STRONG: Setup =
    Setup { fill: FillMode::Strong, foreign_writes: 4, ttl: Some(Duration::from_secs(40)), ..LOCAL };
const FOREIGN_ADAPTIVE: Setup = Setup { fill: FillMode::Adaptive, ..FOREIGN_STRONG };
const STALE: Setup = Setup { serves_stale: true, ..FOREIGN_STRONG };
const OPAQUE: Setup = Setup { has_opaque: true, ..FOREIGN_STRONG };
const FLEET: Setup = Setup { foreign_writes: 6, fleet: Some(LapsedReads::Young), ..LOCAL };
const FLEET_STRONG: Setup = Setup { fill: FillMode::Strong, page_fill: FillMode::Strong, ..FLEET };
const FLEET_LATE: Setup = Setup { loses_writes: true, ..FLEET };
const FLEET_BYPASS: Setup = Setup { fleet: Some(LapsedReads::Bypass), ..FLEET };
const FLEET_PAGED: Setup = Setup { has_pages: true, ..FLEET };
const BAD_STORE: Setup = Setup { store_resurrects: true, ..LOCAL };

impl Setup {
    /// True if nothing happens that a strong read could find to be stale.
    fn has_no_fault(self) -> bool {
        self.foreign_writes == 0
            && !self.store_resurrects
            && !self.reports
            && self.page_fill != FillMode::Eventual
            && matches!(self.broken, None | Some(Rule::DateReadsBySending))
            && self.broken_page_rule.is_none()
    }

    /// True if no read may return less than an earlier read of the key did.
    fn is_monotone(self) -> bool {
        !self.store_resurrects && (self.fill == FillMode::Strong || self.foreign_writes == 0)
    }
}

const HIT: &str = "hit";
const STALE_HIT: &str = "hit past its time";

/// How long what has expired may be served.
const STALE_MAX: Duration = Duration::from_secs(60);
const KEYS: usize = 2;
const CLIENTS: usize = 3;
const OPERATIONS: u32 = 5;
const TURNS_MAX: u32 = 3;

/// The length of a lease.
const LEASE: Duration = Duration::from_secs(1);

/// An eventually consistent read misses nothing older than this.
const LAG: Duration = Duration::from_secs(60);

/// The value of a key from a moment on; `None` if there is no item.
#[derive(Clone, Copy, Debug)]
struct Change {
    value: Option<u32>,
    at: Instant,
}

#[derive(Clone, Copy, Debug)]
enum ReadKind {
    Cached,
    Strong,
}

/// A read that a client waits for.
#[derive(Clone, Copy, Debug)]
struct Reading {
    key: usize,
    began: Instant,
    /// The version that it must not be older than.
    floor: usize,
    turns: u32,
}

enum Client {
    Idle,
    /// Waits for a step of somebody else: a fill it leads, a strong read, a write.
    Waiting,
    Joined(Reading, Pin<Box<dyn Future<Output = JoinOutcome>>>),
}

/// A fetch in its own task, and the client that waits for it, if it still does.
struct Fill {
    permit: FillPermit,
    client: usize,
    reading: Reading,
    image: Option<CachedItem>,
}

struct StrongRead {
    client: usize,
    sent: SentRead,
    reading: Reading,
    image: Option<CachedItem>,
}

/// What was captured for a page whose items are to be stored.
enum Fetching {
    /// For a client's query.
    Asked(PagePermit),
    /// For nobody: to warm the cache.
    Warming(Warming),
}

impl Fetching {
    fn consistency(&self) -> Consistency {
        match self {
            Self::Asked(permit) => permit.consistency(),
            Self::Warming(warming) => warming.consistency(),
        }
    }
}

/// A query of the partition of all keys, and what it reads.
struct PageFetch {
    permit: Fetching,
    client: usize,
    images: Option<Vec<CachedItem>>,
}

/// A write that the cache of items or that of pages has been told of, while the other has not.
struct HalfTold {
    client: usize,
    keys: Vec<usize>,
    /// The versions that its client is to hear of.
    acknowledged: Option<Vec<usize>>,
    tell: Box<dyn FnOnce(Instant)>,
}

/// A write in flight. Without a guard its keys are not known to the cache, which invalidates the table instead.
struct Writing {
    client: usize,
    guard: Option<WriteGuard>,
    page_guard: Option<PageWriteGuard>,
    keys: Vec<usize>,
    value: Option<u32>,
    /// The versions it became, once it has landed.
    landed: Option<Vec<usize>>,
    /// A write without a guard ends until then: what invalidated the table before it counts for so long.
    until: Option<Instant>,
}

/// A write of unknown outcome that may still land.
struct Zombie {
    keys: Vec<usize>,
    value: Option<u32>,
    until: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Invoke(usize),
    PollJoin(usize),
    FillRead(usize),
    FillDone(usize),
    FillGivenUp(usize),
    PageRead(usize),
    PageDone(usize),
    TellOther(usize),
    StrongRead(usize),
    StrongDone(usize),
    WriteLands(usize),
    WriteAnswered(usize),
    WriteLost(usize),
    ZombieLands(usize),
    ZombieDies(usize),
    Evict(usize),
    Advance,
    Sweep,
    ForeignWrite,
    StatementLands,
    ReportToPages,
    ReportToItems,
    WriteElsewhereAnswered(usize),
    WriteElsewhereLost(usize),
    ApplyReports,
    BeatSent,
    BeatAnswered,
    LeaseEnds,
}

/// A write of another node that has not been answered. It has landed, unless it will be lost.
struct WriteElsewhere {
    keys: Vec<usize>,
    value: Option<u32>,
    versions: Option<Vec<usize>>,
}

/// What another node has reported of a write and this node has not applied yet.
struct Unapplied {
    reports: Vec<Report>,
    /// The caches that must yet be told.
    halves: Vec<Half>,
    keys: Vec<usize>,
    /// What the write became, if it was acknowledged.
    versions: Vec<usize>,
}

/// The other nodes, as this one hears of them.
#[derive(Default)]
struct Fleet {
    writes: Vec<WriteElsewhere>,
    /// Their reports in order, and how many have been taken out of it.
    log: VecDeque<Unapplied>,
    applied: usize,
    /// When each version of a key was acknowledged elsewhere.
    acknowledged: Vec<(usize, usize, Instant)>,
    /// When a heartbeat was sent, and where the log ended then.
    beat: Option<(Instant, usize)>,
}

/// A statement that has landed, and has not been answered.
struct Landed {
    keys: Vec<usize>,
    versions: Vec<usize>,
    do_pages_know: bool,
}

impl Fleet {
    /// What is still to come of writes and reports.
    fn steps(&self) -> Vec<Step> {
        let ends = self.writes.iter().enumerate().map(|(index, write)| match write.versions {
            Some(_) => Step::WriteElsewhereAnswered(index),
            None => Step::WriteElsewhereLost(index),
        });
        ends.chain((!self.log.is_empty()).then_some(Step::ApplyReports)).collect()
    }
}

struct World {
    setup: Setup,
    journal: Journal,
    cache: Arc<ItemCache>,
    table: Arc<CachedTable>,
    pages: Arc<PageCache>,
    policy: ReadPolicy,
    history: Vec<Vec<Change>>,
    /// For each key, the version that reads beginning now must not fall behind.
    floors: [usize; KEYS],
    clients: Vec<Client>,
    operations_left: Vec<u32>,
    foreign_left: u32,
    statements_left: u32,
    statement: Option<Landed>,
    fills: Vec<Fill>,
    strong_reads: Vec<StrongRead>,
    page_fetches: Vec<PageFetch>,
    half_told: Vec<HalfTold>,
    writes: Vec<Writing>,
    elsewhere: Fleet,
    zombies: Vec<Zombie>,
    /// When the table is to be invalidated again, because a write whose keys the cache does not know may land until then.
    voids_due: Vec<Instant>,
    next_value: u32,
}

fn key_bytes(key: usize) -> [u8; 1] {
    [key as u8]
}

impl Setup {
    /// True of what the cache is not given.
    fn is_opaque(self, image: &CachedItem) -> bool {
        self.has_opaque && !image.is_absent() && image.crc32() % 3 == 2
    }
}

fn image_of(value: Option<u32>) -> CachedItem {
    value.map_or_else(CachedItem::absent, |value| {
        CachedItem::present(format!("{{\"v\":{{\"N\":\"{value}\"}}}}").as_bytes(), 3)
    })
}

impl schedules::World for World {
    type Setup = Setup;
    type Step = Step;

    fn new(setup: Setup, seed: u64) -> Self {
        let mut journal = Journal::new(seed);
        let limits = CacheLimits { max_bytes: 0, stripes: 1 << journal.random.u32(0..3) };
        let store = PlainStore { entries: Mutex::default(), resurrects: setup.store_resurrects };
        let mut cache = ItemCache::with_store(limits, Box::new(store), Secrets::Numbered(Secret(seed, seed)));
        if let Some(lapsed) = setup.fleet {
            let secret = FleetSecret::new(seed.into());
            cache = cache.leased(FleetMemory { secret, lease: LEASE, lapsed, stopped: None });
        }
        cache.rules = Rules::without(setup.broken);
        cache.keep_expired(STALE_MAX);
        let cache = Arc::new(cache);
        let start = Change { value: Some(0), at: Instant::now() - Duration::from_secs(3600) };
        Self {
            setup,
            table: cache.table(Realm::SOLE, "table", Instant::now()),
            pages: PageCache::for_model(cache.clone(), setup.broken_page_rule),
            cache,
            policy: ReadPolicy {
                ttl: setup.ttl,
                negative_ttl: setup.ttl,
                fill: setup.fill,
                item_bytes_max: if setup.serves_stale { image_of(Some(9)).body().len() } else { 1000 },
                stale_if_error: if setup.serves_stale { STALE_MAX } else { Duration::ZERO },
            },
            history: vec![vec![start]; KEYS],
            floors: [0; KEYS],
            clients: (0..CLIENTS).map(|_| Client::Idle).collect(),
            operations_left: vec![OPERATIONS; CLIENTS],
            foreign_left: setup.foreign_writes,
            statements_left: if setup.reports { 5 } else { 0 },
            statement: None,
            fills: Vec::new(),
            strong_reads: Vec::new(),
            page_fetches: Vec::new(),
            half_told: Vec::new(),
            writes: Vec::new(),
            elsewhere: Fleet::default(),
            zombies: Vec::new(),
            voids_due: Vec::new(),
            // From 10 on they are too long, if any are.
            next_value: if setup.serves_stale { 6 } else { 1 },
            journal,
        }
    }

    fn journal(&mut self) -> &mut Journal {
        &mut self.journal
    }

    fn steps(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (index, client) in self.clients.iter().enumerate() {
            match client {
                Client::Idle if self.operations_left[index] > 0 => steps.extend([Step::Invoke(index); 3]),
                Client::Joined(..) => steps.push(Step::PollJoin(index)),
                Client::Idle | Client::Waiting => {}
            }
        }
        for (index, fill) in self.fills.iter().enumerate() {
            let next = if fill.image.is_none() { Step::FillRead(index) } else { Step::FillDone(index) };
            steps.extend([next; 2]);
            if self.journal.random.u32(0..3) == 0 {
                steps.push(Step::FillGivenUp(index));
            }
        }
        for (index, fetch) in self.page_fetches.iter().enumerate() {
            steps.push(if fetch.images.is_none() { Step::PageRead(index) } else { Step::PageDone(index) });
        }
        steps.extend((0..self.half_told.len()).map(Step::TellOther));
        for (index, read) in self.strong_reads.iter().enumerate() {
            let next = if read.image.is_none() { Step::StrongRead(index) } else { Step::StrongDone(index) };
            steps.extend([next; 2]);
        }
        for (index, write) in self.writes.iter().enumerate() {
            steps.push(if write.landed.is_some() {
                Step::WriteAnswered(index)
            } else {
                Step::WriteLands(index)
            });
            steps.push(if write.landed.is_some() {
                Step::WriteAnswered(index)
            } else {
                Step::WriteLost(index)
            });
            if self.setup.loses_writes && write.landed.is_none() {
                steps.extend([Step::WriteLost(index); 8]);
            } else if self.journal.random.u32(0..4) == 0 {
                steps.push(Step::WriteLost(index));
            }
        }
        match &self.statement {
            Some(Landed { do_pages_know: true, .. }) => steps.push(Step::ReportToItems),
            Some(_) => steps.push(Step::ReportToPages),
            None if self.statements_left > 0 => steps.push(Step::StatementLands),
            None => {}
        }
        let are_slow = self.setup.fleet.is_some() && self.setup.loses_writes;
        for index in 0..self.zombies.len() {
            if are_slow && !steps.is_empty() && self.journal.random.u32(0..4) != 0 {
                continue;
            }
            steps.extend([Step::ZombieLands(index), Step::ZombieDies(index)]);
        }
        steps.extend(self.elsewhere.steps());
        if steps.is_empty() {
            return steps;
        }
        if self.foreign_left > 0 {
            steps.push(Step::ForeignWrite);
        }
        if self.setup.fleet.is_some() {
            steps.push(if self.elsewhere.beat.is_some() { Step::BeatAnswered } else { Step::BeatSent });
            steps.extend((self.journal.random.u32(0..8) == 0).then_some(Step::LeaseEnds));
        }
        // What is to be served long after it was stored must have a chance to be still there.
        let is_patient = self.setup.serves_stale || are_slow;
        if !is_patient || self.journal.random.u32(0..8) == 0 {
            steps.push(Step::Evict(self.journal.random.usize(0..KEYS)));
        }
        steps.extend([Step::Advance, Step::Sweep]);
        steps
    }

    fn pause_before(&mut self, step: Step) -> Option<Duration> {
        if !matches!(step, Step::Advance) {
            return None;
        }
        let longest = match self.journal.random.u32(0..6) {
            _ if self.setup.loses_writes => 30_000,
            likely if self.setup.fleet.is_some() && (2..5).contains(&likely) => 900,
            0..3 => 10,
            3..5 => 20_000,
            _ => 100_000,
        };
        // A late write has landed or died before that window ends.
        let pause = Duration::from_millis(self.journal.random.u64(1..=longest));
        let now = Instant::now();
        let writes = self.writes.iter().filter_map(|write| write.until);
        let bound = self.zombies.iter().map(|zombie| zombie.until).chain(writes).min();
        let bound = bound.map(|until| until.saturating_duration_since(now));
        Some(bound.map_or(pause, |bound| pause.min(bound.saturating_sub(Duration::from_millis(1)))))
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Invoke(client) => self.invoke(client),
            Step::PollJoin(client) => self.poll_join(client),
            Step::FillRead(index) => self.fill_read(index),
            Step::FillDone(index) => self.fill_done(index),
            Step::FillGivenUp(index) => self.fill_given_up(index),
            Step::PageRead(index) => self.page_read(index),
            Step::PageDone(index) => self.page_done(index),
            Step::TellOther(index) => {
                let HalfTold { client, keys, acknowledged, tell } = self.half_told.swap_remove(index);
                self.note(format_args!(
                    "client {client}'s write of keys {keys:?} is told to the other cache"
                ));
                tell(Instant::now());
                self.hear(client, keys, acknowledged);
            }
            Step::StrongRead(index) => {
                let key = self.strong_reads[index].reading.key;
                self.strong_reads[index].image = Some(image_of(self.latest(key).value));
                self.note(format_args!("strong read {index} reads key {key}: {:?}", self.latest(key).value));
            }
            Step::StrongDone(index) => self.strong_done(index),
            Step::WriteLands(index) => {
                let (keys, value) = (self.writes[index].keys.clone(), self.writes[index].value);
                self.commit(&keys, value);
                self.writes[index].landed =
                    Some(keys.iter().map(|key| self.history[*key].len() - 1).collect());
            }
            Step::WriteAnswered(index) => self.write_answered(index),
            Step::WriteLost(index) => self.write_lost(index),
            Step::ZombieLands(index) => {
                let zombie = self.zombies.swap_remove(index);
                self.commit(&zombie.keys, zombie.value);
            }
            Step::ZombieDies(index) => drop(self.zombies.swap_remove(index)),
            Step::Evict(key) => {
                let bytes = key_bytes(key);
                let hash = self.table.address(&bytes).hash;
                self.cache.store.evict(hash);
                self.note(format_args!("key {key} is evicted"));
            }
            Step::Advance => {}
            Step::Sweep => self.sweep(),
            Step::ForeignWrite if self.setup.fleet.is_some() => self.write_elsewhere(),
            Step::ForeignWrite => {
                self.foreign_left -= 1;
                let (key, value) = (self.journal.random.usize(0..KEYS), self.fresh_value());
                self.commit(&[key], value);
            }
            Step::StatementLands => self.land_statement(),
            Step::ReportToPages => self.report_to_pages(),
            Step::ReportToItems => self.report_to_items(),
            Step::WriteElsewhereAnswered(index) => self.write_elsewhere_answered(index),
            Step::WriteElsewhereLost(index) => self.write_elsewhere_lost(index),
            Step::ApplyReports => self.apply_reports(),
            Step::BeatSent => {
                let end = self.elsewhere.applied + self.elsewhere.log.len();
                self.elsewhere.beat = Some((Instant::now(), end));
            }
            Step::BeatAnswered => self.answer_beat(),
            Step::LeaseEnds => {
                self.note(format_args!("the lease ends"));
                self.elsewhere.beat = None;
                self.cache.end_lease(Instant::now());
            }
        }
    }

    fn check_at_rest(&mut self) {
        let stale = self.table.stats().stale_observed;
        if stale > 0 && self.setup.has_no_fault() {
            self.journal.violated(format!("{stale} reads count as stale without a fault"));
        }
        if stale > 0 && self.setup.fleet.is_some() {
            self.journal.violated(format!("{stale} reads count as stale in a fleet"));
        }
        // Changes made elsewhere may stay unseen until the TTL ends, unless they are reported.
        if self.setup.foreign_writes > 0 && self.setup.fleet.is_none() {
            return;
        }
        self.cache.renew_lease(Instant::now() + LEASE);
        self.sweep();
        self.pages.sweep(Instant::now());
        for key in 0..KEYS {
            let bytes = key_bytes(key);
            let hit = self.cache.lookup(&self.table.address(&bytes), Instant::now());
            let latest = image_of(self.latest(key).value);
            if let Some(hit) = hit
                && hit.value != latest
            {
                self.journal.violated(format!("at rest key {key} is cached as {:?}", hit.value.item_json()));
            }
        }
    }
}

impl World {
    fn note(&mut self, what: std::fmt::Arguments<'_>) {
        self.journal.note(what);
    }

    fn sweep(&mut self) {
        let now = Instant::now();
        let due = self.voids_due.len();
        self.voids_due.retain(|due| *due > now);
        if self.voids_due.len() < due {
            self.cache.invalidate_table(&self.table, now);
        }
        self.cache.sweep(now);
        if self.setup.has_pages && self.journal.random.u32(0..4) == 0 {
            // The two need not be swept together.
            self.pages.sweep(now);
        }
    }

    fn land_statement(&mut self) {
        self.statements_left -= 1;
        let first = self.journal.random.usize(0..KEYS);
        let keys = if self.journal.random.bool() { vec![first] } else { vec![first, (first + 1) % KEYS] };
        let value = self.fresh_value();
        self.commit(&keys, value);
        let versions = keys.iter().map(|key| self.history[*key].len() - 1).collect();
        self.statement = Some(Landed { keys, versions, do_pages_know: false });
    }

    fn report_to_pages(&mut self) {
        if let Some(statement) = &mut self.statement {
            statement.do_pages_know = true;
            let change = PageChange { table: &self.table, partition: b"all", moves: Vec::new() };
            self.pages.invalidate(&change, BumpReason::Reported, Instant::now());
        }
    }

    fn report_to_items(&mut self) {
        let Some(Landed { keys, versions, .. }) = self.statement.take() else { return };
        self.note(format_args!("a change of keys {keys:?} is reported, and answered"));
        for key in &keys {
            self.cache.invalidate(&self.table.address(&key_bytes(*key)), Instant::now());
        }
        for (key, version) in keys.into_iter().zip(versions) {
            self.floors[key] = self.floors[key].max(version);
        }
    }

    /// Another node writes. What it is not answered may land late.
    fn write_elsewhere(&mut self) {
        self.foreign_left -= 1;
        let first = self.journal.random.usize(0..KEYS);
        let is_single = self.journal.random.u32(0..4) != 0;
        let keys = if is_single { vec![first] } else { vec![first, (first + 1) % KEYS] };
        let value = self.fresh_value();
        let lost_in_four = if self.setup.loses_writes { 3 } else { 1 };
        let versions = (self.journal.random.u32(0..4) >= lost_in_four).then(|| {
            self.commit(&keys, value);
            keys.iter().map(|key| self.history[*key].len() - 1).collect()
        });
        self.elsewhere.writes.push(WriteElsewhere { keys, value, versions });
    }

    /// The other node publishes what it has changed, and then acknowledges.
    fn write_elsewhere_answered(&mut self, index: usize) {
        let WriteElsewhere { keys, value, versions } = self.elsewhere.writes.swap_remove(index);
        self.note(format_args!("the write of {value:?} elsewhere is reported and acknowledged"));
        let versions = versions.expect("only what landed is answered");
        for (key, version) in keys.iter().zip(&versions) {
            self.elsewhere.acknowledged.push((*key, *version, Instant::now()));
        }
        self.publish(keys, versions, Report::Changed);
    }

    fn write_elsewhere_lost(&mut self, index: usize) {
        let WriteElsewhere { keys, value, .. } = self.elsewhere.writes.swap_remove(index);
        self.note(format_args!("the write of {value:?} elsewhere is lost, which is reported"));
        let until = Instant::now() + UNKNOWN_WRITE_WINDOW;
        self.zombies.push(Zombie { keys: keys.clone(), value, until });
        self.publish(keys, Vec::new(), |changed| Report::MayChange(changed, UNKNOWN_WRITE_WINDOW));
    }

    fn publish(&mut self, keys: Vec<usize>, versions: Vec<usize>, report: impl Fn(Changed) -> Report) {
        let whole_table = self.journal.random.u32(0..6) == 0;
        let changed = |key: &usize| match whole_table {
            true => Changed::Table(self.table.digest()),
            false => Changed::Item(PageCache::changed_item(
                &self.table.address(&key_bytes(*key)),
                b"all",
                &IndexTouch::Unknown,
            )),
        };
        let reports = keys.iter().map(|key| report(changed(key))).collect();
        let halves = self.pages.halves().to_vec();
        self.elsewhere.log.push_back(Unapplied { reports, halves, keys, versions });
    }

    /// Applies what comes next to one of the caches.
    fn apply_reports(&mut self) {
        let Some(next) = self.elsewhere.log.front_mut() else { return };
        let half = next.halves.remove(0);
        let is_whole = next.halves.is_empty();
        next.reports.iter().for_each(|report| self.pages.apply_half(half, report, Instant::now()));
        self.note(format_args!("a report is applied to {half:?}"));
        if is_whole {
            let Some(Unapplied { keys, versions, .. }) = self.elsewhere.log.pop_front() else { return };
            self.elsewhere.applied += 1;
            for (key, version) in keys.into_iter().zip(versions) {
                self.floors[key] = self.floors[key].max(version);
            }
        }
    }

    fn answer_beat(&mut self) {
        let Some((sent, end)) = self.elsewhere.beat.take_if(|(_, end)| *end <= self.elsewhere.applied) else {
            return;
        };
        self.note(format_args!("the lease is renewed: all {end} reports are applied"));
        self.cache.renew_lease(sent + LEASE);
    }

    /// The version that a read beginning now must not be older than.
    fn floor(&self, key: usize) -> usize {
        let now = Instant::now();
        let acknowledged = self.elsewhere.acknowledged.iter();
        let due = acknowledged.filter(|(of, _, at)| *of == key && *at + LEASE <= now);
        due.map(|(_, version, _)| *version).fold(self.floors[key], usize::max)
    }

    fn latest(&self, key: usize) -> Change {
        *self.history[key].last().expect("a history has a beginning")
    }

    fn fresh_value(&mut self) -> Option<u32> {
        self.next_value += 1;
        (self.journal.random.u32(0..5) != 0).then_some(self.next_value)
    }

    fn commit(&mut self, keys: &[usize], value: Option<u32>) {
        for key in keys {
            self.history[*key].push(Change { value, at: Instant::now() });
        }
        self.note(format_args!("upstream: keys {keys:?} become {value:?}"));
    }

    fn invoke(&mut self, client: usize) {
        self.operations_left[client] -= 1;
        let (key, began) = (self.journal.random.usize(0..KEYS), Instant::now());
        if self.setup.has_pages && self.journal.random.u32(0..4) == 0 {
            return self.query(client);
        }
        let reading = Reading { key, began, floor: self.floor(key), turns: 0 };
        match self.journal.random.u32(0..if self.setup.serves_stale { 8 } else { 10 }) {
            0..5 => self.read(client, reading, ReadKind::Cached),
            5..7 => self.read(client, reading, ReadKind::Strong),
            7..9 => self.write(client, vec![key]),
            _ => self.write(client, (0..KEYS).collect()),
        }
    }

    fn read(&mut self, client: usize, reading: Reading, kind: ReadKind) {
        let key = reading.key;
        self.clients[client] = Client::Waiting;
        if matches!(kind, ReadKind::Strong) || reading.turns == TURNS_MAX {
            self.note(format_args!("client {client} reads key {key} strongly"));
            let sent = self.cache.sending(&self.table.address(&key_bytes(key)), self.setup.fill);
            self.strong_reads.push(StrongRead { client, sent, reading, image: None });
            return;
        }
        let reading = Reading { turns: reading.turns + 1, ..reading };
        let bytes = key_bytes(key);
        match self.cache.read(&self.table.address(&bytes), &self.policy, Instant::now()) {
            Lookup::Hit(hit) => self.returned(client, reading, &hit.value, HIT),
            Lookup::Join(joiner) => {
                self.note(format_args!("client {client} joins the fetch of key {key}"));
                self.clients[client] = Client::Joined(reading, Box::pin(joiner.wait()));
            }
            Lookup::Lead(permit) => {
                self.note(format_args!(
                    "client {client} leads a fetch of key {key}, {:?}",
                    permit.consistency()
                ));
                self.fills.push(Fill { permit, client, reading, image: None });
            }
        }
    }

    fn poll_join(&mut self, client: usize) {
        let Client::Joined(reading, wait) = &mut self.clients[client] else { return };
        let reading = *reading;
        match wait.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => {}
            Poll::Ready(JoinOutcome::Landed(image)) => self.returned(client, reading, &image, "joined"),
            Poll::Ready(JoinOutcome::Failed(_)) => self.failed(client, reading),
            Poll::Ready(JoinOutcome::LookAgain) => self.read(client, reading, ReadKind::Cached),
            Poll::Ready(JoinOutcome::Opaque) => self.read(client, reading, ReadKind::Strong),
        }
    }

    /// What the upstream may return.
    fn upstream_read(&mut self, key: usize, consistency: Consistency) -> Option<u32> {
        let history = &self.history[key];
        let oldest = match consistency {
            Consistency::Strong => history.len() - 1,
            // A version is out of every replica when its successor is older than the lag.
            Consistency::Eventual => {
                let horizon = Instant::now() - LAG;
                (1..history.len()).rev().find(|index| history[*index].at <= horizon).unwrap_or(0)
            }
        };
        history[self.journal.random.usize(oldest..history.len())].value
    }

    fn fill_read(&mut self, index: usize) {
        let (key, consistency) = (self.fills[index].reading.key, self.fills[index].permit.consistency());
        let value = self.upstream_read(key, consistency);
        self.fills[index].image = Some(image_of(value));
        self.note(format_args!("fetch {index} of key {key} reads {value:?}"));
    }

    fn query(&mut self, client: usize) {
        if self.journal.random.u8(..4) == 0 {
            let warming = self.pages.begin_warming(&self.table, self.setup.page_fill, Instant::now());
            self.note(format_args!("client {client} warms the keys, {:?}", warming.consistency()));
            self.clients[client] = Client::Waiting;
            self.page_fetches.push(PageFetch { permit: Fetching::Warming(warming), client, images: None });
            return;
        }
        let policy = PagePolicy {
            // The page itself is not stored: what is looked at here are its items.
            ttl: Some(Duration::ZERO),
            fill: self.setup.page_fill,
            gsi_quarantine: Duration::ZERO,
            page_bytes_max: 1000,
            scan_admission: ScanAdmission::First,
            stale_if_error: Duration::ZERO,
            fill_items: true,
        };
        let is_scan = self.journal.random.bool();
        let scope = if is_scan { PageScope::table() } else { PageScope::partition(&self.table, b"all") };
        let fingerprint = [b"query", b"scan-"][usize::from(is_scan)];
        let turn = self.pages.read(&self.table.address(fingerprint), &scope, &policy, Instant::now());
        if let Lookup::Lead(permit) = turn {
            let consistency = permit.consistency();
            self.note(format_args!("client {client} queries the keys, {consistency:?}"));
            self.clients[client] = Client::Waiting;
            self.page_fetches.push(PageFetch { permit: Fetching::Asked(permit), client, images: None });
        }
    }

    fn page_read(&mut self, index: usize) {
        let consistency = self.page_fetches[index].permit.consistency();
        let values: Vec<_> = (0..KEYS).map(|key| self.upstream_read(key, consistency)).collect();
        self.note(format_args!("query {index} reads {values:?}"));
        self.page_fetches[index].images = Some(values.into_iter().map(image_of).collect());
    }

    fn page_done(&mut self, index: usize) {
        let PageFetch { permit, client, images } = self.page_fetches.swap_remove(index);
        let images = images.expect("the query has read");
        let present = images.into_iter().enumerate().filter(|(_, image)| !image.is_absent());
        let items: Vec<_> =
            present.map(|(key, image)| PageItem { key: key_bytes(key).to_vec(), image }).collect();
        let before = self.table.stats().pages_installed;
        match permit {
            Fetching::Asked(permit) => {
                permit.complete_with_items(Page::new(Bytes::new()), &items, &self.policy, Instant::now());
            }
            Fetching::Warming(warming) => {
                let warm = |item| WarmItem { item, partition: b"all".to_vec() };
                let items: Vec<_> = items.into_iter().map(warm).collect();
                warming.store(&items, &self.policy, Instant::now());
            }
        }
        let stored = self.table.stats().pages_installed - before;
        self.note(format_args!("client {client} has queried the keys; {stored} are stored"));
        self.clients[client] = Client::Idle;
    }

    fn fill_done(&mut self, index: usize) {
        let Fill { permit, client, reading, image } = self.fills.swap_remove(index);
        let image = image.expect("the fetch has read");
        match self.setup.is_opaque(&image) {
            true => permit.complete_opaque(Instant::now()),
            false => permit.complete(image.clone(), Instant::now()),
        }
        self.returned(client, reading, &image, "fetched");
    }

    fn fill_given_up(&mut self, index: usize) {
        let Fill { permit, client, reading, .. } = self.fills.swap_remove(index);
        self.note(format_args!("the fetch of key {} is given up", reading.key));
        if self.journal.random.bool() {
            drop(permit);
        } else {
            permit.fail(crate::cache::flights::abandoned());
        }
        self.failed(client, reading);
    }

    /// The upstream has failed a reader.
    fn failed(&mut self, client: usize, reading: Reading) {
        self.clients[client] = Client::Idle;
        let bytes = key_bytes(reading.key);
        let stale =
            self.cache.lookup_stale(&self.table.address(&bytes), b"all", &self.policy, Instant::now());
        if let Some(hit) = stale.filter(|_| self.setup.serves_stale) {
            self.returned(client, reading, &hit.value, STALE_HIT);
        }
    }

    fn strong_done(&mut self, index: usize) {
        let StrongRead { client, sent, reading, image } = self.strong_reads.swap_remove(index);
        let image = image.expect("the read has read");
        let bytes = key_bytes(reading.key);
        let address = self.table.address(&bytes);
        match self.setup.is_opaque(&image) {
            true => self.cache.observe_opaque(&address, Instant::now()),
            false => self.cache.observe(&address, &image, sent, Instant::now()),
        }
        self.returned(client, reading, &image, "strongly read");
    }

    fn write(&mut self, client: usize, keys: Vec<usize>) {
        let value = self.fresh_value();
        let now = Instant::now();
        let (guard, page_guard) = if self.journal.random.u32(0..6) == 0 {
            self.cache.invalidate_table(&self.table, now);
            (None, None)
        } else {
            let bytes: Vec<_> = keys.iter().map(|key| key_bytes(*key)).collect();
            let addresses: Vec<_> = bytes.iter().map(|bytes| self.table.address(bytes)).collect();
            let partitions: Vec<_> = addresses.iter().map(|address| (*address, b"all".as_slice())).collect();
            let page_guard = self.setup.has_pages.then(|| self.pages.begin_write(&partitions, now));
            (Some(self.cache.begin_write(&addresses, now)), page_guard)
        };
        let known = if guard.is_some() { "" } else { ", which the cache is not told" };
        self.note(format_args!("client {client} begins to write {value:?} to keys {keys:?}{known}"));
        self.clients[client] = Client::Waiting;
        let until = guard.is_none().then_some(now + LAG);
        self.writes.push(Writing { client, guard, page_guard, keys, value, landed: None, until });
    }

    /// The upstream says yes, or says no although the write happened: its router had tried twice.
    fn write_answered(&mut self, index: usize) {
        let Writing { client, guard, page_guard, keys, value, landed, .. } = self.writes.swap_remove(index);
        let is_rejected = self.journal.random.u32(0..10) == 0;
        self.note(format_args!("client {client}'s write of {value:?} is answered, rejected: {is_rejected}"));
        let image = (!is_rejected && guard.is_some() && self.journal.random.bool()).then(|| image_of(value));
        let image = image.filter(|image| !self.setup.is_opaque(image));
        let (cache, table, policy) = (self.cache.clone(), self.table.clone(), self.policy);
        let tell_items = move |now| match guard {
            None => cache.invalidate_table(&table, now),
            Some(guard) if is_rejected => guard.rejected(now),
            Some(guard) => guard.applied(image.as_ref().map(|image| (image, &policy)), now),
        };
        let tell_pages = page_guard.map(|guard| {
            let tell =
                move |now| drop(if is_rejected { guard.rejected(now) } else { guard.applied(&[], now) });
            Box::new(tell) as Box<dyn FnOnce(Instant)>
        });
        let acknowledged = landed.filter(|_| !is_rejected);
        self.tell_both(client, keys, acknowledged, Box::new(tell_items), tell_pages);
    }

    /// No answer came. If the write has not landed it may still do so, or the upstream had rejected it.
    fn write_lost(&mut self, index: usize) {
        let Writing { client, guard, page_guard, keys, value, landed, .. } = self.writes.swap_remove(index);
        let now = Instant::now();
        let is_rejected = landed.is_none() && self.journal.random.bool();
        // A write that the cache does not know has invalidated the table before it was sent.
        let is_not_sent = is_rejected && guard.is_some() && self.journal.random.bool();
        let is_dropped = !is_rejected && guard.is_some() && self.journal.random.bool();
        let how = if is_not_sent {
            "not sent"
        } else if is_rejected {
            "rejected"
        } else {
            "lost"
        };
        self.note(format_args!("client {client}'s write of {value:?} is {how}"));
        if guard.is_none() && !is_rejected {
            self.voids_due.push(now + UNKNOWN_WRITE_WINDOW);
        }
        if landed.is_none() && !is_rejected {
            self.zombies.push(Zombie { keys: keys.clone(), value, until: now + UNKNOWN_WRITE_WINDOW });
        }
        let (cache, table) = (self.cache.clone(), self.table.clone());
        let tell_items = move |now| match guard {
            None => cache.invalidate_table(&table, now),
            Some(guard) if is_not_sent => guard.not_sent(now),
            Some(guard) if is_rejected => guard.rejected(now),
            Some(guard) if is_dropped => drop(guard),
            Some(guard) => guard.unknown(now),
        };
        let tell_pages = page_guard.map(|guard| {
            let tell = move |now| match guard {
                guard if is_not_sent => guard.not_sent(now),
                guard if is_rejected => drop(guard.rejected(now)),
                guard if is_dropped => drop(guard),
                guard => drop(guard.unknown(now)),
            };
            Box::new(tell) as Box<dyn FnOnce(Instant)>
        });
        self.tell_both(client, keys, None, Box::new(tell_items), tell_pages);
    }

    /// Tells a verdict to both caches, in any order and with anything in between, and then to the client.
    fn tell_both(
        &mut self,
        client: usize,
        keys: Vec<usize>,
        acknowledged: Option<Vec<usize>>,
        tell_items: Box<dyn FnOnce(Instant)>,
        tell_pages: Option<Box<dyn FnOnce(Instant)>>,
    ) {
        let now = Instant::now();
        let Some(tell_pages) = tell_pages else {
            tell_items(now);
            return self.hear(client, keys, acknowledged);
        };
        let (first, tell) =
            if self.journal.random.bool() { (tell_items, tell_pages) } else { (tell_pages, tell_items) };
        first(now);
        self.half_told.push(HalfTold { client, keys, acknowledged, tell });
    }

    fn hear(&mut self, client: usize, keys: Vec<usize>, acknowledged: Option<Vec<usize>>) {
        for (key, version) in keys.into_iter().zip(acknowledged.unwrap_or_default()) {
            self.floors[key] = self.floors[key].max(version);
        }
        self.clients[client] = Client::Idle;
    }

    /// Checks what a read returned against the history.
    fn returned(&mut self, client: usize, reading: Reading, image: &CachedItem, how: &str) {
        let Reading { key, began, floor, .. } = reading;
        self.note(format_args!("client {client} has {how} key {key}: {:?}", image.item_json()));
        self.clients[client] = Client::Idle;
        let history = &self.history[key];
        let version = (floor..history.len()).find(|version| image_of(history[*version].value) == *image);
        let Some(version) = version else {
            self.journal.violated(format!(
                "client {client} {how} key {key} as {:?}, older than version {floor} ({:?})",
                image.item_json(),
                history[floor].value
            ));
            return;
        };
        if self.setup.is_monotone() {
            self.floors[key] = self.floors[key].max(version);
        }
        let last = history.iter().rposition(|change| image_of(change.value) == *image).unwrap_or(0);
        let longest = match how {
            HIT => self.setup.ttl,
            STALE_HIT => self.setup.ttl.map(|ttl| ttl + STALE_MAX),
            _ => None,
        };
        if let (Some(successor), Some(longest)) = (history.get(last + 1), longest)
            && successor.at + longest + LAG < began
        {
            self.journal.violated(format!("client {client} {how} key {key} past its TTL"));
        }
    }
}

#[test]
fn no_schedule_of_local_writes_shows_an_old_item() {
    assert_sound::<World>(LOCAL, 10_000);
}

#[test]
fn no_schedule_with_writes_elsewhere_takes_a_key_back_in_time_when_fills_are_strong() {
    assert_sound::<World>(FOREIGN_STRONG, 5_000);
}

#[test]
fn no_schedule_takes_a_key_back_behind_an_answer_that_was_not_understood() {
    assert_sound::<World>(OPAQUE, 5_000);
}

#[test]
fn no_schedule_with_writes_elsewhere_hides_an_acknowledged_write_when_fills_are_adaptive() {
    assert_sound::<World>(FOREIGN_ADAPTIVE, 5_000);
}

#[test]
fn no_schedule_that_stores_items_out_of_pages_shows_an_old_item() {
    assert_sound::<World>(PAGED, 10_000);
    assert_sound::<World>(PAGED_LATE, 5_000);
    assert_sound::<World>(PAGED_EVENTUAL, 5_000);
    assert_sound::<World>(PAGED_FOREIGN, 5_000);
}

#[test]
fn no_schedule_of_reported_changes_shows_an_old_item() {
    assert_sound::<World>(REPORTED, 10_000);
}

#[test]
fn no_schedule_of_writes_in_a_fleet_shows_an_item_older_than_was_promised() {
    assert_sound::<World>(FLEET, 5_000);
    assert_sound::<World>(FLEET_STRONG, 2_000);
    assert_sound::<World>(FLEET_BYPASS, 2_000);
    assert_sound::<World>(FLEET_LATE, 3_000);
    assert_sound::<World>(FLEET_PAGED, 5_000);
}

#[test]
fn no_schedule_takes_a_key_back_in_time_when_what_has_expired_is_served_while_the_upstream_fails() {
    assert_sound::<World>(STALE, 10_000);
}

#[test]
fn no_schedule_hides_an_acknowledged_write_even_if_the_store_brings_old_entries_back() {
    assert_sound::<World>(BAD_STORE, 3_000);
}

#[test]
fn without_any_one_of_their_rules_items_of_pages_are_old() {
    let rules = [
        (PageRule::ItemsCheckWords, PAGED, 0),
        (PageRule::ItemsCheckWriters, PAGED, 0),
        (PageRule::ItemsCheckLateWrites, PAGED_LATE, 0),
        (PageRule::ItemsCheckTouches, PAGED_EVENTUAL, 0),
        (PageRule::ItemsCheckReads, PAGED_FOREIGN, 0),
        (PageRule::ItemsCheckFlights, PAGED_FOREIGN, 4_200),
        (PageRule::BumpOnReport, REPORTED, 0),
    ];
    let without =
        |(rule, setup, first)| (format!("{rule:?}"), Setup { broken_page_rule: Some(rule), ..setup }, first);
    assert_needed::<World>(rules.map(without), 100_000);
}

/// Every rule is there because something goes wrong without it; the model test sees what.
#[test]
fn without_any_one_of_its_rules_the_protocol_fails() {
    let rules = [
        (Rule::BumpOnSuccess, LOCAL),
        (Rule::BumpOnRejection, LOCAL),
        (Rule::HoldUnknown, LOCAL),
        (Rule::NoteUnknown, LOCAL),
        (Rule::JoinOnEqualWords, LOCAL),
        (Rule::TouchOnWrite, LOCAL),
        (Rule::TouchOnInvalidation, LOCAL),
        (Rule::ObserveReads, LOCAL),
        (Rule::ObserveSuperseded, LOCAL),
        (Rule::CheckWhatWasSeen, LOCAL),
        (Rule::LateReadersLookAgain, LOCAL),
        (Rule::ValidateHits, LOCAL),
        (Rule::ValidateTable, LOCAL),
        (Rule::WriteInstallsByCompareAndSwap, LOCAL),
        (Rule::ReadsKillWriteInstalls, FOREIGN_STRONG),
        (Rule::ExpireEntries, FOREIGN_STRONG),
        (Rule::UnstoredInvalidatesStale, STALE),
        (Rule::BumpOnReport, REPORTED),
        (Rule::OpaqueReadsInvalidate, OPAQUE),
        (Rule::DateReadsBySending, LOCAL),
    ];
    let without = |(rule, setup)| (format!("{rule:?}"), Setup { broken: Some(rule), ..setup }, 0);
    assert_needed::<World>(rules.map(without), 20_000);
}

/// The same of the rules that only a fleet needs.
#[test]
fn without_any_one_of_the_rules_of_a_fleet_what_was_promised_fails() {
    let rules = [
        (Rule::BumpOnElsewhere, FLEET, 0),
        (Rule::TouchOnElsewhere, FLEET, 2_900),
        (Rule::SpareOnlyWhatNothingHolds, FLEET, 2_300),
        (Rule::HoldElsewhere, FLEET_LATE, 2_600),
        (Rule::LeaseGatesHits, FLEET, 0),
        (Rule::JoinNeedsLease, FLEET, 2_900),
        (Rule::YoungMeansStrong, FLEET, 3_600),
        (Rule::LapsedReadsStrongly, FLEET, 0),
    ];
    let without = |(rule, setup, first)| (format!("{rule:?}"), Setup { broken: Some(rule), ..setup }, first);
    assert_needed::<World>(rules.map(without), 100_000);
    let setup = Setup { broken_page_rule: Some(PageRule::PagesFirst), ..FLEET_PAGED };
    assert_needed::<World>([(format!("{:?}", PageRule::PagesFirst), setup, 1_800)], 100_000);
}
