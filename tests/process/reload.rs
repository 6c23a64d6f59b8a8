//! A config that changes while requests run.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::client::{Nearside, PATIENCE};

const CREATE: &str = r#"{"TableName":"Kept","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
    "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}"#;
const PUT: &str = r#"{"TableName":"Kept","Item":{"id":{"S":"a"}}}"#;
const GET: &str = r#"{"TableName":"Kept","Key":{"id":{"S":"a"}}}"#;

fn start(file: &Path) -> Nearside {
    let nearside = Nearside::start(&["--in-memory", "--config", file.to_str().unwrap()]);
    let mut client = nearside.connect();
    client.must("CreateTable", CREATE);
    client.must("PutItem", PUT);
    nearside
}

fn wait_for(nearside: &Nearside, name: &str, is_reached: impl Fn(u64) -> bool) {
    let begun = Instant::now();
    while !is_reached(nearside.metric(name)) {
        assert!(begun.elapsed() < PATIENCE, "{name} stays as it is");
        std::thread::yield_now();
    }
}

fn hits(nearside: &Nearside) -> u64 {
    nearside.metric("nearside_cache_hits_total")
}

/// True if the second of two reads is answered from memory.
fn caches(nearside: &Nearside) -> bool {
    let mut client = nearside.connect();
    client.must("GetItem", GET);
    let before = hits(nearside);
    client.must("GetItem", GET);
    hits(nearside) > before
}

#[test]
fn two_hundred_reloads_under_load_fail_no_request_and_keep_the_last_valid_config() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("nearside.toml");
    std::fs::write(&file, "").unwrap();
    let nearside = start(&file);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = nearside.connect();
                while !is_over.load(Ordering::Relaxed) {
                    client.must("PutItem", PUT);
                    client.must("GetItem", GET);
                }
            });
        }
        for round in 0..200 {
            // The last one is refused, and what came before it turned the item cache off.
            let is_bad = round % 5 == 4;
            let text = match is_bad {
                true => "[cache]\nitem_ttl = \"5\"\n",
                false if round % 5 == 3 => "[cache]\nitem_ttl = \"0s\"\nmax_bytes = \"32MiB\"\n",
                false => "[cache]\nitem_ttl = \"1m\"\nmax_bytes = \"64MiB\"\n",
            };
            let outcome = if is_bad { "refused" } else { "applied" };
            let name = format!("nearside_config_reloads_total{{outcome=\"{outcome}\"}}");
            // The file is also looked at every second, so one change may be taken over twice.
            let before = nearside.metric(&name);
            let next = directory.path().join("next");
            std::fs::write(&next, text).unwrap();
            std::fs::rename(&next, &file).unwrap();
            nearside.signal("-HUP");
            wait_for(&nearside, &name, |count| count > before);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    wait_for(&nearside, "nearside_config_last_reload_success", |success| success == 0);
    assert!(!caches(&nearside));
}

#[test]
fn a_swapped_link_is_noticed_and_turns_off_what_is_stored() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for (version, ttl) in [("1", "5m"), ("2", "0s")] {
        std::fs::create_dir(path(version)).unwrap();
        std::fs::write(path(version).join("nearside.toml"), format!("[cache]\nitem_ttl = \"{ttl}\"\n"))
            .unwrap();
    }
    std::os::unix::fs::symlink("1", path("..data")).unwrap();
    std::os::unix::fs::symlink("..data/nearside.toml", path("nearside.toml")).unwrap();
    let nearside = start(&path("nearside.toml"));
    assert!(caches(&nearside));
    std::os::unix::fs::symlink("2", path("..next")).unwrap();
    std::fs::rename(path("..next"), path("..data")).unwrap();
    wait_for(&nearside, "nearside_config_reloads_total{outcome=\"applied\"}", |count| count == 1);
    assert!(!caches(&nearside));
}
