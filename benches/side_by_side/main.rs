//! Nearside beside the floor, in one run: requests per second, server CPU per request, p50 and p99.
//!
//! `cargo bench --bench side_by_side [-- SECONDS] [PART…]`; the parts are `put`, `strong`, `hit`, `miss`, `query`, `void`,
//! `scan`, `proxy`, `sign` and `memory`, and without any all of these are measured. Only by name: `slow`, hits beside a thousand slow
//! clients and ten thousand idle ones (it takes 20,000 open files), and `faults`, an upstream that falls silent, fails, or is asked
//! for twice of what it can do, for `overload=SECONDS` (10). The floor is a bare hyper server that reads the same requests and
//! answers the same bytes; both are processes of their own, so that their CPU can be read from `/proc`. Rounds alternate,
//! each ratio is of
//! two neighbouring rounds, and every figure is the median over the rounds: another process that takes the processor for a
//! while spoils one round and not the result.

mod crowd;
mod fake;
mod faults;
mod floor;
mod load;
mod paced;
mod process;

use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use nearside::upstream::remote::{Credentials, Signable, Signer};

use load::{Load, Measured, Numbered};
use process::Server;

/// Keep-alive connections of the load.
const CONNECTIONS: usize = 64;
const ROUNDS: usize = 5;
/// How many different items the misses walk through.
const ITEMS: usize = 200_000;
/// How many different items the hits and the strong reads walk through.
const HOT_ITEMS: usize = 1000;
/// How many different pages of ten items the queries walk through.
const HOT_PAGES: usize = 100;
/// How many pages are cached while a write is measured beside them.
const PAGES_ELSEWHERE: usize = 100_000;
/// How many items the memory figure caches.
const MEMORY_ITEMS: usize = 1_000_000;
/// What can be measured.
const PARTS: [&str; 12] =
    ["put", "strong", "hit", "miss", "query", "void", "scan", "proxy", "sign", "memory", "slow", "faults"];
/// Those at the end that are measured only when they are named: they take minutes.
const ONLY_BY_NAME: usize = 2;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(position) = arguments.iter().position(|argument| argument == "--floor") {
        return floor::serve(&arguments[position + 1], &arguments[position + 2]);
    }
    if let Some(position) = arguments.iter().position(|argument| argument == "--crowd") {
        return crowd::run(&arguments[position + 1..]);
    }
    let overload =
        arguments.iter().find_map(|argument| argument.strip_prefix("overload=")?.parse().ok()).unwrap_or(10);
    let seconds = arguments.iter().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(2.0);
    let parts: Vec<&str> =
        PARTS.into_iter().filter(|part| arguments.iter().any(|argument| argument == part)).collect();
    let parts = if parts.is_empty() { PARTS[..PARTS.len() - ONLY_BY_NAME].to_vec() } else { parts };
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be built");
    runtime.block_on(async {
        run(Duration::from_secs_f64(seconds), &parts).await;
        if parts.contains(&"slow") {
            crowd::measure(Duration::from_secs_f64(seconds)).await;
        }
        if parts.contains(&"faults") {
            faults::measure(Duration::from_secs(overload)).await;
        }
    });
}

