//! The load: keep-alive connections that send prepared requests and time the answers.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::Server;

/// Makes the request of that number.
pub(crate) type Numbered = Rc<dyn Fn(usize) -> Vec<u8>>;

/// A load of some length.
pub(crate) struct Load {
    pub(crate) connections: usize,
    pub(crate) duration: Duration,
}

/// What one round gave.
pub(crate) struct Measured {
    pub(crate) requests_per_second: f64,
    pub(crate) cpu_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

impl Load {
    /// Sends request after request on every connection for the load's duration.
    pub(crate) async fn run(&self, server: &Server, request: &Numbered) -> Measured {
        let local = tokio::task::LocalSet::new();
        let cpu_before = server.cpu_us();
        let started = Instant::now();
        let mut latencies: Vec<u32> = local
            .run_until(async {
                let connections: Vec<_> = (0..self.connections)
                    .map(|index| {
                        let (request, duration, address) =
                            (Rc::clone(request), self.duration, server.address);
                        tokio::task::spawn_local(async move {
                            let mut connection = Connection::open(address).await;
                            let mut latencies = Vec::new();
                            // Prime strides keep the connections on different items.
                            let mut number = index * 7919;
                            while started.elapsed() < duration {
                                let bytes = request(number);
                                let sent = Instant::now();
                                connection.exchange(&bytes).await;
                                latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
                                number += 1;
                            }
                            latencies
                        })
                    })
                    .collect();
                let mut all = Vec::new();
                for connection in connections {
                    all.extend(connection.await.expect("a connection runs to its end"));
                }
                all
            })
            .await;
        let elapsed = started.elapsed().as_secs_f64();
        let cpu = server.cpu_us() - cpu_before;
        latencies.sort_unstable();
        let count = latencies.len();
        Measured {
            requests_per_second: count as f64 / elapsed,
            cpu_us: cpu / count as f64,
            p50_us: f64::from(latencies[count / 2]),
            p99_us: f64::from(latencies[count * 99 / 100]),
        }
    }
}

/// One keep-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.expect("the server accepts"))
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a fresh socket takes options");
        Self { stream, buffer: Vec::new() }
    }

    /// Sends a request and waits for its whole answer, which is left in the buffer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) {
        let status = self.ask(request).await;
        assert_eq!(status, Some(200), "{}", String::from_utf8_lossy(&self.buffer));
    }

    /// As [`Connection::exchange`]; the answer's status, or `None` when the connection broke.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Option<u16> {
        self.stream.write_all(request).await.ok()?;
        self.buffer.clear();
        let mut whole = None;
        while whole.is_none_or(|whole| self.buffer.len() < whole) {
            self.stream.read_buf(&mut self.buffer).await.ok().filter(|read| *read > 0)?;
            whole = whole.or_else(|| message_bytes(&self.buffer));
        }
        std::str::from_utf8(self.buffer.get(9..12)?).ok()?.parse().ok()
    }
}

/// The length of the message at the start of the buffer, once its head is whole.
pub(crate) fn message_bytes(buffer: &[u8]) -> Option<usize> {
    let end = buffer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&buffer[..end]).expect("a head is text").to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1)?.split("\r\n").next()?;
    Some(end + 4 + length.parse::<usize>().expect("a length is a number"))
}

/// One exchange on a connection of its own; the whole answer.
pub(crate) async fn exchange(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut connection = Connection::open(address).await;
    connection.exchange(request).await;
    connection.buffer
}

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

pub(crate) async fn create_table(address: SocketAddr, table: &str) {
    let body = format!(
        r#"{{"TableName":"{table}","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{{"AttributeName":"id","AttributeType":"S"}}],"KeySchema":[{{"AttributeName":"id","KeyType":"HASH"}}]}}"#
    );
    exchange(address, &request("CreateTable", &body)).await;
}

/// Makes a table and writes that many items in batches, which the cache does not keep.
pub(crate) async fn fill(address: SocketAddr, table: &str, items: usize) {
    create_table(address, table).await;
    let mut connection = Connection::open(address).await;
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
        "" => ("", ""),
        _ => (r##","#a":"amount","#t":"text""##, r#",":least":{"N":"-1"}"#),
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
    let body = format!(
        r#"{{"TableName":"{table}","BillingMode":"PAY_PER_REQUEST",
        "AttributeDefinitions":[{{"AttributeName":"id","AttributeType":"S"}},{{"AttributeName":"sk","AttributeType":"N"}}],
        "KeySchema":[{{"AttributeName":"id","KeyType":"HASH"}},{{"AttributeName":"sk","KeyType":"RANGE"}}]}}"#
    );
    exchange(address, &request("CreateTable", &body)).await;
    let puts = (0..partitions * 10).map(|number| put_in_partition(table, number / 10, number % 10));
    send_all(address, puts).await;
}

/// Sends requests one after the other, on one connection.
pub(crate) async fn send_all(address: SocketAddr, requests: impl Iterator<Item = Vec<u8>>) {
    let mut connection = Connection::open(address).await;
    for request in requests {
        connection.exchange(&request).await;
    }
}

/// Reads every item once, in batches, so that all are cached.
pub(crate) async fn get_all(address: SocketAddr, table: &str, items: usize) {
    let mut connection = Connection::open(address).await;
    for start in (0..items).step_by(100) {
        let keys: Vec<_> =
            (start..items.min(start + 100)).map(|n| format!(r#"{{"id":{{"S":"{}"}}}}"#, key(n))).collect();
        let body = format!(r#"{{"RequestItems":{{"{table}":{{"Keys":[{}]}}}}}}"#, keys.join(","));
        connection.exchange(&request("BatchGetItem", &body)).await;
    }
}

/// The bytes of the keys and of the items' JSON, which is what the cache must hold at least.
pub(crate) fn payload_bytes(items: usize) -> usize {
    items * (key(0).len() + item(0).len())
}

/// Scans the whole table again and again.
pub(crate) async fn scan_for_ever(address: SocketAddr, table: &'static str) {
    let mut connection = Connection::open(address).await;
    let mut start = String::new();
    loop {
        connection.exchange(&request("Scan", &format!(r#"{{"TableName":"{table}"{start}}}"#))).await;
        let answer = String::from_utf8_lossy(&connection.buffer);
        start = match answer.split(r#""LastEvaluatedKey":"#).nth(1) {
            Some(rest) => {
                let end = rest.find("}}").expect("a key ends") + 2;
                format!(r#","ExclusiveStartKey":{}"#, &rest[..end])
            }
            None => String::new(),
        };
    }
}
