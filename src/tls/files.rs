//! The files of a TLS listener: read, checked, and made into what handshakes need.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{InconsistentKeys, RootCertStore, ServerConfig};

use super::certificate::Certificate;
use crate::config::{TlsFiles, read_private_key};
use crate::model::Timestamp;

/// The most bytes of a file with certificates: four times what an operating system trusts.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How long before its end a certificate is worth a warning.
const EXPIRES_SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Whether clients are asked for a certificate, where there is an authority for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They may do without.
    Optional,
    /// They must have one.
    Required,
}

/// What is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFault {
    /// The key of `[server.tls]` that names it.
    pub key: &'static str,
    /// What is wrong, and what helps.
    pub message: String,
}

/// A certificate with its key, ready for handshakes.
#[derive(Clone, Debug)]
pub struct LoadedTls {
    pub(super) config: Arc<ServerConfig>,
    pub(super) certificate: Certificate,
    /// Of all that the files hold.
    pub(super) digest: [u8; 32],
    /// What an operator should look at, a line for each.
    pub warnings: Vec<String>,
}

impl LoadedTls {
    /// Reads and checks the files; `None` if none are named. May wait for a disk.
    ///
    /// What is `in_force` already is not read into anything new if the files are the same, so that sessions can be resumed across a
    /// reload. It may even have expired: a reload must not fail because of what it does not change.
    ///
    /// # Errors
    /// What is wrong with the first file that something is wrong with.
    pub fn read(
        files: &TlsFiles,
        clients: ClientCertificates,
        now: Timestamp,
        in_force: Option<&Self>,
    ) -> Result<Option<Self>, TlsFault> {
        let (Some(cert), Some(key)) = (&files.cert, &files.key) else { return Ok(None) };
        let pem = read(cert).map_err(|message| TlsFault { key: "cert", message })?;
        let (secret, open) = read_private_key(key).map_err(|message| TlsFault { key: "key", message })?;
        let authorities = files.client_ca.as_deref().map(|file| read(file).map(|pem| (file, pem)));
        let authorities =
            authorities.transpose().map_err(|message| TlsFault { key: "client_ca", message })?;
        let client_pem = authorities.as_ref().map(|(_, pem)| pem.as_slice());
        let digest = digest_of(&[Some(&pem), Some(secret.expose()), client_pem], clients);
        let mut loaded = match in_force.filter(|in_force| in_force.digest == digest) {
            Some(in_force) => Self { warnings: Vec::new(), ..in_force.clone() },
            None => {
                let (chain, certificate) = chain(cert, &pem, now)?;
                let private = private_key(key, secret.expose())?;
                let verifier = match authorities {
                    None => WebPkiClientVerifier::no_client_auth(),
                    Some((file, pem)) => verifier(file, &pem, clients)?,
                };
                let config = ServerConfig::builder_with_provider(provider())
                    .with_safe_default_protocol_versions()
                    .map_err(|error| TlsFault { key: "cert", message: error.to_string() })?
                    .with_client_cert_verifier(verifier)
                    .with_single_cert(chain, private)
                    .map_err(|error| unfit_pair(cert, key, &error))?;
                Self { config: Arc::new(resumable(config)?), certificate, digest, warnings: Vec::new() }
            }
        };
        loaded.warnings.extend(open.map(|open| format!("server.tls.key: {open}")));
        loaded.warnings.extend(loaded.expiry_warning(now));
        Ok(Some(loaded))
    }

    /// A line if the certificate ends within 30 days, or has ended.
    pub(super) fn expiry_warning(&self, now: Timestamp) -> Option<String> {
        let not_after = self.certificate.not_after;
        let verb = if not_after < now { "has expired at" } else { "expires at" };
        (not_after < now.plus(EXPIRES_SOON))
            .then(|| format!("server.tls.cert: the certificate {verb} {}; replace it", not_after.rfc3339()))
    }
}

/// Named, so that another provider somewhere in the process cannot take its place.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

/// The rest of a listener's settings. Tickets can be read as long as this certificate is in force, and their keys change by
/// themselves. They carry the client's certificate, so where the authority is replaced, they are worth nothing.
fn resumable(mut config: ServerConfig) -> Result<ServerConfig, TlsFault> {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = Ticketer::new().map_err(|error| TlsFault {
        key: "cert",
        message: format!("cannot make keys for sessions: {error}"),
    })?;
    Ok(config)
}

