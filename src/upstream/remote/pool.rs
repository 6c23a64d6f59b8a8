//! The idle connections of one endpoint.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use tokio::time::Instant;

use super::connection::{Connect, Connection};

/// Connections to one endpoint that wait for their next exchange. How many are in use is not its business.
pub(super) struct Pool {
    connector: Box<dyn Connect>,
    /// The last one used is used next, so that those that are not needed grow old.
    idle: Mutex<Vec<Connection>>,
}

/// Whether a connection may come from the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// It may.
    Any,
    /// It is made for the caller.
    New,
}

impl Pool {
    /// An empty pool.
    pub(super) fn new(connector: Box<dyn Connect>) -> Self {
        Self { connector, idle: Mutex::default() }
    }

    /// A connection that is ready for an exchange.
    ///
    /// # Errors
    /// Why none can be made, a timeout included. Nothing of a request has been sent then.
    pub(super) async fn take(&self, freshness: Freshness) -> io::Result<Connection> {
        if freshness == Freshness::Any
            && let Some(connection) = self.take_idle().await
        {
            return Ok(connection);
        }
        let socket = self.connector.connect().await?;
        Connection::open(socket).await.map_err(io::Error::other)
    }

    async fn take_idle(&self) -> Option<Connection> {
        loop {
            let mut connection = self.idle().pop()?;
            if is_usable(&mut connection).await {
                return Some(connection);
            }
        }
    }

    /// Takes a connection back after an exchange that went well.
    pub(super) async fn put(&self, mut connection: Connection) {
        if is_usable(&mut connection).await {
            self.idle().push(connection);
        }
    }

    /// Closes what has been idle for too long, or whose server has closed it.
    pub(super) async fn sweep(&self) {
        let waiting = std::mem::take(&mut *self.idle());
        // The oldest comes last, so that it lies at the bottom again.
        for connection in waiting.into_iter().rev() {
            self.put_back(connection).await;
        }
    }

    async fn put_back(&self, mut connection: Connection) {
        if is_usable(&mut connection).await {
            // Under those that came meanwhile, which were used later.
            self.idle().insert(0, connection);
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

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn is_usable(connection: &mut Connection) -> bool {
    let now = Instant::now();
    std::future::poll_fn(|context| Poll::Ready(connection.is_usable(context, now))).await
}
