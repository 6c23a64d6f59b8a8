//! Table operations through the backend's own door.

use serde_json::{Value, json};

use crate::call::{Request, Upstream};
use crate::local::store::{Durability, OpenError, StoreError};
use crate::local::{Local, Settings, spaces};
use crate::model::{ApiError, Operation};

fn backend() -> Local {
    Local::in_memory(Settings::default())
}

async fn call(local: &Local, operation: Operation, body: Value) -> Value {
    let request = Request::new(operation, serde_json::to_vec(&body).unwrap());
    let answer = local.call(&request).await.unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}

/// The message of the error that a request is answered with.
async fn refused(local: &Local, operation: Operation, body: Value) -> String {
    let answer = call(local, operation, body).await;
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    let kind = text("__type");
    let kind = kind.rsplit('#').next().unwrap_or_default();
    format!("{kind}: {}", text("message"))
}

fn plain_table(name: &str) -> Value {
    json!({
        "TableName": name,
        "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    })
}

fn indexed_table(name: &str) -> Value {
    json!({
        "TableName": name,
        "AttributeDefinitions": [
            {"AttributeName": "b", "AttributeType": "N"},
            {"AttributeName": "a", "AttributeType": "S"},
        ],
        "KeySchema": [
            {"AttributeName": "a", "KeyType": "HASH"},
            {"AttributeName": "b", "KeyType": "RANGE"},
        ],
        "ProvisionedThroughput": {"ReadCapacityUnits": 5, "WriteCapacityUnits": 3},
        "LocalSecondaryIndexes": [{
            "IndexName": "local",
            "KeySchema": [
                {"AttributeName": "a", "KeyType": "HASH"},
                {"AttributeName": "b", "KeyType": "RANGE"},
            ],
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }],
        "GlobalSecondaryIndexes": [{
            "IndexName": "global",
            "KeySchema": [{"AttributeName": "b", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["z", "y"]},
            "ProvisionedThroughput": {"ReadCapacityUnits": 1, "WriteCapacityUnits": 2},
        }],
    })
}

#[tokio::test]
async fn a_table_is_creating_in_the_answer_and_active_afterwards() {
    let local = backend();
    let created = call(&local, Operation::CreateTable, indexed_table("abc")).await;
    let description = &created["TableDescription"];
    assert_eq!(description["TableStatus"], "CREATING");
    assert_eq!(description["GlobalSecondaryIndexes"][0]["IndexStatus"], "CREATING");
    assert_eq!(description["TableArn"], "arn:aws:dynamodb:us-east-1:000000000000:table/abc");
    assert_eq!(description["AttributeDefinitions"][0]["AttributeName"], "a");
    assert_eq!(description["ProvisionedThroughput"]["NumberOfDecreasesToday"], 0);
    assert_eq!(description["TableId"].as_str().unwrap().len(), 36);
    assert_eq!(description["DeletionProtectionEnabled"], false);

    let described = call(&local, Operation::DescribeTable, json!({"TableName": "abc"})).await;
    let table = &described["Table"];
    assert_eq!(table["TableStatus"], "ACTIVE");
    assert_eq!(table["TableId"], description["TableId"]);
    assert_eq!(table["ItemCount"], 0);
    assert_eq!(table["GlobalSecondaryIndexes"][0]["IndexStatus"], "ACTIVE");
    assert_eq!(
        table["GlobalSecondaryIndexes"][0]["Projection"],
        json!({"ProjectionType": "INCLUDE", "NonKeyAttributes": ["y", "z"]})
    );
    assert_eq!(
        table["LocalSecondaryIndexes"][0]["IndexArn"],
        "arn:aws:dynamodb:us-east-1:000000000000:table/abc/index/local"
    );
    assert_eq!(table["LocalSecondaryIndexes"][0].get("IndexStatus"), None);
    assert_eq!(table["DeletionProtectionEnabled"], false);
}

#[tokio::test]
async fn a_table_is_found_by_its_arn_too() {
    let local = backend();
    call(&local, Operation::CreateTable, plain_table("abc")).await;
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/abc";
    let described = call(&local, Operation::DescribeTable, json!({"TableName": arn})).await;
    assert_eq!(described["Table"]["TableName"], "abc");
    assert_eq!(described["Table"]["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST");
}

#[tokio::test]
async fn a_deleted_table_is_gone_and_its_name_free() {
    let local = backend();
    let first = call(&local, Operation::CreateTable, plain_table("abc")).await;
    assert_eq!(
        refused(&local, Operation::CreateTable, plain_table("abc")).await,
        "ResourceInUseException: Table already exists: abc"
    );
    let deleted = call(&local, Operation::DeleteTable, json!({"TableName": "abc"})).await;
    assert_eq!(deleted["TableDescription"]["TableStatus"], "DELETING");
    assert_eq!(deleted["TableDescription"]["BillingModeSummary"]["BillingMode"], "PAY_PER_REQUEST");
    assert_eq!(deleted["TableDescription"].get("KeySchema"), None);
    assert_eq!(
        refused(&local, Operation::DescribeTable, json!({"TableName": "abc"})).await,
        "ResourceNotFoundException: Requested resource not found: Table: abc not found"
    );
    let second = call(&local, Operation::CreateTable, plain_table("abc")).await;
    assert_ne!(first["TableDescription"]["TableId"], second["TableDescription"]["TableId"]);
}

#[tokio::test]
async fn a_protected_table_is_not_deleted() {
    let local = backend();
    let mut table = plain_table("abc");
    table["DeletionProtectionEnabled"] = json!(true);
    call(&local, Operation::CreateTable, table).await;
    assert_eq!(
        refused(&local, Operation::DeleteTable, json!({"TableName": "abc"})).await,
        "ValidationException: Resource cannot be deleted as it is currently protected against deletion. Disable \
         deletion protection first."
    );
}

#[tokio::test]
async fn names_are_listed_in_order_page_by_page() {
    let local = backend();
    for name in ["cde", "abc", "bcd"] {
        call(&local, Operation::CreateTable, plain_table(name)).await;
    }
    let page = call(&local, Operation::ListTables, json!({"Limit": 2})).await;
    assert_eq!(page, json!({"TableNames": ["abc", "bcd"], "LastEvaluatedTableName": "bcd"}));
    let page = call(&local, Operation::ListTables, json!({"ExclusiveStartTableName": "bcd"})).await;
    assert_eq!(page, json!({"TableNames": ["cde"]}));
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn a_broken_rule_is_told_in_the_words_of_the_service() {
    let local = backend();
    let prefix = "ValidationException: One or more parameter values were invalid: ";
    let key = |attributes: Value, key_schema: Value, more: Value| {
        let mut table = json!({
            "TableName": "abc",
            "AttributeDefinitions": attributes,
            "KeySchema": key_schema,
            "BillingMode": "PAY_PER_REQUEST",
        });
        table.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        table
    };
    let define = |names: &[&str]| {
        Value::from_iter(names.iter().map(|name| json!({"AttributeName": name, "AttributeType": "S"})))
    };
    let hash = |name: &str| json!({"AttributeName": name, "KeyType": "HASH"});
    let range = |name: &str| json!({"AttributeName": name, "KeyType": "RANGE"});
    let global = |key_schema: Value| {
        json!({"GlobalSecondaryIndexes": [
            {"IndexName": "abc", "KeySchema": key_schema, "Projection": {"ProjectionType": "ALL"}},
        ]})
    };
    let cases = [
        (
            key(define(&["a"]), json!([hash("a")]), json!({"BillingMode": "PROVISIONED"})),
            "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode is PROVISIONED",
        ),
        (
            key(define(&["a", "b"]), json!([hash("a")]), json!({})),
            "Number of attributes in KeySchema does not exactly match number of attributes defined in \
             AttributeDefinitions",
        ),
        (
            key(define(&["a", "c", "b"]), json!([hash("a")]), global(json!([hash("b")]))),
            "Some AttributeDefinitions are not used. AttributeDefinitions: [a, b, c], keys used: [a, b]",
        ),
        (
            key(define(&["a", "b"]), json!([hash("a")]), global(json!([hash("a"), range("c")]))),
            "Some index key attributes are not defined in AttributeDefinitions. Keys: [a, c], \
             AttributeDefinitions: [a, b]",
        ),
        // Names are listed as a Java hash table has them: what is defined in one for its count, what is used in a set.
        (
            key(
                define(&["PK", "h", "a", "unused"]),
                json!([hash("PK")]),
                global(json!([hash("h"), range("a")])),
            ),
            "Some AttributeDefinitions are not used. AttributeDefinitions: [h, a, unused, PK], keys used: [a, h, PK]",
        ),
        (
            key(
                define(&["PK", "h", "a"]),
                json!([hash("PK")]),
                global(json!([hash("h"), range("a"), range("zz")])),
            ),
            "Some index key attributes are not defined in AttributeDefinitions. Keys: [h, zz, a], \
             AttributeDefinitions: [h, a, PK]",
        ),
        (
            key(define(&["a"]), json!([hash("a")]), json!({"GlobalSecondaryIndexes": []})),
            "List of GlobalSecondaryIndexes is empty",
        ),
        (
            key(
                define(&["a", "b", "c"]),
                json!([hash("a")]),
                global(json!([hash("a"), range("b"), hash("c")])),
            ),
            "All HASH key attributes must precede RANGE key attributes in the KeySchema",
        ),
    ];
    for (request, words) in cases {
        assert_eq!(refused(&local, Operation::CreateTable, request).await, format!("{prefix}{words}"));
    }
    // Which attributes lack a definition is told only when there are as many definitions as key attributes.
    let few =
        key(define(&["a", "b"]), json!([hash("a")]), global(json!([hash("b"), range("c"), range("d")])));
    assert_eq!(
        refused(&local, Operation::CreateTable, few).await,
        "ValidationException: Invalid KeySchema: Some index key attribute have no definition"
    );
}

#[tokio::test]
async fn a_global_index_may_have_four_partition_and_four_sort_attributes() {
    let local = backend();
    let names = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let mut table = plain_table("abc");
    table["AttributeDefinitions"] =
        Value::from_iter(names.map(|name| json!({"AttributeName": name, "AttributeType": "S"})));
    let key = Value::from_iter(names.iter().enumerate().map(|(position, name)| {
        json!({"AttributeName": name, "KeyType": if position < 4 { "HASH" } else { "RANGE" }})
    }));
    table["GlobalSecondaryIndexes"] =
        json!([{"IndexName": "wide", "KeySchema": key, "Projection": {"ProjectionType": "ALL"}}]);
    let created = call(&local, Operation::CreateTable, table).await;
    assert_eq!(created["TableDescription"]["GlobalSecondaryIndexes"][0]["KeySchema"], key);
}

#[tokio::test]
async fn a_global_index_that_names_an_attribute_twice_is_refused_by_the_roles_it_has() {
    let local = backend();
    for (roles, words) in [
        (["HASH", "HASH"], "The KeySchema contains multiple key attributes with the same name"),
        (
            ["HASH", "RANGE"],
            "Both the Hash Key and the Range Key element in the KeySchema have the same name",
        ),
    ] {
        let mut table = plain_table("abc");
        let key = Value::from_iter(roles.map(|role| json!({"AttributeName": "a", "KeyType": role})));
        table["GlobalSecondaryIndexes"] =
            json!([{"IndexName": "twice", "KeySchema": key, "Projection": {"ProjectionType": "ALL"}}]);
        let told = refused(&local, Operation::CreateTable, table).await;
        assert!(told.ends_with(words), "{roles:?}: {told}");
    }
}

#[tokio::test]
async fn tables_on_disk_are_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Local::open(directory.path(), Durability::Process, Settings::default());
    let local = open().unwrap();
    call(&local, Operation::CreateTable, indexed_table("abc")).await;
    let item = json!({"a": {"S": "x"}, "b": {"N": "1"}, "z": {"S": "some text"}});
    call(&local, Operation::PutItem, json!({"TableName": "abc", "Item": item})).await;
    let before = described(&local).await;
    assert_eq!(before["TableSizeBytes"], 15);
    local.close().await;
    let local = open().unwrap();
    // Sizes are counted anew beside the first requests.
    local.counting.finish();
    assert_eq!(described(&local).await, before);
}

#[tokio::test]
async fn a_directory_of_a_newer_format_is_refused_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Local::open(directory.path(), Durability::Process, Settings::default());
    let local = open().unwrap();
    local
        .write(|writes| {
            writes.put(spaces::CATALOG, b"format", b"99")?;
            Ok(Ok::<_, ApiError>(()))
        })
        .await
        .unwrap();
    local.close().await;
    let refused = open().unwrap_err();
    assert!(matches!(refused, OpenError::Newer { found: 99, .. }), "{refused}");
    assert!(!refused.to_string().contains('\n'));
}

#[tokio::test]
async fn a_table_whose_commit_failed_does_not_exist() {
    let local = backend();
    let catalog = std::sync::Arc::clone(&local.catalog);
    call(&local, Operation::CreateTable, plain_table("abc")).await;
    let outcome = local.write(move |writes| {
        let table = catalog.find("abc").unwrap();
        catalog.remove(writes, &table)?;
        assert!(catalog.find("abc").is_none());
        Err::<Result<(), ApiError>, _>(StoreError("the disk is gone".to_owned()))
    });
    assert!(outcome.await.is_err());
    assert!(local.catalog.find("abc").is_some());
}

async fn update(local: &Local, change: Value) -> Value {
    let mut body = json!({"TableName": "abc"});
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    call(local, Operation::UpdateTable, body).await["TableDescription"].clone()
}

async fn update_refused(local: &Local, change: Value) -> String {
    let mut body = json!({"TableName": "abc"});
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    refused(local, Operation::UpdateTable, body).await
}

async fn described(local: &Local) -> Value {
    call(local, Operation::DescribeTable, json!({"TableName": "abc"})).await["Table"].clone()
}

fn units(read: u64, write: u64) -> Value {
    json!({"ReadCapacityUnits": read, "WriteCapacityUnits": write})
}

#[tokio::test]
async fn an_index_made_later_has_the_items_that_were_there_before() {
    let local = backend();
    call(&local, Operation::CreateTable, plain_table("abc")).await;
    // More than one stretch of the backfill, and every third item without the key.
    for number in 0..2500 {
        let mut item = json!({"a": {"S": format!("item {number}")}});
        if number % 3 != 0 {
            item["g"] = json!({"N": number.to_string()});
        }
        call(&local, Operation::PutItem, json!({"TableName": "abc", "Item": item})).await;
    }
    let created = update(
        &local,
        json!({
            "AttributeDefinitions": [{"AttributeName": "g", "AttributeType": "N"}],
            "GlobalSecondaryIndexUpdates": [{"Create": {
                "IndexName": "later",
                "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }}],
        }),
    )
    .await;
    assert_eq!(created["TableStatus"], "UPDATING");
    assert_eq!(created["GlobalSecondaryIndexes"][0]["IndexStatus"], "CREATING");
    let table = described(&local).await;
    assert_eq!(table["ItemCount"], 2500);
    assert_eq!(table["GlobalSecondaryIndexes"][0]["ItemCount"], 1666);
    assert_eq!(table["GlobalSecondaryIndexes"][0]["IndexStatus"], "ACTIVE");
    assert_eq!(table["AttributeDefinitions"].as_array().unwrap().len(), 2);
    assert!(table["GlobalSecondaryIndexes"][0]["IndexSizeBytes"].as_u64().unwrap() > 1666 * 10);

    let dropped =
        update(&local, json!({"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "later"}}]})).await;
    assert_eq!(dropped["GlobalSecondaryIndexes"][0]["IndexStatus"], "DELETING");
    let table = described(&local).await;
    assert_eq!(table.get("GlobalSecondaryIndexes"), None);
    assert_eq!(table["AttributeDefinitions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn throughput_is_told_as_it_was_until_the_change_is_done() {
    let local = backend();
    call(&local, Operation::CreateTable, indexed_table("abc")).await;
    let raised = update(&local, json!({"ProvisionedThroughput": units(15, 9)})).await;
    assert_eq!(raised["TableStatus"], "UPDATING");
    assert_eq!(raised["ProvisionedThroughput"]["ReadCapacityUnits"], 5);
    let table = described(&local).await;
    assert_eq!(table["ProvisionedThroughput"]["ReadCapacityUnits"], 15);
    let increased = |table: &Value| table["ProvisionedThroughput"]["LastIncreaseDateTime"].as_f64().unwrap();
    assert!(increased(&table) > increased(&raised));

    update(&local, json!({"ProvisionedThroughput": units(5, 3)})).await;
    let table = described(&local).await;
    assert_eq!(table["ProvisionedThroughput"]["NumberOfDecreasesToday"], 1);
    assert_eq!(
        update_refused(&local, json!({"ProvisionedThroughput": units(5, 3)})).await,
        "ValidationException: The provisioned throughput for the table will not change. The requested value equals \
         the current value. Current ReadCapacityUnits provisioned for the table: 5. Requested ReadCapacityUnits: 5. \
         Current WriteCapacityUnits provisioned for the table: 3. Requested WriteCapacityUnits: 3. Refer to the \
         Amazon DynamoDB Developer Guide for current limits and how to request higher limits."
    );
}

#[tokio::test]
async fn a_table_goes_to_payment_by_request_and_back_only_with_all_throughputs() {
    let local = backend();
    call(&local, Operation::CreateTable, indexed_table("abc")).await;
    let switched = update(&local, json!({"BillingMode": "PAY_PER_REQUEST"})).await;
    assert_eq!(switched["BillingModeSummary"], json!({"BillingMode": "PAY_PER_REQUEST"}));
    let table = described(&local).await;
    assert!(table["BillingModeSummary"]["LastUpdateToPayPerRequestDateTime"].is_f64());
    assert_eq!(table["ProvisionedThroughput"]["ReadCapacityUnits"], 0);
    assert_eq!(
        update_refused(&local, json!({"BillingMode": "PROVISIONED"})).await,
        "ValidationException: One or more parameter values were invalid: ProvisionedThroughput must be specified \
         when BillingMode is PROVISIONED"
    );
    let back = json!({"BillingMode": "PROVISIONED", "ProvisionedThroughput": units(2, 2)});
    assert_eq!(
        update_refused(&local, back.clone()).await,
        "ValidationException: One or more parameter values were invalid: ProvisionedThroughput must be specified \
         for index: global"
    );
    let mut back = back;
    back["GlobalSecondaryIndexUpdates"] =
        json!([{"Update": {"IndexName": "global", "ProvisionedThroughput": units(3, 3)}}]);
    let back = update(&local, back).await;
    assert_eq!(back["ProvisionedThroughput"]["ReadCapacityUnits"], 2);
    let table = described(&local).await;
    assert_eq!(table["BillingModeSummary"]["BillingMode"], "PROVISIONED");
    assert_eq!(table["GlobalSecondaryIndexes"][0]["ProvisionedThroughput"]["WriteCapacityUnits"], 3);
}

#[tokio::test]
async fn limits_of_payment_by_request_are_changed_one_by_one() {
    let local = backend();
    let mut table = plain_table("abc");
    table["BillingMode"] = "PAY_PER_REQUEST".into();
    table.as_object_mut().unwrap().remove("ProvisionedThroughput");
    let limits = |read: Option<i64>, write: Option<i64>| {
        let members = [("MaxReadRequestUnits", read), ("MaxWriteRequestUnits", write)];
        let given = members.into_iter().filter_map(|(name, units)| Some((name.to_owned(), json!(units?))));
        json!({"OnDemandThroughput": Value::Object(given.collect())})
    };
    let range = "ValidationException: One or more parameter values were invalid: Requested MaxReadRequestUnits for \
                 OnDemandThroughput for table is outside of valid range";
    for units in [0, -1] {
        table["OnDemandThroughput"] = limits(Some(units), Some(1))["OnDemandThroughput"].clone();
        assert_eq!(refused(&local, Operation::CreateTable, table.clone()).await, range);
    }
    table["OnDemandThroughput"] = limits(Some(20), Some(15))["OnDemandThroughput"].clone();
    call(&local, Operation::CreateTable, table).await;
    for units in [0, -2] {
        assert_eq!(update_refused(&local, limits(Some(units), None)).await, range);
    }
    let told = |table: &Value| json!({"OnDemandThroughput": table["OnDemandThroughput"]});
    assert_eq!(told(&update(&local, limits(Some(40), None)).await), limits(Some(40), Some(15)));
    // A limit that is lifted is still told in the answer.
    assert_eq!(told(&update(&local, limits(Some(-1), None)).await), limits(Some(-1), Some(15)));
    assert_eq!(told(&described(&local).await), limits(None, Some(15)));
    assert_eq!(told(&update(&local, limits(Some(-1), None)).await), limits(Some(-1), Some(15)));
    update(&local, limits(None, Some(-1))).await;
    assert_eq!(described(&local).await.get("OnDemandThroughput"), None);
    assert!(update_refused(&local, limits(None, None)).await.contains("At least one of"));

    let mut provisioned = json!({"BillingMode": "PROVISIONED", "ProvisionedThroughput": units(1, 1)});
    provisioned["OnDemandThroughput"] = limits(None, Some(0))["OnDemandThroughput"].clone();
    assert_eq!(
        update_refused(&local, provisioned).await,
        "ValidationException: One or more parameter values were invalid: MaxWriteRequestUnits for OnDemandThroughput \
         cannot be specified when the table BillingMode is PROVISIONED"
    );
    let mut other = plain_table("other");
    other["BillingMode"] = "PROVISIONED".into();
    other["ProvisionedThroughput"] = units(1, 1);
    other["OnDemandThroughput"] = limits(Some(10), None)["OnDemandThroughput"].clone();
    assert_eq!(
        refused(&local, Operation::CreateTable, other).await,
        "ValidationException: One or more parameter values were invalid: MaxReadRequestUnits for OnDemandThroughput \
         cannot be specified when table BillingMode is PROVISIONED."
    );
}

#[tokio::test]
async fn a_stream_is_switched_on_once_and_off_once() {
    let local = backend();
    call(&local, Operation::CreateTable, plain_table("abc")).await;
    let on = json!({"StreamSpecification": {"StreamEnabled": true, "StreamViewType": "NEW_IMAGE"}});
    let off = json!({"StreamSpecification": {"StreamEnabled": false}});
    assert_eq!(
        update_refused(&local, off.clone()).await,
        "ValidationException: Table has no stream to disable: TableName: abc"
    );
    let enabled = update(&local, on.clone()).await;
    assert_eq!(enabled["StreamSpecification"]["StreamViewType"], "NEW_IMAGE");
    assert_eq!(
        update_refused(&local, on).await,
        "ValidationException: Table already has an enabled stream: TableName: abc"
    );
    update(&local, off).await;
    let table = described(&local).await;
    assert_eq!(table.get("StreamSpecification"), None);
    assert_eq!(table["LatestStreamArn"], enabled["LatestStreamArn"]);
}

#[tokio::test]
async fn changes_that_may_not_be_made_are_refused_whole() {
    let local = backend();
    call(&local, Operation::CreateTable, indexed_table("abc")).await;
    let before = described(&local).await;
    let cases = [
        (
            json!({}),
            "ValidationException: At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, \
             GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required",
        ),
        (
            json!({"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "xyz"}}, {"Delete": {"IndexName": "xyy"}}]}),
            "LimitExceededException: Subscriber limit exceeded: Only 1 online index can be created or deleted \
             simultaneously per table",
        ),
        (
            json!({"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "xyz"}}]}),
            "ResourceNotFoundException: Requested resource not found: Index xyz for table",
        ),
        (
            json!({
                "AttributeDefinitions": [{"AttributeName": "b", "AttributeType": "S"}],
                "GlobalSecondaryIndexUpdates": [{"Create": {
                    "IndexName": "other",
                    "KeySchema": [{"AttributeName": "b", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                    "ProvisionedThroughput": units(1, 1),
                }}],
            }),
            "ValidationException: One or more parameter values were invalid: Attributes cannot be redefined. Please \
             check that your attribute has the same type as previously defined. Existing schema: \
             Schema:[SchemaElement: key{a:S:HASH}, SchemaElement: key{b:N:RANGE}] New schema: \
             Schema:[SchemaElement: key{b:S:HASH}]",
        ),
        (
            json!({"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "local"}}]}),
            "ValidationException: Cannot delete an index that is not a GlobalSecondaryIndex: local",
        ),
        (
            json!({
                "DeletionProtectionEnabled": true,
                "ProvisionedThroughput": units(7, 7),
            }),
            "ValidationException: One or more parameter values were invalid: DeletionProtection modification must be \
             the only operation in the request",
        ),
    ];
    for (change, words) in cases {
        assert_eq!(update_refused(&local, change).await, words);
    }
    assert_eq!(described(&local).await, before);
}

#[tokio::test]
async fn a_name_that_is_twice_in_a_key_is_reported_before_unused_definitions() {
    let local = backend();
    let same = "ValidationException: Both the Hash Key and the Range Key element in the KeySchema have the same name";
    let repeated = "ValidationException: The KeySchema contains multiple key attributes with the same name";
    let key = |names: &[(&str, &str)]| -> Value {
        names.iter().map(|(name, role)| json!({"AttributeName": name, "KeyType": role})).collect()
    };
    let index = |names: &[(&str, &str)]| json!([{"IndexName": "index", "KeySchema": key(names), "Projection": {"ProjectionType": "ALL"}}]);
    let table_key = [("a", "HASH"), ("b", "RANGE")];
    let attributes =
        ["a", "b", "unused"].map(|name| json!({"AttributeName": name, "AttributeType": "S"})).to_vec();
    for (table, local_index, global_index, words) in [
        (&[("a", "HASH"), ("a", "RANGE")], None, None, same),
        (&table_key, Some(index(&[("a", "HASH"), ("a", "RANGE")])), None, same),
        (&table_key, None, Some(index(&[("b", "HASH"), ("b", "RANGE")])), same),
        (&table_key, None, Some(index(&[("b", "HASH"), ("b", "HASH")])), repeated),
        (&table_key, None, Some(index(&[("b", "HASH"), ("a", "RANGE"), ("a", "RANGE")])), repeated),
    ] {
        let mut request = json!({
            "TableName": "abc",
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": attributes,
            "KeySchema": key(table),
        });
        request["LocalSecondaryIndexes"] = local_index.into();
        request["GlobalSecondaryIndexes"] = global_index.into();
        assert_eq!(refused(&local, Operation::CreateTable, request).await, words);
    }
}

fn warm(read: u64, write: u64) -> Value {
    json!({"ReadUnitsPerSecond": read, "WriteUnitsPerSecond": write})
}

fn told_warm(table: &Value) -> [u64; 2] {
    ["ReadUnitsPerSecond", "WriteUnitsPerSecond"].map(|unit| table["WarmThroughput"][unit].as_u64().unwrap())
}

#[tokio::test]
async fn nothing_begins_colder_than_its_billing_mode_makes_it() {
    let local = backend();
    let begin = "ValidationException: One or more parameter values were invalid: Requested";
    let guide = "initial throughput for OnDemand. See: https://docs.aws.amazon.com/amazondynamodb/latest/\
                 developerguide/on-demand-capacity-mode.html#on-demand-capacity-mode-initial";
    let with = |mut table: Value, whose: Option<&str>, units: Value| {
        match whose {
            Some(list) => table[list][0]["WarmThroughput"] = units,
            None => table["WarmThroughput"] = units,
        }
        table
    };
    let mut on_demand = indexed_table("abc");
    on_demand["BillingMode"] = json!("PAY_PER_REQUEST");
    on_demand.as_object_mut().unwrap().remove("ProvisionedThroughput");
    on_demand["GlobalSecondaryIndexes"][0].as_object_mut().unwrap().remove("ProvisionedThroughput");
    let index = Some("GlobalSecondaryIndexes");
    let name = on_demand["GlobalSecondaryIndexes"][0]["IndexName"].as_str().unwrap().to_owned();
    for (request, words) in [
        (
            with(plain_table("abc"), None, warm(11_999, 4000)),
            format!("ReadUnitsPerSecond for WarmThroughput for table is lower than {guide}"),
        ),
        (
            with(plain_table("abc"), None, json!({"WriteUnitsPerSecond": 3999})),
            format!("WriteUnitsPerSecond for WarmThroughput for table is lower than {guide}"),
        ),
        (
            with(on_demand.clone(), index, warm(12_000, 1)),
            format!("WriteUnitsPerSecond for WarmThroughput for index {name} is lower than {guide}"),
        ),
        (
            with(indexed_table("abc"), None, warm(4, 3)),
            "ReadUnitsPerSecond for WarmThroughput for table is lower than ReadCapacityUnits of \
             ProvisionedThroughput"
                .to_owned(),
        ),
        (
            with(indexed_table("abc"), index, warm(1, 1)),
            format!(
                "WriteUnitsPerSecond for WarmThroughput for index {name} is lower than WriteCapacityUnits of \
                 ProvisionedThroughput"
            ),
        ),
    ] {
        assert_eq!(refused(&local, Operation::CreateTable, request).await, format!("{begin} {words}"));
    }
    let request = with(with(on_demand, None, json!({"ReadUnitsPerSecond": 15_000})), index, json!({}));
    call(&local, Operation::CreateTable, request).await;
    let table = described(&local).await;
    assert_eq!(told_warm(&table), [15_000, 4000]);
    assert_eq!(told_warm(&table["GlobalSecondaryIndexes"][0]), [12_000, 4000]);
}

#[tokio::test]
async fn what_is_warm_never_becomes_colder() {
    let local = backend();
    let no_less = |unit: &str, whose: &str| {
        format!(
            "ValidationException: One or more parameter values were invalid: Requested {unit}UnitsPerSecond for \
             WarmThroughput for {whose} is lower than current WarmThroughput, decreasing WarmThroughput is not supported"
        )
    };
    call(&local, Operation::CreateTable, indexed_table("abc")).await;
    let name = described(&local).await["GlobalSecondaryIndexes"][0]["IndexName"].as_str().unwrap().to_owned();
    let of_index = |mut change: Value| {
        change["IndexName"] = name.as_str().into();
        json!({"GlobalSecondaryIndexUpdates": [{"Update": change}]})
    };
    let index_warm = |table: &Value| told_warm(&table["GlobalSecondaryIndexes"][0]);

    update(&local, json!({"WarmThroughput": {"ReadUnitsPerSecond": 20}})).await;
    assert_eq!(told_warm(&described(&local).await), [20, 3]);
    assert_eq!(
        update_refused(&local, json!({"WarmThroughput": warm(19, 9)})).await,
        no_less("Read", "table")
    );
    assert_eq!(
        update_refused(&local, json!({"WarmThroughput": warm(20, 2)})).await,
        no_less("Write", "table")
    );
    update(&local, json!({"WarmThroughput": warm(20, 3)})).await;
    // The most that was ever provisioned counts, not what is.
    update(&local, json!({"ProvisionedThroughput": units(30, 30)})).await;
    update(&local, json!({"ProvisionedThroughput": units(1, 1)})).await;
    assert_eq!(told_warm(&described(&local).await), [30, 30]);

    update(&local, of_index(json!({"WarmThroughput": {"WriteUnitsPerSecond": 8}}))).await;
    update(&local, of_index(json!({"WarmThroughput": {"ReadUnitsPerSecond": 9}}))).await;
    assert_eq!(index_warm(&described(&local).await), [9, 8]);
    let lower = of_index(json!({"WarmThroughput": {"WriteUnitsPerSecond": 7}}));
    assert_eq!(update_refused(&local, lower).await, no_less("Write", &format!("index {name}")));
    let mut nothing =
        json!({"GlobalSecondaryIndexUpdates": [{"Update": {"IndexName": "xyz", "WarmThroughput": {}}}]});
    nothing["TableName"] = "other".into();
    assert_eq!(
        update_refused(&local, nothing).await,
        "ValidationException: One or more parameter values were invalid: WarmThroughput must have at least one of \
         ReadUnitsPerSecond or WriteUnitsPerSecond specified for index: xyz"
    );

    update(&local, json!({"BillingMode": "PAY_PER_REQUEST"})).await;
    assert_eq!(told_warm(&described(&local).await), [12_000, 4000]);
    let provisioned = json!({
        "BillingMode": "PROVISIONED",
        "ProvisionedThroughput": units(2, 5000),
        "GlobalSecondaryIndexUpdates": [{"Update": {"IndexName": name, "ProvisionedThroughput": units(1, 1)}}],
    });
    assert_eq!(told_warm(&update(&local, provisioned).await), [12_000, 5000]);
    let table = described(&local).await;
    assert_eq!((told_warm(&table), index_warm(&table)), ([12_000, 5000], [12_000, 4000]));
}

#[tokio::test]
async fn members_that_would_have_no_effect_are_rejected_by_their_names() {
    let local = backend();
    let replica = json!([{"Create": {"RegionName": "eu-west-1"}}]);
    let rejected = |member: &str, what: &str| {
        format!(
            "ValidationException: The local backend does not support {member}: it has no {what}; use an upstream that \
             has them."
        )
    };
    for (member, value, what) in [
        ("VectorIndexes", json!([{"IndexName": "v"}]), "vector indexes"),
        (
            "GlobalTableSourceArn",
            json!("arn:aws:dynamodb:us-east-1:000000000000:table/other"),
            "global tables",
        ),
        ("GlobalTableSettingsReplicationMode", json!("ENABLED"), "global tables"),
    ] {
        let mut table = plain_table("abc");
        table[member] = value;
        assert_eq!(refused(&local, Operation::CreateTable, table).await, rejected(member, what));
    }
    call(&local, Operation::CreateTable, plain_table("abc")).await;
    for (member, value, what) in [
        ("VectorIndexUpdates", json!([{"Delete": {"IndexName": "v"}}]), "vector indexes"),
        ("ReplicaUpdates", replica, "global tables"),
        ("GlobalTableWitnessUpdates", json!([{"Create": {"RegionName": "eu-west-1"}}]), "global tables"),
        ("MultiRegionConsistency", json!("EVENTUAL"), "global tables"),
        ("GlobalTableSettingsReplicationMode", json!("DISABLED"), "global tables"),
        ("DisassociationProtectionEnabled", json!(true), "global tables"),
    ] {
        let mut change = json!({member: value});
        assert_eq!(update_refused(&local, change.clone()).await, rejected(member, what));
        change["DeletionProtectionEnabled"] = true.into();
        assert_eq!(update_refused(&local, change).await, rejected(member, what));
    }
    assert_eq!(described(&local).await["DeletionProtectionEnabled"], false);
}

#[tokio::test]
async fn tags_are_set_listed_and_taken_off() {
    let local = backend();
    let mut table = plain_table("abc");
    table["Tags"] = json!([{"Key": "made", "Value": "with it"}]);
    call(&local, Operation::CreateTable, table).await;
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/abc";
    let request = Request::new(
        Operation::TagResource,
        json!({"ResourceArn": arn, "Tags": [{"Key": "a", "Value": "1"}]}).to_string(),
    );
    assert_eq!(local.call(&request).await.unwrap().body, "");
    let tags = call(&local, Operation::ListTagsOfResource, json!({"ResourceArn": arn})).await;
    assert_eq!(tags, json!({"Tags": [{"Key": "a", "Value": "1"}, {"Key": "made", "Value": "with it"}]}));
    let request =
        Request::new(Operation::UntagResource, json!({"ResourceArn": arn, "TagKeys": ["made"]}).to_string());
    assert!(local.call(&request).await.unwrap().is_success());
    let tags = call(&local, Operation::ListTagsOfResource, json!({"ResourceArn": arn})).await;
    assert_eq!(tags, json!({"Tags": [{"Key": "a", "Value": "1"}]}));

    let refused =
        async |arn: &str| refused(&local, Operation::ListTagsOfResource, json!({"ResourceArn": arn})).await;
    assert_eq!(
        refused("arn:aws:dynamodb:us-east-1:000000000000:table/xyz").await,
        "ResourceNotFoundException: Requested resource not found: ResourcArn: \
         arn:aws:dynamodb:us-east-1:000000000000:table/xyz not found"
    );
}

#[tokio::test]
async fn text_that_is_no_table_s_arn_is_rejected_by_every_operation_on_tags() {
    let local = backend();
    call(&local, Operation::CreateTable, plain_table("abc")).await;
    let invalid = "ValidationException: One or more parameter values were invalid:";
    let input = "ValidationException: Invalid TableArn: Invalid ResourceArn provided as input";
    let index = "arn:aws:dynamodb:us-east-1:000000000000:table/abc/index/i";
    let cases = [
        ("", format!("{invalid} ARNs must start with 'arn:': ")),
        ("abc", format!("{invalid} ARNs must start with 'arn:': abc")),
        ("a:b:c:d:e:f/g", format!("{invalid} ARNs must start with 'arn:': a:b:c:d:e:f/g")),
        ("arn:x/y", format!("{invalid} Second colon partition not found: arn:x/y")),
        ("arn:aws:dynamodb", format!("{invalid} Third colon vendor not found: arn:aws:dynamodb")),
        (
            "arn:aws:s3:::bucket",
            format!("{invalid} Provided Arn is not a DynamoDB resource arn: arn:aws:s3:::bucket"),
        ),
        (
            index,
            format!(
                "{invalid} Invalid resource arn provided, only table or stream is accepted. Provided resource arn: {index}"
            ),
        ),
        ("arn:aws:dynamodb:us-east-1:1:table/ab", format!("{input} arn:aws:dynamodb:us-east-1:1:table/ab")),
        ("arn:aws-cn:dynamodb:cn:1:table/abc", format!("{input} arn:aws-cn:dynamodb:cn:1:table/abc")),
    ];
    for (arn, words) in cases {
        for (operation, mut body) in [
            (Operation::TagResource, json!({"Tags": [{"Key": "a", "Value": "b"}]})),
            (Operation::UntagResource, json!({"TagKeys": ["a"]})),
            (Operation::ListTagsOfResource, json!({})),
        ] {
            body["ResourceArn"] = arn.into();
            assert_eq!(refused(&local, operation, body).await, words, "{operation}");
        }
    }
}

#[tokio::test]
async fn one_tag_that_may_not_be_fails_the_whole_request() {
    let local = backend();
    call(&local, Operation::CreateTable, plain_table("abc")).await;
    let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/abc";
    let (long_key, long_value) = ("k".repeat(129), "v".repeat(257));
    let mut cases = vec![
        (json!({"Value": "b"}), "The Tag Key provided is invalid, Key: null".to_owned()),
        (json!({"Key": "", "Value": "b"}), "The Tag Key provided is invalid, Key: ".to_owned()),
        (json!({"Key": long_key, "Value": "b"}), format!("The Tag Key provided is invalid, Key: {long_key}")),
        (json!({"Key": "a"}), "The Tag Value provided is invalid, Value: null".to_owned()),
        (
            json!({"Key": "a", "Value": long_value}),
            format!("The Tag Value provided is invalid, Value: {long_value}"),
        ),
        (
            json!({"Key": "aws:x", "Value": "b"}),
            "Tag Key cannot be prefixed with aws:, Key: aws:x".to_owned(),
        ),
    ];
    for text in ["100%", "a,b", "it's", "(x)", "a&b", "<a>", "~a", "a\tb", "#", "\u{1f511}"] {
        cases.push((
            json!({"Key": text, "Value": "b"}),
            format!("The Tag Key provided is invalid, Key: {text}"),
        ));
        cases.push((
            json!({"Key": "a", "Value": text}),
            format!("The Tag Value provided is invalid, Value: {text}"),
        ));
    }
    for (tag, words) in cases {
        let words = format!("ValidationException: {words}");
        let tags = json!([{"Key": "good", "Value": "tag"}, tag]);
        let body = json!({"ResourceArn": arn, "Tags": tags});
        assert_eq!(refused(&local, Operation::TagResource, body).await, words);
        let mut table = plain_table("xyz");
        table["Tags"] = tags;
        assert_eq!(refused(&local, Operation::CreateTable, table).await, words);
    }
    let keys: Vec<String> = (0..51).map(|number| number.to_string()).collect();
    for (keys, words) in [
        (json!([""]), "The Tag Key provided is invalid, Key: "),
        (json!(["a!"]), "The Tag Key provided is invalid, Key: a!"),
        (json!(keys), "Number of Tags exceed the current limit for the provided ResourceArn"),
    ] {
        let body = json!({"ResourceArn": arn, "TagKeys": keys});
        assert_eq!(
            refused(&local, Operation::UntagResource, body).await,
            format!("ValidationException: {words}")
        );
    }
    let listed = call(&local, Operation::ListTagsOfResource, json!({"ResourceArn": arn})).await;
    assert_eq!(listed, json!({"Tags": []}));
    let good = json!([
        {"Key": "x".repeat(128), "Value": ""},
        {"Key": "ключ \u{3000}表", "Value": "a+b-c=d.e_f:g/h@i"},
        {"Key": " ", "Value": "é".repeat(256)},
    ]);
    let request = Request::new(Operation::TagResource, json!({"ResourceArn": arn, "Tags": good}).to_string());
    assert!(local.call(&request).await.unwrap().is_success());
    let listed = call(&local, Operation::ListTagsOfResource, json!({"ResourceArn": arn})).await;
    assert_eq!(listed["Tags"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn items_expire_by_one_attribute_at_a_time() {
    let local = backend();
    call(&local, Operation::CreateTable, plain_table("abc")).await;
    let set = |attribute: &str, enabled: bool| {
        json!({
            "TableName": "abc",
            "TimeToLiveSpecification": {"AttributeName": attribute, "Enabled": enabled},
        })
    };
    assert_eq!(
        refused(&local, Operation::UpdateTimeToLive, set("t", false)).await,
        "ValidationException: TimeToLive is already disabled"
    );
    call(&local, Operation::UpdateTimeToLive, set("t", true)).await;
    let described = call(&local, Operation::DescribeTimeToLive, json!({"TableName": "abc"})).await;
    assert_eq!(
        described,
        json!({"TimeToLiveDescription": {"AttributeName": "t", "TimeToLiveStatus": "ENABLED"}})
    );
    assert_eq!(
        refused(&local, Operation::UpdateTimeToLive, set("u", true)).await,
        "ValidationException: TimeToLive is active on a different AttributeName: current AttributeName is t"
    );
}

#[tokio::test]
async fn of_thousands_of_indexes_only_the_first_are_looked_at() {
    let local = backend();
    for (member, words) in [
        ("GlobalSecondaryIndexes", "GlobalSecondaryIndex count exceeds the per-table limit of 20"),
        ("LocalSecondaryIndexes", "Number of LocalSecondaryIndexes exceeds per-table limit of 5"),
    ] {
        let mut table = indexed_table("Many");
        let mut index = table[member][0].clone();
        let indexes = |count: usize, index: &mut Value| -> Vec<Value> {
            let named = |number| {
                index["IndexName"] = format!("index{}", number % 20_000).into();
                index.clone()
            };
            (0..count).map(named).collect()
        };
        // A fault far behind, here a name that comes twice, is not looked for.
        for count in [21, 100, 20_001] {
            table[member] = indexes(count, &mut index).into();
            let refusal = refused(&local, Operation::CreateTable, table.clone()).await;
            assert!(refusal.contains(words), "{member}, {count}: {refusal}");
        }
    }
    call(&local, Operation::CreateTable, indexed_table("Few")).await;
    for (member, words) in [
        ("Delete", "LimitExceededException: Subscriber limit exceeded"),
        ("Update", "ResourceNotFoundException: Requested resource not found: Index index0"),
    ] {
        let throughput = json!({"ReadCapacityUnits": 1, "WriteCapacityUnits": 1});
        let changes = (0..20_001).map(|number| {
            let mut change = json!({"IndexName": format!("index{}", number % 20_000)});
            if member == "Update" {
                change["ProvisionedThroughput"] = throughput.clone();
            }
            json!({ member: change })
        });
        let body = json!({"TableName": "Few", "GlobalSecondaryIndexUpdates": changes.collect::<Vec<_>>()});
        let refusal = refused(&local, Operation::UpdateTable, body).await;
        assert!(refusal.starts_with(words), "{member}: {refusal}");
    }
}
