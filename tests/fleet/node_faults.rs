//! Nodes are killed, stopped, ended, restarted, and lose the answers of their writes.

use std::time::{Duration, Instant};

use crate::load::{Load, Shape, add, get, versions};
use crate::nodes::{Fleet, Setup, wait_until};
use crate::promise::{BOUND, assert_bounded, assert_hits, phase};

/// How long a lost node is distrusted.
const GRACE: Duration = Duration::from_secs(15);

#[test]
fn nodes_that_are_killed_leave_nothing_older_than_promised() {
    let seed = crate::seed();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut fleet = Fleet::start(Setup { nodes: 3, ..Setup::default() });
    let load = Load::start(&fleet, &Shape::at(&[0, 1, 2]), seed);
    for _ in 0..crate::number("NEARSIDE_KILL_LOOPS").unwrap_or(10).div_ceil(3) {
        load.run_for(phase().mul_f64(random.f64()));
        let node = random.usize(0..3);
        fleet.nodes[node].kill();
        if random.bool() {
            load.run_for(phase());
        }
        fleet.nodes[node].restart();
        if random.bool() {
            fleet.wait_until_fresh();
        }
    }
    fleet.wait_until_fresh();
    load.run_for(phase());
    assert_bounded(&load.finish());
    assert_hits(&fleet);
}

#[test]
fn a_node_that_stood_still_for_longer_than_the_log_is_kept_answers_nothing_old() {
    let fleet = Fleet::start(Setup { fleet: "replay = 100", ..Setup::default() });
    let (mut writer, mut reader) = (fleet.client(0), fleet.client(1));
    writer.must("UpdateItem", &add(1));
    reader.must("GetItem", &get(1));
    let hits = fleet.nodes[1].metric("nearside_cache_hits_total");
    reader.must("GetItem", &get(1));
    assert_eq!(fleet.nodes[1].metric("nearside_cache_hits_total"), hits + 1);
    fleet.nodes[1].pause();
    (0..600).for_each(|_| drop(writer.must("UpdateItem", &add(1))));
    let written = Instant::now();
    wait_until("the bound", || written.elapsed() > BOUND);
    // The request is there before the node is.
    let answer = std::thread::scope(|scope| {
        let asked = scope.spawn(|| reader.must("GetItem", &get(1)));
        fleet.nodes[1].resume();
        asked.join().unwrap()
    });
    assert_eq!(versions(&answer).collect::<Vec<_>>(), [601]);
}

#[test]
fn a_node_that_ends_under_load_has_published_everything_that_it_acknowledged() {
    let mut fleet = Fleet::start(Setup::default());
    let load = Load::start(&fleet, &Shape { writers: vec![0, 0], ..Shape::at(&[0, 1]) }, crate::seed());
    load.run_for(phase());
    fleet.nodes[0].terminate();
    assert_eq!(fleet.nodes[1].metric("nearside_fleet_distrusted"), 0, "it has left");
    load.run_for(phase());
    let history = load.finish();
    assert_bounded(&history);
    let mut reader = fleet.client(1);
    for key in 0..8 {
        let of_key = history.writes.iter().filter(|write| write.key == key);
        let newest = of_key.filter_map(|write| write.acknowledged).max();
        assert!(versions(&reader.must("GetItem", &get(key))).next() >= newest);
    }
}

#[test]
fn a_node_that_restarts_under_its_name_is_trusted_again_at_once() {
    let mut fleet = Fleet::start(Setup::default());
    let load = Load::start(&fleet, &Shape::at(&[0, 1]), crate::seed());
    load.run_for(phase());
    fleet.nodes[0].kill();
    let killed = Instant::now();
    wait_until("the loss", || fleet.nodes[1].metric("nearside_fleet_distrusted") == 1);
    fleet.nodes[0].restart();
    wait_until("trust", || fleet.nodes[1].metric("nearside_fleet_distrusted") == 0);
    assert!(killed.elapsed() < GRACE, "its new life ends the distrust");
    load.run_for(phase());
    assert_bounded(&load.finish());
}

/// A whole UpdateItem, as it leaves a node in one piece.
fn is_update(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.contains(".UpdateItem\r\n") && text.ends_with('}')
}

#[test]
fn a_write_of_unknown_outcome_is_seen_elsewhere_when_it_lands() {
    let fleet = Fleet::start(Setup { config: "[upstream]\nwrite_timeout = \"1s\"", ..Setup::default() });
    let (mut writer, mut reader, mut upstream) = (fleet.client(0), fleet.client(1), fleet.upstream.client());
    let newest = |answer: &str| versions(answer).next();
    writer.must("UpdateItem", &add(1));
    for _ in 0..2 {
        assert_eq!(newest(&reader.must("GetItem", &get(1))), Some(1));
    }
    fleet.to_upstream.hold_next(is_update);
    let (status, answer) = writer.call("UpdateItem", &add(1)).unwrap();
    assert!(status >= 500, "{status} {answer}");
    fleet.to_upstream.wait_for_held();
    let unknown = Instant::now();
    while unknown.elapsed() < 2 * phase() {
        assert_eq!(newest(&reader.must("GetItem", &get(1))), Some(1), "nothing has landed");
    }
    fleet.to_upstream.deliver();
    wait_until("the landing", || newest(&upstream.must("GetItem", &get(1))) == Some(2));
    assert_eq!(newest(&reader.must("GetItem", &get(1))), Some(2), "the item was not cached meanwhile");
}
