//! A random-interleaving test of the protocol of pages, and of the need for each of its rules.
//!
//! A few clients query and scan a table of a few items and its global index through the real cache, and write items, which
//! move between partitions of the index. Behind the cache stands a table that keeps every version of every item, so that an
//! eventually consistent read can return whatever a lagging replica might still have, and a read of the index whatever the
//! index might still show. Writes time out and land late or never, fetches are given up, pages vanish. A small scheduler
//! picks what happens next. Then, for every item that a page shows or should show:
//!
//! - a page of the table is not older than a write whose client had heard of it, for better or worse, before the read began;
//! - nor is a page of the index, if it was answered from memory and nobody else writes: the cache does not make the index
//!   lag longer;
//! - no page is older than what a client's own consistent read of the same request returned before;
//! - in a fleet, no page is older than what was applied before the read began of what another node reported, nor than what that
//!   node acknowledged the length of a lease before; of the index, this holds for hits, if nobody else writes;
//! - when everything has come to rest, what is cached is what the table has;
//! - a change made elsewhere is seen when the TTL ends.
//!
//! A schedule is a number. A failure prints it with what happened; `NEARSIDE_SEED=<number> cargo test --lib
//! cache::page::tests::model -- --nocapture` plays that schedule alone.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use crate::cache::flights::abandoned;
use crate::cache::item::UNKNOWN_WRITE_WINDOW;
use crate::cache::page::elsewhere::Half;
use crate::cache::page::entry::PageEntry;
use crate::cache::page::rules::PageRule;
use crate::cache::page::store::{PageStore, PageUsage};
use crate::cache::page::*;
use crate::cache::secret::{Secret, Secrets};
use crate::cache::store::BudgetedStore;
use crate::cache::table::Realm;
use crate::cache::tests::schedules::{self, Journal, Rules, assert_needed, assert_sound};
use crate::cache::{
    CacheLimits, CachedTable, Changed, Consistency, FillMode, FleetMemory, FleetSecret, ItemCache,
    JoinOutcome, LapsedReads, Lookup, Report,
};

/// A store without a budget, whose evictions the test decides on.
#[derive(Default)]
struct PlainStore(Mutex<HashMap<u64, Arc<PageEntry>>>);

impl PageStore for PlainStore {
    fn get(&self, hash: u64) -> Option<Arc<PageEntry>> {
        self.0.lock().unwrap().get(&hash).cloned()
    }

    fn insert(&self, hash: u64, entry: PageEntry) -> Result<(), PageNotStored> {
        self.0.lock().unwrap().insert(hash, Arc::new(entry));
        Ok(())
    }

    fn reclaim(&self, is_dead: &dyn Fn(&PageEntry) -> bool) -> u64 {
        let mut entries = self.0.lock().unwrap();
        let before = entries.len();
        entries.retain(|_, entry| !is_dead(entry));
        (before - entries.len()) as u64
    }

    fn evict(&self, hash: u64) {
        self.0.lock().unwrap().remove(&hash);
    }

    fn set_bytes_max(&self, _bytes_max: u64) {}

    fn usage(&self) -> PageUsage {
        PageUsage::default()
    }
}

impl PageCache {
    /// A cache for the model test of items, which stores no pages but their items.
    pub(in crate::cache) fn for_model(items: Arc<ItemCache>, broken: Option<PageRule>) -> Arc<Self> {
        let limits = PageLimits { max_bytes: 0, partition_stripes: 1, index_partition_stripes: 1 };
        let mut pages = Self::with_store(limits, items, Box::new(PlainStore::default()));
        pages.rules = Rules::without(broken);
        Arc::new(pages)
    }
}

/// What a schedule is made of.
#[derive(Clone, Copy, Debug)]
struct Setup {
    fill: FillMode,
    /// Changes made past this node.
    foreign_writes: u32,
    ttl: Option<Duration>,
    /// Readers whom the upstream fails are answered out of what has expired.
    serves_stale: bool,
    /// The upstream lags nowhere, reports what it changes, and removes items by itself.
    reports: bool,
    /// Half of the answers are not understood.
    is_opaque: bool,
    /// The node is in a fleet, and changes are made by another node of it.
    fleet: Option<LapsedReads>,
    /// Clients only read.
    reads_only: bool,
    /// Most pauses are shorter than a lease, and no client reads strongly by itself.
    is_hasty: bool,
    /// Which request is made and which item is written, if it is always the same.
    only: Option<(Request, usize)>,
    broken: Option<PageRule>,
}

impl Setup {
    /// True if nothing happens that a strong read could find to be stale.
    fn has_no_fault(self) -> bool {
        let is_whole = matches!(self.broken, None | Some(PageRule::DateReadsBySending));
        is_whole && self.foreign_writes == 0 && !self.reports
    }
}

const LOCAL: Setup = Setup {
    fill: FillMode::Adaptive,
    foreign_writes: 0,
    ttl: None,
    serves_stale: false,
    reports: false,
    is_opaque: false,
    fleet: None,
    reads_only: false,
    is_hasty: false,
    only: None,
    broken: None,
};
const REPORTED: Setup = Setup { fill: FillMode::Eventual, reports: true, ..LOCAL };
const REPORTED_CROWDED: Setup = Setup { only: Some((Request::IndexPartition(0), 0)), ..REPORTED };
/// One item is written by everybody, often past the cache, and one partition of the index is read.
const CROWDED: Setup = Setup { only: Some((Request::IndexPartition(0), 0)), ..LOCAL };
/// One item is written by everybody, and its partition is read, weakly and strongly.
const WATCHED: Setup = Setup { only: Some((Request::Partition(0), 0)), ..LOCAL };
const OPAQUE: Setup = Setup { is_opaque: true, ..WATCHED };
const FOREIGN: Setup = Setup { foreign_writes: 4, ttl: Some(Duration::from_secs(40)), ..LOCAL };
const FOREIGN_STRONG: Setup = Setup { fill: FillMode::Strong, ..FOREIGN };
/// Nobody writes elsewhere, so that pages of the index are bound too.
const STALE: Setup = Setup { ttl: FOREIGN.ttl, serves_stale: true, ..LOCAL };
const STALE_FOREIGN: Setup = Setup { serves_stale: true, ..FOREIGN };

