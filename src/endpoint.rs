//! Where an HTTP server is, as configs and command lines write it.

use std::fmt;
use std::str::FromStr;

/// Where an HTTP endpoint is: `http://HOST[:PORT]` or `https://HOST[:PORT]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether connections are encrypted.
    pub scheme: Scheme,
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Whether connections are encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// They are not.
    Http,
    /// By TLS.
    Https,
}

impl Endpoint {
    /// The one at the usual port of that host, encrypted.
    pub fn https(host: String) -> Self {
        Self { scheme: Scheme::Https, host, port: 443 }
    }

    /// The value of the `Host` header.
    pub fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match (self.scheme, self.port) {
            (Scheme::Http, 80) | (Scheme::Https, 443) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// True when what is sent there stays on this machine.
    pub fn is_loopback(&self) -> bool {
        let address = self.host.parse().ok().map(|ip: std::net::IpAddr| ip.to_canonical().is_loopback());
        address.unwrap_or_else(|| self.host.eq_ignore_ascii_case("localhost"))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        write!(formatter, "{scheme}://{}", self.authority())
    }
}

impl FromStr for Endpoint {
    type Err = String;

    /// # Errors
    /// Words that say how to write one.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not an endpoint; write http(s)://HOST:PORT, such as \"http://127.0.0.1:8001\""
            )
        };
        let uri: http::Uri = text.parse().map_err(|_| wrong())?;
        let (scheme, port) = match uri.scheme_str() {
            Some("http") => (Scheme::Http, 80),
            Some("https") => (Scheme::Https, 443),
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        let is_root = uri.path_and_query().is_none_or(|path| path.as_str() == "/");
        if !is_root || authority.host().is_empty() || authority.as_str().contains('@') {
            return Err(wrong());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let port = match authority.port() {
            Some(port) => Some(port.as_u16()).filter(|port| *port > 0).ok_or_else(wrong)?,
            None => port,
        };
        Ok(Self { scheme, host: host.to_owned(), port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_scheme_a_host_and_a_port_and_nothing_else() {
        for (text, authority) in [
            ("http://127.0.0.1:8001", "127.0.0.1:8001"),
            ("http://localhost", "localhost"),
            ("https://dynamodb.local/", "dynamodb.local"),
            ("https://[::1]:8443", "[::1]:8443"),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.authority(), authority);
            assert_eq!(endpoint.to_string(), text.trim_end_matches('/'));
        }
        for text in [
            "",
            "127.0.0.1:8001",
            "ftp://a",
            "http://",
            "http://a/b",
            "http://a?b",
            "http://u@a",
            "http://a:0",
        ] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
