//! BatchGetItem and BatchWriteItem: many keys of several tables in one request.
//!
//! A batch reads from one snapshot. A batch of writes is one job: everything is judged before the first item is written,
//! so an invalid request writes nothing; beyond that the service promises no atomicity, and neither do we.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::model::capacity::{Charge, Consumed, UnitKind};
use crate::model::{ApiError, Cause, Item, Operation};
use crate::wire::attribute::{Reader, item_from_json, read_item, write_item};
use crate::wire::expressions::refuse_mixture;
use crate::wire::json::write_string;
use crate::wire::keys::{self, KeySource};
use crate::wire::{Json, shape};

use super::answer::ObjectWriter;
use super::capacity::{CapacityReport, Consistency, write_consumed};
use super::catalog::{Catalog, Table};
use super::collections::{has_collections, wants_collection_metrics, write_collection_metrics};
use super::image::NewItem;
use super::members::required;
use super::rows::{self, Row};
use super::selection::Selection;
use super::store::{Snapshot, StoreError, Writes};
use super::write::{Action, ItemWrite, Judged, OnFailure};
use super::{Charged, Local, LocalError, Reply};
use crate::wire::json::{write_array, write_map};

/// The most keys of a BatchGetItem, all tables together.
const READS_MAX: usize = 100;
/// The most requests of a BatchWriteItem, all tables together.
const WRITES_MAX: usize = 25;
/// The most bytes of items in one answer. The service's "16 MB" hold 52 items of 300 KB, says its documentation, and so are
/// decimal.
const READ_BYTES_MAX: usize = 16_000_000;

impl Local {
    /// Reads many items.
    pub(crate) fn batch_get_item(&self, body: &Json<'_>) -> Charged {
        let requests = shape::judge(Operation::BatchGetItem, body, |reader| parse_reads(body, reader))?;
        let mut reads = Vec::with_capacity(requests.len());
        for request in requests {
            let table = self.catalog.table(request.table_name)?;
            reads.push(request.against(table)?);
        }
        let answers = read_all(&reads, &self.snapshot()?)?;

        let mut answer = ObjectWriter::with_capacity(1024);
        let responses = reads.iter().zip(&answers).map(|(read, got)| (read.request.table_name, &got.items));
        write_map(responses, answer.member("Responses"), |items, out| {
            write_array(items, out, |item, out| out.extend_from_slice(item));
        });
        let incomplete = reads.iter().zip(&answers).filter(|(_, got)| !got.unprocessed.is_empty());
        let incomplete = incomplete.map(|(read, got)| (read.request.table_name, (read, got)));
        write_map(incomplete, answer.member("UnprocessedKeys"), |(read, got), out| {
            read.request.write_unprocessed(&got.unprocessed, out);
        });
        let report = CapacityReport::requested(body);
        if report.is_wanted() {
            write_array(reads.iter().zip(&answers), answer.member("ConsumedCapacity"), |(read, got), out| {
                write_consumed(&got.consumed, read.request.table_name, report, out);
            });
        }
        let charges = reads
            .iter()
            .zip(answers)
            .map(|(read, got)| Charge::exact(&read.table.schema.name, UnitKind::Read, got.consumed));
        let charges = charges.collect();
        Ok(Reply::new(answer.finish(), charges))
    }

    /// Puts and removes many items.
    pub(crate) async fn batch_write_item(&self, body: &Json<'_>) -> Charged {
        let requests = parse_writes(body)?;
        let catalog = Arc::clone(&self.catalog);
        let done = self.write_judged(move |writes| write_all(requests, &catalog, writes)).await?;

        let mut answer = ObjectWriter::with_capacity(256);
        answer.member("UnprocessedItems").extend_from_slice(b"{}");
        let with_collections: Vec<(&str, &Vec<Judged>)> = done
            .iter()
            .filter(|(_, written)| written.iter().any(|judged| has_collections(&judged.table)))
            .map(|(name, written)| (name.as_str(), written))
            .collect();
        if wants_collection_metrics(body) && !with_collections.is_empty() {
            write_map(with_collections, answer.member("ItemCollectionMetrics"), |written, out| {
                write_array(one_of_each_collection(written.iter()), out, write_collection_metrics);
            });
        }
        let report = CapacityReport::requested(body);
        if report.is_wanted() {
            write_array(&done, answer.member("ConsumedCapacity"), |(name, written), out| {
                write_consumed(&consumed_of(written), name, report, out);
            });
        }
        let charges = done.iter().filter_map(|(_, written)| {
            let table = &written.first()?.table.schema.name;
            Some(Charge::exact(table, UnitKind::Write, consumed_of(written)))
        });
        Ok(Reply::new(answer.finish(), charges.collect()))
    }
}

