//! The same for callers that are verified: whatever they send, and however it is signed, both roads answer the same.

use std::time::Duration;

use aws_sigv4::http_request::SignatureLocation;
use fastrand::Rng;

use super::changed_requests::{Message, Mutation};
use super::shortcut::{Door, End, Kinds, Script, Step, plain, run_both_for, script};
use super::verified::{TOKEN, Unsigned, callers, from_environment, noon};
use super::*;
use crate::config::LoadedCallers;
use crate::tls::Certificate;
use crate::wire::sigv4::{hex, sha256};

/// Verifies callers as if it were noon.
struct AtNoon(SignedCallers);

impl Authenticator for AtNoon {
    const HASHES_BODIES: bool = SignedCallers::HASHES_BODIES;
    const TAKES_ANYONE: bool = SignedCallers::TAKES_ANYONE;

    fn authenticate<'a>(&self, presented: &Presented<'a>) -> Result<Caller<'a>, Unverified> {
        let principal = self.0.identify(presented, noon().into())?;
        Ok(Caller::verified(presented.credential, principal))
    }

    fn recognize(&self, certificate: &Certificate) -> Result<Option<Caller<'static>>, Unverified> {
        self.0.recognize(certificate)
    }

    fn authorize(
        &self,
        credential: ConnectionCredential,
        certificate: Option<&Certificate>,
    ) -> Result<AuthorizedConnection, Unverified> {
        self.0.authorize(credential, certificate)
    }

    fn confirm(
        &self,
        connection: &mut AuthorizedConnection,
        certificate: Option<&Certificate>,
    ) -> Result<(), Unverified> {
        self.0.confirm(connection, certificate)
    }
}

impl Door for AtNoon {
    fn new() -> Self {
        Self(callers())
    }

    fn close(&self) {
        self.0.replace_keys(KeyRing::new(LoadedCallers::default()).unwrap());
    }
}

/// A way in which another request is signed than a client should.
type Signing = (&'static str, fn(&mut Unsigned, &mut Rng));

const SIGNINGS: &[Signing] = &[
    ("another secret", |request, _| request.secret.push('x')),
    ("an unknown key", |request, _| request.access_key = "AKIDNONE".to_owned()),
    ("an expired key", |request, _| request.access_key.push_str("OLD")),
    ("a wrong token", |request, _| request.token = Some("t".to_owned())),
    ("no token", |request, _| request.token = None),
    ("an old date", |request, random| request.time = noon() - Duration::from_secs(random.u64(899..1000))),
    ("a date to come", |request, random| request.time = noon() + Duration::from_secs(random.u64(899..1000))),
    ("another day", |request, _| request.time = noon() - Duration::from_secs(24 * 60 * 60)),
    ("another region", |request, _| request.region = "eu-west-2".to_owned()),
    ("another service", |request, _| request.service = "dax".to_owned()),
    ("the hash of the body", |request, _| {
        let hash = String::from_utf8(hex(sha256(&request.body)).to_vec()).unwrap();
        request.headers.push(("x-amz-content-sha256".to_owned(), hash));
    }),
    ("a wrong hash", |request, random| {
        let hash =
            ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "e3b0c44298fc1c149afbf4c8996fb924"];
        request.headers.push(("x-amz-content-sha256".to_owned(), hash[random.usize(..3)].to_owned()));
    }),
    ("another body", |request, _| request.body.push(b' ')),
    ("a query string", |request, _| request.query = "a=1".to_owned()),
    ("in the query string", |request, _| request.location = SignatureLocation::QueryParams),
];

