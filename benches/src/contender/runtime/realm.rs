//! realm's data path, from its own crate `realm_io`: one hop on tokio that splices through a pipe for each direction.
//!
//! It is used as realm uses it: pipes of the size that they are born with (64 KiB), held for as long as the connection
//! lasts, and a copy through 8 KiB where a socket cannot be spliced. Only what realm leaves out is added: a broken
//! connection is reset. realm itself starts a thread for each core; here it has one, as everybody.

use super::tokio::{reset_if_broken, serve};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// Relays everything that arrives at `from` to `to`, until a listener fails.
///
/// # Errors
/// `from` cannot be bound, or descriptors run out.
pub fn run(from: SocketAddr, to: SocketAddr) -> io::Result<()> {
    serve(from, to, splice)
}

async fn splice(mut visitor: TcpStream, mut onward: TcpStream) {
    let moved = match realm_io::bidi_zero_copy(&mut visitor, &mut onward).await {
        Err(error) if error.kind() == ErrorKind::InvalidInput => realm_io::bidi_copy(&mut visitor, &mut onward).await,
        moved => moved,
    };
    reset_if_broken(moved, &visitor, &onward);
}
