//! How the cost of a hit grows: with the items that are read, the connections, the tables, and the writes beside it.

use std::rc::Rc;

use crate::comparison::{HOT_ITEMS, Side, Stand};
use crate::connection::exchange;
use crate::load::{Load, Numbered};
use crate::process::Server;
use crate::requests;

const ITEMS: [usize; 4] = [1, 1000, 100_000, 1_000_000];
const CONNECTIONS: [usize; 5] = [1, 16, 64, 256, 1000];
const TABLES: [usize; 3] = [1, 100, 1000];
const WRITES_PERCENT: [usize; 4] = [0, 1, 10, 50];

/// Numbers in an order that no memory foresees.
pub(crate) fn scattered(number: usize, items: usize) -> usize {
    (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23) as usize % items
}

/// Measures a floor of one worker and Nearside, step by step.
pub(crate) async fn measure(stand: &mut Stand) {
    let nearside = Rc::clone(&stand.nearside);
    let address = nearside.address;
    stand.hot_items().await;
    let hit: Numbered = Rc::new(|n| requests::get_item("Bench", n % HOT_ITEMS, false));
    let floor = Rc::new(Server::floor(&exchange(address, &hit(1)).await, 1).await);
    let sides = |request: &Numbered| {
        [Side::new("floor, 1 worker", &floor, request), Side::new("Nearside", &nearside, request)]
    };
    for connections in CONNECTIONS {
        let load = Load { connections, ..stand.load() };
        stand.compare_under(&format!("hit, {connections} connections"), &sides(&hit), &load).await;
    }
    for percent in WRITES_PERCENT {
        stand.compare(&format!("hit, {percent} % writes"), &sides(&mixture(percent))).await;
    }
    let mut made = 0;
    for tables in TABLES {
        for table in made..tables {
            requests::fill(address, &format!("Small{table}"), 10).await;
            requests::get_all(address, &format!("Small{table}"), 10).await;
        }
        made = tables;
        let request: Numbered =
            Rc::new(move |n| requests::get_item(&format!("Small{}", scattered(n, tables)), n % 10, false));
        stand.compare(&format!("hit, {tables} tables"), &sides(&request)).await;
    }
    requests::fill(address, "Wide", ITEMS[ITEMS.len() - 1]).await;
    requests::get_all(address, "Wide", ITEMS[ITEMS.len() - 1]).await;
    for items in ITEMS {
        let request: Numbered = Rc::new(move |n| requests::get_item("Wide", scattered(n, items), false));
        stand.compare(&format!("hit, {items} items"), &sides(&request)).await;
    }
}

/// Hits, and so many writes of the same items among each hundred requests.
pub(crate) fn mixture(writes_percent: usize) -> Numbered {
    Rc::new(move |n| match scattered(n, 100) < writes_percent {
        true => requests::put_item("Bench", scattered(n, HOT_ITEMS)),
        false => requests::get_item("Bench", n % HOT_ITEMS, false),
    })
}
