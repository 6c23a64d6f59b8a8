//! Answers besides those that were recorded, and errors.

use super::bytes_of_hex;
use super::calls::{cancelled, decode, reply};
use super::stub::Stub;
use crate::call::Answer;
use crate::dax::answer::{self, Reply, Unlisted};
use crate::dax::attribute_lists::{AttributeLists, Limits};
use crate::dax::cbor::Reader;
use crate::dax::item::ItemWriter;
use crate::dax::method::Method;
use crate::dax::request::{Call, Decoded};
use crate::model::{ApiError, ErrorCode, Operation};

/// `tab_sn`, whose key is `pk` (S) and `sk` (N); and a key of it.
const TABLE: &str = "46 7461625f736e";
const KEY: &str = "46 6161c1288010";

fn decoded(method: Method, hex: &str) -> Decoded {
    let bytes = bytes_of_hex(hex);
    match Call::parse(method, &bytes) {
        Ok(Call::Data(call)) => decode(&call, &Stub::new()).unwrap(),
        other => panic!("{other:?}"),
    }
}

fn get(options: &str) -> Decoded {
    decoded(Method::GetItem, &format!("{TABLE} {KEY} {options}"))
}

fn answered(decoded: &Decoded, json: &str) -> Reply {
    reply(&Answer::ok(json.to_owned()), decoded, &Stub::new())
}

fn assert_answered(decoded: &Decoded, json: &str, hex: &str) {
    let reply = answered(decoded, json);
    assert_eq!(reply.bytes, bytes_of_hex(hex), "{json}");
    assert!(reply.error.is_none());
}

#[test]
fn an_item_is_there_without_being_asked_for_more() {
    let capacity = r#""ConsumedCapacity":{"TableName":"t","CapacityUnits":0.5}"#;
    let bytes = "4e 6174 fb3fe0000000000000 f6f6f6";
    for (options, json, hex) in [
        ("f6", "{}".to_owned(), "80 f6".to_owned()),
        ("f6", r#"{"Item":null}"#.to_owned(), "80 f6".to_owned()),
        ("f6", r#"{"Item":{"pk":{"S":"a"},"sk":{"N":"1"}}}"#.to_owned(), "80 a1 00 41 01".to_owned()),
        // What was not asked for is not sent: a client of Go would hand it through.
        ("f6", format!("{{{capacity}}}"), "80 f6".to_owned()),
        ("a1 03 00", format!("{{{capacity}}}"), "80 f6".to_owned()),
        ("a1 03 01", format!("{{{capacity}}}"), format!("80 a1 01 {bytes}")),
        ("a1 03 01", "{}".to_owned(), "80 f6".to_owned()),
        // A projection without any value is an item all the same.
        ("a1 00 48 8201818212626e6f", r#"{"Item":{}}"#.to_owned(), "80 a1 00 a0".to_owned()),
    ] {
        assert_answered(&get(options), &json, &hex);
    }
}

#[test]
fn attributes_of_a_write_are_shown_as_they_were_asked_for() {
    let item = r#"{"Attributes":{"v":{"N":"2"},"pk":{"S":"a"},"sk":{"N":"1"}}}"#;
    let touched = r#"{"Attributes":{"m":{"M":{"q":{"N":"6"}}},"a":{"N":"2"}}}"#;
    for (values, json, hex) in [
        ("01", item, "80 f6"),
        ("02", item, "80 a1 02 46 1a004c944a 02"),
        ("04", item, "80 a1 02 46 1a004c944a 02"),
        ("03", touched, "80 a1 02 4d 1a0010d651 a2 00 02 01 a1617106"),
        ("05", touched, "80 a1 02 4d 1a0010d651 a2 00 02 01 a1617106"),
        ("05", "{}", "80 f6"),
    ] {
        let update = decoded(Method::UpdateItem, &format!("{TABLE} {KEY} a1 07 {values}"));
        assert_answered(&update, json, hex);
    }
    let put = decoded(Method::PutItem, &format!("{TABLE} {KEY} 41 01 f6"));
    assert_answered(&put, "{}", "80 f6");
    assert_answered(&put, "  { }\n", "80 f6");
}

#[test]
fn a_page_has_what_it_counts_unless_only_the_count_was_asked_for() {
    let json = r#"{"Items":[{"pk":{"S":"a"},"sk":{"N":"1.5"},"v":{"N":"1"}}],"Count":1,"ScannedCount":3,
        "LastEvaluatedKey":{"pk":{"S":"a"},"sk":{"N":"1.5"}}}"#;
    let scan = |options: &str| decoded(Method::Scan, &format!("{TABLE} {options}"));
    assert_answered(
        &scan("f6"),
        json,
        &format!("80 a4 07 81 82 {KEY} 46 1a004c944a 01 08 01 0a 03 09 {KEY}"),
    );
    assert_answered(&scan("a1 0f 03"), r#"{"Count":5,"ScannedCount":9}"#, "80 a2 08 05 0a 09");
    assert_answered(&scan("f6"), r#"{"Items":[],"Count":0,"ScannedCount":0}"#, "80 a3 07 80 08 00 0a 00");
    assert_answered(&scan("f6"), "{}", "80 a3 07 80 08 00 0a 00");
    let last = r#"{"Items":[],"Count":0,"ScannedCount":0,"LastEvaluatedKey":{"g":{"S":"g"},"pk":{"S":"q"},"sk":{"N":"6"}}}"#;
    assert_answered(
        &scan("a1 0b 44 67736931"),
        last,
        "80 a4 07 80 08 00 0a 00 09 4f bf 6167 6167 62706b 6171 62736b 06 ff",
    );
}

#[test]
fn a_batch_lists_every_table_and_what_is_left_undone() {
    let (first, second) = (TABLE.replacen("46", "66", 1), "65 7461625f73");
    let reads =
        decoded(Method::BatchGetItem, &format!("a2 {first} 83 f4 f6 81 {KEY} {second} 83 f4 f6 81 4161 f6"));
    assert_answered(&reads, "{}", &format!("80 82 a2 {first} 80 {second} 80 a0 80"));
    assert_answered(
        &reads,
        r#"{"Responses":{"tab_s":[{"v":{"S":"x"},"pk":{"S":"a"}}]},
            "UnprocessedKeys":{"tab_sn":{"Keys":[{"sk":{"N":"1.5"},"pk":{"S":"a"}}],"ConsistentRead":true}}}"#,
        &format!("80 82 a2 {first} 80 {second} 82 4161 47 1a004c944a 6178 a1 {first} 81 {KEY} 80"),
    );
    let writes = decoded(Method::BatchWriteItem, &format!("a1 {first} 82 {KEY} f6 f6"));
    assert_answered(
        &writes,
        r#"{"UnprocessedItems":{"tab_sn":[{"DeleteRequest":{"Key":{"pk":{"S":"a"},"sk":{"N":"1.5"}}}},
            {"PutRequest":{"Item":{"pk":{"S":"a"},"sk":{"N":"1.5"},"v":{"N":"1"}}}}]}}"#,
        &format!("80 a1 {first} 84 {KEY} f6 {KEY} 46 1a004c944a 01 80 a0"),
    );
}

