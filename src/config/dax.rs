//! What `[dax]` says: where DAX clients connect, and where they are told to connect.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use super::address::{ListenAddress, is_name};

/// How DAX clients are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dax {
    /// Where they connect; `None` if they cannot without TLS.
    pub listen: Option<ListenAddress>,
    /// Where they connect with TLS; `None` if they cannot.
    pub tls_listen: Option<ListenAddress>,
    /// The addresses of this node as clients reach them, at most one of each family; without any, clients are told the local
    /// address of their connection.
    pub advertise: Vec<AdvertisedAddress>,
    /// The file of attribute lists; `None` for one beside the local backend's data, or in memory.
    pub state: Option<PathBuf>,
}

impl Dax {
    /// True if DAX clients can connect at all.
    pub fn is_on(&self) -> bool {
        self.listen.is_some() || self.tls_listen.is_some()
    }
}

/// An address that clients connect to: an IP address or a host name, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdvertisedAddress {
    host: AdvertisedHost,
    port: u16,
}

/// The host of an [`AdvertisedAddress`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdvertisedHost {
    /// An address, which is no IPv4 address in the form of IPv6.
    Address(IpAddr),
    /// A name, which this node looks up: clients are told addresses only.
    Name(String),
}

impl AdvertisedAddress {
    /// The host.
    pub fn host(&self) -> &AdvertisedHost {
        &self.host
    }

    /// The port; never 0.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// True if both are addresses of one family.
    pub(super) fn is_of_family_of(&self, other: &Self) -> bool {
        match (&self.host, &other.host) {
            (AdvertisedHost::Address(one), AdvertisedHost::Address(other)) => {
                one.is_ipv4() == other.is_ipv4()
            }
            (AdvertisedHost::Name(_), AdvertisedHost::Name(_)) => true,
            _ => false,
        }
    }
}

impl fmt::Display for AdvertisedAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            AdvertisedHost::Address(ip) => SocketAddr::new(*ip, self.port).fmt(formatter),
            AdvertisedHost::Name(name) => write!(formatter, "{name}:{}", self.port),
        }
    }
}

impl FromStr for AdvertisedAddress {
    type Err = String;

    /// # Errors
    /// Words that say how to write one.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not an address that clients can connect to; write IP:PORT or HOST:PORT, such as \
                 \"10.0.0.7:8111\", \"[2001:db8::7]:8111\" or \"nearside.internal:8111\""
            )
        };
        let (host, port) = match text.parse::<SocketAddr>() {
            Ok(address) => (AdvertisedHost::Address(address.ip().to_canonical()), address.port()),
            Err(_) => {
                let (name, port) = text.rsplit_once(':').ok_or_else(wrong)?;
                let name = name.strip_suffix('.').unwrap_or(name);
                let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|_| is_number && is_name(name)).ok_or_else(wrong)?;
                (AdvertisedHost::Name(name.to_owned()), port)
            }
        };
        let is_nowhere = matches!(&host, AdvertisedHost::Address(ip) if ip.is_unspecified());
        if port == 0 || is_nowhere { Err(wrong()) } else { Ok(Self { host, port }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertised_address_names_a_place_to_connect_to() {
        for text in ["127.0.0.1:18111", "[::1]:8111", "nearside.internal:8111", "node-1:1"] {
            let address: AdvertisedAddress = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(address.to_string(), text);
        }
        let mapped: AdvertisedAddress = "[::ffff:10.0.0.7]:8111".parse().unwrap();
        assert_eq!(mapped.to_string(), "10.0.0.7:8111");
        for text in
            ["", ":8111", "0.0.0.0:8111", "[::]:8111", "10.0.0.7", "10.0.0.7:0", "a:0", "a:+1", "dax://a:1"]
        {
            let error = text.parse::<AdvertisedAddress>().unwrap_err();
            assert!(error.contains("write IP:PORT or HOST:PORT"), "{error}");
        }
    }

    #[test]
    fn addresses_of_one_family_are_known_as_such() {
        let is_same = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|text| text.parse::<AdvertisedAddress>().unwrap());
            one.is_of_family_of(&other)
        };
        assert!(
            is_same("10.0.0.7:1", "10.0.0.8:1") && is_same("[::1]:1", "[::2]:2") && is_same("a:1", "b:1")
        );
        assert!(!is_same("10.0.0.7:1", "[::1]:1") && !is_same("a:1", "10.0.0.7:1"));
    }
}
