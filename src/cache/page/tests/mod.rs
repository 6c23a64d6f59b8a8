//! What the page cache promises, one sentence at a time. The model test next door looks for what nobody thought of.

mod model;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::model::{ApiError, ErrorCode};

use crate::cache::FailedFetch;
use crate::call::Answer;

use super::super::{
    BumpReason, CacheLimits, CachedItem, CachedTable, Consistency, FillMode, ItemCache, JoinOutcome, Joiner,
    Lookup, ReadPolicy, Realm,
};
use super::*;

const POLICY: PagePolicy = PagePolicy {
    ttl: Some(Duration::from_secs(300)),
    fill: FillMode::Adaptive,
    gsi_quarantine: Duration::from_secs(5),
    page_bytes_max: 2 << 20,
    scan_admission: ScanAdmission::Second,
    stale_if_error: Duration::ZERO,
    fill_items: true,
};

/// Two caches with one table, and a clock that moves when told to.
struct Fixture {
    items: Arc<ItemCache>,
    pages: Arc<PageCache>,
    table: Arc<CachedTable>,
    policy: PagePolicy,
    now: Instant,
}

impl Fixture {
    fn new() -> Self {
        let items = ItemCache::new(CacheLimits { max_bytes: 16 << 20, stripes: 1 << 10 });
        let pages = PageCache::new(PageLimits::for_budget(16 << 20), items.clone());
        let table = items.table(Realm::SOLE, "Orders", Instant::now());
        // Past the first minute, in which everything counts as touched.
        Self { items, pages, table, policy: POLICY, now: Instant::now() + Duration::from_secs(120) }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    fn partition(&self, partition: &str) -> PageScope {
        PageScope::partition(&self.table, partition.as_bytes())
    }

    fn index_partition(&self, partition: &str) -> PageScope {
        PageScope::index_partition(&self.table.index("by-state"), partition.as_bytes())
    }

    fn index_scan(&self) -> PageScope {
        PageScope::index(&self.table.index("by-state"))
    }

    fn read(&self, fingerprint: &str, scope: &PageScope) -> Lookup<Page, PagePermit> {
        self.pages.read(&self.table.address(fingerprint.as_bytes()), scope, &self.policy, self.now)
    }

    fn lead(&self, fingerprint: &str, scope: &PageScope) -> PagePermit {
        match self.read(fingerprint, scope) {
            Lookup::Lead(permit) => permit,
            other => panic!("expected to lead, got {other:?}"),
        }
    }

    fn join(&self, fingerprint: &str, scope: &PageScope) -> Joiner<Page> {
        match self.read(fingerprint, scope) {
            Lookup::Join(joiner) => joiner,
            other => panic!("expected to join, got {other:?}"),
        }
    }

    fn hit(&self, fingerprint: &str) -> Option<Page> {
        self.pages.lookup(&self.table.address(fingerprint.as_bytes()), self.now).map(|hit| hit.value)
    }

    fn fill(&self, fingerprint: &str, scope: &PageScope) -> Completion {
        self.lead(fingerprint, scope).complete(page(fingerprint), self.now)
    }

    fn observe(&self, fingerprint: &str, scope: &PageScope, page: &Page) {
        let address = self.table.address(fingerprint.as_bytes());
        self.pages.observe(&address, scope, page, self.pages.sending(&address, scope), self.now);
    }

    fn begin_write(&self, partition: &str) -> PageWriteGuard {
        self.begin_write_of("item", partition)
    }

    fn begin_write_of(&self, item: &str, partition: &str) -> PageWriteGuard {
        self.pages.begin_write(&[(self.table.address(item.as_bytes()), partition.as_bytes())], self.now)
    }

    fn write(&self, partition: &str) {
        self.begin_write(partition).applied(&[IndexTouch::Unknown], self.now);
    }

    /// A write to partition `a` of an item that moves between partitions of the index.
    fn move_in_index(&self, from: &str, to: &str) {
        let positions = vec![from.as_bytes().to_vec(), to.as_bytes().to_vec()];
        let touch = IndexTouch::Known(vec![(self.table.index("by-state"), positions)]);
        self.begin_write("a").applied(&[touch], self.now);
    }
}

fn page(text: &str) -> Page {
    Page::new(Bytes::from(format!("{{\"Items\":[{{\"v\":{{\"S\":\"{text}\"}}}}]}}")))
}

/// Polls once; a wait that has an outcome never needs more.
fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

fn outcome(joiner: Joiner<Page>) -> Option<JoinOutcome<Page>> {
    poll(pin!(joiner.wait()))
}

// What a hit is.

#[test]
fn what_was_fetched_is_a_hit_with_its_age_and_checksum() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.fill("q", &fixture.partition("a")), Completion::Stored);
    fixture.pass(3);
    let hit = fixture.pages.lookup(&fixture.table.address(b"q"), fixture.now).expect("a hit");
    assert_eq!((hit.value.clone(), hit.age), (page("q"), Duration::from_secs(3)));
    assert_eq!(hit.value.crc32(), crc32fast::hash(hit.value.body()));
    let stats = fixture.table.page_stats();
    assert_eq!((stats.hits, stats.leads, stats.installs, stats.joins), (1, 1, 1, 0));
}

