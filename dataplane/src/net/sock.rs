//! A socket that belongs to a worker.
//!
//! It is registered with monoio only to be waited for; `recv`, `send` and `splice` are called directly and never
//! block. Both of monoio's drivers then behave alike, and a dropped future loses no byte.
//!
//! Unsafe: lending the descriptor to rustix, and giving it up.
#![allow(unsafe_code)]

use super::table::{SocketKey, SocketTable};
use monoio::net::UnixStream;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

/// A connected (or connecting, or listening) socket on its worker.
///
/// Dropping it closes it. While its write direction is *armed* (see [`arm`]) that means a reset.
pub(crate) struct Sock {
    /// monoio only ever polls the descriptor, whatever kind it is of. Its `TcpStream` would be 64 bytes larger: it keeps
    /// room for addresses that nobody asks it for.
    inner: UnixStream,
    table: Rc<SocketTable>,
    key: SocketKey,
}

impl Sock {
    /// Takes a socket that is `O_NONBLOCK | CLOEXEC` already. Has to be called on the worker that owns `table`.
    ///
    /// # Errors
    /// What the driver answers (epoll only).
    pub(crate) fn new(fd: OwnedFd, table: &Rc<SocketTable>) -> io::Result<Self> {
        let raw = fd.as_raw_fd();
        let inner = UnixStream::from_std(std::os::unix::net::UnixStream::from(fd))?;
        Ok(Self {
            inner,
            table: table.clone(),
            key: table.insert(raw),
        })
    }

    /// Receives what is there. `None` is "nothing now", `Some(0)` the end of the stream.
    ///
    /// # Errors
    /// What the kernel answers, but for EAGAIN.
    pub(crate) fn recv(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        would_block(rustix::net::recv(self, buffer, RecvFlags::DONTWAIT).map(|(received, _)| received))
    }

    /// Receives what is there into several buffers, one after the other; else as [`Sock::recv`].
    ///
    /// # Errors
    /// What the kernel answers, but for EAGAIN.
    pub(crate) fn recv_vectored(&self, buffers: &mut [IoSliceMut<'_>]) -> io::Result<Option<usize>> {
        let mut ancillary = RecvAncillaryBuffer::default();
        let received = rustix::net::recvmsg(self, buffers, &mut ancillary, RecvFlags::DONTWAIT);
        would_block(received.map(|message| message.bytes))
    }

    /// Looks at what is there without taking it. `None` is "nothing now", `Some(0)` the end of the stream.
    ///
    /// # Errors
    /// What the kernel answers, but for EAGAIN.
    pub(crate) fn peek(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        would_block(
            rustix::net::recv(self, buffer, RecvFlags::DONTWAIT | RecvFlags::PEEK).map(|(received, _)| received),
        )
    }

    /// Sends what fits. `None` is "no room now".
    ///
    /// # Errors
    /// What the kernel answers, but for EAGAIN.
    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        would_block(rustix::net::send(
            self,
            bytes,
            SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
        ))
    }

    /// Sends what fits of several pieces. `None` is "no room now".
    ///
    /// # Errors
    /// What the kernel answers, but for EAGAIN.
    pub(crate) fn send_vectored(&self, pieces: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        would_block(rustix::net::sendmsg(
            self,
            pieces,
            &mut SendAncillaryBuffer::default(),
            flags,
        ))
    }

