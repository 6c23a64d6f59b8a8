//! An HTTP answer of the upstream, checked before it may pass for an answer of the API.

use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Response, header};

use crate::call::Answer;
use crate::model::{ErrorName, Operation};
use crate::wire::Json;

/// Headers that reach the client as they came.
const FORWARDED: [HeaderName; 3] = [
    HeaderName::from_static("x-amzn-requestid"),
    HeaderName::from_static("x-amzn-errortype"),
    HeaderName::from_static("x-amz-retry-after"),
];

/// Errors by which an upstream asks for fewer requests.
const THROTTLES: [&str; 4] =
    ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded", "Throttling"];

const CRC32: HeaderName = HeaderName::from_static("x-amz-crc32");

/// An answer of the API and what its head said besides.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) answer: Answer,
    /// The upstream's time.
    pub(super) date: Option<SystemTime>,
}

impl Reply {
    /// Checks an answer to a request of the operation.
    ///
    /// # Errors
    /// Words, when it is not one of DynamoDB's or was damaged on its way: a client must not take it for one.
    pub(super) fn read(operation: Operation, response: Response<Bytes>) -> Result<Self, String> {
        let status = response.status().as_u16();
        let (head, body) = response.into_parts();
        if head.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(format!("it answered {status} with an encoding that was not asked for"));
        }
        if let Some(expected) = text(&head.headers, &CRC32)
            && expected.trim().parse() != Ok(crc32fast::hash(&body))
        {
            return Err(format!("it answered {status} with a body that does not fit its x-amz-crc32"));
        }
        // An error may go without a body, as that of a request that is too large.
        let is_of_the_api = match status {
            200..300 => is_object(&body) || (body.is_empty() && operation.may_answer_nothing()),
            400..600 => body.is_empty() || is_object(&body),
            _ => false,
        };
        if !is_of_the_api {
            // A gateway that fails is the right port.
            let question = if status < 500 { "; is this the right port?" } else { "" };
            return Err(format!("it answered {status} with something else than DynamoDB's JSON{question}"));
        }
        let headers = FORWARDED
            .iter()
            .filter_map(|name| Some((name.as_str().to_owned(), text(&head.headers, name)?.to_owned())))
            .collect();
        let date = text(&head.headers, &header::DATE).and_then(|date| httpdate::parse_http_date(date).ok());
        let error = if status >= 400 { error_name(&body) } else { None };
        Ok(Self { answer: Answer { status, error, headers, ..Answer::ok(body) }, date })
    }

    /// True when the upstream asks for fewer requests.
    pub(super) fn is_throttled(&self) -> bool {
        self.error_type().is_some_and(|name| THROTTLES.contains(&name))
    }

    /// True when the upstream asks for fewer requests in all, not only of one table.
    pub(super) fn is_throttled_as_a_whole(&self) -> bool {
        self.error_type().is_some_and(|name| name == "RequestLimitExceeded")
    }

    /// The name of the error of a request that was rejected.
    pub(super) fn error_type(&self) -> Option<&str> {
        let name = self.answer.error.as_ref().filter(|_| matches!(self.answer.status, 400 | 403));
        name.map(ErrorName::text)
    }
}

/// The name of the error that a body reports.
fn error_name(body: &[u8]) -> Option<ErrorName> {
    Some(ErrorName::of_type(Json::parse(body).ok()?.get("__type")?.text()?))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// True for what begins and ends as an object does. Whoever uses the body parses it; this tells it from a web page.
fn is_object(body: &[u8]) -> bool {
    let body = body.trim_ascii();
    body.first() == Some(&b'{') && body.last() == Some(&b'}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&str, &str)], body: &'static str) -> Response<Bytes> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        response.body(Bytes::from_static(body.as_bytes())).unwrap()
    }

    #[test]
    fn an_error_passes_byte_for_byte_with_its_headers() {
        let body = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"slow"}"#;
        let headers = [
            ("x-amzn-requestid", "ID"),
            ("x-amzn-errortype", "Slow"),
            ("x-amz-retry-after", "1500"),
            ("server", "Server"),
            ("date", "Sat, 21 Nov 2026 08:09:10 GMT"),
        ];
        let reply = Reply::read(Operation::GetItem, response(400, &headers, body)).unwrap();
        assert_eq!((reply.answer.status, &reply.answer.body[..]), (400, body.as_bytes()));
        let forwarded: Vec<_> =
            reply.answer.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(forwarded, &headers[..3]);
        assert_eq!(reply.error_type(), Some("ProvisionedThroughputExceededException"));
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_795_248_550);
        assert_eq!(reply.date, Some(time));
    }

    #[test]
    fn an_error_is_named_whatever_its_status_and_rejections_apart() {
        let body = r#"{"message":"x", "__type" : "a.b#InternalServerError"}"#;
        for (status, name, rejected) in [
            (200, None, None),
            (400, Some("InternalServerError"), Some("InternalServerError")),
            (403, Some("InternalServerError"), Some("InternalServerError")),
            (500, Some("InternalServerError"), None),
        ] {
            let reply = Reply::read(Operation::GetItem, response(status, &[], body)).unwrap();
            assert_eq!(reply.answer.error.as_ref().map(ErrorName::text), name, "{status}");
            assert_eq!(reply.error_type(), rejected, "{status}");
        }
        for body in [r#"{"__type":5}"#, r#"{"message":"x"}"#, r#"{"nested":{"__type":"C"}}"#, "{?}"] {
            let reply = Reply::read(Operation::GetItem, response(400, &[], body)).unwrap();
            assert_eq!(reply.answer.error, None, "{body}");
        }
    }

    #[test]
    fn what_is_not_an_answer_of_the_service_does_not_pass_for_one() {
        for (status, headers, body) in [
            (200, vec![("x-amz-crc32", "1")], "{}"),
            (200, vec![("content-encoding", "gzip")], "{}"),
            (200, vec![], ""),
            (200, vec![], "<html></html>"),
            (502, vec![], "<html></html>"),
            (404, vec![], "404 page not found"),
            (301, vec![("location", "http://elsewhere/")], ""),
        ] {
            assert!(
                Reply::read(Operation::GetItem, response(status, &headers, body)).is_err(),
                "{status} {headers:?} {body}"
            );
        }
        assert!(
            Reply::read(Operation::GetItem, response(200, &[("x-amz-crc32", "2745614147")], "{}")).is_ok()
        );
        assert!(Reply::read(Operation::GetItem, response(413, &[], "")).is_ok());
    }

    #[test]
    fn an_answer_of_another_program_asks_for_the_port() {
        for (status, is_asked) in [(200, true), (405, true), (502, false)] {
            let reason = Reply::read(Operation::GetItem, response(status, &[], "only GET\n")).unwrap_err();
            assert_eq!(reason.ends_with("; is this the right port?"), is_asked, "{reason}");
        }
    }

    #[test]
    fn a_success_without_a_body_is_one_where_there_is_nothing_to_tell() {
        for operation in [Operation::TagResource, Operation::UntagResource, Operation::Unknown] {
            let reply = Reply::read(operation, response(200, &[("x-amz-crc32", "0")], "")).unwrap();
            assert!(reply.answer.body.is_empty(), "{operation}");
            assert!(Reply::read(operation, response(200, &[], "<html></html>")).is_err(), "{operation}");
        }
        for operation in Operation::all().filter(|operation| !operation.may_answer_nothing()) {
            assert!(Reply::read(operation, response(200, &[], "")).is_err(), "{operation}");
        }
    }
}
