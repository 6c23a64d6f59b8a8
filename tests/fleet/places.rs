//! Items that move between the partitions of a global index, and what its pages show of them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::load::versions;
use crate::nodes::Fleet;
use crate::promise::BOUND;

const ITEMS: u32 = 4;
const PLACES: u32 = 3;

/// A write that has moved an item, maybe to where it was. Each is a new version.
#[derive(Clone, Copy, Debug)]
struct Move {
    item: u32,
    version: u64,
    place: u32,
    begin: Duration,
    end: Duration,
}

/// A page of one partition.
#[derive(Clone, Debug)]
struct Page {
    place: u32,
    begin: Duration,
    end: Duration,
    /// The versions of the items in it.
    items: HashMap<u32, u64>,
}

/// All moves, acknowledged each, and all pages.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    moves: Vec<Move>,
    pages: Vec<Page>,
}

/// Two nodes move items, and both are asked for pages.
pub(crate) fn move_and_look(fleet: &Fleet, duration: Duration, seed: u64) -> Moves {
    let (is_over, started) = (AtomicBool::new(false), Instant::now());
    let mut history = Moves::default();
    std::thread::scope(|scope| {
        let clients = (0..4).map(|number| {
            let (client, is_over) = (fleet.client(number % 2), &is_over);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed ^ number as u64);
                let mut own = Moves::default();
                let mut client = Mover { client, started };
                while !is_over.load(Ordering::Relaxed) {
                    match number < 2 {
                        true => own.moves.push(client.move_one(random.u32(0..ITEMS), random.u32(0..PLACES))),
                        false => own.pages.push(client.look(random.u32(0..PLACES))),
                    }
                    // Pages are kept only when nothing moves for a moment. The second node moves seldom: its own moves would hide that
                    // it missed those of the first.
                    let pause_ms_max = [400, 4_000, 4, 4][number];
                    std::thread::sleep(Duration::from_millis(random.u64(0..pause_ms_max)));
                }
                own
            })
        });
        let clients: Vec<_> = clients.collect();
        std::thread::sleep(duration);
        is_over.store(true, Ordering::Relaxed);
        for client in clients {
            let own = client.join().unwrap();
            history.moves.extend(own.moves);
            history.pages.extend(own.pages);
        }
    });
    history
}

struct Mover {
    client: Client,
    started: Instant,
}

impl Mover {
    fn move_one(&mut self, item: u32, place: u32) -> Move {
        let begin = self.started.elapsed();
        let body = format!(
            r#"{{"TableName":"Fleet","Key":{{"id":{{"S":"{item}"}}}},"UpdateExpression":"SET place = :p ADD n :one",
                "ExpressionAttributeValues":{{":one":{{"N":"1"}},":p":{{"S":"{place}"}}}},"ReturnValues":"UPDATED_NEW"}}"#
        );
        let version = versions(&self.client.must("UpdateItem", &body)).next().expect("the counter");
        Move { item, version, place, begin, end: self.started.elapsed() }
    }

    fn look(&mut self, place: u32) -> Page {
        let begin = self.started.elapsed();
        let body = format!(
            r#"{{"TableName":"Fleet","IndexName":"byPlace","KeyConditionExpression":"place = :p",
                "ExpressionAttributeValues":{{":p":{{"S":"{place}"}}}}}}"#
        );
        let answer = self.client.must("Query", &body);
        let id = |part: &str| part.split(r#""id":{"S":""#).nth(1)?.split('"').next()?.parse().ok();
        let items = answer.split('}').collect::<Vec<_>>();
        // Each item has three attributes, in any order, and ends with two braces.
        let items = items.split(|part| part.is_empty()).map(|parts| parts.join("}"));
        let items = items.filter_map(|item| Some((id(&item)?, versions(&item).next()?)));
        Page { place, begin, end: self.started.elapsed(), items: items.collect() }
    }
}

impl Moves {
    /// Every page shows each item that must be there, and none that must not, up to the bound.
    pub(crate) fn assert_bounded(&self) {
        assert!(
            self.moves.len() > 5 && self.pages.len() > 50,
            "{} moves, {} pages",
            self.moves.len(),
            self.pages.len()
        );
        let wrong = self.older_than(BOUND);
        assert!(
            wrong.is_empty(),
            "{} pages are older than promised, first {:?} in {:#?}",
            wrong.len(),
            wrong[0],
            self.moves
        );
    }

    /// The pages that do not agree with any state of an item from `bound` before they began until they ended.
    fn older_than(&self, bound: Duration) -> Vec<(u32, &Page)> {
        let pages = self.pages.iter().flat_map(|page| (0..ITEMS).map(move |item| (item, page)));
        pages.filter(|(item, page)| !self.agrees(*item, page, bound)).collect()
    }

    fn agrees(&self, item: u32, page: &Page, bound: Duration) -> bool {
        let moves = || self.moves.iter().filter(|one| one.item == item);
        let known = moves().filter(|one| one.end + bound < page.begin);
        let floor = known.map(|one| one.version).max().unwrap_or(0);
        let mut possible = moves().filter(|one| one.version >= floor && one.begin <= page.end);
        match page.items.get(&item) {
            Some(version) => possible.any(|one| one.version == *version && one.place == page.place),
            None => floor == 0 || possible.any(|one| one.place != page.place),
        }
    }
}

#[test]
fn pages_that_show_too_little_or_too_much_are_found() {
    let ms = Duration::from_millis;
    let one = |version, place, begin| Move { item: 0, version, place, begin: ms(begin), end: ms(begin + 10) };
    let moves = vec![one(1, 0, 0), one(2, 1, 100)];
    let page = |place, begin, version: Option<u64>| Page {
        place,
        begin: ms(begin),
        end: ms(begin + 10),
        items: version.map(|version| (0, version)).into_iter().collect(),
    };
    let wrong = |page: Page| {
        let moves = Moves { moves: moves.clone(), pages: vec![page] };
        moves.older_than(ms(50)).len()
    };
    assert_eq!(wrong(page(0, 90, Some(1))), 0);
    assert_eq!(wrong(page(0, 150, Some(1))), 0, "within the bound");
    assert_eq!(wrong(page(0, 161, Some(1))), 1, "it has left");
    assert_eq!(wrong(page(1, 161, None)), 1, "it has come");
    assert_eq!(wrong(page(1, 161, Some(1))), 1, "it has a newer version");
    assert_eq!(wrong(page(0, 161, None)) + wrong(page(1, 161, Some(2))) + wrong(page(2, 161, None)), 0);
}
