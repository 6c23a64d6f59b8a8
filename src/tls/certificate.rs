//! What is read of a certificate: when it is valid, and whose it is.
//!
//! This is no verification. A client's certificate comes here when rustls has verified it, and the node's own is checked by those
//! who connect. What cannot be read for certain is no name.

use std::sync::Arc;

use crate::config::CertificateName;
use crate::model::Timestamp;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const INTEGER: u8 = 0x02;
const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const VERSION: u8 = 0xa0;
const ISSUER_ID: u8 = 0x81;
const SUBJECT_ID: u8 = 0x82;
const EXTENSIONS: u8 = 0xa3;
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;

/// `id-at-commonName`, 2.5.4.3.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// `id-ce-subjectAltName`, 2.5.29.17.
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// What is read of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid, that second included.
    pub not_after: Timestamp,
    /// The URIs and DNS names among its alternative names, and the common name of its subject if there is exactly one.
    pub names: Arc<[CertificateName]>,
}

impl Certificate {
    /// Reads a certificate in DER. `None` if it is none.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let mut certificate = Der(Der(der).take(SEQUENCE)?);
        let mut body = Der(certificate.take(SEQUENCE)?);
        body.skip(VERSION);
        body.take(INTEGER)?; // the serial number
        body.take(SEQUENCE)?; // the algorithm
        body.take(SEQUENCE)?; // the issuer
        let mut validity = Der(body.take(SEQUENCE)?);
        let (not_before, not_after) = (validity.time()?, validity.time()?);
        let subject = body.take(SEQUENCE)?;
        body.take(SEQUENCE)?; // the public key
        body.skip(ISSUER_ID);
        body.skip(SUBJECT_ID);
        let mut names = match body.take(EXTENSIONS) {
            Some(extensions) => alternative_names(extensions)?,
            None => Vec::new(),
        };
        names.extend(common_name(subject)?);
        Some(Self { not_before, not_after, names: names.into() })
    }
}

/// Values in DER, one behind the other.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next value and its tag.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let [tag, length, rest @ ..] = self.0 else { return None };
        let (length, rest) = match usize::from(*length) {
            short @ ..=0x7f => (short, rest),
            // Four bytes are more than any certificate has; none are the indefinite form, which is not DER.
            long @ 0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(long - 0x80)?;
                (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, value))
    }

    /// The next value, if it has that tag.
    fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.0.first() == Some(&tag) { self.next().map(|(_, value)| value) } else { None }
    }

    /// Passes over the next value, if it has that tag.
    fn skip(&mut self, tag: u8) {
        self.take(tag);
    }

    /// The next value, which is a time: `YYMMDDHHMMSSZ` of 1950 to 2049, or `YYYYMMDDHHMMSSZ`. One before 1970 is 1970.
    fn time(&mut self) -> Option<Timestamp> {
        let (tag, value) = self.next()?;
        let text = std::str::from_utf8(value).ok()?;
        let text = match tag {
            UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
            UTC_TIME => format!("19{text}"),
            GENERALIZED_TIME => text.to_owned(),
            _ => return None,
        };
        let (date, time) = (text.get(..8)?, text.get(8..)?);
        let date = if date < "19700101" { "19700101" } else { date };
        Timestamp::parse(&format!("{date}T{time}"))
    }
}

/// The URIs and DNS names of the extension for them. `None` if there are two such extensions, or it cannot be read.
fn alternative_names(extensions: &[u8]) -> Option<Vec<CertificateName>> {
    let mut extensions = Der(Der(extensions).take(SEQUENCE)?);
    let mut found = None;
    while !extensions.0.is_empty() {
        let mut extension = Der(extensions.take(SEQUENCE)?);
        let identifier = extension.take(OBJECT_IDENTIFIER)?;
        extension.skip(BOOLEAN);
        let value = extension.take(OCTET_STRING)?;
        if identifier == ALTERNATIVE_NAMES && found.replace(value).is_some() {
            return None;
        }
    }
    let Some(found) = found else { return Some(Vec::new()) };
    let mut values = Der(Der(found).take(SEQUENCE)?);
    let mut names = Vec::new();
    while !values.0.is_empty() {
        let (tag, value) = values.next()?;
        let text = || std::str::from_utf8(value).ok().filter(|text| text.is_ascii());
        match tag {
            DNS_NAME => names.push(CertificateName::Dns(text()?.to_ascii_lowercase())),
            URI => names.push(CertificateName::Uri(text()?.to_owned())),
            _ => {}
        }
    }
    Some(names)
}

