//! Names of hosts and origins of web pages, as `[server] hosts` and `[server] cors_origins` list them.

use std::fmt;
use std::str::FromStr;

/// A host that requests may name: an exact name or address, `*.example.com` for all names below one, or `*` for any.
///
/// It is in lower case, and has neither a port nor brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPattern(String);

/// An origin whose pages may call: a scheme, a host and perhaps a port, as browsers send it; or `*` for all.
///
/// It is in lower case, and has no port that is its scheme's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginPattern(String);

impl HostPattern {
    /// Whether a host is meant. `host` has neither a port, nor brackets, nor a dot at its end.
    pub fn matches(&self, host: &str) -> bool {
        match self.0.strip_prefix('*') {
            Some(suffix) => {
                let before = host.len().checked_sub(suffix.len());
                before
                    .and_then(|before| host.get(before..))
                    .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
            }
            None => self.0.eq_ignore_ascii_case(host),
        }
    }
}

impl OriginPattern {
    /// Whether every origin is meant, that of a page without one included.
    pub fn is_any(&self) -> bool {
        self.0 == "*"
    }

    /// Whether this origin is meant, as browsers write it.
    pub fn matches(&self, origin: &str) -> bool {
        self.is_any() || self.0.eq_ignore_ascii_case(origin)
    }
}

impl FromStr for HostPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let is_address = bare.parse::<std::net::IpAddr>().is_ok();
        let name = bare.strip_prefix("*.").unwrap_or(bare);
        let is_name = |name: &str| {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if bare == "*" || is_address || is_name(name) {
            return Ok(Self(bare.trim_end_matches('.').to_ascii_lowercase()));
        }
        Err(format!("{text:?} is not a host; write a name without a port, such as \"host.docker.internal\""))
    }
}

impl FromStr for OriginPattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self(text.to_owned()));
        }
        let wrong = || {
            format!(
                "{text:?} is not an origin; write it as browsers do, such as \"https://app.example.com\" or \
                 \"http://localhost:3000\", or \"*\" for every web page there is"
            )
        };
        let lower = text.to_ascii_lowercase();
        let (scheme, authority) = lower.split_once("://").ok_or_else(wrong)?;
        let is_scheme = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(&byte);
        if scheme.is_empty() || !is_scheme || authority.is_empty() || !authority.bytes().all(is_part) {
            return Err(wrong());
        }
        let own_port = match scheme {
            "http" => ":80",
            "https" => ":443",
            _ => "",
        };
        Ok(Self(lower.strip_suffix(own_port).unwrap_or(&lower).to_owned()))
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses_without_ports() {
        for text in ["a", "Host.Docker.Internal", "*.ddb.eu-west-1.amazonaws.com", "10.0.0.7", "[::1]", "*"] {
            assert!(text.parse::<HostPattern>().is_ok(), "{text}");
        }
        for text in ["", "a:8000", "http://a", "a/b", "a b", "*a", "*.", "a*", "[::1]:8000", "é"] {
            assert!(text.parse::<HostPattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_star_stands_for_what_is_below_a_name_or_for_everything() {
        let matches = |pattern: &str, host| pattern.parse::<HostPattern>().unwrap().matches(host);
        assert!(matches("*.example.com", "a.EXAMPLE.com") && matches("*.example.com", "a.b.example.com"));
        assert!(!matches("*.example.com", "example.com") && !matches("*.example.com", "evilexample.com"));
        assert!(matches("*", "anything") && matches("[::1]", "::1") && matches("A.", "a"));
        assert!(!matches("example.com", "a.example.com") && !matches("*.example.com", "é"));
    }

    #[test]
    fn origins_are_exact() {
        let matches = |pattern: &str, origin| pattern.parse::<OriginPattern>().unwrap().matches(origin);
        assert!(matches("https://App.example.com", "https://app.example.com"));
        assert!(matches("https://app.example.com:443", "https://app.example.com"));
        assert!(matches("http://[::1]:3000", "http://[::1]:3000"));
        assert!(matches("chrome-extension://abc", "chrome-extension://abc"));
        assert!(matches("*", "null"));
        for origin in ["http://app.example.com", "https://app.example.com:8443", "https://x.app.example.com"]
        {
            assert!(!matches("https://app.example.com", origin), "{origin}");
        }
        // "null" is what every page without an origin sends, so it cannot stand for one of them.
        for text in
            ["", "null", "app.example.com", "https://", "https://a/", "https://*.a", "https://a b", "://a"]
        {
            assert!(text.parse::<OriginPattern>().is_err(), "{text}");
        }
    }
}
