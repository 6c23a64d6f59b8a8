//! The upstream that all nodes share: a nearside with its local backend, and in front of it, if wanted, replicas that lag.

use std::collections::VecDeque;
use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::client::{Client, Nearside};
use crate::fake::read_call;

/// The table of all scenarios. An item is a counter, `n`, in a partition of its own; `place` says where in the index it is.
pub(crate) const CREATE: &str = r#"{"TableName":"Fleet","BillingMode":"PAY_PER_REQUEST",
    "AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},{"AttributeName":"place","AttributeType":"S"}],
    "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
    "GlobalSecondaryIndexes":[{"IndexName":"byPlace","KeySchema":[{"AttributeName":"place","KeyType":"HASH"}],
        "Projection":{"ProjectionType":"ALL"}}]}"#;

/// The upstream.
pub(crate) struct Upstream {
    primary: Nearside,
    lagging: Option<Lagging>,
}

impl Upstream {
    /// An upstream, whose eventually consistent reads are answered by a replica in half of all cases, if there is one.
    pub(crate) fn start(replica_lag: Option<Duration>) -> Self {
        let primary = Nearside::start(&["--in-memory"]);
        let lagging = replica_lag.map(|lag| Lagging::start(primary.address, lag));
        Self { primary, lagging }
    }

    /// Where nodes connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.lagging.as_ref().map_or(self.primary.address, |lagging| lagging.address)
    }

    /// A client past every node and every replica but for the creation of tables, which replicas see at once.
    pub(crate) fn client(&self) -> Client {
        Client::to(self.address()).unwrap()
    }

    /// How many reads an old copy has answered.
    pub(crate) fn answered_by_replica(&self) -> u64 {
        self.lagging.as_ref().map_or(0, |lagging| *lagging.shared.answered.lock().unwrap())
    }
}

/// An HTTP proxy before a primary and a replica, to which the images of items come late and in their order.
struct Lagging {
    address: SocketAddr,
    shared: Arc<Shared>,
    _replica: Nearside,
}

struct Shared {
    primary: SocketAddr,
    replica: SocketAddr,
    lag_max: Duration,
    /// Images on their way, and when they arrive.
    images: Mutex<VecDeque<(Instant, String)>>,
    arrived: Condvar,
    answered: Mutex<u64>,
}

impl Lagging {
    fn start(primary: SocketAddr, lag_max: Duration) -> Self {
        let replica = Nearside::start(&["--in-memory"]);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            primary,
            replica: replica.address,
            lag_max,
            images: Mutex::default(),
            arrived: Condvar::new(),
            answered: Mutex::default(),
        });
        let (serving, replicating) = (Arc::clone(&shared), Arc::clone(&shared));
        std::thread::spawn(move || replicating.replicate());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serving = Arc::clone(&serving);
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        Self { address, shared, _replica: replica }
    }
}

impl Shared {
    /// Puts images into the replica when they are due, until the replica is gone.
    fn replicate(&self) {
        let Ok(mut replica) = Client::to(self.replica) else { return };
        loop {
            let mut images = self.images.lock().unwrap();
            let (due, image) = loop {
                match images.pop_front() {
                    Some(next) => break next,
                    None => images = self.arrived.wait(images).unwrap(),
                }
            };
            drop(images);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if replica.call("PutItem", &image).is_none() {
                return;
            }
        }
    }

    /// Answers one connection's calls until it ends.
    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let (mut primary, mut replica) = (Client::to(self.primary).ok()?, Client::to(self.replica).ok()?);
        while let Some((operation, body)) = read_call(&mut reader) {
            let is_strong = body.contains(r#""ConsistentRead":true"#);
            let is_eventual =
                matches!(&*operation, "GetItem" | "Query" | "Scan" | "BatchGetItem") && !is_strong;
            let (status, answer) = if is_eventual && fastrand::bool() {
                *self.answered.lock().unwrap() += 1;
                replica.call(&operation, &body)?
            } else {
                primary.call(&operation, &body)?
            };
            match &*operation {
                "CreateTable" => drop(replica.must("CreateTable", &body)),
                "UpdateItem" if status == 200 => self.send_image(&mut primary, &body),
                _ => {}
            }
            let head = format!(
                "HTTP/1.1 {status} OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {}\r\n\r\n",
                answer.len()
            );
            reader.get_mut().write_all((head + &answer).as_bytes()).ok()?;
        }
        Some(())
    }

    /// Sends the image of a written item on its way. Under the lock, so that images leave in the order of their versions.
    fn send_image(&self, primary: &mut Client, body: &str) {
        let id = body.split(r#""id":{"S":""#).nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        let read = format!(r#"{{"TableName":"Fleet","Key":{{"id":{{"S":"{id}"}}}},"ConsistentRead":true}}"#);
        let mut images = self.images.lock().unwrap();
        let answer = primary.must("GetItem", &read);
        let item = answer.strip_prefix(r#"{"Item":"#).and_then(|rest| rest.strip_suffix('}')).unwrap();
        let due = Instant::now() + self.lag_max.mul_f64(fastrand::f64());
        images.push_back((due, format!(r#"{{"TableName":"Fleet","Item":{item}}}"#)));
        self.arrived.notify_all();
    }
}
