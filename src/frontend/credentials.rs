//! Credentials as a request carries them: looked for once, whole as the service has it, and not verified.

use std::borrow::Cow;

use http::request::Parts;
use http::{HeaderName, header};

use super::head::Head;
use crate::model::{ApiError, ErrorCode};
use crate::wire::sigv4::{Location, percent_decoded};

const AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
const SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// As long as a label of a host's name, which the service's regions are part of.
const REGION_CHARACTERS_MAX: usize = 63;

const HEADER_PARAMETERS: [&str; 3] = ["Credential", "Signature", "SignedHeaders"];

const QUERY_PARAMETERS: [&str; 5] =
    ["X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-SignedHeaders", "X-Amz-Date"];

/// The credentials of a request: all of them are there, and each may be anything. A part is read when it is asked for, so that
/// a request whose caller does not matter pays for none. Not to be logged.
#[derive(Clone, Copy)]
pub struct Credential<'a> {
    head: Head<'a>,
    place: Place,
    /// The `Authorization` header, if that is the place: it is read for each part.
    authorization: &'a [u8],
}

/// The same, with a head of its own.
pub(super) struct DetachedCredential {
    head: Parts,
    place: Place,
}

/// A part that both forms have among their parameters: a place in [`HEADER_PARAMETERS`].
#[derive(Clone, Copy)]
enum Part {
    Credential,
    Signature,
    SignedHeaders,
}

impl Part {
    fn query_parameter(self) -> &'static str {
        match self {
            Self::Credential => "X-Amz-Credential",
            Self::Signature => "X-Amz-Signature",
            Self::SignedHeaders => "X-Amz-SignedHeaders",
        }
    }
}

/// Where the parts of a credential stand.
#[derive(Clone, Copy)]
enum Place {
    /// In the `Authorization` header: where the value of each of [`HEADER_PARAMETERS`] begins.
    Header([u32; HEADER_PARAMETERS.len()]),
    /// In the query string.
    Query,
}

/// The `Credential` of a request, taken apart. Not to be logged: access keys are credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialScope<'a> {
    /// The access key; not empty, and otherwise anything.
    pub access_key: Cow<'a, str>,
    /// The day, as `20261121` if the request is well signed.
    pub date: Cow<'a, str>,
    /// The region: letters, digits, `-` and `_`, at most 63.
    pub region: Cow<'a, str>,
    /// The service's name, `dynamodb` if the request is well signed.
    pub service: Cow<'a, str>,
    /// `aws4_request` if the request is well signed.
    pub term: Cow<'a, str>,
}

impl<'a> Credential<'a> {
    /// Looks for credentials in a request's head.
    ///
    /// # Errors
    /// The service's own, if there are none, if they stand in two places, or if a part is missing.
    pub(super) fn parse(head: impl Into<Head<'a>>) -> Result<Self, ApiError> {
        let head = head.into();
        let query = head.query().filter(|query| parameter(query, "X-Amz-Algorithm").is_some());
        let authorization = head.first(&header::AUTHORIZATION).filter(|value| !value.is_empty());
        let place = match (authorization, query) {
            (Some(_), Some(_)) => {
                return Err(ApiError::new(
                    ErrorCode::InvalidSignature,
                    "Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header.",
                ));
            }
            (Some(value), None) => Place::Header(find_in_header(value, head)?),
            (None, Some(query)) => check_query(query).map(|()| Place::Query)?,
            (None, None) => return Err(missing()),
        };
        Ok(Self::at(head, place, authorization))
    }

    fn at(head: Head<'a>, place: Place, authorization: Option<&'a [u8]>) -> Self {
        Self { head, place, authorization: authorization.unwrap_or_default() }
    }

    /// True for a request that carries nothing of a credential.
    pub(super) fn is_missing(head: &Parts) -> bool {
        let is_in_query = head.uri.query().is_some_and(|query| query.contains("X-Amz-"));
        !head.headers.contains_key(header::AUTHORIZATION) && !is_in_query
    }

