//! Hits are answered at the socket as they are behind hyper: the same bytes, figures and times, whatever comes. `NEARSIDE_CASES`
//! sets how many connections are tried, `NEARSIDE_SEED` replays a run.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::time::{Instant, sleep};

use super::changed_requests::{MUTATIONS, Message};
use super::verified::from_environment;
use super::*;
use crate::model::ErrorCode;

/// A service that has some answers at once, and remembers what it was asked.
#[derive(Default)]
pub(super) struct Halves {
    asked: Mutex<Vec<String>>,
    at_once: AtomicUsize,
    /// How many it answered later of those at which it had looked.
    later: AtomicUsize,
}

/// Who may call the front end.
pub(super) trait Door: Authenticator {
    fn new() -> Self;

    /// Has nobody call any more.
    fn close(&self);
}

impl Door for AnyCaller {
    fn new() -> Self {
        Self
    }

    fn close(&self) {}
}

/// True if the caller may do it: some may not read pages.
fn may(caller: &Caller<'_>, request: &Request) -> bool {
    let is_page = matches!(request.operation, Operation::Query | Operation::Scan);
    !is_page || caller.principal().is_none_or(|principal| !principal.name.starts_with("AKIDTOKEN"))
}

/// The answer that is there: of as many bytes as the body asks for, and of whom it is for. That of a batch has as many keys.
fn hit_of(caller: Option<&Caller<'_>>, request: &Request) -> Option<Served> {
    if !caller.is_none_or(|caller| may(caller, request)) {
        return None;
    }
    let text = std::str::from_utf8(&request.body).ok()?;
    let number = text.trim_end().strip_prefix("{\"hit\":")?.strip_suffix('}')?;
    let length: usize = number.parse().ok().filter(|length| *length <= 200_000)?;
    let mut body = vec![b'x'; length];
    if let Some(principal) = caller.and_then(Caller::principal) {
        body.extend_from_slice(principal.name.as_bytes());
    }
    let body = Bytes::from(body);
    let (source, age_seconds) = match request.operation {
        Operation::BatchGetItem => (Source::Batch { hit: length as u32, miss: 0, stale: 0 }, None),
        _ => (Source::Hit, (!length.is_multiple_of(3)).then_some(length as u64)),
    };
    Some(Served {
        crc32: length.is_multiple_of(2).then(|| crc32fast::hash(&body)),
        answer: Answer::ok(body),
        source,
        age_seconds,
        table: length.is_multiple_of(5).then(|| "t".into()),
    })
}

impl Halves {
    fn note(&self, request: &Request) {
        let Request { operation, attempt, body, .. } = request;
        self.asked.lock().unwrap().push(format!("{operation} {attempt:?} {body:?}"));
    }
}

impl Service for Halves {
    /// The request itself.
    type Understood = Option<Request>;

    fn answer_at_once(
        &self,
        caller: Option<&Caller<'_>>,
        request: &Request,
    ) -> Result<Served, Option<Request>> {
        assert_ne!(&request.body[..], b"\"panic at once\"");
        let served = hit_of(caller, request).ok_or_else(|| Some(request.clone()))?;
        self.at_once.fetch_add(1, Ordering::Relaxed);
        self.note(request);
        Ok(served)
    }

    async fn execute_understood(
        self: &Arc<Self>,
        caller: Caller<'_>,
        request: Request,
        understood: Option<Request>,
    ) -> Result<Served, ApiError> {
        assert_eq!(understood.map(|request| request.body).as_ref(), Some(&request.body));
        self.later.fetch_add(1, Ordering::Relaxed);
        self.execute(caller, request).await
    }

    async fn execute(self: &Arc<Self>, caller: Caller<'_>, request: Request) -> Result<Served, ApiError> {
        self.note(&request);
        assert!(!request.body.starts_with(b"\"panic"));
        if !may(&caller, &request) {
            return Err(ApiError::new(ErrorCode::AccessDenied, "Not you"));
        }
        if let Some(served) = hit_of(Some(&caller), &request) {
            return Ok(served);
        }
        if &request.body[..] == b"\"slow\"" {
            sleep(Duration::from_millis(5)).await;
        }
        if &request.body[..] == b"\"unavailable\"" {
            return Err(ApiError::new(ErrorCode::ServiceUnavailable, "Nobody is there"));
        }
        let answer = answer_of(request.body);
        Ok(Served { answer, crc32: None, source: Source::Miss, age_seconds: None, table: Some("t".into()) })
    }
}

