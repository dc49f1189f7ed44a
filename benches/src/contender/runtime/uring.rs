//! tokio-uring's copy: one hop on io_uring underneath a current-thread tokio, which waits for the ring with epoll.
//!
//! The ring takes buffers by ownership, so a direction has one of 64 KiB that goes to and fro between read and write: no
//! allocation after the first, and no copy but the kernel's.

use super::{BUFFER, RING_ENTRIES, listen_blocking, of_one_visitor, reset_now};
use std::io;
use std::net::{Shutdown, SocketAddr};
use tokio_uring::buf::BoundedBuf;
use tokio_uring::net::{TcpListener, TcpStream};

/// Relays everything that arrives at `from` to `to`, until a listener fails.
///
/// # Errors
/// The kernel allows no io_uring, `from` cannot be bound, or descriptors run out.
pub fn run(from: SocketAddr, to: SocketAddr) -> io::Result<()> {
    let runtime = tokio_uring::Runtime::new(tokio_uring::builder().entries(RING_ENTRIES))?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listen_blocking(from)?);
        loop {
            match listener.accept().await {
                Ok((visitor, _)) => {
                    tokio_uring::spawn(relay(visitor, to));
                }
                Err(error) => of_one_visitor(error)?,
            }
        }
    })
}

async fn relay(visitor: TcpStream, to: SocketAddr) {
    match dial(&visitor, to).await {
        Ok(onward) => {
            tokio::join!(one_way(&visitor, &onward), one_way(&onward, &visitor));
        }
        Err(_) => reset_now(&visitor),
    }
}

async fn dial(visitor: &TcpStream, to: SocketAddr) -> io::Result<TcpStream> {
    visitor.set_nodelay(true)?;
    let onward = TcpStream::connect(to).await?;
    onward.set_nodelay(true)?;
    Ok(onward)
}

/// Copies until the source ends; if it breaks instead, the reset of both sockets ends the other direction, too.
async fn one_way(source: &TcpStream, sink: &TcpStream) {
    if copy(source, sink).await.is_err() {
        reset_now(source);
        reset_now(sink);
    }
}

async fn copy(source: &TcpStream, sink: &TcpStream) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        let (count, filled) = source.read(buffer).await;
        let count = count?;
        if count == 0 {
            return sink.shutdown(Shutdown::Write);
        }
        let (written, sent) = sink.write_all(filled.slice(..count)).await;
        written?;
        buffer = sent.into_inner();
    }
}
