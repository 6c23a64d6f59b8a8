//! What requests may look like besides those that were recorded.

use serde_json::{Value, json};

use super::calls::{decode, parse, schema_of};
use super::stub::Stub;
use super::{bytes_of_hex, vectors};
use crate::dax::cbor::{Reader, Writer};
use crate::dax::method::Method;
use crate::dax::request::{Call, Client, DataCall, Known};
use crate::model::{ApiError, ErrorCode};

/// `tab_sn`, whose key is `pk` (S) and `sk` (N), as the clients write it; and a key of it.
const TABLE: &str = "46 7461625f736e";
const KEY: &str = "46 6161c1288010";

fn data<T>(method: Method, hex: &str, use_call: impl FnOnce(Result<DataCall<'_>, ApiError>) -> T) -> T {
    let bytes = bytes_of_hex(hex);
    match Call::parse(method, &bytes) {
        Ok(Call::Data(call)) => use_call(Ok(call)),
        Ok(other) => panic!("{other:?}"),
        Err(error) => use_call(Err(error)),
    }
}

/// The JSON that a request becomes.
fn asked(method: Method, hex: &str) -> Result<Value, ApiError> {
    data(method, hex, |call| decode(&call?, &Stub::new()))
        .map(|decoded| serde_json::from_slice(&decoded.body).unwrap())
}

/// The members that options of a query become.
fn options(hex: &str) -> Result<Value, String> {
    let mut asked = asked(Method::Query, &format!("{TABLE} f6 {hex}"))
        .map_err(|error| error.message.unwrap_or_default().into_owned())?;
    asked.as_object_mut().unwrap().remove("TableName");
    Ok(asked)
}

#[test]
fn what_concerns_the_protocol_alone_is_read() {
    let read = |operation: &str| {
        let vector = vectors(Some(operation)).swap_remove(0);
        let request = bytes_of_hex(&vector.request_hex);
        format!("{:?}", parse(&request).unwrap().unwrap())
    };
    assert_eq!(read("endpoints"), "Endpoints");
    assert_eq!(read("defineKeySchema"), "DefineKeySchema { table: \"tab_sn\" }");
    assert_eq!(read("defineAttributeListId"), "DefineAttributeListId { names: [\"n\", \"x\"] }");
    assert_eq!(read("defineAttributeList"), "DefineAttributeList { id: 16235115 }");
    // Neither the key nor the signature is shown.
    assert_eq!(
        read("authorizeConnection"),
        "AuthorizeConnection(Authorization { user_agent: Some(\"DaxPythonClient-2.1.0\"), .. })"
    );
    let request = bytes_of_hex(&vectors(Some("authorizeConnection"))[0].request_hex);
    let Some(Ok(Call::AuthorizeConnection(authorization))) = parse(&request) else { panic!() };
    assert_eq!(authorization.access_key_id, "AKIDEXAMPLE");
    assert_eq!((authorization.signature.len(), authorization.session_token), (64, None));
    assert!(authorization.string_to_sign.starts_with(b"AWS4-HMAC-SHA256\n"));
}

#[test]
fn a_list_has_no_more_names_than_an_item() {
    let names = |count: usize| {
        let mut arguments = Vec::new();
        Writer::new(&mut arguments).array(count);
        arguments.resize(arguments.len() + count, 0x60);
        Call::parse(Method::DefineAttributeListId, &arguments).is_ok()
    };
    assert!(names(204_800) && !names(204_801));
}

#[test]
fn a_call_names_its_tables_once_each() {
    let tables = |operation: &str| {
        let vector = vectors(Some(operation)).into_iter().find(|vector| !vector.case.is_empty()).unwrap();
        let request = bytes_of_hex(&vector.request_hex);
        let Some(Ok(Call::Data(call))) = parse(&request) else { panic!() };
        call.tables().join(" ")
    };
    assert_eq!(tables("getItem"), "tab_sn");
    assert_eq!(tables("scan"), "tab_s");
    for operation in ["batchGetItem", "batchWriteItem", "transactGetItems", "transactWriteItems"] {
        assert_eq!(tables(operation), "tab_s tab_sn", "{operation}");
    }
}

#[test]
fn a_table_without_a_schema_is_not_found() {
    let call = format!("47 6e6f7768657265 {KEY} f6");
    let error = asked(Method::GetItem, &call).unwrap_err();
    assert_eq!(error.code, ErrorCode::ResourceNotFound);
    assert_eq!(error.message.as_deref(), Some("Requested resource not found"));
}

#[test]
fn options_are_read_in_every_form() {
    for (hex, expected) in [
        ("f6", json!({})),
        ("a0", json!({})),
        ("bfff", json!({})),
        ("bf 0300 0600 0701 ff", json!({})),
        (
            "a3 0301 0601 0705",
            json!({"ReturnConsumedCapacity": "TOTAL", "ReturnItemCollectionMetrics": "SIZE", "ReturnValues": "UPDATED_NEW"}),
        ),
        ("a1 02 f5", json!({"ConsistentRead": true})),
        ("a1 02 01", json!({"ConsistentRead": true})),
        ("a2 02 f4 0e 00", json!({"ConsistentRead": false, "ScanIndexForward": false})),
        ("a1 0e f5", json!({"ScanIndexForward": true})),
        ("a2 0d f6 0a f6", json!({})),
        ("a3 0d 0a 10 02 11 04", json!({"Limit": 10, "Segment": 2, "TotalSegments": 4})),
        ("a1 0d 1bffffffffffffffff", json!({"Limit": u64::MAX})),
        ("a1 0f 03", json!({"Select": "COUNT"})),
        ("a1 0b 44 67736931", json!({"IndexName": "gsi1"})),
        ("a1 13 61 74", json!({"ClientRequestToken": "t"})),
        // Python's copies of names and values may be anything.
        ("a2 01 00 05 a1 01 02", json!({})),
        // Numbers that stand for nothing are for DynamoDB to reject.
        ("a2 03 03 0f 20", json!({"ReturnConsumedCapacity": "3", "Select": "-1"})),
        ("a1 07 00", json!({"ReturnValues": "0"})),
    ] {
        assert_eq!(options(hex), Ok(expected), "{hex}");
    }
}

#[test]
fn the_last_of_a_repeated_option_counts() {
    let text = "58 18 6174747269627574655f6e6f745f65786973747328237029";
    let code = "4a 8301820c821262706b80";
    let expected = json!({
        "ConditionExpression": "attribute_not_exists(#0)",
        "ExpressionAttributeNames": {"#0": "pk"},
    });
    assert_eq!(options(&format!("bf 0300 04 {text} 04 {code} 01 a1 622370 62706b ff")), Ok(expected.clone()));
    // Python could as well send its text as text.
    assert_eq!(options(&format!("a2 04 78 {} 04 {code}", &text[3..])), Ok(expected));
    assert_eq!(options("a2 0d 0a 0d 05"), Ok(json!({"Limit": 5})));
    assert_eq!(options("a2 0d 0a 0d f6"), Ok(json!({})));
    let error = "Invalid ConditionExpression: Syntax error; the encoded expression is malformed";
    assert_eq!(options(&format!("a1 04 {text}")), Err(error.to_owned()));
}

#[test]
fn what_no_client_sends_is_rejected() {
    for (hex, expected) in [
        ("a1 0c 00", "its option 12 is not known"),
        ("a1 12 00", "its option 18 is not known"),
        ("a1 14 00", "its option 20 is not known"),
        ("a1 20 00", "its option -1 is not known"),
        ("a1 1b7fffffffffffffff 00", "its option 9223372036854775807 is not known"),
        ("a1 0d 61 31", "in its Limit, an integer was expected"),
        ("a1 00 00", "in its ProjectionExpression, a byte string was expected"),
        ("a1 13 41 74", "in its ClientRequestToken, a text string was expected"),
        ("a1 02 61 31", "in its ConsistentRead, true or false was expected"),
        ("a1 0b 41 ff", "in its IndexName, a name is not UTF-8"),
        ("a1 61 30 00", "an integer was expected"),
        ("80", "a map was expected"),
        ("a1 0d", "cut short"),
        ("f6 f6", "more than expected"),
    ] {
        assert_eq!(options(hex), Err(format!("The request cannot be read: {expected}")), "{hex}");
    }
}

#[test]
fn select_all_is_what_a_client_of_go_sends_for_nothing() {
    let stub = Stub::new();
    let select = |user_agent: &str, options: &str| {
        let request = bytes_of_hex(&format!("{TABLE} f6 {options}"));
        let Ok(Call::Data(call)) = Call::parse(Method::Query, &request) else { panic!() };
        let client = Client::of_user_agent(user_agent);
        let known = Known { client, schema_of: &|table| schema_of(&stub, table), lists: &stub.lists };
        let body: Value = serde_json::from_slice(&call.decode(&known).unwrap().body).unwrap();
        body.get("Select").map(|select| select.as_str().unwrap().to_owned())
    };
    let all = || Some("ALL_ATTRIBUTES".to_owned());
    for (user_agent, expected) in [
        ("DaxGoV2Client-1.0.3", None),
        ("DaxGoClient-1.2.14", None),
        ("DaxPythonClient-2.1.0", all()),
        ("app/1 DaxPythonClient-2.1.0", all()),
        ("DaxJSV3Client-3.1.0", all()),
        ("someone", None),
    ] {
        assert_eq!(select(user_agent, "a1 0f 01"), expected, "{user_agent}");
    }
    // Python is known by its copies of names and values, too.
    assert_eq!(select("someone", "a2 0f 01 05 a0"), all());
    assert_eq!(select("someone", "a2 01 a0 0f 01"), all());
    assert_eq!(select("DaxGoV2Client-1.0.3", "a1 0f 04"), Some("SPECIFIC_ATTRIBUTES".to_owned()));
}

#[test]
fn the_start_of_an_index_is_a_compound_key_and_of_a_table_a_key() {
    let compound = "57 bf 6367706b 6167 6367736b 185e 62706b 6171 62736b 06 ff";
    let start = json!({"gpk": {"S": "g"}, "gsk": {"N": "94"}, "pk": {"S": "q"}, "sk": {"N": "6"}});
    assert_eq!(
        options(&format!("a2 09 {compound} 0b 44 67736931")),
        Ok(json!({"IndexName": "gsi1", "ExclusiveStartKey": start}))
    );
    let definite = compound.replace("57 bf", "56 a4").replace(" ff", "");
    assert!(options(&format!("a2 0b 44 67736931 09 {definite}")).is_ok());
    assert_eq!(
        options("a1 09 46 6171c14e0000"),
        Ok(json!({"ExclusiveStartKey": {"pk": {"S": "q"}, "sk": {"N": "3"}}}))
    );
    assert!(options(&format!("a1 09 {compound}")).is_err());
    assert!(options("a2 09 46 6171c14e0000 0b 44 67736931").is_err());
}

#[test]
fn a_transactions_arrays_may_be_null_where_they_say_nothing() {
    let call = format!("81 0c 81 {TABLE} 81 {KEY} f6 f6 f6 81 4a8301820c821262706b80 f6 f6");
    let check = json!({
        "TableName": "tab_sn",
        "Key": {"pk": {"S": "a"}, "sk": {"N": "1.5"}},
        "ConditionExpression": "attribute_not_exists(#0)",
        "ExpressionAttributeNames": {"#0": "pk"},
    });
    let asked_for = asked(Method::TransactWriteItems, &call).unwrap();
    assert_eq!(asked_for, json!({"TransactItems": [{"ConditionCheck": check}]}));
    let get = format!("81 {TABLE} 81 {KEY} f6 f6");
    assert!(asked(Method::TransactGetItems, &get).is_ok());
    assert_eq!(asked(Method::TransactGetItems, "80 80 80 f6").unwrap(), json!({"TransactItems": []}));
    let on_failure = format!("82 07 07 82 {TABLE} {TABLE} 82 {KEY} {KEY} f6 f6 82 02 09 f6 f6 f6");
    let items = asked(Method::TransactWriteItems, &on_failure).unwrap();
    let shown = |place: usize| {
        items["TransactItems"][place]["Delete"]["ReturnValuesOnConditionCheckFailure"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!([shown(0), shown(1)], ["ALL_OLD", "9"]);
}

#[test]
fn arrays_of_different_lengths_are_no_transaction() {
    for call in [
        format!("82 0c 0c 81 {TABLE} 81 {KEY} f6 f6 f6 f6 f6 f6"),
        format!("81 0c 81 {TABLE} 80 f6 f6 f6 f6 f6 f6"),
        format!("81 0c 81 {TABLE} 81 {KEY} 82 f6 f6 f6 f6 f6 f6 f6"),
        format!("81 0c 81 {TABLE} 81 {KEY} f6 f6 82 01 01 f6 f6 f6"),
        format!("81 03 81 {TABLE} 81 {KEY} f6 f6 f6 f6 f6 f6"),
        // An item to put without its value; and what succeeds cannot return anything.
        format!("81 02 81 {TABLE} 81 {KEY} f6 f6 f6 f6 f6 f6"),
        format!("81 0c 81 {TABLE} 81 {KEY} f6 80 f6 f6 f6 f6"),
    ] {
        let error = asked(Method::TransactWriteItems, &call).unwrap_err();
        assert_eq!(error.code, ErrorCode::Validation, "{call}");
    }
}

#[test]
fn batches_are_read_only_as_far_as_they_may_be_taken() {
    let batch = |table: &str, list: &str, count: usize, element: &str| {
        format!("a1 {table} {list} 9f {} ff", element.repeat(count))
    };
    let table = TABLE.replacen("46", "66", 1);
    let get = |count| batch(&table, "83 f4 f6", count, KEY) + " f6";
    let write = |count| batch(&table, "", count, &format!("{KEY} f6")) + " f6";
    // Too many for DynamoDB, too, which says so.
    assert!(
        asked(Method::BatchGetItem, &get(5000)).is_ok()
            && asked(Method::BatchWriteItem, &write(5000)).is_ok()
    );
    for (method, call) in [(Method::BatchGetItem, get(5001)), (Method::BatchWriteItem, write(5001))] {
        let message = format!("Too many items requested for the {} call", method.name());
        assert_eq!(asked(method, &call).unwrap_err().message.as_deref(), Some(&*message));
    }
    let tables: String = (0..201).map(|table| format!("64 74{} 80", digits(table))).collect();
    let error = asked(Method::BatchWriteItem, &format!("bf {tables} ff f6")).unwrap_err();
    assert!(error.message.unwrap().starts_with("Too many items"));
    assert!(asked(Method::BatchWriteItem, &format!("a2 {table} 80 {table} 80 f6")).is_err());
    assert!(asked(Method::BatchWriteItem, &format!("a1 {table} 81 {KEY} f6")).is_err());
    assert!(asked(Method::BatchGetItem, &format!("a1 {table} 82 f4 f6 f6")).is_err());
    assert!(asked(Method::BatchGetItem, &format!("a1 {table} 84 f4 f6 80 80 f6")).is_err());
}

fn digits(number: usize) -> String {
    format!("{number:03}").bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn what_becomes_larger_than_any_request_is_rejected_on_the_way() {
    // A million nulls are 14 MB of JSON: the fifth such key condition's value is beyond the limit.
    let mut value = Vec::new();
    let mut writer = Writer::new(&mut value);
    writer.array(1_000_000);
    writer.buffer().resize(1_000_005, 0xF6);
    let mut code =
        bytes_of_hex("8301 830a 82126161 88 821100 821101 821102 821103 821104 821105 821106 821107 88");
    for place in 0..8_u8 {
        // Each is another value.
        value.push(place);
        value[4] = value[4].wrapping_add(1);
        code.extend_from_slice(&value);
    }
    let mut arguments = bytes_of_hex(TABLE);
    Writer::new(&mut arguments).bytes(&code);
    arguments.push(0xF6);
    let Ok(Call::Data(call)) = Call::parse(Method::Query, &arguments) else { panic!() };
    let error = decode(&call, &Stub::new()).unwrap_err();
    assert_eq!(error.code, ErrorCode::RequestEntityTooLarge);
}

#[test]
fn an_unknown_list_of_names_is_a_validation_error() {
    let call = format!("{TABLE} {KEY} 46 1a01020304 01 f6");
    let error = asked(Method::PutItem, &call).unwrap_err();
    assert_eq!(error.code, ErrorCode::Validation);
    let mut reader = Reader::new(&[0x1A, 1, 2, 3, 4]);
    let id = reader.int_64().unwrap();
    assert_eq!(error.message.unwrap(), format!("No list of attribute names has the id {id}"));
}
