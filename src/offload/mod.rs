//! Long work on large requests, off the threads that serve connections.
//!
//! To parse megabytes takes a thread for as long as thousands of hits take. Such work runs on a few threads of its own, on half
//! of the processors at most and at a low priority: where hits and such work want one processor, the hits get most of it.
//!
//! Work must not start threads: on Linux they inherit the priority of the thread that starts them.

mod pool;

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;

use pool::{Pool, Task};

/// A longer body is read on the pool. The bodies of usual requests are shorter, and not worth the way to another thread.
pub const LARGE_BODY_BYTES: usize = 64 << 10;

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A future that is polled on the pool, or where it is awaited if there is no pool for it.
///
/// Dropping this drops the work. If the work has begun on the pool, the pool drops it, after a poll that is in flight.
pub struct Offloaded<T>(Place<T>);

enum Place<T> {
    /// Not polled yet; `None` only for the moment of the first poll.
    Undecided(Option<Work<T>>),
    /// Polled where this is awaited.
    Here(Work<T>),
    /// Polled on the pool.
    Pool(Pooled<T>),
}

/// Work on the pool, and the way of its outcome back.
struct Pooled<T> {
    task: Arc<Task>,
    outcome: oneshot::Receiver<std::thread::Result<T>>,
}

/// Has a future polled on the pool.
///
/// It is polled where it is awaited in two cases: in a runtime of one thread, whose tests stop the clock; and within other work
/// of the pool, which is on the right thread already. A panic of the work is raised where this is awaited.
pub fn offload<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Offloaded<T> {
    Offloaded(Place::Undecided(Some(Box::pin(work))))
}

/// [`offload`] for a piece of work that waits for nothing.
pub fn offload_call<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Offloaded<T> {
    offload(async { work() })
}

impl<T: Send + 'static> Place<T> {
    /// Decides where work runs. Called where it is first polled, which need not be where it was made.
    fn choose(work: Work<T>) -> Self {
        let runtime = Handle::current();
        if pool::is_this_thread() || runtime.runtime_flavor() != RuntimeFlavor::MultiThread {
            return Self::Here(work);
        }
        match Pool::started() {
            Some(pool) => Self::Pool(Pooled::begin(pool, work, runtime)),
            None => Self::Here(work),
        }
    }
}

impl<T: Send + 'static> Pooled<T> {
    fn begin(pool: &'static Pool, mut work: Work<T>, runtime: Handle) -> Self {
        let (sender, outcome) = oneshot::channel();
        let reporting = async move {
            // After a panic the work is only dropped.
            let polls = std::future::poll_fn(|context| {
                match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
                    Ok(polled) => polled.map(Ok),
                    Err(panic) => Poll::Ready(Err(panic)),
                }
            });
            let outcome = polls.await;
            // What the work holds is given back before its outcome is heard of.
            drop(work);
            // Nobody awaits it any more; then the outcome is dropped here.
            let _ = sender.send(outcome);
        };
        Self { task: pool.begin(Box::pin(reporting), runtime), outcome }
    }
}

impl<T> Drop for Pooled<T> {
    fn drop(&mut self) {
        self.task.cancel();
    }
}

impl<T: Send + 'static> Future for Offloaded<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        if let Place::Undecided(work) = &mut self.0 {
            let work = work.take().expect("work is taken once, by its first poll");
            self.0 = Place::choose(work);
        }
        match &mut self.0 {
            Place::Undecided(_) => unreachable!("the place was just chosen"),
            Place::Here(work) => work.as_mut().poll(context),
            Place::Pool(pooled) => match ready!(Pin::new(&mut pooled.outcome).poll(context)) {
                Ok(Ok(value)) => Poll::Ready(value),
                Ok(Err(panic)) => resume_unwind(panic),
                Err(_) => panic!("work on the pool panicked while it was dropped"),
            },
        }
    }
}

#[cfg(test)]
mod tests;
