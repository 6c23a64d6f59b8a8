//! Replicas that lag, global indexes, and nodes that do not belong to the fleet.

use std::time::Duration;

use crate::load::{Load, Shape};
use crate::nodes::{Fleet, Setup, write_secret};
use crate::places;
use crate::promise::{BOUND, assert_bounded, assert_hits, phase};

#[test]
fn nodes_without_a_bus_fault_keep_the_promise() {
    let fleet = Fleet::start(Setup { nodes: 3, ..Setup::default() });
    let load = Load::start(&fleet, &Shape::at(&[0, 1, 2]), crate::seed());
    load.run_for(2 * phase());
    let history = load.finish();
    assert_bounded(&history);
    assert_hits(&fleet);
    assert!(history.writes.iter().all(|write| write.acknowledged.is_some()));
}

#[test]
fn replicas_that_lag_do_not_bring_back_what_was_overwritten() {
    let fleet = Fleet::start(Setup { replica_lag: Some(Duration::from_secs(10)), ..Setup::default() });
    // Reads are strong for a minute after a write of the key and after a join. In a short run the replica must not be asked at all.
    let is_long = phase() > Duration::from_secs(70);
    let shape = Shape::at(&[0, 1]);
    let load = match is_long {
        true => Shape { keys: 0..1_000, write_rate: 4, ..shape },
        false => shape,
    };
    let load = Load::start(&fleet, &load, crate::seed());
    load.run_for(phase());
    fleet.nodes[1].to_bus.black_hole();
    load.run_for(Duration::from_secs(3));
    fleet.nodes[1].to_bus.heal();
    fleet.wait_until_fresh();
    load.run_for(phase());
    assert_bounded(&load.finish());
    assert_eq!(fleet.upstream.answered_by_replica() > 0, is_long);
}

#[test]
fn pages_of_a_global_index_show_the_moves_of_all_nodes() {
    let fleet = Fleet::start(Setup { config: "[cache]\ngsi_quarantine = \"100ms\"", ..Setup::default() });
    let history = places::move_and_look(&fleet, 4 * phase(), crate::seed());
    history.assert_bounded();
    let hits = fleet.metric(r#"nearside_page_hits_total{table="Fleet",index="byPlace"}"#);
    assert!(hits > 0, "no page of the index was answered from memory");
}

#[test]
fn a_node_with_other_settings_does_not_join_and_serves_nothing_old() {
    let mut fleet = Fleet::start(Setup::default());
    fleet.add_node(r#"silence_grace = "20s""#, "secret");
    stays_outside(&fleet);
}

#[test]
fn a_node_with_another_secret_does_not_join_and_serves_nothing_old() {
    let mut fleet = Fleet::start(Setup::default());
    write_secret(&fleet.directory.path().join("other"), "fedcba9876543210fedcba9876543210");
    fleet.add_node("", "other");
    stays_outside(&fleet);
}

/// The last node is none of the fleet, and reads of it are as fresh as others.
fn stays_outside(fleet: &Fleet) {
    let load = Load::start(fleet, &Shape { writers: vec![0, 1], ..Shape::at(&[0, 1, 2]) }, crate::seed());
    load.run_for(2 * phase());
    assert_eq!(fleet.nodes[2].metric("nearside_fleet_fresh"), 0);
    assert_eq!(fleet.nodes[0].metric("nearside_fleet_members"), 2);
    assert_bounded(&load.finish());
}

/// All the other tests rely on this one: without a fleet, the bench finds what is stale.
#[test]
fn nodes_that_know_nothing_of_each_other_serve_what_others_overwrote() {
    let mut fleet = Fleet::start(Setup { nodes: 0, ..Setup::default() });
    (0..2).for_each(|_| fleet.add_stranger());
    let load = Load::start(&fleet, &Shape::at(&[0, 1]), crate::seed());
    load.run_for(2 * phase());
    let history = load.finish();
    assert!(!history.older_than(BOUND).is_empty() && !history.older_than_acknowledged().is_empty());
}
