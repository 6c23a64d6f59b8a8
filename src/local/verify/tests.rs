//! Stores damaged on purpose, in each way that is looked for.

use serde_json::json;

use super::*;
use crate::call::{Request, Upstream};
use crate::local::store::{Durability, Writes};
use crate::local::tests::backend::Backend;
use crate::local::{Local, Settings};
use crate::model::Operation::{CreateTable, DeleteItem, PutItem, UpdateTable, UpdateTimeToLive};

/// Tables with items in indexes, in a stream and in an order of expiry.
async fn filled() -> Backend {
    let backend = Backend::with_tables().await;
    let stream = json!({"StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES"});
    backend.ok(UpdateTable, json!({"TableName": "hash", "StreamSpecification": stream})).await;
    let expiry = json!({"Enabled": true, "AttributeName": "t"});
    backend.ok(UpdateTimeToLive, json!({"TableName": "hash", "TimeToLiveSpecification": expiry})).await;
    for number in 0..5 {
        let key = json!({"S": format!("k{number}")});
        backend.put("hash", json!({"a": key, "t": {"N": "99999999999"}, "s": {"SS": ["x", "y"]}})).await;
        backend.put("range", json!({"a": key, "b": key, "c": key, "d": key, "e": {"N": "1"}})).await;
    }
    backend.put("hash", json!({"a": {"S": "k0"}, "s": {"SS": ["y", "x"]}})).await;
    backend.ok(DeleteItem, json!({"TableName": "hash", "Key": {"a": {"S": "k1"}}})).await;
    backend
}

fn report_of(backend: &Backend) -> Report {
    let mut report = Report::default();
    // The store in memory does not tell which spaces it has; these are all that it can have.
    let spaces: Vec<Space> = (0..100).map(Space).collect();
    inspect(&*backend.local.snapshot().unwrap(), &spaces, &mut report).unwrap();
    report
}

/// What is found after the store was changed behind the backend's back.
async fn found_after(
    damage: impl FnOnce(&Table, &Table, &mut dyn Writes) -> Result<(), StoreError> + Send + 'static,
) -> String {
    let backend = filled().await;
    let (hash, range) =
        (backend.local.catalog.table("hash").unwrap(), backend.local.catalog.table("range").unwrap());
    backend.local.store.submit(Box::new(move |writes| damage(&hash, &range, writes))).await.unwrap();
    report_of(&backend).findings.join("\n")
}

fn first(reads: &(impl Reads + ?Sized), space: Space) -> (Vec<u8>, Vec<u8>) {
    let mut first = None;
    let mut visit = |key: &[u8], row: &[u8]| {
        first = Some((key.to_vec(), row.to_vec()));
        ControlFlow::Break(())
    };
    reads.range(space, &KeyRange::all(), Direction::Forward, &mut visit).unwrap();
    first.unwrap()
}

#[tokio::test]
async fn a_store_that_nothing_happened_to_is_clean() {
    let report = report_of(&filled().await);
    assert_eq!(report.findings, [""; 0]);
    let Report { tables, items, entries, records, .. } = report;
    // Four indexes with five items each, and three items that will expire.
    assert_eq!((tables, items, entries, records), (2, 9, 23, 7));
}

#[tokio::test]
async fn damaged_items_are_found() {
    let size = found_after(|hash, _, writes| {
        let (key, mut row) = first(writes, hash.items);
        row[0] ^= 1;
        writes.put(hash.items, &key, &row)
    });
    assert!(size.await.contains("bytes and says"));
    let torn = found_after(|hash, _, writes| {
        let (key, row) = first(writes, hash.items);
        writes.put(hash.items, &key, &row[..row.len() - 1])
    });
    assert!(torn.await.contains("table hash: an item is unreadable"));
    let moved = found_after(|hash, _, writes| {
        let (_, row) = first(writes, hash.items);
        writes.put(hash.items, b"elsewhere", &row)
    });
    assert!(moved.await.contains("lies under another key"));
    let spaced = found_after(|hash, _, writes| {
        let (key, mut row) = first(writes, hash.items);
        row.insert(5, b' ');
        writes.put(hash.items, &key, &row)
    });
    assert!(spaced.await.contains("not in its normal form"));
}

#[tokio::test]
async fn indexes_that_do_not_agree_with_the_items_are_found() {
    let missing = found_after(|_, range, writes| {
        let (key, _) = first(writes, range.index_spaces[0]);
        writes.remove(range.index_spaces[0], &key)
    });
    assert!(missing.await.contains("has no entry"));
    let stray = found_after(|_, range, writes| {
        let (key, _) = first(writes, range.items);
        writes.remove(range.items, &key)
    });
    assert!(stray.await.contains("index index3 of table range: an entry is of no item"));
    let other = found_after(|_, range, writes| {
        let (key, _) = first(writes, range.index_spaces[0]);
        let (_, row) = first(writes, range.index_spaces[1]);
        writes.put(range.index_spaces[0], &key, &row)
    });
    assert!(other.await.contains("is not what the item says"));
}

#[tokio::test]
async fn orders_of_expiry_that_do_not_agree_with_the_items_are_found() {
    let missing = found_after(|hash, _, writes| {
        let space = hash.expiry.as_ref().unwrap().space;
        let (key, _) = first(writes, space);
        writes.remove(space, &key)
    });
    assert!(missing.await.contains("the order of expiry of table hash: item"));
    let stray = found_after(|hash, _, writes| {
        let space = hash.expiry.as_ref().unwrap().space;
        writes.put(space, b"12345678nobody", b"")
    });
    assert!(stray.await.contains("the order of expiry of table hash: an entry is of no item"));
}