    /// A copy for work that outlives the exchange's turn on its thread.
    pub(super) fn detach(self) -> DetachedCredential {
        DetachedCredential { head: self.head.detach(), place: self.place }
    }

    /// The head of the request.
    pub(super) fn head(self) -> Head<'a> {
        self.head
    }

    /// Where the signature stands.
    pub fn location(self) -> Location {
        match self.place {
            Place::Header(_) => Location::Header,
            Place::Query => Location::Query,
        }
    }

    /// The access key, and what the signature's key was derived for. The service's name may be any.
    ///
    /// # Errors
    /// The service's own for a credential that is not in five parts, or names no region.
    pub fn scope(self) -> Result<CredentialScope<'a>, ApiError> {
        let credential = self.value(Part::Credential);
        let parts = match &credential {
            Cow::Borrowed(text) => scope_parts(text).map(|parts| parts.map(Cow::from)),
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
            Some([_, _, region, ..]) if !is_region(&region) => Err(ApiError::new(
                ErrorCode::InvalidSignature,
                "Credential should be scoped to a valid region. ",
            )),
            Some([access_key, date, region, service, term]) => {
                Ok(CredentialScope { access_key, date, region, service, term })
            }
        }
    }

    /// The algorithm as sent.
    pub fn algorithm(self) -> Cow<'a, str> {
        let value = match self.place {
            Place::Header(_) => {
                let end = memchr::memchr(b' ', self.authorization).unwrap_or(self.authorization.len());
                str::from_utf8(&self.authorization[..end]).ok().map(Cow::from)
            }
            Place::Query => self.parameter("X-Amz-Algorithm"),
        };
        value.unwrap_or_default()
    }

    /// The signature as sent: hexadecimal digits if the request is well signed.
    pub fn signature(self) -> Cow<'a, str> {
        self.value(Part::Signature)
    }

    /// The names of the signed headers, separated by `;`.
    pub fn signed_headers(self) -> Cow<'a, str> {
        self.value(Part::SignedHeaders)
    }

    /// The time of the signature as sent: `X-Amz-Date`, or in a header `Date` too.
    pub fn time(self) -> Cow<'a, str> {
        self.header_or_parameter(&[AMZ_DATE, header::DATE], "X-Amz-Date").unwrap_or_default()
    }

    /// The token of temporary credentials.
    pub fn session_token(self) -> Option<Cow<'a, str>> {
        self.header_or_parameter(&[SECURITY_TOKEN], "X-Amz-Security-Token")
    }

    fn value(self, part: Part) -> Cow<'a, str> {
        let value = match self.place {
            Place::Header(starts) => {
                self.authorization.get(starts[part as usize] as usize..).and_then(|value| {
                    let end = memchr::memchr2(b',', b' ', value).unwrap_or(value.len());
                    str::from_utf8(&value[..end]).ok().map(Cow::from)
                })
            }
            Place::Query => self.parameter(part.query_parameter()),
        };
        value.unwrap_or_default()
    }

    /// A part that stands in a header of its own: the first of `names` that there is.
    fn header_or_parameter(self, names: &[HeaderName], parameter_name: &str) -> Option<Cow<'a, str>> {
        match self.place {
            Place::Header(_) => {
                let value = names.iter().find_map(|name| self.head.first(name))?;
                str::from_utf8(value).ok().map(Cow::from)
            }
            Place::Query => self.parameter(parameter_name),
        }
    }

    fn parameter(self, name: &str) -> Option<Cow<'a, str>> {
        match percent_decoded(parameter(self.head.query()?, name)?) {
            Cow::Borrowed(bytes) => Some(String::from_utf8_lossy(bytes)),
            Cow::Owned(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned().into()),
        }
    }
}

impl DetachedCredential {
    pub(super) fn attached(&self) -> Credential<'_> {
        let head = Head::from(&self.head);
        Credential::at(head, self.place, head.first(&header::AUTHORIZATION))
    }
}

/// The parts of a text between separators in ASCII, as `str::split` gives them, in half of its time for short parts.
pub(super) fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let ends = memchr::memchr_iter(separator, text.as_bytes()).chain(std::iter::once(text.len()));
    let mut start = 0;
    ends.map(move |end| &text[std::mem::replace(&mut start, end + 1)..end])
}

