//! Signature Version 4 as it is verified: what is signed of a request, and with which key. Pure functions without I/O and
//! without a clock. <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use aws_lc_rs::{constant_time, digest, hmac};

/// The only algorithm, as requests name it.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The last part of a credential, and the last text that a key is derived with.
pub const TERM: &str = "aws4_request";

/// The one parameter of a query string that is not signed.
const SIGNATURE_PARAMETER: &str = "X-Amz-Signature";

/// Where in a request its signature stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// In the `Authorization` header.
    Header,
    /// In the query string, which then signs all of itself but the signature.
    Query,
}

/// What is signed of a request.
#[derive(Clone, Debug)]
pub struct SignedRequest<'a> {
    /// Where the signature stands.
    pub location: Location,
    /// The method, in upper case.
    pub method: &'a str,
    /// The path as sent.
    pub path: &'a str,
    /// The query string as sent, without the `?`.
    pub query: &'a str,
    /// Names, in lower case, and values of the signed headers, in any order; values of one name in the order as sent.
    pub headers: Vec<(&'a str, &'a [u8])>,
    /// The SHA-256 of the body as sent.
    pub body_sha256: [u8; 32],
}

impl SignedRequest<'_> {
    /// The canonical request: every way to send the same request gives the same bytes.
    pub fn canonical(mut self) -> Vec<u8> {
        let of_headers: usize =
            self.headers.iter().map(|(name, value)| 2 * name.len() + value.len() + 3).sum();
        let mut out = Vec::with_capacity(128 + 3 * (self.path.len() + self.query.len()) + of_headers);
        out.extend_from_slice(self.method.as_bytes());
        out.push(b'\n');
        push_encoded(&mut out, normalized(self.path).as_bytes(), Slash::Kept);
        out.push(b'\n');
        push_query(&mut out, self.query, self.location);
        out.push(b'\n');
        push_headers(&mut out, &mut self.headers);
        out.push(b'\n');
        out.extend_from_slice(&hex(self.body_sha256));
        out
    }
}

/// The scope of a key: the day, the region and the service that it signs for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyScope<'a> {
    /// The day as `20261121`.
    pub date: &'a str,
    /// The region.
    pub region: &'a str,
    /// The service, `dynamodb`.
    pub service: &'a str,
}

/// The text whose keyed hash the signature is. `time` is as a [`Timestamp`](crate::model::Timestamp) is written.
pub fn string_to_sign(canonical_request: &[u8], time: &str, scope: &KeyScope<'_>) -> Vec<u8> {
    let KeyScope { date, region, service } = scope;
    let mut out = Vec::with_capacity(160 + region.len() + service.len());
    for (part, end) in
        [(ALGORITHM, b'\n'), (time, b'\n'), (date, b'/'), (region, b'/'), (service, b'/'), (TERM, b'\n')]
    {
        out.extend_from_slice(part.as_bytes());
        out.push(end);
    }
    out.extend_from_slice(&hex(sha256(canonical_request)));
    out
}

/// A key that signs the requests of one scope. It may be kept as long as its secret is valid: deriving it takes four of the
/// six keyed hashes of a signature.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// The key of a scope.
    pub fn derive(secret_access_key: &[u8], scope: &KeyScope<'_>) -> Self {
        let mut key = hmac::Key::new(hmac::HMAC_SHA256, &[b"AWS4", secret_access_key].concat());
        for part in [scope.date, scope.region, scope.service, TERM] {
            key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
        }
        Self(key)
    }

    /// The signature of a text: 64 hexadecimal digits in lower case.
    pub fn sign(&self, string_to_sign: &[u8]) -> [u8; 64] {
        let tag = hmac::sign(&self.0, string_to_sign);
        hex(tag.as_ref().try_into().expect("a tag of SHA-256 has 32 bytes"))
    }

    /// True if that is the signature of the text, letter by letter. The time that it takes depends on neither.
    pub fn verify(&self, string_to_sign: &[u8], signature: &str) -> bool {
        constant_time::verify_slices_are_equal(&self.sign(string_to_sign), signature.as_bytes()).is_ok()
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SigningKey")
    }
}

