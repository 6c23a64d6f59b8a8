//! A remote upstream over TCP whose connections are reset at every byte of a write and of its answer: the write happens once
//! at most, the client hears which, and no read shows a state that is older than what happened.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nearside::cache::{CacheLimits, FillMode, ItemCache, PageCache, PageLimits, ReadPolicy};
use nearside::call::{Request, Source};
use nearside::engine::{Engine, TablePolicy};
use nearside::model::Operation;
use nearside::upstream::remote::{Credentials, CredentialsSource, Hosts, Network, Remote, Settings};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{get, item, put};

/// Where the next request's connection breaks.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// When this many bytes of the request have been read, one at least.
    Request(usize),
    /// When the whole request has been read, and this many bytes of the answer have been written.
    Answer(usize),
}

/// A DynamoDB with one table of one item, over TCP.
struct Server {
    /// The item's counter; what a write sets.
    value: Mutex<u64>,
    /// How the connection of the next request breaks.
    cut: Mutex<Option<Cut>>,
    /// After an answer, connections are closed or reset without notice, as this random sequence decides.
    closing: Mutex<Option<fastrand::Rng>>,
    /// The value that each executed write has set.
    written: Mutex<Vec<u64>>,
    /// Requests of which at least one byte came, since somebody last asked.
    begun: AtomicUsize,
    /// Writes that were executed, since somebody last asked.
    applied: AtomicUsize,
    /// The length of the last whole request, and of its answer.
    lengths: Mutex<(usize, usize)>,
}

impl Server {
    async fn start() -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Arc::new(Self {
            value: Mutex::new(0),
            cut: Mutex::default(),
            closing: Mutex::default(),
            written: Mutex::default(),
            begun: AtomicUsize::new(0),
            applied: AtomicUsize::new(0),
            lengths: Mutex::default(),
        });
        let accepting = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&accepting).serve(stream));
            }
        });
        (server, url)
    }

    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        while self.serve_once(&mut stream).await.is_some() {
            match self.closing.lock().unwrap().as_mut().map(|random| random.u8(..4)) {
                Some(0) => return,
                Some(1) => break,
                Some(_) | None => {}
            }
        }
        stream.set_zero_linger().ok();
    }

    /// Serves one request; `None` when the connection is to be reset, or the other side closed it.
    async fn serve_once(&self, stream: &mut TcpStream) -> Option<()> {
        let mut request = Vec::new();
        let length = loop {
            let room = match *self.cut.lock().unwrap() {
                // An idle connection was waiting for its next byte before the test said where to cut.
                _ if request.is_empty() => 1,
                Some(Cut::Request(at)) if request.len() == at => return None,
                Some(Cut::Request(at)) => at - request.len(),
                _ => 4096,
            };
            if let Some(length) = whole_length(&request)
                && request.len() == length
            {
                break length;
            }
            let was_empty = request.is_empty();
            let read = (&mut *stream).take(room as u64).read_buf(&mut request).await.ok()?;
            if read == 0 {
                return None;
            }
            self.begun.fetch_add(usize::from(was_empty), Ordering::Relaxed);
        };
        let body = self.execute(&String::from_utf8(request).unwrap());
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nx-amz-crc32: {}\r\nContent-Length: {}\r\n\r\n{body}",
            crc32fast::hash(body.as_bytes()),
            body.len()
        );
        *self.lengths.lock().unwrap() = (length, answer.len());
        let cut = *self.cut.lock().unwrap();
        if let Some(Cut::Answer(at)) = cut {
            stream.write_all(&answer.as_bytes()[..at]).await.ok()?;
            return None;
        }
        stream.write_all(answer.as_bytes()).await.ok()
    }

    fn execute(&self, request: &str) -> String {
        if request.contains("DynamoDB_20120810.DescribeTable") {
            return r#"{"Table":{"TableName":"Orders","TableId":"1","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
                "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}}"#
                .to_owned();
        }
        if request.contains("DynamoDB_20120810.DescribeTimeToLive") {
            return r#"{"TimeToLiveDescription":{"TimeToLiveStatus":"DISABLED"}}"#.to_owned();
        }
        let mut value = self.value.lock().unwrap();
        if request.contains("DynamoDB_20120810.GetItem") {
            return item("a", *value);
        }
        let written = request.split("\"n\":{\"N\":\"").nth(1).unwrap().split('"').next().unwrap();
        *value = written.parse().unwrap();
        self.written.lock().unwrap().push(*value);
        self.applied.fetch_add(1, Ordering::Relaxed);
        "{}".to_owned()
    }
}

/// The length of a request whose head is there.
fn whole_length(request: &[u8]) -> Option<usize> {
    let head_ends = request.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&request[..head_ends]).unwrap().to_ascii_lowercase();
    let body = head.split("content-length: ").nth(1)?.split("\r\n").next()?;
    Some(head_ends + body.parse::<usize>().unwrap())
}

