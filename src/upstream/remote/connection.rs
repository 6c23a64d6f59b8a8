//! One connection to an endpoint, and one exchange at a time over it.
//!
//! The connection is driven by whoever awaits the exchange, so an answer costs no wake-up of another task. Bytes are counted
//! as the socket takes them: only while it has taken none of a request is it certain that the request has not happened.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Body;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::config::{Endpoint, Scheme};

/// The largest body of an answer. The service's largest is 16 MB, which JSON may swell.
const ANSWER_BYTES_MAX: usize = 25 << 20;

/// A connection is not used for longer than this, less up to a fifth, so that a host that moved is found again and not all
/// connections are made anew at one time.
const AGE_MAX: Duration = Duration::from_secs(300);

/// A connection that was not used for this long is closed: well before servers do it, so that no request meets their closing.
const IDLE_MAX: Duration = Duration::from_secs(20);

/// A stream of bytes to and from an endpoint.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// A future of a socket.
pub(super) type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Socket>>> + Send + 'a>>;

/// Makes sockets to one endpoint: TCP, TLS, or a test's own.
pub(super) trait Connect: Send + Sync + 'static {
    /// Connects; the caller minds the time.
    fn connect(&self) -> Connecting<'_>;
}

/// Connects over TCP, and TLS where the endpoint asks for it.
pub(super) struct Dialer {
    host: String,
    port: u16,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    timeout: Duration,
}

impl Dialer {
    /// A dialer for an endpoint that gives up after `timeout`.
    ///
    /// # Errors
    /// Words, for a host that can be in no certificate.
    pub(super) fn new(endpoint: &Endpoint, tls: &TlsConnector, timeout: Duration) -> Result<Self, String> {
        let tls = match endpoint.scheme {
            Scheme::Http => None,
            Scheme::Https => {
                let name = ServerName::try_from(endpoint.host.clone())
                    .map_err(|_| format!("{:?} is not the name of a host", endpoint.host))?;
                Some((tls.clone(), name))
            }
        };
        Ok(Self { host: endpoint.host.clone(), port: endpoint.port, tls, timeout })
    }

    /// Tries the host's addresses in random order, each with half of the time that is left.
    async fn dial(&self) -> io::Result<TcpStream> {
        let deadline = Instant::now() + self.timeout;
        let mut addresses: Vec<SocketAddr> =
            tokio::net::lookup_host((self.host.as_str(), self.port)).await?.collect();
        fastrand::shuffle(&mut addresses);
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        while let Some(address) = addresses.pop() {
            let left = deadline.saturating_duration_since(Instant::now());
            let share = if addresses.is_empty() { left } else { left / 2 };
            match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => failure = error,
                Err(_) => failure = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(failure)
    }
}

impl Connect for Dialer {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async {
            let connecting = async {
                let stream = self.dial().await?;
                let Some((tls, name)) = &self.tls else { return Ok(Box::new(stream) as Box<dyn Socket>) };
                Ok(Box::new(tls.connect(name.clone(), stream).await?) as Box<dyn Socket>)
            };
            tokio::time::timeout(self.timeout, connecting)
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        })
    }
}

/// A socket whose written bytes are counted.
struct Counted {
    socket: Box<dyn Socket>,
    written: Arc<AtomicU64>,
}

impl Counted {
    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.written.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        written
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(context, slices);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

/// Why an exchange has no answer.
#[derive(Debug)]
pub(super) enum Fault {
    /// The socket took no byte of the request.
    NotSent(String),
    /// The connection broke when at least one byte was out.
    Broken(String),
    /// What came is not an answer of HTTP, or too large a one.
    Strange(String),
}

/// An open connection.
pub(super) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: http1::Connection<TokioIo<Counted>, Full<Bytes>>,
    ended: bool,
    written: Arc<AtomicU64>,
    ends_at: Instant,
    idle_since: Instant,
}

impl Connection {
    /// Speaks HTTP over a fresh socket.
    ///
    /// # Errors
    /// None in practice: HTTP/1.1 has no handshake.
    pub(super) async fn open(socket: Box<dyn Socket>) -> Result<Self, hyper::Error> {
        let written = Arc::new(AtomicU64::new(0));
        let counted = Counted { socket, written: Arc::clone(&written) };
        let (sender, driver) = http1::Builder::new().handshake(TokioIo::new(counted)).await?;
        let now = Instant::now();
        let ends_at = now + AGE_MAX.mul_f64(1.0 - 0.2 * fastrand::f64());
        Ok(Self { sender, driver, ended: false, written, ends_at, idle_since: now })
    }

    /// True when the connection can be used for one more exchange. Looks for a closing that came meanwhile.
    pub(super) fn is_usable(&mut self, context: &mut Context<'_>, now: Instant) -> bool {
        self.drive(context);
        !self.ended && self.sender.is_ready() && now < self.ends_at && now < self.idle_since + IDLE_MAX
    }

    /// Sends a request and waits for the whole of its answer. Dropped half way, the connection must be dropped too.
    ///
    /// # Errors
    /// [`Fault`]; the connection is of no more use then.
    pub(super) async fn exchange(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, Fault> {
        let before = self.written.load(Ordering::Relaxed);
        let responding = self.sender.send_request(request);
        let mut responding = std::pin::pin!(async {
            let (head, body) = responding.await.map_err(|error| fault_of(&error))?.into_parts();
            // One that says so in its head is not waited for.
            if body.size_hint().lower() > ANSWER_BYTES_MAX as u64 {
                return Err(too_large());
            }
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    return too_large();
                }
                match error.downcast::<hyper::Error>() {
                    Ok(error) => fault_of(&error),
                    Err(error) => Fault::Broken(error.to_string()),
                }
            })?;
            Ok(Response::from_parts(head, body.to_bytes()))
        });
        let (driver, ended) = (&mut self.driver, &mut self.ended);
        let outcome = std::future::poll_fn(|context| {
            if let Poll::Ready(outcome) = responding.as_mut().poll(context) {
                return Poll::Ready(outcome);
            }
            // What ends the connection reaches the exchange too.
            *ended = *ended || Pin::new(&mut *driver).poll(context).is_ready();
            responding.as_mut().poll(context)
        })
        .await;
        self.idle_since = Instant::now();
        outcome.map_err(|fault| match fault {
            Fault::Broken(reason) if self.written.load(Ordering::Relaxed) == before => Fault::NotSent(reason),
            fault => fault,
        })
    }

    fn drive(&mut self, context: &mut Context<'_>) {
        self.ended = self.ended || Pin::new(&mut self.driver).poll(context).is_ready();
    }
}

fn too_large() -> Fault {
    Fault::Strange("the answer is larger than 25 MiB".to_owned())
}

fn fault_of(error: &hyper::Error) -> Fault {
    let mut words = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        words.push_str(&format!(" ({cause})"));
    }
    if error.is_parse() { Fault::Strange(words) } else { Fault::Broken(words) }
}
