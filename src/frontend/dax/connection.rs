//! One DAX connection from its first byte to its end.
//!
//! A client may be silent between two requests for as long as it likes: its library has no use for a connection that the server ends,
//! and one of them waits for ever on it. What is limited is the time to a preamble, the time of a request that has begun to arrive,
//! and the time in which a client takes nothing of its answer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tokio_util::sync::WaitForCancellationFuture;

use super::super::connection::Open;
use super::super::exchange::{Unanswered, verdict_of};
use super::super::peer::Peer;
use super::super::rare_wake::Rarely;
use super::super::stall::Watched;
use super::super::{
    Authenticator, Caller, DaxAnswered, Entrance, Exchange, Frontend, Observer, RejectReason, Service,
    Unverified, answer,
};
use super::authorization::Standing;
use super::intake::{Arrived, Ended, Intake};
use super::lists;
use super::refusal::Refusal;
use crate::call::{Answer, Verdict};
use crate::dax::answer::Reply;
use crate::dax::cbor::Writer;
use crate::dax::error;
use crate::dax::method::Method;
use crate::dax::request::{Call, Client};
use crate::model::{ApiError, ErrorCode, ErrorName, Operation};
use crate::offload::LARGE_BODY_BYTES;
use crate::wire::Json;

/// How long a client may take to read the last words, and how much of what it still sends is dropped meanwhile: a connection that is
/// closed over unread bytes is reset, and the words are lost.
const LAST_WORDS_TIME: Duration = Duration::from_secs(5);
const LAST_WORDS_BYTES: u64 = 64 * 1024 * 1024;

/// The largest request that concerns only the protocol: a list of names has no more bytes than an item.
const PROTOCOL_BYTES_MAX: usize = 512 * 1024;

/// A list of names takes so many times its bytes while it is defined, if each name has one letter.
const NAMES_FACTOR: usize = 32;

/// A connection and what it is asked.
pub(super) struct Connection<'a, IO, S, O, A> {
    pub(super) frontend: &'a Arc<Frontend<S, O, A>>,
    stream: Watched<IO>,
    pub(super) peer: &'a Peer,
    /// Where the client has connected to.
    local: Option<SocketAddr>,
    pub(super) intake: Intake,
    pub(super) client: Client,
    standing: Standing,
    draining: Rarely<WaitForCancellationFuture<'a>>,
}

/// What is recorded of a request.
pub(super) struct Asked<'a> {
    pub(super) method: Method,
    pub(super) begun: Instant,
    pub(super) request_bytes: usize,
    pub(super) request_id: &'a str,
}

/// What is recorded beside that of a request of the API.
pub(super) struct Recorded<'a> {
    /// The HTTP status of its answer.
    pub(super) status: u16,
    pub(super) source: Option<crate::call::Source>,
    pub(super) table: Option<&'a str>,
    pub(super) index: Option<&'a str>,
    pub(super) principal: Option<&'a str>,
    pub(super) trace: Option<&'a crate::call::Trace>,
}

impl<'a> Recorded<'a> {
    /// Of a request that nothing was done for.
    fn of(status: u16, principal: Option<&'a str>) -> Self {
        Self { status, source: None, table: None, index: None, principal, trace: None }
    }
}

