//! Nothing of users' data and no secret comes out by the side: not in the log at any level, not at the admin listener. No request here
//! panics; what the log shows of one that does is tested beside `log_panic`.

use std::path::Path;

use crate::callers::{EVERYTHING, Files, Signer, key};
use crate::client::{Nearside, command};

const ACCESS_KEY: &str = "AKIDCANARY5f1e";
const SECRET: &str = "canary-secret-9b2d7c61e0";
const SESSION_TOKEN: &str = "canary-session-token-77aa";
const UNKNOWN_KEY: &str = "AKIDCANARYUNKNOWN";
const ADMIN_TOKEN: &str = "canary-admin-token-1c";
const UPSTREAM_KEY: &str = "AKIDCANARYUPSTREAM";
const UPSTREAM_SECRET: &str = "canary-upstream-secret";
/// A part of every key, every value and every name of an attribute beside the key's.
const DATA: &str = "canary-datum";
/// The base64 of binary values.
const BINARY: &str = "Y2FuYXJ5LWJ5dGVz";

const CREATE: &str = r#"{"TableName":"Kept","BillingMode":"PAY_PER_REQUEST",
    "AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},{"AttributeName":"at","AttributeType":"S"}],
    "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
    "GlobalSecondaryIndexes":[{"IndexName":"byAt","KeySchema":[{"AttributeName":"at","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}]}"#;

/// Requests of every kind, with data wherever there may be some. Twice, the second of two reads may be a hit.
fn requests() -> Vec<(&'static str, String)> {
    let item = format!(
        r#"{{"id":{{"S":"{DATA}"}},"at":{{"S":"{DATA}-at"}},"{DATA}-name":{{"S":"{DATA}-value"}},"b":{{"B":"{BINARY}"}},"n":{{"N":"1"}}}}"#
    );
    let key = format!(r#"{{"id":{{"S":"{DATA}"}}}}"#);
    let table = r#""TableName":"Kept""#;
    let value = format!(r#""ExpressionAttributeValues":{{":v":{{"S":"{DATA}-value"}}}}"#);
    let statement = format!(r#""Statement":"SELECT * FROM Kept WHERE id = '{DATA}'""#);
    let put = format!(r#"{{{table},"Item":{item}}}"#);
    let get = format!(r#"{{{table},"Key":{key}}}"#);
    let query = format!(r#"{{{table},"KeyConditionExpression":"id = :v",{value}}}"#);
    vec![
        ("PutItem", put.clone()),
        ("PutItem", format!(r#"{{{table},"Item":{item},"ReturnValues":"ALL_OLD"}}"#)),
        ("GetItem", get.clone()),
        ("GetItem", get.clone()),
        ("GetItem", format!(r#"{{{table},"Key":{key},"ConsistentRead":true}}"#)),
        ("GetItem", format!(r#"{{{table},"Key":{{"id":{{"S":"{DATA}-absent"}}}}}}"#)),
        ("Query", query.clone()),
        ("Query", query.clone()),
        ("Query", format!(r#"{{{table},"IndexName":"byAt","KeyConditionExpression":"at = :v",{value}}}"#)),
        ("Scan", format!(r#"{{{table},"FilterExpression":"at = :v",{value}}}"#)),
        ("Scan", format!(r#"{{{table},"ExclusiveStartKey":{key}}}"#)),
        (
            "UpdateItem",
            format!(
                r#"{{{table},"Key":{key},"UpdateExpression":"SET a = :v",{value},"ReturnValues":"ALL_NEW"}}"#
            ),
        ),
        (
            "UpdateItem",
            format!(
                r#"{{{table},"Key":{key},"UpdateExpression":"SET a = :v","ConditionExpression":"at = :v",{value},"ReturnValuesOnConditionCheckFailure":"ALL_OLD"}}"#
            ),
        ),
        ("BatchGetItem", format!(r#"{{"RequestItems":{{"Kept":{{"Keys":[{key}]}}}}}}"#)),
        ("BatchWriteItem", format!(r#"{{"RequestItems":{{"Kept":[{{"PutRequest":{{"Item":{item}}}}}]}}}}"#)),
        ("TransactGetItems", format!(r#"{{"TransactItems":[{{"Get":{get}}}]}}"#)),
        (
            "TransactWriteItems",
            format!(r#"{{"TransactItems":[{{"Put":{put}}}],"ClientRequestToken":"{DATA}-token"}}"#),
        ),
        (
            "TransactWriteItems",
            format!(
                r#"{{"TransactItems":[{{"Put":{{{table},"Item":{item},"ConditionExpression":"attribute_not_exists(id)"}}}}]}}"#
            ),
        ),
        ("ExecuteStatement", format!("{{{statement}}}")),
        ("ExecuteStatement", format!(r#"{{"Statement":"INSERT INTO Kept VALUE {{'id':'{DATA}'}}"}}"#)),
        (
            "ExecuteStatement",
            format!(r#"{{"Statement":"SELECT * FROM Kept WHERE id = ?","Parameters":[{{"S":"{DATA}"}}]}}"#),
        ),
        ("ExecuteStatement", format!(r#"{{"Statement":"SELEKT '{DATA}'"}}"#)),
        ("BatchExecuteStatement", format!(r#"{{"Statements":[{{{statement}}}]}}"#)),
        ("ExecuteTransaction", format!(r#"{{"TransactStatements":[{{{statement}}}]}}"#)),
        ("DeleteItem", format!(r#"{{{table},"Key":{key},"ReturnValues":"ALL_OLD"}}"#)),
    ]
}

/// Requests that are wrong. What is wrong with data is said to its client and to nobody else.
fn faulty_requests() -> Vec<(&'static str, String)> {
    let key = format!(r#"{{"id":{{"S":"{DATA}"}}}}"#);
    let table = r#""TableName":"Kept""#;
    let value = format!(r#""ExpressionAttributeValues":{{":v":{{"S":"{DATA}-value"}}}}"#);
    vec![
        ("GetItem", format!(r#"{{{table},"Key":{{"id":{{"N":"{DATA}"}}}}}}"#)),
        ("GetItem", format!(r#"{{{table},"Key":{{"{DATA}":{{"S":"{DATA}"}}}}}}"#)),
        ("GetItem", format!(r#"{{"TableName":"{DATA} is no name","Key":{key}}}"#)),
        ("GetItem", format!(r#"{{{table},"Key":"{DATA}"#)),
        ("PutItem", format!(r#"{{{table},"Item":{{"id":{{"S":"{DATA}"}},"x":{{"Q":"{DATA}"}}}}}}"#)),
        (
            "PutItem",
            format!(r#"{{{table},"Item":{{"id":{{"S":"{DATA}"}},"x":{{"S":"{}"}}}}}}"#, DATA.repeat(40_000)),
        ),
        ("UpdateItem", format!(r##"{{{table},"Key":{key},"UpdateExpression":"SET #{DATA} ! = :v"}}"##)),
        ("Query", format!(r#"{{{table},"KeyConditionExpression":"{DATA} = :v",{value}}}"#)),
        ("GetRecords", format!(r#"{{"ShardIterator":"{DATA}"}}"#)),
        ("DescribeTable", format!(r#"{{"TableName":"{DATA}.{DATA}/x"}}"#)),
        (
            "TagResource",
            format!(r#"{{"ResourceArn":"{DATA}","Tags":[{{"Key":"{DATA}","Value":"{DATA}"}}]}}"#),
        ),
        (DATA, format!(r#"{{"Key":"{DATA}"}}"#)),
    ]
}

/// Sends everything, as those who may and as those who may not, and gives the signatures that were sent.
fn send_all(nearside: &Nearside) -> Vec<String> {
    let caller = Signer { token: Some(SESSION_TOKEN), ..Signer::new(ACCESS_KEY, SECRET) };
    let mut signatures = Vec::new();
    let mut send = |signer: &Signer, operation: &str, body: &str| {
        let request = signer.request(operation, body);
        let text = String::from_utf8_lossy(&request).into_owned();
        let signature = text.split("Signature=").nth(1).unwrap().split("\r\n").next().unwrap();
        signatures.push(signature.to_owned());
        nearside.connect().send(&request).expect("nearside answers").0
    };
    assert_eq!(send(&caller, "CreateTable", CREATE), 200);
    let mut served = 0;
    for _ in 0..2 {
        for (operation, body) in [requests(), faulty_requests()].concat() {
            served += u32::from(send(&caller, operation, &body) == 200);
        }
    }
    assert!(served >= 30, "{served} were served");
    let denied = [
        Signer { access_key: UNKNOWN_KEY, ..caller.clone() },
        Signer { secret: "another-secret-of-nobody", ..caller.clone() },
        Signer { token: Some("canary-session-token-other"), ..caller.clone() },
        Signer { access_key: "AKIDCANARYGUEST", token: None, ..caller.clone() },
    ];
    for signer in &denied {
        for (operation, body) in [requests(), faulty_requests()].concat() {
            assert_eq!(send(signer, operation, &body), 400);
        }
    }
    // What is no call, and what is no HTTP.
    for text in [
        format!("GET /{DATA}?X-Amz-Signature={DATA} HTTP/1.1\r\nHost: localhost\r\nX-{DATA}: {DATA}\r\n\r\n"),
        format!("POST / HTTP/1.1\r\nHost: {DATA}.example\r\nContent-Length: 0\r\n\r\n"),
        format!("POST / HTTP/1.1\r\nHost: localhost\r\nOrigin: https://{DATA}\r\nContent-Length: 0\r\n\r\n"),
        format!("POST / HTTP/1.1\r\nHost: localhost\r\n{DATA}\r\n\r\n"),
        format!("{DATA} / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {DATA}\r\n\r\n"),
        format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: {DATA}\r\nContent-Length: 2\r\n\r\n{{}}"
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: gzip\r\nContent-Length: 12\r\n\r\n{DATA}"
        ),
    ] {
        nearside.connect().send(text.as_bytes());
    }
    signatures
}

/// Everything that a node has said, in its log and at its admin listener.
fn said(mut nearside: Nearside, node: &str) -> Vec<(String, String)> {
    let token = format!("Authorization: Bearer {ADMIN_TOKEN}\r\n");
    let paths = [
        "/",
        "/metrics",
        "/livez",
        "/readyz",
        "/api/fleet",
        "/api/stats",
        "/api/config",
        "/api/warnings",
        "/api/curve",
        "/api/advice",
        "/other",
    ];
    let mut said: Vec<_> = paths
        .iter()
        .flat_map(|path| [("", *path), (token.as_str(), *path)])
        .map(|(headers, path)| (format!("{path} of the {node}"), nearside.get_with(path, headers)))
        .collect();
    nearside.terminate();
    nearside.child.wait().unwrap();
    said.push((format!("the greeting of the {node}"), nearside.greeting.clone()));
    let log = nearside.log();
    assert!(log.lines().count() > 100, "at this level each request has a line: {log}");
    said.push((format!("the log of the {node}"), log));
    said
}

fn node(config: &Path, arguments: &[&str]) -> Nearside {
    let mut all = vec!["--config", config.to_str().unwrap()];
    all.extend(arguments);
    let mut command = command(&all);
    Nearside::from_command(
        command.env("AWS_ACCESS_KEY_ID", UPSTREAM_KEY).env("AWS_SECRET_ACCESS_KEY", UPSTREAM_SECRET),
    )
}

#[test]
fn no_secret_and_no_datum_comes_out_by_the_side() {
    for format in ["text", "json"] {
        let files = Files::new();
        let log = format!("[log]\nlevel = \"trace\"\nformat = \"{format}\"\nslow = \"1ms\"\n");
        let (secret, token) = (files.put("secret", SECRET), files.put("token", ADMIN_TOKEN));
        let behind =
            node(&files.put("behind.toml", &format!("[auth]\naudit = \"all\"\n{log}")), &["--in-memory"]);
        let shop = format!("principal = \"shop\"\nsession_token = \"{SESSION_TOKEN}\"\n{EVERYTHING}");
        let keys =
            [key(ACCESS_KEY, &secret, &shop), key("AKIDCANARYGUEST", &secret, "principal = \"guest\"")]
                .concat();
        let text = format!(
            "[admin]\ntoken_file = {token:?}\n[auth]\nmode = \"sigv4\"\naudit = \"all\"\n{keys}{log}"
        );
        let config = files.put("nearside.toml", &text);
        let front = node(&config, &["--upstream", &format!("http://{}", behind.address)]);
        let signatures = send_all(&front);
        // Reloads say what they read.
        front.signal("-HUP");
        let mut canaries = vec![
            "AKIDCANARY",
            "canary-secret",
            "canary-session",
            "canary-admin",
            "canary-upstream",
            "another-secret",
            DATA,
            BINARY,
            "Y2FuYXJ5",
        ];
        canaries.extend(signatures.iter().map(String::as_str));
        let mut told = said(front, "front");
        told.extend(said(behind, "one behind"));
        for (place, text) in told {
            let found = canaries.iter().find(|canary| text.contains(**canary));
            let line = found.and_then(|canary| text.lines().find(|line| line.contains(canary)));
            assert_eq!(line, None, "{place} shows {found:?}");
        }
    }
}
