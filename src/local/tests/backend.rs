//! A backend in memory that tests speak to in JSON, as a client does.

use serde_json::{Value, json};

use crate::call::{Request, Upstream};
use crate::model::Operation;

use crate::local::{Local, Settings};

/// A backend in memory.
pub(crate) struct Backend {
    /// The backend itself.
    pub(crate) local: Local,
}

/// An error as a client reads it: the type after its `#`, the words, and the whole body.
#[derive(Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) body: Value,
}

impl Backend {
    /// One without tables.
    pub(crate) fn new() -> Self {
        Self { local: Local::in_memory(Settings::default()) }
    }

    /// One with the two tables that most tests need: `hash` has the key `a`; `range` has the key `a`, `b`, local indexes
    /// `index1` (`c`, everything) and `index2` (`d`, including `c`), and global ones `index3` (`c`, everything) and `index4`
    /// (`c`, `d`, including `e`). All keys are strings.
    pub(crate) async fn with_tables() -> Self {
        let backend = Self::new();
        backend.ok(Operation::CreateTable, hash_table("hash")).await;
        backend.ok(Operation::CreateTable, range_table("range")).await;
        backend
    }

    /// Sends a request.
    pub(crate) async fn send(&self, operation: Operation, body: Value) -> Result<Value, Refusal> {
        self.send_text(operation, body.to_string()).await
    }

    /// Sends a request as it is written.
    pub(crate) async fn send_text(&self, operation: Operation, body: String) -> Result<Value, Refusal> {
        let request = Request::new(operation, body);
        let answer = self.local.call(&request).await.expect("the store in memory does not break");
        let body: Value = serde_json::from_slice(&answer.body).expect("every answer is JSON");
        if answer.is_success() {
            return Ok(body);
        }
        let text = |member: &str| body.get(member).and_then(Value::as_str).unwrap_or_default();
        let code = text("__type").rsplit('#').next().unwrap_or_default().to_owned();
        let message = format!("{}{}", text("message"), text("Message"));
        Err(Refusal { code, message, body })
    }

    /// What a request is charged, table by table, whether it succeeds or not.
    pub(crate) async fn charges(&self, operation: Operation, body: Value) -> Vec<(String, f64)> {
        let request = Request::new(operation, body.to_string());
        let answer = self.local.call(&request).await.expect("the store in memory does not break");
        let charges = answer.charges.iter();
        charges.map(|charge| (charge.table.to_string(), charge.consumed.total().number())).collect()
    }

    /// Sends a request that must succeed.
    pub(crate) async fn ok(&self, operation: Operation, body: Value) -> Value {
        let text = body.to_string();
        self.send(operation, body).await.unwrap_or_else(|refusal| panic!("{operation} {text}: {refusal:?}"))
    }

    /// Sends a request that must be refused as invalid, and gives the words.
    pub(crate) async fn invalid(&self, operation: Operation, body: Value) -> String {
        let text = body.to_string();
        match self.send(operation, body).await {
            Ok(answer) => panic!("{operation} {text} was accepted: {answer}"),
            Err(refusal) => {
                assert_eq!(refusal.code, "ValidationException", "{operation} {text}: {refusal:?}");
                refusal.message
            }
        }
    }

    /// Puts an item into a table.
    pub(crate) async fn put(&self, table: &str, item: Value) {
        self.ok(Operation::PutItem, json!({"TableName": table, "Item": item})).await;
    }

    /// The item with that key, or null.
    pub(crate) async fn get(&self, table: &str, key: Value) -> Value {
        let answer = self.ok(Operation::GetItem, json!({"TableName": table, "Key": key})).await;
        answer.get("Item").cloned().unwrap_or(Value::Null)
    }
}

pub(crate) fn hash_table(name: &str) -> Value {
    json!({
        "TableName": name,
        "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    })
}

fn range_table(name: &str) -> Value {
    let definitions = ["a", "b", "c", "d"].map(|name| json!({"AttributeName": name, "AttributeType": "S"}));
    let element = |name: &str, kind: &str| json!({"AttributeName": name, "KeyType": kind});
    let include = |name: &str| json!({"ProjectionType": "INCLUDE", "NonKeyAttributes": [name]});
    json!({
        "TableName": name,
        "AttributeDefinitions": definitions,
        "KeySchema": [element("a", "HASH"), element("b", "RANGE")],
        "BillingMode": "PAY_PER_REQUEST",
        "LocalSecondaryIndexes": [
            {
                "IndexName": "index1",
                "KeySchema": [element("a", "HASH"), element("c", "RANGE")],
                "Projection": {"ProjectionType": "ALL"},
            },
            {
                "IndexName": "index2",
                "KeySchema": [element("a", "HASH"), element("d", "RANGE")],
                "Projection": include("c"),
            },
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": "index3",
                "KeySchema": [element("c", "HASH")],
                "Projection": {"ProjectionType": "ALL"},
            },
            {
                "IndexName": "index4",
                "KeySchema": [element("c", "HASH"), element("d", "RANGE")],
                "Projection": include("e"),
            },
        ],
    })
}

/// The variable with the seed that replays a run.
const REPLAY: &str = "NEARSIDE_TEST_SEED";

/// A seed for a test of random requests: another one each time, unless the variable says which.
pub(crate) fn seed() -> u64 {
    let seed = std::env::var(REPLAY).ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("replay with {REPLAY}={seed}");
    seed
}
