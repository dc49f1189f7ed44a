//! The wire format (`spec/smux.md`, Frame): header `version u8 | cmd u8 | length u16 | stream_id u32`, little-endian.

use super::{StreamId, Violation};

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 8;

/// Largest payload of a frame: what the header's length field can say.
pub const MAX_PAYLOAD_BYTES: usize = u16::MAX as usize;

/// Payload of UPD: `consumed u32 | window u32`.
pub(super) const UPDATE_BYTES: usize = 8;

/// Payload of RST: `reason u32`.
pub(super) const RESET_BYTES: usize = 4;

/// A frame's command byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Command {
    Syn = 0,
    Fin = 1,
    Push = 2,
    Nop = 3,
    Update = 4,
    Reset = 5,
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) command: Command,
    pub(super) length: u16,
    pub(super) id: StreamId,
}

/// Which frames are legal on a carrier.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    pub(super) version: u8,
    pub(super) resets: bool,
}

impl Header {
    pub(super) fn encode(self, version: u8) -> [u8; HEADER_BYTES] {
        let [length_low, length_high] = self.length.to_le_bytes();
        let [a, b, c, d] = self.id.to_le_bytes();
        [version, self.command as u8, length_low, length_high, a, b, c, d]
    }

    /// Checks all that a header alone can be checked for: version, command, and the length that the command demands.
    pub(super) fn decode(bytes: [u8; HEADER_BYTES], dialect: Dialect) -> Result<Self, Violation> {
        let [version, command_byte, length_low, length_high, a, b, c, d] = bytes;
        if version != dialect.version {
            return Err(Violation::WrongVersion(version));
        }
        let length = u16::from_le_bytes([length_low, length_high]);
        let (command, expected) = match command_byte {
            0 => (Command::Syn, Some(0)),
            1 => (Command::Fin, Some(0)),
            2 => (Command::Push, None),
            3 => (Command::Nop, Some(0)),
            4 if dialect.version == 2 => (Command::Update, Some(UPDATE_BYTES)),
            5 if dialect.resets => (Command::Reset, Some(RESET_BYTES)),
            unknown => return Err(Violation::UnknownCommand(unknown)),
        };
        if expected.is_some_and(|expected| expected != usize::from(length)) {
            return Err(Violation::WrongLength {
                command: command_byte,
                length,
            });
        }
        Ok(Self {
            command,
            length,
            id: u32::from_le_bytes([a, b, c, d]),
        })
    }
}
