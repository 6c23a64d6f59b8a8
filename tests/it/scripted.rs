//! An upstream that does nothing by itself: every call waits until the test answers it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nearside::call::{Answer, CallFuture, Request, Upstream, UpstreamError};
use nearside::model::{ErrorName, Operation};
use tokio::sync::{mpsc, oneshot};

/// The status of an answer that is a panic.
const PANIC: u16 = 0;

/// The upstream's side: hands calls to the test. DescribeTable it answers by itself, for the tables it was given.
pub(crate) struct Scripted {
    calls: mpsc::UnboundedSender<Call>,
    tables: Mutex<Vec<(String, String)>>,
    described: AtomicUsize,
    describes_by_hand: AtomicBool,
    never_lags: AtomicBool,
}

/// A call that waits for its answer. Dropped without one, its outcome is unknown.
pub(crate) struct Call {
    pub(crate) request: Request,
    reply: oneshot::Sender<Result<Answer, UpstreamError>>,
}

/// The test's side: calls in the order in which they came.
pub(crate) struct Calls {
    received: mpsc::UnboundedReceiver<Call>,
    /// Received, and put back.
    waiting: Option<Call>,
}

impl Scripted {
    pub(crate) fn new() -> (std::sync::Arc<Self>, Calls) {
        let (calls, received) = mpsc::unbounded_channel();
        let upstream = Self {
            calls,
            tables: Mutex::default(),
            described: AtomicUsize::new(0),
            describes_by_hand: AtomicBool::new(false),
            never_lags: AtomicBool::new(false),
        };
        upstream.describe("Orders", &[("id", "S", "HASH")]);
        (std::sync::Arc::new(upstream), Calls { received, waiting: None })
    }

    /// From now on the table has this key.
    pub(crate) fn describe(&self, table: &str, key: &[(&str, &str, &str)]) {
        let name = table.rsplit('/').next().unwrap_or(table);
        self.describe_as(table, description(name, "", "1", key));
    }

    /// From now on its answers are those of an upstream whose reads never lag behind writes.
    pub(crate) fn never_lag(&self) {
        self.never_lags.store(true, Ordering::Relaxed);
    }

    /// From now on DescribeTable waits for the test like every other call.
    pub(crate) fn describe_by_hand(&self) {
        self.describes_by_hand.store(true, Ordering::Relaxed);
    }

    /// From now on DescribeTable of the table answers this.
    pub(crate) fn describe_as(&self, table: &str, description: String) {
        let mut tables = self.tables.lock().unwrap();
        tables.retain(|(name, _)| name != table);
        tables.push((table.to_owned(), description));
    }

    /// How often DescribeTable was asked for.
    pub(crate) fn described(&self) -> usize {
        self.described.load(Ordering::Relaxed)
    }

    fn description(&self, request: &Request) -> Answer {
        self.described.fetch_add(1, Ordering::Relaxed);
        let body = String::from_utf8_lossy(&request.body);
        let tables = self.tables.lock().unwrap();
        let named = tables.iter().filter(|(name, _)| body.contains(&format!("{name}\"")));
        // An ARN ends with a name, and may have a description of its own.
        match named.max_by_key(|(name, _)| name.len()) {
            Some((_, description)) => Answer::ok(description.clone()),
            None => error(400, "ResourceNotFoundException"),
        }
    }
}

