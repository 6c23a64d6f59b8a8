//! Keys: what names an item, in a form where equal keys are equal bytes and byte order is DynamoDB's sort order.

use bytes::Bytes;

use super::key_attribute::{KeyAttribute, KeyRole, ScalarType};
use super::number::Number;
use super::value::AttributeValue;

/// One value of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyValue {
    /// A string, not empty.
    S(String),
    /// A number.
    N(Number),
    /// Bytes, not empty.
    B(Bytes),
}

/// The key of an item in a table or an index.
///
/// Invariant: made by [`crate::model::KeySchema`] only, so types, sizes and attributes are the schema's.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    partition: Vec<KeyValue>,
    sort: Vec<KeyValue>,
}

/// Which way keys are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Ascending keys.
    #[default]
    Forward,
    /// Descending keys.
    Backward,
}

/// Why attributes are not a key of the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The key attribute is not there.
    Missing {
        /// The attribute.
        name: String,
    },
    /// The attribute has another type than the schema declares.
    WrongType {
        /// The attribute.
        name: String,
        /// The declared type.
        expected: ScalarType,
        /// What came, as [`AttributeValue::type_name`] says it.
        actual: &'static str,
    },
    /// An empty string or binary.
    Empty {
        /// The attribute.
        name: String,
    },
    /// More bytes than the role allows.
    TooLong {
        /// The attribute.
        name: String,
        /// Partition (2048) or sort (1024).
        role: KeyRole,
    },
    /// The number of attributes is not the key's.
    Foreign,
}

impl KeyValue {
    /// The key value in an attribute.
    ///
    /// # Errors
    /// [`KeyError`], but never `Missing` or `Foreign`.
    pub fn from_attribute(
        value: &AttributeValue,
        attribute: &KeyAttribute,
        role: KeyRole,
    ) -> Result<Self, KeyError> {
        let key_value = Self::of_any_size(value, attribute)?;
        let bytes = match &key_value {
            Self::S(text) => text.len(),
            Self::N(_) => 1,
            Self::B(bytes) => bytes.len(),
        };
        match bytes {
            0 => Err(KeyError::Empty { name: attribute.name.clone() }),
            _ if bytes > role.bytes_max() => Err(KeyError::TooLong { name: attribute.name.clone(), role }),
            _ => Ok(key_value),
        }
    }

    /// The same for a value to compare keys with, which may be one that no key has: empty or too long.
    ///
    /// # Errors
    /// [`KeyError::WrongType`].
    pub fn of_any_size(value: &AttributeValue, attribute: &KeyAttribute) -> Result<Self, KeyError> {
        match (value, attribute.scalar_type) {
            (AttributeValue::S(text), ScalarType::S) => Ok(Self::S(text.clone())),
            (AttributeValue::N(number), ScalarType::N) => Ok(Self::N(*number)),
            (AttributeValue::B(bytes), ScalarType::B) => Ok(Self::B(bytes.clone())),
            _ => Err(KeyError::WrongType {
                name: attribute.name.clone(),
                expected: attribute.scalar_type,
                actual: value.type_name(),
            }),
        }
    }

    /// The same value as an attribute.
    pub fn to_attribute(&self) -> AttributeValue {
        match self {
            Self::S(text) => AttributeValue::S(text.clone()),
            Self::N(number) => AttributeValue::N(*number),
            Self::B(bytes) => AttributeValue::B(bytes.clone()),
        }
    }

    /// Appends the value in a form that sorts as the values do and ends itself, so that values can follow one another.
    pub fn write_sortable(&self, out: &mut Vec<u8>) {
        match self {
            Self::S(text) => write_sortable_bytes(text.as_bytes(), out),
            Self::N(number) => number.write_sortable(out),
            Self::B(bytes) => write_sortable_bytes(bytes, out),
        }
    }

    /// The value of a form that [`KeyValue::write_sortable`] has written for this type, and what follows it.
    pub fn read_sortable(scalar_type: ScalarType, bytes: &[u8]) -> Option<(Self, &[u8])> {
        Some(match scalar_type {
            ScalarType::N => {
                let (number, rest) = Number::read_sortable(bytes)?;
                (Self::N(number), rest)
            }
            ScalarType::S => {
                let (text, rest) = read_sortable_bytes(bytes)?;
                (Self::S(String::from_utf8(text).ok()?), rest)
            }
            ScalarType::B => {
                let (value, rest) = read_sortable_bytes(bytes)?;
                (Self::B(value.into()), rest)
            }
        })
    }

    /// What follows a form that [`KeyValue::write_sortable`] has written for this type.
    pub fn skip_sortable(scalar_type: ScalarType, bytes: &[u8]) -> Option<&[u8]> {
        match scalar_type {
            ScalarType::N => Some(Number::read_sortable(bytes)?.1),
            ScalarType::S | ScalarType::B => Some(&bytes[sortable_end(bytes)? + 2..]),
        }
    }
}

impl Key {
    pub(super) fn from_checked(partition: Vec<KeyValue>, sort: Vec<KeyValue>) -> Self {
        Self { partition, sort }
    }

    /// The partition values, in the schema's order.
    pub fn partition(&self) -> &[KeyValue] {
        &self.partition
    }

    /// The sort values, in the schema's order; empty for a table without a sort key.
    pub fn sort(&self) -> &[KeyValue] {
        &self.sort
    }

    /// The canonical bytes: equal for equal keys only, and within one partition ordered as DynamoDB orders the items.
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        self.write_partition(&mut out);
        self.write_sort(&mut out);
        out
    }

    /// Appends the canonical bytes of the partition values alone: a prefix of [`Key::canonical_bytes`], and of no other
    /// partition's.
    pub fn write_partition(&self, out: &mut Vec<u8>) {
        partition_bytes(&self.partition, out);
    }

    /// Appends the canonical bytes of the sort values, which follow those of the partition.
    pub fn write_sort(&self, out: &mut Vec<u8>) {
        self.sort.iter().for_each(|value| value.write_sortable(out));
    }
}

