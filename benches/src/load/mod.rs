//! Load: bulk streams and visits, one thread each, cheap enough not to be what is measured.

pub mod bulk;
pub mod visits;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// A loopback port that nobody used a moment ago.
///
/// # Errors
/// None is left.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Waits until a visitor at `address` gets 64 bytes back from a [`Target`](crate::target::Target) behind it.
///
/// # Errors
/// The last failure, when `limit` has passed.
pub fn wait_until_up(address: SocketAddr, limit: Duration) -> io::Result<()> {
    let start = Instant::now();
    loop {
        let attempt = TcpStream::connect(address).and_then(|stream| {
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            crate::visitor::echo(&stream, 0, 64).map_err(io::Error::other)
        });
        match attempt {
            Ok(()) => return Ok(()),
            Err(error) if start.elapsed() > limit => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}
