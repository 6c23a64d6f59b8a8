//! What the process says of itself, and that nobody waits for who reads it.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::client::{Nearside, command, request, run};
use crate::fake::Fake;

/// Requests until lines are dropped. At level `debug` each has a line of some 200 bytes, and 2 MiB of them may wait.
const REQUESTS_MAX: usize = 100_000;

/// A file with this text.
fn config(directory: &Path, text: &str) -> PathBuf {
    let file = directory.join("nearside.toml");
    std::fs::write(&file, text).unwrap();
    file
}

fn with_config(text: &str) -> (tempfile::TempDir, Command) {
    let directory = tempfile::tempdir().unwrap();
    let program = command(&["--in-memory", "--config", config(directory.path(), text).to_str().unwrap()]);
    (directory, program)
}

/// Makes a pipe with a name.
fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// The words and the whole of each line, all of which must be JSON.
fn json_lines(text: &str) -> Vec<(String, Value)> {
    text.lines()
        .map(|line| {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(line["timestamp"].is_string() && line["level"].is_string(), "{line}");
            (line["fields"]["message"].as_str().unwrap().to_owned(), line)
        })
        .collect()
}

#[test]
fn requests_do_not_wait_for_a_log_that_nobody_reads_and_what_is_dropped_is_counted() {
    let (_directory, mut program) = with_config("[log]\nlevel = \"debug\"\n");
    let (mut nearside, mut log) = Nearside::with_unread_log(&mut program);
    let mut client = nearside.connect();
    let dropped = |nearside: &Nearside| nearside.metric("nearside_log_lines_dropped_total");
    let mut requests = 0;
    while dropped(&nearside) == 0 {
        assert!(requests < REQUESTS_MAX, "nothing is dropped");
        (0..1000).for_each(|_| drop(client.must("ListTables", "{}")));
        requests += 1000;
    }
    assert!(nearside.is_ready());
    let before = dropped(&nearside);
    // Read again, the log goes on, and says what it has lost.
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        log.read_to_string(&mut text).unwrap();
        text
    });
    client.must("ListTables", "{}");
    nearside.terminate();
    assert_eq!(nearside.child.wait().unwrap().code(), Some(0));
    let text = reading.join().unwrap();
    let reported = text.lines().filter_map(|line| line.split(" dropped=").nth(1));
    let reported: u64 = reported.map(|count| count.parse::<u64>().unwrap()).sum();
    assert!(reported >= before, "{reported} of {before}");
    assert!(text.contains("Shutdown ended."));
}

