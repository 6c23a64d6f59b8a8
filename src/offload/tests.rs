//! Where such work runs, and what becomes of it when it panics or nobody awaits it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Barrier, mpsc};

use super::*;

fn on_threads<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    runtime.block_on(work)
}

/// Reports its drop, and whether that was on the pool.
struct Dropped(mpsc::Sender<bool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.send(pool::is_this_thread()).unwrap();
    }
}

#[test]
fn other_tasks_run_while_such_work_blocks_its_thread() {
    let met = Arc::new(Barrier::new(2));
    let other = Arc::clone(&met);
    let (begun, blocks) = oneshot::channel();
    on_threads(async {
        // The only worker would wait here for ever if it polled the work itself.
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
fn work_within_work_stays_on_its_thread_which_others_have_while_it_waits() {
    on_threads(async {
        let (sender, receiver) = oneshot::channel::<()>();
        let waiting = tokio::spawn(offload(async move { offload(async { receiver.await.is_ok() }).await }));
        tokio::task::yield_now().await;
        // As many as there are threads, and one more.
        for _ in 0..=pool::threads_max() {
            let thread = || std::thread::current().id();
            let threads = tokio::spawn(offload(async move { (thread(), offload_call(thread).await) }));
            let (outer, inner) = threads.await.unwrap();
            assert_eq!(outer, inner);
        }
        sender.send(()).unwrap();
        assert!(waiting.await.unwrap());
    });
}

#[test]
fn half_of_the_processors_stay_free() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    on_threads(async {
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let (now, most) = (Arc::clone(&now), Arc::clone(&most));
                tokio::spawn(offload_call(move || {
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
    assert!((1..=pool::threads_max()).contains(&most.load(Ordering::SeqCst)));
}

#[cfg(target_os = "linux")]
#[test]
fn such_work_has_the_lowest_priority_and_lowers_nobody_elses() {
    let nice = || rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap();
    let before = nice();
    assert_eq!(on_threads(offload_call(nice)), 10);
    assert_eq!(nice(), before);
}

#[tokio::test]
async fn a_runtime_of_one_thread_polls_it_as_it_is() {
    assert!(!offload_call(pool::is_this_thread).await);
}

#[test]
fn it_may_use_the_runtime_it_is_awaited_in() {
    let outcome = on_threads(offload(async {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        tokio::spawn(async { pool::is_this_thread() }).await.unwrap()
    }));
    assert!(!outcome);
}

#[test]
fn work_that_wakes_itself_while_it_is_polled_is_polled_again() {
    let mut polls = 0;
    let work = std::future::poll_fn(move |context| {
        polls += 1;
        context.waker().wake_by_ref();
        if polls == 100 { Poll::Ready(polls) } else { Poll::Pending }
    });
    assert_eq!(on_threads(offload(work)), 100);
}

#[test]
fn a_panic_is_raised_where_the_work_is_awaited_and_the_threads_go_on() {
    on_threads(async {
        for _ in 0..=pool::threads_max() {
            let failed = tokio::spawn(offload_call(|| panic!("as told"))).await.unwrap_err();
            assert_eq!(*failed.into_panic().downcast::<&str>().unwrap(), "as told");
        }
        assert!(offload_call(pool::is_this_thread).await);
    });
}

#[test]
fn work_that_nobody_awaits_any_more_is_dropped_on_the_pool() {
    let (sender, dropped) = mpsc::channel();
    let witness = Dropped(sender);
    on_threads(async {
        let (begun, begins) = oneshot::channel();
        let task = tokio::spawn(offload(async move {
            let _witness = witness;
            begun.send(()).unwrap();
            std::future::pending::<()>().await;
        }));
        begins.await.unwrap();
        assert!(dropped.try_recv().is_err());
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
    });
    assert!(dropped.recv().unwrap());
}

#[test]
fn work_that_is_dropped_while_it_is_polled_ends_with_that_poll() {
    let (sender, dropped) = mpsc::channel();
    let witness = Dropped(sender);
    let (begun, begins) = oneshot::channel();
    let (let_go, goes) = mpsc::channel::<()>();
    on_threads(async {
        let task = tokio::spawn(offload(async move {
            let witness = witness;
            begun.send(()).unwrap();
            goes.recv().unwrap();
            // Due at once, if anybody still polled it.
            std::future::poll_fn(|context| {
                context.waker().wake_by_ref();
                Poll::<()>::Pending
            })
            .await;
            drop(witness);
        }));
        begins.await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert!(dropped.try_recv().is_err());
        let_go.send(()).unwrap();
        assert!(dropped.recv().unwrap());
    });
}

#[test]
fn what_work_holds_is_given_back_before_its_outcome_is_heard_of() {
    let (sender, dropped) = mpsc::channel();
    let witness = Dropped(sender);
    on_threads(offload(async move {
        let _witness = &witness;
    }));
    assert!(dropped.try_recv().unwrap());
}
