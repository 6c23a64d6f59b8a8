//! A nearside in front of another one, as a remote upstream that comes, goes and comes back.

use std::net::{SocketAddr, TcpListener};
use std::time::{Duration, Instant};

use crate::client::{Nearside, command};

const CREATE: &str = r#"{"TableName":"Far","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
    "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}"#;

fn get(id: &str) -> String {
    format!(r#"{{"TableName":"Far","Key":{{"id":{{"S":"{id}"}}}}}}"#)
}

fn put(id: &str) -> String {
    format!(r#"{{"TableName":"Far","Item":{{"id":{{"S":"{id}"}}}}}}"#)
}

/// An address where nobody listens.
fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A nearside that listens there.
fn start_at(address: SocketAddr) -> Nearside {
    Nearside::from_command(std::process::Command::new(env!("CARGO_BIN_EXE_nearside")).args([
        "--in-memory",
        "--listen",
        &address.to_string(),
        "--admin-listen",
        "127.0.0.1:0",
    ]))
}

/// Asks again until it is so.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what} takes too long");
        std::thread::yield_now();
    }
}

#[test]
fn it_is_ready_when_its_upstream_is_and_serves_hits_without_it() {
    let address = free_address();
    let near = Nearside::start(&["--upstream", &format!("http://{address}")]);
    assert!(!near.is_ready());
    let mut client = near.connect();
    let (status, answer) = client.call("GetItem", &get("a")).unwrap();
    assert!(status == 503 && answer.contains("ServiceUnavailable"), "{status} {answer}");

    let far = start_at(address);
    wait_until("getting ready", || near.is_ready());
    wait_until("closing the breaker", || client.call("ListTables", "{}").unwrap().0 == 200);
    client.must("CreateTable", CREATE);
    client.must("PutItem", &put("a"));

    drop(far);
    assert_eq!(client.must("GetItem", &get("a")), r#"{"Item":{"id":{"S":"a"}}}"#);
    for _ in 0..50 {
        let (status, answer) = client.call("PutItem", &put("b")).unwrap();
        assert!(matches!(status, 500 | 503) && answer.contains("__type"), "{status} {answer}");
    }
    let refused = Instant::now();
    assert_eq!(client.call("GetItem", &get("c")).unwrap().0, 503);
    assert!(refused.elapsed() < Duration::from_millis(500), "the breaker is open: {:?}", refused.elapsed());
    assert!(near.is_ready(), "it has been reached once");

    let _far = start_at(address);
    wait_until("recovering", || client.call("ListTables", "{}").unwrap().0 == 200);
}

#[test]
fn operations_of_every_kind_go_through() {
    let far = Nearside::start(&["--in-memory"]);
    let near = Nearside::start(&["--upstream", &format!("http://{}", far.address)]);
    let mut client = near.connect();
    client.must("CreateTable", CREATE);
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/Far";
    let (select, delete) =
        (r#"{"Statement":"SELECT * FROM Far"}"#, r#"{"Statement":"DELETE FROM Far WHERE id = 'a'"}"#);
    let key = r#"{"TableName":"Far","Key":{"id":{"S":"a"}}}"#;
    for (operation, body) in [
        ("TagResource", format!(r#"{{"ResourceArn":"{arn}","Tags":[{{"Key":"k","Value":"v"}}]}}"#)),
        ("ListTagsOfResource", format!(r#"{{"ResourceArn":"{arn}"}}"#)),
        ("UntagResource", format!(r#"{{"ResourceArn":"{arn}","TagKeys":["k"]}}"#)),
        ("DescribeTable", r#"{"TableName":"Far"}"#.to_owned()),
        ("DescribeTimeToLive", r#"{"TableName":"Far"}"#.to_owned()),
        ("DescribeLimits", "{}".to_owned()),
        ("DescribeEndpoints", "{}".to_owned()),
        ("ListTables", "{}".to_owned()),
        ("ListStreams", "{}".to_owned()),
        ("PutItem", put("a")),
        ("GetItem", get("a")),
        ("Scan", r#"{"TableName":"Far"}"#.to_owned()),
        ("BatchGetItem", r#"{"RequestItems":{"Far":{"Keys":[{"id":{"S":"a"}}]}}}"#.to_owned()),
        ("TransactGetItems", format!(r#"{{"TransactItems":[{{"Get":{key}}}]}}"#)),
        ("TransactWriteItems", format!(r#"{{"TransactItems":[{{"Delete":{key}}}]}}"#)),
        ("ExecuteStatement", select.to_owned()),
        ("ExecuteTransaction", format!(r#"{{"TransactStatements":[{delete}]}}"#)),
        ("BatchExecuteStatement", format!(r#"{{"Statements":[{delete}]}}"#)),
        ("DeleteTable", r#"{"TableName":"Far"}"#.to_owned()),
    ] {
        client.must(operation, &body);
    }
}

#[test]
fn the_service_needs_a_region_and_credentials() {
    let output = command(&["--upstream", "aws"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("AWS_REGION"));
    if cfg!(not(feature = "aws-credentials")) {
        let mut program = command(&["--upstream", "aws", "--region", "eu-west-1"]);
        let output = program.env_remove("AWS_ACCESS_KEY_ID").output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("AWS_ACCESS_KEY_ID") && said.contains("aws-credentials"), "{said}");
    }
}

#[test]
fn what_is_no_upstream_is_refused_in_a_line() {
    for (upstream, word) in [("dynamodb.local", "http(s)://HOST:PORT"), ("http://a/b", "http(s)://HOST:PORT")]
    {
        let output = command(&["--upstream", upstream]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), said.trim().lines().count()), (Some(2), 1), "{said}");
        assert!(said.contains(word), "{said}");
    }
}
