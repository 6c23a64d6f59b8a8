//! Signatures held against the published test suite, and against those of the `aws-sigv4` crate, which signs what this module
//! verifies.

mod published;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use fastrand::Rng;

use super::*;
use crate::model::Timestamp;

/// A request at random, and who signs it.
#[derive(Debug)]
struct Sample {
    method: &'static str,
    path: String,
    query: String,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    secret: String,
    session_token: Option<String>,
    region: &'static str,
    time: SystemTime,
}

/// A signature and what carries it.
struct Carried {
    headers: Vec<(String, String)>,
    parameters: Vec<(String, String)>,
    signature: String,
}

fn pick<T: Copy>(random: &mut Rng, choices: &[T]) -> T {
    choices[random.usize(..choices.len())]
}

fn joined(random: &mut Rng, pieces: &[&str], pieces_max: usize) -> String {
    (0..random.usize(..pieces_max)).map(|_| pick(random, pieces)).collect()
}

impl Sample {
    fn at_random(random: &mut Rng) -> Self {
        let names = ["x-amz-target", "content-type", "x-amz-meta-a", "x-amz-meta", "accept", "zz"];
        let value = |random: &mut Rng| {
            joined(
                random,
                &[" ", "   ", "a", "B=c", "\"q  q\"", ",", ";", "\t", "DynamoDB_20120810.GetItem"],
                8,
            )
        };
        let mut headers = vec![("host", "localhost:8000".to_owned())];
        headers.extend((0..random.usize(..8)).map(|_| (pick(random, &names), value(random))));
        let pair = |random: &mut Rng| {
            let piece = ["a", "b", "A", "%2F", "%20", "+", "~", "-", "%c3%a9", "%2b", "!", "*", "'", ":"];
            let name = joined(random, &piece, 4);
            match random.u8(..3) {
                0 => name,
                _ => format!("{name}={}", joined(random, &piece, 4)),
            }
        };
        let query: Vec<String> = (0..random.usize(..6)).map(|_| pair(random)).collect();
        Self {
            method: pick(random, &["POST", "GET", "PUT", "DELETE"]),
            path: format!(
                "/{}",
                joined(random, &["a", "b.c", "/", "//", "/./", "/../", ".", "..", "%20", "%2F", "@", "~"], 7)
            ),
            query: query.join("&"),
            headers,
            body: (0..random.usize(..200)).map(|_| random.u8(..)).collect(),
            secret: (0..random.usize(1..60)).map(|_| random.alphanumeric()).collect(),
            session_token: random.bool().then(|| joined(random, &["FwoG", "/", "+", "="], 50) + "t"),
            region: pick(random, &["us-east-1", "eu-central-1", "local"]),
            time: UNIX_EPOCH + Duration::from_millis(random.u64(1_000_000_000_000..4_100_000_000_000)),
        }
    }

    /// The signature of the reference implementation.
    fn signed_elsewhere(&self, location: SignatureLocation) -> Carried {
        let token = self.session_token.clone();
        let identity = Credentials::new("AKIDEXAMPLE", self.secret.as_str(), token, None, "test").into();
        let mut settings = SigningSettings::default();
        settings.signature_location = location;
        settings.expires_in = Some(Duration::from_secs(900));
        // The default leaves some headers out; which ones are signed is for the sender to say.
        settings.excluded_headers = None;
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name("dynamodb")
            .time(self.time)
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let headers = self.headers.iter().map(|(name, value)| (*name, value.as_str()));
        let uri = format!("http://localhost:8000{}?{}", self.path, self.query);
        let signable =
            SignableRequest::new(self.method, uri, headers, SignableBody::Bytes(&self.body)).unwrap();
        let (instructions, signature) = sign(signable, &parameters).unwrap().into_parts();
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Carried {
            headers: instructions.headers().map(owned).collect(),
            parameters: instructions.params().iter().map(|(name, value)| owned((name, value))).collect(),
            signature,
        }
    }