/// What writes of one table consumed together.
fn consumed_of(written: &[Judged]) -> Consumed {
    let mut consumed = Consumed::default();
    written.iter().for_each(|judged| consumed.add(judged.consumed()));
    consumed
}

/// What a batch wants of one table, as far as the request alone can say it.
struct ReadRequest<'b, 'a> {
    table_name: &'b str,
    json: &'b Json<'a>,
    keys: Vec<Item>,
    selection: Selection,
    consistency: Consistency,
}

/// The same with the table's store keys, in the order of the request's.
struct TableRead<'b, 'a> {
    request: ReadRequest<'b, 'a>,
    table: Arc<Table>,
    store_keys: Vec<Vec<u8>>,
}

/// What was read of one table.
#[derive(Default)]
struct TableAnswer {
    /// Items as JSON.
    items: Vec<Vec<u8>>,
    /// Which keys of the request were left out, by their place.
    unprocessed: Vec<usize>,
    consumed: Consumed,
}

fn parse_reads<'b, 'a>(body: &'b Json<'a>, reader: Reader) -> Result<Vec<ReadRequest<'b, 'a>>, ApiError> {
    let tables = required(body, "RequestItems")?.members().unwrap_or_default();
    refuse_mixture_across(tables)?;
    let mut count = 0;
    let mut requests = Vec::with_capacity(tables.len());
    for (table_name, json) in tables {
        refuse_mixture(json, &["ProjectionExpression"], &["AttributesToGet"])?;
        let selection = Selection::parse(json)?;
        let keys = required(json, "Keys")?.elements().unwrap_or_default();
        let keys = keys.iter().map(|key| read_item(key, reader)).collect::<Result<Vec<Item>, ApiError>>()?;
        refuse_repeated(&keys)?;
        count += keys.len();
        if count > READS_MAX {
            return Err(ApiError::validation("Too many items requested for the BatchGetItem call"));
        }
        let consistency = Consistency::requested(json);
        requests.push(ReadRequest { table_name, json, keys, selection, consistency });
    }
    Ok(requests)
}

/// Expressions and legacy parameters do not mix even when they stand at different tables.
fn refuse_mixture_across(tables: &[(std::borrow::Cow<'_, str>, Json<'_>)]) -> Result<(), ApiError> {
    let any = |member: &str| tables.iter().any(|(_, json)| json.get(member).is_some());
    if any("ProjectionExpression") && any("AttributesToGet") {
        return Err(ApiError::validation(
            "Can not use both expression and non-expression parameters in the same request: \
             Non-expression parameters: {AttributesToGet} Expression parameters: {ProjectionExpression}",
        ));
    }
    Ok(())
}

/// Keys are compared as they are written: `1` and `1.0` are one.
fn refuse_repeated(keys: &[Item]) -> Result<(), ApiError> {
    let mut seen = HashSet::with_capacity(keys.len());
    let repeated = keys.iter().any(|key| {
        let mut text = Vec::with_capacity(64);
        write_item(key, &mut text);
        !seen.insert(text)
    });
    if repeated { Err(repeated_keys()) } else { Ok(()) }
}

fn repeated_keys() -> ApiError {
    ApiError::validation("Provided list of item keys contains duplicates")
}

impl<'b, 'a> ReadRequest<'b, 'a> {
    fn against(self, table: Arc<Table>) -> Result<TableRead<'b, 'a>, ApiError> {
        let store_key = |key| {
            let key = keys::key_from(&table.schema.key, key, KeySource::KeyMember)?;
            Ok(rows::item_key(&key))
        };
        let store_keys = self.keys.iter().map(store_key).collect::<Result<_, ApiError>>()?;
        self.selection.check_against(&table)?;
        Ok(TableRead { request: self, table, store_keys })
    }

