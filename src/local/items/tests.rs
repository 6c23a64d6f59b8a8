//! What single items do, read and written by the operations themselves.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::local::tests::backend::Backend;
use crate::model::Operation::{DeleteItem, GetItem, PutItem, TransactWriteItems, UpdateItem};

/// An item of `hash` with key `k` and these attributes.
fn item(attributes: Value) -> Value {
    let mut item = json!({"a": {"S": "k"}});
    let members = item.as_object_mut().unwrap();
    members.extend(attributes.as_object().unwrap().clone());
    item
}

fn key() -> Value {
    json!({"a": {"S": "k"}})
}

/// A request on item `k` of `hash` with these members besides.
fn on_key(members: Value) -> Value {
    let mut body = json!({"TableName": "hash", "Key": key()});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    body
}

fn put(item: Value, members: Value) -> Value {
    let mut body = json!({"TableName": "hash", "Item": item});
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    body
}

/// `UpdateExpression` with values.
fn update(expression: &str, values: Value, members: Value) -> Value {
    let mut body = on_key(members);
    body["UpdateExpression"] = expression.into();
    if values != json!({}) {
        body["ExpressionAttributeValues"] = values;
    }
    body
}

#[tokio::test]
async fn a_put_item_is_read_back_with_its_numbers_in_normal_form_and_its_sets_in_order() {
    let backend = Backend::with_tables().await;
    let written = item(json!({"n": {"N": "01.50e1"}, "s": {"SS": ["b", "a"]}, "m": {"M": {"l": {"L": []}}}}));
    assert_eq!(backend.ok(PutItem, put(written, json!({}))).await, json!({}));
    let read = item(json!({"n": {"N": "15"}, "s": {"SS": ["a", "b"]}, "m": {"M": {"l": {"L": []}}}}));
    assert_eq!(backend.ok(GetItem, on_key(json!({}))).await, json!({"Item": read}));
}

#[tokio::test]
async fn a_set_stays_in_order_as_it_grows() {
    let backend = Backend::with_tables().await;
    backend.put("hash", item(json!({"s": {"SS": ["c", "a"]}, "n": {"NS": ["10", "9"]}}))).await;
    let growth = json!({
        "UpdateExpression": "ADD s :s, n :n",
        "ExpressionAttributeValues": {":s": {"SS": ["d", "b"]}, ":n": {"NS": ["-1"]}},
        "ReturnValues": "UPDATED_NEW",
    });
    let grown = json!({"s": {"SS": ["a", "b", "c", "d"]}, "n": {"NS": ["-1", "9", "10"]}});
    assert_eq!(backend.ok(UpdateItem, on_key(growth)).await["Attributes"], grown);
}

#[tokio::test]
async fn a_missing_item_is_no_member_and_a_projection_of_nothing_is_an_empty_one() {
    let backend = Backend::with_tables().await;
    assert_eq!(backend.ok(GetItem, on_key(json!({}))).await, json!({}));
    backend.put("hash", item(json!({"b": {"S": "x"}, "l": {"L": [{"S": "0"}, {"S": "1"}]}}))).await;
    let projected = |text: &str| on_key(json!({"ProjectionExpression": text}));
    assert_eq!(backend.ok(GetItem, projected("z")).await, json!({"Item": {}}));
    assert_eq!(
        backend.ok(GetItem, projected("b, l[1]")).await,
        json!({"Item": {"b": {"S": "x"}, "l": {"L": [{"S": "1"}]}}})
    );
    let legacy = on_key(json!({"AttributesToGet": ["b", "z"]}));
    assert_eq!(backend.ok(GetItem, legacy).await, json!({"Item": {"b": {"S": "x"}}}));
}

#[tokio::test]
async fn a_read_costs_by_its_size_and_consistency() {
    let backend = Backend::with_tables().await;
    let units = |answer: &Value| answer["ConsumedCapacity"]["CapacityUnits"].as_f64().unwrap();
    let read =
        |consistent: bool| on_key(json!({"ConsistentRead": consistent, "ReturnConsumedCapacity": "TOTAL"}));
    assert_eq!(units(&backend.ok(GetItem, read(false)).await), 0.5);
    backend.put("hash", item(json!({"b": {"S": "x".repeat(4096)}}))).await;
    assert_eq!(units(&backend.ok(GetItem, read(false)).await), 1.0);
    assert_eq!(units(&backend.ok(GetItem, read(true)).await), 2.0);
    let indexes = on_key(json!({"ReturnConsumedCapacity": "INDEXES"}));
    assert_eq!(
        backend.ok(GetItem, indexes).await["ConsumedCapacity"],
        json!({"TableName": "hash", "CapacityUnits": 1.0, "Table": {"CapacityUnits": 1.0}})
    );
}

