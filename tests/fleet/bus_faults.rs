//! The bus is killed, emptied, stopped, slow, full, and replaced.

use std::time::Duration;

use crate::bus::Bus;
use crate::load::{Load, Shape};
use crate::nodes::{Fleet, Setup, wait_until};
use crate::promise::{assert_bounded, assert_hits, phase};
use crate::proxy::{Proxy, Way};

const OTHER_SERVER: &str = r#"nearside_fleet_rejoins_total{reason="other_server"}"#;
const VOIDS: &str = "nearside_fleet_voids_total";
const OTHER_LOG: &str = r#"nearside_fleet_rejoins_total{reason="other_log"}"#;

/// Two nodes under load, and something that happens to their bus.
fn while_both_work(setup: Setup, happen: impl FnOnce(&mut Fleet, &Load)) -> Fleet {
    let mut fleet = Fleet::start(setup);
    let load = Load::start(&fleet, &Shape::at(&[0, 1]), crate::seed());
    load.run_for(phase());
    happen(&mut fleet, &load);
    fleet.wait_until_fresh();
    load.run_for(phase());
    assert_bounded(&load.finish());
    assert_hits(&fleet);
    fleet
}

#[test]
fn a_bus_that_is_killed_and_comes_back_empty_is_another_one() {
    let fleet = while_both_work(Setup::default(), |fleet, load| {
        fleet.bus.kill();
        load.run_for(phase());
        fleet.bus.restart();
        fleet.follow_bus();
    });
    assert!(fleet.metric(OTHER_SERVER) >= 2);
}

#[test]
fn a_bus_that_comes_back_with_an_old_dump_is_another_one() {
    let fleet = while_both_work(Setup::default(), |fleet, load| {
        fleet.bus.save();
        load.run_for(phase());
        fleet.bus.kill();
        fleet.bus.restart();
        fleet.follow_bus();
    });
    assert!(fleet.metric(OTHER_SERVER) >= 2);
}

#[test]
fn a_bus_that_forgets_everything_or_its_log_has_another_log() {
    let fleet = while_both_work(Setup::default(), |fleet, load| {
        fleet.bus.call(&["FLUSHALL"]);
        load.run_for(phase());
        fleet.wait_until_fresh();
        assert_eq!(fleet.bus.call(&["DEL", "{ns:nearside:0}:log"]), ":1");
        load.run_for(phase());
    });
    assert!(fleet.metric(OTHER_LOG) >= 2, "{}", fleet.nodes[0].running().metrics());
}

#[test]
fn a_bus_that_is_full_is_as_good_as_none() {
    while_both_work(Setup::default(), |fleet, load| {
        fleet.bus.call(&["CONFIG", "SET", "maxmemory", "1"]);
        load.run_for(phase());
        assert!(fleet.metric(r#"nearside_fleet_bus_errors_total{kind="rejected"}"#) > 0);
        fleet.bus.call(&["CONFIG", "SET", "maxmemory", "0"]);
    });
}

#[test]
fn a_bus_that_stands_still_for_a_while_is_the_same_afterwards() {
    let fleet = while_both_work(Setup::default(), |fleet, load| {
        for stop in [Duration::from_millis(500), phase() + Duration::from_secs(3)] {
            let voids = fleet.metric(VOIDS);
            fleet.bus.pause();
            load.run_for(stop);
            fleet.bus.resume();
            let continued = std::time::Instant::now();
            fleet.wait_until_fresh();
            println!("fresh {:?} after {stop:?} without the bus", continued.elapsed());
            assert_eq!(fleet.metric(VOIDS), voids, "the nodes themselves have published what they wrote");
        }
    });
    assert_eq!([OTHER_SERVER, OTHER_LOG].map(|reason| fleet.metric(reason)), [0, 0]);
}

#[test]
fn a_bus_may_be_slow() {
    while_both_work(Setup::default(), |fleet, load| {
        for delay in [50, 500, 2_000].map(Duration::from_millis) {
            fleet.nodes.iter().for_each(|node| node.to_bus.delay(Way::ToClient, delay));
            load.run_for(phase());
        }
        fleet.nodes.iter().for_each(|node| node.to_bus.heal());
    });
}

#[test]
fn a_replica_that_takes_over_without_the_tail_is_another_bus() {
    let fleet = while_both_work(Setup::default(), |fleet, load| {
        let (replica, tail) = (Bus::start(), Proxy::start(fleet.bus.address));
        replica.copy(tail.address);
        load.run_for(phase() / 2);
        tail.stop(Way::ToClient);
        load.run_for(phase() / 2);
        fleet.bus.kill();
        replica.promote();
        fleet.bus = replica;
        fleet.follow_bus();
    });
    assert!(fleet.metric(OTHER_SERVER) >= 2);
}

#[test]
fn a_replicated_bus_that_goes_on_alone_is_reported() {
    let mut fleet = Fleet::start(Setup { nodes: 0, ..Setup::default() });
    let replica = Bus::start();
    replica.copy(fleet.bus.address);
    fleet.add_node("", "secret");
    wait_until("the report", || fleet.metric("nearside_fleet_bus_unfenced") == 1);
}

#[test]
fn a_node_that_stays_with_the_old_primary_is_distrusted_at_the_new_one() {
    while_both_work(Setup::default(), |fleet, load| {
        let replica = Bus::start();
        replica.copy(fleet.bus.address);
        replica.promote();
        fleet.nodes[1].to_bus.lead_to(replica.address);
        wait_until("the new primary", || fleet.nodes[1].metric(OTHER_SERVER) == 1);
        load.run_for(phase());
        assert_eq!(fleet.nodes[1].metric("nearside_fleet_fresh"), 0, "node 0 may still write");
        fleet.bus = replica;
        fleet.follow_bus();
    });
}
