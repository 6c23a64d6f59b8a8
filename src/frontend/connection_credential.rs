//! Credentials that a DAX client shows once, for all requests of its connection that follow: not verified.
//!
//! What is signed is no request. It is a text of four lines that names a time and a region, and the hash of a request that is always
//! the same but for its time. <https://github.com/aws/aws-dax-go-v2>, `dax/internal/client/sigv4.go`

use std::fmt;

use super::credentials::{CredentialScope, is_region};
use crate::model::{ApiError, ErrorCode, Timestamp};
use crate::wire::sigv4::{ALGORITHM, KeyScope, Location, SignedRequest, TERM, sha256, string_to_sign};

/// What the service is called in signatures.
pub(super) const SERVICE: &str = "dax";

/// The two hosts that clients sign: that for Go leaves the scheme before it.
const HOSTS: [&str; 2] = ["dax.amazonaws.com", "https://dax.amazonaws.com"];

/// The longest credential that is looked at, all parts together. Session tokens have a few kilobytes.
const BYTES_MAX: usize = 16 * 1024;

/// What `authorizeConnection` carries. Not to be logged.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionCredential {
    access_key: Box<str>,
    /// The region of the scope; empty if there is none that could be one.
    region: Box<str>,
    signature: Box<str>,
    string_to_sign: Box<str>,
    session_token: Option<Box<str>>,
}

/// A text to be signed, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SignedText<'a> {
    /// When it was signed.
    pub(super) time: Timestamp,
    /// The day of its scope, as written.
    pub(super) date: &'a str,
    /// The region of its scope, as written.
    pub(super) region: &'a str,
}

impl ConnectionCredential {
    /// The credential of these parts; `None` if they are longer than any credential is.
    pub fn new(
        access_key: &str,
        signature: &str,
        string_to_sign: &[u8],
        session_token: Option<&str>,
    ) -> Option<Self> {
        let lengths = [access_key.len(), signature.len(), string_to_sign.len()];
        let bytes = lengths.iter().sum::<usize>() + session_token.map_or(0, str::len);
        let text = std::str::from_utf8(string_to_sign).ok().filter(|_| bytes <= BYTES_MAX)?;
        let region = parts(text).map(|(_, _, region)| region).filter(|region| is_region(region));
        Some(Self {
            access_key: access_key.into(),
            region: region.unwrap_or_default().into(),
            signature: signature.into(),
            string_to_sign: text.into(),
            session_token: session_token.map(Into::into),
        })
    }

    /// The same without what would prove it, where nobody asks for that.
    pub(super) fn without_proof(self) -> Self {
        Self { signature: Box::default(), string_to_sign: Box::default(), session_token: None, ..self }
    }

    /// Whose tables requests of the connection are about.
    ///
    /// # Errors
    /// The service's own for a credential that names no access key or no region.
    pub(super) fn scope(&self) -> Result<CredentialScope<'static>, ApiError> {
        if self.access_key.is_empty() || self.region.is_empty() {
            return Err(ApiError::new(
                ErrorCode::IncompleteSignature,
                "The connection's credential must name an access key and a region",
            ));
        }
        Ok(CredentialScope {
            access_key: self.access_key.to_string().into(),
            date: "".into(),
            region: self.region.to_string().into(),
            service: SERVICE.into(),
            term: TERM.into(),
        })
    }

    /// The access key as sent.
    pub(super) fn access_key(&self) -> &str {
        &self.access_key
    }

    /// The signature as sent: hexadecimal digits if it is one.
    pub(super) fn signature(&self) -> &str {
        &self.signature
    }

    /// What was signed, as sent.
    pub(super) fn string_to_sign(&self) -> &str {
        &self.string_to_sign
    }

    /// The token of temporary credentials. The signature does not cover it.
    pub(super) fn session_token(&self) -> Option<&str> {
        self.session_token.as_deref()
    }

    /// What was signed, taken apart; `None` for a text that no DAX client signs.
    pub(super) fn signed_text(&self) -> Option<SignedText<'_>> {
        let (time, date, region) = parts(&self.string_to_sign)?;
        let is_it = HOSTS
            .iter()
            .any(|host| signed_by_host(host, time, date, region) == self.string_to_sign.as_bytes());
        let time = Timestamp::parse(time).filter(|_| is_it)?;
        Some(SignedText { time, date, region })
    }
}