impl<S: Service, O: Observer, A: Authenticator> Frontend<S, O, A> {
    /// Serves one connection that speaks the protocol of DAX, until its client ends it or the front end drains. `local` is the address
    /// that the client has connected to.
    pub(in super::super) async fn serve_dax<IO>(
        self: Arc<Self>,
        io: IO,
        peer: Peer,
        local: Option<SocketAddr>,
    ) where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let _open = Open::new(&*self.observer);
        let _open_dax = OpenDax::new(&*self.observer);
        let mut connection = Connection {
            frontend: &self,
            stream: Watched::new(io),
            peer: &peer,
            local,
            intake: Intake::new(&self.bodies, self.settings.request_bytes_max),
            client: Client::SelectsAlways,
            standing: Standing::Unshown,
            draining: Rarely::new(self.draining.cancelled()),
        };
        let aborting = Rarely::new(self.aborting.cancelled());
        let ended = tokio::select! {
            biased;
            ended = connection.run() => ended,
            () = aborting => return,
        };
        if let Err(error) = ended {
            if error.kind() == io::ErrorKind::TimedOut {
                self.observer.rejected(RejectReason::TimedOut);
            }
            tracing::debug!(%error, "A DAX connection ended early.");
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
    /// Serves the connection to its end.
    ///
    /// # Errors
    /// Those of writing: the client is gone, or takes nothing.
    async fn run(&mut self) -> io::Result<()> {
        let preamble =
            tokio::time::timeout(self.frontend.settings.idle_timeout, self.intake.preamble(&mut self.stream));
        let preamble = tokio::select! {
            biased;
            preamble = preamble => preamble.unwrap_or(Err(Ended::TimedOut)),
            () = &mut self.draining => return Ok(()),
        };
        match preamble {
            Ok(user_agent) => self.client = Client::of_user_agent(&user_agent),
            Err(ended) => return self.refuse(&ended, Refusal::of_preamble(&ended)).await,
        }
        loop {
            let first = tokio::select! {
                biased;
                first = self.intake.first_byte(&mut self.stream) => first,
                () = &mut self.draining => return Ok(()),
            };
            if let Err(ended) = first {
                return self.refuse(&ended, Refusal::of_preamble(&ended)).await;
            }
            match self.intake.request(&mut self.stream).await {
                Ok(arrived) => self.serve(arrived).await?,
                Err(ended) => return self.refuse(&ended, Refusal::of_request(&ended)).await,
            }
        }
    }

    /// Serves one request that has arrived.
    async fn serve(&mut self, arrived: Arrived) -> io::Result<()> {
        if arrived.method == Method::AuthorizeConnection {
            self.authorize(&arrived);
            self.intake.pass(&arrived);
            return Ok(());
        }
        let unanswered = Unanswered(self.frontend);
        let bytes = match self.standing.caller(self.peer, &self.frontend.authenticator) {
            Ok(caller) => self.answer(&arrived, caller).await,
            Err(unverified) => {
                let denied = self.deny(&arrived, unverified);
                self.intake.pass(&arrived);
                denied
            }
        };
        std::mem::forget(unanswered);
        self.stream.write_all(&bytes).await?;
        self.stream.flush().await
    }

    /// Takes over what the client shows of itself. Whatever comes of it, there must be no answer.
    fn authorize(&mut self, arrived: &Arrived) {
        match Call::parse(arrived.method, self.intake.arguments(arrived)) {
            Ok(Call::AuthorizeConnection(shown)) => {
                if let Some(user_agent) = shown.user_agent
                    && self.client == Client::SelectsAlways
                {
                    self.client = Client::of_user_agent(user_agent);
                }
                self.standing.take(&shown, self.peer, &self.frontend.authenticator);
            }
            Ok(_) => {}
            Err(error) => self.standing.fail(error),
        }
    }

    /// The answer to a request of a known caller, which is dealt with then.
    async fn answer(&mut self, arrived: &Arrived, caller: Caller<'static>) -> Vec<u8> {
        match arrived.method.operation() {
            Some(operation) => self.answer_data(arrived, operation, caller).await,
            None => {
                // Boxed, so that the future of a connection stays small.
                let bytes = Box::pin(self.answer_protocol(arrived, caller)).await;
                self.intake.pass(arrived);
                bytes
            }
        }
    }

    /// The answer to what concerns only the protocol.
    async fn answer_protocol(&mut self, arrived: &Arrived, caller: Caller<'static>) -> Vec<u8> {
        let id = answer::request_id();
        let asked = self.asked(arrived, id.to_str().unwrap_or_default());
        let principal = caller.principal().cloned();
        let principal = principal.as_ref().map(|principal| principal.name.as_str());
        let Ok(_trees) = self.room_to_read(asked.request_bytes).await else {
            let error = ApiError::validation("The request is larger than any of its kind");
            let reply = error::reply(&error, None, Some(asked.request_id));
            self.tell(&asked, asked.begun.elapsed(), &reply);
            return reply.bytes;
        };
        let refused = |error: &ApiError| error::reply(error, None, Some(asked.request_id));
        let reply = match Call::parse(arrived.method, self.intake.arguments(arrived)) {
            Ok(Call::Endpoints) => self.endpoints(asked.request_id),
            Ok(Call::DefineKeySchema { table }) => {
                let schema = self.frontend.service.table_schema(caller, table).await;
                match schema {
                    Ok(schema) => key_schema(&schema),
                    Err(answer) => {
                        self.record_denial(&asked, &answer, principal);
                        error_reply(&answer, None, asked.request_id)
                    }
                }
            }
            Ok(Call::DefineAttributeListId { names }) => {
                let names = names.into_iter().map(str::to_owned).collect();
                let id = match lists::admit(&caller) {
                    Ok(()) => lists::id_of(&self.frontend.settings.dax.lists, names).await,
                    Err(denied) => Err(denied),
                };
                id.unwrap_or_else(|error| refused(&error))
            }
            Ok(Call::DefineAttributeList { id }) => {
                let names = lists::admit(&caller)
                    .and_then(|()| lists::names_of(&self.frontend.settings.dax.lists, id));
                names.unwrap_or_else(|error| refused(&error))
            }
            Ok(Call::AuthorizeConnection(_) | Call::Data(_)) => {
                refused(&ApiError::new(ErrorCode::InternalServerError, "Internal server error"))
            }
            Err(error) => refused(&error),
        };
        self.tell(&asked, asked.begun.elapsed(), &reply);
        reply.bytes
    }

    /// Waits for room for what is made of a request of the protocol's own.
    ///
    /// # Errors
    /// For one that is larger than any can be, and if there is no room in time.
    async fn room_to_read(&self, request_bytes: usize) -> Result<Option<OwnedSemaphorePermit>, ()> {
        if request_bytes <= LARGE_BODY_BYTES {
            return Ok(None);
        }
        if request_bytes > PROTOCOL_BYTES_MAX {
            return Err(());
        }
        let room = self.frontend.trees.reserve(request_bytes * NAMES_FACTOR).await;
        room.map(Some).ok_or(())
    }

    fn endpoints(&self, request_id: &str) -> Reply {
        match self.frontend.discovery.answer(self.local, self.peer.is_over_tls) {
            Some(bytes) => Reply { bytes, error: None },
            None => {
                let words = "This node's address is not known yet; see dax.advertise";
                let error = ApiError::new(ErrorCode::ServiceUnavailable, words);
                error::reply(&error, None, Some(request_id))
            }
        }
    }

    /// The answer to a request of a client that has not shown who it is. It counts as a denied request of the API.
    fn deny(&self, arrived: &Arrived, unverified: Unverified) -> Vec<u8> {
        let id = answer::request_id();
        let asked = self.asked(arrived, id.to_str().unwrap_or_default());
        let Unverified { error, reason } = unverified;
        let status = error.code.status();
        let reply = error::reply(&error, None, Some(asked.request_id));
        let operation = arrived.method.operation().unwrap_or(Operation::Unknown);
        self.record(
            &asked,
            operation,
            asked.begun.elapsed(),
            &reply,
            Verdict::Denied(reason),
            &Recorded::of(status, None),
        );
        self.tell(&asked, asked.begun.elapsed(), &reply);
        reply.bytes
    }

    /// Records that a caller may not know a table. Otherwise, what concerns only the protocol is no call of the API.
    fn record_denial(&self, asked: &Asked<'_>, answer: &Answer, principal: Option<&str>) {
        let Some(code) = answer.error.as_ref().and_then(ErrorName::code) else { return };
        let verdict = verdict_of(code);
        if verdict.denial().is_some() {
            let reply = Reply { bytes: Vec::new(), error: answer.error.clone() };
            let recorded = Recorded::of(answer.status, principal);
            self.record(asked, Operation::DescribeTable, asked.begun.elapsed(), &reply, verdict, &recorded);
        }
    }

    /// What is recorded of a request, whatever comes of it.
    pub(super) fn asked<'r>(&self, arrived: &Arrived, request_id: &'r str) -> Asked<'r> {
        let request_bytes = self.intake.length(arrived);
        Asked { method: arrived.method, begun: arrived.begun, request_bytes, request_id }
    }

    /// Tells the observer of a request of the API.
    pub(super) fn record(
        &self,
        asked: &Asked<'_>,
        operation: Operation,
        latency: Duration,
        reply: &Reply,
        verdict: Verdict,
        recorded: &Recorded<'_>,
    ) {
        let Recorded { status, source, table, index, principal, trace } = *recorded;
        self.frontend.observer.answered(&Exchange {
            entrance: Entrance::Dax,
            operation,
            source,
            table,
            index,
            principal,
            client: self.peer.address,
            verdict,
            status,
            error: reply.error.as_ref(),
            latency,
            request_bytes: asked.request_bytes,
            answer_bytes: reply.bytes.len(),
            request_id: asked.request_id,
            trace,
        });
    }

    /// Tells the observer of any request.
    pub(super) fn tell(&self, asked: &Asked<'_>, latency: Duration, reply: &Reply) {
        self.frontend.observer.dax_answered(&DaxAnswered {
            method: asked.method,
            error: reply.error.as_ref(),
            latency,
            request_bytes: asked.request_bytes,
            answer_bytes: reply.bytes.len(),
            request_id: asked.request_id,
        });
    }

    /// Ends a connection that cannot go on.
    async fn refuse(&mut self, ended: &Ended, refusal: Refusal) -> io::Result<()> {
        if let Some(reason) = refusal.reason {
            self.frontend.observer.rejected(reason);
            tracing::debug!(error = %ended, "A DAX connection ended early.");
        }
        let Some(error) = refusal.error else { return Ok(()) };
        let id = answer::request_id();
        let reply = error::reply(&error, None, id.to_str().ok());
        let saying = async {
            self.stream.write_all(&reply.bytes).await?;
            self.stream.shutdown().await?;
            let mut rest = (&mut self.stream).take(LAST_WORDS_BYTES);
            tokio::io::copy(&mut rest, &mut tokio::io::sink()).await.map(drop)
        };
        // A client that is slower than this loses the words.
        tokio::time::timeout(LAST_WORDS_TIME, saying).await.unwrap_or(Ok(()))
    }
}

