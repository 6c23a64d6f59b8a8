//! What a put pays for its table's stream, and whether it pays more as the stream grows; in memory and on disk, in one run.
//!
//! `cargo bench --bench streams`. Three tables take puts of the same items: one without a stream, one whose stream is new, and
//! one whose stream has many records. Windows of puts alternate between them and every figure is the median over the
//! rounds, so that another process that takes the processor for a while spoils one round and not the result.

use std::time::{Duration, Instant};

use nearside::call::{Request, Upstream};
use nearside::local::{Durability, Local, Settings};
use nearside::model::Operation;

const ROUNDS: usize = 15;
const WINDOW: usize = 1000;
const ITEMS: usize = 500;
const OLD_RECORDS: [usize; 2] = [12_000, 80_000];

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be built").block_on(run());
}

async fn run() {
    println!(
        "{ROUNDS} rounds of {WINDOW} puts, one after the other, {ITEMS} items of 300 bytes, both images"
    );
    println!(
        "{:<28} {:>11} {:>11} {:>11} {:>9}",
        "µs per put", "no stream", "new stream", "old stream", "old/new"
    );
    for records in OLD_RECORDS {
        measure("memory", records, &Local::in_memory(Settings::default())).await;
        let directory = tempfile::tempdir().expect("a directory can be made");
        let local = Local::open(directory.path(), Durability::Process, Settings::default());
        let local = local.expect("an empty directory can be opened");
        measure("disk, process", records, &local).await;
        local.close().await;
    }
}

async fn measure(name: &str, records: usize, local: &Local) {
    make(local, "plain", false).await;
    make(local, "old", true).await;
    puts(local, "plain", ITEMS).await;
    puts(local, "old", records).await;
    let mut rounds: Vec<[f64; 4]> = Vec::with_capacity(ROUNDS);
    for round in 0..ROUNDS {
        let fresh = format!("fresh{round}");
        make(local, &fresh, true).await;
        puts(local, &fresh, ITEMS).await;
        let plain = puts(local, "plain", WINDOW).await;
        let new = puts(local, &fresh, WINDOW).await;
        let old = puts(local, "old", WINDOW).await;
        let again = puts(local, &fresh, WINDOW).await;
        let micros = |duration: Duration| duration.as_secs_f64() * 1e6 / WINDOW as f64;
        let new = (micros(new) + micros(again)) / 2.0;
        rounds.push([micros(plain), new, micros(old), micros(old) / new]);
        call(local, Operation::DeleteTable, format!(r#"{{"TableName":"{fresh}"}}"#)).await;
    }
    let median = |column: usize| {
        let mut values: Vec<f64> = rounds.iter().map(|round| round[column]).collect();
        values.sort_by(f64::total_cmp);
        values[ROUNDS / 2]
    };
    println!(
        "{:<28} {:>11.1} {:>11.1} {:>11.1} {:>9.3}",
        format!("{name}, {records} records"),
        median(0),
        median(1),
        median(2),
        median(3)
    );
}

async fn make(local: &Local, name: &str, has_stream: bool) {
    let stream = if has_stream {
        r#","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}"#
    } else {
        ""
    };
    let table = format!(
        r#"{{"TableName":"{name}","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{{"AttributeName":"id","AttributeType":"S"}}],
            "KeySchema":[{{"AttributeName":"id","KeyType":"HASH"}}]{stream}}}"#
    );
    call(local, Operation::CreateTable, table).await;
}

/// Puts so many items, one after the other, each different from what was there.
async fn puts(local: &Local, table: &str, count: usize) -> Duration {
    let filling = "x".repeat(260);
    let requests: Vec<String> = (0..count)
        .map(|n| {
            let (id, version) = (n % ITEMS, fastrand::u64(..));
            format!(
                r#"{{"TableName":"{table}","Item":{{"id":{{"S":"{id}"}},"v":{{"N":"{version}"}},"f":{{"S":"{filling}"}}}}}}"#
            )
        })
        .collect();
    let began = Instant::now();
    for request in requests {
        call(local, Operation::PutItem, request).await;
    }
    began.elapsed()
}

async fn call(local: &Local, operation: Operation, body: String) {
    let answer = local.call(&Request::new(operation, body)).await.expect("the store does not break");
    assert!(answer.is_success(), "{operation}: {:?}", answer.body);
}
