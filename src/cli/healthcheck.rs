//! `nearside healthcheck`: asks a running server whether it is ready, from a container without a shell.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::ArgMatches;
use nearside::config::{ListenAddress, ListenHost};
use nearside::telemetry::announce_failure;

use super::command_line::ConfigArguments;

/// How long each step of the question may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The most bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 16 * 1024;

/// Asks the admin listener whether the server is ready.
pub(super) fn check_health(matches: &ArgMatches) -> ExitCode {
    let named = matches.get_one::<ListenAddress>("admin").cloned();
    let admin = named.map_or_else(|| configured(matches.get_one("config")), Ok);
    match admin.and_then(|admin| ask(&admin)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            announce_failure(&reason);
            ExitCode::FAILURE
        }
    }
}

/// The address that the config names, in the given file if there is one.
///
/// # Errors
/// What is wrong with the file.
fn configured(file: Option<&PathBuf>) -> Result<ListenAddress, String> {
    let mut arguments = ConfigArguments::of_environment();
    if let Some(file) = file {
        arguments.file = Some(file.clone());
    }
    arguments.admin_listen()
}

/// Asks the server behind that admin listener.
///
/// # Errors
/// Words that say why it is not ready, or why it could not be asked.
fn ask(admin: &ListenAddress) -> Result<(), String> {
    let answer = match admin.host() {
        ListenHost::Unix(path) => ask_socket(path),
        ListenHost::Every | ListenHost::Localhost | ListenHost::Address(_) | ListenHost::Name(_) => {
            ask_address(admin)
        }
    };
    let answer = answer.map_err(|error| format!("no answer from the admin listener at {admin}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    match status.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some("503") => Err(format!("{admin} is {}", body.trim())),
        _ => Err(format!("{admin} is not an admin listener; it answers {status:?}")),
    }
}

fn ask_socket(path: &Path) -> io::Result<String> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    read_answer(stream)
}

fn ask_address(admin: &ListenAddress) -> io::Result<String> {
    let stream = connect(admin)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    read_answer(stream)
}

/// Connects to the first address that takes the connection. A server that listens everywhere is asked on loopback.
fn connect(admin: &ListenAddress) -> io::Result<TcpStream> {
    let on_loopback = || -> [IpAddr; 2] { [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] };
    let addresses: Vec<SocketAddr> = match admin.host() {
        ListenHost::Address(address) if !address.ip().is_unspecified() => vec![*address],
        ListenHost::Name(name) => (name.as_str(), admin.port()).to_socket_addrs()?.collect(),
        ListenHost::Address(_) | ListenHost::Every | ListenHost::Localhost | ListenHost::Unix(_) => {
            on_loopback().map(|host| SocketAddr::new(host, admin.port())).to_vec()
        }
    };
    let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn read_answer(mut stream: impl Read + Write) -> io::Result<String> {
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