#[tokio::test]
async fn keys_that_do_not_fit_the_schema_are_refused_in_the_services_words() {
    let backend = Backend::with_tables().await;
    let refused = async |key: Value| backend.invalid(GetItem, json!({"TableName": "hash", "Key": key})).await;
    let mismatch = "The provided key element does not match the schema";
    for key in [
        json!({}),
        json!({"b": {"S": "x"}}),
        json!({"a": {"N": "1"}}),
        json!({"a": {"S": "x"}, "b": {"S": "x"}}),
    ] {
        assert_eq!(refused(key).await, mismatch);
    }
    assert_eq!(
        refused(json!({"a": {"S": ""}})).await,
        "One or more parameter values are not valid. \
         The AttributeValue for a key attribute cannot contain an empty string value. Key: a"
    );
    assert_eq!(
        refused(json!({"a": {"S": "x".repeat(2049)}})).await,
        "One or more parameter values were invalid: \
         Size of hashkey has exceeded the maximum size limit of2048 bytes"
    );
    let long_sort = json!({"a": {"S": "x"}, "b": {"S": "x".repeat(1025)}});
    assert_eq!(
        backend.invalid(DeleteItem, json!({"TableName": "range", "Key": long_sort})).await,
        "One or more parameter values were invalid: \
         Aggregated size of all range keys has exceeded the size limit of 1024 bytes"
    );
}

#[tokio::test]
async fn a_put_says_which_key_attribute_is_wrong() {
    let backend = Backend::with_tables().await;
    let refused = async |item: Value| backend.invalid(PutItem, put(item, json!({}))).await;
    assert_eq!(
        refused(json!({"b": {"S": "x"}})).await,
        "One or more parameter values were invalid: Missing the key a in the item"
    );
    assert_eq!(
        refused(json!({"a": {"N": "1"}})).await,
        "One or more parameter values were invalid: Type mismatch for key a expected: S actual: N"
    );
}

#[tokio::test]
async fn index_keys_must_be_of_the_declared_type_and_not_empty() {
    let backend = Backend::with_tables().await;
    let refused = async |c: Value| {
        let item = json!({"a": {"S": "x"}, "b": {"S": "x"}, "c": c});
        backend.invalid(PutItem, json!({"TableName": "range", "Item": item})).await
    };
    assert_eq!(
        refused(json!({"N": "1"})).await,
        "One or more parameter values were invalid: \
         Type mismatch for Index Key c Expected: S Actual: N IndexName: index1"
    );
    assert_eq!(
        refused(json!({"S": ""})).await,
        "One or more parameter values are not valid. \
         A value specified for a secondary index key is not supported. \
         The AttributeValue for a key attribute cannot contain an empty string value. \
         IndexName: index1, IndexKey: c"
    );
    assert_eq!(
        refused(json!({"S": "x".repeat(2049)})).await,
        "One or more parameter values were invalid: \
         Aggregated size of all range keys has exceeded the size limit of 1024 bytes"
    );
}

#[tokio::test]
async fn what_a_request_alone_decides_goes_before_a_missing_table() {
    let backend = Backend::new();
    let missing = backend.send(GetItem, json!({"TableName": "none", "Key": {}})).await.unwrap_err();
    assert_eq!(
        (missing.code.as_str(), missing.message.as_str()),
        ("ResourceNotFoundException", "Requested resource not found")
    );
    let large = json!({"a": {"S": "x".repeat(400 * 1024)}});
    assert_eq!(
        backend.invalid(PutItem, json!({"TableName": "none", "Item": large})).await,
        "Item size has exceeded the maximum allowed size"
    );
    let returns = json!({"TableName": "none", "Item": {}, "ReturnValues": "ALL_NEW"});
    assert_eq!(
        backend.invalid(PutItem, returns).await,
        "1 validation error detected: ReturnValues can only be ALL_OLD or NONE"
    );
    let idle = json!({"TableName": "none", "Key": {}, "ExpressionAttributeValues": {":v": {"S": "x"}}});
    for operation in [UpdateItem, DeleteItem] {
        assert_eq!(
            backend.invalid(operation, idle.clone()).await,
            "1 validation error detected: ExpressionAttributeValues can only be specified when using expressions"
        );
    }
    let mut mixed = json!({"TableName": "none", "Key": {}, "Expected": {}, "ConditionExpression": "a"});
    assert!(backend.invalid(DeleteItem, mixed.clone()).await.contains(": Can not use both expression"));
    mixed["ReturnValues"] = json!("ALL_NEW");
    assert!(backend.invalid(DeleteItem, mixed).await.contains(": ReturnValues can only be"));
}

