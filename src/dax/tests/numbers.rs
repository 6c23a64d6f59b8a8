//! Numbers: as attributes and as sort keys.

use proptest::prelude::*;

use super::{bytes_of_hex, vectors};
use crate::dax::cbor::{Malformed, Reader, Writer};
use crate::dax::lex_decimal;
use crate::dax::number::{self, NumberFault};
use crate::model::Number;
use crate::model::number::NumberError;

fn number(text: &str) -> Number {
    Number::parse(text).unwrap()
}

fn cbor(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    number::write(text, &mut Writer::new(&mut out)).unwrap();
    out
}

fn read(bytes: &[u8]) -> Result<Number, NumberFault> {
    let mut reader = Reader::new(bytes);
    let number = number::read(&mut reader)?;
    reader.end()?;
    Ok(number)
}

fn text(bytes: &[u8]) -> Result<String, Malformed> {
    let mut out = Vec::new();
    let mut reader = Reader::new(bytes);
    number::write_text(&mut reader, &mut out)?;
    reader.end()?;
    Ok(String::from_utf8(out).unwrap())
}

fn lexed(number: Number) -> Vec<u8> {
    let mut out = Vec::new();
    lex_decimal::write(number, &mut out);
    out
}

#[test]
fn attribute_numbers_of_the_clients_are_read_and_the_servers_are_written() {
    let vectors = vectors(Some("number attribute value"));
    assert_eq!(vectors.len(), 93);
    for vector in vectors {
        let expected = number(&vector.number);
        for hex in [&vector.python_hex, &vector.javascript_hex, &vector.server_hex] {
            assert_eq!(read(&bytes_of_hex(hex)), Ok(expected), "{} as {hex}", vector.number);
            let text = text(&bytes_of_hex(hex)).unwrap();
            assert_eq!(Number::parse(&text), Ok(expected), "{} as {hex}", vector.number);
            assert!(text.len() < 50, "{text}");
        }
        assert_eq!(cbor(&vector.number), bytes_of_hex(&vector.server_hex), "{}", vector.number);
        assert_eq!(cbor(&expected.to_string()), bytes_of_hex(&vector.server_hex), "{}", vector.number);
    }
}

#[test]
fn sort_keys_of_the_clients_are_read_and_the_servers_are_written() {
    let vectors = vectors(Some("LexDecimal"));
    assert_eq!(vectors.len(), 99);
    for vector in vectors {
        let code = bytes_of_hex(&vector.hex);
        match Number::parse(&vector.number) {
            Ok(number) => {
                assert_eq!(lex_decimal::read(&code), Ok(number), "{}", vector.number);
                if !vector.canonical_hex.is_empty() {
                    let canonical = bytes_of_hex(&vector.canonical_hex);
                    assert_eq!(lexed(number), canonical, "{}", vector.number);
                    assert_eq!(lex_decimal::read(&canonical), Ok(number), "{}", vector.number);
                }
            }
            Err(limit) => assert_eq!(lex_decimal::read(&code), Err(NumberFault::Limit(limit))),
        }
    }
}

#[test]
fn reserved_and_unfinished_codes_are_no_sort_keys() {
    assert_eq!(lex_decimal::read(&[0x7F]), Ok(Number::ZERO));
    for hex in [
        "",
        "00",
        "ff",
        "8000",
        "7f00",
        "c1",
        "c11c",
        "c10000",
        "c1008000",
        "c11c000000",
        "fe8000003e",
        "c1fe8000",
        "c11c3000",
    ] {
        let code = lex_decimal::read(&bytes_of_hex(hex));
        assert!(matches!(code, Err(NumberFault::Malformed(_))), "{hex}: {code:?}");
    }
}

#[test]
fn forms_that_no_client_chooses_are_read_by_value() {
    for (hex, expected) in [
        ("1b0000000000000005", "5"),
        ("c240", "0"),
        ("c340", "-1"),
        ("c24900000000000000000f", "15"),
        ("c482 00 c24105", "5"),
        ("c482 02 20", "-100"),
        ("c49f 20 0f ff", "1.5"),
        ("fa3dcccccd", "0.1"),
        ("fa3fc00000", "1.5"),
        ("fb8000000000000000", "0"),
        ("fb4341c37937e08000", "10000000000000000"),
        ("fb7ff0000000000000", "NaN"),
        ("fa7fc00000", "NaN"),
        ("fb7fefffffffffffff", "1E126"),
        ("fb0000000000000001", "1E-131"),
        ("c2523b9aca000000000000000000000000000001", "111111111111111111111111111111111111111"),
        ("c482187d20", "-1E125"),
        ("c482388101", "1E-130"),
        ("c482382701", "0.0000000000000000000000000000000000000001"),
        ("c482182501", "10000000000000000000000000000000000000"),
        ("c4821b7fffffffffffffff01", "1E126"),
        ("c4823bffffffffffffffff01", "1E-131"),
    ] {
        let bytes = bytes_of_hex(hex);
        assert_eq!(text(&bytes).as_deref(), Ok(expected), "{hex}");
    }
    for hex in [
        "6131",
        "4131",
        "f6",
        "c101",
        "c480",
        "c48101",
        "c483010203",
        "c4826130 01",
        "c48201f6",
        "c482 01 c48201 01",
        "f93c00",
    ] {
        assert!(matches!(read(&bytes_of_hex(hex)), Err(NumberFault::Malformed(_))), "{hex}");
        assert!(text(&bytes_of_hex(hex)).is_err(), "{hex}");
    }
}

