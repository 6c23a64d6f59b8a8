//! The threads for long work: an executor of a queue and a few threads, started by the first work there is.

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::runtime::Handle;

/// The processors are the whole process's, and so is this.
static POOL: LazyLock<Pool> = LazyLock::new(Pool::start);

thread_local! {
    /// True on the pool's threads.
    static IS_POOL: Cell<bool> = const { Cell::new(false) };
}

/// True if the calling thread is one of the pool's.
pub(super) fn is_this_thread() -> bool {
    IS_POOL.get()
}

/// The threads and the tasks that wait for one. A task is in the queue at most once.
pub(super) struct Pool {
    queue: Mutex<VecDeque<Arc<Task>>>,
    arrived: Condvar,
    /// How many there are. They live as long as the process.
    threads: usize,
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A future on the pool. It is its own waker.
pub(super) struct Task {
    state: Mutex<State>,
    /// In whose context the future is polled and dropped.
    runtime: Handle,
}

struct State {
    /// `None` while it is polled, and when it is done.
    work: Option<Work>,
    stage: Stage,
    is_cancelled: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Until it is woken or cancelled.
    Waiting,
    /// In the pool's queue.
    Queued,
    /// On a thread.
    Polled,
    /// On a thread, and to be polled again.
    PolledAndWoken,
    /// Dropped.
    Done,
}

impl Pool {
    /// The pool, whose threads the first call starts. `None` if the system gives it none.
    pub(super) fn started() -> Option<&'static Self> {
        let pool: &'static Self = &POOL;
        (pool.threads > 0).then_some(pool)
    }

    fn start() -> Self {
        let wanted = threads_max();
        let start = |_: &usize| {
            let thread = std::thread::Builder::new().name("nearside-heavy".to_owned());
            // The thread waits here until the pool is made.
            thread.spawn(|| POOL.run()).is_ok()
        };
        let threads = (0..wanted).take_while(start).count();
        Self { queue: Mutex::default(), arrived: Condvar::new(), threads }
    }

    /// Takes work on.
    pub(super) fn begin(&self, work: Work, runtime: Handle) -> Arc<Task> {
        let state = State { work: Some(work), stage: Stage::Queued, is_cancelled: false };
        let task = Arc::new(Task { state: Mutex::new(state), runtime });
        self.push(Arc::clone(&task));
        task
    }

    fn push(&self, task: Arc<Task>) {
        self.lock().push_back(task);
        self.arrived.notify_one();
    }

    /// A thread's whole life.
    fn run(&self) {
        IS_POOL.set(true);
        lower_priority();
        loop {
            let task = self.next();
            // What a task's drop breaks is the task's own. The thread is needed by the others.
            let _ = catch_unwind(AssertUnwindSafe(|| task.run()));
        }
    }

    fn next(&self) -> Arc<Task> {
        let waiting = self.arrived.wait_while(self.lock(), |queue| queue.is_empty());
        let mut queue = waiting.unwrap_or_else(PoisonError::into_inner);
        queue.pop_front().expect("a thread wakes when there is a task")
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Task>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Half of the processors, so that hits find a free one.
pub(super) fn threads_max() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    (processors / 2).max(1)
}

/// Gives the calling thread a low priority.
#[cfg(target_os = "linux")]
fn lower_priority() {
    /// Linux gives such a thread a tenth of a processor that others want: hits hardly notice, and long work goes on.
    const NICE: i32 = 10;
    // On Linux a nice value is a thread's own.
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICE) {
        static REPORT: std::sync::Once = std::sync::Once::new();
        REPORT.call_once(|| {
            tracing::debug!(%error, "Long work runs at the priority of connections.");
        });
    }
}

/// Elsewhere only whole processes have one.
#[cfg(not(target_os = "linux"))]
fn lower_priority() {}

impl Task {
    /// Has the work dropped on the pool; at once, or after the poll in flight.
    pub(super) fn cancel(self: &Arc<Self>) {
        let mut state = self.lock();
        state.is_cancelled = true;
        self.queue(state);
    }

    /// Polls the work once, or drops it.
    fn run(self: Arc<Self>) {
        let mut state = self.lock();
        state.stage = Stage::Polled;
        let (work, is_cancelled) = (state.work.take(), state.is_cancelled);
        drop(state);
        let _context = self.runtime.enter();
        // Whatever is left of it, and whatever panics, is dropped before `ending`, without a lock.
        let ending = Ending(&self);
        let Some(mut work) = work.filter(|_| !is_cancelled) else { return };
        let waker = Waker::from(Arc::clone(&self));
        if work.as_mut().poll(&mut Context::from_waker(&waker)) == Poll::Pending {
            std::mem::forget(ending);
            self.put_back(work);
        }
    }

    /// Keeps work that waits for something.
    fn put_back(self: &Arc<Self>, work: Work) {
        let mut state = self.lock();
        let is_due = state.stage == Stage::PolledAndWoken || state.is_cancelled;
        state.work = Some(work);
        state.stage = Stage::Waiting;
        if is_due {
            self.queue(state);
        }
    }

    /// Puts the task into the queue if it is not there, and not done.
    fn queue(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        match state.stage {
            Stage::Waiting => {
                state.stage = Stage::Queued;
                drop(state);
                POOL.push(Arc::clone(self));
            }
            Stage::Polled => state.stage = Stage::PolledAndWoken,
            Stage::Queued | Stage::PolledAndWoken | Stage::Done => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.queue(self.lock());
    }
}

/// Marks a task as done when it goes.
struct Ending<'a>(&'a Task);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.lock().stage = Stage::Done;
    }
}
