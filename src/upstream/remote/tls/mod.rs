//! TLS as it is spoken to every endpoint: rustls over aws-lc-rs, with the certificates that the machine trusts.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::endpoints::Endpoints;
use crate::config::Scheme;

/// What connects to these endpoints. The machine's certificates are read only if one of them needs it.
///
/// # Errors
/// Words, when an endpoint needs certificates and the machine has none.
pub(super) fn connector(endpoints: &Endpoints) -> Result<TlsConnector, String> {
    let mut roots = RootCertStore::empty();
    if endpoints.hosts.iter().any(|endpoint| endpoint.scheme == Scheme::Https) {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            return Err("no trusted certificates were found; install ca-certificates, or name a file in SSL_CERT_FILE"
                .to_owned());
        }
    }
    trusting(roots)
}

fn trusting(roots: RootCertStore) -> Result<TlsConnector, String> {
    // Named, so that another provider somewhere in the process cannot take its place.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustls::ServerConfig;
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::super::connection::{Connect, Dialer};
    use super::*;

    /// For `localhost`, signed by itself; nobody else trusts it.
    const CERTIFICATE: &[u8] = include_bytes!("certificate.pem");
    const KEY: &[u8] = include_bytes!("key.pem");

    fn certificate() -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(CERTIFICATE).unwrap()
    }

    /// A server that sends back what it gets.
    async fn start_echo() -> u16 {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate()], PrivateKeyDer::from_pem_slice(KEY).unwrap());
        let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A client that does not trust us breaks off.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut bytes = [0; 5];
                stream.read_exact(&mut bytes).await.unwrap();
                stream.write_all(&bytes).await.unwrap();
            }
        });
        port
    }

    async fn echo(url: &str, roots: RootCertStore) -> Result<[u8; 5], String> {
        let tls = trusting(roots).unwrap();
        let dialer = Dialer::new(&url.parse().unwrap(), &tls, Duration::from_secs(30))?;
        let mut socket = dialer.connect().await.map_err(|error| error.to_string())?;
        let mut bytes = *b"hello";
        socket.write_all(&bytes).await.unwrap();
        bytes.fill(0);
        socket.read_exact(&mut bytes).await.unwrap();
        Ok(bytes)
    }

    #[tokio::test]
    async fn a_server_is_trusted_for_its_name_and_by_who_signed_it() {
        let port = start_echo().await;
        let mut roots = RootCertStore::empty();
        roots.add(certificate()).unwrap();
        assert_eq!(echo(&format!("https://localhost:{port}"), roots.clone()).await.unwrap(), *b"hello");
        let other_name = echo(&format!("https://127.0.0.1:{port}"), roots).await;
        assert!(other_name.unwrap_err().contains("certificate"));
        let unknown = echo(&format!("https://localhost:{port}"), RootCertStore::empty()).await;
        assert!(unknown.unwrap_err().contains("certificate"));
    }
}
