//! Nearside beside a floor and beside other servers, in one run: requests per second, server CPU per request, p50, p99 and p99.9.
//!
//! `cargo bench --bench side_by_side [-- SECONDS] [PART…] [NAME=VALUE…] [--vs NAME=URL]… [--plot FILE.svg]`
//!
//! The parts are `put`, `strong`, `hit`, `batch` (25 and 100 hits), `mixed` (hits and writes), `limited` (latencies at a fixed rate),
//! `miss`, `query`, `void`, `scan`, `proxy`, `sign` and `memory`, and without any all of these are measured. Only by name:
//! `growth`, the cost of a hit by items, connections, tables and writes; `ycsb`, the workloads A to F; `slow`, hits beside a
//! thousand slow clients and ten thousand idle ones (it takes 20,000 open files); and `faults`, an upstream that falls silent,
//! fails, or is asked for twice of what it can do.
//!
//! | option | default | |
//! |---|---|---|
//! | `rounds=` | 5 | of each side of a part, behind one that does not count |
//! | `connections=` | 64 | of the load, kept alive |
//! | `items=` | 1000 | how many items the hits read |
//! | `writes=` | 10 | percent of writes in `mixed` |
//! | `rate=` | 20000 | requests a second in `limited` |
//! | `records=`, `operations=`, `workloads=`, `cache=`, `seed=` | 100000, 200000, ABCFDE, 256MiB, random | of `ycsb` |
//! | `overload=` | 10 | seconds of overload in `faults` |
//! | `--vs NAME=URL` | | another DynamoDB, which runs already; `NAME=URL#PID` if its process is not the one that listens |
//! | `redis=HOST:PORT` | | a Redis, asked for the same bytes with GET and SET in `hit`, `put` and `limited` |
//! | `nginx` | | nginx with one worker and the same bytes |
//!
//! `NEARSIDE_BINARY` names another build of Nearside than the benchmark's own, which `cargo bench` links with what tests need of
//! libraries: that costs 2 % more instructions for a hit. `TOKIO_WORKER_THREADS` is the number of its threads. A floor is a bare
//! hyper server that reads the same requests and answers the same bytes. All servers are processes of their own, so that their
//! CPU can be read from `/proc`. Rounds alternate between the sides, each ratio is to the first side in the same round, and every
//! figure is the median over the rounds: another process that takes the processor for a while spoils one round and not the
//! result.

mod arrivals;
mod comparison;
mod connection;
mod crowd;
mod fake;
mod faults;
mod floor;
mod growth;
mod histogram;
mod load;
mod options;
mod paced;
mod parts;
mod plot;
mod process;
mod requests;
mod sheet;
mod ycsb;

use comparison::Stand;
use options::Options;

/// How often the runtime looks at sockets and timers, in turns of tasks: more often than by default, or a request would be sent late.
const EVENT_INTERVAL: u32 = 8;

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("--floor") => {
            floor::serve(&arguments[1], &arguments[2]);
            return std::process::ExitCode::SUCCESS;
        }
        Some("--crowd") => {
            crowd::run(&arguments[1..]);
            return std::process::ExitCode::SUCCESS;
        }
        _ => {}
    }
    let options = match Options::read(arguments.into_iter()) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return std::process::ExitCode::FAILURE;
        }
    };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().event_interval(EVENT_INTERVAL).build();
    runtime.expect("a runtime can be built").block_on(run(options));
    std::process::ExitCode::SUCCESS
}

async fn run(options: Options) {
    let is_alone = |part: &&str| matches!(*part, "slow" | "faults");
    let (alone, beside): (Vec<&str>, Vec<&str>) = options.parts.iter().partition(|part| is_alone(part));
    if !beside.is_empty() {
        println!(
            "{}, {} rounds of {:.1} s each, {} keep-alive connections, items of 300 bytes",
            process::nearside_binary().display(),
            options.rounds,
            options.duration.as_secs_f64(),
            options.connections
        );
        let mut stand = Stand::set_up(options.clone()).await;
        stand.sheet.begin();
        for part in beside {
            parts::measure(&mut stand, part).await;
        }
        if let Some(file) = &options.plot {
            plot::write(
                file,
                "Each bar: its ratio to the first bar of its group, and the time itself",
                stand.sheet.groups(),
            );
        }
    }
    for part in alone {
        match part {
            "slow" => crowd::measure(options.duration).await,
            _ => faults::measure(options.overload).await,
        }
    }
}

fn config_file(name: &str, text: &str) -> String {
    process::temporary_file(&format!("{name}.toml"), text.as_bytes()).to_string_lossy().into_owned()
}