#[tokio::test]
async fn a_conditional_operator_is_refused_with_the_conditions_that_it_would_join() {
    let backend = Backend::new();
    let with_operator = |name: &str, members: serde_json::Value| {
        let mut body = json!({"TableName": "none", "Key": {}, "Item": {}, "ConditionalOperator": name});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        body
    };
    let two = json!({"Expected": {"a": {"Exists": false}, "b": {"Exists": false}}});
    for operation in [PutItem, UpdateItem, DeleteItem] {
        let refused =
            |name: &str, members: serde_json::Value| backend.invalid(operation, with_operator(name, members));
        let enveloped = |words: &str| format!("1 validation error detected: {words}");
        assert_eq!(
            refused("XOR", json!({})).await,
            enveloped("ConditionalOperator cannot be used without Filter or Expected")
        );
        assert_eq!(
            refused("XOR", json!({"Expected": {"a": {"Exists": false}}})).await,
            enveloped(
                "ConditionalOperator can only be used when Filter or Expected has two or more elements"
            )
        );
        assert_eq!(
            refused("XOR", two.clone()).await,
            enveloped("Failed to satisfy constraint: Member must satisfy enum value set: [ALL, OR]")
        );
        let mut mixed = two.clone();
        mixed["ConditionExpression"] = json!("attribute_exists(a)");
        assert_eq!(
            refused("AND", mixed).await,
            enveloped(
                "Can not use both expression and non-expression parameters in the same request: \
                 Non-expression parameters: {Expected, ConditionalOperator} Expression parameters: {ConditionExpression}"
            )
        );
    }
}

#[tokio::test]
async fn an_attribute_without_a_name_is_told_before_whatever_else_is_wrong() {
    let backend = Backend::new();
    let nested = json!({"L": [{"M": {"": {"S": "x"}}}]});
    let mixed = json!({"ConditionExpression": "", "ConditionalOperator": "AND"});
    let named = |member: &str, value: serde_json::Value| {
        let mut body = json!({"TableName": "none", "Key": {}, "Item": {}});
        body.as_object_mut().unwrap().extend(mixed.as_object().unwrap().clone());
        body[member] = value;
        body
    };
    let bare = "Empty attribute name";
    let enveloped = format!("1 validation error detected: {bare}");
    for member in ["Key", "Item", "Expected", "AttributeUpdates"] {
        let body = named(member, json!({"": {"S": "x"}}));
        let operation = if member == "Item" { PutItem } else { UpdateItem };
        assert_eq!(backend.invalid(operation, body).await, enveloped, "{member}");
    }
    let value = json!({"a": {"Value": nested}});
    assert_eq!(backend.invalid(DeleteItem, named("Expected", value)).await, enveloped);
    let value = json!({":v": nested});
    assert_eq!(backend.invalid(DeleteItem, named("ExpressionAttributeValues", value)).await, enveloped);
    assert_eq!(
        backend.invalid(DeleteItem, named("ExpressionAttributeNames", json!({"#n": ""}))).await,
        "1 validation error detected: ExpressionAttributeNames contains invalid value: Empty attribute name for key #n"
    );
    let mut read =
        json!({"TableName": "none", "Key": {}, "AttributesToGet": [""], "ProjectionExpression": ""});
    assert_eq!(backend.invalid(GetItem, read.clone()).await, bare);
    read["ReturnConsumedCapacity"] = "hi".into();
    assert!(backend.invalid(GetItem, read).await.contains("returnConsumedCapacity"));
}

#[tokio::test]
async fn an_empty_condition_is_told_before_an_empty_update() {
    let backend = Backend::new();
    let body = json!({"TableName": "none", "Key": {}, "UpdateExpression": "", "ConditionExpression": ""});
    assert_eq!(
        backend.invalid(UpdateItem, body).await,
        "1 validation error detected: Invalid ConditionExpression: The expression can not be empty;"
    );
}

#[tokio::test]
async fn an_item_may_have_400_kilobytes_and_not_one_byte_more() {
    let backend = Backend::with_tables().await;
    let bytes = 400 * 1024;
    let fits = item(json!({"b": {"S": "x".repeat(bytes - 3)}}));
    backend.put("hash", fits).await;
    let over = item(json!({"b": {"S": "x".repeat(bytes - 2)}}));
    assert_eq!(
        backend.invalid(PutItem, put(over, json!({}))).await,
        "Item size has exceeded the maximum allowed size"
    );
    let grow = update("SET c = :c", json!({":c": {"S": ""}}), json!({}));
    assert_eq!(
        backend.invalid(UpdateItem, grow).await,
        "Item size to update has exceeded the maximum allowed size"
    );
}

