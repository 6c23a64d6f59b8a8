//! Which requests a listener takes, by the hosts and the origins that they name.
//!
//! Callers are not verified, so what keeps web pages out is this alone. A browser sends every page's requests to any
//! address, loopback included. It says in `Origin` which page asks; and a page whose own name was made to point here (DNS
//! rebinding) cannot help naming that name in `Host`. SDKs send no `Origin`, and the host that they were given.

use std::net::IpAddr;

use http::request::Parts;
use http::{HeaderValue, Version, header};

use crate::config::{HostPattern, OriginPattern};

/// Which hosts and origins a listener serves.
#[derive(Clone, Debug)]
pub struct Access {
    hosts: Hosts,
    origins: Origins,
}

/// The hosts that requests may name.
#[derive(Clone, Debug)]
pub enum Hosts {
    /// Any.
    Any,
    /// `localhost`, addresses of those kinds, and the names listed.
    Listed(Addresses, Vec<HostPattern>),
}

/// The addresses that may stand in the place of a host's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// Those of loopback.
    Loopback,
    /// All: nobody can have an address point elsewhere.
    All,
}

/// The origins whose pages may ask.
#[derive(Clone, Debug)]
pub enum Origins {
    /// The one that the listener itself is.
    Own,
    /// These.
    Listed(Vec<OriginPattern>),
    /// These, and all that are on loopback.
    ListedAndLoopback(Vec<OriginPattern>),
}

/// Who sent a request that is admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// A program: it named no origin.
    Program,
    /// A page of an origin that may ask: what `Access-Control-Allow-Origin` says to it.
    Page(HeaderValue),
}

/// Why a request is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Not one `Host`.
    #[error("A request must have exactly one Host header")]
    HostCount,
    /// A host that is not served here.
    #[error(
        "Requests that name the host {0:?} are rejected, because a web page could have sent them. \
         If it is a name of this node, list it in hosts of [server] in the config"
    )]
    Host(String),
    /// An origin whose pages may not ask.
    #[error(
        "Requests of web pages of the origin {0:?} are rejected. List it in cors_origins of [server] in the config to allow them"
    )]
    Origin(String),
    /// An origin other than the listener itself, where there is no choice.
    #[error("Requests of web pages of the origin {0:?} are rejected here")]
    OtherOrigin(String),
}

/// More of a name than this is not repeated.
const SHOWN_CHARACTERS: usize = 256;

impl Default for Access {
    /// What is right on loopback in front of anybody's data.
    fn default() -> Self {
        Self::new(Hosts::Listed(Addresses::Loopback, Vec::new()), Origins::Listed(Vec::new()))
    }
}

impl Hosts {
    /// What a listener on these addresses serves: on loopback, only itself and what is listed. Elsewhere nobody knows what
    /// names there are, so everything counts unless names are listed.
    pub fn of_listener(addresses: &[IpAddr], listed: &[HostPattern]) -> Self {
        let is_on_loopback = addresses.iter().all(|address| address.to_canonical().is_loopback());
        match (is_on_loopback, listed) {
            (true, listed) => Self::Listed(Addresses::Loopback, listed.to_vec()),
            (false, []) => Self::Any,
            (false, listed) => Self::Listed(Addresses::All, listed.to_vec()),
        }
    }

    /// The same with one more name, where names matter.
    #[must_use]
    pub fn with(mut self, name: HostPattern) -> Self {
        if let Self::Listed(_, names) = &mut self {
            names.push(name);
        }
        self
    }

    fn admit(&self, value: &str) -> bool {
        let Self::Listed(addresses, names) = self else { return true };
        let Some(host) = host_of(value) else { return false };
        let is_address = |address: IpAddr| match addresses {
            Addresses::Loopback => address.to_canonical().is_loopback(),
            Addresses::All => true,
        };
        host.eq_ignore_ascii_case("localhost")
            || host.parse().is_ok_and(is_address)
            || names.iter().any(|name| name.matches(host))
    }
}

impl Access {
    /// A listener that serves those hosts and pages of those origins.
    pub fn new(hosts: Hosts, origins: Origins) -> Self {
        Self { hosts, origins }
    }

    /// Whether a program's request that names this host alone, in its only `Host`, is admitted.
    pub fn admits_program_of(&self, host: &str) -> bool {
        self.hosts.admit(host)
    }

    /// Decides about a request.
    ///
    /// # Errors
    /// Why it is rejected.
    pub fn admit(&self, head: &Parts) -> Result<Admitted, Rejection> {
        let host = self.admit_host(head)?;
        let mut origins = head.headers.get_all(header::ORIGIN).iter();
        match (origins.next(), origins.next()) {
            (None, _) => Ok(Admitted::Program),
            (Some(origin), None) => self.admit_origin(origin, host),
            (Some(_), Some(second)) => Err(self.rejection(second)),
        }
    }

