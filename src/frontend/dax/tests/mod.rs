//! Whole connections: bytes in, bytes out over an in-memory connection, with the clock stopped.

mod at_once;
mod connections;
mod signed;
mod vectors;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::super::peer::Peer;
use super::super::{
    AnyCaller, Authenticator, Caller, DaxAnswered, Exchange, Frontend, Observer, RejectReason, Service,
    Settings,
};
use super::*;
use crate::call::{Answer, Request, Source};
use crate::dax::cbor::{Malformed, Measure, Reader, Writer};
use crate::engine::Served;
use crate::model::key_attribute::{KeyAttribute, ScalarType};
use crate::model::schema::{KeySchema, TableSchema};
use crate::model::{ApiError, ErrorCode, ErrorName};

/// A service that knows the table `tab`, by a text `pk`, and answers requests to it with an item; or waits to be released.
#[derive(Default)]
struct Fake {
    requests: Mutex<Vec<String>>,
    entered: Notify,
    released: Notify,
    waits: AtomicUsize,
}

impl Service for Fake {
    type Understood = ();

    async fn execute(self: &Arc<Self>, caller: Caller<'_>, request: Request) -> Result<Served, ApiError> {
        let scope = caller.scope()?;
        let body = String::from_utf8(request.body.to_vec()).unwrap();
        let told = format!("{} in {}: {} {body}", scope.access_key, scope.region, request.operation);
        self.requests.lock().unwrap().push(told);
        assert!(!body.contains("panic"));
        if self.waits.load(Ordering::Relaxed) > 0 {
            self.entered.notify_one();
            self.released.notified().await;
        }
        let answer = Answer::ok(r#"{"Item":{"pk":{"S":"a"},"v":{"N":"7"}}}"#);
        let table = Some("tab".into());
        Ok(Served { answer, crc32: None, source: Source::Miss, age_seconds: None, table })
    }

    async fn table_schema(
        self: &Arc<Self>,
        _: Caller<'_>,
        table: &str,
    ) -> Result<Arc<TableSchema>, Box<Answer>> {
        if table != "tab" {
            let error = ApiError::new(ErrorCode::ResourceNotFound, "Requested resource not found");
            return Err(Box::new(error.into()));
        }
        let attribute = KeyAttribute { name: "pk".to_owned(), scalar_type: ScalarType::S };
        let key = KeySchema { partition: vec![attribute], sort: Vec::new() };
        Ok(Arc::new(TableSchema { name: table.to_owned(), id: String::new(), key, indexes: Vec::new() }))
    }
}

/// Keeps everything it is told as text.
#[derive(Default)]
struct Witness(Mutex<Vec<String>>);

impl Witness {
    fn tell(&self, text: String) {
        self.0.lock().unwrap().push(text);
    }
}

impl Observer for Witness {
    fn answered(&self, exchange: &Exchange<'_>) {
        let error = exchange.error.map(ErrorName::text).unwrap_or_default();
        let denied = exchange.verdict.denial().map_or("", |reason| reason.label());
        self.tell(format!("{} {} {error}{denied}", exchange.operation, exchange.status));
    }
    fn connection_opened(&self) {}
    fn connection_closed(&self) {}
    fn dax_connection_opened(&self) {
        self.tell("opened".to_owned());
    }
    fn dax_connection_closed(&self) {
        self.tell("closed".to_owned());
    }
    fn dax_answered(&self, answered: &DaxAnswered<'_>) {
        assert_eq!(answered.request_id.len(), 52);
        let outcome = if answered.error.is_some() { "error" } else { "ok" };
        self.tell(format!("{} {outcome}", answered.method.name()));
    }
    fn rejected(&self, reason: RejectReason) {
        self.tell(format!("rejected {}", reason.label()));
    }
}

/// A front end with one client connected to it.
struct Wire<S = Fake, A = AnyCaller> {
    frontend: Arc<Frontend<S, Witness, A>>,
    client: DuplexStream,
    connection: JoinHandle<()>,
}

impl Wire {
    fn new() -> Self {
        Self::asking(
            Arc::default(),
            AnyCaller,
            Settings { request_bytes_max: 1 << 20, ..Settings::default() },
        )
    }

    /// One whose client has said its preamble and who it is.
    async fn begun() -> Self {
        let mut wire = Self::new();
        wire.send(&[preamble(), authorization("AKID", "0", &text_to_sign(), None)].concat()).await;
        wire
    }
}

impl<S: Service, A: Authenticator> Wire<S, A> {
    fn asking(service: Arc<S>, authenticator: A, settings: Settings) -> Self {
        let frontend = Frontend::new(service, Arc::default(), authenticator, settings);
        let (client, server) = tokio::io::duplex(64 * 1024);
        let local = Some(([127, 0, 0, 1], 8111).into());
        let connection = tokio::spawn(Arc::clone(&frontend).serve_dax(server, Peer::plain(None), local));
        Self { frontend, client, connection }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.unwrap();
    }

