//! The credentials of a request, as far as they are looked at while callers are not verified: they must be there, and have
//! the parts of a signature. The order of the checks and the words are the service's.

use http::{HeaderMap, header};

use crate::model::{ApiError, ErrorCode};

/// Refuses a request without credentials, with two kinds of them, or with parts missing.
pub(super) fn check(headers: &HeaderMap, query: Option<&str>) -> Result<(), ApiError> {
    let authorization =
        headers.get(header::AUTHORIZATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let parameter = |name: &str| {
        let mut pairs =
            query.unwrap_or_default().split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
    };
    let presigned = parameter("X-Amz-Algorithm").is_some();
    match authorization.as_deref() {
        Some(_) if presigned => Err(ApiError::new(
            ErrorCode::InvalidSignature,
            "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
        )),
        Some(authorization) if authorization.trim_start().starts_with("AWS4-") => {
            check_header(authorization, headers)
        }
        None if presigned => check_query(parameter),
        _ => Err(ApiError::new(
            ErrorCode::MissingAuthenticationToken,
            "Request is missing Authentication Token",
        )),
    }
}

fn check_header(authorization: &str, headers: &HeaderMap) -> Result<(), ApiError> {
    let has = |name: &str| {
        let parts = authorization.split([',', ' ']).skip(1);
        parts
            .filter_map(|part| part.trim().split_once('='))
            .any(|(known, value)| known == name && !value.is_empty())
    };
    let dated = headers.contains_key("x-amz-date") || headers.contains_key(header::DATE);
    if has("Credential") && has("Signature") && has("SignedHeaders") && dated {
        return Ok(());
    }
    let mut message = String::new();
    for name in ["Credential", "Signature", "SignedHeaders"].into_iter().filter(|name| !has(name)) {
        message.push_str(&format!("Authorization header requires '{name}' parameter. "));
    }
    if !dated {
        message.push_str(
            "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ",
        );
    }
    message.push_str(&format!("Authorization={authorization}"));
    Err(ApiError::new(ErrorCode::IncompleteSignature, message))
}

fn check_query<'q>(parameter: impl Fn(&str) -> Option<&'q str>) -> Result<(), ApiError> {
    let names =
        ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"];
    let missing = names.into_iter().filter(|name| parameter(name).unwrap_or_default().is_empty());
    let mut message: String =
        missing.map(|name| format!("AWS query-string parameters must include '{name}'. ")).collect();
    if message.is_empty() {
        return Ok(());
    }
    message.push_str("Re-examine the query-string parameters.");
    Err(ApiError::new(ErrorCode::IncompleteSignature, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(authorization: Option<&str>, query: Option<&str>) -> Option<ErrorCode> {
        let mut headers = HeaderMap::new();
        headers.insert("x-amz-date", "20260101T000000Z".parse().unwrap());
        if let Some(authorization) = authorization {
            headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        }
        check(&headers, query).err().map(|error| error.code)
    }

    #[test]
    fn credentials_must_be_there_and_whole() {
        let whole = "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host, Signature=f";
        assert_eq!(code(Some(whole), None), None);
        assert_eq!(code(Some("AWS4-HMAC-SHA256 Credential=a,Signature=f,SignedHeaders=b"), None), None);
        assert_eq!(code(None, None), Some(ErrorCode::MissingAuthenticationToken));
        assert_eq!(code(Some("Basic abc"), None), Some(ErrorCode::MissingAuthenticationToken));
        assert_eq!(code(Some("AWS4-HMAC-SHA256 Credential=a"), None), Some(ErrorCode::IncompleteSignature));
        assert_eq!(code(Some(whole), Some("X-Amz-Algorithm=x")), Some(ErrorCode::InvalidSignature));
        assert_eq!(code(None, Some("X-Amz-Algorithm=x")), Some(ErrorCode::IncompleteSignature));
    }
}
