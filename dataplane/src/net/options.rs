//! Making sockets: `O_NONBLOCK | CLOEXEC` from birth, armed, with the configured options.

use kariz_proto::model::SocketOptions;
use rustix::net::sockopt as opt;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};
use socket2::SockRef;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

/// Keep-alive probes that may stay unanswered before the kernel gives a connection up.
const KEEP_ALIVE_PROBES: u32 = 4;

/// A fresh TCP socket for the family of `addr`, with every option that has to be set before connect or listen.
///
/// # Errors
/// What the kernel answers (for instance EMFILE, or EINVAL for an MSS that it does not take).
pub(crate) fn tcp_socket(addr: SocketAddr, options: &SocketOptions) -> io::Result<OwnedFd> {
    let family = if addr.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let fd = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    set_before_connect(&fd, options)?;
    Ok(fd)
}

/// Sets what has to be known before connect or listen; sockets accepted from a listener inherit all of it.
///
/// # Errors
/// What the kernel answers.
pub(crate) fn set_before_connect(fd: &OwnedFd, options: &SocketOptions) -> io::Result<()> {
    if let Some(bytes) = options.receive_buffer {
        opt::set_socket_recv_buffer_size(fd, bytes as usize)?;
    }
    if let Some(bytes) = options.send_buffer {
        opt::set_socket_send_buffer_size(fd, bytes as usize)?;
    }
    if let Some(mss) = options.mss {
        SockRef::from(fd).set_tcp_mss(mss.into())?;
    }
    set_on_connected(fd, options)?;
    super::arm(fd)
}

/// Sets what may change for the next visitors without reopening a listener.
///
/// # Errors
/// What the kernel answers.
pub(crate) fn set_on_connected(fd: impl AsFd, options: &SocketOptions) -> io::Result<()> {
    let fd = fd.as_fd();
    opt::set_tcp_nodelay(fd, options.no_delay)?;
    opt::set_socket_keepalive(fd, options.keep_alive.is_some())?;
    if let Some(idle) = options.keep_alive {
        opt::set_tcp_keepidle(fd, idle)?;
        opt::set_tcp_keepintvl(fd, idle)?;
        opt::set_tcp_keepcnt(fd, KEEP_ALIVE_PROBES)?;
    }
    Ok(())
}

/// Sets `TCP_USER_TIMEOUT`: how long sent bytes may stay unacknowledged. Only for control carriers: elsewhere it
/// would kill a living peer that just does not read (`spec/session.md`, Liveness).
///
/// # Errors
/// What the kernel answers.
pub(crate) fn set_user_timeout(fd: impl AsFd, limit: std::time::Duration) -> io::Result<()> {
    Ok(opt::set_tcp_user_timeout(
        fd,
        u32::try_from(limit.as_millis()).unwrap_or(u32::MAX),
    )?)
}
