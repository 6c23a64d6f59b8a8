//! What an authenticator gets is all that a signature covers: requests are signed by the `aws-sigv4` crate and verified here.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;

use super::*;
use crate::model::ErrorCode;
use crate::model::Timestamp;
use crate::wire::sigv4::{KeyScope, SignedRequest, SigningKey, string_to_sign};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// Knows the one secret, and no clock.
struct OneKey;

impl Authenticator for OneKey {
    const HASHES_BODIES: bool = true;

    fn authenticate<'a>(&self, presented: &Presented<'a>) -> Result<Caller<'a>, ApiError> {
        let Presented { credential, method, path, query, headers, body_sha256 } = *presented;
        let scope = credential.scope()?;
        let key_scope = KeyScope { date: &scope.date, region: &scope.region, service: &scope.service };
        let (names, time) = (credential.signed_headers(), Timestamp::parse(&credential.time()).unwrap());
        let values = names
            .split(';')
            .flat_map(|name| headers.get_all(name).iter().map(move |value| (name, value.as_bytes())));
        let request = SignedRequest {
            location: credential.location(),
            method: method.as_str(),
            path,
            query,
            headers: values.collect(),
            body_sha256: body_sha256.unwrap(),
        };
        let text = string_to_sign(&request.canonical(), &time.to_string(), &key_scope);
        match SigningKey::derive(SECRET.as_bytes(), &key_scope).verify(&text, &credential.signature()) {
            true => Ok(Caller::new(credential)),
            false => Err(ApiError::new(ErrorCode::InvalidSignature, "no")),
        }
    }
}

/// The head of a signed request with that body, without the lines that say how the body is sent.
fn signed_head(body: &[u8], location: SignatureLocation, token: Option<&str>) -> String {
    let identity = Credentials::new("key", SECRET, token.map(str::to_owned), None, "test").into();
    let mut settings = SigningSettings::default();
    settings.signature_location = location;
    settings.expires_in = Some(Duration::from_secs(900));
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name("dynamodb")
        .time(UNIX_EPOCH + Duration::from_secs(1_795_248_550))
        .settings(settings)
        .build()
        .unwrap()
        .into();
    let headers = [
        ("host", "h"),
        ("x-amz-target", "DynamoDB_20120810.GetItem"),
        ("content-type", "application/x-amz-json-1.0"),
        ("x-more", "a  b"),
        ("x-more", " c"),
    ];
    let request =
        SignableRequest::new("POST", "http://h/?a=1", headers.into_iter(), SignableBody::Bytes(body));
    let (added, _) = sign(request.unwrap(), &parameters).unwrap().into_parts();
    let encoded = |text: &str| text.replace('/', "%2F").replace(';', "%3B").replace('+', "%2B");
    let query: String =
        added.params().iter().map(|(name, value)| format!("&{name}={}", encoded(value))).collect();
    let headers = headers.into_iter().chain(added.headers());
    let lines: String = headers.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("POST /?a=1{query} HTTP/1.1\r\n{lines}")
}

async fn ask(wire: &mut Wire<OneKey>, head: &str, more: &str, body: &[u8]) -> Reply {
    wire.send(format!("{head}{more}content-length: {}\r\n\r\n", body.len())).await;
    wire.ask(body).await
}

#[tokio::test(start_paused = true)]
async fn the_body_is_hashed_as_it_was_sent_however_it_arrives() {
    let mut wire = Wire::asking(OneKey, &[]);
    for (location, token) in [
        (SignatureLocation::Headers, None),
        (SignatureLocation::Headers, Some("FwoG/+=t")),
        (SignatureLocation::QueryParams, None),
        (SignatureLocation::QueryParams, Some("FwoG/+=t")),
    ] {
        let small = signed_head(b"who", location, token);
        assert_eq!(ask(&mut wire, &small, "", b"who").await.text(), "key in eu-west-1", "{small}");
        // Sent with the head, so that it arrives in one piece.
        let whole = format!("{small}content-length: 3\r\n\r\nwho");
        assert_eq!(wire.ask(whole).await.text(), "key in eu-west-1");
        let chunked = format!("{small}transfer-encoding: chunked\r\n\r\n2\r\nwh\r\n1\r\no\r\n0\r\n\r\n");
        assert_eq!(wire.ask(chunked).await.text(), "key in eu-west-1");
        let pressed = gzip(b"who");
        let head = signed_head(&pressed, location, token);
        let reply = ask(&mut wire, &head, "content-encoding: gzip\r\n", &pressed).await;
        assert_eq!(reply.text(), "key in eu-west-1");
        let large = format!("\"{}\"", "x".repeat(90_000));
        let head = signed_head(large.as_bytes(), location, token);
        assert_eq!(ask(&mut wire, &head, "", large.as_bytes()).await.text(), large);
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_request_is_not_the_signed_one() {
    let mut wire = Wire::asking(OneKey, &[]);
    for location in [SignatureLocation::Headers, SignatureLocation::QueryParams] {
        let head = signed_head(b"\"who\"", location, None);
        assert_eq!(ask(&mut wire, &head, "", b"\"who\"").await.status(), 200);
        let changed = [
            (head.clone(), "\"whO\""),
            (head.replace("?a=1", "?a=2"), "\"who\""),
            (head.replace("GetItem", "PutItem"), "\"who\""),
            (head.replace("a  b", "ab"), "\"who\""),
            (head.replace("eu-west-1", "eu-west-2"), "\"who\""),
            (head.replace("20261121T080910Z", "20261121T080911Z"), "\"who\""),
        ];
        for (head, body) in changed {
            let reply = ask(&mut wire, &head, "", body.as_bytes()).await;
            assert!(reply.summed().contains("#InvalidSignatureException\""), "{head}: {}", reply.text());
        }
    }
    assert_eq!(wire.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_is_not_verified_is_told_so_after_the_target_and_the_json() {
    let mut wire = Wire::asking(OneKey, &[]);
    let head = signed_head(b"{}", SignatureLocation::Headers, None);
    let reply = ask(&mut wire, &head.replace("GetItem", "Frobnicate"), "", b"{}").await;
    assert!(reply.text().contains("#UnknownOperationException\""), "{}", reply.text());
    let reply = ask(&mut wire, &head, "", b"{?").await;
    assert!(reply.text().contains("#SerializationException\""), "{}", reply.text());
    let reply = ask(&mut wire, &head.replace("AWS4-HMAC-SHA256 ", "Bearer "), "", b"{}").await;
    assert!(reply.text().contains("#MissingAuthenticationTokenException\""), "{}", reply.text());
    assert_eq!(wire.calls(), 0);
}
