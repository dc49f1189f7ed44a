//! A connection's stream: what was looked at ahead comes first, and it is known what has gone out.

use crate::shared::Guarded;
use bytes::{Buf, Bytes, BytesMut};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long both sides have to end a connection that is over here.
pub(super) const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes that are thrown away at a time.
const DISCARD_BYTES: usize = 4 << 10;

/// What every connection of HTTP/2 begins with (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The stream.
#[derive(Debug)]
pub(crate) struct Stream<IO> {
    inner: IO,
    ahead: Bytes,
    outgoing: Ending,
    /// Set when this side ends.
    ending: Option<Lingering>,
}

/// The time in which both sides of a connection may end.
#[derive(Debug)]
struct Lingering {
    until: Pin<Box<Sleep>>,
    /// This one has.
    is_shut: bool,
}

/// What has gone out on a connection. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Outgoing(Arc<Guarded<Sent>>);

#[derive(Default)]
struct Sent {
    bytes: u64,
    /// What is to be done when that many bytes have gone out.
    waiting: Vec<(u64, Box<dyn FnOnce() + Send>)>,
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Outgoing").field(&self.bytes()).finish()
    }
}

impl Outgoing {
    /// Bytes that were written, ever.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.lock().bytes
    }

    /// Has `then` done when `bytes` bytes were written, ever, and a flush went well after that. It is dropped with the
    /// connection.
    pub(crate) fn when_sent(&self, bytes: u64, then: impl FnOnce() + Send + 'static) {
        self.0.lock().waiting.push((bytes, Box::new(then)));
    }

    fn wrote(&self, bytes: usize) {
        self.0.lock().bytes += bytes as u64;
    }

    fn flushed(&self) {
        let mut sent = self.0.lock();
        if sent.waiting.is_empty() {
            return;
        }
        let bytes = sent.bytes;
        let due: Vec<_> = sent.waiting.extract_if(.., |(mark, _)| *mark <= bytes).collect();
        drop(sent);
        due.into_iter().for_each(|(_, then)| then());
    }

    fn clear(&self) {
        let gone = std::mem::take(&mut self.0.lock().waiting);
        drop(gone);
    }
}

impl<IO> Stream<IO> {
    pub(crate) fn new(inner: IO) -> Self {
        Self {
            inner,
            ahead: Bytes::new(),
            outgoing: Ending::default(),
            ending: None,
        }
    }

    /// What is underneath. What was looked at ahead and not read is lost.
    pub(crate) fn into_inner(self) -> IO {
        self.inner
    }

    pub(crate) fn outgoing(&self) -> Outgoing {
        self.outgoing.0.clone()
    }
}

impl<IO: AsyncRead + Unpin> Stream<IO> {
    /// Whether the client begins with HTTP/2. Waits for as many bytes as that takes.
    ///
    /// # Errors
    /// The connection broke.
    pub(crate) async fn is_http2(&mut self) -> io::Result<bool> {
        let mut seen = BytesMut::from(&self.ahead[..]);
        while PREFACE.starts_with(&seen) && seen.len() < PREFACE.len() {
            if self.inner.read_buf(&mut seen).await? == 0 {
                break;
            }
        }
        let is_http2 = seen.starts_with(PREFACE);
        self.ahead = seen.freeze();
        Ok(is_http2)
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Stream<IO> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.inner).poll_read(cx, buf);
        }
        let bytes = self.ahead.len().min(buf.remaining());
        buf.put_slice(&self.ahead[..bytes]);
        self.ahead.advance(bytes);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<IO> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, bytes))?;
        self.outgoing.0.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.inner).poll_write_vectored(cx, slices))?;
        self.outgoing.0.wrote(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        self.outgoing.0.flushed();
        Poll::Ready(Ok(()))
    }

    /// Over only when the other side has ended, too, or both have had [`LINGER_TIMEOUT`] for it. What still comes is thrown away: the
    /// kernel would answer it with a reset, and a reset takes back what was written.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { inner, ending, .. } = &mut *self;
        let ending = ending.get_or_insert_with(|| Lingering {
            until: Box::pin(sleep(LINGER_TIMEOUT)),
            is_shut: false,
        });
        while ending.until.as_mut().poll(cx).is_pending() {
            if !ending.is_shut {
                ready!(Pin::new(&mut *inner).poll_shutdown(cx))?;
                ending.is_shut = true;
            }
            let mut thrown_away = [0; DISCARD_BYTES];
            let mut buffer = ReadBuf::new(&mut thrown_away);
            match ready!(Pin::new(&mut *inner).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                _ => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Drops what waits with the connection.
#[derive(Debug, Default)]
struct Ending(Outgoing);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::io::{AsyncWriteExt, duplex};
    use tokio::time::Instant;

    async fn looked_at(sent: &[u8]) -> (bool, Vec<u8>) {
        let (mut client, server) = duplex(1 << 10);
        client.write_all(sent).await.unwrap();
        drop(client);
        let mut stream = Stream::new(server);
        let is_http2 = stream.is_http2().await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        (is_http2, all)
    }

    #[tokio::test]
    async fn http2_is_known_by_its_preface_and_nothing_is_lost() {
        for (sent, is_http2) in [
            ([PREFACE, b"more"].concat(), true),
            (b"PRI * HTTP/2.0\r\n\r\nXX".to_vec(), false),
            (b"POST / HTTP/1.1\r\n".to_vec(), false),
            (b"PRI".to_vec(), false),
            (Vec::new(), false),
        ] {
            assert_eq!(looked_at(&sent).await, (is_http2, sent));
        }
    }

    #[tokio::test]
    async fn an_end_lets_the_other_side_end_too() {
        let (mut client, server) = duplex(1 << 10);
        let mut stream = Stream::new(server);
        stream.write_all(b"refused").await.unwrap();
        let ends = tokio::spawn(async move { stream.shutdown().await });
        client.write_all(&[7; 64 << 10]).await.expect("it is taken");
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"refused");
        assert!(!ends.is_finished());
        drop(client);
        ends.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_waits_no_longer_than_it_has_to() {
        let (client, server) = duplex(1 << 10);
        let mut stream = Stream::new(server);
        let begin = Instant::now();
        stream.shutdown().await.unwrap();
        assert_eq!(begin.elapsed(), LINGER_TIMEOUT);
        drop(client);
    }

    #[tokio::test]
    async fn what_waits_for_bytes_is_done_when_they_are_flushed_and_never_if_the_connection_goes() {
        let (client, server) = duplex(1 << 10);
        let mut stream = Stream::new(server);
        let outgoing = stream.outgoing();
        let done = |mark: u64| {
            let done = Arc::new(AtomicBool::new(false));
            let tell = done.clone();
            outgoing.when_sent(mark, move || tell.store(true, Ordering::Relaxed));
            done
        };
        let (near, far) = (done(5), done(50));
        stream.write_all(b"12345").await.unwrap();
        assert!(!near.load(Ordering::Relaxed), "it is not flushed yet");
        stream.flush().await.unwrap();
        assert!(near.load(Ordering::Relaxed) && !far.load(Ordering::Relaxed));
        drop((stream, client));
        assert!(!far.load(Ordering::Relaxed));
        assert_eq!(Arc::strong_count(&far), 1, "it was dropped");
    }
}
