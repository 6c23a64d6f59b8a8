//! YCSB's records as items of DynamoDB, and its operations as calls: items of 1 KB in ten fields. The scans have a table of their
//! own, with a thousand records in each partition.

use crate::requests::request;

use super::zipf::fnv;

const FIELDS: usize = 10;
const FIELD_BYTES: usize = 100;
const PARTITION: usize = 1000;

/// The table of records found by their key, and the one of records in ranges.
pub(crate) const TABLE: &str = "Ycsb";
pub(crate) const RANGES: &str = "YcsbRanges";

/// The key's attributes, without braces.
fn key(table: &str, record: usize) -> String {
    match table == RANGES {
        true => format!(r#""id":{{"S":"{}"}},"sk":{{"N":"{record}"}}"#, partition(record)),
        false => format!(r#""id":{{"S":"user{:020}"}}"#, fnv(record as u64)),
    }
}

fn partition(record: usize) -> String {
    format!("part{:012}", record / PARTITION)
}

/// Text that differs from record to record and from field to field.
fn value(record: usize, field: usize, turn: u64) -> String {
    let seed = fnv((record * FIELDS + field) as u64 ^ turn);
    format!("{seed:020}").repeat(FIELD_BYTES / 20)
}

/// The whole item.
pub(crate) fn item(table: &str, record: usize) -> String {
    let fields = (0..FIELDS).map(|field| format!(r#","field{field}":{{"S":"{}"}}"#, value(record, field, 0)));
    format!("{{{}{}}}", key(table, record), fields.collect::<String>())
}

pub(crate) fn read(table: &str, record: usize) -> Vec<u8> {
    request("GetItem", &format!(r#"{{"TableName":"{table}","Key":{{{}}}}}"#, key(table, record)))
}

pub(crate) fn insert(table: &str, record: usize) -> Vec<u8> {
    request("PutItem", &format!(r#"{{"TableName":"{table}","Item":{}}}"#, item(table, record)))
}

/// Sets one field, as YCSB does.
pub(crate) fn update(table: &str, record: usize, random: &mut fastrand::Rng) -> Vec<u8> {
    let field = random.usize(0..FIELDS);
    let value = value(record, field, random.u64(..));
    request(
        "UpdateItem",
        &format!(
            r##"{{"TableName":"{table}","Key":{{{}}},"UpdateExpression":"SET #f = :v","ExpressionAttributeNames":{{"#f":"field{field}"}},"ExpressionAttributeValues":{{":v":{{"S":"{value}"}}}}}}"##,
            key(table, record)
        ),
    )
}

/// The records from one on, at most that many and no further than its partition.
pub(crate) fn scan(from: usize, records: usize) -> Vec<u8> {
    request(
        "Query",
        &format!(
            r##"{{"TableName":"{RANGES}","KeyConditionExpression":"#id = :id AND sk >= :from","ExpressionAttributeNames":{{"#id":"id"}},"ExpressionAttributeValues":{{":id":{{"S":"{}"}},":from":{{"N":"{from}"}}}},"Limit":{records}}}"##,
            partition(from)
        ),
    )
}
