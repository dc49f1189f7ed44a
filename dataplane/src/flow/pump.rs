//! One direction of a connection.
//!
//! It begins by copying through the worker's scratch buffer. When [`BULK_BYTES`] have moved without waiting it
//! borrows a pipe and splices: the bytes then never leave the kernel. Whenever the source has nothing more the pipe
//! goes back; a flow that has come down to small pieces is copied again. So short connections never pay for a pipe,
//! and idle ones hold nothing.
//!
//! All state is in [`Pump`], and its steps never wait: an idle direction costs the few words of the struct and one
//! pending poll.

use super::said::Said;
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

/// One direction: where from, where to, what it counts against, and how far it has come.
pub(super) struct Pump<'a> {
    worker: &'a Worker,
    from: &'a Sock,
    to: &'a Sock,
    limiter: &'a Limiter,
    /// The counter of bytes in this direction.
    bytes: Counter,
    /// Received, not sent yet.
    rest: Option<Rest>,
    /// Borrowed while there is something to splice.
    pipe: Option<Pipe>,
    bulk: bool,
    /// Where to note what is taken from the source, as long as it may have to be said again. What is spliced is not noted:
    /// by then it was more than is kept.
    said: Option<&'a Said<'a>>,
    small_runs: u8,
    since_wait: usize,
    since_turn: usize,
}

/// Bytes that the sink did not take.
struct Rest {
    buffer: Buffer,
    start: usize,
    end: usize,
}

/// What a direction needs before its next step.
enum Need {
    /// Nothing: go on.
    Nothing,
    /// Something to receive.
    Source,
    /// Room to send.
    Sink,
    /// Tokens of a rate limit.
    Tokens,
    /// That others have had a turn.
    Turn,
    /// Nothing any more: everything up to the source's end is in the sink.
    End,
}

impl<'a> Pump<'a> {
    pub(super) fn new(
        worker: &'a Worker,
        (from, to): (&'a Sock, &'a Sock),
        limiter: &'a Limiter,
        bytes: Counter,
        said: Option<&'a Said<'a>>,
    ) -> Self {
        Self {
            worker,
            from,
            to,
            limiter,
            bytes,
            rest: None,
            pipe: None,
            bulk: false,
            said,
            small_runs: 0,
            since_wait: 0,
            since_turn: 0,
        }
    }

    /// Moves everything up to the source's end, then ends the sink's write direction.
    pub(super) async fn run(&mut self) -> Result<(), Fault> {
        loop {
            match self.step()? {
                Need::Nothing => continue,
                Need::Source => {
                    self.from.readable().await.map_err(Fault::Source)?;
                    self.since_wait = 0;
                }
                Need::Sink => self.to.writable().await.map_err(Fault::Sink)?,
                Need::Tokens => self.limiter.rest().await,
                Need::Turn => self.worker.turns.pass().await,
                Need::End => return self.to.finish().map_err(Fault::Sink),
            }
            self.since_turn = 0;
        }
    }

    fn step(&mut self) -> Result<Need, Fault> {
        if self.rest.is_some() {
            return self.flush();
        }
        if self.pipe.as_ref().is_some_and(|pipe| pipe.held() > 0) {
            return self.drain();
        }
        if self.since_turn >= TURN_BYTES {
            return Ok(Need::Turn);
        }
        let room = self.limiter.room();
        if room == 0 {
            self.pipe = None;
            return Ok(Need::Tokens);
        }
        if self.bulk && self.pipe.is_none() {
            self.pipe = self.worker.pipes.take();
        }
        if self.pipe.is_some() {
            self.fill(room)
        } else {
            self.copy(room)
        }
    }

    /// Receives and sends through the scratch buffer.
    fn copy(&mut self, room: usize) -> Result<Need, Fault> {
        let mut scratch = self.worker.scratch.borrow_mut();
        // What the sink does not take has to fit into one buffer.
        let most = self.worker.buffers.next_size().min(room);
        let bytes = match self.from.recv(&mut scratch[..most]).map_err(Fault::Source)? {
            None => return Ok(Need::Source),
            Some(0) => return Ok(Need::End),
            Some(bytes) => bytes,
        };
        if let Some(said) = self.said {
            said.note(&scratch[..bytes]);
        }
        let sent = self.to.send(&scratch[..bytes]).map_err(Fault::Sink)?.unwrap_or(0);
        if sent < bytes {
            let mut buffer = self.worker.buffers.take_for(bytes - sent);
            buffer[..bytes - sent].copy_from_slice(&scratch[sent..bytes]);
            self.rest = Some(Rest {
                buffer,
                start: 0,
                end: bytes - sent,
            });
        }
        drop(scratch);
        self.count(bytes);
        if self.since_wait >= BULK_BYTES {
            (self.bulk, self.small_runs) = (true, 0);
        }
        // A short read has emptied the socket: the next one would only say so.
        Ok(match &self.rest {
            Some(_) => Need::Sink,
            None if bytes < most => Need::Source,
            None => Need::Nothing,
        })
    }

    fn flush(&mut self) -> Result<Need, Fault> {
        let Some(rest) = &mut self.rest else {
            return Ok(Need::Nothing);
        };
        match self.to.send(&rest.buffer[rest.start..rest.end]).map_err(Fault::Sink)? {
            None => return Ok(Need::Sink),
            Some(sent) => rest.start += sent,
        }
        if rest.start < rest.end {
            return Ok(Need::Sink);
        }
        self.rest = None;
        Ok(Need::Nothing)
    }

    /// Splices from the source into the pipe.
    fn fill(&mut self, room: usize) -> Result<Need, Fault> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(Need::Nothing);
        };
        match pipe.fill(self.from, room.min(PIPE_BYTES)).map_err(Fault::Source)? {
            None => {
                self.pipe = None;
                self.small_runs = if self.since_wait < SMALL_RUN_BYTES {
                    self.small_runs + 1
                } else {
                    0
                };
                self.bulk = self.small_runs < SMALL_RUNS;
                Ok(Need::Source)
            }
            Some(0) => Ok(Need::End),
            Some(bytes) => {
                self.count(bytes);
                self.drain()
            }
        }
    }

    /// Splices from the pipe into the sink.
    fn drain(&mut self) -> Result<Need, Fault> {
        let Some(pipe) = &mut self.pipe else {
            return Ok(Need::Nothing);
        };
        match pipe.drain(self.to).map_err(Fault::Sink)? {
            None => Ok(Need::Sink),
            Some(_) => Ok(Need::Nothing),
        }
    }

    fn count(&mut self, bytes: usize) {
        self.since_wait += bytes;
        self.since_turn += bytes;
        self.limiter.spend(bytes);
        self.worker.counters.add(self.bytes as usize, bytes as u64);
    }
}
