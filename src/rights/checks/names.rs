//! The names of table and index in a body, read in one pass that allocates nothing and takes nothing apart.

use memchr::memchr2;

/// The names in a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlainNames<'a> {
    pub(crate) table: &'a str,
    pub(crate) index: Option<&'a str>,
}

impl<'a> PlainNames<'a> {
    /// Reads a body; `None` if it is not plainly one object in JSON that names a table once, and an index at most once where the
    /// operation has one. Then the body must be read whole.
    ///
    /// What is between the names is skipped by its brackets and quotes. It may break other rules of JSON, but it has no character
    /// outside of a string that JSON has not, so that no reader finds a name where this one does not.
    pub(crate) fn read(body: &'a [u8], may_have_index: bool) -> Option<Self> {
        let mut scanner = Scanner { body, at: 0 };
        let (mut table, mut index) = (None, None);
        scanner.expect(b'{')?;
        loop {
            scanner.expect(b'"')?;
            let name = scanner.plain_string()?;
            scanner.expect(b':')?;
            let found = match name {
                b"TableName" => Some(&mut table),
                b"IndexName" if may_have_index => Some(&mut index),
                _ => None,
            };
            match found {
                None => scanner.skip_value()?,
                // Whoever reads the request after us may take the other of two.
                Some(found) if found.is_some() => return None,
                Some(found) => {
                    scanner.expect(b'"')?;
                    *found = Some(std::str::from_utf8(scanner.plain_string()?).ok()?);
                }
            }
            match scanner.next()? {
                b',' => {}
                b'}' => break,
                _ => return None,
            }
        }
        match scanner.next() {
            None => Some(Self { table: table?, index }),
            Some(_) => None,
        }
    }
}

/// How far the end of a string is looked for byte by byte.
const NEAR_BYTES: usize = 24;

struct Scanner<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// The next byte that is no space.
    fn next(&mut self) -> Option<u8> {
        loop {
            let byte = *self.body.get(self.at)?;
            self.at += 1;
            if !is_space(byte) {
                return Some(byte);
            }
        }
    }

    fn expect(&mut self, expected: u8) -> Option<()> {
        (self.next()? == expected).then_some(())
    }

    /// The rest of a string that has no escape.
    fn plain_string(&mut self) -> Option<&'a [u8]> {
        let rest = self.body.get(self.at..)?;
        let end = end_or_escape(rest)?;
        self.at += end + 1;
        (rest[end] == b'"').then_some(&rest[..end])
    }

    fn skip_string(&mut self) -> Option<()> {
        loop {
            let rest = self.body.get(self.at..)?;
            let end = end_or_escape(rest)?;
            if rest[end] == b'"' {
                self.at += end + 1;
                return Some(());
            }
            self.at += end + 2;
        }
    }

    /// Skips a value, and leaves what follows it.
    fn skip_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.next()? {
                b'"' => self.skip_string()?,
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.checked_sub(1)?,
                b',' | b':' if depth > 0 => continue,
                byte if is_of_scalar(byte) => self.skip_scalar(),
                _ => return None,
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Skips the rest of a number, `true`, `false` or `null`.
    fn skip_scalar(&mut self) {
        while self.body.get(self.at).is_some_and(|byte| is_of_scalar(*byte)) {
            self.at += 1;
        }
    }
}

/// Where the first quote or backslash is. Most strings end within a few bytes.
#[inline]
fn end_or_escape(rest: &[u8]) -> Option<usize> {
    let near = rest.len().min(NEAR_BYTES);
    let found = rest[..near].iter().position(|byte| matches!(byte, b'"' | b'\\'));
    found.or_else(|| memchr2(b'"', b'\\', &rest[near..]).map(|end| near + end))
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

fn is_of_scalar(byte: u8) -> bool {
    byte.is_ascii_digit() || b"+-.eEtrufalsn".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_where_they_stand_once() {
        let read = |body: &str, may_have_index| {
            let names = PlainNames::read(body.as_bytes(), may_have_index)?;
            Some((names.table.to_owned(), names.index.map(str::to_owned)))
        };
        let nested = r#"{"Key":{"TableName":{"S":"x"},"n":[1,-2,0.5,true,null,"\\\"}"]} , "TableName" : "a","IndexName":"i"} "#;
        assert_eq!(read(nested, true), Some(("a".into(), Some("i".into()))));
        assert_eq!(read(nested, false), Some(("a".into(), None)));
        let deep = format!(r#"{{"Key":{}{},"TableName":"a"}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(read(&deep, true), Some(("a".into(), None)));
        for body in [
            r#"{"TableName":"a","TableName":"b"}"#,
            r#"{"TableName":"a","IndexName":"i","IndexName":"j"}"#,
            r#"{"TableName":"a","IndexName":null}"#,
            r#"{"TableName":"a"} {}"#,
            r#"{"TableName":7}"#,
            r#"{"Table\u004eame":"a"}"#,
            r#"{"TableName":"\u0061"}"#,
            r#"{"x":1/*,"y":"*/,"TableName":"a"}"#,
            r#"{"x":{/*"*/},"TableName":"b","y":{/*"*/},"TableName":"a"}"#,
            r#"{'TableName':"b","TableName":"a"}"#,
            r#"{"x":[}],"TableName":"a"}"#,
            r#"{"x":"\"#,
            r#"{"x":],"TableName":"a"}"#,
            r#"{"x":NaN,"TableName":"a"}"#,
            "{}",
            "[]",
            "",
        ] {
            assert_eq!(read(body, true), None, "{body}");
        }
    }
}