#[test]
fn a_page_is_found_only_by_its_whole_fingerprint() {
    let fixture = Fixture::new();
    fixture.fill("query", &fixture.partition("a"));
    let hash = fixture.table.address(b"query").hash();
    let at = |fingerprint: &'static [u8]| {
        fixture.pages.lookup(&fixture.table.address_with_hash(fingerprint, hash), fixture.now)
    };
    assert!(at(b"query").is_some());
    assert!(at(b"quern").is_none() && at(b"quer").is_none() && at(b"query ").is_none());
}

#[test]
fn a_page_ends_with_its_time_to_live() {
    let mut fixture = Fixture::new();
    fixture.fill("q", &fixture.partition("a"));
    fixture.pass(269);
    assert!(fixture.hit("q").is_some());
    fixture.pass(31);
    assert!(fixture.hit("q").is_none());
}

#[test]
fn pages_of_every_length_come_back_as_they_were() {
    let fixture = Fixture::new();
    let scope = fixture.partition("a");
    for length in [2, 100, 3_000, 16_383, 16_384, 70_000, 1 << 19] {
        let page = Page::new(vec![b'x'; length].into());
        let name = length.to_string();
        assert_eq!(fixture.lead(&name, &scope).complete(page.clone(), fixture.now), Completion::Stored);
        assert_eq!(fixture.hit(&name), Some(page));
    }
}

// What a write invalidates.

#[test]
fn a_write_invalidates_the_pages_of_its_partition_and_the_scans_of_its_table() {
    let mut fixture = Fixture::new();
    fixture.policy.scan_admission = ScanAdmission::First;
    fixture.fill("a", &fixture.partition("a"));
    fixture.fill("b", &fixture.partition("b"));
    fixture.fill("scan", &PageScope::table());
    fixture.write("a");
    assert!(fixture.hit("a").is_none() && fixture.hit("scan").is_none());
    assert!(fixture.hit("b").is_some());
}

#[test]
fn a_write_of_unknown_images_invalidates_every_index_of_its_table() {
    let mut fixture = Fixture::new();
    let other = PageScope::index_partition(&fixture.table.index("by-date"), b"monday");
    fixture.fill("open", &fixture.index_partition("open"));
    fixture.fill("monday", &other);
    assert!(fixture.hit("open").is_some() && fixture.hit("monday").is_some());
    fixture.write("a");
    assert!(fixture.hit("open").is_none() && fixture.hit("monday").is_none());
    fixture.pass(10);
    let elsewhere = fixture.items.table(Realm::SOLE, "Customers", Instant::now());
    fixture.fill("open", &fixture.index_partition("open"));
    fixture.pages.begin_write(&[(elsewhere.address(b"item"), b"a")], fixture.now).applied(&[], fixture.now);
    assert!(fixture.hit("open").is_some(), "another table has nothing to do with it");
}

#[test]
fn a_write_of_known_images_invalidates_the_index_partitions_that_the_item_leaves_and_enters() {
    let mut fixture = Fixture::new();
    fixture.policy.scan_admission = ScanAdmission::First;
    for state in ["open", "paid", "sent"] {
        fixture.fill(state, &fixture.index_partition(state));
    }
    fixture.fill("scan", &fixture.index_scan());
    fixture.move_in_index("open", "paid");
    assert!(fixture.hit("open").is_none() && fixture.hit("paid").is_none());
    assert!(fixture.hit("scan").is_none());
    assert!(fixture.hit("sent").is_some());
}

#[test]
fn an_index_that_a_write_does_not_name_is_invalidated_whole() {
    let fixture = Fixture::new();
    let unnamed = PageScope::index_partition(&fixture.table.index("new"), b"x");
    fixture.fill("x", &unnamed);
    fixture.move_in_index("open", "paid");
    assert!(fixture.hit("x").is_none());
}