/// The parts of `KEY/DATE/REGION/SERVICE/TERM`.
fn scope_parts(credential: &str) -> Option<[&str; 5]> {
    let mut parts = split(credential, b'/');
    let five = [parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?];
    (parts.next().is_none() && !five[0].is_empty()).then_some(five)
}

pub(super) fn is_region(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=REGION_CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(is_part)
}

/// What a request without credentials is answered.
pub(super) fn missing() -> ApiError {
    ApiError::new(ErrorCode::MissingAuthenticationToken, "Request is missing Authentication Token")
}

/// True for an `Authorization` that [`Credential::parse`] finds whole, if a date stands beside it and nothing in the query.
pub(super) fn is_whole(authorization: &[u8]) -> bool {
    is_of_aws(authorization) && !parameter_starts(authorization).contains(&0)
}

fn is_of_aws(authorization: &[u8]) -> bool {
    authorization.trim_ascii().starts_with(b"AWS4-")
}

fn find_in_header(bytes: &[u8], head: Head<'_>) -> Result<[u32; HEADER_PARAMETERS.len()], ApiError> {
    if !is_of_aws(bytes) {
        return Err(missing());
    }
    let starts = parameter_starts(bytes);
    let dated = head.first(&AMZ_DATE).is_some() || head.first(&header::DATE).is_some();
    if dated && !starts.contains(&0) { Ok(starts) } else { Err(incomplete(bytes, starts, dated)) }
}

/// Where the value of each parameter begins; zero for one that is missing.
fn parameter_starts(bytes: &[u8]) -> [u32; HEADER_PARAMETERS.len()] {
    let mut starts = [0; HEADER_PARAMETERS.len()];
    // Only what stands before a `=` can be a parameter, and there are few of those.
    for equals in memchr::memchr_iter(b'=', bytes) {
        let (before, value) = (&bytes[..equals], &bytes[equals + 1..]);
        // A parameter without a value counts as missing.
        if value.first().is_none_or(|byte| matches!(byte, b',' | b' ' | b'=')) {
            continue;
        }
        for (start, name) in starts.iter_mut().zip(HEADER_PARAMETERS) {
            let is_name = before
                .strip_suffix(name.as_bytes())
                .is_some_and(|rest| matches!(rest.last(), Some(b',' | b' ')));
            if is_name && *start == 0 {
                // The head of a request is a few kilobytes long.
                *start = equals as u32 + 1;
            }
        }
    }
    starts
}