impl Upstream for Scripted {
    fn call<'a>(&'a self, request: &'a Request) -> CallFuture<'a> {
        Box::pin(async move {
            let by_hand = self.describes_by_hand.load(Ordering::Relaxed);
            if request.operation == Operation::DescribeTable && !by_hand {
                return Ok(self.description(request));
            }
            if request.operation == Operation::DescribeTimeToLive {
                return Ok(Answer::ok(r#"{"TimeToLiveDescription":{"TimeToLiveStatus":"DISABLED"}}"#));
            }
            let (reply, answer) = oneshot::channel();
            self.calls.send(Call { request: request.clone(), reply }).ok();
            let answer = answer.await.unwrap_or_else(|_| {
                Err(UpstreamError::OutcomeUnknown("the script dropped the call".to_owned()))
            });
            assert!(!matches!(&answer, Ok(answer) if answer.status == PANIC), "as the script says");
            answer
        })
    }

    fn never_lags(&self) -> bool {
        self.never_lags.load(Ordering::Relaxed)
    }
}

impl Calls {
    /// The next call, which must be of this operation.
    pub(crate) async fn next(&mut self, operation: Operation) -> Call {
        let call = match self.waiting.take() {
            Some(call) => call,
            None => {
                // Time stands still while anything can run, so this fires only when the call will never come.
                let received = tokio::time::timeout(Duration::from_millis(1), self.received.recv()).await;
                let received = received.unwrap_or_else(|_| panic!("{operation} was not sent upstream"));
                received.expect("the node lives")
            }
        };
        assert_eq!(call.request.operation, operation, "{:?}", call.request);
        call
    }

    /// The next call, if one is waiting. It must be of this operation, or stays where it is.
    pub(crate) fn try_next(&mut self, operation: Operation) -> Option<Call> {
        let call = self.waiting.take().or_else(|| self.received.try_recv().ok())?;
        if call.request.operation == operation {
            return Some(call);
        }
        self.waiting = Some(call);
        None
    }

    /// Nothing has been sent upstream that was not taken.
    pub(crate) fn assert_none(&mut self) {
        assert!(self.waiting.is_none() && self.received.try_recv().is_err(), "an unexpected call");
    }
}

impl Call {
    /// The body that was sent.
    pub(crate) fn body(&self) -> String {
        String::from_utf8(self.request.body.to_vec()).unwrap()
    }

    /// The principal on whose behalf it was sent; `-` for the node's own.
    pub(crate) fn principal(&self) -> &str {
        self.request.on_behalf_of.as_ref().map_or("-", |role| &*role.principal)
    }

    pub(crate) fn answer(self, body: &str) {
        self.reply.send(Ok(Answer::ok(body.to_owned()))).ok();
    }

    pub(crate) fn refuse(self, code: &str) {
        self.reply.send(Ok(error(400, code))).ok();
    }

    pub(crate) fn fail(self, status: u16) {
        self.reply.send(Ok(error(status, "InternalServerError"))).ok();
    }

    /// The task that waits for the answer panics.
    pub(crate) fn panic(self) {
        self.reply.send(Ok(Answer { status: PANIC, ..Answer::ok("") })).ok();
    }

    /// Not a byte of it has left.
    pub(crate) fn hold_back(self) {
        self.reply.send(Err(UpstreamError::NotSent("no connection".to_owned()))).ok();
    }

    pub(crate) fn lose(self) {
        self.reply.send(Err(UpstreamError::OutcomeUnknown("reset".to_owned()))).ok();
    }
}

/// The answer of DescribeTable for a table of that ARN, id and key.
pub(crate) fn description(name: &str, arn: &str, id: &str, key: &[(&str, &str, &str)]) -> String {
    let definitions: Vec<_> = key
        .iter()
        .map(|(name, scalar_type, _)| {
            format!(r#"{{"AttributeName":"{name}","AttributeType":"{scalar_type}"}}"#)
        })
        .collect();
    let schema: Vec<_> = key
        .iter()
        .map(|(name, _, role)| format!(r#"{{"AttributeName":"{name}","KeyType":"{role}"}}"#))
        .collect();
    let arn = if arn.is_empty() { String::new() } else { format!(r#""TableArn":"{arn}","#) };
    format!(
        r#"{{"Table":{{"TableName":"{name}",{arn}"TableId":"{id}","AttributeDefinitions":[{}],"KeySchema":[{}]}}}}"#,
        definitions.join(","),
        schema.join(",")
    )
}

fn error(status: u16, code: &str) -> Answer {
    let body = format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"scripted"}}"#);
    Answer { status, error: Some(ErrorName::of_type(code)), ..Answer::ok(body) }
}
