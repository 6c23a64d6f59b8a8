//! Nodes in front of one upstream, each with a network of its own to the bus.

use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::bus::{self, Bus};
pub(crate) use crate::client::wait_until;
use crate::client::{Client, Nearside, PATIENCE, command};
use crate::proxy::Proxy;
use crate::upstream::{CREATE, Upstream};

/// How a fleet is set up.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) nodes: usize,
    /// Lines of `[fleet]`.
    pub(crate) fleet: &'static str,
    /// Other lines of the config, with their sections.
    pub(crate) config: &'static str,
    /// How far the upstream's replicas lag at most.
    pub(crate) replica_lag: Option<Duration>,
}

impl Default for Setup {
    fn default() -> Self {
        Self { nodes: 2, fleet: "", config: "", replica_lag: None }
    }
}

/// A bus, an upstream, and the nodes.
pub(crate) struct Fleet {
    pub(crate) nodes: Vec<Node>,
    pub(crate) bus: Bus,
    pub(crate) upstream: Upstream,
    /// The way of all nodes to the upstream: a fleet has one address for it.
    pub(crate) to_upstream: Proxy,
    pub(crate) directory: tempfile::TempDir,
    config: &'static str,
}

/// A node. Its process may be another one after a restart, at another address.
pub(crate) struct Node {
    pub(crate) process: Option<Nearside>,
    pub(crate) to_bus: Proxy,
    upstream: SocketAddr,
    place: Place,
    config: PathBuf,
}

/// Where a node listens now.
#[derive(Clone)]
pub(crate) struct Place(Arc<Mutex<SocketAddr>>);

impl Place {
    pub(crate) fn address(&self) -> SocketAddr {
        *self.0.lock().unwrap()
    }
}

impl Fleet {
    /// Starts all of it with an empty table, and waits until every node may serve what it caches. The bus is one that was in use for
    /// long: at a new one, nodes wait whether there are others.
    pub(crate) fn start(setup: Setup) -> Self {
        let upstream = Upstream::start(setup.replica_lag);
        upstream.client().must("CreateTable", CREATE);
        let directory = tempfile::tempdir().unwrap();
        write_secret(&directory.path().join("secret"), "0123456789abcdef0123456789abcdef");
        let bus = Bus::start();
        bus.call(&["HSET", "{ns:nearside:0}:general", "run", &bus.run_id(), "since", "1"]);
        let to_upstream = Proxy::start(upstream.address());
        let mut fleet = Self { nodes: vec![], bus, upstream, to_upstream, directory, config: setup.config };
        (0..setup.nodes).for_each(|_| fleet.add_node(setup.fleet, "secret"));
        fleet.wait_until_fresh();
        fleet
    }

    /// Starts one more node, with its own lines of `[fleet]` and its own secret.
    pub(crate) fn add_node(&mut self, lines: &str, secret: &str) {
        let to_bus = Proxy::start(self.bus.address);
        let secret = self.directory.path().join(secret);
        let section = format!(
            "[fleet]\nurl = \"redis://{}\"\nnode = \"node-{}\"\nsecret_file = \"{}\"\n{lines}\n",
            to_bus.address,
            self.nodes.len(),
            secret.display()
        );
        self.start_node(&section, to_bus);
    }

    /// Starts one more node in front of the same upstream, which knows of no fleet.
    pub(crate) fn add_stranger(&mut self) {
        self.start_node("", Proxy::start(self.bus.address));
    }

    fn start_node(&mut self, section: &str, to_bus: Proxy) {
        let config = self.directory.path().join(format!("node-{}.toml", self.nodes.len()));
        std::fs::write(&config, format!("{}\n{section}", self.config)).unwrap();
        let upstream = self.to_upstream.address;
        let process = start(&config, upstream);
        let place = Place(Arc::new(Mutex::new(process.address)));
        self.nodes.push(Node { process: Some(process), to_bus, upstream, place, config });
    }

    pub(crate) fn place(&self, node: usize) -> Place {
        self.nodes[node].place.clone()
    }

    pub(crate) fn client(&self, node: usize) -> Client {
        self.nodes[node].running().connect()
    }

    /// The bus is elsewhere now.
    pub(crate) fn follow_bus(&self) {
        self.nodes.iter().for_each(|node| node.to_bus.lead_to(self.bus.address));
    }

    /// Waits until each node that runs may serve what it caches.
    pub(crate) fn wait_until_fresh(&self) {
        let running = self.nodes.iter().filter(|node| node.process.is_some());
        for (number, node) in running.enumerate() {
            let begun = Instant::now();
            while node.metric("nearside_fleet_fresh") != 1 {
                assert!(begun.elapsed() < PATIENCE, "node {number}: {}", node.running().get("/api/fleet"));
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// The sum of a metric over the nodes that run.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let running = self.nodes.iter().filter(|node| node.process.is_some());
        running.map(|node| node.metric(name)).sum()
    }
}

impl Node {
    pub(crate) fn running(&self) -> &Nearside {
        self.process.as_ref().expect("the node runs")
    }

    pub(crate) fn metric(&self, name: &str) -> u64 {
        self.running().metric(name)
    }

    /// Kills the process in the middle of whatever it does.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Starts the process again under the same name.
    pub(crate) fn restart(&mut self) {
        let process = start(&self.config, self.upstream);
        *self.place.0.lock().unwrap() = process.address;
        self.process = Some(process);
    }

    /// Asks the process to end, and waits until it has.
    pub(crate) fn terminate(&mut self) {
        let mut process = self.process.take().expect("the node runs");
        process.terminate();
        assert_eq!(process.child.wait().unwrap().code(), Some(0), "{}", process.log());
    }

    /// Stops the process, so that it does nothing until [`Node::resume`].
    pub(crate) fn pause(&self) {
        bus::signal(&self.running().child, "-STOP");
    }

    pub(crate) fn resume(&self) {
        bus::signal(&self.running().child, "-CONT");
    }
}

fn start(config: &Path, upstream: SocketAddr) -> Nearside {
    let upstream = format!("http://{upstream}");
    Nearside::from_command(&mut command(&["--config", config.to_str().unwrap(), "--upstream", &upstream]))
}

/// A file that nobody else may read.
pub(crate) fn write_secret(path: &Path, secret: &str) {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path).unwrap();
    std::io::Write::write_all(&mut file, secret.as_bytes()).unwrap();
}
