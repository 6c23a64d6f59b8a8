//! Requests for operations of DynamoDB: made into its JSON, answered by the service, and the answer made into the protocol's.

use std::borrow::Cow;
use std::cell::RefCell;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::body::{Received, Reservation};
use super::super::exchange::verdict_of;
use super::super::{Authenticator, Caller, Frontend, Observer, RejectReason, Service, answer};
use super::connection::{Connection, Recorded, error_reply};
use super::intake::Arrived;
use super::lists;
use crate::call::{Answer, Request, Source, Trace, Verdict};
use crate::dax::answer::Reply;
use crate::dax::answer::{Unlisted, joined, reply, unprocessed, whole_item};
use crate::dax::attribute_lists::AttributeLists;
use crate::dax::error;
use crate::dax::item::ItemWriter;
use crate::dax::key;
use crate::dax::method::Method;
use crate::dax::request::{Call, Client, DataCall, Decoded, Known};
use crate::engine::Served;
use crate::model::{ApiError, ErrorCode, ErrorName, Operation, TableSchema};
use crate::offload::{LARGE_BODY_BYTES, offload, offload_call};
use crate::wire::index_named;

/// The most tables that a request may name: as many as the items of the largest batch.
const TABLES_MAX: usize = 100;

/// How often what a batch has left undone is asked for again, and after which delay, which doubles. The clients wait for a minute.
const REPEATS_MAX: u32 = 8;
const REPEAT_DELAY: Duration = Duration::from_millis(50);

/// How often an answer is written anew because lists of names were missing: once, unless names and lists do not agree.
const DEFINITIONS_MAX: usize = 3;

/// The header in which an upstream gives its own id for a request.
const REQUEST_ID: &str = "x-amzn-requestid";

thread_local! {
    /// Writes the items of all answers of a thread.
    static ITEMS: RefCell<ItemWriter> = RefCell::default();
}

/// A request of the API, and who sends it.
struct Data<'a> {
    method: Method,
    arguments: &'a [u8],
    client: Client,
    caller: Caller<'static>,
    trace: Option<Arc<Trace>>,
    request_id: &'a str,
}

/// What a first look into memory makes of a request.
enum Looked {
    /// The answer.
    Answered(Outcome),
    /// What it asks for, by a schema that may be an old one.
    Decoded(Arc<TableSchema>, Decoded),
    /// Nothing.
    Unread,
}

/// An answer, and what is recorded of it.
struct Outcome {
    reply: Reply,
    status: u16,
    source: Option<Source>,
    table: Option<Arc<str>>,
    /// The index that the request names, if that is of interest.
    index: Option<String>,
    verdict: Verdict,
}

impl Outcome {
    /// An answer of the service's.
    fn of_served(served: Served, reply: Reply, index: Option<String>) -> Self {
        let Served { answer, source, table, .. } = served;
        let (status, source) = (answer.status, Some(source));
        Self { reply, status, source, table, index, verdict: Verdict::Allowed }
    }

    /// An answer of the front end's own.
    fn of_error(error: &ApiError, operation: Option<Operation>, request_id: &str) -> Self {
        Self {
            reply: error::reply(error, operation, Some(request_id)),
            status: error.code.status(),
            source: None,
            table: None,
            index: None,
            verdict: verdict_of(error.code),
        }
    }

    /// An answer that says that a table is not there, or not to be known.
    fn of_answer(answer: &Answer, operation: Operation, request_id: &str) -> Self {
        let code = answer.error.as_ref().and_then(ErrorName::code);
        Self {
            reply: error_reply(answer, Some(operation), request_id),
            status: answer.status,
            source: None,
            table: None,
            index: None,
            verdict: code.map_or(Verdict::Allowed, verdict_of),
        }
    }
}

