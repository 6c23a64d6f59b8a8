//! The calls of real clients: what DynamoDB is asked, and what is answered.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::stub::{Stub, normal};
use super::{Vector, bytes_of_hex, vectors};
use crate::call::Answer;
use crate::dax::answer::{self, Reply};
use crate::dax::cbor::Reader;
use crate::dax::item::ItemWriter;
use crate::dax::method::{Method, SERVICE};
use crate::dax::request::{Call, Client, DataCall, Decoded, Known};
use crate::json::Json;
use crate::model::expr::{Condition, Context, Paths, Update};
use crate::model::{ApiError, ErrorCode, TableSchema};
use crate::wire::attribute::Reader as ValueReader;
use crate::wire::expressions::Placeholders;

/// The vectors that are calls of an operation.
pub(super) fn calls() -> Vec<Vector> {
    vectors(None).into_iter().filter(|vector| !vector.case.is_empty()).collect()
}

/// Reads a whole request.
pub(super) fn parse(request: &[u8]) -> Option<Result<Call<'_>, ApiError>> {
    let mut reader = Reader::new(request);
    assert_eq!(reader.int_64(), Ok(SERVICE));
    let method = Method::of_id(reader.int_64().unwrap())?;
    Some(Call::parse(method, reader.rest()))
}

pub(super) fn schema_of(stub: &Stub, table: &str) -> Option<Arc<TableSchema>> {
    let key = stub.schemas.get(table.as_bytes())?.clone();
    let (id, indexes) = (String::new(), Vec::new());
    Some(Arc::new(TableSchema { name: table.to_owned(), id, key, indexes }))
}

pub(super) fn decode(call: &DataCall<'_>, stub: &Stub) -> Result<Decoded, ApiError> {
    let schema_of = |table: &str| schema_of(stub, table);
    call.decode(&Known { client: Client::JavaScript, schema_of: &schema_of, lists: &stub.lists })
}

fn decoded(vector: &Vector, stub: &Stub) -> Decoded {
    match parse(&bytes_of_hex(&vector.request_hex)) {
        Some(Ok(Call::Data(call))) => decode(&call, stub).unwrap(),
        other => panic!("{}: {other:?}", vector.case),
    }
}

/// A request with all placeholders resolved, and without what means the same when it is missing.
fn meaning(request: &Value) -> Value {
    let Value::Object(members) = request else {
        return match request {
            Value::Array(elements) => elements.iter().map(meaning).collect(),
            other => other.clone(),
        };
    };
    let mut out = Map::new();
    for (name, value) in members {
        let is_default = match (&**name, value) {
            ("ConsistentRead", Value::Bool(false)) => true,
            ("ReturnConsumedCapacity" | "ReturnValues", Value::String(text)) => text == "NONE",
            ("ExpressionAttributeNames" | "ExpressionAttributeValues", _) => true,
            _ => false,
        };
        if is_default {
            continue;
        }
        let value = match value {
            Value::String(text) if name.ends_with("Expression") => tree(name, text, request).into(),
            other => meaning(other),
        };
        out.insert(name.clone(), value);
    }
    Value::Object(out)
}

fn tree(member: &str, text: &str, request: &Value) -> String {
    let request = request.to_string();
    let request = Json::parse(request.as_bytes()).unwrap();
    let placeholders = Placeholders::parse(&request, ValueReader::Newer).unwrap();
    let mut bindings = placeholders.bindings();
    match member {
        // DynamoDB rejects some: two actions on one path, a path compared with itself.
        "UpdateExpression" => format!("{:?}", Update::parse(text, &mut bindings)),
        "ProjectionExpression" => format!("{:?}", Paths::parse_projection(text, &mut bindings)),
        _ => format!("{:?}", Condition::parse(text, Context::Condition, &mut bindings)),
    }
}