#[tokio::test]
async fn an_update_is_limited_by_its_statement_too_and_a_legacy_one_is_not() {
    let backend = Backend::with_tables().await;
    let set = |bytes: usize| update("SET b = :b", json!({":b": {"S": "x".repeat(bytes)}}), json!({}));
    let most = 400 * 1024 - 3 - 19 - 1;
    backend.ok(UpdateItem, set(most)).await;
    assert_eq!(
        backend.invalid(UpdateItem, set(most + 1)).await,
        "Item size to update has exceeded the maximum allowed size"
    );
    // Judged once the table and the key are known, and before the item is read.
    let mut failing = set(most + 1);
    failing["ConditionExpression"] = "attribute_exists(z)".into();
    assert!(backend.invalid(UpdateItem, failing).await.starts_with("Item size to update"));
    let mut unfit = set(most + 1);
    unfit["Key"] = json!({"z": {"S": "k"}});
    assert!(backend.invalid(UpdateItem, unfit).await.starts_with("The provided key element"));
    let key_bytes = 1 + key()["a"]["S"].as_str().unwrap().len();
    let value = json!({"S": "x".repeat(400 * 1024 - key_bytes - 1)});
    backend.ok(UpdateItem, on_key(json!({"AttributeUpdates": {"b": {"Value": value}}}))).await;
}

#[tokio::test]
async fn put_and_delete_return_the_old_item_when_asked() {
    let backend = Backend::with_tables().await;
    let old = json!({"ReturnValues": "ALL_OLD"});
    let first = item(json!({"b": {"S": "1"}}));
    assert_eq!(backend.ok(PutItem, put(first.clone(), old.clone())).await, json!({}));
    let second = item(json!({"c": {"S": "2"}}));
    assert_eq!(backend.ok(PutItem, put(second.clone(), old.clone())).await, json!({"Attributes": first}));
    assert_eq!(backend.get("hash", key()).await, second);
    assert_eq!(backend.ok(DeleteItem, on_key(old.clone())).await, json!({"Attributes": second}));
    assert_eq!(backend.ok(DeleteItem, on_key(old)).await, json!({}));
    assert_eq!(backend.get("hash", key()).await, Value::Null);
}

