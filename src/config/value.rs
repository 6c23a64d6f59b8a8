//! One value as it was written, read as what its key takes.
//!
//! A value of the file has a TOML type; a value of a variable or a flag is text and is read more loosely: `yes` is a boolean
//! there, and commas separate the members of a list. Every error shows what was written and an example of what to write.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use toml::de::DeValue;
use toml::value::{Datetime, Offset};

use super::prices::Price;
use super::units::{ByteSize, Fraction, TimeToLive, parse_duration};
use crate::model::Timestamp;

/// The most characters of a value that an error repeats.
const WRITTEN_CHARS_MAX: usize = 60;

/// Words for true and for false, in variables and flags.
const BOOLEANS: &[(&str, bool)] = &[
    ("true", true),
    ("yes", true),
    ("on", true),
    ("1", true),
    ("false", false),
    ("no", false),
    ("off", false),
    ("0", false),
];

/// A value as it was written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given<'v> {
    /// In the file, with the source text of the value.
    Toml(&'v DeValue<'v>, &'v str),
    /// In a variable or a flag.
    Text(&'v str),
}

impl<'v> Given<'v> {
    /// Text that is not empty.
    pub(super) fn string(self) -> Result<&'v str, String> {
        let text = match self {
            Self::Toml(DeValue::String(text), _) => text.as_ref(),
            Self::Toml(..) => return Err(format!("{self} is not text; write it in quotes")),
            Self::Text(text) => text,
        };
        if text.is_empty() { Err("\"\" is empty; leave it out for its default".to_owned()) } else { Ok(text) }
    }

    /// What a type makes of the text. Its errors say how to write one.
    pub(super) fn parsed<T: FromStr<Err = String>>(self) -> Result<T, String> {
        match self {
            // A number where a size belongs: the type's own words say more than "not text".
            Self::Toml(DeValue::Integer(_) | DeValue::Float(_), written) => {
                written.parse::<T>().and_then(|_| self.string()?.parse())
            }
            Self::Toml(..) | Self::Text(_) => self.string()?.parse(),
        }
    }

    /// A number from 0 to 1.
    pub(super) fn fraction(self) -> Result<Fraction, String> {
        match self {
            Self::Toml(DeValue::Integer(_) | DeValue::Float(_), written) => written.parse(),
            Self::Toml(..) => Err(format!(
                "{self} is not a number from 0 to 1; write one{}, such as 0.001",
                self.in_words()
            )),
            Self::Text(text) => text.parse(),
        }
    }

    /// A size that makes sense from some size on.
    pub(super) fn at_least(self, least: ByteSize) -> Result<ByteSize, String> {
        match self.parsed()? {
            size if size < least => Err(format!("{self} is too small; write at least \"{least}\"")),
            size => Ok(size),
        }
    }

    /// A duration; zero is one.
    pub(super) fn duration(self) -> Result<Duration, String> {
        match self {
            Self::Toml(DeValue::Integer(_) | DeValue::Float(_), written) => parse_duration(written),
            Self::Toml(..) | Self::Text(_) => parse_duration(self.string()?),
        }
    }

    /// A duration that makes sense from some duration on.
    pub(super) fn lasting(self, least: Duration) -> Result<Duration, String> {
        match self.duration()? {
            short if short < least => {
                Err(format!("{self} is too short; write at least \"{}\"", TimeToLive::For(least)))
            }
            duration => Ok(duration),
        }
    }

    /// A duration that makes sense from some duration on and up to another one.
    pub(super) fn lasting_between(self, least: Duration, most: Duration) -> Result<Duration, String> {
        match self.duration()? {
            duration if (least..=most).contains(&duration) => Ok(duration),
            _ => {
                let [least, most] = [least, most].map(TimeToLive::For);
                Err(format!("{self} is not from \"{least}\" to \"{most}\""))
            }
        }
    }

    /// A time limit, which zero is not.
    pub(super) fn timeout(self) -> Result<Duration, String> {
        self.lasting(Duration::from_millis(1))
    }

    /// An amount of money.
    pub(super) fn price(self) -> Result<Price, String> {
        let written = match self {
            Self::Toml(DeValue::Integer(_) | DeValue::Float(_), written) => Some(written),
            Self::Toml(..) => None,
            Self::Text(text) => Some(text),
        };
        let price = written.and_then(Price::parse);
        price.ok_or_else(|| format!("{self} is not a price; write a number such as 0.125"))
    }

    /// True or false.
    pub(super) fn boolean(self) -> Result<bool, String> {
        let meant = match self {
            Self::Toml(DeValue::Boolean(boolean), _) => Some(*boolean),
            Self::Toml(..) => None,
            Self::Text(text) => {
                let is_meant = |(word, _): &&(&str, bool)| word.eq_ignore_ascii_case(text);
                BOOLEANS.iter().find(is_meant).map(|(_, meant)| *meant)
            }
        };
        meant.ok_or_else(|| format!("{self} is not a truth value; write true or false{}", self.in_words()))
    }

    /// A whole number above zero.
    pub(super) fn count(self) -> Result<usize, String> {
        self.count_between(1, usize::MAX)
    }

    /// A whole number from some number on and up to another one.
    pub(super) fn count_between(self, least: usize, most: usize) -> Result<usize, String> {
        let count = match self {
            Self::Toml(DeValue::Integer(integer), _) => {
                usize::from_str_radix(integer.as_str(), integer.radix()).ok()
            }
            Self::Toml(..) => None,
            Self::Text(text) => text.parse().ok(),
        };
        count.filter(|count| (least..=most).contains(count)).ok_or_else(|| match most {
            usize::MAX => {
                format!("{self} is not a whole number above zero; write one{}, such as 64", self.in_words())
            }
            _ => format!("{self} is not a whole number from {least} to {most}; write one{}", self.in_words()),
        })
    }

    /// How to write what is no text, where that needs words.
    fn in_words(self) -> &'static str {
        match self {
            Self::Toml(DeValue::String(_), _) => " without quotes",
            Self::Toml(..) | Self::Text(_) => "",
        }
    }

    /// A list of texts, each read as what the key takes; in variables and flags with commas between them.
    pub(super) fn list<T: FromStr<Err = String>>(self, example: &str) -> Result<Vec<T>, String> {
        let wrong = || format!("{self} is not a list of texts; write [{example}]");
        match self {
            Self::Toml(DeValue::Array(values), _) => {
                let texts = values.iter().map(|value| value.get_ref().as_str().ok_or_else(wrong));
                texts.map(|text| text?.parse()).collect()
            }
            Self::Toml(..) => Err(wrong()),
            Self::Text(text) => text.split(',').map(|member| member.trim().parse()).collect(),
        }
    }

    /// A list of texts, none of them empty.
    pub(super) fn texts(self, example: &str) -> Result<Vec<String>, String> {
        let texts: Vec<Written> = self.list(example)?;
        Ok(texts.into_iter().map(|Written(text)| text).collect())
    }

    /// A time with its offset, as RFC 3339 has it: `2026-12-31T23:59:59Z`. A fraction of a second is left out.
    pub(super) fn time(self) -> Result<Timestamp, String> {
        let datetime = match self {
            Self::Toml(DeValue::Datetime(datetime), _) => Some(*datetime),
            Self::Toml(..) | Self::Text(_) => self.string()?.parse().ok(),
        };
        let time = datetime.and_then(timestamp);
        time.ok_or_else(|| format!("{self} is not a time; write one such as 2026-12-31T23:59:59Z"))
    }

    /// What `read` makes of a text that no error may repeat.
    pub(super) fn secret<T>(self, read: fn(&str) -> Result<T, String>) -> Result<T, String> {
        match self {
            Self::Toml(DeValue::String(text), _) if !text.is_empty() => read(text),
            Self::Text(text) if !text.is_empty() => read(text),
            Self::Toml(..) | Self::Text(_) => Err("must be a text in quotes, and not empty".to_owned()),
        }
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(self, choices: &[(&str, T)]) -> Result<T, String> {
        let text = self.string().ok();
        let chosen = choices.iter().find(|(name, _)| Some(*name) == text).map(|(_, choice)| *choice);
        let names: Vec<_> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
        chosen.ok_or_else(|| format!("{self} is not a choice; write one of {}", names.join(", ")))
    }

    /// A path, as the operating system takes it: nothing is expanded.
    pub(super) fn path(self) -> Result<PathBuf, String> {
        match self.string()? {
            text if text.starts_with(['~', '$']) => Err(format!(
                "{self} is not expanded as a shell would do it; write the whole path, such as \"/var/lib/nearside\""
            )),
            text => Ok(PathBuf::from(text)),
        }
    }
}

