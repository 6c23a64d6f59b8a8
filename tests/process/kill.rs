//! `kill -9` in a write loop: every acknowledged write is there, nothing is torn, no transaction is half there or happens
//! twice, the stream tells what happened and nothing else, and the restart is quick.
//!
//! `NEARSIDE_KILL_LOOPS` sets the number of kills (10 without it), `NEARSIDE_SEED` replays one run's choices.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::client::{Client, Nearside, run};
use crate::follower::Follower;

const WRITERS: u64 = 4;

/// For each key the last counter that was acknowledged, and the last that was sent.
type Counters = Arc<Mutex<HashMap<String, (u64, u64)>>>;

/// The two items that each writer's transactions add to together.
const PAIR: [&str; 2] = ["left", "right"];

#[test]
fn every_acknowledged_write_survives_a_kill() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed: u64 = number("NEARSIDE_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("replay the choices of this run with NEARSIDE_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let directory = tempfile::tempdir().unwrap();
    let counters = Counters::default();
    create_table(&mut Nearside::on_disk(directory.path()).connect());
    let mut slowest = Duration::ZERO;
    let mut follower = Follower::default();
    for round in 0..number("NEARSIDE_KILL_LOOPS").unwrap_or(10) {
        write_until_killed(
            Nearside::on_disk(directory.path()),
            &counters,
            random.u64(1..400),
            random.u64(..),
        );
        verify_directory(directory.path(), round);
        let restarted = Nearside::on_disk(directory.path());
        slowest = slowest.max(restarted.start);
        follower.follow(&mut restarted.connect(), "Kill");
        verify(&mut restarted.connect(), &counters, &follower, round);
        verify_pairs(&mut restarted.connect(), &counters, &follower, round);
    }
    println!("slowest restart: {slowest:?}");
}

/// What a kill leaves on the disk agrees before anything was started on it.
fn verify_directory(directory: &Path, round: u64) {
    let verified = run(&["local", "verify", directory.to_str().unwrap()]);
    let report = String::from_utf8_lossy(&verified.stdout);
    assert_eq!(verified.status.code(), Some(0), "round {round}: {report}");
}

fn create_table(client: &mut Client) {
    client.must(
        "CreateTable",
        r#"{"TableName":"Kill","BillingMode":"PAY_PER_REQUEST",
            "AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"},{"AttributeName":"parity","AttributeType":"S"}],
            "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
            "GlobalSecondaryIndexes":[{"IndexName":"byParity","KeySchema":[{"AttributeName":"parity","KeyType":"HASH"}],
                "Projection":{"ProjectionType":"ALL"}}],
            "StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_IMAGE"}}"#,
    );
}

/// Lets the writers write until that many writes were acknowledged, and kills the process in the middle of the others.
fn write_until_killed(nearside: Nearside, counters: &Counters, kill_after: u64, seed: u64) {
    let acknowledged = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let mut client = nearside.connect();
            let (counters, acknowledged) = (Arc::clone(counters), Arc::clone(&acknowledged));
            std::thread::spawn(move || {
                let mut random = fastrand::Rng::with_seed(seed ^ writer);
                // Each writer has keys of its own, so that the last acknowledged counter is the least that must be found.
                loop {
                    let lives = match random.u8(0..4) {
                        0 => transact_once(&mut client, &counters, writer),
                        _ => {
                            let id = format!("{writer}-{}", random.u8(0..5));
                            write_once(&mut client, &counters, &id, &mut random)
                        }
                    };
                    if !lives {
                        break;
                    }
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    while acknowledged.load(Ordering::Relaxed) < kill_after {
        std::thread::yield_now();
    }
    drop(nearside);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
}

fn next_counter(counters: &Counters, id: &str) -> u64 {
    let mut counters = counters.lock().unwrap();
    let (_, sent) = counters.entry(id.to_owned()).or_default();
    *sent += 1;
    *sent
}

fn parity(counter: u64) -> &'static str {
    if counter.is_multiple_of(2) { "even" } else { "odd" }
}

/// What the counter of a writer's pair is known by.
fn pair_name(writer: u64) -> String {
    format!("pair {writer}")
}

/// The transaction that adds one to both items of a writer's pair, under a token of its own.
fn transaction(writer: u64, counter: u64) -> String {
    let updates = PAIR.map(|side| {
        format!(
            r#"{{"Update":{{"TableName":"Kill","Key":{{"id":{{"S":"{side} {writer}"}}}},"UpdateExpression":"ADD n :one SET parity = :p",
                "ExpressionAttributeValues":{{":one":{{"N":"1"}},":p":{{"S":"{}"}}}}}}}}"#,
            parity(counter)
        )
    });
    format!(
        r#"{{"ClientRequestToken":"{writer}-{counter}","TransactItems":[{},
            {{"ConditionCheck":{{"TableName":"Kill","Key":{{"id":{{"S":"never"}}}},"ConditionExpression":"attribute_not_exists(id)"}}}}]}}"#,
        updates.join(",")
    )
}

/// Sends the next transaction on a writer's pair; false when the server is gone.
fn transact_once(client: &mut Client, counters: &Counters, writer: u64) -> bool {
    let name = pair_name(writer);
    let next = next_counter(counters, &name);
    match client.call("TransactWriteItems", &transaction(writer, next)) {
        Some((200, _)) => {
            counters.lock().unwrap().entry(name).or_default().0 = next;
            true
        }
        Some((status, answer)) => panic!("TransactWriteItems: {status} {answer}"),
        None => false,
    }
}

