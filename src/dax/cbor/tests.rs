//! Items as RFC 8949 writes them, and hostile ones.

use proptest::prelude::*;

use super::{Kind, Malformed, Measure, Reader, Writer};

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut Writer::new(&mut out));
    out
}

#[test]
fn integers_have_the_shortest_heads_and_any_head_is_read() {
    for (value, bytes) in [
        (0, "00"),
        (23, "17"),
        (24, "1818"),
        (255, "18ff"),
        (256, "190100"),
        (65_536, "1a00010000"),
        (4_294_967_296, "1b0000000100000000"),
        (i64::MAX, "1b7fffffffffffffff"),
        (-1, "20"),
        (-24, "37"),
        (-25, "3818"),
        (-742_646_399, "3a2c43e27e"),
        (i64::MIN, "3b7fffffffffffffff"),
    ] {
        assert_eq!(written(|writer| writer.int(value)), hex(bytes));
        assert_eq!(Reader::new(&hex(bytes)).int_64(), Ok(value));
    }
    assert_eq!(Reader::new(&hex("1b0000000000000001")).int(), Ok(1));
    assert_eq!(Reader::new(&hex("3bffffffffffffffff")).int(), Ok(-(1 << 64)));
    assert_eq!(Reader::new(&hex("1bffffffffffffffff")).int(), Ok((1 << 64) - 1));
    let large = hex("1b8000000000000000");
    let mut reader = Reader::new(&large);
    assert!(matches!(reader.int_64(), Err(Malformed::Invalid(_))));
    assert_eq!(reader.position(), 0);
}

#[test]
fn every_kind_is_told_and_read() {
    let bytes = hex("01 20 41ff 6161 80 a0 c1 f4 f5 f6 fa3fc00000 fb3ff8000000000000 ff f7");
    let mut reader = Reader::new(&bytes);
    let mut kinds = Vec::new();
    while !reader.is_at_end() {
        let kind = reader.peek().unwrap();
        match kind {
            Kind::Int => drop(reader.int().unwrap()),
            Kind::Bytes => assert_eq!(reader.bytes().unwrap(), [0xFF]),
            Kind::Text => assert_eq!(reader.text().unwrap(), "a"),
            Kind::Array => assert_eq!(reader.array().unwrap().left(), Some(0)),
            Kind::Map => assert_eq!(reader.map().unwrap().left(), Some(0)),
            Kind::Tag => assert_eq!(reader.tag().unwrap(), 1),
            Kind::Bool => drop(reader.bool().unwrap()),
            Kind::Null => assert!(reader.take_null().unwrap()),
            Kind::Float => assert_eq!(reader.float(), Ok(1.5)),
            Kind::Break => {
                assert!(reader.item(9).is_err());
                reader = Reader::new(&[0xF7]);
            }
            Kind::Other => break,
        }
        kinds.push(kind);
    }
    use Kind::{Array, Bool, Break, Bytes, Float, Int, Map, Null, Tag, Text};
    assert_eq!(kinds, [Int, Int, Bytes, Text, Array, Map, Tag, Bool, Bool, Null, Float, Float, Break]);
}

#[test]
fn a_byte_string_around_what_is_written_gets_the_head_of_its_length() {
    for length in [0, 1, 23, 24, 255, 256, 65_535, 65_536] {
        let content = vec![7; length];
        let nested = written(|writer| writer.bytes_with(|inner| inner.raw(&content)));
        assert_eq!(nested, written(|writer| writer.bytes(&content)));
        assert_eq!(Reader::new(&nested).bytes(), Ok(&content[..]));
    }
}

#[test]
fn members_end_by_their_number_or_by_a_break() {
    for bytes in ["a2 0102 0304", "bf 0102 0304 ff"] {
        let bytes = hex(bytes);
        let mut reader = Reader::new(&bytes);
        let mut members = reader.map().unwrap();
        let mut read = Vec::new();
        while members.next(&mut reader).unwrap() {
            read.push((reader.int_64().unwrap(), reader.int_64().unwrap()));
        }
        assert_eq!(read, [(1, 2), (3, 4)]);
        assert_eq!(members.next(&mut reader), Ok(false));
        assert_eq!(reader.end(), Ok(()));
    }
}

#[test]
fn a_declared_length_is_not_believed() {
    for head in ["9b7fffffffffffffff", "bbffffffffffffffff", "9a00000002 01", "5b7fffffffffffffff", "a1 01"] {
        let bytes = hex(head);
        let mut reader = Reader::new(&bytes);
        assert!(reader.array().is_err() && reader.map().is_err() && reader.bytes().is_err());
        assert!(reader.item(8).is_err());
        assert_eq!(reader.position(), 0);
    }
    let mut measure = Measure::new(1, 8);
    assert_eq!(measure.advance(&hex("5b7fffffffffffffff")), Ok(None));
    assert_eq!(measure.bytes_min(), (1 << 63) - 1 + 9);
    let mut measure = Measure::new(3, 8);
    assert_eq!(measure.bytes_min(), 3);
    assert_eq!(measure.advance(&hex("9b7fffffffffffffff 01")), Ok(None));
    assert_eq!(measure.bytes_min(), (1 << 63) - 1 + 9 + 2);
    assert!(Measure::new(1, 8).advance(&hex("bbffffffffffffffff")).is_err());
    assert!(Measure::new(1, 8).advance(&hex("82 9bffffffffffffffff 9bffffffffffffffff")).is_err());
}

