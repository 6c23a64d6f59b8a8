//! Many who ask for nothing, or slowly: idle connections, heads and bodies a byte a second, answers that are hardly read. And
//! what the hits of others are like beside them.

use std::io::{BufRead, BufReader};
use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::comparison::HOT_ITEMS;
use crate::config_file;
use crate::connection::Connection;
use crate::load::Numbered;
use crate::paced::{Paced, p99_us};
use crate::process::Server;
use crate::requests;
use crate::sheet::median;

const IDLE: usize = 10_000;
const SLOW: usize = 1000;
const ROUNDS: usize = 5;

/// The hits that are measured: a small part of what the server can do, so that no queue hides what the crowd costs.
const HITS_PER_SECOND: f64 = 2000.0;
const CONNECTIONS: usize = 16;

/// A third of the slow ones ask for this many answers of this size, more than the kernel takes off the server's hands.
const LARGE_BYTES: usize = 300_000;
const LARGE_ANSWERS: usize = 16;

/// How long after its coming and its going the crowd is over what it asks for at once.
const SETTLED: Duration = Duration::from_secs(2);

/// Measures hits alone and beside the crowd, round by round, and what an idle connection takes of memory.
pub(crate) async fn measure(duration: Duration) {
    let config = config_file("crowd", "[server]\nmax_connections = 15000\n[cache]\nitem_ttl = \"1h\"\n");
    let server = Server::nearside(&["--in-memory", "--config", &config]).await;
    requests::fill(server.address, "Bench", HOT_ITEMS).await;
    requests::get_all(server.address, "Bench", HOT_ITEMS).await;
    crate::connection::exchange(server.address, &requests::put_large("Bench", LARGE_BYTES)).await;
    let hit: Numbered = Rc::new(|n| requests::get_item("Bench", n % HOT_ITEMS, false));
    let hits = Paced { connections: CONNECTIONS, per_second: HITS_PER_SECOND, duration };
    hits.run(server.address, &hit).await;

    let before = server.resident_bytes();
    let idle = Crowd::gather(server.address, IDLE, 0);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let grown = server.resident_bytes().saturating_sub(before);
    drop(idle);
    println!(
        "{IDLE} idle connections that were used once: {:.1} KiB each (goal: at most 20)",
        grown as f64 / IDLE as f64 / 1024.0
    );

    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        tokio::time::sleep(SETTLED).await;
        let alone = hits.run(server.address, &hit).await;
        let crowd = Crowd::gather(server.address, IDLE, SLOW);
        tokio::time::sleep(SETTLED).await;
        let beside = hits.run(server.address, &hit).await;
        drop(crowd);
        assert!(alone.iter().chain(&beside).all(|sample| sample.status == 200), "every hit succeeds");
        let p99 = [&alone, &beside].map(p99_us);
        println!("hits, p99: {:.0} µs alone, {:.0} µs beside the crowd", p99[0], p99[1]);
        rounds.push(p99);
    }
    println!(
        "hits beside {SLOW} slow and {IDLE} idle connections: p99 × {:.2} (median of {ROUNDS} rounds; goal: at most 1.10)",
        median(rounds.iter().map(|[alone, beside]| beside / alone))
    );
}

/// The crowd, a process of its own; gone when dropped.
struct Crowd(Child);

impl Crowd {
    /// Returns when everybody is there.
    fn gather(server: SocketAddr, idle: usize, slow: usize) -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a process knows its file"));
        // Another address for each crowd, or the kernel would run out of ports that are not still closing.
        let from: [u8; 3] = std::array::from_fn(|_| fastrand::u8(1..255));
        command.args(["--crowd", &server.to_string(), &format!("127.{}.{}.{}", from[0], from[1], from[2])]);
        command.args([idle.to_string(), slow.to_string()]);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the crowd gathers");
        let mut word = String::new();
        let mut said = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        said.read_line(&mut word).expect("the crowd says when it is there");
        assert_eq!(word, "there\n", "the crowd is there");
        Self(child)
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// The crowd's own process: gathers, says so, and stays until it is killed.
pub(crate) fn run(arguments: &[String]) {
    let [server, from, idle, slow] = arguments else { panic!("--crowd ADDRESS FROM IDLE SLOW") };
    let place = Place {
        server: server.parse().expect("an address"),
        from: from.parse().expect("an address without a port"),
    };
    let number = |text: &str| text.parse::<usize>().expect("a number");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be built").block_on(async {
        let mut connections = Vec::new();
        for n in 0..number(idle) {
            let mut connection = Connection::over(place.connect(None).await);
            connection.exchange(&requests::get_item("Bench", n % HOT_ITEMS, false)).await;
            connections.push(connection);
        }
        for n in 0..number(slow) {
            let slowness = [Slowness::Head, Slowness::Body, Slowness::Reader][n % 3];
            let first = slowness.begin(place).await;
            tokio::spawn(slowness.dawdle(place, first));
        }
        println!("there");
        std::future::pending::<()>().await;
    });
}

/// Where the crowd comes from and goes to.
#[derive(Clone, Copy)]
struct Place {
    server: SocketAddr,
    from: IpAddr,
}

impl Place {
    async fn connect(self, receive_buffer_bytes: Option<u32>) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket can be had");
        socket.bind((self.from, 0).into()).expect("loopback has many addresses");
        if let Some(bytes) = receive_buffer_bytes {
            socket.set_recv_buffer_size(bytes).expect("a fresh socket takes options");
        }
        socket.connect(self.server).await.expect("the server accepts")
    }
}

#[derive(Clone, Copy)]
enum Slowness {
    Head,
    Body,
    Reader,
}

impl Slowness {
    /// Connects and sends what is sent at once.
    async fn begin(self, place: Place) -> TcpStream {
        let (at_once, buffer) = match self {
            Self::Head => (Vec::new(), None),
            Self::Body => (requests::head("PutItem", 4000), None),
            Self::Reader => {
                (requests::get_item("Bench", requests::LARGE, false).repeat(LARGE_ANSWERS), Some(4096))
            }
        };
        let mut stream = place.connect(buffer).await;
        stream.write_all(&at_once).await.ok();
        stream
    }

    /// Goes on slowly, from the start again when the server has had enough.
    async fn dawdle(self, place: Place, first: TcpStream) {
        let mut stream = first;
        loop {
            let mut head = requests::head("GetItem", 10).into_iter();
            loop {
                tokio::time::sleep(Duration::from_millis(fastrand::u64(500..1500))).await;
                let went_on = match self {
                    Self::Head => stream.write_all(&[head.next().unwrap_or(b' ')]).await.is_ok(),
                    Self::Body => stream.write_all(b" ").await.is_ok(),
                    Self::Reader => stream.read(&mut [0; 1024]).await.is_ok_and(|bytes| bytes > 0),
                };
                if !went_on {
                    break;
                }
            }
            stream = self.begin(place).await;
        }
    }
}
