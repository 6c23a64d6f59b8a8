//! Hostile bytes: every decoder reads or rejects them, and takes no more memory than they deserve.
//!
//! `NEARSIDE_CASES` sets how many cases there are, `NEARSIDE_SEED` replays one run.

use super::stub::Stub;
use super::{bytes_of_hex, vectors};
use crate::dax::attribute_lists::AttributeLists;
use crate::dax::cbor::{Measure, Reader};
use crate::dax::item::{self, ItemWriter};
use crate::dax::{key, lex_decimal, number, value};
use crate::model::KeySchema;

/// The most bytes of JSON for a byte of CBOR: `false` has one, and becomes `{"BOOL":false},`.
const GROWTH_MAX: usize = 16;

pub(super) fn given(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Every byte string, text and item in the vectors, whole and from the inside of byte strings.
fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for vector in vectors(None) {
        let hexes = [
            &vector.request_hex,
            &vector.response_hex,
            &vector.hex,
            &vector.python_hex,
            &vector.javascript_hex,
        ];
        for hex in hexes.into_iter().filter(|hex| !hex.is_empty()) {
            let bytes = bytes_of_hex(hex);
            let mut reader = Reader::new(&bytes);
            while let Ok(item) = reader.item(64) {
                if let Ok(content) = Reader::new(item).bytes() {
                    seeds.push(content.to_vec());
                }
                seeds.push(item.to_vec());
            }
            seeds.push(bytes);
        }
    }
    seeds.sort_unstable();
    seeds.dedup();
    seeds
}

pub(super) fn mutate(bytes: &mut Vec<u8>, random: &mut fastrand::Rng) {
    for _ in 0..random.usize(0..4) {
        let at = random.usize(0..=bytes.len());
        match random.u8(0..6) {
            0 if at < bytes.len() => bytes[at] = random.u8(..),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.u8(0..8),
            2 => bytes.insert(at, random.u8(..)),
            3 => bytes.truncate(at),
            4 => {
                // Heads of any length, of any kind.
                let head = [random.u8(0..8) << 5 | random.u8(24..32)];
                let argument: Vec<u8> = (0..random.usize(0..9)).map(|_| random.u8(..)).collect();
                drop(bytes.splice(at..at, head.into_iter().chain(argument)));
            }
            _ => {
                let part = bytes[at..].to_vec();
                let to = random.usize(0..=bytes.len());
                drop(bytes.splice(to..to, part));
            }
        }
        bytes.truncate(4096);
    }
}

/// The names of a list may be longer than its values.
const NAMES_BYTES: usize = 4096;

fn decode(bytes: &[u8], schemas: &[&KeySchema], lists: &AttributeLists) -> usize {
    let mut read = 0;
    let mut out = Vec::new();
    let mut count = |is_read: bool, out: &mut Vec<u8>| {
        assert!(out.capacity() <= 2 * GROWTH_MAX * bytes.len() + NAMES_BYTES);
        read += usize::from(is_read);
        out.clear();
    };
    let whole = Reader::new(bytes).item(64);
    let mut measure = Measure::new(1, 64);
    let halves = measure.advance(&bytes[..bytes.len() / 2]).and_then(|_| measure.advance(bytes));
    assert_eq!(halves.ok().flatten(), whole.ok().map(<[u8]>::len));
    count(number::read(&mut Reader::new(bytes)).is_ok(), &mut out);
    count(lex_decimal::read(bytes).is_ok(), &mut out);
    let is_value = value::write_json(&mut Reader::new(bytes), &mut out).is_ok();
    if is_value {
        assert!(whole.is_ok());
        let text = String::from_utf8(out.clone()).unwrap();
        // Numbers beyond DynamoDB's limits and such are for DynamoDB to reject, and do not come back from it.
        let mut again = Vec::new();
        if value::write_cbor(&text, &mut again).is_ok() {
            let mut text_again = Vec::new();
            value::write_json(&mut Reader::new(&again), &mut text_again).unwrap();
            assert_eq!(text_again, out);
        }
    }
    count(is_value, &mut out);
    for schema in schemas {
        let is_key = key::write_json(schema, bytes, &mut out).is_ok();
        if is_key {
            let mut again = Vec::new();
            let text = String::from_utf8(out.clone()).unwrap();
            if key::write_bytes_of_json(schema, &text, &mut again).is_ok() {
                let (mut canonical, mut canonical_again) = (Vec::new(), Vec::new());
                let is_valid = key::write_canonical(schema, bytes, &mut canonical);
                assert_eq!(key::write_canonical(schema, &again, &mut canonical_again), is_valid);
                assert_eq!(canonical, canonical_again);
            }
        }
        count(is_key, &mut out);
    }
    count(key::write_json_of_compound(bytes, &mut out).is_ok(), &mut out);
    count(item::write_members(bytes, lists, &mut out).is_ok(), &mut out);
    read
}

