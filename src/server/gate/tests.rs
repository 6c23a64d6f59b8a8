//! Callers with different rights get the same at the socket as behind hyper, and are told apart. `NEARSIDE_SEED` replays a run.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use fastrand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::super::caches::Caches;
use super::super::maker::EngineMaker;
use super::super::realms::{Realms, Stores};
use super::*;
use crate::cache::Realm;
use crate::call::PrincipalRole;
use crate::config::{self, Config, LoadedCallers, LoadedKey, SecretBytes};
use crate::engine::Memory;
use crate::frontend::{
    Exchange, Frontend, KeyRing, Observer, RejectReason, Settings, SignedCallers, SignedRegions,
};
use crate::local::{self, Local};
use crate::model::Timestamp;
use crate::stopped_time::StoppedTime;
use crate::telemetry::Metrics;
use crate::wire::sigv4::{KeyScope, Location, SignedRequest, SigningKey, sha256, string_to_sign};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const REGION: &str = "us-east-1";

/// The principals and their policies. The second has a role.
const PRINCIPALS: [(&str, &str); 7] = [
    ("all", r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#),
    ("role", r#"{"Effect":"Allow","Action":"*","Resource":"*"}"#),
    (
        "items",
        r#"{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Scan"],"Resource":"arn:aws:dynamodb:*:*:table/items"}"#,
    ),
    (
        "keys",
        r#"{"Effect":"Allow","Action":"dynamodb:*","Resource":"*",
            "Condition":{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["0"]},"Null":{"dynamodb:LeadingKeys":"false"}}}"#,
    ),
    (
        "attributes",
        r#"{"Effect":"Allow","Action":"dynamodb:*","Resource":"*",
            "Condition":{"ForAllValues:StringEquals":{"dynamodb:Attributes":["p","s","v"]},"Null":{"dynamodb:Attributes":"false"}}}"#,
    ),
    (
        "others",
        r#"{"Effect":"Allow","Action":"dynamodb:*","Resource":"*"},
            {"Effect":"Deny","Action":"dynamodb:*","Resource":"arn:aws:dynamodb:*:*:table/items"}"#,
    ),
    ("nobody", r#"{"Effect":"Deny","Action":"*","Resource":"*"}"#),
];

fn callers(regions: SignedRegions) -> SignedCallers {
    let key = |(name, statement): (&str, &str)| LoadedKey {
        access_key_id: format!("AKID{name}"),
        secret: SecretBytes::from(SECRET.to_owned()),
        session_token: None,
        not_after: None,
        principal: Arc::new(config::Principal {
            name: name.to_owned(),
            rights: config::Rights::Policy {
                file: "policy.json".into(),
                text: format!("{{\"Version\":\"2012-10-17\",\"Statement\":[{statement}]}}"),
            },
            role: (name == "role").then(|| {
                let arn = "arn:aws:iam::123456789012:role/shop".into();
                Arc::new(PrincipalRole { principal: name.into(), arn, external_id: None })
            }),
        }),
    };
    let loaded = LoadedCallers { keys: PRINCIPALS.map(key).into(), ..LoadedCallers::default() };
    let ring = KeyRing::new(loaded).unwrap_or_else(|fault| panic!("{fault}"));
    SignedCallers::new(Arc::new(ArcSwap::from_pointee(ring)), regions, REGION)
}

/// A service behind the gate that notes what it was asked, and how much it answered at once.
struct Noted<S> {
    service: Arc<S>,
    asked: Mutex<Vec<String>>,
    at_once: AtomicUsize,
}

impl<S> Noted<S> {
    fn note(&self, request: &Request) {
        let role = request.on_behalf_of.as_ref().map(|role| &role.principal);
        self.asked.lock().unwrap().push(format!("{} {role:?} {:?}", request.operation, request.body));
    }
}

impl<S: Judging> Service for Noted<S> {
    type Understood = Understood;

    async fn execute(self: &Arc<Self>, _: Caller<'_>, _: Request) -> Result<Served, ApiError> {
        unreachable!("the gate asks in the name of a principal");
    }
}

