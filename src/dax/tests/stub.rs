//! What the vectors' stub server knew: the keys of its tables, and its ids of attribute lists.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{Vector, bytes_of_hex, vectors};
use crate::dax::attribute_lists::AttributeLists;
use crate::dax::cbor::{Kind, Reader};
use crate::model::key_attribute::{KeyAttribute, ScalarType};
use crate::model::{KeySchema, Number};

pub(super) struct Stub {
    pub(super) schemas: BTreeMap<Vec<u8>, KeySchema>,
    pub(super) lists: AttributeLists,
}

impl Stub {
    /// All that is in the definitions among the vectors.
    pub(super) fn new() -> Self {
        let (mut schemas, mut lists) = (BTreeMap::new(), BTreeMap::new());
        for vector in vectors(None) {
            let (request, response) = (bytes_of_hex(&vector.request_hex), bytes_of_hex(&vector.response_hex));
            let mut answer = Reader::new(&response);
            if !vector.operation.starts_with("define") || answer.array().unwrap().left() != Some(0) {
                continue;
            }
            let mut call = arguments(&request);
            match &*vector.operation {
                "defineKeySchema" => {
                    drop(schemas.insert(call.bytes().unwrap().to_vec(), schema(&mut answer)))
                }
                "defineAttributeListId" => {
                    drop(lists.insert(answer.int_64().unwrap() as u64, names(&mut call)));
                }
                _ => drop(lists.insert(call.int_64().unwrap() as u64, names(&mut answer))),
            }
        }
        Self { schemas, lists: AttributeLists::with_ids(lists) }
    }

    /// The key of the table that a call on one table names first, and the arguments behind that.
    pub(super) fn call<'a>(&self, vector: &Vector, request: &'a [u8]) -> Option<(&KeySchema, Reader<'a>)> {
        let is_single = ["putItem", "getItem", "updateItem", "deleteItem", "query", "scan"];
        if !is_single.contains(&&*vector.operation) {
            return None;
        }
        let mut reader = arguments(request);
        Some((&self.schemas[reader.bytes().unwrap()], reader))
    }
}

/// What follows the service and the method.
pub(super) fn arguments(request: &[u8]) -> Reader<'_> {
    let mut reader = Reader::new(request);
    assert_eq!(reader.int_64(), Ok(1));
    reader.int_64().unwrap();
    reader
}

fn schema(answer: &mut Reader<'_>) -> KeySchema {
    let mut members = answer.map().unwrap();
    let mut attributes = Vec::new();
    while members.next(answer).unwrap() {
        let name = answer.text().unwrap().to_owned();
        let scalar_type = ScalarType::from_name(answer.text().unwrap()).unwrap();
        attributes.push(KeyAttribute { name, scalar_type });
    }
    let sort = attributes.split_off(1);
    KeySchema { partition: attributes, sort }
}

fn names(reader: &mut Reader<'_>) -> Vec<String> {
    let mut elements = reader.array().unwrap();
    let mut names = Vec::new();
    while elements.next(reader).unwrap() {
        names.push(reader.text().unwrap().to_owned());
    }
    names
}

/// The list id of touched attributes, and the values by their places.
pub(super) fn touched(content: &[u8]) -> (i128, BTreeMap<i64, Vec<u8>>) {
    let mut reader = Reader::new(content);
    let id = reader.int().unwrap();
    assert_eq!(reader.peek(), Ok(Kind::Map));
    let mut members = reader.map().unwrap();
    let mut values = BTreeMap::new();
    while members.next(&mut reader).unwrap() {
        values.insert(reader.int_64().unwrap(), reader.item(64).unwrap().to_vec());
    }
    reader.end().unwrap();
    (id, values)
}

pub(super) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// An item or a value in JSON with numbers in normal form and sets in order: equal for what means the same.
pub(super) fn normal(value: &Value) -> Value {
    let number = |text: &Value| Value::String(Number::parse(text.as_str().unwrap()).unwrap().to_string());
    let in_order = |mut set: Vec<Value>| {
        set.sort_unstable_by_key(Value::to_string);
        Value::Array(set)
    };
    let member = |(name, inner): (&String, &Value)| {
        let inner = match (&**name, inner) {
            ("N", Value::String(_)) => number(inner),
            ("NS", Value::Array(set)) => in_order(set.iter().map(number).collect()),
            ("SS" | "BS", Value::Array(set)) => in_order(set.clone()),
            (_, inner) => normal(inner),
        };
        (name.clone(), inner)
    };
    match value {
        Value::Object(members) => Value::Object(members.iter().map(member).collect::<Map<_, _>>()),
        Value::Array(elements) => Value::Array(elements.iter().map(normal).collect()),
        other => other.clone(),
    }
}
