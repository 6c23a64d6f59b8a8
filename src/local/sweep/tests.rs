//! Items that expire: when, with what trace, and how the order of their expiry is kept.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::call::{ChangeListener, Upstream};
use crate::local::spaces::{CATALOG, FORMAT};
use crate::local::store::{Direction, KeyRange};
use crate::local::tests::backend::Backend;
use crate::local::{Durability, Local, Settings};
use crate::model::Operation::{
    CreateTable, DescribeStream, DescribeTable, GetRecords, GetShardIterator, Scan, UpdateItem,
    UpdateTimeToLive,
};
use crate::model::{Cause, Change};

/// How many removals were reported, and when.
#[derive(Default)]
struct Heard(Mutex<Vec<(&'static str, usize)>>);

impl Heard {
    fn note(&self, moment: &'static str, changes: &[Change]) {
        assert!(changes.iter().all(|change| change.cause == Cause::Expiry && change.table.name == "things"));
        self.0.lock().unwrap().push((moment, changes.len()));
    }
}

impl ChangeListener for Heard {
    fn changing(&self, changes: &[Change]) {
        self.note("before", changes);
    }

    fn changed(&self, changes: &[Change]) {
        self.note("after", changes);
    }
}

/// A backend with the table `things`, which has a stream and whose items expire by `ttl`.
async fn with_expiry() -> Backend {
    let backend = Backend::new();
    backend.make_table().await;
    backend.set_expiry(true, "ttl").await;
    backend
}

impl Backend {
    async fn make_table(&self) {
        let table = json!({
            "TableName": "things",
            "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "OLD_IMAGE"},
        });
        self.ok(CreateTable, table).await;
    }

    async fn set_expiry(&self, enabled: bool, attribute: &str) {
        let setting = json!({"Enabled": enabled, "AttributeName": attribute});
        self.ok(UpdateTimeToLive, json!({"TableName": "things", "TimeToLiveSpecification": setting})).await;
    }

    /// Puts an item that expires so many seconds from now.
    async fn put_expiring(&self, name: &str, seconds: i64) {
        let at = i64::try_from(self.local.clock.now_ms() / 1000).unwrap() + seconds;
        self.put("things", json!({"a": {"S": name}, "ttl": {"N": at.to_string()}})).await;
    }

    async fn sweep(&self) -> usize {
        self.local.sweep_expired().await.unwrap()
    }

    async fn names(&self) -> Vec<String> {
        let found = self.ok(Scan, json!({"TableName": "things"})).await;
        let items = found["Items"].as_array().unwrap().iter();
        let mut names: Vec<String> = items.map(|item| item["a"]["S"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    fn entries(&self) -> u64 {
        let table = self.local.catalog.find("things").unwrap();
        let space = table.expiry.as_ref().map(|expiry| expiry.space);
        space.map_or(0, |space| self.local.snapshot().unwrap().len(space).unwrap())
    }
}

#[tokio::test]
async fn an_item_is_removed_when_its_time_is_over_and_not_before() {
    let backend = with_expiry().await;
    backend.put_expiring("soon", 10).await;
    backend.put_expiring("over", -1).await;
    backend.put_expiring("later", 3600).await;
    assert_eq!(backend.sweep().await, 1);
    assert_eq!(backend.names().await, ["later", "soon"]);
    backend.local.clock.advance(Duration::from_secs(11));
    assert_eq!(backend.sweep().await, 1);
    assert_eq!(backend.names().await, ["later"]);
    assert_eq!(backend.entries(), 1);
}

#[tokio::test]
async fn only_a_number_of_the_last_five_years_counts() {
    let backend = with_expiry().await;
    backend.put_expiring("long ago", -6 * 365 * 86_400).await;
    for (name, ttl) in [
        ("text", json!({"S": "1"})),
        ("zero", json!({"N": "0"})),
        ("negative", json!({"N": "-5"})),
        ("milliseconds", json!({"N": "1700000000000"})),
        ("huge", json!({"N": "1e100"})),
        ("null", json!({"NULL": true})),
    ] {
        backend.put("things", json!({"a": {"S": name}, "ttl": ttl})).await;
    }
    backend.put("things", json!({"a": {"S": "none"}})).await;
    let fraction = format!("{}.5", backend.local.clock.now_ms() / 1000 - 1);
    backend.put("things", json!({"a": {"S": "fraction"}, "ttl": {"N": fraction}})).await;
    assert_eq!(backend.sweep().await, 1);
    assert_eq!(backend.names().await.len(), 8);
}

#[tokio::test]
async fn writes_keep_the_order_of_expiry() {
    let backend = with_expiry().await;
    backend.put_expiring("prolonged", -1).await;
    backend.put_expiring("prolonged", 3600).await;
    backend.put_expiring("kept", -1).await;
    let update = json!({
        "TableName": "things", "Key": {"a": {"S": "kept"}}, "UpdateExpression": "REMOVE #t SET b = :b",
        "ExpressionAttributeNames": {"#t": "ttl"}, "ExpressionAttributeValues": {":b": {"N": "1"}},
    });
    backend.ok(UpdateItem, update).await;
    assert_eq!(backend.entries(), 1);
    assert_eq!(backend.sweep().await, 0);
    assert_eq!(backend.names().await, ["kept", "prolonged"]);
}

#[tokio::test]
async fn items_that_were_there_before_expire_too_until_it_is_switched_off() {
    let backend = Backend::new();
    backend.make_table().await;
    for name in 0..3 {
        backend.put_expiring(&name.to_string(), -1).await;
    }
    assert_eq!(backend.sweep().await, 0);
    backend.set_expiry(true, "ttl").await;
    backend.set_expiry(false, "ttl").await;
    assert_eq!(backend.sweep().await, 0);
    backend.set_expiry(true, "ttl").await;
    assert_eq!(backend.entries(), 3);
    assert_eq!(backend.sweep().await, 3);
}

#[tokio::test]
async fn a_sweep_of_many_items_takes_several_commits_and_reports_each_before_and_after() {
    let backend = with_expiry().await;
    for name in 0..600 {
        backend.put_expiring(&name.to_string(), -1).await;
    }
    let heard = Arc::new(Heard::default());
    let listener: Arc<dyn ChangeListener> = Arc::clone(&heard) as _;
    assert!(backend.local.report_changes(Arc::downgrade(&listener)));
    assert_eq!(backend.sweep().await, 600);
    let expected = [256, 256, 88].map(|count| [("before", count), ("after", count)]);
    assert_eq!(*heard.0.lock().unwrap(), expected.concat());
    assert_eq!(backend.entries(), 0);
    let table = backend.ok(DescribeTable, json!({"TableName": "things"})).await;
    assert_eq!(table["Table"]["ItemCount"], 0);
    assert_eq!(table["Table"]["TableSizeBytes"], 0);
}

#[tokio::test]
async fn the_stream_tells_that_the_service_removed_the_item() {
    let backend = with_expiry().await;
    backend.put_expiring("x", -1).await;
    backend.sweep().await;
    let table = backend.ok(DescribeTable, json!({"TableName": "things"})).await;
    let arn = &table["Table"]["LatestStreamArn"];
    let stream = backend.ok(DescribeStream, json!({"StreamArn": arn})).await;
    let shard = &stream["StreamDescription"]["Shards"][0]["ShardId"];
    let request = json!({"StreamArn": arn, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
    let iterator = backend.ok(GetShardIterator, request).await;
    let records = backend.ok(GetRecords, iterator).await;
    assert_eq!(records["Records"][0].get("userIdentity"), None);
    let removal = &records["Records"][1];
    assert_eq!(removal["eventName"], "REMOVE");
    assert_eq!(removal["userIdentity"], json!({"PrincipalId": "dynamodb.amazonaws.com", "Type": "Service"}));
    assert_eq!(removal["dynamodb"]["OldImage"]["a"], json!({"S": "x"}));
}

#[tokio::test(start_paused = true)]
async fn the_house_is_kept_at_the_interval_that_was_set() {
    let settings = Settings { expiry_sweep: Duration::from_secs(30), ..Settings::default() };
    let backend = Backend { local: Local::in_memory(settings) };
    backend.make_table().await;
    backend.set_expiry(true, "ttl").await;
    let closing = CancellationToken::new();
    let house = backend.local.keep_house(closing.clone());
    let test = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        backend.put_expiring("x", -1).await;
        tokio::time::sleep(Duration::from_secs(28)).await;
        assert_eq!(backend.names().await, ["x"]);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(backend.names().await, [""; 0]);
        closing.cancel();
    };
    tokio::join!(house, test);
}

#[tokio::test]
async fn a_directory_of_the_first_format_gets_its_streams_and_its_order_of_expiry() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let local = Local::open(directory.path(), Durability::Process, Settings::default());
        Backend { local: local.unwrap() }
    };
    let backend = open();
    backend.make_table().await;
    backend.set_expiry(true, "ttl").await;
    backend.put_expiring("x", -1).await;
    // The first format had neither, and said so only in the settings of tables.
    let job = |writes: &mut dyn crate::local::store::Writes| {
        let mut rows: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        writes.range(CATALOG, &KeyRange::all(), Direction::Forward, &mut |key, value| {
            rows.push((key.to_vec(), value.to_vec()));
            std::ops::ControlFlow::Continue(())
        })?;
        for (key, value) in rows {
            if key.starts_with(b"stream/") {
                writes.remove(CATALOG, &key)?;
            } else if key.starts_with(b"table/") {
                let mut table: Value = serde_json::from_slice(&value).unwrap();
                table.as_object_mut().unwrap().remove("ExpirySpace").unwrap();
                writes.put(CATALOG, &key, table.to_string().as_bytes())?;
            }
        }
        writes.put(CATALOG, b"format", b"1")
    };
    backend.local.store.submit(Box::new(job)).await.unwrap();
    backend.local.close().await;
    drop(backend);
    let backend = open();
    assert_eq!(backend.entries(), 1);
    assert_eq!(backend.sweep().await, 1);
    let table = backend.ok(DescribeTable, json!({"TableName": "things"})).await;
    let arn = &table["Table"]["LatestStreamArn"];
    let stream = backend.ok(DescribeStream, json!({"StreamArn": arn})).await;
    assert_eq!(stream["StreamDescription"]["Shards"].as_array().unwrap().len(), 1);
    let format = backend.local.snapshot().unwrap().get(CATALOG, b"format").unwrap().unwrap();
    assert_eq!(format, FORMAT.to_string().as_bytes());
    backend.local.close().await;
}