impl<S: Judging> Judging for Noted<S> {
    async fn execute_as(
        self: &Arc<Self>,
        caller: &Caller<'_>,
        rights: &Rights,
        place: Place<'_>,
        request: Request,
        understood: Understood,
    ) -> Result<Served, ApiError> {
        self.note(&request);
        self.service.execute_as(caller, rights, place, request, understood).await
    }

    fn answer_at_once_as(
        &self,
        caller: &Caller<'_>,
        rights: &Rights,
        place: Place<'_>,
        request: &Request,
    ) -> Result<Served, Understood> {
        let served = self.service.answer_at_once_as(caller, rights, place, request)?;
        self.note(request);
        self.at_once.fetch_add(1, Ordering::Relaxed);
        Ok(served)
    }

    async fn table_schema_as(
        self: &Arc<Self>,
        caller: &Caller<'_>,
        rights: &Rights,
        place: Place<'_>,
        table: &str,
    ) -> Result<Arc<TableSchema>, Box<Answer>> {
        self.service.table_schema_as(caller, rights, place, table).await
    }
}

/// Keeps what is reported to it, but for ids and durations.
#[derive(Default)]
struct Recorder(Mutex<Vec<String>>);

impl Observer for Recorder {
    fn answered(&self, exchange: &Exchange<'_>) {
        let exchange = Exchange { latency: std::time::Duration::ZERO, request_id: "", ..exchange.clone() };
        self.0.lock().unwrap().push(format!("{exchange:?}"));
    }
    fn connection_opened(&self) {}
    fn connection_closed(&self) {}
    fn rejected(&self, _: RejectReason) {}
}

/// A request, and who sends it.
struct Call {
    principal: &'static str,
    operation: &'static str,
    body: String,
}

/// By which road a request is answered if memory has the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Road {
    Socket,
    /// A header that is not signed, and that the shortcut does not know.
    Hyper,
}

impl Call {
    fn bytes(&self, road: Road) -> Vec<u8> {
        let Self { principal, operation, body } = self;
        let time = Timestamp::from(SystemTime::now()).to_string();
        let target = format!("DynamoDB_20120810.{operation}");
        let headers: [(&str, &[u8]); 3] = [
            ("host", b"localhost:8000"),
            ("x-amz-date", time.as_bytes()),
            ("x-amz-target", target.as_bytes()),
        ];
        let request = SignedRequest {
            location: Location::Header,
            method: "POST",
            path: "/",
            query: "",
            headers: headers.to_vec(),
            body_sha256: sha256(body.as_bytes()),
        };
        let scope = KeyScope { date: &time[..8], region: REGION, service: "dynamodb" };
        let text = string_to_sign(&request.canonical(), &time, &scope);
        let signature = SigningKey::derive(SECRET.as_bytes(), &scope).sign(&text);
        let signature = std::str::from_utf8(&signature).unwrap();
        let more = if road == Road::Hyper { "X-Other: 1\r\n" } else { "" };
        format!(
            "POST / HTTP/1.1\r\nHost: localhost:8000\r\nX-Amz-Date: {time}\r\nX-Amz-Target: {target}\r\n{more}\
             Content-Type: application/x-amz-json-1.0\r\nAuthorization: AWS4-HMAC-SHA256 \
             Credential=AKID{principal}/{}/{REGION}/dynamodb/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, \
             Signature={signature}\r\nContent-Length: {}\r\n\r\n{body}",
            &time[..8],
            body.len()
        )
        .into_bytes()
    }
}

