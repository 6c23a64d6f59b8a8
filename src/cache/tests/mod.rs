//! What the cache promises, one sentence at a time. The model test next door looks for what nobody thought of.

mod curve;
mod fleet;
mod model;
pub(crate) mod schedules;
mod stopped;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use crate::call::Answer;
use crate::model::{ApiError, ErrorCode};

use super::store::{BudgetedStore, Store};
use super::*;

const POLICY: ReadPolicy = ReadPolicy {
    ttl: Some(Duration::from_secs(300)),
    negative_ttl: Some(Duration::from_secs(60)),
    fill: FillMode::Adaptive,
    item_bytes_max: 500_000,
    stale_if_error: Duration::ZERO,
};

/// A cache with one table, and a clock that moves when told to.
struct Fixture {
    cache: Arc<ItemCache>,
    table: Arc<CachedTable>,
    now: Instant,
}

impl Fixture {
    /// With a single stripe, so that every two keys collide, if `stripes` is 1.
    fn with_stripes(stripes: usize) -> Self {
        let cache = ItemCache::new(CacheLimits { max_bytes: 16 << 20, stripes });
        let table = cache.table(Realm::SOLE, "Orders", Instant::now());
        // Past the first minute, in which everything counts as touched.
        Self { cache, table, now: Instant::now() + Duration::from_secs(120) }
    }

