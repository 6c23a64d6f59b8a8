//! Requests that arrive by a schedule, whatever the server does. A latency counts from the time at which its request was due, so
//! a server that stops for a moment pays for all who would have come meanwhile, and not only for those that it let come.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::connection::Connection;
use crate::histogram::Histogram;
use crate::load::{Measured, Numbered};
use crate::process::Server;

/// When the backlog has not ended after so many times the load's duration, the rest is given up and counted as one latency each.
const PATIENCE: u32 = 3;

/// How much longer than that a request may take.
const HANGS_AFTER: Duration = Duration::from_secs(10);

/// A load of that many requests a second.
#[derive(Clone, Copy)]
pub(crate) struct Arrivals {
    pub(crate) connections: usize,
    pub(crate) per_second: f64,
    pub(crate) duration: Duration,
}

/// When requests are due, and which of them were sent.
struct Schedule {
    started: Instant,
    interval: Duration,
    /// How many there are, and the number of the next one.
    total: usize,
    next: usize,
}

impl Schedule {
    /// The next request that is due: its number, and when it was due.
    fn take(&mut self) -> Option<(usize, Instant)> {
        let due = self.started + self.interval.mul_f64(self.next as f64);
        if self.next >= self.total || due > Instant::now() {
            return None;
        }
        self.next += 1;
        Some((self.next - 1, due))
    }

    /// When the next request is due; `None` if all were sent.
    fn due(&self) -> Option<Instant> {
        (self.next < self.total).then(|| self.started + self.interval.mul_f64(self.next as f64))
    }

    fn is_given_up(&self) -> bool {
        self.started.elapsed() > self.interval.mul_f64(self.total as f64) * PATIENCE
    }
}

/// What the connections of a round share.
struct Round {
    schedule: RefCell<Schedule>,
    latencies: RefCell<Histogram>,
    /// How late requests were sent for which a connection was free: the fault of the load, and not of the server.
    lateness: RefCell<Histogram>,
    idle: Notify,
}

/// What a round gave, and how late the load itself was for 99 of 100 requests.
pub(crate) struct Paced {
    pub(crate) measured: Measured,
    pub(crate) late_p99_us: f64,
}

impl Arrivals {
    pub(crate) async fn run(&self, server: &Server, request: &Numbered) -> Paced {
        let mut connections = Vec::new();
        for _ in 0..self.connections {
            connections.push(server.connect().await);
        }
        let cpu_before = server.cpu_us();
        let schedule = Schedule {
            started: Instant::now(),
            interval: Duration::from_secs_f64(1.0 / self.per_second),
            total: (self.per_second * self.duration.as_secs_f64()) as usize,
            next: 0,
        };
        let started = schedule.started;
        let round = Rc::new(Round {
            schedule: RefCell::new(schedule),
            latencies: RefCell::default(),
            lateness: RefCell::default(),
            idle: Notify::new(),
        });
        let local = tokio::task::LocalSet::new();
        for connection in connections {
            local.spawn_local(Rc::clone(&round).send(connection, Rc::clone(request)));
        }
        local.spawn_local(Rc::clone(&round).wake());
        // A connection that gets an answer ends the round when the backlog is too long. Without any answer, none would end it.
        let longest = self.duration * PATIENCE + HANGS_AFTER;
        let ended = tokio::time::timeout(longest, local).await;
        assert!(ended.is_ok(), "a request has had no answer for {HANGS_AFTER:?}: the server hangs");
        round.give_up();
        let latencies = round.latencies.borrow();
        Paced {
            measured: Measured::of(&latencies, started, server, cpu_before),
            late_p99_us: round.lateness.borrow().percentile_us(0.99),
        }
    }
}

impl Round {
    /// Sends on one connection what is due, and waits when nothing is.
    async fn send(self: Rc<Self>, mut connection: Connection, request: Numbered) {
        let mut was_idle = false;
        loop {
            let taken = self.schedule.borrow_mut().take();
            let Some((number, due)) = taken else {
                if self.schedule.borrow().due().is_none() {
                    break;
                }
                self.idle.notified().await;
                was_idle = true;
                continue;
            };
            if was_idle {
                self.lateness.borrow_mut().record(due.elapsed());
            }
            was_idle = false;
            connection.exchange(&request(number)).await;
            self.latencies.borrow_mut().record(due.elapsed());
            if self.schedule.borrow().is_given_up() {
                break;
            }
        }
        // The others end, too.
        self.idle.notify_waiters();
    }

    /// Wakes a connection for each request when it becomes due. Connections that are busy look for themselves when they are done.
    async fn wake(self: Rc<Self>) {
        let mut alarm = Alarm::new();
        loop {
            let (due, interval) = {
                let schedule = self.schedule.borrow();
                let Some(due) = schedule.due().filter(|_| !schedule.is_given_up()) else { break };
                (due, schedule.interval)
            };
            let now = Instant::now();
            if due <= now {
                self.idle.notify_one();
            }
            alarm.wait(due.saturating_duration_since(now).max(interval.min(Duration::from_micros(20)))).await;
        }
        self.idle.notify_waiters();
    }

    /// What was never sent waited until now.
    fn give_up(&self) {
        let mut schedule = self.schedule.borrow_mut();
        while let Some((_, due)) = schedule.take() {
            self.latencies.borrow_mut().record(due.elapsed());
        }
    }
}

/// A timer of microseconds; the runtime's own counts milliseconds.
#[cfg(target_os = "linux")]
struct Alarm(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>);

#[cfg(target_os = "linux")]
impl Alarm {
    #[expect(
        deprecated,
        reason = "what it is unsound for cannot be: an `OwnedFd` is always the same descriptor"
    )]
    fn new() -> Self {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC);
        let timer = timer.expect("the kernel gives a timer");
        Self(tokio::io::unix::AsyncFd::new(timer).expect("the runtime can wait for a timer"))
    }

    async fn wait(&mut self, duration: Duration) {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(duration.subsec_nanos().max(1)),
            },
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once).expect("a timer can be set");
        let mut ready = self.0.readable().await.expect("the runtime waits for the timer");
        // Setting it again takes back that it has expired, so nothing needs to be read.
        ready.clear_ready();
    }
}

#[cfg(not(target_os = "linux"))]
struct Alarm;

#[cfg(not(target_os = "linux"))]
impl Alarm {
    fn new() -> Self {
        Self
    }

    async fn wait(&mut self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
