//! Accepting without ever spinning.

use super::{Sock, sock::would_block};
use rustix::net::SocketFlags;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// How long accepting rests when descriptors have run out.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections that are accepted from one listener before others get a turn.
pub(crate) const ACCEPT_BATCH: usize = 64;

/// A connection as it was born: not yet registered with any worker.
#[derive(Debug)]
pub(crate) struct Accepted {
    /// The connection: non-blocking, close-on-exec, armed (inherited from the listener).
    pub fd: OwnedFd,
    /// The other end; IPv4 addresses are never in their IPv6-mapped form.
    pub peer: SocketAddr,
}

/// What one try to accept gave.
#[derive(Debug)]
pub(crate) enum Accept {
    /// A connection.
    Connection(Accepted),
    /// The queue is empty.
    Empty,
    /// A connection went away before it was accepted: try again.
    Gone,
    /// Out of descriptors or memory: rest for [`ACCEPT_PAUSE`].
    Exhausted(io::Error),
    /// The listener itself is broken.
    Broken(io::Error),
}

/// Takes one connection from the listener's queue.
pub(crate) fn accept(listener: &Sock) -> Accept {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    match would_block(rustix::net::acceptfrom_with(listener, flags)) {
        Ok(None) => Accept::Empty,
        Ok(Some((fd, peer))) => match peer.and_then(|peer| SocketAddr::try_from(peer).ok()) {
            Some(peer) => Accept::Connection(Accepted {
                fd,
                peer: unmapped(peer),
            }),
            None => Accept::Gone,
        },
        Err(error) if is_shortage(&error) => Accept::Exhausted(error),
        Err(error) => match error.raw_os_error() {
            // Linux passes pending network errors of the new connection on through accept (accept(2), Errors).
            Some(
                libc::ECONNABORTED
                | libc::EPERM
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENOPROTOOPT
                | libc::EHOSTDOWN
                | libc::ENONET
                | libc::EHOSTUNREACH
                | libc::EOPNOTSUPP
                | libc::ENETUNREACH,
            ) => Accept::Gone,
            _ => Accept::Broken(error),
        },
    }
}

/// Whether this process or machine is out of descriptors or memory: no fault of the other end.
pub(crate) fn is_shortage(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}

/// An IPv4 address that came through a dual-stack socket in its own form.
pub(crate) fn unmapped(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}
