//! TLS as it is spoken to every endpoint and proxy: rustls over aws-lc-rs, with the certificates that the machine trusts and
//! those of `AWS_CA_BUNDLE` besides.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// For connections that are not encrypted: no certificate is trusted, and none is read.
///
/// # Errors
/// None in practice.
pub(super) fn trusting_nobody() -> Result<ClientConfig, String> {
    trusting(RootCertStore::empty())
}

/// Trusts the machine's certificates, and those in the file.
///
/// # Errors
/// A reason in words, if the file has no certificates that can be used, or the machine has none and there is no file.
pub(super) fn trusting_machine_and(ca_bundle: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_bundle {
        add_bundle(&mut roots, path)
            .map_err(|reason| format!("AWS_CA_BUNDLE: {}: {reason}", path.display()))?;
    }
    if roots.is_empty() {
        return Err(
            "no trusted certificates were found; install ca-certificates, or name a file in SSL_CERT_FILE"
                .to_owned(),
        );
    }
    trusting(roots)
}

fn add_bundle(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let certificates: Vec<_> = certificates.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    match roots.add_parsable_certificates(certificates) {
        (0, _) => Err("the file has no certificates in PEM form that can be used".to_owned()),
        _ => Ok(()),
    }
}

fn trusting(roots: RootCertStore) -> Result<ClientConfig, String> {
    // Named, so that another provider somewhere in the process cannot take its place.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
