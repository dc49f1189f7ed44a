//! Connecting: to one address, or to the first of several that answers.

use super::{Sock, SocketTable, options};
use futures_util::future::{Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt};
use kariz_proto::model::SocketOptions;
use monoio::time::{sleep, timeout};
use rustix::io::Errno;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;

/// How long one address may take before the next one is tried beside it (RFC 8305, section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects to one address.
///
/// # Errors
/// What the kernel answers; EADDRNOTAVAIL if `local` cannot be a source address.
pub(crate) async fn connect(
    addr: SocketAddr,
    local: Option<SocketAddr>,
    socket: &SocketOptions,
    table: &Rc<SocketTable>,
) -> io::Result<Sock> {
    let fd = options::tcp_socket(addr, socket)?;
    if let Some(local) = local {
        if local.port() == 0 {
            super::sys::bind_address_no_port(fd.as_fd())?;
        }
        rustix::net::bind(&fd, &local)?;
    }
    let sock = Sock::new(fd, table)?;
    match rustix::net::connect(&sock, &addr) {
        Ok(()) => return Ok(sock),
        Err(Errno::INPROGRESS | Errno::INTR) => {}
        Err(errno) => return Err(errno.into()),
    }
    sock.writable().await?;
    rustix::net::sockopt::socket_error(&sock)??;
    Ok(sock)
}

/// Connects to the first of `addrs` that answers, preferring earlier ones, within `limit` in total.
///
/// # Errors
/// The last address's error; `TimedOut` when the limit has passed; `NotFound` if there is no address.
pub(crate) async fn connect_any(
    addrs: &[SocketAddr],
    socket: &SocketOptions,
    table: &Rc<SocketTable>,
    limit: Duration,
) -> io::Result<Sock> {
    match timeout(limit, race(addrs, socket, table)).await {
        Ok(result) => result,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn race(addrs: &[SocketAddr], socket: &SocketOptions, table: &Rc<SocketTable>) -> io::Result<Sock> {
    let mut last_error = io::Error::from(io::ErrorKind::NotFound);
    if let [only] = addrs {
        return connect(*only, None, socket, table).await;
    }
    let mut waiting = addrs.iter();
    let mut attempts = FuturesUnordered::new();
    loop {
        let next = waiting.next();
        if let Some(addr) = next {
            attempts.push(connect(*addr, None, socket, table));
        } else if attempts.is_empty() {
            return Err(last_error);
        }
        let head_start = if next.is_some() && waiting.len() > 0 {
            ATTEMPT_DELAY
        } else {
            Duration::MAX
        };
        let outcome = if head_start == Duration::MAX {
            attempts.next().await
        } else {
            match select(attempts.next(), std::pin::pin!(sleep(head_start))).await {
                Either::Left((outcome, _)) => outcome,
                Either::Right(_) => continue,
            }
        };
        match outcome {
            Some(Ok(sock)) => return Ok(sock),
            Some(Err(error)) => last_error = error,
            None => return Err(last_error),
        }
    }
}
