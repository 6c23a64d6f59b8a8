//! The syntax of JSON, read where it lies: what turns DynamoDB's JSON into CBOR needs no tree.
//!
//! It reads what DynamoDB and this program write, with white space anywhere. It trusts that strings without a backslash hold no
//! control characters; nothing else is taken for granted.

use std::borrow::Cow;

use super::cbor::Malformed;

/// A position in a text of JSON.
#[derive(Clone, Debug)]
pub(super) struct Scanner<'a> {
    text: &'a str,
    position: usize,
}

/// The content of a string, as it is written: UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quoted<'a> {
    content: &'a [u8],
    /// Where the content begins in the text.
    begin: usize,
    has_escapes: bool,
}

/// A member whose value has one string.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlainMember<'a> {
    pub(super) name: Quoted<'a>,
    /// `S`, `N` or `B`.
    pub(super) letter: u8,
    pub(super) content: Quoted<'a>,
}

const UNEXPECTED: Malformed = Malformed::Invalid("unexpected JSON");
const BAD_ESCAPE: Malformed = Malformed::Invalid("a string of JSON has a bad escape");

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, position: 0 }
    }

    /// The whole text.
    #[inline]
    pub(super) fn text(&self) -> &'a str {
        self.text
    }

    /// How many bytes have been read.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// The next byte that is no white space, which is not read over; 0 at the end.
    #[inline]
    pub(super) fn peek(&mut self) -> u8 {
        let bytes = self.text.as_bytes();
        match bytes.get(self.position) {
            Some(byte) if *byte > b' ' => *byte,
            _ => self.peek_behind_space(),
        }
    }

    #[cold]
    fn peek_behind_space(&mut self) -> u8 {
        let rest = &self.text.as_bytes()[self.position..];
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
        let length = rest.iter().take_while(|byte| is_space(byte)).count();
        self.position += length;
        rest.get(length).copied().unwrap_or(0)
    }

    /// Reads over that byte, if it is next.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == byte;
        self.position += usize::from(is_next);
        is_next
    }

    /// Reads over that byte.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.take(byte) { Ok(()) } else { Err(UNEXPECTED) }
    }

    /// Reads over the bracket that opens an object or a list. True when it has a first member.
    #[inline]
    pub(super) fn open(&mut self, opening: u8, closing: u8) -> Result<bool, Malformed> {
        self.expect(opening)?;
        Ok(!self.take(closing))
    }

    /// Reads over what follows a member. True when it has another.
    #[inline]
    pub(super) fn goes_on(&mut self, closing: u8) -> Result<bool, Malformed> {
        if self.take(b',') {
            return Ok(true);
        }
        self.expect(closing)?;
        Ok(false)
    }

    /// Checks that nothing follows.
    pub(super) fn end(&mut self) -> Result<(), Malformed> {
        if self.peek() == 0 && self.position == self.text.len() { Ok(()) } else { Err(UNEXPECTED) }
    }

    /// Reads a word, such as `true`.
    pub(super) fn word(&mut self, word: &str) -> Result<(), Malformed> {
        self.peek();
        if !self.text.as_bytes()[self.position..].starts_with(word.as_bytes()) {
            return Err(UNEXPECTED);
        }
        self.position += word.len();
        Ok(())
    }

    /// Reads a string.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Quoted<'a>, Malformed> {
        self.expect(b'"')?;
        let rest = &self.text.as_bytes()[self.position..];
        let length = position_of_special(rest);
        match rest.get(length) {
            Some(b'"') => {
                let begin = self.position;
                self.position += length + 1;
                Ok(Quoted { content: &rest[..length], begin, has_escapes: false })
            }
            Some(_) => self.string_with_escapes(rest, length),
            None => Err(UNEXPECTED),
        }
    }

    fn string_with_escapes(&mut self, rest: &'a [u8], first: usize) -> Result<Quoted<'a>, Malformed> {
        let mut at = first;
        while *rest.get(at).ok_or(UNEXPECTED)? == b'\\' {
            // Of the bytes of an escape only the first can be a quote or a backslash.
            let behind = rest.get(at + 2..).ok_or(UNEXPECTED)?;
            at += 2 + position_of_special(behind);
        }
        let begin = self.position;
        self.position += at + 1;
        Ok(Quoted { content: &rest[..at], begin, has_escapes: true })
    }

    /// Reads the name of a member and the colon.
    #[inline]
    pub(super) fn name(&mut self) -> Result<Quoted<'a>, Malformed> {
        let name = self.string()?;
        self.expect(b':')?;
        Ok(name)
    }

    /// Reads a member whose value is a string, a number or binary, if it is next and has neither white space nor escapes: nearly all
    /// are like that. Of anything else nothing is read.
    #[inline(always)]
    pub(super) fn plain_member(&mut self) -> Option<PlainMember<'a>> {
        let bytes = self.text.as_bytes();
        let (quote, rest) = bytes.get(self.position..)?.split_first()?;
        let name_length = position_of_special(rest);
        let (name, rest) = rest.split_at_checked(name_length)?;
        let (between, rest) = rest.split_first_chunk::<8>()?;
        // One comparison of a word costs less than eight of bytes.
        let letter = between[4];
        if u64::from_be_bytes(*between) ^ u64::from(letter) << 24 != u64::from_be_bytes(*b"\":{\"\0\":\"")
            || !matches!(letter, b'S' | b'N' | b'B')
        {
            return None;
        }
        let length = position_of_special(rest);
        let (content, rest) = rest.split_at_checked(length)?;
        if *quote != b'"' || !rest.starts_with(b"\"}") {
            return None;
        }
        let name = Quoted { content: name, begin: self.position + 1, has_escapes: false };
        self.position = bytes.len() - rest.len() + 2;
        let content = Quoted { content, begin: self.position - 2 - length, has_escapes: false };
        Some(PlainMember { name, letter, content })
    }

    /// Reads the beginning of an attribute value: its bracket, the name of its type, the colon. No type is named with an escape.
    #[inline]
    pub(super) fn value_type(&mut self) -> Result<&'a [u8], Malformed> {
        // Half of the types have one letter, and hardly anybody writes white space.
        if let Some([b'{', b'"', _, b'"', b':']) = self.text.as_bytes().get(self.position..self.position + 5)
        {
            let letter = &self.text.as_bytes()[self.position + 2..self.position + 3];
            self.position += 5;
            return Ok(letter);
        }
        self.expect(b'{')?;
        self.name()?.plain().ok_or(UNEXPECTED)
    }

    /// Reads over a value of any kind. It is not looked at but for its brackets and strings.
    pub(super) fn skip(&mut self) -> Result<&'a str, Malformed> {
        let mut open = 0_usize;
        self.peek();
        let begin = self.position;
        loop {
            match self.peek() {
                b'{' | b'[' => {
                    open += 1;
                    self.position += 1;
                }
                b'}' | b']' => {
                    open = open.checked_sub(1).ok_or(UNEXPECTED)?;
                    self.position += 1;
                }
                b'"' => drop(self.string()?),
                b',' | b':' if open > 0 => {
                    self.position += 1;
                    continue;
                }
                0 | b',' | b':' => return Err(UNEXPECTED),
                _ => self.skip_word(),
            }
            if open == 0 {
                return Ok(&self.text[begin..self.position]);
            }
        }
    }

    /// Reads over a word or a number, or one character of anything else.
    fn skip_word(&mut self) {
        let rest = &self.text.as_bytes()[self.position..];
        let is_of_word = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-');
        let length = rest.iter().take_while(|byte| is_of_word(byte)).count();
        let next = self.text[self.position..].chars().next().map_or(0, char::len_utf8);
        self.position += length.max(next);
    }
}