    fn new() -> Self {
        Self::with_stripes(1 << 10)
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn read(&self, key: &str) -> Lookup<CachedItem, FillPermit> {
        self.cache.read(&self.table.address(key.as_bytes()), &POLICY, self.now)
    }

    fn lead(&self, key: &str) -> FillPermit {
        match self.read(key) {
            Lookup::Lead(permit) => permit,
            other => panic!("expected to lead, got {other:?}"),
        }
    }

    fn join(&self, key: &str) -> Joiner {
        match self.read(key) {
            Lookup::Join(joiner) => joiner,
            other => panic!("expected to join, got {other:?}"),
        }
    }

    fn hit(&self, key: &str) -> Option<CachedItem> {
        self.cache.lookup(&self.table.address(key.as_bytes()), self.now).map(|hit| hit.value)
    }

    fn fill(&self, key: &str, image: &CachedItem) {
        self.lead(key).complete(image.clone(), self.now);
    }

    fn observe(&self, key: &str, image: &CachedItem) {
        let address = self.table.address(key.as_bytes());
        self.cache.observe(&address, image, self.cache.sending(&address, FillMode::Adaptive), self.now);
    }

    fn begin_write(&self, keys: &[&str]) -> WriteGuard {
        let addresses: Vec<_> = keys.iter().map(|key| self.table.address(key.as_bytes())).collect();
        self.cache.begin_write(&addresses, self.now)
    }

    fn write(&self, key: &str, image: Option<&CachedItem>) {
        self.begin_write(&[key]).applied(image.map(|image| (image, &POLICY)), self.now);
    }
}

fn image(value: u64) -> CachedItem {
    CachedItem::present(format!("{{\"v\":{{\"N\":\"{value}\"}}}}").as_bytes(), 3)
}

/// Polls once; a wait that has an outcome never needs more.
fn outcome(joiner: Joiner) -> Option<JoinOutcome> {
    match pin!(joiner.wait()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => Some(outcome),
        Poll::Pending => None,
    }
}

fn joined(joiner: Joiner) -> CachedItem {
    match outcome(joiner) {
        Some(JoinOutcome::Landed(image)) => image,
        other => panic!("expected an image, got {other:?}"),
    }
}

// What a hit is.

#[test]
fn what_was_fetched_is_a_hit_with_its_age_and_checksum() {
    let mut fixture = Fixture::new();
    fixture.fill("a", &image(1));
    fixture.pass(Duration::from_millis(2_500));
    let hit = fixture.cache.lookup(&fixture.table.address(b"a"), fixture.now).expect("a hit");
    assert_eq!((hit.value.clone(), hit.age), (image(1), Duration::from_millis(2_500)));
    assert_eq!(hit.value.crc32(), crc32fast::hash(hit.value.body()));
    assert_eq!(fixture.table.stats().hits, 1);
}

#[test]
fn tables_do_not_see_one_another() {
    let fixture = Fixture::new();
    fixture.fill("a", &image(1));
    let other = fixture.cache.table(Realm::SOLE, "Customers", Instant::now());
    assert!(fixture.cache.lookup(&other.address(b"a"), fixture.now).is_none());
    assert!(Arc::ptr_eq(&other, &fixture.cache.table(Realm::SOLE, "Customers", Instant::now())));
}

#[test]
fn two_keys_with_one_hash_are_not_taken_for_each_other() {
    let fixture = Fixture::new();
    let mine = fixture.table.address(b"a");
    let theirs = Address { key: b"b", ..mine };
    fixture.fill("a", &image(1));
    assert!(fixture.cache.lookup(&theirs, fixture.now).is_none());
    let Lookup::Lead(permit) = fixture.cache.read(&theirs, &POLICY, fixture.now) else { panic!("a miss") };
    let third = Address { key: b"c", ..mine };
    let newer = fixture.cache.read(&third, &POLICY, fixture.now);
    assert!(matches!(newer, Lookup::Lead(_)), "nobody waits on the fetch of another key");
    permit.complete(image(2), fixture.now);
    assert_eq!(fixture.hit("a"), Some(image(1)), "a fetch that another key took the place of is not stored");
}

#[test]
fn an_entry_ends_with_its_time_to_live_and_never_later() {
    let mut fixture = Fixture::new();
    fixture.fill("a", &image(1));
    fixture.pass(Duration::from_secs(269));
    assert!(fixture.hit("a").is_some(), "at most a tenth is taken off");
    fixture.pass(Duration::from_secs(31));
    assert!(fixture.hit("a").is_none());
}

#[test]
fn the_time_to_live_counts_from_when_the_read_was_sent() {
    let mut fixture = Fixture::new();
    let permit = fixture.lead("a");
    fixture.pass(Duration::from_secs(299));
    permit.complete(image(1), fixture.now);
    fixture.pass(Duration::from_secs(1));
    assert!(fixture.hit("a").is_none());
}

#[test]
fn absence_is_remembered_for_a_time_of_its_own() {
    let mut fixture = Fixture::new();
    fixture.fill("a", &CachedItem::absent());
    assert_eq!(fixture.hit("a"), Some(CachedItem::absent()));
    assert_eq!(fixture.table.stats().negative_hits, 1);
    fixture.pass(Duration::from_secs(60));
    assert!(fixture.hit("a").is_none());
}

#[test]
fn an_entry_without_a_time_to_live_stays() {
    let mut fixture = Fixture::new();
    let Lookup::Lead(permit) =
        fixture.cache.read(&fixture.table.address(b"a"), &ReadPolicy { ttl: None, ..POLICY }, fixture.now)
    else {
        panic!("a miss")
    };
    permit.complete(image(1), fixture.now);
    fixture.pass(Duration::from_secs(10 * 365 * 86_400));
    assert_eq!(fixture.hit("a"), Some(image(1)));
}

#[test]
fn a_time_to_live_of_zero_and_a_body_too_large_are_served_and_not_kept() {
    let fixture = Fixture::new();
    for (policy, refusal) in [
        (ReadPolicy { ttl: Some(Duration::ZERO), ..POLICY }, NotStored::Policy),
        (ReadPolicy { item_bytes_max: 5, ..POLICY }, NotStored::Size),
    ] {
        let Lookup::Lead(permit) = fixture.cache.read(&fixture.table.address(b"a"), &policy, fixture.now)
        else {
            panic!("a miss")
        };
        let joiner = fixture.join("a");
        permit.complete(image(1), fixture.now);
        assert_eq!(joined(joiner), image(1));
        assert!(fixture.hit("a").is_none());
        assert_eq!(fixture.cache.stats().not_stored(refusal), 1);
    }
}

// Fetches and those who wait on them.

#[test]
fn readers_of_one_key_share_one_fetch() {
    let fixture = Fixture::new();
    let permit = fixture.lead("a");
    let joiners = [fixture.join("a"), fixture.join("a")];
    permit.complete(image(1), fixture.now);
    for joiner in joiners {
        assert_eq!(joined(joiner), image(1));
    }
    assert_eq!((fixture.table.stats().leads, fixture.table.stats().joins), (1, 2));
}

#[tokio::test]
async fn a_reader_that_waits_is_woken() {
    let fixture = Fixture::new();
    let permit = fixture.lead("a");
    let waiting = tokio::spawn(fixture.join("a").wait());
    tokio::task::yield_now().await;
    permit.complete(image(1), fixture.now);
    assert!(matches!(waiting.await, Ok(JoinOutcome::Landed(found)) if found == image(1)));
}

#[test]
fn a_failed_fetch_tells_everyone_who_waits_and_the_next_reader_fetches_anew() {
    let fixture = Fixture::new();
    let permit = fixture.lead("a");
    let joiner = fixture.join("a");
    let answer = Answer::from(ApiError::new(ErrorCode::Throttling, "Slow down"));
    let failure = FailedFetch { answer, on_behalf_of: None };
    permit.fail(failure.clone());
    assert!(matches!(outcome(joiner), Some(JoinOutcome::Failed(heard)) if *heard == failure));
    fixture.lead("a").complete(image(1), fixture.now);
    assert_eq!(fixture.hit("a"), Some(image(1)));
}

#[test]
fn a_fetch_dropped_without_a_word_wakes_everyone() {
    let fixture = Fixture::new();
    let permit = fixture.lead("a");
    let joiner = fixture.join("a");
    drop(permit);
    assert!(matches!(outcome(joiner), Some(JoinOutcome::Failed(failure)) if failure.answer.status == 503));
}

#[test]
fn a_reader_too_many_fetches_anew_and_later_ones_wait_on_that() {
    let fixture = Fixture::new();
    let first = fixture.lead("a");
    let waiting: Vec<_> = (0..10_000).map(|_| fixture.join("a")).collect();
    let second = fixture.lead("a");
    let late = fixture.join("a");
    assert_eq!(fixture.cache.stats().waiters_turned_away, 1);
    second.complete(image(1), fixture.now);
    assert_eq!(joined(late), image(1));
    first.complete(image(1), fixture.now);
    assert!(waiting.into_iter().all(|joiner| joined(joiner) == image(1)));
}

#[test]
fn a_place_given_up_is_free_for_another_reader() {
    let fixture = Fixture::new();
    let _permit = fixture.lead("a");
    for _ in 0..10_001 {
        drop(fixture.join("a"));
    }
    assert_eq!(fixture.cache.stats().waiters_turned_away, 0);
}

// A1 to A3: a fetch and a write of this node.

#[test]
fn a_fetch_that_began_before_a_write_is_not_stored() {
    let fixture = Fixture::new();
    let permit = fixture.lead("a");
    fixture.write("a", None);
    permit.complete(image(0), fixture.now);
    assert!(fixture.hit("a").is_none());
    assert_eq!(fixture.cache.stats().not_stored(NotStored::Word), 1);
}

#[test]
fn a_reader_does_not_join_a_fetch_that_began_before_a_write() {
    let fixture = Fixture::new();
    let old = fixture.lead("a");
    let early = fixture.join("a");
    fixture.write("a", None);
    let new = fixture.lead("a");
    new.complete(image(1), fixture.now);
    old.complete(image(0), fixture.now);
    assert_eq!(joined(early), image(0), "it began before the write was acknowledged");
}

#[test]
fn a_fetch_soon_after_a_write_is_strong_and_a_later_one_need_not_be() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.lead("a").consistency(), Consistency::Eventual);
    fixture.write("a", None);
    assert_eq!(fixture.lead("a").consistency(), Consistency::Strong);
    fixture.pass(Duration::from_secs(60));
    assert_eq!(fixture.lead("a").consistency(), Consistency::Strong);
    fixture.pass(Duration::from_secs(5));
    assert_eq!(fixture.lead("a").consistency(), Consistency::Eventual);
}

