//! What a node asks of the other nodes in front of the same tables, and what it reports to them.

use std::sync::Arc;

use nearside::cache::Report;
use nearside::engine::{Acknowledgement, Peers, Receipt};
use nearside::model::Operation::{self, Unknown};

use crate::harness::{Node, get, item, put};

const STATEMENT: &str = r#"{"Statement":"DELETE FROM \"Orders\" WHERE id = 'a'"}"#;
const TABLE: &str = r#"{"TableName":"Orders"}"#;

/// Other nodes that take no writes.
struct Closed;

impl Peers for Closed {
    fn admit_write(&self) -> Result<(), &'static str> {
        Err("The bus cannot be reached.")
    }

    fn report(&self, _reports: Vec<Report>) -> Receipt {
        Box::pin(std::future::ready(Acknowledgement::Given))
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_the_other_nodes_do_not_admit_is_not_sent() {
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    node.set_peers(Arc::new(Closed));
    let transaction = format!(r#"{{"TransactItems":[{{"Put":{}}}]}}"#, put("a", 2));
    let batch = r#"{"RequestItems":{"Orders":[{"DeleteRequest":{"Key":{"id":{"S":"a"}}}}]}}"#;
    let time_to_live =
        r#"{"TableName":"Orders","TimeToLiveSpecification":{"Enabled":true,"AttributeName":"n"}}"#;
    for (operation, body) in [
        ("PutItem", put("a", 2).as_str()),
        ("PutItem", r#"{"TableName":"Orders","Item":{}}"#),
        ("UpdateItem", &get("a")),
        ("DeleteItem", &get("a")),
        ("BatchWriteItem", batch),
        ("TransactWriteItems", &transaction),
        ("ExecuteStatement", STATEMENT),
        ("ExecuteStatement", r#"{"Statement":"DELETE FROM \"Orders\" WHERE n = 1"}"#),
        ("DeleteTable", TABLE),
        ("UpdateTimeToLive", time_to_live),
        ("TransmogrifyTable", TABLE),
    ] {
        let reply = node.call(operation, body).await;
        assert_eq!(reply.status, 503, "{operation} {body}");
        assert!(reply.body.contains("The bus cannot be reached."), "{operation}: {}", reply.body);
    }
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn what_only_reads_needs_nobody_to_admit_it() {
    let mut node = Node::start().await;
    node.set_peers(Arc::new(Closed));
    node.read_from_upstream("a", 1).await;
    assert_eq!(node.call("GetItem", &get("a")).await.source, "hit");
    for (operation, body) in [
        ("ExecuteStatement", r#"{"Statement":"SELECT * FROM \"Orders\" WHERE id = 'a'"}"#),
        ("ListTables", "{}"),
        ("TransactGetItems", r#"{"TransactItems":[]}"#),
        ("TransmogrifyAll", ""),
    ] {
        let read = node.begin(operation, body).await;
        let target = format!("DynamoDB_20120810.{operation}");
        let sent = Operation::from_target(&target).unwrap_or(Unknown);
        node.upstream.next(sent).await.answer("{}");
        assert_eq!(read.await.status, 200, "{operation}");
    }
    assert_eq!(node.call("GetItem", &get("a")).await.body, item("a", 1));
}
