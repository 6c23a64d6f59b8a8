//! What the environment says of the way to the upstream: proxies, and certificates of authorities besides the machine's own.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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
    /// Its debug output leaves passwords out.
    proxies: Option<Arc<Matcher>>,
    ca_bundle: Option<PathBuf>,
}

impl Network {
    /// Reads the variables; `variable` gives the value of one.
    ///
    /// # Errors
    /// A reason in words that names the variable, if its value is not the address of an HTTP proxy.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let filled = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let either = |name: &str| {
            let names = [name.to_owned(), name.to_ascii_lowercase()];
            names.into_iter().find_map(|name| filled(&name).map(|value| (name, value.trim().to_owned())))
        };
        let proxy = |name: &str| match either(name) {
            None => Ok(String::new()),
            Some((name, value)) => check(&name, value),
        };
        let (all, https, http) = (proxy("ALL_PROXY")?, proxy("HTTPS_PROXY")?, proxy("HTTP_PROXY")?);
        let is_direct = [&all, &https, &http].iter().all(|value| value.is_empty());
        let never = match either("NO_PROXY") {
            None => NEVER_PROXIED.to_owned(),
            Some((_, named)) => format!("{NEVER_PROXIED},{named}"),
        };
        let matcher = Matcher::builder().all(all).https(https).http(http).no(never);
        Ok(Self {
            proxies: (!is_direct).then(|| Arc::new(matcher.build())),
            ca_bundle: filled("AWS_CA_BUNDLE").map(PathBuf::from),
        })
    }

    /// The proxy on the way to a URL, if there is one.
    pub(super) fn proxy_to(&self, url: &Url) -> Option<Proxy> {
        let uri: Uri = url.as_str().parse().ok()?;
        Some(Proxy(self.proxies.as_ref()?.intercept(&uri)?))
    }

    /// A file of certificates that are trusted besides the machine's own.
    pub(super) fn ca_bundle(&self) -> Option<&Path> {
        self.ca_bundle.as_deref()
    }
}

/// The value, if it is the address of an HTTP proxy. The reason does not show it: there may be a password in it.
fn check(name: &str, value: String) -> Result<String, String> {
    let matcher = Matcher::builder().all(value.as_str()).build();
    let intercept = matcher.intercept(&Uri::from_static("http://upstream"));
    match intercept.as_ref().and_then(|intercept| intercept.uri().scheme_str()) {
        Some("http" | "https") => Ok(value),
        Some(scheme) => {
            Err(format!("{name} names a proxy of {scheme}, which is not supported; use http or https"))
        }
        None => Err(format!("{name} is not the address of a proxy; write it as http://HOST:PORT")),
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

    fn network(variables: &'static [(&str, &str)]) -> Result<Network, String> {
        Network::from_variables(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn proxy(variables: &'static [(&str, &str)], url: &str) -> Option<String> {
        network(variables).unwrap().proxy_to(&url.parse().unwrap()).map(|proxy| proxy.to_string())
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
        assert_eq!(proxy(&[("ALL_PROXY", "http://proxy:1"), ("no_proxy", "*")], "https://a.example"), None);
    }

    #[test]
    fn a_password_is_sent_to_the_proxy_and_shown_nowhere() {
        let variables = &[("HTTPS_PROXY", "http://me:hush@proxy:3128")];
        assert_eq!(proxy(variables, "https://a.example").unwrap(), "http://proxy:3128");
        let network = network(variables).unwrap();
        assert!(!format!("{network:?}").contains("hush"), "{network:?}");
        let found = network.proxy_to(&"https://a.example".parse().unwrap()).unwrap();
        assert_eq!(found.0.basic_auth().unwrap(), "Basic bWU6aHVzaA==");
    }

    #[test]
    fn what_is_no_http_proxy_is_an_error_that_names_the_variable_and_shows_no_password() {
        let reason = network(&[("https_proxy", "socks5://me:hush@proxy:1080")]).unwrap_err();
        assert!(reason.starts_with("https_proxy names a proxy of socks5"), "{reason}");
        let reason = network(&[("HTTP_PROXY", "http://me:hush@proxy :3128")]).unwrap_err();
        assert!(reason.starts_with("HTTP_PROXY is not the address") && !reason.contains("hush"), "{reason}");
    }
}
