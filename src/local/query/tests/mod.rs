//! Query and Scan as clients see them.

mod fingerprints;

use std::collections::{BTreeMap, BTreeSet};

use fastrand::Rng;
use serde_json::{Value, json};

use crate::local::tests::backend::{Backend, seed};
use crate::model::Operation::{self, BatchWriteItem, CreateTable, DeleteItem, Query, Scan};

fn s(text: impl Into<String>) -> Value {
    json!({"S": text.into()})
}

/// `base` with the members of `more`.
fn with(base: &Value, more: Value) -> Value {
    let mut body = base.clone();
    let Value::Object(more) = more else { panic!("members are an object") };
    body.as_object_mut().unwrap().extend(more);
    body
}

/// A query of the table `range` for `attribute = value`.
fn query(attribute: &str, value: &str) -> Value {
    json!({
        "TableName": "range",
        "KeyConditionExpression": format!("{attribute} = :v"),
        "ExpressionAttributeValues": {":v": s(value)},
    })
}

fn scan() -> Value {
    json!({"TableName": "range"})
}

/// Three items of one partition, one of another. `f` is in no index that does not hold everything.
async fn small() -> Backend {
    let backend = Backend::with_tables().await;
    for (a, b, c, d) in
        [("x", "b0", "c", "d2"), ("x", "b1", "c", "d1"), ("x", "b2", "c", "d0"), ("y", "b0", "z", "d9")]
    {
        let item = json!({
            "a": s(a), "b": s(b), "c": s(c), "d": s(d), "e": s("e"), "f": s("f".repeat(5000)),
        });
        backend.put("range", item).await;
    }
    backend
}

