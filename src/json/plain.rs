//! Plain JSON at the speed of its bytes.
//!
//! Nearly all bodies are plain: within [`DEPTH_MAX`] levels, no fractions, no member named twice. Those are read here, in one pass and with one
//! allocation for each object and list. Of everything else this reader says nothing, and serde_json reads it from its beginning: so
//! errors, and what is read in a special way, come from one place. Whatever is read here, serde_json reads alike; a test compares both.

use std::borrow::Cow;

use super::{Json, LISTED_MAX, LISTS_OF_VALUES, Lists, is_named_twice};

/// Longer texts are left to serde_json: their trees are budgeted by how they grow there.
const BYTES_MAX: usize = 256 * 1024;

/// Deeper nesting is left to serde_json. It bounds the stack.
const DEPTH_MAX: usize = 64;

/// The most digits of a number that fits an `i64` whatever they are.
const DIGITS_MAX: usize = 18;

/// Reads a text that is one plain value; `None` if it is not, or is no JSON.
pub(super) fn parse(text: &str, lists: Lists) -> Option<Json<'_>> {
    if text.len() > BYTES_MAX {
        return None;
    }
    let mut reader = Reader { text, at: 0, lists, elements: Vec::new(), members: Vec::new() };
    reader.skip_space();
    let value = reader.value(0, None)?;
    reader.skip_space();
    (reader.at == text.len()).then_some(value)
}

/// Where a text has the first byte that ends a string or must be escaped in one: a quote, a backslash, a control character.
pub(super) fn position_of_special(text: &[u8]) -> Option<usize> {
    let (words, rest) = text.as_chunks::<8>();
    for (position, word) in words.iter().enumerate() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return Some(position * 8 + (special.trailing_zeros() / 8) as usize);
        }
    }
    let in_rest = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | ..0x20));
    in_rest.map(|position| words.len() * 8 + position)
}

