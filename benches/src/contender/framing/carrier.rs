//! One carrier: a read buffer parsed in place, and what could not be written yet.

use super::frame::{self, Command, HEADER};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;

/// Bytes asked for in one read.
const READ: usize = 256 * 1024;

pub(super) struct Carrier {
    socket: TcpStream,
    /// Tokens of the streams by their number on the wire.
    pub(super) streams: HashMap<u32, u64>,
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// The data frame that is being handed out: stream and payload bytes left.
    current: Option<(u32, usize)>,
    blocked_on: Option<u64>,
    output: Vec<u8>,
    written: usize,
}

/// What comes next in the read buffer.
pub(super) enum Piece {
    Control(Command, u32),
    /// Payload for that stream is at the front: [`Carrier::deliver`] hands it out.
    Payload(u32),
}

impl Carrier {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self {
            socket,
            streams: HashMap::new(),
            input: vec![0; READ + HEADER],
            start: 0,
            end: 0,
            current: None,
            blocked_on: None,
            output: Vec::new(),
            written: 0,
        }
    }

    pub(super) fn waits_for(&self, stream: u64) -> bool {
        self.blocked_on == Some(stream)
    }

    pub(super) fn is_flushed(&self) -> bool {
        self.written == self.output.len()
    }

    /// Writes frames, and keeps what the socket does not take.
    pub(super) fn write(&mut self, frames: &[u8]) -> io::Result<()> {
        let count = match (&self.socket).write(frames) {
            Ok(count) => count,
            Err(error) if is_wait(&error) => 0,
            Err(error) => return Err(error),
        };
        if count < frames.len() {
            self.output.clear();
            self.output.extend_from_slice(&frames[count..]);
            self.written = 0;
        }
        Ok(())
    }

    /// Sends a frame behind whatever waits already.
    pub(super) fn queue(&mut self, frame: [u8; HEADER]) -> io::Result<()> {
        if self.is_flushed() {
            return self.write(&frame);
        }
        self.output.extend_from_slice(&frame);
        Ok(())
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        while !self.is_flushed() {
            match (&self.socket).write(&self.output[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if is_wait(&error) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// One read behind what is left of the last one (at most an incomplete header). Says whether anything came.
    pub(super) fn fill(&mut self) -> io::Result<bool> {
        self.input.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        match (&self.socket).read(&mut self.input[self.end..]) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => {
                self.end += count;
                Ok(true)
            }
            Err(error) if is_wait(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn next_piece(&mut self) -> Option<Piece> {
        if let Some((stream, left)) = self.current {
            if left > 0 {
                return (self.start < self.end).then_some(Piece::Payload(stream));
            }
            self.current = None;
        }
        let bytes: [u8; HEADER] = self.input[self.start..self.end].first_chunk().copied()?;
        self.start += HEADER;
        let (command, length, stream) = frame::parse(bytes);
        if command != Command::Data {
            return Some(Piece::Control(command, stream));
        }
        self.current = Some((stream, length));
        self.next_piece()
    }

    /// Writes the payload at the front to its socket, or drops it if the stream is gone. `false`: the socket is full,
    /// and nothing more may be handed out before it is writable.
    pub(super) fn deliver(&mut self, socket: Option<&TcpStream>) -> io::Result<bool> {
        let Some((stream, left)) = &mut self.current else {
            return Ok(true);
        };
        let here = (*left).min(self.end - self.start);
        let count = match socket {
            None => here,
            Some(mut socket) => match socket.write(&self.input[self.start..self.start + here]) {
                Ok(count) => count,
                Err(error) if is_wait(&error) => 0,
                Err(error) => {
                    // The rest of the frame is dropped with the stream.
                    self.blocked_on = None;
                    return Err(error);
                }
            },
        };
        self.start += count;
        *left -= count;
        self.blocked_on = if count < here {
            self.streams.get(stream).copied()
        } else {
            None
        };
        Ok(count == here)
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