/// An answer that says no, where the request has no form for it.
pub(super) fn error_reply(answer: &Answer, operation: Option<Operation>, request_id: &str) -> Reply {
    let body = Json::parse(&answer.body).ok();
    let text = |name| body.as_ref().and_then(|body| body.get(name)).and_then(Json::text);
    let message = text("message").or_else(|| text("Message")).unwrap_or_default().to_owned();
    let code = answer.error.as_ref().and_then(ErrorName::code).unwrap_or(ErrorCode::InternalServerError);
    error::reply(&ApiError::new(code, message), operation, Some(request_id))
}

/// The key attributes of a table and their types, the partition key first.
fn key_schema(schema: &crate::model::TableSchema) -> Reply {
    let mut bytes = Vec::with_capacity(64);
    let mut writer = Writer::new(&mut bytes);
    writer.array(0);
    let attributes: Vec<_> = schema.key.attributes().collect();
    writer.map(attributes.len());
    for attribute in attributes {
        writer.text(&attribute.name);
        writer.text(attribute.scalar_type.name());
    }
    Reply { bytes, error: None }
}

/// Tells of a DAX connection's end even when its task is dropped.
struct OpenDax<'a, O: Observer>(&'a O);

impl<'a, O: Observer> OpenDax<'a, O> {
    fn new(observer: &'a O) -> Self {
        observer.dax_connection_opened();
        Self(observer)
    }
}

impl<O: Observer> Drop for OpenDax<'_, O> {
    fn drop(&mut self) {
        self.0.dax_connection_closed();
    }
}