    /// Checks what host the request names, in its target or its header, and gives what the header says.
    fn admit_host<'a>(&self, head: &'a Parts) -> Result<Option<&'a HeaderValue>, Rejection> {
        let mut hosts = head.headers.get_all(header::HOST).iter();
        let (first, second) = (hosts.next(), hosts.next());
        if second.is_some() {
            return Err(Rejection::HostCount);
        }
        let Some(host) = first else {
            // The oldest of probes know no hosts, and no browser is among them.
            return if head.version < Version::HTTP_11 { Ok(None) } else { Err(Rejection::HostCount) };
        };
        if !host.to_str().is_ok_and(|host| self.hosts.admit(host)) {
            return Err(Rejection::Host(shown(host)));
        }
        match head.uri.authority() {
            Some(target) if !self.hosts.admit(target.as_str()) => {
                Err(Rejection::Host(target.as_str().chars().take(SHOWN_CHARACTERS).collect()))
            }
            _ => Ok(Some(host)),
        }
    }

    fn admit_origin(&self, value: &HeaderValue, host: Option<&HeaderValue>) -> Result<Admitted, Rejection> {
        let origin = value.to_str().map_err(|_| self.rejection(value))?;
        let is_admitted = match &self.origins {
            Origins::Own => host.is_some_and(|host| is_own(origin, host)),
            Origins::Listed(listed) => listed.iter().any(|listed| listed.matches(origin)),
            Origins::ListedAndLoopback(listed) => {
                is_on_loopback(origin) || listed.iter().any(|listed| listed.matches(origin))
            }
        };
        if !is_admitted {
            return Err(self.rejection(value));
        }
        let is_open = match &self.origins {
            Origins::Own => false,
            Origins::Listed(listed) | Origins::ListedAndLoopback(listed) => {
                listed.iter().any(OriginPattern::is_any)
            }
        };
        Ok(Admitted::Page(if is_open { HeaderValue::from_static("*") } else { value.clone() }))
    }

    fn rejection(&self, origin: &HeaderValue) -> Rejection {
        match self.origins {
            Origins::Own => Rejection::OtherOrigin(shown(origin)),
            Origins::Listed(_) | Origins::ListedAndLoopback(_) => Rejection::Origin(shown(origin)),
        }
    }
}

/// The host of `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`, without brackets and the dot of a whole name.
fn host_of(value: &str) -> Option<&str> {
    let (host, port) = match value.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            (host, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some(""))?)
        }
        None => value.split_once(':').unwrap_or((value, "")),
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    (!host.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(host)
}

/// Whether an origin is what a request's host says.
fn is_own(origin: &str, host: &HeaderValue) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| authority.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
}

/// Whether a page comes from the user's own machine. No page from elsewhere can say so: browsers write origins, and names
/// below `localhost` are given to nobody.
fn is_on_loopback(origin: &str) -> bool {
    let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    let Some(host) = authority.and_then(host_of) else { return false };
    let is_below = host.len().checked_sub(".localhost".len()).and_then(|start| host.get(start..));
    host.eq_ignore_ascii_case("localhost")
        || is_below.is_some_and(|end| end.eq_ignore_ascii_case(".localhost"))
        || host.parse().is_ok_and(|address: IpAddr| address.to_canonical().is_loopback())
}

