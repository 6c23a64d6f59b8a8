//! Principals with roles of their own: what is sent on whose behalf, and what one of them hears when another one is denied.

use std::sync::Arc;
use std::time::Duration;

use nearside::call::PrincipalRole;
use nearside::model::Operation::{self, BatchGetItem, GetItem, PutItem, Query, UpdateItem};

use crate::harness::{Node, Reply, get, item, put, strong};

const DENIED: &str = "AccessDeniedException";
const QUERY: &str =
    r#"{"TableName":"Orders","KeyConditionExpression":"id=:i","ExpressionAttributeValues":{":i":{"S":"a"}}}"#;
const PAGE: &str = r#"{"Count":0,"Items":[],"ScannedCount":0}"#;
const BATCH: &str = r#"{"RequestItems":{"Orders":{"Keys":[{"id":{"S":"a"}}]}}}"#;
const BATCHED: &str = r#"{"Responses":{"Orders":[{"id":{"S":"a"},"n":{"N":"1"}}]},"UnprocessedKeys":{}}"#;

type Role = Arc<PrincipalRole>;

fn role(principal: &str) -> Role {
    let arn = format!("arn:aws:iam::123456789012:role/{principal}").into();
    Arc::new(PrincipalRole { principal: principal.into(), arn, external_id: None })
}

