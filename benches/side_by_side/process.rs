//! The servers under measurement, as processes whose CPU time and memory can be read: those that the benchmark starts, and those
//! that run already.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::net::TcpStream;

use crate::connection::{Connection, Protocol};

/// The variable with the path of another build of Nearside than the benchmark's own, such as that of the profile `dist`.
const BINARY: &str = "NEARSIDE_BINARY";

/// tokio's own variable for the number of its threads; a floor is given it, and Nearside inherits it.
const WORKERS: &str = "TOKIO_WORKER_THREADS";

/// A running server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) protocol: Protocol,
    /// The processes that it consists of; none if they are not known.
    processes: Vec<u32>,
    /// Where the benchmark has started it: killed when dropped.
    child: Option<Child>,
}

impl Server {
    /// Nearside with its defaults, on free ports.
    pub(crate) async fn nearside(arguments: &[&str]) -> Self {
        let (address, admin) = (free_address(), free_address());
        let mut command = Command::new(nearside_binary());
        command
            .args(["--listen", &address.to_string(), "--admin-listen", &admin.to_string()])
            .args(arguments)
            .env_remove(BINARY);
        Self::start(command, address).await
    }

    /// A floor of that many threads that answers `answer` to everything.
    pub(crate) async fn floor(answer: &[u8], workers: usize) -> Self {
        let address = free_address();
        let file = temporary_file(&format!("floor-{}", address.port()), answer);
        let mut command = Command::new(std::env::current_exe().expect("a process knows its file"));
        command.arg("--floor").arg(address.to_string()).arg(file).env(WORKERS, workers.to_string());
        Self::start(command, address).await
    }

    /// nginx, of one process, that answers the body of `answer` to everything, with headers of the same names. `None` if the
    /// answer is too long for a file of nginx's.
    pub(crate) async fn nginx(answer: &[u8]) -> Option<Self> {
        const LONGEST: usize = 4000;
        if answer.len() > LONGEST {
            return None;
        }
        let address = free_address();
        let config = nginx_config(address, answer);
        let file = temporary_file(&format!("nginx-{}.conf", address.port()), config.as_bytes());
        let mut command = Command::new("nginx");
        command.arg("-c").arg(file);
        Some(Self::start(command, address).await)
    }

    /// A server that runs already. Its processes are those that listen on its port, unless one is named.
    pub(crate) fn running(address: SocketAddr, protocol: Protocol, process: Option<u32>) -> Self {
        let processes = process.map_or_else(|| listeners(address.port()), |process| vec![process]);
        Self { address, protocol, processes, child: None }
    }

    async fn start(mut command: Command, address: SocketAddr) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the server starts");
        let server =
            Self { address, protocol: Protocol::Http, processes: vec![child.id()], child: Some(child) };
        for _ in 0..500 {
            if TcpStream::connect(address).await.is_ok() {
                return server;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the server at {address} does not listen");
    }

    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address, self.protocol).await
    }

    /// User and system time of all its processes so far, in microseconds; NaN if none is known.
    pub(crate) fn cpu_us(&self) -> f64 {
        match (&self.child, self.processes.as_slice()) {
            (_, []) => f64::NAN,
            (Some(child), _) => threads_us(child.id()),
            (None, processes) => processes.iter().map(|process| process_us(*process)).sum(),
        }
    }

    /// Whether its processes are known.
    pub(crate) fn is_measured(&self) -> bool {
        !self.processes.is_empty()
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let resident = |process: &u32| {
            let sizes = std::fs::read_to_string(format!("/proc/{process}/statm")).expect("the server runs");
            sizes.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * 4096
        };
        self.processes.iter().map(resident).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            child.kill().ok();
            child.wait().ok();
        }
    }
}

/// The program that is measured.
pub(crate) fn nearside_binary() -> PathBuf {
    std::env::var_os(BINARY).map_or_else(|| env!("CARGO_BIN_EXE_nearside").into(), PathBuf::from)
}

/// The sum over the threads that live, to the nanosecond: our own servers end no thread while they are measured.
fn threads_us(process: u32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("the server runs");
    let nanoseconds: f64 = tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok())
        .filter_map(|line| line.split(' ').next()?.parse::<f64>().ok())
        .sum();
    nanoseconds / 1000.0
}

/// With the threads that have ended, to the hundredth of a second.
fn process_us(process: u32) -> f64 {
    const TICK_US: f64 = 10_000.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).expect("the server runs");
    // The name, in parentheses, may have anything in it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() * TICK_US
}

/// The processes that listen on a TCP port of this machine.
fn listeners(port: u16) -> Vec<u32> {
    const LISTENS: &str = "0A";
    let tables =
        ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| std::fs::read_to_string(table).unwrap_or_default());
    let sockets: Vec<String> = tables
        .iter()
        .flat_map(|table| table.lines().skip(1))
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let is_it = fields.get(1)?.ends_with(&format!(":{port:04X}")) && *fields.get(3)? == LISTENS;
            is_it.then(|| format!("socket:[{}]", fields[9]))
        })
        .collect();
    let processes = std::fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    let processes = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    processes.filter(|process| holds_any(*process, &sockets)).collect()
}

fn holds_any(process: u32, sockets: &[String]) -> bool {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().filter_map(Result::ok);
    let mut links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    links.any(|link| sockets.iter().any(|socket| link.as_os_str() == socket.as_str()))
}

fn nginx_config(address: SocketAddr, answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
    // nginx writes these itself.
    let own = ["content-length", "content-type", "date", "server", "connection"];
    let headers: String = head
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(": "))
        .filter(|(name, _)| !own.iter().any(|own| name.eq_ignore_ascii_case(own)))
        .map(|(name, value)| format!("add_header {name} \"{value}\";\n"))
        .collect();
    let name = format!("nearside-bench-nginx-{}", address.port());
    let folder = std::env::temp_dir().join(name).display().to_string();
    let body = body.replace('\\', "\\\\").replace('\'', "\\'");
    format!(
        "daemon off;\nmaster_process off;\npid {folder}.pid;\nerror_log {folder}.log crit;\nevents {{ worker_connections 4096; }}\n\
         http {{\naccess_log off;\nkeepalive_requests 1000000000;\nclient_body_temp_path {folder};\nproxy_temp_path {folder};\n\
         fastcgi_temp_path {folder};\nuwsgi_temp_path {folder};\nscgi_temp_path {folder};\n\
         server {{\nlisten {address};\ntcp_nodelay on;\nlocation / {{\ndefault_type application/x-amz-json-1.0;\n{headers}return 200 '{body}';\n}}\n}}\n}}\n"
    )
}

/// Writes a file for a server into the temporary directory.
pub(crate) fn temporary_file(name: &str, content: &[u8]) -> PathBuf {
    let file = std::env::temp_dir().join(format!("nearside-bench-{name}"));
    std::fs::write(&file, content).expect("the temporary directory is writable");
    file
}

fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("a bound socket has an address")
}
