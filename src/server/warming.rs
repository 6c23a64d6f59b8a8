//! Warm-ups of tables: which run, how fast, and where each has got to.
//!
//! A warm-up has a task for each of its segments, with one page in flight at most. One rate limiter holds all of them to the
//! job's rate. A job that was stopped or has failed keeps its places until the process ends, and goes on from there, unless the
//! cache has dropped the table since.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{Fault, Warm};
use crate::engine::{Engine, WarmFailure, WarmPage, WarmPlace, WarmRoom, WarmSurvey};
use crate::locks::lock;

/// How many segments a table is read in, if nobody says.
const SEGMENTS: u32 = 4;

/// Read units a second, if nobody says: what one page of 800 KB costs, and a fraction of what a table on demand gives.
const RATE: f64 = 100.0;

/// Warm-ups that run at a time.
const RUNNING_MAX: usize = 4;

/// Jobs that are remembered.
const JOBS_MAX: usize = 100;

/// How often a page is tried again, and how long after the first failure. The pause doubles with each.
const RETRIES: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// What an item costs that nobody has measured yet.
const UNITS_AN_ITEM: f64 = 0.05;

/// What a page costs at most: 1 MB, read strongly.
const UNITS_A_PAGE_MAX: f64 = 256.0;

/// The most items of a page. Those that come with many others keep each other out now and then: see `CompletedReads` in the cache.
const ITEMS_MAX: f64 = 500.0;

/// All warm-ups of the node. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct WarmUps {
    jobs: Arc<Mutex<Jobs>>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

/// The warm-ups by the ARNs of their tables; by the name where the upstream reports no ARN.
type Jobs = BTreeMap<String, Arc<Job>>;

/// The warm-up of one table.
struct Job {
    /// The name or the ARN that it was begun with.
    table: String,
    /// The table's name.
    name: String,
    /// Its ARN; empty if the upstream reports none.
    arn: String,
    segments: u32,
    rate: f64,
    started: SystemTime,
    run: Instant,
    limiter: RateLimiter,
    stop: CancellationToken,
    /// After a panic under the lock it is a page old.
    progress: Mutex<Progress>,
}

/// What a job has done. It outlives a stop.
#[derive(Clone)]
struct Progress {
    state: State,
    items: u64,
    installed: u64,
    read_units: f64,
    /// Where each segment is; `None` for one that is done.
    places: Vec<Option<WarmPlace>>,
    survey: WarmSurvey,
    /// How many items there were when this run began.
    items_before: u64,
    error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Done,
    Failed,
    Stopped,
}

