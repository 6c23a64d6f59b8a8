//! The servers under measurement, as processes whose CPU time and memory can be read.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    /// Nearside with its defaults, on free ports.
    pub(crate) async fn nearside(arguments: &[&str]) -> Self {
        let (address, admin) = (free_address(), free_address());
        let mut command = Command::new(env!("CARGO_BIN_EXE_nearside"));
        command
            .args(["--listen", &address.to_string(), "--admin-listen", &admin.to_string()])
            .args(arguments);
        Self::start(command, address).await
    }

    /// A floor that answers `answer` to everything.
    pub(crate) async fn floor(answer: &[u8]) -> Self {
        let address = free_address();
        let file = std::env::temp_dir().join(format!("nearside-floor-{}", address.port()));
        std::fs::write(&file, answer).expect("the temporary directory is writable");
        let mut command = Command::new(std::env::current_exe().expect("a process knows its file"));
        command.arg("--floor").arg(address.to_string()).arg(file);
        Self::start(command, address).await
    }

    async fn start(mut command: Command, address: SocketAddr) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the server starts");
        let server = Self { child, address };
        for _ in 0..500 {
            if TcpStream::connect(address).await.is_ok() {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the server at {address} does not listen");
    }

    /// User and system time of the whole process so far, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("the server runs");
        let nanoseconds: f64 = tasks
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
            .filter_map(|line| line.split(' ').next()?.parse::<f64>().ok())
            .sum();
        nanoseconds / 1000.0
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).expect("the server runs");
        status.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("a bound socket has an address")
}
