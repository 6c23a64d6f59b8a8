//! Where a listener listens, as written in the config.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use crate::endpoint::Endpoint;

/// What stands before the path of a Unix socket.
const UNIX: &str = "unix:";

/// Where a listener listens: an address or the name of a host, and a port; or a Unix socket, whose port is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    host: ListenHost,
    port: u16,
}

/// The host of a [`ListenAddress`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenHost {
    /// Every interface, of both families of addresses: `:8000`.
    Every,
    /// Loopback, of both families: `localhost`. It is never looked up, so nobody can have it point elsewhere.
    Localhost,
    /// One address.
    Address(SocketAddr),
    /// Another name, which is looked up at the start.
    Name(String),
    /// A Unix socket at this absolute path, which its owner alone may connect to: `unix:/run/nearside.sock`.
    Unix(PathBuf),
}

impl ListenAddress {
    /// What is listened on, apart from the port.
    pub fn host(&self) -> &ListenHost {
        &self.host
    }

    /// The port; 0 for one that is free, and for a Unix socket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// True when only this machine reaches it, whatever names mean.
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            ListenHost::Localhost | ListenHost::Unix(_) => true,
            ListenHost::Address(address) => address.ip().to_canonical().is_loopback(),
            ListenHost::Every | ListenHost::Name(_) => false,
        }
    }

    /// True if a client that connects to this endpoint reaches this listener, as far as that can be seen without a lookup.
    pub(super) fn is_reached_by(&self, endpoint: &Endpoint) -> bool {
        if self.port != endpoint.port {
            return false;
        }
        match &self.host {
            ListenHost::Every | ListenHost::Localhost => endpoint.is_loopback(),
            ListenHost::Address(own) if own.ip().is_unspecified() => endpoint.is_loopback(),
            ListenHost::Address(own) => {
                let there = endpoint.host.parse().ok().map(|ip: IpAddr| ip.to_canonical());
                let is_local_name = there.is_none() && endpoint.is_loopback();
                there == Some(own.ip().to_canonical()) || is_local_name && self.is_loopback()
            }
            ListenHost::Name(name) => name.eq_ignore_ascii_case(&endpoint.host),
            ListenHost::Unix(_) => false,
        }
    }

    /// True if one of two listeners could not listen because of the other.
    pub(super) fn collides_with(&self, other: &Self) -> bool {
        let is_every = |host: &ListenHost| match host {
            ListenHost::Every => true,
            ListenHost::Address(address) => address.ip().is_unspecified(),
            ListenHost::Localhost | ListenHost::Name(_) | ListenHost::Unix(_) => false,
        };
        let is_localhost = |host: &ListenHost| match host {
            ListenHost::Localhost => true,
            ListenHost::Address(address) => {
                [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)].contains(&address.ip())
            }
            ListenHost::Every | ListenHost::Name(_) | ListenHost::Unix(_) => false,
        };
        if let (ListenHost::Unix(own), ListenHost::Unix(other)) = (&self.host, &other.host) {
            return own == other;
        }
        let hosts = [&self.host, &other.host];
        let is_shared = self.host == other.host
            || hosts.iter().any(|host| is_every(host))
            || hosts.contains(&&ListenHost::Localhost) && hosts.iter().all(|host| is_localhost(host));
        self.port == other.port && self.port != 0 && is_shared
    }
}

impl From<SocketAddr> for ListenAddress {
    fn from(address: SocketAddr) -> Self {
        Self { host: ListenHost::Address(address), port: address.port() }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            ListenHost::Every => write!(formatter, ":{}", self.port),
            ListenHost::Localhost => write!(formatter, "localhost:{}", self.port),
            ListenHost::Address(address) => write!(formatter, "{address}"),
            ListenHost::Name(name) => write!(formatter, "{name}:{}", self.port),
            ListenHost::Unix(path) => write!(formatter, "{UNIX}{}", path.display()),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    /// # Errors
    /// Words that say how to write one.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not an address to listen on; write HOST:PORT, such as \"127.0.0.1:8000\", \"localhost:8000\", \
                 \"[::1]:8000\", \":8000\" for every interface, or \"unix:/run/nearside.sock\""
            )
        };
        if let Some(path) = text.strip_prefix(UNIX) {
            let host = ListenHost::Unix(PathBuf::from(path));
            let is_path = path.starts_with('/') && !path.ends_with('/') && !path.contains('\0');
            return if is_path { Ok(Self { host, port: 0 }) } else { Err(wrong()) };
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(address.into());
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = Some(port).filter(|_| is_number).and_then(|port| port.parse().ok()).ok_or_else(wrong)?;
        let host = match host.strip_suffix('.').unwrap_or(host) {
            "" | "*" => ListenHost::Every,
            name if is_localhost(name) => ListenHost::Localhost,
            name if is_name(name) => ListenHost::Name(name.to_owned()),
            _ => return Err(wrong()),
        };
        Ok(Self { host, port })
    }
}

