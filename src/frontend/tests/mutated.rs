//! No request is accepted that differs from one that was signed. `NEARSIDE_CASES` sets how many are made, `NEARSIDE_SEED` replays a
//! run.

use std::collections::BTreeMap;

use fastrand::Rng;
use http::HeaderValue;

use super::verified::{Arrived, TOKEN, Unsigned, callers, from_environment, noon};

/// How many requests are made of one that was signed.
const OF_ONE: u64 = 50;

/// A way to change a request; false if there is nothing in it to change so.
type Mutation = (&'static str, fn(&mut Arrived, &mut Rng) -> bool);

const MUTATIONS: &[Mutation] = &[
    ("a bit of the signature", |arrived, random| {
        let authorization = arrived.text("authorization");
        let start = authorization.find("Signature=").unwrap() + "Signature=".len();
        flip(arrived, "authorization", start..authorization.len(), random)
    }),
    ("a bit of the authorization", |arrived, random| {
        let end = arrived.text("authorization").len();
        flip(arrived, "authorization", 0..end, random)
    }),
    ("a bit of a signed header", |arrived, random| {
        let name = signed_name(arrived, random);
        let end = arrived.head.headers[&name].len();
        flip(arrived, &name, 0..end, random)
    }),
    ("a bit of the body", |arrived, random| {
        let place = random.usize(..arrived.body.len().max(1));
        arrived.body.get_mut(place).map(|byte| *byte ^= 1 << random.u8(..8)).is_some()
    }),
    ("the length of the body", |arrived, random| match random.bool() {
        true => {
            arrived.body.push(random.u8(..));
            true
        }
        false => arrived.body.pop().is_some(),
    }),
    ("a part of the scope", |arrived, random| {
        let other = [
            ("/20261121/", "/20261120/"),
            ("/20261121/", "/2026112/"),
            ("/eu-west-1/", "/eu-west-2/"),
            ("/eu-west-1/", "/EU-WEST-1/"),
            ("/dynamodb/", "/dax/"),
            ("/dynamodb/", "/dynamodb//"),
            ("/aws4_request", "/aws4_requests"),
            ("AKIDPLAIN/", "AKIDTOKEN/"),
            ("AKIDTOKEN/", "AKIDPLAIN/"),
            ("AKID", "akid"),
        ];
        replace(arrived, "authorization", other[random.usize(..other.len())])
    }),
    ("the date", |arrived, random| {
        let other = [("T11", "T12"), ("T12", "T11"), ("0Z", "1Z"), ("1Z", "2Z"), ("2026", "2025")];
        replace(arrived, "x-amz-date", other[random.usize(..other.len())])
    }),
    ("the target", |arrived, random| {
        let target = ["DeleteItem", "GetItem", "PutItem", "Query"][random.usize(..4)];
        let target = format!("DynamoDB_20120810.{target}");
        let is_other = arrived.text("x-amz-target") != target;
        arrived.set("x-amz-target", &target);
        is_other
    }),
    ("a dropped header", |arrived, random| {
        let name = signed_name(arrived, random);
        arrived.head.headers.remove(name).is_some()
    }),
    ("a doubled header", |arrived, random| {
        let name =
            if random.u8(..8) == 0 { "authorization".to_owned() } else { signed_name(arrived, random) };
        let value = arrived.head.headers[&name].clone();
        let value = if random.bool() { value } else { HeaderValue::from_static("x") };
        arrived.head.headers.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value)
    }),
    ("a folded header", |arrived, random| {
        let name = signed_name(arrived, random);
        let value = arrived.head.headers[&name].as_bytes().to_vec();
        let Some(comma) = value.iter().position(|byte| *byte == b',') else { return false };
        let [one, other] =
            [&value[..comma], &value[comma + 1..]].map(|part| HeaderValue::from_bytes(part).unwrap());
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        arrived.head.headers.insert(&name, one);
        arrived.head.headers.append(&name, other)
    }),
    ("a token", |arrived, random| {
        let is_there = arrived.head.headers.contains_key("x-amz-security-token");
        arrived.set("x-amz-security-token", ["", "t", "FwoG"][random.usize(..3)]);
        if !is_there && random.bool() {
            arrived.set("x-amz-security-token", TOKEN);
        }
        true
    }),
    ("a hash of the payload", |arrived, random| {
        let said = ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "0"][random.usize(..3)];
        arrived.set("x-amz-content-sha256", said);
        true
    }),
    ("the list of signed headers", |arrived, random| {
        let authorization = arrived.text("authorization");
        let names = names(&authorization).to_owned();
        let mut list: Vec<&str> = names.split(';').collect();
        let place = random.usize(..list.len());
        match random.u8(..4) {
            0 => drop(list.remove(place)),
            1 => list.insert(place, list[place]),
            2 => list.swap(place, 0),
            _ => list.push("zzz"),
        }
        let changed = list.join(";");
        arrived.set("authorization", &authorization.replace(&names, &changed));
        changed != names
    }),
    ("the request line", |arrived, random| match random.u8(..3) {
        0 => {
            arrived.head.method = http::Method::PUT;
            true
        }
        1 => {
            arrived.head.uri = "/other".parse().unwrap();
            true
        }
        _ => {
            let query = arrived.head.uri.query().unwrap_or_default();
            arrived.head.uri = format!("/?{query}&c=d").parse().unwrap();
            true
        }
    }),
];

