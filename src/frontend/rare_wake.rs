//! A future that is polled only when it was woken itself.
//!
//! A connection's task waits for several things, and is polled for every request. What hardly ever happens, such as the end
//! of the process, need not be looked at each time: looking takes locks.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// The future, behind a bell.
#[derive(Debug)]
pub(super) struct Rarely<F> {
    future: Pin<Box<F>>,
    /// What the future was last polled with.
    bell: Option<Arc<Bell>>,
}

/// Wakes the task and remembers for whom.
#[derive(Debug)]
struct Bell {
    rung: AtomicBool,
    task: Waker,
}

impl<F: Future> Rarely<F> {
    pub(super) fn new(future: F) -> Self {
        Self { future: Box::pin(future), bell: None }
    }

    /// The future itself.
    pub(super) fn inner(&self) -> &F {
        &self.future
    }

    /// The future itself, to be changed: it is polled the next time, whether it was woken or not.
    pub(super) fn inner_mut(&mut self) -> Pin<&mut F> {
        self.bell = None;
        self.future.as_mut()
    }
}

impl<F: Future> Future for Rarely<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        if let Some(bell) = &self.bell
            && !bell.rung.load(Ordering::Acquire)
            && bell.task.will_wake(context.waker())
        {
            return Poll::Pending;
        }
        let bell = Arc::new(Bell { rung: AtomicBool::new(false), task: context.waker().clone() });
        let polled = self.future.as_mut().poll(&mut Context::from_waker(&Waker::from(Arc::clone(&bell))));
        // A future that is ready rings no more, and may be set anew.
        self.bell = polled.is_pending().then_some(bell);
        polled
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_polled_again_only_after_it_was_woken() {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let (mut polls, mut receiver) = (0, Box::pin(receiver));
        let mut rarely = Box::pin(Rarely::new(std::future::poll_fn(|context| {
            polls += 1;
            receiver.as_mut().poll(context)
        })));
        for _ in 0..5 {
            let polled = std::future::poll_fn(|context| Poll::Ready(rarely.as_mut().poll(context))).await;
            assert!(polled.is_pending());
        }
        sender.send(7).unwrap();
        assert_eq!(rarely.as_mut().await, Ok(7));
        drop(rarely);
        assert_eq!(polls, 2);
    }
}