#[tokio::test]
async fn a_condition_that_fails_changes_nothing_and_may_tell_the_item() {
    let backend = Backend::with_tables().await;
    let there = item(json!({"n": {"N": "1"}}));
    backend.put("hash", there.clone()).await;
    let condition = json!({"ConditionExpression": "attribute_not_exists(a)"});
    let refusal = backend.send(PutItem, put(item(json!({})), condition)).await.unwrap_err();
    assert_eq!(refusal.code, "ConditionalCheckFailedException");
    assert_eq!(refusal.message, "The conditional request failed");
    assert_eq!(refusal.body.get("Item"), None);
    let condition = json!({
        "ConditionExpression": "n > :n",
        "ExpressionAttributeValues": {":n": {"N": "1.0"}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    });
    for operation in [DeleteItem, UpdateItem] {
        let refusal = backend.send(operation, on_key(condition.clone())).await.unwrap_err();
        assert_eq!(refusal.body["Item"], there);
    }
    let expected = json!({"Expected": {"n": {"Value": {"N": "2"}}}});
    let refusal = backend.send(DeleteItem, on_key(expected)).await.unwrap_err();
    assert_eq!(refusal.code, "ConditionalCheckFailedException");
    assert_eq!(backend.get("hash", key()).await, there);
}

#[tokio::test]
async fn a_condition_on_a_missing_item_has_no_item_to_tell() {
    let backend = Backend::with_tables().await;
    let condition = json!({
        "ConditionExpression": "attribute_exists(a)",
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    });
    let refusal = backend.send(UpdateItem, on_key(condition)).await.unwrap_err();
    assert_eq!(refusal.body.get("Item"), None);
    assert_eq!(backend.get("hash", key()).await, Value::Null);
}

#[tokio::test]
async fn an_update_makes_a_missing_item_unless_it_only_removes() {
    let backend = Backend::with_tables().await;
    for removal in [
        update("REMOVE b", json!({}), json!({"ReturnValues": "ALL_NEW"})),
        update("DELETE b :b", json!({":b": {"SS": ["x"]}}), json!({"ReturnValues": "ALL_NEW"})),
        on_key(json!({"AttributeUpdates": {"b": {"Action": "DELETE"}}, "ReturnValues": "ALL_NEW"})),
    ] {
        assert_eq!(backend.ok(UpdateItem, removal).await, json!({}));
        assert_eq!(backend.get("hash", key()).await, Value::Null);
    }
    let nothing = on_key(json!({"ReturnValues": "ALL_NEW"}));
    assert_eq!(backend.ok(UpdateItem, nothing).await, json!({"Attributes": key()}));
    assert_eq!(backend.get("hash", key()).await, key());
    backend.ok(DeleteItem, on_key(json!({}))).await;
    let add = update("ADD n :n", json!({":n": {"N": "5"}}), json!({"ReturnValues": "UPDATED_NEW"}));
    assert_eq!(backend.ok(UpdateItem, add).await, json!({"Attributes": {"n": {"N": "5"}}}));
}

#[tokio::test]
async fn a_removal_of_a_path_makes_a_missing_item_of_its_key() {
    let backend = Backend::with_tables().await;
    for removal in ["REMOVE x.y", "REMOVE x[0]", "REMOVE x.y.z, b"] {
        let removal = update(removal, json!({}), json!({"ReturnValues": "ALL_NEW"}));
        assert_eq!(backend.ok(UpdateItem, removal).await, json!({"Attributes": key()}));
        assert_eq!(backend.get("hash", key()).await, key());
        backend.ok(DeleteItem, on_key(json!({}))).await;
    }
    let part = json!({"TableName": "hash", "Key": key(), "UpdateExpression": "REMOVE x.y"});
    backend.ok(TransactWriteItems, json!({"TransactItems": [{"Update": part}]})).await;
    assert_eq!(backend.get("hash", key()).await, key());
    // Of an item that is there, the path must lead somewhere; and a value never goes nowhere.
    let path = "The document path provided in the update expression is invalid for update";
    let removal = update("REMOVE x.y", json!({}), json!({}));
    assert_eq!(backend.invalid(UpdateItem, removal).await, path);
    backend.ok(DeleteItem, on_key(json!({}))).await;
    for (change, value) in [
        ("SET x.y = :v", json!({"S": "v"})),
        ("ADD x.y :v", json!({"N": "1"})),
        ("REMOVE q.r SET x.y = :v", json!({"S": "v"})),
    ] {
        let change = update(change, json!({":v": value}), json!({}));
        assert_eq!(backend.invalid(UpdateItem, change).await, path);
    }
}

#[tokio::test]
async fn an_update_returns_either_image_whole_or_as_far_as_it_wrote() {
    let backend = Backend::with_tables().await;
    let first =
        item(json!({"m": {"M": {"b": {"S": "dog"}, "c": {"L": [{"N": "1"}, {"N": "2"}]}}}, "d": {"S": "d"}}));
    backend.put("hash", first.clone()).await;
    let set = |kind: &str, value: &str| {
        update(
            "SET m.c[1] = :v, m.b = :w",
            json!({":v": {"N": value}, ":w": {"S": value}}),
            json!({"ReturnValues": kind}),
        )
    };
    let nested =
        |number: &str, text: &str| json!({"m": {"M": {"b": {"S": text}, "c": {"L": [{"N": number}]}}}});
    assert_eq!(backend.ok(UpdateItem, set("ALL_OLD", "3")).await, json!({"Attributes": first}));
    assert_eq!(
        backend.ok(UpdateItem, set("UPDATED_OLD", "4")).await,
        json!({"Attributes": nested("3", "3")})
    );
    assert_eq!(
        backend.ok(UpdateItem, set("UPDATED_NEW", "5")).await,
        json!({"Attributes": nested("5", "5")})
    );
    let all = backend.ok(UpdateItem, set("ALL_NEW", "6")).await;
    assert_eq!(all["Attributes"], backend.get("hash", key()).await);
    assert_eq!(backend.ok(UpdateItem, set("NONE", "7")).await, json!({}));
}

#[tokio::test]
async fn list_elements_are_returned_by_the_places_that_the_update_named() {
    let backend = Backend::with_tables().await;
    let list = json!({"L": [{"N": "1"}, {"N": "3"}]});
    backend.put("hash", item(json!({"c": list}))).await;
    let returned = async |expression: &str, kind: &str| {
        let values = if expression.contains(':') { json!({":v": {"N": "7"}}) } else { json!({}) };
        let answer = backend.ok(UpdateItem, update(expression, values, json!({"ReturnValues": kind}))).await;
        answer.get("Attributes").cloned().unwrap_or(Value::Null)
    };
    // Element 4 becomes element 3, and so element 4 is not there afterwards.
    assert_eq!(
        returned("SET c[1] = :v, c[4] = c[0], c[2] = c[1]", "UPDATED_NEW").await,
        json!({"c": {"L": [{"N": "7"}, {"N": "3"}]}})
    );
    // What follows a removed element moves into its place.
    assert_eq!(returned("REMOVE c[1]", "UPDATED_NEW").await, json!({"c": {"L": [{"N": "3"}]}}));
    assert_eq!(returned("REMOVE c[1], c[9]", "UPDATED_OLD").await, json!({"c": {"L": [{"N": "3"}]}}));
    assert_eq!(returned("SET c[100] = :v", "UPDATED_NEW").await, Value::Null);
}

#[tokio::test]
async fn nothing_updated_is_no_member_at_all() {
    let backend = Backend::with_tables().await;
    backend.put("hash", item(json!({"b": {"S": "x"}}))).await;
    let remove = update("REMOVE b", json!({}), json!({"ReturnValues": "UPDATED_NEW"}));
    assert_eq!(backend.ok(UpdateItem, remove).await, json!({}));
    let set = update("SET b = :b", json!({":b": {"S": "y"}}), json!({"ReturnValues": "UPDATED_OLD"}));
    assert_eq!(backend.ok(UpdateItem, set).await, json!({}));
}

#[tokio::test]
async fn legacy_updates_put_add_and_delete() {
    let backend = Backend::with_tables().await;
    backend.put("hash", item(json!({"n": {"N": "1"}, "s": {"SS": ["x", "y"]}, "gone": {"S": "x"}}))).await;
    let updates = json!({
        "AttributeUpdates": {
            "n": {"Action": "ADD", "Value": {"N": "2"}},
            "s": {"Action": "DELETE", "Value": {"SS": ["x"]}},
            "gone": {"Action": "DELETE"},
            "new": {"Value": {"BOOL": true}},
        },
        "ReturnValues": "UPDATED_NEW",
    });
    let updated = json!({"n": {"N": "3"}, "s": {"SS": ["y"]}, "new": {"BOOL": true}});
    assert_eq!(backend.ok(UpdateItem, on_key(updates)).await, json!({"Attributes": updated}));
    assert_eq!(backend.get("hash", key()).await, item(updated));
}

#[tokio::test]
async fn an_update_leaves_keys_alone() {
    let backend = Backend::with_tables().await;
    let set = update("SET a = :a", json!({":a": {"S": "x"}}), json!({}));
    assert_eq!(
        backend.invalid(UpdateItem, set).await,
        "One or more parameter values were invalid: \
         Cannot update attribute a. This attribute is part of the key"
    );
    let range = |expression: &str, values: Value| {
        let mut body = update(expression, values, json!({}));
        body["TableName"] = "range".into();
        body["Key"] = json!({"a": {"S": "x"}, "b": {"S": "x"}});
        body
    };
    let number = json!({":v": {"N": "1"}});
    assert_eq!(
        backend.invalid(UpdateItem, range("ADD c :v", number.clone())).await,
        "One or more parameter values were invalid: \
         Type mismatch for Index Key c Expected: S Actual: N IndexName: index1"
    );
    assert_eq!(
        backend.invalid(UpdateItem, range("SET d[1] = :v", number.clone())).await,
        "Key attributes must be scalars; \
         list random access '[]' and map lookup '.' are not allowed: IndexKey: d"
    );
    let empty = json!({":v": {"S": ""}});
    assert_eq!(
        backend.invalid(UpdateItem, range("SET c = :v", empty)).await,
        "One or more parameter values are not valid. \
         The update expression attempted to update a secondary index key to a value that is not supported. \
         The AttributeValue for a key attribute cannot contain an empty string value."
    );
    backend.ok(UpdateItem, range("SET e = :v", number)).await;
    assert_eq!(
        backend.invalid(UpdateItem, range("SET c = e", json!({}))).await,
        "The update expression attempted to update the secondary index key to unsupported type"
    );
}

#[tokio::test]
async fn a_condition_does_not_look_into_keys() {
    let backend = Backend::with_tables().await;
    let refusal = "Key attributes must be scalars; \
                   list random access '[]' and map lookup '.' are not allowed: ";
    let condition = |members: Value, expression: &str| {
        let mut body = json!({"TableName": "range", "ConditionExpression": expression});
        body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        body
    };
    let key = json!({"a": {"S": "x"}, "b": {"S": "x"}});
    let into_key = "attribute_not_exists(b.c)";
    let requests = [
        (PutItem, json!({"Item": key})),
        (DeleteItem, json!({"Key": key})),
        (UpdateItem, json!({"Key": key})),
    ];
    for (operation, members) in requests {
        let answer = backend.invalid(operation, condition(members.clone(), into_key)).await;
        assert_eq!(answer, format!("{refusal}Key: b"), "{operation}");
        let into_index_key = condition(members, "attribute_not_exists(d[0])");
        assert_eq!(backend.invalid(operation, into_index_key).await, format!("{refusal}IndexKey: d"));
    }
}

#[tokio::test]
async fn writes_at_the_same_time_happen_one_after_the_other() {
    let backend = Arc::new(Backend::with_tables().await);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let backend = Arc::clone(&backend);
        tasks.spawn(async move {
            let count = update("ADD n :n", json!({":n": {"N": "1"}}), json!({}));
            backend.ok(UpdateItem, count).await;
            let first = json!({"a": {"S": "first"}});
            let condition = json!({"ConditionExpression": "attribute_not_exists(a)"});
            u32::from(backend.send(PutItem, put(first, condition)).await.is_ok())
        });
    }
    assert_eq!(tasks.join_all().await.into_iter().sum::<u32>(), 1);
    assert_eq!(backend.get("hash", key()).await, item(json!({"n": {"N": "50"}})));
}

