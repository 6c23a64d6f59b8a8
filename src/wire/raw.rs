//! Objects whose members are not taken apart: each value stays text, however it is nested.

use crate::json::{Json, RawMembers, raw_members, raw_objects, write_map};

/// The members of an object, each as it is written.
#[derive(Debug)]
pub struct RawObject<'a>(RawMembers<'a>);

impl<'a> RawObject<'a> {
    /// Reads a body; `None` when it is not one object in JSON.
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        raw_members(std::str::from_utf8(body).ok()?).map(Self)
    }

    /// The text of the first member of that name.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, value)| *value)
    }

    /// All members, each value as it is written.
    pub fn members(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.0.iter().map(|(name, value)| (&**name, *value))
    }

    /// The elements of a list, of which each is an object.
    pub fn parse_list(text: &'a str) -> Option<Vec<Self>> {
        Some(raw_objects(text)?.into_iter().map(Self).collect())
    }

    /// The members of these names as a tree, those that are strict JSON.
    pub fn only<'n>(&self, names: impl Iterator<Item = &'n str>) -> Json<'a> {
        let member = |name: &str| {
            let (name, value) = self.0.iter().find(|(member, _)| member == name)?;
            Some((name.clone(), Json::parse(value.as_bytes()).ok()?))
        };
        Json::Object(names.filter_map(member).collect())
    }

    /// The object's text without the members of that name.
    pub fn without(&self, name: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        let others = self.0.iter().filter(|(member, _)| member != name);
        write_map(others.map(|(name, value)| (name.as_ref(), value)), &mut out, |value, out| {
            out.extend_from_slice(value.as_bytes());
        });
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_text_whatever_it_is() {
        let deep = format!("{}1{}", "[".repeat(300), "]".repeat(300));
        let body = format!(r#" {{"a": {{"x":1, "x":2}},"gone":{deep},"b":{deep}}}"#);
        let object = RawObject::parse(body.as_bytes()).unwrap();
        assert_eq!(object.get("a"), Some(r#"{"x":1, "x":2}"#));
        assert_eq!(object.get("c"), None);
        let rest = String::from_utf8(object.without("gone")).unwrap();
        assert_eq!(rest, format!(r#"{{"a":{{"x":1, "x":2}},"b":{deep}}}"#));
        assert_eq!(RawObject::parse(br#"{"gone":1}"#).unwrap().without("gone"), b"{}");
    }

    #[test]
    fn what_is_no_object_is_none() {
        for text in ["", "[]", "1", r#"{"a":1"#, r#"{"a":1} {"#, "<html></html>"] {
            assert!(RawObject::parse(text.as_bytes()).is_none(), "{text}");
        }
    }
}