/// Measures the parts that have a floor or another side beside them.
async fn run(duration: Duration, parts: &[&str]) {
    let parts: Vec<&str> =
        parts.iter().copied().filter(|part| !PARTS[PARTS.len() - ONLY_BY_NAME..].contains(part)).collect();
    if parts.is_empty() {
        return;
    }
    // A scan beside other reads is to be work, time and again.
    let config = config_file("bench", "[tables.Big]\nquery_ttl = \"0s\"\n");
    let nearside = Server::nearside(&["--in-memory", "--config", &config]).await;
    let load = Load { connections: CONNECTIONS, duration };
    load::fill(nearside.address, "Bench", HOT_ITEMS).await;
    println!(
        "{ROUNDS} rounds of {:.1} s each, {CONNECTIONS} keep-alive connections, items of 300 bytes",
        duration.as_secs_f64()
    );
    println!(
        "{:<26} {:>10} {:>12} {:>9} {:>9} {:>9} {:>9}",
        "", "requests/s", "CPU µs/req", "p50 µs", "p99 µs", "CPU ×", "p99 ×"
    );
    let strong: Numbered = Rc::new(|n| load::get_item("Bench", n % HOT_ITEMS, true));
    for part in parts {
        match part {
            "put" => {
                compare(&nearside, &load, "PutItem", Rc::new(|n| load::put_item("Bench", n % ITEMS))).await;
            }
            "strong" => compare(&nearside, &load, "GetItem, strong", Rc::clone(&strong)).await,
            "hit" => {
                load::get_all(nearside.address, "Bench", HOT_ITEMS).await;
                let request = Rc::new(|n| load::get_item("Bench", n % HOT_ITEMS, false));
                compare(&nearside, &load, "GetItem, hit", request).await;
            }
            "miss" => misses(&load).await,
            "query" => queries(&nearside, &load).await,
            "void" => writes_beside_pages(&load).await,
            "scan" => {
                load::fill(nearside.address, "Big", 100_000).await;
                scan_beside(&nearside, &load, &strong).await;
            }
            "proxy" => proxy(duration).await,
            "sign" => sign(),
            _ => fill_memory().await,
        }
    }
}

/// A budget far below the items keeps every read a miss, with the eviction that a full cache pays.
async fn misses(load: &Load) {
    let config = config_file("small", "[cache]\nmax_bytes = \"4MiB\"\n");
    let server = Server::nearside(&["--in-memory", "--config", &config]).await;
    load::fill(server.address, "Cold", ITEMS).await;
    compare(&server, load, "GetItem, miss", Rc::new(|n| load::get_item("Cold", n % ITEMS, false))).await;
}

/// Pages of ten items, 3 KB, from memory: as SDKs ask for them, and with a filter and a projection.
async fn queries(nearside: &Server, load: &Load) {
    load::fill_partitions(nearside.address, "Pages", HOT_PAGES).await;
    let plain: Numbered = Rc::new(|n| load::query("Pages", n % HOT_PAGES, ""));
    let filtered: Numbered = Rc::new(|n| load::query("Pages", n % HOT_PAGES, load::FILTERED));
    for (title, request) in [("Query, hit", plain), ("Query with a filter, hit", filtered)] {
        load::send_all(nearside.address, (0..HOT_PAGES).map(|n| request(n))).await;
        compare(nearside, load, title, request).await;
    }
}

/// What a write costs with many cached pages of other partitions beside it, against one with none.
async fn writes_beside_pages(load: &Load) {
    let config = config_file("many-pages", "[cache]\nmax_bytes = \"1GiB\"\n");
    let none = Server::nearside(&["--in-memory", "--config", &config]).await;
    let many = Server::nearside(&["--in-memory", "--config", &config]).await;
    for server in [&none, &many] {
        load::fill_partitions(server.address, "Pages", HOT_PAGES).await;
    }
    let pages = (0..PAGES_ELSEWHERE).map(|n| load::query("Pages", HOT_PAGES + n, ""));
    load::send_all(many.address, pages).await;
    let request: Numbered = Rc::new(|n| load::put_in_partition("Pages", n % HOT_PAGES, n % 10));
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let alone = load.run(&none, &request).await;
        let beside = load.run(&many, &request).await;
        rounds.push((alone, beside));
    }
    print_rows("PutItem, no pages", "PutItem, 100,000 pages", &rounds);
}

