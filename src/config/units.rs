//! Sizes and times with their units in the value: `"256MiB"`, `"5m"`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes, written with a unit: `B`, `KB`, `KiB`, `MB`, `MiB`, `GB`, `GiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// How long something is good for: a duration, or `never` for no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeToLive {
    /// This long; zero turns it off.
    For(Duration),
    /// Without end.
    Never,
}

/// A part of a whole, from `1%` to `99%`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u8);

impl Share {
    /// That part of `whole`, rounded down.
    pub fn of(self, whole: u64) -> u64 {
        // A product would not fit for the largest of sizes.
        let (hundredths, rest) = (whole / 100, whole % 100);
        hundredths * u64::from(self.0) + rest * u64::from(self.0) / 100
    }
}

impl Default for Share {
    fn default() -> Self {
        Self(25)
    }
}

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent =
            text.strip_suffix('%').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let percent =
            percent.and_then(|digits| digits.parse().ok()).filter(|percent| (1..100).contains(percent));
        percent.map(Self).ok_or_else(|| format!("{text:?} is not a share; write \"1%\" to \"99%\""))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}%", self.0)
    }
}

/// A part of a whole, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fraction(f64);

impl Fraction {
    /// Nothing.
    pub const ZERO: Self = Self(0.0);

    /// From 0 to 1.
    pub fn value(self) -> f64 {
        self.0
    }
}

impl FromStr for Fraction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.parse().ok().filter(|number| (0.0..=1.0).contains(number));
        number.map(Self).ok_or_else(|| format!("{text} is not a number from 0 to 1; write one such as 0.001"))
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

const BYTE_UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("B", 1),
];

const TIME_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not a size; write a whole number and a unit (B, KB, KiB, MB, MiB, GB, GiB), such as \"256MiB\""
            )
        };
        let (digits, unit) = split(text).ok_or_else(wrong)?;
        let (_, factor) = BYTE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        digits.checked_mul(*factor).map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, factor): &&(&str, u64)| self.0 != 0 && self.0.is_multiple_of(*factor);
        let (unit, factor) = BYTE_UNITS.iter().find(fits).unwrap_or(&("B", 1));
        write!(formatter, "{}{unit}", self.0 / factor)
    }
}

/// Reads a duration such as `"120s"` or `"1500ms"`.
///
/// # Errors
/// Words that say how to write one.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || {
        format!(
            "{text:?} is not a duration; write a whole number and a unit (ms, s, m, h, d), such as \"5m\""
        )
    };
    let (digits, unit) = split(text).ok_or_else(wrong)?;
    let (_, factor) = TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
    digits.checked_mul(*factor).map(Duration::from_millis).ok_or_else(wrong)
}

impl FromStr for TimeToLive {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" { Ok(Self::Never) } else { parse_duration(text).map(Self::For) }
    }
}

impl fmt::Display for TimeToLive {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => formatter.write_str("never"),
            Self::For(duration) => {
                let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
                let fits =
                    |(_, factor): &&(&str, u64)| milliseconds != 0 && milliseconds.is_multiple_of(*factor);
                let (unit, factor) = TIME_UNITS.iter().rev().find(fits).unwrap_or(&("s", 1_000));
                write!(formatter, "{}{unit}", milliseconds / factor)
            }
        }
    }
}

fn split(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|character: char| !character.is_ascii_digit())?;
    Some((text[..end].parse().ok()?, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_read_back_as_they_print() {
        for text in ["1B", "300B", "25MiB", "1GiB", "5MB", "0B"] {
            assert_eq!(text.parse::<ByteSize>().unwrap().to_string(), text);
        }
        for text in ["0s", "1500ms", "5m", "90s", "2h", "1d", "never"] {
            assert_eq!(text.parse::<TimeToLive>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_share_is_a_whole_percentage_of_its_whole() {
        for (text, of_max) in [("1%", u64::MAX / 100), ("25%", u64::MAX / 4)] {
            let share: Share = text.parse().unwrap();
            assert_eq!((share.to_string().as_str(), share.of(u64::MAX)), (text, of_max));
        }
        assert_eq!(Share::default().of(1_000_003), 250_000);
        for text in ["", "%", "0%", "100%", "+5%", "25", "2.5%", "300%"] {
            assert!(text.parse::<Share>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_fraction_is_a_number_from_0_to_1() {
        for text in ["0", "1", "0.001", "0.5"] {
            assert_eq!(text.parse::<Fraction>().unwrap().to_string(), text);
        }
        for text in ["", "1.001", "-0.1", "1%", "nan", "inf", "0,5"] {
            assert!(text.parse::<Fraction>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_number_without_a_unit_is_refused() {
        for text in ["", "5", "m", "-5m", "5 m", "5min", "1.5h", "99999999999999999999d"] {
            assert!(text.parse::<TimeToLive>().is_err(), "{text:?}");
        }
        for text in ["", "5", "MiB", "5mib", "5 MiB", "99999999999999GiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text:?}");
        }
    }
}
