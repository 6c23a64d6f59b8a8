//! Objects taken apart one level deep: each value stays text, however it is nested.
//!
//! What is plain is read here, like [plain](super::plain) trees, and the rest by serde_json.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::plain::Reader;

/// The members of an object in their order, each value as it is written.
pub type RawMembers<'a> = Vec<(Cow<'a, str>, &'a str)>;

/// Deeper nesting inside of a value is left to serde_json: a bit is kept for each level.
const DEPTH_MAX: u32 = u64::BITS;

/// How many members most objects have at most.
const MEMBERS_TYPICAL: usize = 5;

/// The members of a text that is one object in JSON, and `None` for any other text.
pub fn raw_members(text: &str) -> Option<RawMembers<'_>> {
    let mut reader = Reader::new(text);
    let plain = reader.members().filter(|_| reader.is_at_end());
    plain.or_else(|| serde_json::from_str::<Members<'_>>(text).ok().map(|members| members.0))
}

/// The members of each object of a text that is a list of objects in JSON, and `None` for any other text.
pub fn raw_objects(text: &str) -> Option<Vec<RawMembers<'_>>> {
    let mut reader = Reader::new(text);
    let plain = reader.objects().filter(|_| reader.is_at_end());
    plain.or_else(|| {
        let objects = serde_json::from_str::<Vec<Members<'_>>>(text).ok()?;
        Some(objects.into_iter().map(|members| members.0).collect())
    })
}

impl<'a> Reader<'a> {
    fn objects(&mut self) -> Option<Vec<RawMembers<'a>>> {
        let mut objects = Vec::new();
        self.skip_space();
        self.expect(b'[')?;
        self.skip_space();
        if self.peek()? == b']' {
            self.expect(b']')?;
            return Some(objects);
        }
        loop {
            objects.push(self.members()?);
            self.skip_space();
            match self.next()? {
                b',' => {}
                b']' => return Some(objects),
                _ => return None,
            }
        }
    }

    fn members(&mut self) -> Option<RawMembers<'a>> {
        self.skip_space();
        self.expect(b'{')?;
        self.skip_space();
        if self.peek()? == b'}' {
            self.expect(b'}')?;
            return Some(Vec::new());
        }
        let mut members = Vec::with_capacity(MEMBERS_TYPICAL);
        loop {
            let name = self.string()?;
            self.pass_colon()?;
            let start = self.position();
            self.skip_value()?;
            members.push((name, self.since(start)));
            self.skip_space();
            match self.next()? {
                b',' => self.skip_space(),
                b'}' => return Some(members),
                _ => return None,
            }
        }
    }

    fn pass_colon(&mut self) -> Option<()> {
        self.skip_space();
        self.expect(b':')?;
        self.skip_space();
        Some(())
    }

    /// Skips the value that begins here, once it is certain that it is one.
    fn skip_value(&mut self) -> Option<()> {
        // What is open, the innermost in the lowest bit: an object is 1, a list 0.
        let (mut open, mut depth) = (0_u64, 0);
        loop {
            match self.peek()? {
                b'"' => self.skip_string()?,
                b't' => self.pass_word("true")?,
                b'f' => self.pass_word("false")?,
                b'n' => self.pass_word("null")?,
                bracket @ (b'{' | b'[') => {
                    let is_object = bracket == b'{';
                    self.next();
                    self.skip_space();
                    if self.peek()? == if is_object { b'}' } else { b']' } {
                        self.next();
                    } else if depth < DEPTH_MAX {
                        (open, depth) = (open << 1 | u64::from(is_object), depth + 1);
                        if is_object {
                            self.skip_name()?;
                        }
                        continue;
                    } else {
                        return None;
                    }
                }
                _ => self.skip_number()?,
            }
            // A value has ended, and maybe what it stands in.
            loop {
                if depth == 0 {
                    return Some(());
                }
                self.skip_space();
                match (self.next()?, open & 1) {
                    (b',', is_object) => {
                        self.skip_space();
                        if is_object == 1 {
                            self.skip_name()?;
                        }
                        break;
                    }
                    (b'}', 1) | (b']', 0) => (open, depth) = (open >> 1, depth - 1),
                    _ => return None,
                }
            }
        }
    }

    fn skip_name(&mut self) -> Option<()> {
        self.skip_string()?;
        self.pass_colon()
    }

    fn skip_number(&mut self) -> Option<()> {
        if self.peek()? == b'-' {
            self.next();
        }
        if self.peek()? == b'0' {
            self.next();
        } else {
            self.skip_digits()?;
        }
        if self.peek() == Some(b'.') {
            self.next();
            self.skip_digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.next();
            if let Some(b'+' | b'-') = self.peek() {
                self.next();
            }
            self.skip_digits()?;
        }
        Some(())
    }

    /// One digit or more.
    fn skip_digits(&mut self) -> Option<()> {
        let start = self.position();
        while let Some(b'0'..=b'9') = self.peek() {
            self.next();
        }
        (self.position() > start).then_some(())
    }
}