/// The certificates of a file in PEM, and what is said of the first one.
fn chain(
    file: &Path,
    pem: &[u8],
    now: Timestamp,
) -> Result<(Vec<CertificateDer<'static>>, Certificate), TlsFault> {
    let wrong = |reason: String| TlsFault { key: "cert", message: format!("{}: {reason}", file.display()) };
    let chain = certificates(pem).map_err(wrong)?;
    let certificate = Certificate::parse(&chain[0])
        .ok_or_else(|| wrong("its first certificate cannot be read".to_owned()))?;
    if now < certificate.not_before {
        let from = certificate.not_before.rfc3339();
        return Err(wrong(format!("the certificate is not valid before {from}; is the clock right?")));
    }
    if certificate.not_after < now {
        let at = certificate.not_after.rfc3339();
        return Err(wrong(format!("the certificate has expired at {at}; replace it")));
    }
    Ok((chain, certificate))
}

/// The certificates in a text; at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    if pem.trim_ascii().is_empty() {
        return Err("the file is empty; it must hold a certificate in PEM form".to_owned());
    }
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|error| format!("the file is not PEM: {error}"))?;
    if certificates.is_empty() {
        return Err("the file has no certificate in PEM form (-----BEGIN CERTIFICATE-----)".to_owned());
    }
    Ok(certificates)
}

fn private_key(file: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsFault> {
    let wrong = |reason: &str| TlsFault { key: "key", message: format!("{}: {reason}", file.display()) };
    if pem.trim_ascii().is_empty() {
        return Err(wrong("the file is empty; it must hold a private key in PEM form"));
    }
    // Of both forms, that of PKCS #8 and the old one of OpenSSL.
    if memchr::memmem::find(pem, b"ENCRYPTED").is_some() {
        return Err(wrong(
            "the key is encrypted; write it without its passphrase: openssl pkey -in KEY -out FILE",
        ));
    }
    // The errors of the parser may quote the file.
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| wrong("the file has no private key in PEM form (-----BEGIN PRIVATE KEY-----)"))
}

fn unfit_pair(cert: &Path, key: &Path, error: &rustls::Error) -> TlsFault {
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => TlsFault {
            key: "key",
            message: format!(
                "{} is not the key of the first certificate in {}; the node's own certificate stands first, those of authorities behind it",
                key.display(),
                cert.display()
            ),
        },
        rustls::Error::General(reason) => {
            TlsFault { key: "key", message: format!("{} cannot be used: {reason}", key.display()) }
        }
        other => TlsFault { key: "cert", message: format!("{} cannot be used: {other}", cert.display()) },
    }
}

fn verifier(
    file: &Path,
    pem: &[u8],
    clients: ClientCertificates,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsFault> {
    let wrong =
        |reason: String| TlsFault { key: "client_ca", message: format!("{}: {reason}", file.display()) };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem).map_err(wrong)? {
        roots.add(certificate).map_err(|error| wrong(format!("a certificate cannot be used: {error}")))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let builder = match clients {
        ClientCertificates::Optional => builder.allow_unauthenticated(),
        ClientCertificates::Required => builder,
    };
    builder.build().map_err(|error| wrong(error.to_string()))
}

/// The bytes of a file with certificates.
fn read(path: &Path) -> Result<Vec<u8>, String> {
    let cannot = |reason: &str| format!("cannot read {}: {reason}", path.display());
    // Looked at before it is opened: a pipe would wait for its writer.
    let about = std::fs::metadata(path).map_err(|error| cannot(&error.to_string()))?;
    if !about.is_file() {
        return Err(cannot("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| cannot(&error.to_string()))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(cannot("it is larger than 1 MiB"));
    }
    Ok(bytes)
}

fn digest_of(contents: &[Option<&[u8]>], clients: ClientCertificates) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&[u8::from(clients == ClientCertificates::Required)]);
    for content in contents {
        let length = content.map_or(u64::MAX, |content| content.len() as u64);
        context.update(&length.to_be_bytes());
        context.update(content.unwrap_or_default());
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}
