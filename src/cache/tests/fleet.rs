//! What the nodes of a fleet do to each other's caches, one sentence at a time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{POLICY, image};
use crate::cache::*;
use crate::stopped_time::{OtherClocks, StoppedTime};

const D: Duration = Duration::from_secs(1);

const PAGE_POLICY: PagePolicy = PagePolicy {
    ttl: Some(Duration::from_secs(300)),
    fill: FillMode::Adaptive,
    gsi_quarantine: Duration::from_secs(5),
    page_bytes_max: 2 << 20,
    scan_admission: ScanAdmission::First,
    stale_if_error: Duration::ZERO,
    fill_items: true,
};

/// A node in a fleet, with a clock that moves when told to.
struct Node {
    items: Arc<ItemCache>,
    pages: Arc<PageCache>,
    now: Instant,
}

impl Node {
    fn with(secret: u128, lapsed: LapsedReads) -> Self {
        Self::of(FleetMemory { secret: FleetSecret::new(secret), lease: D, lapsed, stopped: None })
    }

    fn of(memory: FleetMemory) -> Self {
        let items = ItemCache::in_fleet(CacheLimits { max_bytes: 64 << 20, stripes: 1 << 16 }, memory);
        let pages = PageCache::new(PageLimits::in_fleet(16 << 20), items.clone());
        // Past the first minute, in which everything counts as touched.
        let node = Self { items, pages, now: Instant::now() + Duration::from_secs(120) };
        node.items.renew_lease(node.now + Duration::from_secs(10_000));
        node
    }

    fn new() -> Self {
        Self::with(7, LapsedReads::Young)
    }

    fn table(&self, name: &str) -> Arc<CachedTable> {
        self.items.table(Realm::SOLE, name, self.now)
    }

    fn orders(&self) -> Arc<CachedTable> {
        self.table("Orders")
    }

    fn read(&self, key: &str) -> Lookup<CachedItem, FillPermit> {
        self.items.read(&self.orders().address(key.as_bytes()), &POLICY, self.now)
    }

    fn lead(&self, key: &str) -> FillPermit {
        match self.read(key) {
            Lookup::Lead(permit) => permit,
            other => panic!("expected to lead, got {other:?}"),
        }
    }

    fn fill(&self, key: &str) {
        self.lead(key).complete(image(1), self.now);
    }

    fn hits(&self, key: &str) -> bool {
        self.items.lookup(&self.orders().address(key.as_bytes()), self.now).is_some()
    }

    fn read_page(&self, fingerprint: &str, scope: &PageScope) -> Lookup<Page, PagePermit> {
        self.pages.read(&self.orders().address(fingerprint.as_bytes()), scope, &PAGE_POLICY, self.now)
    }

    fn fill_page(&self, fingerprint: &str, scope: &PageScope) -> Completion {
        match self.read_page(fingerprint, scope) {
            Lookup::Lead(permit) => permit.complete(Page::new(Bytes::from_static(b"{}")), self.now),
            other => panic!("expected to lead, got {other:?}"),
        }
    }

    fn hits_page(&self, fingerprint: &str) -> bool {
        self.pages.lookup(&self.orders().address(fingerprint.as_bytes()), self.now).is_some()
    }

    fn begin_write(&self, key: &str, partition: &str) -> PageWriteGuard {
        let table = self.orders();
        self.pages.begin_write(&[(table.address(key.as_bytes()), partition.as_bytes())], self.now)
    }

    fn write(&self, key: &str, partition: &str, touch: IndexTouch) -> Vec<ChangedItem> {
        self.begin_write(key, partition).applied(&[touch], self.now)
    }

    fn apply(&self, changed: Changed) {
        self.pages.apply(&Report::Changed(changed), self.now);
    }

    /// As if a node elsewhere had written the item.
    fn hear_of(&self, key: &str) {
        let table = self.orders();
        let address = table.address(key.as_bytes());
        self.apply(Changed::Item(PageCache::changed_item(&address, b"p", &IndexTouch::Unknown)));
    }
}

// Reports.

