//! The in-tree contenders: the least that a relay can do, beside Kariz.
//!
//! Each is a process of its own (a subcommand of `kariz-bench`), one thread with no timers, no limits, no accounting: what
//! Kariz does beyond them is what it pays for. [`splice`] and [`framing`] are the limits, on one edge-triggered epoll;
//! `runtime` (with the feature `runtimes`) has what a relay gets from the usual async runtimes.

pub mod framing;
#[cfg(feature = "runtimes")]
pub mod runtime;
pub mod splice;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// The token of the listener; sockets use the numbers below.
const LISTENER: u64 = u64::MAX;

/// Moves between two looks at the other connections.
const TURN: usize = 16;

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    rustix::net::listen(&listener, 4096)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The next waiting connection, non-blocking and without Nagle's algorithm.
fn accept(listener: impl AsFd) -> io::Result<Option<OwnedFd>> {
    match rustix::net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        Ok(socket) => {
            sockopt::set_tcp_nodelay(&socket, true)?;
            Ok(Some(socket))
        }
        Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Begins to connect; the socket becomes writable when it is connected, and fails when it could not be. `None` if it
/// was refused at once, as happens on loopback.
fn dial(address: SocketAddr) -> io::Result<Option<OwnedFd>> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    sockopt::set_tcp_nodelay(&socket, true)?;
    match rustix::net::connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(Some(socket)),
        Err(Errno::CONNREFUSED) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Makes the coming close a reset, so that a broken connection does not look like a finished one.
fn reset_on_close(socket: impl AsFd) {
    // It fails only on a socket that is gone already.
    let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

#[cfg(test)]
mod tests;