#[test]
fn the_fill_mode_overrides_what_is_known_of_the_key() {
    let fixture = Fixture::new();
    let consistency = |fill| {
        let policy = ReadPolicy { fill, ..POLICY };
        match fixture.cache.read(&fixture.table.address(b"a"), &policy, fixture.now) {
            Lookup::Lead(permit) => permit.consistency(),
            other => panic!("expected to lead, got {other:?}"),
        }
    };
    assert_eq!(consistency(FillMode::Strong), Consistency::Strong);
    fixture.write("a", None);
    assert_eq!(consistency(FillMode::Eventual), Consistency::Eventual);
}

#[test]
fn a_fetch_while_a_write_is_in_flight_is_strong_however_long_it_takes() {
    let mut fixture = Fixture::new();
    let _guard = fixture.begin_write(&["a"]);
    fixture.pass(Duration::from_secs(600));
    assert_eq!(fixture.lead("a").consistency(), Consistency::Strong);
}

#[test]
fn in_the_first_minute_every_fetch_is_strong() {
    let mut fixture = Fixture::new();
    fixture.now -= Duration::from_secs(61);
    assert_eq!(fixture.lead("a").consistency(), Consistency::Strong);
}

// A4: writes that store what they wrote.

#[test]
fn a_write_that_knows_its_image_leaves_it_behind() {
    let fixture = Fixture::new();
    fixture.write("a", Some(&image(1)));
    assert_eq!(fixture.hit("a"), Some(image(1)));
    fixture.write("a", Some(&CachedItem::absent()));
    assert_eq!(fixture.hit("a"), Some(CachedItem::absent()));
    assert_eq!(fixture.table.stats().writes_installed, 2);
}