/// The names of the signed headers.
fn names(authorization: &str) -> &str {
    let list = authorization.split("SignedHeaders=").nth(1).unwrap();
    list.split(',').next().unwrap()
}

fn signed_name(arrived: &Arrived, random: &mut Rng) -> String {
    let authorization = arrived.text("authorization");
    let list: Vec<&str> = names(&authorization).split(';').collect();
    list[random.usize(..list.len())].to_owned()
}

/// Flips a bit of a header's value. False if there is no such header any more, or one that means the same: spaces at the ends and
/// rows of them are not signed.
fn flip(arrived: &mut Arrived, name: &str, range: std::ops::Range<usize>, random: &mut Rng) -> bool {
    if range.is_empty() {
        return false;
    }
    let before = arrived.head.headers[name].as_bytes().to_vec();
    let mut value = before.clone();
    value[random.usize(range)] ^= 1 << random.u8(..8);
    let words = |value: &[u8]| -> Vec<Vec<u8>> {
        value.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).map(<[u8]>::to_vec).collect()
    };
    let is_other = words(&before) != words(&value);
    // Only what a server of HTTP lets through.
    let Ok(value) = HeaderValue::from_bytes(&value) else { return false };
    arrived.head.headers.insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    is_other
}

fn replace(arrived: &mut Arrived, name: &str, (from, to): (&str, &str)) -> bool {
    let before = arrived.text(name);
    let after = before.replacen(from, to, 1);
    arrived.set(name, &after);
    before != after
}

#[test]
fn no_request_is_accepted_that_differs_from_a_signed_one() {
    let seed = from_environment("NEARSIDE_SEED").unwrap_or_else(|| fastrand::u64(..));
    let cases = from_environment("NEARSIDE_CASES").unwrap_or(5_000);
    println!("{cases} requests; replay with NEARSIDE_SEED={seed} NEARSIDE_CASES={cases}");
    let (mut random, callers) = (Rng::with_seed(seed), callers());
    let (mut made, mut kinds) = (0, BTreeMap::<&str, u64>::new());
    while made < cases {
        let signed = Unsigned::at_random(&mut random, noon()).signed();
        assert!(signed.verified_by(&callers, noon()).is_ok(), "seed {seed}: {signed:?}");
        for _ in 0..OF_ONE {
            let (kind, mutate) = MUTATIONS[random.usize(..MUTATIONS.len())];
            let mut mutated = signed.clone();
            if mutate(&mut mutated, &mut random) {
                made += 1;
                *kinds.entry(kind).or_default() += 1;
                let verdict = mutated.verified_by(&callers, noon());
                assert!(verdict.is_err(), "seed {seed}: {kind} of {signed:?} makes {mutated:?}");
            }
        }
    }
    println!("{kinds:?}");
    assert_eq!(kinds.len(), MUTATIONS.len(), "every kind of change is made: {kinds:?}");
}