impl<IO, S, O, A> Connection<'_, IO, S, O, A>
where
    IO: AsyncRead + AsyncWrite + Unpin + Send,
    S: Service,
    O: Observer,
    A: Authenticator,
{
    /// The answer to a request of the API, which is dealt with then.
    pub(super) async fn answer_data(
        &mut self,
        arrived: &Arrived,
        operation: Operation,
        caller: Caller<'static>,
    ) -> Vec<u8> {
        let id = answer::request_id();
        let id = id.to_str().unwrap_or_default();
        let asked = self.asked(arrived, id);
        let audits = self.frontend.observer.audits();
        let principal = caller.principal().filter(|_| audits).cloned();
        let trace = self.frontend.observer.trace(None);
        let outcome = match self.look(arrived, id) {
            Looked::Answered(outcome) => {
                self.intake.pass(arrived);
                outcome
            }
            looked => {
                // Boxed, so that the future of a connection, which all of them keep, stays small.
                Box::pin(self.execute(arrived, looked, caller, trace.clone(), id)).await
            }
        };
        let recorded = Recorded {
            status: outcome.status,
            source: outcome.source,
            table: outcome.table.as_deref(),
            index: outcome.index.as_deref(),
            principal: principal.as_ref().map(|principal| principal.name.as_str()),
            trace: trace.as_deref(),
        };
        self.record(&asked, operation, &outcome.reply, outcome.verdict, &recorded);
        self.tell(&asked, &outcome.reply);
        outcome.reply.bytes
    }

    /// Looks for the answer in memory, where that has it for any caller.
    fn look(&self, arrived: &Arrived, request_id: &str) -> Looked {
        let may_be_there = matches!(arrived.method, Method::GetItem | Method::Query | Method::Scan)
            && S::ANSWERS_AT_ONCE
            && A::TAKES_ANYONE
            && self.intake.length(arrived) <= LARGE_BODY_BYTES
            && self.frontend.observer.records_plainly();
        if !may_be_there {
            return Looked::Unread;
        }
        let arguments = self.intake.arguments(arrived);
        // What panics does so again where the client gets an answer.
        let looked = guarded(|| self.frontend.look_for(arrived.method, arguments, self.client, request_id));
        looked.ok().flatten().unwrap_or(Looked::Unread)
    }

    /// Has the service answer, in a task of the connection's or, for a large request, elsewhere.
    async fn execute(
        &mut self,
        arrived: &Arrived,
        looked: Looked,
        caller: Caller<'static>,
        trace: Option<Arc<Trace>>,
        request_id: &str,
    ) -> Outcome {
        let (method, client) = (arrived.method, self.client);
        if self.intake.length(arrived) <= LARGE_BODY_BYTES {
            let arguments = self.intake.arguments(arrived);
            let data = Data { method, arguments, client, caller, trace, request_id };
            let outcome = self.frontend.execute_data(data, looked).await;
            self.intake.pass(arrived);
            return outcome;
        }
        let (arguments, reservation) = self.intake.take(arrived);
        let (frontend, request_id) = (Arc::clone(self.frontend), request_id.to_owned());
        offload(async move {
            let request_id = request_id.as_str();
            let data = Data { method, arguments: &arguments, client, caller, trace, request_id };
            let outcome = frontend.execute_data(data, Looked::Unread).await;
            drop(reservation);
            outcome
        })
        .await
    }
}

impl<S: Service, O: Observer, A: Authenticator> Frontend<S, O, A> {
    /// Looks for the answer to a request in memory; `None` for a request that cannot be read, which then gets its error.
    fn look_for(&self, method: Method, arguments: &[u8], client: Client, request_id: &str) -> Option<Looked> {
        let Call::Data(call) = Call::parse(method, arguments).ok()? else { return None };
        if let Some((table, key)) = call.whole_item()
            && let Some(outcome) = self.whole_item(table, key)
        {
            return Some(Looked::Answered(outcome));
        }
        let schema = match *call.tables() {
            [table] => self.service.table_schema_at_once(table)?,
            _ => return None,
        };
        let schema_of = |_: &str| Some(Arc::clone(&schema));
        let lists = &self.settings.dax.lists;
        let mut decoded = call.decode(&Known { client, schema_of: &schema_of, lists }).ok()?;
        let body = Bytes::from(std::mem::take(&mut decoded.body));
        let request = Request::new(decoded.operation, body);
        match self.service.answer_at_once(None, &request) {
            Some(served) => {
                let reply = write(&served.answer, &decoded, request_id, lists).ok()?;
                Some(Looked::Answered(Outcome::of_served(served, reply, None)))
            }
            None => {
                // Nobody else has the bytes, so they are not copied.
                decoded.body = request.body.into();
                Some(Looked::Decoded(schema, decoded))
            }
        }
    }

