//! What the backend answers by itself, and the backend that the tests of its parts share.

pub(crate) mod backend;
mod without_requests;

use super::*;

#[tokio::test]
async fn an_unknown_operation_is_told_so_and_no_more_whatever_json_it_brings() {
    let local = Local::in_memory(Settings::default());
    for body in ["", "{}", "[]", "null", "7"] {
        let answer = local.call(&Request::new(Operation::Unknown, body)).await.unwrap();
        assert_eq!(answer.body, r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#);
    }
    let answer = local.call(&Request::new(Operation::Unknown, "{")).await.unwrap();
    assert_eq!(answer.body, r#"{"__type":"com.amazon.coral.service#SerializationException"}"#);
}

/// Sound requests and faulty ones, to twins: one parses the bytes, the other gets the tree.
#[tokio::test]
async fn a_parsed_request_is_answered_as_its_bytes_are() {
    let (bytes, tree) = (backend::Backend::with_tables().await, backend::Backend::with_tables().await);
    let item = r#"{"a":{"S":"k"},"b":{"S":"\u00e9"},"c":{"S":"x"},"n":{"N":"01.50"},"s":{"SS":["b","a"]}}"#;
    let key = r#"{"a":{"S":"k"},"b":{"S":"é"}}"#;
    let put = format!(
        r#"{{"TableName":"range","Item":{item},"ReturnValues":"ALL_OLD","ReturnConsumedCapacity":"INDEXES"}}"#
    );
    let update = format!(
        r#"{{"TableName":"range","Key":{key},"UpdateExpression":"ADD n :n","ReturnItemCollectionMetrics":"SIZE",
            "ReturnValues":"UPDATED_NEW","ExpressionAttributeValues":{{":n":{{"N":"1"}}}}}}"#
    );
    let many = format!(r#"{{"RequestItems":{{"range":[{{"PutRequest":{{"Item":{item}}}}}]}}}}"#);
    let all = format!(r#"{{"TransactItems":[{{"Put":{{"TableName":"range","Item":{item}}}}}]}}"#);
    let of_key = format!(r#"{{"TableName":"range","Key":{key},"ReturnValues":"ALL_OLD"}}"#);
    let query = r#"{"TableName":"range","KeyConditionExpression":"a = :a","ConsistentRead":true,
        "ExpressionAttributeValues":{":a":{"S":"\u006b"}}}"#
        .to_owned();
    let deep = format!(
        r#"{{"TableName":"range","Item":{{"a":{}{{}}{}}}}}"#,
        r#"{"L":["#.repeat(80),
        "]}".repeat(80)
    );
    let requests = [
        (Operation::PutItem, put.clone()),
        (Operation::PutItem, put.replace("01.50", "1.5.0")),
        (Operation::PutItem, put.replace("ALL_OLD", "ALL_NEW")),
        (Operation::PutItem, put.replace(r#""ALL_OLD""#, "1.50")),
        (Operation::PutItem, put.replace(r#"{"N":"01.50"}"#, r#"{"N":"1","S":"x"}"#)),
        (Operation::PutItem, deep),
        (Operation::UpdateItem, update.clone()),
        (Operation::UpdateItem, update.replace("ADD n", "SET n")),
        (Operation::UpdateItem, update.replace("é", "new")),
        (Operation::BatchWriteItem, many.clone()),
        (Operation::BatchWriteItem, many.replace("Item", "Key")),
        (Operation::TransactWriteItems, all.clone()),
        (Operation::TransactWriteItems, all.replace(r#""S":"k""#, r#""S":"""#)),
        (Operation::GetItem, of_key.replace(r#","ReturnValues":"ALL_OLD""#, "")),
        (Operation::Query, query.clone()),
        (Operation::Query, query.replace("a = :a", "a = :a AND n = :a")),
        (Operation::Query, query.replace("true", "\"T\"")),
        (Operation::Scan, r#"{"TableName":"range","ConsistentRead":true,"Limit":1}"#.to_owned()),
        (Operation::DeleteItem, of_key.clone()),
        (Operation::DeleteItem, of_key),
    ];
    for (operation, body) in requests {
        let request = Request::new(operation, body.clone());
        let parsed = Json::parse_request(body.as_bytes()).or_else(|_| Json::parse_short(body.as_bytes()));
        let mut by_tree = tree.local.call_parsed(&request, &parsed.unwrap()).await.unwrap();
        let mut by_bytes = bytes.local.call(&request).await.unwrap();
        // The twins' tables have ids of their own.
        let keys = [&mut by_tree, &mut by_bytes]
            .map(|answer| answer.read_by.take().map(|read_by| read_by.key.clone()));
        assert_eq!(keys[0], keys[1], "{operation} {body}");
        assert_eq!(by_bytes, by_tree, "{operation} {body}");
        let writes_one = matches!(operation, Operation::PutItem | Operation::UpdateItem);
        let is_handed_over = by_tree.is_success() && (writes_one || operation == Operation::GetItem);
        assert_eq!(by_tree.item.is_some(), is_handed_over, "{operation} {body}");
        if let Some(written) = by_tree.item.filter(|_| writes_one) {
            let key =
                serde_json::json!({"a": written_value(&written, "a"), "b": written_value(&written, "b")});
            let read = serde_json::json!({"TableName": "range", "Key": key}).to_string();
            let read = tree.local.call(&Request::new(Operation::GetItem, read)).await.unwrap();
            assert_eq!(read.body, [b"{\"Item\":", &*written.json, b"}"].concat(), "{operation} {body}");
            assert_eq!(
                written.size_bytes,
                crate::model::value::item_size_bytes(written.attributes.as_ref().unwrap())
            );
        }
    }
}

#[tokio::test]
async fn a_page_says_by_which_schema_it_was_read() {
    let backend = backend::Backend::with_tables().await;
    let read = async |operation, body: &str| {
        backend.local.call(&Request::new(operation, body.to_owned())).await.unwrap().read_by
    };
    let schema = backend.local.catalog.table("range").unwrap().schema.clone();
    let query = r#"{"TableName":"range","KeyConditionExpression":"a = :a","ExpressionAttributeValues":{":a":{"S":"k"}}}"#;
    assert_eq!(read(Operation::Query, query).await.as_ref(), Some(&schema));
    assert_eq!(read(Operation::Scan, r#"{"TableName":"range"}"#).await.as_ref(), Some(&schema));
    assert_eq!(read(Operation::Scan, r#"{"TableName":"range","Limit":0}"#).await, None);
}

/// A whole item is handed over beside its answer, a part of one is not, nor is there one for a key without an item.
#[tokio::test]
async fn a_read_hands_over_the_whole_item_that_it_shows() {
    let backend = backend::Backend::with_tables().await;
    backend.put("hash", serde_json::json!({"a": {"S": "k"}, "n": {"N": "1"}})).await;
    let get = async |members: &str| {
        let body = format!(r#"{{"TableName":"hash",{members}}}"#);
        backend.local.call(&Request::new(Operation::GetItem, body)).await.unwrap()
    };
    let whole = get(r#""Key":{"a":{"S":"k"}},"ConsistentRead":true"#).await;
    let read = whole.item.unwrap();
    assert_eq!(whole.body, [b"{\"Item\":", &*read.json, b"}"].concat());
    assert_eq!((read.answer_bytes(), read.size_bytes), (whole.body.len(), 5));
    let costly = get(r#""Key":{"a":{"S":"k"}},"ReturnConsumedCapacity":"TOTAL""#).await;
    assert_ne!(costly.item.unwrap().answer_bytes(), costly.body.len(), "the body has more to say");
    for members in [r#""Key":{"a":{"S":"k"}},"ProjectionExpression":"n""#, r#""Key":{"a":{"S":"x"}}"#] {
        assert_eq!(get(members).await.item, None, "{members}");
    }
}

fn written_value(written: &StoredItem, name: &str) -> serde_json::Value {
    let mut json = Vec::new();
    crate::wire::attribute::write_value(&written.attributes.as_ref().unwrap()[name], &mut json);
    serde_json::from_slice(&json).unwrap()
}