    /// Waits until something can be received: bytes, the end, or an error.
    ///
    /// # Errors
    /// What the driver answers.
    pub(crate) fn readable(&self) -> impl Future<Output = io::Result<()>> + '_ {
        self.inner.readable(false)
    }

    /// Waits until something can be sent, or the connection is broken.
    ///
    /// # Errors
    /// What the driver answers.
    pub(crate) fn writable(&self) -> impl Future<Output = io::Result<()>> + '_ {
        self.inner.writable(false)
    }

    /// Whether something can be sent now.
    pub(crate) fn has_room(&self) -> bool {
        let mut look = [PollFd::new(self, PollFlags::OUT)];
        // What cannot be looked at is found out by sending.
        !matches!(rustix::event::poll(&mut look, Some(&Timespec::default())), Ok(0))
    }

    /// Sends all of `bytes`, waiting for room as often as needed.
    ///
    /// # Errors
    /// What the kernel answers.
    pub(crate) async fn send_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.send(bytes)? {
                Some(sent) => bytes = &bytes[sent..],
                None => self.writable().await?,
            }
        }
        Ok(())
    }

    /// Ends the write direction cleanly: everything that was sent will be delivered, then the end.
    ///
    /// Disarm, then shut down, in this order and without waiting between: an armed close after a shutdown loses
    /// what is unsent (`spec/session.md`, Visitors).
    ///
    /// # Errors
    /// What the kernel answers, for instance that the peer has reset the connection.
    pub(crate) fn finish(&self) -> io::Result<()> {
        disarm(self)?;
        rustix::net::shutdown(self, Shutdown::Write)?;
        Ok(())
    }

    /// Resets the connection now, whoever still holds the socket. Who waits for it wakes up with an error.
    pub(crate) fn abort(&self) {
        super::sys::abort_raw(self.inner.as_raw_fd());
    }

    /// Listener: takes no further connection from now on. The descriptor itself may stay open for a moment longer,
    /// because the ring still waits for it.
    pub(crate) fn stop_listening(&self) {
        // The close that follows does the same; there is nothing to do about an error.
        let _ = rustix::net::shutdown(self, Shutdown::Both);
    }

    /// Bytes that were sent and that the peer has not acknowledged yet.
    pub(crate) fn undelivered(&self) -> usize {
        super::sys::queued(self.inner.as_raw_fd())
    }

    /// Has the kernel take no more than about `bytes` that it cannot send yet. A kernel that does not know this takes as
    /// much as ever.
    pub(crate) fn limit_unsent(&self, bytes: u32) {
        let _ = socket2::SockRef::from(self).set_tcp_notsent_lowat(bytes);
    }

    /// Bytes received, and bytes sent that the peer's kernel has acknowledged; for logs.
    pub(crate) fn traffic(&self) -> Traffic {
        let (received, acknowledged) = super::sys::traffic(self.inner.as_raw_fd());
        Traffic { received, acknowledged }
    }

    /// Whether the first packet was answered with a reset: there was nobody any more to read it. (After a packet that was
    /// lost, or whose acknowledgement was, nobody knows.)
    pub(crate) fn met_nobody(&self) -> bool {
        super::sys::met_nobody(self.inner.as_raw_fd())
    }

    /// The kernel's measurement of a round trip, if there is one.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        super::sys::round_trip(self.inner.as_raw_fd())
    }

    /// Makes the sweep end this socket when nothing moves on it any more: one direction has ended.
    pub(crate) fn mark_half_closed(&self) {
        self.table.mark_half_closed(self.key);
    }

    /// Takes the socket off this worker, for another thread. Nobody may be waiting for it.
    pub(crate) fn into_fd(self) -> OwnedFd {
        use std::os::fd::{FromRawFd, IntoRawFd};
        let this = std::mem::ManuallyDrop::new(self);
        this.table.remove(this.key);
        // SAFETY: `this` is never dropped, so each field is moved out exactly once, and `inner` gives up its
        // descriptor, which is open and then owned by the result alone.
        unsafe {
            drop(std::ptr::read(&raw const this.table));
            OwnedFd::from_raw_fd(std::ptr::read(&raw const this.inner).into_raw_fd())
        }
    }
}

/// What has crossed a connection, as the kernel counts it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traffic {
    /// Bytes that came.
    pub(crate) received: u64,
    /// Bytes that went and arrived.
    pub(crate) acknowledged: u64,
}

impl std::fmt::Display for Traffic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} in, {} out", self.received, self.acknowledged)
    }
}

impl AsFd for Sock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `inner` owns the descriptor and keeps it open for as long as the borrow of `self` lasts.
        unsafe { BorrowedFd::borrow_raw(self.inner.as_raw_fd()) }
    }
}

impl Drop for Sock {
    fn drop(&mut self) {
        self.table.remove(self.key);
    }
}

/// From now on a close, also by `kill -9`, resets the connection instead of ending it cleanly. Accepted sockets
/// inherit this from their listener.
///
/// # Errors
/// What the kernel answers.
pub(crate) fn arm(fd: impl AsFd) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_linger(fd, Some(Duration::ZERO))?)
}

/// Takes [`arm`] back: a close ends the connection cleanly again.
///
/// # Errors
/// What the kernel answers.
pub(crate) fn disarm(fd: impl AsFd) -> io::Result<()> {
    Ok(rustix::net::sockopt::set_socket_linger(fd, None)?)
}

/// Tells EAGAIN apart; an interrupted call is one to be made again.
pub(crate) fn would_block<T>(result: rustix::io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(Errno::AGAIN | Errno::INTR) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}
