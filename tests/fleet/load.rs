//! Clients that write and read over several nodes, each on a connection that it keeps, and that record what they did.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::nodes::{Fleet, Place, wait_until};
use crate::recorder::{History, Read, Write};

/// Who does how much.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// The keys, by their numbers.
    pub(crate) keys: Range<u32>,
    /// For each writer its node.
    pub(crate) writers: Vec<usize>,
    /// For each reader its node.
    pub(crate) readers: Vec<usize>,
    /// How many writes each writer begins in a second at most, and how many reads each reader.
    pub(crate) write_rate: u32,
    pub(crate) read_rate: u32,
}

impl Shape {
    /// One writer and two readers at each of these nodes.
    pub(crate) fn at(nodes: &[usize]) -> Self {
        let readers = [nodes, nodes].concat();
        Self { keys: 0..8, writers: nodes.to_vec(), readers, write_rate: 40, read_rate: 250 }
    }
}

/// The least number of answered reads in a phase of load.
const READS_MIN: usize = 50;

/// Clients at work.
pub(crate) struct Load {
    is_over: Arc<AtomicBool>,
    /// How many reads were answered.
    reads: Arc<AtomicUsize>,
    clients: Vec<JoinHandle<History>>,
}

impl Load {
    pub(crate) fn start(fleet: &Fleet, shape: &Shape, seed: u64) -> Self {
        let (is_over, started) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let reads = Arc::new(AtomicUsize::new(0));
        let mut clients = Vec::new();
        let mut writing: Vec<usize> = shape.writers.clone();
        writing.sort_unstable();
        writing.dedup();
        let roles = [(&shape.writers, true, shape.write_rate), (&shape.readers, false, shape.read_rate)];
        for (nodes, writes, rate) in roles {
            for node in nodes {
                let mut worker = Worker {
                    node: *node,
                    place: fleet.place(*node),
                    client: None,
                    keys: shape.keys.clone(),
                    share: (writing.iter().position(|of| of == node).unwrap_or(0), writing.len()),
                    random: fastrand::Rng::with_seed(seed ^ clients.len() as u64),
                    started,
                    reads: Arc::clone(&reads),
                    history: History::default(),
                };
                let is_over = Arc::clone(&is_over);
                clients.push(std::thread::spawn(move || {
                    worker.work(&is_over, writes, Duration::from_secs(1) / rate);
                    worker.history
                }));
            }
        }
        Self { is_over, reads, clients }
    }

    /// Lets the clients work for so long, and longer on a machine on which they hardly do in that time.
    pub(crate) fn run_for(&self, duration: Duration) {
        let before = self.reads.load(Ordering::Relaxed);
        std::thread::sleep(duration);
        wait_until("a little load", || self.reads.load(Ordering::Relaxed) >= before + READS_MIN);
    }

    /// Ends the clients' work and gives everything that they recorded.
    pub(crate) fn finish(self) -> History {
        self.is_over.store(true, Ordering::Relaxed);
        let mut history = History::default();
        self.clients.into_iter().for_each(|client| history.extend(client.join().unwrap()));
        history
    }
}

/// One client.
struct Worker {
    node: usize,
    place: Place,
    client: Option<Client>,
    keys: Range<u32>,
    /// Of so many keys it writes that one.
    share: (usize, usize),
    random: fastrand::Rng,
    started: Instant,
    reads: Arc<AtomicUsize>,
    history: History,
}

impl Worker {
    fn work(&mut self, is_over: &AtomicBool, writes: bool, interval: Duration) {
        let mut due = Instant::now();
        while !is_over.load(Ordering::Relaxed) {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            due = Instant::now().max(due + interval);
            if writes {
                let key = self.key_to_write();
                self.write(key);
            } else {
                let key = self.random.u32(self.keys.clone());
                self.read(key);
            }
        }
    }

    /// Mostly a key that no other node writes: a node's own writes would hide that it missed those of others.
    fn key_to_write(&mut self) -> u32 {
        let is_any = self.random.u8(0..50) == 0;
        loop {
            let key = self.random.u32(self.keys.clone());
            if is_any || key as usize % self.share.1 == self.share.0 {
                return key;
            }
        }
    }

    fn write(&mut self, key: u32) {
        let answer = self.call("UpdateItem", &add(key));
        let acknowledged = answer.map(|answer| versions(&answer).next().expect("the counter"));
        let (node, end) = (self.node, self.started.elapsed());
        self.history.writes.push(Write { node, key, end, acknowledged });
    }

    fn read(&mut self, key: u32) {
        let (operation, body) = match self.random.u8(0..10) {
            0 => ("Query", query(key)),
            1 => ("BatchGetItem", batch_get(key)),
            _ => ("GetItem", get(key)),
        };
        let begin = self.started.elapsed();
        let Some(answer) = self.call(operation, &body) else { return };
        let version = versions(&answer).next().unwrap_or(0);
        let (node, end) = (self.node, self.started.elapsed());
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.history.reads.push(Read { node, key, begin, end, version });
    }

    /// The answer, if it is a success.
    fn call(&mut self, operation: &str, body: &str) -> Option<String> {
        if self.client.is_none() {
            self.client = Client::to(self.place.address()).ok();
        }
        let Some((status, answer)) = self.client.as_mut().and_then(|client| client.call(operation, body))
        else {
            // The node is gone. A client that hammers at its door has the processor that its successor needs.
            self.client = None;
            std::thread::sleep(Duration::from_millis(5));
            return None;
        };
        if self.client.as_ref().is_some_and(|client| client.is_closing) {
            self.client = None;
        }
        (status == 200).then_some(answer)
    }
}

/// The counters in an answer.
pub(crate) fn versions(answer: &str) -> impl Iterator<Item = u64> {
    answer.split(r#""n":{"N":""#).skip(1).map(|rest| rest.split('"').next().unwrap().parse().unwrap())
}

fn id(key: u32) -> String {
    format!(r#"{{"id":{{"S":"{key}"}}}}"#)
}

/// Adds one to the counter of an item, and returns it.
pub(crate) fn add(key: u32) -> String {
    format!(
        r#"{{"TableName":"Fleet","Key":{},"UpdateExpression":"ADD n :one","ExpressionAttributeValues":{{":one":{{"N":"1"}}}},
            "ReturnValues":"UPDATED_NEW"}}"#,
        id(key)
    )
}

pub(crate) fn get(key: u32) -> String {
    format!(r#"{{"TableName":"Fleet","Key":{}}}"#, id(key))
}

fn batch_get(key: u32) -> String {
    format!(r#"{{"RequestItems":{{"Fleet":{{"Keys":[{}]}}}}}}"#, id(key))
}

fn query(key: u32) -> String {
    format!(
        r#"{{"TableName":"Fleet","KeyConditionExpression":"id = :id","ExpressionAttributeValues":{{":id":{{"S":"{key}"}}}}}}"#
    )
}
