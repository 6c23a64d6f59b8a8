//! The commands that ask a running node, and the admin API behind them.

use std::io::Read;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::callers::Files;
use crate::client::{Nearside, command, program, run, sealed, wait_until};

const TOKEN: &str = "0123456789abcdef-of-commands";
const TABLE: &str = r#"{"TableName":"Orders","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}],"KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}]}"#;

/// A node with a token and a table, and what a person types for it.
struct Desk {
    nearside: Nearside,
    files: Files,
    token: PathBuf,
}

impl Desk {
    fn new(more: &str) -> Self {
        let files = Files::new();
        let token = files.put("token", TOKEN);
        let config = files.put("nearside.toml", &format!("[admin]\ntoken_file = {token:?}\n{more}"));
        let nearside = Nearside::start(&["--in-memory", "--config", config.to_str().unwrap()]);
        nearside.connect().must("CreateTable", TABLE);
        Self { nearside, files, token }
    }

    fn put(&self, key: &str) {
        let item = format!(
            r#"{{"TableName":"Orders","Item":{{"pk":{{"S":"{key}"}},"v":{{"S":"{}"}}}}}}"#,
            "x".repeat(1000)
        );
        self.nearside.connect().must("PutItem", &item);
    }

    fn get(&self, key: &str) {
        let key = format!(r#"{{"TableName":"Orders","Key":{{"pk":{{"S":"{key}"}}}}}}"#);
        self.nearside.connect().must("GetItem", &key);
    }

    fn hits(&self) -> u64 {
        self.nearside.metric("nearside_cache_hits_total")
    }

    /// A command that is told where the node is, and its token.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = sealed(program());
        command.args(arguments).args(["--admin", &self.nearside.admin.to_string()]);
        command.arg("--admin-token-file").arg(&self.token);
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// What a command says that succeeds.
    fn say(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8(output.stdout.clone()).unwrap();
        assert!(output.status.success(), "{arguments:?}: {said} {}", error_of(&output));
        said
    }

    /// A request to the API: the status line and the body.
    fn post(&self, path: &str, headers: &str, body: &str) -> (u16, String) {
        let bytes = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        crate::client::Client::to(self.nearside.admin).unwrap().send(bytes.as_bytes()).unwrap()
    }
}

fn error_of(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn bearer() -> String {
    format!("Authorization: Bearer {TOKEN}\r\n")
}

/// A command fails with that code, and one line that has these words.
fn assert_fails(output: &Output, code: i32, words: &str) {
    let said = error_of(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(words) && said.lines().count() == 1, "{words}: {said}");
}

#[test]
fn figures_are_shown_as_text_and_as_json_and_to_a_pipe_once() {
    let desk = Desk::new("");
    desk.put("a");
    (0..3).for_each(|_| desk.get("a"));
    let text = desk.say(&["stats"]);
    assert!(
        text.contains("local backend") && text.contains("hit ratio 100.0 %") && text.contains("\nOrders "),
        "{text}"
    );
    let json: serde_json::Value = serde_json::from_str(&desk.say(&["stats", "--json"])).unwrap();
    assert_eq!(json["requests"]["by_source"]["hit"], 3);
    assert_eq!(json["node"]["upstream_kind"], "local");
    assert_eq!(json["tables"][0]["table"], "Orders");
    assert_eq!(json["tables"][0]["items"]["hits"], 3);
    assert_eq!(json["tables"][0]["policy"]["item_ttl"], "5m");
    assert!(!json.to_string().contains(TOKEN));
    let top = desk.say(&["top", "--interval", "0.1"]);
    assert!(top.contains("requests") && !top.contains('\x1b'), "{top}");
    // Everything may be written as a URL, and the token may be in the environment.
    let mut other = sealed(program());
    other
        .args(["stats", "--admin", &format!("http://{}/", desk.nearside.admin)])
        .env("NEARSIDE_ADMIN_TOKEN", TOKEN);
    assert!(other.output().unwrap().status.success());
    // Or both are found as the node finds them.
    let mut configured = sealed(program());
    configured.args(["stats", "--config"]).arg(desk.files.path("nearside.toml"));
    configured.env("NEARSIDE_ADMIN_LISTEN", desk.nearside.admin.to_string());
    assert!(configured.output().unwrap().status.success());
}

#[test]
fn a_flush_makes_the_next_read_a_miss() {
    let desk = Desk::new("");
    for key in ["a", "b"] {
        desk.put(key);
    }
    let is_hit = |key: &str| {
        let before = desk.hits();
        desk.get(key);
        desk.hits() > before
    };
    assert!(is_hit("a") && is_hit("b"));
    assert_eq!(desk.say(&["flush", "Orders", r#"{"pk":{"S":"a"}}"#]), "flushed one item of Orders\n");
    assert!(!is_hit("a") && is_hit("a") && is_hit("b"));
    assert_eq!(desk.say(&["flush", "Orders"]), "flushed table Orders\n");
    assert!(!is_hit("a") && !is_hit("b") && is_hit("b"));
    assert_eq!(desk.say(&["flush"]), "flushed everything\n");
    assert!(!is_hit("b"));
    assert_fails(&desk.run(&["flush", "Nowhere"]), 1, "There is no table Nowhere");
    assert_fails(
        &desk.run(&["flush", "Or ders"]),
        1,
        "write 3 to 255 characters of a-z, A-Z, 0-9, _, - and .",
    );
    assert_fails(
        &desk.run(&["flush", "Orders", r#"{"id":{"S":"a"}}"#]),
        1,
        "The key must have exactly pk (S)",
    );
    assert_fails(&desk.run(&["flush", "Orders", "a"]), 2, "the key is no DynamoDB JSON");
}

#[test]
fn an_arn_of_another_place_names_no_table_and_a_table_has_one_warm_up_by_whatever_name() {
    let desk = Desk::new("");
    (0..30).for_each(|number| desk.put(&number.to_string()));
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/Orders";
    desk.get("1");
    for foreign in [
        "arn:aws:dynamodb:us-east-1:123456789012:table/Orders",
        "arn:aws:dynamodb:eu-west-1:000000000000:table/Orders",
        "arn:aws:dynamodb:us-east-1:000000000000:table/Nowhere",
    ] {
        let words = format!("There is no table {foreign} behind this node");
        assert_fails(&desk.run(&["flush", foreign]), 1, &words);
        assert_fails(&desk.run(&["flush", foreign, r#"{"pk":{"S":"1"}}"#]), 1, &words);
        assert_fails(&desk.run(&["warm", foreign]), 1, &words);
    }
    let before = desk.hits();
    desk.get("1");
    assert_eq!(desk.hits(), before + 1, "nothing was dropped");
    assert_eq!(desk.say(&["flush", arn]), format!("flushed table {arn}\n"));
    desk.get("1");
    assert_eq!(desk.hits(), before + 1);
    // A read unit a second: it runs until it is stopped.
    let begin =
        |table: &str| desk.post("/api/warm", &bearer(), &format!(r#"{{"table":"{table}","rate":1}}"#));
    assert_eq!(begin("Orders").0, 202);
    let (status, said) = begin(arn);
    assert!(status == 409 && said.contains("A warm-up of Orders runs already"), "{status} {said}");
    assert_fails(&desk.run(&["warm", arn]), 1, "A warm-up of Orders runs already");
    let (status, said) = desk.post("/api/warm/stop", &bearer(), &format!(r#"{{"table":"{arn}"}}"#));
    assert!(status == 200 && said.contains(r#""state":"stopped""#), "{status} {said}");
    // The same job goes on under the other name.
    let said = desk.say(&["warm", arn, "--rate", "1000"]);
    assert!(said.starts_with("Orders: 30 items read"), "{said}");
    let jobs = desk.nearside.get_with("/api/warm", &bearer());
    assert_eq!(jobs.matches(r#""state":"#).count(), 1, "{jobs}");
}

#[test]
fn a_warmed_table_answers_hits_and_says_why_one_cannot_be_warmed() {
    let desk = Desk::new("[tables.Off]\nitem_ttl = \"0s\"\n");
    (0..30).for_each(|number| desk.put(&number.to_string()));
    desk.nearside.connect().must("CreateTable", &TABLE.replace("Orders", "Off"));
    desk.say(&["flush"]);
    let said = desk.say(&["warm", "Orders", "--segments", "3", "--rate", "1000"]);
    assert_eq!(said.lines().count(), 1);
    assert!(said.starts_with("Orders: 30 items read, 30 of them are cached, for "), "{said}");
    let before = desk.hits();
    (0..30).for_each(|number| desk.get(&number.to_string()));
    assert_eq!(desk.hits() - before, 30);
    assert_fails(&desk.run(&["warm", "Nowhere"]), 1, "There is no table Nowhere");
    assert_fails(&desk.run(&["warm", "a b"]), 1, "write 3 to 255 characters of a-z, A-Z, 0-9, _, - and .");
    assert_fails(&desk.run(&["warm", "Off"]), 1, "mode must be \"on\", and item_ttl more than 0");
    assert_eq!(desk.run(&["warm", "Orders", "--rate", "0"]).status.code(), Some(2));
    let jobs = desk.nearside.get_with("/api/warm", &bearer());
    assert!(jobs.contains(r#""state":"done""#) && jobs.contains(r#""segments_done":3"#), "{jobs}");
}

#[test]
fn ctrl_c_stops_a_warm_up_on_the_node_and_the_next_one_goes_on() {
    let desk = Desk::new("");
    (0..60).for_each(|number| desk.put(&number.to_string()));
    desk.say(&["flush"]);
    // A page costs a quarter of a unit at least, so this takes a minute.
    let mut slow = desk.command(&["warm", "Orders", "--segments", "1", "--rate", "1"]);
    let mut warming = slow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let jobs = || desk.nearside.get_with("/api/warm", &bearer());
    wait_until("the first page", || {
        jobs().contains(r#""state":"running""#) && !jobs().contains(r#""items":0,"#)
    });
    let (status, refused) = desk.post("/api/warm", &bearer(), r#"{"table":"Orders"}"#);
    assert!(status == 409 && refused.contains("runs already"), "{refused}");
    let sent = Command::new("kill").args(["-INT", &warming.id().to_string()]).status();
    assert!(sent.unwrap().success());
    assert_eq!(warming.wait().unwrap().code(), Some(1));
    let mut said = String::new();
    warming.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(said.contains("to go on where it stopped: nearside warm Orders"), "{said}");
    let stopped = jobs();
    assert!(stopped.contains(r#""state":"stopped""#) && !stopped.contains(r#""items":60,"#), "{stopped}");
    let other = desk.run(&["warm", "Orders", "--segments", "2"]);
    assert_fails(&other, 1, "has 1 segments, and goes on with as many");
    let said = desk.say(&["warm", "Orders", "--rate", "1000"]);
    // What was read before counts, and is not read again.
    assert!(said.starts_with("Orders: 60 items read, 60 of them are cached"), "{said}");
}

#[test]
fn a_warm_up_ends_when_its_table_is_flushed_or_the_cache_is_full() {
    let desk = Desk::new("[cache]\nmax_bytes = \"4MiB\"\n");
    (0..60).for_each(|number| desk.put(&number.to_string()));
    let mut slow = desk.command(&["warm", "Orders", "--segments", "1", "--rate", "1"]);
    let warming = slow.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let jobs = || desk.nearside.get_with("/api/warm", &bearer());
    wait_until("the first page", || {
        jobs().contains(r#""state":"running""#) && !jobs().contains(r#""items":0,"#)
    });
    desk.say(&["flush"]);
    assert_fails(&warming.wait_with_output().unwrap(), 1, "The cache has dropped the table");
    // The next one begins at the beginning.
    let said = desk.say(&["warm", "Orders", "--segments", "2", "--rate", "1000"]);
    assert!(said.starts_with("Orders: 60 items read, 60 of them are cached"), "{said}");
    (60..6_000).for_each(|number| desk.put(&number.to_string()));
    let full = desk.run(&["warm", "Orders", "--restart", "--rate", "100000"]);
    assert_fails(&full, 1, "The cache is full");
}

#[test]
fn a_command_says_what_to_do_about_the_token_and_the_address() {
    let desk = Desk::new("");
    let admin = desk.nearside.admin.to_string();
    let bare = |arguments: &[&str]| run(&[arguments, &["--admin", &admin]].concat());
    assert_fails(
        &bare(&["stats"]),
        1,
        "wants its admin token: give --admin-token-file FILE, or set NEARSIDE_ADMIN_TOKEN",
    );
    let wrong = desk.files.put("wrong", "fedcba9876543210");
    let with_wrong = bare(&["flush", "--admin-token-file", wrong.to_str().unwrap()]);
    assert_fails(&with_wrong, 1, "does not take the admin token of ");
    let missing = bare(&["stats", "--admin-token-file", "/nowhere/token"]);
    assert_fails(&missing, 2, "cannot read the admin token file /nowhere/token");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    assert_fails(&run(&["stats", "--admin", &free]), 1, "is the node running? --admin names another one");
    let https = run(&["stats", "--admin", "https://127.0.0.1:8100"]);
    assert_eq!(https.status.code(), Some(2));
    assert!(error_of(&https).contains("admin listeners speak plain HTTP"));
    // What answers there is no admin listener.
    let clients = desk.nearside.address.to_string();
    assert_fails(&run(&["stats", "--admin", &clients]), 1, "has no api/stats: is it the admin listener");
    // A node without a token does nothing for anybody.
    let open = Nearside::from_command(&mut command(&["--in-memory"]));
    let open_admin = open.admin.to_string();
    assert!(run(&["stats", "--admin", &open_admin]).status.success());
    assert_fails(&run(&["flush", "--admin", &open_admin]), 1, "the node has none: write token_file");
}

#[test]
fn a_reload_over_the_api_says_what_came_of_it() {
    let desk = Desk::new("");
    let config = desk.files.path("nearside.toml");
    let before = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, format!("{before}\n[cache]\nitem_ttl = \"7s\"\n[server]\nmax_connections = 9\n"))
        .unwrap();
    let (status, said) = desk.post("/api/reload", &bearer(), "");
    assert_eq!(
        (status, said.as_str()),
        (200, "{\"needs_restart\":[\"server.max_connections\"],\"reloaded\":true}\n")
    );
    let keys = desk.nearside.get_with("/api/config", &bearer());
    assert!(
        keys.contains(r#"{"from":"file","key":"item_ttl","live":true,"section":"cache","value":"7s"}"#),
        "{keys}"
    );
    assert!(
        keys.contains(
            r#"{"from":"default","key":"max_connections","live":false,"section":"server","value":10000}"#
        ),
        "{keys}"
    );
    assert!(
        keys.contains(r#"{"from":"flag","key":"in_memory","live":false,"section":"local","value":true}"#),
        "{keys}"
    );
    std::fs::write(&config, format!("{before}\n[cache]\nitem_tll = \"7s\"\n")).unwrap();
    let (status, said) = desk.post("/api/reload", &bearer(), "");
    assert!(status == 400 && said.contains("item_tll") && said.contains("the old one stays"), "{said}");
    wait_until("the line of the log", || {
        desk.nearside.get_with("/api/warnings", &bearer()).contains("item_tll")
    });
}

#[test]
fn a_call_goes_through_the_cache_like_any_clients() {
    let desk = Desk::new("");
    desk.put("a");
    desk.get("a");
    let call =
        |operation: &str, body: &str| desk.post(&format!("/api/call?operation={operation}"), &bearer(), body);
    let (status, listed) = call("ListTables", "{}");
    assert_eq!((status, listed.as_str()), (200, r#"{"TableNames":["Orders"]}"#));
    let update = r#"{"TableName":"Orders","Key":{"pk":{"S":"a"}},"UpdateExpression":"SET v = :v","ExpressionAttributeValues":{":v":{"S":"new"}}}"#;
    assert_eq!(call("UpdateItem", update).0, 200);
    let read = desk.nearside.connect().must("GetItem", r#"{"TableName":"Orders","Key":{"pk":{"S":"a"}}}"#);
    assert!(read.contains("\"new\""), "{read}");
    let (status, refused) = call("GetItem", r#"{"TableName":"Nowhere","Key":{"pk":{"S":"a"}}}"#);
    assert!(status == 400 && refused.contains("ResourceNotFoundException"), "{refused}");
    assert_eq!(desk.post("/api/call?operation=ListTables", "", "{}").0, 401);
    // It counts as any client's, and apart.
    for (series, count) in [
        (r#"nearside_requests_total{op="UpdateItem",source="write",table="Orders"}"#, 1),
        (r#"nearside_errors_total{code="ResourceNotFoundException",op="GetItem"}"#, 1),
        (r#"nearside_admin_calls_total{op="GetItem"}"#, 1),
        (r#"nearside_admin_calls_total{op="ListTables"}"#, 1),
    ] {
        assert_eq!(desk.nearside.metric(series), count, "{series}");
    }
}

#[test]
fn completions_and_manual_pages_come_from_the_same_definitions() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let output = run(&["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("admin-token-file"), "{shell}");
    }
    let page = |arguments: &[&str]| String::from_utf8(run(arguments).stdout).unwrap();
    assert!(page(&["man"]).contains("nearside") && page(&["man", "warm"]).contains("RCU/s"));
    assert_fails(&run(&["man", "cook"]), 2, "there is no such command");
}

#[test]
fn a_command_that_cannot_write_fails_and_one_whose_reader_leaves_does_not() {
    let desk = Desk::new("");
    desk.put("a");
    desk.get("a");
    let config = desk.files.path("nearside.toml");
    let data = desk.files.path("data");
    let full = || std::fs::File::options().write(true).open("/dev/full").unwrap();
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    for arguments in [
        &["stats"][..],
        &["stats", "--json"],
        &["hot"],
        &["hot", "--json"],
        &["top", "--interval", "0.1"],
        &["flush"],
        &["warm", "Orders"],
    ] {
        let output = desk.command(arguments).stdout(full()).output().unwrap();
        assert_fails(&output, 1, "cannot write to the standard output: No space left on device");
        let output = desk.command(arguments).stdout(closed()).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {}", error_of(&output));
    }
    drop(Nearside::start(&["--data-dir", data.to_str().unwrap()]));
    for (arguments, code) in [
        (&["check", config.to_str().unwrap()][..], 1),
        (&["completions", "bash"], 1),
        (&["man"], 1),
        (&["--version"], 1),
        (&["--help"], 1),
        (&["local", "verify", data.to_str().unwrap()], 2),
    ] {
        let run = |output: Stdio| sealed(program()).args(arguments).stdout(output).output().unwrap();
        assert_fails(
            &run(full().into()),
            code,
            "cannot write to the standard output: No space left on device",
        );
        let output = run(closed().into());
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {}", error_of(&output));
    }
}

#[test]
fn characters_that_a_terminal_obeys_are_shown_as_escapes() {
    let desk = Desk::new("");
    let key = "a\u{202e}b\u{1b}[2J\u{200b}\u{9b}c";
    desk.put(&key.replace('\u{1b}', "\\u001b"));
    desk.get(&key.replace('\u{1b}', "\\u001b"));
    let shown = "a\\u202eb\\u001b[2J\\u200b\\u009bc";
    let hot = desk.say(&["hot"]);
    assert!(hot.contains(shown), "{hot}");
    let json = desk.say(&["hot", "--json"]);
    for said in [&hot, &json] {
        assert!(
            said.lines().all(|line| line.chars().all(|shown| !shown.is_control() && shown < '\u{2000}')),
            "{said}"
        );
    }
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["items"][0]["key"]["pk"]["S"], key);
    // So do errors that repeat names.
    let foreign = "arn:aws:dynamodb:\u{202e}:1:table/Orders";
    assert_fails(
        &desk.run(&["flush", foreign]),
        1,
        "There is no table arn:aws:dynamodb:\\u202e:1:table/Orders",
    );
}