#[test]
fn an_item_that_is_and_was_in_no_partition_of_an_index_leaves_it_alone() {
    let mut fixture = Fixture::new();
    fixture.policy.scan_admission = ScanAdmission::First;
    fixture.fill("open", &fixture.index_partition("open"));
    fixture.fill("scan", &fixture.index_scan());
    let touch = IndexTouch::Known(vec![(fixture.table.index("by-state"), Vec::new())]);
    fixture.begin_write("a").applied(&[touch], fixture.now);
    assert!(fixture.hit("open").is_some() && fixture.hit("scan").is_some());
}

#[test]
fn positions_are_not_known_while_another_write_of_the_item_is_in_flight() {
    let fixture = Fixture::new();
    fixture.fill("sent", &fixture.index_partition("sent"));
    let other_item = fixture.begin_write_of("other", "a");
    fixture.move_in_index("open", "paid");
    assert!(fixture.hit("sent").is_some());
    // It may have landed and moved the item from "sent" to "open".
    let overlapping = fixture.begin_write("a");
    fixture.move_in_index("open", "paid");
    assert!(fixture.hit("sent").is_none());
    overlapping.rejected(fixture.now);
    other_item.rejected(fixture.now);
}

#[test]
fn positions_are_not_known_while_an_earlier_write_may_still_land() {
    let mut fixture = Fixture::new();
    fixture.begin_write("a").unknown(fixture.now);
    fixture.pass(10);
    fixture.fill("sent", &fixture.index_partition("sent"));
    fixture.move_in_index("open", "paid");
    assert!(fixture.hit("sent").is_none());
    fixture.pass(30);
    fixture.pages.sweep(fixture.now);
    fixture.pass(10);
    fixture.fill("sent", &fixture.index_partition("sent"));
    fixture.move_in_index("open", "paid");
    assert!(fixture.hit("sent").is_some());
    fixture.items.invalidate_table(&fixture.table, fixture.now);
    fixture.pass(10);
    fixture.fill("sent", &fixture.index_partition("sent"));
    fixture.move_in_index("open", "paid");
    assert!(fixture.hit("sent").is_none());
}

#[test]
fn every_verdict_invalidates() {
    let fixture = Fixture::new();
    let scope = fixture.partition("a");
    let verdicts: [fn(PageWriteGuard, Instant); 4] = [
        |guard, now| drop(guard.applied(&[IndexTouch::Unknown], now)),
        |guard, now| drop(guard.rejected(now)),
        |guard, now| drop(guard.unknown(now)),
        |guard, _| drop(guard),
    ];
    for verdict in verdicts {
        fixture.fill("q", &scope);
        let guard = fixture.begin_write("a");
        assert!(fixture.hit("q").is_some());
        verdict(guard, fixture.now);
        assert!(fixture.hit("q").is_none());
    }
}

#[test]
fn a_write_of_unknown_outcome_invalidates_again_when_it_can_land_no_longer() {
    let mut fixture = Fixture::new();
    fixture.policy.gsi_quarantine = Duration::ZERO;
    fixture.begin_write("a").unknown(fixture.now);
    fixture.fill("q", &fixture.partition("a"));
    fixture.fill("open", &fixture.index_partition("open"));
    fixture.pass(29);
    fixture.pages.sweep(fixture.now);
    assert!(fixture.hit("q").is_some() && fixture.hit("open").is_some());
    fixture.pass(1);
    fixture.pages.sweep(fixture.now);
    assert!(fixture.hit("q").is_none() && fixture.hit("open").is_none());
    let stats = fixture.pages.stats();
    assert_eq!(stats.bumps(BumpReason::HoldEnd, BumpedScope::Partition), 1);
    assert_eq!(stats.bumps(BumpReason::HoldEnd, BumpedScope::WholeIndex), 1);
}

#[test]
fn invalidating_a_table_invalidates_its_pages() {
    let fixture = Fixture::new();
    let invalidates: [fn(&Fixture); 3] = [
        |fixture| fixture.items.invalidate_table(&fixture.table, fixture.now),
        |fixture| fixture.items.invalidate_named(Realm::SOLE, "Orders", fixture.now),
        |fixture| fixture.items.invalidate_all(Realm::SOLE, fixture.now),
    ];
    for void in invalidates {
        fixture.fill("q", &fixture.partition("a"));
        assert!(fixture.hit("q").is_some());
        void(&fixture);
        assert!(fixture.hit("q").is_none());
    }
    assert_eq!(fixture.fill("open", &fixture.index_partition("open")), quarantined());
}

