//! Pages of Query and Scan: never behind a write that was acknowledged before they were asked for. Rows of the catalogue of
//! wrong answers, as far as a client can see them.

use std::time::Duration;

use nearside::cache::PagePolicy;
use nearside::engine::TablePolicy;
use nearside::model::Operation::{self, DeleteItem, GetItem, PutItem, Query, Scan, UpdateItem};

use crate::harness::{Node, Reply, policy};

/// Table `Stock`: key `p` (string), `r` (number); global index `byG` (`g`, then `n`), local index `byN` (`n`).
fn description(index_status: &str) -> String {
    format!(
        r#"{{"Table":{{"TableName":"Stock","TableId":"1","AttributeDefinitions":[{{"AttributeName":"p","AttributeType":"S"}},
        {{"AttributeName":"r","AttributeType":"N"}},{{"AttributeName":"g","AttributeType":"S"}},{{"AttributeName":"n","AttributeType":"N"}}],
        "KeySchema":[{{"AttributeName":"p","KeyType":"HASH"}},{{"AttributeName":"r","KeyType":"RANGE"}}],
        "GlobalSecondaryIndexes":[{{"IndexName":"byG","IndexStatus":"{index_status}","Projection":{{"ProjectionType":"ALL"}},
            "KeySchema":[{{"AttributeName":"g","KeyType":"HASH"}},{{"AttributeName":"n","KeyType":"RANGE"}}]}}],
        "LocalSecondaryIndexes":[{{"IndexName":"byN","Projection":{{"ProjectionType":"ALL"}},
            "KeySchema":[{{"AttributeName":"p","KeyType":"HASH"}},{{"AttributeName":"n","KeyType":"RANGE"}}]}}]}}}}"#
    )
}

/// A node that has known the table `Stock` for so long that nothing counts as lately changed.
async fn start() -> Node {
    start_with(policy).await
}

async fn start_with(policy: fn() -> TablePolicy) -> Node {
    let node = Node::start_with(policy).await;
    node.script.describe_as("Stock", description("ACTIVE"));
    node.wait(Duration::from_secs(100)).await;
    node
}

fn query(p: &str) -> String {
    format!(
        r#"{{"TableName":"Stock","KeyConditionExpression":"p = :p","ExpressionAttributeValues":{{":p":{{"S":"{p}"}}}}}}"#
    )
}

fn query_index(g: &str) -> String {
    format!(
        r#"{{"TableName":"Stock","IndexName":"byG","KeyConditionExpression":"g = :g","ExpressionAttributeValues":{{":g":{{"S":"{g}"}}}}}}"#
    )
}

const SCAN: &str = r#"{"TableName":"Stock"}"#;

/// A page of one item of the partitions `a`, which tells its version.
fn page(version: u32) -> String {
    page_in("a", version)
}

/// The same of other partitions of the table and its indexes.
fn page_in(partition: &str, version: u32) -> String {
    format!(
        r#"{{"Count":1,"Items":[{{"p":{{"S":"{partition}"}},"r":{{"N":"3"}},"g":{{"S":"{partition}"}},"n":{{"N":"3"}},"v":{{"N":"{version}"}}}}],"ScannedCount":1}}"#
    )
}

