//! What a node asks of the other nodes in front of the same tables, and what it reports to them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nearside::cache::{Changed, ChangedIndexes, ChangedItem, Report};
use nearside::engine::{Acknowledgement, Peers, Receipt};
use nearside::model::Operation::{
    self, BatchWriteItem, DeleteTable, ExecuteStatement, PutItem, Query, TransactWriteItems, Unknown,
    UpdateItem, UpdateTimeToLive,
};
use tokio::sync::oneshot;

use crate::harness::{Begun, Node, get, item, put};
use crate::scripted::Call;

const STATEMENT: &str = r#"{"Statement":"DELETE FROM \"Orders\" WHERE id = 'a'"}"#;
const TABLE: &str = r#"{"TableName":"Orders"}"#;

/// Other nodes that take no writes.
struct Closed;

impl Peers for Closed {
    fn admit_write(&self) -> Result<(), &'static str> {
        Err("The bus cannot be reached.")
    }

    fn report(&self, _reports: Vec<Report>) -> Receipt {
        Box::pin(std::future::ready(Acknowledgement::Given))
    }
}

/// Other nodes that remember what they hear, and confirm it when the test says so.
#[derive(Default)]
struct Attentive {
    heard: Mutex<Vec<Vec<Report>>>,
    receipts: Mutex<Vec<oneshot::Sender<Acknowledgement>>>,
}

impl Peers for Attentive {
    fn admit_write(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn report(&self, reports: Vec<Report>) -> Receipt {
        let (sender, receipt) = oneshot::channel();
        self.heard.lock().unwrap().push(reports);
        self.receipts.lock().unwrap().push(sender);
        Box::pin(async { receipt.await.unwrap() })
    }
}

impl Attentive {
    /// Everything that was heard since this was last asked.
    fn take(&self) -> Vec<Report> {
        self.heard.lock().unwrap().drain(..).flatten().collect()
    }