const FLEET: Setup = Setup { foreign_writes: 6, fleet: Some(LapsedReads::Young), ..LOCAL };
const FLEET_BYPASS: Setup = Setup { fleet: Some(LapsedReads::Bypass), ..FLEET };
/// Nobody writes but the other node, so that pages of the index are bound too.
const FLEET_READERS: Setup = Setup { reads_only: true, ..FLEET };
const FLEET_WATCHED: Setup = Setup { only: WATCHED.only, ..FLEET };
const FLEET_HASTY: Setup = Setup { only: WATCHED.only, is_hasty: true, ..FLEET_READERS };
const FLEET_INDEX: Setup = Setup { only: CROWDED.only, ..FLEET_READERS };

const HIT: &str = "hit";
const STALE_HIT: &str = "hit past its time";

/// How long what has expired may be served.
const STALE_MAX: Duration = Duration::from_secs(60);
const ITEMS: usize = 3;
const CLIENTS: usize = 3;
const OPERATIONS: u32 = 6;
const TURNS_MAX: u32 = 3;

/// An eventually consistent read of the table misses nothing older than this.
const LAG: Duration = Duration::from_secs(60);

/// The length of a lease.
const LEASE: Duration = Duration::from_secs(1);

/// The index misses nothing older than this, and its pages are in quarantine a little longer.
const INDEX_LAG: Duration = Duration::from_secs(4);
const QUARANTINE: Duration = Duration::from_millis(4_100);

/// The requests that clients make: Query and Scan of the table, Query and Scan of the index.
const REQUESTS: [Request; 6] = [
    Request::Partition(0),
    Request::Partition(1),
    Request::Table,
    Request::IndexPartition(0),
    Request::IndexPartition(1),
    Request::Index,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Partition(usize),
    Table,
    IndexPartition(usize),
    Index,
}

impl Request {
    fn number(self) -> usize {
        REQUESTS.iter().position(|request| *request == self).expect("every request is listed")
    }

    fn is_of_index(self) -> bool {
        matches!(self, Self::IndexPartition(_) | Self::Index)
    }

    /// What its page shows of an item.
    fn shown(self, item: usize, value: Option<Value>) -> Option<u32> {
        let is_shown = match self {
            Self::Partition(partition) => partition == partition_of(item),
            Self::Table => true,
            Self::IndexPartition(place) => value?.place == Some(place),
            Self::Index => value?.place.is_some(),
        };
        value.filter(|_| is_shown).map(|value| value.number)
    }
}

fn partition_of(item: usize) -> usize {
    item % 2
}

/// An item: a number that no other write wrote, and the partition of the index that it is in, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Value {
    number: u32,
    place: Option<usize>,
}

/// The value of an item from a moment on; `None` if there is no item.
#[derive(Clone, Copy, Debug)]
struct Change {
    value: Option<Value>,
    at: Instant,
}

/// What a page shows of each item.
type Shown = [Option<u32>; ITEMS];

fn page_of(shown: &Shown) -> Page {
    Page::new(format!("{shown:?}").into())
}

/// For each item, the version that a page must not be older than.
type Floors = [usize; ITEMS];

/// A read that a client waits for.
#[derive(Clone, Copy, Debug)]
struct Reading {
    request: Request,
    began: Instant,
    floors: Floors,
    /// The same for hits: what the upstream has removed by itself stays removed.
    removed: Floors,
    turns: u32,
}

enum Client {
    Idle,
    /// Waits for a step of somebody else: a fetch it leads, a strong read, a write.
    Waiting,
    Joined(Reading, Pin<Box<dyn Future<Output = JoinOutcome<Page>>>>),
}

/// A fetch, or a strong read past the cache, and the client that waits for it.
struct Fetch {
    /// `None` if it is past the cache.
    permit: Option<PagePermit>,
    sent: SentPage,
    client: usize,
    reading: Reading,
    shown: Option<Shown>,
}

/// A write in flight. Without a guard its keys are not known to the cache, which invalidates the table instead.
struct Writing {
    client: usize,
    guard: Option<PageWriteGuard>,
    changes: Vec<(usize, Option<Value>)>,
    /// What was overwritten, and the versions it became, once it has landed.
    landed: Option<Vec<(Option<Value>, usize)>>,
    /// A write without a guard ends until then: what invalidated the table before it counts for so long.
    until: Option<Instant>,
}

/// A commit of an upstream that reports. They are made one after the other.
struct Commit {
    /// Items, and what they were.
    changes: Vec<(usize, Option<Value>)>,
    stage: Stage,
    /// Held until the removal is reported.
    _removal: Option<RemovalGuard>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// A removal of the item, of which the cache has heard.
    Removing,
    /// The same, seen by every reader.
    Removed,
    /// Of a write, seen by every reader.
    Written,
}

/// A write of unknown outcome that may still land.
struct Zombie {
    changes: Vec<(usize, Option<Value>)>,
    until: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Invoke(usize),
    PollJoin(usize),
    FetchReads(usize),
    FetchDone(usize),
    FetchGivenUp(usize),
    WriteLands(usize),
    WriteAnswered(usize),
    WriteLost(usize),
    ZombieLands(usize),
    ZombieDies(usize),
    Evict(usize),
    Advance,
    Sweep,
    ForeignWrite,
    RemovalBegins(usize),
    RemovalLands,
    Report,
    WriteElsewhereEnds,
    ApplyReport,
    BeatSent,
    BeatAnswered,
    LeaseEnds,
}

/// A write of another node, of one item, that has not been answered.
struct WriteElsewhere {
    item: usize,
    old: Option<Value>,
    value: Option<Value>,
    /// What it has become. If it has not landed, no answer will come.
    version: Option<usize>,
}