#[test]
fn nodes_of_one_secret_compute_equal_digests_in_whatever_order_they_first_use_tables() {
    let (one, other) = (Node::new(), Node::new());
    let orders = one.table("Orders");
    let customers = one.table("Customers");
    assert_eq!(other.table("Customers").digest(), customers.digest());
    assert_eq!(other.table("Orders").digest(), orders.digest());
    assert_eq!(other.items.digest_of("Orders"), orders.digest());
    assert_ne!(orders.digest(), customers.digest());
    assert_eq!(orders.address(b"k").hash(), other.table("Orders").address(b"k").hash());
    assert_ne!(orders.address(b"k").hash(), customers.address(b"k").hash());
    let first = orders.index("by-state").digest();
    other.table("Orders").index("by-date");
    assert_eq!(other.table("Orders").index("by-state").digest(), first);
    assert_ne!(customers.index("by-state").digest(), first);
}

#[test]
fn nodes_of_other_secrets_have_no_digest_in_common() {
    let (one, other) = (Node::new(), Node::with(8, LapsedReads::Young));
    let (ours, theirs) = (one.orders(), other.orders());
    assert_ne!(ours.digest(), theirs.digest());
    assert_ne!(ours.address(b"k").hash(), theirs.address(b"k").hash());
    assert_ne!(ours.index("by-state").digest(), theirs.index("by-state").digest());
    assert_eq!(one.items.tables_by_digest(ours.digest()).len(), 1);
    assert!(other.items.tables_by_digest(ours.digest()).is_empty());
}

#[test]
fn a_report_invalidates_the_item_at_another_node_and_nothing_else() {
    let (writer, reader) = (Node::new(), Node::new());
    reader.table("Customers");
    for key in ["a", "b"] {
        reader.fill(key);
    }
    let mut reports = writer.write("a", "p", IndexTouch::Unknown);
    assert_eq!(reports.len(), 1);
    reader.apply(Changed::Item(reports.remove(0)));
    assert!(!reader.hits("a") && reader.hits("b"));
    assert_eq!(reader.lead("a").consistency(), Consistency::Strong, "a replica may lag behind the write");
    assert_eq!(reader.items.stats().bumps(BumpReason::Elsewhere), 1);
}

#[test]
fn every_verdict_but_not_sent_gives_a_report_in_a_fleet_and_none_does_outside_of_one() {
    let node = Node::new();
    let begin = || node.begin_write("a", "p");
    assert_eq!(begin().may_change(), begin().unknown(node.now));
    for changed in [begin().applied(&[], node.now), begin().rejected(node.now), begin().unknown(node.now)] {
        let orders = node.orders();
        let expected = PageCache::changed_item(&orders.address(b"a"), b"p", &IndexTouch::Unknown);
        assert_eq!(changed, [expected]);
    }
    let items = ItemCache::new(CacheLimits { max_bytes: 1 << 20, stripes: 1 });
    let alone = PageCache::new(PageLimits::for_budget(1 << 20), items.clone());
    let table = items.table(Realm::SOLE, "Orders", node.now);
    let begin = || alone.begin_write(&[(table.address(b"a"), b"p".as_slice())], node.now);
    assert!(begin().may_change().is_empty());
    assert!(begin().applied(&[], node.now).is_empty() && begin().unknown(node.now).is_empty());
}

#[test]
fn a_report_names_the_partitions_of_an_index_unless_another_write_of_the_item_is_in_flight() {
    let node = Node::new();
    let index = node.orders().index("by-state");
    let touch = || IndexTouch::Known(vec![(index.clone(), vec![b"x".to_vec(), b"y".to_vec()])]);
    let indexes = |changed: Vec<ChangedItem>| changed.into_iter().next().expect("one item").indexes;
    let known = indexes(node.write("a", "p", touch()));
    let ChangedIndexes::Known(known) = known else { panic!("expected partitions, got {known:?}") };
    assert_eq!((known.len(), known[0].index, known[0].partitions.len()), (1, index.digest(), 2));
    let overlapping = node.begin_write("a", "p");
    assert_eq!(indexes(node.write("a", "p", touch())), ChangedIndexes::All);
    overlapping.not_sent(node.now);
}

