//! What the cache does with time in which the machine stood still: ages count it, waits do not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, advance};

use super::{POLICY, image};
use crate::cache::*;
use crate::stopped_time::{OtherClocks, StoppedTime};

const SECOND: Duration = Duration::from_secs(1);

/// Caches on a machine that stands still when a test says so.
struct Machine {
    stopped_ms: Arc<AtomicU64>,
    items: Arc<ItemCache>,
    pages: Arc<PageCache>,
    table: Arc<CachedTable>,
}

impl Machine {
    /// Past the first minute, in which everything counts as touched.
    async fn start() -> Self {
        let (origin, stopped_ms) = (Instant::now(), Arc::<AtomicU64>::default());
        let by = Arc::clone(&stopped_ms);
        let stopped = StoppedTime::by(move || {
            let running = 1_000_000 * SECOND + origin.elapsed();
            OtherClocks { boot: running, wall: running + Duration::from_millis(by.load(Ordering::Relaxed)) }
        });
        let items =
            ItemCache::ageing(CacheLimits { max_bytes: 1 << 20, stripes: 1 << 10 }, Arc::new(stopped));
        let pages = PageCache::new(PageLimits::for_budget(1 << 20), Arc::clone(&items));
        let table = items.table(Realm::SOLE, "Orders", Instant::now());
        advance(120 * SECOND).await;
        Self { stopped_ms, items, pages, table }
    }

    fn stands_still(&self, seconds: u64) {
        self.stopped_ms.fetch_add(seconds * 1_000, Ordering::Relaxed);
    }

    fn address(&self) -> Address<'_> {
        self.table.address(b"a")
    }

    fn lead(&self) -> FillPermit {
        match self.items.read(&self.address(), &POLICY, Instant::now()) {
            Lookup::Lead(permit) => permit,
            other => panic!("expected to lead, got {other:?}"),
        }
    }

    fn fill(&self) {
        self.lead().complete(image(1), Instant::now());
    }

    fn age(&self) -> Option<u64> {
        self.items.lookup(&self.address(), Instant::now()).map(|hit| hit.age.as_secs())
    }
}

#[tokio::test(start_paused = true)]
async fn an_item_grows_older_while_the_machine_stands_still_and_expires() {
    let machine = Machine::start().await;
    machine.fill();
    machine.stands_still(200);
    advance(20 * SECOND).await;
    assert_eq!(machine.age(), Some(220));
    machine.stands_still(80);
    assert_eq!(machine.age(), None, "no background task has run in between");
}

#[tokio::test(start_paused = true)]
async fn an_item_that_was_on_its_way_while_the_machine_stood_still_is_as_old_as_its_request() {
    let machine = Machine::start().await;
    let permit = machine.lead();
    machine.stands_still(200);
    permit.complete(image(1), Instant::now());
    assert_eq!(machine.age(), Some(200));
    let write = machine.items.begin_write(&[machine.address()], Instant::now());
    machine.stands_still(100);
    write.applied(Some((&image(2), &POLICY)), Instant::now());
    assert_eq!(machine.age(), Some(100));
}

#[tokio::test(start_paused = true)]
async fn a_page_grows_older_while_the_machine_stands_still_also_on_its_way() {
    let policy = PagePolicy {
        ttl: Some(300 * SECOND),
        fill: FillMode::Adaptive,
        gsi_quarantine: 5 * SECOND,
        page_bytes_max: 2 << 20,
        scan_admission: ScanAdmission::First,
        stale_if_error: Duration::ZERO,
        fill_items: true,
    };
    let machine = Machine::start().await;
    let scope = PageScope::partition(&machine.table, b"p");
    let Lookup::Lead(permit) = machine.pages.read(&machine.address(), &scope, &policy, Instant::now()) else {
        panic!("nothing is cached");
    };
    machine.stands_still(100);
    permit.complete(Page::new(Bytes::from_static(br#"{"Items":[]}"#)), Instant::now());
    let age = || machine.pages.lookup(&machine.address(), Instant::now()).map(|hit| hit.age.as_secs());
    assert_eq!(age(), Some(100));
    machine.stands_still(100);
    assert_eq!(age(), Some(200));
    machine.stands_still(100);
    assert_eq!(age(), None);
}

#[tokio::test(start_paused = true)]
async fn a_write_of_unknown_outcome_is_held_for_as_long_as_the_machine_runs() {
    let machine = Machine::start().await;
    machine.fill();
    machine.items.begin_write(&[machine.address()], Instant::now()).unknown(Instant::now());
    machine.stands_still(3_600);
    machine.fill();
    assert_eq!(machine.age(), None, "its last bytes may have been sent only now");
    advance(29 * SECOND).await;
    machine.fill();
    assert_eq!(machine.age(), None);
    advance(2 * SECOND).await;
    machine.items.sweep(Instant::now());
    machine.fill();
    assert_eq!(machine.age(), Some(0));
}
