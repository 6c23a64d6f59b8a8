//! A running nearside and a plain HTTP client for it, both blocking.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a test waits for what is to happen. It is not a measure of anything: it ends a test that would hang, on a machine
/// that is as busy as may be.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A nearside process, killed when dropped.
pub(crate) struct Nearside {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    /// Where monitors connect.
    pub(crate) admin: SocketAddr,
    /// The line of the start.
    pub(crate) greeting: String,
    /// From the start of the process to its first accepted connection.
    pub(crate) start: Duration,
    /// Collects what it says after its greeting.
    log: Option<JoinHandle<String>>,
}

/// The program: of the build whose test this is, or beside the folder of the example that this is.
pub(crate) fn program() -> PathBuf {
    option_env!("CARGO_BIN_EXE_nearside").map_or_else(
        || {
            let example = std::env::current_exe().unwrap();
            example.parent().and_then(Path::parent).expect("examples have a folder").join("nearside")
        },
        PathBuf::from,
    )
}

/// A program in an environment that holds nothing of the tester's own: no settings of Nearside's (a variable that rules the
/// tests, such as `NEARSIDE_SEED`, would be one that a node warns about), no credentials but those of the test.
pub(crate) fn sealed(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let bytes = name.as_encoded_bytes();
        if bytes.starts_with(b"NEARSIDE_") || bytes.starts_with(b"AWS_") {
            command.env_remove(name);
        }
    }
    command.env("AWS_ACCESS_KEY_ID", "test").env("AWS_SECRET_ACCESS_KEY", "test");
    command.env("AWS_CONFIG_FILE", "/dev/null").env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null");
    command.env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

/// The program with its listeners on ports that the kernel chooses when it binds them.
pub(crate) fn command(arguments: &[&str]) -> Command {
    let mut command = sealed(program());
    command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]).args(arguments);
    command
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    sealed(program()).args(arguments).output().unwrap()
}

/// A config with a fault in it ends the start, and is reported by the check, with one line that has these words. Gives both lines.
pub(crate) fn assert_faulty(config: &Path, words: &str) -> [String; 2] {
    let config = config.to_str().unwrap();
    [(command(&["--in-memory", "--config", config]).output().unwrap(), 2), (run(&["check", config]), 1)].map(
        |(output, code)| {
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(code), "{said}");
            assert!(said.contains(words) && said.trim().lines().count() == 1, "{words}: {said}");
            said
        },
    )
}

/// Asks again until it is so.
pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what} takes too long");
        // Asking is work for the process that is waited for.
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Nearside {
    pub(crate) fn on_disk(directory: &Path) -> Self {
        Self::start(&["--data-dir", directory.to_str().unwrap()])
    }

    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::from_command(&mut command(arguments))
    }

    /// Starts a program and waits until it listens.
    pub(crate) fn from_command(command: &mut Command) -> Self {
        let (mut nearside, mut said) = Self::with_unread_log(command);
        nearside.log = Some(std::thread::spawn(move || {
            let mut rest = String::new();
            said.read_to_string(&mut rest).ok();
            rest
        }));
        nearside
    }

    /// As [`Nearside::from_command`]; what it says after its greeting is the caller's to read, or not.
    pub(crate) fn with_unread_log(command: &mut Command) -> (Self, BufReader<ChildStderr>) {
        let begun = Instant::now();
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut greeting = String::new();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        said.read_line(&mut greeting).unwrap();
        let after = |words: &str| {
            let rest = greeting.split(words).nth(1)?;
            rest.split([';', '/']).next()?.parse().ok()
        };
        let address =
            after("listens on http://").unwrap_or_else(|| panic!("nearside did not start: {greeting}"));
        let admin = after("metrics on http://").expect("the greeting names the admin listener");
        TcpStream::connect(address).unwrap();
        let start = begun.elapsed();
        (Self { child, address, admin, greeting, start, log: None }, said)
    }

    /// What it said after its greeting, once it has ended.
    pub(crate) fn log(&mut self) -> String {
        self.log.take().expect("the log is read once").join().unwrap()
    }

    /// Asks it to end as a container's supervisor does.
    pub(crate) fn terminate(&self) {
        self.signal("-TERM");
    }

    /// Sends it a signal, `-HUP` say.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }

    /// The value of a metric, with its labels in the name; 0 for one that never counted.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = self.metrics();
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0, |value| value.parse().unwrap())
    }

    /// True when monitors are told so.
    pub(crate) fn is_ready(&self) -> bool {
        self.get("/readyz").starts_with("HTTP/1.1 200")
    }

    /// The text of the metrics, after the head of the answer.
    pub(crate) fn metrics(&self) -> String {
        self.get("/metrics")
    }

    /// What monitors get at a path.
    pub(crate) fn get(&self, path: &str) -> String {
        self.get_with(path, "")
    }

    /// The same with more headers.
    pub(crate) fn get_with(&self, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    pub(crate) fn connect(&self) -> Client {
        self.connect_as("a", "us-east-1")
    }

    /// Connects a client that signs with that access key for that region.
    pub(crate) fn connect_as(&self, access_key: &'static str, region: &'static str) -> Client {
        Client { access_key, region, ..Client::to(self.address).unwrap() }
    }
}

