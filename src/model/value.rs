//! Attribute values and items: the data types of DynamoDB, with the service's equality and size.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::number::Number;

/// An item, or the inside of a map: attribute names to values. DynamoDB gives attributes no order; we keep them by name.
pub type Item = BTreeMap<String, AttributeValue>;

/// One attribute value.
///
/// Invariant, held by the decoder in [`crate::wire`]: sets are not empty and hold no member twice. They are in order, as sets
/// that the service answers are: it promises none, but what is tested against it has come to expect that one. Equality is
/// the service's: numbers by value, sets without order.
#[derive(Clone, Debug)]
pub enum AttributeValue {
    /// A string, UTF-8, compared by its bytes.
    S(String),
    /// A number of up to 38 significant digits.
    N(Number),
    /// Bytes, compared unsigned.
    B(Bytes),
    /// A truth value.
    Bool(bool),
    /// The null value; a value like any other, unlike a missing attribute.
    Null,
    /// A map, nested up to 32 levels.
    M(Item),
    /// A list, nested up to 32 levels.
    L(Vec<AttributeValue>),
    /// A set of strings.
    Ss(Vec<String>),
    /// A set of numbers.
    Ns(Vec<Number>),
    /// A set of byte strings.
    Bs(Vec<Bytes>),
}

impl AttributeValue {
    /// The name that DynamoDB's JSON and its error messages give the type: `S`, `N`, `BOOL`, `SS` …
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::S(_) => "S",
            Self::N(_) => "N",
            Self::B(_) => "B",
            Self::Bool(_) => "BOOL",
            Self::Null => "NULL",
            Self::M(_) => "M",
            Self::L(_) => "L",
            Self::Ss(_) => "SS",
            Self::Ns(_) => "NS",
            Self::Bs(_) => "BS",
        }
    }

    /// The size in bytes that counts towards the 400 KB limit and towards capacity units, without the attribute's name.
    ///
    /// Source: "Amazon DynamoDB item sizes and formats" in the developer guide: strings in UTF-8 bytes, numbers about one
    /// byte for two digits plus one, maps and lists 3 bytes and 1 for each element.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::S(text) => text.len(),
            Self::N(number) => number.size_bytes(),
            Self::B(bytes) => bytes.len(),
            Self::Bool(_) | Self::Null => 1,
            Self::M(map) => 3 + map.len() + item_size_bytes(map),
            Self::L(list) => 3 + list.len() + list.iter().map(Self::size_bytes).sum::<usize>(),
            Self::Ss(set) => set.iter().map(String::len).sum(),
            Self::Ns(set) => set.iter().map(|number| number.size_bytes()).sum(),
            Self::Bs(set) => set.iter().map(|bytes| bytes.len()).sum(),
        }
    }
}

impl PartialEq for AttributeValue {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::S(a), Self::S(b)) => a == b,
            (Self::N(a), Self::N(b)) => a == b,
            (Self::B(a), Self::B(b)) => a == b,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Null, Self::Null) => true,
            (Self::M(a), Self::M(b)) => a == b,
            (Self::L(a), Self::L(b)) => a == b,
            (Self::Ss(a), Self::Ss(b)) => same_set(a, b),
            (Self::Ns(a), Self::Ns(b)) => same_set(a, b),
            (Self::Bs(a), Self::Bs(b)) => same_set(a, b),
            _ => false,
        }
    }
}

impl Eq for AttributeValue {}

/// The size in bytes of an item, or of a map's inside: names and values together.
pub fn item_size_bytes(item: &Item) -> usize {
    item.iter().map(|(name, value)| name.len() + value.size_bytes()).sum()
}

/// True when two sets without repeated members hold the same members.
fn same_set<T: Ord>(a: &[T], b: &[T]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut a: Vec<&T> = a.iter().collect();
    let mut b: Vec<&T> = b.iter().collect();
    a.sort_unstable();
    b.sort_unstable();
    a == b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_equal_whatever_their_order() {
        let a = AttributeValue::Ss(vec!["a".into(), "b".into()]);
        let b = AttributeValue::Ss(vec!["b".into(), "a".into()]);
        assert_eq!(a, b);
        assert_ne!(a, AttributeValue::Ss(vec!["a".into()]));
    }

    #[test]
    fn sizes_follow_the_developer_guide() {
        let list = AttributeValue::L(vec![AttributeValue::S("ab".into()), AttributeValue::Null]);
        assert_eq!(list.size_bytes(), 3 + 2 + 2 + 1);
        let item = Item::from([("id".to_owned(), AttributeValue::S("abc".into()))]);
        assert_eq!(item_size_bytes(&item), 5);
        assert_eq!(AttributeValue::M(item).size_bytes(), 3 + 1 + 5);
    }
}
