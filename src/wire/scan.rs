//! The plainest JSON of requests, read where it lies: objects, arrays, strings without escapes, and truth values.
//!
//! This is a second reader of JSON beside serde_json, for the bodies that SDKs send most. It reads a small part of the grammar in a
//! fraction of the instructions. What it does not read is `None`, and for the other reader. What it reads, the other one reads too,
//! and says the same of it.

use std::ops::Range;

/// A text, read from its start to its end.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Scanner<'a> {
    /// The text of a body; `None` if it is not UTF-8.
    pub(super) fn new(body: &'a [u8]) -> Option<Self> {
        Some(Self { text: std::str::from_utf8(body).ok()?, position: 0 })
    }

    /// Reads an object. `member` reads the value of the member of that name.
    #[inline]
    pub(super) fn object(&mut self, mut member: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        if self.next()? == b'}' {
            return self.take(b'}');
        }
        loop {
            let name = self.string()?;
            self.take(b':')?;
            member(self, name)?;
            if !self.goes_on(b'}')? {
                return Some(());
            }
        }
    }

    /// Reads an array. `element` reads one of its elements.
    pub(super) fn array(&mut self, mut element: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(b'[')?;
        if self.next()? == b']' {
            return self.take(b']');
        }
        loop {
            element(self)?;
            if !self.goes_on(b']')? {
                return Some(());
            }
        }
    }

    /// Reads a string without escapes.
    pub(super) fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let start = self.position;
        let end = start + string_bytes(&self.text.as_bytes()[start..])?;
        self.position = end + 1;
        self.text.get(start..end)
    }

    /// Reads the rest of a string without escapes, behind its opening quote and up to the closing one, which is not taken.
    pub(super) fn value(&mut self) -> Option<&'a str> {
        let start = self.position;
        self.position += string_bytes(self.text.as_bytes().get(start..)?)?;
        self.text.get(start..self.position)
    }

    /// Passes this text; `None` if another one stands here.
    pub(super) fn pass(&mut self, expected: &str) -> Option<()> {
        let is_here = self.text.as_bytes().get(self.position..)?.starts_with(expected.as_bytes());
        is_here.then(|| self.position += expected.len())
    }

    /// How much is read.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Reads once more from there.
    pub(super) fn go_back_to(&mut self, position: usize) {
        self.position = position;
    }

    /// Where a part of the text stands that was read of it.
    pub(super) fn place_of(&self, part: &'a str) -> Range<usize> {
        let start = part.as_ptr().addr() - self.text.as_ptr().addr();
        start..start + part.len()
    }

    /// The text between two places; `None` if they are none of it.
    pub(super) fn text_between(&self, start: usize, end: usize) -> Option<&'a str> {
        self.text.get(start..end)
    }

    /// Reads `true` or `false`.
    pub(super) fn boolean(&mut self) -> Option<bool> {
        self.next()?;
        let rest = &self.text.as_bytes()[self.position..];
        let (value, length) = match rest {
            [b't', b'r', b'u', b'e', ..] => (true, 4),
            [b'f', b'a', b'l', b's', b'e', ..] => (false, 5),
            _ => return None,
        };
        self.position += length;
        Some(value)
    }

    /// True if all was read.
    pub(super) fn is_at_end(&mut self) -> bool {
        self.next().is_none()
    }

    /// Behind a member or an element: true at a comma, and false at the end, which is that byte.
    fn goes_on(&mut self, end: u8) -> Option<bool> {
        let byte = self.next()?;
        self.position += 1;
        (byte == b',' || byte == end).then_some(byte == b',')
    }

    fn take(&mut self, expected: u8) -> Option<()> {
        (self.next()? == expected).then(|| self.position += 1)
    }

    /// The next byte that is no white space. It is not taken.
    fn next(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        loop {
            let byte = *bytes.get(self.position)?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.position += 1;
        }
    }
}

/// The length of a string's text up to its closing quote; `None` if there is a byte in it that is escaped or would have to be.
fn string_bytes(bytes: &[u8]) -> Option<usize> {
    let mut length = 0;
    // Eight bytes at a time.
    while let Some(chunk) = bytes.get(length..length + 8) {
        let word = u64::from_le_bytes(chunk.try_into().ok()?);
        let marks = special_bytes(word);
        if marks != 0 {
            length += (marks.trailing_zeros() / 8) as usize;
            return (bytes[length] == b'"').then_some(length);
        }
        length += 8;
    }
    loop {
        match *bytes.get(length)? {
            b'"' => return Some(length),
            b'\\' | ..b' ' => return None,
            _ => length += 1,
        }
    }
}

/// The highest bit of each byte that is a quote, a backslash or a control character. Those above the lowest one may be wrong.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let below = |bytes: u64, limit: u8| bytes.wrapping_sub(ONES * u64::from(limit)) & !bytes;
    let quotes = below(word ^ (ONES * u64::from(b'"')), 1);
    let backslashes = below(word ^ (ONES * u64::from(b'\\')), 1);
    (quotes | backslashes | below(word, b' ')) & (ONES << 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_ends_at_its_quote_and_has_no_byte_that_json_escapes() {
        for length in 0..40 {
            for special in 0..=255_u8 {
                for at in 0..=length {
                    let mut bytes = vec![b'a'; length];
                    bytes.push(b'"');
                    bytes.extend_from_slice(b"\"\\\n, ");
                    bytes[at] = special;
                    let expected = match special {
                        b'"' => Some(at),
                        b'\\' | ..b' ' => None,
                        _ if at == length => Some(length + 1),
                        _ => Some(length),
                    };
                    assert_eq!(string_bytes(&bytes), expected, "{special} at {at} of {length}");
                }
            }
            assert_eq!(string_bytes(&vec![b'a'; length]), None);
        }
    }

    #[test]
    fn only_the_plainest_json_is_read() {
        let read = |text: &str| {
            let mut scanner = Scanner::new(text.as_bytes())?;
            let mut seen = Vec::new();
            scanner.object(|scanner, name| {
                seen.push(name.to_owned());
                match name {
                    "s" => seen.push(scanner.string()?.to_owned()),
                    "b" => seen.push(scanner.boolean()?.to_string()),
                    _ => scanner.array(|scanner| {
                        seen.push(scanner.string()?.to_owned());
                        Some(())
                    })?,
                }
                Some(())
            })?;
            scanner.is_at_end().then(|| seen.join(" "))
        };
        assert_eq!(read("{}").as_deref(), Some(""));
        assert_eq!(
            read(" { \"s\" : \"\u{e9}\" ,\"b\":true,\n\"a\":[\"1\",\t\"2\"],\"a\":[] }\r").as_deref(),
            Some("s \u{e9} b true a 1 2 a")
        );
        for other in [
            "",
            "{",
            "[]",
            "{,}",
            "{\"s\":\"a\",}",
            "{\"s\":\"a\"\"b\":true}",
            "{\"s\":\"a\"}}",
            "{\"s\":\"a\"} x",
            "{\"s\" \"a\"}",
            "{\"s\":\"a\\n\"}",
            "{\"s\":\"a\nb\"}",
            "{\"s\":1}",
            "{\"b\":tru}",
            "{\"b\":null}",
            "{\"a\":[,]}",
            "{\"a\":[\"1\",]}",
            "{\"a\":[\"1\"}",
            "{\"a\":\"1\"]}",
            "{s:\"a\"}",
            "\u{feff}{}",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