    /// Appends the value in `UnprocessedKeys` that asks for the keys at `places` again, in the same way.
    fn write_unprocessed(&self, places: &[usize], out: &mut Vec<u8>) {
        let mut again = ObjectWriter::with_capacity(256);
        write_array(places, again.member("Keys"), |place, out| write_item(&self.keys[*place], out));
        if self.consistency == Consistency::Strong {
            again.member("ConsistentRead").extend_from_slice(b"true");
        }
        if let Some(names) = self.json.get("AttributesToGet").and_then(Json::elements) {
            let names = names.iter().filter_map(Json::text);
            write_array(names, again.member("AttributesToGet"), write_string);
        }
        if let Some(text) = self.json.get("ProjectionExpression").and_then(Json::text) {
            write_string(text, again.member("ProjectionExpression"));
        }
        if let Some(names) = self.json.get("ExpressionAttributeNames").and_then(Json::members) {
            let names = names.iter().map(|(placeholder, name)| (placeholder.as_ref(), name));
            write_map(names, again.member("ExpressionAttributeNames"), |name, out| {
                write_string(name.text().unwrap_or_default(), out);
            });
        }
        out.extend_from_slice(&again.finish());
    }
}

/// Reads until the answer is full; whatever comes after stays unprocessed.
fn read_all(reads: &[TableRead<'_, '_>], snapshot: &Snapshot) -> Result<Vec<TableAnswer>, StoreError> {
    let mut bytes_left = Some(READ_BYTES_MAX);
    let mut answers = Vec::with_capacity(reads.len());
    for read in reads {
        let mut answer = TableAnswer::default();
        for (place, store_key) in read.store_keys.iter().enumerate() {
            let Some(left) = bytes_left else {
                answer.unprocessed.push(place);
                continue;
            };
            let row = snapshot.get(read.table.items, store_key)?.map(Row::new).transpose()?;
            let bytes = row.as_ref().map_or(0, Row::size_bytes);
            bytes_left = left.checked_sub(bytes);
            if bytes_left.is_none() {
                answer.unprocessed.push(place);
                continue;
            }
            answer.consumed.add_table(read.request.consistency.read(bytes));
            if let Some(row) = row {
                let mut item = Vec::new();
                read.request.selection.write(&row, &mut item)?;
                answer.items.push(item);
            }
        }
        answers.push(answer);
    }
    Ok(answers)
}

/// The writes of one table, in the request's order.
type TableWrites = (String, Vec<ItemWrite>);

fn parse_writes(body: &Json<'_>) -> Result<Vec<TableWrites>, ApiError> {
    let tables = required(body, "RequestItems")?.members().unwrap_or_default();
    let mut count = 0;
    let mut requests = Vec::with_capacity(tables.len());
    for (table_name, list) in tables {
        let list = list.elements().unwrap_or_default();
        let writes = list.iter().map(parse_write).collect::<Result<Vec<ItemWrite>, ApiError>>()?;
        count += writes.len();
        requests.push((table_name.to_string(), writes));
    }
    if count > WRITES_MAX {
        return Err(ApiError::validation("Too many items requested for the BatchWriteItem call"));
    }
    Ok(requests)
}

fn parse_write(request: &Json<'_>) -> Result<ItemWrite, ApiError> {
    let action = match (request.get("PutRequest"), request.get("DeleteRequest")) {
        (Some(put), None) => {
            let item = NewItem::within_limit(item_from_json(required(put, "Item")?)?)?;
            Action::Put { item, source: KeySource::BatchItem }
        }
        (None, Some(delete)) => Action::Delete { key: item_from_json(required(delete, "Key")?)? },
        (Some(_), Some(_)) | (None, None) => {
            return Err(ApiError::validation(
                "Supplied AttributeValue has more than one datatypes set, \
                 must contain exactly one of the supported datatypes",
            ));
        }
    };
    Ok(ItemWrite { action, condition: None, on_failure: OnFailure::Nothing })
}

/// Judges every write, then carries all of them out.
fn write_all(
    requests: Vec<TableWrites>,
    catalog: &Catalog,
    writes: &mut dyn Writes,
) -> Result<Vec<(String, Vec<Judged>)>, LocalError> {
    let mut seen = HashSet::new();
    let mut judged = Vec::with_capacity(requests.len());
    for (table_name, requests) in requests {
        let table = catalog.table(&table_name)?;
        let mut of_table = Vec::with_capacity(requests.len());
        for request in requests {
            let write = request.judge(&table, &*writes)?;
            // A table may be named twice, by its name and by its ARN; its space tells.
            if !seen.insert((table.items, write.store_key().to_vec())) {
                return Err(repeated_keys().into());
            }
            of_table.push(write);
        }
        judged.push((table_name, of_table));
    }
    for write in judged.iter().flat_map(|(_, of_table)| of_table) {
        write.carry_out(Cause::Keyed, writes)?;
    }
    Ok(judged)
}

