//! One hop on the async runtimes that a relay is usually written on: the same work as [`splice`](super::splice), for the
//! price that the runtime asks.
//!
//! Each runs on one thread, as every contender does, with the runtime's own accept, connect, read and write; where bytes
//! are copied, a direction has one buffer of 64 KiB. Setting up costs all of them the same calls: `TCP_NODELAY` on both
//! sides. The feature `runtimes` has them, so that the library stays without a runtime for who only loads with it.

pub mod monoio;
pub mod realm;
pub mod tokio;
pub mod uring;

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;

/// Bytes of a direction's buffer, where there is one.
const BUFFER: usize = 64 * 1024;

/// Submissions that a ring has room for: more than two for each of 2,000 connections, so that none is flushed early.
const RING_ENTRIES: u32 = 4096;

/// A listener for a ring, which waits itself: on a non-blocking socket it would hand back `EAGAIN`.
fn listen_blocking(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = super::listen(address)?;
    listener.set_nonblocking(false)?;
    Ok(listener)
}

/// Passes over what went wrong with one visitor; an error that all of them would meet comes back.
fn of_one_visitor(error: io::Error) -> io::Result<()> {
    match error.kind() {
        ErrorKind::ConnectionAborted | ErrorKind::Interrupted => Ok(()),
        _ => Err(error),
    }
}

/// Resets a ring's connection at once, which also ends the operations that are in flight on it. Closing it would wait
/// for them.
///
/// The ring runtimes show their sockets only as numbers; a duplicate by way of the process itself is a descriptor that
/// needs no `unsafe`. It costs three more calls, for broken connections alone.
fn reset_now(socket: &impl AsRawFd) {
    let duplicate = pidfd_open(getpid(), PidfdFlags::empty())
        .and_then(|own| pidfd_getfd(own, socket.as_raw_fd(), PidfdGetfdFlags::empty()));
    // It fails only on a socket that is gone already, or where descriptors have run out.
    let _ = duplicate.and_then(rustix::net::connect_unspec);
}