/// Ways to change what was signed.
const CHANGES: &[Mutation] = &[
    ("names out of order", |message, _| change_names(message, |names| names.reverse())),
    ("a name twice", |message, _| change_names(message, |names| names.push("x-amz-target".to_owned()))),
    ("a name more", |message, _| change_names(message, |names| names.push("zz".to_owned()))),
    ("a name of another case", |message, random| {
        let place = random.usize(..3);
        change_names(message, |names| names[place].make_ascii_uppercase());
    }),
    ("a name less", |message, random| {
        let place = random.usize(..3);
        change_names(message, |names| drop(names.remove(place)));
    }),
    ("a header twice", |message, random| {
        let name = ["host", "x-amz-date", "x-amz-target", "content-type", "authorization"][random.usize(..5)];
        let line = String::from_utf8(message.find(name).clone()).unwrap();
        message.put(&line, random);
    }),
    ("another date beside it", |message, random| message.put("date: Sat, 21 Nov 2026 12:00:00 GMT", random)),
    ("a date of HTTP", |message, _| {
        *message.find("x-amz-date") = b"date: Sat, 21 Nov 2026 12:00:00 GMT".to_vec();
    }),
    ("a token beside it", |message, random| message.put(&format!("x-amz-security-token: {TOKEN}"), random)),
    ("another algorithm", |message, _| {
        change_authorization(message, |value| value.replace("SHA256 ", "SHA1 "))
    }),
    ("another target", |message, _| {
        *message.find("x-amz-target") = b"x-amz-target: DynamoDB_20120810.Scan".to_vec()
    }),
    ("another digit", |message, random| {
        let digit = char::from(b"0123456789abcdefABCDEFg"[random.usize(..23)]);
        change_authorization(message, |mut value| {
            value.pop();
            value.push(digit);
            value
        });
    }),
];

fn change_authorization(message: &mut Message, change: impl FnOnce(String) -> String) {
    let line = message.find("authorization");
    *line = change(String::from_utf8(line.clone()).unwrap()).into_bytes();
}

fn change_names(message: &mut Message, change: impl FnOnce(&mut Vec<String>)) {
    change_authorization(message, |value| {
        let start = value.find("SignedHeaders=").unwrap() + "SignedHeaders=".len();
        let end = start + value[start..].find(',').unwrap();
        let mut names: Vec<String> = value[start..end].split(';').map(str::to_owned).collect();
        change(&mut names);
        format!("{}{}{}", &value[..start], names.join(";"), &value[end..])
    });
}

/// A request of one of two callers, which is signed as it should be.
fn well_signed(random: &mut Rng) -> Unsigned {
    let has_token = random.u8(..3) == 0;
    let mut headers = vec![("content-type".to_owned(), "application/x-amz-json-1.0".to_owned())];
    if random.bool() {
        headers.push(("x-amz-user-agent".to_owned(), "a  b".to_owned()));
    }
    Unsigned {
        access_key: if has_token { "AKIDTOKEN" } else { "AKIDPLAIN" }.to_owned(),
        token: has_token.then(|| TOKEN.to_owned()),
        target: format!("DynamoDB_20120810.{}", Message::operation_at_random(random)),
        headers,
        body: Message::body_at_random(random).into_bytes(),
        ..Unsigned::plain(noon())
    }
}

/// The message of a request that was signed.
fn message(request: &Unsigned, body: &[u8], random: &mut Rng) -> Message {
    let head = request.signed().head;
    let lines = head.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
    let lines = lines.chain(Message::more_at_random(random)).collect();
    let query = head.uri.query().filter(|query| !query.is_empty());
    let target = query.map_or("/".to_owned(), |query| format!("/?{query}"));
    Message::new(&format!("POST {target} HTTP/1.1"), lines, body, random)
}

fn at_random(random: &mut Rng, kinds: &mut Kinds) -> Message {
    let mut request = well_signed(random);
    let body = request.body.clone();
    match random.u8(..8) {
        0 => {
            let (kind, change) = SIGNINGS[random.usize(..SIGNINGS.len())];
            change(&mut request, random);
            *kinds.entry(kind).or_default() += 1;
            message(&request, &body, random)
        }
        1 if request.location == SignatureLocation::Headers => {
            let mut message = message(&request, &body, random);
            let (kind, change) = CHANGES[random.usize(..CHANGES.len())];
            change(&mut message, random);
            *kinds.entry(kind).or_default() += 1;
            message
        }
        _ => message(&request, &body, random),
    }
}

