//! Signature Version 4 for the one form of request that DynamoDB takes: a POST to `/` with a JSON body.
//!
//! Deriving the key of a day takes four of the six keyed hashes of a signature, so it is kept until the day or the
//! credentials change. The tests hold the result against the `aws-sigv4` crate.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use aws_lc_rs::{digest, hmac};

use super::credentials::Credentials;

/// The service's name in signatures; DynamoDB Streams signs under the same.
const SERVICE: &str = "dynamodb";

/// The content type of every request that is sent, which is part of what is signed.
pub(super) const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

const SECONDS_PER_DAY: u64 = 86_400;

/// What is signed, apart from the credentials and the time.
pub struct Signable<'a> {
    /// The `Host` header as it is sent.
    pub host: &'a str,
    /// The `X-Amz-Target` header as it is sent.
    pub target: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// The headers that make a request a signed one. The session token, if there is one, must be sent beside them.
#[derive(Debug, PartialEq, Eq)]
pub struct Signature {
    /// `X-Amz-Date`.
    pub date: String,
    /// `Authorization`.
    pub authorization: String,
}

/// Signs requests to one region.
pub struct Signer {
    region: String,
    day_key: ArcSwapOption<DayKey>,
}

/// The key that signs all requests of a day.
struct DayKey {
    credentials: Arc<Credentials>,
    day: u64,
    /// `KEY-ID/DAY/REGION/SERVICE/aws4_request`.
    scope: String,
    key: hmac::Key,
}

impl Signer {
    /// A signer for that region.
    pub fn new(region: &str) -> Self {
        Self { region: region.to_owned(), day_key: ArcSwapOption::empty() }
    }

    /// Signs a request as of `time`.
    pub fn sign(
        &self,
        request: &Signable<'_>,
        credentials: &Arc<Credentials>,
        time: SystemTime,
    ) -> Signature {
        let seconds = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        let day_key = self.day_key(credentials, seconds / SECONDS_PER_DAY);
        let date = timestamp(seconds);
        let (names, token) = match &credentials.session_token {
            None => ("content-type;host;x-amz-date;x-amz-target", None),
            Some(token) => {
                ("content-type;host;x-amz-date;x-amz-security-token;x-amz-target", Some(token.as_str()))
            }
        };
        let mut text = String::with_capacity(512 + token.map_or(0, str::len));
        text.push_str("POST\n/\n\n");
        push_header(&mut text, "content-type", CONTENT_TYPE);
        push_header(&mut text, "host", request.host);
        push_header(&mut text, "x-amz-date", &date);
        if let Some(token) = token {
            push_header(&mut text, "x-amz-security-token", token);
        }
        push_header(&mut text, "x-amz-target", request.target);
        text.push('\n');
        text.push_str(names);
        text.push('\n');
        push_hex(&mut text, digest::digest(&digest::SHA256, request.body).as_ref());
        let canonical = digest::digest(&digest::SHA256, text.as_bytes());

        let (_, scope) = day_key.scope.split_once('/').expect("a scope begins with its key's id");
        text.clear();
        for line in ["AWS4-HMAC-SHA256", &date, scope] {
            text.push_str(line);
            text.push('\n');
        }
        push_hex(&mut text, canonical.as_ref());
        let signature = hmac::sign(&day_key.key, text.as_bytes());

        let mut authorization = String::with_capacity(160 + day_key.scope.len() + names.len());
        for part in
            ["AWS4-HMAC-SHA256 Credential=", &day_key.scope, ", SignedHeaders=", names, ", Signature="]
        {
            authorization.push_str(part);
        }
        push_hex(&mut authorization, signature.as_ref());
        Signature { date, authorization }
    }

    /// The key of a day, from memory when the last signature was made with the same.
    fn day_key(&self, credentials: &Arc<Credentials>, day: u64) -> Arc<DayKey> {
        if let Some(kept) = &*self.day_key.load()
            && kept.day == day
            && Arc::ptr_eq(&kept.credentials, credentials)
        {
            return Arc::clone(kept);
        }
        let made = Arc::new(self.derive(credentials, day));
        self.day_key.store(Some(Arc::clone(&made)));
        made
    }

    fn derive(&self, credentials: &Arc<Credentials>, day: u64) -> DayKey {
        let date = timestamp(day * SECONDS_PER_DAY);
        let day_text = &date[..8];
        let mut key = format!("AWS4{}", credentials.secret_access_key).into_bytes();
        for part in [day_text, &self.region, SERVICE, "aws4_request"] {
            key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), part.as_bytes()).as_ref().to_vec();
        }
        DayKey {
            credentials: Arc::clone(credentials),
            day,
            scope: format!("{}/{day_text}/{}/{SERVICE}/aws4_request", credentials.access_key_id, self.region),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
        }
    }
}

