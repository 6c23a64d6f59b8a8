//! Plain JSON at the speed of its bytes.
//!
//! Nearly all bodies are plain: within [`DEPTH_MAX`] levels, no fractions, no member named twice. Those are read here, in one pass
//! and with one allocation for each object and list. Of everything else this reader says nothing, and serde_json reads it from its
//! beginning: so errors, and what is read in a special way, come from one place. Whatever is read here, serde_json reads alike; a
//! test compares both.

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
    let mut builder = Builder { reader: Reader::new(text), lists, elements: Vec::new(), members: Vec::new() };
    builder.reader.skip_space();
    let value = builder.value(0, None)?;
    builder.reader.is_at_end().then_some(value)
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

/// A text that is read from its beginning to its end.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Where it is: always between two characters, unless it has given up.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// What was read since it was there.
    pub(super) fn since(&self, position: usize) -> &'a str {
        &self.text[position..self.at]
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// Passes this byte; `None` if it is not the next one.
    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    pub(super) fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// True if only space is left.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.skip_space();
        self.at == self.text.len()
    }

    /// Passes this word; `None` if it does not stand here.
    pub(super) fn pass_word(&mut self, word: &str) -> Option<()> {
        let is_here = self.text.as_bytes()[self.at..].starts_with(word.as_bytes());
        self.at += word.len();
        is_here.then_some(())
    }

    /// A number without fraction, exponent or needless zeros.
    fn integer(&mut self) -> Option<i64> {
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
        (is_plain && !goes_on).then_some(value)
    }

    /// The string that begins here.
    pub(super) fn string(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at;
        match self.skip_string_to_escape()? {
            Skipped::Whole => Some(Cow::Borrowed(&self.text[start + 1..self.at - 1])),
            Skipped::Escape => {
                self.skip_escaped()?;
                serde_json::from_str(&self.text[start..self.at]).ok().map(Cow::Owned)
            }
        }
    }

    /// Skips the string that begins here, once it is certain that it is one.
    pub(super) fn skip_string(&mut self) -> Option<()> {
        match self.skip_string_to_escape()? {
            Skipped::Whole => Some(()),
            Skipped::Escape => self.skip_escaped(),
        }
    }

    fn skip_string_to_escape(&mut self) -> Option<Skipped> {
        self.expect(b'"')?;
        self.at += position_of_special(&self.text.as_bytes()[self.at..])?;
        match self.next()? {
            b'"' => Some(Skipped::Whole),
            b'\\' => Some(Skipped::Escape),
            _ => None,
        }
    }

    /// Skips the rest of a string, from behind the backslash of its first escape.
    fn skip_escaped(&mut self) -> Option<()> {
        loop {
            match self.next()? {
                b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                b'u' => {
                    let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return None;
                    }
                    self.at += 4;
                }
                _ => return None,
            }
            self.at += position_of_special(&self.text.as_bytes()[self.at..])?;
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => {}
                _ => return None,
            }
        }
    }
}

/// What was skipped of a string.
enum Skipped {
    /// All of it, and it has no escape.
    Whole,
    /// All up to the backslash of its first escape.
    Escape,
}

/// Makes a tree of what it reads.
struct Builder<'a> {
    reader: Reader<'a>,
    lists: Lists,
    /// What the lists that are open hold, the innermost last.
    elements: Vec<Json<'a>>,
    /// What the objects that are open hold, the innermost last.
    members: Vec<(Cow<'a, str>, Json<'a>)>,
}

impl<'a> Builder<'a> {
    /// Reads the value that begins here, under that name in its object.
    fn value(&mut self, depth: usize, name: Option<&str>) -> Option<Json<'a>> {
        match self.reader.peek()? {
            b'"' => self.reader.string().map(Json::String),
            b'{' if depth < DEPTH_MAX => self.object(depth + 1),
            b'[' if depth < DEPTH_MAX => self.array(depth + 1, name),
            b't' => self.reader.pass_word("true").map(|()| Json::Bool(true)),
            b'f' => self.reader.pass_word("false").map(|()| Json::Bool(false)),
            b'n' => self.reader.pass_word("null").map(|()| Json::Null),
            b'0'..=b'9' | b'-' => self.reader.integer().map(Json::Integer),
            _ => None,
        }
    }

    fn object(&mut self, depth: usize) -> Option<Json<'a>> {
        let start = self.members.len();
        self.reader.next();
        self.reader.skip_space();
        if self.reader.peek()? == b'}' {
            self.reader.next();
            return Some(Json::Object(Box::default()));
        }
        loop {
            let name = self.reader.string()?;
            self.reader.skip_space();
            self.reader.expect(b':')?;
            self.reader.skip_space();
            let value = self.value(depth, Some(&name))?;
            self.reader.skip_space();
            match self.reader.next()? {
                b',' => self.reader.skip_space(),
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
        self.reader.next();
        self.reader.skip_space();
        if self.reader.peek()? == b']' {
            self.reader.next();
            return Some(Json::Array(Box::default()));
        }
        loop {
            let element = self.value(depth, None)?;
            self.elements.push(element);
            if self.elements.len() - start > elements_max {
                return None;
            }
            self.reader.skip_space();
            match self.reader.next()? {
                b',' => self.reader.skip_space(),
                b']' => return Some(Json::Array(self.elements.drain(start..).collect())),
                _ => return None,
            }
        }
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