/// What a proxy before a remote upstream adds to a miss and to a write, call by call over one connection.
async fn proxy(duration: Duration) {
    let load = Load { connections: 1, duration };
    let uncached = config_file("uncached", "[cache]\nitem_ttl = \"0s\"\n");
    let upstream = Server::nearside(&["--in-memory", "--config", &uncached]).await;
    let small = config_file("small", "[cache]\nmax_bytes = \"4MiB\"\n");
    let url = format!("http://{}", upstream.address);
    let proxy = Server::nearside(&["--upstream", &url, "--config", &small]).await;
    load::fill(upstream.address, "Far", ITEMS).await;
    let requests: [(&str, Numbered); 2] = [
        ("GetItem, miss", Rc::new(|n| load::get_item("Far", n % ITEMS, false))),
        ("PutItem", Rc::new(|n| load::put_item("Far", n % ITEMS))),
    ];
    for (title, request) in requests {
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let straight = load.run(&upstream, &request).await;
            let through = load.run(&proxy, &request).await;
            rounds.push((straight, through));
        }
        print_rows(&format!("{title}: straight"), &format!("{title}: through"), &rounds);
        let added = median(rounds.iter().map(|(straight, through)| through.p50_us - straight.p50_us));
        println!("the proxy adds {added:.0} µs at p50");
    }
}

/// How long a signature takes.
fn sign() {
    const SIGNATURES: u32 = 100_000;
    let signer = Signer::new("us-east-1");
    let credentials = Credentials::placeholder();
    let body = vec![b'x'; 200];
    let request = Signable {
        host: "dynamodb.us-east-1.amazonaws.com",
        target: "DynamoDB_20120810.GetItem",
        body: &body,
    };
    let rounds = (0..ROUNDS).map(|_| {
        let begun = Instant::now();
        for _ in 0..SIGNATURES {
            let mut headers = http::HeaderMap::new();
            signer.sign(&request, &credentials, SystemTime::now(), &mut headers).expect("it can be signed");
            std::hint::black_box(headers);
        }
        begun.elapsed().as_secs_f64() * 1e6 / f64::from(SIGNATURES)
    });
    println!("a signature of a request of 200 bytes: {:.2} µs", median(rounds));
}

fn config_file(name: &str, text: &str) -> String {
    let file = std::env::temp_dir().join(format!("nearside-bench-{name}.toml"));
    std::fs::write(&file, text).expect("the temporary directory is writable");
    file.to_string_lossy().into_owned()
}

/// How much memory a million cached items take, above what the store and the idle process take.
async fn fill_memory() {
    let config = config_file("large", "[cache]\nmax_bytes = \"2GiB\"\nitem_ttl = \"1h\"\n");
    let server = Server::nearside(&["--in-memory", "--config", &config]).await;
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
    print_rows(&format!("{title}: floor"), title, &rounds);
}

/// How much a full Scan beside them costs uncached reads.
async fn scan_beside(nearside: &Server, load: &Load, request: &Numbered) {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let alone = load.run(nearside, request).await;
        let scanning = tokio::spawn(load::scan_for_ever(nearside.address, "Big"));
        let beside = load.run(nearside, request).await;
        scanning.abort();
        rounds.push((alone, beside));
    }
    print_rows("GetItem, alone", "GetItem, beside a Scan", &rounds);
}

/// Prints the two sides of the rounds, one below the other, and the second's ratios to the first.
fn print_rows(first: &str, second: &str, rounds: &[(Measured, Measured)]) {
    print_figures(first, rounds.iter().map(|(first, _)| first));
    println!();
    print_figures(second, rounds.iter().map(|(_, second)| second));
    let cpu = median(rounds.iter().map(|(first, second)| second.cpu_us / first.cpu_us));
    let p99 = median(rounds.iter().map(|(first, second)| second.p99_us / first.p99_us));
    println!(" {cpu:>9.2} {p99:>9.2}");
}

fn print_figures<'a>(title: &str, rounds: impl Iterator<Item = &'a Measured> + Clone) {
    let figure = |read: fn(&Measured) -> f64| median(rounds.clone().map(read));
    print!(
        "{title:<26} {:>10.0} {:>12.2} {:>9.0} {:>9.0}",
        figure(|round| round.requests_per_second),
        figure(|round| round.cpu_us),
        figure(|round| round.p50_us),
        figure(|round| round.p99_us)
    );
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
