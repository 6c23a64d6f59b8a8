//! Accepting connections, and ending them in order when the process does.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::handshake::{self, Handshake};
use super::peer::Peer;
use super::stream::Stream;
use super::{Authenticator, Frontend, Observer, RejectReason, Service};
use crate::listen::{Listeners, Socket, local_address, peer_address, send_at_once, watch_for_life};
use crate::tls::TlsServer;

/// How long to wait when the process has no descriptor left: closing connections free some, and trying at once would
/// only burn the processor that they need.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

/// How long connections without a request stay open once the process is to end: a client that is about to use one gets its
/// answer, and with it the word that the connection ends. One that is closed under a request would be an error to it.
const LINGER: Duration = Duration::from_millis(500);

/// What was cut off when the time to drain was over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// Requests without an answer.
    pub requests: usize,
    /// Connections, with such a request or with an answer that was not taken or a head that did not end.
    pub connections: usize,
}

/// Where clients come in.
#[derive(Debug)]
pub struct Doors {
    /// Where they come as they are.
    pub plain: Listeners,
    /// Where they come with TLS.
    pub tls: Option<TlsDoor>,
    /// Where DAX clients come in.
    pub dax: DaxDoors,
}

/// Where clients come in that speak the protocol of DAX.
#[derive(Debug, Default)]
pub struct DaxDoors {
    /// Where they come as they are.
    pub plain: Option<Listeners>,
    /// Where they come with TLS.
    pub tls: Option<TlsDoor>,
}

/// Where clients come in with TLS.
#[derive(Debug)]
pub struct TlsDoor {
    /// The sockets.
    pub listeners: Listeners,
    /// The certificate.
    pub server: Arc<TlsServer>,
}

impl From<TcpListener> for Doors {
    fn from(plain: TcpListener) -> Self {
        Self { plain: plain.into(), tls: None, dax: DaxDoors::default() }
    }
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    Http,
    Dax,
}

/// A connection that was accepted.
struct Accepted {
    spoken: Spoken,
    socket: Socket,
    /// The certificate and a place for the handshake, where there is to be one.
    tls: Option<(Arc<TlsServer>, OwnedSemaphorePermit)>,
}