/// The partition that a Query asks for; `a` for a Scan.
fn partition_in(body: &str) -> &str {
    let value = [r#"":p":{"S":""#, r#"":g":{"S":""#].iter().find_map(|name| body.split_once(name));
    value.map_or("a", |(_, value)| value.split('"').next().unwrap())
}

fn put(p: &str, r: u32, more: &str) -> String {
    format!(r#"{{"TableName":"Stock","Item":{{"p":{{"S":"{p}"}},"r":{{"N":"{r}"}}{more}}}}}"#)
}

trait Pages {
    async fn fetch(&mut self, body: &str, version: u32) -> String;
    async fn expect_hit(&self, body: &str, version: u32);
    async fn write(&mut self, operation: Operation, body: &str, answer: &str) -> Reply;
}

fn operation_of(body: &str) -> Operation {
    if body.contains("KeyCondition") { Query } else { Scan }
}

impl Pages for Node {
    /// Reads a page that must come from the upstream; returns the request that was sent.
    async fn fetch(&mut self, body: &str, version: u32) -> String {
        let operation = operation_of(body);
        let read = self.begin(operation.name(), body).await;
        let call = self.upstream.next(operation).await;
        let sent = call.body();
        let page = page_in(partition_in(body), version);
        call.answer(&page);
        let read = read.await;
        assert_eq!((read.source.as_str(), read.body), ("miss", page), "{body}");
        sent
    }

    async fn expect_hit(&self, body: &str, version: u32) {
        let read = self.call(operation_of(body).name(), body).await;
        let page = page_in(partition_in(body), version);
        assert_eq!((read.source.as_str(), read.body), ("hit", page), "{body}");
    }

    async fn write(&mut self, operation: Operation, body: &str, answer: &str) -> Reply {
        let write = self.begin(operation.name(), body).await;
        self.upstream.next(operation).await.answer(answer);
        write.await
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_is_fetched_once_and_tells_its_age() {
    let mut node = start().await;
    node.fetch(&query("a"), 1).await;
    node.wait(Duration::from_secs(7)).await;
    let read = node.call("Query", &query("a")).await;
    assert_eq!((read.source.as_str(), read.age.as_deref(), read.body), ("hit", Some("7"), page(1)));
    node.wait(Duration::from_secs(300)).await;
    node.fetch(&query("a"), 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_write_invalidates_the_pages_of_its_partition_and_of_no_other() {
    let mut node = start().await;
    let by_index = query("a").replace("\"Stock\"", "\"Stock\",\"IndexName\":\"byN\"");
    for body in [&query("a"), &by_index, &query("b")] {
        node.fetch(body, 1).await;
    }
    node.write(PutItem, &put("a", 9, ""), "{}").await;
    node.fetch(&query("a"), 2).await;
    node.fetch(&by_index, 2).await;
    node.expect_hit(&query("b"), 1).await;
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_write_invalidates_whatever_comes_of_it() {
    let key = r#""Key":{"p":{"S":"a"},"r":{"N":"1"}}"#;
    let writes = [
        ("DeleteItem", format!(r#"{{"TableName":"Stock",{key}}}"#)),
        (
            "UpdateItem",
            format!(r#"{{"TableName":"Stock",{key},"UpdateExpression":"REMOVE x","ReturnValues":"NONE"}}"#),
        ),
        ("BatchWriteItem", format!(r#"{{"RequestItems":{{"Stock":[{{"DeleteRequest":{{{key}}}}}]}}}}"#)),
        (
            "TransactWriteItems",
            format!(r#"{{"TransactItems":[{{"Delete":{{"TableName":"Stock",{key}}}}}]}}"#),
        ),
        ("ExecuteStatement", r#"{"Statement":"DELETE FROM Stock WHERE p='a' AND r=1"}"#.to_owned()),
        ("UpdateTable", r#"{"TableName":"Stock"}"#.to_owned()),
    ];
    for (name, body) in writes {
        for outcome in ["success", "refusal", "failure", "lost"] {
            let mut node = start().await;
            for page in [&query("a"), &query_index("x"), SCAN, SCAN] {
                node.fetch(page, 1).await;
            }
            let operation = Operation::from_target(&format!("DynamoDB_20120810.{name}")).unwrap();
            let write = node.begin(name, &body).await;
            let call = node.upstream.next(operation).await;
            match outcome {
                "success" => {
                    call.answer(r#"{"Attributes":{"p":{"S":"a"},"r":{"N":"1"},"g":{"S":"x"},"n":{"N":"1"}}}"#)
                }
                "refusal" => call.refuse("ConditionalCheckFailedException"),
                "failure" => call.fail(500),
                _ => call.lose(),
            }
            write.await;
            for page in [&query("a"), &query_index("x"), SCAN] {
                node.fetch(page, 2).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_of_unknown_outcome_invalidates_once_more_when_it_can_land_no_longer() {
    let mut node = start().await;
    let write = node.begin("PutItem", &put("a", 1, "")).await;
    node.upstream.next(PutItem).await.lose();
    write.await;
    node.fetch(&query("a"), 1).await;
    node.expect_hit(&query("a"), 1).await;
    node.wait(Duration::from_secs(31)).await;
    node.fetch(&query("a"), 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_fill_that_straddles_a_write_is_answered_and_not_kept() {
    let mut node = start().await;
    let read = node.begin("Query", &query("a")).await;
    let fill = node.upstream.next(Query).await;
    node.write(PutItem, &put("a", 1, ""), "{}").await;
    let later = node.begin("Query", &query("a")).await;
    let later_fill = node.upstream.next(Query).await;
    fill.answer(&page(1));
    assert_eq!(read.await.body, page(1), "it was asked for before the write was acknowledged");
    later_fill.answer(&page(2));
    assert_eq!(later.await.body, page(2), "who asks after the write does not join");
    node.expect_hit(&query("a"), 2).await;
}

#[tokio::test(start_paused = true)]
async fn what_was_lately_written_is_read_strongly_and_global_indexes_never_are() {
    let mut node = start().await;
    assert_eq!(node.fetch(&query("a"), 1).await, query("a"), "word for word");
    node.write(PutItem, &put("a", 1, r#","g":{"S":"x"}"#), "{}").await;
    assert!(node.fetch(&query("a"), 2).await.contains(r#""ConsistentRead":true"#));
    assert!(node.fetch(SCAN, 2).await.contains(r#""ConsistentRead":true"#));
    assert_eq!(node.fetch(&query("b"), 2).await, query("b"));
    assert_eq!(node.fetch(&query_index("x"), 2).await, query_index("x"));
    node.wait(Duration::from_secs(70)).await;
    node.write(PutItem, &put("c", 1, ""), "{}").await;
    node.wait(Duration::from_secs(300)).await;
    assert_eq!(node.fetch(&query("a"), 3).await, query("a"));
}

#[tokio::test(start_paused = true)]
async fn a_put_that_moves_an_item_in_an_index_invalidates_where_it_was_and_where_it_is() {
    let mut node = start().await;
    for g in ["x", "y", "z"] {
        node.fetch(&query_index(g), 1).await;
    }
    let old = r#"{"Attributes":{"p":{"S":"a"},"r":{"N":"1"},"g":{"S":"x"},"n":{"N":"1"}}}"#;
    let write = node.begin("PutItem", &put("a", 1, r#","g":{"S":"y"},"n":{"N":"1"}"#)).await;
    let call = node.upstream.next(PutItem).await;
    assert!(call.body().contains(r#""ReturnValues":"ALL_OLD""#), "{}", call.body());
    call.answer(old);
    assert_eq!(write.await.body, "{}", "the client did not ask for the old item");
    node.expect_hit(&query_index("z"), 1).await;
    node.fetch(&query_index("x"), 2).await;
    node.fetch(&query_index("y"), 2).await;
}

#[tokio::test(start_paused = true)]
async fn an_item_that_leaves_a_sparse_index_or_was_never_in_it_invalidates_no_more_than_that() {
    let mut node = start().await;
    for g in ["x", "y"] {
        node.fetch(&query_index(g), 1).await;
    }
    let old = r#"{"Attributes":{"p":{"S":"a"},"r":{"N":"1"},"g":{"S":"x"}}}"#;
    node.write(PutItem, &put("a", 1, ""), old).await;
    node.expect_hit(&query_index("x"), 1).await;
    let old = r#"{"Attributes":{"p":{"S":"a"},"r":{"N":"1"},"g":{"S":"x"},"n":{"N":"1"}}}"#;
    node.write(DeleteItem, r#"{"TableName":"Stock","Key":{"p":{"S":"a"},"r":{"N":"1"}}}"#, old).await;
    node.expect_hit(&query_index("y"), 1).await;
    node.fetch(&query_index("x"), 2).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_in_the_clients_place_where_that_is_not_wanted() {
    let quiet = || TablePolicy { asks_images: false, ..policy() };
    let mut node = start_with(quiet).await;
    node.fetch(&query_index("x"), 1).await;
    let body = put("a", 1, r#","g":{"S":"y"}"#);
    let update = r#"{"TableName":"Stock","Key":{"p":{"S":"a"},"r":{"N":"1"}},"UpdateExpression":"REMOVE x"}"#;
    for (operation, body) in [(PutItem, body.as_str()), (UpdateItem, update)] {
        let write = node.begin(operation.name(), body).await;
        let call = node.upstream.next(operation).await;
        assert_eq!(call.body(), body);
        call.answer("{}");
        write.await;
        node.fetch(&query_index("x"), 2).await;
    }
    // Nor where nobody reads the indexes.
    let mut node = start().await;
    let write = node.begin("PutItem", &body).await;
    let call = node.upstream.next(PutItem).await;
    assert_eq!(call.body(), body);
    call.answer("{}");
    write.await;
}

#[tokio::test(start_paused = true)]
async fn an_index_page_is_kept_only_when_it_was_sent_for_long_enough_after_a_write() {
    let mut node = start().await;
    node.fetch(&query_index("x"), 1).await;
    let write = put("a", 1, r#","g":{"S":"x"},"n":{"N":"1"}"#);
    node.write(PutItem, &write, "{}").await;
    for _ in 0..2 {
        node.fetch(&query_index("x"), 1).await;
    }
    node.wait(Duration::from_millis(5_010)).await;
    node.fetch(&query_index("x"), 2).await;
    node.expect_hit(&query_index("x"), 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_page_of_a_scan_is_kept_when_it_is_asked_for_again() {
    let mut node = start().await;
    let segment = r#"{"TableName":"Stock","Segment":0,"TotalSegments":2}"#;
    for body in [SCAN, segment] {
        node.fetch(body, 1).await;
        node.fetch(body, 1).await;
        node.expect_hit(body, 1).await;
    }
    node.write(PutItem, &put("z", 1, ""), "{}").await;
    node.fetch(SCAN, 2).await;
    node.fetch(segment, 2).await;
}

#[tokio::test(start_paused = true)]
async fn what_differs_in_one_member_is_another_page_and_spellings_are_not() {
    let mut node = start().await;
    let plain = r#"{"TableName":"Stock","KeyConditionExpression":"p = :p AND r > :r","ExpressionAttributeValues":{":p":{"S":"a"},":r":{"N":"1"}}"#;
    let members = [
        "",
        r#","Limit":2"#,
        r#","ScanIndexForward":false"#,
        r#","Select":"COUNT""#,
        r#","ProjectionExpression":"x""#,
        r#","FilterExpression":"x = :p""#,
        r#","ExclusiveStartKey":{"p":{"S":"a"},"r":{"N":"2"}}"#,
    ];
    for (version, member) in (1..).zip(members) {
        node.fetch(&format!("{plain}{member}}}"), version).await;
    }
    for (version, member) in (1..).zip(members) {
        node.expect_hit(&format!("{plain}{member}}}"), version).await;
    }
    for (version, body) in [
        (1, plain.replace(r#""N":"1""#, r#""N":"1.0e0""#) + "}"),
        (1, plain.replace("p = :p AND r > :r", "#r > :r and :p = p") + r##","ExpressionAttributeNames":{"#r":"r"}}"##),
        (1, format!(r#"{plain},"ConsistentRead":false,"Select":"ALL_ATTRIBUTES"}}"#)),
        (1, r#"{"TableName":"arn:aws:dynamodb:us-east-1:000000000000:table/Stock","KeyConditions":{"p":{"ComparisonOperator":"EQ","AttributeValueList":[{"S":"a"}]},"r":{"ComparisonOperator":"GT","AttributeValueList":[{"N":"1"}]}}}"#.to_owned()),
        (7, format!(r#"{plain},"ExclusiveStartKey":{{"r":{{"N":"2.00"}},"p":{{"S":"a"}}}}}}"#)),
    ] {
        // The ARN is a spelling of the table that has to be learned first.
        if body.contains("arn:") {
            let read = node.begin("Query", &body).await.await;
            assert_eq!((read.source.as_str(), read.body), ("hit", page(version)));
        } else {
            node.expect_hit(&body, version).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_with_a_last_key_is_kept_as_it_is() {
    let mut node = start().await;
    let empty =
        r#"{"Count":0,"Items":[],"LastEvaluatedKey":{"p":{"S":"a"},"r":{"N":"7"}},"ScannedCount":100}"#;
    let read = node.begin("Query", &query("a")).await;
    node.upstream.next(Query).await.answer(empty);
    assert_eq!(read.await.body, empty);
    assert_eq!(node.call("Query", &query("a")).await.body, empty);
}

#[tokio::test(start_paused = true)]
async fn a_hit_costs_nothing_and_says_so_to_those_who_ask() {
    let mut node = start().await;
    let asks = |body: &str, kind: &str| {
        body.replace("\"TableName\"", &format!("\"ReturnConsumedCapacity\":\"{kind}\",\"TableName\""))
    };
    let costly = r#"{"ConsumedCapacity":{"CapacityUnits":0.5,"TableName":"Stock"},"Count":0,"Items":[],"ScannedCount":0}"#;
    let read = node.begin("Query", &asks(&query("a"), "TOTAL")).await;
    let call = node.upstream.next(Query).await;
    assert_eq!(call.body(), asks(&query("a"), "TOTAL"));
    call.answer(costly);
    assert_eq!(read.await.body, costly);
    assert_eq!(node.call("Query", &query("a")).await.body, r#"{"Count":0,"Items":[],"ScannedCount":0}"#);
    assert_eq!(node.call("Query", &asks(&query("a"), "TOTAL")).await.body, costly.replace("0.5", "0.0"));
    node.fetch(&query_index("x"), 1).await;
    let read = node.call("Query", &asks(&query_index("x"), "INDEXES")).await;
    assert_eq!(
        read.body,
        format!(
            r#"{{"ConsumedCapacity":{{"CapacityUnits":0.0,"Table":{{"CapacityUnits":0.0}},"GlobalSecondaryIndexes":{{"byG":{{"CapacityUnits":0.0}}}},"TableName":"Stock"}},{}"#,
            &page_in("x", 1)[1..]
        )
    );
}

#[tokio::test(start_paused = true)]
async fn pages_say_nothing_to_reads_by_key() {
    let mut node = start().await;
    let read = node.begin("Query", &query("a")).await;
    node.upstream
        .next(Query)
        .await
        .answer(r#"{"Count":1,"Items":[{"p":{"S":"a"},"r":{"N":"1"}}],"ScannedCount":1}"#);
    read.await;
    let read = node.begin("GetItem", r#"{"TableName":"Stock","Key":{"p":{"S":"a"},"r":{"N":"1"}}}"#).await;
    node.upstream.next(GetItem).await.answer("{}");
    assert_eq!(read.await.source, "miss");
}

#[tokio::test(start_paused = true)]
async fn whole_items_of_a_page_answer_reads_by_key_where_that_is_wanted() {
    let fill_items = || {
        let policy = policy();
        let pages = policy.pages.map(|pages| PagePolicy { fill_items: true, ..pages });
        TablePolicy { pages, ..policy }
    };
    let get = r#"{"TableName":"Stock","Key":{"p":{"S":"a"},"r":{"N":"1"}}}"#;
    let answer = r#"{"Count":1,"Items":[{"x":{"S":"y"},"r":{"N":"1"},"p":{"S":"a"}}],"ScannedCount":1}"#;
    let projected = query("a").replace("\"TableName\"", "\"ProjectionExpression\":\"x\",\"TableName\"");
    for (body, source) in [(query("a"), "hit"), (query_index("x"), "miss"), (projected, "miss")] {
        let mut node = start_with(fill_items).await;
        let read = node.begin("Query", &body).await;
        node.upstream.next(Query).await.answer(answer);
        read.await;
        let item = r#"{"Item":{"p":{"S":"a"},"r":{"N":"1"},"x":{"S":"y"}}}"#;
        let read = node.begin("GetItem", get).await;
        if source == "miss" {
            node.upstream.next(GetItem).await.answer(item);
        }
        let read = read.await;
        assert_eq!((read.source.as_str(), read.body.as_str()), (source, item), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_consistent_query_passes_and_invalidates_what_it_contradicts() {
    let mut node = start().await;
    node.fetch(&query("a"), 1).await;
    let strong = query("a").replace("\"TableName\"", "\"ConsistentRead\":true,\"TableName\"");
    for (version, expected) in [(1, "hit"), (2, "miss")] {
        let read = node.begin("Query", &strong).await;
        let call = node.upstream.next(Query).await;
        assert_eq!(call.body(), strong);
        // The same page in another form is no contradiction.
        let same = page(version).replace(r#""Count":1,"#, "").replace("Count\":1}", "Count\":1,\"Count\":1}");
        call.answer(&same);
        assert_eq!(read.await.source, "bypass");
        match expected {
            "hit" => node.expect_hit(&query("a"), 1).await,
            _ => {
                node.fetch(&query("a"), 2).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_ask_for_a_page_that_is_on_its_way_wait_for_it() {
    let mut node = start().await;
    let first = node.begin("Query", &query("a")).await;
    let fill = node.upstream.next(Query).await;
    let mut waiting = Vec::new();
    for _ in 0..9_999 {
        waiting.push(node.spawn("Query", &query("a")));
    }
    node.settle().await;
    first.leave().await;
    fill.answer(&page(1));
    for read in waiting {
        let read = read.await;
        assert_eq!((read.source.as_str(), read.body), ("joined", page(1)));
    }
    node.upstream.assert_none();
}

#[tokio::test(start_paused = true)]
async fn an_error_is_answered_to_all_who_wait_and_not_kept() {
    let mut node = start().await;
    let first = node.begin("Query", &query("a")).await;
    let second = node.begin("Query", &query("a")).await;
    node.upstream.next(Query).await.refuse("ProvisionedThroughputExceededException");
    assert_eq!((first.await.status, second.await.status), (400, 400));
    let read = node.begin("Query", &query("a")).await;
    node.upstream.next(Query).await.fail(500);
    assert_eq!(read.await.status, 500);
    node.fetch(&query("a"), 1).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_upstream_would_refuse_it_is_given_to_refuse() {
    let mut node = start().await;
    for body in [
        query("a").replace("p = :p", "q = :p"),
        query("a").replace("p = :p", "p > :p"),
        query("a").replace("\"TableName\"", "\"Surprise\":1,\"TableName\""),
        query("a").replace("\"TableName\"", "\"KeyConditions\":{},\"TableName\""),
        query("a").replace("\"TableName\"", r##""ExpressionAttributeNames":{"#u":"u"},"TableName""##),
        query("a")
            .replace("\"TableName\"", r#""ExclusiveStartKey":{"p":{"S":"b"},"r":{"N":"1"}},"TableName""#),
        query_index("x").replace("\"TableName\"", "\"ConsistentRead\":true,\"TableName\""),
        query_index("x").replace("byG", "byH"),
    ] {
        for _ in 0..2 {
            let read = node.begin("Query", &body).await;
            let call = node.upstream.next(Query).await;
            assert_eq!(call.body(), body, "word for word");
            call.refuse("ValidationException");
            let read = read.await;
            assert_eq!((read.status, read.source.as_str()), (400, "bypass"), "{body}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_index_that_is_being_made_is_not_cached_until_it_is_ready() {
    let mut node = start().await;
    node.script.describe_as("Stock", description("CREATING"));
    for _ in 0..2 {
        let read = node.begin("Query", &query_index("x")).await;
        node.upstream.next(Query).await.answer(&page(1));
        assert_eq!(read.await.source, "bypass");
    }
    node.script.describe_as("Stock", description("ACTIVE"));
    node.wait(Duration::from_secs(6)).await;
    node.fetch(&query_index("x"), 2).await;
    node.expect_hit(&query_index("x"), 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_table_or_an_index_whose_pages_are_off_is_passed_through() {
    let off = || {
        let indexes = [("byG".to_owned(), None)].into();
        TablePolicy { indexes, ..policy() }
    };
    let mut node = start_with(off).await;
    node.fetch(&query("a"), 1).await;
    node.expect_hit(&query("a"), 1).await;
    for _ in 0..2 {
        let read = node.begin("Query", &query_index("x")).await;
        node.upstream.next(Query).await.answer(&page(1));
        assert_eq!(read.await.source, "bypass");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_of_a_table_that_is_gone_is_gone() {
    let mut node = start().await;
    node.fetch(&query("a"), 1).await;
    let read = node.begin("Query", &query("b")).await;
    node.upstream.next(Query).await.refuse("ResourceNotFoundException");
    assert_eq!(read.await.status, 400);
    node.fetch(&query("a"), 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_means_anew_what_its_table_makes_of_it() {
    let mut node = start().await;
    node.fetch(&query("a"), 1).await;
    for _ in 0..3 {
        node.expect_hit(&query("a"), 1).await;
    }
    let gone = node.begin("DeleteTable", r#"{"TableName":"Stock"}"#).await;
    let call = node.upstream.next(Operation::DeleteTable).await;
    node.script.describe("Stock", &[("p", "N", "HASH")]);
    call.answer("{}");
    gone.await;
    let read = node.begin("Query", &query("a")).await;
    // Once strongly, since the table was just changed, and once as the client has it.
    for _ in 0..2 {
        node.upstream.next(Query).await.refuse("ValidationException");
        node.settle().await;
    }
    assert_eq!(read.await.source, "bypass", "the key is a number now");
}
