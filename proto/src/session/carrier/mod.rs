//! What a server's worker sees on a fresh connection, and how a visitor is opened on a carrier (`proto/SESSION.md`,
//! First bytes; Open and Ready).

mod first;
mod frame;
mod hello;
mod open;
mod ready;

pub use first::{First, MAX_FIRST_BYTES, parse_first};
pub use frame::{MAX_CARRIER_MESSAGE_BYTES, MAX_OPEN_BYTES};
pub use hello::CarrierHello;
pub use open::{MAX_PRIORITY, Open};
pub use ready::{OpenError, Ready};

pub(super) use first::{PREFIX_BYTES, PREFIX_CONTROL, PREFIX_RESUME};
pub(super) use frame::{voucher_bytes, voucher_from};
pub(super) use open::parse_service;

#[cfg(test)]
mod tests;

/// What is wrong with the bytes of a carrier. Every one of them ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CarrierError {
    /// The first bytes are not those of a Kariz peer.
    #[error("not a Kariz peer")]
    NotKariz,
    /// The peer speaks another version of the protocol.
    #[error("unsupported protocol version {0}")]
    Version(u8),
    /// The connection wants to be something that this version does not know.
    #[error("unknown kind of connection {0}")]
    Kind(u8),
    /// A message is longer than [`MAX_CARRIER_MESSAGE_BYTES`].
    #[error("message too long")]
    TooLong,
    /// A message is not well-formed protobuf.
    #[error("malformed message")]
    Malformed,
    /// The named field is missing or outside its bounds.
    #[error("bad value in field {0}")]
    Field(&'static str),
    /// The peer requires features that this end does not know: the unknown bits.
    #[error("unknown required features {0:#x}")]
    RequiredFeatures(u64),
    /// The MAC does not match: forged, damaged, or under another key.
    #[error("wrong authentication code")]
    Mac,
}

impl CarrierError {
    /// The word that logs and counters use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotKariz => "not_kariz",
            Self::Version(_) => "version",
            Self::Kind(_) => "kind",
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Field(_) => "field",
            Self::RequiredFeatures(_) => "required_features",
            Self::Mac => "mac",
        }
    }
}
