//! What the environment says of the way to the upstream: proxies, and certificates of authorities besides the machine's own.

use std::fmt;
use std::path::{Path, PathBuf};

use http::Uri;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use reqwest::Url;

/// Hosts that are never reached through a proxy: this machine, and the link-local addresses of instance metadata and container
/// credentials.
const NEVER_PROXIED: &str = "localhost,127.0.0.0/8,::1,169.254.0.0/16,fe80::/10,fd00:ec2::/32";

/// The way to the upstream as the environment names it: `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY`, each in small
/// letters too, and `AWS_CA_BUNDLE`. By default it is the direct way, with the machine's own certificates.
#[derive(Clone, Debug, Default)]
pub struct Network {
    https: Option<Named>,
    http: Option<Named>,
    /// Hosts that are reached directly.
    direct: String,
    ca_bundle: Option<PathBuf>,
}

/// The value of a variable for a proxy. There may be a password in it, so its debug output is the variable's name.
#[derive(Clone)]
struct Named {
    variable: String,
    value: String,
}

impl fmt::Debug for Named {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.variable)
    }
}

impl Network {
    /// Reads the variables; `variable` gives the value of one.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Self {
        let filled = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let either = |name: &str| {
            [name.to_owned(), name.to_ascii_lowercase()].into_iter().find_map(|variable| {
                filled(&variable).map(|value| Named { value: value.trim().to_owned(), variable })
            })
        };
        let never = either("NO_PROXY").map_or_else(String::new, |named| named.value);
        Self {
            https: either("HTTPS_PROXY").or_else(|| either("ALL_PROXY")),
            http: either("HTTP_PROXY").or_else(|| either("ALL_PROXY")),
            direct: format!("{NEVER_PROXIED},{never}"),
            ca_bundle: filled("AWS_CA_BUNDLE").map(PathBuf::from),
        }
    }

    /// The proxy on the way to a URL, if there is one.
    ///
    /// # Errors
    /// A reason in words that names the variable, if its value is not the address of an HTTP proxy. A proxy for other tools
    /// only, SOCKS say, is no error while no upstream would be reached through it.
    pub(super) fn proxy_to(&self, url: &Url) -> Result<Option<Proxy>, String> {
        let Ok(uri) = url.as_str().parse() else { return Ok(None) };
        let named = if url.scheme() == "https" { &self.https } else { &self.http };
        let Some(named) = named else { return Ok(None) };
        let Some(direct) = self.direct_hosts(url) else { return Ok(None) };
        let any = Matcher::builder().all("http://proxy").no(direct.as_str()).build();
        if any.intercept(&uri).is_none() {
            return Ok(None);
        }
        named.proxy().map(Some)
    }

    /// The hosts that are reached directly, for a matcher that knows neither `*` beside addresses nor ports: an entry with the port
    /// of this URL stands without it, one with another port is left out. `None` if every host is reached directly.
    fn direct_hosts(&self, url: &Url) -> Option<String> {
        let mut hosts = Vec::new();
        for entry in self.direct.split(',').map(str::trim) {
            if entry == "*" {
                return None;
            }
            let with_port =
                entry.rsplit_once(':').filter(|(host, _)| !host.contains(':') || host.ends_with(']'));
            match with_port.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?))) {
                Some((host, port)) if url.port_or_known_default() == Some(port) => {
                    hosts.push(host.trim_matches(['[', ']']))
                }
                Some(_) => {}
                None => hosts.push(entry.trim_matches(['[', ']'])),
            }
        }
        Some(hosts.join(","))
    }

    /// A file of certificates that are trusted besides the machine's own.
    pub(super) fn ca_bundle(&self) -> Option<&Path> {
        self.ca_bundle.as_deref()
    }
}

impl Named {
    /// The proxy of that address. The reason against it does not show the value.
    fn proxy(&self) -> Result<Proxy, String> {
        let variable = &self.variable;
        let matcher = Matcher::builder().all(self.value.as_str()).build();
        let Some(intercept) = matcher.intercept(&Uri::from_static("http://upstream")) else {
            return Err(format!("{variable} is not the address of a proxy; write it as http://HOST:PORT"));
        };
        match intercept.uri().scheme_str() {
            Some("http" | "https") => Ok(Proxy(intercept)),
            scheme => Err(format!(
                "{variable} names a proxy of {}, which is not supported; use http or https",
                scheme.unwrap_or("no scheme")
            )),
        }
    }
}

/// A proxy on the way to an endpoint. Its display leaves user and password out.
pub(super) struct Proxy(Intercept);