/// The highest bit of each byte that is special, up to the first one exactly: above it others may be marked as well.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHEST: u64 = 0x80 * ONES;
    // A byte is zero if taking one from it borrows.
    let zero_in = |word: u64| word.wrapping_sub(ONES) & !word;
    let quotes = zero_in(word ^ (ONES * b'"' as u64));
    let backslashes = zero_in(word ^ (ONES * b'\\' as u64));
    let controls = word.wrapping_sub(ONES * 0x20) & !word;
    (quotes | backslashes | controls) & HIGHEST
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    lists: Lists,
    /// What the lists that are open hold, the innermost last.
    elements: Vec<Json<'a>>,
    /// What the objects that are open hold, the innermost last.
    members: Vec<(Cow<'a, str>, Json<'a>)>,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Reads the value that begins here, under that name in its object.
    fn value(&mut self, depth: usize, name: Option<&str>) -> Option<Json<'a>> {
        match self.peek()? {
            b'"' => self.string().map(Json::String),
            b'{' if depth < DEPTH_MAX => self.object(depth + 1),
            b'[' if depth < DEPTH_MAX => self.array(depth + 1, name),
            b't' => self.word("true", Json::Bool(true)),
            b'f' => self.word("false", Json::Bool(false)),
            b'n' => self.word("null", Json::Null),
            b'0'..=b'9' | b'-' => self.integer(),
            _ => None,
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json<'a>> {
        let start = self.members.len();
        self.at += 1;
        self.skip_space();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(Json::Object(Box::default()));
        }
        loop {
            if self.peek()? != b'"' {
                return None;
            }
            let name = self.string()?;
            self.skip_space();
            if self.next()? != b':' {
                return None;
            }
            self.skip_space();
            let value = self.value(depth, Some(&name))?;
            self.skip_space();
            match self.next()? {
                b',' => self.skip_space(),
                // Most objects are attribute values, which have one member.
                b'}' if self.members.len() == start => return Some(Json::Object(Box::new([(name, value)]))),
                b'}' => {
                    self.members.push((name, value));
                    break;
                }
                _ => return None,
            }
            self.members.push((name, value));
        }
        if is_named_twice(&self.members[start..]) {
            return None;
        }
        Some(Json::Object(self.members.drain(start..).collect()))
    }

    fn array(&mut self, depth: usize, name: Option<&str>) -> Option<Json<'a>> {
        let is_of_values = name.is_some_and(|name| LISTS_OF_VALUES.contains(&name));
        let elements_max = if self.lists == Lists::All || is_of_values { usize::MAX } else { LISTED_MAX };
        let start = self.elements.len();
        self.at += 1;
        self.skip_space();
        if self.peek()? == b']' {
            self.at += 1;
            return Some(Json::Array(Box::default()));
        }
        loop {
            let element = self.value(depth, None)?;
            self.elements.push(element);
            if self.elements.len() - start > elements_max {
                return None;
            }
            self.skip_space();
            match self.next()? {
                b',' => self.skip_space(),
                b']' => return Some(Json::Array(self.elements.drain(start..).collect())),
                _ => return None,
            }
        }
    }

    fn word(&mut self, word: &str, value: Json<'a>) -> Option<Json<'a>> {
        let is_here = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        self.at += word.len();
        is_here.then_some(value)
    }

    /// A number without fraction, exponent or needless zeros.
    fn integer(&mut self) -> Option<Json<'a>> {
        let is_negative = self.peek()? == b'-';
        self.at += usize::from(is_negative);
        let start = self.at;
        let mut value = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            if self.at - start == DIGITS_MAX {
                return None;
            }
            value = value * 10 + i64::from(digit - b'0');
            self.at += 1;
        }
        let first = *self.text.as_bytes().get(start)?;
        let is_plain = match self.at - start {
            0 => false,
            // -0 is no integer to serde_json.
            1 => first != b'0' || !is_negative,
            _ => first != b'0',
        };
        let goes_on = matches!(self.peek(), Some(b'.' | b'e' | b'E'));
        let value = if is_negative { -value } else { value };
        (is_plain && !goes_on).then_some(Json::Integer(value))
    }

    /// The string that begins here.
    fn string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at + 1;
        let length = position_of_special(&self.text.as_bytes()[start..])?;
        let end = start + length;
        self.at = end + 1;
        match self.text.as_bytes()[end] {
            b'"' => Some(Cow::Borrowed(&self.text[start..end])),
            b'\\' => self.escaped_string(start),
            _ => None,
        }
    }

    /// The string that began there, of which the first escape has just begun.
    fn escaped_string(&mut self, start: usize) -> Option<Cow<'a, str>> {
        // What is escaped is one byte or more, and none of them a quote but the first.
        self.at += 1;
        loop {
            let rest = self.text.as_bytes().get(self.at..)?;
            let special = self.at + position_of_special(rest)?;
            self.at = special + 1;
            match self.text.as_bytes()[special] {
                b'"' => break,
                b'\\' => self.at += 1,
                _ => return None,
            }
        }
        serde_json::from_str(&self.text[start - 1..self.at]).ok().map(Cow::Owned)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What serde_json makes of the text, in the way that this reader must match.
    fn by_serde(text: &str, lists: Lists) -> Option<Json<'_>> {
        Json::parse_by_serde::<false>(text, lists).ok()
    }

    /// Both agree, or this reader has no opinion.
    #[track_caller]
    fn compare(text: &str) -> bool {
        let mut was_read = false;
        for lists in [Lists::All, Lists::Short] {
            if let Some(read) = parse(text, lists) {
                assert_eq!(Some(read), by_serde(text, lists), "{text:?}");
                was_read = true;
            }
        }
        was_read
    }

    #[test]
    fn what_is_plain_is_read_as_serde_json_reads_it() {
        let request = r#"{"TableName":"T\u00e9","Item":{"pk":{"S":"a\"b\\c\nd"},"n":{"N":"-12.5"},"l":{"L":[{"NULL":true},{"BOOL":false}]},
            "é":{"M":{}},"long":{"S":"0123456789abcdef0123456789abcdef"}},"Limit": -10 , "Zero":0,"x":null,"e":[] }"#;
        assert!(compare(request));
        for text in [
            " 1 ",
            "\"\"",
            "[[],[{}]]",
            "\"12345678\"",
            "\"1234567\"",
            "999999999999999999",
            "{\"a\":\"\\\\\"}",
        ] {
            assert!(compare(text), "{text:?}");
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_serde_json() {
        let deep = format!("{}{}", "[".repeat(DEPTH_MAX + 1), "]".repeat(DEPTH_MAX + 1));
        for text in [
            "",
            "-",
            "-0",
            "01",
            "1.0",
            "1e3",
            "1234567890123456789",
            "9223372036854775808",
            "{\"a\":1,\"a\":2}",
            "\"a",
            "\"\u{1}\"",
            "nul",
            "nulls",
            "[1,]",
            "{\"a\" 1}",
            "{,}",
            "[1 2]",
            "{} {}",
            "\"\\ud800\"",
            "\"\\",
            "\"\\\"",
            "\u{feff}1",
            "{1:2}",
            deep.as_str(),
        ] {
            assert!(!compare(text), "{text:?}");
        }
    }

    #[test]
    fn special_bytes_are_found_at_every_place() {
        for special in ['"', '\\', '\0', '\u{1f}'] {
            for length in 0..=20 {
                for place in 0..length {
                    let mut text = "é!\u{7f}\u{80}~xé!\u{7f}\u{80}~xé!\u{7f}~".as_bytes()[..length].to_vec();
                    text[place] = special as u8;
                    assert_eq!(position_of_special(&text), Some(place));
                    text[place] = 0x20;
                    assert_eq!(position_of_special(&text), None);
                }
            }
        }
    }

    proptest! {
        #[test]
        fn random_texts_of_what_json_is_made_of_are_read_alike(
            parts in prop::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "[", "]", ",", ":", " ", "\n", "\"a\"", "\"L\"", "\"b\\u0041\"", "\"\\\\\"", "\"", "\\", "0", "-1", "12", "1.5", "1e2",
                    "true", "false", "null", "é", "\u{0}", "{\"S\":\"x\"}", "[{}]", "\"\\ud83d\\ude00\"",
                ]),
                0..24,
            )
        ) {
            compare(&parts.concat());
        }

        #[test]
        fn a_changed_byte_is_read_alike(place in 0_usize..200, byte in 0_u8..128) {
            let text = r#"{"TableName":"Orders","Key":{"pk":{"S":"customer 1 é\t"},"sk":{"N":"17"}},"Limit":10,"Keys":[{"a":{"B":"YQ=="}},[null,true]]}"#;
            let mut bytes = text.as_bytes().to_vec();
            let place = place % bytes.len();
            bytes[place] = byte;
            if let Ok(text) = std::str::from_utf8(&bytes) {
                compare(text);
            }
        }
    }
}
