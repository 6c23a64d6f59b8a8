//! The requests of the load, whole and ready to send: DynamoDB's as an SDK sends them, and Redis's.

use std::net::SocketAddr;

use crate::connection::{Connection, Protocol};

/// A request as an SDK sends it, headers and all.
pub(crate) fn request(operation: &str, body: &str) -> Vec<u8> {
    [&*head(operation, body.len()), body.as_bytes()].concat()
}

/// The head of a request with a body of that length.
pub(crate) fn head(operation: &str, body_bytes: usize) -> Vec<u8> {
    format!(
        "POST / HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nAccept-Encoding: identity\r\n\
         X-Amz-Target: DynamoDB_20120810.{operation}\r\nContent-Type: application/x-amz-json-1.0\r\n\
         User-Agent: Boto3/1.44.5 md/Botocore#1.44.5 ua/2.1 os/linux#6.1 md/arch#x86_64 lang/python#3.11.7\r\n\
         X-Amz-Date: 20261121T040000Z\r\nAuthorization: AWS4-HMAC-SHA256 Credential=local/20261121/us-east-1/dynamodb/aws4_request, \
         SignedHeaders=content-type;host;x-amz-date;x-amz-target, \
         Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n\
         amz-sdk-invocation-id: 01234567-89ab-cdef-0123-456789abcdef\r\namz-sdk-request: attempt=1\r\n\
         Content-Length: {body_bytes}\r\n\r\n"
    )
    .into_bytes()
}

fn key(number: usize) -> String {
    format!("customer#{number:011}")
}