#[test]
fn capacity_is_told_in_every_detail_that_it_has() {
    let capacity = r#"{"TableName":"t","CapacityUnits":3,"ReadCapacityUnits":1.5,"WriteCapacityUnits":1,
        "Table":{"CapacityUnits":1,"WriteCapacityUnits":1},
        "GlobalSecondaryIndexes":{"g":{"CapacityUnits":2}},"LocalSecondaryIndexes":{}}"#;
    let (one, two, three) = ("fb3ff0000000000000", "fb4000000000000000", "fb4008000000000000");
    let json = format!("{{\"ConsumedCapacity\":{capacity}}}");
    assert_answered(&get("a1 03 02"), &json, &format!("80 a1 01 5821 6174 {three} {one} a1 6167 {two} a0"));
    let transaction = decoded(Method::TransactWriteItems, "80 80 80 f6 f6 f6 f6 f6 a1 03 02");
    assert_answered(
        &transaction,
        &json.replace(":{\"TableName", ":[{\"TableName").replace("{}}}", "{}}]}"),
        &format!(
            "80 83 80 81 a7 04 6174 01 {three} 02 fb3ff8000000000000 03 {one} \
             05 a2 01 {one} 03 {one} 06 a1 6167 a1 01 {two} 07 a0 a0"
        ),
    );
}

