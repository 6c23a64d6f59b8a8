//! Signed requests on the wire: the verifier gets all that a signature covers, however the body arrives.

use std::time::{Duration, SystemTime};

use super::verified::{Arrived, TOKEN, Unsigned, callers};
use super::*;

/// The head of a signed request with that body, without the lines that say how the body is sent.
fn signed_head(body: &[u8], token: Option<&str>) -> String {
    let mut request = Unsigned::plain(SystemTime::now());
    request.query = "a=1".to_owned();
    request.body = body.to_vec();
    request.headers.push(("content-type".to_owned(), "application/x-amz-json-1.0".to_owned()));
    request.headers.push(("x-more".to_owned(), "a  b".to_owned()));
    if let Some(token) = token {
        (request.access_key, request.token) = ("AKIDTOKEN".to_owned(), Some(token.to_owned()));
    }
    head_of(&request.signed())
}

fn head_of(arrived: &Arrived) -> String {
    let lines = arrived.head.headers.iter();
    let lines: String =
        lines.map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap())).collect();
    format!("POST {} HTTP/1.1\r\n{lines}", arrived.head.uri)
}

async fn ask(wire: &mut Wire<SignedCallers>, head: &str, more: &str, body: &[u8]) -> Reply {
    wire.send(format!("{head}{more}content-length: {}\r\n\r\n", body.len())).await;
    wire.ask(body).await
}

#[tokio::test(start_paused = true)]
async fn the_body_is_hashed_as_it_was_sent_however_it_arrives() {
    let mut wire = Wire::asking(callers(), &[]);
    for (token, owner) in [(None, "AKIDPLAIN in eu-west-1"), (Some(TOKEN), "AKIDTOKEN in eu-west-1")] {
        let small = signed_head(b"who", token);
        assert_eq!(ask(&mut wire, &small, "", b"who").await.text(), owner, "{small}");
        // Sent with the head, so that it arrives in one piece.
        let whole = format!("{small}content-length: 3\r\n\r\nwho");
        assert_eq!(wire.ask(whole).await.text(), owner);
        let chunked = format!("{small}transfer-encoding: chunked\r\n\r\n2\r\nwh\r\n1\r\no\r\n0\r\n\r\n");
        assert_eq!(wire.ask(chunked).await.text(), owner);
        let pressed = gzip(b"who");
        let head = signed_head(&pressed, token);
        assert_eq!(ask(&mut wire, &head, "content-encoding: gzip\r\n", &pressed).await.text(), owner);
        // The signature is of the bytes as sent, not of what is in them.
        let reply = ask(&mut wire, &small, "content-encoding: gzip\r\n", &pressed).await;
        assert!(reply.summed().contains("#InvalidSignatureException\""), "{}", reply.text());
        let large = format!("\"{}\"", "x".repeat(90_000));
        let head = signed_head(large.as_bytes(), token);
        assert_eq!(ask(&mut wire, &head, "", large.as_bytes()).await.text(), large);
        let reply = ask(&mut wire, &head, "", large.replacen('x', "y", 1).as_bytes()).await;
        assert!(reply.summed().contains("#InvalidSignatureException\""), "{}", reply.text());
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_stranger_sends_compressed_is_not_decompressed() {
    let mut wire = Wire::asking(callers(), &[]);
    // More than the front end takes, once it is decompressed; no gzip at all; and a coding that is not known.
    let bomb = gzip(&vec![b' '; 100_001]);
    let cases: [(&str, &[u8], u16); 3] = [("gzip", &bomb, 413), ("gzip", b"{}", 500), ("br", b"{}", 500)];
    for (coding, body, status) in cases {
        let line = format!("content-encoding: {coding}\r\n");
        let strangers = signed_head(b"another body", None);
        let reply = ask(&mut wire, &strangers, &line, body).await;
        assert_eq!(reply.status(), 400, "{coding}");
        assert!(reply.summed().contains("#InvalidSignatureException\""), "{}", reply.text());
        let unsigned = strangers.replace("AWS4-HMAC-SHA256 ", "Bearer ");
        let reply = ask(&mut wire, &unsigned, &line, body).await;
        assert!(reply.summed().contains("#MissingAuthenticationTokenException\""), "{}", reply.text());
        // Those who may ask are answered as the service does.
        let mut wire = Wire::asking(callers(), &[]);
        assert_eq!(ask(&mut wire, &signed_head(body, None), &line, body).await.status(), status, "{coding}");
    }
    assert_eq!(wire.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_changed_request_is_not_the_signed_one() {
    let mut wire = Wire::asking(callers(), &[]);
    let head = signed_head(b"\"who\"", None);
    assert_eq!(ask(&mut wire, &head, "", b"\"who\"").await.status(), 200);
    let changed = [
        (head.clone(), "\"whO\""),
        (head.replace("?a=1", "?a=2"), "\"who\""),
        (head.replace("GetItem", "PutItem"), "\"who\""),
        (head.replace("a  b", "ab"), "\"who\""),
        (head.replace("/eu-west-1/", "/eu-west-2/"), "\"who\""),
    ];
    for (head, body) in changed {
        let reply = ask(&mut wire, &head, "", body.as_bytes()).await;
        assert!(reply.summed().contains("#InvalidSignatureException\""), "{head}: {}", reply.text());
        assert_eq!(reply.status(), 400);
    }
    assert_eq!(wire.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_not_verified_is_told_so_after_the_target_and_the_json() {
    let mut wire = Wire::asking(callers(), &[]);
    let head = signed_head(b"{}", None);
    let reply = ask(&mut wire, &head.replace("GetItem", "Frobnicate"), "", b"{}").await;
    assert!(reply.text().contains("#UnknownOperationException\""), "{}", reply.text());
    let reply = ask(&mut wire, &head, "", b"{?").await;
    assert!(reply.text().contains("#SerializationException\""), "{}", reply.text());
    let reply = ask(&mut wire, &head.replace("AWS4-HMAC-SHA256 ", "Bearer "), "", b"{}").await;
    assert!(reply.text().contains("#MissingAuthenticationTokenException\""), "{}", reply.text());
    assert_eq!(wire.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_operation_is_passed_on_only_for_a_verified_caller() {
    let mut wire = Wire::asking(callers(), &[]);
    let mut request = Unsigned::plain(SystemTime::now());
    request.target = "DynamoDB_20120810.Frobnicate".to_owned();
    request.headers.push(("content-type".to_owned(), "application/x-amz-json-1.0".to_owned()));
    let head = head_of(&request.signed());
    assert_eq!(ask(&mut wire, &head, "", b"{}").await.text(), "DynamoDB_20120810.Frobnicate");
    request.time -= Duration::from_secs(1000);
    let reply = ask(&mut wire, &head_of(&request.signed()), "", b"{}").await;
    assert!(reply.text().contains("#UnknownOperationException\""), "{}", reply.text());
    assert_eq!(wire.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn preflights_and_the_health_line_need_no_signature() {
    let mut wire = Wire::asking(callers(), &["https://app.example"]);
    let reply = wire.ask("GET / HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert!(reply.text().starts_with("healthy: dynamodb."), "{}", reply.text());
    let preflight = "OPTIONS / HTTP/1.1\r\nhost: h\r\norigin: https://app.example\r\n\
         access-control-request-method: POST\r\n\r\n";
    let reply = wire.ask(preflight).await;
    assert_eq!(reply.header("access-control-allow-origin"), Some("https://app.example"), "{}", reply.head);
    assert_eq!(wire.calls(), 0);
}
