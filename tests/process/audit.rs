//! The audit log: who asked for what, and what was decided.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use serde_json::Value;

use crate::callers::{EVERYTHING, Files, SECRET, Signer, key, reloads, start, wait_for_reload};
use crate::client::Nearside;

const CREATE: &str = r#"{"TableName":"Kept","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
    "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}"#;
const QUERY: &str = r#"{"TableName":"Kept","IndexName":"byTime","KeyConditionExpression":"id = :v","ExpressionAttributeValues":{":v":{"S":"a"}}}"#;
const GET: &str = r#"{"TableName":"Kept","Key":{"id":{"S":"a"}}}"#;

/// A config with a caller that may do everything and one that may do nothing.
fn config(files: &Files, audit: &str, log: &str) -> PathBuf {
    let secret = files.put("secret", SECRET);
    let all = key("AKIDALL", &secret, &format!("principal = \"shop\"\n{EVERYTHING}"));
    let nothing = key("AKIDNOTHING", &secret, "principal = \"guest\"");
    let text = format!("[auth]\nmode = \"sigv4\"\naudit = \"{audit}\"\n{all}{nothing}[log]\n{log}");
    files.put("nearside.toml", &text)
}

fn denied(nearside: &Nearside, reason: &str) -> u64 {
    nearside.metric(&format!("nearside_auth_denied_total{{reason=\"{reason}\"}}"))
}

/// The fields of the lines of the audit in a log in JSON.
fn audited(nearside: &mut Nearside) -> (Vec<Value>, String) {
    nearside.terminate();
    nearside.child.wait().unwrap();
    let log = nearside.log();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["fields"].clone());
    let is_audit = |line: &Value| line["message"].as_str().unwrap().starts_with("Audit");
    (lines.filter(is_audit).collect(), log)
}