/// The number of the first key in a request; 0 without one. An item of another key than the one asked for is not kept.
pub(crate) fn number_in(request: &str) -> usize {
    let digits = request.split("customer#").nth(1).map(|rest| &rest[..rest.len().min(11)]);
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// An item of 300 bytes in DynamoDB's count.
pub(crate) fn item(number: usize) -> String {
    let filler = "x".repeat(300 - 20 - 2 - 4 - 8 - 6 - 5 - 4);
    format!(
        r#"{{"id":{{"S":"{}"}},"name":{{"S":"Name {:03}"}},"amount":{{"N":"{}.5"}},"text":{{"S":"{filler}"}}}}"#,
        key(number),
        number % 1000,
        number % 1000
    )
}

pub(crate) fn get_item(table: &str, number: usize, strong: bool) -> Vec<u8> {
    let consistent = if strong { r#","ConsistentRead":true"# } else { "" };
    request(
        "GetItem",
        &format!(r#"{{"TableName":"{table}","Key":{{"id":{{"S":"{}"}}}}{consistent}}}"#, key(number)),
    )
}

pub(crate) fn put_item(table: &str, number: usize) -> Vec<u8> {
    request("PutItem", &format!(r#"{{"TableName":"{table}","Item":{}}}"#, item(number)))
}

/// The number of the item that [`put_large`] puts.
pub(crate) const LARGE: usize = 99_999_999_999;

/// Puts a large item.
pub(crate) fn put_large(table: &str, text_bytes: usize) -> Vec<u8> {
    let text = "x".repeat(text_bytes);
    let item = format!(r#"{{"id":{{"S":"{}"}},"text":{{"S":"{text}"}}}}"#, key(LARGE));
    request("PutItem", &format!(r#"{{"TableName":"{table}","Item":{item}}}"#))
}

/// Makes a table whose key is `id`, if there is none.
pub(crate) async fn create_table(address: SocketAddr, table: &str) {
    let attributes = r#"{"AttributeName":"id","AttributeType":"S"}"#;
    create(address, table, attributes, r#"{"AttributeName":"id","KeyType":"HASH"}"#).await;
}

/// Makes a table whose items lie in partitions by `id`, ordered by the number `sk`, if there is none.
pub(crate) async fn create_ranges(address: SocketAddr, table: &str) {
    let attributes =
        r#"{"AttributeName":"id","AttributeType":"S"},{"AttributeName":"sk","AttributeType":"N"}"#;
    let keys = r#"{"AttributeName":"id","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}"#;
    create(address, table, attributes, keys).await;
}

/// Some databases take a while before they accept writes to a new table.
async fn create(address: SocketAddr, table: &str, attributes: &str, keys: &str) {
    let mut connection = Connection::open(address, Protocol::Http).await;
    let body = format!(
        r#"{{"TableName":"{table}","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{attributes}],"KeySchema":[{keys}]}}"#
    );
    let status = connection.ask(&request("CreateTable", &body)).await;
    let exists = memchr::memmem::find(connection.answer(), b"ResourceInUseException").is_some();
    assert!(status == Some(200) || exists, "{}", String::from_utf8_lossy(connection.answer()));
    let describe = request("DescribeTable", &format!(r#"{{"TableName":"{table}"}}"#));
    for _ in 0..500 {
        connection.exchange(&describe).await;
        if memchr::memmem::find(connection.answer(), br#""TableStatus":"ACTIVE""#).is_some() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{table} does not become active");
}

/// Makes a table and writes that many items in batches, which the cache does not keep.
pub(crate) async fn fill(address: SocketAddr, table: &str, items: usize) {
    create_table(address, table).await;
    let mut connection = Connection::open(address, Protocol::Http).await;
    for start in (0..items).step_by(25) {
        let puts: Vec<_> = (start..items.min(start + 25))
            .map(|n| format!(r#"{{"PutRequest":{{"Item":{}}}}}"#, item(n)))
            .collect();
        let body = format!(r#"{{"RequestItems":{{"{table}":[{}]}}}}"#, puts.join(","));
        connection.exchange(&request("BatchWriteItem", &body)).await;
    }
}

/// What a query has more of, when it is not the plainest.
pub(crate) const FILTERED: &str = r##","FilterExpression":"#a > :least","ProjectionExpression":"id, #a, sk, #t","ScanIndexForward":false,"Limit":25"##;

/// The query of one partition's ten items, as an SDK writes it, with more members.
pub(crate) fn query(table: &str, partition: usize, more: &str) -> Vec<u8> {
    let (names, least) = match more {
        FILTERED => (r##","#a":"amount","#t":"text""##, r#",":least":{"N":"-1"}"#),
        _ => ("", ""),
    };
    request(
        "Query",
        &format!(
            r##"{{"TableName":"{table}","KeyConditionExpression":"#id = :id","ExpressionAttributeNames":{{"#id":"id"{names}}},"ExpressionAttributeValues":{{":id":{{"S":"{}"}}{least}}}{more}}}"##,
            key(partition)
        ),
    )
}

/// Puts one of the ten items of a partition.
pub(crate) fn put_in_partition(table: &str, partition: usize, number: usize) -> Vec<u8> {
    let item = item(partition).replacen('{', &format!(r#"{{"sk":{{"N":"{number}"}},"#), 1);
    request("PutItem", &format!(r#"{{"TableName":"{table}","Item":{item}}}"#))
}

/// Makes a table with a sort key and that many partitions of ten items.
pub(crate) async fn fill_partitions(address: SocketAddr, table: &str, partitions: usize) {
    create_ranges(address, table).await;
    let puts = (0..partitions * 10).map(|number| put_in_partition(table, number / 10, number % 10));
    send_all(address, puts).await;
}

/// Sends requests one after the other, on one connection.
pub(crate) async fn send_all(address: SocketAddr, requests: impl Iterator<Item = Vec<u8>>) {
    let mut connection = Connection::open(address, Protocol::Http).await;
    for request in requests {
        connection.exchange(&request).await;
    }
}

/// Reads every item once, in batches, so that all are cached.
pub(crate) async fn get_all(address: SocketAddr, table: &str, items: usize) {
    let mut connection = Connection::open(address, Protocol::Http).await;
    for start in (0..items).step_by(100) {
        connection.exchange(&batch_get(table, start..items.min(start + 100))).await;
    }
}

/// Gets the items of these numbers in one request.
pub(crate) fn batch_get(table: &str, numbers: impl Iterator<Item = usize>) -> Vec<u8> {
    let keys: Vec<_> = numbers.map(|n| format!(r#"{{"id":{{"S":"{}"}}}}"#, key(n))).collect();
    request("BatchGetItem", &format!(r#"{{"RequestItems":{{"{table}":{{"Keys":[{}]}}}}}}"#, keys.join(",")))
}

/// The command with which Redis stores the bytes that [`get_item`] is answered with.
pub(crate) fn redis_set(number: usize) -> Vec<u8> {
    let (key, value) = (key(number), format!(r#"{{"Item":{}}}"#, item(number)));
    format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n", key.len(), value.len()).into_bytes()
}

pub(crate) fn redis_get(number: usize) -> Vec<u8> {
    let key = key(number);
    format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len()).into_bytes()
}

/// The bytes of the keys and of the items' JSON, which is what the cache must hold at least.
pub(crate) fn payload_bytes(items: usize) -> usize {
    items * (key(0).len() + item(0).len())
}

/// Scans the whole table again and again.
pub(crate) async fn scan_for_ever(address: SocketAddr, table: &'static str) {
    let mut connection = Connection::open(address, Protocol::Http).await;
    let mut start = String::new();
    loop {
        connection.exchange(&request("Scan", &format!(r#"{{"TableName":"{table}"{start}}}"#))).await;
        let answer = String::from_utf8_lossy(connection.answer());
        start = match answer.split(r#""LastEvaluatedKey":"#).nth(1) {
            Some(rest) => {
                let end = rest.find("}}").expect("a key ends") + 2;
                format!(r#","ExclusiveStartKey":{}"#, &rest[..end])
            }
            None => String::new(),
        };
    }
}
