//! Listening sockets: one address of the config may be several of them.
//!
//! `localhost` is an address of each family, and so is every interface; a name has whatever addresses it is looked up to. All of them
//! share one port and are accepted from in turn. A Unix socket is one alone.

mod socket;
mod unix;

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream, lookup_host};

use crate::config::{ListenAddress, ListenHost};
pub use socket::{Socket, local_address, peer_address, send_at_once, try_write, watch_for_life};
use unix::SocketFile;

/// How many connections may wait to be accepted, as far as the kernel grants it. The usual 128 are full as soon as a fleet of
/// clients connects at once, and those beyond it try again only after a second.
const BACKLOG: u32 = 4096;

/// How much of an answer the kernel takes for a client who does not read it, as it counts: twice this. Left to itself it takes
/// megabytes for each such client, and when all of what it has for connections is taken, every connection suffers.
const SEND_BUFFER_BYTES: u32 = 128 * 1024;

/// How often a free port is looked for that several addresses can share.
const PORT_TRIES: usize = 16;

/// The sockets of one configured address; at least one.
#[derive(Debug)]
pub struct Listeners {
    sockets: Vec<Listener>,
    /// Which socket is asked first, so that none waits for the others for ever.
    turn: AtomicUsize,
    /// Where the Unix socket is found, if it is one.
    file: Option<SocketFile>,
}

/// A socket of either kind.
#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The system's own listener, which knows of connections that the runtime has not heard of.
#[derive(Debug)]
pub struct RestListener(StdListener);

#[derive(Debug)]
enum StdListener {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl RestListener {
    /// The next connection that waits; `None` if there is none.
    pub fn accept(&self) -> Option<Socket> {
        match &self.0 {
            StdListener::Tcp(listener) => {
                let (stream, _) = listener.accept().ok()?;
                stream.set_nonblocking(true).ok()?;
                TcpStream::from_std(stream).ok().map(Socket::Left)
            }
            StdListener::Unix(listener) => {
                let (stream, _) = listener.accept().ok()?;
                stream.set_nonblocking(true).ok()?;
                UnixStream::from_std(stream).ok().map(Socket::Right)
            }
        }
    }
}

impl Listeners {
    /// Listens on an address of the config, which the command line can give by `flag`.
    ///
    /// # Errors
    /// Words that name the address and the reason, and the flag that helps.
    pub async fn bind(address: &ListenAddress, flag: &str) -> Result<Self, String> {
        let cannot = |error| format!("cannot listen on {address}: {error}; choose another with {flag}");
        let bound = match address.host() {
            ListenHost::Unix(path) => return Self::bind_unix(path).await.map_err(cannot),
            ListenHost::Every => every_interface(address.port()),
            ListenHost::Localhost => {
                share_a_port(&[Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()], address.port())
            }
            ListenHost::Address(address) => listen(*address).map(|socket| vec![socket]),
            ListenHost::Name(name) => {
                let found = lookup_host((name.as_str(), address.port())).await;
                found.and_then(|addresses| {
                    let hosts: Vec<_> = addresses.map(|address| address.ip()).collect();
                    share_a_port(&hosts, address.port())
                })
            }
        };
        let sockets = bound.map_err(cannot)?.into_iter().map(Listener::Tcp).collect();
        Ok(Self { sockets, turn: AtomicUsize::new(0), file: None })
    }

    async fn bind_unix(path: &Path) -> io::Result<Self> {
        let path = path.to_owned();
        // It may wait for another process that starts.
        let bound = tokio::task::spawn_blocking(move || unix::listen(&path)).await;
        let (listener, file) = bound.map_err(io::Error::other)??;
        let sockets = vec![Listener::Unix(UnixListener::from_std(listener)?)];
        Ok(Self { sockets, turn: AtomicUsize::new(0), file: Some(file) })
    }

    /// Where clients connect: one address for each socket, and none for a Unix socket.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let address = |listener: &Listener| match listener {
            Listener::Tcp(listener) => listener.local_addr().ok(),
            Listener::Unix(_) => None,
        };
        self.sockets.iter().filter_map(address).collect()
    }

    /// The next connection of any socket.
    ///
    /// # Errors
    /// Those of the system's own call; the next one may succeed.
    pub async fn accept(&self) -> io::Result<Socket> {
        poll_fn(|context| {
            let first = self.turn.fetch_add(1, Ordering::Relaxed);
            for nth in 0..self.sockets.len() {
                let accepted = match &self.sockets[first.wrapping_add(nth) % self.sockets.len()] {
                    Listener::Tcp(listener) => {
                        listener.poll_accept(context).map_ok(|(stream, _)| Socket::Left(stream))
                    }
                    Listener::Unix(listener) => {
                        listener.poll_accept(context).map_ok(|(stream, _)| Socket::Right(stream))
                    }
                };
                if accepted.is_ready() {
                    return accepted;
                }
            }
            Poll::Pending
        })
        .await
    }

    /// The system's own listeners. A Unix socket cannot be found any more.
    pub fn into_rest(self) -> Vec<RestListener> {
        drop(self.file);
        let rest = |listener| match listener {
            Listener::Tcp(listener) => listener.into_std().map(StdListener::Tcp),
            Listener::Unix(listener) => listener.into_std().map(StdListener::Unix),
        };
        self.sockets.into_iter().filter_map(|listener| rest(listener).ok().map(RestListener)).collect()
    }
}

