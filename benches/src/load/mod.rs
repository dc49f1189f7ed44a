//! Load: bulk streams, visits and pings, one thread each, cheap enough not to be what is measured.

pub mod bulk;
pub mod pings;
pub mod visits;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};
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

/// Waits until a visitor at `address` gets 64 bytes back from a [`Target`](crate::target::Target) behind it.
///
/// # Errors
/// The last failure, when `limit` has passed.
pub fn wait_until_up(address: SocketAddr, limit: Duration) -> io::Result<()> {
    let start = Instant::now();
    loop {
        let attempt = TcpStream::connect(address).and_then(|stream| {
            if stream.local_addr()? == stream.peer_addr()? {
                // Nobody listens, and the kernel chose the very port: it must be free again at once.
                rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            crate::visitor::echo(&stream, 0, 64).map_err(io::Error::other)
        });
        match attempt {
            Ok(()) => return Ok(()),
            Err(error) if start.elapsed() > limit => return Err(error),
            Err(_) => std::thread::sleep(POLL),
        }
    }
}