/// The time, the day and the region that a text to be signed names.
fn parts(text: &str) -> Option<(&str, &str, &str)> {
    let mut lines = text.split('\n');
    let [algorithm, time, scope, _, end] =
        [lines.next(), lines.next(), lines.next(), lines.next(), lines.next()];
    let mut scope = scope?.split('/');
    let [date, region, service, term] = [scope.next()?, scope.next()?, scope.next()?, scope.next()?];
    let is_one = algorithm == Some(ALGORITHM)
        && (service, term) == (SERVICE, TERM)
        && scope.next().is_none()
        && end.is_none();
    is_one.then_some((time?, date, region))
}

/// What a client signs that writes its host so.
fn signed_by_host(host: &str, time: &str, date: &str, region: &str) -> Vec<u8> {
    let request = SignedRequest {
        location: Location::Header,
        method: "POST",
        path: "/",
        query: "",
        headers: vec![("host", host.as_bytes()), ("x-amz-date", time.as_bytes())],
        body_sha256: sha256(b""),
    };
    string_to_sign(&request.canonical(), time, &KeyScope { date, region, service: SERVICE })
}

/// Nothing of it is shown.
impl fmt::Debug for ConnectionCredential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ConnectionCredential")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the clients for Python and JavaScript sign at that time for us-east-1.
    const TEXT: &str = "AWS4-HMAC-SHA256\n20260102T030405Z\n20260102/us-east-1/dax/aws4_request\n\
        052c71f8f6c6a7a16ebe5251c072fb7eb7900bd6d8b034c77f49fb52d8e95860";

    fn credential(text: &str) -> ConnectionCredential {
        ConnectionCredential::new("AKID", "00", text.as_bytes(), None).unwrap()
    }

    #[test]
    fn the_texts_that_clients_sign_are_understood_whatever_host_they_write() {
        let time = Timestamp::parse("20260102T030405Z").unwrap();
        let signed = Some(SignedText { time, date: "20260102", region: "us-east-1" });
        assert_eq!(credential(TEXT).signed_text(), signed);
        let of_go = signed_by_host(HOSTS[1], "20260102T030405Z", "20260102", "us-east-1");
        assert_eq!(credential(std::str::from_utf8(&of_go).unwrap()).signed_text(), signed);
        assert_ne!(of_go, TEXT.as_bytes());
    }

    #[test]
    fn no_other_text_is() {
        for (part, other) in [
            ("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1"),
            ("030405Z", "030406Z"),
            ("/us-east-1/", "/us-east-2/us-east-1/"),
            ("/dax/", "/dynamodb/"),
            ("aws4_request", "aws5_request"),
            ("052c", "052d"),
            ("95860", "95860\n"),
            ("\n", "\r\n"),
            (TEXT, ""),
        ] {
            assert_eq!(credential(&TEXT.replace(part, other)).signed_text(), None, "{other}");
        }
        // The hash covers neither the day nor the region of the scope. The key that signs does.
        let elsewhere = credential(&TEXT.replace("us-east-1", "eu-west-1"));
        assert_eq!(elsewhere.signed_text().unwrap().region, "eu-west-1");
    }

    #[test]
    fn a_connection_is_of_a_key_and_a_region() {
        let scope = credential(TEXT).scope().unwrap();
        assert_eq!((&*scope.access_key, &*scope.region), ("AKID", "us-east-1"));
        for text in ["", "x", &TEXT.replace("us-east-1", ".."), &TEXT.replace("us-east-1", "")] {
            assert!(credential(text).scope().is_err(), "{text}");
        }
        let unnamed = ConnectionCredential::new("", "00", TEXT.as_bytes(), None).unwrap();
        assert!(unnamed.scope().is_err());
        assert_eq!(format!("{unnamed:?}"), "ConnectionCredential");
    }

    #[test]
    fn what_is_longer_than_any_credential_is_none() {
        let long = "x".repeat(BYTES_MAX);
        assert!(ConnectionCredential::new(&long, "0", b"", None).is_none());
        assert!(ConnectionCredential::new("a", "0", b"", Some(&long)).is_none());
        assert!(ConnectionCredential::new("a", "0", b"\xff", None).is_none());
    }
}
