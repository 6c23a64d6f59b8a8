//! A fleet of processes: nodes, a bus and an upstream that are killed, stopped, cut off and replaced under load, while every read is
//! checked against every acknowledged write.
//!
//! `NEARSIDE_FLEET_SECONDS` makes each phase of load that long (1 without it), `NEARSIDE_SEED` replays one run's choices,
//! `NEARSIDE_KILL_LOOPS` sets how often nodes are killed, and `NEARSIDE_BUS_SERVER` names the server's program.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod bus_faults;
mod data;
mod dax;
mod network_faults;
mod node_faults;

mod load;
mod places;
mod promise;
mod recorder;

mod bus;
mod nodes;
mod proxy;
mod upstream;

#[path = "../process/client.rs"]
#[allow(dead_code, reason = "the tests of one process use the rest")]
mod client;
#[path = "../process/fake.rs"]
#[allow(dead_code, reason = "the tests of one process use the rest")]
mod fake;

/// What every choice comes from.
pub(crate) fn seed() -> u64 {
    let seed = number("NEARSIDE_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("replay the choices of this run with NEARSIDE_SEED={seed}");
    seed
}

/// A number from the environment.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}
