//! Which table a name means: tables of two accounts, and tables that are deleted and created again.

use nearside::model::Operation::{self, BatchGetItem, GetItem, PutItem, Query};

use crate::harness::{Node, get, item, put};
use crate::scripted::description;

const OWN: &str = "arn:aws:dynamodb:us-east-1:111111111111:table/Orders";
const FOREIGN: &str = "arn:aws:dynamodb:us-east-1:222222222222:table/Orders";
const ID_KEY: &[(&str, &str, &str)] = &[("id", "S", "HASH")];

/// A node of account 1 that may read the table of the same name of account 2.
async fn two_accounts() -> Node {
    let node = Node::start().await;
    node.script.describe_as("Orders", description("Orders", OWN, "1", ID_KEY));
    node.script.describe_as(OWN, description("Orders", OWN, "1", ID_KEY));
    node.script.describe_as(FOREIGN, description("Orders", FOREIGN, "2", ID_KEY));
    node
}

fn of(arn: &str, body: &str) -> String {
    body.replace("\"Orders\"", &format!("\"{arn}\""))
}

async fn read_of(node: &mut Node, spelling: &str, n: u64) {
    let read = node.begin("GetItem", &of(spelling, &get("a"))).await;
    node.upstream.next(GetItem).await.answer(&item("a", n));
    assert_eq!(read.await.source, "miss");
}

#[tokio::test(start_paused = true)]
async fn tables_of_two_accounts_with_one_name_share_no_items() {
    let mut node = two_accounts().await;
    read_of(&mut node, "Orders", 1).await;
    read_of(&mut node, FOREIGN, 2).await;
    assert_eq!(node.call("GetItem", &get("a")).await.body, item("a", 1));
    assert_eq!(node.call("GetItem", &of(OWN, &get("a"))).await.body, item("a", 1), "the same by its ARN");
    assert_eq!(node.call("GetItem", &of(FOREIGN, &get("a"))).await.body, item("a", 2));
    for (spelling, n) in [(FOREIGN, 3), (OWN, 4)] {
        let write = node.begin("PutItem", &of(spelling, &put("a", n))).await;
        node.upstream.next(PutItem).await.answer("{}");
        write.await;
    }
    assert_eq!(node.call("GetItem", &get("a")).await.body, item("a", 4));
    assert_eq!(node.call("GetItem", &of(FOREIGN, &get("a"))).await.body, item("a", 3));
}

#[tokio::test(start_paused = true)]
async fn tables_of_two_accounts_with_one_name_share_no_pages() {
    let mut node = two_accounts().await;
    let query = r#"{"TableName":"Orders","KeyConditionExpression":"id = :id","ExpressionAttributeValues":{":id":{"S":"a"}}}"#;
    for (spelling, page) in [
        ("Orders", r#"{"Count":0,"Items":[],"ScannedCount":0}"#),
        (FOREIGN, r#"{"Count":1,"Items":[{"id":{"S":"a"}}],"ScannedCount":1}"#),
    ] {
        let read = node.begin("Query", &of(spelling, query)).await;
        node.upstream.next(Query).await.answer(page);
        assert_eq!(read.await.source, "miss");
        let again = node.call("Query", &of(spelling, query)).await;
        assert_eq!((&*again.source, &*again.body), ("hit", page));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_tells_tables_of_two_accounts_with_one_name_apart() {
    let mut node = two_accounts().await;
    let part = r#"{"Keys":[{"id":{"S":"a"}}]}"#;
    let batch = format!(r#"{{"RequestItems":{{"Orders":{part},"{FOREIGN}":{part}}}}}"#);
    let read = node.begin("BatchGetItem", &batch).await;
    let answer = r#"{"Responses":{"Orders":[{"id":{"S":"a"},"n":{"N":"1"}}]},"UnprocessedKeys":{}}"#;
    node.upstream.next(BatchGetItem).await.answer(answer);
    assert!(read.await.body.contains(&format!(r#""{FOREIGN}":[]"#)));
    assert_eq!(node.call("GetItem", &get("a")).await.body, item("a", 1));
    assert_eq!(node.call("GetItem", &of(FOREIGN, &get("a"))).await.body, "{}");
}

#[tokio::test(start_paused = true)]
async fn what_changes_a_table_by_its_name_invalidates_it_in_every_account() {
    let mut node = two_accounts().await;
    for spelling in ["Orders", FOREIGN] {
        read_of(&mut node, spelling, 1).await;
    }
    let statement =
        node.begin("ExecuteStatement", r#"{"Statement":"DELETE FROM Orders WHERE id='a'"}"#).await;
    node.upstream.next(Operation::ExecuteStatement).await.answer("{}");
    statement.await;
    for spelling in ["Orders", FOREIGN] {
        read_of(&mut node, spelling, 2).await;
    }
}