#[test]
fn denied_requests_have_a_line_each_kind_and_none_is_lost_in_a_flood() {
    let files = Files::new();
    // The audit does not depend on the level of the log.
    let mut nearside = start(&config(&files, "denied", "format = \"json\"\nlevel = \"off\""));
    let caller = Signer::new("AKIDALL", SECRET);
    assert_eq!(caller.ask(&nearside, "CreateTable", CREATE).0, 200);
    let forger = Signer { secret: "another", ..caller.clone() };
    (0..50).for_each(|_| assert_eq!(forger.ask(&nearside, "GetItem", GET).0, 400));
    let unknown = Signer { access_key: "AKIDUNKNOWN", ..caller.clone() };
    let unnamed = "{\"TableName\":\"not a\\ntable\",\"IndexName\":\"no index\"}";
    assert_eq!(unknown.ask(&nearside, "PutItem", unnamed).0, 400);
    let guest = Signer { access_key: "AKIDNOTHING", ..caller.clone() };
    (0..3).for_each(|_| assert_eq!(guest.ask(&nearside, "Query", QUERY).0, 400));
    assert_eq!(nearside.connect().send(&unsigned()).unwrap().0, 400);
    assert_eq!(caller.ask(&nearside, "GetItem", GET).0, 200);
    for (reason, count) in
        [("signature", 50), ("unknown_key", 1), ("rights", 3), ("missing", 1), ("clock", 0)]
    {
        assert_eq!(denied(&nearside, reason), count, "{reason}");
    }
    // A table that a denied caller names gets no label.
    assert!(!nearside.metrics().contains("not a"));
    let (lines, log) = audited(&mut nearside);
    let of = |reason: &str| lines.iter().filter(|line| line["reason"] == *reason).collect::<Vec<_>>();
    for (reason, total, principal, action, table, index) in [
        ("signature", 50, "-", "dynamodb:GetItem", "Kept", "-"),
        ("unknown_key", 1, "-", "dynamodb:PutItem", "-", "-"),
        ("rights", 3, "guest", "dynamodb:Query", "Kept", "byTime"),
        ("missing", 1, "-", "dynamodb:ListTables", "-", "-"),
    ] {
        let lines = of(reason);
        let counted: u64 = lines.iter().map(|line| line["count"].as_u64().unwrap()).sum();
        assert!(counted == total && lines.len() <= 20, "{reason}: {lines:?}");
        let first = lines[0];
        assert_eq!((&first["principal"], &first["action"]), (&principal.into(), &action.into()), "{first}");
        assert_eq!((&first["table"], &first["index"]), (&table.into(), &index.into()), "{first}");
        assert_eq!(first["verdict"], "denied", "{first}");
        assert!(first["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{first}");
        assert_eq!(first["request_id"].as_str().unwrap().len(), 52);
    }
    assert_eq!(of("rights")[0]["code"], "AccessDeniedException");
    assert!(lines.iter().all(|line| line["verdict"] == "denied"), "{log}");
    assert!(!log.contains("AKID"), "{log}");
}

fn unsigned() -> Vec<u8> {
    let request = Signer::new("AKIDALL", SECRET).request("ListTables", "{}");
    let text = String::from_utf8(request).unwrap();
    let lines = text.split_inclusive("\r\n").filter(|line| !line.starts_with("authorization"));
    lines.collect::<String>().into_bytes()
}

#[test]
fn where_all_is_audited_each_request_has_its_line() {
    let files = Files::new();
    let mut nearside = start(&config(&files, "off", "format = \"json\""));
    let caller = Signer::new("AKIDALL", SECRET);
    assert_eq!(caller.ask(&nearside, "CreateTable", CREATE).0, 200);
    let before = reloads(&nearside, "applied");
    config(&files, "all", "format = \"json\"");
    wait_for_reload(&nearside, "applied", before);
    let forger = Signer { secret: "another", ..caller.clone() };
    for _ in 0..20 {
        assert_eq!(caller.ask(&nearside, "GetItem", GET).0, 200);
        assert_eq!(forger.ask(&nearside, "GetItem", GET).0, 400);
    }
    assert_eq!(caller.ask(&nearside, "GetItem", "{}").0, 400);
    assert_eq!(caller.ask(&nearside, "Query", QUERY).0, 400);
    assert_eq!(nearside.connect().send(&unreadable()).unwrap().0, 400);
    let (lines, log) = audited(&mut nearside);
    assert!(lines.iter().all(|line| line["count"] == 1), "{log}");
    let verdicts =
        |verdict: &str| lines.iter().filter(|line| line["verdict"] == *verdict).collect::<Vec<_>>();
    let (allowed, denied, unjudged) = (verdicts("allowed"), verdicts("denied"), verdicts("unjudged"));
    assert_eq!((allowed.len(), denied.len(), unjudged.len()), (22, 20, 1), "{log}");
    assert_eq!((&allowed[0]["principal"], &allowed[0]["table"]), (&"shop".into(), &"Kept".into()));
    assert_eq!((&allowed[0]["code"], &allowed[0]["reason"]), (&"-".into(), &"-".into()));
    assert_eq!((&allowed[20]["code"], &allowed[20]["index"]), (&"ValidationException".into(), &"-".into()));
    assert_eq!(
        (&allowed[21]["code"], &allowed[21]["index"]),
        (&"ValidationException".into(), &"byTime".into())
    );
    assert_eq!(unjudged[0]["action"], "dynamodb:Unknown");
    assert!(lines.iter().all(|line| line["via"] == "service"), "{log}");
    let mut ids: Vec<_> = lines.iter().map(|line| line["request_id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), lines.len());
}

#[test]
fn a_call_over_the_admin_listener_has_its_line_with_the_id_of_its_answer() {
    let files = Files::new();
    let token = files.put("token", "0123456789abcdef");
    let config =
        format!("[admin]\ntoken_file = {token:?}\n[auth]\naudit = \"all\"\n[log]\nformat = \"json\"");
    let mut nearside = start(&files.put("nearside.toml", &config));
    let call = |operation: &str, body: &str| {
        let headers = "Host: localhost\r\nConnection: close\r\nAuthorization: Bearer 0123456789abcdef";
        let head = format!("POST /api/call?operation={operation} HTTP/1.1\r\n{headers}");
        let mut stream = TcpStream::connect(nearside.admin).unwrap();
        write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert!(call("CreateTable", CREATE).starts_with("HTTP/1.1 200"));
    let answer = call("Query", QUERY);
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let id = answer.lines().find_map(|line| line.strip_prefix("x-amzn-requestid: ")).unwrap().to_owned();
    let (lines, log) = audited(&mut nearside);
    assert_eq!(lines.len(), 2, "{log}");
    let line = &lines[1];
    for (field, value) in [
        ("via", "admin"),
        ("action", "dynamodb:Query"),
        ("table", "Kept"),
        ("index", "byTime"),
        ("principal", "-"),
        ("verdict", "allowed"),
        ("code", "ValidationException"),
        ("request_id", &id),
    ] {
        assert_eq!(line[field], value, "{field}: {line}");
    }
    assert!(line["client"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
}

fn unreadable() -> Vec<u8> {
    let text = String::from_utf8(Signer::new("AKIDALL", SECRET).request("ListTables", "{}")).unwrap();
    text.replace("DynamoDB_20120810.ListTables", "NoSuchService.Secret").into_bytes()
}
