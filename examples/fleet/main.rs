//! A fleet of three nodes on this machine, with a bus and an upstream, under 2,000 writes a second: how long a write stays unseen at the
//! other nodes, and how many reads are answered from memory.
//!
//! `examples/fleet/run` builds and runs it; `NEARSIDE_FLEET_SECONDS` sets how long the load lasts (20 without it).

#![expect(clippy::unwrap_used, reason = "an example ends with the panic that says why")]

#[path = "../../tests/fleet/bus.rs"]
#[allow(dead_code, reason = "only the tests of a fleet break anything")]
mod bus;
#[path = "../../tests/process/client.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod client;
#[path = "../../tests/process/fake.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod fake;
#[path = "../../tests/fleet/load.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod load;
#[path = "../../tests/fleet/nodes.rs"]
#[allow(dead_code, reason = "only the tests of a fleet break anything")]
mod nodes;
#[path = "../../tests/fleet/proxy.rs"]
#[allow(dead_code, reason = "only the tests of a fleet break anything")]
mod proxy;
#[path = "../../tests/fleet/recorder.rs"]
#[allow(dead_code, reason = "only the tests of a fleet check promises")]
mod recorder;
#[path = "../../tests/fleet/upstream.rs"]
#[allow(dead_code, reason = "only the tests of a fleet look at replicas")]
mod upstream;

use std::time::Duration;

use load::{Load, Shape};
use nodes::{Fleet, Setup};
use recorder::histogram;

/// The writers of the load, and how many writes each begins in a second.
const WRITERS: (usize, u32) = (30, 66);

/// The readers of the load, and how many reads each begins in a second.
const READERS: (usize, u32) = (30, 300);

/// The items of the load.
const ITEMS: u32 = 10_000;

/// Items that are written seldom and read all the time: by these the lag is measured.
const WATCHED: u32 = 3;

fn main() {
    let seconds =
        std::env::var("NEARSIDE_FLEET_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let fleet = Fleet::start(Setup { nodes: 3, ..Setup::default() });
    let over_all = |clients: usize| (0..clients).map(|client| client % 3).collect::<Vec<_>>();
    let load = Shape {
        keys: WATCHED..WATCHED + ITEMS,
        writers: over_all(WRITERS.0),
        readers: over_all(READERS.0),
        write_rate: WRITERS.1,
        read_rate: READERS.1,
    };
    let watch = Shape {
        keys: 0..WATCHED,
        writers: vec![0],
        readers: vec![1, 1, 2, 2],
        write_rate: 20,
        read_rate: 1_000,
    };
    println!("3 nodes, {ITEMS} items, {seconds} s of load");
    let (load, watch) = (Load::start(&fleet, &load, 1), Load::start(&fleet, &watch, 2));
    watch.run_for(Duration::from_secs(seconds));
    let (load, watch) = (load.finish(), watch.finish());
    let per_second = |count: usize| count as u64 / seconds;
    println!(
        "{} writes/s acknowledged, {} reads/s",
        per_second(load.acknowledged()),
        per_second(load.reads.len())
    );
    println!(
        "how long after its acknowledgement a write was not yet seen at another node: {}",
        histogram(&watch.lags())
    );
    let [hits, misses, joins] =
        ["hits", "misses", "joins"].map(|kind| fleet.metric(&format!("nearside_cache_{kind}_total")));
    let reads = hits + misses + joins;
    println!("{:.1} % of {reads} reads of items were hits", 100.0 * hits as f64 / reads as f64);
}