    /// Looks for an item in memory without a request in JSON.
    fn whole_item(&self, table: &str, key: &[u8]) -> Option<Outcome> {
        let found = self.service.item_at_once(table, |schema, out| key::write_canonical(schema, key, out))?;
        let json = found.item.item_json();
        let json = json.as_deref().map(str::from_utf8).transpose().ok()?;
        let lists = &self.settings.dax.lists;
        let reply = ITEMS.with_borrow_mut(|items| whole_item(json, &found.schema.key, lists, items))?;
        Some(Outcome {
            reply,
            status: 200,
            source: Some(Source::Hit),
            table: Some(found.table),
            index: None,
            verdict: Verdict::Allowed,
        })
    }

    /// Reads a request and has the service answer it.
    async fn execute_data(self: &Arc<Self>, data: Data<'_>, looked: Looked) -> Outcome {
        let Data { method, arguments, client, caller, trace, request_id } = data;
        let operation = method.operation();
        let refused = |error: ApiError| Outcome::of_error(&error, operation, request_id);
        let call = match guarded(|| Call::parse(method, arguments)).and_then(|parsed| parsed) {
            Ok(Call::Data(call)) => call,
            Ok(_) => return refused(internal()),
            Err(error) => return refused(error),
        };
        let schemas = match self.schemas(&call, &caller).await {
            Ok(schemas) => schemas,
            Err(answer) => return Outcome::of_answer(&answer, call.operation(), request_id),
        };
        let decoded = match (looked, schemas.as_slice()) {
            (Looked::Decoded(by, decoded), [(_, schema)]) if Arc::ptr_eq(&by, schema) => Ok(decoded),
            _ => guarded(|| self.decode_call(&call, client, &schemas)).and_then(|decoded| decoded),
        };
        let mut decoded = match decoded {
            Ok(decoded) => decoded,
            Err(error) => return refused(error),
        };
        let body = Bytes::from(std::mem::take(&mut decoded.body));
        let index = self.observer.audits().then(|| index_named(&body)).flatten().map(Cow::into_owned);
        let request = Request { trace, ..Request::new(decoded.operation, body) };
        match self.execute_whole(&caller, request, arguments.len()).await {
            Ok(served) => self.reply_to(served, decoded, index, request_id).await,
            Err(error) => Outcome { index, ..refused(error) },
        }
    }

    /// Has the service answer a request, and what an answer says it has left undone of a batch: clients lose keys of writes that they
    /// are told to repeat.
    async fn execute_whole(
        self: &Arc<Self>,
        caller: &Caller<'static>,
        request: Request,
        sent: usize,
    ) -> Result<Served, ApiError> {
        let is_batch = matches!(request.operation, Operation::BatchGetItem | Operation::BatchWriteItem);
        if !is_batch {
            return self.execute_once(caller.clone(), request, sent).await;
        }
        let mut served = self.execute_once(caller.clone(), request.clone(), sent).await?;
        for attempt in 0..REPEATS_MAX {
            let answer = &served.answer;
            let rest =
                answer.is_success().then(|| unprocessed(request.operation, &request.body, &answer.body));
            let Some(rest) = rest.flatten() else { break };
            let delay = REPEAT_DELAY * (1 << attempt);
            tokio::time::sleep(delay.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            let later = self.execute_once(caller.clone(), request.with_body(rest), sent).await;
            // What has been done is the answer, if there is no more to be had.
            let Some(later) = later.ok().filter(|later| later.answer.is_success()) else { break };
            match joined(request.operation, &served.answer.body, &later.answer.body) {
                Some(body) => served = Served { crc32: None, ..with_body(served, body) },
                None => break,
            }
        }
        Ok(served)
    }

    /// The schemas of the tables that a request names.
    async fn schemas<'c>(
        self: &Arc<Self>,
        call: &DataCall<'c>,
        caller: &Caller<'static>,
    ) -> Result<Vec<(&'c str, Arc<TableSchema>)>, Box<Answer>> {
        let tables = call.tables();
        if tables.len() > TABLES_MAX {
            let words = format!("Too many items requested for the {} call", call.operation());
            return Err(Box::new(ApiError::validation(words).into()));
        }
        let mut schemas = Vec::with_capacity(tables.len());
        for table in tables {
            schemas.push((table, self.service.table_schema(caller.clone(), table).await?));
        }
        Ok(schemas)
    }

