//! The connections of the admin listener: so many at a time, and the newest one always has a place.

use std::collections::VecDeque;

use tokio::task::JoinHandle;

/// The connections that are open at a time. They are none of those that clients may have.
pub const CONNECTIONS_MAX: usize = 16;

/// The open connections, oldest first. All of them end when this does.
#[derive(Default)]
pub(super) struct Connections(VecDeque<JoinHandle<()>>);

impl Connections {
    /// Serves one more, for which the oldest makes room if there is none: a probe must be answered however many monitors
    /// hold on to connections that they do not use.
    pub(super) async fn add<F: Future<Output = ()> + Send + 'static>(&mut self, serve: impl FnOnce() -> F) {
        self.0.retain(|connection| !connection.is_finished());
        if self.0.len() >= CONNECTIONS_MAX
            && let Some(oldest) = self.0.pop_front()
        {
            oldest.abort();
            // Its descriptor is free only once it has ended.
            oldest.await.ok();
        }
        self.0.push_back(tokio::spawn(serve()));
    }
}

impl Drop for Connections {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_too_many_connections_the_oldest_gives_way_to_the_newest() {
        let (mut connections, mut clients) = (Connections::default(), VecDeque::new());
        let mut add = async || {
            let (client, end) = tokio::sync::oneshot::channel::<()>();
            // It is open until its client has ended, or it is cut off, which the client sees.
            connections.add(move || async move { drop(end.await) }).await;
            client
        };
        for _ in 0..CONNECTIONS_MAX {
            clients.push_back(add().await);
        }
        for _ in 0..3 {
            clients.push_back(add().await);
            assert!(clients.pop_front().unwrap().is_closed());
            assert!(clients.iter().all(|client| !client.is_closed()));
        }
        // One that has ended leaves its place.
        clients.pop_back();
        tokio::task::yield_now().await;
        clients.push_back(add().await);
        assert!(clients.iter().all(|client| !client.is_closed()));
        drop(connections);
    }
}