#[test]
fn a_fill_that_began_before_a_write_is_answered_and_not_stored() {
    let fixture = Fixture::new();
    let scope = fixture.partition("a");
    let permit = fixture.lead("q", &scope);
    let waiting = fixture.join("q", &scope);
    fixture.write("a");
    assert_eq!(permit.complete(page("old"), fixture.now), Completion::NotStored(PageNotStored::Word));
    assert!(fixture.hit("q").is_none());
    assert!(matches!(outcome(waiting), Some(JoinOutcome::Landed(found)) if found == page("old")));
    assert_eq!(fixture.pages.stats().not_stored(PageNotStored::Word), 1);
}

// What lags.

#[test]
fn pages_of_what_was_lately_written_are_fetched_strongly() {
    let mut fixture = Fixture::new();
    let (a, b) = (fixture.partition("a"), fixture.partition("b"));
    assert_eq!(fixture.lead("a", &a).consistency(), Consistency::Eventual);
    let guard = fixture.begin_write("a");
    assert_eq!(fixture.lead("a", &a).consistency(), Consistency::Strong);
    assert_eq!(fixture.lead("scan", &PageScope::table()).consistency(), Consistency::Strong);
    assert_eq!(fixture.lead("b", &b).consistency(), Consistency::Eventual);
    fixture.pass(40);
    guard.applied(&[], fixture.now);
    fixture.pass(60);
    assert_eq!(fixture.lead("a", &a).consistency(), Consistency::Strong);
    fixture.pass(5);
    assert_eq!(fixture.lead("a", &a).consistency(), Consistency::Eventual);
    assert_eq!(fixture.lead("scan", &PageScope::table()).consistency(), Consistency::Eventual);
}

#[test]
fn pages_of_global_indexes_are_never_fetched_strongly() {
    let mut fixture = Fixture::new();
    fixture.policy.fill = FillMode::Strong;
    fixture.write("a");
    assert_eq!(fixture.lead("open", &fixture.index_partition("open")).consistency(), Consistency::Eventual);
    assert_eq!(fixture.lead("a", &fixture.partition("a")).consistency(), Consistency::Strong);
}

fn quarantined() -> Completion {
    Completion::NotStored(PageNotStored::Quarantine)
}

#[test]
fn a_page_of_an_index_is_not_stored_until_its_quarantine_is_over() {
    let mut fixture = Fixture::new();
    fixture.policy.scan_admission = ScanAdmission::First;
    let (open, sent) = (fixture.index_partition("open"), fixture.index_partition("sent"));
    fixture.move_in_index("open", "paid");
    assert_eq!(fixture.fill("sent", &sent), Completion::Stored);
    fixture.pass(4);
    assert_eq!(fixture.fill("scan", &fixture.index_scan()), quarantined());
    let sent_within = fixture.lead("open", &open);
    fixture.pass(2);
    assert_eq!(sent_within.complete(page("old"), fixture.now), quarantined());
    assert_eq!(fixture.fill("open", &open), Completion::Stored);
    assert_eq!(fixture.fill("scan", &fixture.index_scan()), Completion::Stored);
}

#[test]
fn readers_wait_for_each_other_also_in_quarantine() {
    let fixture = Fixture::new();
    let scope = fixture.index_partition("open");
    fixture.write("a");
    let permit = fixture.lead("open", &scope);
    let waiting = fixture.join("open", &scope);
    assert_eq!(permit.complete(page("open"), fixture.now), quarantined());
    assert!(matches!(outcome(waiting), Some(JoinOutcome::Landed(_))));
}

#[test]
fn an_index_that_is_first_read_after_a_write_is_in_quarantine_too() {
    let mut fixture = Fixture::new();
    fixture.write("a");
    fixture.pass(1);
    assert_eq!(fixture.fill("open", &fixture.index_partition("open")), quarantined());
    fixture.pass(5);
    assert_eq!(fixture.fill("open", &fixture.index_partition("open")), Completion::Stored);
}

// Who waits for whom.

#[test]
fn ten_thousand_readers_of_a_page_make_one_fetch() {
    let mut fixture = Fixture::new();
    let scope = fixture.partition("a");
    fixture.fill("q", &scope);
    fixture.pass(400);
    let permit = fixture.lead("q", &scope);
    let waiting: Vec<_> = (0..10_000).map(|_| fixture.join("q", &scope)).collect();
    permit.complete(page("q"), fixture.now);
    let landed = |joiner| matches!(outcome(joiner), Some(JoinOutcome::Landed(found)) if found == page("q"));
    assert!(waiting.into_iter().all(landed));
    assert_eq!(fixture.table.page_stats().leads, 2);
}

