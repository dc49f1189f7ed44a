//! Cuts the carrier's bytes into frames, wherever a read ended.

use super::frame::{Command, Dialect, HEADER_BYTES, Header, UPDATE_BYTES};
use super::{StreamId, Violation};

/// The longest frame that is not PSH.
const MAX_CONTROL_BYTES: usize = HEADER_BYTES + UPDATE_BYTES;

/// One step of parsing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Syn(StreamId),
    Fin(StreamId),
    Nop,
    Update {
        id: StreamId,
        consumed: u32,
        window: u32,
    },
    Reset {
        id: StreamId,
        reason: u32,
    },
    /// A PSH header; its payload follows as [`Piece::Data`] unless the length is 0.
    Push {
        id: StreamId,
        length: u16,
    },
    /// A part of the payload of the last PSH, never empty.
    Data(&'a [u8]),
}

/// What is kept between two reads: the bytes of a cut header (or UPD or RST), or how much of a payload is to come.
#[derive(Debug, Default)]
pub(super) struct Parser {
    partial: [u8; MAX_CONTROL_BYTES],
    partial_len: u8,
    payload_left: u16,
}

impl Parser {
    /// Takes the next piece off the front of `input`; `None` when all of it was taken.
    pub(super) fn next<'a>(&mut self, input: &mut &'a [u8], dialect: Dialect) -> Result<Option<Piece<'a>>, Violation> {
        if self.payload_left > 0 {
            let length = input.len().min(usize::from(self.payload_left));
            let (payload, rest) = input.split_at(length);
            *input = rest;
            self.payload_left -= length as u16;
            return Ok((length > 0).then_some(Piece::Data(payload)));
        }
        let Some(header) = self.gather(input, HEADER_BYTES) else {
            return Ok(None);
        };
        let header = Header::decode(header, dialect)?;
        let body = match header.command {
            Command::Push => 0,
            _ => usize::from(header.length),
        };
        let Some(frame) = self.gather::<MAX_CONTROL_BYTES>(input, HEADER_BYTES + body) else {
            return Ok(None);
        };
        self.partial_len = 0;
        let [.., c0, c1, c2, c3, w0, w1, w2, w3] = frame;
        let id = header.id;
        Ok(Some(match header.command {
            Command::Syn => Piece::Syn(id),
            Command::Fin => Piece::Fin(id),
            Command::Nop => Piece::Nop,
            Command::Update => Piece::Update {
                id,
                consumed: u32::from_le_bytes([c0, c1, c2, c3]),
                window: u32::from_le_bytes([w0, w1, w2, w3]),
            },
            Command::Reset => Piece::Reset {
                id,
                reason: u32::from_le_bytes([c0, c1, c2, c3]),
            },
            Command::Push => {
                self.payload_left = header.length;
                Piece::Push {
                    id,
                    length: header.length,
                }
            }
        }))
    }

    /// The first `N` bytes of the partial frame once `wanted` bytes of it are there, taken from `input` as needed.
    fn gather<const N: usize>(&mut self, input: &mut &[u8], wanted: usize) -> Option<[u8; N]> {
        let have = usize::from(self.partial_len);
        let (taken, rest) = input.split_at(input.len().min(wanted.saturating_sub(have)));
        self.partial.get_mut(have..have + taken.len())?.copy_from_slice(taken);
        *input = rest;
        self.partial_len += taken.len() as u8;
        if usize::from(self.partial_len) < wanted {
            return None;
        }
        self.partial.first_chunk().copied()
    }
}
