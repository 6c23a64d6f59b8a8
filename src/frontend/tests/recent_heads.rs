//! A head that is like a recent one says what it says when it is read. `NEARSIDE_CASES` sets how many are tried, `NEARSIDE_SEED`
//! replays a run.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::changed_requests::{MUTATIONS, Message};
use super::verified::from_environment;
use crate::frontend::plain_request::{Message as Seen, Sight, read};
use crate::frontend::recent_heads::Recent;

/// Bytes of which some may stand where a head varies.
const BYTES: &[u8] = b"azAZ09azAZ09-_=,;: \t\r\n/\0\x7f\x80";

/// The head of a client, as it is signed for one call after the other.
fn client(number: u64) -> Message {
    let mut random = Rng::with_seed(number);
    let mut headers = vec![
        "host: h".to_owned(),
        format!("x-amz-target: DynamoDB_20120810.{}", Message::operation_at_random(&mut random)),
        "content-type: application/x-amz-json-1.0".to_owned(),
        "Authorization: AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=b, Signature=0123456789abcdef"
            .to_owned(),
        "x-amz-date: 20261201T120000Z".to_owned(),
        "amz-sdk-invocation-id: 01234567-89ab-cdef".to_owned(),
    ];
    headers.extend(Message::more_at_random(&mut random));
    Message::new("POST / HTTP/1.1", headers, b"{\"hit\":12345}", &mut random)
}

/// Another head of the client: one that varies as it should, or as it should not.
fn varied(bytes: &mut [u8], random: &mut Rng) {
    let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(bytes.len());
    for start in [&b"ature=0"[..], b"date: 2", b"-id: 0", b"length: 1"] {
        let found = bytes[..head].windows(start.len()).position(|window| window == start);
        let Some(at) = found.filter(|_| random.u8(..4) > 0) else { continue };
        let at = at + start.len() - 1 + random.usize(..2);
        bytes[at] = match random.u8(..3) {
            0 => BYTES[random.usize(..BYTES.len())],
            _ => b"0123456789"[random.usize(..10)],
        };
    }
    if random.u8(..4) == 0 && head > 0 {
        bytes[random.usize(..head)] = BYTES[random.usize(..BYTES.len())];
    }
}

#[test]
fn a_head_like_a_recent_one_is_seen_as_if_it_were_read() {
    let seed = from_environment("NEARSIDE_SEED").unwrap_or_else(|| fastrand::u64(..));
    let cases = from_environment("NEARSIDE_CASES").unwrap_or(50_000);
    println!("{cases} heads; replay with NEARSIDE_SEED={seed} NEARSIDE_CASES={cases}");
    let (mut random, mut recent) = (Rng::with_seed(seed), Recent::default());
    let (mut met, mut calls, mut kinds) = (0, 0, BTreeMap::<_, u64>::new());
    for _ in 0..cases {
        let mut message = client(random.u64(..12));
        if random.u8(..6) == 0 {
            let (kind, mutate) = MUTATIONS[random.usize(..MUTATIONS.len())];
            mutate(&mut message, &mut random);
            *kinds.entry(kind).or_default() += 1;
        }
        let mut bytes = message.bytes();
        if random.bool() {
            varied(&mut bytes, &mut random);
        }
        if random.u8(..20) == 0 {
            bytes.truncate(random.usize(..=bytes.len()));
        }
        let expected = read(&bytes);
        if let Some(message) = recent.meet(&bytes) {
            met += 1;
            calls += u64::from(message.call.is_some());
            assert_eq!(Sight::Message(message), expected, "{}", bytes.escape_ascii());
        }
        assert_eq!(recent.look(&bytes), expected, "{}", bytes.escape_ascii());
    }
    println!("{met} were like a recent one, {calls} of them of a call; {kinds:?}");
    assert!(met * 4 > cases && calls * 4 > cases && calls < met, "{met} {calls}");
}

#[test]
fn a_client_s_second_call_needs_no_reading_and_another_client_s_does() {
    let mut recent = Recent::default();
    let bytes = client(1).bytes();
    let Sight::Message(Seen { call: Some(_), .. }) = recent.look(&bytes) else { panic!("a call") };
    let mut signed_anew = String::from_utf8(bytes).unwrap();
    for (from, to) in
        [("0123456789abcdef", "fedcba9876543210"), ("T120000Z", "T120001Z"), ("01234567-", "76543210-")]
    {
        signed_anew = signed_anew.replace(from, to);
    }
    assert!(recent.meet(signed_anew.as_bytes()).is_some());
    for (from, to) in [
        ("host: h", "host: i"),
        ("Credential=a", "Credential=b"),
        ("Signature=f", "Signature=,"),
        ("hit\":12345}", "hit\":123456}"),
    ] {
        let other = signed_anew.replace(from, to);
        assert_ne!(other, signed_anew);
        let seen = recent.meet(other.as_bytes());
        assert!(seen.is_none_or(|message| message.call.is_none()), "{other}");
    }
}