impl<S: Service, O: Observer, A: Authenticator> Frontend<S, O, A> {
    /// Accepts connections until `shutdown`, then lets requests in flight finish within the drain timeout and returns what
    /// it had to give up.
    pub async fn serve(self: Arc<Self>, doors: Doors, shutdown: CancellationToken) -> GivenUp {
        let connections = TaskTracker::new();
        let permits = self.settings.max_connections.clamp(1, Semaphore::MAX_PERMITS);
        let permits = Arc::new(Semaphore::new(permits));
        self.discovery.begin();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = self.accept_forever(&doors, &permits, &connections) => {}
        }
        self.is_draining.store(true, Ordering::Relaxed);
        // Closed before anything is waited for, so that a balancer sees a refusal rather than a connection that nobody reads.
        self.accept_queued(doors, &permits, &connections);
        connections.close();
        self.drain(&connections).await
    }

    async fn accept_forever(
        self: &Arc<Self>,
        doors: &Doors,
        permits: &Arc<Semaphore>,
        connections: &TaskTracker,
    ) {
        loop {
            let permit = self.permit(permits).await;
            let accepted = tokio::select! {
                accepted = self.accept_plain(Some(&doors.plain), Spoken::Http) => accepted,
                accepted = self.accept_tls(doors.tls.as_ref(), Spoken::Http) => accepted,
                accepted = self.accept_plain(doors.dax.plain.as_ref(), Spoken::Dax) => accepted,
                accepted = self.accept_tls(doors.dax.tls.as_ref(), Spoken::Dax) => accepted,
            };
            self.spawn(accepted, permit, connections);
        }
    }

    /// Accepts those who have connected already, as far as there is room, and closes the listeners, which resets the others.
    fn accept_queued(self: &Arc<Self>, doors: Doors, permits: &Arc<Semaphore>, connections: &TaskTracker) {
        let DaxDoors { plain: dax, tls: dax_tls } = doors.dax;
        for (listeners, spoken) in [(Some(doors.plain), Spoken::Http), (dax, Spoken::Dax)] {
            self.accept_rest(
                listeners,
                permits,
                |socket| Some(Accepted { spoken, socket, tls: None }),
                connections,
            );
        }
        for (door, spoken) in [(doors.tls, Spoken::Http), (dax_tls, Spoken::Dax)] {
            let Some(TlsDoor { listeners, server }) = door else { continue };
            let with_place = |socket| {
                let tls = Some((Arc::clone(&server), self.handshakes.free_place()?));
                Some(Accepted { spoken, socket, tls })
            };
            self.accept_rest(Some(listeners), permits, with_place, connections);
        }
    }

    /// Accepts from the system's own listeners, which are asked whether or not the runtime has heard of a connection.
    fn accept_rest(
        self: &Arc<Self>,
        listeners: Option<Listeners>,
        permits: &Arc<Semaphore>,
        accepted: impl Fn(Socket) -> Option<Accepted>,
        connections: &TaskTracker,
    ) {
        for listener in listeners.into_iter().flat_map(Listeners::into_rest) {
            while let Ok(permit) = Arc::clone(permits).try_acquire_owned()
                && let Some(accepted) = listener.accept().and_then(&accepted)
            {
                self.spawn(accepted, permit, connections);
            }
        }
    }

    fn spawn(self: &Arc<Self>, accepted: Accepted, permit: OwnedSemaphorePermit, connections: &TaskTracker) {
        let frontend = Arc::clone(self);
        let Accepted { spoken, socket, tls } = accepted;
        send_at_once(&socket);
        if spoken == Spoken::Dax {
            // Nothing else ends one that is idle.
            watch_for_life(&socket);
        }
        let (address, local) = (peer_address(&socket), local_address(&socket));
        // Two tasks, so that one for a plain connection has no room for a handshake.
        match tls {
            None => {
                let (stream, peer) = (Stream::Plain(socket), Peer::plain(address));
                match spoken {
                    Spoken::Http => connections.spawn(async move {
                        frontend.serve_peer(stream, peer).await;
                        drop(permit);
                    }),
                    Spoken::Dax => connections.spawn(async move {
                        frontend.serve_dax(stream, peer, local).await;
                        drop(permit);
                    }),
                }
            }
            Some((server, place)) => connections.spawn(async move {
                // Boxed, so that its room is free again when it is over.
                let handshake = frontend.handshakes.begin(place);
                let shaken = Box::pin(frontend.shake_hands(&server, socket, address, handshake)).await;
                match (shaken, spoken) {
                    (Some((stream, peer)), Spoken::Http) => {
                        Arc::clone(&frontend).serve_peer(stream, peer).await;
                    }
                    (Some((stream, peer)), Spoken::Dax) => {
                        Box::pin(Arc::clone(&frontend).serve_dax(stream, peer, local)).await;
                    }
                    (None, _) => {}
                }
                drop(permit);
            }),
        };
    }

    /// Makes a handshake. `None` if nothing came of it, in time and without being in the way of others.
    async fn shake_hands(
        &self,
        server: &TlsServer,
        socket: Socket,
        address: Option<SocketAddr>,
        handshake: Handshake<'_>,
    ) -> Option<(Stream, Peer)> {
        let outcome = tokio::select! {
            biased;
            outcome = tokio::time::timeout(handshake::PATIENCE, server.accept(socket)) => outcome,
            () = handshake.gives_way() => {
                self.observer.rejected(RejectReason::TlsHandshake);
                return None;
            }
            () = self.draining.cancelled() => return None,
        };
        let error = match outcome {
            Ok(Ok((stream, certificate))) => {
                return Some((Stream::Tls(Box::new(stream)), Peer::over_tls(address, certificate)));
            }
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
        self.observer.rejected(RejectReason::TlsHandshake);
        tracing::debug!(%error, "A TLS handshake failed.");
        None
    }

    /// Ends the connections: those that are used with their next answer, the others soon, and all in time.
    async fn drain(&self, connections: &TaskTracker) -> GivenUp {
        let begun = Instant::now();
        let deadline = begun + self.settings.drain_timeout;
        let lingered = deadline.min(begun + LINGER);
        if tokio::time::timeout_at(lingered, connections.wait()).await.is_ok() {
            return GivenUp::default();
        }
        self.draining.cancel();
        if tokio::time::timeout_at(deadline, connections.wait()).await.is_ok() {
            return GivenUp::default();
        }
        let open = connections.len();
        self.aborting.cancel();
        connections.wait().await;
        GivenUp { requests: self.cut_off.load(Ordering::Relaxed), connections: open }
    }

    /// Waits for a free place before accepting: what waits in the kernel's queue costs nothing here.
    async fn permit(&self, permits: &Arc<Semaphore>) -> OwnedSemaphorePermit {
        if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
            return permit;
        }
        self.observer.rejected(RejectReason::ConnectionLimit);
        // A handshake that nothing comes of must not keep out a client.
        let permit = self.handshakes.make_room_for(Arc::clone(permits).acquire_owned()).await;
        permit.expect("the semaphore is never closed")
    }

    /// The next connection without TLS; never, if there is no such listener.
    async fn accept_plain(&self, listeners: Option<&Listeners>, spoken: Spoken) -> Accepted {
        let Some(listeners) = listeners else { return pending().await };
        let socket = self.accept(listeners).await;
        Accepted { spoken, socket, tls: None }
    }

    /// The next connection for TLS, when there is a place for its handshake; never, if there is no such listener.
    async fn accept_tls(&self, door: Option<&TlsDoor>, spoken: Spoken) -> Accepted {
        let Some(TlsDoor { listeners, server }) = door else { return pending().await };
        let place = self.handshakes.place().await;
        let socket = self.accept(listeners).await;
        Accepted { spoken, socket, tls: Some((Arc::clone(server), place)) }
    }

    async fn accept(&self, listeners: &Listeners) -> Socket {
        let mut has_warned = false;
        loop {
            match listeners.accept().await {
                Ok(stream) => return stream,
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    self.observer.rejected(RejectReason::Exhausted);
                    // Once until the next success: a line for every try would fill a disk.
                    if !has_warned {
                        has_warned = true;
                        tracing::warn!(%error, "Cannot accept connections.");
                    }
                    tokio::time::sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }
}

/// True for errors of a connection that ended before it was accepted: the next one may be fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_out_of_descriptors_is_not_the_fault_of_one_connection() {
        let exhausted = io::Error::from_raw_os_error(24);
        assert!(!is_of_one_connection(&exhausted));
        assert!(is_of_one_connection(&io::ErrorKind::ConnectionAborted.into()));
    }
}
