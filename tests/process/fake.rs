//! An upstream whose writes end when the test says so.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

use crate::client::PATIENCE;

const DESCRIPTION: &str = r#"{"Table":{"TableName":"Slow","TableId":"1","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
    "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}}"#;

/// The upstream. It describes one table, `Slow`, and holds every other call that may write until it is let go.
#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    gate: Arc<(Mutex<Gate>, Condvar)>,
}

#[derive(Default)]
struct Gate {
    is_open: bool,
    /// Calls of each operation that came, and those that were answered.
    arrived: HashMap<String, usize>,
    answered: HashMap<String, usize>,
}

impl Fake {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let fake = Self { address: listener.local_addr().unwrap(), gate: Arc::default() };
        let serving = fake.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        fake
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until that many calls of the operation have come.
    pub(crate) fn wait_for(&self, operation: &str, calls: usize) {
        self.wait(|gate| gate.arrived.get(operation).copied().unwrap_or(0) >= calls);
    }

    /// Answers what is held, and from now on everything at once.
    pub(crate) fn let_go(&self) {
        self.gate.0.lock().unwrap().is_open = true;
        self.gate.1.notify_all();
    }

    /// How many calls of the operation have been answered.
    pub(crate) fn answered(&self, operation: &str) -> usize {
        self.gate.0.lock().unwrap().answered.get(operation).copied().unwrap_or(0)
    }

    fn wait(&self, is_so: impl Fn(&Gate) -> bool) {
        let gate = self.gate.0.lock().unwrap();
        let waiting = |gate: &mut Gate| !is_so(gate);
        let (_gate, waited) = self.gate.1.wait_timeout_while(gate, PATIENCE, waiting).unwrap();
        assert!(!waited.timed_out(), "the calls do not come");
    }

    /// Answers one connection's calls until it ends.
    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some((operation, _)) = read_call(&mut reader) {
            let body = match &*operation {
                "DescribeTable" => DESCRIPTION,
                "DescribeTimeToLive" => "{}",
                "ListTables" => r#"{"TableNames":["Slow"]}"#,
                _ => {
                    self.hold(&operation);
                    "{}"
                }
            };
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            if reader.get_mut().write_all(answer.as_bytes()).is_err() {
                return;
            }
            *self.gate.0.lock().unwrap().answered.entry(operation).or_default() += 1;
        }
    }

    fn hold(&self, operation: &str) {
        *self.gate.0.lock().unwrap().arrived.entry(operation.to_owned()).or_default() += 1;
        self.gate.1.notify_all();
        let gate = self.gate.0.lock().unwrap();
        drop(self.gate.1.wait_while(gate, |gate| !gate.is_open).unwrap());
    }
}

/// Reads a whole request: its operation and its body. `None` when no more come.
pub(crate) fn read_call(reader: &mut BufReader<TcpStream>) -> Option<(String, String)> {
    let (mut operation, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            if line == "\r\n" {
                break;
            }
            continue;
        };
        match &*name.to_ascii_lowercase() {
            "x-amz-target" => operation = value.split('.').nth(1)?.to_owned(),
            "content-length" => length = value.parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((operation, String::from_utf8(body).ok()?))
}