/// The answer to what is not there at once: of some status, with headers, or the body itself.
fn answer_of(body: Bytes) -> Answer {
    let (status, headers): (u16, &[(&str, &str)]) = match &body[..] {
        b"\"rejected\"" => (400, &[]),
        b"\"throttled\"" => (400, &[("x-amzn-requestid", "THEIRS"), ("x-amz-retry-after", "50")]),
        b"\"failed\"" => (500, &[("server", "x"), ("content-length", "1"), ("x y", "z")]),
        b"\"unheard of\"" => (599, &[]),
        b"\"identified\"" => (200, &[("x-amzn-requestid", "THEIRS")]),
        b"\"void\"" => return Answer::ok(Bytes::new()),
        b"\"long\"" => return Answer::ok(vec![b'y'; 120_000]),
        _ => return Answer::ok(body),
    };
    let error = (status != 200).then(|| ErrorCode::Validation.into());
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Answer { status, headers, error, ..Answer::ok(body) }
}

/// Keeps what is reported to it. Ids are kept apart, and durations are left out.
#[derive(Default)]
struct Recorder {
    told: Mutex<Vec<String>>,
    ids: Mutex<Vec<String>>,
}

impl Recorder {
    fn tell(&self, text: impl Into<String>) {
        self.told.lock().unwrap().push(text.into());
    }
}

impl Observer for Recorder {
    fn answered(&self, exchange: &Exchange<'_>) {
        self.ids.lock().unwrap().push(exchange.request_id.to_owned());
        let exchange = Exchange { latency: Duration::ZERO, request_id: "", ..exchange.clone() };
        self.tell(format!("{exchange:?}"));
    }
    fn connection_opened(&self) {
        self.tell("opened");
    }
    fn connection_closed(&self) {
        self.tell("closed");
    }
    fn rejected(&self, reason: RejectReason) {
        self.tell(reason.label());
    }
}

/// What a client does.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Send(Vec<u8>),
    /// Lets the server do what there is to do.
    Settle,
    Wait(Duration),
    /// The process is asked to end, and lets idle connections linger.
    Drain,
    /// It does so no more.
    Finish,
    /// No key is good any more.
    Withdraw,
}

/// How a client ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum End {
    /// It says no more, and listens.
    Close,
    /// It is gone.
    Drop,
    /// It does nothing.
    Idle,
}

#[derive(Clone, Debug)]
pub(super) struct Script {
    pub(super) steps: Vec<Step>,
    end: End,
    /// Bytes that may be on the way.
    capacity: usize,
    /// When the client begins to read, and how much it reads at a time.
    patience: Duration,
    piece: usize,
}

/// What came of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) received: String,
    pub(super) told: Vec<String>,
    pub(super) asked: Vec<String>,
    /// How many ids that were reported to the observer stand in answers.
    ids: usize,
    took: Duration,
}

type Reading = Arc<Mutex<Vec<u8>>>;

async fn read_all(mut from: ReadHalf<DuplexStream>, script: Script, received: Reading) {
    sleep(script.patience).await;
    let mut piece = vec![0; script.piece];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        received.lock().unwrap().extend_from_slice(&piece[..length]);
    }
}

async fn play<A: Door>(
    frontend: &Frontend<Halves, Recorder, A>,
    script: &Script,
    to: &mut WriteHalf<DuplexStream>,
) {
    for step in &script.steps {
        match step {
            // The server may have closed.
            Step::Send(bytes) => drop(to.write_all(bytes).await),
            Step::Settle => sleep(Duration::from_millis(1)).await,
            Step::Wait(time) => sleep(*time).await,
            Step::Drain => frontend.is_draining.store(true, Ordering::Relaxed),
            Step::Finish => frontend.draining.cancel(),
            Step::Withdraw => frontend.authenticator.close(),
        }
    }
}

/// Plays a script on both roads, which must come to the same, and gives that and how many calls were answered at the socket: at once,
/// and later.
fn run_both(script: &Script) -> (Outcome, (usize, usize)) {
    run_both_for::<AnyCaller>(script)
}