#[test]
fn a_reader_does_not_join_a_fetch_that_was_sent_before_a_write() {
    let fixture = Fixture::new();
    let scope = fixture.partition("a");
    let old = fixture.lead("q", &scope);
    fixture.write("a");
    let new = fixture.lead("q", &scope);
    old.complete(page("old"), fixture.now);
    let waiting = fixture.join("q", &scope);
    assert_eq!(new.complete(page("new"), fixture.now), Completion::Stored);
    assert!(matches!(outcome(waiting), Some(JoinOutcome::Landed(found)) if found == page("new")));
}

#[test]
fn a_fetch_that_fails_or_is_given_up_tells_those_who_wait_and_invalidates_nothing() {
    let fixture = Fixture::new();
    let scope = fixture.partition("a");
    fixture.fill("other", &scope);
    let answer = Answer::from(ApiError::new(ErrorCode::ServiceUnavailable, "Later."));
    let failure = FailedFetch { answer, on_behalf_of: None };
    let permit = fixture.lead("q", &scope);
    let waiting = fixture.join("q", &scope);
    permit.fail(failure.clone());
    assert!(matches!(outcome(waiting), Some(JoinOutcome::Failed(heard)) if *heard == failure));
    let permit = fixture.lead("q", &scope);
    let waiting = fixture.join("q", &scope);
    drop(permit);
    assert!(matches!(outcome(waiting), Some(JoinOutcome::Failed(heard)) if heard.answer.status == 503));
    assert!(fixture.hit("other").is_some());
}

#[test]
fn only_so_many_pages_of_a_table_are_fetched_at_once() {
    let fixture = Fixture::new();
    let scope = fixture.partition("a");
    let mut under_way: Vec<_> = (0..64).map(|number| fixture.lead(&number.to_string(), &scope)).collect();
    for permit in &mut under_way {
        assert!(poll(pin!(permit.wait_for_room())).is_some());
    }
    let mut next = fixture.lead("next", &scope);
    {
        let mut waiting = pin!(next.wait_for_room());
        assert!(poll(waiting.as_mut()).is_none());
        under_way.pop();
        assert!(poll(waiting).is_some());
    }
    let elsewhere = fixture.items.table(Realm::SOLE, "Customers", Instant::now());
    let address = elsewhere.address(b"q");
    let Lookup::Lead(mut other) = fixture.pages.read(&address, &scope, &fixture.policy, fixture.now) else {
        panic!("expected to lead");
    };
    assert!(poll(pin!(other.wait_for_room())).is_some(), "tables do not wait for each other");
}

// What strong readers have seen.

#[test]
fn a_strong_read_that_contradicts_a_page_invalidates_it() {
    let fixture = Fixture::new();
    let scope = fixture.partition("a");
    fixture.fill("q", &scope);
    fixture.observe("q", &scope, &page("q"));
    assert!(fixture.hit("q").is_some());
    fixture.observe("q", &scope, &page("newer"));
    assert!(fixture.hit("q").is_none());
    assert_eq!(fixture.table.page_stats().stale_observed, 1);
    assert_eq!(fixture.lead("q", &scope).consistency(), Consistency::Strong);
}

#[test]
fn what_a_write_explains_is_no_contradiction() {
    let fixture = Fixture::new();
    let (scope, address) = (fixture.partition("a"), fixture.table.address(b"q"));
    // Sent before the write, answered after it.
    let sent = fixture.pages.sending(&address, &scope);
    fixture.write("a");
    fixture.fill("q", &scope);
    fixture.pages.observe(&address, &scope, &page("older"), sent, fixture.now);
    // Sent and answered while one is in flight.
    fixture.fill("q", &scope);
    let write = fixture.begin_write("a");
    fixture.observe("q", &scope, &page("newer"));
    write.unknown(fixture.now);
    // Sent and answered while one may land late.
    fixture.fill("q", &scope);
    fixture.observe("q", &scope, &page("late"));
    assert_eq!(fixture.table.page_stats().stale_observed, 0);
    assert!(fixture.hit("q").is_none());
}

#[test]
fn a_fetch_that_contradicts_what_a_strong_read_saw_is_not_stored_nor_given_to_later_readers() {
    let fixture = Fixture::new();
    let scope = fixture.partition("a");
    let permit = fixture.lead("q", &scope);
    let early = fixture.join("q", &scope);
    fixture.observe("q", &scope, &page("newer"));
    let late = fixture.join("q", &scope);
    let completion = permit.complete(page("older"), fixture.now);
    assert_eq!(completion, Completion::NotStored(PageNotStored::Conflict));
    assert!(matches!(outcome(early), Some(JoinOutcome::Landed(_))));
    assert!(matches!(outcome(late), Some(JoinOutcome::LookAgain)));
}

