//! Signed requests and their verifier, without a wire: requests signed by the `aws-sigv4` crate, and the errors in the service's order
//! and words.

use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use fastrand::Rng;
use http::request::Parts;
use http::{HeaderName, HeaderValue};

use super::*;
use crate::config::{LoadedCallers, LoadedKey, Principal, Rights, SecretBytes};
use crate::model::Timestamp;
use crate::tls::Certificate;
use crate::wire::sigv4::sha256;

pub(super) const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
pub(super) const TOKEN: &str = "FwoGZXIvYXdzEBYaD/+=token";
const REGION: &str = "eu-west-1";

/// Callers with the keys `AKIDPLAIN` and `AKIDTOKEN`, which wants [`TOKEN`], and their expired sisters `…OLD`.
pub(super) fn callers() -> SignedCallers {
    let ring = Arc::new(ArcSwap::from_pointee(KeyRing::new(loaded()).unwrap()));
    SignedCallers::new(ring, SignedRegions::Only(REGION.into()), REGION)
}

/// The keys of [`callers`].
pub(super) fn loaded() -> LoadedCallers {
    let key = |access_key_id: &str, token: Option<&str>, not_after: Option<&str>| LoadedKey {
        access_key_id: access_key_id.to_owned(),
        secret: SecretBytes::from(SECRET.to_owned()),
        session_token: token.map(|token| SecretBytes::from(token.to_owned())),
        not_after: not_after.and_then(Timestamp::parse),
        principal: Arc::new(Principal {
            name: format!("{access_key_id}-owner"),
            rights: Rights::Nothing,
            role: None,
        }),
    };
    let past = Some("20200101T000000Z");
    let keys = vec![
        key("AKIDPLAIN", None, None),
        key("AKIDTOKEN", Some(TOKEN), Some("20991231T235959Z")),
        key("AKIDPLAINOLD", None, past),
        key("AKIDTOKENOLD", Some(TOKEN), past),
    ];
    LoadedCallers { keys, ..LoadedCallers::default() }
}

/// A request and who signs it.
#[derive(Clone, Debug)]
pub(super) struct Unsigned {
    pub(super) access_key: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
    pub(super) region: String,
    pub(super) service: String,
    pub(super) time: SystemTime,
    pub(super) target: String,
    pub(super) query: String,
    /// In pairs of name and value, each name once.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) location: SignatureLocation,
}

/// A request as it arrives.
#[derive(Clone, Debug)]
pub(super) struct Arrived {
    pub(super) head: Parts,
    pub(super) body: Vec<u8>,
}

impl Unsigned {
    /// The least that a client sends, at that time.
    pub(super) fn plain(time: SystemTime) -> Self {
        Self {
            access_key: "AKIDPLAIN".to_owned(),
            secret: SECRET.to_owned(),
            token: None,
            region: REGION.to_owned(),
            service: "dynamodb".to_owned(),
            time,
            target: "DynamoDB_20120810.GetItem".to_owned(),
            query: String::new(),
            headers: Vec::new(),
            body: b"{}".to_vec(),
            location: SignatureLocation::Headers,
        }
    }

