//! Certificates that can be used and that cannot, and handshakes over a pipe.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion, version};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio_rustls::TlsConnector;

use super::*;
use crate::config::TlsFiles;

const BOTH: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(name)
}

fn files(cert: &str, key: &str) -> TlsFiles {
    TlsFiles { cert: Some(file(cert)), key: Some(file(key)), client_ca: None }
}

fn now() -> Timestamp {
    SystemTime::now().into()
}

fn load(files: &TlsFiles) -> Result<LoadedTls, TlsFault> {
    LoadedTls::read(files, ClientCertificates::Optional, now(), None).map(Option::unwrap)
}

/// A client that trusts the test authority, and what it offers.
fn client(
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&[u8]],
    own: Option<&str>,
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(file("authority.pem")).unwrap()).unwrap();
    let builder =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
    let mut config = match own {
        None => builder.with_no_client_auth(),
        Some(name) => {
            let chain = vec![CertificateDer::from_pem_file(file(&format!("{name}.pem"))).unwrap()];
            let key = PrivateKeyDer::from_pem_file(file(&format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Arc::new(config)
}

/// What both sides make of a handshake and four bytes.
struct Outcome {
    server: io::Result<Option<Certificate>>,
    /// The kind of the handshake, and the protocol of ALPN.
    client: io::Result<(HandshakeKind, Option<Vec<u8>>)>,
}

async fn shake(server: &TlsServer, client: Arc<ClientConfig>) -> Outcome {
    let (here, there) = duplex(16 * 1024);
    let serving = async {
        let (mut stream, certificate) = server.accept(here).await?;
        stream.write_all(b"done").await?;
        stream.shutdown().await?;
        Ok(certificate)
    };
    let asking = async {
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = TlsConnector::from(client).connect(name, there).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        assert_eq!(answer, b"done");
        let connection = &stream.get_ref().1;
        Ok((connection.handshake_kind().unwrap(), connection.alpn_protocol().map(<[u8]>::to_vec)))
    };
    let (server, client) = tokio::join!(serving, asking);
    Outcome { server, client }
}

#[test]
fn a_file_that_cannot_be_used_is_one_line_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty");
    std::fs::write(&empty, "\n").unwrap();
    let none = directory.path().join("none");
    let broken = directory.path().join("broken");
    std::fs::write(&broken, "-----BEGIN CERTIFICATE-----\nMIIB").unwrap();
    let good = files("server.pem", "server.key");
    let with_cert = |cert: &Path| TlsFiles { cert: Some(cert.to_owned()), ..good.clone() };
    let with_key = |key: &Path| TlsFiles { key: Some(key.to_owned()), ..good.clone() };
    let with_authority =
        |client_ca: &Path| TlsFiles { client_ca: Some(client_ca.to_owned()), ..good.clone() };
    for (files, key, words) in [
        (with_cert(&none), "cert", "No such file"),
        (with_cert(&empty), "cert", "the file is empty"),
        (with_cert(&broken), "cert", "the file is not PEM"),
        (with_cert(&file("server.key")), "cert", "no certificate in PEM form"),
        (with_cert(directory.path()), "cert", "not a regular file"),
        (files("expired.pem", "expired.key"), "cert", "has expired at 2021-01-01T00:00:00Z"),
        (files("early.pem", "early.key"), "cert", "not valid before 2125-01-01T00:00:00Z"),
        (with_key(&none), "key", "No such file"),
        (with_key(&empty), "key", "the file is empty"),
        (with_key(&file("server.pem")), "key", "no private key in PEM form"),
        (with_key(&file("encrypted.key")), "key", "the key is encrypted"),
        (with_key(&file("renewed.key")), "key", "is not the key of the first certificate in"),
        (with_authority(&none), "client_ca", "No such file"),
        (with_authority(&file("server.key")), "client_ca", "no certificate in PEM form"),
    ] {
        let fault = load(&files).unwrap_err();
        assert_eq!(fault.key, key, "{fault:?}");
        assert!(fault.message.contains(words) && fault.message.lines().count() == 1, "{fault:?}");
    }
    assert!(
        LoadedTls::read(&TlsFiles::default(), ClientCertificates::Required, now(), None).unwrap().is_none()
    );
}

#[test]
fn a_certificate_that_ends_soon_is_a_warning_and_one_in_force_may_have_ended() {
    let files = files("server.pem", "server.key");
    let day = Duration::from_secs(24 * 60 * 60);
    let end = load(&files).unwrap().certificate.not_after;
    let at = |now, in_force: Option<&LoadedTls>| {
        LoadedTls::read(&files, ClientCertificates::Optional, now, in_force).map(Option::unwrap)
    };
    let of_expiry = |loaded: &LoadedTls| {
        let warning = loaded.warnings.iter().find(|warning| warning.contains("expire"));
        warning.cloned().unwrap_or_default()
    };
    assert_eq!(of_expiry(&at(end.minus(31 * day), None).unwrap()), "");
    let soon = at(end.minus(29 * day), None).unwrap();
    assert!(of_expiry(&soon).contains("the certificate expires at 2126-01-01T00:00:00Z; replace it"));
    assert!(at(end, None).is_ok(), "the last second counts");
    let late = end.plus(Duration::from_secs(1));
    assert!(at(late, None).unwrap_err().message.contains("has expired"));
    let kept = at(late, Some(&soon)).unwrap();
    assert!(of_expiry(&kept).contains("has expired at"), "{kept:?}");
    assert!(Arc::ptr_eq(&kept.config, &soon.config), "sessions go on");
}

#[tokio::test]
async fn both_versions_are_spoken_with_http_1_1_alone() {
    let server = TlsServer::new(load(&files("server.pem", "server.key")).unwrap());
    for version in BOTH {
        for (offered, chosen) in [(&[&b"h2"[..], b"http/1.1"][..], Some(&b"http/1.1"[..])), (&[], None)] {
            let outcome = shake(&server, client(&[version], offered, None)).await;
            assert_eq!(outcome.client.unwrap().1.as_deref(), chosen);
            assert_eq!(outcome.server.unwrap(), None);
        }
        let outcome = shake(&server, client(&[version], &[b"h2"], None)).await;
        assert!(outcome.server.is_err() && outcome.client.is_err());
    }
}

#[tokio::test]
async fn sessions_are_resumed_until_the_certificate_changes() {
    let server = TlsServer::new(load(&files("server.pem", "server.key")).unwrap());
    for version in BOTH {
        let client = client(&[version], &[], None);
        let mut kinds = Vec::new();
        for _ in 0..2 {
            kinds.push(shake(&server, Arc::clone(&client)).await.client.unwrap().0);
        }
        assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed]);
        server.replace(load(&files("renewed.pem", "renewed.key")).unwrap());
        assert_eq!(shake(&server, client).await.client.unwrap().0, HandshakeKind::Full);
    }
}

