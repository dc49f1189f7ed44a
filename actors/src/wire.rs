//! A control carrier's bytes, both directions driven by its owner.

use crate::dataplane::ControlStream;
use bytes::{Buf, BytesMut};
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Most bytes that wait to be written. A peer that lets more pile up does not read and is given up.
pub(crate) const MAX_UNSENT_BYTES: usize = 1 << 20;

/// Bytes read at a time.
const READ_BYTES: usize = 16 << 10;

/// A stream with what is still to be written to it.
pub(crate) struct Wire {
    stream: Box<dyn ControlStream>,
    unsent: BytesMut,
    unflushed: bool,
}

/// What happened on a wire.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Bytes arrived: at least one.
    Received(BytesMut),
    /// Everything queued was written.
    Sent,
    /// The peer sends no more.
    Ended,
}

impl Wire {
    pub(crate) fn new(stream: Box<dyn ControlStream>) -> Self {
        Self {
            stream,
            unsent: BytesMut::new(),
            unflushed: false,
        }
    }

    /// Queues bytes; [`Wire::progress`] writes them.
    pub(crate) fn queue(&mut self, bytes: &[u8]) {
        self.unsent.extend_from_slice(bytes);
    }

    /// Whether everything that was queued is written.
    pub(crate) fn is_sent(&self) -> bool {
        self.unsent.is_empty() && !self.unflushed
    }

    /// Writes what is queued and waits for something to happen. Cancelling loses nothing.
    pub(crate) async fn progress(&mut self) -> io::Result<Progress> {
        poll_fn(|cx| self.poll_progress(cx)).await
    }

    fn poll_progress(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Progress>> {
        if !self.is_sent()
            && let Poll::Ready(sent) = self.poll_send(cx)
        {
            return Poll::Ready(sent.map(|()| Progress::Sent));
        }
        if self.unsent.len() > MAX_UNSENT_BYTES {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer does not read")));
        }
        let mut bytes = BytesMut::zeroed(READ_BYTES);
        let mut space = ReadBuf::new(&mut bytes);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut space))?;
        let length = space.filled().len();
        bytes.truncate(length);
        Poll::Ready(Ok(if length == 0 {
            Progress::Ended
        } else {
            Progress::Received(bytes)
        }))
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            self.unflushed = true;
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.unsent))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unsent.advance(written);
        }
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, duplex};

    #[tokio::test]
    async fn reads_while_a_write_is_stuck_and_gives_up_a_peer_that_never_reads() {
        let (near, mut far) = duplex(64);
        let mut wire = Wire::new(Box::new(near));
        wire.queue(&[7; 1000]);
        tokio::io::AsyncWriteExt::write_all(&mut far, b"hello").await.unwrap();
        assert!(matches!(wire.progress().await.unwrap(), Progress::Received(bytes) if bytes[..] == *b"hello"));
        wire.queue(&vec![7; MAX_UNSENT_BYTES]);
        assert_eq!(wire.progress().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_peer_is_given_up_with_the_first_byte_beyond_the_bound() {
        let (near, mut far) = duplex(64);
        let mut wire = Wire::new(Box::new(near));
        // As much as the pipe holds, and as much as may wait for it.
        wire.queue(&vec![7; 64 + MAX_UNSENT_BYTES]);
        tokio::io::AsyncWriteExt::write_all(&mut far, b"hello").await.unwrap();
        assert!(matches!(wire.progress().await.unwrap(), Progress::Received(_)));
        assert_eq!(wire.unsent.len(), MAX_UNSENT_BYTES);
        wire.queue(&[7]);
        assert_eq!(wire.progress().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn says_when_everything_is_sent() {
        let (near, mut far) = duplex(64);
        let mut wire = Wire::new(Box::new(near));
        wire.queue(&[7; 1000]);
        let reader = tokio::spawn(async move {
            let mut bytes = vec![0; 1000];
            far.read_exact(&mut bytes).await.unwrap();
            (far, bytes)
        });
        assert!(matches!(wire.progress().await.unwrap(), Progress::Sent));
        let (far, bytes) = reader.await.unwrap();
        assert_eq!(bytes, [7; 1000]);
        drop(far);
        assert!(matches!(wire.progress().await.unwrap(), Progress::Ended));
    }
}
