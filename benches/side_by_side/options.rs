//! What the command line asks for.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

/// The parts, and whether they are measured without being named. Those that are not take minutes.
const PARTS: [(&str, bool); 17] = [
    ("put", true),
    ("strong", true),
    ("hit", true),
    ("batch", true),
    ("mixed", true),
    ("limited", true),
    ("miss", true),
    ("query", true),
    ("void", true),
    ("scan", true),
    ("proxy", true),
    ("sign", true),
    ("memory", true),
    ("growth", false),
    ("ycsb", false),
    ("slow", false),
    ("faults", false),
];

/// Everything that can be set; [`Options::default`] has the values of the documentation.
#[derive(Clone)]
pub(crate) struct Options {
    pub(crate) parts: Vec<&'static str>,
    /// Of a round.
    pub(crate) duration: Duration,
    pub(crate) rounds: usize,
    /// Keep-alive connections of the load.
    pub(crate) connections: usize,
    /// Requests a second, of all connections together, where the load is limited.
    pub(crate) rate: f64,
    /// Percent of the requests that are writes, in the mixture.
    pub(crate) writes: usize,
    /// How many different items the hits walk through.
    pub(crate) items: usize,
    pub(crate) records: usize,
    pub(crate) operations: usize,
    pub(crate) workloads: String,
    /// Nearside's `max_bytes` under YCSB.
    pub(crate) cache: String,
    pub(crate) seed: u64,
    /// Of what the upstream is asked for twice of what it can do.
    pub(crate) overload: Duration,
    pub(crate) peers: Vec<Peer>,
    pub(crate) redis: Option<SocketAddr>,
    pub(crate) nginx: bool,
    pub(crate) plot: Option<PathBuf>,
}

/// Another DynamoDB, which runs already.
#[derive(Clone)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) process: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            duration: Duration::from_secs(2),
            rounds: 5,
            connections: 64,
            rate: 20_000.0,
            writes: 10,
            items: 1000,
            records: 100_000,
            operations: 200_000,
            workloads: "ABCFDE".to_owned(),
            cache: "256MiB".to_owned(),
            seed: fastrand::u64(..1_000_000),
            overload: Duration::from_secs(10),
            peers: Vec::new(),
            redis: None,
            nginx: false,
            plot: None,
        }
    }
}

impl Options {
    /// Reads the words behind the program's name. The error says what a word should have been.
    pub(crate) fn read(words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        let mut words = words;
        while let Some(word) = words.next() {
            let part = PARTS.iter().find(|(part, _)| *part == word);
            if let Some((part, _)) = part {
                options.parts.push(part);
            } else if let Ok(seconds) = word.parse() {
                options.duration = Duration::from_secs_f64(seconds);
            } else if word == "--vs" {
                options.peers.push(words.next().and_then(|word| peer(&word)).ok_or("--vs NAME=URL[#PID]")?);
            } else if word == "--plot" {
                options.plot = Some(words.next().ok_or("--plot FILE.svg")?.into());
            } else if word == "nginx" {
                options.nginx = true;
            } else if let Some((name, value)) = word.split_once('=') {
                options
                    .set(name, value)
                    .ok_or_else(|| format!("{word}: no such option, or not a value of it"))?;
            } else if word != "--bench" {
                let parts = PARTS.map(|(part, _)| part).join(", ");
                return Err(format!("{word}: neither an option nor one of the parts {parts}"));
            }
        }
        if options.parts.is_empty() {
            options.parts =
                PARTS.iter().filter(|(_, by_default)| *by_default).map(|(part, _)| *part).collect();
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "rounds" => self.rounds = value.parse().ok().filter(|rounds| *rounds > 0)?,
            "connections" => self.connections = value.parse().ok().filter(|connections| *connections > 0)?,
            "rate" => self.rate = value.parse().ok().filter(|rate| *rate > 0.0)?,
            "writes" => self.writes = value.parse().ok().filter(|percent| *percent <= 100)?,
            "items" => self.items = value.parse().ok().filter(|items| *items > 0)?,
            "records" => self.records = value.parse().ok().filter(|records| *records > 1000)?,
            "operations" => self.operations = value.parse().ok().filter(|operations| *operations > 0)?,
            "workloads" => self.workloads = value.to_ascii_uppercase(),
            "cache" => self.cache = value.to_owned(),
            "seed" => self.seed = value.parse().ok()?,
            "overload" => self.overload = Duration::from_secs(value.parse().ok()?),
            "redis" => self.redis = Some(address(value)?),
            _ => return None,
        }
        Some(())
    }
}

/// `NAME=URL`, or `NAME=URL#PID` where the process that listens is not the one that works.
fn peer(word: &str) -> Option<Peer> {
    let (name, url) = word.split_once('=')?;
    let (url, process) = match url.split_once('#') {
        Some((url, process)) => (url, Some(process.parse().ok()?)),
        None => (url, None),
    };
    let address = address(url.strip_prefix("http://")?.trim_end_matches('/'))?;
    Some(Peer { name: name.to_owned(), address, process })
}

fn address(text: &str) -> Option<SocketAddr> {
    // The floor and Nearside listen on IPv4, so that the others are called over it, too, if they can be.
    let mut addresses: Vec<SocketAddr> = text.to_socket_addrs().ok()?.collect();
    addresses.sort_by_key(SocketAddr::is_ipv6);
    addresses.into_iter().next()
}