#[tokio::test]
async fn streams_that_do_not_agree_with_the_items_are_found() {
    let silent = found_after(|hash, _, writes| {
        let (key, _) = first(writes, hash.items);
        writes.remove(hash.items, &key)
    });
    assert!(silent.await.contains("an item is not what was last told of it"));
    let records = |writes: &dyn Writes| {
        let prefix = KeyRange::with_prefix(b"stream/hash/");
        let mut space = 0;
        let mut visit = |_: &[u8], text: &[u8]| {
            let stream: serde_json::Value = serde_json::from_slice(text).unwrap();
            space = stream["Shards"][0]["Space"].as_u64().unwrap();
            ControlFlow::Break(())
        };
        writes.range(CATALOG, &prefix, Direction::Forward, &mut visit).unwrap();
        Space(space)
    };
    let torn = found_after(move |_, _, writes| {
        let space = records(writes);
        let (key, row) = first(writes, space);
        writes.put(space, &key, &row[..20])
    });
    assert!(torn.await.contains("a record is unreadable"));
    let early = found_after(move |_, _, writes| {
        let space = records(writes);
        let (_, row) = first(writes, space);
        writes.put(space, &[0; 16], &row)
    });
    assert!(early.await.contains("a record's number is not between those of its shard"));
    let lost = found_after(|_, _, writes| {
        let (key, _) = {
            let mut found = None;
            let mut visit = |key: &[u8], row: &[u8]| {
                found = Some((key.to_vec(), row.to_vec()));
                ControlFlow::Break(())
            };
            let prefix = KeyRange::with_prefix(b"stream/hash/");
            writes.range(CATALOG, &prefix, Direction::Forward, &mut visit)?;
            found.unwrap()
        };
        writes.remove(CATALOG, &key)
    });
    assert!(lost.await.contains("a table that is set to have a stream has none"));
}

#[tokio::test]
async fn spaces_of_nobody_and_of_two_are_found() {
    let nobody = found_after(|_, _, writes| writes.put(Space(90), b"key", b"row"));
    assert_eq!(nobody.await, "the space 90 holds 1 rows that belong to nothing");
    let reused = found_after(|_, _, writes| writes.put(CATALOG, b"next_space", b"17"));
    assert!(reused.await.contains("could be given to something else"));
}

#[tokio::test]
async fn an_unreadable_catalog_is_told() {
    let backend = filled().await;
    let damage = |writes: &mut dyn Writes| writes.put(CATALOG, b"table/hash", b"{");
    backend.local.store.submit(Box::new(damage)).await.unwrap();
    let outcome = inspect(&*backend.local.snapshot().unwrap(), &[], &mut Report::default());
    assert!(outcome.unwrap_err().to_string().contains("unreadable"));
}

async fn filled_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let local = Local::open(directory.path(), Durability::Process, Settings::default()).unwrap();
    let create = json!({
        "TableName": "hash", "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
    });
    assert!(local.call(&Request::new(CreateTable, create.to_string())).await.unwrap().is_success());
    for number in 0..50 {
        let put = json!({"TableName": "hash", "Item": {"a": {"S": format!("{number}")}, "b": {"S": "x".repeat(500)}}});
        assert!(local.call(&Request::new(PutItem, put.to_string())).await.unwrap().is_success());
    }
    local.close().await;
    directory
}

fn files(directory: &Path) -> BTreeMap<std::ffi::OsString, Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries.map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap())).collect()
}

#[tokio::test]
async fn a_directory_is_looked_at_and_left_as_it_is() {
    let directory = filled_directory().await;
    let before = files(directory.path());
    let report = verify(directory.path()).unwrap();
    assert_eq!(
        report.to_string(),
        "1 tables, 50 items, 0 entries of indexes and expiry, 0 stream records: all agree"
    );
    assert_eq!(files(directory.path()), before);
}

#[tokio::test]
async fn a_directory_that_is_missing_or_in_use_is_not_looked_at() {
    let directory = filled_directory().await;
    let missing = directory.path().join("nowhere");
    assert!(matches!(verify(&missing), Err(OpenError::Unusable { .. })));
    assert!(!missing.exists());
    std::fs::create_dir(&missing).unwrap();
    let empty = verify(&missing).unwrap_err();
    let words = format!("{} exists but holds no tables (no nearside.redb)", missing.display());
    assert!(empty.to_string().ends_with(&words), "{empty}");
    let local = Local::open(directory.path(), Durability::Process, Settings::default()).unwrap();
    assert!(matches!(verify(directory.path()), Err(OpenError::InUse { .. })));
    local.close().await;
    assert!(verify(directory.path()).unwrap().is_clean());
}

#[tokio::test]
async fn a_byte_of_a_page_that_is_another_is_found() {
    let directory = filled_directory().await;
    let path = directory.path().join("nearside.redb");
    let mut bytes = std::fs::read(&path).unwrap();
    let needle = [b'x'; 100];
    let at = bytes.windows(needle.len()).position(|window| window == needle).unwrap();
    let places: Vec<usize> = (at..bytes.len() - 100).filter(|at| bytes[*at..at + 100] == needle).collect();
    places.into_iter().for_each(|at| bytes[at] = b'y');
    std::fs::write(&path, bytes).unwrap();
    let is_found = match verify(directory.path()) {
        Ok(report) => !report.is_clean(),
        Err(error) => matches!(error, OpenError::Damaged { .. }),
    };
    assert!(is_found);
    std::fs::write(&path, b"").unwrap();
    assert!(matches!(verify(directory.path()), Err(OpenError::Damaged { .. })));
}
