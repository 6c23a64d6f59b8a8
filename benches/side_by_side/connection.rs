//! One keep-alive connection of a load: sends a request and reads the whole answer, HTTP's or Redis's.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Protocol {
    Http,
    Redis,
}

/// One keep-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    protocol: Protocol,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr, protocol: Protocol) -> Self {
        let stream = TcpStream::connect(address).await.expect("the server accepts");
        Self { protocol, ..Self::over(stream) }
    }

    /// HTTP over a socket that is connected.
    pub(crate) fn over(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a fresh socket takes options");
        Self { stream, buffer: Vec::new(), protocol: Protocol::Http }
    }

    /// Sends a request and waits for its whole answer, which is left in the buffer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) {
        let status = self.ask(request).await;
        assert_eq!(status, Some(200), "{}", String::from_utf8_lossy(&self.buffer));
    }

    /// As [`Connection::exchange`]; the answer's status, or `None` when the connection broke.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> Option<u16> {
        self.stream.write_all(request).await.ok()?;
        self.buffer.clear();
        let mut whole = None;
        while whole.is_none_or(|whole| self.buffer.len() < whole) {
            self.stream.read_buf(&mut self.buffer).await.ok().filter(|read| *read > 0)?;
            whole = whole.or_else(|| match self.protocol {
                Protocol::Http => message_bytes(&self.buffer),
                Protocol::Redis => reply_bytes(&self.buffer),
            });
        }
        match self.protocol {
            Protocol::Http => std::str::from_utf8(self.buffer.get(9..12)?).ok()?.parse().ok(),
            Protocol::Redis if self.buffer.starts_with(b"-") => Some(400),
            Protocol::Redis if self.buffer.starts_with(b"$-1") => Some(404),
            Protocol::Redis => Some(200),
        }
    }

    /// The last answer, head and all.
    pub(crate) fn answer(&self) -> &[u8] {
        &self.buffer
    }

    /// Whether the last answer says that it came from Nearside's memory; `None` if it says nothing of a cache.
    pub(crate) fn is_hit(&self) -> Option<bool> {
        const NAME: &[u8] = b"x-nearside-cache: ";
        let head = &self.buffer[..self.buffer.len().min(600)];
        let value = memchr::memmem::find(head, NAME)? + NAME.len();
        Some(head[value..].starts_with(b"hit"))
    }
}

/// The length of the HTTP message at the start of the buffer, once that can be known.
pub(crate) fn message_bytes(buffer: &[u8]) -> Option<usize> {
    let end = memchr::memmem::find(buffer, b"\r\n\r\n")?;
    let (head, body) = (&buffer[..end], end + 4);
    if let Some(length) = header(head, b"content-length:") {
        return Some(body + length.parse::<usize>().expect("a length is a number"));
    }
    assert_eq!(header(head, b"transfer-encoding:"), Some("chunked"), "an answer says how long it is");
    Some(body + chunks_bytes(&buffer[body..])?)
}

/// The value of a header whose name is given in small letters, with its colon.
fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let is_it = |line: &&[u8]| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let line = head.split(|byte| *byte == b'\n').find(is_it)?;
    std::str::from_utf8(&line[name.len()..]).ok().map(str::trim)
}

/// The length of a body in chunks, without trailers, once it is whole.
fn chunks_bytes(body: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let line = memchr::memmem::find(body.get(at..)?, b"\r\n")?;
        let size = std::str::from_utf8(&body[at..at + line])
            .ok()
            .and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.expect("a chunk begins with its size");
        at += line + 2 + size + 2;
        if size == 0 {
            return Some(at);
        }
    }
}

/// The length of Redis's reply at the start of the buffer, once its first line is whole: a status, an error, or one string.
fn reply_bytes(buffer: &[u8]) -> Option<usize> {
    let end = memchr::memmem::find(buffer, b"\r\n")? + 2;
    let length = buffer.strip_prefix(b"$").map(|_| std::str::from_utf8(&buffer[1..end - 2]));
    match length.and_then(Result::ok).and_then(|length| length.parse::<usize>().ok()) {
        Some(length) => Some(end + length + 2),
        None => Some(end),
    }
}

/// One exchange of HTTP on a connection of its own; the whole answer.
pub(crate) async fn exchange(address: SocketAddr, request: &[u8]) -> Vec<u8> {
    let mut connection = Connection::open(address, Protocol::Http).await;
    connection.exchange(request).await;
    connection.buffer
}
