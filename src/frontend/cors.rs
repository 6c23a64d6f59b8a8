//! What web pages are told: that they may ask, and which headers of answers they may read.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::answer::{self, AnswerBody};

/// How long a browser may keep the answer to its question whether a page may ask.
const PREFLIGHT_AGE_SECONDS: &str = "172800";

/// Browsers ask this before a page of the internet calls an address of the user's own network.
const REQUEST_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// The headers of answers that pages may read.
const EXPOSED: &str =
    "x-amzn-requestid, x-amzn-errortype, x-amz-crc32, x-amz-retry-after, x-nearside-cache, age, date";

/// The same without the sum, which is of the compressed bytes, while a page sees others.
const EXPOSED_COMPRESSED: &str =
    "x-amzn-requestid, x-amzn-errortype, x-amz-retry-after, x-nearside-cache, age, date";

/// Whether this is a browser's question on behalf of a page.
pub(super) fn is_preflight(head: &Parts) -> bool {
    head.method == Method::OPTIONS && head.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a browser's question of a page that may ask.
pub(super) fn preflight(head: &Parts) -> Response<AnswerBody> {
    let mut response = answer::empty(StatusCode::OK);
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    if let Some(asked) = head.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    if head.headers.contains_key(REQUEST_PRIVATE_NETWORK) {
        headers.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(PREFLIGHT_AGE_SECONDS));
    response
}

/// Has a page read an answer: `allowed` is its origin, or `*`.
pub(super) fn open(headers: &mut HeaderMap, allowed: HeaderValue) {
    let exposed = match headers.contains_key(header::CONTENT_ENCODING) {
        true => EXPOSED_COMPRESSED,
        false => EXPOSED,
    };
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(exposed));
    // No cache may give one page the answer that another one may read.
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
}
