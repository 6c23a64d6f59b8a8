//! One key of a config file with its value, read as what the key takes.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use crate::config::error::ConfigError;
use crate::config::units::{ByteSize, parse_duration};

/// A name and where it stands in the file.
pub(super) type Name<'t> = Spanned<Cow<'t, str>>;

/// A key and its value. Whatever reads it fails with the value's line.
#[derive(Clone, Copy)]
pub(super) struct Entry<'v, 't> {
    /// The whole file.
    pub(super) text: &'v str,
    /// The key, or the name of a section.
    pub(super) key: &'v str,
    /// What it is set to.
    pub(super) value: &'v Spanned<DeValue<'t>>,
}

impl<'v, 't> Entry<'v, 't> {
    /// The keys of a section, each with its name as it stands in the file.
    pub(super) fn entries(self) -> Result<impl Iterator<Item = (&'v Name<'t>, Self)>, ConfigError> {
        let DeValue::Table(table) = self.value.get_ref() else {
            return Err(self.at(format!("{0} is a section: write [{0}]", self.key)));
        };
        let text = self.text;
        Ok(table.iter().map(move |(name, value)| (name, Entry { text, key: name.get_ref(), value })))
    }

    pub(super) fn string(self) -> Result<&'v str, ConfigError> {
        match self.value.get_ref() {
            DeValue::String(text) if !text.is_empty() => Ok(text),
            _ => Err(self.wrong("text in quotes")),
        }
    }

    pub(super) fn parsed<T: FromStr<Err = String>>(self) -> Result<T, ConfigError> {
        self.string()?.parse().map_err(|error| self.at(format!("{}: {error}", self.key)))
    }

    /// A list of texts, each read as what the key takes.
    pub(super) fn list<T: FromStr<Err = String>>(self) -> Result<Vec<T>, ConfigError> {
        let wrong = || self.wrong("a list of texts, such as [\"a\", \"b\"]");
        let DeValue::Array(values) = self.value.get_ref() else { return Err(wrong()) };
        let texts = values.iter().map(|value| value.get_ref().as_str().ok_or_else(wrong));
        let parsed =
            |text: Result<&str, _>| text?.parse().map_err(|error| self.at(format!("{}: {error}", self.key)));
        texts.map(parsed).collect()
    }

    /// A size that makes sense from some size on.
    pub(super) fn at_least(self, least: &str) -> Result<ByteSize, ConfigError> {
        let size: ByteSize = self.parsed()?;
        match least.parse() {
            Ok(least) if size < least => Err(self.wrong(&format!("at least \"{least}\""))),
            _ => Ok(size),
        }
    }

    pub(super) fn duration(self) -> Result<Duration, ConfigError> {
        parse_duration(self.string()?).map_err(|error| self.at(format!("{}: {error}", self.key)))
    }

    /// A time without which nothing would ever be done.
    pub(super) fn timeout(self) -> Result<Duration, ConfigError> {
        match self.duration()? {
            timeout if timeout.is_zero() => Err(self.wrong("at least \"1ms\"")),
            timeout => Ok(timeout),
        }
    }

    pub(super) fn boolean(self) -> Result<bool, ConfigError> {
        match self.value.get_ref() {
            DeValue::Boolean(boolean) => Ok(*boolean),
            _ => Err(self.wrong("true or false")),
        }
    }

    pub(super) fn address(self) -> Result<SocketAddr, ConfigError> {
        let wrong = |_| self.wrong("an address and a port, such as \"127.0.0.1:8000\"");
        self.string()?.parse().map_err(wrong)
    }

    pub(super) fn count(self) -> Result<usize, ConfigError> {
        let count = match self.value.get_ref() {
            DeValue::Integer(integer) => usize::from_str_radix(integer.as_str(), integer.radix()).ok(),
            _ => None,
        };
        count.filter(|count| *count > 0).ok_or_else(|| self.wrong("a whole number above zero"))
    }

    pub(super) fn choice<T: Copy>(self, choices: &[(&str, T)]) -> Result<T, ConfigError> {
        let text = self.string()?;
        let chosen = choices.iter().find(|(name, _)| *name == text).map(|(_, choice)| *choice);
        let names: Vec<_> = choices.iter().map(|(name, _)| format!("{name:?}")).collect();
        chosen.ok_or_else(|| self.wrong(&format!("one of {}", names.join(", "))))
    }

    /// A key of which this version offers one value.
    pub(super) fn only(self, offered: &str) -> Result<(), ConfigError> {
        let text = self.string()?;
        if text == offered {
            return Ok(());
        }
        let error = ConfigError::not_offered(&format!("{} = {text:?}", self.key), &format!("{offered:?}"));
        Err(self.at(error.message))
    }

    pub(super) fn wrong(self, expected: &str) -> ConfigError {
        self.at(format!("{} takes {expected}", self.key))
    }

    /// What is wrong with the value.
    pub(super) fn at(self, message: String) -> ConfigError {
        ConfigError::at(self.text, self.value.span().start, message)
    }
}