#[test]
fn two_writes_that_overlap_do_not_leave_the_image_of_the_one_answered_last() {
    let fixture = Fixture::new();
    let (first, second) = (fixture.begin_write(&["a"]), fixture.begin_write(&["a"]));
    second.applied(Some((&image(2), &POLICY)), fixture.now);
    first.applied(Some((&image(1), &POLICY)), fixture.now);
    assert!(fixture.hit("a").is_none());
}

#[test]
fn a_read_that_completes_during_a_write_keeps_the_write_from_storing_its_image() {
    let fixture = Fixture::new();
    for complete_a_read in [
        |fixture: &Fixture| fixture.observe("a", &image(7)),
        |fixture: &Fixture| fixture.fill("a", &image(7)),
    ] {
        let guard = fixture.begin_write(&["a"]);
        complete_a_read(&fixture);
        assert!(fixture.hit("a").is_none(), "nor is what was read stored");
        guard.applied(Some((&image(1), &POLICY)), fixture.now);
        assert!(fixture.hit("a").is_none());
    }
}

#[test]
fn a_write_of_several_keys_stores_no_image_and_invalidates_them_all() {
    let fixture = Fixture::new();
    for key in ["a", "b", "c"] {
        fixture.fill(key, &image(0));
    }
    fixture.begin_write(&["a", "b"]).applied(Some((&image(1), &POLICY)), fixture.now);
    assert_eq!((fixture.hit("a"), fixture.hit("b"), fixture.hit("c")), (None, None, Some(image(0))));
}

// A5 to A7: reads that saw more.

#[test]
fn a_strong_read_that_contradicts_an_entry_invalidates_it() {
    let fixture = Fixture::new();
    fixture.fill("a", &image(0));
    fixture.observe("a", &image(0));
    assert_eq!(fixture.hit("a"), Some(image(0)));
    fixture.observe("a", &image(1));
    assert!(fixture.hit("a").is_none());
    assert_eq!(fixture.table.stats().stale_observed, 1);
}

#[test]
fn a_contradiction_during_a_write_of_ours_is_not_counted_as_staleness() {
    let fixture = Fixture::new();
    fixture.fill("a", &image(0));
    let _guard = fixture.begin_write(&["a"]);
    fixture.observe("a", &image(1));
    assert!(fixture.hit("a").is_none());
    assert_eq!(fixture.table.stats().stale_observed, 0);
}

