//! tokio's own copy, as most relays in Rust do it: one hop on a current-thread runtime (epoll).
//!
//! `copy_bidirectional` reads and writes in turns through one buffer for each direction; with 64 KiB instead of its 8 KiB it
//! is at its best here.

use super::{BUFFER, of_one_visitor};
use crate::contender::{listen, reset_on_close};
use std::io;
use std::net::SocketAddr;
use tokio::net::{TcpListener, TcpStream};

/// Relays everything that arrives at `from` to `to`, until a listener fails.
///
/// # Errors
/// `from` cannot be bound, or descriptors run out.
pub fn run(from: SocketAddr, to: SocketAddr) -> io::Result<()> {
    serve(from, to, copy)
}

async fn copy(mut visitor: TcpStream, mut onward: TcpStream) {
    let copied = tokio::io::copy_bidirectional_with_sizes(&mut visitor, &mut onward, BUFFER, BUFFER).await;
    reset_if_broken(copied, &visitor, &onward);
}

/// Accepts and dials on tokio; `relay` moves the bytes of one connection until both directions have ended.
pub(super) fn serve<F>(from: SocketAddr, to: SocketAddr, relay: fn(TcpStream, TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listen(from)?)?;
        loop {
            match listener.accept().await {
                Ok((visitor, _)) => {
                    tokio::spawn(async move {
                        match dial(&visitor, to).await {
                            Ok(onward) => relay(visitor, onward).await,
                            Err(_) => reset_on_close(&visitor),
                        }
                    });
                }
                Err(error) => of_one_visitor(error)?,
            }
        }
    })
}

async fn dial(visitor: &TcpStream, to: SocketAddr) -> io::Result<TcpStream> {
    visitor.set_nodelay(true)?;
    let onward = TcpStream::connect(to).await?;
    onward.set_nodelay(true)?;
    Ok(onward)
}

/// Neither side may take a broken connection for a finished one.
pub(super) fn reset_if_broken<T>(copied: io::Result<T>, visitor: &TcpStream, onward: &TcpStream) {
    if copied.is_err() {
        reset_on_close(visitor);
        reset_on_close(onward);
    }
}