#[test]
fn an_answer_that_cannot_be_shown_is_an_internal_error() {
    let projected = "a1 00 49 820181821263746167";
    for (options, json) in [
        ("f6", ""),
        ("f6", "[]"),
        ("f6", "{\"Item\":"),
        ("f6", "{\"Item\":{}} {}"),
        ("f6", "{\"Item\":[]}"),
        ("f6", "{\"Item\":{\"v\":{\"X\":\"1\"}}}"),
        ("f6", "{\"Item\":{\"v\":{\"N\":\"x\"}}}"),
        ("f6", "{\"Item\":{\"v\":1}}"),
        ("a1 03 01", "{\"ConsumedCapacity\":{\"CapacityUnits\":\"many\"}}"),
        (projected, "{\"Item\":{\"other\":{\"S\":\"x\"}}}"),
    ] {
        let reply = answered(&get(options), json);
        assert!(reply.bytes.starts_with(&bytes_of_hex("85 01 1825 1826 1827 182f")), "{json}");
        assert_eq!(reply.error, Some(ErrorCode::InternalServerError.into()));
    }
    let reply = reply(&Answer::ok(&b"\xFF"[..]), &get("f6"), &Stub::new());
    assert!(reply.error.is_some());
    // A write has happened, and a client must not take it for one that has not.
    let put = decoded(Method::PutItem, &format!("{TABLE} {KEY} 41 01 a1 07 02"));
    let reply = answered(&put, "{\"Attributes\":7}");
    assert!(reply.bytes.starts_with(&bytes_of_hex("85 04 1825 1826 1827 182f")));
    let page = decoded(Method::Scan, &format!("{TABLE} f6"));
    for json in [
        "{\"Items\":[{\"pk\":{\"S\":\"a\"}}]}",
        "{\"Items\":{}}",
        "{\"Count\":-1}",
        "{\"LastEvaluatedKey\":{}}",
    ] {
        assert!(answered(&page, json).error.is_some(), "{json}");
    }
    let batch = decoded(Method::BatchGetItem, "a1 65 7461625f73 83 f4 f6 81 4161 f6");
    for json in ["{\"Responses\":{\"other\":[]}}", "{\"UnprocessedKeys\":{\"other\":{}}}"] {
        assert!(answered(&batch, json).error.is_some(), "{json}");
    }
    let transaction = decoded(Method::TransactGetItems, &format!("81 {TABLE} 81 {KEY} f6 f6"));
    assert!(answered(&transaction, "{\"Responses\":[]}").error.is_some());
    assert_answered(&transaction, "{\"Responses\":[{}]}", "80 82 81 f6 80");
}

#[test]
fn lists_that_no_client_can_know_are_asked_for_all_at_once() {
    let decoded = decoded(Method::Scan, &format!("{TABLE} f6"));
    let item =
        |name: &str| format!("{{\"pk\":{{\"S\":\"a\"}},\"sk\":{{\"N\":\"1\"}},\"{name}\":{{\"S\":\"x\"}}}}");
    let answer =
        Answer::ok(format!("{{\"Items\":[{},{},{},{}]}}", item("b"), item("a"), item("b"), item("v")));
    let lists = AttributeLists::in_memory(Limits::default());
    lists.define(&["v"]).unwrap();
    let mut items = ItemWriter::default();
    let unlisted = answer::reply(&answer, &decoded.shape, None, &lists, &mut items).unwrap_err();
    assert_eq!(unlisted, Unlisted(vec![vec!["a".to_owned()], vec!["b".to_owned()]]));
    lists.define_all(&unlisted.0).unwrap();
    let reply = answer::reply(&answer, &decoded.shape, None, &lists, &mut items).unwrap();
    assert!(reply.error.is_none());
}

