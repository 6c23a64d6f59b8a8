//! One part measured on several servers, round by round: the floors, Nearside, and whatever else was named.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;

use crate::arrivals::Arrivals;
use crate::connection::{Protocol, exchange};
use crate::load::{Load, Measured, Numbered};
use crate::options::Options;
use crate::process::Server;
use crate::requests;
use crate::sheet::{Drawn, Rounds, Sheet, median};

/// How many different items the hits and the strong reads walk through, unless another number was asked for.
pub(crate) const HOT_ITEMS: usize = 1000;

/// A server in a part, and what it is asked.
pub(crate) struct Side {
    pub(crate) name: String,
    pub(crate) server: Rc<Server>,
    pub(crate) request: Numbered,
}

impl Side {
    pub(crate) fn new(name: &str, server: &Rc<Server>, request: &Numbered) -> Self {
        Self { name: name.to_owned(), server: Rc::clone(server), request: Rc::clone(request) }
    }
}

/// Nearside and its peers, the options, and the results so far.
pub(crate) struct Stand {
    pub(crate) options: Options,
    pub(crate) sheet: Sheet,
    pub(crate) nearside: Rc<Server>,
    peers: Vec<(String, Rc<Server>)>,
    redis: Option<Rc<Server>>,
    /// The tables that every DynamoDB here has.
    tables: BTreeSet<&'static str>,
}

impl Stand {
    pub(crate) async fn set_up(options: Options) -> Self {
        // A scan beside other reads is to be work, time and again. The budget holds all items that are asked for.
        let max_mebibytes = ((options.items * 600) >> 20).max(2048);
        let config = format!(
            "[cache]\nmax_bytes = \"{max_mebibytes}MiB\"\nitem_ttl = \"1h\"\n[tables.Big]\nquery_ttl = \"0s\"\n"
        );
        let config = crate::config_file("bench", &config);
        let nearside = Rc::new(Server::nearside(&["--in-memory", "--config", &config]).await);
        let peers = options.peers.iter().map(|peer| {
            let server = Rc::new(Server::running(peer.address, Protocol::Http, peer.process));
            if !server.is_measured() {
                println!("{}: nothing is known of its processes, so nothing of its CPU", peer.name);
            }
            (peer.name.clone(), server)
        });
        let peers = peers.collect();
        let redis = options.redis.map(|address| Rc::new(Server::running(address, Protocol::Redis, None)));
        Self { options, sheet: Sheet::default(), nearside, peers, redis, tables: BTreeSet::new() }
    }

    /// The load that the options ask for.
    pub(crate) fn load(&self) -> Load {
        Load { connections: self.options.connections, duration: self.options.duration }
    }

    /// Every server here that speaks DynamoDB.
    pub(crate) fn databases(&self) -> impl Iterator<Item = (&str, &Rc<Server>)> {
        let peers = self.peers.iter().map(|(name, server)| (&**name, server));
        std::iter::once(("Nearside", &self.nearside)).chain(peers)
    }

    /// Gives every DynamoDB a table, if it has not got it.
    pub(crate) async fn table(&mut self, table: &'static str, fill: impl AsyncFn(SocketAddr)) {
        if self.tables.insert(table) {
            for (_, server) in self.databases() {
                fill(server.address).await;
            }
        }
    }

    /// Gives every DynamoDB the items that are hits, and has them cached.
    pub(crate) async fn hot_items(&mut self) {
        let items = self.options.items.max(HOT_ITEMS);
        self.table("Bench", async |address| {
            requests::fill(address, "Bench", items).await;
            requests::get_all(address, "Bench", items).await;
        })
        .await;
    }

    /// The floors, Nearside and its peers with one request. The floors answer what Nearside answers to the first request.
    pub(crate) async fn sides(&self, request: &Numbered) -> Vec<Side> {
        let answer = exchange(self.nearside.address, &request(1)).await;
        let two = Rc::new(Server::floor(&answer, 2).await);
        let one = Rc::new(Server::floor(&answer, 1).await);
        let mut sides =
            vec![Side::new("floor, 2 workers", &two, request), Side::new("floor, 1 worker", &one, request)];
        if self.options.nginx
            && let Some(nginx) = Server::nginx(&answer).await
        {
            sides.push(Side::new("nginx", &Rc::new(nginx), request));
        }
        sides.extend(self.databases().map(|(name, server)| Side::new(name, server, request)));
        sides
    }

    /// Redis with the commands that do the same, if there is a Redis here.
    pub(crate) fn redis_side(&self, request: &Numbered) -> Option<Side> {
        self.redis.as_ref().map(|server| Side::new("Redis", server, request))
    }

    /// Measures all sides at full load.
    pub(crate) async fn compare(&mut self, part: &str, sides: &[Side]) {
        let load = self.load();
        self.compare_under(part, sides, &load).await;
    }

    /// As [`Stand::compare`], under a load of its own.
    pub(crate) async fn compare_under(&mut self, part: &str, sides: &[Side], load: &Load) {
        let run = async |side: &Side| load.run(&side.server, &side.request).await;
        let rounds = alternate(WARM_UP, self.options.rounds, sides, run).await;
        self.sheet.add(part, Drawn::Cpu, &named(sides, rounds));
    }

    /// Measures all sides with requests that arrive by a schedule.
    pub(crate) async fn compare_limited(&mut self, part: &str, sides: &[Side]) {
        let (connections, per_second) = (self.options.connections, self.options.rate);
        let arrivals = Arrivals { connections, per_second, duration: self.options.duration };
        let late = std::cell::RefCell::new(Vec::new());
        let run = async |side: &Side| {
            let paced = arrivals.run(&side.server, &side.request).await;
            late.borrow_mut().push(paced.late_p99_us);
            paced.measured
        };
        let rounds = alternate(WARM_UP, self.options.rounds, sides, run).await;
        self.sheet.add(part, Drawn::P99, &named(sides, rounds));
        let late = median(late.into_inner().into_iter());
        println!(
            "latencies count from when requests were due; the load itself sent them at p99 {late:.0} µs late"
        );
    }
}

/// How many rounds go before those that count: compilers at run time, pools and memory settle.
pub(crate) const WARM_UP: usize = 1;

/// Runs the sides one after the other, and that again for each round; for each side its rounds, without the first few.
pub(crate) async fn alternate<S>(
    warm_up: usize,
    rounds: usize,
    sides: &[S],
    run: impl AsyncFn(&S) -> Measured,
) -> Vec<Vec<Measured>> {
    let mut measured = vec![Vec::new(); sides.len()];
    for round in 0..warm_up + rounds {
        for (side, measured) in sides.iter().zip(&mut measured) {
            let figures = run(side).await;
            if round >= warm_up {
                measured.push(figures);
            }
        }
    }
    measured
}

/// The rounds with the names of their sides.
pub(crate) fn named(sides: &[Side], rounds: Vec<Vec<Measured>>) -> Vec<Rounds> {
    let sides = sides.iter().zip(rounds);
    sides.map(|(side, measured)| Rounds { side: side.name.clone(), measured }).collect()
}