    /// Any request of an SDK, or of a program that signs more than SDKs do.
    pub(super) fn at_random(random: &mut Rng, time: SystemTime) -> Self {
        let text = |random: &mut Rng, pieces: &[&str], most: usize| -> String {
            let pieces = (0..random.usize(..most)).map(|_| pieces[random.usize(..pieces.len())]);
            pieces.collect()
        };
        let names = [
            "content-type",
            "accept",
            "accept-encoding",
            "amz-sdk-request",
            "x-amz-user-agent",
            "x-amz-meta",
            "zz",
        ];
        let mut headers: Vec<(String, String)> = Vec::new();
        for name in names {
            if random.bool() {
                let value =
                    text(random, &["a", "B=c", " ", "  ", "\"q  q\"", ",", ", ", ";", "\t", "*/*"], 8);
                headers.push((name.to_owned(), value.trim().to_owned()));
            }
        }
        let has_token = random.bool();
        let skew = Duration::from_secs(random.u64(..=900));
        Self {
            access_key: if has_token { "AKIDTOKEN" } else { "AKIDPLAIN" }.to_owned(),
            token: has_token.then(|| TOKEN.to_owned()),
            time: if random.bool() { time + skew } else { time - skew },
            target: format!(
                "DynamoDB_20120810.{}",
                ["GetItem", "PutItem", "Query", "Frob"][random.usize(..4)]
            ),
            query: text(random, &["a", "b", "&", "=", "%20", "%2F", "~", "+"], 6),
            headers,
            body: (0..random.usize(..400)).map(|_| random.u8(..)).collect(),
            ..Self::plain(time)
        }
    }

    /// The request as the `aws-sigv4` crate signs it.
    pub(super) fn signed(&self) -> Arrived {
        let identity = Credentials::new(
            self.access_key.as_str(),
            self.secret.as_str(),
            self.token.clone(),
            None,
            "test",
        )
        .into();
        let mut settings = SigningSettings::default();
        settings.signature_location = self.location;
        settings.expires_in = Some(Duration::from_secs(900));
        settings.excluded_headers = None;
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(&self.service)
            .time(self.time)
            .settings(settings)
            .build()
            .unwrap()
            .into();
        let own = [("host", "localhost:8000"), ("x-amz-target", self.target.as_str())];
        let more = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let all: Vec<(&str, &str)> = own.into_iter().chain(more).collect();
        let uri = format!("http://localhost:8000/?{}", self.query);
        let signable =
            SignableRequest::new("POST", &uri, all.iter().copied(), SignableBody::Bytes(&self.body)).unwrap();
        let (instructions, _) = sign(signable, &parameters).unwrap().into_parts();
        let encoded =
            |text: &str| text.replace('/', "%2F").replace(';', "%3B").replace('+', "%2B").replace('=', "%3D");
        let added: String =
            instructions.params().iter().map(|(name, value)| format!("&{name}={}", encoded(value))).collect();
        let mut request = http::Request::post(format!("/?{}{added}", self.query));
        for (name, value) in all.into_iter().chain(instructions.headers()) {
            request = request.header(name, value);
        }
        Arrived { head: request.body(()).unwrap().into_parts().0, body: self.body.clone() }
    }
}

impl Arrived {
    /// Who has signed it, or what is wrong.
    pub(super) fn verified_by(&self, callers: &SignedCallers, now: SystemTime) -> Result<String, String> {
        self.verified_with(None, callers, now)
    }

    /// The same over a connection with that client certificate.
    pub(super) fn verified_with(
        &self,
        certificate: Option<&Certificate>,
        callers: &SignedCallers,
        now: SystemTime,
    ) -> Result<String, String> {
        let credential = Credential::parse(&self.head).map_err(|error| error.to_string())?;
        let presented = Presented { certificate, credential, body_sha256: Some(sha256(&self.body)) };
        let principal = callers.identify(&presented, now.into());
        principal.map(|principal| principal.name.clone()).map_err(|unverified| unverified.error.to_string())
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        let name: HeaderName = name.parse().unwrap();
        self.head.headers.insert(name, HeaderValue::from_str(value).unwrap());
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.head.headers[name].to_str().unwrap().to_owned()
    }
}

/// Some time within a second of this one, which is all that a signature knows.
pub(super) fn noon() -> SystemTime {
    Timestamp::parse("20261121T120000Z").unwrap().into()
}