fn incomplete(authorization: &[u8], starts: [u32; HEADER_PARAMETERS.len()], dated: bool) -> ApiError {
    let mut message = String::new();
    for (_, name) in starts.iter().zip(HEADER_PARAMETERS).filter(|(start, _)| **start == 0) {
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

fn check_query(query: &str) -> Result<(), ApiError> {
    let mut message = String::new();
    for name in QUERY_PARAMETERS {
        if parameter(query, name).is_none_or(str::is_empty) {
            message.push_str(&format!("AWS query-string parameters must include '{name}'. "));
        }
    }
    if message.is_empty() {
        return Ok(());
    }
    message.push_str("Re-examine the query-string parameters.");
    Err(ApiError::new(ErrorCode::IncompleteSignature, message))
}

/// The value of a parameter of a query string, not decoded. The last one counts.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.rfind(|(found, _)| *found == name).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(uri: &str, headers: &[(&str, &str)]) -> Result<(), String> {
        let mut request = http::Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let head = request.body(()).unwrap().into_parts().0;
        Credential::parse(&head).map(drop).map_err(|error| error.to_string())
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

    /// What is read of a request with that query string and that `Authorization` header.
    fn read(uri: &str, authorization: Option<&str>) -> Result<String, String> {
        let mut request = http::Request::post(uri).header("date", "Sat, 21 Nov 2026 08:09:10 GMT");
        if let Some(authorization) = authorization {
            request = request.header("authorization", authorization).header("x-amz-security-token", "TOKEN");
        }
        let head = request.body(()).unwrap().into_parts().0;
        let credential = Credential::parse(&head).map_err(|error| error.to_string())?;
        let CredentialScope { access_key, date, region, service, term } =
            credential.scope().map_err(|error| error.to_string())?;
        let (signature, headers) = (credential.signature(), credential.signed_headers());
        let (time, token) = (credential.time(), credential.session_token());
        Ok(format!(
            "{:?} {access_key} {date} {region} {service} {term} {signature} {headers} {time} {token:?}",
            credential.location()
        ))
    }

    #[test]
    fn every_part_is_read_from_the_header_or_the_query_string_whatever_the_service() {
        let header = "AWS4-HMAC-SHA256 SignedHeaders=host;date,Credential=AK_1/20260101/eu-west-1/dynamodbstreams/x, \
             Signature=00ff";
        let read_back = "Header AK_1 20260101 eu-west-1 dynamodbstreams x 00ff host;date \
             Sat, 21 Nov 2026 08:09:10 GMT Some(\"TOKEN\")";
        assert_eq!(read("/", Some(header)), Ok(read_back.to_owned()));
        let rest = "X-Amz-Algorithm=a&X-Amz-Signature=00ff&X-Amz-SignedHeaders=host%3bdate&X-Amz-Date=20260101T080910Z";
        for (query, token) in [
            ("a%2f1%2Flocal%2Fs%2Ft", ""),
            ("a/1/local/s/t", "&X-Amz-Security-Token=T%2b"),
            ("%61/1/local/s/t", ""),
        ] {
            let uri = format!("/?{rest}&X-Amz-Credential={query}{token}");
            let token = if token.is_empty() { "None" } else { "Some(\"T+\")" };
            let read_back = format!("Query a 1 local s t 00ff host;date 20260101T080910Z {token}");
            assert_eq!(read(&uri, None), Ok(read_back), "{uri}");
        }
    }

    #[test]
    fn the_first_value_of_a_header_parameter_counts_and_the_last_of_a_query_parameter() {
        let header = "AWS4- Credential=, XCredential=x/1/r/s/t, Credential=a/1/r/s/t, Credential=b/1/r/s/t, \
             SignedHeaders=h, Signature=1 Signature=2";
        let read_back = "Header a 1 r s t 1 h Sat, 21 Nov 2026 08:09:10 GMT Some(\"TOKEN\")";
        assert_eq!(read("/", Some(header)), Ok(read_back.to_owned()));
        let query = "/?X-Amz-Algorithm=a&X-Amz-Signature=1&X-Amz-Signature=2&X-Amz-SignedHeaders=h&X-Amz-Date=d&\
             X-Amz-Credential=a/1/r/s/t&X-Amz-Credential=b/1/r/s/t";
        assert_eq!(read(query, None), Ok("Query b 1 r s t 2 h d None".to_owned()));
    }

    #[test]
    fn a_credential_that_names_no_key_or_region_is_rejected_in_the_services_words() {
        let words = "IncompleteSignatureException: Credential must have exactly 5 slash-delimited elements, e.g. \
            keyid/date/region/service/term, got ";
        for credential in ["a", "a/b/c/d", "/b/c/d/e", "a/b/c/d/e/f"] {
            let header = format!("AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders=host, Signature=b");
            assert_eq!(read("/", Some(&header)), Err(format!("{words}'{credential}'")));
        }
        let header = "AWS4-HMAC-SHA256 Credential=, SignedHeaders=host, Signature=b";
        let words = "IncompleteSignatureException: Authorization header requires 'Credential' parameter. ";
        assert_eq!(read("/", Some(header)), Err(format!("{words}Authorization={header}")));
        for region in ["", "..", "a.b", "é", "%2e", &"x".repeat(64)] {
            let header =
                format!("AWS4-HMAC-SHA256 Credential=a/b/{region}/d/e, SignedHeaders=host, Signature=b");
            let rejected = read("/", Some(&header)).unwrap_err();
            assert_eq!(
                rejected,
                "InvalidSignatureException: Credential should be scoped to a valid region. "
            );
        }
    }
}