/// A node before that server.
fn node(url: &str) -> Arc<Engine> {
    let remote = Remote::new(Settings {
        hosts: Hosts::Single(url.parse().unwrap()),
        region: "us-east-1".to_owned(),
        credentials: CredentialsSource::Given(Credentials::placeholder()),
        network: Network::default(),
        connect_timeout: Duration::from_secs(30),
        read_timeout: Duration::from_secs(30),
        write_timeout: Duration::from_secs(30),
        concurrency_max: 8,
        address: "127.0.0.1:8000".to_owned(),
    });
    let cache = ItemCache::new(CacheLimits { max_bytes: 1 << 20, stripes: 1 << 6 });
    let policy = ReadPolicy {
        ttl: Some(Duration::from_secs(300)),
        negative_ttl: Some(Duration::from_secs(60)),
        fill: FillMode::Adaptive,
        item_bytes_max: 100_000,
        stale_if_error: Duration::ZERO,
    };
    let pages = PageCache::new(PageLimits::for_budget(1 << 20), Arc::clone(&cache));
    Engine::new(Arc::new(remote.unwrap()), cache, pages, Box::new(move |_| TablePolicy::items_only(policy)))
}

/// Caches the item, breaks the connection of a write there, and reads. Gives what the writer heard.
async fn write_and_read(server: &Server, url: &str, cut: Cut, n: u64) -> u16 {
    let node = node(url);
    for source in [Source::Miss, Source::Hit] {
        assert_eq!(node.execute(Request::new(Operation::GetItem, get("a"))).await.source, source);
    }
    server.begun.store(0, Ordering::Relaxed);
    server.applied.store(0, Ordering::Relaxed);
    *server.cut.lock().unwrap() = Some(cut);
    let write = node.execute(Request::new(Operation::PutItem, put("a", n))).await;
    *server.cut.lock().unwrap() = None;
    let (begun, applied) = (server.begun.load(Ordering::Relaxed), server.applied.load(Ordering::Relaxed));
    assert!(begun <= 1, "{cut:?}: {begun} requests reached the server");
    assert!(applied <= 1, "{cut:?}: executed {applied} times");
    match write.answer.status {
        200 => assert_eq!(applied, 1, "{cut:?}: acknowledged"),
        503 => assert_eq!(begun, 0, "{cut:?}: said not to have been sent"),
        status => assert_eq!(status, 500, "{cut:?}"),
    }
    let truth = item("a", *server.value.lock().unwrap());
    for _ in 0..2 {
        let read = node.execute(Request::new(Operation::GetItem, get("a"))).await;
        assert_eq!(read.answer.body, truth.as_bytes(), "{cut:?}: a read after the write");
    }
    write.answer.status
}

#[tokio::test]
async fn a_write_whose_connection_breaks_anywhere_happens_once_at_most_and_no_read_is_stale() {
    let (server, url) = Server::start().await;
    let mut n = 100;
    // The first of all is not cut, and tells how long a write and its answer are.
    assert_eq!(write_and_read(&server, &url, Cut::Request(usize::MAX), n).await, 200);
    node(&url).execute(Request::new(Operation::PutItem, put("a", n))).await;
    let (request_length, answer_length) = *server.lengths.lock().unwrap();
    for at in 1..request_length {
        n += 1;
        let heard = write_and_read(&server, &url, Cut::Request(at), n).await;
        assert_eq!(heard, 500, "cut at byte {at} of the request");
    }
    for at in 0..answer_length {
        n += 1;
        let heard = write_and_read(&server, &url, Cut::Answer(at), n).await;
        assert_eq!(heard, 500, "cut at byte {at} of the answer");
    }
    n += 1;
    assert_eq!(write_and_read(&server, &url, Cut::Answer(answer_length), n).await, 200);
}

/// The moment matters in which a closing and the next request cross, so client and server run side by side.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_meets_a_connection_being_closed_happens_once_at_most_and_no_read_is_stale() {
    let seed = fastrand::u64(..);
    let (server, url) = Server::start().await;
    *server.closing.lock().unwrap() = Some(fastrand::Rng::with_seed(seed));
    let (mut acknowledged, mut unknown) = (0, 0);
    // A new node now and then, so that no item stays held for all of the test.
    for round in 0..40 {
        let node = node(&url);
        for n in round * 1000..round * 1000 + 25 {
            server.written.lock().unwrap().clear();
            let write = node.execute(Request::new(Operation::PutItem, put("a", n))).await;
            let executed = server.written.lock().unwrap().clone();
            match write.answer.status {
                200 => {
                    acknowledged += 1;
                    assert_eq!(executed, [n], "seed {seed}: acknowledged");
                }
                503 => assert_eq!(executed, [0; 0], "seed {seed}: said not to have been sent"),
                status => {
                    unknown += 1;
                    assert!(status == 500 && executed.len() <= 1, "seed {seed}: {status}, {executed:?}");
                }
            }
            let truth = item("a", *server.value.lock().unwrap());
            let read = node.execute(Request::new(Operation::GetItem, get("a"))).await;
            // A read may fail twice, and is then an error.
            assert!(
                read.answer.status != 200 || read.answer.body == truth.as_bytes(),
                "seed {seed}: {:?} instead of {truth}",
                read.answer.body
            );
        }
    }
    assert!(acknowledged > unknown, "seed {seed}: {acknowledged} acknowledged, {unknown} unknown");
}
