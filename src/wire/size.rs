//! The sizes of items in an answer, as DynamoDB counts them, read off their JSON without building them.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::json::Json;
use super::raw::RawObject;
use crate::model::Number;

/// The size of an item's JSON object, names and values together; `None` if it is not one.
pub fn item_size(text: &str) -> Option<usize> {
    read(Counted::Attributes, text)
}

/// The sizes of a list of items; `None` if it is not one.
pub fn item_sizes(text: &str) -> Option<Vec<usize>> {
    let mut sizes = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Items(&mut sizes).deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(sizes)
}

/// The size of an item that is parsed; `None` if it is not one.
pub fn item_size_of(item: &Json<'_>) -> Option<usize> {
    Counted::Attributes.size_of(item)
}

/// The sizes of a list of items, each with the size of those attributes whose names `is_part` accepts; `None` if it is not one.
pub fn item_and_part_sizes(text: &str, is_part: impl Fn(&str) -> bool) -> Option<Vec<(usize, usize)>> {
    let items = RawObject::parse_list(text)?;
    let sizes = |item: &RawObject<'_>| {
        let mut sizes = (0, 0);
        for (name, value) in item.members() {
            let bytes = name.len() + read(Counted::Value, value)?;
            sizes.0 += bytes;
            if is_part(name) {
                sizes.1 += bytes;
            }
        }
        Some(sizes)
    };
    items.iter().map(sizes).collect()
}

fn read(counted: Counted, text: &str) -> Option<usize> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let size = counted.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(size)
}

/// What stands at a place, which decides how it is counted. The formulas are those of
/// [`crate::model::AttributeValue::size_bytes`].
#[derive(Clone, Copy)]
enum Counted {
    /// Names and values: an item.
    Attributes,
    /// A value with its type.
    Value,
    /// What is behind the name of a type.
    Text,
    Number,
    Base64,
    Single,
    Map,
    List,
    Texts,
    Numbers,
    Base64s,
}

impl Counted {
    fn of_type(name: &str) -> Option<Self> {
        Some(match name {
            "S" => Self::Text,
            "N" => Self::Number,
            "B" => Self::Base64,
            "BOOL" | "NULL" => Self::Single,
            "M" => Self::Map,
            "L" => Self::List,
            "SS" => Self::Texts,
            "NS" => Self::Numbers,
            "BS" => Self::Base64s,
            _ => return None,
        })
    }

    /// The size of what is parsed.
    fn size_of(self, json: &Json<'_>) -> Option<usize> {
        let sum =
            |sizes: Vec<usize>, overhead: usize| sizes.iter().sum::<usize>() + overhead * (3 + sizes.len());
        match (self, json) {
            (Self::Single, _) => Some(1),
            (Self::Value, Json::Object(members)) => match &**members {
                [(name, value)] => Self::of_type(name)?.size_of(value),
                _ => None,
            },
            (Self::Attributes | Self::Map, Json::Object(members)) => {
                let sizes =
                    members.iter().map(|(name, value)| Some(name.len() + Self::Value.size_of(value)?));
                Some(sum(sizes.collect::<Option<_>>()?, usize::from(matches!(self, Self::Map))))
            }
            (Self::List | Self::Texts | Self::Numbers | Self::Base64s, Json::Array(elements)) => {
                let sizes = elements.iter().map(|element| self.element().size_of(element));
                Some(sum(sizes.collect::<Option<_>>()?, usize::from(matches!(self, Self::List))))
            }
            (Self::Text | Self::Number | Self::Base64, Json::String(text)) => self.size_of_text(text),
            _ => None,
        }
    }

    /// The size of what is behind the name of a type, if that is no list.
    fn size_of_text(self, text: &str) -> Option<usize> {
        match self {
            Self::Number => Number::parse(text).map(Number::size_bytes).ok(),
            Self::Base64 => {
                let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
                Some((text.len() / 4 * 3).saturating_sub(padding))
            }
            _ => Some(text.len()),
        }
    }

    /// What the elements of a list are.
    fn element(self) -> Self {
        match self {
            Self::List => Self::Value,
            Self::Texts => Self::Text,
            Self::Numbers => Self::Number,
            Self::Base64s => Self::Base64,
            Self::Attributes | Self::Value | Self::Map => self,
            Self::Text | Self::Number | Self::Base64 | Self::Single => self,
        }
    }
}

