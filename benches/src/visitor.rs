//! Blocking visitors for end-to-end tests and the demo: each function does one piece of work with the kit's
//! [`Target`](crate::target::Target) over a connected socket, whatever lies between, and checks every byte.
//!
//! Set time limits on the socket (`set_read_timeout`) where a hang has to become an error.

use crate::pattern::{CHUNK, Check, Mismatch, Pattern};
use crate::request::{ENDLESS, RECEIPT_LEN, Receipt, Request, Work};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// Size of the payload of a ping, in bytes.
pub const PING_LEN: usize = 64;

/// Bytes that [`echo`] has under way at most, so that buffers on the way never fill up from both ends.
const ECHO_WINDOW: usize = 64 * 1024;

/// Why a transfer is not what it should have been.
#[derive(Debug, thiserror::Error)]
pub enum TrafficError {
    /// The connection failed: a reset, a refusal, or the time limit of the socket.
    #[error("after {received} bytes: {error}")]
    Io {
        /// Payload bytes received before.
        received: u64,
        /// What the socket said.
        error: io::Error,
    },
    /// A wrong byte at the visitor.
    #[error(transparent)]
    Mismatch(#[from] Mismatch),
    /// A wrong byte at the target.
    #[error("byte {0} of the stream is wrong at the target")]
    TargetMismatch(u64),
    /// A clean end with bytes missing: what a tunnel must never show.
    #[error("a clean end after {received} of {expected} bytes")]
    Short {
        /// Bytes that came.
        received: u64,
        /// Bytes that were announced.
        expected: u64,
    },
    /// More bytes than announced.
    #[error("more than the expected {0} bytes")]
    Long(u64),
}

impl TrafficError {
    /// Whether the connection was reset or broken, as opposed to ending wrongly or timing out.
    pub fn is_reset(&self) -> bool {
        let Self::Io { error, .. } = self else { return false };
        matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted
        )
    }

    /// Whether nothing happened within the time limit of the socket.
    pub fn is_timeout(&self) -> bool {
        let Self::Io { error, .. } = self else { return false };
        matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
    }
}

fn failed(received: u64) -> impl Fn(io::Error) -> TrafficError {
    move |error| TrafficError::Io { received, error }
}

/// Sends `length` bytes, closes its side, and compares the receipt that comes back after the half-close.
///
/// # Errors
/// See [`TrafficError`].
pub fn upload(stream: &TcpStream, seed: u64, length: u64) -> Result<(), TrafficError> {
    ask(stream, Request::new(Work::Sink, seed, length))?;
    send(stream, seed, length)?;
    stream.shutdown(Shutdown::Write).map_err(failed(0))?;
    receipt(stream, length)
}

/// Asks for `length` bytes, checks each, and waits for the clean end.
///
/// # Errors
/// See [`TrafficError`].
pub fn download(stream: &TcpStream, seed: u64, length: u64) -> Result<(), TrafficError> {
    ask(stream, Request::new(Work::Source, seed, length))?;
    receive(stream, seed, length)
}

/// Sends `length` bytes in blocks of at most 64 KiB, each of which must come back before the next one goes; then
/// closes its side and waits for the clean end.
///
/// # Errors
/// See [`TrafficError`].
pub fn echo(stream: &TcpStream, seed: u64, length: u64) -> Result<(), TrafficError> {
    ask(stream, Request::new(Work::Echo, seed, length))?;
    let pattern = Pattern::new(seed);
    let mut back = [0; ECHO_WINDOW];
    let mut position = 0;
    while position < length {
        let block = pattern.slice(
            position,
            usize::try_from(length - position).map_or(ECHO_WINDOW, |n| n.min(ECHO_WINDOW)),
        );
        exchange(stream, position, block, &mut back[..block.len()])?;
        position += block.len() as u64;
    }
    stream.shutdown(Shutdown::Write).map_err(failed(position))?;
    expect_end(stream, position)
}

/// Asks for `length` bytes followed by a reset, and returns how many bytes came before it (the reset may overtake the
/// rest).
///
/// # Errors
/// A clean end ([`TrafficError::Short`] with the bytes that came) or a wrong byte.
pub fn download_until_reset(stream: &TcpStream, seed: u64, length: u64) -> Result<u64, TrafficError> {
    ask(stream, Request::new(Work::Reset, seed, length))?;
    match receive(stream, seed, ENDLESS) {
        Err(error) if error.is_reset() => match error {
            TrafficError::Io { received, .. } => Ok(received),
            other => Err(other),
        },
        Err(TrafficError::Short { received, .. }) => Err(TrafficError::Short {
            received,
            expected: length,
        }),
        Err(other) => Err(other),
        Ok(()) => Err(TrafficError::Long(length)),
    }
}

