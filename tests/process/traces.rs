//! A trace on its way: from a client over a node to its upstream, and into the lines of both logs.

use serde_json::Value;

use crate::client::{Nearside, command, request};

pub(crate) const CREATE: &str = r#"{"TableName":"Traced","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
    "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}"#;
pub(crate) const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
pub(crate) const PARENT: &str = "00f067aa0ba902b7";

/// A request with more headers.
pub(crate) fn with_headers(operation: &str, body: &str, headers: &str) -> Vec<u8> {
    let request = String::from_utf8(request(operation, body)).unwrap();
    request.replacen("Host: localhost\r\n", &format!("Host: localhost\r\n{headers}"), 1).into_bytes()
}

fn start(arguments: &[&str]) -> Nearside {
    let mut command = command(arguments);
    Nearside::from_command(command.args(["--log-level", "debug", "--log-format", "json"]))
}

/// What the log of a node says: the operation of each answered request, and its trace.
fn answered(nearside: &mut Nearside) -> Vec<(String, Value)> {
    nearside.terminate();
    nearside.child.wait().unwrap();
    let log = nearside.log();
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["fields"].clone());
    lines
        .filter(|fields| fields["message"] == "Answered.")
        .map(|fields| (fields["op"].as_str().unwrap().to_owned(), fields["trace_id"].clone()))
        .collect()
}

#[test]
fn the_trace_of_a_request_is_in_the_logs_of_the_node_and_of_its_upstream() {
    let mut far = start(&["--in-memory"]);
    let mut near = start(&["--upstream", &format!("http://{}", far.address)]);
    let mut client = near.connect();
    client.must("CreateTable", CREATE);
    let traced = format!("traceparent: 00-{TRACE}-{PARENT}-01\r\ntracestate: congo=t61\r\n");
    let get = |id: &str| format!(r#"{{"TableName":"Traced","Key":{{"id":{{"S":"{id}"}}}}}}"#);
    let batch = format!(r#"{{"RequestItems":{{"Traced":{{"Keys":[{}]}}}}}}"#, r#"{"id":{"S":"c"}}"#);
    let query = r#"{"TableName":"Traced","KeyConditionExpression":"id = :i","ExpressionAttributeValues":{":i":{"S":"d"}}}"#;
    let put = r#"{"TableName":"Traced","Item":{"id":{"S":"e"}}}"#;
    let mut send = |operation: &str, body: &str, headers: &str| {
        let (status, answer) = client.send(&with_headers(operation, body, headers)).unwrap();
        assert_eq!(status, 200, "{answer}");
    };
    send("GetItem", &get("a"), &traced);
    send("BatchGetItem", &batch, &traced);
    send("Query", query, &traced);
    send("PutItem", put, &traced);
    // A hit has a line as well, and no call of the upstream.
    send("GetItem", &get("a"), &traced);
    let traced_calls = ["GetItem", "BatchGetItem", "Query", "PutItem"];

    let untraced = "traceparent: 00-nonsense\r\n".to_owned();
    let twice = format!("{traced}traceparent: 00-{TRACE}-{PARENT}-00\r\n");
    for (id, headers) in [("x", ""), ("y", &untraced), ("z", &twice)] {
        send("GetItem", &get(id), headers);
    }

    let trace_of = |lines: &[(String, Value)], operation: &str| -> Vec<Value> {
        let of_operation = lines.iter().filter(|(line, _)| line == operation);
        of_operation.map(|(_, trace)| trace.clone()).collect()
    };
    let (at_near, at_far) = (answered(&mut near), answered(&mut far));
    for operation in traced_calls {
        for (node, lines) in [("near", &at_near), ("far", &at_far)] {
            let traces = trace_of(lines, operation);
            assert_eq!(traces.first(), Some(&Value::from(TRACE)), "{operation} at {node}: {lines:?}");
        }
    }
    let ours = Value::from(TRACE);
    assert_eq!(
        trace_of(&at_near, "GetItem"),
        [&ours, &ours, &Value::Null, &Value::Null, &Value::Null].map(Clone::clone)
    );
    assert_eq!(
        trace_of(&at_far, "GetItem"),
        [&ours, &Value::Null, &Value::Null, &Value::Null].map(Clone::clone)
    );
}