#[tokio::test]
async fn a_client_shows_a_certificate_of_the_authority_or_none_where_it_may() {
    let files = TlsFiles { client_ca: Some(file("authority.pem")), ..files("server.pem", "server.key") };
    for (clients, may_do_without) in
        [(ClientCertificates::Optional, true), (ClientCertificates::Required, false)]
    {
        let loaded = LoadedTls::read(&files, clients, now(), None).unwrap().unwrap();
        let server = TlsServer::new(loaded);
        for version in BOTH {
            let config = client(&[version], &[], Some("client"));
            // The second time its session is resumed, and so is its certificate.
            for _ in 0..2 {
                let shown = shake(&server, Arc::clone(&config)).await.server.unwrap().unwrap();
                let names: Vec<_> = shown.names.iter().map(ToString::to_string).collect();
                assert_eq!(names, ["DNS:shop.internal", "URI:spiffe://example/shop", "CN=shop"]);
            }
            let stranger = shake(&server, client(&[version], &[], Some("stranger"))).await;
            assert!(stranger.server.is_err(), "{version:?}");
            // A server's certificate is not one of a client.
            let server_as_client = shake(&server, client(&[version], &[], Some("renewed"))).await;
            assert!(server_as_client.server.is_err(), "{version:?}");
            let without = shake(&server, client(&[version], &[], None)).await;
            assert_eq!(without.server.is_ok_and(|shown| shown.is_none()), may_do_without, "{version:?}");
        }
    }
}

#[tokio::test]
async fn a_session_of_one_authority_is_not_resumed_under_another() {
    let good = TlsFiles { client_ca: Some(file("authority.pem")), ..files("server.pem", "server.key") };
    let server = TlsServer::new(load(&good).unwrap());
    for version in BOTH {
        server.replace(load(&good).unwrap());
        let config = client(&[version], &[], Some("client"));
        assert!(shake(&server, Arc::clone(&config)).await.server.unwrap().is_some());
        let other = TlsFiles { client_ca: Some(file("foreign.pem")), ..good.clone() };
        server.replace(load(&other).unwrap());
        assert!(shake(&server, config).await.server.is_err(), "{version:?}");
    }
}
