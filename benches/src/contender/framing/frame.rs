//! The 8-byte header, and a batch of frames that one read fills in place.

use std::io::{self, IoSliceMut, Read};
use std::net::TcpStream;

pub(super) const HEADER: usize = 8;

/// Payload of a full frame: the most that 16 bits can say.
const PAYLOAD: usize = 65_535;

/// Frames that one read can fill: 256 KiB.
const FRAMES: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Open,
    End,
    Data,
    Reset,
}

pub(super) fn header(command: Command, stream: u32, length: usize) -> [u8; HEADER] {
    let [low, high] = (length as u16).to_le_bytes();
    let [a, b, c, d] = stream.to_le_bytes();
    [1, command as u8, low, high, a, b, c, d]
}

/// Command, length of the payload, stream. Unknown commands read as a reset: both ends are this program.
pub(super) fn parse(bytes: [u8; HEADER]) -> (Command, usize, u32) {
    let [_, command, low, high, a, b, c, d] = bytes;
    let command = match command {
        0 => Command::Open,
        1 => Command::End,
        2 => Command::Data,
        _ => Command::Reset,
    };
    (
        command,
        u16::from_le_bytes([low, high]).into(),
        u32::from_le_bytes([a, b, c, d]),
    )
}

/// Room for the frames of one read, header and payload next to each other, so that they leave without being moved.
#[derive(Debug)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    filled: usize,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; FRAMES * (HEADER + PAYLOAD)],
            filled: 0,
        }
    }

    /// One scattered read into the payload places, whose headers are written then. Returns the bytes read.
    pub(super) fn read(&mut self, mut socket: &TcpStream, stream: u32) -> io::Result<usize> {
        let mut places = self
            .bytes
            .chunks_exact_mut(HEADER + PAYLOAD)
            .map(|frame| IoSliceMut::new(&mut frame[HEADER..]));
        let mut slices: [IoSliceMut<'_>; FRAMES] =
            std::array::from_fn(|_| places.next().unwrap_or(IoSliceMut::new(&mut [])));
        let count = socket.read_vectored(&mut slices)?;
        self.filled = count + count.div_ceil(PAYLOAD) * HEADER;
        for frame in self.bytes[..self.filled].chunks_mut(HEADER + PAYLOAD) {
            let length = frame.len() - HEADER;
            frame[..HEADER].copy_from_slice(&header(Command::Data, stream, length));
        }
        Ok(count)
    }

    /// The frames of the last read.
    pub(super) fn frames(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}
