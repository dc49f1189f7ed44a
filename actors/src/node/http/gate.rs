//! Keeps hyper's own words off the wire.
//!
//! hyper answers a request that it cannot read with an empty 400 before it says so. The original has a text for that,
//! which the connection's driver writes; so whatever hyper writes while no request is being answered is swallowed here.
//! (A broken request that comes in one packet behind a good one is looked at before the gate closes; it gets hyper's 400.)

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Frame, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

/// Where a connection is between two requests.
#[derive(Debug, Default)]
pub(super) struct Phase(AtomicU8);

/// No request is being answered, and all answers are written.
const IDLE: u8 = 0;
/// A request is being answered.
const BUSY: u8 = 1;
/// hyper has all of the answer, and has still to write some of it.
const ANSWERED: u8 = 2;

impl Phase {
    /// A request has come.
    pub(super) fn begin(&self) {
        self.0.store(BUSY, Ordering::Relaxed);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.0.load(Ordering::Relaxed) == IDLE
    }

    fn answered(&self) {
        self.0.store(ANSWERED, Ordering::Relaxed);
    }

    fn flushed(&self) {
        // One task works on a connection: nothing changes in between.
        if self.0.load(Ordering::Relaxed) == ANSWERED {
            self.0.store(IDLE, Ordering::Relaxed);
        }
    }
}

/// A stream that passes on only what belongs to an answer.
pub(super) struct Gate<IO> {
    inner: IO,
    phase: Arc<Phase>,
}

impl<IO> Gate<IO> {
    pub(super) fn new(inner: IO, phase: Arc<Phase>) -> Self {
        Self { inner, phase }
    }

    pub(super) fn into_inner(self) -> IO {
        self.inner
    }
}

impl<IO: Read + Unpin> Read for Gate<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl<IO: Write + Unpin> Write for Gate<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.phase.is_idle() {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        if let Poll::Ready(Ok(())) = flushed {
            self.phase.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// An answer's body. hyper drops it when it has taken all of it.
pub(super) struct Body {
    inner: Content,
    phase: Arc<Phase>,
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// All of it at once, or as it comes.
type Content = Either<Full<Bytes>, tonic::body::Body>;

pub(super) fn own(bytes: Bytes) -> Content {
    Either::Left(Full::new(bytes))
}

pub(super) fn foreign(body: tonic::body::Body) -> Content {
    Either::Right(body)
}

impl Body {
    pub(super) fn new(inner: Content, phase: Arc<Phase>) -> Self {
        Self { inner, phase }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.phase.answered();
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        // hyper moves the length of a body that has ended before it began behind all other headers.
        false
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
