//! The idle connections of one endpoint.

use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::connection::{Connect, Connection};

/// How many connections are set up at one time. More handshakes side by side would each take longer, until they all pass their
/// timeout, and a burst of short calls needs fewer connections than it has calls.
const SETUPS_MAX: usize = 128;

/// Connections to one endpoint that wait for their next exchange. How many are in use is not its business.
pub(super) struct Pool {
    connector: Box<dyn Connect>,
    /// The last one used is used next, so that those that are not needed grow old; the oldest stands in front.
    idle: Mutex<VecDeque<Connection>>,
    /// Notified of each connection that became idle.
    returned: Notify,
    setups: Semaphore,
}

/// Whether a connection may come from the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// It may.
    Any,
    /// It is set up for the caller.
    New,
}

impl Pool {
    /// An empty pool.
    pub(super) fn new(connector: Box<dyn Connect>) -> Self {
        Self {
            connector,
            idle: Mutex::default(),
            returned: Notify::new(),
            setups: Semaphore::new(SETUPS_MAX),
        }
    }

    /// A connection that is ready for an exchange: an idle one, else a new one. While many are set up already, it waits for
    /// whichever comes first: one that becomes idle, or its turn to be set up.
    ///
    /// # Errors
    /// Why none can be set up, a timeout included. Nothing of a request has been sent then.
    pub(super) async fn take(&self, freshness: Freshness) -> io::Result<Connection> {
        let setup = match freshness {
            Freshness::New => self.setups.acquire().await,
            Freshness::Any => loop {
                // Listens first: what becomes idle from here on is not missed.
                let returned = self.returned.notified();
                if let Some(connection) = self.take_idle().await {
                    return Ok(connection);
                }
                tokio::select! {
                    biased;
                    setup = self.setups.acquire() => break setup,
                    () = returned => {}
                }
            },
        };
        let _setup = setup.map_err(io::Error::other)?;
        let socket = self.connector.connect().await?;
        Connection::open(socket).await.map_err(io::Error::other)
    }

    async fn take_idle(&self) -> Option<Connection> {
        loop {
            let mut connection = self.idle().pop_back()?;
            if is_usable(&mut connection).await {
                return Some(connection);
            }
        }
    }

    /// Takes a connection back after an exchange that went well.
    pub(super) async fn put(&self, mut connection: Connection) {
        if is_usable(&mut connection).await {
            self.idle().push_back(connection);
            self.returned.notify_one();
        }
    }

    /// Closes what has been idle for too long, or whose server has closed it.
    pub(super) async fn sweep(&self) {
        let waiting = std::mem::take(&mut *self.idle());
        // The oldest comes last, so that it stands in front again.
        for connection in waiting.into_iter().rev() {
            self.put_back(connection).await;
        }
    }

    async fn put_back(&self, mut connection: Connection) {
        if is_usable(&mut connection).await {
            // Before those that came meanwhile, which were used later.
            self.idle().push_front(connection);
            self.returned.notify_one();
        }
    }

    /// Closes all that are idle: after an outage nobody knows which of them still lead anywhere.
    pub(super) fn clear(&self) {
        let closed = std::mem::take(&mut *self.idle());
        drop(closed);
    }

    /// How many are idle.
    pub(super) fn idle_count(&self) -> usize {
        self.idle().len()
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn is_usable(connection: &mut Connection) -> bool {
    let now = Instant::now();
    std::future::poll_fn(|context| Poll::Ready(connection.is_usable(context, now))).await
}