#[tokio::test]
async fn writes_cost_by_the_larger_image_and_every_index_entry_that_changes() {
    let backend = Backend::with_tables().await;
    let put = async |item: Value| {
        let body = json!({"TableName": "range", "Item": item, "ReturnConsumedCapacity": "INDEXES"});
        backend.ok(PutItem, body).await["ConsumedCapacity"].take()
    };
    let base = json!({"a": {"S": "x"}, "b": {"S": "x"}, "o": {"S": "y".repeat(1500)}});
    assert_eq!(
        put(base.clone()).await,
        json!({"TableName": "range", "CapacityUnits": 2.0, "Table": {"CapacityUnits": 2.0}})
    );
    let mut indexed = json!({"a": {"S": "x"}, "b": {"S": "x"}, "c": {"S": "c"}, "d": {"S": "d"}});
    assert_eq!(
        put(indexed.clone()).await,
        json!({
            "TableName": "range", "CapacityUnits": 6.0, "Table": {"CapacityUnits": 2.0},
            "LocalSecondaryIndexes": {"index1": {"CapacityUnits": 1.0}, "index2": {"CapacityUnits": 1.0}},
            "GlobalSecondaryIndexes": {"index3": {"CapacityUnits": 1.0}, "index4": {"CapacityUnits": 1.0}},
        })
    );
    assert_eq!(put(indexed.clone()).await["CapacityUnits"], json!(1.0));
    indexed["d"] = json!({"S": "d2"});
    assert_eq!(
        put(indexed).await,
        json!({
            "TableName": "range", "CapacityUnits": 7.0, "Table": {"CapacityUnits": 1.0},
            "LocalSecondaryIndexes": {"index1": {"CapacityUnits": 1.0}, "index2": {"CapacityUnits": 2.0}},
            "GlobalSecondaryIndexes": {"index3": {"CapacityUnits": 1.0}, "index4": {"CapacityUnits": 2.0}},
        })
    );
}