#[test]
fn a_read_that_was_sent_before_a_write_neither_counts_as_staleness_nor_invalidates_what_was_written() {
    for (fill, is_kept) in [(FillMode::Adaptive, true), (FillMode::Strong, false)] {
        let fixture = Fixture::new();
        fixture.fill("a", &image(0));
        let address = fixture.table.address(b"a");
        let sent = fixture.cache.sending(&address, fill);
        fixture.begin_write(&["a"]).applied(Some((&image(1), &POLICY)), fixture.now);
        fixture.cache.observe(&address, &image(0), sent, fixture.now);
        // With strong fills nobody says that the read is the older one: somebody elsewhere may have written.
        assert_eq!(fixture.hit("a"), is_kept.then(|| image(1)));
        assert_eq!(fixture.table.stats().stale_observed, 0);
    }
}

#[test]
fn those_who_join_after_a_strong_read_look_again_if_the_fetch_contradicts_it() {
    let fixture = Fixture::new();
    let permit = fixture.lead("a");
    let early = fixture.join("a");
    fixture.observe("a", &image(1));
    let late = fixture.join("a");
    permit.complete(image(0), fixture.now);
    assert_eq!(joined(early), image(0));
    assert!(matches!(outcome(late), Some(JoinOutcome::LookAgain)));
    assert!(fixture.hit("a").is_none());
    assert_eq!(fixture.cache.stats().not_stored(NotStored::Conflict), 1);
}

#[test]
fn a_fetch_that_agrees_with_what_was_seen_serves_everyone_and_is_stored() {
    let fixture = Fixture::new();
    let permit = fixture.lead("a");
    fixture.observe("a", &image(1));
    let late = fixture.join("a");
    permit.complete(image(1), fixture.now);
    assert_eq!((joined(late), fixture.hit("a")), (image(1), Some(image(1))));
}

#[test]
fn a_superseded_fetch_is_compared_with_the_one_that_took_its_place_unless_it_must_be_older() {
    for is_writing in [true, false] {
        let fixture = Fixture::new();
        let old = fixture.lead("a");
        fixture.write("a", None);
        // One more write is in flight, which the fetch that was superseded may have seen.
        let write = is_writing.then(|| fixture.begin_write(&["a"]));
        let new = fixture.lead("a");
        old.complete(image(9), fixture.now);
        let late = is_writing.then(|| fixture.lead("a"));
        new.complete(image(1), fixture.now);
        assert_eq!(fixture.hit("a").is_none(), is_writing);
        drop((write, late));
    }
}

// A8 to A14, A16 and A17: verdicts.

#[test]
fn after_an_unknown_outcome_the_key_is_not_cached_for_half_a_minute() {
    let mut fixture = Fixture::new();
    fixture.fill("a", &image(0));
    fixture.begin_write(&["a"]).unknown(fixture.now);
    assert!(fixture.hit("a").is_none());
    fixture.fill("a", &image(0));
    fixture.write("a", Some(&image(1)));
    assert!(fixture.hit("a").is_none());
    assert_eq!(fixture.cache.stats().holds_active, 1);
    assert_eq!(fixture.cache.stats().not_stored(NotStored::Hold), 2);

    let straddling = fixture.lead("a");
    fixture.pass(Duration::from_secs(30));
    fixture.cache.sweep(fixture.now);
    straddling.complete(image(0), fixture.now);
    assert!(fixture.hit("a").is_none(), "what was read during the hold may be older than what landed in it");
    assert_eq!(fixture.cache.stats().holds_active, 0);
    assert_eq!(fixture.lead("a").consistency(), Consistency::Strong);
    fixture.fill("a", &image(1));
    assert_eq!(fixture.hit("a"), Some(image(1)));
}

#[test]
fn holds_of_one_stripe_share_the_latest_deadline() {
    let mut fixture = Fixture::with_stripes(1);
    fixture.begin_write(&["a"]).unknown(fixture.now);
    fixture.pass(Duration::from_secs(20));
    fixture.begin_write(&["b"]).unknown(fixture.now);
    assert_eq!(fixture.cache.stats().holds_active, 1);
    fixture.pass(Duration::from_secs(20));
    fixture.cache.sweep(fixture.now);
    assert_eq!(fixture.cache.stats().holds_active, 1);
    fixture.pass(Duration::from_secs(10));
    fixture.cache.sweep(fixture.now);
    assert_eq!(fixture.cache.stats().holds_active, 0);
}

