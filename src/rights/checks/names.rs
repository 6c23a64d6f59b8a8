//! The names of table and index in a body, read in one pass that allocates nothing.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use crate::wire::json::Text;

/// The names in a body.
#[derive(Debug)]
pub(crate) struct PlainNames<'a> {
    table: Text<'a>,
    index: Option<Text<'a>>,
}

impl<'a> PlainNames<'a> {
    /// Reads a body; `None` if it is not one object in JSON that names a table once, and an index at most once where the operation
    /// has one. What else stands in it is only read over.
    pub(crate) fn read(body: &'a [u8], may_have_index: bool) -> Option<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(std::str::from_utf8(body).ok()?);
        let (table, index) = deserializer.deserialize_map(Names { may_have_index }).ok()?;
        deserializer.end().ok()?;
        Some(Self { table: table?, index })
    }

    pub(crate) fn table(&self) -> &str {
        &self.table.0
    }

    pub(crate) fn index(&self) -> Option<&str> {
        self.index.as_ref().map(|index| index.0.as_ref())
    }
}

struct Names {
    may_have_index: bool,
}

impl<'de> Visitor<'de> for Names {
    type Value = (Option<Text<'de>>, Option<Text<'de>>);

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (mut table, mut index) = (None, None);
        while let Some(Text(name)) = members.next_key::<Text<'de>>()? {
            let found = match name.as_ref() {
                "TableName" => &mut table,
                "IndexName" if self.may_have_index => &mut index,
                _ => {
                    members.next_value::<Skipped>()?;
                    continue;
                }
            };
            // Whoever reads the request after us may take the other of two.
            if found.replace(members.next_value::<Text<'de>>()?).is_some() {
                return Err(A::Error::custom("a name stands here twice"));
            }
        }
        Ok((table, index))
    }
}

/// A value that is read over. serde's own allocates for nested ones.
struct Skipped;

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SkippedVisitor)
    }
}

struct SkippedVisitor;

impl<'de> Visitor<'de> for SkippedVisitor {
    type Value = Skipped;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_str<E>(self, _: &str) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_unit<E>(self) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Skipped, A::Error> {
        while elements.next_element::<Skipped>()?.is_some() {}
        Ok(Skipped)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Skipped, A::Error> {
        while members.next_entry::<Skipped, Skipped>()?.is_some() {}
        Ok(Skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_where_they_stand_once() {
        let read = |body: &str, may_have_index| {
            let names = PlainNames::read(body.as_bytes(), may_have_index)?;
            Some((names.table().to_owned(), names.index().map(str::to_owned)))
        };
        let nested = r#"{"Key":{"TableName":{"S":"x"},"n":[1,-2,0.5,true,null,"a"]},"Table\u004eame":"a","IndexName":"i"}"#;
        assert_eq!(read(nested, true), Some(("a".into(), Some("i".into()))));
        assert_eq!(read(nested, false), Some(("a".into(), None)));
        let deep = format!(r#"{{"Key":{}{},"TableName":"a"}}"#, "[".repeat(200), "]".repeat(200));
        for body in [
            r#"{"TableName":"a","TableName":"b"}"#,
            r#"{"TableName":"a","IndexName":"i","IndexName":"j"}"#,
            r#"{"TableName":"a","IndexName":null}"#,
            r#"{"TableName":"a"} {}"#,
            r#"{"TableName":7}"#,
            "{}",
            "[]",
            "",
            &deep,
        ] {
            assert_eq!(read(body, true), None, "{body}");
        }
    }
}
