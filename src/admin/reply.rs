//! How answers of the admin listener look: JSON below `api/`, errors included, and text elsewhere.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::node::Fault;
use super::token::Closed;
use crate::access::Rejection;

/// An answer on its way to a client.
pub(super) type Reply = Response<Full<Bytes>>;

pub(super) const TEXT: &str = "text/plain; charset=utf-8";

const JSON: &str = "application/json";

/// A body of that type.
pub(super) fn reply(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

/// A line of text.
pub(super) fn text(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    reply(status, TEXT, body)
}

/// A JSON document. No cache on the way keeps it.
pub(super) fn json_text(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    let mut reply = reply(status, JSON, body);
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// The same of a value.
pub(super) fn json(status: StatusCode, value: &Value) -> Reply {
    json_text(status, format!("{value}\n"))
}

/// Why there is no other answer.
pub(super) fn fail(fault: &Fault) -> Reply {
    error(fault.status, &fault.sentence)
}

/// An error of the API, in one sentence.
pub(super) fn error(status: StatusCode, sentence: &str) -> Reply {
    json(status, &json!({ "error": sentence }))
}

/// The answer to a request that has not the token.
pub(super) fn close(closed: Closed) -> Reply {
    match closed {
        Closed::NoToken => error(
            StatusCode::FORBIDDEN,
            "This needs a token, and the node has none: write token_file = \"FILE\" under [admin] in the config, or start the node with NEARSIDE_ADMIN_TOKEN_FILE=FILE.",
        ),
        Closed::Unauthorized => {
            let sentence =
                "This needs the token of token_file under [admin]: send it as Authorization: Bearer TOKEN.";
            let mut reply = error(StatusCode::UNAUTHORIZED, sentence);
            reply.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            reply
        }
    }
}

/// The answer to a method that a path does not have.
pub(super) fn other_method(allowed: &'static str) -> Reply {
    let sentence = format!("This path takes {allowed}.");
    let mut reply = error(StatusCode::METHOD_NOT_ALLOWED, &sentence);
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    reply
}

/// The answer to a request for that path which names another host, or comes from a page of another origin.
pub(super) fn reject(path: &str, rejection: &Rejection) -> Reply {
    let status = match rejection {
        Rejection::HostCount => StatusCode::BAD_REQUEST,
        Rejection::Host(_) | Rejection::Origin(_) | Rejection::OtherOrigin(_) => StatusCode::FORBIDDEN,
    };
    refuse(path, status, &rejection.to_string())
}

/// The answer to a request for a path that is not there.
pub(super) fn not_here(path: &str) -> Reply {
    refuse(
        path,
        StatusCode::NOT_FOUND,
        "There is nothing here. The console is at /, and docs/operations.md lists the paths of the API",
    )
}

/// An error in the form that the path's own answers have. The words have no full stop.
fn refuse(path: &str, status: StatusCode, words: &str) -> Reply {
    match path == "/api" || path.starts_with("/api/") {
        true => error(status, &format!("{words}.")),
        false => text(status, format!("{words}\n")),
    }
}
