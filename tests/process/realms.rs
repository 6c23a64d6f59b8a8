//! `share = false`: each region and access key has tables of its own, over the wire and over restarts.

use std::path::Path;
use std::process::Output;

use crate::client::{Client, Nearside, run};

const TABLE: &str = r#"{"TableName":"Orders","BillingMode":"PAY_PER_REQUEST",
    "AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
    "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
    "StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_IMAGE"}}"#;
const GET: &str = r#"{"TableName":"Orders","Key":{"id":{"S":"1"}}}"#;
const SCAN: &str = r#"{"TableName":"Orders"}"#;

/// Two regions of one access key, and one of another.
const SCOPES: [(&str, &str); 3] =
    [("first-key", "us-east-1"), ("first-key", "eu-west-1"), ("second-key", "us-east-1")];

fn put(owner: &str) -> String {
    format!(r#"{{"TableName":"Orders","Item":{{"id":{{"S":"1"}},"of":{{"S":"{owner}"}}}}}}"#)
}

fn start(directory: &Path, share: &str) -> Nearside {
    Nearside::start(&["--data-dir", directory.to_str().unwrap(), "--share", share])
}

fn clients(nearside: &Nearside) -> [Client; 3] {
    SCOPES.map(|(access_key, region)| nearside.connect_as(access_key, region))
}

/// A status and an answer that has these words.
#[track_caller]
fn assert_answer(answer: Option<(u16, String)>, status: u16, words: &str) {
    let (found, text) = answer.expect("nearside answers");
    assert!(found == status && text.contains(words), "{found} {text}, not {status} {words}");
}

/// Everything that a scope has must be its own.
fn assert_own(client: &mut Client, owner: &str, region: &str) {
    assert_eq!(client.must("ListTables", "{}"), r#"{"TableNames":["Orders"]}"#);
    for _ in 0..2 {
        for (operation, body) in [("GetItem", GET), ("Scan", SCAN)] {
            let found = client.must(operation, body);
            assert!(found.contains(&format!("\"{owner}\"")), "{operation} of {owner}: {found}");
        }
    }
    let streams = client.must("ListStreams", "{}");
    assert_eq!(streams.matches("StreamArn").count(), 1, "{streams}");
    assert!(
        streams.contains(&format!("arn:aws:dynamodb:{region}:000000000000:table/Orders/stream/")),
        "{streams}"
    );
    let described = client.must("DescribeTable", SCAN);
    assert!(
        described.contains(&format!("arn:aws:dynamodb:{region}:000000000000:table/Orders\"")),
        "{described}"
    );
}

#[test]
fn regions_and_access_keys_have_tables_of_their_own() {
    let nearside = Nearside::start(&["--in-memory", "--share", "false"]);
    let mut clients = clients(&nearside);
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.must("ListTables", "{}"), r#"{"TableNames":[]}"#);
        assert_answer(client.call("GetItem", GET), 400, "ResourceNotFoundException");
        client.must("CreateTable", TABLE);
        client.must("PutItem", &put(&format!("owner {number}")));
    }
    for (number, (client, (_, region))) in clients.iter_mut().zip(SCOPES).enumerate() {
        assert_own(client, &format!("owner {number}"), region);
    }
    clients[0].must("PutItem", &put("changed"));
    clients[2].must("DeleteTable", SCAN);
    assert_own(&mut clients[0], "changed", "us-east-1");
    assert_own(&mut clients[1], "owner 1", "eu-west-1");
    assert_answer(clients[2].call("Scan", SCAN), 400, "ResourceNotFoundException");
    let metrics = nearside.metrics();
    assert!(metrics.contains(r#"op="GetItem",source="hit",table="Orders""#), "{metrics}");
    assert!(!metrics.contains("-key"), "{metrics}");
    assert!(nearside.is_ready());
}

#[test]
fn an_arn_of_another_region_is_refused_in_the_services_words() {
    let nearside = Nearside::start(&["--in-memory", "--share", "false"]);
    let mut clients = clients(&nearside);
    for client in &mut clients {
        client.must("CreateTable", TABLE);
        client.must("PutItem", &put("someone"));
    }
    let (here, there) = ("eu-west-1", "us-east-1");
    let stream = clients[1].must("ListStreams", "{}").split('"').nth(5).unwrap().to_owned();
    assert!(stream.starts_with("arn:aws:dynamodb:eu-west-1:"), "{stream}");
    let calls = |region: &str| {
        let arn = format!("arn:aws:dynamodb:{region}:000000000000:table/Orders");
        let stream = stream.replace(here, region);
        let (named, resource) = ("Invalid AWS region in 'arn:", format!(r#""ResourceArn":"{arn}""#));
        let put_item = put("another").replace("Orders", &arn);
        [
            ("GetItem", GET.replace("Orders", &arn), named),
            ("Scan", SCAN.replace("Orders", &arn), named),
            (
                "BatchGetItem",
                format!(r#"{{"RequestItems":{{"{arn}":{{"Keys":[{{"id":{{"S":"1"}}}}]}}}}}}"#),
                named,
            ),
            ("PutItem", put_item.clone(), named),
            ("TransactWriteItems", format!(r#"{{"TransactItems":[{{"Put":{put_item}}}]}}"#), named),
            (
                "ExecuteStatement",
                format!(r#"{{"Statement":"SELECT * FROM \"{arn}\""}}"#),
                "ResourceNotFoundException",
            ),
            ("DescribeTable", SCAN.replace("Orders", &arn), named),
            ("DescribeTimeToLive", SCAN.replace("Orders", &arn), named),
            (
                "ListTagsOfResource",
                format!("{{{resource}}}"),
                "Invalid TableArn: Invalid ResourceArn provided as input arn:",
            ),
            (
                "TagResource",
                format!(r#"{{{resource},"Tags":[{{"Key":"k","Value":"v"}}]}}"#),
                "Invalid TableArn: ",
            ),
            ("PutResourcePolicy", format!(r#"{{{resource},"Policy":"{{}}"}}"#), "Invalid resource Arn: arn:"),
            ("DescribeStream", format!(r#"{{"StreamArn":"{stream}"}}"#), "ResourceNotFoundException"),
            ("DeleteTable", SCAN.replace("Orders", &arn), named),
            ("CreateTable", TABLE.replace("Orders", &arn), named),
        ]
    };
    for (operation, body, words) in calls(there) {
        assert_answer(clients[1].call(operation, &body), 400, words);
    }
    assert_own(&mut clients[1], "someone", here);
    for (operation, body, _) in calls(here) {
        clients[1].must(operation, &body);
    }
    assert_own(&mut clients[0], "someone", there);
}

#[test]
fn a_credential_that_names_no_region_is_refused_where_it_would_choose_the_tables() {
    let unscoped = "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: DynamoDB_20120810.ListTables\r\n\
        Content-Type: application/x-amz-json-1.0\r\nX-Amz-Date: d\r\nContent-Length: 2\r\n\
        Authorization: AWS4-HMAC-SHA256 Credential=a, SignedHeaders=b, Signature=c\r\n\r\n{}";
    let ask = |share: &str| {
        let nearside = Nearside::start(&["--in-memory", "--share", share]);
        [
            nearside.connect().send(unscoped.as_bytes()),
            nearside.connect_as("a", "../../x").call("ListTables", "{}"),
            nearside.connect_as("a", "..").call("ListTables", "{}"),
        ]
    };
    let [unscoped, in_seven_parts, no_region] = ask("false");
    assert_answer(unscoped, 400, "Credential must have exactly 5 slash-delimited elements");
    assert_answer(in_seven_parts, 400, "IncompleteSignatureException");
    assert_answer(no_region, 400, "Credential should be scoped to a valid region.");
    ask("true").into_iter().for_each(|answer| assert_answer(answer, 200, "TableNames"));
}

#[test]
fn more_realms_than_stores_may_be_open_take_turns() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("nearside.toml");
    std::fs::write(&config, "[local]\nshare = false\ndurability = \"process\"\n").unwrap();
    let nearside = Nearside::start(&[
        "--config",
        config.to_str().unwrap(),
        "--data-dir",
        directory.path().join("data").to_str().unwrap(),
    ]);
    let owners: Vec<&'static str> = (0..70).map(|number| &*format!("owner{number}").leak()).collect();
    // All at once, so that openings wait for others to rest.
    std::thread::scope(|scope| {
        for owner in &owners {
            let mut client = nearside.connect_as(owner, "local");
            scope.spawn(move || {
                client.must("CreateTable", TABLE);
                client.must("PutItem", &put(owner));
                assert_own(&mut client, owner, "local");
            });
        }
    });
    for owner in &owners {
        let found = nearside.connect_as(owner, "local").must("GetItem", GET);
        assert!(found.contains(owner), "{owner}: {found}");
    }
    let metrics = nearside.metrics();
    assert!(metrics.contains("nearside_realms_open 64\n"), "{metrics}");
    assert!(!metrics.contains("nearside_realms_closed_total 0\n"), "{metrics}");
    assert!(nearside.is_ready());
}

#[test]
fn memory_has_room_for_a_thousand_realms_with_tables_and_any_number_without() {
    let nearside = Nearside::start(&["--in-memory", "--share", "false"]);
    let mut client = nearside.connect();
    let mut sign_as = |number: u32, operation: &str, body: &str| {
        client.access_key = format!("key{number}").leak();
        client.call(operation, body)
    };
    for number in 0..1001 {
        assert_answer(sign_as(number, "ListTables", "{}"), 200, r#"{"TableNames":[]}"#);
    }
    for number in 0..1000 {
        assert_answer(sign_as(number, "CreateTable", TABLE), 200, "TableDescription");
    }
    assert_answer(sign_as(1000, "ListTables", "{}"), 400, "LimitExceededException");
    assert_answer(sign_as(0, "ListTables", "{}"), 200, "Orders");
    assert_answer(sign_as(999, "ListTables", "{}"), 200, "Orders");
}

#[test]
fn what_the_other_way_of_sharing_keeps_in_a_directory_is_told_at_the_start_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let all = start(directory.path(), "true");
    assert!(!all.greeting.contains("not shown"), "{}", all.greeting);
    all.connect().must("CreateTable", TABLE);
    all.connect().must("PutItem", &put("everyone"));
    drop(all);
    let apart = start(directory.path(), "false");
    assert!(
        apart.greeting.contains("it also holds the tables of share = true, kept and not shown"),
        "{}",
        apart.greeting
    );
    assert_eq!(apart.connect().must("ListTables", "{}"), r#"{"TableNames":[]}"#);
    apart.connect().must("CreateTable", TABLE);
    apart.connect().must("PutItem", &put("one"));
    drop(apart);
    let all = start(directory.path(), "true");
    assert!(
        all.greeting.contains("it also holds stores of share = false (1), kept and not shown"),
        "{}",
        all.greeting
    );
    assert_own(&mut all.connect(), "everyone", "us-east-1");
    drop(all);
    assert_own(&mut start(directory.path(), "false").connect(), "one", "us-east-1");
    let verified = run(&["local", "verify", directory.path().to_str().unwrap()]);
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success() && said.starts_with(".: ") && said.contains("us-east-1/"), "{said}");
}

#[test]
fn every_realm_is_found_again_after_a_kill_and_each_store_is_verified() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let nearside = start(directory.path(), "false");
    for (number, client) in clients(&nearside).iter_mut().enumerate() {
        client.must("CreateTable", TABLE);
        client.must("PutItem", &put(&format!("owner {number}")));
    }
    let refused = run(&["local", "verify", path]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("in use by another process"));
    drop(nearside);
    let nearside = start(directory.path(), "false");
    for (number, (mut client, (_, region))) in clients(&nearside).into_iter().zip(SCOPES).enumerate() {
        assert_own(&mut client, &format!("owner {number}"), region);
    }
    drop(nearside);
    let said = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    let clean = run(&["local", "verify", path]);
    assert_eq!((clean.status.code(), said(&clean).matches("all agree").count()), (Some(0), 3), "{clean:?}");
    assert!(!said(&clean).contains("key"), "{clean:?}");
    let of_region = |region: &str| {
        std::fs::read_dir(directory.path().join(region))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect::<Vec<_>>()
    };
    assert_eq!((of_region("us-east-1").len(), of_region("eu-west-1").len()), (2, 1));
    std::fs::write(of_region("eu-west-1")[0].join("nearside.redb"), b"no data file").unwrap();
    let damaged = run(&["local", "verify", path]);
    assert_eq!((damaged.status.code(), said(&damaged).matches("all agree").count()), (Some(1), 2));
    assert!(said(&damaged).contains("eu-west-1/") && said(&damaged).contains(": damaged: "), "{damaged:?}");
    // One store that cannot be opened is no reason to keep the others from their owners.
    let nearside = start(directory.path(), "false");
    let [mut first, mut second, _] = clients(&nearside);
    assert_own(&mut first, "owner 0", "us-east-1");
    assert_answer(second.call("ListTables", "{}"), 500, "cannot be opened");
}
