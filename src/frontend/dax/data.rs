//! Requests for operations of DynamoDB: made into its JSON, answered by the service, and the answer made into the protocol's.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use super::super::body::{Received, Reservation};
use super::super::{Authenticator, Caller, Frontend, Observer, RejectReason, Service, answer};
use super::connection::{Connection, Recorded};
use super::hits::{DEFINITIONS_MAX, Looked, write};
use super::intake::Arrived;
use super::lists;
use super::outcome::{Outcome, internal};
use crate::call::{Answer, Request, Trace};
use crate::dax::answer::{Unlisted, joined, unprocessed};
use crate::dax::error;
use crate::dax::method::Method;
use crate::dax::request::{Call, Client, DataCall, Decoded, Known};
use crate::engine::Served;
use crate::model::{ApiError, ErrorCode, Operation, TableSchema};
use crate::offload::{LARGE_BODY_BYTES, offload, offload_call};
use crate::wire::index_named;

/// The most tables that a request may name: as many as the items of the largest batch.
const TABLES_MAX: usize = 100;

/// How often what a batch has left undone is asked for again, and after which delay, which doubles. The clients wait for a minute.
const REPEATS_MAX: u32 = 8;
const REPEAT_DELAY: Duration = Duration::from_millis(50);

/// A request of the API, and who sends it.
struct Data<'a> {
    method: Method,
    arguments: &'a [u8],
    client: Client,
    caller: Caller<'static>,
    trace: Option<Arc<Trace>>,
    request_id: &'a str,
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
        let id = answer::RequestId::new();
        let id = id.as_str();
        let asked = self.asked(arrived, id);
        let audits = self.frontend.observer.audits();
        let principal = caller.principal().filter(|_| audits).cloned();
        let trace = self.frontend.observer.trace(None);
        let mut outcome = match self.look(arrived, id) {
            Looked::Answered(outcome) => {
                self.intake.pass(arrived);
                outcome
            }
            looked => {
                // Boxed, so that the future of a connection, which all of them keep, stays small.
                Box::pin(self.execute(arrived, looked, caller, trace.clone(), id)).await
            }
        };
        if self.client == Client::Python && operation == Operation::BatchWriteItem {
            error::settle_batch_for_python(&mut outcome.reply);
        }
        let recorded = Recorded {
            status: outcome.status,
            source: outcome.source,
            table: outcome.table.as_deref(),
            index: outcome.index.as_deref(),
            principal: principal.as_ref().map(|principal| principal.name.as_str()),
            trace: trace.as_deref(),
        };
        let latency = asked.begun.elapsed();
        self.record(&asked, operation, latency, &outcome.reply, outcome.verdict, &recorded);
        self.tell(&asked, latency, &outcome.reply);
        outcome.reply.bytes
    }

    /// Looks for the answer in memory, where that has it for any caller.
    fn look(&self, arrived: &Arrived, request_id: &str) -> Looked {
        let may_be_there = matches!(arrived.method, Method::GetItem | Method::Query | Method::Scan)
            && Frontend::<S, O, A>::HEARS_NO_NAMES
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
    /// Reads a request and has the service answer it.
    async fn execute_data(self: &Arc<Self>, data: Data<'_>, looked: Looked) -> Outcome {
        let Data { method, arguments, client, caller, trace, request_id } = data;
        let looked = match looked {
            Looked::Answered(outcome) => return outcome,
            Looked::Item(found, names) => return self.show_listed(&found, names, request_id).await,
            Looked::Served(shown) => return self.reply_to(shown.0, shown.1, None, request_id).await,
            Looked::Decoded(by, decoded) => Some((by, decoded)),
            Looked::Unread => None,
        };
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
            (Some((by, decoded)), [(_, schema)]) if Arc::ptr_eq(&by, schema) => Ok(decoded),
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
            if let Err(error) = lists::define_for_answer(lists, names).await {
                return Outcome::of_error(&error, Some(operation), request_id);
            }
        }
        Outcome::of_error(&internal(), Some(operation), request_id)
    }
}

fn with_body(served: Served, body: Vec<u8>) -> Served {
    Served { answer: Answer { body: body.into(), ..served.answer }, ..served }
}

/// What `work` gives. A panic of it is one request's misfortune, not the connection's.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, ApiError> {
    std::panic::catch_unwind(AssertUnwindSafe(work)).map_err(|_| {
        tracing::error!("Reading a DAX request, or writing its answer, panicked.");
        internal()
    })
}