/// Appends the canonical bytes of a partition: equal for equal values only, and of no two partitions of a table or index are
/// one's a prefix of the other's.
pub fn partition_bytes(partition: &[KeyValue], out: &mut Vec<u8>) {
    partition.iter().for_each(|value| value.write_sortable(out));
}

/// Appends bytes so that order is kept and the end is known: a zero byte becomes `00 FF`, the end is `00 00`.
pub fn write_sortable_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    out.reserve(bytes.len() + 2);
    if !has_zero(bytes) {
        out.extend_from_slice(bytes);
        out.extend_from_slice(&[0, 0]);
        return;
    }
    for part in bytes.split_inclusive(|byte| *byte == 0) {
        out.extend_from_slice(part);
        if part.last() == Some(&0) {
            out.push(0xFF);
        }
    }
    out.extend_from_slice(&[0, 0]);
}

/// True if one of the bytes is zero. Most keys are short, so they are looked at by eight and not by a search.
fn has_zero(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::MAX / 255;
    let (words, rest) = bytes.as_chunks::<8>();
    let borrows = words.iter().fold(0, |borrows, word| {
        let word = u64::from_le_bytes(*word);
        borrows | (word.wrapping_sub(ONES) & !word)
    });
    borrows & (ONES << 7) != 0 || rest.contains(&0)
}

/// What follows the form that [`write_sortable_bytes`] writes of a text. `None` if the bytes do not begin with it, or if the text is
/// empty or has a zero, whose form is longer than it.
pub fn strip_plain_text<'k>(text: &str, bytes: &'k [u8]) -> Option<&'k [u8]> {
    let is_plain = !text.is_empty() && !text.contains('\0');
    bytes.strip_prefix(text.as_bytes())?.strip_prefix(&[0, 0]).filter(|_| is_plain)
}

/// Where the end of a form that [`write_sortable_bytes`] has written begins.
fn sortable_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += bytes.get(at..)?.iter().position(|byte| *byte == 0)?;
        match bytes.get(at + 1)? {
            0x00 => return Some(at),
            _ => at += 2,
        }
    }
}

/// The bytes of a form that [`write_sortable_bytes`] has written, and what follows it.
fn read_sortable_bytes(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let end = sortable_end(bytes)?;
    let mut plain = Vec::with_capacity(end);
    let mut rest = &bytes[..end];
    while let Some(zero) = rest.iter().position(|byte| *byte == 0) {
        plain.extend_from_slice(&rest[..=zero]);
        rest = &rest[zero + 2..];
    }
    plain.extend_from_slice(rest);
    Some((plain, &bytes[end + 2..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sortable(value: &KeyValue) -> Vec<u8> {
        let mut out = Vec::new();
        value.write_sortable(&mut out);
        out
    }

    #[test]
    fn a_zero_is_found_at_every_place() {
        for length in 0..40 {
            let mut bytes = vec![1; length];
            bytes.iter_mut().skip(1).step_by(2).for_each(|byte| *byte = 0x80);
            assert!(!has_zero(&bytes));
            for place in 0..length {
                let byte = std::mem::take(&mut bytes[place]);
                assert!(has_zero(&bytes), "{place} of {length}");
                bytes[place] = byte;
            }
        }
    }

    proptest! {
        #[test]
        fn canonical_bytes_sort_as_the_values_do(a in proptest::collection::vec(0u8..4, 0..6), b in proptest::collection::vec(0u8..4, 0..6)) {
            let (left, right) = (KeyValue::B(a.into()), KeyValue::B(b.into()));
            prop_assert_eq!(sortable(&left).cmp(&sortable(&right)), left.cmp(&right));
        }

        #[test]
        fn what_was_written_sortably_is_read_back(
            bytes in proptest::collection::vec(0u8..4, 0..6),
            text in "[\u{0}aé]{0,4}",
            number in "-?[0-9]{1,38}",
            shift in -80i32..80,
            after in proptest::collection::vec(0u8..=255, 0..4),
        ) {
            let number = Number::parse(&format!("{number}e{shift}")).unwrap();
            let values = [
                (ScalarType::B, KeyValue::B(bytes.into())),
                (ScalarType::S, KeyValue::S(text)),
                (ScalarType::N, KeyValue::N(number)),
            ];
            for (scalar_type, value) in values {
                let mut form = sortable(&value);
                form.extend_from_slice(&after);
                prop_assert_eq!(KeyValue::read_sortable(scalar_type, &form), Some((value, &*after)));
                prop_assert_eq!(KeyValue::skip_sortable(scalar_type, &form), Some(&*after));
            }
        }

        #[test]
        fn bytes_that_nobody_wrote_are_no_key(bytes in proptest::collection::vec(0u8..=255, 0..12)) {
            for scalar_type in [ScalarType::S, ScalarType::N, ScalarType::B] {
                // Whatever it says, it does not panic.
                let _ = KeyValue::read_sortable(scalar_type, &bytes);
                let _ = KeyValue::skip_sortable(scalar_type, &bytes);
            }
        }

        #[test]
        fn no_partition_is_a_prefix_of_another(a in proptest::collection::vec(0u8..3, 1..5), b in proptest::collection::vec(0u8..3, 1..5)) {
            prop_assume!(a != b);
            let (left, right) = (sortable(&KeyValue::B(a.into())), sortable(&KeyValue::B(b.into())));
            prop_assert!(!left.starts_with(&right));
        }
    }
}
