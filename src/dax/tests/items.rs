//! Keys and items: what real clients sent and understood, and all shapes of keys.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::stub::{self, Stub};
use super::values::any_value;
use super::{Vector, bytes_of_hex, vectors};
use crate::dax::attribute_lists::AttributeLists;
use crate::dax::cbor::{Kind, Reader, Writer};
use crate::dax::item::{self, ItemFault, ItemWriter};
use crate::dax::key;
use crate::model::key_attribute::{KeyAttribute, ScalarType};
use crate::model::{KeySchema, Number};

fn schema(attributes: &[(&str, ScalarType)]) -> KeySchema {
    let mut attributes = attributes
        .iter()
        .map(|(name, scalar_type)| KeyAttribute { name: (*name).to_owned(), scalar_type: *scalar_type });
    KeySchema { partition: attributes.by_ref().take(1).collect(), sort: attributes.collect() }
}

fn key_json(schema: &KeySchema, key: &[u8]) -> Option<String> {
    let mut out = b"before".to_vec();
    let written = key::write_json(schema, key, &mut out);
    assert!(written.is_ok() || out == b"before");
    written.ok().map(|()| String::from_utf8(out.split_off(6)).unwrap())
}

fn key_bytes(schema: &KeySchema, attributes: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    key::write_bytes_of_json(schema, &attributes.to_string(), &mut out).unwrap();
    out
}

fn canonical(schema: &KeySchema, key: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    key::write_canonical(schema, key, &mut out).map(|()| out)
}

fn item_json(schema: &KeySchema, key: &[u8], value: &[u8], lists: &AttributeLists) -> Option<String> {
    let mut out = b"before".to_vec();
    let written = item::write_json(schema, key, value, lists, &mut out);
    assert!(written.is_ok() || out == b"before");
    written.ok().map(|()| String::from_utf8(out.split_off(6)).unwrap())
}

fn normal_text(text: &str) -> Value {
    stub::normal(&serde_json::from_str(text).unwrap())
}

#[test]
fn keys_of_the_go_clients_unit_tests_are_read_and_written() {
    let vectors = vectors(Some("key bytes"));
    assert_eq!(vectors.len(), 9);
    for vector in vectors {
        let wire = bytes_of_hex(&vector.hex);
        let content = Reader::new(&wire).bytes().unwrap();
        let attributes: Vec<(&str, ScalarType)> = vector
            .schema
            .split(", ")
            .map(|attribute| attribute.split_once(' ').unwrap())
            .map(|(name, scalar_type)| (name, ScalarType::from_name(scalar_type).unwrap()))
            .collect();
        let values = vector.key.split(',').zip(&attributes).map(|(value, (name, scalar_type))| {
            let plain = value.trim_start_matches('h').trim_matches('\'');
            let value = match scalar_type {
                ScalarType::B => stub::base64(&bytes_of_hex(plain)),
                ScalarType::S | ScalarType::N => plain.to_owned(),
            };
            ((*name).to_owned(), json!({ scalar_type.name(): value }))
        });
        let expected = Value::Object(values.collect());
        let schema = schema(&attributes);
        assert_eq!(normal_text(&key_json(&schema, content).unwrap()), expected, "{}", vector.hex);
        assert_eq!(key_bytes(&schema, &expected), content, "{}", vector.hex);
    }
}

#[test]
fn keys_of_every_shape_are_read_and_written() {
    use ScalarType::{B, N, S};
    for (attributes, hex, expected) in [
        (&[("pk", S)][..], "686b76", json!({"pk": {"S": "hkv"}})),
        (&[("pk", S)], "", json!({"pk": {"S": ""}})),
        (&[("p\"k", N)], "05", json!({"p\"k": {"N": "5"}})),
        (&[("pk", N)], "c482201819", json!({"pk": {"N": "2.5"}})),
        (&[("pk", B)], "010203", json!({"pk": {"B": "AQID"}})),
        (&[("pk", S), ("sk", N)], "6161 c1288010", json!({"pk": {"S": "a"}, "sk": {"N": "1.5"}})),
        (&[("pk", S), ("sk", N)], "60 80", json!({"pk": {"S": ""}, "sk": {"N": "0"}})),
        (&[("pk", N), ("sk", S)], "c48220182d 726b76", json!({"pk": {"N": "4.5"}, "sk": {"S": "rkv"}})),
        (&[("pk", N), ("sk", N)], "05 c11c0000", json!({"pk": {"N": "5"}, "sk": {"N": "1"}})),
        (&[("pk", B), ("sk", N)], "43040506 c321c020", json!({"pk": {"B": "BAUG"}, "sk": {"N": "123"}})),
        (&[("pk", B), ("sk", B)], "40", json!({"pk": {"B": ""}, "sk": {"B": ""}})),
    ] {
        let (schema, bytes) = (schema(attributes), bytes_of_hex(hex));
        assert_eq!(normal_text(&key_json(&schema, &bytes).unwrap()), expected, "{hex}");
        assert_eq!(key_bytes(&schema, &expected), bytes, "{hex}");
    }
}

