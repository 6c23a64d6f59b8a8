//! Credentials: any will do, but they must be there and be whole, as the service has it; and whose tables they are about.

use std::borrow::Cow;
use std::collections::HashMap;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::model::{ApiError, ErrorCode};

const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");

/// As long as a label of a host's name, which the service's regions are part of.
const REGION_CHARACTERS_MAX: usize = 63;

const HEADER_PARAMETERS: [&str; 3] = ["Credential", "Signature", "SignedHeaders"];

const QUERY_PARAMETERS: [&str; 5] =
    ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"];

/// Who sends a request, as far as its head tells. Nothing is read before it is asked for.
#[derive(Clone, Copy)]
pub struct Caller<'a>(&'a Parts);

/// Whose tables a request is about, by what it was signed with. Not to be logged: access keys are credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialScope<'a> {
    /// The access key; not empty, and otherwise anything.
    pub access_key: Cow<'a, str>,
    /// The region: letters, digits, `-` and `_`, at most 63.
    pub region: Cow<'a, str>,
}

impl<'a> Caller<'a> {
    pub(super) fn of(head: &'a Parts) -> Self {
        Self(head)
    }

    /// What the request was signed with, of the header or the query string. The service's name in it may be any.
    ///
    /// # Errors
    /// The service's own for a credential that is not in five parts, or names no region.
    pub fn scope(self) -> Result<CredentialScope<'a>, ApiError> {
        let credential = self.credential().unwrap_or_default();
        let parts = match &credential {
            Cow::Borrowed(text) => scope_parts(text).map(|[key, region]| [Cow::from(key), Cow::from(region)]),
            Cow::Owned(text) => scope_parts(text).map(|parts| parts.map(|part| Cow::from(part.to_owned()))),
        };
        match parts {
            None => Err(ApiError::new(
                ErrorCode::IncompleteSignature,
                format!(
                    "Credential must have exactly 5 slash-delimited elements, e.g. \
                     keyid/date/region/service/term, got '{credential}'"
                ),
            )),
            Some([_, region]) if !is_region(&region) => Err(ApiError::new(
                ErrorCode::InvalidSignature,
                "Credential should be scoped to a valid region.",
            )),
            Some([access_key, region]) => Ok(CredentialScope { access_key, region }),
        }
    }

    fn credential(self) -> Option<Cow<'a, str>> {
        if let Some(value) = self.0.headers.get(header::AUTHORIZATION).filter(|value| !value.is_empty()) {
            let text = str::from_utf8(value.as_bytes()).ok()?;
            let (_, credential) = text.split_once("Credential=")?;
            return Some(credential.split([',', ' ']).next().unwrap_or(credential).into());
        }
        let credential = *parameters(self.0.uri.query()?).get("X-Amz-Credential")?;
        Some(decoded(credential))
    }
}

/// The access key and the region of `KEY/DATE/REGION/SERVICE/TERM`.
fn scope_parts(credential: &str) -> Option<[&str; 2]> {
    let mut parts = credential.split('/');
    let (key, _date, region) = (parts.next()?, parts.next()?, parts.next()?);
    (parts.count() == 2 && !key.is_empty()).then_some([key, region])
}

fn is_region(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=REGION_CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(is_part)
}

/// A value of a query string as it was before it was encoded. What no encoding gives stays as it is.
fn decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return text.into();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| str::from_utf8(digits).ok());
        let code = digits.filter(|_| byte == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.unwrap_or(byte));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// Looks for credentials in a request's head.
pub(super) fn check(head: &Parts) -> Result<(), ApiError> {
    let query = head.uri.query().map(parameters).filter(|query| query.contains_key("X-Amz-Algorithm"));
    let authorization = head.headers.get(header::AUTHORIZATION).filter(|value| !value.is_empty());
    match (authorization, query) {
        (Some(_), Some(_)) => Err(ApiError::new(
            ErrorCode::InvalidSignature,
            "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
        )),
        (Some(value), None) => check_header(value, &head.headers),
        (None, Some(query)) => check_query(&query),
        (None, None) => Err(missing()),
    }
}

fn missing() -> ApiError {
    ApiError::new(ErrorCode::MissingAuthenticationToken, "Request is missing Authentication Token")
}

fn check_header(value: &HeaderValue, headers: &HeaderMap) -> Result<(), ApiError> {
    let bytes = value.as_bytes();
    if !bytes.trim_ascii().starts_with(b"AWS4-") {
        return Err(missing());
    }
    let mut found = [false; HEADER_PARAMETERS.len()];
    // Only what stands before a `=` can be a parameter, and there are few of those.
    for equals in memchr::memchr_iter(b'=', bytes) {
        let (before, value) = (&bytes[..equals], &bytes[equals + 1..]);
        // A parameter without a value counts as missing.
        if value.first().is_none_or(|byte| matches!(byte, b',' | b' ' | b'=')) {
            continue;
        }
        for (found, name) in found.iter_mut().zip(HEADER_PARAMETERS) {
            *found |= before
                .strip_suffix(name.as_bytes())
                .is_some_and(|rest| matches!(rest.last(), Some(b',' | b' ')));
        }
    }
    let dated = headers.contains_key(AMZ_DATE) || headers.contains_key(header::DATE);
    if dated && found == [true; HEADER_PARAMETERS.len()] {
        Ok(())
    } else {
        Err(incomplete(bytes, found, dated))
    }
}

fn incomplete(authorization: &[u8], found: [bool; HEADER_PARAMETERS.len()], dated: bool) -> ApiError {
    let mut message = String::new();
    for (_, name) in found.iter().zip(HEADER_PARAMETERS).filter(|(found, _)| !**found) {
        message.push_str(&format!("Authorization header requires '{name}' parameter. "));
    }
    if !dated {
        message.push_str(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ",
        );
    }
    message.push_str("Authorization=");
    message.push_str(&String::from_utf8_lossy(authorization));
    ApiError::new(ErrorCode::IncompleteSignature, message)
}

