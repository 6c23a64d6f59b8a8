//! The console: static files in the binary. They hold no secrets, so everybody may have them; what they show comes from the API.

use hyper::StatusCode;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

use super::reply::{Reply, reply};

/// A file of the console.
struct File {
    /// Below the root, as a request names it.
    path: &'static str,
    content_type: &'static str,
    content: &'static [u8],
}

/// Every file.
const FILES: &[File] =
    &[File { path: "/", content_type: "text/html; charset=utf-8", content: include_bytes!("index.html") }];

/// What each file comes with: nothing from elsewhere is loaded, and nobody learns where the reader came from.
const HEADERS: [(HeaderName, &str); 4] = [
    (CONTENT_SECURITY_POLICY, "default-src 'self'"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-cache"),
];

/// The file at a path, if there is one.
pub(super) fn file(path: &str) -> Option<Reply> {
    let file = FILES.iter().find(|file| file.path == path)?;
    let mut reply = reply(StatusCode::OK, file.content_type, file.content);
    for (name, value) in HEADERS {
        reply.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Some(reply)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_name_nothing_outside_and_only_relative_paths() {
        for file in FILES {
            let text = String::from_utf8_lossy(file.content);
            assert!(!text.contains("src=\"/") && !text.contains("href=\"/"), "{}", file.path);
            assert!(!text.contains("src=\"http") && !text.contains("url(http"), "{}", file.path);
            let headers = super::file(file.path).unwrap();
            assert_eq!(headers.headers()[CONTENT_SECURITY_POLICY], "default-src 'self'");
        }
        assert!(super::file("/../mod.rs").is_none());
    }
}
