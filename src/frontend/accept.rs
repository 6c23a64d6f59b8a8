//! Accepting connections, and ending them in order when the process does.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::listen::Listeners;

use super::{Authenticator, Frontend, Observer, RejectReason, Service};

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

impl<S: Service, O: Observer, A: Authenticator> Frontend<S, O, A> {
    /// Accepts connections until `shutdown`, then lets requests in flight finish within the drain timeout and returns what
    /// it had to give up.
    pub async fn serve(self: Arc<Self>, listeners: Listeners, shutdown: CancellationToken) -> GivenUp {
        let connections = TaskTracker::new();
        let permits = self.settings.max_connections.clamp(1, Semaphore::MAX_PERMITS);
        let permits = Arc::new(Semaphore::new(permits));
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = self.accept_forever(&listeners, &permits, &connections) => {}
        }
        self.is_draining.store(true, Ordering::Relaxed);
        // Closed before anything is waited for, so that a balancer sees a refusal rather than a connection that nobody reads.
        self.accept_queued(listeners, &permits, &connections);
        connections.close();
        self.drain(&connections).await
    }

    async fn accept_forever(
        self: &Arc<Self>,
        listeners: &Listeners,
        permits: &Arc<Semaphore>,
        connections: &TaskTracker,
    ) {
        loop {
            let permit = self.permit(permits).await;
            let stream = self.accept(listeners).await;
            self.spawn(stream, permit, connections);
        }
    }

    /// Accepts those who have connected already, as far as there is room, and closes the listeners, which resets the others.
    fn accept_queued(
        self: &Arc<Self>,
        listeners: Listeners,
        permits: &Arc<Semaphore>,
        connections: &TaskTracker,
    ) {
        // The system's own listeners, which are asked whether or not the runtime has heard of a connection.
        for listener in listeners.into_std() {
            while let Ok(permit) = Arc::clone(permits).try_acquire_owned()
                && let Ok((stream, _)) = listener.accept()
                && stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                self.spawn(stream, permit, connections);
            }
        }
    }

    fn spawn(self: &Arc<Self>, stream: TcpStream, permit: OwnedSemaphorePermit, connections: &TaskTracker) {
        // An answer is written whole; waiting for more to send would only delay it.
        let _ = stream.set_nodelay(true);
        let frontend = Arc::clone(self);
        connections.spawn(async move {
            frontend.serve_connection(stream).await;
            drop(permit);
        });
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
        Arc::clone(permits).acquire_owned().await.expect("the semaphore is never closed")
    }

    async fn accept(&self, listeners: &Listeners) -> TcpStream {
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
