//! One connection as the kernel has it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::net::sockopt;
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;

/// A connection over TCP (left) or a Unix socket (right). What is above is built once, and a read costs one comparison more.
pub type Socket = Either<TcpStream, UnixStream>;

/// Has what is written sent at once: waiting for more would only delay an answer, which is written whole.
pub fn send_at_once(socket: &Socket) {
    match socket {
        // The connection works without it, too.
        Either::Left(stream) => drop(stream.set_nodelay(true)),
        Either::Right(_) => {}
    }
}

/// When the other side of a silent connection is asked whether it is still there, how often then, and how many times in vain.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10 * 60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(60);
const KEEPALIVE_COUNT: u32 = 5;

/// Has the kernel find out whether the other side of a silent connection is still there, and break the connection if it is not.
pub fn watch_for_life(socket: &Socket) {
    let Either::Left(stream) = socket else { return };
    // A connection without it only stays longer than its client.
    let _ = sockopt::set_socket_keepalive(stream, true)
        .and_then(|()| sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE))
        .and_then(|()| sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL))
        .and_then(|()| sockopt::set_tcp_keepcnt(stream, KEEPALIVE_COUNT));
}

/// Where the other side of a connection over TCP is.
pub fn peer_address(socket: &Socket) -> Option<SocketAddr> {
    match socket {
        Either::Left(stream) => stream.peer_addr().ok(),
        Either::Right(_) => None,
    }
}

/// Where this side of a connection over TCP is: the address that the client has connected to, as far as nobody between changed it.
pub fn local_address(socket: &Socket) -> Option<SocketAddr> {
    match socket {
        Either::Left(stream) => stream.local_addr().ok(),
        Either::Right(_) => None,
    }
}

/// Writes what the kernel takes now.
///
/// # Errors
/// `WouldBlock` if it takes nothing, and those of the connection.
pub fn try_write(socket: &Socket, bytes: &[u8]) -> io::Result<usize> {
    match socket {
        Either::Left(stream) => stream.try_write(bytes),
        Either::Right(stream) => stream.try_write(bytes),
    }
}