impl Drop for Nearside {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The bytes of a request.
pub(crate) fn request(operation: &str, body: &str) -> Vec<u8> {
    signed(operation, body, "a", "us-east-1")
}

/// The bytes of a request that was signed with that access key for that region.
fn signed(operation: &str, body: &str, access_key: &str, region: &str) -> Vec<u8> {
    let (service, name) = match operation {
        "ListStreams" | "DescribeStream" | "GetShardIterator" | "GetRecords" => {
            ("DynamoDBStreams_20120810", "dynamodbstreams")
        }
        _ => ("DynamoDB_20120810", "dynamodb"),
    };
    let request = format!(
        "POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: {service}.{operation}\r\n\
         Content-Type: application/x-amz-json-1.0\r\nAuthorization: AWS4-HMAC-SHA256 Credential={access_key}/20260101/{region}/{name}/aws4_request, \
         SignedHeaders=host, Signature=0\r\nX-Amz-Date: 20260101T000000Z\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    request.into_bytes()
}

/// One keep-alive connection.
pub(crate) struct Client {
    reader: BufReader<TcpStream>,
    /// What it signs with.
    pub(crate) access_key: &'static str,
    region: &'static str,
    /// The last answer said that it is the connection's last.
    pub(crate) is_closing: bool,
}

impl Client {
    /// Connects to whatever listens there.
    pub(crate) fn to(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let reader = BufReader::new(stream);
        Ok(Self { reader, access_key: "a", region: "us-east-1", is_closing: false })
    }

    /// Sends a request; the status and the body, or `None` when the server is gone.
    pub(crate) fn call(&mut self, operation: &str, body: &str) -> Option<(u16, String)> {
        self.send(&signed(operation, body, self.access_key, self.region))
    }

    /// Whatever comes until the connection ends.
    pub(crate) fn rest(mut self) -> String {
        let mut rest = String::new();
        self.reader.read_to_string(&mut rest).ok();
        rest
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Option<(u16, String)> {
        self.reader.get_mut().write_all(bytes).ok()?;
        self.read_answer()
    }

    fn read_answer(&mut self) -> Option<(u16, String)> {
        let mut line = String::new();
        self.reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut length = 0;
        loop {
            let mut header = String::new();
            self.reader.read_line(&mut header).ok().filter(|read| *read > 0)?;
            if header == "\r\n" {
                break;
            }
            let header = header.to_ascii_lowercase();
            self.is_closing |= header == "connection: close\r\n";
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        self.reader.read_exact(&mut body).ok()?;
        Some((status, String::from_utf8(body).ok()?))
    }

    /// As [`Client::call`], for what must succeed. As an SDK does, it sends again what is throttled: on a machine that is busy
    /// with other work, what this program waits for may take longer than it keeps a client waiting.
    pub(crate) fn must(&mut self, operation: &str, body: &str) -> String {
        let begun = Instant::now();
        loop {
            let (status, answer) = self.call(operation, body).expect("nearside answers");
            if status == 400 && answer.contains("#ThrottlingException\"") && begun.elapsed() < PATIENCE {
                continue;
            }
            assert_eq!(status, 200, "{operation} {body}: {answer}");
            return answer;
        }
    }
}