#[tokio::test]
async fn collection_metrics_come_from_tables_with_local_indexes_only() {
    let backend = Backend::with_tables().await;
    let size = json!({"ReturnItemCollectionMetrics": "SIZE"});
    assert_eq!(backend.ok(PutItem, put(item(json!({})), size)).await, json!({}));
    let key = json!({"a": {"S": "x"}, "b": {"S": "y"}});
    let delete = json!({"TableName": "range", "Key": key, "ReturnItemCollectionMetrics": "SIZE"});
    assert_eq!(
        backend.ok(DeleteItem, delete).await,
        json!({"ItemCollectionMetrics": {
            "ItemCollectionKey": {"a": {"S": "x"}},
            "SizeEstimateRangeGB": [0.0, 1.0],
        }})
    );
}

#[tokio::test]
async fn every_fault_of_a_request_that_the_older_reader_takes_is_told_bare() {
    let backend = Backend::with_tables().await;
    let number = "The parameter cannot be converted to a numeric value: abc";
    let for_key =
        |words: &str| format!("ExpressionAttributeValues contains invalid value: {words} for key :v");
    let put =
        |value: Value| json!({"TableName": "hash", "Item": {"a": {"S": "k"}, "n": {"N": "abc"}, "x": value}});
    let update = |value: Value| {
        json!({
            "TableName": "hash", "Key": {"a": {"S": "k"}}, "UpdateExpression": "SET n = :v, x = :x",
            "ExpressionAttributeValues": {":v": {"N": "abc"}, ":x": value},
        })
    };
    let detected = format!("1 validation error detected: {number}");
    for plain in [json!({"BOOL": true}), json!({"S": "x", "N": null}), json!({"M": {}})] {
        assert_eq!(backend.invalid(PutItem, put(plain.clone())).await, detected, "{plain}");
        assert_eq!(backend.invalid(UpdateItem, update(plain.clone())).await, detected, "{plain}");
    }
    for other in [json!({"BOOL": "y"}), json!({"S": "x", "N": "1"}), json!({"L": [{"NULL": "t"}]}), json!({})]
    {
        assert_eq!(backend.invalid(PutItem, put(other.clone())).await, number, "{other}");
        assert_eq!(backend.invalid(UpdateItem, update(other.clone())).await, for_key(number), "{other}");
    }
    let expected = |exists: Value| json!({"TableName": "hash", "Key": {"a": {"S": "k"}}, "Expected": {"x": {"Exists": exists, "Value": {"S": "y"}}}});
    let exists = "One or more parameter values were invalid: Value cannot be used when Exists is false for Attribute: x";
    assert_eq!(backend.invalid(DeleteItem, expected(json!("no"))).await, exists);
    let detected = format!("1 validation error detected: {exists}");
    assert_eq!(backend.invalid(DeleteItem, expected(json!(false))).await, detected);
}

