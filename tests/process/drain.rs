//! The end of a process with requests in flight, in front of an upstream that the test lets go.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use crate::client::{Client, Nearside, request, wait_until};
use crate::fake::Fake;

/// Writes in flight; fewer than an upstream that was never met is asked at one time.
const WRITES: usize = 50;

/// How long a write may take that the upstream does not answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// A nearside in front of the fake that may drain for so long, ready.
fn start(fake: &Fake, drain_timeout: &str) -> Nearside {
    let config = tempfile::NamedTempFile::new().unwrap();
    let text = format!(
        "[server]\ndrain_timeout = \"{drain_timeout}\"\n[upstream]\nwrite_timeout = \"{}s\"\n",
        WRITE_TIMEOUT.as_secs()
    );
    std::fs::write(config.path(), text).unwrap();
    let nearside = Nearside::start(&["--upstream", &fake.url(), "--config", config.path().to_str().unwrap()]);
    wait_until("readiness", || nearside.is_ready());
    nearside
}

fn put(number: usize) -> Vec<u8> {
    request("PutItem", &format!(r#"{{"TableName":"Slow","Item":{{"id":{{"S":"{number}"}}}}}}"#))
}

/// Writes that have reached the upstream, each on a connection of its own.
fn writes_in_flight(nearside: &Nearside, fake: &Fake, writes: usize) -> Vec<TcpStream> {
    let clients = (0..writes).map(|number| {
        let mut client = TcpStream::connect(nearside.address).unwrap();
        client.write_all(&put(number)).unwrap();
        client
    });
    let clients = clients.collect();
    fake.wait_for("PutItem", writes);
    clients
}

/// Whatever comes until the connection ends.
fn rest(mut client: TcpStream) -> String {
    let mut rest = String::new();
    client.read_to_string(&mut rest).ok();
    rest
}

fn is_refused(nearside: &Nearside) -> bool {
    TcpStream::connect(nearside.address).is_err()
}

#[test]
fn writes_in_flight_are_answered_while_nothing_new_is_served() {
    let fake = Fake::start();
    let mut nearside = start(&fake, "120s");
    let idle = TcpStream::connect(nearside.address).unwrap();
    let mut used = nearside.connect();
    used.must("ListTables", "{}");
    let clients = writes_in_flight(&nearside, &fake, WRITES);

    nearside.terminate();
    wait_until("the closing of the port", || is_refused(&nearside));
    assert!(!nearside.is_ready());
    assert_eq!((rest(idle), used.rest()), (String::new(), String::new()), "idle connections are closed");
    assert!(nearside.child.try_wait().unwrap().is_none(), "it waits for the writes");

    fake.let_go();
    for client in clients {
        let answer = rest(client);
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("{}"), "{answer}");
        assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
    }
    assert_eq!(nearside.child.wait().unwrap().code(), Some(0));
    assert!(!nearside.log().contains("Gave up"));
}

/// The last answer on a connection that is used right after a process was asked to end, if it was in time for one.
fn answer_after_the_signal() -> Option<String> {
    let fake = Fake::start();
    let mut nearside = start(&fake, "120s");
    let mut client = TcpStream::connect(nearside.address).unwrap();
    let _write = writes_in_flight(&nearside, &fake, 1);
    nearside.terminate();
    wait_until("the closing of the port", || is_refused(&nearside));
    // The connection may be closed already, on a machine that is busy: it is kept for half a second.
    client.write_all(&request("ListTables", "{}")).ok();
    let answer = rest(client);
    fake.let_go();
    assert_eq!(nearside.child.wait().unwrap().code(), Some(0));
    Some(answer).filter(|answer| !answer.is_empty())
}

#[test]
fn a_connection_that_is_used_once_more_gets_an_answer_that_is_its_last() {
    let answer = (0..20).find_map(|_| answer_after_the_signal()).expect("one of twenty is in time");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("connection: close"), "{answer}");
}

#[test]
fn clients_that_never_pause_are_not_cut_off() {
    for _ in 0..5 {
        let mut nearside = Nearside::start(&["--in-memory"]);
        let (asked, asking) = std::sync::mpsc::channel();
        let ask = |mut client: Client| {
            let asked = asked.clone();
            move || {
                while !client.is_closing {
                    client.must("ListTables", "{}");
                    asked.send(()).ok();
                }
            }
        };
        let clients: Vec<_> = (0..8).map(|_| std::thread::spawn(ask(nearside.connect()))).collect();
        asking.iter().take(100).for_each(drop);
        nearside.terminate();
        for client in clients {
            client.join().expect("every request is answered");
        }
        assert_eq!(nearside.child.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_write_is_carried_through_whose_client_has_left() {
    let fake = Fake::start();
    let mut nearside = start(&fake, "120s");
    let mut clients = writes_in_flight(&nearside, &fake, 2);
    clients.pop().unwrap().shutdown(Shutdown::Both).unwrap();
    // Sent and left at once: the write and the connection's end come together.
    let mut hasty = TcpStream::connect(nearside.address).unwrap();
    hasty.write_all(&put(9)).unwrap();
    drop(hasty);
    nearside.terminate();
    fake.wait_for("PutItem", 3);
    fake.let_go();
    assert!(rest(clients.pop().unwrap()).starts_with("HTTP/1.1 200 OK"));
    assert_eq!(nearside.child.wait().unwrap().code(), Some(0));
    assert_eq!(fake.answered("PutItem"), 3);
}

#[test]
fn a_client_that_says_no_more_still_gets_its_answer() {
    let fake = Fake::start();
    let nearside = start(&fake, "120s");
    let mut client = TcpStream::connect(nearside.address).unwrap();
    client.write_all(&put(1)).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    fake.wait_for("PutItem", 1);
    fake.let_go();
    assert!(rest(client).starts_with("HTTP/1.1 200 OK"));
}

#[test]
fn what_never_ends_is_given_up_in_time_and_counted() {
    let fake = Fake::start();
    let mut nearside = start(&fake, "1s");
    let mut clients = writes_in_flight(&nearside, &fake, WRITES);
    // Of these writes nobody waits for the answer.
    clients.truncate(WRITES - 10);
    let begun = Instant::now();
    nearside.terminate();
    assert_eq!(nearside.child.wait().unwrap().code(), Some(0));
    // It waits no less than it may, and not for the writes, whose own time is a minute.
    let took = begun.elapsed();
    assert!((Duration::from_secs(1)..WRITE_TIMEOUT).contains(&took), "{took:?}");
    assert!(clients.into_iter().map(rest).all(|answer| answer.is_empty()));
    let log = nearside.log();
    let line = log.lines().find(|line| line.contains("Gave up")).unwrap_or_else(|| panic!("{log}"));
    assert!(line.ends_with(&format!("requests={WRITES} connections={WRITES} tasks={WRITES}")), "{line}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let fake = Fake::start();
    let mut nearside = start(&fake, "60s");
    let clients = writes_in_flight(&nearside, &fake, 1);
    nearside.terminate();
    wait_until("the closing of the port", || is_refused(&nearside));
    let begun = Instant::now();
    nearside.terminate();
    assert_eq!(nearside.child.wait().unwrap().code(), Some(1));
    assert!(begun.elapsed() < WRITE_TIMEOUT, "it does not wait for the write");
    assert!(clients.into_iter().map(rest).all(|answer| answer.is_empty()));
}