#[test]
fn bignums_with_zeros_at_the_end_are_numbers_as_long_as_they_fit() {
    let mut bytes = vec![1_u8];
    for zeros in 1..=200 {
        // The bytes of 10^zeros.
        let mut carry = 0;
        for byte in bytes.iter_mut().rev() {
            let product = u32::from(*byte) * 10 + carry;
            *byte = product as u8;
            carry = product >> 8;
        }
        if carry > 0 {
            bytes.insert(0, carry as u8);
        }
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out);
        writer.tag(2);
        writer.bytes(&bytes);
        let expected = match zeros {
            ..=125 => Ok(number(&format!("1e{zeros}"))),
            126..=154 => Err(NumberFault::Limit(NumberError::Overflow)),
            _ => Err(NumberFault::Limit(NumberError::TooPrecise)),
        };
        assert_eq!(read(&out), expected, "{zeros}");
    }
}

#[test]
fn numbers_around_64_bits_are_whole() {
    for (text, hex) in [
        ("9223372036854775807", "1b7fffffffffffffff"),
        ("9223372036854775808", "1b8000000000000000"),
        ("-9223372036854775808", "3b7fffffffffffffff"),
        ("-9223372036854775809", "3b8000000000000000"),
        ("999999999999999999", "1b0de0b6b3a763ffff"),
        ("-9999999999999999999", "3b8ac7230489e7fffe"),
        ("18446744073709551616", "c249010000000000000000"),
        ("922337203685477580.7", "c482201b7fffffffffffffff"),
        ("-0.9223372036854775808", "c482323b7fffffffffffffff"),
    ] {
        assert_eq!(cbor(text), bytes_of_hex(hex), "{text}");
        assert_eq!(read(&bytes_of_hex(hex)), Ok(number(text)), "{text}");
    }
}

#[test]
fn a_text_beyond_a_limit_is_one_to_the_model_too() {
    for limit in
        [NumberError::Malformed, NumberError::TooPrecise, NumberError::Overflow, NumberError::Underflow]
    {
        assert_eq!(Number::parse(number::beyond(limit)), Err(limit));
    }
}

fn any_number() -> impl Strategy<Value = Number> {
    let coefficient = prop_oneof![0..1000_u128, 0..10_u128.pow(38)];
    (any::<bool>(), coefficient, -135..130_i32)
        .prop_filter_map("in range", |(negative, coefficient, exponent)| {
            Number::from_parts(negative, coefficient, exponent).ok()
        })
}

/// The code that a client would write that keeps so many zeros behind the digits.
fn lexed_with_zeros(number: Number, zeros: usize) -> Vec<u8> {
    let (negative, coefficient, exponent) = number.parts();
    let digits = format!("{coefficient}{}", "0".repeat(zeros));
    let x = coefficient.to_string().len() as i32 + exponent;
    let flip = if negative { 0x3FF } else { 0 };
    let head = lexed(number);
    let head = if matches!(head[0], 0x01 | 0x7E | 0x81 | 0xFE) { &head[..5] } else { &head[..1] };
    assert!(head.len() == 5 || (-62..=61).contains(&x));
    let mut bits = String::new();
    for group in digits.as_bytes().chunks(3) {
        let group = format!("{:0<3}", str::from_utf8(group).unwrap());
        bits += &format!("{:010b}", (group.parse::<u16>().unwrap() + 12) ^ flip);
    }
    bits += &format!("{:010b}", [2, 0, 1][digits.len() % 3] ^ flip);
    let bytes = bits
        .as_bytes()
        .chunks(8)
        .map(|byte| u8::from_str_radix(&format!("{:0<8}", str::from_utf8(byte).unwrap()), 2).unwrap());
    head.iter().copied().chain(bytes).collect()
}

proptest! {
    #[test]
    fn numbers_survive_both_codes(number in any_number(), zeros in 0..120_usize) {
        prop_assert_eq!(read(&cbor(&number.to_string())), Ok(number));
        prop_assert_eq!(lex_decimal::read(&lexed(number)), Ok(number));
        if !number.is_zero() {
            prop_assert_eq!(lex_decimal::read(&lexed_with_zeros(number, zeros)), Ok(number));
        }
    }

    #[test]
    fn sort_keys_sort_as_the_numbers_do(a in any_number(), b in any_number(), scale in -3..3_i32, zeros in 0..5_usize) {
        let (negative, coefficient, exponent) = a.parts();
        let near = Number::from_parts(negative, coefficient, exponent + scale).unwrap_or(b);
        for other in [b, near, a.negated(), Number::ZERO] {
            if a == other {
                continue;
            }
            prop_assert_eq!(lexed(a).cmp(&lexed(other)), a.cmp(&other));
            if !a.is_zero() {
                prop_assert_eq!(lexed_with_zeros(a, zeros).cmp(&lexed(other)), a.cmp(&other));
            }
        }
    }

    #[test]
    fn any_bytes_are_a_sort_key_or_none(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        if let Ok(number) = lex_decimal::read(&bytes) {
            prop_assert_eq!(lex_decimal::read(&lexed(number)), Ok(number));
        }
        if let Ok(number) = read(&bytes) {
            prop_assert_eq!(read(&cbor(&number.to_string())), Ok(number));
        }
    }
}
