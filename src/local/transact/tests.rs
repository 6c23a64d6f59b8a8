//! Transactions as clients see them.

use serde_json::{Value, json};

use crate::local::tests::backend::{Backend, Refusal, hash_table};
use crate::model::Operation::{CreateTable, DeleteTable, GetItem, TransactGetItems, TransactWriteItems};

fn key(name: &str) -> Value {
    json!({"a": {"S": name}})
}

fn put(table: &str, item: Value) -> Value {
    json!({"Put": {"TableName": table, "Item": item}})
}

fn delete(table: &str, key: Value) -> Value {
    json!({"Delete": {"TableName": table, "Key": key}})
}

fn update(table: &str, key: Value, expression: &str, values: Value) -> Value {
    json!({"Update": {
        "TableName": table, "Key": key, "UpdateExpression": expression, "ExpressionAttributeValues": values,
    }})
}

fn check(table: &str, key: Value, condition: &str) -> Value {
    json!({"ConditionCheck": {"TableName": table, "Key": key, "ConditionExpression": condition}})
}

fn get(table: &str, key: Value) -> Value {
    json!({"Get": {"TableName": table, "Key": key}})
}

fn items(items: Value) -> Value {
    json!({"TransactItems": items})
}

/// The reasons of a transaction that must be cancelled, after a look at the sentence before them.
async fn reasons(backend: &Backend, transaction: Value) -> Value {
    let Refusal { code, message, body } = backend.send(TransactWriteItems, transaction).await.unwrap_err();
    assert_eq!(code, "TransactionCanceledException", "{message}");
    let codes: Vec<&str> = body["CancellationReasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reason| reason["Code"].as_str().unwrap())
        .collect();
    assert_eq!(
        message,
        format!(
            "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
            codes.join(", ")
        )
    );
    body["CancellationReasons"].clone()
}

#[tokio::test]
async fn all_actions_of_a_transaction_happen_together() {
    let backend = Backend::with_tables().await;
    backend.put("hash", json!({"a": {"S": "old"}, "n": {"N": "1"}})).await;
    backend.put("hash", key("gone")).await;
    let ranged = json!({"a": {"S": "x"}, "b": {"S": "y"}});
    let transaction = items(json!([
        check("hash", key("none"), "attribute_not_exists(a)"),
        put("range", ranged.clone()),
        update("hash", key("old"), "SET n = n + :n", json!({":n": {"N": "2"}})),
        delete("hash", key("gone")),
    ]));
    assert_eq!(backend.ok(TransactWriteItems, transaction).await, json!({}));
    assert_eq!(backend.get("range", ranged.clone()).await, ranged);
    assert_eq!(backend.get("hash", key("old")).await["n"], json!({"N": "3"}));
    assert_eq!(backend.get("hash", key("gone")).await, Value::Null);
    assert_eq!(backend.get("hash", key("none")).await, Value::Null);
}

#[tokio::test]
async fn one_failed_condition_cancels_all_and_every_action_has_its_reason() {
    let backend = Backend::with_tables().await;
    let there = json!({"a": {"S": "there"}, "n": {"N": "1"}});
    backend.put("hash", there.clone()).await;
    let mut telling = check("hash", key("there"), "attribute_not_exists(a)");
    telling["ConditionCheck"]["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD".into();
    let mut absent = delete("hash", key("absent"));
    absent["Delete"]["ConditionExpression"] = "attribute_exists(a)".into();
    absent["Delete"]["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD".into();
    let mut silent = put("range", json!({"a": {"S": "x"}, "b": {"S": "y"}}));
    silent["Put"]["ConditionExpression"] = "attribute_exists(a)".into();
    let transaction = items(json!([put("hash", key("new")), telling, absent, silent]));
    let failed = json!({"Code": "ConditionalCheckFailed", "Message": "The conditional request failed"});
    let mut with_item = failed.clone();
    with_item["Item"] = there;
    assert_eq!(reasons(&backend, transaction).await, json!([{"Code": "None"}, with_item, failed, failed]));
    assert_eq!(backend.get("hash", key("new")).await, Value::Null);
}

#[tokio::test]
async fn what_only_table_or_item_can_tell_cancels() {
    let backend = Backend::with_tables().await;
    backend.put("hash", json!({"a": {"S": "x"}, "s": {"S": "text"}})).await;
    let ranged = json!({"a": {"S": "x"}, "b": {"S": "y"}});
    let with_number = json!({"a": {"S": "x"}, "b": {"S": "y"}, "c": {"N": "1"}});
    let one = json!({":v": {"N": "1"}});
    let large = json!({":v": {"S": "x".repeat(400 * 1024)}});
    for (action, message) in [
        (
            put("hash", json!({"a": {"N": "5"}})),
            "One or more parameter values were invalid: Type mismatch for key a expected: S actual: N",
        ),
        (
            put("hash", json!({"b": {"S": "x"}})),
            "One or more parameter values were invalid: Missing the key a in the item",
        ),
        (delete("hash", json!({"a": {"L": []}})), "The provided key element does not match the schema"),
        (
            check("hash", json!({"b": {"S": "x"}}), "attribute_exists(a)"),
            "The provided key element does not match the schema",
        ),
        (
            put("range", with_number),
            "One or more parameter values were invalid: \
             Type mismatch for Index Key c Expected: S Actual: N IndexName: index1",
        ),
        (
            update("range", ranged.clone(), "SET c = :v", one.clone()),
            "One or more parameter values were invalid: \
             Type mismatch for Index Key c Expected: S Actual: N IndexName: index1",
        ),
        (
            update("hash", key("x"), "SET s = s + :v", one.clone()),
            "An operand in the update expression has an incorrect data type",
        ),
        (
            update("hash", key("x"), "SET t = u + :v", one.clone()),
            "The provided expression refers to an attribute that does not exist in the item",
        ),
        (
            update("hash", key("x"), "SET s.t = :v", one.clone()),
            "The document path provided in the update expression is invalid for update",
        ),
        (
            update("hash", key("x"), "SET a = :v", one.clone()),
            "One or more parameter values were invalid: \
             Cannot update attribute a. This attribute is part of the key",
        ),
        (
            update("hash", key("y"), "SET l = :v", large),
            "Item size to update has exceeded the maximum allowed size",
        ),
    ] {
        assert_eq!(
            reasons(&backend, items(json!([put("hash", key("other")), action]))).await,
            json!([{"Code": "None"}, {"Code": "ValidationError", "Message": message}])
        );
    }
    assert_eq!(backend.get("hash", key("other")).await, Value::Null);
}

#[tokio::test]
async fn what_the_request_alone_can_tell_is_invalid_before_anything_else() {
    let backend = Backend::with_tables().await;
    let empty_key = "One or more parameter values are not valid. \
                     The AttributeValue for a key attribute cannot contain an empty string value. Key: a";
    let ranged = |c: &str| json!({"a": {"S": "x"}, "b": {"S": "y"}, "c": {"S": c}});
    let mut idle = put("hash", key("x"));
    idle["Put"]["ConditionExpression"] = "attribute_exists(a)".into();
    idle["Put"]["ExpressionAttributeValues"] = json!({":v": {"S": "x"}});
    let both = json!({"Put": put("hash", key("x"))["Put"], "Delete": delete("hash", key("x"))["Delete"]});
    for (action, message) in [
        (json!({}), "Invalid Request: TransactWriteRequest should contain Delete or Put or Update request"),
        (both, "TransactItems can only contain one of Check, Put, Update or Delete"),
        (
            check("hash", key("x"), "attribute_exists("),
            "Invalid ConditionExpression: Syntax error; token: \"<EOF>\", near: \"(\"",
        ),
        (idle, "Value provided in ExpressionAttributeValues unused in expressions: keys: {:v}"),
        (
            put("hash", json!({"a": {"S": "x"}, "l": {"S": "x".repeat(400 * 1024)}})),
            "Item size has exceeded the maximum allowed size",
        ),
        (put("hash", key("")), empty_key),
        (delete("hash", key("")), empty_key),
        (check("hash", key(""), "attribute_exists(a)"), empty_key),
        (
            put("range", ranged("")),
            "One or more parameter values are not valid. \
             A value specified for a secondary index key is not supported. \
             The AttributeValue for a key attribute cannot contain an empty string value. \
             IndexName: index1, IndexKey: c",
        ),
        (
            update(
                "range",
                json!({"a": {"S": "x"}, "b": {"S": "y"}}),
                "SET c = :v",
                json!({":v": {"S": ""}}),
            ),
            "One or more parameter values are not valid. \
             The update expression attempted to update a secondary index key to a value that is not supported. \
             The AttributeValue for a key attribute cannot contain an empty string value.",
        ),
    ] {
        // Neither a condition that fails nor a key that does not fit is heard beside it.
        let failing = check("hash", key("none"), "attribute_exists(a)");
        let transaction = items(json!([failing, delete("hash", json!({"b": {"S": "x"}})), action]));
        assert_eq!(backend.invalid(TransactWriteItems, transaction).await, message);
    }
}

#[tokio::test]
async fn an_expression_is_judged_before_tables_and_tables_before_keys() {
    let backend = Backend::with_tables().await;
    let malformed = check("hash", key("x"), "attribute_exists(");
    let transaction = items(json!([put("none", key("x")), malformed]));
    assert!(
        backend.invalid(TransactWriteItems, transaction).await.starts_with("Invalid ConditionExpression")
    );
    let transaction = items(json!([put("hash", key("")), put("none", key("x"))]));
    let refusal = backend.send(TransactWriteItems, transaction).await.unwrap_err();
    assert_eq!(refusal.code, "ResourceNotFoundException");
    assert_eq!(refusal.message, "Requested resource not found");
}

#[tokio::test]
async fn no_two_actions_touch_one_item() {
    let backend = Backend::with_tables().await;
    let words = "Transaction request cannot include multiple operations on one item";
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/hash";
    for second in
        [check("hash", key("x"), "attribute_exists(a)"), put(arn, key("x")), delete("hash", key("x"))]
    {
        let transaction = items(json!([put("hash", key("x")), second]));
        assert_eq!(backend.invalid(TransactWriteItems, transaction).await, words);
    }
    let reads = items(json!([get("hash", key("x")), get(arn, key("x"))]));
    assert_eq!(backend.invalid(TransactGetItems, reads).await, words);
    assert_eq!(backend.get("hash", key("x")).await, Value::Null);
}

#[tokio::test]
async fn a_transaction_holds_a_hundred_actions_and_four_megabytes() {
    let backend = Backend::with_tables().await;
    let puts = |count: usize, bytes: usize| {
        let text = "x".repeat(bytes);
        let puts =
            (0..count).map(|n| put("hash", json!({"a": {"S": n.to_string()}, "v": {"S": text}}))).collect();
        items(Value::Array(puts))
    };
    backend.ok(TransactWriteItems, puts(100, 1)).await;
    let words = backend.invalid(TransactWriteItems, puts(101, 1)).await;
    assert!(words.ends_with("Member must have length less than or equal to 100"), "{words}");
    backend.ok(TransactWriteItems, puts(11, 380_000)).await;
    assert_eq!(
        backend.invalid(TransactWriteItems, puts(12, 380_000)).await,
        "Transaction payload size cannot exceed 4MB. Payload Size: 4560038"
    );
    let updates = (0..12).map(|n| {
        update("hash", key(&n.to_string()), "SET v = :v", json!({":v": {"S": "x".repeat(380_000)}}))
    });
    let words = backend.invalid(TransactWriteItems, items(updates.collect())).await;
    assert!(words.starts_with("Transaction payload size cannot exceed 4MB."), "{words}");
    backend.put("hash", json!({"a": {"S": "11"}, "v": {"S": "x".repeat(380_000)}})).await;
    let gets = |count: usize| items((0..count).map(|n| get("hash", key(&n.to_string()))).collect());
    backend.ok(TransactGetItems, gets(11)).await;
    assert!(backend.invalid(TransactGetItems, gets(12)).await.starts_with("Transaction payload size"));
}

#[tokio::test]
async fn a_transaction_costs_tables_twice_and_indexes_once_and_says_so_for_each_table() {
    let backend = Backend::with_tables().await;
    let transaction = json!({
        "TransactItems": [
            put("hash", json!({"a": {"S": "x"}, "v": {"S": "x".repeat(1500)}})),
            check("hash", key("none"), "attribute_not_exists(a)"),
            put("range", json!({"a": {"S": "x"}, "b": {"S": "1"}, "c": {"S": "c"}})),
            put("range", json!({"a": {"S": "x"}, "b": {"S": "2"}})),
        ],
        "ReturnConsumedCapacity": "INDEXES",
        "ReturnItemCollectionMetrics": "SIZE",
    });
    let units = |units: f64| json!({"CapacityUnits": units, "WriteCapacityUnits": units});
    assert_eq!(
        backend.ok(TransactWriteItems, transaction).await,
        json!({
            "ConsumedCapacity": [
                {
                    "TableName": "hash", "CapacityUnits": 6.0, "WriteCapacityUnits": 6.0,
                    "Table": units(6.0),
                },
                {
                    "TableName": "range", "CapacityUnits": 6.0, "WriteCapacityUnits": 6.0,
                    "Table": units(4.0),
                    "LocalSecondaryIndexes": {"index1": units(1.0)},
                    "GlobalSecondaryIndexes": {"index3": units(1.0)},
                },
            ],
            "ItemCollectionMetrics": {"range": [
                {"ItemCollectionKey": {"a": {"S": "x"}}, "SizeEstimateRangeGB": [0.0, 1.0]},
            ]},
        })
    );
    let reads = json!({
        "TransactItems": [get("hash", key("x")), get("hash", key("none"))],
        "ReturnConsumedCapacity": "TOTAL",
    });
    assert_eq!(
        backend.ok(TransactGetItems, reads).await["ConsumedCapacity"],
        json!([{"TableName": "hash", "CapacityUnits": 4.0, "ReadCapacityUnits": 4.0}])
    );
}

#[tokio::test]
async fn a_token_lets_a_transaction_happen_once() {
    let backend = Backend::with_tables().await;
    let add = |token: &str, n: &str| {
        json!({
            "TransactItems": [update("hash", key("x"), "ADD n :n", json!({":n": {"N": n}}))],
            "ClientRequestToken": token,
            "ReturnConsumedCapacity": "TOTAL",
        })
    };
    let capacity = |member: &str| json!([{"TableName": "hash", "CapacityUnits": 2.0, member: 2.0}]);
    let first = backend.ok(TransactWriteItems, add("token", "1")).await;
    assert_eq!(first, json!({"ConsumedCapacity": capacity("WriteCapacityUnits")}));
    let again = backend.ok(TransactWriteItems, add("token", "1")).await;
    assert_eq!(again, json!({"ConsumedCapacity": capacity("ReadCapacityUnits")}));
    let refusal = backend.send(TransactWriteItems, add("token", "2")).await.unwrap_err();
    assert_eq!(refusal.code, "IdempotentParameterMismatchException");
    backend.ok(TransactWriteItems, add("other", "5")).await;
    assert_eq!(backend.get("hash", key("x")).await["n"], json!({"N": "6"}));
}

#[tokio::test]
async fn a_repeated_transaction_is_charged_as_a_read_of_what_its_writes_were_charged_for() {
    let backend = Backend::with_tables().await;
    for name in ["shrinks", "goes", "checked"] {
        backend.put("hash", json!({"a": {"S": name}, "v": {"S": "x".repeat(9000)}})).await;
    }
    let transaction = json!({
        "TransactItems": [
            put("hash", key("shrinks")),
            put("hash", json!({"a": {"S": "comes"}, "v": {"S": "x".repeat(5000)}})),
            delete("hash", key("goes")),
            check("hash", key("checked"), "attribute_exists(v)"),
            put("range", json!({"a": {"S": "k"}, "b": {"S": "1"}, "c": {"S": "c"}})),
        ],
        "ClientRequestToken": "token",
        "ReturnConsumedCapacity": "INDEXES",
    });
    backend.ok(TransactWriteItems, transaction.clone()).await;
    // What is stored by then says nothing of what the transaction met.
    backend.put("hash", json!({"a": {"S": "comes"}, "v": {"S": "x".repeat(90_000)}})).await;
    let units = |units: f64| json!({"CapacityUnits": units, "ReadCapacityUnits": units});
    let of_table = |name: &str, sum: f64| {
        let mut told = units(sum);
        told["TableName"] = name.into();
        told["Table"] = units(sum);
        told
    };
    assert_eq!(
        backend.ok(TransactWriteItems, transaction).await,
        json!({"ConsumedCapacity": [of_table("hash", 22.0), of_table("range", 2.0)]})
    );
}

#[tokio::test]
async fn a_cancelled_transaction_leaves_its_token_free() {
    let backend = Backend::with_tables().await;
    let mut transaction = items(json!([check("hash", key("x"), "attribute_exists(a)")]));
    transaction["ClientRequestToken"] = "token".into();
    reasons(&backend, transaction.clone()).await;
    backend.put("hash", key("x")).await;
    backend.ok(TransactWriteItems, transaction).await;
}

#[tokio::test]
async fn items_are_read_in_order_and_only_as_far_as_asked() {
    let backend = Backend::with_tables().await;
    backend.put("hash", json!({"a": {"S": "x"}, "b": {"S": "1"}, "c": {"S": "2"}})).await;
    backend.put("range", json!({"a": {"S": "x"}, "b": {"S": "y"}})).await;
    let projected = |text: &str, id: &str| {
        json!({"Get": {
            "TableName": "hash", "Key": key(id), "ProjectionExpression": text,
            "ExpressionAttributeNames": {"#b": "b"},
        }})
    };
    backend.put("hash", key("empty")).await;
    let reads = items(json!([
        get("range", json!({"a": {"S": "x"}, "b": {"S": "y"}})),
        projected("#b", "x"),
        get("hash", key("none")),
        projected("#b", "empty"),
    ]));
    assert_eq!(
        backend.ok(TransactGetItems, reads).await,
        json!({"Responses": [
            {"Item": {"a": {"S": "x"}, "b": {"S": "y"}}},
            {"Item": {"b": {"S": "1"}}},
            {},
            {},
        ]})
    );
}

#[tokio::test]
async fn a_read_that_does_not_fit_its_table_cancels_the_others() {
    let backend = Backend::with_tables().await;
    let reads = items(json!([get("hash", key("x")), get("hash", json!({}))]));
    let refusal = backend.send(TransactGetItems, reads).await.unwrap_err();
    assert_eq!(refusal.code, "TransactionCanceledException");
    assert_eq!(
        refusal.body["CancellationReasons"],
        json!([
            {"Code": "None"},
            {"Code": "ValidationError", "Message": "The provided key element does not match the schema"},
        ])
    );
    let reads = items(json!([get("hash", json!({})), get("none", key("x"))]));
    let refusal = backend.send(TransactGetItems, reads).await.unwrap_err();
    assert_eq!(refusal.code, "ResourceNotFoundException");
    let reads = items(json!([get("hash", json!({})), get("hash", key(""))]));
    let refusal = backend.send(TransactGetItems, reads).await.unwrap_err();
    assert_eq!(refusal.code, "TransactionCanceledException");
    let told = refusal.body["CancellationReasons"][1]["Message"].as_str().unwrap();
    assert!(told.contains("cannot contain an empty string value"), "{told}");
    let mut read = get("hash", key("x"));
    read["Get"]["ProjectionExpression"] = "!!!".into();
    assert_eq!(
        backend.invalid(TransactGetItems, items(json!([read]))).await,
        "Invalid ProjectionExpression: Syntax error; token: \"!\", near: \"!!\""
    );
}

#[tokio::test]
async fn of_several_keys_that_fit_no_item_the_first_is_reported_alone() {
    let backend = Backend::with_tables().await;
    let of_type_n = json!({"a": {"N": "1"}});
    let mismatch = json!({
        "Code": "ValidationError",
        "Message": "One or more parameter values were invalid: Type mismatch for key a expected: S actual: N",
    });
    let none = json!({"Code": "None"});
    let transaction = items(json!([
        check("hash", key("nobody"), "attribute_exists(a)"),
        put("hash", of_type_n.clone()),
        put("hash", of_type_n.clone()),
        delete("hash", of_type_n),
    ]));
    assert_eq!(reasons(&backend, transaction).await, json!([none, mismatch, none, none]));
}

#[tokio::test]
async fn the_first_action_that_is_wrong_by_itself_is_reported_whatever_is_wrong_with_it() {
    let backend = Backend::with_tables().await;
    let deep = (0..40).fold(json!({"S": "leaf"}), |inner, _| json!({"M": {"n": inner}}));
    let (deep, nameless) = (
        put("hash", json!({"a": {"S": "x"}, "d": deep})),
        put("hash", json!({"a": {"S": "y"}, "": {"S": "z"}})),
    );
    let words = async |actions: Value| backend.invalid(TransactWriteItems, items(actions)).await;
    assert!(words(json!([deep, nameless])).await.contains("Nesting Levels have exceeded supported limits"));
    let empty = words(json!([nameless, deep])).await;
    assert!(empty.contains("Empty attribute name") || empty.contains("empty attribute name"), "{empty}");
}

#[tokio::test]
async fn a_transaction_compares_a_value_one_level_deeper_than_it_stores() {
    let backend = Backend::with_tables().await;
    backend.put("hash", key("x")).await;
    let nested = |maps: usize| (0..maps).fold(json!({"S": "leaf"}), |inner, _| json!({"M": {"n": inner}}));
    let compare = |maps: usize| {
        let mut check = check("hash", key("x"), "attribute_exists(a) or b = :v");
        check["ConditionCheck"]["ExpressionAttributeValues"] = json!({":v": nested(maps)});
        items(json!([check]))
    };
    backend.ok(TransactWriteItems, compare(32)).await;
    assert_eq!(
        backend.invalid(TransactWriteItems, compare(33)).await,
        "ExpressionAttributeValues contains invalid value: Nesting Levels have exceeded supported limits: \
         Attributes in the item have nested levels beyond supported limit for key :v"
    );
    let set = update("hash", key("x"), "SET b = :v", json!({":v": nested(32)}));
    assert_eq!(
        reasons(&backend, items(json!([set]))).await,
        json!([{"Code": "ValidationError", "Message": "Nesting Levels have exceeded supported limits"}])
    );
}

#[tokio::test]
async fn an_action_is_first_asked_for_the_depth_of_its_values_and_may_bring_idle_ones() {
    let backend = Backend::with_tables().await;
    let nested = |maps: usize| (0..maps).fold(json!({"S": "leaf"}), |inner, _| json!({"M": {"n": inner}}));
    let write = |deep: usize, value: Value| {
        let mut write = put("hash", json!({"a": {"S": "x"}, "b": nested(deep)}));
        write["Put"]["ExpressionAttributeValues"] = json!({":v": value});
        items(json!([write]))
    };
    let told = backend.invalid(TransactWriteItems, write(32, nested(33))).await;
    assert!(told.ends_with("for key :v"), "{told}");
    let told = backend.invalid(TransactWriteItems, write(32, nested(32))).await;
    assert!(told.starts_with("Nesting Levels"), "{told}");
    backend.ok(TransactWriteItems, write(1, json!({"S": "idle"}))).await;
    assert_eq!(backend.get("hash", key("x")).await["b"], nested(1));
}

#[tokio::test]
async fn index_entries_follow_a_transaction() {
    let backend = Backend::with_tables().await;
    let item = json!({"a": {"S": "x"}, "b": {"S": "y"}, "c": {"S": "old"}});
    backend.ok(TransactWriteItems, items(json!([put("range", item)]))).await;
    let ranged = json!({"a": {"S": "x"}, "b": {"S": "y"}});
    let change = update("range", ranged.clone(), "SET c = :c", json!({":c": {"S": "new"}}));
    backend.ok(TransactWriteItems, items(json!([change]))).await;
    let count = async |c: &str| {
        let query = json!({
            "TableName": "range", "IndexName": "index3", "KeyConditionExpression": "c = :c",
            "ExpressionAttributeValues": {":c": {"S": c}},
        });
        backend.ok(crate::model::Operation::Query, query).await["Count"].clone()
    };
    assert_eq!((count("old").await, count("new").await), (json!(0), json!(1)));
    let read = backend.ok(GetItem, json!({"TableName": "range", "Key": ranged})).await;
    assert_eq!(read["Item"]["c"], json!({"S": "new"}));
}

#[tokio::test]
async fn a_token_outlives_a_table_that_is_made_again() {
    let backend = Backend::with_tables().await;
    let mut transaction = items(json!([put("hash", key("x"))]));
    transaction["ClientRequestToken"] = "once".into();
    backend.ok(TransactWriteItems, transaction.clone()).await;
    backend.ok(DeleteTable, json!({"TableName": "hash"})).await;
    backend.ok(CreateTable, hash_table("hash")).await;
    backend.ok(TransactWriteItems, transaction).await;
    assert_eq!(backend.get("hash", key("x")).await, Value::Null);
}

#[tokio::test]
async fn a_cancelled_transaction_is_charged_for_each_action_whose_item_was_looked_at_and_for_no_index() {
    let backend = Backend::with_tables().await;
    backend.put("hash", json!({"a": {"S": "old"}, "v": {"S": "x".repeat(2500)}})).await;
    let cancelled = items(json!([
        put("hash", json!({"a": {"S": "new"}, "v": {"S": "x".repeat(1500)}})),
        check("hash", key("old"), "attribute_not_exists(a)"),
        check("hash", key("none"), "attribute_not_exists(a)"),
        put("range", json!({"a": {"S": "x"}, "b": {"S": "1"}, "c": {"S": "c"}})),
    ]));
    assert_eq!(reasons(&backend, cancelled.clone()).await[1]["Code"], "ConditionalCheckFailed");
    let charges = backend.charges(TransactWriteItems, cancelled).await;
    assert_eq!(charges, [("hash".to_owned(), 2.0 * (2.0 + 3.0 + 1.0)), ("range".to_owned(), 2.0)]);
    assert_eq!(backend.get("hash", key("new")).await, Value::Null);
    // A key that fits no item cancels before any item is looked at.
    let unfit = items(json!([
        check("hash", key("old"), "attribute_not_exists(a)"),
        put("hash", json!({"a": {"N": "1"}})),
    ]));
    assert_eq!(backend.charges(TransactWriteItems, unfit).await, []);
}