/// A number of the environment.
pub(super) fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn whatever_the_reference_implementation_signs_is_verified() {
    let seed = from_environment("NEARSIDE_SEED").unwrap_or_else(|| fastrand::u64(..));
    let cases = from_environment("NEARSIDE_CASES").unwrap_or(500);
    println!("{cases} requests; replay with NEARSIDE_SEED={seed} NEARSIDE_CASES={cases}");
    let (mut random, callers) = (Rng::with_seed(seed), callers());
    for case in 0..cases {
        let request = Unsigned::at_random(&mut random, noon());
        let owner = format!("{}-owner", request.access_key);
        let arrived = request.signed();
        assert_eq!(arrived.verified_by(&callers, noon()), Ok(owner), "seed {seed}, case {case}: {arrived:?}");
    }
}

#[test]
fn a_date_in_the_form_of_http_or_of_the_signature_may_stand_for_the_amazon_date() {
    // Signed by hand: the SDKs send X-Amz-Date.
    for written in ["Sat, 21 Nov 2026 12:00:00 GMT", "20261121T120000Z"] {
        let mut arrived = Unsigned::plain(noon()).signed();
        arrived.head.headers.remove("x-amz-date");
        arrived.set("date", written);
        let names = ["date", "host", "x-amz-target"];
        let headers = names.map(|name| (name, arrived.head.headers[name].as_bytes())).to_vec();
        let request = crate::wire::sigv4::SignedRequest {
            location: crate::wire::sigv4::Location::Header,
            method: "POST",
            path: "/",
            query: "",
            headers,
            body_sha256: sha256(b"{}"),
        };
        let scope = crate::wire::sigv4::KeyScope { date: "20261121", region: REGION, service: "dynamodb" };
        let text = crate::wire::sigv4::string_to_sign(&request.canonical(), "20261121T120000Z", &scope);
        let signature = crate::wire::sigv4::SigningKey::derive(SECRET.as_bytes(), &scope).sign(&text);
        let signature = std::str::from_utf8(&signature).unwrap();
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDPLAIN/20261121/{REGION}/dynamodb/aws4_request, \
             SignedHeaders=date;host;x-amz-target, Signature={signature}"
        );
        arrived.set("authorization", &authorization);
        assert_eq!(arrived.verified_by(&callers(), noon()), Ok("AKIDPLAIN-owner".to_owned()), "{written}");
        // Another date beside it, which nobody has signed, would count.
        arrived.set("x-amz-date", "20261121T120100Z");
        let error = arrived.verified_by(&callers(), noon()).unwrap_err();
        assert!(
            error.ends_with("'x-amz-date' must be a 'SignedHeader' in the AWS Authorization."),
            "{error}"
        );
    }
}

const MISMATCH: &str = "InvalidSignatureException: The request signature we calculated does not match the signature you \
     provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.";
const UNRECOGNIZED: &str =
    "UnrecognizedClientException: The security token included in the request is invalid.";

#[test]
fn keys_secrets_and_tokens_are_rejected_in_the_services_words() {
    let with = |change: fn(&mut Unsigned)| {
        let mut request = Unsigned::plain(noon());
        change(&mut request);
        request.signed().verified_by(&callers(), noon())
    };
    let rejected = |words: &str| Err(words.to_owned());
    assert_eq!(with(|request| request.secret = "other".into()), rejected(MISMATCH));
    assert_eq!(with(|request| request.access_key = "AKIDNONE".into()), rejected(UNRECOGNIZED));
    assert_eq!(with(|request| request.token = Some("t".into())), rejected(UNRECOGNIZED));
    assert_eq!(with(|request| request.access_key = "AKIDTOKEN".into()), rejected(UNRECOGNIZED));
    let other_token = with(|request| {
        (request.access_key, request.token) = ("AKIDTOKEN".into(), Some("FwoGZXIvYXdzEBYaD/+=tokem".into()));
    });
    assert_eq!(other_token, rejected(UNRECOGNIZED));
    assert_eq!(with(|request| request.access_key = "AKIDPLAINOLD".into()), rejected(UNRECOGNIZED));
    let expired = with(|request| {
        (request.access_key, request.token) = ("AKIDTOKENOLD".into(), Some(TOKEN.into()));
    });
    let words = "ExpiredTokenException: The security token included in the request is expired";
    assert_eq!(expired, rejected(words));
    let presigned = with(|request| request.location = SignatureLocation::QueryParams).unwrap_err();
    assert!(presigned.starts_with("InvalidSignatureException: Presigned requests are not"), "{presigned}");
}