// What is kept.

#[test]
fn a_page_of_a_scan_is_kept_when_it_is_asked_for_again() {
    let mut fixture = Fixture::new();
    let refused = Completion::NotStored(PageNotStored::ScanAdmission);
    assert_eq!(fixture.fill("scan", &PageScope::table()), refused);
    assert_eq!(fixture.fill("scan", &PageScope::table()), Completion::Stored);
    assert_eq!(fixture.fill("index", &fixture.index_scan()), refused);
    fixture.pass(400);
    assert_eq!(fixture.fill("index", &fixture.index_scan()), refused);
    fixture.policy.scan_admission = ScanAdmission::Never;
    assert_eq!(fixture.fill("index", &fixture.index_scan()), refused);
    fixture.policy.scan_admission = ScanAdmission::First;
    assert_eq!(fixture.fill("another", &fixture.index_scan()), Completion::Stored);
}

#[test]
fn a_scan_that_two_ask_for_at_once_is_kept() {
    let fixture = Fixture::new();
    let permit = fixture.lead("scan", &PageScope::table());
    let _waiting = fixture.join("scan", &PageScope::table());
    assert_eq!(permit.complete(page("scan"), fixture.now), Completion::Stored);
}

#[test]
fn pages_that_the_policy_does_not_want_are_answered_and_not_kept() {
    let mut fixture = Fixture::new();
    let scope = fixture.partition("a");
    fixture.policy.page_bytes_max = 10;
    assert_eq!(fixture.fill("q", &scope), Completion::NotStored(PageNotStored::Size));
    fixture.policy = PagePolicy { ttl: Some(Duration::ZERO), ..POLICY };
    assert_eq!(fixture.fill("q", &scope), Completion::NotStored(PageNotStored::Policy));
}

#[test]
fn the_budget_is_never_passed_whatever_comes_in() {
    let fixture = Fixture::new();
    let scope = fixture.partition("a");
    let bytes_max = fixture.pages.stats().bytes_max;
    let mut random = fastrand::Rng::with_seed(1);
    for round in 0..3 {
        for number in 0..3_000 {
            let page = Page::new(vec![b'x'; 1 << random.u32(4..20)].into());
            let _ = fixture.lead(&format!("{round} {number}"), &scope).complete(page, fixture.now);
            let bytes = fixture.pages.stats().bytes;
            assert!(bytes <= bytes_max, "{bytes} of {bytes_max} bytes");
        }
        // Used keys are written again and again: moka once stopped evicting under this.
        for number in 0..3_000 {
            fixture.write("a");
            let page = Page::new(vec![b'x'; 5_000].into());
            let _ = fixture.lead(&format!("again {}", number % 100), &scope).complete(page, fixture.now);
        }
    }
    let stats = fixture.pages.stats();
    assert!(stats.bytes <= bytes_max && stats.evictions > 0);
}

#[test]
fn dead_and_expired_pages_are_reclaimed_and_give_their_bytes_back() {
    let mut fixture = Fixture::new();
    for number in 0..100 {
        fixture.fill(&number.to_string(), &fixture.partition(if number < 50 { "a" } else { "b" }));
    }
    fixture.write("a");
    fixture.pages.sweep(fixture.now);
    let stats = fixture.pages.stats();
    assert_eq!((stats.expired, stats.entries), (50, 50));
    fixture.pass(400);
    fixture.pages.sweep(fixture.now);
    assert_eq!(fixture.pages.stats().expired, 100);
}

#[test]
fn another_budget_begins_empty() {
    let fixture = Fixture::new();
    let scope = fixture.partition("a");
    fixture.fill("q", &scope);
    fixture.pages.set_max_bytes(16 << 20);
    assert!(fixture.hit("q").is_some());
    fixture.pages.set_max_bytes(8 << 20);
    assert!(fixture.hit("q").is_none());
    assert_eq!(fixture.fill("q", &scope), Completion::Stored);
}

#[test]
fn a_page_that_the_store_forgot_is_fetched_anew() {
    let fixture = Fixture::new();
    let scope = fixture.partition("a");
    fixture.fill("q", &scope);
    fixture.pages.store.evict(fixture.table.address(b"q").hash());
    assert!(fixture.hit("q").is_none());
    assert_eq!(fixture.fill("q", &scope), Completion::Stored);
}

// Items out of pages.

