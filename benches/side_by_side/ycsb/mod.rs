//! YCSB's workloads A to F as DynamoDB calls, on Nearside and on its peers: "Benchmarking Cloud Serving Systems with YCSB"
//! (Cooper and others, 2010), <https://github.com/brianfrankcooper/YCSB/wiki/Core-Workloads>.
//!
//! Requests are chosen by Zipf's law with the constant 0.99, scrambled. A database keeps its records from one workload to the
//! next, and Nearside what it has cached: the first workload begins with an empty cache. The order is YCSB's: A, B, C, F, D on
//! one table, E on one of its own.

mod calls;
mod workload;
mod zipf;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use crate::comparison::{Stand, alternate};
use crate::connection::{Connection, Protocol};
use crate::histogram::Histogram;
use crate::load::Measured;
use crate::process::Server;
use crate::requests::{self, request};
use crate::sheet::{Drawn, Rounds};

use workload::{Operation, Records, WORKLOADS, Workload};

/// As many as BatchWriteItem takes.
const BATCH: usize = 25;

/// A database under YCSB.
struct Side {
    name: String,
    server: Rc<Server>,
    records: Rc<Records>,
    ranges: Rc<Records>,
}

impl Side {
    fn records(&self, table: &str) -> &Rc<Records> {
        if table == calls::RANGES { &self.ranges } else { &self.records }
    }
}

/// What the connections of a round share.
struct Round {
    workload: Workload,
    table: &'static str,
    records: Rc<Records>,
    /// Operations that nobody has begun.
    left: Cell<usize>,
    latencies: RefCell<Histogram>,
    /// Reads whose answers say whether they were hits.
    reads: Cell<usize>,
    hits: Cell<usize>,
}

/// Loads the records everywhere and runs the workloads, in rounds that alternate between the databases. The first round counts, too: a
/// workload begins with what the one before has cached.
pub(crate) async fn measure(stand: &mut Stand) {
    let (records, operations, seed) = (stand.options.records, stand.options.operations, stand.options.seed);
    println!(
        "YCSB: {records} records of 1 KB, {operations} operations for each workload in {} rounds, max_bytes {}, seed={seed}",
        stand.options.rounds, stand.options.cache
    );
    let config = format!("[cache]\nmax_bytes = \"{}\"\n", stand.options.cache);
    let config = crate::config_file("ycsb", &config);
    let nearside = Rc::new(Server::nearside(&["--in-memory", "--config", &config]).await);
    let peers = stand.databases().skip(1).map(|(name, server)| (name.to_owned(), Rc::clone(server)));
    let servers: Vec<_> = std::iter::once(("Nearside".to_owned(), nearside)).chain(peers).collect();
    let mut sides = Vec::new();
    for (name, server) in servers {
        for table in [calls::TABLE, calls::RANGES] {
            if WORKLOADS.iter().any(|workload| table_of(*workload) == table && is_wanted(stand, *workload)) {
                load_records(server.address, table, records).await;
            }
        }
        let [records, ranges] = [Records::new(records), Records::new(records)].map(Rc::new);
        sides.push(Side { name, server, records, ranges });
    }
    let order = stand.options.workloads.clone();
    for workload in order.chars().filter_map(|letter| WORKLOADS.iter().find(|one| one.letter == letter)) {
        let turn = Cell::new(0);
        let run = async |side: &Side| {
            turn.set(turn.get() + 1);
            // All databases get the same operations in a round.
            let seed = seed + (turn.get() - 1) / sides.len() as u64 * 1_000_003;
            run(side, *workload, operations / stand.options.rounds, stand.options.connections, seed).await
        };
        let rounds = alternate(0, stand.options.rounds, &sides, run).await;
        let sides = sides.iter().zip(rounds);
        let rounds: Vec<_> =
            sides.map(|(side, measured)| Rounds { side: side.name.clone(), measured }).collect();
        stand.sheet.add(&format!("YCSB {}", workload.title), Drawn::Cpu, &rounds);
    }
}

fn is_wanted(stand: &Stand, workload: Workload) -> bool {
    stand.options.workloads.contains(workload.letter)
}

fn table_of(workload: Workload) -> &'static str {
    if workload.letter == 'E' { calls::RANGES } else { calls::TABLE }
}

/// One round of one workload on one database.
async fn run(side: &Side, workload: Workload, operations: usize, connections: usize, seed: u64) -> Measured {
    let table = table_of(workload);
    let round = Rc::new(Round {
        workload,
        table,
        records: Rc::clone(side.records(table)),
        left: Cell::new(operations),
        latencies: RefCell::default(),
        reads: Cell::new(0),
        hits: Cell::new(0),
    });
    let local = tokio::task::LocalSet::new();
    let mut opened = Vec::new();
    for _ in 0..connections {
        opened.push(side.server.connect().await);
    }
    let cpu_before = side.server.cpu_us();
    let started = Instant::now();
    for (index, connection) in opened.into_iter().enumerate() {
        let random = fastrand::Rng::with_seed(seed.wrapping_mul(1000) + index as u64);
        local.spawn_local(Rc::clone(&round).operate(connection, random));
    }
    local.await;
    let hits = round.hits.get() as f64 / round.reads.get() as f64;
    Measured { hits, ..Measured::of(&round.latencies.borrow(), started, &side.server, cpu_before) }
}

impl Round {
    /// Begins operation after operation on one connection until none is left.
    async fn operate(self: Rc<Self>, mut connection: Connection, mut random: fastrand::Rng) {
        while let Some(left) = self.left.get().checked_sub(1) {
            self.left.set(left);
            let operation = self.workload.next(&self.records, &mut random);
            let begun = Instant::now();
            match operation {
                Operation::Read(record) => self.read(&mut connection, &calls::read(self.table, record)).await,
                Operation::Scan { from, records } => {
                    self.read(&mut connection, &calls::scan(from, records)).await;
                }
                Operation::Update(record) => {
                    connection.exchange(&calls::update(self.table, record, &mut random)).await;
                }
                Operation::Insert(record) => {
                    connection.exchange(&calls::insert(self.table, record)).await;
                    self.records.inserted(record);
                }
                Operation::ReadModifyWrite(record) => {
                    self.read(&mut connection, &calls::read(self.table, record)).await;
                    connection.exchange(&calls::update(self.table, record, &mut random)).await;
                }
            }
            self.latencies.borrow_mut().record(begun.elapsed());
        }
    }

    async fn read(&self, connection: &mut Connection, request: &[u8]) {
        connection.exchange(request).await;
        if let Some(is_hit) = connection.is_hit() {
            self.reads.set(self.reads.get() + 1);
            self.hits.set(self.hits.get() + usize::from(is_hit));
        }
    }
}

/// Makes a table anew and writes the records.
async fn load_records(address: SocketAddr, table: &str, records: usize) {
    if table == calls::RANGES {
        requests::create_ranges(address, table).await;
    } else {
        requests::create_table(address, table).await;
    }
    let mut connection = Connection::open(address, Protocol::Http).await;
    for start in (0..records).step_by(BATCH) {
        let puts: Vec<_> = (start..records.min(start + BATCH))
            .map(|record| format!(r#"{{"PutRequest":{{"Item":{}}}}}"#, calls::item(table, record)))
            .collect();
        let body = format!(r#"{{"RequestItems":{{"{table}":[{}]}}}}"#, puts.join(","));
        connection.exchange(&request("BatchWriteItem", &body)).await;
    }
}