/// The other nodes, as this one hears of them.
#[derive(Default)]
struct Fleet {
    /// They write one after the other: what is promised of an index holds for those who do.
    write: Option<WriteElsewhere>,
    /// Until when a write without an answer may land. While it may, they do not claim to know where an item was.
    lost_until: Option<Instant>,
    /// Their reports in order, each with what it acknowledged, and how many have been applied.
    log: VecDeque<(Report, Option<(usize, usize)>)>,
    applied: usize,
    /// When each version of an item was acknowledged elsewhere.
    acknowledged: Vec<(usize, usize, Instant)>,
    /// When a heartbeat was sent, and where the log ended then.
    beat: Option<(Instant, usize)>,
}

struct World {
    setup: Setup,
    journal: Journal,
    items: Arc<ItemCache>,
    pages: Arc<PageCache>,
    table: Arc<CachedTable>,
    policy: PagePolicy,
    history: Vec<Vec<Change>>,
    /// What reads that begin now must not fall behind: writes that their clients have heard of.
    floors: Floors,
    /// The same, for each request: what strong reads of it returned.
    seen: [Floors; REQUESTS.len()],
    clients: Vec<Client>,
    operations_left: Vec<u32>,
    foreign_left: u32,
    fetches: Vec<Fetch>,
    writes: Vec<Writing>,
    elsewhere: Fleet,
    zombies: Vec<Zombie>,
    /// What an upstream that reports is about to report.
    commit: Option<Commit>,
    removals_left: u32,
    removed: Floors,
    /// When the table is to be invalidated again, because a write whose keys the cache does not know may land until then.
    voids_due: Vec<Instant>,
    next_number: u32,
}

impl schedules::World for World {
    type Setup = Setup;
    type Step = Step;