#[test]
fn a_log_that_nobody_reads_does_not_keep_the_process_from_ending() {
    let (_directory, mut program) = with_config("[log]\nlevel = \"debug\"\n");
    let (mut nearside, _log) = Nearside::with_unread_log(&mut program);
    let mut client = nearside.connect();
    // More than a pipe takes.
    (0..1000).for_each(|_| drop(client.must("ListTables", "{}")));
    nearside.terminate();
    assert_eq!(nearside.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_closed_standard_error_ends_nothing() {
    let (_directory, mut program) = with_config("[log]\nlevel = \"debug\"\n");
    let (mut nearside, log) = Nearside::with_unread_log(&mut program);
    drop(log);
    let mut client = nearside.connect();
    (0..10).for_each(|_| drop(client.must("ListTables", "{}")));
    nearside.signal("-HUP");
    client.must("ListTables", "{}");
    nearside.terminate();
    assert_eq!(nearside.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_json_log_is_json_from_the_first_line_to_the_last() {
    let (directory, mut program) = with_config("[log]\nformat = \"json\"\n");
    let mut nearside = Nearside::from_command(program.env("NEARSIDE_REGION", "eu-west-1"));
    let greeting = json_lines(&nearside.greeting).remove(0).1;
    assert_eq!(greeting["fields"]["listen"], format!("http://{}", nearside.address));
    assert_eq!(greeting["fields"]["region"], "eu-west-1");
    nearside.terminate();
    nearside.child.wait().unwrap();
    let log = nearside.log();
    let lines = json_lines(&log);
    let (_, config) =
        lines.iter().find(|(words, _)| words == "Config in use.").expect("a line of the config");
    assert_eq!(config["fields"]["file"], directory.path().join("nearside.toml").to_str().unwrap());
    assert_eq!(config["fields"]["overridden"], "--listen, --admin-listen, NEARSIDE_REGION, --in-memory");
    let words: Vec<_> = lines.iter().map(|(words, _)| words.split([':', '.']).next().unwrap()).collect();
    assert_eq!(words[words.len() - 2..], ["Shutdown begun", "Shutdown ended"]);
}

#[test]
fn a_start_that_fails_says_so_in_json_where_that_is_wanted() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = config(directory.path(), "[log]\nformat = \"json\"\n");
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["--in-memory", "--listen", &address, "--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let lines = json_lines(&String::from_utf8(output.stderr).unwrap());
    assert_eq!(lines.len(), 1);
    assert!(lines[0].0.contains(&address) && lines[0].1["level"] == "ERROR", "{lines:?}");
}

#[test]
fn a_config_with_faults_is_reported_in_json_where_that_is_wanted() {
    let (_directory, mut program) = with_config("[cache]\nitem_ttl = 5\nfill = \"fast\"\n");
    let output = program.env("NEARSIDE_LOG_FORMAT", "json").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let lines = json_lines(&String::from_utf8(output.stderr).unwrap());
    assert!(lines.len() == 2 && lines[0].0.contains("nearside.toml:2: cache.item_ttl"), "{lines:?}");
}

#[test]
fn a_slow_request_has_a_line_with_its_table() {
    let fake = Fake::start();
    let directory = tempfile::tempdir().unwrap();
    let file = config(directory.path(), "[log]\nslow = \"20ms\"\n");
    let mut nearside = Nearside::start(&["--upstream", &fake.url(), "--config", file.to_str().unwrap()]);
    let put = request("PutItem", r#"{"TableName":"Slow","Item":{"id":{"S":"a"}}}"#);
    let clients: Vec<_> = (0..5)
        .map(|_| {
            let (mut client, put) = (nearside.connect(), put.clone());
            std::thread::spawn(move || assert_eq!(client.send(&put).unwrap().0, 200))
        })
        .collect();
    fake.wait_for("PutItem", 5);
    let held = Instant::now();
    while held.elapsed() < Duration::from_millis(40) {
        std::thread::yield_now();
    }
    fake.let_go();
    clients.into_iter().for_each(|client| client.join().unwrap());
    nearside.terminate();
    nearside.child.wait().unwrap();
    let log = nearside.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("op=\"PutItem\" table=\"Slow\"")).collect();
    assert!(lines[0].contains("Slow request.") && lines[0].contains("request_id="), "{log}");
}

#[test]
fn what_is_rejected_has_a_line_with_the_reason() {
    let (_directory, mut program) = with_config("[server]\nrequest_bytes_max = \"1KiB\"\n");
    let mut nearside = Nearside::from_command(&mut program);
    for _ in 0..5 {
        let body = format!("{{\"TableName\":\"{}\"}}", "x".repeat(100_000));
        assert_eq!(nearside.connect().call("Scan", &body).unwrap().0, 413);
    }
    nearside.terminate();
    nearside.child.wait().unwrap();
    let log = nearside.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("Rejected before reading.")).collect();
    assert!(lines[0].contains("reason=\"body_too_large\" count=1"), "{log}");
}

#[test]
fn a_config_from_a_pipe_is_read_once_and_blocks_no_signal() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("nearside.toml");
    make_pipe(&pipe);
    let writing = std::thread::spawn({
        let pipe = pipe.clone();
        move || File::create(pipe).unwrap().write_all(b"[upstream]\nregion = \"eu-north-1\"\n").unwrap()
    });
    let mut nearside = Nearside::start(&["--in-memory", "--config", pipe.to_str().unwrap()]);
    writing.join().unwrap();
    assert!(nearside.greeting.contains("eu-north-1"), "{}", nearside.greeting);
    nearside.signal("-HUP");
    while nearside.metric("nearside_config_reloads_total{outcome=\"refused\"}") == 0 {
        std::thread::yield_now();
    }
    nearside.terminate();
    assert_eq!(nearside.child.wait().unwrap().code(), Some(0));
    assert!(nearside.log().contains("is a pipe, which is read only once"));
}

#[test]
fn a_pipe_without_a_writer_blocks_no_signal_either() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("nearside.toml");
    make_pipe(&pipe);
    let mut program = command(&["--in-memory", "--config", pipe.to_str().unwrap()]);
    let mut child = program.stderr(Stdio::piped()).spawn().unwrap();
    // A writer gets through when the program has opened the pipe, and keeps it from being read to its end.
    let writer = File::create(&pipe).unwrap();
    let ended = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(ended.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(writer);
    let mut said = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_to_string(&mut said).unwrap();
    assert_eq!(said, "");
}
