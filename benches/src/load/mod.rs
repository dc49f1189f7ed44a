//! Load: bulk streams, visits and pings, one thread each, cheap enough not to be what is measured.

pub mod bulk;
pub mod pings;
pub mod visits;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

/// Ports that [`free_port`] hands out: below those that most kernels give to outgoing connections (32,768 and up), so
/// that none of them takes the port away while its listener is restarted.
const LISTENER_PORTS: std::ops::Range<u16> = 12_000..32_000;

/// A loopback port that nobody used a moment ago; each call in a process returns another one.
///
/// # Errors
/// None is left.
pub fn free_port() -> io::Result<u16> {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| {
        // Several processes of the kit start at different places.
        let mut state = u64::from(std::process::id());
        AtomicU16::new((crate::pattern::mix(&mut state) % LISTENER_PORTS.len() as u64) as u16)
    });
    for _ in LISTENER_PORTS {
        let turn = usize::from(NEXT.fetch_add(1, Ordering::Relaxed)) % LISTENER_PORTS.len();
        let port = LISTENER_PORTS.start + turn as u16;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}

/// Time between two attempts of [`wait_until_up`].
const POLL: Duration = Duration::from_millis(1);

/// Time between two visitors of [`first_answer`].
const NEXT_VISITOR: Duration = Duration::from_millis(2);

/// Waits until a visitor at `address` gets 64 bytes back from a [`Target`](crate::target::Target) behind it.
///
/// # Errors
/// The last failure, when `limit` has passed.
pub fn wait_until_up(address: SocketAddr, limit: Duration) -> io::Result<()> {
    let start = Instant::now();
    loop {
        match visit(address) {
            Ok(()) => return Ok(()),
            Err(error) if start.elapsed() > limit => return Err(error),
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

/// The same, but a further visitor comes every 2 ms, whether those before him have been answered or not: one who is left
/// waiting delays nobody.
///
/// # Errors
/// `TimedOut`, when `limit` has passed.
pub fn first_answer(address: SocketAddr, limit: Duration) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    let (answered, answers) = channel();
    while Instant::now() < deadline {
        let answered = answered.clone();
        std::thread::Builder::new().spawn(move || {
            if visit(address).is_ok() {
                // Nobody listens any more after the first one.
                let _ = answered.send(());
            }
        })?;
        if answers.recv_timeout(NEXT_VISITOR).is_ok() {
            return Ok(());
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn visit(address: SocketAddr) -> io::Result<()> {
    let stream = connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    crate::visitor::echo(&stream, 0, 64).map_err(io::Error::other)
}

/// Waits until a connection to `address` is accepted, and resets it at once.
///
/// (To read it in `/proc/net/tcp` takes as long as half a second when many connections have just ended.)
///
/// # Errors
/// The last failure, when `limit` has passed.
pub fn wait_until_listening(address: SocketAddr, limit: Duration) -> io::Result<()> {
    let deadline = Instant::now() + limit;
    loop {
        match connect(address) {
            Ok(stream) => return Ok(rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    if stream.local_addr()? == stream.peer_addr()? {
        // Nobody listens, and the kernel chose the very port: it must be free again at once.
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_seen_and_one_that_is_gone_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        wait_until_listening(address, Duration::from_secs(5)).unwrap();
        drop(listener);
        assert!(wait_until_listening(address, Duration::from_millis(5)).is_err());
    }
}
