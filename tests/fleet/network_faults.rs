//! One node is cut off from the bus, its answers are lost, and its requests come late.

use std::time::Duration;

use crate::load::{Load, Shape, add};
use crate::nodes::{Fleet, Setup, wait_until};
use crate::promise::{assert_bounded, assert_hits, assert_strict, phase};
use crate::proxy::{Proxy, Way};
use crate::recorder::History;

/// Of all calls, only a publication has an array of that many words.
fn is_publication(bytes: &[u8]) -> bool {
    bytes.starts_with(b"*13\r\n$7\r\nEVALSHA")
}

fn is_heartbeat(bytes: &[u8]) -> bool {
    bytes.starts_with(b"*17\r\n$7\r\nEVALSHA")
}

/// The ways in which a node loses its bus.
const FAULTS: [fn(&Proxy); 5] = [
    Proxy::cut,
    Proxy::refuse,
    |network| network.stop(Way::ToServer),
    |network| network.stop(Way::ToClient),
    Proxy::black_hole,
];

/// Three nodes under load, of which the first loses the bus in every way, for a short while and for longer.
fn cut_off(fleet: &'static str) -> (Fleet, History) {
    let fleet = Fleet::start(Setup { nodes: 3, fleet, ..Setup::default() });
    let load = Load::start(&fleet, &Shape::at(&[0, 1, 2]), crate::seed());
    load.run_for(phase());
    for fault in FAULTS {
        for duration in [Duration::from_millis(500), phase() + Duration::from_millis(1_500)] {
            fault(&fleet.nodes[0].to_bus);
            load.run_for(duration);
            fleet.nodes[0].to_bus.heal();
            fleet.wait_until_fresh();
        }
    }
    load.run_for(phase());
    let history = load.finish();
    assert_hits(&fleet);
    (fleet, history)
}

#[test]
fn a_node_that_is_cut_off_degrades_and_nothing_older_than_promised_is_read() {
    let (fleet, history) = cut_off(r#"cut_off = "degrade""#);
    assert_bounded(&history);
    assert_eq!(fleet.metric("nearside_fleet_unheard_writes_total"), 0);
}

#[test]
fn a_node_that_is_cut_off_refuses_writes_and_nothing_older_than_promised_is_read() {
    let (fleet, history) = cut_off(r#"cut_off = "refuse""#);
    assert_bounded(&history);
    assert!(history.writes.iter().any(|write| write.node == 0 && write.acknowledged.is_none()));
    assert_eq!(fleet.metric("nearside_fleet_unheard_writes_total"), 0);
}

#[test]
fn writes_of_a_node_that_is_cut_off_and_accepted_are_the_only_ones_unseen() {
    let (fleet, mut history) = cut_off(r#"cut_off = "accept""#);
    assert!(fleet.nodes[0].metric("nearside_fleet_unheard_writes_total") > 0);
    history.writes.retain(|write| write.node != 0);
    assert_bounded(&history);
}

#[test]
fn strict_reads_are_never_older_than_acknowledged() {
    let (_, history) = cut_off(r#"ack = "all""#);
    assert_strict(&history);
}

#[test]
fn a_publication_whose_answer_is_lost_is_published_again() {
    let fleet = Fleet::start(Setup::default());
    let load = Load::start(&fleet, &Shape::at(&[0, 1]), crate::seed());
    load.run_for(phase());
    for lost in 1..=3 {
        fleet.nodes[0].to_bus.lose_next_answer(is_publication);
        fleet.nodes[0].to_bus.wait_for_lost(lost);
    }
    load.run_for(phase());
    let history = load.finish();
    assert!(history.writes.iter().all(|write| write.acknowledged.is_some()), "a retry is enough");
    assert_bounded(&history);
}

#[test]
fn a_heartbeat_that_arrives_late_extends_nothing() {
    let fleet = Fleet::start(Setup::default());
    let load = Load::start(&fleet, &Shape::at(&[0, 1]), crate::seed());
    load.run_for(phase());
    let late = &fleet.nodes[0].to_bus;
    late.hold_next(is_heartbeat);
    late.wait_for_held();
    late.refuse_new();
    let members = || fleet.nodes[1].metric("nearside_fleet_members");
    wait_until("the loss of node 0", || members() == 1);
    load.run_for(phase());
    late.deliver();
    load.run_for(phase());
    assert_eq!(members(), 1, "a heartbeat of a lost member counts for nothing");
    late.heal();
    wait_until("its return", || members() == 2);
    fleet.wait_until_fresh();
    load.run_for(phase());
    assert_bounded(&load.finish());
}

#[test]
fn a_reader_that_misses_trimmed_entries_forgets_everything() {
    let fleet = Fleet::start(Setup { fleet: "replay = 100", ..Setup::default() });
    let load = Load::start(&fleet, &Shape { writers: vec![0], ..Shape::at(&[0, 1]) }, crate::seed());
    load.run_for(phase());
    fleet.nodes[1].to_bus.stop(Way::ToClient);
    let mut writer = fleet.client(0);
    // The server trims whole blocks of a hundred entries.
    (0..600).for_each(|key| drop(writer.must("UpdateItem", &add(key % 8))));
    fleet.nodes[1].to_bus.heal();
    fleet.wait_until_fresh();
    load.run_for(phase());
    let gaps = fleet.nodes[1].metric(r#"nearside_fleet_rejoins_total{reason="gap"}"#);
    assert!(gaps > 0, "{}", fleet.nodes[1].running().metrics());
    assert_bounded(&load.finish());
}
