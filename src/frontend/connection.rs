//! One connection from its first byte to its end.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::pin::pin;
use std::sync::Arc;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::body::READ_BYTES;
use super::peer::Peer;
use super::rare_wake::Rarely;
use super::shortcut::Shortcut;
use super::stall::Watched;
use super::timer::ConnectionTimer;
use super::{Authenticator, Frontend, Observer, RejectReason, Service};

impl<S: Service, O: Observer, A: Authenticator> Frontend<S, O, A> {
    /// Serves one connection, which is not encrypted, until it ends, idles for too long, or the front end drains.
    pub async fn serve_connection<IO>(self: Arc<Self>, io: IO)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        self.serve_peer(io, Peer::plain(None)).await;
    }

    /// The same for a client of whom something is known.
    pub(super) async fn serve_peer<IO>(self: Arc<Self>, io: IO, peer: Peer)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let _open = Open::new(&*self.observer);
        let (frontend, peer) = (&self, &peer);
        let service =
            service_fn(|request| async move { Ok::<_, Infallible>(frontend.respond(request, peer).await) });
        let timer = ConnectionTimer::default();
        let stream = Shortcut::new(Watched::new(io), frontend, peer, timer.clone());
        let mut builder = http1::Builder::new();
        builder
            .timer(timer.clone())
            // Counts from the end of one answer, so it is the idle timeout as well.
            .header_read_timeout(self.settings.idle_timeout)
            // A client that says no more may still listen; and one that is gone has sent a request all the same, which
            // would else be dropped if its end came together with it.
            .half_close(true)
            .max_buf_size(READ_BYTES);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let draining = Rarely::new(self.draining.cancelled());
        let ended = tokio::select! {
            biased;
            ended = connection.as_mut() => Some(ended),
            () = draining => None,
        };
        let ended = match ended {
            Some(ended) => ended,
            None => {
                // hyper takes a connection for idle while a call is in flight at the socket. Its answer will be the connection's last.
                if !timer.is_held() {
                    connection.as_mut().graceful_shutdown();
                }
                tokio::select! {
                    biased;
                    ended = connection => ended,
                    () = self.aborting.cancelled() => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            self.note(&error);
        }
    }

    /// Tells of connections that ended because of what the client sent; clients that just went away are no news.
    fn note(&self, error: &hyper::Error) {
        if error.is_timeout() || is_stall(error) {
            self.observer.rejected(RejectReason::TimedOut);
        } else if error.is_parse() {
            self.observer.rejected(RejectReason::Malformed);
        }
        tracing::debug!(%error, "A connection ended early.");
    }
}

/// True when the client did not take its answer.
fn is_stall(error: &hyper::Error) -> bool {
    let cause = error.source().and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::TimedOut)
}

/// Tells of a connection's end even when its task is dropped.
pub(super) struct Open<'a, O: Observer>(&'a O);

impl<'a, O: Observer> Open<'a, O> {
    pub(super) fn new(observer: &'a O) -> Self {
        observer.connection_opened();
        Self(observer)
    }
}

impl<O: Observer> Drop for Open<'_, O> {
    fn drop(&mut self) {
        self.0.connection_closed();
    }
}
