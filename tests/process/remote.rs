//! A nearside in front of another one, as a remote upstream that comes, goes and comes back.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Stdio};

use crate::client::{Nearside, command, program, sealed, wait_until};

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
    Nearside::from_command(sealed(program()).args([
        "--in-memory",
        "--listen",
        &address.to_string(),
        "--admin-listen",
        "127.0.0.1:0",
    ]))
}

#[test]
fn it_is_ready_when_its_upstream_is_and_serves_hits_without_it() {
    let address = free_address();
    let mut near = Nearside::start(&["--upstream", &format!("http://{address}")]);
    assert!(!near.is_ready());
    let mut client = near.connect();
    let (status, answer) = client.call("GetItem", &get("a")).unwrap();
    assert!(status == 503 && answer.contains("ServiceUnavailable"), "{status} {answer}");

    // Its own first call may come late on a busy machine.
    wait_until("saying why it is not ready", || near.get("/readyz").contains("refused"));

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
    assert_eq!(client.call("GetItem", &get("c")).unwrap().0, 503);
    assert!(near.metric(r#"nearside_upstream_requests_total{outcome="breaker_open"}"#) > 0);
    assert!(near.is_ready(), "it has been reached once");

    let _far = start_at(address);
    wait_until("recovering", || client.call("ListTables", "{}").unwrap().0 == 200);
    near.terminate();
    assert_eq!(near.child.wait().unwrap().code(), Some(0));
    let log = near.log();
    assert_eq!(log.matches("WARN The upstream fails.").count(), 1, "{log}");
    assert!(
        log.contains("The upstream cannot be used yet.") && log.contains("The upstream answers."),
        "{log}"
    );
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

/// A program for the service itself that finds neither keys nor a region in its environment.
fn without_keys(arguments: &[&str]) -> Command {
    let mut program = command(&["--upstream", "aws"]);
    program.args(arguments).env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
    program
}

/// The one line with which the program must refuse to start.
fn refusal(program: &mut Command) -> String {
    let output = program.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    assert_eq!((output.status.code(), said.lines().count()), (Some(2), 1), "{said}");
    said
}

#[test]
fn the_service_needs_a_region() {
    assert!(refusal(&mut without_keys(&[])).contains("AWS_REGION"));
}

#[cfg(feature = "aws-credentials")]
#[test]
fn a_profile_gives_region_and_credentials_and_one_that_is_unknown_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let config = file(
        "config",
        "[profile north]\nregion = eu-north-1\n[profile broken]\nregion = eu-west-1\ncredential_process = /bin/false\n",
    );
    let keys = file("credentials", "[north]\naws_access_key_id = a\naws_secret_access_key = b\n");
    let with_profile = |name: &str| {
        let mut program = without_keys(&[]);
        program.env("AWS_CONFIG_FILE", &config).env("AWS_SHARED_CREDENTIALS_FILE", &keys);
        program.env("AWS_PROFILE", name);
        program
    };
    let nearside = Nearside::from_command(&mut with_profile("north"));
    assert!(nearside.greeting.contains("DynamoDB in eu-north-1"), "{}", nearside.greeting);
    let said = refusal(with_profile("nroth").args(["--region", "eu-west-1"]));
    assert!(said.contains("\"nroth\"") && said.contains(config.to_str().unwrap()), "{said}");
    // The reason, and nothing of how the library is built.
    let said = refusal(&mut with_profile("broken"));
    assert!(said.contains("no credentials") && said.contains("exit status: 1"), "{said}");
    assert!(!said.contains("ProviderError"), "{said}");
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

#[test]
fn a_proxy_is_named_at_the_start_without_its_password() {
    let mut program = command(&["--upstream", "http://alternator.test:8000"]);
    program.env("HTTP_PROXY", "http://me:hush@127.0.0.1:9").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = program.spawn().unwrap();
    let said = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let mut begun: Vec<String> = Vec::new();
    for line in said {
        let is_greeting = line.contains("listens on");
        begun.push(line);
        if is_greeting {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let begun = begun.join("\n");
    assert!(begun.contains("proxy=http://127.0.0.1:9") && begun.contains("listens on"), "{begun}");
    assert!(!begun.contains("hush"), "{begun}");
}

#[test]
fn what_is_no_way_to_the_upstream_is_refused_in_a_line() {
    let mut program = command(&["--upstream", "https://dynamodb.test"]);
    let said = refusal(program.env("HTTPS_PROXY", "socks5://me:hush@127.0.0.1:9"));
    assert!(said.contains("HTTPS_PROXY") && said.contains("socks5") && !said.contains("hush"), "{said}");
    let mut program = command(&["--upstream", "https://dynamodb.test"]);
    let said = refusal(program.env("AWS_CA_BUNDLE", "/nowhere/bundle.pem"));
    assert!(said.contains("AWS_CA_BUNDLE") && said.contains("/nowhere/bundle.pem"), "{said}");
}