#[test]
fn whoever_calls_is_answered_as_behind_hyper() {
    let seed = from_environment("NEARSIDE_SEED").unwrap_or_else(|| fastrand::u64(..));
    let cases = from_environment("NEARSIDE_CASES").unwrap_or(1_000);
    println!("{cases} connections; replay with NEARSIDE_SEED={seed} NEARSIDE_CASES={cases}");
    let (mut random, mut kinds) = (Rng::with_seed(seed), Kinds::new());
    let (mut at_once, mut later, mut asked, mut denied) = (0, 0, 0, 0);
    for _ in 0..cases {
        let script = script(&mut random, &mut kinds, at_random);
        let (outcome, answered) = run_both_for::<AtNoon>(&script);
        at_once += answered.0;
        later += answered.1;
        asked += outcome.asked.len();
        denied += outcome.told.iter().filter(|told| told.contains("Denied(")).count();
    }
    println!(
        "{at_once} of {asked} calls were answered at the socket at once, {later} later, {denied} denied; {kinds:?}"
    );
    for (kind, _) in SIGNINGS {
        assert!(kinds.contains_key(kind), "{kind}");
    }
    for (kind, _) in CHANGES {
        assert!(kinds.contains_key(kind), "{kind}");
    }
    let socket = at_once + later;
    assert!(at_once * 8 > asked && later * 20 > asked && socket * 10 < asked * 9, "all ways are taken");
    assert!(denied * 20 > asked, "{denied} of {asked}");
}

/// A hit that this caller asks for.
fn hit(change: impl FnOnce(&mut Unsigned)) -> Step {
    let headers = vec![("content-type".to_owned(), "application/x-amz-json-1.0".to_owned())];
    let mut request = Unsigned { headers, body: b"{\"hit\":5}".to_vec(), ..Unsigned::plain(noon()) };
    change(&mut request);
    let body = b"{\"hit\":5}";
    Step::Send(message(&request, body, &mut Rng::with_seed(1)).bytes())
}

fn run(steps: Vec<Step>) -> (Vec<String>, (usize, usize)) {
    let settled = steps.into_iter().flat_map(|step| [step, Step::Settle]).collect();
    let script: Script = plain(settled, End::Close);
    let (outcome, answered) = run_both_for::<AtNoon>(&script);
    let bodies = outcome.received.split("\r\n\r\n").skip(1);
    (bodies.map(|body| body.split("HTTP/1.1").next().unwrap().to_owned()).collect(), answered)
}

#[test]
fn a_hit_is_answered_to_who_may_have_it_and_denied_to_others() {
    let token = |request: &mut Unsigned| {
        (request.access_key, request.token) = ("AKIDTOKEN".to_owned(), Some(TOKEN.to_owned()));
    };
    let query = |request: &mut Unsigned| request.target = "DynamoDB_20120810.Query".to_owned();
    let steps = vec![
        hit(|_| ()),
        hit(query),
        hit(token),
        hit(|request| {
            token(request);
            query(request);
        }),
        hit(|request| request.secret.push('x')),
        hit(|request| request.time -= Duration::from_secs(901)),
        Step::Withdraw,
        hit(|_| ()),
    ];
    let (bodies, answered) = run(steps);
    let expected = [
        "xxxxxAKIDPLAIN-owner",
        "xxxxxAKIDPLAIN-owner",
        "xxxxxAKIDTOKEN-owner",
        "#AccessDeniedException",
        "#InvalidSignatureException",
        "Signature expired",
        "#UnrecognizedClientException",
    ];
    assert_eq!((bodies.len(), answered), (expected.len(), (3, 1)), "{bodies:?}");
    for (body, expected) in bodies.iter().zip(expected) {
        assert!(body.contains(expected), "{body}");
    }
}