#[test]
fn a_report_invalidates_the_pages_that_it_names_at_another_node_and_no_others() {
    let (writer, reader) = (Node::new(), Node::new());
    let index = reader.orders().index("by-state");
    let place = |name: &str| PageScope::index_partition(&index, name.as_bytes());
    let partition = |name: &str| PageScope::partition(&reader.orders(), name.as_bytes());
    let all = [
        ("p", partition("p")),
        ("q", partition("q")),
        ("scan", PageScope::table()),
        ("x", place("x")),
        ("z", place("z")),
        ("index", PageScope::index(&index)),
    ];
    for (fingerprint, scope) in &all {
        assert_eq!(reader.fill_page(fingerprint, scope), Completion::Stored);
    }
    let moved = IndexTouch::Known(vec![(writer.orders().index("by-state"), vec![b"x".to_vec()])]);
    let changed = writer.write("a", "p", moved).remove(0);
    reader.apply(Changed::Item(changed));
    let hits = all.map(|(fingerprint, _)| reader.hits_page(fingerprint));
    assert_eq!(hits, [false, true, false, false, true, false]);
    let quarantined = Completion::NotStored(PageNotStored::Quarantine);
    assert_eq!(reader.fill_page("x", &place("x")), quarantined, "the index may lag behind the write");
}

#[test]
fn an_index_that_a_report_does_not_name_is_invalidated_whole() {
    let (writer, reader) = (Node::new(), Node::new());
    let scope = PageScope::index_partition(&reader.orders().index("by-date"), b"z");
    reader.fill_page("z", &scope);
    let moved = IndexTouch::Known(vec![(writer.orders().index("by-state"), vec![b"x".to_vec()])]);
    reader.apply(Changed::Item(writer.write("a", "p", moved).remove(0)));
    assert!(!reader.hits_page("z"));
}

#[test]
fn a_change_of_an_item_that_nobody_here_knows_spares_the_others_of_its_stripe() {
    let node = Node::new();
    for key in 0..10_000 {
        node.fill(&format!("ours {key}"));
    }
    for key in 0..100_000 {
        node.hear_of(&format!("theirs {key}"));
    }
    let left = (0..10_000).filter(|key| node.hits(&format!("ours {key}"))).count();
    assert!(left >= 9_700, "{left} of 10,000 are left");
    assert!(node.items.stats().bumps_spared >= 97_000);
}

#[test]
fn a_change_of_an_item_that_is_being_read_or_written_is_not_spared() {
    let node = Node::new();
    let fill = node.lead("a");
    node.hear_of("a");
    fill.complete(image(1), node.now);
    assert!(!node.hits("a"), "it was sent for before the change");
    let table = node.orders();
    let write = node.items.begin_write(&[table.address(b"b")], node.now);
    node.hear_of("b");
    write.applied(Some((&image(1), &POLICY)), node.now);
    assert!(!node.hits("b"), "it may be older than the change");
    assert_eq!(node.items.stats().bumps_spared, 0);
}

#[test]
fn what_is_first_read_of_a_table_that_changed_elsewhere_is_read_strongly() {
    let (writer, reader) = (Node::new(), Node::new());
    let changed = writer.write("a", "p", IndexTouch::Unknown).remove(0);
    reader.apply(Changed::Item(changed));
    assert_eq!(reader.lead("b").consistency(), Consistency::Strong);
    assert!(reader.items.has_invalidated_lately(reader.now));
}

#[test]
fn a_report_of_a_table_or_of_everything_invalidates_what_it_names() {
    let node = Node::new();
    let customers = node.table("Customers");
    let address = customers.address(b"c");
    let Lookup::Lead(permit) = node.items.read(&address, &POLICY, node.now) else { panic!("a miss") };
    permit.complete(image(1), node.now);
    let is_there = |node: &Node| node.items.lookup(&address, node.now).is_some();
    for changed in [Changed::Table(node.orders().digest()), Changed::Definition(node.orders().digest())] {
        node.fill("a");
        node.apply(changed);
        assert!(!node.hits("a") && is_there(&node));
    }
    node.apply(Changed::Everything);
    assert!(!is_there(&node));
}

