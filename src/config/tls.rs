//! The files of `[server.tls]`, and the names in client certificates that stand for principals.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The files of the TLS listener, which are read again with the config. With a TLS listener, `cert` and `key` are there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// The node's certificate, and behind it those of the authorities between it and a root. PEM.
    pub cert: Option<PathBuf>,
    /// The private key of the first certificate. PEM, not encrypted.
    pub key: Option<PathBuf>,
    /// The authorities that sign the certificates of clients; without it, clients are not asked for one. PEM.
    pub client_ca: Option<PathBuf>,
}

impl TlsFiles {
    /// Every file.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.cert, &self.key, &self.client_ca].into_iter().flatten().map(PathBuf::as_path)
    }
}

/// A name in a certificate. Names are compared byte for byte, and those of DNS in any case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CertificateName {
    /// A URI among the alternative names: `spiffe://example/shop`.
    Uri(String),
    /// A DNS name among the alternative names, in small letters: `DNS:shop.internal`.
    Dns(String),
    /// The common name of the subject, if it has exactly one: `CN=shop`.
    CommonName(String),
}

impl fmt::Display for CertificateName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(uri) => write!(formatter, "URI:{uri}"),
            Self::Dns(name) => write!(formatter, "DNS:{name}"),
            Self::CommonName(name) => write!(formatter, "CN={name}"),
        }
    }
}

impl FromStr for CertificateName {
    type Err = String;

    /// Reads a name as OpenSSL prints it. A URI may do without `URI:`.
    ///
    /// # Errors
    /// Words that say how to write one.
    fn from_str(text: &str) -> Result<Self, String> {
        let name = match (text.strip_prefix("CN="), text.strip_prefix("DNS:"), text.strip_prefix("URI:")) {
            (Some(name), ..) => Self::CommonName(name.to_owned()),
            (_, Some(name), _) => Self::Dns(name.to_ascii_lowercase()),
            (.., Some(uri)) => Self::Uri(uri.to_owned()),
            _ if text.contains("://") => Self::Uri(text.to_owned()),
            _ => Self::CommonName(String::new()),
        };
        let (Self::Uri(value) | Self::Dns(value) | Self::CommonName(value)) = &name;
        // Names are compared as they are, so a pattern would match nothing.
        if value.is_empty() || value.contains('*') || value.contains(char::is_control) {
            return Err(format!(
                "{text:?} is not a name of a certificate; write \"spiffe://example/shop\" or another URI, \"DNS:shop.internal\", or \
                 \"CN=shop\", without wildcards"
            ));
        }
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_of_what_kind_it_is() {
        for (text, printed) in [
            ("spiffe://example/shop", "URI:spiffe://example/shop"),
            ("URI:urn:shop", "URI:urn:shop"),
            ("DNS:Shop.Internal", "DNS:shop.internal"),
            ("CN=Shop 1", "CN=Shop 1"),
            ("CN=spiffe://example/shop", "CN=spiffe://example/shop"),
        ] {
            let name: CertificateName = text.parse().unwrap();
            assert_eq!(name.to_string(), printed);
            assert_eq!(printed.parse::<CertificateName>().unwrap(), name);
        }
        for text in ["", "shop", "CN=", "DNS:", "URI:", "DNS:*.internal", "spiffe://example/*", "CN=a\0b"] {
            let error = text.parse::<CertificateName>().unwrap_err();
            assert!(error.contains("\"CN=shop\""), "{error}");
        }
    }
}
