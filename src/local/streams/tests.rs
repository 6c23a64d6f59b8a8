//! What clients see of streams, and what is left of them in the store.

use std::time::Duration;

use serde_json::{Value, json};

use crate::local::tests::backend::{Backend, Refusal};
use crate::local::{Durability, Local, Settings, ShardRules};
use crate::model::Operation::{
    self, BatchWriteItem, CreateTable, DeleteItem, DeleteTable, DescribeStream, DescribeTable, GetRecords,
    GetShardIterator, ListStreams, PutItem, Scan, TransactWriteItems, UpdateItem, UpdateTable,
    UpdateTimeToLive,
};

const HOUR: Duration = Duration::from_secs(60 * 60);
const TRIMMED: &str = "The data you are trying to access has been trimmed";

fn table(name: &str, view: &str) -> Value {
    json!({
        "TableName": name,
        "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
        "StreamSpecification": {"StreamEnabled": true, "StreamViewType": view},
    })
}

fn key(name: &str) -> Value {
    json!({"a": {"S": name}})
}

/// A backend with the table `things`, whose stream shows everything, and the stream's ARN.
async fn with_stream(rules: ShardRules) -> (Backend, String) {
    let settings = Settings { shard_rules: rules, ..Settings::default() };
    let backend = Backend { local: Local::in_memory(settings) };
    let arn = backend.make_stream("things", "NEW_AND_OLD_IMAGES").await;
    (backend, arn)
}

impl Backend {
    async fn make_stream(&self, name: &str, view: &str) -> String {
        let made = self.ok(CreateTable, table(name, view)).await;
        made["TableDescription"]["LatestStreamArn"].as_str().unwrap().to_owned()
    }

    async fn put_key(&self, name: &str) {
        self.put("things", key(name)).await;
    }

    async fn shards(&self, arn: &str) -> Vec<Value> {
        let described = self.ok(DescribeStream, json!({"StreamArn": arn})).await;
        described["StreamDescription"]["Shards"].as_array().unwrap().clone()
    }

    async fn try_iterator(
        &self,
        arn: &str,
        shard: &Value,
        kind: &str,
        number: Option<&Value>,
    ) -> Result<Value, Refusal> {
        let mut request = json!({
            "StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": kind,
        });
        if let Some(number) = number {
            request["SequenceNumber"] = number.clone();
        }
        let answer = self.send(GetShardIterator, request).await?;
        Ok(answer["ShardIterator"].clone())
    }

    async fn iterator(&self, arn: &str, shard: &Value, kind: &str) -> Value {
        self.try_iterator(arn, shard, kind, None).await.unwrap()
    }

    async fn page(&self, iterator: &Value) -> Value {
        self.ok(GetRecords, json!({"ShardIterator": iterator})).await
    }

    /// All records of a shard that are kept.
    async fn records(&self, arn: &str, shard: &Value) -> Vec<Value> {
        let mut iterator = self.iterator(arn, shard, "TRIM_HORIZON").await;
        let mut records = Vec::new();
        while iterator.is_string() {
            let page = self.page(&iterator).await;
            let found = page["Records"].as_array().unwrap();
            if found.is_empty() {
                break;
            }
            records.extend(found.iter().cloned());
            iterator = page["NextShardIterator"].clone();
        }
        records
    }

    async fn tidy(&self) {
        self.local.tidy_streams().await.unwrap();
    }

    async fn refused(&self, operation: Operation, body: Value) -> (String, String) {
        let refusal = self.send(operation, body).await.unwrap_err();
        (refusal.code, refusal.message)
    }
}