/// The common name of a subject; `Some(None)` if there is not exactly one, or it is not text.
#[expect(clippy::option_option, reason = "a subject that cannot be read is not one without a name")]
fn common_name(subject: &[u8]) -> Option<Option<CertificateName>> {
    let mut parts = Der(subject);
    let mut found = Vec::new();
    while !parts.0.is_empty() {
        let mut attributes = Der(parts.take(SET)?);
        while !attributes.0.is_empty() {
            let mut attribute = Der(attributes.take(SEQUENCE)?);
            let identifier = attribute.take(OBJECT_IDENTIFIER)?;
            let (tag, value) = attribute.next()?;
            if identifier == COMMON_NAME {
                let is_text = [UTF8_STRING, PRINTABLE_STRING, IA5_STRING].contains(&tag);
                found.push(std::str::from_utf8(value).ok().filter(|_| is_text));
            }
        }
    }
    Some(match found[..] {
        [Some(name)] => Some(CertificateName::CommonName(name.to_owned())),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;

    use super::*;

    fn client() -> Vec<u8> {
        CertificateDer::from_pem_slice(include_bytes!("../../tests/certificates/client.pem"))
            .unwrap()
            .to_vec()
    }

    #[test]
    fn a_certificate_has_names_and_two_times() {
        let certificate = Certificate::parse(&client()).unwrap();
        let names: Vec<_> = certificate.names.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["DNS:shop.internal", "URI:spiffe://example/shop", "CN=shop"]);
        assert!(certificate.not_before < certificate.not_after);
        assert_eq!(certificate.not_after.rfc3339(), "2126-01-01T00:00:00Z");
    }

    #[test]
    fn what_is_cut_off_or_changed_is_no_panic() {
        let whole = client();
        for length in 0..whole.len() {
            Certificate::parse(&whole[..length]);
        }
        for (nth, bit) in (0..whole.len()).flat_map(|nth| (0..8).map(move |bit| (nth, bit))) {
            let mut changed = whole.clone();
            changed[nth] ^= 1 << bit;
            Certificate::parse(&changed);
        }
        assert_eq!(Certificate::parse(b""), None);
        assert_eq!(Certificate::parse(&whole[..whole.len() - 1]), None);
    }

    /// The certificates of the tests.
    const CERTIFICATES: [&[u8]; 9] = [
        include_bytes!("../../tests/certificates/authority.pem"),
        include_bytes!("../../tests/certificates/client.pem"),
        include_bytes!("../../tests/certificates/early.pem"),
        include_bytes!("../../tests/certificates/expired.pem"),
        include_bytes!("../../tests/certificates/foreign.pem"),
        include_bytes!("../../tests/certificates/nobody.pem"),
        include_bytes!("../../tests/certificates/renewed.pem"),
        include_bytes!("../../tests/certificates/server.pem"),
        include_bytes!("../../tests/certificates/stranger.pem"),
    ];

    /// True if a value of the name's kind, with the name's own length, stands somewhere in the bytes, behind the identifier that a
    /// common name has. It knows nothing of how a certificate is nested.
    fn holds(der: &[u8], name: &CertificateName) -> bool {
        let (before, tags, text): (&[u8], &[u8], &str) = match name {
            CertificateName::Dns(text) => (&[], &[DNS_NAME], text),
            CertificateName::Uri(text) => (&[], &[URI], text),
            CertificateName::CommonName(text) => {
                (COMMON_NAME, &[UTF8_STRING, PRINTABLE_STRING, IA5_STRING], text)
            }
        };
        let lengths = lengths_of(text.len());
        let heads = tags.iter().flat_map(|tag| lengths.iter().map(move |length| (*tag, length)));
        let mut heads = heads.map(|(tag, length)| [before, &[tag], &length[..]].concat());
        heads.any(|head| {
            let mut found = der.windows(head.len() + text.len()).map(|window| window.split_at(head.len()));
            found.any(|(found, value)| found == head && value.eq_ignore_ascii_case(text.as_bytes()))
        })
    }

    /// Every way to write a length that is read. DER allows the shortest alone.
    fn lengths_of(length: usize) -> Vec<Vec<u8>> {
        let bytes = u32::try_from(length).unwrap().to_be_bytes();
        let long = (1..=4).filter(|count| length < 1 << (8 * count));
        let long = long.map(|count| [&[0x80 + count as u8], &bytes[4 - count..]].concat());
        long.chain((length < 0x80).then(|| vec![length as u8])).collect()
    }

    /// Changes a certificate in up to four ways: cut off, flipped bits, lengths that lie, parts doubled, dropped or moved.
    fn mutate(der: &mut Vec<u8>, random: &mut fastrand::Rng) {
        for _ in 0..random.usize(1..=4) {
            let place = random.usize(..der.len().max(1)).min(der.len().saturating_sub(1));
            let Some(byte) = der.get_mut(place) else { return };
            match random.u8(..7) {
                0 => der.truncate(place),
                1 => *byte ^= 1 << random.u8(..8),
                2 => *byte = random.u8(..),
                // Where a tag may be, so that the length behind it lies, in the short form or in a long one.
                3 => {
                    let tags = [SEQUENCE, SET, UTF8_STRING, DNS_NAME, URI, OCTET_STRING, EXTENSIONS];
                    let tag = tags[random.usize(..tags.len())];
                    let places: Vec<_> = memchr::memchr_iter(tag, &der[..der.len() - 1]).collect();
                    if !places.is_empty() {
                        der[places[random.usize(..places.len())] + 1] = random.u8(..0x86);
                    }
                }
                4 => {
                    let end = (place + random.usize(..40)).min(der.len());
                    let part = der[place..end].to_vec();
                    let to = random.usize(..=der.len());
                    der.splice(to..to, part);
                }
                5 => drop(der.drain(place..(place + random.usize(1..8)).min(der.len()))),
                _ => der.insert(place, random.u8(..)),
            }
        }
    }

    /// `NEARSIDE_CASES` sets how many are made, `NEARSIDE_SEED` replays a run.
    #[test]
    fn a_mutated_certificate_is_no_panic_and_has_no_name_that_is_not_in_it() {
        let from_environment = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let seed = from_environment("NEARSIDE_SEED").unwrap_or_else(|| fastrand::u64(..));
        let cases = from_environment("NEARSIDE_CASES").unwrap_or(20_000);
        println!("{cases} certificates; replay with NEARSIDE_SEED={seed} NEARSIDE_CASES={cases}");
        let mut random = fastrand::Rng::with_seed(seed);
        let whole = CERTIFICATES.map(|pem| CertificateDer::from_pem_slice(pem).unwrap().to_vec());
        let (mut read, mut renamed) = (0_u64, 0_u64);
        for case in 0..cases {
            let original = &whole[random.usize(..whole.len())];
            let mut mutated = original.clone();
            mutate(&mut mutated, &mut random);
            let Some(certificate) = Certificate::parse(&mutated) else { continue };
            read += 1;
            renamed += u64::from(certificate.names != Certificate::parse(original).unwrap().names);
            for name in &*certificate.names {
                assert!(holds(&mutated, name), "seed {seed}, case {case}: {name} is not in {mutated:02x?}");
            }
        }
        println!("{read} could be read, {renamed} of them with other names");
        assert!(
            read > cases / 20 && renamed > 0,
            "{read} of {cases} could be read, {renamed} with other names"
        );
    }

    #[test]
    fn a_subject_with_two_common_names_has_none() {
        let name = |text: &[u8], tag| {
            let value = [&[OBJECT_IDENTIFIER, 3], COMMON_NAME, &[tag, text.len() as u8], text].concat();
            let attribute = [&[SEQUENCE, value.len() as u8][..], &value].concat();
            [&[SET, attribute.len() as u8][..], &attribute].concat()
        };
        let found = |subject: &[u8]| common_name(subject).unwrap().map(|name| name.to_string());
        assert_eq!(found(&name(b"a", UTF8_STRING)).as_deref(), Some("CN=a"));
        assert_eq!(found(&[name(b"a", UTF8_STRING), name(b"b", UTF8_STRING)].concat()), None);
        // Two letters of the Basic Multilingual Plane look like others as bytes.
        assert_eq!(found(&name(b"ab", 0x1e)), None);
        assert_eq!(found(b""), None);
    }

    #[test]
    fn two_digits_of_a_year_are_of_1950_to_2049() {
        let time = |tag, text: &str| {
            let value = [&[tag, text.len() as u8], text.as_bytes()].concat();
            Der(&value).time().map(|time| time.rfc3339())
        };
        for (text, expected) in [
            ("491231235959Z", Some("2049-12-31T23:59:59Z")),
            ("700101000000Z", Some("1970-01-01T00:00:00Z")),
            ("500101000000Z", Some("1970-01-01T00:00:00Z")),
            ("4912312359Z", None),
            ("491231235959+0100", None),
        ] {
            assert_eq!(time(UTC_TIME, text).as_deref(), expected, "{text}");
        }
        assert_eq!(time(GENERALIZED_TIME, "99991231235959Z").as_deref(), Some("9999-12-31T23:59:59Z"));
        assert_eq!(time(INTEGER, "491231235959Z"), None);
    }
}
