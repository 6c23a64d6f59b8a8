//! Work on large requests, off the threads that serve connections.
//!
//! To parse megabytes takes a thread for as long as thousands of hits take. Such work is polled in `block_in_place`, so that
//! another thread takes the connections over meanwhile, and on half of the processors at most, so that hits find a free one.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio_util::sync::PollSemaphore;

/// A body that is longer is worth the way; the longest that usual requests have are not.
pub const LARGE_BODY_BYTES: usize = 64 << 10;

/// Polls that run at one time. The processors are the whole process's, and so is this.
static POLLS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    Arc::new(Semaphore::new((processors / 2).max(1)))
});

thread_local! {
    /// True while this thread polls such work: what it awaits in turn has its permit already.
    static POLLS_NOW: Cell<bool> = const { Cell::new(false) };
}

/// A future that is polled off the threads of connections. Dropped, it drops the work.
pub struct Offloaded<'a, T> {
    work: Pin<Box<dyn Future<Output = T> + Send + 'a>>,
    polls: PollSemaphore,
}

/// Has a future polled off the threads of connections. In a runtime of one thread it is polled as it is.
pub fn offload<'a, T>(work: impl Future<Output = T> + Send + 'a) -> Offloaded<'a, T> {
    Offloaded { work: Box::pin(work), polls: PollSemaphore::new(Arc::clone(&POLLS)) }
}

impl<T> Future for Offloaded<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        if POLLS_NOW.get() {
            return self.work.as_mut().poll(context);
        }
        // Given back after each poll: work that waits for the upstream keeps nobody waiting.
        let _permit = ready!(self.polls.poll_acquire(context)).expect("the semaphore is never closed");
        match Handle::current().runtime_flavor() {
            RuntimeFlavor::MultiThread => {
                tokio::task::block_in_place(|| poll_marked(self.work.as_mut(), context))
            }
            _ => poll_marked(self.work.as_mut(), context),
        }
    }
}

fn poll_marked<T>(
    work: Pin<&mut (dyn Future<Output = T> + Send + '_)>,
    context: &mut Context<'_>,
) -> Poll<T> {
    let _mark = Mark::set();
    work.poll(context)
}

/// The thread's mark, taken off however the poll ends.
struct Mark;

impl Mark {
    fn set() -> Self {
        POLLS_NOW.set(true);
        Self
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        POLLS_NOW.set(false);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn on_threads<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        runtime.block_on(work)
    }

    #[test]
    fn other_tasks_run_while_such_work_blocks_its_thread() {
        let met = Arc::new(Barrier::new(2));
        let other = Arc::clone(&met);
        let (begun, blocks) = tokio::sync::oneshot::channel();
        on_threads(async {
            // The only worker would wait here for ever if nobody took its other task over.
            let blocking = tokio::spawn(offload(async move {
                begun.send(()).unwrap();
                met.wait().is_leader()
            }));
            let free = tokio::spawn(async move {
                blocks.await.unwrap();
                other.wait().is_leader()
            });
            assert_ne!(blocking.await.unwrap(), free.await.unwrap());
        });
    }

    #[test]
    fn work_within_work_needs_no_second_permit_and_gives_its_own_back_while_it_waits() {
        on_threads(async {
            let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
            let waiting =
                tokio::spawn(offload(async move { offload(async move { receiver.await.is_ok() }).await }));
            tokio::task::yield_now().await;
            // As many as there are permits, and one more.
            for _ in 0..=POLLS.available_permits() {
                assert_eq!(tokio::spawn(offload(offload(async { 7 }))).await.unwrap(), 7);
            }
            sender.send(()).unwrap();
            assert!(waiting.await.unwrap());
        });
    }

    #[test]
    fn half_of_the_processors_stay_free() {
        let permits = POLLS.available_permits();
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        on_threads(async {
            let tasks: Vec<_> = (0..20)
                .map(|_| {
                    let (now, most) = (Arc::clone(&now), Arc::clone(&most));
                    tokio::spawn(offload(async move {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        now.fetch_sub(1, Ordering::SeqCst);
                    }))
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
        });
        assert!(most.load(Ordering::SeqCst) <= permits.max(1));
    }

    #[tokio::test]
    async fn a_runtime_of_one_thread_polls_it_as_it_is() {
        assert_eq!(offload(async { 7 }).await, 7);
    }
}