#[test]
fn what_may_still_change_elsewhere_is_not_stored_until_it_can_change_no_longer() {
    let mut node = Node::new();
    let table = node.orders();
    let item = PageCache::changed_item(&table.address(b"a"), b"p", &IndexTouch::Unknown);
    let left = Duration::from_secs(30);
    for changed in [Changed::Item(item), Changed::Table(table.digest()), Changed::Everything] {
        if !node.hits("a") {
            node.fill("a");
        }
        let scope = PageScope::partition(&table, b"p");
        node.fill_page("p", &scope);
        node.pages.apply(&Report::MayChange(changed, left), node.now);
        assert!(!node.hits("a") && !node.hits_page("p"));
        node.fill("a");
        assert!(!node.hits("a"), "it is held");
        node.now += left + Duration::from_millis(900);
        let early = node.lead("a");
        // Stored, for pages are not held.
        node.fill_page("p", &scope);
        node.now += Duration::from_millis(200);
        early.complete(image(1), node.now);
        assert!(!node.hits("a"), "it was sent for while the write could land, by a slower clock");
        node.pages.sweep(node.now);
        node.items.sweep(node.now);
        assert!(!node.hits_page("p"), "the write may have landed after the page was read");
        node.fill("a");
        assert!(node.hits("a"));
    }
}

#[test]
fn a_table_that_may_change_elsewhere_is_held_also_if_it_is_first_used_later() {
    let mut node = Node::new();
    let digest = node.items.digest_of("Orders");
    node.pages.apply(&Report::MayChange(Changed::Table(digest), Duration::from_secs(30)), node.now);
    node.fill("a");
    assert!(!node.hits("a"));
    node.now += Duration::from_secs(32);
    node.fill("a");
    assert!(node.hits("a"));
}

// The lease.

#[test]
fn a_node_serves_nothing_until_it_first_has_a_lease() {
    let memory =
        FleetMemory { secret: FleetSecret::new(7), lease: D, lapsed: LapsedReads::Bypass, stopped: None };
    let items = ItemCache::in_fleet(CacheLimits { max_bytes: 1 << 20, stripes: 1 }, memory);
    let (table, now) =
        (items.table(Realm::SOLE, "Orders", Instant::now()), Instant::now() + Duration::from_secs(120));
    let fill = || match items.read(&table.address(b"a"), &POLICY, now) {
        Lookup::Lead(permit) => permit.complete(image(1), now),
        other => panic!("expected to lead, got {other:?}"),
    };
    fill();
    assert!(items.lookup(&table.address(b"a"), now).is_none() && !items.has_lease(now));
    items.renew_lease(now + D);
    fill();
    assert!(items.lookup(&table.address(b"a"), now).is_some() && items.has_lease(now));
}

#[test]
fn without_a_lease_only_what_was_read_since_and_lately_is_served() {
    let mut node = Node::new();
    node.fill("old");
    node.items.end_lease(node.now);
    node.fill("same millisecond");
    assert!(!node.hits("old") && !node.hits("same millisecond"));
    node.now += Duration::from_millis(1);
    let permit = node.lead("young");
    assert_eq!(permit.consistency(), Consistency::Strong);
    permit.complete(image(1), node.now);
    node.now += D - Duration::from_millis(1);
    node.items.end_lease(node.now);
    assert!(node.hits("young"), "the lease had ended before");
    node.now += Duration::from_millis(1);
    assert!(!node.hits("young"));
    node.items.renew_lease(node.now + D);
    assert!(node.hits("old") && node.hits("young"), "no word has moved");
}

#[test]
fn a_fill_that_was_sent_under_a_lease_is_not_joined_after_its_end() {
    let mut node = Node::new();
    let early = node.lead("a");
    assert!(matches!(node.read("a"), Lookup::Join(_)));
    node.items.end_lease(node.now);
    node.now += Duration::from_millis(1);
    let late = node.lead("a");
    assert_eq!(late.consistency(), Consistency::Strong);
    assert!(matches!(node.read("a"), Lookup::Join(_)), "it was sent strongly just now");
    drop((early, late));
}

#[test]
fn every_read_is_strong_without_a_lease_whatever_the_policy_says() {
    let mut node = Node::new();
    node.items.end_lease(node.now);
    node.now += Duration::from_millis(1);
    let table = node.orders();
    let address = table.address(b"a");
    for fill in [FillMode::Adaptive, FillMode::Eventual, FillMode::Strong] {
        assert_eq!(node.items.consistency_now(&address, fill, node.now), Consistency::Strong);
        let policy = PagePolicy { fill, ..PAGE_POLICY };
        let scope = PageScope::partition(&table, b"p");
        let Lookup::Lead(permit) = node.pages.read(&address, &scope, &policy, node.now) else {
            panic!("a miss")
        };
        assert_eq!(permit.consistency(), Consistency::Strong);
    }
    assert!(node.pages.is_written_lately(&table, node.now) && node.items.has_invalidated_lately(node.now));
}

