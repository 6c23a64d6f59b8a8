//! What goes through: requests that are not understood, tables that change, and operations that are not cached.

use nearside::call::Attempt;
use nearside::model::Operation::{
    BatchGetItem, BatchWriteItem, DeleteTable, ExecuteStatement, ExecuteTransaction, GetItem,
    ListTagsOfResource, PutItem, Query, TagResource, TransactGetItems, Unknown, UpdateItem,
};

use crate::harness::{Node, get, item, put, strong};

#[tokio::test(start_paused = true)]
async fn what_is_not_understood_goes_through_word_for_word_and_is_not_cached() {
    let mut node = Node::start().await;
    node.settle_writes().await;
    node.read_from_upstream("a", 1).await;
    for body in [
        r#"{"TableName":"Orders","Key":{"id":{"S":"a"}},"Surprise":true}"#,
        r#"{"TableName":"Orders","Key":{"id":{"S":"a"},"more":{"S":"b"}}}"#,
        r#"{"TableName":"Orders","Key":{"id":{"N":"1"}}}"#,
        r##"{"TableName":"Orders","Key":{"id":{"S":"a"}},"ProjectionExpression":"#x"}"##,
        r#"{"TableName":"Orders","Key":{"id":{"S":"a"}},"ProjectionExpression":"size"}"#,
        r##"{"TableName":"Orders","Key":{"id":{"S":"a"}},"ProjectionExpression":"n","ExpressionAttributeNames":{"#x":"n"}}"##,
        r#"{"TableName":"Orders","Key":{"id":{"S":"a"}},"ProjectionExpression":"n","AttributesToGet":["n"]}"#,
        r#"{"TableName":"Orders","Key":{"id":{"S":"a"}},"AttributesToGet":["n","n"]}"#,
        r#"{"TableName":"Orders","Key":{"id":{"S":"a"}},"AttributesToGet":[]}"#,
        r#"{"TableName":"Orders","Key":{"id":{"S":"a"}},"AttributesToGet":["n",1]}"#,
        r#"{"TableName":"Orders","Key":{"id":{"S":"a"}},"AttributesToGet":"n"}"#,
    ] {
        let read = node.begin("GetItem", body).await;
        let call = node.upstream.next(GetItem).await;
        assert_eq!(call.body(), body);
        call.refuse("ValidationException");
        let read = read.await;
        assert_eq!((read.status, read.source.as_str()), (400, "bypass"), "{body}");
    }
    assert_eq!(node.call("GetItem", &get("a")).await.source, "hit");
}