impl<'de> DeserializeSeed<'de> for Counted {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<usize, D::Error> {
        match self {
            Self::Attributes | Self::Value | Self::Map => deserializer.deserialize_map(self),
            Self::Text | Self::Number | Self::Base64 => deserializer.deserialize_str(self),
            Self::List | Self::Texts | Self::Numbers | Self::Base64s => deserializer.deserialize_seq(self),
            Self::Single => deserializer.deserialize_ignored_any(IgnoredAny).map(|_| 1),
        }
    }
}

impl<'de> Visitor<'de> for Counted {
    type Value = usize;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an item as DynamoDB writes it")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<usize, E> {
        self.size_of_text(text).ok_or_else(|| E::custom("no number"))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<usize, A::Error> {
        let (mut bytes, mut count) = (0, 0);
        while let Some(element) = list.next_element_seed(self.element())? {
            bytes += element;
            count += 1;
        }
        Ok(if matches!(self, Self::List) { 3 + count + bytes } else { bytes })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<usize, A::Error> {
        if matches!(self, Self::Value) {
            let kind =
                map.next_key_seed(TypeName)?.ok_or_else(|| A::Error::custom("a value without type"))?;
            let bytes = map.next_value_seed(kind)?;
            return match map.next_key::<IgnoredAny>()? {
                None => Ok(bytes),
                Some(_) => Err(A::Error::custom("a value of two types")),
            };
        }
        let (mut bytes, mut count) = (0, 0);
        while let Some(name) = map.next_key_seed(Self::Text)? {
            bytes += name + map.next_value_seed(Self::Value)?;
            count += 1;
        }
        Ok(if matches!(self, Self::Map) { 3 + count + bytes } else { bytes })
    }
}

/// The name of a value's type.
struct TypeName;

impl<'de> DeserializeSeed<'de> for TypeName {
    type Value = Counted;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Counted, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for TypeName {
    type Value = Counted;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a type")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Counted, E> {
        Counted::of_type(name).ok_or_else(|| E::custom("an unknown type"))
    }
}

/// A list of items, whose sizes are gathered.
struct Items<'s>(&'s mut Vec<usize>);

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of items")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(size) = list.next_element_seed(Counted::Attributes)? {
            self.0.push(size);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::item_size_bytes;
    use crate::wire::attribute::item_from_json;

    const ITEM: &str = r#"{"id":{"S":"a\u00e9\"b"},"n":{"N":"-12.50"},"b":{"B":"AAEC"},"e":{"B":"AA=="},"t":{"BOOL":true},
        "z":{"NULL":true},"m":{"M":{"x":{"N":"1"},"y":{"L":[{"S":""},{"L":[]},{"M":{}}]}}},
        "ss":{"SS":["a","bc"]},"ns":{"NS":["1","1000000"]},"bs":{"BS":["AAEC","AA=="]}}"#;

    #[test]
    fn a_size_is_that_of_the_item_that_the_text_means() {
        let item = item_from_json(&Json::parse(ITEM.as_bytes()).unwrap()).unwrap();
        assert_eq!(item_size(ITEM), Some(item_size_bytes(&item)));
        assert_eq!(item_sizes(&format!("[{ITEM}, {{}}]")), Some(vec![item_size_bytes(&item), 0]));
        assert_eq!(item_sizes("[]"), Some(vec![]));
        assert_eq!(item_size_of(&Json::parse(ITEM.as_bytes()).unwrap()), item_size(ITEM));
    }

    #[test]
    fn the_size_of_a_part_is_that_of_the_attributes_named() {
        let text = format!(r#"[{ITEM},{{"id":{{"S":"ab"}}}}]"#);
        let (sizes, of_id) = (item_sizes(&text).unwrap(), 2 + 5);
        let expected = Some(vec![(sizes[0], of_id), (sizes[1], 4)]);
        assert_eq!(item_and_part_sizes(&text, |name| name == "id"), expected);
        assert_eq!(item_and_part_sizes(r#"[{"id":{"S":1}}]"#, |_| true), None);
    }

    #[test]
    fn what_is_no_item_has_no_size() {
        for text in [
            "",
            "[]",
            "1",
            r#"{"a":1}"#,
            r#"{"a":{}}"#,
            r#"{"a":{"S":1}}"#,
            r#"{"a":{"X":"1"}}"#,
            r#"{"a":{"S":"x","N":"1"}}"#,
            r#"{"a":{"N":"x"}}"#,
            r#"{"a":{"S":"x"}} {"#,
        ] {
            assert_eq!(item_size(text), None, "{text}");
            let json = Json::parse(text.as_bytes()).ok();
            assert_eq!(json.and_then(|json| item_size_of(&json)), None, "{text}");
        }
    }
}
