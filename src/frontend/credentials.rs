//! Credentials: any will do, but they must be there and be whole, as the service has it.

use std::collections::HashMap;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::model::{ApiError, ErrorCode};

const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");

const HEADER_PARAMETERS: [&str; 3] = ["Credential", "Signature", "SignedHeaders"];

const QUERY_PARAMETERS: [&str; 5] =
    ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"];

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
}