/// Sends one write with the key's next counter; false when the server is gone.
fn write_once(client: &mut Client, counters: &Counters, id: &str, random: &mut fastrand::Rng) -> bool {
    let next = next_counter(counters, id);
    let parity = parity(next);
    let filler = "x".repeat(random.usize(0..2000));
    let (operation, body) = match random.u8(0..3) {
        0 => (
            "UpdateItem",
            format!(
                r#"{{"TableName":"Kill","Key":{{"id":{{"S":"{id}"}}}},"UpdateExpression":"SET n = :n, twice = :n, parity = :p",
                    "ExpressionAttributeValues":{{":n":{{"N":"{next}"}},":p":{{"S":"{parity}"}}}}}}"#
            ),
        ),
        1 => ("BatchWriteItem", {
            let item = item(id, next, parity, &filler);
            format!(r#"{{"RequestItems":{{"Kill":[{{"PutRequest":{{"Item":{item}}}}}]}}}}"#)
        }),
        _ => ("PutItem", format!(r#"{{"TableName":"Kill","Item":{}}}"#, item(id, next, parity, &filler))),
    };
    match client.call(operation, &body) {
        Some((200, _)) => {
            counters.lock().unwrap().entry(id.to_owned()).or_default().0 = next;
            true
        }
        Some((status, answer)) => panic!("{operation}: {status} {answer}"),
        None => false,
    }
}

fn item(id: &str, n: u64, parity: &str, filler: &str) -> String {
    format!(
        r#"{{"id":{{"S":"{id}"}},"n":{{"N":"{n}"}},"twice":{{"N":"{n}"}},"parity":{{"S":"{parity}"}},"filler":{{"S":"{filler}"}}}}"#
    )
}

/// Every key holds a counter from the last acknowledged to the last sent, whole, and the index and the stream
/// say the same.
fn verify(client: &mut Client, counters: &Counters, follower: &Follower, round: u64) {
    let mut counters = counters.lock().unwrap();
    for (id, (acknowledged, sent)) in counters.iter_mut().filter(|(id, _)| !id.starts_with("pair")) {
        let answer = client.must(
            "GetItem",
            &format!(r#"{{"TableName":"Kill","Key":{{"id":{{"S":"{id}"}}}},"ConsistentRead":true}}"#),
        );
        let found = number(&answer, "n").unwrap_or(0);
        assert!(
            found >= *acknowledged && found <= *sent,
            "round {round}, {id}: {found} not in {acknowledged}..={sent}"
        );
        assert_eq!(
            number(&answer, "twice").unwrap_or(0),
            found,
            "round {round}, {id}: a torn item: {answer}"
        );
        assert_eq!(follower.counter(id), found, "round {round}, {id}: the stream does not agree");
        *acknowledged = found;
        if found == 0 {
            continue;
        }
        verify_indexed(client, id, found, round);
    }
}

/// Both items of a pair hold the same counter, from the last acknowledged to the last sent. The last transaction, sent once
/// more, has happened once then, whether or not it had happened before the kill.
fn verify_pairs(client: &mut Client, counters: &Counters, follower: &Follower, round: u64) {
    let mut counters = counters.lock().unwrap();
    for writer in 0..WRITERS {
        let Some((acknowledged, sent)) = counters.get_mut(&pair_name(writer)) else { continue };
        let found = read_pair(client, writer, round);
        for side in PAIR {
            let told = follower.counter(&format!("{side} {writer}"));
            assert_eq!(told, found, "round {round}, {side} {writer}: the stream does not agree");
        }
        assert!(
            found >= *acknowledged && found <= *sent,
            "round {round}, pair {writer}: {found} not in {acknowledged}..={sent}"
        );
        client.must("TransactWriteItems", &transaction(writer, *sent));
        assert_eq!(read_pair(client, writer, round), *sent, "round {round}, pair {writer}: not once");
        *acknowledged = *sent;
        for side in PAIR {
            verify_indexed(client, &format!("{side} {writer}"), *sent, round);
        }
    }
}

/// The counter of a pair, in one transaction.
fn read_pair(client: &mut Client, writer: u64, round: u64) -> u64 {
    let gets = PAIR
        .map(|side| format!(r#"{{"Get":{{"TableName":"Kill","Key":{{"id":{{"S":"{side} {writer}"}}}}}}}}"#));
    let answer = client.must("TransactGetItems", &format!(r#"{{"TransactItems":[{}]}}"#, gets.join(",")));
    let (left, right) = answer.split_once("right").unwrap_or((&answer, ""));
    let both = [left, right].map(|half| number(half, "n").unwrap_or(0));
    assert_eq!(both[0], both[1], "round {round}, pair {writer}: half a transaction: {answer}");
    both[0]
}

/// The index has the item with this counter.
fn verify_indexed(client: &mut Client, id: &str, counter: u64, round: u64) {
    let query = format!(
        r#"{{"TableName":"Kill","IndexName":"byParity","KeyConditionExpression":"parity = :p","FilterExpression":"id = :id AND n = :n",
            "ExpressionAttributeValues":{{":p":{{"S":"{}"}},":id":{{"S":"{id}"}},":n":{{"N":"{counter}"}}}},"Select":"COUNT"}}"#,
        parity(counter)
    );
    let answer = client.must("Query", &query);
    assert!(answer.contains(r#""Count":1"#), "round {round}, {id}: the index does not agree: {answer}");
}

/// The number attribute of that name in an answer.
fn number(answer: &str, name: &str) -> Option<u64> {
    let rest = answer.split(&format!("\"{name}\":{{\"N\":\"")).nth(1)?;
    rest.split('"').next()?.parse().ok()
}
