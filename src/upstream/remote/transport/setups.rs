//! Connections that are being set up: how many at one time.
//!
//! A layer around reqwest's connector. A setup that has begun goes on when its request has found an idle connection
//! meanwhile; the new connection then becomes idle itself. So setups are limited apart from the requests in flight.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;
use tower_layer::Layer;
use tower_service::Service;

/// How many connections are set up at one time. More handshakes side by side would each take longer, until they all pass their
/// timeout, and a burst of short calls needs fewer connections than it has calls.
const SETUPS_MAX: usize = 128;

/// For each request that may be in flight in a lane of the gate, so many setups may wait. There are two lanes.
const WAITING_PER_CALL: usize = 2;

/// The error of a boxed connector.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Limits the setups of all connectors that it is laid around.
#[derive(Clone)]
pub(super) struct SetupLimit {
    permits: Arc<Semaphore>,
    figures: Arc<Figures>,
    waiting_max: usize,
}

#[derive(Default)]
struct Figures {
    waiting: AtomicUsize,
    opened: AtomicU64,
}

impl SetupLimit {
    /// A limit for that many requests in each of the two lanes.
    pub(super) fn new(concurrency_max: usize) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(SETUPS_MAX)),
            figures: Arc::default(),
            waiting_max: concurrency_max.saturating_mul(WAITING_PER_CALL),
        }
    }

    /// How many connections were set up so far.
    pub(super) fn opened(&self) -> u64 {
        self.figures.opened.load(Ordering::Relaxed)
    }
}

impl<S> Layer<S> for SetupLimit {
    type Service = Limited<S>;

    fn layer(&self, inner: S) -> Limited<S> {
        Limited {
            inner,
            permits: PollSemaphore::new(Arc::clone(&self.permits)),
            permit: None,
            waiting: None,
            limit: self.clone(),
        }
    }
}

/// A connector whose setups are limited.
pub(super) struct Limited<S> {
    inner: S,
    permits: PollSemaphore,
    /// For the setup that comes next.
    permit: Option<OwnedSemaphorePermit>,
    waiting: Option<Waiting>,
    limit: SetupLimit,
}

impl<S: Clone> Clone for Limited<S> {
    fn clone(&self) -> Self {
        self.limit.layer(self.inner.clone())
    }
}

/// One of the setups that wait.
struct Waiting(Arc<Figures>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<S, R> Service<R> for Limited<S>
where
    S: Service<R, Error = BoxError>,
    S::Future: Send + 'static,
    S::Response: 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<S::Response, BoxError>> + Send>>;

    /// Waits for a turn. The connect timeout begins after that.
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.permit.is_none() {
            let Poll::Ready(permit) = self.permits.poll_acquire(context) else { return self.wait() };
            self.waiting = None;
            self.permit = permit;
        }
        ready!(self.inner.poll_ready(context))?;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: R) -> Self::Future {
        let permit = self.permit.take();
        let connecting = self.inner.call(request);
        let figures = Arc::clone(&self.limit.figures);
        Box::pin(async move {
            let connected = connecting.await?;
            figures.opened.fetch_add(1, Ordering::Relaxed);
            drop(permit);
            Ok(connected)
        })
    }
}

impl<S> Limited<S> {
    /// Counts this setup among those that wait, or fails it if they are too many: requests do not wait for most of those.
    fn wait(&mut self) -> Poll<Result<(), BoxError>> {
        if self.waiting.is_none() {
            let before = self.limit.figures.waiting.fetch_add(1, Ordering::Relaxed);
            let waiting = Waiting(Arc::clone(&self.limit.figures));
            if before >= self.limit.waiting_max {
                return Poll::Ready(Err(io::Error::other("too many connections are being set up").into()));
            }
            self.waiting = Some(waiting);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::Ready;
    use std::time::Duration;

    use super::*;

    /// A connector that takes 5 ms, and remembers how many setups there were at most at one time.
    #[derive(Clone, Default)]
    struct Slow {
        now: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
    }

    impl Service<()> for Slow {
        type Response = ();
        type Error = BoxError;
        type Future = std::pin::Pin<Box<dyn Future<Output = Result<(), BoxError>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, (): ()) -> Self::Future {
            let (now, most) = (Arc::clone(&self.now), Arc::clone(&self.most));
            Box::pin(async move {
                most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(5)).await;
                now.fetch_sub(1, Ordering::Relaxed);
                Ok(())
            })
        }
    }

    async fn connect<S: Service<(), Error = BoxError>>(mut connector: S) -> Result<S::Response, BoxError> {
        std::future::poll_fn(|context| connector.poll_ready(context)).await?;
        connector.call(()).await
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_connections_are_set_up_at_one_time_and_the_others_wait() {
        let (limit, slow) = (SetupLimit::new(1024), Slow::default());
        let connector = limit.layer(slow.clone());
        let setups: Vec<_> = (0..1000).map(|_| tokio::spawn(connect(connector.clone()))).collect();
        for setup in setups {
            setup.await.unwrap().unwrap();
        }
        assert_eq!((slow.most.load(Ordering::Relaxed), limit.opened()), (SETUPS_MAX, 1000));
        assert_eq!(limit.figures.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn more_setups_than_may_wait_fail_at_once_and_those_given_up_leave_their_place() {
        let (limit, slow) = (SetupLimit::new(1), Slow::default());
        let connector = limit.layer(slow);
        let start = || tokio::spawn(connect(connector.clone()));
        let running: Vec<_> = (0..SETUPS_MAX).map(|_| start()).collect();
        let waiting = [start(), start()];
        tokio::task::yield_now().await;
        assert!(start().await.unwrap().unwrap_err().to_string().contains("too many"));
        waiting[0].abort();
        tokio::task::yield_now().await;
        let late = start();
        for setup in running {
            setup.await.unwrap().unwrap();
        }
        let [given_up, waited] = waiting;
        assert!(given_up.await.unwrap_err().is_cancelled());
        waited.await.unwrap().unwrap();
        late.await.unwrap().unwrap();
        assert_eq!(limit.figures.waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_setup_that_fails_leaves_its_place() {
        struct Failing;
        impl Service<()> for Failing {
            type Response = ();
            type Error = BoxError;
            type Future = Ready<Result<(), BoxError>>;
            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
                Poll::Ready(Ok(()))
            }
            fn call(&mut self, (): ()) -> Self::Future {
                std::future::ready(Err("nobody listens".into()))
            }
        }
        let limit = SetupLimit::new(1);
        for _ in 0..2 * SETUPS_MAX {
            assert!(connect(limit.layer(Failing)).await.is_err());
        }
        assert_eq!((limit.opened(), limit.permits.available_permits()), (0, SETUPS_MAX));
    }
}