#[test]
fn a_hold_whose_time_is_over_ends_with_the_next_read_even_without_a_sweep() {
    let mut fixture = Fixture::new();
    fixture.begin_write(&["a"]).unknown(fixture.now);
    fixture.pass(Duration::from_secs(31));
    fixture.fill("a", &image(1));
    assert_eq!(fixture.hit("a"), Some(image(1)));
}

#[tokio::test(start_paused = true)]
async fn a_guard_dropped_by_a_panic_or_a_gone_task_counts_as_unknown() {
    let mut fixture = Fixture::new();
    fixture.now = Instant::now();
    fixture.fill("a", &image(0));
    let guard = fixture.begin_write(&["a"]);
    let panicked = tokio::spawn(async move {
        let _guard = guard;
        panic!("the task that wrote is gone");
    });
    assert!(panicked.await.is_err());
    assert!(fixture.hit("a").is_none());
    assert_eq!(fixture.cache.stats().holds_active, 1);
    assert_eq!(fixture.cache.stats().bumps(BumpReason::Unknown), 1);
}

#[test]
fn a_rejected_write_invalidates_its_key_all_the_same() {
    let fixture = Fixture::new();
    fixture.fill("a", &image(0));
    fixture.begin_write(&["a"]).rejected(fixture.now);
    assert!(fixture.hit("a").is_none());
    assert_eq!(fixture.cache.stats().bumps(BumpReason::Rejected), 1);
}

#[test]
fn a_rejected_write_of_many_keys_invalidates_every_one_in_every_table() {
    let fixture = Fixture::new();
    let other = fixture.cache.table(Realm::SOLE, "Customers", Instant::now());
    let addresses = [fixture.table.address(b"a"), other.address(b"a")];
    for address in &addresses {
        let Lookup::Lead(permit) = fixture.cache.read(address, &POLICY, fixture.now) else {
            panic!("a miss")
        };
        permit.complete(image(0), fixture.now);
    }
    fixture.cache.begin_write(&addresses, fixture.now).rejected(fixture.now);
    for address in &addresses {
        assert!(fixture.cache.lookup(address, fixture.now).is_none());
    }
}

#[test]
fn absence_read_before_a_write_is_not_stored_after_it() {
    let fixture = Fixture::new();
    let permit = fixture.lead("a");
    fixture.write("a", Some(&image(1)));
    permit.complete(CachedItem::absent(), fixture.now);
    assert_ne!(fixture.hit("a"), Some(CachedItem::absent()));
}

#[test]
fn a_write_may_have_its_effect_seen_before_it_is_acknowledged_and_never_after_it_undone() {
    let fixture = Fixture::new();
    fixture.fill("a", &image(0));
    let guard = fixture.begin_write(&["a"]);
    assert_eq!(fixture.hit("a"), Some(image(0)), "not yet acknowledged");
    guard.applied(None, fixture.now);
    assert!(fixture.hit("a").is_none());
}

// Tables.

#[test]
fn invalidating_a_table_invalidates_its_entries_and_its_fetches_and_no_other_table() {
    let fixture = Fixture::new();
    let other = fixture.cache.table(Realm::SOLE, "Customers", Instant::now());
    let Lookup::Lead(permit) = fixture.cache.read(&other.address(b"a"), &POLICY, fixture.now) else {
        panic!("a miss")
    };
    permit.complete(image(5), fixture.now);
    fixture.fill("a", &image(0));
    let under_way = fixture.lead("b");
    fixture.cache.invalidate_table(&fixture.table, fixture.now);
    let anew = fixture.lead("b");
    under_way.complete(image(0), fixture.now);
    assert!(fixture.hit("a").is_none() && fixture.hit("b").is_none());
    assert_eq!(anew.consistency(), Consistency::Strong, "replicas may lag behind what invalidated the table");
    assert!(fixture.cache.lookup(&other.address(b"a"), fixture.now).is_some());
    fixture.cache.invalidate_all(Realm::SOLE, fixture.now);
    assert!(fixture.cache.lookup(&other.address(b"a"), fixture.now).is_none());
}