/// What serde_json reads.
struct Members<'a>(RawMembers<'a>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(MEMBERS_TYPICAL);
                while let Some((super::Text(name), value)) = map.next_entry::<_, &RawValue>()? {
                    members.push((name, value.get()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Both agree, or this reader has no opinion. True if it has.
    #[track_caller]
    fn compare(text: &str) -> bool {
        let mut reader = Reader::new(text);
        let members = reader.members().filter(|_| reader.is_at_end());
        if let Some(members) = &members {
            let by_serde = serde_json::from_str::<Members<'_>>(text).ok().map(|members| members.0);
            assert_eq!(Some(members), by_serde.as_ref(), "{text:?}");
        }
        let mut reader = Reader::new(text);
        let objects = reader.objects().filter(|_| reader.is_at_end());
        if let Some(objects) = &objects {
            let by_serde = serde_json::from_str::<Vec<Members<'_>>>(text).ok();
            let by_serde: Option<Vec<_>> =
                by_serde.map(|objects| objects.into_iter().map(|members| members.0).collect());
            assert_eq!(Some(objects), by_serde.as_ref(), "{text:?}");
        }
        members.is_some() || objects.is_some()
    }

    #[test]
    fn plain_objects_are_read_as_serde_json_reads_them() {
        for text in [
            r#" {"Items":[{"pk":{"S":"a\"b"},"n":{"N":"1"}}, {} ],"Count" : 2,"C":{"U":0.5,"x":-1.5e+3,"y":0},"pk":true,"pk":null} "#,
            "{}",
            " [ ] ",
            r#"[{"a":[]},{"é\n":{"S":"\\"}}]"#,
            r#"{"a":[[[{"b":[1,2,{}]}]],"\u00e9\\\""]}"#,
        ] {
            assert!(compare(text), "{text}");
        }
    }

    #[test]
    fn what_is_not_plain_or_not_json_is_left_to_serde_json() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(66), "]".repeat(66));
        for text in [
            "",
            "{",
            "[",
            "[1]",
            "{\"a\":}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":-}",
            "{\"a\":1e}",
            "{\"a\":[1}",
            "{\"a\":{1}}",
            "{\"a\":{\"b\"}}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\u00g0\"}",
            "{\"a\":\"\u{1}\"}",
            "{\"a\":1}x",
            "{\"a\":nul}",
            "{\"a\":[1,]}",
            "{\"a\":{\"b\":1,}}",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\":\"\\",
            deep.as_str(),
        ] {
            assert!(!compare(text), "{text:?}");
        }
        assert!(raw_members(&deep).is_some());
    }

    proptest! {
        #[test]
        fn random_texts_of_what_json_is_made_of_are_read_alike(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "[", "]", ",", ":", " ", "\"a\"", "\"a\":", "\"b\\u0041\"", "\"\\\\\"", "\"", "\\", "0", "-1.5", "1e2", "true",
                    "null", "é", "\u{0}", "{\"S\":\"x\"}", "[{}]", "\"\\ud83d\"", "{\"a\":",
                ]),
                0..24,
            )
        ) {
            compare(&parts.concat());
        }

        #[test]
        fn a_changed_byte_is_read_alike(place in 0_usize..200, byte in 0_u8..128) {
            let text = r#"{"Items":[{"pk":{"S":"customer 1 é\t"},"sk":{"N":"17"}},{"a":{"B":"YQ=="}}],"Count":1,"C":{"CapacityUnits":0.5}}"#;
            let mut bytes = text.as_bytes().to_vec();
            let place = place % bytes.len();
            bytes[place] = byte;
            if let Ok(text) = std::str::from_utf8(&bytes) {
                compare(text);
            }
        }
    }
}