fn check_query(query: &HashMap<&str, &str>) -> Result<(), ApiError> {
    let mut message = String::new();
    for name in QUERY_PARAMETERS {
        if query.get(name).is_none_or(|value| value.is_empty()) {
            message.push_str(&format!("AWS query-string parameters must include '{name}'. "));
        }
    }
    if message.is_empty() {
        return Ok(());
    }
    message.push_str("Re-examine the query-string parameters.");
    Err(ApiError::new(ErrorCode::IncompleteSignature, message))
}

/// The parameters of a query string. Their values are only tested for being empty, so nothing is decoded.
fn parameters(query: &str) -> HashMap<&str, &str> {
    query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(uri: &str, headers: &[(&str, &str)]) -> Result<(), String> {
        let mut request = http::Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap().into_parts().0).map_err(|error| error.to_string())
    }

    const WHOLE: &str =
        "AWS4-HMAC-SHA256 Credential=a/20260101/r/dynamodb/aws4_request, SignedHeaders=host, Signature=b";

    #[test]
    fn whole_credentials_of_anyone_are_accepted() {
        assert_eq!(verdict("/", &[("authorization", WHOLE), ("x-amz-date", "x")]), Ok(()));
        let unspaced = "AWS4-HMAC-SHA256 Credential=a,SignedHeaders=b,Signature=c";
        assert_eq!(verdict("/", &[("authorization", unspaced), ("date", "x")]), Ok(()));
        let query =
            "/?X-Amz-Algorithm=a&X-Amz-Credential=b&X-Amz-Signature=c&X-Amz-SignedHeaders=d&X-Amz-Date=e";
        assert_eq!(verdict(query, &[]), Ok(()));
    }

    #[test]
    fn what_is_no_signature_counts_as_none() {
        let missing = "MissingAuthenticationTokenException: Request is missing Authentication Token";
        assert_eq!(verdict("/", &[]), Err(missing.to_owned()));
        assert_eq!(verdict("/", &[("authorization", "Bearer x")]), Err(missing.to_owned()));
        assert_eq!(verdict("/?X-Amz-Date=1", &[]), Err(missing.to_owned()));
    }

    #[test]
    fn every_part_that_lacks_is_named() {
        let text = "IncompleteSignatureException: Authorization header requires 'Credential' parameter. \
            Authorization header requires 'SignedHeaders' parameter. Authorization header requires existence of \
            either a 'X-Amz-Date' or a 'Date' header. Authorization=AWS4- Signature=b Credential=";
        assert_eq!(verdict("/", &[("authorization", "AWS4- Signature=b Credential=")]), Err(text.to_owned()));
        let text = "IncompleteSignatureException: AWS query-string parameters must include 'X-Amz-Algorithm'. \
            AWS query-string parameters must include 'X-Amz-Credential'. AWS query-string parameters must include \
            'X-Amz-Signature'. AWS query-string parameters must include 'X-Amz-SignedHeaders'. \
            Re-examine the query-string parameters.";
        assert_eq!(verdict("/?X-Amz-Algorithm&X-Amz-Date=1", &[]), Err(text.to_owned()));
    }

    #[test]
    fn credentials_in_both_places_are_refused() {
        let both = verdict("/?X-Amz-Algorithm", &[("authorization", WHOLE)]).unwrap_err();
        assert!(both.starts_with("InvalidSignatureException: Found both"), "{both}");
    }

    fn scope(uri: &str, authorization: Option<&str>) -> Result<String, String> {
        let mut request = http::Request::post(uri);
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization);
        }
        let head = request.body(()).unwrap().into_parts().0;
        let scope = Caller::of(&head).scope().map_err(|error| error.to_string())?;
        Ok(format!("{} in {}", scope.access_key, scope.region))
    }

    #[test]
    fn a_scope_is_read_from_the_header_or_the_query_string_whatever_the_service() {
        assert_eq!(scope("/", Some(WHOLE)), Ok("a in r".to_owned()));
        let streams = "AWS4-HMAC-SHA256 Credential=AK_1/20260101/eu-west-1/dynamodbstreams/x,SignedHeaders=h";
        assert_eq!(scope("/", Some(streams)), Ok("AK_1 in eu-west-1".to_owned()));
        let encoded = "/?X-Amz-Algorithm=a&X-Amz-Credential=a%2f1%2Flocal%2Fdynamodb%2Faws4_request";
        assert_eq!(scope(encoded, None), Ok("a in local".to_owned()));
        assert_eq!(scope("/?X-Amz-Credential=a/1/r/s/t", None), Ok("a in r".to_owned()));
    }

    #[test]
    fn a_credential_that_names_no_key_or_region_is_refused_in_the_services_words() {
        let words = "IncompleteSignatureException: Credential must have exactly 5 slash-delimited elements, e.g. \
            keyid/date/region/service/term, got ";
        for credential in ["a", "a/b/c/d", "/b/c/d/e", "a/b/c/d/e/f", ""] {
            let header = format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=b");
            assert_eq!(scope("/", Some(&header)), Err(format!("{words}'{credential}'")));
        }
        for region in ["", "..", "a.b", "é", "%2e", &"x".repeat(64)] {
            let header = format!("AWS4-HMAC-SHA256 Credential=a/b/{region}/d/e, SignedHeaders=host");
            let refused = scope("/", Some(&header)).unwrap_err();
            assert_eq!(refused, "InvalidSignatureException: Credential should be scoped to a valid region.");
        }
    }
}
