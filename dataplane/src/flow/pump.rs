//! One direction of a connection.
//!
//! It begins by copying through the worker's scratch buffer. When [`BULK_BYTES`] have moved without waiting it
//! borrows a pipe and splices: the bytes then never leave the kernel. Whenever the source has nothing more the pipe
//! goes back; a flow that has come down to small pieces is copied again. So short connections never pay for a pipe,
//! and idle ones hold nothing.

use crate::limit::Limiter;
use crate::net::Sock;
use crate::pool::{Buffer, PIPE_BYTES, Pipe};
use crate::worker::Worker;
use kariz_proto::control::{Counter, RefuseReason};
use std::io;

/// Bytes that have to move without waiting before a pipe is worth its price.
const BULK_BYTES: usize = 64 << 10;

/// A wake-up that moves less than this is not bulk.
const SMALL_RUN_BYTES: usize = 16 << 10;

/// Small runs in a row after which a flow is copied again.
const SMALL_RUNS: u8 = 4;

/// Bytes that one direction may move before others get a turn.
const TURN_BYTES: usize = 4 << 20;

/// What ended a direction other than its source's end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// Receiving failed: for instance the source was reset.
    #[error("receiving failed: {0}")]
    Source(io::Error),
    /// Sending failed: for instance the receiver was reset.
    #[error("sending failed: {0}")]
    Sink(io::Error),
    /// The peer on the carrier broke the protocol, or refused.
    #[error("refused: {}", .0.as_str())]
    Refused(RefuseReason),
}

/// One direction: where from, where to, what it counts against.
pub(crate) struct Pump<'a> {
    pub(crate) worker: &'a Worker,
    pub(crate) from: &'a Sock,
    pub(crate) to: &'a Sock,
    pub(crate) limiter: &'a Limiter,
    /// The counter of bytes in this direction, if this end of the tunnel counts them.
    pub(crate) bytes: Counter,
}

/// What one copy did.
enum Copied {
    /// The source has nothing now.
    Nothing,
    /// The source has ended.
    End,
    /// Bytes moved, and whether the source may have more at once.
    Moved { bytes: usize, more: bool },
    /// Bytes were received that the sink did not take: they are in the buffer.
    Stuck { bytes: usize, rest: Buffer, length: usize },
}

/// How a run of splices ended.
enum Run {
    /// The source has nothing now; so many bytes moved.
    Drained(usize),
    /// The source has ended.
    End,
}

impl Pump<'_> {
    /// Moves everything up to the source's end, then ends the sink's write direction.
    pub(crate) async fn run(&self) -> Result<(), Fault> {
        let mut since_wait = 0;
        let mut since_turn = 0;
        let mut small_runs = 0;
        let mut bulk = false;
        loop {
            let room = match self.limiter.room() {
                0 => self.limiter.wait().await,
                room => room,
            };
            let pipe = if bulk { self.worker.pipes.take() } else { None };
            let wait = if let Some(pipe) = pipe {
                match self.splice(pipe).await? {
                    Run::End => break,
                    Run::Drained(bytes) if bytes < SMALL_RUN_BYTES => small_runs += 1,
                    Run::Drained(_) => small_runs = 0,
                }
                bulk = small_runs < SMALL_RUNS;
                true
            } else {
                match self.copy(room)? {
                    Copied::End => break,
                    Copied::Nothing => true,
                    Copied::Moved { bytes, more } => {
                        since_wait += bytes;
                        since_turn += bytes;
                        !more
                    }
                    Copied::Stuck { bytes, rest, length } => {
                        since_wait += bytes;
                        self.flush(rest, length).await?;
                        since_turn = 0;
                        false
                    }
                }
            };
            if since_wait >= BULK_BYTES {
                bulk = true;
                small_runs = 0;
            }
            if wait {
                self.from.readable().await.map_err(Fault::Source)?;
                (since_wait, since_turn) = (0, 0);
            } else if since_turn >= TURN_BYTES {
                self.worker.turns.pass().await;
                since_turn = 0;
            }
        }
        self.to.finish().map_err(Fault::Sink)
    }

    fn copy(&self, room: usize) -> Result<Copied, Fault> {
        let mut scratch = self.worker.scratch.borrow_mut();
        // What the sink does not take has to fit into one buffer.
        let most = self.worker.buffers.next_size().min(room);
        let bytes = match self.from.recv(&mut scratch[..most]).map_err(Fault::Source)? {
            None => return Ok(Copied::Nothing),
            Some(0) => return Ok(Copied::End),
            Some(bytes) => bytes,
        };
        self.count(bytes);
        let sent = self.to.send(&scratch[..bytes]).map_err(Fault::Sink)?.unwrap_or(0);
        if sent == bytes {
            return Ok(Copied::Moved {
                bytes,
                more: bytes == most,
            });
        }
        let length = bytes - sent;
        let mut rest = self.worker.buffers.take();
        rest[..length].copy_from_slice(&scratch[sent..bytes]);
        Ok(Copied::Stuck { bytes, rest, length })
    }

    async fn flush(&self, rest: Buffer, length: usize) -> Result<(), Fault> {
        self.to.send_all(&rest[..length]).await.map_err(Fault::Sink)
    }

    async fn splice(&self, mut pipe: Pipe) -> Result<Run, Fault> {
        let (mut moved, mut since_turn) = (0, 0);
        loop {
            let room = match self.limiter.room() {
                0 => return Ok(Run::Drained(moved)),
                room => room.min(PIPE_BYTES),
            };
            match pipe.fill(self.from, room).map_err(Fault::Source)? {
                None => return Ok(Run::Drained(moved)),
                Some(0) => return Ok(Run::End),
                Some(bytes) => {
                    self.count(bytes);
                    moved += bytes;
                    since_turn += bytes;
                }
            }
            while pipe.held() > 0 {
                if pipe.drain(self.to).map_err(Fault::Sink)?.is_none() {
                    self.to.writable().await.map_err(Fault::Sink)?;
                    since_turn = 0;
                }
            }
            if since_turn >= TURN_BYTES {
                self.worker.turns.pass().await;
                since_turn = 0;
            }
        }
    }

    fn count(&self, bytes: usize) {
        self.limiter.spend(bytes);
        self.worker.counters.add(self.bytes as usize, bytes as u64);
    }
}