/// A text of a list.
struct Written(String);

impl FromStr for Written {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            Err("\"\" is empty; leave it out".to_owned())
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

/// The time of a date, a time of day and an offset; `None` if one of them is missing.
fn timestamp(datetime: Datetime) -> Option<Timestamp> {
    let (date, time) = (datetime.date?, datetime.time?);
    let second = time.second.unwrap_or(0);
    let text = format!(
        "{:04}{:02}{:02}T{:02}{:02}{second:02}Z",
        date.year, date.month, date.day, time.hour, time.minute
    );
    let written = Timestamp::parse(&text)?;
    match datetime.offset? {
        Offset::Z => Some(written),
        Offset::Custom { minutes } => {
            let offset = Duration::from_secs(60 * u64::from(minutes.unsigned_abs()));
            Some(if minutes < 0 { written.plus(offset) } else { written.minus(offset) })
        }
    }
}

/// The value in an error: as the file has it, or in quotes.
impl fmt::Display for Given<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = match self {
            Self::Toml(DeValue::String(text), _) => format!("{:?}", text.as_ref()),
            Self::Toml(_, written) => written.lines().next().unwrap_or_default().to_owned(),
            Self::Text(text) => format!("{text:?}"),
        };
        match shown.char_indices().nth(WRITTEN_CHARS_MAX) {
            Some((end, _)) => write!(formatter, "{}…", &shown[..end]),
            None => formatter.write_str(&shown),
        }
    }
}