    /// Sends a request and reads its answer.
    async fn ask(&mut self, request: &[u8]) -> Reply {
        self.send(request).await;
        self.reply().await
    }

    /// Reads one answer, and asserts that nothing follows it.
    async fn reply(&mut self) -> Reply {
        let mut bytes = Vec::new();
        loop {
            assert_ne!(self.client.read_buf(&mut bytes).await.unwrap(), 0, "closed within an answer");
            if let Some(reply) = Reply::read(&bytes) {
                return reply;
            }
        }
    }

    /// Waits for the end of the connection and gives what still came.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let _ = self.client.read_to_end(&mut rest).await;
        (&mut self.connection).await.unwrap();
        rest
    }

    fn told(&self) -> Vec<String> {
        std::mem::take(&mut *self.frontend.observer.0.lock().unwrap())
    }
}

/// The codes of a success.
const NO_ERROR: [i64; 0] = [];

/// An answer: its codes, and the items behind them.
#[derive(Debug, PartialEq)]
struct Reply {
    codes: Vec<i64>,
    rest: Vec<u8>,
}

impl Reply {
    /// Reads an answer that is whole; `None` while it is not.
    fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let mut elements = whole(reader.array())?;
        let mut codes = Vec::new();
        while whole(elements.next(&mut reader))? {
            codes.push(whole(reader.int_64())?);
        }
        let rest = reader.rest();
        // An error is a text and some facts behind its codes. A success of these tests is one item.
        let items = if codes.is_empty() { 1 } else { 2 };
        let length = Measure::new(items, 20).advance(rest).unwrap()?;
        assert_eq!(length, rest.len(), "bytes behind an answer");
        Some(Self { codes, rest: rest.to_vec() })
    }

    /// The name of the error in it.
    fn error(&self) -> String {
        let mut reader = Reader::new(&self.rest);
        reader.skip(4).unwrap();
        let mut facts = reader.array().unwrap();
        assert!(facts.next(&mut reader).unwrap());
        reader.skip(4).unwrap();
        assert!(facts.next(&mut reader).unwrap());
        reader.text().unwrap().to_owned()
    }
}

/// `None` for what lacks its end.
fn whole<T>(read: Result<T, Malformed>) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(Malformed::Truncated) => None,
        Err(malformed) => panic!("{malformed}"),
    }
}

fn written(write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut Writer::new(&mut bytes));
    bytes
}

fn preamble() -> Vec<u8> {
    written(|writer| {
        writer.text("J7yne5G");
        writer.int(0);
        writer.bytes(b"session");
        writer.map(1);
        writer.text("UserAgent");
        writer.text("DaxPythonClient-2.1.0");
        writer.int(0);
    })
}

/// A request of that method, with arguments that `write` writes.
/// The methods that give a list of names its id, and an id its names.
const DEFINE_LIST_ID: i64 = -1_230_579_644;
const DEFINE_LIST: i64 = 670_678_385;

fn request(id: i64, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    written(|writer| {
        writer.int(1);
        writer.int(id);
        write(writer);
    })
}

fn authorization(access_key: &str, signature: &str, text: &str, token: Option<&str>) -> Vec<u8> {
    request(1_489_122_155, |writer| {
        writer.text(access_key);
        writer.text(signature);
        writer.bytes(text.as_bytes());
        match token {
            Some(token) => writer.text(token),
            None => writer.null(),
        }
        writer.null();
    })
}

/// What a client signs in 2026, which is of interest only where signatures are not verified.
fn text_to_sign() -> String {
    "AWS4-HMAC-SHA256\n20260102T030405Z\n20260102/eu-west-1/dax/aws4_request\n00".to_owned()
}

fn endpoints() -> Vec<u8> {
    request(455_855_874, |_| {})
}

fn define_key_schema(table: &str) -> Vec<u8> {
    request(-742_646_399, |writer| writer.bytes(table.as_bytes()))
}

fn define_list(names: &[&str]) -> Vec<u8> {
    request(-1_230_579_644, |writer| {
        writer.array(names.len());
        names.iter().for_each(|name| writer.text(name));
    })
}

fn define_names(id: i64) -> Vec<u8> {
    request(670_678_385, |writer| writer.int(id))
}

fn get_item(table: &str, key: &str) -> Vec<u8> {
    request(263_244_906, |writer| {
        writer.bytes(table.as_bytes());
        writer.bytes(key.as_bytes());
        writer.null();
    })
}