impl Proxy {
    /// True if the connection to the proxy itself is encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.0.uri().scheme_str() == Some("https")
    }

    /// The same for reqwest, for all requests of a client.
    pub(super) fn for_client(&self) -> Result<reqwest::Proxy, String> {
        let proxy = reqwest::Proxy::all(self.0.uri().to_string())
            .map_err(|error| format!("{self} is not the address of a proxy: {}", super::words(&error)))?;
        Ok(match self.0.basic_auth() {
            Some(header) => proxy.custom_http_auth(header.clone()),
            None => proxy,
        })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.uri().to_string().trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(variables: &'static [(&str, &str)]) -> Network {
        Network::from_variables(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn proxy(variables: &'static [(&str, &str)], url: &str) -> Option<String> {
        let found = network(variables).proxy_to(&url.parse().unwrap());
        found.unwrap().map(|proxy| proxy.to_string())
    }

    #[test]
    fn the_scheme_of_the_upstream_chooses_the_proxy() {
        let both = &[("HTTPS_PROXY", "http://secure:3128"), ("http_proxy", "plain:8080")];
        assert_eq!(proxy(both, "https://dynamodb.us-east-1.amazonaws.com").unwrap(), "http://secure:3128");
        assert_eq!(proxy(both, "http://alternator:8000").unwrap(), "http://plain:8080");
        let all = &[("ALL_PROXY", "http://any:1"), ("HTTP_PROXY", ""), ("HTTPS_PROXY", "http://secure:3128")];
        assert_eq!(proxy(all, "http://alternator:8000").unwrap(), "http://any:1");
        assert_eq!(proxy(all, "https://alternator:8000").unwrap(), "http://secure:3128");
        assert_eq!(proxy(&[], "https://alternator:8000"), None);
    }

    #[test]
    fn hosts_of_no_proxy_and_of_this_machine_are_reached_directly() {
        let variables = &[
            ("HTTP_PROXY", "http://proxy:3128"),
            ("HTTPS_PROXY", "http://proxy:3128"),
            ("NO_PROXY", "corp.example, 10.0.0.0/8"),
        ];
        for direct in [
            "http://localhost:8000",
            "http://127.0.0.1:8000",
            "http://127.8.8.8:8000",
            "http://[::1]:8000",
            "http://169.254.169.254",
            "http://[fd00:ec2::254]",
            "https://dynamodb.corp.example",
            "https://10.1.2.3:8000",
        ] {
            assert_eq!(proxy(variables, direct), None, "{direct}");
        }
        for proxied in
            ["https://dynamodb.us-east-1.amazonaws.com", "http://11.1.2.3:8000", "http://notcorp.example"]
        {
            assert_eq!(proxy(variables, proxied).as_deref(), Some("http://proxy:3128"), "{proxied}");
        }
        for host in ["https://a.example", "https://192.0.2.2:8860", "https://[2001:db8::1]:8860"] {
            assert_eq!(proxy(&[("ALL_PROXY", "http://proxy:1"), ("no_proxy", "*")], host), None);
            let ports = &[
                ("ALL_PROXY", "http://proxy:1"),
                ("NO_PROXY", "a.example:443, 192.0.2.2:8860,[2001:db8::1]:8860"),
            ];
            assert_eq!(proxy(ports, host), None, "{host}");
        }
        let other_port = &[("ALL_PROXY", "http://proxy:1"), ("NO_PROXY", "192.0.2.2:443,a.example:8000")];
        for proxied in ["https://192.0.2.2:8860", "https://a.example"] {
            assert!(proxy(other_port, proxied).is_some(), "{proxied}");
        }
    }

    #[test]
    fn a_password_is_sent_to_the_proxy_and_shown_nowhere() {
        let variables = &[("HTTPS_PROXY", "http://me:hush@proxy:3128")];
        assert_eq!(proxy(variables, "https://a.example").unwrap(), "http://proxy:3128");
        let network = network(variables);
        assert!(!format!("{network:?}").contains("hush"), "{network:?}");
        let found = network.proxy_to(&"https://a.example".parse().unwrap()).unwrap().unwrap();
        assert_eq!(found.0.basic_auth().unwrap(), "Basic bWU6aHVzaA==");
    }

    #[test]
    fn what_is_no_http_proxy_is_an_error_that_names_the_variable_and_shows_no_password() {
        let reason = |variables, url: &str| network(variables).proxy_to(&url.parse().unwrap()).err();
        let socks = &[("all_proxy", "socks5://me:hush@proxy:1080")];
        let said = reason(socks, "http://a.example").unwrap();
        assert!(said.starts_with("all_proxy names a proxy of socks5") && !said.contains("hush"), "{said}");
        let said = reason(&[("HTTP_PROXY", "http://me:hush@proxy :3128")], "http://a.example").unwrap();
        assert!(said.starts_with("HTTP_PROXY is not the address") && !said.contains("hush"), "{said}");
        // It is not on the way there.
        assert_eq!(reason(socks, "http://localhost:8000"), None);
        assert_eq!(reason(&[("HTTPS_PROXY", "socks5://proxy:1080")], "http://a.example"), None);
    }
}
