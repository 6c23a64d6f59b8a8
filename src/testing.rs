//! A node inside a test: DynamoDB in memory behind the cache, on a free port.
//!
//! ```
//! use nearside::testing::TestNode;
//!
//! let node = TestNode::start();
//! // Point the SDK at node.endpoint(), with any region and any credentials; create tables; test.
//! node.reset();
//! // It is as empty as at first. Dropping it stops it.
//! ```
//!
//! It runs on threads of its own, so the test may be synchronous or of any runtime. It reads neither the environment nor a file, and
//! listens on loopback only.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::config::{File, Resolved, Sources};
use crate::server::{LoadedFiles, Server};

/// How long one call of a reset may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a dropped node waits for requests in flight.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// A node that serves until it is dropped.
#[derive(Debug)]
pub struct TestNode {
    addresses: Addresses,
    shutdown: CancellationToken,
    /// Taken when it is dropped.
    thread: Option<JoinHandle<()>>,
}

/// Where a node listens.
#[derive(Clone, Copy, Debug)]
struct Addresses {
    listen: SocketAddr,
    admin: SocketAddr,
}

impl TestNode {
    /// A node with the defaults.
    ///
    /// # Panics
    /// If it cannot listen on loopback.
    pub fn start() -> Self {
        Self::with_config("")
    }

    /// A node with a config file of this text, such as `"[cache]\nmode = \"off\""`. It keeps its data in memory and listens on free
    /// ports, whatever that says.
    ///
    /// # Panics
    /// If the config is wrong, or names what cannot be used.
    pub fn with_config(toml: &str) -> Self {
        let (started, starting) = mpsc::channel();
        let (shutdown, toml) = (CancellationToken::new(), toml.to_owned());
        let ends = shutdown.clone();
        let thread = std::thread::spawn(move || serve(&toml, &started, ends));
        match starting.recv() {
            Ok(Ok(addresses)) => Self { addresses, shutdown, thread: Some(thread) },
            Ok(Err(reason)) => panic!("the node does not start: {reason}"),
            Err(_) => panic!("the node does not start"),
        }
    }

    /// The endpoint for an SDK, such as `http://127.0.0.1:40123`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addresses.listen)
    }

    /// The admin listener: `/metrics`, `/readyz`, the console.
    pub fn admin(&self) -> String {
        format!("http://{}", self.addresses.admin)
    }

    /// Deletes every table, and with it everything that is cached. Tests of the same node must not run while it does. With
    /// `share = false`, tables of other regions and access keys than its own stay.
    ///
    /// # Panics
    /// If the node rejects it: a table may be protected against deletion, or `local.status_delay` keeps it `DELETING`.
    pub fn reset(&self) {
        loop {
            let names = self.call("ListTables", &json!({}))["TableNames"].take();
            let names: Vec<String> = serde_json::from_value(names).unwrap_or_default();
            if names.is_empty() {
                return;
            }
            for name in names {
                self.call("DeleteTable", &json!({ "TableName": name }));
            }
        }
    }

    fn call(&self, operation: &str, body: &Value) -> Value {
        let (status, answer) = call(self.addresses.listen, operation, &body.to_string())
            .unwrap_or_else(|error| panic!("{operation}: the node does not answer: {error}"));
        assert!(status == 200, "{operation}: {answer}");
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{operation}: {error}: {answer}"))
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic of the node has been printed by its thread.
            thread.join().ok();
        }
    }
}

/// Serves until `shutdown`, and says first where, or why not.
fn serve(toml: &str, started: &mpsc::Sender<Result<Addresses, String>>, shutdown: CancellationToken) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let served = runtime.map_err(|error| error.to_string()).and_then(|runtime| {
        runtime.block_on(async {
            let server = start(toml).await?;
            let addresses = Addresses { listen: server.address()?, admin: server.admin_address()? };
            // Who started it may be gone already; then it is stopped, too.
            started.send(Ok(addresses)).ok();
            server.run(shutdown).await;
            Ok(())
        })
    });
    if let Err(reason) = served {
        started.send(Err(reason)).ok();
    }
}

