//! The keys of `[server.tls]`.

use super::super::key::Key;
use super::{path, put, quoted};

pub(super) const TLS: &[Key] = &[
    Key::fixed(
        "listen",
        |draft, given| put(&mut draft.tls_listen, given.parsed().map(Some)),
        |fixed| fixed.tls_listen.as_ref().and_then(quoted),
    )
    .with_flag(
        "tls-listen",
        "ADDRESS",
        "Where DynamoDB clients connect with TLS [default: 127.0.0.1:8443 if there is a certificate]",
    ),
    Key::live(
        "cert",
        |live, given| put(&mut live.tls.cert, given.path().map(Some)),
        |live| live.tls.cert.as_deref().and_then(path),
    )
    .with_flag("tls-cert", "FILE", "The certificate for TLS, with those between it and its root (PEM)"),
    Key::live(
        "key",
        |live, given| put(&mut live.tls.key, given.path().map(Some)),
        |live| live.tls.key.as_deref().and_then(path),
    )
    .with_flag("tls-key", "FILE", "Its private key (PEM)"),
    Key::live(
        "client_ca",
        |live, given| put(&mut live.tls.client_ca, given.path().map(Some)),
        |live| live.tls.client_ca.as_deref().and_then(path),
    )
    .with_flag("tls-client-ca", "FILE", "The authorities that sign the certificates of clients (PEM)"),
];
