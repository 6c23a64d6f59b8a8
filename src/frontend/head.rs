//! The head of a request, whether hyper has made headers of it, or it was read where it lies. One verifier serves both.

use std::borrow::Cow;

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// A header: its name in any case, and its value without spaces around it.
pub(super) type Header<'a> = (&'a [u8], &'a [u8]);

/// The head of a request.
#[derive(Clone, Copy)]
pub(super) struct Head<'a>(Form<'a>);

#[derive(Clone, Copy)]
enum Form<'a> {
    /// As hyper has read it.
    Parts(&'a Parts),
    /// That of a `POST` to `/` without a query string, by its headers in the order of the wire.
    Call(&'a [Header<'a>]),
}

impl<'a> From<&'a Parts> for Head<'a> {
    fn from(parts: &'a Parts) -> Self {
        Self(Form::Parts(parts))
    }
}

impl<'a> Head<'a> {
    /// The head of a `POST` to `/` with these headers. Their names and values must be such that hyper would accept them.
    pub(super) fn of_call(headers: &'a [Header<'a>]) -> Self {
        Self(Form::Call(headers))
    }

    /// The method, in upper case.
    pub(super) fn method(self) -> &'a str {
        match self.0 {
            Form::Parts(parts) => parts.method.as_str(),
            Form::Call(_) => "POST",
        }
    }

    /// The path as sent.
    pub(super) fn path(self) -> &'a str {
        match self.0 {
            Form::Parts(parts) => parts.uri.path(),
            Form::Call(_) => "/",
        }
    }

    /// The query string as sent, without the `?`.
    pub(super) fn query(self) -> Option<&'a str> {
        match self.0 {
            Form::Parts(parts) => parts.uri.query(),
            Form::Call(_) => None,
        }
    }

    /// The first value of a header.
    pub(super) fn first(self, name: &HeaderName) -> Option<&'a [u8]> {
        match self.0 {
            Form::Parts(parts) => parts.headers.get(name).map(HeaderValue::as_bytes),
            Form::Call(headers) => first_of(headers, name.as_str()),
        }
    }

    /// All headers. The values of one name are in the order of the wire.
    pub(super) fn headers(self) -> Cow<'a, [Header<'a>]> {
        match self.0 {
            Form::Parts(parts) => parts
                .headers
                .iter()
                .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()))
                .collect(),
            Form::Call(headers) => headers.into(),
        }
    }

    /// A copy of it, as hyper would have read it.
    pub(super) fn detach(self) -> Parts {
        match self.0 {
            Form::Parts(parts) => parts.clone(),
            Form::Call(headers) => {
                let mut map = HeaderMap::with_capacity(headers.len());
                for (name, value) in headers {
                    if let (Ok(name), Ok(value)) =
                        (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
                    {
                        map.append(name, value);
                    }
                }
                let mut parts = http::Request::new(()).into_parts().0;
                (parts.method, parts.headers) = (Method::POST, map);
                parts
            }
        }
    }
}

/// The first value of a header among these.
pub(super) fn first_of<'a>(headers: &[Header<'a>], name: &str) -> Option<&'a [u8]> {
    // Lengths are compared here: most differ, and a call for each would cost more than all else.
    let is_it = |other: &[u8]| other.len() == name.len() && is_same_name(other, name);
    headers.iter().find(|(other, _)| is_it(other)).map(|(_, value)| *value)
}

/// True for names that differ in their case alone: those of the wire, and the list of signed headers, may be in any.
pub(super) fn is_same_name(one: &[u8], other: &str) -> bool {
    one == other.as_bytes() || one.eq_ignore_ascii_case(other.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_the_same_whoever_has_read_it() {
        let headers: [Header<'_>; 4] =
            [(b"Host", b"h"), (b"X-Amz-Date", b"1"), (b"x-amz-date", b"2"), (b"X-AMZ-TARGET", b"t")];
        let call = Head::of_call(&headers);
        let parts = call.detach();
        let read = Head::from(&parts);
        for head in [call, read] {
            assert_eq!((head.method(), head.path(), head.query()), ("POST", "/", None));
            for (name, value) in [("host", b"h"), ("x-amz-date", b"1"), ("x-amz-target", b"t")] {
                let found = head.first(&HeaderName::from_static(name));
                assert_eq!(found, Some(&value[..]), "{name}");
            }
            assert_eq!(head.first(&HeaderName::from_static("x-amz")), None);
            let lower = head
                .headers()
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec()))
                .collect::<Vec<_>>();
            let expected = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_vec()));
            assert_eq!(lower, expected);
        }
    }
}