/// The same for other callers.
pub(super) fn run_both_for<A: Door>(script: &Script) -> (Outcome, (usize, usize)) {
    let ((with, answered), (mut without, none)) = (run::<A>(script, true), run::<A>(script, false));
    assert_eq!(none, (0, 0));
    if !script.patience.is_zero() {
        // hyper counts the idle time of a client that reads late from when it happens to be polled.
        without.took = with.took;
    }
    assert_eq!(with, without, "{}", shown(script));
    (with, answered)
}

/// Plays a script and gives what came of it, and how many calls were answered at the socket: at once, and later.
fn run<A: Door>(script: &Script, has_shortcut: bool) -> (Outcome, (usize, usize)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let settings = Settings { access: access(&[]), request_bytes_max: 100_000, ..Settings::default() };
        let mut frontend =
            Frontend::new(Arc::<Halves>::default(), Arc::<Recorder>::default(), A::new(), settings);
        Arc::get_mut(&mut frontend).unwrap().has_shortcut = has_shortcut;
        let (client, server) = tokio::io::duplex(script.capacity);
        let begun = Instant::now();
        let connection = tokio::spawn(Arc::clone(&frontend).serve_connection(server));
        let (from, mut to) = tokio::io::split(client);
        let received = Reading::default();
        let reader = tokio::spawn(read_all(from, script.clone(), Arc::clone(&received)));
        play(&frontend, script, &mut to).await;
        match script.end {
            End::Close => drop(to.shutdown().await),
            End::Drop => {
                reader.abort();
                drop(to);
            }
            End::Idle => {}
        }
        connection.await.unwrap();
        let took = begun.elapsed();
        let _ = reader.await;
        let Halves { asked, at_once, later } = &*frontend.service;
        let answered = (at_once.load(Ordering::Relaxed), later.load(Ordering::Relaxed));
        let (received, ids) =
            (received.lock().unwrap().clone(), frontend.observer.ids.lock().unwrap().clone());
        let text = String::from_utf8_lossy(&received);
        let ids = ids.iter().filter(|id| text.contains(&**id)).count();
        let told = std::mem::take(&mut *frontend.observer.told.lock().unwrap());
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        (Outcome { received: normal(&text), told, asked, ids, took }, answered)
    })
}

/// An answer's bytes without what differs each time. A date and an id are as long as any other.
fn normal(text: &str) -> String {
    let mut normal = text.to_owned();
    for (name, length) in [("x-amzn-requestid: ", 52), ("date: ", 29)] {
        let mut from = 0;
        while let Some(at) = normal[from..].find(name) {
            let start = from + at + name.len();
            let end = normal.len().min(start + length);
            if normal.is_char_boundary(end) {
                normal.replace_range(start..end, &"?".repeat(end - start));
            }
            from = start;
        }
    }
    normal
}

/// Cuts bytes into steps at random places.
fn cut(bytes: &[u8], random: &mut Rng, steps: &mut Vec<Step>) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = match random.u8(..4) {
            0 => 1,
            1 => random.usize(1..=rest.len().min(40)),
            _ => random.usize(1..=rest.len()),
        };
        let piece;
        (piece, rest) = rest.split_at(length);
        steps.push(Step::Send(piece.to_vec()));
        if random.bool() {
            steps.push(Step::Settle);
        }
        if steps.len() > 100 {
            steps.push(Step::Send(rest.to_vec()));
            return;
        }
    }
}

/// How often requests were changed in which way.
pub(super) type Kinds = BTreeMap<&'static str, u64>;