#[test]
fn pages_of_global_indexes_are_neither_served_nor_joined_nor_stored_without_a_lease() {
    let mut node = Node::new();
    let index = node.orders().index("by-state");
    let scope = |name: &str| PageScope::index_partition(&index, name.as_bytes());
    assert_eq!(node.fill_page("old", &scope("old")), Completion::Stored);
    let lead = |node: &Node| match node.read_page("x", &scope("x")) {
        Lookup::Lead(permit) => permit,
        other => panic!("expected to lead, got {other:?}"),
    };
    let early = lead(&node);
    node.items.end_lease(node.now);
    node.now += Duration::from_millis(1);
    assert!(!node.hits_page("old"));
    let lapsed = lead(&node);
    let also = lead(&node);
    let refused = Completion::NotStored(PageNotStored::Lease);
    assert_eq!(also.complete(Page::new(Bytes::new()), node.now), refused);
    assert!(!matches!(early.complete(Page::new(Bytes::new()), node.now), Completion::Stored));
    node.items.renew_lease(node.now + D);
    assert!(!matches!(lapsed.complete(Page::new(Bytes::new()), node.now), Completion::Stored));
    assert!(node.hits_page("old"));
}

#[test]
fn what_has_expired_is_not_served_without_a_lease_even_if_the_upstream_fails() {
    let mut node = Node::new();
    node.items.keep_expired(Duration::from_secs(600));
    node.fill("a");
    let table = node.orders();
    let policy = ReadPolicy { stale_if_error: Duration::from_secs(600), ..POLICY };
    node.now += Duration::from_secs(301);
    let stale =
        |node: &Node| node.items.lookup_stale(&table.address(b"a"), b"p", &policy, node.now).is_some();
    assert!(stale(&node));
    node.items.end_lease(node.now);
    assert!(!stale(&node));
}

#[test]
fn a_node_that_bypasses_serves_and_stores_nothing_without_a_lease() {
    let mut node = Node::with(7, LapsedReads::Bypass);
    let (early, other) = (node.lead("early"), node.lead("other"));
    node.fill("old");
    node.items.end_lease(node.now);
    node.now += Duration::from_millis(1);
    node.fill("late");
    assert!(!node.hits("late"));
    let (lead, also) = (node.lead("joined"), node.lead("joined"));
    early.complete(image(1), node.now);
    node.lead("old").complete(image(2), node.now);
    let table = node.orders();
    let write = node.items.begin_write(&[table.address(b"written")], node.now);
    write.applied(Some((&image(1), &POLICY)), node.now);
    node.items.renew_lease(node.now + D);
    for key in ["early", "late", "joined", "written"] {
        assert!(!node.hits(key), "{key} was stored");
    }
    assert!(!node.hits("old"), "a reader was shown more");
    other.complete(image(1), node.now);
    assert!(node.hits("other"));
    drop((lead, also));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stood_still_has_no_lease_until_everything_was_invalidated() {
    use std::sync::atomic::{AtomicU64, Ordering};
    let slept_ms = Arc::new(AtomicU64::new(0));
    let (origin, slept) = (Instant::now(), slept_ms.clone());
    let stopped = StoppedTime::by(move || {
        let awake = Duration::from_secs(1_000) + origin.elapsed();
        OtherClocks { boot: awake + Duration::from_millis(slept.load(Ordering::Relaxed)), wall: awake }
    });
    let memory = FleetMemory {
        secret: FleetSecret::new(7),
        lease: D,
        lapsed: LapsedReads::Young,
        stopped: Some(Arc::new(stopped)),
    };
    let mut node = Node::of(memory);
    node.now = Instant::now();
    tokio::time::advance(Duration::from_secs(30)).await;
    node.now = Instant::now();
    node.fill("a");
    assert!(node.hits("a") && node.items.has_lease(node.now));
    slept_ms.store(60_000, Ordering::Relaxed);
    assert!(!node.hits("a") && !node.items.has_lease(node.now));
    node.fill("b");
    assert!(!node.hits("b"), "nothing is young");
    node.items.note_stops(59_000);
    assert!(!node.items.has_lease(node.now), "it stood still again since");
    node.items.note_stops(60_000);
    assert!(node.hits("a") && node.items.has_lease(node.now));
}
