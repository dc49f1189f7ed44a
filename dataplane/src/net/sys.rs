//! What the kernel knows about a connection, and the reset that does not wait for a close.
//!
//! Unsafe: the socket options and ioctls that no safe crate offers, and borrowing descriptors of the socket table.
#![allow(unsafe_code)]

use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// The part of `struct tcp_info` that the sweep needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TcpInfo {
    /// Bytes wait to be sent or to be acknowledged.
    pub unsent_or_unacked: bool,
    /// Since the peer last acknowledged anything (also a probe).
    pub since_last_ack: Duration,
    /// Since data last went in either direction.
    pub since_last_data: Duration,
}

/// Reads `TCP_INFO`; `None` if `fd` is no TCP connection, or not established yet (what it says of acknowledgements
/// means nothing then).
pub(super) fn of_raw(fd: RawFd) -> Option<TcpInfo> {
    const SYN_SENT: u8 = 2;
    const SYN_RECV: u8 = 3;
    let info = raw_info(fd)?;
    if matches!(info.tcpi_state, SYN_SENT | SYN_RECV) || !is_connection(&info) {
        return None;
    }
    Some(TcpInfo {
        unsent_or_unacked: info.tcpi_unacked > 0 || queued(fd) > 0,
        since_last_ack: Duration::from_millis(info.tcpi_last_ack_recv.into()),
        since_last_data: Duration::from_millis(info.tcpi_last_data_recv.min(info.tcpi_last_data_sent).into()),
    })
}

/// Whether nothing of what was sent was acknowledged (but perhaps the SYN), and nothing had to be sent again.
///
/// One case it cannot tell: a peer that had read the first packet and was killed before its lost acknowledgement could be
/// asked for again, that is within one retransmission time.
pub(super) fn met_nobody(fd: RawFd) -> bool {
    raw_info(fd).is_some_and(|info| info.tcpi_bytes_acked <= 1 && info.tcpi_total_retrans == 0)
}

/// Bytes of a connection that were received, and that were sent and acknowledged.
pub(super) fn traffic(fd: RawFd) -> (u64, u64) {
    raw_info(fd).map_or((0, 0), |info| (info.tcpi_bytes_received, info.tcpi_bytes_acked))
}

/// The smoothed round-trip time of a connection.
pub(super) fn round_trip(fd: RawFd) -> Option<Duration> {
    let info = raw_info(fd)?;
    (info.tcpi_rtt > 0).then(|| Duration::from_micros(info.tcpi_rtt.into()))
}

const CLOSE: u8 = 7;

/// Neither listening nor closed.
fn is_connection(info: &libc::tcp_info) -> bool {
    const LISTEN: u8 = 10;
    !matches!(info.tcpi_state, CLOSE | LISTEN)
}

/// Whether the peer has reset the connection. (One that only has sent its end may still want an answer.)
pub(crate) fn was_reset(fd: impl AsFd) -> bool {
    raw_info(fd.as_fd().as_raw_fd()).is_some_and(|info| info.tcpi_state == CLOSE)
}

fn raw_info(fd: RawFd) -> Option<libc::tcp_info> {
    let mut info = MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: `info` is writable for `length` bytes; a descriptor that is not a TCP socket makes the call fail.
    let result = unsafe {
        libc::getsockopt(
            fd,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return None;
    }
    // SAFETY: every bit pattern is a valid `tcp_info`, and it was zeroed before the kernel filled its part.
    Some(unsafe { info.assume_init() })
}

/// Bytes in the send queue (`SIOCOUTQ`), 0 if unknown.
pub(super) fn queued(fd: RawFd) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (the same number as TIOCOUTQ) writes one int to the address that is given.
    let result = unsafe { libc::ioctl(fd, libc::TIOCOUTQ, &raw mut bytes) };
    if result == 0 {
        usize::try_from(bytes).unwrap_or(0)
    } else {
        0
    }
}

/// Sends a reset now and wakes whoever waits for the socket. Unlike a close this works while the ring still holds
/// the socket. Returns whether there was a connection to reset; listeners are left alone.
pub(super) fn abort_raw(fd: RawFd) -> bool {
    if !raw_info(fd).is_some_and(|info| is_connection(&info)) {
        return false;
    }
    // SAFETY: the table removes a socket's entry before the socket is closed, so the descriptor is open here and
    // still means this socket.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    rustix::net::connect_unspec(fd).is_ok()
}

/// Closes a socket whose owner will never run again.
pub(super) fn close_raw(fd: RawFd) {
    // SAFETY: only for entries of a dead worker's table: the owner is a task that is never polled nor dropped, so
    // nobody else closes or uses this descriptor.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
}

/// Leaves the choice of the source port to connect, so that one source address serves more than 28,000 connections.
///
/// # Errors
/// What the kernel answers.
pub(super) fn bind_address_no_port(fd: BorrowedFd<'_>) -> std::io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the option's value is one int, which lives until the call returns.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            length,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}