/// What a client might do, with messages that `make` makes.
pub(super) fn script(
    random: &mut Rng,
    kinds: &mut Kinds,
    make: fn(&mut Rng, &mut Kinds) -> Message,
) -> Script {
    let mut steps = Vec::new();
    for _ in 0..random.usize(1..=7) {
        let mut message = make(random, kinds);
        if random.u8(..5) == 0 {
            let (kind, mutate) = MUTATIONS[random.usize(..MUTATIONS.len())];
            mutate(&mut message, random);
            *kinds.entry(kind).or_default() += 1;
        }
        let mut bytes = message.bytes();
        if random.u8(..40) == 0 {
            bytes.truncate(random.usize(..bytes.len()));
        }
        match random.u8(..6) {
            0 => cut(&bytes, random, &mut steps),
            _ => steps.push(Step::Send(bytes)),
        }
        // Else the next request comes right behind.
        if random.u8(..12) > 0 {
            steps.push(Step::Settle);
        }
        match random.u8(..60) {
            0 => steps.push(Step::Drain),
            1 => steps.push(Step::Wait(Duration::from_secs(random.u64(1..130)))),
            2 => steps.push(Step::Withdraw),
            _ => {}
        }
    }
    Script {
        steps,
        end: [End::Close, End::Close, End::Drop, End::Idle][random.usize(..4)],
        capacity: [64 * 1024, 64 * 1024, 1 << 20, 1 << 20, 5_000, 700][random.usize(..6)],
        patience: Duration::from_secs([0, 0, 0, 0, 0, 0, 50, 70][random.usize(..8)]),
        piece: [64 * 1024, 10_000, 1000][random.usize(..3)],
    }
}

#[test]
fn whatever_comes_is_answered_as_behind_hyper() {
    let seed = from_environment("NEARSIDE_SEED").unwrap_or_else(|| fastrand::u64(..));
    let cases = from_environment("NEARSIDE_CASES").unwrap_or(1_000);
    println!("{cases} connections; replay with NEARSIDE_SEED={seed} NEARSIDE_CASES={cases}");
    let (mut random, mut kinds) = (Rng::with_seed(seed), BTreeMap::new());
    let (mut at_once, mut later, mut asked) = (0, 0, 0);
    for _ in 0..cases {
        let script = script(&mut random, &mut kinds, |random, _| Message::at_random(random));
        let (outcome, answered) = run_both(&script);
        at_once += answered.0;
        later += answered.1;
        asked += outcome.asked.len();
    }
    println!("{at_once} of {asked} calls were answered at the socket at once, and {later} later; {kinds:?}");
    // "another header" stands there twice, for there are so many.
    assert_eq!(kinds.len(), MUTATIONS.len() - 1, "every kind of change is made: {kinds:?}");
    let socket = at_once + later;
    assert!(at_once * 4 > asked && later * 10 > asked && socket * 10 < asked * 9, "all ways are taken");
}

