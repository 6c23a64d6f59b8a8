//! Canonical bytes: equal for equal meanings and for no others.
//!
//! Every form here ends itself, so that forms can follow one another: texts and lists carry their length, choices a byte that
//! says which. The bytes are for comparing within one process; they are not kept and not sent.

use super::key::KeyValue;
use super::value::{AttributeValue, Item};

/// Appends a length or a count.
pub fn write_length(length: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&(length as u64).to_le_bytes());
}

/// Appends bytes.
pub fn write_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    write_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends a text.
pub fn write_text(text: &str, out: &mut Vec<u8>) {
    write_bytes(text.as_bytes(), out);
}

/// Appends something that may be missing.
pub fn write_optional<T>(value: Option<T>, out: &mut Vec<u8>, write: impl FnOnce(T, &mut Vec<u8>)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        write(value, out);
    }
}

/// Appends a list whose order means something.
pub fn write_list<T>(elements: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    write_length(elements.len(), out);
    elements.iter().for_each(|element| write(element, out));
}

/// Appends a list that means the same in any order, and however often it has an element.
pub fn write_set<T>(elements: &[T], out: &mut Vec<u8>, write: impl Fn(&T, &mut Vec<u8>)) {
    match elements {
        [] => write_length(0, out),
        [element] => {
            write_length(1, out);
            write(element, out);
        }
        _ => {
            let parts = sorted_parts(elements, write);
            write_length(parts.len(), out);
            parts.iter().for_each(|part| out.extend_from_slice(part));
        }
    }
}

/// The forms of the elements, each once, in byte order.
pub(super) fn sorted_parts<T>(elements: &[T], write: impl Fn(&T, &mut Vec<u8>)) -> Vec<Vec<u8>> {
    let part = |element: &T| {
        let mut part = Vec::with_capacity(64);
        write(element, &mut part);
        part
    };
    let mut parts: Vec<Vec<u8>> = elements.iter().map(part).collect();
    parts.sort_unstable();
    parts.dedup();
    parts
}

/// Appends a key value and its type.
pub fn write_key_value(value: &KeyValue, out: &mut Vec<u8>) {
    out.push(match value {
        KeyValue::S(_) => b'S',
        KeyValue::N(_) => b'N',
        KeyValue::B(_) => b'B',
    });
    value.write_sortable(out);
}

/// Appends an attribute value: equal bytes for values that the service calls equal.
pub fn write_value(value: &AttributeValue, out: &mut Vec<u8>) {
    match value {
        AttributeValue::S(text) => {
            out.push(b'S');
            write_text(text, out);
        }
        AttributeValue::N(number) => {
            out.push(b'N');
            number.write_sortable(out);
        }
        AttributeValue::B(bytes) => {
            out.push(b'B');
            write_bytes(bytes, out);
        }
        AttributeValue::Bool(false) => out.push(b'F'),
        AttributeValue::Bool(true) => out.push(b'T'),
        AttributeValue::Null => out.push(b'0'),
        AttributeValue::M(map) => {
            out.push(b'M');
            write_item(map, out);
        }
        AttributeValue::L(list) => {
            out.push(b'L');
            write_list(list, out, write_value);
        }
        AttributeValue::Ss(set) => {
            out.push(b's');
            write_set(set, out, |text, out| write_text(text, out));
        }
        AttributeValue::Ns(set) => {
            out.push(b'n');
            write_set(set, out, |number, out| number.write_sortable(out));
        }
        AttributeValue::Bs(set) => {
            out.push(b'b');
            write_set(set, out, |bytes, out| write_bytes(bytes, out));
        }
    }
}

fn write_item(item: &Item, out: &mut Vec<u8>) {
    write_length(item.len(), out);
    for (name, value) in item {
        write_text(name, out);
        write_value(value, out);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Number;

    /// Values of which pairs are often equal, and often nearly so.
    fn value() -> impl Strategy<Value = AttributeValue> {
        let text = "[ab\u{0}]{0,2}";
        let number = (0i64..3).prop_map(Number::from);
        let leaf = prop_oneof![
            text.prop_map(AttributeValue::S),
            number.clone().prop_map(AttributeValue::N),
            text.prop_map(|text| AttributeValue::B(text.into())),
            any::<bool>().prop_map(AttributeValue::Bool),
            Just(AttributeValue::Null),
            proptest::sample::subsequence(vec!["a", "b", "ab"], 1..=3)
                .prop_shuffle()
                .prop_map(|texts| { AttributeValue::Ss(texts.into_iter().map(str::to_owned).collect()) }),
            proptest::sample::subsequence(vec![0, 1, 2], 1..=3)
                .prop_shuffle()
                .prop_map(|numbers| { AttributeValue::Ns(numbers.into_iter().map(Number::from).collect()) }),
        ];
        leaf.prop_recursive(2, 8, 3, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(AttributeValue::L),
                proptest::collection::btree_map(text, inner, 0..3).prop_map(AttributeValue::M),
            ]
        })
    }

    fn bytes(value: &AttributeValue) -> Vec<u8> {
        let mut out = Vec::new();
        write_value(value, &mut out);
        out
    }

    proptest! {
        #[test]
        fn bytes_are_equal_exactly_when_the_values_are(a in value(), b in value()) {
            prop_assert_eq!(bytes(&a) == bytes(&b), a == b);
            prop_assert!(a == b || !bytes(&a).starts_with(&bytes(&b)), "a form ends itself");
        }
    }
}
