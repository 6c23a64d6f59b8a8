//! Keys of one request, which most programs write alike: the same attributes in the same order with the same white space.
//!
//! What stands around the values of one key is compared with the text of the next one as a whole, so only values are read byte by
//! byte. A key that is written in another way is read by the [scanner](super::scan).

use super::request::KeyText;
use super::scan::Scanner;
use crate::model::key_attribute::ScalarType;

/// Reads one key after the other.
#[derive(Debug, Default)]
pub(super) struct KeyReader<'a> {
    /// That of the last key that the scanner has read.
    pattern: Option<KeyPattern<'a>>,
}

/// How a key is written.
#[derive(Clone, Copy, Debug)]
struct KeyPattern<'a> {
    /// Each attribute: the text up to its value with the opening quote, its name and its type.
    attributes: [Option<(&'a str, &'a str, ScalarType)>; 2],
    /// The text from the closing quote of the last value to the end of the key.
    end: &'a str,
}

impl<'a> KeyReader<'a> {
    /// Reads the next key.
    pub(super) fn read(&mut self, scanner: &mut Scanner<'a>) -> Option<KeyText<'a>> {
        let start = scanner.position();
        if let Some(pattern) = &self.pattern {
            if let Some(key) = pattern.read(scanner) {
                return Some(key);
            }
            scanner.go_back_to(start);
        }
        let key = KeyText::scan(scanner)?;
        self.pattern = KeyPattern::of(&key, scanner, start);
        Some(key)
    }
}

impl<'a> KeyPattern<'a> {
    /// The pattern of a key that the scanner has read from `start` on.
    fn of(key: &KeyText<'a>, scanner: &Scanner<'a>, start: usize) -> Option<Self> {
        let mut behind_value = start;
        let attributes = key.borrowed_parts().map(|part| {
            let (name, scalar_type, value) = part?;
            let place = scanner.place_of(value);
            let before = scanner.text_between(behind_value, place.start)?;
            behind_value = place.end;
            Some((before, name, scalar_type))
        });
        attributes[0]?;
        Some(Self { attributes, end: scanner.text_between(behind_value, scanner.position())? })
    }

    /// Reads a key that is written like this. If there is none, something of it may be read all the same.
    fn read(&self, scanner: &mut Scanner<'a>) -> Option<KeyText<'a>> {
        let mut read = |attribute: Option<(&'a str, &'a str, ScalarType)>| {
            let Some((before, name, scalar_type)) = attribute else { return Some(None) };
            scanner.pass(before)?;
            Some(Some((name, scalar_type, scanner.value()?)))
        };
        let [first, second] = self.attributes;
        let parts = [read(first)?, read(second)?];
        scanner.pass(self.end)?;
        Some(KeyText::of_parts(parts))
    }
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;
    use crate::wire::damaged;

    const LISTS: usize = 20_000;

    /// Keys in random spellings, most of them like the one before, and with random damage. `NEARSIDE_SEED` replays a run.
    #[test]
    fn keys_that_are_written_alike_are_read_as_others_are() {
        let given = std::env::var("NEARSIDE_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| fastrand::u64(..));
        println!("replay with NEARSIDE_SEED={seed}");
        let mut random = Rng::with_seed(seed);
        let (mut sound, mut like_another) = (0, 0);
        for _ in 0..LISTS {
            let mut body = list(&mut random).into_bytes();
            if random.bool() {
                damaged::damage(&mut body, &mut random);
            }
            let shown = String::from_utf8_lossy(&body);
            let Some(mut scanner) = Scanner::new(&body) else { continue };
            let (mut by_scanner, mut keys) = (Vec::new(), KeyReader::default());
            let read = scanner.array(|scanner| {
                by_scanner.push(KeyText::scan(scanner)?);
                Some(())
            });
            let end = scanner.position();
            let mut scanner = Scanner::new(&body).unwrap();
            let mut by_reader = Vec::new();
            let read_alike = scanner.array(|scanner| {
                let start = scanner.position();
                let is_alike = keys.pattern.is_some_and(|pattern| pattern.read(scanner).is_some());
                scanner.go_back_to(start);
                like_another += usize::from(is_alike);
                by_reader.push(keys.read(scanner)?);
                Some(())
            });
            assert_eq!(read, read_alike, "{shown}");
            assert_eq!(format!("{by_scanner:?}"), format!("{by_reader:?}"), "{shown}");
            assert!(read.is_none() || end == scanner.position(), "{shown}");
            sound += usize::from(read.is_some());
        }
        println!("{sound} of {LISTS} lists read, {like_another} keys like another");
        assert!(sound > LISTS / 10 && like_another > LISTS / 10, "the pattern had no part in this");
    }

    fn list(random: &mut Rng) -> String {
        let values = [
            "a",
            "",
            "0",
            "-0",
            "1E2",
            "00012",
            "b-\u{e9}",
            "a longer value, of words",
            "x\\\"y",
            "\\ud83d\\ude00",
            "YQ==",
        ];
        let forms = [
            r#"{"p":{"S":"1"}}"#,
            r#" { "p" : {"S": "1" } } "#,
            r#"{"p":{"S":"1"},"r":{"N":"2"}}"#,
            r#"{"r":{"N":"2"}, "p":{"S":"1"}}"#,
            r#"{"p":{"B":"1"},"p":{"S":"2"}}"#,
            r#"{"1":{"S":"2"}}"#,
            r#"{"p":{"S":"1"},"r":{"N":"2"},"q":{"S":"1"}}"#,
            "{}",
        ];
        let mut form = forms[random.usize(..forms.len())];
        let mut keys = Vec::new();
        for _ in 0..random.usize(..8) {
            if random.u8(..4) == 0 {
                form = forms[random.usize(..forms.len())];
            }
            let mut pick = || values[random.usize(..values.len())];
            keys.push(form.replacen('1', pick(), 1).replacen('2', pick(), 1));
        }
        format!("[{}]", keys.join([",", ", "][random.usize(..2)]))
    }
}