fn shown(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).chars().take(SHOWN_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &[IpAddr] = &[IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)];
    const EVERYWHERE: &[IpAddr] = &[IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)];

    fn admit(access: &Access, headers: &[(&str, &str)]) -> Result<Admitted, Rejection> {
        let mut request = http::Request::post("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        access.admit(&request.body(()).unwrap().into_parts().0)
    }

    fn admits_host(hosts: &Hosts, host: &str) -> bool {
        let access = Access::new(hosts.clone(), Origins::Listed(Vec::new()));
        match admit(&access, &[("host", host)]) {
            Ok(Admitted::Program) => true,
            Err(Rejection::Host(named)) if named == host => false,
            other => panic!("{host}: {other:?}"),
        }
    }

    fn hosts(addresses: &[IpAddr], listed: &[&str]) -> Hosts {
        let listed: Vec<_> = listed.iter().map(|host| host.parse().unwrap()).collect();
        Hosts::of_listener(addresses, &listed)
    }

    #[test]
    fn on_loopback_only_names_of_loopback_and_listed_ones_are_served() {
        let hosts = hosts(LOOPBACK, &["host.docker.internal", "*.ddb.example"]);
        for host in [
            "localhost",
            "LocalHost:8000",
            "localhost.",
            "127.0.0.1:8000",
            "127.0.0.2",
            "[::1]",
            "[::1]:80",
            "[::ffff:127.0.0.1]:1",
            "host.docker.internal:8000",
            "123456789012.ddb.example",
        ] {
            assert!(admits_host(&hosts, host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "evil.example:8000",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.7",
            "0.0.0.0",
            "[::]",
            "[::1",
            "[::1]x",
            "localhost:8000:1",
            "localhost:x",
            "user@localhost",
            "ddb.example",
            "127.1",
            "2130706433",
        ] {
            assert!(!admits_host(&hosts, host), "{host}");
        }
    }

    #[test]
    fn one_more_name_never_closes_what_was_open() {
        let name = || "devbox".parse().unwrap();
        let on_loopback = hosts(LOOPBACK, &[]);
        assert!(!admits_host(&on_loopback, "devbox:8000"));
        assert!(admits_host(&on_loopback.with(name()), "devbox:8000"));
        assert!(admits_host(&hosts(EVERYWHERE, &[]).with(name()), "another"));
    }

    #[test]
    fn off_loopback_every_host_is_served_until_names_are_listed() {
        assert!(admits_host(&hosts(EVERYWHERE, &[]), "nearside.svc.cluster.local"));
        let listed = hosts(EVERYWHERE, &["nearside.svc"]);
        for host in ["nearside.svc:8000", "10.1.2.3:8000", "[fd00::7]:8000", "localhost:8000"] {
            assert!(admits_host(&listed, host), "{host}");
        }
        assert!(!admits_host(&listed, "evil.example"));
        let both = [LOOPBACK[0], EVERYWHERE[0]];
        assert!(
            admits_host(&hosts(&both, &[]), "anything"),
            "one of its addresses is reached from elsewhere"
        );
    }

    #[test]
    fn a_request_names_one_host() {
        for access in [Access::default(), Access::new(Hosts::Any, Origins::Own)] {
            assert_eq!(admit(&access, &[]), Err(Rejection::HostCount));
            let twice = [("host", "localhost"), ("host", "localhost")];
            assert_eq!(admit(&access, &twice), Err(Rejection::HostCount));
            let old = http::Request::get("/").version(Version::HTTP_10).body(()).unwrap().into_parts().0;
            assert_eq!(access.admit(&old), Ok(Admitted::Program));
        }
    }

    #[test]
    fn the_host_of_a_whole_target_counts_too() {
        let head = |target| {
            let request = http::Request::post(target).header("host", "localhost");
            request.body(()).unwrap().into_parts().0
        };
        let access = Access::default();
        assert_eq!(access.admit(&head("http://localhost:8000/")), Ok(Admitted::Program));
        assert_eq!(access.admit(&head("http://evil.example/")), Err(Rejection::Host("evil.example".into())));
    }

    fn admits_origin(origins: &Origins, origin: &str) -> Option<String> {
        let access = Access::new(Hosts::Any, origins.clone());
        match admit(&access, &[("host", "127.0.0.1:8000"), ("origin", origin)]) {
            Ok(Admitted::Page(allowed)) => Some(allowed.to_str().unwrap().to_owned()),
            Err(Rejection::Origin(_) | Rejection::OtherOrigin(_)) => None,
            other => panic!("{origin}: {other:?}"),
        }
    }

    #[test]
    fn pages_from_loopback_are_no_strangers_to_the_local_backend() {
        let origins = Origins::ListedAndLoopback(vec!["https://app.example".parse().unwrap()]);
        for origin in [
            "http://localhost:3000",
            "https://localhost",
            "http://127.0.0.1:5173",
            "http://[::1]:8080",
            "http://app.localhost:3000",
            "https://app.example",
        ] {
            assert_eq!(admits_origin(&origins, origin).as_deref(), Some(origin));
        }
        for origin in [
            "null",
            "",
            "https://evil.example",
            "http://localhost.evil.example",
            "http://evillocalhost",
            "http://127.0.0.1.a",
            "http://10.0.0.7:3000",
            "localhost:3000",
            "file://",
            "ftp://localhost",
            "http://app.example",
            "http://localhost:3000/x",
        ] {
            assert_eq!(admits_origin(&origins, origin), None, "{origin}");
        }
    }

    #[test]
    fn in_front_of_a_remote_upstream_only_listed_origins_are_admitted() {
        let origins = Origins::Listed(vec!["https://app.example".parse().unwrap()]);
        assert_eq!(admits_origin(&origins, "https://app.example").as_deref(), Some("https://app.example"));
        for origin in ["http://localhost:3000", "http://127.0.0.1:8000", "null", "https://app.example:8443"] {
            assert_eq!(admits_origin(&origins, origin), None, "{origin}");
        }
        let everyone = Origins::Listed(vec!["*".parse().unwrap()]);
        assert_eq!(admits_origin(&everyone, "null").as_deref(), Some("*"));
    }

    #[test]
    fn a_listener_may_admit_its_own_pages_alone() {
        let own = "http://127.0.0.1:8000";
        assert_eq!(admits_origin(&Origins::Own, own).as_deref(), Some(own));
        for origin in ["http://127.0.0.1:3000", "http://localhost:8000", "null"] {
            assert_eq!(admits_origin(&Origins::Own, origin), None, "{origin}");
        }
    }

    #[test]
    fn two_origins_are_those_of_a_stranger() {
        let access = Access::new(Hosts::Any, Origins::ListedAndLoopback(Vec::new()));
        let twice = [("host", "a"), ("origin", "http://localhost"), ("origin", "http://localhost")];
        assert!(matches!(admit(&access, &twice), Err(Rejection::Origin(_))));
    }
}
