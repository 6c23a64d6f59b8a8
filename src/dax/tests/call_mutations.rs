//! Hostile requests, and answers that are none: each is read or rejected, and each answer is whole.
//!
//! `NEARSIDE_CASES` sets how many cases there are, `NEARSIDE_SEED` replays one run.

use super::bytes_of_hex;
use super::calls::{calls, decode};
use super::mutations::{given, mutate};
use super::stub::Stub;
use crate::call::Answer;
use crate::dax::answer;
use crate::dax::cbor::Reader;
use crate::dax::item::ItemWriter;
use crate::dax::method::Method;
use crate::dax::request::{Call, Decoded};

/// A method and the bytes behind its id.
type Request = (Method, Vec<u8>);

fn requests() -> Vec<Request> {
    let requests = calls().into_iter().map(|vector| {
        let bytes = bytes_of_hex(&vector.request_hex);
        let mut reader = Reader::new(&bytes);
        reader.int_64().unwrap();
        (Method::of_id(reader.int_64().unwrap()).unwrap(), reader.rest().to_vec())
    });
    requests.collect()
}

fn decoded((method, arguments): &Request, stub: &Stub) -> Option<Decoded> {
    let Ok(Call::Data(call)) = Call::parse(*method, arguments) else { return None };
    assert!(
        !call.tables().is_empty()
            || call.operation().name().contains("Batch")
            || call.operation().name().contains("Transact")
    );
    let decoded = decode(&call, stub).ok()?;
    serde_json::from_slice::<serde::de::IgnoredAny>(&decoded.body).unwrap();
    Some(decoded)
}

/// Checks that a reply is so many whole items.
fn check(reply: &answer::Reply, method: Method) {
    let mut reader = Reader::new(&reply.bytes);
    let mut items = 0;
    while !reader.is_at_end() {
        reader.skip(64).unwrap();
        items += 1;
    }
    let expected = match (&reply.error, method) {
        (Some(_), _) => 3,
        (None, Method::BatchGetItem) => 3,
        (None, Method::BatchWriteItem) => 4,
        (None, _) => 2,
    };
    assert_eq!(items, expected, "{method:?} {:x?}", reply.bytes);
}

#[test]
fn hostile_requests_are_read_or_rejected_and_any_answer_is_whole() {
    let cases = given("NEARSIDE_CASES").unwrap_or(100_000);
    let seed = given("NEARSIDE_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("NEARSIDE_SEED={seed} NEARSIDE_CASES={cases} replays this run");
    let mut random = fastrand::Rng::with_seed(seed);
    let (stub, requests) = (Stub::new(), requests());
    let answers: Vec<String> = calls()
        .iter()
        .map(|vector| {
            let result = &vector.client_result;
            result.get("ok").unwrap_or(result).to_string()
        })
        .collect();
    let (mut read, mut shown) = (0, 0);
    let mut items = ItemWriter::default();
    for case in 0..cases {
        let (method, mut arguments) = requests[random.usize(..requests.len())].clone();
        if case % 4 > 0 {
            mutate(&mut arguments, &mut random);
        }
        let method = if case % 16 == 0 { requests[random.usize(..requests.len())].0 } else { method };
        let Some(decoded) = decoded(&(method, arguments), &stub) else { continue };
        read += 1;
        let mut answer = answers[random.usize(..answers.len())].clone().into_bytes();
        mutate(&mut answer, &mut random);
        let answer = Answer { status: [200, 400, 500][random.usize(..3)], ..Answer::ok(answer) };
        let reply = answer::reply(&answer, &decoded.shape, None, &stub.lists, &mut items);
        // Mutations make names that are in no list.
        if let Ok(reply) = reply {
            check(&reply, method);
            shown += u64::from(reply.error.is_none());
        }
        answer::unprocessed(decoded.operation, &decoded.body, &answer.body);
        answer::joined(decoded.operation, &answer.body, answers[random.usize(..answers.len())].as_bytes());
    }
    println!("{read} requests were read, {shown} answers could be shown");
    assert!(read > cases / 4 && shown > cases / 50, "{read} {shown}");
}