    /// Answers all who wait.
    fn answer(&self, acknowledgement: Acknowledgement) {
        for receipt in self.receipts.lock().unwrap().drain(..) {
            receipt.send(acknowledgement).ok();
        }
    }
}

/// A node among attentive ones.
fn among() -> (Node, Arc<Attentive>) {
    let peers = Arc::new(Attentive::default());
    (Node::start_among(Arc::clone(&peers) as _), peers)
}

/// Sends a write whose answer waits until the others confirm what they hear; gives that, and the status of the answer.
async fn reported(
    node: &mut Node,
    peers: &Attentive,
    (operation, body): (Operation, &str),
    answer: impl FnOnce(Call),
) -> (Vec<Report>, u16) {
    let write = begin(node, operation, body).await;
    let before = peers.take();
    answer(node.upstream.next(operation).await);
    node.settle().await;
    let write = still_waiting(write, "before the others confirm");
    let heard = peers.take();
    peers.answer(Acknowledgement::Given);
    ([before, heard].concat(), write.await.status)
}

/// Sends a write whose answer waits for nobody.
async fn reported_in_passing(
    node: &mut Node,
    peers: &Attentive,
    (operation, body): (Operation, &str),
    answer: impl FnOnce(Call),
) -> (Vec<Report>, u16) {
    let write = begin(node, operation, body).await;
    answer(node.upstream.next(operation).await);
    let status = write.await.status;
    (peers.take(), status)
}

async fn begin(node: &Node, operation: Operation, body: &str) -> Begun {
    match operation {
        Unknown => node.begin("TransmogrifyTable", body).await,
        operation => node.begin(operation.name(), body).await,
    }
}

fn still_waiting(write: Begun, when: &str) -> Begun {
    assert!(!write.is_answered(), "answered {when}");
    write
}

fn changed(report: &Report) -> &Changed {
    match report {
        Report::Changed(changed) => changed,
        other => panic!("{other:?}"),
    }
}

fn changed_item(report: &Report) -> &ChangedItem {
    match changed(report) {
        Changed::Item(item) => item,
        other => panic!("{other:?}"),
    }
}

fn table_changed(node: &Node) -> Report {
    Report::Changed(Changed::Table(node.digest("Orders")))
}

fn definition_changed(node: &Node) -> Report {
    Report::Changed(Changed::Definition(node.digest("Orders")))
}

#[tokio::test(start_paused = true)]
async fn a_write_of_an_item_is_reported_by_its_digests_before_its_answer_leaves() {
    let (mut node, peers) = among();
    // A process that has just begun does not know where items were before.
    node.read_from_upstream("a", 0).await;
    node.settle_writes().await;
    let (first, status) =
        reported(&mut node, &peers, (PutItem, &put("a", 1)), |call| call.answer("{}")).await;
    assert_eq!((first.len(), status), (1, 200));
    let written = changed_item(&first[0]);
    assert_eq!(written.table, node.digest("Orders"));
    assert_eq!(written.indexes, ChangedIndexes::Known(Vec::new()), "the table has no index");
    let rejected = |call: Call| call.refuse("ConditionalCheckFailedException");
    let (again, status) = reported(&mut node, &peers, (UpdateItem, &get("a")), rejected).await;
    assert_eq!((again.len(), status), (1, 400));
    let same = changed_item(&again[0]);
    assert_eq!((same.item, same.partition), (written.item, written.partition));
    let (other, _) = reported(&mut node, &peers, (PutItem, &put("b", 1)), |call| call.answer("{}")).await;
    assert_ne!(changed_item(&other[0]).item, written.item);
}

#[tokio::test(start_paused = true)]
async fn every_item_of_a_batch_of_a_transaction_and_of_a_statement_is_reported() {
    let (mut node, peers) = among();
    let transaction = format!(r#"{{"TransactItems":[{{"Put":{}}},{{"Delete":{}}}]}}"#, put("a", 2), get("b"));
    let batch = r#"{"RequestItems":{"Orders":[{"DeleteRequest":{"Key":{"id":{"S":"a"}}}},
        {"DeleteRequest":{"Key":{"id":{"S":"b"}}}}]}}"#;
    let (alone, _) = reported(&mut node, &peers, (PutItem, &put("a", 1)), |call| call.answer("{}")).await;
    for (operation, body, items) in
        [(BatchWriteItem, batch, 2), (TransactWriteItems, &transaction, 2), (ExecuteStatement, STATEMENT, 1)]
    {
        let (heard, status) = reported(&mut node, &peers, (operation, body), |call| call.answer("{}")).await;
        assert_eq!((heard.len(), status), (items, 200), "{operation}");
        assert_eq!(changed_item(&heard[0]).item, changed_item(&alone[0]).item, "{operation}");
        assert!(heard.iter().all(|report| changed_item(report).table == node.digest("Orders")));
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_item_cannot_be_named_is_reported_as_one_of_its_table() {
    let (mut node, peers) = among();
    let unnamed = r#"{"Statement":"DELETE FROM \"Orders\" WHERE n = 1"}"#;
    let keyless = r#"{"TableName":"Orders","Item":{"n":{"N":"1"}}}"#;
    for (operation, body) in [(ExecuteStatement, unnamed), (PutItem, keyless)] {
        let (heard, status) = reported(&mut node, &peers, (operation, body), |call| call.answer("{}")).await;
        assert_eq!(status, 200);
        assert_eq!(heard, [table_changed(&node), table_changed(&node)], "at sending and at the verdict");
    }
    // What is rejected by validation has changed nothing.
    let invalid = |call: Call| call.refuse("ValidationException");
    let (heard, _) = reported_in_passing(&mut node, &peers, (PutItem, keyless), invalid).await;
    assert_eq!(heard, [table_changed(&node)]);
    let not_understood = r#"{"Statement":"MERGE \"Orders\""}"#;
    let (heard, _) =
        reported(&mut node, &peers, (ExecuteStatement, not_understood), |call| call.answer("{}")).await;
    assert_eq!(heard, [Report::Changed(Changed::Everything)], "at the verdict alone");
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_table_is_reported_as_one_of_its_definition() {
    let (mut node, peers) = among();
    for operation in [DeleteTable, Unknown] {
        let (heard, _) = reported(&mut node, &peers, (operation, TABLE), |call| call.answer("{}")).await;
        let definition = definition_changed(&node);
        assert_eq!(heard, [definition.clone(), definition], "at sending and at the verdict");
        // A rejected one may have done a part.
        let rejected = |call: Call| call.refuse("ResourceInUseException");
        let (heard, _) = reported(&mut node, &peers, (operation, TABLE), rejected).await;
        assert_eq!(heard.len(), 2, "{operation}");
    }
    let (heard, _) = reported(&mut node, &peers, (Unknown, "{}"), |call| call.answer("{}")).await;
    assert_eq!(heard, [Report::Changed(Changed::Everything), Report::Changed(Changed::Everything)]);
    // Nothing expires before UpdateTimeToLive has succeeded.
    let (heard, _) = reported(&mut node, &peers, (UpdateTimeToLive, TABLE), |call| call.answer("{}")).await;
    assert_eq!(heard, [definition_changed(&node)]);
    let invalid = |call: Call| call.refuse("ValidationException");
    let (heard, status) = reported_in_passing(&mut node, &peers, (UpdateTimeToLive, TABLE), invalid).await;
    assert_eq!((heard.as_slice(), status), ([].as_slice(), 400));
    let lost = reported_in_passing(&mut node, &peers, (UpdateTimeToLive, TABLE), Call::lose).await.0;
    let Report::MayChange(what, _) = &lost[0] else { panic!("{lost:?}") };
    assert_eq!(*what, Changed::Definition(node.digest("Orders")));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_reported_with_the_time_for_which_it_may_still_happen() {
    let (mut node, peers) = among();
    let window = Duration::from_secs(20);
    node.set_unknown_write_window(window);
    for lose in [Call::lose, (|call: Call| call.fail(500)) as fn(Call)] {
        let (heard, status) = reported_in_passing(&mut node, &peers, (PutItem, &put("a", 1)), lose).await;
        assert_eq!((heard.len(), status), (1, 500));
        let Report::MayChange(Changed::Item(item), left) = &heard[0] else { panic!("{heard:?}") };
        assert_eq!((*left, &item.indexes), (window, &ChangedIndexes::All));
    }
    let lose = Call::lose;
    let (heard, status) = reported_in_passing(&mut node, &peers, (DeleteTable, TABLE), lose).await;
    let definition = Changed::Definition(node.digest("Orders"));
    let expected = [Report::Changed(definition.clone()), Report::MayChange(definition.clone(), window)];
    assert_eq!((heard.as_slice(), status), (expected.as_slice(), 500));
    node.wait(window - Duration::from_millis(1)).await;
    assert_eq!(peers.take(), []);
    node.wait(Duration::from_millis(2)).await;
    assert_eq!(peers.take(), [Report::Changed(definition)], "once more, when it can happen no longer");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_not_sent_is_not_reported() {
    let (mut node, peers) = among();
    let (heard, status) =
        reported_in_passing(&mut node, &peers, (PutItem, &put("a", 1)), Call::hold_back).await;
    assert_eq!((heard.as_slice(), status), ([].as_slice(), 503));
}

#[tokio::test(start_paused = true)]
async fn what_the_others_do_not_confirm_in_time_is_not_acknowledged() {
    let (mut node, peers) = among();
    for (rejection, word) in [(None, "carried out"), (Some("ConditionalCheckFailedException"), "rejected")] {
        let write = node.begin("PutItem", &put("a", 1)).await;
        let call = node.upstream.next(PutItem).await;
        match rejection {
            None => call.answer("{}"),
            Some(code) => call.refuse(code),
        }
        node.settle().await;
        peers.answer(Acknowledgement::TimedOut);
        let reply = write.await;
        assert_eq!(reply.status, 500);
        assert!(reply.body.contains(word) && reply.body.contains("InternalServerError"), "{}", reply.body);
        // Here it is known what was written.
        peers.take();
    }
}

#[tokio::test(start_paused = true)]
async fn reads_and_what_is_found_out_by_reading_are_not_reported() {
    let (mut node, peers) = among();
    node.read_from_upstream("a", 1).await;
    assert_eq!(node.call("GetItem", &get("a")).await.body, item("a", 1));
    let read = node.begin("GetItem", &get("b")).await;
    node.upstream.next(Operation::GetItem).await.refuse("ResourceNotFoundException");
    assert_eq!(read.await.status, 400);
    assert_eq!(peers.take(), []);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_the_other_nodes_do_not_admit_is_not_sent() {
    let mut node = Node::start_among(Arc::new(Closed));
    let transaction = format!(r#"{{"TransactItems":[{{"Put":{}}}]}}"#, put("a", 2));
    let batch = r#"{"RequestItems":{"Orders":[{"DeleteRequest":{"Key":{"id":{"S":"a"}}}}]}}"#;
    let time_to_live =
        r#"{"TableName":"Orders","TimeToLiveSpecification":{"Enabled":true,"AttributeName":"n"}}"#;
    for (operation, body) in [
        ("PutItem", put("a", 2).as_str()),
        ("PutItem", r#"{"TableName":"Orders","Item":{}}"#),
        ("UpdateItem", &get("a")),
        ("DeleteItem", &get("a")),
        ("BatchWriteItem", batch),
        ("TransactWriteItems", &transaction),
        ("ExecuteStatement", STATEMENT),
        ("ExecuteStatement", r#"{"Statement":"DELETE FROM \"Orders\" WHERE n = 1"}"#),
        ("DeleteTable", TABLE),
        ("UpdateTimeToLive", time_to_live),
        ("TransmogrifyTable", TABLE),
    ] {
        let reply = node.call(operation, body).await;
        assert_eq!(reply.status, 503, "{operation} {body}");
        assert!(reply.body.contains("The bus cannot be reached."), "{operation}: {}", reply.body);
    }
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn what_only_reads_needs_nobody_to_admit_it() {
    let mut node = Node::start_among(Arc::new(Closed));
    node.read_from_upstream("a", 1).await;
    assert_eq!(node.call("GetItem", &get("a")).await.source, "hit");
    for (operation, body) in [
        ("ExecuteStatement", r#"{"Statement":"SELECT * FROM \"Orders\" WHERE id = 'a'"}"#),
        ("ListTables", "{}"),
        ("TransactGetItems", r#"{"TransactItems":[]}"#),
        ("TransmogrifyAll", ""),
    ] {
        let read = node.begin(operation, body).await;
        let target = format!("DynamoDB_20120810.{operation}");
        let sent = Operation::from_target(&target).unwrap_or(Unknown);
        node.upstream.next(sent).await.answer("{}");
        assert_eq!(read.await.status, 200, "{operation}");
    }
    assert_eq!(node.call("GetItem", &get("a")).await.body, item("a", 1));
}

const BY_COLOUR: &str = r#"{"Table":{"TableName":"Orders","TableId":"1","AttributeDefinitions":[
    {"AttributeName":"id","AttributeType":"S"},{"AttributeName":"c","AttributeType":"S"}],
    "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}],"GlobalSecondaryIndexes":[{"IndexName":"byColour",
    "KeySchema":[{"AttributeName":"c","KeyType":"HASH"}],"Projection":{"ProjectionType":"KEYS_ONLY"}}]}}"#;
const RED: &str = r#"{"TableName":"Orders","IndexName":"byColour","KeyConditionExpression":"c = :c",
    "ExpressionAttributeValues":{":c":{"S":"red"}}}"#;
const NO_ITEMS: &str = r#"{"Count":0,"Items":[],"ScannedCount":0}"#;

fn put_colour(colour: &str) -> String {
    format!(r#"{{"TableName":"Orders","Item":{{"id":{{"S":"a"}},"c":{{"S":"{colour}"}}}}}}"#)
}

/// Asks for a page of the index.
async fn ask_for_red(node: &mut Node) {
    let read = node.begin("Query", RED).await;
    if let Some(call) = node.upstream.try_next(Query) {
        call.answer(NO_ITEMS);
    }
    assert_eq!(read.await.body, NO_ITEMS);
}

#[tokio::test(start_paused = true)]
async fn readers_of_a_global_index_are_reported_at_first_and_every_half_minute() {
    let (mut node, peers) = among();
    node.script.describe_as("Orders", BY_COLOUR.to_owned());
    node.read_from_upstream("a", 1).await;
    assert_eq!(peers.take(), []);
    let mut heard = Vec::new();
    for _ in 0..61 {
        ask_for_red(&mut node).await;
        heard.push(peers.take().len());
        node.wait(Duration::from_secs(1)).await;
    }
    let expected: Vec<_> = (0..61).map(|second| usize::from(second % 30 == 0)).collect();
    assert_eq!(heard, expected);
    ask_for_red(&mut node).await;
    node.wait(Duration::from_secs(30)).await;
    ask_for_red(&mut node).await;
    assert_eq!(peers.take(), [Report::IndexesRead(node.digest("Orders"))]);
}

#[tokio::test(start_paused = true)]
async fn a_write_reports_where_it_moves_an_item_when_readers_elsewhere_ask_for_the_index() {
    let (mut node, peers) = among();
    node.script.describe_as("Orders", BY_COLOUR.to_owned());
    let before = |colour: &'static str| {
        move |call: Call| {
            assert!(call.body().contains("ALL_OLD"), "{}", call.body());
            call.answer(&format!(r#"{{"Attributes":{{"id":{{"S":"a"}},"c":{{"S":"{colour}"}}}}}}"#));
        }
    };
    let unasked = |call: Call| {
        assert!(!call.body().contains("ALL_OLD"), "{}", call.body());
        call.answer("{}");
    };
    reported(&mut node, &peers, (PutItem, &put_colour("red")), unasked).await;
    node.settle_writes().await;
    node.hear(&Report::IndexesRead(node.digest("Orders"))).await;
    assert_eq!(peers.take(), [], "what others report is not passed on");
    let mut partitions = Vec::new();
    for (colour, former) in [("red", "blue"), ("blue", "red"), ("red", "red")] {
        let write = (PutItem, &*put_colour(colour));
        let (heard, _) = reported(&mut node, &peers, write, before(former)).await;
        let ChangedIndexes::Known(indexes) = &changed_item(&heard[0]).indexes else { panic!("{heard:?}") };
        assert_eq!(indexes.len(), 1);
        partitions.push(indexes[0].partitions.clone());
    }
    let (from_blue, from_red) = (&partitions[0], &partitions[1]);
    assert_eq!((from_blue[0], from_blue[1]), (from_red[1], from_red[0]), "before and now");
    assert_ne!(from_blue[0], from_blue[1]);
    assert!(partitions[2].is_empty(), "it stays where it is, and shows what it showed");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_planned_by_a_former_definition_is_reported_as_one_of_its_table() {
    let (mut node, peers) = among();
    let definition = Report::Changed(Changed::Definition(node.digest("Orders")));
    let changed_meanwhile = |peers: &Attentive| (peers.take(), table_changed_of(&definition));
    // In flight when the node hears of it.
    let write = node.begin("PutItem", &put("a", 1)).await;
    let call = node.upstream.next(PutItem).await;
    node.hear(&definition).await;
    let (heard, expected) = changed_meanwhile(&peers);
    assert_eq!(heard, std::slice::from_ref(&expected));
    call.answer("{}");
    node.settle().await;
    assert_eq!(peers.take(), std::slice::from_ref(&expected));
    peers.answer(Acknowledgement::Given);
    assert_eq!(write.await.status, 200);
    // And acknowledged before.
    let (heard, _) = reported(&mut node, &peers, (PutItem, &put("a", 1)), |call| call.answer("{}")).await;
    changed_item(&heard[0]);
    for expected in [vec![expected], Vec::new()] {
        node.hear(&definition).await;
        assert_eq!(peers.take(), expected);
    }
}

/// The report that unnamed items of a table have changed whose definition has.
fn table_changed_of(definition: &Report) -> Report {
    match changed(definition) {
        Changed::Definition(table) => Report::Changed(Changed::Table(*table)),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_described_with_another_key_is_reported_if_it_was_written() {
    let (mut node, peers) = among();
    node.read_from_upstream("a", 1).await;
    for written in [false, true] {
        if written {
            reported(&mut node, &peers, (PutItem, &put("a", 1)), |call| call.answer("{}")).await;
        }
        let sort = if written { "t" } else { "s" };
        node.script.describe("Orders", &[("id", "S", "HASH"), (sort, "S", "RANGE")]);
        node.wait(Duration::from_secs(61)).await;
        // A hit would ask for no description.
        let read = node.begin("GetItem", &get("b")).await;
        // It is sent strongly at first, and then as it came.
        while let Some(call) = node.upstream.try_next(Operation::GetItem) {
            call.refuse("ValidationException");
            node.settle().await;
        }
        assert_eq!(read.await.status, 400);
        let expected: &[_] = if written { &[table_changed(&node)] } else { &[] };
        assert_eq!(peers.take(), expected);
        node.script.describe("Orders", &[("id", "S", "HASH")]);
        node.wait(Duration::from_secs(61)).await;
        node.read_from_upstream("a", 1).await;
        peers.take();
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_task_panics_may_have_happened() {
    let (mut node, peers) = among();
    let (heard, status) = reported_in_passing(&mut node, &peers, (PutItem, &put("a", 1)), Call::panic).await;
    assert_eq!(status, 500);
    let [Report::MayChange(Changed::Item(item), _)] = &heard[..] else { panic!("{heard:?}") };
    let again = reported(&mut node, &peers, (PutItem, &put("a", 1)), |call| call.answer("{}")).await.0;
    assert_eq!(changed_item(&again[0]).item, item.item);
    let unnamed = (PutItem, r#"{"TableName":"Orders","Item":{"n":{"N":"1"}}}"#);
    let (heard, _) = reported_in_passing(&mut node, &peers, unnamed, Call::panic).await;
    let [_, Report::MayChange(Changed::Table(table), _)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(*table, node.digest("Orders"));
}

#[tokio::test(start_paused = true)]
async fn what_another_node_changes_is_invalidated_here() {
    let (mut node, peers) = among();
    let (heard, _) = reported(&mut node, &peers, (PutItem, &put("a", 1)), |call| call.answer("{}")).await;
    let table = node.digest("Orders");
    for changed in [
        Changed::Item(changed_item(&heard[0]).clone()),
        Changed::Table(table),
        Changed::Definition(table),
        Changed::Everything,
    ] {
        let (mut node, _peers) = among();
        node.read_from_upstream("a", 1).await;
        node.read_from_upstream("b", 1).await;
        let described = node.script.described();
        node.hear(&Report::Changed(changed.clone())).await;
        node.read_from_upstream("a", 2).await;
        let is_forgotten = matches!(changed, Changed::Definition(_) | Changed::Everything);
        assert_eq!(node.script.described() > described, is_forgotten, "{changed:?}");
        match changed {
            Changed::Item(_) => assert_eq!(node.call("GetItem", &get("b")).await.source, "hit"),
            _ => node.read_from_upstream("b", 2).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_description_that_is_asked_for_while_another_node_changes_the_table_is_asked_for_again() {
    let (mut node, _peers) = among();
    node.script.describe_by_hand();
    let read = node.begin("GetItem", &get("a")).await;
    let describe = node.upstream.next(Operation::DescribeTable).await;
    let table = node.digest("Orders");
    node.hear(&Report::Changed(Changed::Definition(table))).await;
    describe.answer(BY_COLOUR);
    node.settle().await;
    node.upstream.next(Operation::DescribeTable).await.answer(BY_COLOUR);
    node.settle().await;
    node.upstream.next(Operation::GetItem).await.answer(&item("a", 1));
    assert_eq!(read.await.body, item("a", 1));
}

#[tokio::test(start_paused = true)]
async fn what_another_node_may_change_is_not_kept_and_is_invalidated_when_that_is_over() {
    for definition in [false, true] {
        let (mut node, _peers) = among();
        node.read_from_upstream("a", 1).await;
        let table = node.digest("Orders");
        let changed = if definition { Changed::Definition(table) } else { Changed::Table(table) };
        let left = Duration::from_secs(10);
        node.hear(&Report::MayChange(changed.clone(), left)).await;
        node.hear(&Report::MayChange(changed, left / 2)).await;
        for _ in 0..2 {
            node.read_from_upstream("a", 1).await;
        }
        node.wait(left).await;
        node.read_from_upstream("a", 1).await;
        let described = node.script.described();
        node.wait(Duration::from_millis(1_001)).await;
        node.read_from_upstream("a", 2).await;
        assert_eq!(node.script.described() > described, definition);
        assert_eq!(node.call("GetItem", &get("a")).await.source, "hit", "from now on it is kept");
    }
}