#[tokio::test(start_paused = true)]
async fn a_table_made_again_with_another_key_shows_nothing_of_the_old_one() {
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    let gone = node.begin("DeleteTable", r#"{"TableName":"Orders"}"#).await;
    let call = node.upstream.next(DeleteTable).await;
    node.script.describe("Orders", &[("other", "S", "HASH")]);
    call.answer("{}");
    assert_eq!(gone.await.source, "write");
    let read = node.begin("GetItem", r#"{"TableName":"Orders","Key":{"other":{"S":"a"}}}"#).await;
    node.upstream.next(GetItem).await.answer("{}");
    assert_eq!(read.await.body, "{}");
    let old = node.begin("GetItem", &get("a")).await;
    // Once strongly, since the table was just changed, and once as the client has it.
    for _ in 0..2 {
        node.upstream.next(GetItem).await.refuse("ValidationException");
        node.settle().await;
    }
    assert_eq!(old.await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_is_not_a_select_invalidates_everything() {
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    let select = node.begin("ExecuteStatement", r#"{"Statement":"SELECT * FROM Orders"}"#).await;
    node.upstream.next(ExecuteStatement).await.answer("{}");
    select.await;
    assert_eq!(node.call("GetItem", &get("a")).await.source, "hit");
    let update =
        node.begin("ExecuteStatement", r#"{"Statement":"UPDATE \"Orders\" SET n = 2 WHERE id = 'a'"}"#).await;
    node.upstream.next(ExecuteStatement).await.answer("{}");
    update.await;
    node.read_from_upstream("a", 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_statement_that_writes_is_not_hidden_behind_members_of_other_operations() {
    let mut node = Node::start().await;
    for (operation, body) in [
        (ExecuteStatement, r#"{"Statements":[],"Statement":"DELETE FROM Orders WHERE id='a'"}"#),
        (
            ExecuteTransaction,
            r#"{"Statements":[{"Statement":"SELECT 1"}],"TransactStatements":[{"Statement":"DELETE FROM Orders WHERE id='a'"}]}"#,
        ),
    ] {
        node.read_from_upstream("a", 1).await;
        let write = node.begin(operation.name(), body).await;
        node.upstream.next(operation).await.answer("{}");
        assert_eq!(write.await.source, "write");
    }
    node.read_from_upstream("a", 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_table_is_void_after_a_change_with_whatever_nonsense_beside_its_name() {
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    let deep = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
    let body = format!(r#"{{"Surprise":{deep},"Table\u004eame":"Orders"}}"#);
    let gone = node.begin("DeleteTable", &body).await;
    let call = node.upstream.next(DeleteTable).await;
    assert_eq!(call.body(), body, "word for word");
    call.answer("{}");
    gone.await;
    node.read_from_upstream("a", 2).await;
    // Of two names nobody can tell which one counts.
    let twice = node.call("DeleteTable", r#"{"TableName":"Stock","TableName":"Orders"}"#).await;
    assert!(twice.body.contains("SerializationException"), "{}", twice.body);
    node.upstream.assert_none();
    assert_eq!(node.call("GetItem", &get("a")).await.source, "hit");
}

#[tokio::test(start_paused = true)]
async fn the_upstream_is_asked_once_about_each_table_of_a_write_and_not_about_thousands() {
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    let asked = node.script.described();
    let part = |table: &str| format!(r#""{table}":[{}{{}}]"#, "{},".repeat(50));
    let write = async |node: &mut Node, tables: &[String]| {
        let body = format!(r#"{{"RequestItems":{{{}}}}}"#, tables.join(","));
        let write = node.begin("BatchWriteItem", &body).await;
        node.upstream.next(BatchWriteItem).await.refuse("ValidationException");
        write.await;
    };
    write(&mut node, &[part("Nothing"), part("Nobody"), part(&"x".repeat(2000))]).await;
    assert_eq!(node.script.described() - asked, 2);
    assert_eq!(node.call("GetItem", &get("a")).await.source, "hit");
    let many: Vec<String> = (0..1000).map(|number| part(&format!("Unknown{number}"))).collect();
    write(&mut node, &many).await;
    assert_eq!(node.script.described() - asked, 102);
    node.read_from_upstream("a", 2).await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_operation_that_names_a_table_invalidates_it() {
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    let call = node.begin("FrobnicateItems", r#"{"TableName":"Orders"}"#).await;
    let received = node.upstream.next(Unknown).await;
    assert_eq!(received.request.unknown_target.as_deref(), Some("DynamoDB_20120810.FrobnicateItems"));
    received.answer("{}");
    call.await;
    node.read_from_upstream("a", 2).await;
}

/// Where an unknown operation may name a table; the last two name none.
const UNKNOWN_BODIES: &[&str] = &[
    r#"{"RequestItems":{"Orders":[{"PutRequest":{"Item":{"id":{"S":"a"}}}}]}}"#,
    r#"{"TransactItems":[{"Put":{"TableName":"Orders","Item":{"id":{"S":"a"}}}}]}"#,
    r#"{"Statements":[{"Statement":"DELETE FROM \"Orders\" WHERE id='a'"}]}"#,
    r#"{"A":{"B":[{"C":{"TableArn":"arn:aws:dynamodb:us-east-1:000000000000:table/Orders"}}]}}"#,
    r#"{"TableNames":["Stock","Orders"]}"#,
    r#"{"Batch":{"RequestItems":{"Orders":[]}}}"#,
    r#"{"Id":"7"}"#,
    "{}",
];

#[tokio::test(start_paused = true)]
async fn an_unknown_operation_invalidates_the_tables_that_it_names_wherever_and_all_if_it_names_none() {
    for body in UNKNOWN_BODIES {
        let mut node = Node::start().await;
        node.read_from_upstream("a", 1).await;
        let call = node.begin("FrobnicateItems", body).await;
        node.upstream.next(Unknown).await.answer("{}");
        call.await;
        node.read_from_upstream("a", 2).await;
        let call = node.begin("FrobnicateItems", r#"{"TableNames":["Stock"],"Note":"Orders"}"#).await;
        node.upstream.next(Unknown).await.answer("{}");
        call.await;
        assert_eq!(node.call("GetItem", &get("a")).await.source, "hit");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_operation_that_is_too_deep_to_be_read_whole_invalidates_everything() {
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    let depth = 1000;
    let body = format!(
        r#"{{"TableName":"Stock","Deep":{}{{"TableName":"Orders"}}{}}}"#,
        "[".repeat(depth),
        "]".repeat(depth)
    );
    let call = node.begin("FrobnicateItems", &body).await;
    node.upstream.next(Unknown).await.answer("{}");
    call.await;
    node.read_from_upstream("a", 2).await;
}

#[tokio::test(start_paused = true)]
async fn queries_pass_through() {
    let mut node = Node::start().await;
    for _ in 0..2 {
        let query = node.begin("Query", r#"{"TableName":"Orders","KeyConditionExpression":"id = :a"}"#).await;
        node.upstream.next(Query).await.answer(r#"{"Items":[],"Count":0,"ScannedCount":0}"#);
        assert_eq!(query.await.source, "bypass");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_two_parsers_could_read_in_two_ways_goes_no_further() {
    let mut node = Node::start().await;
    let write =
        node.call("PutItem", r#"{"TableName":"Orders","Item":{"id":{"S":"a"},"id":{"S":"b"}}}"#).await;
    assert_eq!(write.status, 400);
    assert!(write.body.contains("SerializationException"), "{}", write.body);
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn a_write_too_deep_for_any_item_is_the_upstreams_to_refuse() {
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    node.read_from_upstream("b", 1).await;
    let deep = format!("{}{{}}{}", "{\"M\":{\"n\":".repeat(100), "}}".repeat(100));
    let body = format!(r#"{{"TableName":"Orders","Item":{{"id":{{"S":"a"}},"n":{deep}}}}}"#);
    let write = node.begin("PutItem", &body).await;
    let call = node.upstream.next(PutItem).await;
    assert_eq!(call.body(), body);
    call.refuse("ValidationException");
    assert_eq!(write.await.status, 400);
    node.read_from_upstream("a", 1).await;
    // Should one take it after all, the item is not shown as it was, and others still are.
    let write = node.begin("PutItem", &body).await;
    node.upstream.next(PutItem).await.answer("{}");
    assert_eq!(write.await.status, 200);
    node.read_from_upstream("a", 2).await;
    assert_eq!(node.call("GetItem", &get("b")).await.source, "hit");
    let twice = body.replace(r#""Item":{"#, r#""Item":{"id":{"S":"b"},"#);
    assert!(node.call("PutItem", &twice).await.body.contains("SerializationException"));
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn a_write_to_an_unknown_table_passes() {
    let mut node = Node::start().await;
    let write = node.begin("PutItem", &put("a", 1).replace("Orders", "Nothing")).await;
    node.upstream.next(PutItem).await.refuse("ResourceNotFoundException");
    assert!(write.await.body.contains("ResourceNotFoundException"));
}

#[tokio::test(start_paused = true)]
async fn a_table_that_the_upstream_lost_is_void() {
    let mut node = Node::start().await;
    node.read_from_upstream("a", 1).await;
    let write = node.begin("PutItem", &put("b", 1)).await;
    node.upstream.next(PutItem).await.refuse("ResourceNotFoundException");
    write.await;
    let read = node.begin("GetItem", &get("a")).await;
    node.upstream.next(GetItem).await.answer(&item("a", 3));
    assert_eq!(read.await.body, item("a", 3));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_answered_is_unavailable_to_readers_and_of_unknown_outcome_to_writers() {
    let mut node = Node::start().await;
    let key = r#"{"TableName":"Orders","Keys":[{"id":{"S":"a"}}]}"#;
    let query = r#"{"TableName":"Orders","KeyConditionExpression":"id = :id","ExpressionAttributeValues":{":id":{"S":"a"}}}"#;
    let batch = r#"{"RequestItems":{"Orders":{"Keys":[{"id":{"S":"a"}}]}}}"#;
    let reads = [
        (GetItem, get("a")),
        (GetItem, strong("a")),
        (Query, query.to_owned()),
        (BatchGetItem, batch.to_owned()),
        (TransactGetItems, r#"{"TransactItems":[]}"#.to_owned()),
        (ListTagsOfResource, key.to_owned()),
        (ExecuteStatement, r#"{"Statement":"SELECT * FROM Orders"}"#.to_owned()),
    ];
    for (operation, body) in reads {
        let read = node.begin(operation.name(), &body).await;
        node.upstream.next(operation).await.lose();
        let reply = read.await;
        assert_eq!(reply.status, 503, "{operation} {body}");
        assert!(reply.body.contains("#ServiceUnavailableException\""), "{}", reply.body);
    }
    let writes = [
        (PutItem, put("a", 1)),
        (ExecuteStatement, r#"{"Statement":"DELETE FROM Orders WHERE id = 'a'"}"#.to_owned()),
        (DeleteTable, r#"{"TableName":"Orders"}"#.to_owned()),
        (TagResource, "{}".to_owned()),
    ];
    for (operation, body) in writes {
        let write = node.begin(operation.name(), &body).await;
        node.upstream.next(operation).await.lose();
        let reply = write.await;
        assert_eq!(reply.status, 500, "{operation} {body}");
        assert!(reply.body.contains("#InternalServerError\""), "{}", reply.body);
    }
}

#[tokio::test(start_paused = true)]
async fn the_upstream_hears_that_a_client_has_tried_before() {
    let mut node = Node::start().await;
    let query = r#"{"TableName":"Orders","KeyConditionExpression":"id = :id","ExpressionAttributeValues":{":id":{"S":"a"}}}"#;
    let update = r#"{"TableName":"Orders","Key":{"id":{"S":"a"}},"UpdateExpression":"SET n = :n","ExpressionAttributeValues":{":n":{"N":"1"}}}"#;
    let batch = r#"{"RequestItems":{"Orders":{"Keys":[{"id":{"S":"a"}}]}}}"#;
    for (operation, body) in [
        (GetItem, get("b").as_str()),
        (GetItem, &strong("a")),
        (BatchGetItem, batch),
        (Query, query),
        (PutItem, &put("a", 1)),
        // The one that is rewritten.
        (UpdateItem, update),
        (ExecuteStatement, r#"{"Statement":"SELECT * FROM Orders"}"#),
    ] {
        for attempt in [Attempt::Again, Attempt::First] {
            let begun = match attempt {
                Attempt::Again => node.spawn_again(operation, body),
                Attempt::First => node.spawn(operation.name(), body),
            };
            let call = node.upstream.next(operation).await;
            assert_eq!(call.request.attempt, attempt, "{operation} {body}");
            call.fail(500);
            begun.await;
        }
    }
}