fn texts(answer: &Value, attribute: &str) -> Vec<String> {
    let items = answer["Items"].as_array().unwrap();
    items.iter().map(|item| item[attribute]["S"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_query_reads_the_stretch_that_its_key_condition_names() {
    let backend = small().await;
    let cases = [
        ("a = :a", vec!["b0", "b1", "b2"]),
        ("a = :a AND b = :l", vec!["b1"]),
        ("a = :a AND b < :l", vec!["b0"]),
        ("a = :a AND b <= :l", vec!["b0", "b1"]),
        ("a = :a AND b > :l", vec!["b2"]),
        ("a = :a AND b >= :l", vec!["b1", "b2"]),
        ("a = :a AND b BETWEEN :l AND :h", vec!["b1", "b2"]),
        ("a = :a AND begins_with(b, :p)", vec!["b0", "b1", "b2"]),
        ("a = :a AND begins_with(b, :l)", vec!["b1"]),
    ];
    for (condition, expected) in cases {
        let mut values = json!({":a": s("x")});
        for (name, value) in [(":l", "b1"), (":h", "b2"), (":p", "b")] {
            if condition.contains(name) {
                values[name] = s(value);
            }
        }
        let body = json!({
            "TableName": "range",
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": values,
        });
        let forward = backend.ok(Query, body.clone()).await;
        assert_eq!(texts(&forward, "b"), expected, "{condition}");
        assert_eq!(forward["Count"], expected.len());
        assert_eq!(forward["ScannedCount"], expected.len());
        assert_eq!(forward.get("LastEvaluatedKey"), None);
        let mut backward =
            texts(&backend.ok(Query, with(&body, json!({"ScanIndexForward": false}))).await, "b");
        backward.reverse();
        assert_eq!(backward, expected, "{condition} backward");
    }
}

#[tokio::test]
async fn legacy_key_conditions_and_filters_read_the_same() {
    let backend = small().await;
    let compare = |operator: &str, value: &str| json!({"ComparisonOperator": operator, "AttributeValueList": [s(value)]});
    let body = json!({
        "TableName": "range",
        "KeyConditions": {"a": compare("EQ", "x"), "b": compare("GT", "b0")},
        "QueryFilter": {"d": compare("EQ", "d0")},
        "AttributesToGet": ["b", "none"],
    });
    let answer = backend.ok(Query, body).await;
    assert_eq!(answer, json!({"Count": 1, "Items": [{"b": s("b2")}], "ScannedCount": 2}));
    let body = json!({"TableName": "range", "ScanFilter": {"d": compare("EQ", "d0")}, "Select": "COUNT"});
    assert_eq!(backend.ok(Scan, body).await, json!({"Count": 1, "ScannedCount": 4}));
}

#[tokio::test]
async fn a_page_that_is_full_has_a_last_key_even_when_nothing_follows() {
    let backend = small().await;
    let page = |limit: usize| with(&query("a", "x"), json!({"Limit": limit, "Select": "COUNT"}));
    let key = json!({"a": s("x"), "b": s("b2")});
    assert_eq!(
        backend.ok(Query, page(3)).await,
        json!({"Count": 3, "ScannedCount": 3, "LastEvaluatedKey": key})
    );
    assert_eq!(backend.ok(Query, page(4)).await, json!({"Count": 3, "ScannedCount": 3}));
    let rest = backend.ok(Query, with(&page(3), json!({"ExclusiveStartKey": key}))).await;
    assert_eq!(rest, json!({"Count": 0, "ScannedCount": 0}));
}

#[tokio::test]
async fn the_last_key_of_an_index_names_the_item_and_the_entry() {
    let backend = small().await;
    let local =
        with(&query("a", "x"), json!({"IndexName": "index2", "Limit": 1, "ProjectionExpression": "d"}));
    let answer = backend.ok(Query, local).await;
    assert_eq!(answer["LastEvaluatedKey"], json!({"a": s("x"), "b": s("b2"), "d": s("d0")}));
    assert_eq!(answer["Items"], json!([{"d": s("d0")}]));
    let global =
        with(&query("c", "c"), json!({"IndexName": "index4", "Limit": 2, "ScanIndexForward": false}));
    let answer = backend.ok(Query, global).await;
    assert_eq!(answer["LastEvaluatedKey"], json!({"a": s("x"), "b": s("b1"), "c": s("c"), "d": s("d1")}));
}

#[tokio::test]
async fn filters_count_what_they_let_pass_and_limits_what_they_looked_at() {
    let backend = small().await;
    let filtered = json!({
        "FilterExpression": "d <> :d", "ExpressionAttributeValues": {":v": s("x"), ":d": s("d1")}, "Limit": 2,
        "ProjectionExpression": "b",
    });
    let answer = backend.ok(Query, with(&query("a", "x"), filtered)).await;
    let last = json!({"a": s("x"), "b": s("b1")});
    let expected =
        json!({"Count": 1, "Items": [{"b": s("b0")}], "LastEvaluatedKey": last, "ScannedCount": 2});
    assert_eq!(answer, expected);
}

#[tokio::test]
async fn a_local_index_fetches_what_it_lacks_and_a_global_one_refuses_it() {
    let backend = small().await;
    let local = with(&query("a", "x"), json!({"IndexName": "index2", "ReturnConsumedCapacity": "INDEXES"}));
    let answer = backend.ok(Query, local.clone()).await;
    assert_eq!(answer["Items"][0].get("f"), None);
    assert_eq!(answer["ConsumedCapacity"]["CapacityUnits"], 0.5);
    for more in [json!({"Select": "ALL_ATTRIBUTES"}), json!({"ProjectionExpression": "d, f"})] {
        let answer = backend.ok(Query, with(&local, more)).await;
        assert_eq!(texts(&answer, "d"), ["d0", "d1", "d2"]);
        assert_eq!(texts(&answer, "f")[0].len(), 5000);
        let consumed = json!({
            "TableName": "range", "CapacityUnits": 3.5, "Table": {"CapacityUnits": 3.0},
            "LocalSecondaryIndexes": {"index2": {"CapacityUnits": 0.5}},
        });
        assert_eq!(answer["ConsumedCapacity"], consumed);
    }
    let refused = [
        (
            json!({"Select": "ALL_ATTRIBUTES"}),
            "Select type ALL_ATTRIBUTES is not supported for global secondary index index4 \
             because its projection type is not ALL",
        ),
        (json!({"ProjectionExpression": "f, e, g"}), "Global secondary index index4 does not project [f, g]"),
        (json!({"AttributesToGet": ["f"]}), "Global secondary index index4 does not project [f]"),
    ];
    for (more, words) in refused {
        let more = with(&more, json!({"IndexName": "index4"}));
        let words = format!("One or more parameter values were invalid: {words}");
        assert_eq!(backend.invalid(Scan, with(&scan(), more.clone())).await, words);
        if more.get("AttributesToGet").is_none() {
            assert_eq!(backend.invalid(Query, with(&query("c", "c"), more)).await, words);
        }
    }
    let filter = json!({"IndexName": "index4", "FilterExpression": "attribute_exists(f)"});
    assert_eq!(
        backend.invalid(Query, with(&query("c", "c"), filter)).await,
        "One or more parameter values were invalid: \
         Secondary index index4 does not project one or more filter attributes: [f]"
    );
}

#[tokio::test]
async fn a_page_costs_by_the_sum_of_what_it_read() {
    let backend = small().await;
    let consumed = |more: Value| {
        let body = with(
            &query("a", "x"),
            with(&more, json!({"ReturnConsumedCapacity": "TOTAL", "Select": "COUNT"})),
        );
        async { backend.ok(Query, body).await["ConsumedCapacity"]["CapacityUnits"].clone() }
    };
    assert_eq!(consumed(json!({})).await, 2.0);
    assert_eq!(consumed(json!({"ConsistentRead": true})).await, 4.0);
    assert_eq!(consumed(json!({"Limit": 1})).await, 1.0);
    assert_eq!(consumed(json!({"ExpressionAttributeValues": {":v": s("none")}})).await, 0.5);
}

#[tokio::test]
async fn a_page_ends_with_the_item_that_makes_it_a_megabyte() {
    let backend = Backend::with_tables().await;
    for number in 0..30 {
        let item = json!({"a": s("x"), "b": s(format!("{number:02}")), "z": s("z".repeat(100_000))});
        backend.put("range", item).await;
    }
    let mut body = with(&query("a", "x"), json!({"Select": "COUNT"}));
    let mut counts = Vec::new();
    loop {
        let answer = backend.ok(Query, body.clone()).await;
        counts.push(answer["Count"].as_u64().unwrap());
        let Some(last) = answer.get("LastEvaluatedKey") else { break };
        body["ExclusiveStartKey"] = last.clone();
    }
    assert_eq!(counts, [11, 11, 8]);
}

#[tokio::test]
async fn select_must_agree_with_the_projection() {
    let backend = small().await;
    let cases = [
        (
            json!({"Select": "SPECIFIC_ATTRIBUTES"}),
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
        ),
        (
            json!({"Select": "ALL_PROJECTED_ATTRIBUTES"}),
            "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName",
        ),
        (
            json!({"Select": "COUNT", "ProjectionExpression": "b"}),
            "Cannot specify the ProjectionExpression when choosing to get only the Count",
        ),
        (
            json!({"Select": "ALL_PROJECTED_ATTRIBUTES", "ProjectionExpression": "b"}),
            "Cannot specify the ProjectionExpression when choosing to get ALL_PROJECTED_ATTRIBUTES",
        ),
    ];
    for (more, words) in cases {
        let envelope = format!("1 validation error detected: {words}");
        assert_eq!(backend.invalid(Scan, with(&scan(), more.clone())).await, words);
        assert_eq!(backend.invalid(Query, with(&query("a", "x"), more)).await, envelope);
    }
    let specific = json!({"Select": "SPECIFIC_ATTRIBUTES", "ProjectionExpression": "b"});
    assert_eq!(backend.ok(Query, with(&query("a", "x"), specific)).await["Items"][0], json!({"b": s("b0")}));
}

#[tokio::test]
async fn a_key_condition_that_no_key_could_answer_is_refused_after_what_is_wrong_with_other_expressions() {
    let backend = small().await;
    let strange = with(&scan(), json!({"KeyConditionExpression": "a = b"}));
    let cases = [
        (json!({"FilterExpression": ""}), "Invalid FilterExpression: The expression can not be empty;"),
        (
            json!({"ProjectionExpression": "b,,"}),
            "Invalid ProjectionExpression: Syntax error; token: \",\", near: \",,\"",
        ),
        (
            json!({"ExpressionAttributeNames": {"#b": "b"}}),
            "Value provided in ExpressionAttributeNames unused in expressions: keys: {#b}",
        ),
        (
            json!({}),
            "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition",
        ),
    ];
    for (more, words) in cases {
        assert_eq!(backend.invalid(Query, with(&strange, more)).await, words);
    }
}

#[tokio::test]
async fn requests_that_no_table_could_answer_are_refused() {
    let backend = small().await;
    let cases = [
        (
            Query,
            scan(),
            "Either the KeyConditions or KeyConditionExpression parameter must be specified in the request.",
        ),
        (Query, with(&scan(), json!({"KeyConditions": {}})), "Conditions can be of length 1 or 2 only"),
        (
            Query,
            with(&query("a", "x"), json!({"IndexName": "none", "ConsistentRead": true})),
            "The table does not have the specified index: none",
        ),
        (
            Query,
            with(&query("c", "x"), json!({"IndexName": "index3", "ConsistentRead": true})),
            "Consistent reads are not supported on global secondary indexes",
        ),
        (
            Scan,
            with(&scan(), json!({"IndexName": "index3", "ConsistentRead": true})),
            "Consistent reads are not supported on global secondary indexes",
        ),
        (
            Query,
            with(&query("a", "x"), json!({"FilterExpression": "b = :v"})),
            "Filter Expression can only contain non-primary key attributes: Primary key attribute: b",
        ),
        (
            Query,
            json!({
                "TableName": "range",
                "KeyConditions": {"a": {"ComparisonOperator": "EQ", "AttributeValueList": [s("x")]}},
                "QueryFilter": {"b": {"ComparisonOperator": "NULL"}},
            }),
            "QueryFilter can only contain non-primary key attributes: Primary key attribute: b",
        ),
        (
            Scan,
            with(&scan(), json!({"ProjectionExpression": "a.b"})),
            "Key attributes must be scalars; list random access '[]' and map lookup '.' are not allowed: Key: a",
        ),
        (
            Query,
            with(&query("a", "x"), json!({"AttributesToGet": ["b"]})),
            "Can not use both expression and non-expression parameters in the same request: \
             Non-expression parameters: {AttributesToGet} Expression parameters: {KeyConditionExpression}",
        ),
        (
            Scan,
            with(&scan(), json!({"Segment": 1})),
            "The TotalSegments parameter is required but was not present in the request when Segment parameter is present",
        ),
        (
            Scan,
            with(&scan(), json!({"TotalSegments": 1})),
            "The Segment parameter is required but was not present in the request when parameter TotalSegments is present",
        ),
        (
            Scan,
            with(&scan(), json!({"TotalSegments": 4, "Segment": 5})),
            "The Segment parameter is zero-based and must be less than parameter TotalSegments: \
             Segment: 5 is not less than TotalSegments: 4",
        ),
    ];
    for (operation, body, words) in cases {
        assert_eq!(backend.invalid(operation, body).await, words);
    }
}

#[tokio::test]
async fn a_select_is_asked_for_behind_what_else_the_request_alone_says() {
    let backend = small().await;
    let select = "1 validation error detected: Value 'hi' at 'select' failed to satisfy constraint: Member must satisfy \
                  enum value set: [SPECIFIC_ATTRIBUTES, COUNT, ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES]";
    let operator = "One or more parameter values were invalid: Invalid comparison operator";
    let unjoined = "ConditionalOperator cannot be used without Filter or Expected";
    let filter =
        |operator: &str| json!({"c": {"ComparisonOperator": operator, "AttributeValueList": [s("x")]}});
    let key = json!({"a": {"ComparisonOperator": "EQ", "AttributeValueList": [s("x")]}});
    let legacy_query = json!({"TableName": "range", "Select": "hi", "KeyConditions": key});
    let wrong_select = with(&scan(), json!({"Select": "hi"}));
    let segments = json!({"Segment": 5, "TotalSegments": 5});
    let cases = [
        // A Query asks for it before its old parameters, a Scan behind its expressions.
        (Query, with(&legacy_query, json!({"QueryFilter": filter("eq")})), select),
        (Query, with(&legacy_query, json!({"ConditionalOperator": "AND"})), select),
        (Query, with(&legacy_query, json!({"Select": "COUNT", "QueryFilter": filter("eq")})), operator),
        (Query, json!({"TableName": "range", "KeyConditions": filter("eq")}), operator),
        (Scan, with(&wrong_select, json!({"ScanFilter": filter("eq")})), operator),
        (Scan, with(&wrong_select, json!({"ConditionalOperator": "hi"})), unjoined),
        (Scan, with(&wrong_select, json!({"AttributesToGet": [""]})), "Empty attribute name"),
        (Scan, with(&wrong_select, segments.clone()), select),
        (
            Scan,
            with(&wrong_select, json!({"FilterExpression": ""})),
            "Invalid FilterExpression: The expression can not be empty;",
        ),
        // The older reader, which takes a number with a fraction, has no envelope for it.
        (
            Query,
            with(&query("a", "x"), json!({"Select": "SPECIFIC_ATTRIBUTES", "Limit": 1.5})),
            "Must specify the AttributesToGet or ProjectionExpression when choosing to get SPECIFIC_ATTRIBUTES",
        ),
        (
            Scan,
            with(&with(&scan(), json!({"Select": "ALL_PROJECTED_ATTRIBUTES"})), segments),
            "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName",
        ),
        // An operator that is none goes before it, where a Query has conditions to join.
        (
            Query,
            with(
                &legacy_query,
                json!({
                    "QueryFilter": {"c": {"ComparisonOperator": "NULL"}, "d": {"ComparisonOperator": "NULL"}},
                    "ConditionalOperator": "XOR",
                }),
            ),
            "Failed to satisfy constraint: Member must satisfy enum value set: [ALL, OR]",
        ),
        (
            Query,
            with(
                &legacy_query,
                json!({"QueryFilter": {"c": {"ComparisonOperator": "NULL"}}, "ConditionalOperator": "XOR"}),
            ),
            select,
        ),
    ];
    for (operation, body, words) in cases {
        assert_eq!(backend.invalid(operation, body.clone()).await, words, "{body}");
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn a_start_must_be_a_place_that_the_read_comes_by() {
    let backend = small().await;
    let invalid = "The provided starting key is invalid";
    let null =
        "One or more parameter values were invalid: Null attribute value types must have the value of true";
    let schema = "The provided key element does not match the schema";
    let of_start = format!("{invalid}: {schema}");
    let outside = "The provided starting key is outside query boundaries based on provided conditions";
    let predicate = "The provided starting key does not match the range key predicate";
    let table = query("a", "x");
    let above = with(
        &table,
        json!({
            "KeyConditionExpression": "a = :v AND b > :b", "ExpressionAttributeValues": {":v": s("x"), ":b": s("b0")},
        }),
    );
    let local = with(&table, json!({"IndexName": "index2"}));
    let global = with(&query("c", "c"), json!({"IndexName": "index4"}));
    let cases = [
        (Query, &table, json!({}), invalid.to_owned()),
        (Query, &table, json!({"a": s("x")}), invalid.to_owned()),
        (Query, &table, json!({"a": s("x"), "c": s("x")}), invalid.to_owned()),
        (Query, &table, json!({"a": s("x"), "b": s("x"), "c": s("x")}), invalid.to_owned()),
        (Query, &table, json!({"a": s("x"), "b": {"N": "1"}}), schema.to_owned()),
        (Query, &table, json!({"a": {"L": []}, "b": s("x")}), schema.to_owned()),
        (Query, &table, json!({"a": s("y"), "b": s("x")}), outside.to_owned()),
        (Query, &with(&table, json!({"TableName": "hash"})), json!({"a": s("y")}), outside.to_owned()),
        (Query, &with(&table, json!({"TableName": "hash"})), json!({"a": {"N": "1"}}), schema.to_owned()),
        (Query, &with(&table, json!({"TableName": "hash"})), json!({"b": s("x")}), invalid.to_owned()),
        (Scan, &with(&scan(), json!({"TableName": "hash"})), json!({"b": s("x")}), of_start.clone()),
        (Scan, &with(&scan(), json!({"TableName": "hash"})), json!({"a": {"N": "1"}}), of_start.clone()),
        (Query, &above, json!({"a": s("x"), "b": s("b0")}), predicate.to_owned()),
        (Query, &above, json!({"a": s("y"), "b": s("b0")}), predicate.to_owned()),
        (
            Query,
            &above,
            json!({"a": s("y"), "b": s("b1")}),
            "The query can return at most one row and cannot be restarted".to_owned(),
        ),
        (Query, &local, json!({"a": s("x"), "b": s("b0")}), invalid.to_owned()),
        (Query, &local, json!({"a": s("y"), "b": s("b0"), "d": s("d")}), outside.to_owned()),
        (Query, &local, json!({"a": s("x"), "b": s("b0"), "d": {"N": "1"}}), schema.to_owned()),
        (Query, &local, json!({"a": s("x"), "b": {"N": "1"}, "d": s("d")}), of_start.clone()),
        (Query, &global, json!({"a": s("x"), "b": s("b0"), "c": {"N": "1"}, "d": s("d")}), schema.to_owned()),
        (Query, &global, json!({"a": {"N": "1"}, "b": s("b0"), "c": s("c"), "d": s("d")}), of_start.clone()),
        (Query, &global, json!({"a": s("x"), "b": s("b0"), "c": s("z"), "d": s("d")}), outside.to_owned()),
        (Scan, &scan(), json!({"a": s("x")}), of_start.clone()),
        (Scan, &scan(), json!({"a": s("x"), "b": {"N": "1"}}), of_start.clone()),
        (Scan, &scan(), json!({"d": {"N": "1"}}), of_start.clone()),
        (Scan, &with(&scan(), json!({"IndexName": "index2"})), json!({"a": {"N": "1"}}), invalid.to_owned()),
        (
            Scan,
            &with(&scan(), json!({"IndexName": "index2"})),
            json!({"a": s("x"), "b": s("b0"), "d": {"N": "1"}}),
            schema.to_owned(),
        ),
        (
            Scan,
            &with(&scan(), json!({"IndexName": "index2"})),
            json!({"a": s("x"), "b": {"N": "1"}, "d": s("d")}),
            of_start.clone(),
        ),
        (Query, &table, json!({"a": {"NULL": false}}), null.to_owned()),
        (Scan, &scan(), json!({"a": {"NULL": false}}), format!("{invalid}: {null}")),
        (
            Scan,
            &scan(),
            json!({"a": s("x"), "b": {}}),
            format!(
                "{invalid}: Supplied AttributeValue is empty, must contain exactly one of the supported datatypes"
            ),
        ),
        (
            Scan,
            &scan(),
            json!({"a": s("x"), "b": {"N": "abc"}}),
            "The parameter cannot be converted to a numeric value: abc".to_owned(),
        ),
        (
            Scan,
            &with(&scan(), json!({"IndexName": "index3"})),
            json!({"a": s("x"), "b": s("y")}),
            invalid.to_owned(),
        ),
    ];
    for (operation, body, start, words) in cases {
        let body = with(body, json!({"ExclusiveStartKey": start}));
        assert_eq!(backend.invalid(operation, body.clone()).await, words, "{body}");
    }
    let restarted = with(&table, json!({"ExclusiveStartKey": {"a": s("x"), "b": s("b00")}}));
    assert_eq!(texts(&backend.ok(Query, restarted).await, "b"), ["b1", "b2"]);
}

/// A table with a number for its sort key, a local index by a number and a global one by text and number, and random
/// items in it, few values and thus many equal keys among them.
async fn random_table(random: &mut Rng) -> (Backend, Vec<Value>) {
    let backend = Backend::new();
    let definition = |name: &str, kind: &str| json!({"AttributeName": name, "AttributeType": kind});
    let key = |hash: &str, range: &str| json!([{"AttributeName": hash, "KeyType": "HASH"}, {"AttributeName": range, "KeyType": "RANGE"}]);
    let index = |name: &str, key: Value| json!({"IndexName": name, "KeySchema": key, "Projection": {"ProjectionType": "KEYS_ONLY"}});
    let table = json!({
        "TableName": "random",
        "AttributeDefinitions": [
            definition("p", "S"), definition("n", "N"), definition("l", "N"), definition("g", "S"),
        ],
        "KeySchema": key("p", "n"),
        "BillingMode": "PAY_PER_REQUEST",
        "LocalSecondaryIndexes": [index("local", key("p", "l"))],
        "GlobalSecondaryIndexes": [index("global", key("g", "l"))],
    });
    backend.ok(CreateTable, table).await;
    let mut items = BTreeMap::new();
    for _ in 0..random.usize(200..400) {
        let (p, n) = (random.choice(["p", "q", "\u{0}"]).unwrap(), random.i32(-150..150));
        let mut item =
            json!({"p": s(p), "n": {"N": n.to_string()}, "x": s("x".repeat(random.usize(0..2000)))});
        if random.u8(..4) > 0 {
            item["l"] = json!({"N": random.i32(-5..5).to_string()});
        }
        if random.u8(..4) > 0 {
            item["g"] = s(*random.choice(["g", "h"]).as_ref().unwrap());
        }
        items.insert((p, n), item);
    }
    let items: Vec<Value> = items.into_values().collect();
    for batch in items.chunks(25) {
        let puts: Vec<Value> = batch.iter().map(|item| json!({"PutRequest": {"Item": item}})).collect();
        backend.ok(BatchWriteItem, json!({"RequestItems": {"random": puts}})).await;
    }
    (backend, items)
}

/// The items of all pages, with a random limit for each.
async fn all_pages(backend: &Backend, operation: Operation, body: &Value, random: &mut Rng) -> Vec<Value> {
    let mut body = body.clone();
    let mut items = Vec::new();
    loop {
        let limit = random.usize(1..150);
        body["Limit"] = limit.into();
        let answer = backend.ok(operation, body.clone()).await;
        let page = answer["Items"].as_array().unwrap();
        assert_eq!(answer["Count"], page.len());
        items.extend(page.iter().cloned());
        match answer.get("LastEvaluatedKey") {
            Some(last) => body["ExclusiveStartKey"] = last.clone(),
            None => {
                assert!(page.len() < limit);
                return items;
            }
        }
    }
}

fn number(item: &Value, name: &str) -> i32 {
    item[name]["N"].as_str().unwrap().parse().unwrap()
}

fn identity(item: &Value) -> String {
    json!([item["p"], item["n"]]).to_string()
}

#[tokio::test]
async fn pages_of_a_query_are_the_partition_in_order_each_item_once() {
    let mut random = Rng::with_seed(seed());
    let (backend, model) = random_table(&mut random).await;
    let sources = [(None, "p", "n"), (Some("local"), "p", "l"), (Some("global"), "g", "l")];
    for (index, partition, sort) in sources {
        for value in ["p", "q", "\u{0}", "g", "h", "none"] {
            let bound = random.i32(-6..6);
            let body = json!({
                "TableName": "random",
                "KeyConditionExpression": "#p = :p AND #s >= :b",
                "ExpressionAttributeNames": {"#p": partition, "#s": sort},
                "ExpressionAttributeValues": {":p": s(value), ":b": {"N": bound.to_string()}},
            });
            let body = index.map_or(body.clone(), |index| with(&body, json!({"IndexName": index})));
            let forward = all_pages(&backend, Query, &body, &mut random).await;
            let backward = with(&body, json!({"ScanIndexForward": false}));
            let mut backward = all_pages(&backend, Query, &backward, &mut random).await;
            backward.reverse();
            assert_eq!(forward, backward);
            assert!(forward.is_sorted_by_key(|item| number(item, sort)));
            let expected = model.iter().filter(|item| {
                item[partition] == s(value) && item.get(sort).is_some() && number(item, sort) >= bound
            });
            let expected: BTreeSet<String> = expected.map(identity).collect();
            assert_eq!(forward.len(), expected.len());
            assert_eq!(forward.iter().map(identity).collect::<BTreeSet<_>>(), expected);
        }
    }
}

#[tokio::test]
async fn segments_of_a_scan_have_each_item_once_and_in_the_order_of_the_scan() {
    let mut random = Rng::with_seed(seed());
    let backend = Backend::with_tables().await;
    for number in 0..300 {
        backend.put("hash", json!({"a": s(format!("item {number}"))})).await;
    }
    let body = json!({"TableName": "hash"});
    let whole = all_pages(&backend, Scan, &body, &mut random).await;
    assert_eq!(whole.iter().map(|item| item["a"].to_string()).collect::<BTreeSet<_>>().len(), 300);
    for total in [1, 2, 7, 64] {
        let mut joined = Vec::new();
        for segment in 0..total {
            let body = with(&body, json!({"Segment": segment, "TotalSegments": total}));
            joined.extend(all_pages(&backend, Scan, &body, &mut random).await);
        }
        assert_eq!(joined, whole, "{total} segments");
    }
}

#[tokio::test]
async fn scans_of_an_index_have_its_entries_only() {
    let mut random = Rng::with_seed(seed());
    let (backend, model) = random_table(&mut random).await;
    for (index, attributes) in [("local", vec!["l"]), ("global", vec!["g", "l"])] {
        let body = json!({"TableName": "random", "IndexName": index});
        let found = all_pages(&backend, Scan, &body, &mut random).await;
        let expected = model.iter().filter(|item| attributes.iter().all(|name| item.get(name).is_some()));
        let expected: BTreeSet<String> = expected.map(identity).collect();
        assert_eq!(found.len(), expected.len());
        assert_eq!(found.iter().map(identity).collect::<BTreeSet<_>>(), expected);
    }
}

#[tokio::test]
async fn a_start_of_another_segment_is_refused_and_one_of_a_removed_item_is_not() {
    let backend = Backend::with_tables().await;
    for name in ["one", "two", "three"] {
        backend.put("hash", json!({"a": s(name)})).await;
    }
    let start = backend.ok(Scan, json!({"TableName": "hash", "Limit": 1})).await["LastEvaluatedKey"].clone();
    let mut accepted = 0;
    for segment in 0..4 {
        let body = json!({
            "TableName": "hash", "ExclusiveStartKey": start, "Segment": segment, "TotalSegments": 4,
        });
        match backend.send(Scan, body).await {
            Ok(_) => accepted += 1,
            Err(refusal) => assert_eq!(
                refusal.message,
                format!(
                    "The provided starting key is invalid: Invalid ExclusiveStartKey. \
                     Please use ExclusiveStartKey with correct Segment. TotalSegments: 4 Segment: {segment}"
                )
            ),
        }
    }
    assert_eq!(accepted, 1);
    backend.ok(DeleteItem, json!({"TableName": "hash", "Key": start})).await;
    let rest = backend.ok(Scan, json!({"TableName": "hash", "ExclusiveStartKey": start})).await;
    assert_eq!(rest["Count"], 2);
}

#[tokio::test]
async fn old_key_conditions_may_stand_beside_a_new_filter() {
    let backend = small().await;
    let body = json!({
        "TableName": "range",
        "KeyConditions": {"a": {"ComparisonOperator": "EQ", "AttributeValueList": [s("x")]}},
        "FilterExpression": "d = :d", "ExpressionAttributeValues": {":d": s("d1")}, "Select": "COUNT",
    });
    assert_eq!(backend.ok(Query, body.clone()).await, json!({"Count": 1, "ScannedCount": 3}));
    let both = with(&body, json!({"KeyConditionExpression": "a = :d"}));
    assert_eq!(
        backend.invalid(Query, both).await,
        "Can not use both expression and non-expression parameters in the same request: \
         Non-expression parameters: {KeyConditions} Expression parameters: {FilterExpression, KeyConditionExpression}"
    );
}

#[tokio::test]
async fn items_that_an_index_fetches_fill_its_pages_too() {
    let backend = Backend::with_tables().await;
    for number in 0..30 {
        let sort = format!("{number:02}");
        let item =
            json!({"a": s("x"), "b": s(sort.clone()), "d": s(sort.clone()), "z": s("z".repeat(100_000))});
        backend.put("range", item).await;
    }
    let body = with(&query("a", "x"), json!({"IndexName": "index2", "ProjectionExpression": "z"}));
    assert_eq!(backend.ok(Query, body).await["Count"], 11);
}

#[tokio::test]
async fn very_many_segments_still_have_each_item_once() {
    let backend = Backend::with_tables().await;
    backend.put("hash", json!({"a": s("one")})).await;
    let start = json!({"a": s("one")});
    let mut holders = 0;
    for segment in 0..5000 {
        let body = json!({
            "TableName": "hash", "Segment": segment, "TotalSegments": 5000, "Select": "COUNT",
        });
        if backend.ok(Scan, body.clone()).await["Count"] == 1 {
            holders += 1;
            let body = with(&body, json!({"ExclusiveStartKey": start}));
            assert_eq!(backend.ok(Scan, body).await["Count"], 0);
        }
    }
    assert_eq!(holders, 1);
}

#[tokio::test]
async fn an_index_may_have_several_partition_and_sort_attributes() {
    let backend = Backend::new();
    let element = |name: &str, kind: &str| json!({"AttributeName": name, "KeyType": kind});
    let index = [element("g", "HASH"), element("h", "HASH"), element("i", "RANGE"), element("j", "RANGE")];
    let definitions =
        ["p", "g", "h", "i", "j"].map(|name| json!({"AttributeName": name, "AttributeType": "S"}));
    let table = json!({
        "TableName": "several", "BillingMode": "PAY_PER_REQUEST", "AttributeDefinitions": definitions,
        "KeySchema": [element("p", "HASH")],
        "GlobalSecondaryIndexes": [
            {"IndexName": "index", "KeySchema": index, "Projection": {"ProjectionType": "ALL"}},
        ],
    });
    backend.ok(CreateTable, table).await;
    for number in 0..16 {
        let letter = |bit: u32| s(if number >> bit & 1 == 0 { "a" } else { "b" });
        let item = json!({
            "p": s(number.to_string()), "g": letter(0), "h": letter(1), "i": letter(2), "j": letter(3),
        });
        backend.put("several", item).await;
    }
    let query = |condition: &str| {
        json!({
            "TableName": "several", "IndexName": "index", "KeyConditionExpression": condition,
            "ExpressionAttributeValues": {":a": s("a")},
        })
    };
    let found = backend.ok(Query, query("g = :a AND h = :a")).await;
    assert_eq!(texts(&found, "p"), ["0", "8", "4", "12"]);
    let found = backend.ok(Query, query("h = :a AND g = :a AND i = :a AND j > :a")).await;
    assert_eq!(texts(&found, "p"), ["8"]);
    let first = backend.ok(Query, with(&query("g = :a AND h = :a AND i > :a"), json!({"Limit": 1}))).await;
    let last = json!({"p": s("4"), "g": s("a"), "h": s("a"), "i": s("b"), "j": s("a")});
    assert_eq!(first["LastEvaluatedKey"], last);
    let rest = with(&query("g = :a AND h = :a AND i > :a"), json!({"ExclusiveStartKey": last}));
    assert_eq!(texts(&backend.ok(Query, rest).await, "p"), ["12"]);
}

#[tokio::test]
async fn a_long_page_gives_way_between_its_steps() {
    let backend = Backend::with_tables().await;
    let names: Vec<String> = (0..250).map(|number| number.to_string()).collect();
    for batch in names.chunks(25) {
        let puts: Vec<Value> =
            batch.iter().map(|name| json!({"PutRequest": {"Item": {"a": s(name)}}})).collect();
        backend.ok(BatchWriteItem, json!({"RequestItems": {"hash": puts}})).await;
    }
    let mut reading = std::pin::pin!(backend.ok(Scan, json!({"TableName": "hash"})));
    let mut pauses = 0;
    let answer = std::future::poll_fn(|context| {
        let polled = reading.as_mut().poll(context);
        pauses += usize::from(polled.is_pending());
        polled
    })
    .await;
    assert_eq!((answer["Count"].as_u64(), pauses), (Some(250), 2));
}
