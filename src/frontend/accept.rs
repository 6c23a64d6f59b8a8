//! Accepting connections, and ending them in order when the process does.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Frontend, Observer, Refusal, Service};

/// How long to wait when the process has no descriptor left: closing connections free some, and trying at once would
/// only burn the processor that they need.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(50);

impl<S: Service, O: Observer> Frontend<S, O> {
    /// Accepts connections until `shutdown`, then lets requests in flight finish within the drain timeout and returns.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        let connections = TaskTracker::new();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = self.accept_forever(&listener, &connections) => {}
        }
        // Closed first, so that a balancer sees a refusal rather than a connection that nobody reads.
        drop(listener);
        self.draining.cancel();
        connections.close();
        let drained = tokio::time::timeout(self.settings.drain_timeout, connections.wait()).await;
        if drained.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "Requests were still in flight when draining ended."
            );
            self.aborting.cancel();
            connections.wait().await;
        }
    }

    async fn accept_forever(self: &Arc<Self>, listener: &TcpListener, connections: &TaskTracker) {
        let permits = self.settings.max_connections.clamp(1, Semaphore::MAX_PERMITS);
        let permits = Arc::new(Semaphore::new(permits));
        loop {
            let permit = self.permit(&permits).await;
            let stream = self.accept(listener).await;
            let frontend = Arc::clone(self);
            connections.spawn(async move {
                frontend.serve_connection(stream).await;
                drop(permit);
            });
        }
    }

    /// Waits for a free place before accepting: what waits in the kernel's queue costs nothing here.
    async fn permit(&self, permits: &Arc<Semaphore>) -> OwnedSemaphorePermit {
        if let Ok(permit) = Arc::clone(permits).try_acquire_owned() {
            return permit;
        }
        self.observer.refused(Refusal::ConnectionLimit);
        Arc::clone(permits).acquire_owned().await.expect("the semaphore is never closed")
    }

    async fn accept(&self, listener: &TcpListener) -> TcpStream {
        let mut has_warned = false;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    // An answer is written whole; waiting for more to send would only delay it.
                    let _ = stream.set_nodelay(true);
                    return stream;
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    self.observer.refused(Refusal::Exhausted);
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