/// One written item of each item collection of a table.
pub(super) fn one_of_each_collection<'a>(
    written: impl DoubleEndedIterator<Item = &'a Judged>,
) -> impl Iterator<Item = &'a Judged> {
    let by_collection: BTreeMap<Vec<u8>, &Judged> =
        written.rev().map(|judged| (rows::partition_prefix(judged.key.partition()), judged)).collect();
    by_collection.into_values()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::local::tests::backend::Backend;
    use crate::model::Operation::{BatchGetItem, BatchWriteItem};

    fn put(item: Value) -> Value {
        json!({"PutRequest": {"Item": item}})
    }

    fn delete(key: Value) -> Value {
        json!({"DeleteRequest": {"Key": key}})
    }

    fn key(name: &str) -> Value {
        json!({"a": {"S": name}})
    }

    #[tokio::test]
    async fn a_batch_writes_and_reads_several_tables() {
        let backend = Backend::with_tables().await;
        backend.put("hash", key("old")).await;
        let ranged = json!({"a": {"S": "x"}, "b": {"S": "y"}, "n": {"N": "1"}});
        let writes = json!({"RequestItems": {
            "hash": [put(key("new")), delete(key("old")), delete(key("never"))],
            "range": [put(ranged.clone())],
        }});
        assert_eq!(backend.ok(BatchWriteItem, writes).await, json!({"UnprocessedItems": {}}));
        let reads = json!({"RequestItems": {
            "hash": {"Keys": [key("old"), key("new")]},
            "range": {"Keys": [{"b": {"S": "y"}, "a": {"S": "x"}}], "ProjectionExpression": "#n",
                "ExpressionAttributeNames": {"#n": "n"}},
        }});
        assert_eq!(
            backend.ok(BatchGetItem, reads).await,
            json!({
                "Responses": {"hash": [key("new")], "range": [{"n": {"N": "1"}}]},
                "UnprocessedKeys": {},
            })
        );
    }

    #[tokio::test]
    async fn an_invalid_request_of_a_batch_leaves_all_unwritten() {
        let backend = Backend::with_tables().await;
        let mismatch = "The provided key element does not match the schema";
        for wrong in [
            put(json!({"a": {"N": "1"}})),
            put(json!({"b": {"S": "x"}})),
            put(json!({"a": {"L": []}})),
            delete(json!({"b": {"S": "x"}})),
        ] {
            let writes = json!({"RequestItems": {"hash": [put(key("good")), wrong]}});
            assert_eq!(backend.invalid(BatchWriteItem, writes).await, mismatch);
        }
        let absent = json!({"RequestItems": {"hash": [put(key("good"))], "none": [put(key("x"))]}});
        let refusal = backend.send(BatchWriteItem, absent).await.unwrap_err();
        assert_eq!(refusal.code, "ResourceNotFoundException");
        assert_eq!(backend.get("hash", key("good")).await, Value::Null);
    }

    #[tokio::test]
    async fn one_key_may_stand_in_a_batch_only_once() {
        let backend = Backend::with_tables().await;
        let words = "Provided list of item keys contains duplicates";
        let twice = [put(key("x")), delete(key("x"))];
        let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/hash";
        for tables in [json!({"hash": twice}), json!({"hash": [put(key("x"))], arn: [put(key("x"))]})] {
            assert_eq!(backend.invalid(BatchWriteItem, json!({"RequestItems": tables})).await, words);
        }
        let numbers = json!([{"a": {"N": "1"}}, {"a": {"N": "1.0"}}]);
        let reads = json!({"RequestItems": {"hash": {"Keys": numbers}}});
        assert_eq!(backend.invalid(BatchGetItem, reads).await, words);
    }

    #[tokio::test]
    async fn a_write_request_is_one_put_or_one_delete() {
        let backend = Backend::with_tables().await;
        let both = json!({"PutRequest": {"Item": key("x")}, "DeleteRequest": {"Key": key("x")}});
        for request in [both, json!({})] {
            let writes = json!({"RequestItems": {"hash": [request]}});
            assert_eq!(
                backend.invalid(BatchWriteItem, writes).await,
                "Supplied AttributeValue has more than one datatypes set, \
                 must contain exactly one of the supported datatypes"
            );
        }
        let large = put(json!({"a": {"S": "x"}, "b": {"S": "x".repeat(400 * 1024)}}));
        let writes = json!({"RequestItems": {"none": [large]}});
        assert_eq!(
            backend.invalid(BatchWriteItem, writes).await,
            "Item size has exceeded the maximum allowed size"
        );
    }

    #[tokio::test]
    async fn batches_have_limits_over_all_tables() {
        let backend = Backend::with_tables().await;
        let puts = |count: usize| (0..count).map(|n| put(key(&n.to_string()))).collect::<Vec<Value>>();
        let writes = json!({"RequestItems": {"hash": puts(13), "range": puts(13)}});
        assert_eq!(
            backend.invalid(BatchWriteItem, writes).await,
            "Too many items requested for the BatchWriteItem call"
        );
        let keys = |count: usize| (0..count).map(|n| key(&n.to_string())).collect::<Vec<Value>>();
        let reads = json!({"RequestItems": {"hash": {"Keys": keys(51)}, "range": {"Keys": keys(51)}}});
        assert_eq!(
            backend.invalid(BatchGetItem, reads).await,
            "Too many items requested for the BatchGetItem call"
        );
    }

    #[tokio::test]
    async fn projections_of_both_kinds_do_not_mix_across_tables() {
        let backend = Backend::with_tables().await;
        let reads = json!({"RequestItems": {
            "hash": {"Keys": [key("x")], "ProjectionExpression": "a"},
            "range": {"Keys": [key("x")], "AttributesToGet": ["a"]},
        }});
        assert!(backend.invalid(BatchGetItem, reads).await.starts_with("Can not use both expression"));
    }

    #[tokio::test]
    async fn what_does_not_fit_an_answer_is_asked_for_again_in_the_same_way() {
        let backend = Backend::with_tables().await;
        let large = "x".repeat(390_000);
        for n in 0..45 {
            backend.put("hash", json!({"a": {"S": n.to_string()}, "b": {"S": large}})).await;
        }
        let keys: Vec<Value> = (0..45).map(|n| key(&n.to_string())).collect();
        let request = json!({"Keys": keys, "ConsistentRead": true, "ProjectionExpression": "#a",
            "ExpressionAttributeNames": {"#a": "a"}});
        let reads = json!({"RequestItems": {"hash": request}, "ReturnConsumedCapacity": "TOTAL"});
        let answer = backend.ok(BatchGetItem, reads).await;
        assert_eq!(answer["Responses"]["hash"].as_array().unwrap().len(), 41);
        let mut again = request.clone();
        again["Keys"] = keys[41..].into();
        assert_eq!(answer["UnprocessedKeys"], json!({"hash": again}));
        assert_eq!(answer["ConsumedCapacity"], json!([{"TableName": "hash", "CapacityUnits": 41.0 * 96.0}]));
        let rest = json!({"RequestItems": answer["UnprocessedKeys"]});
        let rest = backend.ok(BatchGetItem, rest).await;
        assert_eq!(rest["Responses"]["hash"].as_array().unwrap().len(), 4);
        assert_eq!(rest["UnprocessedKeys"], json!({}));
    }

    #[tokio::test]
    async fn capacity_and_collections_are_told_for_each_table() {
        let backend = Backend::with_tables().await;
        let ranged = |b: &str| json!({"a": {"S": "x"}, "b": {"S": b}, "c": {"S": "c"}});
        let writes = json!({
            "RequestItems": {"hash": [put(key("x"))], "range": [put(ranged("1")), put(ranged("2"))]},
            "ReturnConsumedCapacity": "INDEXES",
            "ReturnItemCollectionMetrics": "SIZE",
        });
        assert_eq!(
            backend.ok(BatchWriteItem, writes).await,
            json!({
                "UnprocessedItems": {},
                "ItemCollectionMetrics": {"range": [
                    {"ItemCollectionKey": {"a": {"S": "x"}}, "SizeEstimateRangeGB": [0.0, 1.0]},
                ]},
                "ConsumedCapacity": [
                    {"TableName": "hash", "CapacityUnits": 1.0, "Table": {"CapacityUnits": 1.0}},
                    {
                        "TableName": "range", "CapacityUnits": 6.0, "Table": {"CapacityUnits": 2.0},
                        "LocalSecondaryIndexes": {"index1": {"CapacityUnits": 2.0}},
                        "GlobalSecondaryIndexes": {"index3": {"CapacityUnits": 2.0}},
                    },
                ],
            })
        );
        let reads = json!({
            "RequestItems": {"hash": {"Keys": [key("x"), key("y")]}},
            "ReturnConsumedCapacity": "TOTAL",
        });
        assert_eq!(
            backend.ok(BatchGetItem, reads).await["ConsumedCapacity"],
            json!([{"TableName": "hash", "CapacityUnits": 1.0}])
        );
    }
}
