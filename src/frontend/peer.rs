//! The other end of a connection, as far as the connection itself shows.

use std::net::SocketAddr;

use crate::tls::Certificate;

/// The client of a connection, before it has said anything in HTTP.
#[derive(Debug)]
pub(super) struct Peer {
    /// True if the connection is encrypted.
    pub(super) is_over_tls: bool,
    /// Its certificate, which the authority for clients has signed.
    pub(super) certificate: Option<Certificate>,
    /// Where it is, if it comes over TCP.
    pub(super) address: Option<SocketAddr>,
}

impl Peer {
    /// The client of a connection that is not encrypted.
    pub(super) fn plain(address: Option<SocketAddr>) -> Self {
        Self { is_over_tls: false, certificate: None, address }
    }

    /// The client of an encrypted connection.
    pub(super) fn over_tls(address: Option<SocketAddr>, certificate: Option<Certificate>) -> Self {
        Self { is_over_tls: true, certificate, address }
    }
}