#[tokio::test]
async fn values_too_deep_for_the_newer_reader_are_told_by_the_older() {
    let backend = Backend::with_tables().await;
    let nested =
        |maps: usize| format!("{}{{\"S\":\"x\"}}{}", "{\"M\":{\"n\":".repeat(maps), "}}".repeat(maps));
    let words = "Nesting Levels have exceeded supported limits: \
                 Attributes in the item have nested levels beyond supported limit";
    let detected = format!("1 validation error detected: {words}");
    let for_key = format!("ExpressionAttributeValues contains invalid value: {words} for key :v");
    for (maps, of_item, of_expression) in [
        (32, &detected, &detected),
        (62, &detected, &detected),
        (63, &words.to_owned(), &for_key),
        (2000, &words.to_owned(), &for_key),
    ] {
        let value = nested(maps);
        let put = format!(r#"{{"TableName":"gone","Item":{{"a":{{"S":"k"}},"d":{value}}}}}"#);
        assert_eq!(&backend.send_text(PutItem, put).await.unwrap_err().message, of_item, "{maps}");
        let delete = format!(
            r#"{{"TableName":"hash","Key":{{"a":{{"S":"k"}}}},"ConditionExpression":"d = :v","ExpressionAttributeValues":{{":v":{value}}}}}"#
        );
        assert_eq!(
            &backend.send_text(DeleteItem, delete).await.unwrap_err().message,
            of_expression,
            "{maps}"
        );
    }
    let bottomless = format!(r#"{{"TableName":"hash","Item":{{"a":{{"S":"k"}},"d":{}}}}}"#, nested(2001));
    let refusal = backend.send_text(PutItem, bottomless).await.unwrap_err();
    assert_eq!((refusal.code.as_str(), refusal.message.as_str()), ("SerializationException", ""));
}

#[tokio::test]
async fn a_write_whose_condition_fails_is_charged_by_the_size_of_the_item_that_is_there() {
    let backend = Backend::with_tables().await;
    let condition = json!({"ConditionExpression": "v = :v", "ExpressionAttributeValues": {":v": {"S": "y"}}});
    let large = item(json!({"v": {"S": "y".repeat(5000)}}));
    let writes = || {
        let mut update = update("SET n = :n", json!({":n": {"N": "1"}, ":v": {"S": "y"}}), json!({}));
        update["ConditionExpression"] = "v = :v".into();
        [
            (PutItem, put(large.clone(), condition.clone())),
            (UpdateItem, update),
            (DeleteItem, on_key(condition.clone())),
        ]
    };
    for units in [1.0, 3.0] {
        for (operation, body) in writes() {
            assert_eq!(
                backend.send(operation, body.clone()).await.unwrap_err().code,
                "ConditionalCheckFailedException"
            );
            assert_eq!(backend.charges(operation, body).await, [("hash".to_owned(), units)], "{operation}");
        }
        // No item at first; then one of three blocks of 1 KB.
        backend.put("hash", item(json!({"v": {"S": "x".repeat(2500)}}))).await;
    }
    // What the request alone can say against itself is free.
    assert_eq!(backend.charges(PutItem, json!({"TableName": "hash", "Item": {}})).await, []);
}