fn is_localhost(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Whether this can be the name of a host. A name whose last part is a number would be an address that is written badly.
pub(super) fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let is_numeric = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    name.split('.').all(is_part) && !name.rsplit('.').next().is_some_and(is_numeric)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> ListenAddress {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for text in [
            "127.0.0.1:8000",
            "[::1]:0",
            "localhost:8000",
            ":8000",
            "nearside.internal:80",
            "a-b_c:1",
            "unix:/run/a:b.sock",
        ] {
            assert_eq!(address(text).to_string(), text);
        }
        assert_eq!(*address("*:8000").host(), ListenHost::Every);
        assert_eq!(*address("LocalHost.:8000").host(), ListenHost::Localhost);
        assert_eq!(*address("ddb.localhost:8000").host(), ListenHost::Localhost);
        for text in [
            "",
            "8000",
            "localhost",
            "localhost:",
            ":",
            "::1:8000",
            "127.1:8000",
            "256.0.0.1:1",
            "a:70000",
            "a:+1",
            "a b:1",
            "http://localhost:8000",
            "localhost:8000/",
            "a..b:1",
            "é:1",
            "unix:",
            "unix:nearside.sock",
            "unix:/run/",
        ] {
            let error = text.parse::<ListenAddress>().unwrap_err();
            assert!(error.contains("127.0.0.1:8000"), "{error}");
        }
    }

    #[test]
    fn only_localhost_and_its_addresses_are_loopback() {
        for text in
            ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "localhost:1", "unix:/a"]
        {
            assert!(address(text).is_loopback(), "{text}");
        }
        // A name may mean anything tomorrow.
        for text in [":1", "*:1", "0.0.0.0:1", "[::]:1", "10.0.0.1:1", "myhost:1", "localhost.example:1"] {
            assert!(!address(text).is_loopback(), "{text}");
        }
    }

    #[test]
    fn an_endpoint_reaches_the_listener_that_it_names() {
        let reaches = |endpoint: &str, listen: &str| {
            address(listen).is_reached_by(&endpoint.parse().unwrap_or_else(|error| panic!("{error}")))
        };
        for listen in ["127.0.0.1:8000", "localhost:8000", ":8000", "0.0.0.0:8000", "[::]:8000"] {
            assert!(reaches("http://127.0.0.1:8000", listen), "{listen}");
            assert!(reaches("http://localhost:8000", listen), "{listen}");
            assert!(!reaches("http://127.0.0.1:8001", listen), "{listen}");
            assert!(!reaches("http://10.0.0.1:8000", listen), "{listen}");
        }
        assert!(reaches("http://10.0.0.1:8000", "10.0.0.1:8000"));
        assert!(!reaches("http://127.0.0.1:8000", "10.0.0.1:8000"));
        assert!(!reaches("http://127.0.0.1:8000", "127.0.0.2:8000"));
        assert!(reaches("http://myhost:8000", "MyHost:8000"));
    }

    #[test]
    fn listeners_collide_on_one_port_of_one_host() {
        let collide = |one: &str, other: &str| address(one).collides_with(&address(other));
        for (one, other) in [
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("localhost:1", "[::1]:1"),
            ("127.0.0.1:1", "localhost:1"),
            (":1", "127.0.0.1:1"),
            ("10.0.0.1:1", "0.0.0.0:1"),
            ("unix:/a", "unix:/a"),
        ] {
            assert!(collide(one, other) && collide(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("127.0.0.1:1", "127.0.0.1:2"),
            ("127.0.0.1:0", "127.0.0.1:0"),
            ("127.0.0.1:1", "[::1]:1"),
            ("unix:/a", "unix:/b"),
            ("unix:/a", ":1"),
        ] {
            assert!(!collide(one, other) && !collide(other, one), "{one} {other}");
        }
    }
}
