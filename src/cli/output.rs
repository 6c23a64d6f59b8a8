//! The output of commands: a failed write is an error, and characters that a terminal obeys or hides are made visible.
//!
//! Keys and names of tables are other people's text. A bidirectional override (U+202E) shows what follows in another order, a control
//! character moves the cursor, and a zero-width character makes two different keys look the same.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{ErrorKind, Write};

/// Prints text in which every character is shown, line feeds apart.
///
/// # Errors
/// Why it cannot be written.
pub(super) fn print_visibly(text: &str) -> Result<(), String> {
    let lines: Vec<_> = text.split('\n').map(visible).collect();
    print(lines.join("\n").as_bytes())
}

/// Prints text of this program's own.
///
/// # Errors
/// Why it cannot be written.
pub(super) fn print(text: &[u8]) -> Result<(), String> {
    let mut output = std::io::stdout().lock();
    written(output.write_all(text).and_then(|()| output.flush()))
}

/// The outcome of a write to the standard output. The reader of a pipe may close it early, as `head` does.
///
/// # Errors
/// Why it cannot be written.
pub(super) fn written(outcome: std::io::Result<()>) -> Result<(), String> {
    match outcome {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(format!("cannot write to the standard output: {error}"))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The same text with an escape, as JSON has it, for each character that is not shown or changes how others are.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let escaped = text.chars().fold(String::with_capacity(2 * text.len()), |mut escaped, character| {
        match is_hidden(character) {
            false => escaped.push(character),
            true => character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                write!(escaped, "\\u{unit:04x}").ok();
            }),
        }
        escaped
    });
    Cow::Owned(escaped)
}

/// True for control characters (Cc), format characters (Cf), line and paragraph separators (Zl, Zp), and others that draw nothing
/// (Default_Ignorable_Code_Point): UnicodeData.txt and DerivedCoreProperties.txt of Unicode 16.0.
fn is_hidden(character: char) -> bool {
    let is_listed = |code: u32| {
        let place = HIDDEN.partition_point(|(_, last)| *last < code);
        HIDDEN.get(place).is_some_and(|(first, _)| *first <= code)
    };
    // Text in ASCII is decided at once.
    character.is_control() || (!character.is_ascii() && is_listed(character.into()))
}

/// Those beyond Cc: the first and the last of each range, in their order.
const HIDDEN: [(u32, u32); 25] = [
    (0x00AD, 0x00AD),
    (0x034F, 0x034F),
    (0x0600, 0x0605),
    (0x061C, 0x061C),
    (0x06DD, 0x06DD),
    (0x070F, 0x070F),
    (0x0890, 0x0891),
    (0x08E2, 0x08E2),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x2028, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFB),
    (0x0001_10BD, 0x0001_10BD),
    (0x0001_10CD, 0x0001_10CD),
    (0x0001_3430, 0x0001_343F),
    (0x0001_BCA0, 0x0001_BCA3),
    (0x0001_D173, 0x0001_D17A),
    (0x000E_0000, 0x000E_0FFF),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_a_terminal_obeys_or_hides_are_shown_as_escapes_of_json() {
        for (text, shown) in [
            ("plain, ümlaut, 漢字, שלום, 🙂, a b\u{a0}c", "plain, ümlaut, 漢字, שלום, 🙂, a b\u{a0}c"),
            ("a\u{202e}b\u{2066}c\u{2069}", "a\\u202eb\\u2066c\\u2069"),
            ("\u{1b}[2J\u{7f}\u{9b}\n\t", "\\u001b[2J\\u007f\\u009b\\u000a\\u0009"),
            ("a\u{200b}\u{feff}\u{ad}\u{2028}", "a\\u200b\\ufeff\\u00ad\\u2028"),
            ("\u{e0041}\u{110bd}\u{3164}\u{fe0f}", "\\udb40\\udc41\\ud804\\udcbd\\u3164\\ufe0f"),
            ("", ""),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn an_escape_in_json_means_the_character_that_it_stands_for() {
        let value = serde_json::json!({ "key": "a\u{202e}b\u{e0041}\u{7f}\u{feff}c" });
        let text = format!("{value:#}\n");
        let shown: Vec<_> = text.split('\n').map(visible).collect();
        let shown = shown.join("\n");
        assert!(shown.is_ascii() && shown.lines().count() == 3, "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }

    #[test]
    fn ranges_of_hidden_characters_are_in_their_order_and_their_ends_belong_to_them() {
        assert!(HIDDEN.iter().all(|(first, last)| first <= last));
        assert!(HIDDEN.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0));
        for (first, last) in HIDDEN {
            for code in [first, last] {
                assert!(char::from_u32(code).is_some_and(is_hidden), "{code:x}");
            }
            for code in [first - 1, last + 1] {
                assert!(!char::from_u32(code).is_some_and(is_hidden), "{code:x}");
            }
        }
    }
}