    fn new(setup: Setup, seed: u64) -> Self {
        let mut journal = Journal::new(seed);
        let limits = CacheLimits { max_bytes: 1 << 20, stripes: 1 };
        // With a secret of its own each schedule is the same whenever it is played.
        let store = Box::new(BudgetedStore::new(limits.max_bytes));
        let mut items = ItemCache::with_store(limits, store, Secrets::Numbered(Secret(seed, seed)));
        if let Some(lapsed) = setup.fleet {
            let secret = FleetSecret::new(seed.into());
            items = items.leased(FleetMemory { secret, lease: LEASE, lapsed, stopped: None });
        }
        let items = Arc::new(items);
        items.keep_expired(STALE_MAX);
        let limits = PageLimits {
            max_bytes: 0,
            partition_stripes: 1 << journal.random.u32(0..8),
            index_partition_stripes: 1 << journal.random.u32(0..8),
        };
        let mut pages = PageCache::with_store(limits, items.clone(), Box::new(PlainStore::default()));
        pages.rules = Rules::without(setup.broken);
        let first = Value { number: 0, place: Some(0) };
        let start = Change { value: Some(first), at: Instant::now() - Duration::from_secs(3600) };
        Self {
            setup,
            table: items.table(Realm::SOLE, "table", Instant::now()),
            items,
            pages: Arc::new(pages),
            policy: PagePolicy {
                ttl: setup.ttl,
                fill: setup.fill,
                gsi_quarantine: if setup.reports { Duration::ZERO } else { QUARANTINE },
                page_bytes_max: 1000,
                stale_if_error: if setup.serves_stale { STALE_MAX } else { Duration::ZERO },
                scan_admission: if journal.random.bool() {
                    ScanAdmission::First
                } else {
                    ScanAdmission::Second
                },
                fill_items: false,
            },
            history: vec![vec![start]; ITEMS],
            floors: [0; ITEMS],
            seen: [[0; ITEMS]; REQUESTS.len()],
            clients: (0..CLIENTS).map(|_| Client::Idle).collect(),
            operations_left: vec![OPERATIONS; CLIENTS],
            foreign_left: setup.foreign_writes,
            fetches: Vec::new(),
            writes: Vec::new(),
            elsewhere: Fleet::default(),
            zombies: Vec::new(),
            commit: None,
            removals_left: if setup.reports { 3 } else { 0 },
            removed: [0; ITEMS],
            voids_due: Vec::new(),
            next_number: 1,
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
        for (index, fetch) in self.fetches.iter().enumerate() {
            let next = if fetch.shown.is_none() { Step::FetchReads(index) } else { Step::FetchDone(index) };
            steps.extend([next; 2]);
            if self.journal.random.u32(0..4) == 0 {
                steps.push(Step::FetchGivenUp(index));
            }
        }
        for (index, write) in self.writes.iter().enumerate() {
            let next = match (&write.landed, &self.commit) {
                // Nobody is answered before the report, and nothing is committed.
                (_, Some(_)) => continue,
                (Some(_), None) => Step::WriteAnswered(index),
                (None, None) => Step::WriteLands(index),
            };
            steps.extend([next; 2]);
            if self.journal.random.u32(0..3) == 0 {
                steps.push(Step::WriteLost(index));
            }
        }
        match &self.commit {
            Some(Commit { stage: Stage::Removing, .. }) => steps.extend([Step::RemovalLands; 2]),
            Some(_) => steps.extend([Step::Report; 2]),
            None if self.removals_left > 0 && !steps.is_empty() => {
                let any = self.journal.random.usize(0..ITEMS);
                steps.push(Step::RemovalBegins(self.setup.only.map_or(any, |(_, item)| item)));
            }
            None => {}
        }
        for index in 0..if self.commit.is_none() { self.zombies.len() } else { 0 } {
            steps.extend([Step::ZombieLands(index), Step::ZombieDies(index)]);
        }
        steps.extend(self.elsewhere.write.as_ref().map(|_| Step::WriteElsewhereEnds));
        steps.extend((!self.elsewhere.log.is_empty()).then_some(Step::ApplyReport));
        if steps.is_empty() {
            return steps;
        }
        if self.foreign_left > 0 && self.elsewhere.write.is_none() {
            steps.push(Step::ForeignWrite);
        }
        if self.setup.fleet.is_some() {
            steps.push(if self.elsewhere.beat.is_some() { Step::BeatAnswered } else { Step::BeatSent });
            steps.extend((self.journal.random.u32(0..8) == 0).then_some(Step::LeaseEnds));
        }
        if self.journal.random.u32(0..3) == 0 {
            steps.push(Step::Evict(self.journal.random.usize(0..REQUESTS.len())));
        }
        steps.extend([Step::Advance, Step::Sweep]);
        steps
    }

    fn pause_before(&mut self, step: Step) -> Option<Duration> {
        if !matches!(step, Step::Advance) {
            return None;
        }
        let longest = match self.journal.random.u32(0..7) {
            0..2 => 10,
            likely if self.setup.fleet.is_some() && (2..4).contains(&likely) => 900,
            likely if self.setup.is_hasty && likely >= 4 => 300,
            2..5 => 8_000,
            5 => 30_000,
            _ if self.setup.only.is_some() => 8_000,
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
            Step::FetchReads(index) => self.fetch_reads(index),
            Step::FetchDone(index) => self.fetch_done(index),
            Step::FetchGivenUp(index) => self.fetch_given_up(index),
            Step::WriteLands(index) => {
                let changes = self.writes[index].changes.clone();
                let landed = changes.iter().map(|(item, _)| self.latest(*item)).collect::<Vec<_>>();
                self.commit(&changes);
                self.await_report(&changes, &landed);
                let versions = changes.iter().map(|(item, _)| self.history[*item].len() - 1);
                self.writes[index].landed = Some(landed.into_iter().zip(versions).collect());
            }
            Step::WriteAnswered(index) => self.write_answered(index),
            Step::WriteLost(index) => self.write_lost(index),
            Step::ZombieLands(index) => {
                let zombie = self.zombies.swap_remove(index);
                let landed = zombie.changes.iter().map(|(item, _)| self.latest(*item)).collect::<Vec<_>>();
                self.commit(&zombie.changes);
                self.await_report(&zombie.changes, &landed);
            }
            Step::ZombieDies(index) => drop(self.zombies.swap_remove(index)),
            Step::Evict(number) => {
                self.pages.store.evict(self.table.address(&[number as u8]).hash());
                self.note(format_args!("the page of {:?} is evicted", REQUESTS[number]));
            }
            Step::Advance => {}
            Step::Sweep => self.sweep(),
            Step::ForeignWrite if self.setup.fleet.is_some() => self.write_elsewhere(),
            Step::ForeignWrite => {
                self.foreign_left -= 1;
                let change = (self.journal.random.usize(0..ITEMS), self.fresh_value());
                self.commit(&[change]);
            }
            Step::RemovalBegins(item) => self.begin_removal(item),
            Step::RemovalLands => self.land_removal(),
            Step::Report => self.report(),
            Step::WriteElsewhereEnds => self.end_write_elsewhere(),
            Step::ApplyReport => self.apply_report(),
            Step::BeatSent => {
                let end = self.elsewhere.applied + self.elsewhere.log.len();
                self.elsewhere.beat = Some((Instant::now(), end));
            }
            Step::BeatAnswered => self.answer_beat(),
            Step::LeaseEnds => {
                self.note(format_args!("the lease ends"));
                self.elsewhere.beat = None;
                self.items.end_lease(Instant::now());
            }
        }
    }

    fn check_at_rest(&mut self) {
        let stale = self.table.page_stats().stale_observed;
        if stale > 0 && self.setup.has_no_fault() {
            self.journal.violated(format!("{stale} pages count as stale without a fault"));
        }
        if stale > 0 && self.setup.fleet.is_some() {
            self.journal.violated(format!("{stale} pages count as stale in a fleet"));
        }
        // Changes made elsewhere may stay unseen until the TTL ends, unless they are reported.
        if self.setup.foreign_writes > 0 && self.setup.fleet.is_none() {
            return;
        }
        self.items.renew_lease(Instant::now() + LEASE);
        self.sweep();
        // Where a write here overlaps with one elsewhere, pages of the index may be old until their time to live ends.
        let is_bound =
            |request: &Request| self.setup.fleet.is_none() || self.setup.reads_only || !request.is_of_index();
        for request in REQUESTS.into_iter().filter(is_bound) {
            let fingerprint = [request.number() as u8];
            let latest = std::array::from_fn(|item| request.shown(item, self.latest(item)));
            if let Some(hit) = self.pages.lookup(&self.table.address(&fingerprint), Instant::now())
                && hit.value != page_of(&latest)
            {
                self.journal.violated(format!("at rest {request:?} is cached as {:?}", hit.value.body()));
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
            self.items.invalidate_table(&self.table, now);
        }
        self.pages.sweep(now);
    }

    /// Another node writes. What it is not answered may land late.
    fn write_elsewhere(&mut self) {
        self.foreign_left -= 1;
        let any = self.journal.random.usize(0..ITEMS);
        let item = self.setup.only.map_or(any, |(_, item)| item);
        let (old, value) = (self.latest(item), self.fresh_value());
        let version = (self.journal.random.u32(0..4) != 0).then(|| {
            self.commit(&[(item, value)]);
            self.history[item].len() - 1
        });
        self.elsewhere.write = Some(WriteElsewhere { item, old, value, version });
    }

    /// The other node publishes what it has changed, or may have. Then it acknowledges.
    fn end_write_elsewhere(&mut self) {
        let Some(WriteElsewhere { item, old, value, version }) = self.elsewhere.write.take() else { return };
        self.note(format_args!("the write of {value:?} to item {item} elsewhere ends, landed: {version:?}"));
        let now = Instant::now();
        let is_known = version.is_some() && self.elsewhere.lost_until.is_none_or(|until| until < now);
        let touch = if is_known { self.touch(old, value) } else { IndexTouch::Unknown };
        let key = [item as u8];
        let partition = [partition_of(item) as u8];
        let changed = Changed::Item(PageCache::changed_item(&self.table.address(&key), &partition, &touch));
        let report = match version {
            Some(version) => {
                self.elsewhere.acknowledged.push((item, version, now));
                Report::Changed(changed)
            }
            None => {
                let until = now + UNKNOWN_WRITE_WINDOW;
                self.elsewhere.lost_until = Some(until);
                self.zombies.push(Zombie { changes: vec![(item, value)], until });
                Report::MayChange(changed, UNKNOWN_WRITE_WINDOW)
            }
        };
        self.elsewhere.log.push_back((report, version.map(|version| (item, version))));
    }

    fn apply_report(&mut self) {
        let Some((report, acknowledged)) = self.elsewhere.log.pop_front() else { return };
        self.note(format_args!("a report is applied"));
        self.pages.apply_half(Half::Pages, &report, Instant::now());
        self.elsewhere.applied += 1;
        if let Some((item, version)) = acknowledged {
            self.floors[item] = self.floors[item].max(version);
        }
    }

    fn answer_beat(&mut self) {
        let Some((sent, end)) = self.elsewhere.beat.take_if(|(_, end)| *end <= self.elsewhere.applied) else {
            return;
        };
        self.note(format_args!("the lease is renewed: all {end} reports are applied"));
        self.items.renew_lease(sent + LEASE);
    }

    /// The version of an item that a page read from now on must not be older than.
    fn floor(&self, item: usize) -> usize {
        let now = Instant::now();
        let acknowledged = self.elsewhere.acknowledged.iter();
        let due = acknowledged.filter(|(of, _, at)| *of == item && *at + LEASE <= now);
        due.map(|(_, version, _)| *version).fold(self.floors[item], usize::max)
    }

    fn latest(&self, item: usize) -> Option<Value> {
        self.history[item].last().expect("a history has a beginning").value
    }

    fn fresh_value(&mut self) -> Option<Value> {
        self.next_number += 1;
        let place = (self.journal.random.u32(0..4) != 0).then(|| self.journal.random.usize(0..2));
        (self.journal.random.u32(0..5) != 0).then_some(Value { number: self.next_number, place })
    }

    fn commit(&mut self, changes: &[(usize, Option<Value>)]) {
        for (item, value) in changes {
            self.history[*item].push(Change { value: *value, at: Instant::now() });
        }
        self.note(format_args!("upstream: {changes:?}"));
    }

    fn await_report(&mut self, changes: &[(usize, Option<Value>)], landed: &[Option<Value>]) {
        if self.setup.reports {
            let changes = changes.iter().zip(landed).map(|((item, _), old)| (*item, *old)).collect();
            self.commit = Some(Commit { changes, stage: Stage::Written, _removal: None });
        }
    }

    fn begin_removal(&mut self, item: usize) {
        self.removals_left -= 1;
        let old = self.latest(item);
        if old.is_none() {
            return;
        }
        self.note(format_args!("the upstream begins to remove item {item}"));
        let mut commit = Commit { changes: vec![(item, old)], stage: Stage::Removing, _removal: None };
        let mut removal = None;
        self.with_page_changes(&commit, |pages, change| {
            removal = Some(pages.begin_removal(change, Instant::now()));
        });
        commit._removal = removal;
        self.commit = Some(commit);
    }

    fn land_removal(&mut self) {
        let Some(commit) = &mut self.commit else { return };
        commit.stage = Stage::Removed;
        let (item, _) = commit.changes[0];
        self.commit(&[(item, None)]);
        self.removed[item] = self.history[item].len() - 1;
    }

    fn report(&mut self) {
        let Some(commit) = self.commit.take() else { return };
        self.note(format_args!("the upstream reports {:?}", commit.changes));
        self.with_page_changes(&commit, |pages, change| {
            pages.invalidate(change, crate::cache::BumpReason::Write, Instant::now());
        });
    }

    fn with_page_changes(&self, commit: &Commit, mut each: impl FnMut(&PageCache, &PageChange<'_>)) {
        for (item, old) in &commit.changes {
            let now = if commit.stage == Stage::Written { self.latest(*item) } else { None };
            let places = [*old, now].into_iter().flatten().filter_map(|value| value.place);
            let partitions: Vec<_> = places.map(|place| vec![place as u8]).collect();
            let moves = self.table.used_index("index").map(|index| (index, partitions.as_slice()));
            let partition = [partition_of(*item) as u8];
            each(
                &self.pages,
                &PageChange { table: &self.table, partition: &partition, moves: moves.into_iter().collect() },
            );
        }
    }

    fn scope(&self, request: Request) -> PageScope {
        match request {
            Request::Partition(partition) => PageScope::partition(&self.table, &[partition as u8]),
            Request::Table => PageScope::table(),
            Request::IndexPartition(place) => {
                PageScope::index_partition(&self.table.index("index"), &[place as u8])
            }
            Request::Index => PageScope::index(&self.table.index("index")),
        }
    }

    fn invoke(&mut self, client: usize) {
        self.operations_left[client] -= 1;
        let writes = !self.setup.reads_only;
        if writes && self.journal.random.u32(0..if self.setup.only.is_some() { 2 } else { 3 }) == 0 {
            return self.write(client);
        }
        let any = REQUESTS[self.journal.random.usize(0..REQUESTS.len())];
        let request = self.setup.only.map_or(any, |(request, _)| request);
        let seen = self.seen[request.number()];
        let floors = std::array::from_fn(|item| self.floor(item).max(seen[item]));
        let reading = Reading { request, began: Instant::now(), floors, removed: self.removed, turns: 0 };
        if !request.is_of_index() && !self.setup.is_hasty && self.journal.random.u32(0..5) == 0 {
            self.read_through(client, reading);
        } else {
            self.read(client, reading);
        }
    }

    /// A client's own consistent read.
    fn read_through(&mut self, client: usize, reading: Reading) {
        self.note(format_args!("client {client} reads {:?} strongly", reading.request));
        self.clients[client] = Client::Waiting;
        let fingerprint = [reading.request.number() as u8];
        let (address, scope) = (self.table.address(&fingerprint), self.scope(reading.request));
        let sent = self.pages.sending(&address, &scope);
        self.fetches.push(Fetch { permit: None, sent, client, reading, shown: None });
    }

    fn read(&mut self, client: usize, reading: Reading) {
        let request = reading.request;
        self.clients[client] = Client::Waiting;
        if reading.turns == TURNS_MAX {
            // The rules of an eventual read past the cache are the upstream's; the client is done.
            self.clients[client] = Client::Idle;
            return;
        }
        let reading = Reading { turns: reading.turns + 1, ..reading };
        let fingerprint = [request.number() as u8];
        let (address, scope) = (self.table.address(&fingerprint), self.scope(request));
        match self.pages.read(&address, &scope, &self.policy, Instant::now()) {
            Lookup::Hit(hit) => self.returned(client, reading, &hit.value, HIT),
            Lookup::Join(joiner) => {
                self.note(format_args!("client {client} joins the fetch of {request:?}"));
                self.clients[client] = Client::Joined(reading, Box::pin(joiner.wait()));
            }
            Lookup::Lead(permit) => {
                let consistency = permit.consistency();
                let sent = self.pages.sending(&address, &scope);
                self.note(format_args!("client {client} leads a fetch of {request:?}, {consistency:?}"));
                self.fetches.push(Fetch { permit: Some(permit), sent, client, reading, shown: None });
            }
        }
    }

    fn poll_join(&mut self, client: usize) {
        let Client::Joined(reading, wait) = &mut self.clients[client] else { return };
        let reading = *reading;
        match wait.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => {}
            Poll::Ready(JoinOutcome::Landed(page)) => self.returned(client, reading, &page, "joined"),
            Poll::Ready(JoinOutcome::Failed(_)) => self.failed(client, reading),
            Poll::Ready(JoinOutcome::LookAgain | JoinOutcome::Opaque) => self.read(client, reading),
        }
    }

    fn fetch_reads(&mut self, index: usize) {
        let fetch = &self.fetches[index];
        let request = fetch.reading.request;
        let consistency = fetch.permit.as_ref().map_or(Consistency::Strong, PagePermit::consistency);
        let lag = match consistency {
            _ if self.setup.reports => Duration::ZERO,
            _ if request.is_of_index() => INDEX_LAG,
            Consistency::Strong => Duration::ZERO,
            Consistency::Eventual => LAG,
        };
        let horizon = Instant::now() - lag;
        let shown = std::array::from_fn(|item| {
            let history = &self.history[item];
            // A version can be read no more when its successor is older than the lag.
            let oldest = (1..history.len()).rev().find(|index| history[*index].at <= horizon).unwrap_or(0);
            let version = self.journal.random.usize(oldest..history.len());
            request.shown(item, history[version].value)
        });
        self.fetches[index].shown = Some(shown);
        self.note(format_args!("a fetch of {request:?} reads {shown:?}"));
    }

    fn fetch_done(&mut self, index: usize) {
        let Fetch { permit, sent, client, reading, shown } = self.fetches.swap_remove(index);
        let page = page_of(&shown.expect("the fetch has read"));
        let (request, now) = (reading.request, Instant::now());
        let is_opaque = self.setup.is_opaque && self.journal.random.bool();
        match permit {
            Some(permit) if is_opaque => {
                permit.complete_opaque(now);
                self.returned(client, reading, &page, "fetched and not understood");
            }
            Some(permit) => {
                let completion = permit.complete(page.clone(), now);
                self.note(format_args!("the fetch of {request:?} is {completion:?}"));
                self.returned(client, reading, &page, "fetched");
            }
            None => {
                let fingerprint = [request.number() as u8];
                let scope = self.scope(request);
                let address = self.table.address(&fingerprint);
                match is_opaque {
                    true => self.pages.observe_opaque(&address, &scope, now),
                    false => self.pages.observe(&address, &scope, &page, sent, now),
                }
                self.returned(client, reading, &page, "strongly read");
                self.bind_later_readers(request, &shown.expect("the fetch has read"));
            }
        }
    }

    fn bind_later_readers(&mut self, request: Request, shown: &Shown) {
        for (item, shown) in shown.iter().enumerate() {
            let floor = &mut self.seen[request.number()][item];
            let version = (*floor..self.history[item].len())
                .find(|version| request.shown(item, self.history[item][*version].value) == *shown);
            *floor = version.unwrap_or(*floor);
        }
    }

    fn fetch_given_up(&mut self, index: usize) {
        let Fetch { permit, client, reading, .. } = self.fetches.swap_remove(index);
        self.note(format_args!("a fetch of {:?} is given up", reading.request));
        if let Some(permit) = permit
            && self.journal.random.bool()
        {
            permit.fail(abandoned());
        }
        self.failed(client, reading);
    }

    /// The upstream has failed a reader.
    fn failed(&mut self, client: usize, reading: Reading) {
        self.clients[client] = Client::Idle;
        let fingerprint = [reading.request.number() as u8];
        let address = self.table.address(&fingerprint);
        let stale = self.pages.lookup_stale(&address, &self.policy, Instant::now());
        if let Some(hit) = stale.filter(|_| self.setup.serves_stale) {
            self.returned(client, reading, &hit.value, STALE_HIT);
        }
    }

    fn write(&mut self, client: usize) {
        let items =
            if self.journal.random.u32(0..4) == 0 && self.setup.only.is_none() { 0..ITEMS } else { 0..1 };
        let any = self.journal.random.usize(0..ITEMS);
        let first = self.setup.only.map_or(any, |(_, item)| item);
        let changes: Vec<_> = items.map(|item| ((first + item) % ITEMS, self.fresh_value())).collect();
        let now = Instant::now();
        let guard = if self.journal.random.u32(0..if self.setup.only.is_some() { 3 } else { 6 }) == 0 {
            if !self.setup.reports {
                self.items.invalidate_table(&self.table, now);
            }
            None
        } else {
            let keys: Vec<_> =
                changes.iter().map(|(item, _)| ([*item as u8], [partition_of(*item) as u8])).collect();
            let keys: Vec<_> =
                keys.iter().map(|(key, partition)| (self.table.address(key), partition.as_slice())).collect();
            Some(self.pages.begin_write(&keys, now))
        };
        let known = if guard.is_some() { "" } else { ", which the cache is not told" };
        self.note(format_args!("client {client} begins to write {changes:?}{known}"));
        self.clients[client] = Client::Waiting;
        let until = guard.is_none().then_some(now + LAG);
        self.writes.push(Writing { client, guard, changes, landed: None, until });
    }

    /// What the writer knows of the index: everything, if it has both images, or less.
    fn touch(&mut self, old: Option<Value>, new: Option<Value>) -> IndexTouch {
        let places = [old, new].into_iter().flatten().filter_map(|value| value.place);
        match self.journal.random.u32(0..6) {
            _ if self.setup.only.is_some() => IndexTouch::Known(vec![(
                self.table.index("index"),
                places.map(|place| vec![place as u8]).collect(),
            )]),
            0 => IndexTouch::Unknown,
            1 => IndexTouch::Known(Vec::new()),
            _ => IndexTouch::Known(vec![(
                self.table.index("index"),
                places.map(|place| vec![place as u8]).collect(),
            )]),
        }
    }

    /// The upstream says yes, or says no although the write happened: its router had tried twice.
    fn write_answered(&mut self, index: usize) {
        let Writing { client, guard, changes, landed, .. } = self.writes.swap_remove(index);
        let (now, reports) = (Instant::now(), self.setup.reports);
        let is_rejected = !reports && self.journal.random.u32(0..6) == 0;
        let landed = landed.expect("only what landed is answered");
        self.note(format_args!(
            "client {client}'s write of {changes:?} is answered, rejected: {is_rejected}"
        ));
        match guard {
            None if reports => {}
            Some(guard) if reports => guard.reported(now),
            None => self.items.invalidate_table(&self.table, now),
            Some(guard) if is_rejected => drop(guard.rejected(now)),
            Some(guard) => {
                let images = changes.iter().zip(&landed);
                let touches: Vec<_> = images.map(|((_, new), (old, _))| self.touch(*old, *new)).collect();
                drop(guard.applied(&touches, now));
            }
        }
        self.raise_floors(&changes, &landed);
        self.clients[client] = Client::Idle;
    }

    /// No answer came. If the write has not landed it may still do so, or the upstream had rejected it.
    fn write_lost(&mut self, index: usize) {
        let Writing { client, guard, changes, landed, .. } = self.writes.swap_remove(index);
        let now = Instant::now();
        let is_rejected = landed.is_none() && self.journal.random.bool();
        let is_not_sent = is_rejected && guard.is_some() && self.journal.random.bool();
        let how = if is_not_sent {
            "not sent"
        } else if is_rejected {
            "rejected"
        } else {
            "lost"
        };
        self.note(format_args!("client {client}'s write of {changes:?} is {how}"));
        match guard {
            None if is_rejected && self.setup.reports => {}
            None => {
                self.items.invalidate_table(&self.table, now);
                self.voids_due.extend((!is_rejected).then_some(now + UNKNOWN_WRITE_WINDOW));
            }
            Some(guard) if is_not_sent || (is_rejected && self.setup.reports) => guard.not_sent(now),
            Some(guard) if is_rejected => drop(guard.rejected(now)),
            Some(guard) if self.journal.random.bool() => drop(guard),
            Some(guard) => drop(guard.unknown(now)),
        }
        match landed {
            Some(landed) => self.raise_floors(&changes, &landed),
            None if is_rejected => {}
            None => self.zombies.push(Zombie { changes, until: now + UNKNOWN_WRITE_WINDOW }),
        }
        self.clients[client] = Client::Idle;
    }

    fn raise_floors(&mut self, changes: &[(usize, Option<Value>)], landed: &[(Option<Value>, usize)]) {
        for ((item, _), (_, version)) in changes.iter().zip(landed) {
            self.floors[*item] = self.floors[*item].max(*version);
        }
    }

    /// Checks what a read returned against the history.
    fn returned(&mut self, client: usize, reading: Reading, page: &Page, how: &str) {
        let request = reading.request;
        let text = String::from_utf8_lossy(page.body()).into_owned();
        self.note(format_args!("client {client} has {how} {request:?}: {text}"));
        self.clients[client] = Client::Idle;
        if request.is_of_index() && how != HIT && how != STALE_HIT {
            // What the index itself shows, and what others wait for together, the cache does not answer for.
            return;
        }
        let shown = shown_in(&text);
        for (item, shown) in shown.iter().enumerate() {
            self.check_item(reading, item, *shown, how);
        }
    }

    fn check_item(&mut self, reading: Reading, item: usize, shown: Option<u32>, how: &str) {
        let Reading { request, began, mut floors, removed, .. } = reading;
        if how == HIT || how == STALE_HIT {
            floors[item] = floors[item].max(removed[item]);
        }
        let history = &self.history[item];
        let shows = |version: &usize| request.shown(item, history[*version].value) == shown;
        // A writer elsewhere may move an item without this node hearing of it. Then a known write invalidates where the item was
        // last, and where it was before that is seen with the TTL.
        let longest = match how {
            HIT => self.setup.ttl,
            STALE_HIT => self.setup.ttl.map(|ttl| ttl + STALE_MAX),
            _ => None,
        };
        let is_alone = self.setup.foreign_writes == 0 || self.setup.reads_only;
        let is_bound = !request.is_of_index() || is_alone;
        if is_bound && !(floors[item]..history.len()).any(|version| shows(&version)) {
            let floor = history[floors[item]].value;
            self.journal.violated(format!(
                "{request:?} has {how} item {item} as {shown:?}, older than version {} ({floor:?})",
                floors[item]
            ));
        } else if let Some(longest) = longest
            && let Some(last) = (0..history.len()).rev().find(shows)
            && let Some(successor) = history.get(last + 1)
            && successor.at + longest + LAG < began
        {
            self.journal.violated(format!("{request:?} has {how} item {item} past its TTL"));
        }
    }
}

/// The reverse of [`page_of`].
fn shown_in(text: &str) -> Shown {
    let mut parts = text.trim_matches(['[', ']']).split(", ");
    std::array::from_fn(|_| {
        let part = parts.next().expect("a page shows every item");
        part.strip_prefix("Some(")?.strip_suffix(')')?.parse().ok()
    })
}

#[test]
fn no_schedule_of_local_writes_shows_an_old_page() {
    assert_sound::<World>(LOCAL, 6_000);
}

#[test]
fn no_schedule_of_writes_to_one_item_shows_where_it_was() {
    assert_sound::<World>(CROWDED, 6_000);
    assert_sound::<World>(WATCHED, 3_000);
}

#[test]
fn no_schedule_takes_a_reader_behind_an_answer_that_was_not_understood() {
    assert_sound::<World>(OPAQUE, 3_000);
}

#[test]
fn no_schedule_with_writes_elsewhere_hides_a_known_write_or_outlives_the_time_to_live() {
    assert_sound::<World>(FOREIGN, 3_000);
}

#[test]
fn no_schedule_with_strong_fetches_hides_a_known_write_or_outlives_the_time_to_live() {
    assert_sound::<World>(FOREIGN_STRONG, 3_000);
}

#[test]
fn no_schedule_hides_a_known_write_when_what_has_expired_is_served_while_the_upstream_fails() {
    assert_sound::<World>(STALE, 6_000);
    assert_sound::<World>(STALE_FOREIGN, 3_000);
}

#[test]
fn no_schedule_of_reported_changes_shows_an_old_page_or_what_was_removed() {
    assert_sound::<World>(REPORTED, 6_000);
    assert_sound::<World>(REPORTED_CROWDED, 6_000);
}

#[test]
fn no_schedule_of_writes_in_a_fleet_shows_a_page_older_than_was_promised() {
    assert_sound::<World>(FLEET, 3_000);
    assert_sound::<World>(FLEET_BYPASS, 1_500);
    assert_sound::<World>(FLEET_WATCHED, 2_000);
    assert_sound::<World>(FLEET_HASTY, 2_000);
    assert_sound::<World>(FLEET_READERS, 3_000);
    assert_sound::<World>(FLEET_INDEX, 3_000);
}

/// Every rule is there because something goes wrong without it; the model test sees what.
#[test]
fn without_any_one_of_the_rules_of_a_fleet_what_was_promised_fails() {
    let rules = [
        (PageRule::BumpOnElsewhere, FLEET, 0),
        (PageRule::TouchOnElsewhere, FLEET, 0),
        (PageRule::HoldElsewhere, FLEET_READERS, 0),
        (PageRule::LeaseGatesHits, FLEET, 0),
        (PageRule::JoinNeedsLease, FLEET_WATCHED, 2_800),
        (PageRule::YoungMeansStrong, FLEET_HASTY, 4_000),
        (PageRule::LapsedReadsStrongly, FLEET_HASTY, 0),
        (PageRule::LeaseGatesIndexPages, FLEET_INDEX, 0),
    ];
    let without = |(rule, setup, first)| (format!("{rule:?}"), Setup { broken: Some(rule), ..setup }, first);
    assert_needed::<World>(rules.map(without), 40_000);
}

/// Every rule is there because something goes wrong without it; the model test sees what.
#[test]
fn without_any_one_of_its_rules_the_protocol_fails() {
    let rules = [
        (PageRule::BumpOnSuccess, LOCAL, 0),
        (PageRule::BumpOnRejection, LOCAL, 0),
        (PageRule::BumpOnUnknown, LOCAL, 0),
        (PageRule::BumpLate, LOCAL, 0),
        (PageRule::BumpScans, LOCAL, 0),
        (PageRule::BumpPositions, LOCAL, 0),
        (PageRule::BumpIndexScans, LOCAL, 0),
        (PageRule::BumpUnlisted, LOCAL, 0),
        (PageRule::CheckOverlaps, CROWDED, 0),
        (PageRule::CheckLateWrites, CROWDED, 10_100),
        (PageRule::CheckWideChanges, CROWDED, 15_500),
        (PageRule::TouchOnWrite, LOCAL, 0),
        (PageRule::JoinOnEqualWords, LOCAL, 0),
        (PageRule::ValidateScope, LOCAL, 0),
        (PageRule::ValidateTable, LOCAL, 0),
        (PageRule::ValidateIndex, LOCAL, 0),
        (PageRule::Quarantine, LOCAL, 0),
        (PageRule::QuarantineInvalidations, LOCAL, 0),
        (PageRule::ObserveReads, WATCHED, 0),
        (PageRule::OpaqueReadsInvalidate, OPAQUE, 0),
        (PageRule::DateReadsBySending, WATCHED, 0),
        (PageRule::CheckWhatWasSeen, WATCHED, 1_600),
        (PageRule::LateReadersLookAgain, WATCHED, 3_500),
        (PageRule::ExpireEntries, FOREIGN_STRONG, 0),
        (PageRule::BumpOnReport, REPORTED, 0),
        (PageRule::BumpScans, REPORTED, 0),
        (PageRule::BumpPositions, REPORTED, 0),
        (PageRule::BumpIndexScans, REPORTED, 0),
        (PageRule::BumpBeforeRemovals, REPORTED, 0),
        (PageRule::CheckRemovals, REPORTED_CROWDED, 0),
    ];
    let without = |(rule, setup, first)| (format!("{rule:?}"), Setup { broken: Some(rule), ..setup }, first);
    assert_needed::<World>(rules.map(without), 40_000);
}