/// A path without empty segments, `.` and `..`.
fn normalized(path: &str) -> Cow<'_, str> {
    // The one that all calls have: a search would cost more than all that is left to do.
    if path == "/" {
        return path.into();
    }
    if path.starts_with('/') && !path.contains("//") && !path.contains('.') {
        return path.into();
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    let is_folder = matches!(path.rsplit('/').next(), Some("" | "." | ".."));
    let end = if is_folder && !kept.is_empty() { "/" } else { "" };
    format!("/{}{end}", kept.join("/")).into()
}

/// Writes the parameters of a query string, decoded, encoded again and sorted.
fn push_query(out: &mut Vec<u8>, query: &str, location: Location) {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut encoded: Vec<[Vec<u8>; 2]> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| [name, value].map(encoded_parameter))
        .filter(|[name, _]| location == Location::Header || name != SIGNATURE_PARAMETER.as_bytes())
        .collect();
    encoded.sort_unstable();
    for (place, [name, value]) in encoded.iter().enumerate() {
        if place > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value);
    }
}

fn encoded_parameter(text: &str) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len());
    push_encoded(&mut encoded, &percent_decoded(&text.replace('+', " ")), Slash::Encoded);
    encoded
}

/// The bytes of a percent-encoded text. A `%` that no two digits follow stays as it is.
pub fn percent_decoded(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('%') {
        return text.as_bytes().into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| byte == b'%').and_then(byte_of_hex);
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    bytes.into()
}

/// Whether a `/` is written as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slash {
    Kept,
    Encoded,
}

fn push_encoded(out: &mut Vec<u8>, bytes: &[u8], slash: Slash) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if is_plain || (byte == b'/' && slash == Slash::Kept) {
            out.push(byte);
        } else {
            out.extend([b'%', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
    }
}

/// Writes a line for each header, an empty one, and one that lists the names.
fn push_headers(out: &mut Vec<u8>, headers: &mut [(&str, &[u8])]) {
    if headers.is_sorted_by(|(one, _), (other, _)| one < other) {
        return push_sorted_headers(out, headers);
    }
    // Stable, so that the values of one name stay in their order.
    headers.sort_by_key(|(name, _)| *name);
    let is_same = |(one, _): &(&str, &[u8]), (other, _): &(&str, &[u8])| one == other;
    for same in headers.chunk_by(is_same) {
        out.extend_from_slice(same[0].0.as_bytes());
        for (place, (_, value)) in same.iter().enumerate() {
            out.push(if place == 0 { b':' } else { b',' });
            push_without_blanks(out, value);
        }
        out.push(b'\n');
    }
    for (place, same) in headers.chunk_by(is_same).enumerate() {
        out.push(if place == 0 { b'\n' } else { b';' });
        out.extend_from_slice(same[0].0.as_bytes());
    }
}

/// The same for names in order, each once.
fn push_sorted_headers(out: &mut Vec<u8>, headers: &[(&str, &[u8])]) {
    for (name, value) in headers {
        out.extend_from_slice(name.as_bytes());
        out.push(b':');
        push_without_blanks(out, value);
        out.push(b'\n');
    }
    for (place, (name, _)) in headers.iter().enumerate() {
        out.push(if place == 0 { b'\n' } else { b';' });
        out.extend_from_slice(name.as_bytes());
    }
}

/// Writes a value without spaces at its ends, and with single ones inside.
fn push_without_blanks(out: &mut Vec<u8>, value: &[u8]) {
    if memchr::memchr(b' ', value).is_none() {
        out.extend_from_slice(value);
        return;
    }
    let words = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    for (place, word) in words.enumerate() {
        if place > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

/// The SHA-256 of some bytes.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest::digest(&digest::SHA256, bytes).as_ref().try_into().expect("a SHA-256 has 32 bytes")
}

/// Bytes as hexadecimal digits in lower case.
pub fn hex(bytes: [u8; 32]) -> [u8; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut digits = [0; 64];
    for (place, byte) in bytes.into_iter().enumerate() {
        digits[2 * place] = DIGITS[usize::from(byte >> 4)];
        digits[2 * place + 1] = DIGITS[usize::from(byte & 15)];
    }
    digits
}

fn byte_of_hex(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}