    /// The signature by this module, of the request as it is sent.
    fn signed_here(&self, location: Location, carried: &Carried) -> (SigningKey, Vec<u8>) {
        let time = Timestamp::from(self.time);
        let date = time.date();
        let scope = KeyScope { date: &date, region: self.region, service: "dynamodb" };
        let added = carried.headers.iter().filter(|(name, _)| name != "authorization");
        let own = self.headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        let headers = own.chain(added.map(|(name, value)| (name.as_str(), value.as_bytes()))).collect();
        let encoded = |text: &str| String::from_utf8(encoded_parameter(&text.replace('+', "%2B"))).unwrap();
        let parameters: Vec<String> =
            carried.parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let query = [self.query.as_str(), &parameters.join("&")].join("&");
        let body_sha256 = sha256(&self.body);
        let (method, path) = (self.method, self.path.as_str());
        let request = SignedRequest { location, method, path, query: &query, headers, body_sha256 };
        let text = string_to_sign(&request.canonical(), &time.to_string(), &scope);
        (SigningKey::derive(self.secret.as_bytes(), &scope), text)
    }
}

#[test]
fn signatures_are_those_of_the_reference_implementation() {
    let seed = fastrand::u64(..);
    println!("seed {seed}; put it in the place of `fastrand::u64(..)` to replay");
    let mut random = Rng::with_seed(seed);
    for round in 0..3000 {
        let sample = Sample::at_random(&mut random);
        let (ours, theirs) = match random.bool() {
            true => (Location::Header, SignatureLocation::Headers),
            false => (Location::Query, SignatureLocation::QueryParams),
        };
        let carried = sample.signed_elsewhere(theirs);
        let (key, text) = sample.signed_here(ours, &carried);
        let ours = key.sign(&text);
        let text_read = String::from_utf8_lossy(&text);
        assert_eq!(ours, carried.signature.as_bytes(), "seed {seed}, round {round}: {sample:?}\n{text_read}");
        assert!(key.verify(&text, &carried.signature), "seed {seed}, round {round}");
    }
}

#[test]
fn another_signature_is_not_valid() {
    let scope = KeyScope { date: "20261121", region: "us-east-1", service: "dynamodb" };
    let key = SigningKey::derive(b"secret", &scope);
    let signature = String::from_utf8(key.sign(b"text").into()).unwrap();
    assert!(key.verify(b"text", &signature));
    assert!(!key.verify(b"texts", &signature));
    assert!(!SigningKey::derive(b"secrets", &scope).verify(b"text", &signature));
    let (longer, upper) = (format!("{signature}00"), signature.to_uppercase());
    for part in ["", &signature[..62], &signature[..63], "no digits", &longer, &upper] {
        assert!(!key.verify(b"text", part), "{part}");
    }
    let elsewhere = KeyScope { region: "us-west-1", ..scope };
    assert!(!SigningKey::derive(b"secret", &elsewhere).verify(b"text", &signature));
}

const SECRET: &[u8] = b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

#[test]
fn the_published_test_suite_agrees() {
    let scope = KeyScope { date: "20150830", region: "us-east-1", service: "service" };
    let key = SigningKey::derive(SECRET, &scope);
    for case in published::SUITE {
        let fixed = [("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")];
        let headers = case.headers.iter().chain(&fixed).map(|(name, value)| (*name, value.as_bytes()));
        let request = SignedRequest {
            location: Location::Header,
            method: case.method,
            path: case.path,
            query: case.query,
            headers: headers.collect(),
            body_sha256: sha256(case.body.as_bytes()),
        };
        let canonical = request.canonical();
        let text = string_to_sign(&canonical, "20150830T123600Z", &scope);
        let read = String::from_utf8_lossy(&canonical);
        assert!(key.verify(&text, case.signature), "{}:\n{read}", case.name);
    }
    assert!(published::SUITE.len() >= 30);
}
