//! The clock of one connection, made for deadlines that are set with every request and hardly ever met.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt;

use super::rare_wake::Rarely;

/// hyper makes a timer for each request's head and drops it when the head is there. The runtime's timers stand in a wheel
/// under a lock that all connections share; here one of them serves all deadlines of a connection, and is set anew only
/// when it goes off, or for an earlier deadline.
#[derive(Clone, Debug, Default)]
pub(super) struct ConnectionTimer(Arc<Mutex<Clock>>);

#[derive(Debug, Default)]
struct Clock {
    sleep: Option<Rarely<tokio::time::Sleep>>,
    /// No deadline is met before: it stands for requests of which hyper knows nothing.
    put_off_to: Option<tokio::time::Instant>,
    /// A request of which hyper knows nothing is in flight, and no deadline is met.
    is_held: bool,
}

impl ConnectionTimer {
    /// Puts off every deadline to this one at least, those that are set already included.
    pub(super) fn put_off(&self, deadline: tokio::time::Instant) {
        let mut clock = self.clock();
        clock.put_off_to = Some(deadline);
        clock.is_held = false;
    }

    /// Lets no deadline be met until one is [put off](Self::put_off).
    pub(super) fn hold(&self) {
        self.clock().is_held = true;
    }

    /// True while no deadline is met.
    pub(super) fn is_held(&self) -> bool {
        self.clock().is_held
    }

    fn clock(&self) -> MutexGuard<'_, Clock> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One deadline. A connection waits for one at a time.
#[derive(Debug)]
struct Deadline {
    timer: ConnectionTimer,
    at: tokio::time::Instant,
}

impl rt::Timer for ConnectionTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Deadline { timer: self.clone(), at: deadline.into() })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

impl rt::Sleep for Deadline {}

impl Future for Deadline {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut clock = self.timer.clock();
        if clock.is_held {
            // The connection polls this again behind the answer, which puts the deadline off.
            return Poll::Pending;
        }
        let at = clock.put_off_to.map_or(self.at, |deadline| deadline.max(self.at));
        let sleep = clock.sleep.get_or_insert_with(|| Rarely::new(tokio::time::sleep_until(at)));
        if sleep.inner().deadline() > at {
            sleep.inner_mut().reset(at);
        }
        while Pin::new(&mut *sleep).poll(context).is_ready() {
            if sleep.inner().deadline() >= at {
                return Poll::Ready(());
            }
            sleep.inner_mut().reset(at);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use hyper::rt::Timer;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn deadlines_are_met_whatever_the_order_in_which_they_are_set() {
        let timer = ConnectionTimer::default();
        let begun = tokio::time::Instant::now();
        let mut dropped = timer.sleep(Duration::from_secs(20));
        let polled = std::future::poll_fn(|context| Poll::Ready(dropped.as_mut().poll(context))).await;
        assert!(polled.is_pending());
        drop(dropped);
        for (seconds, end) in [(30, 30), (5, 35), (1, 36), (100, 136)] {
            timer.sleep(Duration::from_secs(seconds)).await;
            assert_eq!(begun.elapsed().as_secs(), end);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_may_be_put_off_while_it_is_waited_for() {
        let timer = ConnectionTimer::default();
        let begun = tokio::time::Instant::now();
        let mut deadline = timer.sleep(Duration::from_secs(20));
        for seconds in [15, 30, 45] {
            let at = tokio::time::sleep_until(begun + Duration::from_secs(seconds));
            tokio::select! {
                () = deadline.as_mut() => panic!("met after {:?}", begun.elapsed()),
                () = at => timer.put_off(begun + Duration::from_secs(seconds + 20)),
            }
        }
        deadline.await;
        assert_eq!(begun.elapsed().as_secs(), 65);
        // One that is later anyway is met when it says.
        timer.sleep(Duration::from_secs(20)).await;
        assert_eq!(begun.elapsed().as_secs(), 85);
    }

    #[tokio::test(start_paused = true)]
    async fn no_deadline_is_met_while_the_clock_is_held() {
        let timer = ConnectionTimer::default();
        let begun = tokio::time::Instant::now();
        let mut deadline = timer.sleep(Duration::from_secs(20));
        timer.hold();
        let held = tokio::time::timeout(Duration::from_secs(50), deadline.as_mut()).await;
        assert!(held.is_err() && timer.is_held());
        timer.put_off(begun + Duration::from_secs(70));
        assert!(!timer.is_held());
        deadline.await;
        assert_eq!(begun.elapsed().as_secs(), 70);
    }
}