#[test]
fn a_scope_that_is_not_ours_is_rejected_in_the_services_words_all_at_once() {
    let scoped = |scope: &str| {
        let mut arrived = Unsigned::plain(noon()).signed();
        let authorization = arrived.text("authorization");
        let own = format!("AKIDPLAIN/20261121/{REGION}/dynamodb/aws4_request");
        arrived.set("authorization", &authorization.replace(&own, scope));
        arrived.verified_by(&callers(), noon()).unwrap_err()
    };
    for (scope, words) in [
        (
            "AKIDPLAIN/20261121/us-east-1/dynamodb/aws4_request",
            "Credential should be scoped to a valid region, not 'us-east-1'. ",
        ),
        (
            "AKIDPLAIN/20261121/eu-west-1/dynamodbstreams/aws4_request",
            "Credential should be scoped to correct service: 'dynamodb'. ",
        ),
        (
            "AKIDPLAIN/20261122/r/s/t",
            "Credential should be scoped to a valid region, not 'r'. Credential should be scoped to correct service: \
             'dynamodb'. Credential should be scoped with a valid terminator: 'aws4_request', not 't'. Date in Credential \
             scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '20261122' != '20261121', from \
             '20261121T120000Z'.",
        ),
        // Whatever the key: who does not know one learns nothing.
        (
            "AKIDNONE/20261121/x/dynamodb/aws4_request",
            "Credential should be scoped to a valid region, not 'x'. ",
        ),
    ] {
        assert_eq!(scoped(scope), format!("InvalidSignatureException: {words}"), "{scope}");
    }
}

#[test]
fn a_signature_holds_for_fifteen_minutes_before_and_after() {
    let at = |seconds: i64| {
        let time = match seconds {
            0.. => noon() + Duration::from_secs(seconds.unsigned_abs()),
            _ => noon() - Duration::from_secs(seconds.unsigned_abs()),
        };
        Unsigned::plain(time).signed().verified_by(&callers(), noon())
    };
    for seconds in [-900, -1, 0, 1, 900] {
        assert!(at(seconds).is_ok(), "{seconds}");
    }
    let words = "InvalidSignatureException: Signature expired: 20261121T114459Z is now earlier than 20261121T114500Z \
         (20261121T120000Z - 15 min.)";
    assert_eq!(at(-901), Err(words.to_owned()));
    let words = "InvalidSignatureException: Signature not yet current: 20261121T121501Z is still later than \
         20261121T121500Z (20261121T120000Z + 15 min.)";
    assert_eq!(at(901), Err(words.to_owned()));
    // The day of the key is the day of the signature, not ours.
    let midnight: SystemTime = Timestamp::parse("20261122T000500Z").unwrap().into();
    let late = Unsigned::plain(midnight - Duration::from_secs(600)).signed();
    assert!(late.verified_by(&callers(), midnight).is_ok());
}