#[test]
fn hostile_bytes_are_read_or_rejected() {
    let cases = given("NEARSIDE_CASES").unwrap_or(100_000);
    let seed = given("NEARSIDE_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("NEARSIDE_SEED={seed} NEARSIDE_CASES={cases} replays this run");
    let mut random = fastrand::Rng::with_seed(seed);
    let (stub, seeds) = (Stub::new(), seeds());
    let schemas: Vec<&KeySchema> = stub.schemas.values().collect();
    assert!(seeds.len() > 500 && schemas.len() > 5);
    let mut read = 0;
    for case in 0..cases {
        let mut bytes = match case % 8 {
            0 => (0..random.usize(0..40)).map(|_| random.u8(..)).collect(),
            _ => seeds[random.usize(..seeds.len())].clone(),
        };
        mutate(&mut bytes, &mut random);
        read += decode(&bytes, &schemas, &stub.lists);
    }
    // Most mutations leave something that can be read, or the decoders were not looked into.
    assert!(read as u64 > cases);
}

#[test]
fn hostile_json_is_read_or_rejected() {
    let cases = given("NEARSIDE_CASES").unwrap_or(100_000);
    let seed = given("NEARSIDE_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("NEARSIDE_SEED={seed} NEARSIDE_CASES={cases} replays this run");
    let mut random = fastrand::Rng::with_seed(seed);
    let stub = Stub::new();
    let schemas: Vec<&KeySchema> = stub.schemas.values().collect();
    let mut seeds = Vec::new();
    for vector in vectors(None) {
        let items = [&vector.params["Item"], &vector.params["Key"], &vector.client_result["ok"]["Item"]];
        for item in items.into_iter().filter(|item| item.is_object()) {
            seeds.push(item.to_string());
            seeds.extend(item.as_object().unwrap().values().map(ToString::to_string));
        }
    }
    seeds.sort_unstable();
    seeds.dedup();
    assert!(seeds.len() > 50, "{}", seeds.len());
    let (mut writer, mut read) = (ItemWriter::default(), 0);
    for _ in 0..cases {
        let mut bytes = seeds[random.usize(..seeds.len())].clone().into_bytes();
        mutate(&mut bytes, &mut random);
        let text = String::from_utf8_lossy(&bytes);
        let schema = schemas[random.usize(..schemas.len())];
        let (mut out, mut value) = (Vec::new(), Vec::new());
        // Whatever they say, they do not panic.
        read += u64::from(writer.write_pair(&text, schema, &stub.lists, &mut out).is_ok());
        read += u64::from(writer.write_touched(&text, &stub.lists, &mut out).is_ok());
        read += u64::from(key::write_compound(&text, &mut out).is_ok());
        read += u64::from(key::write_bytes_of_json(schema, &text, &mut out).is_ok());
        if value::write_cbor(&text, &mut value).is_ok() {
            let mut reader = Reader::new(&value);
            value::write_json(&mut reader, &mut Vec::new()).unwrap();
            reader.end().unwrap();
            read += 1;
        }
        assert!(out.len() + value.len() <= 8 * text.len() + 64);
    }
    assert!(read > cases / 4);
}