    /// Has the service answer a request, where there is room for what reading a large one takes.
    async fn execute_once(
        self: &Arc<Self>,
        caller: Caller<'static>,
        request: Request,
        sent: usize,
    ) -> Result<Served, ApiError> {
        if request.body.len() <= LARGE_BODY_BYTES {
            return self.execute(caller, request).await;
        }
        if request.body.len() > self.settings.request_bytes_max {
            self.observer.rejected(RejectReason::BodyTooLarge);
            return Err(ApiError::new(ErrorCode::RequestEntityTooLarge, "The request is too large"));
        }
        let mut reservation = Reservation::of(&self.bodies);
        if reservation.grow_to(request.body.len()).is_err() {
            self.observer.rejected(RejectReason::Overloaded);
            return Err(ApiError::new(
                ErrorCode::ServiceUnavailable,
                "Too many large requests are in flight",
            ));
        }
        let received = Received::made(request.body.clone(), sent, reservation);
        // Boxed, so that the future of a small request stays small.
        Box::pin(self.execute_large(caller, request, received)).await
    }

    /// Makes the JSON of a request.
    fn decode_call(
        &self,
        call: &DataCall<'_>,
        client: Client,
        schemas: &[(&str, Arc<TableSchema>)],
    ) -> Result<Decoded, ApiError> {
        let schema_of = |table: &str| {
            let found = schemas.iter().find(|(name, _)| *name == table);
            found.map(|(_, schema)| Arc::clone(schema))
        };
        call.decode(&Known { client, schema_of: &schema_of, lists: &self.settings.dax.lists })
    }

    /// Makes the protocol's answer of the service's, a large one where that keeps no connection waiting. Items of a new shape get a
    /// list of their names first.
    async fn reply_to(
        &self,
        served: Served,
        decoded: Decoded,
        index: Option<String>,
        request_id: &str,
    ) -> Outcome {
        let operation = decoded.operation;
        let lists = &self.settings.dax.lists;
        let is_large = served.answer.body.len() > LARGE_BODY_BYTES;
        let shown = Arc::new((served, decoded));
        for _ in 0..DEFINITIONS_MAX {
            let written = if is_large {
                let (shown, lists, id) = (Arc::clone(&shown), Arc::clone(lists), request_id.to_owned());
                offload_call(move || guarded(|| write(&shown.0.answer, &shown.1, &id, &lists))).await
            } else {
                guarded(|| write(&shown.0.answer, &shown.1, request_id, lists))
            };
            let Unlisted(names) = match written {
                Ok(Ok(reply)) => {
                    let served = Arc::try_unwrap(shown).map_or_else(|shown| shown.0.clone(), |shown| shown.0);
                    return Outcome::of_served(served, reply, index);
                }
                Ok(Err(unlisted)) => unlisted,
                Err(error) => return Outcome::of_error(&error, Some(operation), request_id),
            };
            if let Err(error) = lists::define(lists, names).await {
                return Outcome::of_error(&error, Some(operation), request_id);
            }
        }
        Outcome::of_error(&internal(), Some(operation), request_id)
    }
}

fn with_body(served: Served, body: Vec<u8>) -> Served {
    Served { answer: Answer { body: body.into(), ..served.answer }, ..served }
}

/// Makes the protocol's answer of DynamoDB's.
fn write(
    answer: &Answer,
    decoded: &Decoded,
    request_id: &str,
    lists: &AttributeLists,
) -> Result<Reply, Unlisted> {
    let given = answer.headers.iter().find(|(name, _)| name == REQUEST_ID);
    let request_id = given.map_or(request_id, |(_, id)| id.as_str());
    ITEMS.with_borrow_mut(|items| reply(answer, &decoded.shape, Some(request_id), lists, items))
}

/// What `work` gives. A panic of it is one request's misfortune, not the connection's.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, ApiError> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).map_err(|_| {
        tracing::error!("Reading a DAX request, or writing its answer, panicked.");
        internal()
    })
}

fn internal() -> ApiError {
    ApiError::new(ErrorCode::InternalServerError, "Internal server error")
}
