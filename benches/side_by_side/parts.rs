//! The parts: what is asked, of whom, and what stands beside it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Instant, SystemTime};

use nearside::upstream::remote::{Credentials, Signable, Signer};

use crate::comparison::{HOT_ITEMS, Side, Stand, WARM_UP, alternate, named};
use crate::connection::exchange;
use crate::growth::{mixture, scattered};
use crate::load::{Load, Numbered};
use crate::process::Server;
use crate::requests;
use crate::sheet::{Drawn, Rounds, median};
use crate::{config_file, growth, ycsb};

/// How many different items the misses walk through, and the writes.
const ITEMS: usize = 200_000;
/// How many different pages of ten items the queries walk through.
const HOT_PAGES: usize = 100;
/// How many pages are cached while a write is measured beside them.
const PAGES_ELSEWHERE: usize = 100_000;
/// How many items the memory figure caches.
const MEMORY_ITEMS: usize = 1_000_000;

/// Measures one part.
pub(crate) async fn measure(stand: &mut Stand, part: &str) {
    match part {
        "put" => {
            stand.hot_items().await;
            writes(stand).await;
        }
        "strong" => {
            stand.hot_items().await;
            let sides = stand.sides(&strong()).await;
            stand.compare("GetItem, strong", &sides).await;
            pages(stand).await;
            let request: Numbered =
                Rc::new(|n| requests::query("Pages", n % HOT_PAGES, r#","ConsistentRead":true"#));
            let sides = stand.sides(&request).await;
            stand.compare("Query of 10, strong", &sides).await;
        }
        "hit" => hits(stand).await,
        "batch" => batches(stand).await,
        "mixed" => {
            stand.hot_items().await;
            let percent = stand.options.writes;
            let sides = stand.sides(&mixture(percent)).await;
            stand.compare(&format!("GetItem, hit, and {percent} % PutItem"), &sides).await;
        }
        "limited" => limited(stand).await,
        "miss" => misses(stand).await,
        "query" => queries(stand).await,
        "void" => writes_beside_pages(stand).await,
        "scan" => scan_beside(stand).await,
        "proxy" => proxy(stand).await,
        "sign" => sign(stand.options.rounds),
        "growth" => growth::measure(stand).await,
        "ycsb" => ycsb::measure(stand).await,
        _ => fill_memory().await,
    }
}

/// Requests whose numbers go on from round to round, so that none comes again before all others have come.
fn in_turn(request: fn(usize) -> Vec<u8>) -> Numbered {
    let next = Cell::new(0);
    Rc::new(move |_| request(next.replace((next.get() + 1) % ITEMS)))
}

fn strong() -> Numbered {
    Rc::new(|n| requests::get_item("Bench", n % HOT_ITEMS, true))
}

async fn writes(stand: &mut Stand) {
    let mut sides = stand.sides(&(Rc::new(|n| requests::put_item("Bench", n % ITEMS)) as Numbered)).await;
    sides.extend(stand.redis_side(&(Rc::new(|n| requests::redis_set(n % ITEMS)) as Numbered)));
    stand.compare("PutItem", &sides).await;
}

/// The sides of a hit, Redis's GET among them.
async fn hit_sides(stand: &mut Stand) -> Vec<Side> {
    stand.hot_items().await;
    let items = stand.options.items;
    let number = move |n| if items > HOT_ITEMS { scattered(n, items) } else { n % items };
    let mut sides =
        stand.sides(&(Rc::new(move |n| requests::get_item("Bench", number(n), false)) as Numbered)).await;
    let get: Numbered = Rc::new(move |n| requests::redis_get(number(n)));
    if let Some(side) = stand.redis_side(&get) {
        let mut connection = side.server.connect().await;
        for n in 0..items {
            connection.exchange(&requests::redis_set(n)).await;
        }
        sides.push(side);
    }
    sides
}

async fn hits(stand: &mut Stand) {
    let sides = hit_sides(stand).await;
    stand.compare("GetItem, hit", &sides).await;
}

/// Hits at a rate that every side can bear. Those that cannot are left out: a queue that only grows has no percentiles.
async fn limited(stand: &mut Stand) {
    let (rate, load) = (stand.options.rate, Load { duration: stand.options.duration / 2, ..stand.load() });
    let mut able = Vec::new();
    for side in hit_sides(stand).await {
        let most = load.run(&side.server, &side.request).await.requests_per_second;
        if most > rate * 1.2 {
            able.push(side);
        } else {
            println!("{} answers {most:.0} requests a second at most: not measured at {rate:.0}", side.name);
        }
    }
    stand.compare_limited(&format!("GetItem, hit, {rate:.0}/s"), &able).await;
}

async fn batches(stand: &mut Stand) {
    stand.hot_items().await;
    for keys in [25, 100] {
        let request: Numbered =
            Rc::new(move |n| requests::batch_get("Bench", (0..keys).map(|i| (n + i * 37) % HOT_ITEMS)));
        let sides = stand.sides(&request).await;
        stand.compare(&format!("BatchGetItem, {keys} hits"), &sides).await;
    }
}

/// A budget far below the items keeps every read a miss, with the eviction that a full cache pays.
async fn misses(stand: &mut Stand) {
    let config = config_file("small", "[cache]\nmax_bytes = \"4MiB\"\n");
    let server = Rc::new(Server::nearside(&["--in-memory", "--config", &config]).await);
    requests::fill(server.address, "Cold", ITEMS).await;
    let request = in_turn(|n| requests::get_item("Cold", n, false));
    let answer = exchange(server.address, &request(1)).await;
    let floor = Rc::new(Server::floor(&answer, 2).await);
    let sides = [Side::new("floor, 2 workers", &floor, &request), Side::new("Nearside", &server, &request)];
    stand.compare("GetItem, miss", &sides).await;
}

async fn pages(stand: &mut Stand) {
    stand.table("Pages", async |address| requests::fill_partitions(address, "Pages", HOT_PAGES).await).await;
}

/// Pages of ten items, 3 KB, from memory: as SDKs ask for them, and with a filter and a projection.
async fn queries(stand: &mut Stand) {
    pages(stand).await;
    let plain: Numbered = Rc::new(|n| requests::query("Pages", n % HOT_PAGES, ""));
    let filtered: Numbered = Rc::new(|n| requests::query("Pages", n % HOT_PAGES, requests::FILTERED));
    for (title, request) in [("Query, hit", plain), ("Query with a filter, hit", filtered)] {
        requests::send_all(stand.nearside.address, (0..HOT_PAGES).map(|n| request(n))).await;
        let sides = stand.sides(&request).await;
        stand.compare(title, &sides).await;
    }
}

/// What a write costs with many cached pages of other partitions beside it, against one with none.
async fn writes_beside_pages(stand: &mut Stand) {
    let config = config_file("many-pages", "[cache]\nmax_bytes = \"1GiB\"\n");
    let none = Rc::new(Server::nearside(&["--in-memory", "--config", &config]).await);
    let many = Rc::new(Server::nearside(&["--in-memory", "--config", &config]).await);
    for server in [&none, &many] {
        requests::fill_partitions(server.address, "Pages", HOT_PAGES).await;
    }
    let pages = (0..PAGES_ELSEWHERE).map(|n| requests::query("Pages", HOT_PAGES + n, ""));
    requests::send_all(many.address, pages).await;
    let request: Numbered = Rc::new(|n| requests::put_in_partition("Pages", n % HOT_PAGES, n % 10));
    let sides = [Side::new("no pages", &none, &request), Side::new("100,000 pages", &many, &request)];
    stand.compare("PutItem beside pages", &sides).await;
}

/// How much a full Scan beside them costs uncached reads.
async fn scan_beside(stand: &mut Stand) {
    stand.hot_items().await;
    requests::fill(stand.nearside.address, "Big", 100_000).await;
    let (load, nearside, request) = (stand.load(), Rc::clone(&stand.nearside), strong());
    let rounds = alternate(WARM_UP, stand.options.rounds, &["alone", "beside a Scan"], async |side| {
        let scanning = tokio::spawn(requests::scan_for_ever(nearside.address, "Big"));
        if *side == "alone" {
            scanning.abort();
        }
        let measured = load.run(&nearside, &request).await;
        scanning.abort();
        measured
    });
    let [alone, beside] = <[_; 2]>::try_from(rounds.await).unwrap_or_else(|_| unreachable!("two sides"));
    let sides = [("alone", alone), ("beside a Scan", beside)];
    let sides = sides.map(|(side, measured)| Rounds { side: side.to_owned(), measured });
    stand.sheet.add("GetItem, strong", Drawn::Cpu, &sides);
}

/// What a proxy before a remote upstream adds to a miss and to a write, call by call over one connection.
async fn proxy(stand: &mut Stand) {
    let load = Load { connections: 1, ..stand.load() };
    let uncached = config_file("uncached", "[cache]\nitem_ttl = \"0s\"\n");
    let upstream = Rc::new(Server::nearside(&["--in-memory", "--config", &uncached]).await);
    let small = config_file("small", "[cache]\nmax_bytes = \"4MiB\"\n");
    let url = format!("http://{}", upstream.address);
    let proxy = Rc::new(Server::nearside(&["--upstream", &url, "--config", &small]).await);
    requests::fill(upstream.address, "Far", ITEMS).await;
    let calls: [(&str, Numbered); 2] = [
        ("GetItem, miss, one call at a time", in_turn(|n| requests::get_item("Far", n, false))),
        ("PutItem, one call at a time", in_turn(|n| requests::put_item("Far", n))),
    ];
    for (title, request) in calls {
        let sides = [Side::new("straight", &upstream, &request), Side::new("through", &proxy, &request)];
        let run = async |side: &Side| load.run(&side.server, &side.request).await;
        let rounds = alternate(WARM_UP, stand.options.rounds, &sides, run).await;
        let added = median(
            rounds[0].iter().zip(&rounds[1]).map(|(straight, through)| through.p50_us - straight.p50_us),
        );
        stand.sheet.add(title, Drawn::Cpu, &named(&sides, rounds));
        println!("the proxy adds {added:.0} µs at p50");
    }
}

/// How long a signature takes.
fn sign(rounds: usize) {
    const SIGNATURES: u32 = 100_000;
    let signer = Signer::new("us-east-1");
    let credentials = Credentials::placeholder();
    let body = vec![b'x'; 200];
    let request = Signable {
        host: "dynamodb.us-east-1.amazonaws.com",
        target: "DynamoDB_20120810.GetItem",
        body: &body,
    };
    let rounds = (0..rounds).map(|_| {
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

/// How much memory a million cached items take, above what the store and the idle process take.
async fn fill_memory() {
    let config = config_file("large", "[cache]\nmax_bytes = \"2GiB\"\nitem_ttl = \"1h\"\n");
    let server = Server::nearside(&["--in-memory", "--config", &config]).await;
    requests::fill(server.address, "Wide", MEMORY_ITEMS).await;
    let before = server.resident_bytes();
    requests::get_all(server.address, "Wide", MEMORY_ITEMS).await;
    let grown = server.resident_bytes() - before;
    let payload = requests::payload_bytes(MEMORY_ITEMS);
    println!(
        "{MEMORY_ITEMS} cached items: {} MiB resident above the store's, {:.2} × the bytes of keys and items",
        grown >> 20,
        grown as f64 / payload as f64
    );
}
