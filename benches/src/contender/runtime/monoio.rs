//! monoio's copy: one hop on the runtime that Kariz' workers run on, used the way its own examples do.
//!
//! What Kariz adds to the runtime (readiness and direct calls, splicing) is the difference to this one. The ring takes
//! buffers by ownership, so a direction has one of 64 KiB that goes to and fro between read and write.

use super::{BUFFER, RING_ENTRIES, listen_blocking, of_one_visitor, reset_now};
use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt, OwnedReadHalf, OwnedWriteHalf, Splitable};
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};

type Source = OwnedReadHalf<TcpStream>;
type Sink = OwnedWriteHalf<TcpStream>;

/// Relays everything that arrives at `from` to `to`, until a listener fails.
///
/// # Errors
/// The kernel allows no io_uring, `from` cannot be bound, or descriptors run out.
pub fn run(from: SocketAddr, to: SocketAddr) -> io::Result<()> {
    let mut runtime = RuntimeBuilder::<IoUringDriver>::new()
        .with_entries(RING_ENTRIES)
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listen_blocking(from)?)?;
        loop {
            match listener.accept().await {
                Ok((visitor, _)) => {
                    monoio::spawn(relay(visitor, to));
                }
                Err(error) => of_one_visitor(error)?,
            }
        }
    })
}

async fn relay(visitor: TcpStream, to: SocketAddr) {
    let Ok(onward) = dial(&visitor, to).await else {
        return reset_now(&visitor);
    };
    // The halves do not show their numbers; they own the sockets until both directions have ended.
    let sockets = [visitor.as_raw_fd(), onward.as_raw_fd()];
    let (mut visitor_source, mut visitor_sink) = visitor.into_split();
    let (mut onward_source, mut onward_sink) = onward.into_split();
    monoio::join!(
        one_way(&mut visitor_source, &mut onward_sink, sockets),
        one_way(&mut onward_source, &mut visitor_sink, sockets),
    );
}

async fn dial(visitor: &TcpStream, to: SocketAddr) -> io::Result<TcpStream> {
    visitor.set_nodelay(true)?;
    let onward = TcpStream::connect_addr(to).await?;
    onward.set_nodelay(true)?;
    Ok(onward)
}

/// Copies until the source ends; if it breaks instead, the reset of both sockets ends the other direction, too.
async fn one_way(source: &mut Source, sink: &mut Sink, sockets: [RawFd; 2]) {
    if copy(source, sink).await.is_err() {
        sockets.iter().for_each(reset_now);
    }
}

async fn copy(source: &mut Source, sink: &mut Sink) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(BUFFER);
    loop {
        let (count, filled) = source.read(buffer).await;
        if count? == 0 {
            return sink.shutdown().await;
        }
        let (written, sent) = sink.write_all(filled).await;
        written?;
        buffer = sent;
    }
}
