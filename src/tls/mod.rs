//! TLS as it is spoken to clients: the certificate in force, which may change while connections go on, and the certificates of
//! clients.
//!
//! Versions 1.2 and 1.3 with the cipher suites of rustls, `http/1.1` alone in ALPN, sessions resumed by tickets. There is no
//! renegotiation, and no early data. The limits of handshakes are those of who has them made.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

mod certificate;
mod files;

pub use certificate::Certificate;
pub use files::{ClientCertificates, LoadedTls, TlsFault};

use crate::model::Timestamp;

/// How often the log is reminded of a certificate that is about to expire.
const REMINDER_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// The certificate in force.
#[derive(Debug)]
pub struct TlsServer {
    in_force: ArcSwap<LoadedTls>,
    /// When the log was last told of it, if need be.
    reminded: Mutex<Instant>,
}

impl TlsServer {
    /// Serves with that certificate, whose warnings are written by who has loaded it.
    pub fn new(loaded: LoadedTls) -> Arc<Self> {
        Arc::new(Self { in_force: ArcSwap::from_pointee(loaded), reminded: Mutex::new(Instant::now()) })
    }

    /// What is in force.
    pub fn in_force(&self) -> Arc<LoadedTls> {
        self.in_force.load_full()
    }

    /// Has handshakes from now on made with another certificate. Connections that are there go on.
    pub fn replace(&self, loaded: LoadedTls) {
        self.in_force.store(Arc::new(loaded));
    }

    /// When the certificate in force expires.
    pub fn not_after(&self) -> Timestamp {
        self.in_force.load().certificate.not_after
    }

    /// Once a day, a line if the certificate has expired or is about to.
    pub fn reminder(&self, now: Instant) -> Option<String> {
        {
            let mut reminded = self.reminded.lock().unwrap_or_else(PoisonError::into_inner);
            if now.duration_since(*reminded) < REMINDER_INTERVAL {
                return None;
            }
            *reminded = now;
        }
        self.in_force.load().expiry_warning(SystemTime::now().into())
    }

    /// Makes a handshake, however long the client takes. The certificate is that of the client, if it was asked for one and has one.
    ///
    /// # Errors
    /// Those of the connection; and what is wrong with what the client sent, as it was told.
    pub async fn accept<IO>(&self, stream: IO) -> io::Result<(TlsStream<IO>, Option<Certificate>)>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let config = Arc::clone(&self.in_force.load().config);
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let invalid = |reason| io::Error::new(io::ErrorKind::InvalidData, reason);
        let Some(certificate) = stream.get_ref().1.peer_certificates().and_then(<[_]>::first) else {
            return Ok((stream, None));
        };
        let certificate = Certificate::parse(certificate)
            .ok_or_else(|| invalid("the client's certificate cannot be read"))?;
        // A session that is resumed has not been verified again.
        if certificate.not_after < SystemTime::now().into() {
            return Err(invalid("the client's certificate has expired"));
        }
        Ok((stream, Some(certificate)))
    }
}

#[cfg(test)]
mod tests;