#[test]
fn a_write_that_began_before_a_table_was_invalidated_leaves_no_image() {
    let fixture = Fixture::new();
    let guard = fixture.begin_write(&["a"]);
    fixture.cache.invalidate_table(&fixture.table, fixture.now);
    guard.applied(Some((&image(1), &POLICY)), fixture.now);
    assert!(fixture.hit("a").is_none());
}

#[test]
fn a_table_invalidated_by_name_before_its_first_use_is_read_strongly_at_first() {
    let mut fixture = Fixture::new();
    for void in [
        |fixture: &Fixture| fixture.cache.invalidate_named(Realm::SOLE, "Customers", fixture.now),
        |fixture: &Fixture| fixture.cache.invalidate_all(Realm::SOLE, fixture.now),
    ] {
        fixture.pass(Duration::from_secs(100));
        void(&fixture);
        let table = fixture.cache.table(Realm::SOLE, &*format!("Customers {:?}", fixture.now), fixture.now);
        let turn = fixture.cache.read(&table.address(b"a"), &POLICY, fixture.now);
        assert!(matches!(turn, Lookup::Lead(permit) if permit.consistency() == Consistency::Strong));
    }
}

#[test]
fn invalidating_by_name_invalidates_a_table_in_use() {
    let fixture = Fixture::new();
    fixture.fill("a", &image(0));
    fixture.cache.invalidate_named(Realm::SOLE, "Customers", fixture.now);
    assert!(fixture.hit("a").is_some());
    fixture.cache.invalidate_named(Realm::SOLE, "Orders", fixture.now);
    assert!(fixture.hit("a").is_none());
}

// Memory.

#[test]
fn a_sweep_reclaims_what_is_dead_or_expired() {
    let mut fixture = Fixture::new();
    for key in 0..500 {
        fixture.fill(&format!("{key}"), &image(0));
    }
    fixture.write("7", None);
    let sweep_all = |fixture: &Fixture| (0..64).for_each(|_| fixture.cache.sweep(fixture.now));
    sweep_all(&fixture);
    let after_write = fixture.cache.stats().entries;
    assert!((400..500).contains(&after_write), "{after_write} entries");
    fixture.pass(Duration::from_secs(300));
    sweep_all(&fixture);
    assert_eq!(fixture.cache.stats().entries, 0);
    assert_eq!(fixture.cache.stats().expired, 500);
    // A table that is invalidated makes room, too.
    for key in 0..500 {
        fixture.fill(&format!("{key}"), &image(0));
    }
    fixture.cache.invalidate_table(&fixture.table, fixture.now);
    fixture.fill("0", &image(0));
    sweep_all(&fixture);
    assert_eq!(fixture.cache.stats().entries, 1);
}

#[test]
fn a_smaller_budget_is_kept_at_once() {
    let fixture = Fixture::new();
    for key in 0..3_000 {
        fixture.fill(&format!("{key}"), &CachedItem::present(&[b'x'; 2_000], 2_000));
    }
    assert!(fixture.cache.stats().bytes > 5_000_000);
    fixture.cache.set_max_bytes(1_000_000);
    let stats = fixture.cache.stats();
    assert!(stats.bytes <= 1_050_000 && stats.evictions > 1_000, "{stats:?}");
}

/// The sizes an adversary would choose: just over each class, the smallest, the largest, then everything at random, with
/// few keys and with many, so that replacing, evicting and refusing all happen.
#[test]
fn the_budget_holds_whatever_the_sizes_are() {
    let seed =
        std::env::var("NEARSIDE_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    for bytes_max in [1 << 20, 9 << 20, 32 << 20] {
        let store = BudgetedStore::new(bytes_max);
        let mut largest = 0;
        for phase in 0..8 {
            let keys = if phase % 2 == 0 { 300 } else { u64::MAX };
            for round in 0..4_000 {
                let size = match phase / 2 {
                    0 => 1,
                    1 => 1 << random.u32(0..17),
                    2 => [250, 260, 300, 330, 400, 420, 4_000, 4_100][random.usize(0..8)],
                    _ if round % 40 == 0 => 400 * 1024,
                    _ => random.usize(1..3_000),
                };
                let hash = random.u64(0..keys).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                insert(&store, hash, size);
                if round % 50 == 0 {
                    largest = largest.max(store.usage().bytes);
                }
            }
        }
        let usage = store.usage();
        assert!(
            largest <= bytes_max + bytes_max / 20,
            "{largest} of {bytes_max} bytes, NEARSIDE_SEED={seed}"
        );
        // Half of it may be given up for what lies in pieces, and a part is never quite full.
        assert!(usage.bytes >= bytes_max / 3, "{usage:?}, NEARSIDE_SEED={seed}");
    }
}

