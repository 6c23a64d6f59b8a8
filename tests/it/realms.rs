//! Engines of several realms in one memory: the same names and the same requests mean other tables in each.

use std::sync::Arc;

use nearside::cache::{CacheLimits, ItemCache, PageCache, PageLimits, PagePolicy, Realm, ScanAdmission};
use nearside::call::{ChangeListener, Request, Source};
use nearside::engine::{Engine, Memory, PolicyChange, TablePolicy};
use nearside::local::{Local, Settings};
use nearside::model::key_attribute::{KeyAttribute, ScalarType};
use nearside::model::schema::KeySchema;
use nearside::model::{AttributeValue, Cause, Change, Operation, TableSchema};

use crate::harness;

const TABLE: &str = r#"{"TableName":"Orders","BillingMode":"PAY_PER_REQUEST",
    "AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
    "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}"#;
const GET: &str = r#"{"TableName":"Orders","Key":{"id":{"S":"1"}}}"#;
const SCAN: &str = r#"{"TableName":"Orders"}"#;
const QUERY: &str = r#"{"TableName":"Orders","KeyConditionExpression":"id = :id","ExpressionAttributeValues":{":id":{"S":"1"}}}"#;

fn policy() -> TablePolicy {
    let policy = harness::policy();
    let pages = policy.pages.map(|pages| PagePolicy { scan_admission: ScanAdmission::First, ..pages });
    TablePolicy { pages, ..policy }
}

/// Engines of two realms, each with a table of the same name and one item of the same key that says whose it is.
async fn two_realms() -> [Arc<Engine>; 2] {
    let items = ItemCache::seeded(CacheLimits { max_bytes: 1 << 20, stripes: 1 << 10 }, 0);
    let pages = PageCache::new(PageLimits::for_budget(8 << 20), Arc::clone(&items));
    let memory = Memory::new(items, pages);
    let engines = [1, 2].map(|number| {
        let local = Arc::new(Local::in_memory(Settings::default()));
        Engine::in_realm(Realm::new(number), local, &memory, Box::new(|_| policy()))
    });
    for (engine, owner) in engines.iter().zip(["first", "second"]) {
        call(engine, Operation::CreateTable, TABLE).await;
        call(engine, Operation::PutItem, &put(owner)).await;
    }
    engines
}

fn put(owner: &str) -> String {
    format!(r#"{{"TableName":"Orders","Item":{{"id":{{"S":"1"}},"of":{{"S":"{owner}"}}}}}}"#)
}

async fn call(engine: &Arc<Engine>, operation: Operation, body: &str) -> (String, Source) {
    let served = engine.execute(Request::new(operation, body.to_owned())).await;
    let text = String::from_utf8(served.answer.body.to_vec()).unwrap();
    assert_eq!(served.answer.status, 200, "{operation}: {text}");
    (text, served.source)
}

/// Reads the item in every way, twice, and gives where the second answers came from.
async fn read(engine: &Arc<Engine>, owner: &str) -> [Source; 3] {
    let mut sources = Vec::new();
    for (operation, body) in [(Operation::GetItem, GET), (Operation::Scan, SCAN), (Operation::Query, QUERY)] {
        call(engine, operation, body).await;
        let (found, source) = call(engine, operation, body).await;
        assert!(found.contains(&format!("\"{owner}\"")), "{operation} of {owner}: {found}");
        sources.push(source);
    }
    sources.try_into().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_same_request_is_answered_from_memory_for_each_realm_with_its_own_items() {
    let [first, second] = two_realms().await;
    for _ in 0..2 {
        assert_eq!(read(&first, "first").await, [Source::Hit; 3]);
        assert_eq!(read(&second, "second").await, [Source::Hit; 3]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_in_one_realm_shows_there_and_invalidates_nothing_of_another() {
    let [first, second] = two_realms().await;
    read(&first, "first").await;
    read(&second, "second").await;
    call(&first, Operation::PutItem, &put("changed")).await;
    for (operation, body) in [(Operation::GetItem, GET), (Operation::Scan, SCAN), (Operation::Query, QUERY)] {
        assert_eq!(call(&second, operation, body).await.1, Source::Hit, "{operation}");
        let (found, _) = call(&first, operation, body).await;
        assert!(found.contains("\"changed\""), "{operation}: {found}");
    }
    call(&first, Operation::DeleteTable, r#"{"TableName":"Orders"}"#).await;
    // Not understood, so it invalidates all that its realm has.
    let statement = r#"{"Statement":"MERGE INTO Orders"}"#;
    first.execute(Request::new(Operation::ExecuteStatement, statement)).await;
    first.renew_policies(PolicyChange::Invalidates);
    assert_eq!(call(&second, Operation::GetItem, GET).await.1, Source::Hit);
    assert_eq!(call(&second, Operation::Scan, SCAN).await.1, Source::Hit);
}

#[tokio::test(start_paused = true)]
async fn items_that_a_realm_removes_by_itself_are_invalidated_there_alone() {
    let [first, second] = two_realms().await;
    read(&first, "first").await;
    read(&second, "second").await;
    let id = KeyAttribute { name: "id".to_owned(), scalar_type: ScalarType::S };
    let key = KeySchema { partition: vec![id], sort: Vec::new() };
    let item = [("id".to_owned(), AttributeValue::S("1".to_owned()))].into();
    let removed = Change {
        key: key.key_of(&item).unwrap(),
        table: Arc::new(TableSchema {
            name: "Orders".to_owned(),
            id: String::new(),
            key,
            indexes: Vec::new(),
        }),
        moves: Vec::new(),
        cause: Cause::Expiry,
    };
    first.changing(std::slice::from_ref(&removed));
    first.changed(&[removed]);
    assert_eq!(call(&first, Operation::GetItem, GET).await.1, Source::Miss);
    assert_eq!(call(&second, Operation::GetItem, GET).await.1, Source::Hit);
    assert_eq!(call(&second, Operation::Query, QUERY).await.1, Source::Hit);
}
