//! The one table that a read names, found without building a tree: every read to a remote upstream asks for it.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use super::json::Text;

/// The table that a request names in `TableName`, or as the only one in `RequestItems`. `None` when it names none or several,
/// and for what is no JSON.
pub fn only_table(body: &[u8]) -> Option<Cow<'_, str>> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    // What is ignored is followed without recursion, however deep it is.
    deserializer.deserialize_map(Request).ok().flatten()
}

struct Request;

impl<'de> Visitor<'de> for Request {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut table = None;
        while let Some(Text(name)) = members.next_key::<Text<'de>>()? {
            match name.as_ref() {
                "TableName" => table = Some(members.next_value::<Text<'de>>()?.0),
                "RequestItems" => table = members.next_value::<OnlyName<'de>>()?.0,
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(table)
    }
}

/// The name of an object's only member.
struct OnlyName<'a>(Option<Cow<'a, str>>);

impl<'de> serde::Deserialize<'de> for OnlyName<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Names).map(Self)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (mut only, mut count) = (None, 0);
        while let Some((Text(name), IgnoredAny)) = members.next_entry::<Text<'de>, IgnoredAny>()? {
            count += 1;
            only = Some(name);
        }
        Ok(only.filter(|_| count == 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_where_a_read_names_only_one() {
        for (body, table) in [
            (r#"{"Key":{"TableName":{"S":"x"}},"TableName":"a"}"#, Some("a")),
            (
                r#"{"TableName":"arn:aws:dynamodb:us-east-1:1:table\/a"}"#,
                Some("arn:aws:dynamodb:us-east-1:1:table/a"),
            ),
            (r#"{"RequestItems":{"a":{"Keys":[{"id":{"S":"1"}}]}}}"#, Some("a")),
            (r#"{"RequestItems":{"a":{},"b":{}}}"#, None),
            (r#"{"TableName":1}"#, None),
            (r#"{"Limit":1}"#, None),
            ("[]", None),
            ("", None),
        ] {
            assert_eq!(only_table(body.as_bytes()).as_deref(), table, "{body}");
        }
        let deep =
            format!("{{\"Key\":{}{},\"TableName\":\"a\"}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(only_table(deep.as_bytes()).as_deref(), Some("a"));
    }
}
