//! The address of an admin listener, as a person writes it, and requests to it: over TCP or a Unix socket.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use nearside::config::{ListenAddress, ListenHost};

/// How long a step of a probe may take, which has little time itself.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// The most bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Where an admin listener is, behind a path prefix perhaps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AdminAddress {
    listen: ListenAddress,
    /// Without a slash at its end.
    prefix: String,
}

impl FromStr for AdminAddress {
    type Err = String;

    /// # Errors
    /// Words that say how to write one.
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is not the address of an admin listener; write HOST:PORT, such as \"127.0.0.1:8100\", http://HOST:PORT, or unix:/PATH"
            )
        };
        if text.starts_with("https://") {
            return Err(format!(
                "{text:?}: admin listeners speak plain HTTP; name one with http://, behind a tunnel if it is elsewhere"
            ));
        }
        let Some(rest) = text.strip_prefix("http://") else {
            return Ok(Self { listen: text.parse().map_err(|_| wrong())?, prefix: String::new() });
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let has_port = authority.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let authority = if has_port { authority.to_owned() } else { format!("{authority}:80") };
        let is_path = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'?' && byte != b'#');
        if !is_path || authority.starts_with(':') {
            return Err(wrong());
        }
        let prefix = path.trim_end_matches('/').to_owned();
        Ok(Self { listen: authority.parse().map_err(|_| wrong())?, prefix })
    }
}

impl std::fmt::Display for AdminAddress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}{}", self.listen, self.prefix)
    }
}

impl AdminAddress {
    /// The address of a listener.
    pub(super) fn of_listener(listen: ListenAddress) -> Self {
        Self { listen, prefix: String::new() }
    }

    /// Asks whether the node is ready, and returns status and words.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) fn probe(&self) -> Result<Reply, String> {
        self.exchange("GET", "/readyz", None, b"", PROBE_TIMEOUT)
    }

    /// Sends one request, with the token if there is one. Each step may take that long.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(super) fn exchange(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: &[u8],
        timeout: Duration,
    ) -> Result<Reply, String> {
        let token = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let length = body.len();
        // Every listener serves the name of its own machine.
        let head = format!(
            "{method} {}{path} HTTP/1.1\r\nHost: localhost\r\n{token}Content-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n",
            self.prefix
        );
        let request = [head.as_bytes(), body].concat();
        let answer = match self.listen.host() {
            ListenHost::Unix(path) => ask_socket(path, &request, timeout),
            ListenHost::Every | ListenHost::Localhost | ListenHost::Address(_) | ListenHost::Name(_) => {
                ask_address(&self.listen, &request, timeout)
            }
        };
        let answer =
            answer.map_err(|error| format!("no answer from the admin listener at {self}: {error}"))?;
        Reply::read(&answer)
            .ok_or_else(|| format!("{self} is not an admin listener: what answers there does not speak HTTP"))
    }
}

/// The answer to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Reply {
    fn read(answer: &[u8]) -> Option<Self> {
        let answer = String::from_utf8_lossy(answer);
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()?;
        Some(Self { status, body: body.to_owned() })
    }
}

fn ask_socket(path: &Path, request: &[u8], timeout: Duration) -> io::Result<Vec<u8>> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    read_answer(stream, request)
}

fn ask_address(admin: &ListenAddress, request: &[u8], timeout: Duration) -> io::Result<Vec<u8>> {
    let stream = connect(admin)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    read_answer(stream, request)
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
        match TcpStream::connect_timeout(&address, PROBE_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn read_answer(mut stream: impl Read + Write, request: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_listeners_are_or_as_a_url() {
        for (text, expected) in [
            ("127.0.0.1:8100", "127.0.0.1:8100"),
            ("http://127.0.0.1:8100", "127.0.0.1:8100"),
            ("http://127.0.0.1:8100/", "127.0.0.1:8100"),
            ("http://[::1]:8100/nearside/", "[::1]:8100/nearside"),
            ("http://10.0.0.7", "10.0.0.7:80"),
            ("unix:/run/admin.sock", "unix:/run/admin.sock"),
        ] {
            assert_eq!(
                text.parse::<AdminAddress>().map(|address| address.to_string()),
                Ok(expected.to_owned())
            );
        }
        for (text, words) in [
            ("https://nearside:8100", "plain HTTP"),
            ("nearside", "write HOST:PORT"),
            ("http://", "write HOST:PORT"),
            ("http://127.0.0.1:8100/a b", "write HOST:PORT"),
        ] {
            let error = text.parse::<AdminAddress>().unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_reply_is_its_status_and_its_body() {
        let read = |text: &str| Reply::read(text.as_bytes());
        let reply = Reply { status: 404, body: "{}".to_owned() };
        assert_eq!(read("HTTP/1.1 404 Not Found\r\na: b\r\n\r\n{}"), Some(reply));
        assert_eq!((read("SSH-2.0-x\r\n"), read(""), read("HTTP/1.1 \r\n\r\n")), (None, None, None));
    }
}