#[test]
fn what_a_signature_must_cover_is_said_in_the_services_order() {
    let changed = |change: &dyn Fn(&mut Arrived)| {
        let mut request = Unsigned::plain(noon());
        request.headers.push(("accept".to_owned(), "*/*".to_owned()));
        let mut arrived = request.signed();
        change(&mut arrived);
        arrived.verified_by(&callers(), noon()).unwrap_err()
    };
    let signing = |names: &'static str| {
        move |arrived: &mut Arrived| {
            let authorization = arrived.text("authorization");
            let own = "accept;host;x-amz-date;x-amz-target";
            arrived.set("authorization", &authorization.replace(own, names));
        }
    };
    let unsigned = |name: &str| {
        format!("InvalidSignatureException: {name} must be a 'SignedHeader' in the AWS Authorization.")
    };
    assert_eq!(changed(&signing("accept;x-amz-date;x-amz-target")), unsigned("'Host' or ':authority'"));
    assert_eq!(changed(&signing("host;x-amz-target")), unsigned("'x-amz-date'"));
    assert_eq!(changed(&signing("host;x-amz-date")), unsigned("'x-amz-target'"));
    let with_token = |arrived: &mut Arrived| arrived.set("x-amz-security-token", "t");
    assert_eq!(changed(&with_token), unsigned("'x-amz-security-token'"));
    for names in ["host;accept;x-amz-date;x-amz-target", "accept;accept;host;x-amz-date;x-amz-target"] {
        assert!(changed(&signing(names)).contains("must be sorted"), "{names}");
    }
    assert!(changed(&signing("accept;cookie;host;x-amz-date;x-amz-target")).contains("'cookie' must stand"));
    // A value more is one header too many, even if the signature covers both.
    let doubled = |arrived: &mut Arrived| {
        arrived.head.headers.append("accept", HeaderValue::from_static("*/*"));
    };
    assert!(changed(&doubled).contains("The signed header 'accept' must stand in the request exactly once."));
    let two = |arrived: &mut Arrived| {
        let value = arrived.head.headers["authorization"].clone();
        arrived.head.headers.append("authorization", value);
    };
    assert!(changed(&two).contains("Authorization header stands in the request more than once"));
    let date = |arrived: &mut Arrived| arrived.set("x-amz-date", "201");
    let words = "IncompleteSignatureException: Date must be in ISO-8601 'basic format'. Got '201'. \
         See http://en.wikipedia.org/wiki/ISO_8601";
    assert_eq!(changed(&date), words);
    let algorithm = |arrived: &mut Arrived| {
        let authorization = arrived.text("authorization");
        arrived.set("authorization", &authorization.replace("SHA256 ", "SHA25 "));
    };
    let words = "IncompleteSignatureException: Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA25' (only AWS4-HMAC-SHA256 for now). ";
    assert_eq!(changed(&algorithm), words);
    // An old date is found before all of these.
    let old = |arrived: &mut Arrived| {
        arrived.set("x-amz-date", "20170101T010101Z");
        arrived.set(
            "authorization",
            "AWS4-HMAC-SHA1 Credential=a/2/3/4/x SignedHeaders=x-amz-date;host Signature=123",
        );
    };
    assert!(
        changed(&old).starts_with("InvalidSignatureException: Signature expired: 20170101T010101Z is now")
    );
}

#[test]
fn a_payload_that_is_not_signed_is_rejected_and_one_that_says_its_hash_is_not() {
    let saying = |said: String| {
        let mut request = Unsigned::plain(noon());
        request.headers.push(("x-amz-content-sha256".to_owned(), said));
        request.signed().verified_by(&callers(), noon())
    };
    let own = String::from_utf8(crate::wire::sigv4::hex(sha256(b"{}")).into()).unwrap();
    assert!(saying(own.clone()).is_ok());
    for said in ["UNSIGNED-PAYLOAD".to_owned(), String::new(), own.to_uppercase(), "0".repeat(64)] {
        let rejected = saying(said).unwrap_err();
        assert!(rejected.contains("'x-amz-content-sha256' is not the SHA-256 of the body"), "{rejected}");
    }
}

#[test]
fn a_key_that_is_withdrawn_is_unknown_to_the_next_request() {
    let callers = callers();
    let request = Unsigned::plain(noon()).signed();
    assert!(request.verified_by(&callers, noon()).is_ok());
    callers.replace_keys(KeyRing::new(LoadedCallers::default()).unwrap());
    assert_eq!(request.verified_by(&callers, noon()), Err(UNRECOGNIZED.to_owned()));
}
