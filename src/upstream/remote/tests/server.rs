//! A scripted endpoint on a real socket, with TLS or without.

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

/// What the server does with a request.
pub(super) enum Reaction {
    /// Writes these bytes and closes.
    Write(&'static str),
    /// Reads the request and closes.
    Close,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Received {
    pub(super) head: String,
    /// Which connection it came over, counted from 0.
    pub(super) connection: usize,
    pub(super) at: Instant,
}

/// A DynamoDB that reacts as the script says, and then answers `{}`.
#[derive(Default)]
pub(super) struct Server {
    pub(super) port: u16,
    reactions: Mutex<VecDeque<Reaction>>,
    received: Mutex<Vec<Received>>,
    connections: Mutex<usize>,
    /// Notified when a client has closed a connection in its turn.
    pub(super) closed: Notify,
}

impl Server {
    /// A server in the clear.
    pub(super) async fn start() -> Arc<Self> {
        Self::listen(None).await
    }

    /// A server with the certificate of `localhost` and `dynamodb.test`, signed by the test authority.
    pub(super) async fn start_tls() -> Arc<Self> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let certificate = CertificateDer::from_pem_slice(include_bytes!("certificate.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("key.pem")).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key);
        Self::listen(Some(TlsAcceptor::from(Arc::new(config.unwrap())))).await
    }

    async fn listen(tls: Option<TlsAcceptor>) -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Arc::new(Self { port: listener.local_addr().unwrap().port(), ..Self::default() });
        let accepting = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (serving, tls) = (Arc::clone(&accepting), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serving.serve(stream).await,
                        // A client that does not trust the certificate breaks off.
                        Some(tls) => serving.serve(tls.accept(stream).await?).await,
                    }
                });
            }
        });
        server
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn will(&self, reaction: Reaction) {
        self.reactions.lock().unwrap().push_back(reaction);
    }

    pub(super) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    async fn serve<S: AsyncRead + AsyncWrite + Unpin>(self: Arc<Self>, mut stream: S) -> io::Result<()> {
        let connection = {
            let mut connections = self.connections.lock().unwrap();
            *connections += 1;
            *connections - 1
        };
        loop {
            let head = read_head(&mut stream).await?;
            let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
            stream.read_exact(&mut vec![0; length.parse().unwrap()]).await?;
            self.received.lock().unwrap().push(Received { head, connection, at: Instant::now() });
            let scripted = self.reactions.lock().unwrap().pop_front();
            match scripted {
                None => {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await?;
                    stream.flush().await?;
                    continue;
                }
                Some(Reaction::Write(bytes)) => stream.write_all(bytes.as_bytes()).await?,
                Some(Reaction::Close) => {}
            }
            stream.shutdown().await?;
            // The client closes its end when it has seen ours.
            stream.read_to_end(&mut Vec::new()).await?;
            self.closed.notify_one();
            return Ok(());
        }
    }
}

/// Reads to the blank line.
pub(super) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(stream.read_u8().await?));
    }
    Ok(head)
}

/// A file of the test authority: its own certificate, or that of the server.
pub(super) fn certificate_file(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src/upstream/remote/tests")).join(name)
}
