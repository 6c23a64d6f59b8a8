//! The program as an external extension of AWS Lambda, in front of a fake of the Extensions API.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::client::{Nearside, PATIENCE, program, sealed, wait_until};
use crate::fake::Fake;

const REGISTER: &str = "POST /2020-01-01/extension/register";
const NEXT: &str = "GET /2020-01-01/extension/event/next";
const INIT_ERROR: &str = "POST /2020-01-01/extension/init/error";
const EXIT_ERROR: &str = "POST /2020-01-01/extension/exit/error";

/// A call of the extension.
#[derive(Clone)]
struct Call {
    /// The method and the path.
    what: String,
    /// As they came, in lower case.
    head: String,
    body: Value,
}

/// What the API does with a call of an event.
#[derive(Clone)]
enum Next {
    Event(String),
    Error,
    /// The connection ends, as when the sandbox does.
    Gone,
}

/// Lambda's side. Every question for an event waits until the test has one.
#[derive(Clone)]
struct Lambda {
    address: SocketAddr,
    /// The status of the answer to a registration, and the identifier in it.
    registration: (u16, &'static str),
    /// Where the node must take connections when it registers.
    node: Option<SocketAddr>,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    events: Vec<Next>,
}

impl Lambda {
    fn start(registration: (u16, &'static str), node: Option<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let lambda = Self { address, registration, node, state: Arc::default() };
        let serving = lambda.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let serving = serving.clone();
                std::thread::spawn(move || serving.serve(stream));
            }
        });
        lambda
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        let Some(call) = read_call(&mut reader) else { return };
        let what = call.what.clone();
        self.state.0.lock().unwrap().calls.push(call);
        self.state.1.notify_all();
        let answer = match &*what {
            REGISTER => {
                if let Some(node) = self.node {
                    TcpStream::connect(node).expect("a node that registers takes connections");
                }
                let (status, identifier) = self.registration;
                let identifier = match identifier {
                    "" => String::new(),
                    identifier => format!("Lambda-Extension-Identifier: {identifier}\r\n"),
                };
                answer(status, &identifier, r#"{"functionName":"f","functionVersion":"1","handler":"h"}"#)
            }
            NEXT => match self.next_event() {
                Next::Event(event) => answer(200, "Lambda-Extension-Event-Identifier: e\r\n", &event),
                Next::Error => answer(500, "", r#"{"errorType":"Extension.Unknown"}"#),
                Next::Gone => return,
            },
            INIT_ERROR | EXIT_ERROR => answer(202, "", r#"{"status":"OK"}"#),
            _ => answer(404, "", "{}"),
        };
        reader.get_mut().write_all(answer.as_bytes()).ok();
    }

    fn next_event(&self) -> Next {
        let state = self.state.0.lock().unwrap();
        self.state.1.wait_while(state, |state| state.events.is_empty()).unwrap().events.remove(0)
    }

    fn send(&self, next: Next) {
        self.state.0.lock().unwrap().events.push(next);
        self.state.1.notify_all();
    }

    /// Ends the sandbox that many milliseconds from now.
    fn shut_down(&self, within_ms: u64) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let event = json!({
            "eventType": "SHUTDOWN", "shutdownReason": "spindown", "deadlineMs": now + within_ms
        });
        self.send(Next::Event(event.to_string()));
    }

    /// Waits until that call has come for the nth time.
    fn wait_for(&self, what: &str, times: usize) -> Call {
        let count = |state: &State| state.calls.iter().filter(|call| call.what == what).count();
        let state = self.state.0.lock().unwrap();
        let (state, waited) =
            self.state.1.wait_timeout_while(state, PATIENCE, |state| count(state) < times).unwrap();
        assert!(!waited.timed_out(), "no {what}");
        state.calls.iter().filter(|call| call.what == what).nth(times - 1).cloned().unwrap()
    }

    fn has_heard(&self, what: &str) -> bool {
        self.state.0.lock().unwrap().calls.iter().any(|call| call.what == what)
    }
}

fn answer(status: u16, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\n{headers}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn read_call(reader: &mut BufReader<TcpStream>) -> Option<Call> {
    let mut lines = String::new();
    while !lines.ends_with("\r\n\r\n") {
        reader.read_line(&mut lines).ok().filter(|read| *read > 0)?;
    }
    let what = lines.split(" HTTP/1.1").next()?.to_owned();
    let head = lines.to_ascii_lowercase();
    let length =
        head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Call { what, head, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
}

/// The program where Lambda puts extensions.
struct Layer {
    _directory: tempfile::TempDir,
    program: PathBuf,
}

impl Layer {
    fn new() -> Self {
        // A program can be linked within its file system only.
        let directory = tempfile::tempdir_in(program().parent().unwrap()).unwrap();
        let extensions = directory.path().join("extensions");
        std::fs::create_dir(&extensions).unwrap();
        let path = extensions.join("nearside");
        std::fs::hard_link(program(), &path).unwrap();
        Self { _directory: directory, program: path }
    }

    /// As Lambda starts it: without arguments, in an environment that configures it.
    fn command(&self, api: &str) -> Command {
        let mut command = sealed(&self.program);
        command.env("AWS_LAMBDA_RUNTIME_API", api);
        command.env("NEARSIDE_LISTEN", "127.0.0.1:0").env("NEARSIDE_ADMIN_LISTEN", "127.0.0.1:0");
        command.env("NEARSIDE_IN_MEMORY", "true");
        command
    }
}

/// The code and the words of a program that ends by itself.
fn ended(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn it_registers_when_it_listens_and_ends_with_the_sandbox() {
    let (layer, node) = (Layer::new(), free_address());
    let lambda = Lambda::start((200, "id-1"), Some(node));
    let mut near = Nearside::from_command(
        layer.command(&lambda.address.to_string()).env("NEARSIDE_LISTEN", node.to_string()),
    );
    let registration = lambda.wait_for(REGISTER, 1);
    assert!(registration.head.contains("lambda-extension-name: nearside\r\n"), "{}", registration.head);
    assert_eq!(registration.body, json!({ "events": ["INVOKE", "SHUTDOWN"] }));
    let next = lambda.wait_for(NEXT, 1);
    assert!(next.head.contains("lambda-extension-identifier: id-1\r\n"), "{}", next.head);
    assert_eq!(near.connect().must("ListTables", "{}"), r#"{"TableNames":[]}"#);
    lambda.send(Next::Event(json!({ "eventType": "INVOKE", "deadlineMs": 1, "requestId": "r" }).to_string()));
    lambda.send(Next::Event(json!({ "eventType": "SOMETHING_NEW" }).to_string()));
    lambda.wait_for(NEXT, 3);
    lambda.shut_down(2_000);
    assert_eq!(near.child.wait().unwrap().code(), Some(0));
    assert!(!lambda.has_heard(EXIT_ERROR));
    let log = near.log();
    assert!(log.contains("Lambda ends the sandbox.") && log.contains("Shutdown ended."), "{log}");
}

#[test]
fn a_write_that_does_not_end_does_not_keep_it_past_the_deadline() {
    let (layer, upstream) = (Layer::new(), Fake::start());
    let lambda = Lambda::start((200, "id-1"), None);
    let mut command = layer.command(&lambda.address.to_string());
    let mut near = Nearside::from_command(
        command.env("NEARSIDE_UPSTREAM", upstream.url()).env_remove("NEARSIDE_IN_MEMORY"),
    );
    let mut client = near.connect();
    let writer =
        std::thread::spawn(move || client.call("PutItem", r#"{"TableName":"Slow","Item":{"id":{"S":"a"}}}"#));
    upstream.wait_for("PutItem", 1);
    lambda.wait_for(NEXT, 1);
    let begun = Instant::now();
    lambda.shut_down(1_000);
    assert_eq!(near.child.wait().unwrap().code(), Some(0));
    // Far from the 25 seconds that a node may drain elsewhere. A busy machine may need its time.
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    let log = near.log();
    assert!(log.contains("Lambda's deadline is near") || log.contains("Gave up what was in flight"), "{log}");
    upstream.let_go();
    writer.join().unwrap();
}

#[test]
fn a_registration_that_fails_ends_the_start_with_a_reason() {
    let layer = Layer::new();
    for (registration, words) in [((403, "id-1"), "403"), ((200, ""), "names no identifier")] {
        let lambda = Lambda::start(registration, None);
        let (code, said) = ended(&mut layer.command(&lambda.address.to_string()));
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("cannot be an extension of Lambda") && said.contains(words), "{said}");
    }
    let nobody = free_address().to_string();
    let (code, said) = ended(&mut layer.command(&nobody));
    assert!(code == Some(2) && said.contains(&nobody), "{said}");
}

#[test]
fn an_api_that_fails_or_is_gone_ends_it_with_a_report_if_that_is_possible() {
    let layer = Layer::new();
    for (next, words) in [
        (Next::Error, "500"),
        (Next::Event("<html>".to_owned()), "not understood"),
        (Next::Gone, "event/next"),
    ] {
        let lambda = Lambda::start((200, "id-1"), None);
        lambda.send(next);
        let (code, said) = ended(&mut layer.command(&lambda.address.to_string()));
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(words) && said.contains("Shutdown ended."), "{said}");
        let report = lambda.wait_for(EXIT_ERROR, 1);
        assert!(report.head.contains("lambda-extension-function-error-type: nearside.ended\r\n"));
        assert!(report.body["errorMessage"].as_str().unwrap().contains(words), "{}", report.body);
    }
}

#[test]
fn a_node_that_cannot_start_tells_lambda_why() {
    let layer = Layer::new();
    let lambda = Lambda::start((200, "id-1"), None);
    let mut command = layer.command(&lambda.address.to_string());
    let (code, said) = ended(command.env("NEARSIDE_MAX_BYTES", "much"));
    assert_eq!(code, Some(2), "{said}");
    let report = lambda.wait_for(INIT_ERROR, 1);
    assert!(report.head.contains("lambda-extension-identifier: id-1\r\n"), "{}", report.head);
    assert!(report.body["errorMessage"].as_str().unwrap().contains("much"), "{}", report.body);
    assert!(!lambda.has_heard(NEXT));
}

#[test]
fn a_function_may_start_one_of_its_own() {
    let mut command = sealed(program());
    command.env("AWS_LAMBDA_RUNTIME_API", free_address().to_string());
    command.args(["--in-memory", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    assert_ne!(program().parent().and_then(Path::file_name).unwrap(), "extensions");
    let near = Nearside::from_command(&mut command);
    wait_until("getting ready", || near.is_ready());
}
