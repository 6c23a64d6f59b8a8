//! What is read without a request is what a request reads.

use std::sync::Arc;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::call::{Answer, ItemNow, PlainQuery, Request, StoredItem, Upstream};
use crate::model::expr::{KeyInterval, SortInterval};
use crate::model::key::Direction;
use crate::model::{Key, Operation, TableSchema};
use crate::wire::Json;
use crate::wire::attribute::item_from_json;

use super::backend::{Backend, seed};

const ROUNDS: usize = 300;

/// A value of a key; many share a beginning, or have a zero.
fn value(type_name: &str, random: &mut Rng) -> Value {
    let texts = match type_name {
        "S" => ["a", "a\0", "\0a", "a\u{e9}"],
        "N" => ["0", "-1", "1.5", "1e30"],
        _ => ["YQ==", "YQA=", "AGE=", "/w=="],
    };
    json!({ type_name: texts[random.usize(..texts.len())] })
}

fn key_of(schema: &TableSchema, key: &Value) -> Key {
    let text = key.to_string();
    let item = item_from_json(&Json::parse(text.as_bytes()).unwrap()).unwrap();
    schema.key.key_of(&item).unwrap()
}

async fn call(backend: &Backend, operation: Operation, body: &Value) -> Answer {
    backend.local.call(&Request::new(operation, body.to_string())).await.unwrap()
}

fn item_now(backend: &Backend, schema: &TableSchema, key: &Key) -> Option<StoredItem> {
    match backend.local.item_now(schema, &key.canonical_bytes()).unwrap() {
        ItemNow::Item(item) => Some(item),
        ItemNow::Missing => None,
    }
}

/// A table whose partition and sort key have these types.
async fn table(backend: &Backend, types: [&str; 2]) -> Arc<TableSchema> {
    let name = format!("of-{}-{}", types[0], types[1]);
    let names = ["p", "s"];
    let definitions: Vec<Value> = std::iter::zip(names, types)
        .map(|(name, scalar)| json!({"AttributeName": name, "AttributeType": scalar}))
        .collect();
    let body = json!({
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": definitions,
        "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "s", "KeyType": "RANGE"}],
    });
    backend.ok(Operation::CreateTable, body).await;
    Arc::clone(&backend.local.catalog.table(&name).unwrap().schema)
}

#[tokio::test]
async fn what_is_read_without_a_request_is_what_a_request_reads() {
    let (backend, mut random) = (Backend::new(), Rng::with_seed(seed()));
    for types in [["S", "N"], ["N", "B"], ["B", "S"]] {
        let schema = table(&backend, types).await;
        let name = &schema.name;
        for number in 0..ROUNDS {
            let key = json!({"p": value(types[0], &mut random), "s": value(types[1], &mut random)});
            match random.u8(..4) {
                0 | 1 => {
                    let item = json!({"p": key["p"], "s": key["s"], "v": {"N": number.to_string()}});
                    backend.put(name, item).await;
                }
                2 => {
                    backend.ok(Operation::DeleteItem, json!({"TableName": name, "Key": key})).await;
                }
                _ => {}
            }
            let get = json!({"TableName": name, "Key": key, "ConsistentRead": true});
            let got = call(&backend, Operation::GetItem, &get).await;
            let key_read = key_of(&schema, &key);
            assert_eq!(item_now(&backend, &schema, &key_read), got.item.map(|item| *item), "{get}");

            let (start, limit) =
                (random.bool().then_some(&key_read), [None, Some(1), Some(3)][random.usize(..3)]);
            let direction = [Direction::Forward, Direction::Backward][random.usize(..2)];
            let mut query = json!({
                "TableName": name,
                "KeyConditionExpression": "p = :p",
                "ExpressionAttributeValues": {":p": key["p"]},
                "ConsistentRead": true,
                "ScanIndexForward": direction == Direction::Forward,
            });
            if start.is_some() {
                query["ExclusiveStartKey"] = key.clone();
            }
            if let Some(limit) = limit {
                query["Limit"] = limit.into();
            }
            let partition = key_read.partition().to_vec();
            let interval = KeyInterval { partition, sort_equal: Vec::new(), sort: SortInterval::All };
            let plain = PlainQuery { schema: &schema, interval: &interval, start, limit, direction };
            let read = backend.local.query_strongly(plain).unwrap().await.unwrap();
            assert_eq!(read, call(&backend, Operation::Query, &query).await, "{query}");
        }
    }
}

#[tokio::test]
async fn a_table_that_is_gone_or_has_another_key_is_left_to_requests() {
    let backend = Backend::new();
    let schema = table(&backend, ["S", "S"]).await;
    let key = key_of(&schema, &json!({"p": {"S": "a"}, "s": {"S": "b"}}));
    assert_eq!(item_now(&backend, &schema, &key), None);
    let mut other = TableSchema::clone(&schema);
    other.key.sort[0].name = "r".to_owned();
    let interval =
        KeyInterval { partition: key.partition().to_vec(), sort_equal: Vec::new(), sort: SortInterval::All };
    let query = |schema| PlainQuery {
        schema,
        interval: &interval,
        start: None,
        limit: None,
        direction: Direction::Forward,
    };
    assert!(backend.local.item_now(&other, &key.canonical_bytes()).is_none());
    assert!(backend.local.query_strongly(query(&other)).is_none());
    assert!(backend.local.item_now(&schema, b"no key").is_none());
    backend.ok(Operation::DeleteTable, json!({"TableName": schema.name})).await;
    assert!(backend.local.item_now(&schema, &key.canonical_bytes()).is_none());
    assert!(backend.local.query_strongly(query(&schema)).is_none());
}
