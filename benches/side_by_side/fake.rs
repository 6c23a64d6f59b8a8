//! An upstream that does what the measurement says: answers, with a capacity, or fails, or falls silent. In a thread of its
//! own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::{connection, requests};

const DESCRIPTION: &str = r#"{"Table":{"TableName":"Far","TableId":"1","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}}"#;

/// How it does its work: so many calls at one time, each for so long.
const WORKERS: usize = 8;
const SERVICE: Duration = Duration::from_millis(4);

/// The upstream, in use by one Nearside.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

struct State {
    mood: Mutex<Mood>,
    /// Calls for items that came.
    calls: AtomicU64,
    workers: Semaphore,
}

/// What it does with calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mood {
    /// Answers at once.
    Well,
    /// Answers as fast as its few workers can.
    Busy,
    /// Takes them and never answers.
    Silent,
    /// Answers this part of them with that status, the others at once.
    Failing(u16, f64),
}

impl Fake {
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        listener.set_nonblocking(true).expect("a listener takes options");
        let state = Arc::new(State {
            mood: Mutex::new(Mood::Well),
            calls: AtomicU64::new(0),
            workers: Semaphore::new(WORKERS),
        });
        let serving = Arc::clone(&state);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be built").block_on(async {
                let listener = TcpListener::from_std(listener).expect("the listener is fit for the runtime");
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(Arc::clone(&serving).serve(stream));
                }
            });
        });
        Self { address, state }
    }

    pub(crate) fn set(&self, mood: Mood) {
        *self.state.mood.lock().expect("nobody panics with the mood") = mood;
    }

    /// How many calls for items have come.
    pub(crate) fn calls(&self) -> u64 {
        self.state.calls.load(Ordering::Relaxed)
    }
}

impl State {
    /// Answers one connection's calls until it ends.
    async fn serve(self: Arc<Self>, mut stream: TcpStream) {
        stream.set_nodelay(true).ok();
        let mut buffer = Vec::with_capacity(4096);
        loop {
            buffer.clear();
            let mut whole = None;
            while whole.is_none_or(|whole| buffer.len() < whole) {
                if !stream.read_buf(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {
                    return;
                }
                whole = whole.or_else(|| connection::message_bytes(&buffer));
            }
            let answer = self.answer(&buffer).await;
            if stream.write_all(&answer).await.is_err() {
                return;
            }
        }
    }

    async fn answer(&self, call: &[u8]) -> Vec<u8> {
        let head = String::from_utf8_lossy(call);
        let target = |name: &str| head.contains(&format!("DynamoDB_20120810.{name}\r\n"));
        if !target("DescribeTable") && !target("ListTables") {
            self.calls.fetch_add(1, Ordering::Relaxed);
        }
        let mood = *self.mood.lock().expect("nobody panics with the mood");
        match mood {
            Mood::Silent => std::future::pending::<()>().await,
            Mood::Busy => {
                let _worker = self.workers.acquire().await;
                tokio::time::sleep(SERVICE).await;
            }
            Mood::Failing(status, part) if fastrand::f64() < part => {
                return answer(
                    status,
                    r##"{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"failing"}"##,
                );
            }
            Mood::Well | Mood::Failing(..) => {}
        }
        match (target("DescribeTable"), target("ListTables")) {
            (true, _) => answer(200, DESCRIPTION),
            (_, true) => answer(200, r#"{"TableNames":["Far"]}"#),
            _ => answer(200, &format!(r#"{{"Item":{}}}"#, requests::item(requests::number_in(&head)))),
        }
    }
}

fn answer(status: u16, body: &str) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} -\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body.as_bytes()].concat()
}
