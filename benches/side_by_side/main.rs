//! Nearside beside the floor, in one run: requests per second, server CPU per request, p50 and p99.
//!
//! `cargo bench --bench side_by_side [-- SECONDS [hot]]`; `hot` measures puts, uncached reads and hits only. The floor is a bare hyper server that reads the same requests and answers
//! the same bytes; both are processes of their own, so that their CPU can be read from `/proc`. Every figure is a ratio
//! to the floor measured in the same round; rounds alternate, and the median round is printed.

mod floor;
mod load;
mod process;

use std::rc::Rc;
use std::time::Duration;

use load::{Load, Measured, Numbered};
use process::Server;

/// Keep-alive connections of the load.
const CONNECTIONS: usize = 64;
const ROUNDS: usize = 3;
/// How many different items the misses walk through.
const ITEMS: usize = 200_000;
/// How many items the memory figure caches.
const MEMORY_ITEMS: usize = 1_000_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(position) = arguments.iter().position(|argument| argument == "--floor") {
        return floor::serve(&arguments[position + 1], &arguments[position + 2]);
    }
    let seconds = arguments.iter().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(3.0);
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    let hot = arguments.iter().any(|argument| argument == "hot");
    runtime.block_on(run(Duration::from_secs_f64(seconds), hot));
}

async fn run(duration: Duration, hot: bool) {
    let nearside = Server::nearside(&["--in-memory"]).await;
    let load = Load { connections: CONNECTIONS, duration };
    load::create_table(nearside.address, "Bench").await;
    println!(
        "{ROUNDS} rounds of {:.1} s each, {CONNECTIONS} keep-alive connections, items of 300 bytes",
        duration.as_secs_f64()
    );
    println!(
        "{:<26} {:>10} {:>12} {:>9} {:>9} {:>9} {:>9}",
        "", "requests/s", "CPU µs/req", "p50 µs", "p99 µs", "CPU ×", "p99 ×"
    );

    compare(&nearside, &load, "PutItem", Rc::new(|n| load::put_item("Bench", n % ITEMS))).await;
    let strong: Numbered = Rc::new(|n| load::get_item("Bench", n % 1000, true));
    compare(&nearside, &load, "GetItem, strong", Rc::clone(&strong)).await;
    compare(&nearside, &load, "GetItem, hit", Rc::new(|n| load::get_item("Bench", n % 1000, false))).await;
    if hot {
        return;
    }

    // A budget far below the items keeps every read a miss, with the eviction that a full cache pays.
    let small = std::env::temp_dir().join("nearside-bench.toml");
    std::fs::write(&small, "[cache]\nmax_bytes = \"4MiB\"\n").expect("the temporary directory is writable");
    let cold = Server::nearside(&["--in-memory", "--config", &small.to_string_lossy()]).await;
    load::fill(cold.address, "Cold", ITEMS).await;
    compare(&cold, &load, "GetItem, miss", Rc::new(|n| load::get_item("Cold", n % ITEMS, false))).await;
    drop(cold);

    load::fill(nearside.address, "Big", 100_000).await;
    scan_beside(&nearside, &load, &strong).await;
    fill_memory(nearside).await;
}

/// How much memory a million cached items take, above what the store and the idle process take.
async fn fill_memory(nearside: Server) {
    drop(nearside);
    let config = std::env::temp_dir().join("nearside-bench.toml");
    std::fs::write(&config, "[cache]\nmax_bytes = \"2GiB\"\nitem_ttl = \"1h\"\n")
        .expect("the temporary directory is writable");
    let server = Server::nearside(&["--in-memory", "--config", &config.to_string_lossy()]).await;
    load::fill(server.address, "Wide", MEMORY_ITEMS).await;
    let before = server.resident_bytes();
    load::get_all(server.address, "Wide", MEMORY_ITEMS).await;
    let grown = server.resident_bytes() - before;
    let payload = load::payload_bytes(MEMORY_ITEMS);
    println!(
        "{MEMORY_ITEMS} cached items: {} MiB resident above the store's, {:.2} × the bytes of keys and items",
        grown >> 20,
        grown as f64 / payload as f64
    );
}

/// Measures one kind of request on Nearside and on a floor that answers what Nearside answers.
async fn compare(nearside: &Server, load: &Load, title: &str, request: Numbered) {
    let sample = load::exchange(nearside.address, &request(1)).await;
    let floor = Server::floor(&sample).await;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let bare = load.run(&floor, &request).await;
        let ours = load.run(nearside, &request).await;
        rounds.push((bare, ours));
    }
    rounds.sort_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    let (bare, ours) = &rounds[ROUNDS / 2];
    print_row(&format!("{title}: floor"), bare, None);
    print_row(title, ours, Some(bare));
}

/// How much a full Scan beside them costs uncached reads.
async fn scan_beside(nearside: &Server, load: &Load, request: &Numbered) {
    let alone = load.run(nearside, request).await;
    let scanning = tokio::spawn(load::scan_for_ever(nearside.address, "Big"));
    let beside = load.run(nearside, request).await;
    scanning.abort();
    print_row("GetItem, alone", &alone, None);
    print_row("GetItem, beside a Scan", &beside, Some(&alone));
}

fn ratio((bare, ours): &(Measured, Measured)) -> f64 {
    ours.cpu_us / bare.cpu_us
}

fn print_row(title: &str, measured: &Measured, floor: Option<&Measured>) {
    let Measured { requests_per_second, cpu_us, p50_us, p99_us, .. } = measured;
    print!("{title:<26} {requests_per_second:>10.0} {cpu_us:>12.2} {p50_us:>9.0} {p99_us:>9.0}");
    match floor {
        Some(floor) => println!(" {:>9.2} {:>9.2}", cpu_us / floor.cpu_us, p99_us / floor.p99_us),
        None => println!(),
    }
}