/// So many bytes are looked at in words of 8: most strings end within these, and a call costs as much.
const NEAR_BYTES: usize = 64;

/// Where the first quote or backslash is; the length of the bytes if there is none.
#[inline(always)]
fn position_of_special(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHEST: u64 = 0x80 * ONES;
    // A byte is zero if taking one from it borrows. Above the first zero others may be marked as well.
    let zero_in = |word: u64| word.wrapping_sub(ONES) & !word;
    let mut at = 0;
    while at < NEAR_BYTES
        && let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk)
    {
        let word = u64::from_le_bytes(*word);
        let special = zero_in(word ^ (ONES * b'"' as u64)) | zero_in(word ^ (ONES * b'\\' as u64));
        if special & HIGHEST != 0 {
            return at + ((special & HIGHEST).trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    position_of_far_special(bytes, at)
}

#[inline(never)]
fn position_of_far_special(bytes: &[u8], seen: usize) -> usize {
    memchr::memchr2(b'"', b'\\', &bytes[seen..]).map_or(bytes.len(), |position| seen + position)
}

impl<'a> Quoted<'a> {
    /// The bytes of the string, if it has no escapes.
    #[inline]
    pub(super) fn plain(self) -> Option<&'a [u8]> {
        (!self.has_escapes).then_some(self.content)
    }

    /// The content as it is written.
    #[inline]
    pub(super) fn content(self) -> &'a [u8] {
        self.content
    }

    /// Where the content begins in the text.
    #[inline]
    pub(super) fn begin(self) -> usize {
        self.begin
    }

    /// The string.
    pub(super) fn text(self) -> Result<Cow<'a, str>, Malformed> {
        if let Some(plain) = self.plain() {
            return str::from_utf8(plain).map(Cow::Borrowed).map_err(|_| UNEXPECTED);
        }
        let mut text = Vec::with_capacity(self.content.len());
        self.append_to(&mut text)?;
        String::from_utf8(text).map(Cow::Owned).map_err(|_| BAD_ESCAPE)
    }

    /// Appends the string, in UTF-8.
    pub(super) fn append_to(self, out: &mut Vec<u8>) -> Result<(), Malformed> {
        if let Some(plain) = self.plain() {
            out.extend_from_slice(plain);
            return Ok(());
        }
        let mut parts = self.content.split(|byte| *byte == b'\\');
        out.extend_from_slice(parts.next().unwrap_or_default());
        while let Some(part) = parts.next() {
            let Some((&escape, mut rest)) = part.split_first() else {
                // A backslash that is escaped: what follows it is the part behind the empty one.
                out.push(b'\\');
                out.extend_from_slice(parts.next().ok_or(BAD_ESCAPE)?);
                continue;
            };
            match escape {
                b'"' | b'/' => out.push(escape),
                b'b' => out.push(0x08),
                b'f' => out.push(0x0C),
                b'n' => out.push(b'\n'),
                b'r' => out.push(b'\r'),
                b't' => out.push(b'\t'),
                b'u' => {
                    let (unit, behind) = unit(rest)?;
                    rest = behind;
                    let mut character = char::from_u32(unit.into());
                    if (0xD800..0xDC00).contains(&unit) && rest.is_empty() {
                        let low = parts.next().and_then(|part| part.strip_prefix(b"u")).ok_or(BAD_ESCAPE)?;
                        let (low, behind) = self::unit(low)?;
                        rest = behind;
                        character = char::decode_utf16([unit, low]).next().and_then(Result::ok);
                    }
                    let character = character.ok_or(BAD_ESCAPE)?;
                    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => return Err(BAD_ESCAPE),
            }
            out.extend_from_slice(rest);
        }
        Ok(())
    }
}

