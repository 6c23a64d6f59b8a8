//! Where the bus of a fleet is: `redis://` or `rediss://`, perhaps a user, a host and a port.
//!
//! A password is rejected, because a URL is printed, logged and shared. The error does not repeat it.

use std::fmt;
use std::str::FromStr;

/// The port of Redis and Valkey.
const PORT: u16 = 6379;

/// Where the bus of a fleet is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusUrl {
    /// Whether connections are encrypted: `rediss://`.
    pub tls: bool,
    /// The user to log in as; the server's `default` if there is none.
    pub user: Option<String>,
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl BusUrl {
    /// True when what is sent there stays on this machine. Only an address and `localhost` are certain: a name may change its meaning.
    pub fn is_loopback(&self) -> bool {
        let address = self.host.parse().ok().map(|ip: std::net::IpAddr| ip.to_canonical().is_loopback());
        address.unwrap_or_else(|| self.host.eq_ignore_ascii_case("localhost"))
    }
}

impl FromStr for BusUrl {
    type Err = String;

    /// # Errors
    /// Words that say how to write one.
    fn from_str(text: &str) -> Result<Self, String> {
        let (tls, rest) = match text.split_once("://") {
            Some(("redis", rest)) => (false, rest),
            Some(("rediss", rest)) => (true, rest),
            Some(_) | None => return Err(wrong(text)),
        };
        let (user, authority) = match rest.rsplit_once('@') {
            Some((user, authority)) => (Some(user), authority),
            None => (None, rest),
        };
        if user.is_some_and(|user| user.contains(':')) {
            return Err(
                "has a password; write it into a file, and name that in password_file of [fleet]".to_owned()
            );
        }
        let is_user = |user: &str| {
            let is_own = |c: char| c.is_whitespace() || c.is_control() || "/?#%@".contains(c);
            !user.is_empty() && !user.contains(is_own)
        };
        if !user.is_none_or(is_user) {
            return Err(wrong(text));
        }
        // Database 0 is what every connection begins with.
        let authority = authority.strip_suffix("/0").or(authority.strip_suffix('/')).unwrap_or(authority);
        let (host, port) = host_and_port(authority).ok_or_else(|| wrong(text))?;
        Ok(Self { tls, user: user.map(str::to_owned), host: host.to_owned(), port })
    }
}

/// What follows the user, taken apart.
fn host_and_port(authority: &str) -> Option<(&str, u16)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, port)
        }
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if host.is_empty() || !(authority.starts_with('[') || host.bytes().all(is_name)) {
        return None;
    }
    let port = match port.strip_prefix(':') {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.parse().ok()?,
        Some(_) => return None,
        None if port.is_empty() => PORT,
        None => return None,
    };
    (port > 0).then_some((host, port))
}

/// The words for something that is no such URL. What stands before an `@` may be a secret, so it is not repeated.
fn wrong(text: &str) -> String {
    let shown = if text.contains('@') { "this".to_owned() } else { format!("{text:?}") };
    format!("{shown} is not the URL of a bus; write rediss://[USER@]HOST[:PORT], or redis:// on loopback")
}

impl fmt::Display for BusUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.tls { "rediss://" } else { "redis://" })?;
        if let Some(user) = &self.user {
            write!(formatter, "{user}@")?;
        }
        match self.host.contains(':') {
            true => write!(formatter, "[{}]:{}", self.host, self.port),
            false => write!(formatter, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bus_is_a_scheme_a_user_a_host_and_a_port() {
        for (text, printed) in [
            ("redis://127.0.0.1", "redis://127.0.0.1:6379"),
            ("rediss://nearside@bus.example:6380", "rediss://nearside@bus.example:6380"),
            ("redis://localhost:7000/", "redis://localhost:7000"),
            ("redis://localhost/0", "redis://localhost:6379"),
            ("rediss://[2001:db8::1]:7000", "rediss://[2001:db8::1]:7000"),
            ("rediss://a@[::1]", "rediss://a@[::1]:6379"),
        ] {
            let url: BusUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), printed);
            assert_eq!(printed.parse(), Ok(url));
        }
        for text in [
            "",
            "localhost:6379",
            "redis://",
            "http://a",
            "redis://a/1",
            "redis://a:0",
            "redis://a:70000",
            "redis://a:+1",
            "redis://a:",
            "redis://@a",
            "redis://a b",
            "redis://::1",
            "redis://[a]",
            "redis://[::1]7",
            "redis://a?b",
            "redis://a,b",
            "REDIS://a",
        ] {
            let error = text.parse::<BusUrl>().unwrap_err();
            assert!(error.ends_with("write rediss://[USER@]HOST[:PORT], or redis:// on loopback"), "{error}");
        }
    }

    #[test]
    fn a_password_is_rejected_and_never_repeated() {
        for text in ["rediss://user:hunter2@bus", "rediss://:hunter2@bus", "rediss://a@hunter2:x@bus"] {
            let error = text.parse::<BusUrl>().unwrap_err();
            assert!(error.contains("password_file") && !error.contains("hunter2"), "{error}");
        }
        let error = "rediss://hunter2@bus:port".parse::<BusUrl>().unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[test]
    fn only_addresses_and_localhost_are_loopback() {
        let is_loopback = |text: &str| text.parse::<BusUrl>().unwrap().is_loopback();
        for text in ["redis://127.9.9.9", "redis://[::1]", "redis://[::ffff:127.0.0.1]", "redis://LocalHost"]
        {
            assert!(is_loopback(text), "{text}");
        }
        for text in ["redis://10.0.0.1", "redis://localhost.example", "redis://0.0.0.0", "redis://redis"] {
            assert!(!is_loopback(text), "{text}");
        }
    }
}