impl From<TcpListener> for Listeners {
    fn from(socket: TcpListener) -> Self {
        Self { sockets: vec![Listener::Tcp(socket)], turn: AtomicUsize::new(0), file: None }
    }
}

/// Listens on every interface. A socket for IPv6 takes IPv4 as well on most systems; where it does not, there is a second one.
fn every_interface(port: u16) -> io::Result<Vec<TcpListener>> {
    let of_both = match listen((Ipv6Addr::UNSPECIFIED, port).into()) {
        Err(error) if is_without_family(&error) => None,
        outcome => Some(outcome?),
    };
    let port =
        of_both.as_ref().map_or(Ok(port), |socket| socket.local_addr().map(|address| address.port()))?;
    match (of_both, listen((Ipv4Addr::UNSPECIFIED, port).into())) {
        (Some(of_both), Err(error)) if error.kind() == io::ErrorKind::AddrInUse => Ok(vec![of_both]),
        (of_both, of_one) => Ok(of_both.into_iter().chain([of_one?]).collect()),
    }
}

/// Listens on one port of several hosts, but for those whose family this machine does not have.
fn share_a_port(hosts: &[std::net::IpAddr], port: u16) -> io::Result<Vec<TcpListener>> {
    let mut tries = 0..PORT_TRIES;
    loop {
        let outcome = on_one_port(hosts, port);
        // A port that is free on one host may be taken on the next.
        let is_bad_luck = |error: &io::Error| port == 0 && error.kind() == io::ErrorKind::AddrInUse;
        if !outcome.as_ref().is_err_and(is_bad_luck) || tries.next().is_none() {
            return outcome;
        }
    }
}

fn on_one_port(hosts: &[std::net::IpAddr], mut port: u16) -> io::Result<Vec<TcpListener>> {
    let mut sockets = Vec::new();
    let mut missing = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for host in hosts {
        let address = SocketAddr::new(*host, port);
        match listen(address) {
            Ok(socket) => {
                port = socket.local_addr()?.port();
                sockets.push(socket);
            }
            Err(error) if is_without_family(&error) => missing = error,
            Err(error) if hosts.len() == 1 => return Err(error),
            Err(error) => return Err(io::Error::new(error.kind(), format!("{address}: {error}"))),
        }
    }
    if sockets.is_empty() { Err(missing) } else { Ok(sockets) }
}

/// True where the machine has no addresses of that family.
fn is_without_family(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
        || error.raw_os_error() == Some(97) // EAFNOSUPPORT
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // As the library's own listeners do, so that a restart need not wait for the last connections to be forgotten.
    socket.set_reuseaddr(true)?;
    // Every accepted connection inherits it.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    async fn bind(text: &str) -> Result<Listeners, String> {
        Listeners::bind(&text.parse().unwrap(), "--listen").await
    }

    /// Connects to an address and takes the connection.
    async fn pass(listeners: &Listeners, address: SocketAddr) {
        let (there, here) = tokio::join!(TcpStream::connect(address), listeners.accept());
        let Socket::Left(here) = here.unwrap() else { panic!("{address} is no Unix socket") };
        assert_eq!(there.unwrap().local_addr().unwrap().port(), here.peer_addr().unwrap().port());
    }

    fn has_ipv6() -> bool {
        std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
    }

    #[tokio::test]
    async fn localhost_is_one_port_of_both_families() {
        let listeners = bind("localhost:0").await.unwrap();
        let addresses = listeners.addresses();
        assert_eq!(addresses.len(), 1 + usize::from(has_ipv6()));
        assert!(
            addresses
                .iter()
                .all(|address| address.ip().is_loopback() && address.port() == addresses[0].port())
        );
        // Either may come many times without the other.
        for address in addresses.iter().flat_map(|address| [address; 3]) {
            pass(&listeners, *address).await;
        }
    }

    #[tokio::test]
    async fn no_host_is_every_interface_of_both_families() {
        let listeners = bind(":0").await.unwrap();
        let port = listeners.addresses()[0].port();
        pass(&listeners, (Ipv4Addr::LOCALHOST, port).into()).await;
        if has_ipv6() {
            pass(&listeners, (Ipv6Addr::LOCALHOST, port).into()).await;
        }
    }

    #[tokio::test]
    async fn a_port_that_is_taken_on_one_family_is_an_error_that_names_it() {
        let taken = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken_address = taken.local_addr().unwrap();
        for host in ["localhost", ""] {
            let error = bind(&format!("{host}:{}", taken_address.port())).await.unwrap_err();
            assert!(
                error.starts_with(&format!("cannot listen on {host}:{}: ", taken_address.port())),
                "{error}"
            );
            assert!(error.contains("in use"), "{error}");
            assert!(error.ends_with("; choose another with --listen"), "{error}");
        }
        assert_eq!(taken_address.ip(), IpAddr::from(Ipv4Addr::LOCALHOST));
    }

    #[tokio::test]
    async fn a_name_without_an_address_is_an_error_that_names_it() {
        let error = bind("nearside.invalid:0").await.unwrap_err();
        assert!(error.starts_with("cannot listen on nearside.invalid:0: "), "{error}");
    }
}