#[test]
fn one_number_is_one_key_however_it_is_written() {
    let (hash, both) =
        (schema(&[("pk", ScalarType::N)]), schema(&[("pk", ScalarType::N), ("sk", ScalarType::N)]));
    let keys = ["c482201819", "fb4004000000000000", "c4822118fa", "fa40200000"];
    for hex in keys {
        let key = bytes_of_hex(hex);
        assert_eq!(key_json(&hash, &key).unwrap(), r#"{"pk":{"N":"2.5"}}"#, "{hex}");
        assert_eq!(canonical(&hash, &key), canonical(&hash, &bytes_of_hex(keys[0])));
        for sort in ["c31c0020", "c31c0000"] {
            let key = [&key[..], &bytes_of_hex(sort)].concat();
            assert_eq!(
                key_json(&both, &key).unwrap(),
                r#"{"pk":{"N":"2.5"},"sk":{"N":"100"}}"#,
                "{hex} {sort}"
            );
        }
    }
}

#[test]
fn canonical_bytes_are_the_models_and_only_valid_keys_have_them() {
    let schema = schema(&[("pk", ScalarType::S), ("sk", ScalarType::B)]);
    let mut expected = Vec::new();
    crate::model::KeyValue::S("a\0b".into()).write_sortable(&mut expected);
    crate::model::KeyValue::B(vec![0, 1].into()).write_sortable(&mut expected);
    assert_eq!(canonical(&schema, b"\x63a\0b\x00\x01"), Some(expected));
    let long = |length: usize| {
        let mut key = Vec::new();
        Writer::new(&mut key).text(&"x".repeat(length));
        key.push(1);
        key
    };
    assert!(canonical(&schema, &long(2048)).is_some());
    for bad in [&long(2049)[..], b"\x61a", b"\x60\x01", b"\x41a\x01", b"", b"\x61"] {
        assert_eq!(canonical(&schema, bad), None, "{}", bad.len());
    }
    let number = self::schema(&[("pk", ScalarType::N)]);
    assert_eq!(canonical(&number, &bytes_of_hex("c48218ff01")), None);
}

#[test]
fn bytes_that_are_no_key_of_the_schema_are_told_as_dynamodb_would() {
    use ScalarType::{B, N, S};
    for (attributes, hex) in [
        (&[("pk", S)][..], "ff"),
        (&[("pk", N)], ""),
        (&[("pk", N)], "6131"),
        (&[("pk", N)], "0505"),
        (&[("pk", S), ("sk", N)], "6161"),
        (&[("pk", S), ("sk", N)], "4161 80"),
        (&[("pk", S), ("sk", N)], "6161 8080"),
        (&[("pk", B), ("sk", S)], "4161 ff"),
        (&[("pk", N), ("sk", S)], ""),
        (&[("pk", N), ("sk", B)], "c4"),
        (&[("pk", S), ("sk", S), ("more", S)], "6161 61"),
    ] {
        let error = key::write_json(&schema(attributes), &bytes_of_hex(hex), &mut Vec::new()).unwrap_err();
        assert_eq!(
            error.message.as_deref(),
            Some("The provided key element does not match the schema"),
            "{hex}"
        );
    }
    // A number that is none of DynamoDB's is for DynamoDB to reject.
    let sort = schema(&[("pk", S), ("sk", N)]);
    let beyond = key_json(&sort, &bytes_of_hex("60 fe8000007f 1c0000"));
    assert_eq!(beyond.as_deref(), Some(r#"{"pk":{"S":""},"sk":{"N":"1E126"}}"#));
}

#[test]
fn values_of_another_type_make_no_key() {
    let schema = schema(&[("pk", ScalarType::S), ("sk", ScalarType::N)]);
    for (partition, sort) in [
        (r#"{"N":"1"}"#, Some(r#"{"N":"1"}"#)),
        (r#"{"S":"a"}"#, Some(r#"{"S":"1"}"#)),
        (r#"{"S":"a"}"#, Some(r#"{"N":"x"}"#)),
        (r#"{"S":"a"}"#, None),
        (r#"{"M":{}}"#, Some(r#"{"N":"1"}"#)),
        (r#"{"S":"a"}x"#, Some(r#"{"N":"1"}"#)),
    ] {
        assert!(key::write_bytes(&schema, partition, sort, &mut Vec::new()).is_err(), "{partition}");
    }
    assert!(key::write_bytes_of_json(&schema, r#"{"pk":{"S":"a"}}"#, &mut Vec::new()).is_err());
    let mut out = Vec::new();
    key::write_bytes_of_json(
        &schema,
        r#"{"x":{"L":[]},"sk":{"N":"1.50"},"\u0070k":{"S":"\u0061"}}"#,
        &mut out,
    )
    .unwrap();
    assert_eq!(out, bytes_of_hex("6161 c1288010"));
}

#[test]
fn compound_keys_end_with_a_break() {
    let text = r#"{"gpk":{"S":"g"},"gsk":{"N":"94"},"pk":{"S":"q"},"sk":{"N":"6"}}"#;
    let expected = bytes_of_hex("bf 6367706b 6167 6367736b 185e 62706b 6171 62736b 06 ff");
    let mut out = Vec::new();
    key::write_compound(text, &mut out).unwrap();
    assert_eq!(out, expected);
    for bytes in [expected.clone(), [&[0xA4], &expected[1..expected.len() - 1]].concat()] {
        let mut out = Vec::new();
        key::write_json_of_compound(&bytes, &mut out).unwrap();
        assert_eq!(out, text.as_bytes());
    }
    for hex in ["", "bf", "bf 6161 ff", "bf 6161 01 ff 00", "81 01", "a1 01 01", "ff"] {
        let mut out = b"before".to_vec();
        assert!(key::write_json_of_compound(&bytes_of_hex(hex), &mut out).is_err(), "{hex}");
        assert_eq!(out, b"before");
    }
    assert!(key::write_compound(r#"{"a":1}"#, &mut Vec::new()).is_err());
}

/// What an answer's item is, if it has the form of value bytes.
fn is_bytes(reader: &Reader<'_>) -> bool {
    reader.peek() == Ok(Kind::Bytes)
}

/// Checks value bytes of an answer: they are read as the client has read them, and written again byte for byte.
fn check_answered(stub: &Stub, schema: &KeySchema, key: &[u8], value: &[u8], expected: &Value) {
    let text = item_json(schema, key, value, &stub.lists).unwrap();
    assert_eq!(normal_text(&text), stub::normal(expected));
    let mut both = Vec::new();
    ItemWriter::default().write_pair(&text, schema, &stub.lists, &mut both).unwrap();
    let mut wire = Vec::new();
    Writer::new(&mut wire).bytes(key);
    let mut alone = Vec::new();
    Writer::new(&mut alone).bytes(value);
    wire.extend_from_slice(&alone);
    assert_eq!(both, wire, "{text}");
    let mut out = Vec::new();
    ItemWriter::default().write_value(&text, schema, &stub.lists, &mut out).unwrap();
    assert_eq!(out, alone);
}

/// The bytes behind a key in an answer's map.
fn answered<'a>(response: &'a [u8], wanted: i64) -> Option<Reader<'a>> {
    let mut reader = Reader::new(response);
    if reader.array().unwrap().left() != Some(0) || reader.take_null().unwrap() {
        return None;
    }
    let mut members = reader.map().unwrap();
    while members.next(&mut reader).unwrap() {
        if reader.int_64().unwrap() == wanted {
            return Some(reader);
        }
        reader.skip(64).unwrap();
    }
    None
}

#[test]
fn items_of_real_clients_are_read_and_written() {
    let stub = Stub::new();
    let mut counts = [0; 4];
    for vector in vectors(None).iter().filter(|vector| !vector.request_hex.is_empty()) {
        let request = bytes_of_hex(&vector.request_hex);
        let Some((schema, mut arguments)) = stub.call(vector, &request) else { continue };
        let response = bytes_of_hex(&vector.response_hex);
        match &*vector.operation {
            "putItem" => {
                let (key, value) = (arguments.bytes().unwrap(), arguments.bytes().unwrap());
                let text = item_json(schema, key, value, &stub.lists).unwrap();
                assert_eq!(normal_text(&text), stub::normal(&vector.params["Item"]), "{}", vector.case);
                counts[0] += 1;
            }
            "getItem" => {
                let key = arguments.bytes().unwrap();
                let text = key_json(schema, key).unwrap();
                assert_eq!(normal_text(&text), stub::normal(&vector.params["Key"]), "{}", vector.case);
                if let Some(mut item) = answered(&response, 0).filter(is_bytes) {
                    let expected = &vector.client_result["ok"]["Item"];
                    check_answered(
                        &stub,
                        schema,
                        &key_bytes(schema, expected),
                        item.bytes().unwrap(),
                        expected,
                    );
                    counts[1] += 1;
                }
            }
            "query" | "scan" => counts[2] += check_page(&stub, schema, vector, &response),
            "updateItem" => counts[3] += check_updated(&stub, schema, vector, &response),
            _ => {}
        }
    }
    assert_eq!(counts, COUNTS);
}

/// Items put, items got, items of pages, updates with touched attributes.
const COUNTS: [usize; 4] = [34, 28, 66, 8];

fn check_page(stub: &Stub, schema: &KeySchema, vector: &Vector, response: &[u8]) -> usize {
    let mut count = 0;
    let result = &vector.client_result["ok"];
    if let Some(mut reader) = answered(response, 7) {
        let mut rows = reader.array().unwrap();
        for expected in result["Items"].as_array().unwrap() {
            assert!(rows.next(&mut reader).unwrap());
            if reader.peek() == Ok(Kind::Array) {
                assert_eq!(reader.array().unwrap().left(), Some(2));
                let (key, value) = (reader.bytes().unwrap(), reader.bytes().unwrap());
                check_answered(stub, schema, key, value, expected);
                count += 1;
            } else {
                reader.skip(64).unwrap();
            }
        }
    }
    if let Some(mut reader) = answered(response, 9) {
        let (last, expected) = (reader.bytes().unwrap(), &result["LastEvaluatedKey"]);
        let (mut text, mut bytes) = (Vec::new(), Vec::new());
        if expected.as_object().unwrap().len() > 2 {
            key::write_json_of_compound(last, &mut text).unwrap();
            key::write_compound(str::from_utf8(&text).unwrap(), &mut bytes).unwrap();
        } else {
            key::write_json(schema, last, &mut text).unwrap();
            key::write_bytes_of_json(schema, str::from_utf8(&text).unwrap(), &mut bytes).unwrap();
        }
        assert_eq!(normal_text(str::from_utf8(&text).unwrap()), stub::normal(expected));
        assert_eq!(bytes, last);
    }
    count
}

fn check_updated(stub: &Stub, schema: &KeySchema, vector: &Vector, response: &[u8]) -> usize {
    let Some(mut reader) = answered(response, 2) else { return 0 };
    let (value, expected) = (reader.bytes().unwrap(), &vector.client_result["ok"]["Attributes"]);
    if vector.params["ReturnValues"].as_str().unwrap().starts_with("ALL") {
        check_answered(stub, schema, &key_bytes(schema, expected), value, expected);
        return 0;
    }
    let mut out = Vec::new();
    ItemWriter::default().write_touched(&expected.to_string(), &stub.lists, &mut out).unwrap();
    let written = Reader::new(&out).bytes().unwrap();
    assert_eq!(stub::touched(written), stub::touched(value), "{}", vector.case);
    1
}

#[test]
fn a_list_that_is_not_defined_is_named_and_defined_and_found() {
    let lists = AttributeLists::in_memory(Default::default());
    let schema = schema(&[("pk", ScalarType::S)]);
    let item = r#"{"b":{"N":"2"},"pk":{"S":"k"},"a\"":{"N":"1"},"c":{"S":"x"}}"#;
    let (mut writer, mut out) = (ItemWriter::default(), b"before".to_vec());
    let fault = writer.write_pair(item, &schema, &lists, &mut out).unwrap_err();
    let ItemFault::Unlisted(names) = fault else { panic!("{fault:?}") };
    assert_eq!((&names[..], &out[..]), (&["a\"".to_owned(), "b".into(), "c".into()][..], &b"before"[..]));
    let id = lists.define(&names).unwrap();
    out.clear();
    writer.write_pair(item, &schema, &lists, &mut out).unwrap();
    let mut reader = Reader::new(&out);
    assert_eq!(reader.bytes(), Ok(&b"k"[..]));
    let value = reader.bytes().unwrap();
    let mut values = Reader::new(value);
    assert_eq!(values.int(), Ok(i128::from(id)));
    assert_eq!(values.rest(), bytes_of_hex("01 02 6178"));
    let text = item_json(&schema, b"k", value, &lists).unwrap();
    assert_eq!(text, r#"{"pk":{"S":"k"},"a\"":{"N":"1"},"b":{"N":"2"},"c":{"S":"x"}}"#);
    let mut touched = Vec::new();
    writer.write_touched(r#"{"b":{"N":"2"},"c":{"S":"x"},"a\"":{"N":"1"}}"#, &lists, &mut touched).unwrap();
    let touched = Reader::new(&touched).bytes().unwrap();
    assert_eq!(touched[9..], bytes_of_hex("a3 00 01 01 02 02 6178"));
}

#[test]
fn an_item_of_keys_alone_has_the_empty_list() {
    let lists = AttributeLists::in_memory(Default::default());
    let schema = schema(&[("pk", ScalarType::S), ("sk", ScalarType::N)]);
    let item = r#"{"pk":{"S":"k"},"sk":{"N":"-7"}}"#;
    let mut out = Vec::new();
    ItemWriter::default().write_pair(item, &schema, &lists, &mut out).unwrap();
    assert_eq!(out, bytes_of_hex("46 616b3e4dfff0 41 01"));
    assert_eq!(item_json(&schema, &out[1..7], &[1], &lists).as_deref(), Some(item));
}

#[test]
fn value_bytes_that_do_not_fit_their_list_are_rejected() {
    let id = 1 << 40;
    let lists = AttributeLists::with_ids([(id, vec!["a".into(), "b".into()])]);
    let schema = schema(&[("pk", ScalarType::S)]);
    let head = "1b0000010000000000";
    assert!(item_json(&schema, b"k", &bytes_of_hex(&format!("{head} 01 02")), &lists).is_some());
    for bad in [
        "",
        "02",
        "20",
        "6161",
        "1bffffffffffffffff",
        head,
        &format!("{head} 01"),
        &format!("{head} 01 02 03"),
        &format!("{head} 01 ff"),
        "01 01",
    ] {
        assert_eq!(item_json(&schema, b"k", &bytes_of_hex(bad), &lists), None, "{bad}");
    }
    let error = item::write_members(&[2], &lists, &mut Vec::new()).unwrap_err();
    assert_eq!(error.code, crate::model::ErrorCode::Validation);
}

/// Names of attributes, none twice, in any order.
fn any_names() -> impl Strategy<Value = Vec<String>> {
    prop::collection::btree_set("[a-d\"é]{1,3}", 0..6)
        .prop_map(|names| names.into_iter().collect::<Vec<_>>())
        .prop_shuffle()
}

proptest! {
    #[test]
    fn items_survive_the_way_there_and_back(
        shapes in prop::collection::vec((any_names(), prop::collection::vec(any_value(), 6)), 1..4),
        order in prop::collection::vec(0..4_usize, 1..8),
        partition in any::<i64>(),
    ) {
        let lists = AttributeLists::in_memory(Default::default());
        let schema = schema(&[("pk", ScalarType::N)]);
        // One writer for all of them, which must not take one shape for another.
        let mut writer = ItemWriter::default();
        for (names, values) in order.iter().map(|place| &shapes[place % shapes.len()]) {
            let member = |(name, value): (&String, &String)| format!("{}:{value}", serde_json::to_string(name).unwrap());
            let mut members: Vec<String> = names.iter().zip(values).map(member).collect();
            members.insert(names.len() / 2, format!(r#""pk":{{"N":"{partition}"}}"#));
            let text = format!("{{{}}}", members.join(","));
            let mut out = Vec::new();
            let mut written = writer.write_pair(&text, &schema, &lists, &mut out);
            if let Err(ItemFault::Unlisted(names)) = &written {
                lists.define(names).unwrap();
                written = writer.write_pair(&text, &schema, &lists, &mut out);
            }
            prop_assert_eq!(written, Ok(()));
            let mut reader = Reader::new(&out);
            let (key, value) = (reader.bytes().unwrap(), reader.bytes().unwrap());
            prop_assert!(reader.is_at_end());
            let read = item_json(&schema, key, value, &lists).unwrap();
            // Both are in canonical form but for the order of their members.
            let tree = |text: &str| serde_json::from_str::<std::collections::BTreeMap<String, &serde_json::value::RawValue>>(text).map(|tree| format!("{tree:?}")).unwrap();
            prop_assert_eq!(tree(&read), tree(&text));
        }
    }

    #[test]
    fn numbers_as_keys_survive_the_way_there_and_back(hash in any::<f64>(), sort in any::<i64>(), scale in -60..60_i32) {
        let (Ok(hash), Ok(sort)) = (Number::parse(&format!("{hash:e}")), Number::parse(&format!("{sort}e{scale}"))) else {
            return Ok(());
        };
        let schema = schema(&[("pk", ScalarType::N), ("sk", ScalarType::N)]);
        let attributes = json!({"pk": {"N": hash.to_string()}, "sk": {"N": sort.to_string()}});
        let key = key_bytes(&schema, &attributes);
        prop_assert_eq!(normal_text(&key_json(&schema, &key).unwrap()), attributes);
    }
}