const ITEM_POLICY: ReadPolicy = ReadPolicy {
    ttl: Some(Duration::from_secs(300)),
    negative_ttl: None,
    fill: FillMode::Adaptive,
    item_bytes_max: 1000,
    stale_if_error: Duration::ZERO,
};

fn item_of_a_page() -> PageItem {
    PageItem { key: b"item".to_vec(), image: CachedItem::present(br#"{"v":{"N":"1"}}"#, 3) }
}

impl Fixture {
    fn complete_with_item(&self, permit: PagePermit) -> Completion {
        permit.complete_with_items(page("q"), &[item_of_a_page()], &ITEM_POLICY, self.now)
    }

    fn item(&self) -> Option<CachedItem> {
        self.items.lookup(&self.table.address(b"item"), self.now).map(|hit| hit.value)
    }
}

#[test]
fn an_item_of_a_page_is_found_by_its_key() {
    let fixture = Fixture::new();
    let completion = fixture.complete_with_item(fixture.lead("q", &fixture.partition("a")));
    assert_eq!(completion, Completion::Stored);
    assert_eq!(fixture.item(), Some(item_of_a_page().image));
    assert_eq!(fixture.table.stats().pages_installed, 1);
}

#[test]
fn an_item_of_a_page_is_not_stored_unless_the_policy_asks_for_it_nor_from_an_index() {
    let mut fixture = Fixture::new();
    fixture.complete_with_item(fixture.lead("open", &fixture.index_partition("open")));
    fixture.policy.fill_items = false;
    fixture.complete_with_item(fixture.lead("q", &fixture.partition("a")));
    assert_eq!(fixture.item(), None);
}

#[test]
fn an_item_of_a_page_is_not_stored_when_it_was_written_meanwhile_or_is_being_written() {
    let fixture = Fixture::new();
    let scope = fixture.partition("a");
    let permit = fixture.lead("q", &scope);
    fixture.write("a");
    fixture.complete_with_item(permit);
    assert_eq!(fixture.item(), None);
    let guard = fixture.begin_write("a");
    fixture.complete_with_item(fixture.lead("q", &scope));
    assert_eq!(fixture.item(), None);
    guard.rejected(fixture.now);
}

#[test]
fn an_item_of_a_page_is_not_stored_when_it_was_read_meanwhile_or_is_being_read() {
    let fixture = Fixture::new();
    let (scope, address) = (fixture.partition("a"), fixture.table.address(b"item"));
    let permit = fixture.lead("q", &scope);
    let sent = fixture.items.sending(&address, FillMode::Adaptive);
    fixture.items.observe(&address, &CachedItem::absent(), sent, fixture.now);
    fixture.complete_with_item(permit);
    assert_eq!(fixture.item(), None);
    let Lookup::Lead(reading) = fixture.items.read(&address, &ITEM_POLICY, fixture.now) else {
        panic!("expected to lead");
    };
    fixture.write("a");
    fixture.complete_with_item(fixture.lead("q", &scope));
    assert_eq!(fixture.item(), None);
    drop(reading);
}

// Items of pages that nobody asked for.

impl Fixture {
    fn warm(&self, warming: Warming) -> Warmed {
        let item = WarmItem { item: item_of_a_page(), partition: b"a".to_vec() };
        warming.store(&[item], &ITEM_POLICY, self.now)
    }

    fn begin_warming(&self) -> Warming {
        self.pages.begin_warming(&self.table, FillMode::Adaptive, self.now)
    }
}

const STORED: Warmed = Warmed { stored: 1, there: 0, kept_out: 0 };
const KEPT_OUT: Warmed = Warmed { stored: 0, there: 0, kept_out: 1 };

#[test]
fn a_warmed_item_is_found_by_its_key_and_left_as_it_is_the_next_time() {
    let fixture = Fixture::new();
    assert_eq!(fixture.warm(fixture.begin_warming()), STORED);
    assert_eq!(fixture.item(), Some(item_of_a_page().image));
    assert_eq!(fixture.warm(fixture.begin_warming()), Warmed { stored: 0, there: 1, kept_out: 0 });
    assert_eq!(fixture.pages.stats().entries, 0);
}

#[test]
fn warming_reads_strongly_where_the_whole_table_may_lag_and_else_eventually() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.begin_warming().consistency(), Consistency::Eventual);
    fixture.write("a");
    assert_eq!(fixture.begin_warming().consistency(), Consistency::Eventual);
    fixture.items.invalidate_table(&fixture.table, fixture.now);
    assert_eq!(fixture.begin_warming().consistency(), Consistency::Strong);
    fixture.pass(70);
    assert_eq!(fixture.begin_warming().consistency(), Consistency::Eventual);
    let strong = fixture.pages.begin_warming(&fixture.table, FillMode::Strong, fixture.now);
    assert_eq!(strong.consistency(), Consistency::Strong);
}

