//! Roles that may ask for less than the cache does: AWS's own sample policies with `dynamodb:Attributes`, `dynamodb:Select` and
//! `dynamodb:ReturnValues`. They are not denied anything that they would not be denied without the node.

use std::time::Duration;

use nearside::model::Operation::{self, BatchGetItem, DeleteItem, GetItem, PutItem, UpdateItem};

use crate::harness::{Node, get, item, put};

const DENIED: &str = "AccessDeniedException";

fn part() -> String {
    get("a").replace(r#""Key""#, r#""ProjectionExpression":"n","Key""#)
}

const SHOWN: &str = r#"{"Item":{"n":{"N":"1"}}}"#;

#[tokio::test(start_paused = true)]
async fn a_part_of_an_item_is_read_as_the_client_asks_where_whole_items_are_denied() {
    let mut node = Node::start().await;
    node.wait(Duration::from_secs(100)).await;
    let read = node.begin("GetItem", &part()).await;
    node.upstream.next(GetItem).await.refuse(DENIED);
    let call = node.upstream.next(GetItem).await;
    assert_eq!(call.body(), part(), "word for word");
    call.answer(SHOWN);
    let reply = read.await;
    assert_eq!((reply.status, reply.source.as_str(), reply.body.as_str()), (200, "bypass", SHOWN));
    // From now on it is asked so at once, and strongly: somebody has seen the item a moment ago.
    for _ in 0..2 {
        let read = node.begin("GetItem", &part()).await;
        let call = node.upstream.next(GetItem).await;
        assert!(call.body().contains("ProjectionExpression") && call.body().contains("ConsistentRead"));
        call.answer(SHOWN);
        assert_eq!(read.await.body, SHOWN);
    }
    // A policy may change.
    node.wait(Duration::from_secs(601)).await;
    let read = node.begin("GetItem", &part()).await;
    let call = node.upstream.next(GetItem).await;
    assert!(!call.body().contains("ProjectionExpression"));
    call.answer(&item("a", 2));
    assert_eq!(read.await.body, r#"{"Item":{"n":{"N":"2"}}}"#);
}

#[tokio::test(start_paused = true)]
async fn those_who_had_joined_are_not_denied_for_another_ones_question() {
    let mut node = Node::start().await;
    let whole = node.begin("GetItem", &get("a")).await;
    let joined = node.begin("GetItem", &part()).await;
    node.upstream.next(GetItem).await.refuse(DENIED);
    assert_eq!(whole.await.status, 400);
    node.upstream.next(GetItem).await.answer(SHOWN);
    assert_eq!(joined.await.body, SHOWN);
}

#[tokio::test(start_paused = true)]
async fn who_may_not_read_at_all_hears_so_and_nothing_is_remembered() {
    let mut node = Node::start().await;
    for _ in 0..2 {
        let read = node.begin("GetItem", &part()).await;
        node.upstream.next(GetItem).await.refuse(DENIED);
        node.upstream.next(GetItem).await.refuse(DENIED);
        assert!(read.await.body.contains(DENIED));
        let read = node.begin("GetItem", &get("a")).await;
        node.upstream.next(GetItem).await.refuse(DENIED);
        assert!(read.await.body.contains(DENIED));
    }
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_sent_as_the_client_wrote_it_where_whole_items_are_denied() {
    let mut node = Node::start().await;
    node.wait(Duration::from_secs(100)).await;
    let batch = r#"{"RequestItems":{"Orders":{"Keys":[{"id":{"S":"a"}}],"ProjectionExpression":"n"}}}"#;
    let answer = r#"{"Responses":{"Orders":[{"n":{"N":"1"}}]},"UnprocessedKeys":{}}"#;
    let read = node.begin("BatchGetItem", batch).await;
    node.upstream.next(BatchGetItem).await.refuse(DENIED);
    let call = node.upstream.next(BatchGetItem).await;
    assert_eq!(call.body(), batch, "word for word");
    call.answer(answer);
    assert_eq!(read.await.body, answer);
    let read = node.begin("BatchGetItem", batch).await;
    let call = node.upstream.next(BatchGetItem).await;
    assert!(call.body().contains("ProjectionExpression"));
    call.answer(answer);
    assert_eq!(read.await.source, "bypass");
    let whole = batch.replace(r#","ProjectionExpression":"n""#, "");
    let read = node.begin("BatchGetItem", &whole).await;
    node.upstream.next(BatchGetItem).await.refuse(DENIED);
    assert!(read.await.body.contains(DENIED), "that is what the client asked for");
    node.upstream.assert_none();
}

async fn write(node: &mut Node, operation: Operation, body: &str, denied: bool) -> String {
    let write = node.begin(operation.name(), body).await;
    if denied {
        node.upstream.next(operation).await.refuse(DENIED);
    }
    let call = node.upstream.next(operation).await;
    let sent = call.body();
    call.answer("{}");
    let reply = write.await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "{}"));
    node.upstream.assert_none();
    sent
}

#[tokio::test(start_paused = true)]
async fn a_write_is_sent_as_the_client_wrote_it_where_its_item_may_not_be_returned() {
    let mut node = Node::start().await;
    let update = r#"{"TableName":"Orders","Key":{"id":{"S":"a"}},"UpdateExpression":"SET n = :n","ExpressionAttributeValues":{":n":{"N":"1"}}}"#;
    node.read_from_upstream("a", 1).await;
    assert_eq!(write(&mut node, UpdateItem, update, true).await, update);
    // Nothing is known of the item now.
    node.read_from_upstream("a", 2).await;
    assert_eq!(write(&mut node, UpdateItem, update, false).await, update, "at once");
    node.read_from_upstream("a", 3).await;
    // What the request tells is known as ever.
    write(&mut node, PutItem, &put("a", 4), false).await;
    assert_eq!(node.call("GetItem", &get("a")).await.body, item("a", 4));
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_former_item_was_not_told_invalidates_the_whole_index() {
    let mut node = Node::start().await;
    node.script.describe_as(
        "Orders",
        r#"{"Table":{"TableName":"Orders","TableId":"1","AttributeDefinitions":[
        {"AttributeName":"id","AttributeType":"S"},{"AttributeName":"g","AttributeType":"S"}],
        "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],
        "GlobalSecondaryIndexes":[{"IndexName":"byG","Projection":{"ProjectionType":"ALL"},
            "KeySchema":[{"AttributeName":"g","KeyType":"HASH"}]}]}}"#
            .to_owned(),
    );
    node.wait(Duration::from_secs(100)).await;
    let query = r#"{"TableName":"Orders","IndexName":"byG","KeyConditionExpression":"g = :g","ExpressionAttributeValues":{":g":{"S":"x"}}}"#;
    let page = r#"{"Count":1,"Items":[{"id":{"S":"a"},"g":{"S":"x"}}],"ScannedCount":1}"#;
    let read = node.begin("Query", query).await;
    node.upstream.next(Operation::Query).await.answer(page);
    read.await;
    assert_eq!(node.call("Query", query).await.source, "hit");
    let delete = get("a");
    assert_eq!(write(&mut node, DeleteItem, &delete, true).await, delete);
    let read = node.begin("Query", query).await;
    node.upstream.next(Operation::Query).await.answer(r#"{"Count":0,"Items":[],"ScannedCount":0}"#);
    assert_eq!(read.await.source, "miss");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_denied_by_itself_is_denied_once_more_and_says_so() {
    let mut node = Node::start().await;
    let update = r#"{"TableName":"Orders","Key":{"id":{"S":"a"}},"UpdateExpression":"REMOVE n"}"#;
    for _ in 0..2 {
        let write = node.begin("UpdateItem", update).await;
        node.upstream.next(UpdateItem).await.refuse(DENIED);
        node.upstream.next(UpdateItem).await.refuse(DENIED);
        assert!(write.await.body.contains(DENIED));
    }
    let asked = update.replace(r#""Key""#, r#""ReturnValues":"ALL_NEW","Key""#);
    let write = node.begin("UpdateItem", &asked).await;
    node.upstream.next(UpdateItem).await.refuse(DENIED);
    assert!(write.await.body.contains(DENIED), "that is what the client asked for");
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn a_table_whose_items_may_not_be_read_whole_keeps_no_images_of_writes() {
    let mut node = Node::start().await;
    let read = node.begin("GetItem", &part()).await;
    node.upstream.next(GetItem).await.refuse(DENIED);
    node.upstream.next(GetItem).await.answer(SHOWN);
    read.await;
    write(&mut node, PutItem, &put("a", 4), false).await;
    let read = node.begin("GetItem", &get("a")).await;
    node.upstream.next(GetItem).await.refuse(DENIED);
    assert!(read.await.body.contains(DENIED));
}
