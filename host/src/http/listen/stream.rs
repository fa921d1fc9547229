//! A connection as HTTP is spoken over it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::malformed;
use super::pulse::Pulse;

/// The bytes of a connection. It says when some come and when none go, and what is no HTTP gets an answer of our own.
pub(super) struct Stream<S> {
    stream: S,
    pulse: Arc<Pulse>,
    /// What is left to write of an answer to what was no HTTP. Nothing comes after it.
    instead: Option<Bytes>,
}

impl<S: AsyncWrite + Unpin> Stream<S> {
    pub(super) fn new(stream: S, pulse: Arc<Pulse>) -> Self {
        Self { stream, pulse, instead: None }
    }

    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, pulse, instead } = self;
        while let Some(rest) = instead.as_mut().filter(|rest| !rest.is_empty()) {
            let written = watched(pulse, Pin::new(&mut *stream).poll_write(cx, rest));
            match ready!(written)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => drop(rest.split_to(written)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Tells whether the client takes what is written.
fn watched<T>(pulse: &Pulse, polled: Poll<T>) -> Poll<T> {
    pulse.wrote(polled.is_pending());
    polled
}

impl<S: AsyncRead + Unpin> AsyncRead for Stream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if buffer.filled().len() > before {
            self.pulse.received();
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.instead.is_none() && self.pulse.is_idle() {
            self.instead = malformed::instead_of(bytes);
        }
        if self.instead.is_some() {
            ready!(self.poll_instead(cx))?;
            return Poll::Ready(Ok(bytes.len()));
        }
        let Self { stream, pulse, .. } = &mut *self;
        watched(pulse, Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // What is no HTTP is answered by one part.
        if let [part] = parts {
            return self.poll_write(cx, part);
        }
        let Self { stream, pulse, .. } = &mut *self;
        watched(pulse, Pin::new(stream).poll_write_vectored(cx, parts))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, pulse, .. } = &mut *self;
        watched(pulse, Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, pulse, .. } = &mut *self;
        watched(pulse, Pin::new(stream).poll_shutdown(cx))
    }
}