#[test]
fn a_write_of_another_partition_spares_a_warmed_item_in_a_table_that_is_being_written() {
    let mut fixture = Fixture::new();
    fixture.write("b");
    let warming = fixture.begin_warming();
    fixture.write("b");
    assert_eq!(fixture.warm(warming), STORED);
    // Where nothing was written lately, all partitions have one word.
    fixture.pass(400);
    let warming = fixture.begin_warming();
    fixture.write("b");
    assert_eq!(fixture.warm(warming), KEPT_OUT);
}

#[test]
fn a_warmed_item_is_not_stored_when_its_partition_was_written_meanwhile_or_is_being_written() {
    let mut fixture = Fixture::new();
    for written_before in ["b", "a"] {
        fixture.pass(400);
        fixture.write(written_before);
        fixture.pass(70);
        let warming = fixture.begin_warming();
        fixture.write("a");
        assert_eq!(fixture.warm(warming), KEPT_OUT);
    }
    fixture.pass(400);
    let warming = fixture.begin_warming();
    let guard = fixture.begin_write("a");
    assert_eq!(fixture.warm(warming), KEPT_OUT);
    guard.rejected(fixture.now);
    let warming = fixture.begin_warming();
    fixture.items.invalidate_table(&fixture.table, fixture.now);
    assert_eq!(fixture.warm(warming), KEPT_OUT);
    assert_eq!(fixture.item(), None);
}

#[test]
fn pages_in_flight_share_copies_of_the_words_and_a_shared_copy_hides_no_write() {
    let mut fixture = Fixture::new();
    fixture.write("a");
    let first = fixture.begin_warming();
    fixture.write("a");
    // The copy is older than this page, so the item is not stored, although the page shows the write.
    assert_eq!(fixture.warm(fixture.begin_warming()), KEPT_OUT);
    assert_eq!(fixture.pages.words.copies(), 1);
    fixture.pass(1);
    assert_eq!(fixture.warm(fixture.begin_warming()), STORED);
    drop(first);
    let mut in_flight = Vec::new();
    for _ in 0..20 {
        in_flight.push(fixture.begin_warming());
        fixture.pass(1);
    }
    assert_eq!(fixture.pages.words.copies(), super::words::COPIES_MAX);
    drop(in_flight);
    assert_eq!(fixture.pages.words.copies(), 0);
}

#[test]
fn an_item_of_a_page_is_not_stored_when_a_late_write_bumps_between_the_checks() {
    let fixture = Fixture::new();
    let sent = super::items::SentItems {
        cache: &fixture.pages,
        table: &fixture.table,
        sending: super::permit::Sending {
            consistency: Consistency::Strong,
            had_lease: true,
            began: fixture.now,
            sent_ms: fixture.items.elapsed_ms(fixture.now),
        },
        reads_before: fixture.items.reads.count(),
    };
    // Whichever is asked first finds the late write still to come and the words unmoved.
    for bumped_after in [0, 1, 2] {
        let asked = std::cell::Cell::new(0);
        let is_bumped = || asked.replace(asked.get() + 1) >= bumped_after;
        let stored =
            sent.store(&item_of_a_page(), &ITEM_POLICY, fixture.now, || !is_bumped(), || !is_bumped());
        assert_eq!(stored, super::items::StoredItem::KeptOut, "bumped after {bumped_after} checks");
    }
}

#[test]
fn what_is_flushed_of_an_item_is_the_item_and_every_page_that_may_show_it() {
    let fixture = Fixture::new();
    let (own, other) = (fixture.partition("a"), fixture.partition("b"));
    let index = fixture.index_partition("open");
    fixture.warm(fixture.begin_warming());
    for (fingerprint, scope) in [("own", &own), ("other", &other), ("index", &index)] {
        assert_eq!(fixture.fill(fingerprint, scope), Completion::Stored);
    }
    fixture.pages.flush_item(&fixture.table.address(b"item"), b"a", fixture.now);
    assert_eq!(fixture.item(), None);
    let hits = ["own", "other", "index"].map(|fingerprint| fixture.hit(fingerprint).is_some());
    assert_eq!(hits, [false, true, false]);
    assert_eq!(fixture.items.stats().bumps(BumpReason::Flushed), 1);
}