/// The UTF-16 unit of four hexadecimal digits, and what follows them.
fn unit(text: &[u8]) -> Result<(u16, &[u8]), Malformed> {
    let (digits, rest) = text.split_first_chunk::<4>().ok_or(BAD_ESCAPE)?;
    let digit = |unit: u16, digit: &u8| Some(unit << 4 | char::from(*digit).to_digit(16)? as u16);
    Ok((digits.iter().try_fold(0, digit).ok_or(BAD_ESCAPE)?, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<String, Malformed> {
        let mut scanner = Scanner::new(text);
        let string = scanner.string()?;
        scanner.end()?;
        Ok(string.text()?.into_owned())
    }

    #[test]
    fn escapes_are_resolved_as_serde_json_resolves_them() {
        for text in [
            r#""""#,
            r#""a""#,
            r#""\\""#,
            r#""\\\\\"\\""#,
            r#""\"\/\b\f\n\r\t""#,
            r#""\u00e9x\u0000""#,
            r#""\ud83d\ude00!""#,
            r#""\\u00e9\\\u00E9""#,
        ] {
            assert_eq!(read(text).unwrap(), serde_json::from_str::<String>(text).unwrap(), "{text}");
        }
        for text in [
            r#"""#,
            r#""\""#,
            r#""\x""#,
            r#""\é""#,
            r#""\u00""#,
            r#""\u00g0""#,
            r#""\u+0e9""#,
            r#""\ud83d""#,
            r#""\ud83dx\ude00""#,
            r#""\ude00""#,
            r#""\ud83d\u0041""#,
            r#""\ud83d\n""#,
            r#""\uéé""#,
            r#""a" b"#,
        ] {
            assert!(read(text).is_err() && serde_json::from_str::<String>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_value_of_any_kind_is_read_over() {
        for text in [r#"{"a\"}":[1,{"b":[]},true,null,-1.5e+3],"c":"}"}"#, "1", "\"x\"", "[]", "null"] {
            let followed = format!(" {text} ,1");
            let mut scanner = Scanner::new(&followed);
            assert_eq!(scanner.skip(), Ok(text));
            assert!(scanner.take(b','));
        }
        for text in ["", "}", ",", "[", "{\"a\":", "[\"]"] {
            assert!(Scanner::new(text).skip().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn strings_are_read_back(text in ".*", after in "[ \n]*") {
            let json = serde_json::to_string(&text).unwrap() + &after;
            prop_assert_eq!(read(&json), Ok(text.clone()));
            let ascii: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            prop_assert_eq!(read(&format!("\"{ascii}\"")), Ok(text));
        }

        #[test]
        fn any_text_is_read_or_rejected(text in "[\\PC\\\\\"{}\\[\\],:u0-9 ]{0,40}") {
            let _ = Scanner::new(&text).skip();
            let _ = read(&text);
        }
    }
}
