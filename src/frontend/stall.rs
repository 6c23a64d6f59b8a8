//! A stream whose writes fail once the other side has taken nothing for too long.
//!
//! Without it a client that asks and does not read would hold its connection and its answer for ever: the idle timeout
//! only counts while a request is awaited.
//!
//! It also sees what hyper answers by itself, and gives the status of a head that is too large as the service does.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long a client may take nothing of its answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The stream, watched.
#[derive(Debug)]
pub(super) struct Watched<IO> {
    stream: IO,
    /// Runs while a write waits.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<IO> Watched<IO> {
    pub(super) fn new(stream: IO) -> Self {
        Self { stream, stalled: None }
    }

    fn judge<T>(&mut self, context: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

/// hyper's answer to a head or a target that is too large, with the status that the service gives it: 400. Answers of the
/// front end's own name the server and stay as they are.
fn of_large_head(answer: &[u8]) -> Option<Vec<u8>> {
    let start =
        ["HTTP/1.1 431 ", "HTTP/1.1 414 "].iter().find(|start| answer.starts_with(start.as_bytes()))?;
    let is_ours = memchr::memmem::find(answer, b"server: ").is_some();
    (!is_ours).then(|| [&b"HTTP/1.1 400 "[..], &answer[start.len()..]].concat())
}

impl<IO: AsyncRead + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Watched<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let changed = of_large_head(bytes);
        let bytes = changed.as_deref().unwrap_or(bytes);
        let polled = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(changed) = slices.first().and_then(|first| of_large_head(first)) {
            let polled = Pin::new(&mut self.stream).poll_write(context, &changed);
            return self.judge(context, polled);
        }
        let polled = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(context, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(context);
        self.judge(context, polled)
    }
}