#[test]
fn an_error_keeps_its_name_its_status_and_its_words() {
    let errors = [
        (ApiError::validation("The words").into(), "85 04 1825 1826 1827 182e 69 54686520776f726473"),
        (ApiError { message: None, ..ApiError::validation("") }.into(), "85 04 1825 1826 1827 182e 60"),
        (ApiError::new(ErrorCode::AccessDenied, "no").into(), "84 04 1825 1826 182a 62 6e6f"),
        // What stands between node and upstream may answer anything.
        (Answer { status: 502, ..Answer::ok("<html>") }, "85 01 1825 1826 1827 182f 60"),
        (
            Answer { status: 400, ..Answer::ok(r#"{"__type":"a#RequestLimitExceeded","Message":"slow"}"#) },
            "85 04 1825 1826 1827 183d 64 736c6f77",
        ),
    ];
    for (answer, begin) in errors {
        let reply = reply(&answer, &get("f6"), &Stub::new());
        assert!(reply.bytes.starts_with(&bytes_of_hex(begin)), "{answer:?} {:x?}", reply.bytes);
        let mut reader = Reader::new(&reply.bytes);
        reader.skip(4).unwrap();
        reader.skip(4).unwrap();
        assert_eq!(reader.array().unwrap().left(), Some(3));
        assert_eq!(reader.text(), Ok("REQ-1"));
        assert_eq!(reader.text(), Ok(reply.error.unwrap().text()));
        assert_eq!(reader.int_64(), Ok(answer.status.into()));
        reader.end().unwrap();
    }
}

#[test]
fn a_cancelled_transaction_says_as_many_reasons_as_it_has_actions() {
    let gets = decoded(Method::TransactGetItems, &format!("82 {TABLE} {TABLE} 82 {KEY} {KEY} f6 f6"));
    let begin = bytes_of_hex("85 04 1825 1826 1827 183a");
    let reasons = |json: &str| {
        let reply = reply(&cancelled(json), &gets, &Stub::new());
        assert!(reply.bytes.starts_with(&begin));
        let mut reader = Reader::new(&reply.bytes);
        reader.skip(4).unwrap();
        reader.skip(4).unwrap();
        let mut info = reader.array().unwrap();
        (0..3).for_each(|_| {
            assert!(info.next(&mut reader).unwrap());
            reader.skip(4).unwrap();
        });
        info.next(&mut reader).unwrap().then(|| reader.rest().to_vec())
    };
    let expected = bytes_of_hex("86 64 4e6f6e65 f6 f6 6f 5468726f74746c696e674572726f72 616d f6");
    assert_eq!(
        reasons(r#"[{"Code":"None"},{"Code":"ThrottlingError","Message":"m","Item":null}]"#),
        Some(expected)
    );
    for json in ["[]", "[{\"Code\":\"None\"}]", "7", "[1,2]", "[{\"Code\":1},{}]"] {
        assert_eq!(reasons(json), None, "{json}");
    }
}

#[test]
fn a_batch_is_finished_by_asking_for_the_rest_of_it() {
    let request = r#"{"RequestItems":{"t":{"Keys":[1,2]}},"ReturnConsumedCapacity":"TOTAL"}"#;
    let first = r#"{"Responses":{"t":[{"a":1}],"u":[{"c":3}]},"UnprocessedKeys":{"t":{"Keys":[2]}},"ConsumedCapacity":[{"TableName":"t","CapacityUnits":4},{"TableName":"u","CapacityUnits":1}]}"#;
    let rest = answer::unprocessed(Operation::BatchGetItem, request.as_bytes(), first.as_bytes()).unwrap();
    assert_eq!(
        String::from_utf8(rest).unwrap(),
        r#"{"RequestItems":{"t":{"Keys":[2]}},"ReturnConsumedCapacity":"TOTAL"}"#
    );
    let second = r#"{"Responses":{"t":[{"b":2}],"v":[]},"UnprocessedKeys":{},"ConsumedCapacity":[{"TableName":"t","CapacityUnits":0.5,"Table":{"CapacityUnits":0.5}}]}"#;
    let joined = answer::joined(Operation::BatchGetItem, first.as_bytes(), second.as_bytes()).unwrap();
    assert_eq!(
        String::from_utf8(joined.clone()).unwrap(),
        r#"{"Responses":{"t":[{"a":1},{"b":2}],"u":[{"c":3}],"v":[]},"ConsumedCapacity":[{"TableName":"t","CapacityUnits":4.5,"Table":{"CapacityUnits":0.5}},{"TableName":"u","CapacityUnits":1}],"UnprocessedKeys":{}}"#
    );
    assert_eq!(answer::unprocessed(Operation::BatchGetItem, request.as_bytes(), &joined), None);
    for (operation, answer) in [
        (Operation::GetItem, first),
        (Operation::BatchWriteItem, first),
        (Operation::BatchGetItem, "{}"),
        (Operation::BatchGetItem, "{"),
        (Operation::BatchGetItem, r#"{"UnprocessedKeys":[]}"#),
    ] {
        assert_eq!(answer::unprocessed(operation, request.as_bytes(), answer.as_bytes()), None, "{answer}");
    }
    let first = r#"{"UnprocessedItems":{"t":[1]},"ItemCollectionMetrics":{"t":[1]}}"#;
    let joined = answer::joined(Operation::BatchWriteItem, first.as_bytes(), b"{}").unwrap();
    assert_eq!(
        String::from_utf8(joined).unwrap(),
        r#"{"ItemCollectionMetrics":{"t":[1]},"UnprocessedItems":{}}"#
    );
}