/// What the legacy parameters of a call become in its client; and a reserved word, which no client minds.
fn without_legacy(case: &str, params: &Value) -> Value {
    let (legacy, expressions) = match case {
        "get_projection" => (
            &[][..],
            json!({
                "ProjectionExpression": "s, #N, m.n.z, l[2].k, l[0], #missing, pk",
                "ExpressionAttributeNames": {"#N": "n23", "#missing": "missing"},
            }),
        ),
        "get_attributes_to_get" => (&["AttributesToGet"][..], json!({"ProjectionExpression": "s, n23"})),
        "put_expected" => (
            &["Expected"][..],
            json!({
                "ConditionExpression": "x = :x",
                "ExpressionAttributeValues": {":x": {"S": "third"}},
            }),
        ),
        "put_expected_exists" => {
            (&["Expected"][..], json!({"ConditionExpression": "attribute_not_exists(x)"}))
        }
        "update_attribute_updates" => (
            &["AttributeUpdates"][..],
            json!({
                "UpdateExpression": "SET p = :p ADD a :a REMOVE c",
                "ExpressionAttributeValues": {":p": {"S": "v"}, ":a": {"N": "1"}},
            }),
        ),
        "delete_expected" => (
            &["Expected", "ConditionalOperator"][..],
            json!({
                "ConditionExpression": "a > :a OR attribute_not_exists(p)",
                "ExpressionAttributeValues": {":a": {"N": "0"}},
            }),
        ),
        "query_key_conditions" => (
            &["KeyConditions", "QueryFilter"][..],
            json!({
                "KeyConditionExpression": "pk = :pk AND sk <= :sk",
                "FilterExpression": "tag <> :tag",
                "ExpressionAttributeValues": {":pk": {"S": "q"}, ":sk": {"N": "3"}, ":tag": {"S": "even"}},
            }),
        ),
        "scan_legacy" => (
            &["ScanFilter", "AttributesToGet"][..],
            json!({
                "FilterExpression": "tag IN (:a, :b)",
                "ProjectionExpression": "sk",
                "ExpressionAttributeValues": {":a": {"S": "even"}, ":b": {"S": "x"}},
            }),
        ),
        _ => return params.clone(),
    };
    let mut params = params.clone();
    let members = params.as_object_mut().unwrap();
    members.retain(|name, _| !legacy.contains(&&**name));
    members.extend(expressions.as_object().unwrap().clone());
    params
}

#[test]
fn dynamodb_is_asked_what_the_client_was_asked() {
    let (stub, calls) = (Stub::new(), calls());
    assert_eq!(calls.len(), 178);
    for vector in calls {
        let decoded = decoded(&vector, &stub);
        let mut asked: Value = serde_json::from_slice(&decoded.body).unwrap();
        if vector.params.get("ClientRequestToken").is_none() {
            // The clients make one up.
            asked.as_object_mut().unwrap().remove("ClientRequestToken");
        }
        let expected = normal(&meaning(&without_legacy(&vector.case, &vector.params)));
        assert_eq!(normal(&meaning(&asked)), expected, "{} of {}", vector.case, vector.client);
        assert_eq!(decoded.operation.name().to_lowercase(), vector.operation.to_lowercase());
    }
}

/// What DynamoDB would have said for the client to understand what it has understood.
fn answer_of(vector: &Vector) -> Answer {
    let result = &vector.client_result;
    match (&*vector.case, result.get("ok")) {
        // Clients spoil these.
        ("batchwrite_unprocessed", Some(_)) => Answer::ok(
            r#"{"UnprocessedItems":{"tab_s":[{"PutRequest":{"Item":{"pk":{"S":"up"},"v":{"S":"x"}}}}]}}"#,
        ),
        // The stub had the tables in the request's order.
        ("batchwrite_two_tables", Some(ok)) => {
            let mut metrics = ok["ItemCollectionMetrics"].clone();
            let first = metrics.as_object_mut().unwrap().remove("tab_sn").unwrap();
            let metrics = metrics.to_string().replacen('{', &format!("{{\"tab_sn\":{first},"), 1);
            let whole = ok.to_string();
            let (before, behind) = whole.split_once("\"ItemCollectionMetrics\":").unwrap();
            let (_, behind) = behind.split_once(",\"UnprocessedItems\"").unwrap();
            Answer::ok(format!("{before}\"ItemCollectionMetrics\":{metrics},\"UnprocessedItems\"{behind}"))
        }
        (_, Some(ok)) => Answer::ok(ok.to_string()),
        ("txwrite_cancel", None) => cancelled(
            r#"[{"Code":"ConditionalCheckFailed","Item":{"v":{"N":"1"},"pk":{"S":"tx"},"sk":{"N":"1"}},
                 "Message":"The conditional request failed"},
                {"Code":"ConditionalCheckFailed","Message":"The conditional request failed"},
                {"Code":"None"}]"#,
        ),
        (_, None) => {
            ApiError::new(ErrorCode::ConditionalCheckFailed, "The conditional request failed").into()
        }
    }
}

pub(super) fn cancelled(reasons: &str) -> Answer {
    let members = Some(format!("\"CancellationReasons\":{reasons}"));
    let message = "Transaction cancelled, please refer cancellation reasons for specific reasons [..]";
    ApiError { members, ..ApiError::new(ErrorCode::TransactionCanceled, message) }.into()
}

pub(super) fn reply(answer: &Answer, decoded: &Decoded, stub: &Stub) -> Reply {
    answer::reply(answer, &decoded.shape, Some("REQ-1"), &stub.lists, &mut ItemWriter::default()).unwrap()
}

#[test]
fn the_client_is_answered_as_it_understands() {
    let stub = Stub::new();
    for vector in calls() {
        let decoded = decoded(&vector, &stub);
        let reply = reply(&answer_of(&vector), &decoded, &stub);
        let expected = bytes_of_hex(&vector.response_hex);
        assert_eq!(reply.bytes, expected, "{} of {}", vector.case, vector.client);
        assert_eq!(reply.error.is_none(), vector.client_result.get("ok").is_some());
    }
}