/// Reads and writes of a few items, of whoever; `owners` say who makes the tables.
fn calls(random: &mut Rng, owners: &[&'static str]) -> Vec<Call> {
    let mut calls = Vec::new();
    for (principal, table) in owners.iter().flat_map(|owner| [(owner, "items"), (owner, "more")]) {
        let body = format!(
            "{{\"TableName\":\"{table}\",\"BillingMode\":\"PAY_PER_REQUEST\",\"AttributeDefinitions\":[\
             {{\"AttributeName\":\"p\",\"AttributeType\":\"S\"}},{{\"AttributeName\":\"s\",\"AttributeType\":\"N\"}}],\
             \"KeySchema\":[{{\"AttributeName\":\"p\",\"KeyType\":\"HASH\"}},{{\"AttributeName\":\"s\",\"KeyType\":\"RANGE\"}}]}}"
        );
        calls.push(Call { principal, operation: "CreateTable", body });
    }
    for number in 0..400 {
        let mut pick = |texts: &[&'static str]| texts[random.usize(..texts.len())];
        let (table, p, s) = (pick(&["items", "items", "more"]), pick(&["0", "1"]), pick(&["0", "1"]));
        let key = format!("\"p\":{{\"S\":\"{p}\"}},\"s\":{{\"N\":\"{s}\"}}");
        let part = pick(&["", "", ",\"ProjectionExpression\":\"p, v\"", ",\"ProjectionExpression\":\"w\""]);
        let values = format!("\"ExpressionAttributeValues\":{{\":p\":{{\"S\":\"{p}\"}}}}");
        let operation = pick(&["GetItem", "GetItem", "GetItem", "Query", "Scan", "BatchGetItem", "PutItem"]);
        let body = match operation {
            "PutItem" => format!(
                "{{\"TableName\":\"{table}\",\"Item\":{{{key},\"v\":{{\"N\":\"{number}\"}},\"w\":{{\"S\":\"w\"}}}}}}"
            ),
            "Query" => {
                format!("{{\"TableName\":\"{table}\",\"KeyConditionExpression\":\"p=:p\",{values}{part}}}")
            }
            "Scan" => format!("{{\"TableName\":\"{table}\"{part}}}"),
            "BatchGetItem" => {
                let one = format!("\"{table}\":{{\"Keys\":[{{{key}}}]{part}}}");
                let other = pick(&["items", "more"]);
                let both = format!("{one},\"{other}\":{{\"Keys\":[{{{key}}}]}}");
                format!("{{\"RequestItems\":{{{}}}}}", if other == table { one } else { both })
            }
            _ => format!("{{\"TableName\":\"{table}\",\"Key\":{{{key}}}{part}}}"),
        };
        let principal = match operation {
            // Few writes, or nothing is ever cached.
            "PutItem" => owners[random.usize(..owners.len())],
            _ => PRINCIPALS[random.usize(..PRINCIPALS.len())].0,
        };
        calls.push(Call { principal, operation, body });
    }
    calls
}

async fn read_reply(client: &mut DuplexStream) -> String {
    let mut reply = Vec::new();
    loop {
        assert_ne!(client.read_buf(&mut reply).await.unwrap(), 0, "closed before an answer");
        let text = String::from_utf8_lossy(&reply);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() == length.parse::<usize>().unwrap() {
            let shown = |line: &&str| {
                !["x-amzn-requestid", "date", "age"].iter().any(|name| line.starts_with(&format!("{name}: ")))
            };
            let head: Vec<&str> = head.lines().filter(shown).collect();
            return format!("{}\n{body}", head.join("\n"));
        }
    }
}

/// What came of calls.
struct Outcome {
    replies: Vec<String>,
    asked: Vec<String>,
    told: Vec<String>,
    counted: String,
    at_once: usize,
}

async fn run<S: Judging>(
    service: Arc<S>,
    memory: Memory,
    regions: SignedRegions,
    calls: &[Call],
    road: Road,
) -> Outcome {
    let noted = Arc::new(Noted { service, asked: Mutex::default(), at_once: AtomicUsize::new(0) });
    let gate = Gate::before(Arc::clone(&noted), REGION, None);
    let recorder = Arc::<Recorder>::default();
    let frontend = Frontend::new(gate, Arc::clone(&recorder), callers(regions), Settings::default());
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let connection = tokio::spawn(frontend.serve_connection(server));
    let mut replies = Vec::new();
    for call in calls {
        client.write_all(&call.bytes(road)).await.unwrap();
        replies.push(read_reply(&mut client).await);
    }
    drop(client);
    connection.await.unwrap();
    let (items, pages) = (memory.items.stats(), memory.pages.stats());
    let counted = format!("{:?} {:?}\n{:?} {:?}", items.total, items.bumps, pages.total, pages.bumps);
    let (asked, told) = (noted.asked.lock().unwrap().clone(), recorder.0.lock().unwrap().clone());
    Outcome { replies, asked, told, counted, at_once: noted.at_once.load(Ordering::Relaxed) }
}

fn maker() -> EngineMaker {
    let text = "[local]\nin_memory = true\n[cache]\nitem_ttl = \"never\"\nquery_ttl = \"never\"\nscan_pages = \"first\"\n";
    let config = Config::parse(text).unwrap_or_else(|error| panic!("{error}"));
    let memory = Caches::new(&config, None, &Arc::new(StoppedTime::of_this_machine())).memory;
    EngineMaker { memory, live: Arc::new(ArcSwap::from_pointee(config.live)), metrics: Metrics::new(&[]) }
}

async fn run_sole(calls: &[Call], road: Road) -> Outcome {
    let maker = maker();
    let engine = maker.local_engine(Realm::SOLE, &Arc::new(Local::in_memory(local::Settings::default())));
    run(engine, maker.memory, SignedRegions::Only(REGION.into()), calls, road).await
}

async fn run_apart(calls: &[Call], road: Road) -> Outcome {
    let maker = maker();
    let memory = maker.memory.clone();
    let realms = Realms::new(maker, Stores::InMemory, local::Settings::default());
    run(realms, memory, SignedRegions::Any, calls, road).await
}

fn seed() -> u64 {
    let given = std::env::var("NEARSIDE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| fastrand::u64(..));
    println!("replay with NEARSIDE_SEED={seed}");
    seed
}

/// Both roads come to the same. Gives how many were answered at the socket, and what came of all.
fn compare(calls: &[Call], socket: Outcome, hyper: Outcome) -> Outcome {
    assert_eq!(hyper.at_once, 0);
    let replies = socket.replies.iter().zip(&hyper.replies).zip(calls);
    for ((one, other), Call { principal, operation, body }) in replies {
        // Its creation has a time and an id of its own.
        if *operation != "CreateTable" {
            assert_eq!(one, other, "{principal} {operation} {body}");
        }
    }
    assert_eq!(socket.asked, hyper.asked);
    for (one, other) in socket.told.iter().zip(&hyper.told) {
        if !one.contains("CreateTable") {
            assert_eq!(one, other);
        }
    }
    assert_eq!((socket.told.len(), &socket.counted), (hyper.told.len(), &hyper.counted));
    socket
}

#[tokio::test]
async fn whoever_calls_gets_at_the_socket_what_is_given_behind_hyper() {
    let mut random = Rng::with_seed(seed());
    for _ in 0..5 {
        let calls = calls(&mut random, &["all"]);
        let (socket, hyper) = (run_sole(&calls, Road::Socket).await, run_sole(&calls, Road::Hyper).await);
        let outcome = compare(&calls, socket, hyper);
        let denied = outcome.replies.iter().filter(|reply| reply.contains("AccessDenied")).count();
        println!("{} of {} calls were answered at the socket, {denied} denied", outcome.at_once, calls.len());
        assert!(outcome.at_once > 30 && denied > 60, "{} {denied}", outcome.at_once);
        for (call, reply) in calls.iter().zip(&outcome.replies) {
            let is_denied = reply.contains("AccessDenied");
            match call.principal {
                "all" | "role" => assert!(!is_denied, "{reply}"),
                "nobody" => assert!(is_denied, "{reply}"),
                "others" => assert_eq!(is_denied, call.body.contains("\"items\""), "{} {reply}", call.body),
                _ => {}
            }
        }
        let with_role = outcome.asked.iter().filter(|asked| asked.contains("Some(\"role\")")).count();
        assert_eq!(with_role, calls.iter().filter(|call| call.principal == "role").count());
    }
}

#[tokio::test]
async fn principals_whose_tables_are_apart_hit_their_own() {
    let mut random = Rng::with_seed(seed());
    let calls = calls(&mut random, &["all", "role"]);
    let (socket, hyper) = (run_apart(&calls, Road::Socket).await, run_apart(&calls, Road::Hyper).await);
    let outcome = compare(&calls, socket, hyper);
    println!("{} of {} calls were answered at the socket", outcome.at_once, calls.len());
    assert!(outcome.at_once > 10, "{}", outcome.at_once);
}