/// A header in canonical form: blanks at the ends left out, and runs of them made one.
fn push_header(text: &mut String, name: &str, value: &str) {
    text.push_str(name);
    text.push(':');
    if value.contains([' ', '\t']) {
        for (position, word) in value.split_ascii_whitespace().enumerate() {
            if position > 0 {
                text.push(' ');
            }
            text.push_str(word);
        }
    } else {
        text.push_str(value);
    }
    text.push('\n');
}

fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
}

/// Seconds since 1970 as `20261121T080910Z`.
fn timestamp(seconds: u64) -> String {
    let (year, month, day) = civil(seconds / SECONDS_PER_DAY);
    let second = seconds % SECONDS_PER_DAY;
    let mut text = String::with_capacity(16);
    push_digits(&mut text, year, 4);
    push_digits(&mut text, month, 2);
    push_digits(&mut text, day, 2);
    text.push('T');
    push_digits(&mut text, second / 3600, 2);
    push_digits(&mut text, second / 60 % 60, 2);
    push_digits(&mut text, second % 60, 2);
    text.push('Z');
    text
}

fn push_digits(text: &mut String, number: u64, digits: u32) {
    for place in (0..digits).rev() {
        let digit = number / 10_u64.pow(place) % 10;
        text.push(char::from_digit(u32::try_from(digit).unwrap_or(0), 10).unwrap_or('0'));
    }
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
    use aws_credential_types::Credentials as OracleCredentials;
    use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
    use aws_sigv4::sign::v4::SigningParams;

    use super::*;

    /// The `Authorization` that the reference implementation gives.
    fn expected(request: &Signable<'_>, credentials: &Credentials, region: &str, time: SystemTime) -> String {
        let identity = OracleCredentials::new(
            credentials.access_key_id.clone(),
            credentials.secret_access_key.clone(),
            credentials.session_token.clone(),
            None,
            "test",
        )
        .into();
        let parameters = SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(SERVICE)
            .time(time)
            .settings(SigningSettings::default())
            .build()
            .unwrap();
        let headers =
            [("content-type", CONTENT_TYPE), ("host", request.host), ("x-amz-target", request.target)];
        let uri = format!("https://{}/", request.host);
        let signable =
            SignableRequest::new("POST", uri, headers.into_iter(), SignableBody::Bytes(request.body))
                .unwrap();
        let (instructions, _) = sign(signable, &parameters.into()).unwrap().into_parts();
        let found = instructions.headers().find(|(name, _)| *name == "authorization");
        found.unwrap().1.to_owned()
    }

    fn text(random: &mut fastrand::Rng, longest: usize) -> String {
        (0..random.usize(1..=longest)).map(|_| random.alphanumeric()).collect()
    }

    #[test]
    fn signatures_are_those_of_the_reference_implementation() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for round in 0..500 {
            let region = ["us-east-1", "eu-central-1", "cn-north-1"][random.usize(..3)];
            let signer = Signer::new(region);
            let session_token = random.bool().then(|| format!("{}/+=", text(&mut random, 900)));
            let credentials = Arc::new(Credentials {
                access_key_id: text(&mut random, 20),
                secret_access_key: format!("{}/+", text(&mut random, 40)),
                session_token,
                expires: None,
            });
            // The same signer for neighbouring times, so that its kept key is used and left behind.
            for _ in 0..4 {
                let seconds = random.u64(1_000_000_000..4_100_000_000) + random.u64(0..3) * SECONDS_PER_DAY;
                let time = UNIX_EPOCH + Duration::from_millis(seconds * 1000 + random.u64(..1000));
                let body: Vec<u8> = (0..random.usize(..2000)).map(|_| random.u8(..)).collect();
                let host = format!("{}.example.com:{}", text(&mut random, 10), random.u16(1..));
                let target = match random.u8(..3) {
                    0 => "DynamoDB_20120810.GetItem".to_owned(),
                    1 => format!("DynamoDB_20120810.{}", text(&mut random, 30)),
                    _ => format!("DynamoDB_20120810.{}  {}", text(&mut random, 9), text(&mut random, 9)),
                };
                let request = Signable { host: &host, target: &target, body: &body };
                for _ in 0..2 {
                    let signed = signer.sign(&request, &credentials, time);
                    let expected = expected(&request, &credentials, region, time);
                    assert_eq!(signed.authorization, expected, "seed {seed}, round {round}");
                }
            }
        }
    }

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
            assert_eq!(timestamp(seconds), text);
        }
    }
}