fn part() -> String {
    get("a").replace(r#""Key""#, r#""ProjectionExpression":"n","Key""#)
}

async fn read(node: &mut Node, role: Option<&Role>, answer: &str) -> (String, Reply) {
    let read = node.begin_for(role, GetItem, &get("a")).await;
    let call = node.upstream.next(GetItem).await;
    let principal = call.principal().to_owned();
    call.answer(answer);
    (principal, read.await)
}

#[tokio::test(start_paused = true)]
async fn every_request_of_a_client_goes_upstream_on_its_behalf_and_those_of_the_node_on_its_own() {
    let mut node = Node::start().await;
    node.script.describe_by_hand();
    let shop = role("shop");
    let first = node.begin_for(Some(&shop), GetItem, &get("a")).await;
    let describing = node.upstream.next(Operation::DescribeTable).await;
    assert_eq!(describing.principal(), "-");
    describing.answer(&crate::scripted::description("Orders", "", "1", &[("id", "S", "HASH")]));
    node.upstream.next(GetItem).await.answer(&item("a", 1));
    first.await;
    let transaction = |kind: &str, body: &str| format!(r#"{{"TransactItems":[{{"{kind}":{body}}}]}}"#);
    for (operation, body, answer) in [
        (GetItem, get("b"), "{}"),
        (GetItem, strong("a"), &*item("a", 1)),
        (GetItem, get("c").replace("Orders", "Strange"), "{}"),
        (GetItem, get("d").replace(r#""Key""#, r#""Unknown":1,"Key""#), "{}"),
        (Query, QUERY.to_owned(), PAGE),
        (Query, QUERY.replace(r#""id=:i""#, r#""id=:i","ConsistentRead":true"#), PAGE),
        (Operation::Scan, r#"{"TableName":"Orders"}"#.to_owned(), PAGE),
        (
            BatchGetItem,
            BATCH.replace(r#"{"S":"a"}"#, r#"{"S":"e"}"#),
            r#"{"Responses":{},"UnprocessedKeys":{}}"#,
        ),
        (Operation::TransactGetItems, transaction("Get", &get("a")), r#"{"Responses":[{}]}"#),
        (PutItem, put("a", 2), "{}"),
        (UpdateItem, get("a").replace(r#""Key""#, r#""UpdateExpression":"REMOVE x","Key""#), "{}"),
        (Operation::DeleteItem, get("a"), "{}"),
        (Operation::BatchWriteItem, r#"{"RequestItems":{"Orders":[]}}"#.to_owned(), "{}"),
        (Operation::TransactWriteItems, transaction("Delete", &get("a")), "{}"),
        (Operation::ExecuteStatement, r#"{"Statement":"SELECT * FROM Orders"}"#.to_owned(), "{}"),
        (
            Operation::ExecuteStatement,
            r#"{"Statement":"DELETE FROM Orders WHERE id = 'a'"}"#.to_owned(),
            "{}",
        ),
        (Operation::ListTables, "{}".to_owned(), "{}"),
        (Operation::UpdateTimeToLive, r#"{"TableName":"Orders"}"#.to_owned(), "{}"),
        (Operation::DeleteTable, r#"{"TableName":"Orders"}"#.to_owned(), "{}"),
        (Operation::Unknown, "{}".to_owned(), "{}"),
    ] {
        let begun = node.begin_for(Some(&shop), operation, &body).await;
        // What the node asks about tables is its own.
        while let Some(call) = node.upstream.try_next(Operation::DescribeTable) {
            assert_eq!(call.principal(), "-");
            match call.body().contains("Orders") {
                true => call.answer(&crate::scripted::description("Orders", "", "1", &[("id", "S", "HASH")])),
                false => call.refuse("ResourceNotFoundException"),
            }
            node.settle().await;
        }
        let call = node.upstream.next(operation).await;
        assert_eq!(call.principal(), "shop", "{operation} {body}");
        call.answer(answer);
        begun.await;
    }
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn what_one_has_read_is_a_hit_for_others_and_is_not_asked_for_again() {
    let mut node = Node::start().await;
    let (shop, bank) = (role("shop"), role("bank"));
    assert_eq!(read(&mut node, Some(&shop), &item("a", 1)).await.0, "shop");
    let page = node.begin_for(Some(&shop), Query, QUERY).await;
    node.upstream.next(Query).await.answer(PAGE);
    page.await;
    for other in [Some(&bank), None] {
        let reply = node.begin_for(other, GetItem, &get("a")).await.await;
        assert_eq!((reply.source.as_str(), reply.body), ("hit", item("a", 1)));
        assert_eq!(node.begin_for(other, Query, QUERY).await.await.source, "hit");
    }
    node.upstream.assert_none();
    // The bytes of a request that was understood before are sent by who sends them now.
    node.wait(Duration::from_secs(301)).await;
    let page = node.begin_for(Some(&bank), Query, QUERY).await;
    let call = node.upstream.next(Query).await;
    assert_eq!(call.principal(), "bank");
    call.answer(PAGE);
    page.await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_on_the_fetch_of_another_one_does_not_hear_that_it_is_denied() {
    let mut node = Node::start().await;
    let (shop, bank) = (role("shop"), role("bank"));
    for (operation, body, answer) in
        [(GetItem, get("a"), item("a", 1)), (Query, QUERY.to_owned(), PAGE.to_owned())]
    {
        let leader = node.begin_for(Some(&shop), operation, &body).await;
        let same = node.begin_for(Some(&shop), operation, &body).await;
        let others = [
            node.begin_for(Some(&bank), operation, &body).await,
            node.begin_for(None, operation, &body).await,
        ];
        let call = node.upstream.next(operation).await;
        assert_eq!(call.principal(), "shop");
        node.upstream.assert_none();
        call.refuse(DENIED);
        assert!(leader.await.body.contains(DENIED));
        assert!(same.await.body.contains(DENIED), "it would hear the same");
        // One of the others leads, and the rest waits on that.
        let call = node.upstream.next(operation).await;
        assert_ne!(call.principal(), "shop");
        node.upstream.assert_none();
        call.answer(&answer);
        for other in others {
            assert_eq!(other.await.body, answer);
        }
        // What is cached was read by who may read it.
        assert_eq!(node.begin_for(Some(&bank), operation, &body).await.await.source, "hit");
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_behind_many_that_are_denied_reads_on_its_own_behalf_in_the_end() {
    let mut node = Node::start().await;
    let roles: Vec<_> = (0..6).map(|nth| role(&format!("tenant-{nth}"))).collect();
    let mut waiting = Vec::new();
    for role in &roles {
        waiting.push(node.begin_for(Some(role), GetItem, &get("a")).await);
    }
    let mut calls = Vec::new();
    while !waiting.iter().all(crate::harness::Begun::is_answered) {
        let call = node.upstream.next(GetItem).await;
        calls.push(call.principal().to_owned());
        match call.principal() {
            "tenant-5" => call.answer(&item("a", 1)),
            _ => call.refuse(DENIED),
        }
        node.settle().await;
    }
    for (reply, role) in waiting.into_iter().zip(&roles) {
        let reply = reply.await;
        match &*role.principal {
            "tenant-5" => assert_eq!(reply.body, item("a", 1)),
            // It may have waited on the one that may read.
            _ => assert!(reply.body.contains(DENIED) || reply.body == item("a", 1), "{}", reply.body),
        }
    }
    assert!(calls.len() <= roles.len(), "nobody asks twice: {calls:?}");
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_upstream_is_for_everybody_who_waits() {
    let mut node = Node::start().await;
    let (shop, bank) = (role("shop"), role("bank"));
    let leader = node.begin_for(Some(&shop), GetItem, &get("a")).await;
    let other = node.begin_for(Some(&bank), GetItem, &get("a")).await;
    node.upstream.next(GetItem).await.refuse("ProvisionedThroughputExceededException");
    assert_eq!((leader.await.status, other.await.status), (400, 400));
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_waits_on_the_fetch_of_another_one_reads_what_that_is_denied() {
    let mut node = Node::start().await;
    let (shop, bank) = (role("shop"), role("bank"));
    let leader = node.begin_for(Some(&shop), BatchGetItem, BATCH).await;
    let other = node.begin_for(Some(&bank), BatchGetItem, BATCH).await;
    node.upstream.next(BatchGetItem).await.refuse(DENIED);
    assert!(leader.await.body.contains(DENIED));
    let call = node.upstream.next(GetItem).await;
    assert_eq!(call.principal(), "bank");
    call.answer(&item("a", 1));
    assert_eq!(other.await.body, BATCHED);
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn what_one_may_not_ask_for_is_asked_for_on_behalf_of_others() {
    let mut node = Node::start().await;
    let (shop, bank) = (role("shop"), role("bank"));
    node.wait(Duration::from_secs(100)).await;
    let update = get("b").replace(r#""Key""#, r#""UpdateExpression":"REMOVE x","Key""#);
    let denied = node.begin_for(Some(&shop), UpdateItem, &update).await;
    let call = node.upstream.next(UpdateItem).await;
    assert!(call.body().contains("ReturnValues"));
    call.refuse(DENIED);
    node.upstream.next(UpdateItem).await.answer("{}");
    assert_eq!(denied.await.status, 200);
    let denied = node.begin_for(Some(&shop), GetItem, &part()).await;
    node.upstream.next(GetItem).await.refuse(DENIED);
    let own = node.upstream.next(GetItem).await;
    assert_eq!((own.principal(), own.body()), ("shop", part()));
    own.answer(r#"{"Item":{"n":{"N":"1"}}}"#);
    assert_eq!(denied.await.status, 200);
    for (role, is_denied) in [(Some(&shop), true), (Some(&bank), false), (None, false)] {
        let write = node.begin_for(role, UpdateItem, &update).await;
        let call = node.upstream.next(UpdateItem).await;
        assert_eq!(!call.body().contains("ReturnValues"), is_denied, "{role:?}");
        call.answer("{}");
        write.await;
    }
    // The whole item is asked for on behalf of another one, and cached for all.
    let read = node.begin_for(Some(&bank), GetItem, &part()).await;
    let call = node.upstream.next(GetItem).await;
    assert!(!call.body().contains("ProjectionExpression"));
    call.answer(&item("a", 1));
    read.await;
    let read = node.begin_for(Some(&shop), GetItem, &part()).await.await;
    assert_eq!((read.source.as_str(), read.body.as_str()), ("hit", r#"{"Item":{"n":{"N":"1"}}}"#));
    node.upstream.assert_none();
}