/// Sends 64-byte pings on one connection for `duration`, each when the answer to the one before has come, and hands
/// every round trip to `record`.
///
/// # Errors
/// See [`TrafficError`].
pub fn ping_pong(
    stream: &TcpStream,
    seed: u64,
    duration: Duration,
    mut record: impl FnMut(Duration),
) -> Result<(), TrafficError> {
    ask(stream, Request::new(Work::Echo, seed, ENDLESS))?;
    let pattern = Pattern::new(seed);
    let mut back = [0; PING_LEN];
    let mut position = 0;
    let start = Instant::now();
    let mut sent_at = start;
    while sent_at - start < duration {
        exchange(stream, position, pattern.slice(position, PING_LEN), &mut back)?;
        let now = Instant::now();
        record(now - sent_at);
        sent_at = now;
        position += PING_LEN as u64;
    }
    Ok(())
}

/// Sends a request, and switches Nagle's algorithm off for what follows.
///
/// # Errors
/// [`TrafficError::Io`].
pub fn ask(mut stream: &TcpStream, request: Request) -> Result<(), TrafficError> {
    stream
        .set_nodelay(true)
        .and_then(|()| stream.write_all(&request.encode()))
        .map_err(failed(0))
}

/// Sends the first `length` bytes of the stream of `seed`, without closing.
///
/// # Errors
/// [`TrafficError::Io`].
pub fn send(mut stream: &TcpStream, seed: u64, length: u64) -> Result<(), TrafficError> {
    let pattern = Pattern::new(seed);
    let mut position = 0;
    while position < length {
        let block = pattern.slice(position, usize::try_from(length - position).unwrap_or(CHUNK));
        stream.write_all(block).map_err(failed(0))?;
        position += block.len() as u64;
    }
    Ok(())
}

/// Receives the stream of `seed` until its end, which has to come after exactly `length` bytes.
///
/// # Errors
/// See [`TrafficError`].
pub fn receive(mut stream: &TcpStream, seed: u64, length: u64) -> Result<(), TrafficError> {
    let pattern = Pattern::new(seed);
    let mut buffer = vec![0; CHUNK];
    let mut position = 0;
    loop {
        let count = stream.read(&mut buffer).map_err(failed(position))?;
        if count == 0 && position < length {
            return Err(TrafficError::Short {
                received: position,
                expected: length,
            });
        }
        if count == 0 {
            return Ok(());
        }
        pattern.verify(position, &buffer[..count], Check::Full)?;
        position += count as u64;
        if position > length {
            return Err(TrafficError::Long(length));
        }
    }
}

/// Reads the receipt of a sink up to the clean end, and compares it with the `length` that was sent.
///
/// # Errors
/// See [`TrafficError`].
pub fn receipt(mut stream: &TcpStream, length: u64) -> Result<(), TrafficError> {
    let mut bytes = [0; RECEIPT_LEN];
    let mut filled = 0;
    while filled < RECEIPT_LEN {
        match stream.read(&mut bytes[filled..]).map_err(failed(filled as u64))? {
            0 => {
                return Err(TrafficError::Short {
                    received: filled as u64,
                    expected: RECEIPT_LEN as u64,
                });
            }
            count => filled += count,
        }
    }
    let receipt = Receipt::parse(&bytes);
    if let Some(position) = receipt.mismatch {
        return Err(TrafficError::TargetMismatch(position));
    }
    if receipt.received != length {
        return Err(TrafficError::Short {
            received: receipt.received,
            expected: length,
        });
    }
    expect_end(stream, length)
}

fn exchange(mut stream: &TcpStream, position: u64, block: &[u8], back: &mut [u8]) -> Result<(), TrafficError> {
    stream
        .write_all(block)
        .and_then(|()| stream.read_exact(back))
        .map_err(failed(position))?;
    if block != back {
        let wrong = block.iter().zip(&*back).take_while(|(want, got)| want == got).count();
        return Err(Mismatch {
            position: position + wrong as u64,
        }
        .into());
    }
    Ok(())
}

fn expect_end(mut stream: &TcpStream, received: u64) -> Result<(), TrafficError> {
    match stream.read(&mut [0]).map_err(failed(received))? {
        0 => Ok(()),
        _ => Err(TrafficError::Long(received)),
    }
}