impl State {
    fn label(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// Why a segment ends before its end.
enum Ending {
    Stopped,
    Full,
    /// The cache has dropped what the job has read so far.
    Dropped,
    Failed(WarmFailure),
}

/// When the next page may be read, so that what was read so far is paid for.
struct RateLimiter {
    rate: f64,
    next: Mutex<Instant>,
}

impl RateLimiter {
    fn new(rate: f64) -> Self {
        Self { rate, next: Mutex::new(Instant::now()) }
    }

    fn spend(&self, units: f64) {
        let mut next = lock(&self.next);
        // An upstream may report anything.
        let units = units.clamp(0.0, UNITS_A_PAGE_MAX);
        *next = (*next).max(Instant::now()) + Duration::from_secs_f64(units / self.rate);
    }

    async fn wait(&self) {
        let next = *lock(&self.next);
        tokio::time::sleep_until(next).await;
    }
}

impl WarmUps {
    /// Begins a warm-up, or goes on with one that was stopped or has failed.
    ///
    /// # Errors
    /// [`Fault`] for a table that is not there or is not cached, and where a warm-up of it runs.
    pub(super) async fn start(&self, engine: &Arc<Engine>, warm: Warm) -> Result<Value, Fault> {
        // First of all, since a name and an ARN may mean the same table, which has one warm-up.
        let survey = engine.survey(&warm.table).await.map_err(|failure| unwarmable(&warm.table, &failure))?;
        let job = self.enter(warm, survey)?;
        let (runner, engine) = (Arc::clone(&job), Arc::clone(engine));
        tracing::info!(table = job.name, segments = job.segments, rate = job.rate, "Warm-up begun.");
        self.tasks.spawn(async move { runner.run(engine).await });
        Ok(job.to_json())
    }

    /// Makes a job and remembers it, so that no second one begins.
    fn enter(&self, warm: Warm, survey: WarmSurvey) -> Result<Arc<Job>, Fault> {
        let Warm { table, segments, rate, restart } = warm;
        let (name, arn) = (survey.table.clone(), survey.arn.clone());
        let identity = if arn.is_empty() { name.clone() } else { arn.clone() };
        let mut jobs = lock(&self.jobs);
        if jobs.get(&identity).is_some_and(|job| job.is_running()) {
            return Err(Fault::conflict(format!(
                "A warm-up of {name} runs already: look at it with GET api/warm, or stop it with POST api/warm/stop."
            )));
        }
        if jobs.values().filter(|job| job.is_running()).count() >= RUNNING_MAX {
            return Err(Fault::conflict(format!(
                "{RUNNING_MAX} warm-ups run already: wait for one to end, or stop one with POST api/warm/stop."
            )));
        }
        if jobs.len() >= JOBS_MAX {
            jobs.retain(|_, job| job.is_running());
        }
        let former = jobs.get(&identity).filter(|_| !restart).map(|job| lock(&job.progress).clone());
        // What was read before the table was dropped is gone, and so is the use of its places.
        let former = former.filter(|former| former.state != State::Done && former.survey.mark == survey.mark);
        let segments = segments_of(&name, segments, former.as_ref())?;
        let begin = |segment| Some(WarmPlace { segment, segments, after: None });
        let progress = match former {
            Some(former) => {
                Progress { state: State::Running, items_before: former.items, error: None, survey, ..former }
            }
            None => Progress {
                state: State::Running,
                items: 0,
                installed: 0,
                read_units: 0.0,
                places: (0..segments).map(begin).collect(),
                survey,
                items_before: 0,
                error: None,
            },
        };
        let rate = rate.unwrap_or(RATE);
        let job = Arc::new(Job {
            table,
            name,
            arn,
            segments,
            rate,
            started: SystemTime::now(),
            run: Instant::now(),
            limiter: RateLimiter::new(rate),
            stop: self.closing.child_token(),
            progress: Mutex::new(progress),
        });
        jobs.insert(identity, Arc::clone(&job));
        Ok(job)
    }

    /// Every job that is remembered.
    pub(super) fn to_json(&self) -> Value {
        let jobs: Vec<_> = lock(&self.jobs).values().map(|job| job.to_json()).collect();
        json!({ "jobs": jobs })
    }

    /// Stops the warm-up of a table. Its places are kept.
    ///
    /// # Errors
    /// [`Fault`] if none runs.
    pub(super) fn stop(&self, table: &str) -> Result<Value, Fault> {
        let job = lock(&self.jobs).values().find(|job| job.is_running() && job.is_of(table)).cloned();
        let job = job.ok_or_else(|| Fault::missing(format!("No warm-up of {table} runs on this node.")))?;
        job.stop.cancel();
        job.end(State::Stopped, None);
        Ok(job.to_json())
    }

    /// Ends all of them, and waits until they have ended.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// How many segments a job has. One that goes on keeps those that it began with.
fn segments_of(table: &str, asked: Option<u32>, former: Option<&Progress>) -> Result<u32, Fault> {
    let Some(former) = former else { return Ok(asked.unwrap_or(SEGMENTS)) };
    let begun = former.places.len() as u32;
    match asked {
        Some(asked) if asked != begun => Err(Fault::conflict(format!(
            "The warm-up of {table} that was stopped has {begun} segments, and goes on with as many: \
             leave segments out, or begin at the beginning with restart."
        ))),
        Some(_) | None => Ok(begun),
    }
}

impl Job {
    fn is_running(&self) -> bool {
        lock(&self.progress).state == State::Running
    }

    /// True if that is the name or the ARN of its table.
    fn is_of(&self, table: &str) -> bool {
        table == self.name || table == self.arn
    }

    /// Reads every segment to its end, all of them at a time.
    async fn run(self: Arc<Self>, engine: Arc<Engine>) {
        let room = engine.begin_warm_up();
        let mut segments = tokio::task::JoinSet::new();
        for segment in 0..self.segments {
            let (job, engine) = (Arc::clone(&self), Arc::clone(&engine));
            segments.spawn(async move { job.read_segment(&engine, segment as usize, room).await });
        }
        let mut ending = Ok(());
        while let Some(ended) = segments.join_next().await {
            let ended = ended.unwrap_or_else(|_| {
                Err(Ending::Failed(WarmFailure::Permanent(
                    "a task of this node failed; see its log".to_owned(),
                )))
            });
            if let Err(reason) = ended {
                // One that cannot go on ends the others: they are where they are.
                self.stop.cancel();
                if !matches!(reason, Ending::Stopped) || ending.is_ok() {
                    ending = Err(reason);
                }
            }
        }
        if ending.is_ok() {
            ending = self.check_kept(&engine).await;
        }
        match ending {
            Ok(()) => self.end(State::Done, None),
            Err(Ending::Dropped) => self.end(State::Failed, Some(DROPPED.to_owned())),
            Err(Ending::Stopped) => self.end(State::Stopped, None),
            Err(Ending::Full) => self.end(State::Stopped, Some(FULL.to_owned())),
            Err(Ending::Failed(failure)) => {
                let sentence = format!(
                    "The warm-up of {} ended, because {failure}. Warm the table again to go on where it stopped.",
                    self.name
                );
                self.end(State::Failed, Some(sentence));
            }
        }
    }

    /// Checks that what the job has read is still cached, as far as flushes and reloads matter.
    async fn check_kept(&self, engine: &Arc<Engine>) -> Result<(), Ending> {
        let mark = engine.warm_mark(&self.table).await.map_err(Ending::Failed)?;
        if mark == lock(&self.progress).survey.mark { Ok(()) } else { Err(Ending::Dropped) }
    }

    async fn read_segment(&self, engine: &Arc<Engine>, segment: usize, room: WarmRoom) -> Result<(), Ending> {
        let mark = lock(&self.progress).survey.mark;
        let mut failures = 0;
        loop {
            let place = lock(&self.progress).places.get(segment).cloned().flatten();
            let Some(place) = place else { return Ok(()) };
            let turn = async {
                self.limiter.wait().await;
                if !engine.has_room_to_warm(room) {
                    return Err(Ending::Full);
                }
                engine.warm_page(&self.table, &place, self.items_a_page()).await.map_err(Ending::Failed)
            };
            let read = self.stop.run_until_cancelled(turn).await.unwrap_or(Err(Ending::Stopped));
            match read {
                // The page is of use, but those before it are gone.
                Ok(page) if page.mark != mark => return Err(Ending::Dropped),
                Ok(page) => {
                    failures = 0;
                    self.limiter.spend(page.read_units);
                    self.note(segment, place, page);
                }
                Err(Ending::Failed(WarmFailure::Transient(_))) if failures < RETRIES => {
                    let pause = FIRST_PAUSE * 2_u32.pow(failures);
                    failures += 1;
                    self.stop.run_until_cancelled(tokio::time::sleep(pause)).await;
                }
                Err(ending) => return Err(ending),
            }
        }
    }

    /// So many that a page costs what the job may spend in a second, shared by its segments.
    fn items_a_page(&self) -> u64 {
        let progress = lock(&self.progress);
        let described = || {
            let (items, bytes) = (progress.survey.items?, progress.survey.bytes?);
            (items > 0).then(|| bytes as f64 / items as f64 / 8192.0)
        };
        let units = match progress.items {
            0 => described().unwrap_or(UNITS_AN_ITEM),
            items => progress.read_units / items as f64,
        };
        (self.rate / f64::from(self.segments) / units.max(1e-4)).clamp(1.0, ITEMS_MAX) as u64
    }

    fn note(&self, segment: usize, place: WarmPlace, page: WarmPage) {
        let mut progress = lock(&self.progress);
        progress.items += page.items;
        progress.installed += page.installed;
        progress.read_units += page.read_units;
        if let Some(known) = progress.places.get_mut(segment) {
            *known = page.next.map(|next| WarmPlace { after: Some(next), ..place });
        }
    }

    /// Ends it, unless it has ended.
    fn end(&self, state: State, error: Option<String>) {
        let mut progress = lock(&self.progress);
        if progress.state != State::Running {
            return;
        }
        (progress.state, progress.error) = (state, error);
        let (table, items, installed) = (&self.name, progress.items, progress.installed);
        let read_units = progress.read_units;
        match &progress.error {
            None => {
                let state = state.label();
                tracing::info!(table, state, items, installed, read_units, "Warm-up ended.");
            }
            Some(error) => tracing::warn!(table, items, installed, read_units, error, "Warm-up ended early."),
        }
    }

    fn to_json(&self) -> Value {
        let progress = lock(&self.progress);
        json!({
            "table": self.name,
            "arn": self.arn,
            "state": progress.state.label(),
            "items": progress.items,
            "installed": progress.installed,
            "read_units": progress.read_units,
            "segments_done": progress.places.iter().filter(|place| place.is_none()).count(),
            "segments": self.segments,
            "items_expected": progress.survey.items,
            "rate": self.rate,
            "started_at": self.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64(),
            "seconds_left": self.seconds_left(&progress),
            "error": progress.error,
        })
    }

    /// By what the upstream says of the number of items, and how fast this run was so far.
    fn seconds_left(&self, progress: &Progress) -> Option<f64> {
        let read = progress.items.checked_sub(progress.items_before).filter(|read| *read > 0)?;
        let left = progress.survey.items?.checked_sub(progress.items)?;
        (progress.state == State::Running)
            .then(|| left as f64 * self.run.elapsed().as_secs_f64() / read as f64)
    }
}

/// Why a job stopped by itself.
const FULL: &str = "The cache is full, and more would only push out what is there: \
                    raise max_bytes under [cache], and warm the table again to go on where it stopped.";

/// Why a job ended whose table was flushed, or invalidated.
const DROPPED: &str = "The cache has dropped the table while it was warmed, by a flush, a new config, or a change of the table: \
                       warm the table again to begin at the beginning.";

/// The answer to the name of a table that is not there, whatever was to be done with it.
pub(super) fn missing(table: &str) -> Fault {
    Fault::missing(format!(
        "There is no table {table} behind this node, as far as its upstream says: check its name, or the region and account of its ARN."
    ))
}

/// Why a table cannot be warmed.
fn unwarmable(table: &str, failure: &WarmFailure) -> Fault {
    match failure {
        WarmFailure::Missing => missing(table),
        WarmFailure::Off => Fault::invalid(format!(
            "Items of {table} are not cached: in its section [tables.{table}], or in [cache], mode must be \"on\", \
             and item_ttl more than 0."
        )),
        WarmFailure::Shadow => Fault::invalid(format!(
            "The cache of {table} is in shadow mode and answers nothing: \
             set mode = \"on\" in its section [tables.{table}], or in [cache]."
        )),
        WarmFailure::Transient(reason) => Fault::unavailable(format!(
            "The upstream cannot describe {table} now ({reason}): try again later."
        )),
        WarmFailure::Permanent(reason) => {
            Fault::invalid(format!("The upstream does not describe {table} to this node: {reason}."))
        }
    }
}
