//! Bulk streams in one direction, for as long as the caller likes.

use crate::pacing::pace;
use crate::pattern::{CHUNK, Check, Pattern};
use crate::poller::{Interest, Poller};
use crate::request::{ENDLESS, RECEIPT_LEN, Receipt, Request, Work};
use crate::target::Counters;
use crate::visitor::{self, TrafficError};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the thread looks whether it is to stop, while nothing moves.
const STOP_CHECK: Duration = Duration::from_millis(20);

/// How long the receipts of all streams may take after the end.
const RECEIPTS_LIMIT: Duration = Duration::from_secs(30);

/// Which way the bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// From the visitor to the target.
    Up,
    /// From the target to the visitor.
    Down,
}

/// What is to flow.
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    /// Connections.
    pub streams: usize,
    /// Which way.
    pub direction: Direction,
    /// How much each stream sends, in Mbit/s; without it as much as it can.
    pub mbit_per_s: Option<u16>,
}

/// Running streams. What arrives is compared with the pattern in samples ([`Check::Sampled`]).
#[derive(Debug)]
pub struct Bulk {
    direction: Direction,
    received: Arc<AtomicU64>,
    target: Arc<Counters>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<usize, TrafficError>>>,
}

impl Bulk {
    /// Opens the connections to `address`, behind which is the target with these `counters`, and starts to move bytes.
    ///
    /// # Errors
    /// A connection or the thread could not be had.
    pub fn start(address: SocketAddr, counters: &Arc<Counters>, flow: Flow) -> io::Result<Self> {
        let Flow {
            streams,
            direction,
            mbit_per_s,
        } = flow;
        let poller = Poller::new()?;
        let mut open = Vec::with_capacity(streams);
        for index in 0..streams {
            let stream = TcpStream::connect(address)?;
            let seed = index as u64;
            let (work, interest) = match direction {
                Direction::Up => (Work::Sink, Interest::Write),
                Direction::Down => (Work::Source, Interest::Read),
            };
            visitor::ask(
                &stream,
                Request {
                    work,
                    check: Check::Sampled,
                    seed,
                    length: ENDLESS,
                    mbit_per_s: mbit_per_s.unwrap_or(0),
                },
            )
            .map_err(io::Error::other)?;
            if let Some(rate) = mbit_per_s {
                pace(&stream, rate)?;
            }
            stream.set_nonblocking(true)?;
            poller.add(&stream, index as u64, interest)?;
            open.push(Stream {
                socket: stream,
                pattern: Pattern::new(seed),
                position: 0,
            });
        }
        let received = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let load = Load {
            poller,
            streams: open,
            received: received.clone(),
            stop: stop.clone(),
        };
        let thread = std::thread::Builder::new()
            .name("bench-bulk".into())
            .spawn(move || match direction {
                Direction::Up => load.up(),
                Direction::Down => load.down(),
            })?;
        Ok(Self {
            direction,
            received,
            target: counters.clone(),
            stop,
            thread: Some(thread),
        })
    }

    /// Bytes that have arrived at their receiver: with [`Direction::Up`] those of the whole target.
    pub fn received(&self) -> u64 {
        match self.direction {
            Direction::Up => self.target.received.load(Ordering::Relaxed),
            Direction::Down => self.received.load(Ordering::Relaxed),
        }
    }

    /// Ends the streams. Up: half-closes each and compares the receipts with what was sent. Down: resets them. Returns how
    /// many streams ended without a receipt: what lies between drops answers to a half-closed connection, and only the
    /// target's counters know whether all bytes were right.
    ///
    /// # Errors
    /// Something was wrong while they ran, or a receipt says that something was lost.
    pub fn stop(mut self) -> Result<usize, TrafficError> {
        self.stop.store(true, Ordering::Relaxed);
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(0),
            Some(Ok(outcome)) => outcome,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Bulk {
    /// Streams that nobody stopped end by themselves.
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Load {
    poller: Poller,
    streams: Vec<Stream>,
    received: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

struct Stream {
    socket: TcpStream,
    pattern: Pattern,
    position: u64,
}

impl Load {
    fn up(mut self) -> Result<usize, TrafficError> {
        let mut ready = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            self.poller.wait(Some(STOP_CHECK), &mut ready).map_err(failed(0))?;
            for event in &ready {
                let stream = &mut self.streams[event.token as usize];
                match (&stream.socket).write(stream.pattern.slice(stream.position, CHUNK)) {
                    Ok(count) => stream.position += count as u64,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(failed(stream.position)(error)),
                }
            }
        }
        for stream in &self.streams {
            stream
                .socket
                .shutdown(Shutdown::Write)
                .map_err(failed(stream.position))?;
        }
        let deadline = Instant::now() + RECEIPTS_LIMIT;
        let mut without_receipt = 0;
        for stream in &self.streams {
            without_receipt += usize::from(!stream.hear_receipt(deadline)?);
        }
        Ok(without_receipt)
    }

    fn down(mut self) -> Result<usize, TrafficError> {
        let mut ready = Vec::new();
        let mut buffer = vec![0; CHUNK];
        while !self.stop.load(Ordering::Relaxed) {
            self.poller.wait(Some(STOP_CHECK), &mut ready).map_err(failed(0))?;
            for event in &ready {
                let stream = &mut self.streams[event.token as usize];
                match (&stream.socket).read(&mut buffer) {
                    Ok(0) => {
                        return Err(TrafficError::Short {
                            received: stream.position,
                            expected: ENDLESS,
                        });
                    }
                    Ok(count) => {
                        stream
                            .pattern
                            .verify(stream.position, &buffer[..count], Check::Sampled)?;
                        stream.position += count as u64;
                        self.received.fetch_add(count as u64, Ordering::Relaxed);
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Err(error) => return Err(failed(stream.position)(error)),
                }
            }
        }
        Ok(0)
    }
}

impl Stream {
    /// Compares the receipt with what was sent; false if the connection ends without one.
    fn hear_receipt(&self, deadline: Instant) -> Result<bool, TrafficError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut bytes = [0; RECEIPT_LEN];
        let heard = self
            .socket
            .set_nonblocking(false)
            .and_then(|()| self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))))
            .and_then(|()| (&self.socket).read_exact(&mut bytes));
        match heard {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
                return Ok(false);
            }
            Err(error) => return Err(failed(self.position)(error)),
        }
        let receipt = Receipt::parse(&bytes);
        if let Some(position) = receipt.mismatch {
            return Err(TrafficError::TargetMismatch(position));
        }
        if receipt.received != self.position {
            return Err(TrafficError::Short {
                received: receipt.received,
                expected: self.position,
            });
        }
        Ok(true)
    }
}

fn failed(received: u64) -> impl Fn(io::Error) -> TrafficError {
    move |error| TrafficError::Io { received, error }
}
