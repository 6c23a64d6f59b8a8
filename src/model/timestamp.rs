//! A time to the second, as signatures and the config name it.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const SECONDS_PER_DAY: u64 = 86_400;

/// A time as `20261121T080910Z`, not before 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    seconds: u64,
}

impl Timestamp {
    /// Reads `20261121T080910Z`. `None` for any other form and for a time that does not exist.
    pub fn parse(text: &str) -> Option<Self> {
        let [date @ .., b'T', h1, h2, m1, m2, s1, s2, b'Z'] = text.as_bytes() else { return None };
        let days = days_of(date)?;
        let (hour, minute, second) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?, number(&[*s1, *s2])?);
        let exists = hour < 24 && minute < 60 && second < 60;
        exists.then_some(Self { seconds: days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second })
    }

    /// The day as `20261121`, as it stands in the scope of a key.
    pub fn date(self) -> String {
        let (year, month, day) = civil(self.seconds / SECONDS_PER_DAY);
        format!("{year:04}{month:02}{day:02}")
    }

    /// The time as `2026-11-21T08:09:10Z`.
    pub fn rfc3339(self) -> String {
        let (year, month, day) = civil(self.seconds / SECONDS_PER_DAY);
        let (hour, minute, second) = self.time_of_day();
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }

    /// Seconds since the beginning of 1970.
    pub fn unix_seconds(self) -> u64 {
        self.seconds
    }

    /// The time that is so much later.
    pub fn plus(self, duration: Duration) -> Self {
        Self { seconds: self.seconds.saturating_add(duration.as_secs()) }
    }

    /// The time that is so much earlier, but not before 1970.
    pub fn minus(self, duration: Duration) -> Self {
        Self { seconds: self.seconds.saturating_sub(duration.as_secs()) }
    }

    fn time_of_day(self) -> (u64, u64, u64) {
        let second = self.seconds % SECONDS_PER_DAY;
        (second / 3600, second / 60 % 60, second % 60)
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        Self { seconds: time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs() }
    }
}

impl From<Timestamp> for SystemTime {
    fn from(time: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_secs(time.seconds)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute, second) = self.time_of_day();
        write!(formatter, "{}T{hour:02}{minute:02}{second:02}Z", self.date())
    }
}

/// A number of a few digits and nothing else.
fn number(digits: &[u8]) -> Option<u64> {
    let add = |number: u64, digit: &u8| digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'));
    digits.iter().try_fold(0, add)
}

/// Days from 1970 to `20261121`; `None` for a day that does not exist.
fn days_of(date: &[u8]) -> Option<u64> {
    let date: &[u8; 8] = date.try_into().ok()?;
    let (year, month, day) = (number(&date[..4])?, number(&date[4..6])?, number(&date[6..])?);
    if year < 1970 || !(1..=12).contains(&month) {
        return None;
    }
    // Counted from 1 March, so that a leap day is the last of its year.
    let (year, months_since_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * months_since_march + 2) / 5 + day;
    let days = (year * 365 + year / 4 - year / 100 + year / 400 + day_of_year).checked_sub(719_469)?;
    // A day that the month lacks is one of the next month.
    (civil(days).2 == day).then_some(days)
}

/// The year, month and day of a number of days since 1970, in the proleptic Gregorian calendar.
fn civil(days: u64) -> (u64, u64, u64) {
    // Counted from 1 March of the year 0, so that a leap day is the last of its year.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let months_since_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * months_since_march + 2) / 5 + 1;
    let month = if months_since_march < 10 { months_since_march + 3 } else { months_since_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (951_782_399, "20000228T235959Z"),
            (951_782_400, "20000229T000000Z"),
            (1_709_164_800, "20240229T000000Z"),
            (1_795_248_550, "20261121T080910Z"),
            (4_107_542_400, "21000301T000000Z"),
        ] {
            assert_eq!(Timestamp { seconds }.to_string(), text);
            assert_eq!(Timestamp::parse(text), Some(Timestamp { seconds }));
        }
    }

    #[test]
    fn every_time_is_read_back() {
        let seed = fastrand::u64(..);
        println!("seed {seed}; put it in the place of `fastrand::u64(..)` to replay");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..10_000 {
            let time = Timestamp { seconds: random.u64(..200_000_000_000) };
            assert_eq!(Timestamp::parse(&time.to_string()), Some(time));
            assert_eq!(Timestamp::from(SystemTime::from(time)), time);
        }
    }

    #[test]
    fn times_are_moved_and_written_with_dashes() {
        let time = Timestamp::parse("20261121T080910Z").unwrap();
        assert_eq!(time.rfc3339(), "2026-11-21T08:09:10Z");
        let hour = Duration::from_secs(3600);
        assert_eq!(time.plus(hour * 16).to_string(), "20261122T000910Z");
        assert_eq!(time.minus(hour * 9).rfc3339(), "2026-11-20T23:09:10Z");
        assert_eq!(Timestamp { seconds: 1 }.minus(hour), Timestamp { seconds: 0 });
    }

    #[test]
    fn what_is_no_time_is_rejected() {
        for text in [
            "",
            "20261121",
            "20261121T080910",
            "20261121T0809Z",
            "20261121T080960Z",
            "20261121T086010Z",
            "20261121T240910Z",
            "20261121T0809100Z",
            "20260229T080910Z",
            "20260431T080910Z",
            "20260400T080910Z",
            "20261301T080910Z",
            "20260001T080910Z",
            "19691231T235959Z",
            "+0261121T080910Z",
            "2026112１T080910Z",
            "2026-11-21T08:09:10Z",
            "Sat, 21 Nov 2026 08:09:10 GMT",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }
}
