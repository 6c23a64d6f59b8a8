//! Attribute values, text to text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::bytes_of_hex;
use crate::dax::cbor::{Malformed, Reader, Writer};
use crate::dax::number;
use crate::dax::value::{self, LEVELS_MAX};
use crate::model::Number;

fn json(cbor: &[u8]) -> Result<String, Malformed> {
    let mut out = Vec::new();
    let mut reader = Reader::new(cbor);
    value::write_json(&mut reader, &mut out)?;
    reader.end()?;
    Ok(String::from_utf8(out).unwrap())
}

fn cbor(json: &str) -> Result<Vec<u8>, Malformed> {
    let mut out = Vec::new();
    value::write_cbor(json, &mut out).map(|()| out)
}

#[test]
fn every_type_has_its_form() {
    for (text, hex) in [
        (r#"{"S":""}"#, "60"),
        (r#"{"S":"héllo 世\n\"\\"}"#, "6d 68c3a96c6c6f20e4b8960a225c"),
        (r#"{"N":"-1.5"}"#, "c482202e"),
        (r#"{"N":"23"}"#, "17"),
        (r#"{"B":""}"#, "40"),
        (r#"{"B":"AAEC/w=="}"#, "44 000102ff"),
        (r#"{"BOOL":true}"#, "f5"),
        (r#"{"BOOL":false}"#, "f4"),
        (r#"{"NULL":true}"#, "f6"),
        (r#"{"L":[]}"#, "80"),
        (r#"{"M":{}}"#, "a0"),
        (r#"{"L":[{"S":"x"},{"N":"1"},{"M":{"k":{"S":"v"}}}]}"#, "83 6178 01 a1 616b 6176"),
        (r#"{"SS":["b","a"]}"#, "d90cf9 82 6162 6161"),
        (r#"{"NS":["1","1.5"]}"#, "d90cfa 82 01 c482200f"),
        (r#"{"BS":["AQ==","Ag=="]}"#, "d90cfb 82 4101 4102"),
    ] {
        let bytes = bytes_of_hex(hex);
        assert_eq!(cbor(text).as_ref(), Ok(&bytes), "{text}");
        assert_eq!(json(&bytes).as_deref(), Ok(text), "{hex}");
    }
}

#[test]
fn what_only_some_clients_send_is_read() {
    for (hex, expected) in [
        ("9f 01 ff", r#"{"L":[{"N":"1"}]}"#),
        ("bf 616b 01 ff", r#"{"M":{"k":{"N":"1"}}}"#),
        ("d90cf9 9f 6161 ff", r#"{"SS":["a"]}"#),
        ("fb3ff8000000000000", r#"{"N":"1.5"}"#),
        ("d90cfa 82 fb3fb999999999999a c24101", r#"{"NS":["0.1","1"]}"#),
        // For DynamoDB to reject.
        ("d90cf9 80", r#"{"SS":[]}"#),
        ("d90cf9 82 6161 6161", r#"{"SS":["a","a"]}"#),
        ("a2 60 01 60 02", r#"{"M":{"":{"N":"1"},"":{"N":"2"}}}"#),
        ("c482 18ff 01", r#"{"N":"1E126"}"#),
    ] {
        assert_eq!(json(&bytes_of_hex(hex)).as_deref(), Ok(expected), "{hex}");
    }
}

#[test]
fn what_is_no_value_is_rejected() {
    for hex in [
        "",
        "ff",
        "f7",
        "f93c00",
        "62c328",
        "d90cfc 00",
        "d90cf9 81 01",
        "d90cfa 81 6131",
        "d90cfb 81 6131",
        "a1 01 01",
        "a1 4161 01",
        "81",
        "d90cf9",
        "c1 01",
        "d90cf9 6161",
        "9f 01",
    ] {
        assert!(json(&bytes_of_hex(hex)).is_err(), "{hex}");
    }
    for text in [
        "",
        "{}",
        "null",
        r#"{"S":1}"#,
        r#"{"X":"a"}"#,
        r#"{"S":"a","N":"1"}"#,
        r#"{"S":"a"}}"#,
        r#"{"S":"a"} x"#,
        r#"{"N":"x"}"#,
        r#"{"N":1}"#,
        r#"{"N":"1E126"}"#,
        r#"{"B":"A"}"#,
        r#"{"B":"AA=A"}"#,
        r#"{"B":"===="}"#,
        r#"{"BOOL":1}"#,
        r#"{"NULL":false}"#,
        r#"{"L":{}}"#,
        r#"{"M":[]}"#,
        r#"{"M":{"a":1}}"#,
        r#"{"SS":[1]}"#,
        r#"{"L":[{"S":"a"},]}"#,
        r#"{"\u0053":"a"}"#,
    ] {
        assert!(cbor(text).is_err(), "{text}");
    }
}

#[test]
fn white_space_and_escapes_do_not_matter() {
    let text = " {\n\"M\" : { \"a\\u0062\" : { \"L\" : [ { \"S\" : \"\\u00e9\\/\" } , {\"B\":\"AA\\u003d=\"} ] } } }\t";
    assert_eq!(json(&cbor(text).unwrap()).as_deref(), Ok(r#"{"M":{"ab":{"L":[{"S":"é/"},{"B":"AA=="}]}}}"#));
}

#[test]
fn values_are_nested_a_little_deeper_than_dynamodb_allows_and_no_deeper() {
    for (opening, closing, head, leaf) in [
        (r#"{"L":["#, "]}", &[0x81][..], "{\"S\":\"\"}"),
        (r#"{"M":{"a":"#, "}}", &[0xA1, 0x61, b'a'], "{\"S\":\"\"}"),
    ] {
        let text = |levels: usize| opening.repeat(levels - 1) + leaf + &closing.repeat(levels - 1);
        let bytes = |levels: usize| [&head.repeat(levels - 1)[..], &[0x60]].concat();
        for levels in [1, 32, 33, LEVELS_MAX] {
            assert_eq!(json(&bytes(levels)), Ok(text(levels)));
            assert_eq!(cbor(&text(levels)), Ok(bytes(levels)));
        }
        assert!(json(&bytes(LEVELS_MAX + 1)).is_err() && cbor(&text(LEVELS_MAX + 1)).is_err());
        assert!(json(&bytes(100_000)).is_err() && cbor(&text(100_000)).is_err());
    }
    // With a set of numbers in the deepest list.
    let deepest = [&[0x81_u8; LEVELS_MAX - 1][..], &bytes_of_hex("d90cfa 81 c482200f")].concat();
    assert!(json(&deepest).is_ok());
    assert!(Reader::new(&deepest).item(value::DEPTH_MAX).is_ok());
}

#[test]
fn a_long_list_costs_no_more_than_it_has() {
    for count in [23, 24, 255, 256, 70_000] {
        let mut bytes = Vec::new();
        Writer::new(&mut bytes).array(count);
        bytes.resize(bytes.len() + count, 0xF6);
        let text = json(&bytes).unwrap();
        assert_eq!(text.len(), count * 14 + 7);
        assert_eq!(cbor(&text), Ok(bytes));
    }
    let mut declared = Vec::new();
    Writer::new(&mut declared).array(usize::MAX);
    assert_eq!(json(&declared), Err(Malformed::Truncated));
}

#[test]
fn a_value_that_grows_beyond_any_request_is_given_up_while_it_is_written() {
    // Each byte becomes 15, and all together would become 105 MB.
    let count = 7_000_000;
    let mut list = Vec::new();
    Writer::new(&mut list).array(count);
    list.resize(list.len() + count, 0xF4);
    let mut map = Vec::new();
    Writer::new(&mut map).map(count);
    map.extend_from_slice(&[0x60, 0xF6].repeat(count));
    let mut text = Vec::new();
    Writer::new(&mut text).text(&"\u{1}".repeat(2 * count));
    for value in [list, map, text] {
        let mut out = Vec::new();
        assert_eq!(value::write_json(&mut Reader::new(&value), &mut out), Err(Malformed::TooLarge));
        assert!(out.len() <= value::JSON_BYTES_MAX + 64, "{}", out.len());
    }
}

fn text_json(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{0,8}", ".{0,6}", "[a\"\\\\/\n\u{1}é世\u{1F600}]{0,6}"]
}

fn any_number() -> impl Strategy<Value = String> {
    let coefficient = prop_oneof![0..300_u128, 0..10_u128.pow(38)];
    (any::<bool>(), coefficient, -140..130_i32).prop_filter_map(
        "in range",
        |(negative, coefficient, exponent)| {
            let number = Number::from_parts(negative, coefficient, exponent).ok()?;
            let mut text = Vec::new();
            number::append_text(number, &mut text);
            Some(format!("\"{}\"", str::from_utf8(&text).unwrap()))
        },
    )
}

fn any_binary() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| format!("\"{}\"", STANDARD.encode(bytes)))
}

/// The canonical JSON of any value, some with empty sets.
pub(super) fn any_value() -> impl Strategy<Value = String> {
    let list = |of: BoxedStrategy<String>| {
        prop::collection::vec(of, 0..5).prop_map(|all| format!("[{}]", all.join(",")))
    };
    let texts = || any_text().prop_map(|text| text_json(&text)).boxed();
    let leaf = prop_oneof![
        texts().prop_map(|text| format!("{{\"S\":{text}}}")),
        any_number().prop_map(|number| format!("{{\"N\":{number}}}")),
        any_binary().prop_map(|binary| format!("{{\"B\":{binary}}}")),
        any::<bool>().prop_map(|truth| format!("{{\"BOOL\":{truth}}}")),
        Just("{\"NULL\":true}".to_owned()),
        list(texts()).prop_map(|set| format!("{{\"SS\":{set}}}")),
        list(any_number().boxed()).prop_map(|set| format!("{{\"NS\":{set}}}")),
        list(any_binary().boxed()).prop_map(|set| format!("{{\"BS\":{set}}}")),
    ];
    leaf.prop_recursive(6, 60, 30, move |inner| {
        let member =
            (any_text(), inner.clone()).prop_map(|(name, value)| format!("{}:{value}", text_json(&name)));
        prop_oneof![
            prop::collection::vec(inner, 0..30).prop_map(|all| format!("{{\"L\":[{}]}}", all.join(","))),
            prop::collection::vec(member, 0..30).prop_map(|all| format!("{{\"M\":{{{}}}}}", all.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn values_survive_the_way_there_and_back(text in any_value()) {
        let bytes = cbor(&text).unwrap();
        prop_assert_eq!(json(&bytes), Ok(text));
        prop_assert_eq!(Reader::new(&bytes).item(value::DEPTH_MAX), Ok(&bytes[..]));
    }
}