#[test]
fn what_no_client_sends_is_rejected() {
    for bytes in ["ff", "1c", "1f", "3f", "5f", "7f", "df", "82 01 ff", "bf 01 ff", "9f c1 ff", "c1 ff", "fc"]
    {
        let bytes = hex(bytes);
        assert!(matches!(Reader::new(&bytes).item(8), Err(Malformed::Invalid(_))), "{bytes:x?}");
        assert!(Measure::new(1, 8).advance(&bytes).is_err(), "{bytes:x?}");
    }
    assert!(Reader::new(&hex("62 c328")).text().is_err());
    assert!(Reader::new(&hex("f93c00")).float().is_err());
}

#[test]
fn depth_is_bounded_and_needs_no_stack() {
    let nested = |depth: usize| [vec![0x81; depth - 1], vec![0x80]].concat();
    assert_eq!(Reader::new(&nested(300)).item(300).map(<[u8]>::len), Ok(300));
    assert!(matches!(Reader::new(&nested(301)).item(300), Err(Malformed::Invalid(_))));
    assert!(matches!(Reader::new(&vec![0x9F; 1_000_000]).item(64), Err(Malformed::Invalid(_))));
    // Tags nest without being held.
    assert_eq!(Reader::new(&vec![0xC1; 1_000_000]).item(64), Err(Malformed::Truncated));
}

#[test]
fn an_item_that_arrives_byte_by_byte_is_not_read_again_each_time() {
    let mut bytes = written(|writer| writer.array(100_000));
    bytes.resize(bytes.len() + 100_000, 0x01);
    let mut measure = Measure::new(1, 8);
    for length in 0..bytes.len() {
        // 10^5 calls that each began anew would read 5 × 10^9 heads.
        assert_eq!(measure.advance(&bytes[..length]), Ok(None));
        assert!(length < 5 || measure.bytes_min() == bytes.len() as u64);
    }
    assert_eq!(measure.advance(&bytes), Ok(Some(bytes.len())));
    measure.restart(2);
    assert_eq!((measure.advance(&[0x81]), measure.bytes_min()), (Ok(None), 3));
    assert_eq!(measure.advance(&[0x81, 0x00, 0x00, 0x00]), Ok(Some(3)));
}

/// Any item that the writer or a client may produce.
fn any_item() -> impl Strategy<Value = Vec<u8>> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..40);
    let leaf = prop_oneof![
        any::<i64>().prop_map(|value| written(|writer| writer.int(value))),
        any::<u64>().prop_map(|value| written(|writer| writer.negative(value))),
        bytes().prop_map(|bytes| written(|writer| writer.bytes(&bytes))),
        ".*".prop_map(|text| written(|writer| writer.text(&text))),
        any::<bool>().prop_map(|value| written(|writer| writer.bool(value))),
        any::<f64>().prop_map(|value| written(|writer| writer.float(value))),
        Just(written(|writer| writer.null())),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        let items = || prop::collection::vec(inner.clone(), 0..6);
        prop_oneof![
            items().prop_map(|items| [written(|writer| writer.array(items.len())), items.concat()].concat()),
            items().prop_map(|items| [&[0x9F][..], &items.concat(), &[0xFF]].concat()),
            prop::collection::vec((inner.clone(), inner.clone()), 0..4).prop_map(|pairs| written(|writer| {
                writer.map(pairs.len());
                pairs.iter().for_each(|(name, value)| writer.raw(&[&name[..], value].concat()));
            })),
            prop::collection::vec((inner.clone(), inner.clone()), 0..4).prop_map(|pairs| written(|writer| {
                writer.open_map();
                pairs.iter().for_each(|(name, value)| writer.raw(&[&name[..], value].concat()));
                writer.end();
            })),
            (any::<u16>(), inner.clone()).prop_map(|(tag, item)| written(|writer| {
                writer.tag(tag.into());
                writer.raw(&item);
            })),
        ]
    })
}

proptest! {
    #[test]
    fn items_are_measured_alike_whole_and_in_pieces(
        items in prop::collection::vec(any_item(), 1..4),
        trailing in prop::collection::vec(any::<u8>(), 0..3),
    ) {
        let length = items.concat().len();
        let bytes = [items.concat(), trailing].concat();
        let mut reader = Reader::new(&bytes);
        for item in &items {
            prop_assert_eq!(reader.item(8), Ok(&item[..]));
        }
        let mut measure = Measure::new(items.len() as u64, 8);
        for arrived in 0..length {
            prop_assert_eq!(measure.advance(&bytes[..arrived]), Ok(None));
            prop_assert!(measure.bytes_min() <= length as u64);
        }
        prop_assert_eq!(measure.advance(&bytes), Ok(Some(length)));
    }

    #[test]
    fn any_bytes_are_read_or_rejected(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let mut measure = Measure::new(1, 4);
        let whole = Reader::new(&bytes).item(4).map(<[u8]>::len);
        let mut last = Ok(None);
        for arrived in 0..=bytes.len() {
            last = measure.advance(&bytes[..arrived]);
            if last != Ok(None) {
                break;
            }
        }
        prop_assert_eq!(last.and_then(|length| length.ok_or(Malformed::Truncated)), whole);
    }
}
