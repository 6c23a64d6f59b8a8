//! Spans of requests at a collector of OpenTelemetry.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::client::{Nearside, command};
use crate::traces::{CREATE, PARENT, TRACE, with_headers};

/// A collector: takes what is exported, and keeps the spans.
struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Value>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let collector = Self { address: listener.local_addr().unwrap(), spans: Arc::default() };
        let spans = Arc::clone(&collector.spans);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let spans = Arc::clone(&spans);
                std::thread::spawn(move || while take(&stream, &spans).is_some() {});
            }
        });
        collector
    }

    /// The spans of a trace with that name, by their kind: 2 is a server's, 3 a client's.
    fn of(&self, trace: &str, name: &str, kind: u64) -> Vec<Value> {
        let spans = self.spans.lock().unwrap();
        let is_it = |span: &&Value| span["traceId"] == trace && span["name"] == name && span["kind"] == kind;
        spans.iter().filter(is_it).cloned().collect()
    }
}

/// Takes one request of an exporter.
fn take(stream: &TcpStream, spans: &Mutex<Vec<Value>>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        if line == "\r\n" {
            break;
        }
        let line = line.to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        head.push(line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    assert_eq!(head[0], "post /v1/traces http/1.1\r\n");
    let exported: Value = serde_json::from_slice(&body).unwrap();
    let resource = &exported["resourceSpans"][0];
    assert_eq!(attribute(&resource["resource"], "service.name"), "nearside");
    let taken = resource["scopeSpans"].as_array().unwrap().iter();
    spans.lock().unwrap().extend(taken.flat_map(|scope| scope["spans"].as_array().unwrap()).cloned());
    let answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    (&*stream).write_all(answer).ok()
}

/// The value of an attribute; null if it is not there.
fn attribute(of: &Value, key: &str) -> Value {
    let attributes = of["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|attribute| attribute["key"] == key);
    let value = found.map(|attribute| attribute["value"].as_object().unwrap().values().next().unwrap());
    value.cloned().unwrap_or_default()
}

fn start(collector: &Collector, sample: &str, arguments: &[&str]) -> Nearside {
    let mut command = command(arguments);
    command.env("NEARSIDE_TRACING_OTLP_ENDPOINT", format!("http://{}", collector.address));
    Nearside::from_command(command.env("NEARSIDE_TRACING_SAMPLE", sample))
}

fn end(nearside: &mut Nearside) {
    nearside.terminate();
    assert!(nearside.child.wait().unwrap().success());
}

#[test]
fn the_spans_of_a_request_reach_the_collector_under_that_of_the_client() {
    let collector = Collector::start();
    let mut far = start(&collector, "0", &["--in-memory"]);
    let mut near = start(&collector, "0", &["--upstream", &format!("http://{}", far.address)]);
    let mut client = near.connect();
    client.must("CreateTable", CREATE);
    let get = r#"{"TableName":"Traced","Key":{"id":{"S":"a"}}}"#;
    let mut send = |headers: &str| client.send(&with_headers("GetItem", get, headers)).unwrap();
    let sampled = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n");
    assert_eq!(send(&sampled).0, 200);
    assert_eq!(send(&sampled).0, 200);
    let unsampled = "0af7651916cd43dd8448eb211c80319c";
    assert_eq!(send(&format!("traceparent: 00-{unsampled}-{PARENT}-00\r\n")).0, 200);
    assert_eq!(send("").0, 200);
    end(&mut near);
    end(&mut far);

    let name = "GetItem Traced";
    let servers = collector.of(TRACE, name, 2);
    let ours: Vec<_> = servers.iter().filter(|span| span["parentSpanId"] == PARENT).collect();
    assert_eq!(ours.len(), 2, "{servers:?}");
    let mut sources: Vec<_> = ours.iter().map(|span| attribute(span, "nearside.cache")).collect();
    sources.sort_by_key(ToString::to_string);
    assert_eq!(sources, ["hit", "miss"]);
    let calls = collector.of(TRACE, name, 3);
    let [call] = &calls[..] else { panic!("{calls:?}") };
    let miss = ours.iter().find(|span| attribute(span, "nearside.cache") == "miss").unwrap();
    assert_eq!(call["parentSpanId"], miss["spanId"]);
    // The upstream is a node that records, too: its span is below that of the call.
    let theirs: Vec<_> = servers.iter().filter(|span| span["parentSpanId"] == call["spanId"]).collect();
    assert_eq!(theirs.len(), 1, "{servers:?}");
    for span in [*miss, call] {
        assert_eq!(attribute(span, "db.system.name"), "aws.dynamodb");
        assert_eq!(attribute(span, "db.operation.name"), "GetItem");
        assert_eq!(attribute(span, "aws.dynamodb.table_names")["values"][0]["stringValue"], "Traced");
        assert_eq!(attribute(span, "http.response.status_code"), "200");
        let time = |key: &str| span[key].as_str().unwrap().parse::<u64>().unwrap();
        assert!(time("startTimeUnixNano") <= time("endTimeUnixNano"), "{span}");
    }
    let spans = collector.spans.lock().unwrap();
    assert!(spans.iter().all(|span| span["traceId"] == TRACE), "{spans:?}");
    // Of keys and values there is nothing.
    assert!(!format!("{spans:?}").contains("\"id\""), "{spans:?}");
}

#[test]
fn a_request_without_a_trace_begins_one_if_it_is_sampled_and_no_collector_holds_it_up() {
    let collector = Collector::start();
    let mut all = start(&collector, "1", &["--in-memory"]);
    all.connect().must("ListTables", "{}");
    end(&mut all);
    let spans = collector.spans.lock().unwrap().clone();
    let [span] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!((&span["name"], &span["kind"]), (&"ListTables".into(), &2.into()));
    assert!(span["parentSpanId"].as_str().is_none_or(str::is_empty), "{span}");

    // Nobody listens there.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = Collector { address: gone, spans: Arc::default() };
    let mut alone = start(&nobody, "1", &["--in-memory"]);
    let mut client = alone.connect();
    (0..100).for_each(|_| drop(client.must("ListTables", "{}")));
    end(&mut alone);
    let log = alone.log();
    assert_eq!(log.matches("Spans cannot be exported.").count(), 1, "{log}");
}
