//! A Redis or Valkey server that the tests kill, stop, empty and replace, and a plain client for it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Instant;

use crate::client::PATIENCE;

/// The program: `NEARSIDE_BUS_SERVER`, or what is installed. Installs it if nothing is.
fn program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let runs = |name: &&str| Command::new(name).arg("--version").output().is_ok();
        let named = std::env::var("NEARSIDE_BUS_SERVER").ok();
        let candidates: Vec<&str> = match &named {
            Some(name) => vec![name],
            None => vec!["redis-server", "valkey-server"],
        };
        if let Some(found) = candidates.iter().find(|name| runs(name)) {
            return (*found).to_owned();
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fleet/install");
        let installed = Command::new(script).output().unwrap();
        let said = String::from_utf8_lossy(&installed.stderr);
        assert!(installed.status.success(), "the tests of a fleet need one of {candidates:?}: {said}");
        "redis-server".to_owned()
    })
}

/// A server with a directory of its own. It never saves by itself. It is killed when dropped.
pub(crate) struct Bus {
    child: Child,
    pub(crate) address: SocketAddr,
    directory: tempfile::TempDir,
}

impl Bus {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (child, address) = launch(directory.path());
        Self { child, address, directory }
    }

    /// Kills the process. What it did not save is lost.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after a kill, on another port, with what it saved last.
    pub(crate) fn restart(&mut self) {
        (self.child, self.address) = launch(self.directory.path());
    }

    /// Saves what it has now.
    pub(crate) fn save(&self) {
        assert_eq!(self.call(&["SAVE"]), "+OK");
    }

    /// Stops the process, so that it answers nothing until [`Bus::resume`].
    pub(crate) fn pause(&self) {
        signal(&self.child, "-STOP");
    }

    pub(crate) fn resume(&self) {
        signal(&self.child, "-CONT");
    }

    /// Sends a command; its answer as the protocol writes it, without the last line end.
    pub(crate) fn call(&self, words: &[&str]) -> String {
        Connection::to(self.address).unwrap().call(words).expect("the bus answers")
    }

    /// What its process calls itself.
    pub(crate) fn run_id(&self) -> String {
        let info = self.call(&["INFO", "server"]);
        info.split("run_id:").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap().to_owned()
    }

    /// Makes it a copy of the server there, and waits until it is one.
    pub(crate) fn copy(&self, primary: SocketAddr) {
        self.call(&["REPLICAOF", &primary.ip().to_string(), &primary.port().to_string()]);
        let begun = Instant::now();
        while !self.call(&["INFO", "replication"]).contains("master_link_status:up") {
            assert!(begun.elapsed() < PATIENCE, "the replica does not connect");
            std::thread::yield_now();
        }
    }

    /// Makes a copy a server of its own.
    pub(crate) fn promote(&self) {
        assert_eq!(self.call(&["REPLICAOF", "NO", "ONE"]), "+OK");
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Sends a process a signal, `-STOP` say.
pub(crate) fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([name, &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

/// Starts the program on a free port, and waits until it answers. Another process may take the port first, so it tries again.
fn launch(directory: &Path) -> (Child, SocketAddr) {
    for _ in 0..10 {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut child = Command::new(program())
            .args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", ""])
            .args(["--repl-diskless-sync-delay", "0", "--dir", directory.to_str().unwrap()])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while child.try_wait().unwrap().is_none() {
            let answer = Connection::to(address).ok().and_then(|mut client| client.call(&["PING"]));
            if answer.as_deref() == Some("+PONG") {
                return (child, address);
            }
            assert!(begun.elapsed() < PATIENCE, "the bus does not start");
            std::thread::yield_now();
        }
    }
    panic!("the bus finds no free port");
}

/// One connection.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn to(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(stream)))
    }

    fn call(&mut self, words: &[&str]) -> Option<String> {
        let mut request = format!("*{}\r\n", words.len());
        words.iter().for_each(|word| request.push_str(&format!("${}\r\n{word}\r\n", word.len())));
        self.0.get_mut().write_all(request.as_bytes()).ok()?;
        self.answer()
    }

    /// An answer. Of an array, one part a line.
    fn answer(&mut self) -> Option<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let line = line.trim_end();
        let count = |line: &str| line[1..].parse::<usize>().ok();
        match line.as_bytes()[0] {
            b'$' => {
                let Some(length) = count(line) else { return Some(String::new()) };
                let mut bytes = vec![0; length + 2];
                self.0.read_exact(&mut bytes).ok()?;
                bytes.truncate(length);
                Some(String::from_utf8_lossy(&bytes).into_owned())
            }
            b'*' => {
                let parts = (0..count(line).unwrap_or(0)).map(|_| self.answer());
                Some(parts.collect::<Option<Vec<_>>>()?.join("\n"))
            }
            _ => Some(line.to_owned()),
        }
    }
}