fn insert(store: &BudgetedStore, hash: u64, item_bytes: usize) -> bool {
    let version = super::words::Version { stripe: 0, table: 0 };
    let facts = super::entry::Facts { version, table: 0, read_ms: 0, expires_ms: 0 };
    let image = CachedItem::present(&vec![b'x'; item_bytes], item_bytes);
    store.insert(hash, &super::entry::NewEntry::new(facts, b"key", &image).expect("a short key"))
}

#[test]
fn an_entry_larger_than_the_store_is_rejected_and_the_older_one_is_gone() {
    let store = BudgetedStore::new(100_000);
    assert!(insert(&store, 1, 10));
    assert!(!insert(&store, 1, 200_000));
    assert!(store.get(1).is_none());
    assert_eq!(store.usage().evictions, 0);
}

// Threads.

/// Writers raise counters in a store that is read only through the cache; every reader checks that what it gets is not
/// older than what was acknowledged before it asked.
#[test]
fn threads_that_read_and_write_at_once_never_see_an_acknowledged_write_undone() {
    const KEYS: usize = 8;
    let cache = ItemCache::new(CacheLimits { max_bytes: 1 << 20, stripes: 4 });
    let table = cache.table(Realm::SOLE, "Orders", Instant::now());
    let upstream: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let acknowledged: Vec<AtomicU64> = (0..KEYS).map(|_| AtomicU64::new(0)).collect();
    let deadline = std::time::Instant::now() + Duration::from_millis(700);
    let (cache, table, upstream, acknowledged) = (&cache, &table, &upstream, &acknowledged);
    std::thread::scope(|scope| {
        for thread in 0..6 {
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread);
                while std::time::Instant::now() < deadline {
                    let key = random.usize(0..KEYS);
                    let bytes = [key as u8];
                    let address = table.address(&bytes);
                    if random.u32(0..4) == 0 {
                        let guard = cache.begin_write(&[address], Instant::now());
                        let value = upstream[key].fetch_add(1, Ordering::SeqCst) + 1;
                        let image = random.bool().then(|| image(value));
                        match random.u32(0..20) {
                            0 => guard.rejected(Instant::now()),
                            _ => guard.applied(image.as_ref().map(|image| (image, &POLICY)), Instant::now()),
                        }
                        acknowledged[key].fetch_max(value, Ordering::SeqCst);
                    } else {
                        let floor = acknowledged[key].load(Ordering::SeqCst);
                        let Some(found) = read_number(cache, &address, &upstream[key]) else { continue };
                        acknowledged[key].fetch_max(found, Ordering::SeqCst);
                        assert!(found >= floor, "key {key}: read {found} after {floor}");
                    }
                }
            });
        }
    });
    let stats = cache.stats().total;
    assert!(stats.hits > 0 && stats.writes_installed > 0 && stats.fills_installed > 0, "{stats:?}");
}

/// Reads a counter as the engine would; `None` if the read it had joined failed.
fn read_number(cache: &Arc<ItemCache>, address: &Address<'_>, upstream: &AtomicU64) -> Option<u64> {
    loop {
        let found = match cache.read(address, &POLICY, Instant::now()) {
            Lookup::Hit(hit) => hit.value,
            Lookup::Lead(permit) => {
                let found = image(upstream.load(Ordering::SeqCst));
                permit.complete(found.clone(), Instant::now());
                found
            }
            Lookup::Join(joiner) => match block_on(joiner.wait()) {
                JoinOutcome::Landed(found) => found,
                JoinOutcome::Failed(_) => return None,
                JoinOutcome::LookAgain | JoinOutcome::Opaque => continue,
            },
        };
        let json = found.item_json().expect("counters are never deleted");
        return Some(
            json[11..json.len() - 3].iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')),
        );
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        std::thread::park();
    }
}