fn shown(script: &Script) -> String {
    let steps: Vec<String> = script
        .steps
        .iter()
        .map(|step| match step {
            Step::Send(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
            other => format!("{other:?}"),
        })
        .collect();
    format!(
        "{}\n{:?} {} {:?} {}",
        steps.join("\n"),
        script.end,
        script.capacity,
        script.patience,
        script.piece
    )
}

/// A plain call of a hit.
fn hit(length: usize) -> Step {
    Step::Send(super::request(&format!("{{\"hit\":{length}}}")).into_bytes())
}

pub(super) fn plain(steps: Vec<Step>, end: End) -> Script {
    Script { steps, end, capacity: 64 * 1024, patience: Duration::ZERO, piece: 64 * 1024 }
}

#[test]
fn a_connection_that_only_hits_lives_while_it_is_used_and_ends_when_it_is_idle() {
    let (wait, mut steps) = (Step::Wait(Duration::from_secs(50)), Vec::new());
    for _ in 0..6 {
        steps.extend([hit(5), wait.clone()]);
    }
    let (outcome, at_once) = run_both(&plain(steps, End::Idle));
    assert_eq!((at_once, outcome.took.as_secs()), ((6, 0), 250 + 120));
    assert_eq!(outcome.told[7..], ["timed_out", "closed"]);
}

#[test]
fn a_client_that_takes_nothing_of_a_hit_is_given_up() {
    let script = Script { patience: Duration::from_secs(100), ..plain(vec![hit(150_000)], End::Idle) };
    let (outcome, at_once) = run_both(&script);
    assert_eq!((at_once, outcome.took.as_secs()), ((1, 0), 60));
    assert_eq!(outcome.told[2..], ["timed_out", "closed"]);
    // One that takes it in time gets all of it, and may be idle from then on.
    let (outcome, _) = run_both(&Script { patience: Duration::from_secs(50), ..script });
    assert_eq!(outcome.took.as_secs(), 50 + 120);
    assert!(outcome.received.ends_with(&"x".repeat(150_000)));
}

#[test]
fn calls_behind_each_other_are_answered_in_their_order() {
    let (Step::Send(one), Step::Send(other)) = (hit(5), hit(6)) else { unreachable!("it sends") };
    let slow = super::request("\"slow\"").into_bytes();
    for bytes in [[&one[..], &other, &slow].concat(), [&slow[..], &one, &other].concat()] {
        let steps = vec![hit(7), Step::Settle, Step::Send(bytes), Step::Settle, hit(8)];
        let (outcome, at_once) = run_both(&plain(steps, End::Close));
        assert_eq!((at_once, outcome.asked.len()), ((1, 0), 5));
    }
    // The answer to the first is not there yet when the second comes.
    let steps = vec![Step::Send(slow.clone()), Step::Settle, hit(5), Step::Settle, hit(6)];
    assert_eq!(run_both(&plain(steps, End::Close)).1, (0, 1));
    let steps = vec![Step::Send(slow), Step::Wait(Duration::from_millis(9)), hit(5), Step::Settle, hit(6)];
    assert_eq!(run_both(&plain(steps, End::Close)).1, (2, 1));
}

/// A plain call that takes five milliseconds.
fn slow() -> Step {
    Step::Send(super::request("\"slow\"").into_bytes())
}

#[test]
fn a_call_in_flight_is_answered_though_the_process_ends_and_is_its_connections_last() {
    for more in [None, Some(Step::Finish)] {
        let steps =
            [Some(slow()), Some(Step::Settle), Some(Step::Drain), more, Some(hit(5)), Some(Step::Settle)];
        let (outcome, answered) = run_both(&plain(steps.into_iter().flatten().collect(), End::Idle));
        assert_eq!((answered, outcome.took.as_millis()), ((0, 1), 5));
        assert_eq!(outcome.received.matches("connection: close").count(), 1);
        assert!(outcome.received.ends_with("\"slow\""), "{}", outcome.received);
    }
}

#[test]
fn a_connection_ends_with_the_process_though_a_part_of_its_next_head_has_come() {
    let part = Step::Send(b"POST / HTTP/1.1\r\nhost: h".to_vec());
    let steps = vec![hit(5), Step::Settle, part, Step::Settle, Step::Drain, Step::Finish, Step::Settle];
    let (outcome, answered) = run_both(&plain(steps, End::Idle));
    assert_eq!((answered, outcome.took.as_millis()), ((1, 0), 3));
}

#[test]
fn a_call_in_flight_keeps_its_connection_and_the_idle_time_counts_from_its_answer() {
    let (outcome, answered) = run_both(&plain(vec![slow()], End::Idle));
    assert_eq!((answered, outcome.took.as_millis()), ((0, 1), 120_005));
}

#[test]
fn a_hit_with_more_headers_than_hyper_takes_is_rejected() {
    let request = super::request("{\"hit\":5}");
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let own = head.lines().count() - 1;
    for (count, expected, status) in [(99, 1, "200"), (100, 1, "200"), (101, 0, "400"), (120, 0, "400")] {
        let more = "\r\nvia: 1.1 b".repeat(count - own);
        let step = Step::Send(format!("{head}{more}\r\n\r\n{body}").into_bytes());
        let (outcome, at_once) = run_both(&plain(vec![step], End::Close));
        assert_eq!(at_once, (expected, 0), "{count}");
        assert!(
            outcome.received.starts_with(&format!("HTTP/1.1 {status} ")),
            "{count}: {}",
            outcome.received
        );
    }
}

#[test]
fn a_connection_of_hits_ends_when_the_process_does() {
    let steps = vec![hit(5), Step::Settle, Step::Drain, hit(5), Step::Settle];
    let (outcome, at_once) = run_both(&plain(steps, End::Idle));
    assert_eq!((at_once, outcome.took.as_millis()), ((1, 0), 2));
    assert_eq!(outcome.received.matches("connection: close").count(), 1);
    let steps = vec![hit(5), Step::Settle, Step::Finish, Step::Settle];
    let (outcome, at_once) = run_both(&plain(steps, End::Idle));
    assert_eq!((at_once, outcome.took.as_millis()), ((1, 0), 2));
}