/// # Errors
/// What is wrong with the config, or why the server does not start.
async fn start(toml: &str) -> Result<Server, String> {
    let flag = |name, value: &str| (name, value.to_owned());
    let flags = [
        flag("listen", "127.0.0.1:0"),
        flag("admin-listen", "127.0.0.1:0"),
        flag("upstream", "local"),
        flag("in-memory", "true"),
    ];
    let file = Some(File { name: "the test's config", text: toml });
    let resolved = Resolved::of(&Sources { file, variables: &[], flags: &flags });
    let mut resolved = resolved.map_err(|error| error.to_string())?;
    resolved.config.fixed.drain_timeout = DRAIN_TIMEOUT;
    let files = LoadedFiles::read(&resolved, None)?;
    Server::start(resolved, files).await.map_err(|error| error.to_string())
}

/// One call of DynamoDB's, on a connection of its own: the status and the body of the answer.
///
/// # Errors
/// The system's, and `InvalidData` for an answer that is none of HTTP.
fn call(address: SocketAddr, operation: &str, body: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(CALL_TIMEOUT))?;
    let length = body.len();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nX-Amz-Target: DynamoDB_20120810.{operation}\r\nX-Amz-Date: 20260101T000000Z\r\n\
         Content-Type: application/x-amz-json-1.0\r\nContent-Length: {length}\r\nConnection: close\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, \
         SignedHeaders=host, Signature=0\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body.as_bytes()].concat())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    status.zip(body).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDERS: &str = r#"{"TableName":"Orders","BillingMode":"PAY_PER_REQUEST",
        "AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],"KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}"#;
    const ITEM: &str = r#"{"TableName":"Orders","Item":{"id":{"S":"a"}}}"#;
    const KEY: &str = r#"{"TableName":"Orders","Key":{"id":{"S":"a"}}}"#;

    fn must(node: &TestNode, operation: &str, body: &str) -> Value {
        node.call(operation, &serde_json::from_str(body).unwrap())
    }

    #[test]
    fn a_node_is_empty_again_after_a_reset_and_its_cache_with_it() {
        let (node, other) = (TestNode::start(), TestNode::start());
        assert_ne!(node.endpoint(), other.endpoint());
        for _ in 0..2 {
            must(&node, "CreateTable", ORDERS);
            assert_eq!(must(&node, "GetItem", KEY), json!({}), "nothing is left of the round before");
            must(&node, "PutItem", ITEM);
            assert_eq!(must(&node, "GetItem", KEY)["Item"]["id"]["S"], "a");
            node.reset();
            assert_eq!(must(&node, "ListTables", "{}"), json!({ "TableNames": [] }));
        }
        assert_eq!(must(&other, "ListTables", "{}"), json!({ "TableNames": [] }));
    }

    #[test]
    fn a_reset_deletes_more_tables_than_one_answer_lists() {
        let node = TestNode::start();
        for number in 0..103 {
            must(&node, "CreateTable", &ORDERS.replace("Orders", &format!("Orders{number}")));
        }
        node.reset();
        assert_eq!(must(&node, "ListTables", "{}"), json!({ "TableNames": [] }));
    }

    #[tokio::test]
    async fn a_dropped_node_listens_no_longer() {
        let node = TestNode::start();
        let address = node.addresses.listen;
        assert!(TcpStream::connect(address).is_ok());
        drop(node);
        assert!(TcpStream::connect(address).is_err());
    }

    #[test]
    fn a_config_is_in_force_and_a_wrong_one_is_said() {
        let node = TestNode::with_config("[local]\nstatus_delay = \"1h\"\n");
        assert_eq!(must(&node, "CreateTable", ORDERS)["TableDescription"]["TableStatus"], "CREATING");
        assert_eq!(
            must(&node, "DescribeTable", r#"{"TableName":"Orders"}"#)["Table"]["TableStatus"],
            "CREATING"
        );
        let wrong = std::panic::catch_unwind(|| TestNode::with_config("[cash]\n"));
        let words = wrong.unwrap_err().downcast::<String>().unwrap();
        assert!(words.contains("cash"), "{words}");
    }
}