fn number(record: &Value) -> u128 {
    record["dynamodb"]["SequenceNumber"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn every_change_of_an_item_is_told_once_with_the_images_that_were_asked_for() {
    let backend = Backend::new();
    let views = [
        ("KEYS_ONLY", false, false),
        ("NEW_IMAGE", true, false),
        ("OLD_IMAGE", false, true),
        ("NEW_AND_OLD_IMAGES", true, true),
    ];
    for (view, has_new, has_old) in views {
        let arn = backend.make_stream(view, view).await;
        let one = json!({"a": {"S": "x"}, "n": {"N": "1"}, "s": {"SS": ["p", "q"]}});
        let same = json!({"a": {"S": "x"}, "n": {"N": "1.0"}, "s": {"SS": ["q", "p"]}});
        let two = json!({"a": {"S": "x"}, "n": {"N": "2"}});
        backend.put(view, one.clone()).await;
        backend.put(view, one.clone()).await;
        backend.put(view, same.clone()).await;
        backend.ok(DeleteItem, json!({"TableName": view, "Key": key("none")})).await;
        let writes = json!({"RequestItems": {view: [{"PutRequest": {"Item": two}}]}});
        backend.ok(BatchWriteItem, writes).await;
        backend.ok(UpdateItem, json!({"TableName": view, "Key": key("x")})).await;
        backend.ok(DeleteItem, json!({"TableName": view, "Key": key("x")})).await;
        let records = backend.records(&arn, &backend.shards(&arn).await[0]).await;
        let events: Vec<&Value> = records.iter().map(|record| &record["eventName"]).collect();
        assert_eq!(events, ["INSERT", "MODIFY", "REMOVE"]);
        let image = |is_shown: bool, image: &Value| if is_shown { image.clone() } else { Value::Null };
        let images = [(&Value::Null, &one), (&one, &two), (&two, &Value::Null)];
        for (record, (old, new)) in records.iter().zip(images) {
            let told = &record["dynamodb"];
            assert_eq!(told["Keys"], key("x"));
            assert_eq!(told["NewImage"], image(has_new, new));
            assert_eq!(told["OldImage"], image(has_old, old));
            assert_eq!(told["StreamViewType"], view);
            assert!(record.get("userIdentity").is_none());
        }
        let sizes: Vec<u64> =
            records.iter().map(|record| record["dynamodb"]["SizeBytes"].as_u64().unwrap()).collect();
        let (one, two) = (2 + 3 + 3, 2 + 3);
        let size = |is_shown: bool, bytes: u64| if is_shown { bytes } else { 0 };
        let expected = [size(has_new, one), size(has_new, two) + size(has_old, one), size(has_old, two)]
            .map(|images| images + 2);
        assert_eq!(sizes, expected);
    }
}

#[tokio::test]
async fn a_record_says_who_where_and_when() {
    let (backend, arn) = with_stream(ShardRules::default()).await;
    backend.put_key("x").await;
    let record = backend.records(&arn, &backend.shards(&arn).await[0]).await.remove(0);
    assert_eq!(record["eventVersion"], "1.1");
    assert_eq!(record["eventSource"], "aws:dynamodb");
    assert_eq!(record["awsRegion"], "us-east-1");
    assert_eq!(record["eventID"].as_str().unwrap().len(), 32);
    assert!(record["dynamodb"]["SequenceNumber"].as_str().unwrap().len() >= 21);
    let age = backend.local.clock.now_ms() / 1000
        - record["dynamodb"]["ApproximateCreationDateTime"].as_u64().unwrap();
    assert!(age < 60);
}

#[tokio::test]
async fn iterators_begin_where_their_kind_says() {
    let (backend, arn) = with_stream(ShardRules::default()).await;
    let shard = backend.shards(&arn).await.remove(0);
    let early = backend.iterator(&arn, &shard, "LATEST").await;
    for name in ["x", "y", "z"] {
        backend.put_key(name).await;
    }
    let records = backend.records(&arn, &shard).await;
    let numbers: Vec<&Value> = records.iter().map(|record| &record["dynamodb"]["SequenceNumber"]).collect();
    let start = &shard["SequenceNumberRange"]["StartingSequenceNumber"];
    for (kind, at, count) in [
        ("AT_SEQUENCE_NUMBER", numbers[1], 2),
        ("AFTER_SEQUENCE_NUMBER", numbers[1], 1),
        ("AT_SEQUENCE_NUMBER", start, 3),
        ("AFTER_SEQUENCE_NUMBER", numbers[2], 0),
    ] {
        let iterator = backend.try_iterator(&arn, &shard, kind, Some(at)).await.unwrap();
        assert_eq!(backend.page(&iterator).await["Records"].as_array().unwrap().len(), count);
    }
    assert_eq!(backend.page(&early).await["Records"].as_array().unwrap().len(), 3);
    let late = backend.iterator(&arn, &shard, "LATEST").await;
    let page = backend.page(&late).await;
    assert_eq!(page["Records"], json!([]));
    backend.put_key("new").await;
    let page = backend.page(&page["NextShardIterator"]).await;
    assert_eq!(page["Records"][0]["dynamodb"]["Keys"], key("new"));
}

#[tokio::test]
async fn records_come_page_by_page() {
    let (backend, arn) = with_stream(ShardRules::default()).await;
    let shard = backend.shards(&arn).await.remove(0);
    for name in 0..5 {
        backend.put_key(&name.to_string()).await;
    }
    let mut iterator = backend.iterator(&arn, &shard, "TRIM_HORIZON").await;
    for count in [2, 2, 1, 0] {
        let page = backend.ok(GetRecords, json!({"ShardIterator": iterator, "Limit": 2})).await;
        assert_eq!(page["Records"].as_array().unwrap().len(), count);
        iterator = page["NextShardIterator"].clone();
    }
    for name in 0..4 {
        let large = json!({"a": {"S": format!("large {name}")}, "b": {"S": "x".repeat(390_000)}});
        backend.put("things", large).await;
    }
    for count in [2, 2] {
        let page = backend.page(&iterator).await;
        assert_eq!(page["Records"].as_array().unwrap().len(), count, "a page has 1 MB at most");
        iterator = page["NextShardIterator"].clone();
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_in_the_words_of_the_service() {
    let (backend, arn) = with_stream(ShardRules::default()).await;
    let shard = backend.shards(&arn).await.remove(0);
    let id = &shard["ShardId"];
    let other = arn.replace(":table/things/", ":table/none/");
    let not_found = |arn: &str| {
        (
            "ResourceNotFoundException".to_owned(),
            format!("Requested resource not found: Stream: {arn} not found"),
        )
    };
    assert_eq!(backend.refused(DescribeStream, json!({"StreamArn": other})).await, not_found(&other));
    let request = json!({"StreamArn": other, "ShardId": id, "ShardIteratorType": "LATEST"});
    assert_eq!(backend.refused(GetShardIterator, request).await, not_found(&other));
    let nonsense = "x".repeat(40);
    for (operation, member) in [(DescribeStream, "StreamArn"), (ListStreams, "ExclusiveStartStreamArn")] {
        assert_eq!(backend.invalid(operation, json!({member: nonsense})).await, "Invalid StreamArn");
    }
    let request = json!({"StreamArn": arn, "ShardId": nonsense, "ShardIteratorType": "LATEST"});
    let (code, words) = backend.refused(GetShardIterator, request).await;
    assert_eq!(
        (code.as_str(), words.as_str()),
        ("ResourceNotFoundException", "Requested resource not found: Shard does not exist",)
    );
    let words = "One or more parameter values were invalid: ";
    for (kind, number, rest) in [
        ("LATEST", Some("1".repeat(21)), "SequenceNumber should not be passed for this iterator type"),
        ("TRIM_HORIZON", Some("1".repeat(21)), "SequenceNumber should not be passed for this iterator type"),
        ("AT_SEQUENCE_NUMBER", None, "SequenceNumber cannot be null"),
        ("AFTER_SEQUENCE_NUMBER", None, "SequenceNumber cannot be null"),
    ] {
        let number = number.map(Value::from);
        let refusal = backend.try_iterator(&arn, &shard, kind, number.as_ref()).await.unwrap_err();
        assert_eq!(refusal.message, format!("{words}{rest}"));
    }
    let negative = format!("-{}", "1".repeat(21));
    for strange in ["1".repeat(21), "0".repeat(21), "9".repeat(40), "x".repeat(21), negative] {
        for kind in ["AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"] {
            let refusal = backend.try_iterator(&arn, &shard, kind, Some(&json!(strange))).await.unwrap_err();
            assert_eq!(refusal.message, "Invalid SequenceNumber for the shard", "{strange}");
        }
    }
    backend.put_key("x").await;
    let record = backend.records(&arn, &shard).await.remove(0);
    let with_plus = format!("+{}", record["dynamodb"]["SequenceNumber"].as_str().unwrap());
    backend.try_iterator(&arn, &shard, "AT_SEQUENCE_NUMBER", Some(&json!(with_plus))).await.unwrap();
    assert_eq!(backend.invalid(GetRecords, json!({"ShardIterator": "x"})).await, "Invalid ShardIterator");
}

#[tokio::test]
async fn an_iterator_expires_and_old_records_are_trimmed() {
    let (backend, arn) = with_stream(ShardRules::default()).await;
    let shard = backend.shards(&arn).await.remove(0);
    backend.put_key("old").await;
    let old = backend.records(&arn, &shard).await.remove(0);
    let iterator = backend.iterator(&arn, &shard, "TRIM_HORIZON").await;
    backend.local.clock.advance(Duration::from_secs(15 * 60 + 1));
    let (code, words) = backend.refused(GetRecords, json!({"ShardIterator": iterator})).await;
    assert_eq!((code.as_str(), words.as_str()), ("ExpiredIteratorException", "Shard iterator has expired"));
    backend.local.clock.advance(3 * HOUR);
    backend.put_key("new").await;
    backend.local.clock.advance(21 * HOUR - Duration::from_secs(17 * 60));
    let at_old = &old["dynamodb"]["SequenceNumber"];
    let waiting = backend.try_iterator(&arn, &shard, "AT_SEQUENCE_NUMBER", Some(at_old)).await.unwrap();
    assert_eq!(backend.records(&arn, &shard).await.len(), 2);
    backend.local.clock.advance(Duration::from_secs(3 * 60));
    let (code, words) = backend.refused(GetRecords, json!({"ShardIterator": waiting})).await;
    assert_eq!((code.as_str(), words.as_str()), ("TrimmedDataAccessException", TRIMMED));
    let refusal = backend.try_iterator(&arn, &shard, "AT_SEQUENCE_NUMBER", Some(at_old)).await.unwrap_err();
    assert_eq!(refusal.code, "TrimmedDataAccessException");
    let kept = backend.records(&arn, &shard).await;
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0]["dynamodb"]["Keys"], key("new"));
}

#[tokio::test]
async fn a_shard_is_replaced_after_four_hours_and_dropped_a_day_later() {
    let (backend, arn) = with_stream(ShardRules::default()).await;
    let first = backend.shards(&arn).await.remove(0);
    backend.put_key("x").await;
    backend.tidy().await;
    assert_eq!(backend.shards(&arn).await.len(), 1);
    backend.local.clock.advance(4 * HOUR);
    backend.put_key("y").await;
    let shards = backend.shards(&arn).await;
    assert_eq!(shards.len(), 2);
    assert_eq!(shards[1]["ParentShardId"], first["ShardId"]);
    let ending = &shards[0]["SequenceNumberRange"]["EndingSequenceNumber"];
    assert!(ending.as_str() < shards[1]["SequenceNumberRange"]["StartingSequenceNumber"].as_str());
    let iterator = backend.iterator(&arn, &first, "TRIM_HORIZON").await;
    let page = backend.page(&iterator).await;
    assert_eq!(page["Records"].as_array().unwrap().len(), 1);
    assert!(page.get("NextShardIterator").is_none(), "the end of a closed shard is told");
    let filter = json!({"Type": "CHILD_SHARDS", "ShardId": first["ShardId"]});
    let children = backend.ok(DescribeStream, json!({"StreamArn": arn, "ShardFilter": filter})).await;
    assert_eq!(children["StreamDescription"]["Shards"], json!([shards[1]]));
    // A shard without writes is replaced as well, in the background.
    backend.local.clock.advance(4 * HOUR);
    backend.tidy().await;
    assert_eq!(backend.shards(&arn).await.len(), 3);
    backend.local.clock.advance(20 * HOUR);
    backend.tidy().await;
    let left = backend.shards(&arn).await;
    assert!(left.iter().all(|shard| shard["ShardId"] != first["ShardId"]));
    let dropped = backend.local.snapshot().unwrap();
    let spaces = (16..32).map(|space| dropped.len(crate::local::store::Space(space)).unwrap());
    assert_eq!(spaces.sum::<u64>(), 3, "two items and the record of one");
}

#[tokio::test]
async fn a_full_shard_splits_and_every_item_is_in_order_along_the_lineage() {
    let (backend, arn) = with_stream(ShardRules { initial: 1, records_max: 20 }).await;
    for round in 0..10 {
        for name in 0..20 {
            let item = json!({"a": {"S": name.to_string()}, "n": {"N": round.to_string()}});
            backend.put("things", item).await;
        }
    }
    let shards = backend.shards(&arn).await;
    assert!(shards.len() > 8, "{}", shards.len());
    let children = |parent: &Value| shards.iter().filter(|shard| shard["ParentShardId"] == *parent).count();
    assert!(shards.iter().any(|shard| children(&shard["ShardId"]) == 2));
    let mut seen = std::collections::BTreeMap::<String, Vec<(u128, String)>>::new();
    for (position, shard) in shards.iter().enumerate() {
        let parent = &shard["ParentShardId"];
        assert!(parent.is_null() || shards[..position].iter().any(|shard| shard["ShardId"] == *parent));
        for record in backend.records(&arn, shard).await {
            let told = &record["dynamodb"];
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            seen.entry(text(&told["Keys"]["a"]["S"]))
                .or_default()
                .push((number(&record), text(&told["NewImage"]["n"]["N"])));
        }
    }
    assert_eq!(seen.len(), 20);
    for changes in seen.values() {
        assert!(changes.is_sorted(), "sequence numbers rise for each key: {changes:?}");
        let rounds: Vec<&str> = changes.iter().map(|(_, round)| round.as_str()).collect();
        assert_eq!(rounds, ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);
    }
    let page = backend.ok(DescribeStream, json!({"StreamArn": arn, "Limit": 2})).await;
    let page = &page["StreamDescription"];
    assert_eq!(page["Shards"], json!(shards[..2]));
    assert_eq!(page["LastEvaluatedShardId"], shards[1]["ShardId"]);
    let rest = json!({"StreamArn": arn, "ExclusiveStartShardId": page["LastEvaluatedShardId"]});
    let rest = backend.ok(DescribeStream, rest).await;
    assert_eq!(rest["StreamDescription"]["Shards"], json!(shards[2..]));
    assert!(rest["StreamDescription"].get("LastEvaluatedShardId").is_none());
}

#[tokio::test]
async fn a_stream_may_begin_with_several_shards() {
    let (backend, arn) = with_stream(ShardRules { initial: 3, records_max: 100 }).await;
    for name in 0..30 {
        backend.put_key(&name.to_string()).await;
    }
    let shards = backend.shards(&arn).await;
    assert_eq!(shards.len(), 3);
    let mut count = 0;
    for shard in &shards {
        let found = backend.records(&arn, shard).await.len();
        assert!(found > 0);
        count += found;
    }
    assert_eq!(count, 30);
}

#[tokio::test]
async fn a_stream_that_is_switched_off_stays_readable_for_a_day_and_a_new_one_has_another_name() {
    let (backend, arn) = with_stream(ShardRules::default()).await;
    backend.put_key("x").await;
    let off = json!({"TableName": "things", "StreamSpecification": {"StreamEnabled": false}});
    let answer = backend.ok(UpdateTable, off.clone()).await;
    assert_eq!(answer["TableDescription"]["LatestStreamArn"], arn);
    backend.put_key("unseen").await;
    let described = backend.ok(DescribeStream, json!({"StreamArn": arn})).await;
    assert_eq!(described["StreamDescription"]["StreamStatus"], "DISABLED");
    let shard = described["StreamDescription"]["Shards"][0].clone();
    assert!(shard["SequenceNumberRange"]["EndingSequenceNumber"].is_string());
    let iterator = backend.iterator(&arn, &shard, "TRIM_HORIZON").await;
    let page = backend.page(&iterator).await;
    assert_eq!(page["Records"].as_array().unwrap().len(), 1);
    assert!(page.get("NextShardIterator").is_none());
    let on = json!({
        "TableName": "things", "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"},
    });
    let answer = backend.ok(UpdateTable, on).await;
    let next = answer["TableDescription"]["LatestStreamArn"].as_str().unwrap().to_owned();
    assert_ne!(next, arn);
    let table = backend.ok(DescribeTable, json!({"TableName": "things"})).await;
    assert_eq!(table["Table"]["LatestStreamArn"], json!(next));
    let list = backend.ok(ListStreams, json!({"TableName": "things"})).await;
    let arns: Vec<&Value> = list["Streams"].as_array().unwrap().iter().map(|s| &s["StreamArn"]).collect();
    assert_eq!(arns, [&json!(next), &json!(arn)], "the latest stream comes first");
    backend.local.clock.advance(24 * HOUR);
    assert_eq!(
        backend.refused(DescribeStream, json!({"StreamArn": arn})).await.0,
        "ResourceNotFoundException"
    );
    backend.tidy().await;
    let list = backend.ok(ListStreams, json!({})).await;
    assert_eq!(list["Streams"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn the_stream_of_a_deleted_table_ends_and_can_still_be_read() {
    let (backend, arn) = with_stream(ShardRules::default()).await;
    backend.put_key("x").await;
    backend.ok(DeleteTable, json!({"TableName": "things"})).await;
    let next = backend.make_stream("things", "KEYS_ONLY").await;
    assert_ne!(next, arn);
    let described = backend.ok(DescribeStream, json!({"StreamArn": arn})).await;
    assert_eq!(described["StreamDescription"]["StreamStatus"], "DISABLED");
    assert_eq!(described["StreamDescription"]["TableName"], "things");
    let records = backend.records(&arn, &described["StreamDescription"]["Shards"][0]).await;
    assert_eq!(records.len(), 1, "a table's deletion does not remove its items one by one");
    assert_eq!(backend.records(&next, &backend.shards(&next).await[0]).await.len(), 0);
}

#[tokio::test]
async fn streams_are_listed_page_by_page() {
    let backend = Backend::new();
    let mut made = Vec::new();
    for name in ["one", "three", "two"] {
        made.push(backend.make_stream(name, "KEYS_ONLY").await);
    }
    let mut request = json!({"Limit": 1});
    for (position, arn) in made.iter().enumerate() {
        let page = backend.ok(ListStreams, request.clone()).await;
        assert_eq!(page["Streams"][0]["StreamArn"], json!(arn));
        assert_eq!(page["LastEvaluatedStreamArn"].is_string(), position < 2);
        request["ExclusiveStartStreamArn"] = page["LastEvaluatedStreamArn"].clone();
    }
    let list = backend.ok(ListStreams, json!({"TableName": "none"})).await;
    assert_eq!(list, json!({"Streams": []}));
}

#[tokio::test]
async fn records_and_lineage_are_there_after_a_restart_and_numbers_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let rules = ShardRules { initial: 1, records_max: 3 };
    let open = || {
        let settings = Settings { shard_rules: rules, ..Settings::default() };
        Backend { local: Local::open(directory.path(), Durability::Process, settings).unwrap() }
    };
    let backend = open();
    let arn = backend.make_stream("things", "NEW_IMAGE").await;
    for name in 0..5 {
        backend.put_key(&name.to_string()).await;
    }
    let shards = backend.shards(&arn).await;
    backend.local.close().await;
    drop(backend);
    let backend = open();
    assert_eq!(backend.shards(&arn).await, shards);
    backend.put_key("later").await;
    let mut numbers = Vec::new();
    for shard in backend.shards(&arn).await {
        numbers.extend(backend.records(&arn, &shard).await.iter().map(number));
    }
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 6);
    backend.local.close().await;
}

#[tokio::test]
async fn a_change_whose_commit_fails_leaves_no_record() {
    let (backend, arn) = with_stream(ShardRules { initial: 1, records_max: 1 }).await;
    backend.put_key("x").await;
    let shards = backend.shards(&arn).await;
    let catalog = std::sync::Arc::clone(&backend.local.catalog);
    let failing = backend.local.store.submit(Box::new(move |writes| {
        let table = catalog.find("things").unwrap();
        table.log.as_ref().unwrap().tidy(writes)?;
        Err(crate::local::StoreError("no room".to_owned()))
    }));
    assert!(failing.await.is_err());
    assert_eq!(backend.shards(&arn).await, shards);
    backend.ok(PutItem, json!({"TableName": "things", "Item": key("y")})).await;
    let mut count = 0;
    for shard in backend.shards(&arn).await {
        count += backend.records(&arn, &shard).await.len();
    }
    assert_eq!(count, 2);
}

/// An item of the table `things` with one of a few keys, which may expire.
fn random_item(random: &mut fastrand::Rng, now: u64) -> Value {
    let mut item = key(&random.u8(0..6).to_string());
    item["n"] = json!({"N": random.u8(0..3).to_string()});
    if random.bool() {
        let at = now + random.u64(0..200) - 100;
        item["expires"] =
            [json!({"N": at.to_string()}), json!({"S": at.to_string()})][random.usize(0..2)].clone();
    }
    item
}

/// One write of one item, several or a transaction, or a sweep.
async fn write_anything(backend: &Backend, random: &mut fastrand::Rng) {
    let now = backend.local.clock.now_ms() / 1000;
    let item = random_item(random, now);
    let delete = json!({"Delete": {"TableName": "things", "Key": key(&random.u8(0..6).to_string())}});
    let put = json!({"Put": {"TableName": "things", "Item": item}});
    let update = json!({
        "TableName": "things", "Key": {"a": item["a"]}, "UpdateExpression": "SET n = :n REMOVE expires",
        "ExpressionAttributeValues": {":n": item["n"]},
    });
    let (operation, body) = match random.u8(0..6) {
        0 => (UpdateItem, update),
        1 => (DeleteItem, delete["Delete"].clone()),
        2 => (TransactWriteItems, json!({"TransactItems": [{"Update": update}]})),
        3 if put["Put"]["Item"]["a"] != delete["Delete"]["Key"]["a"] => {
            (TransactWriteItems, json!({"TransactItems": [put, delete]}))
        }
        4 => {
            backend.local.clock.advance(Duration::from_secs(random.u64(0..20)));
            backend.local.sweep_expired().await.unwrap();
            return;
        }
        _ => (PutItem, put["Put"].clone()),
    };
    backend.ok(operation, body).await;
}

/// What every item is by its stream, when every record begins with what the one before left.
async fn replayed(backend: &Backend, arn: &str) -> std::collections::BTreeMap<String, Value> {
    let mut items = std::collections::BTreeMap::new();
    for shard in backend.shards(arn).await {
        for record in backend.records(arn, &shard).await {
            let told = &record["dynamodb"];
            let name = told["Keys"]["a"]["S"].as_str().unwrap().to_owned();
            let before = items.remove(&name).unwrap_or(Value::Null);
            assert_eq!(before, told["OldImage"], "{record}");
            let event = match (before.is_null(), told["NewImage"].is_null()) {
                (true, false) => "INSERT",
                (false, false) => "MODIFY",
                _ => "REMOVE",
            };
            assert_eq!(record["eventName"], event);
            assert_ne!(told["NewImage"], told["OldImage"], "what changed nothing is not told");
            if event != "REMOVE" {
                items.insert(name, told["NewImage"].clone());
            }
        }
    }
    items
}

#[tokio::test]
async fn whatever_is_written_the_stream_replayed_is_the_table() {
    let seed = std::env::var("NEARSIDE_TEST_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    println!("replay with NEARSIDE_TEST_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for rules in [ShardRules::default(), ShardRules { initial: 2, records_max: 25 }] {
        let (backend, arn) = with_stream(rules).await;
        let setting = json!({"Enabled": true, "AttributeName": "expires"});
        let setting = json!({"TableName": "things", "TimeToLiveSpecification": setting});
        backend.ok(UpdateTimeToLive, setting).await;
        for _ in 0..300 {
            write_anything(&backend, &mut random).await;
        }
        let found = backend.ok(Scan, json!({"TableName": "things"})).await;
        let items = found["Items"].as_array().unwrap();
        let name = |item: &Value| item["a"]["S"].as_str().unwrap().to_owned();
        let table = items.iter().map(|item| (name(item), item.clone())).collect();
        assert_eq!(replayed(&backend, &arn).await, table);
        let expiring = items.iter().filter(|item| item["expires"]["N"].is_string()).count();
        let table = backend.local.catalog.find("things").unwrap();
        let entries = backend.local.snapshot().unwrap().len(table.expiry.as_ref().unwrap().space).unwrap();
        assert_eq!(entries, expiring as u64, "every item that expires has its place, and no other");
    }
}
